//! Reads `/dev/input/event*` as any desktop does.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub const KEY: u16 = 1;
pub const RELATIVE: u16 = 2;
pub const ABSOLUTE: u16 = 3;
pub const LED: u16 = 17;

/// An input device.
pub struct Input {
    pub path: PathBuf,
    file: File,
}

/// Type, code, value.
pub type Event = (u16, u16, i32);

/// Waits for an input device whose name and place fulfil a condition, and that reports events of a kind.
pub fn find(name: &str, kind: u16, under: &str, patience: Duration) -> Result<Input> {
    let begin = Instant::now();
    loop {
        let mut others = Vec::new();
        for entry in fs::read_dir("/sys/class/input")
            .into_iter()
            .flatten()
            .flatten()
        {
            let node = entry.file_name().to_string_lossy().into_owned();
            if !node.starts_with("event") {
                continue;
            }
            let base = entry.path().join("device");
            let read = |file: &str| fs::read_to_string(base.join(file)).unwrap_or_default();
            let place = fs::canonicalize(entry.path()).unwrap_or_default();
            // The word for event types is in hexadecimal, the lowest bits last.
            let kinds = read("capabilities/ev");
            let bits = u64::from_str_radix(kinds.trim(), 16).unwrap_or(0);
            if read("name").contains(name)
                && bits & 1 << kind != 0
                && place.to_string_lossy().contains(under)
            {
                let path = PathBuf::from("/dev/input").join(node);
                // The node can come a moment after the entry in /sys.
                if let Ok(file) = File::options().read(true).write(true).open(&path) {
                    return Ok(Input { path, file });
                }
            }
            others.push(format!("{} ({})", read("name").trim(), kinds.trim()));
        }
        if begin.elapsed() > patience {
            bail!(
                "no input device {name:?} with events of type {kind} appeared under {under:?} in {patience:?}, but {others:?}"
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Input {
    /// The next event that is of type `kind`, within `patience`.
    pub fn next(&mut self, kind: u16, patience: Duration) -> Result<Event> {
        self.next_of(&[kind], patience)
    }

    /// The next event of one of these types, within `patience`.
    pub fn next_of(&mut self, kinds: &[u16], patience: Duration) -> Result<Event> {
        let begin = Instant::now();
        loop {
            let left = patience.saturating_sub(begin.elapsed());
            let mut descriptors = [PollFd::new(&self.file, PollFlags::IN)];
            if poll(&mut descriptors, Some(&Timespec::try_from(left)?))? == 0 {
                bail!(
                    "no event of types {kinds:?} came from {} within {patience:?}",
                    self.path.display()
                );
            }
            let mut record = [0u8; 24];
            self.file.read_exact(&mut record).context("read an event")?;
            let [.., t0, t1, c0, c1, v0, v1, v2, v3] = record;
            let event = (
                u16::from_le_bytes([t0, t1]),
                u16::from_le_bytes([c0, c1]),
                i32::from_le_bytes([v0, v1, v2, v3]),
            );
            // Auto-repeat (value 2) is the guest kernel's own.
            if kinds.contains(&event.0) && !(event.0 == KEY && event.2 == 2) {
                return Ok(event);
            }
        }
    }

    /// Writes an event, such as a light.
    pub fn write(&mut self, (kind, code, value): Event) -> Result<()> {
        let mut record = [0u8; 24];
        let tail = [kind.to_le_bytes(), code.to_le_bytes()].concat();
        record[16..20].copy_from_slice(&tail);
        record[20..].copy_from_slice(&value.to_le_bytes());
        self.file.write_all(&record).context("write an event")
    }

    /// Closes and opens it again, which unlinks the kernel's poll and submits a new one.
    pub fn reopen(self) -> Result<Self> {
        let path = self.path;
        drop(self.file);
        let file = File::options().read(true).write(true).open(&path)?;
        Ok(Self { path, file })
    }

    /// Whether the kernel has taken it away.
    pub fn is_gone(&self) -> bool {
        !self.path.exists()
    }
}
