//! Input scripts: plain text, one command a line, played through the same router as a person's input.
//!
//! ```text
//! # Lines that start with # are remarks.
//! wait-ready corp timeout 180
//! focus corp
//! type echo hello
//! key Return
//! wait-console corp hello timeout 20
//! screenshot hello.png
//! quit
//! ```
//!
//! | command | does |
//! | --- | --- |
//! | `wait-ready ZONE` | waits until the zone's session says that it is ready |
//! | `wait-console ZONE TEXT` | waits for text on the zone's console, after the text that the last such wait found |
//! | `wait-still ZONE SECONDS` | waits until the zone has not changed a pixel for so long |
//! | `wait-state ZONE STATE` | waits for a state: off, starting, running, stopping, panicked, failed, killed |
//! | `wait-agent ZONE` | waits until clips can be brought to and from the zone |
//! | `wait-policy VERSION` | waits until the policy of this version is at work |
//! | `wait-locked`, `wait-unlocked` | waits until the desktop is locked, or is not |
//! | `answer NUMBER` | waits for a question and gives an answer: 0 is no, 1 the first yes, and so on |
//! | `unlock TEXT` | types the rest of the line at the lock screen |
//! | `focus ZONE` | gives the zone the keyboard, by the chord that a person would use |
//! | `type TEXT` | types the rest of the line on a US keyboard |
//! | `press NAME` | clicks the control of this name on the page that is up or in the panel, as a screen reader would say it |
//! | `wait-shown TEXT` | waits until the trusted UI shows this text in one piece, or says it to a screen reader |
//! | `key CHORD` | presses keys together, such as `ctrl+alt+Right` or `Return` |
//! | `move X Y` | moves the pointer to a pixel of the desktop |
//! | `click [left\|middle\|right] [X Y]` | clicks, there or where the pointer is |
//! | `wheel N` | turns the wheel by N notches, up or (negative) down |
//! | `sleep SECONDS` | waits |
//! | `latency ZONE COUNT` | types so many keys, prints how long they took until the changed pixels were shown, and where the time went |
//! | `latency ZONE COUNT busy` | the same while the pointer moves 60 times a second, for a zone that runs [`load::ANSWERS`] |
//! | `screenshot FILE` | saves a picture of the desktop |
//! | `start ZONE`, `power ZONE`, `kill ZONE` | starts a zone, presses its power button, kills its process |
//! | `quit` | shuts all zones down and ends |
//!
//! Waits give up after 300 seconds, or after those named at the end of the line (`timeout SECONDS`).

pub mod keyboard;
mod latency;
pub mod load;
mod parse;
mod player;

use std::path::PathBuf;
use std::time::Duration;

pub use player::{Player, Progress};

/// A script that was read: no line of it can be misunderstood any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    file: String,
    steps: Vec<Step>,
}

/// A line that could not be read or done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct ScriptError {
    /// The script's file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    line: usize,
    command: Command,
}

#[derive(Clone, Debug, PartialEq)]
enum Command {
    Wait {
        zone: String,
        condition: Condition,
        timeout: Duration,
    },
    /// For the desktop, where a `Wait` is for a zone.
    WaitFor {
        condition: DesktopCondition,
        timeout: Duration,
    },
    Answer {
        choice: usize,
        timeout: Duration,
    },
    Unlock(Vec<keyboard::Stroke>),
    Focus(String),
    Type(Vec<keyboard::Stroke>),
    Key(Vec<u16>),
    Press(String),
    Shown {
        text: String,
        timeout: Duration,
    },
    Move(i32, i32),
    Click {
        button: u16,
        at: Option<(i32, i32)>,
    },
    Wheel(i32),
    Sleep(Duration),
    Latency {
        zone: String,
        count: usize,
        /// Whether the zones and the pointer have more to do meanwhile.
        busy: bool,
    },
    Screenshot(PathBuf),
    Start(String),
    Power(String),
    Kill(String),
    Quit,
}

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Ready,
    Console(String),
    State(&'static str),
    Still(Duration),
    Agent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum DesktopCondition {
    Policy(u64),
    Locked(bool),
}

impl Script {
    /// Reads a script. `file` is its name in errors.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScriptError> {
        parse::parse(file, text)
    }
}
