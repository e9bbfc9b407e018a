//! binary32: the operations of chapter F on raw bits.
//!
//! Boxing in a 64-bit register is the caller's: here every value is 32 bits wide.

use crate::{Flags, Format as _, Rounding, compare, host, integer};

type Bits = u32;
type Float = f32;
type Format = crate::Single;

host::operations!();

/// `a * b + c`, rounded once.
#[inline]
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to binary32 is the point"
)]
pub fn mul_add(a: u32, b: u32, c: u32, rounding: Rounding, flags: &mut Flags) -> u32 {
    if host::answers(rounding, *flags) {
        // In binary64 the product is exact and the sum is rounded once. Rounding it again gives the same as rounding the
        // exact sum, unless it lies exactly between two binary32 numbers, where the exact sum may not: binary64 holds every
        // such midpoint, so its rounding never crosses one. No host instruction is needed, and no call into a C library.
        const BELOW: u64 = (1 << (crate::Double::FRACTION_BITS - Format::FRACTION_BITS)) - 1;
        const MIDPOINT: u64 = BELOW / 2 + 1;
        let (x, y) = (f32::from_bits(a), f32::from_bits(b));
        let sum = f64::from(x) * f64::from(y) + f64::from(f32::from_bits(c));
        let result = sum as f32;
        if (is_well_inside(result) && sum.to_bits() & BELOW != MIDPOINT)
            || (result.is_finite() && (x == 0.0 || y == 0.0))
        {
            return result.to_bits();
        }
    }
    integer::mul_add::<Format>(a, b, c, rounding, flags)
}

/// A binary64 number in this format (`fcvt.s.d`).
#[inline]
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to binary32 is the point"
)]
pub fn from_double(a: u64, rounding: Rounding, flags: &mut Flags) -> u32 {
    let x = f64::from_bits(a);
    let result = x as f32;
    // Equal means exact, in every mode and without any flag; NaN is equal to nothing.
    if f64::from(result) == x || (host::answers(rounding, *flags) && is_well_inside(result)) {
        return result.to_bits();
    }
    integer::convert::<crate::Double, Format>(a, rounding, flags)
}
