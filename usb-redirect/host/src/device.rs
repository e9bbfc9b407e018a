//! A device taken from the kernel through libusb.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use usb_redirect::descriptor::{Configuration, Speed};
use usb_redirect::device::{Description, Device, Interrupter, Names, Poller, clean_name};
use usb_redirect::plugged::split_descriptors;
use usb_redirect::report::MAX_DESCRIPTOR_BYTES;
use usb_redirect::setup::{Effect, EndpointAddress, Setup};
use usb_redirect::stream::Outcome;

use crate::transfers::{Handle, Ring};
use crate::{HostError, outcome};

/// How long a device may take for a control or OUT transfer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes a device's file in `/dev/bus/usb` is read for.
const MAX_DESCRIPTORS: u64 = 64 * 1024;

/// A device's file, opened once for each interface and once to read the descriptors. Whoever opens it decides what may be used: the process that
/// polls is jailed and gets descriptors alone.
#[derive(Debug)]
pub struct DeviceNode {
    path: PathBuf,
    descriptors: Vec<u8>,
    files: Vec<OwnedFd>,
}

impl DeviceNode {
    /// Opens a device's file, for example `/dev/bus/usb/001/004`.
    ///
    /// # Errors
    /// When it cannot be opened or read, or its descriptors are wrong.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let open = || File::options().read(true).write(true).open(path);
        let refused = |error| HostError::Node {
            path: path.to_owned(),
            error,
        };
        let first = open().map_err(refused)?;
        let mut node = Self::from_files(vec![first.into()])?;
        node.path = path.to_owned();
        let (_, configuration) = node.parse()?;
        for _ in 1..hid_interfaces(&configuration).len() {
            node.files.push(open().map_err(refused)?.into());
        }
        Ok(node)
    }

    /// Takes descriptors that were opened elsewhere, all of one device.
    ///
    /// # Errors
    /// When the first cannot be read.
    pub fn from_files(files: Vec<OwnedFd>) -> Result<Self, HostError> {
        let path = PathBuf::from("the device's descriptor");
        let refused = |error| HostError::Node {
            path: path.clone(),
            error,
        };
        let mut descriptors = Vec::new();
        let first = files
            .first()
            .ok_or_else(|| refused(std::io::ErrorKind::NotFound.into()))?;
        let first = File::from(first.try_clone().map_err(refused)?);
        first
            .take(MAX_DESCRIPTORS)
            .read_to_end(&mut descriptors)
            .map_err(refused)?;
        Ok(Self {
            path,
            descriptors,
            files,
        })
    }

    /// The device descriptor and the first configuration.
    fn parse(&self) -> Result<([u8; 18], Configuration), HostError> {
        let short = || HostError::Node {
            path: self.path.clone(),
            error: std::io::ErrorKind::UnexpectedEof.into(),
        };
        let (device, raw) = split_descriptors(&self.descriptors).ok_or_else(short)?;
        let configuration =
            Configuration::parse(&raw).map_err(usb_redirect::device::DescriptionError::from)?;
        Ok((device, configuration))
    }

    /// How many interfaces can be taken: the number of contexts libusb needs.
    #[must_use]
    pub const fn interfaces(&self) -> usize {
        self.files.len()
    }

    /// The files, for handing to another process.
    #[must_use]
    pub fn into_files(self) -> Vec<OwnedFd> {
        self.files
    }
}

/// libusb's word for a speed.
fn speed(speed: rusb::Speed) -> Speed {
    match speed {
        rusb::Speed::Low => Speed::Low,
        rusb::Speed::High => Speed::High,
        rusb::Speed::Super | rusb::Speed::SuperPlus => Speed::Super,
        _ => Speed::Full,
    }
}

fn hid_interfaces(configuration: &Configuration) -> Vec<u8> {
    configuration
        .interfaces()
        .filter(|setting| setting.class.is_hid())
        .map(|setting| setting.number)
        .collect()
}

