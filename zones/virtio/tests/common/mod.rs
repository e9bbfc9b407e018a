//! A machine for the guest-side drivers of the `virtio-drivers` crate: memory for their DMA, and registers that lead to
//! a device of ours. That crate was written by others from the same standard, which is what makes it a check.
//!
//! In tests, what a device writes has to be announced: buffers that only the device may write to, as long as they are its, are
//! compared with what they were.
//!
//! The drivers' memory interface hands out raw pointers, so this file is unsafe; nothing of it is linked into the product.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock, RwLockReadGuard};

use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use zerocopy::{FromBytes, Immutable, IntoBytes};
use zone_virtio::{GuestMemory, InterruptLine, Slot, WriteGate};

const RAM: u64 = 0x8000_0000;
const RAM_SIZE: usize = 256 << 20;

struct Machine {
    memory: Arc<GuestMemoryMmap>,
    gate: Arc<Announced>,
    /// Buffers that are the device's to write to, and what they were.
    lent: HashMap<u64, Vec<u8>>,
    next: u64,
    /// Freed runs of pages, by their number.
    free: HashMap<usize, Vec<u64>>,
}

/// One machine for all tests of a binary: the drivers' memory interface has no instance.
fn machine() -> &'static Mutex<Machine> {
    static MACHINE: OnceLock<Mutex<Machine>> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let ranges = [(GuestAddress(RAM), RAM_SIZE)];
        Mutex::new(Machine {
            memory: Arc::new(GuestMemoryMmap::from_ranges(&ranges).unwrap()),
            gate: Arc::default(),
            lent: HashMap::new(),
            next: RAM,
            free: HashMap::new(),
        })
    })
}

/// Which bytes devices said that they were about to write.
#[derive(Default)]
struct Announced {
    open: RwLock<()>,
    bytes: Mutex<Vec<bool>>,
}

impl Announced {
    fn mark(&self, address: u64, length: usize, announced: bool) {
        let start = usize::try_from(address - RAM).unwrap();
        let mut bytes = self.bytes.lock().unwrap();
        if bytes.is_empty() {
            *bytes = vec![false; RAM_SIZE];
        }
        bytes[start..start + length].fill(announced);
    }
}

impl WriteGate for Announced {
    fn about_to_write(&self, address: GuestAddress, length: usize) -> RwLockReadGuard<'_, ()> {
        // Benchmarks measure the devices.
        if cfg!(test) {
            self.mark(address.0, length, true);
        }
        self.open.read().unwrap()
    }
}

impl Machine {
    fn lend(&mut self, address: u64, length: usize, direction: BufferDirection) {
        if cfg!(test) && direction == BufferDirection::DeviceToDriver {
            let mut bytes = vec![0; length];
            let at = GuestAddress(address);
            self.memory.read_slice(&mut bytes, at).unwrap();
            self.lent.insert(address, bytes);
            self.gate.mark(address, length, false);
        }
    }

    fn take_back(&mut self, address: u64) {
        let Some(before) = self.lent.remove(&address) else {
            return;
        };
        let mut now = vec![0; before.len()];
        let at = GuestAddress(address);
        self.memory.read_slice(&mut now, at).unwrap();
        let start = usize::try_from(address - RAM).unwrap();
        let announced = &self.gate.bytes.lock().unwrap()[start..start + now.len()];
        let bytes = before.iter().zip(&now).zip(announced);
        let untold = bytes.filter(|((before, now), told)| before != now && !**told);
        assert_eq!(untold.count(), 0, "bytes were written unannounced");
    }

    fn allocate(&mut self, pages: usize) -> u64 {
        if let Some(address) = self.free.get_mut(&pages).and_then(Vec::pop) {
            return address;
        }
        let address = self.next;
        self.next += (pages * PAGE_SIZE) as u64;
        assert!(
            self.next <= RAM + RAM_SIZE as u64,
            "the test's memory is used up"
        );
        address
    }

    fn release(&mut self, address: u64, pages: usize) {
        self.free.entry(pages).or_default().push(address);
    }
}

pub struct TestHal;

// SAFETY: pages come from memory that lives as long as the process, are zeroed, page-aligned (the mapping is) and handed
// out once until they are given back.
unsafe impl Hal for TestHal {
    fn dma_alloc(pages: usize, direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let mut machine = machine().lock().unwrap();
        let address = machine.allocate(pages);
        let zeroes = vec![0; pages * PAGE_SIZE];
        machine
            .memory
            .write_slice(&zeroes, GuestAddress(address))
            .unwrap();
        let pointer = machine
            .memory
            .get_host_address(GuestAddress(address))
            .unwrap();
        machine.lend(address, pages * PAGE_SIZE, direction);
        (address, NonNull::new(pointer).unwrap())
    }

