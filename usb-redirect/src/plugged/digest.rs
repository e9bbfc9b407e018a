//! What the parsers made of a device, as lines of text: from the jailed process that parses what devices say to those that decide and
//! show. The reader takes nothing on trust but what the text can say: it is bounded, in one order, and any line that does not stand where it
//! must refuses all of it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use super::{Shown, split_descriptors};
use crate::descriptor::{
    ClassTriple, Configuration, DeviceDescriptor, MAX_INTERFACE_SETTINGS, Speed,
};
use crate::device::{Description, DescriptionError, Names, clean_name};
use crate::identity::{Hash, Identity, ReportIdentity};
use crate::report::{MAX_APPLICATIONS, Usage};
use crate::stream::MAX_REPORT_DESCRIPTORS;

/// The longest text of a digest, in bytes: more than every device within the parsers' limits needs.
pub const MAX_DIGEST: usize = 128 * 1024;
/// Why no zone can have a device, in bytes.
const MAX_REASON: usize = 300;

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// `idVendor`, `idProduct`, `bcdDevice`.
    pub numbers: (u16, u16, u16),
    /// What it calls itself.
    pub names: Names,
    /// Others are plugged into it.
    pub is_hub: bool,
    /// It has an interface for people.
    pub is_hid: bool,
    /// What a policy is told of it, or why no zone can have it.
    pub identity: Result<Identity, String>,
}

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process that reads what devices say has said something else")]
pub struct NoDigest;

impl Shown {
    /// Parses it all.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let split = split_descriptors(&self.descriptors);
        let (device, configuration) = split.unwrap_or(([0; 18], Vec::new()));
        let parsed = Configuration::parse(&configuration);
        let interfaces: Vec<(u8, ClassTriple)> = parsed
            .iter()
            .flat_map(Configuration::interfaces)
            .map(|setting| (setting.number, setting.class))
            .collect();
        let is_hid_at = |number: u8| {
            let mut hid = interfaces.iter().filter(|(_, class)| class.is_hid());
            hid.any(|(hid, _)| *hid == number)
        };
        let reports = self
            .reports
            .iter()
            .filter(|(number, _)| is_hid_at(*number))
            .cloned();
        let description = Description::new(self.speed, &device, &configuration, reports);
        let description = description.map(|mut description| {
            description.names = self.names.clone();
            description.port.clone_from(&self.port);
            description
        });
        let numbers = DeviceDescriptor::parse(&device).map_or((0, 0, 0), |device| {
            (device.vendor, device.product, device.release)
        });
        Digest::new(
            numbers,
            self.names.clone(),
            interfaces.iter().map(|(_, class)| *class),
            description,
        )
    }
}

impl From<&Description> for Digest {
    fn from(description: &Description) -> Self {
        let device = &description.device;
        let classes: Vec<ClassTriple> = description
            .configuration
            .interfaces()
            .map(|setting| setting.class)
            .collect();
        Self::new(
            (device.vendor, device.product, device.release),
            description.names.clone(),
            classes.into_iter(),
            Ok(description.clone()),
        )
    }
}

impl Digest {
    fn new(
        numbers: (u16, u16, u16),
        names: Names,
        mut classes: impl Iterator<Item = ClassTriple> + Clone,
        description: Result<Description, DescriptionError>,
    ) -> Self {
        let is_hub = classes.clone().any(|class| class.class == 9);
        let identity = match description {
            Err(error) => Err(format!("refused: {error}")),
            Ok(_) if is_hub => Err("a hub: what is plugged into it is listed".to_owned()),
            Ok(description) if description.reports.is_empty() => {
                Err("no human interface device".to_owned())
            }
            Ok(description) => Ok(Identity::new(&description)),
        };
        Self {
            numbers,
            names,
            is_hub,
            is_hid: classes.any(|class| class.is_hid()),
            identity,
        }
    }

    /// Of a device that nobody could describe.
    #[must_use]
    pub fn unknown(reason: String) -> Self {
        Self {
            numbers: (0, 0, 0),
            names: Names::default(),
            is_hub: false,
            is_hid: false,
            identity: Err(reason),
        }
    }

