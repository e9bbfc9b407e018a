//! Exceptions and interrupts as S-mode sees them. Source: privileged manual, chapter "Supervisor-Level ISA".

use crate::mmu::Access;

/// A synchronous exception: what `scause` and `stval` will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    /// Exception code.
    pub cause: u64,
    /// The faulting address or instruction bits; 0 where the manual gives none.
    pub value: u64,
}

/// `scause` bit of interrupts.
pub const INTERRUPT: u64 = 1 << 63;

pub(crate) const ILLEGAL_INSTRUCTION: u64 = 2;
pub(crate) const BREAKPOINT: u64 = 3;
pub(crate) const USER_CALL: u64 = 8;

impl Trap {
    pub(crate) fn illegal(raw: u32) -> Self {
        Self {
            cause: ILLEGAL_INSTRUCTION,
            value: u64::from(raw),
        }
    }

    pub(crate) fn misaligned(access: Access, address: u64) -> Self {
        let cause = match access {
            Access::Fetch => 0,
            Access::Load => 4,
            Access::Store => 6,
        };
        Self {
            cause,
            value: address,
        }
    }

    pub(crate) fn access_fault(access: Access, address: u64) -> Self {
        let cause = match access {
            Access::Fetch => 1,
            Access::Load => 5,
            Access::Store => 7,
        };
        Self {
            cause,
            value: address,
        }
    }

    pub(crate) fn page_fault(access: Access, address: u64) -> Self {
        let cause = match access {
            Access::Fetch => 12,
            Access::Load => 13,
            Access::Store => 15,
        };
        Self {
            cause,
            value: address,
        }
    }
}
