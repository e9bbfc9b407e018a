//! Every compressed encoding against the manual's tables, and the reserved points of both lengths.

use super::*;
use crate::testing::assemble::*;
use crate::testing::random::Random;

/// The fields of a compressed instruction.
#[derive(Default)]
struct Fields {
    /// Sign-extended from its highest bit if the form says so.
    imm: i32,
    /// `d` or `D` (three bits, `x8` and up), which may also be a source.
    rd: u32,
    /// `s` or `S`.
    rs2: u32,
}

/// A row of the tables of chapter "C": the bits from the highest, the immediate's bit numbers in the order of the `i`s,
/// whether it is signed, and the instruction it expands to.
type Form = (
    &'static str,
    &'static [u32],
    bool,
    fn(&Fields) -> Option<u32>,
);

const FORMS: &[Form] = &[
    ("000iiiiiiiiSSS00", &[5, 4, 9, 8, 7, 6, 2, 3], false, |f| {
        (f.imm != 0).then(|| addi(f.rs2, 2, f.imm))
    }),
    ("001iiiDDDiiSSS00", &[5, 4, 3, 7, 6], false, |f| {
        Some(fld(f.rs2, f.rd, f.imm))
    }),
    ("010iiiDDDiiSSS00", &[5, 4, 3, 2, 6], false, |f| {
        Some(lw(f.rs2, f.rd, f.imm))
    }),
    ("011iiiDDDiiSSS00", &[5, 4, 3, 7, 6], false, |f| {
        Some(ld(f.rs2, f.rd, f.imm))
    }),
    ("101iiiDDDiiSSS00", &[5, 4, 3, 7, 6], false, |f| {
        Some(fsd(f.rs2, f.rd, f.imm))
    }),
    ("110iiiDDDiiSSS00", &[5, 4, 3, 2, 6], false, |f| {
        Some(sw(f.rs2, f.rd, f.imm))
    }),
    ("111iiiDDDiiSSS00", &[5, 4, 3, 7, 6], false, |f| {
        Some(sd(f.rs2, f.rd, f.imm))
    }),
    ("000idddddiiiii01", &[5, 4, 3, 2, 1, 0], true, |f| {
        Some(addi(f.rd, f.rd, f.imm))
    }),
    ("001idddddiiiii01", &[5, 4, 3, 2, 1, 0], true, |f| {
        (f.rd != 0).then(|| i_type(0x1b, 0, f.rd, f.rd, f.imm))
    }),
    ("010idddddiiiii01", &[5, 4, 3, 2, 1, 0], true, |f| {
        Some(addi(f.rd, 0, f.imm))
    }),
    ("011i00010iiiii01", &[9, 4, 6, 8, 7, 5], true, |f| {
        (f.imm != 0).then(|| addi(2, 2, f.imm))
    }),
    ("011idddddiiiii01", &[17, 16, 15, 14, 13, 12], true, |f| {
        (f.imm != 0).then(|| lui(f.rd, f.imm as u32))
    }),
    ("100i00DDDiiiii01", &[5, 4, 3, 2, 1, 0], false, |f| {
        Some(i_type(0x13, 5, f.rd, f.rd, f.imm))
    }),
    ("100i01DDDiiiii01", &[5, 4, 3, 2, 1, 0], false, |f| {
        Some(i_type(0x13, 5, f.rd, f.rd, f.imm | 0x400))
    }),
    ("100i10DDDiiiii01", &[5, 4, 3, 2, 1, 0], true, |f| {
        Some(i_type(0x13, 7, f.rd, f.rd, f.imm))
    }),
    ("100011DDD00SSS01", &[], false, |f| {
        Some(r_type(0x33, 0, 0x20, f.rd, f.rd, f.rs2))
    }),
    ("100011DDD01SSS01", &[], false, |f| {
        Some(r_type(0x33, 4, 0, f.rd, f.rd, f.rs2))
    }),
    ("100011DDD10SSS01", &[], false, |f| {
        Some(r_type(0x33, 6, 0, f.rd, f.rd, f.rs2))
    }),
    ("100011DDD11SSS01", &[], false, |f| {
        Some(r_type(0x33, 7, 0, f.rd, f.rd, f.rs2))
    }),
    ("100111DDD00SSS01", &[], false, |f| {
        Some(r_type(0x3b, 0, 0x20, f.rd, f.rd, f.rs2))
    }),
    ("100111DDD01SSS01", &[], false, |f| {
        Some(r_type(0x3b, 0, 0, f.rd, f.rd, f.rs2))
    }),
    (
        "101iiiiiiiiiii01",
        &[11, 4, 9, 8, 10, 6, 7, 3, 2, 1, 5],
        true,
        |f| Some(jal(0, f.imm)),
    ),
    ("110iiiDDDiiiii01", &[8, 4, 3, 7, 6, 2, 1, 5], true, |f| {
        Some(branch(0, f.rd, 0, f.imm))
    }),
    ("111iiiDDDiiiii01", &[8, 4, 3, 7, 6, 2, 1, 5], true, |f| {
        Some(branch(1, f.rd, 0, f.imm))
    }),
    ("000idddddiiiii10", &[5, 4, 3, 2, 1, 0], false, |f| {
        Some(i_type(0x13, 1, f.rd, f.rd, f.imm))
    }),
    ("001idddddiiiii10", &[5, 4, 3, 8, 7, 6], false, |f| {
        Some(fld(f.rd, 2, f.imm))
    }),
    ("010idddddiiiii10", &[5, 4, 3, 2, 7, 6], false, |f| {
        (f.rd != 0).then(|| lw(f.rd, 2, f.imm))
    }),
    ("011idddddiiiii10", &[5, 4, 3, 8, 7, 6], false, |f| {
        (f.rd != 0).then(|| ld(f.rd, 2, f.imm))
    }),
    ("1000ddddd0000010", &[], false, |f| {
        (f.rd != 0).then(|| jalr(0, f.rd, 0))
    }),
    ("1000dddddsssss10", &[], false, |f| {
        Some(addi(f.rd, f.rs2, 0))
    }),
    ("1001000000000010", &[], false, |_| Some(EBREAK)),
    ("1001ddddd0000010", &[], false, |f| Some(jalr(1, f.rd, 0))),
    ("1001dddddsssss10", &[], false, |f| {
        Some(add(f.rd, f.rd, f.rs2))
    }),
    ("101iiiiiisssss10", &[5, 4, 3, 8, 7, 6], false, |f| {
        Some(fsd(f.rs2, 2, f.imm))
    }),
    ("110iiiiiisssss10", &[5, 4, 3, 2, 7, 6], false, |f| {
        Some(sw(f.rs2, 2, f.imm))
    }),
    ("111iiiiiisssss10", &[5, 4, 3, 8, 7, 6], false, |f| {
        Some(sd(f.rs2, 2, f.imm))
    }),
];

