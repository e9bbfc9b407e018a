//! How the pages look: fonts, sizes and colours, from the theme that frames and panel have.

use std::sync::Arc;

use compositor::{Colour, Palette, Settings, Theme};
use egui::style::{
    ScrollAnimation, ScrollStyle, Selection, TextCursorStyle, WidgetVisuals, Widgets,
};
use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke, Style,
    TextStyle, Vec2, Visuals,
};

use crate::views::FlowVerdict;

/// Text sizes in points.
pub(crate) const BODY: f32 = 13.0;
pub(crate) const SMALL: f32 = 11.0;
pub(crate) const HEADING: f32 = 20.0;

/// The name of the family of bold faces.
const BOLD: &str = "bold";

pub(crate) fn regular(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

pub(crate) fn bold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(BOLD.into()))
}

/// The two faces that the atlas was made of, cut down to the characters of labels.
pub(crate) fn fonts() -> FontDefinitions {
    let faces = [
        (
            "regular",
            &include_bytes!("../../../assets/fonts/DejaVuSans.ttf")[..],
        ),
        (
            BOLD,
            &include_bytes!("../../../assets/fonts/DejaVuSans-Bold.ttf")[..],
        ),
    ];
    let mut fonts = FontDefinitions::empty();
    for (name, bytes) in faces {
        let data = FontData::from_static(bytes);
        fonts.font_data.insert(name.to_owned(), Arc::new(data));
    }
    let families = [
        (FontFamily::Proportional, "regular"),
        (FontFamily::Monospace, "regular"),
        (FontFamily::Name(BOLD.into()), BOLD),
    ];
    for (family, face) in families {
        fonts.families.insert(family, vec![face.to_owned()]);
    }
    fonts
}

pub(crate) fn colour(colour: Colour) -> Color32 {
    let [blue, green, red, _] = colour.pixel().to_le_bytes();
    Color32::from_rgb(red, green, blue)
}

/// The colours of the pages.
#[derive(Clone, Copy)]
pub(crate) struct Tones {
    pub(crate) surface: Color32,
    pub(crate) raised: Color32,
    /// A control under the pointer.
    pub(crate) lit: Color32,
    /// A row under the pointer, and every other row.
    pub(crate) faint: Color32,
    /// Lines between parts, and rims.
    pub(crate) line: Color32,
    pub(crate) text: Color32,
    pub(crate) muted: Color32,
    pub(crate) warning: Color32,
}

impl Tones {
    pub(crate) fn of(theme: Theme) -> Self {
        let palette: Palette = theme.palette();
        let plain = theme == Theme::HighContrast;
        let mixed = |amount| colour(palette.surface.mixed(palette.text, amount));
        Self {
            surface: colour(palette.surface),
            raised: colour(palette.raised),
            lit: colour(palette.raised.mixed(palette.text, 34)),
            faint: if plain { mixed(40) } else { mixed(12) },
            line: if plain { mixed(255) } else { mixed(44) },
            text: colour(palette.text),
            muted: colour(palette.muted),
            warning: colour(palette.warning),
        }
    }
}

/// A verdict's colours, which people with any common kind of colour blindness can tell apart, and its sign.
pub(crate) fn verdict(verdict: FlowVerdict) -> (Colour, &'static str) {
    match verdict {
        FlowVerdict::Deny => (Colour::rgb(0x55, 0x5d, 0x68), "\u{d7}"),
        FlowVerdict::Ask => (Colour::rgb(0xe6, 0x9f, 0x00), "?"),
        FlowVerdict::Allow => (Colour::rgb(0x00, 0x72, 0xb2), "\u{2713}"),
    }
}

/// egui's style for these settings. Nothing moves or blinks by itself, so that nothing wakes up.
pub(crate) fn style(settings: &Settings) -> Style {
    let tones = Tones::of(settings.theme);
    let sizes = [
        (TextStyle::Body, regular(BODY)),
        (TextStyle::Button, bold(BODY)),
        (TextStyle::Heading, bold(HEADING)),
        (TextStyle::Small, regular(SMALL)),
        (TextStyle::Monospace, regular(BODY)),
    ];
    let mut style = Style {
        text_styles: sizes.into(),
        animation_time: 0.0,
        scroll_animation: ScrollAnimation::none(),
        visuals: visuals(settings.theme, &tones),
        ..Style::default()
    };
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::new(8.0, 8.0);
    spacing.button_padding = Vec2::new(12.0, 6.0);
    spacing.interact_size.y = 30.0;
    spacing.menu_margin = Margin::same(6);
    spacing.combo_height = 320.0;
    spacing.scroll = ScrollStyle {
        bar_width: 8.0,
        ..ScrollStyle::solid()
    };
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = f32::INFINITY;
    style
}

fn visuals(theme: Theme, tones: &Tones) -> Visuals {
    let widget = |fill: Color32, rim: Stroke| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: rim,
        corner_radius: CornerRadius::same(4),
        fg_stroke: Stroke::new(1.5, tones.text),
        expansion: 0.0,
    };
    let rim = Stroke::new(1.0, tones.line);
    let focused = Stroke::new(2.0, tones.text);
    let base = if theme == Theme::Light {
        Visuals::light()
    } else {
        Visuals::dark()
    };
    Visuals {
        override_text_color: None,
        weak_text_color: Some(tones.muted),
        widgets: Widgets {
            noninteractive: widget(tones.surface, rim),
            inactive: widget(tones.raised, rim),
            hovered: widget(tones.lit, rim),
            active: widget(tones.raised, focused),
            open: widget(tones.lit, focused),
        },
        selection: Selection {
            bg_fill: colour(verdict(FlowVerdict::Allow).0),
            stroke: Stroke::new(2.0, tones.text),
        },
        faint_bg_color: tones.faint,
        extreme_bg_color: tones.raised,
        text_edit_bg_color: Some(tones.raised),
        warn_fg_color: tones.warning,
        error_fg_color: tones.warning,
        window_fill: tones.surface,
        window_stroke: Stroke::new(1.0, tones.text),
        panel_fill: tones.surface,
        window_shadow: egui::Shadow::NONE,
        popup_shadow: egui::Shadow::NONE,
        menu_corner_radius: CornerRadius::same(4),
        text_cursor: TextCursorStyle {
            stroke: Stroke::new(2.0, tones.text),
            blink: false,
            ..TextCursorStyle::default()
        },
        ..base
    }
}
