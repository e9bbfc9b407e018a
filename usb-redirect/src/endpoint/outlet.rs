//! The way to the peer that all threads of a session share: the front, the socket, and what waits while the socket is full.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::{HEARTBEAT, lock};
use crate::agent::BUFFER;
use crate::front::{Front, FrontError, Request, Response};
use crate::queue::ReportQueue;
use crate::setup::EndpointAddress;
use crate::stream::{Generation, MAX_REPORT, Outcome, Sequence};

/// While more bytes than these wait for a peer that does not read, nothing more is taken from it: its requests are what makes answers.
const MAX_BACKLOG: usize = 256 * 1024;

pub(super) struct Outlet {
    inner: Mutex<Inner>,
    socket: OwnedFd,
    blocked: AtomicBool,
    full: AtomicBool,
}

struct Inner {
    front: Box<dyn Front>,
    /// Bytes of frames that are begun or must go in any case. Bounded by [`MAX_BACKLOG`] and the answers to the requests that were taken by then.
    backlog: Vec<u8>,
    lanes: BTreeMap<EndpointAddress, Waiting>,
    /// When something was last sent.
    sent: Duration,
    scratch: Vec<u8>,
}

/// The reports of one endpoint that wait for room.
struct Waiting {
    queue: ReportQueue,
    generation: Generation,
    sequence: u32,
}

impl Outlet {
    pub(super) fn new(
        front: Box<dyn Front>,
        socket: OwnedFd,
        queues: BTreeMap<EndpointAddress, ReportQueue>,
    ) -> Self {
        let lanes = queues
            .into_iter()
            .map(|(endpoint, queue)| {
                let waiting = Waiting {
                    queue,
                    generation: Generation(0),
                    sequence: 0,
                };
                (endpoint, waiting)
            })
            .collect();
        Self {
            inner: Mutex::new(Inner {
                front,
                backlog: Vec::with_capacity(BUFFER),
                lanes,
                sent: Duration::ZERO,
                scratch: vec![0; MAX_REPORT],
            }),
            socket,
            blocked: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    /// Whether the peer must read before it is listened to again.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub(super) fn greet(&self) {
        let mut inner = lock(&self.inner);
        let Inner { front, backlog, .. } = &mut *inner;
        front.greet(backlog);
        self.write(&mut inner);
    }

    pub(super) fn receive(
        &self,
        bytes: &[u8],
        requests: &mut Vec<Request>,
    ) -> Result<Option<usize>, FrontError> {
        let mut inner = lock(&self.inner);
        let Inner { front, backlog, .. } = &mut *inner;
        let used = front.receive(bytes, requests, backlog)?;
        self.write(&mut inner);
        Ok(used)
    }

    pub(super) fn respond(&self, response: Response<'_>) {
        let mut inner = lock(&self.inner);
        let Inner { front, backlog, .. } = &mut *inner;
        front.respond(response, backlog);
        self.write(&mut inner);
    }

    /// A new generation of an endpoint begins.
    pub(super) fn begin(&self, endpoint: EndpointAddress, generation: Generation) {
        let mut inner = lock(&self.inner);
        if let Some(lane) = inner.lanes.get_mut(&endpoint)
            && generation > lane.generation
        {
            lane.queue.clear();
            lane.generation = generation;
            lane.sequence = 0;
        }
    }

    /// Sends a report, or lets it wait. True when the reading thread must take over.
    pub(super) fn report(
        &self,
        endpoint: EndpointAddress,
        generation: Generation,
        data: &[u8],
        now: Duration,
    ) -> bool {
        let mut inner = lock(&self.inner);
        let Inner {
            front,
            backlog,
            lanes,
            sent,
            ..
        } = &mut *inner;
        let Some(lane) = lanes.get_mut(&endpoint) else {
            return false;
        };
        if generation != lane.generation {
            return false;
        }
        if !backlog.is_empty() || !lane.queue.is_empty() {
            lane.queue.push(data, now);
            return true;
        }
        let sequence = Sequence(lane.sequence);
        lane.sequence = lane.sequence.wrapping_add(1);
        let response = Response::Report {
            endpoint,
            generation,
            sequence,
            data,
        };
        front.respond(response, backlog);
        *sent = now;
        self.write(&mut inner)
    }

    /// Polling ended by itself: what waits goes first.
    pub(super) fn stopped(
        &self,
        endpoint: EndpointAddress,
        generation: Generation,
        outcome: Outcome,
        now: Duration,
    ) {
        let mut inner = lock(&self.inner);
        while inner.next_report(Some(endpoint), now) {}
        let Inner { front, backlog, .. } = &mut *inner;
        let response = Response::Stopped {
            endpoint,
            generation,
            outcome,
        };
        front.respond(response, backlog);
        self.write(&mut inner);
    }

    /// The socket has room again.
    pub(super) fn flush(&self, now: Duration) {
        let mut inner = lock(&self.inner);
        while !self.write(&mut inner) && inner.next_report(None, now) {}
    }

    /// The device is gone: the peer is told, if it listens.
    pub(super) fn say_goodbye(&self) {
        self.respond(Response::Gone);
    }

    /// Something is held: sends a heartbeat when it is time. Answers when to come again.
    pub(super) fn beat(&self, now: Duration) -> Option<Duration> {
        let mut inner = lock(&self.inner);
        if !inner.front.wants_heartbeat() {
            return None;
        }
        let due = inner.sent.saturating_add(HEARTBEAT);
        if now < due {
            return Some(due.saturating_sub(now));
        }
        inner.sent = now;
        // On a link that is full a heartbeat would say nothing.
        if inner.backlog.is_empty() {
            let Inner { front, backlog, .. } = &mut *inner;
            front.respond(Response::Heartbeat, backlog);
            self.write(&mut inner);
        }
        Some(HEARTBEAT)
    }

    /// Writes what there is; true when some of it must wait. A broken socket shows at the reading thread.
    fn write(&self, inner: &mut Inner) -> bool {
        let mut written = 0usize;
        while let Some(rest @ [_, ..]) = inner.backlog.get(written..) {
            match send(
                &self.socket,
                rest,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(count) => written = written.saturating_add(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => written = inner.backlog.len(),
            }
        }
        inner.backlog.drain(..written.min(inner.backlog.len()));
        let waiting = inner.lanes.values().any(|lane| !lane.queue.is_empty());
        let blocked = !inner.backlog.is_empty();
        self.blocked.store(blocked || waiting, Ordering::Release);
        let full = inner.backlog.len() > MAX_BACKLOG;
        self.full.store(full, Ordering::Release);
        blocked
    }
}

impl Inner {
    /// Moves the oldest waiting report (of one endpoint, or of any) to the backlog.
    fn next_report(&mut self, only: Option<EndpointAddress>, now: Duration) -> bool {
        let lane = self.lanes.iter_mut().find(|(endpoint, lane)| {
            !lane.queue.is_empty() && only.is_none_or(|only| only == **endpoint)
        });
        let Some((endpoint, lane)) = lane else {
            return false;
        };
        let Some(popped) = lane.queue.pop(&mut self.scratch, now) else {
            return false;
        };
        let sequence = Sequence(lane.sequence);
        lane.sequence = lane.sequence.wrapping_add(1);
        let response = Response::Report {
            endpoint: *endpoint,
            generation: lane.generation,
            sequence,
            data: self.scratch.get(..popped.length).unwrap_or_default(),
        };
        self.front.respond(response, &mut self.backlog);
        true
    }
}
