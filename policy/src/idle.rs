//! Rules that do nothing: they never fit, stricter rules always decide, or others say the same.

use crate::decide::Decider;
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::request::Party;
use crate::rule::{Kind, Origin, Rule, Selector, Test, Verdict};

/// A kind of flow between two ends, these by their place in [`Decider::parties`].
type Place = (Kind, usize, usize);

impl Decider {
    /// A warning for each rule that does nothing, and for redirects to where nothing may go.
    pub(crate) fn idle_rules(&self) -> Vec<Diagnostic> {
        let ends = Ends::of(self.policy());
        let rules = &self.policy().rules;
        let mut warnings = Vec::new();
        for (index, rule) in rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.origin == Origin::Written)
        {
            let places = ends.places(index, rule);
            if places.is_empty() {
                warnings.push(self.never_fits(rule));
                continue;
            }
            let near = |other: &Rule| !other.kinds.minus(other.kinds.minus(rule.kinds)).is_empty();
            let stricter = |_, other: &Rule| {
                other.verdict < rule.verdict
                    && near(other)
                    && other.conditions.cover(&rule.conditions)
            };
            if let Some(by) = ends.covering(&places, stricter) {
                let message = format!(
                    "this flow never decides: wherever it fits, a stricter one decides ({})",
                    by.verdict
                );
                let warning = self.warn(
                    rule.span,
                    "overridden",
                    message,
                    "leave it out, or narrow the stricter one",
                );
                warnings.push(warning.related(
                    self.policy().source(),
                    by.span,
                    format!("\"{}\" is one of them", by.name),
                ));
                continue;
            }
            // Of two rules that say the same the later one is needless.
            let wider = |at: usize, other: &Rule| {
                at != index
                    && other.verdict == rule.verdict
                    && near(other)
                    && other.obligations == rule.obligations
                    && other.conditions.cover(&rule.conditions)
                    && (at < index || !rule.conditions.cover(&other.conditions))
            };
            if let Some(by) = ends.covering(&places, wider) {
                let warning = self.warn(
                    rule.span,
                    "redundant",
                    "this flow says nothing that others do not say".to_owned(),
                    "leave it out",
                );
                warnings.push(warning.related(
                    self.policy().source(),
                    by.span,
                    format!("\"{}\" is one of them", by.name),
                ));
            }
            if let Some(target) = &rule.obligations.redirect {
                warnings.extend(self.dead_end(rule, &Party::Zone(target.clone()), &places, &ends));
            }
        }
        warnings
    }

    fn never_fits(&self, rule: &Rule) -> Diagnostic {
        let zones = &self.policy().zones;
        let sensitive = |name: &str| zones.iter().any(|zone| zone.sensitive && zone.name == name);
        let mut terms = rule
            .from
            .iter()
            .chain(&rule.to)
            .flat_map(|selector| &selector.terms);
        let about_sensitive =
            terms.any(|term| matches!(&term.test, Test::Zone(name) if sensitive(name.as_str())));
        let (message, mend) = if about_sensitive && rule.verdict != Verdict::Deny {
            (
                "this flow never fits: it speaks of a sensitive zone, and no rule can give one a flow",
                "leave it out, or take `sensitive` from the zone",
            )
        } else {
            (
                "this flow never fits: no pair of zones is what it speaks of",
                "look at `from`, `to` and `levels` together",
            )
        };
        self.warn(rule.span, "never-fits", message.to_owned(), mend)
    }

    /// A redirect to where nothing may go is a deny in disguise.
    fn dead_end(
        &self,
        rule: &Rule,
        target: &Party,
        places: &[Place],
        ends: &Ends<'_>,
    ) -> Option<Diagnostic> {
        let mut senders: Vec<(Kind, &Party)> = places
            .iter()
            .filter_map(|(kind, from, _)| Some((*kind, ends.parties.get(*from)?)))
            .collect();
        senders.dedup();
        let denied = |(kind, from): &&(Kind, &Party)| {
            *from != target && self.cell(*kind, from, target).best == Verdict::Deny
        };
        let (kind, from) = senders.iter().find(denied)?;
        let message = format!(
            "this flow redirects to zone \"{target}\", but {kind} from zone \"{from}\" is denied there, so it ends in a deny"
        );
        let mend = format!("add a flow from \"{from}\" to \"{target}\", or leave out the redirect");
        Some(self.warn(
            rule.redirect_span.unwrap_or(rule.span),
            "redirect-denied",
            message,
            mend,
        ))
    }
}

