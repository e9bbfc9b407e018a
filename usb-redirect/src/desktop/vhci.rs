//! Linux' virtual host controller, `vhci_hcd`: which ports are free, and how a device is attached to one.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::descriptor::Speed;

/// The bus and device number that URBs carry; any will do on a socket of its own.
pub const DEVICE: u32 = 0x0001_0002;

/// The controller.
#[derive(Clone, Debug)]
pub struct Vhci {
    folder: PathBuf,
}

/// Why the kernel would not take a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VhciError {
    /// The controller is not there.
    #[error(
        "{path} cannot be used ({error}); is the kernel module vhci-hcd loaded, and is this program root?"
    )]
    NotThere {
        /// What was opened.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no socket for the kernel.
    #[error("no socket pair can be made: {0}")]
    Socket(std::io::Error),
    /// All ports are taken.
    #[error("no port of vhci_hcd for a {0:?} speed device is free")]
    NoPort(Speed),
}

impl Default for Vhci {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("/sys/devices/platform/vhci_hcd.0"),
        }
    }
}

impl Vhci {
    /// Attaches the device at the other end of `socket`. The kernel keeps the socket; closing the other end removes the device.
    ///
    /// # Errors
    /// When the controller is missing, full, or refuses.
    pub fn attach(&self, speed: Speed, socket: &OwnedFd) -> Result<u32, VhciError> {
        let path = self.folder.join("status");
        let status = std::fs::read_to_string(&path).map_err(refused(&path))?;
        let port = free_port(&status, speed).ok_or(VhciError::NoPort(speed))?;
        let path = self.folder.join("attach");
        let line = format!("{port} {} {DEVICE} {}", socket.as_raw_fd(), speed.linux());
        std::fs::write(&path, line).map_err(refused(&path))?;
        Ok(port)
    }

    /// Attaches a device, and answers the port it is at and the stream on which the kernel now speaks USB/IP.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), or when there is no socket.
    pub fn connect(&self, speed: Speed) -> Result<(u32, OwnedFd), VhciError> {
        let pair = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let (ours, theirs) = pair.map_err(|error| VhciError::Socket(error.into()))?;
        Ok((self.attach(speed, &theirs)?, ours))
    }

    /// Removes the device at a port.
    ///
    /// # Errors
    /// When the controller refuses.
    pub fn detach(&self, port: u32) -> Result<(), VhciError> {
        let path = self.folder.join("detach");
        std::fs::write(&path, port.to_string()).map_err(refused(&path))
    }
}

fn refused(path: &Path) -> impl Fn(std::io::Error) -> VhciError + '_ {
    |error| VhciError::NotThere {
        path: path.to_owned(),
        error,
    }
}

/// The first free port: lines are `hub port status speed device sockfd busid`, and status 4 means free.
fn free_port(status: &str, speed: Speed) -> Option<u32> {
    let hub = if speed == Speed::Super { "ss" } else { "hs" };
    status.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (found, port, state) = (words.next()?, words.next()?, words.next()?);
        (found == hub && state.parse() == Ok(4u32)).then(|| port.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_port_of_the_right_speed_is_taken() {
        let status = "hub port sta spd dev      sockfd local_busid\n\
            hs  0000 006 002 00010002 000003 1-1\n\
            hs  0001 004 000 00000000 000000 0-0\n\
            ss  0008 004 000 00000000 000000 0-0\n";
        assert_eq!(free_port(status, Speed::Full), Some(1));
        assert_eq!(free_port(status, Speed::Super), Some(8));
        assert_eq!(free_port("hub port sta\n", Speed::Full), None);
    }
}
