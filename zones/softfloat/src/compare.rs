//! Operations that never round: smaller and greater, classification, signs.

use crate::Flags;
use crate::format::{Format, is_nan, is_signalling};

/// Raises NV if one of the operands is a signalling NaN.
#[inline]
fn raise_if_signalling<F: Format>(a: u64, b: u64, flags: &mut Flags) {
    if is_signalling::<F>(a) || is_signalling::<F>(b) {
        flags.raise(Flags::NV);
    }
}

/// The flags of a comparison with a NaN: NV for a signalling one, or for any if the comparison is itself signalling.
#[cold]
pub(crate) fn unordered<F: Format>(a: F::Bits, b: F::Bits, signalling: bool, flags: &mut Flags) {
    if signalling {
        flags.raise(Flags::NV);
    } else {
        raise_if_signalling::<F>(a.into(), b.into(), flags);
    }
}

/// Bits that, as unsigned integers, are in the order of the numbers they stand for, with -0 before +0.
#[inline]
fn order<F: Format>(bits: u64) -> u64 {
    if bits & F::SIGN != 0 {
        !bits & (F::SIGN | (F::SIGN - 1))
    } else {
        bits | F::SIGN
    }
}

/// `minimumNumber` (or `maximumNumber`): a NaN loses against a number, two of them make the canonical one.
#[inline]
pub(crate) fn select<F: Format>(
    a: F::Bits,
    b: F::Bits,
    greater: bool,
    flags: &mut Flags,
) -> F::Bits {
    let (left, right): (u64, u64) = (a.into(), b.into());
    match (is_nan::<F>(left), is_nan::<F>(right)) {
        (false, false) => {
            if (order::<F>(left) > order::<F>(right)) == greater {
                a
            } else {
                b
            }
        }
        (left_nan, right_nan) => {
            raise_if_signalling::<F>(left, right, flags);
            if !left_nan {
                a
            } else if !right_nan {
                b
            } else {
                F::narrow(F::CANONICAL_NAN)
            }
        }
    }
}

/// IEEE 754-2019 `minimum` (or `maximum`): a NaN wins against a number, as the canonical one.
#[inline]
pub(crate) fn select_or_nan<F: Format>(
    a: F::Bits,
    b: F::Bits,
    greater: bool,
    flags: &mut Flags,
) -> F::Bits {
    if is_nan::<F>(a.into()) || is_nan::<F>(b.into()) {
        raise_if_signalling::<F>(a.into(), b.into(), flags);
        return F::narrow(F::CANONICAL_NAN);
    }
    select::<F>(a, b, greater, flags)
}

/// The `fclass` mask: one of ten bits.
#[inline]
pub(crate) fn classify<F: Format>(bits: F::Bits) -> u16 {
    let bits: u64 = bits.into();
    let magnitude = bits & !F::SIGN;
    if is_nan::<F>(bits) {
        return if is_signalling::<F>(bits) {
            1 << 8
        } else {
            1 << 9
        };
    }
    let rank = if magnitude == F::INFINITY {
        3
    } else if magnitude > F::FRACTION {
        2
    } else {
        u32::from(magnitude != 0)
    };
    // From negative infinity (0) up to -0 (3), and from +0 (4) up to positive infinity (7).
    if bits & F::SIGN != 0 {
        1 << (3 - rank)
    } else {
        1 << (4 + rank)
    }
}

/// `magnitude`'s bits below the sign, with the sign of `sign`.
#[inline]
pub(crate) fn with_sign_of<F: Format>(magnitude: F::Bits, sign: u64) -> F::Bits {
    F::narrow((magnitude.into() & !F::SIGN) | (sign & F::SIGN))
}
