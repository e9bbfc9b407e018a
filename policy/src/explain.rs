//! Why a verdict is what it is: every rule, and what became of it.
//!
//! This is written apart from the table that decides, straight from the meaning of the rules, one after the other. That
//! makes it slow and easy to read, and a check on the table: a property test holds the two against one another.

use std::fmt;

use serde::Serialize;

use crate::decide::{Decider, Decision, Reason, RuleId};
use crate::matching::{Failing, Unused};
use crate::request::{Party, Request};
use crate::rule::{Rule, Verdict};
use crate::zone::Zone;

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Fate {
    /// It decided.
    Decided,
    /// It fits, but a stricter one decided.
    Overridden,
    /// It does not speak of the sender.
    OtherSender {
        /// Whom it speaks of.
        means: String,
    },
    /// It does not speak of the receiver.
    OtherReceiver {
        /// Whom it speaks of.
        means: String,
    },
    /// It wants the levels to stand otherwise.
    OtherLevels {
        /// How it wants them.
        wants: &'static str,
        /// The sender's level.
        from: u8,
        /// The receiver's level.
        to: u8,
    },
    /// Conditions do not hold.
    Conditions {
        /// Those that do not.
        failing: Vec<Failing>,
    },
}

/// One rule of the kind in question, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The rule.
    pub rule: RuleId,
    /// Its name.
    pub name: String,
    /// Its line.
    pub line: usize,
    /// Its verdict.
    pub verdict: Verdict,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// The answer to a request, with everything that led to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The request.
    pub request: Request,
    /// The decision, with all redirects followed.
    pub decision: Decision,
    /// The rules of its kind, for each receiver on the way: first the one asked for.
    pub steps: Vec<Step>,
    file: String,
}

/// What the rules say of one receiver.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The receiver.
    pub to: Party,
    /// The verdict for it.
    pub verdict: Verdict,
    /// The rules of the kind, in the order of the file.
    pub considered: Vec<Considered>,
}

impl Decider {
    /// Explains what [`Decider::decide`] answers.
    pub fn explain(&self, request: &Request) -> Explanation {
        let decision = self.decide(request);
        let mut steps = vec![self.step(request, &request.to)];
        while let Some(step) = steps
            .last()
            .filter(|step| step.verdict != Verdict::Deny && steps.len() < 6)
        {
            let decided = step
                .considered
                .iter()
                .filter(|considered| considered.fate == Fate::Decided);
            let redirects = decided
                .filter_map(|considered| self.rule(considered.rule)?.obligations.redirect.clone());
            let mut targets: Vec<Party> = redirects.map(Party::Zone).collect();
            targets.dedup();
            match targets.as_slice() {
                [target] if *target != step.to => {
                    let next = self.step(request, target);
                    steps.push(next);
                }
                _ => break,
            }
        }
        Explanation {
            request: request.clone(),
            decision,
            steps,
            file: self.policy().source().name().to_owned(),
        }
    }

    fn step(&self, request: &Request, to: &Party) -> Step {
        let zone = |party: &Party| self.policy().zone(party.as_str());
        let rules = (0u16..)
            .map(RuleId)
            .zip(&self.policy().rules)
            .filter(|(_, rule)| rule.kinds.contains(request.kind));
        let mut considered: Vec<Considered> = rules
            .map(|(id, rule)| Considered {
                rule: id,
                name: rule.name.clone(),
                line: rule.line,
                verdict: rule.verdict,
                fate: fate(id, rule, request, zone(&request.from), zone(to)),
            })
            .collect();
        let known = |party: &Party| *party == Party::Host || zone(party).is_some();
        let sound = known(&request.from)
            && known(to)
            && request.from != *to
            && request.kind.goes_between(&request.from, to);
        let fitting = considered
            .iter()
            .filter(|considered| sound && considered.fate == Fate::Decided);
        let verdict = fitting.map(|considered| considered.verdict).min();
        for considered in &mut considered {
            if considered.fate == Fate::Decided && Some(considered.verdict) != verdict {
                considered.fate = Fate::Overridden;
            }
        }
        considered.sort_by_key(|considered| considered.line);
        Step {
            to: to.clone(),
            verdict: verdict.unwrap_or(Verdict::Deny),
            considered,
        }
    }
}

