//! The console as Linux's driver uses it, peers that never read, and control messages that make no sense.

#![allow(clippy::cast_possible_truncation, reason = "test values are small")]

use std::sync::{Arc, Mutex};

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::testing::{BUFFERS, Driver, RawDescriptor, WRITE};

#[derive(Default)]
struct Seen {
    output: Vec<(u32, Vec<u8>)>,
    opened: Vec<(u32, bool)>,
    room: Vec<u32>,
    /// How many bytes the sink still takes.
    budget: usize,
}

struct Recorder(Arc<Mutex<Seen>>);

impl ConsoleSink for Recorder {
    fn output(&mut self, port: u32, bytes: &[u8]) -> usize {
        let mut seen = self.0.lock().unwrap();
        let taken = bytes.len().min(seen.budget);
        seen.budget -= taken;
        seen.output.push((port, bytes[..taken].to_vec()));
        taken
    }

    fn opened(&mut self, port: u32, open: bool) {
        self.0.lock().unwrap().opened.push((port, open));
    }

    fn room(&mut self, port: u32) {
        self.0.lock().unwrap().room.push(port);
    }
}

fn plug() -> (Driver, ConsoleHandle, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen {
        budget: usize::MAX,
        ..Seen::default()
    }));
    let mut handle = None;
    let driver = Driver::started(|slot| {
        let (transport, console) = Console::plug(slot, Box::new(Recorder(Arc::clone(&seen))));
        handle = Some(console);
        transport
    });
    (driver, handle.unwrap(), seen)
}

fn control(driver: &mut Driver, port: u32, event: u16, value: u16) {
    let mut message = port.to_le_bytes().to_vec();
    message.extend(event.to_le_bytes());
    message.extend(value.to_le_bytes());
    assert!(driver.request(CONTROL_TRANSMIT, &[&message], &[]).is_some());
}

/// Gives buffers to a receive queue; each lies in its own page.
fn give(driver: &mut Driver, queue: usize, indices: std::ops::Range<u16>, length: u32) {
    for index in indices {
        let descriptor = RawDescriptor {
            address: page(queue, index),
            length,
            flags: WRITE,
            next: 0,
        };
        driver.put_descriptor(driver.table(queue), index, descriptor);
        driver.offer(queue, index);
    }
    driver.notify(queue);
}

fn page(queue: usize, index: u16) -> u64 {
    BUFFERS + (1 << 20) + queue as u64 * 0x4_0000 + u64::from(index) * 0x1000
}

fn take(driver: &mut Driver, queue: usize) -> Vec<Vec<u8>> {
    let mut buffers = Vec::new();
    while let Some((head, length)) = driver.used(queue) {
        let mut bytes = vec![0; length as usize];
        let address = GuestAddress(page(queue, head as u16));
        driver.memory.read_slice(&mut bytes, address).unwrap();
        buffers.push(bytes);
    }
    buffers
}

