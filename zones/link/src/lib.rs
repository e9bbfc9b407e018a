//! The wire protocol between the endpoint and one zone process.
//!
//! One `SOCK_SEQPACKET` socket per zone carries whole messages: an 8-byte header (version, kind, body length; little-endian) and a
//! body decoded by hand. Nothing is allocated by a peer's word: a count or a length is believed only once that many bytes are
//! there. Descriptors travel only where a message's kind says so; any other number or kind of descriptor is a protocol error, and
//! everything that came with the message is closed.
//!
//! | part | for |
//! | --- | --- |
//! | [`ToZone`], [`FromZone`] | the messages of either direction, with `encode` and `decode` |
//! | [`EndpointLink`], [`ZoneLink`] | the socket's two ends |
//! | [`Surface`], [`SurfaceWriter`] | the shared pixels: made, sealed and read by the endpoint; written by the zone |
//! | [`Conversation`], [`Budget`] | the endpoint's rules about order, credit, geometry and rate, as pure code |
//!
//! Trust: the endpoint treats every byte from a zone as hostile. The zone decodes with the same care, though it trusts the endpoint.
//!
//! Unsafe code is confined to `surface::mapping`, which maps a memfd and copies to and from it.

#![deny(unsafe_code)]

mod budget;
mod conversation;
mod credit;
mod descriptor;
mod error;
mod from_zone;
pub mod fuzzing;
mod link;
mod surface;
mod to_zone;
mod types;
mod wire;

pub use budget::Budget;
pub use conversation::{Conversation, Damage, Event};
pub use credit::{ReceiveCredit, SendCredit};
pub use error::{LinkError, ProtocolError};
pub use from_zone::{CursorImage, FromZone, Hello, MissingLayer};
pub use link::{EndpointLink, Link, Message, Received, Sender, ZoneLink};
pub use surface::{Surface, SurfaceError, SurfaceWriter};
pub use to_zone::{StartConfig, ToZone, Volume, Writes};
pub use types::{
    Generation, LayerName, Port, PortBytes, Rect, Size, StreamId, Text, ZoneName, ZoneState,
};

/// The protocol spoken here. It stands in every header; a message with another one is a protocol error.
pub const PROTOCOL_VERSION: u16 = 1;

/// Every bound of the protocol in one place. SPECIFICATION.md repeats those that a user can meet.
pub mod limits {
    /// Bytes of one whole message. The largest is a 64 x 64 cursor image.
    pub const MESSAGE_BYTES: usize = 20 * 1024;
    /// Width or height of a surface in pixels.
    pub const SURFACE_SIDE: u32 = 8192;
    /// Width or height of a cursor image in pixels.
    pub const CURSOR_SIDE: u16 = 64;
    /// Rectangles in one `Frame`.
    pub const FRAME_RECTANGLES: usize = 16;
    /// Bytes of a zone's name.
    pub const NAME_BYTES: usize = 48;
    /// Bytes of a kernel command line.
    pub const COMMAND_LINE_BYTES: usize = 2047;
    /// Volumes of one zone.
    pub const VOLUMES: usize = 8;
    /// Harts of one zone.
    pub const HARTS: u16 = 64;
    /// Guest memory in MiB, least and most.
    pub const MEMORY_MIB: std::ops::RangeInclusive<u32> = 16..=262_144;
    /// Bytes of one `PortData`.
    pub const PORT_DATA_BYTES: usize = 4096;
    /// Ports of the console device.
    pub const PORTS: u32 = 4;
    /// Bytes that one side may send on a port before the other side grants more.
    pub const PORT_CREDIT: u32 = 64 * 1024;
    /// Bytes of one explanatory text, such as why a zone failed.
    pub const TEXT_BYTES: usize = 256;
    /// Jail layers in one `Hello`.
    pub const LAYERS: usize = 24;
    /// Bytes of a jail layer's name.
    pub const LAYER_NAME_BYTES: usize = 24;
    /// Highest evdev key or button code (`KEY_MAX`).
    pub const KEY_CODE: u16 = 0x2ff;
    /// Stream requests that may wait for the endpoint's answer.
    pub const PENDING_STREAMS: usize = 32;
}
