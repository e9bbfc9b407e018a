//! How fast reports travel: plain USB/IP, usbredir and ours, each through the same threads, the same simulated device and the same delay line.
//!
//! A consumer keeps one poll in flight, as Linux' HID driver does. The device keeps one report that nobody
//! polls for, as dongles do. Delay is half the round trip each way, in user space, so nothing but the round trip is simulated.

mod delay;
mod measure;
mod slow;

use anyhow::{Result, bail};

use measure::{Figures, Path};

const ROUND_TRIPS: [u64; 4] = [0, 10, 50, 100];
const RATES: [u32; 3] = [125, 1000, 8000];

/// A promise of the specification, and whether this run kept it.
struct Bar {
    what: String,
    holds: bool,
    figure: String,
}

/// Measures and prints; the words are `--json` and `--seconds N`.
///
/// # Errors
/// For other words, or when a run fails.
pub fn run(words: impl IntoIterator<Item = String>) -> Result<()> {
    // As the programs that hold a device do.
    let _ = rustix::process::nice(-10);
    let mut json = false;
    let mut seconds = 2;
    let mut arguments = words.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--seconds" => {
                seconds = arguments
                    .next()
                    .and_then(|word| word.parse().ok())
                    .filter(|seconds| (1..=60).contains(seconds))
                    .ok_or_else(|| anyhow::anyhow!("--seconds takes a number from 1 to 60"))?;
            }
            other => bail!("usb-bench knows --json and --seconds N, and not {other:?}"),
        }
    }
    let mut rows = Vec::new();
    if !json {
        println!("path       Hz    RTT/ms   reports/s   lost   order   p50-RTT/2   p99-RTT/2 (ms)");
    }
    for rate in RATES {
        for round_trip in ROUND_TRIPS {
            for path in [Path::UsbIp, Path::UsbRedir, Path::Ours] {
                let figures = measure::run(path, rate, round_trip, seconds)?;
                if !json {
                    println!("{}", row(&figures));
                }
                rows.push(figures);
            }
        }
    }
    let slow = [slow::ours()?, slow::usbredir()?];
    let bars = bars(&rows, &slow);
    if json {
        print_json(&rows, &slow, &bars);
    } else {
        for slow in &slow {
            println!(
                "consumer at a tenth of 1000 Hz, {}: pointer lags {:.1} ms at most, {} of {} clicks seen",
                slow.path, slow.lag_ms, slow.seen, slow.made
            );
        }
        for bar in &bars {
            let word = if bar.holds { "holds " } else { "MISSES" };
            println!("{word}  {}: {}", bar.what, bar.figure);
        }
    }
    Ok(())
}

fn row(figures: &Figures) -> String {
    format!(
        "{:<9} {:>5} {:>8} {:>11.1} {:>5.1}% {:>7} {:>11.2} {:>11.2}",
        figures.path.name(),
        figures.rate,
        figures.round_trip_ms,
        figures.per_second,
        figures.lost_percent(),
        if figures.in_order { "kept" } else { "BROKEN" },
        figures.p50_over_ms,
        figures.p99_over_ms,
    )
}

fn bars(rows: &[Figures], slow: &[slow::Slow]) -> Vec<Bar> {
    let ours = |rate| {
        rows.iter()
            .filter(move |row| row.path == Path::Ours && row.rate == rate)
    };
    let mut bars = Vec::new();
    for rate in [125, 1000] {
        let lost: u64 = ours(rate)
            .map(|row| row.made.saturating_sub(row.delivered))
            .sum();
        bars.push(Bar {
            what: format!("{rate} Hz: every report delivered, in order, at all round trips"),
            holds: lost == 0 && ours(rate).all(|row| row.in_order),
            figure: format!("{lost} lost"),
        });
        let worst = |figure: fn(&Figures) -> f64| ours(rate).map(figure).fold(0.0, f64::max);
        let (p50, p99) = (worst(|row| row.p50_over_ms), worst(|row| row.p99_over_ms));
        bars.push(Bar {
            what: format!("{rate} Hz: p50 minus half the round trip at most 0.5 ms"),
            holds: p50 <= 0.5,
            figure: format!("{p50:.2} ms"),
        });
        bars.push(Bar {
            what: format!("{rate} Hz: p99 minus half the round trip at most 5 ms"),
            holds: p99 <= 5.0,
            figure: format!("{p99:.2} ms"),
        });
    }
    let per_second = |path, round_trip| {
        rows.iter()
            .find(|row| row.path == path && row.rate == 8000 && row.round_trip_ms == round_trip)
            .map_or(0.0, |row| row.per_second)
    };
    let fast = per_second(Path::Ours, 0);
    bars.push(Bar {
        what: "8000 Hz at 0 ms: at least 7500 reports a second".to_owned(),
        holds: fast >= 7500.0,
        figure: format!("{fast:.0}/s"),
    });
    let (ours, plain) = (per_second(Path::Ours, 50), per_second(Path::UsbIp, 50));
    bars.push(Bar {
        what: "8000 Hz at 50 ms: at least 10 times plain USB/IP".to_owned(),
        holds: ours >= 10.0 * plain,
        figure: format!("{:.0} times", ours / plain.max(1.0)),
    });
    if let Some(slow) = slow.first() {
        bars.push(Bar {
            what: "consumer at a tenth of the speed: at most 100 ms behind, no click lost"
                .to_owned(),
            holds: slow.lag_ms <= 100.0 && slow.seen == slow.made,
            figure: format!(
                "{:.1} ms, {} of {} clicks",
                slow.lag_ms, slow.seen, slow.made
            ),
        });
    }
    bars
}

fn print_json(rows: &[Figures], slow: &[slow::Slow], bars: &[Bar]) {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                r#"{{"path":"{}","hz":{},"round_trip_ms":{},"made":{},"delivered":{},"in_order":{},"per_second":{:.1},"p50_ms":{:.3},"p99_ms":{:.3}}}"#,
                row.path.name(), row.rate, row.round_trip_ms, row.made, row.delivered, row.in_order,
                row.per_second, row.p50_over_ms, row.p99_over_ms,
            )
        })
        .collect();
    let slow: Vec<String> = slow
        .iter()
        .map(|slow| {
            format!(
                r#"{{"path":"{}","lag_ms":{:.1},"clicks_made":{},"clicks_seen":{}}}"#,
                slow.path, slow.lag_ms, slow.made, slow.seen
            )
        })
        .collect();
    let bars: Vec<String> = bars
        .iter()
        .map(|bar| {
            format!(
                r#"{{"bar":"{}","holds":{},"figure":"{}"}}"#,
                bar.what, bar.holds, bar.figure
            )
        })
        .collect();
    println!(
        r#"{{"latency_is_minus_half_the_round_trip":true,"runs":[{}],"slow_consumer":[{}],"bars":[{}]}}"#,
        rows.join(","),
        slow.join(","),
        bars.join(",")
    );
}
