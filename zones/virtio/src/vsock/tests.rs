//! Streams both ways under a driver that keeps the rules and one that breaks them.

#![allow(clippy::cast_possible_truncation, reason = "test values are small")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::testing::{BUFFERS, Driver, RawDescriptor, WRITE};
use crate::wire::{put, u32_at, u64_at};

const CID: u32 = 7;
const BUFFER: u32 = 4096;

#[derive(Clone, Default)]
struct Requests(Arc<Mutex<Vec<(u32, u32)>>>);

impl VsockHost for Requests {
    fn request(&mut self, id: u32, port: u32) {
        self.0.lock().unwrap().push((id, port));
    }
}

/// A packet as the guest sees it: operation, flags, window, ports, data.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Packet {
    operation: u16,
    flags: u32,
    size: u32,
    forwarded: u32,
    ports: Ports,
    data: Vec<u8>,
}

struct Guest {
    driver: Driver,
    handle: VsockHandle,
    requests: Requests,
    given: u16,
    /// What the guest says of its own buffer in every packet.
    window: (u32, u32),
}

fn page(index: u16) -> u64 {
    BUFFERS + (2 << 20) + u64::from(index) * u64::from(BUFFER)
}

impl Guest {
    fn new() -> Self {
        let requests = Requests::default();
        let mut handle = None;
        let driver = Driver::started(|slot| {
            let host = Box::new(requests.clone());
            let (transport, vsock) = Vsock::plug(slot, CID, host).unwrap();
            handle = Some(vsock);
            transport
        });
        let mut guest = Self {
            driver,
            handle: handle.unwrap(),
            requests,
            given: 0,
            window: (1 << 20, 0),
        };
        guest.give(64);
        guest
    }

    fn give(&mut self, count: u16) {
        for _ in 0..count {
            let index = self.given % 128;
            self.given = self.given.wrapping_add(1);
            let descriptor = RawDescriptor {
                address: page(index),
                length: BUFFER,
                flags: WRITE,
                next: 0,
            };
            let table = self.driver.table(RECEIVE);
            self.driver.put_descriptor(table, index, descriptor);
            self.driver.offer(RECEIVE, index);
        }
        self.driver.notify(RECEIVE);
    }

    /// The next packet, if there is one; its buffer is given again if `refill`.
    fn poll(&mut self, refill: bool) -> Option<Packet> {
        let (head, length) = self.driver.used(RECEIVE)?;
        let mut bytes = vec![0; length as usize];
        let address = GuestAddress(page(head as u16));
        self.driver.memory.read_slice(&mut bytes, address).unwrap();
        assert_eq!((u64_at(&bytes, 0), u64_at(&bytes, 8)), (2, u64::from(CID)));
        assert_eq!(u32_at(&bytes, 24) as usize + HEADER_SIZE, bytes.len());
        assert_eq!(u32_at(&bytes, 28) & 0xffff, 1);
        if refill {
            self.give(1);
        }
        Some(Packet {
            operation: (u32_at(&bytes, 28) >> 16) as u16,
            flags: u32_at(&bytes, 32),
            size: u32_at(&bytes, 36),
            forwarded: u32_at(&bytes, 40),
            ports: Ports {
                host: u32_at(&bytes, 16),
                guest: u32_at(&bytes, 20),
            },
            data: bytes[HEADER_SIZE..].to_vec(),
        })
    }

