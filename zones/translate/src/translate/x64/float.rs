//! Floating point on the host's, where that is provably the same.
//!
//! The host's control register holds round-to-nearest and no flags when generated code starts; its sticky flags are added to
//! the guest's when that code ends or calls. Both architectures define the same flags, detect tininess after rounding, and
//! differ in the NaN that an operation makes: the guest's is always the canonical one. What else differs (other rounding
//! modes, minimum, maximum, classification, conversions to unsigned, results out of an integer's range, fused operations
//! with a NaN) is left to the interpreter.
//!
//! Sources: Intel SDM volume 1, chapter 11; RISC-V unprivileged manual, chapters "F" and "D".

use super::*;

const CANONICAL_DOUBLE: u64 = 0x7ff8_0000_0000_0000;
const CANONICAL_SINGLE: u64 = 0xffff_ffff_7fc0_0000;

pub(super) const MOVE_FROM: u8 = 0x10;
pub(super) const MOVE_TO: u8 = 0x11;
const SQUARE_ROOT: u8 = 0x51;
const ADD: u8 = 0x58;
const MULTIPLY: u8 = 0x59;
const SUBTRACT: u8 = 0x5c;
const DIVIDE: u8 = 0x5e;
const CONVERT_FORMAT: u8 = 0x5a;
const FROM_INTEGER: u8 = 0x2a;
const TRUNCATE: u8 = 0x2c;
const ROUND: u8 = 0x2d;
const COMPARE_QUIETLY: u8 = 0x2e;
const COMPARE: u8 = 0x2f;

/// Which floating-point registers a vector register holds, too: memory is always up to date.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// For the vector registers from [`FIRST`] on: the guest's register, and whether the value is a binary64 one.
    held: [Option<(u8, bool)>; 14],
    next: usize,
}

/// The vector registers before it are scratch.
const FIRST: u8 = 2;

impl Cache {
    pub(super) fn clear(&mut self) {
        self.held = [None; 14];
    }

    pub(super) fn find(&self, register: u8, double: bool) -> Option<Reg> {
        let at = self
            .held
            .iter()
            .position(|held| *held == Some((register, double)))?;
        Some(Reg(FIRST + at as u8))
    }

    /// A vector register for a value that is being written to a guest register.
    pub(super) fn hold(&mut self, register: u8, double: bool) -> Reg {
        self.forget(register);
        let at = self
            .held
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.next = (self.next + 1) % self.held.len();
                self.next
            });
        self.held[at] = Some((register, double));
        Reg(FIRST + at as u8)
    }

    /// The guest register is written in memory only.
    fn forget(&mut self, register: u8) {
        for held in &mut self.held {
            if held.is_some_and(|(held, _)| held == register) {
                *held = None;
            }
        }
    }

    /// What is held: vector register, guest register, double.
    pub(super) fn held(&self) -> impl Iterator<Item = (Reg, u8, bool)> + '_ {
        let vectors = (FIRST..).map(Reg);
        vectors
            .zip(&self.held)
            .filter_map(|(vector, held)| held.map(|(register, double)| (vector, register, double)))
    }
}

impl X64 {
    /// Leaves to the interpreter unless floating point is on, marked as changed, and rounds to nearest. Once per trace.
    pub(super) fn check_float(&mut self, index: usize, step: &Step, output: &mut Compiled) {
        if self.float_checked {
            return;
        }
        self.float_checked = true;
        let out = output.leave(Leave::Aside {
            pc: step.pc,
            retired: self.not_counted(index),
        });
        let out = self.cold_leave(out);
        self.assembler
            .compare_byte(field(offset_of!(Core, float_ready)), 1);
        self.assembler.jump_if(Condition::NotEqual, out);
    }

