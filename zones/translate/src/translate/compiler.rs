//! The compiler: a thread that makes code of traces while the harts that read them go on.
//!
//! It sees neither guest memory nor code memory. A hart reads a trace and hands it over; what comes back lies in the hart's
//! tray until the hart next looks, and the hart itself puts it in place, if nothing has happened meanwhile to what it was made
//! of: whoever forgets code forgets what was asked for, too, and nobody takes in what he has not asked for. A hart whose traces
//! lie there for long makes their code itself: the host has no core to spare.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::trace::Trace;
use super::{CodeGenerator, Compiled, HostGenerator, Start};
use crate::HartPort;

/// Most traces that a hart lets others make code of at a time.
const MOST_ASKED: usize = 16;
/// Instructions until a hart takes back what it asked for.
const PATIENCE: u64 = 50_000;

/// A trace, and its code once that is made.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) start: Start,
    pub(super) trace: Trace,
    /// Empty until then.
    pub(super) compiled: Compiled,
    /// Tells a hart's requests apart.
    ticket: u64,
}

impl Job {
    /// Takes over the memory of an old one.
    pub(super) fn renew(&mut self, start: Start, trace: Trace) {
        (self.start, self.trace) = (start, trace);
        self.compiled.clear();
    }

    pub(super) fn is_done(&self) -> bool {
        !self.compiled.bytes.is_empty()
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
        let desk = Arc::<Desk>::default();
        let there = Arc::clone(&desk);
        let thread = HostGenerator::is_supported().then(|| {
            std::thread::Builder::new()
                .name("compiler".into())
                .spawn(move || there.work())
        });
        Ok(Self {
            desk,
            thread: thread.transpose()?,
        })
    }

    pub(super) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.desk.lock().is_over = true;
        self.desk.work.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours that its hart meets, too.
            let _ = thread.join();
        }
    }
}

/// Where harts leave traces for the compiler.
#[derive(Debug, Default)]
pub(super) struct Desk {
    shared: Mutex<Shared>,
    work: Condvar,
}

#[derive(Default)]
struct Shared {
    queue: VecDeque<(Arc<Tray>, Job)>,
    is_asleep: bool,
    is_over: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("queue", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut generator = super::generator().0;
        while let Some((tray, mut job)) = self.next() {
            generator.trace(&job.trace, true, &mut job.compiled);
            tray.put(job);
        }
    }

    /// Sleeps until there is a job; none at the end.
    fn next(&self) -> Option<(Arc<Tray>, Job)> {
        let mut shared = self.lock();
        loop {
            if shared.is_over {
                return None;
            }
            if let Some(job) = shared.queue.pop_front() {
                return Some(job);
            }
            shared.is_asleep = true;
            shared = self
                .work
                .wait(shared)
                .unwrap_or_else(PoisonError::into_inner);
            shared.is_asleep = false;
        }
    }

    fn put(&self, tray: &Arc<Tray>, job: Job) {
        let mut shared = self.lock();
        shared.queue.push_back((Arc::clone(tray), job));
        if std::mem::take(&mut shared.is_asleep) {
            drop(shared);
            self.work.notify_one();
        }
    }

    /// Takes back this hart's jobs that nobody has begun with.
    fn take_back(&self, tray: &Arc<Tray>, jobs: &mut Vec<Job>) {
        let mut shared = self.lock();
        for _ in 0..shared.queue.len() {
            match shared.queue.pop_front() {
                Some((owner, job)) if Arc::ptr_eq(&owner, tray) => jobs.push(job),
                other => shared.queue.extend(other),
            }
        }
    }
}

/// Where a hart's finished jobs lie.
struct Tray {
    jobs: Mutex<Vec<Job>>,
    is_used: AtomicBool,
    port: Arc<HartPort>,
}

impl Tray {
    fn put(&self, job: Job) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push(job);
        self.is_used.store(true, Ordering::Release);
        self.port.draw_attention();
    }

    fn empty(&self) -> Vec<Job> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_used.store(false, Ordering::Relaxed);
        std::mem::take(&mut *jobs)
    }
}

