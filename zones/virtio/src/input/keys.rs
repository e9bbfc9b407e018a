//! The key codes that our devices have (Linux `input-event-codes.h`).

/// Left button.
pub const BTN_LEFT: u16 = 0x110;
/// Right button.
pub const BTN_RIGHT: u16 = 0x111;
/// Middle button.
pub const BTN_MIDDLE: u16 = 0x112;
/// Fourth button, mostly "back".
pub const BTN_SIDE: u16 = 0x113;
/// Fifth button, mostly "forward".
pub const BTN_EXTRA: u16 = 0x114;
/// The power button.
pub const KEY_POWER: u16 = 116;

const KEY_SYSRQ: u16 = 99;
const KEY_SLEEP: u16 = 142;
const KEY_WAKEUP: u16 = 143;

/// Every code that any device of ours could have.
pub(super) fn all() -> impl Iterator<Item = u16> {
    1..=BTN_EXTRA
}

/// Whether the keyboard has the key: the keys of PC keyboards of all layouts with their media keys, but not those that
/// put the machine to sleep or turn it off, which only the endpoint decides.
pub fn is_keyboard_key(code: u16) -> bool {
    match code {
        KEY_POWER | KEY_SLEEP | KEY_WAKEUP => false,
        // Esc to keypad dot; the 102nd key, F11, F12, Japanese keys, keypad Enter, right Ctrl, keypad slash, SysRq,
        // right Alt; the navigation block; mute, volume; keypad equals, plus-minus, Pause; keypad comma, Hangul, Hanja,
        // Yen, both Meta, Compose.
        1..=83 | 85..=98 | KEY_SYSRQ..=111 | 113..=127 => true,
        // Stop, again, undo, copy, paste, find, cut, help, menu, calculator, ..., media and browser keys.
        128..=179 => true,
        // Keypad parentheses, new, redo, F13 to F24.
        180..=194 => true,
        // Print, email, search, brightness, switch video mode, keyboard light.
        210 | 215 | 217 | 224 | 225 | 227..=230 => true,
        // Microphone mute.
        248 => true,
        _ => false,
    }
}
