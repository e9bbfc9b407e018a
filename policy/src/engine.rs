//! The policy at work in a running endpoint: what was used of its rates, what the user granted, and streams that go on.
//!
//! A thing crosses only with a [`Permit`], and a permit is made nowhere but here, by the decision function. It holds the
//! request that was decided on, so the value that was checked is the value that the handler gets. When the policy
//! changes, every permit is decided on again before its next byte.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

use crate::condition::Condition;
use crate::decide::{Decider, Decision, Reason, RuleId};
use crate::matching::Usage;
use crate::policy::{AtLockout, Policy};
use crate::request::{Facts, Moment, Party, Request};
use crate::rule::{Grant, Kind, LogDetail, Verdict};
use crate::values::{Rate, Timestamp};

/// How many pairs of zones and rules keep a count at once; further ones are denied until one is free.
const METERS: usize = 65_536;
/// How many of a user's grants are kept at once.
const GRANTS: usize = 1_024;
/// The parts that a rate's window is counted in.
const PARTS: u64 = 64;

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It crosses, as the permit says.
    Allowed(Permit),
    /// The user is asked; [`Engine::answer`] says what comes of it.
    Ask(Prompt),
    /// It does not cross.
    Denied(Decision),
}

/// The right to let one thing cross, or one stream go on.
#[derive(Debug)]
pub struct Permit {
    request: Request,
    decision: Decision,
    generation: u64,
    /// Whether it rests on a user's yes.
    granted: bool,
    /// Until when that yes holds; none where it holds for all of this stream.
    until: Option<Timestamp>,
    crossed: u64,
}

impl Permit {
    /// What was decided on: take every value from here, not from where the request came from.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The decision, with its duties.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Who receives it.
    pub fn target(&self) -> &Party {
        &self.decision.target
    }

    /// Bytes that crossed by it, as far as they were told.
    pub fn crossed(&self) -> u64 {
        self.crossed
    }
}

/// A question for the user.
#[derive(Debug)]
pub struct Prompt {
    request: Request,
    decision: Decision,
}

impl Prompt {
    /// What would cross.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Why the user is asked.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// What the user may choose, besides no.
    pub fn choices(&self) -> &[Grant] {
        &self.decision.duties.grants
    }
}

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No, or nothing before the prompt ended.
    No,
    /// Yes, for so long.
    Yes(Grant),
}

/// How the policy stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    InForce,
    /// It holds, and must be renewed by then.
    EndsSoon(Timestamp),
    /// It does not hold yet.
    NotYet(Timestamp),
    /// It does not hold any more since then; all flows are denied.
    Expired(Timestamp),
    /// It was not renewed in time; all flows are denied, and zones locked where the policy says so.
    LockedOut {
        /// Since when.
        since: Timestamp,
        /// Whether zones are locked too.
        lock_zones: bool,
    },
}

impl Policy {
    /// How the policy stands at a time.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let Some(header) = &self.header else {
            return Standing::InForce;
        };
        if let Some(from) = header.not_before.filter(|from| now < *from) {
            return Standing::NotYet(from);
        }
        if let Some(until) = header.expires.filter(|until| now >= *until) {
            return Standing::Expired(until);
        }
        let lockout = self
            .lockout
            .as_ref()
            .zip(header.issued)
            .map(|(lockout, issued)| (issued.plus(lockout.after), lockout));
        if let Some((since, lockout)) = lockout.filter(|(since, _)| now >= *since) {
            return Standing::LockedOut {
                since,
                lock_zones: lockout.then == AtLockout::LockZones,
            };
        }
        let warn = self.warning();
        let end = lockout
            .map(|(since, _)| since)
            .into_iter()
            .chain(header.expires)
            .min();
        match end {
            Some(end) if now.plus(warn) >= end => Standing::EndsSoon(end),
            _ => Standing::InForce,
        }
    }
}

impl Policy {
    /// When [`Policy::standing`] is next another than it is now, by itself. None: it stays.
    pub fn standing_changes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let header = self.header.as_ref()?;
        let lockout = self.lockout.as_ref().zip(header.issued);
        let locked_out = lockout.map(|(lockout, issued)| issued.plus(lockout.after));
        let warn = self.warning();
        let end = locked_out.into_iter().chain(header.expires).min();
        let warned = end.map(|end| {
            let warn = i64::try_from(warn.as_secs()).unwrap_or(i64::MAX);
            Timestamp(end.0.saturating_sub(warn))
        });
        [header.not_before, header.expires, locked_out, warned]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// How long before its end the policy is said to end.
    fn warning(&self) -> Duration {
        self.lockout
            .as_ref()
            .map_or(Duration::from_secs(3 * 86_400), |lockout| lockout.warn)
    }
}

