//! A whole policy: read from bytes, checked, and then known to be in order.
//!
//! [`Policy::parse`] is the only way to get one. What it gives has zones with unmistakable names, rules that name only
//! zones and tags that exist, and chords that do not collide; what could not be brought into that shape is reported, all
//! of it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use ring::digest;
use toml::de::DeTable;

use crate::chord::Chord;
use crate::condition::{Condition, Conditions};
use crate::diagnostic::{Diagnostic, Errors, Source, Span, shown};
use crate::keys;
use crate::names::{ZoneName, nearest, skeleton};
use crate::pattern::{HostPattern, PortRange, TextPattern};
use crate::rule::{Kind, KindSet, Obligations, Origin, Rule, Selector, Term, Test, Verdict};
use crate::tree::{Reporter, Table, choose};
use crate::values::{ByteSize, Mistake, Timestamp};
use crate::zone::{Zone, words};

/// The most that a policy file may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Zones.
    pub zones: usize,
    /// Rules, those that zones bring with them included.
    pub rules: usize,
    /// Network profiles.
    pub networks: usize,
    /// Brackets within brackets.
    pub nesting: usize,
}

/// The limits that every policy is held to.
pub const LIMITS: Limits = Limits {
    bytes: 4 << 20,
    zones: 256,
    rules: 10_000,
    networks: 256,
    nesting: 16,
};

words! {
    /// What moves the focus.
    Focus from keys::FOCUS {
        /// A click or a chord.
        ClickOrChord,
        /// A click only.
        Click,
        /// A chord only.
        Chord,
    }
}

words! {
    /// A layer of the jail around a zone process.
    JailLayer from keys::LAYERS {
        /// A user of its own without rights.
        User,
        /// Namespaces of its own.
        Namespaces,
        /// An empty root directory.
        Root,
        /// A list of system calls that it may make.
        Seccomp,
        /// No access to files.
        Landlock,
        /// It can gain no privileges.
        NoNewPrivileges,
        /// Limits on what it may use.
        Rlimits,
    }
}

words! {
    /// One of the endpoint's own acts that a chord starts.
    ChordAction from keys::CHORD_ACTIONS {
        /// Focus to the next zone.
        FocusNext,
        /// Focus to the zone before.
        FocusPrevious,
        /// Bring what was copied in another zone to the focused one.
        Paste,
        /// Lock the desktop.
        Lock,
        /// Take a picture of the desktop.
        Screenshot,
        /// Free the pointer.
        ReleasePointer,
    }
}

words! {
    /// What happens when a record cannot be written.
    WhenFull from keys::WHEN_FULL {
        /// Flows that need a record are denied.
        DenyFlows,
        /// All zones are locked.
        LockZones,
    }
}

words! {
    /// What happens when the policy was not renewed in time.
    AtLockout from keys::AT_LOCKOUT {
        /// All zones are locked.
        LockZones,
        /// Every flow is denied.
        DenyFlows,
    }
}

/// Who made which version of the policy, and when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The policy's name.
    pub id: String,
    /// Its version, 1 or more.
    pub version: u64,
    /// When this version was made.
    pub issued: Option<Timestamp>,
    /// From when it holds.
    pub not_before: Option<Timestamp>,
    /// Until when it holds.
    pub expires: Option<Timestamp>,
    /// The oldest engine that understands it: major, minor, patch.
    pub minimum_engine: Option<(u64, u64, u64)>,
    /// The SHA-256 of the policy file that this one replaces.
    pub previous: Option<[u8; 32]>,
    /// For people.
    pub comment: String,
    /// Where it stands.
    pub span: Span,
    pub(crate) expires_span: Option<Span>,
    pub(crate) previous_span: Option<Span>,
}

/// What zones that use this profile may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkProfile {
    /// Its name.
    pub name: String,
    /// Hosts.
    pub hosts: Vec<HostPattern>,
    /// Ports; empty for any.
    pub ports: Vec<PortRange>,
    /// Networks that the endpoint must be connected to; empty for any.
    pub connected: Vec<TextPattern>,
    /// Where it stands.
    pub span: Span,
}

/// Keys that the endpoint keeps for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The secure attention key.
    pub attention_key: Chord,
    /// What moves the focus.
    pub focus: Focus,
    /// How long a prompt waits before it takes a key or a click.
    pub arm_delay: Duration,
    /// Chords for the endpoint's own acts; each act has one.
    pub chords: Vec<(ChordAction, Chord)>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            attention_key: Chord::ATTENTION,
            focus: Focus::ClickOrChord,
            arm_delay: Duration::from_secs(1),
            chords: default_chords(),
        }
    }
}

