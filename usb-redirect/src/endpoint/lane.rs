//! One polling thread: the job it has, the poller it drives, the filter its reports pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Notice, Shared, lock};
use crate::descriptor::{Endpoint, InterfaceSetting};
use crate::device::{Interrupter, Poller, Report};
use crate::filter::{Grant, ReportFilter, Verdict};
use crate::front::Response;
use crate::polling::{Job, Polling};
use crate::queue::ReportQueue;
use crate::report::Layout;
use crate::setup::EndpointAddress;
use crate::stream::{Generation, MAX_REPORT, Outcome, PollMessage, TransferId};

pub(super) struct Lane {
    pub(super) interface: u8,
    layout: Option<Arc<Layout>>,
    longest: usize,
    state: Mutex<State>,
    changed: Condvar,
    filter: Option<Mutex<ReportFilter>>,
    held: AtomicBool,
}

#[derive(Default)]
struct State {
    polling: Polling,
    /// The transfers of plain USB/IP that wait for their turn.
    single: std::collections::VecDeque<(TransferId, PollMessage)>,
    answering: Option<TransferId>,
    /// Counts generations where the peer has none.
    own_generation: u32,
    /// Nothing is in flight.
    parked: bool,
    interrupter: Option<Arc<dyn Interrupter>>,
}

/// The most single polls that wait, as many as an agent may have.
const MAX_SINGLE: usize = 64;

impl Lane {
    pub(super) fn new(
        setting: &InterfaceSetting,
        endpoint: &Endpoint,
        report: Option<&Report>,
        grant: &Grant,
    ) -> Self {
        let layout = report.map(|report| report.layout.clone());
        let declared = layout.as_ref().map_or(0, |layout| layout.longest());
        let boot = (setting.class.subclass == 1).then_some(setting.class.protocol);
        Self {
            interface: setting.number,
            longest: usize::from(endpoint.max_packet)
                .max(declared)
                .clamp(1, MAX_REPORT),
            layout,
            state: Mutex::new(State {
                parked: true,
                ..State::default()
            }),
            changed: Condvar::new(),
            filter: report.map(|report| Mutex::new(ReportFilter::new(&report.parsed, boot, grant))),
            held: AtomicBool::new(false),
        }
    }

    pub(super) fn queue(&self) -> ReportQueue {
        ReportQueue::new(self.layout.clone(), self.longest)
    }

