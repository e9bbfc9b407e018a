//! What the assembler writes, as a decoder of other authors reads it: each method writes one instruction, which is the
//! intended one, to the last operand and byte.

use iced_x86::{ConditionCode, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::*;
use crate::translate::{Compiled, SLOT_BYTES};

/// Where the code lies.
const ORIGIN: usize = 0x12_3450;
/// Displacements and immediates at the edges of their encodings.
const NUMBERS: [i32; 10] = [
    0,
    1,
    -1,
    127,
    128,
    -128,
    -129,
    0x1234_5678,
    i32::MAX,
    i32::MIN,
];
/// Places in the code memory, before and after.
const TARGETS: [usize; 4] = [0, ORIGIN - 1, ORIGIN + 5, 32 << 20];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Register(Register),
    Memory {
        base: Register,
        index: Register,
        scale: u32,
        displacement: u64,
        bytes: usize,
    },
    Immediate(u64),
    Target(u64),
}

/// The operands that were decoded.
fn operands(instruction: &Instruction) -> Vec<Operand> {
    (0..instruction.op_count())
        .map(|index| match instruction.op_kind(index) {
            OpKind::Register => Operand::Register(instruction.op_register(index)),
            OpKind::Memory => Operand::Memory {
                base: instruction.memory_base(),
                index: instruction.memory_index(),
                scale: instruction.memory_index_scale(),
                displacement: instruction.memory_displacement64(),
                bytes: instruction.memory_size().size(),
            },
            OpKind::Immediate8to32 => {
                Operand::Immediate((instruction.immediate8to32() as u32).into())
            }
            OpKind::NearBranch64 => Operand::Target(instruction.near_branch64()),
            _ => Operand::Immediate(instruction.immediate(index)),
        })
        .collect()
}

/// All instructions in these bytes.
fn decode(bytes: &[u8]) -> Vec<Instruction> {
    let mut decoder = Decoder::with_ip(64, bytes, ORIGIN as u64, DecoderOptions::NONE);
    decoder.iter().collect()
}

/// Checks that what is written is this one instruction, and returns it.
fn one(
    write: impl FnOnce(&mut Assembler),
    mnemonic: Mnemonic,
    expected: &[Operand],
) -> Instruction {
    let mut assembler = Assembler::default();
    assembler.restart(ORIGIN);
    write(&mut assembler);
    assembler.finish();
    let decoded = decode(&assembler.bytes);
    let bytes = &assembler.bytes;
    let [instruction] = decoded[..] else {
        panic!("{bytes:02x?} for {mnemonic:?} {expected:?}: {decoded:?}");
    };
    assert_eq!(
        (instruction.mnemonic(), &operands(&instruction)[..]),
        (mnemonic, expected),
        "{bytes:02x?}"
    );
    assert_eq!(instruction.len(), bytes.len(), "{bytes:02x?}");
    assert!(
        !instruction.has_rep_prefix() && !instruction.has_repne_prefix(),
        "{bytes:02x?}"
    );
    assert_eq!(instruction.segment_prefix(), Register::None, "{bytes:02x?}");
    instruction
}

/// The same for an instruction that nobody comes between.
fn one_locked(write: impl FnOnce(&mut Assembler), mnemonic: Mnemonic, expected: &[Operand]) {
    assert!(one(write, mnemonic, expected).has_lock_prefix());
}

fn registers() -> impl Iterator<Item = Reg> {
    (0..16).map(Reg)
}

/// A general register of so many bytes.
fn general(Reg(number): Reg, bytes: usize) -> Operand {
    let number = u32::from(number);
    Operand::Register(match (bytes, number) {
        (1, 0..4) => Register::AL + number,
        (1, _) => Register::SPL + (number - 4),
        (2, _) => Register::AX + number,
        (4, _) => Register::EAX + number,
        _ => Register::RAX + number,
    })
}

fn vector(Reg(number): Reg) -> Operand {
    Operand::Register(Register::XMM0 + u32::from(number))
}

fn bytes(width: Width) -> usize {
    match width {
        W32 => 4,
        W64 => 8,
    }
}

