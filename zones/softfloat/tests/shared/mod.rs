//! What the tests have in common: every operation as a row of a table, and the operands that find mistakes.
//!
//! A row works on 64-bit registers as the instruction does: binary32 values are boxed in ones, 32-bit integers are
//! sign-extended. So one loop drives our code and a real RISC-V implementation alike.

// Each test file uses its own part of this.
#![allow(dead_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers are cut to the width that an instruction reads"
)]

use proptest::prelude::*;
use zone_softfloat::{Double, Flags, Format, Rounding, Single, double, integer, single};

/// How an operation is run.
pub type Run = fn(Rounding, [u64; 3], &mut Flags) -> u64;

/// What an operation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// So many floating-point registers.
    Singles(u8),
    /// So many floating-point registers.
    Doubles(u8),
    /// One integer register.
    Integer,
}

/// One instruction.
pub struct Operation {
    /// In assembly: floating-point operands in fa0, fa1, fa2 and the result in ft0; an integer one in t1 and its result in t0.
    pub instruction: &'static str,
    pub operands: Operands,
    /// Whether the result depends on the mode.
    pub rounds: bool,
    /// As callers run it.
    pub run: Run,
    /// In integers alone, where there is a quicker way.
    pub integer: Option<Run>,
}

impl Operation {
    pub fn modes(&self) -> &'static [Rounding] {
        if self.rounds {
            &Rounding::ALL
        } else {
            &Rounding::ALL[..1]
        }
    }
}

fn boxed(bits: u32) -> u64 {
    0xffff_ffff_0000_0000 | u64::from(bits)
}

fn unchanged(bits: u64) -> u64 {
    bits
}

fn low(register: u64) -> u32 {
    register as u32
}

fn signed_word(value: i32) -> u64 {
    i64::from(value) as u64
}

fn unsigned_word(value: u32) -> u64 {
    signed_word(value as i32)
}

fn signed_long(value: i64) -> u64 {
    value as u64
}

macro_rules! rows {
    ($suffix:literal, $module:ident, $format:ident, $operands:ident, $read:ident, $write:ident) => {
        rows!(@ $suffix, $module, $format, $operands, $read, $write,
            binary [("fadd", add), ("fsub", sub), ("fmul", mul), ("fdiv", div)]
            chosen [("fmin", min), ("fmax", max)]
            compared [("feq", eq), ("flt", lt), ("fle", le)]
            signs [("fsgnj", copy_sign), ("fsgnjn", copy_sign_negated), ("fsgnjx", copy_sign_xor)]
            to [("w", i32, to_i32, signed_word), ("wu", u32, to_u32, unsigned_word),
                ("l", i64, to_i64, signed_long), ("lu", u64, to_u64, unchanged)]
            from [("w", i32, from_i32), ("wu", u32, from_u32), ("l", i64, from_i64), ("lu", u64, from_u64)]
        )
    };
    (@ $suffix:literal, $module:ident, $format:ident, $operands:ident, $read:ident, $write:ident,
        binary [$(($binary:literal, $binary_name:ident)),*]
        chosen [$(($chosen:literal, $chosen_name:ident)),*]
        compared [$(($compared:literal, $compared_name:ident)),*]
        signs [$(($signs:literal, $signs_name:ident)),*]
        to [$(($to:literal, $to_type:ident, $to_name:ident, $to_write:ident)),*]
        from [$(($from:literal, $from_type:ident, $from_name:ident)),*]
    ) => {
        vec![
            $(Operation {
                instruction: concat!($binary, ".", $suffix, " ft0, fa0, fa1"),
                operands: Operands::$operands(2),
                rounds: true,
                run: |mode, [a, b, _], flags| $write($module::$binary_name($read(a), $read(b), mode, flags)),
                integer: Some(|mode, [a, b, _], flags| {
                    $write(integer::$binary_name::<$format>($read(a), $read(b), mode, flags))
                }),
            },)*
            Operation {
                instruction: concat!("fsqrt.", $suffix, " ft0, fa0"),
                operands: Operands::$operands(1),
                rounds: true,
                run: |mode, [a, ..], flags| $write($module::sqrt($read(a), mode, flags)),
                integer: Some(|mode, [a, ..], flags| $write(integer::sqrt::<$format>($read(a), mode, flags))),
            },
            Operation {
                instruction: concat!("fmadd.", $suffix, " ft0, fa0, fa1, fa2"),
                operands: Operands::$operands(3),
                rounds: true,
                run: |mode, [a, b, c], flags| $write($module::mul_add($read(a), $read(b), $read(c), mode, flags)),
                integer: Some(|mode, [a, b, c], flags| {
                    $write(integer::mul_add::<$format>($read(a), $read(b), $read(c), mode, flags))
                }),
            },
            $(Operation {
                instruction: concat!($chosen, ".", $suffix, " ft0, fa0, fa1"),
                operands: Operands::$operands(2),
                rounds: false,
                run: |_, [a, b, _], flags| $write($module::$chosen_name($read(a), $read(b), flags)),
                integer: None,
            },)*
            $(Operation {
                instruction: concat!($compared, ".", $suffix, " t0, fa0, fa1"),
                operands: Operands::$operands(2),
                rounds: false,
                run: |_, [a, b, _], flags| u64::from($module::$compared_name($read(a), $read(b), flags)),
                integer: None,
            },)*
            $(Operation {
                instruction: concat!($signs, ".", $suffix, " ft0, fa0, fa1"),
                operands: Operands::$operands(2),
                rounds: false,
                run: |_, [a, b, _], _| $write($module::$signs_name($read(a), $read(b))),
                integer: None,
            },)*
            Operation {
                instruction: concat!("fclass.", $suffix, " t0, fa0"),
                operands: Operands::$operands(1),
                rounds: false,
                run: |_, [a, ..], _| u64::from($module::classify($read(a))),
                integer: None,
            },
            $(Operation {
                instruction: concat!("fcvt.", $to, ".", $suffix, " t0, fa0"),
                operands: Operands::$operands(1),
                rounds: true,
                run: |mode, [a, ..], flags| $to_write($module::$to_name($read(a), mode, flags)),
                integer: Some(|mode, [a, ..], flags| {
                    let (least, greatest) = ($to_type::MIN.into(), $to_type::MAX.into());
                    $to_write(integer::to_integer::<$format>($read(a), least, greatest, mode, flags) as $to_type)
                }),
            },)*
            $(Operation {
                instruction: concat!("fcvt.", $suffix, ".", $from, " ft0, t1"),
                operands: Operands::Integer,
                rounds: true,
                run: |mode, [a, ..], flags| $write($module::$from_name(a as $from_type, mode, flags)),
                integer: Some(|mode, [a, ..], flags| {
                    let value = i128::from(a as $from_type);
                    let magnitude = value.unsigned_abs() as u64;
                    $write(integer::from_integer::<$format>(value < 0, magnitude, mode, flags))
                }),
            },)*
        ]
    };
}

