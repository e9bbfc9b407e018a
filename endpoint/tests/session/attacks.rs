//! Zones that attack (numbers as in the catalogue of attacks): killed and recorded, or clamped, or made to wait; and each time the
//! other zone goes on.

use compositor::{Owner, Point, Scale, Size};
use endpoint::audit::Event;

use crate::desk::{Desk, Setting};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("attacks::broken_framing_kills", broken_framing_kills),
    (
        "attacks::messages_out_of_order_kill",
        messages_out_of_order_kill,
    ),
    (
        "attacks::a_frame_sent_too_early_is_harmless",
        a_frame_sent_too_early_is_harmless,
    ),
    (
        "attacks::descriptors_kill_and_never_arrive",
        descriptors_kill_and_never_arrive,
    ),
    (
        "attacks::a_zone_cannot_inject_input",
        a_zone_cannot_inject_input,
    ),
    ("attacks::credit_lies_kill", credit_lies_kill),
    ("attacks::forged_log_lines_kill", forged_log_lines_kill),
    ("attacks::wild_damage_is_clipped", wild_damage_is_clipped),
    (
        "attacks::a_surface_cannot_be_shrunk",
        a_surface_cannot_be_shrunk,
    ),
    (
        "attacks::a_flood_waits_and_the_other_zone_does_not",
        a_flood_waits_and_the_other_zone_does_not,
    ),
    (
        "attacks::a_zone_that_never_reads_is_given_up",
        a_zone_that_never_reads_is_given_up,
    ),
    (
        "attacks::a_zone_that_hangs_up_is_not_left_running",
        a_zone_that_hangs_up_is_not_left_running,
    ),
    (
        "attacks::connections_to_the_host_are_denied_and_recorded",
        connections_to_the_host_are_denied_and_recorded,
    ),
    (
        "attacks::a_zone_cannot_fill_the_log",
        a_zone_cannot_fill_the_log,
    ),
    (
        "attacks::what_a_process_prints_is_bounded",
        what_a_process_prints_is_bounded,
    ),
    (
        "attacks::a_zone_that_takes_no_other_size_gets_one_offer",
        a_zone_that_takes_no_other_size_gets_one_offer,
    ),
    (
        "attacks::a_zone_that_never_draws_has_a_whole_frame",
        a_zone_that_never_draws_has_a_whole_frame,
    ),
    (
        "attacks::the_rhythm_of_typing_is_told_to_nobody_else",
        the_rhythm_of_typing_is_told_to_nobody_else,
    ),
    (
        "attacks::every_attack_of_the_table_has_its_tests",
        every_attack_of_the_table_has_its_tests,
    ),
];

/// Has `open` behave so, and expects it killed for it, recorded, dark, and `corp` well.
fn killed_for(behaviour: &str, reason: &str) {
    let mut desk = Desk::attacked("open", behaviour);
    desk.until_status("open", "killed");
    let recorded = desk
        .recorded_kill("open")
        .unwrap_or_else(|| panic!("{behaviour} was not recorded"));
    assert!(recorded.contains(reason), "{behaviour}: {recorded}");
    desk.until("its process to be collected", |session| {
        session.zone("open").unwrap().process_id().is_none()
    });
    assert_eq!(desk.status("open").word(), "killed", "{behaviour}");
    assert!(
        !desk.shows_its_colour("open"),
        "{behaviour}: it still shows"
    );
    desk.assert_goes_on("corp");
}

/// 1, 3, 4, 20.
fn broken_framing_kills() {
    for (behaviour, reason) in [
        ("other-version", "speaks protocol version 9, expected 1"),
        ("unknown-kind", "message kind 65535 does not exist"),
        ("one-byte", "shorter than a header"),
        ("short-body", "promises a body"),
        ("long-body", "promises a body"),
        ("length-of-4-gib", "promises a body of 4294967295 bytes"),
        ("too-long", "longer than"),
        ("million-rectangles", "rectangles of Frame is out of range"),
    ] {
        killed_for(behaviour, reason);
    }
}

/// 7.
fn messages_out_of_order_kill() {
    for (behaviour, reason) in [
        ("state-before-hello", "State came before Hello"),
        ("hello-twice", "Hello came a second time"),
        (
            "frame-of-nothing",
            "Frame came for a surface that was never sent",
        ),
        ("flaps", "State came after a state that it cannot follow"),
        ("speaks-after-its-end", "State came after the last state"),
    ] {
        killed_for(behaviour, reason);
    }
}

