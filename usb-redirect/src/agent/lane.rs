//! One interrupt-IN endpoint on the desktop's side: the polls that wait, the reports that wait, and which generation counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::linux_status;
use crate::descriptor::InterfaceSetting;
use crate::queue::ReportQueue;
use crate::report::{Layout, boot_protocol};
use crate::setup::{Effect, EndpointAddress, Setup};
use crate::stream::{FromAgent, Generation, Outcome, PollMessage, Sequence, StreamError};
use crate::usbip::{Answer, Submit, status};

/// The most polls that wait at one endpoint. Linux' HID driver has one, programs through usbfs a few.
const MAX_POLLS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody polls.
    Idle,
    /// The polling thread runs.
    Polling,
    /// It ended by itself; the next poll is told why.
    Ended(Outcome),
}

#[derive(Clone, Copy, Debug)]
struct Poll {
    sequence: u32,
    length: u32,
}

#[derive(Debug)]
pub(super) struct Lane {
    interface: u8,
    /// What the report descriptor declares.
    declared: Option<Arc<Layout>>,
    /// What the reports now look like: as declared, or as the boot protocol has it.
    layout: Option<Arc<Layout>>,
    boot_protocol: u8,
    queue: ReportQueue,
    polls: VecDeque<Poll>,
    /// The shape of the first poll, which is what the polling thread saves.
    message: PollMessage,
    state: State,
    /// Control requests under way that flush this stream.
    frozen: u32,
    generation: Generation,
    expected: u32,
    lingers_until: Option<Duration>,
    /// The newest report of each ID, as what must be let go of.
    latest: Vec<Vec<u8>>,
    longest: usize,
}

impl Lane {
    pub(super) fn new(
        setting: &InterfaceSetting,
        layout: Option<Arc<Layout>>,
        max_packet: u16,
    ) -> Self {
        let declared = layout.as_ref().map_or(0, |layout| layout.longest());
        // A report longer than a packet comes in several; the queue holds what one poll can take.
        let longest = usize::from(max_packet)
            .max(declared)
            .min(crate::stream::MAX_REPORT);
        Self {
            interface: setting.number,
            queue: ReportQueue::new(layout.clone(), longest),
            declared: layout.clone(),
            layout,
            boot_protocol: setting.class.protocol,
            polls: VecDeque::with_capacity(MAX_POLLS),
            message: PollMessage {
                length: 0,
                interval: 0,
                flags: 0,
            },
            state: State::Idle,
            frozen: 0,
            generation: Generation(0),
            expected: 0,
            lingers_until: None,
            latest: Vec::new(),
            longest,
        }
    }

    pub(super) const fn interface(&self) -> u8 {
        self.interface
    }

    pub(super) const fn lingers_until(&self) -> Option<Duration> {
        self.lingers_until
    }

    /// A poll of the desktop's stack. False when too many wait.
    pub(super) fn poll(&mut self, submit: &Submit<'_>) -> bool {
        if self.polls.len() == MAX_POLLS {
            return false;
        }
        self.lingers_until = None;
        self.message = PollMessage {
            length: u16::try_from(submit.length)
                .unwrap_or(u16::MAX)
                .min(u16::try_from(self.longest).unwrap_or(u16::MAX)),
            interval: submit.interval,
            flags: submit.flags,
        };
        self.polls.push_back(Poll {
            sequence: submit.sequence,
            length: submit.length,
        });
        true
    }

    /// The first poll of a stream that nobody polls goes to the endpoint.
    pub(super) fn start_if_wanted(
        &mut self,
        endpoint: EndpointAddress,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        if self.state != State::Idle || self.frozen > 0 || self.polls.is_empty() {
            return Ok(());
        }
        self.generation = self
            .generation
            .next()
            .ok_or(StreamError::OutOfPlace("a poll after 2^32 starts"))?;
        self.state = State::Polling;
        self.expected = 0;
        FromAgent::Start {
            endpoint,
            generation: self.generation,
            message: self.message,
        }
        .encode(out);
        Ok(())
    }

    /// A report came.
    pub(super) fn report(
        &mut self,
        endpoint: EndpointAddress,
        generation: Generation,
        sequence: Sequence,
        data: &[u8],
        now: Duration,
    ) -> Result<(), StreamError> {
        if generation > self.generation {
            return Err(StreamError::OutOfPlace("a report of a generation to come"));
        }
        if generation != self.generation || self.state != State::Polling {
            return Ok(());
        }
        if sequence.0 != self.expected {
            return Err(StreamError::WrongSequence {
                endpoint: endpoint.0,
                expected: self.expected,
                got: sequence.0,
            });
        }
        self.expected = self.expected.wrapping_add(1);
        self.remember(data);
        self.queue.push(data, now);
        Ok(())
    }

