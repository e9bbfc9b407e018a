//! What a policy says and probably does not mean.
//!
//! A file that reads without an error may still open an indirect way from a secret zone to the internet, hold rules that
//! never fit, or mark two zones in colours that look alike. These are warnings: each names its place and the mend.

use std::collections::HashMap;
use std::time::Duration;

use crate::colour::Sight;
use crate::condition::Condition;
use crate::decide::{Decider, RuleId};
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::pattern::TextPattern;
use crate::reach::{Path, Reach};
use crate::request::Party;
use crate::rule::{Ends, Kind, Origin, Rule, Verdict};
use crate::values::Timestamp;
use crate::zone::Zone;

/// Colours nearer than this are hard to tell apart at the edge of a window.
const ALIKE: f64 = 15.0;
/// The same for those who do not see all colours, who are used to looking twice.
const ALIKE_TO_COLOUR_BLIND: f64 = 8.0;
/// From when on an expiry is soon.
const SOON: Duration = Duration::from_secs(30 * 86_400);
/// How many indirect ways are told one by one.
const WAYS: usize = 10;

impl Decider {
    /// Finds what the policy probably does not mean, in the order of the file. `now` lets it speak of expiry.
    pub fn lint(&self, now: Option<Timestamp>) -> Vec<Diagnostic> {
        let mut warnings = Vec::new();
        self.header(now, &mut warnings);
        self.colours(&mut warnings);
        self.indirect_flows(&mut warnings);
        warnings.extend(self.idle_rules());
        for rule in &self.policy().rules {
            self.over_broad(rule, &mut warnings);
        }
        warnings.sort_by(|left, right| left.location.cmp(&right.location));
        warnings
    }

    pub(crate) fn warn(
        &self,
        span: Span,
        code: &'static str,
        message: String,
        mend: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::warning(self.policy().source(), span, code, message).mend(mend)
    }

    fn header(&self, now: Option<Timestamp>, warnings: &mut Vec<Diagnostic>) {
        let policy = self.policy();
        let Some(header) = &policy.header else {
            let mend = "add `[policy]` with `id` and `version` before you sign it";
            warnings.push(self.warn(
                Span::default(),
                "no-header",
                "the policy has no header, so it cannot be installed".to_owned(),
                mend,
            ));
            return;
        };
        let span = header.expires_span.unwrap_or(header.span);
        match (header.expires, now) {
            (None, _) => {
                let message = "the policy never expires, so an old copy stays good for ever on an endpoint that is kept from updates".to_owned();
                warnings.push(self.warn(
                    header.span,
                    "no-expiry",
                    message,
                    "add `expires = …` to `[policy]`",
                ));
            }
            (Some(expires), Some(now)) if expires <= now => {
                warnings.push(self.warn(
                    span,
                    "expired",
                    format!("the policy expired on {expires}"),
                    "set a later `expires` and raise `version`",
                ));
            }
            (Some(expires), Some(now)) if expires <= now.plus(SOON) => {
                let days = (expires.0 - now.0) / 86_400;
                let message = format!("the policy expires in {days} days");
                warnings.push(self.warn(
                    span,
                    "expires-soon",
                    message,
                    "sign a new version with a later `expires` in time",
                ));
            }
            _ => {}
        }
        let unpinned: Vec<&Zone> = policy
            .zones
            .iter()
            .filter(|zone| zone.image.sha256.is_none())
            .collect();
        if let [first, ..] = unpinned.as_slice() {
            let names: Vec<&str> = unpinned.iter().map(|zone| zone.name.as_str()).collect();
            let message = format!(
                "the image is named without its hash, so whatever is called so is run (zones {})",
                names.join(", ")
            );
            let mend = format!(
                "pin it: `image = \"{}@sha256:…\"`; `bulkhead image list` shows the hash",
                first.image
            );
            warnings.push(
                self.warn(first.image.span, "unpinned-image", message, mend)
                    .graded(Severity::Advice),
            );
        }
    }

