//! Copy-on-write over a base that is never written.
//!
//! The overlay's data lies in a sparse file at the base's own offsets, a bitmap says which clusters of 4 KiB are there.
//! A temporary overlay's bitmap is in memory and its file anonymous: both end with the process. A persistent one keeps
//! header and bitmap in the file (see `format`); its flush orders data before bitmap, so a bit on disk never points at
//! data that is not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;

use super::volume::{Volume, read_or_zero};

/// Bytes of one cluster; the guest's page and block size, so that aligned writes never read the base.
pub(super) const CLUSTER: u64 = CLUSTER_BYTES as u64;
const CLUSTER_BYTES: usize = 4096;
/// The largest base an overlay accepts (a bitmap of 16 MiB).
const LENGTH_MAX: u64 = 512 << 30;

/// Why an overlay could not be put over its base.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// The base is larger than an overlay can be.
    #[error("the base volume has {0} bytes, more than the {LENGTH_MAX} an overlay can cover")]
    BaseTooLarge(u64),
    /// The overlay's file could not be prepared.
    #[error("the overlay's file could not be prepared")]
    Io(#[source] io::Error),
}

/// A writable volume over a base that stays as it is.
pub struct Overlay<B> {
    base: B,
    file: File,
    present: Bitmap,
}

impl<B: Volume> Overlay<B> {
    /// Lays an overlay over `base` that lasts as long as `scratch`: an empty file without a name, such as a memfd.
    pub fn temporary(base: B, scratch: File) -> Result<Self, OverlayError> {
        let length = base.len();
        if length > LENGTH_MAX {
            return Err(OverlayError::BaseTooLarge(length));
        }
        scratch.set_len(0).map_err(OverlayError::Io)?;
        Ok(Self {
            present: Bitmap::new(length.div_ceil(CLUSTER)),
            base,
            file: scratch,
        })
    }
}

impl<B: Volume> Overlay<B> {
    /// Where a cluster's data begins in the file.
    fn position(&self, offset: u64) -> u64 {
        offset
    }

    /// Brings a cluster into the overlay as the base has it, for a write that covers only a part.
    fn bring_in(&mut self, cluster: u64) -> io::Result<()> {
        if self.present.has(cluster) {
            return Ok(());
        }
        let offset = cluster.saturating_mul(CLUSTER);
        let mut bytes = [0; CLUSTER_BYTES];
        self.base.read_at(offset, &mut bytes)?;
        self.file.write_all_at(&bytes, self.position(offset))?;
        self.present.set(cluster);
        Ok(())
    }

    /// Brings in the clusters that a write of `length` bytes at `offset` covers only in part.
    fn prepare(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.saturating_add(length);
        if !offset.is_multiple_of(CLUSTER) {
            self.bring_in(offset / CLUSTER)?;
        }
        if !end.is_multiple_of(CLUSTER) {
            self.bring_in(end / CLUSTER)?;
        }
        Ok(())
    }

    fn check(&self, offset: u64, length: u64) -> io::Result<()> {
        let end = self.base.len().next_multiple_of(CLUSTER);
        match offset.checked_add(length) {
            Some(last) if last <= end => Ok(()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl<B: Volume> Volume for Overlay<B> {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.check(offset, buffer.len() as u64)?;
        let mut offset = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let cluster = offset / CLUSTER;
            let here = self.present.has(cluster);
            let last = offset.saturating_add(rest.len() as u64).div_ceil(CLUSTER);
            let next = self
                .present
                .run(cluster, last, here)
                .saturating_mul(CLUSTER);
            let length = usize::try_from(next.saturating_sub(offset))
                .unwrap_or(usize::MAX)
                .clamp(1, rest.len());
            let (now, later) = rest.split_at_mut(length);
            if here {
                read_or_zero(&self.file, self.position(offset), now)?;
            } else {
                self.base.read_at(offset, now)?;
            }
            offset = offset.saturating_add(length as u64);
            rest = later;
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let length = data.len() as u64;
        self.check(offset, length)?;
        self.prepare(offset, length)?;
        self.file.write_all_at(data, self.position(offset))?;
        let end = offset.saturating_add(length).div_ceil(CLUSTER);
        for cluster in offset / CLUSTER..end {
            self.present.set(cluster);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> u64 {
        self.base.len()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.check(offset, length)?;
        self.prepare(offset, length)?;
        // A hole in the file reads as zero and gives its space back.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, self.position(offset), length)?;
        let end = offset.saturating_add(length).div_ceil(CLUSTER);
        for cluster in offset / CLUSTER..end {
            self.present.set(cluster);
        }
        Ok(())
    }
}

/// One bit per cluster.
pub(super) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    pub(super) fn new(clusters: u64) -> Self {
        let words = usize::try_from(clusters.div_ceil(64)).unwrap_or(0);
        Self {
            words: vec![0; words],
        }
    }

    pub(super) fn has(&self, cluster: u64) -> bool {
        let word = usize::try_from(cluster / 64)
            .ok()
            .and_then(|index| self.words.get(index));
        word.is_some_and(|word| word >> (cluster % 64) & 1 == 1)
    }

    pub(super) fn set(&mut self, cluster: u64) {
        if let Some(word) = usize::try_from(cluster / 64)
            .ok()
            .and_then(|index| self.words.get_mut(index))
        {
            *word |= 1 << (cluster % 64);
        }
    }

    /// The first cluster after `cluster` that is in the other state, at most `last`.
    fn run(&self, cluster: u64, last: u64, state: bool) -> u64 {
        let mut end = cluster.saturating_add(1);
        while end < last && self.has(end) == state {
            end = end.saturating_add(1);
        }
        end
    }
}
