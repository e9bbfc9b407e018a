//! Random instruction streams under page tables, at page edges, with faults and interrupts all the time.

use std::sync::Arc;

use super::*;
use crate::memory::Ram;
use crate::port::{Fence, HartPort};
use crate::testing::assemble::*;
use crate::testing::random::Random;
use crate::testing::stream::{Extras, Stream};
use crate::testing::{Device, TRANSLATE, fill, hart_with, place, ram, read};
use crate::translate::Late;

const BASE: u64 = 0x8000_0000;
const LENGTH: usize = 2 << 20;
const TABLES: u64 = BASE + 0x1_0000;
const HANDLER: u64 = BASE + 0x2_0000;
/// Frames of code and data, and where they appear: the first two GiB of addresses, so that constants are short.
const CODE: u64 = BASE + 0x4_0000;
pub(crate) const DATA: u64 = BASE + 0x10_0000;
pub(crate) const CODE_AT: u64 = 0x1_0000;
pub(crate) const DATA_AT: u64 = 0x8_0000;
pub(crate) const DATA_PAGES: u64 = 8;

/// A hart under page tables, with a handler that skips what faults and sets the timer anew.
pub(crate) struct Side {
    pub(crate) ram: Ram,
    pub(crate) hart: Hart,
    pub(crate) port: Arc<HartPort>,
}

impl Side {
    pub(crate) fn new(translate: bool) -> Self {
        let (ram, port) = (ram(BASE, LENGTH), Arc::<HartPort>::default());
        TRANSLATE.set(translate);
        let hart = hart_with(&ram, Arc::<Device>::default(), Arc::clone(&port));
        Self { ram, hart, port }
    }

    /// An entry of the one table of 4 KiB pages.
    pub(crate) fn map(&self, address: u64, physical: u64, flags: u64) {
        self.ram.store(
            TABLES + 0x2000 + (address >> 12 & 511) * 8,
            physical >> 12 << 10 | flags,
        );
    }

    pub(crate) fn prepare(&mut self, code: &[u8]) {
        self.ram.store(TABLES, (TABLES + 0x1000) >> 12 << 10 | 1);
        self.ram.store(TABLES + 2 * 8, BASE >> 12 << 10 | 0xcf);
        self.ram
            .store(TABLES + 0x1000, (TABLES + 0x2000) >> 12 << 10 | 1);
        self.map(0, DATA + 0x2_0000, 0xc7);
        // Frames in reverse order: neighbours by address are none in memory.
        let pages = code.len() as u64 / 4096 + 1;
        for page in 0..pages {
            let frame = CODE + (pages - 1 - page) * 4096;
            self.map(CODE_AT + page * 4096, frame, 0xcb);
            let start = (page * 4096) as usize;
            fill(&self.ram, frame, &code[start..code.len().min(start + 4096)]);
        }
        // Interrupts set the timer anew; what faulted is skipped.
        let handler = [
            sd(29, 0, 0x100),
            sd(30, 0, 0x108),
            csrrs(29, 0x142, 0),
            branch(5, 29, 0, 20),
            csrrs(30, 0xc01, 0),
            addi(30, 30, 300),
            csrrw(0, 0x14d, 30),
            jal(0, 36),
            csrrs(29, 0x141, 0),
            i_type(0x03, 5, 30, 29, 0),
            i_type(0x13, 7, 30, 30, 3),
            i_type(0x13, 3, 30, 30, 3),
            i_type(0x13, 1, 30, 30, 1),
            r_type(0x33, 0, 0x20, 29, 29, 30),
            addi(29, 29, 4),
            csrrw(0, 0x141, 29),
            ld(29, 0, 0x100),
            ld(30, 0, 0x108),
            SRET,
        ];
        place(&self.ram, HANDLER, &handler);
        let core = &mut self.hart.core;
        core.mmu.set_satp(8 << 60 | TABLES >> 12);
        core.stvec = HANDLER;
        core.sie = crate::port::STIP;
        core.stimecmp = 500;
        core.status = crate::csr::status::FS | crate::csr::status::SIE;
        core.status_changed();
        core.change_context();
    }
}

#[test]
fn translated_streams_follow_the_interpreter_through_faults_and_interrupts() {
    let (instructions, traps, _) = follow_streams(0..120, None, false);
    assert!(
        instructions > 10_000_000 && traps > 250_000,
        "{instructions} instructions, {traps} traps"
    );
}

/// What the deliberate mistakes are put to: quickly done when there is none.
pub(crate) fn a_few_streams_are_followed() {
    follow_streams(200..204, None, false);
}

#[test]
fn nothing_is_lost_when_code_memory_is_full() {
    let (instructions, _, forgotten) = follow_streams(100..104, Some(16 << 10), false);
    assert!(
        instructions > 300_000 && forgotten > 100,
        "{instructions} instructions, {forgotten} times full"
    );
}

#[test]
fn streams_follow_the_interpreter_however_late_the_compiler_is() {
    let (instructions, made, _) = follow_streams(300..324, None, true);
    assert!(
        instructions > 1_000_000 && made > 250,
        "{instructions} instructions, {made} made"
    );
    let (_, made, forgotten) = follow_streams(320..324, Some(16 << 10), true);
    assert!(
        made > 20 && forgotten > 50,
        "{made} made, {forgotten} times full"
    );
}

