//! Where something stands in a policy file, and how a mistake is told to the person who must mend it.
//!
//! A diagnostic carries its place, an excerpt of the line and the mend, so that it can be shown without the file at
//! hand. The file is not trusted: control characters and other invisible text never reach the terminal as they are.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The widest excerpt shown, in characters; longer lines are cut around the mistake.
const EXCERPT_WIDTH: usize = 100;

/// A range of bytes in a [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The first byte behind it.
    pub end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// A policy file: its name, as the user wrote it, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Offsets at which lines start; the first is 0.
    lines: Arc<[usize]>,
}

impl Source {
    /// A source from a file's name and text.
    pub fn new(name: &str, text: &str) -> Self {
        let starts = std::iter::once(0).chain(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at + 1),
        );
        Self {
            name: name.into(),
            lines: starts.collect(),
            text: text.into(),
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty where the span lies outside.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// The line (from 1) and column (in characters, from 1) of a span's start.
    pub fn location(&self, span: Span) -> Location {
        let line = self
            .lines
            .partition_point(|start| *start <= span.start)
            .max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self
            .text
            .get(start..span.start)
            .map_or(0, |before| before.chars().count())
            + 1;
        Location {
            file: self.name.clone(),
            line,
            column,
        }
    }

    /// The text of a line (from 1) without its end.
    fn line(&self, line: usize) -> &str {
        let start = self
            .lines
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(self.text.len());
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        self.text
            .get(start..end)
            .unwrap_or("")
            .trim_end_matches(['\n', '\r'])
    }

    fn excerpt(&self, span: Span) -> Excerpt {
        let location = self.location(span);
        let text = self.line(location.line);
        let length = self
            .slice(span)
            .lines()
            .next()
            .map_or(0, |first| first.chars().count())
            .max(1);
        let skip = if location.column > EXCERPT_WIDTH * 3 / 4 {
            location.column - EXCERPT_WIDTH / 2
        } else {
            0
        };
        let cut_before = if skip > 0 { "…" } else { "" };
        let mut shown: String = text
            .chars()
            .skip(skip)
            .take(EXCERPT_WIDTH)
            .map(visible)
            .collect();
        if text.chars().count() > skip + EXCERPT_WIDTH {
            shown.push('…');
        }
        let before = location.column.saturating_sub(skip + 1) + cut_before.chars().count();
        let shown = format!("{cut_before}{shown}");
        let marked = length.min(shown.chars().count().saturating_sub(before).max(1));
        Excerpt {
            text: shown,
            before,
            marked,
        }
    }
}

/// A character as it may be shown: what a terminal would obey, or a reader could not see, becomes a box.
pub(crate) fn visible(character: char) -> char {
    let invisible = matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{061c}' | '\u{feff}' | '\u{00ad}'
        | '\u{e0000}'..='\u{e007f}' | '\u{fff0}'..='\u{fffb}' | '\u{2028}' | '\u{2029}');
    match character {
        '\t' => ' ',
        other if other.is_control() || invisible => '\u{25a1}',
        other => other,
    }
}

/// A text as it may be shown in a message, cut at 80 characters.
pub(crate) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(80).map(visible).collect();
    if text.chars().count() > 80 {
        cut.push('…');
    }
    cut
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How grave a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Could be better.
    Advice,
    /// Probably not meant; nothing is refused.
    Warning,
    /// The file is refused.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Excerpt {
    text: String,
    before: usize,
    marked: usize,
}

/// A second place that a diagnostic speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// What stands there.
    pub message: String,
    /// Where.
    pub location: Location,
    excerpt: Excerpt,
}

/// One mistake or warning: what, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable word for this kind of mistake, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong, as a sentence.
    pub message: String,
    /// Where.
    pub location: Location,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// Other places that belong to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    excerpt: Excerpt,
}

