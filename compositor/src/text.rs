//! Texts that may be shown, and drawing them.
//!
//! Invariant: a [`Label`] holds nothing but characters of the atlas (and the replacement sign), so no bidirectional
//! control, zero-width, combining or control character ever reaches the screen, whoever wrote the text.

use std::fmt;

use crate::atlas::{self, REPLACEMENT, Weight};
use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::geometry::Point;

/// A text that is safe to show: bounded, on one line, made of allowed characters only.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// Makes any text safe to show, in time bounded by `maximum`, not by the text's length.
    ///
    /// White space of any kind becomes a single space, other characters that are not allowed become the replacement
    /// sign (a run of them becomes one sign), and what is longer than `maximum` characters ends in an ellipsis.
    pub fn new(text: &str, maximum: usize) -> Self {
        let mut shown = String::new();
        let mut length = 0;
        let mut last = ' ';
        // A flood of characters that collapse must not cost more than the bound allows.
        for character in text.chars().take(maximum.saturating_mul(8)) {
            let character = match character {
                ' ' | '\t' | '\n' | '\r' | '\u{a0}' => ' ',
                allowed if atlas::is_allowed(allowed) => allowed,
                _ => REPLACEMENT,
            };
            if matches!(character, ' ' | REPLACEMENT) && character == last {
                continue;
            }
            if length == maximum {
                shown.pop();
                shown.push('\u{2026}');
                break;
            }
            shown.push(character);
            length += 1;
            last = character;
        }
        shown.truncate(shown.trim_end().len());
        Self(shown)
    }

    /// The same for bytes that should be UTF-8 and may be anything.
    pub fn from_bytes(bytes: &[u8], maximum: usize) -> Self {
        let bounded = bytes.get(..maximum.saturating_mul(32)).unwrap_or(bytes);
        Self::new(&String::from_utf8_lossy(bounded), maximum)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) weight: Weight,
    /// Pixels per em.
    pub(crate) size: i32,
    pub(crate) colour: Colour,
}

impl Style {
    pub(crate) fn regular(size: i32, colour: Colour) -> Self {
        Self {
            weight: Weight::Regular,
            size,
            colour,
        }
    }

    pub(crate) fn bold(size: i32, colour: Colour) -> Self {
        Self {
            weight: Weight::Bold,
            size,
            colour,
        }
    }

    /// How wide a text is when nothing is left out.
    pub(crate) fn width(&self, text: &str) -> i32 {
        let Some((face, zoom)) = atlas::face(self.weight, self.size) else {
            return 0;
        };
        // At most 2^15 characters of at most 256 pixels: far from an overflow.
        text.chars()
            .take(1 << 15)
            .filter_map(|character| face.glyph(character))
            .map(|glyph| glyph.advance * zoom)
            .sum()
    }
}

#[cfg(test)]
std::thread_local! {
    /// Every text that found no room when it was drawn by this thread.
    pub(crate) static SHORTENED: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Draws a text with its top left corner at `at`, at most `room` pixels wide (shortened with an ellipsis), and says how
/// wide it became.
pub(crate) fn draw(canvas: &mut Canvas<'_>, at: Point, text: &str, style: Style, room: i32) -> i32 {
    let Some((face, zoom)) = atlas::face(style.weight, style.size) else {
        return 0;
    };
    let (shown, ellipsis) = fitted(text, style, room);
    #[cfg(test)]
    if ellipsis {
        SHORTENED.with_borrow_mut(|all| all.push(text.to_owned()));
    }
    let baseline = at.y + face.ascent * zoom;
    let mut x = at.x;
    for character in shown.chars().chain(ellipsis.then_some('\u{2026}')) {
        let Some(glyph) = face.glyph(character) else {
            continue;
        };
        let (left, top) = (x + glyph.left * zoom, baseline - glyph.top * zoom);
        glyph.rows(|row, coverage| {
            canvas.blend_row(left, top + row * zoom, coverage, zoom, style.colour);
        });
        x += glyph.advance * zoom;
    }
    x - at.x
}

/// Draws a text around the middle of a row of pixels: vertically by the height of capitals, so that names look centred.
pub(crate) fn draw_centred_on(
    canvas: &mut Canvas<'_>,
    left: i32,
    middle: i32,
    text: &str,
    style: Style,
    room: i32,
) -> i32 {
    let Some((face, zoom)) = atlas::face(style.weight, style.size) else {
        return 0;
    };
    let capital = face.glyph('H').map_or(0, |glyph| glyph.top * zoom);
    let baseline = middle + capital.div_euclid(2) + (capital & 1);
    draw(
        canvas,
        Point {
            x: left,
            y: baseline - face.ascent * zoom,
        },
        text,
        style,
        room,
    )
}

/// Breaks a text between words into at most `lines` lines; what is too long for the last one is left to [`draw`] to
/// shorten.
pub(crate) fn wrapped(text: &str, style: Style, room: i32, lines: usize) -> Vec<&str> {
    let mut broken = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let ends = rest
            .match_indices(' ')
            .map(|(at, _)| at)
            .chain([rest.len()]);
        let fits = |end: &usize| style.width(rest.get(..*end).unwrap_or("")) <= room;
        let end = ends
            .clone()
            .take_while(fits)
            .last()
            .or_else(|| ends.clone().next());
        let end = end
            .filter(|_| broken.len() + 1 < lines)
            .unwrap_or(rest.len());
        let (line, more) = rest.split_at_checked(end).unwrap_or((rest, ""));
        broken.push(line);
        rest = more.trim_start();
    }
    broken
}

