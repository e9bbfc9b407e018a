//! One hart: its registers, its traps and the loop that runs it.

use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::time::Duration;

use zone_softfloat::Flags;

use crate::blocks::{Blocks, Jump, Span};
use crate::bus::Bus;
use crate::code_pages::{CodePages, Snapshot};
use crate::csr::status;
use crate::debug::Breakpoint;
use crate::execute::{self, Flow};
use crate::memory::{PAGE_SIZE, Ram};
use crate::mmu::{self, Mmu};
use crate::op::SINK;
use crate::port::{Fence, HartPort, SEIP, SSIP, STIP};
use crate::time::Clock;
use crate::translate::{After, CodeCache, Compiler, Found, Site, Start, Translator};
use crate::trap::{INTERRUPT, Trap};

mod access;
#[cfg(test)]
pub(crate) mod tests;

/// Instructions between two looks at the clock.
const SLICE: i64 = 20_000;
/// How often a hart that waits for another spins, and from when on it no longer yields its core but naps.
const SPINS: u32 = 16;
const YIELDS: u32 = 64;
const NAP: Duration = Duration::from_micros(20);

/// Privilege modes of a guest; the machine itself stands in for M-mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// U-mode.
    User,
    /// S-mode.
    Supervisor,
}

/// Why a hart returned from [`Hart::run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// An `ecall` from S-mode; the program counter is past it. Arguments and results are in `a0` to `a7` (x10 to x17).
    SupervisorCall,
    /// [`HartPort::stop`] was called.
    Stopped,
    /// The program counter is where [`Hart::set_breakpoints`] said.
    Breakpoint,
}

/// Why a slice ended.
pub(crate) enum Pause {
    /// It is time to look around.
    Slice,
    /// The hart waits for an interrupt.
    Waiting,
    /// The machine is needed.
    Exit(Exit),
}

/// What a load-reserved remembers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Reservation {
    /// The host address, with its lowest bit set for a double word; 0 is none.
    pub(crate) place: u64,
    pub(crate) value: u64,
}

impl Reservation {
    pub(crate) const NONE: Self = Self { place: 0, value: 0 };
}

/// A hart's architectural state.
pub(crate) struct Core {
    /// Integer registers; [`SINK`] takes what is written to `x0`. Larger than needed so that a masked index is in bounds.
    pub(crate) x: [u64; 64],
    pub(crate) f: [u64; 32],
    pub(crate) pc: u64,
    pub(crate) flags: Flags,
    pub(crate) frm: u8,
    pub(crate) privilege: Privilege,
    pub(crate) status: u64,
    pub(crate) sie: u64,
    pub(crate) stvec: u64,
    pub(crate) sscratch: u64,
    pub(crate) sepc: u64,
    pub(crate) scause: u64,
    pub(crate) stval: u64,
    pub(crate) scounteren: u64,
    pub(crate) senvcfg: u64,
    pub(crate) stimecmp: u64,
    pub(crate) reservation: Reservation,
    /// How often the hart has said, without doing much else, that it waits for another.
    idle_turns: u32,
    idle_since: u64,
    /// Instructions that will have been retired when the budget is used up.
    horizon: u64,
    skipped: u64,
    /// Instructions until the hart looks at clock and interrupts again; 0 asks for it now.
    pub(crate) budget: i64,
    /// Interrupts were pending when the hart last looked, more than it could take.
    deferred: bool,
    /// Names the translations in force and the privilege, for blocks found by virtual address.
    pub(crate) context: u64,
    pub(crate) mmu: Mmu,
    pub(crate) ram: Ram,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) port: Arc<HartPort>,
    clock: Clock,
    /// There was a fence for code.
    pub(crate) code_may_have_changed: bool,
    /// Traps and interrupts taken.
    pub(crate) traps: u64,
    /// Floating point is on, its state marked as changed, and dynamic rounding is to nearest.
    pub(crate) float_ready: u8,
    /// Flags of the host's floating point that are not yet the guest's.
    pub(crate) host_flags: u32,
    /// How the last instruction ended that generated code left to the interpreter.
    pub(crate) flow: Flow,
    /// Such instructions.
    pub(crate) sites: Vec<Site>,
    /// Where a debugger wants the hart to stop.
    pub(crate) breakpoints: Vec<Breakpoint>,
    /// These, and others that were and that no translated code starts at or goes past yet.
    pub(crate) guarded: Vec<Breakpoint>,
    /// [`Blocks::jump_table`], for generated code.
    pub(crate) jumps: AtomicPtr<Jump>,
}

