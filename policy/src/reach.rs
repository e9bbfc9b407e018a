//! Which zones' data can arrive where, through any number of hops.
//!
//! A zone that receives data may hand it on by any flow that it has. So what matters is not the single rule but the
//! closure over all of them. Every verdict that is not a deny under some condition counts as a way.

use std::collections::VecDeque;
use std::fmt;

use serde::Serialize;

use crate::condition::Condition;
use crate::decide::{Decider, RuleId};
use crate::matrix::Known;
use crate::request::Party;
use crate::rule::{Kind, Rule, Verdict};

/// The kinds by which a zone's data can come to another zone.
pub const CARRYING: [Kind; 6] = [
    Kind::Clipboard,
    Kind::File,
    Kind::Url,
    Kind::Launch,
    Kind::Drag,
    Kind::Screenshot,
];

/// What lies outside of the endpoint and carries data from one zone to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    /// A network that both are connected to.
    Network,
    /// A USB device that is handed to one and then to the other, such as a memory stick.
    Usb,
}

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// The sender.
    pub from: Party,
    /// The receiver.
    pub to: Party,
    /// The best verdict that any kind has here.
    pub verdict: Verdict,
    /// The kinds that have a way here.
    pub kinds: Vec<Kind>,
    /// Where the way leads through something outside of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// Rules that open it, up to a few.
    pub rules: Vec<RuleId>,
    /// How many more there are.
    pub more_rules: usize,
}

/// How many rules of a hop are named.
const NAMED: usize = 8;

impl Hop {
    fn name(mut rules: Vec<RuleId>) -> (Vec<RuleId>, usize) {
        rules.sort_unstable();
        rules.dedup();
        let more = rules.len().saturating_sub(NAMED);
        rules.truncate(NAMED);
        rules.shrink_to_fit();
        (rules, more)
    }
}

/// A shortest way from one zone to another, of those under the best verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Path {
    /// The first sender.
    pub from: Party,
    /// The last receiver.
    pub to: Party,
    /// `allow` where no hop asks the user.
    pub verdict: Verdict,
    /// The hops.
    pub hops: Vec<Hop>,
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.from)?;
        for hop in &self.hops {
            let by: Vec<&str> = hop.kinds.iter().map(|kind| kind.as_str()).collect();
            let by = by.join(", ");
            write!(formatter, " -> {} ({}: {by})", hop.to, hop.verdict)?;
        }
        Ok(())
    }
}

/// All ways between zones.
#[derive(Clone, Debug)]
pub struct Reach {
    /// One path for each pair between which there is a way.
    pub paths: Vec<Path>,
    /// Direct hops.
    pub hops: Vec<Hop>,
    file: String,
    names: Vec<(String, usize)>,
}

impl Decider {
    /// Finds the ways between all zones; also those through networks and USB devices, if asked.
    pub fn reach(&self, outside: bool) -> Reach {
        let mut known = Known::default();
        let zones: Vec<Party> = self
            .parties()
            .into_iter()
            .filter(|party| *party != Party::Host)
            .collect();
        let mut hops: Vec<Vec<Option<Hop>>> = zones
            .iter()
            .map(|from| {
                zones
                    .iter()
                    .map(|to| self.hop(&mut known, from, to))
                    .collect()
            })
            .collect();
        if outside {
            self.add_outside(&mut known, &zones, &mut hops);
        }
        let mut paths = Vec::new();
        for (start, from) in zones.iter().enumerate() {
            let open = search(start, &hops, Verdict::Allow);
            let asking = search(start, &hops, Verdict::Ask);
            for (end, to) in zones.iter().enumerate().filter(|(end, _)| *end != start) {
                let found = trail(&open, start, end).map(|trail| (Verdict::Allow, trail));
                let found =
                    found.or_else(|| trail(&asking, start, end).map(|trail| (Verdict::Ask, trail)));
                let Some((verdict, trail)) = found else {
                    continue;
                };
                let steps = trail
                    .windows(2)
                    .filter_map(|pair| hops.get(*pair.first()?)?.get(*pair.last()?)?.clone());
                paths.push(Path {
                    from: from.clone(),
                    to: to.clone(),
                    verdict,
                    hops: steps.collect(),
                });
            }
        }
        let rules = &self.policy().rules;
        Reach {
            paths,
            hops: hops.into_iter().flatten().flatten().collect(),
            file: self.policy().source().name().to_owned(),
            names: rules
                .iter()
                .map(|rule| (rule.name.clone(), rule.line))
                .collect(),
        }
    }

    /// The direct way from one zone to another.
    fn hop(&self, known: &mut Known, from: &Party, to: &Party) -> Option<Hop> {
        if from == to {
            return None;
        }
        let (mut best, mut kinds, mut rules) = (Verdict::Deny, Vec::new(), Vec::new());
        for kind in CARRYING {
            let Some((verdict, by)) = self.arrival(known, kind, from, to) else {
                continue;
            };
            best = best.max(verdict);
            kinds.push(kind);
            rules.extend(by);
        }
        let (rules, more_rules) = Hop::name(rules);
        (best != Verdict::Deny).then(|| Hop {
            from: from.clone(),
            to: to.clone(),
            verdict: best,
            kinds,
            outside: None,
            rules,
            more_rules,
        })
    }

