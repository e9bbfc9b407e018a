//! HID report descriptors (HID 1.11, 6.2.2): which usages a device declares, and where in its reports they stand.
//!
//! The bytes are hostile. Memory is bounded by the limits below and never by a count that the bytes name: a field with a report
//! count of 2^31 is one [`Field`] until the report's length passes [`MAX_REPORT_BYTES`], and then an error. Usages are kept as
//! ranges, never expanded.

mod layout;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use layout::{Layout, ReportShape};

/// The longest report descriptor that is read, as in Linux.
pub const MAX_DESCRIPTOR_BYTES: usize = 4096;
/// The longest report, with its ID.
pub const MAX_REPORT_BYTES: usize = 4096;
/// The most bits in one element of a field, as in Linux.
pub const MAX_ELEMENT_BITS: u32 = 256;
/// The most fields that carry data.
pub const MAX_FIELDS: usize = 1024;
/// The most usages or usage ranges of all fields together.
pub const MAX_USAGE_RANGES: usize = 4096;
/// The deepest nesting of collections, and of saved global states.
pub const MAX_DEPTH: usize = 32;
/// The most top-level collections.
pub const MAX_APPLICATIONS: usize = 256;

/// A usage: its page in the upper 16 bits, its number in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usage(pub u32);

impl Usage {
    /// Generic Desktop: pointer.
    pub const POINTER: Self = Self::new(1, 1);
    /// Generic Desktop: mouse.
    pub const MOUSE: Self = Self::new(1, 2);
    /// Generic Desktop: keyboard.
    pub const KEYBOARD: Self = Self::new(1, 6);
    /// Generic Desktop: keypad.
    pub const KEYPAD: Self = Self::new(1, 7);
    /// Generic Desktop: the collection of power and sleep keys.
    pub const SYSTEM_CONTROL: Self = Self::new(1, 0x80);
    /// Consumer page: the collection of media keys.
    pub const CONSUMER_CONTROL: Self = Self::new(0x0c, 1);

    /// The usage `number` of `page`.
    #[must_use]
    pub const fn new(page: u16, number: u16) -> Self {
        Self((page as u32) << 16 | number as u32)
    }

    /// Its page.
    #[must_use]
    pub const fn page(self) -> u16 {
        let [_, _, low, high] = self.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// Its number in the page.
    #[must_use]
    pub const fn number(self) -> u16 {
        let [low, high, _, _] = self.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04x}:{:04x}", self.page(), self.number())
    }
}

/// Consecutive usages of one page, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRange {
    /// The first.
    pub first: Usage,
    /// The last, not below the first.
    pub last: Usage,
}

impl UsageRange {
    /// How many usages there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.last.0.saturating_sub(self.first.0).saturating_add(1)
    }
}

/// Which way a report goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportKind {
    /// From the device, by the interrupt endpoint or `GET_REPORT`.
    Input,
    /// To the device: lights, rumble.
    Output,
    /// Either way, by control transfers only.
    Feature,
}

impl ReportKind {
    /// The kind that `SET_REPORT` and `GET_REPORT` number so.
    #[must_use]
    pub const fn from_request(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Input),
            2 => Some(Self::Output),
            3 => Some(Self::Feature),
            _ => None,
        }
    }
}

/// Equal elements that stand side by side in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which way its report goes.
    pub kind: ReportKind,
    /// Its report's ID, 0 when the device numbers none.
    pub report_id: u8,
    /// The first bit, counted from the first byte after the report ID.
    pub bit_offset: u32,
    /// Bits per element, 1 to [`MAX_ELEMENT_BITS`].
    pub bit_size: u32,
    /// How many elements.
    pub count: u32,
    /// The smallest value.
    pub logical_minimum: i32,
    /// The largest value.
    pub logical_maximum: i32,
    /// Each element is one usage of its own; otherwise each element's value names a usage (an array).
    pub variable: bool,
    /// The value is a change since the last report.
    pub relative: bool,
    /// Out-of-range values mean "nothing".
    pub null_state: bool,
    /// The usages of the elements or of the array's values.
    pub usages: Vec<UsageRange>,
    /// Which of [`ReportDescriptor::applications`] it belongs to.
    pub application: u16,
}

