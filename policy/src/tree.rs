//! Reading tables of a parsed file: every value with its place, every mistake reported, none of them ending the reading.

use std::cell::RefCell;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Errors, Source, Span};
use crate::keys::{Form, Key, Section};
use crate::names::nearest;
use crate::syntax::SYNTAX;
use crate::values::{ByteSize, Mistake, Timestamp, parse_duration};

/// No more mistakes than this are told of one file.
const MISTAKES: usize = 200;

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// Where the mistakes of a file are gathered.
pub(crate) struct Reporter<'s> {
    pub(crate) source: &'s Source,
    diagnostics: RefCell<Vec<Diagnostic>>,
}

impl<'s> Reporter<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self {
            source,
            diagnostics: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn add(&self, diagnostic: Diagnostic) {
        let mut diagnostics = self.diagnostics.borrow_mut();
        if diagnostics.len() < MISTAKES {
            diagnostics.push(diagnostic);
        }
    }

    pub(crate) fn error(
        &self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(Diagnostic::error(self.source, span, code, message).mend(mend));
    }

    fn mistake(&self, span: Span, what: &str, mistake: Mistake) {
        let diagnostic = Diagnostic::error(
            self.source,
            span,
            "bad-value",
            format!("{what}: {}", mistake.message),
        );
        self.add(match mistake.mend {
            Some(mend) => diagnostic.mend(mend),
            None => diagnostic,
        });
    }

    pub(crate) fn finish(self) -> Result<(), Errors> {
        let mut diagnostics = self.diagnostics.into_inner();
        if diagnostics
            .iter()
            .any(|diagnostic| diagnostic.code == SYNTAX)
        {
            // What seems to be missing may stand in the part that could not be read.
            diagnostics.retain(|diagnostic| {
                !matches!(
                    diagnostic.code,
                    "no-zones" | "missing-key" | "unknown-zone" | "unknown-tag" | "unknown-network"
                )
            });
        }
        if diagnostics.is_empty() {
            Ok(())
        } else {
            Err(Errors::new(diagnostics))
        }
    }
}

/// One table of the file, read by the keys of its [`Section`].
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    reporter: &'a Reporter<'a>,
    section: &'static Section,
    table: &'a DeTable<'a>,
    /// The table's place: its header, or the name it has.
    pub(crate) span: Span,
    /// How messages call it: `zone "corp"`.
    what: &'a str,
}

