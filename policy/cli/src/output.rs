//! What commands print and how they end.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bulkhead_policy::{Decider, Errors, Policy, Timestamp};

/// The largest file that is read: the largest policy and one byte, so that what is too large is refused by name.
const MOST: u64 = (4 << 20) + 1;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Good,
    /// The command found something.
    Found,
}

impl Outcome {
    pub(crate) fn good_if(good: bool) -> Self {
        if good { Self::Good } else { Self::Found }
    }

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Found => 1,
        }
    }
}

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A file could not be read.
    #[error("{} could not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has mistakes.
    #[error("{0}{count} found", count = mistakes(.0))]
    Mistakes(Errors),
    /// Something was refused.
    #[error("{0}")]
    Refused(String),
}

fn mistakes(errors: &Errors) -> String {
    if errors.count() == 1 {
        "\n1 mistake".to_owned()
    } else {
        format!("\n{} mistakes", errors.count())
    }
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Mistakes(_) | Self::Refused(_) => 1,
            Self::Read { .. } | Self::Write { .. } => 3,
        }
    }

    /// As one JSON value.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Mistakes(errors) => serde_json::json!({ "ok": false, "diagnostics": errors }),
            other => serde_json::json!({ "ok": false, "error": other.to_string() }),
        }
    }
}

/// Prints to the standard output. A reader that went away is no failure.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

pub(crate) fn print_json(value: &serde_json::Value) {
    print(&format!(
        "{}\n",
        serde_json::to_string_pretty(value).unwrap_or_default()
    ));
}

/// Reads a file of bounded size; `-` is the standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        io::stdin().lock().take(MOST).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes))
    };
    result.map_err(|source| Failure::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(bytes)
}

/// Replaces a file: afterwards it is the old or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |source| Failure::Write {
        path: path.to_owned(),
        source,
    };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let write = || {
        let mut file = std::fs::File::create(&new)?;
        if let Ok(metadata) = std::fs::metadata(path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(fail)
}

pub(crate) fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Reads and checks a policy.
pub(crate) fn policy(path: &Path) -> Result<Policy, Failure> {
    Policy::parse(&name(path), &read(path)?).map_err(Failure::Mistakes)
}

pub(crate) fn decider(path: &Path) -> Result<Decider, Failure> {
    policy(path).map(Decider::new)
}

/// The time of the system's clock.
pub(crate) fn now() -> Timestamp {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Timestamp(i64::try_from(seconds).unwrap_or(i64::MAX))
}
