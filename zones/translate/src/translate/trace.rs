//! Finds what to translate in one piece: a straight way through one page, with exits to the sides.
//!
//! The way goes on where a branch is not taken, and through jumps within the page; a little further, and only where code was
//! run before, after it has met a branch or jump backwards that does not close a loop. It is entered only at its start, so
//! what is known at one instruction holds for those after it.

use crate::debug::Breakpoint;
use crate::decode;
use crate::memory::PAGE_SIZE;
use crate::op::{Kind, Op, SINK};

/// Most instructions of a trace.
const LONGEST: usize = 128;

/// Most instructions after a branch or jump backwards.
const LONGEST_AFTERWARDS: usize = 24;

/// Most instructions that another is moved past.
const MOST_PASSED: usize = 3;

const SATP: i32 = 0x180;

/// One instruction and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) op: Op,
    /// Virtual address.
    pub(super) pc: u64,
}

impl Step {
    /// Where the next instruction is.
    pub(super) fn following(&self) -> u64 {
        self.pc.wrapping_add(u64::from(self.op.length))
    }

    /// Where a branch or `jal` goes.
    pub(super) fn target(&self) -> u64 {
        self.pc.wrapping_add(i64::from(self.op.imm).cast_unsigned())
    }
}

/// How a trace ends after its last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum End {
    /// The last step says where to go on: `jal`, `jalr` or a branch.
    #[default]
    Jump,
    /// Goes on at this address.
    Next(u64),
    /// The instruction at this address is for the interpreter.
    Interpret(u64),
}

/// What is translated together.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) start: u64,
    /// It runs so often that it may cost more to make.
    pub(super) is_hot: bool,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

/// Instructions that change what the hart is about, or that leave it; the interpreter does them.
fn left_to_interpreter(op: &Op) -> bool {
    use Kind::*;
    match op.kind {
        Illegal | Ecall | Ebreak | FenceI | Sret | Wfi | SfenceVma => true,
        Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci => op.imm == SATP,
        _ => false,
    }
}

/// Whether this is a branch or jump to an earlier place.
fn jumps_back(op: &Op) -> bool {
    use Kind::*;
    op.imm < 0 && matches!(op.kind, Jal | Beq | Bne | Blt | Bge | Bltu | Bgeu)
}

impl Trace {
    /// The trace from `start`, which goes past no place where a breakpoint may be; `read` gives the half-word at an even offset of
    /// the page, `is_used` tells whether the code at an address was run lately.
    pub(super) fn new(
        start: u64,
        guarded: &[Breakpoint],
        mut read: impl FnMut(usize) -> u16,
        is_used: impl Fn(u64) -> bool,
        is_hot: bool,
    ) -> Self {
        let page = start & !(PAGE_SIZE - 1);
        let mut steps = Vec::with_capacity(LONGEST / 2);
        let mut seen = [false; PAGE_SIZE as usize / 2];
        let mut most = LONGEST;
        let mut pc = start;
        let end = loop {
            let offset = pc.wrapping_sub(page);
            if offset >= PAGE_SIZE || steps.len() >= most || seen[offset as usize / 2] {
                break End::Next(pc);
            }
            if !steps.is_empty() && guarded.iter().any(|place| place.is_beside(pc)) {
                break End::Interpret(pc);
            }
            let offset = offset as usize;
            let low = read(offset);
            let length = decode::length(low);
            if offset + usize::from(length) > PAGE_SIZE as usize {
                break End::Interpret(pc);
            }
            let raw = if length == 4 {
                u32::from(low) | u32::from(read(offset + 2)) << 16
            } else {
                u32::from(low)
            };
            let op = decode::decode(raw);
            if left_to_interpreter(&op) {
                break End::Interpret(pc);
            }
            seen[offset / 2] = true;
            let step = Step { op, pc };
            let target = step.target();
            let near = target & !(PAGE_SIZE - 1) == page;
            let closes_loop = near && seen[(target - page) as usize / 2];
            pc = step.following();
            let goes_on = match op.kind {
                Kind::Jal if op.rd == SINK && near && !closes_loop => {
                    pc = target;
                    op.imm > 0 || is_used(target)
                }
                Kind::Jal | Kind::Jalr => false,
                Kind::Beq | Kind::Bne | Kind::Blt | Kind::Bge | Kind::Bltu | Kind::Bgeu => {
                    op.imm >= 0 || !closes_loop && is_used(pc)
                }
                _ => true,
            };
            steps.push(step);
            if !goes_on {
                // The way to a loop ends before it: the loop is better off entered at its own start.
                let head = steps.iter().position(|step| step.pc == target);
                let straight = op.kind != Kind::Jalr && most == LONGEST;
                if let Some(head) = head.filter(|head| *head > 0 && straight) {
                    steps.truncate(head);
                    break End::Next(target);
                }
                break End::Jump;
            }
            if jumps_back(&op) {
                most = most.min(steps.len() + LONGEST_AFTERWARDS);
            }
        };
        bring_tests_to_branches(&mut steps);
        Self {
            start,
            is_hot,
            steps,
            end,
        }
    }
}

/// Moves an instruction that makes what a branch compares with zero down to that branch, past instructions that have nothing
/// to do with it: what it leaves in the host's flags is then still there.
fn bring_tests_to_branches(steps: &mut [Step]) {
    for branch in 1..steps.len() {
        let Step { op, .. } = &steps[branch];
        if !matches!(op.kind, Kind::Beq | Kind::Bne) || op.rs2 != 0 {
            continue;
        }
        let tested = op.rs1;
        let first = branch.saturating_sub(MOST_PASSED + 1);
        let Some(test) = (first..branch).rev().find(|at| steps[*at].op.rd == tested) else {
            continue;
        };
        let Op { kind, rs1, rs2, .. } = steps[test].op;
        let apart = |step: &Step| {
            passes(step.op.kind)
                && ![rs1, rs2, tested].contains(&step.op.rd)
                && ![step.op.rs1, step.op.rs2].contains(&tested)
        };
        if matches!(kind, Kind::And | Kind::Andi) && steps[test + 1..branch].iter().all(apart) {
            steps[test..branch].rotate_left(1);
        }
    }
}

/// Instructions that do nothing but write a register, and do not tell where they are.
fn passes(kind: Kind) -> bool {
    let kind = kind as u8;
    (Kind::Addi as u8..=Kind::Sraw as u8).contains(&kind)
        || (Kind::Mv as u8..=Kind::Lui as u8).contains(&kind)
}
