//! The translator: guest code that runs often, as code of the host.
//!
//! Blocks start in the interpreter. One that was run [`HEAT`] times is translated together with what follows it (a
//! [`trace`]), by the [`CodeGenerator`] of the host. Traces are kept by physical page and virtual address, and go straight
//! from one to the next: within a page always, across pages as long as the hart's context (its translations and privilege)
//! is the one the link was made in. Indirect jumps look into the table by virtual address that the interpreter uses too.
//!
//! When a page's code has changed, its traces die: each of them from then on begins with a way out, wherever it is entered
//! from. What is translated anew goes where the dead trace lay, if it fits, so that all ways into it hold again. When
//! translations change, the context changes, and every way from page to page is found anew. Code memory is bounded: when it
//! is full, everything is forgotten.
//!
//! A trace in which the budget of instructions has run out some times is where the hart spends its time. Its code is made once
//! more, with more effort and with what is known by then, by the machine's [`compiler`] if it has one, and put in the place of
//! the old one; if it lies in a loop, together with the loop's other traces ([`region`]).
//!
//! Whatever is rare or complicated is left to the interpreter, one instruction at a time ([`Site`]) or by leaving.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::code_pages::{CodePages, Snapshot};
use crate::hart::Core;
use crate::op::Op;

mod call;
mod code;
mod compiler;
#[cfg(test)]
pub(crate) mod mistakes;
mod region;
#[cfg(test)]
mod tests;
mod trace;
#[cfg(not(target_arch = "x86_64"))]
mod unsupported;
#[cfg(target_arch = "x86_64")]
mod x64;

pub use code::{CodeCache, CodeError};
pub use compiler::Compiler;
#[cfg(test)]
pub(crate) use compiler::tests::Late;
use compiler::{Client, Job};
use trace::Trace;
#[cfg(target_arch = "x86_64")]
type HostGenerator = x64::X64;
#[cfg(not(target_arch = "x86_64"))]
type HostGenerator = unsupported::Unsupported;

/// Runs of a block in the interpreter before it is translated.
const HEAT: u16 = 24;
/// The same for what was translated before its page's code changed: it will be hot again.
const HEAT_AGAIN: u16 = 3;
/// Entries for links across pages: a context and an address.
const SLOT_BYTES: usize = 16;
const SLOTS: usize = 1 << 16;
/// Where the code that all traces use lies.
const STUBS: usize = SLOTS * SLOT_BYTES;
/// A trace's code is far smaller than this.
const LARGEST_TRACE: usize = 256 << 10;
/// Most ways out of traces, and most instructions of theirs for the interpreter.
const MOST_LEAVES: usize = 1 << 19;
/// A trace has far fewer.
const LEAVES: usize = 1 << 12;
/// What a trace's code is rounded up to, and where its loops start: how far a jump's target lies from such a place changes how
/// fast the host goes round.
const ALIGNMENT: usize = 32;
/// Times that an access group of a trace may not fit before the trace is made without groups.
const MISFITS: u32 = 64;
/// See [`Translator::hot`].
const HOT: u32 = 8;
/// Where no more was left when code was entered, it does not count.
const LITTLE: i64 = 8;

/// What does one instruction for generated code; returns whether that code must be left.
type Helper = extern "C" fn(*mut Core, u32) -> u32;

/// An instruction that the interpreter does for generated code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    op: Op,
    pc: u64,
    /// Instructions of the trace before it that are still to be taken from the budget.
    before: i32,
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
    Distance(u32),
    /// The entry with this number.
    Slot(u32),
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
    Misfit { pc: u64, retired: i32, trace: u32 },
}

/// What is added to 32 bits of code when it is put in place.
#[derive(Debug, Clone, Copy)]
enum Base {
    /// How many ways out there are already.
    Leaves,
    /// How many sites.
    Sites,
    /// The distance is to a place that stays where it is.
    Fixed,
    /// The distance is to an entry for links, counted from the first that is free.
    Slots,
}

/// What a generator makes of a trace: code for any place, with ways out, sites and entries for links that are numbered from
/// the first of its own on.
#[derive(Debug, Default)]
struct Compiled {
    bytes: Vec<u8>,
    /// Offsets of 32 bits in the code.
    relocations: Vec<(u32, Base)>,
    sites: Vec<Site>,
    leaves: Vec<Leave>,
    slots: u32,
}

