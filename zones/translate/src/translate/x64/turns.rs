//! Loops that count: how many turns they are still going to make, where that can be told before the next one.
//!
//! Then the body without checks (see [`super::streams`]) needs no comparison of the guest's either: the budget is lowered to
//! that many turns, and what the guest compares is only looked at when it is used up. The number need not be exact, but a
//! loop makes at least so many.

use super::streams::{EXCESS, movement};
use super::*;
#[cfg(test)]
use crate::translate::mistakes::{Mistake, is_made};

/// Most that is made use of, from counter to limit: farther ones are reached by looking again.
const FARTHEST: u64 = (1 << 20) - 1;

/// What a loop's last branch compares: a register that each turn moves by the same amount, and one that no turn changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Countdown {
    counter: u8,
    limit: u8,
    /// How far a turn moves the counter.
    pub(super) stride: i32,
    /// It is a 32-bit value then.
    word: bool,
    /// The loop goes on while the one that lies lower, which is the first source, compares so to the other; none if it is
    /// not as simple as that.
    while_so: Option<Condition>,
}

impl Countdown {
    pub(super) fn of(trace: &Trace) -> Option<Self> {
        let Op { kind, rs1, rs2, .. } = trace.steps.last()?.op;
        let [first, second] = [rs1, rs2].map(|register| movement(trace, register, true));
        let (counter, limit, (stride, moved)) = match (kind, first?, second?) {
            (Kind::Beq, ..) => None,
            (_, (0, _), by) if by.0 != 0 => Some((rs2, rs1, by)),
            (_, by, (0, _)) if by.0 != 0 => Some((rs1, rs2, by)),
            _ => None,
        }?;
        let word = trace.steps[moved].op.kind == Kind::Addiw;
        let upwards = (rs1 == counter) == (stride > 0);
        let while_so = match kind {
            Kind::Bne => Some(Condition::NotEqual),
            Kind::Blt if upwards => Some(Condition::Less),
            Kind::Bltu if upwards && !word => Some(Condition::Below),
            _ => None,
        };
        Some(Self {
            counter,
            limit,
            stride,
            word,
            while_so,
        })
    }

    /// Whether it tells how many turns there are.
    pub(super) fn is_telling(&self) -> bool {
        self.while_so.is_some()
    }

    /// The register that lies lower, and the other.
    fn ends(&self) -> (u8, u8) {
        if self.stride < 0 {
            (self.limit, self.counter)
        } else {
            (self.counter, self.limit)
        }
    }
}

impl X64 {
    /// How far counter and limit are apart, in a scratch register and as the host's flags.
    pub(super) fn distance(&mut self, countdown: &Countdown, into: Reg) {
        let (low, high) = countdown.ends();
        let (low, high) = (self.place(low), self.place(high));
        // They are equal where their lower halves are: the counter is the sign extension of its own.
        let narrow = countdown.word && countdown.while_so == Some(Condition::NotEqual);
        let width = if narrow { W32 } else { W64 };
        self.assembler.load(width, into, high);
        self.assembler.alu(Alu::Sub, width, into, low);
    }

    /// The same in `rax`, and goes to `otherwise` if that does not tell how many turns there are. Changes `rdx`.
    fn sure_distance(&mut self, countdown: &Countdown, otherwise: Label) {
        let narrow = countdown.while_so == Some(Condition::NotEqual);
        #[cfg(test)]
        let narrow = narrow || is_made(Mistake::CounterNotWord);
        if countdown.word && !narrow {
            // What is no 32-bit value yet may jump when it becomes one.
            let counter = self.place(countdown.counter);
            self.assembler.extend_signed(4, RDX, counter);
            self.assembler.alu(Alu::Cmp, W64, RDX, counter);
            self.assembler.jump_if(Condition::NotEqual, otherwise);
        }
        self.distance(countdown, RAX);
        match countdown.while_so {
            Some(Condition::Less) => self.assembler.jump_if(Condition::LessEqual, otherwise),
            Some(Condition::Below) => self.assembler.jump_if(Condition::BelowEqual, otherwise),
            _ => {}
        }
    }

