//! Code for x86-64 hosts.
//!
//! `rbp` points into the hart's state (at `x16`, so that all integer registers are a short displacement away), `r14` at the
//! cached translations in force, `r15` holds the budget of instructions, and nine guest registers live in host registers as
//! long as generated code runs, across traces; the others live in the hart's state. `rax`, `rcx`, `rdx` and the vector
//! registers are free between instructions. The stack frame holds the host addresses of page groups (see [`groups`]).

use std::mem::offset_of;

use assembler::*;

use super::trace::{End, Step, Trace};
use super::{
    ALIGNMENT, Base, CodeGenerator, Compiled, Helper, Leave, Patch, SLOT_BYTES, Site, Stubs,
};
use crate::blocks;
use crate::hart::Core;
use crate::memory::PAGE_SIZE;
use crate::mmu::{self, Mmu};
use crate::op::{Kind, Op, SINK};

mod arithmetic;
mod assembler;
mod control;
mod float;
mod groups;
#[cfg(test)]
pub(super) mod inspection;
mod loops;
mod memory;
mod skip;
mod streams;
mod turns;
mod words;

use groups::Groups;
use words::Words;

/// Guest registers in host registers: those that compilers use most.
const PINNED: [(u8, Reg); 9] = [
    (2, RBX),
    (8, R12),
    (9, R13),
    (10, RSI),
    (11, RDI),
    (12, R8),
    (13, R9),
    (14, R10),
    (15, R11),
];
/// The number of the CSR `fflags`.
const FFLAGS: i32 = 1;
const TABLES: Reg = R14;
const BUDGET: Reg = R15;

/// Page groups that one trace can have.
const GROUP_SLOTS: usize = 32;
/// Keeps the stack aligned: a return address and six saved registers lie above.
const FRAME: i32 = (GROUP_SLOTS + streams::SLOTS).next_multiple_of(2) as i32 * 8 + 8;
/// All exceptions masked, to nearest, no flags.
const CLEAN_MXCSR: u32 = 0x1f80;
/// Where `rbp` points.
const BIAS: usize = offset_of!(Core, x) + 128;

fn field(offset: usize) -> Place {
    Place::Memory(RBP, offset as i32 - BIAS as i32)
}

/// Where a guest register is while no code runs.
fn home(guest: u8) -> Place {
    Place::Memory(RBP, i32::from(guest) * 8 - 128)
}

fn float_place(register: u8) -> Place {
    field(offset_of!(Core, f) + usize::from(register & 31) * 8)
}

/// What is to be put back before all other code finds things as it expects them.
#[derive(Clone, Copy)]
enum Back {
    Everything,
    /// The guest registers that have others' host registers.
    Exchanged,
    Nothing,
}

/// Code that is rarely run, put after a trace's own.
#[derive(Clone, Copy)]
enum Cold {
    /// Leaves with this record, after putting back what is still to be put back.
    Leave(Label, u32, Back),
    /// The interpreter does one instruction, then back, with these of [`X64::reloads`] in vector registers again.
    Site(Label, Label, u32, (usize, usize)),
    /// A branch was taken after so many instructions.
    Taken(Label, i32, u64, u64),
    /// Looks up the page of a loop's access, then back, or to its slow way.
    Refill(Label, Label, Label, memory::Refill),
    /// Another turn of a loop, or time to look up pages.
    Turn(Label, Label, Label),
    /// A loop without checks has used up its budget before the branch at this step.
    Renew(Label, usize),
    /// Puts a constant into a scratch register, then back.
    Constant(Label, Label, Reg, u64),
    /// Puts a constant into the first vector register, then back.
    Vector(Label, Label, u64),
    /// Negates `rax`, then back.
    Negate(Label, Label, Width),
    /// Puts the control register of floating point back, then back.
    Control(Label, Label),
    /// Copies the second register to the first, then back.
    Move(Label, Label, Reg, Reg),
    /// Takes nothing from the budget, then back.
    All(Label, Label),
    /// Just goes back.
    Back(Label, Label),
}