    /// Adds ways through what lies outside, where there is no direct way as good.
    fn add_outside(&self, known: &mut Known, zones: &[Party], hops: &mut [Vec<Option<Hop>>]) {
        let network: Vec<_> = zones
            .iter()
            .map(|zone| self.arrival(known, Kind::Network, zone, &Party::Host))
            .collect();
        let usb: Vec<_> = zones
            .iter()
            .map(|zone| {
                let (_, rules) = self.arrival(known, Kind::Usb, &Party::Host, zone)?;
                let rules: Vec<RuleId> = rules
                    .into_iter()
                    .filter(|id| self.rule(*id).is_some_and(may_store))
                    .collect();
                let best = rules
                    .iter()
                    .filter_map(|id| self.rule(*id))
                    .map(|rule| rule.verdict)
                    .max()?;
                Some((best, rules))
            })
            .collect();
        for (outside, reachable) in [(Outside::Network, network), (Outside::Usb, usb)] {
            for (start, from) in reachable.iter().enumerate() {
                for (end, to) in reachable
                    .iter()
                    .enumerate()
                    .filter(|(end, _)| *end != start)
                {
                    let (Some((first, leaving)), Some((second, entering))) = (from, to) else {
                        continue;
                    };
                    let verdict = *first.min(second);
                    let Some(slot) = hops.get_mut(start).and_then(|row| row.get_mut(end)) else {
                        continue;
                    };
                    if slot.as_ref().is_none_or(|hop| hop.verdict < verdict)
                        && let (Some(from), Some(to)) = (zones.get(start), zones.get(end))
                    {
                        let kind = if outside == Outside::Network {
                            Kind::Network
                        } else {
                            Kind::Usb
                        };
                        let (rules, more_rules) =
                            Hop::name([leaving.as_slice(), entering].concat());
                        *slot = Some(Hop {
                            from: from.clone(),
                            to: to.clone(),
                            verdict,
                            kinds: vec![kind],
                            outside: Some(outside),
                            rules,
                            more_rules,
                        });
                    }
                }
            }
        }
    }
}

/// Whether a USB rule may let in a device that stores data: any but one that is of another class for sure.
fn may_store(rule: &Rule) -> bool {
    let harmless = [0x01, 0x03, 0x0b, 0x0e];
    !rule.conditions.iter().any(|condition| match condition {
        Condition::Usb(list) => list.iter().all(|pattern| {
            pattern
                .class
                .is_some_and(|(class, _, _)| harmless.contains(&class))
        }),
        _ => false,
    })
}

/// For each zone, the zone before it on a shortest way from `start`, over hops of at least this verdict.
fn search(start: usize, hops: &[Vec<Option<Hop>>], least: Verdict) -> Vec<Option<usize>> {
    let mut before = vec![None; hops.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for (next, hop) in hops.get(at).into_iter().flatten().enumerate() {
            let open = hop.as_ref().is_some_and(|hop| hop.verdict >= least);
            if let Some(slot) = before
                .get_mut(next)
                .filter(|slot| open && slot.is_none() && next != start)
            {
                *slot = Some(at);
                queue.push_back(next);
            }
        }
    }
    before
}

fn trail(before: &[Option<usize>], start: usize, end: usize) -> Option<Vec<usize>> {
    let mut trail = vec![end];
    while *trail.last()? != start {
        if trail.len() > before.len() {
            return None;
        }
        trail.push((*before.get(*trail.last()?)?)?);
    }
    trail.reverse();
    Some(trail)
}

impl Reach {
    /// The way from one zone to another.
    pub fn path(&self, from: &Party, to: &Party) -> Option<&Path> {
        self.paths
            .iter()
            .find(|path| path.from == *from && path.to == *to)
    }

    /// As one JSON value.
    pub fn json(&self) -> serde_json::Value {
        let rules = |hop: &Hop| -> Vec<serde_json::Value> {
            let named = hop.rules.iter().filter_map(|id| self.names.get(id.index()));
            named
                .map(|(name, line)| serde_json::json!({ "name": name, "line": line }))
                .collect()
        };
        let hops = |path: &Path| -> Vec<serde_json::Value> {
            let hop = |hop: &Hop| {
                serde_json::json!({
                    "from": hop.from, "to": hop.to, "verdict": hop.verdict, "kinds": hop.kinds, "outside": hop.outside, "rules": rules(hop), "more_rules": hop.more_rules,
                })
            };
            path.hops.iter().map(hop).collect()
        };
        let path = |path: &Path| serde_json::json!({ "from": path.from, "to": path.to, "verdict": path.verdict, "hops": hops(path) });
        serde_json::json!({ "policy": self.file, "paths": self.paths.iter().map(path).collect::<Vec<_>>() })
    }

    /// Keeps only ways that leave from, and arrive at, zones that a test accepts.
    #[must_use]
    pub fn filtered(mut self, keep: impl Fn(&Path) -> bool) -> Self {
        self.paths.retain(|path| keep(path));
        self
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.paths.is_empty() {
            return writeln!(formatter, "no zone's data can arrive in another zone");
        }
        for path in &self.paths {
            let mut way = path.from.to_string();
            for hop in &path.hops {
                let by: Vec<&str> = hop.kinds.iter().map(|kind| kind.as_str()).collect();
                let outside = if hop.outside.is_some() {
                    ", outside of the endpoint"
                } else {
                    ""
                };
                way.push_str(&format!(
                    " -[{}: {}{outside}]-> {}",
                    hop.verdict,
                    by.join(", "),
                    hop.to
                ));
            }
            writeln!(
                formatter,
                "{} -> {}: {} in {} {}",
                path.from,
                path.to,
                path.verdict,
                path.hops.len(),
                if path.hops.len() == 1 { "hop" } else { "hops" }
            )?;
            writeln!(formatter, "    {way}")?;
            let named = path.hops.iter().flat_map(|hop| &hop.rules);
            for (name, line) in named.filter_map(|id| self.names.get(id.index())) {
                writeln!(formatter, "    by \"{name}\" ({}:{line})", self.file)?;
            }
            let more: usize = path.hops.iter().map(|hop| hop.more_rules).sum();
            if more > 0 {
                writeln!(formatter, "    and {more} more rules")?;
            }
        }
        Ok(())
    }
}
