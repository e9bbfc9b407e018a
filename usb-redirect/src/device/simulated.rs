//! A device that exists in memory: descriptors from a [`Description`], reports from a [`Source`], and the timing of a real bus.
//!
//! An interrupt endpoint here behaves like the kernel's: while transfers are in flight, a report completes one at the moment it is made; else it
//! waits in the device, which holds a single report as most dongles do, the newer replacing the older. What is replaced is counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{ControlResponder, Description, Device, FileError, Interrupter, Poller};
use crate::setup::{EndpointAddress, Setup};
use crate::stream::Outcome;

/// What an endpoint's reports are and when they are made.
pub trait Source: Send {
    /// When the next report is made, since the device was made; `None` when no more will come until something changes.
    fn due(&self) -> Option<Duration>;

    /// Makes it, and the one after it becomes next. Answers its length.
    fn make(&mut self, report: &mut [u8]) -> usize;
}

/// A source that makes reports at a fixed rate: a count and the time of making, so that a receiver can tell loss and delay.
#[derive(Debug)]
pub struct Clock {
    period: Duration,
    length: usize,
    next: u32,
    last: u32,
    begin: Duration,
}

impl Clock {
    /// Reports of `length` (at least 8) bytes: `count` of them, `period` apart, beginning at `begin` after the device was made.
    #[must_use]
    pub const fn new(period: Duration, length: usize, begin: Duration, count: u32) -> Self {
        Self {
            period,
            length,
            next: 0,
            last: count,
            begin,
        }
    }
}

impl Source for Clock {
    fn due(&self) -> Option<Duration> {
        (self.next < self.last).then(|| {
            self.begin
                .saturating_add(self.period.saturating_mul(self.next))
        })
    }

    fn make(&mut self, report: &mut [u8]) -> usize {
        let micros = self
            .due()
            .map_or(0, |due| u32::try_from(due.as_micros()).unwrap_or(u32::MAX));
        let body = report.get_mut(..self.length).unwrap_or_default();
        body.fill(0);
        let stamp = self
            .next
            .to_le_bytes()
            .into_iter()
            .chain(micros.to_le_bytes());
        for (place, byte) in body.iter_mut().zip(stamp) {
            *place = byte;
        }
        self.next = self.next.saturating_add(1);
        self.length
    }
}

/// A source that plays a script: reports, each with its time. The script can grow while it is played.
#[derive(Debug, Default)]
pub struct Scripted {
    reports: VecDeque<(Duration, Vec<u8>)>,
}

impl Scripted {
    /// Reports with their times since the device was made, in order.
    #[must_use]
    pub fn new(reports: impl IntoIterator<Item = (Duration, Vec<u8>)>) -> Self {
        Self {
            reports: reports.into_iter().collect(),
        }
    }
}

/// The reports of each endpoint, each with its time.
pub type Script = BTreeMap<EndpointAddress, Vec<(Duration, Vec<u8>)>>;

impl Scripted {
    /// Reads a script: `milliseconds endpoint bytes` a line, all but the first in hexadecimal, `#` begins a comment.
    ///
    /// # Errors
    /// With the line that is wrong.
    pub fn read(text: &str) -> Result<Script, FileError> {
        let mut script = Script::new();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            let mut words = content.split_whitespace();
            let Some(first) = words.next() else {
                continue;
            };
            let entry = (|| {
                let milliseconds = first.parse().ok()?;
                let endpoint = EndpointAddress(u8::from_str_radix(words.next()?, 16).ok()?);
                let bytes = words
                    .map(|word| u8::from_str_radix(word, 16).ok())
                    .collect::<Option<Vec<u8>>>()?;
                Some((endpoint, Duration::from_millis(milliseconds), bytes))
            })();
            let (endpoint, due, bytes) = entry.ok_or_else(|| FileError::Line {
                line: number.saturating_add(1),
                what: "a script's line is milliseconds, endpoint, bytes".to_owned(),
            })?;
            script.entry(endpoint).or_default().push((due, bytes));
        }
        Ok(script)
    }
}

impl Source for Scripted {
    fn due(&self) -> Option<Duration> {
        self.reports.front().map(|(due, _)| *due)
    }

    fn make(&mut self, report: &mut [u8]) -> usize {
        let Some((_, bytes)) = self.reports.pop_front() else {
            return 0;
        };
        let length = bytes.len().min(report.len());
        if let Some((place, bytes)) = report.get_mut(..length).zip(bytes.get(..length)) {
            place.copy_from_slice(bytes);
        }
        length
    }
}

