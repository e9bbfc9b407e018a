//! Copies pixels from guest memory to the surface and keeps account of what changed.

use super::rect::{Damage, Rect};
use super::resource::Resource;
use super::surface::{PIXEL, SharedSurface};
use crate::GuestMemory;

pub(super) struct Painter {
    surface: SharedSurface,
    /// Changed since the last frame was reported.
    damage: Damage,
    /// Changed since the shown resource was put on the surface.
    unseen: Damage,
    row: Vec<u8>,
    old: Vec<u8>,
}

impl Painter {
    pub(super) fn new(surface: SharedSurface) -> Self {
        Self {
            surface,
            damage: Damage::default(),
            unseen: Damage::default(),
            row: Vec::new(),
            old: Vec::new(),
        }
    }

    pub(super) fn bounds(&self) -> Rect {
        self.surface.bounds()
    }

    pub(super) fn take_damage(&mut self) -> Damage {
        std::mem::take(&mut self.damage)
    }

    pub(super) fn take_unseen(&mut self) -> Damage {
        std::mem::take(&mut self.unseen)
    }

    pub(super) fn damage_all(&mut self) {
        self.damage.add(self.bounds());
    }

    /// Copies what of `region` lies in `part`, the shown part of the resource, to where the surface shows it.
    ///
    /// A row that the backing does not reach is black. A transfer has checked that they are there; a flip shows what is.
    pub(super) fn paint(
        &mut self,
        memory: &GuestMemory,
        resource: &Resource,
        part: Rect,
        region: Rect,
    ) {
        let target = region
            .intersect(&part)
            .moved((part.x, part.y), (0, 0))
            .intersect(&self.bounds());
        if target.is_empty() {
            return;
        }
        let source = target.moved((0, 0), (part.x, part.y));
        self.row.resize(target.width as usize * PIXEL, 0);
        for line in 0..target.height {
            let y = source.y.saturating_add(line);
            if !resource.read_row(memory, source.x, y, &mut self.row) {
                self.row.fill(0);
            }
            resource.format.convert_row(&mut self.row);
            self.put_row(target.x, target.y.saturating_add(line));
        }
    }

    /// Makes everything outside `kept` black.
    pub(super) fn blacken(&mut self, kept: Rect) {
        let bounds = self.bounds();
        let kept = kept.intersect(&bounds);
        if kept == bounds {
            return;
        }
        for y in 0..bounds.height {
            let beside = kept.y <= y && y < kept.bottom();
            let start = if beside { kept.right() } else { 0 };
            let width = bounds.width.saturating_sub(start);
            self.row.clear();
            self.row.resize(width as usize * PIXEL, 0);
            self.put_row(start, y);
        }
    }

    fn put_row(&mut self, x: u32, y: u32) {
        let Self {
            surface,
            damage,
            unseen,
            row,
            old,
        } = self;
        surface.update_row(x, y, row, old, |rect| {
            damage.add(rect);
            unseen.add(rect);
        });
    }
}
