//! The item parser. State is the standard's: globals with a bounded stack, locals cleared at each main item.

use super::{
    Application, Field, MAX_APPLICATIONS, MAX_DEPTH, MAX_DESCRIPTOR_BYTES, MAX_ELEMENT_BITS,
    MAX_FIELDS, MAX_REPORT_BYTES, MAX_USAGE_RANGES, ReportDescriptor, ReportError, ReportKind,
    Usage, UsageRange,
};
use crate::reader::Reader;

const CONSTANT: u32 = 1;
const VARIABLE: u32 = 2;
const RELATIVE: u32 = 4;
const NULL_STATE: u32 = 0x40;

pub(super) fn parse(bytes: &[u8]) -> Result<ReportDescriptor, ReportError> {
    if bytes.len() > MAX_DESCRIPTOR_BYTES {
        return Err(ReportError::TooLong(bytes.len()));
    }
    let mut parser = Parser::default();
    let mut reader = Reader::new(bytes);
    while let Some(prefix) = reader.u8() {
        parser.offset = bytes.len() - reader.remaining() - 1;
        let truncated = ReportError::Truncated {
            offset: parser.offset,
        };
        if prefix == 0xfe {
            // A long item: none is defined, so it is stepped over.
            let length = reader.u8().ok_or(truncated.clone())?;
            reader
                .take(usize::from(length).saturating_add(1))
                .ok_or(truncated)?;
            continue;
        }
        let size = match prefix & 3 {
            3 => 4,
            size => usize::from(size),
        };
        let data = reader.take(size).ok_or(truncated)?;
        parser.item(prefix & 0xfc, data)?;
    }
    parser.finish(bytes.len())
}

/// An item's data, read both ways.
#[derive(Clone, Copy)]
struct Data {
    unsigned: u32,
    signed: i32,
    size: usize,
}