/// One RISC-V hart.
pub struct Hart {
    pub(crate) core: Core,
    pub(crate) blocks: Blocks,
    pub(crate) pages: CodePages,
    pub(crate) translator: Option<Translator>,
}

impl std::fmt::Debug for Hart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hart")
            .field("pc", &format_args!("{:#x}", self.core.pc))
            .field("privilege", &self.core.privilege)
            .field("retired", &self.core.retired())
            .finish_non_exhaustive()
    }
}

impl Hart {
    /// A hart in S-mode with all registers 0.
    pub fn new(ram: Ram, bus: Arc<dyn Bus>, port: Arc<HartPort>, clock: Clock) -> Self {
        let core = Core {
            x: [0; 64],
            f: [0; 32],
            pc: 0,
            flags: Flags(0),
            frm: 0,
            privilege: Privilege::Supervisor,
            status: 0,
            sie: 0,
            stvec: 0,
            sscratch: 0,
            sepc: 0,
            scause: 0,
            stval: 0,
            scounteren: 0,
            senvcfg: 0,
            stimecmp: u64::MAX,
            reservation: Reservation::NONE,
            idle_turns: 0,
            idle_since: 0,
            horizon: 0,
            skipped: 0,
            budget: 0,
            deferred: false,
            context: 1,
            mmu: Mmu::default(),
            ram,
            bus,
            port,
            clock,
            code_may_have_changed: false,
            traps: 0,
            float_ready: 0,
            host_flags: 0,
            flow: Flow::Continue,
            sites: Vec::new(),
            breakpoints: Vec::new(),
            guarded: Vec::new(),
            jumps: AtomicPtr::default(),
        };
        core.ram.descriptors().join(&core.port);
        Self {
            core,
            blocks: Blocks::default(),
            pages: CodePages::default(),
            translator: None,
        }
    }

    /// Puts the hart at `pc` in S-mode, translation and interrupts off, `a0` and `a1` as given: how SBI starts a hart.
    pub fn start(&mut self, pc: u64, a0: u64, a1: u64) {
        let core = &mut self.core;
        core.x = [0; 64];
        (core.x[10], core.x[11]) = (a0, a1);
        core.pc = pc & !1;
        core.privilege = Privilege::Supervisor;
        (core.status, core.sie, core.stimecmp) = (0, 0, u64::MAX);
        // Firmware lets programs read cycle, time and instret, and kernels count on it.
        (core.scounteren, core.senvcfg) = (7, 0);
        core.reservation = Reservation::NONE;
        core.set_satp(0);
        core.code_may_have_changed = true;
        core.status_changed();
        core.change_context();
    }

    /// An integer register, `x0` to `x31`.
    pub fn register(&self, index: usize) -> u64 {
        if index == 0 {
            0
        } else {
            self.core.x[index & 31]
        }
    }

    /// Sets an integer register; `x0` stays 0.
    pub fn set_register(&mut self, index: usize, value: u64) {
        self.core.x[if index == 0 {
            SINK as usize
        } else {
            index & 31
        }] = value;
    }

    /// The program counter.
    pub fn pc(&self) -> u64 {
        self.core.pc
    }

    /// The hart's mode.
    pub fn privilege(&self) -> Privilege {
        self.core.privilege
    }

    /// Instructions retired since the hart was made.
    pub fn retired(&self) -> u64 {
        self.core.retired()
    }

    /// Sets the time of the next timer interrupt, as SBI's `set_timer` does.
    pub fn set_timer(&mut self, time: u64) {
        self.core.stimecmp = time;
        self.core.set_budget(0);
    }

    /// The guest's RAM, by physical address.
    pub fn ram(&self) -> &Ram {
        &self.core.ram
    }

    /// Runs until something needs the machine.
    pub fn run(&mut self) -> Exit {
        self.core.port.begin_to_run();
        let exit = loop {
            match self.run_slice(SLICE) {
                Pause::Slice => {}
                Pause::Waiting => self.core.wait(),
                Pause::Exit(exit) => break exit,
            }
        };
        self.core.port.end_of_run();
        exit
    }

