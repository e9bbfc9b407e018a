//! What another policy would have said to what really happened.

use std::fmt;

use serde::Serialize;

use crate::audit::{Event, FactsRecord, FlowRecord, Record};
use crate::decide::Decider;
use crate::request::{Facts, Moment, Party, Request};
use crate::rule::{Kind, Verdict};
use crate::values::Timestamp;

/// How many changes are kept.
const CHANGES: usize = 10_000;

/// A flow that would be decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The record.
    pub seq: u64,
    /// When it was.
    pub time: String,
    /// What it was.
    pub request: String,
    /// The verdict it got.
    pub was: Verdict,
    /// The verdict it would get.
    pub would_be: Verdict,
    /// The rules that would decide.
    pub rules: Vec<String>,
}

/// What became of a replay.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Simulation {
    /// Flows that would be decided as they were.
    pub unchanged: usize,
    /// Flows that would be decided otherwise.
    pub changed: Vec<Changed>,
    /// Flows of which too little was recorded to say: a rule with `log = "full"` records enough.
    pub uncertain: usize,
    /// Flows that were denied for reasons outside of the rules, such as a user's no.
    pub not_by_rules: usize,
}

impl Simulation {
    /// Takes one record of a log.
    pub fn push(&mut self, decider: &Decider, record: &Record) {
        let Event::Flow(flow) = &record.event else {
            return;
        };
        let Some((request, was)) = replayed(flow, &record.time) else {
            self.uncertain += 1;
            return;
        };
        if flow
            .reason
            .as_deref()
            .is_some_and(|reason| reason != crate::decide::Reason::NoRule.to_string())
        {
            self.not_by_rules += 1;
            return;
        }
        let decision = decider.decide(&request);
        let cell = decider.cell(request.kind, &request.from, &request.to);
        let same = decision.verdict == was;
        if cell.best != cell.worst && !knows_enough(decider, &request, flow.facts.as_ref()) {
            self.uncertain += 1;
        } else if same {
            self.unchanged += 1;
        } else if self.changed.len() < CHANGES {
            let rules = decision
                .determining
                .iter()
                .filter_map(|id| decider.rule(*id))
                .map(|rule| decider.policy().rule_place(rule));
            self.changed.push(Changed {
                seq: record.seq,
                time: record.time.clone(),
                request: request.to_string(),
                was,
                would_be: decision.verdict,
                rules: rules.collect(),
            });
        }
    }
}

/// The request that a record tells of, as far as it does, and the verdict of the policy then.
fn replayed(flow: &FlowRecord, time: &str) -> Option<(Request, Verdict)> {
    let kind = Kind::parse(&flow.kind)?;
    let verdict = Verdict::ALL
        .into_iter()
        .find(|verdict| verdict.as_str() == flow.verdict)?;
    let (from, to) = (Party::parse(&flow.from).ok()?, Party::parse(&flow.to).ok()?);
    let mut facts = Facts::default();
    if let Some(recorded) = &flow.facts {
        let texts = [
            ("mime", recorded.mime.clone()),
            (
                "file",
                recorded
                    .extension
                    .as_ref()
                    .map(|ending| format!("file.{ending}")),
            ),
            (
                "url",
                recorded.origin.as_ref().map(|origin| format!("{origin}/")),
            ),
            ("host", recorded.host.clone()),
            ("application", recorded.application.clone()),
            ("service", recorded.service.clone()),
            ("usb", recorded.usb.clone()),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                facts.set(key, &text).ok()?;
            }
        }
        facts.bytes = recorded.bytes;
        facts.port = recorded.port;
        facts.age = recorded.age.map(std::time::Duration::from_millis);
        for name in recorded.connected.iter().flatten() {
            facts.set("connected", name).ok()?;
        }
        if recorded.connected.is_some() {
            facts.connected.get_or_insert_default();
        }
        facts.moment = recorded.utc_offset.and_then(|utc_offset| {
            Some(Moment {
                now: Timestamp::parse(time)?,
                utc_offset,
            })
        });
    }
    Some((
        Request {
            kind,
            from,
            to,
            facts,
        },
        verdict,
    ))
}

/// Whether the record has every fact that rules between these ends ask for.
fn knows_enough(decider: &Decider, request: &Request, recorded: Option<&FactsRecord>) -> bool {
    use crate::condition::Condition;
    let facts = &request.facts;
    let rules = decider.speaking(request.kind, &request.from, &request.to);
    let mut conditions = rules
        .iter()
        .filter_map(|id| decider.rule(*id))
        .flat_map(|rule| rule.conditions.iter());
    conditions.all(|condition| match condition {
        // Of an argument only the hash was recorded.
        Condition::Arguments(_) => {
            recorded.is_some_and(|recorded| recorded.argument_sha256.is_none())
        }
        // Rates hang on what else happened; a replay starts with nothing used.
        Condition::Rate(_) => true,
        Condition::ByteRate(_) | Condition::MaxBytes(_) | Condition::OverBytes(_) => {
            facts.bytes.is_some()
        }
        Condition::Mime(_) => facts.mime.is_some(),
        Condition::Extensions(_) => facts.file_name.is_some(),
        Condition::TimeToLive(_) => facts.age.is_some(),
        Condition::Schemes(_) => facts.url.is_some(),
        Condition::Hosts(_) => facts.url.is_some() || facts.host.is_some(),
        Condition::Ports(_) => facts.port.is_some(),
        Condition::Applications(_) => facts.application.is_some(),
        Condition::Services(_) => facts.service.is_some(),
        Condition::Usb(_) => facts.usb.is_some(),
        Condition::Hours(_) | Condition::Days(_) => facts.moment.is_some(),
        Condition::Connected(_) => facts.connected.is_some(),
    })
}

impl fmt::Display for Simulation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changed {
            writeln!(
                formatter,
                "record {} ({}): {}",
                change.seq, change.time, change.request
            )?;
            let by = if change.rules.is_empty() {
                "no rule fits".to_owned()
            } else {
                format!("by {}", change.rules.join(" and "))
            };
            writeln!(
                formatter,
                "    was {}, would be {} ({by})",
                change.was, change.would_be
            )?;
        }
        let Self {
            unchanged,
            changed,
            uncertain,
            not_by_rules,
        } = self;
        write!(
            formatter,
            "{unchanged} flows stay as they were, {} change",
            changed.len()
        )?;
        if *uncertain > 0 {
            write!(
                formatter,
                ", {uncertain} cannot be replayed for want of detail (`then = {{ log = \"full\" }}` records it)"
            )?;
        }
        if *not_by_rules > 0 {
            write!(formatter, ", {not_by_rules} were not decided by rules")?;
        }
        writeln!(formatter)
    }
}
