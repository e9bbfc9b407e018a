//! What the guest learns of its devices and of what is done with them.

#![allow(clippy::cast_possible_truncation, reason = "test values are small")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::testing::{BUFFERS, Driver, RawDescriptor, WRITE};

struct Guest {
    driver: Driver,
    handle: InputHandle,
    /// The next descriptor to give.
    given: u16,
}

impl Guest {
    fn new(plug: impl FnOnce(Slot) -> (Transport, InputHandle)) -> Self {
        let mut handle = None;
        let driver = Driver::started(|slot| {
            let (transport, input) = plug(slot);
            handle = Some(input);
            transport
        });
        Self {
            driver,
            handle: handle.unwrap(),
            given: 0,
        }
    }

    /// Gives buffers for `count` events.
    fn give(&mut self, count: u16) {
        for _ in 0..count {
            let index = self.given % 64;
            self.given += 1;
            let descriptor = RawDescriptor {
                address: BUFFERS + u64::from(index) * 8,
                length: 8,
                flags: WRITE,
                next: 0,
            };
            let table = self.driver.table(0);
            self.driver.put_descriptor(table, index, descriptor);
            self.driver.offer(0, index);
        }
        self.driver.notify(0);
    }

    fn take(&mut self) -> Vec<(u16, u16, i32)> {
        let mut events = Vec::new();
        while let Some((head, length)) = self.driver.used(0) {
            assert_eq!(length, 8);
            let address = GuestAddress(BUFFERS + u64::from(head) * 8);
            let [a, b, c, d, e, f, g, h]: [u8; 8] = self.driver.memory.read_obj(address).unwrap();
            let value = i32::from_le_bytes([e, f, g, h]);
            events.push((
                u16::from_le_bytes([a, b]),
                u16::from_le_bytes([c, d]),
                value,
            ));
        }
        events
    }

    fn query(&self, select: u8, subselect: u8) -> Vec<u8> {
        self.driver.transport.write(0x100, &[select]);
        self.driver.transport.write(0x101, &[subselect]);
        let [size] = self.driver.config(2);
        let data: [u8; 128] = self.driver.config(8);
        assert!(data[usize::from(size)..].iter().all(|byte| *byte == 0));
        data[..usize::from(size)].to_vec()
    }
}

fn has(bits: &[u8], code: u16) -> bool {
    bits.get(usize::from(code / 8))
        .is_some_and(|byte| byte >> (code % 8) & 1 == 1)
}

fn press(code: u16) -> InputEvent {
    InputEvent::Key {
        code,
        pressed: true,
    }
}

fn release(code: u16) -> InputEvent {
    InputEvent::Key {
        code,
        pressed: false,
    }
}

const SYN: (u16, u16, i32) = (0, 0, 0);

#[test]
fn the_keyboard_describes_itself() {
    let guest = Guest::new(Input::keyboard);
    assert_eq!(guest.driver.read32(8), 18);
    assert_eq!(guest.query(1, 0), b"Bulkhead Keyboard");
    assert_eq!(guest.query(3, 0).len(), 8);
    let keys = guest.query(0x11, 1);
    for code in [1, 30, 57, 58, 97, 99, 100, 102, 125, 127, 183, 194] {
        assert!(has(&keys, code), "key {code}");
    }
    for code in [0, KEY_POWER, 142, 143, BTN_LEFT] {
        assert!(!has(&keys, code), "key {code}");
    }
    assert_eq!(guest.query(0x11, 17), [0b111]);
    assert!(guest.query(0x11, 20).is_empty(), "no EV_REP");
    assert!(guest.query(0x11, 3).is_empty());
    assert!(guest.query(0x12, 0).is_empty());
    assert!(guest.query(0xff, 0xff).is_empty());
}

#[test]
fn the_pointer_describes_itself() {
    let guest = Guest::new(Input::pointer);
    let keys = guest.query(0x11, 1);
    assert_eq!(
        (0..0x300)
            .filter(|code| has(&keys, *code))
            .collect::<Vec<_>>(),
        [0x110, 0x111, 0x112, 0x113, 0x114]
    );
    let wheels = guest.query(0x11, 2);
    assert_eq!(
        (0..16)
            .filter(|code| has(&wheels, *code))
            .collect::<Vec<_>>(),
        [6, 8, 11, 12]
    );
    assert_eq!(guest.query(0x11, 3), [0b11]);
    for axis in [0, 1] {
        let info = guest.query(0x12, axis);
        assert_eq!(info.len(), 20);
        assert_eq!(info[..8], [0, 0, 0, 0, 0xff, 0x7f, 0, 0]);
    }
    assert!(guest.query(0x12, 2).is_empty());
}

