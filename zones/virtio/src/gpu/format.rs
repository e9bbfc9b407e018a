//! The eight pixel formats of virtio-gpu, named by their bytes in memory from the lowest address up.

use super::surface::PIXEL;

/// A 32-bit pixel format: the order of its bytes. Whether the fourth is opacity is nothing that a screen asks for, and of a cursor
/// Linux says it wrongly: whatever its buffer holds, its driver names it a format without.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Bgra,
    Argb,
    Rgba,
    Abgr,
}

impl Format {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        match code {
            1 | 2 => Some(Self::Bgra),
            3 | 4 => Some(Self::Argb),
            67 | 134 => Some(Self::Rgba),
            68 | 121 => Some(Self::Abgr),
            _ => None,
        }
    }

    /// Turns pixels into the surface's format in place: blue, green, red, zero.
    pub(super) fn convert_row(self, row: &mut [u8]) {
        let (pixels, _) = row.as_chunks_mut::<PIXEL>();
        // One loop per format, so that each is a plain shuffle.
        match self {
            Self::Bgra => pixels.iter_mut().for_each(|[.., x]| *x = 0),
            Self::Argb => pixels.iter_mut().for_each(|p| *p = [p[3], p[2], p[1], 0]),
            Self::Rgba => pixels.iter_mut().for_each(|p| *p = [p[2], p[1], p[0], 0]),
            Self::Abgr => pixels.iter_mut().for_each(|p| *p = [p[1], p[2], p[3], 0]),
        }
    }

    /// One pixel as premultiplied ARGB8888, whether its format speaks of opacity or not; a colour above its alpha is cut down to it.
    pub(super) fn cursor_pixel(self, p: [u8; PIXEL]) -> u32 {
        let [b, g, r, a] = match self {
            Self::Bgra => p,
            Self::Argb => [p[3], p[2], p[1], p[0]],
            Self::Rgba => [p[2], p[1], p[0], p[3]],
            Self::Abgr => [p[1], p[2], p[3], p[0]],
        };
        u32::from_le_bytes([b.min(a), g.min(a), r.min(a), a])
    }
}
