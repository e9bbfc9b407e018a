//! What a policy is told of a device, and who answers.
//!
//! A device is judged by all that it shows, and only by what was read through the descriptors that are then used: hashes bind the verdict to those
//! bytes, so that a device which shows something else on re-enumeration is another device ([`Identity::fingerprint`]).

use std::collections::BTreeMap;
use std::fmt::Write;

use ring::digest::{Context, SHA256, digest};

use crate::descriptor::{ClassTriple, Speed};
use crate::device::{Description, Names};
use crate::filter::Grant;
use crate::report::Usage;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (place, byte) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
            *place = *byte;
        }
        Self(hash)
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What one HID interface declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportIdentity {
    /// The hash of its report descriptor.
    pub hash: Hash,
    /// Its top-level usages, in order.
    pub applications: Vec<Usage>,
}

/// All that is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `idVendor`, `idProduct`, `bcdDevice`.
    pub numbers: (u16, u16, u16),
    /// What it calls itself, cleaned. Names prove nothing.
    pub names: Names,
    /// Its speed.
    pub speed: Speed,
    /// Where it is plugged in; empty when that is unknown.
    pub port: String,
    /// Every setting of every interface, by number and alternate setting.
    pub interfaces: BTreeMap<(u8, u8), ClassTriple>,
    /// The hash of the device and configuration descriptors.
    pub descriptors: Hash,
    /// Of each HID interface.
    pub reports: BTreeMap<u8, ReportIdentity>,
}

impl Identity {
    /// The identity of a described device.
    #[must_use]
    pub fn new(description: &Description) -> Self {
        let device = &description.device;
        let mut bytes = device.raw.to_vec();
        bytes.extend_from_slice(&description.configuration.raw);
        Self {
            numbers: (device.vendor, device.product, device.release),
            names: description.names.clone(),
            speed: description.speed,
            port: description.port.clone(),
            interfaces: description
                .configuration
                .settings
                .iter()
                .map(|setting| ((setting.number, setting.alternate), setting.class))
                .collect(),
            descriptors: Hash::of(&bytes),
            reports: description
                .reports
                .iter()
                .map(|(interface, report)| {
                    let identity = ReportIdentity {
                        hash: Hash::of(&report.raw),
                        applications: report
                            .parsed
                            .applications()
                            .iter()
                            .map(|application| application.usage)
                            .collect(),
                    };
                    (*interface, identity)
                })
                .collect(),
        }
    }

    /// One hash over everything that must not change between the verdict and the use, and over re-enumerations: all but the port.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(&self.descriptors.0);
        context.update(self.names.serial.as_bytes());
        for (interface, report) in &self.reports {
            context.update(&[0, *interface]);
            context.update(&report.hash.0);
        }
        let mut hash = [0; 32];
        for (place, byte) in hash.iter_mut().zip(context.finish().as_ref()) {
            *place = *byte;
        }
        Hash(hash)
    }

    /// Whether it can type: by a keyboard or keypad collection in any report descriptor, or as a boot keyboard. An interface of class
    /// 03:00:00 may well be a keyboard, so the triple alone says nothing.
    #[must_use]
    pub fn can_type(&self) -> bool {
        let declares = |report: &ReportIdentity| {
            report
                .applications
                .iter()
                .any(|usage| matches!(*usage, Usage::KEYBOARD | Usage::KEYPAD))
        };
        let boot =
            |class: &ClassTriple| class.is_hid() && class.subclass == 1 && class.protocol == 1;
        self.reports.values().any(declares) || self.interfaces.values().any(boot)
    }

    /// What it is, as a person would say it: `keyboard and mouse`.
    #[must_use]
    pub fn kind(&self) -> String {
        let words: Vec<&str> = self.kinds().into_iter().map(DeviceKind::as_str).collect();
        match words.as_slice() {
            [] => "nothing known".to_owned(),
            [one] => (*one).to_owned(),
            [first @ .., last] => {
                let mut text = first.join(", ");
                let _ = write!(text, " and {last}");
                text
            }
        }
    }

    /// The kinds of controls that it has, each once.
    pub fn kinds(&self) -> Vec<DeviceKind> {
        let mut kinds = Vec::new();
        let usages = self
            .reports
            .values()
            .flat_map(|report| &report.applications);
        for usage in usages {
            let kind = match (usage.page(), usage.number()) {
                (1, 1 | 2) => DeviceKind::Mouse,
                (1, 6 | 7) => DeviceKind::Keyboard,
                (1, 4 | 5 | 8) => DeviceKind::GameController,
                (1, 0x80) => DeviceKind::PowerKeys,
                (0x0c, _) => DeviceKind::MediaKeys,
                (0x0d, _) => DeviceKind::Pen,
                (0xf1d0, _) => DeviceKind::SecurityKey,
                (0xff00.., _) => DeviceKind::MakersOwn,
                _ => DeviceKind::OtherControls,
            };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if self.interfaces.values().any(|class| !class.is_hid()) {
            kinds.push(DeviceKind::OtherThanHid);
        }
        kinds
    }
}

