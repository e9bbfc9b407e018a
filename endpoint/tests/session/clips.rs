//! Clips across zones: what the policy, the person and the agents make of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_policy::audit::FlowRecord;
use compositor::keys::{ENTER, ESCAPE, TAB};

use crate::desk::{Desk, LEFT_SUPER, Setting, policy_text};
use crate::zone::{COPIED, KEY_C, KEY_V};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "clips::an_allowed_clip_crosses_once",
        an_allowed_clip_crosses_once,
    ),
    (
        "clips::a_denied_clip_is_not_even_fetched",
        a_denied_clip_is_not_even_fetched,
    ),
    (
        "clips::without_the_chord_nothing_crosses",
        without_the_chord_nothing_crosses,
    ),
    ("clips::who_is_asked_decides", who_is_asked_decides),
    (
        "clips::a_yes_holds_no_longer_than_it_was_given_for",
        a_yes_holds_no_longer_than_it_was_given_for,
    ),
    (
        "clips::what_is_not_what_it_says_stays",
        what_is_not_what_it_says_stays,
    ),
    (
        "clips::pictures_need_a_rule_that_names_them",
        pictures_need_a_rule_that_names_them,
    ),
    (
        "clips::an_agent_that_breaks_its_protocol_loses_its_voice_alone",
        an_agent_that_breaks_its_protocol_loses_its_voice_alone,
    ),
    (
        "clips::a_copy_without_the_keyboard_is_no_copy",
        a_copy_without_the_keyboard_is_no_copy,
    ),
    (
        "clips::only_the_newest_copy_counts",
        only_the_newest_copy_counts,
    ),
    (
        "clips::a_new_policy_closes_the_question",
        a_new_policy_closes_the_question,
    ),
    (
        "clips::a_new_policy_takes_back_an_offer",
        a_new_policy_takes_back_an_offer,
    ),
    (
        "clips::a_killed_zone_ends_what_concerns_it",
        a_killed_zone_ends_what_concerns_it,
    ),
    (
        "clips::a_full_disk_denies_and_the_desktop_goes_on",
        a_full_disk_denies_and_the_desktop_goes_on,
    ),
];

pub(crate) const CHORD: [u16; 2] = [LEFT_SUPER, KEY_V];

pub(crate) fn policy(verdict: &str, more: &str) -> String {
    let zones = policy_text("\"seccomp\", \"user\"", "");
    format!(
        "{zones}\n[[flow]]\nname = \"clips\"\nkind = \"clipboard\"\nfrom = \"open\"\nto = \"corp\"\nverdict = \"{verdict}\"\n{more}\n"
    )
}

/// A desk where something was copied in `open`, and `corp` has the keyboard.
pub(crate) fn copied(policy: &str, behaviour: &str) -> Desk {
    ready_to_bring(policy, &[("open", behaviour)], KEY_C, "copied")
}

/// A desk where a key was pressed in `open` until it said what it did, and `corp` has the keyboard.
pub(crate) fn ready_to_bring(
    policy: &str,
    behaviours: &[(&str, &str)],
    key: u16,
    done: &str,
) -> Desk {
    let setting = Setting {
        behaviours,
        ..Setting::default()
    };
    let mut desk = Desk::with_policy(policy, &setting);
    for zone in ["open", "corp"] {
        desk.until_ready(zone);
        desk.until_console(zone, "agent answered");
    }
    desk.focus("open");
    desk.keys(&[key]);
    desk.until_console("open", done);
    desk.focus("corp");
    desk
}

/// Pastes in `corp` and waits for what comes of it.
fn paste(desk: &mut Desk) -> String {
    let before = desk.console("corp").matches("pasted").count();
    desk.keys(&[KEY_V]);
    let done = |text: &str| text.matches("pasted").count() > before && text.ends_with('\n');
    desk.until("corp to paste", |session| {
        done(&session.zone("corp").unwrap().console().tail(200_000))
    });
    let console = desk.console("corp");
    let line = console
        .lines()
        .rev()
        .find(|line| line.starts_with("pasted"));
    line.unwrap().to_owned()
}

