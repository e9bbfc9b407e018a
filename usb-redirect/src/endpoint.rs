//! The threads on the side that has the device: one polling thread for each interrupt-IN endpoint, one for control and one for OUT transfers,
//! and the caller's own, which reads the peer. They share a device and a [`Front`], so the same threads serve our protocol, usbredir and USB/IP.
//!
//! A polling thread waits in the kernel for a report and writes it to the socket itself: no other thread stands between device and wire, and
//! nothing is allocated. When the socket is full, reports wait in a [`ReportQueue`] of their endpoint, bounded in age, and the reading
//! thread sends them on once there is room. Control and OUT transfers have threads of their own and never wait for a report.

mod lane;
mod outlet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use lane::Lane;
use outlet::Outlet;

use crate::agent::BUFFER;
use crate::descriptor::Transfer;
use crate::device::Device;
use crate::filter::{Grant, RequestFilter};
use crate::front::{Front, FrontError, Request, Response};
use crate::polling::flushes;
use crate::setup::{Effect, EndpointAddress, Setup};
use crate::stream::{Outcome, PollMessage, TransferId};

/// How often a heartbeat is sent while something is held.
pub const HEARTBEAT: Duration = Duration::from_millis(40);
/// How long a control request that flushes streams waits for their polling threads to let go.
const PARKING: Duration = Duration::from_secs(1);
/// The most control or OUT transfers that wait here; a peer that sends more is cut off.
const MAX_WAITING: usize = 512;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed the connection or let go of the device.
    Released,
    /// The device was pulled out.
    Unplugged,
    /// [`Control::detach`] was called.
    Detached,
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer broke its protocol.
    #[error("the desktop broke the protocol and was cut off: {0}")]
    Front(#[from] FrontError),
    /// The peer asks for more than it waits for.
    #[error("the desktop has more than {MAX_WAITING} transfers waiting and was cut off")]
    TooMany,
    /// The socket failed.
    #[error("the connection to the desktop failed: {0}")]
    Socket(#[from] std::io::Error),
}

/// What happens during a session that someone should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Keys come faster than a person types; the stream is held until [`Control::resume`].
    TypingTooFast(EndpointAddress),
    /// The code was typed.
    CodeTyped(EndpointAddress),
    /// A report was never declared and was dropped.
    Undeclared(EndpointAddress),
    /// A request, or the device's answer to it, was refused by the filter.
    Refused(Setup),
    /// An endpoint ended polling.
    Stopped(EndpointAddress, Outcome),
}

/// Steers a session from another thread.
#[derive(Clone, Debug)]
pub struct Control {
    wake: Arc<OwnedFd>,
    detach: Arc<AtomicBool>,
    resume: Arc<AtomicBool>,
}

impl Control {
    /// A control for one session.
    ///
    /// # Errors
    /// When the system gives no event descriptor.
    pub fn new() -> Result<Self, SessionError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(std::io::Error::from)?;
        Ok(Self {
            wake: Arc::new(wake),
            detach: Arc::default(),
            resume: Arc::default(),
        })
    }

    /// Takes the device back.
    pub fn detach(&self) {
        self.detach.store(true, Ordering::Release);
        self.wake();
    }

    /// Lets held streams go on.
    pub fn resume(&self) {
        self.resume.store(true, Ordering::Release);
        self.wake();
    }

    /// Wakes the reading thread.
    fn wake(&self) {
        // A full counter means that it is awake already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// What control and OUT threads are given.
struct Job {
    id: TransferId,
    work: Work,
}

enum Work {
    Control(Setup, Vec<u8>),
    Out(EndpointAddress, Vec<u8>),
}

/// What all threads of a session share.
struct Shared<'a> {
    device: &'a dyn Device,
    lanes: BTreeMap<EndpointAddress, Lane>,
    outlet: Outlet,
    requests: Mutex<RequestFilter>,
    cancelled: Mutex<BTreeSet<TransferId>>,
    waiting: Mutex<usize>,
    over: AtomicBool,
    unplugged: AtomicBool,
    control: Control,
    begin: Instant,
    notify: &'a (dyn Fn(Notice) + Sync),
}

