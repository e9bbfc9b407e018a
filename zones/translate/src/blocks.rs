//! Decoded blocks: found by virtual address through a direct-mapped cache, kept by physical address.
//!
//! A block is a straight run of instructions within one page, as of a version of that page's code (see [`crate::code_pages`]); one of
//! an older version is decoded anew. The store is bounded: when it is full, it is emptied.

use crate::code_pages::{Offsets, Snapshot};
use crate::debug::Breakpoint;
use crate::decode;
use crate::memory::PAGE_SIZE;
use crate::op::Op;

/// Most instructions in a block.
const LONGEST: usize = 64;
/// Most decoded instructions kept: 4 MiB of them.
const CAPACITY: usize = 256 * 1024;
/// Entries of the table by virtual address, which generated code reads too.
pub(crate) const JUMPS: usize = 16384;
pub(crate) const JUMP_PC: i32 = std::mem::offset_of!(Jump, pc) as i32;
pub(crate) const JUMP_CONTEXT: i32 = std::mem::offset_of!(Jump, context) as i32;
pub(crate) const JUMP_CODE: i32 = std::mem::offset_of!(Jump, code) as i32;
const _: () = assert!(size_of::<Jump>() == 32, "generated code indexes the table");
const BUCKETS: usize = 1 << 16;
const NONE: u32 = u32::MAX;

/// Where a block's instructions lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    length: u16,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// What is known about a virtual address.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Jump {
    pc: u64,
    context: u64,
    /// Address of its translation, or of the code that leaves for the interpreter.
    pub(crate) code: u64,
    start: u32,
    length: u16,
    /// How often the interpreter ran it since it was remembered, and how often it had been looked for before.
    pub(crate) heat: u16,
}

impl Jump {
    const EMPTY: Self = Self {
        pc: 1,
        context: 0,
        code: 0,
        start: 0,
        length: 0,
        heat: 0,
    };

    pub(crate) fn span(&self) -> Span {
        Span {
            start: self.start,
            length: self.length,
        }
    }
}

struct Block {
    physical: u64,
    span: Span,
    version: u32,
    next: u32,
    /// How often it was looked for: code that shares its entry of the table by virtual address gets warm, too.
    sought: u16,
}

/// One hart's decoded blocks.
pub struct Blocks {
    ops: Vec<Op>,
    blocks: Vec<Block>,
    buckets: Box<[u32]>,
    jumps: Box<[Jump; JUMPS]>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            ops: Vec::new(),
            blocks: Vec::new(),
            buckets: vec![NONE; BUCKETS].into_boxed_slice(),
            jumps: Box::new([Jump::EMPTY; JUMPS]),
        }
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks")
            .field("blocks", &self.blocks.len())
            .field("ops", &self.ops.len())
            .finish_non_exhaustive()
    }
}

/// Moves the last instructions where older ones of a block lay, if they fit: code that keeps changing takes no more room.
fn put_back(ops: &mut Vec<Op>, old: Span, new: Span) -> Span {
    if new.length > old.length {
        return new;
    }
    let from = new.start as usize;
    ops.copy_within(from..from + usize::from(new.length), old.start as usize);
    ops.truncate(from);
    Span {
        start: old.start,
        ..new
    }
}

