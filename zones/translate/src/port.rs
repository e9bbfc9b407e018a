//! What other threads may do to a hart: raise its interrupts, ask for fences, stop it, wake it.
//!
//! A hart looks at [`HartPort::attention`] between blocks; everything here sets it. A hart that sleeps is woken, but not for
//! fences: it does those before it runs guest code again.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::memory::PAGE_SIZE;

/// Supervisor software interrupt, bit in `sip`.
pub const SSIP: u64 = 1 << 1;
/// Supervisor timer interrupt, bit in `sip`.
pub const STIP: u64 = 1 << 5;
/// Supervisor external interrupt, bit in `sip`.
pub const SEIP: u64 = 1 << 9;

/// Looks at a fence before its waiter goes to sleep: a hart that runs on another core takes well under a microsecond.
const SPINS: u32 = 200;

/// Most fences that wait for a hart one by one; more become one for everything.
const MOST_FENCES: usize = 16;
/// A fence for more pages than this drops all translations of its address space.
const MOST_PAGES: u64 = 64;

/// What a hart is to see or to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// All code written so far is seen: `fence.i`.
    Code,
    /// Nothing is cached for stores any more: harts ask each other for it, to have pages watched.
    Stores,
    /// Page table entries written so far are seen: `sfence.vma`.
    Translations {
        /// First virtual address of a range of so many bytes; `None` is all addresses.
        range: Option<(u64, u64)>,
        /// One address space only, and no global pages.
        asid: Option<u16>,
    },
}

impl Fence {
    /// Everything that a fence for translations can drop.
    pub const ALL_TRANSLATIONS: Self = Self::Translations {
        range: None,
        asid: None,
    };

    /// A fence for this range, or for the whole address space if it is long.
    pub fn range(start: u64, size: u64, asid: Option<u16>) -> Self {
        let range = (size <= MOST_PAGES * PAGE_SIZE && size != 0).then_some((start, size));
        Self::Translations { range, asid }
    }
}

/// What is only looked at under the lock.
#[derive(Debug, Default)]
struct Shared {
    /// The hart runs no guest code, and does the fences that are due before it runs any.
    parked: bool,
    due: Vec<Fence>,
}

/// One hart's side that is shared with other threads.
#[derive(Debug, Default)]
pub struct HartPort {
    attention: AtomicBool,
    /// `SSIP` and `SEIP`; the timer bit is the hart's own.
    pending: AtomicU64,
    stop: AtomicBool,
    /// Fences asked for and done, as counts: a fence is over when `done` has reached the value `asked` had.
    fences_asked: AtomicU32,
    fences_done: AtomicU32,
    /// The address space identifier in force.
    asid: AtomicU16,
    shared: Mutex<Shared>,
    wake: Condvar,
    /// A fence was done, or the hart parked.
    fenced: Condvar,
}

impl HartPort {
    /// Sets or clears the external interrupt, as the interrupt controller drives it.
    pub fn set_external_interrupt(&self, high: bool) {
        if high {
            self.raise(SEIP);
        } else {
            self.pending.fetch_and(!SEIP, Ordering::SeqCst);
        }
    }

    /// Raises the software interrupt: another hart's IPI.
    pub fn raise_software_interrupt(&self) {
        self.raise(SSIP);
    }