pub(crate) fn until_flow(desk: &mut Desk, what: &str, is_it: impl Fn(&FlowRecord) -> bool) {
    let records = std::sync::Arc::clone(&desk.records);
    desk.until(what, |_| {
        records
            .lock()
            .unwrap()
            .iter()
            .any(|event| matches!(event, endpoint::audit::Event::Flow(flow) if is_it(flow)))
    });
}

pub(crate) fn until_asked(desk: &mut Desk) {
    desk.until("a question", |session| {
        session.scene().answerable().is_some()
    });
}

fn an_allowed_clip_crosses_once() {
    let mut desk = copied(
        &policy("allow", "then = { scrub = \"escapes\", log = \"full\" }"),
        "",
    );
    desk.keys(&CHORD);
    desk.until_console("corp", "clipboard offered");
    assert_eq!(
        paste(&mut desk),
        "pasted 9 bytes: \"hello [2J\"",
        "without its escape"
    );
    // A program asks more than once for one paste.
    assert_eq!(paste(&mut desk), "pasted 9 bytes: \"hello [2J\"");
    desk.until_console("corp", "clipboard taken back");
    assert_eq!(paste(&mut desk), "pasted nothing", "later");
    let wiped = |event: &String| event.contains("clip-wiped");
    assert!(!desk.recorded().iter().any(wiped), "it has arrived");
    let flows = desk.flows();
    assert_eq!(flows.len(), 2, "{flows:?}");
    let facts = flows[0].facts.as_ref().unwrap();
    assert_eq!(
        (facts.bytes, facts.mime.as_deref()),
        (Some(10), Some("text/plain"))
    );
    assert_eq!((flows[0].crossed, flows[1].crossed), (None, Some(9)));
    assert_eq!(flows[1].sha256.as_ref().unwrap().len(), 64);
    assert_eq!(flows[0].rules, ["clips (18)"]);
    assert!(
        !format!("{:?}", desk.recorded()).contains("hello"),
        "never what it was"
    );
    // No key of the chord and no byte of the clip went anywhere else.
    assert!(!desk.console("open").contains("pasted"));
}

fn a_denied_clip_is_not_even_fetched() {
    for text in [policy("deny", ""), policy_text("\"seccomp\", \"user\"", "")] {
        let mut desk = copied(&text, "");
        desk.keys(&CHORD);
        until_flow(&mut desk, "the denial", |flow| flow.verdict == "deny");
        assert_eq!(paste(&mut desk), "pasted nothing");
        assert!(!desk.console("open").contains("fetched"));
        assert!(!desk.console("corp").contains("offered"));
    }
}

fn without_the_chord_nothing_crosses() {
    let mut desk = copied(&policy("allow", ""), "");
    assert_eq!(paste(&mut desk), "pasted nothing");
    assert!(!desk.console("open").contains("fetched"));
    assert!(desk.flows().is_empty());
}

fn who_is_asked_decides() {
    let mut desk = copied(&policy("ask", ""), "");
    desk.keys(&CHORD);
    until_asked(&mut desk);
    desk.keys(&[ESCAPE]);
    until_flow(&mut desk, "the refusal", |flow| {
        flow.answer.as_deref() == Some("no")
    });
    assert_eq!(desk.flows()[0].verdict, "deny");
    assert_eq!(paste(&mut desk), "pasted nothing");
    // The compositor takes no further question for a moment; that counts as a no and is said.
    desk.keys(&CHORD);
    until_flow(&mut desk, "the early refusal", |flow| {
        flow.answer.as_deref() == Some("no")
    });
    desk.run_for(Duration::from_millis(2500));
    desk.keys(&CHORD);
    until_asked(&mut desk);
    desk.keys(&[TAB]);
    desk.keys(&[ENTER]);
    desk.until_console("corp", "clipboard offered");
    assert_eq!(paste(&mut desk), format!("pasted 10 bytes: {COPIED:?}"));
    assert_eq!(desk.flows().last().unwrap().verdict, "ask");
    assert!(
        desk.flows()
            .iter()
            .any(|flow| flow.answer.as_deref() == Some("once"))
    );
}

