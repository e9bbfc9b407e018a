//! What order instructions run in: straight on, in pairs that go together, branches, jumps and ways out.

use super::*;

impl X64 {
    /// Writes the code of the step at `index`, and of those after it that go together with it; returns how many.
    pub(super) fn steps(
        &mut self,
        trace: &Trace,
        index: usize,
        head: Label,
        output: &mut Compiled,
    ) -> usize {
        let rest = &trace.steps[index..];
        self.left_narrow = false;
        if let Some(done) = self.skip(rest) {
            self.least_turn -= skip::length(rest).map_or(done as i32 - 2, |count| count as i32);
            return done;
        }
        let done = match rest {
            [first, second, ..] if self.zero_extension(&first.op, &second.op) => 2,
            [first, second, third, ..]
                if self.quiet_comparison(index, [first, second, third], output) =>
            {
                3
            }
            [step, ..] => {
                self.settle_sources(&step.op);
                self.step(trace, index, step, head, output);
                1
            }
            [] => 1,
        };
        for step in rest.iter().take(done) {
            self.wrote(step);
        }
        done
    }

    /// Takes in what is known after this step.
    pub(super) fn wrote(&mut self, step: &Step) {
        self.words.write(&step.op, self.left_narrow);
        if let Some((register, value)) = self.outcome(step) {
            self.known[usize::from(register)] = value;
        }
    }

    /// The register that an instruction writes, and its value if that is known.
    pub(super) fn outcome(&self, step: &Step) -> Option<(u8, Option<u64>)> {
        use Kind::*;
        let op = &step.op;
        let written = groups::integer_destination(op)?;
        let source = self.known[usize::from(op.rs1 & 31)];
        let imm = i64::from(op.imm).cast_unsigned();
        let value = match op.kind {
            Li | Lui => Some(imm),
            Auipc => Some(step.target()),
            Mv => source,
            Addi => source.map(|value| value.wrapping_add(imm)),
            Addiw => {
                source.map(|value| i64::from((value as i32).wrapping_add(op.imm)).cast_unsigned())
            }
            Slli => source.map(|value| value << (imm & 63)),
            Jal | Jalr => Some(step.following()),
            _ => None,
        };
        Some((written, value))
    }

    /// `slli` and `srli` by the same count on one register keep its lower half, or a half-word or a byte.
    fn zero_extension(&mut self, first: &Op, second: &Op) -> bool {
        let pair = first.kind == Kind::Slli && second.kind == Kind::Srli;
        if !pair
            || first.rd != second.rd
            || second.rs1 != first.rd
            || first.imm != second.imm
            || first.rd == SINK
        {
            return false;
        }
        let Some(bytes) = kept_bytes(first) else {
            return false;
        };
        self.in_rax = None;
        let to = self.result(first.rd);
        self.assembler.extend_zero(bytes, to, self.place(first.rs1));
        self.put(first.rd, to);
        true
    }

    fn step(
        &mut self,
        trace: &Trace,
        index: usize,
        step: &Step,
        head: Label,
        output: &mut Compiled,
    ) {
        use Kind::*;
        let op = &step.op;
        let in_rax = self.in_rax.take();
        match op.kind {
            Nop => self.in_rax = in_rax,
            Fence => {
                if op.raw >> 24 & 1 != 0 && op.raw >> 20 & 2 != 0 {
                    self.assembler.full_fence();
                }
            }
            Jal => {
                self.put_constant(op.rd, step.following());
                if index + 1 == trace.steps.len() && trace.end == End::Jump {
                    self.go_to(
                        step.pc,
                        step.target(),
                        self.not_counted(index + 1),
                        trace,
                        head,
                        output,
                    );
                }
            }
            Jalr => self.jump_to_register(trace, index, step, head, output),
            Beq | Bne | Blt | Bge | Bltu | Bgeu => self.branch(trace, index, step, head, output),
            Lb | Lh | Lw | Ld | Lbu | Lhu | Lwu | Flw | Fld => {
                self.load(index, step, in_rax, output);
            }
            Sb | Sh | Sw | Sd | Fsw | Fsd => self.store(index, step, in_rax, output),
            Csrrs if op.imm == FFLAGS && op.rs1 == 0 => {
                self.check_float(index, step, output);
                self.read_flags(op.rd);
            }
            Pause => self.site(index, step, output),
            Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci => {
                self.site(index, step, output);
                self.float_checked = false;
            }
            kind if kind as u8 >= Flw as u8 => self.float(index, step, output),
            kind if kind as u8 >= LrW as u8 && kind as u8 <= AmomaxuD as u8 => {
                self.atomic(index, step, output);
            }
            _ => {
                if let Some((register, Some(value))) = self.outcome(step) {
                    self.put_constant(register, value);
                } else if !self.arithmetic(step) {
                    self.site(index, step, output);
                }
            }
        }
    }

