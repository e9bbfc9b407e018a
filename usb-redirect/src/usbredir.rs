//! usbredir 0.7 (spice/usbredir, usb-redirection-protocol.md), both sides, without I/O. All numbers are little endian.
//!
//! The *host* has the device and the *guest* uses it: QEMU's `usb-redir` is a guest, `usbredirect` a host. Its start-interrupt-receiving
//! is the first poll message of ours: it starts the polling thread, and reports flow until stop-interrupt-receiving.
//!
//! Lengths are checked against [`MAX_PACKET_DATA`] before a byte is buffered; a kind that does not fit its direction ends the connection.

mod guest;
mod host;
#[cfg(test)]
mod tests;

pub use guest::{Guest, GuestEvent, RemoteDevice};
pub use host::Host;

use crate::reader::Reader;
use crate::setup::Setup;
use crate::stream::Outcome;

/// The most data after a packet's own header.
pub const MAX_PACKET_DATA: usize = 64 * 1024;
/// The most bytes of a packet, headers included.
const MAX_LENGTH: usize = MAX_PACKET_DATA + 1024;

/// Capability bits.
pub mod capability {
    /// device_connect carries `bcdDevice`.
    pub const CONNECT_DEVICE_VERSION: u32 = 1 << 1;
    /// The guest confirms a disconnect.
    pub const DISCONNECT_ACK: u32 = 1 << 3;
    /// ep_info carries packet sizes.
    pub const ENDPOINT_PACKET_SIZE: u32 = 1 << 4;
    /// Packet ids have 64 bits.
    pub const IDS_64: u32 = 1 << 5;
    /// Bulk lengths have 32 bits.
    pub const BULK_LENGTH_32: u32 = 1 << 6;
    /// What this crate announces.
    pub const OURS: u32 =
        CONNECT_DEVICE_VERSION | DISCONNECT_ACK | ENDPOINT_PACKET_SIZE | IDS_64 | BULK_LENGTH_32;
}

/// Why a peer's bytes were refused. The connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsbRedirError {
    /// A packet above the limit.
    #[error("the usbredir peer announces a packet of {0} bytes; at most {MAX_LENGTH} are read")]
    TooLong(u32),
    /// A packet that does not belong to this side or this moment.
    #[error("the usbredir peer sent a packet of type {0}, which does not belong here")]
    OutOfPlace(u32),
    /// A packet whose length is not that of its type.
    #[error("the usbredir peer's packet of type {0} has the wrong form")]
    Malformed(u32),
}

/// The wire's status codes.
const fn status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Cancelled => 1,
        Outcome::Refused | Outcome::Stall => 4,
        Outcome::Gone | Outcome::Failed => 3,
        Outcome::TimedOut => 5,
        Outcome::Overflow => 6,
    }
}

const fn outcome(status: u8) -> Outcome {
    match status {
        0 => Outcome::Done,
        1 => Outcome::Cancelled,
        4 => Outcome::Stall,
        5 => Outcome::TimedOut,
        6 => Outcome::Overflow,
        _ => Outcome::Failed,
    }
}

/// What both sides agreed on with their greetings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    capabilities: u32,
}

impl Agreed {
    fn has(self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }
}

/// Endpoint tables have 32 places: 16 OUT, then 16 IN.
pub type PerEndpoint<T> = [T; 32];

/// One packet, its id apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Hello {
        capabilities: u32,
    },
    DeviceConnect {
        speed: u8,
        class: [u8; 3],
        vendor: u16,
        product: u16,
        release: u16,
    },
    DeviceDisconnect,
    Reset,
    InterfaceInfo {
        count: u32,
        interfaces: &'a [u8; 128],
    },
    EndpointInfo {
        types: &'a PerEndpoint<u8>,
        intervals: &'a PerEndpoint<u8>,
        interfaces: &'a PerEndpoint<u8>,
        sizes: PerEndpoint<u16>,
    },
    SetConfiguration(u8),
    GetConfiguration,
    ConfigurationStatus {
        status: u8,
        configuration: u8,
    },
    SetAlternate {
        interface: u8,
        alternate: u8,
    },
    GetAlternate {
        interface: u8,
    },
    AlternateStatus {
        status: u8,
        interface: u8,
        alternate: u8,
    },
    StartIso {
        endpoint: u8,
    },
    StopIso {
        endpoint: u8,
    },
    IsoStatus {
        status: u8,
        endpoint: u8,
    },
    StartInterrupt {
        endpoint: u8,
    },
    StopInterrupt {
        endpoint: u8,
    },
    InterruptStatus {
        status: u8,
        endpoint: u8,
    },
    BulkStreams {
        kind: u32,
        endpoints: u32,
    },
    BulkStreamsStatus {
        endpoints: u32,
        status: u8,
    },
    Cancel,
    FilterReject,
    FilterFilter,
    DisconnectAck,
    Control {
        endpoint: u8,
        status: u8,
        setup: Setup,
        data: &'a [u8],
    },
    Bulk {
        endpoint: u8,
        status: u8,
        length: u32,
        stream: u32,
    },
    Iso,
    Interrupt {
        endpoint: u8,
        status: u8,
        length: u16,
        data: &'a [u8],
    },
}

