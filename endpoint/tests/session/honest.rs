//! Zones that do as they should: they start, show, hear, stop, restart.

use std::time::{Duration, Instant};

use compositor::{InputEvent, Point, Scale, Size};
use endpoint::Status;
use endpoint::audit::Event;
use endpoint::words::Remark;

use crate::desk::{Desk, Setting};
use crate::zone::{INK, colour_of};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("honest::two_zones_start_and_show", two_zones_start_and_show),
    (
        "honest::only_the_focused_zone_hears_keys",
        only_the_focused_zone_hears_keys,
    ),
    (
        "honest::the_pointer_goes_to_the_window_under_it",
        the_pointer_goes_to_the_window_under_it,
    ),
    (
        "honest::a_changed_pixel_is_painted_and_no_other_zone_is",
        a_changed_pixel_is_painted_and_no_other_zone_is,
    ),
    (
        "honest::nothing_wakes_an_idle_session",
        nothing_wakes_an_idle_session,
    ),
    (
        "honest::a_resized_desktop_gives_zones_new_surfaces",
        a_resized_desktop_gives_zones_new_surfaces,
    ),
    (
        "honest::power_shuts_down_and_start_starts_again",
        power_shuts_down_and_start_starts_again,
    ),
    (
        "honest::a_zone_that_ignores_the_power_button_is_killed",
        a_zone_that_ignores_the_power_button_is_killed,
    ),
    (
        "honest::a_guest_may_restart_but_not_for_ever",
        a_guest_may_restart_but_not_for_ever,
    ),
    (
        "honest::panics_and_failures_are_states",
        panics_and_failures_are_states,
    ),
    (
        "honest::a_killed_zone_is_dark_and_the_other_goes_on",
        a_killed_zone_is_dark_and_the_other_goes_on,
    ),
    (
        "honest::a_weak_jail_is_shown_or_refused",
        a_weak_jail_is_shown_or_refused,
    ),
    (
        "honest::a_persistent_zone_gets_its_home",
        a_persistent_zone_gets_its_home,
    ),
    (
        "honest::a_bad_image_fails_its_zone_alone",
        a_bad_image_fails_its_zone_alone,
    ),
    (
        "honest::shutting_down_ends_every_process",
        shutting_down_ends_every_process,
    ),
    (
        "honest::dropping_a_session_leaves_no_process",
        dropping_a_session_leaves_no_process,
    ),
];

fn is_act(event: &Event, word: &str) -> bool {
    matches!(event, Event::Zone { act, .. } if act == word)
}

fn two_zones_start_and_show() {
    let mut desk = Desk::new();
    for zone in ["open", "corp"] {
        desk.until_ready(zone);
        assert_eq!(desk.status(zone), Status::Running);
        assert!(
            desk.console(zone)
                .contains(&format!("start {zone} 256 MiB 2 harts 1 volumes"))
        );
        assert!(desk.console(zone).contains(&format!(
            "command line: console=hvc0 image.argument=1 bulkhead.zone={zone} bulkhead.layout=us\n"
        )));
    }
    desk.focus("open");
    assert!(desk.shows_its_colour("open"));
    desk.focus("corp");
    assert!(desk.shows_its_colour("corp"));
    let started = |zone: &str| {
        desk.records_of(zone)
            .iter()
            .any(|event| is_act(event, "started"))
    };
    assert!(started("open") && started("corp"));
}

fn only_the_focused_zone_hears_keys() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.focus("corp");
    desk.keys(&[29, 46]);
    desk.until_console("corp", "key 29 up");
    let corp = desk.console("corp");
    let heard: Vec<&str> = corp
        .lines()
        .filter(|line| line.starts_with("key "))
        .collect();
    assert_eq!(
        heard,
        ["key 29 down", "key 46 down", "key 46 up", "key 29 up"],
        "and nothing of the chord"
    );
    desk.focus("open");
    desk.until_console("open", "focus true");
    desk.until_console("corp", "focus false");
    assert!(
        !desk.console("open").contains("key "),
        "{}",
        desk.describe()
    );
}

fn the_pointer_goes_to_the_window_under_it() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.focus("corp");
    let id = desk.session.zone("corp").unwrap().id();
    let client = desk.session.scene().client_rect(id).unwrap();
    let now = Instant::now();
    desk.session.input(
        InputEvent::PointerMoved(Point::new(client.left() + 12, client.top() + 34)),
        now,
    );
    desk.session.input(
        InputEvent::Button {
            button: 0x110,
            pressed: true,
        },
        now,
    );
    desk.session.input(
        InputEvent::Button {
            button: 0x110,
            pressed: false,
        },
        now,
    );
    desk.session.input(
        InputEvent::Wheel {
            vertical: -240,
            horizontal: 0,
        },
        now,
    );
    for line in [
        "pointer 12 34",
        "button 0x110 true",
        "button 0x110 false",
        "wheel -240 0",
    ] {
        desk.until_console("corp", line);
    }
    assert!(!desk.console("open").contains("pointer"));
}

