//! A driver for tests and fuzzers: sets a device up through its registers in the order in which Linux does, and keeps split
//! virtqueues in a few MiB of guest memory. It can also be told to break every rule. In tests, every write of the device has to
//! be announced ([`checker`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::device::Slot;
use crate::{GuestMemory, InterruptLine, Transport};

#[cfg(test)]
mod checker;

pub(crate) const RAM: u64 = 0x8000_0000;
pub(crate) const RAM_SIZE: u64 = 16 << 20;
/// Each queue's rings lie in 64 KiB of their own: table, then available ring, then used ring.
const QUEUE_STRIDE: u64 = 0x1_0000;
const AVAILABLE: u64 = 0x8000;
const USED: u64 = 0xa000;
/// Buffers are laid out from here on.
pub(crate) const BUFFERS: u64 = RAM + 0x10_0000;

pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

#[derive(Default)]
pub(crate) struct Line {
    high: AtomicBool,
    edges: AtomicU32,
}

impl Line {
    pub(crate) fn high(&self) -> bool {
        self.high.load(Ordering::SeqCst)
    }

    pub(crate) fn edges(&self) -> u32 {
        self.edges.load(Ordering::SeqCst)
    }
}

struct SharedLine(Arc<Line>);

impl InterruptLine for SharedLine {
    fn set(&self, high: bool) {
        self.0.high.store(high, Ordering::SeqCst);
        self.0.edges.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RawDescriptor {
    pub(crate) address: u64,
    pub(crate) length: u32,
    pub(crate) flags: u16,
    pub(crate) next: u16,
}

pub(crate) struct Driver {
    pub(crate) memory: GuestMemory,
    pub(crate) transport: Transport,
    pub(crate) line: Arc<Line>,
    queues: Vec<DriverQueue>,
    #[cfg(test)]
    checker: Arc<checker::Checker>,
    #[cfg(test)]
    notified: AtomicU32,
}

#[derive(Clone, Copy, Default)]
struct DriverQueue {
    size: u16,
    available: u16,
    used: u16,
}

/// Memory to test with, as the driver and the device have it.
fn memory() -> Arc<GuestMemoryMmap> {
    let ranges = [(GuestAddress(RAM), RAM_SIZE as usize)];
    Arc::new(GuestMemoryMmap::from_ranges(&ranges).unwrap())
}

#[cfg(test)]
impl Drop for Driver {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.checker.check();
        }
    }
}

impl Driver {
    /// Plugs a device and leaves it in its power-on state.
    pub(crate) fn plug(plug: impl FnOnce(Slot) -> Transport) -> Self {
        let mapped = memory();
        #[cfg(test)]
        let checker = Arc::new(checker::Checker::new(Arc::clone(&mapped)));
        #[cfg(test)]
        let gate = Arc::clone(&checker);
        #[cfg(not(test))]
        let gate = Arc::<std::sync::RwLock<()>>::default();
        let memory = GuestMemory::new(mapped, gate);
        let line = Arc::new(Line::default());
        let slot = Slot {
            memory: memory.clone(),
            line: Box::new(SharedLine(Arc::clone(&line))),
        };
        Self {
            transport: plug(slot),
            memory,
            line,
            queues: Vec::new(),
            #[cfg(test)]
            checker,
            #[cfg(test)]
            notified: AtomicU32::new(0),
        }
    }

    /// Plugs a device and starts it with every feature it offers.
    pub(crate) fn started(plug: impl FnOnce(Slot) -> Transport) -> Self {
        let mut driver = Self::plug(plug);
        driver.start(u64::MAX);
        driver
    }

    pub(crate) fn read32(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.transport.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    pub(crate) fn write32(&self, offset: u64, value: u32) {
        self.transport.write(offset, &value.to_le_bytes());
    }

    pub(crate) fn config<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut data = [0xaa; N];
        self.transport.read(0x100 + offset, &mut data);
        data
    }

