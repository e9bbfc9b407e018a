//! The one function that decides, and the table it decides by.
//!
//! A policy's rules are the columns of a table of bits, sorted by verdict: denies first, then asks, then allows. The rows
//! say which rules speak of a kind (and a relation of levels), of a sender, of a receiver. The rules that could fit are
//! the bits set in all three rows; of these, conditions are looked at. Every rule that fits counts, so the order of the
//! file cannot matter: **deny beats ask, ask beats allow, and where no rule fits the answer is deny.**

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::matching::{Unused, Usage};
use crate::names::ZoneName;
use crate::policy::Policy;
use crate::request::{Party, Request};
use crate::rule::{Grant, Kind, LogDetail, Rule, Scrub, Selector, Test, UsbExtra, Verdict};
use crate::zone::Zone;

/// How often a flow may be redirected before it is denied.
const REDIRECTS: usize = 4;

/// A rule by its place in [`Policy::rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RuleId(pub(crate) u16);

impl RuleId {
    /// The place in [`Policy::rules`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Why a verdict is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The rules named in the decision.
    Rules,
    /// No rule fits, and what no rule lets cross stays.
    NoRule,
    /// There is no such zone.
    UnknownZone(ZoneName),
    /// Both ends are the same zone: nothing crosses, so there is nothing to decide.
    SameZone,
    /// This kind of flow does not go between such ends.
    WrongEnds,
    /// The rules that decide lead to different zones.
    RedirectConflict,
    /// Redirects lead in a circle, or on and on.
    RedirectLoop,
    /// The policy's time is not yet come, or over.
    NotInForce,
    /// The policy was not renewed in time.
    LockedOut,
    /// A record is needed and cannot be written.
    NoRecord,
    /// The user said no, or gave no answer.
    UserRefused,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Rules => "rules decided",
            Self::NoRule => "no rule fits, and what no rule lets cross stays",
            Self::UnknownZone(name) => {
                return write!(formatter, "the policy has no zone \"{name}\"");
            }
            Self::SameZone => "both ends are the same zone, so nothing crosses",
            Self::WrongEnds => "this kind of flow does not go between such ends",
            Self::RedirectConflict => "the rules that fit redirect to different zones",
            Self::RedirectLoop => "redirects lead in a circle",
            Self::NotInForce => "the policy is not in force at this time",
            Self::LockedOut => "the policy was not renewed in time",
            Self::NoRecord => "a record is needed and cannot be written",
            Self::UserRefused => "the user did not agree",
        };
        formatter.write_str(text)
    }
}

/// What else must happen where a flow is let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duties {
    /// Tell the user.
    pub notify: bool,
    /// What must be taken out of the data.
    pub scrub: Vec<Scrub>,
    /// How much is recorded.
    pub log: LogDetail,
    /// How long a user's yes may hold, shortest first; empty where nobody is asked.
    #[serde(serialize_with = "grants")]
    pub grants: Vec<Grant>,
    /// What of a USB device passes that else does not: what all deciding rules let pass.
    pub usb_passes: Vec<UsbExtra>,
    /// A keyboard counts only after a shown code was typed on it.
    pub type_code: bool,
}

fn grants<S: serde::Serializer>(grants: &[Grant], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(grants.iter().map(ToString::to_string))
}

impl Duties {
    const NONE: Self = Self {
        notify: false,
        scrub: Vec::new(),
        log: LogDetail::Brief,
        grants: Vec::new(),
        usb_passes: Vec::new(),
        type_code: false,
    };

    /// Adds what others ask for; grants stay.
    fn join(&mut self, other: &Self) {
        self.notify |= other.notify;
        self.scrub.extend(&other.scrub);
        self.scrub.sort_unstable();
        self.scrub.dedup();
        self.log = self.log.max(other.log);
        self.type_code |= other.type_code;
    }
}

/// The answer for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rules that decided.
    pub determining: Vec<RuleId>,
    /// The rules that fit too, but had a weaker verdict.
    pub overridden: Vec<RuleId>,
    /// What else must happen.
    pub duties: Duties,
    /// Where it goes: the receiver asked for, or the one it is redirected to.
    pub target: Party,
}

