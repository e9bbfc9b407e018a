//! Small things that the pages are put together from.

use std::collections::HashMap;
use std::sync::Arc;

use compositor::accesskit::Role;
use compositor::{Icon, Mark, Shape, ZoneIdentity, badge_image, mark_image};
use egui::{
    Align, Button, Color32, ColorImage, CornerRadius, FontId, Galley, Key, Pos2, Rect, Response,
    RichText, ScrollArea, Sense, Stroke, StrokeKind, TextEdit, TextWrapMode, TextureHandle,
    TextureOptions, Ui, Vec2, WidgetInfo, WidgetText,
};

use crate::look::{self, Tones};
use crate::views::{FILTER_LENGTH, FlowVerdict};

/// More images than this are not kept: they are made anew.
const MOST_IMAGES: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Picture {
    Badge(u32, Shape, Icon),
    Mark(Mark, Color32),
}

/// Badges and marks as they were drawn for frames, by their side in pixels.
#[derive(Default)]
pub(crate) struct Images {
    kept: HashMap<(Picture, u32), TextureHandle>,
}

impl Images {
    /// A zone's shape with its icon in it, in the middle of `place`.
    pub(crate) fn badge(&mut self, ui: &Ui, place: Rect, zone: &ZoneIdentity) {
        let picture = Picture::Badge(zone.colour.pixel(), zone.shape, zone.icon);
        self.draw(ui, place, picture, |side| badge_image(zone, side));
    }

    /// One of the endpoint's marks, in the middle of `place`.
    pub(crate) fn mark(&mut self, ui: &Ui, place: Rect, mark: Mark, colour: Color32) {
        let [red, green, blue, _] = colour.to_array();
        let plain = compositor::Colour::rgb(red, green, blue);
        let picture = Picture::Mark(mark, colour);
        self.draw(ui, place, picture, |side| mark_image(mark, side, plain));
    }

    /// Images have as many pixels as they cover, and lie on whole ones.
    fn draw(&mut self, ui: &Ui, place: Rect, picture: Picture, make: impl Fn(u32) -> Vec<u32>) {
        let scale = ui.ctx().pixels_per_point();
        let side = (place.width().min(place.height()) * scale)
            .round()
            .clamp(1.0, 512.0);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was clamped"
        )]
        let pixels = side as u32;
        if self.kept.len() > MOST_IMAGES {
            self.kept.clear();
        }
        let texture = self.kept.entry((picture, pixels)).or_insert_with(|| {
            let colours = make(pixels).into_iter().map(|pixel| {
                let [blue, green, red, alpha] = pixel.to_le_bytes();
                Color32::from_rgba_premultiplied(red, green, blue, alpha)
            });
            let count = usize::try_from(pixels).unwrap_or(1);
            let image = ColorImage::new([count, count], colours.collect());
            ui.ctx().load_texture("", image, TextureOptions::NEAREST)
        });
        let corner = place.center() - Vec2::splat(side / scale / 2.0);
        let corner = Pos2::new(
            (corner.x * scale).round() / scale,
            (corner.y * scale).round() / scale,
        );
        let area = Rect::from_min_size(corner, Vec2::splat(side / scale));
        let whole = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
        ui.painter()
            .image(texture.id(), area, whole, Color32::WHITE);
    }
}

/// A button; `spoken` is what it is to somebody who does not see where it stands.
pub(crate) fn button(ui: &mut Ui, words: &str, spoken: &str) -> Response {
    named(ui.add(Button::new(words)), spoken)
}

pub(crate) fn named(response: Response, spoken: &str) -> Response {
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, spoken));
    response
}

/// One of several that exclude each other. The one that is in force stands out by a swap of ink and ground, which no theme
/// loses.
pub(crate) fn choice(ui: &mut Ui, tones: &Tones, chosen: bool, words: &str, spoken: &str) -> bool {
    let text = RichText::new(words);
    let button = if chosen {
        Button::new(text.color(tones.surface)).fill(tones.text)
    } else {
        Button::new(text)
    };
    let response = ui.add(button);
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, spoken));
    response.clicked()
}

/// A field for words that are looked for.
pub(crate) fn filter(ui: &mut Ui, words: &mut String, hint: &str, width: f32) -> bool {
    let before = words.clone();
    let field = TextEdit::singleline(words)
        .hint_text(hint)
        .char_limit(FILTER_LENGTH)
        .margin(egui::Margin::symmetric(10, 7))
        .desired_width(width);
    let response = ui.add(field);
    let after: &String = words;
    response.widget_info(|| {
        let mut info = WidgetInfo::text_edit(true, &before, after, hint);
        info.label = Some(hint.to_owned());
        info
    });
    response.changed()
}

/// One line of text, cut off with an ellipsis where it finds no room.
pub(crate) fn line(ui: &Ui, words: &str, font: FontId, width: f32) -> Arc<Galley> {
    let text = WidgetText::from(RichText::new(words).font(font.clone()));
    text.into_galley(ui, Some(TextWrapMode::Truncate), width.max(1.0), font)
}

/// Paints one line of text around the vertical middle of `place`, from its left end; says where it ends.
pub(crate) fn write(ui: &Ui, place: Rect, words: &str, font: FontId, colour: Color32) -> f32 {
    let galley = line(ui, words, font, place.width());
    let top = place.center().y - galley.size().y / 2.0;
    let end = place.left() + galley.size().x;
    ui.painter()
        .galley_with_override_text_color(Pos2::new(place.left(), top), galley, colour);
    end
}

