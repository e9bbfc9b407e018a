//! Reading a file's sections into the parts of a policy, section by section.

use std::time::Duration;

use crate::chord::Chord;
use crate::condition::{Condition, Conditions};
use crate::cross_check::{check_chords, check_likeness, check_references, check_rule_names};
use crate::diagnostic::{Diagnostic, Source, Span, shown};
use crate::keys;
use crate::names::{ZoneName, skeleton};
use crate::pattern::{HostPattern, PortRange, TextPattern};
use crate::policy::{
    AtLockout, Audit, ChordAction, Focus, Header, Input, Jail, JailLayer, LIMITS, Lockout,
    NetworkProfile, WhenFull,
};
use crate::rule::{Kind, KindSet, Obligations, Origin, Rule, Selector, Term, Test, Verdict};
use crate::tree::{At, Reporter, Table, choose};
use crate::values::Mistake;
use crate::zone::Zone;
use std::collections::BTreeMap;

/// What the sections of a file say, as far as it could be read.
pub(crate) struct Parts {
    pub(crate) header: Option<Header>,
    pub(crate) zones: Vec<Zone>,
    pub(crate) networks: Vec<NetworkProfile>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) input: Input,
    pub(crate) jail: Jail,
    pub(crate) lockout: Option<Lockout>,
    pub(crate) audit: Audit,
    pub(crate) accepted_ways: Vec<(ZoneName, ZoneName, Span)>,
}

impl Parts {
    pub(crate) fn read(reporter: &Reporter<'_>, file: &Table<'_>) -> Self {
        let header = file
            .table("policy", "the policy's header")
            .and_then(|table| read_header(&table));
        let networks = read_networks(reporter, file);
        let (zones, zone_names) = read_zones(reporter, file);
        let tables = file.tables("flow");
        let mut rules = Vec::with_capacity(tables.len().min(LIMITS.rules));
        for (span, table) in tables.into_iter().take(LIMITS.rules + 1) {
            let table = Table::open(reporter, &keys::FLOW, table, span, "this flow");
            rules.push(Rule::read(&table));
        }
        check_references(reporter, &zones, &zone_names, file, &rules);
        check_rule_names(reporter, &rules);
        let input = file
            .table("input", "`input`")
            .map_or_else(Input::default, |table| read_input(&table));
        check_chords(reporter, file, &input, &zones);
        let jail = file.table("jail", "`jail`").map_or_else(
            || Jail {
                required: JailLayer::ALL.to_vec(),
            },
            |table| read_jail(&table),
        );
        let lockout = file
            .table("lockout", "`lockout`")
            .and_then(|table| read_lockout(&table, header.as_ref()));
        let audit = file
            .table("audit", "`audit`")
            .map_or_else(Audit::default, |table| read_audit(&table));
        let accepted_ways = file
            .table("check", "`check`")
            .map_or_else(Vec::new, |table| read_accepted_ways(&table, &zone_names));
        Self {
            header,
            zones,
            networks,
            rules,
            input,
            jail,
            lockout,
            audit,
            accepted_ways,
        }
    }
}

fn read_header(table: &Table<'_>) -> Option<Header> {
    let id = table.parsed("id", |text| {
        ZoneName::parse(text).map_err(|error| name_mistake(text, &error))
    });
    let version = table
        .integer("version")
        .and_then(|at| u64::try_from(at.value).ok());
    let instant = |key| table.instant(key);
    let (issued, not_before, expires) =
        (instant("issued"), instant("not-before"), instant("expires"));
    if let (Some(from), Some(until)) = (&not_before, &expires)
        && from.value >= until.value
    {
        table.error(
            until.span,
            "contradiction",
            "the policy expires before it holds",
            "set `expires` after `not-before`",
        );
    }
    let minimum_engine = table.parsed("minimum-engine", engine_version);
    let previous = table.parsed("previous", |text| {
        crate::values::parse_sha256(text).ok_or_else(|| Mistake::new("this is no hash", "write \"sha256:\" and 64 hexadecimal digits, as `bulkhead policy status` shows them"))
    });
    let comment = table.parsed("comment", |text| match text.chars().count() {
        0..=500 => Ok(text.to_owned()),
        count => Err(Mistake::new(
            format!("it has {count} characters"),
            "write at most 500",
        )),
    });
    let (expires_span, previous_span) = (
        expires.as_ref().map(|at| at.span),
        previous.as_ref().map(|at| at.span),
    );
    Some(Header {
        id: id?.value.as_str().to_owned(),
        version: version?,
        issued: issued.map(|at| at.value),
        not_before: not_before.map(|at| at.value),
        expires: expires.map(|at| at.value),
        minimum_engine: minimum_engine.map(|at| at.value),
        previous: previous.map(|at| at.value),
        comment: comment.map_or_else(String::new, |at| at.value),
        span: table.span,
        expires_span,
        previous_span,
    })
}

