//! Values written with a unit: sizes, durations, rates, hours of the day, days of the week, instants.
//!
//! Each kind is written in one way only, is checked when read, and is shown in the form in which it is written.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use toml::value::{Datetime, Offset};

/// Why a value is wrong: what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) message: String,
    pub(crate) mend: Option<String>,
}

impl Mistake {
    pub(crate) fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            mend: Some(mend.into()),
        }
    }
}

/// Splits `12 MiB` into 12 and `MiB`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

/// A number of bytes, written `512 MiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl ByteSize {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let mend = "write a whole number and B, KiB, MiB or GiB, such as \"512 MiB\"";
        let wrong = || Mistake::new(format!("{text:?} is no size"), mend);
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let (_, factor) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        let bytes = number
            .checked_mul(*factor)
            .filter(|bytes| *bytes <= 1 << 50);
        bytes.map(Self).ok_or_else(|| {
            Mistake::new(
                format!("{text:?} is larger than a size may be (1,048,576 GiB)"),
                mend,
            )
        })
    }

    /// The bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Whole mebibytes, rounded down.
    pub fn mebibytes(self) -> u64 {
        self.0 >> 20
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(formatter, "{} {name}", self.0 / factor),
            None => write!(formatter, "{} B", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

const DURATION_UNITS: [(&str, u64); 6] = [
    ("days", 86_400_000),
    ("day", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration such as `30 s`; at most 3,660 days.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Mistake> {
    let mend = "write a whole number and ms, s, min, h or days, such as \"30 s\"";
    let wrong = || Mistake::new(format!("{text:?} is no duration"), mend);
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let (_, factor) = DURATION_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    let milliseconds = number
        .checked_mul(*factor)
        .filter(|milliseconds| *milliseconds <= 3_660 * 86_400_000);
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| Mistake::new(format!("{text:?} is longer than 3660 days"), mend))
}

/// Shows a duration as it would be written.
pub(crate) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let unit = DURATION_UNITS.iter().find(|(name, factor)| {
        let factor = u128::from(*factor);
        milliseconds >= factor
            && milliseconds.is_multiple_of(factor)
            && (*name != "days" || milliseconds > factor)
    });
    match unit {
        Some((name, factor)) => format!("{} {name}", milliseconds / u128::from(*factor)),
        None => format!("{milliseconds} ms"),
    }
}

/// So much in so long: `20/min` or, for bytes, `10 MiB/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many, or how many bytes.
    pub amount: u64,
    /// In this time.
    pub window: Duration,
}

const WINDOWS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("day", 86_400)];

impl Rate {
    fn window(text: &str) -> Option<Duration> {
        WINDOWS
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, seconds)| Duration::from_secs(*seconds))
    }

    pub(crate) fn parse_count(text: &str) -> Result<Self, Mistake> {
        let rate = text.split_once('/').and_then(|(amount, window)| {
            let amount = amount
                .parse()
                .ok()
                .filter(|amount| (1..=1_000_000).contains(amount))?;
            Some(Self {
                amount,
                window: Self::window(window)?,
            })
        });
        rate.ok_or_else(|| {
            Mistake::new(
                format!("{text:?} is no rate"),
                "write a number and /s, /min, /h or /day, such as \"20/min\"",
            )
        })
    }

    pub(crate) fn parse_bytes(text: &str) -> Result<Self, Mistake> {
        let rate = text.split_once('/').and_then(|(amount, window)| {
            let amount = ByteSize::parse(amount).ok().filter(|size| size.0 > 0)?.0;
            Some(Self {
                amount,
                window: Self::window(window)?,
            })
        });
        rate.ok_or_else(|| {
            Mistake::new(
                format!("{text:?} is no byte rate"),
                "write a size and /s, /min, /h or /day, such as \"10 MiB/h\"",
            )
        })
    }

    pub(crate) fn show(&self, bytes: bool) -> String {
        let window = WINDOWS
            .iter()
            .find(|(_, seconds)| *seconds == self.window.as_secs())
            .map_or("?", |(name, _)| name);
        if bytes {
            format!("{}/{window}", ByteSize(self.amount))
        } else {
            format!("{}/{window}", self.amount)
        }
    }
}

/// A part of each day, by the machine's local time: `08:00-18:00`. A window whose end is before its start goes over
/// midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    /// The first minute of the day inside.
    pub from: u16,
    /// The first minute of the day outside.
    pub until: u16,
}

impl Hours {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let clock = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let digits = |text: &str| {
                (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
                    .then(|| text.parse::<u16>().ok())
                    .flatten()
            };
            let (hours, minutes) = (digits(hours)?, digits(minutes)?);
            (minutes < 60 && (hours < 24 || (hours == 24 && minutes == 0)))
                .then_some(hours * 60 + minutes)
        };
        let window = text
            .split_once('-')
            .and_then(|(from, until)| Some((clock(from)?, clock(until)?)));
        match window {
            Some((from, until)) if from != until && from < 1440 && until > 0 => {
                Ok(Self { from, until })
            }
            _ => Err(Mistake::new(
                format!("{text:?} is no part of a day"),
                "write two times of day, such as \"08:00-18:00\"",
            )),
        }
    }

    /// Whether a minute of the day lies inside.
    pub fn contains(&self, minute: u16) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&minute)
        } else {
            minute >= self.from || minute < self.until
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        write!(
            formatter,
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            until / 60,
            until % 60
        )
    }
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Days(u8);

