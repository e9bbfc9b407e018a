//! USB/IP 1.1.1 (Linux, Documentation/usb/usbip_protocol.rst), both sides, without I/O but for [`Client`]. All numbers are big endian.
//!
//! A connection begins with one operation (list the devices, or import one) and, after an import, carries URBs: 48-byte headers, then
//! data. The kernel side of an attached device is a stock `vhci_hcd`, which closes the connection when it is answered a sequence
//! number it does not wait for; the other way around, known holes in kernels came from believing a peer's counts
//! (CVE-2016-3955, CVE-2026-31607). So what is decoded here is bounded: packet counts must be 0 or -1, lengths at most
//! [`MAX_TRANSFER_LENGTH`], and an answer is only decoded against the request that it names.

mod client;
mod exporter;
mod operation;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use exporter::Exporter;
pub use operation::{
    BusId, DeviceRecord, InterfaceRecord, OPERATION_VERSION, Operation, OperationReply,
};

use crate::reader::Reader;
use crate::setup::{EndpointAddress, Setup};

/// The most bytes one transfer may move: above any HID transfer, below what hurts.
pub const MAX_TRANSFER_LENGTH: u32 = 64 * 1024;
/// The length of each header after an import.
pub const HEADER_LENGTH: usize = 48;

/// Linux error numbers as they stand in `status`, negative.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// No such device: it was unplugged.
    pub const NO_DEVICE: i32 = -19;
    /// The endpoint stalled.
    pub const STALL: i32 = -32;
    /// The device sent more than there was room for.
    pub const OVERFLOW: i32 = -75;
    /// Bus error.
    pub const PROTOCOL: i32 = -71;
    /// The URB was unlinked.
    pub const UNLINKED: i32 = -104;
    /// The endpoint is being taken down.
    pub const SHUTDOWN: i32 = -108;
    /// No answer in time.
    pub const TIMEOUT: i32 = -110;
    /// Not enough memory: too many transfers are waiting.
    pub const NO_MEMORY: i32 = -12;
}

/// Why a peer's bytes were refused. The connection cannot go on: where the next message begins is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsbIpError {
    /// A command or operation that does not stand here.
    #[error("the USB/IP peer sent command {0:#x}, which does not belong here")]
    UnknownCommand(u32),
    /// Another version of the operations.
    #[error("the USB/IP peer speaks version {0:#06x}; this side speaks 0x0111")]
    WrongVersion(u16),
    /// A transfer above the limit.
    #[error(
        "the USB/IP peer asks for a transfer of {0} bytes; at most {MAX_TRANSFER_LENGTH} are moved"
    )]
    TooLong(u32),
    /// Isochronous packets, which no human interface device has.
    #[error("the USB/IP peer counts {0} isochronous packets; none are carried")]
    Isochronous(u32),
    /// An endpoint number above 15.
    #[error("the USB/IP peer names endpoint {0}; there are 16")]
    NoSuchEndpoint(u32),
    /// A direction that is neither.
    #[error("the USB/IP peer names direction {0}; it must be 0 or 1")]
    WrongDirection(u32),
    /// An answer to a request that was not made or has been answered.
    #[error("the USB/IP peer answers request {0}, which is not waiting for an answer")]
    UnknownSequence(u32),
    /// More data than the request has room for.
    #[error(
        "the USB/IP peer answers request {sequence} with {actual} bytes; {room} were asked for"
    )]
    Overrun {
        /// The request.
        sequence: u32,
        /// What the peer says it sends.
        actual: i32,
        /// What was asked for.
        room: u32,
    },
    /// A list of more devices than is read.
    #[error("the USB/IP peer lists {0} devices; at most {max} are read", max = operation::MAX_LISTED)]
    TooManyDevices(u32),
    /// The peer refused the operation.
    #[error("the USB/IP peer refused the operation with status {0}")]
    Refused(u32),
    /// A device that was not imported.
    #[error("the USB/IP peer names device {0:#x}, which it did not import")]
    UnknownDevice(u32),
    /// A field with a value that has no meaning.
    #[error("the USB/IP peer's {0} has no meaning")]
    Meaningless(&'static str),
}

