//! USB devices: what is known of one, and the patterns by which rules mean them.
//!
//! A device is a set of interfaces that may each say something else, so a pattern of an allow or an ask must fit all of them, and one of a
//! deny needs to fit only one. What is not known of a device counts against letting it in, as everywhere.

use std::fmt;

use crate::request::{FactError, Word};
use crate::rule::Verdict;
use crate::values::Mistake;

/// Class, subclass and protocol of an interface.
pub type UsbClass = (u8, u8, u8);

/// A SHA-256 hash of a device's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsbHash(pub [u8; 32]);

impl UsbHash {
    fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (index, byte) in hash.iter_mut().enumerate() {
            let start = index.checked_mul(2)?;
            *byte = hex(text.get(start..start.checked_add(2)?)?)?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for UsbHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What one top-level collection of a HID interface is for: usage page and usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsbUsage {
    /// The usage page.
    pub page: u16,
    /// The usage in it.
    pub number: u16,
}

/// Usages that may be written by name.
#[rustfmt::skip]
const USAGES: [(&str, u16, u16); 12] = [
    ("pointer", 1, 1), ("mouse", 1, 2), ("joystick", 1, 4), ("gamepad", 1, 5), ("keyboard", 1, 6), ("keypad", 1, 7),
    ("power", 1, 0x80), ("media", 0x0c, 1), ("tablet", 0x0d, 1), ("pen", 0x0d, 2), ("touch-screen", 0x0d, 4),
    ("security-key", 0xf1d0, 1),
];

impl UsbUsage {
    fn parse(text: &str) -> Option<Self> {
        let named = USAGES.iter().find(|(name, ..)| *name == text);
        if let Some((_, page, number)) = named {
            return Some(Self {
                page: *page,
                number: *number,
            });
        }
        let (page, number) = text.split_once(':')?;
        Some(Self {
            page: hex16(page)?,
            number: hex16(number)?,
        })
    }
}

impl fmt::Display for UsbUsage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = USAGES
            .iter()
            .find(|(_, page, number)| (*page, *number) == (self.page, self.number));
        match named {
            Some((name, ..)) => formatter.write_str(name),
            None => write!(formatter, "{:04x}:{:04x}", self.page, self.number),
        }
    }
}

/// A USB device as the host sees it. What is none or empty is not known, but for the serial number, which a device may lack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UsbDevice {
    /// The vendor's number.
    pub vendor: u16,
    /// The product's number.
    pub product: u16,
    /// The release, in binary-coded decimals.
    pub release: Option<u16>,
    /// Class, subclass and protocol of each interface.
    pub interfaces: Vec<UsbClass>,
    /// What the top-level collections of its HID interfaces are for.
    pub usages: Vec<UsbUsage>,
    /// The serial number, if it has one.
    pub serial: Option<Word>,
    /// The port it is plugged into, such as `1-2.4`.
    pub port: String,
    /// The hash of its device and configuration descriptors.
    pub descriptors: Option<UsbHash>,
    /// The hash of each HID interface's report descriptor.
    pub reports: Vec<UsbHash>,
    /// Whether another keyboard is there already.
    pub another_keyboard: Option<bool>,
    /// Whether it shows itself as another device than the one that was at this port before.
    pub changed: Option<bool>,
}

/// A USB device by what it says of itself. Every part that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UsbPattern {
    /// The vendor's number.
    pub vendor: Option<u16>,
    /// The product's number.
    pub product: Option<u16>,
    /// The release.
    pub release: Option<u16>,
    /// Class, subclass and protocol; every interface of the device must have them.
    pub class: Option<(u8, Option<u8>, Option<u8>)>,
    /// The whole set of interfaces, sorted.
    pub interfaces: Option<Vec<UsbClass>>,
    /// What it may be for; every top-level collection must be one of these.
    pub usages: Vec<UsbUsage>,
    /// The serial number.
    pub serial: Option<String>,
    /// The port that it is plugged into, such as `1-2.4`.
    pub port: Option<String>,
    /// The hash of its device and configuration descriptors.
    pub descriptors: Option<UsbHash>,
    /// Hashes of report descriptors; every HID interface's must be one of these.
    pub reports: Vec<UsbHash>,
    /// Whether another keyboard is there already.
    pub another_keyboard: Option<bool>,
    /// Whether it has changed since it was at this port before.
    pub changed: Option<bool>,
}

