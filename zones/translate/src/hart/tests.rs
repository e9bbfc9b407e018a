//! Traps, interrupts, registers of control and state, fences among harts, and changing code.

mod access;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::port::{Fence, HartPort};
use crate::testing::assemble::*;
use crate::testing::{Device, hart_with, place, ram, translated_too};

const BASE: u64 = 0x8000_0000;
const LENGTH: usize = 4 << 20;
const CODE: u64 = BASE + 0x1_0000;
const HANDLER: u64 = BASE + 0x2_0000;
const DATA: u64 = BASE + 0x3_0000;
const TABLES: u64 = BASE + 0x10_0000;

const SSTATUS: u32 = 0x100;
const SIE: u32 = 0x104;
const STVEC: u32 = 0x105;
const SEPC: u32 = 0x141;
const SIP: u32 = 0x144;
const SATP: u32 = 0x180;

struct Machine {
    ram: Ram,
    hart: Hart,
    device: Arc<Device>,
    port: Arc<HartPort>,
}

impl Machine {
    fn new() -> Self {
        let (ram, device, port) = (
            ram(BASE, LENGTH),
            Arc::<Device>::default(),
            Arc::<HartPort>::default(),
        );
        let mut hart = hart_with(&ram, Arc::clone(&device), Arc::clone(&port));
        hart.start(CODE, 0, 0);
        // The handler calls the machine, so that every trap comes out of `run`.
        place(&ram, HANDLER, &[ECALL]);
        hart.core.stvec = HANDLER;
        Self {
            ram,
            hart,
            device,
            port,
        }
    }

    /// Runs this code from [`CODE`] until it calls the machine or traps.
    fn run(&mut self, code: &[u32]) -> &Core {
        place(&self.ram, CODE, code);
        self.hart.core.code_may_have_changed = true;
        self.hart.core.pc = CODE;
        assert_eq!(self.hart.run(), Exit::SupervisorCall);
        &self.hart.core
    }

    /// Runs code that must trap at its `index`th word.
    fn trap(&mut self, code: &[u32], index: u64) -> (u64, u64) {
        let core = self.run(code);
        assert_eq!(core.pc, HANDLER + 4, "no trap");
        assert_eq!(core.sepc, CODE + 4 * index);
        (core.scause, core.stval)
    }

    fn set(&mut self, register: usize, value: u64) {
        self.hart.set_register(register, value);
    }

    fn user(&mut self) {
        self.hart.core.set_privilege(Privilege::User);
    }

    /// Sv39 with code, handler and data pages mapped one to one in the lowest GiB's place by a superpage of S-mode, and a
    /// table for [`VIRTUAL`]. Returns that table's address.
    fn paged(&mut self) -> u64 {
        self.ram.store(TABLES + 2 * 8, BASE >> 12 << 10 | 0xcf);
        self.ram.store(TABLES, (TABLES + 0x1000) >> 12 << 10 | 1);
        self.ram
            .store(TABLES + 0x1000, (TABLES + 0x2000) >> 12 << 10 | 1);
        self.hart.core.mmu.set_satp(8 << 60 | TABLES >> 12);
        self.hart.core.change_context();
        TABLES + 0x2000
    }
}

/// First address of the 512 pages under the table that [`Machine::paged`] returns.
const VIRTUAL: u64 = 0;