impl Decision {
    pub(crate) fn deny(reason: Reason, target: Party) -> Self {
        Self {
            verdict: Verdict::Deny,
            reason,
            determining: Vec::new(),
            overridden: Vec::new(),
            duties: Duties::NONE,
            target,
        }
    }

    /// This decision and that on the zone it redirects to, as one: the stricter verdict and the duties of both.
    fn then(self, mut next: Self) -> Self {
        if next.verdict == Verdict::Deny {
            next.overridden.extend(self.determining);
            return next;
        }
        if self.verdict < next.verdict {
            next.verdict = self.verdict;
            next.duties.grants.clone_from(&self.duties.grants);
        } else if self.verdict == next.verdict && next.verdict == Verdict::Ask {
            next.duties
                .grants
                .retain(|grant| self.duties.grants.contains(grant));
            if next.duties.grants.is_empty() {
                next.duties.grants.push(Grant::Once);
            }
        }
        next.duties.join(&self.duties);
        next.determining.extend(self.determining);
        next.overridden.extend(self.overridden);
        next
    }
}

/// A policy made ready to decide. Cheap to share.
#[derive(Clone, Debug)]
pub struct Decider {
    policy: Arc<Policy>,
    /// Rows of bits: `words` words each.
    words: usize,
    /// The rule of each bit.
    rules: Vec<RuleId>,
    /// The first bit of the asks and of the allows.
    asks: usize,
    allows: usize,
    zones: HashMap<ZoneName, usize>,
    /// For each kind and each relation of levels (up, same, down, one end is the host).
    kind_rows: Vec<u64>,
    /// For each zone, and last for the host.
    from_rows: Vec<u64>,
    to_rows: Vec<u64>,
}

impl Decider {
    /// Makes a policy ready.
    pub fn new(policy: Policy) -> Self {
        Self::from_shared(Arc::new(policy))
    }

    pub(crate) fn from_shared(policy: Arc<Policy>) -> Self {
        let mut rules: Vec<RuleId> = (0..policy.rules.len())
            .filter_map(|index| u16::try_from(index).ok())
            .map(RuleId)
            .collect();
        let rule = |id: &RuleId| policy.rules.get(id.index());
        rules.sort_by_key(|id| rule(id).map(|rule| rule.verdict));
        let first = |verdict| {
            rules.partition_point(|id| rule(id).is_some_and(|rule| rule.verdict < verdict))
        };
        let (asks, allows) = (first(Verdict::Ask), first(Verdict::Allow));
        let words = rules.len().div_ceil(64).max(1);
        let ends: Vec<Option<&Zone>> = policy.zones.iter().map(Some).chain([None]).collect();
        let mut kind_rows = vec![0; Kind::ALL.len() * 4 * words];
        let mut from_rows = vec![0; ends.len() * words];
        let mut to_rows = vec![0; ends.len() * words];
        for (bit, rule) in rules.iter().filter_map(rule).enumerate() {
            let set = |rows: &mut Vec<u64>, row: usize| {
                if let Some(word) = rows.get_mut(row * words + bit / 64) {
                    *word |= 1 << (bit % 64);
                }
            };
            for kind in rule.kinds.iter() {
                for (relation, (from, to)) in [(0, 1), (1, 1), (1, 0)].into_iter().enumerate() {
                    if rule.levels.is_none_or(|levels| levels.holds(from, to)) {
                        set(&mut kind_rows, kind as usize * 4 + relation);
                    }
                }
                if rule.levels.is_none() {
                    set(&mut kind_rows, kind as usize * 4 + 3);
                }
            }
            for (row, end) in ends.iter().enumerate() {
                if rule.from.iter().any(|selector| selector.means(*end)) {
                    set(&mut from_rows, row);
                }
                if rule.to.iter().any(|selector| selector.means(*end)) {
                    set(&mut to_rows, row);
                }
            }
        }
        let zones = policy
            .zones
            .iter()
            .enumerate()
            .map(|(index, zone)| (zone.name.clone(), index))
            .collect();
        Self {
            policy,
            words,
            rules,
            asks,
            allows,
            zones,
            kind_rows,
            from_rows,
            to_rows,
        }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A rule of the policy.
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.policy.rules.get(id.index())
    }

