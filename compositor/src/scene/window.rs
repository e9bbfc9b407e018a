//! Windows: where they are, how they are arranged, and what keeps them reachable.
//!
//! Invariant: after every change a window's title bar can be seen and grabbed on some output, below the panel.

use super::{Output, Scene, WORKSPACES};
use crate::chords::Direction;
use crate::frame::{Edges, Frame};
use crate::geometry::{MAXIMUM_SIDE, Point, Rect, Size, signed};
use crate::input::Action;
use crate::theme::Metrics;
use crate::zone::ZoneId;

/// How a window fills the work area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The names say it all.
pub enum Arrangement {
    #[default]
    Floating,
    Maximised,
    Left,
    Right,
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

impl Arrangement {
    /// What a cursor key makes of it; `None`: the window is hidden.
    fn towards(self, direction: Direction) -> Option<Arrangement> {
        use Arrangement::{
            BottomLeft, BottomRight, Floating, Left, Maximised, Right, TopLeft, TopRight,
        };
        Some(match (direction, self) {
            (Direction::Left, TopRight) => TopLeft,
            (Direction::Left, BottomRight) => BottomLeft,
            (Direction::Left, _) => Left,
            (Direction::Right, TopLeft) => TopRight,
            (Direction::Right, BottomLeft) => BottomRight,
            (Direction::Right, _) => Right,
            (Direction::Up, Left) => TopLeft,
            (Direction::Up, Right) => TopRight,
            (Direction::Up, BottomLeft) => Left,
            (Direction::Up, BottomRight) => Right,
            (Direction::Up, _) => Maximised,
            (Direction::Down, Left) => BottomLeft,
            (Direction::Down, Right) => BottomRight,
            (Direction::Down, TopLeft) => Left,
            (Direction::Down, TopRight) => Right,
            (Direction::Down, Floating) => return None,
            (Direction::Down, _) => Floating,
        })
    }

    /// The part of the work area it fills.
    fn within(self, work: Rect) -> Option<Rect> {
        let middle = work.centre();
        let (left, top, right, bottom) = (work.left(), work.top(), work.right(), work.bottom());
        Some(match self {
            Arrangement::Floating => return None,
            Arrangement::Maximised => work,
            Arrangement::Left => Rect::from_edges(left, top, middle.x, bottom),
            Arrangement::Right => Rect::from_edges(middle.x, top, right, bottom),
            Arrangement::TopLeft => Rect::from_edges(left, top, middle.x, middle.y),
            Arrangement::TopRight => Rect::from_edges(middle.x, top, right, middle.y),
            Arrangement::BottomLeft => Rect::from_edges(left, middle.y, middle.x, bottom),
            Arrangement::BottomRight => Rect::from_edges(middle.x, middle.y, right, bottom),
        })
    }
}

/// Where a window is, to be remembered and given back to [`Scene::add_zone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The window while it floats, frame included.
    pub floating: Rect,
    /// How it fills the work area.
    pub arrangement: Arrangement,
    /// Whether it is hidden.
    pub minimised: bool,
    /// The workspace it is on, counted from 0.
    pub workspace: usize,
}

pub(super) struct Window {
    /// Frame included.
    pub(super) outer: Rect,
    /// Where it goes when it floats again.
    pub(super) floating: Rect,
    pub(super) arrangement: Arrangement,
    pub(super) minimised: bool,
    pub(super) workspace: usize,
    /// The size last asked of the zone.
    pub(super) asked: Option<Size>,
}

/// The smallest window: its frame complete, and something of the zone's name to read.
fn minimum(metrics: &Metrics) -> Size {
    let width = metrics.px(180).unsigned_abs();
    let height = (metrics.title + 2 * metrics.ring + metrics.px(48)).unsigned_abs();
    Size { width, height }
}

impl Scene {
    /// Where a window is now.
    pub fn placement(&self, id: ZoneId) -> Option<Placement> {
        self.zone(id).map(|zone| Placement {
            floating: zone.window.floating,
            arrangement: zone.window.arrangement,
            minimised: zone.window.minimised,
            workspace: zone.window.workspace,
        })
    }