#[test]
fn synchronous_traps_tell_cause_value_and_place() {
    let mut m = Machine::new();
    assert_eq!(m.trap(&[NOP, 0], 1), (2, 0));
    assert_eq!(m.trap(&[NOP, 0xffff_ffff], 1), (2, 0xffff_ffff));
    assert_eq!(m.trap(&[EBREAK], 0), (3, CODE));
    m.set(5, DATA + 1);
    assert_eq!(
        m.trap(&[NOP, NOP, atomic(false, 0, 6, 5, 7)], 2),
        (6, DATA + 1)
    );
    assert_eq!(m.trap(&[atomic(true, 2, 6, 5, 0)], 0), (4, DATA + 1));
    m.set(5, 0x2000);
    assert_eq!(m.trap(&[lw(6, 5, 4)], 0), (5, 0x2004));
    assert_eq!(m.trap(&[sw(6, 5, 4)], 0), (7, 0x2004));
    assert_eq!(m.trap(&[atomic(false, 0, 6, 5, 7)], 0), (7, 0x2000));
    assert_eq!(m.trap(&[atomic(false, 2, 6, 5, 0)], 0), (5, 0x2000));
    m.set(5, BASE + LENGTH as u64);
    assert_eq!(m.trap(&[ld(6, 5, 0)], 0), (5, BASE + LENGTH as u64));
    assert_eq!(
        m.trap(&[ld(6, 5, -3)], 0),
        (4, BASE + LENGTH as u64),
        "a misaligned access that ends outside RAM"
    );
    // Where no code can be: the trap is at the target.
    let core = m.run(&[jalr(1, 5, 0)]);
    assert_eq!(
        (core.scause, core.stval, core.sepc, core.x[1]),
        (1, BASE + LENGTH as u64, BASE + LENGTH as u64, CODE + 4)
    );
}

#[test]
fn a_trap_saves_the_mode_and_sret_returns_to_it() {
    let mut m = Machine::new();
    m.hart.core.status = status::SIE;
    m.trap(&[EBREAK], 0);
    assert_eq!(
        m.hart.core.status & (status::SIE | status::SPIE | status::SPP),
        status::SPIE | status::SPP
    );
    m.set(5, CODE + 0x100);
    place(&m.ram, CODE + 0x100, &[ECALL]);
    m.user();
    // In U-mode an ecall is a trap into S-mode.
    assert_eq!(m.trap(&[NOP, ECALL], 1), (8, 0));
    assert_eq!(m.hart.core.status & status::SPP, 0);
    assert_eq!(m.hart.privilege(), Privilege::Supervisor);
    m.hart.core.status |= status::SPP | status::SPIE;
    m.run(&[csrrw(0, SEPC, 5), SRET]);
    assert_eq!(m.hart.pc(), CODE + 0x104);
    assert_eq!(
        m.hart.core.status & (status::SIE | status::SPIE | status::SPP),
        status::SIE | status::SPIE
    );
    m.hart.core.status = 0;
    assert_eq!(
        m.trap(&[csrrw(0, SEPC, 5), SRET], 64),
        (8, 0),
        "to U-mode, whose ecall traps"
    );
}

#[test]
fn user_mode_may_not_use_privileged_instructions() {
    for word in [
        SRET,
        WFI,
        sfence_vma(0, 0),
        csrrs(5, SSTATUS, 0),
        csrrs(5, SATP, 0),
        csrrw(0, 0x140, 5),
        0x0042_a00f,
    ] {
        let mut m = Machine::new();
        m.set(5, DATA);
        m.user();
        assert_eq!(m.trap(&[word], 0), (2, u64::from(word)), "{word:#x}");
    }
}

