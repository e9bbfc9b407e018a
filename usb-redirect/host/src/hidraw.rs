//! A device that stays with the kernel: its reports come from `/dev/hidraw*`, and so do the reports that are asked of it; everything else of its control
//! endpoint is answered from memory.
//!
//! For interfaces that must not be taken away, such as the keyboard that also unlocks the endpoint. The kernel goes on feeding its own input devices.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hidapi::{HidApi, HidDevice};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use usb_redirect::device::{
    ControlResponder, Description, DescriptionFile, Device, Interrupter, Names, Poller, clean_name,
};
use usb_redirect::report::MAX_DESCRIPTOR_BYTES;
use usb_redirect::setup::{EndpointAddress, Setup};
use usb_redirect::stream::Outcome;

use crate::HostError;

/// Kinds of reports, as requests number them.
const INPUT: u8 = 1;
const OUTPUT: u8 = 2;
const FEATURE: u8 = 3;

/// One hidraw node as a device with one interface.
pub struct HidrawDevice {
    description: Arc<Description>,
    control: Mutex<ControlResponder>,
    /// Reports are read through one, and all else goes through the other, so that neither waits.
    reader: Arc<Reader>,
    requests: Mutex<HidDevice>,
}

/// The node as a stream of reports, and what wakes who waits for one: `hidapi` has no way to do that.
struct Reader {
    node: File,
    wake: OwnedFd,
}

/// An open hidraw node, and what it says of itself: bytes that nobody has looked at. Whoever opens it may then be jailed, and make a device of it.
pub struct HidrawNode {
    reader: Reader,
    requests: HidDevice,
    report: Vec<u8>,
    names: [Option<String>; 3],
}

impl HidrawNode {
    /// Opens a hidraw node, for example `/dev/hidraw0`.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn open(path: &CStr) -> Result<Self, HostError> {
        let failed = |error| HostError::Hid {
            what: format!("open {}", path.to_string_lossy()),
            error,
        };
        let api = HidApi::new().map_err(failed)?;
        let requests = api.open_path(path).map_err(failed)?;
        let place = PathBuf::from(OsStr::from_bytes(path.to_bytes()));
        let reader =
            Reader::open(&place).map_err(|error| HostError::Node { path: place, error })?;
        let mut report = vec![0; MAX_DESCRIPTOR_BYTES];
        let length = requests
            .get_report_descriptor(&mut report)
            .map_err(failed)?;
        report.truncate(length);
        let names = [
            requests.get_manufacturer_string(),
            requests.get_product_string(),
            requests.get_serial_number_string(),
        ];
        Ok(Self {
            reader,
            requests,
            report,
            names: names.map(|name| name.ok().flatten()),
        })
    }
}

impl HidrawDevice {
    /// The device of a node.
    ///
    /// # Errors
    /// When what it says of itself is refused.
    pub fn new(node: HidrawNode) -> Result<Self, HostError> {
        let mut description = DescriptionFile::from_report(node.report)
            .describe()
            .map_err(|error| HostError::NoSuchDevice(format!("usable hidraw device: {error}")))?;
        let [manufacturer, product, serial] = node
            .names
            .map(|name| name.map(|text| clean_name(&text)).unwrap_or_default());
        description.names = Names {
            manufacturer,
            product,
            serial,
        };
        let description = Arc::new(description);
        Ok(Self {
            control: Mutex::new(ControlResponder::new(description.clone())),
            description,
            reader: Arc::new(node.reader),
            requests: Mutex::new(node.requests),
        })
    }

    /// 1 where reports are numbered. Where they are not, hidraw has a 0 in the number's place.
    fn numbered(&self) -> usize {
        let mut reports = self.description.reports.values();
        usize::from(reports.any(|report| report.parsed.is_numbered()))
    }

