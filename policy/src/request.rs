//! What asks to cross, and the facts about it.
//!
//! Facts come from zones and devices and are hostile until one of the types here has taken them: each constructor
//! refuses what would not mean the same to the policy and to the program that acts on it afterwards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::names::ZoneName;
use crate::pattern::is_host;
use crate::rule::{Ends, Kind};
use crate::usb::UsbDevice;
use crate::values::Timestamp;

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// The endpoint itself.
    Host,
    /// A zone.
    Zone(ZoneName),
}

impl Party {
    /// Reads `host` or a zone's name.
    ///
    /// # Errors
    /// [`FactError`] where it is neither.
    pub fn parse(text: &str) -> Result<Self, FactError> {
        if text == "host" {
            return Ok(Self::Host);
        }
        let wrong = |_| FactError {
            what: "zone name",
            reason: "it is neither \"host\" nor a zone's name",
        };
        ZoneName::parse(text).map(Self::Zone).map_err(wrong)
    }

    /// The zone's name, or `host`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Host => "host",
            Self::Zone(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl serde::Serialize for Party {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Why a fact that a zone or a device gave was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} was refused: {reason}")]
pub struct FactError {
    pub(crate) what: &'static str,
    pub(crate) reason: &'static str,
}

/// A media type in lower case, without parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mime(Arc<str>);

impl Mime {
    /// Reads a media type; parameters such as `;charset=utf-8` are dropped.
    ///
    /// # Errors
    /// [`FactError`] where it is not two tokens of RFC 2045 joined by a slash.
    pub fn parse(text: &str) -> Result<Self, FactError> {
        let error = |reason| FactError {
            what: "media type",
            reason,
        };
        if text.len() > 255 {
            return Err(error("it is longer than 255 bytes"));
        }
        let essence = text
            .split(';')
            .next()
            .unwrap_or("")
            .trim_matches(' ')
            .to_ascii_lowercase();
        let token = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        match essence.split_once('/') {
            Some((major, minor)) if token(major) && token(minor) => Ok(Self(essence.into())),
            _ => Err(error("it is not a type and a subtype joined by a slash")),
        }
    }

    /// The media type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of one file, without any directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(Arc<str>);

impl FileName {
    /// Checks a file name.
    ///
    /// # Errors
    /// [`FactError`] where some system would take it for a path, a device, a hidden file or a different name.
    pub fn parse(text: &str) -> Result<Self, FactError> {
        let error = |reason| {
            Err(FactError {
                what: "file name",
                reason,
            })
        };
        if text.is_empty() || text.len() > 255 {
            return error("it is empty or longer than 255 bytes");
        }
        if text.contains(['/', '\\', ':']) {
            return error(
                "it has a slash, a backslash or a colon, which lead to other directories or drives",
            );
        }
        if text
            .chars()
            .any(|character| crate::diagnostic::visible(character) != character)
        {
            return error("it has characters that do not show");
        }
        if text.starts_with(['.', '-', ' ']) || text.ends_with(['.', ' ']) {
            return error(
                "it starts with a dot, a hyphen or a space, or ends with a dot or a space",
            );
        }
        let stem = text.split('.').next().unwrap_or("").to_ascii_lowercase();
        let numbered = |prefix: &str| {
            stem.strip_prefix(prefix).is_some_and(|rest| {
                rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        if ["con", "prn", "aux", "nul"].contains(&stem.as_str())
            || numbered("com")
            || numbered("lpt")
        {
            return error("it is the name of a device on some systems");
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A URL of which scheme, host and port are beyond doubt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url {
    text: Arc<str>,
    scheme: Arc<str>,
    host: Option<Arc<str>>,
    port: Option<u16>,
}

impl Url {
    /// Reads a URL. The text is kept as it is: what was checked is what will be opened.
    ///
    /// # Errors
    /// [`FactError`] where two programs might read it differently: control characters, spaces, backslashes, a user name,
    /// letters beyond ASCII in the host, a final dot; or where it is longer than 8 KiB.
    pub fn parse(text: &str) -> Result<Self, FactError> {
        let error = |reason| FactError {
            what: "URL",
            reason,
        };
        if text.len() > 8192 {
            return Err(error("it is longer than 8192 bytes"));
        }
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(error(
                "it has spaces, control characters or letters beyond ASCII; such letters must be encoded",
            ));
        }
        if text.contains('\\') {
            return Err(error(
                "it has a backslash, which some programs take for a slash",
            ));
        }
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| error("it has no scheme"))?;
        let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !scheme_fits || scheme.len() > 32 {
            return Err(error("its scheme is none"));
        }
        let scheme: Arc<str> = scheme.to_ascii_lowercase().into();
        let Some(rest) = rest.strip_prefix("//") else {
            if matches!(&*scheme, "http" | "https" | "ftp" | "ws" | "wss") {
                return Err(error("it has no host"));
            }
            return Ok(Self {
                text: text.into(),
                scheme,
                host: None,
                port: None,
            });
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        if authority.contains('@') {
            return Err(error(
                "it has a user name before its host, which is made to mislead readers",
            ));
        }
        if authority.is_empty() {
            return match &*scheme {
                "file" => Ok(Self {
                    text: text.into(),
                    scheme,
                    host: None,
                    port: None,
                }),
                _ => Err(error("it has no host")),
            };
        }
        let (host, port) = match authority
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((address, "")) => (format!("[{address}]"), None),
            Some((address, after)) => (
                format!("[{address}]"),
                Some(after.strip_prefix(':').unwrap_or("none")),
            ),
            None => match authority.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (authority.to_owned(), None),
            },
        };
        let host = host.to_ascii_lowercase();
        if !is_host(&host) || ambiguous_address(&host) {
            return Err(error(
                "its host is neither a name nor an address in its usual form",
            ));
        }
        let port = match port {
            None => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| error("its port is none"))?)
            }
            Some(_) => return Err(error("its port is none")),
        };
        Ok(Self {
            text: text.into(),
            scheme,
            host: Some(host.into()),
            port,
        })
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme in lower case, without the colon.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host in lower case.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same place without path and query, as records may hold it.
    pub fn origin(&self) -> String {
        let port = self
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        match &self.host {
            Some(host) => format!("{}://{host}{port}", self.scheme),
            None => format!("{}:", self.scheme),
        }
    }
}

/// A host made of digits only, or a part like `0x7f`, which some programs read as an IPv4 address other than it seems.
fn ambiguous_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or("");
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    number && host.parse::<std::net::Ipv4Addr>().is_err()
}

/// A short text from a zone, such as the name of an application or a service's argument: visible, at most 4096 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(Arc<str>);

impl Word {
    /// Checks a text.
    ///
    /// # Errors
    /// [`FactError`] where it is too long or has characters that do not show.
    pub fn parse(text: &str) -> Result<Self, FactError> {
        let error = |reason| {
            Err(FactError {
                what: "text",
                reason,
            })
        };
        if text.len() > 4096 {
            return error("it is longer than 4096 bytes");
        }
        if text
            .chars()
            .any(|character| crate::diagnostic::visible(character) != character)
        {
            return error("it has characters that do not show");
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An instant and the machine's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The instant.
    pub now: Timestamp,
    /// Minutes by which local time is ahead of UTC.
    pub utc_offset: i16,
}

impl Moment {
    fn local_minutes(self) -> i64 {
        self.now
            .0
            .div_euclid(60)
            .saturating_add(i64::from(self.utc_offset))
    }

    /// The minute of the local day, 0 to 1439.
    pub fn minute_of_day(self) -> u16 {
        u16::try_from(self.local_minutes().rem_euclid(1440)).unwrap_or(0)
    }

    /// The local day of the week; 0 is Monday.
    pub fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        u8::try_from((self.local_minutes().div_euclid(1440) + 3).rem_euclid(7)).unwrap_or(0)
    }
}

/// What is known of the thing that would cross. A fact that is none is not known, which always counts against crossing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The media type of the data.
    pub mime: Option<Mime>,
    /// The file's name.
    pub file_name: Option<FileName>,
    /// The size; of a stream, what is asked for now.
    pub bytes: Option<u64>,
    /// How long ago it was copied.
    pub age: Option<Duration>,
    /// The URL to open.
    pub url: Option<Url>,
    /// The host to connect to, in lower case.
    pub host: Option<Word>,
    /// The port to connect to.
    pub port: Option<u16>,
    /// The application to launch.
    pub application: Option<Word>,
    /// The service to call.
    pub service: Option<Word>,
    /// The argument of a launch or a service.
    pub argument: Option<Word>,
    /// The device.
    pub usb: Option<UsbDevice>,
    /// The time.
    pub moment: Option<Moment>,
    /// The networks that the endpoint is connected to.
    pub connected: Option<Vec<Word>>,
}

/// Something that would cross a zone's edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// What crosses.
    pub kind: Kind,
    /// From where.
    pub from: Party,
    /// To where.
    pub to: Party,
    /// What is known of it.
    pub facts: Facts,
}

impl Request {
    /// A request about which nothing more is known.
    pub fn new(kind: Kind, from: Party, to: Party) -> Self {
        Self {
            kind,
            from,
            to,
            facts: Facts::default(),
        }
    }

    /// The same with facts.
    #[must_use]
    pub fn with(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }
}

impl Kind {
    /// Whether this kind goes between such ends.
    pub fn goes_between(self, from: &Party, to: &Party) -> bool {
        let (from, to) = (*from == Party::Host, *to == Party::Host);
        match self.ends() {
            Ends::ZoneToZone => !from && !to,
            Ends::HostToZone => from && !to,
            Ends::ZoneToHost => !from && to,
            Ends::ZoneToAny => !from,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} -> {}", self.kind, self.from, self.to)?;
        for (key, value) in self.facts.shown() {
            write!(formatter, ", {key} {value}")?;
        }
        Ok(())
    }
}

impl Facts {
    /// Keys and values of what is known, as a reader knows them, without the time.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let mut list = Vec::new();
        let mut push = |key, value: Option<String>| list.extend(value.map(|value| (key, value)));
        push(
            "mime",
            self.mime.as_ref().map(|mime| mime.as_str().to_owned()),
        );
        push(
            "file",
            self.file_name
                .as_ref()
                .map(|name| crate::diagnostic::shown(name.as_str())),
        );
        push("bytes", self.bytes.map(|bytes| bytes.to_string()));
        push("age", self.age.map(crate::values::show_duration));
        push(
            "url",
            self.url
                .as_ref()
                .map(|url| crate::diagnostic::shown(url.as_str())),
        );
        push(
            "host",
            self.host
                .as_ref()
                .map(|host| crate::diagnostic::shown(host.as_str())),
        );
        push("port", self.port.map(|port| port.to_string()));
        push(
            "application",
            self.application
                .as_ref()
                .map(|word| crate::diagnostic::shown(word.as_str())),
        );
        push(
            "service",
            self.service
                .as_ref()
                .map(|word| crate::diagnostic::shown(word.as_str())),
        );
        push(
            "argument",
            self.argument
                .as_ref()
                .map(|word| crate::diagnostic::shown(word.as_str())),
        );
        push("usb", self.usb.as_ref().map(ToString::to_string));
        push(
            "connected",
            self.connected.as_ref().map(|names| {
                names
                    .iter()
                    .map(|name| crate::diagnostic::shown(name.as_str()))
                    .collect::<Vec<_>>()
                    .join(" and ")
            }),
        );
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_mislead_are_refused() {
        for good in [
            "https://example.org/a?b=c@d",
            "http://192.0.2.1:8080/",
            "https://[2001:db8::1]:443/x",
            "mailto:a@example.org",
            "file:///etc/passwd",
            "HTTPS://Example.ORG",
        ] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        let url = Url::parse("HTTPS://Example.ORG:444/p").unwrap();
        assert_eq!(
            (url.scheme(), url.host(), url.port(), url.as_str()),
            (
                "https",
                Some("example.org"),
                Some(444),
                "HTTPS://Example.ORG:444/p"
            )
        );
        assert_eq!(url.origin(), "https://example.org:444");
        for bad in [
            "",
            "example.org",
            "https:example.org",
            "https://",
            "https:///x",
            "https://bank.example@evil.example/",
            "https://evil.example\\@bank.example/",
            "https://b\u{430}nk.example/",
            "https://example.org\r\nHost: x",
            "https://exa mple.org",
            "https://example.org./",
            "https://example.org:x/",
            "https://example.org:99999/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://[::1]x/",
            "https://%65vil.example/",
            "ht!tp://x/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
        assert!(Url::parse(&format!("https://{}.org/", "a.".repeat(21_000))).is_err());
    }

    #[test]
    fn file_names_that_are_more_than_names_are_refused() {
        for good in ["report.pdf", "Bericht 2026 (2).odt", "übersicht.txt"] {
            assert!(FileName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "C:x",
            ".bashrc",
            "-rf",
            "x.",
            "x ",
            "nul",
            "COM1.txt",
            "a\nb",
            "a\u{202e}fdp.exe",
            "a\0b",
            "\u{200b}",
        ] {
            assert!(FileName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(FileName::parse(&"x".repeat(256)).is_err());
    }

    #[test]
    fn media_types_are_brought_to_one_form() {
        assert_eq!(
            Mime::parse("Text/Plain; charset=UTF-8").unwrap().as_str(),
            "text/plain"
        );
        for bad in [
            "",
            "text",
            "text/",
            "/plain",
            "text/pl ain",
            "text/plain\n",
            "a/b/c",
            "text/\u{0}",
        ] {
            assert!(Mime::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn local_time_is_counted_from_the_offset() {
        let moment = Moment {
            now: Timestamp::parse("2026-03-01T23:30:00Z").unwrap(),
            utc_offset: 60,
        };
        assert_eq!(
            (moment.minute_of_day(), moment.weekday()),
            (30, 0),
            "Monday the second, half past midnight"
        );
        let early = Moment {
            now: Timestamp(-1),
            utc_offset: 0,
        };
        assert_eq!((early.minute_of_day(), early.weekday()), (1439, 2));
    }
}
