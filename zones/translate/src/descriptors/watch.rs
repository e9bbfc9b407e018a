//! Which pages of RAM hold code that harts rely on, so that a store there is noticed without looking at the page.
//!
//! Who is about to write to a page that is *watched*, or to cache it for stores, lifts the watch first, and leaves the page's
//! number in a log; from then on stores there are as quick as any. What harts know of code in watched pages stays true until the
//! log says otherwise: they read it at `fence.i`, which is when RISC-V promises that stores to code are seen.
//!
//! A page may only be watched once no hart has cached it for stores. If none ever did since the last time (most code is read
//! from a disk), that is at once. Otherwise the page is *pending* until each hart that runs has dropped what it cached for
//! stores, which it is asked for as for a fence ([`Fence::Stores`]): nobody is stopped or waited for, and until then nobody
//! relies on the watch. (It drops all of it, since a hart that sleeps drops late: by then a page's watch may be over.)
//!
//! Nor is a page watched while a device is in the middle of a write, to whichever page. So a hart that sees any byte of such a
//! write finds, at its next `fence.i`, either the page's number in the log, or the page not watched again yet, and compares it.

use std::collections::VecDeque;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use super::{Descriptors, lock};
use crate::port::{Fence, HartPort};

#[cfg(test)]
pub(crate) mod tests;

/// Lifted watches that are remembered for harts to read.
const LOG: usize = 1024;

/// Nobody may store here without lifting the watch.
const WATCHED: u8 = 1;
/// But someone may still have it cached for stores.
const PENDING: u8 = 2;
/// Harts may have the page cached for stores.
const STORED: u8 = 4;

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The pages whose watch was lifted last, in order.
    log: VecDeque<u32>,
    /// Pages that wait for these harts' fences. There is one such lot at a time.
    pending: Vec<u32>,
    awaited: Vec<(Weak<HartPort>, u32)>,
}

impl Descriptors {
    fn state(&self, page: u32) -> u8 {
        let state = self.code.get(page as usize);
        state.map_or(0, |state| state.load(Ordering::SeqCst))
    }

    /// A hart is about to cache this page for stores. It may be watched again once this hart has looked for fences.
    #[inline]
    pub(super) fn lift_for_stores(&self, page: u32) {
        let Some(state) = self.code.get(page as usize) else {
            return;
        };
        let mut known = state.load(Ordering::SeqCst);
        while known & STORED == 0 || known & WATCHED != 0 {
            if known & WATCHED != 0 {
                self.lift(page, STORED);
                return;
            }
            let order = Ordering::SeqCst;
            match state.compare_exchange(known, known | STORED, order, order) {
                Ok(_) => return,
                Err(now) => known = now,
            }
        }
    }

    /// Somebody who has passed the gate is about to write to this page.
    #[inline]
    pub(super) fn lift_if_watched(&self, page: u32) {
        if self.state(page) & WATCHED != 0 {
            self.lift(page, 0);
        }
    }

    #[cold]
    fn lift(&self, page: u32, mark: u8) {
        let mut shared = lock(&self.watches);
        let Some(state) = self.code.get(page as usize) else {
            return;
        };
        // Under the lock a page does not get watched, or pending.
        let known = state.load(Ordering::SeqCst);
        if known & WATCHED != 0 {
            self.lifted.fetch_add(1, Ordering::SeqCst);
            shared.log.push_back(page);
            if shared.log.len() > LOG {
                shared.log.pop_front();
            }
            state.fetch_and(!(WATCHED | PENDING), Ordering::SeqCst);
        }
        state.fetch_or(mark, Ordering::SeqCst);
    }

    /// Passes on the pages whose watch was lifted since a count, which becomes the present one. Returns false if there were
    /// more than are remembered.
    pub(crate) fn lifted_since(&self, count: &mut u64, mut page: impl FnMut(u32)) -> bool {
        // Whatever this hart has seen of a write, it sees now that the watch was lifted before.
        fence(Ordering::Acquire);
        if self.lifted.load(Ordering::SeqCst) == *count {
            return true;
        }
        let shared = lock(&self.watches);
        let lifted = self.lifted.load(Ordering::SeqCst);
        let missed = usize::try_from(lifted.wrapping_sub(*count)).unwrap_or(usize::MAX);
        *count = lifted;
        let Some(known) = shared.log.len().checked_sub(missed) else {
            return false;
        };
        shared.log.range(known..).for_each(|number| page(*number));
        true
    }

    /// Watches a page. Returns whether it is watched from now on, or was already; it is not as long as harts may have cached it
    /// for stores, nor while somebody is writing.
    pub(crate) fn watch(&self, page: u32) -> bool {
        let known = self.state(page);
        if known != 0 {
            return known == WATCHED;
        }
        let closed = self.close_at_once();
        #[cfg(test)]
        let closed = closed.map(Some).or_else(|| {
            use crate::translate::mistakes::{Mistake, is_made};
            is_made(Mistake::WatchedInWrite).then_some(None)
        });
        if closed.is_none() {
            return false;
        }
        let _shared = lock(&self.watches);
        let order = Ordering::SeqCst;
        self.code
            .get(page as usize)
            .is_some_and(|state| state.compare_exchange(0, WATCHED, order, order).is_ok())
    }

    /// Asks that pages be watched which harts may have cached for stores. The caller then drops all that it has cached itself.
    /// Returns false, and does nothing, as long as others wait for the same, or while somebody is writing.
    pub(crate) fn ask(&self, own: &Arc<HartPort>, pages: &[u32]) -> bool {
        self.settle();
        let Some(closed) = self.close_at_once() else {
            return false;
        };
        let mut shared = lock(&self.watches);
        if !shared.pending.is_empty() {
            return false;
        }
        let Shared {
            pending, awaited, ..
        } = &mut *shared;
        for page in pages {
            let order = Ordering::SeqCst;
            let asked = self.code.get(*page as usize).is_some_and(|state| {
                state
                    .compare_exchange(STORED, WATCHED | PENDING | STORED, order, order)
                    .is_ok()
            });
            if asked {
                pending.push(*page);
            }
        }
        drop(closed);
        for port in self.harts().iter().filter(|port| !Arc::ptr_eq(port, own)) {
            if let Some(ticket) = port.ask_fence(Fence::Stores) {
                awaited.push((Arc::downgrade(port), ticket));
            }
        }
        true
    }

    /// Looks whether all harts have dropped what they were asked to: then the pages that wait for it are watched.
    pub(crate) fn settle(&self) {
        let mut shared = lock(&self.watches);
        let is_over = |(hart, ticket): &(Weak<HartPort>, u32)| {
            let port = hart.upgrade();
            port.is_none_or(|port| port.is_over(*ticket))
        };
        shared.awaited.retain(|awaited| !is_over(awaited));
        if !shared.awaited.is_empty() {
            return;
        }
        for page in std::mem::take(&mut shared.pending) {
            let order = Ordering::SeqCst;
            if let Some(state) = self.code.get(page as usize) {
                // Unless the watch was lifted meanwhile.
                let _ = state.compare_exchange(WATCHED | PENDING | STORED, WATCHED, order, order);
            }
        }
    }
}
