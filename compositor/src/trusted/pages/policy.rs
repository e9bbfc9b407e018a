//! The policy page: its facts, the flow matrix of one kind, and which rules decide the chosen cell.

use super::{PageControl, Pages, Piece, Sheet, Tone, verdict_look};
use crate::atlas::Weight;
use crate::geometry::{Rect, signed};
use crate::text::{self, Style};
use crate::trusted::Control;
use crate::trusted::paint::{PageLook, button_height};
use crate::trusted::views::FlowVerdict;

pub(super) fn fill(sheet: &mut Sheet<'_>) {
    let metrics = sheet.metrics;
    let pages = sheet.look.pages;
    for fact in pages.policy.facts.iter().take(4) {
        let line = sheet.top(metrics.small * 3 / 2);
        sheet.small(line, fact.as_str(), Tone::Muted);
    }
    sheet.top(metrics.px(6));
    kinds(sheet);
    sheet.top(metrics.px(10));
    let wide = signed(sheet.rest.width()) >= metrics.px(760);
    let beside = if wide {
        let middle = sheet.rest.right() - (signed(sheet.rest.width()) * 2 / 5);
        let right = Rect::from_edges(
            middle,
            sheet.rest.top(),
            sheet.rest.right(),
            sheet.rest.bottom(),
        );
        sheet.rest = sheet
            .rest
            .inset_edges(0, 0, signed(right.width()) + metrics.px(20), 0);
        right
    } else {
        let height = signed(sheet.rest.height()) / 3;
        sheet.bottom(height)
    };
    matrix(sheet);
    sheet.rest = beside;
    explanation(sheet);
}

/// The kinds in as many rows as they need.
fn kinds(sheet: &mut Sheet<'_>) {
    let metrics = sheet.metrics;
    let count = u16::try_from(sheet.look.pages.policy.kinds.len()).unwrap_or(u16::MAX);
    let mut row = sheet.top(button_height(metrics));
    let mut left = row.left();
    for kind in 0..count {
        let control = Control::Page(PageControl::Kind(kind));
        let width = sheet.look.width(control, metrics) - metrics.px(10);
        if left + width > row.right() && left > row.left() {
            sheet.top(metrics.px(4));
            row = sheet.top(button_height(metrics));
            left = row.left();
        }
        let place = Rect::from_edges(left, row.top(), left + width, row.bottom());
        sheet.control(place, control);
        left += width + metrics.px(4);
    }
}

/// Senders down, receivers across, as many as there is room for.
fn matrix(sheet: &mut Sheet<'_>) {
    let metrics = sheet.metrics;
    let pages = sheet.look.pages;
    let count = signed(u32::try_from(pages.policy.parties.len()).unwrap_or(0));
    if count == 0 {
        let line = sheet.top(metrics.body * 2);
        return sheet.body(line, sheet.look.words.no_policy, Tone::Muted);
    }
    let room = sheet.rest;
    let names = (signed(room.width()) / 4).min(metrics.px(150));
    let head = metrics.px(30);
    let pans = button_height(metrics) + metrics.px(6);
    let side = ((signed(room.width()) - names) / count)
        .min((signed(room.height()) - head - pans) / count)
        .clamp(metrics.px(20), metrics.px(40));
    let shown = |length: i32| (length / side).clamp(0, count);
    let across = shown(signed(room.width()) - names);
    let mut down = shown(signed(room.height()) - head);
    let overflows = across < count || down < count;
    if overflows {
        down = shown(signed(room.height()) - head - pans);
    }
    // The last ones are never scrolled past.
    let start = |first: u16, shown: i32| i32::from(first).min(count - shown).max(0);
    let (top, left) = (start(pages.first.0, down), start(pages.first.1, across));
    for (place, party) in (0..across).zip(left..) {
        let x = room.left() + names + place * side;
        let cell = Rect::from_edges(x, room.top(), x + side, room.top() + head);
        head_of(sheet, cell, party, false);
    }
    for (row, from) in (0..down).zip(top..) {
        let y = room.top() + head + row * side;
        let name = Rect::from_edges(room.left(), y, room.left() + names, y + side);
        head_of(sheet, name, from, true);
        for (column, to) in (0..across).zip(left..) {
            let x = room.left() + names + column * side;
            let place = Rect::from_edges(x, y, x + side, y + side).inset(metrics.px(1));
            let key = |party: i32| u16::try_from(party).unwrap_or(u16::MAX);
            let known = pages
                .policy
                .cells
                .contains_key(&(pages.kind, key(from), key(to)));
            if known {
                let control = PageControl::Cell(key(from), key(to));
                sheet.control(place, Control::Page(control));
            } else {
                sheet.ground(place.inset(metrics.px(2)), Tone::Raised);
            }
        }
    }
    if overflows {
        let row = Rect::from_edges(
            room.left(),
            room.bottom() - button_height(metrics),
            room.right(),
            room.bottom(),
        );
        let pan = |down, right| Control::Page(PageControl::Pan(down, right));
        sheet.controls_from_left(row, &[pan(0, -1), pan(-1, 0), pan(1, 0), pan(0, 1)]);
    }
}