    /// Writes a binary32 value from the low half of `rcx` (the upper one is zero) to a floating-point register, boxed.
    pub(super) fn put_single(&mut self, rd: u8) {
        self.assembler.unary(2, W32, Place::Register(RCX));
        self.assembler.unary(2, W64, Place::Register(RCX));
        self.assembler.store(W64, float_place(rd), RCX);
    }

    /// Goes the slow way unless a source holds a boxed binary32 value.
    fn check_box(&mut self, register: u8, slow: Label) {
        if self.floats.find(register, false).is_some() {
            return;
        }
        let Place::Memory(base, offset) = float_place(register) else {
            return;
        };
        self.assembler
            .alu_immediate(Alu::Cmp, W32, Place::Memory(base, offset + 4), -1);
        self.assembler.jump_if(Condition::NotEqual, slow);
    }

    /// Where a source operand is.
    fn source(&self, register: u8, double: bool) -> Place {
        match self.floats.find(register, double) {
            Some(vector) => Place::Register(vector),
            None => float_place(register),
        }
    }

    /// A source operand into a scratch vector register.
    fn fetch(&mut self, to: Reg, register: u8, double: bool) {
        match self.source(register, double) {
            Place::Register(vector) => self.assembler.vector_move(to, vector),
            memory => self.assembler.scalar(double, MOVE_FROM, to, memory),
        }
    }

    /// The host's flags and those that are the guest's already, as the guest numbers them.
    pub(super) fn read_flags(&mut self, rd: u8) {
        let a = &mut self.assembler;
        a.float_control(3, Place::Memory(RSP, -16));
        a.load(W32, RCX, Place::Memory(RSP, -16));
        a.alu_immediate(Alu::And, W32, Place::Register(RCX), 0x3f);
        a.lea(RAX, Place::Code(self.flags));
        a.extend_zero(1, RCX, Place::Indexed(RAX, RCX, 0));
        a.extend_zero(1, RAX, field(offset_of!(Core, flags)));
        a.alu(Alu::Or, W32, RAX, Place::Register(RCX));
        self.put(rd, RAX);
    }

    /// Flags read, a comparison, the same flags written back: how compilers compare without raising flags. The host's
    /// control register is only written if the operands are unordered, when the comparison may have raised one.
    pub(super) fn quiet_comparison(
        &mut self,
        index: usize,
        steps: [&Step; 3],
        output: &mut Compiled,
    ) -> bool {
        use Kind::*;
        let [read, compare, write] = steps.map(|step| &step.op);
        let saved = read.rd;
        let is_one = (read.kind, read.imm, read.rs1) == (Csrrs, FFLAGS, 0)
            && saved != SINK
            && matches!(compare.kind, FeqD | FltD | FleD)
            && compare.rd != saved
            && (write.kind, write.imm, write.rs1, write.rd) == (Csrrw, FFLAGS, saved, SINK);
        if !is_one {
            return false;
        }
        self.in_rax = None;
        self.check_float(index, steps[0], output);
        self.read_flags(saved);
        self.fetch(XMM0, compare.rs2, true);
        let from = self.source(compare.rs1, true);
        self.assembler
            .scalar_compare(true, COMPARE_QUIETLY, XMM0, from);
        let (unordered, back) = (self.assembler.label(), self.assembler.label());
        self.assembler.jump_if(Condition::Parity, unordered);
        self.defer(Cold::Control(unordered, back));
        self.assembler.bind(back);
        self.put_comparison(compare);
        true
    }