/// A poisoned lock means a panic in another thread, which is reported there; what the locks guard stays consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves a device to one peer until either side ends it.
///
/// # Errors
/// When the peer broke its protocol or the socket failed. The device is free again in any case.
pub fn serve(
    device: &dyn Device,
    front: Box<dyn Front>,
    socket: &(impl AsFd + Sync),
    grant: &Grant,
    control: &Control,
    notify: &(dyn Fn(Notice) + Sync),
) -> Result<End, SessionError> {
    let description = device.description();
    let mut lanes = BTreeMap::new();
    for setting in &description.configuration.settings {
        for endpoint in &setting.endpoints {
            if endpoint.transfer == Transfer::Interrupt && endpoint.address.is_input() {
                let report = description
                    .reports
                    .get(&setting.number)
                    .filter(|_| setting.class.is_hid());
                lanes
                    .entry(endpoint.address)
                    .or_insert_with(|| Lane::new(setting, endpoint, report, grant));
            }
        }
    }
    let queues = lanes
        .iter()
        .map(|(endpoint, lane)| (*endpoint, lane.queue()))
        .collect();
    let shared = Shared {
        device,
        lanes,
        outlet: Outlet::new(front, socket.as_fd().try_clone_to_owned()?, queues),
        requests: Mutex::new(RequestFilter::new(description.clone(), grant)),
        cancelled: Mutex::default(),
        waiting: Mutex::default(),
        over: AtomicBool::new(false),
        unplugged: AtomicBool::new(false),
        control: control.clone(),
        begin: Instant::now(),
        notify,
    };
    std::thread::scope(|scope| {
        let (to_control, control_jobs) = channel();
        let (to_out, out_jobs) = channel();
        for (endpoint, lane) in &shared.lanes {
            let shared = &shared;
            scope.spawn(move || lane.run(*endpoint, shared));
        }
        scope.spawn(|| shared.transfers(control_jobs));
        scope.spawn(|| shared.transfers(out_jobs));
        let end = shared.read(socket, &to_control, &to_out);
        shared.over.store(true, Ordering::Release);
        for lane in shared.lanes.values() {
            lane.wake();
        }
        // The queues to the transfer threads end here, and with them the threads.
        drop((to_control, to_out));
        end
    })
}

