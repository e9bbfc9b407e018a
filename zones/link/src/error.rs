//! What can go wrong on a link. Texts are for the audit log and the user, so none of them repeats bytes that a zone chose.

use crate::limits;

/// A message that breaks the protocol. The endpoint answers it by killing the zone process.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Fewer bytes than a header has.
    #[error("a message of {bytes} bytes is shorter than a header")]
    NoHeader {
        /// Bytes received.
        bytes: usize,
    },
    /// More bytes than any message may have.
    #[error("a message is longer than {} bytes", limits::MESSAGE_BYTES)]
    TooLong,
    /// Another version than the one agreed.
    #[error(
        "a message speaks protocol version {found}, expected {}",
        crate::PROTOCOL_VERSION
    )]
    Version {
        /// The version in the header.
        found: u16,
    },
    /// A kind that this direction does not have.
    #[error("message kind {kind} does not exist in this direction")]
    UnknownKind {
        /// The kind in the header.
        kind: u16,
    },
    /// The header's length and the bytes received differ.
    #[error("the header promises a body of {promised} bytes, {found} came")]
    Length {
        /// Length in the header.
        promised: u32,
        /// Bytes that followed the header.
        found: usize,
    },
    /// The body ends before its last field.
    #[error("the body of {message} ends before its last field")]
    BodyTooShort {
        /// The message's name.
        message: &'static str,
    },
    /// The body goes on after its last field.
    #[error("the body of {message} has {extra} bytes too many")]
    BodyTooLong {
        /// The message's name.
        message: &'static str,
        /// Bytes left over.
        extra: usize,
    },
    /// A field has a value that it must not have.
    #[error("{field} of {message} is out of range")]
    Field {
        /// The message's name.
        message: &'static str,
        /// The field's name.
        field: &'static str,
    },
    /// Not as many descriptors as the message needs.
    #[error("{message} came with {found} descriptors, expected {expected}")]
    DescriptorCount {
        /// The message's name.
        message: &'static str,
        /// Descriptors the message needs.
        expected: usize,
        /// Descriptors that came.
        found: usize,
    },
    /// Descriptors on a message or in a direction that carries none, or more than any message has.
    #[error("more descriptors came than any message of this direction carries")]
    SurplusDescriptors,
    /// A descriptor of the wrong kind.
    #[error("the descriptor for {field} of {message} is not a {expected}")]
    DescriptorKind {
        /// The message's name.
        message: &'static str,
        /// Which of its descriptors.
        field: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// A message at a moment when it may not be sent.
    #[error("{message} came {when}")]
    Order {
        /// The message's name.
        message: &'static str,
        /// Why this was not the moment.
        when: &'static str,
    },
    /// More bytes on a port than were granted, or more granted than may be.
    #[error("port {port} went beyond its credit")]
    Credit {
        /// The port's number.
        port: u32,
    },
}

/// A link that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer broke the protocol; or, when sending, this side was about to.
    #[error("the zone link's protocol was broken: {0}")]
    Protocol(#[from] ProtocolError),
    /// The other side is gone.
    #[error("the other side of the zone link is gone")]
    Closed,
    /// The descriptor is not one end of a zone link.
    #[error("the descriptor is not a SOCK_SEQPACKET Unix socket")]
    NotALink,
    /// The kernel refused.
    #[error("the zone link failed in {call}")]
    System {
        /// The system call.
        call: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}