/// Layers without which no zone starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// The layers, in the order of [`JailLayer::ALL`].
    pub required: Vec<JailLayer>,
}

/// What happens when the policy is not renewed in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// How long after it was issued the policy may be used.
    pub after: Duration,
    /// How long before that the panel says so.
    pub warn: Duration,
    /// What happens then.
    pub then: AtLockout,
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Verdicts that are recorded.
    pub record: Vec<Verdict>,
    /// The size at which a log file is closed.
    pub segment: ByteSize,
    /// How many closed files are kept.
    pub keep: u32,
    /// What happens when a record cannot be written.
    pub when_full: WhenFull,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            record: Verdict::ALL.to_vec(),
            segment: ByteSize(16 << 20),
            keep: 64,
            when_full: WhenFull::DenyFlows,
        }
    }
}

/// A policy in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The header; an unsigned policy may do without.
    pub header: Option<Header>,
    /// The zones, in the order of the file.
    pub zones: Vec<Zone>,
    /// The rules, those that zones bring with them first.
    pub rules: Vec<Rule>,
    /// The network profiles.
    pub networks: Vec<NetworkProfile>,
    /// Keys and focus.
    pub input: Input,
    /// The jail.
    pub jail: Jail,
    /// The lock-out, if there is one.
    pub lockout: Option<Lockout>,
    /// The records.
    pub audit: Audit,
    source: Source,
    hash: [u8; 32],
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Every mistake of the file, each with its place, an excerpt and the mend.
    pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Self, Errors> {
        let (source, text) = decode(file_name, bytes)?;
        let reporter = Reporter::new(&source);
        let (root, mistakes) = DeTable::parse_recoverable(&text);
        for mistake in mistakes {
            reporter.add(syntax_error(&source, &mistake));
        }
        let span = Span::default();
        let file = Table::open(&reporter, &keys::FILE, root.get_ref(), span, "the policy");
        let parts = Parts::read(&reporter, &file);
        let (zones, networks, written) = (parts.zones, parts.networks, parts.rules);
        let mut rules = brought_rules(&source, &zones, &networks);
        rules.extend(written);
        if rules.len() > LIMITS.rules {
            let message = format!(
                "the policy has {} rules and at most {} are allowed",
                rules.len(),
                LIMITS.rules
            );
            reporter.error(
                span,
                "too-many",
                message,
                "use tags to say with one rule what holds for many zones",
            );
        }
        reporter.finish()?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Ok(Self {
            header: parts.header,
            zones,
            rules,
            networks,
            input: parts.input,
            jail: parts.jail,
            lockout: parts.lockout,
            audit: parts.audit,
            source,
            hash,
        })
    }

    /// The zone with this name.
    pub fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// The network profile with this name.
    pub fn network(&self, name: &str) -> Option<&NetworkProfile> {
        self.networks.iter().find(|profile| profile.name == name)
    }

    /// The file it was read from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The SHA-256 of the file's bytes.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// An error about something in the file that only its user can find, such as an image that is not there.
    pub fn error_at(
        &self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(&self.source, span, code, message).mend(mend)
    }

    /// `line N` or the rule's name with file and line.
    pub fn rule_place(&self, rule: &Rule) -> String {
        format!("\"{}\" ({}:{})", rule.name, self.source.name(), rule.line)
    }
}

/// Checks what must hold of a file before it is looked into: its size, its encoding, its depth.
fn decode(file_name: &str, bytes: &[u8]) -> Result<(Source, String), Errors> {
    let blank = Source::new(file_name, "");
    if bytes.len() > LIMITS.bytes {
        let message = format!(
            "the file has {} bytes and at most {} are read",
            bytes.len(),
            LIMITS.bytes
        );
        return Err(
            Diagnostic::error(&blank, Span::default(), "too-large", message)
                .mend("use tags and patterns instead of long lists")
                .into(),
        );
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let message = "the file starts with a byte-order mark, which is no part of a policy";
        return Err(
            Diagnostic::error(&blank, Span::default(), "byte-order-mark", message)
                .mend("save it as UTF-8 without a byte-order mark")
                .into(),
        );
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let source = Source::new(file_name, &String::from_utf8_lossy(bytes));
            // Up to the fault the lossy text has the same bytes.
            let diagnostic = Diagnostic::error(
                &source,
                Span {
                    start: at,
                    end: at + 1,
                },
                "not-utf8",
                format!("byte {at} of the file is not UTF-8"),
            );
            return Err(diagnostic.mend("save it as UTF-8").into());
        }
    };
    let source = Source::new(file_name, text);
    if let Some(at) = too_deep(text) {
        let message = format!("more than {} brackets within one another", LIMITS.nesting);
        return Err(Diagnostic::error(
            &source,
            Span {
                start: at,
                end: at + 1,
            },
            "too-deep",
            message,
        )
        .mend("no key of a policy nests so deep")
        .into());
    }
    Ok((source, text.to_owned()))
}

