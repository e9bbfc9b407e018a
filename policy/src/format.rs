//! One layout for all policy files, so that reviews show what changed and nothing else.
//!
//! Only space changes: every word, comment and line of an array stays. Tables are set apart by one blank line.

use toml::de::DeTable;
use toml_parser::lexer::{Token, TokenKind};

use crate::diagnostic::Errors;
use crate::syntax::{decode, syntax_error};
use crate::tree::Reporter;

/// Lays a TOML file out anew.
///
/// # Errors
/// Every mistake of its syntax; what its keys mean is not looked at.
pub fn format(file_name: &str, bytes: &[u8]) -> Result<String, Errors> {
    let source = decode(file_name, bytes)?;
    let (_, mistakes) = DeTable::parse_recoverable(source.text());
    let reporter = Reporter::new(&source);
    for mistake in &mistakes {
        reporter.add(syntax_error(&source, mistake));
    }
    reporter.finish()?;
    let text = source.text();
    let tokens: Vec<Token> = toml_parser::Source::new(text).lex().collect();
    let mut layout = Layout {
        text,
        out: String::with_capacity(text.len()),
        depth: 0,
        last: None,
        space: false,
        header: false,
        blank: false,
    };
    for (index, token) in tokens.iter().enumerate() {
        layout.token(token, tokens.get(index + 1..).unwrap_or(&[]));
    }
    let mut out = layout.out;
    out.truncate(out.trim_end_matches(['\n', ' ']).len());
    if !out.is_empty() {
        out.push('\n');
    }
    Ok(out)
}

struct Layout<'t> {
    text: &'t str,
    out: String,
    /// Brackets of values that are open.
    depth: usize,
    /// The last token on this line that is no space.
    last: Option<TokenKind>,
    /// Whether there was space before this token.
    space: bool,
    /// Whether this line is a table's header.
    header: bool,
    /// Whether the line before is blank.
    blank: bool,
}

impl Layout<'_> {
    fn token(&mut self, token: &Token, rest: &[Token]) {
        let kind = token.kind();
        let text = self
            .text
            .get(token.span().start()..token.span().end())
            .unwrap_or("");
        let next = rest
            .iter()
            .map(Token::kind)
            .find(|kind| *kind != TokenKind::Whitespace);
        match kind {
            TokenKind::Whitespace => self.space = true,
            TokenKind::Newline => self.newline(),
            TokenKind::Eof => {}
            TokenKind::Comment => {
                self.start(kind, rest, false);
                if self.last.is_some() && !self.out.ends_with(' ') {
                    self.out.push(' ');
                }
                self.out.push_str(text.trim_end());
                self.last = Some(kind);
            }
            _ => {
                self.start(
                    kind,
                    rest,
                    matches!(
                        kind,
                        TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket
                    ),
                );
                self.word(kind, text, next);
                self.last = Some(kind);
            }
        }
        if kind != TokenKind::Whitespace {
            self.space = false;
        }
    }

    fn newline(&mut self) {
        let is_blank = self.last.is_none();
        if is_blank && (self.blank || self.out.is_empty() || self.out.ends_with("[\n")) {
            return;
        }
        while self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push('\n');
        self.blank = is_blank;
        self.last = None;
        self.header = false;
    }

    /// At the start of a line: what comes before its first token.
    fn start(&mut self, kind: TokenKind, rest: &[Token], closes: bool) {
        if self.last.is_some() {
            return;
        }
        if self.depth > 0 {
            let depth = if closes {
                self.depth.saturating_sub(1)
            } else {
                self.depth
            };
            self.out.push_str(&"    ".repeat(depth));
            return;
        }
        self.header = kind == TokenKind::LeftSquareBracket;
        let leads_to_header = kind == TokenKind::Comment && comment_of_header(rest);
        let after_comment = self
            .out
            .trim_end_matches('\n')
            .rsplit('\n')
            .next()
            .is_some_and(|line| line.starts_with('#'));
        if (self.header || leads_to_header) && !self.blank && !self.out.is_empty() && !after_comment
        {
            self.out.push('\n');
        }
    }

    fn word(&mut self, kind: TokenKind, text: &str, next: Option<TokenKind>) {
        let is_end = |next: Option<TokenKind>| {
            matches!(
                next,
                None | Some(TokenKind::Newline | TokenKind::Comment | TokenKind::Eof)
            )
        };
        match kind {
            TokenKind::Equals => self.out.push_str(" = "),
            TokenKind::Comma => {
                self.out.push(',');
                if !is_end(next)
                    && next != Some(TokenKind::RightSquareBracket)
                    && next != Some(TokenKind::RightCurlyBracket)
                {
                    self.out.push(' ');
                }
            }
            TokenKind::LeftSquareBracket | TokenKind::RightSquareBracket if self.header => {
                self.out.push_str(text);
            }
            TokenKind::LeftSquareBracket => {
                self.depth += 1;
                self.out.push('[');
            }
            TokenKind::RightSquareBracket => {
                self.depth = self.depth.saturating_sub(1);
                self.out.push(']');
            }
            TokenKind::LeftCurlyBracket => {
                self.depth += 1;
                self.out.push('{');
                if !is_end(next) && next != Some(TokenKind::RightCurlyBracket) {
                    self.out.push(' ');
                }
            }
            TokenKind::RightCurlyBracket => {
                self.depth = self.depth.saturating_sub(1);
                if self.last != Some(TokenKind::LeftCurlyBracket) && self.last.is_some() {
                    self.out.push(' ');
                }
                self.out.push('}');
            }
            TokenKind::Dot => self.out.push('.'),
            // Two words side by side are a date and its time.
            _ => {
                let word = |kind: Option<TokenKind>| matches!(kind, Some(TokenKind::Atom));
                if self.space && word(self.last) {
                    self.out.push(' ');
                }
                self.out.push_str(text);
            }
        }
    }
}

