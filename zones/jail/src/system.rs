//! The system calls that have no safe form. The process is single-threaded in all of this: [`crate::Jail::apply`] checked it.

use std::io;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Forks. The child gets None.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with a single thread no lock can be held by a thread that the child does not have, so the child may run any code.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: `Jail::apply` and `close_inherited` run before anything else of the program, so no object owns a descriptor in the range; the standard
    // descriptors and the kept one are outside it. The warden owns nothing at all.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Leaves a namespace for a new one.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only `CLONE_FILES` makes this unsafe, and no caller passes it.
    unsafe { rustix::thread::unshare_unsafe(flags.difference(UnshareFlags::FILES)) }
        .map_err(io::Error::from)
}

/// Makes a write beyond the file size limit fail with `EFBIG` instead of ending the process.
pub(crate) fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Gives `signal` its default action back, so that sending it to ourselves ends us by it.
pub(crate) fn default_signal(signal: i32) {
    // SAFETY: the default action runs no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Ends the process at once, without anything that runs at exit.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: always sound; nothing runs after it.
    unsafe { libc::_exit(code) }
}

/// Sets the user ids of the whole process, which has one thread.
pub(crate) fn become_user(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: plain system calls on plain numbers.
    let outcome = unsafe {
        if libc::setresgid(group, group, group) == 0 {
            libc::setresuid(user, user, user)
        } else {
            -1
        }
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