    /// Waits for the worker to bring a packet.
    fn wait(&mut self) -> Packet {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(packet) = self.poll(true) {
                return packet;
            }
            assert!(Instant::now() < deadline, "no packet came");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn wait_for(&mut self, operation: u16) -> Packet {
        loop {
            let packet = self.wait();
            if packet.operation == operation {
                return packet;
            }
            assert_eq!(packet.operation, 6, "only credit comes unasked: {packet:?}");
        }
    }

    fn send_raw(&mut self, header: &[u8], data: &[u8]) -> bool {
        let readable: &[&[u8]] = if data.is_empty() {
            &[header]
        } else {
            &[header, data]
        };
        self.driver.request(TRANSMIT, readable, &[]).is_some()
    }

    fn send(&mut self, ports: Ports, operation: u16, flags: u32, data: &[u8]) {
        let header = self.header(ports, operation, flags, data.len() as u32);
        assert!(self.send_raw(&header, data), "the device takes packets");
    }

    fn header(&self, ports: Ports, operation: u16, flags: u32, length: u32) -> [u8; HEADER_SIZE] {
        let mut header = [0; HEADER_SIZE];
        put(&mut header, 0, &u64::from(CID).to_le_bytes());
        put(&mut header, 8, &2_u64.to_le_bytes());
        put(&mut header, 16, &ports.guest.to_le_bytes());
        put(&mut header, 20, &ports.host.to_le_bytes());
        put(&mut header, 24, &length.to_le_bytes());
        put(&mut header, 28, &[1, 0]);
        put(&mut header, 30, &operation.to_le_bytes());
        put(&mut header, 32, &flags.to_le_bytes());
        put(&mut header, 36, &self.window.0.to_le_bytes());
        put(&mut header, 40, &self.window.1.to_le_bytes());
        header
    }

    /// Opens a stream from the guest's port to the host's port 99.
    fn connect(&mut self, guest: u32) -> (Ports, UnixStream) {
        let ports = Ports { guest, host: 99 };
        self.send(ports, 1, 0, &[]);
        let (id, port) = self.requests.0.lock().unwrap().pop().unwrap();
        assert_eq!(port, 99);
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.handle.accept(id, theirs.into());
        let response = self.wait();
        assert_eq!((response.operation, response.ports), (2, ports));
        assert_eq!((response.size, response.forwarded), (BUFFER_SIZE, 0));
        (ports, ours)
    }

    fn connections(&self) -> usize {
        self.handle
            .handle
            .with(|vsock, _| Ok(vsock.connections.len()))
    }
}

/// The stream's other end sees its end.
fn ended(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.read_to_end(&mut rest).is_ok()
}

const RESET: u16 = 3;

#[test]
fn the_guest_connects_and_both_talk() {
    let mut guest = Guest::new();
    assert_eq!(guest.driver.read32(8), 19);
    assert_eq!(u64::from_le_bytes(guest.driver.config(0)), u64::from(CID));
    let (ports, mut stream) = guest.connect(1000);
    guest.send(ports, 5, 0, b"GET /");
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"GET /");
    stream.write_all(b"hello").unwrap();
    let packet = guest.wait();
    assert_eq!(
        (packet.operation, packet.data.as_slice()),
        (5, b"hello".as_slice())
    );
    assert_eq!(packet.forwarded, 5);
    // The host ends its half, then the guest all of it.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let packet = guest.wait();
    assert_eq!((packet.operation, packet.flags), (4, 2));
    guest.send(ports, 5, 0, b" after");
    guest.send(ports, 4, 3, &[]);
    assert_eq!(guest.wait_for(RESET).ports, ports);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b" after");
    assert_eq!(guest.connections(), 0);
}

#[test]
fn the_host_dials_and_the_guest_may_decline() {
    let mut guest = Guest::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    guest.handle.dial(22, theirs.into());
    let request = guest.wait();
    assert_eq!((request.operation, request.ports.guest), (1, 22));
    ours.write_all(b"early").unwrap();
    guest.send(request.ports, 2, 0, &[]);
    assert_eq!(guest.wait().data, b"early");
    drop(ours);
    let packet = guest.wait();
    assert_eq!(packet.operation, 4);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    guest.handle.dial(23, theirs.into());
    let request = guest.wait_for(1);
    guest.send(request.ports, RESET, 0, &[]);
    assert!(ended(&mut ours));
    // One that hangs up before the guest answers.
    let (ours, theirs) = UnixStream::pair().unwrap();
    guest.handle.dial(24, theirs.into());
    let request = guest.wait_for(1);
    drop(ours);
    assert_eq!(guest.wait_for(RESET).ports, request.ports);
}