    /// A new window where it was last time, or where it covers least of the others.
    pub(super) fn placed(&self, placement: Option<Placement>) -> Window {
        if let Some(Placement {
            floating,
            arrangement,
            minimised,
            workspace,
        }) = placement
        {
            let floating = self.fitted(floating);
            let outer = self.arranged(arrangement, floating);
            return Window {
                outer,
                floating,
                arrangement,
                minimised,
                workspace: workspace.min(WORKSPACES - 1),
                asked: None,
            };
        }
        let work = self
            .outputs
            .first()
            .map_or(Rect::EMPTY, |output| output.work(&self.settings));
        let step = self.metrics_at(&work).px(36) * i32::try_from(self.zones.len() % 8).unwrap_or(0);
        let size = Size {
            width: work.width() * 3 / 5,
            height: work.height() * 2 / 3,
        };
        let corner = work.inset(self.metrics_at(&work).px(24));
        let floating = self.fitted(Rect::new(
            corner.left() + step,
            corner.top() + step,
            size.width,
            size.height,
        ));
        let covered = |rect: &Rect| -> u64 {
            self.visible()
                .map(|zone| zone.window.outer.intersection(rect).area())
                .sum()
        };
        let halves = [Arrangement::Left, Arrangement::Right];
        let free = halves
            .into_iter()
            .find(|half| half.within(work).is_some_and(|rect| covered(&rect) == 0));
        let arrangement = free.unwrap_or_default();
        Window {
            outer: self.arranged(arrangement, floating),
            floating,
            arrangement,
            minimised: false,
            workspace: self.workspace,
            asked: None,
        }
    }

    /// Moves and sizes a rectangle so that a window there can be reached and its frame is complete.
    pub(super) fn fitted(&self, outer: Rect) -> Rect {
        let metrics = self.metrics_at(&outer);
        let least = minimum(&metrics);
        let Some(output) = self.home(&outer) else {
            // Without any output there is nowhere to move it to, but it still has a size.
            let (width, height) = (
                outer.width().max(least.width),
                outer.height().max(least.height),
            );
            return Rect::new(
                outer.left(),
                outer.top(),
                width.min(MAXIMUM_SIDE),
                height.min(MAXIMUM_SIDE),
            );
        };
        let work = output.work(&self.settings);
        let width = outer.width().min(work.width() * 2).max(least.width);
        let height = outer.height().min(work.height() * 2).max(least.height);
        // As much of the title bar as holds badge and some of the name stays on the output.
        let grip = metrics.px(96);
        let x = outer
            .left()
            .min(work.right() - grip)
            .max(work.left() - signed(width) + grip);
        let y = outer
            .top()
            .min(work.bottom() - metrics.title - metrics.ring)
            .max(work.top());
        Rect::new(x, y, width, height)
    }

    fn arranged(&self, arrangement: Arrangement, floating: Rect) -> Rect {
        let work = self
            .home(&floating)
            .map(|output: &Output| output.work(&self.settings));
        let filled = work.and_then(|work| arrangement.within(work));
        filled.map_or_else(|| self.fitted(floating), |rect| self.fitted(rect))
    }

    /// Puts a window elsewhere, and damages what that shows and hides.
    pub(super) fn place(&mut self, id: ZoneId, outer: Rect, arrangement: Arrangement) {
        let outer = self.fitted(outer);
        self.damage_window(id);
        if let Some(zone) = self.zone_mut(id) {
            zone.window.outer = outer;
            zone.window.arrangement = arrangement;
            if arrangement == Arrangement::Floating {
                zone.window.floating = outer;
            }
        }
        self.damage_window(id);
    }

    pub(super) fn arrange(&mut self, id: ZoneId, arrangement: Arrangement) {
        let Some(zone) = self.zone(id) else { return };
        // A window dragged to another output is arranged there.
        let floating = zone.window.floating;
        let outer = zone.window.outer;
        let place = match self
            .home(&outer)
            .and_then(|output| arrangement.within(output.work(&self.settings)))
        {
            Some(rect) => rect,
            None => floating,
        };
        self.place(id, place, arrangement);
        self.request_size(id);
    }

    pub(super) fn arrange_towards(&mut self, id: ZoneId, direction: Direction) {
        let Some(zone) = self.zone(id) else { return };
        match zone.window.arrangement.towards(direction) {
            Some(arrangement) => self.arrange(id, arrangement),
            None => self.minimise(id),
        }
    }