/// The fields, if the bits are of this form.
fn matches(raw: u32, form: &Form) -> Option<Fields> {
    let (pattern, places, signed, _) = form;
    assert_eq!(pattern.len(), 16);
    let mut fields = Fields::default();
    let mut places = places.iter();
    let mut short = (false, false);
    let mut highest = 0;
    for (index, letter) in pattern.chars().enumerate() {
        let value = raw >> (15 - index) & 1;
        match letter {
            '0' | '1' if letter.to_digit(2) != Some(value) => return None,
            '0' | '1' => {}
            'i' => {
                let place = *places.next().unwrap();
                fields.imm |= (value << place).cast_signed();
                highest = highest.max(place);
            }
            'd' | 'D' => {
                fields.rd = fields.rd << 1 | value;
                short.0 |= letter == 'D';
            }
            _ => {
                fields.rs2 = fields.rs2 << 1 | value;
                short.1 |= letter == 'S';
            }
        }
    }
    assert!(places.next().is_none());
    if *signed {
        fields.imm = fields.imm << (31 - highest) >> (31 - highest);
    }
    fields.rd += if short.0 { 8 } else { 0 };
    fields.rs2 += if short.1 { 8 } else { 0 };
    Some(fields)
}

#[test]
fn every_compressed_encoding_is_what_it_expands_to() {
    let mut legal = 0;
    for raw in (0..=0xffffu32).filter(|raw| raw & 3 != 3) {
        let expansion = FORMS
            .iter()
            .find_map(|form| Some((form.3)(&matches(raw, form)?)))
            .flatten();
        let op = decode(raw | 0xabcd_0000);
        assert_eq!((op.length, op.raw), (2, raw));
        match expansion {
            None => assert_eq!(op.kind, Kind::Illegal, "{raw:#06x}"),
            Some(full) => {
                let expected = decode(full);
                assert_ne!(expected.kind, Kind::Illegal, "{raw:#06x}");
                assert_eq!(
                    effect(&op),
                    effect(&expected),
                    "{raw:#06x} {op:?} {expected:?}"
                );
                legal += 1;
            }
        }
    }
    assert!(legal > 40_000, "{legal}");
}

