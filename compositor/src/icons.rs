//! The shapes and icons of zones and of the trusted UI, as forms on a 48 by 48 grid, and the masks made of them.
//!
//! A zone chooses nothing here: its policy names one of these, the endpoint draws it. Masks are rasterised with integers
//! only (the same on every machine) and kept.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::geometry::{Rect, Size, index, signed};
use crate::trusted::work::WorkPage;
use crate::zone::ZoneIdentity;

/// Third channel of a zone's frame: the outline that its icon stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The names say it all.
pub enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Pentagon,
    Hexagon,
    Star,
    Shield,
    Cross,
}

impl Shape {
    /// Every shape with its name in policies.
    pub const ALL: [(&str, Shape); 9] = [
        ("circle", Shape::Circle),
        ("square", Shape::Square),
        ("triangle", Shape::Triangle),
        ("diamond", Shape::Diamond),
        ("pentagon", Shape::Pentagon),
        ("hexagon", Shape::Hexagon),
        ("star", Shape::Star),
        ("shield", Shape::Shield),
        ("cross", Shape::Cross),
    ];

    /// Where an icon fits inside: its middle and its side, on the grid.
    fn room(self) -> (i32, i32, i32) {
        match self {
            Shape::Circle => (24, 24, 28),
            Shape::Square => (24, 24, 32),
            Shape::Triangle => (24, 31, 22),
            Shape::Diamond => (24, 24, 24),
            Shape::Pentagon => (24, 26, 28),
            Shape::Hexagon => (24, 24, 28),
            Shape::Star => (24, 27, 22),
            Shape::Shield => (24, 22, 28),
            Shape::Cross => (24, 24, 22),
        }
    }
}

/// Fourth channel of a zone's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The names say it all.
pub enum Icon {
    Bank,
    Briefcase,
    Bug,
    Chart,
    Cloud,
    Envelope,
    Eye,
    Flask,
    Gear,
    Globe,
    House,
    Key,
    Lock,
    Person,
    Shield,
    Star,
    Terminal,
}

impl Icon {
    /// Every icon with its name in policies.
    pub const ALL: [(&str, Icon); 17] = [
        ("bank", Icon::Bank),
        ("briefcase", Icon::Briefcase),
        ("bug", Icon::Bug),
        ("chart", Icon::Chart),
        ("cloud", Icon::Cloud),
        ("envelope", Icon::Envelope),
        ("eye", Icon::Eye),
        ("flask", Icon::Flask),
        ("gear", Icon::Gear),
        ("globe", Icon::Globe),
        ("house", Icon::House),
        ("key", Icon::Key),
        ("lock", Icon::Lock),
        ("person", Icon::Person),
        ("shield", Icon::Shield),
        ("star", Icon::Star),
        ("terminal", Icon::Terminal),
    ];
}

/// A name that no shape or icon has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no {what}: write one of {known}")]
pub struct UnknownName {
    given: String,
    what: &'static str,
    known: String,
}

fn find<T: Copy>(all: &[(&str, T)], what: &'static str, text: &str) -> Result<T, UnknownName> {
    all.iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| UnknownName {
            given: text
                .chars()
                .take(32)
                .flat_map(char::escape_default)
                .collect(),
            what,
            known: all
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

impl FromStr for Shape {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        find(&Self::ALL, "shape", text)
    }
}

impl FromStr for Icon {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        find(&Self::ALL, "icon", text)
    }
}

/// Anything that has forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sign {
    Shape(Shape),
    Icon(Icon),
    Warning,
    Bulwark,
    Minimise,
    Maximise,
    Restore,
    Arrow,
    ResizeHorizontal,
    ResizeVertical,
    ResizeFalling,
    ResizeRising,
    Move,
    /// The policy: a written page.
    Policy,
    /// The audit log: a list.
    Audit,
    /// USB: a plug.
    Usb,
    /// The network: up and down.
    Network,
}

