//! The time of day, as decisions and records take it.

use std::time::{SystemTime, UNIX_EPOCH};

use bulkhead_policy::{Moment, Timestamp};

/// The machine's clock.
pub(crate) fn timestamp() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A time with the offset of local time from UTC at that time.
pub(crate) fn moment(now: Timestamp) -> Moment {
    let seconds = jiff::Timestamp::from_second(now.0).map_or(0, |instant| {
        jiff::tz::TimeZone::system().to_offset(instant).seconds()
    });
    Moment {
        now,
        utc_offset: i16::try_from(seconds / 60).unwrap_or(0),
    }
}
