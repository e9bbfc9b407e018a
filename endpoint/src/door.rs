//! Doors of a running desktop: sockets in its state directory, for the user whose desktop it is.
//!
//! One line of JSON is asked and one answered. Behind each door stands whoever does what is asked: [`crate::usb`] for devices, the
//! session for zones.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest request.
const REQUEST: u64 = 8 * 1024;
/// The longest answer: a line about each of the zones that a policy can have.
const ANSWER: u64 = 64 * 1024;
/// How long either side waits for the other: both run on this machine, and a request is one write.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a program waits for a busy desktop.
const DESKTOP: Duration = Duration::from_secs(10);

/// The desktop's side.
#[derive(Debug)]
pub(crate) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
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
    pub(crate) fn next<Order: DeserializeOwned>(&self) -> Option<(UnixStream, Order)> {
        let (stream, _) = self.listener.accept().ok()?;
        match read(&stream) {
            Ok(order) => Some((stream, order)),
            Err(error) => {
                answer(
                    &stream,
                    &Err::<(), _>(format!("the request is refused: {error}")),
                );
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

fn read<Order: DeserializeOwned>(stream: &UnixStream) -> io::Result<Order> {
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

pub(crate) fn answer(mut stream: &UnixStream, reply: &Result<impl Serialize, String>) {
    let line = serde_json::to_string(reply).unwrap_or_default();
    // Whoever asked may be gone.
    let _ = writeln!(stream, "{line}");
}

/// Asks the desktop whose state directory has this socket.
///
/// # Errors
/// With the sentence to show: no desktop runs, or what was asked cannot be done.
pub fn ask<Reply: DeserializeOwned>(path: &Path, order: &impl Serialize) -> Result<Reply, String> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no desktop runs with {}; start one with `bulkhead run`, or name its state directory by --state-dir",
            path.display()
        ),
        _ => format!("the desktop at {} does not answer: {error}", path.display()),
    };
    let talk = || -> io::Result<Result<Reply, String>> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(DESKTOP))?;
        writeln!(stream, "{}", serde_json::to_string(order)?)?;
        let mut line = String::new();
        BufReader::new(stream.take(ANSWER)).read_line(&mut line)?;
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
        let order = ["lift", "the lid"];
        let ask = || ask::<String>(&path, &order);
        assert!(ask().unwrap_err().contains("no desktop runs"));
        let door = Door::open(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(door.next::<[String; 2]>().is_none());
        std::thread::scope(|scope| {
            let asked = scope.spawn(ask);
            let (stream, got) = std::iter::repeat_with(|| door.next::<[String; 2]>())
                .find_map(|next| next)
                .unwrap();
            assert_eq!(got, order);
            answer(&stream, &Ok("done"));
            drop(stream);
            assert_eq!(asked.join().unwrap(), Ok("done".to_owned()));
        });
        // Nonsense is told so, and the door stays open.
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"{\"lift\":1}\n").unwrap();
        assert!(door.next::<[String; 2]>().is_none());
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert!(line.contains("the request is refused"), "{line}");
        drop(door);
        assert!(!path.exists());
    }
}
