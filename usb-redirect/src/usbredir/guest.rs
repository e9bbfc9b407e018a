//! The side that uses the device: what a stock `usbredirect` or any other usbredir host talks to.

use super::{Agreed, Packet, UsbRedirError, capability, outcome, table_index};
use crate::descriptor::{ClassTriple, Speed};
use crate::setup::{EndpointAddress, Setup};
use crate::stream::{Outcome, TransferId};

/// What a host says of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteDevice {
    /// Its speed; `None` when the host does not know.
    pub speed: Option<Speed>,
    /// The device's own class.
    pub class: ClassTriple,
    /// `idVendor`, `idProduct`, `bcdDevice` (0 from a host that does not tell it).
    pub identity: (u16, u16, u16),
    /// Interface numbers with their classes.
    pub interfaces: Vec<(u8, ClassTriple)>,
}

/// What happens on the host's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestEvent<'a> {
    /// The device is there.
    Connected(RemoteDevice),
    /// The device is gone.
    Disconnected,
    /// A report.
    Report {
        /// Where it came from.
        endpoint: EndpointAddress,
        /// Its bytes.
        data: &'a [u8],
    },
    /// Polling began (`Done`) or ended.
    Polling {
        /// Where.
        endpoint: EndpointAddress,
        /// How.
        outcome: Outcome,
    },
    /// A control transfer is done.
    ControlDone {
        /// Which.
        id: TransferId,
        /// How.
        outcome: Outcome,
        /// What the device sent, for IN.
        data: &'a [u8],
        /// How many bytes moved.
        actual: u16,
    },
    /// An OUT transfer is done.
    OutDone {
        /// Which.
        id: TransferId,
        /// How.
        outcome: Outcome,
    },
    /// A configuration or alternate setting was taken or not.
    SettingDone {
        /// How.
        outcome: Outcome,
    },
    /// Nothing to act on.
    Nothing,
}

/// The guest's state machine.
#[derive(Debug, Default)]
pub struct Guest {
    agreed: Option<Agreed>,
    connected: bool,
    interfaces: Vec<(u8, ClassTriple)>,
    types: Option<[u8; 32]>,
}

impl Guest {
    /// Appends the greeting.
    pub fn greet(&self, out: &mut Vec<u8>) {
        Packet::Hello {
            capabilities: capability::OURS,
        }
        .encode(0, Agreed::default(), out);
    }

    /// Takes the first packet out of `bytes`; answers what it says and how many bytes it took.
    ///
    /// # Errors
    /// When the host broke the protocol.
    pub fn receive<'a>(
        &mut self,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(GuestEvent<'a>, usize)>, UsbRedirError> {
        let decoded = Packet::decode(bytes, self.agreed.unwrap_or_default())?;
        let Some((id, packet, used)) = decoded else {
            return Ok(None);
        };
        let Some(agreed) = self.agreed else {
            let Packet::Hello { capabilities } = packet else {
                return Err(UsbRedirError::OutOfPlace(packet.kind()));
            };
            self.agreed = Some(Agreed {
                capabilities: capabilities & capability::OURS,
            });
            return Ok(Some((GuestEvent::Nothing, used)));
        };
        // An id above 32 bits answers nothing that this side asked: its own ids are small.
        let transfer = TransferId(u32::try_from(id).unwrap_or(u32::MAX));
        let event = match packet {
            Packet::InterfaceInfo { count, interfaces } => {
                self.interfaces = read_interfaces(count, interfaces)?;
                GuestEvent::Nothing
            }
            Packet::EndpointInfo { types, .. } => {
                self.types = Some(*types);
                GuestEvent::Nothing
            }
            Packet::DeviceConnect {
                speed,
                class: [class, subclass, protocol],
                vendor,
                product,
                release,
            } if !self.connected => {
                self.connected = true;
                GuestEvent::Connected(RemoteDevice {
                    speed: match speed {
                        0 => Some(Speed::Low),
                        1 => Some(Speed::Full),
                        2 => Some(Speed::High),
                        3 => Some(Speed::Super),
                        _ => None,
                    },
                    class: ClassTriple {
                        class,
                        subclass,
                        protocol,
                    },
                    identity: (vendor, product, release),
                    interfaces: self.interfaces.clone(),
                })
            }
            Packet::DeviceDisconnect if self.connected => {
                self.connected = false;
                if agreed.has(capability::DISCONNECT_ACK) {
                    Packet::DisconnectAck.encode(0, agreed, out);
                }
                GuestEvent::Disconnected
            }
            Packet::Interrupt {
                endpoint,
                status,
                length,
                data,
            } => {
                let endpoint = EndpointAddress(endpoint);
                if !endpoint.is_input() {
                    GuestEvent::OutDone {
                        id: transfer,
                        outcome: outcome(status),
                    }
                } else if usize::from(length) != data.len() || !self.is_interrupt(endpoint) {
                    return Err(UsbRedirError::Malformed(103));
                } else if status == 0 {
                    GuestEvent::Report { endpoint, data }
                } else {
                    GuestEvent::Polling {
                        endpoint,
                        outcome: outcome(status),
                    }
                }
            }
            Packet::InterruptStatus { status, endpoint } => GuestEvent::Polling {
                endpoint: EndpointAddress(endpoint),
                outcome: outcome(status),
            },
            Packet::Control {
                status,
                setup,
                data,
                ..
            } => {
                let carried = if setup.is_input() { data.len() } else { 0 };
                if data.len() != carried
                    || (setup.is_input() && carried != usize::from(setup.length))
                {
                    return Err(UsbRedirError::Malformed(100));
                }
                GuestEvent::ControlDone {
                    id: transfer,
                    outcome: outcome(status),
                    data,
                    actual: setup.length,
                }
            }
            Packet::ConfigurationStatus { status, .. } | Packet::AlternateStatus { status, .. } => {
                GuestEvent::SettingDone {
                    outcome: outcome(status),
                }
            }
            Packet::FilterFilter | Packet::FilterReject => GuestEvent::Nothing,
            other => return Err(UsbRedirError::OutOfPlace(other.kind())),
        };
        Ok(Some((event, used)))
    }

