//! What screen readers hear of the trusted UI: the endpoint's side.
//!
//! The desktop around Bulkhead's window has a bus on which programs tell screen readers what they show (AT-SPI, over D-Bus). The
//! endpoint does not speak on it: a process of its own does, `bulkhead-accessibility`, and nothing of what the bus asks for comes
//! any further. The endpoint tells that process trees, one JSON text a line, and hears a single bit of it: whether anybody listens.
//! So a bus that is taken over learns what it could learn anyway, and can do nothing.
//!
//! Invariants:
//! - nothing is told, nothing wakes, and no tree is made while nobody listens;
//! - a bridge that is slow, stuck or gone holds nobody up: of what waits for it only the newest is kept;
//! - one that ends is started again, but not for ever if it keeps ending: a session without a bus is no error;
//! - what a tree holds is decided where it is made. Nothing is added here.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use accesskit::{Rect, TreeUpdate};
use serde::{Deserialize, Serialize};

/// What the bridge says when somebody begins to listen, and when nobody does any more.
pub const LISTENING: u8 = b'+';
/// See [`LISTENING`].
pub const ALONE: u8 = b'-';

/// What the bridge finds the bus by.
const BUS: [&str; 3] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "AT_SPI_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
];

/// The trusted UI as it is now.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Told {
    /// Bulkhead's window has the keyboard of the desktop around it.
    pub has_keyboard: bool,
    /// The window's pixels on that desktop's screen; at its origin where that is not known.
    pub place: Rect,
    /// The whole tree.
    pub tree: TreeUpdate,
}

/// How long to wait before each new start of a bridge that ended. With the last, nothing more is tried.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// One that ran for so long was well: it has all its starts again.
const WELL: Duration = Duration::from_secs(120);

/// The process that holds the bus. It ends when this is dropped.
#[derive(Debug)]
pub struct Bridge {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody listens.
    listening: bool,
    /// What was told last.
    told: Option<Told>,
    /// It is still to be sent.
    waits: bool,
    /// To the process that runs, if one does.
    link: Option<Arc<UnixStream>>,
    /// No process is to run any more.
    over: bool,
}

impl State {
    /// Whoever listens from now on has heard nothing yet.
    fn begin(&mut self, listening: bool) {
        (self.listening, self.told, self.waits) = (listening, None, false);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a plain store: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bridge {
    /// Starts `program` on the session's bus, and again should it end. `wake` is called on another thread whenever somebody
    /// begins to listen.
    ///
    /// Call it on a thread that lives as long as the desktop: the kernel ends the bridge with the thread that started it.
    ///
    /// # Errors
    /// The program cannot be started, or threads cannot.
    pub fn start(program: &Path, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let process = Process::start(program, &shared)?;
        let bridge = Self {
            shared: Arc::clone(&shared),
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let program = program.to_owned();
        thread("accessibility-in").spawn(move || keep(&program, process, &shared, &wake))?;
        let shared = Arc::clone(&bridge.shared);
        thread("accessibility-out").spawn(move || say(&shared))?;
        Ok(bridge)
    }

    /// Whether somebody listens.
    #[must_use]
    pub fn is_listened_to(&self) -> bool {
        self.shared.lock().listening
    }

    /// Tells whoever listens what the trusted UI is now. What is as it was is not told again.
    pub fn tell(&self, now: Told) {
        let mut state = self.shared.lock();
        if state.listening && state.told.as_ref() != Some(&now) {
            state.told = Some(now);
            state.waits = true;
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        // Whoever reads or writes there sees the end.
        if let Some(link) = state.link.take() {
            let _ = link.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }
}

/// One run of the program.
struct Process {
    child: Child,
    link: Arc<UnixStream>,
}

impl Process {
    fn start(program: &Path, shared: &Shared) -> io::Result<Self> {
        let (link, theirs) = UnixStream::pair()?;
        let child = Command::new(program)
            .env_clear()
            .envs(
                BUS.iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let link = Arc::new(link);
        shared.lock().link = Some(Arc::clone(&link));
        Ok(Self { child, link })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.link.shutdown(Shutdown::Both);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps the program running until the bridge is dropped or it ends too often.
fn keep(program: &Path, mut process: Process, shared: &Shared, wake: &dyn Fn()) {
    let mut pauses = PAUSES.iter();
    loop {
        if shared.lock().over {
            return;
        }
        let began = Instant::now();
        hear(&process.link, shared, wake);
        drop(process);
        {
            let mut state = shared.lock();
            state.begin(false);
            state.link = None;
        }
        if began.elapsed() >= WELL {
            pauses = PAUSES.iter();
        }
        process = loop {
            let Some(pause) = pauses.next() else {
                return give_up(shared);
            };
            let goes_on = |state: &mut State| !state.over;
            let (state, _) = shared
                .changed
                .wait_timeout_while(shared.lock(), *pause, goes_on)
                .unwrap_or_else(PoisonError::into_inner);
            if state.over {
                return;
            }
            drop(state);
            match Process::start(program, shared) {
                Ok(process) => break process,
                Err(error) => tracing::warn!("{}: {error}", program.display()),
            }
        };
    }
}

fn give_up(shared: &Shared) {
    tracing::warn!(
        "screen readers hear nothing of this desktop any more: their bridge ended too often"
    );
    shared.lock().over = true;
    shared.changed.notify_all();
}

/// Takes the one thing that the bridge may say, until the link ends.
fn hear(mut link: &UnixStream, shared: &Shared, wake: &dyn Fn()) {
    let mut said = [0];
    loop {
        let listening = match link.read(&mut said) {
            Ok(1) => said == [LISTENING],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            _ => return,
        };
        shared.lock().begin(listening);
        if listening {
            wake();
        }
    }
}

/// Sends what waits, at the pace of the bridge.
fn say(shared: &Shared) {
    loop {
        let idle = |state: &mut State| !state.waits && !state.over;
        let mut state = shared
            .changed
            .wait_while(shared.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return;
        }
        state.waits = false;
        let (Some(told), Some(link)) = (state.told.clone(), state.link.clone()) else {
            continue;
        };
        drop(state);
        let sent = serde_json::to_vec(&told)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                (&*link).write_all(&line)
            });
        if let Err(error) = sent {
            tracing::warn!("screen readers miss a word: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
