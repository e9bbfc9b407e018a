//! Files of every kind, and arbitrary messages.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use zone_link::{Size, Surface};

pub fn read_only() -> OwnedFd {
    File::open(std::env::current_exe().unwrap()).unwrap().into()
}

pub fn writable() -> OwnedFd {
    let memory = rustix::fs::memfd_create("overlay", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&memory, 4096).unwrap();
    memory
}

pub fn stream() -> OwnedFd {
    UnixStream::pair().unwrap().0.into()
}

pub fn datagram() -> OwnedFd {
    UnixDatagram::unbound().unwrap().into()
}

pub fn directory() -> OwnedFd {
    File::open("/").unwrap().into()
}

pub fn device() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

pub fn pipe() -> OwnedFd {
    std::io::pipe().unwrap().0.into()
}

pub fn surface(size: Size) -> OwnedFd {
    Surface::new(size).unwrap().share().unwrap()
}
