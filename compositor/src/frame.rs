//! The frame around a zone's window: where its parts are, and how they are painted.
//!
//! Invariant: the ring and the title bar are painted from the endpoint's [`ZoneIdentity`] alone, each time, whether the
//! zone ever drew or not, and the client area lies wholly inside them.

use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::geometry::{Point, Rect, signed};
use crate::icons::{Masks, Sign};
use crate::text::{self, Label, Style};
use crate::theme::{Metrics, Palette};
use crate::trusted::words::Words;
use crate::zone::{ZoneIdentity, ZoneState};

/// Which edges of a window a drag on its ring moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// The left edge moves.
    pub left: bool,
    /// The top edge moves.
    pub top: bool,
    /// The right edge moves.
    pub right: bool,
    /// The bottom edge moves.
    pub bottom: bool,
}

/// What of a window lies under a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The ring, which resizes.
    Ring(Edges),
    /// The title bar, which moves.
    Title,
    /// The button that hides the window.
    Minimise,
    /// The button that fills the work area, or goes back from that.
    Maximise,
    /// The zone's own pixels.
    Client,
}

/// Where the parts of one window are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) outer: Rect,
    pub(crate) title: Rect,
    pub(crate) client: Rect,
    minimise: Rect,
    maximise: Rect,
    ring: i32,
    corner: i32,
}

impl Frame {
    pub(crate) fn new(outer: Rect, metrics: &Metrics) -> Self {
        let inside = outer.inset(metrics.ring);
        let title = Rect::from_edges(
            inside.left(),
            inside.top(),
            inside.right(),
            inside.top() + metrics.title,
        )
        .intersection(&inside);
        let client = inside.inset_edges(0, metrics.title, 0, 0);
        let button = |from_right: i32| {
            let right = title.right() - from_right * metrics.title;
            Rect::from_edges(right - metrics.title, title.top(), right, title.bottom())
                .intersection(&title)
        };
        Self {
            outer,
            title,
            client,
            minimise: button(1),
            maximise: button(0),
            ring: metrics.ring,
            corner: metrics.corner,
        }
    }

    /// The window whose client area is `client`.
    pub(crate) fn around(client: Rect, metrics: &Metrics) -> Rect {
        client.inset_edges(
            -metrics.ring,
            -metrics.ring - metrics.title,
            -metrics.ring,
            -metrics.ring,
        )
    }

    pub(crate) fn part_at(&self, at: Point) -> Option<Part> {
        if !self.outer.contains(at) {
            return None;
        }
        if self.client.contains(at) {
            return Some(Part::Client);
        }
        if self.minimise.contains(at) {
            return Some(Part::Minimise);
        }
        if self.maximise.contains(at) {
            return Some(Part::Maximise);
        }
        if self.title.contains(at) {
            return Some(Part::Title);
        }
        // Near a corner the ring moves both edges.
        let from_left = at.x - self.outer.left();
        let from_top = at.y - self.outer.top();
        let from_right = self.outer.right() - 1 - at.x;
        let from_bottom = self.outer.bottom() - 1 - at.y;
        let on_side = from_left < self.ring || from_right < self.ring;
        let on_end = from_top < self.ring || from_bottom < self.ring;
        let reach = |across: bool| if across { self.corner } else { self.ring };
        Some(Part::Ring(Edges {
            left: from_left < reach(on_end),
            top: from_top < reach(on_side),
            right: from_right < reach(on_end),
            bottom: from_bottom < reach(on_side),
        }))
    }
}

/// What a frame is painted from.
pub(crate) struct FrameLook<'a> {
    pub(crate) identity: &'a ZoneIdentity,
    pub(crate) state: &'a ZoneState,
    pub(crate) title: &'a Label,
    pub(crate) focused: bool,
    pub(crate) maximised: bool,
    pub(crate) hovered: Option<Part>,
    pub(crate) words: &'static Words,
}

