//! Patterns that conditions compare facts with.
//!
//! There is no general regular expression here: each pattern has the shape of what it matches, so that a reader sees what
//! it covers, matching takes linear time, and it can be told whether one pattern covers another.

use std::fmt;

use crate::values::Mistake;

/// A text with `*` for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextPattern(String);

impl TextPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        if text.is_empty()
            || text.len() > 256
            || text.chars().any(char::is_control)
            || text.contains("**")
        {
            let message = format!("{:?} is no pattern", crate::diagnostic::shown(text));
            return Err(Mistake::new(
                message,
                "write 1 to 256 visible characters, with * for any run of characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a text fits.
    pub fn matches(&self, text: &str) -> bool {
        glob(&self.0, text)
    }

    /// Whether every text that fits `other` also fits this pattern. May miss some cases, never claims one wrongly.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        // `*` in `other` stands for any text, so it may be taken as one more character that only a `*` here can swallow.
        self.0 == other.0 || glob(&self.0, &other.0.replace('*', "\u{0}"))
    }

    /// Whether it fits everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.0 == "*"
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Matches with `*` as the only special character: greedy from star to star, so the time is at most the product of the
/// lengths and never grows exponentially.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or("");
    }
    rest.ends_with(last)
}

/// A media type: `text/plain`, `image/*` or `*/*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MimePattern {
    text: String,
}

impl MimePattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let token = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-._".contains(&byte)
                })
        };
        let fits = text
            .split_once('/')
            .is_some_and(|(major, minor)| match (major, minor) {
                ("*", minor) => minor == "*",
                (major, "*") => token(major),
                (major, minor) => token(major) && token(minor),
            });
        if !fits {
            let message = format!("{:?} is no media type", crate::diagnostic::shown(text));
            return Err(Mistake::new(
                message,
                "write it in lower case, such as \"text/plain\" or \"image/*\"",
            ));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// Whether a media type (without parameters, in lower case) fits.
    pub fn matches(&self, mime: &str) -> bool {
        match self.text.strip_suffix('*') {
            Some("*/") => mime.contains('/'),
            Some(major) => mime.starts_with(major),
            None => self.text == mime,
        }
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.text == "*/*"
            || self.text == other.text
            || (other.text != "*/*" && self.matches(&other.text))
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.text == "*/*"
    }
}

