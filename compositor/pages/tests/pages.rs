//! What pages ask for, what a person does on them by pointer and by keys, and how much it costs.

mod desk;

use std::time::Duration;

use compositor::*;
use desk::{BANK, CORP, Desk, LAB, OPEN, label};
use proptest::prelude::*;
use trusted_pages::*;

fn desk() -> Desk {
    Desk::new(1280, 800, 1.0, Settings::default())
}

/// The name of what keys go to.
fn focused(desk: &Desk) -> Option<String> {
    let tree = desk.scene.accessible_tree();
    let node = tree.nodes.iter().find(|(id, _)| *id == tree.focus)?;
    node.1.label().map(str::to_owned)
}

#[test]
fn settings_hold_at_once_and_only_keys_are_needed() {
    let mut desk = desk();
    desk.open("Settings");
    for _ in 0..40 {
        if focused(&desk).as_deref() == Some("Language: Deutsch") {
            break;
        }
        desk.tap(keys::TAB);
    }
    desk.tap(keys::SPACE);
    let german = Settings {
        language: Language::German,
        ..Settings::default()
    };
    assert_eq!(desk.acts, [Act::SettingsChanged(german)]);
    assert_eq!(desk.scene.settings(), german);
    assert!(desk.said().contains(&"Einstellungen".to_owned()));
    desk.press("Sperren");
    assert_eq!(desk.acts.pop(), Some(Act::Lock));
    desk.tap(keys::ESCAPE);
    assert!(!desk.scene.is_trusted_up());
}

#[test]
fn a_zone_is_stopped_only_after_a_second_yes() {
    let mut desk = desk();
    desk.open("Zones");
    assert_eq!(desk.queries, [Query::Zones]);
    desk.press("Stop: corp");
    assert_eq!(desk.acts, []);
    // Escape undoes the question first, and only then leaves the page.
    desk.tap(keys::ESCAPE);
    assert!(desk.place_of("Stop!: corp").is_none());
    assert!(desk.scene.work_space().is_some());
    desk.press("Restart: corp");
    desk.press("No: corp");
    assert_eq!(desk.acts, []);
    desk.press("Stop: corp");
    desk.press("Stop!: corp");
    assert_eq!(desk.acts, [Act::Command(CORP, ZoneCommand::Stop)]);
    // A question about a zone that has ended meanwhile is gone.
    desk.press("Restart: corp");
    desk.scene.set_state(CORP, ZoneState::Off);
    desk.settle();
    assert!(desk.place_of("Restart!: corp").is_none());
    desk.press("Start: lab");
    assert_eq!(desk.acts.pop(), Some(Act::Command(LAB, ZoneCommand::Start)));
    desk.press("Show: open");
    assert_eq!(desk.scene.focus(), Some(OPEN));
    assert!(!desk.scene.is_trusted_up());
}

#[test]
fn a_device_is_given_and_taken_back() {
    let mut desk = desk();
    desk.open("USB");
    assert!(desk.said().contains(&"Used by corp".to_owned()));
    desk.press("Take back: Security Key");
    desk.press("Security Key \u{2192} banking");
    let device = UsbDeviceId(1);
    assert_eq!(
        desk.acts,
        [
            Act::Usb(device, UsbCommand::Detach),
            Act::Usb(device, UsbCommand::Attach(BANK)),
        ]
    );
    assert!(
        desk.place_of("Security Key \u{2192} open").is_none(),
        "it may not"
    );
    // Another one is plugged in while the page is up.
    let mut view = desk.usb.clone();
    view.devices[0].name = label("Camera");
    desk.pages.set_usb(view);
    desk.settle();
    assert!(desk.said().contains(&"Camera".to_owned()));
}

