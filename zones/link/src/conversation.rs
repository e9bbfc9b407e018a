//! The endpoint's view of one zone's messages: which may come when, and what is left of them after clipping. Pure code.
//!
//! Every rule that [`FromZone::decode`] cannot check because it needs history is here: `Hello` first and once, nothing before
//! `Start`, frames only of surfaces that were sent, credit, stream numbers. What comes out needs no further check.

use crate::credit::{ReceiveCredit, SendCredit};
use crate::error::ProtocolError;
use crate::from_zone::{CursorImage, FromZone, Hello};
use crate::limits;
use crate::types::{Generation, Port, PortBytes, Rect, Size, StreamId, ZoneState};

/// What a zone may say next, given everything said so far.
#[derive(Debug, Default)]
pub struct Conversation {
    phase: Phase,
    /// The surface whose frames were shown last.
    shown: Option<(Generation, Size)>,
    /// The newest surface sent, while no frame of it has come.
    offered: Option<(Generation, Size)>,
    next_generation: u32,
    receive: ReceiveCredit,
    send: SendCredit,
    pending_streams: Vec<StreamId>,
    /// The last state that the machine reported.
    state: Option<ZoneState>,
}

#[derive(Debug, Default, Eq, PartialEq)]
enum Phase {
    #[default]
    AwaitHello,
    AwaitStart,
    Started,
    Ended,
}

/// A message that passed.
#[derive(Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The jail's report. `Start` may be sent now.
    Hello(Hello),
    /// The machine's new state.
    State(ZoneState),
    /// Pixels changed inside the surface.
    Damage(Damage),
    /// The cursor's new picture.
    Cursor(CursorImage),
    /// No cursor.
    CursorHidden,
    /// Bytes from the guest; give them back by [`Conversation::consumed`].
    PortData(Port, PortBytes),
    /// More may be sent on this port.
    PortCredit(Port),
    /// Answer by [`Conversation::answer_stream`] and `StreamAccept` or `StreamRefuse`.
    StreamRequest(StreamId, u32),
    /// Nothing to do: late, or wholly outside the surface.
    Nothing,
}

/// Changed pixels, clipped.
#[derive(Debug, Eq, PartialEq)]
pub struct Damage {
    /// The surface, one of the two that [`Conversation::live_generations`] names.
    pub generation: Generation,
    /// True for its first frame: an older surface will not be drawn on again and can be dropped.
    pub first: bool,
    /// Inside the surface, none empty. They may overlap.
    pub rectangles: Vec<Rect>,
}

impl Conversation {
    /// Judges the next message.
    ///
    /// # Errors
    /// A message that must not come now. The zone is to be killed.
    pub fn accept(&mut self, message: FromZone) -> Result<Event, ProtocolError> {
        let order = |when| {
            Err(ProtocolError::Order {
                message: message.name(),
                when,
            })
        };
        match (&self.phase, &message) {
            (Phase::AwaitHello, FromZone::Hello(_)) => self.phase = Phase::AwaitStart,
            (Phase::AwaitHello, _) => return order("before Hello"),
            (_, FromZone::Hello(_)) => return order("a second time"),
            // A machine that cannot even be asked to start may say so.
            (Phase::AwaitStart, FromZone::State(ZoneState::Failed(_))) => {}
            (Phase::AwaitStart, _) => return order("before Start"),
            (Phase::Ended, FromZone::State(_)) => return order("after the last state"),
            // Device threads may still be at work when the machine reports its end.
            (Phase::Ended, _) => return Ok(Event::Nothing),
            (Phase::Started, _) => {}
        }
        match message {
            FromZone::Hello(hello) => Ok(Event::Hello(hello)),
            FromZone::State(state) => self.state(state),
            FromZone::Frame {
                generation,
                rectangles,
            } => self.frame(generation, &rectangles),
            FromZone::Cursor(image) => Ok(Event::Cursor(image)),
            FromZone::CursorHidden => Ok(Event::CursorHidden),
            FromZone::PortData { port, data } => {
                self.receive.receive(port, data.length())?;
                Ok(Event::PortData(port, data))
            }
            FromZone::PortCredit { port, bytes } => {
                self.send.grant(port, bytes)?;
                Ok(Event::PortCredit(port))
            }
            FromZone::StreamRequest { id, port } => self.stream_request(id, port),
        }
    }

    /// Notes that `Start` was sent. True once, after `Hello`; otherwise it must not be sent.
    #[must_use]
    pub fn start(&mut self) -> bool {
        let ready = self.phase == Phase::AwaitStart;
        if ready {
            self.phase = Phase::Started;
        }
        ready
    }

