//! The policy at work: rates, prompts, grants, streams, and what becomes of them when the policy changes.

use std::time::Duration;

use bulkhead_policy::{
    Answer, Engine, Facts, Grant, Kind, Mime, Moment, Outcome, Party, Permit, Policy, Prompt,
    Reason, Request, Standing, Timestamp, Verdict,
};

const START: i64 = 1_772_409_600;

const POLICY: &str = r##"
[policy]
id = "test"
version = 1
issued = 2026-03-01T00:00:00Z
not-before = 2026-03-01T00:00:00Z
expires = 2026-06-01T00:00:00Z

[zone.a]
colour = "#000000"
image = "x"
[zone.b]
colour = "#ffffff"
image = "x"

[[flow]]
name = "text"
kind = "clipboard"
from = "a"
to = "b"
verdict = "allow"
when = { mime = "text/plain", rate = "3/min", byte-rate = "1000 B/h" }

[[flow]]
name = "pictures"
kind = "clipboard"
from = "a"
to = "b"
verdict = "ask"
when = { mime = "image/png", max-bytes = "500 B" }
then = { grants = ["once", "10 min", "session"] }

[[flow]]
name = "stream"
kind = "file"
from = "b"
to = "a"
verdict = "allow"
when = { max-bytes = "100 B" }

[[flow]]
name = "quiet"
kind = "audio-out"
from = "a"
verdict = "allow"
then = { log = "off" }
"##;

fn engine() -> Engine {
    Engine::new(Policy::parse("p.toml", POLICY.as_bytes()).unwrap())
}

fn at(second: i64) -> Moment {
    Moment {
        now: Timestamp(START + second),
        utc_offset: 0,
    }
}

fn clip(mime: &str, bytes: u64) -> Request {
    let facts = Facts {
        mime: Some(Mime::parse(mime).unwrap()),
        bytes: Some(bytes),
        ..Facts::default()
    };
    Request::new(
        Kind::Clipboard,
        Party::parse("a").unwrap(),
        Party::parse("b").unwrap(),
    )
    .with(facts)
}

fn file(bytes: u64) -> Request {
    let facts = Facts {
        bytes: Some(bytes),
        ..Facts::default()
    };
    Request::new(
        Kind::File,
        Party::parse("b").unwrap(),
        Party::parse("a").unwrap(),
    )
    .with(facts)
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Allowed(_) => Verdict::Allow,
        Outcome::Ask(_) => Verdict::Ask,
        Outcome::Denied(_) => Verdict::Deny,
    }
}