    /// Decides on a request by the policy's rules alone, as if nothing had been used of their rates. Nothing but a
    /// running endpoint knows more: its [`crate::Engine`] decides with the same function.
    pub fn decide(&self, request: &Request) -> Decision {
        self.decide_with(request, &Unused)
    }

    pub(crate) fn decide_with(&self, request: &Request, usage: &dyn Usage) -> Decision {
        let mut step = self.decide_once(request, &request.to, usage);
        let mut before: Option<Decision> = None;
        let mut passed = Vec::new();
        loop {
            let redirect = match step.verdict {
                Verdict::Deny => Ok(None),
                Verdict::Ask | Verdict::Allow => self.redirect(&step),
            };
            let target = match redirect {
                Ok(target) => target.filter(|target| *target != step.target),
                Err(()) => {
                    step = Decision {
                        overridden: step.determining,
                        ..Decision::deny(Reason::RedirectConflict, step.target)
                    };
                    None
                }
            };
            let joined = match before.take() {
                Some(before) => before.then(step),
                None => step,
            };
            let Some(target) = target else { return joined };
            if passed.contains(&target) || passed.len() >= REDIRECTS {
                let lost = [joined.determining, joined.overridden].concat();
                return Decision {
                    overridden: lost,
                    ..Decision::deny(Reason::RedirectLoop, target)
                };
            }
            passed.push(joined.target.clone());
            step = self.decide_once(request, &target, usage);
            before = Some(joined);
        }
    }

    /// The zone that the deciding rules redirect to.
    fn redirect(&self, decision: &Decision) -> Result<Option<Party>, ()> {
        let mut target: Option<&ZoneName> = None;
        for rule in decision.determining.iter().filter_map(|id| self.rule(*id)) {
            match (&rule.obligations.redirect, target) {
                (Some(redirect), Some(before)) if redirect != before => return Err(()),
                (Some(redirect), _) => target = Some(redirect),
                (None, _) => {}
            }
        }
        Ok(target.cloned().map(Party::Zone))
    }

    fn decide_once(&self, request: &Request, to: &Party, usage: &dyn Usage) -> Decision {
        let candidates = match self.candidates(request.kind, &request.from, to) {
            Ok(candidates) => candidates,
            Err(reason) => return Decision::deny(reason, to.clone()),
        };
        let mut verdict = None;
        let mut determining = Vec::new();
        let mut overridden = Vec::new();
        for bit in candidates {
            let Some((id, rule)) = self
                .rules
                .get(bit)
                .and_then(|id| Some((*id, self.rule(*id)?)))
            else {
                continue;
            };
            if !rule.conditions.fit(&request.facts, rule.verdict, id, usage) {
                continue;
            }
            // Bits are sorted by verdict, so the first that fits decides and the others either join it or lose.
            match verdict {
                None => {
                    verdict = Some(rule.verdict);
                    determining.push(id);
                }
                Some(verdict) if verdict == rule.verdict => determining.push(id),
                Some(_) => overridden.push(id),
            }
        }
        let Some(verdict) = verdict else {
            return Decision::deny(Reason::NoRule, to.clone());
        };
        let duties = self.duties(verdict, &determining);
        Decision {
            verdict,
            reason: Reason::Rules,
            determining,
            overridden,
            duties,
            target: to.clone(),
        }
    }

