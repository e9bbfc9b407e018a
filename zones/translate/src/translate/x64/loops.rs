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

/// Whether a trace jumps back to its own start.
pub(super) fn is_loop(trace: &Trace) -> bool {
    let last = trace.steps.last();
    trace.end == End::Jump
        && last.is_some_and(|last| last.op.kind != Kind::Jalr && last.target() == trace.start)
}

/// What to exchange before a trace that jumps back to its own start; nothing for others.
pub(super) fn exchanges(trace: &Trace, exchanges: &mut Vec<Exchange>) {
    exchanges.clear();
    if !is_loop(trace) {
        return;
    }
    let uses = uses(trace);
    let mut busy: Vec<u8> = (1..32u8)
        .filter(|register| {
            uses[usize::from(*register)] > 0 && PINNED.iter().all(|(pinned, _)| pinned != register)
        })
        .collect();
    busy.sort_by_key(|register| std::cmp::Reverse(uses[usize::from(*register)]));
    let pairs = idle(trace).zip(busy);
    exchanges.extend(pairs.map(|((displaced, host), held)| Exchange {
        held,
        displaced,
        host,
    }));
}

/// The guest registers in host registers that a trace does not use.
pub(super) fn idle(trace: &Trace) -> impl Iterator<Item = (u8, Reg)> {
    let uses = uses(trace);
    PINNED
        .into_iter()
        .filter(move |(register, _)| uses[usize::from(*register)] == 0)
}

fn uses(trace: &Trace) -> [u32; 32] {
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
