//! The compiler: a thread that makes better code of what is hot, while the harts go on with the code that they have.
//!
//! It sees neither guest memory nor code memory. A hart reads a trace and hands it over; what comes back lies on the hart's
//! tray until the hart next looks around, and the hart itself puts it in place, if nothing has happened meanwhile to what it was
//! made of: who forgets code forgets what was asked for, too, and only what was asked for is taken. Where the compiler does not
//! get to it, the host having no core to spare, the hart takes its traces back and makes their code itself.
//!
//! First translations are not for the compiler: to wake a thread and to fetch its work from another core takes longer than
//! they do, and the interpreter goes on much more slowly meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::trace::Trace;
use super::{CodeGenerator, Compiled, HostGenerator, Start};

#[cfg(test)]
pub(crate) mod tests;

/// Most traces that a hart asks for at a time.
const MOST_ASKED: usize = 32;
/// Instructions until a hart takes back what it has asked for.
const PATIENCE: u64 = 20_000_000;

/// A trace, and its code once that is made.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) start: Start,
    pub(super) trace: Trace,
    /// Accesses may go by one check for several.
    pub(super) grouped: bool,
    pub(super) compiled: Compiled,
    /// Tells a hart's requests apart.
    ticket: u64,
}

impl Job {
    /// Makes the code, unless that was done.
    pub(super) fn make(&mut self, generator: &mut HostGenerator) {
        if self.compiled.bytes.is_empty() {
            generator.trace(&self.trace, self.grouped, &mut self.compiled);
        }
    }
}

/// The thread that makes code for the harts of a machine. It sleeps while there is nothing to do, and ends with this.
#[derive(Debug)]
pub struct Compiler {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Compiler {
    /// Starts the thread, unless this host's processor lacks what generated code uses.
    ///
    /// # Errors
    ///
    /// The host gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let mut compiler = Self::idle();
        if HostGenerator::is_supported() {
            let desk = Arc::clone(&compiler.desk);
            let thread = std::thread::Builder::new().name("compiler".into());
            compiler.thread = Some(thread.spawn(move || desk.work())?);
        }
        Ok(compiler)
    }

    /// One that leaves everything to the harts.
    fn idle() -> Self {
        Self {
            desk: Arc::default(),
            thread: None,
        }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        lock(&self.desk.shared).is_over = true;
        self.desk.work.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours; the harts have done without since.
            let _ = thread.join();
        }
    }
}

/// Where harts leave traces for the compiler.
#[derive(Debug, Default)]
struct Desk {
    shared: Mutex<Shared>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct Shared {
    queue: VecDeque<(Arc<Tray>, Job)>,
    is_asleep: bool,
    is_over: bool,
}

/// Where a hart's finished jobs lie.
#[derive(Debug, Default)]
struct Tray {
    jobs: Mutex<Vec<Job>>,
    is_used: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn work(&self) {
        let mut generator = super::generator().0;
        while let Some((tray, mut job)) = self.next() {
            job.make(&mut generator);
            tray.put(job);
        }
    }

    /// Sleeps until there is a job; none at the end.
    fn next(&self) -> Option<(Arc<Tray>, Job)> {
        let mut shared = lock(&self.shared);
        loop {
            if shared.is_over {
                return None;
            }
            if let Some(job) = shared.queue.pop_front() {
                return Some(job);
            }
            shared.is_asleep = true;
            let woken = self.work.wait(shared);
            shared = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, tray: &Arc<Tray>, job: Job) {
        let mut shared = lock(&self.shared);
        shared.queue.push_back((Arc::clone(tray), job));
        if std::mem::take(&mut shared.is_asleep) {
            drop(shared);
            self.work.notify_one();
        }
    }
}

impl Tray {
    fn put(&self, job: Job) {
        lock(&self.jobs).push(job);
        self.is_used.store(true, Ordering::Release);
    }

