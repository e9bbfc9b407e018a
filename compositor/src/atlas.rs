//! The pre-rasterised glyphs of every character that may reach the screen.
//!
//! There is no font parser, no shaping and no bidirectional reordering in the trusted path: a text is its characters
//! from left to right, each looked up here. The atlas is made once by `examples/make-atlas.rs` and committed as
//! `assets/atlas/sans.atlas`; it is part of the program, not input from outside.
//!
//! Format, little endian: magic; count of faces (u8); for each face: weight (u8: 0 regular, 1 bold), pixels per em (u8),
//! ascent (u8), descent (u8), count of glyphs (u16), length of the glyphs (u32), glyphs. A glyph: code point (u16),
//! advance (u8), left bearing (i8), rows from the baseline up to its first row (i8), width (u8), height (u8), length of
//! data (u16), data: bits, lowest first. For each row a bit (set: equal to the row above); if it is clear, its pixels:
//! 0 for nothing, 10 for full coverage, 11 and four bits for a sixteenth of it.

use std::sync::LazyLock;

/// The first bytes of an atlas.
pub const MAGIC: [u8; 4] = *b"BHA1";

/// What is shown in place of a character that is not allowed.
pub const REPLACEMENT: char = '\u{fffd}';

/// Every character that may be shown, sorted: printable ASCII, Latin-1 without the no-break space and the soft hyphen,
/// Latin Extended-A without the deprecated and the long-s look-alike, Romanian commas, capital sharp s, and common
/// punctuation. Nothing here is invisible, combining, or written from right to left.
pub const ALLOWED_RANGES: [(char, char); 15] = [
    (' ', '~'),
    ('\u{a1}', '\u{ac}'),
    ('\u{ae}', '\u{148}'),
    ('\u{14a}', '\u{17e}'),
    ('\u{218}', '\u{21b}'),
    ('\u{1e9e}', '\u{1e9e}'),
    ('\u{2013}', '\u{2014}'),
    ('\u{2018}', '\u{201a}'),
    ('\u{201c}', '\u{201e}'),
    ('\u{2022}', '\u{2022}'),
    ('\u{2026}', '\u{2026}'),
    ('\u{20ac}', '\u{20ac}'),
    ('\u{2190}', '\u{2193}'),
    ('\u{25cf}', '\u{25cf}'),
    ('\u{2713}', '\u{2713}'),
];

/// Whether a character may be shown as it is.
pub fn is_allowed(character: char) -> bool {
    ALLOWED_RANGES
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&character))
}

/// The widest glyph a row buffer must hold.
pub(crate) const MAXIMUM_WIDTH: usize = 64;

/// Thickness of the strokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// For running text.
    Regular,
    /// For names and headings.
    Bold,
}

/// One character at one size and weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glyph {
    code: u16,
    pub(crate) advance: i32,
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) width: usize,
    height: i32,
    data: &'static [u8],
}

impl Glyph {
    /// Calls `draw` with the number and the coverage (0 to 255) of each row.
    pub(crate) fn rows(&self, mut draw: impl FnMut(i32, &[u8])) {
        let mut row = [0u8; MAXIMUM_WIDTH];
        let mut at = 0;
        let mut bit = || {
            let bit = self.data.get(at / 8).map_or(0, |byte| byte >> (at % 8) & 1);
            at += 1;
            bit
        };
        let width = self.width.min(MAXIMUM_WIDTH);
        for number in 0..self.height {
            if bit() == 0 {
                for pixel in row.iter_mut().take(width) {
                    *pixel = if bit() == 0 {
                        0
                    } else if bit() == 0 {
                        255
                    } else {
                        (bit() | bit() << 1 | bit() << 2 | bit() << 3) * 17
                    };
                }
            }
            if let Some(coverage) = row.get(..width) {
                draw(number, coverage);
            }
        }
    }
}

/// All glyphs at one size and weight.
#[derive(Debug)]
pub(crate) struct Face {
    weight: Weight,
    size: i32,
    pub(crate) ascent: i32,
    glyphs: Vec<Glyph>,
}

impl Face {
    /// The glyph of a character; that of the replacement where it has none.
    pub(crate) fn glyph(&self, character: char) -> Option<&Glyph> {
        self.find(character).or_else(|| self.find(REPLACEMENT))
    }

    fn find(&self, character: char) -> Option<&Glyph> {
        let code = u16::try_from(u32::from(character)).ok()?;
        let at = self
            .glyphs
            .binary_search_by_key(&code, |glyph| glyph.code)
            .ok()?;
        self.glyphs.get(at)
    }
}

