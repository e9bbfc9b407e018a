//! Colours of zones, and how alike two of them look.
//!
//! Likeness is the CIEDE2000 difference (ISO/CIE 11664-6) of the two colours as a reader sees them, also with the three
//! kinds of colour blindness, simulated with the matrices of Machado, Oliveira and Fernandes (2009) at full severity.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::values::Mistake;

/// An sRGB colour, written `#2e7d32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
}

impl Colour {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let wrong = || {
            Mistake::new(
                format!("{text:?} is no colour"),
                "write # and six hexadecimal digits for red, green and blue, such as \"#2e7d32\"",
            )
        };
        let digits = text.strip_prefix('#').filter(|digits| {
            digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let value = u32::from_str_radix(digits.ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
        let [_, red, green, blue] = value.to_be_bytes();
        Ok(Self { red, green, blue })
    }

    /// Red, green and blue in the low 24 bits.
    pub fn rgb(self) -> u32 {
        u32::from_be_bytes([0, self.red, self.green, self.blue])
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{:06x}", self.rgb())
    }
}

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
