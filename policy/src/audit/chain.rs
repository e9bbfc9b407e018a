//! Checking a log: every record follows the one before, and nothing is missing at either end.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::LINE_LENGTH;
use super::record::{Event, LineError, Record};
use super::writer::Head;
use crate::signature::PublicKey;
use crate::values::{from_hex, hex};

/// No more findings than this are told.
const FINDINGS: usize = 100;

/// What is wrong at a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// The line is no record.
    NotARecord {
        /// Why.
        why: &'static str,
    },
    /// The record before is not the one that this one follows.
    Changed {
        /// The record that was changed: the one before.
        seq: u64,
    },
    /// Records are gone.
    Missing {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The record stands where it was not written.
    Moved {
        /// Which.
        seq: u64,
    },
    /// The record stands there a second time.
    Repeated {
        /// Which.
        seq: u64,
    },
    /// A checkpoint is not signed by the endpoint's key.
    BadCheckpoint {
        /// Why.
        why: &'static str,
    },
    /// The end of the log is gone: the head knows more records.
    CutOff {
        /// The last that is there.
        last: u64,
        /// The last that the head knows.
        known: u64,
    },
    /// The beginning of the log is gone, and not by its own rotation.
    CutOffFront {
        /// The first that is there.
        first: u64,
        /// The first that should be.
        known: u64,
    },
    /// Records were synced that an opening did not find any more, or it found the log damaged.
    ReportedLoss,
    /// The whole log is gone.
    Empty,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord { why } => write!(formatter, "this is no record: {why}"),
            Self::Changed { seq } => {
                write!(formatter, "record {seq} was changed after it was written")
            }
            Self::Missing { first, last } if first == last => {
                write!(formatter, "record {first} is missing before this line")
            }
            Self::Missing { first, last } => write!(
                formatter,
                "records {first} to {last} are missing before this line"
            ),
            Self::Moved { seq } => write!(formatter, "record {seq} was moved here from elsewhere"),
            Self::Repeated { seq } => write!(formatter, "record {seq} stands here a second time"),
            Self::BadCheckpoint { why } => {
                write!(formatter, "this checkpoint cannot be trusted: {why}")
            }
            Self::CutOff { last, known } => write!(
                formatter,
                "the end is cut off: the last record here is {last}, and {known} was written"
            ),
            Self::CutOffFront { first, known } => write!(
                formatter,
                "the beginning is cut off: the first record here is {first}, and {known} should be kept"
            ),
            Self::ReportedLoss => formatter.write_str(
                "when the log was opened here, records that had been synced were gone or damaged",
            ),
            Self::Empty => formatter.write_str("there is no record at all"),
        }
    }
}

/// A fault and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.fault)
    }
}

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// It was closed in order.
    Closed,
    /// It is open, or was when its endpoint stopped.
    Open,
    /// It ends in the middle of a record, as after a power cut.
    Torn,
}

/// What a check of a log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that are in order.
    pub records: u64,
    /// The first and the last of them.
    pub first: Option<u64>,
    /// The last.
    pub last: Option<u64>,
    /// The hash of the last line: note it elsewhere, and a later check can be held against it.
    pub head: String,
    /// Checkpoints with a good signature; none are checked without the key.
    pub checkpoints: u64,
    /// How it ends.
    pub tail: Tail,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Checks lines one after the other.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The last record's number and its line's hash.
    last: Option<(u64, [u8; 32])>,
}

impl Chain {
    /// A chain that goes on behind a record.
    pub fn after(seq: u64, hash: [u8; 32]) -> Self {
        Self {
            last: Some((seq, hash)),
        }
    }

    /// The last record's number and its line's hash.
    pub fn last(&self) -> Option<(u64, [u8; 32])> {
        self.last
    }

    /// Takes a line (without its end). After a fault the chain goes on behind this line, where it is a record.
    ///
    /// # Errors
    /// What is wrong, with the record if it is one.
    pub fn push(&mut self, line: &[u8]) -> Result<Record, Box<(Fault, Option<Record>)>> {
        let record = Record::from_line(line).map_err(|error| {
            let why = match error {
                LineError::TooLong => "the line is longer than any record",
                LineError::NotARecord => "it is not of the form of one",
                LineError::OtherVersion => {
                    "it is of another version of the format; use a newer Bulkhead"
                }
            };
            Box::new((Fault::NotARecord { why }, None))
        })?;
        let hash = Record::hash(line);
        let before = self.last;
        let fault = match before {
            None if record.seq == 1 && record.prev != hex(&[0; 32]) => {
                Some(Fault::Changed { seq: 1 })
            }
            None => None,
            Some((seq, before)) if record.seq == seq && before == hash => {
                Some(Fault::Repeated { seq })
            }
            Some((seq, _)) if record.seq <= seq => Some(Fault::Moved { seq: record.seq }),
            Some((seq, _)) if record.seq > seq + 1 => Some(Fault::Missing {
                first: seq + 1,
                last: record.seq - 1,
            }),
            Some((seq, before)) if record.prev != hex(&before) => Some(Fault::Changed { seq }),
            Some(_) => None,
        };
        if !matches!(fault, Some(Fault::Repeated { .. } | Fault::Moved { .. })) {
            self.last = Some((record.seq, hash));
        }
        match fault {
            Some(fault) => Err(Box::new((fault, Some(record)))),
            None => Ok(record),
        }
    }
}