    fn empty(&self) -> Vec<Job> {
        self.is_used.store(false, Ordering::Relaxed);
        std::mem::take(&mut lock(&self.jobs))
    }
}

/// What a hart has asked for and not got yet.
#[derive(Debug)]
struct Asked {
    ticket: u64,
    start: Start,
    /// How many instructions the hart had retired.
    since: u64,
}

/// A hart's side of a [`Compiler`].
#[derive(Debug)]
pub(super) struct Client {
    desk: Arc<Desk>,
    tray: Arc<Tray>,
    asked: Vec<Asked>,
    tickets: u64,
}

impl Client {
    pub(super) fn new(compiler: &Compiler) -> Self {
        Self {
            desk: Arc::clone(&compiler.desk),
            tray: Arc::default(),
            asked: Vec::new(),
            tickets: 0,
        }
    }

    /// Whether this was asked for.
    pub(super) fn expects(&self, start: Start) -> bool {
        self.asked.iter().any(|asked| asked.start == start)
    }

    /// Hands a job over, or back if there are enough.
    pub(super) fn ask(&mut self, mut job: Job, now: u64) -> Option<Job> {
        if self.asked.len() >= MOST_ASKED {
            return Some(job);
        }
        self.tickets += 1;
        job.ticket = self.tickets;
        self.asked.push(Asked {
            ticket: job.ticket,
            start: job.start,
            since: now,
        });
        self.desk.put(&self.tray, job);
        None
    }

    /// Whether there may be something in [`Client::fetch`].
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.tray.is_used.load(Ordering::Acquire) || self.is_late(now)
    }

    fn is_late(&self, now: u64) -> bool {
        let first = self.asked.first();
        first.is_some_and(|asked| now.wrapping_sub(asked.since) > PATIENCE)
    }

    /// What is done, and what nobody has begun with for long, of that which is still wanted.
    pub(super) fn fetch(&mut self, now: u64) -> Vec<Job> {
        let mut jobs = self.tray.empty();
        if self.is_late(now) {
            jobs.extend(self.take_back(|_| true));
            // What is being made now will be there soon.
            self.asked.iter_mut().for_each(|asked| asked.since = now);
        }
        jobs.retain(|job| {
            let is_this = |asked: &Asked| asked.ticket == job.ticket;
            let at = self.asked.iter().position(is_this);
            at.map(|at| self.asked.remove(at)).is_some()
        });
        jobs
    }

    /// What was asked for of these pages is not wanted any more.
    pub(super) fn forget(&mut self, is_meant: impl Fn(u32) -> bool) {
        #[cfg(test)]
        if super::mistakes::is_made(super::mistakes::Mistake::OldInstalled) {
            return;
        }
        if self.asked.iter().any(|asked| is_meant(asked.start.page)) {
            self.asked.retain(|asked| !is_meant(asked.start.page));
            self.take_back(|job| is_meant(job.start.page));
        }
    }

    /// Takes such jobs of this hart from the desk.
    fn take_back(&self, is_meant: impl Fn(&Job) -> bool) -> Vec<Job> {
        let queue = &mut lock(&self.desk.shared).queue;
        let (taken, left) = queue
            .drain(..)
            .partition(|(tray, job)| Arc::ptr_eq(tray, &self.tray) && is_meant(job));
        *queue = left;
        let taken: VecDeque<(Arc<Tray>, Job)> = taken;
        taken.into_iter().map(|(_, job)| job).collect()
    }
}

#[cfg(test)]
pub(crate) mod double {
    //! A compiler that does what a test says, when the test says so.

    use super::*;

    /// Code that is not on its hart's tray yet.
    pub(crate) struct Made(Arc<Tray>, Job);

    impl Made {
        pub(crate) fn deliver(self) {
            self.0.put(self.1);
        }
    }

    impl Compiler {
        /// One without a thread.
        pub(crate) fn double() -> Self {
            Self::idle()
        }

        /// How many traces wait.
        pub(crate) fn waiting(&self) -> usize {
            lock(&self.desk.shared).queue.len()
        }

        /// Makes the code of one of those that wait.
        pub(crate) fn make(&self, which: usize) -> Option<Made> {
            let (tray, mut job) = lock(&self.desk.shared).queue.remove(which)?;
            job.make(&mut crate::translate::generator().0);
            Some(Made(tray, job))
        }
    }
}
