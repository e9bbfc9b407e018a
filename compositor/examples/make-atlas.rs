//! Makes `assets/atlas/sans.atlas` from the DejaVu fonts of Debian's `fonts-dejavu-core`.
//!
//! Run by hand when sizes or characters change: `cargo run -p compositor --example make-atlas`. The result is committed,
//! so that no font parser is in the trusted path and golden images are the same on every machine. `atlas.rs` describes
//! the format.

// Metrics of a known font, rounded: every one fits a byte.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::path::Path;

use compositor::atlas::{ALLOWED_RANGES, MAGIC, REPLACEMENT};
use swash::FontRef;
use swash::scale::{Render, ScaleContext, Source};
use swash::zeno::Format;

const FONTS: &str = "/usr/share/fonts/truetype/dejavu";

/// Weight (0 regular, 1 bold), file, sizes in pixels per em.
const FACES: [(u8, &str, &[u8]); 2] = [
    (0, "DejaVuSans.ttf", &[11, 13, 16, 20, 26]),
    (1, "DejaVuSans-Bold.ttf", &[13, 16, 20, 26, 32]),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = MAGIC.to_vec();
    let faces: usize = FACES.iter().map(|(_, _, sizes)| sizes.len()).sum();
    out.push(u8::try_from(faces)?);
    for (weight, file, sizes) in FACES {
        let path = Path::new(FONTS).join(file);
        let bytes = std::fs::read(&path).map_err(|error| {
            format!(
                "cannot read {}: {error}; install fonts-dejavu-core",
                path.display()
            )
        })?;
        let font = FontRef::from_index(&bytes, 0).ok_or("not a font")?;
        for size in sizes {
            face(&mut out, &font, weight, *size)?;
        }
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/atlas/sans.atlas");
    std::fs::write(&target, &out)?;
    println!("{} bytes", out.len());
    Ok(())
}

fn face(
    out: &mut Vec<u8>,
    font: &FontRef<'_>,
    weight: u8,
    size: u8,
) -> Result<(), Box<dyn std::error::Error>> {
    let metrics = font.metrics(&[]).scale(f32::from(size));
    let advances = font.glyph_metrics(&[]).scale(f32::from(size));
    let mut context = ScaleContext::new();
    // Vertical hinting keeps horizontal stems sharp at small sizes.
    let mut scaler = context
        .builder(*font)
        .size(f32::from(size))
        .hint(true)
        .build();
    let mut glyphs = Vec::new();
    let mut count = 0u16;
    let characters = ALLOWED_RANGES
        .iter()
        .flat_map(|(first, last)| *first..=*last)
        .chain([REPLACEMENT]);
    for character in characters {
        let glyph = font.charmap().map(character);
        if glyph == 0 {
            return Err(format!("the font lacks {character:?}").into());
        }
        let advance = advances.advance_width(glyph).round() as u8;
        let image = Render::new(&[Source::Outline])
            .format(Format::Alpha)
            .render(&mut scaler, glyph);
        let image = image.ok_or_else(|| format!("cannot rasterise {character:?}"))?;
        let (width, height) = (
            image.placement.width as usize,
            image.placement.height as usize,
        );
        let nibbles: Vec<Vec<u8>> = (0..height)
            .map(|y| {
                image.data[y * width..][..width]
                    .iter()
                    .map(|coverage| (coverage + (255 - coverage) / 34) >> 4)
                    .collect()
            })
            .collect();
        let (nibbles, left, top) = trimmed(nibbles, image.placement.left, image.placement.top);
        let (height, width) = (nibbles.len(), nibbles.first().map_or(0, Vec::len));
        let data = encode(&nibbles);
        glyphs.extend(u16::try_from(u32::from(character))?.to_le_bytes());
        glyphs.push(advance);
        glyphs.push(i8::try_from(left)?.to_le_bytes()[0]);
        glyphs.push(i8::try_from(top)?.to_le_bytes()[0]);
        glyphs.push(u8::try_from(width)?);
        glyphs.push(u8::try_from(height)?);
        glyphs.extend(u16::try_from(data.len())?.to_le_bytes());
        glyphs.extend(data);
        count += 1;
    }
    out.extend([
        weight,
        size,
        metrics.ascent.round() as u8,
        metrics.descent.round() as u8,
    ]);
    out.extend(count.to_le_bytes());
    out.extend(u32::try_from(glyphs.len())?.to_le_bytes());
    out.extend(glyphs);
    Ok(())
}

/// Cuts empty rows and columns off, and says where the rest begins.
fn trimmed(mut rows: Vec<Vec<u8>>, mut left: i32, mut top: i32) -> (Vec<Vec<u8>>, i32, i32) {
    let blank = |row: &Vec<u8>| row.iter().all(|nibble| *nibble == 0);
    while rows.last().is_some_and(blank) {
        rows.pop();
    }
    while rows.first().is_some_and(blank) {
        rows.remove(0);
        top -= 1;
    }
    while rows.iter().all(|row| row.last() == Some(&0)) && !rows.is_empty() {
        rows.iter_mut().for_each(|row| row.truncate(row.len() - 1));
    }
    while rows.iter().all(|row| row.first() == Some(&0)) && !rows.is_empty() {
        rows.iter_mut().for_each(|row| row.rotate_left(1));
        rows.iter_mut().for_each(|row| row.truncate(row.len() - 1));
        left += 1;
    }
    (rows, left, top)
}

/// Writes bits, the lowest of each byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn push(&mut self, value: u8, bits: usize) {
        for bit in 0..bits {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (value >> bit & 1) << (self.count % 8);
            }
            self.count += 1;
        }
    }
}

/// For each row a bit (set: the same as the row above); if it is clear, its pixels.
fn encode(rows: &[Vec<u8>]) -> Vec<u8> {
    let mut bits = Bits::default();
    let mut above: Option<&Vec<u8>> = None;
    for row in rows {
        bits.push(u8::from(above == Some(row)), 1);
        if above != Some(row) {
            for nibble in row {
                match nibble {
                    0 => bits.push(0b0, 1),
                    15 => bits.push(0b01, 2),
                    other => bits.push(0b11 | other << 2, 6),
                }
            }
        }
        above = Some(row);
    }
    bits.bytes
}
