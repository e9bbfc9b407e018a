//! Writes x86-64 instructions. Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.

use crate::translate::Base;

/// A general or vector register, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reg(pub(super) u8);

pub(super) const RAX: Reg = Reg(0);
pub(super) const RCX: Reg = Reg(1);
pub(super) const RDX: Reg = Reg(2);
pub(super) const RBX: Reg = Reg(3);
pub(super) const RSP: Reg = Reg(4);
pub(super) const RBP: Reg = Reg(5);
pub(super) const RSI: Reg = Reg(6);
pub(super) const RDI: Reg = Reg(7);
pub(super) const R8: Reg = Reg(8);
pub(super) const R9: Reg = Reg(9);
pub(super) const R10: Reg = Reg(10);
pub(super) const R11: Reg = Reg(11);
pub(super) const R12: Reg = Reg(12);
pub(super) const R13: Reg = Reg(13);
pub(super) const R14: Reg = Reg(14);
pub(super) const R15: Reg = Reg(15);
pub(super) const XMM0: Reg = Reg(0);
pub(super) const XMM1: Reg = Reg(1);

/// A register or a place in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Register(Reg),
    /// `[base + displacement]`
    Memory(Reg, i32),
    /// `[base + index + displacement]`; the index is not `rsp`.
    Indexed(Reg, Reg, i32),
    /// A place in the code memory, by its offset there. Only for instructions without an immediate.
    Code(usize),
    /// One among the entries for links, by its offset from the first that is the trace's own. The same holds.
    Slot(usize),
}

impl Place {
    /// The numbers of its base (or itself) and its index.
    fn registers(self) -> (u8, u8) {
        match self {
            Self::Register(Reg(base)) | Self::Memory(Reg(base), _) => (base, 0),
            Self::Indexed(Reg(base), Reg(index), _) => (base, index),
            Self::Code(_) | Self::Slot(_) => (0, 0),
        }
    }
}

/// Two-operand arithmetic, by the number that encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts and rotations, by the number that encodes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shift {
    Rol = 0,
    Ror = 1,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// Conditions, by the number that encodes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Overflow = 0,
    NoOverflow = 1,
    Below = 2,
    AboveEqual = 3,
    Equal = 4,
    NotEqual = 5,
    BelowEqual = 6,
    Above = 7,
    Parity = 10,
    NoParity = 11,
    Less = 12,
    GreaterEqual = 13,
    LessEqual = 14,
    Greater = 15,
}

impl Condition {
    /// With the operands the other way round.
    pub(super) fn turned(self) -> Self {
        use Condition::*;
        match self {
            Below => Above,
            Above => Below,
            AboveEqual => BelowEqual,
            BelowEqual => AboveEqual,
            Less => Greater,
            Greater => Less,
            GreaterEqual => LessEqual,
            LessEqual => GreaterEqual,
            other => other,
        }
    }

    pub(super) fn opposite(self) -> Self {
        use Condition::*;
        match self {
            Below => AboveEqual,
            AboveEqual => Below,
            Equal => NotEqual,
            NotEqual => Equal,
            Above => BelowEqual,
            BelowEqual => Above,
            Parity => NoParity,
            NoParity => Parity,
            Overflow => NoOverflow,
            NoOverflow => Overflow,
            Less => GreaterEqual,
            GreaterEqual => Less,
            LessEqual => Greater,
            Greater => LessEqual,
        }
    }
}

/// A place in the code that jumps go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Operand width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    W32,
    W64,
}
pub(super) use Width::{W32, W64};

const UNBOUND: usize = usize::MAX;

/// The bytes of an instruction up to its immediate: there are fewer than so many.
#[derive(Default)]
struct Start {
    bytes: [u8; 16],
    length: u8,
}

impl Start {
    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.bytes[usize::from(self.length & 15)] = byte;
        self.length += 1;
    }

    #[inline(always)]
    fn displacement(&mut self, mode: u8, displacement: i32) {
        match mode {
            0 => {}
            1 => self.byte(displacement as u8),
            _ => {
                for byte in displacement.to_le_bytes() {
                    self.byte(byte);
                }
            }
        }
    }
}