/// What becomes of a rule taken alone.
fn fate(
    id: RuleId,
    rule: &Rule,
    request: &Request,
    from: Option<&Zone>,
    to: Option<&Zone>,
) -> Fate {
    let list = |side: &[crate::rule::Selector]| match side {
        [selector] if selector.terms.is_empty() => "anyone".to_owned(),
        side => side
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" or "),
    };
    if !rule.from.iter().any(|selector| selector.means(from)) {
        return Fate::OtherSender {
            means: list(&rule.from),
        };
    }
    if !rule.to.iter().any(|selector| selector.means(to)) {
        return Fate::OtherReceiver {
            means: list(&rule.to),
        };
    }
    if let Some(levels) = rule.levels {
        match (from, to) {
            (Some(from), Some(to)) if levels.holds(from.level, to.level) => {}
            (from, to) => {
                let level = |zone: Option<&Zone>| zone.map_or(0, |zone| zone.level);
                return Fate::OtherLevels {
                    wants: levels.as_str(),
                    from: level(from),
                    to: level(to),
                };
            }
        }
    }
    let failing = rule
        .conditions
        .failing(&request.facts, rule.verdict, id, &Unused);
    if failing.is_empty() {
        Fate::Decided
    } else {
        Fate::Conditions { failing }
    }
}

impl Explanation {
    /// As one JSON value.
    pub fn json(&self) -> serde_json::Value {
        let facts: serde_json::Map<String, serde_json::Value> = self
            .request
            .facts
            .shown()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        serde_json::json!({
            "kind": self.request.kind, "from": self.request.from, "to": self.request.to, "facts": facts,
            "verdict": self.decision.verdict, "reason": self.decision.reason.to_string(), "target": self.decision.target,
            "duties": self.decision.duties, "steps": self.steps,
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.request)?;
        let decision = &self.decision;
        writeln!(formatter, "  verdict: {}", decision.verdict)?;
        match &decision.reason {
            Reason::Rules => {}
            reason => writeln!(formatter, "  because {reason}")?,
        }
        if decision.verdict != Verdict::Deny {
            let duties = &decision.duties;
            let mut list = Vec::new();
            if decision.target != self.request.to {
                list.push(format!("it goes to {} instead", decision.target));
            }
            if !duties.grants.is_empty() {
                let grants: Vec<String> = duties.grants.iter().map(ToString::to_string).collect();
                list.push(format!("the user may say yes for: {}", grants.join(", ")));
            }
            if duties.notify {
                list.push("the user is told".to_owned());
            }
            if !duties.scrub.is_empty() {
                let scrub: Vec<&str> = duties.scrub.iter().map(|scrub| scrub.as_str()).collect();
                list.push(format!("taken out on the way: {}", scrub.join(", ")));
            }
            if !duties.usb_passes.is_empty() {
                let extras: Vec<&str> = duties
                    .usb_passes
                    .iter()
                    .map(|extra| extra.as_str())
                    .collect();
                list.push(format!("passes, too: {}", extras.join(", ")));
            }
            if duties.type_code {
                list.push("a code is typed on it first".to_owned());
            }
            list.push(format!("record: {}", duties.log));
            for line in list {
                writeln!(formatter, "  {line}")?;
            }
        }
        for step in &self.steps {
            if self.steps.len() > 1 {
                writeln!(formatter, "  to {}: {}", step.to, step.verdict)?;
            }
            self.show_step(step, formatter)?;
        }
        Ok(())
    }
}

impl Explanation {
    fn show_step(&self, step: &Step, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |title: &str,
                    wanted: fn(&Fate) -> bool,
                    formatter: &mut fmt::Formatter<'_>|
         -> fmt::Result {
            let mut rules = step
                .considered
                .iter()
                .filter(|considered| wanted(&considered.fate))
                .peekable();
            if rules.peek().is_some() {
                writeln!(formatter, "  {title}")?;
            }
            for Considered {
                name,
                line,
                verdict,
                fate,
                ..
            } in rules
            {
                writeln!(
                    formatter,
                    "    {verdict:5} \"{name}\" ({}:{line})",
                    self.file
                )?;
                match fate {
                    Fate::OtherLevels { wants, from, to } => {
                        writeln!(
                            formatter,
                            "          wants the receiver's level {wants}; here it goes from level {from} to {to}"
                        )?;
                    }
                    Fate::Conditions { failing } => {
                        for failing in failing {
                            writeln!(formatter, "          {failing}")?;
                        }
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        part("decided by", |fate| *fate == Fate::Decided, formatter)?;
        part("overridden", |fate| *fate == Fate::Overridden, formatter)?;
        part(
            "between these ends, but not fitting",
            |fate| matches!(fate, Fate::OtherLevels { .. } | Fate::Conditions { .. }),
            formatter,
        )?;
        let elsewhere = step
            .considered
            .iter()
            .filter(|considered| {
                matches!(
                    considered.fate,
                    Fate::OtherSender { .. } | Fate::OtherReceiver { .. }
                )
            })
            .count();
        match elsewhere {
            0 => Ok(()),
            1 => writeln!(formatter, "  1 more rule of this kind speaks of other ends"),
            many => writeln!(
                formatter,
                "  {many} more rules of this kind speak of other ends"
            ),
        }
    }
}
