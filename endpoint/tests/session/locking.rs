//! Lock and passphrase: what is in doubt stays locked.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use compositor::keys::ENTER;
use endpoint::state_directory::StateDirectory;
use endpoint::{ZoneLine, ZoneOrder, door};

use crate::clips;
use crate::command_line::Installed;
use crate::desk::{Desk, LEFT_SUPER, Setting, policy_text};
use crate::pages::said;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "locking::a_desktop_with_a_passphrase_starts_locked",
        a_desktop_with_a_passphrase_starts_locked,
    ),
    (
        "locking::a_locked_desktop_shows_and_tells_zones_nothing",
        a_locked_desktop_shows_and_tells_zones_nothing,
    ),
    (
        "locking::wrong_passphrases_are_counted_and_cost_time",
        wrong_passphrases_are_counted_and_cost_time,
    ),
    (
        "locking::starting_anew_wins_no_attempts",
        starting_anew_wins_no_attempts,
    ),
    (
        "locking::a_damaged_passphrase_file_unlocks_nothing",
        a_damaged_passphrase_file_unlocks_nothing,
    ),
    (
        "locking::the_lock_screen_says_why_and_nothing_of_zones",
        the_lock_screen_says_why_and_nothing_of_zones,
    ),
    (
        "locking::after_a_crash_the_desktop_is_locked_and_says_so",
        after_a_crash_the_desktop_is_locked_and_says_so,
    ),
    (
        "locking::an_idle_desktop_locks_itself",
        an_idle_desktop_locks_itself,
    ),
    (
        "locking::without_a_passphrase_there_is_no_false_lock",
        without_a_passphrase_there_is_no_false_lock,
    ),
    (
        "locking::what_was_granted_ends_with_the_lock",
        what_was_granted_ends_with_the_lock,
    ),
    (
        "locking::a_locked_desktop_starts_and_stops_nothing",
        a_locked_desktop_starts_and_stops_nothing,
    ),
    (
        "locking::a_full_log_locks_where_the_policy_says_so",
        a_full_log_locks_where_the_policy_says_so,
    ),
];

const LOCK: [u16; 2] = [LEFT_SUPER, 38];

fn locked(policy: &str) -> Desk {
    let setting = Setting {
        passphrase: Some("right one"),
        ..Setting::default()
    };
    Desk::with_policy(policy, &setting)
}

fn plain() -> String {
    policy_text("\"seccomp\", \"user\"", "")
}

fn try_passphrase(desk: &mut Desk, passphrase: &str) {
    desk.type_text(passphrase);
    desk.keys(&[ENTER]);
}

fn unlock(desk: &mut Desk) {
    try_passphrase(desk, "right one");
    desk.until("the desktop to unlock", |session| !session.is_locked());
}

fn until_refused(desk: &mut Desk, detail: &str) {
    let records = std::sync::Arc::clone(&desk.records);
    desk.until(detail, |_| {
        let records = records.lock().unwrap();
        records
            .iter()
            .map(|event| format!("{event:?}"))
            .any(|event| event.contains("unlock-refused") && event.contains(detail))
    });
}

fn a_desktop_with_a_passphrase_starts_locked() {
    let mut desk = locked(&plain());
    assert!(desk.session.is_locked());
    desk.until_ready("open");
    assert!(desk.session.is_locked());
    unlock(&mut desk);
    desk.assert_goes_on("open");
}

fn a_locked_desktop_starts_and_stops_nothing() {
    let mut desk = locked(&plain());
    desk.until_ready("open");
    let place = StateDirectory::zones_door_in(desk.state.path());
    desk.session.open_door(&place).unwrap();
    let mut ordered = |order: ZoneOrder| {
        let place = place.clone();
        let asked = std::thread::spawn(move || door::ask::<Vec<ZoneLine>>(&place, &order));
        desk.until("an answer", |_| asked.is_finished());
        asked.join().unwrap()
    };
    let refused = ordered(ZoneOrder::Kill("open".to_owned())).unwrap_err();
    assert!(refused.contains("unlock it first"), "{refused}");
    let zones = ordered(ZoneOrder::List).unwrap();
    assert!(zones.iter().any(|zone| zone.name == "open" && zone.ready));
}

