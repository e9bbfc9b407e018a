//! Finds accesses of a trace that go by one check.
//!
//! Loads (or stores) through the same base register, which nothing writes in between, at offsets close to each other, are a
//! group: the first of them checks that all lie in one page whose translation is cached, and that they are aligned; the
//! others use the host address that it found. If the check fails, the interpreter takes over before the first access, so no
//! access is done unchecked and none is done twice.

use crate::op::{Kind, Op};
use crate::translate::trace::Step;

use super::GROUP_SLOTS;

/// Most bytes between the first and the last of a group.
const REACH: i32 = 2048;

/// One group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) store: bool,
    pub(super) base: u8,
    /// Offset from the base register of a largest access: it decides about alignment.
    pub(super) anchor: i32,
    /// Size of that access.
    pub(super) size: i32,
    /// First offset, and the one after the last.
    pub(super) low: i32,
    pub(super) high: i32,
    /// Its first step.
    pub(super) first: usize,
    /// It has more than one access.
    worthwhile: bool,
    /// Its place among those that are kept.
    kept: Option<usize>,
}

/// What a step is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Not in a group.
    Alone,
    /// The first of this group: checks.
    First(usize),
    /// Another of this group.
    Member(usize),
}

/// The groups of a trace.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    of_step: Vec<Option<usize>>,
}

/// The size of a load's or store's access and whether it stores.
pub(super) fn access(kind: Kind) -> Option<(i32, bool)> {
    use Kind::*;
    Some(match kind {
        Lb | Lbu => (1, false),
        Lh | Lhu => (2, false),
        Lw | Lwu | Flw => (4, false),
        Ld | Fld => (8, false),
        Sb => (1, true),
        Sh => (2, true),
        Sw | Fsw => (4, true),
        Sd | Fsd => (8, true),
        _ => return None,
    })
}

impl Groups {
    /// Finds the groups of a trace, or none: then each access checks for itself.
    pub(super) fn find(&mut self, steps: &[Step], grouped: bool) {
        self.groups.clear();
        self.of_step.clear();
        self.of_step.resize(steps.len(), None);
        if !grouped {
            return;
        }
        // The group that is open for each base register, for loads and stores.
        let mut open = [[None; 2]; 32];
        for (index, Step { op, .. }) in steps.iter().enumerate() {
            if let Some((size, store)) = access(op.kind) {
                let slot = &mut open[usize::from(op.rs1 & 31)][usize::from(store)];
                match slot
                    .and_then(|group: usize| self.groups.get_mut(group))
                    .filter(|group| group.admits(op.imm, size))
                {
                    Some(group) => {
                        group.admit(op.imm, size);
                        self.of_step[index] = *slot;
                    }
                    None => {
                        *slot = Some(self.groups.len());
                        self.of_step[index] = *slot;
                        self.groups.push(Group {
                            store,
                            base: op.rs1,
                            anchor: op.imm,
                            size,
                            low: op.imm,
                            high: op.imm + size,
                            first: index,
                            worthwhile: false,
                            kept: None,
                        });
                    }
                }
            }
            if let Some(written) = integer_destination(op) {
                open[usize::from(written & 31)] = [None; 2];
            }
            if is_barrier(op.kind) {
                open = [[None; 2]; 32];
            }
        }
        self.keep_worthwhile();
    }

    /// Drops groups that cost more than they save, and those beyond the room there is.
    fn keep_worthwhile(&mut self) {
        let mut kept = 0;
        for group in &mut self.groups {
            group.kept = (group.worthwhile && kept < GROUP_SLOTS).then_some(kept);
            kept += usize::from(group.kept.is_some());
        }
        for group in &mut self.of_step {
            *group = group.and_then(|group| self.groups[group].kept);
        }
        self.groups.retain(|group| group.kept.is_some());
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn role(&self, index: usize) -> Role {
        match self.of_step.get(index).copied().flatten() {
            None => Role::Alone,
            Some(group) if self.groups[group].first == index => Role::First(group),
            Some(group) => Role::Member(group),
        }
    }

    pub(super) fn group(&self, group: usize) -> &Group {
        &self.groups[group]
    }
}

impl Group {
    /// Whether an access may join: close enough, and aligned if the largest one is.
    fn admits(&self, offset: i32, size: i32) -> bool {
        let (low, high) = (self.low.min(offset), self.high.max(offset + size));
        high - low <= REACH && (offset - self.anchor) % size.min(self.size) == 0
    }

    fn admit(&mut self, offset: i32, size: i32) {
        (self.low, self.high) = (self.low.min(offset), self.high.max(offset + size));
        if size > self.size {
            (self.anchor, self.size) = (offset, size);
        }
        self.worthwhile = true;
    }

    /// The offset of the last unit of its largest access's size, which holds its last byte.
    pub(super) fn last(&self) -> i32 {
        self.anchor + (self.high - 1 - self.anchor) / self.size * self.size
    }
}

/// The integer register an instruction writes, if it writes one.
pub(super) fn integer_destination(op: &Op) -> Option<u8> {
    use Kind::*;
    let written = match op.kind {
        Beq | Bne | Blt | Bge | Bltu | Bgeu | Sb | Sh | Sw | Sd | Fsw | Fsd | Fence => false,
        kind => (kind as u8) < Flw as u8 || kind.leaves_floats(),
    };
    (written && op.rd < 32).then_some(op.rd)
}

/// After these, translations may be others.
fn is_barrier(kind: Kind) -> bool {
    use Kind::*;
    matches!(
        kind,
        Pause | Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci
    )
}
