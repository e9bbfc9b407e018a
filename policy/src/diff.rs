//! What changes between two policies, in verdicts and not in lines.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::decide::Decider;
use crate::matrix::Cell;
use crate::reach::Path;
use crate::request::{Moment, Party, Request};
use crate::rule::{Kind, Rule, Verdict};
use crate::samples::samples;
use crate::values::Timestamp;

/// How many requests are shown for each pair of ends.
const SHOWN: usize = 6;

/// A request whose verdict changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedVerdict {
    /// The request, as a sentence.
    pub request: String,
    /// The verdict before.
    pub before: Verdict,
    /// The verdict after.
    pub after: Verdict,
    /// Where it went before and where it goes after, if that changes too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<(Party, Party)>,
}

/// What changes for one kind of flow between two ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedCell {
    /// The kind.
    pub kind: Kind,
    /// The sender.
    pub from: Party,
    /// The receiver.
    pub to: Party,
    /// What could happen before: `allow`, `ask*` and so on.
    pub before: String,
    /// What can happen after.
    pub after: String,
    /// Whether something is let through that was not, or was asked about before.
    pub loosened: bool,
    /// Whether something is no more let through.
    pub tightened: bool,
    /// Requests whose verdict changes, up to a few.
    pub examples: Vec<ChangedVerdict>,
    /// How many more there are.
    pub more: usize,
}

/// What changes between two policies.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Zones that come, and zones that go.
    pub zones_added: Vec<Party>,
    /// Zones that go.
    pub zones_removed: Vec<Party>,
    /// Settings of zones and of the endpoint that change: where, before, after.
    pub settings: Vec<(String, String, String)>,
    /// Flows whose verdicts change.
    pub cells: Vec<ChangedCell>,
    /// Ways between zones, through any number of hops, that open or become easier.
    pub opened: Vec<Path>,
    /// Ways that close.
    pub closed: Vec<Path>,
}

