//! A 2D resource: a name for pixels that stay in guest memory.
//!
//! No pixel of it is kept in the host. A resource remembers where its pixels lie (its backing) and which parts of the
//! surface no longer show it, so that a page flip copies those parts and nothing else.

use vm_memory::{Bytes, GuestAddress};

use super::format::Format;
use super::rect::{Damage, Rect};
use super::surface::PIXEL;
use crate::GuestMemory;

/// Pixels of a resource, found through its backing.
pub(super) struct Resource {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: Format,
    pub(super) backing: Option<Backing>,
    /// Where the first pixel lies in the backing, by the last transfer; negative if only later rows are there.
    pub(super) origin: i64,
    /// The part that the surface showed when the resource was last on it; `None` if it never was.
    pub(super) shown: Option<Rect>,
    /// What the surface would have to copy since, in the resource's coordinates.
    pub(super) stale: Damage,
}

impl Resource {
    pub(super) fn new(width: u32, height: u32, format: Format) -> Self {
        Self {
            width,
            height,
            format,
            backing: None,
            origin: 0,
            shown: None,
            stale: Damage::default(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.width)
            .saturating_mul(u64::from(self.height))
            .saturating_mul(PIXEL as u64)
    }

    pub(super) fn stride(&self) -> u64 {
        u64::from(self.width).saturating_mul(PIXEL as u64)
    }

    /// The surface has to copy everything when the resource is shown next.
    pub(super) fn forget_surface(&mut self) {
        self.shown = None;
        self.stale.clear();
    }

    /// Where a pixel lies in a backing laid out from its first pixel on.
    pub(super) fn offset_of(&self, x: u32, y: u32) -> Option<u64> {
        u64::from(y)
            .checked_mul(self.stride())?
            .checked_add(u64::from(x).checked_mul(PIXEL as u64)?)
    }

    /// Reads pixels of a row, as they are in guest memory; false if they are not all there.
    pub(super) fn read_row(&self, memory: &GuestMemory, x: u32, y: u32, row: &mut [u8]) -> bool {
        let offset = self
            .offset_of(x, y)
            .and_then(|offset| offset.checked_add_signed(self.origin));
        match (&self.backing, offset) {
            (Some(backing), Some(offset)) => backing.read(memory, offset, row),
            _ => false,
        }
    }
}

struct Entry {
    /// Bytes of the backing before this entry.
    start: u64,
    address: u64,
    length: u64,
}

/// The guest memory behind a resource: pieces that were checked to exist, in order.
#[derive(Default)]
pub(super) struct Backing {
    entries: Vec<Entry>,
    length: u64,
}

impl Backing {
    /// Appends a piece; one that follows the last one in memory extends it.
    pub(super) fn push(&mut self, address: u64, length: u32) -> Option<()> {
        let length = u64::from(length);
        let total = self.length.checked_add(length)?;
        match self.entries.last_mut() {
            Some(last) if last.address.checked_add(last.length) == Some(address) => {
                last.length = last.length.checked_add(length)?;
            }
            _ => self.entries.push(Entry {
                start: self.length,
                address,
                length,
            }),
        }
        self.length = total;
        Some(())
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    fn read(&self, memory: &GuestMemory, offset: u64, buffer: &mut [u8]) -> bool {
        let mut index = self
            .entries
            .partition_point(|entry| entry.start <= offset)
            .saturating_sub(1);
        let mut offset = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let Some(entry) = self.entries.get(index) else {
                return false;
            };
            let skip = offset.saturating_sub(entry.start);
            let Some(left) = entry.length.checked_sub(skip).filter(|left| *left > 0) else {
                return false;
            };
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            let address = GuestAddress(entry.address.saturating_add(skip));
            if memory.read_slice(now, address).is_err() {
                return false;
            }
            offset = offset.saturating_add(length as u64);
            rest = later;
            index = index.saturating_add(1);
        }
        true
    }
}