/// Every operation of both formats.
pub fn operations() -> Vec<Operation> {
    let mut rows: Vec<Operation> = rows!("s", single, Single, Singles, low, boxed);
    rows.extend(rows!("d", double, Double, Doubles, unchanged, unchanged));
    rows.push(Operation {
        instruction: "fcvt.s.d ft0, fa0",
        operands: Operands::Doubles(1),
        rounds: true,
        run: |mode, [a, ..], flags| boxed(single::from_double(a, mode, flags)),
        integer: Some(|mode, [a, ..], flags| {
            boxed(integer::convert::<Double, Single>(a, mode, flags))
        }),
    });
    rows.push(Operation {
        instruction: "fcvt.d.s ft0, fa0",
        operands: Operands::Singles(1),
        rounds: true,
        run: |_, [a, ..], flags| double::from_single(low(a), flags),
        integer: Some(|mode, [a, ..], flags| {
            integer::convert::<Single, Double>(low(a), mode, flags)
        }),
    });
    rows
}

/// A register that holds `bits` of the format.
pub fn register<F: Format>(bits: u64) -> u64 {
    if F::SIGN >> 63 == 0 {
        boxed(low(bits))
    } else {
        bits
    }
}

/// The values at which something changes, of either sign, as registers.
pub fn turning_points<F: Format>() -> Vec<u64> {
    let one = F::INFINITY >> 1 & F::INFINITY;
    let binade = 1 << F::FRACTION_BITS;
    let power = |exponent: i64| one.wrapping_add_signed(exponent << F::FRACTION_BITS);
    let precision = i64::from(F::PRECISION);
    let positive = [
        0,
        1,
        2,
        3,
        binade / 2 - 1,
        binade / 2,
        binade - 2,
        binade - 1,
        // The smallest normal number and its neighbours.
        binade,
        binade + 1,
        2 * binade - 1,
        2 * binade,
        2 * binade + 1,
        // The square root of the smallest normal number, and what it takes to come back to it.
        power(-(one >> F::FRACTION_BITS).cast_signed() / 2),
        power(-(one >> F::FRACTION_BITS).cast_signed() / 2) - 1,
        power(-precision),
        power(-1),
        power(-1) + 1,
        one - 1,
        one,
        one + 1,
        one + binade / 2,
        power(1),
        power(1) + binade / 2,
        power(2) | (F::FRACTION / 3),
        // Bounds of integers, and the last numbers with a half.
        power(31) - 1,
        power(31),
        power(32) - 1,
        power(32),
        power(63) - 1,
        power(63),
        power(64) - 1,
        power(64),
        power(precision - 2) + 1,
        power(precision - 2) + 3,
        power(precision),
        F::INFINITY - binade,
        F::INFINITY - 2,
        F::INFINITY - 1,
        F::INFINITY,
        F::INFINITY + 1,
        F::CANONICAL_NAN,
        F::CANONICAL_NAN + 5,
    ];
    positive
        .into_iter()
        .flat_map(|bits| [bits, bits | F::SIGN])
        .chain(
            // 2^31 and its neighbours, exactly, where the format has them.
            [-2i64, -1, 1, 2].into_iter().map(|steps| {
                (power(31) | F::SIGN)
                    .wrapping_add_signed(steps << (F::FRACTION_BITS.saturating_sub(32)))
            }),
        )
        .map(register::<F>)
        .collect()
}

