//! Loops that go through memory in steps: their pages are checked once for as many turns as stay in them.
//!
//! A stream is what a loop loads (or stores) through one base register that the loop leaves alone or moves by a constant. The
//! loop is written twice. The first body checks each access; after some turns it goes to a part that looks up the page of
//! each stream, computes how many turns stay in these pages, and lowers the budget to that: the second body needs no checks.
//! When its budget is used up, what was taken away is given back, and the pages are looked up anew. A loop that tells how many
//! turns it makes ([`super::turns`]) has them all at once, if they stay in their pages.

use super::groups::{access, integer_destination};
use super::turns::Countdown;
use super::*;

/// Most streams of a loop.
const MOST: usize = 5;
/// Turns with checks before the pages are looked up: many loops are short.
const TURNS: i32 = 2;
/// A loop that is known to make fewer is not worth it.
const FEW: i32 = 4;

/// One stream.
#[derive(Debug, Clone)]
struct Stream {
    base: u8,
    store: bool,
    /// How far the base moves in a turn.
    stride: i32,
    /// Size of the largest access, and an offset from the base where there is one.
    size: i32,
    anchor: i32,
    /// First offset in a turn, and the one after the last.
    low: i32,
    high: i32,
    /// The host register that leads to the host's addresses, and the guest's that is otherwise there.
    register: Option<(Reg, u8)>,
}

/// The streams of a trace.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    of_step: Vec<Option<usize>>,
    /// The body without checks is being written, with its head, and the part that looks up pages.
    within: Option<Label>,
    setup: Option<Label>,
    /// What goes before the first body.
    start: Option<Label>,
    countdown: Option<Countdown>,
    /// The budget of the body without checks is no more than the loop's turns.
    counted: bool,
    /// Nothing is taken from the budget at this point of that body.
    is_whole: bool,
}

/// Turns until pages are looked up.
const WAIT: Place = slot(0);
/// What was taken from the budget; while pages are looked up, all of it.
pub(super) const EXCESS: Place = slot(1);

const fn slot(index: usize) -> Place {
    Place::Memory(RSP, ((GROUP_SLOTS + index) * 8) as i32)
}

/// Slots of the stack frame that this takes.
pub(super) const SLOTS: usize = 2 + MOST;

fn bias(stream: usize) -> Place {
    slot(2 + stream)
}

impl Streams {
    /// The streams of a loop; `idle` are host registers that it has no use for, with their guests.
    pub(super) fn find(&mut self, trace: &Trace, mut idle: impl Iterator<Item = (u8, Reg)>) {
        let Some((last, others)) = trace.steps.split_last() else {
            return;
        };
        self.of_step.resize(trace.steps.len(), None);
        // A turn that ends early takes less of the budget.
        let restarts = |step: &Step| {
            let jumps = step.op.kind == Kind::Jal || control::condition(step.op.kind).is_some();
            jumps && step.target() == trace.start
        };
        if !loops::is_loop(trace) || last.op.kind == Kind::Jal || others.iter().any(restarts) {
            return;
        }
        for (index, Step { op, .. }) in trace.steps.iter().enumerate() {
            let Some((size, store)) = access(op.kind) else {
                continue;
            };
            let Some((stride, moved)) = movement(trace, op.rs1, false) else {
                continue;
            };
            // After the base has moved, and a loop may go on without moving it.
            let further = if moved < index { stride } else { 0 };
            let (low, high) = (op.imm + further.min(0), op.imm + further.max(0) + size);
            let known = self
                .streams
                .iter()
                .position(|stream| (stream.base, stream.store) == (op.rs1, store));
            let fits = match known {
                Some(number) => self.streams[number].admit(op.imm, size, low, high),
                None => self.streams.len() < MOST && stride % size == 0,
            };
            if !fits {
                continue;
            }
            self.of_step[index] = Some(known.unwrap_or(self.streams.len()));
            if known.is_none() {
                self.streams.push(Stream {
                    base: op.rs1,
                    store,
                    stride,
                    size,
                    anchor: op.imm,
                    low,
                    high,
                    register: idle.next().map(|(guest, host)| (host, guest)),
                });
            }
        }
    }

