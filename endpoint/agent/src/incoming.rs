//! From the agent's bytes to its messages.

use zeroize::Zeroizing;

use crate::AgentError;
use crate::clip::{ClipKind, Contents, ContentsError};
use crate::wire::{
    ANNOUNCE_CAPABILITIES, BY_DEMAND, CHUNK_HEADER, CLIENT_PORT, CLIPBOARD, CLIPBOARD_GRAB,
    CLIPBOARD_RELEASE, CLIPBOARD_REQUEST, FILE_STATUS, KIND_NONE, MESSAGE_HEADER, PROTOCOL,
    SELECTION, SELECTION_CLIPBOARD, SELECTIONS, SERVER_PORT, u32_at,
};

/// A message about clipboards, other than what was copied itself, is no longer than this; longer ones are skipped.
const SHORT_MOST: usize = 1024;

/// What an agent said.
pub(crate) enum Message {
    /// What the agent can do; it may want to hear the same of us.
    Capabilities {
        answer: bool,
        able: bool,
    },
    Copied(Vec<ClipKind>),
    Released,
    Wanted(ClipKind),
    /// A program wants something of a kind that is never offered.
    Unavailable,
    Data(Result<Contents, ContentsError>),
    /// What became of a file with a number.
    File {
        id: u32,
        status: u32,
    },
}

/// Puts chunks and messages together.
#[derive(Debug)]
pub(crate) struct Incoming {
    limit: usize,
    /// What was asked for.
    expected: Option<ClipKind>,
    chunk: Header<CHUNK_HEADER>,
    /// Bytes of the present chunk that are still to come.
    chunk_left: u32,
    message: Header<MESSAGE_HEADER>,
    body: Body,
}

/// A header as far as it came.
#[derive(Debug)]
struct Header<const SIZE: usize> {
    bytes: [u8; SIZE],
    have: usize,
}

impl<const SIZE: usize> Default for Header<SIZE> {
    fn default() -> Self {
        Self {
            bytes: [0; SIZE],
            have: 0,
        }
    }
}

impl<const SIZE: usize> Header<SIZE> {
    /// Takes bytes until it is whole; then gives it, and begins anew.
    fn fill(&mut self, from: &mut &[u8]) -> Option<[u8; SIZE]> {
        let taken = split(from, SIZE.saturating_sub(self.have));
        for byte in taken {
            if let Some(place) = self.bytes.get_mut(self.have) {
                *place = *byte;
                self.have = self.have.saturating_add(1);
            }
        }
        (self.have == SIZE).then(|| std::mem::take(self).bytes)
    }
}

/// The message that is coming in.
#[derive(Debug, Default)]
enum Body {
    /// None: the next bytes are a header.
    #[default]
    None,
    /// One that means nothing here: so many bytes are still to come.
    Skipped { left: u32 },
    /// One that was asked for and is larger than allowed: the same, and then it is told.
    TooLarge { left: u32, size: u32 },
    /// One that is kept until it is whole.
    Kept {
        kind: u32,
        size: u32,
        bytes: Zeroizing<Vec<u8>>,
    },
}

/// Takes at most `most` bytes off the front.
fn split<'b>(from: &mut &'b [u8], most: usize) -> &'b [u8] {
    let (taken, rest) = from.split_at(most.min(from.len()));
    *from = rest;
    taken
}