#[test]
fn the_log_is_filtered_as_one_types_and_by_zone_and_kind() {
    let mut desk = desk();
    desk.open("Log");
    desk.press("Filter: words that records contain");
    // "usb", a mistake, and a space, which types and presses nothing.
    for code in [22, 31, 48, keys::SPACE] {
        desk.tap(code);
    }
    desk.tap(14);
    let asked = |desk: &Desk| match desk.queries.last() {
        Some(Query::Audit { filter, skip, .. }) => (filter.clone(), *skip),
        other => panic!("{other:?}"),
    };
    let words = |words: &str| AuditFilter {
        words: words.to_owned(),
        ..AuditFilter::default()
    };
    assert_eq!(asked(&desk), (words("usb"), 0));
    desk.press("Zone: All zones");
    // The list's rows have names of zones.
    desk.press("corp");
    let of_corp = AuditFilter {
        zone: Some(CORP),
        ..words("usb")
    };
    assert_eq!(asked(&desk), (of_corp.clone(), 0));
    desk.press("What: All kinds");
    desk.tap(keys::ESCAPE);
    assert!(desk.scene.work_space().is_some(), "Escape closes the list");
    assert_eq!(asked(&desk), (of_corp, 0));
    assert!(desk.queries.len() < 10, "{:?}", desk.queries);
}

#[test]
fn a_hundred_thousand_records_are_scrolled_through_by_windows() {
    let mut desk = desk();
    desk.long_log = Some(|skip, count| AuditView {
        matching: 100_000,
        skipped: skip,
        records: (skip..100_000)
            .take(count)
            .map(|number| RecordView {
                time: label("2026-11-22 09:41:12"),
                kind: RecordKind::Zone,
                what: label("off"),
                zone: label("corp"),
                id: Some(CORP),
                text: label(&format!("record {number}")),
                alarming: false,
            })
            .collect(),
        ..AuditView::default()
    });
    desk.open("Log");
    desk.point(700, 400);
    for (code, row) in [(keys::PAGE_DOWN, 20), (keys::PAGE_UP, 0)] {
        desk.tap(code);
        let record = format!(" record {row}");
        assert!(
            desk.said().iter().any(|said| said.ends_with(&record)),
            "{record}"
        );
    }
    let mut most = 0;
    for _ in 0..400 {
        desk.input(InputEvent::Wheel {
            vertical: -960,
            horizontal: 0,
        });
        most = most.max(desk.scene.accessible_tree().nodes.len());
    }
    // 400 times 8 notches of 60 points are 6,400 rows.
    let rows = desk
        .said()
        .iter()
        .filter(|said| said.contains(" record 6"))
        .count();
    assert!(rows > 5, "{:?}", desk.said());
    assert!(most < 200, "only what is seen is made, not {most} nodes");
    let windows = desk.queries.len();
    assert!(
        (6400 / AUDIT_WINDOW..6400 / AUDIT_WINDOW * 4).contains(&windows),
        "{windows}"
    );
}

#[test]
fn fifty_zones_and_two_thousand_rules_are_no_burden() {
    let mut desk = desk();
    let cell = |rules: Vec<u16>| CellView {
        best: FlowVerdict::Ask,
        conditional: true,
        redirects: false,
        rules: rules.into(),
    };
    let ends = (0..50u16).flat_map(|from| (0..50).map(move |to| (from, to)));
    desk.policy.cells = ends
        .map(|(from, to)| ((0, from, to), cell((0..2000).collect())))
        .collect();
    desk.policy.parties = (0..50)
        .map(|number| PartyView {
            name: label(&format!("zone-{number}")),
            zone: Some(ZoneId(number % 5)),
        })
        .collect();
    desk.policy.rules = (0..2000)
        .map(|number| RuleView {
            verdict: FlowVerdict::Ask,
            words: label(&format!("rule-{number} (line {number}): hours 08:00-18:00")),
        })
        .collect();
    desk.open("Policy");
    desk.press("clipboard: zone-3 \u{2192} zone-4: you are asked, under conditions");
    assert!(desk.said().iter().any(|said| said.starts_with("rule-63 ")));
    // Keys reach what is not seen yet.
    for _ in 0..40 {
        desk.tap(keys::DOWN);
    }
    let reached = focused(&desk).unwrap();
    assert!(reached.contains("zone-43 \u{2192} zone-4:"), "{reached}");
    assert!(desk.scene.accessible_tree().nodes.len() < 2500);
    desk.press("Rules");
    desk.press("Filter: words that rules contain");
    for code in [2, 10, 10, 10] {
        desk.tap(code);
    }
    assert!(
        desk.place_of("you are asked: rule-1999 (line 1999): hours 08:00-18:00")
            .is_some()
    );
    assert!(
        desk.scene.accessible_tree().nodes.len() < 80,
        "one rule is left"
    );
}

