//! What is written down: one JSON object a line, in the order in which it happened.
//!
//! Zone-controlled text never reaches a record except as a bounded, printable string inside JSON: it can forge neither a line nor an
//! escape sequence.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Something worth a record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The desktop opened.
    SessionStarted {
        /// The policy's file.
        policy: String,
        /// SHA-256 of its bytes.
        policy_sha256: String,
    },
    /// The desktop closed.
    SessionEnded,
    /// A zone process was started.
    ZoneStarted {
        /// Which zone.
        zone: String,
        /// SHA-256 of the image's manifest, or what else identifies the image.
        image: String,
        /// The process's id.
        process: u32,
    },
    /// A zone runs in a jail that lacks something that the policy does not require.
    JailWeakened {
        /// Which zone.
        zone: String,
        /// Layers with the reasons.
        missing: Vec<String>,
    },
    /// A zone's state changed.
    ZoneState {
        /// Which zone.
        zone: String,
        /// Its new state.
        state: String,
    },
    /// A zone was killed for what it did.
    ZoneKilled {
        /// Which zone.
        zone: String,
        /// What it did.
        reason: String,
    },
    /// Something that would have crossed a zone's edge was denied.
    FlowDenied {
        /// From which zone.
        zone: String,
        /// What.
        flow: String,
    },
}

/// Where records go.
pub trait Audit {
    /// Writes a record down before anything else happens.
    ///
    /// # Errors
    /// It could not be written. The caller says so to the user; nothing is undone.
    fn record(&mut self, event: &Event) -> io::Result<()>;
}

/// Records as lines of a file.
#[derive(Debug)]
pub struct AuditFile {
    file: File,
    sequence: u64,
}

impl AuditFile {
    /// Appends to `path`, which only its owner may read.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self { file, sequence: 0 })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, with milliseconds.
    time: f64,
    /// Counts up within one run.
    sequence: u64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Audit for AuditFile {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time = (since.as_secs_f64() * 1000.0).round() / 1000.0;
        let mut line = serde_json::to_vec(&Line {
            time,
            sequence: self.sequence,
            event,
        })?;
        line.push(b'\n');
        self.sequence = self.sequence.saturating_add(1);
        // One write a line: a crash cuts at most the last one.
        self.file.write_all(&line)
    }
}

/// Keeps records in memory: for tests.
#[derive(Debug, Default)]
pub struct AuditMemory {
    /// What was recorded, oldest first.
    pub events: std::sync::Arc<std::sync::Mutex<Vec<Event>>>,
}

impl Audit for AuditMemory {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        self.events
            .lock()
            .map_err(|_| io::Error::other("a thread panicked while recording"))?
            .push(event.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let mut audit = AuditFile::open(&path).unwrap();
        let reason = "x\n{\"event\":\"session-ended\"}\u{1b}[2J\u{2028}".to_owned();
        audit
            .record(&Event::ZoneKilled {
                zone: "open".into(),
                reason: reason.clone(),
            })
            .unwrap();
        audit.record(&Event::SessionEnded).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["event"], &lines[0]["reason"]),
            (&"zone-killed".into(), &reason.into())
        );
        assert_eq!(
            (&lines[1]["event"], &lines[1]["sequence"]),
            (&"session-ended".into(), &1.into())
        );
        assert!(!text.contains('\u{1b}'));
    }
}
