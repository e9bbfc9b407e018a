//! Requests that stand for all requests.
//!
//! Conditions cut the facts into classes: below and above a size, this type and another, a host that fits a pattern and
//! one that does not. One request of each class shows every verdict that rules with these conditions can give. So two
//! policies can be compared by verdicts, without a solver.

use std::time::Duration;

use crate::condition::Condition;
use crate::request::{Facts, FileName, Mime, Moment, Url, Word};
use crate::rule::{Kind, Rule};
use crate::usb::{UsbDevice, UsbPattern};
use crate::values::{DAY_NAMES, Timestamp};

/// No more requests than this stand for one pair of ends; where there were more, each rule is still met on its own.
const MOST: usize = 2_000;

/// What differs between two classes.
type Change = Box<dyn Fn(&mut Facts)>;

/// Facts that stand for all that rules of one kind tell apart. The first says nothing beyond a harmless default.
pub(crate) fn samples(kind: Kind, rules: &[&Rule], moment: Moment) -> Vec<Facts> {
    let base = Facts {
        moment: Some(moment),
        ..Facts::default()
    };
    let mut axes: Vec<(&'static str, Vec<Change>)> = Vec::new();
    for condition in rules.iter().flat_map(|rule| rule.conditions.iter()) {
        let changes = changes(kind, condition, moment);
        match axes
            .iter_mut()
            .find(|(axis, _)| *axis == axis_of(condition))
        {
            Some((_, all)) => all.extend(changes),
            None => axes.push((axis_of(condition), changes)),
        }
    }
    let product = axes.iter().fold(1_usize, |product, (_, changes)| {
        product.saturating_mul(changes.len().max(1))
    });
    let mut list = vec![base.clone()];
    if product <= MOST {
        for (_, changes) in &axes {
            let before = std::mem::take(&mut list);
            for facts in &before {
                for change in changes {
                    let mut facts = facts.clone();
                    change(&mut facts);
                    list.push(facts);
                }
            }
        }
    } else {
        // Each rule's own classes, all other facts at the first value of their axis.
        let mut first = base.clone();
        for (_, changes) in &axes {
            if let Some(change) = changes.first() {
                change(&mut first);
            }
        }
        for rule in rules {
            let mut facts = first.clone();
            for condition in rule.conditions.iter() {
                if let Some(change) = changes(kind, condition, moment).first() {
                    change(&mut facts);
                }
            }
            for (_, changes) in &axes {
                for change in changes {
                    let mut other = facts.clone();
                    change(&mut other);
                    list.push(other);
                }
            }
            list.push(facts);
        }
    }
    let mut seen = std::collections::HashSet::new();
    list.retain(|facts| seen.insert(facts.clone()));
    list.truncate(MOST * 5);
    list
}

/// Conditions of the same axis speak of the same fact.
fn axis_of(condition: &Condition) -> &'static str {
    match condition {
        Condition::MaxBytes(_) | Condition::OverBytes(_) | Condition::ByteRate(_) => "bytes",
        Condition::Schemes(_) | Condition::Hosts(_) => "url",
        other => other.key(),
    }
}

