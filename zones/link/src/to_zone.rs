//! Messages from the endpoint to a zone process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::descriptor::Descriptors;
use crate::error::ProtocolError;
use crate::limits;
use crate::types::{
    Generation, Port, PortBytes, Size, StreamId, ZoneName, is_printable, printable,
};
use crate::wire::{Reader, Writer};

/// One message from the endpoint to a zone process.
#[derive(Debug)]
#[non_exhaustive]
pub enum ToZone {
    /// Build the machine and run it. Sent once, after the zone's `Hello`.
    Start(Box<StartConfig>),
    /// Draw on this surface from now on.
    Surface {
        /// Counts up by one with each surface.
        generation: Generation,
        /// Its size; the memfd has exactly `size.bytes()` bytes.
        size: Size,
        /// The sealed memfd.
        memory: OwnedFd,
    },
    /// A key went down or up.
    Key {
        /// evdev code, at most [`limits::KEY_CODE`].
        code: u16,
        /// True for down.
        pressed: bool,
    },
    /// The pointer is at this pixel of the surface.
    PointerMotion {
        /// Pixels from the left edge.
        x: u32,
        /// Rows from the top edge.
        y: u32,
    },
    /// A pointer button went down or up.
    PointerButton {
        /// evdev code, such as `BTN_LEFT`.
        code: u16,
        /// True for down.
        pressed: bool,
    },
    /// The wheel turned, in 1/120 notches; positive is up and to the right.
    Wheel {
        /// Up and down.
        vertical: i32,
        /// Left and right.
        horizontal: i32,
    },
    /// The zone gained or lost the keyboard. On a loss the endpoint has already released every key.
    Focus(bool),
    /// Bytes for the guest.
    PortData {
        /// Which port.
        port: Port,
        /// The bytes, within the credit that the zone granted.
        data: PortBytes,
    },
    /// The endpoint takes this many more bytes from a port.
    PortCredit {
        /// Which port.
        port: Port,
        /// Bytes granted on top.
        bytes: u32,
    },
    /// The answer to a `StreamRequest`: one end of a stream socket pair.
    StreamAccept {
        /// The request's number.
        id: StreamId,
        /// The zone's end.
        socket: OwnedFd,
    },
    /// The answer to a `StreamRequest`: no.
    StreamRefuse {
        /// The request's number.
        id: StreamId,
    },
    /// Connect to a port on which the guest listens; the zone closes the socket when the guest refuses.
    StreamDial {
        /// The endpoint's number for it.
        id: StreamId,
        /// The guest's vsock port.
        port: u32,
        /// The zone's end.
        socket: OwnedFd,
    },
    /// Press the power button.
    Power,
}

/// What a machine is made of.
#[derive(Debug)]
pub struct StartConfig {
    /// The zone's name.
    pub zone: ZoneName,
    /// Guest memory, within [`limits::MEMORY_MIB`].
    pub memory_mib: u32,
    /// Harts, 1 to [`limits::HARTS`].
    pub harts: u16,
    /// The kernel's command line: printable ASCII, at most [`limits::COMMAND_LINE_BYTES`].
    pub command_line: String,
    /// The kernel, open for reading.
    pub kernel: OwnedFd,
    /// The initial RAM file system, open for reading.
    pub initramfs: OwnedFd,
    /// Volumes in the order vda, vdb, ...; at most [`limits::VOLUMES`].
    pub volumes: Vec<Volume>,
}

/// One block device of the machine.
#[derive(Debug)]
pub struct Volume {
    /// The base image, open for reading.
    pub image: OwnedFd,
    /// Where the guest's writes go.
    pub writes: Writes,
}

/// Where a guest's writes to a volume go.
#[derive(Debug)]
pub enum Writes {
    /// Nowhere: the guest sees a read-only device.
    Refused,
    /// To a copy-on-write overlay in this empty file without a name, open for reading and writing, which ends with the machine.
    Discarded(OwnedFd),
    /// To this overlay file, open for reading and writing, which outlives the machine.
    Kept(OwnedFd),
}