    pub(super) fn toggle_maximised(&mut self, id: ZoneId) {
        let Some(zone) = self.zone(id) else { return };
        let maximised = zone.window.arrangement == Arrangement::Maximised;
        self.arrange(
            id,
            if maximised {
                Arrangement::Floating
            } else {
                Arrangement::Maximised
            },
        );
    }

    /// Hides a window. If it had the keyboard nobody has it then: keys typed on do not land in whatever lay below.
    pub(super) fn minimise(&mut self, id: ZoneId) {
        self.damage_window(id);
        if let Some(zone) = self.zone_mut(id) {
            zone.window.minimised = true;
        }
        if self.focus == Some(id) {
            self.set_focus(None);
        }
        self.damage_panels();
    }

    /// Shows a window again, on top of all others.
    pub(super) fn raise(&mut self, id: ZoneId) {
        let Some(zone) = self.zone_mut(id) else {
            return;
        };
        let was_hidden = std::mem::replace(&mut zone.window.minimised, false);
        let workspace = zone.window.workspace;
        self.leave_workspace_for(workspace);
        if self.stack.last() != Some(&id) {
            // Only what was covered until now is stale.
            let outer = self.window_rect(id).unwrap_or_default();
            let above: Vec<Rect> = self
                .visible()
                .take_while(|zone| zone.identity.id != id)
                .map(|zone| zone.window.outer)
                .collect();
            self.stack.retain(|held| *held != id);
            self.stack.push(id);
            for rect in above {
                self.damage_rect(rect.intersection(&outer));
            }
        }
        if was_hidden {
            self.damage_window(id);
            self.damage_panels();
        }
    }

    /// The rectangle of a window whose edges are dragged by so much.
    pub(super) fn resized(&self, start: Rect, edges: Edges, by: Point) -> Rect {
        let least = minimum(&self.metrics_at(&start));
        let (width, height) = (signed(least.width), signed(least.height));
        let work = self
            .home(&start)
            .map_or(start, |output| output.work(&self.settings));
        let mut rect = start;
        if edges.left {
            rect = Rect::from_edges(
                (rect.left() + by.x).min(rect.right() - width),
                rect.top(),
                rect.right(),
                rect.bottom(),
            );
        } else if edges.right {
            rect = Rect::from_edges(
                rect.left(),
                rect.top(),
                (rect.right() + by.x).max(rect.left() + width),
                rect.bottom(),
            );
        }
        if edges.top {
            let top = (rect.top() + by.y)
                .max(work.top())
                .min(rect.bottom() - height);
            rect = Rect::from_edges(rect.left(), top, rect.right(), rect.bottom());
        } else if edges.bottom {
            let bottom = (rect.bottom() + by.y).max(rect.top() + height);
            rect = Rect::from_edges(rect.left(), rect.top(), rect.right(), bottom);
        }
        rect
    }

    /// Asks a live zone for a desktop of its client area's size, if it was not asked for that before.
    pub(super) fn request_size(&mut self, id: ZoneId) {
        let Some(size) = self.client_size(id) else {
            return;
        };
        if let Some(zone) = self.zone_mut(id)
            && zone.state.is_live()
            && zone.window.asked != Some(size)
        {
            zone.window.asked = Some(size);
            self.actions.push(Action::ResizeZone(id, size));
        }
    }

    /// Makes a window's client area exactly so large, where the work area has room: for scripts and tests.
    pub fn set_client_rect(&mut self, id: ZoneId, client: Rect) {
        let metrics = self.metrics_at(&client);
        self.place(id, Frame::around(client, &metrics), Arrangement::Floating);
        self.request_size(id);
        self.refresh_pointer();
    }

    /// Brings everything in line with changed outputs or settings.
    pub(super) fn reflow(&mut self) {
        let ids = self.stack.clone();
        for id in ids {
            let Some((floating, arrangement)) = self
                .zone(id)
                .map(|zone| (zone.window.floating, zone.window.arrangement))
            else {
                continue;
            };
            let floating = self.fitted(floating);
            let outer = self.arranged(arrangement, floating);
            if let Some(zone) = self.zone_mut(id) {
                zone.window.floating = floating;
                zone.window.outer = outer;
            }
            self.request_size(id);
        }
        self.keep_pointer_on_screen();
        self.damage_all();
        self.refresh_pointer();
    }
}
