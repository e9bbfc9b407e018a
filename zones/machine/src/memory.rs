//! Guest RAM: private anonymous memory, asked to be huge pages, and the gate that devices pass when they write to it.
//!
//! Huge pages make the harts' accesses cheaper for the host. Whatever must be noticed of a page of the guest is noticed in software
//! (see [`Ram`]), so it does not matter which pages the host has.

use std::sync::{Arc, RwLockReadGuard};

use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};
use zone_translate::Ram;
use zone_translate::memory::RamError;
use zone_virtio::{GuestMemory, WriteGate};

use crate::board::RAM_BASE;

#[cfg(test)]
mod tests;

/// Least and most RAM of a zone, in MiB.
pub const MEMORY_MIB: std::ops::RangeInclusive<u32> = 64..=65_536;

/// Why there is no RAM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// Outside [`MEMORY_MIB`].
    #[error("a zone's memory is {} to {} MiB, not {mib}", MEMORY_MIB.start(), MEMORY_MIB.end())]
    Size {
        /// What was asked for.
        mib: u32,
    },
    /// The host refused.
    #[error("the host gives no memory: {0}")]
    Host(String),
    /// The harts cannot use it.
    #[error("the zone's memory cannot be used")]
    Ram(#[from] RamError),
}

/// Whoever writes to RAM but a hart is let through by its page descriptors.
struct Gate(Ram);

impl WriteGate for Gate {
    fn about_to_write(&self, address: GuestAddress, length: usize) -> RwLockReadGuard<'_, ()> {
        self.0.about_to_write(address.0, length as u64)
    }
}

/// Allocates RAM at [`RAM_BASE`], as devices and as harts see it. Nothing is touched yet.
pub fn allocate(mib: u32) -> Result<(GuestMemory, Ram), MemoryError> {
    if !MEMORY_MIB.contains(&mib) {
        return Err(MemoryError::Size { mib });
    }
    let length = usize::try_from(u64::from(mib) << 20).unwrap_or(usize::MAX);
    let mapped = GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM_BASE), length)])
        .map_err(|error| MemoryError::Host(error.to_string()))?;
    for region in mapped.iter() {
        advise_huge(region);
    }
    let mapped = Arc::new(mapped);
    let ram = Ram::new(Arc::clone(&mapped))?;
    let gate = Arc::new(Gate(ram.clone()));
    Ok((GuestMemory::new(mapped, gate), ram))
}

/// Advice only: without huge pages everything works, a little slower.
fn advise_huge(region: &vm_memory::GuestRegionMmap) {
    let length = usize::try_from(region.len()).unwrap_or(0);
    // SAFETY: the range is this region's own mapping, and MADV_HUGEPAGE changes no content.
    let _ = unsafe { libc::madvise(region.as_ptr().cast(), length, libc::MADV_HUGEPAGE) };
}