impl Writes {
    fn overlay(&self) -> Option<&OwnedFd> {
        match self {
            Self::Refused => None,
            Self::Discarded(overlay) | Self::Kept(overlay) => Some(overlay),
        }
    }
}

mod kind {
    pub(super) const START: u16 = 1;
    pub(super) const SURFACE: u16 = 2;
    pub(super) const KEY: u16 = 3;
    pub(super) const POINTER_MOTION: u16 = 4;
    pub(super) const POINTER_BUTTON: u16 = 5;
    pub(super) const WHEEL: u16 = 6;
    pub(super) const FOCUS: u16 = 7;
    pub(super) const PORT_DATA: u16 = 8;
    pub(super) const PORT_CREDIT: u16 = 9;
    pub(super) const STREAM_ACCEPT: u16 = 10;
    pub(super) const STREAM_REFUSE: u16 = 11;
    pub(super) const STREAM_DIAL: u16 = 12;
    pub(super) const POWER: u16 = 13;
}

impl ToZone {
    /// The most descriptors that one message carries: kernel, initramfs, and two per volume.
    pub const MOST_DESCRIPTORS: usize = 2 + 2 * limits::VOLUMES;

    /// The message's name, for errors and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "Start",
            Self::Surface { .. } => "Surface",
            Self::Key { .. } => "Key",
            Self::PointerMotion { .. } => "PointerMotion",
            Self::PointerButton { .. } => "PointerButton",
            Self::Wheel { .. } => "Wheel",
            Self::Focus(_) => "Focus",
            Self::PortData { .. } => "PortData",
            Self::PortCredit { .. } => "PortCredit",
            Self::StreamAccept { .. } => "StreamAccept",
            Self::StreamRefuse { .. } => "StreamRefuse",
            Self::StreamDial { .. } => "StreamDial",
            Self::Power => "Power",
        }
    }

    /// Appends the message's bytes. The descriptors go beside them, see [`ToZone::descriptors`].
    ///
    /// # Errors
    /// A field out of range: the peer would refuse the message. Nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.check()?;
        let mut writer;
        match self {
            Self::Start(config) => {
                writer = Writer::open(out, kind::START);
                config.write(&mut writer);
            }
            Self::Surface {
                generation, size, ..
            } => {
                writer = Writer::open(out, kind::SURFACE);
                writer
                    .u32(generation.0)
                    .u32(size.width())
                    .u32(size.height());
            }
            Self::Key { code, pressed } => {
                writer = Writer::open(out, kind::KEY);
                writer.u16(*code).bool(*pressed);
            }
            Self::PointerMotion { x, y } => {
                writer = Writer::open(out, kind::POINTER_MOTION);
                writer.u32(*x).u32(*y);
            }
            Self::PointerButton { code, pressed } => {
                writer = Writer::open(out, kind::POINTER_BUTTON);
                writer.u16(*code).bool(*pressed);
            }
            Self::Wheel {
                vertical,
                horizontal,
            } => {
                writer = Writer::open(out, kind::WHEEL);
                writer.i32(*vertical).i32(*horizontal);
            }
            Self::Focus(focused) => {
                writer = Writer::open(out, kind::FOCUS);
                writer.bool(*focused);
            }
            Self::PortData { port, data } => {
                writer = Writer::open(out, kind::PORT_DATA);
                writer.u32(port.number()).raw(data.as_slice());
            }
            Self::PortCredit { port, bytes } => {
                writer = Writer::open(out, kind::PORT_CREDIT);
                writer.u32(port.number()).u32(*bytes);
            }
            Self::StreamAccept { id, .. } => {
                writer = Writer::open(out, kind::STREAM_ACCEPT);
                writer.u32(id.0);
            }
            Self::StreamRefuse { id } => {
                writer = Writer::open(out, kind::STREAM_REFUSE);
                writer.u32(id.0);
            }
            Self::StreamDial { id, port, .. } => {
                writer = Writer::open(out, kind::STREAM_DIAL);
                writer.u32(id.0).u32(*port);
            }
            Self::Power => writer = Writer::open(out, kind::POWER),
        }
        writer.finish()
    }

    /// The descriptors that travel with the message, in order.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Start(config) => config.descriptors(),
            Self::Surface { memory, .. } => vec![memory.as_fd()],
            Self::StreamAccept { socket, .. } | Self::StreamDial { socket, .. } => {
                vec![socket.as_fd()]
            }
            _ => Vec::new(),
        }
    }

    /// Decodes one whole message and takes its descriptors.
    ///
    /// # Errors
    /// Anything but exactly one well-formed message with exactly its descriptors; all of them are closed then.
    pub fn decode(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Self, ProtocolError> {
        let (kind, reader) = Reader::open(bytes)?;
        let name = match kind {
            kind::START => "Start",
            kind::SURFACE => "Surface",
            kind::KEY => "Key",
            kind::POINTER_MOTION => "PointerMotion",
            kind::POINTER_BUTTON => "PointerButton",
            kind::WHEEL => "Wheel",
            kind::FOCUS => "Focus",
            kind::PORT_DATA => "PortData",
            kind::PORT_CREDIT => "PortCredit",
            kind::STREAM_ACCEPT => "StreamAccept",
            kind::STREAM_REFUSE => "StreamRefuse",
            kind::STREAM_DIAL => "StreamDial",
            kind::POWER => "Power",
            _ => return Err(ProtocolError::UnknownKind { kind }),
        };
        let mut reader = reader.named(name);
        let message = match kind {
            kind::START => {
                return StartConfig::read(reader, fds).map(|config| Self::Start(Box::new(config)));
            }
            kind::SURFACE => {
                let generation = Generation(reader.u32()?);
                let (width, height) = (reader.u32()?, reader.u32()?);
                let size = Size::new(width, height).ok_or_else(|| reader.bad("size"))?;
                reader.finish()?;
                let memory = Descriptors::expect(name, fds, 1)?.surface("memory", size)?;
                return Ok(Self::Surface {
                    generation,
                    size,
                    memory,
                });
            }
            kind::STREAM_ACCEPT => {
                let id = StreamId(reader.u32()?);
                reader.finish()?;
                let socket = Descriptors::expect(name, fds, 1)?.stream("socket")?;
                return Ok(Self::StreamAccept { id, socket });
            }
            kind::STREAM_DIAL => {
                let (id, port) = (StreamId(reader.u32()?), reader.u32()?);
                reader.finish()?;
                let socket = Descriptors::expect(name, fds, 1)?.stream("socket")?;
                return Ok(Self::StreamDial { id, port, socket });
            }
            kind::KEY => Self::Key {
                code: reader.u16()?,
                pressed: reader.bool("pressed")?,
            },
            kind::POINTER_MOTION => Self::PointerMotion {
                x: reader.u32()?,
                y: reader.u32()?,
            },
            kind::POINTER_BUTTON => Self::PointerButton {
                code: reader.u16()?,
                pressed: reader.bool("pressed")?,
            },
            kind::WHEEL => Self::Wheel {
                vertical: reader.i32()?,
                horizontal: reader.i32()?,
            },
            kind::FOCUS => Self::Focus(reader.bool("focused")?),
            kind::PORT_DATA => {
                let port = Port::read(&mut reader)?;
                let data = PortBytes::new(reader.remaining()).ok_or_else(|| reader.bad("data"))?;
                Self::PortData { port, data }
            }
            kind::PORT_CREDIT => Self::PortCredit {
                port: Port::read(&mut reader)?,
                bytes: reader.u32()?,
            },
            kind::STREAM_REFUSE => Self::StreamRefuse {
                id: StreamId(reader.u32()?),
            },
            kind::POWER => Self::Power,
            _ => return Err(ProtocolError::UnknownKind { kind }),
        };
        reader.finish()?;
        message.check()?;
        Descriptors::expect(name, fds, 0)?;
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
            Self::Start(config) => config.check(),
            Self::Key { code, .. } | Self::PointerButton { code, .. }
                if *code > limits::KEY_CODE =>
            {
                bad("code")
            }
            Self::PointerMotion { x, y } if (*x).max(*y) >= limits::SURFACE_SIDE => bad("position"),
            Self::PortCredit { bytes, .. } if !(1..=limits::PORT_CREDIT).contains(bytes) => {
                bad("bytes")
            }
            _ => Ok(()),
        }
    }
}

