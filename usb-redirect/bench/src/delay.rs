//! A delay line: a stream whose bytes arrive half a round trip later, in order, at any rate.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Two ends of a stream with a one-way delay between them.
pub fn line(one_way: Duration) -> Result<(UnixStream, UnixStream)> {
    let (ours, near) = UnixStream::pair()?;
    if one_way.is_zero() {
        return Ok((ours, near));
    }
    let (far, theirs) = UnixStream::pair()?;
    carry(near.try_clone()?, far.try_clone()?, one_way);
    carry(far, near, one_way);
    Ok((ours, theirs))
}

fn carry(mut from: UnixStream, mut to: UnixStream, one_way: Duration) {
    let (give, take) = channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if give.send((Instant::now(), bytes)).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        precise_timers();
        while let Ok((came, bytes)) = take.recv() {
            let due = came + one_way;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// The kernel delays a thread's timers by up to 50 us to save wake-ups; what stands for a cable must not.
pub fn precise_timers() {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}