/// What a hart has asked for and not got yet.
struct Asked {
    ticket: u64,
    start: Start,
    /// The context in which the code is waited for.
    context: u64,
    /// How many instructions the hart had retired.
    since: u64,
}

/// A hart's side.
pub(super) struct Client {
    desk: Arc<Desk>,
    tray: Arc<Tray>,
    asked: Vec<Asked>,
    tickets: u64,
}

impl Client {
    pub(super) fn new(compiler: &Compiler, port: &Arc<HartPort>) -> Self {
        Self {
            desk: compiler.desk(),
            tray: Arc::new(Tray {
                jobs: Mutex::default(),
                is_used: AtomicBool::new(false),
                port: Arc::clone(port),
            }),
            asked: Vec::new(),
            tickets: 0,
        }
    }

    /// Whether code for this was asked for, which is wanted in this context now.
    pub(super) fn expects(&mut self, start: Start, context: u64) -> bool {
        let known = self.asked.iter_mut().find(|asked| asked.start == start);
        known.map(|asked| asked.context = context).is_some()
    }

    /// Hands a job over, or back if the compiler has enough to do.
    pub(super) fn ask(&mut self, mut job: Job, context: u64, now: u64) -> Option<Job> {
        if self.asked.len() >= MOST_ASKED {
            return Some(job);
        }
        self.tickets += 1;
        job.ticket = self.tickets;
        self.asked.push(Asked {
            ticket: job.ticket,
            start: job.start,
            context,
            since: now,
        });
        self.desk.put(&self.tray, job);
        None
    }

    /// What was asked for of a page is not wanted any more.
    pub(super) fn forget_page(&mut self, page: u32) {
        self.asked.retain(|asked| asked.start.page != page);
    }

    pub(super) fn forget(&mut self) {
        self.asked.clear();
    }

    /// Whether there is something in [`Client::jobs`].
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.tray.is_used.load(Ordering::Acquire) || self.is_late(now)
    }

    /// The compiler has not come to what was asked for first.
    fn is_late(&self, now: u64) -> bool {
        let first = self.asked.first();
        first.is_some_and(|asked| now.wrapping_sub(asked.since) > PATIENCE)
    }

    /// What is done, and what the hart is going to do itself since it waited for long.
    pub(super) fn jobs(&mut self, now: u64) -> Vec<Job> {
        let mut jobs = self.tray.empty();
        if self.is_late(now) {
            self.desk.take_back(&self.tray, &mut jobs);
            // What is being made will be there soon.
            self.asked.iter_mut().for_each(|asked| asked.since = now);
        }
        jobs
    }

    /// The context in which a job's code is waited for; none if nobody wants it any more.
    pub(super) fn take(&mut self, job: &Job) -> Option<u64> {
        let is_this = |asked: &Asked| asked.ticket == job.ticket;
        let at = self.asked.iter().position(is_this)?;
        Some(self.asked.remove(at).context)
    }
}

#[cfg(test)]
pub(crate) mod double {
    //! A compiler that does what a test says, when it says so.

    use super::*;

    /// Code that was made and is not yet in its hart's tray.
    pub(crate) struct Made(Arc<Tray>, Job);

    impl Made {
        pub(crate) fn deliver(self) {
            self.0.put(self.1);
        }
    }

    impl Compiler {
        /// One without a thread.
        pub(crate) fn idle() -> Self {
            Self {
                desk: Arc::default(),
                thread: None,
            }
        }

        /// How many traces wait.
        pub(crate) fn waiting(&self) -> usize {
            self.desk.lock().queue.len()
        }

        /// Makes code of one of those that wait.
        pub(crate) fn make(&self, which: usize) -> Option<Made> {
            let (tray, mut job) = self.desk.lock().queue.remove(which)?;
            let mut generator = crate::translate::generator().0;
            generator.trace(&job.trace, true, &mut job.compiled);
            Some(Made(tray, job))
        }
    }
}
