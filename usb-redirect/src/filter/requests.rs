//! Limits on what a zone may ask of a device.

use std::sync::Arc;
use std::time::Duration;

use super::{Bucket, Grant};
use crate::device::Description;
use crate::report::ReportKind;
use crate::setup::{Effect, EndpointAddress, RequestKind, Setup};

/// The filter of a zone's control and OUT transfers.
#[derive(Debug)]
pub struct RequestFilter {
    device: Arc<Description>,
    vendor_requests: bool,
    bucket: Bucket,
}

impl RequestFilter {
    /// The filter for one device.
    #[must_use]
    pub fn new(device: Arc<Description>, grant: &Grant) -> Self {
        Self {
            device,
            vendor_requests: grant.vendor_requests,
            bucket: Bucket::new(grant.request_rate),
        }
    }

    /// Whether a control transfer may reach the device.
    pub fn control(&mut self, setup: Setup, data: &[u8], now: Duration) -> bool {
        if !setup.is_input() && data.len() != usize::from(setup.length) {
            return false;
        }
        let known = match setup.kind() {
            RequestKind::Standard => self.standard(setup),
            RequestKind::Class => self.class(setup, data),
            RequestKind::Vendor => self.vendor_requests,
            RequestKind::Reserved => false,
        };
        // Reading is not limited here: the number of waiting transfers is.
        known && (setup.is_input() || self.bucket.take(1, now))
    }

    /// Whether what a device answered to such a transfer may reach the zone: a numbered report must be the one that was asked for
    /// (CVE-2026-43047: the zone's kernel would take it for another).
    #[must_use]
    pub fn answer(setup: Setup, data: &[u8]) -> bool {
        match setup.get_report() {
            Some((_, _, identifier @ 1..)) => {
                data.first().is_none_or(|answered| *answered == identifier)
            }
            _ => true,
        }
    }

    /// Whether an interrupt-OUT transfer may reach the device: to a declared endpoint, and in HID as long as a declared report.
    pub fn output(&mut self, endpoint: EndpointAddress, data: &[u8], now: Duration) -> bool {
        let Some((setting, _)) = self.device.configuration.endpoint(endpoint) else {
            return false;
        };
        let fits = match self.device.reports.get(&setting.number) {
            Some(report) => report
                .parsed
                .split(data)
                .and_then(|(identifier, _)| {
                    report.parsed.report_length(ReportKind::Output, identifier)
                })
                .is_some_and(|length| data.len() <= length),
            None => !setting.class.is_hid(),
        };
        fits && self.bucket.take(1, now)
    }

    fn standard(&self, setup: Setup) -> bool {
        // SET_ADDRESS is the host controller's, and SET_DESCRIPTOR changes what the policy looked at.
        if matches!((setup.request_type & 0x80, setup.request), (0, 5 | 7)) {
            return false;
        }
        match setup.effect() {
            Effect::Configuration(value) => value == 0 || value == self.device.configuration.value,
            Effect::Interface {
                interface,
                alternate,
            } => self
                .device
                .configuration
                .setting(interface, alternate)
                .is_some(),
            _ => true,
        }
    }

    /// HID's own requests to HID interfaces, reports as declared; and the port reset. DFU and other classes' requests are the maker's.
    fn class(&self, setup: Setup, data: &[u8]) -> bool {
        if setup.effect() == Effect::Reset {
            return true;
        }
        let report = setup
            .interface()
            .and_then(|interface| self.device.reports.get(&interface));
        let Some(report) = report else {
            return self.vendor_requests;
        };
        match (setup.is_input(), setup.request) {
            (true, 1..=3) | (false, 0x0a | 0x0b) => true,
            (false, 9) => setup
                .set_report()
                .and_then(|(_, kind, identifier)| {
                    let kind = ReportKind::from_request(kind)?;
                    report.parsed.report_length(kind, identifier)
                })
                .is_some_and(|length| data.len() <= length),
            _ => self.vendor_requests,
        }
    }
}