/// libusb's contexts, one for each interface. Making one looks at `/dev` and `/sys`, which a jailed process cannot: it makes them first, and
/// reads nothing of a device until it is jailed.
pub struct Libusb {
    contexts: Vec<rusb::Context>,
}

impl Libusb {
    /// Makes `count` contexts that never look for devices.
    ///
    /// # Errors
    /// When libusb cannot start.
    pub fn prepare(count: usize) -> Result<Self, HostError> {
        let failed = |error| HostError::Usb {
            what: "start (is /dev/bus/usb there?)".to_owned(),
            error,
        };
        rusb::disable_device_discovery().map_err(failed)?;
        let contexts = (0..count)
            .map(|_| rusb::Context::new())
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        Ok(Self { contexts })
    }
}

/// A real device, its HID interfaces taken from the kernel.
pub struct UsbDevice {
    description: Arc<Description>,
    interfaces: BTreeMap<u8, Arc<Handle>>,
}

impl UsbDevice {
    /// Takes the device: detaches the kernel's drivers from its HID interfaces and reads its report descriptors. They come back when
    /// it is dropped.
    ///
    /// # Errors
    /// When an interface cannot be had, or what the device says of itself is refused.
    pub fn open(node: DeviceNode, port: &str) -> Result<Self, HostError> {
        let contexts = Libusb::prepare(node.files.len())?;
        Self::open_with(contexts, node, port)
    }

    /// The same with libusb made ready before the process was jailed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(libusb: Libusb, node: DeviceNode, port: &str) -> Result<Self, HostError> {
        let (device, configuration) = node.parse()?;
        let wanted = hid_interfaces(&configuration);
        if wanted.is_empty() {
            return Err(HostError::Node {
                path: node.path,
                error: std::io::Error::other(
                    "it has no interface for people's input, and nothing else is redirected",
                ),
            });
        }
        if node.files.len() < wanted.len() {
            return Err(HostError::Node {
                path: node.path,
                error: std::io::Error::other("each HID interface needs a descriptor of its own"),
            });
        }
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error| HostError::Usb { what, error }
        };
        let mut interfaces = BTreeMap::new();
        let mut reports = Vec::new();
        let files = node.files.into_iter().zip(libusb.contexts);
        for (number, (file, context)) in wanted.into_iter().zip(files) {
            let handle = Handle::new(context, file).map_err(failed("open the device"))?;
            handle
                .usb
                .set_auto_detach_kernel_driver(true)
                .map_err(failed("detach the kernel's driver"))?;
            handle
                .usb
                .claim_interface(number)
                .map_err(failed(&format!("claim interface {number}")))?;
            let length = configuration
                .setting(number, 0)
                .and_then(|setting| setting.hid)
                .map_or(MAX_DESCRIPTOR_BYTES, |hid| hid.report_length.into());
            let mut report = vec![0; length.min(MAX_DESCRIPTOR_BYTES)];
            let count = handle
                .usb
                .read_control(0x81, 6, 0x2200, number.into(), &mut report, PATIENCE)
                .map_err(failed("read the report descriptor"))?;
            report.truncate(count);
            reports.push((number, report));
            interfaces.insert(number, Arc::new(handle));
        }
        let first = interfaces.values().next();
        let speed = first.map_or(Speed::Full, |handle| speed(handle.usb.device().speed()));
        let mut description = Description::new(speed, &device, &configuration.raw, reports)?;
        let [manufacturer, product, serial] = description.device.strings;
        let name = |index| match (index, first) {
            (1.., Some(handle)) => handle
                .usb
                .read_string_descriptor_ascii(index)
                .map(|text| clean_name(&text))
                .unwrap_or_default(),
            _ => String::new(),
        };
        description.names = Names {
            manufacturer: name(manufacturer),
            product: name(product),
            serial: name(serial),
        };
        description.port = port.to_owned();
        Ok(Self {
            description: Arc::new(description),
            interfaces,
        })
    }

    /// A poller that keeps so many transfers in flight: for measurements of how many are enough.
    ///
    /// # Errors
    /// As [`Device::poller`].
    pub fn poller_of(
        &self,
        endpoint: EndpointAddress,
        transfers: usize,
    ) -> Result<Box<dyn Poller>, Outcome> {
        let found = self.description.configuration.endpoint(endpoint);
        let (setting, found) = found.ok_or(Outcome::Stall)?;
        let handle = self.interfaces.get(&setting.number).ok_or(Outcome::Stall)?;
        let layout = self.description.layout(endpoint);
        let declared = layout.map_or(0, |layout| layout.longest());
        Ok(Box::new(UsbPoller(Ring::new(
            handle.clone(),
            endpoint.0,
            transfers,
            usize::from(found.max_packet).max(declared),
        )?)))
    }

    /// The handle that a request of this recipient must go through: usbfs ties interfaces and endpoints to whoever claimed them.
    fn handle(&self, setup: Setup) -> Result<&Arc<Handle>, Outcome> {
        let [index, _] = setup.index.to_le_bytes();
        let interface = match setup.request_type & 0x1f {
            1 => Some(index),
            2 => self
                .description
                .configuration
                .endpoint(EndpointAddress(index))
                .map(|(setting, _)| setting.number),
            _ => None,
        };
        match interface {
            Some(interface) => self.interfaces.get(&interface).ok_or(Outcome::Stall),
            None => self.interfaces.values().next().ok_or(Outcome::Gone),
        }
    }
}

