//! Messages from a zone process to the endpoint. None of them carries a descriptor, and none can inject input.

use crate::error::ProtocolError;
use crate::limits;
use crate::types::{Generation, LayerName, Port, PortBytes, Rect, StreamId, Text, ZoneState};
use crate::wire::{Reader, Writer};

/// One message from a zone process to the endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FromZone {
    /// First and once: the jail is closed.
    Hello(Hello),
    /// What the machine is doing now.
    State(ZoneState),
    /// Pixels changed.
    Frame {
        /// Of which surface.
        generation: Generation,
        /// Where; 1 to [`limits::FRAME_RECTANGLES`].
        rectangles: Vec<Rect>,
    },
    /// The guest's cursor looks like this from now on.
    Cursor(CursorImage),
    /// The guest shows no cursor.
    CursorHidden,
    /// Bytes from the guest.
    PortData {
        /// Which port.
        port: Port,
        /// The bytes, within the credit that the endpoint granted.
        data: PortBytes,
    },
    /// The zone takes this many more bytes for a port.
    PortCredit {
        /// Which port.
        port: Port,
        /// Bytes granted on top.
        bytes: u32,
    },
    /// The guest connects to a host port by vsock.
    StreamRequest {
        /// The zone's number for it, not in use by another request that waits.
        id: StreamId,
        /// The host's vsock port.
        port: u32,
    },
}

/// The jail as the zone process found it after it applied every layer it was told to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// Layers in force, at most [`limits::LAYERS`].
    pub in_force: Vec<LayerName>,
    /// Layers that are not, at most [`limits::LAYERS`].
    pub missing: Vec<MissingLayer>,
}

/// A jail layer that is not in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MissingLayer {
    /// Which.
    pub layer: LayerName,
    /// Why.
    pub reason: Text,
}

/// A cursor's picture: ARGB8888, premultiplied, rows without padding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CursorImage {
    width: u16,
    height: u16,
    hot_x: u16,
    hot_y: u16,
    pixels: Vec<u32>,
}

impl CursorImage {
    /// None unless both sides are 1 to [`limits::CURSOR_SIDE`], the hot spot lies inside, and there are exactly `width * height` pixels.
    #[must_use]
    pub fn new(width: u16, height: u16, hot_x: u16, hot_y: u16, pixels: Vec<u32>) -> Option<Self> {
        let side = 1..=limits::CURSOR_SIDE;
        let count = usize::from(width).checked_mul(usize::from(height))?;
        let fits = side.contains(&width)
            && side.contains(&height)
            && hot_x < width
            && hot_y < height
            && pixels.len() == count;
        fits.then_some(Self {
            width,
            height,
            hot_x,
            hot_y,
            pixels,
        })
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The pixel that points, from the left and from the top.
    #[must_use]
    pub fn hot_spot(&self) -> (u16, u16) {
        (self.hot_x, self.hot_y)
    }

    /// The pixels, row by row. A colour may still exceed its alpha: the painter decides what that looks like.
    #[must_use]
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let (width, height) = (reader.u16()?, reader.u16()?);
        let (hot_x, hot_y) = (reader.u16()?, reader.u16()?);
        let (pixels, ragged) = reader.remaining().as_chunks::<4>();
        if !ragged.is_empty() {
            return Err(reader.bad("pixels"));
        }
        // The message's own length bounds this copy; `new` then holds it against width and height.
        let pixels = pixels.iter().copied().map(u32::from_le_bytes).collect();
        Self::new(width, height, hot_x, hot_y, pixels).ok_or_else(|| reader.bad("image"))
    }
}

mod kind {
    pub(super) const HELLO: u16 = 0x101;
    pub(super) const STATE: u16 = 0x102;
    pub(super) const FRAME: u16 = 0x103;
    pub(super) const CURSOR: u16 = 0x104;
    pub(super) const CURSOR_HIDDEN: u16 = 0x105;
    pub(super) const PORT_DATA: u16 = 0x106;
    pub(super) const PORT_CREDIT: u16 = 0x107;
    pub(super) const STREAM_REQUEST: u16 = 0x108;
}

impl FromZone {
    /// No message of this direction carries a descriptor.
    pub const MOST_DESCRIPTORS: usize = 0;

