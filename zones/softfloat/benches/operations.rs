//! Nanoseconds per operation, over operands of ordinary size: as callers run it once NX is raised ("quick"), and in integers
//! alone, which is also what the first inexact operation and the other modes cost.
//!
//! Operations do not depend on each other, so this is throughput; a loop around a fixed operation gives what the loop costs.

#![allow(
    clippy::cast_possible_truncation,
    reason = "operands of binary32 are those of binary64, rounded"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use bench_table::{Bar, Row, Table};
use zone_softfloat::{Double, Flags, Rounding, Single, double, integer, single};

const MODE: Rounding = Rounding::NearestEven;
const OPERANDS: usize = 1024;
const ROUNDS: usize = 2_000;

/// Runs one closure over all operands, several times, and gives the least time per operation.
fn measure<T: Copy, R>(operands: &[[T; 3]], run: impl Fn([T; 3], &mut Flags) -> R) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let mut flags = Flags(Flags::NX);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for &triple in black_box(operands) {
                black_box(run(triple, &mut flags));
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e9 / (OPERANDS * ROUNDS) as f64
}

fn main() -> ExitCode {
    let mut table = Table::new("integer");
    let mut print = |name: &str, quick: f64, integer: Option<f64>| {
        table.add(Row {
            work: name.into(),
            unit: "ns",
            ours: quick,
            peer: integer,
            bar: Bar::Free,
        });
    };
    // Numbers from 2^-8 to 2^8 with random fractions, from a multiplicative generator.
    let mut state = 1u64;
    let mut number = || {
        state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        let fraction = (state >> 12) as f64 / (1u64 << 52) as f64;
        (1.0 + fraction) * 2f64.powi((state >> 3 & 15) as i32 - 8)
    };
    let values: Vec<[f64; 3]> = (0..OPERANDS)
        .map(|_| [number(), number(), number()])
        .collect();
    let doubles: Vec<[u64; 3]> = values
        .iter()
        .map(|triple| triple.map(f64::to_bits))
        .collect();
    let singles: Vec<[u32; 3]> = values
        .iter()
        .map(|triple| triple.map(|value| (value as f32).to_bits()))
        .collect();

    print("nothing", measure(&doubles, |[a, ..], _| a), None);
    macro_rules! compare {
        ($name:ident, $($operand:ident)+) => {
            for_format!($name, "single", single, Single, &singles, $($operand)+);
            for_format!($name, "double", double, Double, &doubles, $($operand)+);
        };
    }
    macro_rules! for_format {
        ($name:ident, $label:literal, $module:ident, $format:ident, $operands:expr, $($operand:ident)+) => {
            print(
                concat!($label, " ", stringify!($name)),
                measure($operands, |[$($operand,)+ ..], flags| $module::$name($($operand,)+ MODE, flags)),
                Some(measure($operands, |[$($operand,)+ ..], flags| {
                    integer::$name::<$format>($($operand,)+ MODE, flags)
                })),
            );
        };
    }
    compare!(add, a b);
    compare!(sub, a b);
    compare!(mul, a b);
    compare!(div, a b);
    compare!(sqrt, a);
    compare!(mul_add, a b c);
    print(
        "double lt",
        measure(&doubles, |[a, b, _], flags| double::lt(a, b, flags)),
        None,
    );
    print(
        "double min",
        measure(&doubles, |[a, b, _], flags| double::min(a, b, flags)),
        None,
    );
    print(
        "double classify",
        measure(&doubles, |[a, ..], _| double::classify(a)),
        None,
    );
    print(
        "double to_i64 rtz",
        measure(&doubles, |[a, ..], flags| {
            double::to_i64(a, Rounding::TowardZero, flags)
        }),
        Some(measure(&doubles, |[a, ..], flags| {
            integer::to_integer::<Double>(
                a,
                i64::MIN.into(),
                i64::MAX.into(),
                Rounding::TowardZero,
                flags,
            )
        })),
    );
    print(
        "double from_i64",
        measure(&doubles, |[a, ..], flags| {
            double::from_i64(a.cast_signed(), MODE, flags)
        }),
        Some(measure(&doubles, |[a, ..], flags| {
            integer::from_integer::<Double>(false, a, MODE, flags)
        })),
    );
    print(
        "single from double",
        measure(&doubles, |[a, ..], flags| {
            single::from_double(a, MODE, flags)
        }),
        Some(measure(&doubles, |[a, ..], flags| {
            integer::convert::<Double, Single>(a, MODE, flags)
        })),
    );
    print(
        "double from single",
        measure(&singles, |[a, ..], flags| double::from_single(a, flags)),
        Some(measure(&singles, |[a, ..], flags| {
            integer::convert::<Single, Double>(a, MODE, flags)
        })),
    );
    table.finish()
}