/// The message that a checkpoint signs.
pub(crate) fn checkpoint_message(segment: u64, records: u64, seq: u64, prev: &str) -> Vec<u8> {
    format!(
        "bulkhead audit checkpoint v1\0segment {segment} records {records} seq {seq} prev {prev}"
    )
    .into_bytes()
}

fn checkpoint_is_signed(record: &Record, key: &PublicKey) -> Result<(), &'static str> {
    let Event::Checkpoint {
        segment,
        records,
        key: named,
        signature,
    } = &record.event
    else {
        return Ok(());
    };
    if *named != key.to_string() {
        return Err("it is signed by another key than the endpoint's");
    }
    let message = checkpoint_message(*segment, *records, record.seq, &record.prev);
    match from_hex(signature) {
        Some(signature) if key.verifies(&message, &signature) => Ok(()),
        _ => Err("its signature does not fit"),
    }
}

/// Checks a log, file after file in their order. `head` tells where it must begin and end, `key` who signs checkpoints.
pub fn verify<'a>(
    files: impl IntoIterator<Item = (String, &'a [u8])>,
    head: Option<&Head>,
    key: Option<&PublicKey>,
) -> Report {
    let mut chain = Chain::default();
    let mut report = Report {
        records: 0,
        first: None,
        last: None,
        head: String::new(),
        checkpoints: 0,
        tail: Tail::Open,
        findings: Vec::new(),
    };
    let mut moved: BTreeSet<u64> = BTreeSet::new();
    let mut place = (String::new(), 0);
    for (file, bytes) in files {
        report.tail = Tail::Open;
        let mut rest = bytes;
        let mut line_number = 0;
        while !rest.is_empty() {
            line_number += 1;
            let Some(at) = rest
                .iter()
                .take(LINE_LENGTH + 1)
                .position(|byte| *byte == b'\n')
            else {
                if rest.len() > LINE_LENGTH || rest.contains(&b'\n') {
                    let end = rest
                        .iter()
                        .position(|byte| *byte == b'\n')
                        .map_or(rest.len(), |at| at + 1);
                    let why = "the line is longer than any record";
                    report.findings.push(Finding {
                        file: file.clone(),
                        line: line_number,
                        fault: Fault::NotARecord { why },
                    });
                    rest = rest.get(end..).unwrap_or(&[]);
                    continue;
                }
                report.tail = Tail::Torn;
                break;
            };
            let line = rest.get(..at).unwrap_or(&[]);
            rest = rest.get(at + 1..).unwrap_or(&[]);
            place = (file.clone(), line_number);
            let record = match chain.push(line) {
                Ok(record) => record,
                Err(refused) => {
                    let (fault, record) = *refused;
                    // A record that was changed stands on the line before.
                    let line = if matches!(fault, Fault::Changed { .. }) && line_number > 1 {
                        line_number - 1
                    } else {
                        line_number
                    };
                    if let Fault::Moved { seq } = &fault {
                        moved.insert(*seq);
                    }
                    report.findings.push(Finding {
                        file: file.clone(),
                        line,
                        fault,
                    });
                    let Some(record) = record else { continue };
                    record
                }
            };
            report.records += 1;
            report.first = report.first.or(Some(record.seq));
            report.tail = if matches!(record.event, Event::Closed {}) {
                Tail::Closed
            } else {
                Tail::Open
            };
            let mut find = |fault| {
                report.findings.push(Finding {
                    file: file.clone(),
                    line: line_number,
                    fault,
                });
            };
            match (&record.event, key) {
                (Event::Checkpoint { .. }, Some(key)) => match checkpoint_is_signed(&record, key) {
                    Ok(()) => report.checkpoints += 1,
                    Err(why) => find(Fault::BadCheckpoint { why }),
                },
                (
                    Event::Opened {
                        missing, damage, ..
                    },
                    _,
                ) if *missing > 0 || damage.is_some() => find(Fault::ReportedLoss),
                _ => {}
            }
        }
    }
    if let Some((seq, hash)) = chain.last() {
        report.last = Some(seq);
        report.head = hex(&hash);
    }
    // What was moved is not missing where it was.
    report.findings.retain(|finding| !matches!(finding.fault, Fault::Missing { first, last } if (first..=last).all(|seq| moved.contains(&seq))));
    let (file, line) = place;
    let at_end = |fault| Finding {
        file: file.clone(),
        line,
        fault,
    };
    if let Some(head) = head {
        match (report.last, chain.last()) {
            (None, _) => report.findings.push(at_end(Fault::Empty)),
            (Some(last), _) if last < head.seq => report.findings.push(at_end(Fault::CutOff {
                last,
                known: head.seq,
            })),
            (Some(last), Some((_, hash))) if last == head.seq && hex(&hash) != head.hash => {
                report.findings.push(at_end(Fault::Changed { seq: last }));
            }
            _ => {}
        }
        if let Some(first) = report.first.filter(|first| *first > head.oldest) {
            report.findings.push(Finding {
                line: 1,
                ..at_end(Fault::CutOffFront {
                    first,
                    known: head.oldest,
                })
            });
        }
    } else if report.first.is_none() {
        report.findings.push(at_end(Fault::Empty));
    }
    report.findings.truncate(FINDINGS);
    report
}
