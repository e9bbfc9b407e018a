//! USB descriptors (USB 2.0, 9.6): what a device says of itself, parsed once, within limits.
//!
//! The bytes come from a device or from a peer and are hostile. A parsed value keeps to the limits below; lengths that lie,
//! descriptors shorter than their kind and counts above the limits are errors that say where.

use crate::reader::Reader;
use crate::setup::EndpointAddress;

/// The longest configuration that is read, in bytes.
pub const MAX_CONFIGURATION_LENGTH: usize = 16 * 1024;
/// The most interface settings in one configuration.
pub const MAX_INTERFACE_SETTINGS: usize = 128;
/// The most endpoints in one interface setting: 15 in each direction.
pub const MAX_ENDPOINTS: usize = 30;

const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
const HID: u8 = 0x21;

/// Why descriptors were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The bytes end inside a descriptor.
    #[error(
        "the descriptor of kind {kind:#04x} at byte {offset} is longer than the bytes that follow"
    )]
    Truncated {
        /// `bDescriptorType`, 0 when even that is missing.
        kind: u8,
        /// Where the descriptor begins.
        offset: usize,
    },
    /// A descriptor is too short for its kind.
    #[error("the descriptor of kind {kind:#04x} at byte {offset} has only {length} bytes")]
    TooShort {
        /// `bDescriptorType`.
        kind: u8,
        /// Where the descriptor begins.
        offset: usize,
        /// `bLength`.
        length: u8,
    },
    /// A descriptor of another kind stands where one must stand.
    #[error("expected a descriptor of kind {expected:#04x} and found {found:#04x}")]
    WrongKind {
        /// The kind that must stand here.
        expected: u8,
        /// The kind found.
        found: u8,
    },
    /// The configuration's total length is not that of its bytes, or above the limit.
    #[error(
        "the configuration says it has {said} bytes; {have} are there, at most {MAX_CONFIGURATION_LENGTH} are read"
    )]
    WrongTotal {
        /// `wTotalLength`.
        said: usize,
        /// The bytes given.
        have: usize,
    },
    /// More of something than the limits allow.
    #[error("the configuration has more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An endpoint or HID descriptor stands before the first interface.
    #[error("the descriptor of kind {kind:#04x} at byte {offset} belongs to no interface")]
    Homeless {
        /// `bDescriptorType`.
        kind: u8,
        /// Where the descriptor begins.
        offset: usize,
    },
    /// Two settings with the same interface number and alternate, or two endpoints with one address.
    #[error("the configuration describes {what} {number:#04x} twice")]
    Twice {
        /// What is described twice.
        what: &'static str,
        /// Its number.
        number: u8,
    },
}

/// A device's speed on its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speed {
    /// 1.5 Mbit/s.
    Low,
    /// 12 Mbit/s.
    Full,
    /// 480 Mbit/s.
    High,
    /// 5 Gbit/s and above.
    Super,
}

impl Speed {
    /// The number Linux (`enum usb_device_speed`) and USB/IP use.
    #[must_use]
    pub const fn linux(self) -> u32 {
        match self {
            Self::Low => 1,
            Self::Full => 2,
            Self::High => 3,
            Self::Super => 5,
        }
    }

    /// The speed behind the number Linux and USB/IP use.
    #[must_use]
    pub const fn from_linux(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Low),
            2 => Some(Self::Full),
            3 => Some(Self::High),
            5 | 6 => Some(Self::Super),
            _ => None,
        }
    }

    /// The time between two polls of an interrupt endpoint, in microseconds, for `bInterval`.
    #[must_use]
    pub const fn interval_micros(self, interval: u8) -> u64 {
        match self {
            Self::Low | Self::Full => {
                if interval == 0 {
                    1000
                } else {
                    interval as u64 * 1000
                }
            }
            Self::High | Self::Super => {
                let exponent = match interval {
                    0 => 0,
                    1..=16 => interval - 1,
                    _ => 15,
                };
                125 << exponent
            }
        }
    }
}

/// The device descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceDescriptor {
    /// The 18 bytes as the device gave them.
    pub raw: [u8; 18],
    /// Class, subclass and protocol; class 0 means each interface has its own.
    pub class: ClassTriple,
    /// `bMaxPacketSize0`.
    pub max_packet_zero: u8,
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
    /// `bcdDevice`.
    pub release: u16,
    /// String indices of manufacturer, product and serial number; 0 means none.
    pub strings: [u8; 3],
    /// How many configurations there are.
    pub configurations: u8,
}

/// Class, subclass, protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassTriple {
    /// The class code; 3 is HID, 8 storage, 9 hub.
    pub class: u8,
    /// The subclass; for HID, 1 means it has a boot protocol.
    pub subclass: u8,
    /// The protocol; for boot HID 1 is keyboard, 2 mouse.
    pub protocol: u8,
}

impl ClassTriple {
    /// Whether this is a human interface device.
    #[must_use]
    pub const fn is_hid(self) -> bool {
        self.class == 3
    }
}