/// A form on the grid, in grid units.
enum Form {
    Disc(i32, i32, i32),
    Ellipse(i32, i32, i32, i32),
    Box(i32, i32, i32, i32),
    Polygon(&'static [(i32, i32)]),
}

/// Forms are added to or cut out of what the earlier ones made.
enum Step {
    Add(Form),
    Cut(Form),
}

/// Grid units are multiplied by this while rasterising, so that sample points are whole numbers.
const FINE: i32 = 64;

impl Form {
    fn contains(&self, x: i32, y: i32) -> bool {
        let square = |value: i32| i64::from(value) * i64::from(value);
        match *self {
            Form::Disc(cx, cy, r) => {
                square(x - cx * FINE) + square(y - cy * FINE) <= square(r * FINE)
            }
            Form::Ellipse(cx, cy, rx, ry) => {
                let (dx, dy) = (square(x - cx * FINE), square(y - cy * FINE));
                dx * square(ry) + dy * square(rx) <= square(rx * ry * FINE)
            }
            Form::Box(left, top, right, bottom) => {
                (left * FINE..right * FINE).contains(&x) && (top * FINE..bottom * FINE).contains(&y)
            }
            Form::Polygon(points) => {
                // Even-odd rule: count the edges that a ray to the right crosses.
                let mut inside = false;
                let ends = points.iter().cycle().skip(1);
                for ((ax, ay), (bx, by)) in points.iter().zip(ends) {
                    let (ax, ay, bx, by) = (ax * FINE, ay * FINE, bx * FINE, by * FINE);
                    if (ay > y) != (by > y) {
                        let side = i64::from(bx - ax) * i64::from(y - ay)
                            - i64::from(x - ax) * i64::from(by - ay);
                        if (side > 0) == (by > ay) {
                            inside = !inside;
                        }
                    }
                }
                inside
            }
        }
    }
}

impl Sign {
    fn steps(self) -> &'static [Step] {
        use Form::{Box, Disc, Ellipse, Polygon};
        use Step::{Add, Cut};
        match self {
            Sign::Shape(Shape::Circle) => &[Add(Disc(24, 24, 23))],
            Sign::Shape(Shape::Square) => &[Add(Box(3, 3, 45, 45))],
            Sign::Shape(Shape::Triangle) => &[Add(Polygon(&[(24, 1), (48, 45), (0, 45)]))],
            Sign::Shape(Shape::Diamond) => &[Add(Polygon(&[(24, 0), (48, 24), (24, 48), (0, 24)]))],
            Sign::Shape(Shape::Pentagon) => &[Add(Polygon(&[
                (24, 1),
                (48, 19),
                (39, 46),
                (9, 46),
                (0, 19),
            ]))],
            Sign::Shape(Shape::Hexagon) => &[Add(Polygon(&[
                (12, 3),
                (36, 3),
                (48, 24),
                (36, 45),
                (12, 45),
                (0, 24),
            ]))],
            Sign::Shape(Shape::Star) => &[Add(Polygon(&[
                (24, 0),
                (33, 14),
                (48, 18),
                (38, 30),
                (39, 47),
                (24, 40),
                (9, 47),
                (10, 30),
                (0, 18),
                (15, 14),
            ]))],
            Sign::Shape(Shape::Shield) => &[Add(Polygon(&[
                (24, 1),
                (45, 7),
                (45, 24),
                (40, 35),
                (24, 47),
                (8, 35),
                (3, 24),
                (3, 7),
            ]))],
            Sign::Shape(Shape::Cross) => &[Add(Box(11, 0, 37, 48)), Add(Box(0, 11, 48, 37))],
            Sign::Icon(Icon::Bank) => &[
                Add(Polygon(&[(24, 3), (46, 17), (2, 17)])),
                Add(Box(7, 20, 14, 37)),
                Add(Box(20, 20, 28, 37)),
                Add(Box(34, 20, 41, 37)),
                Add(Box(3, 40, 45, 46)),
            ],
            Sign::Icon(Icon::Briefcase) => &[
                Add(Box(15, 6, 33, 14)),
                Cut(Box(20, 11, 28, 14)),
                Add(Box(3, 14, 45, 42)),
                Cut(Box(3, 26, 19, 29)),
                Cut(Box(29, 26, 45, 29)),
            ],
            Sign::Icon(Icon::Bug) => &[
                Add(Polygon(&[(2, 12), (6, 8), (46, 40), (42, 44)])),
                Add(Polygon(&[(46, 12), (42, 8), (2, 40), (6, 44)])),
                Add(Box(0, 24, 48, 29)),
                Add(Disc(24, 10, 8)),
                Cut(Ellipse(24, 30, 17, 20)),
                Add(Ellipse(24, 30, 13, 17)),
                Cut(Box(22, 16, 26, 48)),
            ],
            Sign::Icon(Icon::Eye) => &[
                Add(Polygon(&[
                    (0, 24),
                    (9, 14),
                    (18, 9),
                    (30, 9),
                    (39, 14),
                    (48, 24),
                    (39, 34),
                    (30, 39),
                    (18, 39),
                    (9, 34),
                ])),
                Cut(Disc(24, 24, 11)),
                Add(Disc(24, 24, 6)),
            ],
            Sign::Icon(Icon::Shield) => &[
                Add(Polygon(&[
                    (24, 1),
                    (45, 8),
                    (45, 24),
                    (39, 36),
                    (24, 47),
                    (9, 36),
                    (3, 24),
                    (3, 8),
                ])),
                Cut(Polygon(&[(24, 8), (38, 13), (38, 24), (34, 32), (24, 40)])),
            ],
            Sign::Icon(Icon::Star) => &[Add(Polygon(&[
                (24, 0),
                (30, 17),
                (48, 18),
                (34, 29),
                (39, 47),
                (24, 36),
                (9, 47),
                (14, 29),
                (0, 18),
                (18, 17),
            ]))],
            Sign::Icon(Icon::Chart) => &[
                Add(Box(4, 28, 14, 45)),
                Add(Box(19, 17, 29, 45)),
                Add(Box(34, 4, 44, 45)),
            ],
            Sign::Icon(Icon::Cloud) => &[
                Add(Disc(13, 30, 10)),
                Add(Disc(26, 22, 14)),
                Add(Disc(37, 31, 9)),
                Add(Box(13, 28, 37, 40)),
            ],
            Sign::Icon(Icon::Flask) => &[
                Add(Box(14, 3, 34, 9)),
                Add(Box(18, 8, 30, 22)),
                Add(Polygon(&[(18, 20), (30, 20), (44, 45), (4, 45)])),
                Cut(Polygon(&[(20, 26), (28, 26), (31, 32), (17, 32)])),
            ],
            Sign::Icon(Icon::Gear) => &[
                Add(Disc(24, 24, 15)),
                Add(Box(19, 2, 29, 46)),
                Add(Box(2, 19, 46, 29)),
                Add(Polygon(&[(5, 12), (12, 5), (43, 36), (36, 43)])),
                Add(Polygon(&[(36, 5), (43, 12), (12, 43), (5, 36)])),
                Cut(Disc(24, 24, 7)),
            ],
            Sign::Icon(Icon::Globe) => &[
                Add(Disc(24, 24, 22)),
                Cut(Disc(24, 24, 18)),
                Add(Ellipse(24, 24, 11, 22)),
                Cut(Ellipse(24, 24, 7, 18)),
                Add(Box(4, 22, 44, 26)),
            ],
            Sign::Icon(Icon::House) => &[
                Add(Polygon(&[(24, 3), (47, 25), (1, 25)])),
                Add(Box(8, 23, 40, 44)),
                Cut(Box(19, 29, 29, 44)),
            ],
            Sign::Icon(Icon::Key) => &[
                Add(Disc(14, 24, 12)),
                Add(Box(22, 21, 47, 27)),
                Add(Box(33, 27, 38, 35)),
                Add(Box(42, 27, 47, 34)),
                Cut(Disc(13, 24, 5)),
            ],
            Sign::Icon(Icon::Envelope) => &[
                Add(Box(3, 9, 45, 39)),
                Cut(Polygon(&[
                    (3, 12),
                    (24, 26),
                    (45, 12),
                    (45, 17),
                    (24, 31),
                    (3, 17),
                ])),
            ],
            Sign::Icon(Icon::Lock) => &[
                Add(Disc(24, 17, 14)),
                Cut(Disc(24, 17, 9)),
                Add(Box(10, 17, 15, 24)),
                Add(Box(33, 17, 38, 24)),
                Cut(Box(15, 17, 33, 24)),
                Add(Box(6, 22, 42, 46)),
                Cut(Disc(24, 31, 4)),
                Cut(Box(22, 31, 26, 40)),
            ],
            Sign::Icon(Icon::Person) => &[
                Add(Disc(24, 13, 11)),
                Add(Ellipse(24, 45, 21, 19)),
                Cut(Box(0, 45, 48, 70)),
            ],
            Sign::Icon(Icon::Terminal) => &[
                Add(Box(3, 6, 45, 42)),
                Cut(Polygon(&[
                    (10, 15),
                    (14, 12),
                    (26, 24),
                    (14, 36),
                    (10, 33),
                    (19, 24),
                ])),
                Cut(Box(26, 32, 39, 36)),
            ],
            Sign::Warning => &[
                Add(Polygon(&[(24, 2), (48, 45), (0, 45)])),
                Cut(Polygon(&[(21, 16), (27, 16), (26, 32), (22, 32)])),
                Cut(Disc(24, 37, 3)),
            ],
            Sign::Bulwark => &[
                Add(Polygon(&[
                    (24, 1),
                    (45, 7),
                    (45, 24),
                    (40, 35),
                    (24, 47),
                    (8, 35),
                    (3, 24),
                    (3, 7),
                ])),
                Cut(Box(8, 15, 40, 18)),
                Cut(Box(7, 27, 41, 30)),
                Cut(Box(22, 7, 25, 15)),
                Cut(Box(14, 18, 17, 27)),
                Cut(Box(31, 18, 34, 27)),
                Cut(Box(22, 30, 25, 40)),
            ],
            Sign::Minimise => &[Add(Box(6, 34, 42, 41))],
            Sign::Maximise => &[Add(Box(6, 6, 42, 42)), Cut(Box(11, 14, 37, 37))],
            Sign::Restore => &[
                Add(Box(14, 4, 44, 34)),
                Cut(Box(19, 11, 39, 29)),
                Cut(Box(4, 14, 34, 44)),
                Add(Box(6, 16, 32, 42)),
                Cut(Box(11, 23, 27, 37)),
            ],
            Sign::Arrow => &[Add(Polygon(&[
                (4, 2),
                (4, 40),
                (13, 32),
                (19, 46),
                (26, 43),
                (20, 29),
                (32, 29),
            ]))],
            Sign::ResizeHorizontal => &[Add(Polygon(&[
                (1, 24),
                (14, 11),
                (14, 20),
                (34, 20),
                (34, 11),
                (47, 24),
                (34, 37),
                (34, 28),
                (14, 28),
                (14, 37),
            ]))],
            Sign::ResizeVertical => &[Add(Polygon(&[
                (24, 1),
                (37, 14),
                (28, 14),
                (28, 34),
                (37, 34),
                (24, 47),
                (11, 34),
                (20, 34),
                (20, 14),
                (11, 14),
            ]))],
            Sign::ResizeFalling => &[Add(Polygon(&[
                (5, 5),
                (24, 5),
                (18, 12),
                (36, 30),
                (43, 24),
                (43, 43),
                (24, 43),
                (30, 36),
                (12, 18),
                (5, 24),
            ]))],
            Sign::ResizeRising => &[Add(Polygon(&[
                (43, 5),
                (43, 24),
                (36, 18),
                (18, 36),
                (24, 43),
                (5, 43),
                (5, 24),
                (12, 30),
                (30, 12),
                (24, 5),
            ]))],
            Sign::Policy => &[
                Add(Box(8, 2, 40, 46)),
                Cut(Box(14, 10, 34, 14)),
                Cut(Box(14, 19, 34, 23)),
                Cut(Polygon(&[
                    (14, 33),
                    (18, 29),
                    (22, 33),
                    (31, 26),
                    (35, 30),
                    (22, 42),
                ])),
            ],
            Sign::Audit => &[
                Add(Box(4, 6, 12, 14)),
                Add(Box(17, 6, 44, 14)),
                Add(Box(4, 20, 12, 28)),
                Add(Box(17, 20, 44, 28)),
                Add(Box(4, 34, 12, 42)),
                Add(Box(17, 34, 44, 42)),
            ],
            Sign::Usb => &[
                Add(Box(12, 2, 36, 18)),
                Cut(Box(17, 7, 22, 12)),
                Cut(Box(26, 7, 31, 12)),
                Add(Box(7, 18, 41, 36)),
                Add(Box(20, 36, 28, 48)),
            ],
            Sign::Network => &[
                Add(Polygon(&[(14, 2), (26, 18), (2, 18)])),
                Add(Box(10, 18, 18, 46)),
                Add(Polygon(&[(34, 46), (46, 30), (22, 30)])),
                Add(Box(30, 2, 38, 30)),
            ],
            Sign::Move => &[
                Add(Polygon(&[(24, 0), (33, 10), (15, 10)])),
                Add(Polygon(&[(24, 48), (33, 38), (15, 38)])),
                Add(Polygon(&[(0, 24), (10, 15), (10, 33)])),
                Add(Polygon(&[(48, 24), (38, 15), (38, 33)])),
                Add(Box(21, 9, 27, 39)),
                Add(Box(9, 21, 39, 27)),
            ],
        }
    }
}

