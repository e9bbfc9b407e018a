//! One running zone process: its link, its budgets, what waits to be sent, and its surfaces. It does the I/O and the judging; what the
//! events mean for the desktop is the session's business.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_policy::Budget as ZoneBudget;
use zone_link::{
    Budget, Conversation, EndpointLink, Event, FromZone, Generation, Hello, LinkError, Port,
    PortBytes, ProtocolError, Received, Size, StartConfig, Surface, SurfaceError, ToZone,
    ZoneState, limits,
};

use spice_agent::{Agent, Outbox};

use rustix::io::Errno;

use super::launch::Started;
use crate::words::Remark;

/// Messages that may wait for a zone that does not read. Beyond that it counts as broken: a live machine reads at once.
const OUTBOX: usize = 1024;
/// The share of a second for which a bucket can be filled at most: a zone may be that much ahead of its rate.
const BURST_SHARE: u64 = 4;
/// A zone out of budget is looked at again after this long at the soonest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of the process's own words that are kept.
const SAID: usize = 2048;
/// The largest clip that can be brought from a zone, whatever the policy allows.
const CLIP_MOST: usize = 4 << 20;
/// The largest file.
const FILE_MOST: usize = 32 << 20;

pub(super) struct Process {
    pub(super) child: Child,
    /// Readable when the process has ended.
    pub(super) ended: OwnedFd,
    /// It has, and only its last words are left.
    pub(super) has_ended: bool,
    /// None once the zone closed it or was killed.
    pub(super) link: Option<EndpointLink>,
    /// Standard output and error; None once closed.
    pub(super) output: Option<OwnedFd>,
    said: VecDeque<u8>,
    pub(super) conversation: Conversation,
    messages: Budget,
    bytes: Budget,
    /// Until when nothing is read from a zone that used up its budget.
    pub(super) paused_until: Option<Instant>,
    outbox: VecDeque<ToZone>,
    /// Whether epoll tells of room to write.
    pub(super) watches_output: bool,
    /// What the machine is made of, until the zone has said `Hello`.
    pub(super) start: Option<StartConfig>,
    /// The newest surface, while the zone has not drawn on it.
    offered: Option<(Generation, Arc<Surface>)>,
    /// The size that the window has.
    wanted: Size,
    /// The last state that the machine reported.
    pub(super) reported: Option<ZoneState>,
    /// When to kill it, if it is still there.
    pub(super) deadline: Option<(Instant, Remark)>,
    /// The unfinished line on the state port.
    pub(super) state_line: Vec<u8>,
    /// The guest's session said that it is ready.
    pub(super) is_ready: bool,
    /// What the jail reported.
    pub(super) hello: Option<Hello>,
    /// The guest's agent; None once it broke its protocol.
    pub(super) agent: Option<Agent>,
    /// The file that the guest's session offers.
    pub(super) offers: Outbox,
}

/// What came of looking for a message.
pub(super) enum Next {
    Event(Event),
    Nothing,
    /// The budget is used up; see `paused_until`.
    Paused,
    Closed,
    Broken(ProtocolError),
}

impl Process {
    pub(super) fn new(
        Started {
            child,
            ended,
            link,
            output,
        }: Started,
        start: StartConfig,
        budget: &ZoneBudget,
        wanted: Size,
        now: Instant,
    ) -> Self {
        Self {
            child,
            ended,
            has_ended: false,
            link: Some(link),
            output: Some(output),
            said: VecDeque::new(),
            conversation: Conversation::default(),
            messages: bucket(&budget.messages, now),
            bytes: bucket(&budget.bytes, now),
            paused_until: None,
            outbox: VecDeque::new(),
            watches_output: false,
            start: Some(start),
            offered: None,
            wanted,
            reported: None,
            deadline: None,
            state_line: Vec::new(),
            is_ready: false,
            hello: None,
            agent: Some(Agent::new(CLIP_MOST)),
            offers: Outbox::new(FILE_MOST),
        }
    }

