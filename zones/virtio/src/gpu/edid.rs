//! The monitor's description (EDID 1.4) for a surface: one 128-byte block whose preferred mode is the surface's size.

use crate::wire::put;

pub(super) const EDID_SIZE: usize = 128;

/// The largest active size that a detailed timing can carry.
const TIMING_MAX: u32 = 4095;

/// The block for a display of `width` x `height` pixels at 96 dots per inch.
///
/// A size beyond what a detailed timing can carry gets a block without a mode: the guest then takes the size from the
/// display information.
pub(super) fn edid(width: u32, height: u32) -> [u8; EDID_SIZE] {
    let mut block = [0; EDID_SIZE];
    put(&mut block, 0, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    // Manufacturer "BLK" in three five-bit letters, product 1, year of the model 2026.
    put(&mut block, 8, &(2_u16 << 10 | 12 << 5 | 11).to_be_bytes());
    put(&mut block, 10, &[1, 0, 0, 0, 0, 0, 0, 36, 1, 4]);
    // Digital, 8 bits a colour, DisplayPort; size in cm; gamma 2.2; sRGB, preferred mode is native.
    let centimetres = |pixels| u8::try_from(millimetres(pixels).div_ceil(10)).unwrap_or(u8::MAX);
    put(
        &mut block,
        20,
        &[0xa5, centimetres(width), centimetres(height), 120, 0x06],
    );
    // The chromaticity of sRGB; no established timings; unused standard timings.
    put(
        &mut block,
        25,
        &[0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54],
    );
    put(&mut block, 38, &[1; 16]);
    put(&mut block, 54, &timing(width, height).unwrap_or(DUMMY));
    put(&mut block, 72, b"\0\0\0\xfc\0Bulkhead\n    ");
    put(&mut block, 90, &DUMMY);
    put(&mut block, 108, &DUMMY);
    let sum = block.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    put(&mut block, EDID_SIZE - 1, &[sum.wrapping_neg()]);
    block
}

/// A descriptor that says nothing.
const DUMMY: [u8; 18] = [0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// 25.4 mm an inch, 96 pixels an inch.
fn millimetres(pixels: u32) -> u32 {
    pixels.saturating_mul(254) / 960
}

/// A detailed timing at 60 Hz, or slower where the pixel clock does not reach, with VESA's reduced blanking.
fn timing(width: u32, height: u32) -> Option<[u8; 18]> {
    const H_BLANK: u32 = 160;
    const H_FRONT: u32 = 48;
    const H_SYNC: u32 = 32;
    const V_FRONT: u32 = 3;
    const V_SYNC: u32 = 10;
    // Blanking of at least 460 of a frame's 16667 microseconds, and of front porch, sync and 6 lines.
    const BLANK_US: u32 = 460;
    const ACTIVE_US: u32 = 16667 - BLANK_US;
    if width > TIMING_MAX || height > TIMING_MAX {
        return None;
    }
    let v_blank = (BLANK_US * height / ACTIVE_US + 1).max(V_FRONT + V_SYNC + 6);
    let pixels = u64::from(width + H_BLANK) * u64::from(height + v_blank);
    let clock = u16::try_from(pixels * 60 / 10_000).unwrap_or(u16::MAX);
    let (h_mm, v_mm) = (millimetres(width), millimetres(height));
    let [c0, c1] = clock.to_le_bytes();
    Some([
        c0,
        c1,
        low(width),
        low(H_BLANK),
        nibbles(width, H_BLANK),
        low(height),
        low(v_blank),
        nibbles(height, v_blank),
        low(H_FRONT),
        low(H_SYNC),
        low((V_FRONT & 0xf) << 4 | V_SYNC & 0xf),
        0,
        low(h_mm),
        low(v_mm),
        nibbles(h_mm, v_mm),
        0,
        0,
        // Separate digital sync, horizontal positive.
        0x1a,
    ])
}

fn low(value: u32) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Bits 8 to 11 of two values in one byte.
fn nibbles(high: u32, low_part: u32) -> u8 {
    low((high >> 8 & 0xf) << 4 | low_part >> 8 & 0xf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_and_the_preferred_mode_are_right() {
        for (width, height) in [
            (1, 1),
            (640, 480),
            (1280, 800),
            (1366, 768),
            (3840, 2160),
            (4095, 4095),
        ] {
            let block = edid(width, height);
            assert_eq!(block.iter().map(|b| u32::from(*b)).sum::<u32>() % 256, 0);
            let timing = &block[54..72];
            let active = u32::from(timing[2]) | u32::from(timing[4] >> 4) << 8;
            let lines = u32::from(timing[5]) | u32::from(timing[7] >> 4) << 8;
            assert_eq!((active, lines), (width, height));
            let clock = u64::from(u16::from_le_bytes([timing[0], timing[1]])) * 10_000;
            let columns = u64::from(width + 160);
            let blank = u32::from(timing[6]) | u32::from(timing[7] & 0xf) << 8;
            let rate = clock / (columns * u64::from(height + blank));
            assert!((36..=60).contains(&rate), "{width}x{height}: {rate} Hz");
            let h_mm = u32::from(timing[12]) | u32::from(timing[14] >> 4) << 8;
            assert_eq!(h_mm, width * 254 / 960);
        }
    }

    #[test]
    fn a_size_past_the_format_has_no_mode() {
        let block = edid(5120, 2880);
        assert_eq!(block.iter().map(|b| u32::from(*b)).sum::<u32>() % 256, 0);
        assert_eq!(block[54..72], DUMMY);
    }
}