/// Coverage of a square of pixels.
pub(crate) struct Mask {
    side: usize,
    coverage: Vec<u8>,
}

impl Mask {
    fn rasterise(sign: Sign, side: i32) -> Self {
        const SAMPLES: i32 = 8;
        let steps = sign.steps();
        let sample = |pixel: i32, part: i32| {
            ((pixel * SAMPLES + part) * 2 + 1) * 48 * FINE / (side * SAMPLES * 2)
        };
        let mut coverage = Vec::with_capacity(index(side * side));
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            let mut hits = 0i32;
            for (v, u) in (0..SAMPLES).flat_map(|v| (0..SAMPLES).map(move |u| (v, u))) {
                let (fine_x, fine_y) = (sample(x, u), sample(y, v));
                let inside = steps.iter().rev().find_map(|step| match step {
                    Step::Add(form) => form.contains(fine_x, fine_y).then_some(true),
                    Step::Cut(form) => form.contains(fine_x, fine_y).then_some(false),
                });
                hits += i32::from(inside == Some(true));
            }
            coverage.push(u8::try_from(hits * 255 / (SAMPLES * SAMPLES)).unwrap_or(255));
        }
        Self {
            side: index(side),
            coverage,
        }
    }
}

/// Rasterised signs, kept for the next time.
#[derive(Default)]
pub(crate) struct Masks {
    kept: BTreeMap<(Sign, i32), Mask>,
}

