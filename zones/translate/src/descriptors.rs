//! The page descriptor store: what is known of each page of RAM, whichever addresses lead there.
//!
//! What a hart caches of a page (see [`crate::mmu`]) is made of two things: the page table entry says what the guest may do there,
//! the page's descriptor what has to happen first. Nobody changes a page's bytes without asking for its descriptor, on which two
//! things may stand, one or both:
//!
//! - *watched*: harts rely on code in the page. The watch is lifted, and its end logged; see [`watch`].
//! - *protected*: the page belongs to a snapshot under way. Its bytes are kept, once, and the protection is lifted; see
//!   [`snapshot`].
//!
//! Afterwards the page is as quick as any: a hart has it in its cache, whose hit path looks at no descriptor. So neither may be
//! put on a page that somebody goes on writing to. Whoever writes does it in one of two ways:
//!
//! - A hart's stores go through its cache. It asks before it caches the page ([`Descriptors::about_to_store`]), and drops what it
//!   has cached for stores when it is asked to ([`Fence::Stores`](crate::Fence::Stores)), where it looks for fences.
//! - All else passes a gate with each write, and has written when it leaves ([`Descriptors::about_to_write`]): devices, the
//!   loader, SBI calls, debuggers, and the bits that harts set in page table entries. With the gate closed, nobody is writing.
//!
//! All this is by pages of the guest, in software: in pages of which size the host maps them makes no difference.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    TryLockError, Weak,
};

use crate::memory::HostPage;
use crate::port::HartPort;

pub(crate) mod snapshot;
pub(crate) mod watch;

/// The descriptors of one machine's pages, by number from the start of RAM.
pub(crate) struct Descriptors {
    /// What is known of the page's code.
    code: Box<[AtomicU8]>,
    /// How many watches were lifted. It is raised before a page shows that it is not watched.
    lifted: AtomicU64,
    watches: Mutex<watch::Shared>,
    /// A bit for each page, set while it is protected. It is changed under the lock of `saving`.
    protected: Box<[AtomicU64]>,
    saving: Mutex<Option<snapshot::Saving>>,
    /// There is room for pages to be kept, or nothing left to be kept for.
    room: Condvar,
    /// Who writes is in here as a reader. The lock's writer writes nothing.
    gate: RwLock<()>,
    harts: Mutex<Vec<Weak<HartPort>>>,
    /// How many snapshots there were. Locked while harts are made to stand still: none is added, and nobody else does the same.
    instants: Mutex<u64>,
}

impl std::fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descriptors")
            .field("pages", &self.code.len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Descriptors {
    pub(crate) fn new(pages: u64) -> Self {
        Self {
            code: (0..pages).map(|_| AtomicU8::new(0)).collect(),
            lifted: AtomicU64::new(0),
            watches: Mutex::default(),
            protected: (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            saving: Mutex::default(),
            room: Condvar::new(),
            gate: RwLock::new(()),
            harts: Mutex::default(),
            instants: Mutex::default(),
        }
    }

    /// From now on, this hart may cache pages for stores.
    pub(crate) fn join(&self, port: &Arc<HartPort>) {
        let _instants = lock(&self.instants);
        let mut harts = lock(&self.harts);
        harts.retain(|hart| hart.strong_count() > 0);
        harts.push(Arc::downgrade(port));
    }

    /// The harts that there are.
    fn harts(&self) -> Vec<Arc<HartPort>> {
        lock(&self.harts).iter().filter_map(Weak::upgrade).collect()
    }

    /// A hart is about to cache a page for stores. Nothing is put on the page's descriptor until it has dropped that again.
    #[inline]
    pub(crate) fn about_to_store(&self, page: u32, host: HostPage) {
        #[cfg(test)]
        if crate::translate::mistakes::is_made(crate::translate::mistakes::Mistake::StoreUntold) {
            return;
        }
        self.keep_if_protected(page, host);
        self.lift_for_stores(page);
    }

    /// Somebody is about to write to these pages, and has done so when the guard is dropped.
    #[inline]
    pub(crate) fn about_to_write(
        &self,
        pages: impl Iterator<Item = (u32, HostPage)>,
    ) -> RwLockReadGuard<'_, ()> {
        let writing = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        #[cfg(test)]
        if crate::translate::mistakes::is_made(crate::translate::mistakes::Mistake::WriteUntold) {
            return writing;
        }
        for (page, host) in pages {
            self.keep_if_protected(page, host);
            self.lift_if_watched(page);
        }
        writing
    }

    /// Waits until nobody is writing, and keeps it so.
    fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless somebody is writing now.
    fn close_at_once(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.gate.try_write() {
            Ok(closed) => Some(closed),
            Err(TryLockError::Poisoned(closed)) => Some(closed.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    #[inline]
    fn keep_if_protected(&self, page: u32, host: HostPage) {
        let word = self.protected.get(page as usize / 64);
        // What was read from the page to be kept was read before the bit was cleared.
        if word.is_some_and(|word| word.load(Ordering::Acquire) >> (page % 64) & 1 != 0) {
            self.keep(page, host);
        }
    }
}
