//! The agent on the desktop's side, without I/O: between the kernel's `vhci_hcd`, which speaks USB/IP, and the endpoint, which speaks our
//! own protocol.
//!
//! The first poll of an interrupt-IN endpoint starts the polling thread far away; every later one is answered from the endpoint's queue here
//! and never crosses the network. What stops a stream: an unlink that leaves no poll for [`LINGER`], a control request that flushes it, a
//! stall, the device's end. Each start has a new generation, so a late report of an older one is ignored. Control and OUT transfers
//! travel beside the reports and wait for none of them.
//!
//! Kept at all times: a sequence number is answered once and never after its unlink; when the link is silent for [`SILENCE`] while a key
//! is held, every key and button is let go.

mod lane;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lane::Lane;

use crate::descriptor::{Speed, Transfer};
use crate::device::{Description, DescriptionError};
use crate::polling::flushes;
use crate::setup::{Effect, EndpointAddress, Setup};
use crate::stream::{FromAgent, FromEndpoint, MAX_CONTROL, Outcome, StreamError, TransferId};
use crate::usbip::{Answer, Command, Submit, UsbIpError, status};

/// How long the last unlink may be back before polling stops.
pub const LINGER: Duration = Duration::from_millis(20);
/// How long the endpoint may be silent while something is held. The endpoint sends a heartbeat every 40 ms then.
pub const SILENCE: Duration = Duration::from_millis(150);
/// What buffers have room for from the start, so that reports in bursts make none grow.
pub(crate) const BUFFER: usize = 64 * 1024;
/// The most control and OUT transfers that wait.
const MAX_TRANSFERS: usize = 128;