pub(crate) const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Days {
    pub(crate) fn parse(names: &[&str]) -> Result<Self, Mistake> {
        let mut days = 0;
        for name in names {
            let at = DAY_NAMES.iter().position(|day| day == name);
            let at = at.ok_or_else(|| {
                Mistake::new(
                    format!("{name:?} is no day"),
                    format!("write days as {}", DAY_NAMES.join(", ")),
                )
            })?;
            days |= 1 << at;
        }
        Ok(Self(days))
    }

    /// Whether a day (0 is Monday) is among them.
    pub fn contains(&self, day: u8) -> bool {
        day < 7 && self.0 & (1 << day) != 0
    }

    pub(crate) fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

impl fmt::Display for Days {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = (0u8..)
            .zip(DAY_NAMES)
            .filter(|(day, _)| self.contains(*day))
            .map(|(_, name)| name)
            .collect();
        formatter.write_str(&names.join(", "))
    }
}

/// A second, counted from 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads `2026-03-01T09:00:00Z`, with any offset.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_toml(&text.parse().ok()?)
    }

    pub(crate) fn from_toml(datetime: &Datetime) -> Option<Self> {
        let (date, time, offset) = (datetime.date?, datetime.time?, datetime.offset?);
        let offset = match offset {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes) * 60,
        };
        let days = days_from_civil(
            i64::from(date.year),
            i64::from(date.month),
            i64::from(date.day),
        );
        let seconds = i64::from(time.hour) * 3600
            + i64::from(time.minute) * 60
            + i64::from(time.second.unwrap_or(0));
        Some(Self(days * 86_400 + seconds - offset))
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)),
        )
    }

    /// Year, month and day in UTC.
    pub(crate) fn date(self) -> (i64, u8, u8) {
        civil_from_days(self.0.div_euclid(86_400))
    }
}

/// `2026-03-01T09:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let second = self.0.rem_euclid(86_400);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in 400-year eras that start in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (
        year,
        u8::try_from(month).unwrap_or(0),
        u8::try_from(day).unwrap_or(0),
    )
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The bytes that hexadecimal digits, in lower case, stand for.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

/// Reads `sha256:` and 64 hexadecimal digits.
pub(crate) fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    from_hex(text.strip_prefix("sha256:")?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_in_one_way() {
        for text in [
            "0 B", "1 B", "1023 B", "64 KiB", "512 MiB", "3 GiB", "1500 MiB",
        ] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(ByteSize::parse("64KiB").unwrap().0, 65_536);
        for bad in [
            "",
            "MiB",
            "-1 B",
            "1.5 MiB",
            "1 MB",
            "1 mib",
            "1  MiB",
            "99999999999999999999 B",
            "9999999999 GiB",
            "1 MiB ",
        ] {
            assert!(ByteSize::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_and_shown_in_one_way() {
        for text in ["500 ms", "30 s", "10 min", "2 h", "1 day", "14 days"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for bad in ["", "30", "s", "1 week", "99999 days", "-1 s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_hours_and_days() {
        assert_eq!(Rate::parse_count("20/min").unwrap().show(false), "20/min");
        assert_eq!(
            Rate::parse_bytes("10 MiB/h").unwrap().show(true),
            "10 MiB/h"
        );
        for bad in ["20", "0/min", "20/week", "/s", "2000000/s"] {
            assert!(Rate::parse_count(bad).is_err(), "{bad}");
        }
        let night = Hours::parse("22:00-06:00").unwrap();
        assert!(
            night.contains(23 * 60)
                && night.contains(0)
                && !night.contains(6 * 60)
                && !night.contains(12 * 60)
        );
        assert!(Hours::parse("00:00-24:00").unwrap().contains(1439));
        for bad in [
            "8:00-18:00",
            "08:00",
            "08:00-08:00",
            "08:60-09:00",
            "25:00-26:00",
            "+8:00-09:00",
        ] {
            assert!(Hours::parse(bad).is_err(), "{bad}");
        }
        let days = Days::parse(&["mon", "fri"]).unwrap();
        assert!(days.contains(0) && days.contains(4) && !days.contains(5) && !days.contains(200));
        assert_eq!(days.to_string(), "mon, fri");
    }

    #[test]
    fn instants_agree_with_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-03-01T09:00:00Z", 1_772_355_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(seconds)), "{text}");
            assert_eq!(Timestamp(seconds).to_string(), text);
        }
        assert_eq!(
            Timestamp::parse("2026-03-01T10:00:00+01:00"),
            Timestamp::parse("2026-03-01T09:00:00Z")
        );
        assert_eq!(Timestamp::parse("2026-03-01"), None);
        assert_eq!(Timestamp::parse("2026-03-01T09:00:00"), None);
        for day in -200_000..200_000 {
            let (year, month, dom) = civil_from_days(day);
            assert_eq!(days_from_civil(year, i64::from(month), i64::from(dom)), day);
        }
    }
}
