//! One record: what it holds, and how it becomes a line and back.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::LINE_LENGTH;
use crate::decide::{Decider, Decision};
use crate::diagnostic::visible;
use crate::policy::Policy;
use crate::request::Request;
use crate::rule::LogDetail;
use crate::values::hex;

/// The longest text of a zone that a record holds, in characters.
const TEXT_LENGTH: usize = 300;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The format's version: 1.
    pub v: u8,
    /// Counts up from 1.
    pub seq: u64,
    /// When it was written, by the endpoint's clock.
    pub time: String,
    /// The SHA-256 of the line before, in hexadecimal digits; zeros for the first.
    pub prev: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The log was opened.
    Opened {
        /// The engine's version.
        engine: String,
        /// Whether it was closed in order before. If not, records that were not synced may be missing here.
        clean: bool,
        /// Bytes of an unfinished record that were cut off.
        #[serde(default, skip_serializing_if = "is_zero")]
        torn_bytes: u64,
        /// Records that were synced and are gone.
        #[serde(default, skip_serializing_if = "is_zero")]
        missing: u64,
        /// What is wrong with the log before this record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        damage: Option<String>,
    },
    /// The log was closed in order.
    Closed {},
    /// Something asked to cross.
    Flow(Box<FlowRecord>),
    /// A policy was put to work, installed or refused.
    Policy {
        /// `at-work`, `installed` or `refused`.
        act: String,
        /// Its version, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Its hash.
        hash: String,
        /// More, for a reader.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// Something happened to a zone.
    Zone {
        /// The zone.
        zone: String,
        /// What: `started`, `killed`, `off` and so on.
        act: String,
        /// More, for a reader.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// Something happened at the desk.
    Session {
        /// What: `locked`, `unlocked`, `grants-ended` and so on.
        act: String,
        /// More, for a reader.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// Records could not be written.
    Gap {
        /// How many.
        dropped: u64,
    },
    /// A file of the log is closed and signed.
    Checkpoint {
        /// The file's number.
        segment: u64,
        /// The records in it, without this one.
        records: u64,
        /// The public key.
        key: String,
        /// The signature over number, records, `seq` and `prev`.
        signature: String,
    },
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A decision on a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// The policy's hash.
    pub policy: String,
    /// What would cross.
    pub kind: String,
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// Where it went instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The verdict.
    pub verdict: String,
    /// Why, where not by rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rules that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The rules that they overrode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
    /// What the user answered, where one was asked: `no` or for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What was known of it, where the rules ask for full detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<FactsRecord>,
    /// The bytes that crossed, once they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossed: Option<u64>,
    /// The SHA-256 of what crossed, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What was known of a flow. Of long and of private texts only the hash is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsRecord {
    /// The media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// The ending of the file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// The size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Milliseconds since it was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// Scheme, host and port of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The host of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The SHA-256 of the argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument_sha256: Option<String>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usb: Option<String>,
    /// Networks that the endpoint was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<Vec<String>>,
    /// Minutes by which local time was ahead of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset: Option<i16>,
}

/// A text as a record may hold it: visible, and not long.
fn clean(text: &str) -> String {
    let mut cut: String = text.chars().take(TEXT_LENGTH).map(visible).collect();
    if text.chars().count() > TEXT_LENGTH {
        cut.push('…');
    }
    cut
}

impl FlowRecord {
    /// The record of a decision, in as much detail as its duties ask for.
    pub fn new(decider: &Decider, request: &Request, decision: &Decision) -> Self {
        let policy = decider.policy();
        let rules = |ids: &[crate::decide::RuleId]| {
            ids.iter()
                .take(16)
                .filter_map(|id| decider.rule(*id))
                .map(|rule| format!("{} ({})", rule.name, rule.line))
                .collect()
        };
        let by_rules = decision.reason == crate::decide::Reason::Rules;
        Self {
            policy: hex(&policy.hash()),
            kind: request.kind.as_str().to_owned(),
            from: request.from.to_string(),
            to: request.to.to_string(),
            target: (decision.target != request.to).then(|| decision.target.to_string()),
            verdict: decision.verdict.as_str().to_owned(),
            reason: (!by_rules).then(|| decision.reason.to_string()),
            rules: rules(&decision.determining),
            overridden: rules(&decision.overridden),
            facts: (decision.duties.log == LogDetail::Full).then(|| FactsRecord::new(request)),
            ..Self::default()
        }
    }
}

impl FactsRecord {
    fn new(request: &Request) -> Self {
        let facts = &request.facts;
        let word =
            |word: &Option<crate::request::Word>| word.as_ref().map(|word| clean(word.as_str()));
        Self {
            mime: facts.mime.as_ref().map(|mime| mime.as_str().to_owned()),
            extension: facts.file_name.as_ref().and_then(|name| {
                Some(clean(
                    &name.as_str().rsplit_once('.')?.1.to_ascii_lowercase(),
                ))
            }),
            bytes: facts.bytes,
            age: facts
                .age
                .and_then(|age| u64::try_from(age.as_millis()).ok()),
            origin: facts.url.as_ref().map(|url| clean(&url.origin())),
            host: word(&facts.host),
            port: facts.port,
            application: word(&facts.application),
            service: word(&facts.service),
            argument_sha256: facts
                .argument
                .as_ref()
                .map(|word| hex(digest(&SHA256, word.as_str().as_bytes()).as_ref())),
            usb: facts.usb.as_ref().map(|device| clean(&device.to_string())),
            connected: facts.connected.as_ref().map(|names| {
                names
                    .iter()
                    .take(16)
                    .map(|name| clean(name.as_str()))
                    .collect()
            }),
            utc_offset: facts.moment.map(|moment| moment.utc_offset),
        }
    }
}

impl Event {
    /// That a policy was put to work, installed or refused.
    pub fn policy(act: &str, policy: &Policy, detail: &str) -> Self {
        Self::Policy {
            act: clean(act),
            version: policy.header.as_ref().map(|header| header.version),
            hash: hex(&policy.hash()),
            detail: clean(detail),
        }
    }

    /// That something happened to a zone; the detail may be the zone's own words.
    pub fn zone(zone: &str, act: &str, detail: &str) -> Self {
        Self::Zone {
            zone: clean(zone),
            act: clean(act),
            detail: clean(detail),
        }
    }

    /// That something happened at the desk.
    pub fn session(act: &str, detail: &str) -> Self {
        Self::Session {
            act: clean(act),
            detail: clean(detail),
        }
    }
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    TooLong,
    NotARecord,
    OtherVersion,
}

impl Record {
    /// The line, without its end. It holds nothing but visible ASCII and visible letters.
    pub(crate) fn to_line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(json.len());
        for character in json.chars() {
            // Outside of ASCII a character stands within a JSON text, where it may be escaped as well.
            if visible(character) == character {
                line.push(character);
            } else {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    line.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        line
    }

    /// Reads a line.
    pub(crate) fn from_line(line: &[u8]) -> Result<Self, LineError> {
        if line.len() > LINE_LENGTH {
            return Err(LineError::TooLong);
        }
        let record: Self = serde_json::from_slice(line).map_err(|_| LineError::NotARecord)?;
        if record.v != 1 {
            return Err(LineError::OtherVersion);
        }
        Ok(record)
    }

    /// The hash by which the next record names this line.
    pub(crate) fn hash(line: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, line).as_ref());
        hash
    }
}

/// One line for a reader; what came from a file is made visible.
impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:>6} {}  {}",
            self.seq,
            clean(&self.time),
            clean(&self.event.sentence())
        )
    }
}

