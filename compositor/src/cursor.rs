//! Pointer images: the host's own, and those of zones.

use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::frame::Edges;
use crate::geometry::{Point, Rect, Size, index, signed};
use crate::icons::{Masks, Sign};
use crate::theme::Metrics;

/// The largest width and height of a zone's pointer image.
pub const MAXIMUM_CURSOR_SIDE: u32 = 64;

/// A zone's pointer image: shown over that zone's client area while it has focus, clipped to it.
#[derive(Clone, PartialEq, Eq)]
pub enum ZoneCursor {
    /// The zone hides the pointer over its client area.
    Hidden,
    /// An image.
    Image(CursorImage),
}

/// Premultiplied ARGB8888 pixels and the pixel that points.
#[derive(Clone, PartialEq, Eq)]
pub struct CursorImage {
    size: Size,
    hot_spot: Point,
    pixels: Vec<u32>,
}

/// A pointer image that cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pointer image of {width} x {height} with {pixels} pixels is empty, above 64 x 64, or incomplete"
)]
pub struct BadCursor {
    width: u32,
    height: u32,
    pixels: usize,
}

impl CursorImage {
    /// An image with the hot spot moved inside it if it lies outside.
    ///
    /// # Errors
    /// The size is not between 1 x 1 and 64 x 64, or the pixels are not as many as it says.
    pub fn new(
        width: u32,
        height: u32,
        hot_x: u32,
        hot_y: u32,
        pixels: &[u32],
    ) -> Result<Self, BadCursor> {
        let range = 1..=MAXIMUM_CURSOR_SIDE;
        let complete = || index(signed(width)) * index(signed(height)) == pixels.len();
        if !range.contains(&width) || !range.contains(&height) || !complete() {
            return Err(BadCursor {
                width,
                height,
                pixels: pixels.len(),
            });
        }
        let hot_spot = Point {
            x: signed(hot_x.min(width - 1)),
            y: signed(hot_y.min(height - 1)),
        };
        Ok(Self {
            size: Size { width, height },
            hot_spot,
            pixels: pixels.to_vec(),
        })
    }

    pub(crate) fn area(&self, at: Point) -> Rect {
        let (x, y) = (
            at.x.saturating_sub(self.hot_spot.x),
            at.y.saturating_sub(self.hot_spot.y),
        );
        Rect::new(x, y, self.size.width, self.size.height)
    }

    pub(crate) fn paint(&self, canvas: &mut Canvas<'_>, at: Point) {
        canvas.blend_image(self.area(at).origin(), self.size, &self.pixels);
    }
}

impl std::fmt::Debug for ZoneCursor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ZoneCursor::Hidden => out.write_str("Hidden"),
            ZoneCursor::Image(image) => write!(out, "Image({:?})", image.size),
        }
    }
}

/// The host's own pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostCursor {
    Arrow,
    Move,
    Resize(Edges),
}

impl HostCursor {
    fn sign(self) -> Sign {
        match self {
            HostCursor::Arrow => Sign::Arrow,
            HostCursor::Move => Sign::Move,
            HostCursor::Resize(edges) => {
                match (edges.left || edges.right, edges.top || edges.bottom) {
                    (true, true) if edges.left == edges.top => Sign::ResizeFalling,
                    (true, true) => Sign::ResizeRising,
                    (_, true) => Sign::ResizeVertical,
                    _ => Sign::ResizeHorizontal,
                }
            }
        }
    }

    /// The pixels it may touch when it points at `at`.
    pub(crate) fn area(self, at: Point, metrics: &Metrics) -> Rect {
        let side = metrics.px(20);
        let rim = metrics.px(1);
        let square = match self {
            // The arrow's tip is two grid units inside its square.
            HostCursor::Arrow => Rect::new(
                at.x - side / 12,
                at.y - side / 24,
                side.unsigned_abs(),
                side.unsigned_abs(),
            ),
            _ => Rect::new(
                at.x - side / 2,
                at.y - side / 2,
                side.unsigned_abs(),
                side.unsigned_abs(),
            ),
        };
        square.inset(-rim)
    }

    /// Dark with a light rim, to be seen on anything.
    pub(crate) fn paint(
        self,
        canvas: &mut Canvas<'_>,
        masks: &mut Masks,
        at: Point,
        metrics: &Metrics,
    ) {
        let rim = metrics.px(1);
        let square = self.area(at, metrics).inset(rim);
        for (x, y) in [
            (-rim, 0),
            (rim, 0),
            (0, -rim),
            (0, rim),
            (-rim, -rim),
            (rim, rim),
            (-rim, rim),
            (rim, -rim),
        ] {
            masks.draw(canvas, square.moved_by(x, y), self.sign(), Colour::WHITE);
        }
        masks.draw(canvas, square, self.sign(), Colour::BLACK);
    }
}