fn length(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Incoming {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            expected: None,
            chunk: Header::default(),
            chunk_left: 0,
            message: Header::default(),
            body: Body::None,
        }
    }

    pub(crate) fn expect(&mut self, kind: ClipKind) {
        self.expected = Some(kind);
    }

    pub(crate) fn expect_nothing(&mut self) {
        self.expected = None;
    }

    /// The next message; none when all bytes are used up.
    pub(crate) fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, AgentError> {
        while !bytes.is_empty() {
            if self.chunk_left == 0 {
                if let Some(header) = self.chunk.fill(bytes) {
                    let port = u32_at(&header, 0).unwrap_or(0);
                    if !matches!(port, CLIENT_PORT | SERVER_PORT) {
                        return Err(AgentError::Port(port));
                    }
                    self.chunk_left = u32_at(&header, 4).unwrap_or(0);
                }
                continue;
            }
            let inside = bytes.len().min(length(self.chunk_left));
            let mut rest = bytes.get(..inside).unwrap_or_default();
            let message = self.advance(&mut rest)?;
            let used = inside.saturating_sub(rest.len());
            split(bytes, used);
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            self.chunk_left = self.chunk_left.saturating_sub(used);
            if message.is_some() {
                return Ok(message);
            }
        }
        Ok(None)
    }

    /// Goes on with the message that is coming in, by bytes of one chunk. Gives it once it is whole; otherwise all bytes are used.
    fn advance(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, AgentError> {
        loop {
            match &mut self.body {
                Body::None => {
                    let Some(header) = self.message.fill(bytes) else {
                        return Ok(None);
                    };
                    self.begin(&header)?;
                }
                Body::Skipped { left } => {
                    let skipped = split(bytes, length(*left)).len();
                    *left = left.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.body = Body::None;
                }
                Body::TooLarge { left, size } => {
                    let skipped = split(bytes, length(*left)).len();
                    *left = left.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
                    if *left > 0 {
                        return Ok(None);
                    }
                    let (found, limit) = (*size, self.limit);
                    self.body = Body::None;
                    return Ok(Some(Message::Data(Err(ContentsError::TooLarge {
                        found,
                        limit,
                    }))));
                }
                Body::Kept {
                    kind,
                    size,
                    bytes: kept,
                } => {
                    let missing = length(*size).saturating_sub(kept.len());
                    kept.extend_from_slice(split(bytes, missing));
                    if kept.len() < length(*size) {
                        return Ok(None);
                    }
                    let (kind, kept) = (*kind, std::mem::take(kept));
                    self.body = Body::None;
                    if let Some(message) = self.understand(kind, kept)? {
                        return Ok(Some(message));
                    }
                }
            }
        }
    }

    /// Looks at a header and decides what becomes of the message.
    fn begin(&mut self, header: &[u8; MESSAGE_HEADER]) -> Result<(), AgentError> {
        let field = |at| u32_at(header, at).unwrap_or(0);
        let (protocol, kind, size) = (field(0), field(4), field(16));
        if protocol != PROTOCOL {
            return Err(AgentError::Protocol(protocol));
        }
        let least = match kind {
            ANNOUNCE_CAPABILITIES | CLIPBOARD_GRAB => 4,
            // When an X session ends, spice-vdagentd leaves out the reserved bytes.
            CLIPBOARD_RELEASE => 1,
            CLIPBOARD | CLIPBOARD_REQUEST | FILE_STATUS => 8,
            _ => 0,
        };
        if size < least {
            return Err(AgentError::Size { kind, size });
        }
        let content = length(size).saturating_sub(SELECTION + 4);
        self.body = match kind {
            CLIPBOARD if self.expected.is_none() => Body::Skipped { left: size },
            CLIPBOARD if content > self.limit => {
                self.expected = None;
                Body::TooLarge {
                    left: size,
                    size: size.saturating_sub(8),
                }
            }
            // All the room at once: growing would leave copies behind that are not wiped. It was asked for, and is within the limit.
            CLIPBOARD => Body::Kept {
                kind,
                size,
                bytes: Zeroizing::new(Vec::with_capacity(length(size))),
            },
            ANNOUNCE_CAPABILITIES
            | CLIPBOARD_GRAB
            | CLIPBOARD_REQUEST
            | CLIPBOARD_RELEASE
            | FILE_STATUS
                if length(size) <= SHORT_MOST =>
            {
                Body::Kept {
                    kind,
                    size,
                    bytes: Zeroizing::default(),
                }
            }
            _ => Body::Skipped { left: size },
        };
        Ok(())
    }

    /// What a whole message means; none where that is nothing here, such as another selection.
    fn understand(
        &mut self,
        kind: u32,
        mut body: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Message>, AgentError> {
        let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let broken = AgentError::Size { kind, size };
        if kind == ANNOUNCE_CAPABILITIES {
            let able = u32_at(&body, 4).unwrap_or(0);
            return Ok(Some(Message::Capabilities {
                answer: u32_at(&body, 0) != Some(0),
                able: able & BY_DEMAND != 0 && able & SELECTIONS != 0,
            }));
        }
        if kind == FILE_STATUS {
            let field = |at| u32_at(&body, at).ok_or(broken);
            return Ok(Some(Message::File {
                id: field(0)?,
                status: field(4)?,
            }));
        }
        if body.first() != Some(&SELECTION_CLIPBOARD) {
            return Ok(None);
        }
        let number = u32_at(&body, SELECTION);
        Ok(match kind {
            CLIPBOARD_RELEASE => Some(Message::Released),
            CLIPBOARD_GRAB => {
                let numbers = body.get(SELECTION..).unwrap_or_default();
                if numbers.len() % 4 != 0 {
                    return Err(broken);
                }
                let offered = |kind: &ClipKind| {
                    let number = kind.number().to_le_bytes();
                    numbers.chunks_exact(4).any(|chunk| chunk == number)
                };
                Some(Message::Copied(
                    ClipKind::ALL.into_iter().filter(offered).collect(),
                ))
            }
            CLIPBOARD_REQUEST => {
                let kind = ClipKind::from_number(number.ok_or(broken)?);
                Some(kind.map_or(Message::Unavailable, Message::Wanted))
            }
            CLIPBOARD => {
                let Some(expected) = self.expected.take() else {
                    return Ok(None);
                };
                let number = number.ok_or(broken)?;
                // In place: nothing is copied to memory that is not wiped.
                body.drain(..SELECTION + 4);
                Some(Message::Data(match ClipKind::from_number(number) {
                    Some(kind) if kind == expected => Contents::new(kind, body),
                    None if number == KIND_NONE => Err(ContentsError::Nothing),
                    _ => Err(ContentsError::OtherKind),
                }))
            }
            _ => None,
        })
    }
}