    /// Asks the host to poll.
    pub fn start(&self, endpoint: EndpointAddress, out: &mut Vec<u8>) {
        self.send(
            0,
            Packet::StartInterrupt {
                endpoint: endpoint.0,
            },
            out,
        );
    }

    /// Asks the host to stop.
    pub fn stop(&self, endpoint: EndpointAddress, out: &mut Vec<u8>) {
        self.send(
            0,
            Packet::StopInterrupt {
                endpoint: endpoint.0,
            },
            out,
        );
    }

    /// Sets the configuration.
    pub fn set_configuration(&self, value: u8, out: &mut Vec<u8>) {
        self.send(0, Packet::SetConfiguration(value), out);
    }

    /// A control transfer.
    pub fn control(&self, id: TransferId, setup: Setup, data: &[u8], out: &mut Vec<u8>) {
        let packet = Packet::Control {
            endpoint: setup.request_type & 0x80,
            status: 0,
            setup,
            data,
        };
        self.send(id.0, packet, out);
    }

    /// An interrupt-OUT transfer.
    pub fn output(
        &self,
        id: TransferId,
        endpoint: EndpointAddress,
        data: &[u8],
        out: &mut Vec<u8>,
    ) {
        let packet = Packet::Interrupt {
            endpoint: endpoint.0,
            status: 0,
            length: u16::try_from(data.len()).unwrap_or(u16::MAX),
            data,
        };
        self.send(id.0, packet, out);
    }

    fn send(&self, id: u32, packet: Packet<'_>, out: &mut Vec<u8>) {
        if let Some(agreed) = self.agreed {
            packet.encode(id.into(), agreed, out);
        }
    }

    fn is_interrupt(&self, endpoint: EndpointAddress) -> bool {
        let kind = self
            .types
            .and_then(|types| types.get(table_index(endpoint.0)).copied());
        kind == Some(3)
    }
}

pub(super) fn read_interfaces(
    count: u32,
    tables: &[u8; 128],
) -> Result<Vec<(u8, ClassTriple)>, UsbRedirError> {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= 32)
        .ok_or(UsbRedirError::Malformed(4))?;
    let (numbers, rest) = tables.split_at(32);
    let (classes, rest) = rest.split_at(32);
    let (subclasses, protocols) = rest.split_at(32);
    let rows = numbers
        .iter()
        .zip(classes.iter().zip(subclasses.iter().zip(protocols)));
    Ok(rows
        .take(count)
        .map(|(number, (class, (subclass, protocol)))| {
            let class = ClassTriple {
                class: *class,
                subclass: *subclass,
                protocol: *protocol,
            };
            (*number, class)
        })
        .collect())
}
