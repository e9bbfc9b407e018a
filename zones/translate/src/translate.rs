//! The translator: guest code that runs often, as code of the host.
//!
//! Blocks start in the interpreter. One that was run [`HEAT`] times is translated together with what follows it (a
//! [`trace`]), by the [`CodeGenerator`] of the host. Traces are kept by physical page and virtual address, and go straight
//! from one to the next: within a page always, across pages as long as the hart's context (its translations and privilege)
//! is the one the link was made in. Indirect jumps look into the table by virtual address that the interpreter uses too.
//!
//! After a fence for code, or when translations change, the context changes, so that every way into a page comes through
//! [`Translator::find`], which compares the page's code with memory first. Code memory is bounded: when it is full,
//! everything is forgotten.
//!
//! Whatever is rare or complicated is left to the interpreter, one instruction at a time ([`Site`]) or by leaving.

use std::collections::HashMap;

use crate::hart::Core;
use crate::memory::{HostPage, PAGE_SIZE};
use crate::op::Op;

mod call;
mod code;
#[cfg(test)]
pub(crate) mod mistakes;
#[cfg(test)]
mod tests;
mod trace;
#[cfg(not(target_arch = "x86_64"))]
mod unsupported;
#[cfg(target_arch = "x86_64")]
mod x64;

pub use code::{CODE_BYTES, CodeCache, CodeError};
use trace::Trace;
#[cfg(target_arch = "x86_64")]
type HostGenerator = x64::X64;
#[cfg(not(target_arch = "x86_64"))]
type HostGenerator = unsupported::Unsupported;

/// Runs of a block in the interpreter before it is translated.
const HEAT: u16 = 12;
/// Entries for links across pages: a context and an address.
const SLOT_BYTES: usize = 16;
const SLOTS: usize = CODE_BYTES / 8 / SLOT_BYTES;
/// A trace's code is far smaller than this.
const LARGEST_TRACE: usize = 256 << 10;
/// Most code pages.
const PAGES: usize = 3072;
/// Times that an access group of a trace may not fit before the trace is made without groups.
const MISFITS: u32 = 64;
/// Bytes that are compared together.
const LINE: usize = 64;

/// What does one instruction for generated code; returns whether that code must be left.
type Helper = extern "C" fn(*mut Core, u32) -> u32;

/// An instruction that the interpreter does for generated code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    op: Op,
    pc: u64,
    /// Instructions of the trace before it.
    before: u32,
}

/// Offsets of the code that all traces use.
#[derive(Debug, Clone, Copy, Default)]
struct Stubs {
    /// Called with the hart's state and the address of a trace.
    enter: usize,
    /// Returns from there, with the number of a [`Leave`] or 0.
    leave: usize,
    /// Leaves for an address that has no code.
    untranslated: usize,
    /// Calls the interpreter for a [`Site`].
    site: usize,
}

/// A jump that can be directed to the code of its target.
#[derive(Debug, Clone, Copy)]
enum Patch {
    /// The 32-bit distance at this offset.
    Distance(usize),
    /// The entry with this number.
    Slot(usize),
}

/// A way out of a trace.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// Goes on there.
    Plain { pc: u64 },
    /// The same; so many instructions are not yet counted (negative: too many are).
    Interpret { pc: u64, retired: i32 },
    /// Goes on there, and next time directly.
    Link { pc: u64, patch: Patch },
    /// The interpreter goes on there, even if there is a trace.
    Aside { pc: u64, retired: i32 },
    /// The same, because an access group does not fit.
    Misfit { pc: u64, retired: i32, trace: usize },
}

/// What a generator writes beside code.
struct Output<'a> {
    stubs: Stubs,
    /// Where the code will lie.
    offset: usize,
    trace: usize,
    sites: &'a mut Vec<Site>,
    leaves: &'a mut Vec<Leave>,
    slots: &'a mut usize,
}