    pub(crate) fn status(&self) -> u32 {
        self.read32(0x70)
    }

    pub(crate) fn needs_reset(&self) -> bool {
        self.status() & 0x40 != 0
    }

    pub(crate) fn offered(&self) -> u64 {
        self.write32(0x14, 1);
        let high = self.read32(0x10);
        self.write32(0x14, 0);
        u64::from(high) << 32 | u64::from(self.read32(0x10))
    }

    pub(crate) fn accept(&self, features: u64) {
        self.write32(0x24, 1);
        self.write32(0x20, (features >> 32) as u32);
        self.write32(0x24, 0);
        self.write32(0x20, features as u32);
    }

    /// Probe, negotiate, set up every queue, DRIVER_OK: what `virtio_mmio.ko` and the device's driver do.
    pub(crate) fn start(&mut self, wanted: u64) {
        assert_eq!(self.read32(0), 0x7472_6976);
        assert_eq!(self.read32(4), 2);
        self.write32(0x70, 0);
        self.write32(0x70, 1);
        self.write32(0x70, 3);
        let offered = self.offered();
        self.accept(offered & wanted | 1 << 32);
        self.write32(0x70, 0xb);
        assert_eq!(self.status(), 0xb, "the device accepted our features");
        self.queues.clear();
        loop {
            let index = self.queues.len();
            self.write32(0x30, index as u32);
            assert_eq!(self.read32(0x44), 0);
            let size = self.read32(0x34) as u16;
            if size == 0 {
                break;
            }
            self.set_up_queue(index, size);
            self.write32(0x44, 1);
            assert_eq!(self.read32(0x44), 1);
            self.queues.push(DriverQueue {
                size,
                ..DriverQueue::default()
            });
        }
        self.write32(0x70, 0xf);
        assert_eq!(self.status(), 0xf);
    }

    /// Clears a queue's rings and writes its registers, all but QueueReady.
    pub(crate) fn set_up_queue(&self, index: usize, size: u16) {
        let base = RAM + index as u64 * QUEUE_STRIDE;
        self.memory
            .write_slice(&[0; QUEUE_STRIDE as usize], GuestAddress(base))
            .unwrap();
        self.write32(0x30, index as u32);
        self.write32(0x38, u32::from(size));
        for (register, address) in [(0x80, base), (0x90, base + AVAILABLE), (0xa0, base + USED)] {
            self.write32(register, address as u32);
            self.write32(register + 4, (address >> 32) as u32);
        }
    }

    /// How many queues the device has.
    pub(crate) fn queues(&self) -> usize {
        self.queues.len()
    }

    pub(crate) fn table(&self, queue: usize) -> u64 {
        RAM + queue as u64 * QUEUE_STRIDE
    }

    pub(crate) fn put_descriptor(&self, table: u64, index: u16, descriptor: RawDescriptor) {
        let address = GuestAddress(table + u64::from(index) * 16);
        let mut bytes = Vec::new();
        bytes.extend(descriptor.address.to_le_bytes());
        bytes.extend(descriptor.length.to_le_bytes());
        bytes.extend(descriptor.flags.to_le_bytes());
        bytes.extend(descriptor.next.to_le_bytes());
        self.memory.write_slice(&bytes, address).unwrap();
    }

    /// Adds a head to the available ring without telling the device.
    pub(crate) fn offer(&mut self, queue: usize, head: u16) {
        let ring = self.table(queue) + AVAILABLE;
        let state = &mut self.queues[queue];
        let slot = u64::from(state.available % state.size);
        self.memory
            .write_obj(head.to_le(), GuestAddress(ring + 4 + slot * 2))
            .unwrap();
        state.available = state.available.wrapping_add(1);
        let index = state.available;
        self.set_available_index(queue, index);
    }

    pub(crate) fn set_available_index(&self, queue: usize, index: u16) {
        let ring = self.table(queue) + AVAILABLE;
        self.memory
            .write_obj(index.to_le(), GuestAddress(ring + 2))
            .unwrap();
    }

