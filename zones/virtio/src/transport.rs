//! The virtio-mmio register window, version 2 (virtio 1.2, section 4.2.2), and the device's life (sections 2.1, 3.1).
//!
//! Invariants: feature bits stand still from FEATURES_OK on; a queue's registers stand still while it is ready; no queue
//! is served before DRIVER_OK or after the device broke; only a reset leads out of DEVICE_NEEDS_RESET. Any hart may
//! call at any time with any offset and length.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FAILED, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET,
    VIRTIO_F_VERSION_1,
};
use virtio_bindings::bindings::virtio_mmio as register;

use crate::chain::Broken;
use crate::device::{Device, Slot};
use crate::interrupt::Interrupt;
use crate::queues::{COMMON_FEATURES, QueueRegisters, Queues};

/// Size of a device's register window in bytes.
pub const WINDOW: u64 = 0x1000;

const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "BLKH", little-endian.
const VENDOR: u32 = 0x484b_4c42;
const CONFIG: u64 = register::VIRTIO_MMIO_CONFIG as u64;

const DRIVER_BITS: u32 = VIRTIO_CONFIG_S_ACKNOWLEDGE
    | VIRTIO_CONFIG_S_DRIVER
    | VIRTIO_CONFIG_S_FEATURES_OK
    | VIRTIO_CONFIG_S_DRIVER_OK
    | VIRTIO_CONFIG_S_FAILED;

/// A device's register window, for the machine's bus.
#[derive(Clone)]
pub struct Transport(Arc<dyn Registers>);

impl Transport {
    /// Reads `data.len()` bytes at `offset` of the window. Registers answer 32-bit reads; anything else reads as zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        self.0.read(offset, data);
    }

    /// Writes `data` at `offset` of the window. Registers take 32-bit writes; anything else is ignored.
    pub fn write(&self, offset: u64, data: &[u8]) {
        self.0.write(offset, data);
    }

    /// The machine has ended: the device saves what it holds, such as a disk's writes that the guest did not flush. To be
    /// called before the process ends by other means than returning. Afterwards no queue is served.
    pub fn finish(&self) {
        self.0.finish();
    }
}

/// The host side's grip on a device, for what does not come from the guest.
pub struct Handle<D>(Arc<Plugged<D>>);

impl<D> Clone for Handle<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Device> Handle<D> {
    /// Plugs `device` into `slot`.
    pub fn plug(slot: Slot, device: D) -> Self {
        let interrupt = Arc::new(Interrupt::new(slot.line));
        let queues = Queues::new(slot.memory, Arc::clone(&interrupt), device.queue_sizes());
        let registers = vec![QueueRegisters::default(); device.queue_sizes().len()];
        Self(Arc::new(Plugged {
            interrupt,
            finished: AtomicBool::new(false),
            state: Mutex::new(State {
                device,
                queues,
                registers,
                status: 0,
                device_features_select: 0,
                driver_features_select: 0,
                driver_features: 0,
                queue_select: 0,
            }),
        }))
    }

    /// The register window of the same device.
    pub fn transport(&self) -> Transport {
        Transport(Arc::clone(&self.0) as Arc<dyn Registers>)
    }

    /// Runs `act` with the device and its queues; if it reports a broken queue, the device stops as if the driver had
    /// notified that queue.
    pub(crate) fn with<T: Default>(
        &self,
        act: impl FnOnce(&mut D, &mut Queues) -> Result<T, Broken>,
    ) -> T {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let value = act(&mut state.device, &mut state.queues).unwrap_or_else(|broken| {
            state.give_up(broken, &self.0.interrupt);
            T::default()
        });
        let unfinished = state.queues.has_unfinished();
        drop(guard);
        if unfinished {
            self.0.finish_turns();
        }
        value
    }
}

trait Registers: Send + Sync {
    fn read(&self, offset: u64, data: &mut [u8]);
    fn write(&self, offset: u64, data: &[u8]);
    fn finish(&self);
}

struct Plugged<D> {
    /// Outside the lock: a hart can read and acknowledge its interrupt while another hart's request is being served.
    interrupt: Arc<Interrupt>,
    /// The machine has ended: no queue is served any more.
    finished: AtomicBool,
    state: Mutex<State<D>>,
}

struct State<D> {
    device: D,
    queues: Queues,
    registers: Vec<QueueRegisters>,
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
}