#[test]
fn a_refused_request_is_reset_and_a_withdrawn_one_closes_its_stream() {
    let mut guest = Guest::new();
    let ports = Ports { guest: 5, host: 6 };
    guest.send(ports, 1, 0, &[]);
    guest.handle.refuse(0);
    assert_eq!(guest.wait().operation, RESET);
    guest.send(ports, 1, 0, &[]);
    guest.send(ports, RESET, 0, &[]);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    guest.handle.accept(1, theirs.into());
    assert!(ended(&mut ours));
    guest.handle.accept(1, UnixStream::pair().unwrap().0.into());
    guest.handle.refuse(99);
    assert!(guest.poll(true).is_none());
    assert_eq!(
        guest.requests.0.lock().unwrap().as_slice(),
        [(0, 6), (1, 6)]
    );
}

#[test]
fn megabytes_flow_both_ways_within_everyones_credit() {
    let mut guest = Guest::new();
    guest.window = (10_000, 0);
    let (ports, stream) = guest.connect(1);
    let total = 2_000_000_usize;
    let pattern = |i: usize| ((i * 31) >> 3) as u8;
    let mut reader = stream.try_clone().unwrap();
    let mut writer = stream.try_clone().unwrap();
    let host_writes = std::thread::spawn(move || {
        let data: Vec<u8> = (0..total).map(pattern).collect();
        writer.write_all(&data).unwrap();
    });
    let host_reads = std::thread::spawn(move || {
        let mut data = vec![0; total];
        reader.read_exact(&mut data).unwrap();
        data
    });
    let (mut sent, mut received) = (0_usize, 0_usize);
    let mut host_forwarded = 0_usize;
    let mut unread = 0_u32;
    let deadline = Instant::now() + Duration::from_secs(60);
    while sent < total || received < total {
        assert!(
            Instant::now() < deadline,
            "sent {sent}, received {received}"
        );
        let credit = BUFFER_SIZE as usize - (sent - host_forwarded);
        let length = credit.min(3000).min(total - sent);
        if length > 0 {
            let data: Vec<u8> = (sent..sent + length).map(pattern).collect();
            guest.send(ports, 5, 0, &data);
            sent += length;
        }
        while let Some(packet) = guest.poll(true) {
            assert_eq!(packet.ports, ports);
            assert!(packet.operation == 5 || packet.operation == 6, "{packet:?}");
            host_forwarded = packet.forwarded as usize;
            for byte in &packet.data {
                assert_eq!(*byte, pattern(received));
                received += 1;
            }
            unread += packet.data.len() as u32;
            assert!(unread <= 10_000, "more than the guest has room for");
        }
        // The guest's program reads everything now and then.
        if unread > 5000 {
            guest.window.1 = guest.window.1.wrapping_add(unread);
            unread = 0;
            guest.send(ports, 6, 0, &[]);
        }
        if length == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
        if received == total - unread as usize && unread > 0 {
            guest.window.1 = guest.window.1.wrapping_add(unread);
            unread = 0;
        }
    }
    host_writes.join().unwrap();
    let data = host_reads.join().unwrap();
    assert!(data.iter().enumerate().all(|(i, byte)| *byte == pattern(i)));
}