#[test]
fn registers_refuse_those_who_may_not() {
    let mut m = Machine::new();
    // Machine-mode registers, registers that do not exist, writes to read-only ones.
    for (number, write) in [
        (0x300, false),
        (0x341, false),
        (0xf11, false),
        (0x5a8, false),
        (0xc00, true),
        (0xc01, true),
        (0x7a0, false),
    ] {
        let word = if write {
            csrrw(0, number, 5)
        } else {
            csrrs(5, number, 0)
        };
        assert_eq!(m.trap(&[word], 0), (2, u64::from(word)), "{number:#x}");
    }
    // Setting no bits does not write.
    m.run(&[csrrs(5, 0xc00, 0), ECALL]);
    assert_eq!(m.hart.pc(), CODE + 8);
    for enabled in 0..8u64 {
        for counter in 0..3 {
            let mut m = Machine::new();
            m.hart.core.scounteren = enabled;
            m.user();
            let word = csrrs(5, 0xc00 + counter, 0);
            let cause = m.run(&[word, ECALL]).scause;
            assert_eq!(cause, if enabled >> counter & 1 != 0 { 8 } else { 2 });
        }
    }
    // Without floating-point state there are no floating-point registers.
    let mut m = Machine::new();
    for word in [
        csrrs(5, 1, 0),
        csrrs(5, 3, 0),
        fld(1, 5, 0),
        fsd(1, 5, 0),
        0x0220_f0d3,
    ] {
        m.set(5, DATA);
        assert_eq!(m.trap(&[word], 0), (2, u64::from(word)), "{word:#x}");
    }
}

#[test]
fn fields_that_are_fixed_stay_fixed() {
    let mut m = Machine::new();
    m.set(5, u64::MAX);
    m.run(&[
        csrrw(0, SSTATUS, 5),
        csrrs(6, SSTATUS, 0),
        csrrw(0, SSTATUS, 0),
        csrrs(7, SSTATUS, 0),
        ECALL,
    ]);
    assert_eq!(
        m.hart.register(6),
        status::WRITABLE | status::UXL_64 | status::SD
    );
    assert_eq!(m.hart.register(7), status::UXL_64);
    m.run(&[
        csrrw(0, SIE, 5),
        csrrs(6, SIE, 0),
        csrrw(0, STVEC, 5),
        csrrs(7, STVEC, 0),
        csrrw(0, SEPC, 5),
        csrrs(8, SEPC, 0),
        ECALL,
    ]);
    assert_eq!(
        (m.hart.register(6), m.hart.register(7), m.hart.register(8)),
        (0x222, !2, !1)
    );
    m.run(&[
        csrrw(0, 0x106, 5),
        csrrs(6, 0x106, 0),
        csrrw(0, 0x10a, 5),
        csrrs(7, 0x10a, 0),
        csrrwi(0, SIE, 0),
        ECALL,
    ]);
    assert_eq!((m.hart.register(6), m.hart.register(7)), (7, 0xf1));
    let mut m = Machine::new();
    m.set(5, u64::MAX);
    m.hart.core.status = status::FS;
    m.run(&[
        csrrw(0, 3, 5),
        csrrs(6, 3, 0),
        csrrs(7, 2, 0),
        csrrs(8, 1, 0),
        ECALL,
    ]);
    assert_eq!(
        (m.hart.register(6), m.hart.register(7), m.hart.register(8)),
        (0xff, 7, 31)
    );
    // A rounding mode that does not exist makes dynamically rounded operations illegal.
    assert_eq!(m.trap(&[0x0220_f0d3], 0), (2, 0x0220_f0d3));
}

#[test]
fn interrupts_come_in_order_of_priority_and_where_the_vector_says() {
    let mut m = Machine::new();
    for vectored in [false, true] {
        for (cause, offset) in [(9, 36), (1, 4), (5, 20)] {
            place(&m.ram, HANDLER, &[NOP; 16]);
            place(
                &m.ram,
                HANDLER + if vectored { offset } else { 0 },
                &[ECALL],
            );
            m.port.set_external_interrupt(cause == 9);
            m.port.write_software_pending(matches!(cause, 9 | 1));
            m.hart.set_timer(0);
            m.hart.core.status = 0;
            m.set(5, 0x222);
            m.set(6, HANDLER | u64::from(vectored));
            m.run(&[
                csrrw(0, STVEC, 6),
                csrrw(0, SIE, 5),
                csrrs(7, SIP, 0),
                csrrs(0, SSTATUS, 8),
                NOP,
                ECALL,
            ]);
            assert_eq!(m.hart.pc(), CODE + 24, "interrupts are off");
            m.set(8, status::SIE);
            m.run(&[
                csrrw(0, STVEC, 6),
                csrrw(0, SIE, 5),
                csrrs(7, SIP, 0),
                csrrs(0, SSTATUS, 8),
                NOP,
                ECALL,
            ]);
            let core = &m.hart.core;
            assert_eq!(
                (core.scause, core.stval, core.sepc),
                (INTERRUPT | cause, 0, CODE + 16)
            );
            assert_eq!(core.pc, HANDLER + if vectored { offset } else { 0 } + 4);
            m.set(8, 0);
        }
    }
    // U-mode is interrupted whatever sstatus.SIE says, but only by what is enabled.
    let mut m = Machine::new();
    m.port.raise_software_interrupt();
    m.hart.core.sie = SEIP;
    m.user();
    assert_eq!(m.trap(&[NOP, ECALL], 1), (8, 0));
    m.hart.core.sie = SSIP;
    m.user();
    assert_eq!(m.trap(&[NOP, ECALL], 0), (INTERRUPT | 1, 0));
}

