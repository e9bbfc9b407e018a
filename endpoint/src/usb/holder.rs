//! A running `usb-redirect` process: it holds one device and polls it for one zone's guest, jailed, with nothing open but the device, the
//! guest's stream and the socket on which it tells what happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use usb_redirect::filter::Grant;
use usb_redirect::identity::Hash;
use usb_redirect_cli::grant_arguments;

/// The longest line that the process may say.
const LINE: usize = 512;

/// What a device is, for the process that opens it.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A real one: its file, its place, and the kernel's folder of it.
    Node {
        node: PathBuf,
        port: String,
        folder: PathBuf,
    },
    /// One that exists in memory.
    Simulated {
        descriptors: PathBuf,
        script: Option<PathBuf>,
    },
}

impl Source {
    /// Where it says what it is.
    pub(super) fn says(&self) -> &Path {
        match self {
            Self::Node { folder, .. } => folder,
            Self::Simulated { descriptors, .. } => descriptors,
        }
    }
}

/// The process.
#[derive(Debug)]
pub(super) struct Holder {
    child: Child,
    notices: UnixStream,
    said: Vec<u8>,
}

impl Holder {
    /// Starts `program` for a device; gives the process and the stream that goes to the guest.
    pub(super) fn start(
        program: &Path,
        source: &Source,
        fingerprint: Hash,
        grant: &Grant,
    ) -> io::Result<(Self, OwnedFd)> {
        let (guest, theirs) = UnixStream::pair()?;
        let (notices, words) = UnixStream::pair()?;
        notices.set_nonblocking(true)?;
        let mut command = Command::new(program);
        command.args(["--front", "guest"]);
        match source {
            Source::Node { node, port, .. } => {
                command.arg("--device").arg(node).args(["--port", port]);
            }
            Source::Simulated {
                descriptors,
                script,
            } => {
                command.arg("--simulate").arg(descriptors);
                if let Some(script) = script {
                    command.arg("--script").arg(script);
                }
            }
        }
        // What the policy looked at is what must be found when the device is opened.
        command.args(["--expect", &fingerprint.to_string()]);
        command.args(grant_arguments(grant));
        let child = command
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::from(OwnedFd::from(words.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(words)))
            .spawn()?;
        let holder = Self {
            child,
            notices,
            said: Vec::new(),
        };
        Ok((holder, guest.into()))
    }

    /// The next line that the process said: none when there is none now, an error at its end.
    pub(super) fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.said.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            if self.said.len() >= LINE {
                self.said.clear();
            }
            let mut chunk = [0; LINE];
            match rustix::io::read(&self.notices, &mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self
                    .said
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks it to let go of the device in good order, so that the kernel's drivers come back.
    pub(super) fn ask_to_detach(&self) {
        self.tell(b"detach\n");
    }

    /// Lets a stream that was held because of its typing go on.
    pub(super) fn resume(&self) {
        self.tell(b"resume\n");
    }

    /// How it ended, once it has closed its end.
    pub(super) fn finish(mut self) -> String {
        let ended = self.child.try_wait().ok().flatten();
        let ended = ended.map_or_else(
            || {
                // It ends just now, or has closed its end and goes on: then it goes on no longer.
                let _ = self.child.kill();
                self.child.wait()
            },
            Ok,
        );
        ended.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    fn tell(&self, words: &[u8]) {
        // A process that does not read is killed when its time is up.
        let _ = rustix::io::write(&self.notices, words);
    }
}

impl AsFd for Holder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // One that has ended is only collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
