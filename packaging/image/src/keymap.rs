//! Compiled keyboard maps (XKM files), made the same every time.
//!
//! The compiler writes a few bytes of its uninitialised stack as padding of its key types. They are found by the format (libxkbfile:
//! xkmout.c) and zeroed; a file of any other shape is refused, so that no irreproducible map goes unnoticed.

/// Bytes of the header before the table of sections: magic, kind, key codes, section count, section mask, padding.
const HEADER: usize = 12;
/// An entry of the table, and the copy of it before each section: kind, format, size, offset.
const ENTRY: usize = 8;
const MAGIC: [u8; 4] = *b"\x0fmkx";
const KEY_TYPES: u16 = 0;

/// Zeroes the padding in the key types of a compiled keyboard map. `None` if it is not understood to its last byte.
pub(crate) fn zero_padding(map: &mut [u8]) -> Option<()> {
    if map.get(..4)? != MAGIC {
        return None;
    }
    let sections = usize::from(*map.get(7)?);
    for number in 0..sections {
        let mut entry = Cursor::at(map, HEADER + number * ENTRY);
        let kind = entry.number()?;
        entry.skip(2)?;
        let (size, offset) = (entry.number()?, entry.number()?);
        if kind == KEY_TYPES {
            let start = usize::from(offset);
            let end = start.checked_add(usize::from(size))?;
            return key_types(map.get_mut(start..end)?);
        }
    }
    None
}

fn key_types(section: &mut [u8]) -> Option<()> {
    let mut cursor = Cursor::at(section, ENTRY);
    cursor.string()?;
    let types = cursor.number()?;
    cursor.skip(2)?;
    for _ in 0..types {
        // Modifiers, levels, virtual modifiers (2), entries, named levels, whether modifiers are preserved, padding.
        cursor.skip(4)?;
        let (entries, named, preserved) = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
        cursor.zero()?;
        cursor.skip(usize::from(entries) * 4)?;
        cursor.string()?;
        if preserved != 0 {
            for _ in 0..entries {
                // Modifiers, padding, virtual modifiers (2).
                cursor.skip(1)?;
                cursor.zero()?;
                cursor.skip(2)?;
            }
        }
        for _ in 0..named {
            cursor.string()?;
        }
    }
    (cursor.position == cursor.bytes.len()).then_some(())
}

/// A place in a map's bytes.
struct Cursor<'a> {
    bytes: &'a mut [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    const fn at(bytes: &'a mut [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.position = self.position.checked_add(count)?;
        (self.position <= self.bytes.len()).then_some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.skip(1)?;
        Some(byte)
    }

    fn zero(&mut self) -> Option<()> {
        *self.bytes.get_mut(self.position)? = 0;
        self.skip(1)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }

    /// A string after its length, filled up to a multiple of four bytes.
    fn string(&mut self) -> Option<()> {
        let length = usize::from(self.number()?);
        self.skip((length + 2).next_multiple_of(4) - 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of one section with one key type, `padding` where the compiler leaves its stack.
    fn map(padding: u8) -> Vec<u8> {
        let mut types = vec![0, 0, 1, 0, 0, 0, 0, 0];
        types.extend(b"\x03\0abc\0\0\0");
        types.extend([1, 0, 0, 0]);
        types.extend([1, 2, 0, 0, 1, 1, 1, padding]);
        types.extend([1, 1, 0, 0]);
        types.extend(b"\x02\0TT");
        types.extend([1, padding, 0, 0]);
        types.extend(b"\x04\0Base\0\0");
        let mut bytes = MAGIC.to_vec();
        bytes.extend([22, 8, 255, 1, 1, 0, 0, 0]);
        for number in [KEY_TYPES, 1, 48, 20] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(types);
        bytes
    }

    #[test]
    fn padding_is_zeroed_and_nothing_else() {
        let mut dirty = map(0xaa);
        zero_padding(&mut dirty).expect("understood");
        assert_eq!(dirty, map(0));
        zero_padding(&mut dirty).expect("understood again");
        assert_eq!(dirty, map(0));
    }

    #[test]
    fn other_shapes_are_refused() {
        let whole = map(0);
        for length in 0..whole.len() {
            assert_eq!(
                zero_padding(&mut whole[..length].to_vec()),
                None,
                "{length}"
            );
        }
        let mut longer = whole.clone();
        longer.push(0);
        // The section says how long it is; what follows it belongs to another.
        assert_eq!(zero_padding(&mut longer), Some(()));
        for (position, value) in [(0, 0), (7, 0), (16, 255), (18, 255), (44, 9)] {
            let mut changed = whole.clone();
            changed[position] = value;
            assert_eq!(zero_padding(&mut changed), None, "{position}");
        }
    }
}