fn name_mistake(text: &str, error: &crate::names::NameError) -> Mistake {
    let mend = error.suggestion().map_or_else(
        || "write a name of a-z, 0-9 and -".to_owned(),
        |near| format!("write \"{near}\""),
    );
    Mistake::new(format!("{:?} will not do: {error}", shown(text)), mend)
}

/// Reads `1.2.3`.
pub(crate) fn engine_version(text: &str) -> Result<(u64, u64, u64), Mistake> {
    let wrong = || {
        Mistake::new(
            format!("{:?} is no version", shown(text)),
            "write three numbers, such as \"0.1.0\"",
        )
    };
    let number = |part: Option<&str>| {
        part.filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|part| part.parse().ok())
    };
    let mut parts = text.split('.');
    let version = (
        number(parts.next()),
        number(parts.next()),
        number(parts.next()),
        parts.next(),
    );
    match version {
        (Some(major), Some(minor), Some(patch), None) => Ok((major, minor, patch)),
        _ => Err(wrong()),
    }
}

/// Zones in order, and the names of all that are written, also of those that could not be read.
fn read_zones(reporter: &Reporter<'_>, file: &Table<'_>) -> (Vec<Zone>, Vec<ZoneName>) {
    let tables = file.named("zone");
    if tables.is_empty() && file.key_span("zone").is_none() {
        reporter.error(
            Span::default(),
            "no-zones",
            "the policy has no zone",
            "add a table such as `[zone.office]` with `colour` and `image`",
        );
    }
    if let Some((_, span, _)) = tables.get(LIMITS.zones) {
        let message = format!(
            "the policy has {} zones and at most {} are allowed",
            tables.len(),
            LIMITS.zones
        );
        reporter.error(*span, "too-many", message, "leave some out");
    }
    let (mut zones, mut names) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<String, (ZoneName, Span)> = BTreeMap::new();
    for (name, span, table) in tables.into_iter().take(LIMITS.zones) {
        let parsed = match ZoneName::parse(name) {
            Ok(parsed) => parsed,
            Err(error) => {
                let mend = error.suggestion().map_or_else(
                    || "write a name of a-z, 0-9 and -".to_owned(),
                    |near| format!("write `[zone.{near}]`"),
                );
                reporter.error(
                    span,
                    "bad-name",
                    format!("the zone name {:?} will not do: {error}", shown(name)),
                    mend,
                );
                continue;
            }
        };
        let what = format!("zone \"{parsed}\"");
        if let Some((other, other_span)) = seen.insert(skeleton(name), (parsed.clone(), span)) {
            let diagnostic = Diagnostic::error(
                reporter.source,
                span,
                "look-alike",
                format!("zone \"{parsed}\" looks like zone \"{other}\""),
            );
            reporter.add(
                diagnostic
                    .related(reporter.source, other_span, "the other")
                    .mend("choose names that cannot be mistaken for one another"),
            );
        }
        names.push(parsed.clone());
        zones.push(Zone::read(
            parsed,
            &Table::open(reporter, &keys::ZONE, table, span, &what),
        ));
    }
    check_likeness(reporter, &zones);
    (zones, names)
}

