//! The header of a socket packet (virtio 1.2, section 5.10.6).

use crate::wire::{put, u32_at, u64_at};

pub(super) const HEADER_SIZE: usize = 44;

/// The host's context id.
pub(super) const HOST_CID: u64 = 2;

const TYPE_STREAM: u16 = 1;

/// This side will not receive any more.
pub(super) const SHUTDOWN_RECEIVE: u32 = 1;
/// This side will not send any more.
pub(super) const SHUTDOWN_SEND: u32 = 2;
pub(super) const SHUTDOWN_BOTH: u32 = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    Request = 1,
    Response = 2,
    Reset = 3,
    Shutdown = 4,
    Data = 5,
    CreditUpdate = 6,
    CreditRequest = 7,
}

impl Operation {
    fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown,
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            _ => return None,
        })
    }
}

/// A connection's name: the guest's port, then the host's.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Ports {
    pub(super) guest: u32,
    pub(super) host: u32,
}

/// A packet from the guest, as far as its header goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromGuest {
    pub(super) source_cid: u64,
    pub(super) destination_cid: u64,
    pub(super) ports: Ports,
    pub(super) length: u32,
    /// `None` for an operation, or a socket type, that does not exist.
    pub(super) operation: Option<Operation>,
    pub(super) flags: u32,
    pub(super) window: Window,
}

/// What a side says of its receive buffer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Window {
    /// Bytes of the buffer.
    pub(super) size: u32,
    /// Bytes that have left the buffer since the beginning, modulo 2^32.
    pub(super) forwarded: u32,
}

impl FromGuest {
    pub(super) fn parse(bytes: &[u8; HEADER_SIZE]) -> Self {
        let [t0, t1, o0, o1] = u32_at(bytes, 28).to_le_bytes();
        let stream = u16::from_le_bytes([t0, t1]) == TYPE_STREAM;
        Self {
            source_cid: u64_at(bytes, 0),
            destination_cid: u64_at(bytes, 8),
            ports: Ports {
                guest: u32_at(bytes, 16),
                host: u32_at(bytes, 20),
            },
            length: u32_at(bytes, 24),
            operation: Operation::from_code(u16::from_le_bytes([o0, o1])).filter(|_| stream),
            flags: u32_at(bytes, 32),
            window: Window {
                size: u32_at(bytes, 36),
                forwarded: u32_at(bytes, 40),
            },
        }
    }
}

/// A packet for the guest, without its data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ToGuest {
    pub(super) ports: Ports,
    pub(super) operation: Operation,
    pub(super) length: u32,
    pub(super) flags: u32,
    pub(super) window: Window,
}

impl ToGuest {
    /// A packet with neither data nor flags.
    pub(super) fn plain(ports: Ports, operation: Operation, window: Window) -> Self {
        Self {
            ports,
            operation,
            length: 0,
            flags: 0,
            window,
        }
    }

    pub(super) fn reset(ports: Ports) -> Self {
        Self::plain(ports, Operation::Reset, Window::default())
    }

    pub(super) fn to_bytes(self, guest_cid: u64) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        put(&mut bytes, 0, &HOST_CID.to_le_bytes());
        put(&mut bytes, 8, &guest_cid.to_le_bytes());
        put(&mut bytes, 16, &self.ports.host.to_le_bytes());
        put(&mut bytes, 20, &self.ports.guest.to_le_bytes());
        put(&mut bytes, 24, &self.length.to_le_bytes());
        put(&mut bytes, 28, &TYPE_STREAM.to_le_bytes());
        put(&mut bytes, 30, &(self.operation as u16).to_le_bytes());
        put(&mut bytes, 32, &self.flags.to_le_bytes());
        put(&mut bytes, 36, &self.window.size.to_le_bytes());
        put(&mut bytes, 40, &self.window.forwarded.to_le_bytes());
        bytes
    }
}
