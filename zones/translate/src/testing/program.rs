//! A static program of random cases, for our hart in bare S-mode and for a peer's user-mode emulation alike.
//!
//! Each case loads all registers from its state, runs its code and writes all registers out; after all rounds the program
//! writes the outcomes and the data that the cases worked on to its standard output, and exits.

use super::assemble::*;
use super::stream::{Extras, REACH, Stream};

/// Where the program lies, on either side.
pub(crate) const BASE: u64 = 0x1000_0000;
/// Bytes of one state: x0 (unused) to x31, f0 to f31, `fcsr`, padding.
pub(crate) const STATE: u64 = 528;
const DATA: u64 = 16 * 1024;
const WRITE: u64 = 64;
const EXIT: u64 = 93;

/// How large a program shall be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) cases: u64,
    pub(crate) instructions: usize,
    pub(crate) rounds: u64,
}

/// A program image at [`BASE`].
pub(crate) struct Program {
    pub(crate) image: Vec<u8>,
    /// Bytes in memory: more than the image, the rest is zero.
    pub(crate) memory: u64,
    pub(crate) entry: u64,
    /// Instructions written of each kind.
    pub(crate) written: Vec<u32>,
}

impl Program {
    pub(crate) fn new(seed: u64, size: Size, extras: Extras) -> Self {
        let mut stream = Stream::new(seed, extras);
        let header = 120;
        // The addresses after the code are needed in it: room for the largest code there can be.
        let code_room =
            (size.cases * (size.instructions as u64 * 8 + 1024) + 4096).next_multiple_of(4096);
        let cursor = BASE + code_room;
        let states = cursor + 4096;
        let states_length = (size.cases * size.rounds * STATE).next_multiple_of(4096);
        let outcomes = states + states_length;
        let data = outcomes + states_length;

        let mut words = Assembly { bytes: Vec::new() };
        words.put(&load_address(5, cursor));
        words.put(&load_address(6, states));
        words.put(&[sd(6, 5, 0)]);
        let again = words.bytes.len();
        for _ in 0..size.cases {
            words.case(&mut stream, size.instructions, cursor, states_length);
        }
        // Until the cursor reaches the end of the states.
        words.put(&load_address(5, cursor));
        words.put(&load_address(6, states + size.cases * size.rounds * STATE));
        words.put(&[ld(7, 5, 0), branch(0, 6, 7, 12)]);
        let back = again as i64 - words.bytes.len() as i64;
        words.put(&[
            auipc(6, (back + 0x800) as u32),
            jalr(0, 6, (back as i32) << 20 >> 20),
        ]);
        for (from, length) in [(outcomes, size.cases * size.rounds * STATE), (data, DATA)] {
            words.put(&[addi(10, 0, 1)]);
            words.put(&load_address(11, from));
            words.put(&load_address(12, length));
            words.put(&[addi(17, 0, WRITE as i32), ECALL]);
        }
        words.put(&[addi(10, 0, 0), addi(17, 0, EXIT as i32), ECALL]);

        assert!(header + words.bytes.len() as u64 <= code_room);
        let mut image = elf_header(data + DATA - BASE, outcomes - BASE);
        image.extend(&words.bytes);
        image.resize((states - BASE) as usize, 0);
        for _ in 0..size.cases * size.rounds {
            let random = stream.random();
            let mut state = [0u64; STATE as usize / 8];
            for register in &mut state[..32] {
                *register = random.integer();
            }
            for register in &mut state[32..64] {
                *register = random.float();
            }
            let middle = data + 2 * REACH;
            state[2] = middle + random.below(4096);
            state[8] = middle + (random.below(4096) & !random.pick(&[0, 3, 7]));
            state[31] = middle + (random.below(4096) & !7);
            state[64] = random.below(32) | random.pick(&[0, 0, 0, 1, 2, 3, 4]) << 5;
            image.extend(state.iter().flat_map(|word| word.to_le_bytes()));
        }
        image.resize((outcomes - BASE) as usize, 0);
        Self {
            image,
            memory: data + DATA - BASE,
            entry: BASE + header,
            written: stream.written,
        }
    }

    /// The program as an executable file.
    pub(crate) fn elf(&self) -> &[u8] {
        &self.image
    }
}

struct Assembly {
    bytes: Vec<u8>,
}

impl Assembly {
    fn put(&mut self, words: &[u32]) {
        self.bytes
            .extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn case(&mut self, stream: &mut Stream, instructions: usize, cursor: u64, to_outcomes: u64) {
        self.put(&load_address(31, cursor));
        self.put(&[ld(31, 31, 0), ld(5, 31, 512), csrrw(0, 3, 5)]);
        for register in 0..32 {
            self.put(&[fld(register, 31, 256 + 8 * register as i32)]);
        }
        for register in 1..32 {
            self.put(&[ld(register, 31, 8 * register as i32)]);
        }
        let code = stream.code(instructions);
        self.bytes.extend(code);
        // x29 and x30 are not compared; x30 ends as the state's address, moved to the outcomes.
        self.put(&load_address(29, cursor));
        self.put(&[
            ld(30, 29, 0),
            addi(30, 30, STATE as i32),
            sd(30, 29, 0),
            addi(30, 30, -(STATE as i32)),
        ]);
        self.put(&load_address(29, to_outcomes));
        self.put(&[add(30, 30, 29)]);
        for register in (1..29).chain([31]) {
            self.put(&[sd(register, 30, 8 * register as i32)]);
        }
        for register in 0..32 {
            self.put(&[fsd(register, 30, 256 + 8 * register as i32)]);
        }
        self.put(&[csrrs(5, 3, 0), sd(5, 30, 512)]);
    }
}

/// ELF64 for RISC-V: one segment, all rights.
fn elf_header(memory: u64, file: u64) -> Vec<u8> {
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend([2u16, 243].iter().flat_map(|half| half.to_le_bytes()));
    header.extend(1u32.to_le_bytes());
    header.extend(
        [BASE + 120, 64, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes()),
    );
    // Double-precision ABI, compressed code.
    header.extend(5u32.to_le_bytes());
    header.extend(
        [64u16, 56, 1, 64, 0, 0]
            .iter()
            .flat_map(|half| half.to_le_bytes()),
    );
    header.extend([1u32, 7].iter().flat_map(|word| word.to_le_bytes()));
    header.extend(
        [0, BASE, BASE, file, memory, 4096]
            .iter()
            .flat_map(|word: &u64| word.to_le_bytes()),
    );
    header
}
