//! The numbers of `vd_agent.h`.

/// The chunk header: port, size.
pub(crate) const CHUNK_HEADER: usize = 8;
/// The message header: protocol, type, opaque (8 bytes), size.
pub(crate) const MESSAGE_HEADER: usize = 20;
/// A chunk to the guest carries at most so much, its message header included.
pub(crate) const CHUNK_MOST: usize = 2048;
/// Selection and three reserved bytes, before what a clipboard message is about.
pub(crate) const SELECTION: usize = 4;

pub(crate) const PROTOCOL: u32 = 1;
/// Messages of clients, such as clipboards.
pub(crate) const CLIENT_PORT: u32 = 1;
/// Messages of the server itself.
pub(crate) const SERVER_PORT: u32 = 2;

pub(crate) const CLIPBOARD: u32 = 4;
pub(crate) const ANNOUNCE_CAPABILITIES: u32 = 6;
pub(crate) const CLIPBOARD_GRAB: u32 = 7;
pub(crate) const CLIPBOARD_REQUEST: u32 = 8;
pub(crate) const CLIPBOARD_RELEASE: u32 = 9;
pub(crate) const FILE_START: u32 = 10;
pub(crate) const FILE_STATUS: u32 = 11;
pub(crate) const FILE_DATA: u32 = 12;

/// Capabilities are bits, counted from 0.
pub(crate) const BY_DEMAND: u32 = 1 << 5;
pub(crate) const SELECTIONS: u32 = 1 << 6;

/// What became of a file; all numbers but the first two are failures.
pub(crate) const STATUS_SEND: u32 = 0;
pub(crate) const STATUS_CANCELLED: u32 = 1;
pub(crate) const STATUS_SUCCESS: u32 = 3;

/// The clipboard proper among the selections.
pub(crate) const SELECTION_CLIPBOARD: u8 = 0;
/// "No data".
pub(crate) const KIND_NONE: u32 = 0;

/// The number at a place; none where the bytes end before it does.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let number = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(number.try_into().ok()?))
}
