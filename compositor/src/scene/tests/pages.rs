//! Pages a person works with, the panel's signs, and what screen readers are told.

use super::trusted::{at, chord, question, tap};
use super::*;
use crate::trusted::views::*;

const OPEN: ZoneId = A;
const CORP: ZoneId = B;

/// Two running zones by their names.
fn desk() -> Scene {
    let mut scene = Scene::new(SIZE, Scale::ONE, Settings::default());
    for (id, name) in [(OPEN, "open"), (CORP, "corp")] {
        let colour = "blue".parse().unwrap();
        let identity = ZoneIdentity::new(id, name, name, colour, Shape::Circle, Icon::Globe, 0);
        scene.add_zone(identity, None).unwrap();
        scene.set_state(id, ZoneState::Running);
        draw(&mut scene, id, 1);
    }
    scene.take_actions();
    scene
}

/// Clicks the control of this name, as a screen reader would say it.
fn press(scene: &mut Scene, name: &str, now: Duration) -> Vec<Action> {
    let tree = scene.accessible_tree();
    let found = tree.nodes.iter().find(|(_, node)| {
        node.label() == Some(name) && node.supports_action(accesskit::Action::Focus)
    });
    let bounds = found
        .and_then(|(_, node)| node.bounds())
        .unwrap_or_else(|| panic!("there is no control {name}"));
    let centre = |from: f64, to: f64| format!("{:.0}", (from + to) / 2.0).parse().unwrap();
    let at = Point::new(centre(bounds.x0, bounds.x1), centre(bounds.y0, bounds.y1));
    scene.handle(InputEvent::PointerMoved(at), now);
    [true, false]
        .into_iter()
        .flat_map(|pressed| {
            let button = keys::BUTTON_LEFT;
            scene.handle(InputEvent::Button { button, pressed }, now)
        })
        .collect()
}

/// Everything a screen reader could say.
fn said(scene: &Scene) -> Vec<String> {
    let tree = scene.accessible_tree();
    let texts = tree
        .nodes
        .iter()
        .flat_map(|(_, node)| [node.label(), node.value()]);
    texts.flatten().map(str::to_owned).collect()
}

#[test]
fn pages_ask_for_what_they_show_and_hand_acts_on() {
    let mut scene = desk();
    focus(&mut scene, CORP);
    chord(&mut scene, keys::SPACE, false);
    let now = Duration::ZERO;
    assert_eq!(
        press(&mut scene, "Policy", now),
        [Action::Query(Query::Policy)]
    );
    assert_eq!(press(&mut scene, "USB", now), [Action::Query(Query::Usb)]);
    scene.set_usb_view(UsbView {
        remark: None,
        devices: vec![UsbDeviceView {
            id: UsbDeviceId(7),
            name: Label::new("Key", 40),
            facts: Label::default(),
            held_by: Some(CORP),
            rule: Label::default(),
            may_go_to: vec![CORP, OPEN],
        }],
    });
    let device = UsbDeviceId(7);
    assert_eq!(
        press(&mut scene, "Key \u{2192} open", now),
        [Action::Usb(device, UsbCommand::Attach(OPEN))]
    );
    assert_eq!(
        press(&mut scene, "Take back: Key", now),
        [Action::Usb(device, UsbCommand::Detach)]
    );
    press(&mut scene, "Settings", now);
    let changed = press(&mut scene, "Language: Deutsch", now);
    let german = Settings {
        language: Language::German,
        ..Settings::default()
    };
    assert_eq!(changed, [Action::SettingsChanged(german)]);
    assert!(said(&scene).contains(&"Einstellungen".to_owned()));
    // Back to the desktop: the zone that had the keyboard has it again, and heard nothing meanwhile.
    let closed = tap(&mut scene, keys::ESCAPE, now);
    assert_eq!(scene.focus(), Some(CORP));
    assert!(closed.contains(&to(CORP, ZoneInput::Focus(true))));
}

