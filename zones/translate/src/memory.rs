//! Guest RAM as the harts touch it. One of this crate's modules with unsafe code.
//!
//! The rules: guest RAM may change at any moment (other harts, devices, the guest's own DMA), so there is never a Rust
//! reference over it, only atomic accesses by value; every pointer is made by [`Ram`] from a checked guest physical
//! address, and [`HostPage`] can only be had from there. Guest RAM stays mapped as long as any `Ram` or hart lives.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLockReadGuard};

use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::descriptors::Descriptors;

/// Bytes of a page, the MMU's smallest.
pub const PAGE_SIZE: u64 = 4096;
/// What is in a page.
pub type PageBytes = [u8; PAGE_SIZE as usize];

/// Why a memory layout cannot be a translated machine's RAM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RamError {
    /// Harts address one contiguous region.
    #[error("guest RAM must be one region, not {0}")]
    Regions(usize),
    /// Pages are the unit of translation.
    #[error("guest RAM at {base:#x} of {length:#x} bytes does not start and end on a page")]
    Unaligned {
        /// First guest physical address.
        base: u64,
        /// Length in bytes.
        length: u64,
    },
}

/// The guest's RAM: one contiguous range of guest physical addresses.
#[derive(Clone)]
pub struct Ram {
    base: u64,
    length: u64,
    host: *mut u8,
    descriptors: Arc<Descriptors>,
    // Keeps `host` mapped.
    _memory: Arc<GuestMemoryMmap>,
}

// SAFETY: `host` points to shared memory that is only accessed by atomics, from any thread, while `_memory` keeps it mapped.
unsafe impl Send for Ram {}
// SAFETY: as above.
unsafe impl Sync for Ram {}

impl std::fmt::Debug for Ram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ram")
            .field("base", &format_args!("{:#x}", self.base))
            .field("length", &self.length)
            .finish()
    }
}