impl Output<'_> {
    /// The number of the next [`Output::leave`].
    fn next_leave(&self) -> u32 {
        self.leaves.len() as u32 + 1
    }

    fn leave(&mut self, leave: Leave) -> u32 {
        self.leaves.push(leave);
        self.leaves.len() as u32
    }

    fn site(&mut self, site: Site) -> u32 {
        self.sites.push(site);
        self.sites.len() as u32 - 1
    }

    fn slot(&mut self) -> Option<usize> {
        *self.slots += 1;
        (*self.slots <= SLOTS).then_some(*self.slots - 1)
    }
}

/// Makes code for one kind of host.
trait CodeGenerator {
    /// Whether this host's processor has the instructions that generated code uses.
    fn is_supported() -> bool;
    /// The code that all traces use, for this offset.
    fn stubs(&mut self, offset: usize, helper: Helper) -> (Vec<u8>, Stubs);
    /// The code of a trace, for `output.offset`.
    fn trace(&mut self, trace: &Trace, grouped: bool, output: &mut Output<'_>) -> &[u8];
    /// What to write where, so that a jump goes to the code at the offset `target`.
    fn patch(&self, patch: &Patch, target: usize) -> Option<(usize, [u8; 4])>;
    /// What to write at the start of old code, so that it goes to new code.
    fn replacement(&self, old: usize, new: usize) -> Vec<u8>;
}

/// How the hart goes on after generated code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Wherever `pc` is.
    Anywhere,
    /// At `pc`; the trace there is to be linked with this way out.
    Link(u32),
    /// At `pc`, one block in the interpreter.
    Interpret,
}

struct Record {
    physical: u64,
    start: u64,
    offset: usize,
    misfits: u32,
}

/// One physical page with translated code.
struct CodePage {
    /// What the lines were that code was translated from; 0 for others.
    lines: Box<[u64; PAGE_SIZE as usize / LINE]>,
    epoch: u32,
    /// Offsets of code by virtual address.
    traces: HashMap<u64, usize>,
}

impl CodePage {
    fn new(epoch: u32) -> Self {
        Self {
            lines: Box::new([0; PAGE_SIZE as usize / LINE]),
            epoch,
            traces: HashMap::new(),
        }
    }

    fn is_unchanged(&self, page: HostPage) -> bool {
        self.lines
            .iter()
            .enumerate()
            .all(|(line, known)| *known == 0 || fingerprint(&read_line(line, page)) == *known)
    }

    /// Forgets what is no longer so.
    fn renew(&mut self, epoch: u32, page: HostPage) {
        #[cfg(test)]
        if mistakes::is_made(mistakes::Mistake::StaleCode) {
            return;
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            if !self.is_unchanged(page) {
                self.forget();
            }
        }
    }

    fn forget(&mut self) {
        self.traces.clear();
        self.lines.fill(0);
    }
}

/// What a page's code is while a trace is made of it: other harts may write to it.
#[derive(Default)]
struct Snapshot {
    lines: HashMap<usize, [u64; LINE / 8]>,
}

impl Snapshot {
    /// The half-word at an even offset.
    fn half_word(&mut self, offset: usize, page: HostPage) -> u16 {
        let line = self
            .lines
            .entry(offset / LINE)
            .or_insert_with(|| read_line(offset / LINE, page));
        let word = line[offset % LINE / 8];
        (word >> (offset % 8 * 8)) as u16
    }

    /// Notes what the lines were that were read. Old code of a line that was something else is forgotten.
    fn note(&self, code_page: &mut CodePage) {
        let noted = |(line, words): (&usize, &[u64; LINE / 8])| (*line, fingerprint(words));
        let differs = |(line, print)| ![0, print].contains(&code_page.lines[line]);
        if self.lines.iter().map(noted).any(differs) {
            code_page.forget();
        }
        for (line, print) in self.lines.iter().map(noted) {
            code_page.lines[line] = print;
        }
    }
}

fn read_line(line: usize, page: HostPage) -> [u64; LINE / 8] {
    std::array::from_fn(|index| page.load((line * LINE + index * 8) as u64))
}

