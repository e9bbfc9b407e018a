//! Integer instructions that need nothing but registers.

use super::*;

/// `lzcnt`, `tzcnt`, `popcnt`: the byte that encodes them.
const LEADING: u8 = 0xbd;
const TRAILING: u8 = 0xbc;
const ONES: u8 = 0xb8;

/// Whether [`X64::arithmetic`] does it, whatever its operands.
pub(super) fn is_arithmetic(kind: Kind) -> bool {
    use Kind::*;
    let within = |first: Kind, last: Kind| (first as u8..=last as u8).contains(&(kind as u8));
    matches!(kind, Nop | Mv | Li | Lui | Auipc)
        || within(Addi, Sraw)
        || within(Mul, Remuw)
        || within(AddUw, CzeroNez)
}

impl X64 {
    /// Writes the code of an integer instruction; false if the interpreter has to do it.
    #[allow(clippy::too_many_lines, reason = "one table over the instructions")]
    pub(super) fn arithmetic(&mut self, step: &Step) -> bool {
        use Kind::*;
        let op = &step.op;
        let shamt = (op.imm & 63) as u8;
        match op.kind {
            Mv => match self.pinned(op.rd) {
                Some(to) => self.assembler.mov(to, self.place(op.rs1)),
                None => {
                    let from = self.value(op.rs1, RAX);
                    self.put(op.rd, from);
                }
            },
            Li | Lui => self.put_constant(op.rd, i64::from(op.imm).cast_unsigned()),
            Auipc => self.put_constant(op.rd, step.target()),
            Addi => self.add_immediate(op),
            Xori => self.immediate(Alu::Xor, op),
            Ori => self.immediate(Alu::Or, op),
            Andi => self.immediate(Alu::And, op),
            Slti | Sltiu => {
                let first = self.value(op.rs1, RAX);
                self.assembler
                    .alu_immediate(Alu::Cmp, W64, Place::Register(first), op.imm);
                self.put_condition(
                    op.rd,
                    if op.kind == Slti {
                        Condition::Less
                    } else {
                        Condition::Below
                    },
                );
            }
            Slt | Sltu => {
                self.compare_places(op.rs1, op.rs2);
                self.put_condition(
                    op.rd,
                    if op.kind == Slt {
                        Condition::Less
                    } else {
                        Condition::Below
                    },
                );
            }
            Slli => self.shift_constant(Shift::Shl, W64, op, shamt),
            Srli => self.shift_constant(Shift::Shr, W64, op, shamt),
            Srai => self.shift_constant(Shift::Sar, W64, op, shamt),
            Rori => self.shift_constant(Shift::Ror, W64, op, shamt),
            Slliw => self.shift_constant(Shift::Shl, W32, op, shamt & 31),
            Srliw => self.shift_constant(Shift::Shr, W32, op, shamt & 31),
            Sraiw => self.shift_constant(Shift::Sar, W32, op, shamt & 31),
            Roriw => self.shift_constant(Shift::Ror, W32, op, shamt & 31),
            Add => self.binary(Alu::Add, true, op),
            Sub => self.binary(Alu::Sub, false, op),
            Xor => self.binary(Alu::Xor, true, op),
            Or => self.binary(Alu::Or, true, op),
            And => self.binary(Alu::And, true, op),
            Sll => self.shift_variable(Shift::Shl, W64, op),
            Srl => self.shift_variable(Shift::Shr, W64, op),
            Sra => self.shift_variable(Shift::Sar, W64, op),
            Sllw => self.shift_variable(Shift::Shl, W32, op),
            Srlw => self.shift_variable(Shift::Shr, W32, op),
            Sraw => self.shift_variable(Shift::Sar, W32, op),
            Addiw => {
                let to = self.result(op.rd);
                match self.pinned(op.rs1) {
                    Some(host) if op.imm == 0 => self.put_word(op.rd, host),
                    Some(host) if host == to => {
                        self.assembler
                            .alu_immediate(Alu::Add, W32, Place::Register(to), op.imm);
                        self.put_word(op.rd, to);
                    }
                    Some(host) => {
                        self.assembler.lea(to, Place::Memory(host, op.imm));
                        self.put_word(op.rd, to);
                    }
                    None => {
                        self.assembler.load(W32, to, self.place(op.rs1));
                        if op.imm != 0 {
                            self.assembler.alu_immediate(
                                Alu::Add,
                                W32,
                                Place::Register(to),
                                op.imm,
                            );
                        }
                        self.put_word(op.rd, to);
                    }
                }
            }
            Addw => self.word(op, true, |a, to, from| a.alu(Alu::Add, W32, to, from)),
            Subw => self.word(op, false, |a, to, from| a.alu(Alu::Sub, W32, to, from)),
            Mulw => self.word(op, true, |a, to, from| a.multiply(W32, to, from)),
            Mul => {
                let second = self.place(op.rs2);
                let to = self
                    .pinned(op.rd)
                    .filter(|_| op.rd == op.rs1)
                    .unwrap_or(RAX);
                if to == RAX {
                    let first = self.place(op.rs1);
                    self.assembler.load(W64, RAX, first);
                }
                self.assembler.multiply(W64, to, second);
                self.put(op.rd, to);
            }
            Mulh | Mulhu => {
                self.assembler.load(W64, RAX, self.place(op.rs1));
                self.assembler
                    .unary(if op.kind == Mulh { 5 } else { 4 }, W64, self.place(op.rs2));
                self.put(op.rd, RDX);
            }
            Mulhsu => {
                self.assembler.load(W64, RAX, self.place(op.rs1));
                self.assembler.load(W64, RCX, Place::Register(RAX));
                self.assembler.unary(4, W64, self.place(op.rs2));
                self.assembler
                    .shift_immediate(Shift::Sar, W64, Place::Register(RCX), 63);
                self.assembler.alu(Alu::And, W64, RCX, self.place(op.rs2));
                self.assembler.alu(Alu::Sub, W64, RDX, Place::Register(RCX));
                self.put(op.rd, RDX);
            }
            Div => self.divide(op, W64, true, false),
            Divu => self.divide(op, W64, false, false),
            Rem => self.divide(op, W64, true, true),
            Remu => self.divide(op, W64, false, true),
            Divw => self.divide(op, W32, true, false),
            Divuw => self.divide(op, W32, false, false),
            Remw => self.divide(op, W32, true, true),
            Remuw => self.divide(op, W32, false, true),
            AddUw => self.shifted_sum(op, W32, 0),
            Sh1add => self.shifted_sum(op, W64, 1),
            Sh2add => self.shifted_sum(op, W64, 2),
            Sh3add => self.shifted_sum(op, W64, 3),
            Sh1addUw => self.shifted_sum(op, W32, 1),
            Sh2addUw => self.shifted_sum(op, W32, 2),
            Sh3addUw => self.shifted_sum(op, W32, 3),
            SlliUw => {
                self.assembler.load(W32, RAX, self.place(op.rs1));
                self.assembler
                    .shift_immediate(Shift::Shl, W64, Place::Register(RAX), shamt);
                self.put(op.rd, RAX);
            }
            Andn => {
                let inverted = self.value(op.rs2, RCX);
                let to = self.result(op.rd);
                self.assembler.and_not(to, inverted, self.place(op.rs1));
                self.put(op.rd, to);
            }
            Orn | Xnor => {
                self.assembler.load(W64, RAX, self.place(op.rs2));
                self.assembler.unary(2, W64, Place::Register(RAX));
                let alu = if op.kind == Orn { Alu::Or } else { Alu::Xor };
                self.assembler.alu(alu, W64, RAX, self.place(op.rs1));
                self.put(op.rd, RAX);
            }
            Clz => self.count(LEADING, W64, op),
            Ctz => self.count(TRAILING, W64, op),
            Cpop => self.count(ONES, W64, op),
            Clzw => self.count(LEADING, W32, op),
            Ctzw => self.count(TRAILING, W32, op),
            Cpopw => self.count(ONES, W32, op),
            Max => self.choose(Condition::Less, op),
            Maxu => self.choose(Condition::Below, op),
            Min => self.choose(Condition::Greater, op),
            Minu => self.choose(Condition::Above, op),
            SextB | SextH => {
                let to = self.result(op.rd);
                self.assembler.extend_signed(
                    if op.kind == SextB { 1 } else { 2 },
                    to,
                    self.place(op.rs1),
                );
                self.put(op.rd, to);
            }
            ZextH => {
                let to = self.result(op.rd);
                self.assembler.extend_zero(2, to, self.place(op.rs1));
                self.put(op.rd, to);
            }
            Rol => self.rotate(Shift::Rol, W64, op),
            Ror => self.rotate(Shift::Ror, W64, op),
            Rolw => self.rotate(Shift::Rol, W32, op),
            Rorw => self.rotate(Shift::Ror, W32, op),
            OrcB => {
                // All ones where a byte equals zero, inverted.
                let from = self.value(op.rs1, RAX);
                self.assembler.scalar_from_general(XMM0, from);
                self.assembler.vector(0xef, XMM1, XMM1);
                self.assembler.vector(0x74, XMM0, XMM1);
                self.assembler.general_from_scalar(RAX, XMM0);
                self.assembler.unary(2, W64, Place::Register(RAX));
                self.put(op.rd, RAX);
            }
            Rev8 => {
                self.assembler.load(W64, RAX, self.place(op.rs1));
                self.assembler.byte_swap(RAX);
                self.put(op.rd, RAX);
            }
            Bset => self.bit(0xab, op),
            Bclr => self.bit(0xb3, op),
            Binv => self.bit(0xbb, op),
            Bseti => self.bit_constant(5, op, shamt),
            Bclri => self.bit_constant(6, op, shamt),
            Binvi => self.bit_constant(7, op, shamt),
            Bext => {
                let count = self.value(op.rs2, RCX);
                self.assembler
                    .shift_by(Shift::Shr, W64, RAX, self.place(op.rs1), count);
                self.assembler
                    .alu_immediate(Alu::And, W32, Place::Register(RAX), 1);
                self.put(op.rd, RAX);
            }
            Bexti => {
                self.assembler.load(W64, RAX, self.place(op.rs1));
                self.assembler
                    .shift_immediate(Shift::Shr, W64, Place::Register(RAX), shamt);
                self.assembler
                    .alu_immediate(Alu::And, W32, Place::Register(RAX), 1);
                self.put(op.rd, RAX);
            }
            CzeroEqz | CzeroNez => {
                self.assembler.load(W64, RCX, self.place(op.rs2));
                self.assembler.load(W64, RAX, self.place(op.rs1));
                self.assembler.constant(RDX, 0);
                self.assembler.test(W64, RCX, RCX);
                let zero = if op.kind == CzeroEqz {
                    Condition::Equal
                } else {
                    Condition::NotEqual
                };
                self.assembler
                    .conditional_move(zero, RAX, Place::Register(RDX));
                self.put(op.rd, RAX);
            }
            _ => return false,
        }
        true
    }