    fn colours(&self, warnings: &mut Vec<Diagnostic>) {
        let zones = &self.policy().zones;
        for (index, zone) in zones.iter().enumerate() {
            for other in zones.iter().take(index) {
                let alike = Sight::ALL
                    .into_iter()
                    .map(|sight| (sight, zone.colour.difference(other.colour, sight)))
                    .find(|(sight, difference)| {
                        *difference
                            < if *sight == Sight::Full {
                                ALIKE
                            } else {
                                ALIKE_TO_COLOUR_BLIND
                            }
                    });
                let Some((sight, difference)) = alike else {
                    continue;
                };
                // With full sight the colour is what is seen first; without it the shape is there to help.
                let severity = if sight == Sight::Full || zone.shape == other.shape {
                    Severity::Warning
                } else {
                    Severity::Advice
                };
                let message = format!(
                    "the colours of zones \"{}\" and \"{}\" look alike with {sight}: they differ by {difference:.1} (CIEDE2000), and {} is wanted",
                    other.name,
                    zone.name,
                    if sight == Sight::Full {
                        ALIKE
                    } else {
                        ALIKE_TO_COLOUR_BLIND
                    },
                );
                let mend = if zone.shape == other.shape {
                    "choose another colour, and another shape too"
                } else {
                    "choose another colour"
                };
                let warning = self.warn(zone.spans.colour, "look-alike-colour", message, mend);
                let warning = warning.related(
                    self.policy().source(),
                    other.spans.colour,
                    format!("zone \"{}\"", other.name),
                );
                warnings.push(warning.graded(severity));
            }
        }
    }

    /// Ways from a higher level to a lower one that no rule between the two says openly.
    fn indirect_flows(&self, warnings: &mut Vec<Diagnostic>) {
        let reach = self.reach(false);
        let level = |party: &Party| {
            self.policy()
                .zone(party.as_str())
                .map_or(0, |zone| zone.level)
        };
        let hops: HashMap<(&str, &str), Verdict> = reach
            .hops
            .iter()
            .map(|hop| ((hop.from.as_str(), hop.to.as_str()), hop.verdict))
            .collect();
        let direct = |path: &Path| {
            hops.get(&(path.from.as_str(), path.to.as_str()))
                .copied()
                .unwrap_or(Verdict::Deny)
        };
        let down = |path: &&Path| {
            level(&path.from) > level(&path.to)
                && path.hops.len() > 1
                && path.verdict > direct(path)
        };
        let accepted = |path: &&Path| {
            let mut accepted = self.policy().accepted_ways.iter();
            accepted.any(|(from, to, _)| *from == *path.from.as_str() && *to == *path.to.as_str())
        };
        let (meant, mut ways): (Vec<&Path>, Vec<&Path>) =
            reach.paths.iter().filter(down).partition(accepted);
        for (from, to, span) in &self.policy().accepted_ways {
            if !meant
                .iter()
                .any(|path| *from == *path.from.as_str() && *to == *path.to.as_str())
            {
                let message =
                    format!("there is no indirect way from \"{from}\" down to \"{to}\" to accept");
                warnings.push(self.warn(
                    *span,
                    "needless-acceptance",
                    message,
                    "leave it out, so that a way that opens later is told",
                ));
            }
        }
        ways.sort_by_key(|path| (path.hops.len(), std::cmp::Reverse(path.verdict)));
        for path in ways.iter().take(WAYS) {
            warnings.push(self.indirect_flow(&reach, path, direct(path)));
        }
        if ways.len() > WAYS {
            let message = format!(
                "there are {} more indirect ways from higher to lower levels",
                ways.len() - WAYS
            );
            warnings.push(self.warn(
                Span::default(),
                "indirect-flow",
                message,
                "`bulkhead policy reach` lists them all",
            ));
        }
    }

