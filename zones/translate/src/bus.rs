//! What the CPU asks of everything that is not RAM.

/// No device answers at this physical address, or not to an access of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusFault;

/// Memory-mapped devices, as a hart sees them. Called from every hart's thread.
pub trait Bus: Send + Sync {
    /// Reads `size` bytes (1, 2, 4 or 8; naturally aligned) at a guest physical address, zero-extended.
    fn read(&self, address: u64, size: u8) -> Result<u64, BusFault>;
    /// Writes the low `size` bytes (1, 2, 4 or 8; naturally aligned) of `value`.
    fn write(&self, address: u64, size: u8, value: u64) -> Result<(), BusFault>;
}