/// Counts what crossed in a window of time, in parts of it, so that never more than the rate crosses in any window.
#[derive(Clone, Debug, Default)]
struct Window {
    /// Number of a part since the epoch, and what was used in it.
    parts: VecDeque<(i64, u64)>,
}

impl Window {
    fn part(rate: Rate, now: Timestamp) -> (i64, i64) {
        // At least a second, as instants are counted in seconds.
        let length = i64::try_from((rate.window.as_secs() / PARTS).max(1)).unwrap_or(i64::MAX);
        let count = i64::try_from(rate.window.as_secs()).unwrap_or(i64::MAX) / length;
        (now.0.div_euclid(length), count)
    }

    fn used(&self, rate: Rate, now: Timestamp) -> u64 {
        let (part, count) = Self::part(rate, now);
        // The oldest part counts whole, though some of it may lie outside the window.
        self.parts
            .iter()
            .filter(|(at, _)| *at >= part.saturating_sub(count))
            .fold(0, |sum, (_, used)| sum.saturating_add(*used))
    }

    fn add(&mut self, rate: Rate, now: Timestamp, amount: u64) {
        let (part, count) = Self::part(rate, now);
        self.parts
            .retain(|(at, _)| *at >= part.saturating_sub(count));
        match self.parts.back_mut() {
            // A clock that was set back adds to the newest part.
            Some((at, used)) if *at >= part => *used = used.saturating_add(amount),
            _ => self.parts.push_back((part, amount)),
        }
    }
}

/// What was used of one rule by one pair of ends.
#[derive(Clone, Debug, Default)]
struct Meter {
    count: Window,
    bytes: Window,
}

/// What was used, as one decision sees it.
struct Reading<'e> {
    meters: &'e HashMap<(RuleId, Party, Party), Meter>,
    request: &'e Request,
    now: Timestamp,
    /// How much the request would add.
    count: u64,
    bytes: Option<u64>,
}

impl Reading<'_> {
    fn within(
        &self,
        rule: RuleId,
        rate: Rate,
        amount: u64,
        window: impl Fn(&Meter) -> &Window,
    ) -> bool {
        let key = (rule, self.request.from.clone(), self.request.to.clone());
        let used = match self.meters.get(&key) {
            Some(meter) => window(meter).used(rate, self.now),
            // Where no further count can be kept nothing is within a rate.
            None if self.meters.len() >= METERS => u64::MAX,
            None => 0,
        };
        used.saturating_add(amount) <= rate.amount
    }
}

impl Usage for Reading<'_> {
    fn count_is_within(&self, rule: RuleId, rate: Rate) -> bool {
        self.within(rule, rate, self.count, |meter| &meter.count)
    }

    fn bytes_are_within(&self, rule: RuleId, rate: Rate, _: &Facts) -> Option<bool> {
        Some(self.within(rule, rate, self.bytes?, |meter| &meter.bytes))
    }
}

/// A user's yes: for which flow, by which rules, until when.
#[derive(Clone, Debug)]
struct Granted {
    kind: Kind,
    from: Party,
    to: Party,
    target: Party,
    rules: Vec<RuleId>,
    /// None until the session ends.
    until: Option<Timestamp>,
    since: Timestamp,
}

/// The policy at work.
#[derive(Debug)]
pub struct Engine {
    decider: Decider,
    generation: u64,
    meters: HashMap<(RuleId, Party, Party), Meter>,
    grants: Vec<Granted>,
    records_are_possible: bool,
}

impl Engine {
    /// Puts a policy to work.
    pub fn new(policy: Policy) -> Self {
        Self {
            decider: Decider::new(policy),
            generation: 1,
            meters: HashMap::new(),
            grants: Vec::new(),
            records_are_possible: true,
        }
    }

    /// The policy at work, ready to decide without this engine's memory.
    pub fn decider(&self) -> &Decider {
        &self.decider
    }

    /// The policy at work.
    pub fn policy(&self) -> &Policy {
        self.decider.policy()
    }