/// Tells lines apart: a guest that finds two with the same one fools nobody but itself. Never 0.
fn fingerprint(words: &[u64; LINE / 8]) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    // Pairs side by side, each with numbers of its own, so that the processor does them at once.
    let pair = |index: usize, one, other| fold(words[index] ^ one, words[index + 1] ^ other);
    let low = pair(0, 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93)
        ^ pair(2, 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db).rotate_left(23);
    let high = pair(4, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3)
        ^ pair(6, 0x1d8e_4e27_c47d_124f, 0xeb44_acca_b455_d165).rotate_left(23);
    fold(low ^ 0x2d35_8dcc_aa6c_78a5, high ^ 0x8bb8_4b93_962e_acc9) | 1
}

/// One hart's translator.
pub(crate) struct Translator {
    cache: CodeCache,
    generator: HostGenerator,
    stubs: Stubs,
    /// Where the next code goes.
    used: usize,
    first: usize,
    slots: usize,
    leaves: Vec<Leave>,
    records: Vec<Record>,
    pages: HashMap<u64, CodePage>,
    epoch: u32,
    /// Runs of a block in the interpreter before it is translated.
    pub(crate) heat: u16,
    /// Bytes of code memory that are used.
    room: usize,
    /// How often all code was forgotten for want of room.
    #[cfg(test)]
    forgotten: u32,
}

impl Translator {
    /// Takes over memory for code; `None` if this host's processor lacks what generated code uses.
    pub(crate) fn new(mut cache: CodeCache) -> Option<Self> {
        if !HostGenerator::is_supported() {
            return None;
        }
        let mut generator = HostGenerator::default();
        let start = SLOTS * SLOT_BYTES;
        let (bytes, stubs) = generator.stubs(start, call::interpret_site);
        cache.write(start, &bytes).then(|| {
            let first = (start + bytes.len()).next_multiple_of(64);
            Self {
                cache,
                generator,
                stubs,
                used: first,
                first,
                slots: 0,
                leaves: Vec::new(),
                records: Vec::new(),
                pages: HashMap::new(),
                epoch: 0,
                heat: HEAT,
                room: CODE_BYTES,
                #[cfg(test)]
                forgotten: 0,
            }
        })
    }

    /// Uses no more than so many bytes for code, and returns how often there was no room so far: for tests.
    #[cfg(test)]
    pub(crate) fn squeeze(&mut self, bytes: usize) -> u32 {
        self.room = self.first + LARGEST_TRACE + bytes;
        self.forgotten
    }

    /// The address of code that leaves for an address without code.
    pub(crate) fn untranslated(&self) -> u64 {
        self.cache.address(self.stubs.untranslated)
    }

