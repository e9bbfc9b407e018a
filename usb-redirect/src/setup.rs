//! The eight bytes that open every control transfer (USB 2.0, 9.3), and what such a request means for the streams of reports.
//!
//! The desktop chooses these bytes. Only [`Setup::effect`] decides whether a request touches the report streams; the transfer itself
//! is carried to the device unread.

/// An endpoint's address as on the wire: the number in the low four bits, 0x80 set for IN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointAddress(pub u8);

impl EndpointAddress {
    /// The address of the IN endpoint of `number` (its low four bits).
    #[must_use]
    pub const fn input(number: u8) -> Self {
        Self((number & 0x0f) | 0x80)
    }

    /// The address of the OUT endpoint of `number` (its low four bits).
    #[must_use]
    pub const fn output(number: u8) -> Self {
        Self(number & 0x0f)
    }

    /// The endpoint's number, 0 to 15.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0 & 0x0f
    }

    /// Whether data flows from the device.
    #[must_use]
    pub const fn is_input(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// A setup packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// `bmRequestType`: direction, type and recipient.
    pub request_type: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// `wLength`: the length of the data stage.
    pub length: u16,
}

/// Who defines a request (`bmRequestType`, bits 5 and 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Defined by the USB standard itself.
    Standard,
    /// Defined by the device's class, for us: HID.
    Class,
    /// Defined by the maker alone.
    Vendor,
    /// Reserved by the standard.
    Reserved,
}

/// What a control request does to the streams of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: reports go on.
    None,
    /// `SET_CONFIGURATION`: every stream is flushed and starts anew.
    Configuration(u8),
    /// `SET_INTERFACE`: the streams of one interface.
    Interface {
        /// The interface's number.
        interface: u8,
        /// The setting it takes.
        alternate: u8,
    },
    /// `SET_PROTOCOL` (boot or report protocol): the streams of one interface.
    Protocol {
        /// The interface's number.
        interface: u8,
    },
    /// `CLEAR_FEATURE(ENDPOINT_HALT)`: one endpoint's stream.
    ClearHalt(EndpointAddress),
    /// The hub's "reset this port", which hosts send as a control request over USB/IP: every stream.
    Reset,
}

impl Setup {
    /// Reads the eight bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        let [request_type, request, v0, v1, i0, i1, l0, l1] = bytes;
        Self {
            request_type,
            request,
            value: u16::from_le_bytes([v0, v1]),
            index: u16::from_le_bytes([i0, i1]),
            length: u16::from_le_bytes([l0, l1]),
        }
    }

    /// The eight bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let [v0, v1] = self.value.to_le_bytes();
        let [i0, i1] = self.index.to_le_bytes();
        let [l0, l1] = self.length.to_le_bytes();
        [self.request_type, self.request, v0, v1, i0, i1, l0, l1]
    }

    /// Whether the data stage, if there is one, comes from the device.
    #[must_use]
    pub const fn is_input(self) -> bool {
        self.request_type & 0x80 != 0
    }

    /// Who defines this request.
    #[must_use]
    pub const fn kind(self) -> RequestKind {
        match self.request_type >> 5 & 3 {
            0 => RequestKind::Standard,
            1 => RequestKind::Class,
            2 => RequestKind::Vendor,
            _ => RequestKind::Reserved,
        }
    }

    /// The interface a request addresses, if its recipient is an interface.
    #[must_use]
    pub const fn interface(self) -> Option<u8> {
        let [low, _] = self.index.to_le_bytes();
        if self.request_type & 0x1f == 1 {
            Some(low)
        } else {
            None
        }
    }

    /// What this request does to the streams of reports.
    #[must_use]
    pub const fn effect(self) -> Effect {
        let [value, _] = self.value.to_le_bytes();
        let [index, _] = self.index.to_le_bytes();
        match (self.request_type, self.request) {
            (0x00, 9) => Effect::Configuration(value),
            (0x01, 11) => Effect::Interface {
                interface: index,
                alternate: value,
            },
            (0x02, 1) if self.value == 0 => Effect::ClearHalt(EndpointAddress(index)),
            (0x21, 11) => Effect::Protocol { interface: index },
            (0x23, 3) if self.value == 4 => Effect::Reset,
            _ => Effect::None,
        }
    }

    /// The HID report a class request writes (`SET_REPORT`), as (interface, report type 1 to 3, report ID).
    #[must_use]
    pub const fn set_report(self) -> Option<(u8, u8, u8)> {
        if self.request_type == 0x21 && self.request == 9 {
            Some(self.report())
        } else {
            None
        }
    }

    /// The HID report a class request reads (`GET_REPORT`), likewise.
    #[must_use]
    pub const fn get_report(self) -> Option<(u8, u8, u8)> {
        if self.request_type == 0xa1 && self.request == 1 {
            Some(self.report())
        } else {
            None
        }
    }

    const fn report(self) -> (u8, u8, u8) {
        let [identifier, kind] = self.value.to_le_bytes();
        let [interface, _] = self.index.to_le_bytes();
        (interface, kind, identifier)
    }

    /// `GET_DESCRIPTOR` of `kind` and `index`, from the device or from `interface`.
    #[must_use]
    pub const fn descriptor_request(self) -> Option<(u8, u8)> {
        if (self.request_type == 0x80 || self.request_type == 0x81) && self.request == 6 {
            let [index, kind] = self.value.to_le_bytes();
            Some((kind, index))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_a_round_trip() {
        let bytes = [0x21, 0x09, 0x00, 0x02, 0x01, 0x00, 0x01, 0x00];
        let setup = Setup::from_bytes(bytes);
        assert_eq!(setup.to_bytes(), bytes);
        assert_eq!(setup.set_report(), Some((1, 2, 0)));
        assert_eq!(setup.kind(), RequestKind::Class);
        assert_eq!(setup.interface(), Some(1));
    }

    #[test]
    fn requests_that_restart_streams_are_known() {
        let effect = |bytes| Setup::from_bytes(bytes).effect();
        assert_eq!(effect([0, 9, 1, 0, 0, 0, 0, 0]), Effect::Configuration(1));
        assert_eq!(
            effect([1, 11, 2, 0, 3, 0, 0, 0]),
            Effect::Interface {
                interface: 3,
                alternate: 2
            }
        );
        assert_eq!(
            effect([2, 1, 0, 0, 0x81, 0, 0, 0]),
            Effect::ClearHalt(EndpointAddress::input(1))
        );
        assert_eq!(
            effect([0x21, 11, 0, 0, 1, 0, 0, 0]),
            Effect::Protocol { interface: 1 }
        );
        assert_eq!(effect([0x23, 3, 4, 0, 1, 0, 0, 0]), Effect::Reset);
        assert_eq!(
            effect([0x21, 10, 0, 0, 0, 0, 0, 0]),
            Effect::None,
            "SET_IDLE"
        );
        assert_eq!(
            effect([0x21, 9, 0, 2, 0, 0, 1, 0]),
            Effect::None,
            "SET_REPORT"
        );
    }
}