    pub(crate) fn notify(&self, queue: usize) {
        self.write32(0x50, queue as u32);
        #[cfg(test)]
        if self
            .notified
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(64)
        {
            self.checker.check();
        }
    }

    /// The next used element, if the device gave one back: head and length.
    pub(crate) fn used(&mut self, queue: usize) -> Option<(u32, u32)> {
        let table = self.table(queue);
        let ring = table + USED;
        let index: u16 = self.memory.read_obj(GuestAddress(ring + 2)).unwrap();
        let state = &mut self.queues[queue];
        if u16::from_le(index) == state.used {
            return None;
        }
        let slot = u64::from(state.used % state.size);
        state.used = state.used.wrapping_add(1);
        // Ask for an interrupt at the next one, as a driver does when it re-enables its callback.
        let event = table + AVAILABLE + 4 + u64::from(state.size) * 2;
        self.memory
            .write_obj(state.used.to_le(), GuestAddress(event))
            .unwrap();
        let read = |offset| -> u32 { self.memory.read_obj(GuestAddress(ring + offset)).unwrap() };
        Some((read(4 + slot * 8), read(8 + slot * 8)))
    }

    /// Lays out one chain of the given buffers from descriptor `head` on: data to read, then room to write.
    pub(crate) fn lay_out(
        &self,
        queue: usize,
        head: u16,
        at: u64,
        readable: &[&[u8]],
        writable: &[u32],
    ) -> Vec<(u64, u32)> {
        let count = (readable.len() + writable.len()) as u16;
        let mut address = at;
        let mut room = Vec::new();
        let mut index = 0_u16;
        let mut put = |length: u32, flags: u16, address: u64| {
            index += 1;
            let more = if index < count { NEXT } else { 0 };
            let descriptor = RawDescriptor {
                address,
                length,
                flags: flags | more,
                next: head + index,
            };
            self.put_descriptor(self.table(queue), head + index - 1, descriptor);
        };
        for data in readable {
            self.memory
                .write_slice(data, GuestAddress(address))
                .unwrap();
            put(data.len() as u32, 0, address);
            address += (data.len() as u64).next_multiple_of(16);
        }
        for &length in writable {
            self.memory
                .write_slice(&vec![0xee; length as usize], GuestAddress(address))
                .unwrap();
            put(length, WRITE, address);
            room.push((address, length));
            address += u64::from(length).next_multiple_of(16);
        }
        room
    }

    /// One request, start to finish: the length that the device reported and all it could write.
    pub(crate) fn request(
        &mut self,
        queue: usize,
        readable: &[&[u8]],
        writable: &[u32],
    ) -> Option<(u32, Vec<u8>)> {
        let room = self.lay_out(queue, 0, BUFFERS, readable, writable);
        self.offer(queue, 0);
        self.notify(queue);
        let (head, length) = self.used(queue)?;
        assert_eq!(head, 0);
        let mut answer = Vec::new();
        for (address, length) in room {
            let mut bytes = vec![0; length as usize];
            self.memory
                .read_slice(&mut bytes, GuestAddress(address))
                .unwrap();
            answer.extend(bytes);
        }
        Some((length, answer))
    }

    /// A request of which nothing is expected, on any queue.
    pub(crate) fn try_request(&mut self, queue: usize, readable: &[&[u8]], writable: &[u32]) {
        if queue >= self.queues.len() {
            return;
        }
        self.lay_out(queue, 0, BUFFERS, readable, writable);
        self.offer(queue, 0);
        self.notify(queue);
        while self.used(queue).is_some() {}
    }

    /// Adds a head to the available ring of a queue, if there is such a queue.
    pub(crate) fn try_offer(&mut self, queue: usize, head: u16) {
        if queue < self.queues.len() {
            self.offer(queue, head);
        }
    }

    pub(crate) fn acknowledge(&self) -> u32 {
        let status = self.read32(0x60);
        self.write32(0x64, status);
        status
    }
}
