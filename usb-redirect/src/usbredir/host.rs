//! The side that has the device: what QEMU's `usb-redir` talks to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Agreed, Packet, PacketId, UsbRedirError, capability, status, table_index};
use crate::descriptor::{Configuration, Speed, Transfer};
use crate::device::Description;
use crate::front::{Front, FrontError, Request, Response};
use crate::setup::{EndpointAddress, Setup};
use crate::stream::{Generation, MAX_CONTROL, MAX_REPORT, Outcome, PollMessage, TransferId};

/// The most transfers that may wait for an answer.
const MAX_WAITING: usize = 256;

/// What a transfer's answer looks like.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Control(Setup),
    Configuration(u8),
    Alternate { interface: u8, alternate: u8 },
    Out { endpoint: u8 },
    Quiet,
}

/// The host's state machine.
#[derive(Debug)]
pub struct Host {
    device: Arc<Description>,
    agreed: Option<Agreed>,
    configuration: u8,
    alternates: BTreeMap<u8, u8>,
    generations: BTreeMap<EndpointAddress, Generation>,
    waiting: BTreeMap<TransferId, (PacketId, Waiting)>,
    next: u32,
    reports: u64,
}

impl Host {
    /// A host that offers one device.
    #[must_use]
    pub fn new(device: Arc<Description>) -> Self {
        let configuration = device.configuration.value;
        Self {
            device,
            agreed: None,
            configuration,
            alternates: BTreeMap::new(),
            generations: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            reports: 0,
        }
    }