/// Class names that may be written for their numbers.
#[rustfmt::skip]
const CLASSES: [(&str, u8); 10] = [
    ("audio", 0x01), ("communications", 0x02), ("hid", 0x03), ("image", 0x06), ("printer", 0x07), ("mass-storage", 0x08),
    ("hub", 0x09), ("smart-card", 0x0b), ("video", 0x0e), ("wireless", 0xe0),
];

impl UsbPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let example = "write words such as \"id=046d:c31c class=hid:01:01 usage=keyboard serial=1234 port=1-2\", at least one of them; \
                       docs/policy.md lists them all";
        let wrong = |what: String| Mistake::new(what, example);
        let mut pattern = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| wrong(format!("{word:?} is no part of a USB pattern")))?;
            let bad = || wrong(format!("{value:?} is no USB {key}"));
            match key {
                "id" => {
                    let (vendor, product) = value.split_once(':').ok_or_else(bad)?;
                    pattern.vendor = Some(hex16(vendor).ok_or_else(bad)?);
                    pattern.product = if product == "*" {
                        None
                    } else {
                        Some(hex16(product).ok_or_else(bad)?)
                    };
                }
                "release" => pattern.release = Some(hex16(value).ok_or_else(bad)?),
                "class" => pattern.class = Some(class_pattern(value).ok_or_else(bad)?),
                "interfaces" => {
                    let all = value.split(',').map(|part| class(part).ok_or_else(bad));
                    let mut all: Vec<UsbClass> = all.collect::<Result<_, _>>()?;
                    all.sort_unstable();
                    pattern.interfaces = Some(all);
                }
                "usage" => {
                    for part in value.split(',') {
                        pattern.usages.push(UsbUsage::parse(part).ok_or_else(bad)?);
                    }
                }
                "serial" if is_serial(value) => pattern.serial = Some(value.to_owned()),
                "port" if is_port(value) && !value.is_empty() => {
                    pattern.port = Some(value.to_owned());
                }
                "descriptors" => {
                    pattern.descriptors = Some(UsbHash::parse(value).ok_or_else(bad)?);
                }
                "report" => pattern.reports.push(UsbHash::parse(value).ok_or_else(bad)?),
                "keyboard" => pattern.another_keyboard = Some(keyboard(value).ok_or_else(bad)?),
                "changed" => pattern.changed = Some(yes(value).ok_or_else(bad)?),
                "serial" | "port" => return Err(bad()),
                _ => return Err(wrong(format!("{key:?} is no part of a USB pattern"))),
            }
        }
        if pattern == Self::default() {
            return Err(wrong(
                "a USB pattern without a part would fit every device".to_owned(),
            ));
        }
        Ok(pattern)
    }

    /// Whether a device fits, in a rule with this verdict.
    pub(crate) fn fits(&self, device: &UsbDevice, verdict: Verdict) -> bool {
        let deny = verdict == Verdict::Deny;
        fn same<T: PartialEq>(wanted: Option<&T>, known: Option<&T>, deny: bool) -> bool {
            wanted.is_none_or(|wanted| known.map_or(deny, |known| known == wanted))
        }
        fn each<T>(known: &[T], deny: bool, fits: impl Fn(&T) -> bool) -> bool {
            if deny {
                known.is_empty() || known.iter().any(fits)
            } else {
                !known.is_empty() && known.iter().all(fits)
            }
        }
        let class = self.class.is_none_or(|(class, subclass, protocol)| {
            each(&device.interfaces, deny, |interface| {
                interface.0 == class
                    && subclass.is_none_or(|subclass| subclass == interface.1)
                    && protocol.is_none_or(|protocol| protocol == interface.2)
            })
        });
        let interfaces = self.interfaces.as_ref().is_none_or(|wanted| {
            let mut known = device.interfaces.clone();
            known.sort_unstable();
            (deny && known.is_empty()) || known == *wanted
        });
        // A device of which no usage is known is no HID device, or one that could not be read.
        let usages = self.usages.is_empty()
            || each(&device.usages, deny, |usage| self.usages.contains(usage));
        let reports = self.reports.is_empty()
            || each(&device.reports, deny, |report| {
                self.reports.contains(report)
            });
        class
            && interfaces
            && usages
            && reports
            && self.vendor.is_none_or(|vendor| vendor == device.vendor)
            && self.product.is_none_or(|product| product == device.product)
            && same(self.release.as_ref(), device.release.as_ref(), deny)
            && same(self.descriptors.as_ref(), device.descriptors.as_ref(), deny)
            && same(
                self.another_keyboard.as_ref(),
                device.another_keyboard.as_ref(),
                deny,
            )
            && same(self.changed.as_ref(), device.changed.as_ref(), deny)
            && self.serial.as_deref().is_none_or(|serial| {
                let known = device.serial.as_ref().map(Word::as_str);
                known == Some(serial)
            })
            && self.port.as_deref().is_none_or(|port| port == device.port)
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        fn part<T: PartialEq>(ours: Option<&T>, theirs: Option<&T>) -> bool {
            ours.is_none() || ours == theirs
        }
        fn list<T: PartialEq>(ours: &[T], theirs: &[T]) -> bool {
            ours.is_empty()
                || (!theirs.is_empty() && theirs.iter().all(|their| ours.contains(their)))
        }
        let class = match (self.class, other.class) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => {
                ours.0 == theirs.0
                    && part(ours.1.as_ref(), theirs.1.as_ref())
                    && part(ours.2.as_ref(), theirs.2.as_ref())
            }
        };
        class
            && part(self.vendor.as_ref(), other.vendor.as_ref())
            && part(self.product.as_ref(), other.product.as_ref())
            && part(self.release.as_ref(), other.release.as_ref())
            && part(self.interfaces.as_ref(), other.interfaces.as_ref())
            && list(&self.usages, &other.usages)
            && part(self.serial.as_ref(), other.serial.as_ref())
            && part(self.port.as_ref(), other.port.as_ref())
            && part(self.descriptors.as_ref(), other.descriptors.as_ref())
            && list(&self.reports, &other.reports)
            && part(
                self.another_keyboard.as_ref(),
                other.another_keyboard.as_ref(),
            )
            && part(self.changed.as_ref(), other.changed.as_ref())
    }

    /// A device that fits, for going through a policy's cases.
    pub(crate) fn sample(&self) -> UsbDevice {
        let (class, subclass, protocol) = self.class.unwrap_or((0xff, None, None));
        let one = vec![(class, subclass.unwrap_or(0), protocol.unwrap_or(0))];
        UsbDevice {
            vendor: self.vendor.unwrap_or(0x1234),
            product: self.product.unwrap_or(0x5678),
            release: self.release,
            interfaces: self.interfaces.clone().unwrap_or(one),
            usages: self.usages.clone(),
            serial: self
                .serial
                .as_deref()
                .and_then(|serial| Word::parse(serial).ok()),
            port: self.port.clone().unwrap_or_else(|| "1-1".to_owned()),
            descriptors: self.descriptors,
            reports: self.reports.clone(),
            another_keyboard: self.another_keyboard,
            changed: self.changed,
        }
    }
}