    /// None.
    fn clear(&mut self) {
        self.streams.clear();
        self.of_step.clear();
        (self.within, self.setup, self.start) = (None, None, None);
        (self.countdown, self.counted, self.is_whole) = (None, false, false);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The streams that have a host register now, as that register and its guest.
    fn held(&self) -> impl Iterator<Item = (usize, Reg, u8)> {
        let streams = if self.within.is_some() {
            &self.streams[..]
        } else {
            &[]
        };
        let held = |(number, stream): (usize, &Stream)| {
            stream.register.map(|(host, guest)| (number, host, guest))
        };
        streams.iter().enumerate().filter_map(held)
    }

    /// Whether all accesses of the trace are streams'.
    pub(super) fn are_complete(&self, trace: &Trace) -> bool {
        let mut steps = trace.steps.iter().zip(&self.of_step);
        !self.is_empty()
            && steps.all(|(step, stream)| stream.is_some() || access(step.op.kind).is_none())
    }

    pub(super) fn is_within(&self) -> bool {
        self.within.is_some()
    }

    /// Whether the budget ends before the loop does, in the body being written.
    pub(super) fn is_counted(&self) -> bool {
        self.is_within() && self.counted
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether a counter with this stride moves no farther than 2 MiB while all of them stay in their pages.
    pub(super) fn are_near(&self, stride: u32) -> bool {
        let moves = |stream: &Stream| stream.stride.unsigned_abs();
        let mut streams = self.streams.iter();
        streams.any(|stream| moves(stream) != 0 && stride / moves(stream) < 256)
    }

    /// The base of a stream, and whether an access goes there without an offset.
    pub(super) fn base(&self, number: usize) -> (u8, bool) {
        let stream = &self.streams[number];
        (stream.base, stream.anchor == 0)
    }

    /// Whether this guest register's host register holds something else now.
    pub(super) fn displaces(&self, guest: u8) -> bool {
        self.held().any(|(_, _, displaced)| displaced == guest)
    }
}

/// How far a turn moves a register, and the step that does; `None` if that is not so simple. `word` also takes movements of
/// the register's lower half.
pub(super) fn movement(trace: &Trace, register: u8, word: bool) -> Option<(i32, usize)> {
    let mut writes = trace
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| integer_destination(&step.op) == Some(register));
    let Some((index, step)) = writes.next() else {
        return Some((0, usize::MAX));
    };
    let adds = step.op.kind == Kind::Addi || word && step.op.kind == Kind::Addiw;
    let simple = adds && step.op.rs1 == register && writes.next().is_none();
    (simple && step.op.imm.unsigned_abs() < PAGE_SIZE as u32 / 2).then_some((step.op.imm, index))
}

impl Stream {
    /// Takes in another access, if it is aligned whenever the largest one is.
    fn admit(&mut self, offset: i32, size: i32, low: i32, high: i32) -> bool {
        let (all_low, all_high) = (self.low.min(low), self.high.max(high));
        if (offset - self.anchor) % size.min(self.size) != 0
            || self.stride % size != 0
            || all_high - all_low > PAGE_SIZE as i32 / 2
        {
            return false;
        }
        (self.low, self.high) = (all_low, all_high);
        if size > self.size {
            (self.anchor, self.size) = (offset, size);
        }
        true
    }
}

impl X64 {
    /// Finds the streams of a trace.
    pub(super) fn find_streams(&mut self, trace: &Trace) {
        self.streams.clear();
        if memory::is_plain_loop(trace) {
            // Host registers whose guests the loop does not use.
            let uses = loops::uses(trace);
            let exchanged = &self.exchanged;
            let guest = |(pinned, host)| {
                let other = exchanged.iter().find(|guests| guests.host == host);
                (other.map_or(pinned, |guests| guests.held), host)
            };
            let idle = PINNED.into_iter().map(guest);
            let idle = idle.filter(|(guest, _)| uses[usize::from(*guest)] == 0);
            self.streams.find(trace, idle);
            self.streams.countdown = Countdown::of(trace);
        }
    }

    /// A loop that is going to make many turns, as far as can be told, looks up its pages before the first.
    pub(super) fn start_at_once(&mut self) {
        if self.streams.is_empty() {
            return;
        }
        let (setup, start) = (self.assembler.label(), self.assembler.label());
        self.streams.setup = Some(setup);
        self.streams.start = Some(start);
        if let Some(countdown) = self.streams.countdown {
            self.distance(&countdown, RAX);
            let few = countdown.stride.abs() * FEW;
            let a = &mut self.assembler;
            a.alu_immediate(Alu::Cmp, W64, Place::Register(RAX), few);
            a.jump_if(Condition::GreaterEqual, setup);
        }
        self.assembler.bind(start);
    }

