//! Painting into the pixels of an output: fills, coverage blends and copies of rows, always clipped.
//!
//! Nothing here can write outside the clip rectangle, and nothing panics for any coordinate: every access goes through
//! [`Canvas::row`].

use crate::colour::{Colour, mix};
use crate::geometry::{Point, Rect, Size, index, signed};
use crate::zone::ZonePixels;

/// The pixels of one output and the rectangle that may be painted.
pub(crate) struct Canvas<'a> {
    pixels: &'a mut [u32],
    stride: usize,
    bounds: Rect,
    clip: Rect,
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(pixels: &'a mut [u32], size: Size, stride: usize) -> Self {
        let bounds = Rect::of_size(size);
        Self {
            pixels,
            stride,
            bounds,
            clip: bounds,
        }
    }

    /// From now on nothing outside `clip` is painted.
    pub(crate) fn set_clip(&mut self, clip: Rect) {
        self.clip = clip.intersection(&self.bounds);
    }

    pub(crate) fn clip(&self) -> Rect {
        self.clip
    }

    /// Whether anything of `rect` would be painted.
    pub(crate) fn touches(&self, rect: &Rect) -> bool {
        self.clip.intersects(rect)
    }

    /// The paintable pixels of row `y` from column `left` to before `right`, which must lie in the clip.
    #[inline]
    fn row(&mut self, y: i32, left: i32, right: i32) -> &mut [u32] {
        let start = index(y) * self.stride;
        self.pixels
            .get_mut(start + index(left)..start + index(right))
            .unwrap_or_default()
    }

    pub(crate) fn fill(&mut self, rect: Rect, colour: Colour) {
        let area = rect.intersection(&self.clip);
        for y in area.top()..area.bottom() {
            self.row(y, area.left(), area.right()).fill(colour.pixel());
        }
    }

    /// Fills what is in `outer` and not in `inner`.
    pub(crate) fn fill_ring(&mut self, outer: Rect, inner: Rect, colour: Colour) {
        let inner = inner.intersection(&outer);
        if inner.is_empty() {
            return self.fill(outer, colour);
        }
        self.fill(
            Rect::from_edges(outer.left(), outer.top(), outer.right(), inner.top()),
            colour,
        );
        self.fill(
            Rect::from_edges(outer.left(), inner.bottom(), outer.right(), outer.bottom()),
            colour,
        );
        self.fill(
            Rect::from_edges(outer.left(), inner.top(), inner.left(), inner.bottom()),
            colour,
        );
        self.fill(
            Rect::from_edges(inner.right(), inner.top(), outer.right(), inner.bottom()),
            colour,
        );
    }

    /// Mixes `amount`/255 of a colour into a rectangle.
    pub(crate) fn tint(&mut self, rect: Rect, colour: Colour, amount: u8) {
        let area = rect.intersection(&self.clip);
        let over = colour.pixel();
        for y in area.top()..area.bottom() {
            for pixel in self.row(y, area.left(), area.right()) {
                *pixel = mix(*pixel, over, u32::from(amount));
            }
        }
    }

    /// Mixes a colour in by coverage; each value of `coverage` stands for a square of `zoom` pixels.
    pub(crate) fn blend_row(
        &mut self,
        left: i32,
        top: i32,
        coverage: &[u8],
        zoom: i32,
        colour: Colour,
    ) {
        let over = colour.pixel();
        for y in top.max(self.clip.top())..(top + zoom).min(self.clip.bottom()) {
            for (amount, column) in coverage.iter().zip(0i32..) {
                let x = left + column * zoom;
                let (from, to) = (x.max(self.clip.left()), (x + zoom).min(self.clip.right()));
                if *amount > 0 && from < to {
                    for pixel in self.row(y, from, to) {
                        *pixel = mix(*pixel, over, u32::from(*amount));
                    }
                }
            }
        }
    }

    /// Copies an image of premultiplied ARGB8888 over what is there.
    pub(crate) fn blend_image(&mut self, at: Point, size: Size, image: &[u32]) {
        let area = Rect::new(at.x, at.y, size.width, size.height).intersection(&self.clip);
        let width = index(signed(size.width));
        for y in area.top()..area.bottom() {
            let start = index(y - at.y) * width;
            let source =
                image.get(start + index(area.left() - at.x)..start + index(area.right() - at.x));
            let Some(source) = source else { continue };
            for (pixel, over) in self
                .row(y, area.left(), area.right())
                .iter_mut()
                .zip(source)
            {
                *pixel = over_premultiplied(*pixel, *over);
            }
        }
    }

    /// Copies `area` of a zone's surface whose first pixel lies at `origin`: each pixel is read once and made opaque.
    pub(crate) fn copy_zone(&mut self, area: Rect, origin: Point, pixels: &dyn ZonePixels) {
        let area = area.intersection(&self.clip);
        for y in area.top()..area.bottom() {
            let (Ok(row), Ok(column)) = (
                u32::try_from(y - origin.y),
                u32::try_from(area.left() - origin.x),
            ) else {
                continue;
            };
            let into = self.row(y, area.left(), area.right());
            pixels.copy_row(row, column, into);
            make_opaque(into);
        }
    }
}