    pub(super) fn float(&mut self, index: usize, step: &Step, output: &mut Compiled) {
        use Kind::*;
        let op = &step.op;
        self.check_float(index, step, output);
        // Dynamic rounding is to nearest here: `check_float`.
        let nearest = matches!(op.rm, 0 | 7);
        match op.kind {
            FaddD if nearest => self.binary_float(true, ADD, index, step, output),
            FsubD if nearest => self.binary_float(true, SUBTRACT, index, step, output),
            FmulD if nearest => self.binary_float(true, MULTIPLY, index, step, output),
            FdivD if nearest => self.binary_float(true, DIVIDE, index, step, output),
            FsqrtD if nearest => self.square_root(true, index, step, output),
            FaddS if nearest => self.binary_float(false, ADD, index, step, output),
            FsubS if nearest => self.binary_float(false, SUBTRACT, index, step, output),
            FmulS if nearest => self.binary_float(false, MULTIPLY, index, step, output),
            FdivS if nearest => self.binary_float(false, DIVIDE, index, step, output),
            FsqrtS if nearest => self.square_root(false, index, step, output),
            FmaddD if nearest => self.fused(true, 0xb9, index, step, output),
            FmsubD if nearest => self.fused(true, 0xbb, index, step, output),
            FnmsubD if nearest => self.fused(true, 0xbd, index, step, output),
            FnmaddD if nearest => self.fused(true, 0xbf, index, step, output),
            FmaddS if nearest => self.fused(false, 0xb9, index, step, output),
            FmsubS if nearest => self.fused(false, 0xbb, index, step, output),
            FnmsubS if nearest => self.fused(false, 0xbd, index, step, output),
            FnmaddS if nearest => self.fused(false, 0xbf, index, step, output),
            FsgnjD | FsgnjnD | FsgnjxD | FsgnjS | FsgnjnS | FsgnjxS if op.rs1 == op.rs2 => {
                self.sign(index, step, output);
            }
            FeqD | FltD | FleD => self.compare_float(true, index, step, output),
            FeqS | FltS | FleS => self.compare_float(false, index, step, output),
            FmvXD => {
                let to = self.result(op.rd);
                match self.floats.find(op.rs1, true) {
                    Some(vector) => self.assembler.general_from_scalar(to, vector),
                    None => self.assembler.load(W64, to, float_place(op.rs1)),
                }
                self.put(op.rd, to);
            }
            FmvXW => {
                let to = self.result(op.rd);
                self.assembler.extend_signed(4, to, float_place(op.rs1));
                self.put(op.rd, to);
            }
            FmvDX => {
                let from = self.value(op.rs1, RAX);
                self.assembler.store(W64, float_place(op.rd), from);
                self.floats.forget(op.rd);
            }
            FmvWX => {
                self.assembler.load(W32, RCX, self.place(op.rs1));
                self.put_single(op.rd);
                self.floats.forget(op.rd);
            }
            FcvtDW => self.convert_integer(true, W32, op),
            FcvtDL if nearest => self.convert_integer(true, W64, op),
            FcvtSW if nearest => self.convert_integer(false, W32, op),
            FcvtSL if nearest => self.convert_integer(false, W64, op),
            FcvtDWu => {
                self.assembler.load(W32, RAX, self.place(op.rs1));
                self.assembler.vector(0xef, XMM0, XMM0);
                self.assembler
                    .scalar_wide(true, FROM_INTEGER, XMM0, Place::Register(RAX));
                self.write_float(true, op.rd);
            }
            FcvtWD | FcvtLD | FcvtWS | FcvtLS if nearest || op.rm == 1 => {
                self.integer_of(index, step, output);
            }
            FcvtDS => {
                let (slow, back) = self.cold_site(index, step, output);
                self.check_box(op.rs1, slow);
                self.assembler.vector(0xef, XMM0, XMM0);
                let from = self.source(op.rs1, false);
                self.assembler.scalar(false, CONVERT_FORMAT, XMM0, from);
                self.put_float(true, op.rd);
                self.come_back(back);
            }
            FcvtSD if nearest => {
                self.assembler.vector(0xef, XMM0, XMM0);
                let from = self.source(op.rs1, true);
                self.assembler.scalar(true, CONVERT_FORMAT, XMM0, from);
                self.put_float(false, op.rd);
            }
            _ => self.site(index, step, output),
        }
    }

