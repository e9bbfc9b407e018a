//! Loops and jumps as compilers write them, in step with the interpreter: pointers that step through memory and over page
//! edges, 32-bit counters and sums, bits that are tested and updates that are skipped, blocks in any order; with faults,
//! pages that change and interrupts all the time.

use crate::Exit;
use crate::lockstep::tests::{CODE_AT, DATA, DATA_AT, DATA_PAGES, Side};
use crate::lockstep::{self, Step};
use crate::port::Fence;
use crate::testing::assemble::*;
use crate::testing::random::Random;

/// Some of them have host registers of their own, some have not.
const VALUES: [u32; 9] = [5, 6, 7, 10, 11, 12, 16, 17, 28];
const POINTERS: [u32; 5] = [13, 14, 9, 18, 21];
const COUNTERS: [u32; 2] = [15, 19];
const LIMIT: u32 = 20;
/// Ends what goes round without a counter.
const FUEL: u32 = 30;

struct Writer {
    random: Random,
    code: Vec<u32>,
}

impl Writer {
    fn value(&mut self) -> u32 {
        self.random.pick(&VALUES)
    }

    fn put(&mut self, word: u32) {
        self.code.push(word);
    }

    /// Bytes from the next instruction to this one, by number.
    fn distance(&self, index: usize) -> i32 {
        (index as i32 - self.code.len() as i32) * 4
    }

    fn access(&mut self) {
        let (value, pointer) = (self.value(), self.random.pick(&POINTERS[..3]));
        let log_size = self.random.below(4) as u32;
        let odd = i32::from(self.random.below(24) == 0);
        let offset = ((self.random.below(12) as i32 - 4) << log_size) + odd;
        if self.random.below(3) == 0 {
            self.put(s_type(0x23, log_size, pointer, value, offset));
        } else {
            let unsigned = if log_size < 3 && self.random.below(2) == 1 {
                4
            } else {
                0
            };
            self.put(i_type(0x03, log_size | unsigned, value, pointer, offset));
        }
    }

    fn calculation(&mut self) {
        let (rd, rs1, rs2) = (self.value(), self.value(), self.value());
        let shift = self.random.below(32) as i32;
        let small = self.random.below(64) as i32 - 32;
        match self.random.below(14) {
            0 => self.put(r_type(0x3b, 0, 0, rd, rs1, rs2)),
            1 => self.put(r_type(0x3b, 0, 0x20, rd, rs1, rs2)),
            2 => self.put(r_type(0x3b, 0, 1, rd, rs1, rs2)),
            3 => {
                let (funct3, funct7) = self.random.pick(&[(1, 0), (5, 0), (5, 0x20)]);
                self.put(r_type(0x3b, funct3, funct7, rd, rs1, rs2));
            }
            4 => self.put(i_type(0x1b, 0, rd, rs1, small)),
            5 => {
                let (funct3, high) = self.random.pick(&[(1, 0), (5, 0), (5, 0x400)]);
                self.put(i_type(0x1b, funct3, rd, rs1, shift | high));
            }
            6 => {
                let funct3 = self.random.pick(&[4, 6, 7]);
                self.put(i_type(0x13, funct3, rd, rs1, small));
            }
            7 => {
                let (funct3, funct7) =
                    self.random
                        .pick(&[(0, 0), (0, 0x20), (4, 0), (6, 0), (7, 0), (3, 0)]);
                self.put(r_type(0x33, funct3, funct7, rd, rs1, rs2));
            }
            8 => {
                let funct3 = self.random.pick(&[2, 4, 6]);
                let opcode = self.random.pick(&[0x33, 0x3b]);
                self.put(r_type(opcode, funct3, 0x10, rd, rs1, rs2));
            }
            9 => {
                let count = self.random.pick(&[32, 48, 56]);
                self.put(i_type(0x13, 1, rd, rs1, count));
                self.put(i_type(0x13, 5, rd, rd, count));
            }
            10 => self.put(addi(rd, rs1, 0)),
            11 => {
                let funct7 = self.random.pick(&[4, 5, 6, 7]);
                self.put(r_type(0x3b, funct7, 1, rd, rs1, rs2));
            }
            12 => self.test_and_skip(rd, rs1, rs2),
            _ => self.put(addi(rd, 0, small)),
        }
    }

    /// A bit is tested, something else done, and an update skipped or not.
    fn test_and_skip(&mut self, rd: u32, rs1: u32, rs2: u32) {
        let test = self.value();
        match self.random.below(3) {
            0 => self.put(r_type(0x33, 7, 0, test, rs1, rs2)),
            _ => self.put(i_type(0x13, 7, test, rs1, 1)),
        }
        // Mostly nothing: then the test and the branch are one.
        for _ in 0..self.random.below(4).saturating_sub(1) {
            self.put(i_type(0x13, 5, rd, rd, 1));
        }
        let updates = 1 + self.random.below(4) as i32;
        let funct3 = self.random.pick(&[0, 1, 0, 1, 0, 1, 0, 1, 4, 5, 6, 7]);
        let (first, second) =
            self.random
                .pick(&[(test, 0), (test, 0), (test, 0), (0, test), (test, rs2)]);
        self.put(branch(funct3, first, second, 4 + 4 * updates));
        for update in 0..updates {
            match (updates, update) {
                (3, 1) => self.put(i_type(0x13, 1, rd, rd, 48)),
                (3, 2) => self.put(i_type(0x13, 5, rd, rd, 48)),
                _ => self.put(r_type(0x33, 4, 0, rd, rd, rs2)),
            }
        }
    }

