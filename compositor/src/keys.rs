//! Keys by their evdev codes: which of them zones may be sent, and what they mean to a page of the trusted UI.

use crate::layout::KeyboardLayout;
use crate::trusted::work::{NamedKey, PageInput};
use crate::trusted::{PageKey, Step};

/// Left Super.
pub const LEFT_SUPER: u16 = 125;
/// Right Super.
pub const RIGHT_SUPER: u16 = 126;
/// Left Control.
pub const LEFT_CONTROL: u16 = 29;
/// Left Alt.
pub const LEFT_ALT: u16 = 56;
/// Right Alt (AltGr).
pub const RIGHT_ALT: u16 = 100;
/// Right Control.
pub const RIGHT_CONTROL: u16 = 97;
/// Escape.
pub const ESCAPE: u16 = 1;
/// Tabulator.
pub const TAB: u16 = 15;
/// Enter.
pub const ENTER: u16 = 28;
/// Space.
pub const SPACE: u16 = 57;
/// Left Shift.
pub const LEFT_SHIFT: u16 = 42;
/// Right Shift.
pub const RIGHT_SHIFT: u16 = 54;
/// Cursor up.
pub const UP: u16 = 103;
/// Cursor left.
pub const LEFT: u16 = 105;
/// Cursor right.
pub const RIGHT: u16 = 106;
/// Cursor down.
pub const DOWN: u16 = 108;
/// Page up.
pub const PAGE_UP: u16 = 104;
/// Page down.
pub const PAGE_DOWN: u16 = 109;
/// Home.
pub const HOME: u16 = 102;
/// End.
pub const END: u16 = 107;
const DELETE: u16 = 111;
pub(crate) const BACKSPACE: u16 = 14;
const KEYPAD_ENTER: u16 = 96;
pub(crate) const BACKQUOTE: u16 = 41;
pub(crate) const DIGIT_ONE: u16 = 2;
pub(crate) const F: u16 = 33;
pub(crate) const L: u16 = 38;
pub(crate) const M: u16 = 50;
pub(crate) const V: u16 = 47;
pub(crate) const W: u16 = 17;
pub(crate) const PRINT: u16 = 99;

/// Left button of a pointer.
pub const BUTTON_LEFT: u16 = 0x110;
/// Last button code that is forwarded.
const BUTTON_TASK: u16 = 0x117;

/// Modifiers whose state a zone is told of when it gains the keyboard: Control, Shift, Alt on both sides.
const MODIFIERS: [u16; 6] = [
    LEFT_CONTROL,
    LEFT_SHIFT,
    RIGHT_SHIFT,
    LEFT_ALT,
    RIGHT_CONTROL,
    RIGHT_ALT,
];

/// Keys that act on the whole machine and reach no zone: power, sleep, wake-up, suspend.
const MACHINE_KEYS: [u16; 4] = [116, 142, 143, 205];

/// What a key means to a page of the trusted UI.
pub(crate) fn page_key(code: u16, shift: bool, layout: KeyboardLayout) -> Option<PageKey> {
    Some(match code {
        ENTER | KEYPAD_ENTER => PageKey::Enter,
        ESCAPE => PageKey::Escape,
        BACKSPACE => PageKey::Backspace,
        TAB if shift => PageKey::Step(Step::Previous),
        TAB | RIGHT => PageKey::Step(Step::Next),
        LEFT => PageKey::Step(Step::Previous),
        UP => PageKey::Step(Step::Up),
        DOWN => PageKey::Step(Step::Down),
        _ => PageKey::Character(layout.character(code, shift)?),
    })
}

/// What a key means to a page that a person works with.
pub(crate) fn page_input(code: u16, shift: bool, layout: KeyboardLayout) -> Option<PageInput> {
    let key = match code {
        ENTER | KEYPAD_ENTER => NamedKey::Enter,
        ESCAPE => NamedKey::Escape,
        BACKSPACE => NamedKey::Backspace,
        DELETE => NamedKey::Delete,
        TAB => NamedKey::Tab,
        LEFT => NamedKey::Left,
        RIGHT => NamedKey::Right,
        UP => NamedKey::Up,
        DOWN => NamedKey::Down,
        HOME => NamedKey::Home,
        END => NamedKey::End,
        PAGE_UP => NamedKey::PageUp,
        PAGE_DOWN => NamedKey::PageDown,
        _ => return layout.character(code, shift).map(PageInput::Text),
    };
    Some(PageInput::Key { key, shift })
}

/// The key that makes chords; never sent to any zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKey {
    /// Either Super key.
    #[default]
    Super,
    /// The right Control key, for desktops that keep Super for themselves.
    RightControl,
}

impl HostKey {
    pub(crate) fn is(self, code: u16) -> bool {
        match self {
            HostKey::Super => matches!(code, LEFT_SUPER | RIGHT_SUPER),
            // Super stays the host's: a zone that saw it might act on half of what another desktop does with it.
            HostKey::RightControl => matches!(code, RIGHT_CONTROL | LEFT_SUPER | RIGHT_SUPER),
        }
    }
}

pub(crate) fn is_modifier(code: u16) -> bool {
    MODIFIERS.contains(&code)
}

/// Whether a zone may be sent this key at all.
pub(crate) fn may_reach_zones(code: u16) -> bool {
    (1..256).contains(&code) && !MACHINE_KEYS.contains(&code)
}

/// Whether a zone may be sent this button at all.
pub(crate) fn is_button(code: u16) -> bool {
    (BUTTON_LEFT..=BUTTON_TASK).contains(&code)
}
