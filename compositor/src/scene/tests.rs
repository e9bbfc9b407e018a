//! What the scene does for particular acts of people and zones. The numbers in brackets are those of the attack
//! catalogue in `docs/attacks.md`.

use super::*;
use crate::chords::Chord;
use crate::cursor::CursorImage;
use crate::icons::{Icon, Masks, Shape};
use crate::input::{InputEvent, KeyMovement};
use crate::keys;
use crate::scene::window::Arrangement;
use crate::zone::StillPixels;

mod by_keys;
mod pages;
mod trusted;
mod words;

const A: ZoneId = ZoneId(1);
const B: ZoneId = ZoneId(2);
const LETTER: u16 = 30;
const CONTROL: u16 = 29;
const SIZE: Size = Size {
    width: 800,
    height: 600,
};

fn identity(id: ZoneId, colour: &str) -> ZoneIdentity {
    ZoneIdentity::new(
        id,
        "zone",
        "zone",
        colour.parse().unwrap(),
        Shape::Circle,
        Icon::Globe,
        0,
    )
}

/// Two running zones, left and right half, each with a drawn surface of its client's size; nobody has the keyboard.
fn desk() -> Scene {
    let mut scene = Scene::new(SIZE, Scale::ONE, Settings::default());
    for (id, colour) in [(A, "green"), (B, "blue")] {
        scene.add_zone(identity(id, colour), None).unwrap();
        scene.set_state(id, ZoneState::Running);
        draw(&mut scene, id, 1);
    }
    scene.take_actions();
    scene
}

fn draw(scene: &mut Scene, id: ZoneId, generation: u32) {
    let size = scene.client_size(id).unwrap();
    scene
        .attach(
            id,
            Generation(generation),
            Box::new(StillPixels::from_fn(size, |x, y| x ^ y)),
        )
        .unwrap();
    scene.damage(id, Generation(generation), &[Rect::of_size(size)]);
}

fn paint(scene: &mut Scene, age: u8, pixels: &mut Vec<u32>) -> Vec<Rect> {
    pixels.resize(800 * 600, 0);
    scene
        .render(
            OutputId(0),
            &mut Target {
                pixels,
                size: SIZE,
                stride: 800,
                age,
            },
        )
        .to_vec()
}

fn key(scene: &mut Scene, code: u16, movement: KeyMovement) -> Vec<Action> {
    scene.handle(InputEvent::Key { code, movement }, Duration::ZERO)
}

fn point(scene: &mut Scene, at: Point) -> Vec<Action> {
    scene.handle(InputEvent::PointerMoved(at), Duration::ZERO)
}

fn button(scene: &mut Scene, pressed: bool) -> Vec<Action> {
    scene.handle(
        InputEvent::Button {
            button: keys::BUTTON_LEFT,
            pressed,
        },
        Duration::ZERO,
    )
}

fn inside(scene: &Scene, id: ZoneId, x: i32, y: i32) -> Point {
    let client = scene.client_rect(id).unwrap();
    Point::new(client.left() + x, client.top() + y)
}

fn focus(scene: &mut Scene, id: ZoneId) {
    let at = inside(scene, id, 5, 5);
    point(scene, at);
    button(scene, true);
    button(scene, false);
    assert_eq!(scene.focus(), Some(id));
}

fn to(id: ZoneId, input: ZoneInput) -> Action {
    Action::SendToZone(id, input)
}

fn pressed(id: ZoneId, code: u16) -> Action {
    to(
        id,
        ZoneInput::Key {
            code,
            pressed: true,
        },
    )
}

fn released(id: ZoneId, code: u16) -> Action {
    to(
        id,
        ZoneInput::Key {
            code,
            pressed: false,
        },
    )
}

use KeyMovement::{Pressed, Released, Repeated};

#[test]
fn a_click_gives_focus_and_reaches_the_zone_after_the_place() {
    let mut scene = desk();
    let at = inside(&scene, B, 7, 9);
    assert_eq!(
        point(&mut scene, at),
        [],
        "[35] motion goes to nobody without focus"
    );
    let actions = button(&mut scene, true);
    assert_eq!(
        actions,
        [
            Action::FocusChanged(Some(B)),
            to(B, ZoneInput::Focus(true)),
            to(B, ZoneInput::Motion { x: 7, y: 9 }),
            to(
                B,
                ZoneInput::Button {
                    button: keys::BUTTON_LEFT,
                    pressed: true
                }
            ),
        ]
    );
    let over_a = inside(&scene, A, 3, 3);
    assert_eq!(
        point(&mut scene, over_a),
        [to(B, ZoneInput::Motion { x: 0, y: 3 })],
        "a drag stays with its zone"
    );
    assert_eq!(
        button(&mut scene, false),
        [to(
            B,
            ZoneInput::Button {
                button: keys::BUTTON_LEFT,
                pressed: false
            }
        )]
    );
    assert_eq!(point(&mut scene, over_a), []);
}