    /// Looks around, then runs about so many instructions; a trap counts as one.
    pub(crate) fn run_slice(&mut self, instructions: i64) -> Pause {
        if let Some(exit) = self.core.look_around() {
            return Pause::Exit(exit);
        }
        self.core.set_budget(instructions);
        let mut after = After::Anywhere;
        while self.core.budget > 0 && !self.core.port.attention() {
            if self.core.code_may_have_changed {
                self.see_new_code();
                after = After::Anywhere;
            }
            let (pc, context) = (self.core.pc, self.core.context);
            let (span, code, heat) = match self.blocks.jump(pc, context) {
                Some(jump) => {
                    jump.heat = jump.heat.saturating_add(1);
                    (jump.span(), jump.code, jump.heat)
                }
                None => {
                    if !self.core.breakpoints.is_empty() && self.at_breakpoint() {
                        return Pause::Exit(Exit::Breakpoint);
                    }
                    match self.find_block() {
                        Ok(found) => found,
                        Err(trap) => {
                            self.core.enter_trap(trap, pc);
                            after = After::Anywhere;
                            continue;
                        }
                    }
                }
            };
            if let Some(translator) = &mut self.translator {
                if code != translator.untranslated() && after != After::Interpret {
                    if let After::Link(id) = after {
                        translator.link(id, code, context);
                    }
                    self.core.flow = Flow::Continue;
                    after = translator.run(&mut self.core, code);
                    match self.core.flow {
                        Flow::Continue => continue,
                        Flow::Exit(exit) => return Pause::Exit(exit),
                        Flow::Wait => return Pause::Waiting,
                    }
                }
                if heat == translator.heat && self.translate() {
                    continue;
                }
            }
            after = After::Anywhere;
            let span = if span.is_empty() {
                match self.decode_block() {
                    Ok((span, ..)) => span,
                    Err(trap) => {
                        self.core.enter_trap(trap, pc);
                        continue;
                    }
                }
            } else {
                span
            };
            match execute::run(&mut self.core, self.blocks.ops(span), pc) {
                Flow::Continue => {}
                Flow::Exit(exit) => return Pause::Exit(exit),
                Flow::Wait => return Pause::Waiting,
            }
        }
        if let Some(translator) = &self.translator
            && translator.is_due(&self.core)
        {
            self.improve();
        }
        Pause::Slice
    }

    /// Lets this hart translate hot code, into this memory. Returns false, and goes on interpreting, if the host's
    /// processor lacks what translated code uses.
    pub fn translate_into(&mut self, cache: CodeCache) -> bool {
        self.translator = Translator::new(cache);
        *self.core.jumps.get_mut() = self.blocks.jump_table();
        self.blocks.clear();
        self.core.change_context();
        self.translator.is_some()
    }

    /// Lets another thread make the better code of what is hot. From when on that runs depends on the host.
    pub fn compile_by(&mut self, compiler: &Compiler) {
        if let Some(translator) = &mut self.translator {
            translator.compile_by(compiler);
        }
    }

    /// Translates whatever is run, even once, and takes it for hot soon: for tests of the translator.
    pub(crate) fn translate_everything(&mut self) {
        if let Some(translator) = &mut self.translator {
            (translator.heat, translator.hot) = (0, 1);
        }
    }

    /// Translates into memory of its own, at once.
    #[cfg(test)]
    pub(crate) fn translate_at_once(&mut self) {
        assert!(
            self.translate_into(CodeCache::new().unwrap()),
            "this host is too old to test the translator"
        );
        self.translate_everything();
    }

    /// See [`Translator::squeeze`].
    #[cfg(test)]
    pub(crate) fn squeeze(&mut self, bytes: usize) -> u32 {
        let translator = self.translator.as_mut();
        translator.map_or(0, |translator| translator.squeeze(bytes))
    }

    /// The decoded block at the program counter.
    pub(crate) fn block(&mut self) -> Result<Span, Trap> {
        if self.core.code_may_have_changed {
            self.see_new_code();
        }
        match self.blocks.jump(self.core.pc, self.core.context) {
            Some(jump) if !jump.span().is_empty() => Ok(jump.span()),
            _ => Ok(self.decode_block()?.0),
        }
    }

    #[cold]
    fn see_new_code(&mut self) {
        self.core.code_may_have_changed = false;
        for page in self.pages.review(&mut self.core) {
            self.forget_code(page);
        }
    }

    /// A page's code is not what it was.
    fn forget_code(&mut self, page: u32) {
        if let Some(translator) = &mut self.translator {
            translator.kill(page);
        }
        self.forget_jumps_to(page);
    }

    fn forget_jumps_to(&mut self, page: u32) {
        #[cfg(test)]
        if crate::translate::mistakes::is_made(crate::translate::mistakes::Mistake::JumpsKept) {
            return;
        }
        if let Some(page) = self.pages.get(page) {
            self.blocks.forget_jumps_to(&page.entered);
            page.entered.fill(0);
        }
    }

