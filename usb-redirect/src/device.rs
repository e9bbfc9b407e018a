//! A device as the rest of the crate sees it: what it is ([`Description`]) and what can be asked of it ([`Device`], [`Poller`]).

mod control;
mod files;
mod simulated;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use control::ControlResponder;
pub use files::{DescriptionFile, FileError};
pub use simulated::{Clock, Script, Scripted, Simulated, Source};

use crate::descriptor::{Configuration, DescriptorError, DeviceDescriptor, Speed};
use crate::report::{Layout, ReportDescriptor, ReportError};
use crate::setup::{EndpointAddress, Setup};
use crate::stream::{MAX_BODY, MAX_REPORT_DESCRIPTORS, Outcome};

/// The longest name a device may give itself, in characters, after cleaning.
pub const MAX_NAME: usize = 126;

const DEVICE_DESCRIPTOR: u8 = 1;
const CONFIGURATION_DESCRIPTOR: u8 = 2;
const HID_DESCRIPTOR: u8 = 0x21;
const REPORT_DESCRIPTOR: u8 = 0x22;

/// Everything a device says of itself, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its speed.
    pub speed: Speed,
    /// Its device descriptor.
    pub device: DeviceDescriptor,
    /// The configuration it is used in.
    pub configuration: Configuration,
    /// The report descriptor of each HID interface.
    pub reports: BTreeMap<u8, Report>,
    /// Its maker's, its own and its serial number's text, cleaned.
    pub names: Names,
    /// Where it is plugged in, for example `1-1.4`; empty when that is unknown.
    pub port: String,
}

/// A report descriptor, as bytes and parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The bytes.
    pub raw: Vec<u8>,
    /// What they say.
    pub parsed: ReportDescriptor,
    /// What queues need of it.
    pub layout: Arc<Layout>,
}

/// A device's names. Printable characters only: a name is shown to people and written to logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The maker.
    pub manufacturer: String,
    /// The product.
    pub product: String,
    /// The serial number.
    pub serial: String,
}

/// Why a device cannot be described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// Its descriptors are wrong.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// A report descriptor is wrong.
    #[error("interface {interface}: {error}")]
    Report {
        /// The interface.
        interface: u8,
        /// What is wrong.
        error: ReportError,
    },
    /// It has no HID interface, or a HID interface without a report descriptor.
    #[error("HID interface {0} has no report descriptor")]
    NoReport(u8),
    /// Too much to describe.
    #[error("the device describes itself in more than {0}")]
    TooMuch(&'static str),
}

impl Description {
    /// Puts a description together and checks it: every HID interface has a report descriptor within the limits.
    ///
    /// # Errors
    /// When something does not parse or is missing.
    pub fn new(
        speed: Speed,
        device: &[u8],
        configuration: &[u8],
        reports: impl IntoIterator<Item = (u8, Vec<u8>)>,
    ) -> Result<Self, DescriptionError> {
        let device = DeviceDescriptor::parse(device)?;
        let configuration = Configuration::parse(configuration)?;
        if configuration.raw.len() > MAX_BODY - 32 {
            return Err(DescriptionError::TooMuch("20 KiB of configuration"));
        }
        let mut parsed = BTreeMap::new();
        for (interface, raw) in reports {
            let report =
                Report::new(raw).map_err(|error| DescriptionError::Report { interface, error })?;
            parsed.insert(interface, report);
            if parsed.len() > MAX_REPORT_DESCRIPTORS {
                return Err(DescriptionError::TooMuch("32 report descriptors"));
            }
        }
        let missing = configuration
            .settings
            .iter()
            .find(|setting| setting.class.is_hid() && !parsed.contains_key(&setting.number));
        if let Some(setting) = missing {
            return Err(DescriptionError::NoReport(setting.number));
        }
        Ok(Self {
            speed,
            device,
            configuration,
            reports: parsed,
            names: Names::default(),
            port: String::new(),
        })
    }

    /// The layout of the reports that come from an endpoint, when its interface is HID.
    #[must_use]
    pub fn layout(&self, endpoint: EndpointAddress) -> Option<Arc<Layout>> {
        let (setting, _) = self.configuration.endpoint(endpoint)?;
        let report = self.reports.get(&setting.number)?;
        setting.class.is_hid().then(|| report.layout.clone())
    }

    /// The descriptor that a request asks for, where it is one of those that the device is judged by: the desktop is told what the policy was
    /// told, whatever the device would say by now.
    #[must_use]
    pub fn descriptor(&self, setup: Setup) -> Option<&[u8]> {
        let [interface, _] = setup.index.to_le_bytes();
        match setup.descriptor_request()? {
            (DEVICE_DESCRIPTOR, _) => Some(&self.device.raw),
            (CONFIGURATION_DESCRIPTOR, 0) => Some(&self.configuration.raw),
            (HID_DESCRIPTOR, _) => self.hid_descriptor(interface),
            (REPORT_DESCRIPTOR, _) => Some(&self.reports.get(&interface)?.raw),
            _ => None,
        }
    }

