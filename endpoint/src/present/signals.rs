//! SIGINT, SIGTERM and SIGHUP as bytes on a socket: the user, the init system or the terminal wants an end.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Catches signals as long as it lives.
pub(super) struct Signals {
    arrived: UnixStream,
    handlers: Vec<SigId>,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        let (arrived, told) = UnixStream::pair()?;
        arrived.set_nonblocking(true)?;
        let register = |signal| signal_hook::low_level::pipe::register(signal, told.try_clone()?);
        let handlers = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .map(register)
            .collect::<io::Result<_>>()?;
        Ok(Self { arrived, handlers })
    }

    /// True when one has arrived since the last time.
    pub(super) fn take(&mut self) -> bool {
        let mut bytes = [0; 16];
        matches!(self.arrived.read(&mut bytes), Ok(length) if length > 0)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