/// The simulated device.
pub struct Simulated {
    description: Arc<Description>,
    control: Mutex<ControlResponder>,
    lanes: BTreeMap<EndpointAddress, Arc<Endpoint>>,
    born: Instant,
    outputs: Mutex<VecDeque<(EndpointAddress, Vec<u8>)>>,
}

struct Endpoint {
    state: Mutex<State>,
    changed: Condvar,
    lost: AtomicU64,
    made: AtomicU64,
}

#[derive(Default)]
struct State {
    source: Option<Box<dyn Source>>,
    /// Completed transfers.
    done: VecDeque<Vec<u8>>,
    /// Buffers to make reports in, so that none is allocated for each.
    spare: Vec<Vec<u8>>,
    /// What waits in the device itself.
    held: Option<Vec<u8>>,
    in_flight: usize,
    interrupted: bool,
    halted: bool,
    gone: bool,
}

impl State {
    /// What waits in the device completes a transfer that is free, before anything newer does.
    fn give_held(&mut self) {
        if self.done.len() < self.in_flight
            && let Some(held) = self.held.take()
        {
            self.done.push_back(held);
        }
    }
}

impl Simulated {
    /// A device that says nothing until it is given sources.
    #[must_use]
    pub fn new(description: Arc<Description>) -> Self {
        let lanes = description
            .configuration
            .report_endpoints()
            .map(|(_, endpoint)| {
                let buffer = || Vec::with_capacity(endpoint.max_packet.into());
                // As many as can be on their way at once.
                let buffers = description.transfers_in_flight(endpoint.address) + 2;
                let state = State {
                    spare: std::iter::repeat_with(buffer).take(buffers).collect(),
                    done: VecDeque::with_capacity(buffers),
                    ..State::default()
                };
                let lane = Endpoint {
                    state: Mutex::new(state),
                    changed: Condvar::new(),
                    lost: AtomicU64::new(0),
                    made: AtomicU64::new(0),
                };
                (endpoint.address, Arc::new(lane))
            })
            .collect();
        Self {
            control: Mutex::new(ControlResponder::new(description.clone())),
            description,
            lanes,
            born: Instant::now(),
            outputs: Mutex::default(),
        }
    }

    /// The time that sources count in.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.born.elapsed()
    }

    /// Gives an endpoint its source. False when there is no such endpoint.
    pub fn set_source(&self, endpoint: EndpointAddress, source: impl Source + 'static) -> bool {
        let Some(lane) = self.lanes.get(&endpoint) else {
            return false;
        };
        lock(&lane.state).source = Some(Box::new(source));
        lane.changed.notify_all();
        true
    }

    /// Makes one report now. False when there is no such endpoint.
    pub fn send(&self, endpoint: EndpointAddress, report: &[u8]) -> bool {
        let Some(lane) = self.lanes.get(&endpoint) else {
            return false;
        };
        lane.complete(&mut lock(&lane.state), report.to_vec());
        lane.changed.notify_all();
        true
    }

    /// The endpoint stalls until it is cleared.
    pub fn halt(&self, endpoint: EndpointAddress) {
        if let Some(lane) = self.lanes.get(&endpoint) {
            lock(&lane.state).halted = true;
            lane.changed.notify_all();
        }
    }

    /// The device is pulled out.
    pub fn unplug(&self) {
        for lane in self.lanes.values() {
            lock(&lane.state).gone = true;
            lane.changed.notify_all();
        }
    }

    /// How many reports were made, and how many of them were lost because nobody polled in time.
    #[must_use]
    pub fn counts(&self, endpoint: EndpointAddress) -> (u64, u64) {
        self.lanes.get(&endpoint).map_or((0, 0), |lane| {
            (
                lane.made.load(Ordering::Relaxed),
                lane.lost.load(Ordering::Relaxed),
            )
        })
    }

    /// The last report that was set on an interface.
    #[must_use]
    pub fn report(&self, interface: u8, kind: u8, report_id: u8) -> Option<Vec<u8>> {
        lock(&self.control)
            .report(interface, kind, report_id)
            .map(<[u8]>::to_vec)
    }

    /// The oldest OUT transfer that was not taken yet.
    #[must_use]
    pub fn take_output(&self) -> Option<(EndpointAddress, Vec<u8>)> {
        lock(&self.outputs).pop_front()
    }

    fn gone(&self) -> bool {
        self.lanes.values().any(|lane| lock(&lane.state).gone)
    }
}

