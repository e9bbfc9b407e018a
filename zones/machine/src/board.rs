//! The board: what lies where in guest physical memory, and the bus that finds it.

use std::sync::Arc;

use zone_translate::{Bus, BusFault};

/// First byte of RAM.
pub const RAM_BASE: u64 = 0x8000_0000;
/// The platform-level interrupt controller.
pub const PLIC_BASE: u64 = 0x0c00_0000;
/// Size of its register window.
pub const PLIC_SIZE: u64 = 0x0400_0000;
/// The first virtio transport; others follow.
pub const VIRTIO_BASE: u64 = 0x1000_0000;
/// Size of one virtio transport's register window, and the distance between two.
pub const VIRTIO_SIZE: u64 = 0x1000;

/// The real-time clock.
pub const RTC_BASE: u64 = 0x0010_1000;
/// Size of its register window.
pub const RTC_SIZE: u64 = 0x1000;

/// A device's registers. Called from every hart's thread.
pub trait Registers: Send + Sync {
    /// Reads `data.len()` bytes (1, 2, 4 or 8) at an offset into the window.
    fn read(&self, offset: u64, data: &mut [u8]);
    /// Writes `data.len()` bytes (1, 2, 4 or 8) at an offset into the window.
    fn write(&self, offset: u64, data: &[u8]);
}

struct Window {
    base: u64,
    size: u64,
    device: Arc<dyn Registers>,
}

/// The devices of a machine by address; made once, before the harts start.
#[derive(Default)]
pub struct Board {
    windows: Vec<Window>,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.windows.iter().map(|window| window.base))
            .finish()
    }
}

impl Board {
    /// Puts a device at `base`. The layout is the machine's own, so windows do not overlap.
    pub fn add(&mut self, base: u64, size: u64, device: Arc<dyn Registers>) {
        self.windows.push(Window { base, size, device });
    }

    fn find(&self, address: u64, size: u8) -> Result<(&dyn Registers, u64), BusFault> {
        self.windows
            .iter()
            .find_map(|window| {
                let offset = address.checked_sub(window.base)?;
                let end = offset.checked_add(u64::from(size))?;
                (end <= window.size).then_some((&*window.device, offset))
            })
            .ok_or(BusFault)
    }
}

impl Bus for Board {
    fn read(&self, address: u64, size: u8) -> Result<u64, BusFault> {
        let (device, offset) = self.find(address, size)?;
        let mut bytes = [0; 8];
        device.read(offset, bytes.get_mut(..usize::from(size)).ok_or(BusFault)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&self, address: u64, size: u8, value: u64) -> Result<(), BusFault> {
        let (device, offset) = self.find(address, size)?;
        device.write(
            offset,
            value
                .to_le_bytes()
                .get(..usize::from(size))
                .ok_or(BusFault)?,
        );
        Ok(())
    }
}