    /// Whether a key or button is down by the last report that was sent.
    pub(super) fn holds(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    pub(super) fn start(&self, generation: Generation, message: PollMessage) {
        let mut state = lock(&self.state);
        // An older generation is late or forged: it changes nothing.
        if state.polling.start(generation, message) {
            state.parked = false;
            interrupt(&state);
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        let mut state = lock(&self.state);
        state.polling.stop();
        interrupt(&state);
        self.held.store(false, Ordering::Release);
        self.changed.notify_all();
    }

    pub(super) fn once(&self, id: TransferId, message: PollMessage) {
        let mut state = lock(&self.state);
        if state.single.len() < MAX_SINGLE {
            state.single.push_back((id, message));
            self.changed.notify_all();
        }
    }

    /// Takes a single poll back. True when it was here.
    pub(super) fn cancel(&self, id: TransferId) -> bool {
        let mut state = lock(&self.state);
        if state.answering == Some(id) {
            state.answering = None;
            state.polling.stop();
            interrupt(&state);
            self.changed.notify_all();
            return true;
        }
        let before = state.single.len();
        state.single.retain(|(waiting, _)| *waiting != id);
        state.single.len() != before
    }

    pub(super) fn resume(&self, now: Duration) {
        if let Some(filter) = &self.filter {
            lock(filter).resume(now);
        }
    }

    pub(super) fn set_boot_protocol(&self, boot: bool) {
        if let Some(filter) = &self.filter {
            lock(filter).set_boot_protocol(boot);
        }
    }

    /// Wakes the thread so that it sees the session's end.
    pub(super) fn wake(&self) {
        let state = lock(&self.state);
        interrupt(&state);
        self.changed.notify_all();
    }

    /// Waits until nothing is in flight.
    pub(super) fn wait_until_parked(&self, limit: Duration) -> bool {
        let state = lock(&self.state);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |state| !state.parked)
            .unwrap_or_else(PoisonError::into_inner);
        state.parked
    }

    /// The thread.
    pub(super) fn run(&self, endpoint: EndpointAddress, shared: &Shared<'_>) {
        let mut poller: Option<Box<dyn Poller>> = None;
        let mut buffer = vec![0; MAX_REPORT];
        let mut current = None;
        while let Some(job) = self.next_job(&mut current, &mut poller, shared) {
            if poller.is_none() {
                match shared.device.poller(endpoint) {
                    Ok(new) => {
                        lock(&self.state).interrupter = Some(new.interrupter());
                        poller = Some(new);
                        // What came before the interrupter was known is looked at once more.
                        continue;
                    }
                    Err(outcome) => {
                        self.failed(endpoint, job, outcome, shared);
                        continue;
                    }
                }
            }
            let Some(poller) = &mut poller else {
                continue;
            };
            let asked = match job.message.length {
                0 => self.longest,
                length => usize::from(length),
            };
            let room = buffer.get_mut(..asked).unwrap_or_default();
            match poller.poll(room, !job.once) {
                Ok(length) => {
                    let report = room.get_mut(..length).unwrap_or_default();
                    self.report(endpoint, job, report, shared);
                }
                Err(outcome) => self.failed(endpoint, job, outcome, shared),
            }
        }
        if let Some(poller) = &mut poller {
            poller.stop();
        }
    }

    /// Waits for something to do. Between two generations everything in flight is taken back.
    fn next_job(
        &self,
        current: &mut Option<Generation>,
        poller: &mut Option<Box<dyn Poller>>,
        shared: &Shared<'_>,
    ) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if shared.over.load(Ordering::Acquire) {
                return None;
            }
            if state.polling.wanted().is_none()
                && state.answering.is_none()
                && let Some((id, message)) = state.single.pop_front()
            {
                state.own_generation = state.own_generation.saturating_add(1);
                let generation = Generation(state.own_generation);
                if state.polling.once(generation, message) {
                    state.answering = Some(id);
                    state.parked = false;
                }
            }
            let wanted = state.polling.wanted();
            // Single polls of plain USB/IP follow each other without taking anything back: the device keeps what it has.
            let same = wanted.is_some_and(|job| Some(job.generation) == *current || job.once);
            match wanted {
                Some(job) if same => {
                    *current = Some(job.generation);
                    return Some(job);
                }
                _ if current.is_some() => {
                    *current = None;
                    drop(state);
                    if let Some(poller) = poller {
                        poller.stop();
                    }
                    state = lock(&self.state);
                    // A start that came meanwhile counts as in flight from the moment it was asked for.
                    state.parked = state.polling.wanted().is_none();
                    self.changed.notify_all();
                }
                Some(job) => {
                    *current = Some(job.generation);
                    state.parked = false;
                }
                None => {
                    state.parked = true;
                    self.changed.notify_all();
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// A report came from the device.
    fn report(&self, endpoint: EndpointAddress, job: Job, report: &mut [u8], shared: &Shared<'_>) {
        let answering = {
            let mut state = lock(&self.state);
            if !state.polling.completed(job.generation) {
                return;
            }
            state.answering.take()
        };
        // Some devices end each report with an empty packet, which reports nothing.
        if report.is_empty() && answering.is_none() {
            return;
        }
        let mut length = report.len();
        if let Some(filter) = &self.filter {
            let mut filter = lock(filter);
            let passes = match filter.inspect(report, shared.now()) {
                Verdict::Pass(passed) => {
                    length = passed;
                    true
                }
                Verdict::TooFast(passed) => {
                    length = passed;
                    (shared.notify)(Notice::TypingTooFast(endpoint));
                    true
                }
                Verdict::Undeclared => {
                    (shared.notify)(Notice::Undeclared(endpoint));
                    false
                }
                Verdict::CodeTyped => {
                    (shared.notify)(Notice::CodeTyped(endpoint));
                    false
                }
                Verdict::Held => false,
            };
            if !passes {
                drop(filter);
                // A single poll still waits for a report: it asks again.
                if let Some(id) = answering {
                    lock(&self.state).single.push_front((id, job.message));
                }
                return;
            }
            let report = report.get(..length).unwrap_or_default();
            let held = filter.layout().holds(report);
            if held != self.held.swap(held, Ordering::AcqRel) && held {
                // The reading thread begins to send heartbeats.
                shared.control.wake();
            }
        }
        let data = report.get(..length).unwrap_or_default();
        match answering {
            Some(id) => shared.outlet.respond(Response::Polled {
                id,
                outcome: Outcome::Done,
                data,
            }),
            None => {
                if shared
                    .outlet
                    .report(endpoint, job.generation, data, shared.now())
                {
                    shared.control.wake();
                }
            }
        }
    }

    /// The endpoint failed, or the poll was interrupted.
    fn failed(&self, endpoint: EndpointAddress, job: Job, outcome: Outcome, shared: &Shared<'_>) {
        let (ended, answering) = {
            let mut state = lock(&self.state);
            let ended = state.polling.ended(job.generation, outcome);
            (ended, if ended { state.answering.take() } else { None })
        };
        if !ended {
            return;
        }
        self.held.store(false, Ordering::Release);
        (shared.notify)(Notice::Stopped(endpoint, outcome));
        match answering {
            Some(id) => shared.outlet.respond(Response::Polled {
                id,
                outcome,
                data: &[],
            }),
            None => shared
                .outlet
                .stopped(endpoint, job.generation, outcome, shared.now()),
        }
        if outcome == Outcome::Gone {
            shared.unplug();
        }
    }
}

fn interrupt(state: &State) {
    if let Some(interrupter) = &state.interrupter {
        interrupter.interrupt();
    }
}
