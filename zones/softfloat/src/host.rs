//! The host's floating point unit, asked first.
//!
//! Its results are IEEE 754 results rounded to the nearest; only its flags are out of reach, and its NaNs are its own. So its
//! answer stands if the guest asks for that mode too, has NX raised already (so that it does not matter whether the result
//! is exact), and the result shows that no other flag is due:
//!
//! - a finite result means that no operand was infinite or NaN (except as a divisor), that nothing overflowed and that
//!   nothing was divided by zero;
//! - a result from twice the smallest normal number upwards cannot have been tiny. Sums need no such test: a sum below the
//!   normal range is exact.
//!
//! Guests compute with NX raised nearly always, since nothing but the program itself ever clears it.

use crate::{Flags, Rounding};

/// Whether the host rounds as asked, and NX is of no consequence.
#[inline]
pub(crate) fn answers(rounding: Rounding, flags: Flags) -> bool {
    rounding == Rounding::NearestEven && flags.contains(Flags::NX)
}

/// Defines the operations of one format, for a module with the type aliases `Float` (the host's type), `Bits` and `Format`.
macro_rules! operations {
    () => {
        /// Whether a result is finite and so large that it cannot have underflowed.
        #[inline]
        fn is_well_inside(result: Float) -> bool {
            let field = (result.to_bits() >> Format::FRACTION_BITS)
                & Bits::MAX >> (Format::FRACTION_BITS + 1);
            field.wrapping_sub(2) < (1 << Format::EXPONENT_BITS) - 3
        }

        /// `a + b`.
        #[inline]
        #[must_use]
        pub fn add(a: Bits, b: Bits, rounding: Rounding, flags: &mut Flags) -> Bits {
            if host::answers(rounding, *flags) {
                let result = Float::from_bits(a) + Float::from_bits(b);
                if result.is_finite() {
                    return result.to_bits();
                }
            }
            integer::add::<Format>(a, b, rounding, flags)
        }

        /// `a - b`.
        #[inline]
        #[must_use]
        pub fn sub(a: Bits, b: Bits, rounding: Rounding, flags: &mut Flags) -> Bits {
            if host::answers(rounding, *flags) {
                let result = Float::from_bits(a) - Float::from_bits(b);
                if result.is_finite() {
                    return result.to_bits();
                }
            }
            integer::sub::<Format>(a, b, rounding, flags)
        }

        /// `a * b`.
        #[inline]
        #[must_use]
        pub fn mul(a: Bits, b: Bits, rounding: Rounding, flags: &mut Flags) -> Bits {
            if host::answers(rounding, *flags) {
                let (x, y) = (Float::from_bits(a), Float::from_bits(b));
                let result = x * y;
                // A product of zero is exact if a factor is zero; an infinite other one would have made it NaN.
                if is_well_inside(result) || (result == 0.0 && (x == 0.0 || y == 0.0)) {
                    return result.to_bits();
                }
            }
            integer::mul::<Format>(a, b, rounding, flags)
        }

        /// `a / b`.
        #[inline]
        #[must_use]
        pub fn div(a: Bits, b: Bits, rounding: Rounding, flags: &mut Flags) -> Bits {
            if host::answers(rounding, *flags) {
                let (x, y) = (Float::from_bits(a), Float::from_bits(b));
                let result = x / y;
                if is_well_inside(result) || (result == 0.0 && x == 0.0) {
                    return result.to_bits();
                }
            }
            integer::div::<Format>(a, b, rounding, flags)
        }

        /// The square root of `a`.
        #[inline]
        #[must_use]
        pub fn sqrt(a: Bits, rounding: Rounding, flags: &mut Flags) -> Bits {
            if host::answers(rounding, *flags) {
                // Never tiny: the root of a positive number is far above the smallest normal number.
                let result = Float::from_bits(a).sqrt();
                if result.is_finite() {
                    return result.to_bits();
                }
            }
            integer::sqrt::<Format>(a, rounding, flags)
        }

        /// Whether `a == b`. A quiet NaN is unequal to everything; a signalling one raises NV too.
        #[inline]
        #[must_use]
        pub fn eq(a: Bits, b: Bits, flags: &mut Flags) -> bool {
            let (x, y) = (Float::from_bits(a), Float::from_bits(b));
            if x.is_nan() || y.is_nan() {
                compare::unordered::<Format>(a, b, false, flags);
            }
            x == y
        }

        /// Whether `a < b`. Any NaN raises NV, and the answer is no.
        #[inline]
        #[must_use]
        pub fn lt(a: Bits, b: Bits, flags: &mut Flags) -> bool {
            let (x, y) = (Float::from_bits(a), Float::from_bits(b));
            if x.is_nan() || y.is_nan() {
                compare::unordered::<Format>(a, b, true, flags);
            }
            x < y
        }

        /// Whether `a <= b`. Any NaN raises NV, and the answer is no.
        #[inline]
        #[must_use]
        pub fn le(a: Bits, b: Bits, flags: &mut Flags) -> bool {
            let (x, y) = (Float::from_bits(a), Float::from_bits(b));
            if x.is_nan() || y.is_nan() {
                compare::unordered::<Format>(a, b, true, flags);
            }
            x <= y
        }

        /// The smaller of the two (`minimumNumber`): -0 is below +0, a number wins against a NaN, two NaNs make the
        /// canonical one, a signalling one raises NV.
        #[inline]
        #[must_use]
        pub fn min(a: Bits, b: Bits, flags: &mut Flags) -> Bits {
            compare::select::<Format>(a, b, false, flags)
        }

        /// The greater of the two (`maximumNumber`): as [`min`], the other way round.
        #[inline]
        #[must_use]
        pub fn max(a: Bits, b: Bits, flags: &mut Flags) -> Bits {
            compare::select::<Format>(a, b, true, flags)
        }

        /// The smaller of the two (`minimum`): -0 is below +0, a NaN makes the canonical one, a signalling one raises NV.
        #[inline]
        #[must_use]
        pub fn min_or_nan(a: Bits, b: Bits, flags: &mut Flags) -> Bits {
            compare::select_or_nan::<Format>(a, b, false, flags)
        }

        /// The greater of the two (`maximum`): as [`min_or_nan`], the other way round.
        #[inline]
        #[must_use]
        pub fn max_or_nan(a: Bits, b: Bits, flags: &mut Flags) -> Bits {
            compare::select_or_nan::<Format>(a, b, true, flags)
        }

        /// Whether `a < b`, as [`lt`], but of NaNs only a signalling one raises NV.
        #[inline]
        #[must_use]
        pub fn lt_quiet(a: Bits, b: Bits, flags: &mut Flags) -> bool {
            compare::unordered::<Format>(a, b, false, flags);
            Float::from_bits(a) < Float::from_bits(b)
        }

        /// Whether `a <= b`, as [`le`], but of NaNs only a signalling one raises NV.
        #[inline]
        #[must_use]
        pub fn le_quiet(a: Bits, b: Bits, flags: &mut Flags) -> bool {
            compare::unordered::<Format>(a, b, false, flags);
            Float::from_bits(a) <= Float::from_bits(b)
        }

        /// The nearest whole number by the mode, with the sign of `a` if that is zero. Raises NX, if it is another number
        /// than `a`, only when `exact` is set (`roundToIntegralExact`).
        #[inline]
        #[must_use]
        pub fn round_to_integral(
            a: Bits,
            exact: bool,
            rounding: Rounding,
            flags: &mut Flags,
        ) -> Bits {
            integer::round_to_integral::<Format>(a, exact, rounding, flags)
        }

        /// The class of `a`, one bit of ten: from 0, negative infinity, normal, subnormal, -0, then +0, positive
        /// subnormal, normal, infinity, then 8, signalling NaN, and 9, quiet NaN.
        #[inline]
        #[must_use]
        pub fn classify(a: Bits) -> u16 {
            compare::classify::<Format>(a)
        }

        /// `a` with the sign of `b` (`fsgnj`).
        #[inline]
        #[must_use]
        pub fn copy_sign(a: Bits, b: Bits) -> Bits {
            compare::with_sign_of::<Format>(a, b.into())
        }

        /// `a` with the opposite of the sign of `b` (`fsgnjn`).
        #[inline]
        #[must_use]
        pub fn copy_sign_negated(a: Bits, b: Bits) -> Bits {
            compare::with_sign_of::<Format>(a, (!b).into())
        }

        /// `a`, negated if `b` is negative (`fsgnjx`).
        #[inline]
        #[must_use]
        pub fn copy_sign_xor(a: Bits, b: Bits) -> Bits {
            compare::with_sign_of::<Format>(a, (a ^ b).into())
        }

        host::to_integer!(to_i32, i32);
        host::to_integer!(to_u32, u32);
        host::to_integer!(to_i64, i64);
        host::to_integer!(to_u64, u64);
        host::from_integer!(from_i32, i32);
        host::from_integer!(from_u32, u32);
        host::from_integer!(from_i64, i64);
        host::from_integer!(from_u64, u64);
    };
}

