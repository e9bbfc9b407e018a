//! What may pass between a device and a zone once the policy has let it in: the report filter and the limits on requests.
//!
//! A device that was let in as a mouse may send what a mouse sends and no more: reports that were never declared are dropped, bytes past
//! a report's end are cut, usages of collections that were not granted and power keys are put to rest in place. Keys that are pressed
//! faster than a person types stop the stream until someone was asked. The zone's own requests are held to what the device declared.

mod requests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

pub use requests::RequestFilter;

use crate::report::{Field, Layout, ReportDescriptor, ReportKind, Usage};

/// What the policy granted one device in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The top-level usages that may pass; `None` passes all that were declared at attach.
    pub applications: Option<BTreeSet<Usage>>,
    /// Power, sleep and wake keys may pass.
    pub power_keys: bool,
    /// Alt with PrintScreen, Linux' magic SysRq, may pass.
    pub sysrq: bool,
    /// How many keys may go down in a second, with a burst of the same number; `None` does not look.
    pub typing_rate: Option<u32>,
    /// How many control and OUT transfers that change something may come in a second.
    pub request_rate: u32,
    /// Requests that the maker defined, and firmware updates, may pass.
    pub vendor_requests: bool,
    /// Digits that must be typed on a keyboard before anything of it passes.
    pub challenge: Option<String>,
}

impl Default for Grant {
    /// What a rule that says `allow` and no more grants.
    fn default() -> Self {
        Self {
            applications: None,
            power_keys: false,
            sysrq: false,
            typing_rate: Some(50),
            request_rate: 200,
            vendor_requests: false,
            challenge: None,
        }
    }
}

/// What becomes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its first bytes pass, this many.
    Pass(usize),
    /// It was never declared.
    Undeclared,
    /// The stream is held, or the code was not typed yet: nothing passes.
    Held,
    /// With this report keys come faster than a person types: from now on the stream is held. The report was changed to let go of
    /// everything; its first bytes pass, this many.
    TooFast(usize),
    /// With this report the code is complete: from the next one on reports pass.
    CodeTyped,
}

/// A bucket of tokens: `rate` a second, at most as many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: u32,
    /// Tokens times a million.
    level: u64,
    filled: Duration,
}

impl Bucket {
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            rate,
            level: u64::from(rate).saturating_mul(1_000_000),
            filled: Duration::ZERO,
        }
    }

    pub(crate) fn take(&mut self, count: u32, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled).as_micros();
        self.filled = self.filled.max(now);
        let gained = u64::try_from(passed)
            .unwrap_or(u64::MAX)
            .saturating_mul(self.rate.into());
        let full = u64::from(self.rate).saturating_mul(1_000_000);
        self.level = self.level.saturating_add(gained).min(full);
        match self
            .level
            .checked_sub(u64::from(count).saturating_mul(1_000_000))
        {
            Some(left) => {
                self.level = left;
                true
            }
            None => false,
        }
    }
}

/// The filter of one interface's input reports. It costs no allocation per report.
#[derive(Debug)]
pub struct ReportFilter {
    declared: Table,
    boot: Option<Table>,
    in_boot: bool,
    typing: Option<Bucket>,
    challenge: Option<Challenge>,
    held: bool,
    /// The keys that were down in the last report.
    down: Vec<Usage>,
    now_down: Vec<Usage>,
}

/// What is done to the reports of one descriptor.
#[derive(Debug)]
struct Table {
    descriptor: ReportDescriptor,
    layout: Layout,
    fields: Vec<Rule>,
    sysrq: bool,
}

#[derive(Debug)]
struct Rule {
    field: Field,
    /// Nothing of this field passes.
    denied: bool,
    /// Single usages that do not pass.
    power: bool,
    /// Keys are looked at one by one.
    keys: bool,
}

#[derive(Debug)]
struct Challenge {
    code: Vec<u8>,
    typed: usize,
}

