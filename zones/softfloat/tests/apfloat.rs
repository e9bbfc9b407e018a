//! Results and flags against `rustc_apfloat`, LLVM's arithmetic, in all five modes.
//!
//! Square roots are not in it: the tests against qemu and the host cover those.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers are cut to the width that an operation reads"
)]

mod shared;

use proptest::prelude::*;
use rustc_apfloat::ieee::{Double as ApDouble, Quad, Single as ApSingle};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};
use shared::{integer_turning_points, near_integers, triples, turning_points};
use zone_softfloat::{Double, Flags, Format, Rounding, Single, double, single};

/// The same number in binary128.
fn widen<T: FloatConvert<Quad>>(value: T) -> Quad {
    value.convert_r(Round::TowardZero, &mut false).value
}

fn ap_mode(mode: Rounding) -> Round {
    match mode {
        Rounding::NearestEven => Round::NearestTiesToEven,
        Rounding::TowardZero => Round::TowardZero,
        Rounding::Down => Round::TowardNegative,
        Rounding::Up => Round::TowardPositive,
        Rounding::NearestMaxMagnitude => Round::NearestTiesToAway,
    }
}

/// Their result in our terms: canonical NaN, and flags.
///
/// They differ from RISC-V in two flags, both of which follow from `truncated`: the same operation in binary128, towards zero,
/// which compares with any number that binary128 has as the exact result does.
///
/// - They raise OF only when the result is infinite. IEEE 754 raises it as well where the mode makes an overflow the
///   greatest finite number, hence when the exact result is at or above the power of two beyond that.
/// - They detect tininess by whether the result is subnormal after it was rounded to the bits that a subnormal has. RISC-V
///   goes by the result rounded to full precision with an unbounded exponent. The two differ only if the delivered result is
///   the smallest normal number and inexact: it is tiny unless the exact result, one bit more precise, rounds there too.
fn theirs<F: Format, T: Float>(
    result: StatusAnd<T>,
    mode: Rounding,
    truncated: impl FnOnce() -> StatusAnd<Quad>,
) -> (u64, u8) {
    let mut flags = status(result.status);
    let value = result.value;
    let bits = if value.is_nan() {
        F::CANONICAL_NAN
    } else {
        u64::try_from(value.to_bits()).unwrap()
    };
    let magnitude = bits & !F::SIGN;
    let power = |exponent: i32| Quad::from_u128(1).value.scalbn(exponent);
    if flags == Flags::NX && magnitude == F::INFINITY - 1 {
        let beyond = power(2 - F::MINIMUM_EXPONENT);
        if truncated().value.abs() >= beyond {
            flags |= Flags::OF;
        }
    } else if flags == Flags::NX && magnitude == 1 << F::FRACTION_BITS {
        let unit_below = F::MINIMUM_EXPONENT - F::PRECISION.cast_signed();
        let smallest = power(F::MINIMUM_EXPONENT);
        let StatusAnd {
            value: exact,
            status: rest,
        } = truncated();
        let exact = exact.abs();
        let reaches_smallest = match mode {
            // A tie goes up: the smallest normal number is the even one and the one of greater magnitude.
            Rounding::NearestEven | Rounding::NearestMaxMagnitude => {
                exact >= (smallest - power(unit_below - 1)).value
            }
            // Some mode that rounds away from zero here; otherwise the exact result is beyond.
            _ => {
                let greatest_below = (smallest - power(unit_below)).value;
                exact > greatest_below
                    || (exact == greatest_below && rest.contains(Status::INEXACT))
            }
        };
        if !reaches_smallest {
            flags |= Flags::UF;
        }
    }
    (bits, flags)
}

fn status(status: Status) -> u8 {
    [
        (Status::INVALID_OP, Flags::NV),
        (Status::DIV_BY_ZERO, Flags::DZ),
        (Status::OVERFLOW, Flags::OF),
        (Status::UNDERFLOW, Flags::UF),
        (Status::INEXACT, Flags::NX),
    ]
    .into_iter()
    .filter(|&(theirs, _)| status.contains(theirs))
    .fold(0, |flags, (_, ours)| flags | ours)
}