impl fmt::Display for UsbPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if let Some(vendor) = self.vendor {
            words.push(self.product.map_or_else(
                || format!("id={vendor:04x}:*"),
                |product| format!("id={vendor:04x}:{product:04x}"),
            ));
        }
        words.extend(self.release.map(|release| format!("release={release:04x}")));
        if let Some((class, subclass, protocol)) = self.class {
            let mut word = CLASSES.iter().find(|(_, code)| *code == class).map_or_else(
                || format!("class={class:02x}"),
                |(name, _)| format!("class={name}"),
            );
            for part in [subclass, protocol].into_iter().flatten() {
                word.push_str(&format!(":{part:02x}"));
            }
            words.push(word);
        }
        if let Some(interfaces) = &self.interfaces {
            let all: Vec<String> = interfaces.iter().map(|class| show_class(*class)).collect();
            words.push(format!("interfaces={}", all.join(",")));
        }
        if !self.usages.is_empty() {
            let all: Vec<String> = self.usages.iter().map(ToString::to_string).collect();
            words.push(format!("usage={}", all.join(",")));
        }
        words.extend(
            self.serial
                .as_ref()
                .map(|serial| format!("serial={serial}")),
        );
        words.extend(self.port.as_ref().map(|port| format!("port={port}")));
        words.extend(known_words(
            self.descriptors,
            &self.reports,
            self.another_keyboard,
            self.changed,
        ));
        formatter.write_str(&words.join(" "))
    }
}

/// `id=046d:c31c class=03:01:01 port=1-2`, one class for each interface.
impl fmt::Display for UsbDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = vec![format!("id={:04x}:{:04x}", self.vendor, self.product)];
        words.extend(self.release.map(|release| format!("release={release:04x}")));
        let classes = self.interfaces.iter();
        words.extend(classes.map(|class| format!("class={}", show_class(*class))));
        words.extend(self.usages.iter().map(|usage| format!("usage={usage}")));
        if let Some(serial) = &self.serial {
            let serial = crate::diagnostic::shown(serial.as_str());
            words.push(format!("serial={serial}"));
        }
        if !self.port.is_empty() {
            words.push(format!("port={}", self.port));
        }
        words.extend(known_words(
            self.descriptors,
            &self.reports,
            self.another_keyboard,
            self.changed,
        ));
        formatter.write_str(&words.join(" "))
    }
}

