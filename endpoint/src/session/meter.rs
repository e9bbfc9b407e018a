//! Where the time of a key goes, from the event to the pixel: stamps on its way through the session.
//!
//! One key at a time is followed, and only when somebody asked; otherwise no clock is read. On a still desktop a zone's next damage is
//! the key's; in a zone that draws all the time a pixel is watched that nothing but the key changes.

use std::time::{Duration, Instant};

use compositor::{Point, Rect, ZoneId, ZoneInput};

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
    /// The pixel of the zone's surface that the key changes, and its value before.
    watched: Option<(Point, Option<u32>)>,
    /// The largest rectangle that the zone has changed since.
    changed: Rect,
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
    /// Follows the next key that this zone is sent, to the change of a pixel of its surface: of `watched`, or of any.
    pub fn follow_key(&mut self, zone: ZoneId, watched: Option<Point>) {
        self.meter = Some(Meter {
            zone,
            pressed: Instant::now(),
            passed: Vec::new(),
            watched: watched.map(|at| (at, self.surface_pixel(zone, at))),
            changed: Rect::EMPTY,
        });
    }

    /// The largest rectangle of its surface that the zone has changed since the key that is followed.
    #[must_use]
    pub fn changed_since_key(&self) -> Option<Rect> {
        self.meter.as_ref().map(|meter| meter.changed)
    }

    /// Whether [`Session::take_followed`] has something to give.
    #[must_use]
    pub fn has_followed(&self) -> bool {
        let is_over = |meter: &Meter| meter.passed.len() == STAGES.len();
        self.meter.as_ref().is_some_and(is_over)
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

    pub(super) fn zone_drew(&mut self, zone: ZoneId, rectangles: &[Rect]) {
        let Some(meter) = self.meter.as_mut().filter(|meter| meter.zone == zone) else {
            return;
        };
        let largest = rectangles.iter().copied().chain([meter.changed]);
        meter.changed = largest.max_by_key(Rect::area).unwrap_or(meter.changed);
        let is_it = match meter.watched {
            Some((at, before)) => self.surface_pixel(zone, at) != before,
            None => true,
        };
        if is_it {
            self.pass(1, Some(zone));
        }
    }

    /// A pixel of what a zone shows. None: it shows nothing there.
    fn surface_pixel(&self, zone: ZoneId, at: Point) -> Option<u32> {
        let (_, surface) = self.scene.surface(zone)?;
        let (x, y) = (u32::try_from(at.x).ok()?, u32::try_from(at.y).ok()?);
        let inside = x < surface.size().width && y < surface.size().height;
        let mut pixel = [0];
        surface.copy_row(y, x, &mut pixel);
        let [pixel] = pixel;
        // The unused byte may be anything.
        inside.then_some(pixel & 0x00ff_ffff)
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
