//! Names of zones and the texts shown for them.
//!
//! A zone's name is what rules, records and prompts call it, so two names must never be mistaken for one another: names
//! are short lower-case ASCII, and names that look alike have the same [`skeleton`].

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The longest zone name, in bytes.
pub const NAME_LENGTH: usize = 32;

/// Words with a meaning of their own in the language or on the screen.
const RESERVED: [&str; 12] = [
    "host", "any", "none", "all", "zone", "policy", "panel", "bulkhead", "trusted", "system",
    "endpoint", "self",
];

/// A zone's name: 1 to 32 of `a-z`, `0-9` and `-`; a letter first, no hyphen last or twice in a row, no reserved word.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ZoneName(Arc<str>);

impl ZoneName {
    /// Checks a name.
    ///
    /// # Errors
    /// The rule that the name breaks, with a name that keeps it where there is an obvious one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mend = suggestion(text);
        let error = |reason| {
            Err(NameError {
                reason,
                suggestion: mend.clone(),
            })
        };
        if text.is_empty() {
            return error("is empty");
        }
        if text.len() > NAME_LENGTH {
            return error("is longer than 32 characters");
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return error("has capital letters; names that differ only in case would look alike");
        }
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            return error(
                "has characters other than a-z, 0-9 and -; other letters can look like these",
            );
        }
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
            return error("does not start with a letter");
        }
        if text.ends_with('-') || text.contains("--") {
            return error("has a hyphen at its end or two in a row");
        }
        if RESERVED.contains(&text) {
            return error("is a word that the language keeps for itself");
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Borrow<str> for ZoneName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ZoneName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for ZoneName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for ZoneName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// Why a text is no zone name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name {reason}")]
pub struct NameError {
    reason: &'static str,
    suggestion: Option<String>,
}

impl NameError {
    /// A name near the one written that keeps the rules.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

fn suggestion(text: &str) -> Option<String> {
    let mut name = String::new();
    for character in text.chars().take(NAME_LENGTH) {
        let lower = character.to_ascii_lowercase();
        if lower.is_ascii_lowercase() || (lower.is_ascii_digit() && !name.is_empty()) {
            name.push(lower);
        } else if matches!(lower, '-' | '_' | ' ' | '.') && !name.is_empty() && !name.ends_with('-')
        {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    let name = if RESERVED.contains(&name) {
        format!("{name}-zone")
    } else {
        name.to_owned()
    };
    (!name.is_empty() && name != text).then_some(name)
}

/// What a reader takes a text for: two texts with the same skeleton look alike. Folds case, digits that look like
/// letters, letter pairs that look like one letter, hyphens and spaces, and Greek and Cyrillic letters that look Latin.
pub(crate) fn skeleton(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        let latin = latin_look_alike(character);
        for lower in latin.to_lowercase() {
            match lower {
                '0' => folded.push('o'),
                '1' | 'i' | '|' | '!' => folded.push('l'),
                '5' | '$' => folded.push('s'),
                '2' => folded.push('z'),
                '8' => folded.push('b'),
                '9' | 'q' => folded.push('g'),
                '-' | '_' | ' ' | '.' | '\'' => {}
                other => folded.push(other),
            }
        }
    }
    folded
        .replace("rn", "m")
        .replace("vv", "w")
        .replace("cl", "d")
}

/// The Latin letter that a Greek, Cyrillic or accented Latin letter may be taken for; others stay as they are.
fn latin_look_alike(character: char) -> char {
    match character {
        'а' | 'А' | 'α' | 'Α' | 'à'..='å' | 'À'..='Å' | 'ā' | 'ă' | 'ą' => 'a',
        'в' | 'В' | 'β' | 'Β' | 'ь' | 'Ь' => 'b',
        'с' | 'С' | 'ϲ' | 'ç' | 'Ç' | 'ć' | 'č' => 'c',
        'ԁ' => 'd',
        'е' | 'Е' | 'ё' | 'Ё' | 'ε' | 'Ε' | 'è'..='ë' | 'È'..='Ë' | 'ē' | 'ė' | 'ę' | 'ě' => {
            'e'
        }
        'ɡ' | 'ğ' | 'ģ' => 'g',
        'н' | 'Н' | 'Η' | 'һ' | 'Һ' => 'h',
        'і' | 'І' | 'ї' | 'Ї' | 'ι' | 'Ι' | 'ì'..='ï' | 'Ì'..='Ï' | 'ı' | 'ӏ' | 'ł' => {
            'i'
        }
        'ј' | 'Ј' => 'j',
        'к' | 'К' | 'κ' | 'Κ' | 'ķ' => 'k',
        'м' | 'М' | 'Μ' => 'm',
        'п' | 'η' | 'ñ' | 'Ñ' | 'Ν' | 'ń' | 'ň' => 'n',
        'о' | 'О' | 'ο' | 'Ο' | 'σ' | 'ò'..='ö' | 'Ò'..='Ö' | 'ø' | 'Ø' | 'ō' | 'ő' => {
            'o'
        }
        'р' | 'Р' | 'ρ' | 'Ρ' => 'p',
        'ѕ' | 'Ѕ' | 'ś' | 'š' | 'ş' => 's',
        'т' | 'Т' | 'τ' | 'Τ' => 't',
        'υ' | 'ù'..='ü' | 'Ù'..='Ü' | 'ū' | 'ű' => 'u',
        'ν' | 'ѵ' => 'v',
        'ѡ' | 'ω' => 'w',
        'х' | 'Х' | 'χ' | 'Χ' => 'x',
        'у' | 'У' | 'γ' | 'Υ' | 'ý' | 'ÿ' | 'Ý' => 'y',
        'Ζ' | 'ź' | 'ż' | 'ž' => 'z',
        other => other,
    }
}

/// Checks a text that the trusted UI will show for a zone: letters of one script (Latin, Greek or Cyrillic), digits,
/// spaces and a little punctuation; nothing invisible, combining or that turns the writing direction.
pub(crate) fn check_shown_text(text: &str, limit: usize) -> Result<(), String> {
    if text.trim() != text || text.is_empty() {
        return Err("it is empty, or starts or ends with a space".into());
    }
    if text.chars().count() > limit {
        return Err(format!(
            "it has {} characters and at most {limit} fit",
            text.chars().count()
        ));
    }
    let mut script = None;
    for character in text.chars() {
        let this = match character {
            'a'..='z'
            | 'A'..='Z'
            | '\u{c0}'..='\u{d6}'
            | '\u{d8}'..='\u{f6}'
            | '\u{f8}'..='\u{17f}' => "Latin",
            '\u{386}' | '\u{388}'..='\u{3ce}' => "Greek",
            '\u{400}'..='\u{45f}' => "Cyrillic",
            '0'..='9' | ' ' | '-' | '.' | ',' | '(' | ')' | '/' | '&' | '+' | '\'' => continue,
            other => {
                let code = u32::from(other);
                return Err(format!(
                    "U+{code:04X} may not be shown; letters (Latin, Greek, Cyrillic), digits, spaces and - . , ( ) / & + ' may"
                ));
            }
        };
        match script {
            None => script = Some(this),
            Some(before) if before != this => {
                return Err(format!(
                    "it mixes {before} and {this} letters, which look alike"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The candidate nearest to what was written, if it is near enough to be meant.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = written.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len() / 4 && *distance < candidate.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, drop, change or swap.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (
        left.chars().take(64).collect(),
        right.chars().take(64).collect(),
    );
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut this = Vec::with_capacity(last.len());
        this.push(row + 1);
        for (column, other) in right.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
            let changed = cell(&last, column) + usize::from(letter != other);
            let mut best = changed
                .min(cell(&last, column + 1) + 1)
                .min(cell(&this, column) + 1);
            let swapped = row > 0
                && column > 0
                && left.get(row - 1) == Some(other)
                && right.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(cell(&before, column - 1) + 1);
            }
            this.push(best);
        }
        before = std::mem::replace(&mut last, this);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_rules() {
        for good in ["a", "corp", "web-2", "a1234567890123456789012345678901"] {
            assert!(ZoneName::parse(good).is_ok(), "{good}");
        }
        for (bad, mend) in [
            ("", None),
            ("Corp", Some("corp")),
            ("my zone", Some("my-zone")),
            ("2nd", Some("nd")),
            ("a-", Some("a")),
            ("a--b", Some("a-b")),
            ("host", Some("host-zone")),
            ("c\u{43e}rp", Some("crp")),
            ("a\u{202e}b", Some("ab")),
        ] {
            let error = ZoneName::parse(bad).unwrap_err();
            assert_eq!(error.suggestion(), mend, "{bad}");
        }
        assert!(ZoneName::parse(&"a".repeat(33)).is_err());
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for (left, right) in [
            ("corp", "c0rp"),
            ("office-1", "officei"),
            ("modern", "modem"),
            ("Bank", "ВАNК"),
            ("oslo", "os1o"),
            ("web", "w-eb"),
        ] {
            assert_eq!(skeleton(left), skeleton(right), "{left} {right}");
        }
        for (left, right) in [
            ("corp", "open"),
            ("secret", "public"),
            ("web1", "web3"),
            ("dev", "prod"),
        ] {
            assert_ne!(skeleton(left), skeleton(right), "{left} {right}");
        }
    }

    #[test]
    fn shown_texts_are_of_one_script_and_visible() {
        assert!(check_shown_text("Réseau & Büro (2)", 40).is_ok());
        assert!(check_shown_text("Офис", 40).is_ok());
        for bad in [
            "",
            " x",
            "Вank",
            "a\u{202e}b",
            "a\u{200b}b",
            "e\u{301}",
            "line\nbreak",
            "日本",
            "\u{1b}[0m",
        ] {
            assert!(check_shown_text(bad, 40).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_nearest_word_is_found_and_far_ones_are_not() {
        assert_eq!(nearest("color", ["colour", "memory"]), Some("colour"));
        assert_eq!(nearest("form", ["from", "to"]), Some("from"));
        assert_eq!(nearest("max_bytes", ["max-bytes"]), Some("max-bytes"));
        assert_eq!(nearest("banana", ["colour", "to", "from"]), None);
    }
}
