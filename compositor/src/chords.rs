//! Which keys, pressed together, are the host's own.
//!
//! No zone sees any part of a chord. The host key (Super, by default) is never sent to a zone, and while it is held no
//! key press is. Other modifiers that occur in a chord are held back when they go down, until something shows that they
//! were meant for the zone: another key that completes no chord, a click, the wheel, or their own release. Then they are
//! sent first, in their order, and the zone cannot tell the difference. Nothing here depends on time.

use std::collections::BTreeMap;

use crate::keys;
use crate::zone::ZoneId;

/// Modifiers of a chord, exactly these; left and right ones count the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Modifiers {
    /// A Control key.
    pub control: bool,
    /// An Alt key.
    pub alt: bool,
    /// A Shift key.
    pub shift: bool,
    /// The host key.
    pub host: bool,
}

impl Modifiers {
    /// None at all.
    pub const NONE: Modifiers = Modifiers {
        control: false,
        alt: false,
        shift: false,
        host: false,
    };
    /// The host key alone.
    pub const HOST: Modifiers = Modifiers {
        host: true,
        ..Modifiers::NONE
    };
    const HOST_SHIFT: Modifiers = Modifiers {
        host: true,
        shift: true,
        ..Modifiers::NONE
    };
    const HOST_CONTROL: Modifiers = Modifiers {
        host: true,
        control: true,
        ..Modifiers::NONE
    };
    const CONTROL_ALT: Modifiers = Modifiers {
        control: true,
        alt: true,
        ..Modifiers::NONE
    };

    /// The modifiers among keys that are down.
    pub(crate) fn of(codes: impl Iterator<Item = u16>, host: bool) -> Self {
        codes.fold(
            Modifiers {
                host,
                ..Modifiers::NONE
            },
            |mut sum, code| {
                match code {
                    keys::LEFT_CONTROL | keys::RIGHT_CONTROL => sum.control = true,
                    keys::LEFT_ALT | keys::RIGHT_ALT => sum.alt = true,
                    keys::LEFT_SHIFT | keys::RIGHT_SHIFT => sum.shift = true,
                    _ => {}
                }
                sum
            },
        )
    }

    /// Whether all of these are among `other`.
    fn within(self, other: Modifiers) -> bool {
        (!self.control || other.control)
            && (!self.alt || other.alt)
            && (!self.shift || other.shift)
            && (!self.host || other.host)
    }

    fn shares(self, other: Modifiers) -> bool {
        (self.control && other.control) || (self.alt && other.alt) || (self.shift && other.shift)
    }
}

/// A direction of the cursor keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names say it all.
pub enum Direction {
    Up,
    Down,
    Left,
    Right,
}

/// Which workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names say it all.
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
    /// Takes every USB device back from zones, also while the screen is locked or a page is up.
    DetachDevices,
    /// Asks for a picture of the screen.
    Screenshot,
    /// Ends whatever the pressed buttons do.
    ReleasePointer,
    /// Gives the next zone the keyboard and brings its window to the front.
    FocusNext,
    /// The same, backwards.
    FocusPrevious,
    /// Focuses the zone with this place in the panel, counted from 0.
    FocusNumber(usize),
    /// Focuses this zone.
    FocusZone(ZoneId),
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
    /// Moves the window's right or lower edge a little, so that it grows or shrinks.
    Stretch(Direction),
}

/// All chords. There is always one for secure attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chords {
    bound: BTreeMap<(Modifiers, u16), Chord>,
}

