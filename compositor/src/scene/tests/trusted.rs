//! Pages of the trusted UI under attack, workspaces and overview.

use super::*;
use crate::input::ZoneCommand;
use crate::trusted::{Answer, Grant, LockReason, PromptRequest, Refusal};

pub(super) fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn question(from: ZoneId) -> PromptRequest<'static> {
    PromptRequest {
        from,
        to: Some(B),
        question: "May it?",
        detail: b"invoice.pdf",
        grants: &[],
    }
}

/// Presses and releases a key at a time.
pub(super) fn tap(scene: &mut Scene, code: u16, now: Duration) -> Vec<Action> {
    let mut actions = scene.handle(
        InputEvent::Key {
            code,
            movement: Pressed,
        },
        now,
    );
    actions.extend(scene.handle(
        InputEvent::Key {
            code,
            movement: Released,
        },
        now,
    ));
    actions
}

#[test]
fn a_stream_of_keys_answers_no_question() {
    // [33, 38]
    let mut scene = desk();
    focus(&mut scene, A);
    scene.handle(
        InputEvent::Key {
            code: keys::ENTER,
            movement: Pressed,
        },
        at(0),
    );
    let id = scene.ask(question(A), at(0)).unwrap();
    let asked = scene.take_actions();
    assert_eq!(
        asked,
        [
            released(A, keys::ENTER),
            to(A, ZoneInput::Focus(false)),
            Action::FocusChanged(None)
        ]
    );
    // Enter is held and repeats, then is released; a person types on for ten seconds, twice a second.
    for now in (0..900).step_by(30) {
        assert_eq!(
            scene.handle(
                InputEvent::Key {
                    code: keys::ENTER,
                    movement: Repeated
                },
                at(now)
            ),
            []
        );
    }
    assert_eq!(
        scene.handle(
            InputEvent::Key {
                code: keys::ENTER,
                movement: Released
            },
            at(950)
        ),
        []
    );
    for now in (1000..10_000).step_by(500) {
        for code in [keys::TAB, keys::SPACE, keys::ENTER, 30] {
            assert_eq!(tap(&mut scene, code, at(now - 10)), [], "{now}");
        }
    }
    // After a quiet second Enter means No, the default.
    let answered = tap(&mut scene, keys::ENTER, at(11_000));
    assert_eq!(
        answered,
        [
            Action::Answered(id, Answer::No),
            Action::FocusChanged(Some(A)),
            to(A, ZoneInput::Focus(true)),
        ],
        "and the Enter that answered reaches no zone"
    );
}

#[test]
fn a_question_is_answered_on_purpose_by_keys_or_by_a_click_on_a_button() {
    let mut scene = desk();
    let first = scene.ask(question(A), at(0)).unwrap();
    assert_eq!(
        scene.next_wake(),
        Some(at(1000)),
        "the buttons change by themselves"
    );
    scene.tick(at(1000));
    tap(&mut scene, keys::TAB, at(1000));
    assert_eq!(
        tap(&mut scene, keys::ENTER, at(1100)),
        [Action::Answered(first, Answer::Allow(Grant::Once))]
    );

    let second = scene.ask(question(A), at(2000)).unwrap();
    let button = {
        let layout = scene.page_layout(OutputId(0)).unwrap();
        layout.controls[1].0.centre()
    };
    let click = |scene: &mut Scene, now: Duration| {
        let mut actions = scene.handle(InputEvent::PointerMoved(button), now);
        for pressed in [true, false] {
            actions.extend(scene.handle(
                InputEvent::Button {
                    button: keys::BUTTON_LEFT,
                    pressed,
                },
                now,
            ));
        }
        actions
    };
    assert_eq!(
        click(&mut scene, at(2500)),
        [],
        "too early, and the second begins again"
    );
    assert_eq!(click(&mut scene, at(3400)), []);
    assert_eq!(
        click(&mut scene, at(4400)),
        [Action::Answered(second, Answer::Allow(Grant::Once))]
    );
}

