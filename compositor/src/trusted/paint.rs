//! How the pages of the trusted UI are painted.

use super::look::{LockLine, PageLook};
use super::places;
use super::{Control, Layout, Page};
use crate::canvas::Canvas;
use crate::geometry::{Point, Rect, signed};
use crate::icons::{Masks, Sign};
use crate::panel::PanelZone;
use crate::text::{self, Style};
use crate::theme::Metrics;
use crate::trusted::words::Words;
use crate::zone::{ZoneIdentity, ZoneState};

/// Paints the page that is up.
pub(crate) fn paint(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    metrics: &Metrics,
    layout: &Layout,
    look: &PageLook<'_>,
) {
    let mut brush = Brush {
        canvas,
        masks,
        metrics,
        look,
    };
    match look.ui.page() {
        Some(Page::Attention) => brush.attention(layout),
        Some(Page::Overview) => return brush.overview(layout),
        Some(Page::Prompt) => brush.prompt(layout),
        Some(Page::Lock) => brush.lock(layout),
        Some(Page::Work(_)) => return brush.work(layout),
        None => {}
    }
    let active = look.ui.is_armed(look.now);
    for (number, (place, control)) in layout.controls.iter().enumerate() {
        brush.button(number, *place, *control, active);
    }
}

/// How a zone fares, in a word.
pub(crate) fn state(zone: &PanelZone<'_>, words: &'static Words) -> &'static str {
    match zone.state {
        ZoneState::Off => words.off,
        ZoneState::Starting(_) => words.starting,
        ZoneState::Running => words.running,
        ZoneState::Stopping => words.stopping,
        ZoneState::Dark(_) => words.dark,
    }
}

/// What is not as it should be with a zone that runs, each with its reason.
pub(crate) fn marks(
    identity: &ZoneIdentity,
    words: &'static Words,
) -> impl Iterator<Item = String> {
    let weakened = identity.weakened.as_ref();
    let outdated = identity.outdated.as_ref();
    let weakened = weakened.map(|why| format!("{}: {why}", words.jail_weakened));
    let outdated = outdated.map(|why| format!("{}: {why}", words.outdated));
    weakened.into_iter().chain(outdated)
}

struct Brush<'a, 'b> {
    canvas: &'a mut Canvas<'b>,
    masks: &'a mut Masks,
    metrics: &'a Metrics,
    look: &'a PageLook<'a>,
}

impl Brush<'_, '_> {
    fn button(&mut self, number: usize, place: Rect, control: Control, active: bool) {
        let words = &self.look.label(control);
        let palette = &self.look.palette;
        let selected = self.look.ui.selected() == number;
        let (ink, ground) = if self.look.hovered == Some(number) && active {
            (palette.text, palette.raised.mixed(palette.text, 30))
        } else {
            (palette.text, palette.raised)
        };
        let rim = if selected { palette.text } else { palette.line };
        let thick = self.metrics.px(if selected { 2 } else { 1 });
        self.canvas.fill_ring(
            place,
            place.inset(thick),
            if active { rim } else { palette.line },
        );
        self.canvas.fill(place.inset(thick), ground);
        let ink = if active {
            ink
        } else {
            ground.mixed(palette.text, 110)
        };
        let style = Style::bold(self.metrics.body, ink);
        let pad = self.metrics.px(6);
        let left = (place.centre().x - style.width(words) / 2).max(place.left() + pad);
        text::draw_centred_on(
            self.canvas,
            left,
            place.centre().y,
            words,
            style,
            signed(place.width()),
        );
    }

    /// A sheet with the picture that somebody painted of the page, and with the phrase that only the endpoint knows.
    fn work(&mut self, layout: &Layout) {
        let (metrics, palette) = (self.metrics, &self.look.palette);
        self.sheet(layout.area);
        let place = places::work_picture(layout.area, metrics);
        let work = &self.look.ui.work;
        if work.size == place.size() {
            self.canvas
                .blend_image(place.origin(), work.size, &work.pixels);
        }
        let foot = Rect::from_edges(
            place.left(),
            place.bottom(),
            place.right(),
            layout.area.bottom() - metrics.px(2),
        );
        let line = foot.inset_edges(0, 0, 0, signed(foot.height()) - metrics.px(1));
        let soft = palette.surface.mixed(palette.muted, 60);
        self.canvas.fill(line, soft);
        let style = Style::regular(metrics.small, palette.muted);
        let left = foot.left() + metrics.px(14);
        let room = foot.right() - metrics.px(14) - left;
        let middle = foot.centre().y;
        let phrase = self.look.phrase();
        text::draw_centred_on(self.canvas, left, middle, &phrase, style, room);
    }

