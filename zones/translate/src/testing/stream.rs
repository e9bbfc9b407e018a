//! Random instruction streams that neither trap nor run away, for comparison with another implementation.
//!
//! Bits are drawn by chance within the opcodes and kept if the decoder takes them for an instruction of the wanted kind that
//! keeps its hands off the reserved registers; so every encoding has its chance, and what the bits *mean* is for the other
//! side to say. Reserved: x2, x8 and x31 point into data (only x31 at a multiple of eight), x29 is scratch, x30 counts loops.

use super::assemble::*;
use super::random::Random;
use crate::decode;
use crate::op::{Kind, Op, SINK};

const POINTERS: [u8; 3] = [2, 8, 31];
const RESERVED: [u8; 5] = [2, 8, 29, 30, 31];
/// Bytes around a pointer that a load or store may reach, rounded up.
pub(crate) const REACH: u64 = 2048 + 8;

/// What a stream may hold beyond what every peer has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extras {
    /// Zicond and Zfa, which QEMU 7.2 lacks, and `ctzw`, of which it looks at all 64 bits (fixed in 8.0).
    pub(crate) beyond_peer: bool,
}

/// What the peer lacks, or gets wrong.
pub(crate) fn is_beyond_peer(kind: Kind) -> bool {
    matches!(kind, Kind::CzeroEqz | Kind::CzeroNez | Kind::Ctzw) || kind as u8 >= Kind::FliS as u8
}

/// A generator of code.
pub(crate) struct Stream {
    random: Random,
    extras: Extras,
    /// How often each kind of instruction was written.
    pub(crate) written: Vec<u32>,
}

