//! A page's input in egui's terms.

use compositor::{NamedKey, PageInput, Point};
use egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, TouchPhase, Vec2,
};

/// Points that a notch of the wheel turns.
const NOTCH: f32 = 60.0;
/// egui spreads a turn of more than this over frames to come; in steps as small it is done at once, and nothing wakes for it.
const STEP: f32 = 6.0;

/// Translates input, at `scale` pixels for a point. `pointer` is where the pointer was last.
pub(crate) fn events(input: &[PageInput], scale: f32, pointer: &mut Option<Pos2>) -> Vec<Event> {
    let mut events = Vec::new();
    for input in input {
        match *input {
            PageInput::Pointer(at) => {
                *pointer = at.map(|at| place(at, scale));
                events.push(pointer.map_or(Event::PointerGone, Event::PointerMoved));
            }
            PageInput::Button { pressed } => {
                events.extend(pointer.map(|pos| Event::PointerButton {
                    pos,
                    button: PointerButton::Primary,
                    pressed,
                    modifiers: Modifiers::NONE,
                }));
            }
            PageInput::Wheel {
                vertical,
                horizontal,
            } => wheel(&mut events, turn(horizontal), turn(vertical)),
            PageInput::Key { key, shift } => {
                let modifiers = Modifiers {
                    shift,
                    ..Modifiers::NONE
                };
                press(&mut events, named(key), modifiers);
            }
            PageInput::Text(character) => {
                if character == ' ' {
                    press(&mut events, Key::Space, Modifiers::NONE);
                }
                events.push(Event::Text(character.to_string()));
            }
        }
    }
    events
}

fn place(at: Point, scale: f32) -> Pos2 {
    // The middle of the pixel. Both are less than 2^15.
    #[allow(clippy::cast_precision_loss, reason = "they are small")]
    let point = |pixel: i32| (pixel as f32 + 0.5) / scale;
    Pos2::new(point(at.x), point(at.y))
}

/// The keyboard is heard whole presses at a time: pages know no held keys.
fn press(events: &mut Vec<Event>, key: Key, modifiers: Modifiers) {
    events.extend([true, false].map(|pressed| Event::Key {
        key,
        physical_key: None,
        pressed,
        repeat: false,
        modifiers,
    }));
}

fn turn(fine: i32) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "the scene bounds it to 960")]
    let fine = fine as f32;
    fine / 120.0 * NOTCH
}

fn wheel(events: &mut Vec<Event>, x: f32, y: f32) {
    let mut rest = Vec2::new(x, y);
    while rest.length() > 0.01 {
        let delta = rest * (STEP / rest.length()).min(1.0);
        events.push(Event::MouseWheel {
            unit: MouseWheelUnit::Point,
            delta,
            phase: TouchPhase::Move,
            source: MouseWheelSource::Wheel,
            modifiers: Modifiers::NONE,
        });
        rest -= delta;
    }
}

fn named(key: NamedKey) -> Key {
    match key {
        NamedKey::Backspace => Key::Backspace,
        NamedKey::Delete => Key::Delete,
        NamedKey::Down => Key::ArrowDown,
        NamedKey::End => Key::End,
        NamedKey::Enter => Key::Enter,
        NamedKey::Escape => Key::Escape,
        NamedKey::Home => Key::Home,
        NamedKey::Left => Key::ArrowLeft,
        NamedKey::PageDown => Key::PageDown,
        NamedKey::PageUp => Key::PageUp,
        NamedKey::Right => Key::ArrowRight,
        NamedKey::Tab => Key::Tab,
        NamedKey::Up => Key::ArrowUp,
    }
}