impl Device for UsbDevice {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn control(&self, setup: Setup, data: &[u8], answer: &mut Vec<u8>) -> Result<u16, Outcome> {
        let handle = &self.handle(setup)?.usb;
        match setup.effect() {
            // The configuration in force: the kernel would refuse to set it again under claimed interfaces, and there is nothing to do.
            Effect::Configuration(_) => return Ok(0),
            Effect::Interface {
                interface,
                alternate,
            } => {
                handle
                    .set_alternate_setting(interface, alternate)
                    .map_err(outcome)?;
                return Ok(0);
            }
            Effect::ClearHalt(endpoint) => {
                handle.clear_halt(endpoint.0).map_err(outcome)?;
                return Ok(0);
            }
            Effect::Reset => {
                handle.reset().map_err(outcome)?;
                return Ok(0);
            }
            Effect::Protocol { .. } | Effect::None => {}
        }
        let Setup {
            request_type,
            request,
            value,
            index,
            length,
        } = setup;
        let moved = if setup.is_input() {
            answer.clear();
            answer.resize(length.into(), 0);
            let count = handle
                .read_control(request_type, request, value, index, answer, PATIENCE)
                .map_err(outcome)?;
            answer.truncate(count);
            count
        } else {
            handle
                .write_control(request_type, request, value, index, data, PATIENCE)
                .map_err(outcome)?
        };
        Ok(u16::try_from(moved).unwrap_or(u16::MAX))
    }

    fn output(&self, endpoint: EndpointAddress, data: &[u8]) -> Result<u16, Outcome> {
        let found = self.description.configuration.endpoint(endpoint);
        let (setting, _) = found.ok_or(Outcome::Stall)?;
        let handle = self.interfaces.get(&setting.number).ok_or(Outcome::Stall)?;
        let moved = handle
            .usb
            .write_interrupt(endpoint.0, data, PATIENCE)
            .map_err(outcome)?;
        Ok(u16::try_from(moved).unwrap_or(u16::MAX))
    }

    fn poller(&self, endpoint: EndpointAddress) -> Result<Box<dyn Poller>, Outcome> {
        let transfers = self.description.transfers_in_flight(endpoint);
        self.poller_of(endpoint, transfers)
    }
}

struct UsbPoller(Ring);

impl Poller for UsbPoller {
    fn poll(&mut self, buffer: &mut [u8], continuous: bool) -> Result<usize, Outcome> {
        self.0.poll(buffer, continuous)
    }

    fn stop(&mut self) {
        self.0.stop();
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.0.waker()
    }
}
