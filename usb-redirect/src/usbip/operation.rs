//! The operations that open a USB/IP connection: list the exported devices, import one.

use super::{Decoded, UsbIpError, numbers};
use crate::descriptor::{ClassTriple, Speed};
use crate::reader::Reader;

/// The version in every operation: 1.1.1.
pub const OPERATION_VERSION: u16 = 0x0111;
/// The most devices that are read from a list.
pub(super) const MAX_LISTED: u32 = 256;

/// A device's name on the exporting machine: at most 31 bytes, such as `1-1.4`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BusId([u8; 32]);

impl BusId {
    /// A bus id from text: 1 to 31 letters, digits, dots, dashes, colons or underscores.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte);
        if text.is_empty() || text.len() > 31 || !text.bytes().all(legal) {
            return None;
        }
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    fn from_wire(bytes: [u8; 32]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Self::new(std::str::from_utf8(bytes.get(..end)?).ok()?)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl std::fmt::Debug for BusId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BusId({:?})", self.as_str())
    }
}

/// What a client opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Which devices are there?
    List,
    /// Hand over this one; the connection then carries its URBs.
    Import(BusId),
}

impl Operation {
    /// Decodes an operation.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let Some((code, _)) = header(&mut reader)? else {
            return Ok(None);
        };
        match code {
            0x8005 => Ok(Some((Self::List, 8))),
            0x8003 => match reader.array().map(BusId::from_wire) {
                None => Ok(None),
                Some(None) => Err(UsbIpError::Meaningless("bus id")),
                Some(Some(bus)) => Ok(Some((Self::Import(bus), 40))),
            },
            other => Err(UsbIpError::UnknownCommand(other.into())),
        }
    }

    /// Appends the operation's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::List => open(out, 0x8005, 0),
            Self::Import(bus) => {
                open(out, 0x8003, 0);
                out.extend_from_slice(&bus.0);
            }
        }
    }
}

/// An interface as it stands in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceRecord {
    /// What it is.
    pub class: ClassTriple,
}

/// A device as it stands in answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its name, which is also all that is said of its path.
    pub bus: BusId,
    /// Bus number and device number, at most 65,535 each.
    pub number: (u16, u16),
    /// Its speed.
    pub speed: Speed,
    /// `idVendor`, `idProduct`, `bcdDevice`.
    pub identity: (u16, u16, u16),
    /// The device's own class.
    pub class: ClassTriple,
    /// `bConfigurationValue`.
    pub configuration: u8,
    /// How many configurations it has.
    pub configurations: u8,
    /// Its interfaces; an answer to an import carries their number alone.
    pub interfaces: Vec<InterfaceRecord>,
}

impl DeviceRecord {
    /// What URBs name the device by.
    #[must_use]
    pub const fn device(&self) -> u32 {
        (self.number.0 as u32) << 16 | self.number.1 as u32
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut path = [0u8; 256];
        let name = self.bus.as_str().as_bytes();
        if let Some(place) = path.get_mut(..name.len()) {
            place.copy_from_slice(name);
        }
        out.extend_from_slice(&path);
        out.extend_from_slice(&self.bus.0);
        numbers(
            out,
            &[
                self.number.0.into(),
                self.number.1.into(),
                self.speed.linux(),
            ],
        );
        let (vendor, product, release) = self.identity;
        for half in [vendor, product, release] {
            out.extend_from_slice(&half.to_be_bytes());
        }
        out.extend_from_slice(&[
            self.class.class,
            self.class.subclass,
            self.class.protocol,
            self.configuration,
            self.configurations,
            u8::try_from(self.interfaces.len()).unwrap_or(u8::MAX),
        ]);
    }

