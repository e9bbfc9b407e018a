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
//! - what a tree holds is decided where it is made. Nothing is added here.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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

/// The process that holds the bus. It ends when this is dropped.
#[derive(Debug)]
pub struct Bridge {
    process: Child,
    link: UnixStream,
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
    /// The bridge is gone.
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a plain store: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bridge {
    /// Starts `program` on the session's bus. `wake` is called on another thread whenever somebody begins to listen.
    ///
    /// Call it on a thread that lives as long as the desktop: the kernel ends the bridge with the thread that started it.
    ///
    /// # Errors
    /// The program cannot be started, or threads cannot.
    pub fn start(program: &Path, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (link, theirs) = UnixStream::pair()?;
        let (heard, said) = (link.try_clone()?, link.try_clone()?);
        let process = Command::new(program)
            .env_clear()
            .envs(
                BUS.iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let bridge = Self {
            process,
            link,
            shared: Arc::default(),
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let shared = Arc::clone(&bridge.shared);
        thread("accessibility-in").spawn(move || hear(heard, &shared, &wake))?;
        let shared = Arc::clone(&bridge.shared);
        thread("accessibility-out").spawn(move || say(said, &shared))?;
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
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Both threads and the process see the end of the link; the process is not waited for beyond that.
        let _ = self.link.shutdown(Shutdown::Both);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Takes the one thing that the bridge may say.
fn hear(mut link: UnixStream, shared: &Shared, wake: &dyn Fn()) {
    let mut said = [0];
    loop {
        let listening = match link.read(&mut said) {
            Ok(1) => said == [LISTENING],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            _ => break,
        };
        let mut state = shared.lock();
        // Whoever begins to listen has heard nothing yet.
        *state = State {
            listening,
            ..State::default()
        };
        drop(state);
        if listening {
            wake();
        }
    }
    *shared.lock() = State {
        over: true,
        ..State::default()
    };
    shared.changed.notify_one();
}

/// Sends what waits, at the pace of the bridge.
fn say(mut link: UnixStream, shared: &Shared) {
    loop {
        let mut state = shared.lock();
        while !state.waits && !state.over {
            let woken = shared.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if state.over {
            return;
        }
        state.waits = false;
        let Some(told) = state.told.clone() else {
            continue;
        };
        drop(state);
        let sent = serde_json::to_vec(&told)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                link.write_all(&line)
            });
        if let Err(error) = sent {
            return tracing::warn!("screen readers are told nothing any more: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
