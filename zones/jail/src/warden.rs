//! The parent of a jailed process in a pid namespace: it waits, and ends as its child ended.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid};

use crate::{privileges, seccomp, system};

/// Never returns. Everything is given up first; a failure there is not worth stopping for, because nothing hostile ever reaches
/// this process: it reads no byte from anyone.
///
/// `sign_of_life` stays open as long as this process lives; every other descriptor is closed.
pub(crate) fn watch(child: Pid, sign_of_life: &OwnedFd) -> ! {
    let _ = rustix::thread::set_name(c"zone-warden");
    let kept = sign_of_life.as_raw_fd().unsigned_abs();
    if kept > 0 {
        let _ = system::close_range(0, kept.saturating_sub(1));
    }
    let _ = system::close_range(kept.saturating_add(1), u32::MAX);
    let _ = privileges::no_new_privileges();
    let _ = privileges::drop_capabilities();
    let _ = privileges::forbid_tracing();
    let _ = privileges::die_with_parent();
    let _ = seccomp::confine_warden();
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => end_like(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => system::exit_now(1),
        }
    }
}

fn end_like(status: WaitStatus) -> ! {
    if let Some(code) = status.exit_status() {
        system::exit_now(code);
    }
    if let Some(signal) = status.terminating_signal() {
        system::default_signal(signal);
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = kill_process(getpid(), signal);
        }
    }
    system::exit_now(1)
}
