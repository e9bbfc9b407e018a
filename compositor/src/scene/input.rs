//! Input routing: keys and pointer to the panel, to frames, or to the one focused zone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Arrangement, Scene};
use crate::canvas::Canvas;
use crate::cursor::{HostCursor, ZoneCursor};
use crate::frame::{Edges, Part};
use crate::geometry::{Point, Rect, Region, signed};
use crate::icons::Masks;
use crate::input::{Action, InputEvent, KeyMovement, ZoneInput};
use crate::keys::{self, Chord, Direction};
use crate::theme::Metrics;
use crate::zone::ZoneId;

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
    /// Modifiers that are down and not part of a chord.
    modifiers: BTreeSet<u16>,
    grab: Grab,
    hovered: Option<(ZoneId, Part)>,
    hovered_chip: Option<ZoneId>,
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
        match event {
            InputEvent::Key { code, movement } => self.key(code, movement),
            InputEvent::PointerMoved(at) => self.pointer_to(at, now),
            InputEvent::PointerMovedBy { x, y } => {
                let from = self
                    .input
                    .pointer
                    .unwrap_or_else(|| self.on_screen(Point::default()));
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
            }
        }
        self.settle_resize(now);
        self.take_actions()
    }

    /// The pointer's place, if it is on the screen.
    pub fn pointer(&self) -> Option<Point> {
        self.input.pointer
    }

    fn key(&mut self, code: u16, movement: KeyMovement) {
        if movement == KeyMovement::Repeated {
            // Guests see held keys and repeat for themselves; a repeat never is a person's act.
            return;
        }
        let pressed = movement == KeyMovement::Pressed;
        if self.settings.host_key.is(code) {
            if pressed {
                self.input.host.insert(code);
            } else {
                self.input.host.remove(&code);
            }
            return;
        }
        if !pressed {
            self.input.modifiers.remove(&code);
            if !self.input.swallowed.remove(&code)
                && self.input.held.remove(&code)
                && let Some(focus) = self.focus
            {
                self.send(
                    focus,
                    ZoneInput::Key {
                        code,
                        pressed: false,
                    },
                );
            }
            return;
        }
        if !self.input.host.is_empty() {
            let shift = [keys::LEFT_SHIFT, keys::RIGHT_SHIFT]
                .iter()
                .any(|key| self.input.swallowed.contains(key));
            // A key already held by the zone stays the zone's: its release must reach it.
            if !self.input.held.contains(&code)
                && self.input.swallowed.insert(code)
                && let Some(chord) = keys::chord(code, shift)
            {
                self.perform(chord);
            }
            return;
        }
        if keys::is_modifier(code) {
            self.input.modifiers.insert(code);
        }
        let live = self
            .focus
            .filter(|focus| self.zone(*focus).is_some_and(|zone| zone.state.is_live()));
        if let Some(focus) = live
            && keys::may_reach_zones(code)
            && !self.input.swallowed.contains(&code)
            && self.input.held.insert(code)
        {
            self.send(
                focus,
                ZoneInput::Key {
                    code,
                    pressed: true,
                },
            );
        }
    }

    fn perform(&mut self, chord: Chord) {
        match chord {
            Chord::SecureAttention => {
                self.break_grabs();
                self.set_focus(None);
                self.actions.push(Action::Chord(chord));
            }
            Chord::Lock | Chord::Launcher | Chord::Transfer | Chord::Screenshot => {
                self.actions.push(Action::Chord(chord));
            }
            Chord::FocusNext => self.cycle(1),
            Chord::FocusPrevious => self.cycle(self.zones.len().saturating_sub(1)),
            Chord::FocusNumber(number) => {
                if let Some(id) = self.zones.get(number).map(|zone| zone.identity.id) {
                    self.activate(id);
                }
            }
            Chord::Arrange(direction) => {
                self.on_focused(|scene, id| scene.arrange_towards(id, direction));
            }
            Chord::ToggleMaximise => self.on_focused(Scene::toggle_maximised),
            Chord::Minimise => self.on_focused(Scene::minimise),
            Chord::Nudge(direction) => self.on_focused(|scene, id| scene.nudge(id, direction)),
        }
        self.refresh_pointer();
    }

    fn on_focused(&mut self, act: impl FnOnce(&mut Self, ZoneId)) {
        self.break_grabs();
        if let Some(focus) = self.focus {
            act(self, focus);
        }
    }

    /// The zone so many places further in the panel gets the keyboard; hidden windows are shown again.
    fn cycle(&mut self, steps: usize) {
        let count = self.zones.len();
        let here = self
            .zones
            .iter()
            .position(|zone| Some(zone.identity.id) == self.focus);
        let next = match here {
            Some(here) => (here + steps).checked_rem(count),
            None if steps == 1 => Some(0),
            None => count.checked_sub(1),
        };
        if let Some(id) = next
            .and_then(|next| self.zones.get(next))
            .map(|zone| zone.identity.id)
        {
            self.activate(id);
        }
    }

    fn nudge(&mut self, id: ZoneId, direction: Direction) {
        let Some(outer) = self.window_rect(id) else {
            return;
        };
        let step = self.metrics_at(&outer).px(32);
        let (x, y) = match direction {
            Direction::Up => (0, -step),
            Direction::Down => (0, step),
            Direction::Left => (-step, 0),
            Direction::Right => (step, 0),
        };
        self.place(id, outer.moved_by(x, y), Arrangement::Floating);
    }

    /// Gives a zone the keyboard and brings its window to the front: a person asked for it.
    fn activate(&mut self, id: ZoneId) {
        self.raise(id);
        self.set_focus(Some(id));
        self.refresh_pointer();
    }

    pub(super) fn set_focus(&mut self, focus: Option<ZoneId>) {
        if self.focus == focus {
            return;
        }
        self.break_grabs();
        self.release_held();
        if let Some(old) = self.focus.take() {
            self.send(old, ZoneInput::Focus(false));
            self.damage_frame(old);
        }
        self.focus = focus;
        self.actions.push(Action::FocusChanged(focus));
        if let Some(new) = focus {
            self.damage_frame(new);
            self.greet_focused();
        }
        self.damage_panels();
    }

    /// Tells the focused zone that it has the keyboard, and which modifiers are down.
    pub(super) fn greet_focused(&mut self) {
        let Some(focus) = self
            .focus
            .filter(|focus| self.zone(*focus).is_some_and(|zone| zone.state.is_live()))
        else {
            return;
        };
        self.send(focus, ZoneInput::Focus(true));
        let modifiers: Vec<u16> = self.input.modifiers.iter().copied().collect();
        for code in modifiers {
            if keys::may_reach_zones(code) && self.input.held.insert(code) {
                self.send(
                    focus,
                    ZoneInput::Key {
                        code,
                        pressed: true,
                    },
                );
            }
        }
    }

    /// Releases in the focused zone what it believes held.
    fn release_held(&mut self) {
        for code in std::mem::take(&mut self.input.held) {
            if let Some(focus) = self.focus {
                self.send(
                    focus,
                    ZoneInput::Key {
                        code,
                        pressed: false,
                    },
                );
            }
        }
    }

    /// Forgets what a zone held that cannot be told any more.
    pub(super) fn forget_held(&mut self) {
        self.input.held.clear();
    }

    pub(super) fn forget_grabs_of(&mut self, id: ZoneId) {
        if self.input.grab.zone() == Some(id) {
            self.input.grab = Grab::None;
            self.input.buttons.clear();
        }
        if self.input.resize_due.is_some_and(|(zone, _)| zone == id) {
            self.input.resize_due = None;
        }
    }

    /// Ends whatever the pressed buttons do, wherever the pointer is.
    fn break_grabs(&mut self) {
        if let Grab::Zone(zone) = self.input.grab {
            for button in std::mem::take(&mut self.input.buttons) {
                self.send(
                    zone,
                    ZoneInput::Button {
                        button,
                        pressed: false,
                    },
                );
            }
        }
        self.input.grab = Grab::None;
    }

    fn end_grab(&mut self, now: Duration) {
        let resized = matches!(self.input.grab, Grab::Resize { .. } | Grab::Move { .. });
        let zone = self.input.grab.zone();
        self.break_grabs();
        if let Some(zone) = zone.filter(|_| resized) {
            self.input.resize_due = Some((zone, now));
        }
    }

    fn pointer_to(&mut self, at: Point, now: Duration) {
        let at = self.on_screen(at);
        self.input.pointer = Some(at);
        match self.input.grab {
            Grab::None => {
                if let Some((zone, Part::Client)) = self.hit(at)
                    && self.focus == Some(zone)
                {
                    self.send_motion(zone, at);
                }
            }
            Grab::Zone(zone) => self.send_motion(zone, at),
            Grab::Press { .. } => {}
            Grab::Move {
                zone,
                pointer,
                outer,
            } => self.drag(zone, pointer, outer, at),
            Grab::Resize {
                zone,
                edges,
                pointer,
                outer,
            } => {
                let by = Point {
                    x: at.x - pointer.x,
                    y: at.y - pointer.y,
                };
                let rect = self.resized(outer, edges, by);
                if self.window_rect(zone) != Some(rect) {
                    self.place(zone, rect, Arrangement::Floating);
                    let pace = self
                        .input
                        .last_resize
                        .map_or(now, |last| last + RESIZE_PACE);
                    self.input.resize_due.get_or_insert((zone, pace));
                }
            }
        }
        self.refresh_pointer();
    }

    fn drag(&mut self, zone: ZoneId, pointer: Point, outer: Rect, at: Point) {
        let (x, y) = (at.x - pointer.x, at.y - pointer.y);
        let Some((arrangement, floating)) = self
            .zone(zone)
            .map(|zone| (zone.window.arrangement, zone.window.floating))
        else {
            return;
        };
        if arrangement == Arrangement::Floating {
            self.place(zone, outer.moved_by(x, y), Arrangement::Floating);
            return;
        }
        // A window that fills part of the screen comes loose only when pulled on purpose. It keeps its floating size,
        // and the pointer stays at the same fraction of its width.
        if x.abs().max(y.abs()) < self.metrics_at(&outer).px(12) {
            return;
        }
        let along = i64::from(pointer.x - outer.left()) * i64::from(floating.width())
            / i64::from(outer.width().max(1));
        let left = pointer.x - i32::try_from(along).unwrap_or(0);
        let loose = Rect::new(left, outer.top(), floating.width(), floating.height());
        self.place(zone, loose.moved_by(x, y), Arrangement::Floating);
        self.input.grab = Grab::Move {
            zone,
            pointer,
            outer: loose,
        };
        self.request_size(zone);
    }

    /// The window part under a point, unless the panel is there.
    fn hit(&self, at: Point) -> Option<(ZoneId, Part)> {
        let on_panel = self
            .outputs
            .iter()
            .any(|output| output.panel(&self.settings).contains(at));
        if on_panel { None } else { self.part_at(at) }
    }

    fn press(&mut self, button: u16, now: Duration) {
        let Some(at) = self.input.pointer else { return };
        match self.input.grab {
            Grab::None => {}
            Grab::Zone(zone) => {
                if keys::is_button(button) && self.input.buttons.insert(button) {
                    self.send(
                        zone,
                        ZoneInput::Button {
                            button,
                            pressed: true,
                        },
                    );
                }
                return;
            }
            _ => return,
        }
        let left = button == keys::BUTTON_LEFT;
        if let Some(id) = self.chip_at(at).filter(|_| left) {
            let shown = self.zone(id).is_some_and(|zone| !zone.window.minimised);
            if self.focus == Some(id) && shown {
                self.minimise(id);
            } else {
                self.activate(id);
            }
            self.refresh_pointer();
            return;
        }
        let Some((id, part)) = self.hit(at) else {
            return;
        };
        self.activate(id);
        let Some(outer) = self.window_rect(id) else {
            return;
        };
        let by_host_key = left && !self.input.host.is_empty();
        self.input.grab = match part {
            _ if by_host_key => Grab::Move {
                zone: id,
                pointer: at,
                outer,
            },
            Part::Client => {
                let live = self.zone(id).is_some_and(|zone| zone.state.is_live());
                if !live || !keys::is_button(button) {
                    return;
                }
                self.send_motion(id, at);
                self.input.buttons.insert(button);
                self.send(
                    id,
                    ZoneInput::Button {
                        button,
                        pressed: true,
                    },
                );
                Grab::Zone(id)
            }
            _ if !left => Grab::None,
            Part::Title => {
                let last = self.input.last_title_press.replace((id, now));
                if last.is_some_and(|(zone, then)| {
                    zone == id && now.saturating_sub(then) < DOUBLE_CLICK
                }) {
                    self.input.last_title_press = None;
                    self.toggle_maximised(id);
                    Grab::None
                } else {
                    Grab::Move {
                        zone: id,
                        pointer: at,
                        outer,
                    }
                }
            }
            Part::Ring(edges) => Grab::Resize {
                zone: id,
                edges,
                pointer: at,
                outer,
            },
            Part::Minimise | Part::Maximise => Grab::Press { zone: id, part },
        };
        self.refresh_pointer();
    }

    fn release(&mut self, button: u16, now: Duration) {
        match self.input.grab {
            Grab::Zone(zone) => {
                if self.input.buttons.remove(&button) {
                    self.send(
                        zone,
                        ZoneInput::Button {
                            button,
                            pressed: false,
                        },
                    );
                }
                if self.input.buttons.is_empty() {
                    self.input.grab = Grab::None;
                }
            }
            _ if button != keys::BUTTON_LEFT => return,
            Grab::Press { zone, part } => {
                self.input.grab = Grab::None;
                if self.input.pointer.and_then(|at| self.hit(at)) == Some((zone, part)) {
                    match part {
                        Part::Minimise => self.minimise(zone),
                        _ => self.toggle_maximised(zone),
                    }
                }
            }
            Grab::Move { zone, .. } => {
                self.end_grab(now);
                self.snap(zone);
            }
            _ => self.end_grab(now),
        }
        self.refresh_pointer();
    }

    /// A window dropped with the pointer at an edge of the output fills that side, or at the panel all of it.
    fn snap(&mut self, id: ZoneId) {
        let Some(at) = self.input.pointer else { return };
        let floating = self
            .zone(id)
            .is_some_and(|zone| zone.window.arrangement == Arrangement::Floating);
        let Some(output) = self
            .outputs
            .iter()
            .find(|output| output.area.contains(at))
            .filter(|_| floating)
        else {
            return;
        };
        let work = output.work(&self.settings);
        let arrangement = if at.y < work.top() {
            Arrangement::Maximised
        } else if at.x <= work.left() {
            Arrangement::Left
        } else if at.x >= work.right() - 1 {
            Arrangement::Right
        } else {
            return;
        };
        self.arrange(id, arrangement);
    }

    fn wheel(&mut self, vertical: i32, horizontal: i32) {
        let Some(at) = self.input.pointer else { return };
        let Some(focus) = self.focus else { return };
        let over = self.hit(at) == Some((focus, Part::Client)) && self.input.grab == Grab::None;
        if over || self.input.grab == Grab::Zone(focus) {
            let bound = |turn: i32| turn.clamp(-WHEEL_LIMIT, WHEEL_LIMIT);
            self.send(
                focus,
                ZoneInput::Wheel {
                    vertical: bound(vertical),
                    horizontal: bound(horizontal),
                },
            );
        }
    }

    /// Tells a zone where the pointer is on its surface; outside of it, the nearest pixel.
    fn send_motion(&mut self, id: ZoneId, at: Point) {
        let Some(client) = self.client_rect(id) else {
            return;
        };
        let size = self
            .zone(id)
            .and_then(|zone| zone.surface.as_ref())
            .map_or(client.size(), |surface| surface.size);
        let within = |value: i32, side: u32| {
            u32::try_from(value)
                .unwrap_or(0)
                .min(side.saturating_sub(1))
        };
        let x = within(
            (at.x - client.left()).min(signed(client.width()) - 1),
            size.width,
        );
        let y = within(
            (at.y - client.top()).min(signed(client.height()) - 1),
            size.height,
        );
        self.send(id, ZoneInput::Motion { x, y });
    }

    /// Asks for the size a drag led to, when its time has come.
    pub(super) fn settle_resize(&mut self, now: Duration) {
        if let Some((zone, due)) = self.input.resize_due
            && due <= now
        {
            self.input.resize_due = None;
            self.input.last_resize = Some(now);
            self.request_size(zone);
        }
    }

    /// Brings hover marks and the pointer's image in line with what is under it now.
    pub(super) fn refresh_pointer(&mut self) {
        let at = self.input.pointer;
        let free = self.input.grab == Grab::None;
        let hit = at.filter(|_| free).and_then(|at| self.hit(at));
        let chip = at.filter(|_| free).and_then(|at| self.chip_at(at));
        let hovered = hit.filter(|(_, part)| matches!(part, Part::Minimise | Part::Maximise));
        let before = std::mem::replace(&mut self.input.hovered, hovered);
        if before != hovered {
            for (zone, _) in [before, hovered].into_iter().flatten() {
                self.damage_frame(zone);
            }
        }
        if std::mem::replace(&mut self.input.hovered_chip, chip) != chip {
            self.damage_panels();
        }
        let shown = at.map(|at| {
            let pointer = self.pointer_look(hit);
            let area = match &pointer {
                Pointer::Host(cursor) => {
                    cursor.area(at, &self.metrics_at(&Rect::new(at.x, at.y, 1, 1)))
                }
                Pointer::Zone(_, ZoneCursor::Hidden) => Rect::EMPTY,
                Pointer::Zone(_, ZoneCursor::Image(image)) => image.area(at),
            };
            (pointer, at, area)
        });
        if self.input.shown != shown {
            let before = std::mem::replace(&mut self.input.shown, shown.clone());
            for (_, _, area) in [before, shown].into_iter().flatten() {
                self.damage_rect(area);
            }
        }
    }

    fn pointer_look(&self, hit: Option<(ZoneId, Part)>) -> Pointer {
        let over_client = |zone: ZoneId| {
            let image = self
                .zone(zone)
                .filter(|zone| zone.shows_pixels())
                .and_then(|zone| zone.cursor.clone());
            match image.filter(|_| self.focus == Some(zone)) {
                Some(cursor) => Pointer::Zone(zone, cursor),
                None => Pointer::Host(HostCursor::Arrow),
            }
        };
        match (self.input.grab, hit) {
            (Grab::Zone(zone), _) => over_client(zone),
            (Grab::Move { .. }, _) => Pointer::Host(HostCursor::Move),
            (Grab::Resize { edges, .. }, _) | (Grab::None, Some((_, Part::Ring(edges)))) => {
                Pointer::Host(HostCursor::Resize(edges))
            }
            (Grab::None, Some((zone, Part::Client))) => over_client(zone),
            _ => Pointer::Host(HostCursor::Arrow),
        }
    }

    /// Paints the pointer where `stale` pixels lie under it.
    pub(super) fn paint_pointer(
        &self,
        canvas: &mut Canvas<'_>,
        masks: &mut Masks,
        stale: &Region,
        metrics: &Metrics,
        (x, y): (i32, i32),
    ) {
        let Some((pointer, at, area)) = &self.input.shown else {
            return;
        };
        let stale = stale.clipped(area);
        let local = Point {
            x: at.x - x,
            y: at.y - y,
        };
        match pointer {
            Pointer::Host(cursor) => {
                for rect in stale.rects() {
                    canvas.set_clip(rect.moved_by(-x, -y));
                    cursor.paint(canvas, masks, local, metrics);
                }
            }
            Pointer::Zone(_, ZoneCursor::Hidden) => {}
            Pointer::Zone(zone, ZoneCursor::Image(image)) => {
                // A zone's image never leaves its own pixels.
                let client = self.visible_client(*zone);
                for rect in stale.rects() {
                    for part in client.clipped(rect).rects() {
                        canvas.set_clip(part.moved_by(-x, -y));
                        image.paint(canvas, local);
                    }
                }
            }
        }
    }
}
