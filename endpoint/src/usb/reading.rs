//! What a device says of itself is parsed by a process of its own, a jailed `usb-redirect --describe`: here only its digest arrives, bounded.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use usb_redirect::plugged::{Digest, MAX_DIGEST};

/// How long the process may take; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running process that reads a device.
#[derive(Debug)]
pub(super) struct Reading {
    child: Child,
    output: UnixStream,
    text: Vec<u8>,
    until: Instant,
}

impl Reading {
    /// Starts `program` for what a device says: the kernel's folder of it, or a file of descriptors.
    pub(super) fn start(program: &Path, what: &Path, now: Instant) -> io::Result<Self> {
        let (output, theirs) = UnixStream::pair()?;
        output.set_nonblocking(true)?;
        let child = usb_redirect_cli::describe(program, what)
            .stderr(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Self {
            child,
            output,
            text: Vec::new(),
            until: now + PATIENCE,
        })
    }

    /// When it has taken too long.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// What the device at `port` is, or why nobody can tell; none while it is being read.
    pub(super) fn result(&mut self, port: &str, now: Instant) -> Option<Result<Digest, String>> {
        let mut chunk = [0; 4096];
        loop {
            match rustix::io::read(&self.output, &mut chunk) {
                Ok(0) => break,
                Ok(count) => self
                    .text
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if now < self.until => return None,
                Err(Errno::AGAIN) => return Some(Err("it took too long to read".to_owned())),
                Err(error) => return Some(Err(error.to_string())),
            }
            if self.text.len() > MAX_DIGEST {
                return Some(Err("too much was said of it".to_owned()));
            }
        }
        let text = String::from_utf8_lossy(&self.text);
        Some(Digest::parse(&text, port).map_err(|error| {
            // What it said last is why it failed.
            let last = text.lines().last().unwrap_or_default();
            let last: String = last
                .chars()
                .filter(|shown| !shown.is_control())
                .take(200)
                .collect();
            if last.is_empty() {
                error.to_string()
            } else {
                last
            }
        }))
    }
}

impl AsFd for Reading {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // One that has ended is only collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