#[test]
fn the_power_button_has_one_key() {
    let mut guest = Guest::new(Input::power_button);
    let keys = guest.query(0x11, 1);
    assert_eq!(
        (0..0x300)
            .filter(|code| has(&keys, *code))
            .collect::<Vec<_>>(),
        [KEY_POWER]
    );
    guest.give(8);
    assert_eq!(guest.handle.send(&[press(KEY_POWER)]), Delivery::Queued);
    guest.handle.send(&[release(KEY_POWER)]);
    guest.handle.send(&[press(30)]);
    assert_eq!(guest.take(), [(1, 116, 1), SYN, (1, 116, 0), SYN]);
}

#[test]
fn a_report_is_one_syn_and_one_interrupt() {
    let mut guest = Guest::new(Input::pointer);
    guest.give(32);
    guest.driver.acknowledge();
    let edges = guest.driver.line.edges();
    let report = [InputEvent::Position { x: 5, y: 99_999 }, press(BTN_LEFT)];
    assert_eq!(guest.handle.send(&report), Delivery::Queued);
    assert!(guest.driver.line.high());
    assert_eq!(guest.driver.line.edges(), edges + 1);
    let expected = [(3, 0, 5), (3, 1, 32767), SYN, (1, 0x110, 1), SYN];
    assert_eq!(guest.take(), expected);
    guest.handle.send(&[press(BTN_LEFT)]);
    assert!(guest.take().is_empty(), "a held key is not repeated");
}

#[test]
fn wheels_tell_fine_steps_and_whole_notches() {
    let mut guest = Guest::new(Input::pointer);
    guest.give(32);
    let turn = |vertical, horizontal| InputEvent::Wheel {
        vertical,
        horizontal,
    };
    guest.handle.send(&[turn(120, 0)]);
    guest.handle.send(&[turn(-50, 0)]);
    guest.handle.send(&[turn(-80, 240)]);
    let expected = [
        (2, 11, 120),
        (2, 8, 1),
        SYN,
        (2, 11, -50),
        SYN,
        (2, 11, -80),
        (2, 8, -1),
        (2, 12, 240),
        (2, 6, 2),
        SYN,
    ];
    assert_eq!(guest.take(), expected);
}

#[test]
fn motion_is_merged_while_the_guest_gives_no_buffers() {
    let mut guest = Guest::new(Input::pointer);
    guest.give(3);
    guest.handle.send(&[InputEvent::Position { x: 0, y: 0 }]);
    assert_eq!(guest.take().len(), 3);
    for x in 0..10_000 {
        let report = [
            InputEvent::Position { x, y: 1 },
            InputEvent::Wheel {
                vertical: 12,
                horizontal: 0,
            },
        ];
        assert_eq!(guest.handle.send(&report), Delivery::Queued);
    }
    guest.give(32);
    let expected = [(3, 0, 9999), (3, 1, 1), (2, 11, 120_000), (2, 8, 1000), SYN];
    assert_eq!(guest.take(), expected);
}

#[test]
fn after_an_overflow_no_key_is_stuck() {
    let mut guest = Guest::new(Input::keyboard);
    guest.give(4);
    guest.handle.send(&[press(42)]);
    guest.handle.send(&[press(30)]);
    assert_eq!(guest.take(), [(1, 42, 1), SYN, (1, 30, 1), SYN]);
    let mut overflowed = false;
    for _ in 0..1000 {
        overflowed |= guest.handle.send(&[press(31)]) == Delivery::Overflow;
        overflowed |= guest.handle.send(&[release(31)]) == Delivery::Overflow;
    }
    assert!(overflowed);
    guest.handle.send(&[release(30)]);
    guest.handle.send(&[press(32)]);
    guest.give(64);
    assert_eq!(guest.take(), [(1, 30, 0), (1, 32, 1), SYN]);
    guest.handle.send(&[release(42)]);
    assert_eq!(guest.take(), [(1, 42, 0), SYN]);
}