impl Table {
    fn new(descriptor: ReportDescriptor, grant: &Grant) -> Self {
        let fields = descriptor
            .fields()
            .iter()
            .filter(|field| field.kind == ReportKind::Input)
            .map(|field| {
                let application = descriptor
                    .applications()
                    .get(usize::from(field.application))
                    .map_or(Usage(0), |application| application.usage);
                let granted = grant
                    .applications
                    .as_ref()
                    .is_none_or(|granted| granted.contains(&application));
                Rule {
                    denied: !granted,
                    power: !grant.power_keys,
                    keys: field.usages.iter().any(|range| range.first.page() == 7),
                    field: field.clone(),
                }
            })
            .collect();
        Self {
            layout: Layout::new(&descriptor),
            descriptor,
            fields,
            sysrq: grant.sysrq,
        }
    }

    /// Puts to rest what may not pass, and lists the keys that are down. `None` for a report that was never declared.
    fn clean(&self, report: &mut [u8], down: &mut Vec<Usage>) -> Option<usize> {
        let (report_id, _) = self.descriptor.split(report)?;
        let declared = self
            .descriptor
            .report_length(ReportKind::Input, report_id)?;
        let length = report.len().min(declared);
        let body = report
            .get_mut(usize::from(self.descriptor.is_numbered())..length)
            .unwrap_or_default();
        let rules = || {
            self.fields
                .iter()
                .filter(|rule| rule.field.report_id == report_id)
        };
        for rule in rules() {
            rule.clean(body, down);
        }
        let alt = down
            .iter()
            .any(|usage| matches!(usage.0, 0x0007_00e2 | 0x0007_00e6));
        if alt && !self.sysrq {
            for rule in rules().filter(|rule| rule.keys) {
                rule.clear(body, PRINT_SCREEN);
            }
            down.retain(|usage| *usage != PRINT_SCREEN);
        }
        Some(length)
    }
}

const PRINT_SCREEN: Usage = Usage::new(7, 0x46);

impl Rule {
    fn clean(&self, body: &mut [u8], down: &mut Vec<Usage>) {
        let field = &self.field;
        if !field.is_numeric() {
            if self.denied {
                for bit in 0..field.bit_size.saturating_mul(field.count) {
                    crate::report::write_bits(body, field.bit_offset.saturating_add(bit), 1, 0);
                }
            }
            return;
        }
        for index in 0..field.count {
            let Some(value) = field.value(body, index) else {
                break;
            };
            let usage = if field.variable {
                field.usage(index).filter(|_| value != 0)
            } else {
                field.usage_of_value(value)
            };
            let refused = self.denied
                || usage.is_some_and(|usage| self.power && is_power(usage))
                // An array's value that names nothing declared. A maker's own arrays are raw bytes.
                || (!field.variable && usage.is_none() && value != 0 && names_keys(field));
            if refused {
                field.set_value(body, index, rest(field));
            } else if self.keys
                && down.len() < 256
                && let Some(usage) = usage
                && usage.page() == 7
                && usage.number() > 3
            {
                down.push(usage);
            }
        }
    }

    /// Puts one key to rest.
    fn clear(&self, body: &mut [u8], key: Usage) {
        for index in 0..self.field.count {
            let Some(value) = self.field.value(body, index) else {
                break;
            };
            let usage = if self.field.variable {
                self.field.usage(index)
            } else {
                self.field.usage_of_value(value)
            };
            if usage == Some(key) {
                self.field.set_value(body, index, rest(&self.field));
            }
        }
    }
}

/// Whether an array's values name keys of a standard page: desktop, keyboard, buttons, telephony, consumer.
fn names_keys(field: &Field) -> bool {
    let page = field.usages.first().map(|range| range.first.page());
    matches!(page, Some(0x01 | 0x07 | 0x09 | 0x0b | 0x0c))
}

/// The value that says nothing is pressed: 0, unless 0 names a key of an array.
fn rest(field: &Field) -> i32 {
    let zero_is_a_key = !field.variable
        && field
            .usage_of_value(0)
            .is_some_and(|usage| usage.number() != 0);
    if zero_is_a_key {
        field.logical_maximum.saturating_add(1)
    } else {
        0
    }
}

/// Keys that turn the machine off or wake it: system control, the keyboard's own power key, the consumer page's.
const fn is_power(usage: Usage) -> bool {
    matches!(
        usage.0,
        0x0001_0081..=0x0001_0083
            | 0x0001_008f
            | 0x0001_00a0..=0x0001_00a8
            | 0x0007_0066
            | 0x000c_0030..=0x000c_0035
    )
}