/// An immediate as an operand of so many bytes.
fn immediate(value: i32, bytes: usize) -> Operand {
    Operand::Immediate(i64::from(value) as u64 & u64::MAX >> (64 - 8 * bytes))
}

/// A place as an operand of so many bytes.
fn operand(place: Place, bytes: usize) -> Operand {
    let address = |Reg(number)| Register::RAX + u32::from(number);
    let memory = |base, index, displacement: i64| Operand::Memory {
        base,
        index,
        scale: 1,
        displacement: displacement as u64,
        bytes,
    };
    match place {
        Place::Register(register) => general(register, bytes),
        Place::Memory(base, offset) => memory(address(base), Register::None, offset.into()),
        Place::Indexed(base, index, offset) => memory(address(base), address(index), offset.into()),
        Place::Code(target) | Place::Slot(target) => {
            memory(Register::RIP, Register::None, target as i64)
        }
    }
}

/// The same where a register is a vector register.
fn vector_operand(place: Place, bytes: usize) -> Operand {
    match place {
        Place::Register(register) => vector(register),
        memory => operand(memory, bytes),
    }
}

/// Every base and index, with displacements of all sizes.
fn memory() -> Vec<Place> {
    let mut places = Vec::new();
    for base in registers() {
        places.extend(NUMBERS.map(|offset| Place::Memory(base, offset)));
        for index in registers().filter(|index| *index != RSP) {
            places.extend([0, -128, 128].map(|offset| Place::Indexed(base, index, offset)));
        }
    }
    places
}

/// What an instruction with an immediate can name.
fn all_but_code() -> Vec<Place> {
    registers().map(Place::Register).chain(memory()).collect()
}

fn everywhere() -> Vec<Place> {
    let mut places = all_but_code();
    places.extend(TARGETS.map(Place::Code));
    places
}

/// Calls with each register and each of these places.
fn pairs(places: &[Place], mut each: impl FnMut(Reg, Place)) {
    for register in registers() {
        for place in places {
            each(register, *place);
        }
    }
}

const WIDTHS: [Width; 2] = [W32, W64];
const ALUS: [(Alu, Mnemonic); 6] = [
    (Alu::Add, Mnemonic::Add),
    (Alu::Or, Mnemonic::Or),
    (Alu::And, Mnemonic::And),
    (Alu::Sub, Mnemonic::Sub),
    (Alu::Xor, Mnemonic::Xor),
    (Alu::Cmp, Mnemonic::Cmp),
];

#[test]
fn two_operand_arithmetic() {
    for (op, mnemonic) in ALUS {
        for width in WIDTHS {
            let size = bytes(width);
            pairs(&everywhere(), |reg, place| {
                let (reg_is, place_is) = (general(reg, size), operand(place, size));
                one(
                    |a| a.alu(op, width, reg, place),
                    mnemonic,
                    &[reg_is, place_is],
                );
                one(
                    |a| a.alu_to(op, width, place, reg),
                    mnemonic,
                    &[place_is, reg_is],
                );
            });
            for place in all_but_code() {
                for value in NUMBERS {
                    one(
                        |a| a.alu_immediate(op, width, place, value),
                        mnemonic,
                        &[operand(place, size), immediate(value, size)],
                    );
                }
            }
        }
    }
    for place in memory() {
        for value in [0, 1, 127, 128, 255] {
            one(
                |a| a.compare_byte(place, value),
                Mnemonic::Cmp,
                &[operand(place, 1), Operand::Immediate(value.into())],
            );
        }
    }
    for width in WIDTHS {
        let size = bytes(width);
        for first in registers() {
            for second in registers() {
                let both = [general(second, size), general(first, size)];
                one(|a| a.test(width, first, second), Mnemonic::Test, &both);
            }
        }
    }
}

