//! What a received descriptor really is. A wrong kind is a protocol error before anything is read from it or written to it.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat};
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use crate::error::ProtocolError;
use crate::types::Size;

/// The descriptors of one message, taken one by one. What is not taken is closed on drop.
pub(crate) struct Descriptors {
    message: &'static str,
    left: std::vec::IntoIter<OwnedFd>,
}

impl Descriptors {
    /// Fails unless exactly `expected` descriptors came.
    pub(crate) fn expect(
        message: &'static str,
        fds: Vec<OwnedFd>,
        expected: usize,
    ) -> Result<Self, ProtocolError> {
        if fds.len() == expected {
            Ok(Self {
                message,
                left: fds.into_iter(),
            })
        } else {
            Err(ProtocolError::DescriptorCount {
                message,
                expected,
                found: fds.len(),
            })
        }
    }

    /// A regular file open for reading alone.
    pub(crate) fn read_only_file(&mut self, field: &'static str) -> Result<OwnedFd, ProtocolError> {
        self.take(field, "regular file open for reading only", |fd| {
            is_regular(fd) && access(fd) == Some(OFlags::RDONLY)
        })
    }

    /// A regular file open for reading and writing.
    pub(crate) fn writable_file(&mut self, field: &'static str) -> Result<OwnedFd, ProtocolError> {
        self.take(field, "regular file open for reading and writing", |fd| {
            is_regular(fd) && access(fd) == Some(OFlags::RDWR)
        })
    }

    /// A memfd of a surface of `size`, sealed against a change of its size.
    pub(crate) fn surface(
        &mut self,
        field: &'static str,
        size: Size,
    ) -> Result<OwnedFd, ProtocolError> {
        self.take(field, "sealed memfd of the surface's size", |fd| {
            is_surface(fd, size)
        })
    }

    /// A connected Unix stream socket.
    pub(crate) fn stream(&mut self, field: &'static str) -> Result<OwnedFd, ProtocolError> {
        self.take(field, "Unix stream socket", |fd| {
            is_unix_socket(fd, SocketType::STREAM)
        })
    }

    fn take(
        &mut self,
        field: &'static str,
        expected: &'static str,
        is_right: impl Fn(BorrowedFd<'_>) -> bool,
    ) -> Result<OwnedFd, ProtocolError> {
        use std::os::fd::AsFd;
        let wrong = ProtocolError::DescriptorKind {
            message: self.message,
            field,
            expected,
        };
        self.left
            .next()
            .filter(|fd| is_right(fd.as_fd()))
            .ok_or(wrong)
    }
}

/// True for a memfd that nobody can shrink or grow, of exactly the bytes that `size` needs.
pub(crate) fn is_surface(fd: BorrowedFd<'_>, size: Size) -> bool {
    let sealed =
        |seals: SealFlags| seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL);
    let right_size = |length: i64| u64::try_from(length) == Ok(size.bytes());
    fcntl_get_seals(fd).is_ok_and(sealed)
        && fstat(fd).is_ok_and(|status| right_size(status.st_size))
}

pub(crate) fn is_unix_socket(fd: BorrowedFd<'_>, kind: SocketType) -> bool {
    socket_type(fd) == Ok(kind) && socket_domain(fd) == Ok(AddressFamily::UNIX)
}

fn is_regular(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::RegularFile)
}

fn access(fd: BorrowedFd<'_>) -> Option<OFlags> {
    fcntl_getfl(fd)
        .ok()
        .map(|flags| flags & (OFlags::RDONLY | OFlags::WRONLY | OFlags::RDWR))
}
