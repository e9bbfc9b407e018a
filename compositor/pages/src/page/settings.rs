//! The settings page: what a person may choose about how the trusted UI looks and reads keys.

use compositor::{KeyboardLayout, Language, Settings, Theme};
use egui::{RichText, Ui, Vec2};

use super::Page;
use crate::Wish;
use crate::{look, widgets};

impl Page<'_> {
    pub(super) fn settings(&mut self, ui: &mut Ui) {
        let words = self.words;
        let now = self.ground.settings;
        let themes = [
            (words.theme_dark, Theme::Dark),
            (words.theme_light, Theme::Light),
            (words.theme_contrast, Theme::HighContrast),
        ];
        let themes = themes.map(|(word, theme)| (word, Settings { theme, ..now }));
        let sizes = [(words.text_normal, false), (words.text_large, true)];
        let sizes = sizes.map(|(word, large_text)| (word, Settings { large_text, ..now }));
        // Each language and layout by its own name: a person who set the wrong one finds back.
        let languages = [
            ("English", Language::English),
            ("Deutsch", Language::German),
        ];
        let languages = languages.map(|(word, language)| (word, Settings { language, ..now }));
        let layouts = [
            ("English", KeyboardLayout::English),
            ("Deutsch", KeyboardLayout::German),
        ];
        let layouts = layouts.map(|(word, keyboard)| (word, Settings { keyboard, ..now }));
        egui::ScrollArea::vertical()
            .auto_shrink(false)
            .animated(false)
            .show(ui, |ui| {
                widgets::page_keys(ui);
                self.choices(ui, (words.theme, words.theme_why), &themes);
                self.choices(ui, (words.text_size, words.text_why), &sizes);
                self.choices(ui, (words.language, words.language_why), &languages);
                self.choices(ui, (words.keyboard, words.keyboard_why), &layouts);
                ui.add_space(4.0);
                widgets::small(ui, &self.tones, words.settings_kept);
            });
    }

    /// A row of settings of which one is in force.
    fn choices(&mut self, ui: &mut Ui, (name, why): (&str, &str), all: &[(&str, Settings)]) {
        let tones = self.tones;
        widgets::card(ui, &tones, |ui| {
            let side_by_side = ui.available_width() >= 560.0;
            let words = |ui: &mut Ui| {
                ui.spacing_mut().item_spacing.y = 3.0;
                ui.label(RichText::new(name).font(look::bold(look::BODY)));
                widgets::small(ui, &tones, why);
            };
            let mut buttons = |ui: &mut Ui| {
                ui.horizontal_wrapped(|ui| {
                    ui.spacing_mut().item_spacing.x = 6.0;
                    for (word, settings) in all {
                        let chosen = *settings == self.ground.settings;
                        let spoken = format!("{name}: {word}");
                        if widgets::choice(ui, &tones, chosen, word, &spoken) && !chosen {
                            self.wishes.push(Wish::Choose(*settings));
                        }
                    }
                });
            };
            if side_by_side {
                ui.horizontal(|ui| {
                    let left = Vec2::new(ui.available_width() * 0.46, 34.0);
                    let down = egui::Layout::top_down(egui::Align::Min);
                    ui.allocate_ui_with_layout(left, down, |ui| {
                        ui.set_min_width(left.x);
                        words(ui);
                    });
                    buttons(ui);
                });
            } else {
                words(ui);
                buttons(ui);
            }
        });
    }
}