/// Defines the conversion to one type of integer.
macro_rules! to_integer {
    ($name:ident, $integer:ident) => {
        #[doc = concat!("`a` as an `", stringify!($integer), "`.")]
        ///
        /// Out of range, it is the nearest bound, and NaN the greatest value, with NV alone.
        #[inline]
        #[must_use]
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            clippy::cast_lossless,
            reason = "the host's conversion saturates and is taken only where the comparisons show that it was right; the \
                      integer result lies within the bounds it was given"
        )]
        pub fn $name(a: Bits, rounding: Rounding, flags: &mut Flags) -> $integer {
            let x = Float::from_bits(a);
            // Truncates; NaN becomes 0. The greatest value may come from saturation and may round up when converted back.
            let truncated = x as $integer;
            if truncated != $integer::MAX {
                if truncated as Float == x {
                    return truncated;
                }
                if rounding == Rounding::TowardZero && truncated != $integer::MIN && !x.is_nan() {
                    flags.raise(Flags::NX);
                    return truncated;
                }
            }
            integer::to_integer::<Format>(a, $integer::MIN.into(), $integer::MAX.into(), rounding, flags) as $integer
        }
    };
}

/// Defines the conversion from one type of integer.
macro_rules! from_integer {
    ($name:ident, $integer:ident) => {
        #[doc = concat!("The `", stringify!($integer), "` in this format.")]
        #[inline]
        #[must_use]
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_lossless,
            unused_comparisons,
            reason = "the host's conversion rounds to the nearest, which is taken only where that is asked for or exact"
        )]
        pub fn $name(value: $integer, rounding: Rounding, flags: &mut Flags) -> Bits {
            let negative = value < 0;
            let magnitude = u64::from(host::magnitude!($integer, value));
            if host::answers(rounding, *flags) || magnitude <= 1 << Format::PRECISION {
                return (value as Float).to_bits();
            }
            integer::from_integer::<Format>(negative, magnitude, rounding, flags)
        }
    };
}

/// The magnitude of an integer of the given type.
macro_rules! magnitude {
    (i32, $value:ident) => {
        $value.unsigned_abs()
    };
    (i64, $value:ident) => {
        $value.unsigned_abs()
    };
    ($unsigned:ident, $value:ident) => {
        $value
    };
}

pub(crate) use {from_integer, magnitude, operations, to_integer};