#[test]
fn the_audit_page_filters_as_one_types_and_turns_its_pages() {
    let mut scene = desk();
    chord(&mut scene, keys::SPACE, false);
    let now = Duration::ZERO;
    let query = |filter: &str, skip| {
        Action::Query(Query::Audit {
            filter: filter.to_owned(),
            skip,
            count: 40,
        })
    };
    assert_eq!(press(&mut scene, "Log", now), [query("", 0)]);
    scene.set_audit_view(AuditView {
        matching: 100,
        ..AuditView::default()
    });
    assert_eq!(press(&mut scene, "Older", now), [query("", 40)]);
    assert_eq!(tap(&mut scene, keys::PAGE_DOWN, now), [query("", 40)]);
    scene.set_audit_view(AuditView {
        matching: 100,
        skipped: 80,
        ..AuditView::default()
    });
    assert_eq!(
        press(&mut scene, "Older", now),
        [query("", 99)],
        "never past the last"
    );
    assert_eq!(press(&mut scene, "Newer", now), [query("", 40)]);
    press(&mut scene, "Filter: words that records contain", now);
    // "usb", a mistake, and a space, which types and presses nothing.
    for (code, filter) in [
        (22, "u"),
        (31, "us"),
        (48, "usb"),
        (57, "usb "),
        (14, "usb"),
    ] {
        assert_eq!(tap(&mut scene, code, now), [query(filter, 0)]);
    }
}

#[test]
fn signs_in_the_panel_lead_to_their_pages_and_a_lock_hides_them() {
    let mut scene = desk();
    focus(&mut scene, OPEN);
    scene.set_signs(PanelSigns {
        clock: Some(Label::new("09:41", 8)),
        layout: true,
        policy: Health::Good,
        audit: Health::Warned,
        ..PanelSigns::default()
    });
    let tree = scene.accessible_tree();
    let sign = |what: &str| {
        let node = tree
            .nodes
            .iter()
            .find(|(_, node)| node.value() == Some(what));
        node.and_then(|(_, node)| node.bounds()).unwrap()
    };
    assert!(said(&scene).contains(&"09:41".to_owned()) && said(&scene).contains(&"EN".to_owned()));
    sign("Policy: in order");
    let log = sign("Log: needs a look");
    let inside = |from: f64| format!("{:.0}", from + 4.0).parse().unwrap();
    point(&mut scene, Point::new(inside(log.x0), inside(log.y0)));
    let opened = button(&mut scene, true);
    assert!(
        opened
            .iter()
            .any(|action| matches!(action, Action::Query(Query::Audit { .. })))
    );
    assert_eq!(scene.focus(), None, "the keyboard is the page's");
    scene.lock();
    let locked = said(&scene).concat();
    for hidden in ["open", "corp", "Log", "09:41"] {
        assert!(!locked.contains(hidden), "{hidden} is told while locked");
    }
}

#[test]
fn screen_readers_are_told_of_every_page_and_of_nothing_that_zones_draw_or_people_type() {
    let mut scene = desk();
    scene.set_secret_phrase("seven yellow dragons");
    scene.set_title(CORP, b"drawn by the zone");
    focus(&mut scene, CORP);
    let plain = said(&scene);
    assert!(
        plain.contains(&"corp has the keyboard".to_owned()),
        "{plain:?}"
    );
    assert!(
        !plain.concat().contains("dragons"),
        "the phrase is for the trusted screens"
    );
    chord(&mut scene, keys::SPACE, false);
    let attention = said(&scene).concat();
    for told in [
        "seven yellow dragons",
        "Restart: corp",
        "corp, running, had the keyboard",
    ] {
        assert!(attention.contains(told), "{told} is not told");
    }
    tap(&mut scene, keys::ESCAPE, Duration::ZERO);
    scene.ask(question(CORP), Duration::ZERO).unwrap();
    let tree = scene.accessible_tree();
    let unarmed = tree
        .nodes
        .iter()
        .filter(|(_, node)| node.is_disabled())
        .count();
    assert!(unarmed >= 2, "answers are not there to be given yet");
    scene.lock();
    let (id, node) = {
        let tree = scene.accessible_tree();
        let found = tree.nodes.iter().find(|(id, _)| *id == tree.focus).cloned();
        found.unwrap()
    };
    assert_eq!(node.role(), accesskit::Role::PasswordInput);
    tap(&mut scene, 30, at(2000));
    assert_eq!(scene.accessible_tree().focus, id);
    assert_eq!(node.value(), None);
    let all = said(&scene);
    assert!(!all.iter().any(|words| words == "a"), "{all:?}");
    for (scene_said, what) in [(plain, "the desktop"), (all, "the lock screen")] {
        assert!(!scene_said.concat().contains("drawn by"), "{what}");
    }
}