fn message(port: u32, event: u16, value: u16, name: &str) -> Vec<u8> {
    let mut bytes = port.to_le_bytes().to_vec();
    bytes.extend(event.to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes
}

#[test]
fn the_ports_introduce_themselves_as_linux_expects() {
    let (mut driver, _, seen) = plug();
    assert_eq!(driver.read32(8), 3);
    assert_eq!(u32::from_le_bytes(driver.config(4)), 4);
    give(&mut driver, CONTROL_RECEIVE, 0..32, 4096);
    control(&mut driver, u32::MAX, 0, 1);
    let added: Vec<_> = (0..4).map(|port| message(port, 1, 1, "")).collect();
    assert_eq!(take(&mut driver, CONTROL_RECEIVE), added);
    for port in 0..4 {
        control(&mut driver, port, 3, 1);
    }
    let expected = [
        message(0, 4, 1, ""),
        message(0, 6, 1, ""),
        message(1, 7, 1, "org.bulkhead.state"),
        message(1, 6, 1, ""),
        message(2, 7, 1, "com.redhat.spice.0"),
        message(2, 6, 1, ""),
        message(3, 7, 1, "org.bulkhead.outbox"),
        message(3, 6, 1, ""),
    ];
    assert_eq!(take(&mut driver, CONTROL_RECEIVE), expected);
    control(&mut driver, 0, 6, 1);
    control(&mut driver, 2, 6, 1);
    control(&mut driver, 2, 6, 1);
    control(&mut driver, 2, 6, 0);
    assert_eq!(
        seen.lock().unwrap().opened,
        [(0, true), (2, true), (2, false)]
    );
}

#[test]
fn each_ports_output_reaches_the_sink() {
    let (mut driver, _, seen) = plug();
    for (queue, text) in [(1, "console"), (5, "state"), (7, "agent")] {
        let (length, _) = driver
            .request(queue, &[text.as_bytes(), b"!"], &[])
            .unwrap();
        assert_eq!(length, 0);
    }
    let expected: [(u32, Vec<u8>); 3] = [
        (0, b"console!".into()),
        (1, b"state!".into()),
        (2, b"agent!".into()),
    ];
    assert_eq!(seen.lock().unwrap().output, expected);
}

#[test]
fn a_sink_without_room_stops_its_port_and_only_that() {
    let (mut driver, handle, seen) = plug();
    seen.lock().unwrap().budget = 5000;
    let data: Vec<u8> = (0..10_000_u32).map(|i| i as u8).collect();
    assert!(
        driver
            .request(1, &[&data[..3000], &data[3000..]], &[])
            .is_none()
    );
    seen.lock().unwrap().budget = 1000;
    assert!(driver.request(5, &[b"state"], &[]).is_some());
    handle.resume(CONSOLE);
    assert!(driver.used(1).is_none());
    seen.lock().unwrap().budget = usize::MAX;
    handle.resume(CONSOLE);
    assert!(driver.used(1).is_some());
    let output = &seen.lock().unwrap().output;
    let console = output.iter().filter(|(port, _)| *port == 0);
    let console: Vec<u8> = console.flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(console == data);
    assert!(output.iter().all(|(_, bytes)| bytes.len() <= OUTPUT_MAX));
}

#[test]
fn input_waits_for_buffers_and_is_bounded() {
    let (mut driver, handle, seen) = plug();
    let data: Vec<u8> = (0..100_000_u32).map(|i| (i / 7) as u8).collect();
    assert_eq!(handle.push(CONSOLE, &data), INPUT_MAX);
    assert_eq!(handle.push(CONSOLE, b"more"), 0);
    assert!(seen.lock().unwrap().room.is_empty());
    give(&mut driver, 0, 0..10, 4000);
    assert_eq!(seen.lock().unwrap().room, [0]);
    give(&mut driver, 0, 10..20, 4000);
    let received = take(&mut driver, 0).concat();
    assert!(received == data[..INPUT_MAX]);
    assert_eq!(seen.lock().unwrap().room, [0], "told once");
    assert_eq!(handle.push(CONSOLE, b"more"), 4);
    assert_eq!(take(&mut driver, 0), [b"more"]);
    assert_eq!(handle.push(77, b"nowhere"), 0);
    handle.resume(77);
}

#[test]
fn a_named_port_takes_input_only_while_the_guest_has_it_open() {
    let (mut driver, handle, seen) = plug();
    assert_eq!(handle.push(AGENT, b"early"), 0);
    control(&mut driver, AGENT, 6, 1);
    assert_eq!(seen.lock().unwrap().room, [AGENT]);
    assert_eq!(handle.push(AGENT, b"for a reader that closes"), 24);
    control(&mut driver, AGENT, 6, 0);
    control(&mut driver, AGENT, 6, 1);
    assert_eq!(handle.push(AGENT, b"hello"), 5);
    give(&mut driver, 6, 0..4, 100);
    assert_eq!(take(&mut driver, 6), [b"hello"]);
    driver.start(u64::MAX);
    assert_eq!(seen.lock().unwrap().opened.last(), Some(&(AGENT, false)));
    assert_eq!(handle.push(AGENT, b"after a reset"), 0);
}

#[test]
fn strange_control_messages_are_ignored() {
    let (mut driver, _, seen) = plug();
    give(&mut driver, CONTROL_RECEIVE, 0..32, 4096);
    for (port, event, value) in [
        (4, 3, 1),
        (u32::MAX, 3, 1),
        (u32::MAX, 6, 1),
        (0, 99, 1),
        (0, 0, 0),
        (0, 3, 0),
    ] {
        control(&mut driver, port, event, value);
    }
    assert!(take(&mut driver, CONTROL_RECEIVE).is_empty());
    assert!(seen.lock().unwrap().opened.is_empty());
    assert!(!driver.needs_reset());
    assert!(driver.request(CONTROL_TRANSMIT, &[b"short"], &[]).is_none());
    assert!(driver.needs_reset());
}

#[test]
fn a_driver_that_asks_and_never_reads_costs_a_bounded_queue() {
    let (mut driver, _, _) = plug();
    for _ in 0..1000 {
        control(&mut driver, 0, 0, 1);
    }
    give(&mut driver, CONTROL_RECEIVE, 0..32, 4096);
    let first = take(&mut driver, CONTROL_RECEIVE).len();
    give(&mut driver, CONTROL_RECEIVE, 0..32, 4096);
    let second = take(&mut driver, CONTROL_RECEIVE).len();
    give(&mut driver, CONTROL_RECEIVE, 0..32, 4096);
    assert_eq!(first + second, MESSAGES_MAX);
    assert!(take(&mut driver, CONTROL_RECEIVE).is_empty());
}

#[test]
fn buffers_that_go_the_wrong_way_break_the_device() {
    let (mut driver, handle, _) = plug();
    handle.push(CONSOLE, b"x");
    assert!(driver.request(0, &[b"readable"], &[]).is_none());
    assert!(driver.needs_reset());
}
