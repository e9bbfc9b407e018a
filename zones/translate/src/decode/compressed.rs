//! The C extension for RV64 with D: each instruction as the one it expands to.

use super::{Kind, Op, SINK, add_immediate, bits, destination, field, op, sign_extend};

/// A register of the three-bit fields: `x8` to `x15`.
fn short(raw: u32, low: u32) -> u8 {
    8 + field(raw, low + 2, low)
}

pub(super) fn decode(raw: u32) -> Op {
    match raw & 3 {
        0 => quadrant0(raw),
        1 => quadrant1(raw),
        _ => quadrant2(raw),
    }
}

fn quadrant0(raw: u32) -> Op {
    use Kind::*;
    let mut o = op(Illegal, raw, 2);
    let (data, address) = (short(raw, 2), short(raw, 7));
    let word = bits(raw, 12, 10) << 3 | bits(raw, 6, 6) << 2 | bits(raw, 5, 5) << 6;
    let double = bits(raw, 12, 10) << 3 | bits(raw, 6, 5) << 6;
    o.rs1 = address;
    match bits(raw, 15, 13) {
        0 => {
            let imm = bits(raw, 10, 7) << 6
                | bits(raw, 12, 11) << 4
                | bits(raw, 5, 5) << 3
                | bits(raw, 6, 6) << 2;
            if imm != 0 {
                (o.kind, o.rd, o.rs1, o.imm) = (Addi, data, 2, imm.cast_signed());
            }
        }
        1 => (o.kind, o.rd, o.imm) = (Fld, data, double.cast_signed()),
        2 => (o.kind, o.rd, o.imm) = (Lw, data, word.cast_signed()),
        3 => (o.kind, o.rd, o.imm) = (Ld, data, double.cast_signed()),
        5 => (o.kind, o.rs2, o.imm) = (Fsd, data, double.cast_signed()),
        6 => (o.kind, o.rs2, o.imm) = (Sw, data, word.cast_signed()),
        7 => (o.kind, o.rs2, o.imm) = (Sd, data, double.cast_signed()),
        _ => {}
    }
    o
}

fn quadrant1(raw: u32) -> Op {
    use Kind::*;
    let mut o = op(Illegal, raw, 2);
    let rd = field(raw, 11, 7);
    let imm = sign_extend(bits(raw, 12, 12) << 5 | bits(raw, 6, 2), 6);
    match bits(raw, 15, 13) {
        0 => {
            (o.rd, o.rs1, o.imm) = (destination(rd), rd, imm);
            o = add_immediate(o);
        }
        1 if rd != 0 => (o.kind, o.rd, o.rs1, o.imm) = (Addiw, rd, rd, imm),
        2 => {
            (o.rd, o.rs1, o.imm) = (destination(rd), 0, imm);
            o = add_immediate(o);
        }
        3 if rd == 2 => {
            let imm = sign_extend(
                bits(raw, 12, 12) << 9
                    | bits(raw, 4, 3) << 7
                    | bits(raw, 5, 5) << 6
                    | bits(raw, 2, 2) << 5
                    | bits(raw, 6, 6) << 4,
                10,
            );
            if imm != 0 {
                (o.kind, o.rd, o.rs1, o.imm) = (Addi, 2, 2, imm);
            }
        }
        3 if imm != 0 => {
            (o.kind, o.rd, o.imm) = (if rd == 0 { Nop } else { Lui }, destination(rd), imm << 12);
        }
        4 => arithmetic(&mut o, imm),
        5 => (o.kind, o.imm) = (Jal, jump_offset(raw)),
        6 => (o.kind, o.rs1, o.imm) = (Beq, short(raw, 7), branch_offset(raw)),
        7 => (o.kind, o.rs1, o.imm) = (Bne, short(raw, 7), branch_offset(raw)),
        _ => {}
    }
    o
}

