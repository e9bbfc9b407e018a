//! Whether a condition holds of a thing, and whether one rule's conditions cover another's.

use std::fmt;

use crate::condition::{Condition, Conditions};
use crate::decide::RuleId;
use crate::request::Facts;
use crate::rule::Verdict;
use crate::values::Rate;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// The fact it asks for is not known.
    Unknown,
}

impl Holds {
    fn of(fact: Option<bool>) -> Self {
        match fact {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }

    /// Whether the rule still fits: what is not known counts against crossing.
    fn lets_fit(self, verdict: Verdict) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::Unknown => verdict == Verdict::Deny,
        }
    }
}

/// What has been used of rules' rates.
pub(crate) trait Usage {
    /// Whether one more keeps within a rule's rate.
    fn count_is_within(&self, rule: RuleId, rate: Rate) -> bool;

    /// Whether the request's bytes keep within a rule's rate; none where they are not known.
    fn bytes_are_within(&self, rule: RuleId, rate: Rate, facts: &Facts) -> Option<bool>;
}

/// Nothing used yet.
pub(crate) struct Unused;

impl Usage for Unused {
    fn count_is_within(&self, _: RuleId, _: Rate) -> bool {
        true
    }

    fn bytes_are_within(&self, _: RuleId, rate: Rate, facts: &Facts) -> Option<bool> {
        facts.bytes.map(|bytes| bytes <= rate.amount)
    }
}

impl Condition {
    pub(crate) fn holds(
        &self,
        facts: &Facts,
        verdict: Verdict,
        rule: RuleId,
        usage: &dyn Usage,
    ) -> Holds {
        let known = match self {
            Self::Mime(list) => facts
                .mime
                .as_ref()
                .map(|mime| list.iter().any(|pattern| pattern.matches(mime.as_str()))),
            Self::Extensions(list) => facts
                .file_name
                .as_ref()
                .map(|name| list.iter().any(|ending| ending.matches(name.as_str()))),
            Self::MaxBytes(size) => facts.bytes.map(|bytes| bytes <= size.0),
            Self::OverBytes(size) => facts.bytes.map(|bytes| bytes > size.0),
            Self::Rate(rate) => Some(usage.count_is_within(rule, *rate)),
            Self::ByteRate(rate) => usage.bytes_are_within(rule, *rate, facts),
            Self::TimeToLive(most) => facts.age.map(|age| age <= *most),
            Self::Schemes(list) => facts
                .url
                .as_ref()
                .map(|url| list.iter().any(|scheme| scheme == url.scheme())),
            Self::Hosts(list) => match (&facts.url, &facts.host) {
                (Some(url), _) => url
                    .host()
                    .map(|host| list.iter().any(|pattern| pattern.matches(host))),
                (None, Some(host)) => {
                    Some(list.iter().any(|pattern| pattern.matches(host.as_str())))
                }
                (None, None) => None,
            },
            Self::Ports(list) => facts
                .port
                .map(|port| list.iter().any(|range| range.matches(port))),
            Self::Applications(list) => facts
                .application
                .as_ref()
                .map(|word| list.iter().any(|pattern| pattern.matches(word.as_str()))),
            Self::Services(list) => facts
                .service
                .as_ref()
                .map(|word| list.iter().any(|pattern| pattern.matches(word.as_str()))),
            Self::Arguments(list) => facts
                .argument
                .as_ref()
                .map(|word| list.iter().any(|pattern| pattern.matches(word.as_str()))),
            Self::Usb(list) => facts
                .usb
                .as_ref()
                .map(|device| list.iter().any(|pattern| pattern.fits(device, verdict))),
            Self::Hours(hours) => facts
                .moment
                .map(|moment| hours.contains(moment.minute_of_day())),
            Self::Days(days) => facts.moment.map(|moment| days.contains(moment.weekday())),
            Self::Connected(list) => facts.connected.as_ref().map(|names| {
                names
                    .iter()
                    .any(|name| list.iter().any(|pattern| pattern.matches(name.as_str())))
            }),
        };
        Holds::of(known)
    }