fn a_locked_desktop_shows_and_tells_zones_nothing() {
    let mut desk = locked(&plain());
    desk.until_ready("open");
    unlock(&mut desk);
    desk.focus("open");
    desk.until_console("open", "focus true");
    assert!(desk.shows_its_colour("open"));
    desk.keys(&LOCK);
    assert!(desk.session.is_locked());
    assert!(!desk.shows_its_colour("open"));
    desk.focus("open");
    desk.type_text("asdf");
    desk.run_for(Duration::from_millis(100));
    assert!(!desk.console("open").contains("key "));
    unlock_after_typing(&mut desk);
    assert!(desk.shows_its_colour("open"));
}

/// What was typed so far is thrown away first.
fn unlock_after_typing(desk: &mut Desk) {
    desk.keys(&[compositor::keys::ESCAPE]);
    unlock(desk);
}

fn wrong_passphrases_are_counted_and_cost_time() {
    let mut desk = locked(&plain());
    for (attempt, count) in [("wrong", 1), ("right on", 2), ("right one ", 3)] {
        try_passphrase(&mut desk, attempt);
        until_refused(&mut desk, &format!("{count} in a row"));
        assert!(desk.session.is_locked());
    }
    // After the third it takes nothing for two seconds, not even the right one.
    try_passphrase(&mut desk, "right one");
    desk.run_for(Duration::from_millis(500));
    assert!(desk.session.is_locked());
    desk.run_for(Duration::from_secs(2));
    unlock_after_typing(&mut desk);
}

fn starting_anew_wins_no_attempts() {
    let mut desk = locked(&plain());
    try_passphrase(&mut desk, "wrong one");
    until_refused(&mut desk, "1 in a row");
    let count = desk.state.path().join("passphrase.wrong");
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "1\n");
    // So many that the wait is sure to outlast this test.
    std::fs::write(&count, "20").unwrap();
    let mut desk = desk.started_anew();
    try_passphrase(&mut desk, "right one");
    desk.run_for(Duration::from_secs(1));
    assert!(desk.session.is_locked(), "no attempt is taken yet");
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "20");
    std::fs::remove_file(&count).unwrap();
    let mut desk = desk.started_anew();
    unlock(&mut desk);
}

fn a_damaged_passphrase_file_unlocks_nothing() {
    let mut desk = locked(&plain());
    std::fs::write(desk.state.path().join("passphrase"), "right one\n").unwrap();
    try_passphrase(&mut desk, "right one");
    until_refused(&mut desk, "is damaged");
    assert!(desk.session.is_locked());
}

fn the_lock_screen_says_why_and_nothing_of_zones() {
    let mut desk = locked(&plain());
    let expect = |desk: &mut Desk, reason: &str| {
        assert!(desk.session.is_locked());
        let said = said(&desk.session);
        assert!(said.contains(reason), "{said}");
        assert!(!said.contains("open") && !said.contains("corp"), "{said}");
    };
    desk.until_ready("open");
    expect(&mut desk, "Bulkhead has just been started.");
    unlock(&mut desk);
    desk.keys(&LOCK);
    expect(&mut desk, "You locked the desktop.");
    unlock(&mut desk);
    let screen = (desk.session.size(), compositor::Scale::ONE);
    desk.session.set_screens(&[screen, screen], Instant::now());
    expect(&mut desk, "A screen was connected or disconnected.");
    for count in 1..=3 {
        try_passphrase(&mut desk, "wrong");
        until_refused(&mut desk, &format!("{count} in a row"));
    }
    expect(
        &mut desk,
        "The passphrase was wrong.\nNext attempt in 2 s\n",
    );
    // It counts down by itself, then takes an attempt again.
    desk.until("the wait to pass", |session| {
        !said(session).contains("Next attempt")
    });
    unlock_after_typing(&mut desk);
    std::fs::write(desk.state.path().join("passphrase"), "damaged\n").unwrap();
    desk.keys(&LOCK);
    try_passphrase(&mut desk, "right one");
    until_refused(&mut desk, "is damaged");
    expect(&mut desk, "set it anew with `bulkhead passphrase set`");
}