impl Difference {
    /// Compares two policies.
    pub fn between(before: &Decider, after: &Decider) -> Self {
        let (old, new) = (before.parties(), after.parties());
        let added = new
            .iter()
            .filter(|party| !old.contains(party))
            .cloned()
            .collect();
        let removed = old
            .iter()
            .filter(|party| !new.contains(party))
            .cloned()
            .collect();
        let all: Vec<Party> = old
            .iter()
            .chain(new.iter().filter(|party| !old.contains(party)))
            .cloned()
            .collect();
        let mut cells = Vec::new();
        for kind in Kind::ALL {
            for from in &all {
                for to in all
                    .iter()
                    .filter(|to| *to != from && kind.goes_between(from, to))
                {
                    cells.extend(cell(before, after, kind, from, to));
                }
            }
        }
        let (ways_before, ways_after) = (before.reach(false), after.reach(false));
        let verdict = |path: Option<&Path>| path.map_or(Verdict::Deny, |path| path.verdict);
        let opened = ways_after
            .paths
            .iter()
            .filter(|path| path.verdict > verdict(ways_before.path(&path.from, &path.to)))
            .cloned();
        let closed = ways_before
            .paths
            .iter()
            .filter(|path| path.verdict > verdict(ways_after.path(&path.from, &path.to)))
            .cloned();
        Self {
            zones_added: added,
            zones_removed: removed,
            settings: settings(before, after),
            cells,
            opened: opened.collect(),
            closed: closed.collect(),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.zones_added.is_empty()
            && self.zones_removed.is_empty()
            && self.settings.is_empty()
            && self.cells.is_empty()
    }

    /// Whether anything is let through that was not before.
    pub fn loosens(&self) -> bool {
        self.cells.iter().any(|cell| cell.loosened) || !self.opened.is_empty()
    }
}

fn cell(
    before: &Decider,
    after: &Decider,
    kind: Kind,
    from: &Party,
    to: &Party,
) -> Option<ChangedCell> {
    let (old, new) = (before.cell(kind, from, to), after.cell(kind, from, to));
    if old.best == Verdict::Deny && new.best == Verdict::Deny {
        return None;
    }
    // A week's start, so that hours and days are told apart; rules without them see no difference.
    let moment = Moment {
        now: Timestamp(1_772_409_600),
        utc_offset: 0,
    };
    // What is redirected is decided again for the zone that it goes to: the conditions there count, too.
    let rules = |decider: &Decider, cell: &Cell| -> Vec<Rule> {
        let mut receivers = vec![to.clone()];
        let mut found = Vec::new();
        let mut ids = Arc::clone(&cell.rules);
        for next in 1.. {
            for rule in ids.iter().filter_map(|id| decider.rule(*id)) {
                let redirect = rule.obligations.redirect.clone().map(Party::Zone);
                receivers.extend(redirect.filter(|zone| !receivers.contains(zone)));
                found.push(rule.clone());
            }
            let Some(receiver) = receivers.get(next) else {
                break;
            };
            ids = decider.cell(kind, from, receiver).rules;
        }
        found
    };
    let (old_rules, new_rules) = (rules(before, &old), rules(after, &new));
    let both: Vec<&Rule> = old_rules.iter().chain(&new_rules).collect();
    let mut changed = Vec::new();
    for facts in samples(kind, &both, moment) {
        let request = Request {
            kind,
            from: from.clone(),
            to: to.clone(),
            facts,
        };
        let (was, is) = (before.decide(&request), after.decide(&request));
        let moved =
            was.verdict != Verdict::Deny && is.verdict != Verdict::Deny && was.target != is.target;
        if was.verdict != is.verdict || moved {
            let mut text = request.to_string();
            let timed = both.iter().any(|rule| {
                rule.conditions
                    .iter()
                    .any(|condition| matches!(condition.key(), "hours" | "days"))
            });
            if let Some(moment) = request.facts.moment.filter(|_| timed) {
                let day = crate::values::DAY_NAMES
                    .get(usize::from(moment.weekday()))
                    .copied()
                    .unwrap_or("");
                text.push_str(&format!(
                    ", on {day} at {:02}:{:02}",
                    moment.minute_of_day() / 60,
                    moment.minute_of_day() % 60
                ));
            }
            let targets = moved.then_some((was.target, is.target));
            changed.push(ChangedVerdict {
                request: text,
                before: was.verdict,
                after: is.verdict,
                targets,
            });
        }
    }
    if changed.is_empty() {
        return None;
    }
    let loosened = changed
        .iter()
        .any(|change| change.after > change.before || change.targets.is_some());
    let tightened = changed.iter().any(|change| change.after < change.before);
    changed.sort_by_key(|change| {
        (
            change.after <= change.before,
            std::cmp::Reverse(change.after),
            change.request.len(),
        )
    });
    let more = changed.len().saturating_sub(SHOWN);
    changed.truncate(SHOWN);
    Some(ChangedCell {
        kind,
        from: from.clone(),
        to: to.clone(),
        before: old.mark(),
        after: new.mark(),
        loosened,
        tightened,
        examples: changed,
        more,
    })
}

/// Everything but flows, as text to compare.
fn settings(before: &Decider, after: &Decider) -> Vec<(String, String, String)> {
    let (old, new) = (before.policy(), after.policy());
    let mut list = Vec::new();
    let mut compare = |what: String, was: String, is: String| {
        if was != is {
            list.push((what, was, is));
        }
    };
    for zone in &old.zones {
        let Some(other) = new.zone(zone.name.as_str()) else {
            continue;
        };
        for ((key, was), (_, is)) in zone.settings().into_iter().zip(other.settings()) {
            compare(format!("zone.{}.{key}", zone.name), was, is);
        }
    }
    for ((key, was), (_, is)) in old.settings().into_iter().zip(new.settings()) {
        compare(key.to_owned(), was, is);
    }
    list
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(formatter, "no verdict and no setting changes");
        }
        for zone in &self.zones_added {
            writeln!(formatter, "+ zone {zone}")?;
        }
        for zone in &self.zones_removed {
            writeln!(formatter, "- zone {zone}")?;
        }
        for (what, was, is) in &self.settings {
            writeln!(formatter, "~ {what}: {was} becomes {is}")?;
        }
        for (title, wanted) in [("lets more through", true), ("lets less through", false)] {
            let cells: Vec<&ChangedCell> = self
                .cells
                .iter()
                .filter(|cell| cell.loosened == wanted)
                .collect();
            if cells.is_empty() {
                continue;
            }
            writeln!(formatter, "{title}:")?;
            for cell in cells {
                writeln!(
                    formatter,
                    "  {} {} -> {}: {} becomes {}",
                    cell.kind, cell.from, cell.to, cell.before, cell.after
                )?;
                for change in &cell.examples {
                    let target = change
                        .targets
                        .as_ref()
                        .map_or_else(String::new, |(was, is)| {
                            format!(", to {is} instead of {was}")
                        });
                    writeln!(
                        formatter,
                        "      {}: {} becomes {}{target}",
                        change.request, change.before, change.after
                    )?;
                }
                if cell.more > 0 {
                    writeln!(formatter, "      and {} more", cell.more)?;
                }
            }
        }
        for (title, paths) in [
            ("ways that open", &self.opened),
            ("ways that close", &self.closed),
        ] {
            if !paths.is_empty() {
                writeln!(formatter, "{title}, through any number of hops:")?;
            }
            for path in paths {
                let way: Vec<&str> = path.hops.iter().map(|hop| hop.to.as_str()).collect();
                writeln!(
                    formatter,
                    "  {} -> {}: {}",
                    path.from,
                    way.join(" -> "),
                    path.verdict
                )?;
            }
        }
        Ok(())
    }
}
