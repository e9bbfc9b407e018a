//! A token bucket: how many messages of a zone the endpoint handles. A zone that floods waits for its own budget; the others do not.

use std::time::{Duration, Instant};

/// A bucket that fills at a steady rate and holds at most a burst. Time is handed in.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Time in which one token comes in, in picoseconds: a byte rate of gigabytes is still exact to a few percent.
    per_token: u128,
    burst: u64,
    /// The moment at which the bucket would have been empty, had nothing been taken since, in picoseconds after `start`: the
    /// whole state in one value. It may lie before `start`.
    empty_at: i128,
    start: Instant,
}

const SECOND: u128 = 1_000_000_000_000;

impl Budget {
    /// A full bucket that gains `amount` tokens in each `window` and holds `burst`. An amount or window of 0 counts as 1.
    #[must_use]
    pub fn new(amount: u64, window: Duration, burst: u64, now: Instant) -> Self {
        let window = picoseconds(window.max(Duration::from_nanos(1)));
        let per_token = (window / u128::from(amount.max(1))).max(1);
        let mut budget = Self {
            per_token,
            burst: burst.max(1),
            empty_at: 0,
            start: now,
        };
        budget.empty_at = budget.floor(0);
        budget
    }

    /// Takes tokens; or says how long to wait until there are as many. More than the burst is taken as the burst: such a debt
    /// could never be paid.
    ///
    /// # Errors
    /// The wait, when the bucket holds fewer.
    pub fn take(&mut self, tokens: u64, now: Instant) -> Result<(), Duration> {
        let now = signed(picoseconds(now.saturating_duration_since(self.start)));
        self.empty_at = self.empty_at.max(self.floor(now));
        let cost = self
            .per_token
            .saturating_mul(u128::from(tokens.min(self.burst)));
        let next = self.empty_at.saturating_add(signed(cost));
        if next > now {
            let wait = next.saturating_sub(now).unsigned_abs();
            let nanoseconds = u64::try_from(wait.div_ceil(1000)).unwrap_or(u64::MAX);
            return Err(Duration::from_nanos(nanoseconds));
        }
        self.empty_at = next;
        Ok(())
    }

    /// Where `empty_at` stands at `now` when the bucket is full.
    fn floor(&self, now: i128) -> i128 {
        now.saturating_sub(signed(
            self.per_token.saturating_mul(u128::from(self.burst)),
        ))
    }
}

fn picoseconds(duration: Duration) -> u128 {
    duration.as_nanos().saturating_mul(SECOND / 1_000_000_000)
}

fn signed(picoseconds: u128) -> i128 {
    i128::try_from(picoseconds).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut budget = Budget::new(100, SECOND, 10, start);
        let mut passed = 0;
        while budget.take(1, start).is_ok() {
            passed += 1;
        }
        assert_eq!(passed, 10);
        assert_eq!(budget.take(1, start), Err(Duration::from_millis(10)));
        let passed = (0..1000).filter(|millisecond| {
            budget
                .take(1, start + Duration::from_millis(*millisecond))
                .is_ok()
        });
        assert_eq!(passed.count(), 99);
    }

    #[test]
    fn a_long_silence_fills_no_more_than_the_burst() {
        let start = Instant::now();
        let mut budget = Budget::new(1000, SECOND, 5, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!(
            (0..100).filter(|_| budget.take(1, later).is_ok()).count(),
            5
        );
    }

    #[test]
    fn byte_rates_are_close_to_what_they_say() {
        let start = Instant::now();
        let mut budget = Budget::new(64 << 20, SECOND, 1 << 20, start);
        let mut bytes = 0_u64;
        for microsecond in 0..1_000_000 {
            if budget
                .take(20_480, start + Duration::from_micros(microsecond))
                .is_ok()
            {
                bytes += 20_480;
            }
        }
        let expected = (64 << 20) + (1 << 20);
        assert!(
            bytes.abs_diff(expected) < expected / 50,
            "{bytes} bytes in a second"
        );
    }

    #[test]
    fn more_than_the_burst_costs_the_burst() {
        let start = Instant::now();
        let mut budget = Budget::new(10, SECOND, 10, start);
        assert!(budget.take(1_000_000, start).is_ok());
        assert_eq!(budget.take(10, start), Err(SECOND));
    }
}
