//! Locking and unlocking. What is in doubt stays locked: the desktop is locked at its start, after the machine slept, and whenever the
//! passphrase's file cannot be read; nothing but the right passphrase unlocks it, and not while the policy keeps it locked.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use compositor::{LockReason, Passphrase, Refusal};
use rustix::time::{ClockId, clock_gettime};

use super::watch::ring;
use super::{Finished, Session, Status};
use crate::audit::Event as Record;
use crate::passphrase::{PassphraseFile, Tried};
use crate::words::Remark;

/// So many wrong attempts in a row cost nothing but their own time.
const FREE_FAILURES: u32 = 2;
/// The longest wait after a wrong attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The machine slept when the clock that goes on in its sleep is ahead by this much more.
const SLEPT: Duration = Duration::from_secs(1);
/// The kernel's own count. Its clocks do not tell of a sleep in which they went on, as they do in s2idle on machines without deep
/// idle states.
const COUNT: &str = "/sys/power/suspend_stats/success";

/// What keeps the desktop locked, whatever passphrase is typed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Hold {
    /// The policy was not renewed in time.
    Lockout,
    /// The audit log cannot be written.
    Audit,
}

impl Hold {
    fn reason(self) -> LockReason {
        match self {
            Self::Lockout => LockReason::Policy,
            Self::Audit => LockReason::Log,
        }
    }
}

/// How locking stands.
#[derive(Debug)]
pub(super) struct Lock {
    /// Why it was locked last.
    why: LockReason,
    holds: BTreeSet<Hold>,
    last_input: Instant,
    /// How long the machine has slept since it started.
    slept: Duration,
    /// The kernel's count of its sleeps, where it keeps one, and how far it was.
    count: Option<File>,
    counted: Option<u64>,
    /// How often it slept since the session began.
    sleeps: u32,
}

/// What came of an attempt to unlock, or why that cannot be known.
pub(super) struct Attempt(Result<Tried, String>);

impl Lock {
    pub(super) fn new(now: Instant) -> Self {
        let count = File::open(COUNT).ok();
        Self {
            why: LockReason::Started,
            holds: BTreeSet::new(),
            last_input: now,
            slept: slept(),
            counted: count.as_ref().and_then(counted),
            count,
            sleeps: 0,
        }
    }

    /// Whether the machine has slept since the last call.
    fn has_slept(&mut self) -> bool {
        let (slept, counted) = (slept(), self.count.as_ref().and_then(counted));
        let by_clock = slept > self.slept + SLEPT;
        let by_count = counted > self.counted;
        (self.slept, self.counted) = (slept, counted);
        by_clock || by_count
    }
}