#[test]
fn a_second_pending_interrupt_follows_as_soon_as_the_first_is_done() {
    let mut m = Machine::new();
    place(&m.ram, HANDLER, &[csrrs(0, SIP, 0), ECALL, SRET]);
    m.port.set_external_interrupt(true);
    m.port.raise_software_interrupt();
    m.hart.core.sie = SEIP | SSIP;
    m.hart.core.status = status::SIE;
    m.run(&[NOP, jal(0, -4)]);
    assert_eq!(m.hart.core.scause, INTERRUPT | 9);
    m.port.set_external_interrupt(false);
    let before = m.hart.retired();
    assert_eq!(m.hart.run(), Exit::SupervisorCall);
    assert_eq!(m.hart.core.scause, INTERRUPT | 1);
    assert!(
        m.hart.retired() - before < 8,
        "{}",
        m.hart.retired() - before
    );
}

#[test]
fn software_interrupt_is_set_and_cleared_by_the_guest() {
    let mut m = Machine::new();
    m.set(5, SSIP | SEIP | STIP);
    m.run(&[
        csrrs(0, SIP, 5),
        csrrs(6, SIP, 0),
        csrrc(0, SIP, 5),
        csrrs(7, SIP, 0),
        ECALL,
    ]);
    assert_eq!((m.hart.register(6), m.hart.register(7)), (SSIP, 0));
}

#[test]
fn counters_count_and_the_clock_of_instructions_repeats() {
    let mut m = Machine::new();
    m.run(&[
        csrrs(5, 0xc02, 0),
        NOP,
        NOP,
        csrrs(6, 0xc02, 0),
        csrrs(7, 0xc00, 0),
        ECALL,
    ]);
    assert_eq!(m.hart.register(6) - m.hart.register(5), 3);
    assert_eq!(m.hart.register(7) - m.hart.register(6), 1);
    let run = || {
        let mut m = Machine::new();
        m.set(5, 100_000);
        m.run(&[
            addi(5, 5, -1),
            branch(1, 5, 0, -4),
            csrrs(6, 0xc01, 0),
            ECALL,
        ]);
        (m.hart.register(6), m.hart.retired())
    };
    assert_eq!(run(), run());
    assert_eq!(run(), (20_000, 200_002));
}

#[test]
fn waiting_ends_when_an_enabled_interrupt_is_pending() {
    // The timer: with a clock of instructions the hart jumps to it.
    let mut m = Machine::new();
    m.set(5, 1_000_000);
    m.set(6, STIP);
    m.run(&[
        csrrw(0, 0x14d, 5),
        csrrw(0, SIE, 6),
        WFI,
        csrrs(7, 0xc01, 0),
        ECALL,
    ]);
    assert_eq!(
        m.hart.pc(),
        CODE + 20,
        "interrupts are off: it only wakes up"
    );
    assert_eq!(m.hart.register(7), 1_000_000);
    // Another thread.
    let mut m = Machine::new();
    m.hart.core.sie = SSIP;
    let port = Arc::clone(&m.port);
    let other = std::thread::spawn(move || port.raise_software_interrupt());
    m.run(&[WFI, ECALL]);
    assert_eq!(m.hart.pc(), CODE + 8);
    other.join().unwrap();
}

