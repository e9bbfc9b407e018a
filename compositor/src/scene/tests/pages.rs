//! Pages a person works with, the panel's signs, and what screen readers are told.

use super::trusted::{at, chord, question, tap};
use super::*;
use crate::trusted::views::*;
use crate::trusted::work::*;
use crate::trusted::{LockReason, Refusal};

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

/// Opens a page on the attention screen; what is wanted of it.
fn open(scene: &mut Scene, page: &str) -> WorkSpace {
    chord(scene, keys::SPACE, false);
    assert_eq!(press(scene, page, Duration::ZERO), []);
    scene.work_space().unwrap()
}

#[test]
fn a_page_hears_keys_and_pointer_and_a_zone_hears_nothing() {
    let mut scene = desk();
    focus(&mut scene, CORP);
    let space = open(&mut scene, "Settings");
    assert_eq!(space.page, WorkPage::Settings);
    assert_eq!(scene.take_page_input(), []);
    point(&mut scene, Point::new(1, 1));
    let now = Duration::ZERO;
    for (code, shift) in [(30, false), (keys::TAB, true), (keys::DOWN, false)] {
        let held = shift.then_some(keys::LEFT_SHIFT);
        for (code, movement) in held
            .iter()
            .map(|code| (*code, Pressed))
            .chain([(code, Pressed), (code, Repeated), (code, Released)])
            .chain(held.iter().map(|code| (*code, Released)))
        {
            assert_eq!(scene.handle(InputEvent::Key { code, movement }, now), []);
        }
    }
    let key = |key, shift| PageInput::Key { key, shift };
    let heard = scene.take_page_input();
    let expected = [
        PageInput::Pointer(None),
        PageInput::Text('a'),
        key(NamedKey::Tab, true),
        key(NamedKey::Down, false),
    ];
    assert_eq!(heard, expected, "each press once, no repeat");
    // Back to the desktop: the zone that had the keyboard has it again.
    let closed = tap(&mut scene, keys::ESCAPE, now);
    assert!(closed.contains(&to(CORP, ZoneInput::Focus(true))));
    assert_eq!(scene.work_space(), None);
}

#[test]
fn a_picture_is_shown_within_its_sheet_alone_and_goes_with_the_page() {
    let mut scene = desk();
    let space = open(&mut scene, "USB");
    scene.handle(InputEvent::PointerLeft, Duration::ZERO);
    let red = 0xffff_0000;
    let paint = |scene: &mut Scene, size: Size| {
        scene.paint_page_picture(size, |pixels| {
            pixels.fill(red);
            vec![Rect::of_size(size)]
        });
    };
    let count = |scene: &mut Scene| {
        let mut pixels = vec![0; 800 * 600];
        scene.damage_all();
        let (size, stride) = (SIZE, usize::try_from(SIZE.width).unwrap());
        let mut target = Target {
            pixels: &mut pixels,
            size,
            stride,
            age: 0,
        };
        scene.render(OutputId(0), &mut target);
        pixels.iter().filter(|pixel| **pixel == red).count()
    };
    paint(&mut scene, Size::new(10, 10));
    assert_eq!(count(&mut scene), 0, "a picture that nobody wants");
    paint(&mut scene, space.size);
    let area = usize::try_from(space.size.width * space.size.height).unwrap();
    assert_eq!(count(&mut scene), area);
    // What changes in it is all that is painted.
    let before = scene.statistics().painted;
    scene.paint_page_picture(space.size, |_| {
        vec![Rect::new(5, 5, 10, 10), Rect::new(-50, 0, 40, 9)]
    });
    let mut pixels = vec![0; 800 * 600];
    let mut target = Target {
        pixels: &mut pixels,
        size: SIZE,
        stride: 800,
        age: 1,
    };
    scene.render(OutputId(0), &mut target);
    assert_eq!(scene.statistics().painted - before, 100);
    let next = {
        scene.turn_to(WorkPage::Zones);
        scene.work_space().unwrap()
    };
    assert_ne!(next.visit, space.visit);
    assert_eq!(count(&mut scene), 0, "another page's picture");
    scene.leave_page();
    paint(&mut scene, space.size);
    assert_eq!(count(&mut scene), 0);
}

