//! Painting into the pixels of an output: fills, coverage blends and copies of rows, always clipped.
//!
//! Nothing here can write outside the clip rectangle, and nothing panics for any coordinate: every access goes through
//! [`Canvas::row`].

use crate::blit;
use crate::colour::{Colour, mix};
use crate::draw_list::DrawList;
use crate::geometry::{Point, Rect, Size, index, signed};
use crate::zone::{ZoneId, ZonePixels};

/// The pixels of one output and the rectangle that may be painted.
pub(crate) struct Canvas<'a> {
    pixels: &'a mut [u32],
    stride: usize,
    bounds: Rect,
    clip: Rect,
    /// Where zones' pixels are only noted, and whatever is painted over them later too.
    list: Option<&'a mut DrawList>,
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(pixels: &'a mut [u32], size: Size, stride: usize) -> Self {
        let bounds = Rect::of_size(size);
        Self {
            pixels,
            stride,
            bounds,
            clip: bounds,
            list: None,
        }
    }

    /// Zones' pixels are from now on noted in `list` instead of copied.
    pub(crate) fn noting(mut self, list: Option<&'a mut DrawList>) -> Self {
        self.list = list;
        self
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
        if let Some(list) = &mut self.list {
            list.tint(area, colour, u8::MAX);
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
        for y in area.top()..area.bottom() {
            blit::tint(self.row(y, area.left(), area.right()), colour, amount);
        }
        if let Some(list) = &mut self.list {
            list.tint(area, colour, amount);
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
        if let Some(list) = &mut self.list {
            list.mask_row(Point { x: left, y: top }, coverage, zoom, colour, self.clip);
        }
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
            if let Some(source) = source {
                blit::blend_over(self.row(y, area.left(), area.right()), source);
            }
        }
        if let Some(list) = &mut self.list {
            list.image(area, at, size, image);
        }
    }

    /// Shows a zone's whole surface within `place`: each pixel is the mean of up to four by four of the pixels that it
    /// stands for.
    pub(crate) fn copy_zone_small(
        &mut self,
        place: Rect,
        zone: ZoneId,
        size: Size,
        pixels: &dyn ZonePixels,
    ) {
        const SAMPLES: u32 = 4;
        let area = place.intersection(&self.clip);
        if let Some(list) = &mut self.list {
            return list.zone_small(area, place, zone);
        }
        let mut rows = vec![vec![0u32; index(signed(size.width))]; index(signed(SAMPLES))];
        // Where the sample `part` of pixel `at` of `count` lies in a line of `length` pixels.
        let spot = |at: i32, part: u32, count: u32, length: u32| {
            let fine = u64::from(at.unsigned_abs()) * u64::from(SAMPLES) + u64::from(part);
            let spot = (2 * fine + 1) * u64::from(length)
                / (u64::from(count.max(1)) * u64::from(2 * SAMPLES));
            u32::try_from(spot)
                .unwrap_or(0)
                .min(length.saturating_sub(1))
        };
        for y in area.top()..area.bottom() {
            for (row, part) in rows.iter_mut().zip(0..) {
                pixels.copy_row(
                    spot(y - place.top(), part, place.height(), size.height),
                    0,
                    row,
                );
            }
            let columns = area.left() - place.left()..;
            for (pixel, x) in self
                .row(y, area.left(), area.right())
                .iter_mut()
                .zip(columns)
            {
                let (mut even, mut green) = (0u32, 0u32);
                for part in 0..SAMPLES {
                    let column = index(signed(spot(x, part, place.width(), size.width)));
                    for sample in rows.iter().filter_map(|row| row.get(column)) {
                        // Red and blue are summed together: sixteen bytes fit twelve bits.
                        even += sample & 0x00ff_00ff;
                        green += (sample >> 8) & 0xff;
                    }
                }
                *pixel = 0xff00_0000 | (even >> 4 & 0x00ff_00ff) | (green >> 4) << 8;
            }
        }
    }

    /// Copies `area` of a zone's surface whose first pixel lies at `origin`: each pixel is read once and written once.
    pub(crate) fn copy_zone(
        &mut self,
        area: Rect,
        origin: Point,
        zone: ZoneId,
        pixels: &dyn ZonePixels,
    ) {
        let area = area.intersection(&self.clip);
        if let Some(list) = &mut self.list {
            return list.zone(area, origin, zone);
        }
        for y in area.top()..area.bottom() {
            let (Ok(row), Ok(column)) = (
                u32::try_from(y - origin.y),
                u32::try_from(area.left() - origin.x),
            ) else {
                continue;
            };
            let into = self.row(y, area.left(), area.right());
            pixels.copy_row(row, column, into);
        }
    }
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
}