/// The classes that a condition tells apart; the first is one that satisfies it.
fn changes(kind: Kind, condition: &Condition, moment: Moment) -> Vec<Change> {
    let mut list: Vec<Change> = Vec::new();
    let mut push = |change: Change| list.push(change);
    let word = |text: String| Word::parse(&text).ok();
    match condition {
        Condition::Mime(patterns) => {
            for pattern in patterns {
                let mime = Mime::parse(
                    &pattern
                        .to_string()
                        .replace("*/*", "application/octet-stream")
                        .replace('*', "x-some"),
                )
                .ok();
                push(Box::new(move |facts| facts.mime.clone_from(&mime)));
            }
            let other = Mime::parse("application/x-other").ok();
            push(Box::new(move |facts| facts.mime.clone_from(&other)));
        }
        Condition::Extensions(patterns) => {
            for ending in patterns
                .iter()
                .map(ToString::to_string)
                .chain(["other".to_owned()])
            {
                let name = FileName::parse(&format!("file.{ending}")).ok();
                push(Box::new(move |facts| facts.file_name.clone_from(&name)));
            }
        }
        Condition::MaxBytes(size) => sizes(&[size.0, size.0.saturating_add(1)], &mut push),
        Condition::OverBytes(size) => sizes(&[size.0.saturating_add(1), size.0], &mut push),
        Condition::ByteRate(rate) => {
            sizes(&[rate.amount, rate.amount.saturating_add(1)], &mut push);
        }
        Condition::Rate(_) => push(Box::new(|_| ())),
        Condition::TimeToLive(most) => {
            for age in [*most, most.saturating_add(Duration::from_secs(1))] {
                push(Box::new(move |facts| facts.age = Some(age)));
            }
        }
        Condition::Schemes(schemes) => {
            for scheme in schemes.iter().map(String::as_str).chain(["x-other"]) {
                let scheme = scheme.to_owned();
                push(Box::new(move |facts| {
                    let host = facts
                        .url
                        .as_ref()
                        .and_then(|url| url.host())
                        .unwrap_or("host.example")
                        .to_owned();
                    facts.url = Url::parse(&format!("{scheme}://{host}/")).ok();
                }));
            }
        }
        Condition::Hosts(patterns) => {
            for host in patterns
                .iter()
                .map(|pattern| pattern.to_string().replace('*', "some"))
                .chain(["elsewhere.invalid".to_owned()])
            {
                let word = word(host.clone());
                push(Box::new(move |facts| match kind {
                    Kind::Url => {
                        let scheme = facts
                            .url
                            .as_ref()
                            .map_or("https", |url| url.scheme())
                            .to_owned();
                        facts.url = Url::parse(&format!("{scheme}://{host}/")).ok();
                    }
                    _ => facts.host.clone_from(&word),
                }));
            }
        }
        Condition::Ports(ranges) => {
            let inside = ranges.iter().map(|range| range.first);
            let outside =
                (1..=u16::MAX).find(|port| !ranges.iter().any(|range| range.matches(*port)));
            for port in inside.chain(outside) {
                push(Box::new(move |facts| facts.port = Some(port)));
            }
        }
        Condition::Applications(patterns)
        | Condition::Services(patterns)
        | Condition::Arguments(patterns)
        | Condition::Connected(patterns) => {
            let key = condition.key();
            for text in patterns
                .iter()
                .map(|pattern| pattern.to_string().replace('*', "some"))
                .chain(["x-other".to_owned()])
            {
                let word = word(text);
                push(Box::new(move |facts| match key {
                    "applications" => facts.application.clone_from(&word),
                    "services" => facts.service.clone_from(&word),
                    "arguments" => facts.argument.clone_from(&word),
                    _ => facts.connected = word.clone().map(|word| vec![word]),
                }));
            }
        }
        Condition::Usb(patterns) => {
            for device in patterns.iter().map(UsbPattern::sample).chain([UsbDevice {
                vendor: 0xffff,
                product: 0xffff,
                interfaces: vec![(0xff, 0xff, 0xff)],
                ..UsbDevice::default()
            }]) {
                push(Box::new(move |facts| facts.usb = Some(device.clone())));
            }
        }
        Condition::Hours(hours) => {
            for minute in [hours.from, hours.until % 1440] {
                push(Box::new(move |facts| {
                    facts.moment = Some(at(facts.moment.unwrap_or(moment), None, Some(minute)));
                }));
            }
        }
        Condition::Days(days) => {
            let count = u8::try_from(DAY_NAMES.len()).unwrap_or(7);
            let inside = (0..count).find(|day| days.contains(*day));
            let outside = (0..count).find(|day| !days.contains(*day));
            for day in inside.into_iter().chain(outside) {
                push(Box::new(move |facts| {
                    facts.moment = Some(at(facts.moment.unwrap_or(moment), Some(day), None));
                }));
            }
        }
    }
    // A fact may also be missing; rules without this condition then decide otherwise than those with it.
    if let Some(forget) = forget(condition) {
        list.push(forget);
    }
    list
}

/// Leaves out the fact that a condition asks for; the time is always known.
fn forget(condition: &Condition) -> Option<Change> {
    Some(match axis_of(condition) {
        "mime" => Box::new(|facts| facts.mime = None),
        "extensions" => Box::new(|facts| facts.file_name = None),
        "bytes" => Box::new(|facts| facts.bytes = None),
        "time-to-live" => Box::new(|facts| facts.age = None),
        "url" => Box::new(|facts| (facts.url, facts.host) = (None, None)),
        "ports" => Box::new(|facts| facts.port = None),
        "applications" => Box::new(|facts| facts.application = None),
        "services" => Box::new(|facts| facts.service = None),
        "arguments" => Box::new(|facts| facts.argument = None),
        "usb" => Box::new(|facts| facts.usb = None),
        "connected" => Box::new(|facts| facts.connected = None),
        _ => return None,
    })
}

fn sizes(list: &[u64], push: &mut impl FnMut(Change)) {
    for bytes in list.iter().copied() {
        push(Box::new(move |facts| facts.bytes = Some(bytes)));
    }
}

/// The same week, on another day or at another minute of the local day.
fn at(moment: Moment, day: Option<u8>, minute: Option<u16>) -> Moment {
    let days = i64::from(day.unwrap_or(moment.weekday())) - i64::from(moment.weekday());
    let minutes =
        i64::from(minute.unwrap_or(moment.minute_of_day())) - i64::from(moment.minute_of_day());
    Moment {
        now: Timestamp(moment.now.0.saturating_add(days * 86_400 + minutes * 60)),
        ..moment
    }
}
