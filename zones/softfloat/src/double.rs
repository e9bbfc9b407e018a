//! binary64: the operations of chapter D on raw bits.

use crate::format::{Value, unpack};
use crate::{Flags, Format as _, Rounding, compare, host, integer};

type Bits = u64;
type Float = f64;
type Format = crate::Double;

host::operations!();

/// `a * b + c`, rounded once.
#[inline]
#[must_use]
pub fn mul_add(a: u64, b: u64, c: u64, rounding: Rounding, flags: &mut Flags) -> u64 {
    if host::answers(rounding, *flags) {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let result = x.mul_add(y, f64::from_bits(c));
        // With a factor of zero the sum is exact, however small.
        if is_well_inside(result) || (result.is_finite() && (x == 0.0 || y == 0.0)) {
            return result.to_bits();
        }
    }
    integer::mul_add::<Format>(a, b, c, rounding, flags)
}

/// A binary32 number in this format (`fcvt.d.s`). Always exact, so there is no mode.
#[inline]
#[must_use]
pub fn from_single(a: u32, flags: &mut Flags) -> u64 {
    let x = f32::from_bits(a);
    if x.is_nan() {
        return integer::convert::<crate::Single, Format>(a, Rounding::NearestEven, flags);
    }
    f64::from(x).to_bits()
}

/// `a` without its fraction, modulo 2^32 (`fcvtmod.w.d`): 0 for infinities and NaN. The flags are those of [`to_i32`] towards
/// zero.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
pub fn to_i32_modular(a: u64, flags: &mut Flags) -> i32 {
    let _ = to_i32(a, Rounding::TowardZero, flags);
    let Value::Number(number) = unpack::<Format>(a) else {
        return 0;
    };
    let by = number.exponent - 63;
    let shifted = if by < 0 {
        number.significand.checked_shr(by.unsigned_abs())
    } else {
        number.significand.checked_shl(by.unsigned_abs())
    };
    let magnitude = (shifted.unwrap_or(0) as u32).cast_signed();
    if number.negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    }
}