impl fmt::Display for MimePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A host: `example.org`, `*.example.org` (any name below it, not itself) or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    text: String,
}

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        if text != "*" && !is_host(name) {
            let message = format!("{:?} is no host pattern", crate::diagnostic::shown(text));
            let mend = "write a host in lower-case ASCII (punycode for other letters), such as \"example.org\", \"*.example.org\" or \"192.0.2.7\"";
            return Err(Mistake::new(message, mend));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// Whether a host (in lower case, no final dot) fits.
    pub fn matches(&self, host: &str) -> bool {
        match self.text.strip_prefix('*') {
            Some("") => true,
            // The suffix keeps its dot, so that `*.example.org` does not match `evilexample.org`.
            Some(suffix) => host
                .strip_suffix(suffix)
                .is_some_and(|label| !label.is_empty()),
            None => self.text == host,
        }
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        if self.text == other.text || self.text == "*" {
            return true;
        }
        match (self.text.strip_prefix('*'), other.text.strip_prefix('*')) {
            (Some(suffix), Some(below)) => below.ends_with(suffix),
            (Some(_), None) => self.matches(&other.text),
            (None, _) => false,
        }
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.text == "*"
    }

    /// Whether it covers a whole public suffix such as `*.com`.
    pub(crate) fn is_over_broad(&self) -> bool {
        self.text
            .strip_prefix("*.")
            .is_some_and(|name| !name.contains('.'))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Whether a text is a host name of lower-case ASCII labels, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn is_host(text: &str) -> bool {
    if let Some(address) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
            })
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A file name's ending, in lower case and without the dot: `pdf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExtensionPattern(String);

impl ExtensionPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let fits = (1..=16).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fits {
            let message = format!("{:?} is no file ending", crate::diagnostic::shown(text));
            return Err(Mistake::new(
                message,
                "write it in lower case without the dot, such as \"pdf\"",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a file name ends so, whatever the case.
    pub fn matches(&self, file_name: &str) -> bool {
        file_name
            .rsplit_once('.')
            .is_some_and(|(stem, ending)| !stem.is_empty() && ending.eq_ignore_ascii_case(&self.0))
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        self == other
    }
}

impl fmt::Display for ExtensionPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A port or a range of ports: `443` or `8000-8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let port = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse::<u16>().ok())
                .flatten()
                .filter(|port| *port > 0)
        };
        let range = match text.split_once('-') {
            Some((first, last)) => port(first).zip(port(last)),
            None => port(text).map(|port| (port, port)),
        };
        match range {
            Some((first, last)) if first <= last => Ok(Self { first, last }),
            _ => Err(Mistake::new(
                format!("{text:?} is no port"),
                "write a port or a range of them, such as \"443\" or \"8000-8080\"",
            )),
        }
    }

    /// Whether a port lies inside.
    pub fn matches(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(formatter, "{}", self.first)
        } else {
            write!(formatter, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_end_at_a_dot() {
        let pattern = HostPattern::parse("*.example.org").unwrap();
        for inside in ["a.example.org", "a.b.example.org"] {
            assert!(pattern.matches(inside), "{inside}");
        }
        for outside in [
            "example.org",
            ".example.org",
            "evilexample.org",
            "example.org.evil",
            "example.orgx",
            "",
        ] {
            assert!(!pattern.matches(outside), "{outside}");
        }
        assert!(HostPattern::parse("*").unwrap().matches("anything"));
        for bad in [
            "",
            "*.",
            "a*.org",
            "*.*.org",
            "Example.org",
            "example.org.",
            "ex ample",
            "-a.org",
            "b\u{fc}ro.de",
            "http://x",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
        assert!(HostPattern::parse("*.com").unwrap().is_over_broad() && !pattern.is_over_broad());
    }

    #[test]
    fn stars_swallow_any_run() {
        for (pattern, text, fits) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("aa*aa", "aaa", false),
        ] {
            assert_eq!(
                TextPattern::parse(pattern).unwrap().matches(text),
                fits,
                "{pattern} {text}"
            );
        }
        // No pattern takes exponential time.
        assert!(
            !TextPattern::parse(&"*a".repeat(120))
                .unwrap()
                .matches(&"a".repeat(4096).replace("aaaa", "bbbb"))
        );
    }

    #[test]
    fn endings_ports_and_types() {
        let pdf = ExtensionPattern::parse("pdf").unwrap();
        assert!(pdf.matches("a.PDF") && pdf.matches("a.b.pdf"));
        assert!(!pdf.matches("pdf") && !pdf.matches(".pdf") && !pdf.matches("a.pdf.exe"));
        let ports = PortRange::parse("8000-8080").unwrap();
        assert!(ports.matches(8000) && ports.matches(8080) && !ports.matches(8081));
        for bad in ["", "0", "70000", "9-8", "-1", "+80", "80-"] {
            assert!(PortRange::parse(bad).is_err(), "{bad}");
        }
        let image = MimePattern::parse("image/*").unwrap();
        assert!(
            image.matches("image/png")
                && !image.matches("imagex/png")
                && !image.matches("text/plain")
        );
        for bad in ["", "*", "*/png", "image/", "Image/png", "image/p*", "a/b/c"] {
            assert!(MimePattern::parse(bad).is_err(), "{bad}");
        }
    }

    /// Whatever fits a covered pattern fits the one that covers it.
    #[test]
    fn covering_is_never_claimed_wrongly() {
        let hosts = [
            "*",
            "example.org",
            "*.example.org",
            "*.a.example.org",
            "a.example.org",
            "*.org",
        ];
        let names = [
            "example.org",
            "a.example.org",
            "b.a.example.org",
            "x.org",
            "evilexample.org",
            "org",
        ];
        let texts = ["*", "a*", "*a", "a*a", "ab*", "*b*", "aba", "a"];
        let words = ["", "a", "aa", "ab", "aba", "abba", "b", "ba", "a*", "*"];
        let mimes = ["*/*", "text/*", "text/plain", "image/*"];
        let types = ["text/plain", "text/html", "image/png", "text/x"];
        fn check<P>(
            patterns: &[P],
            values: &[&str],
            covers: impl Fn(&P, &P) -> bool,
            fits: impl Fn(&P, &str) -> bool,
        ) {
            let mut claimed = 0;
            for wide in patterns {
                for narrow in patterns.iter().filter(|narrow| covers(wide, narrow)) {
                    claimed += 1;
                    for value in values {
                        assert!(!fits(narrow, value) || fits(wide, value), "{value}");
                    }
                }
            }
            assert!(claimed > patterns.len(), "some cover others");
        }
        check(
            &hosts.map(|text| HostPattern::parse(text).unwrap()),
            &names,
            HostPattern::covers,
            HostPattern::matches,
        );
        check(
            &texts.map(|text| TextPattern::parse(text).unwrap()),
            &words,
            TextPattern::covers,
            TextPattern::matches,
        );
        check(
            &mimes.map(|text| MimePattern::parse(text).unwrap()),
            &types,
            MimePattern::covers,
            MimePattern::matches,
        );
    }
}