fn a_yes_holds_no_longer_than_it_was_given_for() {
    let grants = "then = { grants = [\"once\", \"2 s\"] }";
    let mut desk = copied(&policy("ask", grants), "");
    desk.keys(&CHORD);
    until_asked(&mut desk);
    desk.keys(&[TAB]);
    desk.keys(&[TAB]);
    desk.keys(&[ENTER]);
    desk.until_console("corp", "clipboard offered");
    // Within its time nobody is asked again.
    desk.keys(&CHORD);
    desk.until("the second offer", |session| {
        let console = session.zone("corp").unwrap().console().tail(200_000);
        console.matches("clipboard offered").count() == 2
    });
    assert!(!desk.session.scene().is_trusted_up());
    desk.run_for(Duration::from_secs(3));
    desk.keys(&CHORD);
    until_asked(&mut desk);
    assert_eq!(desk.console("corp").matches("clipboard offered").count(), 2);
}

fn what_is_not_what_it_says_stays() {
    let small = "when = { max-bytes = \"1 KiB\" }";
    for (behaviour, record) in [
        ("brings-garbage", "it says that it is text/plain and is not"),
        (
            "brings-another-kind",
            "it is of another kind than was asked for",
        ),
        ("brings-much", "verdict: \"deny\""),
    ] {
        let mut desk = copied(&policy("allow", small), behaviour);
        desk.keys(&CHORD);
        let records = std::sync::Arc::clone(&desk.records);
        desk.until(behaviour, |_| {
            let records = records.lock().unwrap();
            records
                .iter()
                .any(|event| format!("{event:?}").contains(record))
        });
        assert_eq!(paste(&mut desk), "pasted nothing", "{behaviour}");
        assert!(!desk.console("corp").contains("offered"), "{behaviour}");
        desk.assert_goes_on("open");
    }
}

fn pictures_need_a_rule_that_names_them() {
    let mut desk = copied(&policy("allow", ""), "copies-a-picture");
    desk.keys(&CHORD);
    desk.run_for(Duration::from_millis(300));
    assert!(!desk.console("open").contains("fetched"));
    desk.install(&policy("allow", "when = { mime = \"image/png\" }"));
    desk.keys(&CHORD);
    desk.until_console("corp", "clipboard offered");
}

fn an_agent_that_breaks_its_protocol_loses_its_voice_alone() {
    let mut desk = copied(&policy("allow", ""), "brings-lies");
    desk.keys(&CHORD);
    let records = std::sync::Arc::clone(&desk.records);
    desk.until("the record", |_| {
        let records = records.lock().unwrap();
        records
            .iter()
            .any(|event| format!("{event:?}").contains("agent-refused"))
    });
    assert!(!desk.session.zone("open").unwrap().has_agent());
    desk.assert_goes_on("corp");
    desk.assert_goes_on("open");
}

fn a_copy_without_the_keyboard_is_no_copy() {
    // It grabs the clipboard all the time, hoping that a person presses the chord.
    let setting = Setting {
        behaviours: &[("open", "copies-at-once")],
        ..Setting::default()
    };
    let mut desk = Desk::with_policy(&policy("allow", ""), &setting);
    desk.until_ready("corp");
    desk.until_console("open", "copied");
    desk.until_console("corp", "agent answered");
    desk.focus("corp");
    desk.keys(&CHORD);
    desk.run_for(Duration::from_millis(300));
    assert!(!desk.console("open").contains("fetched"));
    assert_eq!(paste(&mut desk), "pasted nothing");
}

