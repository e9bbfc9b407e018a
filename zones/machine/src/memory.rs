//! Guest RAM: private anonymous memory, on 2 MiB boundaries and asked to be huge pages.
//!
//! Huge pages make the harts' accesses cheaper for the host, and arming write protection for a snapshot some hundred times
//! cheaper than on a file.

use std::sync::Arc;

use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryRegion};
use zone_virtio::{GuestMemory, Writes};

use crate::board::RAM_BASE;

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
}

/// Allocates RAM at [`RAM_BASE`]. Nothing is touched yet.
pub fn allocate(mib: u32) -> Result<(Arc<GuestMemory>, u64), MemoryError> {
    if !MEMORY_MIB.contains(&mib) {
        return Err(MemoryError::Size { mib });
    }
    let length = u64::from(mib) << 20;
    let memory = GuestMemory::from_ranges(&[(
        GuestAddress(RAM_BASE),
        usize::try_from(length).unwrap_or(usize::MAX),
    )])
    .map_err(|error| MemoryError::Host(error.to_string()))?;
    for region in memory.iter() {
        advise_huge(region);
    }
    Ok((Arc::new(memory), length))
}

/// Advice only: without huge pages everything works, a little slower.
fn advise_huge(region: &vm_memory::GuestRegionMmap<Writes>) {
    let length = usize::try_from(region.len()).unwrap_or(0);
    // SAFETY: the range is this region's own mapping, and MADV_HUGEPAGE changes no content.
    let _ = unsafe { libc::madvise(region.as_ptr().cast(), length, libc::MADV_HUGEPAGE) };
}
