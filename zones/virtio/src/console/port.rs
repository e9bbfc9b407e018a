//! One port of the console: bytes that wait for the guest, and how far its stalled output was taken.

use std::collections::VecDeque;

use super::{INPUT_MAX, OUTPUT_MAX};
use crate::GuestMemory;
use crate::chain::{Broken, Chain};
use crate::queues::Outcome;

pub(super) struct Port {
    /// A console listens from the start, a named port once the guest has opened it.
    console: bool,
    open: bool,
    waiting: VecDeque<u8>,
    /// A push found too little room, and nobody was told yet that there is some.
    refused: bool,
    /// Bytes of the first chain in the transmit queue that the sink already took.
    taken: u64,
}

impl Port {
    pub(super) fn new(console: bool) -> Self {
        Self {
            console,
            open: false,
            waiting: VecDeque::new(),
            refused: false,
            taken: 0,
        }
    }

    /// Takes bytes for the guest; says how many.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let room = if self.console || self.open {
            INPUT_MAX.saturating_sub(self.waiting.len())
        } else {
            0
        };
        let taken = bytes.len().min(room);
        self.waiting.extend(bytes.iter().take(taken));
        self.refused |= taken < bytes.len();
        taken
    }

    /// Says once after a refusal that half of the buffer is free again and the port listens.
    pub(super) fn wants_to_tell_room(&mut self) -> bool {
        let room = self.waiting.len() <= INPUT_MAX / 2 && (self.console || self.open);
        let tell = self.refused && room;
        if tell {
            self.refused = false;
        }
        tell
    }

    /// Returns whether that changed anything. What waits for a reader that went away is dropped.
    pub(super) fn set_open(&mut self, open: bool) -> bool {
        let changed = self.open != open;
        self.open = open;
        if changed && !open {
            self.waiting.clear();
        }
        changed
    }

    /// Returns whether the port was open.
    pub(super) fn reset(&mut self) -> bool {
        self.waiting.clear();
        self.taken = 0;
        std::mem::replace(&mut self.open, false)
    }

    /// Fills one buffer of the guest.
    pub(super) fn fill(
        &mut self,
        memory: &GuestMemory,
        chain: &mut Chain,
    ) -> Result<Outcome, Broken> {
        if self.waiting.is_empty() {
            return Ok(Outcome::Later);
        }
        let room = usize::try_from(chain.writable.remaining()).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(Broken::RequestTooShort);
        }
        let mut left = room.min(self.waiting.len());
        while left > 0 {
            let (first, _) = self.waiting.as_slices();
            let length = first.len().min(left);
            chain
                .writable
                .write(memory, first.get(..length).unwrap_or_default())?;
            self.waiting.drain(..length);
            left = left.saturating_sub(length);
        }
        Ok(Outcome::Used(chain.writable.passed()))
    }

    /// Offers one buffer of the guest to `sink`, from where it stopped the last time.
    pub(super) fn drain(
        &mut self,
        memory: &GuestMemory,
        chain: &mut Chain,
        mut sink: impl FnMut(&[u8]) -> usize,
    ) -> Result<Outcome, Broken> {
        // If the driver shortened the buffer meanwhile, all of it was taken.
        let taken = self.taken.min(chain.readable.remaining());
        chain.readable.skip(taken)?;
        let mut chunk = [0; OUTPUT_MAX];
        while chain.readable.remaining() > 0 {
            let length = usize::try_from(chain.readable.remaining())
                .unwrap_or(OUTPUT_MAX)
                .min(OUTPUT_MAX);
            let (bytes, _) = chunk.split_at_mut(length);
            chain.readable.read(memory, bytes)?;
            let count = sink(bytes).min(length);
            self.taken = self.taken.saturating_add(count as u64);
            if count < length {
                return Ok(Outcome::Later);
            }
        }
        self.taken = 0;
        Ok(Outcome::Used(0))
    }
}
