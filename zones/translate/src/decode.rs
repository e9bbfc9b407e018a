//! From instruction bits to [`Op`]s. Pure; every reserved encoding is [`Kind::Illegal`].

use crate::op::{Kind, Op, SINK};

mod compressed;
#[cfg(test)]
mod tests;

/// Bytes of the instruction that starts with this half-word: 2 or 4. (Longer formats are reserved and decode as illegal
/// four-byte instructions.)
#[inline]
pub fn length(first: u16) -> u8 {
    if first & 3 == 3 { 4 } else { 2 }
}

/// Decodes one instruction; `raw` holds a compressed one in its low half (the high half is ignored).
pub fn decode(raw: u32) -> Op {
    if raw & 3 == 3 {
        decode_full(raw)
    } else {
        compressed::decode(raw & 0xffff)
    }
}

/// Bits `high..=low`.
#[inline]
fn bits(raw: u32, high: u32, low: u32) -> u32 {
    (raw >> low) & ((1 << (high - low + 1)) - 1)
}

/// Bits `high..=low` as a small number, which a register or function field is.
#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "fields of at most eight bits"
)]
fn field(raw: u32, high: u32, low: u32) -> u8 {
    bits(raw, high, low) as u8
}

/// Sign-extends the low `width` bits.
#[inline]
fn sign_extend(value: u32, width: u32) -> i32 {
    (value << (32 - width)).cast_signed() >> (32 - width)
}

/// An integer destination.
#[inline]
fn destination(rd: u8) -> u8 {
    if rd == 0 { SINK } else { rd }
}

fn op(kind: Kind, raw: u32, length: u8) -> Op {
    Op {
        kind,
        length,
        offset: 0,
        rd: SINK,
        rs1: 0,
        rs2: 0,
        rm: 0,
        imm: 0,
        raw,
    }
}

/// `addi` in its cheapest form.
fn add_immediate(mut op: Op) -> Op {
    op.kind = match (op.rd, op.rs1, op.imm) {
        (SINK, ..) => Kind::Nop,
        (_, 0, _) => Kind::Li,
        (_, _, 0) => Kind::Mv,
        _ => Kind::Addi,
    };
    op
}