/// Integers at which something changes.
pub fn integer_turning_points() -> Vec<u64> {
    let mut points = Vec::new();
    for bit in [0, 1, 23, 24, 25, 30, 31, 32, 33, 52, 53, 54, 55, 62, 63] {
        for offset in -3..=3 {
            let value = (1u64 << bit).wrapping_add_signed(offset);
            points.extend([value, value.wrapping_neg()]);
        }
    }
    points.push(u64::MAX / 3);
    points
}

/// Bits of a number with the given exponent, made to fit: subnormal at the lower end, large at the upper.
fn assemble<F: Format>(negative: bool, exponent: i32, fraction: u64) -> u64 {
    let fraction = fraction & F::FRACTION;
    let field = exponent - F::MINIMUM_EXPONENT + 1;
    let greatest = (1 << F::EXPONENT_BITS) - 2;
    let magnitude = if field >= 1 {
        (u64::from(field.min(greatest).unsigned_abs()) << F::FRACTION_BITS) | fraction
    } else {
        (fraction | (1 << F::FRACTION_BITS))
            >> (1 - field)
                .min(F::FRACTION_BITS.cast_signed())
                .unsigned_abs()
    };
    register::<F>(if negative {
        magnitude | F::SIGN
    } else {
        magnitude
    })
}

/// Fractions: any, few bits set at either end, nearly all of them.
fn fractions() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => any::<u64>(),
        1 => 0u64..4,
        1 => (0u64..4).prop_map(|low| u64::MAX - low),
        1 => (0u32..53).prop_map(|bit| 1 << bit),
        1 => (0u32..53, 0u64..3).prop_map(|(bit, low)| (u64::MAX << bit) ^ low),
    ]
}

/// Three registers whose sum, product, quotient or both lie where rounding is hard: exponents near each other, results near
/// the ends of the range.
pub fn triples<F: Format>() -> impl Strategy<Value = [u64; 3]> {
    let least = F::MINIMUM_EXPONENT;
    let greatest = 1 - least;
    let precision = F::PRECISION.cast_signed();
    let exponents = (
        least - precision..=greatest,
        prop_oneof![
            least - precision - 2..least + 3,
            greatest - 2..greatest + 3,
            -3..3,
            least..greatest,
        ],
        prop_oneof![3 => -3..4, 2 => -precision - 3..precision + 4, 1 => -2 * precision - 4..2 * precision + 5],
        0u8..3,
    );
    let numbers = (
        exponents,
        any::<[bool; 3]>(),
        [fractions(), fractions(), fractions()],
    )
        .prop_map(|((first, result, distance, way), negative, fraction)| {
            let second = match way {
                0 => result - first,
                1 => first - result,
                _ => first + distance,
            };
            [
                assemble::<F>(negative[0], first, fraction[0]),
                assemble::<F>(negative[1], second, fraction[1]),
                assemble::<F>(negative[2], first + second + distance, fraction[2]),
            ]
        })
        .boxed();
    let points = turning_points::<F>();
    let special = prop::sample::select(points);
    prop_oneof![
        6 => numbers.clone(),
        1 => any::<[u64; 3]>().prop_map(|bits| bits.map(register::<F>)),
        1 => (numbers, special, 0usize..3).prop_map(|(mut triple, special, position)| {
            triple[position] = special;
            triple
        }),
    ]
}

/// Numbers around the bounds of integers and with halves, as well as any.
pub fn near_integers<F: Format>() -> impl Strategy<Value = u64> {
    (any::<bool>(), -3..67, fractions())
        .prop_map(|(negative, exponent, fraction)| assemble::<F>(negative, exponent, fraction))
}
