//! What a guest wrote to its console: the last part of it, in memory, and a log file where the user asked for one.
//!
//! The bytes are hostile. They are never shown on a terminal; the log file gets printable text only and stops at a limit.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes kept in memory per zone.
pub const KEPT_BYTES: usize = 256 * 1024;

/// Bytes that a zone may write to its log file in one run.
const LOG_BYTES: u64 = 64 << 20;

/// The end of a console's output, and how much there was before.
#[derive(Debug, Default)]
pub struct Console {
    kept: VecDeque<u8>,
    /// Bytes ever written.
    written: u64,
    log: Option<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    left: u64,
}

impl Console {
    /// Also writes what comes from now on to a file, as printable text.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn log_to(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        self.log = Some(Log {
            file,
            left: LOG_BYTES,
        });
        Ok(())
    }

    /// Takes what the guest wrote.
    pub fn push(&mut self, bytes: &[u8]) {
        self.written = self
            .written
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.kept.extend(bytes);
        let surplus = self.kept.len().saturating_sub(KEPT_BYTES);
        self.kept.drain(..surplus);
        if let Some(log) = &mut self.log
            && log.write(bytes).is_err()
        {
            // A full disk costs the log, not the zone.
            self.log = None;
        }
    }

    /// How many bytes were ever written: a place to search from.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Finds `text` at or after place `from`; gives the place behind it. What is no longer kept is not found.
    #[must_use]
    pub fn find(&self, text: &[u8], from: u64) -> Option<u64> {
        let oldest = self
            .written
            .saturating_sub(u64::try_from(self.kept.len()).unwrap_or(u64::MAX));
        let skipped = usize::try_from(from.max(oldest).saturating_sub(oldest)).ok()?;
        if text.is_empty() {
            return Some(from.max(oldest));
        }
        let candidates = self.kept.len().checked_sub(text.len())?;
        let at = (skipped..=candidates)
            .find(|start| self.kept.iter().skip(*start).take(text.len()).eq(text))?;
        let behind = at.checked_add(text.len())?;
        oldest.checked_add(u64::try_from(behind).ok()?)
    }

    /// The last lines as printable text, at most so many bytes.
    #[must_use]
    pub fn tail(&self, bytes: usize) -> String {
        let skipped = self.kept.len().saturating_sub(bytes);
        let mut text = String::new();
        self.kept
            .iter()
            .skip(skipped)
            .for_each(|byte| push_printable(&mut text, *byte));
        text
    }
}

impl Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut text = String::with_capacity(bytes.len());
        bytes
            .iter()
            .for_each(|byte| push_printable(&mut text, *byte));
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if length > self.left {
            self.file
                .write_all(b"\n(the log ends here: it reached its limit)\n")?;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.left = self.left.saturating_sub(length);
        self.file.write_all(text.as_bytes())
    }
}

/// Printable ASCII and line feeds as they are, carriage returns not at all, anything else as `\xNN`.
fn push_printable(text: &mut String, byte: u8) {
    match byte {
        b'\n' | b'\t' | b' '..=b'~' => text.push(char::from(byte)),
        b'\r' => {}
        _ => text.push_str(&format!("\\x{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_text_across_pieces_and_only_after_the_given_place() {
        let mut console = Console::default();
        console.push(b"login: lo");
        console.push(b"gin: ");
        assert_eq!(console.find(b"login:", 0), Some(6));
        assert_eq!(console.find(b"login:", 6), Some(13));
        assert_eq!(console.find(b"login:", 13), None);
        assert_eq!(console.find(b"", 3), Some(3));
    }

    #[test]
    fn keeps_a_bounded_end() {
        let mut console = Console::default();
        console.push(b"early");
        for _ in 0..300 {
            console.push(&[b'.'; 1024]);
        }
        console.push(b"late");
        assert_eq!(console.kept.len(), KEPT_BYTES);
        assert_eq!(console.find(b"early", 0), None);
        assert_eq!(console.find(b"late", 0), Some(console.written()));
        assert!(console.tail(8).ends_with("...late"));
    }

    #[test]
    fn the_log_holds_printable_text_and_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("open.console.log");
        let mut console = Console::default();
        console.log_to(&path).unwrap();
        console.push(b"ok\r\n\x1b[2Jx\xff\0");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "ok\n\\x1b[2Jx\\xff\\x00"
        );
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