/// What decoding yields: a message and how many bytes it took, or `None` until more bytes are there.
pub type Decoded<T> = Result<Option<(T, usize)>, UsbIpError>;

/// What a client (the kernel's `vhci_hcd`) sends after the import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// A URB.
    Submit(Submit<'a>),
    /// Take back an earlier URB.
    Unlink {
        /// This command's own number.
        sequence: u32,
        /// `busnum << 16 | devnum`.
        device: u32,
        /// The URB's number.
        target: u32,
    },
}

/// `USBIP_CMD_SUBMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit<'a> {
    /// Its number.
    pub sequence: u32,
    /// `busnum << 16 | devnum`.
    pub device: u32,
    /// Where it goes; endpoint 0 is control, with the direction of its data stage.
    pub endpoint: EndpointAddress,
    /// `URB_*` flags.
    pub flags: u32,
    /// Room for, or length of, the data.
    pub length: u32,
    /// The polling interval in (micro)frames.
    pub interval: u32,
    /// For control transfers.
    pub setup: Setup,
    /// The data that goes to the device.
    pub data: &'a [u8],
}

impl<'a> Command<'a> {
    /// Decodes the first command in `bytes`.
    ///
    /// # Errors
    /// When the bytes are no command within the limits.
    pub fn decode(bytes: &'a [u8]) -> Decoded<Self> {
        let Some((header, rest)) = bytes.split_at_checked(HEADER_LENGTH) else {
            return Ok(None);
        };
        let mut reader = Reader::new(header);
        let Some(basic) = Basic::read(&mut reader) else {
            return Ok(None);
        };
        match basic.command {
            2 => {
                let target = reader.u32_be().unwrap_or_default();
                let unlink = Self::Unlink {
                    sequence: basic.sequence,
                    device: basic.device,
                    target,
                };
                Ok(Some((unlink, HEADER_LENGTH)))
            }
            1 => {
                let mut number = || reader.u32_be().unwrap_or_default();
                let (flags, length, _start, packets, interval) =
                    (number(), number(), number(), number(), number());
                let setup = Setup::from_bytes(reader.array().unwrap_or_default());
                let endpoint = basic.endpoint()?;
                if length > MAX_TRANSFER_LENGTH {
                    return Err(UsbIpError::TooLong(length));
                }
                no_packets(packets)?;
                let sent = if endpoint.is_input() { 0 } else { length };
                let sent = usize::try_from(sent).unwrap_or(usize::MAX);
                let Some(data) = rest.get(..sent) else {
                    return Ok(None);
                };
                let submit = Submit {
                    sequence: basic.sequence,
                    device: basic.device,
                    endpoint,
                    flags,
                    length,
                    interval,
                    setup,
                    data,
                };
                Ok(Some((
                    Self::Submit(submit),
                    HEADER_LENGTH.saturating_add(sent),
                )))
            }
            other => Err(UsbIpError::UnknownCommand(other)),
        }
    }

    /// Appends the command's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Submit(submit) => {
                let direction = u32::from(submit.endpoint.is_input());
                let endpoint = u32::from(submit.endpoint.number());
                numbers(
                    out,
                    &[1, submit.sequence, submit.device, direction, endpoint],
                );
                numbers(
                    out,
                    &[submit.flags, submit.length, 0, u32::MAX, submit.interval],
                );
                out.extend_from_slice(&submit.setup.to_bytes());
                if !submit.endpoint.is_input() {
                    out.extend_from_slice(submit.data);
                }
            }
            Self::Unlink {
                sequence,
                device,
                target,
            } => {
                numbers(out, &[2, sequence, device, 0, 0, target, 0, 0, 0, 0, 0, 0]);
            }
        }
    }
}

/// What a server sends back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A URB is done.
    Submit {
        /// The URB's number.
        sequence: u32,
        /// 0 or a negative Linux error number.
        status: i32,
        /// How many bytes moved.
        actual: u32,
        /// The data from the device; empty for OUT.
        data: &'a [u8],
    },
    /// An unlink is done. Its URB is never answered after this.
    Unlink {
        /// The unlink's own number.
        sequence: u32,
        /// -104 when it took the URB back; 0 when that had been answered before.
        status: i32,
    },
}