    fn indirect_flow(&self, reach: &Reach, path: &Path, direct: Verdict) -> Diagnostic {
        debug_assert!(reach.path(&path.from, &path.to).is_some());
        let rule = |id: Option<&RuleId>| id.and_then(|id| self.rule(*id));
        let last = path.hops.last().and_then(|hop| rule(hop.rules.first()));
        let span = last.map_or(Span::default(), |rule| rule.span);
        let zone = |party: &Party| {
            self.policy()
                .zone(party.as_str())
                .map_or(0, |zone| zone.level)
        };
        let message = format!(
            "data of zone \"{}\" (level {}) can arrive in zone \"{}\" (level {}) by {} hops, though the direct way is {direct}: {path}",
            path.from,
            zone(&path.from),
            path.to,
            zone(&path.to),
            path.hops.len(),
        );
        let mend = format!(
            "close one hop; or, if it is meant, add \"{} -> {}\" to `accepted-ways` in `[check]`",
            path.from, path.to
        );
        let mut warning = self.warn(span, "indirect-flow", message, mend);
        for hop in path.hops.iter().take(path.hops.len().saturating_sub(1)) {
            if let Some(rule) = rule(hop.rules.first()) {
                warning = warning.related(
                    self.policy().source(),
                    rule.span,
                    format!("{} -> {}", hop.from, hop.to),
                );
            }
        }
        warning
    }

    fn over_broad(&self, rule: &Rule, warnings: &mut Vec<Diagnostic>) {
        if rule.origin != Origin::Written || rule.verdict == Verdict::Deny {
            return;
        }
        let between_zones = rule
            .kinds
            .iter()
            .any(|kind| matches!(kind.ends(), Ends::ZoneToZone));
        if rule.verdict == Verdict::Allow
            && rule.is_for_anyone()
            && rule.conditions.is_empty()
            && between_zones
            && rule.levels.is_none()
        {
            let message = format!(
                "this flow lets {} go from every zone to every other, unasked",
                rule.kinds
            );
            warnings.push(self.warn(
                rule.span,
                "over-broad",
                message,
                "name the zones, ask, or add `levels = \"not-down\"`",
            ));
        }
        let everything = |list: &[TextPattern]| list.iter().any(TextPattern::is_everything);
        for condition in rule.conditions.iter() {
            let what = match condition {
                Condition::Mime(list)
                    if list.iter().any(crate::pattern::MimePattern::is_everything) =>
                {
                    "every media type"
                }
                Condition::Hosts(list)
                    if list.iter().any(crate::pattern::HostPattern::is_everything) =>
                {
                    "every host"
                }
                Condition::Hosts(list)
                    if list.iter().any(crate::pattern::HostPattern::is_over_broad) =>
                {
                    "every host under a top-level domain"
                }
                Condition::Applications(list)
                | Condition::Services(list)
                | Condition::Connected(list)
                    if everything(list) =>
                {
                    "everything"
                }
                _ => continue,
            };
            let message = format!(
                "`{}` = {} fits {what}, so it limits nothing",
                condition.key(),
                condition.value()
            );
            warnings.push(self.warn(
                rule.span,
                "over-broad",
                message,
                "write what is meant, or leave the condition out",
            ));
        }
        let usb = rule.kinds.contains(Kind::Usb)
            && !rule
                .conditions
                .iter()
                .any(|condition| matches!(condition, Condition::Usb(_)));
        if usb && rule.verdict == Verdict::Allow {
            let message =
                "this flow hands any USB device to a zone, keyboards and memory sticks among them"
                    .to_owned();
            warnings.push(self.warn(
                rule.span,
                "over-broad",
                message,
                "add `when = { usb = \"class=…\" }`",
            ));
        }
        let services = rule.kinds.contains(Kind::Service)
            && !rule
                .conditions
                .iter()
                .any(|condition| matches!(condition, Condition::Services(_)));
        if services && rule.verdict == Verdict::Allow {
            let message =
                "this flow lets a zone call every service there is, also those that come later"
                    .to_owned();
            warnings.push(self.warn(
                rule.span,
                "over-broad",
                message,
                "add `when = { services = … }`",
            ));
        }
    }
}