    /// A 32-bit operation of two registers.
    fn word(&mut self, op: &Op, commutes: bool, operation: impl Fn(&mut Assembler, Reg, Place)) {
        let (first, second) = if commutes && op.rd == op.rs2 {
            (op.rs2, op.rs1)
        } else {
            (op.rs1, op.rs2)
        };
        let to = self.result(op.rd);
        // The destination must not be overwritten before it is read.
        let to = if second == op.rd && first != op.rd {
            RAX
        } else {
            to
        };
        let (first, second) = (self.place(first), self.place(second));
        if first != Place::Register(to) {
            self.assembler.load(W32, to, first);
        }
        operation(&mut self.assembler, to, second);
        self.put_word(op.rd, to);
    }

    /// The sign-extended lower half of `rax`, at once.
    fn put_extended(&mut self, rd: u8) {
        let to = self.result(rd);
        self.assembler.extend_signed(4, to, Place::Register(RAX));
        self.put(rd, to);
    }

    fn put_condition(&mut self, rd: u8, condition: Condition) {
        self.assembler.set(condition, RAX);
        let to = self.result(rd);
        self.assembler.extend_zero(1, to, Place::Register(RAX));
        self.put(rd, to);
    }

    fn compare_places(&mut self, first: u8, second: u8) {
        let first = self.value(first, RAX);
        self.assembler.alu(Alu::Cmp, W64, first, self.place(second));
    }

