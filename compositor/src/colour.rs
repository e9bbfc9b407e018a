//! Colours, how they mix, and the palette for zones.
//!
//! Everything is integer arithmetic on 8-bit channels, so that golden images are the same on every machine.

use std::fmt;
use std::str::FromStr;

/// An opaque colour, 8 bits for each of red, green and blue.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

impl Colour {
    /// Black.
    pub const BLACK: Colour = Colour::rgb(0, 0, 0);
    /// White.
    pub const WHITE: Colour = Colour::rgb(255, 255, 255);

    /// A colour from its channels.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// The colour of an XRGB8888 pixel.
    pub const fn from_pixel(pixel: u32) -> Self {
        let [blue, green, red, _] = pixel.to_le_bytes();
        Self { red, green, blue }
    }

    /// The colour as an XRGB8888 pixel whose unused byte is 255: opaque to whoever reads it as ARGB.
    pub const fn pixel(self) -> u32 {
        u32::from_le_bytes([self.blue, self.green, self.red, 0xff])
    }

    /// This colour with `amount`/255 of `other` mixed in.
    pub fn mixed(self, other: Colour, amount: u8) -> Colour {
        Self::from_pixel(mix(self.pixel(), other.pixel(), u32::from(amount)))
    }

    /// Near-black or white, whichever contrasts more with this colour.
    pub fn ink(self) -> Colour {
        let square = |channel: u8| u32::from(channel) * u32::from(channel);
        // Luminance by the weights of sRGB, with a gamma of 2 for want of fractions: up to 255^2 * 10,000.
        let luminance =
            square(self.red) * 2126 + square(self.green) * 7152 + square(self.blue) * 722;
        if luminance > 255 * 255 * 2100 {
            Colour::rgb(0x0e, 0x11, 0x15)
        } else {
            Colour::WHITE
        }
    }
}

/// The contrast of two colours by WCAG 2.2: 1 to 21.
#[cfg(test)]
pub(crate) fn contrast(one: Colour, other: Colour) -> f64 {
    let linear = |channel: u8| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    let luminance = |colour: Colour| {
        0.2126 * linear(colour.red) + 0.7152 * linear(colour.green) + 0.0722 * linear(colour.blue)
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// `under` with `amount`/255 of `over` mixed in, opaque.
#[inline(always)]
pub(crate) fn mix(under: u32, over: u32, amount: u32) -> u32 {
    // Two channels at a time: the products stay below 2^16 for each 16-bit lane, so nothing ever wraps. (Checked
    // operations would keep loops over this from becoming vector instructions.)
    let keep = 255u32.wrapping_sub(amount);
    let mixed = |under: u32, over: u32| {
        let lanes = under
            .wrapping_mul(keep)
            .wrapping_add(over.wrapping_mul(amount))
            .wrapping_add(0x0080_0080);
        // Exact division by 255 of each lane, rounded.
        (lanes.wrapping_add((lanes >> 8) & 0x00ff_00ff) >> 8) & 0x00ff_00ff
    };
    let even = mixed(under & 0x00ff_00ff, over & 0x00ff_00ff);
    let odd = mixed((under >> 8) & 0x00ff_00ff, (over >> 8) & 0x00ff_00ff);
    0xff00_0000 | even | odd << 8
}

impl fmt::Debug for Colour {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

/// The named zone colours: the palette of Okabe and Ito, which people with any common kind of colour blindness can
/// tell apart, and a grey as dark as none of them is to anybody.
pub const ZONE_PALETTE: [(&str, Colour); 8] = [
    ("red", Colour::rgb(0xd5, 0x5e, 0x00)),
    ("orange", Colour::rgb(0xe6, 0x9f, 0x00)),
    ("yellow", Colour::rgb(0xf0, 0xe4, 0x42)),
    ("green", Colour::rgb(0x00, 0x9e, 0x73)),
    ("blue", Colour::rgb(0x00, 0x72, 0xb2)),
    ("sky", Colour::rgb(0x56, 0xb4, 0xe9)),
    ("purple", Colour::rgb(0xcc, 0x79, 0xa7)),
    ("grey", Colour::rgb(0x60, 0x66, 0x70)),
];

/// A colour that is neither a name of the palette nor `#rrggbb`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no colour: write one of red, orange, yellow, green, blue, sky, purple, grey, or #rrggbb"
)]
pub struct UnknownColour {
    given: String,
}

impl FromStr for Colour {
    type Err = UnknownColour;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, colour)) = ZONE_PALETTE.iter().find(|(name, _)| *name == text) {
            return Ok(*colour);
        }
        let unknown = || UnknownColour {
            given: text
                .chars()
                .take(32)
                .flat_map(char::escape_default)
                .collect(),
        };
        let digits = text.strip_prefix('#').ok_or_else(unknown)?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        u32::from_str_radix(digits, 16)
            .map(Colour::from_pixel)
            .map_err(|_| unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_is_exact_for_every_channel_and_amount() {
        for amount in 0..=255u32 {
            for (under, over) in [(0u32, 255u32), (255, 0), (17, 200), (255, 255), (1, 254)] {
                let pixel = |value: u32| 0xff00_0000 | value << 16 | value << 8 | value;
                let exact = (under * (255 - amount) + over * amount + 127) / 255;
                assert_eq!(
                    mix(pixel(under), pixel(over), amount),
                    pixel(exact),
                    "{under} {over} {amount}"
                );
            }
        }
    }

    /// A zone's name can be read in its title bar: [`contrast`] as WCAG asks, for the palette and for any other colour.
    #[test]
    fn ink_can_be_read_on_every_colour() {
        for (name, colour) in ZONE_PALETTE {
            let contrast = contrast(colour.ink(), colour);
            assert!(contrast >= 4.5, "{name}: {contrast}");
        }
        let channels = || (0..=255).step_by(15);
        for (red, (green, blue)) in channels()
            .flat_map(|r| channels().flat_map(move |g| channels().map(move |b| (r, (g, b)))))
        {
            let colour = Colour::rgb(red, green, blue);
            let contrast = contrast(colour.ink(), colour);
            assert!(contrast >= 4.0, "{colour}: {contrast}");
        }
    }

    #[test]
    fn colours_parse_by_name_and_by_number() {
        assert_eq!("#0072b2".parse(), "blue".parse::<Colour>());
        assert_eq!("blue".parse::<Colour>().unwrap().to_string(), "#0072b2");
        for wrong in [
            "", "Blue", "#12345", "#1234567", "#+12345", "#12345g", "0072b2", "#é1234",
        ] {
            assert!(wrong.parse::<Colour>().is_err(), "{wrong}");
        }
    }
}
