//! When a screen's next frame may be painted.
//!
//! At most one frame is on its way to a screen, so whatever changes is shown by the very next frame that can still hold it. A card that
//! says when a frame is shown sets the pace; one that shows frames at once is asked no more often than its screen can show them.

use std::time::{Duration, Instant};

/// A card that has not said for so long that it shows a frame will not say it any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pace of one screen's frames.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// The shortest time from one frame's beginning to the next one's.
    interval: Duration,
    begun: Option<Instant>,
    on_its_way: bool,
}

impl Rhythm {
    /// For a screen that shows so many frames a second; 60 for one that does not know (0).
    #[must_use]
    pub fn of(refresh_rate: u32) -> Self {
        let rate = match refresh_rate {
            0 => 60,
            known => known,
        };
        // A little less than a screen's frame takes: a timer must not make the card wait for the one after.
        let interval = Duration::from_secs(1) / rate;
        Self {
            interval: interval - interval / 16,
            begun: None,
            on_its_way: false,
        }
    }

    /// When the next frame may begin. None: at once.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let wait = match self.on_its_way {
            true => PATIENCE,
            false => self.interval,
        };
        self.begun.map(|begun| begun + wait)
    }

    /// Whether a frame may begin now.
    #[must_use]
    pub fn may_begin(&self, now: Instant) -> bool {
        self.next().is_none_or(|next| next <= now)
    }

    /// A frame was painted, and the screen shows it.
    pub fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        self.on_its_way = false;
    }

    /// The frame just begun is not shown yet: the card will say when it is.
    pub fn sent(&mut self) {
        self.on_its_way = true;
    }

    /// The card shows the frame that was on its way. False: none was.
    pub fn shown(&mut self) -> bool {
        std::mem::replace(&mut self.on_its_way, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn one_frame_is_on_its_way_and_no_second_one() {
        let start = Instant::now();
        let mut rhythm = Rhythm::of(60);
        assert!(rhythm.may_begin(start), "the first one waits for nothing");
        rhythm.begin(start);
        rhythm.sent();
        assert!(!rhythm.may_begin(start + 17 * MILLISECOND));
        assert!(rhythm.shown() && !rhythm.shown());
        assert!(rhythm.may_begin(start + 17 * MILLISECOND));
    }

    #[test]
    fn a_card_that_shows_at_once_is_not_asked_without_end() {
        let start = Instant::now();
        for (rate, shortest) in [(60, 15), (144, 6), (0, 15)] {
            let mut rhythm = Rhythm::of(rate);
            rhythm.begin(start);
            assert!(!rhythm.may_begin(start + shortest * MILLISECOND), "{rate}");
            let frame = Duration::from_secs(1) / if rate == 0 { 60 } else { rate };
            assert!(rhythm.may_begin(start + frame), "{rate}");
        }
    }

    #[test]
    fn a_card_that_never_says_is_given_up_on() {
        let start = Instant::now();
        let mut rhythm = Rhythm::of(60);
        rhythm.begin(start);
        rhythm.sent();
        assert!(!rhythm.may_begin(start + 999 * MILLISECOND));
        assert!(rhythm.may_begin(start + 1000 * MILLISECOND));
    }
}