impl Data {
    fn new(bytes: &[u8]) -> Self {
        let (unsigned, signed) = match *bytes {
            [a] => (u32::from(a), i32::from(a.cast_signed())),
            [a, b] => {
                let value = u16::from_le_bytes([a, b]);
                (u32::from(value), i32::from(value.cast_signed()))
            }
            [a, b, c, d] => {
                let value = u32::from_le_bytes([a, b, c, d]);
                (value, value.cast_signed())
            }
            _ => (0, 0),
        };
        Self {
            unsigned,
            signed,
            size: bytes.len(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Globals {
    usage_page: u16,
    logical_minimum: i32,
    logical_maximum: Option<Maximum>,
    report_size: u32,
    report_count: u32,
    report_id: u8,
}

/// A maximum is signed only where the minimum is negative, and the two come in any order.
#[derive(Clone, Copy)]
struct Maximum {
    unsigned: u32,
    signed: i32,
}

/// A usage as an item gave it: with its page when it had four bytes.
#[derive(Clone, Copy)]
struct LocalUsage {
    value: u32,
    has_page: bool,
}

impl LocalUsage {
    fn resolve(self, page: u16) -> Usage {
        if self.has_page {
            Usage(self.value)
        } else {
            Usage(u32::from(page) << 16 | self.value)
        }
    }
}

#[derive(Default)]
struct Parser {
    offset: usize,
    globals: Globals,
    stack: Vec<Globals>,
    /// Usages and ranges since the last main item.
    usages: Vec<(LocalUsage, LocalUsage)>,
    minimum: Option<LocalUsage>,
    in_delimiter: bool,
    depth: usize,
    application: Option<u16>,
    ranges: usize,
    result: Accumulated,
}

#[derive(Default)]
struct Accumulated {
    applications: Vec<Application>,
    fields: Vec<Field>,
    bits: std::collections::BTreeMap<(ReportKind, u8), u32>,
    numbered: bool,
}

impl Parser {
    fn item(&mut self, tag: u8, bytes: &[u8]) -> Result<(), ReportError> {
        let data = Data::new(bytes);
        match tag {
            0x80 => self.field(ReportKind::Input, data.unsigned)?,
            0x90 => self.field(ReportKind::Output, data.unsigned)?,
            0xb0 => self.field(ReportKind::Feature, data.unsigned)?,
            0xa0 => self.open_collection(data.unsigned)?,
            0xc0 => self.close_collection()?,
            0x04 => {
                self.globals.usage_page = u16::try_from(data.unsigned)
                    .map_err(|_| self.out_of_range("the usage page", data.unsigned))?;
            }
            0x14 => self.globals.logical_minimum = data.signed,
            0x24 => {
                self.globals.logical_maximum = Some(Maximum {
                    unsigned: data.unsigned,
                    signed: data.signed,
                });
            }
            0x74 => {
                if data.unsigned > MAX_ELEMENT_BITS {
                    return Err(self.out_of_range("the report size", data.unsigned));
                }
                self.globals.report_size = data.unsigned;
            }
            0x84 => self.report_id(data.unsigned)?,
            0x94 => self.globals.report_count = data.unsigned,
            0xa4 => {
                if self.stack.len() == MAX_DEPTH {
                    return Err(self.too_many("saved states", MAX_DEPTH));
                }
                self.stack.push(self.globals);
            }
            0xb4 => {
                self.globals = self.stack.pop().ok_or(ReportError::Unbalanced {
                    offset: self.offset,
                    what: "pop",
                })?;
            }
            0x08 => {
                let usage = local(data);
                // Of the alternatives inside delimiters the first is the preferred one.
                self.usage(usage, usage)?;
            }
            0x18 => self.minimum = Some(local(data)),
            0x28 => {
                if let Some(minimum) = self.minimum.take() {
                    self.usage(minimum, local(data))?;
                }
            }
            0xa8 => self.in_delimiter = data.unsigned == 1,
            // Physical ranges, units, designators, strings and reserved tags say nothing that is acted on.
            _ => {}
        }
        Ok(())
    }

    fn out_of_range(&self, what: &'static str, value: u32) -> ReportError {
        ReportError::OutOfRange {
            offset: self.offset,
            what,
            value,
        }
    }

    fn too_many(&self, what: &'static str, limit: usize) -> ReportError {
        ReportError::TooMany {
            offset: self.offset,
            what,
            limit,
        }
    }

    fn usage(&mut self, first: LocalUsage, last: LocalUsage) -> Result<(), ReportError> {
        if self.ranges.saturating_add(self.usages.len()) >= MAX_USAGE_RANGES {
            return Err(self.too_many("usages", MAX_USAGE_RANGES));
        }
        self.usages.push((first, last));
        Ok(())
    }

    fn report_id(&mut self, value: u32) -> Result<(), ReportError> {
        match u8::try_from(value) {
            Ok(identifier @ 1..) => {
                // A report ID after unnumbered fields would shift what was laid out already.
                if !self.result.numbered && !self.result.bits.is_empty() {
                    return Err(self.out_of_range("a report ID after unnumbered fields", value));
                }
                self.globals.report_id = identifier;
                self.result.numbered = true;
                Ok(())
            }
            _ => Err(self.out_of_range("the report ID", value)),
        }
    }

    fn open_collection(&mut self, kind: u32) -> Result<(), ReportError> {
        if self.depth == MAX_DEPTH {
            return Err(self.too_many("nested collections", MAX_DEPTH));
        }
        if self.depth == 0 {
            if self.result.applications.len() == MAX_APPLICATIONS {
                return Err(self.too_many("top-level collections", MAX_APPLICATIONS));
            }
            // What stands outside of an application collection counts as one all the same: nothing is undeclared by its form.
            let _ = kind;
            let usage = self.usages.first().map_or(Usage(0), |(first, _)| {
                first.resolve(self.globals.usage_page)
            });
            self.application = u16::try_from(self.result.applications.len()).ok();
            self.result.applications.push(Application { usage });
        }
        self.depth += 1;
        self.clear_locals();
        Ok(())
    }

    fn close_collection(&mut self) -> Result<(), ReportError> {
        self.depth = self.depth.checked_sub(1).ok_or(ReportError::Unbalanced {
            offset: self.offset,
            what: "end of collection",
        })?;
        if self.depth == 0 {
            self.application = None;
        }
        self.clear_locals();
        Ok(())
    }

    fn clear_locals(&mut self) {
        self.usages.clear();
        self.minimum = None;
        self.in_delimiter = false;
    }

    fn field(&mut self, kind: ReportKind, flags: u32) -> Result<(), ReportError> {
        let Globals {
            usage_page,
            logical_minimum,
            logical_maximum,
            report_size,
            report_count,
            report_id,
        } = self.globals;
        let application = self.application.ok_or(ReportError::Unbalanced {
            offset: self.offset,
            what: "field outside of any collection",
        })?;
        let limit = u32::try_from(MAX_REPORT_BYTES * 8).unwrap_or(u32::MAX);
        let used = self.result.bits.entry((kind, report_id)).or_insert(0);
        let bit_offset = *used;
        let end = report_size
            .checked_mul(report_count)
            .and_then(|bits| bits.checked_add(bit_offset))
            .filter(|end| *end <= limit);
        let Some(end) = end else {
            return Err(self.out_of_range("the report count", report_count));
        };
        *used = end;
        if flags & CONSTANT == 0 && report_size > 0 && report_count > 0 {
            if self.result.fields.len() == MAX_FIELDS {
                return Err(self.too_many("fields", MAX_FIELDS));
            }
            let usages: Vec<UsageRange> = self
                .usages
                .iter()
                .map(|(first, last)| UsageRange {
                    first: first.resolve(usage_page),
                    last: last.resolve(usage_page),
                })
                // A range that ends before it begins, or in another page, declares nothing.
                .filter(|range| {
                    range.first <= range.last && range.first.page() == range.last.page()
                })
                .collect();
            self.ranges = self.ranges.saturating_add(usages.len());
            self.result.fields.push(Field {
                kind,
                report_id,
                bit_offset,
                bit_size: report_size,
                count: report_count,
                logical_minimum,
                logical_maximum: maximum(logical_minimum, logical_maximum),
                variable: flags & VARIABLE != 0,
                relative: flags & RELATIVE != 0,
                null_state: flags & NULL_STATE != 0,
                usages,
                application,
            });
        }
        self.clear_locals();
        Ok(())
    }

    fn finish(self, length: usize) -> Result<ReportDescriptor, ReportError> {
        if self.depth != 0 {
            return Err(ReportError::Unbalanced {
                offset: length,
                what: "end, inside a collection,",
            });
        }
        Ok(ReportDescriptor {
            applications: self.result.applications,
            fields: self.result.fields,
            bits: self.result.bits,
            numbered: self.result.numbered,
        })
    }
}

fn local(data: Data) -> LocalUsage {
    LocalUsage {
        value: data.unsigned,
        has_page: data.size == 4,
    }
}

/// The logical maximum as a signed number: unsigned unless the minimum is negative.
fn maximum(minimum: i32, maximum: Option<Maximum>) -> i32 {
    match maximum {
        None => 0,
        Some(maximum) if minimum < 0 => maximum.signed,
        Some(maximum) => i32::try_from(maximum.unsigned).unwrap_or(i32::MAX),
    }
}