/// Paints ring and title bar, not the client area.
pub(crate) fn paint(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    palette: &Palette,
    metrics: &Metrics,
    frame: &Frame,
    look: &FrameLook<'_>,
) {
    let colour = look.identity.colour;
    let inside = Rect::from_edges(
        frame.title.left(),
        frame.title.top(),
        frame.client.right(),
        frame.client.bottom(),
    );
    canvas.fill_ring(frame.outer, inside, colour);
    // A dark line at the very edge keeps two windows of one colour apart.
    canvas.fill_ring(
        frame.outer,
        frame.outer.inset(metrics.px(1)),
        colour.mixed(Colour::BLACK, 110),
    );
    if !canvas.touches(&frame.title) {
        return;
    }
    let (bar, ink) = if look.focused {
        (colour, colour.ink())
    } else {
        (palette.title, palette.text)
    };
    canvas.fill(frame.title, bar);
    let (badge_fill, badge_ink) = if look.focused {
        (ink, colour)
    } else {
        (colour, colour.ink())
    };

    let middle = frame.title.centre().y;
    let side = (metrics.title - metrics.px(6)).max(1).unsigned_abs();
    let badge = Rect::new(
        frame.title.left() + metrics.px(5),
        middle - signed(side) / 2,
        side,
        side,
    );
    masks.draw_badge(
        canvas,
        badge,
        (look.identity.shape, look.identity.icon),
        badge_fill,
        badge_ink,
    );

    let buttons = [(frame.minimise, Sign::Minimise, Part::Minimise), {
        let sign = if look.maximised {
            Sign::Restore
        } else {
            Sign::Maximise
        };
        (frame.maximise, sign, Part::Maximise)
    }];
    for (place, sign, part) in buttons {
        if look.hovered == Some(part) {
            canvas.tint(place, ink, 40);
        }
        let inner = signed(place.height()) * 2 / 5;
        masks.draw(
            canvas,
            place.centred(crate::geometry::Size::new(
                inner.unsigned_abs(),
                inner.unsigned_abs(),
            )),
            sign,
            ink,
        );
    }

    let mut left = badge.right() + metrics.px(8);
    let right = frame.minimise.left() - metrics.px(6);
    let name = Style::bold(metrics.body, ink);
    // A long title of the zone's own may not squeeze the zone's name out: the name takes its room first.
    left += text::draw_centred_on(
        canvas,
        left,
        middle,
        look.identity.name.as_str(),
        name,
        right - left,
    );
    let mark = match look.identity {
        identity if identity.weakened.is_some() => Some(look.words.jail_weakened),
        identity if identity.outdated.is_some() => Some(look.words.outdated),
        _ => None,
    };
    if let Some(mark) = mark {
        left += paint_warning(
            canvas,
            masks,
            metrics,
            palette,
            Point {
                x: left + metrics.px(8),
                y: middle,
            },
            right,
            mark,
        );
    }
    let remark = match look.state {
        ZoneState::Off => Some(look.words.off),
        ZoneState::Starting(_) => Some(look.words.starting),
        ZoneState::Stopping => Some(look.words.stopping),
        ZoneState::Dark(_) => Some(look.words.dark),
        ZoneState::Running => None,
    };
    let muted = bar.mixed(ink, palette.soft);
    let title = remark.unwrap_or(look.title.as_str());
    let gap = metrics.px(11);
    if !title.is_empty() && right - left > metrics.px(70) {
        // The zone's own words stand apart from its label, behind a line and in a lighter hand.
        let line = Rect::from_edges(
            left + gap,
            frame.title.top() + metrics.px(7),
            left + gap + metrics.px(1),
            frame.title.bottom() - metrics.px(7),
        );
        canvas.fill(line, bar.mixed(ink, 110));
        let start = line.right() + gap;
        text::draw_centred_on(
            canvas,
            start,
            middle,
            title,
            Style::regular(metrics.body, muted),
            right - start,
        );
    }
}

/// Paints a warning as sign and words, where there is room for them, and says how wide it became.
pub(crate) fn paint_warning(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    metrics: &Metrics,
    palette: &Palette,
    at: Point,
    right: i32,
    words: &str,
) -> i32 {
    let ink = palette.warning.ink();
    let style = Style::bold(metrics.small, ink);
    let height = metrics.title - metrics.px(10);
    let sign = height - metrics.px(4);
    let full = sign + style.width(words) + metrics.px(17);
    let width = if at.x + full <= right {
        full
    } else {
        sign + metrics.px(8)
    };
    if at.x + width > right {
        return 0;
    }
    let plate = Rect::new(
        at.x,
        at.y - height / 2,
        width.unsigned_abs(),
        height.unsigned_abs(),
    );
    canvas.fill(plate, palette.warning);
    let square = Rect::new(
        at.x + metrics.px(4),
        at.y - sign / 2,
        sign.unsigned_abs(),
        sign.unsigned_abs(),
    );
    masks.draw(canvas, square, Sign::Warning, ink);
    if width == full {
        text::draw_centred_on(
            canvas,
            square.right() + metrics.px(6),
            at.y,
            words,
            style,
            full,
        );
    }
    plate.right() - at.x + metrics.px(8)
}

/// Paints the client area of a zone that shows no pixels: why, in the middle.
pub(crate) fn paint_void(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    palette: &Palette,
    metrics: &Metrics,
    client: Rect,
    look: &FrameLook<'_>,
) {
    canvas.fill(client, palette.void);
    let (heading, line) = match look.state {
        ZoneState::Off => (look.words.is_off, ""),
        ZoneState::Starting(doing) => (look.words.is_starting, doing.as_str()),
        ZoneState::Running => (look.words.is_silent, ""),
        ZoneState::Stopping => (look.words.is_stopping, ""),
        ZoneState::Dark(why) => (look.words.is_dark, why.as_str()),
    };
    let centre = client.centre();
    let side = metrics
        .px(56)
        .min(signed(client.height()) / 3)
        .max(0)
        .unsigned_abs();
    let place = Rect::new(
        centre.x - signed(side) / 2,
        centre.y - signed(side) - metrics.px(10),
        side,
        side,
    );
    let dark = matches!(look.state, ZoneState::Dark(_));
    if dark {
        masks.draw(canvas, place, Sign::Warning, palette.warning);
    } else {
        let fill = palette.void.mixed(look.identity.colour, 150);
        masks.draw_badge(
            canvas,
            place,
            (look.identity.shape, look.identity.icon),
            fill,
            palette.void,
        );
    }
    let margin = metrics.px(16);
    let room = signed(client.width()) - 2 * margin;
    let mut centred = |middle: i32, words: &str, style: Style| {
        let width = style.width(words).min(room);
        text::draw_centred_on(canvas, centre.x - width / 2, middle, words, style, room);
    };
    let sentence = format!("{} {heading}", look.identity.name);
    centred(
        centre.y + metrics.px(16),
        &sentence,
        Style::bold(metrics.body, palette.void_text),
    );
    let line_style = Style::regular(metrics.body, palette.void.mixed(palette.void_text, 200));
    let mut middle = centre.y + metrics.px(40);
    let step = metrics.body * 3 / 2;
    for line in text::wrapped(line, line_style, room, 3) {
        centred(middle, line, line_style);
        middle += step;
    }
    let mend = if dark || matches!(look.state, ZoneState::Off) {
        text::wrapped(look.words.how_to_start, line_style, room, 2)
    } else {
        Vec::new()
    };
    // Whole or not at all.
    if mend.iter().fold(middle, |end, _| end + step) <= client.bottom() {
        for line in mend {
            centred(middle, line, line_style);
            middle += step;
        }
    }
}
