//! Our own protocol between the endpoint, which has the device, and the agent on the desktop's side. One stream carries one device.
//!
//! Numbers are little endian. A frame is a 4-byte head (body length, kind, endpoint or interface) and its body. A report of 8 bytes takes
//! 20 on the wire. Each start of polling has a [`Generation`]: reports of an older one are ignored, and within one the sequence
//! numbers follow each other without a gap, so a report that was lost, doubled or brought out of order shows.
//!
//! The zone link or TLS authenticates and protects the stream below; nothing here is secret by itself.

mod front;

pub use front::StreamFront;

use crate::reader::Reader;
use crate::setup::{EndpointAddress, Setup};

/// The protocol's version, first in both greetings.
pub const VERSION: u16 = 1;
/// The longest body of a frame.
pub const MAX_BODY: usize = 20 * 1024;
/// The most bytes in a control transfer's data stage.
pub const MAX_CONTROL: usize = 4096;
/// The longest report.
pub const MAX_REPORT: usize = 3072;
/// The most report descriptors a device may have: one for each interface.
pub const MAX_REPORT_DESCRIPTORS: usize = 32;

/// Which start of polling a report belongs to. Generations of an endpoint only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The next one, or `None` after 2^32 starts, when the device must be attached anew.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

/// A report's place in its generation, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u32);

/// Which control or OUT transfer an answer belongs to; the agent chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u32);

/// The first poll message of an interface, as the polling thread saves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollMessage {
    /// Room for a report.
    pub length: u16,
    /// The interval the desktop's stack asked for, in (micro)frames.
    pub interval: u32,
    /// `URB_*` flags.
    pub flags: u32,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// The endpoint stalled.
    Stall,
    /// The device is gone.
    Gone,
    /// It was taken back.
    Cancelled,
    /// The bus failed.
    Failed,
    /// The filter or a limit refused it; the desktop sees a stall.
    Refused,
    /// No answer in time. Never turned into data.
    TimedOut,
    /// The device sent more than there was room for.
    Overflow,
}

impl Outcome {
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Stall => 1,
            Self::Gone => 2,
            Self::Cancelled => 3,
            Self::Failed => 4,
            Self::Refused => 5,
            Self::TimedOut => 6,
            Self::Overflow => 7,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Done,
            1 => Self::Stall,
            2 => Self::Gone,
            3 => Self::Cancelled,
            4 => Self::Failed,
            5 => Self::Refused,
            6 => Self::TimedOut,
            7 => Self::Overflow,
            _ => return None,
        })
    }
}

/// Why a peer's frame was refused. The stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A body above the limit.
    #[error("the peer announces a frame of {0} bytes; at most {MAX_BODY} are read")]
    TooLong(usize),
    /// A kind that does not exist or goes the other way.
    #[error("the peer sent a frame of kind {0}, which does not belong here")]
    UnknownKind(u8),
    /// A body that is not of its kind's form.
    #[error("the peer's frame of kind {0} has a body of the wrong form")]
    Malformed(u8),
    /// Another version.
    #[error("the peer speaks version {0} of the stream protocol; this side speaks {VERSION}")]
    WrongVersion(u16),
    /// A message at a time when it must not come.
    #[error("the peer sent {0} when it must not come")]
    OutOfPlace(&'static str),
    /// A report lost, doubled or out of order.
    #[error(
        "the peer sent report {got} of endpoint {endpoint:#04x} where report {expected} must come"
    )]
    WrongSequence {
        /// The endpoint.
        endpoint: u8,
        /// What must come.
        expected: u32,
        /// What came.
        got: u32,
    },
    /// Descriptors that do not parse.
    #[error("the peer's device cannot be attached: {0}")]
    Descriptor(String),
}

/// A frame from the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromEndpoint<'a> {
    /// The greeting, and what the device is.
    Hello {
        /// Its speed, as Linux numbers it.
        speed: u8,
        /// The device descriptor.
        device: [u8; 18],
        /// The configuration.
        configuration: &'a [u8],
    },
    /// One interface's report descriptor.
    ReportDescriptor {
        /// The interface.
        interface: u8,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// All is described; the device may be attached.
    Ready,
    /// A report.
    Report {
        /// Where it came from.
        endpoint: EndpointAddress,
        /// Which start of polling it belongs to.
        generation: Generation,
        /// Its place.
        sequence: Sequence,
        /// Its bytes.
        data: &'a [u8],
    },
    /// Polling ended by itself.
    Stopped {
        /// Where.
        endpoint: EndpointAddress,
        /// Which start of polling ended.
        generation: Generation,
        /// Why.
        outcome: Outcome,
    },
    /// A control transfer is done.
    ControlDone {
        /// Which.
        id: TransferId,
        /// How.
        outcome: Outcome,
        /// How many bytes the device took, for OUT.
        actual: u16,
        /// What the device sent, for IN.
        data: &'a [u8],
    },
    /// An interrupt-OUT transfer is done.
    OutDone {
        /// Which.
        id: TransferId,
        /// How.
        outcome: Outcome,
        /// How many bytes the device took.
        actual: u16,
    },
    /// The link lives. Sent while something is held.
    Heartbeat,
    /// The device is gone or taken back.
    Detached,
}

