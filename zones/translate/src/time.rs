//! The machine's time base: what `time` reads and what `stimecmp` is compared with.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Ticks per second of the `time` CSR; the device tree says the same.
pub const FREQUENCY: u64 = 10_000_000;
const NANOSECONDS_PER_TICK: u64 = 1_000_000_000 / FREQUENCY;

/// One clock for all harts of a machine.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The host's clock since this time, which goes on while the host sleeps: so do the guest's date and its timeouts.
    Host(Duration),
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
        Self::Host(boot_time())
    }

    /// The time in ticks, on a hart that has retired `retired` instructions and skipped `skipped` ticks while it waited.
    #[inline]
    pub fn now(&self, retired: u64, skipped: u64) -> u64 {
        match self {
            Self::Host(start) => {
                let elapsed = boot_time().saturating_sub(*start);
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

/// Since the host's start, its sleep included.
fn boot_time() -> Duration {
    // The kernel gives no negative time.
    clock_gettime(ClockId::Boottime)
        .try_into()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const SLEPT: Duration = Duration::from_secs(86_400);
    const SLEPT_A_DAY: &str = "BULKHEAD_TEST_SLEPT_A_DAY";

    /// In a time namespace in which the host has slept for a day, a machine as old as the host has the day in its time.
    #[test]
    fn the_hosts_clock_counts_its_sleep() {
        if std::env::var_os(SLEPT_A_DAY).is_none() {
            let again = Command::new("unshare")
                .args([
                    "--user",
                    "--time",
                    "--boottime",
                    &SLEPT.as_secs().to_string(),
                ])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "time::tests::the_hosts_clock_counts_its_sleep"])
                .env(SLEPT_A_DAY, "")
                .output()
                .expect("`unshare` of util-linux");
            assert!(again.status.success(), "{again:?}");
            return;
        }
        let awake: Duration = clock_gettime(ClockId::Monotonic).try_into().unwrap();
        let ticks = Clock::Host(Duration::ZERO).now(0, 0);
        let since = Duration::from_nanos(ticks * NANOSECONDS_PER_TICK);
        let tick = Duration::from_nanos(NANOSECONDS_PER_TICK);
        assert!(since + tick >= awake + SLEPT, "{since:?} {awake:?}");
    }
}
