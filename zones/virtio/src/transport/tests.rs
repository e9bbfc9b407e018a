//! The register window under honest and hostile drivers, and queues that break every rule of section 2.7.

#![allow(clippy::cast_possible_truncation, reason = "test values are small")]

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::queues::Outcome;
use crate::testing::{BUFFERS, Driver, INDIRECT, Line, NEXT, RAM, RAM_SIZE, RawDescriptor, WRITE};

/// Copies what it reads to where it may write.
struct Echo {
    configuration: [u8; 8],
    resets: u32,
}

impl Device for Echo {
    fn device_type(&self) -> u32 {
        42
    }

    fn features(&self) -> u64 {
        0b1010
    }

    fn queue_sizes(&self) -> &[u16] {
        &[16, 256]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        crate::device::copy_config(&self.configuration, offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        crate::wire::put(&mut self.configuration, offset, data);
    }

    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken> {
        queues.serve(queue, |memory, chain| {
            let count = chain.readable.remaining().min(chain.writable.remaining());
            let mut bytes = vec![0; usize::try_from(count).unwrap()];
            chain.readable.read(memory, &mut bytes)?;
            chain.writable.write(memory, &bytes)?;
            Ok(Outcome::Used(chain.writable.passed()))
        })
    }

    fn reset(&mut self) {
        self.resets += 1;
    }
}

fn plug(slot: Slot) -> Transport {
    let device = Echo {
        configuration: *b"ABCDEFGH",
        resets: 0,
    };
    Handle::plug(slot, device).transport()
}

fn descriptor(address: u64, length: u32, flags: u16, next: u16) -> RawDescriptor {
    RawDescriptor {
        address,
        length,
        flags,
        next,
    }
}

#[test]
fn the_window_identifies_the_device() {
    let driver = Driver::plug(plug);
    let registers = [0, 4, 8, 0x0c, 0x34, 0xfc, 0xb0, 0xb4, 0xb8, 0xbc];
    let values = registers.map(|offset| driver.read32(offset));
    let ones = u32::MAX;
    let expected = [0x7472_6976, 2, 42, VENDOR, 16, 0, ones, ones, ones, ones];
    assert_eq!(values, expected);
    assert_eq!(driver.offered(), COMMON_FEATURES | 0b1010);
    driver.write32(0x14, 2);
    assert_eq!(driver.read32(0x10), 0);
    driver.write32(0x30, 1);
    assert_eq!(driver.read32(0x34), 256);
    for absent in [2, 7, u32::MAX] {
        driver.write32(0x30, absent);
        assert_eq!(driver.read32(0x34), 0);
    }
}

#[test]
fn odd_accesses_read_zero_and_change_nothing() {
    let driver = Driver::plug(plug);
    for (offset, length) in [
        (0, 1),
        (0, 2),
        (0, 8),
        (2, 4),
        (1, 4),
        (0, 0),
        (0x48, 4),
        (u64::MAX, 4),
        (1 << 32, 4),
    ] {
        let mut data = vec![0xaa; length];
        driver.transport.read(offset, &mut data);
        assert!(data.iter().all(|byte| *byte == 0), "{offset:#x} {length}");
    }
    driver.transport.write(0x70, &[1]);
    driver.transport.write(0x70, &[1, 0, 0, 0, 0, 0, 0, 0]);
    driver.transport.write(0x71, &[1, 0, 0, 0]);
    assert_eq!(driver.status(), 0);
}

#[test]
fn the_configuration_space_takes_any_size() {
    let driver = Driver::plug(plug);
    assert_eq!(driver.config(1), *b"BCD");
    assert_eq!(driver.config(6), *b"GH\0\0");
    assert_eq!(driver.config(100), [0; 16]);
    driver.transport.write(0x102, b"xyz");
    assert_eq!(&driver.config::<8>(0), b"ABxyzFGH");
    driver.transport.write(0x107, b"12");
    assert_eq!(&driver.config::<8>(0), b"ABxyzFG1");
    driver.transport.write(u64::MAX, b"12");
}

#[test]
fn features_must_be_offered_and_modern() {
    let driver = Driver::plug(plug);
    for bad in [0, 0b10, 1 << 32 | 1, 1 << 32 | 1 << 34, u64::MAX] {
        driver.write32(0x70, 0);
        driver.write32(0x70, 3);
        driver.accept(bad);
        driver.write32(0x70, 0xb);
        assert_eq!(driver.status(), 3, "features {bad:#x}");
        driver.write32(0x70, 0xf);
        assert_eq!(driver.status(), 3, "DRIVER_OK without FEATURES_OK");
    }
}

#[test]
fn features_are_frozen_once_accepted() {
    let driver = Driver::plug(plug);
    driver.write32(0x70, 3);
    driver.accept(1 << 32);
    driver.write32(0x70, 0xb);
    driver.accept(u64::MAX);
    driver.write32(0x70, 0xf);
    assert_eq!(driver.status(), 0xf);
    // Event index was not accepted: the available ring's flag rules, not the event field.
    driver.set_up_queue(0, 16);
    driver.write32(0x44, 1);
    driver.put_descriptor(driver.table(0), 0, descriptor(BUFFERS, 4, WRITE, 0));
    let available = driver.table(0) + 0x8000;
    driver
        .memory
        .write_obj(1_u16, GuestAddress(available))
        .unwrap();
    driver.set_available_index(0, 1);
    driver.notify(0);
    assert!(!driver.line.high(), "the driver asked for no interrupts");
    driver
        .memory
        .write_obj(0_u16, GuestAddress(available))
        .unwrap();
    driver.set_available_index(0, 2);
    driver.notify(0);
    assert!(driver.line.high());
}

#[test]
fn a_request_is_echoed_and_the_line_follows_the_status() {
    let mut driver = Driver::started(plug);
    let (length, answer) = driver.request(1, &[b"he", b"llo"], &[1, 10]).unwrap();
    assert_eq!(length, 5);
    assert_eq!(&answer[..5], b"hello");
    assert!(driver.line.high());
    driver.write32(0x64, 2);
    assert!(driver.line.high());
    driver.write32(0x64, u32::MAX);
    assert!(!driver.line.high());
    assert_eq!(driver.read32(0x60), 0);
}

#[test]
fn interrupts_come_when_the_event_index_is_passed() {
    let mut driver = Driver::started(plug);
    let event = GuestAddress(driver.table(0) + 0x8000 + 4 + 16 * 2);
    driver.memory.write_obj(1_u16, event).unwrap();
    for index in 0..4 {
        driver.lay_out(0, index * 2, BUFFERS + u64::from(index) * 64, &[b"a"], &[1]);
    }
    driver.offer(0, 0);
    driver.notify(0);
    assert!(!driver.line.high(), "the driver waits for the second");
    driver.offer(0, 2);
    driver.notify(0);
    assert!(driver.line.high());
    assert_eq!(driver.line.edges(), 1);
}

#[test]
fn indirect_chains_work() {
    let mut driver = Driver::started(plug);
    let table = BUFFERS + 0x1000;
    driver
        .memory
        .write_slice(b"indirect", GuestAddress(BUFFERS))
        .unwrap();
    driver.put_descriptor(table, 0, descriptor(BUFFERS, 8, NEXT, 2));
    driver.put_descriptor(table, 2, descriptor(BUFFERS + 64, 8, WRITE, 0));
    driver.put_descriptor(driver.table(0), 3, descriptor(table, 48, INDIRECT, 0));
    driver.offer(0, 3);
    driver.notify(0);
    assert_eq!(driver.used(0), Some((3, 8)));
    let answer: [u8; 8] = driver.memory.read_obj(GuestAddress(BUFFERS + 64)).unwrap();
    assert_eq!(&answer, b"indirect");
}

#[test]
fn broken_chains_stop_the_device_until_a_reset() {
    let end = RAM + RAM_SIZE;
    let inner = BUFFERS + 0x1000;
    // Name, the queue's own table from descriptor 0 on, and an indirect table at `inner`.
    type Table<'a> = &'a [RawDescriptor];
    let d = descriptor;
    let cases: &[(&str, Table, Table)] = &[
        (
            "a descriptor that is its own next",
            &[d(BUFFERS, 1, NEXT, 0)],
            &[],
        ),
        (
            "a loop of two",
            &[d(BUFFERS, 1, NEXT, 1), d(BUFFERS, 1, NEXT, 0)],
            &[],
        ),
        ("next past the table", &[d(BUFFERS, 1, NEXT, 16)], &[]),
        ("next 65535", &[d(BUFFERS, 1, NEXT, u16::MAX)], &[]),
        ("length zero", &[d(BUFFERS, 0, 0, 0)], &[]),
        ("writable length zero", &[d(BUFFERS, 0, WRITE, 0)], &[]),
        ("address 0", &[d(0, 1, 0, 0)], &[]),
        ("one byte past memory", &[d(end - 1, 2, 0, 0)], &[]),
        ("just below memory", &[d(RAM - 1, 2, WRITE, 0)], &[]),
        ("wrapping address", &[d(u64::MAX, 2, 0, 0)], &[]),
        (
            "wrapping length",
            &[d(u64::MAX - 16, u32::MAX, WRITE, 0)],
            &[],
        ),
        ("all of memory and more", &[d(RAM, u32::MAX, WRITE, 0)], &[]),
        (
            "readable after writable",
            &[d(BUFFERS, 1, NEXT | WRITE, 1), d(BUFFERS, 1, 0, 0)],
            &[],
        ),
        (
            "too many bytes",
            &[
                d(RAM, 16 << 20, NEXT, 1),
                d(RAM, 16 << 20, NEXT, 2),
                d(RAM, 1, 0, 0),
            ],
            &[],
        ),
        (
            "indirect with next",
            &[d(inner, 16, INDIRECT | NEXT, 1), d(BUFFERS, 1, 0, 0)],
            &[d(BUFFERS, 1, 0, 0)],
        ),
        ("empty indirect table", &[d(inner, 0, INDIRECT, 0)], &[]),
        (
            "indirect table of 24 bytes",
            &[d(inner, 24, INDIRECT, 0)],
            &[d(BUFFERS, 1, 0, 0)],
        ),
        (
            "indirect table too long",
            &[d(inner, 1025 * 16, INDIRECT, 0)],
            &[d(BUFFERS, 1, 0, 0)],
        ),
        (
            "indirect table outside memory",
            &[d(end, 16, INDIRECT, 0)],
            &[],
        ),
        (
            "indirect table across the end",
            &[d(end - 16, 32, INDIRECT, 0)],
            &[],
        ),
        (
            "indirect table that wraps",
            &[d(u64::MAX - 15, 32, INDIRECT, 0)],
            &[],
        ),
        (
            "indirect in indirect",
            &[d(inner, 16, INDIRECT, 0)],
            &[d(inner, 16, INDIRECT, 0)],
        ),
        (
            "loop in indirect",
            &[d(inner, 32, INDIRECT, 0)],
            &[d(BUFFERS, 1, NEXT, 1), d(BUFFERS, 1, NEXT, 0)],
        ),
        (
            "next past the indirect table",
            &[d(inner, 16, INDIRECT, 0)],
            &[d(BUFFERS, 1, NEXT, 1)],
        ),
    ];
    for (name, table, indirect) in cases {
        let mut driver = Driver::started(plug);
        // The bytes at the end of memory are a descriptor that asks for more.
        driver.put_descriptor(end - 16, 0, d(BUFFERS, 1, NEXT, 1));
        for (index, entry) in (0..).zip(*table) {
            driver.put_descriptor(driver.table(0), index, *entry);
        }
        for (index, entry) in (0..).zip(*indirect) {
            driver.put_descriptor(inner, index, *entry);
        }
        driver.offer(0, 0);
        driver.notify(0);
        assert!(driver.needs_reset(), "{name}");
        assert_eq!(driver.acknowledge(), 2, "{name}");
        assert_eq!(driver.used(0), None, "{name}");
        // Nothing works until the reset, everything after it.
        assert!(driver.request(1, &[b"x"], &[1]).is_none(), "{name}");
        driver.write32(0x70, 0xf);
        assert!(driver.request(1, &[b"x"], &[1]).is_none(), "{name}");
        driver.start(u64::MAX);
        assert!(driver.request(0, &[b"x"], &[1]).is_some(), "{name}");
    }
}

#[test]
fn a_chain_as_long_as_the_queue_is_fine() {
    let mut driver = Driver::started(plug);
    let readable = [b"a".as_slice(); 8];
    let (length, _) = driver.request(0, &readable, &[1; 8]).unwrap();
    assert_eq!(length, 8);
}

#[test]
fn an_indirect_chain_needs_its_feature() {
    let mut driver = Driver::plug(plug);
    driver.start(1 << 32);
    driver.put_descriptor(driver.table(0), 0, descriptor(BUFFERS, 16, INDIRECT, 0));
    driver.offer(0, 0);
    driver.notify(0);
    assert!(driver.needs_reset());
}

#[test]
fn rings_that_run_away_stop_the_device() {
    let mut driver = Driver::started(plug);
    driver.set_available_index(0, 17);
    driver.notify(0);
    assert!(driver.needs_reset());
    let mut driver2 = Driver::started(plug);
    driver2.offer(0, 16);
    driver2.notify(0);
    assert!(driver2.needs_reset(), "a head past the table");
    driver.start(u64::MAX);
    driver.set_available_index(0, u16::MAX);
    driver.notify(0);
    assert!(driver.needs_reset(), "an index that went back");
}

#[test]
fn a_queue_cannot_be_enabled_with_wrong_registers() {
    let end = RAM + RAM_SIZE;
    // Size, descriptors, available, used: a good setting with one thing wrong.
    let good = (16_u32, RAM, RAM + 0x8000, RAM + 0xa000);
    let mut cases = vec![];
    for size in [0, 3, 15, 17, 32, 0x8000, 0x1_0000, 0x1_0010, u32::MAX] {
        cases.push((size, good.1, good.2, good.3));
    }
    for address in [0, RAM + 8, RAM - 16, end, end - 16, u64::MAX - 15, 1 << 63] {
        cases.push((good.0, address, good.2, good.3));
    }
    for address in [0, RAM + 1, end, end - 4, u64::MAX - 1] {
        cases.push((good.0, good.1, address, good.3));
    }
    for address in [0, RAM + 2, end, end - 8, u64::MAX - 3] {
        cases.push((good.0, good.1, good.2, address));
    }
    for case in cases {
        let driver = Driver::plug(plug);
        driver.write32(0x70, 3);
        driver.accept(1 << 32);
        driver.write32(0x70, 0xb);
        driver.write32(0x30, 0);
        driver.write32(0x38, case.0);
        for (register, address) in [(0x80, case.1), (0x90, case.2), (0xa0, case.3)] {
            driver.write32(register, address as u32);
            driver.write32(register + 4, (address >> 32) as u32);
        }
        driver.write32(0x44, 1);
        assert_eq!(driver.read32(0x44), 0, "{case:x?}");
        assert!(driver.needs_reset(), "{case:x?}");
        assert!(!driver.line.high(), "no interrupt before DRIVER_OK");
        driver.write32(0x70, 0xf);
        assert_eq!(driver.status() & 4, 0, "{case:x?}");
        driver.notify(0);
    }
}

#[test]
fn a_running_queue_ignores_its_registers() {
    let mut driver = Driver::started(plug);
    driver.write32(0x30, 0);
    for (register, value) in [
        (0x38, 0),
        (0x38, 0x1_0000),
        (0x80, 0),
        (0x84, 7),
        (0x90, 1),
        (0xa0, 0),
        (0xa4, u32::MAX),
        (0x44, 1),
    ] {
        driver.write32(register, value);
    }
    assert!(driver.request(0, &[b"still here"], &[10]).is_some());
    // The available and used rings cannot be moved while it runs, but a stopped queue can.
    driver.write32(0x44, 0);
    assert_eq!(driver.read32(0x44), 0);
    assert!(driver.request(0, &[b"stopped"], &[10]).is_none());
    assert!(!driver.needs_reset());
}

#[test]
fn a_queue_is_not_enabled_before_the_features_are() {
    let driver = Driver::plug(plug);
    driver.set_up_queue(0, 16);
    driver.write32(0x44, 1);
    assert_eq!(driver.read32(0x44), 0);
    driver.write32(0x70, 3);
    driver.write32(0x44, 1);
    assert_eq!(driver.read32(0x44), 0);
}

#[test]
fn notifications_for_absent_or_sleeping_queues_are_ignored() {
    let mut driver = Driver::plug(plug);
    for queue in [0, 1, 2, u32::MAX as usize] {
        driver.notify(queue);
    }
    driver.start(u64::MAX);
    for queue in [2, 0xffff, u32::MAX as usize] {
        driver.notify(queue);
    }
    assert_eq!(driver.status(), 0xf);
    driver.write32(0x70, 0x8f);
    assert!(
        driver.request(0, &[b"x"], &[1]).is_none(),
        "the driver failed"
    );
}

#[test]
fn status_bits_stay_until_a_reset() {
    let driver = Driver::plug(plug);
    driver.write32(0x70, 1);
    driver.write32(0x70, 2);
    assert_eq!(driver.status(), 3);
    driver.write32(0x70, 0xffff_ff40);
    assert_eq!(
        driver.status(),
        3,
        "NEEDS_RESET is the device's, the rest unknown"
    );
    driver.write32(0x70, 0);
    assert_eq!(driver.status(), 0);
}

#[test]
fn a_long_queue_is_served_to_its_end_in_turns() {
    let mut driver = Driver::started(plug);
    // Chains of 8 MiB, of which two make a turn.
    for index in 0..64 {
        let chain = descriptor(RAM + (4 << 20), 8 << 20, 0, 0);
        driver.put_descriptor(driver.table(1), index, chain);
        driver.offer(1, index);
    }
    driver.notify(1);
    for index in 0..64 {
        assert_eq!(driver.used(1), Some((index, 0)));
    }
    assert!(driver.used(1).is_none());
}

#[test]
fn a_finished_machine_is_not_served() {
    let mut driver = Driver::started(plug);
    driver.transport.finish();
    assert!(driver.request(0, &[b"too late"], &[8]).is_none());
    assert!(!driver.needs_reset());
}

#[test]
fn a_hart_that_feeds_another_keeps_nobody_else_out() {
    let mut driver = Driver::started(plug);
    for index in 0..16 {
        driver.put_descriptor(driver.table(0), index, descriptor(BUFFERS, 1, WRITE, 0));
        driver.offer(0, index);
    }
    let stop = AtomicBool::new(false);
    let finished = &stop;
    std::thread::scope(|scope| {
        // One hart moves the available index on and on, as fast as the other's notification is served.
        let feeder = &driver;
        scope.spawn(move || {
            let used = GuestAddress(feeder.table(0) + 0xa000 + 2);
            while !finished.load(Ordering::SeqCst) {
                let index: u16 = feeder.memory.read_obj(used).unwrap();
                feeder.set_available_index(0, index.wrapping_add(16));
            }
        });
        let transport = driver.transport.clone();
        let served = scope.spawn(move || transport.write(0x50, &[0; 4]));
        // The host and other harts still get their turn, and the end of the machine ends it.
        for _ in 0..50 {
            assert_eq!(driver.read32(8), 42);
            std::thread::yield_now();
        }
        driver.transport.finish();
        served.join().unwrap();
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn two_harts_and_the_host_can_use_a_device_at_once() {
    let driver = Driver::started(plug);
    let line: &Line = &driver.line;
    std::thread::scope(|scope| {
        for queue in 0..2_u32 {
            let transport = driver.transport.clone();
            scope.spawn(move || {
                for round in 0..2000_u32 {
                    transport.write(0x50, &queue.to_le_bytes());
                    let mut status = [0; 4];
                    transport.read(0x60, &mut status);
                    transport.write(0x64, &status);
                    transport.write(0x30, &(round % 3).to_le_bytes());
                }
            });
        }
    });
    assert_eq!(driver.status(), 0xf);
    driver.acknowledge();
    assert!(!line.high());
}