    /// From now on the zone may use so much.
    pub(super) fn set_budget(&mut self, budget: &ZoneBudget, now: Instant) {
        self.messages = bucket(&budget.messages, now);
        self.bytes = bucket(&budget.bytes, now);
    }

    /// Hands the agent what waits for it, as far as the guest takes it. False when too much waits already.
    #[must_use]
    pub(super) fn pump_agent(&mut self) -> bool {
        let Some(agent) = &mut self.agent else {
            return true;
        };
        let mut messages = Vec::new();
        while agent.has_output() {
            let room = self.conversation.port_room(Port::Agent);
            let most = usize::try_from(room)
                .unwrap_or(0)
                .min(limits::PORT_DATA_BYTES);
            if most == 0 {
                break;
            }
            let Some(data) = PortBytes::new(&agent.take_output(most)) else {
                break;
            };
            if !self.conversation.port_sent(Port::Agent, data.length()) {
                break;
            }
            messages.push(ToZone::PortData {
                port: Port::Agent,
                data,
            });
        }
        messages.into_iter().all(|message| self.send(message))
    }

    /// Says something to the guest's session about the file that it offers. Lost where the guest does not read.
    #[must_use]
    pub(super) fn answer_offer(&mut self, words: &[u8]) -> bool {
        match PortBytes::new(words) {
            Some(data) if self.conversation.port_sent(Port::Outbox, data.length()) => {
                self.send(ToZone::PortData {
                    port: Port::Outbox,
                    data,
                })
            }
            _ => true,
        }
    }