impl Masks {
    /// Draws a sign into the largest square in the middle of `rect`.
    pub(crate) fn draw(&mut self, canvas: &mut Canvas<'_>, rect: Rect, sign: Sign, colour: Colour) {
        let side = signed(rect.width().min(rect.height())).min(512);
        if side < 1 || !canvas.touches(&rect) {
            return;
        }
        let square = Size::new(side.unsigned_abs(), side.unsigned_abs());
        let at = rect.centred(square).origin();
        let mask = self
            .kept
            .entry((sign, side))
            .or_insert_with(|| Mask::rasterise(sign, side));
        for (row, y) in mask.coverage.chunks(mask.side).zip(0i32..) {
            canvas.blend_row(at.x, at.y + y, row, 1, colour);
        }
    }

    /// Draws a zone's shape with its icon in it.
    pub(crate) fn draw_badge(
        &mut self,
        canvas: &mut Canvas<'_>,
        rect: Rect,
        (shape, icon): (Shape, Icon),
        fill: Colour,
        ink: Colour,
    ) {
        self.draw(canvas, rect, Sign::Shape(shape), fill);
        let side = signed(rect.width().min(rect.height()));
        let (x, y, room) = shape.room();
        // The nearest whole number of pixels with the same parity as the badge keeps the icon in its middle.
        let inner = (side * room + 24) / 48;
        let left = rect.left() + (side * x * 2 - inner * 48 + 48) / 96;
        let top = rect.top() + (side * y * 2 - inner * 48 + 48) / 96;
        let size = inner.unsigned_abs();
        self.draw(
            canvas,
            Rect::new(left, top, size, size),
            Sign::Icon(icon),
            ink,
        );
    }
}

