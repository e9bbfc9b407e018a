//! The host's half of the SPICE agent protocol, as far as clipboards and files to the guest go: bytes in, events out, bytes to be sent.
//! Pure code. Beside it, the [`Outbox`] by which our own guest images offer files.
//!
//! Stock guests run `spice-vdagentd` and `spice-vdagent`; they speak it over the console port `com.redhat.spice.0`. The messages are
//! those of spice-protocol's `vd_agent.h`: a stream of chunks (`VDIChunkHeader`: port, size) that carry messages (`VDAgentMessage`:
//! protocol, type, opaque, size), all in little-endian order. Only the clipboard proper is handled (selection 0); what a guest marks
//! with its pointer (the primary selection) never leaves it.
//!
//! Every byte that comes in is hostile. No length that a guest states allocates anything: data is kept only when it was asked for, and
//! never more than [`Agent::new`]'s limit; everything else is skipped as it comes. What is kept is wiped when it is dropped.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod clip;
pub mod fuzzing;
mod incoming;
mod outbox;
mod outgoing;
#[cfg(test)]
mod tests;
mod wire;

pub use clip::{ClipKind, Contents, ContentsError};
pub use outbox::{Offer, OfferError, Outbox};

use incoming::{Incoming, Message};
use outgoing::Outgoing;
use wire::{STATUS_SEND, STATUS_SUCCESS};
use zeroize::Zeroizing;

/// Bytes of a file in one message, as other hosts send them.
const FILE_PIECE: usize = 64 << 10;

/// A guest's agent, as the host talks with it.
#[derive(Debug)]
pub struct Agent {
    incoming: Incoming,
    outgoing: Outgoing,
    /// Whether the agent has said what it can do, and can do what is needed.
    is_able: bool,
    file: Option<File>,
    /// Counts the files that were sent.
    files: u32,
}

/// A file on its way to the guest.
struct File {
    id: u32,
    bytes: Zeroizing<Vec<u8>>,
    /// Bytes that were passed on; none until the agent wants any.
    passed: Option<usize>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "File {}, {} bytes", self.id, self.bytes.len())
    }
}

/// What an agent said.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something was copied in the guest, to be had in these forms. None of it has left the guest.
    Copied(Vec<ClipKind>),
    /// What was copied is gone.
    Released,
    /// The answer to [`Agent::request`].
    Data(Contents),
    /// The answer to [`Agent::request`] cannot be used.
    Refused(ContentsError),
    /// A program in the guest wants what [`Agent::offer`] promised.
    Wanted(ClipKind),
    /// What became of [`Agent::send_file`].
    File(Result<(), FileError>),
}

/// Why a guest did not take a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It called it off.
    #[error("the receiver called it off")]
    CalledOff,
    /// Its disk is full.
    #[error("the receiver has no room for it")]
    NoRoom,
    /// Its session is locked.
    #[error("the receiver's session is locked")]
    Locked,
    /// Its session is not up.
    #[error("the receiver's session is not up")]
    NoSession,
    /// Its agent takes none.
    #[error("the receiver takes no files")]
    NoFiles,
    /// Anything else.
    #[error("the receiver could not write it")]
    NotWritten,
}

impl FileError {
    /// By the agent's number for it (VD_AGENT_FILE_XFER_STATUS).
    fn of_status(status: u32) -> Self {
        match status {
            1 => Self::CalledOff,
            4 => Self::NoRoom,
            5 => Self::Locked,
            6 => Self::NoSession,
            7 => Self::NoFiles,
            _ => Self::NotWritten,
        }
    }
}

/// An agent that does not keep to the protocol. There is no way back into step: its port is to be ignored from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A chunk for a port that does not exist.
    #[error("a chunk is for port {0}, which does not exist")]
    Port(u32),
    /// A message of another protocol.
    #[error("a message is of protocol {0}, not 1")]
    Protocol(u32),
    /// A message that is shorter than its kind can be, or ends within a number.
    #[error("a message of kind {kind} has {size} bytes, which it cannot have")]
    Size {
        /// The message's kind.
        kind: u32,
        /// Its size.
        size: u32,
    },
}