#[test]
fn nothing_a_zone_does_moves_focus() {
    // [31]
    let mut scene = desk();
    focus(&mut scene, A);
    key(&mut scene, LETTER, Pressed);
    for id in [B, ZoneId(3)] {
        let _ = scene.add_zone(identity(id, "red"), None);
        scene.set_state(id, ZoneState::starting("x"));
        scene.set_state(id, ZoneState::Running);
        draw(&mut scene, id, 9);
        scene.set_title(id, b"urgent!");
        scene.set_zone_cursor(id, Some(ZoneCursor::Hidden));
        scene.set_state(id, ZoneState::dark("oops"));
    }
    scene.remove_zone(B);
    assert_eq!(scene.focus(), Some(A));
    let actions = scene.take_actions();
    assert!(
        actions
            .iter()
            .all(|action| matches!(action, Action::ResizeZone(..))),
        "{actions:?}"
    );
    scene.remove_zone(A);
    assert_eq!(
        scene.take_actions(),
        [Action::FocusChanged(None)],
        "nobody inherits the keyboard"
    );
}

#[test]
fn held_keys_end_in_the_old_zone_and_modifiers_begin_in_the_new_one() {
    // [33]
    let mut scene = desk();
    focus(&mut scene, A);
    assert_eq!(
        key(&mut scene, CONTROL, Pressed),
        [],
        "it may become part of a chord"
    );
    assert_eq!(
        key(&mut scene, LETTER, Pressed),
        [pressed(A, CONTROL), pressed(A, LETTER)]
    );
    let at = inside(&scene, B, 5, 5);
    point(&mut scene, at);
    let actions = button(&mut scene, true);
    assert_eq!(
        actions[..5],
        [
            released(A, CONTROL),
            released(A, LETTER),
            to(A, ZoneInput::Focus(false)),
            Action::FocusChanged(Some(B)),
            to(B, ZoneInput::Focus(true)),
        ]
    );
    assert_eq!(actions[5], pressed(B, CONTROL));
    assert_eq!(
        key(&mut scene, LETTER, Released),
        [],
        "the letter belonged to the old zone"
    );
    assert_eq!(key(&mut scene, CONTROL, Released), [released(B, CONTROL)]);
}

#[test]
fn repeats_machine_keys_and_strange_codes_reach_nobody() {
    let mut scene = desk();
    focus(&mut scene, A);
    assert_eq!(key(&mut scene, LETTER, Pressed), [pressed(A, LETTER)]);
    assert_eq!(key(&mut scene, LETTER, Repeated), []);
    assert_eq!(
        key(&mut scene, LETTER, Pressed),
        [],
        "a second press without a release"
    );
    for code in [0, 116, 142, 143, 205, 256, 0x110, u16::MAX] {
        assert_eq!(key(&mut scene, code, Pressed), [], "code {code}");
        assert_eq!(key(&mut scene, code, Released), [], "code {code}");
    }
}

#[test]
fn no_zone_sees_any_part_of_a_chord_in_any_order() {
    // [34]
    let orders: [&[(u16, KeyMovement)]; 4] = [
        &[(125, Pressed), (1, Pressed), (1, Released), (125, Released)],
        &[(125, Pressed), (1, Pressed), (125, Released), (1, Released)],
        &[
            (126, Pressed),
            (125, Pressed),
            (126, Released),
            (1, Pressed),
            (1, Repeated),
            (1, Released),
            (125, Released),
        ],
        &[
            (125, Pressed),
            (125, Repeated),
            (42, Pressed),
            (1, Pressed),
            (42, Released),
            (1, Released),
            (125, Released),
        ],
    ];
    for order in orders {
        let mut scene = desk();
        focus(&mut scene, A);
        let actions: Vec<Action> = order
            .iter()
            .flat_map(|(code, movement)| key(&mut scene, *code, *movement))
            .collect();
        assert_eq!(
            actions,
            [
                to(A, ZoneInput::Focus(false)),
                Action::FocusChanged(None),
                Action::Chord(Chord::SecureAttention)
            ]
        );
        // And the keyboard is as new afterwards: Escape goes back to the zone, and is then the zone's.
        assert!(scene.is_trusted_up());
        let back = key(&mut scene, 1, Pressed);
        assert_eq!(
            back,
            [Action::FocusChanged(Some(A)), to(A, ZoneInput::Focus(true))]
        );
        assert_eq!(key(&mut scene, 1, Released), []);
        assert_eq!(key(&mut scene, 1, Pressed), [pressed(A, 1)]);
    }
}

