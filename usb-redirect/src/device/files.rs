//! Descriptor sets in files: a device described by text, for the simulator and for replaying devices that others recorded.
//!
//! One device per file, one `key value` per line, `#` begins a comment. Bytes are in hexadecimal, blanks between them are ignored, and a
//! key that comes again adds to its value:
//!
//! ```text
//! speed full            # low, full, high or super
//! manufacturer Example
//! product Keyboard
//! serial 1
//! device 12 01 00 02 00 00 00 08 09 12 01 00 00 01 01 02 03 01
//! configuration 09 02 22 00 01 01 00 a0 32 09 04 00 00 01 03 01 01 00 ...
//! report 0 05 01 09 06 a1 01 ...
//! ```
//!
//! A file that gives only `report` lines gets a device made around them: one boot-less HID interface for each, polled every millisecond.

use std::collections::BTreeMap;

use super::{Description, DescriptionError, Names, clean_name};
use crate::descriptor::Speed;
use crate::report::{MAX_DESCRIPTOR_BYTES, ReportDescriptor, ReportKind};

/// The longest file that is read.
pub const MAX_FILE: usize = 256 * 1024;

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Too long.
    #[error("the descriptor file has {0} bytes; at most {MAX_FILE} are read")]
    TooLong(usize),
    /// A line that says nothing known.
    #[error("line {line}: {what}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The descriptors are wrong.
    #[error(transparent)]
    Description(#[from] DescriptionError),
}

/// A file's content, before it is checked as a whole.
#[derive(Clone, Debug, Default)]
pub struct DescriptionFile {
    speed: Option<Speed>,
    names: Names,
    device: Vec<u8>,
    configuration: Vec<u8>,
    reports: BTreeMap<u8, Vec<u8>>,
}

impl DescriptionFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// With the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        if text.len() > MAX_FILE {
            return Err(FileError::TooLong(text.len()));
        }
        let mut file = Self::default();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default().trim();
            if !content.is_empty() {
                file.line(content).map_err(|what| FileError::Line {
                    line: number.saturating_add(1),
                    what,
                })?;
            }
        }
        Ok(file)
    }

    /// A file that holds one report descriptor and nothing else.
    #[must_use]
    pub fn from_report(report: Vec<u8>) -> Self {
        Self {
            reports: BTreeMap::from([(0, report)]),
            ..Self::default()
        }
    }

    fn line(&mut self, content: &str) -> Result<(), String> {
        let (key, value) = content
            .split_once(char::is_whitespace)
            .unwrap_or((content, ""));
        match key {
            "speed" => {
                self.speed = Some(match value.trim() {
                    "low" => Speed::Low,
                    "full" => Speed::Full,
                    "high" => Speed::High,
                    "super" => Speed::Super,
                    other => {
                        return Err(format!("speed {other:?} is not low, full, high or super"));
                    }
                });
            }
            "manufacturer" => self.names.manufacturer = clean_name(value),
            "product" => self.names.product = clean_name(value),
            "serial" => self.names.serial = clean_name(value),
            "device" => self.device.extend(bytes(value)?),
            "configuration" => self.configuration.extend(bytes(value)?),
            "report" => {
                let (interface, value) = value
                    .trim()
                    .split_once(char::is_whitespace)
                    .ok_or("a report line names its interface, then bytes")?;
                let interface = interface
                    .parse()
                    .map_err(|_| format!("interface {interface:?} is no number up to 255"))?;
                let report = self.reports.entry(interface).or_default();
                report.extend(bytes(value)?);
                if report.len() > MAX_DESCRIPTOR_BYTES {
                    return Err(format!(
                        "interface {interface} has too long a report descriptor"
                    ));
                }
            }
            other => return Err(format!("{other:?} is not a key of descriptor files")),
        }
        Ok(())
    }

    /// Checks everything and makes the description.
    ///
    /// # Errors
    /// When a descriptor is wrong.
    pub fn describe(self) -> Result<Description, FileError> {
        let speed = self.speed.unwrap_or(Speed::Full);
        let configuration = if self.configuration.is_empty() {
            configuration(speed, &self.reports)?
        } else {
            self.configuration
        };
        let device = if self.device.is_empty() {
            let string = |text: &str, index| if text.is_empty() { 0 } else { index };
            let names = &self.names;
            vec![
                18,
                1,
                0,
                2,
                0,
                0,
                0,
                64,
                0x09,
                0x12,
                0x01,
                0x00,
                0,
                1,
                string(&names.manufacturer, 1),
                string(&names.product, 2),
                string(&names.serial, 3),
                1,
            ]
        } else {
            self.device
        };
        let mut description = Description::new(speed, &device, &configuration, self.reports)?;
        description.names = self.names;
        Ok(description)
    }
}

