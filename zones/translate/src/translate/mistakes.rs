//! Mistakes that a translator could make, made on purpose: the tests must find each of them. What they find in the wrong code, they
//! would find in the wrong generator.

use std::cell::Cell;
use std::panic::catch_unwind;

use super::compiler;
use super::trace::Trace;
use crate::op::{Kind, SINK};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A word is loaded, or added, without its sign.
    SignForgotten,
    /// A byte is loaded with a sign that it does not have.
    SignInvented,
    /// A comparison has the wrong signedness.
    Unsigned,
    /// A branch goes the other way where its operands are equal.
    EqualTaken,
    /// Half of a double word is stored.
    HalfStored,
    /// A fault is told at the next instruction.
    FaultPlace,
    /// A failed store-conditional stores.
    LostFailure,
    /// An atomic operation that keeps the larger compares without signs.
    AtomicSign,
    /// A shift takes one bit less.
    ShiftShort,
    /// The rounding mode of the instruction is forgotten.
    RoundingForgotten,
    /// A product and sum are fused with the wrong sign.
    FusedSign,
    /// A number is less than itself.
    LessThanItself,
    /// An instruction is not counted.
    NotCounted,
    /// Code is not looked at again after its fence.
    StaleCode,
    /// A fence for one page drops nothing.
    StaleTranslation,
    /// Nobody learns that a hart is about to store to a page.
    StoreUntold,
    /// Nobody learns that somebody else, such as a device, is about to write to a page.
    WriteUntold,
    /// What is cached for stores is kept when a page gets watched, or protected.
    StoresKept,
    /// A page's protection is lifted before it is copied.
    LiftedEarly,
    /// A snapshot's instant does not wait until the harts stand still.
    NotAwaited,
    /// A page is watched though somebody is in the middle of a write.
    WatchedInWrite,
    /// Code that was made of what has changed is still entered.
    DeadEntered,
    /// What was found by virtual address is found so still, after it has changed.
    JumpsKept,
    /// A region keeps its registers where the budget runs out between two of its traces.
    RegistersKept,
    /// Going from one trace of a region to another is not counted.
    WayNotCounted,
    /// A loop that counts makes a turn more.
    TurnTooMany,
    /// A counter that is no 32-bit value yet is taken for one.
    CounterNotWord,
    /// A loop without checks goes on for a turn beyond its page.
    PageOverrun,
    /// Accesses that go by one check may reach into the next page.
    GroupOverrun,
    /// What a branch may skip is counted where it is done, and once more later.
    CountedTwice,
    /// What was asked for is put in place although it has changed meanwhile.
    OldInstalled,
}

