//! The socket: whole messages with their descriptors, blocking or not.
//!
//! `SOCK_SEQPACKET` keeps message boundaries, so there is never half a message to hold and no reassembly to get wrong. A zone's
//! messages carry no descriptors, so the endpoint receives without room for any: the kernel itself drops what a zone attaches,
//! and says so.

use std::io::{IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

use zeroize::{Zeroize, Zeroizing};

use crate::descriptor::is_unix_socket;
use crate::error::{LinkError, ProtocolError};
use crate::from_zone::FromZone;
use crate::limits;
use crate::to_zone::ToZone;

/// The endpoint's end of a zone link.
pub type EndpointLink = Link<ToZone, FromZone>;
/// The zone process's end.
pub type ZoneLink = Link<FromZone, ToZone>;

/// A message of one direction. Implemented by [`ToZone`] and [`FromZone`] alone.
pub trait Message: sealed::Sealed + Sized {
    /// The most descriptors that one message of this direction carries.
    const MOST_DESCRIPTORS: usize;
    /// Appends the message's bytes.
    ///
    /// # Errors
    /// A field out of range.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError>;
    /// The descriptors to send beside them.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;
    /// Decodes one whole message.
    ///
    /// # Errors
    /// Anything but one well-formed message with exactly its descriptors.
    fn decode(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Self, ProtocolError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ToZone {}
    impl Sealed for super::FromZone {}
}

impl Message for ToZone {
    const MOST_DESCRIPTORS: usize = Self::MOST_DESCRIPTORS;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        Self::encode(self, out)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Self::descriptors(self)
    }

    fn decode(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Self, ProtocolError> {
        Self::decode(bytes, fds)
    }
}

impl Message for FromZone {
    const MOST_DESCRIPTORS: usize = Self::MOST_DESCRIPTORS;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        Self::encode(self, out)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn decode(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Self, ProtocolError> {
        Self::decode(bytes, fds)
    }
}

/// What a receive that does not wait found.
#[derive(Debug)]
pub enum Received<M> {
    /// A message.
    Message(M),
    /// Nothing now; poll the link's descriptor.
    Nothing,
    /// The other side is gone.
    Closed,
}

/// One end of a zone link. It sends `S` and receives `R`.
#[derive(Debug)]
pub struct Link<S, R> {
    sender: Sender<S>,
    receives: PhantomData<fn() -> R>,
}

/// The sending half; clones share the socket, and each message is sent whole, so threads may hold one each.
#[derive(Debug)]
pub struct Sender<S> {
    socket: Arc<OwnedFd>,
    sends: PhantomData<fn(S)>,
}

impl<S> Clone for Sender<S> {
    fn clone(&self) -> Self {
        Self {
            socket: Arc::clone(&self.socket),
            sends: PhantomData,
        }
    }
}

impl EndpointLink {
    /// A new link, and the zone process's end of it to be inherited by that process.
    ///
    /// # Errors
    /// The kernel has no more sockets for us.
    pub fn pair() -> Result<(Self, OwnedFd), LinkError> {
        let (ours, zones) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|errno| system("socketpair", errno))?;
        Ok((Self::from_socket(ours)?, zones))
    }
}

impl ZoneLink {
    /// The link that a zone process was started with as its standard input, the one descriptor that any process can be given
    /// without unsafe code on either side. A copy of it stays open as standard input.
    ///
    /// # Errors
    /// Standard input is something else.
    pub fn from_standard_input() -> Result<Self, LinkError> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        Self::from_socket(socket.map_err(|source| LinkError::System {
            call: "fcntl",
            source,
        })?)
    }
}

impl<S: Message, R: Message> Link<S, R> {
    /// Takes one end of a zone link, such as an inherited descriptor.
    ///
    /// # Errors
    /// The descriptor is something else.
    pub fn from_socket(socket: OwnedFd) -> Result<Self, LinkError> {
        if !is_unix_socket(socket.as_fd(), SocketType::SEQPACKET) {
            return Err(LinkError::NotALink);
        }
        Ok(Self {
            sender: Sender {
                socket: Arc::new(socket),
                sends: PhantomData,
            },
            receives: PhantomData,
        })
    }

    /// The sending half, for another thread.
    #[must_use]
    pub fn sender(&self) -> Sender<S> {
        self.sender.clone()
    }

    /// Sends and waits until the kernel took the message.
    ///
    /// # Errors
    /// A message out of range, a peer that is gone, or a kernel that refused.
    pub fn send(&self, message: &S) -> Result<(), LinkError> {
        self.sender.send(message)
    }

    /// Sends if the kernel takes the message at once; false when it does not.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn try_send(&self, message: &S) -> Result<bool, LinkError> {
        self.sender.try_send(message)
    }

    /// Waits for a message; None when the other side is gone.
    ///
    /// # Errors
    /// A peer that broke the protocol, or a kernel that refused.
    pub fn recv(&self) -> Result<Option<R>, LinkError> {
        match self.receive(RecvFlags::empty())? {
            Received::Message(message) => Ok(Some(message)),
            Received::Nothing | Received::Closed => Ok(None),
        }
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    /// As [`Link::recv`].
    pub fn try_recv(&self) -> Result<Received<R>, LinkError> {
        self.receive(RecvFlags::DONTWAIT)
    }

    fn receive(&self, flags: RecvFlags) -> Result<Received<R>, LinkError> {
        let mut bytes = [0_u8; limits::MESSAGE_BYTES];
        let mut space =
            [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(ToZone::MOST_DESCRIPTORS))];
        let room: &mut [MaybeUninit<u8>] = if R::MOST_DESCRIPTORS == 0 {
            &mut []
        } else {
            &mut space
        };
        let mut control = RecvAncillaryBuffer::new(room);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(
                &self.sender.socket,
                &mut parts,
                &mut control,
                flags | RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::CONNRESET) => return Ok(Received::Closed),
                other => break other.map_err(|errno| system("recvmsg", errno))?,
            }
        };
        let mut fds = Vec::new();
        for ancillary in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = ancillary {
                fds.extend(rights);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ProtocolError::SurplusDescriptors.into());
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(ProtocolError::TooLong.into());
        }
        let message = match bytes.get(..received.bytes) {
            // An empty datagram cannot be told from the end of the link, and no honest peer sends one.
            Some([]) => Ok(Received::Closed),
            Some(bytes) => Ok(Received::Message(R::decode(bytes, fds)?)),
            None => Err(ProtocolError::TooLong.into()),
        };
        // It may have been a piece of what a person copied.
        if let Some(bytes) = bytes.get_mut(..received.bytes) {
            bytes.zeroize();
        }
        message
    }
}

