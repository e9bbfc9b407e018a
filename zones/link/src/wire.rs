//! Header, reader and writer: little-endian fields over a byte slice that is never indexed.

use crate::error::ProtocolError;
use crate::{PROTOCOL_VERSION, limits};

pub(crate) const HEADER_BYTES: usize = 8;

/// Takes fields off the front of one message's body.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Reader<'a> {
    /// Checks the header and gives the kind with a reader of the body. The caller names the message by [`Reader::named`].
    pub(crate) fn open(bytes: &'a [u8]) -> Result<(u16, Self), ProtocolError> {
        if bytes.len() > limits::MESSAGE_BYTES {
            return Err(ProtocolError::TooLong);
        }
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(ProtocolError::NoHeader { bytes: bytes.len() });
        };
        let [version_low, version_high, kind_low, kind_high, length @ ..] = *header;
        let version = u16::from_le_bytes([version_low, version_high]);
        if version != PROTOCOL_VERSION {
            return Err(ProtocolError::Version { found: version });
        }
        let promised = u32::from_le_bytes(length);
        if usize::try_from(promised) != Ok(body.len()) {
            return Err(ProtocolError::Length {
                promised,
                found: body.len(),
            });
        }
        let kind = u16::from_le_bytes([kind_low, kind_high]);
        Ok((
            kind,
            Self {
                rest: body,
                message: "a message",
            },
        ))
    }

    pub(crate) fn named(mut self, message: &'static str) -> Self {
        self.message = message;
        self
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let (head, rest) =
            self.rest
                .split_first_chunk::<N>()
                .ok_or(ProtocolError::BodyTooShort {
                    message: self.message,
                })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, ProtocolError> {
        self.array().map(i32::from_le_bytes)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool, ProtocolError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad(field)),
        }
    }

    /// A 16-bit length and that many bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], ProtocolError> {
        let length = usize::from(self.u16()?);
        let (head, rest) =
            self.rest
                .split_at_checked(length)
                .ok_or(ProtocolError::BodyTooShort {
                    message: self.message,
                })?;
        self.rest = rest;
        Ok(head)
    }

    /// All bytes that are left.
    pub(crate) fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn finish(self) -> Result<(), ProtocolError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(ProtocolError::BodyTooLong {
                message: self.message,
                extra,
            }),
        }
    }

    pub(crate) fn message(&self) -> &'static str {
        self.message
    }

    pub(crate) fn bad(&self, field: &'static str) -> ProtocolError {
        ProtocolError::Field {
            message: self.message,
            field,
        }
    }
}

/// Appends one message to a buffer; the length is filled in at the end.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn open(out: &'a mut Vec<u8>, kind: u16) -> Self {
        let start = out.len();
        out.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Self { out, start }
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.out.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.out.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.out.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// A 16-bit length and the bytes. Every caller's type bounds them far below 64 KiB.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length);
        self.out.extend(bytes.iter().take(usize::from(length)));
        self
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Fills in the length. Nothing is left in the buffer when the message would be too long.
    pub(crate) fn finish(self) -> Result<(), ProtocolError> {
        let total = self.out.len().saturating_sub(self.start);
        let body = total.saturating_sub(HEADER_BYTES);
        let (Ok(length), true) = (u32::try_from(body), total <= limits::MESSAGE_BYTES) else {
            self.out.truncate(self.start);
            return Err(ProtocolError::TooLong);
        };
        let field = self.start.saturating_add(4);
        if let Some(slot) = self.out.get_mut(field..field.saturating_add(4)) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }
}
