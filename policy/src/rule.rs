//! Rules of flow: what may cross from where to where, on which conditions, with which verdict.

use std::fmt;
use std::time::Duration;

use crate::condition::Conditions;
use crate::diagnostic::{Diagnostic, Span, shown};
use crate::keys;
use crate::names::ZoneName;
use crate::tree::{At, Table, choose};
use crate::values::{Mistake, parse_duration, show_duration};
use crate::zone::words;

words! {
    /// What crosses.
    Kind from keys::KIND_NAMES {
        /// What was copied in one zone is pasted in another.
        Clipboard,
        /// A file is copied.
        File,
        /// A URL is opened.
        Url,
        /// An application is started.
        Launch,
        /// Something is dragged from one zone's window to another's.
        Drag,
        /// A USB device is handed to a zone.
        Usb,
        /// A zone hears the microphone.
        AudioIn,
        /// A zone plays sound.
        AudioOut,
        /// A zone sees the camera.
        Camera,
        /// A zone shows a notification.
        Notification,
        /// A zone prints.
        Print,
        /// A picture of a zone's windows is taken.
        Screenshot,
        /// A zone's memory and disks are saved.
        Snapshot,
        /// A zone connects to a host on a network.
        Network,
        /// A zone calls a service.
        Service,
    }
}

/// Which parties a kind of flow goes between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// From zone to zone.
    ZoneToZone,
    /// From the endpoint to a zone.
    HostToZone,
    /// From a zone to the endpoint.
    ZoneToHost,
    /// From a zone to the endpoint or to another zone.
    ZoneToAny,
}

impl Kind {
    /// The kind with this name.
    pub fn parse(text: &str) -> Option<Self> {
        keys::KIND_NAMES
            .iter()
            .position(|name| *name == text)
            .and_then(Self::from_index)
    }

    /// Which parties it goes between.
    pub fn ends(self) -> Ends {
        match self {
            Self::Clipboard | Self::File | Self::Url | Self::Launch | Self::Drag => {
                Ends::ZoneToZone
            }
            Self::Usb | Self::AudioIn | Self::Camera => Ends::HostToZone,
            Self::AudioOut
            | Self::Notification
            | Self::Print
            | Self::Snapshot
            | Self::Network
            | Self::Service => Ends::ZoneToHost,
            Self::Screenshot => Ends::ZoneToAny,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KindSet(u16);

impl KindSet {
    /// All kinds.
    pub const ALL: Self = Self((1 << Kind::ALL.len()) - 1);

    /// The set of some kinds.
    pub fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | 1 << *kind as u16))
    }

    /// Whether a kind is in it.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// The kinds in it.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }

    /// Whether there is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for KindSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Kind::as_str).collect();
        formatter.write_str(&names.join(", "))
    }
}

words! {
    /// The policy's answer. Ordered by how much is let through.
    Verdict from keys::VERDICTS {
        /// It does not cross.
        Deny,
        /// The user is asked.
        Ask,
        /// It crosses.
        Allow,
    }
}

words! {
    /// How the receiver's level must stand to the sender's.
    LevelRelation from keys::RELATIONS {
        /// Higher.
        Up,
        /// The same.
        Same,
        /// Lower.
        Down,
        /// The same or higher.
        NotDown,
        /// The same or lower.
        NotUp,
    }
}

impl LevelRelation {
    /// Whether it holds between two levels.
    pub fn holds(self, from: u8, to: u8) -> bool {
        match self {
            Self::Up => to > from,
            Self::Same => to == from,
            Self::Down => to < from,
            Self::NotDown => to >= from,
            Self::NotUp => to <= from,
        }
    }
}

words! {
    /// What is taken out of data on its way.
    Scrub from keys::SCRUBS {
        /// Everything but the plain text.
        Formatting,
        /// What a file says of its author, place and history.
        Metadata,
        /// Terminal escapes and other control characters.
        Escapes,
        /// What in a document leads elsewhere.
        Links,
    }
}

words! {
    /// What of a USB device passes only where a rule says so.
    UsbExtra from keys::USB_EXTRAS {
        /// Power, sleep and wake keys.
        PowerKeys,
        /// Alt with PrintScreen, Linux' magic key.
        Sysrq,
        /// Requests that the device's maker defined, firmware updates among them.
        VendorRequests,
    }
}

