//! What comes in from people, and what the scene asks of the endpoint.

use std::fmt;

use zeroize::Zeroizing;

use crate::chords::Chord;
use crate::geometry::{Point, Size};
use crate::trusted::{Answer, PromptId};
use crate::zone::ZoneId;

/// A key's or button's movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMovement {
    /// It went down.
    Pressed,
    /// It came up.
    Released,
    /// It is held and the device repeats it (evdev value 2). Never forwarded, never answers a prompt.
    Repeated,
}

/// Something a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputEvent {
    /// A key, by its evdev code.
    Key {
        /// Code as in `linux/input-event-codes.h`.
        code: u16,
        /// What it did.
        movement: KeyMovement,
    },
    /// The pointer is now there, in desktop pixels.
    PointerMoved(Point),
    /// The pointer moved by so much.
    PointerMovedBy {
        /// To the right.
        x: i32,
        /// Downwards.
        y: i32,
    },
    /// The pointer left the screen (its host's window).
    PointerLeft,
    /// A pointer button, by its evdev code.
    Button {
        /// Code as in `linux/input-event-codes.h` (0x110 is the left button).
        button: u16,
        /// Down or up.
        pressed: bool,
    },
    /// The wheel turned, in 1/120 of a notch; up and right are positive.
    Wheel {
        /// Away from the person.
        vertical: i32,
        /// To the right.
        horizontal: i32,
    },
    /// The keyboard is lost (unplugged, or the host's window lost focus): nothing is held any more.
    KeyboardLost,
}

/// Input for one zone, in its own coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneInput {
    /// The zone gained or lost the keyboard and the pointer.
    Focus(bool),
    /// A key went down or came up.
    Key {
        /// evdev code.
        code: u16,
        /// Down or up.
        pressed: bool,
    },
    /// The pointer is at this pixel of the zone's surface.
    Motion {
        /// Column.
        x: u32,
        /// Row.
        y: u32,
    },
    /// A pointer button went down or came up.
    Button {
        /// evdev code.
        button: u16,
        /// Down or up.
        pressed: bool,
    },
    /// The wheel turned, in 1/120 of a notch.
    Wheel {
        /// Away from the person.
        vertical: i32,
        /// To the right.
        horizontal: i32,
    },
}

/// What a person wants done with a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneCommand {
    /// Start it.
    Start,
    /// Shut it down in good order.
    Stop,
    /// Stop it, then start it.
    Restart,
}

/// What a person typed at the lock screen; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(pub(crate) Zeroizing<String>);

impl Passphrase {
    /// The characters typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Passphrase")
    }
}

/// What the endpoint is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to that zone.
    SendToZone(ZoneId, ZoneInput),
    /// Offer the zone a desktop of this size: make the next surface.
    ResizeZone(ZoneId, Size),
    /// Another zone, or none, has the keyboard.
    FocusChanged(Option<ZoneId>),
    /// A chord whose meaning lies outside the scene: secure attention, lock, launcher, transfer, screenshot.
    Chord(Chord),
    /// A person asked this of a zone.
    Command(ZoneId, ZoneCommand),
    /// A person answered a question.
    Answered(PromptId, Answer),
    /// A person typed this to unlock the screen: verify it, then call `unlock` or `refuse_unlock`.
    UnlockAttempt(Passphrase),
}