fn permit(outcome: Outcome) -> Permit {
    match outcome {
        Outcome::Allowed(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn prompt(outcome: Outcome) -> Prompt {
    match outcome {
        Outcome::Ask(prompt) => prompt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn never_more_than_the_rate_crosses_in_any_window() {
    let mut engine = engine();
    let mut crossed: Vec<i64> = Vec::new();
    for second in 0..400 {
        if verdict(&engine.authorise(clip("text/plain", 1), at(second))) == Verdict::Allow {
            crossed.push(second);
        }
    }
    for start in 0..400 {
        let within = crossed
            .iter()
            .filter(|second| (start..start + 60).contains(*second))
            .count();
        assert!(within <= 3, "{within} within a minute from second {start}");
    }
    assert!(
        crossed.len() >= 15,
        "and the rate is used: {}",
        crossed.len()
    );
}

#[test]
fn bytes_are_counted_and_a_clock_that_is_set_back_frees_nothing() {
    let mut engine = engine();
    assert_eq!(
        verdict(&engine.authorise(clip("text/plain", 900), at(7000))),
        Verdict::Allow
    );
    assert_eq!(
        verdict(&engine.authorise(clip("text/plain", 101), at(7100))),
        Verdict::Deny
    );
    assert_eq!(
        verdict(&engine.authorise(clip("text/plain", 101), at(3500))),
        Verdict::Deny
    );
    assert_eq!(
        verdict(&engine.authorise(clip("text/plain", 100), at(7200))),
        Verdict::Allow
    );
    assert_eq!(
        verdict(&engine.authorise(clip("text/plain", 900), at(7200 + 3700))),
        Verdict::Allow
    );
}

#[test]
fn a_yes_holds_for_as_long_as_was_chosen_and_no_longer() {
    let mut engine = engine();
    let picture = || clip("image/png", 100);
    let asked = prompt(engine.authorise(picture(), at(0)));
    assert_eq!(
        asked.choices(),
        [
            Grant::Once,
            Grant::For(Duration::from_secs(600)),
            Grant::Session
        ]
    );
    permit(engine.answer(asked, Answer::Yes(Grant::Once), at(1)));
    let asked = prompt(engine.authorise(picture(), at(2)));
    permit(engine.answer(
        asked,
        Answer::Yes(Grant::For(Duration::from_secs(600))),
        at(10),
    ));
    permit(engine.authorise(picture(), at(609)));
    assert_eq!(
        verdict(&engine.authorise(picture(), at(5))),
        Verdict::Ask,
        "not before it was given"
    );
    let asked = prompt(engine.authorise(picture(), at(610)));
    permit(engine.answer(asked, Answer::Yes(Grant::Session), at(611)));
    permit(engine.authorise(picture(), at(1_000_000)));
    assert_eq!(
        verdict(&engine.authorise(clip("image/png", 501), at(1_000_000))),
        Verdict::Deny,
        "a yes never exceeds the file"
    );
    engine.end_session();
    assert_eq!(
        verdict(&engine.authorise(picture(), at(1_000_001))),
        Verdict::Ask
    );
}

#[test]
fn a_yes_for_longer_than_the_rules_allow_is_cut() {
    let text = POLICY.replace("[\"once\", \"10 min\", \"session\"]", "[\"once\"]");
    let mut engine = Engine::new(Policy::parse("p.toml", text.as_bytes()).unwrap());
    let asked = prompt(engine.authorise(clip("image/png", 100), at(0)));
    permit(engine.answer(asked, Answer::Yes(Grant::Session), at(1)));
    assert_eq!(
        verdict(&engine.authorise(clip("image/png", 100), at(2))),
        Verdict::Ask
    );
}

#[test]
fn a_no_is_a_deny_and_what_changed_meanwhile_counts() {
    let mut engine = engine();
    let asked = prompt(engine.authorise(clip("image/png", 100), at(0)));
    assert!(
        matches!(engine.answer(asked, Answer::No, at(1)), Outcome::Denied(decision) if decision.reason == Reason::UserRefused)
    );
    let asked = prompt(engine.authorise(clip("image/png", 100), at(0)));
    let denying = format!(
        "{POLICY}\n[[flow]]\nkind = \"clipboard\"\nfrom = \"any\"\nto = \"any\"\nverdict = \"deny\"\n"
    );
    engine.replace(Policy::parse("p.toml", denying.as_bytes()).unwrap());
    assert_eq!(
        verdict(&engine.answer(asked, Answer::Yes(Grant::Session), at(1))),
        Verdict::Deny,
        "the policy changed while the prompt stood"
    );
}

#[test]
fn a_permit_holds_what_was_decided_on() {
    let mut engine = engine();
    let request = clip("text/plain", 10);
    let permit = permit(engine.authorise(request.clone(), at(0)));
    assert_eq!(
        (permit.request().facts.bytes, &permit.request().facts.mime),
        (Some(10), &request.facts.mime)
    );
    assert_eq!(permit.target().as_str(), "b");
}

#[test]
fn a_stream_is_held_to_its_size_as_a_whole_and_ends_when_the_right_is_withdrawn() {
    let mut engine = engine();
    let mut stream = permit(engine.authorise(file(0), at(0)));
    for second in 0..10 {
        engine.go_on(&mut stream, 10, at(second)).unwrap();
    }
    assert_eq!(stream.crossed(), 100);
    assert_eq!(
        engine.go_on(&mut stream, 1, at(11)).unwrap_err().verdict,
        Verdict::Deny,
        "101 bytes in small pieces"
    );
    let mut stream = permit(engine.authorise(file(0), at(0)));
    engine.go_on(&mut stream, 10, at(0)).unwrap();
    let without = POLICY
        .replace(
            "from = \"b\"\nto = \"a\"\nverdict = \"allow\"",
            "from = \"b\"\nto = \"a\"\nverdict = \"deny\"",
        )
        .replace("when = { max-bytes = \"100 B\" }", "");
    engine.replace(Policy::parse("p.toml", without.as_bytes()).unwrap());
    assert_eq!(
        engine.go_on(&mut stream, 1, at(1)).unwrap_err().verdict,
        Verdict::Deny,
        "at once, with no restart"
    );
    engine.replace(Policy::parse("p.toml", POLICY.as_bytes()).unwrap());
    let mut stream = permit(engine.authorise(file(0), at(0)));
    engine.replace(Policy::parse("p.toml", POLICY.as_bytes()).unwrap());
    engine
        .go_on(&mut stream, 10, at(1))
        .expect("a right that stays is not lost");
}

#[test]
fn a_stream_that_rests_on_a_yes_ends_with_it() {
    let text = POLICY.replace("kind = \"file\"\nfrom = \"b\"\nto = \"a\"\nverdict = \"allow\"", "kind = \"file\"\nfrom = \"b\"\nto = \"a\"\nverdict = \"ask\"\nthen = { grants = [\"10 min\"] }");
    let parse = || Policy::parse("p.toml", text.as_bytes()).unwrap();
    let mut engine = Engine::new(parse());
    let asked = prompt(engine.authorise(file(0), at(0)));
    let mut stream = permit(engine.answer(
        asked,
        Answer::Yes(Grant::For(Duration::from_secs(600))),
        at(0),
    ));
    engine.go_on(&mut stream, 1, at(599)).unwrap();
    assert_eq!(
        engine.go_on(&mut stream, 1, at(600)).unwrap_err().reason,
        Reason::UserRefused
    );
    let asked = prompt(engine.authorise(file(0), at(700)));
    let mut stream = permit(engine.answer(
        asked,
        Answer::Yes(Grant::For(Duration::from_secs(600))),
        at(700),
    ));
    engine.replace(parse());
    assert!(
        engine.go_on(&mut stream, 1, at(701)).is_err(),
        "under a new policy the user is asked anew"
    );
}

#[test]
fn what_was_used_stays_used_under_a_new_policy() {
    let mut engine = engine();
    for second in 0..3 {
        permit(engine.authorise(clip("text/plain", 1), at(second)));
    }
    engine.replace(
        Policy::parse(
            "p.toml",
            POLICY.replace("version = 1", "version = 2").as_bytes(),
        )
        .unwrap(),
    );
    assert_eq!(
        verdict(&engine.authorise(clip("text/plain", 1), at(4))),
        Verdict::Deny
    );
}

#[test]
fn without_a_record_nothing_crosses_that_needs_one() {
    let mut engine = engine();
    engine.set_records_possible(false);
    assert!(
        matches!(engine.authorise(clip("text/plain", 1), at(0)), Outcome::Denied(decision) if decision.reason == Reason::NoRecord)
    );
    let sound = Request::new(Kind::AudioOut, Party::parse("a").unwrap(), Party::Host);
    assert_eq!(
        verdict(&engine.authorise(sound, at(0))),
        Verdict::Allow,
        "what needs no record goes on"
    );
    engine.set_records_possible(true);
    assert_eq!(
        verdict(&engine.authorise(clip("text/plain", 1), at(0))),
        Verdict::Allow
    );
}

#[test]
fn outside_of_its_time_a_policy_lets_nothing_through() {
    let mut engine = engine();
    let day = 86_400;
    assert_eq!(
        engine.policy().standing(Timestamp(START - 10 * day)),
        Standing::NotYet(Timestamp::parse("2026-03-01T00:00:00Z").unwrap())
    );
    assert_eq!(
        engine.policy().standing(Timestamp(START)),
        Standing::InForce
    );
    assert!(matches!(
        engine.policy().standing(Timestamp(START + 90 * day)),
        Standing::EndsSoon(_)
    ));
    assert!(matches!(
        engine.policy().standing(Timestamp(START + 100 * day)),
        Standing::Expired(_)
    ));
    assert!(
        matches!(engine.authorise(clip("text/plain", 1), at(100 * day)), Outcome::Denied(decision) if decision.reason == Reason::NotInForce)
    );
    let locking = format!("{POLICY}\n[lockout]\nafter = \"14 days\"\nwarn = \"2 days\"\n");
    let mut engine = Engine::new(Policy::parse("p.toml", locking.as_bytes()).unwrap());
    assert!(matches!(
        engine.policy().standing(Timestamp(START + 12 * day)),
        Standing::EndsSoon(_)
    ));
    assert!(matches!(
        engine.policy().standing(Timestamp(START + 14 * day)),
        Standing::LockedOut {
            lock_zones: true,
            ..
        }
    ));
    assert!(
        matches!(engine.authorise(clip("text/plain", 1), at(14 * day)), Outcome::Denied(decision) if decision.reason == Reason::LockedOut)
    );
}

/// Whoever sleeps until the standing changes misses no change.
#[test]
fn the_standing_is_the_same_until_it_is_said_to_change() {
    let locking = format!("{POLICY}\n[lockout]\nafter = \"14 days\"\nwarn = \"2 days\"\n");
    for text in [POLICY, &locking] {
        let policy = Policy::parse("p.toml", text.as_bytes()).unwrap();
        let hour = |hours: i64| Timestamp(START + hours * 3600);
        let mut changes = 0;
        for hours in -300..2600 {
            let (now, next) = (hour(hours), hour(hours + 1));
            let said = policy.standing_changes_at(now).is_some_and(|at| at <= next);
            let changed = policy.standing(now) != policy.standing(next);
            assert!(said || !changed, "at hour {hours}");
            if let Some(at) = policy.standing_changes_at(now) {
                assert!(at > now);
            }
            changes += u32::from(changed);
        }
        assert!(changes >= 3, "{changes}");
    }
    let plain = Policy::parse("p.toml", POLICY.as_bytes()).unwrap();
    let end = Timestamp(START + 100_000 * 86_400);
    assert_eq!(plain.standing_changes_at(end), None);
}
