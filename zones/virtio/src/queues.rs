//! The virtqueues of one device, and the loop that serves them.
//!
//! `virtio-queue` keeps the rings' indices; this module sets a queue up from checked registers, hands out walked
//! chains and raises the interrupt when the driver wants one. Trusts neither rings nor registers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::bindings::virtio_ring::{
    VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC, VRING_AVAIL_F_NO_INTERRUPT,
};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

use crate::GuestMemory;
use crate::chain::{Broken, Chain};
use crate::interrupt::Interrupt;

/// Features that the transport and the queues offer for every device.
pub(crate) const COMMON_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC;

/// What may be served before the device's lock is let go for others: requests, with one more for each [`COST_BYTES`].
const TURN: u64 = 256;
const COST_BYTES: u64 = 64 << 10;

/// What became of a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Give it back to the driver; the device wrote this many bytes.
    Used(u32),
    /// Leave it, and all after it, in the queue until the device is asked again.
    Later,
}

/// A queue's registers, as the driver wrote them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueRegisters {
    pub(crate) size: u32,
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
}

struct Ring {
    queue: Queue,
    max_size: u16,
    /// Left with chains in it because its turn was over.
    unfinished: bool,
}

/// The virtqueues of one device, with the memory and the interrupt they need.
pub struct Queues {
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    rings: Vec<Ring>,
    features: u64,
    live: bool,
    generation: u32,
}

impl Queues {
    pub(crate) fn new(memory: GuestMemory, interrupt: Arc<Interrupt>, sizes: &[u16]) -> Self {
        let rings = sizes
            .iter()
            .map(|&size| {
                // Queue sizes are powers of two by the spec; a device model that says otherwise gets the next one down.
                let max_size = 1 << size.clamp(1, 32768).ilog2();
                Ring {
                    queue: Queue::new(max_size).unwrap_or_default(),
                    max_size,
                    unfinished: false,
                }
            })
            .collect();
        Self {
            memory,
            interrupt,
            rings,
            features: 0,
            live: false,
            generation: 0,
        }
    }

    /// Guest memory.
    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// Whether the driver has said DRIVER_OK and nothing broke since.
    pub fn live(&self) -> bool {
        self.live
    }

    /// Whether the driver accepted all of `features`.
    pub fn negotiated(&self, features: u64) -> bool {
        self.features & features == features
    }

    /// Tells the driver that the configuration space changed.
    pub fn configuration_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.live {
            self.interrupt.raise_configuration();
        }
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    pub(crate) fn set_features(&mut self, features: u64) {
        self.features = features;
    }

    pub(crate) fn max_size(&self, index: usize) -> u16 {
        self.rings.get(index).map_or(0, |ring| ring.max_size)
    }

    pub(crate) fn ready(&self, index: usize) -> bool {
        self.rings.get(index).is_some_and(|ring| ring.queue.ready())
    }

    /// Latches a queue's registers. Nothing the driver writes to them later matters until the queue is stopped.
    pub(crate) fn start(&mut self, index: usize, registers: QueueRegisters) -> Result<(), Broken> {
        let event_index = self.negotiated(1 << VIRTIO_RING_F_EVENT_IDX);
        let Some(ring) = self.rings.get_mut(index) else {
            return Ok(());
        };
        let queue = &mut ring.queue;
        if queue.ready() {
            return Ok(());
        }
        queue.reset();
        let latch = |queue: &mut Queue| {
            let size =
                u16::try_from(registers.size).map_err(|_| virtio_queue::Error::InvalidSize)?;
            queue.try_set_size(size)?;
            queue.try_set_desc_table_address(GuestAddress(registers.descriptors))?;
            queue.try_set_avail_ring_address(GuestAddress(registers.available))?;
            queue.try_set_used_ring_address(GuestAddress(registers.used))
        };
        let latched: Result<(), virtio_queue::Error> = latch(queue);
        queue.set_event_idx(event_index);
        queue.set_ready(true);
        // `virtio-queue` takes a ring at address 0 for one that was never set.
        if latched.is_err() || registers.available == 0 || !queue.is_valid(&self.memory) {
            queue.reset();
            return Err(Broken::QueueSetup);
        }
        Ok(())
    }

    pub(crate) fn stop(&mut self, index: usize) {
        if let Some(ring) = self.rings.get_mut(index) {
            ring.queue.reset();
        }
    }