#[test]
fn stop_ends_loops_and_waits_until_it_is_cleared() {
    for code in [&[jal(0, 0)][..], &[WFI][..]] {
        let mut m = Machine::new();
        place(&m.ram, CODE, code);
        let port = Arc::clone(&m.port);
        let other = std::thread::spawn(move || port.stop());
        assert_eq!(m.hart.run(), Exit::Stopped);
        other.join().unwrap();
        assert_eq!(m.hart.run(), Exit::Stopped, "still");
        m.port.clear_stop();
        m.run(&[ECALL]);
    }
}

#[test]
fn fences_that_others_ask_for_are_done_wherever_the_hart_is() {
    for code in [&[jal(0, 0)][..], &[WFI, jal(0, -4)], &[PAUSE, jal(0, -4)]] {
        let mut m = Machine::new();
        place(&m.ram, CODE, code);
        let port = Arc::clone(&m.port);
        let other = std::thread::spawn(move || {
            for _ in 0..100 {
                let ticket = port.ask_fence(Fence::ALL_TRANSLATIONS).unwrap();
                assert!(port.wait_for_fence(ticket, Duration::from_secs(60)));
            }
            port.stop();
        });
        assert_eq!(m.hart.run(), Exit::Stopped);
        other.join().unwrap();
    }
    // A hart that does not run counts as fenced, and does the fence before it runs again.
    let m = &mut Machine::new();
    m.port.begin_to_run();
    let ticket = m.port.ask_fence(Fence::ALL_TRANSLATIONS).unwrap();
    assert!(!m.port.wait_for_fence(ticket, Duration::ZERO));
    m.port.end_of_run();
    assert!(m.port.wait_for_fence(ticket, Duration::ZERO));
    m.run(&[ECALL]);
    assert!(m.port.wait_for_fence(ticket, Duration::ZERO));
}

#[test]
fn a_hart_that_pauses_still_sees_its_timer() {
    let mut m = Machine::new();
    // The clock of instructions stands for the host's: what counts is that the hart looks long before a slice is over.
    place(&m.ram, CODE, &[PAUSE, jal(0, -4)]);
    m.hart.core.sie = STIP;
    m.hart.core.status = status::SIE;
    m.hart.core.stimecmp = 30;
    m.hart.core.status_changed();
    place(&m.ram, HANDLER, &[ECALL]);
    while !matches!(m.hart.run_slice(SLICE), Pause::Exit(_)) {}
    assert_eq!(m.hart.core.scause, INTERRUPT | 5);
    let sepc = m.hart.core.sepc;
    assert!((CODE..CODE + 8).contains(&sepc), "{sepc:#x}");
    assert!(m.hart.retired() < 10_000, "{}", m.hart.retired());
}

