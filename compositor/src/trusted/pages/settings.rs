//! The settings page: what a person may choose about how the trusted UI looks and reads keys.

use super::{Choice, PageControl, Sheet, Tone};
use crate::geometry::signed;
use crate::layout::KeyboardLayout;
use crate::theme::Theme;
use crate::trusted::paint::button_height;
use crate::trusted::{Control, Language};

pub(super) fn fill(sheet: &mut Sheet<'_>) {
    let metrics = sheet.metrics;
    let words = sheet.look.words;
    let themes = [Theme::Dark, Theme::Light, Theme::HighContrast].map(Choice::Theme);
    let sizes = [false, true].map(Choice::LargeText);
    let languages = [Language::English, Language::German].map(Choice::Language);
    let keyboards = [KeyboardLayout::English, KeyboardLayout::German].map(Choice::Keyboard);
    let rows: [(&str, &[Choice]); 4] = [
        (words.theme, &themes),
        (words.text_size, &sizes),
        (words.language, &languages),
        (words.keyboard, &keyboards),
    ];
    for (name, choices) in rows {
        let row = sheet.top(button_height(metrics));
        let left = metrics.px(200).min(signed(row.width()) / 3);
        let label = row.inset_edges(0, 0, signed(row.width()) - left, 0);
        sheet.body(label, name, Tone::Text);
        let controls: Vec<Control> = choices
            .iter()
            .map(|choice| Control::Page(PageControl::Choose(*choice)))
            .collect();
        sheet.controls_from_left(row.inset_edges(left, 0, 0, 0), &controls);
        sheet.top(metrics.px(12));
    }
    let line = sheet.top(metrics.small * 2);
    sheet.small(line, words.settings_kept, Tone::Muted);
}
