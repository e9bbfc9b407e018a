//! What every wire format asks of a device and is told by it, so that one set of threads serves them all.
//!
//! A [`Front`] is a state machine without I/O: bytes in, [`Request`]s out; [`Response`]s in, bytes out.

use crate::setup::{EndpointAddress, Setup};
use crate::stream::{Generation, Outcome, PollMessage, Sequence, TransferId};

/// What the desktop asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Save this poll message and poll by yourself from now on.
    Start {
        /// Where.
        endpoint: EndpointAddress,
        /// Which start this is.
        generation: Generation,
        /// What to re-submit.
        message: PollMessage,
    },
    /// Stop.
    Stop {
        /// Where.
        endpoint: EndpointAddress,
    },
    /// Poll once: plain USB/IP, where every report costs a round trip.
    PollOnce {
        /// Where.
        endpoint: EndpointAddress,
        /// What the answer names.
        id: TransferId,
        /// Room for a report.
        length: u16,
    },
    /// A control transfer.
    Control {
        /// What the answer names.
        id: TransferId,
        /// The setup packet.
        setup: Setup,
        /// The data, for OUT.
        data: Vec<u8>,
    },
    /// An interrupt-OUT transfer.
    Out {
        /// Where.
        endpoint: EndpointAddress,
        /// What the answer names.
        id: TransferId,
        /// The data.
        data: Vec<u8>,
    },
    /// Take a transfer back.
    Cancel {
        /// Which.
        id: TransferId,
    },
    /// The peer has let go of the device.
    Release,
}

/// What the device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// A report of a polling thread.
    Report {
        /// Where it came from.
        endpoint: EndpointAddress,
        /// Which start it belongs to.
        generation: Generation,
        /// Its place in the generation.
        sequence: Sequence,
        /// Its bytes.
        data: &'a [u8],
    },
    /// Polling ended by itself.
    Stopped {
        /// Where.
        endpoint: EndpointAddress,
        /// Which start ended.
        generation: Generation,
        /// Why.
        outcome: Outcome,
    },
    /// A single poll is done.
    Polled {
        /// Which.
        id: TransferId,
        /// How.
        outcome: Outcome,
        /// The report.
        data: &'a [u8],
    },
    /// A control transfer is done.
    ControlDone {
        /// Which.
        id: TransferId,
        /// How.
        outcome: Outcome,
        /// How many bytes moved.
        actual: u16,
        /// What the device sent.
        data: &'a [u8],
    },
    /// An OUT transfer is done.
    OutDone {
        /// Which.
        id: TransferId,
        /// How.
        outcome: Outcome,
        /// How many bytes moved.
        actual: u16,
    },
    /// Something is held and nothing was sent for a while.
    Heartbeat,
    /// The device is gone.
    Gone,
}

/// Why a front gave up on its peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// Our own protocol.
    #[error(transparent)]
    Stream(#[from] crate::stream::StreamError),
    /// usbredir.
    #[error(transparent)]
    UsbRedir(#[from] crate::usbredir::UsbRedirError),
    /// USB/IP.
    #[error(transparent)]
    UsbIp(#[from] crate::usbip::UsbIpError),
}

/// One wire format on the side that has the device.
pub trait Front: Send {
    /// Appends what is said before the peer says anything.
    fn greet(&mut self, out: &mut Vec<u8>);

    /// Takes the first message out of `bytes`. Answers how many bytes it took, `None` until more are there. What the front
    /// answers by itself goes to `out`.
    ///
    /// # Errors
    /// When the peer broke the protocol: the connection must be closed.
    fn receive(
        &mut self,
        bytes: &[u8],
        requests: &mut Vec<Request>,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, FrontError>;

    /// Appends a response's bytes.
    fn respond(&mut self, response: Response<'_>, out: &mut Vec<u8>);

    /// Whether the peer wants [`Response::Heartbeat`].
    fn wants_heartbeat(&self) -> bool {
        false
    }
}
