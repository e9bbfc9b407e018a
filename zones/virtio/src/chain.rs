//! Descriptor chains, walked once and bounded before a device sees them (virtio 1.2, section 2.7).
//!
//! A [`Chain`] lists guest memory that was checked to exist: first what the device may read, then what it may write.
//! The guest can change the bytes at any time, but not the list. Walking ends after at most as many steps as the
//! table has entries, so loops end too. Trusts nothing in the table.

use vm_memory::{Bytes, GuestAddress};

use crate::GuestMemory;

/// Bytes of one descriptor in a table.
const DESCRIPTOR_SIZE: u32 = 16;
/// Entries of an indirect table that we are willing to walk: four times the longest queue we offer.
const MAX_INDIRECT: u32 = 1024;
/// Bytes that one chain may cover. The largest honest request is a block transfer of 254 segments of 64 KiB.
pub const MAX_CHAIN_BYTES: u64 = 32 << 20;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Why a device stopped until its driver resets it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A descriptor index points past its table.
    #[error("a descriptor index points past its table")]
    DescriptorIndex,
    /// A chain has more descriptors than its table, so it loops.
    #[error("a descriptor chain loops")]
    Loop,
    /// A descriptor covers no bytes.
    #[error("a descriptor has length zero")]
    ZeroLength,
    /// A descriptor or a table lies outside guest memory.
    #[error("a descriptor points outside guest memory")]
    OutsideMemory,
    /// The chain covers more than [`MAX_CHAIN_BYTES`].
    #[error("a descriptor chain covers too many bytes")]
    TooManyBytes,
    /// A device-readable descriptor follows a device-writable one.
    #[error("a readable descriptor follows a writable one")]
    ReadableAfterWritable,
    /// An indirect table inside an indirect table, combined with NEXT, or not negotiated.
    #[error("an indirect descriptor where none is allowed")]
    IndirectNotAllowed,
    /// An indirect table of no entries, too many, or not a whole number of them.
    #[error("an indirect descriptor table has a wrong length")]
    IndirectLength,
    /// The available ring's index ran away.
    #[error("the available ring claims more entries than the queue has")]
    AvailableIndex,
    /// A queue was made ready with a wrong size, alignment or address.
    #[error("a queue was enabled with a wrong size, alignment or address")]
    QueueSetup,
    /// A ring could not be reached.
    #[error("a ring lies outside guest memory")]
    RingAccess,
    /// A request too short to carry its header or its status.
    #[error("a request is too short for its header or its answer")]
    RequestTooShort,
}

/// One request of the driver: what the device may read of it and where it may answer.
#[derive(Debug)]
pub struct Chain {
    /// Index of the chain's first descriptor, the name by which it is given back.
    pub(crate) head: u16,
    /// Device-readable bytes.
    pub readable: Segments,
    /// Device-writable bytes.
    pub writable: Segments,
}

impl Chain {
    /// Bytes that the chain covers, as long as nothing of it was read or written.
    pub(crate) fn bytes(&self) -> u64 {
        self.readable
            .remaining
            .saturating_add(self.writable.remaining)
    }

    /// Walks the chain that starts at `head` of the `size`-entry table at `table`.
    pub(crate) fn walk(
        memory: &GuestMemory,
        table: GuestAddress,
        size: u16,
        head: u16,
        indirect_negotiated: bool,
    ) -> Result<Self, Broken> {
        let mut chain = Self {
            head,
            readable: Segments::default(),
            writable: Segments::default(),
        };
        let mut table = table;
        let mut entries = u32::from(size);
        let mut steps_left = entries;
        let mut inside_indirect = false;
        let mut index = u32::from(head);
        let mut total = 0_u64;
        loop {
            if index >= entries {
                return Err(Broken::DescriptorIndex);
            }
            steps_left = steps_left.checked_sub(1).ok_or(Broken::Loop)?;
            let descriptor = Descriptor::read(memory, table, index)?;
            if descriptor.flags & INDIRECT != 0 {
                if !indirect_negotiated || inside_indirect || descriptor.flags & NEXT != 0 {
                    return Err(Broken::IndirectNotAllowed);
                }
                if !descriptor.length.is_multiple_of(DESCRIPTOR_SIZE) {
                    return Err(Broken::IndirectLength);
                }
                entries = descriptor.length / DESCRIPTOR_SIZE;
                if entries == 0 || entries > MAX_INDIRECT {
                    return Err(Broken::IndirectLength);
                }
                steps_left = entries;
                table = descriptor.address;
                inside_indirect = true;
                index = 0;
                continue;
            }
            total = total
                .checked_add(u64::from(descriptor.length))
                .filter(|total| *total <= MAX_CHAIN_BYTES)
                .ok_or(Broken::TooManyBytes)?;
            if descriptor.flags & WRITE != 0 {
                chain.writable.add(memory, &descriptor)?;
            } else if chain.writable.parts.is_empty() {
                chain.readable.add(memory, &descriptor)?;
            } else {
                return Err(Broken::ReadableAfterWritable);
            }
            if descriptor.flags & NEXT == 0 {
                return Ok(chain);
            }
            index = u32::from(descriptor.next);
        }
    }
}

