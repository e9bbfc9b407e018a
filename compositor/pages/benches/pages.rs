//! How long a page takes at 1920 x 1080 (100 % and 200 %) and 1280 x 800: run and painted whole, and run because the pointer moved over
//! it. A page that is painted whole takes less than a frame of a screen of 60 Hz; the benchmark fails where one does not.
//!
//! `cargo bench -p trusted-pages`

#[path = "../tests/desk/mod.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod desk;

use std::time::{Duration, Instant};

use compositor::{Settings, Theme, WorkPage};
use desk::Desk;

const ROUNDS: usize = 60;
/// One frame at 60 Hz.
const FRAME: Duration = Duration::from_micros(16_600);
const SCREENS: [(u32, u32, f64); 3] = [(1280, 800, 1.0), (1920, 1080, 1.0), (1920, 1080, 2.0)];

fn best(mut act: impl FnMut(usize)) -> Duration {
    let times = (0..ROUNDS).map(|round| {
        let began = Instant::now();
        act(round);
        began.elapsed()
    });
    times.min().unwrap_or_default()
}

fn main() {
    println!("screen           page       whole ms   pointer moved ms   (best of {ROUNDS})");
    let names = ["Zones", "Policy", "Log", "USB", "Settings"];
    let pages = || WorkPage::ALL.into_iter().zip(names);
    for ((width, height, scale), (page, name)) in SCREENS
        .into_iter()
        .flat_map(|screen| pages().map(move |page| (screen, page)))
    {
        let mut desk = Desk::new(width, height, scale, Settings::default());
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
            "{width}x{height} x{scale} {name:10} {:8.2} {:18.2}",
            milliseconds(whole),
            milliseconds(moved)
        );
        assert!(whole < FRAME, "a whole page takes longer than a frame");
    }
}