/// Which ends each rule speaks of.
struct Ends<'p> {
    policy: &'p Policy,
    parties: Vec<Party>,
    levels: Vec<Option<u8>>,
    sensitive: Vec<bool>,
    /// For each rule, whether it takes each party for a sender.
    from: Vec<Vec<bool>>,
    /// For each rule, whether it takes each party for a receiver.
    to: Vec<Vec<bool>>,
}

impl<'p> Ends<'p> {
    fn of(policy: &'p Policy) -> Self {
        let ends = || policy.zones.iter().map(Some).chain([None]);
        let side = |selectors: fn(&Rule) -> &[Selector]| {
            let row = |rule| {
                ends()
                    .map(|end| selectors(rule).iter().any(|selector| selector.means(end)))
                    .collect()
            };
            policy.rules.iter().map(row).collect()
        };
        Self {
            policy,
            parties: ends()
                .map(|zone| zone.map_or(Party::Host, |zone| Party::Zone(zone.name.clone())))
                .collect(),
            levels: ends().map(|zone| zone.map(|zone| zone.level)).collect(),
            sensitive: ends()
                .map(|zone| zone.is_some_and(|zone| zone.sensitive))
                .collect(),
            from: side(|rule| &rule.from),
            to: side(|rule| &rule.to),
        }
    }

    fn speaks(&self, index: usize, rule: &Rule, from: usize, to: usize) -> bool {
        let bit = |sets: &[Vec<bool>], at: usize| {
            sets.get(index)
                .and_then(|set| set.get(at))
                .copied()
                .unwrap_or(false)
        };
        let level = |at: usize| self.levels.get(at).copied().flatten();
        bit(&self.from, from)
            && bit(&self.to, to)
            && rule.levels.is_none_or(|levels| {
                level(from)
                    .zip(level(to))
                    .is_some_and(|(from, to)| levels.holds(from, to))
            })
    }

    /// Where a rule can decide. On sensitive zones only denies can.
    fn places(&self, index: usize, rule: &Rule) -> Vec<Place> {
        let open = |at: usize| {
            rule.verdict == Verdict::Deny || !self.sensitive.get(at).copied().unwrap_or(false)
        };
        let mut places = Vec::new();
        for (from, sender) in self.parties.iter().enumerate().filter(|(at, _)| open(*at)) {
            for (to, receiver) in self.parties.iter().enumerate().filter(|(at, _)| open(*at)) {
                if from != to && self.speaks(index, rule, from, to) {
                    places.extend(
                        rule.kinds
                            .iter()
                            .filter(|kind| kind.goes_between(sender, receiver))
                            .map(|kind| (kind, from, to)),
                    );
                }
            }
        }
        places
    }

    /// One of the rules that a test accepts, where together they speak of all places.
    fn covering(
        &self,
        places: &[Place],
        accepts: impl Fn(usize, &Rule) -> bool,
    ) -> Option<&'p Rule> {
        let others: Vec<(usize, &Rule)> = self
            .policy
            .rules
            .iter()
            .enumerate()
            .filter(|(at, other)| accepts(*at, other))
            .collect();
        let mut first = None;
        for (kind, from, to) in places {
            let by = others.iter().find(|(index, other)| {
                other.kinds.contains(*kind) && self.speaks(*index, other, *from, *to)
            })?;
            first = first.or(Some(by.1));
        }
        first
    }
}
