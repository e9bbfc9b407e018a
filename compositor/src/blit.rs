//! What painting does to rows of pixels, as plain loops that the compiler turns into the widest vector instructions the
//! machine has (chosen at run time by `multiversion`).
//!
//! Opaque things never come here: they are copied, once.

// Indices run over arrays of constant length, in loops of that length: the compiler sees it and leaves no check behind.
#![allow(clippy::indexing_slicing)]

use multiversion::multiversion;

use crate::colour::Colour;

/// Mixes `amount`/255 of a colour into each pixel.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
pub fn tint(pixels: &mut [u32], colour: Colour, amount: u8) {
    let over = colour.pixel();
    for pixel in pixels {
        *pixel = crate::colour::mix(*pixel, over, u32::from(amount));
    }
}

/// Puts premultiplied ARGB8888 pixels over opaque ones. A colour above its alpha (which only a broken or hostile image
/// has) is clamped instead of wrapping into its neighbours.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
pub fn blend_over(under: &mut [u32], over: &[u32]) {
    let count = under.len().min(over.len());
    let (under, over) = (
        under.get_mut(..count).unwrap_or_default(),
        over.get(..count).unwrap_or_default(),
    );
    let (under_chunks, under_rest) = under.as_chunks_mut();
    let (over_chunks, over_rest) = over.as_chunks();
    for (under, over) in under_chunks.iter_mut().zip(over_chunks) {
        blend_chunk(under, over);
    }
    let (mut under, mut over) = ([0; CHUNK], [0; CHUNK]);
    for (to, from) in under
        .iter_mut()
        .zip(&*under_rest)
        .chain(over.iter_mut().zip(over_rest))
    {
        *to = *from;
    }
    blend_chunk(&mut under, &over);
    for (to, from) in under_rest.iter_mut().zip(under) {
        *to = from;
    }
}

/// Pixels that are blended together: enough for the compiler to see a loop worth turning into vector instructions.
const CHUNK: usize = 64;

/// Two channels of each pixel are worked on as sixteen-bit numbers; products of two bytes fit, so nothing wraps. (Checked
/// operations would keep this from becoming vector instructions.)
#[inline(always)]
fn blend_chunk(under: &mut [u32; CHUNK], over: &[u32; CHUNK]) {
    const EVEN: u32 = 0x00ff_00ff;
    let mut keep = [0u32; CHUNK];
    let (mut even, mut odd) = ([0u32; CHUNK], [0u32; CHUNK]);
    let (mut over_even, mut over_odd) = ([0u32; CHUNK], [0u32; CHUNK]);
    for at in 0..CHUNK {
        let transparency = 255 ^ (over[at] >> 24);
        keep[at] = transparency | transparency << 16;
        (even[at], odd[at]) = (under[at] & EVEN, (under[at] >> 8) & EVEN);
        (over_even[at], over_odd[at]) = (over[at] & EVEN, (over[at] >> 8) & EVEN);
    }
    let even = blend_lanes(even, keep, over_even);
    let odd = blend_lanes(odd, keep, over_odd);
    for at in 0..CHUNK {
        under[at] = 0xff00_0000 | even[at] | odd[at] << 8;
    }
}

/// `under * keep / 255 + over` in each sixteen-bit lane, rounded to nearest and clamped to a byte.
#[inline(always)]
fn blend_lanes(under: [u32; CHUNK], keep: [u32; CHUNK], over: [u32; CHUNK]) -> [u32; CHUNK] {
    let mut under: [u16; 2 * CHUNK] = bytemuck::cast(under);
    let keep: [u16; 2 * CHUNK] = bytemuck::cast(keep);
    let over: [u16; 2 * CHUNK] = bytemuck::cast(over);
    for at in 0..2 * CHUNK {
        let product = under[at].wrapping_mul(keep[at]).wrapping_add(0x80);
        let quotient = product.wrapping_add(product >> 8) >> 8;
        under[at] = quotient.wrapping_add(over[at]).min(255);
    }
    bytemuck::cast(under)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(under: u32, over: u32) -> u32 {
        let mut pixel = [under];
        blend_over(&mut pixel, &[over]);
        pixel[0]
    }

    #[test]
    fn every_length_is_blended_to_its_end_and_no_further() {
        for length in 0..40 {
            for shorter in [0, 1, 9] {
                let mut under = vec![0xff00_0000u32; length];
                blend_over(
                    &mut under,
                    &vec![0xff11_2233; length.saturating_sub(shorter)],
                );
                let blended = under
                    .iter()
                    .take_while(|pixel| **pixel == 0xff11_2233)
                    .count();
                assert_eq!(
                    blended,
                    length.saturating_sub(shorter),
                    "{length} {shorter}"
                );
                assert!(under[blended..].iter().all(|pixel| *pixel == 0xff00_0000));
            }
        }
    }

    #[test]
    fn blending_is_exact_in_every_channel_for_every_alpha() {
        for alpha in 0..=255u32 {
            for (below, above) in [(0, 0), (255, 0), (17, 3), (128, 255), (255, 255), (1, 200)] {
                let pixel = |value: u32| value << 16 | value << 8 | value;
                let exact = ((below * (255 - alpha) + 127) / 255 + above).min(255);
                let got = over(0xff00_0000 | pixel(below), alpha << 24 | pixel(above));
                assert_eq!(got, 0xff00_0000 | pixel(exact), "{below} {above} {alpha}");
            }
        }
    }

    #[test]
    fn colour_above_alpha_is_clamped() {
        assert_eq!(over(0xffff_ffff, 0x00ff_ffff), 0xffff_ffff);
        assert_eq!(over(0xff00_0000, 0x01ff_00ff), 0xffff_00ff);
        assert_eq!(over(0xff12_3456, 0xff65_4321), 0xff65_4321);
        assert_eq!(over(0xff12_3456, 0), 0xff12_3456);
    }
}
