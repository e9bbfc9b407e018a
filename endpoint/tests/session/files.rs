//! Files across zones: the same walk as clips, with another beginning and another end.

use compositor::keys::{ENTER, TAB};

use crate::clips::{CHORD, ready_to_bring, until_asked, until_flow};
use crate::desk::{Desk, policy_text};
use crate::zone::KEY_F;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "files::an_allowed_file_crosses_once",
        an_allowed_file_crosses_once,
    ),
    (
        "files::a_file_that_is_not_what_its_name_says_has_no_type",
        a_file_that_is_not_what_its_name_says_has_no_type,
    ),
    (
        "files::a_denied_file_is_not_even_fetched",
        a_denied_file_is_not_even_fetched,
    ),
    (
        "files::who_is_asked_sees_its_name",
        who_is_asked_sees_its_name,
    ),
    (
        "files::an_offer_that_is_no_plain_file_stays",
        an_offer_that_is_no_plain_file_stays,
    ),
    (
        "files::what_the_receiver_does_not_take_has_not_crossed",
        what_the_receiver_does_not_take_has_not_crossed,
    ),
    (
        "files::a_new_policy_calls_a_file_off",
        a_new_policy_calls_a_file_off,
    ),
];

fn policy(verdict: &str, more: &str) -> String {
    let zones = policy_text("\"seccomp\", \"user\"", "");
    format!(
        "{zones}\n[[flow]]\nname = \"files\"\nkind = \"file\"\nfrom = \"open\"\nto = \"corp\"\nverdict = \"{verdict}\"\n{more}\n"
    )
}

/// A desk where a file was offered in `open`, and `corp` has the keyboard.
fn offered(policy: &str, giver: &str, receiver: &str) -> Desk {
    let behaviours = [("open", giver), ("corp", receiver)];
    ready_to_bring(policy, &behaviours, KEY_F, "offered")
}

fn until_recorded(desk: &mut Desk, what: &str) {
    let records = std::sync::Arc::clone(&desk.records);
    desk.until(what, |_| {
        let records = records.lock().unwrap();
        records
            .iter()
            .any(|event| format!("{event:?}").contains(what))
    });
}

fn an_allowed_file_crosses_once() {
    let only_text = "when = { extensions = [\"txt\"] }\nthen = { log = \"full\" }";
    let mut desk = offered(&policy("allow", only_text), "", "");
    assert!(
        !desk.console("open").contains("file fetched"),
        "only at the chord"
    );
    desk.keys(&CHORD);
    desk.until_console("open", "outbox: taken");
    assert!(
        desk.console("corp")
            .contains("file: [vdagent-file-xfer] name=note.txt size=5 \nfile bytes: \"hello\"\n"),
        "{}",
        desk.console("corp")
    );
    let flows = desk.flows();
    assert_eq!(flows.len(), 2, "{flows:?}");
    assert_eq!(flows[0].rules, ["files (18)"]);
    assert_eq!((flows[0].crossed, flows[1].crossed), (None, Some(5)));
    assert_eq!(flows[1].sha256.as_ref().unwrap().len(), 64);
    assert!(
        !format!("{:?}", desk.recorded()).contains("hello"),
        "never what it was"
    );
    desk.keys(&CHORD);
    desk.run_for(std::time::Duration::from_millis(200));
    assert_eq!(
        desk.console("open").matches("file fetched").count(),
        1,
        "once"
    );
}

fn a_file_that_is_not_what_its_name_says_has_no_type() {
    let text_only = policy("allow", "when = { mime = \"text/plain\" }");
    let mut desk = offered(&text_only, "brings-no-text", "");
    desk.keys(&CHORD);
    until_flow(&mut desk, "the denial", |flow| flow.verdict == "deny");
    assert!(desk.console("open").contains("file fetched"));
    assert!(!desk.console("corp").contains("file:"));
    let mut desk = offered(&text_only, "", "");
    desk.keys(&CHORD);
    desk.until_console("corp", "file bytes: \"hello\"");
}

fn a_denied_file_is_not_even_fetched() {
    let other_names = policy("allow", "when = { extensions = [\"pdf\"] }");
    for text in [
        policy("deny", ""),
        policy_text("\"seccomp\", \"user\"", ""),
        other_names,
    ] {
        let mut desk = offered(&text, "", "");
        desk.keys(&CHORD);
        until_flow(&mut desk, "the denial", |flow| flow.verdict == "deny");
        assert!(!desk.console("open").contains("file fetched"));
        assert!(!desk.console("corp").contains("file:"));
    }
}

fn who_is_asked_sees_its_name() {
    let mut desk = offered(&policy("ask", ""), "", "");
    desk.keys(&CHORD);
    until_asked(&mut desk);
    let said = format!("{:?}", desk.session.scene().accessible_tree());
    assert!(
        said.contains("Bring a file of 5 bytes") && said.contains("note.txt"),
        "{said}"
    );
    assert!(!desk.console("corp").contains("file:"));
    desk.keys(&[TAB]);
    desk.keys(&[ENTER]);
    desk.until_console("corp", "file bytes: \"hello\"");
}

fn an_offer_that_is_no_plain_file_stays() {
    for (giver, why) in [
        ("offers-a-path", "file name"),
        ("offers-too-much", "larger than"),
        ("brings-a-larger-file", "garbled"),
    ] {
        let mut desk = offered(&policy("allow", ""), giver, "");
        desk.keys(&CHORD);
        until_recorded(&mut desk, why);
        assert!(!desk.console("corp").contains("file:"), "{giver}");
        desk.assert_goes_on("open");
    }
    // What was taken back while it came is neither brought nor kept.
    let mut desk = offered(&policy("allow", ""), "brings-half-a-file", "");
    desk.keys(&CHORD);
    desk.until_console("open", "file fetched");
    desk.run_for(std::time::Duration::from_millis(200));
    assert!(!desk.console("corp").contains("file:"));
}

fn what_the_receiver_does_not_take_has_not_crossed() {
    for receiver in ["has-no-room", "takes-too-soon"] {
        let mut desk = offered(&policy("allow", "then = { log = \"full\" }"), "", receiver);
        desk.keys(&CHORD);
        desk.until_console("corp", "file:");
        until_recorded(&mut desk, "clip-refused");
        assert!(desk.flows().iter().all(|flow| flow.crossed.is_none()));
        assert!(!desk.console("corp").contains("file bytes"));
        assert!(!desk.console("open").contains("taken"));
    }
}

fn a_new_policy_calls_a_file_off() {
    let mut desk = offered(&policy("allow", ""), "", "takes-nothing");
    desk.keys(&CHORD);
    desk.until_console("corp", "file:");
    desk.write_policy(&policy("deny", ""));
    desk.until_console("corp", "file called off");
    desk.assert_goes_on("open");
}