/// Why the agent gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The kernel's side broke USB/IP.
    #[error("the desktop's kernel: {0}")]
    Kernel(#[from] UsbIpError),
    /// The endpoint broke our protocol.
    #[error("the endpoint: {0}")]
    Endpoint(#[from] StreamError),
    /// The device cannot be attached.
    #[error("the endpoint offers a device that cannot be attached: {0}")]
    Device(#[from] DescriptionError),
}

/// Where the agent is.
#[derive(Debug)]
enum Phase {
    /// Descriptions are coming.
    Greeting {
        hello: Option<(Speed, [u8; 18], Vec<u8>)>,
        reports: Vec<(u8, Vec<u8>)>,
    },
    /// The device can be used.
    Ready,
    /// It cannot any more.
    Over,
}

/// A transfer that waits for the endpoint, under the kernel's sequence number.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    setup: Option<Setup>,
    length: u32,
}

/// The agent of one device.
#[derive(Debug)]
pub struct Agent {
    phase: Phase,
    description: Option<Arc<Description>>,
    lanes: BTreeMap<EndpointAddress, Lane>,
    waiting: BTreeMap<u32, Waiting>,
    /// Control requests on their way that flush streams; those streams must not start before they are done.
    flushing: BTreeMap<TransferId, Setup>,
    /// Transfers that were unlinked: their answers are ignored when they come.
    unlinked: BTreeSet<TransferId>,
    heard: Duration,
    released: bool,
    scratch: Vec<u8>,
    /// What goes to the kernel.
    pub to_kernel: Vec<u8>,
    /// What goes to the endpoint.
    pub to_endpoint: Vec<u8>,
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

impl Agent {
    /// An agent that has greeted the endpoint and waits for its device.
    #[must_use]
    pub fn new() -> Self {
        let mut agent = Self {
            phase: Phase::Greeting {
                hello: None,
                reports: Vec::new(),
            },
            description: None,
            lanes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            flushing: BTreeMap::new(),
            unlinked: BTreeSet::new(),
            heard: Duration::ZERO,
            released: false,
            scratch: Vec::new(),
            to_kernel: Vec::with_capacity(BUFFER),
            to_endpoint: Vec::with_capacity(BUFFER),
        };
        FromAgent::Hello.encode(&mut agent.to_endpoint);
        agent
    }

    /// The device, once the endpoint has described it.
    #[must_use]
    pub const fn description(&self) -> Option<&Arc<Description>> {
        self.description.as_ref()
    }

    /// Whether the device is gone: what is left for the kernel is to be written, then its socket closed.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// When [`tick`](Self::tick) must be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let silence = (self.holds() && !self.released).then(|| self.heard.saturating_add(SILENCE));
        let lingering = self.lanes.values().filter_map(Lane::lingers_until).min();
        silence.into_iter().chain(lingering).min()
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Duration) {
        if self.holds() && !self.released && now >= self.heard.saturating_add(SILENCE) {
            self.release(now);
        }
        for (endpoint, lane) in &mut self.lanes {
            if lane.lingers_until().is_some_and(|until| now >= until) && lane.flush(now) {
                FromAgent::Stop {
                    endpoint: *endpoint,
                }
                .encode(&mut self.to_endpoint);
            }
        }
    }

    /// The link to the endpoint is lost: everything held is let go, and the device is over.
    pub fn link_lost(&mut self, now: Duration) {
        self.release(now);
        self.phase = Phase::Over;
    }

    /// Takes the endpoint's first frame out of `bytes`; answers how many bytes it took, `None` until more are there.
    ///
    /// # Errors
    /// When the endpoint broke the protocol, or its device cannot be attached.
    pub fn from_endpoint(
        &mut self,
        bytes: &[u8],
        now: Duration,
    ) -> Result<Option<usize>, AgentError> {
        let Some((message, used)) = FromEndpoint::decode(bytes)? else {
            return Ok(None);
        };
        self.heard = now;
        match (&mut self.phase, message) {
            (
                Phase::Greeting { hello, .. },
                FromEndpoint::Hello {
                    speed,
                    device,
                    configuration,
                },
            ) if hello.is_none() => {
                let speed = Speed::from_linux(speed.into())
                    .ok_or(StreamError::OutOfPlace("a speed that does not exist"))?;
                *hello = Some((speed, device, configuration.to_vec()));
            }
            (
                Phase::Greeting {
                    hello: Some(_),
                    reports,
                },
                FromEndpoint::ReportDescriptor { interface, bytes },
            ) if reports.len() < crate::stream::MAX_REPORT_DESCRIPTORS => {
                reports.push((interface, bytes.to_vec()));
            }
            (Phase::Greeting { hello: Some(_), .. }, FromEndpoint::Ready) => self.ready()?,
            (Phase::Ready, message) => self.act(message, now)?,
            (Phase::Over, _) => {}
            _ => {
                return Err(
                    StreamError::OutOfPlace("a frame of the greeting, or one before it,").into(),
                );
            }
        }
        Ok(Some(used))
    }

    fn ready(&mut self) -> Result<(), AgentError> {
        let greeting = std::mem::replace(&mut self.phase, Phase::Ready);
        let Phase::Greeting {
            hello: Some((speed, device, configuration)),
            reports,
        } = greeting
        else {
            return Ok(());
        };
        let description = Description::new(speed, &device, &configuration, reports)?;
        for setting in &description.configuration.settings {
            for endpoint in &setting.endpoints {
                if endpoint.transfer == Transfer::Interrupt && endpoint.address.is_input() {
                    let layout = description.layout(endpoint.address);
                    self.lanes
                        .entry(endpoint.address)
                        .or_insert_with(|| Lane::new(setting, layout, endpoint.max_packet));
                }
            }
        }
        self.description = Some(Arc::new(description));
        Ok(())
    }

    fn act(&mut self, message: FromEndpoint<'_>, now: Duration) -> Result<(), AgentError> {
        match message {
            FromEndpoint::Report {
                endpoint,
                generation,
                sequence,
                data,
            } => {
                self.released = false;
                if let Some(lane) = self.lanes.get_mut(&endpoint) {
                    lane.report(endpoint, generation, sequence, data, now)?;
                    lane.deliver(now, &mut self.scratch, &mut self.to_kernel);
                }
            }
            FromEndpoint::Stopped {
                endpoint,
                generation,
                outcome,
            } => {
                if let Some(lane) = self.lanes.get_mut(&endpoint) {
                    lane.stopped(generation, outcome, now);
                    lane.deliver(now, &mut self.scratch, &mut self.to_kernel);
                }
            }
            FromEndpoint::ControlDone {
                id,
                outcome,
                actual,
                data,
            } => {
                self.transfer_done(id, outcome, actual, data)?;
                if let Some(setup) = self.flushing.remove(&id) {
                    self.thaw(setup, outcome)?;
                }
            }
            FromEndpoint::OutDone {
                id,
                outcome,
                actual,
            } => self.transfer_done(id, outcome, actual, &[])?,
            FromEndpoint::Heartbeat => {}
            FromEndpoint::Detached => self.link_lost(now),
            _ => return Err(StreamError::OutOfPlace("a second greeting").into()),
        }
        Ok(())
    }

    /// Answers a control or OUT transfer.
    fn transfer_done(
        &mut self,
        id: TransferId,
        outcome: Outcome,
        actual: u16,
        data: &[u8],
    ) -> Result<(), AgentError> {
        if self.unlinked.remove(&id) {
            return Ok(());
        }
        let waiting = self
            .waiting
            .remove(&id.0)
            .ok_or(StreamError::OutOfPlace("an answer to no request"))?;
        let input = waiting.setup.is_some_and(Setup::is_input);
        let actual = if input {
            u32::try_from(data.len()).unwrap_or(u32::MAX)
        } else {
            u32::from(actual)
        };
        if actual > waiting.length || (!input && !data.is_empty()) {
            return Err(StreamError::OutOfPlace("more data than was asked for").into());
        }
        Answer::Submit {
            sequence: id.0,
            status: linux_status(outcome),
            actual,
            data,
        }
        .encode(&mut self.to_kernel);
        Ok(())
    }

    /// A control request that flushed streams is done: those that are waited for start anew.
    fn thaw(&mut self, setup: Setup, outcome: Outcome) -> Result<(), AgentError> {
        for (endpoint, lane) in &mut self.lanes {
            if flushes(setup, lane.interface(), *endpoint) {
                lane.thaw(setup, outcome == Outcome::Done);
                lane.start_if_wanted(*endpoint, &mut self.to_endpoint)?;
            }
        }
        Ok(())
    }

    /// Takes the kernel's first command out of `bytes`; answers how many bytes it took, `None` until more are there.
    ///
    /// # Errors
    /// When the kernel's side broke USB/IP.
    pub fn from_kernel(
        &mut self,
        bytes: &[u8],
        now: Duration,
    ) -> Result<Option<usize>, AgentError> {
        let Some((command, used)) = Command::decode(bytes)? else {
            return Ok(None);
        };
        match command {
            Command::Submit(submit) => self.submit(submit, now)?,
            Command::Unlink {
                sequence, target, ..
            } => self.unlink(sequence, target, now),
        }
        Ok(Some(used))
    }

    fn submit(&mut self, submit: Submit<'_>, now: Duration) -> Result<(), AgentError> {
        let refuse = |out: &mut Vec<u8>, status| {
            Answer::Submit {
                sequence: submit.sequence,
                status,
                actual: 0,
                data: &[],
            }
            .encode(out);
        };
        if !matches!(self.phase, Phase::Ready) {
            refuse(&mut self.to_kernel, status::NO_DEVICE);
            return Ok(());
        }
        if submit.endpoint.number() == 0 {
            if self.waiting.len() >= MAX_TRANSFERS || self.flushing.len() >= MAX_TRANSFERS {
                refuse(&mut self.to_kernel, status::NO_MEMORY);
            } else {
                self.control(submit, now);
            }
            return Ok(());
        }
        if let Some(lane) = self.lanes.get_mut(&submit.endpoint) {
            if lane.poll(&submit) {
                lane.deliver(now, &mut self.scratch, &mut self.to_kernel);
                lane.start_if_wanted(submit.endpoint, &mut self.to_endpoint)?;
            } else {
                refuse(&mut self.to_kernel, status::NO_MEMORY);
            }
            return Ok(());
        }
        let interrupt_out = self.description.as_ref().is_some_and(|description| {
            let found = description.configuration.endpoint(submit.endpoint);
            found.is_some_and(|(_, endpoint)| endpoint.transfer == Transfer::Interrupt)
        });
        if !interrupt_out || submit.data.len() > crate::stream::MAX_REPORT {
            refuse(&mut self.to_kernel, status::STALL);
        } else if self.waiting.len() >= MAX_TRANSFERS {
            refuse(&mut self.to_kernel, status::NO_MEMORY);
        } else {
            self.waiting.insert(
                submit.sequence,
                Waiting {
                    setup: None,
                    length: submit.length,
                },
            );
            FromAgent::Out {
                endpoint: submit.endpoint,
                id: TransferId(submit.sequence),
                data: submit.data,
            }
            .encode(&mut self.to_endpoint);
        }
        Ok(())
    }

    fn control(&mut self, submit: Submit<'_>, now: Duration) {
        let id = TransferId(submit.sequence);
        let mut setup = submit.setup;
        // The endpoint moves at most this much in one control transfer; a device answers a longer request with less.
        let room = u16::try_from(MAX_CONTROL).unwrap_or(u16::MAX);
        if setup.is_input() {
            setup.length = setup.length.min(room);
        }
        if submit.data.len() > MAX_CONTROL {
            Answer::Submit {
                sequence: submit.sequence,
                status: status::STALL,
                actual: 0,
                data: &[],
            }
            .encode(&mut self.to_kernel);
            return;
        }
        if setup.effect() != Effect::None {
            for (endpoint, lane) in &mut self.lanes {
                if flushes(setup, lane.interface(), *endpoint) && lane.freeze(now) {
                    FromAgent::Stop {
                        endpoint: *endpoint,
                    }
                    .encode(&mut self.to_endpoint);
                }
            }
            self.flushing.insert(id, setup);
        }
        self.waiting.insert(
            submit.sequence,
            Waiting {
                setup: Some(setup),
                length: submit.length,
            },
        );
        FromAgent::Control {
            id,
            setup,
            data: submit.data,
        }
        .encode(&mut self.to_endpoint);
    }

    fn unlink(&mut self, sequence: u32, target: u32, now: Duration) {
        let polled = self
            .lanes
            .values_mut()
            .any(|lane| lane.unlink(target, now.saturating_add(LINGER)));
        let waited = self.waiting.remove(&target).is_some();
        if waited {
            self.unlinked.insert(TransferId(target));
            FromAgent::Cancel {
                id: TransferId(target),
            }
            .encode(&mut self.to_endpoint);
        }
        let status = if polled || waited {
            status::UNLINKED
        } else {
            status::OK
        };
        Answer::Unlink { sequence, status }.encode(&mut self.to_kernel);
    }

    fn holds(&self) -> bool {
        self.lanes.values().any(Lane::holds)
    }

    /// Lets go of everything that is held.
    fn release(&mut self, now: Duration) {
        self.released = true;
        for lane in self.lanes.values_mut() {
            lane.release(now);
            lane.deliver(now, &mut self.scratch, &mut self.to_kernel);
        }
    }
}

/// How a transfer's end is told to Linux.
pub(crate) const fn linux_status(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Done => status::OK,
        Outcome::Stall | Outcome::Refused => status::STALL,
        Outcome::Gone => status::NO_DEVICE,
        Outcome::Cancelled => status::UNLINKED,
        Outcome::Failed => status::PROTOCOL,
        Outcome::TimedOut => status::TIMEOUT,
        Outcome::Overflow => status::OVERFLOW,
    }
}
