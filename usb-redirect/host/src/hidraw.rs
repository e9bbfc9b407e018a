//! A device that stays with the kernel: its reports come from `/dev/hidraw*`, and its control endpoint is answered from memory.
//!
//! For interfaces that must not be taken away, such as the keyboard that also unlocks the endpoint. The kernel goes on feeding its own input devices.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hidapi::{HidApi, HidDevice};
use usb_redirect::device::{
    ControlResponder, Description, DescriptionFile, Device, Interrupter, Names, Poller, clean_name,
};
use usb_redirect::report::MAX_DESCRIPTOR_BYTES;
use usb_redirect::setup::{EndpointAddress, Setup};
use usb_redirect::stream::Outcome;

use crate::HostError;

/// How long a thread sleeps in the kernel before it looks for an interruption, in milliseconds: hidraw has no other wake.
const LOOK_AROUND: i32 = 50;

/// One hidraw node as a device with one interface.
pub struct HidrawDevice {
    description: Arc<Description>,
    control: Mutex<ControlResponder>,
    /// Reports are read through one, and written through the other, so that neither waits.
    reader: Arc<Mutex<HidDevice>>,
    writer: Mutex<HidDevice>,
}

impl HidrawDevice {
    /// Opens a hidraw node, for example `/dev/hidraw0`.
    ///
    /// # Errors
    /// When it cannot be opened, or what it says of itself is refused.
    pub fn open(path: &CStr) -> Result<Self, HostError> {
        let failed = |error| HostError::Hid {
            what: format!("open {}", path.to_string_lossy()),
            error,
        };
        let api = HidApi::new().map_err(failed)?;
        let reader = api.open_path(path).map_err(failed)?;
        let writer = api.open_path(path).map_err(failed)?;
        let mut report = vec![0; MAX_DESCRIPTOR_BYTES];
        let length = reader.get_report_descriptor(&mut report).map_err(failed)?;
        report.truncate(length);
        let mut description = DescriptionFile::from_report(report)
            .describe()
            .map_err(|error| HostError::NoSuchDevice(format!("usable hidraw device: {error}")))?;
        let text = |text: hidapi::HidResult<Option<String>>| {
            text.ok()
                .flatten()
                .map(|text| clean_name(&text))
                .unwrap_or_default()
        };
        description.names = Names {
            manufacturer: text(reader.get_manufacturer_string()),
            product: text(reader.get_product_string()),
            serial: text(reader.get_serial_number_string()),
        };
        let description = Arc::new(description);
        Ok(Self {
            control: Mutex::new(ControlResponder::new(description.clone())),
            description,
            reader: Arc::new(Mutex::new(reader)),
            writer: Mutex::new(writer),
        })
    }

    /// Writes a report as hidraw takes it: with a leading 0 when reports are not numbered.
    fn write(&self, kind: u8, data: &[u8]) -> Result<(), Outcome> {
        let numbered = self
            .description
            .reports
            .values()
            .any(|report| report.parsed.is_numbered());
        let mut bytes = Vec::with_capacity(data.len().saturating_add(1));
        if !numbered {
            bytes.push(0);
        }
        bytes.extend_from_slice(data);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match kind {
            2 => writer.write(&bytes).map(|_| ()),
            _ => writer.send_feature_report(&bytes),
        };
        result.map_err(|_| Outcome::Failed)
    }
}

impl Device for HidrawDevice {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn control(&self, setup: Setup, data: &[u8], answer: &mut Vec<u8>) -> Result<u16, Outcome> {
        if let Some((_, kind @ (2 | 3), _)) = setup.set_report() {
            self.write(kind, data)?;
        }
        self.control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .control(setup, data, answer)
    }

    fn output(&self, _endpoint: EndpointAddress, data: &[u8]) -> Result<u16, Outcome> {
        self.write(2, data)?;
        Ok(u16::try_from(data.len()).unwrap_or(u16::MAX))
    }

    fn poller(&self, _endpoint: EndpointAddress) -> Result<Box<dyn Poller>, Outcome> {
        Ok(Box::new(HidrawPoller {
            reader: self.reader.clone(),
            interrupted: Arc::default(),
        }))
    }
}

struct HidrawPoller {
    reader: Arc<Mutex<HidDevice>>,
    interrupted: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Interrupter for Flag {
    fn interrupt(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Poller for HidrawPoller {
    fn poll(&mut self, buffer: &mut [u8], _continuous: bool) -> Result<usize, Outcome> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.interrupted.0.swap(false, Ordering::AcqRel) {
                return Err(Outcome::Cancelled);
            }
            match reader.read_timeout(buffer, LOOK_AROUND) {
                Ok(0) => {}
                Ok(length) => return Ok(length),
                Err(_) => return Err(Outcome::Gone),
            }
        }
    }

    fn stop(&mut self) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = [0; 4096];
        // What the kernel kept for this reader is of before: at most its 64 reports.
        for _ in 0..64 {
            if !matches!(reader.read_timeout(&mut old, 0), Ok(1..)) {
                break;
            }
        }
        self.interrupted.0.store(false, Ordering::Release);
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.interrupted.clone()
    }
}
