//! The machine's time base: what `time` reads and what `stimecmp` is compared with.

use std::time::{Duration, Instant};

/// Ticks per second of the `time` CSR; the device tree says the same.
pub const FREQUENCY: u64 = 10_000_000;
const NANOSECONDS_PER_TICK: u64 = 1_000_000_000 / FREQUENCY;

/// One clock for all harts of a machine.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The host's monotonic clock, from the machine's start.
    Host(Instant),
    /// A clock that counts instructions, so that a run can be repeated exactly: one tick for so many of them.
    /// A hart that waits for its timer jumps to it.
    Instructions {
        /// Instructions per tick; at least 1.
        per_tick: u64,
    },
}

impl Clock {
    /// The host's clock, starting now.
    pub fn host() -> Self {
        Self::Host(Instant::now())
    }

    /// The time in ticks, on a hart that has retired `retired` instructions and skipped `skipped` ticks while it waited.
    #[inline]
    pub fn now(&self, retired: u64, skipped: u64) -> u64 {
        match self {
            Self::Host(start) => {
                let elapsed = start.elapsed();
                elapsed
                    .as_secs()
                    .wrapping_mul(FREQUENCY)
                    .wrapping_add(u64::from(elapsed.subsec_nanos()) / NANOSECONDS_PER_TICK)
            }
            Self::Instructions { per_tick } => (retired / (*per_tick).max(1)).wrapping_add(skipped),
        }
    }

    /// How long the host should wait for `ticks` to pass.
    pub fn duration(ticks: u64) -> Duration {
        Duration::from_nanos(ticks.saturating_mul(NANOSECONDS_PER_TICK))
    }
}