    /// Translates what starts at the program counter. Returns whether there is code for it now.
    #[cold]
    fn translate(&mut self) -> bool {
        let core = &mut self.core;
        let Some(translator) = &mut self.translator else {
            return false;
        };
        if translator.is_full(core) {
            translator.forget(core);
            self.blocks.forget_jumps();
            return false;
        }
        let supervisor = core.privilege == Privilege::Supervisor;
        let Ok((physical, _)) = core.mmu.translate_fetch(&core.ram, core.pc, supervisor) else {
            return false;
        };
        let (context, heat, none) = (core.context, translator.heat, translator.untranslated());
        let is_used = |pc| self.blocks.is_used(pc, context, heat / 2, none);
        let address = core.pc;
        core.guarded
            .retain(|place| *place != Breakpoint { address, physical });
        let Some(page) = core.ram.page_number(physical) else {
            return false;
        };
        let start = Start { pc: address, page };
        let translated = translator.translate(core, &mut self.pages, start, is_used);
        if translated.has_changed {
            self.forget_jumps_to(page);
        }
        match (translated.code, self.blocks.jump(address, context)) {
            (Some(code), Some(jump)) => {
                jump.code = code;
                true
            }
            _ => false,
        }
    }

    /// Better code for what is hot.
    #[cold]
    fn improve(&mut self) {
        let Some(translator) = &mut self.translator else {
            return;
        };
        let (context, heat, none) = (
            self.core.context,
            translator.heat,
            translator.untranslated(),
        );
        let is_used = |pc| self.blocks.is_used(pc, context, heat / 2, none);
        translator.improve(&mut self.core, &mut self.pages, is_used);
    }

    /// What there is at the program counter: the decoded block, empty if there is a translation, whose address is next, or of
    /// what stands for none, and its heat.
    #[cold]
    #[inline(never)]
    fn find_block(&mut self) -> Result<(Span, u64, u16), Trap> {
        let core = &mut self.core;
        let pc = core.pc;
        let supervisor = core.privilege == Privilege::Supervisor;
        let (physical, _) = core.mmu.translate_fetch(&core.ram, pc, supervisor)?;
        core.renew_context();
        let number = core.ram.page_number(physical).unwrap_or_default();
        if let Some(translator) = &self.translator
            && let Found::Code(code) = translator.find(Start { pc, page: number })
            && let Some(page) = self.pages.get(number)
        {
            page.enter(physical);
            let (span, heat) = (Span::default(), u16::MAX);
            self.blocks.remember(pc, core.context, span, code, heat);
            return Ok((span, code, heat));
        }
        self.decode_block()
    }

    /// The same, decoded in any case.
    #[cold]
    #[inline(never)]
    fn decode_block(&mut self) -> Result<(Span, u64, u16), Trap> {
        let core = &mut self.core;
        let pc = core.pc;
        let supervisor = core.privilege == Privilege::Supervisor;
        let (physical, host) = core.mmu.translate_fetch(&core.ram, pc, supervisor)?;
        core.renew_context();
        if self.pages.is_full() {
            self.pages.clear();
            self.blocks.clear();
            if let Some(translator) = &mut self.translator {
                translator.forget(core);
            }
        }
        // Code is fetched from RAM only.
        let page = core.ram.page_number(physical).unwrap_or_default();
        let version = self.pages.read(&core.ram, page).map(|page| page.version);
        let mut snapshot = Snapshot::new(host);
        let version = version.unwrap_or_default();
        let found = self
            .blocks
            .at(physical, version, &mut snapshot, &core.guarded);
        let (mut code, mut heat) = (None, 0);
        let span = match found {
            Some((span, sought)) => {
                if let Some(translator) = &mut self.translator {
                    // Not beyond the point at which it is translated.
                    heat = sought.min(translator.heat);
                    match translator.find(Start { pc, page }) {
                        Found::Code(found) => (code, heat) = (Some(found), u16::MAX),
                        Found::Hot(warm) => heat = heat.max(warm),
                        Found::Nothing => {}
                    }
                }
                span
            }
            None => {
                let next = (pc & !(PAGE_SIZE - 1)).wrapping_add(PAGE_SIZE);
                let (high_physical, high_host) =
                    core.mmu.translate_fetch(&core.ram, next, supervisor)?;
                let high_page = core.ram.page_number(high_physical).unwrap_or_default();
                self.pages.read(&core.ram, high_page);
                let mut high_snapshot = Snapshot::new(high_host);
                let low = snapshot.half_word(PAGE_SIZE as usize - 2);
                let high = high_snapshot.half_word(0);
                if self.pages.note(high_page, &high_snapshot) {
                    self.forget_code(high_page);
                }
                self.blocks.crossing(u32::from(low) | u32::from(high) << 16)
            }
        };
        if self.pages.note(page, &snapshot) {
            // The block that was decoded has an old version, so it is decoded once more when it is next looked for.
            self.forget_code(page);
            code = None;
        }
        if let Some(page) = self.pages.get(page) {
            page.enter(physical);
        }
        let code = code
            .or(self.translator.as_ref().map(Translator::untranslated))
            .unwrap_or_default();
        self.blocks
            .remember(pc, self.core.context, span, code, heat);
        Ok((span, code, heat))
    }
}