#[test]
fn a_question_appears_away_from_the_pointer() {
    // [38]
    for x in (0..800).step_by(40) {
        for y in (0..600).step_by(40) {
            let mut scene = desk();
            point(&mut scene, Point::new(x, y));
            scene.ask(question(A), at(0)).unwrap();
            let area = scene.page_layout(OutputId(0)).unwrap().area;
            let buttons = scene.page_layout(OutputId(0)).unwrap().controls;
            assert!(Rect::new(0, 34, 800, 566).covers(&area));
            let under = buttons
                .iter()
                .any(|(place, _)| place.contains(Point::new(x, y)));
            assert!(!under, "a button came up under the pointer at {x}, {y}");
        }
    }
}

#[test]
fn a_question_whose_zone_dies_gives_the_keyboard_back_only_when_a_person_closes_it() {
    let mut scene = desk();
    focus(&mut scene, B);
    scene.ask(question(A), at(0)).unwrap();
    scene.take_actions();
    scene.set_state(A, ZoneState::dark("crashed"));
    assert_eq!(scene.take_actions(), []);
    assert!(scene.is_trusted_up() && scene.focus().is_none());
    let closed = tap(&mut scene, keys::ENTER, at(5000));
    assert_eq!(
        closed,
        [Action::FocusChanged(Some(B)), to(B, ZoneInput::Focus(true))],
        "no answer is given"
    );
}

#[test]
fn the_lock_screen_fails_closed_and_shows_nothing_of_zones() {
    // [41, 50]
    let mut scene = desk();
    focus(&mut scene, A);
    let title = scene.window_rect(A).unwrap().origin();
    point(&mut scene, Point::new(title.x + 60, title.y + 12));
    button(&mut scene, true);
    scene.lock(LockReason::Person);
    scene.take_actions();
    let picture = |scene: &mut Scene| {
        let mut pixels = Vec::new();
        paint(scene, 0, &mut pixels);
        pixels
    };
    let locked = picture(&mut scene);
    let copied = scene.statistics().copied;
    // Whatever happens, the picture stays and nobody is sent anything.
    scene.set_title(A, b"look");
    scene.damage(A, Generation(1), &[Rect::new(0, 0, 99, 99)]);
    scene.set_state(B, ZoneState::dark("crashed"));
    scene.set_status(&["secret zone is full"]);
    let _ = scene.ask(question(A), at(0));
    assert!(
        !scene.needs_render(OutputId(0)),
        "nothing of a zone changes the lock screen"
    );
    for code in [keys::TAB, 2, 30, 50, 33, keys::UP] {
        key(&mut scene, keys::LEFT_SUPER, Pressed);
        assert_eq!(tap(&mut scene, code, at(10)), [], "chord {code}");
        assert_eq!(tap(&mut scene, keys::ESCAPE, at(10)), []);
        key(&mut scene, keys::LEFT_SUPER, Released);
    }
    assert_eq!(button(&mut scene, false), []);
    scene.set_output(OutputId(1), Rect::new(800, 0, 640, 480), Scale::ONE);
    for y in (0..480).step_by(16) {
        for x in (800..1440).step_by(16) {
            assert_eq!(scene.owner_at(Point::new(x, y)), Owner::Trusted);
        }
    }
    scene.remove_output(OutputId(1));
    scene.remove_output(OutputId(0));
    scene.set_output(OutputId(0), Rect::of_size(SIZE), Scale::ONE);
    scene.take_actions();
    assert!(scene.is_locked());
    // The pointer went with the last output; only it is to be brought back.
    point(&mut scene, Point::new(title.x + 60, title.y + 12));
    assert!(picture(&mut scene) == locked, "the lock screen changed");
    assert_eq!(
        scene.statistics().copied,
        copied,
        "no pixel of a zone was read"
    );
}