    /// Takes the next message if there is one and the budget allows.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let Some(link) = &self.link else {
            return Next::Closed;
        };
        if let Err(wait) = self.messages.take(1, now)
            && !self.has_ended
        {
            self.paused_until = Some(now + wait.max(SHORTEST_PAUSE));
            return Next::Paused;
        }
        let message = match link.try_recv() {
            Ok(Received::Message(message)) => message,
            Ok(Received::Nothing) => return Next::Nothing,
            Ok(Received::Closed) => return Next::Closed,
            Err(LinkError::Protocol(error)) => return Next::Broken(error),
            Err(error) => {
                tracing::warn!("reading from a zone failed: {error}");
                return Next::Closed;
            }
        };
        // Paid afterwards, as the size is known only now: what is owed delays the next message.
        if let Err(wait) = self.bytes.take(weight(&message), now)
            && !self.has_ended
        {
            self.paused_until = Some(now + wait.max(SHORTEST_PAUSE));
        }
        match self.conversation.accept(message) {
            Ok(event) => Next::Event(event),
            Err(error) => Next::Broken(error),
        }
    }

    /// Sends, now or when the zone reads again. False when too much waits already.
    #[must_use]
    pub(super) fn send(&mut self, message: ToZone) -> bool {
        if self.outbox.is_empty() {
            match self.try_send(&message) {
                Some(true) => return true,
                Some(false) => {}
                None => return true,
            }
        }
        // Only the pointer's last place matters.
        if let (ToZone::PointerMotion { .. }, Some(last @ ToZone::PointerMotion { .. })) =
            (&message, self.outbox.back_mut())
        {
            *last = message;
            return true;
        }
        self.outbox.push_back(message);
        self.outbox.len() <= OUTBOX
    }

    /// Sends what waits, as far as the zone takes it.
    pub(super) fn flush(&mut self) {
        while let Some(message) = self.outbox.pop_front() {
            if self.try_send(&message) == Some(false) {
                self.outbox.push_front(message);
                return;
            }
        }
    }

    pub(super) fn has_outbox(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// None when the link is gone, which the reading side will find.
    fn try_send(&self, message: &ToZone) -> Option<bool> {
        match self.link.as_ref()?.try_send(message) {
            Ok(sent) => Some(sent),
            Err(LinkError::Closed) => None,
            Err(error) => {
                tracing::error!("{} could not be sent: {error}", message.name());
                None
            }
        }
    }

    /// Notes the size that the window has now, and sends a surface of that size unless one is still under way.
    pub(super) fn want_size(&mut self, size: Size) -> Result<bool, SurfaceError> {
        self.wanted = size;
        if self.conversation.is_started() && self.offered.is_none() {
            self.offer_surface()
        } else {
            Ok(true)
        }
    }

    /// Sends a surface of the size that the window has. False when too much waits already.
    pub(super) fn offer_surface(&mut self) -> Result<bool, SurfaceError> {
        let surface = Arc::new(Surface::new(self.wanted)?);
        let memory = surface.share()?;
        let generation = self.conversation.offer_surface(self.wanted);
        self.offered = Some((generation, surface));
        Ok(self.send(ToZone::Surface {
            generation,
            size: self.wanted,
            memory,
        }))
    }

    /// The surface on which the zone has just drawn for the first time.
    pub(super) fn take_offered(&mut self, generation: Generation) -> Option<Arc<Surface>> {
        self.offered
            .take_if(|(offered, _)| *offered == generation)
            .map(|(_, surface)| surface)
    }

    /// True when the window has another size by now than the surface that was just taken.
    pub(super) fn wants_other_than(&self, size: Size) -> bool {
        self.wanted != size
    }

    /// Notes bytes of a port as used up, and grants the zone more when it is time to.
    #[must_use]
    pub(super) fn consumed(&mut self, port: Port, bytes: u32) -> bool {
        match self.conversation.consumed(port, bytes) {
            Some(bytes) => self.send(ToZone::PortCredit { port, bytes }),
            None => true,
        }
    }

    /// Reads what the process itself printed, if its budget allows; false when there is nothing more to read now.
    pub(super) fn read_output(&mut self, zone: &str, now: Instant) -> bool {
        if let Err(wait) = self.messages.take(1, now) {
            self.paused_until = Some(now + wait.max(SHORTEST_PAUSE));
            return false;
        }
        self.drain_output(zone)
    }

    /// Reads what the process itself printed; false when there is nothing more to read now.
    pub(super) fn drain_output(&mut self, zone: &str) -> bool {
        let Some(output) = &self.output else {
            return false;
        };
        let mut bytes = [0; 1024];
        match rustix::io::read(output, &mut bytes) {
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(0) | Err(_) => {
                self.output = None;
                false
            }
            Ok(length) => {
                let bytes = bytes.get(..length).unwrap_or_default();
                tracing::debug!(
                    "zone {zone} says: {}",
                    printable(bytes.iter().copied()).trim_end()
                );
                self.said.extend(bytes);
                let surplus = self.said.len().saturating_sub(SAID);
                self.said.drain(..surplus);
                true
            }
        }
    }

    /// The last line that the process itself printed.
    pub(super) fn last_words(&self) -> Option<String> {
        let said = printable(self.said.iter().copied());
        let line = said.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(line.trim().chars().take(240).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that is dropped while it runs must not outlive us; one that has ended is only collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A full bucket for a rate.
fn bucket(rate: &bulkhead_policy::Rate, now: Instant) -> Budget {
    let burst = (rate.amount / BURST_SHARE).max(1);
    Budget::new(rate.amount, rate.window, burst, now)
}

/// Bytes that a message costs of a zone's budget. Pixels of surfaces are not in messages.
fn weight(message: &FromZone) -> u64 {
    let body = match message {
        FromZone::PortData { data, .. } => data.as_slice().len(),
        FromZone::Cursor(image) => size_of_val(image.pixels()),
        FromZone::Frame { rectangles, .. } => size_of_val(rectangles.as_slice()),
        _ => 0,
    };
    u64::try_from(body).unwrap_or(u64::MAX).saturating_add(32)
}

fn printable(bytes: impl Iterator<Item = u8>) -> String {
    bytes
        .filter(|byte| *byte != b'\r')
        .map(|byte| {
            if matches!(byte, b'\n' | b' '..=b'~') {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect()
}