/// The generator for this host.
#[derive(Default)]
pub(super) struct X64 {
    assembler: Assembler,
    /// With what is known about the registers there.
    cold: Vec<(Cold, Words)>,
    stubs: Stubs,
    /// The guest's flags for each combination of the host's.
    flags: usize,
    groups: Groups,
    /// The group whose host address `rax` holds.
    in_rax: Option<usize>,
    /// Floating point is on and rounds to nearest: checked in this trace.
    float_checked: bool,
    floats: float::Cache,
    /// Vector registers to load after calls: which one, with what, and whether it is a double.
    reloads: Vec<(Reg, u8, bool)>,
    /// Values of guest registers that are known: results of instructions with constants only.
    known: [Option<u64>; 32],
    words: Words,
    /// The registers that may be narrow where the body starts.
    narrow_head: u32,
    /// The instruction being written left its result narrow.
    left_narrow: bool,
    exchanged: Vec<loops::Exchange>,
    /// Where the traces of a region start.
    entries: Vec<(u64, Label)>,
    loop_slots: memory::LoopSlots,
    streams: streams::Streams,
    /// Instructions that a trace takes at least from its start to its end.
    least_turn: i32,
    /// Instructions so far that are taken from the budget where they are, if they are not skipped.
    counted_apart: i32,
}

impl CodeGenerator for X64 {
    fn is_supported() -> bool {
        // x86-64-v3: any processor since 2013.
        use std::arch::is_x86_feature_detected as has;
        has!("bmi1")
            && has!("bmi2")
            && has!("lzcnt")
            && has!("popcnt")
            && has!("fma")
            && has!("sse4.1")
    }

    fn new(offset: usize, helper: Helper) -> (Self, Vec<u8>) {
        let mut new = Self::default();
        let a = &mut new.assembler;
        a.restart(offset);
        let clean = Place::Code(a.offset());
        a.bytes.extend(CLEAN_MXCSR.to_le_bytes());
        a.bytes.extend([0xcc; 12]);
        new.flags = a.offset();
        // Invalid, (denormal,) division by zero, overflow, underflow, inexact: bits 0 to 5 there, 4 to 0 here.
        a.bytes.extend((0..64u8).map(|host| {
            (host & 1) << 4 | (host & 4) << 1 | (host & 8) >> 1 | (host & 0x10) >> 3 | host >> 5
        }));

        let enter = a.offset();
        for reg in [RBX, RBP, R12, R13, R14, R15] {
            a.push(reg);
        }
        a.alu_immediate(Alu::Sub, W64, Place::Register(RSP), FRAME);
        a.lea(RBP, Place::Memory(RDI, BIAS as i32));
        a.mov(RAX, Place::Register(RSI));
        a.float_control(2, clean);
        load_registers(a);
        a.jump_through(Place::Register(RAX));

        let leave = a.offset();
        save_registers(a);
        let epilogue = a.label();
        a.bind(epilogue);
        a.alu_immediate(Alu::Add, W64, Place::Register(RSP), FRAME);
        for reg in [R15, R14, R13, R12, RBP, RBX] {
            a.pop(reg);
        }
        a.ret();

        // The target of an indirect jump is in rax.
        let untranslated = a.offset();
        a.store(W64, field(offset_of!(Core, pc)), RAX);
        a.constant(RAX, 0);
        a.jump_to(leave);

        let site = a.offset();
        save_registers(a);
        a.lea(RDI, Place::Memory(RBP, -(BIAS as i32)));
        a.extend_zero(4, RSI, Place::Register(RAX));
        a.alu_immediate(Alu::Sub, W64, Place::Register(RSP), 8);
        a.constant(RAX, helper as usize as u64);
        a.call_through(Place::Register(RAX));
        a.alu_immediate(Alu::Add, W64, Place::Register(RSP), 8);
        a.test(W32, RAX, RAX);
        let go_on = a.label();
        a.jump_if(Condition::Equal, go_on);
        a.alu_immediate(Alu::Add, W64, Place::Register(RSP), 8);
        a.constant(RAX, 0);
        a.jump(epilogue);
        a.bind(go_on);
        a.float_control(2, clean);
        load_registers(a);
        a.ret();
        a.finish();
        new.stubs = Stubs {
            enter,
            leave,
            untranslated,
            site,
        };
        let bytes = std::mem::take(&mut new.assembler.bytes);
        (new, bytes)
    }

