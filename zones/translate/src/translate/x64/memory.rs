//! Loads and stores: the check against the cached translations, and the access.

use super::groups::{Role, access};
use super::*;
use crate::hart::Reservation;
#[cfg(test)]
use crate::translate::mistakes::{Mistake, is_made};

/// An access of a loop that remembers its last page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refill {
    address: Reg,
    size: i32,
    store: bool,
    slot: usize,
}

/// Pairs of slots that are still free.
#[derive(Debug, Default)]
pub(super) struct LoopSlots {
    next: usize,
    end: usize,
}

impl LoopSlots {
    fn next(&mut self) -> Option<usize> {
        let slot = self.next;
        self.next += 2;
        (slot < self.end).then_some(slot)
    }
}

impl X64 {
    /// A register with the guest address of an access: `rax`, or the base itself if there is no offset.
    pub(super) fn address(&mut self, base: u8, offset: i32) -> Reg {
        match self.pinned(base) {
            Some(host) if offset == 0 => return host,
            Some(host) => self.assembler.lea(RAX, Place::Memory(host, offset)),
            None if base == 0 => self
                .assembler
                .constant(RAX, i64::from(offset).cast_unsigned()),
            None => {
                let from = self.place(base);
                self.assembler.load(W64, RAX, from);
                if offset != 0 {
                    self.assembler
                        .alu_immediate(Alu::Add, W64, Place::Register(RAX), offset);
                }
            }
        }
        RAX
    }

    /// Goes to `miss` unless the translation for this guest address is cached and the address is a multiple of the size.
    /// Leaves the offset of the entry in `rcx`; changes `rdx`.
    pub(super) fn check(&mut self, address: Reg, size: i32, store: bool, miss: Label) {
        self.check_from(address, 0, size, store, miss);
    }

    /// The same for all that lies from this guest address to one so many bytes further on: of the first the entry is looked
    /// at, and it must be of the other's page too, which has an entry elsewhere if it is the next one.
    fn check_from(&mut self, address: Reg, last: i32, size: i32, store: bool, miss: Label) {
        let a = &mut self.assembler;
        a.rotated(RCX, Place::Register(address), 12 - mmu::ENTRY_SHIFT);
        if last == 0 {
            a.load(W64, RDX, Place::Register(address));
        } else {
            a.lea(RDX, Place::Memory(address, last));
        }
        a.alu_immediate(
            Alu::And,
            W32,
            Place::Register(RCX),
            (mmu::WAYS as i32 - 1) << mmu::ENTRY_SHIFT,
        );
        a.alu_immediate(
            Alu::And,
            W64,
            Place::Register(RDX),
            -(PAGE_SIZE as i32) | (size - 1),
        );
        a.alu(
            Alu::Cmp,
            W64,
            RDX,
            Place::Indexed(TABLES, RCX, entry_offset(store)),
        );
        a.jump_if(Condition::NotEqual, miss);
    }

    /// From the guest address to the host's, in `rax`, after [`X64::check`].
    fn add_host(&mut self, address: Reg, store: bool) {
        let host = host_entry(store);
        if address == RAX {
            self.assembler.alu(Alu::Add, W64, RAX, host);
        } else {
            self.assembler.load(W64, RAX, host);
            self.assembler
                .alu(Alu::Add, W64, RAX, Place::Register(address));
        }
    }

    /// The same, as a place that `rdx` leads to.
    fn host_place(&mut self, address: Reg, store: bool) -> Place {
        self.assembler.load(W64, RDX, host_entry(store));
        Place::Indexed(RDX, address, 0)
    }

    /// In a loop: the page of an access's last turn is remembered in two slots of the stack frame, its address and what
    /// leads to the host's.
    fn check_last_page(
        &mut self,
        address: Reg,
        size: i32,
        store: bool,
        slow: Label,
        slot: usize,
    ) -> Place {
        let (refill, hit) = (self.assembler.label(), self.assembler.label());
        let a = &mut self.assembler;
        a.load(W64, RDX, Place::Register(address));
        a.alu_immediate(
            Alu::And,
            W64,
            Place::Register(RDX),
            -(PAGE_SIZE as i32) | (size - 1),
        );
        a.alu(Alu::Cmp, W64, RDX, group_slot(slot));
        a.jump_if(Condition::NotEqual, refill);
        self.defer(Cold::Refill(
            refill,
            hit,
            slow,
            Refill {
                address,
                size,
                store,
                slot,
            },
        ));
        let a = &mut self.assembler;
        a.bind(hit);
        a.load(W64, RDX, group_slot(slot + 1));
        Place::Indexed(RDX, address, 0)
    }

