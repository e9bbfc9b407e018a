//! The file of a persistent overlay.
//!
//! | offset | what |
//! | --- | --- |
//! | 0 | the mark `BLKHOVLY`, version (32 bits), cluster size (32 bits), the base's length (64 bits), its hash (32 bytes), little-endian, then zeroes |
//! | 4096 | the bitmap, one bit per cluster from the lowest, in whole pages of 4096 bytes |
//! | after it | the clusters at their places, sparse |
//!
//! The length of the file follows from that of the base. Nothing in the header is used before it equals what this
//! program would write, so no field of it can steer anything.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::bitmap::bytes_for;
use super::overlay::{CLUSTER, OverlayError};
use super::volume::length;
use crate::wire::{put, u32_at, u64_at};

const MARK: &[u8; 8] = b"BLKHOVLY";
const VERSION: u32 = 1;
const HEADER_SIZE: usize = 4096;
const USED: usize = 56;
/// Where the bitmap lies.
pub(super) const BITMAP: u64 = HEADER_SIZE as u64;

/// Where the parts of an overlay's file lie.
pub(super) struct Layout {
    base_length: u64,
    pub(super) clusters: u64,
    pub(super) bitmap_bytes: usize,
    /// Where cluster 0 lies.
    pub(super) data: u64,
    file_length: u64,
}

impl Layout {
    /// The layout over a base of `base_length` bytes, which was checked not to be too large.
    pub(super) fn of(base_length: u64) -> Self {
        let clusters = base_length.div_ceil(CLUSTER);
        let bitmap_bytes = bytes_for(clusters);
        let data = BITMAP.saturating_add(bitmap_bytes as u64);
        Self {
            base_length,
            clusters,
            bitmap_bytes,
            data,
            file_length: data.saturating_add(clusters.saturating_mul(CLUSTER)),
        }
    }
}

/// Makes an empty overlay in an empty file.
pub(super) fn create(file: &File, layout: &Layout, base_hash: [u8; 32]) -> io::Result<()> {
    let mut header = [0; HEADER_SIZE];
    put(&mut header, 0, MARK);
    put(&mut header, 8, &VERSION.to_le_bytes());
    put(&mut header, 12, &cluster_size().to_le_bytes());
    put(&mut header, 16, &layout.base_length.to_le_bytes());
    put(&mut header, 24, &base_hash);
    file.write_all_at(&header, 0)?;
    file.set_len(layout.file_length)?;
    file.sync_all()
}

/// Checks that a file is an overlay of this base.
pub(super) fn check(file: &File, layout: &Layout, base_hash: [u8; 32]) -> Result<(), OverlayError> {
    let mut header = [0; HEADER_SIZE];
    let file_length = length(file)?;
    if file_length < HEADER_SIZE as u64 {
        return Err(OverlayError::NotAnOverlay);
    }
    file.read_exact_at(&mut header, 0)?;
    let (used, unused) = header.split_at(USED);
    if !used.starts_with(MARK) {
        return Err(OverlayError::NotAnOverlay);
    }
    let (version, cluster) = (u32_at(used, 8), u32_at(used, 12));
    let reserved = unused.iter().any(|byte| *byte != 0);
    if version != VERSION || cluster != cluster_size() || reserved {
        return Err(OverlayError::Unknown { version, cluster });
    }
    let base_length = u64_at(used, 16);
    let hash = used.get(24..).unwrap_or_default();
    if base_length != layout.base_length || hash != base_hash {
        return Err(OverlayError::OtherBase {
            length: base_length,
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
    }
    if file_length == HEADER_SIZE as u64 {
        // The making of it was interrupted after the header.
        file.set_len(layout.file_length)?;
        return Ok(());
    }
    if file_length != layout.file_length {
        return Err(OverlayError::WrongLength {
            expected: layout.file_length,
            actual: file_length,
        });
    }
    Ok(())
}

fn cluster_size() -> u32 {
    u32::try_from(CLUSTER).unwrap_or(0)
}
