//! The endpoint's side of our own protocol.

use std::sync::Arc;

use super::{FromAgent, FromEndpoint, StreamError};
use crate::device::Description;
use crate::front::{Front, FrontError, Request, Response};

/// Speaks our protocol to an agent.
#[derive(Debug)]
pub struct StreamFront {
    device: Arc<Description>,
    greeted: bool,
}

impl StreamFront {
    /// A front that offers one device.
    #[must_use]
    pub const fn new(device: Arc<Description>) -> Self {
        Self {
            device,
            greeted: false,
        }
    }
}

impl Front for StreamFront {
    fn greet(&mut self, out: &mut Vec<u8>) {
        FromEndpoint::Hello {
            speed: u8::try_from(self.device.speed.linux()).unwrap_or(0),
            device: self.device.device.raw,
            configuration: &self.device.configuration.raw,
        }
        .encode(out);
        for (interface, report) in &self.device.reports {
            FromEndpoint::ReportDescriptor {
                interface: *interface,
                bytes: &report.raw,
            }
            .encode(out);
        }
        FromEndpoint::Ready.encode(out);
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        requests: &mut Vec<Request>,
        _out: &mut Vec<u8>,
    ) -> Result<Option<usize>, FrontError> {
        let Some((message, used)) = FromAgent::decode(bytes)? else {
            return Ok(None);
        };
        if self.greeted == (message == FromAgent::Hello) {
            return Err(StreamError::OutOfPlace("a greeting, or anything before it,").into());
        }
        requests.extend(match message {
            FromAgent::Hello => {
                self.greeted = true;
                None
            }
            FromAgent::Start {
                endpoint,
                generation,
                message,
            } => Some(Request::Start {
                endpoint,
                generation,
                message,
            }),
            FromAgent::Stop { endpoint } => Some(Request::Stop { endpoint }),
            FromAgent::Control { id, setup, data } => Some(Request::Control {
                id,
                setup,
                data: data.to_vec(),
            }),
            FromAgent::Out { endpoint, id, data } => Some(Request::Out {
                endpoint,
                id,
                data: data.to_vec(),
            }),
            FromAgent::Cancel { id } => Some(Request::Cancel { id }),
        });
        Ok(Some(used))
    }

    fn respond(&mut self, response: Response<'_>, out: &mut Vec<u8>) {
        let message = match response {
            Response::Report {
                endpoint,
                generation,
                sequence,
                data,
            } => FromEndpoint::Report {
                endpoint,
                generation,
                sequence,
                data,
            },
            Response::Stopped {
                endpoint,
                generation,
                outcome,
            } => FromEndpoint::Stopped {
                endpoint,
                generation,
                outcome,
            },
            Response::ControlDone {
                id,
                outcome,
                actual,
                data,
            } => FromEndpoint::ControlDone {
                id,
                outcome,
                actual,
                data,
            },
            Response::OutDone {
                id,
                outcome,
                actual,
            } => FromEndpoint::OutDone {
                id,
                outcome,
                actual,
            },
            Response::Heartbeat => FromEndpoint::Heartbeat,
            Response::Gone => FromEndpoint::Detached,
            Response::Polled { .. } => return,
        };
        message.encode(out);
    }

    fn wants_heartbeat(&self) -> bool {
        self.greeted
    }
}
