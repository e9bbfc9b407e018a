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

use super::bitmap::Bitmap;
use super::format::{self, Layout};
use super::volume::{Volume, length, read_or_zero};

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
    /// The file is not an overlay at all.
    #[error("the file is not an overlay: it begins with neither an overlay's mark nor is it empty")]
    NotAnOverlay,
    /// An overlay of another version or geometry.
    #[error(
        "the overlay has version {version} and clusters of {cluster} bytes; this program knows version 1 with 4096"
    )]
    Unknown {
        /// The version in the file.
        version: u32,
        /// The cluster size in the file.
        cluster: u32,
    },
    /// An overlay of another base: its contents would make no sense over this one.
    #[error(
        "the overlay belongs to another base volume ({length} bytes, hash {hash}): put that base back, or the overlay away to begin without what it holds"
    )]
    OtherBase {
        /// Length of the base that the overlay was made for.
        length: u64,
        /// Its hash, in hexadecimal.
        hash: String,
    },
    /// The file is shorter or longer than an overlay of its base.
    #[error(
        "the overlay has {actual} bytes where it must have {expected}: it was cut off or is damaged"
    )]
    WrongLength {
        /// What the header implies.
        expected: u64,
        /// What is there.
        actual: u64,
    },
    /// The bitmap names clusters that the base does not have.
    #[error("the overlay's bitmap is damaged")]
    Bitmap,
    /// The overlay's file could not be read or prepared.
    #[error("the overlay's file could not be read or prepared")]
    Io(#[from] io::Error),
}

/// A writable volume over a base that stays as it is.
pub struct Overlay<B: Volume> {
    base: B,
    file: File,
    /// Where cluster 0 lies in the file.
    data: u64,
    present: Bitmap,
    /// Whether the file outlives the process, with its bitmap.
    persistent: bool,
}

impl<B: Volume> Overlay<B> {
    /// Lays an overlay over `base` that lasts as long as `scratch`: an empty file without a name.
    pub fn temporary(base: B, scratch: File) -> Result<Self, OverlayError> {
        let layout = Self::layout(&base)?;
        scratch.set_len(0)?;
        Ok(Self {
            present: Bitmap::new(layout.clusters),
            base,
            file: scratch,
            data: 0,
            persistent: false,
        })
    }

    /// Opens the overlay that `file` holds, or makes one in it if it is empty.
    ///
    /// `base_hash` says which base the overlay belongs to. The file comes from a zone that ran before: everything in it is
    /// checked, and what does not fit is an error. What the guest reads as its disk is the guest's own affair.
    pub fn open(base: B, file: File, base_hash: [u8; 32]) -> Result<Self, OverlayError> {
        let layout = Self::layout(&base)?;
        let present = if length(&file)? == 0 {
            format::create(&file, &layout, base_hash)?;
            Bitmap::new(layout.clusters)
        } else {
            format::check(&file, &layout, base_hash)?;
            let mut bytes = vec![0; layout.bitmap_bytes];
            file.read_exact_at(&mut bytes, format::BITMAP)?;
            Bitmap::from_bytes(layout.clusters, &bytes).ok_or(OverlayError::Bitmap)?
        };
        Ok(Self {
            base,
            file,
            data: layout.data,
            present,
            persistent: true,
        })
    }

    fn layout(base: &B) -> Result<Layout, OverlayError> {
        let length = base.len();
        if length > LENGTH_MAX {
            return Err(OverlayError::BaseTooLarge(length));
        }
        Ok(Layout::of(length))
    }
}

impl<B: Volume> Overlay<B> {
    /// Where a cluster's data begins in the file.
    fn position(&self, offset: u64) -> u64 {
        self.data.saturating_add(offset)
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
        if !self.persistent {
            return Ok(());
        }
        // Data first: a bit on disk must never point at data that is not.
        self.file.sync_data()?;
        if !self.present.is_dirty() {
            return Ok(());
        }
        let file = &self.file;
        self.present.write_dirty(|offset, bytes| {
            file.write_all_at(bytes, format::BITMAP.saturating_add(offset))
        })?;
        self.file.sync_data()
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

impl<B: Volume> Drop for Overlay<B> {
    fn drop(&mut self) {
        // A guest that shuts down has flushed by itself; this is for one that is stopped.
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the overlay could not be saved");
        }
    }
}