    /// Counts up with every change of policy.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Puts another policy to work. What users granted is forgotten; what was used of a rate is not, where the new policy
    /// has a rule of the same name. Every stream is decided on again before its next byte.
    pub fn replace(&mut self, policy: Policy) {
        let before = std::mem::replace(&mut self.decider, Decider::new(policy));
        self.generation += 1;
        self.grants.clear();
        let rules = (0u16..).map(RuleId).zip(&self.decider.policy().rules);
        let ids: HashMap<&str, RuleId> = rules.map(|(id, rule)| (rule.name.as_str(), id)).collect();
        let meters =
            std::mem::take(&mut self.meters)
                .into_iter()
                .filter_map(|((rule, from, to), meter)| {
                    let id = ids.get(before.rule(rule)?.name.as_str())?;
                    Some(((*id, from, to), meter))
                });
        self.meters = meters.collect();
    }

    /// Forgets what the user granted: at the end of a session, when the desktop is locked, when a zone ends.
    pub fn end_session(&mut self) {
        self.grants.clear();
    }

    /// Tells whether records can be written. While they cannot, flows that need one are denied.
    pub fn set_records_possible(&mut self, possible: bool) {
        self.records_are_possible = possible;
    }

    /// Decides on a request. What was used of rates and what the user granted counts.
    pub fn authorise(&mut self, mut request: Request, moment: Moment) -> Outcome {
        request.facts.moment = Some(moment);
        let decision = self.decide(&request, moment);
        match decision.verdict {
            Verdict::Deny => Outcome::Denied(decision),
            Verdict::Allow => self.permit(request, decision, moment.now, None),
            Verdict::Ask => match self
                .grant(&request, &decision, moment.now)
                .map(|grant| grant.until)
            {
                Some(until) => self.permit(request, decision, moment.now, Some(until)),
                None => Outcome::Ask(Prompt { request, decision }),
            },
        }
    }

    /// Takes the user's answer to a prompt. The request is decided on again first: while the prompt stood, the policy may
    /// have changed and rates been used. A yes longer than the rules allow is taken for the longest that they do.
    pub fn answer(&mut self, prompt: Prompt, answer: Answer, moment: Moment) -> Outcome {
        let Prompt {
            mut request,
            decision: asked,
        } = prompt;
        request.facts.moment = Some(moment);
        let Answer::Yes(chosen) = answer else {
            return Outcome::Denied(Decision {
                verdict: Verdict::Deny,
                reason: Reason::UserRefused,
                ..asked
            });
        };
        let decision = self.decide(&request, moment);
        match decision.verdict {
            Verdict::Deny => Outcome::Denied(decision),
            // The user agreed to one receiver, shown at the prompt; another must be asked for anew.
            _ if decision.target != asked.target => Outcome::Ask(Prompt { request, decision }),
            Verdict::Allow => self.permit(request, decision, moment.now, None),
            Verdict::Ask => {
                let longest = decision
                    .duties
                    .grants
                    .last()
                    .copied()
                    .unwrap_or(Grant::Once);
                let until = match chosen.min(longest) {
                    Grant::Once => return self.permit(request, decision, moment.now, Some(None)),
                    Grant::For(duration) => Some(moment.now.plus(duration)),
                    Grant::Session => None,
                };
                self.grants
                    .retain(|grant| grant.until.is_none_or(|until| until > moment.now));
                if self.grants.len() < GRANTS {
                    self.grants.push(Granted {
                        kind: request.kind,
                        from: request.from.clone(),
                        to: request.to.clone(),
                        target: decision.target.clone(),
                        rules: decision.determining.clone(),
                        until,
                        since: moment.now,
                    });
                }
                self.permit(request, decision, moment.now, Some(until))
            }
        }
    }