    /// The ground of a page: framed in the endpoint's own pattern, which has no zone's colour.
    fn sheet(&mut self, area: Rect) {
        let palette = &self.look.palette;
        self.canvas.fill(area, palette.surface);
        let line = self.metrics.px(2);
        self.canvas.fill_ring(area, area.inset(line), palette.text);
    }

    /// Draws one line and says where the next begins.
    fn line(&mut self, left: i32, top: i32, words: &str, style: Style, room: i32) -> i32 {
        text::draw(self.canvas, Point { x: left, y: top }, words, style, room);
        top + style.size * 3 / 2
    }

    fn heading(&mut self, area: &Rect, words: &str) -> i32 {
        let metrics = self.metrics;
        let side = metrics.heading * 3 / 2;
        let left = area.left() + places::margin(metrics);
        let top = area.top() + metrics.px(20);
        let place = Rect::new(left, top, side.unsigned_abs(), side.unsigned_abs());
        self.masks
            .draw(self.canvas, place, Sign::Bulwark, self.look.palette.text);
        let style = Style::bold(metrics.heading, self.look.palette.text);
        let x = place.right() + metrics.px(12);
        text::draw_centred_on(
            self.canvas,
            x,
            place.centre().y,
            words,
            style,
            area.right() - places::margin(metrics) - x,
        );
        place.bottom() + metrics.px(14)
    }

    fn overview(&mut self, layout: &Layout) {
        let (metrics, palette) = (self.metrics, &self.look.palette);
        self.canvas.fill(layout.area, palette.desktop);
        for (number, ((tile, _), zone)) in layout.controls.iter().zip(self.look.zones).enumerate() {
            let selected = self.look.ui.selected() == number;
            if selected || self.look.hovered == Some(number) {
                let halo = tile.inset(-metrics.px(5));
                self.canvas.fill_ring(
                    halo,
                    tile.inset(-metrics.px(2)),
                    if selected {
                        palette.text
                    } else {
                        palette.muted
                    },
                );
            }
            let identity = zone.identity;
            let ink = identity.colour.ink();
            self.canvas.fill(*tile, identity.colour);
            let bar = Rect::from_edges(
                tile.left(),
                tile.top(),
                tile.right(),
                tile.top() + metrics.ring + metrics.title,
            );
            let side = (metrics.title - metrics.px(6)).max(1).unsigned_abs();
            let badge = Rect::new(
                bar.left() + metrics.px(9),
                bar.centre().y - signed(side) / 2,
                side,
                side,
            );
            self.masks.draw_badge(
                self.canvas,
                badge,
                (identity.shape, identity.icon),
                ink,
                identity.colour,
            );
            let left = badge.right() + metrics.px(8);
            let room = bar.right() - metrics.px(8) - left;
            let style = Style::bold(metrics.body, ink);
            text::draw_centred_on(
                self.canvas,
                left,
                bar.centre().y,
                identity.name.as_str(),
                style,
                room,
            );
        }
    }

    fn attention(&mut self, layout: &Layout) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        let area = layout.area;
        self.sheet(area);
        let top = self.heading(&area, "Bulkhead");
        let left = area.left() + places::margin(metrics);
        let room = signed(area.width()) - 2 * places::margin(metrics);
        // The phrase stands on a plate of its own: it is what the person is to look for.
        let plate = Rect::new(
            left,
            top,
            room.max(0).unsigned_abs(),
            (metrics.body * 5).unsigned_abs(),
        );
        self.canvas.fill(plate, palette.raised);
        let inner = left + metrics.px(12);
        let small = Style::regular(metrics.small, palette.muted);
        let next = self.line(
            inner,
            top + metrics.body / 2,
            words.phrase_is,
            small,
            room - metrics.px(24),
        );
        let phrase = self
            .look
            .ui
            .phrase
            .as_ref()
            .map_or(words.no_phrase, |phrase| phrase.as_str());
        let next = self.line(
            inner,
            next,
            phrase,
            Style::bold(metrics.body, palette.text),
            room - metrics.px(24),
        );
        self.line(inner, next, words.phrase_rule, small, room - metrics.px(24));