    fn jump_to_register(
        &mut self,
        trace: &Trace,
        index: usize,
        step: &Step,
        head: Label,
        output: &mut Compiled,
    ) {
        let op = &step.op;
        let count = self.not_counted(index + 1);
        if let Some(base) = self.known[usize::from(op.rs1 & 31)] {
            let target = base.wrapping_add(i64::from(op.imm).cast_unsigned()) & !1;
            self.put_constant(op.rd, step.following());
            return self.go_to(step.pc, target, count, trace, head, output);
        }
        let base = self.value(op.rs1, RAX);
        if op.imm != 0 || base != RAX {
            self.assembler.lea(RAX, Place::Memory(base, op.imm));
        }
        self.assembler
            .alu_immediate(Alu::And, W64, Place::Register(RAX), -2);
        match self.pinned(op.rd) {
            Some(host) => self.assembler.constant(host, step.following()),
            None if op.rd == SINK => {}
            None => {
                self.assembler.constant(RCX, step.following());
                self.assembler.store(W64, self.place(op.rd), RCX);
            }
        }
        self.go_to_rax(count);
    }

    fn branch(
        &mut self,
        trace: &Trace,
        index: usize,
        step: &Step,
        head: Label,
        output: &mut Compiled,
    ) {
        let op = &step.op;
        let last = index + 1 == trace.steps.len() && trace.end == End::Jump;
        if last && step.target() == trace.start {
            self.settle_for_head();
            let count = self.not_counted(index + 1);
            // A loop: counted before the comparison, which can then jump straight to the head.
            let exhausted = if self.streams.is_counted() {
                self.assembler
                    .alu_immediate(Alu::Sub, W64, Place::Register(BUDGET), count);
                self.assembler.jump_if(Condition::Greater, head);
                return self.renew(step, trace, head, output);
            } else if self.streams.is_within() {
                let label = self.assembler.label();
                self.defer(Cold::Renew(label, index));
                label
            } else {
                let out = output.leave(Leave::Interpret {
                    pc: step.pc,
                    retired: -1,
                });
                self.cold_leave(out)
            };
            self.assembler
                .alu_immediate(Alu::Sub, W64, Place::Register(BUDGET), count);
            self.assembler.jump_if(Condition::LessEqual, exhausted);
            let condition = self.compare(op, RAX);
            let again = self.next_turn(head);
            self.assembler.jump_if(condition, again);
            self.go_to(step.pc, step.following(), 0, trace, head, output);
            return;
        }
        let condition = self.compare(op, RAX);
        let taken = self.assembler.label();
        self.assembler.jump_if(condition, taken);
        let count = self.not_counted(index + 1);
        self.defer(Cold::Taken(taken, count, step.pc, step.target()));
        if last {
            self.go_to(step.pc, step.following(), count, trace, head, output);
        }
    }

    /// Compares the sources of a branch; returns when it is taken. The scratch register is for the first.
    pub(super) fn compare(&mut self, op: &Op, scratch: Reg) -> Condition {
        let width = self.comparison_width(op);
        let condition = condition(op.kind).unwrap_or(Condition::AboveEqual);
        if op.rs1 == 0 && op.rs2 != 0 {
            let second = self.value(op.rs2, scratch);
            self.assembler.test(width, second, second);
            return condition.turned();
        }
        let first = self.value(op.rs1, scratch);
        if op.rs2 == 0 {
            self.assembler.test(width, first, first);
        } else {
            let second = self.place(op.rs2);
            self.assembler.alu(Alu::Cmp, width, first, second);
        }
        condition
    }