    /// What a person would call it.
    #[must_use]
    pub fn title(&self) -> String {
        let (vendor, product, _) = self.numbers;
        self.names.title(vendor, product)
    }

    /// Reads the text of a digest of the device at `port`.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str, port: &str) -> Result<Self, NoDigest> {
        Self::read(text, port).ok_or(NoDigest)
    }

    fn read(text: &str, port: &str) -> Option<Self> {
        // What ends with its last line was not cut off.
        let body = text
            .strip_suffix("end\n")
            .filter(|body| body.len() < MAX_DIGEST)?;
        let mut lines = body.lines().peekable();
        let [vendor, product, release] = numbers(lines.next()?.strip_prefix("device ")?)?;
        let is = |line: &str| match line.split_once(' ')? {
            (_, "no") => Some(false),
            (_, "yes") => Some(true),
            _ => None,
        };
        let is_hub = is(lines.next().filter(|line| line.starts_with("hub "))?)?;
        let is_hid = is(lines.next().filter(|line| line.starts_with("hid "))?)?;
        let mut name = |key| {
            let name = lines.next()?.strip_prefix(key)?.to_owned();
            // What is not as this side would clean it is shown to nobody.
            (clean_name(&name) == name).then_some(name)
        };
        let names = Names {
            manufacturer: name("manufacturer ")?,
            product: name("product ")?,
            serial: name("serial ")?,
        };
        let mut digest = Self {
            numbers: (vendor, product, release),
            names: names.clone(),
            is_hub,
            is_hid,
            identity: Err(String::new()),
        };
        if let Some(reason) = lines.peek().and_then(|line| line.strip_prefix("refused ")) {
            let printable = |character: char| !character.is_control();
            (reason.len() <= MAX_REASON && reason.chars().all(printable)).then_some(())?;
            digest.identity = Err(reason.to_owned());
            lines.next();
            return lines.next().is_none().then_some(digest);
        }
        let mut identity = Identity {
            numbers: digest.numbers,
            names,
            speed: Speed::from_linux(lines.next()?.strip_prefix("speed ")?.parse().ok()?)?,
            port: port.to_owned(),
            interfaces: BTreeMap::new(),
            descriptors: hash(lines.next()?.strip_prefix("descriptors ")?)?,
            reports: BTreeMap::new(),
        };
        for line in lines {
            match line.split_once(' ')? {
                ("setting", rest) => {
                    let (place, class) = rest.split_once(' ')?;
                    let [number, alternate] = numbers(place)?.map(u8::try_from);
                    let [class, subclass, protocol] = numbers(class)?.map(u8::try_from);
                    let class = ClassTriple {
                        class: class.ok()?,
                        subclass: subclass.ok()?,
                        protocol: protocol.ok()?,
                    };
                    identity
                        .interfaces
                        .insert((number.ok()?, alternate.ok()?), class);
                }
                ("report", rest) => {
                    let mut words = rest.split(' ');
                    let [number] = numbers(words.next()?)?.map(u8::try_from);
                    let report = ReportIdentity {
                        hash: hash(words.next()?)?,
                        applications: words
                            .map(|word| {
                                numbers(word).map(|[page, number]| Usage::new(page, number))
                            })
                            .collect::<Option<_>>()?,
                    };
                    (report.applications.len() <= MAX_APPLICATIONS).then_some(())?;
                    identity.reports.insert(number.ok()?, report);
                }
                _ => return None,
            }
        }
        let within = !identity.reports.is_empty()
            && identity.reports.len() <= MAX_REPORT_DESCRIPTORS
            && identity.interfaces.len() <= MAX_INTERFACE_SETTINGS;
        digest.identity = Ok(within.then_some(identity)?);
        Some(digest)
    }
}