fn read_networks(reporter: &Reporter<'_>, file: &Table<'_>) -> Vec<NetworkProfile> {
    let mut networks = Vec::new();
    let tables = file.named("network");
    if let Some((_, span, _)) = tables.get(LIMITS.networks) {
        reporter.error(
            *span,
            "too-many",
            format!("at most {} network profiles are allowed", LIMITS.networks),
            "leave some out",
        );
    }
    for (name, span, table) in tables.into_iter().take(LIMITS.networks) {
        if let Err(error) = ZoneName::parse(name) {
            let mend = error.suggestion().map_or_else(
                || "write a name of a-z, 0-9 and -".to_owned(),
                |near| format!("write `[network.{near}]`"),
            );
            reporter.error(
                span,
                "bad-name",
                format!("the network name {:?} will not do: {error}", shown(name)),
                mend,
            );
            continue;
        }
        let what = format!("network \"{name}\"");
        let table = Table::open(reporter, &keys::NETWORK, table, span, &what);
        let _ = table.text("comment");
        networks.push(NetworkProfile {
            name: name.to_owned(),
            hosts: values(table.parsed_list("hosts", false, HostPattern::parse)),
            ports: values(table.parsed_list("ports", false, PortRange::parse)),
            connected: values(table.parsed_list("connected", false, TextPattern::parse)),
            span,
        });
    }
    networks
}

fn values<T>(list: Option<At<Vec<At<T>>>>) -> Vec<T> {
    list.map_or_else(Vec::new, |list| {
        list.value.into_iter().map(|at| at.value).collect()
    })
}

fn read_input(table: &Table<'_>) -> Input {
    let default = Input::default();
    let chords = table.table("chords", "`input.chords`");
    let written = |action: ChordAction| {
        chords
            .as_ref()
            .and_then(|chords| chords.parsed(action.as_str(), Chord::parse))
            .map(|at| at.value)
    };
    let arm_delay = table.parsed("arm-delay", |text| {
        let delay = crate::values::parse_duration(text)?;
        let bounds = Duration::from_millis(200)..=Duration::from_secs(10);
        if bounds.contains(&delay) {
            Ok(delay)
        } else {
            Err(Mistake::new(
                format!("{text:?} is out of bounds"),
                "write \"200 ms\" to \"10 s\"",
            ))
        }
    });
    Input {
        attention_key: table
            .parsed("attention-key", Chord::parse)
            .map_or(default.attention_key, |at| at.value),
        focus: table
            .choice("focus", &keys::FOCUS)
            .and_then(|at| Focus::from_index(at.value))
            .unwrap_or(default.focus),
        arm_delay: arm_delay.map_or(default.arm_delay, |at| at.value),
        chords: default
            .chords
            .into_iter()
            .map(|(action, chord)| (action, written(action).unwrap_or(chord)))
            .collect(),
    }
}

fn read_jail(table: &Table<'_>) -> Jail {
    let listed = table.parsed_list("required", true, |text| choose(text, &keys::LAYERS));
    let Some(listed) = listed else {
        return Jail {
            required: JailLayer::ALL.to_vec(),
        };
    };
    let wanted: Vec<usize> = listed.value.into_iter().map(|at| at.value).collect();
    Jail {
        required: JailLayer::ALL
            .into_iter()
            .filter(|layer| wanted.contains(&(*layer as usize)))
            .collect(),
    }
}

fn read_lockout(table: &Table<'_>, header: Option<&Header>) -> Option<Lockout> {
    let after = table.duration("after");
    let warn = table
        .duration("warn")
        .map_or(Duration::from_secs(3 * 86_400), |at| at.value);
    let then = table
        .choice("then", &keys::AT_LOCKOUT)
        .and_then(|at| AtLockout::from_index(at.value))
        .unwrap_or(AtLockout::LockZones);
    let after = after?;
    if after.value < Duration::from_secs(3600) {
        table.error(
            after.span,
            "out-of-bounds",
            "a lock-out after less than an hour would lock people out at once",
            "write \"1 h\" or more",
        );
    }
    if header.is_none_or(|header| header.issued.is_none()) {
        table.error(
            table.span,
            "missing-key",
            "the lock-out counts from `issued`, which the policy does not give",
            "add `issued = 2026-03-01T09:00:00Z` to `[policy]`",
        );
    }
    Some(Lockout {
        after: after.value,
        warn,
        then,
    })
}

