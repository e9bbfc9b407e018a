//! Every rounding operation in integers alone: the definition that the quick ways in `single` and `double` must equal.
//!
//! Each operation sorts out NaNs, infinities and zeros, computes numbers exactly or with a sticky bit, and rounds once.

use crate::format::{Format, Number, Value, infinity, is_signalling, unpack, zero};
use crate::round::{round, rounds_away, shift_right_sticky, upper_half_sticky};
use crate::{Flags, Rounding};
use Value::{Infinity, Nan, Zero};

/// `a + b`.
#[must_use]
pub fn add<F: Format>(a: F::Bits, b: F::Bits, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Nan { .. }, _) | (_, Nan { .. }) => nan::<F>(&[a, b], flags),
        (Infinity { negative: left }, Infinity { negative: right }) if left != right => {
            invalid::<F>(flags)
        }
        (Infinity { negative }, _) | (_, Infinity { negative }) => infinity::<F>(negative),
        (Zero { negative: left }, Zero { negative: right }) => {
            zero::<F>(sign_of_zero_sum(left, right, rounding))
        }
        (Zero { .. }, Value::Number(_)) => b,
        (Value::Number(_), Zero { .. }) => a,
        (Value::Number(left), Value::Number(right)) => {
            sum::<F>(Wide::new(left), Wide::new(right), rounding, flags)
        }
    }
}

/// `a - b`.
#[must_use]
pub fn sub<F: Format>(a: F::Bits, b: F::Bits, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    // A NaN stays as quiet or signalling as it was, and its sign is of no consequence.
    add::<F>(a, F::narrow(b.into() ^ F::SIGN), rounding, flags)
}

/// `a * b`.
#[must_use]
pub fn mul<F: Format>(a: F::Bits, b: F::Bits, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Nan { .. }, _) | (_, Nan { .. }) => nan::<F>(&[a, b], flags),
        (Infinity { .. }, Zero { .. }) | (Zero { .. }, Infinity { .. }) => invalid::<F>(flags),
        (Infinity { .. }, _) | (_, Infinity { .. }) => infinity::<F>(signs_differ::<F>(a, b)),
        (Zero { .. }, _) | (_, Zero { .. }) => zero::<F>(signs_differ::<F>(a, b)),
        (Value::Number(left), Value::Number(right)) => {
            Wide::product(left, right).round::<F>(rounding, flags)
        }
    }
}

/// `a / b`.
#[must_use]
pub fn div<F: Format>(a: F::Bits, b: F::Bits, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Nan { .. }, _) | (_, Nan { .. }) => nan::<F>(&[a, b], flags),
        (Infinity { .. }, Infinity { .. }) | (Zero { .. }, Zero { .. }) => invalid::<F>(flags),
        (Infinity { .. }, _) => infinity::<F>(signs_differ::<F>(a, b)),
        (Zero { .. }, _) | (_, Infinity { .. }) => zero::<F>(signs_differ::<F>(a, b)),
        (Value::Number(_), Zero { .. }) => {
            flags.raise(Flags::DZ);
            infinity::<F>(signs_differ::<F>(a, b))
        }
        (Value::Number(left), Value::Number(right)) => {
            // Both significands have bit 63 set, so the quotient lies strictly between 2^62 and 2^64 and has at least
            // nine bits more than the widest format keeps.
            let divisor = u128::from(right.significand);
            let dividend = u128::from(left.significand) << 63;
            let quotient = dividend / divisor;
            let remains = dividend - quotient * divisor != 0;
            Wide {
                negative: left.negative != right.negative,
                exponent: left.exponent - right.exponent,
                significand: (quotient << 63) | u128::from(remains),
            }
            .round::<F>(rounding, flags)
        }
    }
}

/// The square root of `a`.
#[must_use]
pub fn sqrt<F: Format>(a: F::Bits, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    match unpack::<F>(a) {
        Nan { .. } => nan::<F>(&[a], flags),
        Zero { .. } | Infinity { negative: false } => a,
        Infinity { negative: true } | Value::Number(Number { negative: true, .. }) => {
            invalid::<F>(flags)
        }
        Value::Number(Number {
            exponent,
            significand,
            ..
        }) => {
            // An even power of two comes out of the root; what is left is between 1 and 4, as 2^126 up to 2^128.
            let square = u128::from(significand) << (63 + (exponent & 1));
            let root = square.isqrt();
            let remains = square != root * root;
            Wide {
                negative: false,
                exponent: exponent >> 1,
                significand: (root << 63) | u128::from(remains),
            }
            .round::<F>(rounding, flags)
        }
    }
}