impl Display for Digest {
    /// The text that [`Digest::parse`] reads: a line for each thing, `end` as the last.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vendor, product, release) = self.numbers;
        let word = |is| if is { "yes" } else { "no" };
        writeln!(out, "device {vendor:x}:{product:x}:{release:x}")?;
        writeln!(out, "hub {}", word(self.is_hub))?;
        writeln!(out, "hid {}", word(self.is_hid))?;
        writeln!(out, "manufacturer {}", self.names.manufacturer)?;
        writeln!(out, "product {}", self.names.product)?;
        writeln!(out, "serial {}", self.names.serial)?;
        match &self.identity {
            Err(reason) => {
                let mut short = String::new();
                for character in reason.chars().filter(|character| !character.is_control()) {
                    if short.len() + character.len_utf8() <= MAX_REASON {
                        short.push(character);
                    }
                }
                writeln!(out, "refused {short}")?;
            }
            Ok(identity) => {
                writeln!(out, "speed {}", identity.speed.linux())?;
                writeln!(out, "descriptors {}", identity.descriptors)?;
                for ((number, alternate), class) in &identity.interfaces {
                    writeln!(out, "setting {number:x}:{alternate:x} {class}")?;
                }
                for (number, report) in &identity.reports {
                    write!(out, "report {number:x} {}", report.hash)?;
                    report
                        .applications
                        .iter()
                        .try_for_each(|usage| write!(out, " {usage}"))?;
                    out.write_char('\n')?;
                }
            }
        }
        writeln!(out, "end")
    }
}

/// Hexadecimal numbers of at most 16 bits with colons between them.
fn numbers<const COUNT: usize>(text: &str) -> Option<[u16; COUNT]> {
    let mut parts = text.split(':');
    let mut numbers = [0; COUNT];
    for number in &mut numbers {
        *number = u16::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn hash(text: &str) -> Option<Hash> {
    let mut hash = Hash([0; 32]);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    (rest.is_empty() && pairs.len() == hash.0.len()).then_some(())?;
    for (place, pair) in hash.0.iter_mut().zip(pairs) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::DescriptionFile;

    const COMPOSITE: &str = include_str!("../../descriptors/composite.txt");

    fn digest() -> Digest {
        let description = DescriptionFile::parse(COMPOSITE)
            .unwrap()
            .describe()
            .unwrap();
        Digest::from(&description)
    }

    #[test]
    fn a_digest_arrives_as_it_was_sent() {
        let sent = digest();
        let mut expected = sent.clone();
        let got = Digest::parse(&sent.to_string(), "1-1.4").unwrap();
        if let Ok(identity) = &mut expected.identity {
            "1-1.4".clone_into(&mut identity.port);
        }
        assert_eq!(got, expected);
        assert_eq!(
            got.identity.unwrap().fingerprint(),
            sent.identity.clone().unwrap().fingerprint()
        );
        let refused = Digest {
            identity: Err("refused: a bomb\nend\n".repeat(100)),
            ..sent
        };
        let got = Digest::parse(&refused.to_string(), "1-1").unwrap();
        assert!(got.identity.unwrap_err().starts_with("refused: a bombend"));
    }

    #[test]
    fn what_is_cut_off_or_more_than_a_digest_is_none() {
        let text = digest().to_string();
        for length in 0..text.len() {
            assert_eq!(
                Digest::parse(&text[..length], ""),
                Err(NoDigest),
                "{length}"
            );
        }
        for more in ["x", "end\n", "setting 0:0 3:1:1\n"] {
            assert_eq!(Digest::parse(&format!("{text}{more}"), ""), Err(NoDigest));
        }
        let long = text.replace("end\n", &"setting 0:0 03:01:01\n".repeat(10_000)) + "end\n";
        assert_eq!(Digest::parse(&long, ""), Err(NoDigest));
        let foul = text.replace("product ", "product \u{202e}");
        assert_eq!(Digest::parse(&foul, ""), Err(NoDigest));
    }

    proptest! {
        #[test]
        fn nothing_said_breaks_the_reader(at in 0usize..600, byte: u8, tail in ".{0,200}") {
            let mut text = digest().to_string().into_bytes();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            let text = String::from_utf8_lossy(&text);
            if let Ok(digest) = Digest::parse(&text, "1-1") {
                prop_assert_eq!(Digest::parse(&digest.to_string(), "1-1"), Ok(digest));
            }
            let _ = Digest::parse(&format!("{tail}\nend\n"), "1-1");
        }
    }
}