impl Stream {
    pub(crate) fn new(seed: u64, extras: Extras) -> Self {
        Self {
            random: Random::new(seed),
            extras,
            written: vec![0; Kind::ALL.len()],
        }
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// At least `count` instructions, jumps and loops among them.
    pub(crate) fn code(&mut self, count: usize) -> Vec<u8> {
        let mut code = Vec::new();
        let mut written = 0;
        while written < count {
            written += self.item(&mut code, true);
        }
        code
    }

    fn put(&mut self, code: &mut Vec<u8>, word: u32) {
        let op = decode::decode(word);
        self.written[op.kind as usize] += 1;
        code.extend_from_slice(&word.to_le_bytes()[..op.length as usize]);
    }

    /// A few plain items, for the body of a loop or the shadow of a branch.
    fn body(&mut self, most: u64) -> (Vec<u8>, usize) {
        let mut code = Vec::new();
        let mut written = 0;
        for _ in 0..1 + self.random.below(most) {
            written += self.item(&mut code, false);
        }
        (code, written)
    }

    fn item(&mut self, code: &mut Vec<u8>, outermost: bool) -> usize {
        match self.random.below(100) {
            0..6 => {
                let (body, written) = self.body(5);
                let offset = 4 + body.len() as i32;
                let funct3 = self.random.pick(&[0, 1, 4, 5, 6, 7]);
                let (rs1, rs2) = (self.random.below(32) as u32, self.random.below(32) as u32);
                self.put(code, branch(funct3, rs1, rs2, offset));
                code.extend(body);
                written + 1
            }
            6..8 => {
                // c.beqz, c.bnez: the offset's bits lie 8|4:3 and 7:6|2:1|5.
                let (body, written) = self.body(3);
                let offset = 2 + body.len() as u32;
                if offset < 256 {
                    let funct3 = self.random.pick(&[6, 7]);
                    let register = self.random.below(8) as u32;
                    let high = (offset >> 8 & 1) << 2 | offset >> 3 & 3;
                    let low = (offset >> 6 & 3) << 3 | (offset >> 1 & 3) << 1 | offset >> 5 & 1;
                    self.put(
                        code,
                        funct3 << 13 | high << 10 | register << 7 | low << 2 | 1,
                    );
                }
                code.extend(body);
                written + 1
            }
            8..10 => {
                let (body, written) = self.body(3);
                let rd = self.destination();
                self.put(code, jal(rd, 4 + body.len() as i32));
                code.extend(body);
                written + 1
            }
            10..12 => {
                let (body, written) = self.body(3);
                let rd = self.destination();
                // An odd target: `jalr` clears the lowest bit.
                let odd = self.random.below(2) as i32;
                self.put(code, auipc(29, 0));
                self.put(code, jalr(rd, 29, 8 + body.len() as i32 + odd));
                code.extend(body);
                written + 2
            }
            12..15 if outermost => {
                let (body, written) = self.body(8);
                let turns = 1 + self.random.below(20) as i32;
                self.put(code, addi(30, 0, turns));
                let back = -(body.len() as i32) - 4;
                code.extend(body);
                self.put(code, addi(30, 30, -1));
                self.put(code, branch(1, 30, 0, back));
                written + 3
            }
            15..20 => {
                let double = self.random.below(2) == 1;
                let offset = self.random.below(256) as i32 * 8 - 1024;
                self.put(code, addi(29, 31, offset));
                let ordering = self.random.below(4) as u32;
                let (rd, rs2) = (self.destination(), self.random.below(32) as u32);
                let funct5 = self.random.pick(&[0, 1, 4, 8, 0xc, 0x10, 0x14, 0x18, 0x1c]);
                if self.random.below(4) == 0 {
                    let again = self.destination();
                    self.put(code, atomic(double, 2, rd, 29, 0) | ordering << 25);
                    self.put(code, atomic(double, 3, again, 29, rs2) | ordering << 25);
                    return 3;
                }
                self.put(code, atomic(double, funct5, rd, 29, rs2) | ordering << 25);
                2
            }
            20..22 => {
                let word = self.float_control();
                self.put(code, word);
                1
            }
            23 => {
                // How compilers compare without raising flags.
                let (saved, result) = (self.destination(), self.destination());
                let (funct3, mut sources) =
                    (self.random.below(3) as u32, self.random.next() as u32);
                if self.random.below(4) == 0 {
                    // What is equal is rare by chance.
                    sources = (sources & 31) << 5 | sources & 31;
                }
                self.put(code, csrrs(saved, 1, 0));
                self.put(
                    code,
                    r_type(0x53, funct3, 0x51, result, sources & 31, sources >> 5 & 31),
                );
                self.put(code, csrrw(0, 1, saved));
                3
            }
            24 => {
                // How compilers clear the upper half, and make constants.
                let (rd, from) = (self.destination(), self.random.below(32) as u32);
                let count = self.random.pick(&[32, 48, 56, 31]);
                self.put(code, i_type(0x13, 1, rd, from, count));
                self.put(code, i_type(0x13, 5, rd, rd, count));
                let (rd, word) = (self.destination(), self.random.next() as u32);
                self.put(code, lui(rd, word));
                self.put(code, i_type(0x1b, 0, rd, rd, word as i32 >> 20));
                self.put(code, i_type(0x13, 1, rd, rd, word as i32 & 63));
                5
            }
            25..28 if outermost => self.walk(code),
            22 => {
                let word = self
                    .random
                    .pick(&[FENCE, FENCE_I, 0x0120_000f, 0x8330_000f, PAUSE]);
                self.put(code, word);
                1
            }
            _ => {
                let word = self.plain();
                self.put(code, word);
                1
            }
        }
    }

    /// A loop that goes through memory in steps, across pages now and then.
    fn walk(&mut self, code: &mut Vec<u8>) -> usize {
        let stride: i32 = self
            .random
            .pick(&[1, 2, 4, 4, 8, 8, 8, 16, 24, 40, 48, 120, 0])
            * self.random.pick(&[1, 1, -1]);
        let most = 1800 / stride.abs().max(16);
        let turns = 1 + self.random.below(most as u64) as i32;
        self.put(code, addi(29, 31, -((stride * turns / 2) & !7)));
        self.put(code, addi(30, 0, turns));
        let mut body = Vec::new();
        let count = 1 + self.random.below(5);
        let moved = self.random.below(count + 1);
        let mut written = 0;
        for index in 0..=count {
            if index == moved {
                self.put(&mut body, addi(29, 29, stride));
                written += 1;
            }
            if self.random.below(3) == 0 {
                let (funct3, rs1) = (self.random.pick(&[0, 1, 4, 5]), self.destination());
                self.put(&mut body, branch(funct3, rs1, 0, 12));
                let (rd, one, other) = (self.destination(), rs1, self.destination());
                self.put(&mut body, add(rd, one, other));
                self.put(&mut body, addi(rd, rd, 7));
                written += 3;
            }
            let word = if self.random.below(4) == 0 {
                self.plain()
            } else {
                self.access(29)
            };
            self.put(&mut body, word);
            written += 1;
        }
        let back = -(body.len() as i32) - 4;
        code.extend(body);
        self.put(code, addi(30, 30, -1));
        self.put(code, branch(1, 30, 0, back));
        written + 4
    }

    /// A load or store near this register.
    fn access(&mut self, base: u32) -> u32 {
        loop {
            let opcode = self.random.pick(&[0x03, 0x23, 0x07, 0x27]);
            let offset = (self.random.below(9) as u32) << self.random.pick(&[0, 3, 3, 3]);
            let word = self.random.next() as u32 & 0x01f0_7000 | base << 15 | opcode;
            let word = if opcode & 0x20 == 0 {
                word & 0x7000 | base << 15 | opcode | self.destination() << 7 | offset << 20
            } else {
                word | (offset >> 5) << 25 | (offset & 31) << 7
            };
            if decode::decode(word).kind != Kind::Illegal {
                return word;
            }
        }
    }

    fn destination(&mut self) -> u32 {
        loop {
            let register = self.random.below(32) as u8;
            if !RESERVED.contains(&register) {
                return register.into();
            }
        }
    }

    /// Reads and writes of `fcsr` that leave a valid rounding mode.
    fn float_control(&mut self) -> u32 {
        let rd = self.destination();
        match self.random.below(5) {
            0 => csrrwi(rd, 2, self.random.below(5) as u32),
            1 => csrrw(rd, 1, self.random.below(32) as u32),
            2 => csrrs(rd, 1, self.random.below(32) as u32),
            3 => csrrc(rd, 1, self.random.below(32) as u32),
            _ => csrrs(rd, 3, 0),
        }
    }

    /// One instruction that goes on to the next one.
    fn plain(&mut self) -> u32 {
        const FULL: [u32; 22] = [
            0x37, 0x17, 0x03, 0x03, 0x23, 0x23, 0x13, 0x13, 0x13, 0x1b, 0x33, 0x33, 0x3b, 0x07,
            0x27, 0x43, 0x47, 0x4b, 0x4f, 0x53, 0x53, 0x53,
        ];
        const FUNCT7: [u32; 13] = [
            0, 0, 1, 1, 0x20, 0x20, 0x10, 0x04, 0x05, 0x30, 0x24, 0x34, 0x14,
        ];
        loop {
            let mut word = self.random.next() as u32;
            if self.random.below(3) == 0 {
                word &= 0xffff;
                if word & 3 == 3 {
                    continue;
                }
            } else {
                let opcode = self.random.pick(&FULL);
                word = word & !0x7f | opcode;
                if matches!(opcode, 0x33 | 0x3b | 0x13 | 0x1b) && self.random.below(4) != 0 {
                    let extra = if self.extras.beyond_peer && self.random.below(16) == 0 {
                        7
                    } else {
                        0
                    };
                    let funct7 = if extra != 0 {
                        extra
                    } else {
                        self.random.pick(&FUNCT7)
                    };
                    let shift = if matches!(opcode, 0x13 | 0x1b) {
                        word >> 25 & 1
                    } else {
                        0
                    };
                    word = word & 0x01ff_ffff | (funct7 | shift) << 25;
                    if matches!(funct7, 0x04 | 0x14 | 0x30 | 0x34) && self.random.below(2) == 0 {
                        // The unary operations: their function is where others have the second source.
                        word = word & !(0x1f << 20)
                            | self.random.pick(&[0, 1, 2, 4, 5, 7, 0x18]) << 20;
                        word = word & !(7 << 12) | self.random.pick(&[1, 1, 4, 5]) << 12;
                    }
                }
                if opcode == 0x53 {
                    // Conversions, moves and square roots have fixed sources.
                    if self.random.below(2) == 0 {
                        word = word & !(0x1f << 20) | (self.random.below(6) as u32) << 20;
                    }
                    word &= !(1 << 26);
                }
                if matches!(opcode, 0x43..=0x4f) {
                    word &= !(1 << 26);
                }
                if matches!(opcode, 0x03 | 0x23 | 0x07 | 0x27) {
                    word = word & !(0x1f << 15) | u32::from(self.random.pick(&POINTERS)) << 15;
                }
            }
            if self.acceptable(&decode::decode(word)) {
                return word;
            }
        }
    }

    fn acceptable(&self, op: &Op) -> bool {
        use Kind::*;
        let float_destination = matches!(op.kind, Flw | Fld)
            || (op.kind as u8 >= FmaddS as u8
                && !matches!(op.kind, Fsw | Fsd)
                && !op.kind.leaves_floats());
        let memory = matches!(
            op.kind,
            Lb | Lh | Lw | Ld | Lbu | Lhu | Lwu | Sb | Sh | Sw | Sd | Flw | Fsw | Fld | Fsd
        );
        let allowed = match op.kind {
            Illegal | Beq | Bne | Blt | Bge | Bltu | Bgeu | Jal | Jalr | Fence | Pause | FenceI
            | Ecall | Ebreak => false,
            Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci | Sret | Wfi | SfenceVma | CboZero => {
                false
            }
            kind if is_beyond_peer(kind) => self.extras.beyond_peer,
            kind => !(kind as u8 >= LrW as u8 && kind as u8 <= AmomaxuD as u8),
        };
        allowed
            && (float_destination || op.rd == SINK || !RESERVED.contains(&op.rd))
            && (!memory || POINTERS.contains(&op.rs1))
    }
}