#[test]
fn moves() {
    let places = everywhere();
    for width in WIDTHS {
        let size = bytes(width);
        pairs(&places, |reg, place| {
            let (reg_is, place_is) = (general(reg, size), operand(place, size));
            one(
                |a| a.load(width, reg, place),
                Mnemonic::Mov,
                &[reg_is, place_is],
            );
            one(
                |a| a.store(width, place, reg),
                Mnemonic::Mov,
                &[place_is, reg_is],
            );
        });
    }
    pairs(&places, |reg, place| {
        let wide = general(reg, 8);
        if place == Place::Register(reg) {
            let mut assembler = Assembler::default();
            assembler.mov(reg, place);
            assert!(assembler.bytes.is_empty());
        } else {
            one(
                |a| a.mov(reg, place),
                Mnemonic::Mov,
                &[wide, operand(place, 8)],
            );
        }
        for (size, signed, unsigned) in [
            (1, Mnemonic::Movsx, Mnemonic::Movzx),
            (2, Mnemonic::Movsx, Mnemonic::Movzx),
            (4, Mnemonic::Movsxd, Mnemonic::Mov),
        ] {
            let from = operand(place, usize::from(size));
            one(|a| a.extend_signed(size, reg, place), signed, &[wide, from]);
            // The upper half is cleared by writing the lower one.
            one(
                |a| a.extend_zero(size, reg, place),
                unsigned,
                &[general(reg, 4), from],
            );
        }
    });
    pairs(&memory(), |reg, place| {
        one(
            |a| a.store16(place, reg),
            Mnemonic::Mov,
            &[operand(place, 2), general(reg, 2)],
        );
        one(
            |a| a.store8(place, reg),
            Mnemonic::Mov,
            &[operand(place, 1), general(reg, 1)],
        );
        let Operand::Memory { .. } = operand(place, 0) else {
            return;
        };
        one(
            |a| a.lea(reg, place),
            Mnemonic::Lea,
            &[general(reg, 8), operand(place, 0)],
        );
    });
    for place in memory() {
        for value in NUMBERS {
            one(
                |a| a.store_constant(place, value),
                Mnemonic::Mov,
                &[operand(place, 8), immediate(value, 8)],
            );
        }
    }
    for reg in registers() {
        one(|a| a.push(reg), Mnemonic::Push, &[general(reg, 8)]);
        one(|a| a.pop(reg), Mnemonic::Pop, &[general(reg, 8)]);
        one(|a| a.byte_swap(reg), Mnemonic::Bswap, &[general(reg, 8)]);
        for target in TARGETS {
            let place = Place::Code(target);
            one(
                |a| a.lea(reg, place),
                Mnemonic::Lea,
                &[general(reg, 8), operand(place, 0)],
            );
        }
    }
}

#[test]
fn constants_take_their_shortest_form() {
    let half = u64::from(u32::MAX);
    for reg in registers() {
        let (word, whole) = (general(reg, 4), general(reg, 8));
        one(|a| a.constant(reg, 0), Mnemonic::Xor, &[word, word]);
        for value in [1, 127, 128, half >> 1, (half >> 1) + 1, half] {
            let expected = [word, Operand::Immediate(value)];
            let written = one(|a| a.constant(reg, value), Mnemonic::Mov, &expected);
            assert!(written.len() <= 6);
        }
        for value in [u64::MAX, !0x7f, !half | 0x8000_0000] {
            let expected = [whole, Operand::Immediate(value)];
            let written = one(|a| a.constant(reg, value), Mnemonic::Mov, &expected);
            assert_eq!(written.len(), 7);
        }
        for value in [half + 1, !half, !half | 0x7fff_ffff, 0x0123_4567_89ab_cdef] {
            let expected = [whole, Operand::Immediate(value)];
            let written = one(|a| a.constant(reg, value), Mnemonic::Mov, &expected);
            assert_eq!(written.len(), 10);
        }
        for base in registers() {
            for index in registers().filter(|index| *index != RSP) {
                for shift in 0..4 {
                    let expected = Operand::Memory {
                        base: Register::RAX + u32::from(base.0),
                        index: Register::RAX + u32::from(index.0),
                        scale: 1 << shift,
                        displacement: 0,
                        bytes: 0,
                    };
                    one(
                        |a| a.lea_scaled(reg, base, index, shift),
                        Mnemonic::Lea,
                        &[whole, expected],
                    );
                }
            }
        }
    }
}

