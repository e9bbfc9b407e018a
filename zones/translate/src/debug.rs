//! What a debugger sees of a hart that stands still: registers, memory through the hart's page tables, one instruction at a
//! time, and places where it stops.

use crate::Exit;
use crate::Hart;
use crate::execute::{self, Flow};
use crate::memory::PAGE_SIZE;

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
            match self.physical(at).and_then(|at| self.core.ram.page(at)) {
                Some(page) => page.store(at, *byte),
                None => return index,
            }
        }
        bytes.len()
    }

    /// Virtual addresses where an `ebreak` leaves [`Hart::run`] with [`Exit::Breakpoint`] instead of being the guest's own.
    pub fn set_breakpoints(&mut self, addresses: Vec<u64>) {
        self.core.breakpoints = addresses;
    }

    /// Runs one instruction, or takes the trap it causes; interrupts wait, and `wfi` does not. What needs the machine is as for
    /// [`Hart::run`].
    pub fn step(&mut self) -> Option<Exit> {
        self.core.serve_fences();
        let pc = self.core.pc;
        match self.block() {
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
        }
    }
}
