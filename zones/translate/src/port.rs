//! What other threads may do to a hart: raise its interrupts, ask for fences, stop it, wake it.
//!
//! A hart looks at [`HartPort::attention`] between blocks; everything here sets it and wakes a hart that waits in `wfi`.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Supervisor software interrupt, bit in `sip`.
pub const SSIP: u64 = 1 << 1;
/// Supervisor timer interrupt, bit in `sip`.
pub const STIP: u64 = 1 << 5;
/// Supervisor external interrupt, bit in `sip`.
pub const SEIP: u64 = 1 << 9;

/// Looks at a fence before its waiter goes to sleep: a hart that runs on another core takes well under a microsecond.
const SPINS: u32 = 200;

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
    /// The hart runs no guest code, and does the fences that are due before it runs any.
    parked: Mutex<bool>,
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

    /// Asks the hart to drop its cached translations and to see all code written so far. Returns a ticket for
    /// [`HartPort::fence_is_done`].
    pub fn ask_fence(&self) -> u32 {
        let ticket = self
            .fences_asked
            .fetch_add(1, Ordering::SeqCst)
            .wrapping_add(1);
        self.notify();
        ticket
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
        let parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.fenced.wait_timeout_while(parked, limit, |parked| {
            !*parked && !self.fence_is_done(ticket)
        });
        let (parked, _) = wait.unwrap_or_else(PoisonError::into_inner);
        *parked || self.fence_is_done(ticket)
    }

    /// Marks the hart as one that runs no guest code for a while, or as one that goes on. To be called on its own thread, between
    /// two runs.
    pub fn set_parked(&self, parked: bool) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = parked;
        if parked {
            self.fenced.notify_all();
        }
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

    /// The fences asked for so far that are not done, as the count to report once they are.
    pub(crate) fn due_fences(&self) -> Option<u32> {
        let asked = self.fences_asked.load(Ordering::SeqCst);
        (asked != self.fences_done.load(Ordering::SeqCst)).then_some(asked)
    }

    pub(crate) fn fences_are_done(&self, count: u32) {
        self.fences_done.store(count, Ordering::SeqCst);
        // Under the lock, so that a waiter between its check and its sleep is not missed.
        let _parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        self.fenced.notify_all();
    }

    /// Sleeps until something asks for attention, or for `limit`. The caller holds no guest state that another
    /// thread's fence could concern.
    pub(crate) fn park(&self, limit: Option<Duration>) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if self.attention.load(Ordering::SeqCst) {
            return;
        }
        *parked = true;
        self.fenced.notify_all();
        match limit {
            Some(limit) => {
                parked = self
                    .wake
                    .wait_timeout_while(parked, limit, |_| !self.attention.load(Ordering::SeqCst))
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            None => {
                parked = self
                    .wake
                    .wait_while(parked, |_| !self.attention.load(Ordering::SeqCst))
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        *parked = false;
    }

    fn raise(&self, bit: u64) {
        self.pending.fetch_or(bit, Ordering::SeqCst);
        self.notify();
    }

    fn notify(&self) {
        self.attention.store(true, Ordering::SeqCst);
        // Under the lock, so that a hart between its check and its sleep is not missed.
        let _parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_all();
    }
}
