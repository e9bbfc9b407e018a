//! The control endpoint of a device that exists in memory: answers what every host asks, and keeps what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Description;
use crate::setup::Setup;
use crate::stream::Outcome;

const STRING: u8 = 3;

/// Answers control requests from a [`Description`].
#[derive(Debug)]
pub struct ControlResponder {
    device: Arc<Description>,
    configuration: u8,
    alternates: BTreeMap<u8, u8>,
    protocols: BTreeMap<u8, u8>,
    idle: BTreeMap<u8, u8>,
    /// The last report set, by interface, kind and ID; at most one each, as long as the device declares.
    reports: BTreeMap<(u8, u8, u8), Vec<u8>>,
}

impl ControlResponder {
    /// A control endpoint in the state after power-on.
    #[must_use]
    pub fn new(device: Arc<Description>) -> Self {
        Self {
            device,
            configuration: 0,
            alternates: BTreeMap::new(),
            protocols: BTreeMap::new(),
            idle: BTreeMap::new(),
            reports: BTreeMap::new(),
        }
    }

    /// The last report that was set, if any.
    #[must_use]
    pub fn report(&self, interface: u8, kind: u8, report_id: u8) -> Option<&[u8]> {
        self.reports
            .get(&(interface, kind, report_id))
            .map(Vec::as_slice)
    }

    /// Performs a request; what it answers goes to `answer`. `Err(Stall)` for what the device does not know.
    ///
    /// # Errors
    /// [`Outcome::Stall`], as a device refuses.
    pub fn control(
        &mut self,
        setup: Setup,
        data: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<u16, Outcome> {
        answer.clear();
        if setup.is_input() {
            self.input(setup, answer)?;
            answer.truncate(setup.length.into());
            Ok(u16::try_from(answer.len()).unwrap_or(u16::MAX))
        } else {
            self.output(setup, data)?;
            Ok(u16::try_from(data.len()).unwrap_or(u16::MAX))
        }
    }

    fn input(&self, setup: Setup, answer: &mut Vec<u8>) -> Result<(), Outcome> {
        let [index, _] = setup.index.to_le_bytes();
        if let Some((STRING, number)) = setup.descriptor_request() {
            return self.string(number, answer);
        }
        if let Some(descriptor) = self.device.descriptor(setup) {
            answer.extend_from_slice(descriptor);
            return Ok(());
        }
        let state = |map: &BTreeMap<u8, u8>, default| map.get(&index).copied().unwrap_or(default);
        match (setup.request_type, setup.request) {
            (0x80, 0) => answer.extend_from_slice(&[0, 0]),
            (0x81 | 0x82, 0) => answer.extend_from_slice(&[0, 0]),
            (0x80, 8) => answer.push(self.configuration),
            (0x81, 10) => answer.push(state(&self.alternates, 0)),
            (0xa1, 1) => {
                let [report_id, kind] = setup.value.to_le_bytes();
                match self.reports.get(&(index, kind, report_id)) {
                    Some(report) => answer.extend_from_slice(report),
                    None => {
                        let length = self.report_length(index, kind, report_id)?;
                        if report_id != 0 {
                            answer.push(report_id);
                        }
                        answer.resize(length, 0);
                    }
                }
            }
            (0xa1, 2) => answer.push(state(&self.idle, 0)),
            (0xa1, 3) => answer.push(state(&self.protocols, 1)),
            _ => return Err(Outcome::Stall),
        }
        Ok(())
    }

    fn string(&self, number: u8, answer: &mut Vec<u8>) -> Result<(), Outcome> {
        if number == 0 {
            answer.extend_from_slice(&[4, STRING, 0x09, 0x04]);
            return Ok(());
        }
        let [manufacturer, product, serial] = self.device.device.strings;
        let names = &self.device.names;
        let text = [
            (manufacturer, &names.manufacturer),
            (product, &names.product),
            (serial, &names.serial),
        ]
        .into_iter()
        .find_map(|(index, text)| (index == number && !text.is_empty()).then_some(text))
        .ok_or(Outcome::Stall)?;
        let units: Vec<u8> = text
            .encode_utf16()
            .take(126)
            .flat_map(u16::to_le_bytes)
            .collect();
        let length = u8::try_from(units.len().saturating_add(2)).map_err(|_| Outcome::Stall)?;
        answer.extend_from_slice(&[length, STRING]);
        answer.extend_from_slice(&units);
        Ok(())
    }

    fn report_length(&self, interface: u8, kind: u8, report_id: u8) -> Result<usize, Outcome> {
        let report = self.device.reports.get(&interface).ok_or(Outcome::Stall)?;
        let kind = crate::report::ReportKind::from_request(kind).ok_or(Outcome::Stall)?;
        report
            .parsed
            .report_length(kind, report_id)
            .ok_or(Outcome::Stall)
    }

    fn output(&mut self, setup: Setup, data: &[u8]) -> Result<(), Outcome> {
        let [index, _] = setup.index.to_le_bytes();
        let [value, high] = setup.value.to_le_bytes();
        if let Some((interface, kind, report_id)) = setup.set_report() {
            let length = self.report_length(interface, kind, report_id)?;
            let kept = data.get(..data.len().min(length)).unwrap_or_default();
            self.reports
                .insert((interface, kind, report_id), kept.to_vec());
            return Ok(());
        }
        match (setup.request_type, setup.request) {
            (0x00, 9) if value == 0 || value == self.device.configuration.value => {
                self.configuration = value;
                self.alternates.clear();
                self.protocols.clear();
            }
            (0x01, 11) if self.device.configuration.setting(index, value).is_some() => {
                self.alternates.insert(index, value);
            }
            (0x21, 10) if self.device.reports.contains_key(&index) => {
                self.idle.insert(index, high);
            }
            (0x21, 11) if value <= 1 && self.device.reports.contains_key(&index) => {
                self.protocols.insert(index, value);
            }
            // Features (remote wake-up, halt), and the port reset that hosts send over USB/IP.
            (0..=2, 1 | 3) | (0x23, 3) => {}
            _ => return Err(Outcome::Stall),
        }
        Ok(())
    }
}