    fn stubs(&self) -> Stubs {
        self.stubs
    }

    fn trace(&mut self, trace: &Trace, grouped: bool, output: &mut Compiled) {
        self.assembler.restart(0);
        self.cold.clear();
        self.reloads.clear();
        loops::exchanges(trace, &mut self.exchanged);
        self.exchange();
        self.entries.clear();
        for trace in trace.all() {
            let entry = (trace.start, self.assembler.label());
            self.entries.push(entry);
        }
        for (index, trace) in trace.all().enumerate() {
            self.assembler.bind(self.entries[index].1);
            self.part(trace, grouped, output);
        }
        self.assembler.finish();
        std::mem::swap(&mut self.assembler.bytes, &mut output.bytes);
        std::mem::swap(&mut self.assembler.relocations, &mut output.relocations);
    }

    fn patch(&self, patch: &Patch, target: usize) -> Option<(usize, [u8; 4])> {
        match patch {
            Patch::Distance(at) => Some((
                *at as usize,
                ((target as i64 - (i64::from(*at) + 4)) as i32).to_le_bytes(),
            )),
            Patch::Slot(_) => None,
        }
    }

    fn replacement(&self, old: usize, new: usize) -> Vec<u8> {
        // `jmp new`
        let distance = (new as i64 - (old as i64 + 5)) as i32;
        let mut code = vec![0xe9];
        code.extend(distance.to_le_bytes());
        code
    }

    fn way_out(&self, old: usize, leave: u32) -> Vec<u8> {
        // `mov eax, leave`
        let mut code = vec![0xb8];
        code.extend(leave.to_le_bytes());
        code.extend(self.replacement(old + code.len(), self.stubs.leave));
        code
    }
}

/// Guest registers, budget and floating-point flags into the hart's state; keeps `rax`.
fn save_registers(a: &mut Assembler) {
    for (guest, host) in PINNED {
        a.store(W64, Place::Memory(RBP, i32::from(guest) * 8 - 128), host);
    }
    a.store(W64, field(offset_of!(Core, budget)), BUDGET);
    a.float_control(3, Place::Memory(RSP, -16));
    a.load(W32, RCX, Place::Memory(RSP, -16));
    a.alu_to(Alu::Or, W32, field(offset_of!(Core, host_flags)), RCX);
}

/// The other way round; keeps `rax`.
fn load_registers(a: &mut Assembler) {
    for (guest, host) in PINNED {
        a.load(W64, host, Place::Memory(RBP, i32::from(guest) * 8 - 128));
    }
    a.load(W64, BUDGET, field(offset_of!(Core, budget)));
    a.load(
        W64,
        TABLES,
        field(offset_of!(Core, mmu) + offset_of!(Mmu, current)),
    );
}

impl X64 {
    /// A trace of a region, with what goes before it.
    fn part(&mut self, trace: &Trace, grouped: bool, output: &mut Compiled) {
        self.groups.find(&trace.steps, grouped);
        self.find_streams(trace);
        self.prepare_loop(trace);
        let head = self.assembler.label();
        if loops::is_loop(trace) {
            self.assembler.align(ALIGNMENT);
        }
        self.assembler.bind(head);
        self.body(trace, head, output);
        let always = self.least_turn == trace.steps.len() as i32;
        if let Some(head) = self.look_up_pages(self.least_turn, always) {
            self.body(trace, head, output);
        }
    }

    /// All instructions of a trace, and the rarely run code that they need.
    fn body(&mut self, trace: &Trace, head: Label, output: &mut Compiled) {
        self.in_rax = None;
        self.float_checked = false;
        self.floats.clear();
        self.known = [None; 32];
        self.known[0] = Some(0);
        self.narrow_head = self.narrow_at_head(trace);
        self.words = Words::at_head(self.narrow_head);
        self.least_turn = trace.steps.len() as i32;
        self.counted_apart = 0;
        let mut index = 0;
        while index < trace.steps.len() {
            index += self.steps(trace, index, head, output);
        }
        let count = self.not_counted(trace.steps.len());
        match trace.end {
            End::Jump => {}
            End::Next(pc) => {
                let from = trace.steps.last().map_or(trace.start, |step| step.pc);
                self.go_to(from, pc, count, trace, head, output);
            }
            End::Interpret(pc) => {
                let id = output.leave(Leave::Interpret { pc, retired: count });
                self.exchange_back();
                self.leave(id);
            }
        }
        let mut index = 0;
        while index < self.cold.len() {
            self.cold_code(index, trace, head, output);
            index += 1;
        }
        self.cold.clear();
    }

