//! Conditions of a rule: what must hold of the thing that would cross.
//!
//! A rule fits only where all its conditions hold. A fact that is not known counts against crossing: it does not satisfy
//! a condition of an allow or an ask, and it does satisfy one of a deny.

use std::time::Duration;

use crate::pattern::{ExtensionPattern, HostPattern, MimePattern, PortRange, TextPattern};
use crate::rule::{Kind, KindSet, Verdict};
use crate::tree::{At, Table, choose};
use crate::usb::UsbPattern;
use crate::values::{self, ByteSize, Days, Hours, Mistake, Rate, show_duration};

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The data has one of these media types.
    Mime(Vec<MimePattern>),
    /// The file's name has one of these endings.
    Extensions(Vec<ExtensionPattern>),
    /// No larger than this.
    MaxBytes(ByteSize),
    /// Larger than this.
    OverBytes(ByteSize),
    /// No more often than this.
    Rate(Rate),
    /// No more bytes than this.
    ByteRate(Rate),
    /// Copied no longer ago than this.
    TimeToLive(Duration),
    /// The URL has one of these schemes.
    Schemes(Vec<String>),
    /// The URL or the connection goes to one of these hosts.
    Hosts(Vec<HostPattern>),
    /// The connection goes to one of these ports.
    Ports(Vec<PortRange>),
    /// One of these applications is launched.
    Applications(Vec<TextPattern>),
    /// One of these services is called.
    Services(Vec<TextPattern>),
    /// The argument is one of these.
    Arguments(Vec<TextPattern>),
    /// The device is one of these.
    Usb(Vec<UsbPattern>),
    /// It is this time of day.
    Hours(Hours),
    /// It is one of these days.
    Days(Days),
    /// The endpoint is connected to one of these networks.
    Connected(Vec<TextPattern>),
}

/// All conditions of a rule, at most one of each sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions(Vec<Condition>);

/// Kinds of flow that each sort of condition makes sense for, and whether it may stand in a deny.
fn scope(key: &str) -> (KindSet, bool) {
    use Kind::{
        Clipboard, Drag, File, Launch, Network, Notification, Print, Screenshot, Service, Snapshot,
        Url, Usb,
    };
    let data = KindSet::of(&[
        Clipboard,
        File,
        Drag,
        Print,
        Notification,
        Url,
        Screenshot,
        Snapshot,
        Service,
    ]);
    match key {
        "mime" => (KindSet::of(&[Clipboard, File, Drag, Print]), true),
        "extensions" => (KindSet::of(&[File]), true),
        "max-bytes" => (data, false),
        "over-bytes" => (data, true),
        "byte-rate" => (data.union(KindSet::of(&[Network])), false),
        "rate" => (KindSet::ALL, false),
        "time-to-live" => (KindSet::of(&[Clipboard, Drag]), false),
        "schemes" => (KindSet::of(&[Url]), true),
        "hosts" => (KindSet::of(&[Url, Network]), true),
        "ports" => (KindSet::of(&[Network]), true),
        "applications" => (KindSet::of(&[Launch]), true),
        "services" => (KindSet::of(&[Service]), true),
        "arguments" => (KindSet::of(&[Service, Launch]), true),
        "usb" => (KindSet::of(&[Usb]), true),
        _ => (KindSet::ALL, true),
    }
}

impl Condition {
    /// The key under which it is written.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Mime(_) => "mime",
            Self::Extensions(_) => "extensions",
            Self::MaxBytes(_) => "max-bytes",
            Self::OverBytes(_) => "over-bytes",
            Self::Rate(_) => "rate",
            Self::ByteRate(_) => "byte-rate",
            Self::TimeToLive(_) => "time-to-live",
            Self::Schemes(_) => "schemes",
            Self::Hosts(_) => "hosts",
            Self::Ports(_) => "ports",
            Self::Applications(_) => "applications",
            Self::Services(_) => "services",
            Self::Arguments(_) => "arguments",
            Self::Usb(_) => "usb",
            Self::Hours(_) => "hours",
            Self::Days(_) => "days",
            Self::Connected(_) => "connected",
        }
    }

    /// The value as a reader of the policy knows it.
    pub fn value(&self) -> String {
        fn list<T: ToString>(items: &[T]) -> String {
            items
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or ")
        }
        match self {
            Self::Mime(list_) => list(list_),
            Self::Extensions(list_) => list(list_),
            Self::MaxBytes(size) | Self::OverBytes(size) => size.to_string(),
            Self::Rate(rate) => rate.show(false),
            Self::ByteRate(rate) => rate.show(true),
            Self::TimeToLive(duration) => show_duration(*duration),
            Self::Schemes(list_) => list(list_),
            Self::Hosts(list_) => list(list_),
            Self::Ports(list_) => list(list_),
            Self::Applications(list_)
            | Self::Services(list_)
            | Self::Arguments(list_)
            | Self::Connected(list_) => list(list_),
            Self::Usb(list_) => list(list_),
            Self::Hours(hours) => hours.to_string(),
            Self::Days(days) => days.to_string(),
        }
    }
}