#[allow(clippy::too_many_lines, reason = "one table")]
fn decode_full(raw: u32) -> Op {
    use Kind::*;
    let rd = field(raw, 11, 7);
    let funct3 = bits(raw, 14, 12);
    let funct7 = bits(raw, 31, 25);
    let rs2 = field(raw, 24, 20);
    let imm_i = sign_extend(bits(raw, 31, 20), 12);
    let mut o = Op {
        kind: Illegal,
        length: 4,
        offset: 0,
        rd: destination(rd),
        rs1: field(raw, 19, 15),
        rs2,
        rm: field(raw, 14, 12),
        imm: imm_i,
        raw,
    };
    match raw & 0x7f {
        0x37 => {
            o.kind = if o.rd == SINK { Nop } else { Lui };
            o.imm = (raw & 0xffff_f000).cast_signed();
        }
        0x17 => {
            o.kind = if o.rd == SINK { Nop } else { Auipc };
            o.imm = (raw & 0xffff_f000).cast_signed();
        }
        0x6f => {
            o.kind = Jal;
            o.imm = sign_extend(
                bits(raw, 31, 31) << 20
                    | bits(raw, 19, 12) << 12
                    | bits(raw, 20, 20) << 11
                    | bits(raw, 30, 21) << 1,
                21,
            );
        }
        0x67 if funct3 == 0 => o.kind = Jalr,
        0x63 => {
            o.kind = [Beq, Bne, Illegal, Illegal, Blt, Bge, Bltu, Bgeu][funct3 as usize];
            o.imm = sign_extend(
                bits(raw, 31, 31) << 12
                    | bits(raw, 7, 7) << 11
                    | bits(raw, 30, 25) << 5
                    | bits(raw, 11, 8) << 1,
                13,
            );
        }
        0x03 => o.kind = [Lb, Lh, Lw, Ld, Lbu, Lhu, Lwu, Illegal][funct3 as usize],
        0x23 => {
            o.kind = [Sb, Sh, Sw, Sd, Illegal, Illegal, Illegal, Illegal][funct3 as usize];
            o.imm = store_immediate(raw);
        }
        0x13 => return immediate(o, funct3),
        0x1b => immediate_word(&mut o, funct3),
        0x33 => o.kind = register(funct7, funct3),
        0x3b => o.kind = register_word(funct7, funct3, rs2),
        0x0f => miscellaneous_memory(&mut o, funct3, rd),
        0x2f => o.kind = atomic(funct3, bits(raw, 31, 27), rs2),
        0x73 => system(&mut o, funct3, rd),
        0x07 => {
            o.rd = rd;
            o.kind = [
                Illegal, Illegal, Flw, Fld, Illegal, Illegal, Illegal, Illegal,
            ][funct3 as usize];
        }
        0x27 => {
            o.kind = [
                Illegal, Illegal, Fsw, Fsd, Illegal, Illegal, Illegal, Illegal,
            ][funct3 as usize];
            o.imm = store_immediate(raw);
        }
        0x43 | 0x47 | 0x4b | 0x4f => {
            let row = ((raw & 0x7f) - 0x43) as usize / 4;
            o.rd = rd;
            o.imm = bits(raw, 31, 27).cast_signed();
            if valid_rounding(o.rm) {
                o.kind = match bits(raw, 26, 25) {
                    0 => [FmaddS, FmsubS, FnmsubS, FnmaddS][row],
                    1 => [FmaddD, FmsubD, FnmsubD, FnmaddD][row],
                    _ => Illegal,
                };
            }
        }
        0x53 => floating(&mut o, funct7, rd),
        _ => {}
    }
    o
}

fn store_immediate(raw: u32) -> i32 {
    sign_extend(bits(raw, 31, 25) << 5 | bits(raw, 11, 7), 12)
}

/// Static modes 0 to 4, or dynamic.
fn valid_rounding(rm: u8) -> bool {
    rm <= 4 || rm == 7
}

fn immediate(mut o: Op, funct3: u32) -> Op {
    use Kind::*;
    let shift = (o.imm & 0x3f).cast_unsigned();
    let top = bits(o.raw, 31, 26);
    o.kind = match funct3 {
        0 => return add_immediate(o),
        2 => Slti,
        3 => Sltiu,
        4 => Xori,
        6 => Ori,
        7 => Andi,
        1 => match (top, shift) {
            (0x00, _) => Slli,
            (0x12, _) => Bclri,
            (0x1a, _) => Binvi,
            (0x0a, _) => Bseti,
            (0x18, 0) => Clz,
            (0x18, 1) => Ctz,
            (0x18, 2) => Cpop,
            (0x18, 4) => SextB,
            (0x18, 5) => SextH,
            _ => Illegal,
        },
        _ => match (top, shift) {
            (0x00, _) => Srli,
            (0x10, _) => Srai,
            (0x12, _) => Bexti,
            (0x18, _) => Rori,
            (0x0a, 0x07) => OrcB,
            (0x1a, 0x38) => Rev8,
            _ => Illegal,
        },
    };
    if matches!(funct3, 1 | 5) {
        o.imm = shift.cast_signed();
    }
    o
}

fn immediate_word(o: &mut Op, funct3: u32) {
    use Kind::*;
    let shift = (o.imm & 0x3f).cast_unsigned();
    let (top, short) = (bits(o.raw, 31, 25), shift < 32);
    o.kind = match funct3 {
        0 => {
            o.kind = Addiw;
            return;
        }
        1 => match (top, shift) {
            (0x00, _) if short => Slliw,
            (0x04 | 0x05, _) => SlliUw,
            (0x30, 0) => Clzw,
            (0x30, 1) => Ctzw,
            (0x30, 2) => Cpopw,
            _ => Illegal,
        },
        5 => match top {
            0x00 if short => Srliw,
            0x20 if short => Sraiw,
            0x30 if short => Roriw,
            _ => Illegal,
        },
        _ => Illegal,
    };
    o.imm = shift.cast_signed();
}

