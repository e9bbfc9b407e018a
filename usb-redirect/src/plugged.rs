//! What is plugged into this machine, as the kernel tells it in `/sys/bus/usb/devices`: no device is opened or asked anything.
//!
//! The kernel has read a device's descriptors once, when it was plugged in. They are hostile all the same, and go three steps: [`places`] tells
//! what there is without reading any of them, [`Shown`] is their bytes, unparsed, and [`Digest`] is what the parsers made of them, as text
//! that another process can take. A device that someone took from its drivers shows no report descriptors and counts as taken.

mod digest;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::descriptor::Speed;
use crate::device::{Names, clean_name};
use crate::report::MAX_DESCRIPTOR_BYTES;
use crate::stream::MAX_REPORT_DESCRIPTORS;

pub use digest::{Digest, MAX_DIGEST, NoDigest};

/// Where the kernel tells of USB devices.
pub const DEVICES: &str = "/sys/bus/usb/devices";
/// The most bytes of descriptors that are read.
const MAX_DESCRIPTORS: u64 = 64 * 1024;
/// The most devices that are listed: a USB bus has 127, a machine a handful of buses.
const MAX_DEVICES: usize = 1024;

/// Where something is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name, such as `1-1.4`.
    pub port: String,
    /// The device's file in `/dev/bus/usb`. A device that is plugged in again has another one.
    pub node: PathBuf,
    /// The folder in which the kernel tells of it.
    pub folder: PathBuf,
}

/// A device that is plugged in.
#[derive(Clone, Debug)]
pub struct Plugged {
    /// Where.
    pub place: Place,
    /// What it says of itself.
    pub digest: Digest,
}

/// Lists where something is plugged in, in the order of ports. Devices that go away meanwhile are left out.
///
/// # Errors
/// When the kernel's folder cannot be read. A kernel without USB has none, and then nothing is plugged in.
pub fn places(folder: &Path) -> std::io::Result<Vec<Place>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut list: Vec<Place> = entries
        .flatten()
        .filter_map(|entry| {
            let port = entry.file_name().into_string().ok()?;
            // `1-1:1.0` is an interface and `usb1` a root hub.
            let is_device = port.starts_with(|first: char| first.is_ascii_digit());
            (is_device && !port.contains(':')).then_some(())?;
            let folder = entry.path();
            let number = |name: &str| text(&folder.join(name))?.parse::<u16>().ok();
            let (bus, device) = (number("busnum")?, number("devnum")?);
            let node = PathBuf::from(format!("/dev/bus/usb/{bus:03}/{device:03}"));
            Some(Place { port, node, folder })
        })
        .take(MAX_DEVICES)
        .collect();
    list.sort_by(|one, other| one.port.cmp(&other.port));
    Ok(list)
}

/// Lists what is plugged in and parses it here: for programs that may parse what devices say.
///
/// # Errors
/// As [`places`].
pub fn list(folder: &Path) -> std::io::Result<Vec<Plugged>> {
    let look = |place: Place| {
        let digest = Shown::read(&place.folder).ok()?.digest();
        Some(Plugged { place, digest })
    };
    Ok(places(folder)?.into_iter().filter_map(look).collect())
}

/// What the kernel shows of a device: bytes that nobody has looked at.
#[derive(Clone, Debug)]
pub struct Shown {
    port: String,
    speed: Speed,
    names: Names,
    descriptors: Vec<u8>,
    /// By interface number.
    reports: Vec<(u8, Vec<u8>)>,
}

impl Shown {
    /// Reads a device's folder ([`Place::folder`]).
    ///
    /// # Errors
    /// When it is gone.
    pub fn read(folder: &Path) -> std::io::Result<Self> {
        let port = folder.file_name().unwrap_or_default();
        let port = port.to_string_lossy().into_owned();
        let gone = || std::io::Error::from(ErrorKind::NotFound);
        let name =
            |file: &str| clean_name(&as_libusb(&text(&folder.join(file)).unwrap_or_default()));
        // Interface 2 of its first configuration is in the folder `1-1.4:1.2`.
        let interface = |name: &std::ffi::OsStr| {
            let rest = name.to_str()?.strip_prefix(&port)?;
            rest.strip_prefix(":1.")?.parse::<u8>().ok()
        };
        let mut reports: Vec<(u8, Vec<u8>)> = std::fs::read_dir(folder)?
            .flatten()
            .filter_map(|entry| {
                let number = interface(&entry.file_name())?;
                Some((number, report_descriptor(&entry.path())?))
            })
            .take(MAX_REPORT_DESCRIPTORS + 1)
            .collect();
        reports.sort_unstable();
        Ok(Self {
            speed: match text(&folder.join("speed")).ok_or_else(gone)?.as_str() {
                "1.5" => Speed::Low,
                "12" => Speed::Full,
                "480" => Speed::High,
                _ => Speed::Super,
            },
            names: Names {
                manufacturer: name("manufacturer"),
                product: name("product"),
                serial: name("serial"),
            },
            descriptors: bytes(&folder.join("descriptors"), MAX_DESCRIPTORS).ok_or_else(gone)?,
            reports,
            port,
        })
    }
}