    /// What else goes before the first body.
    pub(super) fn start_waiting(&mut self) {
        if !self.streams.is_empty() {
            self.assembler.store_constant(WAIT, TURNS);
        }
    }

    /// In the first body, where a loop goes back to its start.
    pub(super) fn next_turn(&mut self, head: Label) -> Label {
        let Some(setup) = self.streams.setup.filter(|_| !self.streams.is_within()) else {
            return head;
        };
        let label = self.assembler.label();
        self.defer(Cold::Turn(label, head, setup));
        label
    }

    /// The way from one turn of the first body to the next.
    pub(super) fn count_turn(&mut self, head: Label, setup: Label) {
        self.assembler.alu_immediate(Alu::Sub, W32, WAIT, 1);
        self.assembler.jump_if(Condition::NotEqual, head);
        self.assembler.jump(setup);
    }

    /// Looks up the pages, and goes on to the body without checks, which follows, or back to the first one. Returns the head
    /// of that body; `count` is the least number of instructions of a turn, `always` tells that each takes as many.
    pub(super) fn look_up_pages(&mut self, count: i32, always: bool) -> Option<Label> {
        let (setup, start) = (self.streams.setup?, self.streams.start?);
        let countdown = self.streams.countdown;
        let countdown = countdown.filter(|countdown| always && countdown.is_telling());
        let failed = self.assembler.label();
        let within = self.assembler.label();
        self.assembler.bind(setup);
        self.streams.within = Some(within);
        self.streams.counted = countdown.is_some();
        for (_, host, guest) in self.streams.held() {
            self.assembler.store(W64, home(guest), host);
        }
        if let Some(countdown) = countdown {
            self.look_up_counted(&countdown, count, failed);
        } else {
            self.assembler.store(W64, EXCESS, BUDGET);
            for number in 0..self.streams.len() {
                self.look_up_page(number, count, failed);
            }
            let a = &mut self.assembler;
            a.load(W64, RAX, EXCESS);
            a.alu(Alu::Sub, W64, RAX, Place::Register(BUDGET));
            a.store(W64, EXCESS, RAX);
        }
        let a = &mut self.assembler;
        a.jump(within);
        a.bind(failed);
        if countdown.is_none() {
            a.load(W64, BUDGET, EXCESS);
        }
        for (_, host, guest) in self.streams.held() {
            self.assembler.load(W64, host, home(guest));
        }
        self.assembler.jump(start);
        self.assembler.align(ALIGNMENT);
        self.assembler.bind(within);
        Some(within)
    }

    /// Looks up the page of a stream; what leads to the host's addresses goes where the body without checks expects it. Leaves
    /// where in the page the turn begins in `rcx`, and returns the stream's stride and the last such place at which the rest
    /// of the turn lies in the same page.
    pub(super) fn enter_page(&mut self, number: usize, failed: Label) -> (i32, i32) {
        let Stream {
            base,
            store,
            stride,
            size,
            anchor,
            low,
            high,
            register,
        } = self.streams.streams[number];
        let address = self.address(base, anchor);
        self.check(address, size, store, failed);
        let a = &mut self.assembler;
        let host = register.map_or(RDX, |(host, _)| host);
        a.load(W64, host, memory::host_entry(store));
        a.store(W64, bias(number), host);
        a.load(W32, RCX, Place::Register(address));
        if low != anchor {
            a.alu_immediate(Alu::Add, W32, Place::Register(RCX), low - anchor);
        }
        a.alu_immediate(Alu::And, W32, Place::Register(RCX), PAGE_SIZE as i32 - 1);
        (stride, PAGE_SIZE as i32 - (high - low))
    }

