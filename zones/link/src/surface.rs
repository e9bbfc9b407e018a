//! A zone's pixels: one memfd per surface, made and sealed by the endpoint, written by the zone while the endpoint reads.
//!
//! Nothing read here may steer anything: sizes and offsets come from [`Size`], never from the memory. Pixels may tear. There is
//! never a slice over the memory, only copies in and out of it.

mod mapping;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::io::Errno;

use crate::descriptor::is_surface;
use crate::types::{Rect, Size};
use mapping::Mapping;

/// A surface that could not be made or mapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurfaceError {
    /// The kernel refused, usually for want of memory.
    #[error("a surface of {bytes} bytes could not be had: {call} failed")]
    System {
        /// Bytes of the surface.
        bytes: u64,
        /// The system call.
        call: &'static str,
        /// Its error.
        source: std::io::Error,
    },
    /// The memory is not a sealed memfd of the right size.
    #[error("the surface's memory is not a sealed memfd of {bytes} bytes")]
    NotASurface {
        /// Bytes expected.
        bytes: u64,
    },
}

/// The endpoint's side of a surface: it owns the memfd and reads.
#[derive(Debug)]
pub struct Surface {
    size: Size,
    memory: OwnedFd,
    mapping: Mapping,
}

impl Surface {
    /// Makes a black surface. Its pages are allocated here, so that a zone that writes to it never meets an error, and its size
    /// is sealed, so that a zone can never make a read of it fail.
    ///
    /// # Errors
    /// No memory.
    pub fn new(size: Size) -> Result<Self, SurfaceError> {
        let bytes = size.bytes();
        let failed = |call| {
            move |errno: Errno| SurfaceError::System {
                bytes,
                call,
                source: errno.into(),
            }
        };
        let memory = memfd_create(
            "bulkhead-surface",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL,
        )
        // Kernels before 6.3 do not know the flag.
        .or_else(|_| {
            memfd_create(
                "bulkhead-surface",
                MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
            )
        })
        .map_err(failed("memfd_create"))?;
        ftruncate(&memory, bytes).map_err(failed("ftruncate"))?;
        fallocate(&memory, FallocateFlags::empty(), 0, bytes).map_err(failed("fallocate"))?;
        fcntl_add_seals(
            &memory,
            SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
        )
        .map_err(failed("fcntl"))?;
        let mapping = Mapping::readable(memory.as_fd(), bytes).map_err(failed("mmap"))?;
        Ok(Self {
            size,
            memory,
            mapping,
        })
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// Another descriptor of the memory, to send to the zone.
    ///
    /// # Errors
    /// No free descriptors.
    pub fn share(&self) -> Result<OwnedFd, SurfaceError> {
        self.memory
            .try_clone()
            .map_err(|source| SurfaceError::System {
                bytes: self.size.bytes(),
                call: "fcntl",
                source,
            })
    }

    /// Copies `pixels.len()` pixels of row `y` from column `x` on; false, and nothing copied, when they do not all exist.
    #[must_use]
    pub fn copy_row(&self, y: u32, x: u32, pixels: &mut [u32]) -> bool {
        match offset(self.size, y, x, pixels.len()) {
            Some(offset) => self.mapping.copy_out(offset, pixels),
            None => false,
        }
    }

    /// Copies the part of `rectangle` that the surface has into `out`, row by row without padding, and says which part that was.
    #[must_use]
    pub fn copy_rectangle(&self, rectangle: Rect, out: &mut Vec<u32>) -> Option<Rect> {
        let part = rectangle.clip(self.size)?;
        let width = usize::try_from(part.width).ok()?;
        let height = usize::try_from(part.height).ok()?;
        out.clear();
        out.resize(width.checked_mul(height)?, 0);
        let copied = (part.y..)
            .zip(out.chunks_exact_mut(width))
            .all(|(y, row)| self.copy_row(y, part.x, row));
        copied.then_some(part)
    }
}

impl AsFd for Surface {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// The zone's side of a surface: it writes.
#[derive(Debug)]
pub struct SurfaceWriter {
    size: Size,
    mapping: Mapping,
}

impl SurfaceWriter {
    /// Maps the memory that came with `ToZone::Surface`.
    ///
    /// # Errors
    /// Memory of another size or without seals, or a kernel that refuses to map it.
    pub fn new(memory: BorrowedFd<'_>, size: Size) -> Result<Self, SurfaceError> {
        let bytes = size.bytes();
        if !is_surface(memory, size) {
            return Err(SurfaceError::NotASurface { bytes });
        }
        let mapping = Mapping::writable(memory, bytes).map_err(|errno| SurfaceError::System {
            bytes,
            call: "mmap",
            source: errno.into(),
        })?;
        Ok(Self { size, mapping })
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// Writes `pixels` to row `y` from column `x` on; false, and nothing written, when they do not all fit.
    #[must_use]
    pub fn write_row(&self, y: u32, x: u32, pixels: &[u32]) -> bool {
        match offset(self.size, y, x, pixels.len()) {
            Some(offset) => self.mapping.copy_in(offset, pixels),
            None => false,
        }
    }
}

/// The byte offset of `count` pixels at (`x`, `y`), when all of them are in one row of the surface.
fn offset(size: Size, y: u32, x: u32, count: usize) -> Option<usize> {
    let end = u64::from(x).checked_add(u64::try_from(count).ok()?)?;
    if y >= size.height() || end > u64::from(size.width()) {
        return None;
    }
    let pixel = u64::from(y)
        .checked_mul(u64::from(size.width()))?
        .checked_add(u64::from(x))?;
    usize::try_from(pixel.checked_mul(4)?).ok()
}

#[cfg(test)]
mod tests;
