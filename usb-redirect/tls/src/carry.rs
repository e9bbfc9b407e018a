//! Bytes between a TLS connection and a plain socket, on one thread that sleeps in `poll`. Each side's buffer holds one chunk; nothing is taken
//! from one side while the other does not take.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustls::Connection;

use crate::{HANDSHAKE, TlsError};

const CHUNK: usize = 16 * 1024;
/// How long the peer has to take the end.
const LINGER: Duration = Duration::from_secs(1);
const READABLE: PollFlags = PollFlags::IN.union(PollFlags::HUP).union(PollFlags::ERR);

/// Does the handshake.
pub(crate) fn shake(tls: &mut Connection, tcp: &TcpStream) -> Result<(), TlsError> {
    let begin = Instant::now();
    while tls.is_handshaking() || tls.wants_write() {
        send(tls, tcp)?;
        let left = HANDSHAKE.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(TlsError::Late);
        }
        if !tls.is_handshaking() && !tls.wants_write() {
            break;
        }
        let mut events = PollFlags::IN;
        if tls.wants_write() {
            events |= PollFlags::OUT;
        }
        let mut descriptors = [PollFd::new(tcp, events)];
        wait(&mut descriptors, Timespec::try_from(left).ok().as_ref())?;
        let [ready] = descriptors.map(|descriptor| descriptor.revents());
        if ready.intersects(READABLE) && tls.is_handshaking() && !receive(tls, tcp)? {
            return Err(TlsError::CutOff);
        }
    }
    Ok(())
}

/// Carries until either side ends.
pub(crate) fn carry(
    tls: &mut Connection,
    tcp: &TcpStream,
    mut plain: &UnixStream,
) -> Result<(), TlsError> {
    plain.set_nonblocking(true)?;
    let mut inward = Vec::with_capacity(CHUNK);
    let mut chunk = vec![0; CHUNK];
    // What came with the last message of the handshake is there already.
    let mut ended = take(tls, &mut inward)?;
    loop {
        send(tls, tcp)?;
        push(plain, &mut inward)?;
        if ended && inward.is_empty() {
            let _ = plain.shutdown(Shutdown::Both);
            return Ok(());
        }
        let choose = |wants, flag| if wants { flag } else { PollFlags::empty() };
        let mut descriptors = [
            PollFd::new(
                tcp,
                choose(inward.is_empty() && !ended, PollFlags::IN)
                    | choose(tls.wants_write(), PollFlags::OUT),
            ),
            PollFd::new(
                &plain,
                choose(!tls.wants_write(), PollFlags::IN)
                    | choose(!inward.is_empty(), PollFlags::OUT),
            ),
        ];
        wait(&mut descriptors, None)?;
        let [at_tcp, at_plain] = descriptors.map(|descriptor| descriptor.revents());
        if at_tcp.intersects(READABLE) && inward.is_empty() && !ended {
            if !receive(tls, tcp)? {
                return Err(TlsError::CutOff);
            }
            ended = take(tls, &mut inward)?;
        }
        if at_plain.intersects(READABLE) && !tls.wants_write() {
            match plain.read(&mut chunk) {
                Ok(0) => return say_goodbye(tls, tcp),
                Err(error) if is_gone(&error) => return say_goodbye(tls, tcp),
                Ok(count) => {
                    let bytes = chunk.get(..count).unwrap_or_default();
                    // Its buffer is empty and holds more than a chunk.
                    tls.writer().write_all(bytes)?;
                }
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The plain side has ended: the peer learns that this is an end in good order, even if it is still sending.
fn say_goodbye(tls: &mut Connection, mut tcp: &TcpStream) -> Result<(), TlsError> {
    tls.send_close_notify();
    let begin = Instant::now();
    loop {
        send(tls, tcp)?;
        if !tls.wants_write() {
            // Ignored if the peer has gone just now.
            let _ = tcp.shutdown(Shutdown::Write);
        }
        let left = LINGER.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        let mut events = PollFlags::IN;
        if tls.wants_write() {
            events |= PollFlags::OUT;
        }
        let mut descriptors = [PollFd::new(tcp, events)];
        wait(&mut descriptors, Timespec::try_from(left).ok().as_ref())?;
        // To close while something is unread would undo what was sent.
        match tcp.read(&mut [0; 4096]) {
            Ok(0) => return Ok(()),
            Err(error) if !passing(&error) => return Ok(()),
            _ => {}
        }
    }
}

fn wait(descriptors: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> io::Result<()> {
    match poll(descriptors, timeout) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads once from the network; false at its end. What is wrong with it is told to the peer.
fn receive(tls: &mut Connection, mut tcp: &TcpStream) -> Result<bool, TlsError> {
    match tls.read_tls(&mut tcp) {
        Ok(0) => return Ok(false),
        Ok(_) => {}
        Err(error) if passing(&error) => return Ok(true),
        Err(error) => return Err(error.into()),
    }
    if let Err(error) = tls.process_new_packets() {
        let _ = send(tls, tcp);
        return Err(error.into());
    }
    Ok(true)
}

/// Takes what was decrypted; true when the peer has said that there is no more.
fn take(tls: &mut Connection, inward: &mut Vec<u8>) -> Result<bool, TlsError> {
    let mut chunk = [0; 4096];
    loop {
        match tls.reader().read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(count) => inward.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if passing(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends what there is room for.
fn send(tls: &mut Connection, mut tcp: &TcpStream) -> Result<(), TlsError> {
    while tls.wants_write() {
        match tls.write_tls(&mut tcp) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn push(mut plain: &UnixStream, bytes: &mut Vec<u8>) -> Result<(), TlsError> {
    while !bytes.is_empty() {
        match plain.write(bytes) {
            Ok(count) => drop(bytes.drain(..count.min(bytes.len()))),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // Nobody takes it any more. What was said before is still to be read.
            Err(error) if is_gone(&error) => bytes.clear(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether the other end of the plain socket was closed, perhaps with something unread.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
