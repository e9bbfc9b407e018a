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

/// A way of seeing colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// With three working cones.
    Full,
    /// Without the long-wave cones.
    Protanopia,
    /// Without the middle-wave cones.
    Deuteranopia,
    /// Without the short-wave cones.
    Tritanopia,
}

impl Sight {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Full,
        Self::Protanopia,
        Self::Deuteranopia,
        Self::Tritanopia,
    ];

    /// What someone who sees so sees instead, on linear red, green and blue.
    fn matrix(self) -> [[f64; 3]; 3] {
        match self {
            Self::Full => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Self::Protanopia => [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
            Self::Deuteranopia => [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
            Self::Tritanopia => [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "full colour sight",
            Self::Protanopia => "protanopia (no red cones)",
            Self::Deuteranopia => "deuteranopia (no green cones)",
            Self::Tritanopia => "tritanopia (no blue cones)",
        })
    }
}

/// A colour in CIE L*a*b* under the light D65.
#[derive(Clone, Copy, Debug)]
struct Lab {
    lightness: f64,
    a: f64,
    b: f64,
}

impl Colour {
    /// How different two colours look to someone who sees so: the CIEDE2000 difference. 0 is the same, 1 is just to be
    /// noticed side by side, 100 is black and white.
    pub fn difference(self, other: Self, sight: Sight) -> f64 {
        ciede2000(self.lab(sight), other.lab(sight))
    }

    fn lab(self, sight: Sight) -> Lab {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let rgb = [linear(self.red), linear(self.green), linear(self.blue)];
        let dot =
            |row: [f64; 3], rgb: [f64; 3]| row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2];
        let rgb = sight.matrix().map(|row| dot(row, rgb).clamp(0.0, 1.0));
        let x = dot([0.412_456_4, 0.357_576_1, 0.180_437_5], rgb) / 0.950_47;
        let y = dot([0.212_672_9, 0.715_152_2, 0.072_175_0], rgb);
        let z = dot([0.019_333_9, 0.119_192_0, 0.950_304_1], rgb) / 1.088_83;
        let curve = |value: f64| {
            if value > 216.0 / 24_389.0 {
                value.cbrt()
            } else {
                (24_389.0 / 27.0 * value + 16.0) / 116.0
            }
        };
        Lab {
            lightness: 116.0 * curve(y) - 16.0,
            a: 500.0 * (curve(x) - curve(y)),
            b: 200.0 * (curve(y) - curve(z)),
        }
    }
}

/// The difference of two colours by ISO/CIE 11664-6, with all weights 1.
fn ciede2000(first: Lab, second: Lab) -> f64 {
    let seventh = |value: f64| (value.powi(7) / (value.powi(7) + 25f64.powi(7))).sqrt();
    let mean_chroma = (first.a.hypot(first.b) + second.a.hypot(second.b)) / 2.0;
    let stretch = 1.0 + 0.5 * (1.0 - seventh(mean_chroma));
    let polar = |lab: Lab| {
        let a = lab.a * stretch;
        let hue = if a == 0.0 && lab.b == 0.0 {
            0.0
        } else {
            lab.b.atan2(a).to_degrees().rem_euclid(360.0)
        };
        (a.hypot(lab.b), hue)
    };
    let ((first_chroma, first_hue), (second_chroma, second_hue)) = (polar(first), polar(second));
    let grey = first_chroma * second_chroma == 0.0;
    let lightness = second.lightness - first.lightness;
    let chroma = second_chroma - first_chroma;
    let turn = match second_hue - first_hue {
        _ if grey => 0.0,
        turn if turn > 180.0 => turn - 360.0,
        turn if turn < -180.0 => turn + 360.0,
        turn => turn,
    };
    let hue = 2.0 * (first_chroma * second_chroma).sqrt() * (turn / 2.0).to_radians().sin();
    let mean_lightness = (first.lightness + second.lightness) / 2.0;
    let mean_chroma = (first_chroma + second_chroma) / 2.0;
    let sum = first_hue + second_hue;
    let mean_hue = match (first_hue - second_hue).abs() {
        _ if grey => sum,
        apart if apart <= 180.0 => sum / 2.0,
        _ if sum < 360.0 => (sum + 360.0) / 2.0,
        _ => (sum - 360.0) / 2.0,
    };
    let cosine = |degrees: f64| degrees.to_radians().cos();
    let shape = 1.0 - 0.17 * cosine(mean_hue - 30.0)
        + 0.24 * cosine(2.0 * mean_hue)
        + 0.32 * cosine(3.0 * mean_hue + 6.0)
        - 0.20 * cosine(4.0 * mean_hue - 63.0);
    let middle = (mean_lightness - 50.0).powi(2);
    let lightness_weight = 1.0 + 0.015 * middle / (20.0 + middle).sqrt();
    let chroma_weight = 1.0 + 0.045 * mean_chroma;
    let hue_weight = 1.0 + 0.015 * mean_chroma * shape;
    let rotation = -2.0
        * seventh(mean_chroma)
        * (60.0 * (-((mean_hue - 275.0) / 25.0).powi(2)).exp())
            .to_radians()
            .sin();
    let (lightness, chroma, hue) = (
        lightness / lightness_weight,
        chroma / chroma_weight,
        hue / hue_weight,
    );
    (lightness.powi(2) + chroma.powi(2) + hue.powi(2) + rotation * chroma * hue)
        .max(0.0)
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs and differences from Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005), table 1.
    #[test]
    fn differences_are_those_of_the_published_table() {
        for (first, second, difference) in [
            ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
            ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
            ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
            ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
            ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
            ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
            ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
            (
                (60.2574, -34.0099, 36.2677),
                (60.4626, -34.1751, 39.4387),
                1.2644,
            ),
            (
                (22.7233, 20.0904, -46.694),
                (23.0331, 14.973, -42.5619),
                2.0373,
            ),
            ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
        ] {
            let lab = |(lightness, a, b)| Lab { lightness, a, b };
            assert!(
                (ciede2000(lab(first), lab(second)) - difference).abs() < 1e-4,
                "{first:?} {second:?}"
            );
            assert!(
                (ciede2000(lab(second), lab(first)) - difference).abs() < 1e-4,
                "{second:?} {first:?}"
            );
        }
    }

    #[test]
    fn colours_that_the_colour_blind_confuse_are_found() {
        let colour = |text| Colour::parse(text).unwrap();
        let (red, green) = (colour("#b03010"), colour("#5f6a10"));
        assert!(red.difference(green, Sight::Full) > 30.0);
        assert!(red.difference(green, Sight::Protanopia) < 20.0);
        assert!(colour("#000000").difference(colour("#ffffff"), Sight::Full) > 99.0);
        for sight in Sight::ALL {
            assert!(red.difference(red, sight) < 1e-9);
        }
    }

    #[test]
    fn only_six_digits_are_a_colour() {
        for bad in [
            "", "#", "red", "#fff", "#12345g", "123456", "#1234567", "#+12345",
        ] {
            assert!(Colour::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Colour::parse("#2e7D32").unwrap().to_string(), "#2e7d32");
    }
}