    /// Whether a stream may go on with so many more bytes. Limits on the size hold for the stream as a whole. When the
    /// policy has changed since its permit was given, a user's yes counts no more.
    ///
    /// # Errors
    /// The decision that ends the stream.
    pub fn go_on(
        &mut self,
        permit: &mut Permit,
        bytes: u64,
        moment: Moment,
    ) -> Result<(), Box<Decision>> {
        let mut request = permit.request.clone();
        request.facts.moment = Some(moment);
        request.facts.bytes = Some(permit.crossed.saturating_add(bytes));
        let decision = self.decide_charging(&request, moment.now, 0, Some(bytes));
        let yes_counts = permit.granted
            && permit.generation == self.generation
            && permit.until.is_none_or(|until| moment.now < until)
            && permit.decision.determining == decision.determining;
        match decision.verdict {
            Verdict::Deny => return Err(Box::new(decision)),
            Verdict::Ask if !yes_counts => {
                return Err(Box::new(Decision {
                    verdict: Verdict::Deny,
                    reason: Reason::UserRefused,
                    ..decision
                }));
            }
            _ if decision.target != permit.decision.target => {
                return Err(Box::new(Decision {
                    verdict: Verdict::Deny,
                    reason: Reason::RedirectConflict,
                    ..decision
                }));
            }
            Verdict::Ask | Verdict::Allow => {}
        }
        self.charge(&request, &decision, moment.now, 0, bytes);
        permit.decision = decision;
        permit.generation = self.generation;
        permit.crossed = permit.crossed.saturating_add(bytes);
        Ok(())
    }

    fn decide(&self, request: &Request, moment: Moment) -> Decision {
        self.decide_charging(request, moment.now, 1, request.facts.bytes)
    }

    /// Decides, where `count` and `bytes` are what would be added to what was used of rates.
    fn decide_charging(
        &self,
        request: &Request,
        now: Timestamp,
        count: u64,
        bytes: Option<u64>,
    ) -> Decision {
        let reason = match self.policy().standing(now) {
            Standing::InForce | Standing::EndsSoon(_) => None,
            Standing::NotYet(_) | Standing::Expired(_) => Some(Reason::NotInForce),
            Standing::LockedOut { .. } => Some(Reason::LockedOut),
        };
        if let Some(reason) = reason {
            return Decision::deny(reason, request.to.clone());
        }
        let reading = Reading {
            meters: &self.meters,
            request,
            now,
            count,
            bytes,
        };
        let decision = self.decider.decide_with(request, &reading);
        if decision.verdict != Verdict::Deny
            && !self.records_are_possible
            && self.needs_record(&decision)
        {
            let overridden = [decision.determining, decision.overridden].concat();
            return Decision {
                overridden,
                ..Decision::deny(Reason::NoRecord, decision.target)
            };
        }
        decision
    }

    /// Whether a flow with this decision must be recorded.
    pub fn needs_record(&self, decision: &Decision) -> bool {
        decision.duties.log != LogDetail::Off
            && self.policy().audit.record.contains(&decision.verdict)
    }

    fn permit(
        &mut self,
        request: Request,
        decision: Decision,
        now: Timestamp,
        yes: Option<Option<Timestamp>>,
    ) -> Outcome {
        self.charge(
            &request,
            &decision,
            now,
            1,
            request.facts.bytes.unwrap_or(0),
        );
        let generation = self.generation;
        Outcome::Allowed(Permit {
            request,
            decision,
            generation,
            granted: yes.is_some(),
            until: yes.flatten(),
            crossed: 0,
        })
    }

    /// Adds to what was used of the rates of all rules that let the request through.
    fn charge(
        &mut self,
        request: &Request,
        decision: &Decision,
        now: Timestamp,
        count: u64,
        bytes: u64,
    ) {
        for id in &decision.determining {
            let Some(rule) = self.decider.rule(*id) else {
                continue;
            };
            for condition in rule.conditions.iter() {
                let (rate, amount, of_bytes) = match condition {
                    Condition::Rate(rate) => (*rate, count, false),
                    Condition::ByteRate(rate) => (*rate, bytes, true),
                    _ => continue,
                };
                if amount > 0 {
                    let meter = self
                        .meters
                        .entry((*id, request.from.clone(), request.to.clone()))
                        .or_default();
                    let window = if of_bytes {
                        &mut meter.bytes
                    } else {
                        &mut meter.count
                    };
                    window.add(rate, now, amount);
                }
            }
        }
    }

    /// The yes that the user gave before for just this flow and these rules, and until when it holds.
    fn grant(&self, request: &Request, decision: &Decision, now: Timestamp) -> Option<&Granted> {
        self.grants.iter().find(|grant| {
            grant.kind == request.kind
                && grant.from == request.from
                && grant.to == request.to
                && grant.target == decision.target
                && grant.rules == decision.determining
                // Nor does it hold before it was given: a clock that is set back ends it.
                && now >= grant.since
                && grant.until.is_none_or(|until| now < until)
        })
    }
}
