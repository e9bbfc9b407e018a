//! Input routing: keys (`keyboard`) and pointer (`pointer`) to pages, the panel, frames, or the one focused zone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Scene;
use crate::cursor::{HostCursor, ZoneCursor};
use crate::frame::{Edges, Part};
use crate::geometry::{Point, Rect};
use crate::input::{Action, InputEvent};
use crate::zone::ZoneId;

mod keyboard;
mod pointer;

/// During a drag a zone is offered a new size at most once in this time.
const RESIZE_PACE: Duration = Duration::from_millis(120);
/// Two clicks on a title bar within this time maximise.
const DOUBLE_CLICK: Duration = Duration::from_millis(400);
/// A wheel event tells a zone of at most this much, in 1/120 of a notch.
const WHEEL_LIMIT: i32 = 120 * 32;

/// What the pressed buttons are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Grab {
    #[default]
    None,
    /// A press inside this zone's client area: its motion goes there until all buttons are up.
    Zone(ZoneId),
    /// The window follows the pointer, which took it at `pointer` when it was at `outer`.
    Move {
        zone: ZoneId,
        pointer: Point,
        outer: Rect,
    },
    /// The window's edges follow the pointer.
    Resize {
        zone: ZoneId,
        edges: Edges,
        pointer: Point,
        outer: Rect,
    },
    /// A frame button; it acts when the pointer is still on it at release.
    Press { zone: ZoneId, part: Part },
}

impl Grab {
    fn zone(self) -> Option<ZoneId> {
        match self {
            Grab::None => None,
            Grab::Zone(zone)
            | Grab::Move { zone, .. }
            | Grab::Resize { zone, .. }
            | Grab::Press { zone, .. } => Some(zone),
        }
    }
}

/// How the pointer looks at the moment.
#[derive(Clone, Debug, PartialEq)]
enum Pointer {
    Host(HostCursor),
    Zone(ZoneId, ZoneCursor),
}

#[derive(Default)]
pub(super) struct InputState {
    pointer: Option<Point>,
    /// Keys the focused zone believes held.
    held: BTreeSet<u16>,
    /// Buttons the grabbing zone believes held.
    buttons: BTreeSet<u16>,
    /// Host keys that are down.
    host: BTreeSet<u16>,
    /// Keys that went down while a host key was; their releases are nobody's business.
    swallowed: BTreeSet<u16>,
    /// Modifiers that are held back from the focused zone, in the order they went down.
    withheld: Vec<u16>,
    /// Modifiers that are down and not part of a chord.
    modifiers: BTreeSet<u16>,
    grab: Grab,
    hovered: Option<(ZoneId, Part)>,
    hovered_chip: Option<ZoneId>,
    /// The control of a page under the pointer.
    pub(super) hovered_control: Option<usize>,
    /// What is shown of the pointer, and where it may have painted.
    shown: Option<(Pointer, Point, Rect)>,
    last_title_press: Option<(ZoneId, Duration)>,
    resize_due: Option<(ZoneId, Duration)>,
    last_resize: Option<Duration>,
}

impl InputState {
    pub(super) fn hovered_chip(&self) -> Option<ZoneId> {
        self.hovered_chip
    }

    pub(super) fn hovered_part(&self, id: ZoneId) -> Option<Part> {
        self.hovered
            .filter(|(zone, _)| *zone == id)
            .map(|(_, part)| part)
    }

    pub(super) fn resize_due(&self) -> Option<Duration> {
        self.resize_due.map(|(_, due)| due)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn pointer_area(&self) -> Rect {
        self.shown
            .as_ref()
            .map_or(Rect::EMPTY, |(_, _, area)| *area)
    }

    pub(super) fn held_keys(&self) -> &BTreeSet<u16> {
        &self.held
    }
}

impl Scene {
    /// Takes what a person did at `now` and says what the endpoint is to do about it.
    pub fn handle(&mut self, event: InputEvent, now: Duration) -> Vec<Action> {
        self.advance(now);
        match event {
            InputEvent::Key { code, movement } => self.key(code, movement),
            InputEvent::PointerMoved(at) => self.pointer_to(at, now),
            InputEvent::PointerMovedBy { x, y } => {
                let from = self
                    .input
                    .pointer
                    .or_else(|| self.on_screen(Point::default()))
                    .unwrap_or_default();
                self.pointer_to(
                    Point::new(from.x.saturating_add(x), from.y.saturating_add(y)),
                    now,
                );
            }
            InputEvent::PointerLeft => {
                self.end_grab(now);
                self.input.pointer = None;
                self.refresh_pointer();
            }
            InputEvent::Button {
                button,
                pressed: true,
            } => self.press(button, now),
            InputEvent::Button {
                button,
                pressed: false,
            } => self.release(button, now),
            InputEvent::Wheel {
                vertical,
                horizontal,
            } => self.wheel(vertical, horizontal),
            InputEvent::KeyboardLost => {
                self.release_held();
                self.input.host.clear();
                self.input.swallowed.clear();
                self.input.modifiers.clear();
                self.input.withheld.clear();
            }
        }
        self.settle_resize(now);
        self.take_actions()
    }

    /// The pointer's place, if it is on the screen.
    pub fn pointer(&self) -> Option<Point> {
        self.input.pointer
    }
}