    /// Writes the first vector register; a NaN becomes the canonical one.
    fn put_float(&mut self, double: bool, rd: u8) {
        let (nan, back) = (self.assembler.label(), self.assembler.label());
        self.assembler
            .scalar_compare(double, COMPARE_QUIETLY, XMM0, Place::Register(XMM0));
        self.assembler.jump_if(Condition::Parity, nan);
        self.defer(Cold::Vector(
            nan,
            back,
            if double {
                CANONICAL_DOUBLE
            } else {
                CANONICAL_SINGLE
            },
        ));
        self.assembler.bind(back);
        self.write_float(double, rd);
    }

    /// Writes the first vector register, which holds no NaN but the canonical one.
    fn write_float(&mut self, double: bool, rd: u8) {
        if double {
            self.assembler.scalar(true, MOVE_TO, XMM0, float_place(rd));
        } else {
            self.assembler.general_from_scalar(RCX, XMM0);
            self.assembler.load(W32, RCX, Place::Register(RCX));
            self.put_single(rd);
        }
        let held = self.floats.hold(rd, double);
        self.assembler.vector_move(held, XMM0);
    }

    fn binary_float(
        &mut self,
        double: bool,
        opcode: u8,
        index: usize,
        step: &Step,
        output: &mut Compiled,
    ) {
        let op = &step.op;
        let slow = (!double).then(|| self.cold_site(index, step, output));
        if let Some((slow, _)) = slow {
            self.check_box(op.rs1, slow);
            self.check_box(op.rs2, slow);
        }
        self.fetch(XMM0, op.rs1, double);
        let second = self.source(op.rs2, double);
        self.assembler.scalar(double, opcode, XMM0, second);
        self.put_float(double, op.rd);
        if let Some((_, back)) = slow {
            self.come_back(back);
        }
    }

    fn square_root(&mut self, double: bool, index: usize, step: &Step, output: &mut Compiled) {
        let op = &step.op;
        let slow = (!double).then(|| self.cold_site(index, step, output));
        if let Some((slow, _)) = slow {
            self.check_box(op.rs1, slow);
        }
        self.assembler.vector(0xef, XMM0, XMM0);
        let from = self.source(op.rs1, double);
        self.assembler.scalar(double, SQUARE_ROOT, XMM0, from);
        self.put_float(double, op.rd);
        if let Some((_, back)) = slow {
            self.come_back(back);
        }
    }

    fn fused(
        &mut self,
        double: bool,
        opcode: u8,
        index: usize,
        step: &Step,
        output: &mut Compiled,
    ) {
        let op = &step.op;
        let third = (op.imm & 31) as u8;
        let (slow, back) = self.cold_site(index, step, output);
        if !double {
            for register in [op.rs1, op.rs2, third] {
                self.check_box(register, slow);
            }
        }
        self.fetch(XMM0, third, double);
        self.fetch(XMM1, op.rs1, double);
        let second = self.source(op.rs2, double);
        self.assembler.fused(double, opcode, XMM0, XMM1, second);
        // Infinity times zero plus a quiet NaN raises a flag on the guest, and may not on the host.
        self.assembler
            .scalar_compare(double, COMPARE_QUIETLY, XMM0, Place::Register(XMM0));
        self.assembler.jump_if(Condition::Parity, slow);
        self.write_float(double, op.rd);
        self.come_back(back);
    }