    fn add_immediate(&mut self, op: &Op) {
        match (self.pinned(op.rd), self.pinned(op.rs1)) {
            (_, _) if op.rd == op.rs1 => {
                self.assembler
                    .alu_immediate(Alu::Add, W64, self.place(op.rd), op.imm);
            }
            (Some(to), Some(from)) => self.assembler.lea(to, Place::Memory(from, op.imm)),
            (None, Some(from)) => {
                self.assembler.lea(RAX, Place::Memory(from, op.imm));
                self.put(op.rd, RAX);
            }
            (_, None) => {
                let to = self.result(op.rd);
                self.assembler.load(W64, to, self.place(op.rs1));
                self.assembler
                    .alu_immediate(Alu::Add, W64, Place::Register(to), op.imm);
                self.put(op.rd, to);
            }
        }
    }

    fn immediate(&mut self, alu: Alu, op: &Op) {
        if op.rd == op.rs1 {
            self.assembler
                .alu_immediate(alu, W64, self.place(op.rd), op.imm);
            return;
        }
        let to = self.result(op.rd);
        self.assembler.mov(to, self.place(op.rs1));
        self.assembler
            .alu_immediate(alu, W64, Place::Register(to), op.imm);
        self.put(op.rd, to);
    }

    fn binary(&mut self, alu: Alu, commutes: bool, op: &Op) {
        match self.pinned(op.rd) {
            Some(to) if op.rd == op.rs1 => self.assembler.alu(alu, W64, to, self.place(op.rs2)),
            Some(to) if op.rd == op.rs2 && commutes => {
                self.assembler.alu(alu, W64, to, self.place(op.rs1));
            }
            Some(to) if op.rd != op.rs2 => {
                if let (Alu::Add, Some(first), Some(second)) =
                    (alu, self.pinned(op.rs1), self.pinned(op.rs2))
                {
                    self.assembler.lea(to, Place::Indexed(first, second, 0));
                } else {
                    self.assembler.mov(to, self.place(op.rs1));
                    self.assembler.alu(alu, W64, to, self.place(op.rs2));
                }
            }
            None if op.rd == op.rs1 => {
                let second = self.value(op.rs2, RAX);
                self.assembler.alu_to(alu, W64, self.place(op.rd), second);
            }
            _ => {
                self.assembler.load(W64, RAX, self.place(op.rs1));
                self.assembler.alu(alu, W64, RAX, self.place(op.rs2));
                self.put(op.rd, RAX);
            }
        }
    }