/// `a * b + c`, rounded once. The other three fused instructions negate operands.
#[must_use]
pub fn mul_add<F: Format>(
    a: F::Bits,
    b: F::Bits,
    c: F::Bits,
    rounding: Rounding,
    flags: &mut Flags,
) -> F::Bits {
    let (left, right, addend) = (unpack::<F>(a), unpack::<F>(b), unpack::<F>(c));
    let negative = signs_differ::<F>(a, b);
    match (left, right, addend) {
        // Invalid even if the addend is a quiet NaN: chapter F, section "Single-Precision Floating-Point Computational
        // Instructions".
        (Infinity { .. }, Zero { .. }, _) | (Zero { .. }, Infinity { .. }, _) => {
            invalid::<F>(flags)
        }
        (Nan { .. }, _, _) | (_, Nan { .. }, _) | (_, _, Nan { .. }) => nan::<F>(&[a, b, c], flags),
        (Infinity { .. }, _, Infinity { negative: added })
        | (_, Infinity { .. }, Infinity { negative: added })
            if added != negative =>
        {
            invalid::<F>(flags)
        }
        (Infinity { .. }, _, _) | (_, Infinity { .. }, _) => infinity::<F>(negative),
        (_, _, Infinity { .. }) => c,
        (Zero { .. }, _, Zero { negative: added }) | (_, Zero { .. }, Zero { negative: added }) => {
            zero::<F>(sign_of_zero_sum(negative, added, rounding))
        }
        (Zero { .. }, _, Value::Number(_)) | (_, Zero { .. }, Value::Number(_)) => c,
        (Value::Number(left), Value::Number(right), Zero { .. }) => {
            Wide::product(left, right).round::<F>(rounding, flags)
        }
        (Value::Number(left), Value::Number(right), Value::Number(added)) => sum::<F>(
            Wide::product(left, right),
            Wide::new(added),
            rounding,
            flags,
        ),
    }
}

/// `a` in another format.
#[must_use]
pub fn convert<From: Format, To: Format>(
    a: From::Bits,
    rounding: Rounding,
    flags: &mut Flags,
) -> To::Bits {
    match unpack::<From>(a) {
        Nan { signalling } => {
            if signalling {
                flags.raise(Flags::NV);
            }
            To::narrow(To::CANONICAL_NAN)
        }
        Infinity { negative } => infinity::<To>(negative),
        Zero { negative } => zero::<To>(negative),
        Value::Number(number) => round::<To>(number, rounding, flags),
    }
}

/// The integer of the given sign and magnitude.
#[must_use]
pub fn from_integer<F: Format>(
    negative: bool,
    magnitude: u64,
    rounding: Rounding,
    flags: &mut Flags,
) -> F::Bits {
    if magnitude == 0 {
        return zero::<F>(false);
    }
    let leading = magnitude.leading_zeros();
    let number = Number {
        negative,
        exponent: 63 - leading.cast_signed(),
        significand: magnitude << leading,
    };
    round::<F>(number, rounding, flags)
}

/// The integer nearest to `a` by the mode, if it is one from `minimum` to `maximum`; otherwise the bound on `a`'s side, the
/// maximum for NaN, and NV. Bounds are those of an integer type of at most 64 bits.
#[must_use]
pub fn to_integer<F: Format>(
    a: F::Bits,
    minimum: i128,
    maximum: i128,
    rounding: Rounding,
    flags: &mut Flags,
) -> i128 {
    let Number {
        negative,
        exponent,
        significand,
    } = match unpack::<F>(a) {
        Zero { .. } => return 0,
        Value::Number(number) => number,
        Infinity { negative: true } => {
            flags.raise(Flags::NV);
            return minimum;
        }
        Nan { .. } | Infinity { negative: false } => {
            flags.raise(Flags::NV);
            return maximum;
        }
    };
    let bound = if negative { minimum } else { maximum };
    if exponent > 63 {
        flags.raise(Flags::NV);
        return bound;
    }
    // A fixed-point number with 64 bits on either side of the point.
    let fixed = shift_right_sticky(u128::from(significand) << 64, exponent.abs_diff(63));
    let (whole, rest) = halves(fixed);
    let whole = i128::from(whole);
    let up = rounds_away(rounding, negative, whole & 1 != 0, rest, 1 << 63);
    let magnitude = whole + i128::from(up);
    let value = if negative { -magnitude } else { magnitude };
    if value < minimum || value > maximum {
        flags.raise(Flags::NV);
        return bound;
    }
    if rest != 0 {
        flags.raise(Flags::NX);
    }
    value
}

