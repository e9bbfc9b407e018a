//! What the queue and the release of keys need to know of each input report: which bits are motion and which are states.
//!
//! *Motion* is the value of an axis, a wheel or a pressure: two reports that differ in motion only can become one. Everything else
//! is *state* (keys, buttons, contact numbers, a maker's own data), and no change of it may be lost. All is worked out once, when
//! the device is attached, so that a report costs no allocation.

use std::collections::BTreeMap;

use super::{Field, ReportDescriptor, ReportKind, Usage};

/// The shapes of all input reports of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    numbered: bool,
    shapes: BTreeMap<u8, ReportShape>,
}

/// One input report's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportShape {
    /// Bytes without the ID.
    length: usize,
    /// 1 where a bit is state.
    state_mask: Vec<u8>,
    relative: Vec<Field>,
    /// Fields that are put to rest on release: buttons, arrays, hats, and relative motion.
    resting: Vec<(Field, i32)>,
}

impl Layout {
    /// Works out the shapes.
    #[must_use]
    pub fn new(descriptor: &ReportDescriptor) -> Self {
        let shapes = descriptor
            .report_ids(ReportKind::Input)
            .filter_map(|report_id| {
                let length = descriptor
                    .report_length(ReportKind::Input, report_id)?
                    .saturating_sub(usize::from(descriptor.is_numbered()));
                let fields = descriptor.fields().iter().filter(|field| {
                    field.kind == ReportKind::Input && field.report_id == report_id
                });
                Some((report_id, ReportShape::new(length, fields)))
            })
            .collect();
        Self {
            numbered: descriptor.is_numbered(),
            shapes,
        }
    }

    /// The shape of a report and the report without its ID; `None` for a report that was never declared.
    #[must_use]
    pub fn of<'a>(&self, report: &'a [u8]) -> Option<(&ReportShape, &'a [u8])> {
        let (identifier, body) = self.split(report)?;
        Some((self.shapes.get(&identifier)?, body))
    }

    /// Whether two reports differ in motion at most: `later` may then take the place of both, once their motion is added up.
    #[must_use]
    pub fn same_state(&self, earlier: &[u8], later: &[u8]) -> bool {
        let (Some((shape, a)), Some((_, b))) = (self.of(earlier), self.of(later)) else {
            return false;
        };
        earlier.len() == later.len()
            && self.same_report(earlier, later)
            && shape.states(a).eq(shape.states(b))
    }

    /// Whether two reports have the same ID.
    #[must_use]
    pub fn same_report(&self, one: &[u8], other: &[u8]) -> bool {
        !self.numbered || one.first() == other.first()
    }

    /// Adds `earlier`'s relative motion to `later`. False, and `later` untouched, when a sum would not fit or the states differ.
    pub fn merge(&self, earlier: &[u8], later: &mut [u8]) -> bool {
        if !self.same_state(earlier, later) {
            return false;
        }
        let Some((shape, earlier)) = self.of(earlier) else {
            return false;
        };
        let body = match self.numbered {
            true => later.get_mut(1..).unwrap_or_default(),
            false => later,
        };
        let sum = |field: &Field, index: u32, body: &[u8]| -> Option<i32> {
            let sum = field
                .value(earlier, index)?
                .checked_add(field.value(body, index)?)?;
            (field.logical_minimum..=field.logical_maximum)
                .contains(&sum)
                .then_some(sum)
        };
        let every = || {
            shape
                .relative
                .iter()
                .flat_map(|field| (0..field.count).map(move |index| (field, index)))
        };
        if every().any(|(field, index)| sum(field, index, body).is_none()) {
            return false;
        }
        for (field, index) in every() {
            if let Some(sum) = sum(field, index, body) {
                field.set_value(body, index, sum);
            }
        }
        true
    }

    /// Turns a report into the one the device would send with every key and button up and nothing moving. True when that
    /// changed a state: something was held.
    pub fn release(&self, report: &mut [u8]) -> bool {
        let Some((identifier, _)) = self.split(report) else {
            return false;
        };
        let Some(shape) = self.shapes.get(&identifier) else {
            return false;
        };
        let body = match self.numbered {
            true => report.get_mut(1..).unwrap_or_default(),
            false => report,
        };
        let mut held = false;
        for (field, rest) in &shape.resting {
            for index in 0..field.count {
                let Some(value) = field.value(body, index) else {
                    continue;
                };
                // An array's value that names no usage is at rest already, whatever number it is.
                let resting = value == *rest
                    || (!field.variable
                        && field
                            .usage_of_value(value)
                            .is_none_or(|usage| usage.number() == 0));
                if !resting {
                    held |= !field.relative;
                    field.set_value(body, index, *rest);
                }
            }
        }
        held
    }

    /// Whether a key or a button is down in this report.
    #[must_use]
    pub fn holds(&self, report: &[u8]) -> bool {
        let Some((shape, body)) = self.of(report) else {
            return false;
        };
        shape
            .resting
            .iter()
            .filter(|(field, _)| !field.relative)
            .any(|(field, rest)| {
                (0..field.count).any(|index| {
                    field.value(body, index).is_some_and(|value| {
                        value != *rest
                            && (field.variable
                                || field
                                    .usage_of_value(value)
                                    .is_some_and(|usage| usage.number() != 0))
                    })
                })
            })
    }

    /// The longest input report, its ID included.
    #[must_use]
    pub fn longest(&self) -> usize {
        let body = self.shapes.values().map(|shape| shape.length).max();
        body.unwrap_or(0).saturating_add(usize::from(self.numbered))
    }

    fn split<'a>(&self, report: &'a [u8]) -> Option<(u8, &'a [u8])> {
        if self.numbered {
            report
                .split_first()
                .map(|(identifier, body)| (*identifier, body))
        } else {
            Some((0, report))
        }
    }
}