    fn piece(&mut self) {
        match self.random.below(10) {
            0..4 => self.access(),
            4 => {
                let (one, other) = (self.value(), self.value());
                let funct3 = self.random.pick(&[0, 1, 4, 5, 6, 7]);
                let at = self.code.len();
                self.put(0);
                self.access();
                self.calculation();
                let end = self.code.len();
                self.code[at] = branch(funct3, one, other, 4 * (end - at) as i32);
            }
            _ => self.calculation(),
        }
    }

    /// A loop over memory.
    fn walk(&mut self) {
        let strides: [i32; 5] = POINTERS.map(|_| {
            let strides = [0, 1, 2, 4, 4, 8, 8, 16, 24, 48, -2, -4, -8, -16, -48, 100];
            self.random.pick(&strides)
        });
        let turns = 1 + self.random.below(40) as i32;
        let (pointer, stride) = (POINTERS[0], strides[0]);
        let counter = self.random.pick(&COUNTERS);
        let by_limit = stride != 0 && self.random.below(2) == 0;
        // Counter and limit may not meet, or elsewhere than expected: then something else ends the loop.
        let astray = self.random.below(3) == 0;
        // Or the counter becomes another when it becomes a 32-bit value.
        let wraps = astray && !by_limit && self.random.below(2) == 0;
        let fuel = 2 + self.random.below(90) as i32;
        self.put(addi(FUEL, 0, fuel));
        if by_limit {
            let within = stride.unsigned_abs() * u32::from(astray);
            let beside = self.random.below(u64::from(within.max(1))) as i32;
            let distance = stride * turns.min(1900 / stride.abs());
            self.put(addi(LIMIT, pointer, distance + beside));
        } else {
            self.put(addi(counter, 0, turns));
            let limit = self.random.below(64) as i32 - 32;
            self.put(addi(LIMIT, 0, if astray { limit } else { 0 }));
            if wraps || astray && self.random.below(2) == 0 {
                let far = self.random.pick(&[counter, LIMIT]);
                let by = self.random.pick(&[31, 31, 32, 62]);
                let (far, by) = if wraps { (counter, 31) } else { (far, by) };
                self.put(addi(FUEL, 0, 1));
                self.put(i_type(0x13, 1, FUEL, FUEL, by));
                self.put(add(far, far, FUEL));
                self.put(addi(FUEL, 0, fuel));
            }
        }
        let start = self.code.len();
        let mut exits = Vec::new();
        for _ in 0..1 + self.random.below(6) {
            if self.random.below(20) == 0 {
                exits.push(self.code.len());
                self.put(0);
            }
            self.piece();
        }
        let mut empty = None;
        if astray {
            self.put(addi(FUEL, FUEL, -1));
            empty = Some(self.code.len());
            self.put(0);
        }
        for (pointer, stride) in POINTERS[..3].iter().zip(strides) {
            if stride != 0 {
                self.put(addi(*pointer, *pointer, stride));
            }
            if self.random.below(4) == 0 {
                self.access();
            }
        }
        if by_limit {
            let forwards = [
                (1, pointer, LIMIT),
                (1, LIMIT, pointer),
                (6, pointer, LIMIT),
            ];
            let backwards = [
                (1, pointer, LIMIT),
                (4, LIMIT, pointer),
                (6, LIMIT, pointer),
            ];
            let usual = self
                .random
                .pick(if stride > 0 { &forwards } else { &backwards });
            self.end_walk(start, usual, [pointer, LIMIT], astray);
        } else {
            let opcode = self.random.pick(&[0x13, 0x1b, 0x1b]);
            let stride = if astray && !wraps {
                self.random.pick(&[-1, -1, -3, 1, 5])
            } else {
                -1
            };
            let opcode = if wraps { 0x1b } else { opcode };
            self.put(i_type(opcode, 0, counter, counter, stride));
            let usual = self
                .random
                .pick(&[(1, counter, 0), (1, 0, counter), (4, 0, counter)]);
            let usual = if wraps { (4, LIMIT, counter) } else { usual };
            self.end_walk(start, usual, [counter, LIMIT], astray && !wraps);
        }
        if let Some(exit) = empty {
            let distance = (self.code.len() - exit) as i32 * 4;
            self.code[exit] = branch(0, FUEL, 0, distance);
        }
        let (one, other) = (self.value(), self.value());
        for exit in exits {
            let distance = (self.code.len() - exit) as i32 * 4;
            self.code[exit] = branch(0, one, other, distance);
        }
    }