    /// Remembers what to answer; `None` when too many wait.
    fn wait(&mut self, id: PacketId, waiting: Waiting) -> Option<TransferId> {
        if self.waiting.len() == MAX_WAITING {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        let transfer = TransferId(self.next);
        self.waiting.insert(transfer, (id, waiting));
        Some(transfer)
    }

    /// Interfaces and endpoints as they are in the settings now in force.
    fn tables(&self, agreed: Agreed, out: &mut Vec<u8>) {
        let configuration: &Configuration = &self.device.configuration;
        let mut interfaces = [0u8; 128];
        let mut types = [255u8; 32];
        let mut intervals = [0u8; 32];
        let mut owners = [0u8; 32];
        let mut sizes = [0u16; 32];
        for control in [0usize, 16] {
            if let Some(place) = types.get_mut(control) {
                *place = 0;
            }
            if let Some(place) = sizes.get_mut(control) {
                *place = self.device.device.max_packet_zero.into();
            }
        }
        let mut count = 0usize;
        for first in configuration.interfaces().take(32) {
            let alternate = self.alternates.get(&first.number).copied().unwrap_or(0);
            let setting = configuration
                .setting(first.number, alternate)
                .unwrap_or(first);
            let class = setting.class;
            let row = [setting.number, class.class, class.subclass, class.protocol];
            for (table, value) in interfaces.chunks_exact_mut(32).zip(row) {
                if let Some(place) = table.get_mut(count) {
                    *place = value;
                }
            }
            count = count.saturating_add(1);
            for endpoint in &setting.endpoints {
                let at = table_index(endpoint.address.0);
                let kind = match endpoint.transfer {
                    Transfer::Control => 0,
                    Transfer::Isochronous => 1,
                    Transfer::Bulk => 2,
                    Transfer::Interrupt => 3,
                };
                let columns = types.get_mut(at).zip(intervals.get_mut(at));
                let more = owners.get_mut(at).zip(sizes.get_mut(at));
                if let Some(((kind_at, interval), (owner, size))) = columns.zip(more) {
                    *kind_at = kind;
                    *interval = endpoint.interval;
                    *owner = setting.number;
                    *size = endpoint.max_packet;
                }
            }
        }
        Packet::InterfaceInfo {
            count: u32::try_from(count).unwrap_or(0),
            interfaces: &interfaces,
        }
        .encode(0, agreed, out);
        Packet::EndpointInfo {
            types: &types,
            intervals: &intervals,
            interfaces: &owners,
            sizes,
        }
        .encode(0, agreed, out);
    }

    fn connect(&mut self, capabilities: u32, out: &mut Vec<u8>) {
        let agreed = Agreed {
            capabilities: capabilities & capability::OURS,
        };
        self.agreed = Some(agreed);
        self.tables(agreed, out);
        let device = &self.device.device;
        Packet::DeviceConnect {
            speed: match self.device.speed {
                Speed::Low => 0,
                Speed::Full => 1,
                Speed::High => 2,
                Speed::Super => 3,
            },
            class: [
                device.class.class,
                device.class.subclass,
                device.class.protocol,
            ],
            vendor: device.vendor,
            product: device.product,
            release: device.release,
        }
        .encode(0, agreed, out);
    }

    fn act(
        &mut self,
        id: PacketId,
        packet: Packet<'_>,
        agreed: Agreed,
        requests: &mut Vec<Request>,
        out: &mut Vec<u8>,
    ) -> Result<(), UsbRedirError> {
        let no_data = |setup: [u8; 8]| (Setup::from_bytes(setup), Vec::new());
        let (waiting, setup, data) = match packet {
            Packet::StartInterrupt { endpoint } => {
                let address = EndpointAddress(endpoint);
                match self.report_endpoint(address) {
                    Some(message) => {
                        let generation = self.generations.entry(address).or_default();
                        generation.0 = generation.0.wrapping_add(1);
                        requests.push(Request::Start {
                            endpoint: address,
                            generation: *generation,
                            message,
                        });
                        Packet::InterruptStatus {
                            status: 0,
                            endpoint,
                        }
                    }
                    None => Packet::InterruptStatus {
                        status: 2,
                        endpoint,
                    },
                }
                .encode(id, agreed, out);
                return Ok(());
            }
            Packet::StopInterrupt { endpoint } => {
                requests.push(Request::Stop {
                    endpoint: EndpointAddress(endpoint),
                });
                Packet::InterruptStatus {
                    status: 0,
                    endpoint,
                }
                .encode(id, agreed, out);
                return Ok(());
            }
            Packet::SetConfiguration(value) => {
                let (setup, data) = no_data([0, 9, value, 0, 0, 0, 0, 0]);
                (Waiting::Configuration(value), setup, data)
            }
            Packet::SetAlternate {
                interface,
                alternate,
            } => {
                let (setup, data) = no_data([1, 11, alternate, 0, interface, 0, 0, 0]);
                let waiting = Waiting::Alternate {
                    interface,
                    alternate,
                };
                (waiting, setup, data)
            }
            Packet::Reset => {
                let (setup, data) = no_data([0x23, 3, 4, 0, 1, 0, 0, 0]);
                (Waiting::Quiet, setup, data)
            }
            Packet::Control { setup, data, .. } => {
                let expected = if setup.is_input() {
                    0
                } else {
                    usize::from(setup.length)
                };
                if data.len() != expected {
                    return Err(UsbRedirError::Malformed(100));
                }
                (Waiting::Control(setup), setup, data.to_vec())
            }
            Packet::Interrupt { endpoint, data, .. } => {
                let address = EndpointAddress(endpoint);
                let declared = self.device.configuration.endpoint(address);
                let good = !address.is_input()
                    && declared.is_some_and(|(_, found)| found.transfer == Transfer::Interrupt)
                    && data.len() <= MAX_REPORT;
                match good
                    .then(|| self.wait(id, Waiting::Out { endpoint }))
                    .flatten()
                {
                    Some(transfer) => requests.push(Request::Out {
                        endpoint: address,
                        id: transfer,
                        data: data.to_vec(),
                    }),
                    None => Packet::Interrupt {
                        endpoint,
                        status: 2,
                        length: 0,
                        data: &[],
                    }
                    .encode(id, agreed, out),
                }
                return Ok(());
            }
            other => return self.act_small(id, other, agreed, requests, out),
        };
        let allowed = data.len() <= MAX_CONTROL;
        match allowed.then(|| self.wait(id, waiting)).flatten() {
            Some(transfer) => requests.push(Request::Control {
                id: transfer,
                setup,
                data,
            }),
            None => self.answer(id, waiting, Outcome::Refused, 0, &[], out),
        }
        Ok(())
    }

    /// What needs no device.
    fn act_small(
        &mut self,
        id: PacketId,
        packet: Packet<'_>,
        agreed: Agreed,
        requests: &mut Vec<Request>,
        out: &mut Vec<u8>,
    ) -> Result<(), UsbRedirError> {
        match packet {
            Packet::GetConfiguration => Packet::ConfigurationStatus {
                status: 0,
                configuration: self.configuration,
            }
            .encode(id, agreed, out),
            Packet::GetAlternate { interface } => Packet::AlternateStatus {
                status: 0,
                interface,
                alternate: self.alternates.get(&interface).copied().unwrap_or(0),
            }
            .encode(id, agreed, out),
            Packet::StartIso { endpoint } | Packet::StopIso { endpoint } => Packet::IsoStatus {
                status: 2,
                endpoint,
            }
            .encode(id, agreed, out),
            Packet::BulkStreams { endpoints, .. } => Packet::BulkStreamsStatus {
                endpoints,
                status: 2,
            }
            .encode(id, agreed, out),
            Packet::Bulk {
                endpoint, stream, ..
            } => Packet::Bulk {
                endpoint,
                status: 2,
                length: 0,
                stream,
            }
            .encode(id, agreed, out),
            Packet::Cancel => {
                let found = self
                    .waiting
                    .iter()
                    .find(|(_, (packet, _))| *packet == id)
                    .map(|(transfer, _)| *transfer);
                requests.extend(found.map(|id| Request::Cancel { id }));
            }
            Packet::FilterReject | Packet::DeviceDisconnect | Packet::DisconnectAck => {
                requests.push(Request::Release);
            }
            Packet::FilterFilter | Packet::Iso => {}
            other => return Err(UsbRedirError::OutOfPlace(other.kind())),
        }
        Ok(())
    }

    /// The saved poll message for an endpoint, which usbredir leaves to the host to make.
    fn report_endpoint(&self, address: EndpointAddress) -> Option<PollMessage> {
        let (_, endpoint) = self.device.configuration.endpoint(address)?;
        let good = endpoint.transfer == Transfer::Interrupt && address.is_input();
        good.then_some(PollMessage {
            length: endpoint.max_packet,
            interval: endpoint.interval.into(),
            flags: 0,
        })
    }

    fn answer(
        &mut self,
        id: PacketId,
        waiting: Waiting,
        outcome: Outcome,
        actual: u16,
        data: &[u8],
        out: &mut Vec<u8>,
    ) {
        let Some(agreed) = self.agreed else {
            return;
        };
        let done = outcome == Outcome::Done;
        match waiting {
            Waiting::Control(setup) => Packet::Control {
                endpoint: setup.request_type & 0x80,
                status: status(outcome),
                setup: Setup {
                    length: actual,
                    ..setup
                },
                data,
            }
            .encode(id, agreed, out),
            Waiting::Configuration(value) => {
                if done {
                    self.configuration = value;
                    self.alternates.clear();
                    self.tables(agreed, out);
                }
                Packet::ConfigurationStatus {
                    status: status(outcome),
                    configuration: self.configuration,
                }
                .encode(id, agreed, out);
            }
            Waiting::Alternate {
                interface,
                alternate,
            } => {
                if done {
                    self.alternates.insert(interface, alternate);
                    self.tables(agreed, out);
                }
                Packet::AlternateStatus {
                    status: status(outcome),
                    interface,
                    alternate: self.alternates.get(&interface).copied().unwrap_or(0),
                }
                .encode(id, agreed, out);
            }
            Waiting::Out { endpoint } => Packet::Interrupt {
                endpoint,
                status: status(outcome),
                length: actual,
                data: &[],
            }
            .encode(id, agreed, out),
            Waiting::Quiet => {}
        }
    }
}

impl Front for Host {
    fn greet(&mut self, out: &mut Vec<u8>) {
        Packet::Hello {
            capabilities: capability::OURS,
        }
        .encode(0, Agreed::default(), out);
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        requests: &mut Vec<Request>,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, FrontError> {
        let decoded = Packet::decode(bytes, self.agreed.unwrap_or_default())?;
        let Some((id, packet, used)) = decoded else {
            return Ok(None);
        };
        match (self.agreed, packet) {
            (None, Packet::Hello { capabilities }) => self.connect(capabilities, out),
            (None, other) => return Err(UsbRedirError::OutOfPlace(other.kind()).into()),
            (Some(agreed), packet) => self.act(id, packet, agreed, requests, out)?,
        }
        Ok(Some(used))
    }

    fn respond(&mut self, response: Response<'_>, out: &mut Vec<u8>) {
        let Some(agreed) = self.agreed else {
            return;
        };
        match response {
            Response::Report { endpoint, data, .. } => {
                self.reports = self.reports.wrapping_add(1);
                Packet::Interrupt {
                    endpoint: endpoint.0,
                    status: 0,
                    length: u16::try_from(data.len()).unwrap_or(u16::MAX),
                    data,
                }
                .encode(self.reports, agreed, out);
            }
            Response::Stopped {
                endpoint, outcome, ..
            } => Packet::InterruptStatus {
                status: status(outcome),
                endpoint: endpoint.0,
            }
            .encode(0, agreed, out),
            Response::ControlDone {
                id,
                outcome,
                actual,
                data,
            } => {
                if let Some((packet, waiting)) = self.waiting.remove(&id) {
                    self.answer(packet, waiting, outcome, actual, data, out);
                }
            }
            Response::OutDone {
                id,
                outcome,
                actual,
            } => {
                if let Some((packet, waiting)) = self.waiting.remove(&id) {
                    self.answer(packet, waiting, outcome, actual, &[], out);
                }
            }
            Response::Gone => Packet::DeviceDisconnect.encode(0, agreed, out),
            Response::Polled { .. } | Response::Heartbeat => {}
        }
    }
}