    /// Goes on at an address known now, after `count` instructions, from an instruction at `from`.
    pub(super) fn go_to(
        &mut self,
        from: u64,
        target: u64,
        count: i32,
        trace: &Trace,
        head: Label,
        output: &mut Compiled,
    ) {
        let page = |address: u64| address & !(PAGE_SIZE - 1);
        let near = page(target) == page(trace.start);
        if near && target == trace.start {
            self.settle_for_head();
            self.assembler
                .alu_immediate(Alu::Sub, W64, Place::Register(BUDGET), count);
            let out = output.leave(Leave::Plain { pc: target });
            let exhausted = self.cold_leave(out);
            self.assembler.jump_if(Condition::LessEqual, exhausted);
            return self.assembler.jump(head);
        }
        let mut entries = self.entries.iter();
        let within = entries.find(|(start, _)| *start == target).copied();
        self.settle_all();
        self.suspend_streams();
        #[cfg(test)]
        use crate::translate::mistakes::{Mistake, is_made};
        #[cfg(test)]
        let count = if within.is_some() && is_made(Mistake::WayNotCounted) {
            0
        } else {
            count
        };
        let back = if within.is_some() {
            Back::Exchanged
        } else {
            self.return_exchanged();
            Back::Nothing
        };
        #[cfg(test)]
        let back = match back {
            Back::Exchanged if is_made(Mistake::RegistersKept) => Back::Nothing,
            back => back,
        };
        // Whatever goes round meets this: without it, the way leads to an address further on than the trace's start.
        let checked = !near || target <= from.max(trace.start);
        if count != 0 {
            self.assembler
                .alu_immediate(Alu::Sub, W64, Place::Register(BUDGET), count);
        } else if checked {
            self.assembler.test(W64, BUDGET, BUDGET);
        }
        if checked {
            let out = output.leave(Leave::Plain { pc: target });
            let exhausted = self.cold_leave_after(back, out);
            self.assembler.jump_if(Condition::LessEqual, exhausted);
        }
        if let Some((_, entry)) = within {
            return self.assembler.jump(entry);
        }
        if near {
            let id = output.next_leave();
            let unlinked = self.cold_leave_after(back, id);
            self.assembler.jump(unlinked);
            let at = self.assembler.offset() as u32 - 4;
            output.leave(Leave::Link {
                pc: target,
                patch: Patch::Distance(at),
            });
        } else {
            let slot = output.slot();
            let id = output.leave(Leave::Link {
                pc: target,
                patch: Patch::Slot(slot),
            });
            let unlinked = self.cold_leave_after(back, id);
            let entry = slot as usize * SLOT_BYTES;
            let a = &mut self.assembler;
            a.load(W64, RAX, field(offset_of!(Core, context)));
            a.alu(Alu::Cmp, W64, RAX, Place::Slot(entry));
            a.jump_if(Condition::NotEqual, unlinked);
            a.jump_through(Place::Slot(entry + 8));
        }
    }

    /// Goes on at the address in `rax`.
    fn go_to_rax(&mut self, count: i32) {
        self.exchange_back();
        let a = &mut self.assembler;
        let miss = a.label();
        a.alu_immediate(Alu::Sub, W64, Place::Register(BUDGET), count);
        a.jump_if(Condition::LessEqual, miss);
        a.lea(RCX, Place::Indexed(RAX, RAX, 0));
        a.shift_immediate(Shift::Shl, W32, Place::Register(RCX), 3);
        a.alu_immediate(
            Alu::And,
            W32,
            Place::Register(RCX),
            (blocks::JUMPS as i32 - 1) * 32,
        );
        a.alu(Alu::Add, W64, RCX, field(offset_of!(Core, jumps)));
        a.load(W64, RDX, field(offset_of!(Core, context)));
        a.alu(Alu::Cmp, W64, RAX, Place::Memory(RCX, blocks::JUMP_PC));
        a.jump_if(Condition::NotEqual, miss);
        a.alu(Alu::Cmp, W64, RDX, Place::Memory(RCX, blocks::JUMP_CONTEXT));
        a.jump_if(Condition::NotEqual, miss);
        a.jump_through(Place::Memory(RCX, blocks::JUMP_CODE));
        a.bind(miss);
        a.jump_to(self.stubs.untranslated);
    }
}

/// How many low bytes shifting left and right by the same count keeps, if those are an integer's.
pub(super) fn kept_bytes(shift: &Op) -> Option<u8> {
    match shift.imm {
        32 => Some(4),
        48 => Some(2),
        56 => Some(1),
        _ => None,
    }
}

/// When a branch is taken.
pub(super) fn condition(kind: Kind) -> Option<Condition> {
    use Kind::*;
    Some(match kind {
        Beq => Condition::Equal,
        Bne => Condition::NotEqual,
        Blt => Condition::Less,
        Bge => Condition::GreaterEqual,
        Bltu => Condition::Below,
        Bgeu => Condition::AboveEqual,
        _ => return None,
    })
}
