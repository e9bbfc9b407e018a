//! Control and status registers of U- and S-mode. Machine-mode registers do not exist: an access is an illegal instruction.
//!
//! Source: privileged manual, chapters "Control and Status Registers" and "Supervisor-Level ISA"; Sstc.

use zone_softfloat::Flags;

use crate::hart::{Core, Privilege};
use crate::mmu::View;
use crate::port::{SEIP, SSIP, STIP};

/// `sstatus` fields.
pub mod status {
    /// Interrupts are enabled in S-mode.
    pub const SIE: u64 = 1 << 1;
    /// Interrupts were enabled before the trap.
    pub const SPIE: u64 = 1 << 5;
    /// The trap came from S-mode.
    pub const SPP: u64 = 1 << 8;
    /// Floating-point state: off, initial, clean, dirty.
    pub const FS: u64 = 3 << 13;
    /// S-mode may touch user pages.
    pub const SUM: u64 = 1 << 18;
    /// Loads may read executable pages.
    pub const MXR: u64 = 1 << 19;
    /// U-mode is 64 bits wide; read-only.
    pub const UXL_64: u64 = 2 << 32;
    /// Some extension's state is dirty; read-only.
    pub const SD: u64 = 1 << 63;
    /// What software can write.
    pub const WRITABLE: u64 = SIE | SPIE | SPP | FS | SUM | MXR;
}

const FFLAGS: u32 = 0x001;
const FRM: u32 = 0x002;
const FCSR: u32 = 0x003;
const SSTATUS: u32 = 0x100;
const SIE: u32 = 0x104;
const STVEC: u32 = 0x105;
const SCOUNTEREN: u32 = 0x106;
const SENVCFG: u32 = 0x10a;
const SSCRATCH: u32 = 0x140;
const SEPC: u32 = 0x141;
const SCAUSE: u32 = 0x142;
const STVAL: u32 = 0x143;
const SIP: u32 = 0x144;
const STIMECMP: u32 = 0x14d;
const SATP: u32 = 0x180;
const CYCLE: u32 = 0xc00;
const TIME: u32 = 0xc01;
const INSTRET: u32 = 0xc02;

/// `senvcfg`: FIOM, CBIE, CBCFE, CBZE.
const SENVCFG_WRITABLE: u64 = 0xf1;

/// A CSR that does not exist, or not for this privilege, or not for writing.
pub(crate) struct Refused;

impl Core {
    /// Reads a CSR and writes `update(old)` if `write` is set. Returns the old value.
    pub(crate) fn access_csr(
        &mut self,
        number: u32,
        write: bool,
        update: impl FnOnce(u64) -> u64,
    ) -> Result<u64, Refused> {
        let privilege_needed = number >> 8 & 3;
        if privilege_needed > 1 || privilege_needed == 1 && self.privilege == Privilege::User {
            return Err(Refused);
        }
        if write && number >> 10 == 3 {
            return Err(Refused);
        }
        let old = self.read_csr(number)?;
        if write {
            self.write_csr(number, update(old));
        }
        Ok(old)
    }

    pub(crate) fn read_csr(&self, number: u32) -> Result<u64, Refused> {
        Ok(match number {
            FFLAGS | FRM | FCSR if self.status & status::FS == 0 => return Err(Refused),
            FFLAGS => u64::from(self.flags.0),
            FRM => u64::from(self.frm),
            FCSR => u64::from(self.frm) << 5 | u64::from(self.flags.0),
            SSTATUS => self.sstatus(),
            SIE => self.sie,
            STVEC => self.stvec,
            SCOUNTEREN => self.scounteren,
            SENVCFG => self.senvcfg,
            SSCRATCH => self.sscratch,
            SEPC => self.sepc,
            SCAUSE => self.scause,
            STVAL => self.stval,
            SIP => self.interrupts_pending(),
            STIMECMP => self.stimecmp,
            SATP => self.mmu.satp(),
            CYCLE..=INSTRET => {
                if self.privilege == Privilege::User && self.scounteren >> (number & 3) & 1 == 0 {
                    return Err(Refused);
                }
                if number == TIME {
                    self.now()
                } else {
                    self.retired()
                }
            }
            _ => return Err(Refused),
        })
    }
    fn write_csr(&mut self, number: u32, value: u64) {
        match number {
            FFLAGS => self.set_float_state(self.frm, value as u8),
            FRM => self.set_float_state(value as u8, self.flags.0),
            FCSR => self.set_float_state((value >> 5) as u8, value as u8),
            SSTATUS => {
                self.status = value & status::WRITABLE;
                self.status_changed();
            }
            SIE => {
                self.sie = value & (SSIP | STIP | SEIP);
                self.set_budget(0);
            }
            // Direct and vectored modes; a reserved mode leaves the base direct.
            STVEC => self.stvec = value & !2,
            SCOUNTEREN => self.scounteren = value & 7,
            SENVCFG => self.senvcfg = value & SENVCFG_WRITABLE,
            SSCRATCH => self.sscratch = value,
            SEPC => self.sepc = value & !1,
            SCAUSE => self.scause = value,
            STVAL => self.stval = value,
            SIP => {
                self.port.write_software_pending(value & SSIP != 0);
                self.set_budget(0);
            }
            STIMECMP => {
                self.stimecmp = value;
                self.set_budget(0);
            }
            SATP => self.set_satp(value),
            _ => {}
        }
    }

    pub(crate) fn sstatus(&self) -> u64 {
        let dirty = if self.status & status::FS == status::FS {
            status::SD
        } else {
            0
        };
        self.status | status::UXL_64 | dirty
    }

    /// Takes over what a new `sstatus` or privilege means for translation and interrupts.
    pub(crate) fn status_changed(&mut self) {
        self.mmu
            .set_execute_readable(self.status & status::MXR != 0);
        self.mmu.set_view(match self.privilege {
            Privilege::User => View::User,
            Privilege::Supervisor if self.status & status::SUM != 0 => View::SupervisorUser,
            Privilege::Supervisor => View::Supervisor,
        });
        self.float_changed();
        self.recheck_interrupts();
    }

    fn set_float_state(&mut self, frm: u8, flags: u8) {
        self.frm = frm & 7;
        self.flags = Flags(flags & 31);
        self.float_written();
    }
}
