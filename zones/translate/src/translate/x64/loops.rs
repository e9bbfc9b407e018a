//! Which guest registers a loop keeps in host registers: its own busiest, instead of those that it does not use.

use super::groups::{access, integer_destination};
use super::{PINNED, Reg};
use crate::op::{Kind, Op};
use crate::translate::trace::{End, Trace};

/// A guest register that has another's host register while the loop runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) held: u8,
    pub(super) displaced: u8,
    pub(super) host: Reg,
}

/// A loop in a region counts as so many turns.
const TURNS: u32 = 8;
/// As does what an exchange costs, as uses of a register.
const ENTRY: u32 = 4;

/// Whether a trace jumps back to its own start.
pub(super) fn is_loop(trace: &Trace) -> bool {
    let last = trace.steps.last();
    trace.end == End::Jump
        && last.is_some_and(|last| last.op.kind != Kind::Jalr && last.target() == trace.start)
}

/// What to exchange before a trace that jumps back to its own start, and before a region; nothing for others.
pub(super) fn exchanges(trace: &Trace, exchanges: &mut Vec<Exchange>) {
    exchanges.clear();
    let mut all = [0u32; 32];
    for trace in trace.all() {
        let weight = if is_loop(trace) { TURNS } else { 1 };
        for (sum, uses) in all.iter_mut().zip(uses(trace)) {
            *sum += uses * weight;
        }
    }
    if trace.others.is_empty() && !is_loop(trace) {
        return;
    }
    let pinned = |register: &u8| PINNED.iter().any(|(pinned, _)| pinned == register);
    let busy = |register: &u8| std::cmp::Reverse(all[usize::from(*register)]);
    let mut held: Vec<u8> = (1..32u8).filter(|register| !pinned(register)).collect();
    held.sort_by_key(busy);
    let mut displaced = PINNED;
    displaced.sort_by_key(|(register, _)| all[usize::from(*register)]);
    // It costs something where the loop is entered and left.
    let gains = |held: u8, displaced: u8| {
        let [held, displaced] = [held, displaced].map(|register| all[usize::from(register)]);
        held > 0 && (displaced == 0 || trace.is_hot && held > displaced + ENTRY)
    };
    let pairs = displaced.into_iter().zip(held);
    let pairs = pairs.take_while(|((displaced, _), held)| gains(*held, *displaced));
    exchanges.extend(pairs.map(|((displaced, host), held)| Exchange {
        held,
        displaced,
        host,
    }));
}

/// How often each register is named.
pub(super) fn uses(trace: &Trace) -> [u32; 32] {
    let mut uses = [0u32; 32];
    for step in &trace.steps {
        for register in registers(&step.op).into_iter().flatten() {
            uses[usize::from(register & 31)] += 1;
        }
    }
    uses[0] = 0;
    uses
}

/// The integer registers that an instruction names. One too many or too few costs time only.
fn registers(op: &Op) -> [Option<u8>; 3] {
    use Kind::*;
    let two_sources = match op.kind {
        Beq | Bne | Blt | Bge | Bltu | Bgeu | Sb | Sh | Sw | Sd => true,
        Mv | Li | Lui | Auipc | Jal | Jalr | Nop | Addi | Slti | Sltiu | Xori | Ori | Andi
        | Slli | Srli | Srai => false,
        Addiw | Slliw | Srliw | Sraiw | Clz | Ctz | Cpop | Clzw | Ctzw | Cpopw | SextB | SextH
        | ZextH => false,
        Rori | Roriw | OrcB | Rev8 | SlliUw | Bclri | Bexti | Binvi | Bseti => false,
        kind => access(kind).is_none() && (kind as u8) < Csrrw as u8,
    };
    let integer = (op.kind as u8) < Flw as u8 || access(op.kind).is_some();
    [
        integer_destination(op),
        integer.then_some(op.rs1),
        two_sources.then_some(op.rs2),
    ]
}
