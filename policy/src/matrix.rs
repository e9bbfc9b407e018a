//! The verdicts between all zones, as a table.
//!
//! A cell says what can happen: the best and the worst verdict that any request of that kind between those ends can get.
//! Both follow from the rules' conditions without trying requests, and never promise too little or too much: whatever
//! is decided lies between them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::decide::{Decider, RuleId};
use crate::request::Party;
use crate::rule::{Kind, Rule, Verdict};

/// What can happen with one kind of flow between two ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The kind.
    pub kind: Kind,
    /// The sender.
    pub from: Party,
    /// The receiver.
    pub to: Party,
    /// The most that can be let through.
    pub best: Verdict,
    /// The least.
    pub worst: Verdict,
    /// Whether some of what is let through goes to another zone instead.
    pub redirects: bool,
    /// The rules that can decide, denies first.
    pub rules: Arc<[RuleId]>,
}

impl Cell {
    /// `allow`, `ask` or `deny`, with `*` where conditions decide.
    pub fn mark(&self) -> String {
        let star = if self.best == self.worst { "" } else { "*" };
        let arrow = if self.redirects { ">" } else { "" };
        format!("{}{star}{arrow}", self.best)
    }
}

/// What rules between two ends can decide.
#[derive(Clone, Debug)]
struct Bounds {
    rules: Arc<[RuleId]>,
    best: Verdict,
    worst: Verdict,
}

/// Bounds worked out before: many pairs of ends have the same rules.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<Vec<RuleId>, Bounds>);

impl Decider {
    /// What can happen with one kind of flow between two ends.
    pub fn cell(&self, kind: Kind, from: &Party, to: &Party) -> Cell {
        self.cell_with(&mut Known::default(), kind, from, to)
    }

    fn cell_with(&self, known: &mut Known, kind: Kind, from: &Party, to: &Party) -> Cell {
        let Bounds { rules, best, worst } = self.bounds(known, self.speaking(kind, from, to));
        let mut named = rules.iter().filter_map(|id| self.rule(*id));
        let redirects = named.any(|rule| redirects_away(rule, to));
        Cell {
            kind,
            from: from.clone(),
            to: to.clone(),
            best,
            worst,
            redirects,
            rules,
        }
    }

    /// Of the rules between two ends: those that can decide, and the bounds of what they decide.
    fn bounds(&self, known: &mut Known, speaking: Vec<RuleId>) -> Bounds {
        if let Some(bounds) = known.0.get(&speaking) {
            return bounds.clone();
        }
        // Sorted by verdict, strictest first, so that those which may override a rule stand before it.
        let rules: Vec<(RuleId, &Rule)> = speaking
            .iter()
            .filter_map(|id| Some((*id, self.rule(*id)?)))
            .collect();
        let can_decide = |rule: &Rule| {
            let stricter = rules
                .iter()
                .take_while(|(_, other)| other.verdict < rule.verdict);
            !stricter
                .into_iter()
                .any(|(_, other)| other.conditions.cover(&rule.conditions))
        };
        let deciding: Vec<(RuleId, &Rule)> = rules
            .iter()
            .filter(|(_, rule)| can_decide(rule))
            .copied()
            .collect();
        let verdicts = || deciding.iter().map(|(_, rule)| rule.verdict);
        // Where every rule has conditions, what fits none of them is denied. A redirect is decided again elsewhere.
        let redirects = |rule: &Rule| rule.obligations.redirect.is_some();
        let always = deciding.iter().any(|(_, rule)| rule.conditions.is_empty());
        let redirected = deciding.iter().any(|(_, rule)| redirects(rule));
        let bounds = Bounds {
            best: verdicts().max().unwrap_or(Verdict::Deny),
            worst: verdicts()
                .min()
                .filter(|_| always && !redirected)
                .unwrap_or(Verdict::Deny),
            rules: deciding.into_iter().map(|(id, _)| id).collect(),
        };
        known.0.insert(speaking, bounds.clone());
        bounds
    }

    /// The best verdict by which data of this kind can arrive at just this receiver, and the rules for it. What is
    /// redirected elsewhere does not arrive.
    pub(crate) fn arrival(
        &self,
        known: &mut Known,
        kind: Kind,
        from: &Party,
        to: &Party,
    ) -> Option<(Verdict, Vec<RuleId>)> {
        let bounds = self.bounds(known, self.speaking(kind, from, to));
        let arrives = |rule: &Rule| rule.verdict != Verdict::Deny && !redirects_away(rule, to);
        let arriving: Vec<RuleId> = bounds
            .rules
            .iter()
            .copied()
            .filter(|id| self.rule(*id).is_some_and(arrives))
            .collect();
        let best = arriving
            .iter()
            .filter_map(|id| self.rule(*id))
            .map(|rule| rule.verdict)
            .max()?;
        Some((best, arriving))
    }