impl Session {
    /// Whether the desktop is locked.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.scene.is_locked()
    }

    /// How often the machine has slept so far, as of the last [`Session::dispatch`]. What a presenter showed before is of another time.
    #[must_use]
    pub fn sleeps(&self) -> u32 {
        self.lock.sleeps
    }

    fn passphrase(&self) -> PassphraseFile {
        self.services.state.passphrase()
    }

    pub(super) fn lock_at_start(&mut self) {
        match self.services.state.secret_phrase() {
            Ok(Some(phrase)) => self.scene.set_secret_phrase(&phrase),
            Ok(None) => {}
            Err(error) => tracing::warn!("the secret phrase cannot be shown: {error}"),
        }
        if self.passphrase().is_set() {
            let why = match self.services.audit.ended_in_order() {
                true => LockReason::Started,
                false => LockReason::Crashed,
            };
            self.lock_screen(why);
            let wrong = self.passphrase().wrong_in_a_row();
            if wrong > 0 {
                let since = self.since(Instant::now());
                self.scene
                    .refuse_unlock(Refusal::Wrong, since + wait_after(wrong));
            }
        } else if self.shortest_idle_lock().is_some() {
            tracing::warn!(
                "the policy locks an idle desktop, but no passphrase is set: run `bulkhead passphrase set`"
            );
        }
    }

    /// A person asked for it.
    pub(super) fn lock_by_user(&mut self, now: Instant) {
        if self.passphrase().is_set() {
            self.lock_screen(LockReason::Person);
        } else {
            // A lock that anyone opens would be a false promise.
            self.notify(Remark::NoPassphrase, now);
        }
    }

    /// Screens came or went: nobody knows who looks at them.
    pub(super) fn lock_for_screens(&mut self) {
        if self.passphrase().is_set() {
            self.lock_screen(LockReason::Screens);
        }
    }

    fn lock_screen(&mut self, why: LockReason) {
        // What a user granted ends with the user's presence, and so does what is under way.
        self.engine.end_session();
        self.cancel_transfer(&Remark::DesktopLocked);
        self.cancel_screenshot();
        if !self.scene.is_locked() {
            self.lock.why = why;
            self.record(Record::session("locked", recorded(why)));
        }
        self.show_lock();
    }

    /// Says why it is locked: first of all what no passphrase opens.
    fn show_lock(&mut self) {
        let held = self.lock.holds.first().map(|hold| hold.reason());
        self.scene.lock(held.unwrap_or(self.lock.why));
    }

    /// Begins or ends what keeps the desktop locked.
    pub(super) fn hold(&mut self, hold: Hold, holds: bool) {
        if holds {
            if self.lock.holds.insert(hold) {
                self.lock_screen(hold.reason());
            }
        } else if self.lock.holds.remove(&hold) {
            if self.lock.holds.is_empty() && !self.passphrase().is_set() {
                // Only the hold had locked it: there is nothing else to open it by.
                self.unlock_screen(recorded(LockReason::Over));
            } else if self.scene.is_locked() {
                if self.lock.why == hold.reason() {
                    self.lock.why = LockReason::Over;
                }
                self.show_lock();
            }
        }
    }

    fn unlock_screen(&mut self, why: &str) {
        let now = Instant::now();
        self.lock.last_input = now;
        let since = self.since(now);
        self.scene.unlock(since);
        self.record(Record::session("unlocked", why));
    }

    /// Tries a passphrase on a thread of its own: nobody else shall wait.
    pub(super) fn try_unlock(&mut self, passphrase: Passphrase, now: Instant) {
        let (file, bell) = (self.passphrase(), self.watch.bell());
        let finisher = self.finisher.clone();
        let thread = std::thread::Builder::new()
            .name("unlock".into())
            .spawn(move || {
                let tried = file.attempt(passphrase.as_str());
                let tried = tried.map_err(|error| error.to_string());
                // The session may be gone; then nobody needs it.
                let _ = finisher.send(Finished::Unlock(Attempt(tried)));
                ring(&bell);
            });
        if let Err(error) = thread {
            self.unlock_tried(Attempt(Err(error.to_string())), now);
        }
    }

    pub(super) fn unlock_tried(&mut self, Attempt(tried): Attempt, now: Instant) {
        let since = self.since(now);
        match tried {
            Ok(Tried::Right) if self.lock.holds.is_empty() => {
                self.unlock_screen("by the passphrase");
            }
            Ok(Tried::Right) => {
                self.scene.refuse_unlock(Refusal::Held, since);
                self.record(Record::session(
                    "unlock-refused",
                    "the policy keeps it locked",
                ));
            }
            Ok(Tried::Wrong { in_a_row }) => {
                self.scene
                    .refuse_unlock(Refusal::Wrong, since + wait_after(in_a_row));
                let count = format!("wrong passphrase, {in_a_row} in a row");
                self.record(Record::session("unlock-refused", &count));
            }
            Err(reason) => {
                self.scene
                    .refuse_unlock(Refusal::Broken, since + wait_after(u32::MAX));
                self.record(Record::session("unlock-refused", &reason));
            }
        }
    }

    pub(super) fn notice_input(&mut self, now: Instant) {
        self.keep_lock(now);
        self.lock.last_input = now;
    }

    /// The shortest time without input after which a running zone is to be covered.
    fn shortest_idle_lock(&self) -> Option<Duration> {
        let running = |zone: &&super::Zone| zone.status != Status::Off;
        let zones = self.present().filter(running);
        zones.filter_map(|zone| zone.policy.idle_lock).min()
    }

    /// When the desktop locks itself.
    pub(super) fn lock_due(&self) -> Option<Instant> {
        let idle = self.shortest_idle_lock()?;
        (!self.scene.is_locked() && self.passphrase().is_set())
            .then(|| self.lock.last_input.checked_add(idle))
            .flatten()
    }

    pub(super) fn keep_lock(&mut self, now: Instant) {
        if self.lock.has_slept() {
            self.lock.sleeps = self.lock.sleeps.wrapping_add(1);
            if self.passphrase().is_set() {
                self.lock_screen(LockReason::Slept);
            }
        }
        if self.lock_due().is_some_and(|due| due <= now) {
            self.lock_screen(LockReason::Idle);
        }
    }
}

/// As the log has it.
fn recorded(why: LockReason) -> &'static str {
    match why {
        LockReason::Started => "the desktop started",
        LockReason::Crashed => "the desktop started; before, it did not end in good order",
        LockReason::Person => "the user locked it",
        LockReason::Idle => "nobody was there",
        LockReason::Slept => "the machine slept",
        LockReason::Screens => "screens were plugged in or out",
        LockReason::Policy => "the policy was not renewed in time",
        LockReason::Log => "the audit log cannot be written",
        LockReason::Over => "what kept it locked is over",
    }
}

/// How long the machine has slept: one of the kernel's clocks goes on meanwhile, the other does not.
fn slept() -> Duration {
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
}

/// What the kernel's count says.
fn counted(file: &File) -> Option<u64> {
    let mut digits = [0; 24];
    let length = file.read_at(&mut digits, 0).ok()?;
    std::str::from_utf8(digits.get(..length)?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// How long no further attempt is taken after so many wrong ones in a row.
fn wait_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES) {
        None | Some(0) => Duration::ZERO,
        Some(more) => {
            Duration::from_secs(1_u64.checked_shl(more).unwrap_or(u64::MAX)).min(LONGEST_WAIT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_that_only_the_kernel_counted_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("success");
        std::fs::write(&place, "9\n").unwrap();
        let mut lock = Lock::new(Instant::now());
        lock.count = Some(File::open(&place).unwrap());
        lock.has_slept();
        assert_eq!((lock.counted, lock.has_slept()), (Some(9), false));
        std::fs::write(&place, "10\n").unwrap();
        assert_eq!((lock.has_slept(), lock.has_slept()), (true, false));
        lock.count = None;
        assert!(!lock.has_slept(), "a kernel that keeps no count");
    }

    #[test]
    fn wrong_attempts_cost_more_and_more_time() {
        let waits: Vec<u64> = (0..6)
            .map(|failures| wait_after(failures).as_secs())
            .collect();
        assert_eq!(waits, [0, 0, 0, 2, 4, 8]);
        assert_eq!(wait_after(10), Duration::from_secs(256));
        assert_eq!(wait_after(11), LONGEST_WAIT);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}
