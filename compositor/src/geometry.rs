//! Points, sizes and rectangles in whole physical pixels.
//!
//! Invariant: every [`Rect`] is in normal form (`left <= right`, `top <= bottom`) and every coordinate lies within
//! `±LIMIT`, whatever numbers came in. Arithmetic on them therefore never overflows an `i32`.

/// Coordinates are clamped to this distance from the origin. Sums of four of them fit an `i32` many times over.
pub const LIMIT: i32 = 1 << 20;

/// The largest width or height of a surface or an output.
pub const MAXIMUM_SIDE: u32 = 16_384;

fn clamp(value: i64) -> i32 {
    let limit = i64::from(LIMIT);
    // The clamped value fits, so the fallback is never taken.
    i32::try_from(value.clamp(-limit, limit)).unwrap_or(0)
}

/// A length in pixels as an `i32`, clamped.
pub(crate) fn signed(value: u32) -> i32 {
    clamp(i64::from(value))
}

/// A coordinate as an index; negative ones become zero.
pub(crate) fn index(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// A place on the desktop, in physical pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Point {
    /// Pixels to the right of the origin.
    pub x: i32,
    /// Pixels below the origin.
    pub y: i32,
}

impl Point {
    /// A point, clamped to the coordinate limit.
    pub fn new(x: i32, y: i32) -> Self {
        Self {
            x: clamp(i64::from(x)),
            y: clamp(i64::from(y)),
        }
    }
}

/// A width and a height, in physical pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Size {
    /// A size, clamped to [`MAXIMUM_SIDE`].
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width: width.min(MAXIMUM_SIDE),
            height: height.min(MAXIMUM_SIDE),
        }
    }

    /// Whether it holds no pixel.
    pub fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }
}

/// A rectangle of pixels, half open: `right` and `bottom` are the first column and row outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Rect {
    /// The rectangle that holds nothing.
    pub const EMPTY: Rect = Rect {
        left: 0,
        top: 0,
        right: 0,
        bottom: 0,
    };

    /// A rectangle by its corner and its size; clamped, never inverted.
    pub fn new(x: i32, y: i32, width: u32, height: u32) -> Self {
        let right = i64::from(x) + i64::from(width);
        let bottom = i64::from(y) + i64::from(height);
        Self {
            left: clamp(i64::from(x)),
            top: clamp(i64::from(y)),
            right: clamp(right),
            bottom: clamp(bottom),
        }
    }

    /// A rectangle by its edges; empty where they are inverted.
    pub fn from_edges(left: i32, top: i32, right: i32, bottom: i32) -> Self {
        let (left, top) = (clamp(i64::from(left)), clamp(i64::from(top)));
        Self {
            left,
            top,
            right: clamp(i64::from(right)).max(left),
            bottom: clamp(i64::from(bottom)).max(top),
        }
    }

    /// A rectangle at the origin.
    pub fn of_size(size: Size) -> Self {
        Self::new(0, 0, size.width, size.height)
    }

    /// The first column inside.
    pub fn left(&self) -> i32 {
        self.left
    }

    /// The first row inside.
    pub fn top(&self) -> i32 {
        self.top
    }

    /// The first column outside.
    pub fn right(&self) -> i32 {
        self.right
    }

    /// The first row outside.
    pub fn bottom(&self) -> i32 {
        self.bottom
    }

    /// Columns inside.
    pub fn width(&self) -> u32 {
        u32::try_from(self.right - self.left).unwrap_or(0)
    }

    /// Rows inside.
    pub fn height(&self) -> u32 {
        u32::try_from(self.bottom - self.top).unwrap_or(0)
    }

    /// Width and height together.
    pub fn size(&self) -> Size {
        Size {
            width: self.width(),
            height: self.height(),
        }
    }

    /// The upper left corner.
    pub fn origin(&self) -> Point {
        Point {
            x: self.left,
            y: self.top,
        }
    }

    /// The middle, rounded towards the upper left.
    pub fn centre(&self) -> Point {
        Point {
            x: (self.left + self.right).div_euclid(2),
            y: (self.top + self.bottom).div_euclid(2),
        }
    }

    /// How many pixels are inside.
    pub fn area(&self) -> u64 {
        u64::from(self.width()) * u64::from(self.height())
    }

    /// Whether no pixel is inside.
    pub fn is_empty(&self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }

    /// Whether the pixel at `point` is inside.
    pub fn contains(&self, point: Point) -> bool {
        point.x >= self.left && point.x < self.right && point.y >= self.top && point.y < self.bottom
    }

    /// Whether every pixel of `other` is inside.
    pub fn covers(&self, other: &Rect) -> bool {
        other.is_empty()
            || (other.left >= self.left
                && other.right <= self.right
                && other.top >= self.top
                && other.bottom <= self.bottom)
    }

    /// The pixels in both.
    pub fn intersection(&self, other: &Rect) -> Rect {
        let left = self.left.max(other.left);
        let top = self.top.max(other.top);
        let both = Rect {
            left,
            top,
            right: self.right.min(other.right).max(left),
            bottom: self.bottom.min(other.bottom).max(top),
        };
        if both.is_empty() { Rect::EMPTY } else { both }
    }

    /// Whether at least one pixel is in both.
    pub fn intersects(&self, other: &Rect) -> bool {
        !self.intersection(other).is_empty()
    }

    /// The smallest rectangle that covers both.
    pub fn bounding(&self, other: &Rect) -> Rect {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        Rect {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// The same rectangle elsewhere.
    pub fn moved_by(&self, x: i32, y: i32) -> Rect {
        let (x, y) = (i64::from(x), i64::from(y));
        Rect {
            left: clamp(i64::from(self.left) + x),
            top: clamp(i64::from(self.top) + y),
            right: clamp(i64::from(self.right) + x),
            bottom: clamp(i64::from(self.bottom) + y),
        }
    }

    /// The rectangle made smaller by so much on every side; empty where nothing is left.
    pub fn inset(&self, by: i32) -> Rect {
        self.inset_edges(by, by, by, by)
    }

    /// The rectangle made smaller by so much on each side.
    pub fn inset_edges(&self, left: i32, top: i32, right: i32, bottom: i32) -> Rect {
        Rect::from_edges(
            self.left.saturating_add(left),
            self.top.saturating_add(top),
            self.right.saturating_sub(right),
            self.bottom.saturating_sub(bottom),
        )
    }

    /// A rectangle of `size` in the middle of this one.
    pub fn centred(&self, size: Size) -> Rect {
        let x = self.left + (signed(self.width()) - signed(size.width)).div_euclid(2);
        let y = self.top + (signed(self.height()) - signed(size.height)).div_euclid(2);
        Rect::new(x, y, size.width, size.height)
    }
}

/// A set of pixels, held as rectangles that do not overlap.
///
/// Adding beyond [`Region::MAXIMUM_RECTS`] rectangles makes the region coarser (it may then cover more than was added,
/// never less), so no sequence of damage costs unbounded time or memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    rects: Vec<Rect>,
}