/// A frame from the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromAgent<'a> {
    /// The greeting.
    Hello,
    /// The first poll message of an endpoint: save it and poll.
    Start {
        /// Where.
        endpoint: EndpointAddress,
        /// The new generation.
        generation: Generation,
        /// What to re-submit.
        message: PollMessage,
    },
    /// Stop polling.
    Stop {
        /// Where.
        endpoint: EndpointAddress,
    },
    /// A control transfer.
    Control {
        /// What the answer names.
        id: TransferId,
        /// The setup packet.
        setup: Setup,
        /// The data, for OUT.
        data: &'a [u8],
    },
    /// An interrupt-OUT transfer.
    Out {
        /// Where.
        endpoint: EndpointAddress,
        /// What the answer names.
        id: TransferId,
        /// The data.
        data: &'a [u8],
    },
    /// Take a control or OUT transfer back if it has not begun.
    Cancel {
        /// Which.
        id: TransferId,
    },
}

/// A decoded frame and how many bytes it took, or `None` until more bytes are there.
pub type Decoded<T> = Result<Option<(T, usize)>, StreamError>;

const HELLO: u8 = 1;
const REPORT_DESCRIPTOR: u8 = 2;
const READY: u8 = 3;
const REPORT: u8 = 4;
const STOPPED: u8 = 5;
const CONTROL_DONE: u8 = 6;
const OUT_DONE: u8 = 7;
const HEARTBEAT: u8 = 8;
const DETACHED: u8 = 9;
const START: u8 = 0x81;
const STOP: u8 = 0x82;
const CONTROL: u8 = 0x83;
const OUT: u8 = 0x84;
const CANCEL: u8 = 0x85;
const AGENT_HELLO: u8 = 0x80;

