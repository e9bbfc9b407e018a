//! Rectangles, and the bounded lists of them that say what changed.
//!
//! Invariants: a [`Damage`] never holds more than [`DAMAGE_MAX`] rectangles nor an empty one, and covers every
//! rectangle that was ever added since it was last taken.

/// Rectangles that one frame may report.
pub const DAMAGE_MAX: usize = 16;

/// Pixels that a merge may add without being held against it; about the cost of one more rectangle.
const SLACK: u64 = 2048;

/// A rectangle of pixels; empty if it has no width or no height.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// A rectangle at the origin.
    pub fn of_size(width: u32, height: u32) -> Self {
        Self {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    /// Whether no pixel is inside.
    pub fn is_empty(&self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// The column after the last; saturates.
    pub fn right(&self) -> u32 {
        self.x.saturating_add(self.width)
    }

    /// The row after the last; saturates.
    pub fn bottom(&self) -> u32 {
        self.y.saturating_add(self.height)
    }

    /// Whether the rectangle lies inside a `width` x `height` image. Edges past 2^32 do not.
    pub fn fits(&self, width: u32, height: u32) -> bool {
        let right = self.x.checked_add(self.width);
        let bottom = self.y.checked_add(self.height);
        right.is_some_and(|right| right <= width) && bottom.is_some_and(|bottom| bottom <= height)
    }

    /// The common part; empty if there is none.
    pub fn intersect(&self, other: &Self) -> Self {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        Self {
            x,
            y,
            width: self.right().min(other.right()).saturating_sub(x),
            height: self.bottom().min(other.bottom()).saturating_sub(y),
        }
    }

    /// The smallest rectangle around both.
    pub fn union(&self, other: &Self) -> Self {
        let x = self.x.min(other.x);
        let y = self.y.min(other.y);
        Self {
            x,
            y,
            width: self.right().max(other.right()).saturating_sub(x),
            height: self.bottom().max(other.bottom()).saturating_sub(y),
        }
    }

    /// The same rectangle seen from another origin: moved by `to` less `from`, cut at zero.
    pub(super) fn moved(&self, from: (u32, u32), to: (u32, u32)) -> Self {
        let shift = |low: u32, high: u32, from: u32, to: u32| {
            let low = low.saturating_add(to).saturating_sub(from);
            let high = high.saturating_add(to).saturating_sub(from);
            (low, high.saturating_sub(low))
        };
        let (x, width) = shift(self.x, self.right(), from.0, to.0);
        let (y, height) = shift(self.y, self.bottom(), from.1, to.1);
        Self {
            x,
            y,
            width,
            height,
        }
    }

    fn area(&self) -> u64 {
        u64::from(self.width).saturating_mul(u64::from(self.height))
    }

    /// Pixels that the union with `other` has beyond the two.
    fn waste(&self, other: &Self) -> u64 {
        self.union(other)
            .area()
            .saturating_sub(self.area())
            .saturating_sub(other.area())
    }
}

/// What changed, in at most [`DAMAGE_MAX`] rectangles.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    rects: Vec<Rect>,
}

impl Damage {
    /// The rectangles; they may overlap.
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.rects.clear();
    }

    /// Adds a rectangle, merging where that costs few pixels or where the list is full.
    pub fn add(&mut self, rect: Rect) {
        if rect.is_empty() {
            return;
        }
        let cheapest = self
            .rects
            .iter_mut()
            .map(|other| (other.waste(&rect), other))
            .min_by_key(|(waste, _)| *waste);
        if let Some((waste, other)) = cheapest
            && waste <= SLACK
        {
            *other = other.union(&rect);
            return;
        }
        self.rects.push(rect);
        if self.rects.len() > DAMAGE_MAX {
            self.merge_cheapest_pair();
        }
    }

    /// Adds all of another list.
    pub fn add_all(&mut self, other: &Self) {
        for rect in &other.rects {
            self.add(*rect);
        }
    }

    fn merge_cheapest_pair(&mut self) {
        let mut best = None;
        for (i, first) in self.rects.iter().enumerate() {
            for (j, second) in self.rects.iter().enumerate().skip(i.saturating_add(1)) {
                let waste = first.waste(second);
                if best.is_none_or(|(least, _, _, _)| waste < least) {
                    best = Some((waste, i, j, first.union(second)));
                }
            }
        }
        if let Some((_, i, j, union)) = best {
            self.rects.swap_remove(j);
            if let Some(first) = self.rects.get_mut(i) {
                *first = union;
            }
        }
    }
}