/// A packet's id: an answer carries its request's.
pub(crate) type PacketId = u64;

const VERSION: &[u8] = b"bulkhead usb-redirect 0.7";

impl<'a> Packet<'a> {
    /// Decodes the first packet in `bytes`: its id, itself, and the bytes it took.
    pub(crate) fn decode(
        bytes: &'a [u8],
        agreed: Agreed,
    ) -> Result<Option<(PacketId, Self, usize)>, UsbRedirError> {
        let mut reader = Reader::new(bytes);
        let Some((kind, length)) = reader.u32_le().zip(reader.u32_le()) else {
            return Ok(None);
        };
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > MAX_LENGTH {
            return Err(UsbRedirError::TooLong(length));
        }
        // A greeting always has a short id, even where long ones were agreed on before.
        let id = if agreed.has(capability::IDS_64) && kind != 0 {
            reader.u64_le()
        } else {
            reader.u32_le().map(u64::from)
        };
        let Some((id, body)) = id.zip(reader.take(size)) else {
            return Ok(None);
        };
        let mut body = Reader::new(body);
        let packet = Self::read(kind, &mut body, agreed)?.ok_or(UsbRedirError::Malformed(kind))?;
        if body.remaining() > 0 {
            return Err(UsbRedirError::Malformed(kind));
        }
        let used = bytes.len().saturating_sub(reader.remaining());
        Ok(Some((id, packet, used)))
    }

    fn read(
        kind: u32,
        body: &mut Reader<'a>,
        agreed: Agreed,
    ) -> Result<Option<Self>, UsbRedirError> {
        let packet = || {
            let everything = |body: &mut Reader<'a>| body.take(body.remaining());
            Some(Ok(match kind {
                0 => {
                    body.take(64)?;
                    let capabilities = body.u32_le().unwrap_or(0);
                    everything(body)?;
                    Self::Hello { capabilities }
                }
                1 => Self::DeviceConnect {
                    speed: body.u8()?,
                    class: body.array()?,
                    vendor: body.u16_le()?,
                    product: body.u16_le()?,
                    release: if agreed.has(capability::CONNECT_DEVICE_VERSION) {
                        body.u16_le()?
                    } else {
                        0
                    },
                },
                2 => Self::DeviceDisconnect,
                3 => Self::Reset,
                4 => Self::InterfaceInfo {
                    count: body.u32_le()?,
                    interfaces: body.take(128)?.first_chunk()?,
                },
                5 => Self::endpoint_info(body, agreed)?,
                6 => Self::SetConfiguration(body.u8()?),
                7 => Self::GetConfiguration,
                8 => Self::ConfigurationStatus {
                    status: body.u8()?,
                    configuration: body.u8()?,
                },
                9 => Self::SetAlternate {
                    interface: body.u8()?,
                    alternate: body.u8()?,
                },
                10 => Self::GetAlternate {
                    interface: body.u8()?,
                },
                11 => Self::AlternateStatus {
                    status: body.u8()?,
                    interface: body.u8()?,
                    alternate: body.u8()?,
                },
                12 => {
                    let endpoint = body.u8()?;
                    body.take(2)?;
                    Self::StartIso { endpoint }
                }
                13 => Self::StopIso {
                    endpoint: body.u8()?,
                },
                14 => Self::IsoStatus {
                    status: body.u8()?,
                    endpoint: body.u8()?,
                },
                15 => Self::StartInterrupt {
                    endpoint: body.u8()?,
                },
                16 => Self::StopInterrupt {
                    endpoint: body.u8()?,
                },
                17 => Self::InterruptStatus {
                    status: body.u8()?,
                    endpoint: body.u8()?,
                },
                18 | 19 => {
                    let endpoints = body.u32_le()?;
                    everything(body)?;
                    Self::BulkStreams { kind, endpoints }
                }
                20 => {
                    let endpoints = body.u32_le()?;
                    body.u32_le()?;
                    Self::BulkStreamsStatus {
                        endpoints,
                        status: body.u8()?,
                    }
                }
                21 => Self::Cancel,
                22 => Self::FilterReject,
                23 => {
                    everything(body)?;
                    Self::FilterFilter
                }
                24 => Self::DisconnectAck,
                100 => {
                    let [endpoint, request, request_type, status] = body.array()?;
                    let setup = Setup {
                        request_type,
                        request,
                        value: body.u16_le()?,
                        index: body.u16_le()?,
                        length: body.u16_le()?,
                    };
                    Self::Control {
                        endpoint,
                        status,
                        setup,
                        data: everything(body)?,
                    }
                }
                101 => Self::bulk(body, agreed)?,
                102 => {
                    everything(body)?;
                    Self::Iso
                }
                103 => Self::Interrupt {
                    endpoint: body.u8()?,
                    status: body.u8()?,
                    length: body.u16_le()?,
                    data: everything(body)?,
                },
                other => return Some(Err(UsbRedirError::OutOfPlace(other))),
            }))
        };
        let mut packet = packet;
        packet().transpose()
    }