    /// The branch back to a loop's start.
    fn end_walk(&mut self, start: usize, usual: (u32, u32, u32), ends: [u32; 2], astray: bool) {
        let (mut funct3, mut one, mut other) = usual;
        if astray {
            funct3 = self.random.pick(&[1, 4, 4, 5, 6, 7]);
            [one, other] = self.random.pick(&[ends, [ends[1], ends[0]]]);
        }
        let distance = self.distance(start);
        self.put(branch(funct3, one, other, distance));
    }

    /// Blocks that go on at each other in any order.
    fn maze(&mut self) {
        let count = 3 + self.random.below(6) as usize;
        self.put(addi(FUEL, 0, 300));
        let (mut starts, mut jumps, mut exits) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            starts.push(self.code.len());
            for _ in 0..1 + self.random.below(3) {
                self.piece();
            }
            if self.random.below(3) == 0 {
                let pointer = self.random.pick(&POINTERS[..3]);
                let stride = self.random.pick(&[-8, 8, 16]);
                self.put(addi(pointer, pointer, stride));
            }
            self.put(addi(FUEL, FUEL, -1));
            exits.push(self.code.len());
            self.put(0);
            jumps.push((self.code.len(), true));
            self.put(0);
            if self.random.below(2) == 0 {
                jumps.push((self.code.len(), false));
                self.put(0);
            }
        }
        for (at, conditional) in jumps {
            let target = self.random.pick(&starts);
            let distance = (target as i32 - at as i32) * 4;
            let (one, other) = (self.value(), self.value());
            let funct3 = self.random.pick(&[0, 1, 4, 5, 6, 7]);
            self.code[at] = if conditional {
                branch(funct3, one, other, distance)
            } else {
                jal(0, distance)
            };
        }
        for exit in exits {
            let distance = (self.code.len() - exit) as i32 * 4;
            self.code[exit] = branch(0, FUEL, 0, distance);
        }
    }
}

#[test]
fn loops_and_mazes_follow_the_interpreter() {
    let (instructions, traps) = follow_loops_and_mazes(0..150);
    assert!(
        instructions > 2_000_000 && traps > 20_000,
        "{instructions} instructions, {traps} traps"
    );
}

/// What the deliberate mistakes are put to.
pub(crate) fn a_few_loops_and_mazes_are_followed() {
    follow_loops_and_mazes(200..212);
}

fn follow_loops_and_mazes(seeds: std::ops::Range<u64>) -> (u64, u64) {
    let (mut instructions, mut traps) = (0, 0);
    for seed in seeds {
        let mut writer = Writer {
            random: Random::new(seed),
            code: Vec::new(),
        };
        while writer.code.len() < 700 {
            match writer.random.below(3) {
                0 => writer.maze(),
                _ => writer.walk(),
            }
        }
        writer.put(ECALL);
        let Writer { mut random, code } = writer;
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut sides = [Side::new(true), Side::new(false)];
        for side in &mut sides {
            side.prepare(&bytes);
        }
        for _ in 0..10 {
            let mut state = [0; 32];
            for register in &mut state {
                *register = random.integer();
            }
            for pointer in POINTERS {
                let edge = DATA_AT + random.below(DATA_PAGES - 1) * 4096 + 4096;
                let offset = random.pick(&[4096, 256, 64]);
                state[pointer as usize] =
                    (edge + random.below(offset) - offset / 2) & !random.pick(&[0, 7, 7, 7, 15]);
            }
            for page in 0..DATA_PAGES {
                let flags = random.pick(&[0xc7, 0xc7, 0xc7, 0xc7, 0xc7, 0xc7, 0x43, 0x07, 0]);
                for side in &sides {
                    side.map(DATA_AT + page * 4096, DATA + page * 4096, flags);
                }
            }
            for side in &mut sides {
                side.port.ask_fence(Fence::ALL_TRANSLATIONS);
                for (register, value) in state.iter().enumerate().skip(1) {
                    side.hart.set_register(register, *value);
                }
                side.hart.core.pc = CODE_AT;
            }
            let [leader, follower] = &mut sides;
            loop {
                let slice = random.pick(&[3, 50, 1000, 20_000]);
                match lockstep::step(&mut leader.hart, &mut follower.hart, slice) {
                    Ok(Step::Slice) => {}
                    Ok(Step::Exit(Exit::SupervisorCall)) => break,
                    Ok(other) => panic!("{other:?}"),
                    Err(divergence) => panic!("seed {seed}: {divergence}"),
                }
            }
        }
        let [leader, follower] = &sides;
        for page in 0..DATA_PAGES {
            for offset in (0..4096).step_by(8) {
                let at = DATA + page * 4096 + offset;
                assert_eq!(
                    leader.ram.load::<u64>(at),
                    follower.ram.load::<u64>(at),
                    "seed {seed}"
                );
            }
        }
        instructions += leader.hart.retired();
        traps += leader.hart.core.traps;
    }
    (instructions, traps)
}
