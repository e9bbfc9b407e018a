//! Where the time of a key goes, from the event to the pixel: stamps on its way through the session.
//!
//! One key at a time is followed, and only when somebody asked; otherwise no clock is read.

use std::time::{Duration, Instant};

use compositor::{ZoneId, ZoneInput};

use super::Session;

/// The stages of a key's way, in their order.
pub const STAGES: [&str; 5] = [
    "input router and link to the zone",
    "guest, its devices, link from the zone",
    "wait for the frame",
    "paint",
    "present",
];

/// How long each of the [`STAGES`] took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stages(pub [Duration; STAGES.len()]);

impl Stages {
    /// From the key event to the presented pixel.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.0.iter().sum()
    }
}

/// A key on its way.
#[derive(Debug)]
pub(super) struct Meter {
    zone: ZoneId,
    pressed: Instant,
    /// When it had passed each stage so far.
    passed: Vec<Instant>,
}

impl Meter {
    /// Notes that a stage is over, if it is the next one.
    fn pass(&mut self, stage: usize) {
        if self.passed.len() == stage {
            self.passed.push(Instant::now());
        }
    }
}

impl Session {
    /// Follows the next key that this zone is sent.
    pub fn follow_key(&mut self, zone: ZoneId) {
        self.meter = Some(Meter {
            zone,
            pressed: Instant::now(),
            passed: Vec::new(),
        });
    }

    /// How long the stages took, once the zone's next pixels after the key were presented.
    pub fn take_followed(&mut self) -> Option<Stages> {
        let meter = self
            .meter
            .take_if(|meter| meter.passed.len() == STAGES.len())?;
        let mut stages = Stages::default();
        let mut before = meter.pressed;
        for (stage, passed) in stages.0.iter_mut().zip(meter.passed) {
            *stage = passed.saturating_duration_since(before);
            before = passed;
        }
        Some(stages)
    }

    /// The last frame is on the screen: to be said by the presenter when its window system has taken it.
    pub fn presented(&mut self) {
        self.pass(4, None);
    }

    pub(super) fn key_sent(&mut self, zone: ZoneId, input: ZoneInput) {
        if matches!(input, ZoneInput::Key { pressed: true, .. }) {
            self.pass(0, Some(zone));
        }
    }

    pub(super) fn zone_drew(&mut self, zone: ZoneId) {
        self.pass(1, Some(zone));
    }

    pub(super) fn paint_begins(&mut self) {
        self.pass(2, None);
    }

    pub(super) fn paint_ends(&mut self) {
        self.pass(3, None);
    }

    fn pass(&mut self, stage: usize, zone: Option<ZoneId>) {
        if let Some(meter) = &mut self.meter
            && zone.is_none_or(|zone| zone == meter.zone)
        {
            meter.pass(stage);
        }
    }
}