#[test]
fn shifts() {
    for (op, mnemonic) in [
        (Shift::Rol, Mnemonic::Rol),
        (Shift::Ror, Mnemonic::Ror),
        (Shift::Shl, Mnemonic::Shl),
        (Shift::Shr, Mnemonic::Shr),
        (Shift::Sar, Mnemonic::Sar),
    ] {
        for width in WIDTHS {
            for place in all_but_code() {
                let place_is = operand(place, bytes(width));
                for count in [0, 1, 31, 32, 63] {
                    one(
                        |a| a.shift_immediate(op, width, place, count),
                        mnemonic,
                        &[place_is, Operand::Immediate(count.into())],
                    );
                }
                one(
                    |a| a.shift_by_cl(op, width, place),
                    mnemonic,
                    &[place_is, Operand::Register(Register::CL)],
                );
            }
        }
    }
    for (op, mnemonic) in [
        (Shift::Shl, Mnemonic::Shlx),
        (Shift::Shr, Mnemonic::Shrx),
        (Shift::Sar, Mnemonic::Sarx),
    ] {
        for width in WIDTHS {
            let size = bytes(width);
            pairs(&everywhere(), |to, from| {
                // The count's register is encoded apart from the others.
                for count in [RAX, RCX, RDI, R8, R15, to] {
                    one(
                        |a| a.shift_by(op, width, to, from, count),
                        mnemonic,
                        &[general(to, size), operand(from, size), general(count, size)],
                    );
                }
            });
        }
    }
    pairs(&all_but_code(), |to, from| {
        for count in [0, 7, 31] {
            one(
                |a| a.rotated(to, from, count),
                Mnemonic::Rorx,
                &[
                    general(to, 4),
                    operand(from, 4),
                    Operand::Immediate(count.into()),
                ],
            );
        }
    });
}

#[test]
fn products_bits_and_what_has_one_operand() {
    let places = everywhere();
    for width in WIDTHS {
        let size = bytes(width);
        pairs(&places, |reg, place| {
            let both = [general(reg, size), operand(place, size)];
            one(|a| a.multiply(width, reg, place), Mnemonic::Imul, &both);
            for (opcode, mnemonic) in [
                (0xb8, Mnemonic::Popcnt),
                (0xbc, Mnemonic::Tzcnt),
                (0xbd, Mnemonic::Lzcnt),
            ] {
                one(|a| a.count_bits(opcode, width, reg, place), mnemonic, &both);
            }
        });
        for (number, mnemonic) in [
            (2, Mnemonic::Not),
            (3, Mnemonic::Neg),
            (4, Mnemonic::Mul),
            (5, Mnemonic::Imul),
            (6, Mnemonic::Div),
            (7, Mnemonic::Idiv),
        ] {
            for place in &places {
                let expected = [operand(*place, size)];
                one(|a| a.unary(number, width, *place), mnemonic, &expected);
            }
        }
    }
    one(|a| a.extend_accumulator(W32), Mnemonic::Cdq, &[]);
    one(|a| a.extend_accumulator(W64), Mnemonic::Cqo, &[]);
    pairs(&all_but_code(), |reg, place| {
        for value in NUMBERS {
            one(
                |a| a.multiply_constant(reg, place, value),
                Mnemonic::Imul,
                &[general(reg, 8), operand(place, 8), immediate(value, 8)],
            );
        }
    });
    pairs(&places, |reg, place| {
        for inverted in [RAX, RDI, R8, R15, reg] {
            one(
                |a| a.and_not(reg, inverted, place),
                Mnemonic::Andn,
                &[general(reg, 8), general(inverted, 8), operand(place, 8)],
            );
        }
    });
    for to in registers() {
        for (opcode, number, mnemonic) in [
            (0xa3, 4, Mnemonic::Bt),
            (0xab, 5, Mnemonic::Bts),
            (0xb3, 6, Mnemonic::Btr),
            (0xbb, 7, Mnemonic::Btc),
        ] {
            for bit in registers() {
                let expected = [general(to, 8), general(bit, 8)];
                one(|a| a.bit(opcode, to, bit), mnemonic, &expected);
            }
            for bit in [0, 31, 32, 63] {
                let expected = [general(to, 8), Operand::Immediate(bit.into())];
                one(|a| a.bit_immediate(number, to, bit), mnemonic, &expected);
            }
        }
    }
}