impl std::fmt::Display for ClassTriple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}:{:02x}",
            self.class, self.subclass, self.protocol
        )
    }
}

/// How an endpoint moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Setup, data and status stages.
    Control,
    /// Timed, without repetition.
    Isochronous,
    /// As fast as the bus has room.
    Bulk,
    /// Polled at an interval.
    Interrupt,
}

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: EndpointAddress,
    /// How it moves data.
    pub transfer: Transfer,
    /// The most bytes in one service interval.
    pub max_packet: u16,
    /// `bInterval`.
    pub interval: u8,
}

/// What a HID class descriptor (HID 1.11, 6.2.1) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HidDescriptor {
    /// The length of the report descriptor in bytes; at most 65,535, the parser has a lower limit of its own.
    pub report_length: u16,
}

/// One setting of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSetting {
    /// `bInterfaceNumber`.
    pub number: u8,
    /// `bAlternateSetting`.
    pub alternate: u8,
    /// What it is.
    pub class: ClassTriple,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Its HID descriptor, if it has one.
    pub hid: Option<HidDescriptor>,
}

/// A configuration with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The bytes as the device gave them.
    pub raw: Vec<u8>,
    /// `bConfigurationValue`.
    pub value: u8,
    /// `bmAttributes`.
    pub attributes: u8,
    /// Every setting of every interface, in the order of the bytes.
    pub settings: Vec<InterfaceSetting>,
}

impl DeviceDescriptor {
    /// Parses the device descriptor.
    ///
    /// # Errors
    /// When the bytes are not a device descriptor of at least 18 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let short = DescriptorError::Truncated {
            kind: bytes.get(1).copied().unwrap_or(0),
            offset: 0,
        };
        let raw: [u8; 18] = *bytes.first_chunk().ok_or(short)?;
        let [
            length,
            kind,
            _,
            _,
            class,
            subclass,
            protocol,
            max_packet_zero,
            ids @ ..,
        ] = raw;
        if kind != DEVICE {
            return Err(DescriptorError::WrongKind {
                expected: DEVICE,
                found: kind,
            });
        }
        if length < 18 {
            return Err(DescriptorError::TooShort {
                kind,
                offset: 0,
                length,
            });
        }
        let [
            v0,
            v1,
            p0,
            p1,
            r0,
            r1,
            manufacturer,
            product_name,
            serial,
            configurations,
        ] = ids;
        Ok(Self {
            raw,
            class: ClassTriple {
                class,
                subclass,
                protocol,
            },
            max_packet_zero,
            vendor: u16::from_le_bytes([v0, v1]),
            product: u16::from_le_bytes([p0, p1]),
            release: u16::from_le_bytes([r0, r1]),
            strings: [manufacturer, product_name, serial],
            configurations,
        })
    }
}

impl Configuration {
    /// Parses a configuration and all that follows it.
    ///
    /// # Errors
    /// When a length lies, a descriptor is cut short or homeless, something is described twice, or a limit is passed.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let mut reader = Reader::new(bytes);
        let (kind, body) = next(&mut reader, bytes.len())?
            .ok_or(DescriptorError::Truncated { kind: 0, offset: 0 })?;
        if kind != CONFIGURATION {
            return Err(DescriptorError::WrongKind {
                expected: CONFIGURATION,
                found: kind,
            });
        }
        let [_, _, total0, total1, _, value, _, attributes, ..] = *body else {
            return Err(too_short(kind, 0, body));
        };
        let said = usize::from(u16::from_le_bytes([total0, total1]));
        if said != bytes.len() || said > MAX_CONFIGURATION_LENGTH {
            return Err(DescriptorError::WrongTotal {
                said,
                have: bytes.len(),
            });
        }
        let mut settings: Vec<InterfaceSetting> = Vec::new();
        loop {
            let offset = bytes.len().saturating_sub(reader.remaining());
            let Some((kind, body)) = next(&mut reader, bytes.len())? else {
                break;
            };
            match kind {
                INTERFACE => settings_push(&mut settings, interface(body, offset)?)?,
                ENDPOINT | HID => {
                    let setting = settings
                        .last_mut()
                        .ok_or(DescriptorError::Homeless { kind, offset })?;
                    if kind == ENDPOINT {
                        endpoint(setting, body, offset)?;
                    } else if setting.class.is_hid() && setting.hid.is_none() {
                        setting.hid = hid(body, offset)?;
                    }
                }
                // Class-specific and later kinds (interface association, companion, ...) say nothing that we act on.
                _ => {}
            }
        }
        Ok(Self {
            raw: bytes.to_vec(),
            value,
            attributes,
            settings,
        })
    }

    /// The setting that `alternate` of interface `number` names.
    #[must_use]
    pub fn setting(&self, number: u8, alternate: u8) -> Option<&InterfaceSetting> {
        self.settings
            .iter()
            .find(|setting| setting.number == number && setting.alternate == alternate)
    }

    /// The first setting of each interface, as after `SET_CONFIGURATION`.
    pub fn interfaces(&self) -> impl Iterator<Item = &InterfaceSetting> {
        self.settings
            .iter()
            .filter(|setting| setting.alternate == 0)
    }

    /// Where an endpoint lives: the first setting that has it.
    #[must_use]
    pub fn endpoint(&self, address: EndpointAddress) -> Option<(&InterfaceSetting, &Endpoint)> {
        self.settings.iter().find_map(|setting| {
            let endpoint = setting
                .endpoints
                .iter()
                .find(|endpoint| endpoint.address == address)?;
            Some((setting, endpoint))
        })
    }

    /// Every interrupt-IN endpoint of a HID interface, each with its interface's number.
    pub fn report_endpoints(&self) -> impl Iterator<Item = (u8, &Endpoint)> {
        self.settings
            .iter()
            .filter(|setting| setting.class.is_hid())
            .flat_map(|setting| {
                setting
                    .endpoints
                    .iter()
                    .filter(|endpoint| {
                        endpoint.transfer == Transfer::Interrupt && endpoint.address.is_input()
                    })
                    .map(|endpoint| (setting.number, endpoint))
            })
    }
}