#[test]
fn a_fence_for_another_address_space_is_not_waited_for() {
    let mut m = Machine::new();
    let table = m.paged();
    let satp = m.hart.core.mmu.satp();
    m.ram.store(table, (DATA >> 12) << 10 | 0xc7);
    m.hart.core.set_satp(satp | 7 << 44);
    m.set(5, VIRTUAL);
    m.run(&[ld(6, 5, 0), ECALL]);
    m.hart.core.set_satp(satp | 8 << 44);
    m.ram.store(table, 0u64);
    assert!(
        m.port
            .ask_fence(Fence::range(VIRTUAL, 4096, Some(8)))
            .is_some()
    );
    assert_eq!(m.port.ask_fence(Fence::range(VIRTUAL, 4096, Some(7))), None);
    // It is done before the hart uses the space again.
    m.set(7, satp | 7 << 44);
    assert_eq!(m.trap(&[csrrw(0, 0x180, 7), ld(6, 5, 0)], 1), (13, VIRTUAL));
    // So many that they become one for all.
    for number in 0..100 {
        m.port.ask_fence(Fence::range(number << 12, 4096, Some(9)));
    }
    m.ram.store(table, (DATA >> 12) << 10 | 0xc7);
    m.run(&[ld(6, 5, 0), ECALL]);
    m.ram.store(table, 0u64);
    for number in 0..100 {
        m.port.ask_fence(Fence::range(number << 12, 4096, Some(9)));
    }
    assert_eq!(m.trap(&[ld(6, 5, 0)], 0), (13, VIRTUAL));
}

#[test]
fn a_fence_from_elsewhere_drops_old_translations() {
    let mut m = Machine::new();
    let table = m.paged();
    m.ram.store(table, (DATA >> 12) << 10 | 0xc7);
    m.set(5, VIRTUAL);
    m.run(&[ld(6, 5, 0), ECALL]);
    m.ram.store(table, 0u64);
    m.run(&[ld(6, 5, 0), ECALL]);
    assert_eq!(
        m.hart.pc(),
        CODE + 8,
        "no fence yet: the old translation may serve"
    );
    m.port.ask_fence(Fence::ALL_TRANSLATIONS);
    assert_eq!(m.trap(&[ld(6, 5, 0)], 0), (13, VIRTUAL));
}

#[test]
pub(crate) fn address_fences_and_new_roots_take_effect_at_once() {
    let mut m = Machine::new();
    let table = m.paged();
    m.ram.store(table, (DATA >> 12) << 10 | 0xc7);
    m.ram.store(DATA, 1u64);
    m.ram.store(DATA + 0x1000, 2u64);
    m.set(5, VIRTUAL);
    m.set(7, table);
    m.set(8, ((DATA + 0x1000) >> 12) << 10 | 0xc7);
    m.run(&[
        ld(6, 5, 0),
        sd(8, 7, 0),
        sfence_vma(5, 0),
        ld(9, 5, 0),
        ECALL,
    ]);
    assert_eq!((m.hart.register(6), m.hart.register(9)), (1, 2));
    // Another root: the same addresses, one page changed; and back.
    let other = TABLES + 0x8000;
    m.ram.store(other + 16, BASE >> 12 << 10 | 0xcf);
    m.ram.store(other, BASE >> 12 << 10 | 0xc7);
    m.ram.store(BASE, 3u64);
    m.set(7, 8 << 60 | other >> 12);
    m.set(8, 8 << 60 | TABLES >> 12);
    m.run(&[
        csrrw(0, SATP, 7),
        ld(6, 5, 0),
        csrrw(0, SATP, 8),
        ld(9, 5, 0),
        csrrw(10, SATP, 0),
        ld(11, 7, 0),
    ]);
    assert_eq!((m.hart.register(6), m.hart.register(9)), (3, 2));
    assert_eq!(
        m.hart.core.scause, 5,
        "bare: the root's value is no address"
    );
}

#[test]
pub(crate) fn changed_code_runs_after_its_fence() {
    let mut m = Machine::new();
    let patch = CODE + 0x40;
    place(&m.ram, patch, &[addi(10, 0, 1), jalr(0, 1, 0)]);
    m.set(5, patch);
    m.set(6, u64::from(addi(10, 10, 1)));
    m.set(20, 200);
    // Each turn adds one to the instruction's immediate, and calls it.
    let step = 1 << 20;
    m.set(7, step);
    let code = [
        lw(6, 5, 0),
        add(6, 6, 7),
        sw(6, 5, 0),
        FENCE_I,
        jalr(1, 5, 0),
        add(11, 11, 10),
        addi(20, 20, -1),
        branch(1, 20, 0, -28),
        ECALL,
    ];
    m.run(&code);
    assert_eq!(m.hart.register(10), 201);
    assert_eq!(m.hart.register(11), (2..=201).sum::<u64>());
}