    /// The part of it that is run when the page is another.
    pub(super) fn refill(&mut self, refill: Refill, slow: Label) {
        let Refill {
            address,
            size,
            store,
            slot,
        } = refill;
        self.check(address, size, store, slow);
        let a = &mut self.assembler;
        a.store(W64, group_slot(slot), RDX);
        a.load(W64, RCX, host_entry(store));
        a.store(W64, group_slot(slot + 1), RCX);
    }

    /// Reserves slots for the accesses of a loop that stand alone, and marks them as empty.
    pub(super) fn prepare_loop(&mut self, trace: &Trace) {
        self.loop_slots = LoopSlots::default();
        if !is_plain_loop(trace) {
            return;
        }
        let first = self.groups.len();
        let alone = (0..trace.steps.len())
            .filter(|index| {
                let op = &trace.steps[*index].op;
                access(op.kind).is_some() && self.groups.role(*index) == Role::Alone
            })
            .count();
        // Slots are for loads or for stores, so a second body has its own.
        let bodies = if self.streams.is_empty() { 1 } else { 2 };
        let count = (alone * bodies).min((GROUP_SLOTS - first) / 2);
        self.loop_slots = LoopSlots {
            next: first,
            end: first + 2 * count,
        };
        // The body without checks has no use for slots if all its accesses are streams'.
        if self.streams.are_complete(trace) {
            self.start_at_once();
        }
        for slot in (first..first + 2 * count).step_by(2) {
            // No page's address.
            self.assembler.store_constant(group_slot(slot), -1);
        }
        if !self.streams.are_complete(trace) {
            self.start_at_once();
        }
        self.start_waiting();
    }

    /// The check of a group at its first access. The host address of its first byte is left in `rax` and in its slot.
    fn check_group(&mut self, group: usize, index: usize, step: &Step, output: &mut Compiled) {
        let misfit = output.leave(Leave::Misfit {
            pc: step.pc,
            retired: self.not_counted(index),
            trace: 0,
        });
        let misfit = self.cold_leave(misfit);
        let g = self.groups.group(group).clone();
        let address = self.address(g.base, g.low);
        let last = g.last() - g.low;
        #[cfg(test)]
        let last = if is_made(Mistake::GroupOverrun) {
            0
        } else {
            last
        };
        self.check_from(address, last, g.size, g.store, misfit);
        self.add_host(address, g.store);
        self.assembler.store(W64, group_slot(group), RAX);
    }

    /// What an access is to its group. In the body without checks of a loop, one whose group's first is checked elsewhere
    /// stands alone.
    fn role(&self, index: usize) -> Role {
        match self.groups.role(index) {
            Role::Member(group) if self.stream_within(self.groups.group(group).first).is_some() => {
                Role::Alone
            }
            role => role,
        }
    }

    /// Where the access goes on the host, and for one that stands alone the place to come back to from its slow way.
    fn reach(
        &mut self,
        index: usize,
        step: &Step,
        in_rax: Option<usize>,
        output: &mut Compiled,
    ) -> (Place, Option<Label>) {
        let op = &step.op;
        if let Some(place) = self.reach_stream(index, op) {
            return (place, None);
        }
        let group = match self.role(index) {
            Role::Alone => {
                let (size, store) = access(op.kind).unwrap_or((8, true));
                let (slow, back) = self.cold_site(index, step, output);
                let address = self.address(op.rs1, op.imm);
                let Some(slot) = self.loop_slots.next() else {
                    self.check(address, size, store, slow);
                    return (self.host_place(address, store), Some(back));
                };
                return (
                    self.check_last_page(address, size, store, slow, slot),
                    Some(back),
                );
            }
            Role::First(group) => {
                self.check_group(group, index, step, output);
                group
            }
            Role::Member(group) => {
                if in_rax != Some(group) {
                    self.assembler.load(W64, RAX, group_slot(group));
                }
                group
            }
        };
        self.in_rax = Some(group);
        let first = self.groups.group(group).low;
        (Place::Memory(RAX, op.imm.wrapping_sub(first)), None)
    }