/// The same around the middle of `place`.
pub(crate) fn write_centred(ui: &Ui, place: Rect, words: &str, font: FontId, colour: Color32) {
    let galley = line(ui, words, font, place.width());
    let corner = place.center() - galley.size() / 2.0;
    ui.painter()
        .galley_with_override_text_color(corner, galley, colour);
}

pub(crate) fn muted(ui: &mut Ui, tones: &Tones, words: &str) {
    ui.label(RichText::new(words).color(tones.muted));
}

pub(crate) fn small(ui: &mut Ui, tones: &Tones, words: &str) {
    let text = RichText::new(words).small().color(tones.muted);
    ui.label(text);
}

/// A verdict's sign on its colour.
pub(crate) fn verdict_sign(ui: &Ui, place: Rect, verdict: FlowVerdict) {
    let (ground, sign) = look::verdict(verdict);
    let radius = CornerRadius::same(4);
    ui.painter()
        .rect_filled(place, radius, look::colour(ground));
    let ink = look::colour(ground.ink());
    write_centred(ui, place, sign, look::bold(look::BODY), ink);
}

/// Something with a rim of its own around it.
pub(crate) fn card<R>(ui: &mut Ui, tones: &Tones, add: impl FnOnce(&mut Ui) -> R) -> R {
    let frame = egui::Frame::new()
        .stroke(Stroke::new(1.0, tones.line))
        .corner_radius(CornerRadius::same(6))
        .inner_margin(egui::Margin::same(14));
    let inner = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        add(ui)
    });
    inner.inner
}

/// What is said where there is nothing.
pub(crate) fn nothing(ui: &mut Ui, tones: &Tones, words: &str, more: &str) {
    ui.add_space(48.0);
    ui.vertical_centered(|ui| {
        ui.label(RichText::new(words).font(look::bold(look::BODY + 3.0)));
        if !more.is_empty() {
            muted(ui, tones, more);
        }
    });
}

/// Scrolls what is around by the keys for whole pages.
pub(crate) fn page_keys(ui: &Ui) {
    let height = ui.clip_rect().height() * 0.9;
    let pressed = |key| ui.input(|input| input.key_pressed(key));
    if pressed(Key::PageDown) {
        ui.scroll_with_delta(Vec2::new(0.0, -height));
    }
    if pressed(Key::PageUp) {
        ui.scroll_with_delta(Vec2::new(0.0, height));
    }
}

/// Rows of a long list, of which only those are made that are seen, and one beyond each end for the keyboard.
///
/// `row` gets a row's number, its place, and what a person does with it.
pub(crate) fn rows(
    ui: &mut Ui,
    (salt, spoken): (&str, &dyn Fn(usize) -> String),
    height: f32,
    count: usize,
    mut row: impl FnMut(&mut Ui, usize, Rect, &Response),
) -> std::ops::Range<usize> {
    let mut seen = 0..0;
    ScrollArea::vertical()
        .id_salt(salt)
        .auto_shrink(false)
        .animated(false)
        .show_viewport(ui, |ui, viewport| {
            #[allow(clippy::cast_precision_loss, reason = "lists end far below 2^24 rows")]
            let whole = height * count as f32;
            ui.set_height(whole);
            ui.set_width(ui.available_width());
            page_keys(ui);
            let corner = ui.min_rect().min;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "both are places in the list, and a negative one becomes zero"
            )]
            let at = |y: f32| (y / height) as usize;
            seen = at(viewport.top())..(at(viewport.bottom()) + 1).min(count);
            let made = seen.start.saturating_sub(1)..(seen.end + 1).min(count);
            for number in made {
                #[allow(clippy::cast_precision_loss, reason = "lists end far below 2^24 rows")]
                let top = corner.y + height * number as f32;
                let place = Rect::from_min_size(
                    Pos2::new(corner.x, top),
                    Vec2::new(ui.available_width(), height),
                );
                let response =
                    ui.interact(place, ui.scope_id().with((salt, number)), Sense::click());
                response.widget_info(|| WidgetInfo::labeled(Role::Button, true, spoken(number)));
                if response.clicked() {
                    // Keys go on from there.
                    response.request_focus();
                }
                if response.gained_focus() {
                    ui.scroll_to_rect(place, None);
                }
                row(ui, number, place, &response);
            }
        });
    seen
}

/// The ground of a row: which is chosen, under the pointer, or selected by keys.
pub(crate) fn row_ground(ui: &Ui, tones: &Tones, place: Rect, response: &Response, chosen: bool) {
    let inner = place.shrink2(Vec2::new(0.0, 1.0));
    if chosen || response.hovered() {
        let fill = if chosen { tones.raised } else { tones.faint };
        ui.painter().rect_filled(inner, CornerRadius::same(4), fill);
    }
    if chosen {
        let bar = Rect::from_min_size(inner.min, Vec2::new(3.0, inner.height()));
        ui.painter()
            .rect_filled(bar, CornerRadius::ZERO, tones.text);
    }
    if response.has_focus() {
        rim(ui, tones, inner);
    }
    ui.painter().hline(
        place.x_range(),
        place.bottom(),
        Stroke::new(1.0, tones.line),
    );
}

/// The rim of what keys selected.
pub(crate) fn rim(ui: &Ui, tones: &Tones, place: Rect) {
    let stroke = Stroke::new(2.0, tones.text);
    ui.painter()
        .rect_stroke(place, CornerRadius::same(4), stroke, StrokeKind::Inside);
}

/// A row of things that begins at the right end.
pub(crate) fn from_right<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let layout = egui::Layout::right_to_left(Align::Center);
    ui.with_layout(layout, add).inner
}
