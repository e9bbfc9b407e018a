//! The state of one polling thread: which poll message it re-submits, and which of the device's answers still count.
//!
//! The thread itself is a loop around this: read [`Polling::wanted`]; if it changed, take back what is in flight; poll; hand the result
//! to [`Polling::completed`] or [`Polling::ended`]. Everything that decides is here and is tested without a thread.

use crate::setup::{Effect, EndpointAddress, Setup};
use crate::stream::{Generation, Outcome, PollMessage};

/// What the thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which start of polling this is.
    pub generation: Generation,
    /// The saved copy of the first poll message.
    pub message: PollMessage,
    /// Poll a single time and then wait (plain USB/IP).
    pub once: bool,
}

/// One endpoint's polling.
#[derive(Debug, Default)]
pub struct Polling {
    wanted: Option<Job>,
    last: Option<Generation>,
}

impl Polling {
    /// Saves the poll message and polls from now on. False when the generation is not newer than all before: the message is
    /// late or forged, and nothing changes.
    #[must_use]
    pub fn start(&mut self, generation: Generation, message: PollMessage) -> bool {
        self.begin(Job {
            generation,
            message,
            once: false,
        })
    }

    /// Polls one time.
    #[must_use]
    pub fn once(&mut self, generation: Generation, message: PollMessage) -> bool {
        self.begin(Job {
            generation,
            message,
            once: true,
        })
    }

    fn begin(&mut self, job: Job) -> bool {
        if self.last.is_some_and(|last| job.generation <= last) {
            return false;
        }
        self.last = Some(job.generation);
        self.wanted = Some(job);
        true
    }

    /// Stops: by the peer's word, by an unlink, or because a control request flushes the stream.
    pub fn stop(&mut self) {
        self.wanted = None;
    }

    /// What is to be polled now.
    #[must_use]
    pub const fn wanted(&self) -> Option<Job> {
        self.wanted
    }

    /// A report came for a transfer of `generation`. False when that generation is over and the report must be forgotten.
    #[must_use]
    pub fn completed(&mut self, generation: Generation) -> bool {
        let Some(job) = self.wanted.filter(|job| job.generation == generation) else {
            return false;
        };
        if job.once {
            self.wanted = None;
        }
        true
    }

    /// Polling of `generation` failed. True when the peer must be told; an interruption or an old generation is nobody's news.
    #[must_use]
    pub fn ended(&mut self, generation: Generation, outcome: Outcome) -> bool {
        let current = self.wanted.is_some_and(|job| job.generation == generation);
        if !current || outcome == Outcome::Cancelled {
            return false;
        }
        self.wanted = None;
        true
    }
}

/// Whether a control request flushes the stream of an endpoint that belongs to `interface`.
#[must_use]
pub fn flushes(setup: Setup, interface: u8, endpoint: EndpointAddress) -> bool {
    match setup.effect() {
        Effect::None => false,
        Effect::Configuration(_) | Effect::Reset => true,
        Effect::Interface { interface: of, .. } | Effect::Protocol { interface: of } => {
            of == interface
        }
        Effect::ClearHalt(of) => of == endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: PollMessage = PollMessage {
        length: 8,
        interval: 8,
        flags: 0,
    };

    #[test]
    fn reports_of_an_older_generation_are_forgotten() {
        let mut polling = Polling::default();
        assert!(polling.start(Generation(1), MESSAGE));
        assert_eq!(polling.wanted().unwrap().message, MESSAGE, "the saved copy");
        assert!(polling.completed(Generation(1)));
        assert!(polling.completed(Generation(1)));
        polling.stop();
        assert!(!polling.completed(Generation(1)), "late");
        assert!(polling.start(Generation(2), MESSAGE));
        assert!(!polling.completed(Generation(1)), "of before the restart");
        assert!(polling.completed(Generation(2)));
    }

    #[test]
    fn generations_only_grow() {
        let mut polling = Polling::default();
        assert!(polling.start(Generation(5), MESSAGE));
        assert!(!polling.start(Generation(5), MESSAGE));
        assert!(!polling.start(Generation(4), MESSAGE));
        assert_eq!(polling.wanted().unwrap().generation, Generation(5));
    }

    #[test]
    fn only_the_current_generation_can_end() {
        let mut polling = Polling::default();
        assert!(polling.start(Generation(1), MESSAGE));
        assert!(!polling.ended(Generation(1), Outcome::Cancelled));
        assert!(polling.wanted().is_some());
        assert!(!polling.ended(Generation(0), Outcome::Stall));
        assert!(polling.ended(Generation(1), Outcome::Stall));
        assert_eq!(polling.wanted(), None);
        assert!(!polling.ended(Generation(1), Outcome::Gone), "told once");
    }

    #[test]
    fn a_single_poll_waits_for_the_next_request() {
        let mut polling = Polling::default();
        assert!(polling.once(Generation(1), MESSAGE));
        assert!(polling.completed(Generation(1)));
        assert_eq!(polling.wanted(), None);
    }

    #[test]
    fn requests_flush_what_they_must_and_no_more() {
        let setup = |bytes| Setup::from_bytes(bytes);
        let (one, two) = (EndpointAddress(0x81), EndpointAddress(0x82));
        let configuration = setup([0, 9, 1, 0, 0, 0, 0, 0]);
        assert!(flushes(configuration, 0, one) && flushes(configuration, 1, two));
        let protocol = setup([0x21, 11, 0, 0, 1, 0, 0, 0]);
        assert!(!flushes(protocol, 0, one) && flushes(protocol, 1, two));
        let halt = setup([2, 1, 0, 0, 0x81, 0, 0, 0]);
        assert!(flushes(halt, 0, one) && !flushes(halt, 1, two));
        let lights = setup([0x21, 9, 0, 2, 0, 0, 1, 0]);
        assert!(!flushes(lights, 0, one));
    }
}