/// Checks every operation that takes numbers of one format, both by the integer way and by the public one.
macro_rules! check_format {
    ($check:ident, $module:ident, $format:ident, $ap:ident, $bits:ident) => {
        fn $check(registers: [u64; 3]) {
            let [a, b, c] = registers.map(|register| register as $bits);
            let [x, y, z] = [a, b, c].map(|bits| $ap::from_bits(bits.into()));
            let [wide_x, wide_y, wide_z] = [x, y, z].map(widen);
            for mode in Rounding::ALL {
                let round = ap_mode(mode);
                let expect = |name: &str, ours: &dyn Fn(&mut Flags) -> $bits, theirs: (u64, u8)| {
                    for before in [0, Flags::NX] {
                        let mut flags = Flags(before);
                        let result = u64::from(ours(&mut flags));
                        assert_eq!(
                            (result, flags.0),
                            (theirs.0, theirs.1 | before),
                            "{name} {mode:?} {a:#x} {b:#x} {c:#x} with flags {before:#x}"
                        );
                    }
                };
                expect(
                    "add",
                    &|flags| $module::add(a, b, mode, flags),
                    theirs::<$format, _>(x.add_r(y, round), mode, || {
                        wide_x.add_r(wide_y, Round::TowardZero)
                    }),
                );
                expect(
                    "sub",
                    &|flags| $module::sub(a, b, mode, flags),
                    theirs::<$format, _>(x.sub_r(y, round), mode, || {
                        wide_x.sub_r(wide_y, Round::TowardZero)
                    }),
                );
                expect(
                    "mul",
                    &|flags| $module::mul(a, b, mode, flags),
                    theirs::<$format, _>(x.mul_r(y, round), mode, || {
                        wide_x.mul_r(wide_y, Round::TowardZero)
                    }),
                );
                expect(
                    "div",
                    &|flags| $module::div(a, b, mode, flags),
                    theirs::<$format, _>(x.div_r(y, round), mode, || {
                        wide_x.div_r(wide_y, Round::TowardZero)
                    }),
                );
                expect(
                    "mul_add",
                    &|flags| $module::mul_add(a, b, c, mode, flags),
                    theirs::<$format, _>(x.mul_add_r(y, z, round), mode, || {
                        wide_x.mul_add_r(wide_y, wide_z, Round::TowardZero)
                    }),
                );
            }
            check_comparisons(
                x,
                y,
                [
                    |a, b, flags| $module::eq(a as $bits, b as $bits, flags),
                    |a, b, flags| $module::lt(a as $bits, b as $bits, flags),
                    |a, b, flags| $module::le(a as $bits, b as $bits, flags),
                ],
            );
            check_zfa(
                x,
                y,
                [
                    |a, b, flags| $module::min_or_nan(a as $bits, b as $bits, flags).into(),
                    |a, b, flags| $module::max_or_nan(a as $bits, b as $bits, flags).into(),
                    |a, b, flags| $module::lt_quiet(a as $bits, b as $bits, flags).into(),
                    |a, b, flags| $module::le_quiet(a as $bits, b as $bits, flags).into(),
                ],
                $format::CANONICAL_NAN,
            );
            for mode in Rounding::ALL {
                let StatusAnd {
                    value,
                    status: raised,
                } = x.round_to_integral(ap_mode(mode));
                let (value, raised) = if x.is_nan() {
                    let invalid = if x.is_signaling() { Flags::NV } else { 0 };
                    ($format::CANONICAL_NAN, invalid)
                } else {
                    (u64::try_from(value.to_bits()).unwrap(), status(raised))
                };
                for (exact, raised) in [(true, raised), (false, raised & !Flags::NX)] {
                    let mut flags = Flags::default();
                    let result = $module::round_to_integral(a, exact, mode, &mut flags);
                    assert_eq!(
                        (u64::from(result), flags.0),
                        (value, raised),
                        "round_to_integral {exact} {mode:?} {a:#x}"
                    );
                }
            }
            for mode in Rounding::ALL {
                macro_rules! check_to {
                    ($name:ident, $integer:ident, $convert:ident) => {
                        let exact = &mut false;
                        let converted = x.$convert($integer::BITS as usize, ap_mode(mode), exact);
                        let (mut expected, mut raised) =
                            (converted.value as $integer, status(converted.status));
                        if x.is_nan() {
                            // They give 0.
                            expected = $integer::MAX;
                        }
                        if raised & Flags::NV != 0 {
                            raised = Flags::NV;
                        }
                        let mut flags = Flags::default();
                        let result = $module::$name(a, mode, &mut flags);
                        assert_eq!(
                            (result, flags.0),
                            (expected, raised),
                            "{} {mode:?} {a:#x}",
                            stringify!($name)
                        );
                    };
                }
                check_to!(to_i32, i32, to_i128_r);
                check_to!(to_u32, u32, to_u128_r);
                check_to!(to_i64, i64, to_i128_r);
                check_to!(to_u64, u64, to_u128_r);
            }
        }
    };
}