/// A party's badge, and (`named`) its name beside it.
fn head_of(sheet: &mut Sheet<'_>, place: Rect, party: i32, named: bool) {
    let metrics = sheet.metrics;
    let party = usize::try_from(party).unwrap_or(usize::MAX);
    let Some(party) = sheet.look.pages.policy.parties.get(party) else {
        return;
    };
    let side = metrics
        .px(20)
        .min(signed(place.height()))
        .min(signed(place.width()))
        .max(1);
    let left = if named {
        place.left()
    } else {
        place.centre().x - side / 2
    };
    let top = place.centre().y - side / 2;
    let badge = Rect::new(left, top, side.unsigned_abs(), side.unsigned_abs());
    sheet.badge(badge, party.zone);
    if named {
        let room = place.inset_edges(side + metrics.px(6), 0, metrics.px(4), 0);
        sheet.body(room, party.name.as_str(), Tone::Text);
    }
}

/// Which rules decide.
fn explanation(sheet: &mut Sheet<'_>) {
    let metrics = sheet.metrics;
    let (pages, words) = (sheet.look.pages, sheet.look.words);
    let line = metrics.body * 8 / 5;
    let Some((from, to)) = pages.cell else {
        let place = sheet.top(line);
        sheet.body(place, words.choose_cell, Tone::Muted);
        return;
    };
    let heading = sheet.top(line);
    let title = spoken(sheet.look, from, to);
    let style = Style::bold(metrics.body, crate::colour::Colour::WHITE);
    let mut rest = Some(heading);
    for part in text::wrapped(&title, style, signed(heading.width()), 3) {
        let place = rest.take().unwrap_or_else(|| sheet.top(line));
        sheet.words(place, part, Weight::Bold, Tone::Text, metrics.body);
    }
    let Some(cell) = pages.policy.cells.get(&(pages.kind, from, to)) else {
        return;
    };
    if cell.redirects {
        let place = sheet.top(line);
        sheet.small(place, words.redirects, Tone::Muted);
    }
    if cell.rules.is_empty() {
        let place = sheet.top(line);
        sheet.body(place, words.no_rule, Tone::Muted);
    }
    let all = cell
        .rules
        .iter()
        .filter_map(|rule| pages.policy.rules.get(usize::from(*rule)));
    for rule in all {
        // As many as there is room for: the strictest stand first.
        if signed(sheet.rest.height()) < line {
            break;
        }
        let place = sheet.top(line);
        let (_, sign) = verdict_look(rule.verdict);
        let mark = Rect::from_edges(
            place.left(),
            place.top(),
            place.left() + metrics.px(18),
            place.bottom(),
        );
        sheet.layout.pieces.push(Piece::Words {
            place: mark,
            words: sign.to_owned(),
            weight: Weight::Bold,
            tone: Tone::Text,
            size: metrics.body,
        });
        let room = place.inset_edges(metrics.px(20), 0, 0, 0);
        let style = Style::regular(metrics.body, crate::colour::Colour::WHITE);
        let lines = text::wrapped(rule.words.as_str(), style, signed(room.width()), 3);
        for (number, part) in lines.into_iter().enumerate() {
            let place = if number == 0 {
                room
            } else {
                sheet.top(line).inset_edges(metrics.px(20), 0, 0, 0)
            };
            sheet.body(place, part, Tone::Text);
        }
    }
}

/// The sign in a cell: by its form, not by its colour alone.
pub(super) fn mark(pages: &Pages, from: u16, to: u16) -> String {
    let cell = pages.policy.cells.get(&(pages.kind, from, to));
    cell.map_or_else(String::new, |cell| {
        let (_, sign) = verdict_look(cell.best);
        let star = if cell.conditional { "*" } else { "" };
        let arrow = if cell.redirects { "\u{2192}" } else { "" };
        format!("{sign}{star}{arrow}")
    })
}

/// A cell in words: "clipboard: corp -> open: ask, under conditions".
pub(super) fn spoken(look: &PageLook<'_>, from: u16, to: u16) -> String {
    let (pages, words) = (look.pages, look.words);
    let party = |number: u16| {
        let party = pages.policy.parties.get(usize::from(number));
        party.map_or("", |party| party.name.as_str())
    };
    let kind = pages.policy.kinds.get(usize::from(pages.kind));
    let kind = kind.map_or("", |kind| kind.as_str());
    let cell = pages.policy.cells.get(&(pages.kind, from, to));
    let verdict = match cell.map_or(FlowVerdict::Deny, |cell| cell.best) {
        FlowVerdict::Deny => words.deny,
        FlowVerdict::Ask => words.ask,
        FlowVerdict::Allow => words.allow,
    };
    let conditional = cell.is_some_and(|cell| cell.conditional);
    let under = if conditional { words.conditional } else { "" };
    format!(
        "{kind}: {} \u{2192} {}: {verdict}{under}",
        party(from),
        party(to)
    )
}
