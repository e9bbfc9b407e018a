//! Results of 32-bit instructions, whose sign extension is put off until somebody looks at the upper half.
//!
//! Most such results are only used by other 32-bit instructions, or compared with each other. A guest register is *narrow*
//! while only the lower half of its host register counts; whatever leaves the trace, calls the interpreter or reads all 64
//! bits settles it first. A loop may come back to its start with registers that are still narrow ([`X64::narrow_at_head`]).

use super::groups::{access, integer_destination};
use super::*;

/// What is known about the guest's registers as 32-bit values, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// The value is the sign extension of its lower half.
    known: u32,
    /// Among these: the host register has the lower half only.
    narrow: u32,
}

/// A set of one register; nothing for [`SINK`] and for `x0`, which is never narrow.
fn bit(register: u8) -> u32 {
    1u32.checked_shl(register.into()).unwrap_or(0) & !1
}

impl Words {
    /// At the start of a body.
    pub(super) fn at_head(narrow: u32) -> Self {
        Self { known: 0, narrow }
    }

    fn is_word(self, register: u8) -> bool {
        register == 0 || self.known & bit(register) != 0
    }

    fn is_narrow(self, register: u8) -> bool {
        self.narrow & bit(register) != 0
    }

    /// Takes in what an instruction wrote; `narrow` if it left the upper half undone.
    pub(super) fn write(&mut self, op: &Op, narrow: bool) {
        let Some(rd) = integer_destination(op) else {
            return;
        };
        let is_word = narrow || self.makes_word(op);
        self.forget(rd);
        if is_word {
            self.known |= bit(rd);
        }
        if narrow {
            self.narrow |= bit(rd);
        }
    }

    /// All 64 bits of a register were written.
    pub(super) fn forget(&mut self, register: u8) {
        self.known &= !bit(register);
        self.narrow &= !bit(register);
    }

    fn makes_word(self, op: &Op) -> bool {
        use Kind::*;
        match op.kind {
            Li | Lui | Lb | Lh | Lw | Lbu | Lhu | Slti | Sltiu | Slt | Sltu => true,
            Addiw | Slliw | Srliw | Sraiw | Addw | Subw | Sllw | Srlw | Sraw => true,
            Mulw | Divw | Divuw | Remw | Remuw | SextB | SextH | ZextH => true,
            Andi => op.imm >= 0 || self.is_word(op.rs1),
            Xori | Ori | Mv => self.is_word(op.rs1),
            And | Or | Xor => self.is_word(op.rs1) && self.is_word(op.rs2),
            Srli => op.imm > 32,
            Srai => op.imm >= 32,
            _ => false,
        }
    }
}

/// The registers of which an instruction may look at the upper half.
fn read_whole(op: &Op) -> u32 {
    use Kind::*;
    let (first, second) = (bit(op.rs1), bit(op.rs2));
    match op.kind {
        Li | Lui | Auipc | Nop | Jal => 0,
        Addw | Subw | Mulw | Sllw | Srlw | Sraw | Divw | Divuw | Remw | Remuw => 0,
        Addiw | Slliw | Srliw | Sraiw | SextB | SextH | ZextH | SlliUw => 0,
        Andi if op.imm >= 0 => 0,
        Slli if op.imm >= 32 => 0,
        Sb | Sh | Sw | Sll | Srl | Sra => first,
        AddUw | Sh1addUw | Sh2addUw | Sh3addUw => second,
        // What is not a source is some register's number: settling that in vain is harmless.
        _ => first | second,
    }
}

impl X64 {
    /// Makes these registers whole.
    fn settle(&mut self, registers: u32) {
        let mut rest = self.words.narrow & registers;
        while rest != 0 {
            let guest = rest.trailing_zeros() as u8;
            rest &= rest - 1;
            if let Some(host) = self.pinned(guest) {
                self.assembler.extend_signed(4, host, Place::Register(host));
            }
        }
        self.words.narrow &= !registers;
    }

    pub(super) fn settle_all(&mut self) {
        self.settle(!0);
    }

    /// Before the jump back to the start.
    pub(super) fn settle_for_head(&mut self) {
        self.settle(!self.narrow_head);
    }

    /// Whatever an instruction reads or writes.
    pub(super) fn settle_all_of(&mut self, op: &Op) {
        self.settle(bit(op.rs1) | bit(op.rs2) | bit(op.rd));
    }

    /// Before an instruction.
    pub(super) fn settle_sources(&mut self, op: &Op) {
        // A comparison may do with the lower halves.
        if control::condition(op.kind).is_none() || self.comparison_width(op) == W64 {
            self.settle(read_whole(op));
        }
    }

    /// Half the width will do if both sources are 32-bit values; it is taken if one of them is narrow.
    pub(super) fn comparison_width(&self, op: &Op) -> Width {
        let words = self.words;
        let narrow = words.is_narrow(op.rs1) || words.is_narrow(op.rs2);
        if narrow && words.is_word(op.rs1) && words.is_word(op.rs2) {
            W32
        } else {
            W64
        }
    }

    /// Writes the lower half of a host register to a guest register, as a 32-bit value.
    pub(super) fn put_word(&mut self, rd: u8, from: Reg) {
        match self.pinned(rd) {
            Some(host) => {
                if host != from {
                    self.assembler.load(W32, host, Place::Register(from));
                }
                self.left_narrow = true;
            }
            None => {
                self.assembler.extend_signed(4, RAX, Place::Register(from));
                self.put(rd, RAX);
            }
        }
    }

    /// The registers that may be narrow whenever the body starts: those that it writes before anything may look at them.
    pub(super) fn narrow_at_head(&self, trace: &Trace) -> u32 {
        let (mut written, mut read) = (0u32, 0u32);
        let mut index = 0;
        while let Some(Step { op, .. }) = trace.steps.get(index) {
            if let Some(count) = skip::length(&trace.steps[index..]) {
                for step in &trace.steps[index..=index + count] {
                    let destination = integer_destination(&step.op).map_or(0, bit);
                    read |= (bit(step.op.rs1) | bit(step.op.rs2) | destination) & !written;
                }
                index += 1 + count;
                continue;
            }
            let quiet = match access(op.kind) {
                Some(_) => op.kind as u8 <= Kind::Sd as u8 && self.stream_within(index).is_some(),
                None => arithmetic::is_arithmetic(op.kind),
            };
            if !quiet {
                break;
            }
            read |= read_whole(op) & !written;
            written |= integer_destination(op).map_or(0, bit);
            index += 1;
        }
        written & !read
    }
}
