//! The door for `bulkhead usb attach` and `detach`: a socket in the state directory, for the user whose desktop it is.
//!
//! One line of JSON is asked and one answered. The policy decides all the same, and asks at the desktop where it asks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use serde::{Deserialize, Serialize};

/// The longest request.
const REQUEST: u64 = 8 * 1024;
/// How long either side waits for the other: both run on this machine, and a request is one write.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a program waits for a busy desktop.
const DESKTOP: Duration = Duration::from_secs(10);

/// What a program asks of a running desktop.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Give a device to a zone.
    Attach {
        /// Its port or vendor:product.
        device: String,
        /// The zone.
        zone: String,
    },
    /// Take a device back, or all of them.
    Detach {
        /// Its port or vendor:product; none means all.
        device: Option<String>,
    },
    /// Plug in a device that exists in memory.
    Simulate {
        /// The file of its descriptors.
        descriptors: PathBuf,
        /// The file of what it sends.
        script: Option<PathBuf>,
    },
}

/// What the desktop answers: words for the person, good or bad.
pub type Reply = Result<String, String>;

/// The desktop's side.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Only one desktop uses a state directory, so what is there is left over.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// The next order, if one waits, and where its answer goes.
    pub(super) fn next(&self) -> Option<(UnixStream, Order)> {
        let (stream, _) = self.listener.accept().ok()?;
        match read(&stream) {
            Ok(order) => Some((stream, order)),
            Err(error) => {
                answer(&stream, &Err(format!("the request is refused: {error}")));
                None
            }
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn read(stream: &UnixStream) -> io::Result<Order> {
    let peer = socket_peercred(stream)?;
    if peer.uid != rustix::process::geteuid() {
        return Err(io::Error::other("the desktop is another user's"));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

pub(super) fn answer(mut stream: &UnixStream, reply: &Reply) {
    let line = serde_json::to_string(reply).unwrap_or_default();
    // Whoever asked may be gone.
    let _ = writeln!(stream, "{line}");
}

/// Asks the desktop whose state directory has this socket.
///
/// # Errors
/// With the sentence to show: no desktop runs, or what was asked cannot be done.
pub fn ask(path: &Path, order: &Order) -> Reply {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no desktop runs with {}; start one with `bulkhead run`, or name its state directory by --state-dir",
            path.display()
        ),
        _ => format!("the desktop at {} does not answer: {error}", path.display()),
    };
    let talk = || -> io::Result<Reply> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(DESKTOP))?;
        writeln!(stream, "{}", serde_json::to_string(order)?)?;
        let mut line = String::new();
        BufReader::new(stream.take(REQUEST)).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    talk().map_err(told)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_asked_and_answered() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("usb");
        let order = Order::Attach {
            device: "1-1".to_owned(),
            zone: "work".to_owned(),
        };
        assert!(ask(&path, &order).unwrap_err().contains("no desktop runs"));
        let door = Door::open(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(door.next().is_none());
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&path, &order));
            let (stream, got) = std::iter::repeat_with(|| door.next())
                .find_map(|next| next)
                .unwrap();
            assert_eq!(got, order);
            answer(&stream, &Ok("done".to_owned()));
            drop(stream);
            assert_eq!(asked.join().unwrap(), Ok("done".to_owned()));
        });
        // Nonsense is told so, and the door stays open.
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"{\"attach\":1}\n").unwrap();
        assert!(door.next().is_none());
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert!(line.contains("the request is refused"), "{line}");
        drop(door);
        assert!(!path.exists());
    }
}
