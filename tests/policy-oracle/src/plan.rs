//! A policy in a form of its own, and how it is written in our language and in Cedar's.

use std::fmt::Write as _;

use bulkhead_policy::{Decider, Facts, Kind, Mime, Party, Policy, Request, Url, Verdict, Word};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, RestrictedExpression,
};

const KINDS: [&str; 4] = ["clipboard", "file", "url", "launch"];
const MIMES: [&str; 3] = ["text/plain", "text/html", "image/png"];
const HOSTS: [&str; 4] = [
    "example.org",
    "a.example.org",
    "b.a.example.org",
    "evil.invalid",
];
const APPLICATIONS: [&str; 3] = ["editor", "editor-2", "browser"];

/// A generator of numbers that is the same everywhere (xorshift64*).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// A number from 0 to below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0);
        high % limit.max(1)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        let at = self.below(list.len());
        list.get(at).copied()
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// Which zones a rule means.
#[derive(Clone, Debug)]
enum Who {
    Any,
    Zone(usize),
    NotZone(usize),
    Tag(usize),
    Level(u8),
}

/// What a rule asks of the thing.
#[derive(Clone, Debug)]
enum What {
    Mime(&'static str),
    MaxBytes(u64),
    OverBytes(u64),
    Host(&'static str),
    Application(&'static str),
}

#[derive(Clone, Debug)]
struct Rule {
    allow: bool,
    kind: &'static str,
    from: Who,
    to: Who,
    levels: Option<&'static str>,
    what: Vec<What>,
}

#[derive(Clone, Debug)]
struct Zone {
    level: u8,
    tags: Vec<usize>,
}

/// A policy in neither language.
#[derive(Clone, Debug)]
pub struct Plan {
    zones: Vec<Zone>,
    rules: Vec<Rule>,
    tags: usize,
}

/// A request in both languages.
#[derive(Clone, Debug)]
pub struct Question {
    /// Ours.
    pub ours: Request,
    kind: &'static str,
    from: String,
    to: String,
    context: Vec<(String, RestrictedExpressionText)>,
}

/// A value of Cedar, kept so that it can be made anew for each question.
#[derive(Clone, Debug)]
enum RestrictedExpressionText {
    Text(String),
    Number(i64),
}

fn zone_name(index: usize) -> String {
    // No two of these look alike, as names of zones may not.
    const FIRST: [char; 8] = ['a', 'c', 'e', 'h', 'k', 'p', 't', 'x'];
    let letter = |index: usize| FIRST.get(index % FIRST.len()).copied().unwrap_or('a');
    format!("zone-{}{}", letter(index / FIRST.len()), letter(index))
}

impl Plan {
    /// Makes a policy with so many zones and rules. `with_any` says whether rules may speak of every zone.
    pub fn random(numbers: &mut Numbers, zones: usize, rules: usize, with_any: bool) -> Self {
        let tags = (zones / 4).clamp(2, 12);
        let zone = |numbers: &mut Numbers, index: usize| Zone {
            level: u8::try_from(numbers.below(4)).unwrap_or(0),
            // Every tag is some zone's.
            tags: (0..tags)
                .filter(|tag| index % tags == *tag || numbers.chance(6))
                .collect(),
        };
        let zones: Vec<Zone> = (0..zones).map(|index| zone(numbers, index)).collect();
        let count = zones.len();
        let who = |numbers: &mut Numbers| match numbers.below(8) {
            0 if with_any => Who::Any,
            1 if with_any => Who::NotZone(numbers.below(count)),
            2 if with_any => Who::Level(u8::try_from(numbers.below(4)).unwrap_or(0)),
            3 => Who::Tag(numbers.below(tags)),
            _ => Who::Zone(numbers.below(count)),
        };
        let rule = |numbers: &mut Numbers| {
            let allow = !numbers.chance(3);
            let kind = numbers.pick(&KINDS).unwrap_or("file");
            let mut what = Vec::new();
            if matches!(kind, "clipboard" | "file") && numbers.chance(2) {
                what.push(What::Mime(
                    numbers
                        .pick(&["text/plain", "text/*", "image/png"])
                        .unwrap_or("text/*"),
                ));
            }
            if kind != "launch" && numbers.chance(2) {
                let bytes = 1 << numbers.below(20);
                what.push(if allow {
                    What::MaxBytes(bytes)
                } else {
                    What::OverBytes(bytes)
                });
            }
            if kind == "url" && numbers.chance(2) {
                what.push(What::Host(
                    numbers
                        .pick(&["example.org", "*.example.org", "*.a.example.org"])
                        .unwrap_or("example.org"),
                ));
            }
            if kind == "launch" && numbers.chance(2) {
                what.push(What::Application(
                    numbers
                        .pick(&["editor", "editor*", "*rows*"])
                        .unwrap_or("editor"),
                ));
            }
            let levels = if numbers.chance(5) {
                numbers.pick(&["up", "down", "same", "not-down", "not-up"])
            } else {
                None
            };
            Rule {
                allow,
                kind,
                from: who(numbers),
                to: who(numbers),
                levels,
                what,
            }
        };
        let rules = (0..rules).map(|_| rule(numbers)).collect();
        Self { zones, rules, tags }
    }

    /// The policy in our language.
    pub fn ours(&self) -> String {
        let mut text = String::new();
        for (index, zone) in self.zones.iter().enumerate() {
            let tags: Vec<String> = zone
                .tags
                .iter()
                .map(|tag| format!("\"tag-{}\"", zone_name(*tag)))
                .collect();
            let colour = index * 2_654_435 % 0xff_ffff;
            let short: String = zone_name(index).to_uppercase().replace("ZONE-", "Z");
            let _ = writeln!(
                text,
                "[zone.{}]\nshort-name = \"{short}\"\ncolour = \"#{colour:06x}\"\nimage = \"x\"\nlevel = {}\ntags = [{}]",
                zone_name(index),
                zone.level,
                tags.join(", ")
            );
        }
        let who = |who: &Who| match who {
            Who::Any => "any".to_owned(),
            Who::Zone(index) => zone_name(*index),
            Who::NotZone(index) => format!("!{}", zone_name(*index)),
            Who::Tag(tag) => format!("tag:tag-{}", zone_name(*tag)),
            Who::Level(level) => format!("level:>={level}"),
        };
        for rule in &self.rules {
            let verdict = if rule.allow { "allow" } else { "deny" };
            let _ = writeln!(
                text,
                "[[flow]]\nkind = \"{}\"\nfrom = \"{}\"\nto = \"{}\"\nverdict = \"{verdict}\"",
                rule.kind,
                who(&rule.from),
                who(&rule.to)
            );
            if let Some(levels) = rule.levels {
                let _ = writeln!(text, "levels = \"{levels}\"");
            }
            let when: Vec<String> = rule
                .what
                .iter()
                .map(|what| match what {
                    What::Mime(mime) => format!("mime = \"{mime}\""),
                    What::MaxBytes(bytes) => format!("max-bytes = \"{bytes} B\""),
                    What::OverBytes(bytes) => format!("over-bytes = \"{bytes} B\""),
                    What::Host(host) => format!("hosts = \"{host}\""),
                    What::Application(application) => format!("applications = \"{application}\""),
                })
                .collect();
            if !when.is_empty() {
                let _ = writeln!(text, "when = {{ {} }}", when.join(", "));
            }
        }
        text
    }

    /// The policy in Cedar's language.
    pub fn cedar(&self) -> String {
        let mut text = String::new();
        let who = |variable: &str, who: &Who| match who {
            Who::Any => "true".to_owned(),
            Who::Zone(index) => format!("{variable} == Zone::\"{}\"", zone_name(*index)),
            Who::NotZone(index) => format!("{variable} != Zone::\"{}\"", zone_name(*index)),
            Who::Tag(tag) => format!("{variable} in Tag::\"tag-{}\"", zone_name(*tag)),
            Who::Level(level) => format!("{variable}.level >= {level}"),
        };
        for rule in &self.rules {
            let effect = if rule.allow { "permit" } else { "forbid" };
            let mut conditions = vec![who("principal", &rule.from), who("resource", &rule.to)];
            if let Some(levels) = rule.levels {
                let sign = match levels {
                    "up" => ">",
                    "down" => "<",
                    "same" => "==",
                    "not-down" => ">=",
                    _ => "<=",
                };
                conditions.push(format!("resource.level {sign} principal.level"));
            }
            for what in &rule.what {
                conditions.push(match what {
                    What::Mime(mime) => format!("context.mime like \"{mime}\""),
                    What::MaxBytes(bytes) => format!("context.bytes <= {bytes}"),
                    What::OverBytes(bytes) => format!("context.bytes > {bytes}"),
                    What::Host(host) => format!("context.host like \"{host}\""),
                    What::Application(application) => {
                        format!("context.application like \"{application}\"")
                    }
                });
            }
            let _ = writeln!(
                text,
                "{effect}(principal, action == Action::\"{}\", resource) when {{ {} }};",
                rule.kind,
                conditions.join(" && ")
            );
        }
        text
    }

    /// The zones as Cedar's entities.
    ///
    /// # Panics
    /// Where Cedar does not take them, which would be a mistake of this crate.
    #[allow(clippy::expect_used, reason = "the oracle is a test")]
    pub fn entities(&self) -> Entities {
        let tags = (0..self.tags).map(|tag| serde_json::json!({ "uid": { "type": "Tag", "id": format!("tag-{}", zone_name(tag)) }, "attrs": {}, "parents": [] }));
        let zones = self.zones.iter().enumerate().map(|(index, zone)| {
            let parents: Vec<_> = zone.tags.iter().map(|tag| serde_json::json!({ "type": "Tag", "id": format!("tag-{}", zone_name(*tag)) })).collect();
            serde_json::json!({ "uid": { "type": "Zone", "id": zone_name(index) }, "attrs": { "level": zone.level }, "parents": parents })
        });
        let json: Vec<serde_json::Value> = tags.chain(zones).collect();
        Entities::from_json_value(serde_json::Value::Array(json), None)
            .expect("entities are well formed")
    }

    /// A request between two different zones, with every fact known.
    pub fn question(&self, numbers: &mut Numbers) -> Question {
        let kind = numbers.pick(&KINDS).unwrap_or("file");
        let from = numbers.below(self.zones.len());
        let to = (from + 1 + numbers.below(self.zones.len() - 1)) % self.zones.len();
        let (mime, host, application) = (
            numbers.pick(&MIMES).unwrap_or(""),
            numbers.pick(&HOSTS).unwrap_or(""),
            numbers.pick(&APPLICATIONS).unwrap_or(""),
        );
        let exponent = numbers.below(20);
        let bytes = (1_u64 << exponent) + u64::from(numbers.chance(2));
        let facts = Facts {
            mime: Mime::parse(mime).ok(),
            bytes: Some(bytes),
            url: Url::parse(&format!("https://{host}/")).ok(),
            application: Word::parse(application).ok(),
            ..Facts::default()
        };
        let (from, to) = (zone_name(from), zone_name(to));
        let party = |name: &str| Party::parse(name).unwrap_or(Party::Host);
        let text = |text: &str| RestrictedExpressionText::Text(text.to_owned());
        Question {
            ours: Request {
                kind: Kind::parse(kind).unwrap_or(Kind::File),
                from: party(&from),
                to: party(&to),
                facts,
            },
            kind,
            from,
            to,
            context: vec![
                ("mime".to_owned(), text(mime)),
                ("host".to_owned(), text(host)),
                ("application".to_owned(), text(application)),
                (
                    "bytes".to_owned(),
                    RestrictedExpressionText::Number(i64::try_from(bytes).unwrap_or(i64::MAX)),
                ),
            ],
        }
    }

    /// Our decider for the policy.
    ///
    /// # Panics
    /// Where our reader does not take it, which would be a mistake of this crate or of the reader.
    pub fn decider(&self) -> Decider {
        match Policy::parse("plan.toml", self.ours().as_bytes()) {
            Ok(policy) => Decider::new(policy),
            Err(errors) => panic!("{errors}"),
        }
    }

    /// Cedar's policies.
    ///
    /// # Panics
    /// Where Cedar does not take them.
    #[allow(clippy::expect_used, reason = "the oracle is a test")]
    pub fn policies(&self) -> PolicySet {
        self.cedar()
            .parse()
            .expect("Cedar reads what is written for it")
    }
}

impl Question {
    /// The request in Cedar's form.
    ///
    /// # Panics
    /// Where Cedar does not take it.
    #[allow(clippy::expect_used, reason = "the oracle is a test")]
    pub fn cedar(&self) -> cedar_policy::Request {
        let uid = |kind: &str, name: &str| -> EntityUid {
            format!("{kind}::\"{name}\"")
                .parse()
                .expect("names are plain")
        };
        let pairs = self.context.iter().map(|(key, value)| {
            let value = match value {
                RestrictedExpressionText::Text(text) => {
                    RestrictedExpression::new_string(text.clone())
                }
                RestrictedExpressionText::Number(number) => RestrictedExpression::new_long(*number),
            };
            (key.clone(), value)
        });
        let context = Context::from_pairs(pairs).expect("keys are unique");
        cedar_policy::Request::new(
            uid("Zone", &self.from),
            uid("Action", self.kind),
            uid("Zone", &self.to),
            context,
            None,
        )
        .expect("no schema to break")
    }

    /// What Cedar says, in our words.
    pub fn oracle(
        &self,
        authorizer: &Authorizer,
        policies: &PolicySet,
        entities: &Entities,
    ) -> Verdict {
        let response = authorizer.is_authorized(&self.cedar(), policies, entities);
        let errors: Vec<String> = response
            .diagnostics()
            .errors()
            .map(ToString::to_string)
            .collect();
        assert!(
            errors.is_empty(),
            "the oracle could not evaluate: {errors:?}"
        );
        match response.decision() {
            Decision::Allow => Verdict::Allow,
            Decision::Deny => Verdict::Deny,
        }
    }
}