        let rows = i32::try_from(self.look.zones.len()).unwrap_or(0);
        let in_column = places::in_column(rows, layout.columns);
        for (number, zone) in (0..rows).zip(self.look.zones) {
            let place = places::zone_row(&area, metrics, number, in_column, layout.columns);
            let end = layout
                .controls
                .iter()
                .find(|(_, control)| *control == Control::Show(zone.identity.id));
            let right = end.map_or(place.right(), |(button, _)| button.left()) - metrics.px(10);
            self.zone(place, right, zone);
        }
    }

    fn zone(&mut self, place: Rect, right: i32, zone: &PanelZone<'_>) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        let line = Rect::from_edges(
            place.left(),
            place.top(),
            place.right(),
            place.top() + metrics.px(1),
        );
        self.canvas
            .fill(line, palette.surface.mixed(palette.muted, 60));
        let identity = zone.identity;
        let side = (metrics.title + metrics.px(2)).unsigned_abs();
        let middle = place.centre().y;
        let badge = Rect::new(place.left(), middle - signed(side) / 2, side, side);
        let fill = identity.colour;
        self.masks.draw_badge(
            self.canvas,
            badge,
            (identity.shape, identity.icon),
            fill,
            fill.ink(),
        );
        let left = badge.right() + metrics.px(12);
        let state = state(zone, words);
        let had_keyboard = self.look.ui.resume == Some(identity.id);
        let mut remark = state.to_owned();
        if had_keyboard {
            remark = format!("{remark}, {}", words.had_keyboard);
        }
        for mark in marks(identity, words) {
            remark = format!("{remark}, {mark}");
        }
        let name = Style::bold(metrics.body, palette.text);
        let half = metrics.body * 3 / 4;
        text::draw_centred_on(
            self.canvas,
            left,
            middle - half,
            identity.name.as_str(),
            name,
            right - left,
        );
        let warned = identity.is_marked() || matches!(zone.state, ZoneState::Dark(_));
        let ink = if warned {
            palette.warning
        } else {
            palette.muted
        };
        let style = Style::regular(metrics.small, ink);
        text::draw_centred_on(
            self.canvas,
            left,
            middle + half,
            &remark,
            style,
            right - left,
        );
    }

    fn prompt(&mut self, layout: &Layout) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        let area = layout.area;
        self.sheet(area);
        let Some(prompt) = self.look.ui.prompt() else {
            return;
        };
        // Who asks is said by the endpoint, in all four channels, in a bar like the zone's own title bar.
        let bar = Rect::from_edges(
            area.left(),
            area.top(),
            area.right(),
            area.top() + metrics.title + metrics.px(10),
        );
        let bar = bar.inset_edges(metrics.px(2), metrics.px(2), metrics.px(2), 0);
        if let Some(zone) = self.look.zone(prompt.from) {
            self.bar(bar, prompt.to.and_then(|to| self.look.zone(to)), zone);
        }
        let left = area.left() + places::margin(metrics);
        let room = signed(area.width()) - 2 * places::margin(metrics);
        let mut top = bar.bottom() + metrics.px(16);
        if prompt.withdrawn {
            self.line(
                left,
                top,
                words.withdrawn,
                Style::bold(metrics.body, palette.text),
                room,
            );
            return;
        }
        let style = Style::bold(metrics.body, palette.text);
        for line in text::wrapped(prompt.question.as_str(), style, room, 3) {
            top = self.line(left, top, line, style, room);
        }
        if !prompt.detail.is_empty() {
            top += metrics.px(6);
            top = self.line(
                left,
                top,
                words.it_says,
                Style::regular(metrics.small, palette.muted),
                room,
            );
            let style = Style::regular(metrics.body, palette.text);
            for line in text::wrapped(prompt.detail.as_str(), style, room - metrics.px(12), 2) {
                let mark =
                    Rect::from_edges(left, top, left + metrics.px(3), top + metrics.body * 3 / 2);
                self.canvas.fill(mark, palette.muted);
                top = self.line(
                    left + metrics.px(12),
                    top,
                    line,
                    style,
                    room - metrics.px(12),
                );
            }
        }
        if !self.look.ui.is_armed(self.look.now) {
            let buttons = layout
                .controls
                .first()
                .map_or(area.bottom(), |(place, _)| place.top());
            let style = Style::regular(metrics.small, palette.muted);
            self.line(left, buttons - metrics.small * 2, words.wait, style, room);
        }
    }

    /// The bar of a question: who asks, and whom it concerns.
    fn bar(&mut self, bar: Rect, to: Option<&PanelZone<'_>>, from: &PanelZone<'_>) {
        let metrics = self.metrics;
        let mut left = bar.left();
        let parts = [Some(from), to];
        let count = signed(u32::try_from(parts.iter().flatten().count()).unwrap_or(1)).max(1);
        for zone in parts.into_iter().flatten() {
            let identity = zone.identity;
            let right = if zone.identity.id == from.identity.id {
                bar.left() + signed(bar.width()) / count
            } else {
                bar.right()
            };
            let part = Rect::from_edges(left, bar.top(), right, bar.bottom());
            let ink = identity.colour.ink();
            self.canvas.fill(part, identity.colour);
            let side = (metrics.title - metrics.px(2)).unsigned_abs();
            let badge = Rect::new(
                left + metrics.px(12),
                part.centre().y - signed(side) / 2,
                side,
                side,
            );
            self.masks.draw_badge(
                self.canvas,
                badge,
                (identity.shape, identity.icon),
                ink,
                identity.colour,
            );
            let style = Style::bold(metrics.body, ink);
            let x = badge.right() + metrics.px(8);
            let words = if zone.identity.id == from.identity.id {
                format!("{} {}", identity.name, self.look.words.wants)
            } else {
                format!("\u{2192} {}", identity.name)
            };
            text::draw_centred_on(
                self.canvas,
                x,
                part.centre().y,
                &words,
                style,
                right - x - metrics.px(8),
            );
            left = right;
        }
    }

    fn lock(&mut self, layout: &Layout) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        self.canvas.fill(layout.area, palette.desktop);
        let field = places::lock_field(&layout.area, metrics);
        let side = metrics.px(64).unsigned_abs();
        let centre = field.centre().x;
        let sign = Rect::new(
            centre - signed(side) / 2,
            field.top() - metrics.px(130),
            side,
            side,
        );
        self.masks
            .draw(self.canvas, sign, Sign::Bulwark, palette.text);
        let mut centred = |middle: i32, words: &str, style: Style| {
            let room = signed(layout.area.width());
            let width = style.width(words).min(room);
            text::draw_centred_on(self.canvas, centre - width / 2, middle, words, style, room);
        };
        centred(
            field.top() - metrics.px(32),
            words.locked,
            Style::bold(metrics.heading, palette.text),
        );
        let bottom = layout
            .controls
            .first()
            .map_or(field.bottom(), |(place, _)| place.bottom());
        let mut middle = bottom + metrics.px(28);
        for (line, words) in self.look.lock_lines() {
            let ink = match line {
                LockLine::Why => palette.text,
                LockLine::Refused | LockLine::Wait => palette.warning,
            };
            let style = Style::regular(metrics.body, ink);
            let room = signed(layout.area.width()) - 2 * places::margin(metrics);
            for line in text::wrapped(&words, style, room, 2) {
                centred(middle, line, style);
                middle += metrics.body * 3 / 2;
            }
            middle += metrics.px(4);
        }
        let Some(lock) = self.look.ui.lock_state(self.look.now) else {
            return;
        };
        self.canvas.fill(field, palette.muted);
        self.canvas
            .fill(field.inset(metrics.px(1)), palette.surface);
        let inner = field.inset(metrics.px(10));
        if lock.typed == 0 {
            let style = Style::regular(metrics.body, palette.muted);
            text::draw_centred_on(
                self.canvas,
                inner.left(),
                field.centre().y,
                words.passphrase,
                style,
                signed(inner.width()),
            );
            return;
        }
        // Dots say that keys arrive; how many there are beyond the field's width is nobody's business.
        let blocked = lock.verifying || !lock.wait.is_zero();
        let ink = if blocked { palette.muted } else { palette.text };
        let style = Style::regular(metrics.body, ink);
        let dots = "\u{25cf}".repeat(lock.typed.min(64));
        let room = signed(inner.width());
        let step = style.width("\u{25cf}").max(1);
        let shown: String = dots
            .chars()
            .take(usize::try_from(room / step).unwrap_or(0))
            .collect();
        text::draw_centred_on(
            self.canvas,
            inner.left(),
            field.centre().y,
            &shown,
            style,
            room,
        );
    }
}