#[test]
fn control_alt_escape_leaks_nothing_in_any_order_of_its_modifiers() {
    // [34]
    let down = [[29, 56], [56, 29], [97, 100], [100, 29]];
    for modifiers in down {
        for extra in [None, Some(keys::RIGHT_SHIFT)] {
            let mut scene = desk();
            focus(&mut scene, A);
            let mut actions = Vec::new();
            for code in modifiers.into_iter().chain(extra).chain([keys::ESCAPE]) {
                actions.extend(key(&mut scene, code, Pressed));
            }
            for code in [keys::ESCAPE].into_iter().chain(modifiers).chain(extra) {
                actions.extend(key(&mut scene, code, Released));
            }
            assert_eq!(
                actions,
                [
                    to(A, ZoneInput::Focus(false)),
                    Action::FocusChanged(None),
                    Action::Chord(Chord::SecureAttention)
                ]
            );
            let back = key(&mut scene, keys::ESCAPE, Pressed);
            assert_eq!(
                back,
                [Action::FocusChanged(Some(A)), to(A, ZoneInput::Focus(true))]
            );
            key(&mut scene, keys::ESCAPE, Released);
            assert_eq!(
                key(&mut scene, LETTER, Pressed),
                [pressed(A, LETTER)],
                "nothing is left of the chord"
            );
        }
    }
}

#[test]
fn modifiers_that_become_no_chord_reach_the_zone_in_their_order() {
    let mut scene = desk();
    focus(&mut scene, A);
    // A tap of one alone.
    assert_eq!(key(&mut scene, keys::LEFT_ALT, Pressed), []);
    let tap = [pressed(A, keys::LEFT_ALT), released(A, keys::LEFT_ALT)];
    assert_eq!(key(&mut scene, keys::LEFT_ALT, Released), tap);
    // With a key, with a click, with the wheel.
    key(&mut scene, keys::LEFT_ALT, Pressed);
    key(&mut scene, CONTROL, Pressed);
    let typed = [
        pressed(A, keys::LEFT_ALT),
        pressed(A, CONTROL),
        pressed(A, LETTER),
    ];
    assert_eq!(key(&mut scene, LETTER, Pressed), typed);
    for code in [LETTER, CONTROL, keys::LEFT_ALT] {
        assert_eq!(key(&mut scene, code, Released), [released(A, code)]);
    }
    key(&mut scene, keys::LEFT_SHIFT, Pressed);
    assert_eq!(
        button(&mut scene, true).first(),
        Some(&pressed(A, keys::LEFT_SHIFT))
    );
    button(&mut scene, false);
    assert_eq!(
        key(&mut scene, keys::LEFT_SHIFT, Released),
        [released(A, keys::LEFT_SHIFT)]
    );
    key(&mut scene, CONTROL, Pressed);
    let turned = scene.handle(
        InputEvent::Wheel {
            vertical: 120,
            horizontal: 0,
        },
        Duration::ZERO,
    );
    let wheel = to(
        A,
        ZoneInput::Wheel {
            vertical: 120,
            horizontal: 0,
        },
    );
    assert_eq!(turned, [pressed(A, CONTROL), wheel]);
}

#[test]
fn a_key_held_before_the_host_key_is_released_where_it_was_pressed() {
    let mut scene = desk();
    focus(&mut scene, A);
    key(&mut scene, LETTER, Pressed);
    assert_eq!(key(&mut scene, keys::LEFT_SUPER, Pressed), []);
    assert_eq!(key(&mut scene, LETTER, Released), [released(A, LETTER)]);
}

