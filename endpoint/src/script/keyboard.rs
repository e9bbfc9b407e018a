//! A US keyboard: characters and key names as evdev codes (`linux/input-event-codes.h`).

/// One key, with or without Shift.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stroke {
    /// evdev code.
    pub code: u16,
    /// Whether Shift is held.
    pub shift: bool,
}

/// The rows of the main block from their leftmost key on: plain characters, then the same with Shift, and the first code.
const ROWS: [(&str, &str, u16); 5] = [
    ("1234567890-=", "!@#$%^&*()_+", 2),
    ("qwertyuiop[]", "QWERTYUIOP{}", 16),
    ("asdfghjkl;'`", "ASDFGHJKL:\"~", 30),
    ("\\zxcvbnm,./", "|ZXCVBNM<>?", 43),
    (" ", " ", 57),
];

/// Left Shift.
pub const SHIFT: u16 = 42;

/// Names of keys that have no character or whose character cannot stand in a chord.
const NAMES: [(&str, u16); 53] = [
    ("escape", 1),
    ("esc", 1),
    ("minus", 12),
    ("equal", 13),
    ("backspace", 14),
    ("tab", 15),
    ("return", 28),
    ("enter", 28),
    ("ctrl", 29),
    ("control", 29),
    ("semicolon", 39),
    ("apostrophe", 40),
    ("grave", 41),
    ("shift", SHIFT),
    ("backslash", 43),
    ("comma", 51),
    ("period", 52),
    ("slash", 53),
    ("rightshift", 54),
    ("alt", 56),
    ("space", 57),
    ("capslock", 58),
    ("f1", 59),
    ("f2", 60),
    ("f3", 61),
    ("f4", 62),
    ("f5", 63),
    ("f6", 64),
    ("f7", 65),
    ("f8", 66),
    ("f9", 67),
    ("f10", 68),
    ("f11", 87),
    ("f12", 88),
    ("rightctrl", 97),
    ("print", 99),
    ("altgr", 100),
    ("rightalt", 100),
    ("home", 102),
    ("up", 103),
    ("page_up", 104),
    ("pageup", 104),
    ("left", 105),
    ("right", 106),
    ("end", 107),
    ("down", 108),
    ("page_down", 109),
    ("pagedown", 109),
    ("insert", 110),
    ("delete", 111),
    ("super", 125),
    ("rightsuper", 126),
    ("menu", 139),
];

/// The stroke for a character; None when a US keyboard has none.
#[must_use]
pub fn stroke(character: char) -> Option<Stroke> {
    for (plain, shifted, first) in ROWS {
        for (row, shift) in [(plain, false), (shifted, true)] {
            if let Some((code, _)) = (first..)
                .zip(row.chars())
                .find(|(_, found)| *found == character)
            {
                return Some(Stroke { code, shift });
            }
        }
    }
    match character {
        '\t' => Some(Stroke {
            code: 15,
            shift: false,
        }),
        '\n' => Some(Stroke {
            code: 28,
            shift: false,
        }),
        _ => None,
    }
}

/// The key of this name: a name such as `Return` in any case, or an unshifted character.
#[must_use]
pub fn key(name: &str) -> Option<u16> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, code)) = NAMES.iter().find(|(known, _)| *known == lower) {
        return Some(*code);
    }
    let mut characters = lower.chars();
    let (character, None) = (characters.next()?, characters.next()) else {
        return None;
    };
    stroke(character)
        .filter(|stroke| !stroke.shift)
        .map(|stroke| stroke.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_character_has_a_stroke_of_its_own() {
        let mut strokes: Vec<_> = (' '..='~')
            .map(|character| stroke(character).unwrap())
            .collect();
        strokes.sort_by_key(|stroke| (stroke.code, stroke.shift));
        strokes.dedup();
        assert_eq!(strokes.len(), 95);
        assert_eq!(stroke('é'), None);
    }

    #[test]
    fn some_codes_as_the_kernel_header_has_them() {
        let plain = |code| Some(Stroke { code, shift: false });
        let shifted = |code| Some(Stroke { code, shift: true });
        for (character, expected) in [
            ('1', plain(2)),
            ('0', plain(11)),
            ('=', plain(13)),
            ('q', plain(16)),
            (']', plain(27)),
            ('a', plain(30)),
            ('\'', plain(40)),
            ('`', plain(41)),
            ('\\', plain(43)),
            ('z', plain(44)),
            ('/', plain(53)),
            (' ', plain(57)),
            ('?', shifted(53)),
            ('~', shifted(41)),
            ('|', shifted(43)),
            ('Z', shifted(44)),
            ('"', shifted(40)),
        ] {
            assert_eq!(stroke(character), expected, "{character}");
        }
        for (name, code) in [
            ("Return", 28),
            ("RIGHT", 106),
            ("a", 30),
            ("A", 30),
            ("5", 6),
            ("F12", 88),
            ("Page_Up", 104),
        ] {
            assert_eq!(key(name), Some(code), "{name}");
        }
        assert_eq!(key("nonsense"), None);
        assert_eq!(key("!"), None);
        assert_eq!(key(""), None);
    }
}