fn bucket(physical: u64) -> usize {
    ((physical >> 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % BUCKETS
}

impl Blocks {
    /// What is known about this virtual address in this context (translations and privilege).
    #[inline(always)]
    pub(crate) fn jump(&mut self, pc: u64, context: u64) -> Option<&mut Jump> {
        let jump = &mut self.jumps[(pc >> 1) as usize % JUMPS];
        (jump.pc == pc && jump.context == context).then_some(jump)
    }

    /// Whether what starts at a virtual address was run lately: it is at least so warm, or has code, which `none` stands for
    /// where there is none.
    pub(crate) fn is_used(&self, pc: u64, context: u64, warmth: u16, none: u64) -> bool {
        let jump = &self.jumps[(pc >> 1) as usize % JUMPS];
        (jump.pc, jump.context) == (pc, context) && (jump.code != none || jump.heat >= warmth)
    }

    /// Remembers the block and the code for [`Blocks::jump`].
    pub(crate) fn remember(&mut self, pc: u64, context: u64, span: Span, code: u64, heat: u16) {
        self.jumps[(pc >> 1) as usize % JUMPS] = Jump {
            pc,
            context,
            code,
            start: span.start,
            length: span.length,
            heat,
        };
    }

    /// The table of what is known by virtual address, for generated code.
    pub(crate) fn jump_table(&mut self) -> *mut Jump {
        self.jumps.as_mut_ptr()
    }

    /// Drops what [`Blocks::jump`] finds.
    pub(crate) fn forget_jumps(&mut self) {
        self.jumps.fill(Jump::EMPTY);
    }

    /// The instructions of a block.
    #[inline(always)]
    pub(crate) fn ops(&self, span: Span) -> &[Op] {
        let start = span.start as usize;
        self.ops
            .get(start..start + span.length as usize)
            .unwrap_or_default()
    }

    /// Drops what [`Blocks::jump`] finds at these offsets of a page, wherever it is mapped, and instructions that begin in one
    /// page and end in another.
    pub(crate) fn forget_jumps_to(&mut self, offsets: &Offsets) {
        const OF_PAGE: usize = PAGE_SIZE as usize / 2;
        let mut forget = |offset: usize| {
            for half in 0..JUMPS / OF_PAGE {
                self.jumps[half * OF_PAGE + offset % OF_PAGE] = Jump::EMPTY;
            }
        };
        for (index, word) in offsets.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                forget(index * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
        forget(OF_PAGE - 1);
    }

    /// The block at a physical address, kept or decoded anew, and how often it was looked for before. `None` if its first
    /// instruction goes on in the next page. No block goes past a place that may be one of `guarded`. What was read is in the
    /// snapshot.
    pub(crate) fn at(
        &mut self,
        physical: u64,
        version: u32,
        snapshot: &mut Snapshot,
        guarded: &[Breakpoint],
    ) -> Option<(Span, u16)> {
        let mut index = self.buckets[bucket(physical)];
        while let Some(block) = self.blocks.get_mut(index as usize) {
            if block.physical == physical {
                if block.version == version {
                    block.sought = block.sought.saturating_add(1);
                    return Some((block.span, block.sought));
                }
                break;
            }
            index = block.next;
        }
        let span = self.decode(physical, snapshot, guarded)?;
        // Decoding may have emptied the store.
        match self.blocks.get_mut(index as usize) {
            Some(block) if block.physical == physical => {
                let span = put_back(&mut self.ops, block.span, span);
                (block.span, block.version, block.sought) = (span, version, 0);
                return Some((span, 0));
            }
            _ => {
                let head = &mut self.buckets[bucket(physical)];
                let block = Block {
                    physical,
                    span,
                    version,
                    next: *head,
                    sought: 0,
                };
                *head = u32::try_from(self.blocks.len()).unwrap_or(NONE);
                self.blocks.push(block);
            }
        }
        Some((span, 0))
    }

    /// A block of the one instruction that crosses into another page; found only through [`Blocks::jump`].
    pub(crate) fn crossing(&mut self, raw: u32) -> Span {
        self.make_room();
        let start = self.ops.len();
        self.ops.push(decode::decode(raw));
        Span {
            start: u32::try_from(start).unwrap_or(NONE),
            length: 1,
        }
    }

    fn decode(
        &mut self,
        physical: u64,
        snapshot: &mut Snapshot,
        guarded: &[Breakpoint],
    ) -> Option<Span> {
        self.make_room();
        let start = self.ops.len();
        let mut at = physical;
        let end = (physical | (PAGE_SIZE - 1)) + 1;
        while at < end && self.ops.len() - start < LONGEST {
            let low = snapshot.half_word(at as usize % PAGE_SIZE as usize);
            let length = decode::length(low);
            let is_guarded = at != physical && guarded.iter().any(|place| place.is_beside(at));
            if is_guarded || at + u64::from(length) > end {
                break;
            }
            let raw = if length == 4 {
                u32::from(low)
                    | u32::from(snapshot.half_word((at + 2) as usize % PAGE_SIZE as usize)) << 16
            } else {
                u32::from(low)
            };
            let mut op = decode::decode(raw);
            op.offset = u16::try_from(at - physical).unwrap_or_default();
            self.ops.push(op);
            at += u64::from(length);
            if op.kind.ends_block() {
                break;
            }
        }
        let length = self.ops.len() - start;
        (length > 0).then(|| Span {
            start: u32::try_from(start).unwrap_or_default(),
            length: u16::try_from(length).unwrap_or_default(),
        })
    }

    fn make_room(&mut self) {
        if self.ops.len() + LONGEST > CAPACITY {
            self.clear();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ops.clear();
        self.blocks.clear();
        self.buckets.fill(NONE);
        self.forget_jumps();
    }
}
