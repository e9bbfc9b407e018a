//! Accesses: straddling ones, devices, permissions, atomic operations among harts.

use super::*;

#[test]
fn straddling_accesses_fault_with_the_part_that_faults() {
    let mut m = Machine::new();
    let table = m.paged();
    m.ram.store(table + 8, (DATA >> 12) << 10 | 0xc7);
    m.set(5, VIRTUAL + 0x2000);
    for offset in 1..8 {
        assert_eq!(
            m.trap(&[ld(6, 5, -offset)], 0),
            (13, VIRTUAL + 0x2000),
            "{offset}"
        );
        assert_eq!(m.trap(&[sd(5, 5, -offset)], 0), (15, VIRTUAL + 0x2000));
        assert_eq!(
            m.ram.load::<u64>(DATA + 0xff8),
            Some(0),
            "nothing is written"
        );
    }
    // The first part is what faults.
    m.set(5, VIRTUAL + 0x1000);
    assert_eq!(m.trap(&[ld(6, 5, -3)], 0), (13, VIRTUAL + 0xffd));
    // Both parts there, in pages apart from each other; a device takes no misaligned access.
    m.ram.store(table + 16, ((DATA >> 12) + 7) << 10 | 0xc7);
    m.hart.core.fence(Fence::ALL_TRANSLATIONS);
    m.set(5, VIRTUAL + 0x2000);
    m.set(7, 0x1122_3344_5566_7788);
    m.run(&[sd(7, 5, -3), ld(6, 5, -3), lw(8, 5, -2), lb(9, 5, 4), ECALL]);
    assert_eq!(
        (m.hart.register(6), m.hart.register(8)),
        (0x1122_3344_5566_7788, 0x4455_6677)
    );
    assert_eq!(m.hart.register(9), 0x11);
    assert_eq!(m.ram.load::<u8>(DATA + 0x7004), Some(0x11));
    m.ram.store(table + 16, (Device::BASE >> 12) << 10 | 0xc7);
    m.hart.core.fence(Fence::ALL_TRANSLATIONS);
    assert_eq!(m.trap(&[sd(7, 5, -3)], 0), (6, VIRTUAL + 0x2000));
    assert_eq!(m.trap(&[ld(7, 5, 1)], 0), (4, VIRTUAL + 0x2001));
}

#[test]
fn devices_are_read_and_written_in_their_width() {
    let mut m = Machine::new();
    m.set(5, Device::BASE);
    m.set(7, 0xaabb_ccdd_eeff_1122);
    m.run(&[
        lb(6, 5, 0),
        lw(8, 5, 0),
        ld(9, 5, 0),
        sb(7, 5, 0),
        sw(7, 5, 0),
        sd(7, 5, 0),
        ECALL,
    ]);
    assert_eq!(
        (m.hart.register(6), m.hart.register(8), m.hart.register(9)),
        (!7, 0x5566_77f8, Device::VALUE)
    );
    let base = Device::BASE;
    let expected = vec![
        (base, 1, 0x22),
        (base, 4, 0xeeff_1122),
        (base, 8, 0xaabb_ccdd_eeff_1122),
    ];
    assert_eq!(*m.device.writes.lock().unwrap(), expected);
}

#[test]
fn fetches_across_pages_fault_with_the_second_page() {
    let mut m = Machine::new();
    let table = m.paged();
    m.ram.store(table, (DATA >> 12) << 10 | 0xcf);
    place(&m.ram, DATA + 0xffe, &[addi(6, 0, 77), jalr(0, 1, 0)]);
    m.set(5, VIRTUAL + 0xffe);
    place(&m.ram, CODE + 4, &[ECALL]);
    let core = m.run(&[jalr(1, 5, 0)]);
    assert_eq!(
        (core.scause, core.stval, core.sepc),
        (12, VIRTUAL + 0x1000, VIRTUAL + 0xffe)
    );
    // Mapped to another frame, which holds the other half.
    m.ram.store(table + 8, ((DATA >> 12) + 5) << 10 | 0xcf);
    place(&m.ram, DATA + 0x5000 - 2, &[addi(6, 0, 78), jalr(0, 1, 0)]);
    m.run(&[jalr(1, 5, 0), ECALL]);
    assert_eq!((m.hart.pc(), m.hart.register(6)), (CODE + 8, 78));
}

