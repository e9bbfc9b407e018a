//! What is plugged in: devices by libusb, what their HID interfaces are by hidapi, neither of which touches the devices.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hidapi::HidApi;
use rusb::UsbContext;
use usb_redirect::descriptor::{ClassTriple, Speed};
use usb_redirect::device::clean_name;
use usb_redirect::report::{MAX_DESCRIPTOR_BYTES, ReportDescriptor, Usage};

use crate::HostError;
use crate::device::{MAX_DESCRIPTORS, speed, split_descriptors};

/// A device as `bulkhead usb list` shows it.
#[derive(Clone, Debug)]
pub struct ListedDevice {
    /// Its file in `/dev/bus/usb`.
    pub node: PathBuf,
    /// Where it is plugged in, such as `1-1.4`.
    pub port: String,
    /// `idVendor`, `idProduct`, `bcdDevice`.
    pub identity: (u16, u16, u16),
    /// What it calls itself, cleaned.
    pub title: String,
    /// Its serial number, cleaned.
    pub serial: String,
    /// Its speed.
    pub speed: Speed,
    /// The device descriptor and the first configuration, as the kernel keeps them.
    pub descriptors: ([u8; 18], Vec<u8>),
    /// Its interfaces.
    pub interfaces: Vec<ListedInterface>,
}

/// An interface of a listed device.
#[derive(Clone, Debug)]
pub struct ListedInterface {
    /// Its number.
    pub number: u8,
    /// What it is.
    pub class: ClassTriple,
    /// For HID: its top-level usages.
    pub usages: Vec<Usage>,
    /// For HID: its report descriptor, when the kernel shows it.
    pub report: Option<Vec<u8>>,
}

/// Lists what is plugged in.
///
/// # Errors
/// When the USB bus cannot be looked at. Devices that cannot be read are left out.
pub fn list() -> Result<Vec<ListedDevice>, HostError> {
    let failed = |what: &str, error| HostError::Usb {
        what: what.to_owned(),
        error,
    };
    let context = rusb::Context::new().map_err(|error| failed("look at the USB bus", error))?;
    let devices = context
        .devices()
        .map_err(|error| failed("list devices", error))?;
    // Without hidraw there is still a list, only without usages.
    let hid = HidApi::new().ok();
    Ok(devices
        .iter()
        .filter_map(|device| describe(&device, hid.as_ref()))
        .collect())
}

fn describe(device: &rusb::Device<rusb::Context>, hid: Option<&HidApi>) -> Option<ListedDevice> {
    let descriptor = device.device_descriptor().ok()?;
    let configuration = device.active_config_descriptor().ok()?;
    let bus = device.bus_number();
    let ports: Vec<String> = device
        .port_numbers()
        .unwrap_or_default()
        .iter()
        .map(u8::to_string)
        .collect();
    let release = device_release(&descriptor);
    let identity = (descriptor.vendor_id(), descriptor.product_id(), release);
    let known: Vec<&hidapi::DeviceInfo> = hid
        .map(|hid| {
            hid.device_list()
                .filter(|info| {
                    (info.vendor_id(), info.product_id()) == (identity.0, identity.1)
                        && info.release_number() == release
                })
                .collect()
        })
        .unwrap_or_default();
    let text = |get: fn(&hidapi::DeviceInfo) -> Option<&str>| {
        known
            .iter()
            .find_map(|info| get(info))
            .map(clean_name)
            .unwrap_or_default()
    };
    let title = format!(
        "{} {}",
        text(hidapi::DeviceInfo::manufacturer_string),
        text(hidapi::DeviceInfo::product_string)
    );
    let interfaces = configuration
        .interfaces()
        .filter_map(|interface| interface.descriptors().next())
        .map(|setting| {
            let number = setting.interface_number();
            let mine: Vec<_> = known
                .iter()
                .filter(|info| info.interface_number() == i32::from(number))
                .collect();
            let report = hid.and_then(|hid| report_descriptor(hid, mine.first()?));
            // hidapi names inner collections too; only the outermost say what may pass.
            let parsed = report
                .as_deref()
                .and_then(|report| ReportDescriptor::parse(report).ok());
            ListedInterface {
                number,
                class: ClassTriple {
                    class: setting.class_code(),
                    subclass: setting.sub_class_code(),
                    protocol: setting.protocol_code(),
                },
                usages: parsed.map_or_else(
                    || {
                        let usage = |info: &&&hidapi::DeviceInfo| {
                            Usage::new(info.usage_page(), info.usage())
                        };
                        mine.iter().map(usage).collect()
                    },
                    |report| {
                        let applications = report.applications().iter();
                        applications.map(|application| application.usage).collect()
                    },
                ),
                report,
            }
        })
        .collect();
    let node = PathBuf::from(format!("/dev/bus/usb/{bus:03}/{:03}", device.address()));
    Some(ListedDevice {
        speed: speed(device.speed()),
        descriptors: read_descriptors(&node)?,
        node,
        port: format!("{bus}-{}", ports.join(".")),
        identity,
        title: title.trim().to_owned(),
        serial: text(hidapi::DeviceInfo::serial_number),
        interfaces,
    })
}

fn report_descriptor(hid: &HidApi, info: &hidapi::DeviceInfo) -> Option<Vec<u8>> {
    let device = hid.open_path(info.path()).ok()?;
    let mut bytes = vec![0; MAX_DESCRIPTOR_BYTES];
    let length = device.get_report_descriptor(&mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// Reads what the kernel keeps of a device, which any user may.
fn read_descriptors(node: &Path) -> Option<([u8; 18], Vec<u8>)> {
    let mut bytes = Vec::new();
    File::open(node)
        .ok()?
        .take(MAX_DESCRIPTORS)
        .read_to_end(&mut bytes)
        .ok()?;
    split_descriptors(&bytes)
}

/// `bcdDevice` as a number.
fn device_release(descriptor: &rusb::DeviceDescriptor) -> u16 {
    let rusb::Version(major, minor, sub) = descriptor.device_version();
    let tens = u16::from(major / 10) << 12;
    tens | u16::from(major % 10) << 8 | u16::from(minor) << 4 | u16::from(sub)
}
