//! All of RAM as it was at one instant, while the guest goes on.
//!
//! At the instant all harts are held and nobody else writes; each page becomes *protected*, which is a bit in a bitmap, and
//! whatever harts have cached for stores is dropped before they use it again. Then all go on. The snapshot gets the bytes of each
//! page exactly once, before anything else is written there: from the [`Saver`], which goes through RAM in order, or from whoever
//! is about to write to the page, and copies it into a bounded room from where the saver takes it.
//!
//! Why what is saved is what was there: a page's bit is cleared under one lock, by who has just copied the page under that lock,
//! and while it is set, nobody writes there. Not a hart by its cache: what that held at the instant is dropped before the hart
//! runs on, and the hart asks for the page's descriptor before it caches the page again. Not who passed the gate earlier: at the
//! instant the gate was closed, so that write was over. And who passes it later asks inside.
//!
//! Why nobody waits for ever: writers wait for room only, and the saver makes room as long as there is one, with nothing that it
//! needs of the guest. When it is dropped or cancelled, protection ends everywhere, and nobody waits.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Descriptors, lock};
use crate::memory::{HostPage, PAGE_SIZE, PageBytes, Ram};
use crate::port::{Fence, HartPort};

#[cfg(test)]
pub(crate) mod tests;

/// How long harts may take until they stand still. A hart looks every few thousand instructions; what takes long is a device that
/// it has just told to do something.
const STILL: Duration = Duration::from_secs(5);
/// Pages that the saver copies at a time; writers wait for as long.
const BATCH: usize = 16;

/// Why there is no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// One at a time.
    #[error("another snapshot of this memory is under way; let it finish, or cancel it")]
    UnderWay,
    /// A hart waits for a device that takes long.
    #[error("a hart did not stand still within {} s: a device keeps it; try again later", STILL.as_secs())]
    Unsettled,
}

/// Why a snapshot was not finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError<E> {
    /// It was cancelled, or the machine ended.
    #[error("the snapshot was cancelled")]
    Cancelled,
    /// Whoever took the pages failed.
    #[error("the snapshot's pages cannot be taken")]
    Sink(#[source] E),
}

/// The snapshot under way.
pub(super) struct Saving {
    number: u64,
    /// What writers kept, and how much of it may wait.
    kept: Vec<(u32, PageBytes)>,
    room: usize,
}

impl Descriptors {
    /// Makes an instant, at which the closure is called, and protects what is there then. Returns the snapshot's number.
    fn begin<T>(
        &self,
        room: usize,
        limit: Duration,
        at_instant: impl FnOnce() -> T,
    ) -> Result<(u64, T), SnapshotError> {
        let mut instants = lock(&self.instants);
        if lock(&self.saving).is_some() {
            return Err(SnapshotError::UnderWay);
        }
        let kept = Vec::with_capacity(room);
        let held = Held::all(self.harts());
        if !held.are_still(limit) {
            return Err(SnapshotError::Unsettled);
        }
        let _closed = self.close();
        let value = at_instant();
        *instants += 1;
        let number = *instants;
        let mut left = self.code.len();
        let mut saving = lock(&self.saving);
        for word in &self.protected {
            let pages = left.min(64);
            word.store(u64::MAX >> (64 - pages), Ordering::Relaxed);
            left -= pages;
        }
        *saving = Some(Saving { number, kept, room });
        Ok((number, value))
    }

