//! What is plugged into this machine, as the kernel tells it in `/sys/bus/usb/devices`: no device is opened or asked anything.
//!
//! The kernel has read a device's descriptors once, when it was plugged in. They are hostile all the same and go through the same
//! bounded parsers. A device that someone took from its drivers shows no report descriptors and counts as taken.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::descriptor::{ClassTriple, Configuration, Speed};
use crate::device::{Description, DescriptionError, Names, clean_name};
use crate::identity::Identity;
use crate::report::MAX_DESCRIPTOR_BYTES;

/// Where the kernel tells of USB devices.
pub const DEVICES: &str = "/sys/bus/usb/devices";
/// The most bytes of descriptors that are read.
const MAX_DESCRIPTORS: u64 = 64 * 1024;
/// The most devices that are listed: a USB bus has 127, a machine a handful of buses.
const MAX_DEVICES: usize = 1024;

/// A device that is plugged in.
#[derive(Clone, Debug)]
pub struct Plugged {
    /// Its file in `/dev/bus/usb`. A device that is plugged in again has another one.
    pub node: PathBuf,
    /// Where it is plugged in, such as `1-1.4`.
    pub port: String,
    /// `idVendor`, `idProduct`, `bcdDevice`.
    pub numbers: (u16, u16, u16),
    /// What it calls itself.
    pub names: Names,
    /// Its interfaces in the first configuration.
    pub interfaces: Vec<(u8, ClassTriple)>,
    /// What it says of itself, or why that is refused.
    pub description: Result<Arc<Description>, DescriptionError>,
}

impl Plugged {
    /// What a policy is told of it; none for what is no HID device, or is refused.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        let description = self.description.as_ref().ok()?;
        (!description.reports.is_empty()).then(|| Identity::new(description))
    }

    /// What a person would call it.
    #[must_use]
    pub fn title(&self) -> String {
        let (vendor, product, _) = self.numbers;
        self.names.title(vendor, product)
    }

    /// Whether it is a hub: others are plugged into it.
    #[must_use]
    pub fn is_hub(&self) -> bool {
        self.interfaces.iter().any(|(_, class)| class.class == 9)
    }
}

/// Lists what is plugged in, in the order of ports. Devices that go away meanwhile are left out.
///
/// # Errors
/// When the kernel's folder cannot be read. A kernel without USB has none, and then nothing is plugged in.
pub fn list(folder: &Path) -> std::io::Result<Vec<Plugged>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut list: Vec<Plugged> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // `1-1:1.0` is an interface and `usb1` a root hub.
            let is_device = name.starts_with(|first: char| first.is_ascii_digit());
            (is_device && !name.contains(':')).then_some(())?;
            look(&entry.path(), name)
        })
        .take(MAX_DEVICES)
        .collect();
    list.sort_by(|one, other| one.port.cmp(&other.port));
    Ok(list)
}

fn look(folder: &Path, port: String) -> Option<Plugged> {
    let number = |name: &str| text(&folder.join(name))?.parse::<u16>().ok();
    let bytes = bytes(&folder.join("descriptors"), MAX_DESCRIPTORS)?;
    let (device, configuration) = split_descriptors(&bytes)?;
    let word = |low: usize| {
        let pair = device.get(low..low.saturating_add(2));
        pair.and_then(|pair| pair.try_into().ok())
            .map(u16::from_le_bytes)
    };
    let name = |file: &str| clean_name(&as_libusb(&text(&folder.join(file)).unwrap_or_default()));
    let names = Names {
        manufacturer: name("manufacturer"),
        product: name("product"),
        serial: name("serial"),
    };
    let speed = match text(&folder.join("speed"))?.as_str() {
        "1.5" => Speed::Low,
        "12" => Speed::Full,
        "480" => Speed::High,
        _ => Speed::Super,
    };
    let interfaces: Vec<(u8, ClassTriple)> = Configuration::parse(&configuration)
        .map(|configuration| {
            let settings = configuration.interfaces();
            settings
                .map(|setting| (setting.number, setting.class))
                .collect()
        })
        .unwrap_or_default();
    let reports: Vec<(u8, Vec<u8>)> = interfaces
        .iter()
        .filter(|(_, class)| class.is_hid())
        .filter_map(|(number, _)| Some((*number, report_descriptor(folder, &port, *number)?)))
        .collect();
    let description = Description::new(speed, &device, &configuration, reports);
    let description = description.map(|mut description| {
        description.names = names.clone();
        description.port.clone_from(&port);
        Arc::new(description)
    });
    Some(Plugged {
        node: PathBuf::from(format!(
            "/dev/bus/usb/{:03}/{:03}",
            number("busnum")?,
            number("devnum")?
        )),
        port,
        numbers: (word(8)?, word(10)?, word(12)?),
        names,
        interfaces,
        description,
    })
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
fn report_descriptor(device: &Path, port: &str, interface: u8) -> Option<Vec<u8>> {
    let folder = device.join(format!("{port}:1.{interface}"));
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
    use crate::device::DescriptionFile;

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
        assert_eq!(device.node, Path::new("/dev/bus/usb/001/004"));
        assert_eq!(device.title(), "Bulkhead Simulated keyboard and mouse");
        assert_eq!(device.identity().unwrap(), Identity::new(&description));
        assert!(!device.is_hub());
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
