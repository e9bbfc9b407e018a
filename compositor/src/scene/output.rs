//! Outputs, and which of their pixels are stale.

use std::collections::VecDeque;

use super::{Scene, Settings};
use crate::frame::Frame;
use crate::geometry::{Point, Rect, Region, Scale};
use crate::theme::Metrics;
use crate::zone::ZoneId;

/// An output (a screen, or the host's window), as the presenter numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputId(pub u32);

/// Damage of so many frames is remembered; a buffer older than that is painted anew.
const HISTORY: usize = 4;

pub(super) struct Output {
    pub(super) id: OutputId,
    /// On the desktop.
    pub(super) area: Rect,
    pub(super) scale: Scale,
    /// What changed since the last frame, in desktop pixels.
    pub(super) pending: Region,
    /// What the last frames changed, newest first, in desktop pixels.
    history: VecDeque<Region>,
    /// What the last frame changed, in the output's own pixels: the answer of `render`.
    pub(super) presented: Vec<Rect>,
}

impl Output {
    pub(super) fn new(id: OutputId, area: Rect, scale: Scale) -> Self {
        Self {
            id,
            area,
            scale,
            pending: Region::of(area),
            history: VecDeque::new(),
            presented: Vec::new(),
        }
    }

    pub(super) fn metrics(&self, settings: &Settings) -> Metrics {
        Metrics::new(self.scale, settings.large_text)
    }

    pub(super) fn panel(&self, settings: &Settings) -> Rect {
        let height = self.metrics(settings).panel.unsigned_abs();
        Rect::new(self.area.left(), self.area.top(), self.area.width(), height)
            .intersection(&self.area)
    }

    /// Where windows go: everything below the panel.
    pub(super) fn work(&self, settings: &Settings) -> Rect {
        self.area.inset_edges(0, self.metrics(settings).panel, 0, 0)
    }

    /// Closes the frame: what is stale in a buffer last painted `age` frames ago (0: never), in desktop pixels.
    pub(super) fn close_frame(&mut self, age: u8) -> Region {
        let pending = std::mem::take(&mut self.pending);
        let mut stale = pending.clone();
        match usize::from(age).checked_sub(1) {
            Some(missed) if missed <= self.history.len() => {
                for older in self.history.iter().take(missed) {
                    stale.add_region(older);
                }
            }
            _ => stale = Region::of(self.area),
        }
        let (x, y) = (self.area.left(), self.area.top());
        self.presented = pending
            .rects()
            .iter()
            .map(|rect| rect.moved_by(-x, -y))
            .collect();
        self.history.push_front(pending);
        self.history.truncate(HISTORY);
        stale
    }

    fn damage_all(&mut self) {
        self.pending = Region::of(self.area);
    }
}

impl Scene {
    /// Adds an output, or changes one that is there: its place on the desktop and its scale. Others that it would cover
    /// move to the right, so that no two outputs share a pixel of the desktop.
    pub fn set_output(&mut self, id: OutputId, area: Rect, scale: Scale) {
        match self.outputs.iter_mut().find(|output| output.id == id) {
            Some(output) if output.area == area && output.scale == scale => return,
            Some(output) => *output = Output::new(id, area, scale),
            None => self.outputs.push(Output::new(id, area, scale)),
        }
        self.separate_outputs(id);
        self.reflow();
    }

    fn separate_outputs(&mut self, keep: OutputId) {
        let mut taken: Vec<Rect> = Vec::new();
        // The one just set stays where it was set; the others give way in order from the left.
        self.outputs
            .sort_by_key(|output| (output.id != keep, output.area.left(), output.id));
        for output in &mut self.outputs {
            if taken.iter().any(|area| area.intersects(&output.area)) {
                let right = taken.iter().map(Rect::right).max().unwrap_or(0);
                // Its history is told in desktop pixels that are its own no longer.
                let area = output.area.moved_by(right - output.area.left(), 0);
                *output = Output::new(output.id, area, output.scale);
            }
            taken.push(output.area);
        }
        self.outputs.sort_by_key(|output| output.id);
    }

