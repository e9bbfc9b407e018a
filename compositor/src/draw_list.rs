//! What a painter does that keeps zones' surfaces elsewhere, as a graphics card does: the endpoint's own pixels come painted, zones'
//! pixels are noted as copies to be made, and so is whatever lies over them.
//!
//! The outcome is the same pixels as [`Scene::render`](crate::Scene::render) gives, bit for bit, if each step is done in order with the
//! arithmetic that it states. Coordinates are the output's own pixels.

use crate::colour::Colour;
use crate::geometry::{Point, Rect, Region, Size, index, signed};
use crate::zone::ZoneId;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The pixels that it changes.
    pub area: Rect,
    /// How.
    pub act: Act,
}

/// What becomes of each pixel of an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is that of the zone's surface whose first pixel lies at `origin`.
    Zone {
        /// Whose surface.
        zone: ZoneId,
        /// Where the surface begins.
        origin: Point,
    },
    /// It is the mean of four by four pixels of the zone's surface, which is shown small in all of `place`.
    ///
    /// In each direction, sample `k` of pixel `p` of `n` lies at pixel `(2 (4 p + k) + 1) l / 8 n` of `l`; each channel's mean is rounded
    /// down, and the unused byte is 255.
    ZoneSmall {
        /// Whose surface.
        zone: ZoneId,
        /// Where the whole surface is shown.
        place: Rect,
    },
    /// `amount`/255 of a colour is mixed into it, rounded to nearest; the unused byte becomes 255.
    Tint {
        /// The colour.
        colour: Colour,
        /// 255 is all of it.
        amount: u8,
    },
    /// The same by the coverage of a mask, each value of which stands for a square of `zoom` pixels. No coverage, no change.
    Mask {
        /// Where the mask begins.
        origin: Point,
        /// The mask's values in a row.
        columns: u32,
        /// Pixels for each value.
        zoom: u32,
        /// The colour.
        colour: Colour,
        /// Where the values begin in [`DrawList::data`].
        data: u32,
    },
    /// A premultiplied ARGB8888 image is put over it: `under (255 - alpha) / 255`, rounded to nearest, `+ over`, at most 255; the unused
    /// byte becomes 255.
    Image {
        /// Where the image begins.
        origin: Point,
        /// Its pixels in a row.
        columns: u32,
        /// Where its pixels begin in [`DrawList::data`].
        data: u32,
    },
}

/// Everything that a painter does for one frame of an output.
#[derive(Debug, Default)]
pub struct DrawList {
    /// Where the endpoint's own pixels changed: to be taken from the target before the first step.
    pub own: Vec<Rect>,
    /// What to do then, in this order.
    pub steps: Vec<Step>,
    /// Values of masks and pixels of images.
    pub data: Vec<u32>,
    /// Where zones' pixels go. No two overlap.
    holes: Vec<Rect>,
}

impl DrawList {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn zone(&mut self, area: Rect, origin: Point, zone: ZoneId) {
        self.hole(area, Act::Zone { zone, origin });
    }

    pub(crate) fn zone_small(&mut self, area: Rect, place: Rect, zone: ZoneId) {
        self.hole(area, Act::ZoneSmall { zone, place });
    }

    fn hole(&mut self, area: Rect, act: Act) {
        if area.is_empty() {
            return;
        }
        self.steps.push(Step { area, act });
        let mut fresh = Region::of(area);
        for hole in &self.holes {
            fresh.subtract(hole);
        }
        self.holes.extend_from_slice(fresh.rects());
    }

    pub(crate) fn tint(&mut self, area: Rect, colour: Colour, amount: u8) {
        self.over_zones(area, &Act::Tint { colour, amount });
    }

    /// One row of a mask. Rows that follow each other become one step.
    pub(crate) fn mask_row(
        &mut self,
        at: Point,
        coverage: &[u8],
        zoom: i32,
        colour: Colour,
        clip: Rect,
    ) {
        let columns = i32::try_from(coverage.len()).unwrap_or(0);
        let row = Rect::from_edges(
            at.x,
            at.y,
            at.x.saturating_add(columns.saturating_mul(zoom)),
            at.y.saturating_add(zoom),
        );
        let area = row.intersection(&clip);
        if !self.is_over_zones(&area) {
            return;
        }
        let values = coverage.iter().map(|value| u32::from(*value));
        // The last step goes on if it is the same mask's row just above, cut off at the same columns.
        if let Some(Step {
            area: last,
            act:
                Act::Mask {
                    origin,
                    columns: last_columns,
                    zoom: last_zoom,
                    colour: last_colour,
                    data,
                },
        }) = self.steps.last_mut()
            && let Some(whole) = self.holes.iter().find(|hole| hole.covers(&area))
            && whole.covers(last)
            && (*last_columns, *last_zoom) == (columns.unsigned_abs(), zoom.unsigned_abs())
            && *last_colour == colour
            && (origin.x, last.left(), last.right(), last.bottom())
                == (at.x, area.left(), area.right(), area.top())
            && self.data.len() - index(signed(*data))
                == coverage.len() * index((at.y - origin.y) / zoom.max(1))
        {
            *last = last.bounding(&area);
            self.data.extend(values);
            return;
        }
        let act = Act::Mask {
            origin: at,
            columns: columns.unsigned_abs(),
            zoom: zoom.unsigned_abs(),
            colour,
            data: self.place_of_data(),
        };
        self.data.extend(values);
        self.over_zones(area, &act);
    }

    pub(crate) fn image(&mut self, area: Rect, at: Point, size: Size, image: &[u32]) {
        // An image that is cut short is not painted where it has no pixels.
        let columns = index(signed(size.width)).max(1);
        let rows = i32::try_from(image.len() / columns).unwrap_or(0);
        let whole = Rect::from_edges(
            area.left(),
            area.top(),
            area.right(),
            at.y.saturating_add(rows),
        );
        let area = area.intersection(&whole);
        if !self.is_over_zones(&area) {
            return;
        }
        let act = Act::Image {
            origin: at,
            columns: size.width,
            data: self.place_of_data(),
        };
        self.data.extend_from_slice(image);
        self.over_zones(area, &act);
    }

    /// Ends the frame: what was stale of the output and is no zone's is the endpoint's own.
    pub(crate) fn finish(&mut self, stale: &Region, output: Rect) {
        let (x, y) = (output.left(), output.top());
        for rect in stale.rects() {
            let mut own = Region::of(rect.moved_by(-x, -y));
            for hole in &self.holes {
                own.subtract(hole);
            }
            self.own.extend_from_slice(own.rects());
        }
    }

    fn place_of_data(&self) -> u32 {
        u32::try_from(self.data.len()).unwrap_or(u32::MAX)
    }

    fn is_over_zones(&self, area: &Rect) -> bool {
        self.holes.iter().any(|hole| hole.intersects(area))
    }

    /// Does something to those pixels of an area that are a zone's: the others are painted already.
    fn over_zones(&mut self, area: Rect, act: &Act) {
        for hole in &self.holes {
            let area = hole.intersection(&area);
            if !area.is_empty() {
                let act = act.clone();
                self.steps.push(Step { area, act });
            }
        }
    }
}