#[test]
fn the_attention_chord_breaks_every_grab() {
    // [32]
    let mut scene = desk();
    let at = inside(&scene, A, 5, 5);
    point(&mut scene, at);
    button(&mut scene, true);
    key(&mut scene, LETTER, Pressed);
    key(&mut scene, keys::LEFT_SUPER, Pressed);
    let actions = key(&mut scene, keys::ESCAPE, Pressed);
    assert_eq!(
        actions,
        [
            to(
                A,
                ZoneInput::Button {
                    button: keys::BUTTON_LEFT,
                    pressed: false
                }
            ),
            released(A, LETTER),
            to(A, ZoneInput::Focus(false)),
            Action::FocusChanged(None),
            Action::Chord(Chord::SecureAttention),
        ]
    );
    assert_eq!(button(&mut scene, false), []);
    assert_eq!(point(&mut scene, at), []);
}

#[test]
fn a_lost_keyboard_leaves_nothing_held() {
    let mut scene = desk();
    focus(&mut scene, A);
    key(&mut scene, LETTER, Pressed);
    key(&mut scene, keys::LEFT_SUPER, Pressed);
    assert_eq!(
        scene.handle(InputEvent::KeyboardLost, Duration::ZERO),
        [released(A, LETTER)]
    );
    assert_eq!(
        key(&mut scene, LETTER, Pressed),
        [pressed(A, LETTER)],
        "Super is no longer held"
    );
}

#[test]
fn chords_move_focus_and_windows() {
    let mut scene = desk();
    let chord = |scene: &mut Scene, code: u16| {
        let mut actions = key(scene, keys::LEFT_SUPER, Pressed);
        actions.extend(key(scene, code, Pressed));
        actions.extend(key(scene, code, Released));
        actions.extend(key(scene, keys::LEFT_SUPER, Released));
        actions
    };
    chord(&mut scene, keys::TAB);
    assert_eq!(scene.focus(), Some(A));
    chord(&mut scene, keys::TAB);
    assert_eq!(scene.focus(), Some(B));
    chord(&mut scene, keys::UP);
    chord(&mut scene, keys::UP);
    assert_eq!(
        scene.window_rect(B),
        Some(Rect::from_edges(0, 34, 800, 600)),
        "the panel stays"
    );
    let client = scene.client_size(B).unwrap();
    assert_eq!(
        client,
        Size::new(800 - 8, 600 - 34 - 28 - 8),
        "the frame stays"
    );
    chord(&mut scene, keys::DOWN);
    assert_eq!(
        scene.placement(B).unwrap().arrangement,
        Arrangement::Floating
    );
    let actions = chord(&mut scene, keys::LEFT);
    let half = scene.client_size(B).unwrap();
    assert!(
        actions.contains(&Action::ResizeZone(B, half)),
        "{actions:?}"
    );
    chord(&mut scene, 50);
    assert_eq!(
        scene.focus(),
        None,
        "a hidden window has no focus, and nobody inherits it"
    );
    chord(&mut scene, 3);
    assert_eq!(scene.focus(), Some(B));
    assert!(!scene.placement(B).unwrap().minimised);
}

#[test]
fn windows_are_moved_resized_and_offered_sizes_at_a_bounded_pace() {
    // [15]
    let mut scene = desk();
    scene.set_client_rect(A, Rect::new(100, 150, 300, 200));
    scene.take_actions();
    let outer = scene.window_rect(A).unwrap();
    point(&mut scene, Point::new(outer.left() + 60, outer.top() + 12));
    button(&mut scene, true);
    point(&mut scene, Point::new(outer.left() + 90, outer.top() + 32));
    button(&mut scene, false);
    assert_eq!(scene.window_rect(A), Some(outer.moved_by(30, 20)));

    let outer = scene.window_rect(A).unwrap();
    point(
        &mut scene,
        Point::new(outer.right() - 2, outer.bottom() - 2),
    );
    button(&mut scene, true);
    let mut asked = 0;
    for step in 1..=1000u64 {
        let by = i32::try_from(step % 90).unwrap();
        let event = InputEvent::PointerMoved(Point::new(outer.right() + by, outer.bottom() + by));
        let actions = scene.handle(event, Duration::from_millis(step));
        asked += actions
            .iter()
            .filter(|action| matches!(action, Action::ResizeZone(..)))
            .count();
    }
    assert!((2..=10).contains(&asked), "{asked} sizes in one second");
    let release = InputEvent::Button {
        button: keys::BUTTON_LEFT,
        pressed: false,
    };
    let last = scene.handle(release, Duration::from_millis(1001));
    assert_eq!(
        last,
        [Action::ResizeZone(A, scene.client_size(A).unwrap())],
        "the last size is always asked for"
    );
}