    /// The host register of a guest register, in this trace.
    fn pinned(&self, guest: u8) -> Option<Reg> {
        if self.streams.displaces(guest) {
            return None;
        }
        for guests in &self.exchanged {
            if guests.held == guest {
                return Some(guests.host);
            }
            if guests.displaced == guest {
                return None;
            }
        }
        PINNED
            .iter()
            .find(|(register, _)| *register == guest)
            .map(|(_, host)| *host)
    }

    /// Where a guest register is, in this trace; `x0` is a word in memory that stays zero.
    fn place(&self, guest: u8) -> Place {
        match self.pinned(guest) {
            Some(host) => Place::Register(host),
            None => home(guest),
        }
    }

    /// Gives this loop's own registers their place in host registers.
    fn exchange(&mut self) {
        for guests in &self.exchanged {
            self.assembler
                .store(W64, home(guests.displaced), guests.host);
            self.assembler.load(W64, guests.host, home(guests.held));
        }
    }

    /// Puts things back as all traces expect them; keeps the scratch registers.
    fn exchange_back(&mut self) {
        self.settle_all();
        self.suspend_streams();
        self.return_exchanged();
    }

    fn return_exchanged(&mut self) {
        for guests in &self.exchanged {
            self.assembler.store(W64, home(guests.held), guests.host);
            self.assembler
                .load(W64, guests.host, home(guests.displaced));
        }
    }

    /// How many of the first `steps` instructions are still to be taken from the budget.
    fn not_counted(&self, steps: usize) -> i32 {
        steps as i32 - self.counted_apart
    }

    fn leave(&mut self, id: u32) {
        self.assembler.number(RAX, id, Base::Leaves);
        self.assembler.jump_to(self.stubs.leave);
    }

    /// A way out to code that puts the registers back and leaves.
    fn cold_leave(&mut self, id: u32) -> Label {
        self.cold_leave_after(Back::Everything, id)
    }

    /// The same, where only this is still to be put back.
    fn cold_leave_after(&mut self, back: Back, id: u32) -> Label {
        let label = self.assembler.label();
        self.defer(Cold::Leave(label, id, back));
        label
    }

    /// Puts code after the trace's own.
    fn defer(&mut self, cold: Cold) {
        self.cold.push((cold, self.words));
    }

    /// Cold code in which the interpreter does this step; returns its label and where it comes back.
    fn cold_site(&mut self, index: usize, step: &Step, output: &mut Compiled) -> (Label, Label) {
        let id = output.site(Site {
            op: step.op,
            pc: step.pc,
            before: self.not_counted(index),
        });
        let (label, back) = (self.assembler.label(), self.assembler.label());
        self.defer(Cold::Site(label, back, id, (0, 0)));
        (label, back)
    }

    /// Where the code goes on after the slow way of [`X64::cold_site`].
    fn come_back(&mut self, back: Label) {
        self.assembler.bind(back);
        let first = self.reloads.len();
        self.reloads.extend(self.floats.held());
        let last = self.reloads.len();
        let site = self.cold.iter_mut().rev().find_map(|(cold, _)| match cold {
            Cold::Site(_, to, _, range) if *to == back => Some(range),
            _ => None,
        });
        if let Some(range) = site {
            *range = (first, last);
        }
    }

    /// The interpreter does this step.
    fn site(&mut self, index: usize, step: &Step, output: &mut Compiled) {
        let id = output.site(Site {
            op: step.op,
            pc: step.pc,
            before: self.not_counted(index),
        });
        self.call_site(id);
        self.floats.clear();
    }

    fn call_site(&mut self, id: u32) {
        self.exchange_back();
        self.assembler.number(RAX, id, Base::Sites);
        self.assembler.call_to(self.stubs.site);
        for guests in &self.exchanged {
            self.assembler.load(W64, guests.host, home(guests.held));
        }
        self.resume_streams();
    }