impl<S, R> AsFd for Link<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.socket.as_fd()
    }
}

impl<S: Message> Sender<S> {
    /// Sends and waits until the kernel took the message.
    ///
    /// # Errors
    /// A message out of range, a peer that is gone, or a kernel that refused.
    pub fn send(&self, message: &S) -> Result<(), LinkError> {
        self.transmit(message, SendFlags::empty()).map(|_| ())
    }

    /// Sends if the kernel takes the message at once; false when it does not.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn try_send(&self, message: &S) -> Result<bool, LinkError> {
        self.transmit(message, SendFlags::DONTWAIT)
    }

    fn transmit(&self, message: &S, flags: SendFlags) -> Result<bool, LinkError> {
        // Wiped when it was sent. With room for any port's data, so that no piece of it stays behind where the buffer was before it grew.
        let mut bytes = Zeroizing::new(Vec::with_capacity(limits::PORT_DATA_BYTES + 64));
        message.encode(&mut bytes)?;
        let fds = message.descriptors();
        let mut space =
            [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(ToZone::MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(ProtocolError::SurplusDescriptors.into());
        }
        loop {
            match sendmsg(
                &self.socket,
                &[IoSlice::new(&bytes)],
                &mut control,
                flags | SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    return Err(LinkError::Closed);
                }
                Err(errno) => return Err(system("sendmsg", errno)),
            }
        }
    }
}

fn system(call: &'static str, errno: Errno) -> LinkError {
    LinkError::System {
        call,
        source: errno.into(),
    }
}
