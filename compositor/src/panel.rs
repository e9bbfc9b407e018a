//! The trusted line at the top of every output: who has the keyboard, how the zones fare, and the endpoint's own words.
//!
//! No zone's pixel is ever drawn here; what a zone may choose (its title) is not shown here at all.

use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::frame;
use crate::geometry::{Point, Rect, Size, signed};
use crate::icons::{Masks, Sign};
use crate::layout::KeyboardLayout;
use crate::scene::WORKSPACES;
use crate::text::{self, Label, Style};
use crate::theme::{Metrics, Palette};
use crate::trusted::views::{Health, PanelSigns};
use crate::trusted::words::Words;
use crate::zone::{ZoneId, ZoneIdentity, ZoneState};

/// A zone as the panel shows it.
pub(crate) struct PanelZone<'a> {
    pub(crate) identity: &'a ZoneIdentity,
    pub(crate) state: &'a ZoneState,
    pub(crate) focused: bool,
    pub(crate) hidden: bool,
    pub(crate) hovered: bool,
    /// How large its client area is.
    pub(crate) client: Size,
}

/// What a panel is painted from.
pub(crate) struct PanelLook<'a> {
    pub(crate) zones: &'a [PanelZone<'a>],
    pub(crate) words: &'static Words,
    /// The workspace that is shown, and which of them hold windows.
    pub(crate) workspace: usize,
    pub(crate) occupied: [bool; WORKSPACES],
    /// The endpoint itself has the keyboard.
    pub(crate) trusted: bool,
    pub(crate) status: StatusLine<'a>,
}

/// What stands at the right end: the clock, the layout, signs, and words of the endpoint, from right to left.
#[derive(Clone, Copy)]
pub(crate) struct StatusLine<'a> {
    pub(crate) words: &'a [Label],
    pub(crate) signs: &'a PanelSigns,
    pub(crate) keyboard: KeyboardLayout,
}

/// One of them.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    /// The clock and the layout.
    Words(&'a str),
    /// What the endpoint has to say.
    Notice(&'a str),
    Sign(Sign, Health),
}

impl<'a> StatusLine<'a> {
    /// All of them, the rightmost first.
    pub(crate) fn items(self) -> impl Iterator<Item = Item<'a>> {
        let Self {
            words,
            signs,
            keyboard,
        } = self;
        let layout = signs.layout.then_some(match keyboard {
            KeyboardLayout::English => "EN",
            KeyboardLayout::German => "DE",
        });
        let of = [
            (Sign::Audit, signs.audit),
            (Sign::Policy, signs.policy),
            (Sign::Usb, signs.usb),
            (Sign::Network, signs.network),
        ];
        let clock = signs.clock.as_ref().map(Label::as_str);
        [clock, layout]
            .into_iter()
            .flatten()
            .map(Item::Words)
            .chain(
                of.into_iter()
                    .filter(|(_, health)| *health != Health::Absent)
                    .map(|(sign, health)| Item::Sign(sign, health)),
            )
            .chain(words.iter().map(|words| Item::Notice(words.as_str())))
    }

    /// Where each stands in a panel; what finds no room is left out.
    pub(crate) fn places(self, area: Rect, metrics: &Metrics) -> Vec<(Item<'a>, Rect)> {
        let limit = area.left() + signed(area.width()) / 2;
        let mut right = area.right() - metrics.px(6);
        let mut places = Vec::new();
        for item in self.items() {
            let wanted = match item {
                Item::Words(words) | Item::Notice(words) => {
                    let room = right - limit - metrics.px(12);
                    let style = Style::regular(metrics.body, Colour::WHITE);
                    let (style, lines) = set(words, style, metrics, room);
                    let widths = lines.iter().map(|line| style.width(line));
                    widths.max().unwrap_or(0) + metrics.px(12)
                }
                Item::Sign(..) => metrics.panel - metrics.px(10),
            };
            let left = (right - wanted).max(limit);
            let place = Rect::from_edges(left, area.top(), right, area.bottom());
            if place.is_empty() {
                break;
            }
            places.push((item, place));
            right = left - metrics.px(6);
        }
        places
    }

    fn left(self, area: Rect, metrics: &Metrics) -> i32 {
        let places = self.places(area, metrics);
        places
            .last()
            .map_or(area.right(), |(_, place)| place.left())
    }
}

/// The endpoint's own words as they are set: on one line, or smaller on two where one has no room for them.
fn set<'w>(words: &'w str, style: Style, metrics: &Metrics, room: i32) -> (Style, Vec<&'w str>) {
    if style.width(words) <= room {
        return (style, vec![words]);
    }
    let style = Style {
        size: metrics.small,
        ..style
    };
    (style, text::wrapped(words, style, room, 2))
}