/// One of the endpoint's own marks, for pages that are painted elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The endpoint itself.
    Bulwark,
    /// Something to look at.
    Warning,
    /// A page.
    Page(WorkPage),
}

/// A zone's shape with its icon in it: `side` times `side` pixels of premultiplied ARGB8888, at most 512 a side.
pub fn badge_image(identity: &ZoneIdentity, side: u32) -> Vec<u32> {
    let fill = identity.colour;
    translucent(side, |canvas, masks, place| {
        let marks = (identity.shape, identity.icon);
        masks.draw_badge(canvas, place, marks, fill, fill.ink());
    })
}

/// A mark in a colour: `side` times `side` pixels of premultiplied ARGB8888, at most 512 a side.
pub fn mark_image(mark: Mark, side: u32, colour: Colour) -> Vec<u32> {
    let sign = match mark {
        Mark::Bulwark => Sign::Bulwark,
        Mark::Warning => Sign::Warning,
        Mark::Page(WorkPage::Zones) => Sign::Restore,
        Mark::Page(WorkPage::Policy) => Sign::Policy,
        Mark::Page(WorkPage::Audit) => Sign::Audit,
        Mark::Page(WorkPage::Usb) => Sign::Usb,
        Mark::Page(WorkPage::Settings) => Sign::Icon(Icon::Gear),
    };
    translucent(side, |canvas, masks, place| {
        masks.draw(canvas, place, sign, colour);
    })
}