#[test]
fn escape_leaves_a_page_unless_it_undoes_something_there_and_attention_always_comes() {
    let mut scene = desk();
    open(&mut scene, "Policy");
    scene.set_page_tree(PageTree::default(), true);
    tap(&mut scene, keys::ESCAPE, Duration::ZERO);
    let escape = PageInput::Key {
        key: NamedKey::Escape,
        shift: false,
    };
    assert_eq!(scene.take_page_input(), [escape]);
    assert!(scene.work_space().is_some());
    // The attention key takes the page away, whatever it claims.
    chord(&mut scene, keys::SPACE, false);
    assert_eq!(scene.work_space(), None);
    assert!(said(&scene).contains(&"Trusted screen".to_owned()));
    open(&mut scene, "Policy");
    tap(&mut scene, keys::ESCAPE, Duration::ZERO);
    assert!(!scene.is_trusted_up(), "a new page claims nothing");
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
            .find(|(_, node)| node.label() == Some(what));
        node.and_then(|(_, node)| node.bounds()).unwrap()
    };
    assert!(said(&scene).contains(&"09:41".to_owned()) && said(&scene).contains(&"EN".to_owned()));
    sign("Policy: in order");
    let log = sign("Log: needs a look");
    let inside = |from: f64| format!("{:.0}", from + 4.0).parse().unwrap();
    point(&mut scene, Point::new(inside(log.x0), inside(log.y0)));
    let opened = button(&mut scene, true);
    assert!(opened.contains(&Action::FocusChanged(None)));
    assert_eq!(scene.work_space().unwrap().page, WorkPage::Audit);
    assert_eq!(scene.focus(), None, "the keyboard is the page's");
    scene.lock(LockReason::Person);
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
    chord(&mut scene, keys::SPACE, false);
    let attention = said(&scene).concat();
    for told in [
        "Your secret phrase: is on the screen and is not read out",
        "Restart: corp",
        "corp, running, had the keyboard",
    ] {
        assert!(attention.contains(told), "{told} is not told");
    }
    press(&mut scene, "Policy", Duration::ZERO);
    let page = said(&scene).concat();
    assert!(page.contains("is not read out"));
    tap(&mut scene, keys::ESCAPE, Duration::ZERO);
    scene.ask(question(CORP), Duration::ZERO).unwrap();
    let tree = scene.accessible_tree();
    let unarmed = tree
        .nodes
        .iter()
        .filter(|(_, node)| node.is_disabled())
        .count();
    assert!(unarmed >= 2, "answers are not there to be given yet");
    scene.lock(LockReason::Person);
    let (id, node) = {
        let tree = scene.accessible_tree();
        let found = tree.nodes.iter().find(|(id, _)| *id == tree.focus).cloned();
        found.unwrap()
    };
    assert_eq!(node.role(), accesskit::Role::PasswordInput);
    let before = scene.accessible_tree();
    for (code, seconds) in [(30, 2), (30, 3), (keys::BACKSPACE, 4)] {
        tap(&mut scene, code, at(seconds * 1000));
        assert_eq!(scene.accessible_tree(), before, "typing tells nothing");
    }
    assert_eq!((before.focus, node.value()), (id, None));
    let all = said(&scene).concat();
    for (told, what) in [
        (plain.concat(), "the desktop"),
        (attention, "the attention screen"),
        (page, "a page"),
        (all, "the lock screen"),
    ] {
        assert!(!told.contains("drawn by"), "{what}");
        assert!(!told.contains("dragons"), "{what} tells the phrase");
    }
}

/// What is spoken without being asked for, in the order of the tree.
fn live(scene: &Scene) -> Vec<(accesskit::NodeId, String, accesskit::Live)> {
    let tree = scene.accessible_tree();
    let spoken = tree.nodes.iter().filter_map(|(id, node)| {
        let live = node.live().filter(|live| *live != accesskit::Live::Off)?;
        let words = node.label().or(node.value())?;
        Some((*id, words.to_owned(), live))
    });
    spoken.collect()
}

#[test]
fn who_has_the_keyboard_notices_and_refusals_are_spoken_by_themselves() {
    use accesskit::Live::{Assertive, Polite};
    let mut scene = desk();
    scene.set_signs(PanelSigns {
        clock: Some(Label::new("09:41", 8)),
        ..PanelSigns::default()
    });
    let words = |scene: &Scene| -> Vec<_> {
        let live = live(scene).into_iter();
        live.map(|(_, words, live)| (words, live)).collect()
    };
    let nobody = ("No zone has the keyboard".to_owned(), Assertive);
    assert_eq!(words(&scene), [nobody], "a clock is not spoken");
    let status = live(&scene)[0].0;
    focus(&mut scene, CORP);
    scene.set_status(&["log not written"]);
    let corp = ("corp has the keyboard".to_owned(), Assertive);
    assert_eq!(
        words(&scene),
        [corp, ("log not written".to_owned(), Polite)]
    );
    let tree = scene.accessible_tree();
    let focused = tree.nodes.iter().find(|(id, _)| *id == tree.focus).unwrap();
    assert_eq!(focused.1.label(), Some("corp, running, has the keyboard"));
    // Its words changed, not what it is; also when a zone is gone.
    scene.remove_zone(OPEN);
    assert_eq!(live(&scene)[0].0, status);
    scene.lock(LockReason::Person);
    assert_eq!(words(&scene), []);
    tap(&mut scene, 30, at(1000));
    let tried = tap(&mut scene, keys::ENTER, at(1100));
    assert!(matches!(tried[..], [Action::UnlockAttempt(_)]));
    scene.refuse_unlock(Refusal::Wrong, Duration::from_secs(2));
    let refused = "The passphrase was wrong.".to_owned();
    let field = format!("Passphrase. {refused}");
    assert!(said(&scene).contains(&field));
    assert_eq!(words(&scene), [(refused, Assertive)]);
}

#[test]
fn another_question_is_another_dialog_and_its_first_answer_is_no() {
    let mut scene = desk();
    let asked = |scene: &Scene| {
        let tree = scene.accessible_tree();
        let find = |role| tree.nodes.iter().find(|(_, node)| node.role() == role);
        let (id, dialog) = find(accesskit::Role::AlertDialog).unwrap();
        let focused = tree.nodes.iter().find(|(id, _)| *id == tree.focus).unwrap();
        assert!(dialog.children().contains(&tree.focus));
        assert_eq!(focused.1.label(), Some("No"));
        *id
    };
    scene.ask(question(CORP), Duration::ZERO).unwrap();
    scene.ask(question(OPEN), Duration::ZERO).unwrap();
    let first = asked(&scene);
    tap(&mut scene, keys::ESCAPE, at(5000));
    assert_ne!(asked(&scene), first, "readers speak it as something new");
}