words! {
    /// How much of a flow is recorded.
    LogDetail from keys::LOG_DETAILS {
        /// Nothing.
        Off,
        /// Who, what kind, which verdict.
        Brief,
        /// Also sizes, types and hashes.
        Full,
    }
}

/// How long a user's yes may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grant {
    /// For this one time.
    Once,
    /// For so long.
    For(Duration),
    /// Until the user's session ends.
    Session,
}

impl Grant {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        match text {
            "once" => Ok(Self::Once),
            "session" => Ok(Self::Session),
            other => match parse_duration(other) {
                Ok(duration)
                    if (Duration::from_secs(1)..=Duration::from_secs(86_400))
                        .contains(&duration) =>
                {
                    Ok(Self::For(duration))
                }
                Ok(_) => Err(Mistake::new(
                    format!("{other:?} is out of bounds for a grant"),
                    "write \"1 s\" to \"24 h\"",
                )),
                Err(_) => Err(Mistake::new(
                    format!("{:?} is no grant", shown(other)),
                    "write \"once\", \"session\" or a duration such as \"10 min\"",
                )),
            },
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => formatter.write_str("once"),
            Self::Session => formatter.write_str("session"),
            Self::For(duration) => formatter.write_str(&show_duration(*duration)),
        }
    }
}

/// What else happens where a rule decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obligations {
    /// Tell the user.
    pub notify: bool,
    /// What is taken out of the data.
    pub scrub: Vec<Scrub>,
    /// How much is recorded.
    pub log: LogDetail,
    /// The zone that receives it instead.
    pub redirect: Option<ZoneName>,
    /// What the user may choose at a prompt, shortest first.
    pub grants: Vec<Grant>,
    /// What of a USB device passes that else does not.
    pub usb_passes: Vec<UsbExtra>,
    /// A keyboard counts only after a shown code was typed on it.
    pub type_code: bool,
}

impl Default for Obligations {
    fn default() -> Self {
        Self {
            notify: false,
            scrub: Vec::new(),
            log: LogDetail::Brief,
            redirect: None,
            grants: vec![Grant::Once],
            usb_passes: Vec::new(),
            type_code: false,
        }
    }
}

/// One word of a selector, or the opposite of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// Whether the zones that do *not* fit are meant.
    pub negated: bool,
    /// Which zones.
    pub test: Test,
}

/// Which zones a word of a selector means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// Every zone; never the host.
    Any,
    /// The endpoint itself.
    Host,
    /// One zone.
    Zone(ZoneName),
    /// Zones with a tag.
    Tag(String),
    /// Zones with a level from the first to the second, both included.
    Level(u8, u8),
}

/// Zones that a rule means: those that fit all of its words, such as `tag:office & !tag:guest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The words.
    pub terms: Vec<Term>,
    /// Where it is written.
    pub span: Span,
}

const SELECTOR_MEND: &str = "write a zone's name, \"any\", \"host\", \"tag:NAME\" or \"level:2\" (also \"level:>=2\", \"level:1-3\"), joined by & and with ! for not";

impl Selector {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let mut terms = Vec::new();
        for word in text.split('&') {
            let word = word.trim_matches(' ');
            let (negated, word) = match word.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start_matches(' ')),
                None => (false, word),
            };
            let test = match word.split_once(':') {
                Some(("tag", tag)) => Test::Tag(crate::zone::tag(tag)?),
                Some(("level", bounds)) => {
                    let (least, most) = levels(bounds).ok_or_else(|| {
                        Mistake::new(format!("{:?} is no level", shown(bounds)), SELECTOR_MEND)
                    })?;
                    Test::Level(least, most)
                }
                Some(_) => {
                    return Err(Mistake::new(
                        format!("{:?} is no selector", shown(word)),
                        SELECTOR_MEND,
                    ));
                }
                None if word == "any" => Test::Any,
                None if word == "host" => Test::Host,
                None => match ZoneName::parse(word) {
                    Ok(name) => Test::Zone(name),
                    Err(error) => {
                        let mend = error.suggestion().map_or_else(
                            || SELECTOR_MEND.to_owned(),
                            |near| format!("write \"{near}\""),
                        );
                        return Err(Mistake::new(
                            format!("{:?} names no zone: {error}", shown(word)),
                            mend,
                        ));
                    }
                },
            };
            terms.push(Term { negated, test });
        }
        if terms.len() > 16 {
            return Err(Mistake::new(
                "a selector of more than 16 words is more than a reader can follow",
                "give the zones a tag",
            ));
        }
        Ok(Self {
            terms,
            span: Span::default(),
        })
    }

    fn names_host(&self) -> bool {
        self.terms.iter().any(|term| term.test == Test::Host)
    }
}