check_format!(check_singles, single, Single, ApSingle, u32);
check_format!(check_doubles, double, Double, ApDouble, u64);

type Choice = fn(u64, u64, &mut Flags) -> u64;

/// What Zfa does with two operands.
fn check_zfa<T: Float>(x: T, y: T, [min, max, lt, le]: [Choice; 4], nan: u64) {
    let bits = |value: T| u64::try_from(value.to_bits()).unwrap();
    let invalid = if x.is_signaling() || y.is_signaling() {
        Flags::NV
    } else {
        0
    };
    let chosen = |value: T| if value.is_nan() { nan } else { bits(value) };
    for (name, operation, expected) in [
        ("minimum", min, chosen(x.minimum(y))),
        ("maximum", max, chosen(x.maximum(y))),
        ("lt_quiet", lt, (x < y).into()),
        ("le_quiet", le, (x <= y).into()),
    ] {
        let mut flags = Flags::default();
        let result = operation(bits(x), bits(y), &mut flags);
        assert_eq!(
            (result, flags.0),
            (expected, invalid),
            "{name} {:#x} {:#x}",
            bits(x),
            bits(y)
        );
    }
}

/// The remainder of a division by 2^32, truncated, has the same low half as the number has.
fn check_modular(a: u64) {
    let x = ApDouble::from_bits(a.into());
    let remainder = x.c_fmod(ApDouble::from_u128(1 << 32).value).value;
    let mut exact = false;
    let expected = if x.is_finite() {
        remainder.to_i128_r(64, Round::TowardZero, &mut exact).value as i32
    } else {
        0
    };
    let raised = status(x.to_i128_r(32, Round::TowardZero, &mut exact).status);
    let mut flags = Flags::default();
    let result = double::to_i32_modular(a, &mut flags);
    assert_eq!((result, flags.0), (expected, raised), "{a:#x}");
}

type Comparison = fn(u64, u64, &mut Flags) -> bool;

fn check_comparisons<T: Float>(x: T, y: T, [eq, lt, le]: [Comparison; 3]) {
    let (a, b) = (
        u64::try_from(x.to_bits()).unwrap(),
        u64::try_from(y.to_bits()).unwrap(),
    );
    let quiet = if x.is_signaling() || y.is_signaling() {
        Flags::NV
    } else {
        0
    };
    let signalling = if x.is_nan() || y.is_nan() {
        Flags::NV
    } else {
        0
    };
    for (compare, expected, raised) in [
        (eq, x == y, quiet),
        (lt, x < y, signalling),
        (le, x <= y, signalling),
    ] {
        let mut flags = Flags::default();
        assert_eq!(
            (compare(a, b, &mut flags), flags.0),
            (expected, raised),
            "{a:#x} {b:#x}"
        );
    }
}

fn check_conversion_between(single_bits: u32, double_bits: u64) {
    let narrow = ApSingle::from_bits(single_bits.into());
    let wide = ApDouble::from_bits(double_bits.into());
    let lossy = &mut false;
    let widened: StatusAnd<ApDouble> = narrow.convert_r(Round::NearestTiesToEven, lossy);
    let mut flags = Flags::default();
    let result = double::from_single(single_bits, &mut flags);
    assert_eq!(
        (result, flags.0),
        theirs::<Double, _>(widened, Rounding::NearestEven, || unreachable!()),
        "{single_bits:#x}"
    );
    for mode in Rounding::ALL {
        let narrowed: StatusAnd<ApSingle> = wide.convert_r(ap_mode(mode), lossy);
        let mut flags = Flags::default();
        let result = u64::from(single::from_double(double_bits, mode, &mut flags));
        assert_eq!(
            (result, flags.0),
            theirs::<Single, _>(narrowed, mode, || StatusAnd {
                status: Status::OK,
                value: widen(wide)
            }),
            "{mode:?} {double_bits:#x}"
        );
    }
}