#[test]
fn a_window_cannot_be_lost_off_screen_or_under_the_panel() {
    // [11, 12]
    let mut scene = desk();
    for rect in [
        Rect::new(i32::MIN, i32::MIN, 10, 10),
        Rect::new(i32::MAX, i32::MAX, u32::MAX, u32::MAX),
        Rect::new(-5000, 100, 4000, 3),
    ] {
        scene.set_client_rect(A, rect);
        let outer = scene.window_rect(A).unwrap();
        let title = Rect::from_edges(outer.left(), outer.top(), outer.right(), outer.top() + 32);
        let seen = title.intersection(&Rect::from_edges(0, 34, 800, 600));
        assert!(seen.width() >= 90 && seen.height() == 32, "{outer:?}");
    }
    scene.set_output(
        OutputId(1),
        Rect::new(800, 0, 800, 600),
        Scale::from_factor(2.0),
    );
    scene.set_client_rect(A, Rect::new(1200, 200, 300, 200));
    scene.remove_output(OutputId(1));
    assert!(
        scene
            .window_rect(A)
            .unwrap()
            .intersects(&Rect::new(0, 34, 710, 500))
    );
}

#[test]
fn surfaces_and_damage_that_make_no_sense_are_refused_or_cut() {
    // [10, 18, 20, 24]
    let mut scene = desk();
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    let surface = |width, height| -> Box<dyn ZonePixels> {
        struct Sized(Size);
        impl ZonePixels for Sized {
            fn size(&self) -> Size {
                self.0
            }
            fn copy_row(&self, _: u32, _: u32, _: &mut [u32]) {}
        }
        Box::new(Sized(Size { width, height }))
    };
    for (width, height) in [
        (0, 5),
        (5, 0),
        (16_385, 1),
        (1, u32::MAX),
        (u32::MAX, u32::MAX),
    ] {
        let refused = scene.attach(A, Generation(7), surface(width, height));
        assert_eq!(
            refused,
            Err(SceneError::BadSurface {
                zone: A,
                width,
                height
            })
        );
    }
    assert_eq!(
        scene.attach(A, Generation(1), surface(5, 5)),
        Err(SceneError::StaleSurface(A, Generation(1)))
    );
    assert_eq!(
        scene.attach(ZoneId(9), Generation(1), surface(5, 5)),
        Err(SceneError::Unknown(ZoneId(9)))
    );
    assert!(!scene.needs_render(OutputId(0)));

    scene.damage(A, Generation(9), &[Rect::new(0, 0, 9, 9)]);
    scene.damage(
        A,
        Generation(1),
        &[
            Rect::new(i32::MAX, i32::MIN, u32::MAX, 4),
            Rect::new(-9, -9, 9, 9),
        ],
    );
    assert!(
        !scene.needs_render(OutputId(0)),
        "damage outside of everything"
    );
    let many: Vec<Rect> = (0..100_000)
        .map(|n| Rect::new(n % 300, n / 300, 2, 2))
        .collect();
    scene.damage(A, Generation(1), &many);
    let client = scene.client_rect(A).unwrap();
    let changed = paint(&mut scene, 1, &mut pixels);
    assert!(
        changed.len() <= Region::MAXIMUM_RECTS && changed.iter().all(|rect| client.covers(rect))
    );
}

#[test]
fn each_damaged_pixel_is_copied_once_and_no_other() {
    let mut scene = desk();
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    let before = scene.statistics();
    scene.damage(
        B,
        Generation(1),
        &[
            Rect::new(10, 10, 20, 5),
            Rect::new(15, 12, 30, 30),
            Rect::new(10, 10, 20, 5),
        ],
    );
    let changed = paint(&mut scene, 1, &mut pixels);
    let area: u64 = changed.iter().map(Rect::area).sum();
    let after = scene.statistics();
    assert_eq!(area, 20 * 5 + 30 * 30 - 15 * 3);
    assert_eq!(
        (after.painted - before.painted, after.copied - before.copied),
        (area, area)
    );
}