    fn endpoint_info(body: &mut Reader<'a>, agreed: Agreed) -> Option<Self> {
        let types = body.take(32)?.first_chunk()?;
        let intervals = body.take(32)?.first_chunk()?;
        let interfaces = body.take(32)?.first_chunk()?;
        let mut sizes = [0; 32];
        if agreed.has(capability::ENDPOINT_PACKET_SIZE) {
            for size in &mut sizes {
                *size = body.u16_le()?;
            }
        }
        Some(Self::EndpointInfo {
            types,
            intervals,
            interfaces,
            sizes,
        })
    }

    fn bulk(body: &mut Reader<'a>, agreed: Agreed) -> Option<Self> {
        let (endpoint, status) = (body.u8()?, body.u8()?);
        let low = body.u16_le()?;
        let stream = body.u32_le()?;
        let high = if agreed.has(capability::BULK_LENGTH_32) {
            body.u16_le()?
        } else {
            0
        };
        body.take(body.remaining())?;
        Some(Self::Bulk {
            endpoint,
            status,
            length: u32::from(high) << 16 | u32::from(low),
            stream,
        })
    }

    const fn kind(&self) -> u32 {
        match self {
            Self::Hello { .. } => 0,
            Self::DeviceConnect { .. } => 1,
            Self::DeviceDisconnect => 2,
            Self::Reset => 3,
            Self::InterfaceInfo { .. } => 4,
            Self::EndpointInfo { .. } => 5,
            Self::SetConfiguration(_) => 6,
            Self::GetConfiguration => 7,
            Self::ConfigurationStatus { .. } => 8,
            Self::SetAlternate { .. } => 9,
            Self::GetAlternate { .. } => 10,
            Self::AlternateStatus { .. } => 11,
            Self::StartIso { .. } => 12,
            Self::StopIso { .. } => 13,
            Self::IsoStatus { .. } => 14,
            Self::StartInterrupt { .. } => 15,
            Self::StopInterrupt { .. } => 16,
            Self::InterruptStatus { .. } => 17,
            Self::BulkStreams { kind, .. } => *kind,
            Self::BulkStreamsStatus { .. } => 20,
            Self::Cancel => 21,
            Self::FilterReject => 22,
            Self::FilterFilter => 23,
            Self::DisconnectAck => 24,
            Self::Control { .. } => 100,
            Self::Bulk { .. } => 101,
            Self::Iso => 102,
            Self::Interrupt { .. } => 103,
        }
    }