/// The device descriptor and the first configuration of what the kernel keeps.
#[must_use]
pub fn split_descriptors(bytes: &[u8]) -> Option<([u8; 18], Vec<u8>)> {
    let (device, rest) = bytes.split_first_chunk::<18>()?;
    let [_, _, low, high, ..] = *rest else {
        return None;
    };
    let total = usize::from(u16::from_le_bytes([low, high]));
    Some((*device, rest.get(..total)?.to_vec()))
}

/// The report descriptor that the kernel's HID driver has read: in the folder of the interface, in one named by bus and numbers.
fn report_descriptor(folder: &Path) -> Option<Vec<u8>> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let found = entries
        .map(|entry| entry.path().join("report_descriptor"))
        .find(|path| path.is_file())?;
    bytes(
        &found,
        u64::try_from(MAX_DESCRIPTOR_BYTES).unwrap_or(u64::MAX),
    )
}

/// Names as they are when they are asked of the device itself: one question mark for each UTF-16 unit beyond ASCII.
fn as_libusb(text: &str) -> String {
    let plain = |character: char| {
        let (shown, count) = if character.is_ascii() {
            (character, 1)
        } else {
            ('?', character.len_utf16())
        };
        std::iter::repeat_n(shown, count)
    };
    text.chars().flat_map(plain).collect()
}

fn bytes(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn text(path: &Path) -> Option<String> {
    let text = String::from_utf8(bytes(path, 4096)?).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Description, DescriptionFile};
    use crate::identity::Identity;

    const COMPOSITE: &str = include_str!("../descriptors/composite.txt");

    /// Writes what the kernel would show of a device.
    fn plug(folder: &Path, port: &str, description: &Description) {
        let device = folder.join(port);
        for (interface, report) in &description.reports {
            let hid = device.join(format!(
                "{port}:1.{interface}/0003:1209:0001.000{interface}"
            ));
            std::fs::create_dir_all(&hid).unwrap();
            std::fs::write(hid.join("report_descriptor"), &report.raw).unwrap();
        }
        let mut raw = description.device.raw.to_vec();
        raw.extend_from_slice(&description.configuration.raw);
        std::fs::write(device.join("descriptors"), raw).unwrap();
        for (name, value) in [
            ("busnum", "1"),
            ("devnum", "4"),
            ("speed", "12"),
            ("product", &description.names.product),
            ("manufacturer", &description.names.manufacturer),
            ("serial", &description.names.serial),
        ] {
            std::fs::write(device.join(name), format!("{value}\n")).unwrap();
        }
    }

    #[test]
    fn a_device_is_what_it_would_say_itself() {
        let folder = std::env::temp_dir().join(format!("bulkhead-plugged-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("usb1")).unwrap();
        std::fs::create_dir_all(folder.join("1-0:1.0")).unwrap();
        let mut description = DescriptionFile::parse(COMPOSITE)
            .unwrap()
            .describe()
            .unwrap();
        description.port = "1-2.4".to_owned();
        plug(&folder, "1-2.4", &description);
        let listed = list(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let [device] = listed.as_slice() else {
            panic!("{listed:?}");
        };
        assert_eq!(device.place.node, Path::new("/dev/bus/usb/001/004"));
        let digest = &device.digest;
        assert_eq!(digest.title(), "Bulkhead Simulated keyboard and mouse");
        assert_eq!(digest.identity, Ok(Identity::new(&description)));
        assert!(digest.is_hid && !digest.is_hub);
    }

    #[test]
    fn a_bomb_is_refused_with_a_reason() {
        let mut description = DescriptionFile::parse(COMPOSITE)
            .unwrap()
            .describe()
            .unwrap();
        description.reports.get_mut(&0).unwrap().raw = vec![
            0xa1, 1, 0x75, 1, 0x97, 0xff, 0xff, 0xff, 0x7f, 0x81, 2, 0xc0,
        ];
        let folder = std::env::temp_dir().join(format!("bulkhead-bomb-{}", std::process::id()));
        plug(&folder, "1-1", &description);
        let digest = Shown::read(&folder.join("1-1")).unwrap().digest();
        std::fs::remove_dir_all(&folder).unwrap();
        let reason = digest.identity.unwrap_err();
        assert!(reason.starts_with("refused: interface 0"), "{reason}");
        assert!(digest.is_hid);
    }

    #[test]
    fn a_kernel_without_usb_has_no_devices() {
        assert!(list(Path::new("/nonexistent")).unwrap().is_empty());
    }

    #[test]
    fn names_are_those_that_libusb_reads() {
        assert_eq!(as_libusb("Tastatur-Ä \u{1f600}"), "Tastatur-? ??");
    }
}
