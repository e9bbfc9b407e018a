//! A debugger's door to a zone: a Unix socket that only the user can open, behind which a thread passes bytes on.
//!
//! There is none unless the user asked for it at the start: who can open it owns the zone, and sees all that is in it. The zone
//! process gets one end of a socket pair as its standard input, so that its jail keeps no descriptor more. What a zone sends
//! goes to the debugger alone, unread.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

/// What a debugger that went away without a word should have said: stop, then leave the machine to itself.
const FAREWELL: &[u8] = b"\x03$D#44";

type Client = Arc<Mutex<Option<UnixStream>>>;

/// Opens a zone's door at `path`, in place of one that a former process left; gives the standard input for the zone's process.
pub(crate) fn open(path: &Path) -> io::Result<Stdio> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // In the state directory, which is the user's alone.
    let listener = UnixListener::bind(path)?;
    let (here, zones) = UnixStream::pair()?;
    let from_zone = here.try_clone()?;
    let client = Client::default();
    let same_client = Arc::clone(&client);
    start("debugger out", move || pass_out(from_zone, &same_client))?;
    start("debugger in", move || pass_in(&listener, here, &client))?;
    Ok(Stdio::from(OwnedFd::from(zones)))
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(run)?;
    Ok(())
}

fn current(client: &Client) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From the zone to the debugger, if there is one, until the zone's process ends.
fn pass_out(mut zone: UnixStream, client: &Client) {
    let mut buffer = [0; 4096];
    while let Ok(count) = zone.read(&mut buffer) {
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if let Some(client) = &mut *current(client) {
            // A debugger that is gone is noticed on its own side.
            let _ = client.write_all(bytes);
        }
    }
    if let Some(client) = current(client).take() {
        let _ = client.shutdown(std::net::Shutdown::Both);
    }
}

/// From one debugger after another to the zone.
fn pass_in(listener: &UnixListener, mut zone: UnixStream, client: &Client) {
    while let Ok((mut debugger, _)) = listener.accept() {
        let Ok(back) = debugger.try_clone() else {
            continue;
        };
        *current(client) = Some(back);
        let _ = io::copy(&mut debugger, &mut zone);
        *current(client) = None;
        if zone.write_all(FAREWELL).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_and_an_abrupt_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        fs::write(&path, "left over").unwrap();
        let (here, mut zone) = UnixStream::pair().unwrap();
        // As `open` does, but with the zone's end in hand.
        fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let (client, from_zone) = (Client::default(), here.try_clone().unwrap());
        let same = Arc::clone(&client);
        start("out", move || pass_out(from_zone, &same)).unwrap();
        start("in", move || pass_in(&listener, here, &client)).unwrap();

        for _ in 0..2 {
            let mut debugger = UnixStream::connect(&path).unwrap();
            debugger.write_all(b"+$?#3f").unwrap();
            let mut heard = [0; 6];
            zone.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"+$?#3f");
            zone.write_all(b"$S05#b8").unwrap();
            let mut answer = [0; 7];
            debugger.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"$S05#b8");
            drop(debugger);
            let mut farewell = [0; FAREWELL.len()];
            zone.read_exact(&mut farewell).unwrap();
            assert_eq!(farewell, FAREWELL);
        }
        let mut debugger = UnixStream::connect(&path).unwrap();
        debugger.write_all(b"+").unwrap();
        zone.read_exact(&mut [0]).unwrap();
        drop(zone);
        assert_eq!(debugger.read(&mut [0; 8]).unwrap(), 0, "the zone is gone");
    }
}