impl Field {
    /// The `index`-th usage of the list; the last one stands for all that follow (HID 1.11, 6.2.2.8).
    #[must_use]
    pub fn usage(&self, index: u32) -> Option<Usage> {
        let mut left = index;
        for range in &self.usages {
            if left < range.count() {
                return Some(Usage(range.first.0.saturating_add(left)));
            }
            left = left.saturating_sub(range.count());
        }
        self.variable
            .then(|| self.usages.last().map(|range| range.last))
            .flatten()
    }

    /// The usage that an array's element of this value names.
    #[must_use]
    pub fn usage_of_value(&self, value: i32) -> Option<Usage> {
        if value < self.logical_minimum || value > self.logical_maximum {
            return None;
        }
        let index = i64::from(value).checked_sub(i64::from(self.logical_minimum))?;
        self.usage(u32::try_from(index).ok()?)
    }

    /// The bit at which element `index` begins.
    pub(crate) fn element_offset(&self, index: u32) -> u32 {
        self.bit_offset
            .saturating_add(index.saturating_mul(self.bit_size))
    }

    /// Elements whose values fit in an integer and can be looked at one by one.
    pub(crate) fn is_numeric(&self) -> bool {
        self.bit_size <= 32
    }

    /// Reads element `index` of a report's body, sign-extended where the range is signed.
    #[must_use]
    pub fn value(&self, body: &[u8], index: u32) -> Option<i32> {
        if index >= self.count || !self.is_numeric() {
            return None;
        }
        let raw = read_bits(body, self.element_offset(index), self.bit_size)?;
        if self.logical_minimum < 0 && self.bit_size < 32 && self.bit_size > 0 {
            let shift = 32 - self.bit_size;
            Some((raw << shift).cast_signed() >> shift)
        } else {
            Some(raw.cast_signed())
        }
    }

    /// Writes element `index` of a report's body; out-of-range positions are left alone.
    pub fn set_value(&self, body: &mut [u8], index: u32, value: i32) {
        if index < self.count && self.is_numeric() {
            write_bits(
                body,
                self.element_offset(index),
                self.bit_size,
                value.cast_unsigned(),
            );
        }
    }
}

/// A top-level collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// What it is as a whole, for example [`Usage::KEYBOARD`].
    pub usage: Usage,
}

/// A parsed report descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportDescriptor {
    applications: Vec<Application>,
    fields: Vec<Field>,
    /// Bits after the report ID, by kind and ID.
    bits: BTreeMap<(ReportKind, u8), u32>,
    numbered: bool,
}

/// Why a report descriptor was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Longer than [`MAX_DESCRIPTOR_BYTES`].
    #[error("the report descriptor has {0} bytes; at most {MAX_DESCRIPTOR_BYTES} are read")]
    TooLong(usize),
    /// The bytes end inside an item.
    #[error("the report descriptor ends inside the item at byte {offset}")]
    Truncated {
        /// Where the item begins.
        offset: usize,
    },
    /// A value outside what the standard or the limits allow.
    #[error(
        "the report descriptor's item at byte {offset} gives {what} the value {value}, which is outside its limits"
    )]
    OutOfRange {
        /// Where the item begins.
        offset: usize,
        /// Which value it is.
        what: &'static str,
        /// The value.
        value: u32,
    },
    /// More of something than the limits allow.
    #[error("the report descriptor has more than {limit} {what} at byte {offset}")]
    TooMany {
        /// Where the item begins.
        offset: usize,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Something closes that was not opened, or stays open.
    #[error("the report descriptor's {what} at byte {offset} does not match an earlier item")]
    Unbalanced {
        /// Where the item begins.
        offset: usize,
        /// What it is.
        what: &'static str,
    },
}