impl UsbDevice {
    /// Reads what its display writes.
    ///
    /// # Errors
    /// [`FactError`] where a word is none of those that a device has.
    pub fn parse(text: &str) -> Result<Self, FactError> {
        let error = |reason| FactError {
            what: "USB device",
            reason,
        };
        let mut device = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "id" => {
                    let numbers = value.split_once(':');
                    let numbers = numbers
                        .and_then(|(vendor, product)| Some((hex16(vendor)?, hex16(product)?)));
                    (device.vendor, device.product) = numbers
                        .ok_or_else(|| error("its id is not two numbers such as 046d:c31c"))?;
                }
                "release" => {
                    let release = hex16(value)
                        .ok_or_else(|| error("its release is no number such as 0110"))?;
                    device.release = Some(release);
                }
                "class" => device.interfaces.push(
                    class(value)
                        .ok_or_else(|| error("its class is not three numbers such as 03:01:01"))?,
                ),
                "usage" => device.usages.push(
                    UsbUsage::parse(value)
                        .ok_or_else(|| error("its usage is not such as keyboard or 0001:0006"))?,
                ),
                "serial" => device.serial = Some(Word::parse(value)?),
                "port" if value.len() <= 32 && is_port(value) => {
                    value.clone_into(&mut device.port);
                }
                "descriptors" | "report" => {
                    let hash = UsbHash::parse(value)
                        .ok_or_else(|| error("a hash is not 64 hexadecimal digits"))?;
                    if key == "report" {
                        device.reports.push(hash);
                    } else {
                        device.descriptors = Some(hash);
                    }
                }
                "keyboard" => {
                    let another = keyboard(value)
                        .ok_or_else(|| error("write keyboard=another or keyboard=only"))?;
                    device.another_keyboard = Some(another);
                }
                "changed" => {
                    let changed =
                        yes(value).ok_or_else(|| error("write changed=yes or changed=no"))?;
                    device.changed = Some(changed);
                }
                _ => {
                    return Err(error(
                        "write it as \"id=046d:c31c class=03:01:01 usage=keyboard serial=1 port=1-2\"",
                    ));
                }
            }
        }
        Ok(device)
    }
}

fn hex(text: &str) -> Option<u8> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

fn hex16(text: &str) -> Option<u16> {
    let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

/// Three numbers: `03:01:01`.
fn class(text: &str) -> Option<UsbClass> {
    let mut parts = text.split(':').map(hex);
    let all = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(all)
}

/// A class by name or number, then perhaps numbers of subclass and protocol.
fn class_pattern(text: &str) -> Option<(u8, Option<u8>, Option<u8>)> {
    let mut parts = text.split(':');
    let first = parts.next()?;
    let named = CLASSES.iter().find(|(name, _)| *name == first);
    let first = named.map(|(_, class)| *class).or_else(|| hex(first))?;
    let rest: Vec<u8> = parts.map(hex).collect::<Option<_>>()?;
    match rest.as_slice() {
        [] => Some((first, None, None)),
        [subclass] => Some((first, Some(*subclass), None)),
        [subclass, protocol] => Some((first, Some(*subclass), Some(*protocol))),
        _ => None,
    }
}

fn show_class((class, subclass, protocol): UsbClass) -> String {
    format!("{class:02x}:{subclass:02x}:{protocol:02x}")
}

fn is_serial(text: &str) -> bool {
    let plain = text.chars().all(|character| character.is_ascii_graphic());
    (1..=126).contains(&text.len()) && plain
}

fn is_port(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte))
}

/// Whether another keyboard is there.
fn keyboard(text: &str) -> Option<bool> {
    match text {
        "another" => Some(true),
        "only" => Some(false),
        _ => None,
    }
}

