//! The eight pixel formats of virtio-gpu, named by their bytes in memory from the lowest address up.

use super::surface::PIXEL;

/// A 32-bit pixel format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Format {
    order: Order,
    alpha: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    Bgra,
    Argb,
    Rgba,
    Abgr,
}

impl Format {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        let (order, alpha) = match code {
            1 => (Order::Bgra, true),
            2 => (Order::Bgra, false),
            3 => (Order::Argb, true),
            4 => (Order::Argb, false),
            67 => (Order::Rgba, true),
            68 => (Order::Abgr, false),
            121 => (Order::Abgr, true),
            134 => (Order::Rgba, false),
            _ => return None,
        };
        Some(Self { order, alpha })
    }

    /// Turns pixels into the surface's format in place: blue, green, red, zero.
    pub(super) fn convert_row(self, row: &mut [u8]) {
        let (pixels, _) = row.as_chunks_mut::<PIXEL>();
        // One loop per format, so that each is a plain shuffle.
        match self.order {
            Order::Bgra => pixels.iter_mut().for_each(|[.., x]| *x = 0),
            Order::Argb => pixels.iter_mut().for_each(|p| *p = [p[3], p[2], p[1], 0]),
            Order::Rgba => pixels.iter_mut().for_each(|p| *p = [p[2], p[1], p[0], 0]),
            Order::Abgr => pixels.iter_mut().for_each(|p| *p = [p[1], p[2], p[3], 0]),
        }
    }

    /// One pixel as premultiplied ARGB8888; a colour above its alpha is cut down to it.
    pub(super) fn cursor_pixel(self, p: [u8; PIXEL]) -> u32 {
        let [b, g, r, a] = match self.order {
            Order::Bgra => p,
            Order::Argb => [p[3], p[2], p[1], p[0]],
            Order::Rgba => [p[2], p[1], p[0], p[3]],
            Order::Abgr => [p[1], p[2], p[3], p[0]],
        };
        let a = if self.alpha { a } else { u8::MAX };
        u32::from_le_bytes([b.min(a), g.min(a), r.min(a), a])
    }
}
