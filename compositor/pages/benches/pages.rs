//! How long a page takes at 1280 x 800: run and painted whole, and run because the pointer moved over it.
//!
//! `cargo bench -p trusted-pages`

#[path = "../tests/desk/mod.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod desk;

use std::time::{Duration, Instant};

use compositor::{Settings, Theme, WorkPage};
use desk::Desk;

const ROUNDS: usize = 60;

fn best(mut act: impl FnMut(usize)) -> Duration {
    let times = (0..ROUNDS).map(|round| {
        let began = Instant::now();
        act(round);
        began.elapsed()
    });
    times.min().unwrap_or_default()
}

fn main() {
    println!("page       whole ms   pointer moved ms   (best of {ROUNDS})");
    for (page, name) in WorkPage::ALL
        .into_iter()
        .zip(["Zones", "Policy", "Log", "USB", "Settings"])
    {
        let mut desk = Desk::new(1280, 800, 1.0, Settings::default());
        desk.open(name);
        // Another look makes all of it be painted.
        let whole = best(|round| {
            let theme = [Theme::Light, Theme::Dark][round % 2];
            let settings = Settings {
                theme,
                ..Settings::default()
            };
            desk.scene.set_settings(settings);
            desk.settle();
        });
        assert_eq!(desk.scene.work_space().map(|space| space.page), Some(page));
        let moved = best(|round| {
            let down = i32::try_from(round * 10).unwrap_or(0);
            desk.point(700, 150 + down);
        });
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{name:10} {:8.2} {:18.2}",
            milliseconds(whole),
            milliseconds(moved)
        );
    }
}