    /// All parties: the zones in the order of the file, then the host.
    pub(crate) fn parties(&self) -> Vec<Party> {
        self.policy()
            .zones
            .iter()
            .map(|zone| Party::Zone(zone.name.clone()))
            .chain([Party::Host])
            .collect()
    }

    /// The table of all kinds, or of some.
    pub fn matrix(&self, kinds: &[Kind]) -> Matrix {
        let parties = self.parties();
        let mut known = Known::default();
        let mut cells = Vec::new();
        for kind in kinds {
            for from in &parties {
                for to in parties
                    .iter()
                    .filter(|to| *to != from && kind.goes_between(from, to))
                {
                    cells.push(self.cell_with(&mut known, *kind, from, to));
                }
            }
        }
        let policy = self.policy();
        Matrix {
            file: policy.source().name().to_owned(),
            hash: crate::values::hex(&policy.hash()),
            zones: policy
                .zones
                .iter()
                .map(|zone| (Party::Zone(zone.name.clone()), zone.level, zone.colour))
                .collect(),
            kinds: kinds.to_vec(),
            cells,
        }
    }
}

fn redirects_away(rule: &Rule, to: &Party) -> bool {
    rule.obligations
        .redirect
        .as_ref()
        .is_some_and(|target| Party::Zone(target.clone()) != *to)
}

/// The verdicts between all zones.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub(crate) file: String,
    pub(crate) hash: String,
    pub(crate) zones: Vec<(Party, u8, crate::colour::Colour)>,
    pub(crate) kinds: Vec<Kind>,
    /// The cells, by kind, sender, receiver.
    pub cells: Vec<Cell>,
}

impl Matrix {
    /// The cell of a kind between two ends.
    pub fn cell(&self, kind: Kind, from: &Party, to: &Party) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.kind == kind && cell.from == *from && cell.to == *to)
    }

    /// As one JSON value: only what is not always denied.
    pub fn json(&self) -> serde_json::Value {
        let open: Vec<serde_json::Value> = self
            .cells
            .iter()
            .filter(|cell| cell.best != Verdict::Deny)
            .map(|cell| {
                serde_json::json!({ "kind": cell.kind, "from": cell.from, "to": cell.to, "best": cell.best, "worst": cell.worst, "redirects": cell.redirects })
            })
            .collect();
        serde_json::json!({ "policy": self.file, "hash": format!("sha256:{}", self.hash), "cells": open })
    }

    /// The senders and receivers that a kind has.
    pub(crate) fn ends(&self, kind: Kind) -> (Vec<&Party>, Vec<&Party>) {
        let mut senders: Vec<&Party> = Vec::new();
        let mut receivers: Vec<&Party> = Vec::new();
        for cell in self.cells.iter().filter(|cell| cell.kind == kind) {
            if !senders.contains(&&cell.from) {
                senders.push(&cell.from);
            }
        }
        for party in self
            .zones
            .iter()
            .map(|(party, _, _)| party)
            .chain([&Party::Host])
        {
            if self
                .cells
                .iter()
                .any(|cell| cell.kind == kind && cell.to == *party)
            {
                receivers.push(party);
            }
        }
        (senders, receivers)
    }
}

/// A table for each kind in which something can cross, for a terminal.
impl fmt::Display for Matrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut closed = Vec::new();
        for kind in &self.kinds {
            if self
                .cells
                .iter()
                .all(|cell| cell.kind != *kind || cell.best == Verdict::Deny)
            {
                closed.push(kind.as_str());
                continue;
            }
            self.table(*kind, formatter)?;
            writeln!(formatter)?;
        }
        if !closed.is_empty() {
            writeln!(formatter, "always denied: {}", closed.join(", "))?;
        }
        writeln!(
            formatter,
            "rows send, columns receive; * where conditions decide, > where it goes to another zone instead"
        )
    }
}

impl Matrix {
    fn table(&self, kind: Kind, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (senders, receivers) = self.ends(kind);
        let first = senders
            .iter()
            .map(|party| party.as_str().len())
            .max()
            .unwrap_or(0)
            .max(kind.as_str().len());
        let width = |party: &Party| party.as_str().len().max("allow*>".len());
        let mut head = format!("{:first$}", kind.as_str());
        for to in &receivers {
            head.push_str(&format!("  {:width$}", to.as_str(), width = width(to)));
        }
        writeln!(formatter, "{}", head.trim_end())?;
        for from in senders {
            let mut line = format!("{:first$}", from.as_str());
            for to in &receivers {
                let mark = match self.cell(kind, from, to) {
                    None => "·".to_owned(),
                    Some(cell) if cell.best == Verdict::Deny => "-".to_owned(),
                    Some(cell) => cell.mark(),
                };
                line.push_str(&format!("  {mark:width$}", width = width(to)));
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