    /// Appends the packet's bytes.
    pub(crate) fn encode(&self, id: PacketId, agreed: Agreed, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.kind().to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        if agreed.has(capability::IDS_64) && self.kind() != 0 {
            out.extend_from_slice(&id.to_le_bytes());
        } else {
            let [a, b, c, d, ..] = id.to_le_bytes();
            out.extend_from_slice(&[a, b, c, d]);
        }
        let head = out.len();
        self.write(agreed, out);
        let length = u32::try_from(out.len().saturating_sub(head)).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(start.saturating_add(4)..start.saturating_add(8)) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn write(&self, agreed: Agreed, out: &mut Vec<u8>) {
        match *self {
            Self::Hello { capabilities } => {
                out.extend_from_slice(VERSION);
                out.extend(std::iter::repeat_n(
                    0,
                    64usize.saturating_sub(VERSION.len()),
                ));
                out.extend_from_slice(&capabilities.to_le_bytes());
            }
            Self::DeviceConnect {
                speed,
                class,
                vendor,
                product,
                release,
            } => {
                out.push(speed);
                out.extend_from_slice(&class);
                out.extend_from_slice(&vendor.to_le_bytes());
                out.extend_from_slice(&product.to_le_bytes());
                if agreed.has(capability::CONNECT_DEVICE_VERSION) {
                    out.extend_from_slice(&release.to_le_bytes());
                }
            }
            Self::InterfaceInfo { count, interfaces } => {
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(interfaces);
            }
            Self::EndpointInfo {
                types,
                intervals,
                interfaces,
                sizes,
            } => {
                for table in [types, intervals, interfaces] {
                    out.extend_from_slice(table);
                }
                if agreed.has(capability::ENDPOINT_PACKET_SIZE) {
                    for size in sizes {
                        out.extend_from_slice(&size.to_le_bytes());
                    }
                }
            }
            Self::DeviceDisconnect
            | Self::Reset
            | Self::GetConfiguration
            | Self::Cancel
            | Self::FilterReject
            | Self::FilterFilter
            | Self::DisconnectAck
            | Self::Iso => {}
            Self::SetConfiguration(value) => out.push(value),
            Self::ConfigurationStatus {
                status,
                configuration,
            } => out.extend_from_slice(&[status, configuration]),
            Self::SetAlternate {
                interface,
                alternate,
            } => out.extend_from_slice(&[interface, alternate]),
            Self::GetAlternate { interface } => out.push(interface),
            Self::AlternateStatus {
                status,
                interface,
                alternate,
            } => out.extend_from_slice(&[status, interface, alternate]),
            Self::StartIso { endpoint } => out.extend_from_slice(&[endpoint, 0, 0]),
            Self::StopIso { endpoint }
            | Self::StartInterrupt { endpoint }
            | Self::StopInterrupt { endpoint } => out.push(endpoint),
            Self::IsoStatus { status, endpoint } | Self::InterruptStatus { status, endpoint } => {
                out.extend_from_slice(&[status, endpoint]);
            }
            Self::BulkStreams { kind, endpoints } => {
                out.extend_from_slice(&endpoints.to_le_bytes());
                if kind == 18 {
                    out.extend_from_slice(&[0; 4]);
                }
            }
            Self::BulkStreamsStatus { endpoints, status } => {
                out.extend_from_slice(&endpoints.to_le_bytes());
                out.extend_from_slice(&[0; 4]);
                out.push(status);
            }
            Self::Control {
                endpoint,
                status,
                setup,
                data,
            } => {
                out.extend_from_slice(&[endpoint, setup.request, setup.request_type, status]);
                for half in [setup.value, setup.index, setup.length] {
                    out.extend_from_slice(&half.to_le_bytes());
                }
                out.extend_from_slice(data);
            }
            Self::Bulk {
                endpoint,
                status,
                length,
                stream,
            } => {
                let [l0, l1, h0, h1] = length.to_le_bytes();
                out.extend_from_slice(&[endpoint, status, l0, l1]);
                out.extend_from_slice(&stream.to_le_bytes());
                if agreed.has(capability::BULK_LENGTH_32) {
                    out.extend_from_slice(&[h0, h1]);
                }
            }
            Self::Interrupt {
                endpoint,
                status,
                length,
                data,
            } => {
                out.extend_from_slice(&[endpoint, status]);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(data);
            }
        }
    }
}

/// Where an endpoint stands in the tables.
const fn table_index(address: u8) -> usize {
    ((address & 0x0f) | (address & 0x80) >> 3) as usize
}