#[test]
fn nothing_wakes_when_nothing_changes() {
    let mut scene = desk();
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    scene.set_state(A, ZoneState::Running);
    scene.set_title(A, b"");
    scene.set_weakened(A, None);
    scene.set_status::<&str>(&[]);
    scene.set_settings(Settings::default());
    assert!(!scene.needs_render(OutputId(0)));
    assert_eq!(scene.next_wake(), None);
    pixels.fill(0x5a5a_5a5a);
    assert!(paint(&mut scene, 1, &mut pixels).is_empty());
    assert!(pixels.iter().all(|pixel| *pixel == 0x5a5a_5a5a));
}

#[test]
fn damage_under_other_windows_and_of_hidden_windows_costs_nothing() {
    let mut scene = desk();
    scene.set_client_rect(A, Rect::new(100, 100, 200, 150));
    scene.set_client_rect(B, Rect::new(50, 80, 400, 300));
    focus(&mut scene, B);
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    scene.damage(A, Generation(1), &[Rect::new(0, 0, 200, 150)]);
    assert!(!scene.needs_render(OutputId(0)), "wholly covered");
    scene.minimise(B);
    paint(&mut scene, 1, &mut pixels);
    scene.damage(B, Generation(1), &[Rect::new(0, 0, 400, 300)]);
    assert!(!scene.needs_render(OutputId(0)), "minimised");
}

#[test]
fn a_zone_pointer_is_clipped_to_its_client_area_and_used_only_with_focus() {
    // [29]
    let mut scene = desk();
    let loud = CursorImage::new(64, 64, 9999, 9999, &[u32::MAX; 64 * 64]).unwrap();
    scene.set_zone_cursor(A, Some(ZoneCursor::Image(loud)));
    let at = inside(&scene, A, 4, 4);
    point(&mut scene, at);
    let mut unfocused = Vec::new();
    paint(&mut scene, 0, &mut unfocused);
    let white = |pixels: &[u32]| pixels.iter().filter(|pixel| **pixel == u32::MAX).count();
    assert!(
        white(&unfocused) < 600,
        "without focus it is the host's arrow"
    );
    focus(&mut scene, A);
    let mut focused = Vec::new();
    paint(&mut scene, 0, &mut focused);
    // The hot spot is clamped to the image's last pixel: of 64 x 64 pixels 6 x 6 lie in the client area.
    let client = scene.client_rect(A).unwrap();
    let inside = Rect::new(client.left(), client.top(), 6, 6);
    for y in 0..200 {
        for x in 0..200 {
            let shown = focused[usize::try_from(y * 800 + x).unwrap()] == u32::MAX;
            let on_frame = Rect::new(0, 0, 200, 66).contains(Point::new(x, y));
            assert!(
                shown == inside.contains(Point::new(x, y)) || (on_frame && y < 66),
                "{x} {y}"
            );
        }
    }
    assert!(CursorImage::new(65, 1, 0, 0, &[0; 65]).is_err());
    assert!(CursorImage::new(2, 2, 0, 0, &[0; 3]).is_err());
    assert!(CursorImage::new(0, 0, 0, 0, &[]).is_err());
    assert!(CursorImage::new(u32::MAX, u32::MAX, 0, 0, &[1]).is_err());
}

#[test]
fn a_dead_zone_shows_none_of_its_pixels_and_takes_no_input() {
    let mut scene = desk();
    focus(&mut scene, A);
    key(&mut scene, LETTER, Pressed);
    scene.set_state(A, ZoneState::dark("killed"));
    assert_eq!(key(&mut scene, LETTER, Released), []);
    assert_eq!(key(&mut scene, LETTER, Pressed), []);
    let at = inside(&scene, A, 30, 30);
    assert_eq!(point(&mut scene, at), []);
    let mut pixels = Vec::new();
    let before = scene.statistics().copied;
    paint(&mut scene, 0, &mut pixels);
    let b_only = scene.client_rect(B).unwrap().area();
    assert_eq!(scene.statistics().copied - before, b_only);
    key(&mut scene, LETTER, Released);
    key(&mut scene, keys::LEFT_SHIFT, Pressed);
    scene.set_state(A, ZoneState::starting("again"));
    let size = scene.client_size(A).unwrap();
    assert_eq!(
        scene.take_actions(),
        [Action::ResizeZone(A, size), to(A, ZoneInput::Focus(true)),]
    );
    assert_eq!(
        key(&mut scene, LETTER, Pressed),
        [pressed(A, keys::LEFT_SHIFT), pressed(A, LETTER)]
    );
}