impl Device for Simulated {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn control(&self, setup: Setup, data: &[u8], answer: &mut Vec<u8>) -> Result<u16, Outcome> {
        if self.gone() {
            return Err(Outcome::Gone);
        }
        if let crate::setup::Effect::ClearHalt(endpoint) = setup.effect()
            && let Some(lane) = self.lanes.get(&endpoint)
        {
            lock(&lane.state).halted = false;
        }
        lock(&self.control).control(setup, data, answer)
    }

    fn output(&self, endpoint: EndpointAddress, data: &[u8]) -> Result<u16, Outcome> {
        if self.gone() {
            return Err(Outcome::Gone);
        }
        let mut outputs = lock(&self.outputs);
        if outputs.len() == 64 {
            outputs.pop_front();
        }
        outputs.push_back((endpoint, data.to_vec()));
        Ok(u16::try_from(data.len()).unwrap_or(u16::MAX))
    }

    fn poller(&self, endpoint: EndpointAddress) -> Result<Box<dyn Poller>, Outcome> {
        let lane = self.lanes.get(&endpoint).ok_or(Outcome::Failed)?;
        let longest = self
            .description
            .configuration
            .endpoint(endpoint)
            .map_or(64, |(_, endpoint)| usize::from(endpoint.max_packet));
        Ok(Box::new(SimulatedPoller {
            lane: lane.clone(),
            born: self.born,
            longest,
            in_flight: self.description.transfers_in_flight(endpoint),
        }))
    }
}

impl Endpoint {
    /// A report was made: it completes a transfer, or waits in the device.
    fn complete(&self, state: &mut State, report: Vec<u8>) {
        self.made.fetch_add(1, Ordering::Relaxed);
        state.give_held();
        if state.done.len() < state.in_flight {
            state.done.push_back(report);
        } else if let Some(older) = state.held.replace(report) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            state.spare.push(older);
        }
    }

    /// Makes all reports that are due.
    fn catch_up(&self, state: &mut State, now: Duration, longest: usize) {
        let Some(mut source) = state.source.take() else {
            return;
        };
        while source.due().is_some_and(|due| due <= now) {
            let mut report = state.spare.pop().unwrap_or_default();
            report.resize(longest, 0);
            let length = source.make(&mut report);
            report.truncate(length);
            self.complete(state, report);
        }
        state.source = Some(source);
    }
}

struct SimulatedPoller {
    lane: Arc<Endpoint>,
    born: Instant,
    longest: usize,
    in_flight: usize,
}

impl Poller for SimulatedPoller {
    fn poll(&mut self, buffer: &mut [u8], continuous: bool) -> Result<usize, Outcome> {
        let mut state = lock(&self.lane.state);
        loop {
            // What was made before this transfer was submitted is in the device, not in the transfer.
            self.lane
                .catch_up(&mut state, self.born.elapsed(), self.longest);
            state.in_flight = if continuous { self.in_flight } else { 1 };
            state.give_held();
            if state.gone {
                return Err(Outcome::Gone);
            }
            if std::mem::take(&mut state.interrupted) {
                return Err(Outcome::Cancelled);
            }
            if state.halted {
                return Err(Outcome::Stall);
            }
            if let Some(report) = state.done.pop_front() {
                let length = report.len().min(buffer.len());
                if let Some((place, bytes)) = buffer.get_mut(..length).zip(report.get(..length)) {
                    place.copy_from_slice(bytes);
                }
                let fits = report.len() <= buffer.len();
                state.spare.push(report);
                if !continuous {
                    state.in_flight = 0;
                }
                return if fits {
                    Ok(length)
                } else {
                    Err(Outcome::Overflow)
                };
            }
            let due = state.source.as_ref().and_then(|source| source.due());
            state = match due {
                Some(due) => {
                    let wait = due.saturating_sub(self.born.elapsed());
                    self.lane
                        .changed
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .lane
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn stop(&mut self) {
        let mut state = lock(&self.lane.state);
        state.in_flight = 0;
        let done = std::mem::take(&mut state.done);
        state.spare.extend(done);
        state.interrupted = false;
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.lane.clone()
    }
}

impl Interrupter for Endpoint {
    fn interrupt(&self) {
        lock(&self.state).interrupted = true;
        self.changed.notify_all();
    }
}

/// A poisoned lock means a panic elsewhere, which is reported there; the state behind it is plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
