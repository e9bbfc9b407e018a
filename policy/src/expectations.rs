//! Files of expected verdicts, by which a policy is tested before it is signed.

use std::fmt;

use serde::Serialize;

use crate::decide::Decider;
use crate::diagnostic::{Diagnostic, Errors, Source, Span};
use crate::keys;
use crate::request::{Facts, Party, Request};
use crate::rule::{Kind, Selector, Verdict};
use crate::syntax::{decode, parse};
use crate::tree::{At, Reporter, Table, choose};
use crate::values::Mistake;

/// What is expected of one request.
#[derive(Clone, Debug)]
struct Expectation {
    request: Request,
    verdict: Verdict,
    rule: Option<String>,
    target: Option<Party>,
    span: Span,
}

/// That data of some zones never, or does, arrive in others.
#[derive(Clone, Debug)]
struct PathExpectation {
    from: Selector,
    to: Selector,
    /// The best verdict that there may be; deny where there must be no way.
    at_most: Verdict,
    outside: bool,
    span: Span,
}

/// A file of expectations.
#[derive(Clone, Debug)]
pub struct Expectations {
    source: Source,
    verdicts: Vec<Expectation>,
    paths: Vec<PathExpectation>,
}

/// How a policy did.
#[derive(Clone, Debug, Serialize)]
pub struct TestReport {
    /// Expectations that hold.
    pub passed: usize,
    /// Those that do not, with what is instead.
    pub failed: Vec<Diagnostic>,
}

impl Expectations {
    /// Reads a file of expectations.
    ///
    /// # Errors
    /// Every mistake, with its place and the mend.
    pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Self, Errors> {
        let source = decode(file_name, bytes)?;
        let reporter = Reporter::new(&source);
        let root = parse(&source, &reporter);
        let file = Table::open(
            &reporter,
            &keys::EXPECTATIONS,
            root.get_ref(),
            Span::default(),
            "the file",
        );
        let mut verdicts = Vec::new();
        for (span, table) in file.tables("expect") {
            verdicts.extend(expectation(&Table::open(
                &reporter,
                &keys::EXPECT,
                table,
                span,
                "this expectation",
            )));
        }
        let mut paths = Vec::new();
        for (span, table) in file.tables("no-path") {
            paths.extend(path(&Table::open(
                &reporter,
                &keys::NO_PATH,
                table,
                span,
                "this expectation",
            )));
        }
        if verdicts.is_empty() && paths.is_empty() {
            reporter.error(
                Span::default(),
                "empty",
                "the file expects nothing",
                "add `[[expect]]` with `kind`, `from`, `to` and `verdict`",
            );
        }
        reporter.finish()?;
        Ok(Self {
            source,
            verdicts,
            paths,
        })
    }

    /// Holds a policy against what is expected.
    pub fn test(&self, decider: &Decider) -> TestReport {
        let mut report = TestReport {
            passed: 0,
            failed: Vec::new(),
        };
        let mut take = |failure: Option<Diagnostic>| match failure {
            Some(failure) => report.failed.push(failure),
            None => report.passed += 1,
        };
        for expectation in &self.verdicts {
            take(self.check_verdict(decider, expectation));
        }
        for path in &self.paths {
            take(self.check_path(decider, path));
        }
        report
    }

    fn check_verdict(&self, decider: &Decider, expectation: &Expectation) -> Option<Diagnostic> {
        let Expectation {
            request,
            verdict,
            rule,
            target,
            span,
        } = expectation;
        for party in [&request.from, &request.to] {
            if *party != Party::Host && decider.policy().zone(party.as_str()).is_none() {
                let message = format!("the policy has no zone \"{party}\"");
                return Some(
                    Diagnostic::error(&self.source, *span, "unknown-zone", message)
                        .mend("name a zone of the policy"),
                );
            }
        }
        let decision = decider.decide(request);
        let names: Vec<&str> = decision
            .determining
            .iter()
            .filter_map(|id| decider.rule(*id))
            .map(|rule| rule.name.as_str())
            .collect();
        let by = if names.is_empty() {
            decision.reason.to_string()
        } else {
            format!("by \"{}\"", names.join("\" and \""))
        };
        let message = if decision.verdict != *verdict {
            format!(
                "{request}: expected {verdict}, but it is {} ({by})",
                decision.verdict
            )
        } else if let Some(rule) = rule.as_deref().filter(|rule| !names.contains(rule)) {
            format!("{request}: expected \"{rule}\" to decide, but it is decided {by}")
        } else if let Some(target) = target.as_ref().filter(|target| **target != decision.target) {
            format!(
                "{request}: expected it to go to {target}, but it goes to {}",
                decision.target
            )
        } else {
            return None;
        };
        Some(
            Diagnostic::error(&self.source, *span, "unexpected", message)
                .mend("`bulkhead policy explain` shows why; mend the policy, or the expectation"),
        )
    }

    fn check_path(&self, decider: &Decider, expected: &PathExpectation) -> Option<Diagnostic> {
        let zone = |party: &Party| decider.policy().zone(party.as_str());
        let meant = |path: &crate::reach::Path| {
            expected.from.means(zone(&path.from))
                && expected.to.means(zone(&path.to))
                && path.verdict > expected.at_most
        };
        let reach = decider.reach(expected.outside).filtered(meant);
        let path = reach.paths.first()?;
        let more = if reach.paths.len() > 1 {
            format!(", and {} more", reach.paths.len() - 1)
        } else {
            String::new()
        };
        let message = format!("there must be no such way, but there is {path}{more}");
        Some(
            Diagnostic::error(&self.source, expected.span, "unexpected", message)
                .mend("`bulkhead policy reach` shows all ways; close a hop"),
        )
    }
}