impl Diagnostic {
    /// An error at a place of a file.
    pub fn error(
        source: &Source,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            location: source.location(span),
            mend: None,
            related: Vec::new(),
            excerpt: source.excerpt(span),
        }
    }

    /// A warning at a place of a file.
    pub fn warning(
        source: &Source,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(source, span, code, message)
        }
    }

    /// The same, more or less grave.
    #[must_use]
    pub(crate) fn graded(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// The same with a second place.
    #[must_use]
    pub fn related(mut self, source: &Source, span: Span, message: impl Into<String>) -> Self {
        self.related.push(Related {
            message: message.into(),
            location: source.location(span),
            excerpt: source.excerpt(span),
        });
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Advice => "advice",
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(formatter, "{severity}[{}]: {}", self.code, self.message)?;
        let lines = self
            .related
            .iter()
            .map(|related| related.location.line)
            .chain([self.location.line]);
        let width = lines.max().unwrap_or(0).to_string().len();
        place(
            formatter,
            width,
            "-->",
            &self.location,
            &self.excerpt,
            "^",
            "",
        )?;
        for related in &self.related {
            place(
                formatter,
                width,
                ":::",
                &related.location,
                &related.excerpt,
                "-",
                &related.message,
            )?;
        }
        if let Some(mend) = &self.mend {
            writeln!(formatter, "{:width$} = mend: {mend}", "")?;
        }
        Ok(())
    }
}

fn place(
    formatter: &mut fmt::Formatter<'_>,
    width: usize,
    arrow: &str,
    location: &Location,
    excerpt: &Excerpt,
    mark: &str,
    message: &str,
) -> fmt::Result {
    writeln!(formatter, "{:width$}{arrow} {location}", "")?;
    writeln!(formatter, "{:width$} |", "")?;
    writeln!(formatter, "{:>width$} | {}", location.line, excerpt.text)?;
    let underline = format!(
        "{:before$}{} {message}",
        "",
        mark.repeat(excerpt.marked),
        before = excerpt.before
    );
    writeln!(formatter, "{:width$} | {}", "", underline.trim_end())
}

/// All mistakes of a file, in the order of their places. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Errors {
    diagnostics: Vec<Diagnostic>,
}

impl Errors {
    pub(crate) fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|left, right| left.location.cmp(&right.location));
        diagnostics.dedup();
        Self { diagnostics }
    }

    /// The mistakes.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.diagnostics.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.diagnostics.len()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

impl From<Diagnostic> for Errors {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostics: vec![diagnostic],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let source = Source::new("p.toml", "a = 1\nü = \"x\"\n");
        let location = source.location(Span { start: 9, end: 10 });
        assert_eq!((location.line, location.column), (2, 3));
        assert_eq!(
            source
                .location(Span {
                    start: 999,
                    end: 1000
                })
                .line,
            3
        );
    }

    #[test]
    fn an_excerpt_shows_the_line_and_marks_the_mistake() {
        let source = Source::new("p.toml", "one = 1\ntwo = twoo\n");
        let text = Diagnostic::error(
            &source,
            Span { start: 14, end: 18 },
            "test",
            "that is wrong",
        )
        .mend("write 2")
        .to_string();
        assert_eq!(
            text,
            "error[test]: that is wrong\n --> p.toml:2:7\n  |\n2 | two = twoo\n  |       ^^^^\n  = mend: write 2\n"
        );
    }

    #[test]
    fn terminal_escapes_and_invisible_text_of_the_file_are_not_passed_on() {
        let source = Source::new("p.toml", "x = 1 # \u{1b}[2J\u{202e}evil\n");
        let text =
            Diagnostic::error(&source, Span { start: 0, end: 1 }, "test", "wrong").to_string();
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_mistake() {
        let line = format!("{}BAD{}", "x".repeat(500), "y".repeat(500));
        let source = Source::new("p.toml", &line);
        let text = Diagnostic::error(
            &source,
            Span {
                start: 500,
                end: 503,
            },
            "test",
            "wrong",
        )
        .to_string();
        let mut lines = text.lines().skip(3);
        let (excerpt, marks) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(excerpt.chars().count() < 120);
        let at = excerpt
            .chars()
            .position(|character| character == 'B')
            .unwrap();
        assert_eq!(
            marks
                .chars()
                .position(|character| character == '^')
                .unwrap(),
            at
        );
    }
}
