//! Keys by their evdev codes, and the chords that are the host's own.
//!
//! Every chord is the host key (Super, by default) and one more key. The host key is never sent to a zone, and while it
//! is held no key press is: so no zone sees any part of any chord, in whatever order its keys go down and up, and nothing
//! has to be held back and guessed at. Shift counts as part of a chord only if it went down while the host key was held
//! (before that it was an ordinary key, and the zone knows of it).

use crate::layout::KeyboardLayout;
use crate::trusted::{PageKey, Step};

/// Left Super.
pub const LEFT_SUPER: u16 = 125;
/// Right Super.
pub const RIGHT_SUPER: u16 = 126;
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
const BACKSPACE: u16 = 14;
const KEYPAD_ENTER: u16 = 96;
const BACKQUOTE: u16 = 41;
const DIGIT_ONE: u16 = 2;
const DIGIT_NINE: u16 = 10;
const F: u16 = 33;
const L: u16 = 38;
const M: u16 = 50;
const V: u16 = 47;
const W: u16 = 17;
const PRINT: u16 = 99;

/// Left button of a pointer.
pub const BUTTON_LEFT: u16 = 0x110;
/// Last button code that is forwarded.
const BUTTON_TASK: u16 = 0x117;

/// Modifiers whose state a zone is told of when it gains the keyboard: Control, Shift, Alt on both sides.
const MODIFIERS: [u16; 6] = [29, LEFT_SHIFT, RIGHT_SHIFT, 56, RIGHT_CONTROL, 100];

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

/// A direction of the cursor keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Direction {
    Up,
    Down,
    Left,
    Right,
}

/// Which workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WorkspaceStep {
    Next,
    Previous,
}

/// What a chord does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chord {
    /// Brings the attention screen, and breaks every grab.
    SecureAttention,
    /// Shows every zone's window, made small, to choose one.
    Overview,
    /// Locks the screen.
    Lock,
    /// Brings the attention screen too: it starts and stops zones.
    Launcher,
    /// Asks for what another zone copied to be brought into the focused zone.
    Transfer,
    /// Asks for a picture of the screen.
    Screenshot,
    /// Gives the next zone the keyboard and brings its window to the front.
    FocusNext,
    /// The same, backwards.
    FocusPrevious,
    /// Focuses the zone with this place in the panel, counted from 0.
    FocusNumber(usize),
    /// Fills the work area, half or a quarter of it, or goes back.
    Arrange(Direction),
    /// Fills the work area, or goes back.
    ToggleMaximise,
    /// Hides the window.
    Minimise,
    /// Shows the next workspace or the one before.
    Workspace(WorkspaceStep),
    /// The same, and takes the focused window along.
    CarryToWorkspace(WorkspaceStep),
    /// Moves the window a little.
    Nudge(Direction),
}

/// The chord of a key pressed while the host key is held.
pub(crate) fn chord(code: u16, shift: bool) -> Option<Chord> {
    let direction = match code {
        UP => Some(Direction::Up),
        DOWN => Some(Direction::Down),
        LEFT => Some(Direction::Left),
        RIGHT => Some(Direction::Right),
        _ => None,
    };
    if let Some(direction) = direction {
        return Some(if shift {
            Chord::Nudge(direction)
        } else {
            Chord::Arrange(direction)
        });
    }
    Some(match code {
        ESCAPE => Chord::SecureAttention,
        TAB if shift => Chord::FocusPrevious,
        TAB => Chord::FocusNext,
        BACKQUOTE => Chord::FocusPrevious,
        DIGIT_ONE..=DIGIT_NINE => Chord::FocusNumber(usize::from(code - DIGIT_ONE)),
        F => Chord::ToggleMaximise,
        L => Chord::Lock,
        M => Chord::Minimise,
        PAGE_UP if shift => Chord::CarryToWorkspace(WorkspaceStep::Previous),
        PAGE_UP => Chord::Workspace(WorkspaceStep::Previous),
        PAGE_DOWN if shift => Chord::CarryToWorkspace(WorkspaceStep::Next),
        PAGE_DOWN => Chord::Workspace(WorkspaceStep::Next),
        SPACE => Chord::Launcher,
        V => Chord::Transfer,
        W => Chord::Overview,
        PRINT => Chord::Screenshot,
        _ => return None,
    })
}
