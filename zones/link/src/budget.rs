//! A token bucket: how many messages of a zone the endpoint handles. A zone that floods waits for its own budget; the others do not.

use std::time::{Duration, Instant};

/// A bucket that fills at a steady rate and holds at most a burst. Time is handed in.
#[derive(Clone, Debug)]
pub struct Budget {
    per_token: Duration,
    burst: u32,
    /// The moment at which the bucket would have been empty, had nothing been taken since: the whole state in one value.
    empty_at: Instant,
}

impl Budget {
    /// A full bucket. A rate of 0 counts as 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let per_token = Duration::from_secs(1) / per_second.max(1);
        let mut budget = Self {
            per_token,
            burst,
            empty_at: now,
        };
        budget.empty_at = now.checked_sub(budget.full()).unwrap_or(now);
        budget
    }

    /// Takes one token; or says how long to wait until there is one.
    ///
    /// # Errors
    /// The wait, when the bucket is empty.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(floor) = now.checked_sub(self.full()) {
            self.empty_at = self.empty_at.max(floor);
        }
        let next = self
            .empty_at
            .checked_add(self.per_token)
            .unwrap_or(self.empty_at);
        if next > now {
            return Err(next.saturating_duration_since(now));
        }
        self.empty_at = next;
        Ok(())
    }

    fn full(&self) -> Duration {
        self.per_token.saturating_mul(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut budget = Budget::new(100, 10, start);
        let mut passed = 0;
        while budget.take(start).is_ok() {
            passed += 1;
        }
        assert_eq!(passed, 10);
        assert_eq!(budget.take(start), Err(Duration::from_millis(10)));
        let mut passed = 0;
        for millisecond in 0..1000 {
            passed += u32::from(
                budget
                    .take(start + Duration::from_millis(millisecond))
                    .is_ok(),
            );
        }
        assert_eq!(passed, 99);
    }

    #[test]
    fn a_long_silence_fills_no_more_than_the_burst() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut budget = Budget::new(1000, 5, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| budget.take(later).is_ok()).count(), 5);
    }
}