    fn shift_constant(&mut self, shift: Shift, width: Width, op: &Op, count: u8) {
        if width == W32 {
            let (to, from) = (self.result(op.rd), self.place(op.rs1));
            if from != Place::Register(to) {
                self.assembler.load(W32, to, from);
            }
            if count != 0 {
                self.assembler
                    .shift_immediate(shift, W32, Place::Register(to), count);
            }
            self.put_word(op.rd, to);
        } else if op.rd == op.rs1 {
            self.assembler
                .shift_immediate(shift, W64, self.place(op.rd), count);
        } else {
            let to = self.result(op.rd);
            self.assembler.mov(to, self.place(op.rs1));
            self.assembler
                .shift_immediate(shift, W64, Place::Register(to), count);
            self.put(op.rd, to);
        }
    }

    fn shift_variable(&mut self, shift: Shift, width: Width, op: &Op) {
        let count = self.value(op.rs2, RCX);
        if width == W32 {
            let to = self.result(op.rd);
            self.assembler
                .shift_by(shift, W32, to, self.place(op.rs1), count);
            self.put_word(op.rd, to);
        } else {
            let to = self.result(op.rd);
            self.assembler
                .shift_by(shift, W64, to, self.place(op.rs1), count);
            self.put(op.rd, to);
        }
    }