impl Conditions {
    /// The conditions.
    pub fn iter(&self) -> std::slice::Iter<'_, Condition> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn from_list(list: Vec<Condition>) -> Self {
        Self(list)
    }

    /// Reads the `when` table of a rule.
    pub(crate) fn read(table: &Table<'_>, kinds: KindSet, verdict: Option<Verdict>) -> Self {
        let mut list = Vec::new();
        let patterns = Patterns { table };
        list.extend(
            patterns
                .list("mime", MimePattern::parse)
                .map(Condition::Mime),
        );
        list.extend(
            patterns
                .list("extensions", ExtensionPattern::parse)
                .map(Condition::Extensions),
        );
        let max = table.size("max-bytes", 1, 1 << 50);
        let over = table.size("over-bytes", 0, 1 << 50);
        if let (Some(max), Some(over)) = (&max, &over)
            && max.value <= over.value
        {
            table.error(
                over.span,
                "contradiction",
                format!(
                    "nothing is both over {} and at most {}",
                    over.value, max.value
                ),
                "raise `max-bytes` or lower `over-bytes`",
            );
        }
        list.extend(max.map(|at| Condition::MaxBytes(at.value)));
        list.extend(over.map(|at| Condition::OverBytes(at.value)));
        list.extend(
            table
                .parsed("rate", Rate::parse_count)
                .map(|at| Condition::Rate(at.value)),
        );
        list.extend(
            table
                .parsed("byte-rate", Rate::parse_bytes)
                .map(|at| Condition::ByteRate(at.value)),
        );
        list.extend(
            table
                .duration("time-to-live")
                .map(|at| Condition::TimeToLive(at.value)),
        );
        list.extend(patterns.list("schemes", scheme).map(Condition::Schemes));
        list.extend(
            patterns
                .list("hosts", HostPattern::parse)
                .map(Condition::Hosts),
        );
        list.extend(
            patterns
                .list("ports", PortRange::parse)
                .map(Condition::Ports),
        );
        list.extend(
            patterns
                .list("applications", TextPattern::parse)
                .map(Condition::Applications),
        );
        list.extend(
            patterns
                .list("services", TextPattern::parse)
                .map(Condition::Services),
        );
        list.extend(
            patterns
                .list("arguments", TextPattern::parse)
                .map(Condition::Arguments),
        );
        list.extend(patterns.list("usb", UsbPattern::parse).map(Condition::Usb));
        list.extend(
            table
                .parsed("hours", Hours::parse)
                .map(|at| Condition::Hours(at.value)),
        );
        if let Some(At { value: days, span }) = table.parsed_list("days", false, |text| {
            choose(text, &values::DAY_NAMES).map(|_| text.to_owned())
        }) {
            let names: Vec<&str> = days.iter().map(|day| day.value.as_str()).collect();
            list.extend(
                table
                    .checked("days", span, Days::parse(&names))
                    .map(|at| Condition::Days(at.value)),
            );
        }
        list.extend(
            patterns
                .list("connected", TextPattern::parse)
                .map(Condition::Connected),
        );

        for condition in &list {
            let key = condition.key();
            let span = table.key_span(key).unwrap_or(table.span);
            let (fitting, in_deny) = scope(key);
            let others = kinds.minus(fitting);
            if !others.is_empty() {
                let message = format!(
                    "`{key}` says nothing about {others}, so this rule could never fit there"
                );
                table.error(
                    span,
                    "useless-condition",
                    message,
                    format!("write a rule of its own for {others}; `{key}` goes with {fitting}"),
                );
            }
            if verdict == Some(Verdict::Deny) && !in_deny {
                let mend = match key {
                    "max-bytes" => "write `over-bytes` to deny what is larger",
                    _ => "put the limit on the rule that allows",
                };
                table.error(
                    span,
                    "limit-on-deny",
                    format!("`{key}` on a deny would deny what keeps within the limit"),
                    mend,
                );
            }
        }
        Self(list)
    }
}

struct Patterns<'t, 'a> {
    table: &'t Table<'a>,
}

impl Patterns<'_, '_> {
    fn list<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, Mistake>) -> Option<Vec<T>> {
        let list = self.table.parsed_list(key, false, parse)?;
        Some(list.value.into_iter().map(|at| at.value).collect())
    }
}

fn scheme(text: &str) -> Result<String, Mistake> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
        })
        && text.starts_with(|first: char| first.is_ascii_lowercase());
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Mistake::new(
            format!("{:?} is no URL scheme", crate::diagnostic::shown(text)),
            "write it in lower case without the colon, such as \"https\"",
        ))
    }
}