    /// Where an output is on the desktop.
    pub fn output_area(&self, id: OutputId) -> Option<Rect> {
        self.outputs
            .iter()
            .find(|output| output.id == id)
            .map(|output| output.area)
    }

    /// Takes an output away; its windows go to one that is left.
    pub fn remove_output(&mut self, id: OutputId) {
        self.outputs.retain(|output| output.id != id);
        self.reflow();
    }

    /// Whether an output shows something that is out of date.
    pub fn needs_render(&self, id: OutputId) -> bool {
        self.outputs
            .iter()
            .any(|output| output.id == id && !output.pending.is_empty())
    }

    /// Declares every pixel stale: for a presenter that lost its buffers.
    pub fn damage_all(&mut self) {
        self.outputs.iter_mut().for_each(Output::damage_all);
    }

    /// The output most of a window is on: that of its middle, or the nearest.
    pub(super) fn home(&self, rect: &Rect) -> Option<&Output> {
        self.outputs
            .iter()
            .min_by_key(|output| distance(&output.area, rect.centre()))
    }

    pub(super) fn metrics_at(&self, rect: &Rect) -> Metrics {
        let scale = self.home(rect).map_or(Scale::ONE, |output| output.scale);
        Metrics::new(scale, self.settings.large_text)
    }

    /// The point of any output that is nearest to `at`; none where there is no output.
    pub(super) fn on_screen(&self, at: Point) -> Option<Point> {
        let output = self
            .outputs
            .iter()
            .min_by_key(|output| distance(&output.area, at))?;
        Some(Point {
            x: at.x.min(output.area.right() - 1).max(output.area.left()),
            y: at.y.min(output.area.bottom() - 1).max(output.area.top()),
        })
    }

    pub(super) fn damage_rect(&mut self, rect: Rect) {
        for output in &mut self.outputs {
            output.pending.add(rect.intersection(&output.area));
        }
    }

    pub(super) fn damage_panels(&mut self) {
        if self.is_locked() {
            return;
        }
        for output in &mut self.outputs {
            let panel = output.panel(&self.settings);
            output.pending.add(panel);
        }
        // What the panel says of zones a page may say too.
        if self.is_dimmed() {
            self.damage_page();
        }
    }

    /// Declares the visible pixels of a window stale.
    pub(super) fn damage_window(&mut self, id: ZoneId) {
        self.damage_part(id, |frame| vec![frame.outer]);
    }

    /// Declares the visible pixels of a window's frame stale.
    pub(super) fn damage_frame(&mut self, id: ZoneId) {
        self.damage_part(id, |frame| {
            let mut ring = Region::of(frame.outer);
            ring.subtract(&frame.client);
            ring.rects().to_vec()
        });
    }

    /// Declares the visible pixels of a window's client area stale.
    pub(super) fn damage_client(&mut self, id: ZoneId) {
        self.damage_part(id, |frame| vec![frame.client]);
    }

    fn damage_part(&mut self, id: ZoneId, rects: impl Fn(&Frame) -> Vec<Rect>) {
        if self.is_locked() || self.zone(id).is_none_or(|zone| !self.shows(zone)) {
            return;
        }
        let Some(frame) = self.frame_of(id) else {
            return;
        };
        let mut region = Region::default();
        rects(&frame).into_iter().for_each(|rect| region.add(rect));
        self.subtract_covered(&mut region, id);
        for rect in region.rects().to_vec() {
            self.damage_rect(rect);
        }
    }

    /// Takes out of a window's region what panels and windows above it cover.
    pub(super) fn subtract_covered(&self, region: &mut Region, id: ZoneId) {
        for output in &self.outputs {
            region.subtract(&output.panel(&self.settings));
        }
        for zone in self.visible().take_while(|zone| zone.identity.id != id) {
            region.subtract(&zone.window.outer);
        }
    }
}

/// How far a point is from a rectangle; zero inside.
fn distance(rect: &Rect, at: Point) -> i64 {
    let beyond =
        |value: i32, low: i32, high: i32| i64::from((low - value).max(value - (high - 1)).max(0));
    beyond(at.x, rect.left(), rect.right()) + beyond(at.y, rect.top(), rect.bottom())
}
