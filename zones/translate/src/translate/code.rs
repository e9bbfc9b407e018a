//! Memory for generated code: one memory object mapped twice, writable here and executable there, so that no page is ever
//! both. One of the crate's modules with unsafe code.
//!
//! The maker maps both views before the process is jailed (a jail forbids new executable mappings). Only one hart's thread
//! writes and runs the code of a cache.

use std::ptr::NonNull;

use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

/// Bytes of generated code that the harts of a machine keep at most together, and one of them.
const ALL_BYTES: usize = 40 << 20;
const MOST_BYTES: usize = 32 << 20;
/// After so many writes, pages of the writable view are given back: they are in memory by the other view.
const WRITES: u32 = 2048;

/// The host gives no memory for code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// A system call failed.
    #[error(
        "memory for translated code cannot be had ({step}); is executable shared memory forbidden here?"
    )]
    Host {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: rustix::io::Errno,
    },
}

/// The two views of a hart's generated code. Make it before the process is jailed.
#[derive(Debug)]
pub struct CodeCache {
    writable: NonNull<u8>,
    executable: NonNull<u8>,
    /// Bytes of each view.
    room: usize,
    writes: u32,
}

// SAFETY: the mappings belong to this value alone.
unsafe impl Send for CodeCache {}

impl CodeCache {
    /// Maps both views; pages are only taken as they are used.
    pub fn new() -> Result<Self, CodeError> {
        let failed = |step| move |source| CodeError::Host { step, source };
        let memory = rustix::fs::memfd_create("translated-code", MemfdFlags::CLOEXEC)
            .map_err(failed("memfd_create"))?;
        rustix::fs::ftruncate(&memory, MOST_BYTES as u64).map_err(failed("ftruncate"))?;
        let map = |protection, step| {
            // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
            let pointer = unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    MOST_BYTES,
                    protection,
                    MapFlags::SHARED,
                    &memory,
                    0,
                )
            }
            .map_err(failed(step))?;
            NonNull::new(pointer.cast::<u8>()).ok_or(CodeError::Host {
                step,
                source: rustix::io::Errno::NOMEM,
            })
        };
        let writable = map(ProtFlags::READ | ProtFlags::WRITE, "mapping it writable")?;
        let executable = map(ProtFlags::READ | ProtFlags::EXEC, "mapping it executable")
            .inspect_err(|_| unmap(writable, MOST_BYTES))?;
        Ok(Self {
            writable,
            executable,
            room: MOST_BYTES,
            writes: 0,
        })
    }

    /// For one of so many harts, which share what a machine may take.
    #[must_use]
    pub fn shared_by(mut self, harts: usize) -> Self {
        let share = (ALL_BYTES / harts.max(1)).next_multiple_of(1 << 20);
        if let Some(rest) = self.room.checked_sub(share) {
            for view in [self.writable, self.executable] {
                // SAFETY: the offset lies within the view, from where nothing was used yet.
                unmap(unsafe { view.add(share) }, rest);
            }
            self.room = share;
        }
        self
    }

    /// Bytes that there is room for.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Writes bytes at an offset; false if they do not fit.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        if offset
            .checked_add(bytes.len())
            .is_none_or(|end| end > self.room)
        {
            return false;
        }
        // SAFETY: the range lies within the writable view, which nobody else has a reference to.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.writable.as_ptr().add(offset),
                bytes.len(),
            );
        };
        self.writes += 1;
        if self.writes >= WRITES {
            self.writes = 0;
            self.unload();
        }
        true
    }

    /// Takes the writable view's pages out of this process's page table. What was written stays: the memory is shared.
    fn unload(&self) {
        // SAFETY: the whole view is this value's own mapping of a shared memory object, so its content is kept. Failure
        // only leaves the pages counted twice.
        let _ = unsafe {
            rustix::mm::madvise(
                self.writable.as_ptr().cast(),
                self.room,
                rustix::mm::Advice::LinuxDontNeed,
            )
        };
    }

    /// Where the code at an offset runs.
    pub(super) fn address(&self, offset: usize) -> u64 {
        self.executable.as_ptr() as u64 + offset as u64
    }

    /// Calls generated code: the entry stub at the offset `stub`, which runs the code at `target` with `state` as its base
    /// register and returns what that code leaves.
    ///
    /// # Safety
    ///
    /// The stub and the code at `target` must be complete code of the generator that this cache belongs to, and `state` must
    /// be the state it was generated for, with nobody else using it.
    pub(super) unsafe fn enter(&self, stub: usize, state: *mut u8, target: u64) -> u64 {
        // SAFETY: the caller's promise; the stub follows the C calling convention.
        unsafe {
            let stub: extern "C" fn(*mut u8, u64) -> u64 =
                std::mem::transmute(self.executable.as_ptr().add(stub));
            stub(state, target)
        }
    }
}

fn unmap(view: NonNull<u8>, length: usize) {
    // SAFETY: these are pages of a mapping of ours that are not used any more. Failure leaves them mapped, which harms nobody.
    let _ = unsafe { rustix::mm::munmap(view.as_ptr().cast(), length) };
}

impl Drop for CodeCache {
    fn drop(&mut self) {
        unmap(self.writable, self.room);
        unmap(self.executable, self.room);
    }
}
