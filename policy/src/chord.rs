//! Key chords that the endpoint keeps for itself, such as the secure attention key.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::names::nearest;
use crate::values::Mistake;

/// Keys held down while a chord's last key is pressed; left and right ones count the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Modifiers {
    /// A Control key.
    pub control: bool,
    /// An Alt key.
    pub alt: bool,
    /// A Shift key.
    pub shift: bool,
    /// A Super ("Windows") key.
    pub meta: bool,
}

/// Modifiers and one key, written `Ctrl+Alt+Delete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chord {
    /// The modifiers, exactly these.
    pub modifiers: Modifiers,
    /// The key's code in Linux' `input-event-codes.h`.
    pub key: u16,
}

/// Names and evdev codes. A letter or digit names the key that bears it on a US keyboard, wherever the layout puts it.
#[rustfmt::skip]
const KEYS: [(&str, u16); 84] = [
    ("Escape", 1), ("1", 2), ("2", 3), ("3", 4), ("4", 5), ("5", 6), ("6", 7), ("7", 8), ("8", 9), ("9", 10), ("0", 11),
    ("Minus", 12), ("Equal", 13), ("Backspace", 14), ("Tab", 15), ("Q", 16), ("W", 17), ("E", 18), ("R", 19), ("T", 20),
    ("Y", 21), ("U", 22), ("I", 23), ("O", 24), ("P", 25), ("Enter", 28), ("A", 30), ("S", 31), ("D", 32), ("F", 33),
    ("G", 34), ("H", 35), ("J", 36), ("K", 37), ("L", 38), ("Backquote", 41), ("Z", 44), ("X", 45), ("C", 46), ("V", 47),
    ("B", 48), ("N", 49), ("M", 50), ("Comma", 51), ("Period", 52), ("Slash", 53), ("Space", 57), ("F1", 59), ("F2", 60),
    ("F3", 61), ("F4", 62), ("F5", 63), ("F6", 64), ("F7", 65), ("F8", 66), ("F9", 67), ("F10", 68), ("ScrollLock", 70),
    ("F11", 87), ("F12", 88), ("Print", 99), ("Home", 102), ("Up", 103), ("PageUp", 104), ("Left", 105), ("Right", 106),
    ("End", 107), ("Down", 108), ("PageDown", 109), ("Insert", 110), ("Delete", 111), ("Pause", 119), ("Menu", 127),
    ("F13", 183), ("F14", 184), ("F15", 185), ("F16", 186), ("F17", 187), ("F18", 188), ("F19", 189), ("F20", 190),
    ("F21", 191), ("F22", 192), ("F23", 193),
];

/// Keys that no application needs, so that they may be a chord alone.
const ALONE: [&str; 14] = [
    "Pause",
    "ScrollLock",
    "Print",
    "F13",
    "F14",
    "F15",
    "F16",
    "F17",
    "F18",
    "F19",
    "F20",
    "F21",
    "F22",
    "F23",
];

impl Chord {
    /// A chord of the Super key and one other.
    pub(crate) const fn with_meta(key: u16, shift: bool) -> Self {
        Self {
            modifiers: Modifiers {
                control: false,
                alt: false,
                shift,
                meta: true,
            },
            key,
        }
    }

    /// The default secure attention key, Ctrl+Alt+Escape.
    pub(crate) const ATTENTION: Self = Self {
        modifiers: Modifiers {
            control: true,
            alt: true,
            shift: false,
            meta: false,
        },
        key: 1,
    };

    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let example =
            "write modifiers (Ctrl, Alt, Shift, Super) and a key, such as \"Ctrl+Alt+Escape\"";
        let mut modifiers = Modifiers::default();
        let mut key = None;
        for word in text.split('+') {
            let held = match word {
                "Ctrl" => &mut modifiers.control,
                "Alt" => &mut modifiers.alt,
                "Shift" => &mut modifiers.shift,
                "Super" => &mut modifiers.meta,
                _ => {
                    let Some((name, code)) = KEYS.iter().find(|(name, _)| *name == word) else {
                        let names = KEYS
                            .iter()
                            .map(|(name, _)| *name)
                            .chain(["Ctrl", "Alt", "Shift", "Super"]);
                        let near = names
                            .clone()
                            .find(|name| name.eq_ignore_ascii_case(word))
                            .or_else(|| nearest(word, names));
                        let mend = near.map_or_else(
                            || example.to_owned(),
                            |near| format!("did you mean `{near}`?"),
                        );
                        return Err(Mistake::new(format!("{word:?} is no key"), mend));
                    };
                    if key.replace((*name, *code)).is_some() {
                        return Err(Mistake::new(
                            format!("{text:?} has two keys besides its modifiers"),
                            example,
                        ));
                    }
                    continue;
                }
            };
            if std::mem::replace(held, true) {
                return Err(Mistake::new(
                    format!("{text:?} names a modifier twice"),
                    example,
                ));
            }
        }
        let (name, key) =
            key.ok_or_else(|| Mistake::new(format!("{text:?} has modifiers but no key"), example))?;
        let chord = Self { modifiers, key };
        if !(modifiers.control || modifiers.alt || modifiers.meta || ALONE.contains(&name)) {
            let message = format!("{text:?} would take a key that applications need for typing");
            return Err(Mistake::new(
                message,
                format!(
                    "add Ctrl, Alt or Super, or use one of {} alone",
                    ALONE.join(", ")
                ),
            ));
        }
        Ok(chord)
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Modifiers {
            control,
            alt,
            shift,
            meta,
        } = self.modifiers;
        for (held, name) in [
            (control, "Ctrl+"),
            (alt, "Alt+"),
            (shift, "Shift+"),
            (meta, "Super+"),
        ] {
            if held {
                formatter.write_str(name)?;
            }
        }
        formatter.write_str(
            KEYS.iter()
                .find(|(_, code)| *code == self.key)
                .map_or("?", |(name, _)| name),
        )
    }
}

impl Serialize for Chord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chords_are_read_and_shown() {
        for text in [
            "Ctrl+Alt+Escape",
            "Super+V",
            "Ctrl+Alt+Shift+Super+F12",
            "Pause",
            "Super+1",
        ] {
            assert_eq!(Chord::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Chord::parse("Ctrl+Alt+Escape").unwrap(), Chord::ATTENTION);
    }

    #[test]
    fn chords_that_would_eat_typing_are_refused() {
        for bad in [
            "",
            "Ctrl",
            "A",
            "Shift+A",
            "Ctrl+Ctrl+A",
            "Ctrl+A+B",
            "ctrl+a",
            "Ctrl + A",
            "Ctrl+Hyper+A",
            "Escape",
        ] {
            assert!(Chord::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Chord::parse("Ctrl+Alt+escape").unwrap_err().mend.unwrap(),
            "did you mean `Escape`?"
        );
    }
}