impl ReportFilter {
    /// The filter of an interface with this report descriptor; `boot` is its protocol number (1 keyboard, 2 mouse) when it has a boot
    /// protocol.
    #[must_use]
    pub fn new(descriptor: &ReportDescriptor, boot: Option<u8>, grant: &Grant) -> Self {
        let is_keyboard = descriptor
            .fields()
            .iter()
            .any(|field| field.usages.iter().any(|range| range.first.page() == 7));
        Self {
            declared: Table::new(descriptor.clone(), grant),
            boot: boot
                .and_then(crate::report::boot_protocol)
                .map(|descriptor| Table::new(descriptor, grant)),
            in_boot: false,
            typing: grant.typing_rate.map(Bucket::new),
            challenge: grant
                .challenge
                .as_ref()
                .filter(|_| is_keyboard)
                .map(|code| Challenge {
                    code: code.bytes().filter(u8::is_ascii_digit).collect(),
                    typed: 0,
                }),
            held: false,
            down: Vec::with_capacity(256),
            now_down: Vec::with_capacity(256),
        }
    }

    /// The zone switched the interface to its boot protocol or back.
    pub fn set_boot_protocol(&mut self, boot: bool) {
        self.in_boot = boot && self.boot.is_some();
    }

    /// What reports look like now.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.table().layout
    }

    fn table(&self) -> &Table {
        match &self.boot {
            Some(boot) if self.in_boot => boot,
            _ => &self.declared,
        }
    }

    /// Someone was asked and said that it may go on.
    pub fn resume(&mut self, now: Duration) {
        self.held = false;
        if let Some(typing) = &mut self.typing {
            *typing = Bucket::new(typing.rate);
            typing.filled = now;
        }
    }

    /// Looks at a report, changes it in place where something may not pass, and says what becomes of it.
    pub fn inspect(&mut self, report: &mut [u8], now: Duration) -> Verdict {
        let mut down = std::mem::take(&mut self.now_down);
        down.clear();
        let cleaned = self.table().clean(report, &mut down);
        let verdict = match cleaned {
            None => Verdict::Undeclared,
            Some(length) => self.judge(report, length, &down, now),
        };
        if cleaned.is_some() {
            std::mem::swap(&mut self.down, &mut down);
        }
        self.now_down = down;
        verdict
    }

    fn judge(
        &mut self,
        report: &mut [u8],
        length: usize,
        down: &[Usage],
        now: Duration,
    ) -> Verdict {
        let before = &self.down;
        let mut pressed = down.iter().filter(|usage| !before.contains(usage));
        if let Some(challenge) = &mut self.challenge {
            if pressed.any(|usage| challenge.key(*usage)) {
                self.challenge = None;
                return Verdict::CodeTyped;
            }
            return Verdict::Held;
        }
        if self.held {
            return Verdict::Held;
        }
        let count = u32::try_from(pressed.count()).unwrap_or(u32::MAX);
        let in_time = self
            .typing
            .as_mut()
            .is_none_or(|typing| typing.take(count, now));
        if in_time {
            return Verdict::Pass(length);
        }
        self.held = true;
        if let Some(report) = report.get_mut(..length) {
            self.table().layout.release(report);
        }
        Verdict::TooFast(length)
    }
}

impl Challenge {
    /// A key went down; true when the code is complete. A wrong digit begins anew.
    fn key(&mut self, usage: Usage) -> bool {
        let digit = match usage.0 {
            0x0007_001e..=0x0007_0026 => usage.0 - 0x0007_001e + 1,
            0x0007_0059..=0x0007_0061 => usage.0 - 0x0007_0059 + 1,
            0x0007_0027 | 0x0007_0062 => 0,
            _ => return false,
        };
        let digit = b'0'.saturating_add(u8::try_from(digit).unwrap_or(0));
        if self.code.get(self.typed) == Some(&digit) {
            self.typed = self.typed.saturating_add(1);
        } else {
            self.typed = usize::from(self.code.first() == Some(&digit));
        }
        !self.code.is_empty() && self.typed >= self.code.len()
    }
}