const CONDITIONS: [(Condition, ConditionCode, [Mnemonic; 3]); 14] = {
    use Mnemonic::*;
    [
        (Condition::Overflow, ConditionCode::o, [Jo, Seto, Cmovo]),
        (
            Condition::NoOverflow,
            ConditionCode::no,
            [Jno, Setno, Cmovno],
        ),
        (Condition::Below, ConditionCode::b, [Jb, Setb, Cmovb]),
        (
            Condition::AboveEqual,
            ConditionCode::ae,
            [Jae, Setae, Cmovae],
        ),
        (Condition::Equal, ConditionCode::e, [Je, Sete, Cmove]),
        (Condition::NotEqual, ConditionCode::ne, [Jne, Setne, Cmovne]),
        (
            Condition::BelowEqual,
            ConditionCode::be,
            [Jbe, Setbe, Cmovbe],
        ),
        (Condition::Above, ConditionCode::a, [Ja, Seta, Cmova]),
        (Condition::Parity, ConditionCode::p, [Jp, Setp, Cmovp]),
        (Condition::NoParity, ConditionCode::np, [Jnp, Setnp, Cmovnp]),
        (Condition::Less, ConditionCode::l, [Jl, Setl, Cmovl]),
        (
            Condition::GreaterEqual,
            ConditionCode::ge,
            [Jge, Setge, Cmovge],
        ),
        (
            Condition::LessEqual,
            ConditionCode::le,
            [Jle, Setle, Cmovle],
        ),
        (Condition::Greater, ConditionCode::g, [Jg, Setg, Cmovg]),
    ]
};

#[test]
fn what_depends_on_conditions() {
    for (condition, code, [jump, set, conditional_move]) in CONDITIONS {
        pairs(&everywhere(), |reg, place| {
            let both = [general(reg, 8), operand(place, 8)];
            one(
                |a| a.conditional_move(condition, reg, place),
                conditional_move,
                &both,
            );
        });
        for reg in registers() {
            one(|a| a.set(condition, reg), set, &[general(reg, 1)]);
        }
        let own = |a: &mut Assembler| {
            let label = a.label();
            a.bind(label);
            a.jump_if(condition, label);
        };
        let written = one(own, jump, &[Operand::Target(ORIGIN as u64)]);
        assert_eq!(written.condition_code(), code);
        // The other way round, and with the operands the other way round.
        let mut opposite = written;
        opposite.negate_condition_code();
        let (_, expected, _) = CONDITIONS
            .iter()
            .find(|(other, ..)| *other == condition.opposite())
            .expect("each has one");
        assert_eq!(opposite.condition_code(), *expected);
        for (a, b) in [(1i64, 2i64), (2, 1), (2, 2), (-1, 1), (1, -1)] {
            assert_eq!(
                holds(condition, a, b),
                holds(condition.turned(), b, a),
                "{condition:?}"
            );
            assert_eq!(
                holds(condition, a, b),
                holds(condition.opposite(), a, b).map(|holds| !holds),
                "{condition:?}"
            );
        }
    }
}

/// Whether a comparison's outcome is this; `None` for what comparisons of integers are not asked for.
fn holds(condition: Condition, a: i64, b: i64) -> Option<bool> {
    let (ua, ub) = (a as u64, b as u64);
    Some(match condition {
        Condition::Below => ua < ub,
        Condition::AboveEqual => ua >= ub,
        Condition::Equal => a == b,
        Condition::NotEqual => a != b,
        Condition::BelowEqual => ua <= ub,
        Condition::Above => ua > ub,
        Condition::Less => a < b,
        Condition::GreaterEqual => a >= b,
        Condition::LessEqual => a <= b,
        Condition::Greater => a > b,
        _ => return None,
    })
}