#[test]
fn unlocking_takes_what_was_typed_and_a_verified_attempt() {
    let mut scene = desk();
    scene.lock(LockReason::Person);
    for code in [25, 23, 49] {
        assert_eq!(tap(&mut scene, code, at(0)), []);
    }
    let typed = tap(&mut scene, keys::ENTER, at(0));
    let [Action::UnlockAttempt(passphrase)] = typed.as_slice() else {
        panic!("{typed:?}")
    };
    assert_eq!(passphrase.as_str(), "pin");
    assert_eq!(
        format!("{typed:?}"),
        "[UnlockAttempt(Passphrase)]",
        "it is never printed"
    );
    assert_eq!(
        tap(&mut scene, keys::ENTER, at(1)),
        [],
        "one attempt at a time"
    );
    scene.refuse_unlock(Refusal::Wrong, at(3000));
    tap(&mut scene, 30, at(10));
    assert_eq!(
        tap(&mut scene, keys::ENTER, at(2999)),
        [],
        "the pause holds"
    );
    assert_eq!(tap(&mut scene, keys::ENTER, at(3000)).len(), 1);
    assert!(scene.is_locked());
    scene.unlock(at(3001));
    assert!(!scene.is_locked());
}

#[test]
fn the_attention_screen_starts_stops_and_shows_zones() {
    let mut scene = desk();
    scene.set_state(B, ZoneState::Off);
    key(&mut scene, keys::LEFT_SUPER, Pressed);
    tap(&mut scene, keys::ESCAPE, at(0));
    key(&mut scene, keys::LEFT_SUPER, Released);
    assert_eq!(
        tap(&mut scene, keys::ENTER, at(0)),
        [],
        "nothing is selected to begin with"
    );
    tap(&mut scene, keys::TAB, at(0));
    tap(&mut scene, keys::TAB, at(0));
    assert_eq!(
        tap(&mut scene, keys::ENTER, at(0)),
        [Action::Command(A, ZoneCommand::Restart)]
    );
    tap(&mut scene, keys::TAB, at(0));
    tap(&mut scene, keys::DOWN, at(0));
    assert_eq!(
        tap(&mut scene, keys::ENTER, at(0)).first(),
        Some(&Action::Command(B, ZoneCommand::Start))
    );
    tap(&mut scene, keys::LEFT, at(0));
    tap(&mut scene, keys::ENTER, at(0));
    assert_eq!(
        (scene.focus(), scene.is_trusted_up()),
        (Some(B), false),
        "shown: a person chose it"
    );
}

pub(super) fn chord(scene: &mut Scene, code: u16, shift: bool) -> Vec<Action> {
    let mut actions = key(scene, keys::LEFT_SUPER, Pressed);
    if shift {
        actions.extend(key(scene, keys::LEFT_SHIFT, Pressed));
    }
    actions.extend(tap(scene, code, at(0)));
    if shift {
        actions.extend(key(scene, keys::LEFT_SHIFT, Released));
    }
    actions.extend(key(scene, keys::LEFT_SUPER, Released));
    actions
}

#[test]
fn workspaces_hide_windows_and_remember_who_had_the_keyboard() {
    let mut scene = desk();
    focus(&mut scene, A);
    let carried = chord(&mut scene, keys::PAGE_DOWN, true);
    assert_eq!((scene.workspace(), scene.focus()), (1, Some(A)));
    assert!(
        carried
            .iter()
            .all(|action| !matches!(action, Action::SendToZone(_, ZoneInput::Key { .. })))
    );
    let b = scene.client_rect(B).unwrap().centre();
    assert_eq!(
        scene.owner_at(b),
        Owner::Desktop,
        "what stayed behind is not shown"
    );
    let copied = scene.statistics().copied;
    scene.damage(B, Generation(1), &[Rect::new(0, 0, 50, 50)]);
    paint(&mut scene, 0, &mut Vec::new());
    assert_eq!(
        scene.statistics().copied - copied,
        scene.client_rect(A).unwrap().area()
    );

    chord(&mut scene, keys::PAGE_UP, false);
    assert_eq!(
        (scene.workspace(), scene.focus()),
        (0, None),
        "nobody had the keyboard there"
    );
    chord(&mut scene, keys::PAGE_DOWN, false);
    assert_eq!(scene.focus(), Some(A), "who had it has it again");
    chord(&mut scene, 3, false);
    assert_eq!(
        (scene.workspace(), scene.focus()),
        (0, Some(B)),
        "a zone chosen by number is gone to"
    );
    for _ in 0..WORKSPACES {
        chord(&mut scene, keys::PAGE_UP, false);
    }
    assert_eq!(scene.workspace(), 0);
}

