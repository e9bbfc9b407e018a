//! Watched pages by themselves, against what must hold of them; and code that anyone changes in any way, beside what ought to
//! run.

use std::collections::HashSet;
use std::sync::RwLockReadGuard;

use super::*;
use crate::memory::HostPage;
use crate::testing::assemble::*;
use crate::testing::random::Random;
use crate::testing::{Device, hart_with, place, ram, translated_too};
use crate::{Exit, Hart, Ram};

/// A hart as the watch sees it.
struct Party {
    port: Arc<HartPort>,
    cached: HashSet<u32>,
    /// What it was told is watched, and was not told otherwise since.
    relied_on: HashSet<u32>,
    lifted: u64,
    is_asleep: bool,
}

impl Party {
    fn serve_fences(&mut self) {
        if let Some((_, count)) = self.port.due_fences() {
            self.cached.clear();
            self.port.fences_are_done(count);
        }
    }

    fn read_log(&mut self, watch: &Descriptors) -> bool {
        let relied_on = &mut self.relied_on;
        let complete = watch.lifted_since(&mut self.lifted, |page| _ = relied_on.remove(&page));
        if !complete {
            relied_on.clear();
        }
        complete
    }
}

/// A device writes to a page that nobody protects.
fn written(watch: &Descriptors, page: u32) -> RwLockReadGuard<'_, ()> {
    watch.about_to_write(std::iter::once((page, HostPage::NONE)))
}

#[test]
fn nobody_relies_on_a_page_that_is_written_untold() {
    reliance_ends_before_writes();
}

pub(crate) fn reliance_ends_before_writes() {
    const PAGES: u64 = 40;
    let (mut watched, mut refused) = (0, 0);
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let watch = Descriptors::new(PAGES);
        let mut parties: Vec<Party> = (0..1 + random.below(3))
            .map(|_| Party {
                port: Arc::default(),
                cached: HashSet::new(),
                relied_on: HashSet::new(),
                lifted: 0,
                is_asleep: false,
            })
            .collect();
        for party in &parties {
            watch.join(&party.port);
            party.port.begin_to_run();
        }
        // Writes of devices that are not done yet.
        let mut writes = VecDeque::new();
        for _ in 0..400 {
            let who = random.below(parties.len() as u64) as usize;
            let page = random.below(PAGES) as u32;
            let party = &mut parties[who];
            let choice = if party.is_asleep { 6 } else { random.below(9) };
            match choice {
                0..2 => {
                    watch.about_to_store(page, HostPage::NONE);
                    party.cached.insert(page);
                }
                2 => {
                    if writes.len() > 2 {
                        writes.clear();
                    }
                    writes.push_back((page, written(&watch, page)));
                }
                8 => _ = writes.pop_front(),
                3 => party.serve_fences(),
                4 => {
                    let pages: Vec<u32> = (0..8).map(|_| random.below(PAGES) as u32).collect();
                    if watch.ask(&party.port, &pages) {
                        party.cached.clear();
                        watch.settle();
                    } else {
                        refused += 1;
                    }
                }
                5 => watch.settle(),
                6 => {
                    // Asleep, with its fences still to do.
                    party.is_asleep = random.below(2) == 0;
                    if party.is_asleep {
                        party.port.end_of_run();
                    } else {
                        party.port.begin_to_run();
                        party.serve_fences();
                    }
                }
                _ => {
                    party.read_log(&watch);
                    if watch.watch(page) {
                        watched += 1;
                        party.relied_on.insert(page);
                    }
                }
            }
            // Whoever has a page cached may store there without a word, unless it sleeps.
            let writable: HashSet<u32> = parties
                .iter()
                .filter(|party| !party.is_asleep)
                .flat_map(|party| party.cached.iter().copied())
                .chain(writes.iter().map(|(page, _)| *page))
                .collect();
            for party in &mut parties {
                let before = party.relied_on.clone();
                party.read_log(&watch);
                let untold: Vec<_> = party.relied_on.intersection(&writable).collect();
                assert!(untold.is_empty(), "seed {seed}: {untold:?} of {before:?}");
            }
        }
    }
    assert!(watched > 1000 && refused > 100);
}

#[test]
fn more_lifted_watches_than_are_remembered_are_said_to_be() {
    let watch = Descriptors::new(2000);
    let mut count = 0;
    for pages in [10, LOG as u32, LOG as u32 + 1] {
        for page in 0..pages {
            assert!(watch.watch(page));
            drop(written(&watch, page));
            drop(written(&watch, page));
        }
        let mut told = Vec::new();
        let complete = watch.lifted_since(&mut count, |page| told.push(page));
        assert_eq!(complete, pages as usize <= LOG);
        if complete {
            assert_eq!(told, (0..pages).collect::<Vec<_>>());
        }
        assert!(watch.lifted_since(&mut count, |page| panic!("{page} was not lifted")));
    }
    drop(written(&watch, 5000));
    watch.about_to_store(5000, HostPage::NONE);
    assert!(!watch.watch(5000));
}

const BASE: u64 = 0x8000_0000;
const RUNNER: u64 = BASE + 0x1000;
const WRITER: u64 = BASE + 0x2000;
const CODE: u64 = BASE + 0x4000;
/// Where functions are: at a page's start, and in its middle.
const FUNCTIONS: [u64; 4] = [CODE, CODE + 0x48, CODE + 0x1000, CODE + 0x3248];
const LENGTH: u64 = 0x1_0000;

