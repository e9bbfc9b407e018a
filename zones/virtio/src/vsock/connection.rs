//! One stream between a guest socket and a host descriptor, with the credit of both sides.
//!
//! Invariants: at most [`BUFFER_SIZE`] bytes of the guest wait for the host; no byte is read from the host that the guest
//! has not promised room for. What the guest says of its own buffer is checked against what it was sent: a count that
//! runs ahead ends the connection.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::packet::{SHUTDOWN_RECEIVE, SHUTDOWN_SEND, Window};

/// Bytes from the guest that one connection holds while the host side does not read.
pub const BUFFER_SIZE: u32 = 128 << 10;
/// The guest is told of freed room in steps of this size, so that it is never out of credit for long.
const UPDATE_STEP: u32 = BUFFER_SIZE / 4;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// We asked the guest to accept and wait for its answer.
    Dialled,
    Open,
    /// The guest is done in both directions: what it sent is delivered, then the connection ends.
    Closing,
}

/// The guest broke the rules of the stream: the connection is reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Violation;

pub(super) struct Connection {
    pub(super) stream: Arc<OwnedFd>,
    /// Tells connections with the same ports apart over time.
    pub(super) serial: u64,
    pub(super) stage: Stage,
    /// The guest's receive buffer, and how much was sent to it since the beginning.
    guest: Window,
    sent: u32,
    /// Bytes from the guest that the host did not take yet.
    waiting: VecDeque<u8>,
    /// Bytes that left `waiting` since the beginning, and the count that the guest last heard.
    forwarded: u32,
    told: u32,
    /// The guest asked for our window.
    pub(super) asked: bool,
    /// The guest has said that it sends no more.
    guest_finished: bool,
    /// Nothing more is read from the host: it ended, or the guest does not want more.
    pub(super) reading_done: bool,
    /// Nothing more can be written to the host.
    writing_done: bool,
    /// What the poll loop waits for, as of its last round.
    pub(super) polled: Option<PollFlags>,
}

/// What reading from the host gave.
pub(super) enum Read {
    Data(usize),
    Nothing,
    End,
}

impl Connection {
    pub(super) fn new(
        stream: OwnedFd,
        serial: u64,
        stage: Stage,
        guest: Window,
    ) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&stream)?;
        rustix::fs::fcntl_setfl(&stream, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self {
            stream: Arc::new(stream),
            serial,
            stage,
            guest,
            sent: 0,
            waiting: VecDeque::new(),
            forwarded: 0,
            told: 0,
            asked: false,
            guest_finished: false,
            reading_done: false,
            writing_done: false,
            polled: None,
        })
    }

    /// Our window, to be sent to the guest now.
    pub(super) fn tell(&mut self) -> Window {
        self.told = self.forwarded;
        self.asked = false;
        Window {
            size: BUFFER_SIZE,
            forwarded: self.forwarded,
        }
    }

    /// Whether the guest should hear of our window by itself.
    pub(super) fn owes_update(&self) -> bool {
        self.stage != Stage::Dialled
            && (self.asked || self.forwarded.wrapping_sub(self.told) >= UPDATE_STEP)
    }

    /// Takes in what the guest says of its buffer.
    pub(super) fn hear(&mut self, window: Window) -> Result<(), Violation> {
        let in_flight = self.sent.wrapping_sub(self.guest.forwarded);
        let advance = window.forwarded.wrapping_sub(self.guest.forwarded);
        if advance > in_flight {
            return Err(Violation);
        }
        self.guest = window;
        Ok(())
    }

    /// Bytes that the guest has room for.
    pub(super) fn credit(&self) -> u32 {
        let in_flight = self.sent.wrapping_sub(self.guest.forwarded);
        self.guest.size.saturating_sub(in_flight)
    }

    /// Bytes that the guest may send now.
    pub(super) fn room(&self) -> u32 {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(BUFFER_SIZE);
        BUFFER_SIZE.saturating_sub(waiting)
    }

    /// Takes data from the guest and passes on what the host takes at once.
    pub(super) fn accept(&mut self, data: &[u8]) -> Result<(), Violation> {
        let length = u32::try_from(data.len()).map_err(|_| Violation)?;
        if self.stage != Stage::Open || self.guest_finished || length > self.room() {
            return Err(Violation);
        }
        self.waiting.extend(data);
        self.write();
        Ok(())
    }

    /// The guest's shutdown, by its flags.
    pub(super) fn shut_down(&mut self, flags: u32) {
        if flags & SHUTDOWN_RECEIVE != 0 {
            self.reading_done = true;
            self.shutdown_host(Shutdown::Read);
        }
        if flags & SHUTDOWN_SEND != 0 {
            self.guest_finished = true;
            self.finish_writing();
        }
        if self.guest_finished && self.reading_done && flags != 0 {
            self.stage = Stage::Closing;
        }
    }

    /// Whether nothing is left to do for the guest.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Closing && self.waiting.is_empty()
    }

    /// Writes what waits as far as the host takes it.
    pub(super) fn write(&mut self) {
        while !self.waiting.is_empty() && !self.writing_done {
            let (first, _) = self.waiting.as_slices();
            // No signal if the other end is gone.
            match rustix::net::send(&self.stream, first, SendFlags::NOSIGNAL) {
                Ok(count) => self.forget(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.writing_done = true,
            }
        }
        if self.writing_done {
            // Nobody is there to read it: it goes nowhere, but it leaves the buffer.
            self.forget(self.waiting.len());
        }
        self.finish_writing();
    }

    fn forget(&mut self, count: usize) {
        let count = count.min(self.waiting.len());
        self.waiting.drain(..count);
        let count = u32::try_from(count).unwrap_or(0);
        self.forwarded = self.forwarded.wrapping_add(count);
    }

    /// Once everything is delivered and the guest sends no more, the host sees the end.
    fn finish_writing(&mut self) {
        if self.guest_finished && self.waiting.is_empty() && !self.writing_done {
            self.writing_done = true;
            self.shutdown_host(Shutdown::Write);
        }
    }

    /// Reads from the host into `buffer`, whose length is within the guest's credit.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        loop {
            return match rustix::net::recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => Read::End,
                Ok((_, count)) => Read::Data(count.min(buffer.len())),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Read::Nothing,
                Err(_) => Read::End,
            };
        }
    }

    /// `count` bytes went to the guest.
    pub(super) fn count_sent(&mut self, count: u32) {
        self.sent = self.sent.wrapping_add(count);
    }

    /// What is worth waiting for on the host's side. `None`: nothing, not even its end, until the guest does something.
    pub(super) fn wanted(&self, guest_has_buffers: bool) -> Option<PollFlags> {
        let mut flags = PollFlags::empty();
        if self.readable_wanted() && guest_has_buffers && self.credit() > 0 {
            flags |= PollFlags::IN;
        }
        if !self.waiting.is_empty() {
            flags |= PollFlags::OUT;
        }
        // The end of a stream that still has bytes for a guest without room would be reported over and over.
        (!flags.is_empty() || !self.readable_wanted()).then_some(flags)
    }

    pub(super) fn readable_wanted(&self) -> bool {
        self.stage == Stage::Open && !self.reading_done
    }

    fn shutdown_host(&self, how: Shutdown) {
        // Fails if the other end is gone already, which is as good.
        let _ = rustix::net::shutdown(self.stream.as_fd(), how);
    }

    /// The host sees the end of the stream at once, even while the poll loop holds the descriptor.
    pub(super) fn end(&self) {
        self.shutdown_host(Shutdown::Both);
    }
}