    pub(crate) fn reset(&mut self) {
        for ring in &mut self.rings {
            ring.queue.reset();
        }
        self.features = 0;
        self.live = false;
    }

    /// A queue that was left because its turn was over; it has to be notified again.
    pub(crate) fn take_unfinished(&mut self) -> Option<usize> {
        let index = self.rings.iter().position(|ring| ring.unfinished)?;
        if let Some(ring) = self.rings.get_mut(index) {
            ring.unfinished = false;
        }
        Some(index)
    }

    /// Whether a queue was left because its turn was over.
    pub(crate) fn has_unfinished(&self) -> bool {
        self.rings.iter().any(|ring| ring.unfinished)
    }

    /// Hands each waiting chain of a queue to `handle` until none is left or it says [`Outcome::Later`].
    ///
    /// A queue that is absent or not ready has no chains. After a bounded turn the rest is left, and the device's `notify`
    /// is called for this queue again once others had a chance at the device.
    pub fn serve(
        &mut self,
        index: usize,
        mut handle: impl FnMut(&GuestMemory, &mut Chain) -> Result<Outcome, Broken>,
    ) -> Result<(), Broken> {
        if !self.live {
            return Ok(());
        }
        let indirect = self.negotiated(1 << VIRTIO_RING_F_INDIRECT_DESC);
        let Some(ring) = self.rings.get_mut(index).filter(|ring| ring.queue.ready()) else {
            return Ok(());
        };
        let memory = &self.memory;
        let mut added = false;
        let mut served = ring.serve(memory, indirect, &mut added, &mut handle);
        if added {
            match ring.wants_interrupt(memory) {
                Ok(true) => self.interrupt.raise_used_buffer(),
                Ok(false) => {}
                Err(broken) => served = Err(broken),
            }
        }
        served
    }
}

impl Ring {
    fn serve(
        &mut self,
        memory: &GuestMemory,
        indirect: bool,
        added: &mut bool,
        handle: &mut impl FnMut(&GuestMemory, &mut Chain) -> Result<Outcome, Broken>,
    ) -> Result<(), Broken> {
        let mut cost = 0_u64;
        loop {
            self.queue
                .disable_notification(memory)
                .map_err(|_| Broken::RingAccess)?;
            while let Some(mut chain) = self.pop(memory, indirect)? {
                cost = cost
                    .saturating_add(1)
                    .saturating_add(chain.bytes() / COST_BYTES);
                match handle(memory, &mut chain)? {
                    Outcome::Used(length) => {
                        self.queue
                            .add_used(memory, chain.head, length)
                            .map_err(|_| Broken::RingAccess)?;
                        *added = true;
                        if cost >= TURN {
                            self.unfinished = true;
                            return Ok(());
                        }
                    }
                    Outcome::Later => {
                        self.queue.go_to_previous_position();
                        return Ok(());
                    }
                }
            }
            let more = self
                .queue
                .enable_notification(memory)
                .map_err(|_| Broken::RingAccess)?;
            if !more {
                return Ok(());
            }
        }
    }

    fn pop(&mut self, memory: &GuestMemory, indirect: bool) -> Result<Option<Chain>, Broken> {
        let available = self
            .queue
            .avail_idx(memory, Ordering::Acquire)
            .map_err(|_| Broken::RingAccess)?;
        if available.0 == self.queue.next_avail() {
            return Ok(None);
        }
        let table = GuestAddress(self.queue.desc_table());
        let size = self.queue.size();
        // The index is read again inside; whatever it is by then is checked there.
        let head = self
            .queue
            .iter(memory)
            .map_err(|_| Broken::AvailableIndex)?
            .next()
            .map(|chain| chain.head_index());
        match head {
            Some(head) => Chain::walk(memory, table, size, head, indirect).map(Some),
            // The driver took the entry back between the two reads.
            None => Err(Broken::AvailableIndex),
        }
    }

    fn wants_interrupt(&mut self, memory: &GuestMemory) -> Result<bool, Broken> {
        if !self.queue.event_idx_enabled() {
            let flags: u16 = memory
                .load(GuestAddress(self.queue.avail_ring()), Ordering::Relaxed)
                .map_err(|_| Broken::RingAccess)?;
            return Ok(u32::from(u16::from_le(flags)) & VRING_AVAIL_F_NO_INTERRUPT == 0);
        }
        self.queue
            .needs_notification(memory)
            .map_err(|_| Broken::RingAccess)
    }
}