struct Pair {
    ram: Ram,
    runner: Hart,
    other: Hart,
}

impl Pair {
    fn new() -> Self {
        let ram = ram(BASE, LENGTH as usize);
        let hart = || hart_with(&ram, Arc::<Device>::default(), Arc::default());
        let (mut runner, mut other) = (hart(), hart());
        runner.start(RUNNER, 0, 0);
        other.start(WRITER, 0, 0);
        Self { ram, runner, other }
    }

    /// Writes an instruction in one of many ways, by either hart.
    fn write(&mut self, random: &mut Random, at: u64, word: u32) {
        let hart = match random.below(2) {
            0 => &mut self.runner,
            _ => &mut self.other,
        };
        let (mut address, mut value) = (at, u64::from(word));
        let code: &[u32] = match random.below(8) {
            0 => {
                self.ram.store(at, word);
                return;
            }
            1 => {
                let _writing = self.ram.about_to_write(at, 4);
                self.ram.page(at).unwrap().store(at, word);
                return;
            }
            2 => {
                assert_eq!(hart.poke(at, &word.to_le_bytes()), 4);
                return;
            }
            3 => &[atomic(false, 1, 0, 5, 6), ECALL],
            4 => &[atomic(false, 2, 7, 5, 0), atomic(false, 3, 7, 5, 6), ECALL],
            5 => {
                (address, value) = (at - 4, u64::from(NOP) | value << 32);
                &[sd(6, 5, 0), ECALL]
            }
            _ => &[sw(6, 5, 0), ECALL],
        };
        let start = WRITER + 0x100 * random.below(2);
        place(&self.ram, start, code);
        hart.core.code_may_have_changed = true;
        hart.set_pc(start);
        hart.set_register(5, address);
        hart.set_register(6, value);
        assert_eq!(hart.run(), Exit::SupervisorCall);
    }
}

pub(crate) fn code_runs_as_it_was_last_written() {
    let mut watched = 0;
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut pair = Pair::new();
        // Calls each function directly and through a register.
        let mut code = vec![FENCE_I, addi(11, 0, 0)];
        for (index, function) in FUNCTIONS.iter().enumerate() {
            let here = RUNNER + 4 * code.len() as u64;
            code.push(jal(1, (function - here) as i32));
            code.push(add(11, 11, 10));
            code.push(jalr(1, 20 + index as u32, 0));
            code.push(add(11, 11, 10));
        }
        code.push(ECALL);
        place(&pair.ram, RUNNER, &code);
        let function = |value: u64| addi(10, 0, value as i32);
        let mut values = [0; FUNCTIONS.len()];
        for (index, at) in FUNCTIONS.iter().enumerate() {
            place(&pair.ram, *at, &[function(0), jalr(0, 1, 0)]);
            pair.runner.set_register(20 + index, *at);
        }
        for _ in 0..150 {
            for _ in 0..random.below(3) {
                let index = random.below(FUNCTIONS.len() as u64) as usize;
                values[index] = random.below(2048);
                pair.write(&mut random, FUNCTIONS[index], function(values[index]));
            }
            if random.below(4) == 0 {
                // Data beside the code.
                let at = FUNCTIONS[0] + 0x800;
                let word = random.below(1 << 32) as u32;
                pair.write(&mut random, at, word);
            }
            if random.below(3) == 0 {
                pair.other.core.look_around();
            }
            for _ in 0..random.pick(&[1, 2, 20, 60]) {
                pair.runner.set_pc(RUNNER);
                assert_eq!(pair.runner.run(), Exit::SupervisorCall);
                let sum = values.iter().sum::<u64>() * 2;
                assert_eq!(pair.runner.register(11), sum, "seed {seed}");
            }
            let watch = pair.ram.descriptors();
            watched += (CODE..CODE + 0x4000)
                .step_by(4096)
                .filter(|at| watch.state(pair.ram.page_number(*at).unwrap()) == WATCHED)
                .count();
        }
    }
    assert!(watched > 1000, "{watched}");
}

#[test]
fn whoever_changed_it() {
    code_runs_as_it_was_last_written();
}

/// A driver may look at a buffer before the device says that it is done.
#[test]
fn in_the_middle_of_a_write() {
    let mut pair = Pair::new();
    let function = |value| [addi(10, 0, value), jalr(0, 1, 0)];
    let code = [FENCE_I, jal(1, (CODE - RUNNER - 4) as i32), ECALL];
    place(&pair.ram, RUNNER, &code);
    place(&pair.ram, CODE, &function(0));
    let watched = |ram: &Ram| ram.descriptors().state(ram.page_number(CODE).unwrap()) == WATCHED;
    let mut runs = |expected: i32| {
        for _ in 0..60 {
            pair.runner.set_pc(RUNNER);
            assert_eq!(pair.runner.run(), Exit::SupervisorCall);
            assert_eq!(pair.runner.register(10), expected as u64);
        }
    };
    let page = pair.ram.page(CODE).unwrap();
    for value in (1..50).step_by(2) {
        runs(value - 1);
        assert!(watched(&pair.ram));
        let writing = pair.ram.about_to_write(CODE, 8);
        runs(value - 1);
        page.store(CODE, function(value)[0]);
        runs(value);
        page.store(CODE, function(value + 1)[0]);
        drop(writing);
    }
    runs(50);
    assert!(watched(&pair.ram));
}

translated_too! {
    in_the_middle_of_a_write
    whoever_changed_it
}