    /// Looks up the pages of a loop, and lowers the budget to the turns that it makes at least in them; goes to `failed` if
    /// it is not sure to make any.
    pub(super) fn look_up_counted(&mut self, countdown: &Countdown, count: i32, failed: Label) {
        self.sure_distance(countdown, failed);
        for number in 0..self.streams.len() {
            self.look_up_counted_page(number, countdown, failed);
        }
        let stride = countdown.stride.unsigned_abs();
        if stride.is_power_of_two() {
            let a = &mut self.assembler;
            a.load(W64, RDX, Place::Register(RAX));
            let by = stride.trailing_zeros() as u8;
            a.shift_immediate(Shift::Shr, W64, Place::Register(RDX), by);
        } else {
            if !self.streams.are_near(stride) {
                self.assembler.constant(RDX, FARTHEST);
                self.lower(RAX);
            }
            // Exact, since the distance has no more than 21 bits and the stride 11.
            let reciprocal = (1u64 << 32).div_ceil(stride.into()) as i32;
            let a = &mut self.assembler;
            a.multiply_constant(RDX, Place::Register(RAX), reciprocal);
            a.shift_immediate(Shift::Shr, W64, Place::Register(RDX), 32);
        }
        let a = &mut self.assembler;
        #[cfg(test)]
        if is_made(Mistake::TurnTooMany) {
            a.alu_immediate(Alu::Add, W64, Place::Register(RDX), 1);
        }
        a.multiply_constant(RDX, Place::Register(RDX), count);
        a.load(W64, RAX, Place::Register(BUDGET));
        // Not less than a turn.
        let (short, back) = (a.label(), a.label());
        a.alu(Alu::Sub, W64, RAX, Place::Register(RDX));
        a.jump_if(Condition::LessEqual, short);
        a.load(W64, BUDGET, Place::Register(RDX));
        a.bind(back);
        a.store(W64, EXCESS, RAX);
        self.defer(Cold::All(short, back));
    }

    /// Looks up the page of a stream, and lowers the distance in `rax` to what the counter moves at least in turns that stay
    /// in it.
    fn look_up_counted_page(&mut self, number: usize, countdown: &Countdown, failed: Label) {
        let (base, plain) = self.streams.base(number);
        let keeps = plain && self.pinned(base).is_some();
        if !keeps {
            self.assembler.store(W64, EXCESS, RAX);
        }
        let (stride, last) = self.enter_page(number, failed);
        let a = &mut self.assembler;
        if !keeps {
            a.load(W64, RAX, EXCESS);
        }
        // Bytes that the base can still move, as a place of a turn.
        if stride > 0 {
            a.constant(RDX, last as u64);
            a.alu(Alu::Sub, W32, RDX, Place::Register(RCX));
            a.jump_if(Condition::Below, failed);
        } else {
            a.alu_immediate(Alu::Cmp, W32, Place::Register(RCX), last);
            a.jump_if(Condition::Above, failed);
            if stride == 0 {
                return;
            }
            a.load(W32, RDX, Place::Register(RCX));
        }
        // The counter moves by so many powers of two more, or less, rounded so that there are less turns rather than more.
        let (own, other) = (stride.unsigned_abs(), countdown.stride.unsigned_abs());
        let (shift, by) = if own <= other {
            (Shift::Shl, (other / own).ilog2())
        } else {
            let times = own.div_ceil(other).next_power_of_two();
            (Shift::Shr, times.trailing_zeros())
        };
        if by != 0 {
            a.shift_immediate(shift, W32, Place::Register(RDX), by as u8);
        }
        // One more turn begins there.
        #[cfg(test)]
        let other = if is_made(Mistake::PageOverrun) {
            other * 2
        } else {
            other
        };
        a.alu_immediate(Alu::Add, W32, Place::Register(RDX), other as i32);
        self.lower(RAX);
    }

    /// Makes a register no more than `rdx`. It rarely is, and what comes after it need not wait to know.
    fn lower(&mut self, register: Reg) {
        let (lowered, back) = (self.assembler.label(), self.assembler.label());
        let a = &mut self.assembler;
        a.alu(Alu::Cmp, W64, RDX, Place::Register(register));
        a.jump_if(Condition::Below, lowered);
        a.bind(back);
        self.defer(Cold::Move(lowered, back, register, RDX));
    }
}