    /// Keeps the newest report of each ID. Memory: as many as the layout declares, each no longer than a report.
    fn remember(&mut self, data: &[u8]) {
        let Some(layout) = &self.layout else {
            return;
        };
        if layout.of(data).is_none() {
            return;
        }
        let same = |kept: &Vec<u8>| kept.len() == data.len() && layout.same_report(kept, data);
        match self.latest.iter_mut().find(|kept| same(kept)) {
            Some(kept) => kept.copy_from_slice(data),
            None => {
                if self.latest.len() < 256 {
                    self.latest.push(data.to_vec());
                }
            }
        }
    }

    /// Polling ended by itself.
    pub(super) fn stopped(&mut self, generation: Generation, outcome: Outcome, now: Duration) {
        if generation == self.generation && self.state == State::Polling {
            self.release(now);
            self.state = State::Ended(outcome);
        }
    }

    /// Answers polls from the queue, and once that is empty, with how polling ended.
    pub(super) fn deliver(&mut self, now: Duration, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.resize(self.longest, 0);
        while let Some(poll) = self.polls.front().copied() {
            let Some(popped) = self.queue.pop(scratch, now) else {
                break;
            };
            self.polls.pop_front();
            let data = scratch.get(..popped.length).unwrap_or_default();
            let actual = u32::try_from(popped.length).unwrap_or(u32::MAX);
            let answer = if actual > poll.length {
                Answer::Submit {
                    sequence: poll.sequence,
                    status: status::OVERFLOW,
                    actual: 0,
                    data: &[],
                }
            } else {
                Answer::Submit {
                    sequence: poll.sequence,
                    status: status::OK,
                    actual,
                    data,
                }
            };
            answer.encode(out);
        }
        let State::Ended(outcome) = self.state else {
            return;
        };
        if !self.queue.is_empty() || self.polls.is_empty() {
            return;
        }
        for poll in self.polls.drain(..) {
            Answer::Submit {
                sequence: poll.sequence,
                status: linux_status(outcome),
                actual: 0,
                data: &[],
            }
            .encode(out);
        }
        // A stall lasts until it is cleared; after any other failure the next poll tries anew.
        if outcome != Outcome::Stall {
            self.state = State::Idle;
        }
    }

    /// Takes a poll back. True when it was waiting here.
    pub(super) fn unlink(&mut self, target: u32, lingers_until: Duration) -> bool {
        let Some(at) = self.polls.iter().position(|poll| poll.sequence == target) else {
            return false;
        };
        self.polls.remove(at);
        if self.polls.is_empty() && self.state == State::Polling {
            self.lingers_until = Some(lingers_until);
        }
        true
    }

    /// Forgets all reports and stops. What was held is let go of at the next poll: the report that would have done so may be among
    /// the forgotten. True when the polling thread must be told.
    pub(super) fn flush(&mut self, now: Duration) -> bool {
        let polling = self.state == State::Polling;
        self.queue.clear();
        self.release(now);
        self.latest.clear();
        self.lingers_until = None;
        // A stall outlives a flush: only a request that is done clears it.
        if self.state != State::Ended(Outcome::Stall) {
            self.state = State::Idle;
        }
        polling
    }

    /// A control request that flushes this stream is on its way.
    pub(super) fn freeze(&mut self, now: Duration) -> bool {
        self.frozen = self.frozen.saturating_add(1);
        self.flush(now)
    }

    /// That request is done, well or not.
    pub(super) fn thaw(&mut self, setup: Setup, done: bool) {
        self.frozen = self.frozen.saturating_sub(1);
        if !done {
            return;
        }
        if matches!(self.state, State::Ended(_)) {
            self.state = State::Idle;
        }
        let layout = match setup.effect() {
            Effect::Protocol { .. } if setup.value == 0 => boot_protocol(self.boot_protocol)
                .map(|descriptor| Arc::new(Layout::new(&descriptor))),
            Effect::Protocol { .. } | Effect::Configuration(_) | Effect::Reset => {
                self.declared.clone()
            }
            _ => return,
        };
        if layout != self.layout {
            self.queue.set_layout(layout.clone());
            self.layout = layout;
        }
    }

    /// Whether a key or button is down, as far as the desktop knows. Without a layout this cannot be known and counts as no.
    pub(super) fn holds(&self) -> bool {
        self.layout
            .as_ref()
            .is_some_and(|layout| self.latest.iter().any(|report| layout.holds(report)))
    }

    /// Queues the reports that let go of everything held.
    pub(super) fn release(&mut self, now: Duration) {
        let Some(layout) = &self.layout else {
            return;
        };
        for report in &mut self.latest {
            if layout.release(report) {
                self.queue.push(report, now);
            }
        }
    }
}