impl Agent {
    /// An agent of which nothing was heard yet. It is let bring at most `limit` bytes of what was copied.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            incoming: Incoming::new(limit),
            outgoing: Outgoing::default(),
            is_able: false,
            file: None,
            files: 0,
        }
    }

    /// Whether it can be asked and offered anything: it runs, and can do what is needed.
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.is_able
    }

    /// Takes bytes that came on the agent's port, in pieces of any size.
    ///
    /// # Errors
    /// The agent does not keep to the protocol.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, AgentError> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(message) = self.incoming.take(&mut rest)? {
            match message {
                Message::Capabilities { answer, able } => {
                    self.is_able = able;
                    if answer {
                        self.outgoing.capabilities();
                    }
                }
                Message::Copied(kinds) => events.push(Event::Copied(kinds)),
                Message::Released => events.push(Event::Released),
                Message::Wanted(kind) => events.push(Event::Wanted(kind)),
                Message::Unavailable => self.outgoing.nothing(),
                Message::Data(Ok(contents)) => events.push(Event::Data(contents)),
                Message::Data(Err(error)) => events.push(Event::Refused(error)),
                Message::File { id, status } => events.extend(self.file_status(id, status)),
            }
        }
        Ok(events)
    }

    /// Asks for what was copied in the guest; [`Event::Data`] or [`Event::Refused`] answers, or nothing ever does.
    pub fn request(&mut self, kind: ClipKind) {
        self.incoming.expect(kind);
        self.outgoing.request(kind);
    }

    /// Forgets that something was asked for: a late answer is skipped.
    pub fn forget_request(&mut self) {
        self.incoming.expect_nothing();
    }

    /// Makes the guest's clipboard one that the host fills, when a program asks: [`Event::Wanted`].
    pub fn offer(&mut self, kind: ClipKind) {
        self.outgoing.offer(kind);
    }

    /// Takes an offer back.
    pub fn withdraw(&mut self) {
        self.outgoing.release();
    }

    /// Answers [`Event::Wanted`] with what was offered.
    pub fn provide(&mut self, contents: &Contents) {
        self.outgoing.data(contents);
    }

    /// Answers [`Event::Wanted`] where nothing is offered any more.
    pub fn provide_nothing(&mut self) {
        self.outgoing.nothing();
    }

    /// Writes a file into the guest; [`Event::File`] answers, or nothing ever does. One at a time: another takes its place.
    pub fn send_file(&mut self, name: &str, bytes: Zeroizing<Vec<u8>>) {
        self.cancel_file();
        self.files = self.files.wrapping_add(1);
        self.outgoing.file(self.files, name, bytes.len());
        self.file = Some(File {
            id: self.files,
            bytes,
            passed: None,
        });
    }

    /// Takes back a file that the guest has not taken yet.
    pub fn cancel_file(&mut self) {
        if let Some(file) = self.file.take() {
            self.outgoing.file_cancelled(file.id);
        }
    }

    fn file_status(&mut self, id: u32, status: u32) -> Option<Event> {
        let file = self.file.as_mut().filter(|file| file.id == id)?;
        if status == STATUS_SEND {
            file.passed.get_or_insert(0);
            // Even an empty file is said to have come.
            if file.bytes.is_empty() {
                self.outgoing.file_data(id, &[]);
            }
            return None;
        }
        // What an agent says it has before it was sent is not there.
        let is_whole = file.passed == Some(file.bytes.len());
        self.file = None;
        Some(Event::File(if status == STATUS_SUCCESS && is_whole {
            Ok(())
        } else {
            Err(FileError::of_status(status))
        }))
    }

    /// Passes on the file's next piece, once the last has been taken.
    fn feed_file(&mut self) {
        if self.outgoing.is_empty()
            && let Some(file) = &mut self.file
            && let Some(passed) = &mut file.passed
            && let Some((_, rest)) = file.bytes.split_at_checked(*passed)
            && let Some(piece) = rest.chunks(FILE_PIECE).next()
        {
            *passed = passed.saturating_add(piece.len());
            self.outgoing.file_data(file.id, piece);
        }
    }

    /// The next bytes for the agent's port, at most `most`. They are gone from here, and wiped here.
    pub fn take_output(&mut self, most: usize) -> Zeroizing<Vec<u8>> {
        self.feed_file();
        self.outgoing.take(most)
    }

    /// Whether bytes wait to be taken.
    #[must_use]
    pub fn has_output(&self) -> bool {
        let is_unfed = |file: &File| file.passed.is_some_and(|passed| passed < file.bytes.len());
        !self.outgoing.is_empty() || self.file.as_ref().is_some_and(is_unfed)
    }
}