    /// What the deciding rules ask for together: everything that any of them asks for, and no longer grants than all allow.
    fn duties(&self, verdict: Verdict, determining: &[RuleId]) -> Duties {
        let mut duties = Duties {
            log: LogDetail::Off,
            ..Duties::NONE
        };
        let mut longest: Option<Grant> = None;
        for (index, rule) in determining
            .iter()
            .filter_map(|id| self.rule(*id))
            .enumerate()
        {
            let obligations = &rule.obligations;
            if index == 0 {
                duties.usb_passes.clone_from(&obligations.usb_passes);
            } else {
                let passes = &obligations.usb_passes;
                duties.usb_passes.retain(|extra| passes.contains(extra));
            }
            duties.type_code |= obligations.type_code;
            duties.notify |= obligations.notify;
            duties.scrub.extend(&obligations.scrub);
            duties.log = duties.log.max(obligations.log);
            if verdict == Verdict::Ask {
                let most = obligations.grants.last().copied().unwrap_or(Grant::Once);
                longest = Some(longest.map_or(most, |longest| longest.min(most)));
                duties.grants.extend(&obligations.grants);
            }
        }
        if determining.len() > 1 {
            duties.scrub.sort_unstable();
            duties.scrub.dedup();
            duties.grants.sort_unstable();
            duties.grants.dedup();
        }
        if let Some(longest) = longest {
            duties.grants.retain(|grant| *grant <= longest);
            if duties.grants.is_empty() {
                duties.grants.push(Grant::Once);
            }
        }
        duties
    }

    fn end(&self, party: &Party) -> Result<usize, Reason> {
        match party {
            Party::Host => Ok(self.policy.zones.len()),
            Party::Zone(name) => self
                .zones
                .get(name)
                .copied()
                .ok_or_else(|| Reason::UnknownZone(name.clone())),
        }
    }

    /// The bits of the rules that speak of this kind and these ends, conditions not looked at.
    fn candidates(
        &self,
        kind: Kind,
        from: &Party,
        to: &Party,
    ) -> Result<impl Iterator<Item = usize>, Reason> {
        let (from_row, to_row) = (self.end(from)?, self.end(to)?);
        if from_row == to_row {
            return Err(Reason::SameZone);
        }
        if !kind.goes_between(from, to) {
            return Err(Reason::WrongEnds);
        }
        let level = |row: usize| self.policy.zones.get(row).map(|zone| zone.level);
        let relation = match (level(from_row), level(to_row)) {
            (Some(from), Some(to)) if from < to => 0,
            (Some(from), Some(to)) if from == to => 1,
            (Some(_), Some(_)) => 2,
            _ => 3,
        };
        let row = |rows: &'_ [u64], row: usize| {
            row * self.words..((row + 1) * self.words).min(rows.len())
        };
        let kinds = self
            .kind_rows
            .get(row(&self.kind_rows, kind as usize * 4 + relation))
            .unwrap_or(&[]);
        let froms = self
            .from_rows
            .get(row(&self.from_rows, from_row))
            .unwrap_or(&[]);
        let tos = self.to_rows.get(row(&self.to_rows, to_row)).unwrap_or(&[]);
        let words = kinds
            .iter()
            .zip(froms)
            .zip(tos)
            .map(|((kind, from), to)| kind & from & to);
        Ok(words
            .enumerate()
            .flat_map(|(index, word)| Bits(word).map(move |bit| index * 64 + bit)))
    }

    /// The rules that speak of this kind and these ends, conditions not looked at; denies first, then asks, then allows.
    pub(crate) fn speaking(&self, kind: Kind, from: &Party, to: &Party) -> Vec<RuleId> {
        match self.candidates(kind, from, to) {
            Ok(bits) => bits
                .filter_map(|bit| self.rules.get(bit).copied())
                .collect(),
            Err(_) => Vec::new(),
        }
    }

    /// How many rules of each verdict there are: denies, asks, allows.
    pub fn rule_counts(&self) -> (usize, usize, usize) {
        (
            self.asks,
            self.allows - self.asks,
            self.rules.len() - self.allows,
        )
    }
}

/// The bits set in a word, lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        usize::try_from(bit).ok()
    }
}

impl Selector {
    /// Whether it means a zone, or the host where there is none.
    pub(crate) fn means(&self, zone: Option<&Zone>) -> bool {
        self.terms.iter().all(|term| {
            let fits = match (&term.test, zone) {
                (Test::Host, zone) => zone.is_none(),
                // Words about zones, negated or not, never mean the host.
                (_, None) => return false,
                (Test::Any, Some(_)) => true,
                (Test::Zone(name), Some(zone)) => *name == zone.name,
                (Test::Tag(tag), Some(zone)) => zone.tags.binary_search(tag).is_ok(),
                (Test::Level(least, most), Some(zone)) => (*least..=*most).contains(&zone.level),
            };
            fits != term.negated
        })
    }
}
