//! Which clusters an overlay holds: one bit each, and which pages of the bitmap were not saved yet.

use std::collections::BTreeSet;
use std::io;

/// Bytes of the bitmap that are saved together.
pub(super) const PAGE: usize = 4096;

pub(super) struct Bitmap {
    /// Whole pages; bit 0 of byte 0 is cluster 0.
    bytes: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Bitmap {
    pub(super) fn new(clusters: u64) -> Self {
        Self {
            bytes: vec![0; bytes_for(clusters)],
            dirty: BTreeSet::new(),
        }
    }

    /// Takes a saved bitmap; `None` if it names clusters that do not exist.
    pub(super) fn from_bytes(clusters: u64, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != bytes_for(clusters) {
            return None;
        }
        let bitmap = Self {
            bytes: bytes.to_vec(),
            dirty: BTreeSet::new(),
        };
        let end = (bytes.len() as u64).saturating_mul(8);
        let beyond = (clusters..end).any(|cluster| bitmap.has(cluster));
        (!beyond).then_some(bitmap)
    }

    pub(super) fn has(&self, cluster: u64) -> bool {
        let byte = index(cluster).and_then(|index| self.bytes.get(index));
        byte.is_some_and(|byte| byte >> (cluster % 8) & 1 == 1)
    }

    pub(super) fn set(&mut self, cluster: u64) {
        let Some(index) = index(cluster) else { return };
        let Some(byte) = self.bytes.get_mut(index) else {
            return;
        };
        let bit = 1 << (cluster % 8);
        if *byte & bit == 0 {
            *byte |= bit;
            self.dirty.insert(index / PAGE);
        }
    }

    /// The first cluster after `cluster` that is in the other state than `state`, at most `last`.
    pub(super) fn run(&self, cluster: u64, last: u64, state: bool) -> u64 {
        let mut end = cluster.saturating_add(1);
        while end < last && self.has(end) == state {
            end = end.saturating_add(1);
        }
        end
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Saves the pages that changed: each with its offset in the bitmap.
    pub(super) fn write_dirty(
        &mut self,
        mut write: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(page) = self.dirty.first().copied() {
            let start = page.saturating_mul(PAGE);
            let bytes = self.bytes.get(start..).unwrap_or_default();
            let bytes = bytes.get(..PAGE).unwrap_or(bytes);
            write(start as u64, bytes)?;
            self.dirty.remove(&page);
        }
        Ok(())
    }
}

fn index(cluster: u64) -> Option<usize> {
    usize::try_from(cluster / 8).ok()
}

/// Whole pages for so many clusters.
pub(super) fn bytes_for(clusters: u64) -> usize {
    usize::try_from(clusters.div_ceil(8))
        .unwrap_or(usize::MAX)
        .div_ceil(PAGE)
        .saturating_mul(PAGE)
}