    /// Notes that a surface of `size` is sent, and gives the generation to send it under.
    pub fn offer_surface(&mut self, size: Size) -> Generation {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = Generation(self.next_generation);
        self.offered = Some((generation, size));
        generation
    }

    /// The surface shown last and the newest one still without a frame. No other surface needs to be kept.
    #[must_use]
    pub fn live_generations(&self) -> (Option<Generation>, Option<Generation>) {
        (
            self.shown.map(|(generation, _)| generation),
            self.offered.map(|(generation, _)| generation),
        )
    }

    /// True after `Start` was sent: the zone may be sent everything else.
    #[must_use]
    pub fn is_started(&self) -> bool {
        matches!(self.phase, Phase::Started | Phase::Ended)
    }

    /// True after `Off` or `Failed`.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Bytes that may be sent to the guest's `port` now.
    #[must_use]
    pub fn port_room(&self, port: Port) -> u32 {
        self.send.available(port)
    }

    /// Notes bytes sent to the guest's `port`; false when there was no room for them and they must not be sent.
    #[must_use]
    pub fn port_sent(&mut self, port: Port, bytes: u32) -> bool {
        self.send.take(port, bytes)
    }

    /// Notes bytes of a port as consumed, and gives the credit to grant by `PortCredit` when it is time to.
    #[must_use]
    pub fn consumed(&mut self, port: Port, bytes: u32) -> Option<u32> {
        self.receive.consume(port, bytes)
    }

    /// Notes the answer to a stream request; false when no such request waits and no answer must be sent.
    #[must_use]
    pub fn answer_stream(&mut self, id: StreamId) -> bool {
        let before = self.pending_streams.len();
        self.pending_streams.retain(|pending| *pending != id);
        self.pending_streams.len() < before
    }

    /// A machine starts, runs, perhaps panics, and ends; only a reset begins that anew. So no zone can flap between states, which
    /// would be a record each time.
    fn state(&mut self, state: ZoneState) -> Result<Event, ProtocolError> {
        use ZoneState::{Failed, Off, Panicked, Reset, Running, Starting};
        let follows = match (&self.state, &state) {
            (Some(before), now) if before == now => return Ok(Event::Nothing),
            // A guest that panics at once may be reported before the thread that started it says that it runs.
            (Some(Panicked), Running) => return Ok(Event::Nothing),
            (_, Failed(_))
            | (None | Some(Reset), Starting | Off)
            | (Some(Starting), Running | Panicked | Reset | Off)
            | (Some(Running), Panicked | Reset | Off)
            | (Some(Panicked), Reset | Off) => true,
            _ => false,
        };
        if !follows {
            let when = "after a state that it cannot follow";
            return Err(ProtocolError::Order {
                message: "State",
                when,
            });
        }
        if state.is_final() {
            self.phase = Phase::Ended;
        }
        self.state = Some(state.clone());
        Ok(Event::State(state))
    }

    fn frame(
        &mut self,
        generation: Generation,
        rectangles: &[Rect],
    ) -> Result<Event, ProtocolError> {
        if generation.0 == 0 || generation.0 > self.next_generation {
            return Err(ProtocolError::Order {
                message: "Frame",
                when: "for a surface that was never sent",
            });
        }
        let (size, first) = match (self.shown, self.offered) {
            (_, Some((offered, size))) if offered == generation => {
                self.shown = self.offered.take();
                (size, true)
            }
            (Some((shown, size)), _) if shown == generation => (size, false),
            // A surface that was replaced while this message was under way.
            _ => return Ok(Event::Nothing),
        };
        let rectangles: Vec<Rect> = rectangles
            .iter()
            .filter_map(|rectangle| rectangle.clip(size))
            .collect();
        if rectangles.is_empty() && !first {
            return Ok(Event::Nothing);
        }
        Ok(Event::Damage(Damage {
            generation,
            first,
            rectangles,
        }))
    }

    fn stream_request(&mut self, id: StreamId, port: u32) -> Result<Event, ProtocolError> {
        let order = |when| {
            Err(ProtocolError::Order {
                message: "StreamRequest",
                when,
            })
        };
        if self.pending_streams.contains(&id) {
            return order("under a number that still waits for an answer");
        }
        if self.pending_streams.len() >= limits::PENDING_STREAMS {
            return order("while too many wait for an answer");
        }
        self.pending_streams.push(id);
        Ok(Event::StreamRequest(id, port))
    }
}

#[cfg(test)]
mod tests;
