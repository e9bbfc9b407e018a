//! Writing the log so that a kill or a power cut between any two writes loses at most what was not synced, and shows it.

use std::io;

use serde::{Deserialize, Serialize};

use super::LINE_LENGTH;
use super::chain::{Chain, checkpoint_message};
use super::record::{Event, Record};
use crate::disk::Disk;
use crate::install::ENGINE;
use crate::policy::Audit;
use crate::signature::PrivateKey;
use crate::values::{Timestamp, from_hex, hex};

const HEAD: &str = "audit-head";
/// Files larger than this are not read; the policy's largest segment and a record more.
const SEGMENT_MOST: usize = (1 << 30) + 2 * LINE_LENGTH;

/// The name of a file of the log.
pub fn segment_name(number: u64) -> String {
    format!("audit-{number:08}.log")
}

fn segment_number(name: &str) -> Option<u64> {
    name.strip_prefix("audit-")?
        .strip_suffix(".log")?
        .parse()
        .ok()
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The storage failed; often it is full.
    #[error("the audit log could not be written: {0}; make room where it is kept")]
    Disk(#[from] io::Error),
    /// The record is too long to be one.
    #[error("a record of {0} bytes is longer than a record may be, and was not written")]
    TooLong(usize),
}

/// Where the log begins and ends, as far as it is synced. Kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last synced record.
    pub seq: u64,
    /// The hash of its line.
    pub hash: String,
    /// The first record that is kept.
    pub oldest: u64,
}

