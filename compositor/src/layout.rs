//! What keys type in the endpoint's own text fields. Zones get key codes and map them themselves.

/// A keyboard layout for the endpoint's own text fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyboardLayout {
    /// English (US).
    #[default]
    English,
    /// German.
    German,
}

/// The keys of the four letter rows by their first evdev code; unshifted and shifted.
const ENGLISH: [(u16, &str, &str); 4] = [
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
];

const GERMAN: [(u16, &str, &str); 4] = [
    (2, "1234567890ß", "!\"§$%&/()=?"),
    (16, "qwertzuiopü+", "QWERTZUIOPÜ*"),
    (30, "asdfghjklöä", "ASDFGHJKLÖÄ"),
    (43, "#yxcvbnm,.-", "'YXCVBNM;:_"),
];

const SPACE: u16 = 57;
/// The key between left Shift and the letters on keyboards with 105 keys.
const EXTRA: u16 = 86;

impl KeyboardLayout {
    /// The character a key types.
    pub(crate) fn character(self, code: u16, shift: bool) -> Option<char> {
        let rows = match self {
            KeyboardLayout::English => &ENGLISH,
            KeyboardLayout::German => &GERMAN,
        };
        if code == SPACE {
            return Some(' ');
        }
        if let Some(digit) = keypad(code) {
            return Some(digit);
        }
        if code == EXTRA && self == KeyboardLayout::German {
            return Some(if shift { '>' } else { '<' });
        }
        rows.iter().find_map(|(first, plain, shifted)| {
            let place = usize::from(code.checked_sub(*first)?);
            if shift { shifted } else { plain }.chars().nth(place)
        })
    }
}

/// Digits of the keypad, whatever Num Lock says: nobody wants cursor keys in a passphrase.
fn keypad(code: u16) -> Option<char> {
    let digit = match code {
        71..=73 => code - 71 + 7,
        75..=77 => code - 75 + 4,
        79..=81 => code - 79 + 1,
        82 => 0,
        _ => return None,
    };
    char::from_digit(u32::from(digit), 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_do_not_run_into_each_other() {
        for layout in [KeyboardLayout::English, KeyboardLayout::German] {
            let mut seen = std::collections::BTreeMap::new();
            for code in (1..128).filter(|code| keypad(*code).is_none()) {
                for shift in [false, true] {
                    if let Some(character) = layout
                        .character(code, shift)
                        .filter(|character| *character != ' ')
                    {
                        let before = seen.insert(character, code);
                        assert_eq!(before, None, "{layout:?}: {character} is on two keys");
                    }
                }
            }
            for control in [1, 14, 15, 28, 29, 42, 54, 56, 58, 97, 100, 103, 125] {
                assert_eq!(layout.character(control, false), None, "code {control}");
            }
        }
        assert_eq!(KeyboardLayout::German.character(21, false), Some('z'));
        assert_eq!(KeyboardLayout::English.character(80, true), Some('2'));
    }
}