/// Whether the lines that follow a comment are comments and then a table's header.
fn comment_of_header(rest: &[Token]) -> bool {
    let mut lines = 0;
    for token in rest {
        match token.kind() {
            TokenKind::Newline if lines > 0 => return false,
            TokenKind::Newline => lines += 1,
            TokenKind::Whitespace => {}
            TokenKind::Comment => lines = 0,
            kind => return kind == TokenKind::LeftSquareBracket,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(text: &str) -> String {
        format("p.toml", text.as_bytes()).unwrap()
    }

    #[test]
    fn space_is_brought_to_one_layout() {
        let text = "\n\n# head\n\n\n[ policy ]\nid=\"x\"   # why\r\n  version   =  1\n# about corp\n[zone . \"corp\"]\ntags=[ \"a\",\"b\" , ]\nwhen={a=1,b = [1,2]}\nlist = [\n1,\n\n\n      2, # two\n# three\n]\nempty = {}\nat = 2026-03-01 09:00:00Z\n\n\n";
        let wanted = "# head\n\n[policy]\nid = \"x\" # why\nversion = 1\n\n# about corp\n[zone.\"corp\"]\ntags = [\"a\", \"b\",]\nwhen = { a = 1, b = [1, 2] }\nlist = [\n    1,\n\n    2, # two\n    # three\n]\nempty = {}\nat = 2026-03-01 09:00:00Z\n";
        assert_eq!(laid_out(text), wanted);
        assert_eq!(laid_out(wanted), wanted);
        assert_eq!(laid_out(""), "");
    }

    #[test]
    fn texts_stay_as_they_are() {
        let text = "a = '''\n  keep   this = [\n'''\nb = \"x = 1 # no comment\"\nc = \"\"\"\n\n\n  and this\"\"\"\n";
        assert_eq!(laid_out(text), text);
    }

    #[test]
    fn what_is_no_toml_is_not_touched() {
        assert!(format("p.toml", b"a = [").is_err());
        assert!(format("p.toml", b"a = \xff").is_err());
    }
}