impl<'a> Table<'a> {
    /// Takes a table and reports the keys it may not have and those it lacks.
    pub(crate) fn open(
        reporter: &'a Reporter<'a>,
        section: &'static Section,
        table: &'a DeTable<'a>,
        span: Span,
        what: &'a str,
    ) -> Self {
        // A key that was meant by another name is told once, not also as missing.
        let mut meant = Vec::new();
        for (key, _) in table {
            let name: &str = key.get_ref();
            if section.key(name).is_some() {
                continue;
            }
            let known = section.keys.iter().map(|key| key.name);
            let near = synonym(name)
                .filter(|name| section.key(name).is_some())
                .or_else(|| nearest(name, known.clone()));
            let mend = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its keys are {}", known.collect::<Vec<_>>().join(", ")),
            };
            meant.extend(near);
            let message = format!("{what} has no key `{}`", crate::diagnostic::shown(name));
            reporter.error(key.span().into(), "unknown-key", message, mend);
        }
        let missing = |key: &&Key| {
            key.required && !table.contains_key(key.name) && !meant.contains(&key.name)
        };
        for key in section.keys.iter().filter(missing) {
            let about = lower_first(key.about.trim_end_matches('.'));
            let message = format!("{what} has no `{}`", key.name);
            reporter.error(
                span,
                "missing-key",
                message,
                format!("add `{} = …`: {about}", key.name),
            );
        }
        Self {
            reporter,
            section,
            table,
            span,
            what,
        }
    }

    pub(crate) fn error(
        &self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.reporter.error(span, code, message, mend);
    }

    pub(crate) fn add(&self, diagnostic: Diagnostic) {
        self.reporter.add(diagnostic);
    }

    pub(crate) fn source(&self) -> &'a Source {
        self.reporter.source
    }

    /// The key's place, if it is written.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        debug_assert!(
            self.section.key(name).is_some(),
            "{name} is not in the table of keys"
        );
        self.table
            .get_key_value(name)
            .map(|(key, _)| key.span().into())
    }

    fn raw(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(
            self.section.key(name).is_some(),
            "{name} is not in the table of keys"
        );
        self.table.get(name)
    }

    fn wrong_type(&self, name: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let message = format!(
            "`{name}` of {} is {}, not {expected}",
            self.what,
            type_name(value.get_ref())
        );
        let mend = match self.section.key(name).map(|key| example(key.form)) {
            Some(example) if !example.is_empty() => format!("write `{name} = {example}`"),
            _ => format!("write {expected}"),
        };
        self.error(value.span().into(), "wrong-type", message, mend);
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<At<&'a str>> {
        let value = self.raw(name)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At {
                value: text,
                span: value.span().into(),
            }),
            _ => {
                self.wrong_type(name, value, "a text in quotes");
                None
            }
        }
    }

    /// A text that a function makes a value of.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Mistake>,
    ) -> Option<At<T>> {
        let At { value, span } = self.text(name)?;
        self.checked(name, span, parse(value))
    }

    pub(crate) fn checked<T>(
        &self,
        name: &str,
        span: Span,
        result: Result<T, Mistake>,
    ) -> Option<At<T>> {
        match result {
            Ok(value) => Some(At { value, span }),
            Err(mistake) => {
                self.reporter
                    .mistake(span, &format!("`{name}` of {}", self.what), mistake);
                None
            }
        }
    }

    /// One of a few words; gives its index.
    pub(crate) fn choice(&self, name: &str, words: &'static [&'static str]) -> Option<At<usize>> {
        self.parsed(name, |text| choose(text, words))
    }

    /// A text or a list of texts that a function makes values of. An empty list is a mistake unless `may_be_empty`.
    pub(crate) fn parsed_list<T>(
        &self,
        name: &str,
        may_be_empty: bool,
        parse: impl Fn(&str) -> Result<T, Mistake>,
    ) -> Option<At<Vec<At<T>>>> {
        let value = self.raw(name)?;
        let span: Span = value.span().into();
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::String(_) => vec![value],
            DeValue::Array(items) => items.iter().collect(),
            _ => {
                self.wrong_type(name, value, "a list of texts");
                return None;
            }
        };
        if items.is_empty() && !may_be_empty {
            self.error(
                span,
                "empty-list",
                format!(
                    "`{name}` of {} is an empty list, which would fit nothing",
                    self.what
                ),
                "name at least one, or leave the key out",
            );
            return None;
        }
        if items.len() > 1000 {
            self.error(
                span,
                "too-many",
                format!(
                    "`{name}` of {} has {} entries and at most 1000 are allowed",
                    self.what,
                    items.len()
                ),
                "use patterns or tags",
            );
            return None;
        }
        let mut list = Vec::with_capacity(items.len());
        let mut whole = true;
        for item in items {
            let parsed = match item.get_ref() {
                DeValue::String(text) => self.checked(name, item.span().into(), parse(text)),
                _ => {
                    self.wrong_type(name, item, "a text in quotes");
                    None
                }
            };
            whole &= parsed.is_some();
            list.extend(parsed);
        }
        // A list that lost an entry would mean something else than was written.
        whole.then_some(At { value: list, span })
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<At<bool>> {
        let value = self.raw(name)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(At {
                value: *boolean,
                span: value.span().into(),
            }),
            _ => {
                self.wrong_type(name, value, "true or false");
                None
            }
        }
    }

    /// A whole number within the bounds that the table of keys gives.
    pub(crate) fn integer(&self, name: &str) -> Option<At<i64>> {
        let value = self.raw(name)?;
        let (least, most) = match self.section.key(name).map(|key| key.form) {
            Some(Form::Integer(least, most)) => (least, most),
            _ => (0, i64::MAX),
        };
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(name, value, "a whole number");
            return None;
        };
        let span = value.span().into();
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if (least..=most).contains(&number) => Some(At {
                value: number,
                span,
            }),
            _ => {
                let bounds = if most == i64::MAX {
                    format!("{least} or more")
                } else {
                    format!("{least} to {most}")
                };
                let message = format!(
                    "`{name}` of {} is {}, out of bounds",
                    self.what,
                    crate::diagnostic::shown(integer.as_str())
                );
                self.error(
                    span,
                    "out-of-bounds",
                    message,
                    format!("write a number of {bounds}"),
                );
                None
            }
        }
    }

    pub(crate) fn instant(&self, name: &str) -> Option<At<Timestamp>> {
        let value = self.raw(name)?;
        let span = value.span().into();
        let DeValue::Datetime(datetime) = value.get_ref() else {
            self.wrong_type(name, value, "an instant");
            return None;
        };
        let instant = Timestamp::from_toml(datetime);
        if instant.is_none() {
            let message = format!(
                "`{name}` of {} has no date, no time or no offset from UTC",
                self.what
            );
            self.error(
                span,
                "bad-value",
                message,
                format!("write `{name} = 2026-03-01T09:00:00Z`, without quotes"),
            );
        }
        instant.map(|value| At { value, span })
    }

    pub(crate) fn size(&self, name: &str, least: u64, most: u64) -> Option<At<ByteSize>> {
        self.parsed(name, |text| {
            let size = ByteSize::parse(text)?;
            if (least..=most).contains(&size.0) {
                Ok(size)
            } else {
                Err(Mistake::new(
                    format!("{size} is out of bounds"),
                    format!(
                        "write a size from {} to {}",
                        ByteSize(least),
                        ByteSize(most)
                    ),
                ))
            }
        })
    }

    pub(crate) fn duration(&self, name: &str) -> Option<At<Duration>> {
        self.parsed(name, parse_duration)
    }

    /// A table within this one.
    pub(crate) fn table(&self, name: &str, what: &'a str) -> Option<Table<'a>> {
        let value = self.raw(name)?;
        let section = match self.section.key(name).map(|key| key.form) {
            Some(Form::Table(section)) => section,
            _ => return None,
        };
        match value.get_ref() {
            DeValue::Table(table) => {
                let span = self.key_span(name).unwrap_or(value.span().into());
                Some(Table::open(self.reporter, section, table, span, what))
            }
            _ => {
                self.wrong_type(name, value, "a table");
                None
            }
        }
    }

    /// Tables by name, in the order of the file: name, place of the name, table.
    pub(crate) fn named(&self, name: &str) -> Vec<(&'a str, Span, &'a DeTable<'a>)> {
        let Some(value) = self.raw(name) else {
            return Vec::new();
        };
        let DeValue::Table(tables) = value.get_ref() else {
            let message = format!(
                "`{name}` is {}, not tables by name",
                type_name(value.get_ref())
            );
            self.error(
                value.span().into(),
                "wrong-type",
                message,
                format!("write each as `[{name}.NAME]`"),
            );
            return Vec::new();
        };
        let mut list = Vec::with_capacity(tables.len());
        for (key, value) in tables {
            match value.get_ref() {
                DeValue::Table(table) => {
                    list.push((&**key.get_ref(), Span::from(key.span()), table));
                }
                other => {
                    let message = format!(
                        "`{name}.{}` is {}, not a table",
                        crate::diagnostic::shown(key.get_ref()),
                        type_name(other)
                    );
                    self.error(
                        key.span().into(),
                        "wrong-type",
                        message,
                        format!("write each as `[{name}.NAME]`"),
                    );
                }
            }
        }
        list.sort_by_key(|(_, span, _)| *span);
        list
    }

    /// An array of tables: place of each, and the table.
    pub(crate) fn tables(&self, name: &str) -> Vec<(Span, &'a DeTable<'a>)> {
        let Some(value) = self.raw(name) else {
            return Vec::new();
        };
        let items = match value.get_ref() {
            DeValue::Array(items) => items,
            other => {
                let message = format!("`{name}` is {}, not a list of tables", type_name(other));
                self.error(
                    self.key_span(name).unwrap_or_default(),
                    "wrong-type",
                    message,
                    format!("write each as `[[{name}]]`, with two brackets"),
                );
                return Vec::new();
            }
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => list.push((Span::from(item.span()), table)),
                other => {
                    let message =
                        format!("an entry of `{name}` is {}, not a table", type_name(other));
                    self.error(
                        item.span().into(),
                        "wrong-type",
                        message,
                        format!("write each as `[[{name}]]`"),
                    );
                }
            }
        }
        list
    }
}