    pub(super) fn load(
        &mut self,
        index: usize,
        step: &Step,
        in_rax: Option<usize>,
        output: &mut Compiled,
    ) {
        use Kind::*;
        let op = &step.op;
        if matches!(op.kind, Flw | Fld) {
            self.check_float(index, step, output);
        }
        let (from, back) = self.reach(index, step, in_rax, output);
        let to = self.pinned(op.rd).unwrap_or(RCX);
        let a = &mut self.assembler;
        match op.kind {
            Lb => a.extend_signed(1, to, from),
            Lh => a.extend_signed(2, to, from),
            Lw => a.extend_signed(4, to, from),
            Lbu => a.extend_zero(1, to, from),
            Lhu => a.extend_zero(2, to, from),
            Lwu => a.extend_zero(4, to, from),
            Ld => a.load(W64, to, from),
            Fld => {
                let vector = self.floats.hold(op.rd, true);
                a.scalar(true, float::MOVE_FROM, vector, from);
                a.scalar(true, float::MOVE_TO, vector, float_place(op.rd));
            }
            _ => {
                a.load(W32, RCX, from);
                let vector = self.floats.hold(op.rd, false);
                a.vector_from_general(vector, RCX);
                self.put_single(op.rd);
            }
        }
        if !matches!(op.kind, Flw | Fld) {
            self.put(op.rd, to);
        }
        if let Some(back) = back {
            self.come_back(back);
        }
    }

    pub(super) fn store(
        &mut self,
        index: usize,
        step: &Step,
        in_rax: Option<usize>,
        output: &mut Compiled,
    ) {
        use Kind::*;
        let op = &step.op;
        if matches!(op.kind, Fsw | Fsd) {
            self.check_float(index, step, output);
        }
        let (to, back) = self.reach(index, step, in_rax, output);
        let held = match op.kind {
            Fsd => self.floats.find(op.rs2, true),
            Fsw => self.floats.find(op.rs2, false),
            _ => None,
        };
        let value = match (op.kind, held) {
            (_, Some(vector)) => vector,
            (Fsw | Fsd, None) => {
                self.assembler.load(W64, RCX, float_place(op.rs2));
                RCX
            }
            _ => self.value(op.rs2, RCX),
        };
        let a = &mut self.assembler;
        match op.kind {
            _ if held.is_some() => a.scalar(op.kind == Fsd, float::MOVE_TO, value, to),
            Sb => a.store8(to, value),
            Sh => a.store16(to, value),
            Sw | Fsw => a.store(W32, to, value),
            _ => a.store(W64, to, value),
        }
        if let Some(back) = back {
            self.come_back(back);
        }
    }

    /// Load-reserved, store-conditional and atomic read-modify-write operations.
    pub(super) fn atomic(&mut self, index: usize, step: &Step, output: &mut Compiled) {
        use Kind::*;
        let op = &step.op;
        let double = op.kind as u8 >= LrD as u8;
        let (width, size) = if double { (W64, 8) } else { (W32, 4) };
        let store = !matches!(op.kind, LrW | LrD);
        let (slow, back) = self.cold_site(index, step, output);
        let address = self.address(op.rs1, 0);
        self.check(address, size, store, slow);
        if address != RAX {
            self.assembler.load(W64, RAX, Place::Register(address));
        }
        self.add_host(RAX, store);
        let operand = self.place(op.rs2);
        let result = match op.kind {
            LrW | LrD => {
                self.load_reserved(width);
                RCX
            }
            ScW | ScD => {
                self.store_conditional(width, operand);
                RAX
            }
            AmoaddW | AmoaddD | AmoswapW | AmoswapD => {
                let a = &mut self.assembler;
                a.load(W64, RCX, operand);
                if matches!(op.kind, AmoaddW | AmoaddD) {
                    a.locked_add(width, Place::Memory(RAX, 0), RCX);
                } else {
                    a.exchange(width, Place::Memory(RAX, 0), RCX);
                }
                RCX
            }
            _ => {
                self.exchange_loop(op.kind, width, operand);
                RAX
            }
        };
        if width == W32 && !matches!(op.kind, ScW | ScD) {
            self.assembler
                .extend_signed(4, result, Place::Register(result));
        }
        self.put(op.rd, result);
        self.come_back(back);
    }