#[test]
fn permissions_follow_sum_mxr_and_mode() {
    let mut m = Machine::new();
    let table = m.paged();
    m.ram.store(table, (DATA >> 12) << 10 | 0xd7);
    m.ram.store(table + 8, (DATA >> 12) << 10 | 0xc9);
    m.ram.store(DATA, 5u64);
    m.set(5, VIRTUAL);
    assert_eq!(m.trap(&[ld(6, 5, 0)], 0), (13, VIRTUAL));
    m.set(7, status::SUM);
    m.run(&[
        csrrs(0, SSTATUS, 7),
        ld(6, 5, 0),
        csrrc(0, SSTATUS, 7),
        ECALL,
    ]);
    assert_eq!(m.hart.register(6), 5);
    assert_eq!(
        m.trap(
            &[
                csrrs(0, SSTATUS, 7),
                ld(6, 5, 0),
                csrrc(0, SSTATUS, 7),
                sd(6, 5, 8)
            ],
            3
        ),
        (15, VIRTUAL + 8)
    );
    m.set(5, VIRTUAL + 0x1000);
    m.set(7, status::MXR);
    assert_eq!(m.trap(&[ld(6, 5, 0)], 0), (13, VIRTUAL + 0x1000));
    m.run(&[
        csrrs(0, SSTATUS, 7),
        ld(6, 5, 0),
        csrrc(0, SSTATUS, 7),
        ECALL,
    ]);
    assert_eq!(
        m.trap(&[ld(6, 5, 0)], 0),
        (13, VIRTUAL + 0x1000),
        "MXR is off again"
    );
}

#[test]
fn store_conditional_succeeds_only_on_what_was_reserved() {
    let mut m = Machine::new();
    m.set(5, DATA);
    m.set(7, 99);
    m.ram.store(DATA, 7u64);
    m.run(&[
        atomic(false, 2, 6, 5, 0),
        atomic(false, 3, 8, 5, 7),
        atomic(false, 3, 9, 5, 7),
        ECALL,
    ]);
    assert_eq!(
        (m.hart.register(6), m.hart.register(8), m.hart.register(9)),
        (7, 0, 1)
    );
    // Another size, another place, a store in between.
    m.set(10, DATA + 8);
    m.run(&[
        atomic(true, 2, 6, 5, 0),
        atomic(false, 3, 8, 5, 7),
        atomic(true, 2, 6, 5, 0),
        atomic(true, 3, 9, 10, 7),
        ECALL,
    ]);
    assert_eq!((m.hart.register(8), m.hart.register(9)), (1, 1));
    m.run(&[
        atomic(true, 2, 6, 5, 0),
        sb(0, 5, 0),
        atomic(true, 3, 8, 5, 7),
        ECALL,
    ]);
    assert_eq!(m.hart.register(8), 1);
    assert_eq!(
        m.trap(&[addi(5, 5, 4), atomic(true, 3, 8, 5, 7)], 1),
        (6, DATA + 4)
    );
}

#[test]
fn harts_agree_on_atomic_sums() {
    const TURNS: u64 = 20_000;
    let ram = ram(BASE, LENGTH);
    // amoadd.d, and an increment by lr.d and sc.d.
    let code = [
        atomic(true, 0, 0, 5, 6),
        atomic(true, 2, 8, 9, 0),
        addi(8, 8, 1),
        atomic(true, 3, 11, 9, 8),
        branch(1, 11, 0, -12),
        addi(7, 7, -1),
        branch(1, 7, 0, -24),
        ECALL,
    ];
    place(&ram, CODE, &code);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut hart = hart_with(&ram, Arc::default(), Arc::default());
                hart.start(CODE, 0, 0);
                for (register, value) in [(5, DATA), (6, 1), (7, TURNS), (9, DATA + 64)] {
                    hart.set_register(register, value);
                }
                assert_eq!(hart.run(), Exit::SupervisorCall);
            });
        }
    });
    assert_eq!(
        (ram.load(DATA), ram.load(DATA + 64)),
        (Some(2 * TURNS), Some(2 * TURNS))
    );
}

#[test]
fn a_block_of_zeros_is_a_page() {
    let mut m = Machine::new();
    for offset in (0..0x3000).step_by(8) {
        m.ram.store(DATA + offset, u64::MAX);
    }
    m.set(5, DATA + 0x1234);
    m.run(&[0x0042_a00f, ECALL]);
    for (offset, value) in [
        (0xff8, u64::MAX),
        (0x1000, 0),
        (0x1ff8, 0),
        (0x2000, u64::MAX),
    ] {
        assert_eq!(m.ram.load(DATA + offset), Some(value));
    }
    m.set(5, 0x2000);
    assert_eq!(m.trap(&[0x0042_a00f], 0), (7, 0x2000));
}

translated_too! {
    straddling_accesses_fault_with_the_part_that_faults
    devices_are_read_and_written_in_their_width
    fetches_across_pages_fault_with_the_second_page
    permissions_follow_sum_mxr_and_mode
    store_conditional_succeeds_only_on_what_was_reserved
    harts_agree_on_atomic_sums
    a_block_of_zeros_is_a_page
}