    /// The same, and the budget is lowered to the turns that stay in the page.
    fn look_up_page(&mut self, number: usize, count: i32, failed: Label) {
        let (stride, last) = self.enter_page(number, failed);
        let a = &mut self.assembler;
        a.alu_immediate(Alu::Cmp, W32, Place::Register(RCX), last);
        a.jump_if(Condition::Above, failed);
        if stride == 0 {
            return;
        }
        if stride > 0 {
            a.constant(RDX, last as u64);
            a.alu(Alu::Sub, W32, RDX, Place::Register(RCX));
        } else {
            a.load(W32, RDX, Place::Register(RCX));
        }
        // Further turns: a quotient of at most 4096, exact by way of the reciprocal since both numbers have at most 12 bits.
        let stride = stride.unsigned_abs();
        if stride.is_power_of_two() {
            a.shift_immediate(
                Shift::Shr,
                W32,
                Place::Register(RDX),
                stride.trailing_zeros() as u8,
            );
        } else {
            let reciprocal = (1u32 << 24).div_ceil(stride) as i32;
            a.multiply_constant(RDX, Place::Register(RDX), reciprocal);
            a.shift_immediate(Shift::Shr, W64, Place::Register(RDX), 24);
        }
        a.multiply_constant(RDX, Place::Register(RDX), count);
        a.alu_immediate(Alu::Add, W64, Place::Register(RDX), count);
        a.alu(Alu::Cmp, W64, RDX, Place::Register(BUDGET));
        a.conditional_move(Condition::Less, BUDGET, Place::Register(RDX));
    }

    /// The stream of an access in the body without checks.
    pub(super) fn stream_within(&self, index: usize) -> Option<usize> {
        self.streams.within?;
        self.streams.of_step.get(index).copied().flatten()
    }

    /// Where such an access goes.
    pub(super) fn reach_stream(&mut self, index: usize, op: &Op) -> Option<Place> {
        let number = self.stream_within(index)?;
        let base = self.pinned(op.rs1);
        let register = self.streams.streams[number].register;
        Some(match (register, base) {
            (Some((host, _)), Some(base)) => Place::Indexed(host, base, op.imm),
            (Some((host, _)), None) => {
                let base = self.value(op.rs1, RAX);
                Place::Indexed(host, base, op.imm)
            }
            (None, Some(base)) => {
                self.assembler.load(W64, RAX, bias(number));
                Place::Indexed(RAX, base, op.imm)
            }
            (None, None) => {
                self.value(op.rs1, RAX);
                self.assembler.alu(Alu::Add, W64, RAX, bias(number));
                Place::Memory(RAX, op.imm)
            }
        })
    }

    /// Puts registers and budget back as the rest of the code expects them; keeps the scratch registers.
    pub(super) fn suspend_streams(&mut self) {
        if self.streams.within.is_some() {
            for (_, host, guest) in self.streams.held() {
                self.assembler.load(W64, host, home(guest));
            }
            if !self.streams.is_whole {
                self.assembler.alu(Alu::Add, W64, BUDGET, EXCESS);
            }
        }
    }

    /// The other way round.
    pub(super) fn resume_streams(&mut self) {
        if self.streams.within.is_some() {
            for (number, host, _) in self.streams.held() {
                self.assembler.load(W64, host, bias(number));
            }
            self.assembler.alu(Alu::Sub, W64, BUDGET, EXCESS);
        }
    }

    /// The body without checks has used up its budget, before the branch back to its start: with what was taken from it, it
    /// may go on.
    pub(super) fn renew(
        &mut self,
        branch: &Step,
        trace: &Trace,
        head: Label,
        output: &mut Compiled,
    ) {
        let Some(setup) = self.streams.setup else {
            return;
        };
        self.assembler.alu(Alu::Add, W64, BUDGET, EXCESS);
        self.assembler.store_constant(EXCESS, 0);
        self.assembler.test(W64, BUDGET, BUDGET);
        let out = output.leave(Leave::Interpret {
            pc: branch.pc,
            retired: -1,
        });
        let exhausted = self.cold_leave(out);
        self.assembler.jump_if(Condition::LessEqual, exhausted);
        let condition = self.compare(&branch.op, RAX);
        let again = self.assembler.label();
        self.assembler.jump_if(condition, again);
        let words = self.words;
        self.streams.is_whole = true;
        self.go_to(branch.pc, branch.following(), 0, trace, head, output);
        self.streams.is_whole = false;
        self.words = words;
        self.assembler.bind(again);
        self.settle_all();
        for (_, host, guest) in self.streams.held() {
            self.assembler.load(W64, host, home(guest));
        }
        self.assembler.jump(setup);
    }
}