fn register(funct7: u32, funct3: u32) -> Kind {
    use Kind::*;
    match (funct7, funct3) {
        (0x00, _) => [Add, Sll, Slt, Sltu, Xor, Srl, Or, And][funct3 as usize],
        (0x01, _) => [Mul, Mulh, Mulhsu, Mulhu, Div, Divu, Rem, Remu][funct3 as usize],
        (0x20, 0) => Sub,
        (0x20, 5) => Sra,
        (0x20, 7) => Andn,
        (0x20, 6) => Orn,
        (0x20, 4) => Xnor,
        (0x10, 2) => Sh1add,
        (0x10, 4) => Sh2add,
        (0x10, 6) => Sh3add,
        (0x05, 4) => Min,
        (0x05, 5) => Minu,
        (0x05, 6) => Max,
        (0x05, 7) => Maxu,
        (0x30, 1) => Rol,
        (0x30, 5) => Ror,
        (0x24, 1) => Bclr,
        (0x24, 5) => Bext,
        (0x34, 1) => Binv,
        (0x14, 1) => Bset,
        (0x07, 5) => CzeroEqz,
        (0x07, 7) => CzeroNez,
        _ => Illegal,
    }
}

fn register_word(funct7: u32, funct3: u32, rs2: u8) -> Kind {
    use Kind::*;
    match (funct7, funct3) {
        (0x00, 0) => Addw,
        (0x00, 1) => Sllw,
        (0x00, 5) => Srlw,
        (0x20, 0) => Subw,
        (0x20, 5) => Sraw,
        (0x01, 0) => Mulw,
        (0x01, 4) => Divw,
        (0x01, 5) => Divuw,
        (0x01, 6) => Remw,
        (0x01, 7) => Remuw,
        (0x04, 0) => AddUw,
        (0x04, 4) if rs2 == 0 => ZextH,
        (0x10, 2) => Sh1addUw,
        (0x10, 4) => Sh2addUw,
        (0x10, 6) => Sh3addUw,
        (0x30, 1) => Rolw,
        (0x30, 5) => Rorw,
        _ => Illegal,
    }
}

fn miscellaneous_memory(o: &mut Op, funct3: u32, rd: u8) {
    o.kind = match funct3 {
        // Zihintpause: a fence that orders nothing.
        0 if o.raw == 0x0100_000f => Kind::Pause,
        0 => Kind::Fence,
        1 => Kind::FenceI,
        // cbo.zero; the other block operations are not offered.
        2 if rd == 0 && bits(o.raw, 31, 20) == 4 => Kind::CboZero,
        _ => Kind::Illegal,
    };
}

fn atomic(funct3: u32, funct5: u32, rs2: u8) -> Kind {
    use Kind::*;
    let pair = match funct5 {
        0x02 if rs2 == 0 => [LrW, LrD],
        0x03 => [ScW, ScD],
        0x01 => [AmoswapW, AmoswapD],
        0x00 => [AmoaddW, AmoaddD],
        0x04 => [AmoxorW, AmoxorD],
        0x0c => [AmoandW, AmoandD],
        0x08 => [AmoorW, AmoorD],
        0x10 => [AmominW, AmominD],
        0x14 => [AmomaxW, AmomaxD],
        0x18 => [AmominuW, AmominuD],
        0x1c => [AmomaxuW, AmomaxuD],
        _ => return Illegal,
    };
    match funct3 {
        2 => pair[0],
        3 => pair[1],
        _ => Illegal,
    }
}