fn a_changed_pixel_is_painted_and_no_other_zone_is() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.focus("corp");
    desk.until_console("corp", "focus true");
    assert_eq!(desk.pixel("corp", 2, 2), colour_of("corp"));
    let before = desk.session.scene().statistics();
    let messages = desk.session.messages();
    desk.keys(&[30]);
    desk.until("the square", |session| session.messages() >= messages + 3);
    assert_eq!(desk.pixel("corp", 2, 2), INK);
    assert_eq!(desk.pixel("corp", 12, 2), colour_of("corp"));
    let after = desk.session.scene().statistics();
    assert_eq!(
        after.copied - before.copied,
        64,
        "each changed pixel is copied once, and no other"
    );
}

fn nothing_wakes_an_idle_session() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.until_console("open", "surface");
    desk.until_console("corp", "surface");
    // Everything that is on its way arrives, then there is nothing to wait for.
    desk.until("silence", |session| {
        let mut watched = [rustix::event::PollFd::new(
            session,
            rustix::event::PollFlags::IN,
        )];
        let pause = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 200_000_000,
        };
        session.next_deadline().is_none()
            && rustix::event::poll(&mut watched, Some(&pause)) == Ok(0)
    });
    assert_eq!(desk.session.next_deadline(), None);
}

fn a_resized_desktop_gives_zones_new_surfaces() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.focus("open");
    let surfaces = |desk: &Desk| desk.console("open").matches("surface ").count();
    let before = surfaces(&desk);
    // Maximised, so that the window follows the desktop.
    desk.keys(&[crate::desk::LEFT_SUPER, 33]);
    desk.session
        .resize(Size::new(1000, 700), Scale::ONE, Instant::now());
    desk.until("a new surface", |session| {
        session
            .zone("open")
            .unwrap()
            .console()
            .tail(200_000)
            .matches("surface ")
            .count()
            > before
    });
    let id = desk.session.zone("open").unwrap().id();
    let size = desk.session.scene().client_size(id).unwrap();
    desk.until_console("open", &format!("surface {} x {}", size.width, size.height));
    assert!(desk.shows_its_colour("open"));
}

fn power_shuts_down_and_start_starts_again() {
    let mut desk = Desk::new();
    desk.until_ready("corp");
    desk.session.power("corp", Instant::now()).unwrap();
    assert_eq!(desk.status("corp"), Status::Stopping);
    desk.until_status("corp", "off");
    assert!(
        !desk.shows_its_colour("corp"),
        "a zone that is off shows nothing"
    );
    assert!(desk.recorded_kill("corp").is_none());
    desk.session.start("corp").unwrap();
    desk.until_ready("corp");
    desk.focus("corp");
    assert!(desk.shows_its_colour("corp"));
    assert!(desk.session.power("nobody", Instant::now()).is_err());
}

fn a_zone_that_ignores_the_power_button_is_killed() {
    let setting = Setting {
        behaviours: &[("open", "ignores-power")],
        shutdown_after: Duration::from_millis(300),
        ..Setting::default()
    };
    let mut desk = Desk::with(&setting);
    desk.until_ready("open");
    desk.session.power("open", Instant::now()).unwrap();
    desk.until_console("open", "power, no thanks");
    desk.until_status("open", "killed");
    assert_eq!(
        desk.recorded_kill("open").unwrap(),
        "it did not shut down in time"
    );
    desk.assert_goes_on("corp");
}

fn a_guest_may_restart_but_not_for_ever() {
    let mut desk = Desk::attacked("open", "restarts");
    desk.until_status("open", "failed");
    assert_eq!(
        desk.status("open").reason(),
        Some(&Remark::RestartsTooOften)
    );
    let starts = desk
        .records_of("open")
        .iter()
        .filter(|event| is_act(event, "started"))
        .count();
    assert_eq!(starts, 4);
    desk.assert_goes_on("corp");
}