/// Returns how many instructions and traps (or, if it is `late`, how much code of the compiler's) that were, and how often the
/// code memory of so many bytes was full.
fn follow_streams(
    seeds: std::ops::Range<u64>,
    code_bytes: Option<usize>,
    late: bool,
) -> (u64, u64, u32) {
    let (mut instructions, mut traps, mut forgotten) = (0, 0, 0);
    for seed in seeds {
        let mut stream = Stream::new(seed, Extras { beyond_peer: true });
        let mut code = stream.code(2500);
        code.extend(ECALL.to_le_bytes());
        let mut random = Random::new(seed ^ 0x5eed);
        let mut sides = [Side::new(true), Side::new(false)];
        for side in &mut sides {
            side.prepare(&code);
            if let Some(bytes) = code_bytes {
                side.hart.squeeze(bytes);
            }
        }
        let mut late = late.then(|| Late::new(&mut sides[0].hart));
        for _ in 0..24 {
            // Other rights for some pages, other registers; pointers near page edges.
            for _ in 0..3 {
                let (page, frame) = (random.below(DATA_PAGES), random.below(DATA_PAGES));
                let flags = random.pick(&[0xc7, 0xc7, 0xc7, 0x07, 0x43, 0xc3, 0, 0xd7]);
                for side in &sides {
                    side.map(DATA_AT + page * 4096, DATA + frame * 4096, flags);
                }
            }
            let mut state = [0; 32];
            for register in &mut state {
                *register = random.integer();
            }
            for pointer in [2, 8, 31] {
                let edge = DATA_AT + random.below(DATA_PAGES - 2) * 4096 + 4096;
                state[pointer] =
                    (edge + random.below(4096) - 2048) & !random.pick(&[0, 1, 7, 7, 63]);
            }
            state[31] &= !7;
            for side in &mut sides {
                side.port.ask_fence(Fence::ALL_TRANSLATIONS);
                side.port.ask_fence(Fence::Code);
                for (register, value) in state.iter().enumerate().skip(1) {
                    side.hart.set_register(register, *value);
                }
                side.hart.core.pc = CODE_AT;
            }
            let [leader, follower] = &mut sides;
            // No stream runs this long.
            let end = leader.hart.retired() + 500_000;
            loop {
                assert!(
                    leader.hart.retired() < end,
                    "seed {seed}: lost at {:#x}",
                    leader.hart.pc()
                );
                if let Some(late) = &mut late {
                    late.act(&mut random);
                }
                let slice = random.pick(&[1, 7, 60, 1000, 20_000]);
                match step(&mut leader.hart, &mut follower.hart, slice) {
                    Ok(Step::Slice) => {}
                    Ok(Step::Exit(Exit::SupervisorCall)) => break,
                    Ok(other) => panic!("{other:?}"),
                    Err(divergence) => panic!("seed {seed}: {divergence}"),
                }
            }
        }
        let [leader, follower] = &mut sides;
        forgotten += leader.hart.squeeze(0);
        assert!(
            read(&leader.ram, BASE, LENGTH as u64) == read(&follower.ram, BASE, LENGTH as u64),
            "seed {seed}: memory"
        );
        instructions += leader.hart.retired();
        traps += late.map_or(leader.hart.core.traps, |late| late.count as u64);
    }
    (instructions, traps, forgotten)
}

/// A clock that counts instructions makes a run repeat exactly, whatever the host does: timer interrupts included.
#[test]
fn a_run_repeats_exactly() {
    let run = |translate, lengths: &[i64]| {
        let side = &mut Side::new(translate);
        // Counts turns in x6; the handler adds the time and the place of each interrupt to x7 and sets the next one.
        let handler = [
            csrrs(8, 0xc01, 0),
            add(7, 7, 8),
            csrrs(9, 0x141, 0),
            add(7, 7, 9),
            addi(8, 8, 37),
            csrrw(0, 0x14d, 8),
            0x1020_0073,
        ];
        place(&side.ram, HANDLER, &handler);
        place(
            &side.ram,
            CODE,
            &[addi(6, 6, 1), add(7, 7, 6), sd(7, 5, 0), jal(0, -12)],
        );
        side.hart.start(CODE, 0, 0);
        side.hart.set_register(5, DATA);
        let core = &mut side.hart.core;
        (core.stvec, core.sie, core.stimecmp) = (HANDLER, crate::port::STIP, 50);
        core.status = crate::csr::status::SIE;
        core.status_changed();
        for length in lengths.iter().cycle().take(300) {
            assert!(matches!(side.hart.run_slice(*length), Pause::Slice));
        }
        let registers: Vec<u64> = (1..32).map(|index| side.hart.register(index)).collect();
        let traps = side.hart.core.traps;
        (side.hart.retired(), side.hart.pc(), traps, registers)
    };
    for translate in [true, false] {
        let first = run(translate, &[1000, 77, 4000]);
        assert!(first.0 > 300_000 && first.2 >= 100, "{first:?}");
        for _ in 0..3 {
            assert_eq!(run(translate, &[1000, 77, 4000]), first);
        }
    }
}