impl Core {
    /// Instructions retired since the hart was made.
    pub(crate) fn retired(&self) -> u64 {
        self.horizon.wrapping_sub(self.budget.cast_unsigned())
    }

    /// Gives a new budget of instructions.
    pub(crate) fn set_budget(&mut self, instructions: i64) {
        self.horizon = self.retired().wrapping_add(instructions.cast_unsigned());
        self.budget = instructions;
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now(self.retired(), self.skipped)
    }

    pub(crate) fn interrupts_pending(&self) -> u64 {
        let timer = if self.now() >= self.stimecmp { STIP } else { 0 };
        self.port.pending() | timer
    }

    /// Blocks remembered by virtual address no longer apply.
    pub(crate) fn change_context(&mut self) {
        self.mmu.change_contexts();
        self.renew_context();
    }

    fn renew_context(&mut self) {
        let supervisor = self.privilege == Privilege::Supervisor;
        self.context = self.mmu.context(supervisor) | u64::from(supervisor);
    }

    pub(crate) fn set_satp(&mut self, value: u64) {
        self.mmu.set_satp(value);
        self.port.set_asid(mmu::asid(self.mmu.satp()));
        self.renew_context();
    }

    pub(crate) fn set_privilege(&mut self, privilege: Privilege) {
        self.privilege = privilege;
        self.renew_context();
        self.status_changed();
    }