thread_local! {
    static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// What this thread makes now, for threads that it starts.
pub(crate) fn made() -> Option<Mistake> {
    MADE.get()
}

/// Makes the mistakes of another thread.
pub(crate) fn make(mistake: Option<Mistake>) {
    MADE.set(mistake);
}

/// Whether this thread makes it now.
pub(crate) fn is_made(mistake: Mistake) -> bool {
    MADE.get() == Some(mistake)
}

/// Changes what is translated.
pub(super) fn spoil(trace: &mut Trace) {
    use Kind::*;
    let Some(mistake) = MADE.get() else { return };
    for step in &mut trace.steps {
        let op = &mut step.op;
        let is_access = matches!(
            op.kind,
            Lb | Lh | Lw | Ld | Lbu | Lhu | Lwu | Sb | Sh | Sw | Sd | Flw | Fld | Fsw | Fsd
        );
        op.kind = match (mistake, op.kind) {
            (Mistake::SignForgotten, Lw) => Lwu,
            (Mistake::SignForgotten, Addiw) => Addi,
            (Mistake::SignInvented, Lbu) => Lb,
            (Mistake::Unsigned, Blt) => Bltu,
            (Mistake::Unsigned, Slt) => Sltu,
            // `bge` with its operands the other way round: "less or equal" for "less".
            (Mistake::EqualTaken, Blt) => {
                std::mem::swap(&mut op.rs1, &mut op.rs2);
                Bge
            }
            (Mistake::HalfStored, Sd) => Sw,
            (Mistake::FaultPlace, kind) if is_access => {
                step.pc += u64::from(op.length);
                kind
            }
            (Mistake::LostFailure, ScW) => AmoswapW,
            (Mistake::LostFailure, ScD) => AmoswapD,
            (Mistake::AtomicSign, AmomaxW) => AmomaxuW,
            (Mistake::AtomicSign, AmomaxD) => AmomaxuD,
            (Mistake::ShiftShort, kind @ (Slli | Srli | Srai)) => {
                op.imm &= !1;
                kind
            }
            (Mistake::RoundingForgotten, kind @ (FaddD | FmulD | FdivD | FaddS | FcvtSD)) => {
                op.rm = 0;
                kind
            }
            (Mistake::FusedSign, FmsubD) => FmaddD,
            (Mistake::LessThanItself, FltD) => FleD,
            (Mistake::LessThanItself, FltS) => FleS,
            (_, kind) => kind,
        };
    }
    if mistake == Mistake::NotCounted {
        let is_nothing = |kind, rd| kind == Nop || kind == Li && rd == SINK;
        trace
            .steps
            .retain(|step| !is_nothing(step.op.kind, step.op.rd));
    }
}

/// Whether the check fails when this mistake is made.
fn is_found(mistake: Mistake, check: fn()) -> bool {
    MADE.set(Some(mistake));
    let found = catch_unwind(check).is_err();
    MADE.set(None);
    found
}

#[test]
fn every_mistake_is_found() {
    use crate::descriptors::{snapshot, watch};
    use crate::{differential, hart, lockstep, testing};
    let followed: fn() = lockstep::tests::a_few_streams_are_followed;
    let wound: fn() = super::tests::a_few_loops_and_mazes_are_followed;
    let computed: fn() = || {
        testing::TRANSLATE.set(false);
        differential::qemu::a_small_program_agrees();
    };
    let changed = || {
        testing::TRANSLATE.set(true);
        hart::tests::changed_code_runs_after_its_fence();
    };
    let fenced = || {
        testing::TRANSLATE.set(true);
        hart::tests::address_fences_and_new_roots_take_effect_at_once();
    };
    let written = || {
        testing::TRANSLATE.set(true);
        watch::tests::code_runs_as_it_was_last_written();
    };
    // Translated, this one would go round for ever.
    let found = || {
        testing::TRANSLATE.set(false);
        watch::tests::code_runs_as_it_was_last_written();
    };
    let relied: fn() = watch::tests::reliance_ends_before_writes;
    let cached = || {
        testing::TRANSLATE.set(true);
        snapshot::tests::all_ask_again_after_the_instant();
    };
    let raced = || {
        testing::TRANSLATE.set(true);
        // On a busy host, threads meet less often.
        for _ in 0..if made().is_some() { 20 } else { 1 } {
            snapshot::tests::snapshots_are_what_was_there(25);
        }
    };
    let late: fn() = compiler::tests::a_few_changes;
    // Without a mistake they pass.
    followed();
    computed();
    changed();
    fenced();
    written();
    found();
    relied();
    cached();
    raced();
    wound();
    late();
    let missed: Vec<Mistake> = [
        (Mistake::SignForgotten, followed),
        (Mistake::SignInvented, followed),
        (Mistake::Unsigned, followed),
        (Mistake::EqualTaken, followed),
        (Mistake::HalfStored, followed),
        (Mistake::FaultPlace, followed),
        (Mistake::LostFailure, followed),
        (Mistake::AtomicSign, followed),
        (Mistake::ShiftShort, followed),
        (Mistake::RoundingForgotten, computed),
        (Mistake::FusedSign, computed),
        (Mistake::LessThanItself, computed),
        (Mistake::NotCounted, followed),
        (Mistake::StaleCode, changed),
        (Mistake::StaleTranslation, fenced),
        (Mistake::StoreUntold, written),
        (Mistake::StoreUntold, cached),
        (Mistake::WriteUntold, written),
        (Mistake::WriteUntold, cached),
        (Mistake::StoresKept, written),
        (Mistake::StoresKept, cached),
        (Mistake::LiftedEarly, raced),
        (Mistake::NotAwaited, raced),
        (Mistake::WatchedInWrite, relied),
        (Mistake::DeadEntered, written),
        (Mistake::JumpsKept, found),
        (Mistake::RegistersKept, wound),
        (Mistake::WayNotCounted, wound),
        (Mistake::TurnTooMany, wound),
        (Mistake::CounterNotWord, wound),
        (Mistake::PageOverrun, wound),
        (Mistake::GroupOverrun, followed),
        (Mistake::CountedTwice, wound),
        (Mistake::OldInstalled, late),
    ]
    .into_iter()
    .filter(|(mistake, check)| !is_found(*mistake, *check))
    .map(|(mistake, _)| mistake)
    .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
