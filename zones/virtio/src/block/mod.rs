//! The block device (virtio 1.2, section 5.2): requests of the driver on a [`Volume`].
//!
//! One queue, one request at a time, on the notifying hart's thread. Sectors, lengths and request types come from the
//! guest: what reaches past the volume's end or is not understood gets its error status; only a request without room
//! for header or status breaks the queue.

mod bitmap;
mod format;
mod overlay;
mod volume;

pub use overlay::{Overlay, OverlayError};
pub(crate) use volume::length;
pub use volume::{Blank, FileVolume, Volume};

use virtio_bindings::bindings::virtio_blk as spec;

use crate::GuestMemory;
use crate::chain::{Broken, Chain};
use crate::device::{Device, Slot, copy_config};
use crate::queues::{Outcome, Queues};
use crate::transport::{Handle, Transport};
use crate::wire::{put, u32_at, u64_at};

const DEVICE_TYPE: u32 = 2;
/// Bytes of the unit that the protocol counts in.
const SECTOR: u64 = 512;
const QUEUE_SIZE: u16 = 256;
/// Data segments of one request: the queue less header and status.
const SEGMENTS_MAX: u32 = 254;
/// Bytes of one data segment.
const SEGMENT_SIZE_MAX: u32 = 64 << 10;
/// Sectors that one discard or write-zeroes request may name (32 MiB).
const RANGE_SECTORS_MAX: u32 = 65536;
/// Ranges in one discard or write-zeroes request.
const RANGES_MAX: u32 = 1;
/// Bytes moved between volume and guest at a time.
const CHUNK: usize = 128 << 10;
const HEADER_SIZE: usize = 16;
const IDENTIFIER_SIZE: usize = 20;

/// The block device of one volume.
pub struct Block {
    volume: Box<dyn Volume>,
    identifier: [u8; IDENTIFIER_SIZE],
    chunk: Vec<u8>,
}

impl Block {
    /// Plugs a disk into `slot`. `identifier` is its serial number for the guest, cut at 20 bytes.
    pub fn plug(slot: Slot, volume: Box<dyn Volume>, identifier: &str) -> Transport {
        let mut padded = [0; IDENTIFIER_SIZE];
        put(&mut padded, 0, identifier.as_bytes());
        let device = Self {
            volume,
            identifier: padded,
            chunk: vec![0; CHUNK],
        };
        Handle::plug(slot, device).transport()
    }

    fn sectors(&self) -> u64 {
        self.volume.len().div_ceil(SECTOR)
    }

    /// The configuration space (section 5.2.4), up to `write_zeroes_may_unmap`.
    fn configuration(&self) -> [u8; 60] {
        let mut space = [0; 60];
        put(&mut space, 0, &self.sectors().to_le_bytes());
        put(&mut space, 8, &SEGMENT_SIZE_MAX.to_le_bytes());
        put(&mut space, 12, &SEGMENTS_MAX.to_le_bytes());
        put(&mut space, 20, &512_u32.to_le_bytes());
        // Topology: physical blocks of 2^3 sectors, the size of an overlay's cluster.
        put(&mut space, 24, &[3, 0, 8, 0]);
        put(&mut space, 36, &RANGE_SECTORS_MAX.to_le_bytes());
        put(&mut space, 40, &RANGES_MAX.to_le_bytes());
        put(&mut space, 44, &8_u32.to_le_bytes());
        put(&mut space, 48, &RANGE_SECTORS_MAX.to_le_bytes());
        put(&mut space, 52, &RANGES_MAX.to_le_bytes());
        put(&mut space, 56, &[1]);
        space
    }

    fn request(&mut self, memory: &GuestMemory, chain: &mut Chain) -> Result<Outcome, Broken> {
        let header: [u8; HEADER_SIZE] = chain.readable.read_array(memory)?;
        let kind = u32_at(&header, 0);
        let sector = u64_at(&header, 8);
        // The status is the last writable byte, wherever the driver cut its buffers.
        let room = chain
            .writable
            .remaining()
            .checked_sub(1)
            .ok_or(Broken::RequestTooShort)?;
        let status = match kind {
            spec::VIRTIO_BLK_T_IN => self.read(memory, chain, sector, room)?,
            spec::VIRTIO_BLK_T_OUT => self.write(memory, chain, sector)?,
            spec::VIRTIO_BLK_T_FLUSH => status(self.volume.flush()),
            spec::VIRTIO_BLK_T_GET_ID => self.identify(memory, chain, room)?,
            spec::VIRTIO_BLK_T_DISCARD | spec::VIRTIO_BLK_T_WRITE_ZEROES => {
                self.clear(memory, chain, kind == spec::VIRTIO_BLK_T_DISCARD)?
            }
            _ => Status::Unsupported,
        };
        let skipped = chain.writable.remaining().saturating_sub(1);
        let written = chain.writable.passed();
        chain.writable.skip(skipped)?;
        chain.writable.write(memory, &[status as u8])?;
        // The length counts from the first writable byte without a gap: what a failed read left out is not claimed.
        let length = if skipped == 0 {
            chain.writable.passed()
        } else {
            written
        };
        Ok(Outcome::Used(length))
    }