struct Descriptor {
    address: GuestAddress,
    length: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn read(memory: &GuestMemory, table: GuestAddress, index: u32) -> Result<Self, Broken> {
        let address = u64::from(index)
            .checked_mul(u64::from(DESCRIPTOR_SIZE))
            .and_then(|offset| table.0.checked_add(offset))
            .ok_or(Broken::OutsideMemory)?;
        let mut bytes = [0; DESCRIPTOR_SIZE as usize];
        memory
            .read_slice(&mut bytes, GuestAddress(address))
            .map_err(|_| Broken::OutsideMemory)?;
        let [
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            l0,
            l1,
            l2,
            l3,
            f0,
            f1,
            n0,
            n1,
        ] = bytes;
        Ok(Self {
            address: GuestAddress(u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Part {
    address: GuestAddress,
    length: u32,
}

/// A run of guest memory in pieces, read or written from front to back.
#[derive(Debug, Default)]
pub struct Segments {
    parts: Vec<Part>,
    /// Bytes from the cursor to the end.
    remaining: u64,
    /// The cursor: which part, and how far into it.
    part: usize,
    offset: u32,
    /// Bytes that the cursor has passed.
    passed: u32,
}

impl Segments {
    fn add(&mut self, memory: &GuestMemory, descriptor: &Descriptor) -> Result<(), Broken> {
        if descriptor.length == 0 {
            return Err(Broken::ZeroLength);
        }
        if !memory.has(descriptor.address, descriptor.length as usize) {
            return Err(Broken::OutsideMemory);
        }
        self.parts.push(Part {
            address: descriptor.address,
            length: descriptor.length,
        });
        self.remaining = self
            .remaining
            .checked_add(u64::from(descriptor.length))
            .ok_or(Broken::TooManyBytes)?;
        Ok(())
    }

    /// Bytes between the cursor and the end.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Bytes that the cursor has passed: after writing, the length to report for the chain.
    pub fn passed(&self) -> u32 {
        self.passed
    }

    /// Copies out the next `buffer.len()` bytes. Fails, with the cursor where it was, if fewer are left.
    pub fn read(&mut self, memory: &GuestMemory, buffer: &mut [u8]) -> Result<(), Broken> {
        self.check(buffer.len())?;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (address, length) = self.advance(rest.len())?;
            let (now, later) = rest
                .split_at_mut_checked(length)
                .ok_or(Broken::RequestTooShort)?;
            memory
                .read_slice(now, address)
                .map_err(|_| Broken::OutsideMemory)?;
            rest = later;
        }
        Ok(())
    }

    /// Copies `data` to the next bytes. Fails, with the cursor where it was, if it does not fit.
    pub fn write(&mut self, memory: &GuestMemory, data: &[u8]) -> Result<(), Broken> {
        self.check(data.len())?;
        let mut rest = data;
        while !rest.is_empty() {
            let (address, length) = self.advance(rest.len())?;
            let (now, later) = rest
                .split_at_checked(length)
                .ok_or(Broken::RequestTooShort)?;
            memory
                .write_slice(now, address)
                .map_err(|_| Broken::OutsideMemory)?;
            rest = later;
        }
        Ok(())
    }

    /// Copies out a fixed number of bytes.
    pub fn read_array<const N: usize>(&mut self, memory: &GuestMemory) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        self.read(memory, &mut bytes)?;
        Ok(bytes)
    }

    /// Moves the cursor on without touching memory.
    pub fn skip(&mut self, bytes: u64) -> Result<(), Broken> {
        let mut rest = usize::try_from(bytes).map_err(|_| Broken::RequestTooShort)?;
        self.check(rest)?;
        while rest > 0 {
            let (_, length) = self.advance(rest)?;
            rest = rest.saturating_sub(length);
        }
        Ok(())
    }

    fn check(&self, bytes: usize) -> Result<(), Broken> {
        if bytes as u64 > self.remaining {
            return Err(Broken::RequestTooShort);
        }
        Ok(())
    }

    /// Passes at most `wanted` bytes that lie in one piece; says where they are.
    fn advance(&mut self, wanted: usize) -> Result<(GuestAddress, usize), Broken> {
        let part = self.parts.get(self.part).ok_or(Broken::RequestTooShort)?;
        let left = part
            .length
            .checked_sub(self.offset)
            .ok_or(Broken::RequestTooShort)?;
        let length = u32::try_from(wanted).unwrap_or(u32::MAX).min(left);
        let address = part
            .address
            .0
            .checked_add(u64::from(self.offset))
            .ok_or(Broken::OutsideMemory)?;
        if length == left {
            self.part = self.part.saturating_add(1);
            self.offset = 0;
        } else {
            self.offset = self.offset.saturating_add(length);
        }
        self.remaining = self.remaining.saturating_sub(u64::from(length));
        self.passed = self.passed.saturating_add(length);
        Ok((GuestAddress(address), length as usize))
    }
}
