//! What a generator could write by mistake, and a guest use to get out, is refused.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::translate::x64::assembler::Place;

const OFFSET: usize = 3 << 20;
const STUBS: Stubs = Stubs {
    enter: 0x10_0100,
    leave: 0x10_0200,
    untranslated: 0x10_0300,
    site: 0x10_0400,
};
const LEAVE: u64 = 7;
const SITE: u64 = 5;
/// The lowest bits that a check for eight bytes looks at, and the page.
const WHOLE: i32 = -4096 | 7;

fn leave(a: &mut Assembler) {
    a.constant(RAX, LEAVE);
    a.jump_to(STUBS.leave);
}

/// What is said of code that ends with leaving; nothing if it is right.
fn verdict(write: impl FnOnce(&mut Assembler)) -> Option<String> {
    let mut assembler = Assembler::default();
    assembler.restart(OFFSET);
    write(&mut assembler);
    leave(&mut assembler);
    assembler.finish();
    let code = Code {
        bytes: &assembler.bytes,
        offset: OFFSET,
        stubs: STUBS,
        leaves: 7..8,
        sites: 5..6,
    };
    let looked = catch_unwind(AssertUnwindSafe(|| inspect(&code)));
    looked
        .err()
        .map(|error| *error.downcast::<String>().expect("a sentence"))
}

#[track_caller]
fn refused(why: &str, write: impl FnOnce(&mut Assembler)) {
    match verdict(write) {
        Some(said) if said.contains(why) => {}
        other => panic!("not refused because of \"{why}\": {other:?}"),
    }
}

/// The check of the address in `rsi`, up to the jump where it fails.
fn check(a: &mut Assembler, mask: i32, store: bool) {
    a.rotated(RCX, Place::Register(RSI), 12 - mmu::ENTRY_SHIFT);
    a.load(W64, RDX, Place::Register(RSI));
    a.alu_immediate(Alu::And, W32, Place::Register(RCX), ENTRY_MASK as i32);
    a.alu_immediate(Alu::And, W64, Place::Register(RDX), mask);
    a.alu(Alu::Cmp, W64, RDX, tag(store));
}

fn tag(store: bool) -> Place {
    Place::Indexed(TABLES, RCX, entry_offset(store))
}

fn bias(store: bool) -> Place {
    Place::Indexed(TABLES, RCX, entry_offset(store) + mmu::ENTRY_HOST)
}

/// Goes on only if the check went well.
fn or_leave(a: &mut Assembler) {
    let (slow, on) = (a.label(), a.label());
    a.jump_if(Condition::NotEqual, slow);
    a.jump(on);
    a.bind(slow);
    leave(a);
    a.bind(on);
}

/// A whole check, after which `rdx` leads to the host's address.
fn checked(a: &mut Assembler, mask: i32, store: bool) {
    check(a, mask, store);
    or_leave(a);
    a.load(W64, RDX, bias(store));
}

const GUEST: Place = Place::Indexed(RDX, RSI, 0);

#[test]
fn all_code_of_random_streams_was_looked_at() {
    let before = LOOKED_AT.get();
    crate::lockstep::tests::a_few_streams_are_followed();
    let instructions = LOOKED_AT.get() - before;
    assert!(instructions > 100_000, "{instructions}");
}

#[test]
fn checked_accesses_are_right() {
    let right = verdict(|a| {
        checked(a, WHOLE, true);
        a.store(W64, GUEST, RDI);
        a.load(W32, RDI, GUEST);
        checked(a, -4096, false);
        a.extend_zero(1, RBX, GUEST);
        // A host address that a reservation remembers, and a call of the interpreter.
        checked(a, WHOLE, true);
        a.alu(Alu::Add, W64, RDX, Place::Register(RSI));
        a.store(W64, field(offset_of!(Core, reservation)), RDX);
        a.constant(RAX, SITE);
        a.call_to(STUBS.site);
    });
    assert_eq!(right, None);
}

#[test]
fn accesses_that_were_not_checked_are_refused() {
    refused("an address of Any", |a| {
        a.load(W64, RDI, Place::Memory(RSI, 0));
    });
    refused("an address of Any", |a| a.store8(Place::Memory(R8, 8), RDI));
    refused("an address of Constant", |a| {
        a.constant(RAX, 0x1234_5678_9abc);
        a.store(W64, Place::Memory(RAX, 0), RDI);
    });
    refused("was not checked", |a| {
        check(a, WHOLE, false);
        a.load(W64, RDX, bias(false));
    });
    // The jump is the wrong one, the comparison forgotten, the offset not limited.
    refused("was not checked", |a| {
        check(a, WHOLE, false);
        let on = a.label();
        a.jump_if(Condition::Equal, on);
        a.bind(on);
        a.load(W64, RDX, bias(false));
    });
    refused("was not checked", |a| {
        check(a, WHOLE, false);
        a.test(W64, RSI, RSI);
        let on = a.label();
        a.jump_if(Condition::NotEqual, on);
        a.load(W64, RDX, bias(false));
        a.bind(on);
    });
    refused("was not checked", |a| {
        a.load(W64, RCX, Place::Register(RSI));
        a.alu(Alu::Cmp, W64, RDX, tag(false));
    });
    // A check that only one of two ways has.
    refused("an address of", |a| {
        let on = a.label();
        a.test(W32, RBX, RBX);
        a.load(W64, RDX, Place::Register(RSI));
        a.jump_if(Condition::Equal, on);
        checked(a, WHOLE, false);
        a.bind(on);
        a.load(W64, RDI, GUEST);
    });
    refused("of what was never written", |a| {
        a.load(W64, RDX, Place::Memory(RSP, 8));
        a.load(W64, RDI, GUEST);
    });
    // A remembered page, but not compared with this access's.
    refused("an address of Marked", |a| {
        check(a, WHOLE, false);
        or_leave(a);
        a.store(W64, Place::Memory(RSP, 0), RDX);
        a.load(W64, RCX, bias(false));
        a.store(W64, Place::Memory(RSP, 8), RCX);
        let again = a.label();
        a.test(W32, RBX, RBX);
        a.jump_if(Condition::Equal, again);
        a.constant(RAX, SITE);
        a.call_to(STUBS.site);
        a.bind(again);
        a.load(W64, RDX, Place::Memory(RSP, 8));
        a.load(W64, RDI, GUEST);
    });
}