fn read_accepted_ways(table: &Table<'_>, zones: &[ZoneName]) -> Vec<(ZoneName, ZoneName, Span)> {
    let ways = table.parsed_list("accepted-ways", true, |text| {
        let zone = |name: &str| zones.iter().find(|zone| **zone == *name).cloned();
        let way = text
            .split_once(" -> ")
            .and_then(|(from, to)| zone(from).zip(zone(to)));
        way.ok_or_else(|| {
            Mistake::new(
                format!("{:?} names no two zones", shown(text)),
                "write \"from -> to\" with names of zones",
            )
        })
    });
    let ways = ways.map_or_else(Vec::new, |ways| ways.value);
    ways.into_iter()
        .map(
            |At {
                 value: (from, to),
                 span,
             }| (from, to, span),
        )
        .collect()
}

fn read_audit(table: &Table<'_>) -> Audit {
    let default = Audit::default();
    let record = table.parsed_list("record", true, |text| choose(text, &keys::VERDICTS));
    let mut record: Vec<Verdict> = record.map_or(default.record, |at| {
        at.value
            .iter()
            .filter_map(|at| Verdict::from_index(at.value))
            .collect()
    });
    record.sort();
    record.dedup();
    Audit {
        record,
        segment: table
            .size("segment", 64 << 10, 1 << 30)
            .map_or(default.segment, |at| at.value),
        keep: table
            .integer("keep")
            .and_then(|at| u32::try_from(at.value).ok())
            .unwrap_or(default.keep),
        when_full: table
            .choice("when-full", &keys::WHEN_FULL)
            .and_then(|at| WhenFull::from_index(at.value))
            .unwrap_or(default.when_full),
    }
}
/// The rules that a zone's own keys bring with them.
pub(crate) fn brought_rules(
    source: &Source,
    zones: &[Zone],
    networks: &[NetworkProfile],
) -> Vec<Rule> {
    let selector = |test: Test, span: Span| {
        vec![Selector {
            terms: vec![Term {
                negated: false,
                test,
            }],
            span,
        }]
    };
    let mut rules = Vec::new();
    for zone in zones {
        let this = || Test::Zone(zone.name.clone());
        if zone.sensitive {
            let span = zone.spans.sensitive.unwrap_or(zone.span);
            for (from, to, direction) in [(true, false, "out of"), (false, true, "into")] {
                let everything = || {
                    vec![Selector {
                        terms: vec![],
                        span,
                    }]
                };
                rules.push(Rule {
                    name: format!("{direction} sensitive zone {}", zone.name),
                    kinds: KindSet::ALL,
                    from: if from {
                        selector(this(), span)
                    } else {
                        everything()
                    },
                    to: if to {
                        selector(this(), span)
                    } else {
                        everything()
                    },
                    levels: None,
                    verdict: Verdict::Deny,
                    conditions: Conditions::default(),
                    obligations: Obligations::default(),
                    origin: Origin::Sensitive,
                    span,
                    line: source.location(span).line,
                    redirect_span: None,
                });
            }
        }
        let Some(profile) = zone
            .network
            .as_deref()
            .and_then(|name| networks.iter().find(|profile| profile.name == name))
        else {
            continue;
        };
        let span = zone.spans.network.unwrap_or(zone.span);
        let mut conditions = Vec::new();
        if !profile.hosts.is_empty() && !profile.hosts.iter().any(HostPattern::is_everything) {
            conditions.push(Condition::Hosts(profile.hosts.clone()));
        }
        if !profile.ports.is_empty() {
            conditions.push(Condition::Ports(profile.ports.clone()));
        }
        if !profile.connected.is_empty() {
            conditions.push(Condition::Connected(profile.connected.clone()));
        }
        rules.push(Rule {
            name: format!("network {} of zone {}", profile.name, zone.name),
            kinds: KindSet::of(&[Kind::Network]),
            from: selector(this(), span),
            to: selector(Test::Host, span),
            levels: None,
            verdict: Verdict::Allow,
            conditions: Conditions::from_list(conditions),
            obligations: Obligations::default(),
            origin: Origin::Network,
            span,
            line: source.location(span).line,
            redirect_span: None,
        });
    }
    rules
}