fn expectation(table: &Table<'_>) -> Option<Expectation> {
    let kind = table
        .choice("kind", &keys::KIND_NAMES)
        .and_then(|at| Kind::from_index(at.value));
    let verdict = table
        .choice("verdict", &keys::VERDICTS)
        .and_then(|at| Verdict::from_index(at.value));
    let party = |key| {
        table.parsed(key, |text| {
            Party::parse(text)
                .map_err(|error| Mistake::new(error.to_string(), "write a zone's name or \"host\""))
        })
    };
    let (from, to, target) = (party("from"), party("to"), party("target"));
    let mut facts = Facts::default();
    for key in keys::FACTS.iter().map(|key| key.name) {
        let values = table.parsed_list(key, false, |text| Ok(text.to_owned()));
        for At { value, span } in values.into_iter().flat_map(|list| list.value) {
            let _ = table.checked(key, span, facts.set(key, &value));
        }
    }
    let kind = kind?;
    let default = |side: Option<At<Party>>, key: &'static str, may_be_host: bool| match side {
        Some(at) => Some(at.value),
        None if may_be_host && table.key_span(key).is_none() => Some(Party::Host),
        None => {
            if table.key_span(key).is_none() {
                table.error(
                    table.span,
                    "missing-key",
                    format!("this expectation has no `{key}`"),
                    format!("add `{key} = \"…\"`"),
                );
            }
            None
        }
    };
    use crate::rule::Ends;
    let from = default(from, "from", kind.ends() == Ends::HostToZone)?;
    let to = default(to, "to", kind.ends() == Ends::ZoneToHost)?;
    let rule = table.text("rule").map(|at| at.value.to_owned());
    let _ = table.text("comment");
    Some(Expectation {
        request: Request {
            kind,
            from,
            to,
            facts,
        },
        verdict: verdict?,
        rule,
        target: target.map(|at| at.value),
        span: table.span,
    })
}

fn path(table: &Table<'_>) -> Option<PathExpectation> {
    let selector = |key| table.parsed(key, Selector::parse).map(|at| at.value);
    let (from, to) = (selector("from"), selector("to"));
    let unasked = table.parsed("unless", |text| choose(text, &["asked"]));
    let outside = table.boolean("outside").is_some_and(|at| at.value);
    let _ = table.text("comment");
    Some(PathExpectation {
        from: from?,
        to: to?,
        at_most: if unasked.is_some() {
            Verdict::Ask
        } else {
            Verdict::Deny
        },
        outside,
        span: table.span,
    })
}

impl Facts {
    /// Sets a fact from a text: the keys are those of an expectation, such as `mime` and `bytes`.
    pub(crate) fn set(&mut self, key: &str, text: &str) -> Result<(), Mistake> {
        use crate::request::{FactError, FileName, Mime, Moment, Url, Word};
        use crate::usb::UsbDevice;
        fn fact<T>(result: Result<T, FactError>) -> Result<Option<T>, Mistake> {
            result
                .map(Some)
                .map_err(|error| Mistake::new(error.to_string(), "write another"))
        }
        match key {
            "mime" => self.mime = fact(Mime::parse(text))?,
            "file" => self.file_name = fact(FileName::parse(text))?,
            "bytes" => {
                self.bytes = Some(
                    text.parse()
                        .or_else(|_| crate::values::ByteSize::parse(text).map(|size| size.0))?,
                );
            }
            "age" => self.age = Some(crate::values::parse_duration(text)?),
            "url" => self.url = fact(Url::parse(text))?,
            "host" => self.host = fact(Word::parse(&text.to_ascii_lowercase()))?,
            "port" => {
                self.port = Some(text.parse().map_err(|_| {
                    Mistake::new(format!("{text:?} is no port"), "write 1 to 65535")
                })?);
            }
            "application" => self.application = fact(Word::parse(text))?,
            "service" => self.service = fact(Word::parse(text))?,
            "argument" => self.argument = fact(Word::parse(text))?,
            "usb" => self.usb = fact(UsbDevice::parse(text))?,
            "connected" => self
                .connected
                .get_or_insert_default()
                .extend(fact(Word::parse(text))?),
            "time" => {
                let wrong = || {
                    Mistake::new(
                        format!("{text:?} is no time"),
                        "write a local time and its offset, such as \"2026-03-02T09:00:00+01:00\"",
                    )
                };
                let parsed: toml::value::Datetime = text.parse().map_err(|_| wrong())?;
                let now = crate::values::Timestamp::from_toml(&parsed).ok_or_else(wrong)?;
                let utc_offset = match parsed.offset {
                    Some(toml::value::Offset::Custom { minutes }) => minutes,
                    _ => 0,
                };
                self.moment = Some(Moment { now, utc_offset });
            }
            _ => {
                return Err(Mistake::new(
                    format!("{key:?} is no fact"),
                    "name one that `bulkhead policy explain --help` lists",
                ));
            }
        }
        Ok(())
    }

    /// Sets a fact from a text, as a user gives it on the command line.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn set_from_text(&mut self, key: &str, text: &str) -> Result<(), String> {
        self.set(key, text).map_err(|mistake| match mistake.mend {
            Some(mend) => format!("{}; {mend}", mistake.message),
            None => mistake.message,
        })
    }
}

impl fmt::Display for TestReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failed {
            writeln!(formatter, "{failure}")?;
        }
        writeln!(
            formatter,
            "{} passed, {} failed",
            self.passed,
            self.failed.len()
        )
    }
}