    unsafe fn dma_dealloc(address: PhysAddr, _: NonNull<u8>, pages: usize) -> i32 {
        let mut machine = machine().lock().unwrap();
        machine.take_back(address);
        machine.release(address, pages);
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("only the PCI transport asks")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let mut machine = machine().lock().unwrap();
        let address = machine.allocate(buffer.len().div_ceil(PAGE_SIZE));
        if direction != BufferDirection::DeviceToDriver {
            // SAFETY: the caller promises a valid buffer that nobody else touches during the call.
            let bytes = unsafe { buffer.as_ref() };
            machine
                .memory
                .write_slice(bytes, GuestAddress(address))
                .unwrap();
        }
        machine.lend(address, buffer.len(), direction);
        address
    }

    unsafe fn unshare(address: PhysAddr, mut buffer: NonNull<[u8]>, direction: BufferDirection) {
        let mut machine = machine().lock().unwrap();
        machine.take_back(address);
        machine.release(address, buffer.len().div_ceil(PAGE_SIZE));
        if direction != BufferDirection::DriverToDevice {
            // SAFETY: as in `share`.
            let bytes = unsafe { buffer.as_mut() };
            machine
                .memory
                .read_slice(bytes, GuestAddress(address))
                .unwrap();
        }
    }
}

/// A line that remembers its level.
#[derive(Clone, Default)]
pub struct Line(Arc<AtomicBool>);

impl Line {
    pub fn high(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl InterruptLine for Line {
    fn set(&self, high: bool) {
        self.0.store(high, Ordering::SeqCst);
    }
}

/// A place for a device in the machine.
pub fn slot() -> (Slot, Line) {
    let line = Line::default();
    let machine = machine().lock().unwrap();
    let memory = GuestMemory::new(Arc::clone(&machine.memory), Arc::clone(&machine.gate) as _);
    let slot = Slot {
        memory,
        line: Box::new(line.clone()),
    };
    (slot, line)
}

/// The drivers' view of a register window: the accesses that their own MMIO transport makes.
pub struct Window(pub zone_virtio::Transport);

impl Window {
    fn read32(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.0.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    fn write32(&self, offset: u64, value: u32) {
        self.0.write(offset, &value.to_le_bytes());
    }

    fn write64(&self, offset: u64, value: u64) {
        self.write32(offset, u32::try_from(value & 0xffff_ffff).unwrap());
        self.write32(offset + 4, u32::try_from(value >> 32).unwrap());
    }
}

impl Transport for Window {
    fn device_type(&self) -> DeviceType {
        assert_eq!((self.read32(0), self.read32(4)), (0x7472_6976, 2));
        DeviceType::try_from(self.read32(8)).unwrap()
    }

    fn read_device_features(&mut self) -> u64 {
        self.write32(0x14, 0);
        let low = self.read32(0x10);
        self.write32(0x14, 1);
        u64::from(low) | u64::from(self.read32(0x10)) << 32
    }

    fn write_driver_features(&mut self, features: u64) {
        for (select, word) in [(0, features & 0xffff_ffff), (1, features >> 32)] {
            self.write32(0x24, select);
            self.write32(0x20, u32::try_from(word).unwrap());
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.write32(0x30, queue.into());
        self.read32(0x34)
    }

    fn notify(&mut self, queue: u16) {
        self.write32(0x50, queue.into());
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(self.read32(0x70))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.write32(0x70, status.bits());
        assert_eq!(
            self.get_status(),
            status,
            "the device follows the driver's steps"
        );
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.write32(0x30, queue.into());
        self.write32(0x38, size);
        self.write64(0x80, descriptors);
        self.write64(0x90, driver_area);
        self.write64(0xa0, device_area);
        self.write32(0x44, 1);
        assert_eq!(self.read32(0x44), 1);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.write32(0x30, queue.into());
        self.write32(0x44, 0);
        assert_eq!(self.read32(0x44), 0);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.write32(0x30, queue.into());
        self.read32(0x44) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        let status = self.read32(0x60);
        self.write32(0x64, status);
        InterruptStatus::from_bits_retain(status)
    }

    fn read_config_generation(&self) -> u32 {
        self.read32(0xfc)
    }

    fn read_config_space<T: FromBytes + IntoBytes>(
        &self,
        offset: usize,
    ) -> virtio_drivers::Result<T> {
        let mut value = T::new_zeroed();
        self.0.read(0x100 + offset as u64, value.as_mut_bytes());
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> virtio_drivers::Result<()> {
        self.0.write(0x100 + offset as u64, value.as_bytes());
        Ok(())
    }
}

/// Writes to a buffer as a device may that knows another way to it.
pub fn write_unannounced() {
    let mut memory = Machine {
        memory: Arc::clone(&machine().lock().unwrap().memory),
        gate: Arc::default(),
        lent: HashMap::new(),
        next: RAM,
        free: HashMap::new(),
    };
    // At the end, where no driver's memory is.
    let address = RAM + (RAM_SIZE - PAGE_SIZE) as u64;
    memory.lend(address, 100, BufferDirection::DeviceToDriver);
    let at = GuestAddress(address + 50);
    memory.memory.write_obj(1_u8, at).unwrap();
    memory.take_back(address);
}
