//! Lock and passphrase: what is in doubt stays locked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use compositor::keys::ENTER;
use endpoint::{ZoneLine, ZoneOrder, door};

use crate::clips;
use crate::desk::{Desk, LEFT_SUPER, Setting, policy_text};

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
    let place = desk.state.path().join("zones");
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
    let state = endpoint::state_directory::StateDirectory::open(desk.state.path()).unwrap();
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
    desk.disk_is_full.store(false, Ordering::Relaxed);
    desk.until("room to be found", |session| !session.is_locked());
    desk.assert_goes_on("open");
}
