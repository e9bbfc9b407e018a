//! Colours and lengths of everything the endpoint draws.

use crate::colour::Colour;
use crate::geometry::Scale;

/// One of the built-in looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Light text on dark surfaces.
    #[default]
    Dark,
    /// Dark text on light surfaces.
    Light,
    /// White on black, with no middle tones.
    HighContrast,
}

/// The colours of a theme.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// Behind all windows.
    pub desktop: Colour,
    /// Panel, prompts.
    pub surface: Colour,
    /// A control on a surface.
    pub raised: Colour,
    /// Lines between parts.
    pub line: Colour,
    /// Words.
    pub text: Colour,
    /// Words of lesser weight.
    pub muted: Colour,
    /// A title bar without focus.
    pub title: Colour,
    /// Where a zone has drawn nothing.
    pub void: Colour,
    /// Words there.
    pub void_text: Colour,
    /// How much of a text's colour a lesser text has, out of 255.
    pub soft: u8,
    /// Something to look at.
    pub warning: Colour,
}

impl Theme {
    /// Its colours.
    pub fn palette(self) -> Palette {
        match self {
            Theme::Dark => Palette {
                desktop: Colour::rgb(0x15, 0x18, 0x1d),
                surface: Colour::rgb(0x1f, 0x23, 0x2a),
                raised: Colour::rgb(0x2d, 0x33, 0x3c),
                line: Colour::rgb(0x0a, 0x0c, 0x0f),
                text: Colour::rgb(0xec, 0xee, 0xf1),
                muted: Colour::rgb(0x9d, 0xa6, 0xb1),
                title: Colour::rgb(0x29, 0x2e, 0x36),
                void: Colour::rgb(0x0f, 0x11, 0x14),
                void_text: Colour::rgb(0xb4, 0xbc, 0xc6),
                soft: 190,
                warning: Colour::rgb(0xff, 0xb8, 0x3d),
            },
            Theme::Light => Palette {
                desktop: Colour::rgb(0xc3, 0xca, 0xd3),
                surface: Colour::rgb(0xf6, 0xf7, 0xf9),
                raised: Colour::rgb(0xe1, 0xe5, 0xea),
                line: Colour::rgb(0xa4, 0xad, 0xb8),
                text: Colour::rgb(0x16, 0x1a, 0x20),
                muted: Colour::rgb(0x58, 0x62, 0x6e),
                title: Colour::rgb(0xe9, 0xec, 0xf0),
                void: Colour::rgb(0x23, 0x28, 0x2f),
                void_text: Colour::rgb(0xc9, 0xd0, 0xd8),
                soft: 200,
                warning: Colour::rgb(0x85, 0x3f, 0x00),
            },
            Theme::HighContrast => Palette {
                desktop: Colour::BLACK,
                surface: Colour::BLACK,
                raised: Colour::rgb(0x20, 0x20, 0x20),
                line: Colour::WHITE,
                text: Colour::WHITE,
                muted: Colour::WHITE,
                title: Colour::BLACK,
                void: Colour::BLACK,
                void_text: Colour::WHITE,
                soft: 255,
                warning: Colour::rgb(0xff, 0xe0, 0x00),
            },
        }
    }
}

/// Lengths in physical pixels at one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metrics {
    scale: Scale,
    /// The ring around a window, in the zone's colour.
    pub(crate) ring: i32,
    /// The title bar between the ring and the client area.
    pub(crate) title: i32,
    /// The panel at the top of each output.
    pub(crate) panel: i32,
    /// How far from a corner the ring resizes both ways.
    pub(crate) corner: i32,
    /// Text size of titles, panel and prompts.
    pub(crate) body: i32,
    /// Text size of remarks.
    pub(crate) small: i32,
    /// Text size of headings.
    pub(crate) heading: i32,
}

impl Metrics {
    /// `large_text` makes texts and what holds them a quarter larger.
    pub(crate) fn new(scale: Scale, large_text: bool) -> Self {
        let text = if large_text {
            Scale::from_120ths(scale.in_120ths() * 5 / 4)
        } else {
            scale
        };
        Self {
            scale,
            ring: scale.pixels(4),
            title: text.pixels(28),
            panel: text.pixels(34),
            corner: scale.pixels(18),
            body: text.pixels(13),
            small: text.pixels(11),
            heading: text.pixels(20),
        }
    }

    /// Physical pixels for a length in logical ones.
    pub(crate) fn px(&self, logical: i32) -> i32 {
        self.scale.pixels(logical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::contrast;

    /// What WCAG 2.2 asks of words (criterion 1.4.3, level AA).
    #[test]
    fn words_can_be_read_in_every_theme() {
        for theme in [Theme::Dark, Theme::Light, Theme::HighContrast] {
            let palette = theme.palette();
            let Palette {
                desktop,
                surface,
                raised,
                title,
                void,
                ..
            } = palette;
            let pairs = [
                (palette.text, desktop),
                (palette.text, surface),
                (palette.text, raised),
                (palette.text, title),
                (palette.muted, surface),
                (palette.muted, raised),
                (palette.warning, desktop),
                (palette.warning, surface),
                (palette.warning.ink(), palette.warning),
                (palette.void_text, void),
            ];
            for (ink, ground) in pairs {
                let contrast = contrast(ink, ground);
                assert!(
                    contrast >= 4.5,
                    "{theme:?}: {ink} on {ground} is {contrast}"
                );
            }
        }
    }
}
