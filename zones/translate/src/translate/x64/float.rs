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

const MOVE_FROM: u8 = 0x10;
const MOVE_TO: u8 = 0x11;
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

impl X64 {
    /// Leaves to the interpreter unless floating point is on, marked as changed, and rounds to nearest. Once per trace.
    pub(super) fn check_float(&mut self, index: usize, step: &Step, output: &mut Output<'_>) {
        if self.float_checked {
            return;
        }
        self.float_checked = true;
        let out = output.leave(Leave::Aside {
            pc: step.pc,
            retired: index as i32,
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
        let Place::Memory(base, offset) = float_place(register) else {
            return;
        };
        self.assembler
            .alu_immediate(Alu::Cmp, W32, Place::Memory(base, offset + 4), -1);
        self.assembler.jump_if(Condition::NotEqual, slow);
    }

    pub(super) fn float(&mut self, index: usize, step: &Step, output: &mut Output<'_>) {
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
                self.assembler.load(W64, to, float_place(op.rs1));
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
            }
            FmvWX => {
                self.assembler.load(W32, RCX, place(op.rs1));
                self.put_single(op.rd);
            }
            FcvtDW => self.from_integer(true, W32, op),
            FcvtDL if nearest => self.from_integer(true, W64, op),
            FcvtSW if nearest => self.from_integer(false, W32, op),
            FcvtSL if nearest => self.from_integer(false, W64, op),
            FcvtDWu => {
                self.assembler.load(W32, RAX, place(op.rs1));
                self.assembler.vector(0xef, XMM0, XMM0);
                self.assembler
                    .scalar_wide(true, FROM_INTEGER, XMM0, Place::Register(RAX));
                self.assembler
                    .scalar(true, MOVE_TO, XMM0, float_place(op.rd));
            }
            FcvtWD | FcvtLD | FcvtWS | FcvtLS if nearest || op.rm == 1 => {
                self.to_integer(index, step, output)
            }
            FcvtDS => {
                let (slow, back) = self.cold_site(index, step, output);
                self.check_box(op.rs1, slow);
                self.assembler.vector(0xef, XMM0, XMM0);
                self.assembler
                    .scalar(false, CONVERT_FORMAT, XMM0, float_place(op.rs1));
                self.put_float(true, op.rd);
                self.assembler.bind(back);
            }
            FcvtSD if nearest => {
                self.assembler.vector(0xef, XMM0, XMM0);
                self.assembler
                    .scalar(true, CONVERT_FORMAT, XMM0, float_place(op.rs1));
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
        self.cold.push(Cold::Vector(
            nan,
            back,
            if double {
                CANONICAL_DOUBLE
            } else {
                CANONICAL_SINGLE
            },
        ));
        self.assembler.bind(back);
        if double {
            self.assembler.scalar(true, MOVE_TO, XMM0, float_place(rd));
        } else {
            self.assembler.general_from_scalar(RCX, XMM0);
            self.assembler.load(W32, RCX, Place::Register(RCX));
            self.put_single(rd);
        }
    }

    fn binary_float(
        &mut self,
        double: bool,
        opcode: u8,
        index: usize,
        step: &Step,
        output: &mut Output<'_>,
    ) {
        let op = &step.op;
        let slow = (!double).then(|| self.cold_site(index, step, output));
        if let Some((slow, _)) = slow {
            self.check_box(op.rs1, slow);
            self.check_box(op.rs2, slow);
        }
        self.assembler
            .scalar(double, MOVE_FROM, XMM0, float_place(op.rs1));
        self.assembler
            .scalar(double, opcode, XMM0, float_place(op.rs2));
        self.put_float(double, op.rd);
        if let Some((_, back)) = slow {
            self.assembler.bind(back);
        }
    }

    fn square_root(&mut self, double: bool, index: usize, step: &Step, output: &mut Output<'_>) {
        let op = &step.op;
        let (slow, back) = self.cold_site(index, step, output);
        if !double {
            self.check_box(op.rs1, slow);
        }
        self.assembler.vector(0xef, XMM0, XMM0);
        self.assembler
            .scalar(double, SQUARE_ROOT, XMM0, float_place(op.rs1));
        self.put_float(double, op.rd);
        self.assembler.bind(back);
    }

    fn fused(
        &mut self,
        double: bool,
        opcode: u8,
        index: usize,
        step: &Step,
        output: &mut Output<'_>,
    ) {
        let op = &step.op;
        let third = (op.imm & 31) as u8;
        let (slow, back) = self.cold_site(index, step, output);
        if !double {
            for register in [op.rs1, op.rs2, third] {
                self.check_box(register, slow);
            }
        }
        self.assembler
            .scalar(double, MOVE_FROM, XMM0, float_place(third));
        self.assembler
            .scalar(double, MOVE_FROM, XMM1, float_place(op.rs1));
        self.assembler
            .fused(double, opcode, XMM0, XMM1, float_place(op.rs2));
        // Infinity times zero plus a quiet NaN raises a flag on the guest, and may not on the host.
        self.assembler
            .scalar_compare(double, COMPARE_QUIETLY, XMM0, Place::Register(XMM0));
        self.assembler.jump_if(Condition::Parity, slow);
        self.put_float(double, op.rd);
        self.assembler.bind(back);
    }

    /// Sign injection of a register with itself: copy, negate, absolute value.
    fn sign(&mut self, index: usize, step: &Step, output: &mut Output<'_>) {
        use Kind::*;
        let op = &step.op;
        let double = matches!(op.kind, FsgnjD | FsgnjnD | FsgnjxD);
        let slow = (!double).then(|| self.cold_site(index, step, output));
        if let Some((slow, _)) = slow {
            self.check_box(op.rs1, slow);
        }
        let bit = if double { 63 } else { 31 };
        self.assembler.load(W64, RAX, float_place(op.rs1));
        match op.kind {
            FsgnjnD | FsgnjnS => self.assembler.bit_immediate(7, RAX, bit),
            FsgnjxD | FsgnjxS => self.assembler.bit_immediate(6, RAX, bit),
            _ => {}
        }
        self.assembler.store(W64, float_place(op.rd), RAX);
        if let Some((_, back)) = slow {
            self.assembler.bind(back);
        }
    }

    fn compare_float(&mut self, double: bool, index: usize, step: &Step, output: &mut Output<'_>) {
        use Kind::*;
        let op = &step.op;
        let slow = (!double).then(|| self.cold_site(index, step, output));
        if let Some((slow, _)) = slow {
            self.check_box(op.rs1, slow);
            self.check_box(op.rs2, slow);
        }
        // Reversed, so that "unordered", which looks like "below", is false.
        self.assembler
            .scalar(double, MOVE_FROM, XMM0, float_place(op.rs2));
        match op.kind {
            FeqD | FeqS => {
                self.assembler
                    .scalar_compare(double, COMPARE_QUIETLY, XMM0, float_place(op.rs1));
                self.assembler.set(Condition::NoParity, RAX);
                self.assembler.set(Condition::Equal, RCX);
                self.assembler.alu(Alu::And, W32, RAX, Place::Register(RCX));
            }
            FltD | FltS => {
                self.assembler
                    .scalar_compare(double, COMPARE, XMM0, float_place(op.rs1));
                self.assembler.set(Condition::Above, RAX);
            }
            _ => {
                self.assembler
                    .scalar_compare(double, COMPARE, XMM0, float_place(op.rs1));
                self.assembler.set(Condition::AboveEqual, RAX);
            }
        }
        let to = self.result(op.rd);
        self.assembler.extend_zero(1, to, Place::Register(RAX));
        self.put(op.rd, to);
        if let Some((_, back)) = slow {
            self.assembler.bind(back);
        }
    }

    fn from_integer(&mut self, double: bool, width: Width, op: &Op) {
        self.assembler.vector(0xef, XMM0, XMM0);
        if width == W64 {
            self.assembler
                .scalar_wide(double, FROM_INTEGER, XMM0, place(op.rs1));
        } else {
            self.assembler
                .scalar(double, FROM_INTEGER, XMM0, place(op.rs1));
        }
        if double {
            self.assembler
                .scalar(true, MOVE_TO, XMM0, float_place(op.rd));
        } else {
            self.assembler.general_from_scalar(RCX, XMM0);
            self.assembler.load(W32, RCX, Place::Register(RCX));
            self.put_single(op.rd);
        }
    }

    /// To a signed integer. Out of range, the host answers with the least integer, which is one less than what overflows
    /// when one is taken away.
    fn to_integer(&mut self, index: usize, step: &Step, output: &mut Output<'_>) {
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
        if width == W64 {
            self.assembler
                .scalar_wide(double, opcode, RAX, float_place(op.rs1));
        } else {
            self.assembler
                .scalar(double, opcode, RAX, float_place(op.rs1));
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
        self.assembler.bind(back);
    }
}
