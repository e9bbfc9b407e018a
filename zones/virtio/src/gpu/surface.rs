//! The shared surface: the memory that the zone's desktop is drawn to and the compositor reads.
//!
//! 32-bit little-endian XRGB8888 with X zero, rows without padding. The memory belongs to the endpoint, which sealed it
//! against shrinking: a mapping of it cannot fault. Only this process writes; it is reached through volatile accessors
//! because another one reads.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::SealFlags;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

use super::rect::Rect;

/// Largest width and height of a surface or a resource.
pub const DIMENSION_MAX: u32 = 16384;

/// Pixels compared at a time: the finest damage within a row.
const TILE: usize = 64;
/// Bytes of a pixel.
pub(super) const PIXEL: usize = 4;

/// Why a surface could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurfaceError {
    /// No pixels, or more than [`DIMENSION_MAX`] a side.
    #[error(
        "a surface of {0} x {1} pixels is not between 1 x 1 and {DIMENSION_MAX} x {DIMENSION_MAX}"
    )]
    Size(u32, u32),
    /// The memory object is smaller than the surface.
    #[error("the surface needs {needed} bytes but its memory has {actual}")]
    TooSmall {
        /// Bytes of the surface.
        needed: u64,
        /// Bytes of the memory object.
        actual: u64,
    },
    /// The memory object could be shrunk under the mapping.
    #[error("the surface's memory is not sealed against shrinking")]
    NotSealed,
    /// The memory object could not be looked at.
    #[error("the surface's memory could not be examined")]
    Examine(#[source] io::Error),
    /// The memory object could not be mapped.
    #[error("the surface's memory could not be mapped: {0}")]
    Map(String),
}

/// A mapped surface.
pub struct SharedSurface {
    mapping: MmapRegion<()>,
    width: u32,
    height: u32,
}

impl SharedSurface {
    /// Maps a sealed memfd of at least `width * 4 * height` bytes.
    pub fn map(memory: OwnedFd, width: u32, height: u32) -> Result<Self, SurfaceError> {
        let sides = 1..=DIMENSION_MAX;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(SurfaceError::Size(width, height));
        }
        let needed = u64::from(width) * PIXEL as u64 * u64::from(height);
        let seals = rustix::fs::fcntl_get_seals(&memory)
            .map_err(|error| SurfaceError::Examine(error.into()))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(SurfaceError::NotSealed);
        }
        let file = File::from(memory);
        let actual = crate::block::length(&file).map_err(SurfaceError::Examine)?;
        if actual < needed {
            return Err(SurfaceError::TooSmall { needed, actual });
        }
        let length = usize::try_from(needed).map_err(|_| SurfaceError::Size(width, height))?;
        let mapping = MmapRegion::from_file(FileOffset::new(file, 0), length)
            .map_err(|error| SurfaceError::Map(error.to_string()))?;
        Ok(Self {
            mapping,
            width,
            height,
        })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    pub(super) fn bounds(&self) -> Rect {
        Rect::of_size(self.width, self.height)
    }

    /// Replaces pixels of a row from `x` on by `new`, and calls `changed` for each stretch that really differs.
    /// Nothing happens where the row would leave the surface. `old` is scratch space.
    pub(super) fn update_row(
        &self,
        x: u32,
        y: u32,
        new: &[u8],
        old: &mut Vec<u8>,
        mut changed: impl FnMut(Rect),
    ) {
        let Some(start) = self.position(x, y, new.len()) else {
            return;
        };
        old.resize(new.len(), 0);
        let memory = self.mapping.as_volatile_slice();
        // Cannot fail: `position` checked the range.
        if memory.read_slice(old, start).is_err() || old.as_slice() == new {
            return;
        }
        let mut pixel = 0_usize;
        let mut stretch: Option<(usize, usize)> = None;
        let mut finish = |stretch: Option<(usize, usize)>| {
            let Some((from, to)) = stretch else { return };
            let bytes = new.get(from * PIXEL..to * PIXEL).unwrap_or_default();
            if memory.write_slice(bytes, start + from * PIXEL).is_ok() {
                changed(Rect {
                    x: x.saturating_add(clamp_u32(from)),
                    y,
                    width: clamp_u32(to - from),
                    height: 1,
                });
            }
        };
        for (new, old) in new.chunks(TILE * PIXEL).zip(old.chunks(TILE * PIXEL)) {
            let pixels = new.len() / PIXEL;
            if new == old {
                finish(stretch.take());
            } else {
                let (first, last) = differing(new, old);
                let from = stretch.map_or(pixel + first, |(from, _)| from);
                stretch = Some((from, pixel + last));
                // A stretch goes on only if it touches the next tile.
                if last < pixels {
                    finish(stretch.take());
                }
            }
            pixel += pixels;
        }
        finish(stretch);
    }

    fn position(&self, x: u32, y: u32, bytes: usize) -> Option<usize> {
        let pixels = u32::try_from(bytes / PIXEL).ok()?;
        if x.checked_add(pixels)? > self.width || y >= self.height {
            return None;
        }
        let pixel = u64::from(y)
            .checked_mul(u64::from(self.width))?
            .checked_add(u64::from(x))?;
        usize::try_from(pixel.checked_mul(PIXEL as u64)?).ok()
    }
}

/// First differing pixel, and the one after the last.
fn differing(new: &[u8], old: &[u8]) -> (usize, usize) {
    let pixels = || new.chunks(PIXEL).zip(old.chunks(PIXEL));
    let first = pixels().position(|(new, old)| new != old).unwrap_or(0);
    let last = pixels()
        .rposition(|(new, old)| new != old)
        .map_or(0, |last| last + 1);
    (first, last)
}

fn clamp_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