/// What is drawn on nothing: drawn on black it has its premultiplied colour, and what white adds to that shines through.
fn translucent(side: u32, draw: impl Fn(&mut Canvas<'_>, &mut Masks, Rect)) -> Vec<u32> {
    let size = Size::new(side.min(512), side.min(512));
    let place = Rect::of_size(size);
    let stride = index(signed(size.width));
    let mut masks = Masks::default();
    let mut on = |ground: Colour| {
        let mut pixels = vec![ground.pixel(); stride * stride];
        draw(
            &mut Canvas::new(&mut pixels, size, stride),
            &mut masks,
            place,
        );
        pixels
    };
    let (black, white) = (on(Colour::BLACK), on(Colour::WHITE));
    let pairs = black.iter().zip(&white);
    pairs
        .map(|(black, white)| {
            let through = (white >> 8 & 0xff).saturating_sub(black >> 8 & 0xff);
            (255 - through) << 24 | black & 0x00ff_ffff
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_and_icon_differs_from_every_other_at_the_smallest_size() {
        let signs = Shape::ALL.iter().map(|(_, shape)| Sign::Shape(*shape));
        let signs: Vec<Sign> = signs
            .chain(Icon::ALL.iter().map(|(_, icon)| Sign::Icon(*icon)))
            .collect();
        for (at, one) in signs.iter().enumerate() {
            let mask = Mask::rasterise(*one, 12);
            let ink: u32 = mask.coverage.iter().map(|value| u32::from(*value)).sum();
            assert!(ink > 12 * 12 * 255 / 5, "{one:?} is too faint");
            for other in &signs[..at] {
                let against = Mask::rasterise(*other, 12);
                let apart: u32 = mask
                    .coverage
                    .iter()
                    .zip(&against.coverage)
                    .map(|(a, b)| u32::from(a.abs_diff(*b)))
                    .sum();
                assert!(apart > 12 * 12 * 255 / 20, "{one:?} looks like {other:?}");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for (name, icon) in Icon::ALL {
            assert_eq!(name.parse(), Ok(icon));
        }
        for (name, shape) in Shape::ALL {
            assert_eq!(name.parse(), Ok(shape));
        }
        let error = "skull\u{202e}".parse::<Icon>().unwrap_err().to_string();
        assert!(
            error.starts_with("`skull\\u{202e}` is no icon: write one of bank, briefcase"),
            "{error}"
        );
    }
}
