//! The thread on the desktop's side: an [`Agent`] between the endpoint's stream and the kernel's `vhci_hcd`.

mod vhci;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

pub use vhci::{DEVICE, Vhci, VhciError};

use crate::agent::{Agent, AgentError, BUFFER};
use crate::device::Description;

/// The most bytes that wait for a peer that does not read; then nothing more is taken from the other one.
const MAX_BACKLOG: usize = 1024 * 1024;
/// How long the endpoint may take to describe its device.
const GREETING: Duration = Duration::from_secs(10);

/// Why a desktop's session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesktopError {
    /// One side broke its protocol.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The kernel would not take the device.
    #[error(transparent)]
    Vhci(#[from] VhciError),
    /// A socket failed.
    #[error("the connection to {peer} failed: {error}")]
    Socket {
        /// Who is at the other end.
        peer: &'static str,
        /// How.
        error: std::io::Error,
    },
    /// The guest hung up before it was given the device.
    #[error("the guest takes no USB device now")]
    Declined,
    /// The endpoint described nothing in time.
    #[error("the endpoint did not describe its device within {GREETING:?}")]
    NoGreeting,
}

fn failed(peer: &'static str) -> impl Fn(Errno) -> DesktopError {
    move |error| DesktopError::Socket {
        peer,
        error: error.into(),
    }
}

/// Attaches the device at the other end of `endpoint` and serves it until it ends. `kernel` is given the device and answers with a stream
/// to a kernel that has taken it: this machine's own ([`Vhci::connect`]), or a guest's ([`introduce`]).
///
/// # Errors
/// When a side breaks its protocol or goes away before the device is attached. In every case the kernel's socket is closed, which
/// removes the device and lets go of its keys.
pub fn run(
    endpoint: &impl AsFd,
    kernel: impl FnOnce(&Description) -> Result<OwnedFd, DesktopError>,
) -> Result<(), DesktopError> {
    let begin = Instant::now();
    let mut agent = Agent::new();
    let mut from_endpoint = Inflow::new();
    while agent.description().is_none() {
        push(endpoint, &mut agent.to_endpoint).map_err(failed("the endpoint"))?;
        let left = GREETING.saturating_sub(begin.elapsed());
        let mut descriptors = [PollFd::new(endpoint, PollFlags::IN)];
        let ready = poll(&mut descriptors, Timespec::try_from(left).ok().as_ref());
        if matches!(ready, Ok(0)) {
            return Err(DesktopError::NoGreeting);
        }
        if !from_endpoint
            .pull(endpoint)
            .map_err(failed("the endpoint"))?
        {
            return Err(failed("the endpoint")(Errno::CONNRESET));
        }
        from_endpoint.take(|bytes| agent.from_endpoint(bytes, begin.elapsed()))?;
    }
    let Some(description) = agent.description().cloned() else {
        return Err(DesktopError::NoGreeting);
    };
    let kernel = kernel(&description)?;
    serve(&mut agent, endpoint, &kernel, from_endpoint, begin)
}

/// Tells a guest at the other end of a stream which device it is to attach to its own `vhci_hcd`: one line with the speed and the device's
/// number, as the kernel wants them. From then on the guest's kernel speaks USB/IP on the stream.
///
/// # Errors
/// When the guest is gone, or nobody listens there.
pub fn introduce(guest: &impl AsFd, description: &Description) -> Result<(), DesktopError> {
    let line = format!("{} {DEVICE}\n", description.speed.linux());
    // A fresh stream has room for a line.
    match send(guest, line.as_bytes(), SendFlags::NOSIGNAL) {
        Ok(count) if count == line.len() => Ok(()),
        Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Err(DesktopError::Declined),
        Err(error) => Err(failed("the guest")(error)),
    }
}

fn serve(
    agent: &mut Agent,
    endpoint: &impl AsFd,
    kernel: &OwnedFd,
    mut from_endpoint: Inflow,
    begin: Instant,
) -> Result<(), DesktopError> {
    let mut from_kernel = Inflow::new();
    loop {
        push(kernel, &mut agent.to_kernel).map_err(failed("the desktop's kernel"))?;
        if agent.is_over() {
            return Ok(());
        }
        push(endpoint, &mut agent.to_endpoint).map_err(failed("the endpoint"))?;
        let events = |out: &[u8], other: &[u8]| {
            let mut events = PollFlags::empty();
            if other.len() < MAX_BACKLOG {
                events |= PollFlags::IN;
            }
            if !out.is_empty() {
                events |= PollFlags::OUT;
            }
            events
        };
        let mut descriptors = [
            PollFd::new(endpoint, events(&agent.to_endpoint, &agent.to_kernel)),
            PollFd::new(kernel, events(&agent.to_kernel, &agent.to_endpoint)),
        ];
        let timeout = agent
            .deadline()
            .map(|deadline| deadline.saturating_sub(begin.elapsed()))
            .and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(failed("the desktop's kernel")(error)),
        }
        let [at_endpoint, at_kernel] = descriptors.map(|descriptor| descriptor.revents());
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        if at_kernel.intersects(readable) {
            // The kernel lets go of a device by closing its end.
            if !from_kernel
                .pull(kernel)
                .map_err(failed("the desktop's kernel"))?
            {
                return Ok(());
            }
            from_kernel.take(|bytes| agent.from_kernel(bytes, begin.elapsed()))?;
        }
        if at_endpoint.intersects(readable) {
            if from_endpoint.pull(endpoint).unwrap_or(false) {
                from_endpoint.take(|bytes| agent.from_endpoint(bytes, begin.elapsed()))?;
            } else {
                agent.link_lost(begin.elapsed());
            }
        }
        agent.tick(begin.elapsed());
    }
}

/// Bytes that came and were not understood yet.
struct Inflow {
    bytes: Vec<u8>,
    chunk: Vec<u8>,
}

impl Inflow {
    fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(BUFFER),
            chunk: vec![0; 16 * 1024],
        }
    }

    /// Reads once; false at the end.
    fn pull(&mut self, from: &impl AsFd) -> Result<bool, Errno> {
        match rustix::io::read(from, &mut self.chunk) {
            Ok(0) | Err(Errno::CONNRESET | Errno::PIPE) => Ok(false),
            Ok(count) => {
                let read = self.chunk.get(..count).unwrap_or_default();
                self.bytes.extend_from_slice(read);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Hands over message after message.
    fn take(
        &mut self,
        mut message: impl FnMut(&[u8]) -> Result<Option<usize>, AgentError>,
    ) -> Result<(), AgentError> {
        let mut taken = 0usize;
        while let Some(used) = message(self.bytes.get(taken..).unwrap_or_default())? {
            taken = taken.saturating_add(used);
        }
        self.bytes.drain(..taken.min(self.bytes.len()));
        Ok(())
    }
}

/// Writes as much as there is room for.
fn push(to: &impl AsFd, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    let mut written = 0usize;
    while let Some(rest @ [_, ..]) = bytes.get(written..) {
        match send(to, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => written = written.saturating_add(count),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            // Whoever is gone shows when it is read from.
            Err(Errno::PIPE | Errno::CONNRESET) => written = bytes.len(),
            Err(error) => return Err(error),
        }
    }
    bytes.drain(..written.min(bytes.len()));
    Ok(())
}
