//! Rounding: the only place where a number becomes bits, and where NX, UF and OF come from.

use crate::format::{Format, Number, signed};
use crate::{Flags, Rounding};

/// Shifts right; the lowest bit of the result also stands for everything shifted out.
#[inline]
pub(crate) fn shift_right_sticky(value: u128, by: u32) -> u128 {
    match by {
        0 => value,
        1..128 => (value >> by) | u128::from(value << (128 - by) != 0),
        _ => u128::from(value != 0),
    }
}

/// The upper half; its lowest bit also stands for everything in the lower half.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are taken apart here"
)]
pub(crate) fn upper_half_sticky(value: u128) -> u64 {
    (value >> 64) as u64 | u64::from(value as u64 != 0)
}

/// Whether a magnitude is rounded away from zero, by the lowest bit that is kept and what lies below it: `rest` out of
/// `2 * half`.
#[inline]
pub(crate) fn rounds_away(
    rounding: Rounding,
    negative: bool,
    odd: bool,
    rest: u64,
    half: u64,
) -> bool {
    match rounding {
        Rounding::NearestEven => rest > half || (rest == half && odd),
        Rounding::TowardZero => false,
        Rounding::Down => negative && rest != 0,
        Rounding::Up => !negative && rest != 0,
        Rounding::NearestMaxMagnitude => rest >= half,
    }
}

/// The nearest value of the format, by the mode, with the flags that this raises.
#[inline]
pub(crate) fn round<F: Format>(number: Number, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    let Number {
        negative,
        exponent,
        significand,
    } = number;
    let dropped = 64 - F::PRECISION;
    let half = 1 << (dropped - 1);
    let to_precision = |significand: u64| {
        let kept = significand >> dropped;
        let rest = significand & ((1 << dropped) - 1);
        let up = rounds_away(rounding, negative, kept & 1 != 0, rest, half);
        (kept + u64::from(up), rest != 0)
    };

    if exponent >= F::MINIMUM_EXPONENT {
        let (kept, inexact) = to_precision(significand);
        // The implied bit adds one to the exponent field, as does a carry out of rounding. The field may grow past the
        // format's: exponents stay below 3200, far from the top of 64 bits.
        let above_minimum = u64::from((exponent - F::MINIMUM_EXPONENT).cast_unsigned());
        let magnitude = (above_minimum << F::FRACTION_BITS) + kept;
        if magnitude >= F::INFINITY {
            return overflow::<F>(negative, rounding, flags);
        }
        if inexact {
            flags.raise(Flags::NX);
        }
        return F::narrow(signed::<F>(negative, magnitude));
    }

    // Below the normal range the lowest bit has a fixed weight.
    let below = exponent.abs_diff(F::MINIMUM_EXPONENT);
    let denormalised = upper_half_sticky(shift_right_sticky(u128::from(significand) << 64, below));
    let (magnitude, inexact) = to_precision(denormalised);
    if inexact {
        // Tiny unless rounding at full precision, as if the exponent were unbounded, reaches the smallest normal number.
        // That is not the same as the result being subnormal: the result has fewer bits and may reach it first.
        let tiny = below > 1 || to_precision(significand).0 >> F::PRECISION == 0;
        flags.raise(if tiny {
            Flags::NX | Flags::UF
        } else {
            Flags::NX
        });
    }
    F::narrow(signed::<F>(negative, magnitude))
}

/// The result of an overflow: infinity, or the greatest finite number where the mode rounds towards it.
#[cold]
fn overflow<F: Format>(negative: bool, rounding: Rounding, flags: &mut Flags) -> F::Bits {
    flags.raise(Flags::OF | Flags::NX);
    let to_infinity = match rounding {
        Rounding::NearestEven | Rounding::NearestMaxMagnitude => true,
        Rounding::TowardZero => false,
        Rounding::Down => negative,
        Rounding::Up => !negative,
    };
    F::narrow(signed::<F>(
        negative,
        if to_infinity {
            F::INFINITY
        } else {
            F::INFINITY - 1
        },
    ))
}