impl Event {
    fn sentence(&self) -> String {
        let more = |detail: &str| {
            if detail.is_empty() {
                String::new()
            } else {
                format!(": {detail}")
            }
        };
        match self {
            Self::Opened {
                engine,
                clean,
                torn_bytes,
                missing,
                damage,
            } => {
                let mut text = format!("log opened by Bulkhead {engine}");
                if !clean {
                    text.push_str("; it was not closed in order, so records not yet synced may be missing before this one");
                }
                if *torn_bytes > 0 {
                    text.push_str(&format!(
                        "; {torn_bytes} bytes of an unfinished record were cut off"
                    ));
                }
                if *missing > 0 {
                    text.push_str(&format!("; {missing} records that were synced are gone"));
                }
                if let Some(damage) = damage {
                    text.push_str(&format!("; the log before is damaged: {damage}"));
                }
                text
            }
            Self::Closed {} => "log closed".to_owned(),
            Self::Flow(flow) => flow.sentence(),
            Self::Policy {
                act,
                version,
                hash,
                detail,
            } => {
                let version =
                    version.map_or_else(String::new, |version| format!(" version {version}"));
                format!("policy {act}{version} sha256:{hash}{}", more(detail))
            }
            Self::Zone { zone, act, detail } => format!("zone {zone} {act}{}", more(detail)),
            Self::Session { act, detail } => format!("session {act}{}", more(detail)),
            Self::Gap { dropped } => {
                format!("{dropped} records could not be written before this one")
            }
            Self::Checkpoint {
                segment, records, ..
            } => format!("file {segment} closed and signed with {records} records"),
        }
    }
}

impl FlowRecord {
    fn sentence(&self) -> String {
        let Self {
            kind,
            from,
            to,
            verdict,
            ..
        } = self;
        let mut text = format!("{verdict:5} {kind} {from} -> {to}");
        if let Some(target) = &self.target {
            text.push_str(&format!(", to {target} instead"));
        }
        if let Some(answer) = &self.answer {
            text.push_str(&format!(", the user said {answer}"));
        }
        if let Some(bytes) = self
            .crossed
            .or(self.facts.as_ref().and_then(|facts| facts.bytes))
        {
            text.push_str(&format!(", {bytes} bytes"));
        }
        if let Some(reason) = &self.reason {
            text.push_str(&format!(", because {reason}"));
        }
        if !self.rules.is_empty() {
            text.push_str(&format!(", by {}", self.rules.join(" and ")));
        }
        text
    }
}