    /// Makes [`crate::Hart::run`] return [`crate::Exit::Stopped`], now and until [`HartPort::clear_stop`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.notify();
    }

    /// Lets the hart run again.
    pub fn clear_stop(&self) {
        self.stop.store(false, Ordering::SeqCst);
    }

    /// Asks the hart for a fence. Returns a ticket for [`HartPort::wait_for_fence`], or none if there is nothing to wait for: the
    /// hart is in another address space than the fence is about, and does the fence before it comes back to that one.
    pub fn ask_fence(&self, fence: Fence) -> Option<u32> {
        let mut shared = self.lock();
        if !shared.due.contains(&fence) {
            if shared.due.len() >= MOST_FENCES {
                let code = shared.due.contains(&Fence::Code);
                shared.due.clear();
                shared.due.push(Fence::ALL_TRANSLATIONS);
                shared.due.extend(code.then_some(Fence::Code));
            }
            shared.due.push(fence);
        }
        let asked = self.fences_asked.load(Ordering::SeqCst).wrapping_add(1);
        self.fences_asked.store(asked, Ordering::SeqCst);
        self.attention.store(true, Ordering::SeqCst);
        let elsewhere = matches!(fence, Fence::Translations { asid: Some(asid), .. }
            if asid != self.asid.load(Ordering::SeqCst));
        (!elsewhere).then_some(asked)
    }

    /// Waits until no instruction that started before the fence was asked for can still be running, at most for `limit`; returns
    /// whether that is so. A parked hart has nothing running. The waiting thread sleeps: the hart may need its core.
    pub fn wait_for_fence(&self, ticket: u32, limit: Duration) -> bool {
        for _ in 0..SPINS {
            if self.fence_is_done(ticket) {
                return true;
            }
            std::hint::spin_loop();
        }
        let shared = self.lock();
        let wait = self.fenced.wait_timeout_while(shared, limit, |shared| {
            !shared.parked && !self.fence_is_done(ticket)
        });
        let (shared, _) = wait.unwrap_or_else(PoisonError::into_inner);
        shared.parked || self.fence_is_done(ticket)
    }

    /// Whether a fence that was asked for is done, or will be before the hart runs guest code.
    pub(crate) fn is_over(&self, ticket: u32) -> bool {
        self.fence_is_done(ticket) || self.lock().parked
    }

    /// Marks the hart as one that runs no guest code for a while, or as one that goes on. To be called on its own thread, between
    /// two runs.
    pub fn set_parked(&self, parked: bool) {
        self.lock().parked = parked;
        if parked {
            self.fenced.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fence_is_done(&self, ticket: u32) -> bool {
        ticket
            .wrapping_sub(self.fences_done.load(Ordering::SeqCst))
            .cast_signed()
            <= 0
    }

    #[inline(always)]
    pub(crate) fn attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed)
    }

    pub(crate) fn take_attention(&self) {
        self.attention.store(false, Ordering::SeqCst);
    }

    /// Whether [`HartPort::stop`] is in force.
    pub fn stop_asked(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(crate) fn pending(&self) -> u64 {
        self.pending.load(Ordering::SeqCst)
    }

    pub(crate) fn write_software_pending(&self, set: bool) {
        if set {
            self.pending.fetch_or(SSIP, Ordering::SeqCst);
        } else {
            self.pending.fetch_and(!SSIP, Ordering::SeqCst);
        }
    }

    /// The address space identifier that is in force from now on. The hart looks at what is due before it goes on.
    pub(crate) fn set_asid(&self, asid: u16) {
        self.asid.store(asid, Ordering::SeqCst);
    }

    /// Takes the fences asked for so far that are not done, with the count to report once they are.
    pub(crate) fn due_fences(&self) -> Option<(Vec<Fence>, u32)> {
        if self.fences_asked.load(Ordering::SeqCst) == self.fences_done.load(Ordering::SeqCst) {
            return None;
        }
        let mut shared = self.lock();
        let asked = self.fences_asked.load(Ordering::SeqCst);
        Some((std::mem::take(&mut shared.due), asked))
    }

    pub(crate) fn fences_are_done(&self, count: u32) {
        self.fences_done.store(count, Ordering::SeqCst);
        // Under the lock, so that a waiter between its check and its sleep is not missed.
        let _shared = self.lock();
        self.fenced.notify_all();
    }

    /// Sleeps until something wakes the hart, or for `limit`. Fences may be due afterwards.
    pub(crate) fn park(&self, limit: Option<Duration>) {
        let mut shared = self.lock();
        if self.attention.load(Ordering::SeqCst) {
            return;
        }
        shared.parked = true;
        self.fenced.notify_all();
        let asleep = |_: &mut Shared| !self.attention.load(Ordering::SeqCst);
        shared = match limit {
            Some(limit) => {
                self.wake
                    .wait_timeout_while(shared, limit, asleep)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self
                .wake
                .wait_while(shared, asleep)
                .unwrap_or_else(PoisonError::into_inner),
        };
        shared.parked = false;
    }

    fn raise(&self, bit: u64) {
        self.pending.fetch_or(bit, Ordering::SeqCst);
        self.notify();
    }

    fn notify(&self) {
        self.attention.store(true, Ordering::SeqCst);
        // Under the lock, so that a hart between its check and its sleep is not missed.
        let _shared = self.lock();
        self.wake.notify_all();
    }
}
