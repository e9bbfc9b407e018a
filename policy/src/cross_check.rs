//! Checks across sections: what is named must exist, and no two things may be mistaken for one another.

use std::collections::BTreeMap;

use crate::chord::Chord;
use crate::diagnostic::{Diagnostic, Span, shown};
use crate::names::{ZoneName, nearest, skeleton};
use crate::policy::{Input, LIMITS};
use crate::rule::{Rule, Test};
use crate::tree::{Reporter, Table};
use crate::zone::Zone;

/// Zones must be told apart by what the screen calls them, too.
pub(crate) fn check_likeness(reporter: &Reporter<'_>, zones: &[Zone]) {
    let mut seen: BTreeMap<(&str, String), (&Zone, Span)> = BTreeMap::new();
    for zone in zones {
        let texts = [
            (
                "display name",
                zone.display_name.as_str(),
                zone.spans.display_name,
            ),
            (
                "short name",
                zone.short_name.as_str(),
                Some(zone.spans.short_name.unwrap_or(zone.span)),
            ),
        ];
        for (what, text, span) in texts {
            let Some(span) = span else { continue };
            let key = (what, skeleton(text));
            if let Some((other, other_span)) = seen.get(&key) {
                let message = format!(
                    "the {what} of zone \"{}\" looks like that of zone \"{}\"",
                    zone.name, other.name
                );
                let diagnostic = Diagnostic::error(reporter.source, span, "look-alike", message);
                let mend = if what == "short name" {
                    "give one of them another `short-name`"
                } else {
                    "choose names that cannot be mistaken for one another"
                };
                reporter.add(
                    diagnostic
                        .related(reporter.source, *other_span, "the other")
                        .mend(mend),
                );
            } else {
                seen.insert(key, (zone, span));
            }
        }
    }
}

/// Every zone, tag and network that is named must be there.
pub(crate) fn check_references(
    reporter: &Reporter<'_>,
    zones: &[Zone],
    names: &[ZoneName],
    file: &Table<'_>,
    rules: &[Rule],
) {
    let known = || names.iter().map(ZoneName::as_str);
    let tags: Vec<&str> = zones
        .iter()
        .flat_map(|zone| zone.tags.iter().map(String::as_str))
        .collect();
    // Where a zone could not be read its tags are not known, so nothing can be said about tags.
    let tags_are_known = zones.len() == names.len();
    let unknown_zone = |span: Span, name: &ZoneName| {
        let mend = match nearest(name.as_str(), known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "add `[zone.{name}]`, or name one of {}",
                known().collect::<Vec<_>>().join(", ")
            ),
        };
        reporter.error(
            span,
            "unknown-zone",
            format!("there is no zone \"{name}\""),
            mend,
        );
    };
    for rule in rules {
        for selector in rule.from.iter().chain(&rule.to) {
            for term in &selector.terms {
                match &term.test {
                    Test::Zone(name) if !names.contains(name) => unknown_zone(selector.span, name),
                    Test::Tag(tag) if tags_are_known && !tags.contains(&tag.as_str()) => {
                        let mend = match nearest(tag, tags.iter().copied()) {
                            Some(near) => format!("did you mean \"tag:{near}\"?"),
                            None => format!("add \"{tag}\" to the `tags` of a zone"),
                        };
                        reporter.error(
                            selector.span,
                            "unknown-tag",
                            format!("no zone has the tag \"{tag}\""),
                            mend,
                        );
                    }
                    _ => {}
                }
            }
        }
        if let Some(name) = rule
            .obligations
            .redirect
            .as_ref()
            .filter(|name| !names.contains(name))
        {
            unknown_zone(rule.redirect_span.unwrap_or(rule.span), name);
        }
    }
    let networks: Vec<&str> = file
        .named("network")
        .into_iter()
        .map(|(name, _, _)| name)
        .collect();
    for zone in zones {
        if let Some(name) = zone
            .network
            .as_deref()
            .filter(|name| !networks.contains(name))
        {
            let mend = match nearest(name, networks.iter().copied().chain(["none"])) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "add a table `[network.NAME]`, or write \"none\"".to_owned(),
            };
            let span = zone.spans.network.unwrap_or(zone.span);
            reporter.error(
                span,
                "unknown-network",
                format!("there is no network profile \"{}\"", shown(name)),
                mend,
            );
        }
    }
}

pub(crate) fn check_rule_names(reporter: &Reporter<'_>, rules: &[Rule]) {
    let mut seen: BTreeMap<&str, &Rule> = BTreeMap::new();
    for rule in rules {
        if let Some(other) = seen.insert(&rule.name, rule) {
            let diagnostic = Diagnostic::error(
                reporter.source,
                rule.span,
                "duplicate",
                format!("two flows are named \"{}\"", rule.name),
            );
            reporter.add(
                diagnostic
                    .related(reporter.source, other.span, "the first")
                    .mend("records name flows, so give each its own name"),
            );
        }
    }
}

/// No chord may mean two things.
pub(crate) fn check_chords(
    reporter: &Reporter<'_>,
    file: &Table<'_>,
    input: &Input,
    zones: &[Zone],
) {
    let table = file.key_span("input").unwrap_or_default();
    let mut seen: BTreeMap<Chord, String> = BTreeMap::new();
    let acts = std::iter::once(("the attention key".to_owned(), input.attention_key, table))
        .chain(
            input
                .chords
                .iter()
                .map(|(action, chord)| (format!("`{action}`"), *chord, table)),
        )
        .chain(zones.iter().filter_map(|zone| {
            Some((
                format!("the focus of zone \"{}\"", zone.name),
                zone.focus_chord?,
                zone.spans.focus_chord.unwrap_or(zone.span),
            ))
        }));
    for (what, chord, span) in acts {
        if let Some(other) = seen.insert(chord, what.clone()) {
            reporter.error(
                span,
                "duplicate",
                format!("{chord} stands for both {other} and {what}"),
                "choose another chord for one of them",
            );
        }
    }
}

pub(crate) fn check_rule_count(reporter: &Reporter<'_>, rules: &[Rule]) {
    if let Some(rule) = rules.get(LIMITS.rules) {
        let message = format!("the policy has more than {} rules", LIMITS.rules);
        reporter.error(
            rule.span,
            "too-many",
            message,
            "use tags to say with one rule what holds for many zones",
        );
    }
}