    /// The message's name, for errors and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::State(_) => "State",
            Self::Frame { .. } => "Frame",
            Self::Cursor(_) => "Cursor",
            Self::CursorHidden => "CursorHidden",
            Self::PortData { .. } => "PortData",
            Self::PortCredit { .. } => "PortCredit",
            Self::StreamRequest { .. } => "StreamRequest",
        }
    }

    /// Appends the message's bytes.
    ///
    /// # Errors
    /// A field out of range: the peer would refuse the message. Nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.check()?;
        let mut writer;
        match self {
            Self::Hello(hello) => {
                writer = Writer::open(out, kind::HELLO);
                hello.write(&mut writer);
            }
            Self::State(state) => {
                writer = Writer::open(out, kind::STATE);
                state.write(&mut writer);
            }
            Self::Frame {
                generation,
                rectangles,
            } => {
                writer = Writer::open(out, kind::FRAME);
                writer.u32(generation.0);
                for rectangle in rectangles {
                    writer
                        .u32(rectangle.x)
                        .u32(rectangle.y)
                        .u32(rectangle.width)
                        .u32(rectangle.height);
                }
            }
            Self::Cursor(image) => {
                writer = Writer::open(out, kind::CURSOR);
                writer
                    .u16(image.width)
                    .u16(image.height)
                    .u16(image.hot_x)
                    .u16(image.hot_y);
                for pixel in &image.pixels {
                    writer.u32(*pixel);
                }
            }
            Self::CursorHidden => writer = Writer::open(out, kind::CURSOR_HIDDEN),
            Self::PortData { port, data } => {
                writer = Writer::open(out, kind::PORT_DATA);
                writer.u32(port.number()).raw(data.as_slice());
            }
            Self::PortCredit { port, bytes } => {
                writer = Writer::open(out, kind::PORT_CREDIT);
                writer.u32(port.number()).u32(*bytes);
            }
            Self::StreamRequest { id, port } => {
                writer = Writer::open(out, kind::STREAM_REQUEST);
                writer.u32(id.0).u32(*port);
            }
        }
        writer.finish()
    }

    /// Decodes one whole message.
    ///
    /// # Errors
    /// Anything but exactly one well-formed message without descriptors.
    pub fn decode(bytes: &[u8], fds: Vec<std::os::fd::OwnedFd>) -> Result<Self, ProtocolError> {
        if !fds.is_empty() {
            return Err(ProtocolError::SurplusDescriptors);
        }
        let (kind, reader) = Reader::open(bytes)?;
        let mut reader = match kind {
            kind::HELLO => reader.named("Hello"),
            kind::STATE => reader.named("State"),
            kind::FRAME => reader.named("Frame"),
            kind::CURSOR => reader.named("Cursor"),
            kind::CURSOR_HIDDEN => reader.named("CursorHidden"),
            kind::PORT_DATA => reader.named("PortData"),
            kind::PORT_CREDIT => reader.named("PortCredit"),
            kind::STREAM_REQUEST => reader.named("StreamRequest"),
            _ => return Err(ProtocolError::UnknownKind { kind }),
        };
        let message = match kind {
            kind::HELLO => Self::Hello(Hello::read(&mut reader)?),
            kind::STATE => Self::State(ZoneState::read(&mut reader)?),
            kind::FRAME => read_frame(&mut reader)?,
            kind::CURSOR => Self::Cursor(CursorImage::read(&mut reader)?),
            kind::CURSOR_HIDDEN => Self::CursorHidden,
            kind::PORT_DATA => {
                let port = Port::read(&mut reader)?;
                let data = PortBytes::new(reader.remaining()).ok_or_else(|| reader.bad("data"))?;
                Self::PortData { port, data }
            }
            kind::PORT_CREDIT => Self::PortCredit {
                port: Port::read(&mut reader)?,
                bytes: reader.u32()?,
            },
            kind::STREAM_REQUEST => Self::StreamRequest {
                id: StreamId(reader.u32()?),
                port: reader.u32()?,
            },
            _ => return Err(ProtocolError::UnknownKind { kind }),
        };
        reader.finish()?;
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), ProtocolError> {
        let bad = |field| {
            Err(ProtocolError::Field {
                message: self.name(),
                field,
            })
        };
        match self {
            Self::Hello(hello)
                if hello.in_force.len().max(hello.missing.len()) > limits::LAYERS =>
            {
                bad("layers")
            }
            Self::Frame { rectangles, .. }
                if !(1..=limits::FRAME_RECTANGLES).contains(&rectangles.len()) =>
            {
                bad("rectangles")
            }
            Self::PortCredit { bytes, .. } if !(1..=limits::PORT_CREDIT).contains(bytes) => {
                bad("bytes")
            }
            _ => Ok(()),
        }
    }
}

impl Hello {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(u8::try_from(self.in_force.len()).unwrap_or(u8::MAX));
        for layer in &self.in_force {
            layer.write(writer);
        }
        writer.u8(u8::try_from(self.missing.len()).unwrap_or(u8::MAX));
        for missing in &self.missing {
            missing.layer.write(writer);
            missing.reason.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let mut hello = Self::default();
        for _ in 0..layer_count(reader)? {
            hello.in_force.push(LayerName::read(reader)?);
        }
        for _ in 0..layer_count(reader)? {
            let layer = LayerName::read(reader)?;
            hello.missing.push(MissingLayer {
                layer,
                reason: Text::read(reader, "reason")?,
            });
        }
        Ok(hello)
    }
}

fn layer_count(reader: &mut Reader<'_>) -> Result<usize, ProtocolError> {
    let count = usize::from(reader.u8()?);
    if count > limits::LAYERS {
        Err(reader.bad("layers"))
    } else {
        Ok(count)
    }
}

fn read_frame(reader: &mut Reader<'_>) -> Result<FromZone, ProtocolError> {
    let generation = Generation(reader.u32()?);
    let mut rectangles = Vec::new();
    let (chunks, ragged) = reader.remaining().as_chunks::<16>();
    if !ragged.is_empty() || !(1..=limits::FRAME_RECTANGLES).contains(&chunks.len()) {
        return Err(reader.bad("rectangles"));
    }
    for chunk in chunks {
        let [x, y, width, height] = words(chunk);
        rectangles.push(Rect {
            x,
            y,
            width,
            height,
        });
    }
    Ok(FromZone::Frame {
        generation,
        rectangles,
    })
}

fn words(chunk: &[u8; 16]) -> [u32; 4] {
    let mut values = [0; 4];
    for (value, bytes) in values.iter_mut().zip(chunk.as_chunks::<4>().0) {
        *value = u32::from_le_bytes(*bytes);
    }
    values
}