    /// From now on, code written before now is seen. The caller also changes the context.
    pub(crate) fn new_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.pages.clear();
        }
    }

    /// The code for a virtual address whose physical one and page are given, if it was translated and has not changed.
    pub(crate) fn find(&mut self, pc: u64, physical: u64, page: HostPage) -> Option<u64> {
        let code_page = self.pages.get_mut(&(physical / PAGE_SIZE))?;
        code_page.renew(self.epoch, page);
        code_page
            .traces
            .get(&pc)
            .map(|offset| self.cache.address(*offset))
    }

    /// Whether there is room for another trace; if not, [`Translator::forget`] is due.
    pub(crate) fn is_full(&self) -> bool {
        self.used + LARGEST_TRACE > self.room
            || self.slots + 256 > SLOTS
            || self.pages.len() >= PAGES
    }

    /// Forgets all code. Nothing of it may be running, and the caller makes sure that nothing refers to it.
    pub(crate) fn forget(&mut self, core: &mut Core) {
        #[cfg(test)]
        {
            self.forgotten += 1;
        }
        self.used = self.first;
        self.cache
            .write(0, &vec![0; self.slots.min(SLOTS) * SLOT_BYTES]);
        self.slots = 0;
        self.leaves.clear();
        self.records.clear();
        self.pages.clear();
        core.sites.clear();
    }

    /// Translates what starts at a virtual address; `None` if its first instruction is the interpreter's. `is_used` tells
    /// whether the code at an address was run lately.
    pub(crate) fn translate(
        &mut self,
        core: &mut Core,
        pc: u64,
        physical: u64,
        page: HostPage,
        is_used: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let offset = self.generate(core, pc, physical, page, true, is_used)?;
        Some(self.cache.address(offset))
    }

    fn generate(
        &mut self,
        core: &mut Core,
        pc: u64,
        physical: u64,
        page: HostPage,
        grouped: bool,
        is_used: impl Fn(u64) -> bool,
    ) -> Option<usize> {
        let epoch = self.epoch;
        let code_page = self
            .pages
            .entry(physical / PAGE_SIZE)
            .or_insert_with(|| CodePage::new(epoch));
        code_page.renew(epoch, page);
        let mut snapshot = Snapshot::default();
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests change it"))]
        let mut trace = Trace::new(
            pc,
            &core.guarded,
            |offset| snapshot.half_word(offset, page),
            is_used,
        );
        #[cfg(test)]
        mistakes::spoil(&mut trace);
        if trace.steps.is_empty() {
            return None;
        }
        snapshot.note(code_page);
        let offset = self.used;
        let mut output = Output {
            stubs: self.stubs,
            offset,
            trace: self.records.len(),
            sites: &mut core.sites,
            leaves: &mut self.leaves,
            slots: &mut self.slots,
        };
        let code = self.generator.trace(&trace, grouped, &mut output);
        if !self.cache.write(offset, code) {
            return None;
        }
        self.used = (offset + code.len()).next_multiple_of(16);
        self.records.push(Record {
            physical,
            start: pc,
            offset,
            misfits: 0,
        });
        code_page.traces.insert(pc, offset);
        Some(offset)
    }

    /// Directs a way out to the code that was found for it.
    pub(crate) fn link(&mut self, id: u32, code: u64, context: u64) {
        let Some(Leave::Link { patch, .. }) = self.leave(id) else {
            return;
        };
        let target = code.wrapping_sub(self.cache.address(0)) as usize;
        match self.generator.patch(&patch, target) {
            Some((at, bytes)) => _ = self.cache.write(at, &bytes),
            None => {
                if let Patch::Slot(slot) = patch {
                    self.cache.write(slot * SLOT_BYTES, &context.to_le_bytes());
                    self.cache.write(slot * SLOT_BYTES + 8, &code.to_le_bytes());
                }
            }
        }
    }

    fn leave(&self, id: u32) -> Option<Leave> {
        self.leaves.get((id as usize).wrapping_sub(1)).copied()
    }

    /// Runs the code at this address, which came from [`Translator::find`] or [`Translator::translate`] for the hart's
    /// present address and context.
    pub(crate) fn run(&mut self, core: &mut Core, code: u64) -> After {
        let id = call::enter(&self.cache, self.stubs.enter, core, code);
        core.absorb_host_flags();
        let Some(leave) = self.leave(id) else {
            return After::Anywhere;
        };
        let (pc, retired, after) = match leave {
            Leave::Plain { pc } => (pc, 0, After::Anywhere),
            Leave::Interpret { pc, retired } => (pc, retired, After::Anywhere),
            Leave::Link { pc, .. } => (pc, 0, After::Link(id)),
            Leave::Aside { pc, retired } => (pc, retired, After::Interpret),
            Leave::Misfit { pc, retired, trace } => {
                self.misfit(core, trace);
                (pc, retired, After::Interpret)
            }
        };
        core.pc = pc;
        core.budget -= i64::from(retired);
        after
    }

    /// A group of a trace did not fit: that will happen (a frame that straddles pages), but not too often.
    fn misfit(&mut self, core: &mut Core, trace: usize) {
        let full = self.is_full();
        let Some(record) = self.records.get_mut(trace) else {
            return;
        };
        record.misfits += 1;
        if record.misfits != MISFITS || full {
            return;
        }
        let (start, physical, old) = (record.start, record.physical, record.offset);
        let current = self
            .pages
            .get(&(physical / PAGE_SIZE))
            .is_some_and(|page| page.traces.get(&start) == Some(&old));
        let Some(page) = core.ram.page(physical).filter(|_| current) else {
            return;
        };
        if let Some(new) = self.generate(core, start, physical, page, false, |_| false) {
            let jump = self.generator.replacement(old, new);
            self.cache.write(old, &jump);
        }
    }
}