impl Default for Chords {
    fn default() -> Self {
        use Direction::{Down, Left, Right, Up};
        use WorkspaceStep::{Next, Previous};
        let mut chords = Self {
            bound: BTreeMap::new(),
        };
        let mut host = |key, chord| chords.bind(Modifiers::HOST, key, chord);
        host(keys::TAB, Chord::FocusNext);
        host(keys::BACKQUOTE, Chord::FocusPrevious);
        host(keys::F, Chord::ToggleMaximise);
        host(keys::L, Chord::Lock);
        host(keys::M, Chord::Minimise);
        host(keys::SPACE, Chord::Launcher);
        host(keys::V, Chord::Transfer);
        host(keys::W, Chord::Overview);
        host(keys::PRINT, Chord::Screenshot);
        host(keys::ESCAPE, Chord::SecureAttention);
        host(keys::PAGE_UP, Chord::Workspace(Previous));
        host(keys::PAGE_DOWN, Chord::Workspace(Next));
        for number in 0..9u8 {
            host(
                keys::DIGIT_ONE + u16::from(number),
                Chord::FocusNumber(usize::from(number)),
            );
        }
        for (key, direction) in [
            (keys::UP, Up),
            (keys::DOWN, Down),
            (keys::LEFT, Left),
            (keys::RIGHT, Right),
        ] {
            host(key, Chord::Arrange(direction));
        }
        for (key, direction) in [
            (keys::UP, Up),
            (keys::DOWN, Down),
            (keys::LEFT, Left),
            (keys::RIGHT, Right),
        ] {
            chords.bind(Modifiers::HOST_SHIFT, key, Chord::Nudge(direction));
            chords.bind(Modifiers::HOST_CONTROL, key, Chord::Stretch(direction));
        }
        chords.bind(Modifiers::HOST_SHIFT, keys::TAB, Chord::FocusPrevious);
        chords.bind(Modifiers::HOST_SHIFT, keys::BACKSPACE, Chord::DetachDevices);
        chords.bind(
            Modifiers::HOST_SHIFT,
            keys::PAGE_UP,
            Chord::CarryToWorkspace(Previous),
        );
        chords.bind(
            Modifiers::HOST_SHIFT,
            keys::PAGE_DOWN,
            Chord::CarryToWorkspace(Next),
        );
        chords.bind(Modifiers::CONTROL_ALT, keys::ESCAPE, Chord::SecureAttention);
        chords
    }
}

impl Chords {
    /// Makes these keys mean that chord, whatever they meant before.
    pub fn bind(&mut self, modifiers: Modifiers, key: u16, chord: Chord) {
        self.bound.insert((modifiers, key), chord);
    }

    /// Makes these keys, and no others, mean that chord.
    pub fn rebind(&mut self, modifiers: Modifiers, key: u16, chord: Chord) {
        self.bound.retain(|_, bound| *bound != chord);
        self.bind(modifiers, key, chord);
    }

    /// Puts the default back where nothing means secure attention.
    pub(crate) fn completed(mut self) -> Self {
        if !self
            .bound
            .values()
            .any(|chord| *chord == Chord::SecureAttention)
        {
            self.bind(Modifiers::CONTROL_ALT, keys::ESCAPE, Chord::SecureAttention);
        }
        self
    }

    pub(crate) fn find(&self, modifiers: Modifiers, key: u16) -> Option<Chord> {
        let exact = self.bound.get(&(modifiers, key)).copied();
        // Nothing that is held beside it may keep a person from the attention screen.
        let attention = || {
            let fits = |((asked, code), chord): (&(Modifiers, u16), &Chord)| {
                *code == key && *chord == Chord::SecureAttention && asked.within(modifiers)
            };
            self.bound
                .iter()
                .any(fits)
                .then_some(Chord::SecureAttention)
        };
        exact.or_else(attention)
    }

    /// Whether a modifier key is part of any chord, so that it is to be held back.
    pub(crate) fn involve(&self, code: u16) -> bool {
        let modifier = Modifiers::of(std::iter::once(code), false);
        self.bound
            .keys()
            .any(|(modifiers, _)| modifiers.shares(modifier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_is_always_bound_and_found_whatever_else_is_held() {
        let mut chords = Chords::default();
        chords.rebind(Modifiers::NONE, 119, Chord::SecureAttention);
        assert_eq!(
            chords.find(Modifiers::CONTROL_ALT, keys::ESCAPE),
            None,
            "bound elsewhere"
        );
        for modifiers in [
            Modifiers::NONE,
            Modifiers::HOST_SHIFT,
            Modifiers::CONTROL_ALT,
        ] {
            assert_eq!(chords.find(modifiers, 119), Some(Chord::SecureAttention));
        }
        chords.bind(Modifiers::NONE, 119, Chord::Lock);
        let chords = chords.completed();
        assert_eq!(
            chords.find(Modifiers::CONTROL_ALT, keys::ESCAPE),
            Some(Chord::SecureAttention)
        );
        assert_eq!(
            chords.find(Modifiers::HOST_SHIFT, keys::V),
            None,
            "others want exactly their modifiers"
        );
    }
}