    /// Checks that `bytes` from `sector` on lie inside the volume; says where they start.
    fn locate(&self, sector: u64, bytes: u64) -> Option<u64> {
        let end = self.sectors().checked_mul(SECTOR)?;
        let start = sector.checked_mul(SECTOR)?;
        let inside = bytes.is_multiple_of(SECTOR) && start.checked_add(bytes)? <= end;
        inside.then_some(start)
    }

    fn read(
        &mut self,
        memory: &GuestMemory,
        chain: &mut Chain,
        sector: u64,
        bytes: u64,
    ) -> Result<Status, Broken> {
        let Some(mut offset) = self.locate(sector, bytes) else {
            return Ok(Status::Failed);
        };
        let mut left = bytes;
        while left > 0 {
            let length = left.min(CHUNK as u64);
            let chunk = chunk_of(&mut self.chunk, length);
            if let Err(error) = self.volume.read_at(offset, chunk) {
                tracing::debug!(%error, offset, "volume read failed");
                return Ok(Status::Failed);
            }
            chain.writable.write(memory, chunk)?;
            offset = offset.saturating_add(length);
            left = left.saturating_sub(length);
        }
        Ok(Status::Fine)
    }

    fn write(
        &mut self,
        memory: &GuestMemory,
        chain: &mut Chain,
        sector: u64,
    ) -> Result<Status, Broken> {
        let mut left = chain.readable.remaining();
        let Some(mut offset) = self.locate(sector, left) else {
            return Ok(Status::Failed);
        };
        if self.volume.read_only() {
            return Ok(Status::Failed);
        }
        while left > 0 {
            let length = left.min(CHUNK as u64);
            let chunk = chunk_of(&mut self.chunk, length);
            chain.readable.read(memory, chunk)?;
            if let Err(error) = self.volume.write_at(offset, chunk) {
                tracing::debug!(%error, offset, "volume write failed");
                return Ok(Status::Failed);
            }
            offset = offset.saturating_add(length);
            left = left.saturating_sub(length);
        }
        Ok(Status::Fine)
    }

    fn identify(
        &mut self,
        memory: &GuestMemory,
        chain: &mut Chain,
        room: u64,
    ) -> Result<Status, Broken> {
        if room < IDENTIFIER_SIZE as u64 {
            return Ok(Status::Failed);
        }
        chain.writable.write(memory, &self.identifier)?;
        Ok(Status::Fine)
    }

    /// Discard and write-zeroes: both leave zeroes, the first may be cheaper than the second.
    fn clear(
        &mut self,
        memory: &GuestMemory,
        chain: &mut Chain,
        discard: bool,
    ) -> Result<Status, Broken> {
        if chain.readable.remaining() != u64::from(RANGES_MAX) * 16 {
            return Ok(Status::Unsupported);
        }
        let range: [u8; 16] = chain.readable.read_array(memory)?;
        let [
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7,
            n0,
            n1,
            n2,
            n3,
            f0,
            f1,
            f2,
            f3,
        ] = range;
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let sectors = u32::from_le_bytes([n0, n1, n2, n3]);
        let flags = u32::from_le_bytes([f0, f1, f2, f3]);
        let known = if discard {
            0
        } else {
            spec::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
        };
        if flags & !known != 0 {
            return Ok(Status::Unsupported);
        }
        let bytes = u64::from(sectors).saturating_mul(SECTOR);
        let Some(offset) = self.locate(sector, bytes) else {
            return Ok(Status::Failed);
        };
        if sectors > RANGE_SECTORS_MAX || self.volume.read_only() {
            return Ok(Status::Failed);
        }
        Ok(status(self.volume.write_zeroes(offset, bytes)))
    }
}

impl Device for Block {
    fn device_type(&self) -> u32 {
        DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        let mut features = 1 << spec::VIRTIO_BLK_F_SIZE_MAX
            | 1 << spec::VIRTIO_BLK_F_SEG_MAX
            | 1 << spec::VIRTIO_BLK_F_BLK_SIZE
            | 1 << spec::VIRTIO_BLK_F_TOPOLOGY
            | 1 << spec::VIRTIO_BLK_F_FLUSH;
        features |= if self.volume.read_only() {
            1 << spec::VIRTIO_BLK_F_RO
        } else {
            1 << spec::VIRTIO_BLK_F_DISCARD | 1 << spec::VIRTIO_BLK_F_WRITE_ZEROES
        };
        features
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        copy_config(&self.configuration(), offset, data);
    }

    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken> {
        queues.serve(queue, |memory, chain| self.request(memory, chain))
    }

    fn finish(&mut self) {
        if let Err(error) = self.volume.flush() {
            tracing::warn!(%error, "a volume could not be saved");
        }
    }

    fn reset(&mut self) {}
}

/// The status byte of a request (section 5.2.6).
#[derive(Clone, Copy)]
#[repr(u8)]
enum Status {
    Fine = 0,
    Failed = 1,
    Unsupported = 2,
}

fn status(result: std::io::Result<()>) -> Status {
    match result {
        Ok(()) => Status::Fine,
        Err(error) => {
            tracing::debug!(%error, "volume operation failed");
            Status::Failed
        }
    }
}

/// The first `length` bytes of the chunk, which has at least [`CHUNK`].
fn chunk_of(chunk: &mut [u8], length: u64) -> &mut [u8] {
    let length = usize::try_from(length).unwrap_or(CHUNK).min(chunk.len());
    let (first, _) = chunk.split_at_mut(length);
    first
}

#[cfg(test)]
mod tests;