#[test]
fn conditional_zeros_of_zicond() {
    let mut m = Machine::new();
    for (value, condition) in [(5, 0), (5, 1), (u64::MAX, u64::MAX), (0, 0)] {
        m.set(5, value);
        m.set(6, condition);
        m.run(&[
            r_type(0x33, 5, 7, 7, 5, 6),
            r_type(0x33, 7, 7, 8, 5, 6),
            ECALL,
        ]);
        let expected = if condition == 0 {
            (0, value)
        } else {
            (value, 0)
        };
        assert_eq!((m.hart.register(7), m.hart.register(8)), expected);
    }
}

#[test]
fn zeros_of_words_are_counted_in_the_low_half_alone() {
    let mut m = Machine::new();
    for (value, leading, trailing) in [
        (1 << 63, 32, 32),
        (0, 32, 32),
        (1 << 33 | 1 << 4, 27, 4),
        (u64::MAX, 0, 0),
    ] {
        m.set(5, value);
        m.run(&[
            i_type(0x1b, 1, 7, 5, 0x600),
            i_type(0x1b, 1, 8, 5, 0x601),
            ECALL,
        ]);
        let found = (m.hart.register(7), m.hart.register(8));
        assert_eq!(found, (leading, trailing), "{value:#x}");
    }
}

#[test]
fn x0_stays_zero_whoever_writes_it() {
    let mut m = Machine::new();
    m.set(5, DATA);
    m.ram.store(DATA, u64::MAX);
    m.run(&[
        ld(0, 5, 0),
        addi(0, 5, 1),
        jal(0, 4),
        atomic(true, 0, 0, 5, 5),
        csrrs(0, 0xc00, 0),
        add(6, 0, 0),
        ECALL,
    ]);
    assert_eq!((m.hart.register(0), m.hart.register(6)), (0, 0));
}

#[test]
fn a_hart_starts_as_firmware_leaves_it() {
    let mut m = Machine::new();
    m.hart.core.status = status::SIE | status::SUM;
    m.hart.core.x[7] = 9;
    m.paged();
    m.hart.start(CODE + 1, 3, 4);
    assert_eq!(
        (
            m.hart.pc(),
            m.hart.register(10),
            m.hart.register(11),
            m.hart.register(7)
        ),
        (CODE, 3, 4, 0)
    );
    assert_eq!((m.hart.core.status, m.hart.core.mmu.satp()), (0, 0));
}

translated_too! {
    synchronous_traps_tell_cause_value_and_place
    a_trap_saves_the_mode_and_sret_returns_to_it
    user_mode_may_not_use_privileged_instructions
    registers_refuse_those_who_may_not
    fields_that_are_fixed_stay_fixed
    interrupts_come_in_order_of_priority_and_where_the_vector_says
    a_second_pending_interrupt_follows_as_soon_as_the_first_is_done
    software_interrupt_is_set_and_cleared_by_the_guest
    counters_count_and_the_clock_of_instructions_repeats
    waiting_ends_when_an_enabled_interrupt_is_pending
    stop_ends_loops_and_waits_until_it_is_cleared
    fences_that_others_ask_for_are_done_wherever_the_hart_is
    a_hart_that_pauses_still_sees_its_timer
    a_fence_for_another_address_space_is_not_waited_for
    a_fence_from_elsewhere_drops_old_translations
    address_fences_and_new_roots_take_effect_at_once
    changed_code_runs_after_its_fence
    conditional_zeros_of_zicond
    zeros_of_words_are_counted_in_the_low_half_alone
    x0_stays_zero_whoever_writes_it
    a_hart_starts_as_firmware_leaves_it
}