/// Where brackets nest too deep, quotes and comments not looked at: a bound on the parser's work, not a check of syntax.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'\n' if depth > LIMITS.nesting => return Some(at),
            _ => {}
        }
        if depth > LIMITS.nesting * 4 {
            return Some(at);
        }
    }
    None
}

fn syntax_error(source: &Source, mistake: &toml::de::Error) -> Diagnostic {
    let span = mistake.span().map_or(Span::default(), Span::from);
    let message = mistake
        .message()
        .lines()
        .next()
        .unwrap_or("the file is no TOML")
        .to_owned();
    if message.contains("duplicate key") {
        let name = shown(source.slice(span));
        let diagnostic = Diagnostic::error(
            source,
            span,
            "duplicate",
            format!("`{name}` is written twice here"),
        );
        let first = first_header(source, span);
        let diagnostic = match first {
            Some(first) => diagnostic.related(source, first, "the first"),
            None => diagnostic,
        };
        return diagnostic.mend("keep one of the two, or give the second another name");
    }
    Diagnostic::error(
        source,
        span,
        "syntax",
        format!("this is no TOML: {message}"),
    )
    .mend("see the handbook page on the policy file, or https://toml.io")
}

/// The first line that is the same table header as the one at `span`.
fn first_header(source: &Source, span: Span) -> Option<Span> {
    let line_start = source
        .text()
        .get(..span.start)?
        .rfind('\n')
        .map_or(0, |at| at + 1);
    let header = source.text().get(line_start..)?.lines().next()?.trim();
    let at = source
        .text()
        .find(header)
        .filter(|at| *at < line_start && header.starts_with('['))?;
    Some(Span {
        start: at,
        end: at + header.len(),
    })
}

/// What the sections of a file say, as far as it could be read.
struct Parts {
    header: Option<Header>,
    zones: Vec<Zone>,
    networks: Vec<NetworkProfile>,
    rules: Vec<Rule>,
    input: Input,
    jail: Jail,
    lockout: Option<Lockout>,
    audit: Audit,
}

impl Parts {
    fn read(reporter: &Reporter<'_>, file: &Table<'_>) -> Self {
        let header = file
            .table("policy", "the policy's header")
            .and_then(|table| read_header(&table));
        let networks = read_networks(reporter, file);
        let (zones, zone_names) = read_zones(reporter, file);
        let tables = file.tables("flow");
        let mut rules = Vec::with_capacity(tables.len().min(LIMITS.rules));
        for (span, table) in tables.into_iter().take(LIMITS.rules + 1) {
            let table = Table::open(reporter, &keys::FLOW, table, span, "this flow");
            rules.extend(Rule::read(&table));
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
        Self {
            header,
            zones,
            networks,
            rules,
            input,
            jail,
            lockout,
            audit,
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
        zones.extend(Zone::read(
            parsed,
            &Table::open(reporter, &keys::ZONE, table, span, &what),
        ));
    }
    check_likeness(reporter, &zones);
    (zones, names)
}

/// Zones must be told apart by what the screen calls them, too.
fn check_likeness(reporter: &Reporter<'_>, zones: &[Zone]) {
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

fn values<T>(list: Option<crate::tree::At<Vec<crate::tree::At<T>>>>) -> Vec<T> {
    list.map_or_else(Vec::new, |list| {
        list.value.into_iter().map(|at| at.value).collect()
    })
}

/// Every zone, tag and network that is named must be there.
fn check_references(
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

fn check_rule_names(reporter: &Reporter<'_>, rules: &[Rule]) {
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

/// The rules that a zone's own keys bring with them.
fn brought_rules(source: &Source, zones: &[Zone], networks: &[NetworkProfile]) -> Vec<Rule> {
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

fn default_chords() -> Vec<(ChordAction, Chord)> {
    use ChordAction::{FocusNext, FocusPrevious, Lock, Paste, ReleasePointer, Screenshot};
    let keys = [
        (FocusNext, 15, false),
        (FocusPrevious, 15, true),
        (Paste, 47, false),
        (Lock, 38, false),
        (Screenshot, 99, false),
        (ReleasePointer, 1, false),
    ];
    keys.into_iter()
        .map(|(action, key, shift)| (action, Chord::with_meta(key, shift)))
        .collect()
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

/// No chord may mean two things.
fn check_chords(reporter: &Reporter<'_>, file: &Table<'_>, input: &Input, zones: &[Zone]) {
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