    fn requests(&self) -> MutexGuard<'_, HidDevice> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a report.
    fn write(&self, kind: u8, data: &[u8]) -> Result<(), Outcome> {
        let mut bytes = Vec::with_capacity(data.len().saturating_add(1));
        if self.numbered() == 0 {
            bytes.push(0);
        }
        bytes.extend_from_slice(data);
        let requests = self.requests();
        let result = match kind {
            OUTPUT => requests.write(&bytes).map(|_| ()),
            _ => requests.send_feature_report(&bytes),
        };
        result.map_err(|_| Outcome::Failed)
    }

    /// Asks the device for a report of at most `length` bytes.
    fn read(&self, kind: u8, identifier: u8, length: u16) -> Result<Vec<u8>, Outcome> {
        let unnamed = 1usize.saturating_sub(self.numbered());
        let mut bytes = vec![0; usize::from(length).saturating_add(unnamed).max(1)];
        if let Some(first) = bytes.first_mut() {
            *first = identifier;
        }
        let requests = self.requests();
        let read = match kind {
            INPUT => requests.get_input_report(&mut bytes),
            _ => requests.get_feature_report(&mut bytes),
        };
        bytes.truncate(read.map_err(|_| Outcome::Failed)?);
        Ok(bytes.get(unnamed..).unwrap_or_default().to_vec())
    }
}

impl Device for HidrawDevice {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn control(&self, setup: Setup, data: &[u8], answer: &mut Vec<u8>) -> Result<u16, Outcome> {
        if let Some((_, kind @ (OUTPUT | FEATURE), _)) = setup.set_report() {
            self.write(kind, data)?;
        }
        // The last output report set is what was set here.
        if let Some((_, kind @ (INPUT | FEATURE), identifier)) = setup.get_report() {
            *answer = self.read(kind, identifier, setup.length)?;
            return Ok(u16::try_from(answer.len()).unwrap_or(u16::MAX));
        }
        self.control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .control(setup, data, answer)
    }

    fn output(&self, _endpoint: EndpointAddress, data: &[u8]) -> Result<u16, Outcome> {
        self.write(OUTPUT, data)?;
        Ok(u16::try_from(data.len()).unwrap_or(u16::MAX))
    }

    fn poller(&self, _endpoint: EndpointAddress) -> Result<Box<dyn Poller>, Outcome> {
        Ok(Box::new(HidrawPoller(self.reader.clone())))
    }
}

impl Reader {
    fn open(path: &Path) -> std::io::Result<Self> {
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        Ok(Self {
            node: File::options()
                .read(true)
                .custom_flags(nonblocking)
                .open(path)?,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Whether someone wanted it woken since this was last asked.
    fn was_woken(&self) -> bool {
        rustix::io::read(&self.wake, &mut [0; 8]).is_ok()
    }
}

impl Interrupter for Reader {
    fn interrupt(&self) {
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

struct HidrawPoller(Arc<Reader>);

impl Poller for HidrawPoller {
    fn poll(&mut self, buffer: &mut [u8], _continuous: bool) -> Result<usize, Outcome> {
        let reader = &self.0;
        loop {
            if reader.was_woken() {
                return Err(Outcome::Cancelled);
            }
            match rustix::io::read(&reader.node, &mut *buffer) {
                Ok(0) | Err(Errno::IO | Errno::NODEV) => return Err(Outcome::Gone),
                Ok(length) => return Ok(length),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return Err(Outcome::Failed),
            }
            let mut descriptors = [
                PollFd::new(&reader.node, PollFlags::IN),
                PollFd::new(&reader.wake, PollFlags::IN),
            ];
            match poll(&mut descriptors, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return Err(Outcome::Failed),
            }
        }
    }

    fn stop(&mut self) {
        let mut old = [0; 4096];
        // What the kernel kept for this reader is of before: at most its 64 reports.
        for _ in 0..64 {
            if !matches!(rustix::io::read(&self.0.node, &mut old), Ok(1..)) {
                break;
            }
        }
        self.0.was_woken();
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.0.clone()
    }
}
