//! The compiler: a thread that makes code of traces while the harts that read them go on.
//!
//! A hart hands over what begins to be warm, and has made most of that when it is hot; what the compiler has not begun with by
//! then, the hart makes itself, so that a host without a spare core costs it nothing but a little reading. To wake a thread
//! takes about as long as to make a trace's code: what is warm waits until there are a few.
//!
//! The compiler sees neither guest memory nor code memory. The hart puts code in place itself, if nothing has happened to what
//! it was made of: who forgets code forgets what was asked for, too, and only what was asked for is taken.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::trace::Trace;
use super::{CodeGenerator, Compiled, HostGenerator, Start};

/// Most traces that a hart has asked for and not fetched; the oldest are given up.
const MOST_ASKED: usize = 64;
/// Traces for which a sleeping compiler is woken.
const BATCH: usize = 4;

/// A trace, and its code once that is made.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) start: Start,
    pub(super) trace: Trace,
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
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.desk.lock().is_over = true;
        self.desk.work.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours, and the harts do without.
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
type Tray = Mutex<Vec<Job>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    fn work(&self) {
        let mut generator = super::generator().0;
        while let Some((tray, mut job)) = self.next() {
            generator.trace(&job.trace, true, &mut job.compiled);
            lock(&tray).push(job);
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
        }
    }
}

/// What became of what a hart asked for.
pub(super) enum Answer {
    /// It was not asked for.
    Unknown,
    /// The code is being made.
    Soon,
    /// Here it is.
    Done(Job),
    /// Nobody has begun with it.
    Undone(Job),
}

/// A hart's side.
pub(super) struct Client {
    desk: Arc<Desk>,
    tray: Arc<Tray>,
    /// What was asked for and not fetched.
    asked: VecDeque<(Start, u64)>,
    /// What of it is not on the desk yet.
    batch: Vec<Job>,
    tickets: u64,
}

impl Client {
    pub(super) fn new(compiler: &Compiler) -> Self {
        Self {
            desk: Arc::clone(&compiler.desk),
            tray: Arc::default(),
            asked: VecDeque::new(),
            batch: Vec::new(),
            tickets: 0,
        }
    }

    /// Asks for code.
    pub(super) fn ask(&mut self, mut job: Job) {
        if self.asked.len() >= MOST_ASKED
            && let Some((_, oldest)) = self.asked.pop_front()
        {
            self.fetch(oldest, true);
        }
        self.tickets += 1;
        job.ticket = self.tickets;
        self.asked.push_back((job.start, job.ticket));
        self.batch.push(job);
        if self.batch.len() >= BATCH {
            let mut shared = self.desk.lock();
            let tray = &self.tray;
            let batch = self.batch.drain(..);
            shared
                .queue
                .extend(batch.map(|job| (Arc::clone(tray), job)));
            if std::mem::take(&mut shared.is_asleep) {
                drop(shared);
                self.desk.work.notify_one();
            }
        }
    }

    /// Takes what was asked for if it is done; also if nobody has begun with it, if it is `urgent`.
    pub(super) fn claim(&mut self, start: Start, urgent: bool) -> Answer {
        let Some(at) = self.asked.iter().position(|(asked, _)| *asked == start) else {
            return Answer::Unknown;
        };
        let answer = self.fetch(self.asked[at].1, urgent);
        if !matches!(answer, Answer::Soon) {
            self.asked.remove(at);
        }
        answer
    }

    fn fetch(&mut self, ticket: u64, urgent: bool) -> Answer {
        let is_this = |job: &Job| job.ticket == ticket;
        let mut tray = lock(&self.tray);
        if let Some(at) = tray.iter().position(is_this) {
            return Answer::Done(tray.swap_remove(at));
        }
        drop(tray);
        if !urgent {
            return Answer::Soon;
        }
        if let Some(at) = self.batch.iter().position(is_this) {
            return Answer::Undone(self.batch.swap_remove(at));
        }
        let queue = &mut self.desk.lock().queue;
        let at = queue
            .iter()
            .position(|(tray, job)| is_this(job) && Arc::ptr_eq(tray, &self.tray));
        match at.and_then(|at| queue.remove(at)) {
            Some((_, job)) => Answer::Undone(job),
            None => Answer::Soon,
        }
    }

    /// What was asked for of a page, or at all, is not wanted any more.
    pub(super) fn forget(&mut self, page: Option<u32>) {
        let before = self.asked.len();
        self.asked
            .retain(|(start, _)| page.is_some_and(|page| page != start.page));
        if self.asked.len() != before {
            let asked = &self.asked;
            let is_asked = |job: &Job| asked.iter().any(|(_, ticket)| *ticket == job.ticket);
            self.batch.retain(is_asked);
            self.desk
                .lock()
                .queue
                .retain(|(tray, job)| !Arc::ptr_eq(tray, &self.tray) || is_asked(job));
            lock(&self.tray).retain(is_asked);
        }
    }
}