    /// From the host address in `rax` to the value in `rcx`.
    fn load_reserved(&mut self, width: Width) {
        let a = &mut self.assembler;
        a.load(width, RCX, Place::Memory(RAX, 0));
        if width == W64 {
            a.lea(RAX, Place::Memory(RAX, 1));
        }
        a.store(W64, reservation(offset_of!(Reservation, place)), RAX);
        a.store(W64, reservation(offset_of!(Reservation, value)), RCX);
    }

    /// From the host address in `rax` to whether it failed.
    fn store_conditional(&mut self, width: Width, new: Place) {
        let place = reservation(offset_of!(Reservation, place));
        let a = &mut self.assembler;
        a.load(W64, RDX, Place::Register(RAX));
        if width == W64 {
            a.lea(RAX, Place::Memory(RAX, 1));
        }
        a.alu(Alu::Cmp, W64, RAX, place);
        a.store_constant(place, 0);
        let done = a.label();
        a.jump_if(Condition::NotEqual, done);
        a.load(W64, RAX, reservation(offset_of!(Reservation, value)));
        a.load(W64, RCX, new);
        a.compare_exchange(width, Place::Memory(RDX, 0), RCX);
        a.bind(done);
        a.set(Condition::NotEqual, RAX);
        a.extend_zero(1, RAX, Place::Register(RAX));
    }

    /// From the host address in `rax` to the old value there.
    fn exchange_loop(&mut self, kind: Kind, width: Width, operand: Place) {
        use Kind::*;
        let a = &mut self.assembler;
        a.load(W64, RDX, Place::Register(RAX));
        a.load(width, RAX, Place::Memory(RDX, 0));
        let again = a.label();
        a.bind(again);
        a.load(width, RCX, operand);
        // The old value instead of the operand, where it compares so to it.
        let keep = match kind {
            AmominW | AmominD => Some(Condition::Less),
            AmomaxW | AmomaxD => Some(Condition::Greater),
            AmominuW | AmominuD => Some(Condition::Below),
            AmomaxuW | AmomaxuD => Some(Condition::Above),
            _ => None,
        };
        match (keep, kind) {
            (Some(condition), _) => {
                a.alu(Alu::Cmp, width, RAX, Place::Register(RCX));
                a.conditional_move(condition, RCX, Place::Register(RAX));
            }
            (None, AmoxorW | AmoxorD) => a.alu(Alu::Xor, width, RCX, Place::Register(RAX)),
            (None, AmoandW | AmoandD) => a.alu(Alu::And, width, RCX, Place::Register(RAX)),
            (None, _) => a.alu(Alu::Or, width, RCX, Place::Register(RAX)),
        }
        a.compare_exchange(width, Place::Memory(RDX, 0), RCX);
        a.jump_if(Condition::NotEqual, again);
    }
}

/// What leads to the host's address, after [`X64::check`].
pub(super) fn host_entry(store: bool) -> Place {
    Place::Indexed(TABLES, RCX, entry_offset(store) + mmu::ENTRY_HOST)
}

/// Whether a trace is a loop in which translations stay what they are.
pub(super) fn is_plain_loop(trace: &Trace) -> bool {
    let is_plain =
        |step: &Step| !(Kind::Csrrw as u8..=Kind::Csrrci as u8).contains(&(step.op.kind as u8));
    loops::is_loop(trace) && trace.steps.iter().all(is_plain)
}

fn reservation(offset: usize) -> Place {
    field(offset_of!(Core, reservation) + offset)
}

fn group_slot(group: usize) -> Place {
    Place::Memory(RSP, group as i32 * 8)
}