#[test]
fn a_host_that_never_reads_holds_back_only_its_own_stream() {
    let mut guest = Guest::new();
    let (ports, stream) = guest.connect(1);
    let mut sent = 0_u32;
    let mut forwarded = 0_u32;
    // Fill what the socket holds and then the connection's buffer, as credit allows.
    loop {
        while let Some(packet) = guest.poll(true) {
            forwarded = packet.forwarded;
        }
        let credit = BUFFER_SIZE - sent.wrapping_sub(forwarded);
        if credit == 0 {
            guest.send(ports, 7, 0, &[]);
            let update = guest.wait();
            assert_eq!(update.operation, 6);
            if update.forwarded == forwarded {
                break;
            }
            forwarded = update.forwarded;
            continue;
        }
        let length = credit.min(4096);
        guest.send(ports, 5, 0, &vec![1; length as usize]);
        sent += length;
    }
    let (other, mut other_stream) = guest.connect(2);
    guest.send(other, 5, 0, b"still works");
    let mut bytes = [0; 11];
    other_stream.read_exact(&mut bytes).unwrap();
    // One byte more than there is room for.
    guest.send(ports, 5, 0, b"!");
    assert_eq!(guest.wait_for(RESET).ports, ports);
    let mut stream = stream;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(
        all.len() as u32,
        sent - BUFFER_SIZE,
        "what had been passed on arrives"
    );
    assert_eq!(guest.connections(), 1);
}

#[test]
fn lies_and_bad_manners_reset_the_connection() {
    type Act = fn(&mut Guest, Ports);
    let cases: [(&str, Act); 8] = [
        ("count runs ahead", |guest, ports| {
            guest.window.1 = 1;
            guest.send(ports, 6, 0, &[]);
        }),
        ("count runs back", |guest, ports| {
            guest.window.1 = u32::MAX;
            guest.send(ports, 6, 0, &[]);
        }),
        ("data after shutdown", |guest, ports| {
            guest.send(ports, 4, 2, &[]);
            guest.send(ports, 5, 0, b"late");
        }),
        ("response to an open connection", |guest, ports| {
            guest.send(ports, 2, 0, &[]);
        }),
        ("request for ports in use", |guest, ports| {
            guest.send(ports, 1, 0, &[]);
        }),
        ("length beyond the packet", |guest, ports| {
            let header = guest.header(ports, 5, 0, 100);
            assert!(guest.send_raw(&header, b"short"));
        }),
        ("length of 4 GiB", |guest, ports| {
            let header = guest.header(ports, 5, 0, u32::MAX);
            assert!(guest.send_raw(&header, b"short"));
        }),
        ("shutdown of everything", |guest, ports| {
            guest.send(ports, 4, 3, &[]);
        }),
    ];
    for (name, act) in cases {
        let mut guest = Guest::new();
        let (ports, mut stream) = guest.connect(9);
        act(&mut guest, ports);
        assert_eq!(guest.wait_for(RESET).ports, ports, "{name}");
        assert!(ended(&mut stream), "{name}");
        assert_eq!(guest.connections(), 0, "{name}");
        assert!(!guest.driver.needs_reset(), "{name}");
    }
}

#[test]
fn packets_out_of_nowhere_are_answered_with_a_reset_or_ignored() {
    let mut guest = Guest::new();
    let ports = Ports { guest: 1, host: 2 };
    for operation in [0, 2, 4, 5, 6, 7, 8, u16::MAX] {
        guest.send(ports, operation, 0, &[]);
        assert_eq!(
            guest.poll(true).map(|it| it.operation),
            Some(RESET),
            "{operation}"
        );
    }
    // A reset is not answered; neither is a packet from or to somebody else.
    guest.send(ports, RESET, 0, &[]);
    for (offset, value) in [(0, 8_u64), (0, 2), (8, 3), (8, u64::MAX)] {
        let mut header = guest.header(ports, 1, 0, 0);
        put(&mut header, offset, &value.to_le_bytes());
        assert!(guest.send_raw(&header, &[]));
    }
    assert!(guest.poll(true).is_none());
    // A request that claims to have read already; a datagram.
    guest.window.1 = 5;
    guest.send(ports, 1, 0, &[]);
    assert_eq!(guest.poll(true).map(|it| it.operation), Some(RESET));
    let mut header = guest.header(ports, 1, 0, 0);
    put(&mut header, 28, &[3, 0]);
    assert!(guest.send_raw(&header, &[]));
    assert_eq!(guest.poll(true).map(|it| it.operation), Some(RESET));
    assert!(guest.requests.0.lock().unwrap().is_empty());
    assert!(!guest.send_raw(&header[..43], &[]));
    assert!(guest.driver.needs_reset());
}