/// A kind of controls, as people know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A mouse or another pointer.
    Mouse,
    /// A keyboard or keypad.
    Keyboard,
    /// A joystick, game pad or such.
    GameController,
    /// Keys for power and sleep.
    PowerKeys,
    /// Keys for sound, players and such.
    MediaKeys,
    /// A digitiser.
    Pen,
    /// FIDO.
    SecurityKey,
    /// What its maker alone knows.
    MakersOwn,
    /// Any other HID page.
    OtherControls,
    /// An interface of another class.
    OtherThanHid,
}

impl DeviceKind {
    /// Its English name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mouse => "mouse",
            Self::Keyboard => "keyboard",
            Self::GameController => "game controller",
            Self::PowerKeys => "power keys",
            Self::MediaKeys => "media keys",
            Self::Pen => "pen or touch",
            Self::SecurityKey => "security key",
            Self::MakersOwn => "maker's own",
            Self::OtherControls => "other controls",
            Self::OtherThanHid => "other than HID",
        }
    }
}

/// The circumstances a verdict depends on beside the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Another keyboard is there already.
    pub another_keyboard: bool,
    /// The device was seen at this port before and has changed since.
    pub changed: bool,
}

/// The policy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may be attached, with what passes.
    Allow(Grant),
    /// Someone must be asked.
    Ask,
    /// It may not.
    Deny,
}

/// Who decides: the policy, behind what this crate needs of it. Nothing here decides by itself.
pub trait Judge {
    /// The zones there are.
    fn zones(&self) -> Vec<String>;

    /// What may become of a device in a zone, and the rule that says so. No rule means [`Judgement::Deny`].
    fn judge(
        &self,
        zone: &str,
        device: &Identity,
        circumstances: Circumstances,
    ) -> (Judgement, String);

    /// The rules about USB, one a line, as a person wrote them.
    fn rules(&self) -> Vec<String>;
}

/// Denies everything: what holds when there is no policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyAll;

impl Judge for DenyAll {
    fn zones(&self) -> Vec<String> {
        Vec::new()
    }

    fn judge(&self, _: &str, _: &Identity, _: Circumstances) -> (Judgement, String) {
        (Judgement::Deny, "no policy is loaded".to_owned())
    }

    fn rules(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DescriptionFile;

    fn identity(text: &str) -> Identity {
        Identity::new(&DescriptionFile::parse(text).unwrap().describe().unwrap())
    }

    const COMPOSITE: &str = include_str!("../descriptors/composite.txt");

    #[test]
    fn a_device_is_named_as_a_person_would() {
        let device = identity(COMPOSITE);
        assert_eq!(device.kind(), "keyboard and mouse");
        assert!(device.can_type());
    }

    #[test]
    fn a_keyboard_behind_a_plain_hid_class_is_found() {
        let hidden = identity(
            "report 0 06 00 ff 09 01 a1 01 75 08 95 08 09 02 81 02 c0 05 01 09 06 a1 01 05 07 19 00 29 65 75 08 95 06 15 00 25 65 81 00 c0\n",
        );
        assert_eq!(hidden.interfaces[&(0, 0)].to_string(), "03:00:00");
        assert!(hidden.can_type());
        assert_eq!(hidden.kind(), "maker's own and keyboard");
    }

    #[test]
    fn any_change_of_descriptors_or_serial_is_another_device() {
        let before = identity(COMPOSITE);
        let changes = [
            COMPOSITE.replace("serial 0001", "serial 0002"),
            COMPOSITE.replace("09 12 01 00 00 01 01 02", "09 12 01 00 01 01 01 02"),
            COMPOSITE.replace("29 03 15 00", "29 02 15 00"),
            COMPOSITE.replace("03 01 02 00", "03 01 01 00"),
        ];
        for text in changes {
            assert_ne!(text, COMPOSITE);
            assert_ne!(identity(&text).fingerprint(), before.fingerprint());
        }
        assert_eq!(identity(COMPOSITE).fingerprint(), before.fingerprint());
    }
}
