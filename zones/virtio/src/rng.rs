//! The entropy device (virtio 1.2, section 5.4): the kernel's random numbers for the guest.
//!
//! Bytes come from the getrandom system call, so nothing has to be opened in the jail. A request gets at most
//! [`REQUEST_MAX`] bytes, however large its buffers are.

use rustix::rand::GetRandomFlags;

use crate::GuestMemory;
use crate::chain::{Broken, Chain};
use crate::device::{Device, Slot};
use crate::queues::{Outcome, Queues};
use crate::transport::{Handle, Transport};

const DEVICE_TYPE: u32 = 4;
const QUEUE_SIZE: u16 = 8;
/// Bytes that one request gets at most.
pub const REQUEST_MAX: u64 = 64 << 10;
const CHUNK: usize = 1024;

/// The entropy device.
pub struct Rng(());

impl Rng {
    /// Plugs an entropy source into `slot`.
    pub fn plug(slot: Slot) -> Transport {
        Handle::plug(slot, Self(())).transport()
    }
}

fn fill(memory: &GuestMemory, chain: &mut Chain) -> Result<Outcome, Broken> {
    let mut left = chain.writable.remaining().min(REQUEST_MAX);
    if left == 0 {
        return Err(Broken::RequestTooShort);
    }
    let mut chunk = [0; CHUNK];
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let (bytes, _) = chunk.split_at_mut(length);
        // At most 256 bytes are promised in one piece; more come in a few.
        let got = match rustix::rand::getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(got) => got.min(length),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => {
                tracing::debug!(%error, "no random numbers for the guest");
                break;
            }
        };
        chain
            .writable
            .write(memory, bytes.get(..got).unwrap_or_default())?;
        left = left.saturating_sub(got as u64);
    }
    Ok(Outcome::Used(chain.writable.passed()))
}

impl Device for Rng {
    fn device_type(&self) -> u32 {
        DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn read_config(&self, _: u64, _: &mut [u8]) {}

    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken> {
        queues.serve(queue, fill)
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Driver;

    #[test]
    fn the_guest_gets_different_bytes_each_time() {
        let mut driver = Driver::started(Rng::plug);
        assert_eq!(driver.read32(8), 4);
        let (length, first) = driver.request(0, &[], &[64, 3000]).unwrap();
        assert_eq!(length, 3064);
        let (_, second) = driver.request(0, &[], &[64, 3000]).unwrap();
        assert_ne!(first, second);
        assert!(
            first
                .chunks(64)
                .all(|part| part.iter().any(|byte| *byte != 0xee))
        );
    }

    #[test]
    fn a_request_is_limited_and_needs_room() {
        let mut driver = Driver::started(Rng::plug);
        let (length, bytes) = driver.request(0, &[], &[1 << 20]).unwrap();
        assert_eq!(u64::from(length), REQUEST_MAX);
        let (_, rest) = bytes.split_at(length as usize);
        assert!(rest.iter().all(|byte| *byte == 0xee));
        assert!(driver.request(0, &[b"no room"], &[]).is_none());
        assert!(driver.needs_reset());
    }
}