fn levels(text: &str) -> Option<(u8, u8)> {
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<u8>().ok())
            .flatten()
    };
    if let Some(rest) = text.strip_prefix(">=") {
        return Some((number(rest)?, u8::MAX));
    }
    if let Some(rest) = text.strip_prefix("<=") {
        return Some((0, number(rest)?));
    }
    if let Some(rest) = text.strip_prefix('>') {
        return Some((number(rest)?.checked_add(1)?, u8::MAX));
    }
    if let Some(rest) = text.strip_prefix('<') {
        return Some((0, number(rest)?.checked_sub(1)?));
    }
    match text.split_once('-') {
        Some((least, most)) => {
            Some((number(least)?, number(most)?)).filter(|(least, most)| least <= most)
        }
        None => number(text).map(|level| (level, level)),
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" & ")?;
            }
            if term.negated {
                formatter.write_str("!")?;
            }
            match &term.test {
                Test::Any => formatter.write_str("any")?,
                Test::Host => formatter.write_str("host")?,
                Test::Zone(name) => write!(formatter, "{name}")?,
                Test::Tag(tag) => write!(formatter, "tag:{tag}")?,
                Test::Level(least, most) if least == most => write!(formatter, "level:{least}")?,
                Test::Level(least, u8::MAX) => write!(formatter, "level:>={least}")?,
                Test::Level(0, most) => write!(formatter, "level:<={most}")?,
                Test::Level(least, most) => write!(formatter, "level:{least}-{most}")?,
            }
        }
        Ok(())
    }
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A `[[flow]]` of the file.
    Written,
    /// A zone's `sensitive = true`.
    Sensitive,
    /// A zone's `network = …`.
    Network,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// What records and explanations call it.
    pub name: String,
    /// What crosses.
    pub kinds: KindSet,
    /// From where; any of these.
    pub from: Vec<Selector>,
    /// To where; any of these.
    pub to: Vec<Selector>,
    /// How the levels must stand.
    pub levels: Option<LevelRelation>,
    /// The answer.
    pub verdict: Verdict,
    /// What must hold.
    pub conditions: Conditions,
    /// What else happens.
    pub obligations: Obligations,
    /// Where it comes from.
    pub origin: Origin,
    /// Where it stands.
    pub span: Span,
    /// The line on which it starts.
    pub line: usize,
    pub(crate) redirect_span: Option<Span>,
}

