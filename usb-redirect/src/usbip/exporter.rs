//! The server's side of plain USB/IP: what a stock `usbip attach` talks to. Every report costs a round trip here; it is for desktops
//! that have no agent, and the measure to compare with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Answer, BusId, Command, DeviceRecord, InterfaceRecord, Operation, OperationReply, Submit,
    UsbIpError, status,
};
use crate::agent::linux_status;
use crate::descriptor::Transfer;
use crate::device::Description;
use crate::front::{Front, FrontError, Request, Response};
use crate::stream::{MAX_CONTROL, MAX_REPORT, Outcome, TransferId};

/// The most URBs that wait for an answer.
const MAX_WAITING: usize = 256;

/// The exporter's state machine.
#[derive(Debug)]
pub struct Exporter {
    device: Arc<Description>,
    record: DeviceRecord,
    imported: bool,
    /// URBs that wait, each with its room for data.
    waiting: BTreeMap<TransferId, u32>,
}

impl Exporter {
    /// Exports one device under a name.
    #[must_use]
    pub fn new(device: Arc<Description>, bus: BusId) -> Self {
        let descriptor = &device.device;
        let record = DeviceRecord {
            bus,
            number: (1, 2),
            speed: device.speed,
            identity: (descriptor.vendor, descriptor.product, descriptor.release),
            class: descriptor.class,
            configuration: device.configuration.value,
            configurations: descriptor.configurations,
            interfaces: device
                .configuration
                .interfaces()
                .map(|setting| InterfaceRecord {
                    class: setting.class,
                })
                .collect(),
        };
        Self {
            device,
            record,
            imported: false,
            waiting: BTreeMap::new(),
        }
    }

    fn submit(&mut self, submit: Submit<'_>, requests: &mut Vec<Request>, out: &mut Vec<u8>) {
        let id = TransferId(submit.sequence);
        let found = self.device.configuration.endpoint(submit.endpoint);
        let interrupt = found.is_some_and(|(_, endpoint)| endpoint.transfer == Transfer::Interrupt);
        let request = if submit.endpoint.number() == 0 {
            let mut setup = submit.setup;
            if setup.is_input() {
                setup.length = setup
                    .length
                    .min(u16::try_from(MAX_CONTROL).unwrap_or(u16::MAX));
            }
            (submit.data.len() <= MAX_CONTROL).then(|| Request::Control {
                id,
                setup,
                data: submit.data.to_vec(),
            })
        } else if !interrupt || submit.data.len() > MAX_REPORT {
            None
        } else if submit.endpoint.is_input() {
            Some(Request::PollOnce {
                endpoint: submit.endpoint,
                id,
                length: u16::try_from(submit.length.min(u32::try_from(MAX_REPORT).unwrap_or(0)))
                    .unwrap_or(0),
            })
        } else {
            Some(Request::Out {
                endpoint: submit.endpoint,
                id,
                data: submit.data.to_vec(),
            })
        };
        let full = self.waiting.len() >= MAX_WAITING || self.waiting.contains_key(&id);
        match request.filter(|_| !full) {
            Some(request) => {
                self.waiting.insert(id, submit.length);
                requests.push(request);
            }
            None => Answer::Submit {
                sequence: submit.sequence,
                status: if full {
                    status::NO_MEMORY
                } else {
                    status::STALL
                },
                actual: 0,
                data: &[],
            }
            .encode(out),
        }
    }

    fn done(
        &mut self,
        id: TransferId,
        outcome: Outcome,
        actual: u16,
        data: &[u8],
        out: &mut Vec<u8>,
    ) {
        // What was unlinked is answered no more.
        let Some(room) = self.waiting.remove(&id) else {
            return;
        };
        let actual = u32::from(actual).max(u32::try_from(data.len()).unwrap_or(u32::MAX));
        let fits = actual <= room;
        Answer::Submit {
            sequence: id.0,
            status: if fits {
                linux_status(outcome)
            } else {
                status::OVERFLOW
            },
            actual: if fits { actual } else { 0 },
            data: if fits { data } else { &[] },
        }
        .encode(out);
    }
}

impl Front for Exporter {
    fn greet(&mut self, _out: &mut Vec<u8>) {}

    fn receive(
        &mut self,
        bytes: &[u8],
        requests: &mut Vec<Request>,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, FrontError> {
        if !self.imported {
            let Some((operation, used)) = Operation::decode(bytes)? else {
                return Ok(None);
            };
            let reply = match operation {
                Operation::List => OperationReply::List(vec![self.record.clone()]),
                Operation::Import(bus) if bus == self.record.bus => {
                    self.imported = true;
                    OperationReply::Imported(self.record.clone())
                }
                Operation::Import(_) => OperationReply::Refused(4),
            };
            reply.encode(out);
            return Ok(Some(used));
        }
        let Some((command, used)) = Command::decode(bytes)? else {
            return Ok(None);
        };
        match command {
            Command::Submit(submit) if submit.device == self.record.device() => {
                self.submit(submit, requests, out);
            }
            Command::Unlink {
                sequence,
                device,
                target,
            } if device == self.record.device() => {
                let id = TransferId(target);
                let waited = self.waiting.remove(&id).is_some();
                if waited {
                    requests.push(Request::Cancel { id });
                }
                let status = if waited { status::UNLINKED } else { status::OK };
                Answer::Unlink { sequence, status }.encode(out);
            }
            Command::Submit(Submit { device, .. }) | Command::Unlink { device, .. } => {
                return Err(UsbIpError::UnknownDevice(device).into());
            }
        }
        Ok(Some(used))
    }

    fn respond(&mut self, response: Response<'_>, out: &mut Vec<u8>) {
        match response {
            Response::Polled { id, outcome, data } => self.done(id, outcome, 0, data, out),
            Response::ControlDone {
                id,
                outcome,
                actual,
                data,
            } => self.done(id, outcome, actual, data, out),
            Response::OutDone {
                id,
                outcome,
                actual,
            } => self.done(id, outcome, actual, &[], out),
            // A device that is gone shows by the connection's end.
            _ => {}
        }
    }
}