/// Finds a word among those allowed.
pub(crate) fn choose(text: &str, words: &[&'static str]) -> Result<usize, Mistake> {
    words.iter().position(|word| *word == text).ok_or_else(|| {
        let list = words.join(", ");
        let mend = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"? The choices are {list}"),
            None => format!("the choices are {list}"),
        };
        Mistake::new(
            format!("{:?} is not known here", crate::diagnostic::shown(text)),
            mend,
        )
    })
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

/// Words that people write for a key.
fn synonym(name: &str) -> Option<&'static str> {
    Some(match name {
        "color" => "colour",
        "ram" | "mem" | "memory-mib" => "memory",
        "cpu" | "harts" | "vcpus" | "cores" => "cpus",
        "source" | "src" => "from",
        "target" | "destination" | "dst" => "to",
        "action" | "effect" | "decision" => "verdict",
        "conditions" | "if" => "when",
        "type" | "types" => "mime",
        "layout" | "keyboard" => "keyboard-layout",
        "title" | "label" => "display-name",
        "persistent" => "persistence",
        "expiry" | "not-after" => "expires",
        "size" | "max-size" => "max-bytes",
        "ttl" | "max-age" => "time-to-live",
        "zones" => "zone",
        "flows" | "rule" | "rules" => "flow",
        "layers" => "required",
        _ => return None,
    })
}

/// What a value is, with an article.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value of a form, as it would be written.
pub(crate) fn example(form: Form) -> &'static str {
    match form {
        Form::Size => "\"512 MiB\"",
        Form::Duration => "\"30 s\"",
        Form::CountRate => "\"20/min\"",
        Form::ByteRate => "\"10 MiB/h\"",
        Form::Boolean => "true",
        Form::Instant => "2026-03-01T09:00:00Z",
        Form::Colour => "\"#2e7d32\"",
        Form::Chord => "\"Ctrl+Alt+Escape\"",
        Form::Hours => "\"08:00-18:00\"",
        Form::Port | Form::OneOrMany(Form::Port) => "\"443\"",
        Form::Mime | Form::OneOrMany(Form::Mime) => "\"text/plain\"",
        Form::Host | Form::OneOrMany(Form::Host) => "\"*.example.org\"",
        _ => "",
    }
}
