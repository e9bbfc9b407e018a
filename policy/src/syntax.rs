//! What must hold of a file's bytes before its sections are read: size, encoding, depth, TOML.

use toml::Spanned;
use toml::de::DeTable;
use toml_parser::lexer::TokenKind;

use crate::diagnostic::{Diagnostic, Errors, Source, Span, shown};
use crate::policy::LIMITS;
use crate::tree::Reporter;

/// Checks what must hold of a file before it is looked into: its size, its encoding, its depth.
pub(crate) fn decode(file_name: &str, bytes: &[u8]) -> Result<Source, Errors> {
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
    Ok(source)
}

/// Reads a file's TOML as far as it is any, and reports every mistake.
pub(crate) fn parse<'s>(source: &'s Source, reporter: &Reporter<'_>) -> Spanned<DeTable<'s>> {
    let (root, mistakes) = DeTable::parse_recoverable(source.text());
    for mistake in mistakes {
        reporter.add(syntax_error(source, &mistake));
    }
    root
}

/// Where brackets nest too deep.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if depth > LIMITS.nesting {
            return Some(token.span().start());
        }
    }
    None
}

/// The code of mistakes after which the rest of the file may have been misread.
pub(crate) const SYNTAX: &str = "syntax";

pub(crate) fn syntax_error(source: &Source, mistake: &toml::de::Error) -> Diagnostic {
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
    Diagnostic::error(source, span, SYNTAX, format!("this is no TOML: {message}"))
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
