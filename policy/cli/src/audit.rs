//! `bulkhead audit …`: reading, checking and taking out the audit log.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bulkhead_policy::audit::{Chain, Event, Head, Record, Tail, segment_name, verify};
use bulkhead_policy::{Directory, Disk, PublicKey};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::LOG;
use crate::output::{Failure, Outcome, print, print_json};
use crate::policy::report;

/// The largest file of a log that is read.
const MOST: usize = (1 << 30) + (64 << 10);

/// Shows, checks and exports the audit log.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 as it should be, 1 the log was tampered with or something was refused, 2 wrong command line, 3 a file failed."
)]
pub struct AuditCommand {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Show records
    Show {
        #[command(flatten)]
        log: LogArguments,
        #[command(flatten)]
        filter: Filter,
    },
    /// Find records that were changed, removed, repeated, moved or cut off
    Verify {
        #[command(flatten)]
        log: LogArguments,
        /// The endpoint's public key, to check the signed checkpoints
        #[arg(long)]
        key: Option<String>,
        /// The hash that an earlier check gave; its record must still be there
        #[arg(long)]
        includes: Option<String>,
    },
    /// Show records as they are written, until interrupted
    Follow {
        #[command(flatten)]
        log: LogArguments,
        /// End after so many records
        #[arg(long)]
        count: Option<usize>,
    },
    /// Write records in a form for other programs
    Export {
        #[command(flatten)]
        log: LogArguments,
        #[command(flatten)]
        filter: Filter,
        /// The form
        #[arg(long, value_enum, default_value_t = Form::Csv)]
        form: Form,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Comma-separated values, one flow a line
    Csv,
    /// One JSON record a line, as in the log
    Jsonl,
}

#[derive(Clone, Debug, Args)]
struct LogArguments {
    /// The directory of the log, or its files
    #[arg(default_value = LOG)]
    log: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct Filter {
    /// Only flows with this verdict
    #[arg(long)]
    verdict: Option<String>,
    /// Only what concerns this zone
    #[arg(long)]
    zone: Option<String>,
    /// Only flows of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Only the last so many
    #[arg(long)]
    last: Option<usize>,
}

impl Filter {
    fn keeps(&self, record: &Record) -> bool {
        let flow = match &record.event {
            Event::Flow(flow) => Some(flow),
            _ => None,
        };
        let verdict = self
            .verdict
            .as_ref()
            .is_none_or(|verdict| flow.is_some_and(|flow| flow.verdict == *verdict));
        let kind = self
            .kind
            .as_ref()
            .is_none_or(|kind| flow.is_some_and(|flow| flow.kind == *kind));
        let zone = self.zone.as_ref().is_none_or(|zone| match &record.event {
            Event::Flow(flow) => {
                [Some(&flow.from), Some(&flow.to), flow.target.as_ref()].contains(&Some(zone))
            }
            Event::Zone { zone: other, .. } => other == zone,
            _ => false,
        });
        verdict && kind && zone
    }
}

/// The files of a log: those in a directory, in their order, or those named.
pub(crate) fn files(log: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut list = Vec::new();
    for path in log {
        let fail = |source| Failure::Read {
            path: path.clone(),
            source,
        };
        if path.is_dir() {
            let disk = Directory::open_to_read(path).map_err(fail)?;
            for name in disk
                .list()
                .map_err(fail)?
                .iter()
                .filter(|name| name.starts_with("audit-") && name.ends_with(".log"))
            {
                if let Some(bytes) = disk.read(name, MOST).map_err(fail)? {
                    list.push((path.join(name).display().to_string(), bytes));
                }
            }
        } else {
            let mut bytes = Vec::new();
            let most = u64::try_from(MOST).unwrap_or(u64::MAX);
            std::fs::File::open(path)
                .and_then(|file| file.take(most).read_to_end(&mut bytes))
                .map_err(fail)?;
            list.push((path.display().to_string(), bytes));
        }
    }
    Ok(list)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

impl AuditCommand {
    /// Runs the command and gives its exit code.
    pub fn run(&self) -> u8 {
        match self.execute() {
            Ok(outcome) => outcome.code(),
            Err(failure) => {
                report(&failure, self.json);
                failure.code()
            }
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`] where it could not do what was asked.
    pub fn execute(&self) -> Result<Outcome, Failure> {
        match &self.command {
            Command::Show { log, filter } => self.show(log, filter),
            Command::Verify { log, key, includes } => {
                self.verify(log, key.as_deref(), includes.as_deref())
            }
            Command::Follow { log, count } => self.follow(log, *count),
            Command::Export { log, filter, form } => export(log, filter, *form),
        }
    }

    fn show(&self, log: &LogArguments, filter: &Filter) -> Result<Outcome, Failure> {
        let (records, faults) = kept(log, filter)?;
        if self.json {
            print_json(
                &json!({ "ok": faults == 0, "records": records.iter().map(|(record, _)| record).collect::<Vec<_>>() }),
            );
        } else {
            for (record, _) in &records {
                print(&format!("{record}\n"));
            }
            warn(faults);
        }
        Ok(Outcome::good_if(faults == 0))
    }

    fn verify(
        &self,
        log: &LogArguments,
        key: Option<&str>,
        includes: Option<&str>,
    ) -> Result<Outcome, Failure> {
        let key = key
            .map(|text| {
                PublicKey::parse(text).ok_or_else(|| {
                    Failure::Refused(format!(
                        "{text:?} is no public key; write \"ed25519:\" and 64 digits"
                    ))
                })
            })
            .transpose()?;
        let head = match log.log.as_slice() {
            [directory] if directory.is_dir() => {
                let fail = |source| Failure::Read {
                    path: directory.clone(),
                    source,
                };
                Head::read(&Directory::open_to_read(directory).map_err(fail)?).map_err(fail)?
            }
            _ => None,
        };
        let files = files(&log.log)?;
        let found = verify(
            files
                .iter()
                .map(|(name, bytes)| (name.clone(), bytes.as_slice())),
            head.as_ref(),
            key.as_ref(),
        );
        let included = includes.is_none_or(|hash| {
            let names = |record: &Record| record.prev == hash;
            found.head == hash
                || files
                    .iter()
                    .flat_map(|(_, bytes)| lines(bytes))
                    .any(|line| {
                        serde_json::from_slice(line).is_ok_and(|record: Record| names(&record))
                    })
        });
        let good = found.findings.is_empty() && included;
        if self.json {
            print_json(
                &json!({ "ok": good, "includes": includes.map(|_| included), "report": found }),
            );
            return Ok(Outcome::good_if(good));
        }
        for finding in &found.findings {
            print(&format!("{finding}\n"));
        }
        if !included {
            print(
                "the record with the given hash is not in this log: it was cut off, or written anew\n",
            );
        }
        let range = match (found.first, found.last) {
            (Some(first), Some(last)) => format!("records {first} to {last}"),
            _ => "no records".to_owned(),
        };
        let tail = match found.tail {
            Tail::Closed => "closed in order",
            Tail::Open => "open, or its endpoint was stopped",
            Tail::Torn => "ends within a record, as after a power cut",
        };
        let checkpoints = if key.is_some() {
            format!("{} good checkpoints", found.checkpoints)
        } else {
            "checkpoints not checked (give --key)".to_owned()
        };
        let verdict = if good {
            "in order".to_owned()
        } else {
            format!(
                "{} findings: this log was tampered with or damaged",
                found.findings.len() + usize::from(!included)
            )
        };
        print(&format!(
            "{range}, {checkpoints}, {tail}\n{verdict}\nhead {}\n",
            found.head
        ));
        Ok(Outcome::good_if(good))
    }

    fn follow(&self, log: &LogArguments, count: Option<usize>) -> Result<Outcome, Failure> {
        let [directory] = log.log.as_slice() else {
            return Err(Failure::Refused(
                "give the directory of one log to follow".to_owned(),
            ));
        };
        let mut follower = Follower::at_end(directory)?;
        let mut left = count.unwrap_or(usize::MAX);
        while left > 0 {
            for line in follower.take_lines()? {
                let record: Result<Record, _> = serde_json::from_slice(&line);
                match record {
                    Ok(record) if self.json => print(&format!(
                        "{}\n",
                        serde_json::to_string(&record).unwrap_or_default()
                    )),
                    Ok(record) => print(&format!("{record}\n")),
                    Err(_) => print("a line is no record; see `bulkhead audit verify`\n"),
                }
                left = left.saturating_sub(1);
            }
            if left > 0 {
                std::thread::sleep(Duration::from_millis(250));
            }
        }
        Ok(Outcome::Good)
    }
}

/// Reads what is added to a log.
struct Follower {
    directory: PathBuf,
    number: u64,
    offset: u64,
    rest: Vec<u8>,
}

impl Follower {
    fn at_end(directory: &Path) -> Result<Self, Failure> {
        let fail = |source| Failure::Read {
            path: directory.to_owned(),
            source,
        };
        let names = Directory::open_to_read(directory)
            .map_err(fail)?
            .list()
            .map_err(fail)?;
        let numbers = names.iter().filter_map(|name| {
            name.strip_prefix("audit-")?
                .strip_suffix(".log")?
                .parse()
                .ok()
        });
        let number = numbers.max().unwrap_or(1);
        let offset = std::fs::metadata(directory.join(segment_name(number)))
            .map_or(0, |metadata| metadata.len());
        Ok(Self {
            directory: directory.to_owned(),
            number,
            offset,
            rest: Vec::new(),
        })
    }

    fn take_lines(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let path = self.directory.join(segment_name(self.number));
        let next = self.directory.join(segment_name(self.number + 1));
        // Looked for before reading: once the next file is there, this one grows no more.
        let goes_on = next.exists();
        let mut bytes = Vec::new();
        if let Ok(mut file) = std::fs::File::open(&path) {
            let read = file
                .seek(SeekFrom::Start(self.offset))
                .and_then(|_| file.read_to_end(&mut bytes));
            read.map_err(|source| Failure::Read { path, source })?;
        }
        self.offset += u64::try_from(bytes.len()).unwrap_or(0);
        self.rest.extend(bytes);
        let mut list = Vec::new();
        while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = self.rest.drain(..=at).collect();
            line.pop();
            list.push(line);
        }
        if goes_on {
            self.number += 1;
            self.offset = 0;
            self.rest.clear();
        }
        Ok(list)
    }
}

/// Records that a filter keeps, with their lines.
type Lines = Vec<(Record, Vec<u8>)>;

/// The records that a filter keeps, and how many faults the log has.
fn kept(log: &LogArguments, filter: &Filter) -> Result<(Lines, usize), Failure> {
    let mut chain = Chain::default();
    let mut faults = 0;
    let mut records = Vec::new();
    for (_, bytes) in files(&log.log)? {
        for line in lines(&bytes) {
            let record = match chain.push(line) {
                Ok(record) => record,
                Err(refused) => {
                    faults += 1;
                    let Some(record) = refused.1 else { continue };
                    record
                }
            };
            if filter.keeps(&record) {
                records.push((record, line.to_vec()));
            }
        }
    }
    let first = filter
        .last
        .map_or(0, |last| records.len().saturating_sub(last));
    records.drain(..first);
    Ok((records, faults))
}

fn warn(faults: usize) {
    if faults > 0 {
        eprintln!(
            "warning: {faults} places of this log do not fit together; `bulkhead audit verify` says where"
        );
    }
}

fn export(log: &LogArguments, filter: &Filter, form: Form) -> Result<Outcome, Failure> {
    let (records, faults) = kept(log, filter)?;
    let mut out = String::new();
    match form {
        Form::Jsonl => {
            for (_, line) in &records {
                out.push_str(&String::from_utf8_lossy(line));
                out.push('\n');
            }
        }
        Form::Csv => {
            out.push_str("seq,time,policy,verdict,kind,from,to,target,reason,rules,answer,mime,bytes,sha256\r\n");
            for (record, _) in &records {
                let Event::Flow(flow) = &record.event else {
                    continue;
                };
                let facts = flow.facts.clone().unwrap_or_default();
                let bytes = flow
                    .crossed
                    .or(facts.bytes)
                    .map_or_else(String::new, |bytes| bytes.to_string());
                let cells = [
                    record.seq.to_string(),
                    record.time.clone(),
                    flow.policy.clone(),
                    flow.verdict.clone(),
                    flow.kind.clone(),
                    flow.from.clone(),
                    flow.to.clone(),
                    flow.target.clone().unwrap_or_default(),
                    flow.reason.clone().unwrap_or_default(),
                    flow.rules.join("; "),
                    flow.answer.clone().unwrap_or_default(),
                    facts.mime.unwrap_or_default(),
                    bytes,
                    flow.sha256.clone().unwrap_or_default(),
                ];
                out.push_str(&cells.map(|cell| csv(&cell)).join(","));
                out.push_str("\r\n");
            }
        }
    }
    print(&out);
    warn(faults);
    Ok(Outcome::good_if(faults == 0))
}

/// A cell of CSV. What a spreadsheet would take for a formula starts with an apostrophe.
fn csv(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::csv;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv("=cmd()"), "'=cmd()");
    }
}