static FACES: LazyLock<Vec<Face>> =
    LazyLock::new(|| parse(include_bytes!("../../assets/atlas/sans.atlas")).unwrap_or_default());

/// The face for a height in pixels per em, and by how much its pixels are multiplied to come near it.
///
/// The largest face that is at most a twelfth too large is taken, so that texts never outgrow the room made for them.
pub(crate) fn face(weight: Weight, size: i32) -> Option<(&'static Face, i32)> {
    let fits = |face: &Face, zoom: i32| face.size * zoom <= size + size / 12;
    let candidates = FACES.iter().filter(|face| face.weight == weight);
    (1..=4)
        .flat_map(|zoom| candidates.clone().map(move |face| (face, zoom)))
        .filter(|(face, zoom)| fits(face, *zoom))
        // Multiplied pixels look coarse: a face drawn at its own size may be a fifth smaller than a doubled one.
        .max_by_key(|(face, zoom)| (face.size * zoom * if *zoom == 1 { 10 } else { 8 }, -zoom))
        .or_else(|| {
            candidates
                .clone()
                .min_by_key(|face| face.size)
                .map(|face| (face, 1))
        })
}

fn parse(bytes: &'static [u8]) -> Option<Vec<Face>> {
    let mut reader = Reader(bytes.strip_prefix(&MAGIC)?);
    let count = reader.byte()?;
    let faces = (0..count)
        .map(|_| parse_face(&mut reader))
        .collect::<Option<Vec<_>>>()?;
    reader.0.is_empty().then_some(faces)
}

fn parse_face(reader: &mut Reader) -> Option<Face> {
    let weight = if reader.byte()? == 0 {
        Weight::Regular
    } else {
        Weight::Bold
    };
    let [size, ascent, _descent] = [reader.byte()?, reader.byte()?, reader.byte()?].map(i32::from);
    let count = reader.short()?;
    let _length = (reader.short()?, reader.short()?);
    let mut glyphs = (0..count)
        .map(|_| parse_glyph(reader))
        .collect::<Option<Vec<_>>>()?;
    glyphs.sort_by_key(|glyph| glyph.code);
    Some(Face {
        weight,
        size,
        ascent,
        glyphs,
    })
}

fn parse_glyph(reader: &mut Reader) -> Option<Glyph> {
    let code = reader.short()?;
    let advance = i32::from(reader.byte()?);
    let left = i32::from(i8::from_le_bytes([reader.byte()?]));
    let top = i32::from(i8::from_le_bytes([reader.byte()?]));
    let width = usize::from(reader.byte()?);
    let height = i32::from(reader.byte()?);
    let length = usize::from(reader.short()?);
    let data = reader.take(length)?;
    (width <= MAXIMUM_WIDTH).then_some(Glyph {
        code,
        advance,
        left,
        top,
        width,
        height,
        data,
    })
}

struct Reader(&'static [u8]);

impl Reader {
    fn take(&mut self, length: usize) -> Option<&'static [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_atlas_holds_every_allowed_character_in_every_face() {
        assert_eq!(FACES.len(), 10);
        for face in FACES.iter() {
            for character in ALLOWED_RANGES
                .iter()
                .flat_map(|(first, last)| *first..=*last)
                .chain([REPLACEMENT])
            {
                let glyph = face
                    .find(character)
                    .unwrap_or_else(|| panic!("{character:?} at {}", face.size));
                assert!(glyph.advance > 0, "{character:?} takes no room");
                let mut inked = false;
                glyph.rows(|_, coverage| inked |= coverage.iter().any(|value| *value > 0));
                assert_eq!(inked, character != ' ', "{character:?} at {}", face.size);
            }
        }
        let size = include_bytes!("../../assets/atlas/sans.atlas").len();
        assert!(size < 200_000, "the atlas has grown to {size} bytes");
    }

    #[test]
    fn faces_never_outgrow_the_size_asked_for_by_more_than_a_twelfth() {
        for weight in [Weight::Regular, Weight::Bold] {
            // The smallest bold face is 13 pixels: below that there is nothing smaller to choose.
            for size in 13..120 {
                let (face, zoom) = face(weight, size).unwrap();
                assert!(face.size * zoom <= size + size / 12);
                assert!(
                    face.size * zoom * 3 >= size * 2,
                    "{size}: {} x {zoom}",
                    face.size
                );
            }
        }
    }
}