impl<D: Device> Registers for Plugged<D> {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(offset) = offset.checked_sub(CONFIG) {
            self.lock().device.read_config(offset, data);
            return;
        }
        let Ok(out) = <&mut [u8; 4]>::try_from(data) else {
            return;
        };
        *out = self.read_register(offset).to_le_bytes();
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some(offset) = offset.checked_sub(CONFIG) {
            self.lock().device.write_config(offset, data);
            return;
        }
        let Ok(bytes) = <[u8; 4]>::try_from(data) else {
            return;
        };
        self.write_register(offset, u32::from_le_bytes(bytes));
    }

    fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
        self.lock().device.finish();
    }
}

impl<D> Plugged<D> {
    fn lock(&self) -> MutexGuard<'_, State<D>> {
        // A panic under the lock is a bug of ours, but one that must not take the other devices' harts along.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Device> Plugged<D> {
    fn read_register(&self, offset: u64) -> u32 {
        let Ok(offset) = u32::try_from(offset) else {
            return 0;
        };
        match offset {
            register::VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            register::VIRTIO_MMIO_VERSION => VERSION,
            register::VIRTIO_MMIO_VENDOR_ID => VENDOR,
            register::VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt.status(),
            // No shared memory regions: length and base read as all ones.
            register::VIRTIO_MMIO_SHM_LEN_LOW
            | register::VIRTIO_MMIO_SHM_LEN_HIGH
            | register::VIRTIO_MMIO_SHM_BASE_LOW
            | register::VIRTIO_MMIO_SHM_BASE_HIGH => u32::MAX,
            _ => self.lock().read_register(offset),
        }
    }

    fn write_register(&self, offset: u64, value: u32) {
        let Ok(offset) = u32::try_from(offset) else {
            return;
        };
        if offset == register::VIRTIO_MMIO_INTERRUPT_ACK {
            self.interrupt.acknowledge(value);
            return;
        }
        if self.finished.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        state.write_register(offset, value, &self.interrupt);
        let unfinished = state.queues.has_unfinished();
        drop(state);
        if unfinished {
            self.finish_turns();
        }
    }

    /// Goes on with a queue whose turn was over, letting others at the device in between.
    ///
    /// A guest that feeds a queue from one hart as fast as another hart's notification is served stays here: that costs
    /// it its own harts, until the machine ends.
    fn finish_turns(&self) {
        while !self.finished.load(Ordering::Relaxed) {
            let mut state = self.lock();
            let Some(queue) = state.queues.take_unfinished() else {
                return;
            };
            state.notify(queue, &self.interrupt);
            drop(state);
            std::thread::yield_now();
        }
    }
}

impl<D: Device> State<D> {
    fn offered(&self) -> u64 {
        self.device.features() | COMMON_FEATURES
    }

    fn selected(&self) -> usize {
        self.queue_select as usize
    }

    fn read_register(&self, offset: u32) -> u32 {
        match offset {
            register::VIRTIO_MMIO_DEVICE_ID => self.device.device_type(),
            register::VIRTIO_MMIO_DEVICE_FEATURES => {
                word(self.offered(), self.device_features_select)
            }
            register::VIRTIO_MMIO_QUEUE_NUM_MAX => u32::from(self.queues.max_size(self.selected())),
            register::VIRTIO_MMIO_QUEUE_READY => u32::from(self.queues.ready(self.selected())),
            register::VIRTIO_MMIO_STATUS => self.status,
            register::VIRTIO_MMIO_CONFIG_GENERATION => self.queues.generation(),
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u32, value: u32, interrupt: &Interrupt) {
        match offset {
            register::VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_select = value,
            register::VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_select = value,
            register::VIRTIO_MMIO_DRIVER_FEATURES => self.write_driver_features(value),
            register::VIRTIO_MMIO_QUEUE_SEL => self.queue_select = value,
            register::VIRTIO_MMIO_QUEUE_READY => self.write_queue_ready(value, interrupt),
            register::VIRTIO_MMIO_QUEUE_NOTIFY => self.notify(value as usize, interrupt),
            register::VIRTIO_MMIO_STATUS => self.write_status(value, interrupt),
            _ => self.write_queue_register(offset, value),
        }
    }

    fn write_driver_features(&mut self, value: u32) {
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            return;
        }
        let (keep, shift) = match self.driver_features_select {
            0 => (0xffff_ffff_0000_0000, 0),
            1 => (0x0000_0000_ffff_ffff, 32),
            _ => return,
        };
        self.driver_features = self.driver_features & keep | u64::from(value) << shift;
    }