impl Region {
    /// More rectangles than this are merged.
    pub const MAXIMUM_RECTS: usize = 48;

    /// A region of one rectangle.
    pub fn of(rect: Rect) -> Self {
        let mut region = Self::default();
        region.add(rect);
        region
    }

    /// The rectangles; none overlaps another, none is empty.
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// Whether it holds no pixel.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// How many pixels it holds.
    pub fn area(&self) -> u64 {
        self.rects.iter().map(Rect::area).sum()
    }

    /// Takes every pixel out.
    pub fn clear(&mut self) {
        self.rects.clear();
    }

    /// Adds the pixels of `rect`.
    pub fn add(&mut self, rect: Rect) {
        if rect.is_empty() || self.rects.iter().any(|held| held.covers(&rect)) {
            return;
        }
        self.rects.retain(|held| !rect.covers(held));
        let mut fresh = vec![rect];
        for held in &self.rects {
            fresh = fresh
                .iter()
                .flat_map(|piece| difference(piece, held))
                .collect();
        }
        self.rects.extend(fresh);
        self.merge_neighbours();
        if self.rects.len() > Self::MAXIMUM_RECTS {
            self.coarsen();
        }
    }

    /// Adds every pixel of `other`.
    pub fn add_region(&mut self, other: &Region) {
        for rect in &other.rects {
            self.add(*rect);
        }
    }

    /// Takes the pixels of `rect` out. Exact: the count of rectangles may pass the bound until the next `add`.
    pub fn subtract(&mut self, rect: &Rect) {
        if self.rects.iter().any(|held| held.intersects(rect)) {
            self.rects = self
                .rects
                .iter()
                .flat_map(|held| difference(held, rect))
                .collect();
        }
    }

    /// The pixels that are also in `rect`.
    pub fn clipped(&self, rect: &Rect) -> Region {
        Region {
            rects: self
                .rects
                .iter()
                .map(|held| held.intersection(rect))
                .filter(|held| !held.is_empty())
                .collect(),
        }
    }