impl ReportDescriptor {
    /// Parses the bytes.
    ///
    /// # Errors
    /// When they are not a report descriptor within the limits.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        parse::parse(bytes)
    }

    /// The top-level collections in order.
    #[must_use]
    pub fn applications(&self) -> &[Application] {
        &self.applications
    }

    /// All fields that carry data, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether reports begin with a report ID.
    #[must_use]
    pub const fn is_numbered(&self) -> bool {
        self.numbered
    }

    /// The length in bytes of a declared report, its ID included; `None` when it is not declared.
    #[must_use]
    pub fn report_length(&self, kind: ReportKind, report_id: u8) -> Option<usize> {
        let bits = *self.bits.get(&(kind, report_id))?;
        let body = usize::try_from(bits.div_ceil(8)).ok()?;
        Some(body.saturating_add(usize::from(self.numbered)))
    }

    /// The IDs of the declared reports of a kind; 0 alone when reports are not numbered.
    pub fn report_ids(&self, kind: ReportKind) -> impl Iterator<Item = u8> {
        self.bits
            .keys()
            .filter(move |(of, _)| *of == kind)
            .map(|(_, report_id)| *report_id)
    }

    /// Splits a report in its ID (0 when not numbered) and the rest.
    #[must_use]
    pub fn split<'a>(&self, report: &'a [u8]) -> Option<(u8, &'a [u8])> {
        if self.numbered {
            report
                .split_first()
                .map(|(identifier, body)| (*identifier, body))
        } else {
            Some((0, report))
        }
    }
}

/// The layout of the boot protocol (HID 1.11, appendix B), which a host may switch a boot interface to: its reports do not follow
/// the report descriptor. `protocol` is the interface's: 1 keyboard, 2 mouse.
#[must_use]
pub fn boot_protocol(protocol: u8) -> Option<ReportDescriptor> {
    const KEYBOARD: &[u8] = &[
        0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25,
        0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x75, 0x08, 0x95, 0x01, 0x81, 0x01, 0x05, 0x08,
        0x19, 0x01, 0x29, 0x05, 0x75, 0x01, 0x95, 0x05, 0x91, 0x02, 0x95, 0x03, 0x91, 0x01, 0x05,
        0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x06, 0x81, 0x00,
        0xc0,
    ];
    const MOUSE: &[u8] = &[
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x05, 0x09, 0x19, 0x01, 0x29, 0x08, 0x15, 0x00, 0x25,
        0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x81,
        0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0,
    ];
    let bytes = match protocol {
        1 => KEYBOARD,
        2 => MOUSE,
        _ => return None,
    };
    ReportDescriptor::parse(bytes).ok()
}

/// Reads `size` (at most 32) bits at bit `offset`, least significant first.
pub(crate) fn read_bits(body: &[u8], offset: u32, size: u32) -> Option<u32> {
    let first = usize::try_from(offset / 8).ok()?;
    let last = usize::try_from(offset.checked_add(size)?.checked_sub(1)? / 8).ok()?;
    let mut value = 0u64;
    for (position, byte) in body.get(first..=last)?.iter().enumerate() {
        value |= u64::from(*byte) << (position * 8);
    }
    let mask = (1u64 << size) - 1;
    u32::try_from(value >> (offset % 8) & mask).ok()
}

/// Writes `size` (at most 32) bits at bit `offset`; nothing when they are not all inside `body`.
pub(crate) fn write_bits(body: &mut [u8], offset: u32, size: u32, value: u32) {
    let range = || -> Option<std::ops::RangeInclusive<usize>> {
        let first = usize::try_from(offset / 8).ok()?;
        let last = usize::try_from(offset.checked_add(size)?.checked_sub(1)? / 8).ok()?;
        Some(first..=last)
    };
    let Some(bytes) = range().and_then(|range| body.get_mut(range)) else {
        return;
    };
    let shift = offset % 8;
    let mask = ((1u64 << size) - 1) << shift;
    let value = u64::from(value) << shift & mask;
    for (position, byte) in bytes.iter_mut().enumerate() {
        let [keep, ..] = (!mask >> (position * 8)).to_le_bytes();
        let [set, ..] = (value >> (position * 8)).to_le_bytes();
        *byte = (*byte & keep) | set;
    }
}