/// 7: whether it is early, only the zone can tell; by the time it is read the surface may have been sent. It changes nothing.
fn a_frame_sent_too_early_is_harmless() {
    let mut desk = Desk::attacked("open", "frame-before-start");
    desk.until("what comes of it", |session| {
        let zone = session.zone("open").unwrap();
        zone.is_ready() || zone.status().word() == "killed"
    });
    desk.assert_goes_on("corp");
}

/// 8.
fn descriptors_kill_and_never_arrive() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for behaviour in [
        "sends-a-device",
        "sends-its-surface",
        "sends-many-descriptors",
    ] {
        killed_for(behaviour, "more descriptors came than");
    }
    assert_eq!(open(), before, "a descriptor of a zone stayed open");
}

/// 37.
fn a_zone_cannot_inject_input() {
    killed_for("injects-input", "does not exist in this direction");
}

/// 60.
fn credit_lies_kill() {
    killed_for("grants-too-much", "port 0 went beyond its credit");
    // Whether it outruns the grants is a race between two processes; if it does not, it did nothing wrong.
    let mut desk = Desk::attacked("open", "beyond-its-credit");
    desk.until_ready("open");
    desk.assert_goes_on("corp");
}

/// 56.
fn forged_log_lines_kill() {
    killed_for("escapes-in-its-reason", "reason of State is out of range");
}

/// 20.
fn wild_damage_is_clipped() {
    let mut desk = Desk::attacked("open", "wild-damage");
    desk.until_console("open", "still here");
    desk.assert_goes_on("open");
    desk.assert_goes_on("corp");
}

/// 18.
fn a_surface_cannot_be_shrunk() {
    let mut desk = Desk::attacked("open", "shrinks-its-surface");
    desk.until_console("open", "shrunk false, punched true");
    desk.until_ready("open");
    desk.focus("open");
    // The hole reads as black; reading it is no fault.
    assert_eq!(desk.pixel("open", 2, 2), 0);
    desk.assert_goes_on("corp");
}

/// 9.
fn a_flood_waits_and_the_other_zone_does_not() {
    let setting = Setting {
        behaviours: &[("open", "floods")],
        zone_keys: "budget.messages = \"400/s\"",
        ..Setting::default()
    };
    let mut desk = Desk::with(&setting);
    desk.until_ready("open");
    let began = std::time::Instant::now();
    let before = desk.session.messages();
    for _ in 0..20 {
        desk.assert_goes_on("corp");
    }
    desk.until("a second", |_| began.elapsed().as_millis() >= 1000);
    let handled = desk.session.messages() - before;
    let seconds = began.elapsed().as_secs_f64();
    // Its rate and its burst, and a hundred for the other zone's keys.
    let most = 400.0 * seconds + 100.0 + 300.0;
    assert!((handled as f64) < most, "{handled} messages in {seconds} s");
    assert_eq!(
        desk.status("open").word(),
        "running",
        "a flood is no crime, it is slow"
    );
}

/// 45.
fn a_zone_that_never_reads_is_given_up() {
    let mut desk = Desk::attacked("open", "never-reads");
    desk.until_ready("open");
    desk.focus("open");
    let mut pressed = 0;
    while desk.status("open").word() == "running" {
        desk.keys(&[30]);
        pressed += 1;
        assert!(pressed < 20_000, "keys are kept without bound");
    }
    assert_eq!(
        desk.recorded_kill("open").unwrap(),
        "it does not read its link"
    );
    desk.assert_goes_on("corp");
}

fn a_zone_that_hangs_up_is_not_left_running() {
    let mut desk = Desk::attacked("open", "hangs-up");
    desk.until_status("open", "killed");
    assert_eq!(
        desk.recorded_kill("open").unwrap(),
        "it closed its link and went on running"
    );
    desk.assert_goes_on("corp");
}

fn connections_to_the_host_are_denied_and_recorded() {
    let mut desk = Desk::attacked("open", "connects");
    desk.until_console("open", "refused 7");
    let denied = |event: &Event| matches!(event, Event::Zone { act, detail, .. } if act == "refused" && detail.contains("443"));
    assert!(desk.records_of("open").iter().any(denied));
    desk.assert_goes_on("corp");
}

/// 57.
fn a_zone_cannot_fill_the_log() {
    let mut desk = Desk::attacked("open", "connects-often");
    desk.until_console("open", "refused 300");
    let refused = |event: &&Event| matches!(event, Event::Zone { act, .. } if act == "refused");
    assert_eq!(desk.records_of("open").iter().filter(refused).count(), 20);
    desk.assert_goes_on("corp");
}

