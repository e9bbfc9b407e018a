//! Zfa, which the peer of the differential tests lacks: encodings and results written down from the manual's chapter. What its
//! arithmetic does is tested in `zone-softfloat`.

use crate::testing::assemble::*;
use crate::testing::{hart, place, ram, translated_too};

const BASE: u64 = 0x8000_0000;
const NV: u8 = 16;
const NX: u8 = 1;

/// Runs one instruction on `fa1` and `fa2`; returns `fa0`, `a0` and the flags.
fn run(word: u32, first: u64, second: u64) -> (u64, u64, u8) {
    let ram = ram(BASE, 4096);
    let mut hart = hart(&ram);
    place(
        &ram,
        BASE,
        &[lui(5, 0x6000), csrrs(0, 0x100, 5), word, ECALL],
    );
    hart.start(BASE, 0, 0);
    (hart.core.f[11], hart.core.f[12]) = (first, second);
    hart.run();
    (hart.core.f[10], hart.register(10), hart.core.flags.0)
}

fn single(value: f32) -> u64 {
    0xffff_ffff_0000_0000 | u64::from(value.to_bits())
}

/// `rd` and `rs1` are 10 and 11, `rs2` and the function as given.
fn word(funct7: u32, funct3: u32, rs2: u32) -> u32 {
    r_type(0x53, funct3, funct7, 10, 11, rs2)
}

#[test]
fn constants_are_those_of_the_manual() {
    #[rustfmt::skip]
    let table = [
        "-1.0", "smallest", "1.52587890625e-5", "3.0517578125e-5", "0.00390625", "0.0078125", "0.0625", "0.125",
        "0.25", "0.3125", "0.375", "0.4375", "0.5", "0.625", "0.75", "0.875", "1.0", "1.25", "1.5", "1.75", "2.0", "2.5",
        "3.0", "4.0", "8.0", "16.0", "128.0", "256.0", "32768.0", "65536.0", "inf", "nan",
    ];
    for (index, text) in table.into_iter().enumerate() {
        let constant = |funct7| run(r_type(0x53, 0, funct7, 10, index as u32, 1), 0, 0);
        let (narrow, wide) = match text {
            "smallest" => (f32::MIN_POSITIVE, f64::MIN_POSITIVE),
            "nan" => (f32::from_bits(0x7fc0_0000), f64::from_bits(0x7ff8 << 48)),
            _ => (text.parse().unwrap(), text.parse().unwrap()),
        };
        assert_eq!(constant(0x78), (single(narrow), 0, 0), "fli.s {text}");
        assert_eq!(constant(0x79), (wide.to_bits(), 0, 0), "fli.d {text}");
    }
}

#[test]
fn each_instruction_is_where_the_manual_puts_it() {
    let bits = f64::to_bits;
    let (nan, signalling) = (0x7ff8 << 48, 0x7ff0_0000_0000_0001);
    let (one, two, half) = (bits(1.0), bits(2.0), bits(2.5));
    let narrow = [single(1.0), single(2.5)];
    for (name, word, first, second, to_float, to_integer, flags) in [
        ("fminm.d", word(0x15, 2, 12), one, two, one, 0, 0),
        ("fminm.d", word(0x15, 2, 12), one, nan, nan, 0, 0),
        ("fmaxm.d", word(0x15, 3, 12), one, two, two, 0, 0),
        ("fmaxm.d", word(0x15, 3, 12), one, signalling, nan, 0, NV),
        ("fround.d, rne", word(0x21, 0, 4), half, 0, two, 0, 0),
        ("fround.d, rup", word(0x21, 3, 4), half, 0, bits(3.0), 0, 0),
        ("fround.d, dyn", word(0x21, 7, 4), half, 0, two, 0, 0),
        ("froundnx.d", word(0x21, 1, 5), half, 0, two, 0, NX),
        (
            "froundnx.d",
            word(0x21, 2, 5),
            bits(-0.25),
            0,
            bits(-1.0),
            0,
            NX,
        ),
        (
            "froundnx.d",
            word(0x21, 0, 5),
            bits(-0.25),
            0,
            bits(-0.0),
            0,
            NX,
        ),
        (
            "fcvtmod.w.d",
            word(0x61, 1, 8),
            bits(4294967298.5),
            0,
            0,
            2,
            NV,
        ),
        (
            "fcvtmod.w.d",
            word(0x61, 1, 8),
            bits(-1.5),
            0,
            0,
            u64::MAX,
            NX,
        ),
        ("fleq.d", word(0x51, 4, 12), two, two, 0, 1, 0),
        ("fleq.d", word(0x51, 4, 12), two, nan, 0, 0, 0),
        ("fltq.d", word(0x51, 5, 12), one, two, 0, 1, 0),
        ("fltq.d", word(0x51, 5, 12), one, signalling, 0, 0, NV),
        (
            "fminm.s",
            word(0x14, 2, 12),
            narrow[0],
            narrow[1],
            narrow[0],
            0,
            0,
        ),
        (
            "fmaxm.s",
            word(0x14, 3, 12),
            narrow[0],
            narrow[1],
            narrow[1],
            0,
            0,
        ),
        (
            "fround.s",
            word(0x20, 4, 4),
            narrow[1],
            0,
            single(3.0),
            0,
            0,
        ),
        (
            "froundnx.s",
            word(0x20, 1, 5),
            narrow[1],
            0,
            single(2.0),
            0,
            NX,
        ),
        ("fleq.s", word(0x50, 4, 12), narrow[0], narrow[1], 0, 1, 0),
        ("fltq.s", word(0x50, 5, 12), narrow[1], narrow[1], 0, 0, 0),
        (
            "fltq.s, not boxed",
            word(0x50, 5, 12),
            0,
            narrow[1],
            0,
            0,
            0,
        ),
    ] {
        assert_eq!(
            run(word, first, second),
            (to_float, to_integer, flags),
            "{name} of {first:#x} and {second:#x}"
        );
    }
}

translated_too! {
    constants_are_those_of_the_manual
    each_instruction_is_where_the_manual_puts_it
}