    fn cold_code(&mut self, index: usize, trace: &Trace, head: Label, output: &mut Compiled) {
        let (cold, words) = self.cold[index];
        self.words = words;
        match cold {
            Cold::Leave(label, id, back) => {
                self.assembler.bind(label);
                match back {
                    Back::Everything => self.exchange_back(),
                    Back::Exchanged => self.return_exchanged(),
                    Back::Nothing => {}
                }
                self.leave(id);
            }
            Cold::Site(label, back, id, (first, last)) => {
                self.assembler.bind(label);
                self.call_site(id);
                for reload in first..last {
                    let (vector, register, double) = self.reloads[reload];
                    self.assembler
                        .scalar(double, float::MOVE_FROM, vector, float_place(register));
                }
                self.assembler.jump(back);
            }
            Cold::Taken(label, count, from, target) => {
                self.assembler.bind(label);
                self.go_to(from, target, count, trace, head, output);
            }
            Cold::Refill(label, back, slow, refill) => {
                self.assembler.bind(label);
                self.refill(refill, slow);
                self.assembler.jump(back);
            }
            Cold::Turn(label, head, setup) => {
                self.assembler.bind(label);
                self.count_turn(head, setup);
            }
            Cold::Renew(label, index) => {
                self.assembler.bind(label);
                self.renew(&trace.steps[index], trace, head, output);
            }
            Cold::Constant(label, back, reg, value) => {
                self.assembler.bind(label);
                self.assembler.constant(reg, value);
                self.assembler.jump(back);
            }
            Cold::Vector(label, back, value) => {
                self.assembler.bind(label);
                self.assembler.constant(RAX, value);
                self.assembler.scalar_from_general(XMM0, RAX);
                self.assembler.jump(back);
            }
            Cold::Negate(label, back, width) => {
                self.assembler.bind(label);
                self.assembler.unary(3, width, Place::Register(RAX));
                self.assembler.jump(back);
            }
            Cold::Control(label, back) => {
                self.assembler.bind(label);
                self.assembler.float_control(2, Place::Memory(RSP, -16));
                self.assembler.jump(back);
            }
            Cold::Move(label, back, to, from) => {
                self.assembler.bind(label);
                self.assembler.load(W64, to, Place::Register(from));
                self.assembler.jump(back);
            }
            Cold::All(label, back) => {
                self.assembler.bind(label);
                self.assembler.constant(RAX, 0);
                self.assembler.jump(back);
            }
            Cold::Back(label, back) => {
                self.assembler.bind(label);
                self.assembler.jump(back);
            }
        }
    }

    /// A guest register's value in a host register: its own, or the scratch register.
    fn value(&mut self, guest: u8, scratch: Reg) -> Reg {
        match self.pinned(guest) {
            Some(host) => host,
            None => {
                if guest == 0 {
                    self.assembler.constant(scratch, 0);
                } else {
                    self.assembler.load(W64, scratch, self.place(guest));
                }
                scratch
            }
        }
    }

    /// Where to make a result: the guest register's host register, or `rax`.
    fn result(&self, rd: u8) -> Reg {
        self.pinned(rd).unwrap_or(RAX)
    }

    /// Writes a guest register.
    fn put(&mut self, rd: u8, from: Reg) {
        match self.pinned(rd) {
            Some(host) => self.assembler.mov(host, Place::Register(from)),
            None if rd == SINK => {}
            None => self.assembler.store(W64, self.place(rd), from),
        }
    }

    fn put_constant(&mut self, rd: u8, value: u64) {
        match self.pinned(rd) {
            Some(host) => self.assembler.constant(host, value),
            None if rd == SINK => {}
            None => match i32::try_from(value.cast_signed()) {
                Ok(value) => self.assembler.store_constant(self.place(rd), value),
                Err(_) => {
                    self.assembler.constant(RAX, value);
                    self.assembler.store(W64, self.place(rd), RAX);
                }
            },
        }
    }
}

/// Offsets of the cached translations for generated code: of loads and stores, from the tables in force.
fn entry_offset(store: bool) -> i32 {
    (if store {
        mmu::STORE_ENTRIES
    } else {
        mmu::LOAD_ENTRIES
    }) as i32
}