/// The longest beginning of `text` that fits into `room`, and whether an ellipsis stands for the rest.
fn fitted(text: &str, style: Style, room: i32) -> (&str, bool) {
    let Some((face, zoom)) = atlas::face(style.weight, style.size) else {
        return ("", false);
    };
    let advance = |character| {
        face.glyph(character)
            .map_or(0, |glyph| glyph.advance * zoom)
    };
    let dots = advance('\u{2026}');
    let (mut width, mut cut) = (0, None);
    for (at, character) in text.char_indices() {
        if cut.is_none() && width + advance(character) + dots > room {
            cut = Some(at);
        }
        width += advance(character);
        if width > room {
            let shown = text.get(..cut.unwrap_or(0)).unwrap_or("").trim_end();
            return (shown, dots <= room);
        }
    }
    (text, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_titles_become_harmless() {
        let cases = [
            ("invoice\u{202e}fdp.exe", "invoice\u{fffd}fdp.exe"),
            ("a\u{2066}\u{2067}\u{2069}b", "a\u{fffd}b"),
            ("pay\u{200b}pal", "pay\u{fffd}pal"),
            ("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}"),
            ("line\nbreak\ttab", "line break tab"),
            ("secret\u{430}", "secret\u{fffd}"),
            ("  far                    away ", "far away"),
            ("Grüße, Łódź, Žižkov", "Grüße, Łódź, Žižkov"),
            ("soft\u{ad}hyphen", "soft\u{fffd}hyphen"),
        ];
        for (given, shown) in cases {
            assert_eq!(Label::new(given, 40).as_str(), shown);
        }
        let flood: String = "e"
            .chars()
            .chain(std::iter::repeat_n('\u{301}', 1 << 20))
            .collect();
        assert_eq!(Label::new(&flood, 40).as_str(), "e\u{fffd}");
        let long = "x".repeat(1 << 20);
        assert_eq!(Label::new(&long, 40).as_str().chars().count(), 40);
        assert!(Label::new(&long, 40).as_str().ends_with('\u{2026}'));
        assert_eq!(
            Label::from_bytes(b"ok\xff\xfe\xed\xa0\x80", 40).as_str(),
            "ok\u{fffd}"
        );
        assert_eq!(Label::from_bytes(b"ok\xff", 40).as_str(), "ok\u{fffd}");
    }

    #[test]
    fn shortened_texts_fit_their_room() {
        let style = Style::regular(13, Colour::BLACK);
        for room in 0..200 {
            let mut pixels = vec![0u32; 256 * 20];
            let mut canvas = Canvas::new(&mut pixels, crate::geometry::Size::new(256, 20), 256);
            let width = draw(
                &mut canvas,
                Point::new(0, 0),
                "A rather long title for a window",
                style,
                room,
            );
            assert!(width <= room, "{width} in {room}");
        }
        assert_eq!(
            fitted("short", style, style.width("short")),
            ("short", false)
        );
        assert!(fitted("short", style, style.width("short") - 1).1);
    }
}