#[test]
fn an_overflow_in_the_middle_of_a_report_still_closes_it() {
    let mut guest = Guest::new(Input::keyboard);
    guest.give(3);
    guest.handle.send(&[press(30)]);
    guest.handle.send(&[release(30)]);
    assert_eq!(guest.take(), [(1, 30, 1), SYN, (1, 30, 0)]);
    for _ in 0..1000 {
        guest.handle.send(&[press(31)]);
        guest.handle.send(&[release(31)]);
    }
    guest.give(8);
    assert_eq!(guest.take(), [SYN]);
}

#[test]
fn a_new_driver_learns_what_is_held() {
    let mut guest = Guest::new(Input::keyboard);
    guest.give(8);
    guest.handle.send(&[press(29)]);
    guest.driver.write32(0x70, 0);
    assert_eq!(guest.handle.send(&[press(30)]), Delivery::NotListening);
    guest.driver.start(u64::MAX);
    guest.given = 0;
    guest.give(8);
    assert_eq!(guest.take(), [(1, 29, 1), (1, 30, 1), SYN]);
}

#[test]
fn the_guests_lights_are_taken_and_a_short_buffer_breaks_the_queue() {
    let mut guest = Guest::new(Input::keyboard);
    let light = guest.driver.request(1, &[&[17, 0, 1, 0, 1, 0, 0, 0]], &[]);
    assert_eq!(light.unwrap().0, 0);
    guest.handle.send(&[press(30)]);
    assert!(guest.driver.request(0, &[], &[7]).is_none());
    assert!(guest.driver.needs_reset());
    assert_eq!(guest.handle.send(&[release(30)]), Delivery::NotListening);
}

#[derive(Clone, Debug)]
enum Op {
    Send(Vec<(u16, bool)>),
    Flood,
    Give(u16),
}

fn any_op() -> impl Strategy<Value = Op> {
    let key = (
        prop_oneof![Just(30_u16), Just(31), Just(42), Just(0x300)],
        any::<bool>(),
    );
    prop_oneof![
        5 => proptest::collection::vec(key, 0..4).prop_map(Op::Send),
        1 => Just(Op::Flood),
        3 => (0..8_u16).prop_map(Op::Give),
    ]
}

proptest! {
    /// However slow the guest takes events: each transition it sees changes something, reports are closed, and once
    /// it has taken everything it believes what is true.
    #[test]
    fn the_guest_ends_up_with_the_truth(ops in proptest::collection::vec(any_op(), 0..60)) {
        let mut guest = Guest::new(Input::keyboard);
        let mut held = BTreeSet::new();
        let mut believed = BTreeSet::new();
        let mut outstanding = 0;
        let mut last = SYN;
        for op in ops.into_iter().chain([Op::Give(60), Op::Give(60), Op::Give(60)]) {
            match op {
                Op::Send(keys) => {
                    let events: Vec<_> = keys
                        .iter()
                        .map(|&(code, pressed)| InputEvent::Key { code, pressed })
                        .collect();
                    guest.handle.send(&events);
                    for (code, pressed) in keys.into_iter().filter(|(code, _)| *code != 0x300) {
                        if pressed { held.insert(code); } else { held.remove(&code); }
                    }
                }
                Op::Flood => {
                    for _ in 0..300 {
                        guest.handle.send(&[press(57)]);
                        guest.handle.send(&[release(57)]);
                    }
                }
                Op::Give(count) => {
                    let count = count.min(64 - outstanding);
                    outstanding += count;
                    guest.give(count);
                }
            }
            for event in guest.take() {
                outstanding -= 1;
                match event {
                    (1, code, 1) => prop_assert!(believed.insert(code)),
                    (1, code, 0) => prop_assert!(believed.remove(&code)),
                    other => prop_assert_eq!(other, SYN),
                }
                last = event;
            }
        }
        // Three times 60 buffers may not be enough after a flood: give until the guest has them all back unused.
        while outstanding < 60 {
            let count = 64 - outstanding;
            guest.give(count);
            outstanding += count;
            for event in guest.take() {
                outstanding -= 1;
                match event {
                    (1, code, 1) => prop_assert!(believed.insert(code)),
                    (1, code, 0) => prop_assert!(believed.remove(&code)),
                    other => prop_assert_eq!(other, SYN),
                }
                last = event;
            }
        }
        prop_assert_eq!(last, SYN);
        prop_assert_eq!(believed, held);
    }
}