impl Shared<'_> {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// The reading thread.
    fn read(
        &self,
        socket: &impl AsFd,
        to_control: &Sender<Job>,
        to_out: &Sender<Job>,
    ) -> Result<End, SessionError> {
        self.outlet.greet();
        let mut input = Vec::with_capacity(BUFFER);
        let mut requests = Vec::with_capacity(MAX_WAITING);
        let mut chunk = vec![0; 16 * 1024];
        loop {
            if self.control.detach.load(Ordering::Acquire) {
                self.outlet.say_goodbye();
                return Ok(End::Detached);
            }
            if self.unplugged.load(Ordering::Acquire) {
                self.outlet.say_goodbye();
                return Ok(End::Unplugged);
            }
            if self.control.resume.swap(false, Ordering::AcqRel) {
                for lane in self.lanes.values() {
                    lane.resume(self.now());
                }
            }
            let held = self.lanes.values().any(Lane::holds);
            let timeout = if held {
                self.outlet.beat(self.now())
            } else {
                None
            };
            let mut events = PollFlags::empty();
            if !self.outlet.is_full() {
                events |= PollFlags::IN;
            }
            if self.outlet.is_blocked() {
                events |= PollFlags::OUT;
            }
            let mut descriptors = [
                PollFd::new(socket, events),
                PollFd::new(&*self.control.wake, PollFlags::IN),
            ];
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            match poll(&mut descriptors, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
            let [at_socket, at_wake] = descriptors.map(|descriptor| descriptor.revents());
            if at_wake.contains(PollFlags::IN) {
                let _ = rustix::io::read(&*self.control.wake, &mut [0; 8]);
            }
            if at_socket.contains(PollFlags::OUT) {
                self.outlet.flush(self.now());
            }
            if !at_socket.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                continue;
            }
            let count = match rustix::io::read(socket, &mut chunk) {
                Ok(0) | Err(Errno::CONNRESET | Errno::PIPE) => return Ok(End::Released),
                Ok(count) => count,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(error) => return Err(std::io::Error::from(error).into()),
            };
            input.extend_from_slice(chunk.get(..count).unwrap_or_default());
            let mut taken = 0usize;
            while let Some(used) = self
                .outlet
                .receive(input.get(taken..).unwrap_or_default(), &mut requests)?
            {
                taken = taken.saturating_add(used);
                for request in requests.drain(..) {
                    if request == Request::Release {
                        return Ok(End::Released);
                    }
                    self.act(request, to_control, to_out)?;
                }
            }
            input.drain(..taken.min(input.len()));
        }
    }

    fn act(
        &self,
        request: Request,
        to_control: &Sender<Job>,
        to_out: &Sender<Job>,
    ) -> Result<(), SessionError> {
        match request {
            Request::Start {
                endpoint,
                generation,
                message,
            } => {
                if let Some(lane) = self.lanes.get(&endpoint) {
                    self.outlet.begin(endpoint, generation);
                    lane.start(generation, message);
                }
            }
            Request::Stop { endpoint } => {
                if let Some(lane) = self.lanes.get(&endpoint) {
                    lane.stop();
                }
            }
            Request::PollOnce {
                endpoint,
                id,
                length,
            } => {
                let message = PollMessage {
                    length,
                    interval: 0,
                    flags: 0,
                };
                match self.lanes.get(&endpoint) {
                    Some(lane) => lane.once(id, message),
                    None => self.outlet.respond(Response::Polled {
                        id,
                        outcome: Outcome::Stall,
                        data: &[],
                    }),
                }
            }
            Request::Control { id, setup, data } => {
                for (endpoint, lane) in &self.lanes {
                    if flushes(setup, lane.interface, *endpoint) {
                        lane.stop();
                    }
                }
                self.queue(to_control, id, Work::Control(setup, data))?;
            }
            Request::Out { endpoint, id, data } => {
                self.queue(to_out, id, Work::Out(endpoint, data))?;
            }
            Request::Cancel { id } => {
                let polled = self.lanes.values().any(|lane| lane.cancel(id));
                if !polled && *lock(&self.waiting) > 0 {
                    let mut cancelled = lock(&self.cancelled);
                    if cancelled.len() < MAX_WAITING {
                        cancelled.insert(id);
                    }
                }
            }
            Request::Release => {}
        }
        Ok(())
    }

    fn queue(&self, to: &Sender<Job>, id: TransferId, work: Work) -> Result<(), SessionError> {
        let mut waiting = lock(&self.waiting);
        if *waiting >= MAX_WAITING {
            return Err(SessionError::TooMany);
        }
        *waiting = waiting.saturating_add(1);
        // The other end lives as long as the session.
        let _ = to.send(Job { id, work });
        Ok(())
    }

    /// The thread of control transfers, and the one of OUT transfers.
    fn transfers(&self, jobs: Receiver<Job>) {
        let mut answer = Vec::new();
        while let Ok(Job { id, work }) = jobs.recv() {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let cancelled = lock(&self.cancelled).remove(&id);
            match work {
                Work::Control(setup, data) => {
                    let result = if cancelled {
                        Err(Outcome::Cancelled)
                    } else {
                        self.control_transfer(setup, &data, &mut answer)
                    };
                    let input = setup.is_input() && result.is_ok();
                    self.outlet.respond(Response::ControlDone {
                        id,
                        outcome: result.err().unwrap_or(Outcome::Done),
                        actual: result.unwrap_or(0),
                        data: if input { &answer } else { &[] },
                    });
                    self.look_for_unplug(result);
                }
                Work::Out(endpoint, data) => {
                    let allowed = lock(&self.requests).output(endpoint, &data, self.now());
                    let result = match (cancelled, allowed) {
                        (true, _) => Err(Outcome::Cancelled),
                        (false, false) => Err(Outcome::Refused),
                        (false, true) => self.device.output(endpoint, &data),
                    };
                    self.outlet.respond(Response::OutDone {
                        id,
                        outcome: result.err().unwrap_or(Outcome::Done),
                        actual: result.unwrap_or(0),
                    });
                    self.look_for_unplug(result);
                }
            }
            let mut waiting = lock(&self.waiting);
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                lock(&self.cancelled).clear();
            }
        }
    }

    fn control_transfer(
        &self,
        setup: Setup,
        data: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<u16, Outcome> {
        if !lock(&self.requests).control(setup, data, self.now()) {
            (self.notify)(Notice::Refused(setup));
            return Err(Outcome::Refused);
        }
        for (endpoint, lane) in &self.lanes {
            if flushes(setup, lane.interface, *endpoint) && !lane.wait_until_parked(PARKING) {
                return Err(Outcome::TimedOut);
            }
        }
        if let Some(descriptor) = self.device.description().descriptor(setup) {
            let length = descriptor.len().min(setup.length.into());
            answer.clear();
            answer.extend_from_slice(descriptor.get(..length).unwrap_or_default());
            return Ok(u16::try_from(length).unwrap_or(u16::MAX));
        }
        let done = self.device.control(setup, data, answer)?;
        if setup.is_input() && !RequestFilter::answer(setup, answer) {
            (self.notify)(Notice::Refused(setup));
            return Err(Outcome::Failed);
        }
        if let Effect::Protocol { interface } = setup.effect() {
            for lane in self.lanes.values() {
                if lane.interface == interface {
                    lane.set_boot_protocol(setup.value == 0);
                }
            }
        } else if matches!(setup.effect(), Effect::Configuration(_) | Effect::Reset) {
            for lane in self.lanes.values() {
                lane.set_boot_protocol(false);
            }
        }
        Ok(done)
    }

    fn look_for_unplug(&self, result: Result<u16, Outcome>) {
        if result == Err(Outcome::Gone) {
            self.unplug();
        }
    }

    fn unplug(&self) {
        self.unplugged.store(true, Ordering::Release);
        self.control.wake();
    }
}