/// Draws them around the middle of a row.
fn draw_set(
    canvas: &mut Canvas<'_>,
    (left, middle): (i32, i32),
    words: &str,
    style: Style,
    metrics: &Metrics,
    room: i32,
) {
    let (style, lines) = set(words, style, metrics, room);
    let step = style.size * 6 / 5;
    let mut middle = middle - (i32::try_from(lines.len()).unwrap_or(1) - 1) * step / 2;
    for line in lines {
        text::draw_centred_on(canvas, left, middle, line, style, room);
        middle += step;
    }
}

/// Where a zone's chip is. Chips that find no room have none.
pub(crate) fn chips(
    area: Rect,
    metrics: &Metrics,
    zones: &[PanelZone<'_>],
    status: StatusLine<'_>,
) -> Vec<(ZoneId, Rect)> {
    let left = area.left() + focus_width(area, metrics) + metrics.px(8);
    let right = marks_left(area, metrics, status) - metrics.px(8);
    let style = Style::regular(metrics.body, Colour::WHITE);
    let full = |zone: &PanelZone<'_>| {
        bare(metrics) + metrics.px(6) + style.width(zone.identity.short_name.as_str())
    };
    let total: i32 = zones.iter().map(|zone| full(zone) + metrics.px(4)).sum();
    let mut x = left;
    let mut places = Vec::new();
    for zone in zones {
        let width = if total <= right - left {
            full(zone)
        } else {
            bare(metrics)
        };
        if x + width > right {
            break;
        }
        places.push((
            zone.identity.id,
            Rect::from_edges(x, area.top(), x + width, area.bottom()),
        ));
        x += width + metrics.px(4);
    }
    places
}

/// Where the marks of the workspaces are, as wide as they may be clicked.
pub(crate) fn workspace_marks(
    area: Rect,
    metrics: &Metrics,
    status: StatusLine<'_>,
) -> [Rect; WORKSPACES] {
    let mut left = marks_left(area, metrics, status);
    [(); WORKSPACES].map(|()| {
        let mark = Rect::from_edges(left, area.top(), left + mark_width(metrics), area.bottom());
        left = mark.right();
        mark
    })
}

fn mark_width(metrics: &Metrics) -> i32 {
    metrics.px(15)
}

fn marks_left(area: Rect, metrics: &Metrics, status: StatusLine<'_>) -> i32 {
    let width = i32::try_from(WORKSPACES).unwrap_or(0) * mark_width(metrics);
    status.left(area, metrics) - width - metrics.px(10)
}

/// A chip's width without words.
fn bare(metrics: &Metrics) -> i32 {
    metrics.px(20) + badge(metrics)
}

fn badge(metrics: &Metrics) -> i32 {
    metrics.panel - metrics.px(14)
}

fn focus_width(area: Rect, metrics: &Metrics) -> i32 {
    metrics.px(230).min(signed(area.width()) / 3)
}

/// Paints the whole panel.
pub(crate) fn paint(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    palette: &Palette,
    metrics: &Metrics,
    area: Rect,
    look: &PanelLook<'_>,
) {
    canvas.fill(area, palette.surface);
    let line = metrics.px(1);
    canvas.fill(
        Rect::from_edges(
            area.left(),
            area.bottom() - line,
            area.right(),
            area.bottom(),
        ),
        palette.line,
    );
    let inner = area.inset_edges(0, 0, 0, line);
    paint_focus(canvas, masks, palette, metrics, inner, look);
    let places = chips(inner, metrics, look.zones, look.status);
    for ((_, place), zone) in places.iter().zip(look.zones) {
        paint_chip(canvas, masks, palette, metrics, *place, zone);
    }
    for (number, place) in workspace_marks(inner, metrics, look.status)
        .into_iter()
        .enumerate()
    {
        let mark = place.centred(Size {
            width: metrics.px(9).unsigned_abs(),
            height: metrics.px(9).unsigned_abs(),
        });
        if number == look.workspace {
            canvas.fill(mark, palette.text);
        } else {
            canvas.fill(mark, palette.muted);
            // A hollow mark stands for an empty workspace.
            if look.occupied.get(number) == Some(&false) {
                canvas.fill(mark.inset(metrics.px(1)), palette.surface);
            }
        }
    }
    for (item, place) in look.status.places(inner, metrics) {
        match item {
            Item::Words(words) | Item::Notice(words) => {
                let room = signed(place.width()) - metrics.px(6);
                let left = place.left() + metrics.px(6);
                let style = Style::regular(metrics.body, palette.text);
                draw_set(
                    canvas,
                    (left, place.centre().y),
                    words,
                    style,
                    metrics,
                    room,
                );
            }
            Item::Sign(sign, health) => {
                paint_sign(canvas, masks, palette, metrics, place, sign, health);
            }
        }
    }
}