    /// The same pixels elsewhere.
    pub fn moved_by(&self, x: i32, y: i32) -> Region {
        Region {
            rects: self.rects.iter().map(|held| held.moved_by(x, y)).collect(),
        }
    }

    /// Whether the pixel at `point` is in it.
    pub fn contains(&self, point: Point) -> bool {
        self.rects.iter().any(|held| held.contains(point))
    }

    /// Joins rectangles that share a whole edge, once over.
    fn merge_neighbours(&mut self) {
        let mut joined: Vec<Rect> = Vec::with_capacity(self.rects.len());
        for mut rect in std::mem::take(&mut self.rects) {
            while let Some(at) = joined.iter().position(|held| {
                let union = held.bounding(&rect);
                union.area() == held.area() + rect.area()
            }) {
                rect = rect.bounding(&joined.swap_remove(at));
            }
            joined.push(rect);
        }
        self.rects = joined;
    }

    /// Halves the count by merging those pairs whose common bounds waste the fewest pixels.
    fn coarsen(&mut self) {
        let mut rects = std::mem::take(&mut self.rects);
        while rects.len() > Self::MAXIMUM_RECTS / 2 {
            let Some(last) = rects.pop() else { break };
            let best = rects
                .iter()
                .enumerate()
                .min_by_key(|(_, held)| held.bounding(&last).area().saturating_sub(held.area()))
                .map(|(at, _)| at);
            match best {
                Some(at) => {
                    let merged = rects.swap_remove(at).bounding(&last);
                    rects.retain(|held| !merged.covers(held));
                    rects.insert(0, merged);
                }
                None => rects.push(last),
            }
        }
        // The merged bounds may overlap their neighbours: one more pass makes them disjoint again. It can only
        // add pieces of rectangles that were already few, and the next `add` checks the bound again.
        for rect in rects {
            let mut fresh = vec![rect];
            for held in &self.rects {
                fresh = fresh
                    .iter()
                    .flat_map(|piece| difference(piece, held))
                    .collect();
            }
            self.rects.extend(fresh);
        }
        if self.rects.len() > Self::MAXIMUM_RECTS {
            let all = self
                .rects
                .iter()
                .fold(Rect::EMPTY, |sum, held| sum.bounding(held));
            self.rects = vec![all];
        }
    }
}

/// The pixels of `from` that are not in `cut`: at most four rectangles.
fn difference(from: &Rect, cut: &Rect) -> Vec<Rect> {
    let hole = from.intersection(cut);
    if hole.is_empty() {
        return vec![*from];
    }
    [
        Rect {
            bottom: hole.top,
            ..*from
        },
        Rect {
            top: hole.bottom,
            ..*from
        },
        Rect {
            left: from.left,
            right: hole.left,
            top: hole.top,
            bottom: hole.bottom,
        },
        Rect {
            left: hole.right,
            right: from.right,
            top: hole.top,
            bottom: hole.bottom,
        },
    ]
    .into_iter()
    .filter(|piece| !piece.is_empty())
    .collect()
}

/// How many physical pixels one logical pixel takes, in 1/120 (as Wayland's fractional-scale protocol counts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale(u32);

impl Scale {
    /// One physical pixel for each logical pixel.
    pub const ONE: Scale = Scale(120);

    /// A scale from 1/120 steps, clamped to between 1 and 4.
    pub fn from_120ths(value: u32) -> Self {
        Scale(value.clamp(120, 480))
    }

    /// A scale from a factor such as `1.25`; what is not a number becomes 1.
    pub fn from_factor(factor: f64) -> Self {
        // Twelve steps between 1 and 4 in quarters would be enough; 120ths follow the protocol. The comparison also
        // catches NaN, which is neither above nor below anything.
        let steps = (120..=480u32).find(|steps| f64::from(*steps) >= factor * 120.0 - 0.5);
        match steps {
            Some(steps) if factor > 0.0 => Scale(steps),
            None if factor > 4.0 => Scale(480),
            _ => Scale::ONE,
        }
    }

    /// In 1/120.
    pub fn in_120ths(self) -> u32 {
        self.0
    }

    /// Physical pixels for a length in logical pixels, rounded to nearest, at least 1 for a positive length.
    pub fn pixels(self, logical: i32) -> i32 {
        let scaled = (i64::from(logical) * i64::from(self.0) + 60).div_euclid(120);
        let scaled = clamp(scaled);
        if logical > 0 { scaled.max(1) } else { scaled }
    }
}

#[cfg(test)]
mod tests;
