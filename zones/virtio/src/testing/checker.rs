//! Finds writes to guest memory that were not announced: what is there is compared with what was there before, but where somebody
//! said that he was about to write.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::{RAM, RAM_SIZE};
use crate::WriteGate;

/// Bytes that are compared at a time.
const CHUNK: usize = 64 << 10;
/// What most tests use, and how often the rest is looked at, too.
const USED: usize = 2 << 20;
const SELDOM: u32 = 32;

/// The gate of a test's memory, for its driver's writes and the device's.
pub(crate) struct Checker {
    mapped: Arc<GuestMemoryMmap>,
    known: Mutex<Known>,
    /// Who writes is in here as a reader; nobody gets in while `known` is locked.
    open: RwLock<()>,
}

struct Known {
    /// What is in memory, but for ranges that somebody may be writing to.
    bytes: Vec<u8>,
    told: Vec<Range<usize>>,
}

impl Checker {
    pub(crate) fn new(mapped: Arc<GuestMemoryMmap>) -> Self {
        let known = Known {
            bytes: vec![0; RAM_SIZE as usize],
            told: Vec::new(),
        };
        Self {
            mapped,
            known: Mutex::new(known),
            open: RwLock::new(()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory must be as it was, but for what was told.
    pub(crate) fn check(&self) {
        static CHECKS: AtomicU32 = AtomicU32::new(0);
        let is_seldom = CHECKS
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(SELDOM);
        self.check_first(if is_seldom { RAM_SIZE as usize } else { USED });
    }

    fn check_first(&self, length: usize) {
        loop {
            let mut known = self.known();
            if self.open.try_write().is_ok() {
                known.learn(&self.mapped);
                known.check(&self.mapped, 0..length);
                return;
            }
            drop(known);
            std::thread::yield_now();
        }
    }
}

impl Known {
    /// Whoever said that he was about to write has done so.
    fn learn(&mut self, mapped: &GuestMemoryMmap) {
        for range in self.told.drain(..) {
            let address = GuestAddress(RAM + range.start as u64);
            mapped.read_slice(&mut self.bytes[range], address).unwrap();
        }
    }

    fn check(&self, mapped: &GuestMemoryMmap, range: Range<usize>) {
        let mut chunk = [0; CHUNK];
        for start in range.clone().step_by(CHUNK) {
            let now = &mut chunk[..(range.end - start).min(CHUNK)];
            let address = GuestAddress(RAM + start as u64);
            mapped.read_slice(now, address).unwrap();
            let before = &self.bytes[start..start + now.len()];
            if before == now {
                continue;
            }
            for (at, (before, now)) in (start..).zip(before.iter().zip(now)) {
                let is_told = || self.told.iter().any(|told| told.contains(&at));
                assert!(
                    before == now || is_told(),
                    "a write to {:#x} was not announced",
                    RAM + at as u64
                );
            }
        }
    }
}

impl WriteGate for Checker {
    fn about_to_write(&self, address: GuestAddress, length: usize) -> RwLockReadGuard<'_, ()> {
        let offset = |address: u64| address.saturating_sub(RAM).min(RAM_SIZE) as usize;
        let range = offset(address.0)..offset(address.0.saturating_add(length as u64));
        let mut known = self.known();
        if self.open.try_write().is_ok() {
            known.learn(&self.mapped);
        }
        known.check(&self.mapped, range.clone());
        known.told.push(range);
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::GuestMemory;

    #[test]
    fn writes_that_were_not_announced_are_found() {
        let at = |offset| GuestAddress(RAM + offset);
        let ranges = [(GuestAddress(RAM), RAM_SIZE as usize)];
        let mapped = Arc::new(GuestMemoryMmap::from_ranges(&ranges).unwrap());
        let checker = Arc::new(Checker::new(Arc::clone(&mapped)));
        let memory = GuestMemory::new(Arc::clone(&mapped), Arc::clone(&checker) as _);
        let finds = |act: &dyn Fn()| catch_unwind(AssertUnwindSafe(act)).is_err();
        memory.write_slice(&[7; 300_000], at(100)).unwrap();
        memory.write_slice(&[8; 10], at(5000)).unwrap();
        checker.check();
        // Beside what is told, before it and after it.
        for offset in [50, 105, 6 << 20, RAM_SIZE - 1] {
            let before: u8 = mapped.read_obj(at(offset)).unwrap();
            mapped.write_obj(before ^ 1, at(offset)).unwrap();
            assert!(
                finds(&|| checker.check_first(RAM_SIZE as usize)),
                "{offset:#x}"
            );
            assert!(finds(&|| memory.write_obj(3_u8, at(offset)).unwrap()));
            mapped.write_obj(before, at(offset)).unwrap();
            checker.check();
        }
    }
}
