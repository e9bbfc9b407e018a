//! The only unsafe code of the crate: maps a memfd that another process writes, and copies bytes in and out of it.
//!
//! The compiler must not reason about memory that changes behind its back, so no reference to it ever exists and every access is an
//! opaque instruction (`rep movsb` on x86-64, which also runs at the memory's full bandwidth) or a volatile word elsewhere.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

// The wire's pixels are little-endian words, copied as they are.
const _: () = assert!(cfg!(target_endian = "little"), "surfaces are little-endian");

/// A shared mapping of a whole memfd whose size is sealed.
#[derive(Debug)]
pub(super) struct Mapping {
    address: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: the mapping belongs to no thread; the address is only used inside `copy_out` and `copy_in`, which any thread may call.
unsafe impl Send for Mapping {}
// SAFETY: as above; concurrent copies race only as two processes do on shared memory, without a Rust reference involved.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn readable(memory: BorrowedFd<'_>, bytes: u64) -> Result<Self, Errno> {
        Self::new(memory, bytes, ProtFlags::READ)
    }

    pub(super) fn writable(memory: BorrowedFd<'_>, bytes: u64) -> Result<Self, Errno> {
        Self::new(memory, bytes, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn new(memory: BorrowedFd<'_>, bytes: u64, protection: ProtFlags) -> Result<Self, Errno> {
        let bytes = usize::try_from(bytes).map_err(|_| Errno::NOMEM)?;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let address = unsafe {
            mmap(
                ptr::null_mut(),
                bytes,
                protection,
                MapFlags::SHARED,
                memory,
                0,
            )
        }?;
        NonNull::new(address)
            .map(|address| Self { address, bytes })
            .ok_or(Errno::NOMEM)
    }

    /// Fills `pixels` from `offset` on; false when that is not all inside.
    pub(super) fn copy_out(&self, offset: usize, pixels: &mut [u32]) -> bool {
        let bytes = size_of_val(pixels);
        let Some(source) = self.at(offset, bytes) else {
            return false;
        };
        // SAFETY: `at` found `bytes` bytes at `source` inside the mapping, `pixels` has as many, and the two cannot overlap
        // because `pixels` is a Rust slice and the mapping is never one.
        unsafe { copy(source, pixels.as_mut_ptr().cast(), bytes) };
        true
    }

    /// Writes `pixels` at `offset`; false when that is not all inside. Only for a mapping made by [`Mapping::writable`].
    pub(super) fn copy_in(&self, offset: usize, pixels: &[u32]) -> bool {
        let bytes = size_of_val(pixels);
        let Some(target) = self.at(offset, bytes) else {
            return false;
        };
        // SAFETY: as in `copy_out`, the other way round.
        unsafe { copy(pixels.as_ptr().cast(), target, bytes) };
        true
    }

    fn at(&self, offset: usize, bytes: usize) -> Option<*mut u8> {
        let end = offset.checked_add(bytes)?;
        (end <= self.bytes).then(|| self.address.as_ptr().cast::<u8>().wrapping_add(offset))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; no pointer into it outlives `self`.
        let _ = unsafe { munmap(self.address.as_ptr(), self.bytes) };
    }
}

/// # Safety
/// `source` must be readable and `target` writable for `bytes` bytes, and the two must not overlap.
#[cfg(target_arch = "x86_64")]
unsafe fn copy(source: *const u8, target: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise; the direction flag is clear by the ABI, and the instruction changes only what is declared.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") bytes => _,
            inout("rsi") source => _,
            inout("rdi") target => _,
            options(nostack, preserves_flags)
        );
    }
}

/// # Safety
/// `source` must be readable and `target` writable for `bytes` bytes, a multiple of 4 at 4-byte alignment, without overlap.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn copy(source: *const u8, target: *mut u8, bytes: usize) {
    for index in 0..bytes / 4 {
        // SAFETY: the caller's promise: word `index` lies inside both.
        unsafe {
            let word = source.cast::<u32>().add(index).read_volatile();
            target.cast::<u32>().add(index).write_volatile(word);
        }
    }
}