/// What matters of an instruction: fields that its kind does not use are left out.
fn effect(op: &Op) -> (Kind, u8, u8, u8, i32) {
    use Kind::*;
    let (mut rd, mut rs1, mut rs2, mut imm) = (op.rd, op.rs1, op.rs2, op.imm);
    match op.kind {
        Nop | Ebreak => (rd, rs1, rs2, imm) = (0, 0, 0, 0),
        Li | Lui | Jal => (rs1, rs2) = (0, 0),
        Mv => (rs2, imm) = (0, 0),
        Add | Sub | Xor | Or | And | Addw | Subw => imm = 0,
        Beq | Bne | Sw | Sd | Fsd => rd = 0,
        _ => rs2 = 0,
    }
    (op.kind, rd, rs1, rs2, imm)
}

#[test]
fn reserved_encodings_are_illegal() {
    let cases = [
        (0x0000_0000, "all zeros"),
        (0xffff_ffff, "all ones"),
        (0x0000_0004, "c.addi4spn without an immediate"),
        (0x0000_6101, "c.addi16sp without an immediate"),
        (0x0000_6081, "c.lui without an immediate"),
        (0x0000_2005, "c.addiw to x0"),
        (0x0000_4002, "c.lwsp to x0"),
        (0x0000_6002, "c.ldsp to x0"),
        (0x0000_8002, "c.jr x0"),
        (0x0000_8000, "quadrant 0, function 4"),
        (0x0000_9c41, "quadrant 1, reserved arithmetic"),
        (0x0200_101b, "slliw by 32"),
        (0x0200_501b, "srliw by 32"),
        (0x4200_501b, "sraiw by 32"),
        (0x6200_501b, "roriw by 32"),
        (0x0000_707f, "an instruction of more than 64 bits"),
        (0x0000_7003, "load, function 7"),
        (0x0000_4023, "store, function 4"),
        (0x0000_2063, "branch, function 2"),
        (0x0000_1067, "jalr, function 1"),
        (0x1010_202f, "lr.w with a second source"),
        (0x0000_102f, "amoadd of a half word"),
        (0x2800_202f, "amocas.w"),
        (0x0000_4073, "system, function 4"),
        (0x3020_0073, "mret"),
        (0x7b20_0073, "dret"),
        (0x0020_0073, "uret"),
        (0x0000_00f3, "ecall with a destination"),
        (0x1050_80f3, "wfi with a destination"),
        (0x0001_0073, "ecall with a source"),
        (0x1200_00f3, "sfence.vma with a destination"),
        (0x0000_5053, "fadd.s, rounding mode 5"),
        (0x0000_6053, "fadd.s, rounding mode 6"),
        (0x0400_0053, "fadd.h"),
        (0x0600_0053, "fadd.q"),
        (0x5810_0053, "fsqrt.s with a second source"),
        (0x4000_0053, "fcvt.s.s"),
        (0x4210_0053, "fcvt.d.d"),
        (0xe210_0053, "fmvh.x.d"),
        (0xb210_0053, "fmvp.d.x"),
        (0xf010_1053, "fli.s, rounding mode 1"),
        (0x4040_5053, "fround.s, rounding mode 5"),
        (0xc080_1053, "fcvtmod.w.s"),
        (0xc280_0053, "fcvtmod.w.d, rounding mode 0"),
        (0xc040_0053, "fcvt with a fifth integer format"),
        (0x2000_3053, "fsgnj, function 3"),
        (0x0400_0043, "fmadd.h"),
        (0x0000_0007, "load of a float of one byte"),
        (0x0000_200f, "cbo.inval"),
        (0x0010_200f, "cbo.clean"),
        (0x0040_208f, "cbo.zero with a destination"),
    ];
    for (raw, name) in cases {
        assert_eq!(decode(raw).kind, Kind::Illegal, "{name}: {raw:#010x}");
    }
}

#[test]
fn decoding_never_panics_and_keeps_registers_in_range() {
    let mut random = Random::new(1);
    for _ in 0..2_000_000 {
        let raw = random.next() as u32;
        let op = decode(raw);
        assert!(op.rd <= SINK && op.rs1 < 32 && op.rs2 < 32, "{raw:#x}");
        assert_eq!(op.length, length(raw as u16));
    }
}