fn panics_and_failures_are_states() {
    let mut desk = Desk::with(&Setting {
        behaviours: &[("open", "panics"), ("corp", "fails")],
        ..Setting::default()
    });
    desk.until_status("open", "panicked");
    desk.until_status("corp", "failed");
    let fire = Remark::Reported("the disk is on fire".to_owned());
    assert_eq!(desk.status("corp").reason(), Some(&fire));
    assert!(
        !desk.shows_its_colour("open") && !desk.shows_its_colour("corp"),
        "both are dark"
    );
    for (behaviour, reason) in [
        (
            "no-jail",
            "its jail could not be closed: bulkhead-zone: the jail door is stuck",
        ),
        ("crashes", "panicked: ?[31mred?[0m"),
        (
            "dies-at-once",
            "the zone process ended (signal: 6 (SIGABRT)",
        ),
    ] {
        let mut desk = Desk::attacked("open", behaviour);
        desk.until_status("open", "failed");
        let told = desk.status("open");
        assert!(
            told.reason().unwrap().to_string().contains(reason),
            "{behaviour}: {told:?}"
        );
        desk.assert_goes_on("corp");
    }
}

fn a_killed_zone_is_dark_and_the_other_goes_on() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.focus("corp");
    assert!(desk.shows_its_colour("corp"));
    // Not by the session: as if the kernel had killed it for want of memory.
    let process = desk.session.zone("corp").unwrap().process_id().unwrap();
    let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    desk.until_status("corp", "failed");
    let reason = desk.status("corp").reason().unwrap().to_string();
    assert!(reason.contains("SIGKILL"));
    assert!(!desk.shows_its_colour("corp"));
    desk.assert_goes_on("open");
    desk.session.kill("open").unwrap();
    assert_eq!(desk.status("open").word(), "killed");
}

fn a_weak_jail_is_shown_or_refused() {
    let mut desk = Desk::attacked("open", "weak-jail");
    desk.until_ready("open");
    let weakened = desk
        .records_of("open")
        .into_iter()
        .find_map(|event| match event {
            Event::Zone { act, detail, .. } if act == "jail-weakened" => Some(detail),
            _ => None,
        });
    assert_eq!(weakened.unwrap(), "empty-root (not here)");
    let identity = desk
        .session
        .scene()
        .zones()
        .find(|zone| zone.name.as_str() == "open")
        .unwrap();
    assert!(
        identity
            .weakened
            .as_ref()
            .unwrap()
            .as_str()
            .contains("empty-root")
    );
    let honest = desk
        .session
        .scene()
        .zones()
        .find(|zone| zone.name.as_str() == "corp")
        .unwrap();
    assert_eq!(honest.weakened, None);

    let mut desk = Desk::attacked("open", "no-seccomp");
    desk.until_status("open", "killed");
    assert_eq!(
        desk.recorded_kill("open").unwrap(),
        "its jail lacks what the policy requires: seccomp (not here)"
    );
    assert!(
        !desk.console("open").contains("start"),
        "its machine was never described to it"
    );
    desk.assert_goes_on("corp");
}

fn a_persistent_zone_gets_its_home() {
    let setting = Setting {
        zone_keys: "persistence = \"persistent\"",
        ..Setting::default()
    };
    let mut desk = Desk::with(&setting);
    desk.until_console("open", "2 volumes");
    desk.until_console("corp", "2 volumes");
}

fn a_bad_image_fails_its_zone_alone() {
    let text = crate::desk::policy_text("", "").replacen("\"desk\"", "\"damaged\"", 1);
    assert!(text.contains("damaged"));
    let mut desk = Desk::with_policy(&text, &Setting::default());
    desk.until_status("open", "failed");
    let reason = desk.status("open").reason().map(Remark::to_string);
    assert!(
        reason
            .unwrap()
            .starts_with("its kernel is not what it was; add it")
    );
    desk.assert_goes_on("corp");
}

fn shutting_down_ends_every_process() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.session.shut_down(Instant::now());
    desk.until("the end", endpoint::Session::has_ended);
    assert!(
        desk.session
            .zones()
            .all(|zone| zone.process_id().is_none() && *zone.status() == Status::Off)
    );
    // Nothing starts any more.
    desk.session.start("open").unwrap();
    assert_eq!(desk.status("open"), Status::Off);

    // While images are still being opened.
    let mut desk = Desk::new();
    desk.session.shut_down(Instant::now());
    desk.until("the end", endpoint::Session::has_ended);

    // In a hurry.
    let mut desk = Desk::attacked("open", "ignores-power");
    desk.until_ready("open");
    desk.session.shut_down(Instant::now());
    desk.session.shut_down(Instant::now());
    desk.until("the end", endpoint::Session::has_ended);
}

fn dropping_a_session_leaves_no_process() {
    let mut desk = Desk::attacked("open", "ignores-power");
    desk.until_ready("open");
    let process = desk.session.zone("open").unwrap().process_id().unwrap();
    let records = std::sync::Arc::clone(&desk.records);
    drop(desk);
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
    let records = records.lock().unwrap();
    assert!(matches!(records.last(), Some(Event::Session { act, .. }) if act == "ended"));
}