    /// Reads the 312 bytes; also how many interfaces there are.
    fn read(reader: &mut Reader<'_>) -> Result<Option<(Self, u8)>, UsbIpError> {
        let fixed = (|| {
            reader.take(256)?;
            let bus = reader.array()?;
            let numbers = (reader.u32_be()?, reader.u32_be()?, reader.u32_be()?);
            let identity = (reader.u16_be()?, reader.u16_be()?, reader.u16_be()?);
            Some((bus, numbers, identity, reader.array::<6>()?))
        })();
        let Some((bus, (busnum, devnum, speed), identity, tail)) = fixed else {
            return Ok(None);
        };
        let [
            class,
            subclass,
            protocol,
            configuration,
            configurations,
            interfaces,
        ] = tail;
        let small =
            |number: u32| u16::try_from(number).map_err(|_| UsbIpError::Meaningless("bus number"));
        let record = Self {
            bus: BusId::from_wire(bus).ok_or(UsbIpError::Meaningless("bus id"))?,
            number: (small(busnum)?, small(devnum)?),
            speed: Speed::from_linux(speed).ok_or(UsbIpError::Meaningless("speed"))?,
            identity,
            class: ClassTriple {
                class,
                subclass,
                protocol,
            },
            configuration,
            configurations,
            interfaces: Vec::new(),
        };
        Ok(Some((record, interfaces)))
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationReply {
    /// The devices.
    List(Vec<DeviceRecord>),
    /// The device is the client's now; URBs follow.
    Imported(DeviceRecord),
    /// It is not: 1 is "failed", 4 "no such device".
    Refused(u32),
}

impl OperationReply {
    /// Decodes the answer to `operation`.
    ///
    /// # Errors
    /// When the bytes are no answer to it, or a refused list.
    pub fn decode(operation: Operation, bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let Some((code, status)) = header(&mut reader)? else {
            return Ok(None);
        };
        let used = |reader: &Reader<'_>| bytes.len().saturating_sub(reader.remaining());
        match (operation, code) {
            (Operation::Import(_), 0x0003) => {
                if status != 0 {
                    return Ok(Some((Self::Refused(status), 8)));
                }
                let Some((record, _)) = DeviceRecord::read(&mut reader)? else {
                    return Ok(None);
                };
                Ok(Some((Self::Imported(record), used(&reader))))
            }
            (Operation::List, 0x0005) => {
                if status != 0 {
                    return Err(UsbIpError::Refused(status));
                }
                let Some(count) = reader.u32_be() else {
                    return Ok(None);
                };
                if count > MAX_LISTED {
                    return Err(UsbIpError::TooManyDevices(count));
                }
                let mut devices = Vec::new();
                for _ in 0..count {
                    let Some((mut record, interfaces)) = DeviceRecord::read(&mut reader)? else {
                        return Ok(None);
                    };
                    for _ in 0..interfaces {
                        let Some([class, subclass, protocol, _]) = reader.array() else {
                            return Ok(None);
                        };
                        record.interfaces.push(InterfaceRecord {
                            class: ClassTriple {
                                class,
                                subclass,
                                protocol,
                            },
                        });
                    }
                    devices.push(record);
                }
                Ok(Some((Self::List(devices), used(&reader))))
            }
            (_, other) => Err(UsbIpError::UnknownCommand(other.into())),
        }
    }

    /// Appends the answer's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::List(devices) => {
                open(out, 0x0005, 0);
                numbers(out, &[u32::try_from(devices.len()).unwrap_or(u32::MAX)]);
                for device in devices {
                    device.encode(out);
                    for interface in device.interfaces.iter().take(usize::from(u8::MAX)) {
                        let ClassTriple {
                            class,
                            subclass,
                            protocol,
                        } = interface.class;
                        out.extend_from_slice(&[class, subclass, protocol, 0]);
                    }
                }
            }
            Self::Imported(device) => {
                open(out, 0x0003, 0);
                device.encode(out);
            }
            Self::Refused(status) => open(out, 0x0003, *status),
        }
    }
}

/// Version, code and status.
fn header(reader: &mut Reader<'_>) -> Result<Option<(u16, u32)>, UsbIpError> {
    let fields = (|| Some((reader.u16_be()?, reader.u16_be()?, reader.u32_be()?)))();
    match fields {
        None => Ok(None),
        Some((OPERATION_VERSION, code, status)) => Ok(Some((code, status))),
        Some((version, ..)) => Err(UsbIpError::WrongVersion(version)),
    }
}

fn open(out: &mut Vec<u8>, code: u16, status: u32) {
    out.extend_from_slice(&OPERATION_VERSION.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&status.to_be_bytes());
}