/// A sign; one that is to be looked at has a warning beside its colour.
fn paint_sign(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    palette: &Palette,
    metrics: &Metrics,
    place: Rect,
    sign: Sign,
    health: Health,
) {
    let warned = health == Health::Warned;
    let ink = if warned {
        palette.warning
    } else {
        palette.muted
    };
    let side = metrics.px(16).unsigned_abs();
    let square = place.centred(Size {
        width: side,
        height: side,
    });
    masks.draw(canvas, square, sign, ink);
    if warned {
        let small = metrics.px(11).unsigned_abs();
        let corner = Rect::new(
            square.right() - signed(small) / 2,
            square.centre().y + metrics.px(1),
            small,
            small,
        );
        masks.draw(
            canvas,
            corner.inset(-metrics.px(1)),
            Sign::Warning,
            palette.surface,
        );
        masks.draw(canvas, corner, Sign::Warning, palette.warning);
    }
}

fn paint_focus(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    palette: &Palette,
    metrics: &Metrics,
    area: Rect,
    look: &PanelLook<'_>,
) {
    let block = Rect::from_edges(
        area.left(),
        area.top(),
        area.left() + focus_width(area, metrics),
        area.bottom(),
    );
    let middle = block.centre().y;
    let side = (metrics.panel - metrics.px(8)).unsigned_abs();
    let place = Rect::new(
        block.left() + metrics.px(8),
        middle - signed(side) / 2,
        side,
        side,
    );
    let left = place.right() + metrics.px(8);
    let room = block.right() - metrics.px(6) - left;
    let focused = look.zones.iter().find(|zone| zone.focused && !look.trusted);
    let Some(zone) = focused else {
        let words = if look.trusted {
            "Bulkhead"
        } else {
            look.words.nobody
        };
        canvas.fill(block, palette.raised);
        masks.draw(
            canvas,
            place.inset(metrics.px(3)),
            Sign::Bulwark,
            palette.text,
        );
        let style = Style::bold(metrics.body, palette.text);
        draw_set(canvas, (left, middle), words, style, metrics, room);
        return;
    };
    let colour = zone.identity.colour;
    canvas.fill(block, colour);
    masks.draw_badge(
        canvas,
        place,
        (zone.identity.shape, zone.identity.icon),
        colour.ink(),
        colour,
    );
    let style = Style::bold(metrics.body, colour.ink());
    let warned = zone.identity.is_marked();
    let mark = match zone.identity.weakened {
        Some(_) => look.words.weakened,
        None => look.words.outdated_short,
    };
    let reserve = if warned { metrics.title } else { 0 };
    let width = text::draw_centred_on(
        canvas,
        left,
        middle,
        zone.identity.name.as_str(),
        style,
        room - reserve,
    );
    if warned {
        let at = Point {
            x: left + width + metrics.px(8),
            y: middle,
        };
        frame::paint_warning(canvas, masks, metrics, palette, at, block.right(), mark);
    }
}

fn paint_chip(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    palette: &Palette,
    metrics: &Metrics,
    place: Rect,
    zone: &PanelZone<'_>,
) {
    let mut ground = palette.surface;
    if zone.focused || zone.hovered {
        ground = palette.raised;
        canvas.fill(place, ground);
    }
    let colour = zone.identity.colour;
    if zone.focused {
        let bar = Rect::from_edges(
            place.left(),
            place.bottom() - metrics.px(3),
            place.right(),
            place.bottom(),
        );
        canvas.fill(bar, colour);
    }
    let middle = place.centre().y;
    let side = badge(metrics);
    let square = Rect::new(
        place.left() + metrics.px(10),
        middle - side / 2,
        side.unsigned_abs(),
        side.unsigned_abs(),
    );
    let live = zone.state.is_live();
    let fill = if live {
        colour
    } else {
        ground.mixed(colour, 130)
    };
    masks.draw_badge(
        canvas,
        square,
        (zone.identity.shape, zone.identity.icon),
        fill,
        if live { colour.ink() } else { ground },
    );
    let ink = if live && !zone.hidden {
        palette.text
    } else {
        palette.muted
    };
    let left = square.right() + metrics.px(6);
    let style = Style::regular(metrics.body, ink);
    text::draw_centred_on(
        canvas,
        left,
        middle,
        zone.identity.short_name.as_str(),
        style,
        place.right() - left,
    );
    // A small sign at the badge's corner says what colour alone must not.
    let small = (side * 5 / 8).unsigned_abs();
    let corner = Rect::new(
        square.right() - signed(small) / 2,
        middle + metrics.px(1),
        small,
        small,
    );
    if matches!(zone.state, ZoneState::Dark(_)) || zone.identity.is_marked() {
        masks.draw(canvas, corner.inset(-metrics.px(1)), Sign::Warning, ground);
        masks.draw(canvas, corner, Sign::Warning, palette.warning);
    }
}