fn check_from_integers(value: u64) {
    for mode in Rounding::ALL {
        macro_rules! check_from {
            ($name:ident, $integer:ident, $convert:ident, $wide:ident) => {
                let (narrow, input) = (value as $integer, $wide::from(value as $integer));
                let mut flags = Flags::default();
                let ours = u64::from(single::$name(narrow, mode, &mut flags));
                let theirs_single = theirs::<Single, _>(
                    ApSingle::$convert(input, ap_mode(mode)),
                    mode,
                    || unreachable!(),
                );
                assert_eq!((ours, flags.0), theirs_single, "single {mode:?} {narrow}");
                let mut flags = Flags::default();
                let ours = double::$name(narrow, mode, &mut flags);
                let theirs_double = theirs::<Double, _>(
                    ApDouble::$convert(input, ap_mode(mode)),
                    mode,
                    || unreachable!(),
                );
                assert_eq!((ours, flags.0), theirs_double, "double {mode:?} {narrow}");
            };
        }
        check_from!(from_i32, i32, from_i128_r, i128);
        check_from!(from_u32, u32, from_u128_r, u128);
        check_from!(from_i64, i64, from_i128_r, i128);
        check_from!(from_u64, u64, from_u128_r, u128);
    }
}

#[test]
fn turning_points_agree() {
    let (singles, doubles) = (turning_points::<Single>(), turning_points::<Double>());
    for (row, (&a, &x)) in singles.iter().zip(&doubles).enumerate() {
        for (column, (&b, &y)) in singles.iter().zip(&doubles).enumerate() {
            // The third operand of the fused operation takes all values over the pairs.
            let third = (row * 31 + column) % singles.len();
            check_singles([a, b, singles[third]]);
            check_doubles([x, y, doubles[third]]);
            check_modular(x);
        }
        check_conversion_between(a as u32, x);
        check_conversion_between(
            a as u32,
            f64::from(f32::from_bits(a as u32))
                .to_bits()
                .wrapping_add(1 << 28),
        );
    }
    for value in integer_turning_points() {
        check_from_integers(value);
    }
}

/// The case in which the two notions of tininess differ, by hand.
#[test]
fn tininess_is_detected_after_rounding_with_unbounded_exponent() {
    // (1 - 2^-24) * 2^-126 has 24 significant bits: exact at full precision, and so tiny, though a tie of subnormal
    // numbers makes the result normal.
    let flags = &mut Flags::default();
    assert_eq!(
        single::mul(0x3f7f_ffff, 0x0080_0000, Rounding::NearestEven, flags),
        0x0080_0000
    );
    assert_eq!(flags.0, Flags::UF | Flags::NX);
    // (1 + 2^-27) * (1 - 2^-27) * 2^-1022 = (1 - 2^-54) * 2^-1022 is a tie at full precision and goes up: not tiny.
    let a = (1.0 + 2f64.powi(-27)).to_bits();
    let b = (1 << 52) - (1 << 25);
    let flags = &mut Flags::default();
    assert_eq!(double::mul(a, b, Rounding::NearestEven, flags), 1 << 52);
    assert_eq!(flags.0, Flags::NX);
    // Towards zero it stays below at any precision: tiny.
    let flags = &mut Flags::default();
    assert_eq!(
        double::mul(a, b, Rounding::TowardZero, flags),
        (1 << 52) - 1
    );
    assert_eq!(flags.0, Flags::UF | Flags::NX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn singles_agree(registers in triples::<Single>(), near_integer in near_integers::<Single>()) {
        check_singles(registers);
        check_singles([near_integer, registers[1], registers[2]]);
    }

    #[test]
    fn doubles_agree(registers in triples::<Double>(), near_integer in near_integers::<Double>()) {
        check_doubles(registers);
        check_doubles([near_integer, registers[1], registers[2]]);
        for bits in [near_integer, registers[0], registers[1], near_integer.wrapping_add(40 << 52)] {
            check_modular(bits);
        }
    }

    #[test]
    fn conversions_agree(narrow in triples::<Single>(), wide in triples::<Double>(), below in -3i64..4, value: u64, shift in 0u32..64) {
        for (narrow, wide) in narrow.into_iter().zip(wide) {
            check_conversion_between(narrow as u32, wide);
            let near = f64::from(f32::from_bits(narrow as u32)).to_bits().wrapping_add_signed(below);
            check_conversion_between(narrow as u32, near);
            check_conversion_between(narrow as u32, near.wrapping_add(1 << 28));
        }
        check_from_integers(value >> shift);
    }
}