impl ReportShape {
    fn new<'a>(length: usize, fields: impl Iterator<Item = &'a Field>) -> Self {
        let mut shape = Self {
            length,
            // Undeclared and constant bits count as state, so that nothing unknown is ever merged away.
            state_mask: vec![0xff; length],
            relative: Vec::new(),
            resting: Vec::new(),
        };
        for field in fields {
            shape.add(field);
        }
        shape
    }

    /// The state bits of a report's body, byte by byte.
    fn states(&self, body: &[u8]) -> impl Iterator<Item = u8> {
        let masks = self
            .state_mask
            .iter()
            .copied()
            .chain(std::iter::repeat(0xff));
        body.iter().zip(masks).map(|(byte, mask)| byte & mask)
    }

    fn add(&mut self, field: &Field) {
        if !field.is_numeric() {
            return;
        }
        if !field.variable {
            if field.usages.is_empty() || is_vendor(field) {
                return;
            }
            self.resting.push((field.clone(), array_rest(field)));
            return;
        }
        let motion = field.bit_size > 1
            && (0..field.count.min(64)).all(|index| field.usage(index).is_some_and(is_motion))
            && field.count <= 64;
        if motion {
            for index in 0..field.count {
                for bit in 0..field.bit_size {
                    super::write_bits(
                        &mut self.state_mask,
                        field.element_offset(index).saturating_add(bit),
                        1,
                        0,
                    );
                }
            }
            if field.relative {
                self.relative.push(field.clone());
                self.resting.push((field.clone(), 0));
            }
        } else if field.bit_size == 1 && !is_vendor(field) {
            self.resting.push((field.clone(), 0));
        } else if field.null_state && !is_vendor(field) {
            // A hat switch: the value past its range means "not pressed", where it can be written.
            let past = field.logical_maximum.saturating_add(1);
            let fits = past >= 0 && u64::from(past.unsigned_abs()) < 1 << field.bit_size;
            if fits {
                self.resting.push((field.clone(), past));
            }
        }
    }
}

/// The value of an array's element that names no key.
fn array_rest(field: &Field) -> i32 {
    let names_a_key = field
        .usage_of_value(0)
        .is_some_and(|usage| usage.number() != 0);
    if !names_a_key {
        return 0;
    }
    let past = field.logical_maximum.saturating_add(1);
    if past > 0 && u64::from(past.unsigned_abs()) < 1 << field.bit_size {
        past
    } else {
        0
    }
}

/// A maker's own data has no keys that we could know of.
fn is_vendor(field: &Field) -> bool {
    field
        .usages
        .first()
        .is_none_or(|range| range.first.page() >= 0xff00 || range.first.page() == 0xf1d0)
}

/// Whether a value of this usage is motion.
const fn is_motion(usage: Usage) -> bool {
    match usage.page() {
        // X to wheel; the hat switch (0x39) is a button.
        0x01 => matches!(usage.number(), 0x30..=0x38 | 0x40..=0x46),
        // Simulation: rudder, throttle, accelerator, brake, steering and the like.
        0x02 => matches!(usage.number(), 0xb0..=0xd0),
        // Consumer: horizontal wheel.
        0x0c => usage.number() == 0x238,
        // Digitizer: pressure, barrel pressure, tilt, azimuth, altitude, twist, width and height.
        0x0d => matches!(usage.number(), 0x30 | 0x31 | 0x3d..=0x41 | 0x48 | 0x49),
        _ => false,
    }
}
