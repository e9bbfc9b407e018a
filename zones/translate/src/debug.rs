//! What a debugger sees of a hart that stands still: registers, memory through the hart's page tables, one instruction at a
//! time, and places where it stops.
//!
//! Nothing of a breakpoint is in the guest's memory. No block and no trace goes past the place in its page where there is one, and
//! whatever starts there is looked up each time; so the hart's loop meets every breakpoint, and the rest runs at full speed.

use crate::execute::{self, Flow};
use crate::hart::Privilege;
use crate::memory::PAGE_SIZE;
use crate::{Exit, Hart};

/// A place where a hart stops: a virtual address, as long as this physical one is behind it. Other address spaces are not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breakpoint {
    /// Where the program counter is.
    pub address: u64,
    /// Where that was in RAM.
    pub physical: u64,
}

impl Breakpoint {
    /// Whether an instruction at this address, virtual or physical, lies at the same place in its page.
    pub(crate) fn is_beside(self, address: u64) -> bool {
        (self.address ^ address).is_multiple_of(PAGE_SIZE)
    }
}

impl Hart {
    /// Puts the hart somewhere else; the lowest bit is ignored.
    pub fn set_pc(&mut self, pc: u64) {
        self.core.pc = pc & !1;
    }

    /// A floating-point register's 64 bits.
    pub fn float_register(&self, index: usize) -> u64 {
        self.core.f[index & 31]
    }

    /// Sets a floating-point register.
    pub fn set_float_register(&mut self, index: usize, value: u64) {
        self.core.f[index & 31] = value;
        self.core.float_written();
    }

    /// A control and status register of supervisor mode or below; `None` for others. Reading changes nothing.
    pub fn control_register(&self, number: u16) -> Option<u64> {
        self.core.read_csr(number.into()).ok()
    }

    /// The physical address behind a virtual one in the hart's address space, whatever its mode may do there.
    pub fn physical(&self, address: u64) -> Option<u64> {
        self.core.mmu.peek(&self.core.ram, address)
    }

    /// Reads memory through the hart's page tables; how many bytes there were until the first that is not RAM.
    pub fn peek(&self, address: u64, into: &mut [u8]) -> usize {
        let mut page = None;
        for (index, byte) in into.iter_mut().enumerate() {
            let at = address.wrapping_add(index as u64);
            if index == 0 || at.is_multiple_of(PAGE_SIZE) {
                page = self.physical(at).and_then(|at| self.core.ram.page(at));
            }
            match page {
                Some(page) => *byte = page.load(at),
                None => return index,
            }
        }
        into.len()
    }

    /// Writes memory through the hart's page tables, whether the guest may or not; how many bytes until the first that is not
    /// RAM. All harts must fence before they run again.
    pub fn poke(&self, address: u64, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            let at = address.wrapping_add(index as u64);
            match self.physical(at) {
                Some(physical) if self.core.ram.page(physical).is_some() => {
                    self.core.ram.store(physical, *byte);
                }
                _ => return index,
            }
        }
        bytes.len()
    }

    /// Where [`Hart::run`] ends with [`Exit::Breakpoint`] instead of executing what is there.
    pub fn set_breakpoints(&mut self, breakpoints: Vec<Breakpoint>) {
        for breakpoint in &breakpoints {
            if !self.core.guarded.contains(breakpoint) {
                self.core.guarded.push(*breakpoint);
                // There may be code that goes past it.
                self.blocks.clear();
                if let Some(translator) = &mut self.translator {
                    translator.forget(&mut self.core);
                }
            }
        }
        self.core.breakpoints = breakpoints;
        // What is found by virtual address is looked up anew.
        self.core.change_context();
    }

    /// Whether the program counter is on a breakpoint.
    #[cold]
    pub(crate) fn at_breakpoint(&mut self) -> bool {
        let core = &mut self.core;
        let address = core.pc;
        let supervisor = core.privilege == Privilege::Supervisor;
        // What cannot be fetched is not reached.
        let found = core.mmu.translate_fetch(&core.ram, address, supervisor);
        found
            .is_ok_and(|(physical, _)| core.breakpoints.contains(&Breakpoint { address, physical }))
    }

    /// Runs one instruction, or takes the trap it causes; interrupts wait, and `wfi` does not. What needs the machine is as for
    /// [`Hart::run`].
    pub fn step(&mut self) -> Option<Exit> {
        self.core.port.begin_to_run();
        self.core.serve_fences();
        let pc = self.core.pc;
        let exit = match self.block() {
            Ok(span) => {
                self.core.set_budget(1);
                let ops = self.blocks.ops(span);
                match execute::run(&mut self.core, ops.get(..1).unwrap_or(ops), pc) {
                    Flow::Continue | Flow::Wait => None,
                    Flow::Exit(exit) => Some(exit),
                }
            }
            Err(trap) => {
                self.core.enter_trap(trap, pc);
                None
            }
        };
        self.core.port.end_of_run();
        exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assemble::*;
    use crate::testing::{hart, place, ram, translated_too};

    const CODE: u64 = 0x8000_0000;
    const STOP: u64 = CODE + 8;

    fn breakpoint(address: u64) -> Breakpoint {
        Breakpoint {
            address,
            physical: address,
        }
    }

    #[test]
    fn breakpoints_stop_hot_code_and_cannot_be_read() {
        let ram = ram(CODE, 0x2000);
        let mut hart = hart(&ram);
        let code = [
            addi(5, 5, 1),
            lw(6, 7, 0),
            addi(8, 8, 1),
            branch(1, 5, 9, -12),
            ECALL,
        ];
        place(&ram, CODE, &code);
        // Another page's code at the same place, on whose way nothing stops.
        place(&ram, CODE + 0x1000, &code);
        let mut run = |start: u64, turns: u64, stops: u64, breakpoints: &[Breakpoint]| {
            hart.start(start, 0, 0);
            hart.set_register(7, STOP);
            hart.set_register(9, turns);
            hart.set_breakpoints(breakpoints.to_vec());
            for stop in 1..=stops {
                assert_eq!(hart.run(), Exit::Breakpoint, "stop {stop}");
                assert_eq!(
                    (hart.pc(), hart.register(5), hart.register(8)),
                    (STOP, stop, stop - 1)
                );
                assert_eq!(hart.register(6), u64::from(code[2]), "the guest's own look");
                assert_eq!(hart.step(), None);
                assert_eq!((hart.pc(), hart.register(8)), (STOP + 4, stop));
                // As a debugger does at each stop.
                hart.set_breakpoints(Vec::new());
                hart.set_breakpoints(breakpoints.to_vec());
            }
            assert_eq!(hart.run(), Exit::SupervisorCall);
            assert_eq!((hart.register(5), hart.register(8)), (turns, turns));
        };
        let here = breakpoint(STOP);
        run(CODE, 1000, 0, &[]);
        run(CODE, 50, 50, &[here]);
        // Warm while there is none, then set again.
        run(CODE, 1000, 0, &[]);
        run(CODE, 50, 50, &[here, breakpoint(CODE + 0x1800)]);
        run(CODE + 0x1000, 1000, 0, &[here]);
        let elsewhere = Breakpoint {
            physical: STOP + 0x1000,
            ..here
        };
        run(CODE, 1000, 0, &[elsewhere]);
        run(CODE, 5, 5, &[elsewhere, here]);
    }

    translated_too! {
        breakpoints_stop_hot_code_and_cannot_be_read
    }
}