/// 56.
fn what_a_process_prints_is_bounded() {
    let mut desk = Desk::attacked("open", "babbles");
    desk.until_console("open", "babbled");
    desk.assert_goes_on("corp");
}

/// 15, 21: sizes without end, to a zone that acknowledges none and goes on with the surface it has.
fn a_zone_that_takes_no_other_size_gets_one_offer() {
    let mut desk = Desk::attacked("open", "keeps-its-size");
    desk.until_ready("open");
    desk.focus("open");
    for number in 0..40 {
        let (width, height) = (900 + 5 * (number % 20), 600 + number);
        let now = std::time::Instant::now();
        desk.session
            .resize(Size::new(width, height), Scale::ONE, now);
        desk.run_for(std::time::Duration::from_millis(5));
    }
    desk.until_console("open", "no other size");
    desk.session
        .resize(Size::new(1280, 800), Scale::ONE, std::time::Instant::now());
    desk.run_for(std::time::Duration::from_millis(300));
    assert_eq!(
        desk.console("open").matches("no other size").count(),
        1,
        "a surface is offered when the last one was taken, and not before"
    );
    // What it has is shown as far as it goes, and its keys and pixels still work.
    desk.assert_goes_on("open");
    desk.assert_goes_on("corp");
}

/// 25.
fn a_zone_that_never_draws_has_a_whole_frame() {
    let ring = |behaviour: &str| {
        let mut desk = Desk::attacked("open", behaviour);
        desk.until_status("open", "running");
        desk.until_ready("corp");
        desk.focus("corp");
        desk.run_for(std::time::Duration::from_millis(100));
        desk.canvas
            .paint(&mut desk.session, false, std::time::Instant::now());
        let open = desk.session.zone("open").unwrap().id();
        let size = desk.session.size();
        let places = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
        let is_frame = |(x, y): (u32, u32)| {
            let at = Point::new(x.cast_signed(), y.cast_signed());
            desk.session.scene().owner_at(at) == Owner::Frame(open)
        };
        let frame: Vec<(usize, u32)> = places
            .zip(desk.canvas.pixels())
            .enumerate()
            .filter(|(_, (place, _))| is_frame(*place))
            .map(|(number, (_, pixel))| (number, pixel & 0x00ff_ffff))
            .collect();
        desk.assert_goes_on("corp");
        frame
    };
    let (honest, mute) = (ring(""), ring("never-draws"));
    assert!(honest.len() > 10_000);
    assert!(honest == mute, "the frame depends on what the zone draws");
}

/// 36: when keys are pressed is told to the zone that gets them. The other one is sent nothing at all meanwhile, not even leave to
/// go on talking, by whose coming it could tell the time.
fn the_rhythm_of_typing_is_told_to_nobody_else() {
    let mut desk = Desk::attacked("open", "listens");
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.focus("open");
    desk.until_console("open", "more");
    desk.run_for(std::time::Duration::from_millis(200));
    desk.focus("corp");
    let typed = "every key at its own time";
    for character in typed.chars() {
        desk.type_text(&character.to_string());
        desk.run_for(std::time::Duration::from_millis(3));
    }
    let all = |session: &endpoint::Session| {
        let console = session.zone("corp").unwrap().console().tail(200_000);
        console.matches(" up").count() == typed.len()
    };
    desk.until("corp to hear every key", all);
    desk.focus("open");
    desk.until("open's count", |session| {
        let console = session.zone("open").unwrap().console().tail(200_000);
        console.matches("more").count() == 2
    });
    assert!(
        desk.console("open").ends_with("heard 0 more\n"),
        "{}",
        desk.describe()
    );
}

/// Each attack of the table in `docs/attacks.md` is there once, and every test that it names exists.
fn every_attack_of_the_table_has_its_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap();
    let table = std::fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let number: usize = cells.next()?.parse().ok()?;
        Some((number, cells.nth(2)?))
    });
    let mut expected = 1;
    for (number, tests) in rows {
        assert_eq!(number, expected);
        expected += 1;
        // Every second piece is between backticks: a file, or a test in the file that was named last.
        let mut source = None;
        for name in tests.split('`').skip(1).step_by(2) {
            if name.contains('/') {
                let text = std::fs::read_to_string(root.join(name));
                source = Some(text.unwrap_or_else(|error| panic!("{number}: {name}: {error}")));
            } else {
                let source = source.as_ref().unwrap();
                assert!(source.contains(&format!("fn {name}(")), "{number}: {name}");
            }
        }
        let excused = tests.starts_with("none: ") || tests.starts_with("pending: ");
        assert!(source.is_some() || excused, "{number} has no test");
    }
    assert_eq!(expected, 64);
}
