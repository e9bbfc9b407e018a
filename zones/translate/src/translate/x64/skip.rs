//! Branches over a few simple instructions that work on one register: what those make is taken or not, without a jump that
//! could be foretold wrongly.

use super::control::{condition, kept_bytes};
use super::*;
#[cfg(test)]
use crate::translate::mistakes::{Mistake, is_made};

/// Most instructions that are done in vain rather than jumped over.
const MOST: usize = 4;

/// What an instruction reads.
#[derive(PartialEq, Eq)]
enum Form {
    Constant,
    Register,
    Registers,
}

/// Instructions that [`X64::accumulate`] knows.
fn form(op: &Op) -> Option<Form> {
    use Kind::*;
    Some(match op.kind {
        Li | Lui => Form::Constant,
        Mv | Addi | Addiw | Xori | Ori | Andi | Slli | Srli | Srai => Form::Register,
        Add | Sub | Xor | Or | And | Addw | Subw => Form::Registers,
        _ => return None,
    })
}

/// How many instructions the first of these steps, a branch, skips in this way.
pub(super) fn length(steps: &[Step]) -> Option<usize> {
    let (branch, after) = steps.split_first()?;
    condition(branch.op.kind)?;
    let count = (1..=MOST.min(after.len()))
        .find(|count| after[count - 1].following() == branch.target())?;
    let rd = after[0].op.rd;
    let chained = after[..count].iter().enumerate().all(|(index, step)| {
        let op = &step.op;
        let form = form(op);
        // Only the first may read what the others write, but as their first source.
        let first = index == 0 || op.rs1 == rd && !matches!(form, Some(Form::Constant));
        let second = index == 0 || form != Some(Form::Registers) || op.rs2 != rd;
        form.is_some() && op.rd == rd && first && second
    });
    (rd != SINK && chained).then_some(count)
}

/// How many bytes a pair of shifts at this index of such steps keeps.
fn cleared(skipped: &[Step], index: usize) -> Option<u8> {
    let (first, second) = (&skipped.get(index)?.op, &skipped.get(index + 1)?.op);
    let pair = first.kind == Kind::Slli && second.kind == Kind::Srli;
    kept_bytes(first).filter(|_| pair && first.imm == second.imm)
}

impl X64 {
    /// Writes the code of such a branch at the start of these steps, or right after an instruction that makes what it tests.
    /// Returns how many steps that are.
    pub(super) fn skip(&mut self, steps: &[Step]) -> Option<usize> {
        if let Some(count) = length(steps) {
            self.skip_steps(None, &steps[0].op, &steps[1..=count]);
            return Some(1 + count);
        }
        let (test, rest) = steps.split_first()?;
        let count = length(rest)?;
        let (branch, skipped) = (&rest[0].op, &rest[1..=count]);
        // It is done last, and must leave the host's flags as the branch needs them.
        let tested = matches!(test.op.kind, Kind::And | Kind::Andi)
            && matches!(branch.kind, Kind::Beq | Kind::Bne)
            && (branch.rs1, branch.rs2) == (test.op.rd, 0)
            && self.pinned(test.op.rd).is_some()
            && self.outcome(test).is_none_or(|(_, value)| value.is_none());
        let untouched = |step: &Step| ![step.op.rd, step.op.rs1, step.op.rs2].contains(&test.op.rd);
        if !tested || !skipped.iter().all(untouched) {
            return None;
        }
        self.skip_steps(Some(test), branch, skipped);
        Some(2 + count)
    }

