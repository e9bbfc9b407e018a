//! What the trusted screens say, in every language: nothing the endpoint itself says is cut off on any of them.

use super::trusted::{at, chord, tap};
use super::*;
use crate::colour::Colour;
use crate::text::{SHORTENED, Style};
use crate::trusted::views::{Health, PanelSigns};
use crate::trusted::{Grant, Language, LockReason, PromptRequest, Refusal};

/// A laptop's screen in points; every screen is laid out for it at least.
const POINTS: (u32, u32) = (1280, 800);
const MINUTES: Duration = Duration::from_secs(720);

/// Everything that a text may be set in.
fn looks() -> impl Iterator<Item = (Settings, Scale)> {
    Language::ALL.into_iter().flat_map(|language| {
        let sizes = [
            (false, 1.0),
            (true, 1.0),
            (false, 1.25),
            (false, 2.0),
            (true, 2.0),
        ];
        sizes.into_iter().map(move |(large_text, factor)| {
            let settings = Settings {
                language,
                large_text,
                ..Settings::default()
            };
            (settings, Scale::from_factor(factor))
        })
    })
}

/// Zones in every state, one of them marked in both ways. Their own words are short: it is ours that are looked at.
fn desk((settings, scale): (Settings, Scale)) -> (Scene, Size) {
    let (width, height) = POINTS;
    let pixels = |points: u32| scale.pixels(points.cast_signed()).unsigned_abs();
    let size = Size::new(pixels(width), pixels(height));
    let mut scene = Scene::new(size, scale, settings);
    let states = [
        ZoneState::Off,
        ZoneState::starting(""),
        ZoneState::Running,
        ZoneState::Stopping,
        ZoneState::dark("no"),
    ];
    for (number, state) in (1..).zip(states) {
        let id = ZoneId(number);
        let colour = "green".parse().unwrap();
        let identity = ZoneIdentity::new(id, "zone", "zone", colour, Shape::Star, Icon::Key, 0);
        scene.add_zone(identity, None).unwrap();
        scene.set_state(id, state);
        let half = |length: u32| (length / 2).cast_signed();
        scene.set_client_rect(
            id,
            Rect::from_edges(
                0,
                half(size.height) / 2,
                half(size.width),
                half(size.height),
            ),
        );
    }
    scene.set_weakened(ZoneId(3), Some("no"));
    scene.set_outdated(ZoneId(4), Some("no"));
    scene.set_secret_phrase("seven yellow dragons");
    (scene, size)
}

/// Paints everything and gives what found no room.
fn shortened(scene: &mut Scene, size: Size) -> Vec<String> {
    SHORTENED.take();
    let stride = usize::try_from(size.width).unwrap();
    let mut pixels = vec![0; stride * usize::try_from(size.height).unwrap()];
    scene.damage_all();
    scene.render(
        OutputId(0),
        &mut Target {
            pixels: &mut pixels,
            size,
            stride,
            age: 0,
        },
    );
    SHORTENED.take()
}

#[test]
fn every_trusted_screen_has_room_for_its_words_in_every_language_and_size() {
    let three = [Grant::Once, Grant::For(MINUTES), Grant::Session];
    for look in looks() {
        let (mut scene, size) = desk(look);
        let check = |scene: &mut Scene, what: &str| {
            let cut: Vec<String> = shortened(scene, size);
            assert_eq!(cut, [] as [&str; 0], "{what}, {look:?}");
        };
        for id in (1..=5).map(ZoneId) {
            scene.raise(id);
            check(&mut scene, "a window");
        }
        chord(&mut scene, keys::SPACE, false);
        check(&mut scene, "attention");
        tap(&mut scene, keys::ESCAPE, at(0));
        chord(&mut scene, 17, false);
        check(&mut scene, "overview");
        tap(&mut scene, keys::ESCAPE, at(0));
        let request = PromptRequest {
            from: ZoneId(3),
            to: Some(ZoneId(4)),
            question: "?",
            detail: b"!",
            grants: &three,
        };
        let id = scene.ask(request, at(0)).unwrap();
        check(&mut scene, "a question that is new");
        scene.tick(at(5000));
        check(&mut scene, "a question");
        scene.withdraw(id);
        check(&mut scene, "a question that is withdrawn");
        for why in LockReason::ALL {
            scene.lock(why);
            check(&mut scene, "the lock screen");
            for refusal in [Refusal::Wrong, Refusal::Held, Refusal::Broken] {
                scene.refuse_unlock(refusal, MINUTES);
                check(&mut scene, "the lock screen after an attempt");
            }
        }
    }
}

#[test]
fn words_in_the_panel_find_room_as_promised() {
    let german = "Nicht übertragen: Die Zone, in der es kopiert wurde, hat es nicht rechtzeitig geliefert und ruht, ";
    let english = "Not brought: the zone that it was copied in did not bring it in time, and nobody knows the reason ";
    for look in looks() {
        for words in [german, english] {
            let (mut scene, size) = desk(look);
            scene.set_signs(PanelSigns {
                clock: Some(Label::new("23:59", 8)),
                layout: true,
                policy: Health::Good,
                audit: Health::Good,
                usb: Health::Good,
                network: Health::Warned,
            });
            let words: String = words.chars().take(STATUS_LENGTH).collect();
            assert_eq!(words.chars().count(), STATUS_LENGTH);
            scene.set_status(&[&words]);
            assert_eq!(shortened(&mut scene, size), [] as [&str; 0], "{look:?}");
        }
    }
}

/// A desktop tells why it is locked, and how long it takes no passphrase: by the second in the last minute, and it wakes
/// for nothing else.
#[test]
fn a_lock_tells_its_reason_and_counts_its_wait_down() {
    let (mut scene, size) = desk(looks().next().unwrap());
    let said = |scene: &Scene| {
        let tree = scene.accessible_tree();
        let texts = tree.nodes.iter().filter_map(|(_, node)| node.value());
        texts.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    scene.lock(LockReason::Idle);
    assert_eq!(said(&scene), "There was no input for a while.");
    assert_eq!(scene.next_wake(), None);
    scene.lock(LockReason::Policy);
    assert!(scene.needs_render(OutputId(0)), "another reason is shown");
    assert!(said(&scene).starts_with("The policy was not renewed in time."));
    scene.refuse_unlock(Refusal::Wrong, at(180_500));
    let mut told = Vec::new();
    while let Some(due) = scene.next_wake() {
        told.push(said(&scene).lines().last().unwrap().to_owned());
        shortened(&mut scene, size);
        scene.tick(due);
        assert!(scene.needs_render(OutputId(0)), "{due:?}");
    }
    let minutes = [4, 3, 2].map(|minutes| format!("Next attempt in {minutes} min"));
    let seconds = (1..=60)
        .rev()
        .map(|left| format!("Next attempt in {left} s"));
    assert_eq!(told, minutes.into_iter().chain(seconds).collect::<Vec<_>>());
    assert!(said(&scene).ends_with("The passphrase was wrong."));
}

/// A table that lacks a word does not compile; one with a word of the other language's table would.
#[test]
fn the_languages_are_two() {
    let style = Style::regular(13, Colour::WHITE);
    for why in LockReason::ALL {
        let [english, german] = Language::ALL.map(|language| language.words().lock_reason(why));
        assert_ne!(english, german);
        assert!(style.width(english) > 0 && style.width(german) > 0);
    }
}