#[test]
fn nothing_is_painted_and_nothing_wakes_when_nothing_changes() {
    for page in ["Zones", "Policy", "Log", "USB", "Settings"] {
        let mut desk = desk();
        desk.open(page);
        desk.picture();
        assert_eq!(desk.pages.next_wake(), None, "{page} wakes up");
        for second in 1..5 {
            desk.now = Duration::from_secs(second);
            desk.settle();
        }
        assert!(
            !desk.scene.needs_render(OutputId(0)),
            "{page} changed by itself"
        );
        // What is told again is not news.
        desk.pages.set_zones(desk.zones.clone());
        desk.pages.set_usb(desk.usb.clone());
        desk.pages.set_policy(desk.policy.clone());
        desk.settle();
        assert!(
            !desk.scene.needs_render(OutputId(0)),
            "{page} was painted for nothing"
        );
    }
}

#[test]
fn a_field_with_a_cursor_does_not_wake_and_a_hovered_button_is_painted_alone() {
    let mut desk = desk();
    desk.open("Log");
    desk.press("Filter: words that records contain");
    desk.tap(30);
    assert_eq!(desk.pages.next_wake(), None);
    desk.press("Settings");
    desk.picture();
    let at = desk.place_of("Colours: Light").unwrap();
    desk.point(at.x, at.y);
    let before = desk.scene.statistics().painted;
    let stride = usize::try_from(desk.size.width).unwrap();
    let mut pixels = vec![0; stride * usize::try_from(desk.size.height).unwrap()];
    desk.scene.render(
        OutputId(0),
        &mut Target {
            pixels: &mut pixels,
            size: desk.size,
            stride,
            age: 1,
        },
    );
    let painted = desk.scene.statistics().painted - before;
    assert!((1..20_000).contains(&painted), "{painted} pixels");
}

#[test]
fn what_others_wrote_reaches_no_shaper_but_as_allowed_characters() {
    let hostile = "\u{202e}\u{2066}\u{1b}[2J\u{200b}\u{ad}\u{301}\u{5d0}\u{4e00}\u{1f600}\u{0}\nx";
    let mut desk = desk();
    for device in &mut desk.usb.devices {
        device.name = label(hostile);
        device.facts = label(hostile);
    }
    for record in &mut desk.audit.records {
        record.text = label(hostile);
        record.zone = label(hostile);
    }
    for rule in &mut desk.policy.rules {
        rule.words = label(hostile);
    }
    desk.policy.parties[0].name = label(hostile);
    for page in ["Policy", "Log", "USB"] {
        desk.open(page);
        let said = desk.said().concat();
        assert!(said.contains(atlas::REPLACEMENT), "{page} says it");
        let is_known =
            |character: char| atlas::is_allowed(character) || character == atlas::REPLACEMENT;
        assert!(said.chars().all(is_known), "{page}: {said:?}");
        desk.tap(keys::ESCAPE);
    }
}