/// A value that the harts load and store in one access.
pub trait Word: Copy + sealed::Sealed {
    /// Size in bytes: 1, 2, 4 or 8.
    const SIZE: u64;
    /// Zero-extends.
    fn widen(self) -> u64;
    /// Keeps the low bytes.
    fn narrow(value: u64) -> Self;
    #[doc(hidden)]
    unsafe fn load(pointer: *mut u8) -> Self;
    #[doc(hidden)]
    unsafe fn store(pointer: *mut u8, value: Self);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! word {
    ($type:ty, $atomic:ty) => {
        impl sealed::Sealed for $type {}
        impl Word for $type {
            const SIZE: u64 = size_of::<$type>() as u64;
            #[inline(always)]
            fn widen(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn narrow(value: u64) -> Self {
                value as $type
            }
            #[inline(always)]
            unsafe fn load(pointer: *mut u8) -> Self {
                // SAFETY: the caller gives an aligned pointer into guest RAM, which is only accessed by atomics.
                let atomic = unsafe { <$atomic>::from_ptr(pointer.cast()) };
                Self::from_le(atomic.load(Ordering::Relaxed))
            }
            #[inline(always)]
            unsafe fn store(pointer: *mut u8, value: Self) {
                // SAFETY: as for `load`.
                unsafe { <$atomic>::from_ptr(pointer.cast()) }
                    .store(value.to_le(), Ordering::Relaxed);
            }
        }
    };
}
word!(u8, AtomicU8);
word!(u16, AtomicU16);
word!(u32, AtomicU32);
word!(u64, AtomicU64);

/// One page of guest RAM in host memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPage(*mut u8);

// SAFETY: a page pointer is only used for atomic accesses; the hart that keeps it also keeps the `Ram`.
unsafe impl Send for HostPage {}

impl HostPage {
    /// A page that is never accessed: the content of an empty translation entry.
    pub const NONE: Self = Self(std::ptr::null_mut());

    /// Loads at the offset `address % PAGE_SIZE`. The caller has checked that the address is aligned to the word, and that
    /// this page is not [`HostPage::NONE`]; a null page is caught here in debug builds only, the translation cache's tags
    /// make it impossible.
    #[inline(always)]
    pub(crate) fn load<W: Word>(self, address: u64) -> W {
        let offset = (address & (PAGE_SIZE - W::SIZE)) as usize;
        debug_assert!(!self.0.is_null());
        // SAFETY: a page pointer came from `Ram::page`, the offset is aligned (masked) and the word ends within the page.
        unsafe { W::load(self.0.add(offset)) }
    }

    /// Stores at the offset `address % PAGE_SIZE`, under the same conditions as [`HostPage::load`].
    #[inline(always)]
    pub(crate) fn store<W: Word>(self, address: u64, value: W) {
        let offset = (address & (PAGE_SIZE - W::SIZE)) as usize;
        debug_assert!(!self.0.is_null());
        // SAFETY: as for `load`.
        unsafe { W::store(self.0.add(offset), value) }
    }

    /// The 32-bit atomic at this address, for AMO, LR and SC.
    #[inline]
    pub(crate) fn atomic32(&self, address: u64) -> &AtomicU32 {
        let offset = (address & (PAGE_SIZE - 4)) as usize;
        // SAFETY: as for `load`; the reference does not outlive the hart, which keeps the RAM mapped.
        unsafe { AtomicU32::from_ptr(self.0.add(offset).cast()) }
    }

    /// The 64-bit atomic at this address, for AMO, LR and SC.
    #[inline]
    pub(crate) fn atomic64(&self, address: u64) -> &AtomicU64 {
        let offset = (address & (PAGE_SIZE - 8)) as usize;
        // SAFETY: as for `atomic32`.
        unsafe { AtomicU64::from_ptr(self.0.add(offset).cast()) }
    }

    /// The host address of an address in the page: two of them are the same only for the same place in RAM.
    #[inline]
    pub(crate) fn place(self, address: u64) -> u64 {
        self.0 as u64 | address & (PAGE_SIZE - 1)
    }

    /// What gives the host address when the guest's virtual address is added to it, for the page at `tag`.
    pub(crate) fn biased_by(self, tag: u64) -> Self {
        Self(self.0.wrapping_sub(tag as usize))
    }

    /// The page again, from what [`HostPage::biased_by`] made, for any address in it.
    #[inline(always)]
    pub(crate) fn for_page(self, address: u64) -> Self {
        Self(self.0.wrapping_add((address & !(PAGE_SIZE - 1)) as usize))
    }

    /// What is in the page, a word at a time.
    pub(crate) fn bytes(self) -> PageBytes {
        let mut bytes = [0; _];
        for (word, offset) in bytes.chunks_exact_mut(8).zip((0..).step_by(8)) {
            word.copy_from_slice(&self.load::<u64>(offset).to_le_bytes());
        }
        bytes
    }

    /// Zeroes the whole page, a word at a time.
    pub(crate) fn zero(self) {
        for offset in (0..PAGE_SIZE).step_by(8) {
            self.store::<u64>(offset, 0);
        }
    }
}

impl Ram {
    /// Takes guest memory of exactly one page-aligned region.
    pub fn new(memory: Arc<GuestMemoryMmap>) -> Result<Self, RamError> {
        let regions = memory.num_regions();
        let region = match (regions, memory.iter().next()) {
            (1, Some(region)) => region,
            _ => return Err(RamError::Regions(regions)),
        };
        let (base, length) = (region.start_addr().0, region.len());
        if base % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 {
            return Err(RamError::Unaligned { base, length });
        }
        let host = memory
            .get_host_address(GuestAddress(base))
            .map_err(|_| RamError::Unaligned { base, length })?;
        Ok(Self {
            base,
            length,
            host,
            descriptors: Arc::new(Descriptors::new(length / PAGE_SIZE)),
            _memory: memory,
        })
    }

    /// The same, but so many bytes at either end of the region are no RAM: whoever checks that harts keep within their RAM
    /// can look there for traces.
    pub fn framed(memory: Arc<GuestMemoryMmap>, margin: u64) -> Result<Self, RamError> {
        let whole = Self::new(memory)?;
        let (base, length) = (whole.base + margin, whole.length.saturating_sub(2 * margin));
        if !margin.is_multiple_of(PAGE_SIZE) || length == 0 {
            return Err(RamError::Unaligned { base, length });
        }
        // SAFETY: the margin is less than half of the mapping that `host` begins.
        let host = unsafe { whole.host.add(margin as usize) };
        Ok(Self {
            base,
            length,
            host,
            descriptors: Arc::new(Descriptors::new(length / PAGE_SIZE)),
            ..whole
        })
    }

    /// The host page behind a guest physical address, if that is RAM.
    #[inline]
    pub fn page(&self, physical: u64) -> Option<HostPage> {
        let offset = physical.wrapping_sub(self.base) & !(PAGE_SIZE - 1);
        if physical < self.base || offset >= self.length {
            return None;
        }
        // SAFETY: the offset lies within the mapping, which is `length` bytes from `host`.
        Some(HostPage(unsafe { self.host.add(offset as usize) }))
    }

    /// The number of the page of a physical address in RAM.
    #[inline]
    pub(crate) fn page_number(&self, physical: u64) -> Option<u32> {
        let offset = physical.checked_sub(self.base)?;
        (offset < self.length).then_some((offset / PAGE_SIZE) as u32)
    }

    /// The page with a number.
    pub(crate) fn page_by_number(&self, number: u32) -> Option<HostPage> {
        self.page(self.base + u64::from(number) * PAGE_SIZE)
    }

    /// The number of a page of this RAM.
    pub(crate) fn number_of(&self, page: HostPage) -> u32 {
        ((page.0 as usize).wrapping_sub(self.host as usize) / PAGE_SIZE as usize) as u32
    }

    pub(crate) fn descriptors(&self) -> &Arc<Descriptors> {
        &self.descriptors
    }

    /// A hart is about to cache this page for stores.
    pub(crate) fn about_to_store(&self, page: HostPage) {
        self.descriptors.about_to_store(self.number_of(page), page);
    }

    /// To be called before so many bytes of RAM are written, by everyone but a hart that executes a store: devices, the loader,
    /// debuggers. They write while they have the guard, and do nothing else: it is not to be had twice on one thread, nor at the
    /// instant of a [snapshot](Ram::snapshot). Parts of the range that are not RAM count for nothing.
    ///
    /// This waits where a snapshot has to have the bytes first and has no room for them.
    #[must_use = "the write has to be made while this is there"]
    pub fn about_to_write(&self, physical: u64, length: u64) -> RwLockReadGuard<'_, ()> {
        let offset = |address: u64| address.saturating_sub(self.base).min(self.length);
        let (start, end) = (offset(physical), offset(physical.saturating_add(length)));
        let numbers = (start / PAGE_SIZE) as u32..end.div_ceil(PAGE_SIZE) as u32;
        let pages = numbers.filter_map(|number| Some((number, self.page_by_number(number)?)));
        self.descriptors.about_to_write(pages)
    }

    /// What is in the page of a physical address, read by aligned words of eight bytes; `None` if that is not RAM.
    pub fn load_page(&self, physical: u64) -> Option<PageBytes> {
        Some(self.page(physical)?.bytes())
    }

    /// Loads an aligned word at a physical address; `None` if that is not RAM. A misaligned address is rounded down.
    #[inline]
    pub fn load<W: Word>(&self, physical: u64) -> Option<W> {
        Some(self.page(physical)?.load(physical))
    }

    /// Stores an aligned word at a physical address, as [`Ram::about_to_write`] wants it. Does nothing if that is not RAM.
    pub fn store<W: Word>(&self, physical: u64, value: W) {
        if let Some(page) = self.page(physical) {
            let _writing = self.about_to_write(physical, W::SIZE);
            page.store(physical, value);
        }
    }

    /// First guest physical address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }
}