/// What a client remembers of a URB that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whether data comes with the answer.
    pub input: bool,
    /// Room for data.
    pub length: u32,
}

impl<'a> Answer<'a> {
    /// Decodes the first answer in `bytes`. `expected` tells what waits under a sequence number.
    ///
    /// # Errors
    /// When nothing waits for the answer, or it does not fit what waits.
    pub fn decode(
        bytes: &'a [u8],
        expected: impl FnOnce(u32) -> Option<Expected>,
    ) -> Decoded<Self> {
        let Some((header, rest)) = bytes.split_at_checked(HEADER_LENGTH) else {
            return Ok(None);
        };
        let mut reader = Reader::new(header);
        let Some(basic) = Basic::read(&mut reader) else {
            return Ok(None);
        };
        let status = reader.i32_be().unwrap_or_default();
        if status > 0 {
            return Err(UsbIpError::Meaningless("status"));
        }
        let sequence = basic.sequence;
        match basic.command {
            4 => Ok(Some((Self::Unlink { sequence, status }, HEADER_LENGTH))),
            3 => {
                let waiting = expected(sequence).ok_or(UsbIpError::UnknownSequence(sequence))?;
                let actual = reader.i32_be().unwrap_or_default();
                let _start = reader.u32_be();
                no_packets(reader.u32_be().unwrap_or_default())?;
                let actual = u32::try_from(actual)
                    .ok()
                    .filter(|length| *length <= waiting.length)
                    .ok_or(UsbIpError::Overrun {
                        sequence,
                        actual,
                        room: waiting.length,
                    })?;
                let carried = if waiting.input { actual } else { 0 };
                let carried = usize::try_from(carried).unwrap_or(usize::MAX);
                let Some(data) = rest.get(..carried) else {
                    return Ok(None);
                };
                let answer = Self::Submit {
                    sequence,
                    status,
                    actual,
                    data,
                };
                Ok(Some((answer, HEADER_LENGTH.saturating_add(carried))))
            }
            other => Err(UsbIpError::UnknownCommand(other)),
        }
    }

    /// Appends the answer's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Submit {
                sequence,
                status,
                actual,
                data,
            } => {
                numbers(out, &[3, sequence, 0, 0, 0]);
                // number_of_packets is 0, as Linux sends it for all but isochronous transfers.
                numbers(out, &[status.cast_unsigned(), actual, 0, 0, 0, 0, 0]);
                out.extend_from_slice(data);
            }
            Self::Unlink { sequence, status } => {
                numbers(
                    out,
                    &[
                        4,
                        sequence,
                        0,
                        0,
                        0,
                        status.cast_unsigned(),
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                    ],
                );
            }
        }
    }
}

/// The header's first five numbers.
struct Basic {
    command: u32,
    sequence: u32,
    device: u32,
    direction: u32,
    endpoint: u32,
}

impl Basic {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            command: reader.u32_be()?,
            sequence: reader.u32_be()?,
            device: reader.u32_be()?,
            direction: reader.u32_be()?,
            endpoint: reader.u32_be()?,
        })
    }

    fn endpoint(&self) -> Result<EndpointAddress, UsbIpError> {
        let number = u8::try_from(self.endpoint)
            .ok()
            .filter(|number| *number < 16)
            .ok_or(UsbIpError::NoSuchEndpoint(self.endpoint))?;
        match self.direction {
            0 => Ok(EndpointAddress::output(number)),
            1 => Ok(EndpointAddress::input(number)),
            other => Err(UsbIpError::WrongDirection(other)),
        }
    }
}

/// `number_of_packets` is -1 by the document and 0 from older kernels; any other count means isochronous packets.
const fn no_packets(count: u32) -> Result<(), UsbIpError> {
    match count {
        0 | u32::MAX => Ok(()),
        other => Err(UsbIpError::Isochronous(other)),
    }
}

fn numbers(out: &mut Vec<u8>, values: &[u32]) {
    for value in values {
        out.extend_from_slice(&value.to_be_bytes());
    }
}
