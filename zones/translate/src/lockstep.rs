//! Two harts in step: one that translates leads, one that interprets follows it to the same instruction, and both must be
//! the same in everything a guest can see.
//!
//! Each needs RAM and devices of its own that behave alike, and a [`Clock::Instructions`](crate::Clock); interrupts are only
//! taken where both look around.

use std::fmt::{self, Write as _};

use crate::execute::{self, Flow};
use crate::hart::{Core, Pause};
use crate::{Exit, Hart};

#[cfg(test)]
pub(crate) mod tests;

/// What both harts came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Just so many instructions.
    Slice,
    /// Both wait for an interrupt.
    Waiting,
    /// Both need the machine.
    Exit(Exit),
}

/// The harts differ: what, and where.
#[derive(Debug, thiserror::Error)]
#[error(
    "translated and interpreted harts differ after {retired} instructions, near {pc:#x}:{differences}"
)]
pub struct Divergence {
    /// Instructions that the leader had retired.
    pub retired: u64,
    /// The follower's program counter.
    pub pc: u64,
    /// Register by register.
    pub differences: String,
}

/// Runs `leader` for about so many instructions and `follower` to the same place.
pub fn step(leader: &mut Hart, follower: &mut Hart, instructions: u32) -> Result<Step, Divergence> {
    let pause = leader.run_slice(instructions.into());
    let reached = follower.follow(leader);
    let differences = differences(&leader.core, &follower.core);
    let same = match (&pause, &reached) {
        (Pause::Slice, Some(Pause::Slice)) => Some(Step::Slice),
        (Pause::Waiting, Some(Pause::Waiting)) => Some(Step::Waiting),
        (Pause::Exit(one), Some(Pause::Exit(other))) if one == other => Some(Step::Exit(*one)),
        _ => None,
    };
    match same {
        Some(step) if differences.is_empty() => Ok(step),
        _ => Err(Divergence {
            retired: leader.retired(),
            pc: follower.pc(),
            differences,
        }),
    }
}

/// Both sleep until an interrupt is pending.
pub fn wait(leader: &mut Hart, follower: &mut Hart) {
    leader.core.wait();
    follower.core.wait();
}

impl Hart {
    /// Interprets until as much was retired and as many traps were taken as by the leader; `None` if it got past that.
    fn follow(&mut self, leader: &Self) -> Option<Pause> {
        if let Some(exit) = self.core.look_around() {
            return Some(Pause::Exit(exit));
        }
        self.core.set_budget(i64::MAX / 2);
        let progress = |hart: &Self| (hart.core.retired(), hart.core.traps);
        loop {
            let (retired, traps) = progress(self);
            let (goal, goal_traps) = progress(leader);
            if (retired, traps) == (goal, goal_traps) {
                return Some(Pause::Slice);
            }
            if retired > goal || traps > goal_traps {
                return None;
            }
            let pc = self.core.pc;
            match self.block() {
                Ok(span) => {
                    // At the goal there is only a trap to take, which retires nothing.
                    let most = usize::try_from(goal - retired).unwrap_or(usize::MAX).max(1);
                    let ops = self.blocks.ops(span);
                    let flow = execute::run(&mut self.core, ops.get(..most).unwrap_or(ops), pc);
                    match flow {
                        Flow::Continue => {}
                        Flow::Exit(exit) => {
                            return Some(Pause::Exit(exit))
                                .filter(|_| progress(self) == progress(leader));
                        }
                        Flow::Wait => {
                            return Some(Pause::Waiting)
                                .filter(|_| progress(self) == progress(leader));
                        }
                    }
                }
                Err(trap) => self.core.enter_trap(trap, pc),
            }
        }
    }
}

/// What differs, a line each.
fn differences(one: &Core, other: &Core) -> String {
    let mut text = String::new();
    let mut compare = |name: fmt::Arguments<'_>, one: u64, other: u64| {
        if one != other {
            let _ = write!(
                text,
                "\n  {name}: translated {one:#x}, interpreted {other:#x}"
            );
        }
    };
    for register in 1..32 {
        compare(
            format_args!("x{register}"),
            one.x[register],
            other.x[register],
        );
        compare(
            format_args!("f{register}"),
            one.f[register],
            other.f[register],
        );
    }
    compare(format_args!("f0"), one.f[0], other.f[0]);
    let rows = [
        ("pc", one.pc, other.pc),
        ("retired", one.retired(), other.retired()),
        ("traps", one.traps, other.traps),
        ("fflags", one.flags.0.into(), other.flags.0.into()),
        ("frm", one.frm.into(), other.frm.into()),
        ("privilege", one.privilege as u64, other.privilege as u64),
        ("sstatus", one.sstatus(), other.sstatus()),
        ("sie", one.sie, other.sie),
        ("sip", one.interrupts_pending(), other.interrupts_pending()),
        ("stvec", one.stvec, other.stvec),
        ("sscratch", one.sscratch, other.sscratch),
        ("sepc", one.sepc, other.sepc),
        ("scause", one.scause, other.scause),
        ("stval", one.stval, other.stval),
        ("satp", one.mmu.satp(), other.mmu.satp()),
        ("stimecmp", one.stimecmp, other.stimecmp),
    ];
    for (name, one, other) in rows {
        compare(format_args!("{name}"), one, other);
    }
    text
}