impl Head {
    /// Reads the head beside a log; none where there is none or it is damaged.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn read(disk: &impl Disk) -> io::Result<Option<Self>> {
        Ok(disk
            .read(HEAD, 4096)?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// An open log.
#[derive(Debug)]
pub struct Log<D> {
    disk: D,
    key: PrivateKey,
    segment_bytes: u64,
    keep: u64,
    segment: u64,
    /// Bytes and records of the file that is written to.
    length: u64,
    records: u64,
    seq: u64,
    hash: [u8; 32],
    /// First record of each file that is kept, oldest first.
    firsts: Vec<(u64, u64)>,
    /// Records that could not be written since the last that could.
    dropped: u64,
    unsynced: bool,
    was_closed: bool,
}

impl<D: Disk> Log<D> {
    /// Opens a log, or begins one. What an unfinished write left at its end is cut off; what is wrong is recorded.
    ///
    /// # Errors
    /// [`AuditError`] where the storage fails.
    pub fn open(
        disk: D,
        key: PrivateKey,
        settings: &Audit,
        now: Timestamp,
    ) -> Result<Self, AuditError> {
        let head = Head::read(&disk)?;
        let mut numbers: Vec<u64> = disk
            .list()?
            .iter()
            .filter_map(|name| segment_number(name))
            .collect();
        numbers.sort_unstable();
        let mut log = Self {
            disk,
            key,
            segment_bytes: settings.segment.0,
            keep: u64::from(settings.keep),
            segment: 0,
            length: 0,
            records: 0,
            seq: 0,
            hash: [0; 32],
            firsts: Vec::new(),
            dropped: 0,
            unsynced: false,
            was_closed: true,
        };
        let mut opening = Opening {
            clean: true,
            ..Opening::default()
        };
        let mut last_is_finished = true;
        for number in numbers.iter().rev().skip(1).rev() {
            if let Some(first) = log.first_of(*number)? {
                log.firsts.push((*number, first));
            }
        }
        if let Some((last, before)) = numbers.split_last() {
            last_is_finished = log.take_last(*last, before, head.as_ref(), &mut opening)?;
        }
        if let Some(head) = head.as_ref().filter(|head| head.seq > log.seq) {
            // Go on behind what was known, so that what is gone leaves a gap.
            opening.missing = head.seq - log.seq;
            opening.clean = false;
            log.seq = head.seq;
            log.hash = from_hex(&head.hash)
                .and_then(|hash| hash.try_into().ok())
                .unwrap_or([0; 32]);
            last_is_finished = true;
        }
        if last_is_finished {
            log.begin_segment(numbers.last().copied().unwrap_or(0) + 1);
        }
        log.was_closed = opening.clean;
        let (major, minor, patch) = ENGINE;
        let event = Event::Opened {
            engine: format!("{major}.{minor}.{patch}"),
            clean: opening.clean,
            torn_bytes: opening.torn_bytes,
            missing: opening.missing,
            damage: opening.damage,
        };
        log.append(event, now)?;
        log.sync()?;
        Ok(log)
    }

    /// Whether the log was closed in order before it was opened; true of a new one.
    pub fn was_closed(&self) -> bool {
        self.was_closed
    }

    fn begin_segment(&mut self, number: u64) {
        self.segment = number;
        self.length = 0;
        self.records = 0;
        self.firsts.push((number, self.seq + 1));
    }

    fn first_of(&self, number: u64) -> Result<Option<u64>, AuditError> {
        let bytes = self
            .disk
            .read(&segment_name(number), SEGMENT_MOST)?
            .unwrap_or_default();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
        Ok(Record::from_line(line).ok().map(|record| record.seq))
    }

    /// Reads the last file up to its end. Gives whether it is finished, so that the next record begins another.
    fn take_last(
        &mut self,
        number: u64,
        before: &[u64],
        head: Option<&Head>,
        opening: &mut Opening,
    ) -> Result<bool, AuditError> {
        let name = segment_name(number);
        let bytes = self.disk.read(&name, SEGMENT_MOST)?.unwrap_or_default();
        let end = Ending::of(&bytes);
        (self.segment, self.records) = (number, end.records);
        self.length = u64::try_from(end.good).unwrap_or(u64::MAX);
        opening.clean = end.closed;
        let mut last = end.last;
        // A file that a crash left without a record goes on behind the one before.
        for earlier in before.iter().rev() {
            if last.is_some() {
                break;
            }
            let bytes = self
                .disk
                .read(&segment_name(*earlier), SEGMENT_MOST)?
                .unwrap_or_default();
            last = Ending::of(&bytes).last;
        }
        if let Some((seq, hash)) = last {
            (self.seq, self.hash) = (seq, hash);
        }
        self.firsts
            .push((number, end.first.unwrap_or(self.seq + 1)));
        let left = bytes.len().saturating_sub(end.good);
        if left == 0 {
            return Ok(end.finished);
        }
        opening.clean = false;
        if head.is_some_and(|head| self.seq < head.seq) {
            // This was synced, so no power cut did it. It stays as it is, for whoever looks into it.
            opening.damage = Some(format!(
                "{name} cannot be followed behind record {}",
                self.seq
            ));
            return Ok(true);
        }
        opening.torn_bytes = u64::try_from(left).unwrap_or(u64::MAX);
        self.disk.truncate(&name, self.length)?;
        self.disk.sync(&name)?;
        Ok(end.finished)
    }

    /// Writes a record; it is durable after the next [`Log::sync`].
    ///
    /// # Errors
    /// [`AuditError`]. The record is then counted as dropped, which the next record that can be written says.
    pub fn append(&mut self, event: Event, now: Timestamp) -> Result<u64, AuditError> {
        let result = self.append_after_gap(event, now);
        if result.is_err() {
            self.dropped += 1;
        }
        result
    }

    fn append_after_gap(&mut self, event: Event, now: Timestamp) -> Result<u64, AuditError> {
        if self.length >= self.segment_bytes {
            self.rotate(now)?;
        }
        if self.dropped > 0 {
            self.write(
                Event::Gap {
                    dropped: self.dropped,
                },
                now,
            )?;
            self.dropped = 0;
        }
        self.write(event, now)
    }

    fn write(&mut self, event: Event, now: Timestamp) -> Result<u64, AuditError> {
        let record = Record {
            v: 1,
            seq: self.seq + 1,
            time: now.to_string(),
            prev: hex(&self.hash),
            event,
        };
        let mut line = record.to_line();
        if line.len() > LINE_LENGTH {
            return Err(AuditError::TooLong(line.len()));
        }
        let hash = Record::hash(line.as_bytes());
        line.push('\n');
        let name = segment_name(self.segment);
        if let Err(error) = self.disk.append(&name, line.as_bytes()) {
            // A part of it may have been written; it must not stand before the next.
            let _ = self.disk.truncate(&name, self.length);
            return Err(error.into());
        }
        self.length += u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.records += 1;
        self.seq = record.seq;
        self.hash = hash;
        self.unsynced = true;
        Ok(record.seq)
    }

    /// Makes all records durable.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn sync(&mut self) -> Result<(), AuditError> {
        if !self.unsynced {
            return Ok(());
        }
        self.disk.sync(&segment_name(self.segment))?;
        self.disk.sync_directory()?;
        self.write_head()?;
        self.unsynced = false;
        Ok(())
    }

    fn write_head(&mut self) -> Result<(), AuditError> {
        let oldest = self.firsts.first().map_or(1, |(_, first)| *first);
        let head = Head {
            seq: self.seq,
            hash: hex(&self.hash),
            oldest,
        };
        let text = serde_json::to_string(&head).unwrap_or_default();
        Ok(self.disk.replace(HEAD, text.as_bytes())?)
    }

    /// Closes the file with a signed checkpoint, begins another and drops the oldest beyond those kept.
    fn rotate(&mut self, now: Timestamp) -> Result<(), AuditError> {
        let (segment, records) = (self.segment, self.records);
        let message = checkpoint_message(segment, records, self.seq + 1, &hex(&self.hash));
        let signature = hex(&self.key.sign_message(&message));
        self.write(
            Event::Checkpoint {
                segment,
                records,
                key: self.key.public().to_string(),
                signature,
            },
            now,
        )?;
        self.sync()?;
        self.begin_segment(segment + 1);
        while u64::try_from(self.firsts.len()).unwrap_or(u64::MAX) > self.keep.saturating_add(1) {
            let (number, _) = self.firsts.remove(0);
            // The head is told first, so that a crash in between leaves a file too many and no gap.
            self.unsynced = true;
            self.write_head()?;
            self.disk.remove(&segment_name(number))?;
        }
        Ok(())
    }

    /// Closes the log in order.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn close(mut self, now: Timestamp) -> Result<D, AuditError> {
        self.append(Event::Closed {}, now)?;
        self.sync()?;
        Ok(self.disk)
    }

    /// The last record's number.
    pub fn last(&self) -> u64 {
        self.seq
    }

    /// Records that could not be written since the last that could.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The storage; the log is not closed.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// The storage, to look at.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// The storage, to change what is around the log.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }
}

#[derive(Default)]
struct Opening {
    clean: bool,
    torn_bytes: u64,
    missing: u64,
    damage: Option<String>,
}

/// What can be followed of a file, from its beginning.
#[derive(Default)]
struct Ending {
    first: Option<u64>,
    last: Option<(u64, [u8; 32])>,
    records: u64,
    /// Bytes of the records that can be followed.
    good: usize,
    closed: bool,
    finished: bool,
}

impl Ending {
    fn of(bytes: &[u8]) -> Self {
        let mut ending = Self::default();
        let mut chain = Chain::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else {
                break;
            };
            let Ok(record) = chain.push(text) else { break };
            ending.first = ending.first.or(Some(record.seq));
            ending.good += line.len();
            ending.records += 1;
            ending.closed = matches!(record.event, Event::Closed {});
            ending.finished = matches!(record.event, Event::Checkpoint { .. });
        }
        ending.last = chain.last();
        ending
    }
}