fn after_a_crash_the_desktop_is_locked_and_says_so() {
    let installed = Installed::new();
    let state = StateDirectory::open(installed.path("locked")).unwrap();
    state.passphrase().set("right one").unwrap();
    let begin = |expected: &str| {
        let script = format!("wait-shown {expected} timeout 25\nunlock right one\nwait-unlocked\n");
        std::fs::write(installed.path("lock.script"), script).unwrap();
        let arguments = ["run", "--policy", "policy.toml", "--headless"];
        let mut command = installed.command(&arguments);
        command.args(["--state-dir", "locked", "--script", "lock.script"]);
        command.stderr(std::process::Stdio::null());
        command
    };
    // It runs on after its script, until it is killed.
    let mut first = begin("Bulkhead has just been started.");
    let mut running = first.args(["--for", "300"]).spawn().unwrap();
    let log = installed.path("locked").join("audit/audit-00000001.log");
    let give_up = Instant::now() + Duration::from_secs(30);
    let is_unlocked = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("unlocked"));
    while !is_unlocked() {
        assert!(Instant::now() < give_up, "it is not unlocked");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let crashed = "Bulkhead was started again: last time it did not end in good order.";
    assert!(begin(crashed).status().unwrap().success());
    assert!(
        begin("Bulkhead has just been started.")
            .status()
            .unwrap()
            .success()
    );
}

fn an_idle_desktop_locks_itself() {
    let mut desk = locked(&policy_text("\"seccomp\", \"user\"", "idle-lock = \"2 s\""));
    desk.until_ready("open");
    unlock(&mut desk);
    desk.keys(&[30]);
    assert!(!desk.session.is_locked());
    desk.until("the idle desktop to lock", |session| session.is_locked());
    assert!(
        desk.recorded()
            .iter()
            .any(|event| event.contains("nobody was there"))
    );
    assert!(said(&desk.session).contains("There was no input for a while."));
}

fn without_a_passphrase_there_is_no_false_lock() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.keys(&LOCK);
    assert!(!desk.session.is_locked());
    desk.assert_goes_on("open");
}

fn what_was_granted_ends_with_the_lock() {
    let grants = "then = { grants = [\"session\"] }";
    let mut desk = clips::copied(&clips::policy("ask", grants), "");
    // Set while it runs: it counts at once.
    let state = StateDirectory::open(desk.state.path()).unwrap();
    state.passphrase().set("right one").unwrap();
    let answer = |desk: &mut Desk| {
        desk.until("a question", |session| {
            session.scene().answerable().is_some()
        });
        desk.keys(&[compositor::keys::TAB]);
        desk.keys(&[ENTER]);
    };
    desk.keys(&clips::CHORD);
    answer(&mut desk);
    desk.until_console("corp", "clipboard offered");
    desk.keys(&LOCK);
    desk.until_console("corp", "clipboard taken back");
    unlock(&mut desk);
    desk.focus("corp");
    desk.keys(&clips::CHORD);
    answer(&mut desk);
}

fn a_full_log_locks_where_the_policy_says_so() {
    let mut desk = Desk::with_policy(
        &format!("[audit]\nwhen-full = \"lock-zones\"\n{}", plain()),
        &Setting::default(),
    );
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.disk_is_full.store(true, Ordering::Relaxed);
    desk.session.kill("corp").unwrap();
    assert!(desk.session.is_locked(), "its record could not be written");
    assert!(said(&desk.session).contains("The log cannot be written."));
    desk.disk_is_full.store(false, Ordering::Relaxed);
    desk.until("room to be found", |session| !session.is_locked());
    desk.assert_goes_on("open");
}