    fn write_queue_register(&mut self, offset: u32, value: u32) {
        let index = self.selected();
        if self.queues.ready(index) {
            return;
        }
        let Some(queue) = self.registers.get_mut(index) else {
            return;
        };
        match offset {
            register::VIRTIO_MMIO_QUEUE_NUM => queue.size = value,
            register::VIRTIO_MMIO_QUEUE_DESC_LOW => set_low(&mut queue.descriptors, value),
            register::VIRTIO_MMIO_QUEUE_DESC_HIGH => set_high(&mut queue.descriptors, value),
            register::VIRTIO_MMIO_QUEUE_AVAIL_LOW => set_low(&mut queue.available, value),
            register::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => set_high(&mut queue.available, value),
            register::VIRTIO_MMIO_QUEUE_USED_LOW => set_low(&mut queue.used, value),
            register::VIRTIO_MMIO_QUEUE_USED_HIGH => set_high(&mut queue.used, value),
            _ => {}
        }
    }

    fn write_queue_ready(&mut self, value: u32, interrupt: &Interrupt) {
        let index = self.selected();
        if value == 0 {
            self.queues.stop(index);
            return;
        }
        let negotiated = self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0;
        let broken = self.status & VIRTIO_CONFIG_S_NEEDS_RESET != 0;
        if !negotiated || broken {
            return;
        }
        if let Some(registers) = self.registers.get(index).copied()
            && let Err(broken) = self.queues.start(index, registers)
        {
            self.give_up(broken, interrupt);
        }
    }

    fn write_status(&mut self, value: u32, interrupt: &Interrupt) {
        if value == 0 {
            self.reset(interrupt);
            return;
        }
        // Between resets the driver only adds bits, one step at a time.
        let mut new = value & DRIVER_BITS & !self.status;
        if new & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            if self.features_acceptable() {
                self.status |= VIRTIO_CONFIG_S_FEATURES_OK;
                self.queues.set_features(self.driver_features);
            }
            new &= !VIRTIO_CONFIG_S_FEATURES_OK;
        }
        let go = new & VIRTIO_CONFIG_S_DRIVER_OK != 0;
        self.status |= new & !VIRTIO_CONFIG_S_DRIVER_OK;
        if self.status & VIRTIO_CONFIG_S_FAILED != 0 {
            self.queues.set_live(false);
            return;
        }
        let may_go = self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0
            && self.status & VIRTIO_CONFIG_S_NEEDS_RESET == 0;
        if go && may_go {
            self.status |= VIRTIO_CONFIG_S_DRIVER_OK;
            self.queues.set_live(true);
            if let Err(broken) = self.device.activate(&mut self.queues) {
                self.give_up(broken, interrupt);
            }
        }
    }

    fn features_acceptable(&self) -> bool {
        let unknown = self.driver_features & !self.offered();
        unknown == 0 && self.driver_features & 1 << VIRTIO_F_VERSION_1 != 0
    }

    fn notify(&mut self, queue: usize, interrupt: &Interrupt) {
        if !self.queues.live() || !self.queues.ready(queue) {
            return;
        }
        if let Err(broken) = self.device.notify(queue, &mut self.queues) {
            self.give_up(broken, interrupt);
        }
    }

    fn give_up(&mut self, broken: Broken, interrupt: &Interrupt) {
        tracing::debug!(device = self.device.device_type(), %broken, "virtio device needs a reset");
        self.queues.set_live(false);
        self.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        if self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            interrupt.raise_configuration();
        }
    }

    fn reset(&mut self, interrupt: &Interrupt) {
        self.queues.reset();
        self.device.reset();
        self.registers.fill(QueueRegisters::default());
        self.status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        interrupt.clear();
    }
}

/// The 32-bit word of a feature set that a select register names; there are two.
fn word(features: u64, select: u32) -> u32 {
    let [a, b, c, d, e, f, g, h] = features.to_le_bytes();
    match select {
        0 => u32::from_le_bytes([a, b, c, d]),
        1 => u32::from_le_bytes([e, f, g, h]),
        _ => 0,
    }
}

fn set_low(address: &mut u64, value: u32) {
    *address = *address & 0xffff_ffff_0000_0000 | u64::from(value);
}

fn set_high(address: &mut u64, value: u32) {
    *address = *address & 0x0000_0000_ffff_ffff | u64::from(value) << 32;
}

#[cfg(test)]
mod tests;