impl Compiled {
    fn clear(&mut self) {
        self.bytes.clear();
        self.relocations.clear();
        self.sites.clear();
        self.leaves.clear();
        self.slots = 0;
    }

    /// The number of the next [`Compiled::leave`].
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

    fn slot(&mut self) -> u32 {
        self.slots += 1;
        self.slots - 1
    }

    /// Makes the code what it is at an offset of the code memory, with so many ways out, sites and entries before its own.
    fn relocate(&mut self, offset: usize, leaves: usize, sites: usize, slots: usize) {
        for (at, base) in self.relocations.drain(..) {
            let added = match base {
                Base::Leaves => leaves,
                Base::Sites => sites,
                Base::Fixed => offset.wrapping_neg(),
                Base::Slots => (slots * SLOT_BYTES).wrapping_sub(offset),
            };
            let at = at as usize;
            if let Some(bytes) = self.bytes[at..].first_chunk_mut() {
                *bytes = u32::from_le_bytes(*bytes)
                    .wrapping_add(added as u32)
                    .to_le_bytes();
            }
        }
    }
}

/// Makes code for one kind of host. The stubs are the same in all code memories, so one generator's code fits any of them.
trait CodeGenerator: Sized {
    /// Whether this host's processor has the instructions that generated code uses.
    fn is_supported() -> bool;
    /// A generator, and the code that all traces use, for this offset.
    fn new(offset: usize, helper: Helper) -> (Self, Vec<u8>);
    /// Where in that code is what.
    fn stubs(&self) -> Stubs;
    /// Writes the code of a trace to `output`, which is empty.
    fn trace(&mut self, trace: &Trace, grouped: bool, output: &mut Compiled);
    /// What to write where, so that a jump goes to the code at the offset `target`.
    fn patch(&self, patch: &Patch, target: usize) -> Option<(usize, [u8; 4])>;
    /// What to write at the start of old code, so that it goes to new code.
    fn replacement(&self, old: usize, new: usize) -> Vec<u8>;
    /// What to write there, so that it leaves with this number; at most [`ALIGNMENT`] bytes.
    fn way_out(&self, old: usize, leave: u32) -> Vec<u8>;
}

/// This host's generator, and the code that all traces use.
fn generator() -> (HostGenerator, Vec<u8>) {
    HostGenerator::new(STUBS, call::interpret_site)
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

/// A trace, as it was when it was put in place.
#[derive(Debug, Clone, Copy)]
struct Record {
    start: Start,
    offset: usize,
    /// How many ways out there were before its own.
    leaves: u32,
    steps: u32,
    is_hot: bool,
    grouped: bool,
    misfits: u32,
    /// How often the budget ran out in it.
    samples: u32,
}

/// Where the code of a trace lies.
#[derive(Debug, Clone, Copy)]
struct Placed {
    offset: usize,
    /// Bytes that fit there.
    room: usize,
    /// Its page's code is still what it was made of.
    is_live: bool,
}

/// What is to be translated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// Virtual address.
    pub(crate) pc: u64,
    pub(crate) page: u32,
}

/// What is known of an address.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    /// The address of its code.
    Code(u64),
    /// It had code before it changed, so that it begins with this heat.
    Hot(u16),
    /// Nothing.
    Nothing,
}

/// What became of what was to be translated.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    /// The address of the code; none if the first instruction is the interpreter's.
    pub(crate) code: Option<u64>,
    /// All that was known of the page's code is forgotten.
    pub(crate) has_changed: bool,
}

/// By page number or address. A guest that finds ones that collide slows down nobody but itself.
type Table<Key, Value> = HashMap<Key, Value, BuildHasherDefault<Mixer>>;

