//! What a device model is to the transport, and where it is plugged in.

use crate::GuestMemory;
use crate::chain::Broken;
use crate::interrupt::InterruptLine;
use crate::queues::Queues;

/// The place a device is plugged into: the machine's memory and one interrupt line.
pub struct Slot {
    /// All of the machine's memory.
    pub memory: GuestMemory,
    /// The device's own line.
    pub line: Box<dyn InterruptLine>,
}

/// A device model. All calls come with the device's lock held, from one thread at a time.
pub trait Device: Send + 'static {
    /// The virtio device type (virtio 1.2, section 5).
    fn device_type(&self) -> u32;

    /// The feature bits of this device type that are offered.
    fn features(&self) -> u64;

    /// The largest size of each queue, each a power of two.
    fn queue_sizes(&self) -> &[u16];

    /// Reads the configuration space. `data` comes zeroed; what lies past the space stays so.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Writes the configuration space.
    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let _ = (offset, data);
    }

    /// The driver is ready (DRIVER_OK).
    fn activate(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        let _ = queues;
        Ok(())
    }

    /// The driver notified a queue that is ready.
    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken>;

    /// The machine has ended and will not be heard of again: saves what would otherwise be lost.
    fn finish(&mut self) {}

    /// Back to the state after power-on, as the driver asked for or before it is bound again.
    fn reset(&mut self);
}

/// Copies the part of `space` that starts at `offset` into `data`.
pub(crate) fn copy_config(space: &[u8], offset: u64, data: &mut [u8]) {
    let Some(source) = usize::try_from(offset)
        .ok()
        .and_then(|offset| space.get(offset..))
    else {
        return;
    };
    for (to, from) in data.iter_mut().zip(source) {
        *to = *from;
    }
}