    /// The HID descriptor's bytes inside the configuration.
    fn hid_descriptor(&self, interface: u8) -> Option<&[u8]> {
        let mut rest = self.configuration.raw.as_slice();
        let mut inside = false;
        while let [length, kind, ..] = *rest {
            if length < 2 {
                break;
            }
            let (descriptor, tail) = rest.split_at_checked(length.into())?;
            if kind == 4 {
                inside = descriptor.get(2) == Some(&interface);
            } else if kind == HID_DESCRIPTOR && inside {
                return Some(descriptor);
            }
            rest = tail;
        }
        None
    }

    /// How many transfers a polling thread keeps in flight: enough that the device is polled for 100 ms while the thread does not run,
    /// because a device itself holds a single report. At least 4, at most 128.
    #[must_use]
    pub fn transfers_in_flight(&self, endpoint: EndpointAddress) -> usize {
        let interval = self
            .configuration
            .endpoint(endpoint)
            .map_or(1000, |(_, endpoint)| {
                self.speed.interval_micros(endpoint.interval)
            });
        usize::try_from(100_000 / interval.max(1))
            .unwrap_or(128)
            .clamp(4, 128)
    }

    /// What a person would call it.
    #[must_use]
    pub fn title(&self) -> String {
        self.names.title(self.device.vendor, self.device.product)
    }
}

impl Names {
    /// What a person would call a device of these names, or of these numbers where it has none.
    #[must_use]
    pub fn title(&self, vendor: u16, product: u16) -> String {
        match (self.manufacturer.as_str(), self.product.as_str()) {
            ("", "") => format!("device {vendor:04x}:{product:04x}"),
            (one, "") | ("", one) => one.to_owned(),
            (maker, product) if product.starts_with(maker) => product.to_owned(),
            (maker, product) => format!("{maker} {product}"),
        }
    }
}

impl Report {
    /// Parses the bytes.
    ///
    /// # Errors
    /// When they are not a report descriptor within the limits.
    pub fn new(raw: Vec<u8>) -> Result<Self, ReportError> {
        let parsed = ReportDescriptor::parse(&raw)?;
        let layout = Arc::new(Layout::new(&parsed));
        Ok(Self {
            raw,
            parsed,
            layout,
        })
    }
}

/// Cleans a name: what is not a printable ASCII character, or could turn the direction of text, becomes `?`.
#[must_use]
pub fn clean_name(text: &str) -> String {
    let printable = |c: char| {
        if c == ' ' || c.is_ascii_graphic() || (c.is_alphanumeric() && c > '\u{a0}') {
            c
        } else {
            '?'
        }
    };
    let cleaned: String = text.trim().chars().take(MAX_NAME).map(printable).collect();
    cleaned.trim().to_owned()
}

/// A device that can be used.
pub trait Device: Send + Sync {
    /// What it is.
    fn description(&self) -> &Arc<Description>;

    /// Performs a control transfer. Answers how many bytes moved; those from the device are in `answer`.
    ///
    /// # Errors
    /// With how it failed.
    fn control(&self, setup: Setup, data: &[u8], answer: &mut Vec<u8>) -> Result<u16, Outcome>;

    /// Performs an interrupt-OUT transfer. Answers how many bytes the device took.
    ///
    /// # Errors
    /// With how it failed.
    fn output(&self, endpoint: EndpointAddress, data: &[u8]) -> Result<u16, Outcome>;

    /// What polls an interrupt-IN endpoint. There is one for each endpoint.
    ///
    /// # Errors
    /// When the endpoint is not there, or its interface cannot be had.
    fn poller(&self, endpoint: EndpointAddress) -> Result<Box<dyn Poller>, Outcome>;
}

/// Polls one interrupt-IN endpoint. It sleeps in the kernel.
pub trait Poller: Send {
    /// Waits for the next report and writes it to `buffer`. With `continuous` several transfers are kept in flight, so that the
    /// device is polled while this report is on its way.
    ///
    /// # Errors
    /// [`Outcome::Cancelled`] after an interruption, otherwise how the endpoint failed.
    fn poll(&mut self, buffer: &mut [u8], continuous: bool) -> Result<usize, Outcome>;

    /// Takes back everything in flight and forgets what was received.
    fn stop(&mut self);

    /// What ends a waiting [`poll`](Self::poll) from another thread.
    fn interrupter(&self) -> Arc<dyn Interrupter>;
}

/// Ends a waiting poll.
pub trait Interrupter: Send + Sync {
    /// Makes the waiting poll, or the next one, answer [`Outcome::Cancelled`].
    fn interrupt(&self);
}