#[test]
fn checks_for_other_accesses_are_refused() {
    refused("more than Rights", |a| {
        checked(a, WHOLE, false);
        a.store(W64, GUEST, RDI);
    });
    refused("more than Rights", |a| {
        checked(a, -4096 | 3, true);
        a.store(W64, GUEST, RDI);
    });
    refused("more than Rights", |a| {
        checked(a, -4096 | 3, false);
        a.locked_add(W32, GUEST, RDI);
    });
    refused("too far", |a| {
        checked(a, WHOLE, false);
        a.load(W64, RDI, Place::Indexed(RDX, RSI, 8192));
    });
    refused("was not checked", |a| {
        check(a, WHOLE, false);
        or_leave(a);
        a.load(W64, RDX, bias(true));
    });
}

#[test]
fn host_addresses_stay_where_they_are() {
    refused("a host address in a register of the guest", |a| {
        checked(a, WHOLE, false);
        a.mov(RBX, Place::Register(RDX));
    });
    refused("a host address where the guest reads", |a| {
        checked(a, WHOLE, false);
        a.store(W64, Place::Memory(RBP, 8), RDX);
    });
    refused("a host address where the guest reads", |a| {
        checked(a, WHOLE, true);
        a.store(W64, GUEST, RDX);
    });
    refused("a calculation with a host address", |a| {
        checked(a, WHOLE, false);
        a.alu(Alu::Xor, W64, RDI, Place::Register(RDX));
    });
    refused("a register that stays what it is", |a| {
        a.mov(RDI, Place::Register(RSP));
    });
    refused("a calculation with a host address", |a| {
        checked(a, WHOLE, false);
        a.load(W32, RDI, Place::Register(RDX));
    });
}

#[test]
fn the_state_is_kept() {
    refused("a field that generated code leaves alone", |a| {
        a.store(W64, Place::Memory(RBP, -128), RDI);
    });
    refused("a field that generated code leaves alone", |a| {
        a.store(W64, field(offset_of!(Core, mmu)), RDI);
    });
    refused("not of the hart's state", |a| {
        a.load(W64, RDI, field(size_of::<Core>()));
    });
    refused("not of the hart's state", |a| {
        a.load(W64, RDI, Place::Memory(RBP, -(BIAS as i32) - 1));
    });
    refused("not of the stack frame", |a| {
        a.store(W64, Place::Memory(RSP, FRAME), RDI);
    });
    refused("a place that nobody writes", |a| {
        a.alu_immediate(Alu::And, W32, Place::Register(RCX), ENTRY_MASK as i32);
        a.store(W64, tag(false), RDI);
    });
    refused("a register that stays what it is", |a| {
        a.constant(RSP, 1);
    });
    refused("a register that stays what it is", |a| {
        a.load(W64, TABLES, Place::Memory(RBP, 8));
    });
}

#[test]
fn code_goes_only_where_it_may() {
    refused("a jump to nowhere", |a| a.jump_to(STUBS.leave + 1));
    refused("a jump to nowhere", |a| a.jump_to(OFFSET + 1));
    refused("a call to nowhere", |a| a.call_to(OFFSET));
    refused("an indirect jump to nowhere", |a| {
        a.jump_through(Place::Register(RAX));
    });
    refused("an indirect jump to nowhere", |a| {
        a.jump_through(Place::Code(SLOT_BYTES));
    });
    refused("is not in 7..8", |a| {
        a.constant(RAX, LEAVE + 1);
        a.jump_to(STUBS.leave);
    });
    refused("is not in 5..6", |a| a.call_to(STUBS.site));
    refused("no instruction of generated code", |a| a.ret());
    for bytes in [
        &[0x0f, 0x05][..],                     // syscall
        &[0xcd, 0x80],                         // int
        &[0xf4],                               // hlt
        &[0x0f, 0xae, 0xf8],                   // sfence
        &[0x64, 0x48, 0x8b, 0x3d, 0, 0, 0, 0], // by the thread's segment
        &[0x0f, 0xff],                         // not an instruction
        &[0x70, 0x01, 0xb8],                   // a branch into the middle of one
    ] {
        refused("no instruction of generated code", |a| {
            a.bytes.extend_from_slice(bytes);
        });
    }
    let mut assembler = Assembler::default();
    assembler.restart(OFFSET);
    assembler.alu(Alu::Add, W64, RSI, Place::Register(RDI));
    let code = Code {
        bytes: &assembler.bytes,
        offset: OFFSET,
        stubs: STUBS,
        leaves: 0..0,
        sites: 0..0,
    };
    assert!(catch_unwind(AssertUnwindSafe(|| inspect(&code))).is_err());
}
