//! The audit page: a filter, and a window of the records that match it, newest first.

use super::{PageControl, Sheet, Tone};
use crate::atlas::Weight;
use crate::geometry::{Rect, signed};
use crate::trusted::Control;
use crate::trusted::paint::button_height;

/// So many records are asked for, and stepped over, at once.
pub(super) const STEP: usize = 40;

pub(super) fn fill(sheet: &mut Sheet<'_>) {
    let metrics = sheet.metrics;
    let (view, words) = (&sheet.look.pages.audit, sheet.look.words);
    let row = sheet.top(button_height(metrics));
    let turns = [PageControl::Newer, PageControl::Older].map(Control::Page);
    let taken = crate::trusted::paint::row_width(&turns, metrics, sheet.look);
    let field = row.inset_edges(0, 0, taken + metrics.px(12), 0);
    sheet.control(field, Control::Page(PageControl::Filter));
    let right = Rect::from_edges(row.right() - taken, row.top(), row.right(), row.bottom());
    sheet.controls_from_left(right, &turns);
    sheet.top(metrics.px(8));
    let line = sheet.top(metrics.small * 3 / 2);
    let last = view.skipped + u64::try_from(view.records.len()).unwrap_or(0);
    let first = last.min(view.skipped + 1);
    let counts = words
        .records_shown
        .replacen("{}", &first.to_string(), 1)
        .replacen("{}", &last.to_string(), 1)
        .replacen("{}", &view.matching.to_string(), 1);
    sheet.small(line, &counts, Tone::Muted);
    if !view.health.is_empty() {
        let line = sheet.top(metrics.small * 3 / 2);
        sheet.small(line, view.health.as_str(), Tone::Muted);
    }
    sheet.top(metrics.px(4));
    let height = metrics.body * 8 / 5;
    for record in &view.records {
        if signed(sheet.rest.height()) < height {
            break;
        }
        let row = sheet.top(height);
        let rule = Rect::from_edges(
            row.left(),
            row.top(),
            row.right(),
            row.top() + metrics.px(1),
        );
        sheet.ground(rule, Tone::Line);
        let tone = if record.alarming {
            Tone::Warning
        } else {
            Tone::Text
        };
        let mut left = row.left();
        let mut column = |width: i32| {
            let right = (left + width).min(row.right());
            let place = Rect::from_edges(left, row.top(), right, row.bottom());
            left = (right + metrics.px(8)).min(row.right());
            place
        };
        let (time, zone, what) = (
            column(metrics.px(150)),
            column(metrics.px(110)),
            column(metrics.px(120)),
        );
        let text = column(signed(row.width()));
        sheet.body(time, record.time.as_str(), Tone::Muted);
        sheet.words(
            zone,
            record.zone.as_str(),
            Weight::Bold,
            Tone::Text,
            metrics.body,
        );
        sheet.body(what, record.what.as_str(), tone);
        sheet.body(text, record.text.as_str(), Tone::Text);
    }
}
