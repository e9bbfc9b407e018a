//! Regions: a hot trace together with others of its page that it leads to and that lead back to it.
//!
//! They share what the registers of the host hold, so that going from one to another costs no more than a jump. A region is
//! entered from outside only where its first trace starts.

use super::trace::{End, Step, Trace};
use crate::memory::PAGE_SIZE;
use crate::op::Kind;

#[cfg(test)]
mod tests;

/// Most traces of a region besides its first.
const MOST: usize = 9;
/// A region does not grow beyond so many instructions.
const LONGEST: usize = 320;

impl Trace {
    /// Where it may go on, but for what depends on a register.
    fn ways_out(&self) -> impl Iterator<Item = u64> {
        let jumps = |step: &&Step| step.is_branch() || step.op.kind == Kind::Jal;
        let last = self.steps.last();
        let end = match self.end {
            End::Next(pc) => Some(pc),
            End::Jump => last.filter(|last| last.is_branch()).map(Step::following),
            End::Interpret(_) => None,
        };
        self.steps.iter().filter(jumps).map(Step::target).chain(end)
    }

    /// Makes it a region. `read` gives the trace from an address on; only where `is_used` says so may one start.
    pub(super) fn grow(
        &mut self,
        is_used: impl Fn(u64) -> bool,
        mut read: impl FnMut(u64) -> Self,
    ) {
        let mut starts = vec![self.start];
        let mut length = self.steps.len();
        let mut found: Vec<Self> = Vec::new();
        let mut reached = 0;
        while reached <= found.len() {
            let from = reached.checked_sub(1).map_or(&*self, |index| &found[index]);
            let targets: Vec<u64> = from.ways_out().collect();
            for target in targets {
                let near = (target ^ self.start) & !(PAGE_SIZE - 1) == 0;
                let has_room = found.len() < MOST && length < LONGEST;
                if near && has_room && !starts.contains(&target) && is_used(target) {
                    let trace = read(target);
                    if !trace.steps.is_empty() {
                        starts.push(target);
                        length += trace.steps.len();
                        found.push(trace);
                    }
                }
            }
            reached += 1;
        }
        // What does not come back is better off on its own.
        let mut back = vec![self.start];
        loop {
            let known = back.len();
            for trace in &found {
                if !back.contains(&trace.start) && trace.ways_out().any(|pc| back.contains(&pc)) {
                    back.push(trace.start);
                }
            }
            if back.len() == known {
                break;
            }
        }
        found.retain(|trace| back.contains(&trace.start));
        self.others = found;
    }

    /// All traces of the region.
    pub(super) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}