/// The next descriptor's kind and all its bytes, `None` at the end.
fn next<'a>(
    reader: &mut Reader<'a>,
    total: usize,
) -> Result<Option<(u8, &'a [u8])>, DescriptorError> {
    let offset = total.saturating_sub(reader.remaining());
    let (length, kind) = match *reader.rest() {
        [] => return Ok(None),
        [_] => return Err(DescriptorError::Truncated { kind: 0, offset }),
        [length, kind, ..] => (length, kind),
    };
    if length < 2 {
        return Err(DescriptorError::TooShort {
            kind,
            offset,
            length,
        });
    }
    let body = reader
        .take(usize::from(length))
        .ok_or(DescriptorError::Truncated { kind, offset })?;
    Ok(Some((kind, body)))
}

fn too_short(kind: u8, offset: usize, body: &[u8]) -> DescriptorError {
    DescriptorError::TooShort {
        kind,
        offset,
        length: u8::try_from(body.len()).unwrap_or(u8::MAX),
    }
}

fn interface(body: &[u8], offset: usize) -> Result<InterfaceSetting, DescriptorError> {
    let [_, _, number, alternate, _, class, subclass, protocol, _, ..] = *body else {
        return Err(too_short(INTERFACE, offset, body));
    };
    Ok(InterfaceSetting {
        number,
        alternate,
        class: ClassTriple {
            class,
            subclass,
            protocol,
        },
        endpoints: Vec::new(),
        hid: None,
    })
}

fn settings_push(
    settings: &mut Vec<InterfaceSetting>,
    new: InterfaceSetting,
) -> Result<(), DescriptorError> {
    if settings.len() == MAX_INTERFACE_SETTINGS {
        return Err(DescriptorError::TooMany {
            what: "interface settings",
            limit: MAX_INTERFACE_SETTINGS,
        });
    }
    if settings
        .iter()
        .any(|old| old.number == new.number && old.alternate == new.alternate)
    {
        return Err(DescriptorError::Twice {
            what: "interface",
            number: new.number,
        });
    }
    settings.push(new);
    Ok(())
}

fn endpoint(
    setting: &mut InterfaceSetting,
    body: &[u8],
    offset: usize,
) -> Result<(), DescriptorError> {
    let [_, _, address, attributes, packet0, packet1, interval, ..] = *body else {
        return Err(too_short(ENDPOINT, offset, body));
    };
    if setting.endpoints.len() == MAX_ENDPOINTS {
        return Err(DescriptorError::TooMany {
            what: "endpoints in one interface",
            limit: MAX_ENDPOINTS,
        });
    }
    let address = EndpointAddress(address & 0x8f);
    if setting.endpoints.iter().any(|old| old.address == address) {
        return Err(DescriptorError::Twice {
            what: "endpoint",
            number: address.0,
        });
    }
    let packet = u16::from_le_bytes([packet0, packet1]);
    // Bits 11 and 12 ask for up to two more transactions per microframe (high speed only).
    let transactions = (packet >> 11 & 3).min(2) + 1;
    setting.endpoints.push(Endpoint {
        address,
        transfer: match attributes & 3 {
            0 => Transfer::Control,
            1 => Transfer::Isochronous,
            2 => Transfer::Bulk,
            _ => Transfer::Interrupt,
        },
        max_packet: (packet & 0x07ff).saturating_mul(transactions),
        interval,
    });
    Ok(())
}

/// The report descriptor's length: the first entry of kind 0x22 in the HID descriptor's list.
fn hid(body: &[u8], offset: usize) -> Result<Option<HidDescriptor>, DescriptorError> {
    let [_, _, _, _, _, count, list @ ..] = body else {
        return Err(too_short(HID, offset, body));
    };
    let found = list
        .chunks_exact(3)
        .take(usize::from(*count))
        .find_map(|entry| match *entry {
            [0x22, low, high] => Some(u16::from_le_bytes([low, high])),
            _ => None,
        });
    Ok(found.map(|report_length| HidDescriptor { report_length }))
}

#[cfg(test)]
mod tests;