/// A configuration around report descriptors: one HID interface for each, with an OUT endpoint where it declares output reports.
fn configuration(speed: Speed, reports: &BTreeMap<u8, Vec<u8>>) -> Result<Vec<u8>, FileError> {
    let interval = match speed {
        Speed::Low => 10,
        Speed::Full => 1,
        Speed::High | Speed::Super => 4,
    };
    let most = if matches!(speed, Speed::High | Speed::Super) {
        1024
    } else {
        64
    };
    let mut body = Vec::new();
    let mut count = 0u8;
    for (interface, raw) in reports.iter().take(15) {
        let parsed = ReportDescriptor::parse(raw).map_err(|error| DescriptionError::Report {
            interface: *interface,
            error,
        })?;
        let longest = |kind| {
            parsed
                .report_ids(kind)
                .filter_map(|identifier| parsed.report_length(kind, identifier))
                .max()
        };
        let packet = |length: Option<usize>| {
            u16::try_from(length.unwrap_or(8).clamp(1, most))
                .unwrap_or(64)
                .to_le_bytes()
        };
        let output = longest(ReportKind::Output);
        let [l0, l1] = u16::try_from(raw.len()).unwrap_or(u16::MAX).to_le_bytes();
        count = count.saturating_add(1);
        body.extend([
            9,
            4,
            *interface,
            0,
            1 + u8::from(output.is_some()),
            3,
            0,
            0,
            0,
        ]);
        body.extend([9, 0x21, 0x11, 1, 0, 1, 0x22, l0, l1]);
        let [p0, p1] = packet(longest(ReportKind::Input));
        body.extend([7, 5, 0x80 | count, 3, p0, p1, interval]);
        if output.is_some() {
            let [p0, p1] = packet(output);
            body.extend([7, 5, count, 3, p0, p1, interval]);
        }
    }
    let [t0, t1] = u16::try_from(body.len().saturating_add(9))
        .unwrap_or(u16::MAX)
        .to_le_bytes();
    let mut all = vec![9, 2, t0, t1, count, 1, 0, 0x80, 50];
    all.extend(body);
    Ok(all)
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| {
            c.to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or_else(|| format!("{c:?} is no hexadecimal digit"))
        })
        .collect::<Result<_, _>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err("half a byte".to_owned());
    }
    Ok(digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_report_descriptor_gets_a_device_around_it() {
        let text = "product Mouse\u{202e} one\nspeed full # as most\nreport 0 05 01 09 02 a1 01 05 09 19 01 29 03\nreport 0 15 00 25 01 95 03 75 01 81 02 95 01 75 05 81 03 c0\n";
        let description = DescriptionFile::parse(text).unwrap().describe().unwrap();
        assert_eq!(description.names.product, "Mouse? one");
        assert_eq!(description.configuration.report_endpoints().count(), 1);
        assert_eq!(description.reports[&0].layout.longest(), 1);
    }

    #[test]
    fn wrong_lines_are_named() {
        for text in [
            "speed warp",
            "report 0 5",
            "report 0 zz",
            "report x 05",
            "what 1",
        ] {
            assert!(
                matches!(
                    DescriptionFile::parse(text),
                    Err(FileError::Line { line: 1, .. })
                ),
                "{text}"
            );
        }
    }
}
