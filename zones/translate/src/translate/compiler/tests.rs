//! Code that comes late, out of order or not at all, for guests that change theirs meanwhile.

use super::double::Made;
use super::*;
use crate::debug::Breakpoint;
use crate::hart::Pause;
use crate::port::Fence;
use crate::testing::assemble::*;
use crate::testing::random::Random;
use crate::testing::{TRANSLATE, hart, place, ram};
use crate::{Exit, Hart, Ram};

const BASE: u64 = 0x8000_0000;
/// Loops, some of them in one page.
const LOOPS: u64 = 6;
const APART: u64 = 0x580;
/// Turns in which a loop gets hot, by slices of so many instructions.
const TURNS: u64 = 400;
const SLICE: i64 = 60;

/// A guest that counts in loops by steps that it changes.
struct Guest {
    ram: Ram,
    hart: Hart,
    steps: [u64; LOOPS as usize],
}

impl Guest {
    fn new() -> Self {
        TRANSLATE.set(true);
        let ram = ram(BASE, 0x1_0000);
        let hart = hart(&ram);
        let mut guest = Self {
            ram,
            hart,
            steps: [0; LOOPS as usize],
        };
        for number in 0..LOOPS {
            guest.change(number, 1);
        }
        guest
    }

    fn start_of(number: u64) -> u64 {
        BASE + number * APART
    }

    /// Writes a loop anew, with a fence.
    fn change(&mut self, number: u64, step: u64) {
        let code = [
            addi(5, 5, step as i32),
            addi(6, 6, -1),
            branch(1, 6, 0, -8),
            ECALL,
        ];
        place(&self.ram, Self::start_of(number), &code);
        self.hart.core.port.ask_fence(Fence::Code);
        self.steps[number as usize] = step;
    }

    /// Begins with a loop.
    fn enter(&mut self, number: u64, turns: u64) {
        self.hart.set_pc(Self::start_of(number));
        self.hart.set_register(5, 0);
        self.hart.set_register(6, turns);
    }

    /// Runs a loop and checks what it counted; `meanwhile` happens between slices.
    fn run(&mut self, number: u64, turns: u64, mut meanwhile: impl FnMut()) {
        self.enter(number, turns);
        loop {
            match self.hart.run_slice(SLICE) {
                Pause::Slice => meanwhile(),
                Pause::Exit(Exit::SupervisorCall) => break,
                _ => panic!("stopped at {:#x}", self.hart.pc()),
            }
        }
        let step = self.steps[number as usize];
        assert_eq!(self.hart.register(5), turns * step, "loop {number}");
    }

    fn hot(&self) -> usize {
        let translator = self.hart.translator.as_ref();
        translator.map_or(0, |translator| translator.hot_traces())
    }
}

#[test]
fn what_is_hot_is_asked_for_and_put_in_place() {
    let mut guest = Guest::new();
    let compiler = Compiler::double();
    guest.hart.compile_by(&compiler);
    guest.run(0, TURNS, || {});
    guest.run(0, TURNS, || {});
    assert_eq!((compiler.waiting(), guest.hot()), (1, 0), "once only");
    compiler.make(0).unwrap().deliver();
    guest.run(0, TURNS, || {});
    assert_eq!((compiler.waiting(), guest.hot()), (0, 1));
    // It is not made a third time.
    guest.run(0, 10 * TURNS, || {});
    assert_eq!((compiler.waiting(), guest.hot()), (0, 1));
}

#[test]
fn without_a_compiler_the_hart_makes_it_at_once() {
    let mut guest = Guest::new();
    guest.run(0, TURNS, || {});
    assert_eq!(guest.hot(), 1);
}

#[test]
fn what_the_compiler_does_not_get_to_is_taken_back() {
    let mut guest = Guest::new();
    let compiler = Compiler::double();
    guest.hart.compile_by(&compiler);
    for number in 0..3 {
        guest.run(number, TURNS, || {});
    }
    assert_eq!(compiler.waiting(), 3);
    let begun = compiler.make(1).unwrap();
    guest.enter(3, PATIENCE / 3 + 100_000);
    assert_eq!(guest.hart.run(), Exit::SupervisorCall);
    assert_eq!((compiler.waiting(), guest.hot()), (0, 3));
    begun.deliver();
    guest.run(1, TURNS, || {});
    assert_eq!(guest.hot(), 4);
}