/// Mixes one number.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // The table looks at the highest bits and at the lowest.
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// One hart's translator.
pub(crate) struct Translator {
    cache: CodeCache,
    generator: HostGenerator,
    stubs: Stubs,
    /// Records of traces whose code is to be made once more.
    due: Vec<u32>,
    /// Who makes it in this hart's place.
    compiler: Option<Client>,
    /// A job whose memory serves again.
    spare: Job,
    /// Where the next code goes.
    used: usize,
    first: usize,
    slots: usize,
    leaves: Vec<Leave>,
    records: Vec<Record>,
    /// By page and virtual address.
    pages: Table<u32, Table<u64, Placed>>,
    /// The way out of the last run belongs to code that is still there.
    is_linkable: bool,
    /// Runs of a block in the interpreter before it is translated.
    pub(crate) heat: u16,
    /// Times that the budget of instructions runs out in a trace before the trace is hot.
    pub(crate) hot: u32,
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
        let room = cache.room();
        let (generator, bytes) = generator();
        cache.write(STUBS, &bytes).then(|| {
            let first = (STUBS + bytes.len()).next_multiple_of(64);
            Self {
                cache,
                stubs: generator.stubs(),
                generator,
                due: Vec::new(),
                compiler: None,
                spare: Job::default(),
                used: first,
                first,
                slots: 0,
                leaves: Vec::new(),
                records: Vec::new(),
                pages: Table::default(),
                is_linkable: false,
                heat: HEAT,
                hot: HOT,
                room,
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

    /// How many traces that are hot were put in place since code was last forgotten.
    #[cfg(test)]
    pub(crate) fn hot_traces(&self) -> usize {
        self.records.iter().filter(|record| record.is_hot).count()
    }

    /// The address of code that leaves for an address without code.
    pub(crate) fn untranslated(&self) -> u64 {
        self.cache.address(self.stubs.untranslated)
    }

    /// The code for a virtual address in this page, if it was translated and has not changed.
    pub(crate) fn find(&self, start: Start) -> Found {
        let placed = self
            .pages
            .get(&start.page)
            .and_then(|page| page.get(&start.pc));
        match placed {
            Some(placed) if placed.is_live => Found::Code(self.cache.address(placed.offset)),
            Some(_) => Found::Hot(self.heat.saturating_sub(HEAT_AGAIN)),
            None => Found::Nothing,
        }
    }

    /// A page's code has changed: nothing goes on in code that was made of it.
    pub(crate) fn kill(&mut self, page: u32) {
        #[cfg(test)]
        if mistakes::is_made(mistakes::Mistake::DeadEntered) {
            return;
        }
        self.is_linkable = false;
        if let Some(compiler) = &mut self.compiler {
            compiler.forget(|asked| asked == page);
        }
        for (pc, placed) in self.pages.get_mut(&page).into_iter().flatten() {
            if std::mem::replace(&mut placed.is_live, false) {
                self.leaves.push(Leave::Plain { pc: *pc });
                let leave = self.leaves.len() as u32;
                let code = self.generator.way_out(placed.offset, leave);
                self.cache.write(placed.offset, &code);
            }
        }
    }

    /// Whether there is room for another trace; if not, [`Translator::forget`] is due.
    pub(crate) fn is_full(&self, core: &Core) -> bool {
        self.used + LARGEST_TRACE > self.room
            || self.slots + 256 > SLOTS
            || self.leaves.len().max(core.sites.len()) + LEAVES > MOST_LEAVES
    }

    /// Forgets all code. Nothing of it may be running, and the caller makes sure that nothing refers to it.
    pub(crate) fn forget(&mut self, core: &mut Core) {
        #[cfg(test)]
        {
            self.forgotten += 1;
        }
        self.used = self.first;
        self.cache.write(0, &vec![0; self.slots * SLOT_BYTES]);
        self.slots = 0;
        self.leaves.clear();
        self.records.clear();
        self.pages.clear();
        self.is_linkable = false;
        self.due.clear();
        if let Some(compiler) = &mut self.compiler {
            compiler.forget(|_| true);
        }
        core.sites.clear();
    }

    /// Translates what starts at a virtual address. `is_used` tells whether the code at an address was run lately.
    pub(crate) fn translate(
        &mut self,
        core: &mut Core,
        pages: &mut CodePages,
        start: Start,
        is_used: impl Fn(u64) -> bool,
    ) -> Translated {
        let Some((trace, snapshot)) = Self::read(core, pages, start, is_used, false) else {
            return Translated::default();
        };
        let has_changed = pages.note(start.page, &snapshot);
        if has_changed {
            self.kill(start.page);
        }
        let job = self.job(start, trace, true);
        let offset = self.install(core, job);
        Translated {
            code: offset.map(|offset| self.cache.address(offset)),
            has_changed,
        }
    }

    fn job(&mut self, start: Start, trace: Trace, grouped: bool) -> Job {
        let mut job = std::mem::take(&mut self.spare);
        (job.start, job.trace, job.grouped) = (start, trace, grouped);
        job.compiled.clear();
        job
    }

    /// Lets another thread make what is made once more.
    pub(crate) fn compile_by(&mut self, compiler: &Compiler) {
        self.compiler = Some(Client::new(compiler));
    }

    /// Whether [`Translator::improve`] has something to do.
    pub(crate) fn is_due(&self, core: &Core) -> bool {
        let compiler = self.compiler.as_ref();
        !self.due.is_empty() || compiler.is_some_and(|compiler| compiler.is_due(core.retired()))
    }

    /// Has traces that are hot, or that do not fit what they meet, made once more, and puts in place what was made.
    pub(crate) fn improve(
        &mut self,
        core: &mut Core,
        pages: &mut CodePages,
        is_used: impl Fn(u64) -> bool,
    ) {
        while let Some(number) = self.due.pop() {
            let Some(record) = self.records.get(number as usize).copied() else {
                continue;
            };
            let compiler = self.compiler.as_ref();
            if !self.is_current(&record)
                || compiler.is_some_and(|compiler| compiler.expects(record.start))
            {
                continue;
            }
            let is_hot = record.is_hot || record.samples >= self.hot;
            let read = Self::read(core, pages, record.start, &is_used, is_hot);
            // Without a fence, code that has changed may go on as it was.
            let Some((trace, snapshot)) =
                read.filter(|(_, snapshot)| !pages.differs(record.start.page, snapshot))
            else {
                continue;
            };
            pages.note(record.start.page, &snapshot);
            let grouped = record.grouped && record.misfits < MISFITS;
            // Less may be known by now of where the way goes on.
            if grouped == record.grouped && trace.steps.len() < record.steps as usize {
                continue;
            }
            let job = self.job(record.start, trace, grouped);
            let own = match &mut self.compiler {
                Some(compiler) => compiler.ask(job, core.retired()),
                None => Some(job),
            };
            if let Some(job) = own {
                self.replace(core, job);
            }
        }
        let done = match &mut self.compiler {
            Some(compiler) => compiler.fetch(core.retired()),
            None => Vec::new(),
        };
        for job in done {
            self.replace(core, job);
        }
    }

    /// Puts code in the place of what runs.
    fn replace(&mut self, core: &mut Core, job: Job) {
        let page = self.pages.get(&job.start.page);
        let old = page.and_then(|page| page.get(&job.start.pc));
        if old.is_some_and(|old| old.is_live) && !self.is_full(core) {
            self.install(core, job);
        }
    }

    /// Whether a record is that of the code that runs.
    fn is_current(&self, record: &Record) -> bool {
        let page = self.pages.get(&record.start.page);
        page.and_then(|page| page.get(&record.start.pc))
            .is_some_and(|placed| placed.offset == record.offset && placed.is_live)
    }

    /// Reads a trace; `None` if its first instruction is the interpreter's.
    fn read(
        core: &Core,
        pages: &mut CodePages,
        start: Start,
        is_used: impl Fn(u64) -> bool,
        is_hot: bool,
    ) -> Option<(Trace, Snapshot)> {
        pages.read(&core.ram, start.page)?;
        let mut snapshot = Snapshot::new(core.ram.page_by_number(start.page)?);
        let mut read = |pc| {
            let half_word = |offset| snapshot.half_word(offset);
            let guarded = &core.guarded;
            #[cfg_attr(not(test), expect(unused_mut, reason = "tests change it"))]
            let mut trace = Trace::new(pc, guarded, half_word, &is_used, is_hot);
            #[cfg(test)]
            mistakes::spoil(&mut trace);
            trace
        };
        let mut trace = read(start.pc);
        if is_hot {
            let is_free = |pc| !core.guarded.iter().any(|place| place.is_beside(pc));
            trace.grow(|pc| is_used(pc) && is_free(pc), &mut read);
        }
        (!trace.steps.is_empty()).then_some((trace, snapshot))
    }

    /// Puts code in place, made here if nobody else has: where the trace's old code lay, if it fits there, or where a jump from
    /// there leads. Returns where; `None`, and nothing is different, if there is no room.
    fn install(&mut self, core: &mut Core, mut job: Job) -> Option<usize> {
        job.make(&mut self.generator);
        let offset = self.place(core, &mut job);
        self.spare = job;
        offset
    }

    fn place(&mut self, core: &mut Core, job: &mut Job) -> Option<usize> {
        let (start, compiled) = (job.start, &mut job.compiled);
        let length = compiled.bytes.len();
        let page = self.pages.entry(start.page).or_default();
        let old = page.get(&start.pc).copied();
        // What changes once changes again, and may be a little longer then.
        let has_changed = old.is_some_and(|old| !old.is_live);
        let slack = if has_changed { length / 4 } else { 0 };
        let place = old.filter(|old| length <= old.room).unwrap_or(Placed {
            offset: self.used,
            room: (length + slack).next_multiple_of(ALIGNMENT),
            is_live: false,
        });
        let slots = self.slots + compiled.slots as usize;
        if place.offset + place.room > self.room || slots > SLOTS {
            return None;
        }
        compiled.relocate(
            place.offset,
            self.leaves.len(),
            core.sites.len(),
            self.slots,
        );
        #[cfg(all(test, target_arch = "x86_64"))]
        x64::inspection::inspect(&x64::inspection::Code {
            bytes: &compiled.bytes,
            offset: place.offset,
            stubs: self.stubs,
            leaves: self.leaves.len() + 1..self.leaves.len() + 1 + compiled.leaves.len(),
            sites: core.sites.len()..core.sites.len() + compiled.sites.len(),
        });
        self.cache.write(place.offset, &compiled.bytes);
        let (record, first_leave) = (self.records.len() as u32, self.leaves.len() as u32);
        let (offset, first_slot) = (place.offset as u32, self.slots as u32);
        let leaves = compiled.leaves.drain(..);
        self.leaves.extend(leaves.map(|leave| match leave {
            Leave::Link { pc, patch } => Leave::Link {
                pc,
                patch: match patch {
                    Patch::Distance(at) => Patch::Distance(at + offset),
                    Patch::Slot(slot) => Patch::Slot(slot + first_slot),
                },
            },
            Leave::Misfit { pc, retired, .. } => Leave::Misfit {
                pc,
                retired,
                trace: record,
            },
            other => other,
        }));
        core.sites.append(&mut compiled.sites);
        self.slots = slots;
        self.records.push(Record {
            start,
            offset: place.offset,
            leaves: first_leave,
            steps: job.trace.steps.len() as u32,
            is_hot: job.trace.is_hot,
            grouped: job.grouped,
            misfits: 0,
            samples: 0,
        });
        page.insert(
            start.pc,
            Placed {
                is_live: true,
                ..place
            },
        );
        if place.offset == self.used {
            self.used += place.room;
            if let Some(old) = old {
                let jump = self.generator.replacement(old.offset, place.offset);
                self.cache.write(old.offset, &jump);
            }
        }
        Some(place.offset)
    }

    /// Directs a way out to the code that was found for it.
    pub(crate) fn link(&mut self, id: u32, code: u64, context: u64) {
        let Some(Leave::Link { patch, .. }) = self.leave(id).filter(|_| self.is_linkable) else {
            return;
        };
        let target = code.wrapping_sub(self.cache.address(0)) as usize;
        match self.generator.patch(&patch, target) {
            Some((at, bytes)) => _ = self.cache.write(at, &bytes),
            None => {
                if let Patch::Slot(slot) = patch {
                    let slot = slot as usize;
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
        self.is_linkable = true;
        let budget = core.budget;
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
                self.misfit(trace);
                (pc, retired, After::Interpret)
            }
        };
        // A loop ends before its last branch, which then has next to nothing left.
        if core.budget <= 0 && budget > LITTLE {
            self.sample(id);
        }
        core.pc = pc;
        core.budget -= i64::from(retired);
        after
    }

    /// A group of a trace did not fit: that will happen (a frame that straddles pages), but not too often.
    fn misfit(&mut self, trace: u32) {
        if let Some(record) = self.records.get_mut(trace as usize) {
            record.misfits += 1;
            if record.misfits == MISFITS {
                self.due.push(trace);
            }
        }
    }

    /// The budget ran out at this way out.
    fn sample(&mut self, leave: u32) {
        let after = self.records.partition_point(|record| record.leaves < leave);
        if let Some(number) = after.checked_sub(1)
            && let Some(record) = self.records.get_mut(number)
        {
            record.samples += 1;
            if record.samples == self.hot && !record.is_hot {
                self.due.push(number as u32);
            }
        }
    }
}
