//! Values that messages are made of. Each can only hold what the protocol allows, so a decoded message needs no second check.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::ProtocolError;
use crate::limits;
use crate::wire::{Reader, Writer};

/// Which of a zone's surfaces: the endpoint counts them up, a resize makes the next.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Generation(pub u32);

/// A vsock stream's number. Zone and endpoint each number the streams that they ask for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(pub u32);

/// A surface's size in pixels; each side is 1 to [`limits::SURFACE_SIDE`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Size {
    width: u32,
    height: u32,
}

impl Size {
    /// One pixel.
    pub const SMALLEST: Self = Self {
        width: 1,
        height: 1,
    };

    /// None when a side is 0 or beyond the limit.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let allowed = 1..=limits::SURFACE_SIDE;
        (allowed.contains(&width) && allowed.contains(&height)).then_some(Self { width, height })
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(self) -> u32 {
        self.height
    }

    /// Bytes of a surface of this size: 4 per pixel, no padding. At most 256 MiB.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.width)
            .saturating_mul(u64::from(self.height))
            .saturating_mul(4)
    }
}

/// A rectangle in surface pixels, as a zone names it: it may lie anywhere until [`Rect::clip`] cuts it to a surface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Pixels to the right of it.
    pub width: u32,
    /// Rows below it.
    pub height: u32,
}

impl Rect {
    /// The part inside a surface of `size`; None when nothing is left.
    #[must_use]
    pub fn clip(self, size: Size) -> Option<Self> {
        let width = size.width.checked_sub(self.x)?.min(self.width);
        let height = size.height.checked_sub(self.y)?.min(self.height);
        (width > 0 && height > 0).then_some(Self {
            x: self.x,
            y: self.y,
            width,
            height,
        })
    }
}

/// What a zone's machine is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ZoneState {
    /// The machine is being built.
    Starting,
    /// The harts run guest code.
    Running,
    /// The guest's kernel reported a panic.
    Panicked,
    /// The guest asked for a restart; `Starting` follows if the process restarts it by itself.
    Reset,
    /// The guest shut down. Final.
    Off,
    /// The machine cannot go on. Final.
    Failed(Text),
}

impl ZoneState {
    /// True for the states after which none may follow.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Off | Self::Failed(_))
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        let (code, reason) = match self {
            Self::Starting => (0, None),
            Self::Running => (1, None),
            Self::Panicked => (2, None),
            Self::Reset => (3, None),
            Self::Off => (4, None),
            Self::Failed(reason) => (5, Some(reason)),
        };
        writer.u8(code);
        if let Some(reason) = reason {
            reason.write(writer);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        Ok(match reader.u8()? {
            0 => Self::Starting,
            1 => Self::Running,
            2 => Self::Panicked,
            3 => Self::Reset,
            4 => Self::Off,
            5 => Self::Failed(Text::read(reader, "reason")?),
            _ => return Err(reader.bad("state")),
        })
    }
}

impl fmt::Display for ZoneState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => formatter.write_str("starting"),
            Self::Running => formatter.write_str("running"),
            Self::Panicked => formatter.write_str("panicked"),
            Self::Reset => formatter.write_str("reset"),
            Self::Off => formatter.write_str("off"),
            Self::Failed(reason) => write!(formatter, "failed: {reason}"),
        }
    }
}

/// A short explanation for a person: printable ASCII only, so that it can neither forge a log line nor carry an escape sequence.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text(String);

impl Text {
    /// Keeps printable ASCII, turns every other character into `?`, and cuts at [`limits::TEXT_BYTES`].
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let printable = |character: char| {
            if is_printable(character) {
                character
            } else {
                '?'
            }
        };
        Self(
            text.chars()
                .take(limits::TEXT_BYTES)
                .map(printable)
                .collect(),
        )
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self.0.as_bytes());
    }

    pub(crate) fn read(
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Self, ProtocolError> {
        printable(reader, field, limits::TEXT_BYTES).map(Self)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A jail layer's name: 1 to 24 of `a-z 0-9 -`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LayerName(String);

impl LayerName {
    /// None when the name has a character or a length that it must not have.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        ((1..=limits::LAYER_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed))
            .then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self.0.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let name = reader.bytes()?;
        str::from_utf8(name)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| reader.bad("layer name"))
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A zone's name, which becomes the guest's host name: 1 to 48 of `a-z 0-9 -`, a letter first, no `-` at the end.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ZoneName(String);

impl ZoneName {
    /// None when the name cannot be a host name as above.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let fits = (1..=limits::NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed);
        (fits && name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.ends_with('-'))
            .then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A port of the guest's virtio console device.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u32)]
pub enum Port {
    /// 0: the guest's console, hvc0.
    Console = 0,
    /// 1: `org.bulkhead.state`, on which the guest's session writes lines such as `ready`.
    State = 1,
    /// 2: `com.redhat.spice.0`, the stock agent's port.
    Agent = 2,
    /// 3: `org.bulkhead.outbox`, on which the guest's session offers files.
    Outbox = 3,
}

impl Port {
    /// All ports in the order of their numbers.
    pub const ALL: [Self; limits::PORTS as usize] =
        [Self::Console, Self::State, Self::Agent, Self::Outbox];

    /// The port's number on the console device.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The port with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|port| port.number() == number)
    }

    /// The name under which a Linux guest finds the port; the console has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Console => None,
            Self::State => Some("org.bulkhead.state"),
            Self::Agent => Some("com.redhat.spice.0"),
            Self::Outbox => Some("org.bulkhead.outbox"),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let number = reader.u32()?;
        Self::from_number(number).ok_or_else(|| reader.bad("port"))
    }
}

/// Bytes of one port transfer: 1 to [`limits::PORT_DATA_BYTES`]. They may be a piece of what a person copied, and are wiped when dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortBytes(Zeroizing<Vec<u8>>);

impl PortBytes {
    /// None when there are no bytes or too many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=limits::PORT_DATA_BYTES)
            .contains(&bytes.len())
            .then(|| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// How many there are.
    #[must_use]
    pub fn length(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

pub(crate) fn printable(
    reader: &mut Reader<'_>,
    field: &'static str,
    limit: usize,
) -> Result<String, ProtocolError> {
    let bytes = reader.bytes()?;
    match str::from_utf8(bytes) {
        Ok(text) if text.len() <= limit && text.chars().all(is_printable) => Ok(text.to_owned()),
        _ => Err(reader.bad(field)),
    }
}

pub(crate) fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~')
}