    /// A protected page's bytes are kept before somebody writes there.
    #[cold]
    pub(super) fn keep(&self, page: u32, host: HostPage) {
        let word = &self.protected[page as usize / 64];
        let bit = 1 << (page % 64);
        let mut saving = lock(&self.saving);
        // Unless somebody else did it meanwhile.
        while word.load(Ordering::Relaxed) & bit != 0 {
            #[cfg(test)]
            if crate::translate::mistakes::is_made(crate::translate::mistakes::Mistake::LiftedEarly)
            {
                word.fetch_and(!bit, Ordering::Release);
                drop(saving);
                std::thread::sleep(Duration::from_micros(200));
                saving = lock(&self.saving);
                if let Some(now) = &mut *saving {
                    now.kept.push((page, host.bytes()));
                }
                return;
            }
            match &mut *saving {
                Some(now) if now.kept.len() < now.room => {
                    now.kept.push((page, host.bytes()));
                    word.fetch_and(!bit, Ordering::Release);
                }
                _ => {
                    let woken = self.room.wait(saving);
                    saving = woken.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Takes what writers kept; if that is nothing, some pages from a word of the bitmap on. Takes nothing if the snapshot is
    /// complete, which ends it.
    fn take(
        &self,
        number: u64,
        pages: &mut Vec<(u32, PageBytes)>,
        next: &mut usize,
        ram: &Ram,
    ) -> Result<(), Cancelled> {
        let mut saving = lock(&self.saving);
        let now = saving.as_mut().filter(|now| now.number == number);
        std::mem::swap(pages, &mut now.ok_or(Cancelled)?.kept);
        self.room.notify_all();
        if !pages.is_empty() {
            return Ok(());
        }
        while let Some(word) = self.protected.get(*next) {
            let left = word.load(Ordering::Relaxed);
            let page = *next as u32 * 64 + left.trailing_zeros();
            match ram.page_by_number(page).filter(|_| left != 0) {
                Some(host) => {
                    pages.push((page, host.bytes()));
                    word.fetch_and(left - 1, Ordering::Release);
                    if pages.len() == pages.capacity().min(BATCH) {
                        return Ok(());
                    }
                }
                None => *next += 1,
            }
        }
        if pages.is_empty() {
            *saving = None;
        }
        Ok(())
    }

    /// Ends a snapshot as it is, or any.
    pub(crate) fn cancel(&self, number: Option<u64>) {
        let mut saving = lock(&self.saving);
        if saving
            .as_ref()
            .is_some_and(|now| number.is_none_or(|number| number == now.number))
        {
            *saving = None;
            for word in &self.protected {
                word.store(0, Ordering::Release);
            }
            self.room.notify_all();
        }
    }
}

/// The snapshot is not under way any more.
struct Cancelled;

/// Harts that are held until this is dropped.
struct Held(Vec<Arc<HartPort>>);

impl Held {
    fn all(harts: Vec<Arc<HartPort>>) -> Self {
        for hart in &harts {
            hart.hold(Fence::Stores);
        }
        Self(harts)
    }

    fn are_still(&self, limit: Duration) -> bool {
        #[cfg(test)]
        if crate::translate::mistakes::is_made(crate::translate::mistakes::Mistake::NotAwaited) {
            return true;
        }
        let end = Instant::now() + limit;
        let mut harts = self.0.iter();
        harts.all(|hart| hart.wait_until_still(end.saturating_duration_since(Instant::now())))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for hart in &self.0 {
            hart.let_go();
        }
    }
}

impl Ram {
    /// Begins a snapshot of all of RAM as it is at one instant. At that instant each hart stands still between two instructions,
    /// and no other write is under way; the closure may look at what belongs to the instant, and must not write. Harts stand
    /// still until the slowest is there, which takes it a few thousand instructions unless it waits for a device, and then for
    /// some microseconds, with the closure's time.
    ///
    /// Then the guest goes on, and [`Saver::save`] gets the pages. A page that the guest writes to meanwhile is copied before, and
    /// waits to be taken; there is room for so many of them (at least one), and once more for those that are being taken. Who
    /// writes when it is used up waits for the saver.
    ///
    /// Harts of this RAM that run on other threads do so by [`crate::Hart::run`].
    pub fn snapshot<T>(
        &self,
        room: usize,
        at_instant: impl FnOnce() -> T,
    ) -> Result<(Saver, T), SnapshotError> {
        let room = room.max(1);
        let spare = Vec::with_capacity(room);
        let (number, value) = self.descriptors().begin(room, STILL, at_instant)?;
        let saver = Saver {
            ram: self.clone(),
            number,
            spare,
        };
        Ok((saver, value))
    }

    /// Cancels the snapshot under way, if there is one: so that nobody waits for its saver any more.
    pub fn cancel_snapshot(&self) {
        self.descriptors().cancel(None);
    }
}

/// A snapshot under way. It is cancelled when this is dropped.
pub struct Saver {
    ram: Ram,
    number: u64,
    /// The other half of the room.
    spare: Vec<(u32, PageBytes)>,
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver")
            .field("ram", &self.ram)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Saver {
    /// Passes on each page once: its offset from the start of RAM, and its bytes at the instant. Most come in order, those that
    /// were written to meanwhile at any time. The guest may come to wait for the sink, which must not wait for the guest.
    pub fn save<E>(
        mut self,
        mut sink: impl FnMut(u64, &PageBytes) -> Result<(), E>,
    ) -> Result<(), SaveError<E>> {
        let mut pages = std::mem::take(&mut self.spare);
        let mut next = 0;
        loop {
            self.ram
                .descriptors()
                .take(self.number, &mut pages, &mut next, &self.ram)
                .map_err(|Cancelled| SaveError::Cancelled)?;
            if pages.is_empty() {
                return Ok(());
            }
            for (page, bytes) in pages.drain(..) {
                sink(u64::from(page) * PAGE_SIZE, &bytes).map_err(SaveError::Sink)?;
            }
        }
    }

    /// What cancels this snapshot from anywhere.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            descriptors: Arc::clone(self.ram.descriptors()),
            number: self.number,
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.ram.descriptors().cancel(Some(self.number));
    }
}

/// Cancels one snapshot.
#[derive(Debug, Clone)]
pub struct Canceller {
    descriptors: Arc<Descriptors>,
    number: u64,
}

impl Canceller {
    /// Ends the snapshot, if it is under way: [`Saver::save`] fails when it takes the next pages, and nothing is protected any more.
    pub fn cancel(&self) {
        self.descriptors.cancel(Some(self.number));
    }
}