/// How long a displacement is, as the encoding tells it.
fn mode(base: u8, displacement: i32) -> u8 {
    match displacement {
        0 if base & 7 != 5 => 0,
        -128..128 => 1,
        _ => 2,
    }
}

/// Code in the making, from one offset of the code memory on.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    pub(super) bytes: Vec<u8>,
    /// What is different at another offset.
    pub(super) relocations: Vec<(u32, Base)>,
    origin: usize,
    labels: Vec<usize>,
    /// Where a 32-bit distance to a label is missing.
    fixups: Vec<(usize, Label)>,
}

impl Assembler {
    /// Starts anew at an offset of the code memory.
    pub(super) fn restart(&mut self, origin: usize) {
        self.bytes.clear();
        self.relocations.clear();
        self.labels.clear();
        self.fixups.clear();
        self.origin = origin;
    }

    /// The offset of the next byte in the code memory.
    pub(super) fn offset(&self) -> usize {
        self.origin + self.bytes.len()
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(UNBOUND);
        Label(self.labels.len() - 1)
    }

    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = self.bytes.len();
    }

    /// Goes on at a multiple of so many bytes, a power of two up to 32.
    pub(super) fn align(&mut self, to: usize) {
        // `nop` with the longest operand, and with prefixes: as few instructions as can be, since they are run.
        const LONGEST: [u8; 11] = [0x66, 0x66, 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
        const SHORT: [&[u8]; 8] = [
            &[],
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0],
            &[0x0f, 0x1f, 0x40, 0],
            &[0x0f, 0x1f, 0x44, 0, 0],
            &[0x66, 0x0f, 0x1f, 0x44, 0, 0],
            &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
        ];
        let mut missing = self.offset().next_multiple_of(to) - self.offset();
        while missing > 0 {
            let nop = match missing {
                8.. => &LONGEST[11 - missing.min(11)..],
                _ => SHORT[missing],
            };
            self.bytes.extend_from_slice(nop);
            missing -= nop.len();
        }
    }

    /// Fills in the distances to labels.
    pub(super) fn finish(&mut self) {
        for (at, label) in self.fixups.drain(..) {
            let target = self.labels[label.0];
            debug_assert_ne!(target, UNBOUND);
            let distance = (target as i64 - (at as i64 + 4)) as i32;
            self.bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn immediate(&mut self, value: i32) {
        self.bytes.extend(value.to_le_bytes());
    }

    /// Prefix, REX, opcode, ModRM, SIB and displacement.
    fn encode(
        &mut self,
        prefix: Option<u8>,
        wide: bool,
        force_rex: bool,
        opcode: &[u8],
        reg: u8,
        place: Place,
    ) {
        let mut start = Start::default();
        if let Some(prefix) = prefix {
            start.byte(prefix);
        }
        let (base, index) = place.registers();
        let rex = 0x40 | u8::from(wide) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex != 0x40 || force_rex {
            start.byte(rex);
        }
        for byte in opcode {
            start.byte(*byte);
        }
        self.operands(start, reg, place);
    }

    /// What an instruction starts with, then ModRM, SIB and displacement.
    fn operands(&mut self, mut start: Start, reg: u8, place: Place) {
        let reg = (reg & 7) << 3;
        match place {
            Place::Register(Reg(rm)) => start.byte(0xc0 | reg | rm & 7),
            Place::Memory(Reg(base), displacement) => {
                let sib = base & 7 == 4;
                let mode = mode(base, displacement);
                start.byte(mode << 6 | reg | if sib { 4 } else { base & 7 });
                if sib {
                    start.byte(0x24);
                }
                start.displacement(mode, displacement);
            }
            Place::Indexed(Reg(base), Reg(index), displacement) => {
                debug_assert_ne!(index, 4);
                let mode = mode(base, displacement);
                start.byte(mode << 6 | reg | 4);
                start.byte((index & 7) << 3 | base & 7);
                start.displacement(mode, displacement);
            }
            Place::Code(_) | Place::Slot(_) => start.byte(reg | 5),
        }
        // All of the same length, so that this is one store.
        let end = self.bytes.len() + usize::from(start.length);
        self.bytes.extend_from_slice(&start.bytes);
        self.bytes.truncate(end);
        match place {
            Place::Code(target) => self.distance(target, Base::Fixed),
            Place::Slot(target) => self.distance(target, Base::Slots),
            _ => {}
        }
    }

    pub(super) fn alu(&mut self, op: Alu, width: Width, to: Reg, from: Place) {
        self.encode(
            None,
            width == W64,
            false,
            &[(op as u8) << 3 | 3],
            to.0,
            from,
        );
    }

    /// On the lowest 16 bits of a register; the others stay.
    pub(super) fn alu16(&mut self, op: Alu, to: Reg, from: Place) {
        self.encode(Some(0x66), false, false, &[(op as u8) << 3 | 3], to.0, from);
    }

    /// The destination in memory or a register, the source in a register.
    pub(super) fn alu_to(&mut self, op: Alu, width: Width, to: Place, from: Reg) {
        self.encode(
            None,
            width == W64,
            false,
            &[(op as u8) << 3 | 1],
            from.0,
            to,
        );
    }

    pub(super) fn alu_immediate(&mut self, op: Alu, width: Width, to: Place, value: i32) {
        if (-128..128).contains(&value) {
            self.encode(None, width == W64, false, &[0x83], op as u8, to);
            self.byte(value as u8);
        } else {
            self.encode(None, width == W64, false, &[0x81], op as u8, to);
            self.immediate(value);
        }
    }

    pub(super) fn compare_byte(&mut self, place: Place, value: u8) {
        self.encode(None, false, false, &[0x80], 7, place);
        self.byte(value);
    }

    pub(super) fn test(&mut self, width: Width, a: Reg, b: Reg) {
        self.encode(None, width == W64, false, &[0x85], a.0, Place::Register(b));
    }

    pub(super) fn load(&mut self, width: Width, to: Reg, from: Place) {
        self.encode(None, width == W64, false, &[0x8b], to.0, from);
    }

    pub(super) fn store(&mut self, width: Width, to: Place, from: Reg) {
        self.encode(None, width == W64, false, &[0x89], from.0, to);
    }

    pub(super) fn store16(&mut self, to: Place, from: Reg) {
        self.encode(Some(0x66), false, false, &[0x89], from.0, to);
    }

    pub(super) fn store8(&mut self, to: Place, from: Reg) {
        self.encode(None, false, from.0 >= 4, &[0x88], from.0, to);
    }

    /// `mov` of a register, left out if it is the same.
    pub(super) fn mov(&mut self, to: Reg, from: Place) {
        if Place::Register(to) != from {
            self.load(W64, to, from);
        }
    }

    /// Sign-extending loads and moves.
    pub(super) fn extend_signed(&mut self, bytes: u8, to: Reg, from: Place) {
        let byte_register = matches!(from, Place::Register(Reg(4..)));
        match bytes {
            1 => self.encode(None, true, byte_register, &[0x0f, 0xbe], to.0, from),
            2 => self.encode(None, true, false, &[0x0f, 0xbf], to.0, from),
            _ => self.encode(None, true, false, &[0x63], to.0, from),
        }
    }

    /// Zero-extending loads and moves.
    pub(super) fn extend_zero(&mut self, bytes: u8, to: Reg, from: Place) {
        let byte_register = matches!(from, Place::Register(Reg(4..)));
        match bytes {
            1 => self.encode(None, false, byte_register, &[0x0f, 0xb6], to.0, from),
            2 => self.encode(None, false, false, &[0x0f, 0xb7], to.0, from),
            _ => self.encode(None, false, false, &[0x8b], to.0, from),
        }
    }

    /// Any constant, in its shortest form.
    pub(super) fn constant(&mut self, to: Reg, value: u64) {
        if value == 0 {
            self.alu(Alu::Xor, W32, to, Place::Register(to));
        } else if u32::try_from(value).is_ok() {
            self.encode_short(0xb8, false, to);
            self.immediate(value as i32);
        } else if i64::from(value as i32) as u64 == value {
            self.encode(None, true, false, &[0xc7], 0, Place::Register(to));
            self.immediate(value as i32);
        } else {
            self.encode_short(0xb8, true, to);
            self.bytes.extend(value.to_le_bytes());
        }
    }

    /// A number that is counted from this base.
    pub(super) fn number(&mut self, to: Reg, value: u32, base: Base) {
        self.encode_short(0xb8, false, to);
        self.relocations.push((self.bytes.len() as u32, base));
        self.immediate(value.cast_signed());
    }

    pub(super) fn store_constant(&mut self, to: Place, value: i32) {
        self.encode(None, true, false, &[0xc7], 0, to);
        self.immediate(value);
    }

    /// Opcodes with the register in their low bits.
    fn encode_short(&mut self, opcode: u8, wide: bool, reg: Reg) {
        let rex = 0x40 | u8::from(wide) << 3 | reg.0 >> 3;
        if rex != 0x40 {
            self.byte(rex);
        }
        self.byte(opcode | reg.0 & 7);
    }

    pub(super) fn lea(&mut self, to: Reg, place: Place) {
        self.encode(None, true, false, &[0x8d], to.0, place);
    }

    /// `to = base + (index << shift)`
    pub(super) fn lea_scaled(&mut self, to: Reg, base: Reg, index: Reg, shift: u8) {
        self.lea(to, Place::Indexed(base, index, 0));
        // The byte with the scale is the last but for a displacement.
        let displacement = usize::from(base.0 & 7 == 5);
        let at = self.bytes.len() - 1 - displacement;
        self.bytes[at] |= shift << 6;
    }

    pub(super) fn shift_immediate(&mut self, op: Shift, width: Width, to: Place, count: u8) {
        self.encode(None, width == W64, false, &[0xc1], op as u8, to);
        self.byte(count);
    }

    /// Shift by `cl`.
    pub(super) fn shift_by_cl(&mut self, op: Shift, width: Width, to: Place) {
        self.encode(None, width == W64, false, &[0xd3], op as u8, to);
    }

    /// BMI2's `shlx`, `shrx`, `sarx`: three operands, flags untouched.
    pub(super) fn shift_by(&mut self, op: Shift, width: Width, to: Reg, from: Place, count: Reg) {
        let prefix = match op {
            Shift::Shl => 1,
            Shift::Shr => 3,
            _ => 2,
        };
        self.vex(2, prefix, width == W64, count, 0xf7, to, from);
    }

    /// BMI2's `rorx`: rotates a copy of 32 bits, flags untouched.
    pub(super) fn rotated(&mut self, to: Reg, from: Place, count: u8) {
        self.vex(3, 3, false, Reg(0), 0xf0, to, from);
        self.byte(count);
    }

    /// BMI1's `andn`: `to = !inverted & other`.
    pub(super) fn and_not(&mut self, to: Reg, inverted: Reg, other: Place) {
        self.vex(2, 0, true, inverted, 0xf2, to, other);
    }

    /// Three-byte VEX, 128 bits; `map` 1 is 0F, 2 is 0F38.
    #[allow(clippy::too_many_arguments, reason = "the fields of the encoding")]
    fn vex(
        &mut self,
        map: u8,
        prefix: u8,
        wide: bool,
        second: Reg,
        opcode: u8,
        reg: Reg,
        place: Place,
    ) {
        let (base, index) = place.registers();
        let mut start = Start::default();
        start.byte(0xc4);
        start.byte((!reg.0 >> 3 & 1) << 7 | (!index >> 3 & 1) << 6 | (!base >> 3 & 1) << 5 | map);
        start.byte(u8::from(wide) << 7 | (!second.0 & 15) << 3 | prefix);
        start.byte(opcode);
        self.operands(start, reg.0, place);
    }

    pub(super) fn multiply(&mut self, width: Width, to: Reg, by: Place) {
        self.encode(None, width == W64, false, &[0x0f, 0xaf], to.0, by);
    }

    pub(super) fn multiply_constant(&mut self, to: Reg, from: Place, by: i32) {
        self.encode(None, true, false, &[0x69], to.0, from);
        self.immediate(by);
    }

    /// `not` (2), `neg` (3), `mul` (4), `imul` (5), `div` (6), `idiv` (7) of one operand.
    pub(super) fn unary(&mut self, number: u8, width: Width, place: Place) {
        self.encode(None, width == W64, false, &[0xf7], number, place);
    }

    /// `cdq` or `cqo`.
    pub(super) fn extend_accumulator(&mut self, width: Width) {
        if width == W64 {
            self.byte(0x48);
        }
        self.byte(0x99);
    }

    /// `popcnt` (b8), `tzcnt` (bc), `lzcnt` (bd).
    pub(super) fn count_bits(&mut self, opcode: u8, width: Width, to: Reg, from: Place) {
        self.encode(Some(0xf3), width == W64, false, &[0x0f, opcode], to.0, from);
    }

    pub(super) fn byte_swap(&mut self, to: Reg) {
        let rex = 0x48 | to.0 >> 3;
        self.bytes.extend([rex, 0x0f, 0xc8 | to.0 & 7]);
    }

    /// `bt` (a3), `bts` (ab), `btr` (b3), `btc` (bb) on a register.
    pub(super) fn bit(&mut self, opcode: u8, to: Reg, number: Reg) {
        self.encode(
            None,
            true,
            false,
            &[0x0f, opcode],
            number.0,
            Place::Register(to),
        );
    }

    /// `bt` (4), `bts` (5), `btr` (6), `btc` (7) on a register, with a constant bit number.
    pub(super) fn bit_immediate(&mut self, op: u8, to: Reg, number: u8) {
        self.encode(None, true, false, &[0x0f, 0xba], op, Place::Register(to));
        self.byte(number);
    }

    pub(super) fn conditional_move(&mut self, condition: Condition, to: Reg, from: Place) {
        self.encode(
            None,
            true,
            false,
            &[0x0f, 0x40 | condition as u8],
            to.0,
            from,
        );
    }

    /// Sets the low byte only.
    pub(super) fn set(&mut self, condition: Condition, to: Reg) {
        self.encode(
            None,
            false,
            to.0 >= 4,
            &[0x0f, 0x90 | condition as u8],
            0,
            Place::Register(to),
        );
    }

    pub(super) fn jump_if(&mut self, condition: Condition, label: Label) {
        let bound = Some(self.labels[label.0]).filter(|place| *place != UNBOUND);
        let distance = bound.map(|place| place as i64 - (self.bytes.len() as i64 + 2));
        if let Some(distance) = distance.and_then(|distance| i8::try_from(distance).ok()) {
            return self
                .bytes
                .extend([0x70 | condition as u8, distance.cast_unsigned()]);
        }
        self.bytes.extend([0x0f, 0x80 | condition as u8]);
        self.fixups.push((self.bytes.len(), label));
        self.immediate(0);
    }

    /// Always of the same length, so that its distance can become another.
    pub(super) fn jump(&mut self, label: Label) {
        self.byte(0xe9);
        self.fixups.push((self.bytes.len(), label));
        self.immediate(0);
    }

    /// Jumps to an offset of the code memory.
    pub(super) fn jump_to(&mut self, target: usize) {
        self.byte(0xe9);
        self.distance(target, Base::Fixed);
    }

    pub(super) fn call_to(&mut self, target: usize) {
        self.byte(0xe8);
        self.distance(target, Base::Fixed);
    }

    fn distance(&mut self, target: usize, base: Base) {
        self.relocations.push((self.bytes.len() as u32, base));
        let next = self.offset() + 4;
        self.immediate((target as i64 - next as i64) as i32);
    }

    pub(super) fn jump_through(&mut self, place: Place) {
        self.encode(None, false, false, &[0xff], 4, place);
    }

    pub(super) fn call_through(&mut self, place: Place) {
        self.encode(None, false, false, &[0xff], 2, place);
    }

    pub(super) fn push(&mut self, reg: Reg) {
        self.encode_short(0x50, false, reg);
    }

    pub(super) fn pop(&mut self, reg: Reg) {
        self.encode_short(0x58, false, reg);
    }

    pub(super) fn ret(&mut self) {
        self.byte(0xc3);
    }

    /// Orders earlier writes before later reads, cheaper than `mfence`.
    pub(super) fn full_fence(&mut self) {
        self.byte(0xf0);
        self.alu_immediate(Alu::Or, W32, Place::Memory(RSP, -8), 0);
    }

    /// `lock xadd`.
    pub(super) fn locked_add(&mut self, width: Width, place: Place, reg: Reg) {
        self.byte(0xf0);
        self.encode(None, width == W64, false, &[0x0f, 0xc1], reg.0, place);
    }

    /// `xchg` with memory, which is always locked.
    pub(super) fn exchange(&mut self, width: Width, place: Place, reg: Reg) {
        self.encode(None, width == W64, false, &[0x87], reg.0, place);
    }

    /// `lock cmpxchg`: stores `reg` if memory holds what `rax` holds, else loads that into `rax`.
    pub(super) fn compare_exchange(&mut self, width: Width, place: Place, reg: Reg) {
        self.byte(0xf0);
        self.encode(None, width == W64, false, &[0x0f, 0xb1], reg.0, place);
    }

    /// Scalar SSE operations: prefix f2 for doubles, f3 for singles.
    pub(super) fn scalar(&mut self, double: bool, opcode: u8, to: Reg, from: Place) {
        let prefix = if double { 0xf2 } else { 0xf3 };
        self.encode(Some(prefix), false, false, &[0x0f, opcode], to.0, from);
    }

    /// `movq` of a general register into a vector register.
    pub(super) fn scalar_from_general(&mut self, to: Reg, from: Reg) {
        self.encode(
            Some(0x66),
            true,
            false,
            &[0x0f, 0x6e],
            to.0,
            Place::Register(from),
        );
    }

    /// `movd` of a general register's low half into a vector register.
    pub(super) fn vector_from_general(&mut self, to: Reg, from: Reg) {
        self.encode(
            Some(0x66),
            false,
            false,
            &[0x0f, 0x6e],
            to.0,
            Place::Register(from),
        );
    }

    /// `movaps` between vector registers.
    pub(super) fn vector_move(&mut self, to: Reg, from: Reg) {
        self.encode(
            None,
            false,
            false,
            &[0x0f, 0x28],
            to.0,
            Place::Register(from),
        );
    }

    /// `movq` of a vector register into a general register.
    pub(super) fn general_from_scalar(&mut self, to: Reg, from: Reg) {
        self.encode(
            Some(0x66),
            true,
            false,
            &[0x0f, 0x7e],
            from.0,
            Place::Register(to),
        );
    }

    /// `pxor` (ef), `pcmpeqb` (74).
    pub(super) fn vector(&mut self, opcode: u8, to: Reg, from: Reg) {
        self.encode(
            Some(0x66),
            false,
            false,
            &[0x0f, opcode],
            to.0,
            Place::Register(from),
        );
    }

    /// The same between a vector and a 64-bit general register.
    pub(super) fn scalar_wide(&mut self, double: bool, opcode: u8, to: Reg, from: Place) {
        let prefix = if double { 0xf2 } else { 0xf3 };
        self.encode(Some(prefix), true, false, &[0x0f, opcode], to.0, from);
    }

    /// `ucomis*` (2e) and `comis*` (2f).
    pub(super) fn scalar_compare(&mut self, double: bool, opcode: u8, a: Reg, b: Place) {
        self.encode(
            double.then_some(0x66),
            false,
            false,
            &[0x0f, opcode],
            a.0,
            b,
        );
    }

    /// FMA3's `231` forms: `to = ±(a * b) ± to`.
    pub(super) fn fused(&mut self, double: bool, opcode: u8, to: Reg, a: Reg, b: Place) {
        self.vex(2, 1, double, a, opcode, to, b);
    }

    /// `ldmxcsr` (2), `stmxcsr` (3).
    pub(super) fn float_control(&mut self, number: u8, place: Place) {
        self.encode(None, false, false, &[0x0f, 0xae], number, place);
    }
}

#[cfg(test)]
mod tests;
