//! `cargo xtask bench zones`: the product's own figures, of two stock desktops at once, as SPECIFICATION.md lists them.
//!
//! The machine should have nothing else to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use bench_table::{Bar, Row, Table};
use e2e::Desktop;

const MIB: u64 = 1 << 20;
/// How long the idle desktop is watched.
const WATCH: Duration = Duration::from_secs(10);
/// The script: both zones ready, still, a pause in which nothing happens, then keys.
const SCRIPT: &str = "wait-ready open\nwait-ready corp\nscreenshot ready.png\nwait-still open 5\nwait-still corp 5\nscreenshot idle.png\nsleep 15\n\
                      focus corp\nwait-still corp 2\nlatency corp 100\nquit\n";

fn main() -> ExitCode {
    let mut table = Table::new("-");
    match measure(&mut table) {
        Ok(()) => table.finish(),
        Err(problem) => bench_table::failed(&problem),
    }
}

fn measure(table: &mut Table) -> Result<(), String> {
    let desktop = Desktop::new((1600, 900), &["open", "corp"]);
    let began = Instant::now();
    let mut endpoint = desktop.start(SCRIPT);
    let ready = appearance(&desktop.file("ready.png"), &mut endpoint)?.duration_since(began);
    appearance(&desktop.file("idle.png"), &mut endpoint)?;
    // The picture itself is work; let it pass.
    std::thread::sleep(Duration::from_secs(1));
    let before = wake_ups(endpoint.id())?;
    std::thread::sleep(WATCH);
    let woken = wake_ups(endpoint.id())? - before;
    let own = resident(endpoint.id(), 0)?;
    let mut beyond = 0;
    for zone in descendants(endpoint.id()) {
        beyond = beyond.max(resident(zone, 512 * MIB)?);
    }
    let output = endpoint
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let [median, worst] = latencies(&said).ok_or_else(|| {
        format!(
            "the script gave no latency: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let mebibytes = |bytes: u64| bytes as f64 / MIB as f64;
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let per_second = woken as f64 / WATCH.as_secs_f64();
    let rows = [
        (
            "two zones at once, process start to ready terminals",
            ready.as_secs_f64(),
            "s",
            Bar::AtMost(180.0),
        ),
        (
            "memory of a zone process beyond guest RAM",
            mebibytes(beyond),
            "MiB",
            Bar::AtMost(96.0),
        ),
        ("memory of the endpoint", mebibytes(own), "MiB", Bar::Free),
        (
            "wake-ups of the endpoint when nothing changes, per second",
            per_second,
            "",
            Bar::AtMost(1.0),
        ),
        (
            "key event to changed pixels, median",
            median,
            "ms",
            Bar::Free,
        ),
        (
            "key event to changed pixels, 99 %",
            worst,
            "ms",
            Bar::AtMost(100.0),
        ),
    ];
    for (work, ours, unit, bar) in rows {
        table.add(Row {
            work: work.into(),
            unit,
            ours,
            peer: None,
            bar,
        });
    }
    busy(table)
}

/// Keys while the terminals of both zones scroll and the pointer moves 60 times a second.
fn busy(table: &mut Table) -> Result<(), String> {
    let output =
        Desktop::new((1600, 900), &["open", "corp"]).latency("corp", &["--busy", "--keys", "200"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let figures: serde_json::Value = serde_json::from_str(said.trim()).map_err(|error| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("the busy desktop gave no latency: {error}: {said}{errors}")
    })?;
    let mut add = |work: String, value: &serde_json::Value, bar| {
        let ours = value.as_f64().ok_or_else(|| format!("{work}: {value}"))?;
        table.add(Row {
            work,
            unit: "ms",
            ours,
            peer: None,
            bar,
        });
        Ok::<(), String>(())
    };
    let work = "key event to changed pixels, busy desktops";
    add(format!("{work}, median"), &figures["p50_ms"], Bar::Free)?;
    add(
        format!("{work}, 99 %"),
        &figures["p99_ms"],
        Bar::AtMost(100.0),
    )?;
    for stage in figures["stages"].as_array().into_iter().flatten() {
        let name = stage["stage"].as_str().unwrap_or_default();
        add(format!("of it: {name}, 99 %"), &stage["p99_ms"], Bar::Free)?;
    }
    Ok(())
}

/// Waits until a file is there; the time at which it was.
fn appearance(path: &Path, endpoint: &mut Child) -> Result<Instant, String> {
    let end = Instant::now() + Duration::from_secs(600);
    while Instant::now() < end {
        if path.exists() {
            return Ok(Instant::now());
        }
        if let Ok(Some(status)) = endpoint.try_wait() {
            return Err(format!(
                "bulkhead ended with {status} before {}",
                path.display()
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("there is no {} after ten minutes", path.display()))
}

fn read(path: impl AsRef<Path>) -> Result<String, String> {
    fs::read_to_string(path.as_ref())
        .map_err(|error| format!("{}: {error}", path.as_ref().display()))
}

/// How often any thread of a process went to sleep and was woken.
fn wake_ups(process: u32) -> Result<u64, String> {
    let threads =
        fs::read_dir(format!("/proc/{process}/task")).map_err(|error| error.to_string())?;
    let mut sum = 0;
    for thread in threads.flatten() {
        let status = read(thread.path().join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line
            .and_then(|count| count.trim().parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(sum)
}

/// Resident memory of a process, without mappings of at least `but` bytes (guest RAM) unless that is 0.
fn resident(process: u32, but: u64) -> Result<u64, String> {
    let maps = read(format!("/proc/{process}/smaps"))?;
    let kib = |line: &str, name: &str| {
        line.strip_prefix(name)?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let (mut sum, mut size) = (0, 0);
    for line in maps.lines() {
        if let Some(value) = kib(line, "Size:") {
            size = value * 1024;
        } else if let Some(value) = kib(line, "Rss:")
            && (but == 0 || size < but)
        {
            sum += value * 1024;
        }
    }
    Ok(sum)
}

/// All processes below one.
fn descendants(process: u32) -> Vec<u32> {
    let children = read(PathBuf::from(format!(
        "/proc/{process}/task/{process}/children"
    )))
    .unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok());
    children
        .flat_map(|child| std::iter::once(child).chain(descendants(child)))
        .collect()
}

/// The median and the 99 % figure of the script's `latency` line, in milliseconds.
fn latencies(said: &str) -> Option<[f64; 2]> {
    let line = said.lines().find(|line| line.starts_with("latency "))?;
    let mut numbers = line
        .split_whitespace()
        .filter_map(|word| word.parse::<f64>().ok().filter(|_| word.contains('.')));
    Some([numbers.next()?, numbers.next()?])
}
