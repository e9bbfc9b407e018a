//! The queue of one endpoint's reports: first in, first out, bounded by age and by length.
//!
//! While the reader keeps up, reports leave as they came. Under pressure (the oldest is [`COMPRESS_AGE`] old, or the queue is half full)
//! neighbours that differ in motion only become one, their relative motion added up; a report that changes a key, a button or a
//! maker's own data is never merged away. So what waits longer than [`MAX_AGE`] is transitions alone, which a person makes slowly. Should
//! even those fill the queue, the oldest give way to the newest of the same report: what is held at the end stays right.
//!
//! All memory is taken at the start: a report costs no allocation.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::report::Layout;

/// The age above which no motion waits.
pub const MAX_AGE: Duration = Duration::from_millis(100);
/// The age from which neighbours merge.
pub const COMPRESS_AGE: Duration = Duration::from_millis(50);
/// The most reports that wait.
pub const CAPACITY: usize = 1024;

/// What a queue did, for statistics and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reports taken in.
    pub pushed: u64,
    /// Reports given out.
    pub popped: u64,
    /// Reports whose motion went into a later one.
    pub merged: u64,
    /// Reports with a transition that gave way to newer ones because the queue was full of transitions.
    pub overrun: u64,
}

/// A report that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Popped {
    /// How many bytes were written.
    pub length: usize,
    /// How long the newest part of it waited.
    pub age: Duration,
}

#[derive(Debug)]
struct Slot {
    bytes: Box<[u8]>,
    length: usize,
    /// When its newest part came.
    stamp: Duration,
}

impl Slot {
    fn report(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The queue.
#[derive(Debug)]
pub struct ReportQueue {
    layout: Option<Arc<Layout>>,
    waiting: VecDeque<Slot>,
    /// Room for the result of a compression.
    kept: VecDeque<Slot>,
    /// How many reports at the front are known not to merge with each other.
    settled: usize,
    free: Vec<Slot>,
    longest: usize,
    counts: Counts,
}

impl ReportQueue {
    /// A queue for reports of at most `longest` bytes. Without a layout nothing is ever merged.
    #[must_use]
    pub fn new(layout: Option<Arc<Layout>>, longest: usize) -> Self {
        Self::with_capacity(layout, longest, CAPACITY)
    }

    fn with_capacity(layout: Option<Arc<Layout>>, longest: usize, capacity: usize) -> Self {
        let slot = || Slot {
            bytes: vec![0; longest].into_boxed_slice(),
            length: 0,
            stamp: Duration::ZERO,
        };
        Self {
            layout,
            waiting: VecDeque::with_capacity(capacity),
            kept: VecDeque::with_capacity(capacity),
            settled: 0,
            free: std::iter::repeat_with(slot).take(capacity).collect(),
            longest,
            counts: Counts::default(),
        }
    }

    /// Takes a report in, at the time `now`. Bytes past the longest report are cut off.
    pub fn push(&mut self, report: &[u8], now: Duration) {
        self.counts.pushed = self.counts.pushed.saturating_add(1);
        self.relieve(now);
        let Some(mut slot) = self.free.pop().or_else(|| self.give_way()) else {
            return;
        };
        let length = report.len().min(self.longest);
        if let Some((place, bytes)) = slot.bytes.get_mut(..length).zip(report.get(..length)) {
            place.copy_from_slice(bytes);
        }
        slot.length = length;
        slot.stamp = now;
        self.waiting.push_back(slot);
        self.relieve(now);
    }

    /// Gives out the oldest report; `out` is as long as the longest report.
    pub fn pop(&mut self, out: &mut [u8], now: Duration) -> Option<Popped> {
        self.relieve(now);
        let slot = self.waiting.pop_front()?;
        self.settled = self.settled.saturating_sub(1);
        let length = slot.length.min(out.len());
        if let Some((place, bytes)) = out.get_mut(..length).zip(slot.bytes.get(..length)) {
            place.copy_from_slice(bytes);
        }
        let age = now.saturating_sub(slot.stamp);
        self.free.push(slot);
        self.counts.popped = self.counts.popped.saturating_add(1);
        Some(Popped { length, age })
    }

    /// Forgets everything: the stream was flushed.
    pub fn clear(&mut self) {
        self.free.extend(self.waiting.drain(..));
        self.settled = 0;
    }

    /// From now on reports have this layout; those that wait are forgotten.
    pub fn set_layout(&mut self, layout: Option<Arc<Layout>>) {
        self.clear();
        self.layout = layout;
    }

    /// How many reports wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What the queue did so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Merges neighbours when there is pressure.
    fn relieve(&mut self, now: Duration) {
        let old = self
            .waiting
            .front()
            .is_some_and(|slot| now.saturating_sub(slot.stamp) >= COMPRESS_AGE);
        let full = self.waiting.len() > self.free.len();
        if self.waiting.len() < 2 || !(old || full) {
            return;
        }
        let Some(layout) = &self.layout else {
            return;
        };
        let Self {
            waiting,
            kept,
            free,
            counts,
            settled,
            ..
        } = self;
        // Neighbours before `settled` were tried before: only the tail can merge, beginning with the last of them.
        let start = settled.saturating_sub(1).min(waiting.len());
        for mut slot in waiting.drain(start..) {
            if let Some(earlier) = kept.pop_back() {
                let length = slot.length;
                let later = slot.bytes.get_mut(..length).unwrap_or_default();
                if layout.merge(earlier.report(), later) {
                    counts.merged = counts.merged.saturating_add(1);
                    free.push(earlier);
                } else {
                    kept.push_back(earlier);
                }
            }
            kept.push_back(slot);
        }
        waiting.append(kept);
        *settled = waiting.len();
    }

    /// The queue is full of transitions: the oldest report that a later one of the same ID outdates leaves its slot.
    fn give_way(&mut self) -> Option<Slot> {
        let identifier = |slot: &Slot| slot.bytes.first().copied().filter(|_| slot.length > 0);
        let outdated = self.waiting.iter().enumerate().position(|(at, slot)| {
            self.waiting
                .iter()
                .skip(at.saturating_add(1))
                .any(|later| later.length == slot.length && identifier(later) == identifier(slot))
        });
        // Without numbered reports the first byte differs, and any report outdates all before it.
        self.counts.overrun = self.counts.overrun.saturating_add(1);
        self.settled = 0;
        self.waiting.remove(outdated.unwrap_or(0))
    }
}