#[test]
fn jumps_and_calls() {
    for target in TARGETS {
        let expected = [Operand::Target(target as u64)];
        one(|a| a.jump_to(target), Mnemonic::Jmp, &expected);
        one(|a| a.call_to(target), Mnemonic::Call, &expected);
    }
    for place in everywhere() {
        let expected = [operand(place, 8)];
        one(|a| a.jump_through(place), Mnemonic::Jmp, &expected);
        one(|a| a.call_through(place), Mnemonic::Call, &expected);
    }
    one(Assembler::ret, Mnemonic::Ret, &[]);
    // Labels before and after, near and far.
    for distance in [0, 1, 121, 122, 126, 127, 128, 40_000] {
        let mut assembler = Assembler::default();
        assembler.restart(ORIGIN);
        let [before, after] = [assembler.label(), assembler.label()];
        assembler.jump(after);
        assembler.bind(before);
        (0..distance).for_each(|_| assembler.ret());
        assembler.bind(after);
        assembler.jump(before);
        assembler.jump_if(Condition::Less, before);
        assembler.finish();
        let decoded = decode(&assembler.bytes);
        assert_eq!(decoded.len(), distance + 3);
        let end = decoded[distance + 1].ip();
        assert_eq!(decoded[0].near_branch_target(), end);
        for jump in &decoded[distance + 1..] {
            assert_eq!(jump.near_branch_target(), decoded[0].next_ip());
        }
    }
}

#[test]
fn what_is_aligned_is_filled_with_few_instructions() {
    for missing in 0..32 {
        let mut assembler = Assembler::default();
        assembler.restart(ORIGIN.next_multiple_of(32));
        (missing..32).for_each(|_| assembler.ret());
        assembler.align(32);
        assert_eq!(assembler.offset() % 32, 0);
        let decoded = decode(&assembler.bytes);
        let filling = &decoded[32 - missing..];
        assert_eq!(filling.len(), missing.div_ceil(11));
        for nop in filling {
            assert_eq!(nop.mnemonic(), Mnemonic::Nop);
        }
    }
}

#[test]
fn code_is_put_in_place() {
    let mut assembler = Assembler::default();
    assembler.restart(0);
    let label = assembler.label();
    assembler.bind(label);
    assembler.jump_if(Condition::Equal, label);
    assembler.jump_to(0x100);
    assembler.call_to(0x200);
    assembler.load(W64, R9, Place::Code(0x300));
    assembler.jump_through(Place::Slot(24));
    assembler.number(RAX, 3, Base::Leaves);
    assembler.number(R8, 4, Base::Sites);
    assembler.finish();
    let mut compiled = Compiled {
        bytes: assembler.bytes,
        relocations: assembler.relocations,
        ..Compiled::default()
    };
    compiled.relocate(ORIGIN, 1000, 2000, 5);
    let decoded = decode(&compiled.bytes);
    let found: Vec<Operand> = decoded
        .iter()
        .filter_map(|instruction| operands(instruction).pop())
        .collect();
    let expected = [
        Operand::Target(ORIGIN as u64),
        Operand::Target(0x100),
        Operand::Target(0x200),
        operand(Place::Code(0x300), 8),
        operand(Place::Slot(5 * SLOT_BYTES + 24), 8),
        Operand::Immediate(1003),
        Operand::Immediate(2004),
    ];
    assert_eq!(found, expected);
}

#[test]
fn atomic_operations() {
    for width in WIDTHS {
        let size = bytes(width);
        pairs(&memory(), |reg, place| {
            let both = [operand(place, size), general(reg, size)];
            one_locked(|a| a.locked_add(width, place, reg), Mnemonic::Xadd, &both);
            one_locked(
                |a| a.compare_exchange(width, place, reg),
                Mnemonic::Cmpxchg,
                &both,
            );
            // Locked without a prefix.
            one(|a| a.exchange(width, place, reg), Mnemonic::Xchg, &both);
        });
    }
    let below_the_stack = operand(Place::Memory(RSP, -8), 4);
    one_locked(
        Assembler::full_fence,
        Mnemonic::Or,
        &[below_the_stack, Operand::Immediate(0)],
    );
}