impl StartConfig {
    fn check(&self) -> Result<(), ProtocolError> {
        let bad = |field| {
            Err(ProtocolError::Field {
                message: "Start",
                field,
            })
        };
        if !limits::MEMORY_MIB.contains(&self.memory_mib) {
            return bad("memory");
        }
        if !(1..=limits::HARTS).contains(&self.harts) {
            return bad("harts");
        }
        if self.command_line.len() > limits::COMMAND_LINE_BYTES
            || !self.command_line.chars().all(is_printable)
        {
            return bad("command line");
        }
        if self.volumes.len() > limits::VOLUMES {
            return bad("volumes");
        }
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer
            .bytes(self.zone.as_str().as_bytes())
            .u32(self.memory_mib)
            .u16(self.harts)
            .bytes(self.command_line.as_bytes());
        writer.u8(u8::try_from(self.volumes.len()).unwrap_or(u8::MAX));
        for volume in &self.volumes {
            writer.u8(match volume.writes {
                Writes::Refused => 0,
                Writes::Discarded(_) => 1,
                Writes::Kept(_) => 2,
            });
        }
    }

    fn read(mut reader: Reader<'_>, fds: Vec<OwnedFd>) -> Result<Self, ProtocolError> {
        let zone = printable(&mut reader, "zone name", limits::NAME_BYTES)?;
        let zone = ZoneName::new(&zone).ok_or_else(|| reader.bad("zone name"))?;
        let (memory_mib, harts) = (reader.u32()?, reader.u16()?);
        let command_line = printable(&mut reader, "command line", limits::COMMAND_LINE_BYTES)?;
        let count = usize::from(reader.u8()?);
        let modes = reader.remaining();
        if modes.len() != count || count > limits::VOLUMES {
            return Err(reader.bad("volumes"));
        }
        let overlays = modes.iter().filter(|mode| **mode != 0).count();
        let expected = count.saturating_add(overlays).saturating_add(2);
        let mut descriptors = Descriptors::expect(reader.message(), fds, expected)?;
        let kernel = descriptors.read_only_file("kernel")?;
        let initramfs = descriptors.read_only_file("initramfs")?;
        let mut volumes = Vec::with_capacity(count);
        for mode in modes {
            let image = descriptors.read_only_file("volume")?;
            let writes = match mode {
                0 => Writes::Refused,
                1 => Writes::Discarded(descriptors.writable_file("overlay")?),
                2 => Writes::Kept(descriptors.writable_file("overlay")?),
                _ => return Err(reader.bad("volume mode")),
            };
            volumes.push(Volume { image, writes });
        }
        reader.finish()?;
        let config = Self {
            zone,
            memory_mib,
            harts,
            command_line,
            kernel,
            initramfs,
            volumes,
        };
        config.check()?;
        Ok(config)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = vec![self.kernel.as_fd(), self.initramfs.as_fd()];
        for volume in &self.volumes {
            fds.push(volume.image.as_fd());
            fds.extend(volume.writes.overlay().map(AsFd::as_fd));
        }
        fds
    }
}