impl Rule {
    /// Reads a rule. What it lacks is reported and taken for the strictest there is, so that the rest can be checked.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let line = table.source().location(table.span).line;
        let name = table.parsed("name", |text| {
            crate::names::check_shown_text(text, 60).map_err(|reason| {
                Mistake::new(reason, "write a short text of letters, digits and spaces")
            })?;
            Ok(text.to_owned())
        });
        let kinds = table.parsed_list("kind", false, |text| choose(text, &keys::KIND_NAMES));
        let kinds = kinds.map(|at| {
            KindSet::of(
                &at.value
                    .iter()
                    .filter_map(|at| Kind::from_index(at.value))
                    .collect::<Vec<_>>(),
            )
        });
        let verdict = table
            .choice("verdict", &keys::VERDICTS)
            .and_then(|at| Verdict::from_index(at.value));
        let side = |key: &'static str| {
            let selectors = table.parsed_list(key, false, Selector::parse)?;
            Some(
                selectors
                    .value
                    .into_iter()
                    .map(|At { value, span }| Selector { span, ..value })
                    .collect::<Vec<_>>(),
            )
        };
        let (from, to) = (side("from"), side("to"));
        let levels = table
            .choice("levels", &keys::RELATIONS)
            .and_then(|at| LevelRelation::from_index(at.value));
        // Where the kind is not known nothing can be said of what goes with it.
        let known = kinds.unwrap_or_default();
        let conditions = table
            .table("when", "the `when` of a flow")
            .map_or_else(Conditions::default, |when| {
                Conditions::read(&when, known, verdict)
            });
        let then = table.table("then", "the `then` of a flow");
        let (obligations, redirect_span) = then.map_or_else(
            || (Obligations::default(), None),
            |then| read_obligations(&then, verdict, known),
        );
        let (from, to) = match kinds {
            Some(kinds) => sides(table, kinds, from, to),
            None => (from, to),
        };
        let kinds = known;
        if levels.is_some()
            && kinds
                .iter()
                .any(|kind| matches!(kind.ends(), Ends::HostToZone | Ends::ZoneToHost))
        {
            let span = table.key_span("levels").unwrap_or(table.span);
            table.error(
                span,
                "useless-condition",
                "`levels` compares two zones, and one end of these flows is the endpoint itself",
                "leave it out, or name zones by \"level:…\"",
            );
        }
        Self {
            name: name.map_or_else(|| format!("line {line}"), |at| at.value),
            kinds,
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
            levels,
            verdict: verdict.unwrap_or(Verdict::Deny),
            conditions,
            obligations,
            origin: Origin::Written,
            span: table.span,
            line,
            redirect_span,
        }
    }

    /// Whether it is meant for every pair of ends that its kinds can have.
    pub(crate) fn is_for_anyone(&self) -> bool {
        let any = |side: &[Selector]| {
            side.iter().any(|selector| {
                selector
                    .terms
                    .iter()
                    .all(|term| !term.negated && matches!(term.test, Test::Any | Test::Host))
            })
        };
        any(&self.from) && any(&self.to)
    }
}

/// Fills in the end that a kind fixes, and reports ends that a kind cannot have.
fn sides(
    table: &Table<'_>,
    kinds: KindSet,
    from: Option<Vec<Selector>>,
    to: Option<Vec<Selector>>,
) -> (Option<Vec<Selector>>, Option<Vec<Selector>>) {
    let side = |key: &'static str,
                written: Option<Vec<Selector>>,
                host_kinds: KindSet,
                may_be_host: KindSet| {
        let zone_kinds = kinds.minus(host_kinds);
        match written {
            Some(selectors) => {
                for selector in &selectors {
                    let wrong = if selector.names_host() {
                        kinds.minus(may_be_host)
                    } else {
                        kinds.minus(zone_kinds)
                    };
                    if !wrong.is_empty() {
                        let (is, mend) = if selector.names_host() {
                            (
                                "a zone, never the host",
                                format!(
                                    "name zones; `{key}` may be \"host\" only for {may_be_host}"
                                ),
                            )
                        } else {
                            (
                                "always the host",
                                format!(
                                    "leave `{key}` out, or write a rule of its own for {wrong}"
                                ),
                            )
                        };
                        table.error(
                            selector.span,
                            "wrong-end",
                            format!("`{key}` of {wrong} is {is}"),
                            mend,
                        );
                    }
                    if selector.names_host() && selector.terms.len() > 1 {
                        table.error(
                            selector.span,
                            "wrong-end",
                            "\"host\" cannot be joined with other words",
                            "write it as an entry of its own",
                        );
                    }
                }
                Some(selectors)
            }
            // A value that did not parse is reported already.
            None if table.key_span(key).is_some() => None,
            None if zone_kinds.is_empty() => Some(vec![Selector {
                terms: vec![Term {
                    negated: false,
                    test: Test::Host,
                }],
                span: table.span,
            }]),
            None => {
                table.error(
                    table.span,
                    "missing-key",
                    format!("this flow has no `{key}`"),
                    format!("add `{key} = \"…\"`: a zone, a tag or \"any\""),
                );
                None
            }
        }
    };
    let of = |wanted: &[Ends]| {
        KindSet::of(
            &Kind::ALL
                .into_iter()
                .filter(|kind| wanted.contains(&kind.ends()))
                .collect::<Vec<_>>(),
        )
    };
    let from_host = of(&[Ends::HostToZone]);
    let to_host = of(&[Ends::ZoneToHost]);
    let from = side("from", from, from_host, from_host);
    let to = side("to", to, to_host, of(&[Ends::ZoneToHost, Ends::ZoneToAny]));
    (from, to)
}