/// Sets the unused byte, so that a presenter whose buffers have alpha shows the pixels opaque.
#[multiversion::multiversion(targets("x86_64+avx2", "x86_64+sse2", "aarch64+neon"))]
fn make_opaque(pixels: &mut [u32]) {
    for pixel in pixels {
        *pixel |= 0xff00_0000;
    }
}

/// A premultiplied pixel over an opaque one. A colour above its alpha (which only a broken or hostile image has) is
/// clamped instead of wrapping into its neighbours.
#[inline]
fn over_premultiplied(under: u32, over: u32) -> u32 {
    let keep = 255 - (over >> 24);
    let channel = |shift: u32| {
        let below = ((under >> shift) & 0xff) * keep + 127;
        (below / 255 + ((over >> shift) & 0xff)).min(255) << shift
    };
    0xff00_0000 | channel(16) | channel(8) | channel(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_painted_outside_the_clip() {
        let mut pixels = vec![7u32; 20 * 10];
        let mut canvas = Canvas::new(&mut pixels, Size::new(16, 10), 20);
        let clip = Rect::new(3, 2, 5, 4);
        canvas.set_clip(clip);
        let everywhere = Rect::from_edges(-1000, -1000, 1000, 1000);
        canvas.fill(everywhere, Colour::WHITE);
        canvas.tint(everywhere, Colour::BLACK, 9);
        canvas.fill_ring(everywhere, Rect::new(4, 4, 1, 1), Colour::BLACK);
        for at in [-70, -1, 0, 5, 15, 90] {
            canvas.blend_row(at, at, &[255; 40], 3, Colour::WHITE);
            canvas.blend_image(
                Point::new(at, at),
                Size::new(64, 64),
                &vec![u32::MAX; 64 * 64],
            );
            canvas.blend_image(Point::new(at, at), Size::new(64, 64), &[1, 2, 3]);
        }
        for (at, pixel) in pixels.iter().enumerate() {
            let inside = clip.contains(Point::new(
                i32::try_from(at % 20).unwrap(),
                i32::try_from(at / 20).unwrap(),
            ));
            assert_eq!(*pixel == 7, !inside, "pixel {at}");
        }
    }

    #[test]
    fn colour_above_alpha_is_clamped() {
        assert_eq!(over_premultiplied(0xffff_ffff, 0x00ff_ffff), 0xffff_ffff);
        assert_eq!(over_premultiplied(0xff00_0000, 0x01ff_00ff), 0xffff_00ff);
        assert_eq!(over_premultiplied(0xff12_3456, 0xff65_4321), 0xff65_4321);
        assert_eq!(over_premultiplied(0xff12_3456, 0), 0xff12_3456);
    }
}