/// The nearest whole number by the mode, in the same format; NX for another number than `a` only if `exact` is set.
#[must_use]
pub fn round_to_integral<F: Format>(
    a: F::Bits,
    exact: bool,
    rounding: Rounding,
    flags: &mut Flags,
) -> F::Bits {
    let Number {
        negative,
        exponent,
        significand,
    } = match unpack::<F>(a) {
        Nan { .. } => return nan::<F>(&[a], flags),
        Value::Number(number) if number.exponent < F::FRACTION_BITS.cast_signed() => number,
        _ => return a,
    };
    let fixed = shift_right_sticky(u128::from(significand) << 64, exponent.abs_diff(63));
    let (whole, rest) = halves(fixed);
    let up = rounds_away(rounding, negative, whole & 1 != 0, rest, 1 << 63);
    if exact && rest != 0 {
        flags.raise(Flags::NX);
    }
    match whole + u64::from(up) {
        0 => zero::<F>(negative),
        magnitude => from_integer::<F>(negative, magnitude, rounding, flags),
    }
}

/// A finite number other than zero with room for an exact product: `significand * 2^(exponent - 126)`.
///
/// Bit 126 is the highest one set, or bit 125 in a quotient that is below one. The lowest bit may be sticky.
#[derive(Clone, Copy)]
struct Wide {
    negative: bool,
    exponent: i32,
    significand: u128,
}

impl Wide {
    #[inline]
    fn new(number: Number) -> Self {
        Self {
            negative: number.negative,
            exponent: number.exponent,
            significand: u128::from(number.significand) << 63,
        }
    }

    /// The exact product of two numbers that were unpacked from a format, not computed.
    #[inline]
    fn product(left: Number, right: Number) -> Self {
        let significand = u128::from(left.significand) * u128::from(right.significand);
        // Bit 126 or 127 is the highest. At most 106 bits are significant, so the shift loses nothing.
        let carry = (significand >> 127) as u32;
        Self {
            negative: left.negative != right.negative,
            exponent: left.exponent + right.exponent + carry.cast_signed(),
            significand: significand >> carry,
        }
    }

    #[inline]
    fn round<F: Format>(self, rounding: Rounding, flags: &mut Flags) -> F::Bits {
        let leading = self.significand.leading_zeros();
        let number = Number {
            negative: self.negative,
            exponent: self.exponent + 1 - leading.cast_signed(),
            significand: upper_half_sticky(self.significand << leading),
        };
        round::<F>(number, rounding, flags)
    }
}

/// The sum of two numbers that are exact.
///
/// The smaller one is shifted to the larger one's scale with a sticky bit. At most 106 bits are significant, so nothing is
/// lost unless the exponents differ by more than 20; then the difference has its highest bit in place or one below, and the
/// sticky bit stays far below what any format keeps.
#[inline]
fn sum<F: Format>(left: Wide, right: Wide, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    let (large, small) = if (left.exponent, left.significand) >= (right.exponent, right.significand)
    {
        (left, right)
    } else {
        (right, left)
    };
    let aligned = shift_right_sticky(small.significand, large.exponent.abs_diff(small.exponent));
    let significand = if large.negative == small.negative {
        large.significand + aligned
    } else {
        large.significand - aligned
    };
    if significand == 0 {
        return zero::<F>(sign_of_zero_sum(left.negative, right.negative, rounding));
    }
    Wide {
        significand,
        ..large
    }
    .round::<F>(rounding, flags)
}

/// Whether a sum that is exactly zero is negative: if both terms are, or else if the mode is downwards.
#[inline]
fn sign_of_zero_sum(left: bool, right: bool, rounding: Rounding) -> bool {
    if left == right {
        left
    } else {
        rounding == Rounding::Down
    }
}

/// Whether a product or quotient of the two is negative.
#[inline]
fn signs_differ<F: Format>(a: F::Bits, b: F::Bits) -> bool {
    (a.into() ^ b.into()) & F::SIGN != 0
}

/// The result of an operation with a NaN among its operands.
#[cold]
fn nan<F: Format>(operands: &[F::Bits], flags: &mut Flags) -> F::Bits {
    if operands.iter().any(|&bits| is_signalling::<F>(bits.into())) {
        flags.raise(Flags::NV);
    }
    F::narrow(F::CANONICAL_NAN)
}

/// The result of an operation that has none.
#[cold]
fn invalid<F: Format>(flags: &mut Flags) -> F::Bits {
    flags.raise(Flags::NV);
    F::narrow(F::CANONICAL_NAN)
}

/// The whole part and the rest of a fixed-point number.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are taken apart here"
)]
fn halves(fixed: u128) -> (u64, u64) {
    ((fixed >> 64) as u64, fixed as u64)
}