    /// Whether whatever satisfies `other` also satisfies this. May miss some cases, never claims one wrongly.
    fn covers(&self, other: &Self) -> bool {
        fn each<T>(ours: &[T], theirs: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
            theirs
                .iter()
                .all(|their| ours.iter().any(|our| covers(our, their)))
        }
        match (self, other) {
            (Self::Mime(ours), Self::Mime(theirs)) => {
                each(ours, theirs, |our, their| our.covers(their))
            }
            (Self::Extensions(ours), Self::Extensions(theirs)) => {
                each(ours, theirs, |our, their| our.covers(their))
            }
            (Self::MaxBytes(ours), Self::MaxBytes(theirs)) => ours >= theirs,
            (Self::OverBytes(ours), Self::OverBytes(theirs)) => ours <= theirs,
            (Self::TimeToLive(ours), Self::TimeToLive(theirs)) => ours >= theirs,
            (Self::Schemes(ours), Self::Schemes(theirs)) => each(ours, theirs, PartialEq::eq),
            (Self::Hosts(ours), Self::Hosts(theirs)) => {
                each(ours, theirs, |our, their| our.covers(their))
            }
            (Self::Ports(ours), Self::Ports(theirs)) => {
                each(ours, theirs, |our, their| our.covers(their))
            }
            (Self::Applications(ours), Self::Applications(theirs))
            | (Self::Services(ours), Self::Services(theirs))
            | (Self::Arguments(ours), Self::Arguments(theirs))
            | (Self::Connected(ours), Self::Connected(theirs)) => {
                each(ours, theirs, |our, their| our.covers(their))
            }
            (Self::Usb(ours), Self::Usb(theirs)) => {
                each(ours, theirs, |our, their| our.covers(their))
            }
            (Self::Hours(ours), Self::Hours(theirs)) => {
                (0..1440).all(|minute| ours.contains(minute) || !theirs.contains(minute))
            }
            (Self::Days(ours), Self::Days(theirs)) => theirs.is_subset(*ours),
            // Two rules use up their rates apart from one another.
            _ => false,
        }
    }
}

impl Conditions {
    /// Whether a rule with these conditions and this verdict fits.
    pub(crate) fn fit(
        &self,
        facts: &Facts,
        verdict: Verdict,
        rule: RuleId,
        usage: &dyn Usage,
    ) -> bool {
        self.iter().all(|condition| {
            condition
                .holds(facts, verdict, rule, usage)
                .lets_fit(verdict)
        })
    }

    /// The conditions that keep a rule from fitting.
    pub(crate) fn failing(
        &self,
        facts: &Facts,
        verdict: Verdict,
        rule: RuleId,
        usage: &dyn Usage,
    ) -> Vec<Failing> {
        self.iter()
            .filter_map(|condition| {
                let holds = condition.holds(facts, verdict, rule, usage);
                (!holds.lets_fit(verdict)).then(|| Failing {
                    key: condition.key(),
                    wanted: condition.value(),
                    found: found(condition, facts),
                })
            })
            .collect()
    }

    /// Whether whatever fits `other` also fits these. May miss some cases, never claims one wrongly.
    pub(crate) fn cover(&self, other: &Self) -> bool {
        self.iter()
            .all(|ours| other.iter().any(|theirs| ours.covers(theirs)))
    }
}

/// A condition that does not hold: what it wants and what was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failing {
    /// The condition's key.
    pub key: &'static str,
    /// What it wants.
    pub wanted: String,
    /// What was found; none where the fact is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl fmt::Display for Failing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, wanted, found } = self;
        match found {
            Some(found) => write!(formatter, "`{key}` is {wanted}, but here it is {found}"),
            None => write!(formatter, "`{key}` is {wanted}, but here that is not known"),
        }
    }
}

fn found(condition: &Condition, facts: &Facts) -> Option<String> {
    let keys: &[&str] = match condition {
        Condition::Mime(_) => &["mime"],
        Condition::Extensions(_) => &["file"],
        Condition::MaxBytes(_) | Condition::OverBytes(_) => {
            return facts
                .bytes
                .map(|bytes| crate::values::ByteSize(bytes).to_string());
        }
        Condition::ByteRate(_) | Condition::Rate(_) => return Some("used up".to_owned()),
        Condition::TimeToLive(_) => &["age"],
        Condition::Schemes(_) => return facts.url.as_ref().map(|url| url.scheme().to_owned()),
        Condition::Hosts(_) => {
            let of_url = facts
                .url
                .as_ref()
                .and_then(|url| url.host())
                .map(str::to_owned);
            return of_url.or_else(|| {
                facts
                    .host
                    .as_ref()
                    .map(|host| crate::diagnostic::shown(host.as_str()))
            });
        }
        Condition::Ports(_) => &["port"],
        Condition::Applications(_) => &["application"],
        Condition::Services(_) => &["service"],
        Condition::Arguments(_) => &["argument"],
        Condition::Usb(_) => &["usb"],
        Condition::Hours(_) => {
            return facts.moment.map(|moment| {
                format!(
                    "{:02}:{:02}",
                    moment.minute_of_day() / 60,
                    moment.minute_of_day() % 60
                )
            });
        }
        Condition::Days(_) => {
            let day = facts.moment.map(|moment| usize::from(moment.weekday()));
            return day
                .and_then(|day| crate::values::DAY_NAMES.get(day))
                .map(|day| (*day).to_owned());
        }
        Condition::Connected(_) => {
            let names = facts.connected.as_ref()?;
            if names.is_empty() {
                return Some("none".to_owned());
            }
            &["connected"]
        }
    };
    facts
        .shown()
        .into_iter()
        .find(|(key, _)| keys.contains(key))
        .map(|(_, value)| value)
}
