//! Which pages of RAM hold code that harts rely on, so that a store there is noticed without looking at the page.
//!
//! A page that is *watched* has no cached translation for stores in any hart. A hart that is about to write to it, or to cache
//! it for stores, lifts the watch first, and leaves the page's number in a log; from then on stores there are as quick as
//! any. What harts know of code in watched pages stays true until the log says otherwise: they read it at `fence.i`, which is
//! when RISC-V promises that stores to code are seen.
//!
//! A page may only be watched once no hart has cached it for stores. If none ever did since the last time (most code is read
//! from a disk), that is at once. Otherwise the page is *pending* until each hart that runs has dropped what it cached for
//! stores, which it is asked for as for a fence ([`Fence::Stores`]): nobody is stopped or waited for, and until then nobody
//! relies on the watch. (It drops all of it, since a hart that sleeps drops late: by then a page's watch may be over.)
//!
//! Devices tell what they wrote after they did, which is before they say in a ring or register that they did.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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

/// One machine's watched pages, by number from the start of RAM.
#[derive(Debug)]
pub(crate) struct Watch {
    pages: Box<[AtomicU8]>,
    /// How many watches were lifted. It is raised before a page shows that it is not watched.
    lifted: AtomicU64,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The pages whose watch was lifted last, in order.
    log: VecDeque<u32>,
    /// Pages that wait for these harts' fences. There is one such lot at a time.
    pending: Vec<u32>,
    awaited: Vec<(Weak<HartPort>, u32)>,
    harts: Vec<Weak<HartPort>>,
}

impl Watch {
    pub(crate) fn new(pages: u64) -> Self {
        Self {
            pages: (0..pages).map(|_| AtomicU8::new(0)).collect(),
            lifted: AtomicU64::new(0),
            shared: Mutex::default(),
        }
    }

    /// How many pages there are.
    pub(crate) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, page: u32) -> u8 {
        let state = self.pages.get(page as usize);
        state.map_or(0, |state| state.load(Ordering::SeqCst))
    }

    /// From now on, this hart may cache pages for stores.
    pub(crate) fn join(&self, port: &Arc<HartPort>) {
        let mut shared = self.lock();
        shared.harts.retain(|hart| hart.strong_count() > 0);
        shared.harts.push(Arc::downgrade(port));
    }

    /// A hart is about to cache this page for stores, or to write to it in another way. It may be watched again once this hart has
    /// looked for fences.
    pub(crate) fn about_to_store(&self, page: u32) {
        #[cfg(test)]
        if crate::translate::mistakes::is_made(crate::translate::mistakes::Mistake::StoreUntold) {
            return;
        }
        let Some(state) = self.pages.get(page as usize) else {
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

    /// Someone else than a hart wrote to this page.
    #[inline]
    pub(crate) fn written(&self, page: u32) {
        if self.state(page) & WATCHED != 0 {
            self.lift(page, 0);
        }
    }

    #[cold]
    fn lift(&self, page: u32, mark: u8) {
        let mut shared = self.lock();
        let Some(state) = self.pages.get(page as usize) else {
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
        if self.lifted.load(Ordering::SeqCst) == *count {
            return true;
        }
        let shared = self.lock();
        let lifted = self.lifted.load(Ordering::SeqCst);
        let missed = usize::try_from(lifted.wrapping_sub(*count)).unwrap_or(usize::MAX);
        *count = lifted;
        let Some(known) = shared.log.len().checked_sub(missed) else {
            return false;
        };
        shared.log.range(known..).for_each(|number| page(*number));
        true
    }

    /// Watches a page. Returns whether it is watched from now on, or was already; it is not as long as harts may have cached it for
    /// stores.
    pub(crate) fn watch(&self, page: u32) -> bool {
        let known = self.state(page);
        if known != 0 {
            return known == WATCHED;
        }
        let _shared = self.lock();
        let order = Ordering::SeqCst;
        self.pages
            .get(page as usize)
            .is_some_and(|state| state.compare_exchange(0, WATCHED, order, order).is_ok())
    }

    /// Asks that pages be watched which harts may have cached for stores. The caller then drops all that it has cached itself.
    /// Returns false, and does nothing, as long as others wait for the same.
    pub(crate) fn ask(&self, own: &Arc<HartPort>, pages: &[u32]) -> bool {
        self.settle();
        let mut shared = self.lock();
        if !shared.pending.is_empty() {
            return false;
        }
        let Shared {
            pending,
            awaited,
            harts,
            ..
        } = &mut *shared;
        for page in pages {
            let order = Ordering::SeqCst;
            let asked = self.pages.get(*page as usize).is_some_and(|state| {
                state
                    .compare_exchange(STORED, WATCHED | PENDING | STORED, order, order)
                    .is_ok()
            });
            if asked {
                pending.push(*page);
            }
        }
        harts.retain(|hart| hart.strong_count() > 0);
        for hart in harts.iter() {
            let Some(port) = hart.upgrade().filter(|port| !Arc::ptr_eq(port, own)) else {
                continue;
            };
            if let Some(ticket) = port.ask_fence(Fence::Stores) {
                awaited.push((Weak::clone(hart), ticket));
            }
        }
        true
    }

    /// Looks whether all harts have dropped what they were asked to: then the pages that wait for it are watched.
    pub(crate) fn settle(&self) {
        let mut shared = self.lock();
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
            if let Some(state) = self.pages.get(page as usize) {
                // Unless the watch was lifted meanwhile.
                let _ = state.compare_exchange(WATCHED | PENDING | STORED, WATCHED, order, order);
            }
        }
    }
}