#[test]
fn the_overview_shows_each_zone_in_its_own_tile_and_chooses_one() {
    let mut scene = desk();
    scene.minimise(A);
    assert_eq!(chord(&mut scene, 17, false), []);
    let layout = scene.page_layout(OutputId(0)).unwrap();
    for (place, zone) in &layout.thumbnails {
        assert_eq!(scene.owner_at(place.centre()), Owner::Thumbnail(*zone));
        assert_eq!(
            scene.owner_at(Point::new(place.left() - 1, place.top())),
            Owner::Trusted
        );
    }
    paint(&mut scene, 0, &mut Vec::new());
    scene.damage(B, Generation(1), &[Rect::new(0, 0, 5, 5)]);
    let changed = paint(&mut scene, 1, &mut vec![0; 800 * 600]);
    let b = layout.thumbnails[1].0;
    assert!(
        changed.iter().any(|rect| rect.covers(&b)),
        "a living picture"
    );
    let at_a = layout.thumbnails[0].0.centre();
    point(&mut scene, at_a);
    button(&mut scene, true);
    let chosen = button(&mut scene, false);
    assert_eq!(
        chosen,
        [Action::FocusChanged(Some(A)), to(A, ZoneInput::Focus(true))],
        "and the click goes to nobody"
    );
    assert!(!scene.placement(A).unwrap().minimised && !scene.is_trusted_up());
}

#[test]
fn a_zone_that_draws_the_attention_screen_is_exposed_by_the_real_one() {
    // [28] The zone has a perfect copy of everything but the phrase, which it cannot know.
    let mut scene = desk();
    scene.set_secret_phrase("three gulls");
    chord(&mut scene, keys::ESCAPE, false);
    let mut with_phrase = Vec::new();
    paint(&mut scene, 0, &mut with_phrase);
    scene.set_secret_phrase("four gulls");
    let mut another = Vec::new();
    paint(&mut scene, 0, &mut another);
    assert!(with_phrase != another, "the phrase is on the screen");
    let page = scene.page_area(OutputId(0));
    assert!(page.area() > 100_000);
    for (id, x) in [(A, 200), (B, 600)] {
        assert!(scene.client_rect(id).unwrap().contains(Point::new(x, 300)));
        assert_eq!(
            scene.owner_at(Point::new(x, 300)),
            Owner::Trusted,
            "above every window"
        );
    }
    assert_eq!(
        scene.owner_at(Point::new(400, 10)),
        Owner::Panel,
        "and the panel says who has the keyboard"
    );
}

#[test]
fn grants_that_the_policy_offers_become_buttons_and_answers() {
    let mut scene = desk();
    let grants = [
        Grant::Once,
        Grant::For(Duration::from_secs(601)),
        Grant::Session,
    ];
    let id = scene
        .ask(
            PromptRequest {
                grants: &grants,
                ..question(A)
            },
            at(0),
        )
        .unwrap();
    let layout = scene.page_layout(OutputId(0)).unwrap();
    assert_eq!(layout.controls.len(), 5);
    for (at, (place, _)) in layout.controls.iter().enumerate() {
        assert!(
            layout.area.inset(8).covers(place),
            "button {at} leaves the page"
        );
    }
    scene.tick(at(1000));
    for _ in 0..2 {
        tap(&mut scene, keys::TAB, at(1000));
    }
    let answered = tap(&mut scene, keys::ENTER, at(1000));
    assert_eq!(answered, [Action::Answered(id, Answer::Allow(grants[1]))]);
}

