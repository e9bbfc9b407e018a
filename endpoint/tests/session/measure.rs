//! Figures of the endpoint itself, with zones that do nothing but paint: `cargo test -p bulkhead --release --test session -- --bench`.

use std::time::{Duration, Instant};

use crate::desk::{Desk, Setting};

const ROUNDS: usize = 1000;

pub(crate) fn main() {
    let mut desk = Desk::with(&Setting::default());
    for zone in ["open", "corp"] {
        desk.until_ready(zone);
    }
    key_to_pixel(&mut desk);
    starts();
    println!(
        "resident memory of this process (endpoint and test): {} KiB",
        resident()
    );
}

/// From the key event to the frame in memory that shows its effect, through the link and back.
fn key_to_pixel(desk: &mut Desk) {
    desk.focus("corp");
    desk.until_console("corp", "focus true");
    let mut times: Vec<Duration> = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let copied = desk.session.scene().statistics().copied;
        let began = Instant::now();
        desk.keys(&[30]);
        desk.until("the pixels of a key", |session| {
            session.scene().statistics().copied > copied
        });
        times.push(began.elapsed());
        // Past the shortest time between two frames, so that what is measured is not the pacing.
        std::thread::sleep(Duration::from_millis(17));
    }
    times.sort();
    let at = |share: usize| times[ROUNDS * share / 100].as_micros();
    println!(
        "key event to changed pixel, without a guest: median {} us, 99 % under {} us",
        at(50),
        at(99)
    );
}

/// From the start of a zone to its first frame.
fn starts() {
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let mut desk = Desk::new();
        desk.until_ready("open");
        desk.until_ready("corp");
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "two zone processes from start to first frame, without guests: median {} ms",
        times[10].as_millis()
    );
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
