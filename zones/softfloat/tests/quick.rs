//! The quick ways equal the integer ones, and both equal the host's own arithmetic where the host can tell.

#![allow(
    clippy::cast_possible_truncation,
    reason = "registers are cut to the width that an operation reads"
)]

mod shared;

use proptest::prelude::*;
use shared::{
    Operands, Operation, integer_turning_points, near_integers, operations, triples, turning_points,
};
use zone_softfloat::{Double, Flags, Rounding, Single, integer, single};

/// Runs an operation both ways, with every combination of flags raised before that the quick ways look at.
fn assert_same(operation: &Operation, registers: [u64; 3]) {
    let Some(integer) = operation.integer else {
        return;
    };
    for &mode in operation.modes() {
        for before in [
            0,
            Flags::NX,
            Flags::NX | Flags::DZ,
            Flags::NV | Flags::OF | Flags::UF,
        ] {
            let (mut quick_flags, mut integer_flags) = (Flags(before), Flags(before));
            let quick = (operation.run)(mode, registers, &mut quick_flags);
            let expected = integer(mode, registers, &mut integer_flags);
            assert_eq!(
                (quick, quick_flags),
                (expected, integer_flags),
                "{} {mode:?} {registers:x?} with flags {before:#x}",
                operation.instruction
            );
        }
    }
}

#[test]
fn turning_points_come_out_the_same() {
    for operation in operations() {
        let (points, count) = match operation.operands {
            Operands::Singles(count) => (turning_points::<Single>(), count),
            Operands::Doubles(count) => (turning_points::<Double>(), count),
            Operands::Integer => (integer_turning_points(), 1),
        };
        for &a in &points {
            match count {
                1 => assert_same(&operation, [a, 0, 0]),
                2 => points
                    .iter()
                    .for_each(|&b| assert_same(&operation, [a, b, 0])),
                _ => {
                    for &b in &points {
                        points
                            .iter()
                            .step_by(3)
                            .for_each(|&c| assert_same(&operation, [a, b, c]));
                    }
                }
            }
        }
    }
}

fn canonical_single(value: f32) -> u32 {
    if value.is_nan() {
        0x7fc0_0000
    } else {
        value.to_bits()
    }
}

fn canonical_double(value: f64) -> u64 {
    if value.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        value.to_bits()
    }
}

const NEAREST: Rounding = Rounding::NearestEven;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn singles_come_out_the_same(registers in triples::<Single>(), near_integer in near_integers::<Single>()) {
        for operation in operations().iter().filter(|row| matches!(row.operands, Operands::Singles(_))) {
            assert_same(operation, registers);
            assert_same(operation, [near_integer, registers[1], registers[2]]);
        }
    }

    #[test]
    fn doubles_come_out_the_same(registers in triples::<Double>(), near_integer in near_integers::<Double>()) {
        for operation in operations().iter().filter(|row| matches!(row.operands, Operands::Doubles(_))) {
            assert_same(operation, registers);
            assert_same(operation, [near_integer, registers[1], registers[2]]);
        }
    }

    #[test]
    fn integers_come_out_the_same(value: u64, shift in 0u32..64) {
        for operation in operations().iter().filter(|row| row.operands == Operands::Integer) {
            assert_same(operation, [value >> shift, 0, 0]);
        }
    }

    /// Doubles near those of binary32, so that conversion to it rounds everywhere.
    #[test]
    fn narrowing_comes_out_the_same(registers in triples::<Single>(), below in -3i64..4, ties: bool) {
        let rows = operations();
        let narrowing = rows.iter().find(|row| row.instruction.starts_with("fcvt.s.d")).unwrap();
        for register in registers {
            let wide = f64::from(f32::from_bits(register as u32)).to_bits();
            let near = wide.wrapping_add(if ties { 1 << 28 } else { 0 }).wrapping_add_signed(below);
            assert_same(narrowing, [near, 0, 0]);
        }
    }

    #[test]
    fn integers_alone_give_what_the_host_gives_in_single(registers in triples::<Single>()) {
        let [a, b, c] = registers.map(|register| register as u32);
        let [x, y, z] = [a, b, c].map(f32::from_bits);
        let flags = &mut Flags::default();
        prop_assert_eq!(integer::add::<Single>(a, b, NEAREST, flags), canonical_single(x + y));
        prop_assert_eq!(integer::sub::<Single>(a, b, NEAREST, flags), canonical_single(x - y));
        prop_assert_eq!(integer::mul::<Single>(a, b, NEAREST, flags), canonical_single(x * y));
        prop_assert_eq!(integer::div::<Single>(a, b, NEAREST, flags), canonical_single(x / y));
        prop_assert_eq!(integer::sqrt::<Single>(a, NEAREST, flags), canonical_single(x.sqrt()));
        prop_assert_eq!(integer::mul_add::<Single>(a, b, c, NEAREST, flags), canonical_single(x.mul_add(y, z)));
        prop_assert_eq!(integer::convert::<Single, Double>(a, NEAREST, flags), canonical_double(x.into()));
    }

    #[test]
    fn integers_alone_give_what_the_host_gives_in_double([a, b, c] in triples::<Double>()) {
        let [x, y, z] = [a, b, c].map(f64::from_bits);
        let flags = &mut Flags::default();
        prop_assert_eq!(integer::add::<Double>(a, b, NEAREST, flags), canonical_double(x + y));
        prop_assert_eq!(integer::sub::<Double>(a, b, NEAREST, flags), canonical_double(x - y));
        prop_assert_eq!(integer::mul::<Double>(a, b, NEAREST, flags), canonical_double(x * y));
        prop_assert_eq!(integer::div::<Double>(a, b, NEAREST, flags), canonical_double(x / y));
        prop_assert_eq!(integer::sqrt::<Double>(a, NEAREST, flags), canonical_double(x.sqrt()));
        prop_assert_eq!(integer::mul_add::<Double>(a, b, c, NEAREST, flags), canonical_double(x.mul_add(y, z)));
        prop_assert_eq!(integer::convert::<Double, Single>(a, NEAREST, flags), canonical_single(x as f32));
    }
}

/// The single-precision fused operation takes a detour through binary64, which must not round twice: 24929 * 673 = 2^24 + 1 is
/// midway between two binary32 numbers, and an addend too small for binary64 to keep beside it says which way to go.
#[test]
fn a_fused_sum_next_to_a_midpoint_is_rounded_once() {
    let fused = |a: f32, b: f32, c: f32| {
        let flags = &mut Flags(Flags::NX);
        f32::from_bits(single::mul_add(
            a.to_bits(),
            b.to_bits(),
            c.to_bits(),
            NEAREST,
            flags,
        ))
    };
    let least = f32::from_bits(1);
    assert_eq!(fused(24929.0, 673.0, least), 16_777_218.0);
    assert_eq!(fused(24929.0, 673.0, 0.0), 16_777_216.0);
    assert_eq!(fused(24929.0, 673.0, -least), 16_777_216.0);
    assert_eq!(fused(-24929.0, 673.0, -least), -16_777_218.0);
    // 2^24 + 3 = 1549 * 10831 lies above an odd neighbour.
    assert_eq!(fused(10831.0, 1549.0, -least), 16_777_218.0);
    assert_eq!(fused(10831.0, 1549.0, 0.0), 16_777_220.0);
}