/// Splits off a frame: kind, address byte, body, bytes taken.
fn frame(bytes: &[u8]) -> Decoded<(u8, u8, Reader<'_>)> {
    let Some(([l0, l1, kind, address], rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_le_bytes([*l0, *l1]));
    if length > MAX_BODY {
        return Err(StreamError::TooLong(length));
    }
    Ok(rest.get(..length).map(|body| {
        (
            (*kind, *address, Reader::new(body)),
            length.saturating_add(4),
        )
    }))
}

fn put(out: &mut Vec<u8>, kind: u8, address: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // Callers keep within MAX_BODY; a longer body would be a defect of this side, and is cut to stay in step.
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let [l0, l1] = length.to_le_bytes();
    out.extend_from_slice(&[l0, l1, kind, address]);
    for part in parts {
        out.extend_from_slice(part);
    }
}

impl<'a> FromEndpoint<'a> {
    /// Decodes the first frame in `bytes`.
    ///
    /// # Errors
    /// When the bytes are no frame from an endpoint.
    pub fn decode(bytes: &'a [u8]) -> Decoded<Self> {
        let Some(((kind, address, mut body), used)) = frame(bytes)? else {
            return Ok(None);
        };
        let message = Self::read(kind, address, &mut body)?.ok_or(StreamError::Malformed(kind))?;
        if body.remaining() > 0 {
            return Err(StreamError::Malformed(kind));
        }
        Ok(Some((message, used)))
    }

    fn read(kind: u8, address: u8, body: &mut Reader<'a>) -> Result<Option<Self>, StreamError> {
        (|| {
            let everything = |body: &mut Reader<'a>| body.take(body.remaining());
            Some(match kind {
                HELLO => {
                    let version = body.u16_le()?;
                    if version != VERSION {
                        return Some(Err(StreamError::WrongVersion(version)));
                    }
                    Ok(Self::Hello {
                        speed: address,
                        device: body.array()?,
                        configuration: everything(body)?,
                    })
                }
                REPORT_DESCRIPTOR => Ok(Self::ReportDescriptor {
                    interface: address,
                    bytes: everything(body)?,
                }),
                READY => Ok(Self::Ready),
                REPORT => Ok(Self::Report {
                    endpoint: EndpointAddress(address),
                    generation: Generation(body.u32_le()?),
                    sequence: Sequence(body.u32_le()?),
                    data: everything(body).filter(|data| data.len() <= MAX_REPORT)?,
                }),
                STOPPED => Ok(Self::Stopped {
                    endpoint: EndpointAddress(address),
                    generation: Generation(body.u32_le()?),
                    outcome: Outcome::from_code(body.u8()?)?,
                }),
                CONTROL_DONE => Ok(Self::ControlDone {
                    id: TransferId(body.u32_le()?),
                    outcome: Outcome::from_code(body.u8()?)?,
                    actual: body.u16_le()?,
                    data: everything(body).filter(|data| data.len() <= MAX_CONTROL)?,
                }),
                OUT_DONE => Ok(Self::OutDone {
                    id: TransferId(body.u32_le()?),
                    outcome: Outcome::from_code(body.u8()?)?,
                    actual: body.u16_le()?,
                }),
                HEARTBEAT => Ok(Self::Heartbeat),
                DETACHED => Ok(Self::Detached),
                other => Err(StreamError::UnknownKind(other)),
            })
        })()
        .transpose()
    }

    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Hello {
                speed,
                device,
                configuration,
            } => put(
                out,
                HELLO,
                speed,
                &[&VERSION.to_le_bytes(), &device, configuration],
            ),
            Self::ReportDescriptor { interface, bytes } => {
                put(out, REPORT_DESCRIPTOR, interface, &[bytes]);
            }
            Self::Ready => put(out, READY, 0, &[]),
            Self::Report {
                endpoint,
                generation,
                sequence,
                data,
            } => put(
                out,
                REPORT,
                endpoint.0,
                &[&generation.0.to_le_bytes(), &sequence.0.to_le_bytes(), data],
            ),
            Self::Stopped {
                endpoint,
                generation,
                outcome,
            } => put(
                out,
                STOPPED,
                endpoint.0,
                &[&generation.0.to_le_bytes(), &[outcome.code()]],
            ),
            Self::ControlDone {
                id,
                outcome,
                actual,
                data,
            } => put(
                out,
                CONTROL_DONE,
                0,
                &[
                    &id.0.to_le_bytes(),
                    &[outcome.code()],
                    &actual.to_le_bytes(),
                    data,
                ],
            ),
            Self::OutDone {
                id,
                outcome,
                actual,
            } => put(
                out,
                OUT_DONE,
                0,
                &[
                    &id.0.to_le_bytes(),
                    &[outcome.code()],
                    &actual.to_le_bytes(),
                ],
            ),
            Self::Heartbeat => put(out, HEARTBEAT, 0, &[]),
            Self::Detached => put(out, DETACHED, 0, &[]),
        }
    }
}

impl<'a> FromAgent<'a> {
    /// Decodes the first frame in `bytes`.
    ///
    /// # Errors
    /// When the bytes are no frame from an agent.
    pub fn decode(bytes: &'a [u8]) -> Decoded<Self> {
        let Some(((kind, address, mut body), used)) = frame(bytes)? else {
            return Ok(None);
        };
        let message = Self::read(kind, address, &mut body)?.ok_or(StreamError::Malformed(kind))?;
        if body.remaining() > 0 {
            return Err(StreamError::Malformed(kind));
        }
        Ok(Some((message, used)))
    }

