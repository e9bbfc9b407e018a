//! Whatever a pointer can do on the desktop, keys can do as well: each act is done both ways, and what comes of it is the same.

use super::trusted::{at, chord, question, tap};
use super::*;
use crate::trusted::LockReason;
use crate::trusted::views::Health;

/// What there is after an act.
#[derive(Debug, PartialEq)]
struct Outcome {
    focus: Option<ZoneId>,
    windows: [Option<Rect>; 2],
    page: Option<String>,
    workspace: Vec<bool>,
    asked: Vec<Action>,
}

/// Does an act on a desk of its own, and settles what only one of the ways leaves behind: where the pointer is.
fn outcome(begin: fn(&mut Scene), act: impl FnOnce(&mut Scene)) -> Outcome {
    let mut scene = desk();
    scene.set_signs(PanelSigns {
        audit: Health::Good,
        policy: Health::Good,
        usb: Health::Good,
        ..PanelSigns::default()
    });
    scene.set_client_rect(A, Rect::new(100, 150, 300, 200));
    scene.set_client_rect(B, Rect::new(450, 150, 300, 200));
    focus(&mut scene, A);
    begin(&mut scene);
    scene.take_actions();
    act(&mut scene);
    let tree = scene.accessible_tree();
    let named = |role| {
        let found = tree.nodes.iter().find(|(_, node)| node.role() == role);
        found.and_then(|(_, node)| node.label().map(str::to_owned))
    };
    use accesskit::Role::{AlertDialog, Dialog, RadioButton};
    let marks = tree.nodes.iter().map(|(_, node)| node);
    let marks = marks.filter(|node| node.role() == RadioButton);
    Outcome {
        focus: scene.focus(),
        windows: [A, B].map(|id| scene.window_rect(id)),
        page: named(Dialog).or(named(AlertDialog)),
        workspace: marks
            .map(|node| node.toggled() == Some(accesskit::Toggled::True))
            .collect(),
        asked: scene
            .take_actions()
            .into_iter()
            .filter(|action| {
                use Action::{Chord, FocusChanged, SendToZone};
                !matches!(action, SendToZone(..) | FocusChanged(_) | Chord(_))
            })
            .collect(),
    }
}

/// Where a control is, by the name that a screen reader gives it.
fn place_of(scene: &Scene, name: &str) -> Point {
    let tree = scene.accessible_tree();
    let is_it = |node: &&accesskit::Node| {
        [node.label(), node.value()]
            .into_iter()
            .flatten()
            .any(|words| words.starts_with(name))
            && !matches!(
                node.role(),
                accesskit::Role::Dialog | accesskit::Role::Label
            )
    };
    let mut nodes = tree.nodes.iter().map(|(_, node)| node);
    let bounds = nodes.find(is_it).and_then(accesskit::Node::bounds);
    let bounds = bounds.unwrap_or_else(|| panic!("there is no {name}"));
    let middle = |from: f64, to: f64| format!("{:.0}", (from + to) / 2.0).parse().unwrap();
    Point::new(middle(bounds.x0, bounds.x1), middle(bounds.y0, bounds.y1))
}

fn click(scene: &mut Scene, name: &str) {
    let at = place_of(scene, name);
    click_at(scene, at);
}

fn click_at(scene: &mut Scene, at: Point) {
    point(scene, at);
    for pressed in [true, false] {
        let actions = button(scene, pressed);
        scene.actions.extend(actions);
    }
}

fn drag(scene: &mut Scene, from: Point, by: (i32, i32)) {
    point(scene, from);
    button(scene, true);
    let actions = point(scene, Point::new(from.x + by.0, from.y + by.1));
    scene.actions.extend(actions);
    let actions = button(scene, false);
    scene.actions.extend(actions);
}

/// Presses a key while the host key and perhaps another are held.
fn host(scene: &mut Scene, modifier: Option<u16>, code: u16) {
    let held = [Some(keys::LEFT_SUPER), modifier];
    let down = held.into_iter().flatten().chain([code]);
    let pressed = down.clone().map(|code| (code, Pressed));
    let released = down.map(|code| (code, Released)).collect::<Vec<_>>();
    for (code, movement) in pressed.chain(released.into_iter().rev()) {
        let actions = key(scene, code, movement);
        scene.actions.extend(actions);
    }
}

/// Selects the control so many steps on, and presses it.
fn step(scene: &mut Scene, steps: usize) {
    for code in std::iter::repeat_n(keys::TAB, steps).chain([keys::ENTER]) {
        let actions = tap(scene, code, at(5000));
        scene.actions.extend(actions);
    }
}