fn yes(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn known_words(
    descriptors: Option<UsbHash>,
    reports: &[UsbHash],
    another_keyboard: Option<bool>,
    changed: Option<bool>,
) -> Vec<String> {
    let mut words: Vec<String> = descriptors
        .map(|hash| format!("descriptors={hash}"))
        .into_iter()
        .collect();
    words.extend(reports.iter().map(|hash| format!("report={hash}")));
    words.extend(another_keyboard.map(|another| {
        let word = if another { "another" } else { "only" };
        format!("keyboard={word}")
    }));
    words.extend(changed.map(|changed| {
        let word = if changed { "yes" } else { "no" };
        format!("changed={word}")
    }));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn patterns_are_read_as_they_are_shown() {
        for bad in [
            "",
            "id=46d:1",
            "class=toaster",
            "serial=",
            "port=a",
            "id=046d",
            "x=1",
            "class=03:01:01:01",
            "release=1",
            "release=+110",
            "usage=",
            "usage=trackball",
            "usage=keyboard,",
            "interfaces=03:01",
            "descriptors=00",
            "report=zz",
            "keyboard=second",
            "changed=maybe",
        ] {
            assert!(UsbPattern::parse(bad).is_err(), "{bad}");
        }
        for text in [
            "id=046d:* class=hid:01:02 serial=X1 port=1-2.3".to_owned(),
            format!(
                "id=046d:c31c release=0110 interfaces=03:00:00,03:01:01 usage=keyboard,media,ff00:0001 descriptors={HASH} report={HASH} \
                 keyboard=another changed=no"
            ),
        ] {
            assert_eq!(UsbPattern::parse(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_device_is_read_as_it_is_shown() {
        for text in [
            "id=046d:c31c class=03:01:01 class=08:06:50 serial=A1 port=1-2.4".to_owned(),
            format!(
                "id=046d:c31c release=0110 class=03:01:01 usage=keyboard usage=ff00:0001 port=1-1 descriptors={HASH} report={HASH} \
                 keyboard=only changed=yes"
            ),
        ] {
            assert_eq!(UsbDevice::parse(&text).unwrap().to_string(), text);
        }
        for bad in ["id=46d:c31c", "class=3", "port=../x", "serial=\u{1b}", "x"] {
            assert!(UsbDevice::parse(bad).is_err(), "{bad}");
        }
    }

    /// Each word, a device that has it, one that has not, and one of which it is not known.
    #[test]
    fn what_is_not_known_counts_against_letting_in() {
        let other = HASH.replace("00", "01");
        let cases = [
            ("release=0110", "release=0110", "release=0111", ""),
            (
                "class=hid",
                "class=03:01:01 class=03:01:02",
                "class=08:06:50",
                "",
            ),
            (
                "interfaces=03:01:01,03:01:02",
                "class=03:01:02 class=03:01:01",
                "class=03:01:01",
                "",
            ),
            ("usage=keyboard,media", "usage=keyboard", "usage=mouse", ""),
            (
                &format!("descriptors={HASH}"),
                &format!("descriptors={HASH}"),
                &format!("descriptors={other}"),
                "",
            ),
            (
                &format!("report={HASH}"),
                &format!("report={HASH}"),
                &format!("report={other}"),
                "",
            ),
            ("keyboard=only", "keyboard=only", "keyboard=another", ""),
            ("changed=no", "changed=no", "changed=yes", ""),
        ];
        for (pattern, has, has_not, unknown) in cases {
            let pattern = UsbPattern::parse(pattern).unwrap();
            let fits =
                |device: &str, verdict| pattern.fits(&UsbDevice::parse(device).unwrap(), verdict);
            assert!(
                fits(has, Verdict::Allow) && fits(has, Verdict::Deny),
                "{pattern}"
            );
            assert!(
                !fits(has_not, Verdict::Allow) && !fits(has_not, Verdict::Deny),
                "{pattern}"
            );
            assert!(
                !fits(unknown, Verdict::Allow) && !fits(unknown, Verdict::Ask),
                "{pattern}"
            );
            assert!(fits(unknown, Verdict::Deny), "{pattern}");
            assert!(pattern.fits(&pattern.sample(), Verdict::Allow), "{pattern}");
        }
    }

    #[test]
    fn one_usage_more_keeps_a_device_out() {
        let keyboard = UsbPattern::parse("usage=keyboard").unwrap();
        let both = UsbDevice::parse("usage=keyboard usage=mouse").unwrap();
        assert!(!keyboard.fits(&both, Verdict::Allow));
        assert!(keyboard.fits(&both, Verdict::Deny));
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        let covers = |wide, narrow| {
            UsbPattern::parse(wide)
                .unwrap()
                .covers(&UsbPattern::parse(narrow).unwrap())
        };
        assert!(covers(
            "usage=keyboard,media",
            "usage=keyboard id=046d:c31c"
        ));
        assert!(!covers("usage=keyboard", "usage=keyboard,media"));
        assert!(!covers("usage=keyboard", "class=hid"));
        assert!(!covers("changed=no", "id=046d:c31c"));
    }
}