#[test]
fn the_policy_may_keep_clicks_or_chords_from_moving_focus() {
    let mut scene = desk();
    scene.set_settings(Settings {
        focus_by: FocusBy::Chord,
        ..Settings::default()
    });
    let over_b = inside(&scene, B, 5, 5);
    point(&mut scene, over_b);
    assert_eq!(button(&mut scene, true), [], "the click goes to nobody");
    button(&mut scene, false);
    chord(&mut scene, 3, false);
    assert_eq!(scene.focus(), Some(B));
    assert_eq!(
        button(&mut scene, true).len(),
        2,
        "motion and button, now that it has focus"
    );
    button(&mut scene, false);
    scene.set_settings(Settings {
        focus_by: FocusBy::Click,
        ..Settings::default()
    });
    chord(&mut scene, 2, false);
    assert_eq!(scene.focus(), Some(B));
    focus(&mut scene, A);
}

#[test]
fn a_button_held_in_a_zone_that_died_is_not_released_in_the_one_started_after_it() {
    let mut scene = desk();
    let over_a = inside(&scene, A, 5, 5);
    point(&mut scene, over_a);
    button(&mut scene, true);
    scene.set_state(A, ZoneState::dark("crashed"));
    scene.set_state(A, ZoneState::Running);
    draw(&mut scene, A, 1);
    scene.take_actions();
    assert_eq!(button(&mut scene, false), []);
}

/// Brings a buffer up to date by its damage and compares it with one painted whole.
fn check_up_to_date(scene: &mut Scene, pixels: &mut Vec<u32>, what: &str) {
    paint(scene, 1, pixels);
    let mut whole = vec![0; 800 * 600];
    let mut target = Target {
        pixels: &mut whole,
        size: SIZE,
        stride: 800,
        age: 0,
    };
    scene.paint_whole(OutputId(0), &mut target, &mut Masks::default());
    assert!(*pixels == whole, "something is out of date after {what}");
}

#[test]
fn pages_and_workspaces_are_brought_up_to_date_by_their_damage() {
    let mut scene = desk();
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    chord(&mut scene, keys::PAGE_DOWN, false);
    check_up_to_date(&mut scene, &mut pixels, "a change of workspace");
    chord(&mut scene, keys::PAGE_UP, false);
    chord(&mut scene, keys::ESCAPE, false);
    check_up_to_date(&mut scene, &mut pixels, "the attention screen came up");
    scene.set_state(B, ZoneState::dark("crashed"));
    check_up_to_date(
        &mut scene,
        &mut pixels,
        "a zone changed behind the attention screen",
    );
    scene.set_weakened(A, Some("no Landlock"));
    check_up_to_date(&mut scene, &mut pixels, "a jail was weakened");
    tap(&mut scene, keys::ESCAPE, at(0));
    check_up_to_date(&mut scene, &mut pixels, "the attention screen went");
}

#[test]
fn modifiers_of_a_chord_stay_nobodys_while_they_are_held() {
    // [34] Control and Alt are still down when the person goes back to the zone with the pointer.
    let mut scene = desk();
    focus(&mut scene, A);
    for code in [keys::LEFT_CONTROL, keys::LEFT_ALT, keys::ESCAPE] {
        key(&mut scene, code, Pressed);
    }
    let layout = scene.page_layout(OutputId(0)).unwrap();
    let (back, _) = layout.controls.last().unwrap();
    point(&mut scene, back.centre());
    button(&mut scene, true);
    button(&mut scene, false);
    assert_eq!(scene.focus(), Some(A));
    let over_a = inside(&scene, A, 5, 5);
    point(&mut scene, over_a);
    let mut actions = button(&mut scene, true);
    actions.extend(key(&mut scene, LETTER, Pressed));
    for code in [keys::ESCAPE, keys::LEFT_ALT, keys::LEFT_CONTROL] {
        actions.extend(key(&mut scene, code, Released));
    }
    let keys: Vec<&Action> = actions
        .iter()
        .filter(|action| matches!(action, Action::SendToZone(_, ZoneInput::Key { .. })))
        .collect();
    assert_eq!(keys, [&pressed(A, LETTER)]);
}

