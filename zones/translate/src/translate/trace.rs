//! Finds what to translate in one piece: a straight way through one page, with exits to the sides.
//!
//! The way goes on where a forward branch is not taken, and through forward jumps within the page. It is entered only at its
//! start, so what is known at one instruction holds for those after it.

use crate::debug::Breakpoint;
use crate::decode;
use crate::memory::PAGE_SIZE;
use crate::op::{Kind, Op, SINK};

/// Most instructions of a trace.
const LONGEST: usize = 128;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The last step says where to go on: `jal`, `jalr` or a branch.
    Jump,
    /// Goes on at this address.
    Next(u64),
    /// The instruction at this address is for the interpreter.
    Interpret(u64),
}

/// What is translated together.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) start: u64,
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

impl Trace {
    /// The trace from `start`, which goes past no place where a breakpoint may be; `read` gives the half-word at an even offset of
    /// the page.
    pub(super) fn new(
        start: u64,
        guarded: &[Breakpoint],
        mut read: impl FnMut(usize) -> u16,
    ) -> Self {
        let page = start & !(PAGE_SIZE - 1);
        let mut steps = Vec::new();
        let mut pc = start;
        let end = loop {
            let offset = pc.wrapping_sub(page);
            if offset >= PAGE_SIZE || steps.len() >= LONGEST {
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
            let step = Step { op, pc };
            match op.kind {
                Kind::Jal
                    if op.rd == SINK
                        && step.target() > pc
                        && step.target() & !(PAGE_SIZE - 1) == page =>
                {
                    steps.push(step);
                    pc = step.target();
                    continue;
                }
                Kind::Jal | Kind::Jalr => {
                    steps.push(step);
                    break End::Jump;
                }
                Kind::Beq | Kind::Bne | Kind::Blt | Kind::Bge | Kind::Bltu | Kind::Bgeu
                    if op.imm < 0 =>
                {
                    steps.push(step);
                    break End::Jump;
                }
                _ => {}
            }
            steps.push(step);
            pc = step.following();
        };
        Self { start, steps, end }
    }
}