#[test]
fn too_many_zones_and_duplicates_are_refused() {
    // [24]
    let mut scene = desk();
    assert_eq!(
        scene.add_zone(identity(A, "red"), None),
        Err(SceneError::Duplicate(A))
    );
    for number in 10..10 + MAXIMUM_ZONES {
        let _ = scene.add_zone(
            identity(ZoneId(u32::try_from(number).unwrap()), "red"),
            None,
        );
    }
    assert_eq!(
        scene.add_zone(identity(ZoneId(5), "red"), None),
        Err(SceneError::Full)
    );
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
}

#[test]
fn a_window_dragged_between_screens_of_any_scale_stays_whole() {
    // [17]
    for factor in [0.0, f64::NAN, 1.25, 2.0, 1e9] {
        let mut scene = desk();
        let scale = Scale::from_factor(factor);
        scene.set_output(OutputId(1), Rect::new(800, 0, 800, 600), scale);
        scene.set_client_rect(A, Rect::new(200, 200, 240, 160));
        scene.take_actions();
        let mut buffers = [vec![0; 800 * 600], vec![0; 800 * 600]];
        let outer = scene.window_rect(A).unwrap();
        let title = Point::new(outer.left() + 60, outer.top() + 12);
        point(&mut scene, title);
        button(&mut scene, true);
        let steps = (0..20).chain((0..20).rev()).map(|step| step * 45);
        for (number, right) in steps.enumerate() {
            point(&mut scene, Point::new(title.x + right, title.y + right / 9));
            // What damage brought up to date is what painting everything gives, on both screens.
            for (output, pixels) in (0..).map(OutputId).zip(&mut buffers) {
                let mut target = |pixels: &mut [u32], age| {
                    let mut target = Target {
                        pixels,
                        size: SIZE,
                        stride: 800,
                        age,
                    };
                    match age {
                        u8::MAX => scene.paint_whole(output, &mut target, &mut Masks::default()),
                        _ => drop(scene.render(output, &mut target).to_vec()),
                    }
                };
                target(pixels, u8::from(number > 0));
                let mut whole = vec![0; 800 * 600];
                target(&mut whole, u8::MAX);
                assert!(*pixels == whole, "scale {factor}, step {number}");
            }
            let outer = scene.window_rect(A).unwrap();
            let client = scene.client_rect(A).unwrap();
            assert!(outer.covers(&client) && outer.area() > client.area());
        }
        button(&mut scene, false);
        let asked = scene.client_size(A).unwrap();
        assert!(asked.width >= 1 && asked.width <= 800 && asked.height <= 600);
    }
}

#[test]
fn a_transparent_zone_hides_what_it_covers_and_takes_its_own_clicks() {
    // [23]
    let mut scene = desk();
    for id in [A, B] {
        scene.set_client_rect(id, Rect::new(100, 100, 200, 150));
    }
    let clear = StillPixels::from_fn(Size::new(200, 150), |_, _| 0x0012_3456);
    scene.attach(B, Generation(2), Box::new(clear)).unwrap();
    scene.damage(B, Generation(2), &[Rect::new(0, 0, 200, 150)]);
    focus(&mut scene, B);
    point(&mut scene, Point::new(500, 500));
    scene.take_actions();
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    for y in 100..250 {
        for x in 100..300 {
            assert_eq!(pixels[y * 800 + x] & 0x00ff_ffff, 0x0012_3456, "{x} {y}");
        }
    }
    // Who is clicked is who is seen, and nobody behind it hears of it.
    point(&mut scene, Point::new(150, 150));
    let told = button(&mut scene, true);
    let to_b = |action: &Action| matches!(action, Action::SendToZone(B, _));
    assert!(!told.is_empty() && told.iter().all(to_b), "{told:?}");
}

#[test]
fn outputs_never_share_a_pixel() {
    let mut scene = desk();
    scene.set_output(OutputId(1), Rect::new(700, 0, 640, 480), Scale::ONE);
    assert_eq!(
        scene.output_area(OutputId(0)),
        Some(Rect::new(1340, 0, 800, 600))
    );
    scene.set_output(OutputId(0), Rect::new(0, 0, 800, 600), Scale::ONE);
    assert_eq!(
        scene.output_area(OutputId(1)),
        Some(Rect::new(800, 0, 640, 480))
    );
}
