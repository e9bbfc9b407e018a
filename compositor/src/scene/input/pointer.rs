//! The pointer: what its buttons and motion do to pages, panel, frames and zones, and how it looks.

use std::time::Duration;

use super::super::{Arrangement, FocusBy, Scene};
use super::{DOUBLE_CLICK, Grab, Pointer, RESIZE_PACE, WHEEL_LIMIT};
use crate::canvas::Canvas;
use crate::cursor::{HostCursor, ZoneCursor};
use crate::frame::Part;
use crate::geometry::{Point, Rect, Region, signed};
use crate::icons::Masks;
use crate::input::ZoneInput;
use crate::keys;
use crate::theme::Metrics;
use crate::zone::ZoneId;

impl Scene {
    pub(in crate::scene) fn forget_grabs_of(&mut self, id: ZoneId) {
        if self.input.grab.zone() == Some(id) {
            self.input.grab = Grab::None;
            self.input.buttons.clear();
        }
        if self.input.resize_due.is_some_and(|(zone, _)| zone == id) {
            self.input.resize_due = None;
        }
    }

    /// Ends whatever the pressed buttons do, wherever the pointer is.
    pub(in crate::scene) fn break_grabs(&mut self) {
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

    pub(in crate::scene) fn end_grab(&mut self, now: Duration) {
        let resized = matches!(self.input.grab, Grab::Resize { .. } | Grab::Move { .. });
        let zone = self.input.grab.zone();
        self.break_grabs();
        if let Some(zone) = zone.filter(|_| resized) {
            self.input.resize_due = Some((zone, now));
        }
    }

    pub(in crate::scene) fn pointer_to(&mut self, at: Point, now: Duration) {
        let Some(at) = self.on_screen(at) else {
            return;
        };
        self.input.pointer = Some(at);
        if self.trusted.page().is_some() {
            self.page_pointer();
            return self.refresh_pointer();
        }
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

    /// The window part under a point, unless the panel is there or a page is up.
    fn hit(&self, at: Point) -> Option<(ZoneId, Part)> {
        if self.trusted.page().is_some() {
            return None;
        }
        let on_panel = self
            .outputs
            .iter()
            .any(|output| output.panel(&self.settings).contains(at));
        if on_panel { None } else { self.part_at(at) }
    }

    pub(in crate::scene) fn press(&mut self, button: u16, now: Duration) {
        let Some(at) = self.input.pointer else { return };
        if self.trusted.page().is_some() {
            return self.page_press(button, at);
        }
        match self.input.grab {
            Grab::None => {}
            Grab::Zone(zone) => {
                if keys::is_button(button) && self.input.buttons.insert(button) {
                    self.send_withheld();
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
        let by_click = self.settings.focus_by != FocusBy::Chord;
        if let Some(workspace) = self.workspace_mark_at(at).filter(|_| left) {
            self.show_workspace(workspace);
            return;
        }
        if let Some(page) = self.sign_at(at).filter(|_| left) {
            return self.open_page(page);
        }
        if let Some(id) = self.chip_at(at).filter(|_| left && by_click) {
            let shown = self.zone(id).is_some_and(|zone| self.shows(zone));
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
        if by_click {
            self.activate(id);
        } else if part == Part::Client && self.focus != Some(id) {
            return;
        }
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
                self.send_withheld();
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

    pub(in crate::scene) fn release(&mut self, button: u16, now: Duration) {
        if self.trusted.page().is_some() {
            return self.page_release(button);
        }
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

    pub(in crate::scene) fn wheel(&mut self, vertical: i32, horizontal: i32) {
        let Some(at) = self.input.pointer else { return };
        if self.trusted.page().is_some() {
            return self.page_wheel(vertical, horizontal);
        }
        let Some(focus) = self.focus else { return };
        let over = self.hit(at) == Some((focus, Part::Client)) && self.input.grab == Grab::None;
        if over || self.input.grab == Grab::Zone(focus) {
            self.send_withheld();
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
    pub(in crate::scene) fn settle_resize(&mut self, now: Duration) {
        if let Some((zone, due)) = self.input.resize_due
            && due <= now
        {
            self.input.resize_due = None;
            self.input.last_resize = Some(now);
            self.request_size(zone);
        }
    }

    /// After outputs came or went the pointer is on one of them, or nowhere.
    pub(in crate::scene) fn keep_pointer_on_screen(&mut self) {
        self.input.pointer = self.input.pointer.and_then(|at| self.on_screen(at));
        if self.input.pointer.is_none() {
            self.break_grabs();
        }
    }

    /// Brings hover marks and the pointer's image in line with what is under it now.
    pub(in crate::scene) fn refresh_pointer(&mut self) {
        let at = self.input.pointer;
        let free = self.input.grab == Grab::None;
        let hit = at.filter(|_| free).and_then(|at| self.hit(at));
        let chip = at
            .filter(|_| free && self.trusted.page().is_none())
            .and_then(|at| self.chip_at(at));
        let hovered = hit.filter(|(_, part)| matches!(part, Part::Minimise | Part::Maximise));
        let before = std::mem::replace(&mut self.input.hovered, hovered);
        if before != hovered {
            for (zone, _) in [before, hovered].into_iter().flatten() {
                self.damage_frame(zone);
            }
        }
        let control = at.and_then(|at| self.hovered_control(at));
        if std::mem::replace(&mut self.input.hovered_control, control) != control {
            self.damage_page();
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
    pub(in crate::scene) fn paint_pointer(
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
