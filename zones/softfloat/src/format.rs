//! The two formats, and how their bits come apart.
//!
//! Everything inside the crate holds bits as `u64`; a format's own width appears only at its edge.

/// A binary interchange format: [`Single`] or [`Double`], and nothing else.
pub trait Format: Copy + sealed::Sealed {
    /// The format's bits.
    type Bits: Copy + Eq + std::fmt::Debug + Into<u64>;

    /// Width of the fraction field, bits.
    const FRACTION_BITS: u32;
    /// Width of the exponent field, bits.
    const EXPONENT_BITS: u32;

    /// Significant bits of a normal number, the implied one included.
    const PRECISION: u32 = Self::FRACTION_BITS + 1;
    /// The exponent of the smallest normal number (as a power of two).
    const MINIMUM_EXPONENT: i32 = 2 - (1 << (Self::EXPONENT_BITS - 1));
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::FRACTION_BITS + Self::EXPONENT_BITS);
    /// The fraction field.
    const FRACTION: u64 = (1 << Self::FRACTION_BITS) - 1;
    /// Positive infinity, which is also the exponent field.
    const INFINITY: u64 = ((1 << Self::EXPONENT_BITS) - 1) << Self::FRACTION_BITS;
    /// The bit that makes a NaN quiet.
    const QUIET: u64 = 1 << (Self::FRACTION_BITS - 1);
    /// The NaN that every operation without a number for its result yields.
    const CANONICAL_NAN: u64 = Self::INFINITY | Self::QUIET;

    /// The low bits of `bits`, in the format's own width.
    fn narrow(bits: u64) -> Self::Bits;
}

/// binary32.
#[derive(Clone, Copy, Debug)]
pub struct Single;

/// binary64.
#[derive(Clone, Copy, Debug)]
pub struct Double;

impl Format for Single {
    type Bits = u32;
    const FRACTION_BITS: u32 = 23;
    const EXPONENT_BITS: u32 = 8;

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bits of this format have nothing above bit 31"
    )]
    fn narrow(bits: u64) -> u32 {
        bits as u32
    }
}

impl Format for Double {
    type Bits = u64;
    const FRACTION_BITS: u32 = 52;
    const EXPONENT_BITS: u32 = 11;

    #[inline]
    fn narrow(bits: u64) -> u64 {
        bits
    }
}

/// What some bits stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Nan { signalling: bool },
    Infinity { negative: bool },
    Zero { negative: bool },
    Number(Number),
}

/// A finite number other than zero: `significand * 2^(exponent - 63)`, with bit 63 of the significand set.
///
/// A result that is not exact has the lowest bit set for whatever lies below it (a sticky bit); every format leaves at least
/// eleven bits there, so rounding sees it in the right place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) negative: bool,
    pub(crate) exponent: i32,
    pub(crate) significand: u64,
}

/// Takes bits apart.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an exponent field has at most 11 bits"
)]
pub(crate) fn unpack<F: Format>(bits: F::Bits) -> Value {
    let bits: u64 = bits.into();
    let negative = bits & F::SIGN != 0;
    let fraction = bits & F::FRACTION;
    let exponent_field = bits & F::INFINITY;
    if exponent_field == F::INFINITY {
        return if fraction == 0 {
            Value::Infinity { negative }
        } else {
            Value::Nan {
                signalling: fraction & F::QUIET == 0,
            }
        };
    }
    let biased = (exponent_field >> F::FRACTION_BITS) as i32;
    if biased != 0 {
        let significand = (fraction | (1 << F::FRACTION_BITS)) << (64 - F::PRECISION);
        return Value::Number(Number {
            negative,
            exponent: biased - 1 + F::MINIMUM_EXPONENT,
            significand,
        });
    }
    if fraction == 0 {
        return Value::Zero { negative };
    }
    let leading = fraction.leading_zeros();
    let below_normal = leading + 1 - (64 - F::FRACTION_BITS);
    Value::Number(Number {
        negative,
        exponent: F::MINIMUM_EXPONENT - below_normal.cast_signed(),
        significand: fraction << leading,
    })
}

/// Zero of the given sign.
#[inline]
pub(crate) fn zero<F: Format>(negative: bool) -> F::Bits {
    F::narrow(signed::<F>(negative, 0))
}

/// Infinity of the given sign.
#[inline]
pub(crate) fn infinity<F: Format>(negative: bool) -> F::Bits {
    F::narrow(signed::<F>(negative, F::INFINITY))
}

/// `magnitude` with the given sign.
#[inline]
pub(crate) fn signed<F: Format>(negative: bool, magnitude: u64) -> u64 {
    if negative {
        F::SIGN | magnitude
    } else {
        magnitude
    }
}

/// Whether the bits are a NaN.
#[inline]
pub(crate) fn is_nan<F: Format>(bits: u64) -> bool {
    bits & !F::SIGN > F::INFINITY
}

/// Whether the bits are a signalling NaN.
#[inline]
pub(crate) fn is_signalling<F: Format>(bits: u64) -> bool {
    is_nan::<F>(bits) && bits & F::QUIET == 0
}

mod sealed {
    /// Keeps `Format` to the two types here.
    pub trait Sealed {}
    impl Sealed for super::Single {}
    impl Sealed for super::Double {}
}