fn read_obligations(
    table: &Table<'_>,
    verdict: Option<Verdict>,
    kinds: KindSet,
) -> (Obligations, Option<Span>) {
    let mut scrub: Vec<Scrub> = table
        .parsed_list("scrub", true, |text| choose(text, &keys::SCRUBS))
        .map_or_else(Vec::new, |at| {
            at.value
                .iter()
                .filter_map(|at| Scrub::from_index(at.value))
                .collect()
        });
    scrub.sort();
    scrub.dedup();
    let mut usb_passes: Vec<UsbExtra> = table
        .parsed_list("usb-passes", true, |text| choose(text, &keys::USB_EXTRAS))
        .map_or_else(Vec::new, |at| {
            at.value
                .iter()
                .filter_map(|at| UsbExtra::from_index(at.value))
                .collect()
        });
    usb_passes.sort();
    usb_passes.dedup();
    let redirect = table.parsed("redirect", |text| {
        ZoneName::parse(text).map_err(|error| {
            Mistake::new(
                format!("{:?} names no zone: {error}", shown(text)),
                "write a zone's name",
            )
        })
    });
    let grants = table.parsed_list("grants", false, Grant::parse);
    let misplaced = |key: &'static str, allowed_in: &[Verdict], why: &str| {
        if let (Some(verdict), Some(span)) = (verdict, table.key_span(key))
            && !allowed_in.contains(&verdict)
        {
            let diagnostic = Diagnostic::error(
                table.source(),
                span,
                "misplaced-key",
                format!("`{key}` has no meaning in a rule whose verdict is {verdict}"),
            );
            table.add(diagnostic.mend(why));
        }
    };
    misplaced(
        "grants",
        &[Verdict::Ask],
        "leave it out, or write `verdict = \"ask\"`",
    );
    misplaced(
        "redirect",
        &[Verdict::Ask, Verdict::Allow],
        "leave it out: what is denied goes nowhere",
    );
    for key in ["scrub", "usb-passes", "type-code"] {
        misplaced(
            key,
            &[Verdict::Ask, Verdict::Allow],
            "leave it out: what is denied goes nowhere",
        );
    }
    for key in ["usb-passes", "type-code"] {
        if let Some(span) = table.key_span(key)
            && kinds.minus(KindSet::of(&[Kind::Usb])) != KindSet::default()
        {
            table.error(
                span,
                "misplaced-key",
                format!("`{key}` has a meaning for usb alone"),
                "write a rule of its own for USB devices",
            );
        }
    }
    if let Some(redirect) = &redirect {
        let fixed = kinds.minus(KindSet::of(
            &Kind::ALL
                .into_iter()
                .filter(|kind| kind.ends() == Ends::ZoneToZone)
                .collect::<Vec<_>>(),
        ));
        if !fixed.is_empty() {
            table.error(
                redirect.span,
                "misplaced-key",
                format!("{fixed} cannot be redirected"),
                "write a rule of its own for flows between zones",
            );
        }
    }
    let mut grants: Vec<Grant> = grants.map_or_else(
        || vec![Grant::Once],
        |at| at.value.into_iter().map(|at| at.value).collect(),
    );
    grants.sort();
    grants.dedup();
    let redirect_span = redirect.as_ref().map(|at| at.span);
    let obligations = Obligations {
        notify: table.boolean("notify").is_some_and(|at| at.value),
        scrub,
        log: table
            .choice("log", &keys::LOG_DETAILS)
            .and_then(|at| LogDetail::from_index(at.value))
            .unwrap_or(LogDetail::Brief),
        redirect: redirect.map(|at| at.value),
        grants,
        usb_passes,
        type_code: table.boolean("type-code").is_some_and(|at| at.value),
    };
    (obligations, redirect_span)
}