#[test]
fn the_attention_screen_is_in_the_very_next_frame() {
    // [28, 32]: in the middle of a drag, with keys and buttons down, while the zone draws all the time.
    let mut scene = desk();
    focus(&mut scene, A);
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    key(&mut scene, LETTER, Pressed);
    button(&mut scene, true);
    scene.damage(A, Generation(1), &[Rect::new(0, 0, 300, 300)]);
    key(&mut scene, keys::LEFT_SUPER, Pressed);
    key(&mut scene, keys::ESCAPE, Pressed);
    scene.damage(A, Generation(1), &[Rect::new(0, 0, 300, 300)]);
    paint(&mut scene, 1, &mut pixels);
    let mut whole = vec![0; pixels.len()];
    let mut target = Target {
        pixels: &mut whole,
        size: SIZE,
        stride: 800,
        age: 0,
    };
    scene.paint_whole(OutputId(0), &mut target, &mut Masks::default());
    assert!(pixels == whole, "one frame did not bring all of it");
    assert!(scene.is_trusted_up() && scene.focus().is_none());
}

#[test]
fn hovering_moves_no_focus_and_tells_no_zone() {
    // [31, 35]
    let mut scene = desk();
    focus(&mut scene, A);
    for x in (0..800).step_by(7) {
        let at = Point::new(x, 300);
        let told = point(&mut scene, at);
        assert_eq!(scene.focus(), Some(A));
        let strangers = told
            .iter()
            .filter(|action| !matches!(action, Action::SendToZone(A, ZoneInput::Motion { .. })));
        assert_eq!(strangers.count(), 0, "{told:?}");
        assert_eq!(
            told.is_empty(),
            !scene.client_rect(A).unwrap().contains(at),
            "at {x}"
        );
    }
    scene.ask(question(B), Duration::ZERO).unwrap();
    scene.take_actions();
    for x in (0..800).step_by(7) {
        assert_eq!(point(&mut scene, Point::new(x, 300)), [], "a page is up");
    }
}

#[test]
fn ten_kilobytes_of_anything_in_a_question_stay_bounded_plain_text() {
    // [40]
    let mut scene = desk();
    let hostile = "<b>\u{202e}\u{1b}[31m\n\u{200b}W".repeat(1 << 10);
    let request = PromptRequest {
        detail: hostile.as_bytes(),
        question: &hostile,
        ..question(A)
    };
    scene.ask(request, Duration::ZERO).unwrap();
    let prompt = scene.trusted.prompt().unwrap();
    for (text, most) in [(&prompt.detail, 120), (&prompt.question, 160)] {
        assert!(text.as_str().chars().count() <= most);
        let plain = |character| crate::atlas::is_allowed(character) || character == '\u{fffd}';
        assert!(text.as_str().chars().all(plain), "{text}");
    }
    // It stays on its page: nothing else of the desktop changes but that it is dimmed.
    let page = scene.page_layout(OutputId(0)).unwrap().area;
    let mut pixels = Vec::new();
    paint(&mut scene, 0, &mut pixels);
    let mut short = desk();
    short.ask(question(A), Duration::ZERO).unwrap();
    let mut others = Vec::new();
    paint(&mut short, 0, &mut others);
    for (number, (long, short)) in pixels.iter().zip(&others).enumerate() {
        let coordinate = |value: usize| i32::try_from(value).unwrap();
        let place = Point::new(coordinate(number % 800), coordinate(number / 800));
        assert!(long == short || page.contains(place), "at {place:?}");
    }
}

#[test]
fn a_question_outlives_outputs_and_gives_nobody_the_keyboard() {
    // [41]
    let mut scene = desk();
    focus(&mut scene, A);
    let id = scene.ask(question(B), at(0)).unwrap();
    scene.set_output(OutputId(1), Rect::new(800, 0, 640, 480), Scale::ONE);
    scene.remove_output(OutputId(0));
    assert!(scene.is_trusted_up() && scene.focus().is_none());
    scene.remove_output(OutputId(1));
    scene.take_actions();
    assert_eq!(tap(&mut scene, LETTER, at(100)), [], "nobody hears it");
    scene.set_output(OutputId(0), Rect::of_size(SIZE), Scale::ONE);
    scene.take_actions();
    assert!(scene.is_trusted_up() && scene.focus().is_none());
    let answered = tap(&mut scene, keys::ESCAPE, at(5000));
    assert!(answered.contains(&Action::Answered(id, Answer::No)));
}