    /// Sign injection of a register with itself: copy, negate, absolute value.
    fn sign(&mut self, index: usize, step: &Step, output: &mut Compiled) {
        use Kind::*;
        let op = &step.op;
        let double = matches!(op.kind, FsgnjD | FsgnjnD | FsgnjxD);
        let slow = (!double).then(|| self.cold_site(index, step, output));
        if let Some((slow, _)) = slow {
            self.check_box(op.rs1, slow);
        }
        let bit = if double { 63 } else { 31 };
        match self.floats.find(op.rs1, true) {
            Some(vector) => self.assembler.general_from_scalar(RAX, vector),
            None => self.assembler.load(W64, RAX, float_place(op.rs1)),
        }
        match op.kind {
            FsgnjnD | FsgnjnS => self.assembler.bit_immediate(7, RAX, bit),
            FsgnjxD | FsgnjxS => self.assembler.bit_immediate(6, RAX, bit),
            _ => {}
        }
        self.assembler.store(W64, float_place(op.rd), RAX);
        let held = self.floats.hold(op.rd, double);
        self.assembler.scalar_from_general(held, RAX);
        if let Some((_, back)) = slow {
            self.come_back(back);
        }
    }

    fn compare_float(&mut self, double: bool, index: usize, step: &Step, output: &mut Compiled) {
        use Kind::*;
        let op = &step.op;
        let slow = (!double).then(|| self.cold_site(index, step, output));
        if let Some((slow, _)) = slow {
            self.check_box(op.rs1, slow);
            self.check_box(op.rs2, slow);
        }
        // Reversed, so that "unordered", which looks like "below", is false.
        self.fetch(XMM0, op.rs2, double);
        let from = self.source(op.rs1, double);
        let opcode = if matches!(op.kind, FeqD | FeqS) {
            COMPARE_QUIETLY
        } else {
            COMPARE
        };
        self.assembler.scalar_compare(double, opcode, XMM0, from);
        self.put_comparison(op);
        if let Some((_, back)) = slow {
            self.come_back(back);
        }
    }

    /// The outcome of comparing the second source with the first.
    fn put_comparison(&mut self, op: &Op) {
        use Kind::*;
        match op.kind {
            FeqD | FeqS => {
                self.assembler.set(Condition::NoParity, RAX);
                self.assembler.set(Condition::Equal, RCX);
                self.assembler.alu(Alu::And, W32, RAX, Place::Register(RCX));
            }
            FltD | FltS => self.assembler.set(Condition::Above, RAX),
            _ => self.assembler.set(Condition::AboveEqual, RAX),
        }
        let to = self.result(op.rd);
        self.assembler.extend_zero(1, to, Place::Register(RAX));
        self.put(op.rd, to);
    }

    fn convert_integer(&mut self, double: bool, width: Width, op: &Op) {
        self.assembler.vector(0xef, XMM0, XMM0);
        if width == W64 {
            self.assembler
                .scalar_wide(double, FROM_INTEGER, XMM0, self.place(op.rs1));
        } else {
            self.assembler
                .scalar(double, FROM_INTEGER, XMM0, self.place(op.rs1));
        }
        self.write_float(double, op.rd);
    }

    /// To a signed integer. Out of range, the host answers with the least integer: what overflows when one is taken away.
    fn integer_of(&mut self, index: usize, step: &Step, output: &mut Compiled) {
        use Kind::*;
        let op = &step.op;
        let double = matches!(op.kind, FcvtWD | FcvtLD);
        let (slow, back) = self.cold_site(index, step, output);
        if !double {
            self.check_box(op.rs1, slow);
        }
        let opcode = if op.rm == 1 { TRUNCATE } else { ROUND };
        let width = if matches!(op.kind, FcvtLD | FcvtLS) {
            W64
        } else {
            W32
        };
        let from = self.source(op.rs1, double);
        if width == W64 {
            self.assembler.scalar_wide(double, opcode, RAX, from);
        } else {
            self.assembler.scalar(double, opcode, RAX, from);
        }
        self.assembler
            .alu_immediate(Alu::Cmp, width, Place::Register(RAX), 1);
        self.assembler.jump_if(Condition::Overflow, slow);
        let to = self.result(op.rd);
        if width == W64 {
            self.assembler.mov(to, Place::Register(RAX));
        } else {
            self.assembler.extend_signed(4, to, Place::Register(RAX));
        }
        self.put(op.rd, to);
        self.come_back(back);
    }
}