#[test]
fn what_was_seen_is_forgotten_with_the_page() {
    let mut desk = desk();
    desk.open("Log");
    desk.press("Filter: words that records contain");
    desk.tap(30);
    desk.tap(keys::ESCAPE);
    desk.open("Log");
    let filter = AuditFilter::default();
    let (skip, count) = (0, AUDIT_WINDOW);
    let asked = Query::Audit {
        filter,
        skip,
        count,
    };
    assert_eq!(desk.queries.last(), Some(&asked));
    desk.scene.lock(LockReason::Person);
    desk.settle();
    assert!(!desk.said().concat().contains("clipboard"));
    assert_eq!(desk.pages.next_wake(), None);
}

#[test]
fn what_is_painted_in_steps_is_what_is_painted_at_once() {
    // The same page, reached on a way with other sizes, looks and pages, and straight.
    let light = Settings {
        theme: Theme::Light,
        ..Settings::default()
    };
    for (page, tab) in [("Zones", WorkPage::Zones), ("Policy", WorkPage::Policy)] {
        let mut roundabout = desk();
        roundabout.open("Settings");
        for (width, height, scale, settings) in [
            (900, 700, 180, Settings::default()),
            (1280, 800, 120, light),
            (1280, 800, 120, Settings::default()),
        ] {
            let area = Rect::new(0, 0, width, height);
            roundabout
                .scene
                .set_output(OutputId(0), area, Scale::from_120ths(scale));
            roundabout.scene.set_settings(settings);
            roundabout.settle();
            roundabout.point(600, 300);
            roundabout.scene.turn_to(tab);
            roundabout.settle();
        }
        for _ in 0..30 {
            roundabout.tap(keys::TAB);
        }
        for y in (50..750).step_by(9) {
            roundabout.point(y, y);
        }
        roundabout.scene.turn_to(WorkPage::Settings);
        roundabout.settle();
        roundabout.press(page);
        roundabout.point(3, 799);
        let mut straight = desk();
        straight.open(page);
        straight.point(3, 799);
        let (a, b) = (roundabout.picture(), straight.picture());
        let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{page}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Key(u16, bool),
    Point(u16, u16),
    Button(bool),
    Wheel(i16, i16),
    Output(u16, u16, u32),
    Look(u8),
    Views(u8),
    Page(u8),
    Wait(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..128u16, any::<bool>()).prop_map(|(code, shift)| Op::Key(code, shift)),
        2 => Just(Op::Key(keys::TAB, false)),
        2 => Just(Op::Key(keys::ENTER, false)),
        4 => (0..1400u16, 0..900u16).prop_map(|(x, y)| Op::Point(x, y)),
        6 => any::<bool>().prop_map(Op::Button),
        2 => (any::<i16>(), any::<i16>()).prop_map(|(x, y)| Op::Wheel(x, y)),
        1 => (1..1600u16, 1..1000u16, 60..480u32).prop_map(|(x, y, scale)| Op::Output(x, y, scale)),
        1 => any::<u8>().prop_map(Op::Look),
        2 => any::<u8>().prop_map(Op::Views),
        2 => (0..5u8).prop_map(Op::Page),
        1 => any::<u16>().prop_map(Op::Wait),
    ]
}

fn change(desk: &mut Desk, seed: u8) {
    let some = usize::from(seed);
    let hostile: String = ['a', '\u{202e}', ' ', 'W', '\u{301}', '\n', '\u{2713}']
        .iter()
        .cycle()
        .take(some)
        .collect();
    for facts in desk.zones.zones.values_mut() {
        facts.image = label(&hostile);
        facts.memory = label(&hostile);
    }
    let parties = desk.policy.parties.clone();
    desk.policy.parties = parties.iter().cycle().take(some % 70).cloned().collect();
    desk.policy.kinds.truncate(some % 8);
    desk.policy.facts = vec![label(&hostile); some % 9];
    // Numbers as no endpoint would give them.
    desk.audit.matching = [0, 3, 1000, u64::MAX][some % 4];
    desk.audit.skipped = [0, 900, u64::MAX, 1][some / 4 % 4];
    desk.audit.trouble = label(&hostile);
    let devices = desk.usb.devices.clone();
    desk.usb.devices = devices.iter().cycle().take(some).cloned().collect();
    for device in &mut desk.usb.devices {
        device.zones.truncate(some % 5);
        device.held_by = Some(ZoneId(u32::from(seed % 7)));
    }
    desk.pages.set_zones(desk.zones.clone());
    desk.pages.set_policy(desk.policy.clone());
    desk.pages.set_audit(desk.audit.clone());
    desk.pages.set_usb(desk.usb.clone());
}