    fn skip_steps(&mut self, test: Option<&Step>, branch: &Op, skipped: &[Step]) {
        let rd = skipped[0].op.rd;
        let all = skipped.iter().map(|step| &step.op);
        for op in all.chain([branch]).chain(test.map(|test| &test.op)) {
            self.settle_all_of(op);
        }
        let Some(condition) = condition(branch.kind) else {
            return;
        };
        self.in_rax = None;
        let mut index = 0;
        if let Some(bytes) = cleared(skipped, 1)
            && self.accumulate_low(&skipped[0].op, bytes)
        {
            index = 3;
        }
        while let Some(step) = skipped.get(index) {
            match cleared(skipped, index) {
                Some(bytes) => {
                    let from = if index == 0 {
                        self.place(step.op.rs1)
                    } else {
                        Place::Register(RAX)
                    };
                    self.assembler.extend_zero(bytes, RAX, from);
                    index += 2;
                }
                None => {
                    self.accumulate(&step.op, index == 0);
                    index += 1;
                }
            }
        }
        // What is tested may be the number that is wanted of it.
        let count = skipped.len();
        let bit = test
            .filter(|test| test.op.kind == Kind::Andi && test.op.imm == 1)
            .filter(|_| branch.kind == Kind::Bne || count < MOST)
            .and_then(|test| self.pinned(test.op.rd));
        if bit.is_none() {
            self.assembler.constant(RDX, 0);
        }
        let condition = match test {
            Some(test) => {
                self.arithmetic(test);
                self.wrote(test);
                condition
            }
            None => self.compare(branch, RCX),
        };
        // If the branch is taken, the register stays and the instructions are not counted.
        match self.pinned(rd) {
            Some(host) => {
                self.assembler
                    .conditional_move(condition.opposite(), host, Place::Register(RAX));
            }
            None => {
                let old = self.place(rd);
                self.assembler.conditional_move(condition, RAX, old);
            }
        }
        let a = &mut self.assembler;
        let single = match bit {
            Some(bit) => bit,
            None => {
                a.set(condition, RDX);
                RDX
            }
        };
        let skipped_at_one = bit.is_none() || condition == Condition::NotEqual;
        match (skipped_at_one, count) {
            (true, 3) => {
                a.lea_scaled(RDX, single, single, 1);
                a.alu(Alu::Add, W64, BUDGET, Place::Register(RDX));
            }
            (true, _) => a.lea_scaled(BUDGET, BUDGET, single, count.trailing_zeros() as u8),
            (false, _) => {
                let all = if count == 1 { single } else { RDX };
                if count > 1 {
                    a.lea_scaled(RDX, single, single, u8::from(count == 3));
                }
                a.alu(Alu::Sub, W64, BUDGET, Place::Register(all));
                #[cfg(test)]
                let count = if is_made(Mistake::CountedTwice) {
                    0
                } else {
                    count
                };
                self.counted_apart += count as i32;
            }
        }
        if self.pinned(rd).is_none() {
            self.put(rd, RAX);
        }
        // Which of two values it has is not known.
        self.known[usize::from(rd & 31)] = None;
        self.words.forget(rd);
    }

    /// The first of them, of whose result the two after it keep so many bytes, together with those; false if that is no shorter.
    fn accumulate_low(&mut self, op: &Op, bytes: u8) -> bool {
        use Kind::*;
        let alu = match op.kind {
            Add | Addw => Alu::Add,
            Sub | Subw => Alu::Sub,
            Xor => Alu::Xor,
            Or => Alu::Or,
            And => Alu::And,
            _ => return false,
        };
        if bytes == 1 {
            return false;
        }
        let (mut first, mut second) = (self.place(op.rs1), self.place(op.rs2));
        if op.rd == op.rs1 && alu != Alu::Sub {
            std::mem::swap(&mut first, &mut second);
        }
        self.assembler.extend_zero(bytes, RAX, first);
        if bytes == 2 {
            self.assembler.alu16(alu, RAX, second);
        } else {
            self.assembler.alu(alu, W32, RAX, second);
        }
        true
    }

    /// One of the instructions that are skipped, with its result in `rax`; all but the first find their first source there.
    fn accumulate(&mut self, op: &Op, first: bool) {
        use Kind::*;
        let to = Place::Register(RAX);
        let mut second = self.place(op.rs2);
        if first && !matches!(op.kind, Li | Lui) {
            let mut from = self.place(op.rs1);
            // In a loop, what changes is late: it comes second.
            if op.rd == op.rs1 && matches!(op.kind, Add | Xor | Or | And | Addw) {
                std::mem::swap(&mut from, &mut second);
            }
            self.assembler.load(W64, RAX, from);
        }
        let a = &mut self.assembler;
        match op.kind {
            Li | Lui => a.constant(RAX, i64::from(op.imm).cast_unsigned()),
            Add => a.alu(Alu::Add, W64, RAX, second),
            Sub => a.alu(Alu::Sub, W64, RAX, second),
            Xor => a.alu(Alu::Xor, W64, RAX, second),
            Or => a.alu(Alu::Or, W64, RAX, second),
            And => a.alu(Alu::And, W64, RAX, second),
            Addw => a.alu(Alu::Add, W32, RAX, second),
            Subw => a.alu(Alu::Sub, W32, RAX, second),
            Addi => a.alu_immediate(Alu::Add, W64, to, op.imm),
            Addiw => a.alu_immediate(Alu::Add, W32, to, op.imm),
            Xori => a.alu_immediate(Alu::Xor, W64, to, op.imm),
            Ori => a.alu_immediate(Alu::Or, W64, to, op.imm),
            Andi => a.alu_immediate(Alu::And, W64, to, op.imm),
            Slli => a.shift_immediate(Shift::Shl, W64, to, (op.imm & 63) as u8),
            Srli => a.shift_immediate(Shift::Shr, W64, to, (op.imm & 63) as u8),
            Srai => a.shift_immediate(Shift::Sar, W64, to, (op.imm & 63) as u8),
            _ => {}
        }
        if matches!(op.kind, Addw | Subw | Addiw) {
            a.extend_signed(4, RAX, to);
        }
    }
}