fn only_the_newest_copy_counts() {
    // Copied in `open`, then in `corp`: the chord in `open` may bring nothing of the first, and none is allowed the other way.
    let mut desk = copied(&policy("allow", ""), "");
    desk.keys(&[KEY_C]);
    desk.until_console("corp", "copied");
    desk.keys(&CHORD);
    desk.run_for(Duration::from_millis(300));
    assert!(!desk.console("open").contains("fetched"));
    desk.focus("open");
    desk.keys(&CHORD);
    until_flow(&mut desk, "the denial", |flow| {
        (flow.from.as_str(), flow.to.as_str(), flow.verdict.as_str()) == ("corp", "open", "deny")
    });
}

fn a_new_policy_closes_the_question() {
    let grants = "then = { grants = [\"session\"] }";
    let mut desk = copied(&policy("ask", grants), "");
    desk.keys(&CHORD);
    until_asked(&mut desk);
    // One that asks the same leaves the question as it is.
    desk.install(&format!("# another\n{}", policy("ask", grants)));
    assert!(desk.session.scene().answerable().is_some());
    desk.install(&policy("deny", ""));
    assert_eq!(
        desk.session.scene().answerable(),
        None,
        "it can be answered no more"
    );
    desk.keys(&[TAB]);
    desk.keys(&[ENTER]);
    desk.focus("corp");
    assert_eq!(paste(&mut desk), "pasted nothing");
    assert!(!desk.console("corp").contains("offered"));
    // Nor does a yes that was given outlive the policy it was given under.
    desk.install(&policy("ask", grants));
    desk.run_for(Duration::from_millis(2500));
    desk.keys(&CHORD);
    until_asked(&mut desk);
    desk.keys(&[TAB]);
    desk.keys(&[ENTER]);
    desk.until_console("corp", "clipboard offered");
    desk.install(&format!("# again\n{}", policy("ask", grants)));
    desk.keys(&CHORD);
    until_asked(&mut desk);
}

fn a_new_policy_takes_back_an_offer() {
    let mut desk = copied(&policy("allow", ""), "");
    desk.keys(&CHORD);
    desk.until_console("corp", "clipboard offered");
    desk.install(&policy("deny", ""));
    desk.until_console("corp", "clipboard taken back");
    assert_eq!(paste(&mut desk), "pasted nothing");
    assert!(
        desk.recorded()
            .iter()
            .any(|event| event.contains("clip-wiped"))
    );
}

fn a_killed_zone_ends_what_concerns_it() {
    let mut desk = copied(&policy("allow", ""), "brings-nothing");
    desk.keys(&CHORD);
    desk.until_console("open", "fetched");
    desk.session.kill("open").unwrap();
    desk.until_status("open", "killed");
    let records = std::sync::Arc::clone(&desk.records);
    desk.until("the end of the transfer", |_| {
        let records = records.lock().unwrap();
        records
            .iter()
            .any(|event| format!("{event:?}").contains("clip-wiped"))
    });
    assert_eq!(paste(&mut desk), "pasted nothing");
    desk.assert_goes_on("corp");
}

fn a_full_disk_denies_and_the_desktop_goes_on() {
    let mut desk = copied(&policy("allow", ""), "");
    desk.disk_is_full.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        // The first finds out that nothing can be recorded, the second is denied for that reason.
        desk.keys(&CHORD);
        desk.run_for(Duration::from_millis(200));
        assert_eq!(paste(&mut desk), "pasted nothing");
    }
    assert!(!desk.console("corp").contains("offered"));
    desk.assert_goes_on("corp");
    desk.disk_is_full.store(false, Ordering::Relaxed);
    let records = std::sync::Arc::clone(&desk.records);
    desk.until("the log to be tried again", |_| {
        let records = records.lock().unwrap();
        records
            .iter()
            .any(|event| format!("{event:?}").contains("audit-resumed"))
    });
    desk.focus("corp");
    desk.keys(&CHORD);
    desk.until_console("corp", "clipboard offered");
}