#[test]
fn requests_and_connections_are_limited() {
    let mut guest = Guest::new();
    for guest_port in 0..100 {
        guest.send(
            Ports {
                guest: guest_port,
                host: 1,
            },
            1,
            0,
            &[],
        );
        // Changing one's mind does not free the place: the host still has to answer.
        guest.send(
            Ports {
                guest: guest_port,
                host: 1,
            },
            RESET,
            0,
            &[],
        );
    }
    let asked = std::mem::take(&mut *guest.requests.0.lock().unwrap());
    assert_eq!(asked.len(), REQUESTS_MAX);
    for (id, _) in asked {
        guest.handle.refuse(id);
    }
    while guest.poll(true).is_some() {}
    let mut streams = Vec::new();
    for port in 0..CONNECTIONS_MAX as u32 {
        streams.push(guest.connect(port));
    }
    guest.send(
        Ports {
            guest: 5000,
            host: 1,
        },
        1,
        0,
        &[],
    );
    assert_eq!(guest.wait().operation, RESET);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    guest.handle.dial(22, theirs.into());
    assert!(ended(&mut ours));
    assert_eq!(guest.connections(), CONNECTIONS_MAX);
}

#[test]
fn a_guest_without_buffers_is_not_listened_to_until_it_gives_some() {
    let mut guest = Guest::new();
    while guest.given < 128 {
        guest.give(1);
    }
    let ports = Ports { guest: 1, host: 2 };
    let header = guest.header(ports, 5, 0, 0);
    let mut taken = 0;
    // Each packet causes a reset; nobody gives the answers' buffers back.
    while guest.send_raw(&header, &[]) {
        taken += 1;
        assert!(taken <= 128 + ANSWERS_MAX);
    }
    assert_eq!(taken, 128 + ANSWERS_MAX);
    let mut answers = 0;
    while let Some(packet) = guest.poll(true) {
        assert_eq!(packet.operation, RESET);
        answers += 1;
    }
    assert_eq!(answers, taken + 1);
    assert!(
        guest.driver.used(TRANSMIT).is_some(),
        "the packet that waited was taken"
    );
}

#[test]
fn a_guest_without_buffers_leaves_the_worker_asleep() {
    let mut guest = Guest::new();
    let (ports, mut stream) = guest.connect(1);
    // More than the 64 buffers hold.
    let writer = std::thread::spawn(move || {
        stream.write_all(&vec![7; 400_000]).unwrap();
        stream
    });
    let mut received = 0;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !guest.handle.handle.with(|vsock, _| Ok(vsock.starved)) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_micros(200));
    }
    let wanted = guest
        .handle
        .handle
        .with(|vsock, _| Ok(vsock.connections[&ports].wanted(false)));
    assert_eq!(wanted, None, "nothing to wait for");
    while received < 400_000 {
        received += guest.wait().data.len();
    }
    assert_eq!(received, 400_000);
    drop(writer.join().unwrap());
}

#[test]
fn a_reset_of_the_driver_ends_every_stream() {
    let mut guest = Guest::new();
    let (_, mut first) = guest.connect(1);
    guest.send(Ports { guest: 2, host: 3 }, 1, 0, &[]);
    guest.driver.start(u64::MAX);
    assert!(ended(&mut first));
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    guest.handle.accept(1, theirs.into());
    assert!(ended(&mut ours));
    guest.driver.write32(0x70, 0);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    guest.handle.dial(5, theirs.into());
    assert!(ended(&mut ours), "nobody to dial");
}

#[test]
fn the_worker_ends_with_the_last_handle() {
    let guest = Guest::new();
    let other = guest.handle.clone();
    let transport = guest.driver.transport.clone();
    drop(guest);
    drop(other);
    // The device itself goes on, deaf.
    let mut data = [0; 4];
    transport.read(8, &mut data);
    assert_eq!(data, [19, 0, 0, 0]);
}