fn system(o: &mut Op, funct3: u32, rd: u8) {
    use Kind::*;
    o.kind = match funct3 {
        0 => match (o.raw >> 20, o.rs1, rd) {
            (0x000, 0, 0) => Ecall,
            (0x001, 0, 0) => Ebreak,
            (0x102, 0, 0) => Sret,
            (0x105, 0, 0) => Wfi,
            (upper, _, 0) if upper >> 5 == 0x09 => SfenceVma,
            _ => Illegal,
        },
        1 => Csrrw,
        2 => Csrrs,
        3 => Csrrc,
        5 => Csrrwi,
        6 => Csrrsi,
        7 => Csrrci,
        _ => Illegal,
    };
    o.imm = bits(o.raw, 31, 20).cast_signed();
}

fn floating(o: &mut Op, funct7: u32, rd: u8) {
    use Kind::*;
    let double = match funct7 & 3 {
        0 => false,
        1 => true,
        _ => return,
    };
    let pick = |single, double_kind| if double { double_kind } else { single };
    let rounded = |kind| if valid_rounding(o.rm) { kind } else { Illegal };
    let rs2 = o.rs2;
    let (kind, to_integer) = match (funct7 >> 2, o.rm, rs2) {
        (0x00, ..) => (rounded(pick(FaddS, FaddD)), false),
        (0x01, ..) => (rounded(pick(FsubS, FsubD)), false),
        (0x02, ..) => (rounded(pick(FmulS, FmulD)), false),
        (0x03, ..) => (rounded(pick(FdivS, FdivD)), false),
        (0x0b, _, 0) => (rounded(pick(FsqrtS, FsqrtD)), false),
        (0x04, 0, _) => (pick(FsgnjS, FsgnjD), false),
        (0x04, 1, _) => (pick(FsgnjnS, FsgnjnD), false),
        (0x04, 2, _) => (pick(FsgnjxS, FsgnjxD), false),
        (0x05, 0, _) => (pick(FminS, FminD), false),
        (0x05, 1, _) => (pick(FmaxS, FmaxD), false),
        (0x05, 2, _) => (pick(FminmS, FminmD), false),
        (0x05, 3, _) => (pick(FmaxmS, FmaxmD), false),
        (0x08, _, 4) => (rounded(pick(FroundS, FroundD)), false),
        (0x08, _, 5) => (rounded(pick(FroundnxS, FroundnxD)), false),
        (0x08, _, 1) if !double => (rounded(FcvtSD), false),
        (0x08, _, 0) if double => (rounded(FcvtDS), false),
        (0x14, 2, _) => (pick(FeqS, FeqD), true),
        (0x14, 1, _) => (pick(FltS, FltD), true),
        (0x14, 0, _) => (pick(FleS, FleD), true),
        (0x14, 4, _) => (pick(FleqS, FleqD), true),
        (0x14, 5, _) => (pick(FltqS, FltqD), true),
        (0x18, 1, 8) if double => (FcvtmodWD, true),
        (0x18, _, 0) => (rounded(pick(FcvtWS, FcvtWD)), true),
        (0x18, _, 1) => (rounded(pick(FcvtWuS, FcvtWuD)), true),
        (0x18, _, 2) => (rounded(pick(FcvtLS, FcvtLD)), true),
        (0x18, _, 3) => (rounded(pick(FcvtLuS, FcvtLuD)), true),
        (0x1a, _, 0) => (rounded(pick(FcvtSW, FcvtDW)), false),
        (0x1a, _, 1) => (rounded(pick(FcvtSWu, FcvtDWu)), false),
        (0x1a, _, 2) => (rounded(pick(FcvtSL, FcvtDL)), false),
        (0x1a, _, 3) => (rounded(pick(FcvtSLu, FcvtDLu)), false),
        (0x1c, 0, 0) => (pick(FmvXW, FmvXD), true),
        (0x1c, 1, 0) => (pick(FclassS, FclassD), true),
        (0x1e, 0, 1) => (pick(FliS, FliD), false),
        (0x1e, 0, 0) => (pick(FmvWX, FmvDX), false),
        _ => (Illegal, false),
    };
    o.kind = kind;
    o.rd = if to_integer { destination(rd) } else { rd };
}