#[test]
fn a_breakpoint_set_meanwhile_holds() {
    let mut guest = Guest::new();
    let compiler = Compiler::double();
    guest.hart.compile_by(&compiler);
    guest.run(0, TURNS, || {});
    let made = compiler.make(0).unwrap();
    let address = Guest::start_of(0) + 4;
    let breakpoint = Breakpoint {
        address,
        physical: address,
    };
    guest.hart.set_breakpoints(vec![breakpoint]);
    guest.enter(0, TURNS);
    made.deliver();
    for turn in 1..=TURNS {
        assert_eq!(guest.hart.run(), Exit::Breakpoint);
        assert_eq!(guest.hart.register(5), turn);
        assert_eq!(guest.hart.step(), None);
        // As a debugger does at each stop.
        guest.hart.set_breakpoints(Vec::new());
        guest.hart.set_breakpoints(vec![breakpoint]);
    }
    assert_eq!(guest.hart.run(), Exit::SupervisorCall);
}

#[test]
pub(crate) fn code_of_what_has_changed_is_not_put_in_place() {
    let mut guest = Guest::new();
    let compiler = Compiler::double();
    guest.hart.compile_by(&compiler);
    guest.run(0, TURNS, || {});
    let made = compiler.make(0).unwrap();
    guest.change(0, 2);
    guest.run(0, 10, || {});
    made.deliver();
    guest.run(0, TURNS, || {});
    guest.run(0, TURNS, || {});
}

#[test]
fn late_code_is_put_in_place_only_where_nothing_has_changed() {
    let (mut asked, mut put) = (0, 0);
    for seed in 0..60 {
        let (all, hot) = changes(seed);
        (asked, put) = (asked + all, put + hot);
    }
    assert!(asked > 600 && put > 300, "{asked} asked for, {put} hot");
}

/// What the deliberate mistakes are put to.
pub(crate) fn a_few_changes() {
    code_of_what_has_changed_is_not_put_in_place();
    for seed in 100..104 {
        changes(seed);
    }
}

/// One run; how much code was made and how much was put in place.
fn changes(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let mut guest = Guest::new();
    let mut late = Late::new(&mut guest.hart);
    let mut put = 0;
    for _ in 0..60 {
        let number = random.below(LOOPS);
        match random.below(20) {
            0..6 => guest.change(number, random.below(2048)),
            6 => {
                put += guest.hot();
                // As when code memory is full.
                let hart = &mut guest.hart;
                hart.blocks.clear();
                if let Some(translator) = &mut hart.translator {
                    translator.forget(&mut hart.core);
                }
            }
            _ => {
                let turns = 1 + random.below(2 * TURNS);
                guest.run(number, turns, || late.act(&mut random));
            }
        }
    }
    (late.count, put + guest.hot())
}

/// A compiler that is late as chance will have it.
pub(crate) struct Late {
    compiler: Compiler,
    made: Vec<Made>,
    /// How much code it made.
    pub(crate) count: usize,
}

impl Late {
    /// For this hart.
    pub(crate) fn new(hart: &mut Hart) -> Self {
        let compiler = Compiler::double();
        hart.compile_by(&compiler);
        Self {
            compiler,
            made: Vec::new(),
            count: 0,
        }
    }

    /// Makes something, delivers something, in any order, or does nothing.
    pub(crate) fn act(&mut self, random: &mut Random) {
        let waiting = self.compiler.waiting() as u64;
        if waiting > 0 && random.below(3) == 0 {
            let made = self.compiler.make(random.below(waiting) as usize);
            self.count += 1;
            self.made.extend(made);
        }
        let made = self.made.len() as u64;
        if made > 0 && random.below(4) == 0 {
            let which = random.below(made) as usize;
            self.made.swap_remove(which).deliver();
        }
    }
}

#[test]
fn harts_share_a_compiler_and_neither_needs_the_other_to_last() {
    TRANSLATE.set(true);
    let compiler = Compiler::start().unwrap();
    let mut guests: Vec<Guest> = (0..3).map(|_| Guest::new()).collect();
    for guest in &mut guests {
        guest.hart.compile_by(&compiler);
    }
    for round in 0..40 {
        for guest in &mut guests {
            guest.change(round % LOOPS, round);
            guest.run(round % LOOPS, TURNS, || {});
            guest.run(round % 3, TURNS, || {});
        }
    }
    // With requests under way.
    guests.pop();
    drop(compiler);
    for guest in &mut guests {
        for number in 0..LOOPS {
            guest.run(number, TURNS, || {});
        }
    }
}

#[test]
fn the_thread_makes_code_and_sleeps() {
    let compiler = Compiler::start().unwrap();
    let mut guest = Guest::new();
    guest.hart.compile_by(&compiler);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while guest.hot() < LOOPS as usize {
        for number in 0..LOOPS {
            guest.run(number, TURNS, || {});
        }
        assert!(std::time::Instant::now() < end, "{} are hot", guest.hot());
    }
    while !lock(&compiler.desk.shared).is_asleep {
        assert!(std::time::Instant::now() < end, "it does not sleep");
        std::thread::yield_now();
    }
}
