//! A nest of loops: that it becomes one region, and that the region stops and changes as its code does.

use crate::debug::Breakpoint;
use crate::hart::Pause;
use crate::port::Fence;
use crate::testing::assemble::*;
use crate::testing::{TRANSLATE, hart, place, ram};
use crate::translate::trace::Trace;
use crate::{Exit, Hart, Ram};

const BASE: u64 = 0x8000_0000;
const INNER: u64 = BASE + 4;
const ODD: u64 = BASE + 0x18;
const EVEN: u64 = BASE + 0x20;
const TURNS: u64 = 3000;

/// Sums in registers of which few have a host register of their own: those of odd turns grow by `step`.
fn nest(step: i32) -> [u32; 12] {
    [
        addi(28, 0, 5),
        // The inner loop.
        add(5, 5, 16),
        addi(28, 28, -1),
        branch(1, 28, 0, -8),
        i_type(0x13, 7, 29, 7, 1),
        branch(0, 29, 0, 12),
        addi(17, 17, step),
        jal(0, 8),
        add(31, 31, 5),
        addi(7, 7, -1),
        branch(1, 7, 0, -40),
        ECALL,
    ]
}

struct Guest {
    ram: Ram,
    hart: Hart,
    odd: u64,
    even: u64,
    sum: u64,
}

impl Guest {
    fn new() -> Self {
        TRANSLATE.set(true);
        let ram = ram(BASE, 0x1_0000);
        place(&ram, BASE, &nest(1));
        let mut hart = hart(&ram);
        hart.set_register(16, 3);
        Self {
            ram,
            hart,
            odd: 0,
            even: 0,
            sum: 0,
        }
    }

    fn enter(&mut self) {
        self.hart.core.pc = BASE;
        self.hart.set_register(7, TURNS);
    }

    /// What the guest has to come to in all turns.
    fn expect(&mut self, step: u64) {
        for turn in (1..=TURNS).rev() {
            self.sum += 15;
            if turn % 2 == 1 {
                self.odd += step;
            } else {
                self.even = self.even.wrapping_add(self.sum);
            }
        }
        let registers = [5, 17, 31].map(|register| self.hart.register(register));
        assert_eq!(registers, [self.sum, self.odd, self.even]);
    }

    fn run(&mut self, step: u64) {
        self.enter();
        let retired = self.hart.retired();
        while !matches!(self.hart.run_slice(700), Pause::Exit(Exit::SupervisorCall)) {}
        self.expect(step);
        // Of a turn sixteen in the inner loop and before it, four more, and two or one; and the call.
        assert_eq!(
            self.hart.retired() - retired,
            TURNS * 20 + TURNS / 2 * 3 + 1
        );
    }
}

#[test]
fn a_nest_of_loops_becomes_one_region() {
    let code = nest(1);
    let read = |pc: u64| {
        let half_word = |offset: usize| (code[offset / 4] >> (offset % 4 * 8)) as u16;
        Trace::new(pc, &[], half_word, |_| true, true)
    };
    let starts = |trace: &Trace| {
        let mut starts: Vec<u64> = trace.all().map(|trace| trace.start).collect();
        starts.sort_unstable();
        starts
    };
    let mut region = read(INNER);
    region.grow(|_| true, read);
    assert!(
        [BASE, INNER, EVEN]
            .iter()
            .all(|pc| starts(&region).contains(pc))
    );
    // What was never run is no part of it, nor what leads nowhere else.
    let mut region = read(INNER);
    region.grow(|pc| pc != EVEN && pc != BASE + 0x2c, read);
    assert!(!starts(&region).contains(&EVEN) && !starts(&region).contains(&(BASE + 0x2c)));
}

#[test]
fn a_region_changes_as_its_code_does() {
    let mut guest = Guest::new();
    for step in 1..20 {
        place(&guest.ram, BASE, &nest(step));
        guest.hart.core.port.ask_fence(Fence::Code);
        for _ in 0..3 {
            guest.run(step as u64);
        }
    }
    let translator = guest.hart.translator.as_ref().unwrap();
    let hot = translator.hot_traces();
    assert!(hot >= 15, "{hot} hot traces");
}

#[test]
fn a_region_stops_at_breakpoints() {
    let mut guest = Guest::new();
    guest.run(1);
    for address in [ODD, EVEN, INNER, BASE + 0x24] {
        let breakpoint = Breakpoint {
            address,
            physical: address,
        };
        guest.enter();
        let mut stops = 0;
        loop {
            // As a debugger does at each stop.
            guest.hart.set_breakpoints(vec![breakpoint]);
            match guest.hart.run() {
                Exit::Breakpoint => {
                    assert_eq!(guest.hart.pc(), address);
                    stops += 1;
                }
                other => {
                    assert_eq!(other, Exit::SupervisorCall);
                    break;
                }
            }
            assert_eq!(guest.hart.step(), None);
            guest.hart.set_breakpoints(Vec::new());
        }
        guest.expect(1);
        let expected = match address {
            INNER => TURNS * 5,
            ODD | EVEN => TURNS / 2,
            _ => TURNS,
        };
        assert_eq!(stops, expected);
    }
    guest.hart.set_breakpoints(Vec::new());
    guest.run(1);
}