fn perform(desk: &mut Desk, op: &Op) {
    match *op {
        Op::Key(code, shift) => {
            let held = shift.then_some(keys::LEFT_SHIFT);
            let hold = |desk: &mut Desk, movement| {
                if let Some(code) = held {
                    desk.input(InputEvent::Key { code, movement });
                }
            };
            hold(desk, KeyMovement::Pressed);
            desk.tap(code);
            hold(desk, KeyMovement::Released);
        }
        Op::Point(x, y) => desk.point(x.into(), y.into()),
        Op::Button(pressed) => desk.input(InputEvent::Button {
            button: keys::BUTTON_LEFT,
            pressed,
        }),
        Op::Wheel(vertical, horizontal) => desk.input(InputEvent::Wheel {
            vertical: vertical.into(),
            horizontal: horizontal.into(),
        }),
        Op::Output(width, height, scale) => {
            let area = Rect::new(0, 0, width.into(), height.into());
            desk.size = area.size();
            let scale = Scale::from_120ths(scale);
            desk.scene.set_output(OutputId(0), area, scale);
        }
        Op::Look(seed) => {
            let settings = Settings {
                theme: [Theme::Dark, Theme::Light, Theme::HighContrast][usize::from(seed % 3)],
                large_text: seed & 4 == 0,
                ..desk.scene.settings()
            };
            desk.scene.set_settings(settings);
        }
        Op::Views(seed) => change(desk, seed),
        Op::Page(page) => {
            if desk.scene.work_space().is_some() {
                desk.scene.turn_to(WorkPage::ALL[usize::from(page)]);
            }
        }
        Op::Wait(milliseconds) => desk.now += Duration::from_millis(milliseconds.into()),
    }
    desk.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_pages_stay_sound(page in 0..5usize, ops in proptest::collection::vec(op(), 1..40)) {
        let mut desk = desk();
        desk.open(["Zones", "Policy", "Log", "USB", "Settings"][page]);
        for op in &ops {
            perform(&mut desk, op);
            let Some(space) = desk.scene.work_space() else { continue };
            let tree = desk.scene.accessible_tree();
            prop_assert!(tree.nodes.len() < 5000);
            let mut known: Vec<_> = tree.nodes.iter().map(|(id, _)| *id).collect();
            known.sort_unstable();
            let count = known.len();
            known.dedup();
            prop_assert_eq!(count, known.len(), "two nodes have one number");
            prop_assert!(known.binary_search(&tree.focus).is_ok(), "focus is on nothing");
            for (_, node) in &tree.nodes {
                for child in node.children() {
                    prop_assert!(known.binary_search(child).is_ok(), "a child is nowhere");
                }
                if node.supports_action(accesskit::Action::Focus) {
                    let named = node.label().is_some_and(|name| !name.is_empty())
                        || !node.labelled_by().is_empty();
                    prop_assert!(named, "{node:?} has no name");
                }
            }
            prop_assert!(space.size.width <= desk.size.width.max(64));
        }
        desk.picture();
        // Whatever a page does by itself ends.
        for _ in 0..200 {
            let Some(wake) = desk.pages.next_wake() else { break };
            desk.now = desk.now.max(wake);
            desk.settle();
        }
        prop_assert_eq!(desk.pages.next_wake(), None);
    }
}
