//! The figures of many keys: how long from the event to the presented pixel, and in which stage.

use std::fmt;
use std::time::Duration;

use crate::{STAGES, Stages};

/// Keys of one zone.
pub(super) struct Latencies {
    zone: String,
    keys: usize,
    total: Figures,
    stages: [Figures; STAGES.len()],
}

/// The middle one of many times, and the one that ninety-nine of a hundred do not exceed, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Figures {
    median: f64,
    most: f64,
}

impl Figures {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| {
            let time = times.get(times.len().saturating_sub(1) * share / 100);
            time.map_or(0.0, Duration::as_secs_f64) * 1e3
        };
        Self {
            median: at(50),
            most: at(99),
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "p50_ms": self.median, "p99_ms": self.most })
    }
}

impl Latencies {
    pub(super) fn of(zone: &str, keys: Vec<Stages>) -> Self {
        let mut stages = [Figures::default(); STAGES.len()];
        for (number, figures) in stages.iter_mut().enumerate() {
            let times = keys.iter().filter_map(|key| key.0.get(number).copied());
            *figures = Figures::of(times.collect());
        }
        Self {
            zone: zone.to_owned(),
            keys: keys.len(),
            total: Figures::of(keys.iter().map(Stages::total).collect()),
            stages,
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let stages: Vec<serde_json::Value> = STAGES
            .iter()
            .zip(&self.stages)
            .map(|(name, figures)| {
                let mut stage = figures.json();
                stage["stage"] = (*name).into();
                stage
            })
            .collect();
        let mut all = self.total.json();
        all["zone"] = self.zone.as_str().into();
        all["keys"] = self.keys.into();
        all["stages"] = stages.into();
        all
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { median, most } = self.total;
        writeln!(
            out,
            "latency {}: {} keys, median {median:.1} ms, 99 % under {most:.1} ms",
            self.zone, self.keys
        )?;
        for (name, Figures { median, most }) in STAGES.iter().zip(&self.stages) {
            writeln!(
                out,
                "    {name:40} median {median:7.3} ms, 99 % under {most:7.3} ms"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_their_sum_are_told_apart() {
        let key = |guest: u64| {
            let milliseconds = [1, guest, 0, 2, 3].map(Duration::from_millis);
            Stages(milliseconds)
        };
        let latencies = Latencies::of("corp", (1..=101).map(key).collect());
        let json = latencies.json();
        assert_eq!(json["p50_ms"], 57.0);
        assert_eq!(json["p99_ms"], 106.0);
        assert_eq!(json["stages"][1]["stage"], STAGES[1]);
        assert_eq!(json["stages"][1]["p99_ms"], 100.0);
        assert_eq!(json["stages"][4]["p50_ms"], 3.0);
        let text = latencies.to_string();
        assert!(text.starts_with("latency corp: 101 keys, median 57.0 ms, 99 % under 106.0 ms\n"));
        assert_eq!(text.lines().count(), 1 + STAGES.len());
    }
}