    fn rotate(&mut self, shift: Shift, width: Width, op: &Op) {
        self.assembler.load(W64, RCX, self.place(op.rs2));
        self.assembler.load(W64, RAX, self.place(op.rs1));
        self.assembler
            .shift_by_cl(shift, width, Place::Register(RAX));
        if width == W32 {
            self.put_extended(op.rd);
        } else {
            self.put(op.rd, RAX);
        }
    }

    fn shifted_sum(&mut self, op: &Op, width: Width, shift: u8) {
        if let (W64, Some(first), Some(second)) = (width, self.pinned(op.rs1), self.pinned(op.rs2))
        {
            let to = self.result(op.rd);
            self.assembler.lea_scaled(to, second, first, shift);
            return self.put(op.rd, to);
        }
        self.assembler.load(width, RAX, self.place(op.rs1));
        if shift != 0 {
            self.assembler
                .shift_immediate(Shift::Shl, W64, Place::Register(RAX), shift);
        }
        self.assembler.alu(Alu::Add, W64, RAX, self.place(op.rs2));
        self.put(op.rd, RAX);
    }

    fn count(&mut self, opcode: u8, width: Width, op: &Op) {
        let to = self.result(op.rd);
        self.assembler
            .count_bits(opcode, width, to, self.place(op.rs1));
        self.put(op.rd, to);
    }

    /// The second source instead of the first if the first compares so to it.
    fn choose(&mut self, condition: Condition, op: &Op) {
        self.assembler.load(W64, RAX, self.place(op.rs1));
        self.assembler.alu(Alu::Cmp, W64, RAX, self.place(op.rs2));
        self.assembler
            .conditional_move(condition, RAX, self.place(op.rs2));
        self.put(op.rd, RAX);
    }

    fn bit(&mut self, opcode: u8, op: &Op) {
        let number = self.value(op.rs2, RCX);
        self.assembler.load(W64, RAX, self.place(op.rs1));
        self.assembler.bit(opcode, RAX, number);
        self.put(op.rd, RAX);
    }

    fn bit_constant(&mut self, bit: u8, op: &Op, number: u8) {
        self.assembler.load(W64, RAX, self.place(op.rs1));
        self.assembler.bit_immediate(bit, RAX, number);
        self.put(op.rd, RAX);
    }

    fn divide(&mut self, op: &Op, width: Width, signed: bool, remainder: bool) {
        self.assembler.load(width, RCX, self.place(op.rs2));
        self.assembler.load(width, RAX, self.place(op.rs1));
        let done = self.assembler.label();
        let zero = self.assembler.label();
        self.assembler.test(width, RCX, RCX);
        self.assembler.jump_if(Condition::Equal, zero);
        // By zero: all ones, and the dividend remains.
        self.defer(if remainder {
            Cold::Back(zero, done)
        } else {
            Cold::Constant(zero, done, RAX, u64::MAX)
        });
        if signed {
            // The host traps where the quotient overflows; dividing by -1 is negating.
            let minus_one = self.assembler.label();
            self.assembler
                .alu_immediate(Alu::Cmp, width, Place::Register(RCX), -1);
            self.assembler.jump_if(Condition::Equal, minus_one);
            self.defer(if remainder {
                Cold::Constant(minus_one, done, RAX, 0)
            } else {
                Cold::Negate(minus_one, done, width)
            });
            self.assembler.extend_accumulator(width);
            self.assembler.unary(7, width, Place::Register(RCX));
        } else {
            self.assembler.constant(RDX, 0);
            self.assembler.unary(6, width, Place::Register(RCX));
        }
        if remainder {
            self.assembler.load(W64, RAX, Place::Register(RDX));
        }
        self.assembler.bind(done);
        if width == W32 {
            self.put_extended(op.rd);
        } else {
            self.put(op.rd, RAX);
        }
    }
}