    /// Clock, interrupts, fences and stop requests.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_around(&mut self) -> Option<Exit> {
        self.port.take_attention();
        self.serve_fences();
        if self.port.stop_asked() {
            // Stays visible until it is cleared.
            return Some(Exit::Stopped);
        }
        let ready = self.interrupts_pending() & self.sie;
        let enabled = self.privilege == Privilege::User || self.status & status::SIE != 0;
        self.deferred = ready != 0;
        if ready != 0 && enabled {
            let cause = if ready & SEIP != 0 {
                SEIP.trailing_zeros()
            } else if ready & SSIP != 0 {
                SSIP.trailing_zeros()
            } else {
                STIP.trailing_zeros()
            };
            let pc = self.pc;
            self.enter_trap(
                Trap {
                    cause: INTERRUPT | u64::from(cause),
                    value: 0,
                },
                pc,
            );
        }
        None
    }

    pub(crate) fn serve_fences(&mut self) {
        if let Some((fences, count)) = self.port.due_fences() {
            for fence in fences {
                self.fence(fence);
            }
            self.port.fences_are_done(count);
        }
    }

    /// `fence.i` or `sfence.vma`, whoever asked for it.
    pub(crate) fn fence(&mut self, fence: Fence) {
        match fence {
            Fence::Code => self.code_may_have_changed = true,
            Fence::Stores => self.mmu.drop_stores(),
            Fence::Translations {
                range: None,
                asid: None,
            } => self.mmu.flush(),
            Fence::Translations {
                range: None,
                asid: Some(asid),
            } => self.mmu.flush_space(asid),
            Fence::Translations {
                range: Some((start, size)),
                asid,
            } => {
                let before = start % PAGE_SIZE;
                for offset in (0..before.saturating_add(size)).step_by(PAGE_SIZE as usize) {
                    self.mmu.flush_page(start.wrapping_add(offset), asid);
                }
            }
        }
        self.renew_context();
    }

    /// `pause`: another hart has to do something first. If it does not at once, its thread may need this one's core.
    #[cold]
    #[inline(never)]
    pub(crate) fn pause(&mut self) {
        let now = self.retired();
        // A loop that waits is short.
        let waiting = now.wrapping_sub(self.idle_since) < 32;
        self.idle_since = now;
        self.idle_turns = if waiting {
            self.idle_turns.saturating_add(1)
        } else {
            0
        };
        match (self.idle_turns, self.clock) {
            (0..SPINS, _) => std::hint::spin_loop(),
            // No sleep makes a clock of instructions go on.
            (SPINS..YIELDS, _) | (_, Clock::Instructions { .. }) => std::thread::yield_now(),
            (_, Clock::Host(_)) => self.port.park(Some(NAP)),
        }
        // Time goes by with few instructions: the timer may be due.
        if self.idle_turns >= SPINS || self.port.attention() {
            self.set_budget(0);
        }
    }

    /// `wfi`: sleeps until an interrupt is pending and enabled in `sie`, whatever `sstatus` says.
    pub(crate) fn wait(&mut self) {
        loop {
            if self.port.stop_asked() || self.interrupts_pending() & self.sie != 0 {
                self.set_budget(0);
                return;
            }
            let timer = (self.sie & STIP != 0 && self.stimecmp != u64::MAX)
                .then(|| self.stimecmp.saturating_sub(self.now()));
            match (self.clock, timer) {
                (Clock::Instructions { .. }, Some(ticks)) => {
                    self.skipped = self.skipped.wrapping_add(ticks);
                }
                (_, ticks) => self
                    .port
                    .park(ticks.map(|ticks| Clock::duration(ticks.saturating_add(1)))),
            }
            self.port.take_attention();
            self.serve_fences();
        }
    }

    /// Enters S-mode's trap handler; `pc` is the instruction that trapped, or the next one for an interrupt.
    pub(crate) fn enter_trap(&mut self, trap: Trap, pc: u64) {
        // An endless chain of traps must end its slice, too.
        self.budget -= 1;
        self.horizon = self.horizon.wrapping_sub(1);
        self.traps = self.traps.wrapping_add(1);
        self.sepc = pc;
        self.scause = trap.cause;
        self.stval = trap.value;
        let previous_enable = if self.status & status::SIE != 0 {
            status::SPIE
        } else {
            0
        };
        let previous_mode = if self.privilege == Privilege::Supervisor {
            status::SPP
        } else {
            0
        };
        self.status = self.status & !(status::SIE | status::SPIE | status::SPP)
            | previous_enable
            | previous_mode;
        self.set_privilege(Privilege::Supervisor);
        let base = self.stvec & !3;
        let vectored = self.stvec & 1 != 0 && trap.cause & INTERRUPT != 0;
        self.pc = if vectored {
            base.wrapping_add(4 * (trap.cause & !INTERRUPT))
        } else {
            base
        };
    }

    /// `sret`.
    pub(crate) fn return_from_trap(&mut self) {
        let privilege = if self.status & status::SPP != 0 {
            Privilege::Supervisor
        } else {
            Privilege::User
        };
        let enable = if self.status & status::SPIE != 0 {
            status::SIE
        } else {
            0
        };
        self.status = self.status & !(status::SIE | status::SPP) | status::SPIE | enable;
        self.pc = self.sepc;
        self.set_privilege(privilege);
    }

    /// Looks at interrupts before the next block if one was waiting to be enabled.
    pub(crate) fn recheck_interrupts(&mut self) {
        if self.deferred {
            self.set_budget(0);
        }
    }

    /// Takes over what a new `sstatus.FS` or rounding mode means for translated code.
    #[inline(always)]
    pub(crate) fn float_changed(&mut self) {
        self.float_ready = u8::from(self.status & status::FS == status::FS && self.frm == 0);
    }

    /// Adds the flags that generated code raised on the host to the guest's.
    #[inline(always)]
    pub(crate) fn absorb_host_flags(&mut self) {
        // Invalid, (denormal,) division by zero, overflow, underflow, inexact: bits 0 to 5 there; bits 4 to 0 here.
        let raised = self.host_flags & 0x3d;
        if raised != 0 {
            self.host_flags = 0;
            let flags = (raised & 1) << 4
                | (raised & 4) << 1
                | (raised & 8) >> 1
                | (raised & 0x10) >> 3
                | raised >> 5;
            self.flags.0 |= flags as u8;
        }
    }

    /// Whether floating-point instructions may be used.
    #[inline(always)]
    pub(crate) fn float_enabled(&self) -> bool {
        self.status & status::FS != 0
    }

    /// Marks floating-point state as changed.
    #[inline(always)]
    pub(crate) fn float_written(&mut self) {
        self.status |= status::FS;
        self.float_changed();
    }
}