    fn read(kind: u8, address: u8, body: &mut Reader<'a>) -> Result<Option<Self>, StreamError> {
        (|| {
            let everything = |body: &mut Reader<'a>| body.take(body.remaining());
            Some(match kind {
                AGENT_HELLO => {
                    let version = body.u16_le()?;
                    if version != VERSION {
                        return Some(Err(StreamError::WrongVersion(version)));
                    }
                    Ok(Self::Hello)
                }
                START => Ok(Self::Start {
                    endpoint: EndpointAddress(address),
                    generation: Generation(body.u32_le()?),
                    message: PollMessage {
                        length: body
                            .u16_le()
                            .filter(|length| usize::from(*length) <= MAX_REPORT)?,
                        interval: body.u32_le()?,
                        flags: body.u32_le()?,
                    },
                }),
                STOP => Ok(Self::Stop {
                    endpoint: EndpointAddress(address),
                }),
                CONTROL => Ok(Self::Control {
                    id: TransferId(body.u32_le()?),
                    setup: Setup::from_bytes(body.array()?),
                    data: everything(body).filter(|data| data.len() <= MAX_CONTROL)?,
                }),
                OUT => Ok(Self::Out {
                    endpoint: EndpointAddress(address),
                    id: TransferId(body.u32_le()?),
                    data: everything(body).filter(|data| data.len() <= MAX_REPORT)?,
                }),
                CANCEL => Ok(Self::Cancel {
                    id: TransferId(body.u32_le()?),
                }),
                other => Err(StreamError::UnknownKind(other)),
            })
        })()
        .transpose()
    }

    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Hello => put(out, AGENT_HELLO, 0, &[&VERSION.to_le_bytes()]),
            Self::Start {
                endpoint,
                generation,
                message,
            } => put(
                out,
                START,
                endpoint.0,
                &[
                    &generation.0.to_le_bytes(),
                    &message.length.to_le_bytes(),
                    &message.interval.to_le_bytes(),
                    &message.flags.to_le_bytes(),
                ],
            ),
            Self::Stop { endpoint } => put(out, STOP, endpoint.0, &[]),
            Self::Control { id, setup, data } => put(
                out,
                CONTROL,
                0,
                &[&id.0.to_le_bytes(), &setup.to_bytes(), data],
            ),
            Self::Out { endpoint, id, data } => {
                put(out, OUT, endpoint.0, &[&id.0.to_le_bytes(), data]);
            }
            Self::Cancel { id } => put(out, CANCEL, 0, &[&id.0.to_le_bytes()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_report_takes_twenty_bytes() {
        let report = FromEndpoint::Report {
            endpoint: EndpointAddress::input(1),
            generation: Generation(1),
            sequence: Sequence(2),
            data: &[0; 8],
        };
        let mut wire = Vec::new();
        report.encode(&mut wire);
        assert_eq!(wire.len(), 20);
        for length in 0..wire.len() {
            assert_eq!(FromEndpoint::decode(&wire[..length]), Ok(None));
        }
        assert_eq!(FromEndpoint::decode(&wire), Ok(Some((report, 20))));
    }

    #[test]
    fn every_frame_survives_a_round_trip() {
        let id = TransferId(7);
        let endpoint = EndpointAddress::output(2);
        let setup = Setup::from_bytes([0x21, 9, 0, 2, 0, 0, 1, 0]);
        for frame in [
            FromAgent::Hello,
            FromAgent::Start {
                endpoint: EndpointAddress::input(2),
                generation: Generation(9),
                message: PollMessage {
                    length: 64,
                    interval: 1,
                    flags: 0x200,
                },
            },
            FromAgent::Stop { endpoint },
            FromAgent::Control {
                id,
                setup,
                data: &[1],
            },
            FromAgent::Out {
                endpoint,
                id,
                data: &[5, 6],
            },
            FromAgent::Cancel { id },
        ] {
            let mut wire = Vec::new();
            frame.encode(&mut wire);
            assert_eq!(FromAgent::decode(&wire), Ok(Some((frame, wire.len()))));
            assert!(FromEndpoint::decode(&wire).is_err(), "goes one way only");
        }
        for frame in [
            FromEndpoint::Hello {
                speed: 2,
                device: [3; 18],
                configuration: &[9, 2],
            },
            FromEndpoint::ReportDescriptor {
                interface: 1,
                bytes: &[5, 1],
            },
            FromEndpoint::Ready,
            FromEndpoint::Stopped {
                endpoint,
                generation: Generation(1),
                outcome: Outcome::Stall,
            },
            FromEndpoint::ControlDone {
                id,
                outcome: Outcome::Done,
                actual: 3,
                data: &[1, 2, 3],
            },
            FromEndpoint::OutDone {
                id,
                outcome: Outcome::Gone,
                actual: 0,
            },
            FromEndpoint::Heartbeat,
            FromEndpoint::Detached,
        ] {
            let mut wire = Vec::new();
            frame.encode(&mut wire);
            assert_eq!(FromEndpoint::decode(&wire), Ok(Some((frame, wire.len()))));
            assert!(FromAgent::decode(&wire).is_err(), "goes one way only");
        }
    }

    #[test]
    fn frames_that_lie_are_refused() {
        assert_eq!(
            FromEndpoint::decode(&[0xff, 0xff, REPORT, 0x81]),
            Err(StreamError::TooLong(0xffff))
        );
        assert_eq!(
            FromEndpoint::decode(&[1, 0, READY, 0, 0]),
            Err(StreamError::Malformed(READY)),
            "a body too long"
        );
        assert_eq!(
            FromEndpoint::decode(&[3, 0, REPORT, 0x81, 0, 0, 0]),
            Err(StreamError::Malformed(REPORT)),
            "a body too short"
        );
        assert_eq!(
            FromAgent::decode(&[2, 0, AGENT_HELLO, 0, 9, 0]),
            Err(StreamError::WrongVersion(9))
        );
        assert_eq!(
            FromAgent::decode(&[0, 0, 0x55, 0]),
            Err(StreamError::UnknownKind(0x55))
        );
    }
}