fn arithmetic(o: &mut Op, imm: i32) {
    use Kind::*;
    let raw = o.raw;
    let rd = short(raw, 7);
    (o.rd, o.rs1, o.rs2) = (rd, rd, short(raw, 2));
    o.kind = match (bits(raw, 11, 10), bits(raw, 12, 12), bits(raw, 6, 5)) {
        (0, ..) => Srli,
        (1, ..) => Srai,
        (2, ..) => Andi,
        (3, 0, low) => [Sub, Xor, Or, And][low as usize],
        (3, 1, 0) => Subw,
        (3, 1, 1) => Addw,
        _ => Illegal,
    };
    o.imm = match o.kind {
        Srli | Srai => imm & 0x3f,
        _ => imm,
    };
}

fn jump_offset(raw: u32) -> i32 {
    sign_extend(
        bits(raw, 12, 12) << 11
            | bits(raw, 8, 8) << 10
            | bits(raw, 10, 9) << 8
            | bits(raw, 6, 6) << 7
            | bits(raw, 7, 7) << 6
            | bits(raw, 2, 2) << 5
            | bits(raw, 11, 11) << 4
            | bits(raw, 5, 3) << 1,
        12,
    )
}

fn branch_offset(raw: u32) -> i32 {
    sign_extend(
        bits(raw, 12, 12) << 8
            | bits(raw, 6, 5) << 6
            | bits(raw, 2, 2) << 5
            | bits(raw, 11, 10) << 3
            | bits(raw, 4, 3) << 1,
        9,
    )
}

fn quadrant2(raw: u32) -> Op {
    use Kind::*;
    let mut o = op(Illegal, raw, 2);
    let (rd, rs2) = (field(raw, 11, 7), field(raw, 6, 2));
    let word_load = bits(raw, 12, 12) << 5 | bits(raw, 6, 4) << 2 | bits(raw, 3, 2) << 6;
    let double_load = bits(raw, 12, 12) << 5 | bits(raw, 6, 5) << 3 | bits(raw, 4, 2) << 6;
    let word_store = bits(raw, 12, 9) << 2 | bits(raw, 8, 7) << 6;
    let double_store = bits(raw, 12, 10) << 3 | bits(raw, 9, 7) << 6;
    match bits(raw, 15, 13) {
        0 => {
            let shift = bits(raw, 12, 12) << 5 | bits(raw, 6, 2);
            (o.kind, o.rd, o.rs1, o.imm) = (Slli, destination(rd), rd, shift.cast_signed());
        }
        1 => (o.kind, o.rd, o.rs1, o.imm) = (Fld, rd, 2, double_load.cast_signed()),
        2 if rd != 0 => (o.kind, o.rd, o.rs1, o.imm) = (Lw, rd, 2, word_load.cast_signed()),
        3 if rd != 0 => (o.kind, o.rd, o.rs1, o.imm) = (Ld, rd, 2, double_load.cast_signed()),
        4 => match (bits(raw, 12, 12), rd, rs2) {
            (0, 0, 0) => {}
            (0, _, 0) => (o.kind, o.rs1) = (Jalr, rd),
            (0, ..) => {
                (o.kind, o.rd, o.rs1) = (if rd == 0 { Nop } else { Mv }, destination(rd), rs2);
            }
            (_, 0, 0) => o.kind = Ebreak,
            (_, _, 0) => (o.kind, o.rd, o.rs1) = (Jalr, 1, rd),
            _ => (o.kind, o.rd, o.rs1, o.rs2) = (Add, destination(rd), rd, rs2),
        },
        5 => (o.kind, o.rs1, o.rs2, o.imm) = (Fsd, 2, rs2, double_store.cast_signed()),
        6 => (o.kind, o.rs1, o.rs2, o.imm) = (Sw, 2, rs2, word_store.cast_signed()),
        7 => (o.kind, o.rs1, o.rs2, o.imm) = (Sd, 2, rs2, double_store.cast_signed()),
        _ => {}
    }
    // C.J is `jal x0`, C.JAL does not exist on RV64; `op` starts with the sink.
    debug_assert!(o.rd <= SINK);
    o
}