const SHIFT: Option<u16> = Some(keys::LEFT_SHIFT);
const HELD_CONTROL: Option<u16> = Some(keys::LEFT_CONTROL);

type Act = fn(&mut Scene);

#[test]
fn everything_that_a_pointer_does_keys_do() {
    let nothing: Act = |_| {};
    let other: Act = |scene| focus(scene, B);
    let attention: Act = |scene| {
        chord(scene, keys::SPACE, false);
    };
    let overview: Act = |scene| {
        chord(scene, keys::W, false);
    };
    let asked: Act = |scene| {
        scene.ask(question(B), at(0)).unwrap();
        scene.tick(at(5000));
    };
    let locked: Act = |scene| {
        scene.lock(LockReason::Person);
        tap(scene, 30, at(0));
    };
    // What it is, what there is first, by the pointer, by keys.
    let acts: &[(&str, Act, Act, Act)] = &[
        (
            "a window's zone gets the keyboard",
            nothing,
            |scene| click_at(scene, Point::new(500, 250)),
            |scene| host(scene, None, keys::TAB),
        ),
        (
            "a zone of the panel",
            other,
            |scene| click(scene, "zone, running"),
            |scene| host(scene, None, keys::DIGIT_ONE),
        ),
        (
            "move",
            nothing,
            |scene| {
                let outer = scene.window_rect(A).unwrap();
                drag(
                    scene,
                    Point::new(outer.left() + 60, outer.top() + 12),
                    (32, 0),
                );
            },
            |scene| host(scene, SHIFT, keys::RIGHT),
        ),
        (
            "make wider",
            nothing,
            |scene| {
                let outer = scene.window_rect(A).unwrap();
                drag(
                    scene,
                    Point::new(outer.right() - 2, outer.centre().y),
                    (32, 0),
                );
            },
            |scene| host(scene, HELD_CONTROL, keys::RIGHT),
        ),
        (
            "make lower",
            nothing,
            |scene| {
                let outer = scene.window_rect(A).unwrap();
                drag(
                    scene,
                    Point::new(outer.centre().x, outer.bottom() - 2),
                    (0, -32),
                );
            },
            |scene| host(scene, HELD_CONTROL, keys::UP),
        ),
        (
            "maximise",
            nothing,
            |scene| {
                let outer = scene.window_rect(A).unwrap();
                click_at(scene, Point::new(outer.right() - 16, outer.top() + 16));
            },
            |scene| host(scene, None, keys::F),
        ),
        (
            "hide",
            nothing,
            |scene| {
                let outer = scene.window_rect(A).unwrap();
                click_at(scene, Point::new(outer.right() - 44, outer.top() + 16));
            },
            |scene| host(scene, None, keys::M),
        ),
        (
            "another workspace",
            nothing,
            |scene| click(scene, "Workspace 2"),
            |scene| host(scene, None, keys::PAGE_DOWN),
        ),
        (
            "the page of the log",
            nothing,
            |scene| click(scene, "Log: in order"),
            |scene| {
                host(scene, None, keys::SPACE);
                // Behind three buttons for each of two zones, and two other pages.
                step(scene, 9);
            },
        ),
        (
            "a page from the attention screen",
            attention,
            |scene| click(scene, "Settings"),
            |scene| step(scene, 11),
        ),
        (
            "stop a zone",
            attention,
            |scene| click(scene, "Stop: zone"),
            |scene| step(scene, 3),
        ),
        (
            "back",
            attention,
            |scene| click(scene, "Back"),
            |scene| {
                tap(scene, keys::ESCAPE, at(5000));
            },
        ),
        (
            "a zone in the overview",
            overview,
            |scene| click(scene, "Show: zone"),
            |scene| step(scene, 0),
        ),
        (
            "an answer",
            asked,
            |scene| click(scene, "Allow once"),
            |scene| step(scene, 1),
        ),
        (
            "no",
            asked,
            |scene| click(scene, "No"),
            |scene| step(scene, 0),
        ),
        (
            "unlock",
            locked,
            |scene| click(scene, "Unlock"),
            |scene| step(scene, 0),
        ),
    ];
    for (what, begin, by_pointer, by_keys) in acts {
        let before = outcome(*begin, |_| {});
        let pointed = outcome(*begin, by_pointer);
        assert_eq!(outcome(*begin, by_keys), pointed, "{what}");
        assert_ne!(pointed, before, "{what} does nothing");
    }
}
