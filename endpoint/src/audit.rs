//! What is written down, and where: the hash-chained log of `bulkhead-policy`, in a directory of the state directory.
//!
//! A record survives the end of this program as soon as it is made, and the end of the machine's power once it is synced, which
//! happens about a second later. What a zone makes happen is bounded before it comes here: a zone cannot push older records out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bulkhead_policy::audit::{AuditError, Log};
use bulkhead_policy::{Audit as Settings, Directory, KeyError, PrivateKey};

use crate::clock::timestamp;
use crate::state_directory::write_private;

pub use bulkhead_policy::audit::Event;

/// Where records go.
pub trait Audit {
    /// Writes a record down before anything else happens.
    ///
    /// # Errors
    /// It could not be written. The caller says so to the user; nothing is undone.
    fn record(&mut self, event: Event) -> Result<(), AuditError>;

    /// Whether the last desktop closed its log before this one opened it.
    fn ended_in_order(&self) -> bool;

    /// Makes what was recorded survive a power cut.
    ///
    /// # Errors
    /// The storage failed.
    fn sync(&mut self) -> Result<(), AuditError>;
}

/// An audit log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its directory cannot be used; often another endpoint uses it.
    #[error("the audit log in {} cannot be opened; choose another place with --state-dir", .path.display())]
    Directory {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key that signs its checkpoints cannot be had.
    #[error("the audit log's key {} cannot be used", .path.display())]
    Key {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log itself cannot be continued.
    #[error("the audit log in {} cannot be continued", .path.display())]
    Log {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: AuditError,
    },
}

/// The log on disk.
pub struct AuditLog {
    /// None only while it is being closed.
    log: Option<Log<Directory>>,
}

impl AuditLog {
    /// Opens the log in `directory`, or begins one. The key that signs its checkpoints is beside it in `key`, made at the first use.
    ///
    /// # Errors
    /// The directory is in use or cannot be written, or the key is damaged.
    pub fn open(directory: &Path, key: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let path = || directory.to_owned();
        let disk = Directory::create(directory).map_err(|source| OpenError::Directory {
            path: path(),
            source,
        })?;
        let private = own_key(key).map_err(|source| OpenError::Key {
            path: key.to_owned(),
            source,
        })?;
        let log =
            Log::open(disk, private, settings, timestamp()).map_err(|source| OpenError::Log {
                path: path(),
                source,
            })?;
        Ok(Self { log: Some(log) })
    }
}

impl Audit for AuditLog {
    fn record(&mut self, event: Event) -> Result<(), AuditError> {
        self.log
            .as_mut()
            .map_or(Ok(()), |log| log.append(event, timestamp()).map(|_| ()))
    }

    fn ended_in_order(&self) -> bool {
        self.log.as_ref().is_none_or(Log::was_closed)
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        self.log.as_mut().map_or(Ok(()), Log::sync)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        if let Some(log) = self.log.take()
            && let Err(error) = log.close(timestamp())
        {
            tracing::warn!("{error}");
        }
    }
}

fn own_key(path: &Path) -> Result<PrivateKey, Box<dyn std::error::Error + Send + Sync>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(PrivateKey::parse(&text, None)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = PrivateKey::generate("endpoint")?;
            let text = key.to_text(None).map_err(|error: KeyError| error)?;
            write_private(path, &text)?;
            tracing::info!("audit log: its checkpoints are signed by {}", key.public());
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps records in memory: for tests.
#[derive(Debug, Default)]
pub struct AuditMemory {
    /// What was recorded, oldest first.
    pub events: Arc<Mutex<Vec<Event>>>,
}

impl Audit for AuditMemory {
    fn record(&mut self, event: Event) -> Result<(), AuditError> {
        let mut events = self
            .events
            .lock()
            .map_err(|_| io::Error::other("a thread panicked while recording"))?;
        events.push(event);
        Ok(())
    }

    fn ended_in_order(&self) -> bool {
        true
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(place: &Path) -> Result<AuditLog, OpenError> {
        AuditLog::open(
            &place.join("audit"),
            &place.join("audit.key"),
            &Settings::default(),
        )
    }

    #[test]
    fn a_log_goes_on_under_the_same_key_and_zones_cannot_forge_lines() {
        let place = tempfile::tempdir().unwrap();
        let hostile = "x\n{\"what\":\"closed\"}\u{1b}[2J";
        for _ in 0..2 {
            let mut audit = open(place.path()).unwrap();
            audit
                .record(Event::zone("open", "killed", hostile))
                .unwrap();
            audit.sync().unwrap();
        }
        let text = std::fs::read_to_string(place.path().join("audit/audit-00000001.log")).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let what: Vec<&str> = lines
            .iter()
            .map(|line| line["what"].as_str().unwrap())
            .collect();
        assert_eq!(
            what,
            ["opened", "zone", "closed", "opened", "zone", "closed"]
        );
        assert!(lines[3]["clean"].as_bool().unwrap() && !text.contains('\u{1b}'));
    }

    #[test]
    fn a_log_that_was_not_closed_says_so() {
        let (place, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let audit = open(place.path()).unwrap();
        assert!(audit.ended_in_order(), "a new one");
        // As it is on the disk when the desktop crashes or the power goes.
        std::fs::create_dir(cut.path().join("audit")).unwrap();
        for entry in std::fs::read_dir(place.path().join("audit")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(
                entry.path(),
                cut.path().join("audit").join(entry.file_name()),
            )
            .unwrap();
        }
        std::fs::copy(place.path().join("audit.key"), cut.path().join("audit.key")).unwrap();
        drop(audit);
        assert!(open(place.path()).unwrap().ended_in_order());
        assert!(!open(cut.path()).unwrap().ended_in_order());
        assert!(open(cut.path()).unwrap().ended_in_order());
    }

    #[test]
    fn one_log_has_one_writer_and_a_damaged_key_is_told() {
        let place = tempfile::tempdir().unwrap();
        let first = open(place.path()).unwrap();
        let second = open(place.path()).err().unwrap();
        assert!(second.to_string().contains("--state-dir"));
        drop(first);
        std::fs::write(place.path().join("audit.key"), "nonsense").unwrap();
        assert!(matches!(open(place.path()), Err(OpenError::Key { .. })));
    }
}