#[test]
fn scalar_floating_point() {
    use Mnemonic::*;
    let places = everywhere();
    for (double, size) in [(false, 4), (true, 8)] {
        let pick = |single, twice| if double { twice } else { single };
        pairs(&places, |reg, place| {
            let (reg_is, from) = (vector(reg), vector_operand(place, size));
            for (opcode, mnemonic) in [
                (0x10, pick(Movss, Movsd)),
                (0x51, pick(Sqrtss, Sqrtsd)),
                (0x58, pick(Addss, Addsd)),
                (0x59, pick(Mulss, Mulsd)),
                (0x5a, pick(Cvtss2sd, Cvtsd2ss)),
                (0x5c, pick(Subss, Subsd)),
                (0x5e, pick(Divss, Divsd)),
            ] {
                one(
                    |a| a.scalar(double, opcode, reg, place),
                    mnemonic,
                    &[reg_is, from],
                );
            }
            one(
                |a| a.scalar(double, 0x11, reg, place),
                pick(Movss, Movsd),
                &[from, reg_is],
            );
            for (opcode, mnemonic) in [(0x2e, pick(Ucomiss, Ucomisd)), (0x2f, pick(Comiss, Comisd))]
            {
                one(
                    |a| a.scalar_compare(double, opcode, reg, place),
                    mnemonic,
                    &[reg_is, from],
                );
            }
            for (opcode, mnemonic) in [
                (0x2c, pick(Cvttss2si, Cvttsd2si)),
                (0x2d, pick(Cvtss2si, Cvtsd2si)),
            ] {
                let (word, whole) = (general(reg, 4), general(reg, 8));
                one(
                    |a| a.scalar(double, opcode, reg, place),
                    mnemonic,
                    &[word, from],
                );
                one(
                    |a| a.scalar_wide(double, opcode, reg, place),
                    mnemonic,
                    &[whole, from],
                );
            }
            let from_integer = pick(Cvtsi2ss, Cvtsi2sd);
            one(
                |a| a.scalar(double, 0x2a, reg, place),
                from_integer,
                &[reg_is, operand(place, 4)],
            );
            one(
                |a| a.scalar_wide(double, 0x2a, reg, place),
                from_integer,
                &[reg_is, operand(place, 8)],
            );
            for (opcode, mnemonic) in [
                (0xb9, pick(Vfmadd231ss, Vfmadd231sd)),
                (0xbb, pick(Vfmsub231ss, Vfmsub231sd)),
                (0xbd, pick(Vfnmadd231ss, Vfnmadd231sd)),
                (0xbf, pick(Vfnmsub231ss, Vfnmsub231sd)),
            ] {
                for factor in [XMM0, XMM1, Reg(8), Reg(15)] {
                    one(
                        |a| a.fused(double, opcode, reg, factor, place),
                        mnemonic,
                        &[reg_is, vector(factor), from],
                    );
                }
            }
        });
    }
    for to in registers() {
        for from in registers() {
            one(
                |a| a.scalar_from_general(to, from),
                Movq,
                &[vector(to), general(from, 8)],
            );
            one(
                |a| a.vector_from_general(to, from),
                Movd,
                &[vector(to), general(from, 4)],
            );
            one(
                |a| a.general_from_scalar(to, from),
                Movq,
                &[general(to, 8), vector(from)],
            );
            let both = [vector(to), vector(from)];
            one(|a| a.vector_move(to, from), Movaps, &both);
            one(|a| a.vector(0xef, to, from), Pxor, &both);
            one(|a| a.vector(0x74, to, from), Pcmpeqb, &both);
        }
    }
    for place in memory().into_iter().chain(TARGETS.map(Place::Code)) {
        one(|a| a.float_control(2, place), Ldmxcsr, &[operand(place, 4)]);
        one(|a| a.float_control(3, place), Stmxcsr, &[operand(place, 4)]);
    }
}
