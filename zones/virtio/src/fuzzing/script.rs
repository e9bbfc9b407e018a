//! What a fuzzer's bytes mean: the steps of a driver that is sometimes honest and sometimes not.

use vm_memory::{Bytes, GuestAddress};

use super::Subject;
use crate::testing::{BUFFERS, Driver, RAM, RAM_SIZE, RawDescriptor};

/// Steps of one script; what is left of the bytes is ignored.
const STEPS_MAX: usize = 400;

/// Registers that a driver writes, without the status, which has steps of its own.
const REGISTERS: [u64; 17] = [
    0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4, 0xac, 0xc0,
    0x100,
];

/// Takes values from the bytes; zeroes once they are used up.
pub(super) struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.data.split_first() else {
            return 0;
        };
        self.data = rest;
        *first
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (now, rest) = self.data.split_at(count.min(self.data.len()));
        self.data = rest;
        let mut bytes = now.to_vec();
        bytes.resize(count, 0);
        bytes
    }

    /// A 32-bit value, more often than not one near an edge: small, around powers of two, or an address.
    pub(super) fn word(&mut self) -> u32 {
        let selector = self.byte();
        let small = u32::from(selector & 0x1f);
        match selector >> 5 {
            0..=2 => small,
            3 => (1_u32 << small).wrapping_sub(1),
            4 => 1 << small,
            5 => (0x8000_0000_u32).wrapping_add(small << 16),
            6 => u32::MAX.wrapping_sub(small),
            _ => {
                let bytes = [self.byte(), self.byte(), self.byte(), self.byte()];
                u32::from_le_bytes(bytes)
            }
        }
    }

    /// `likely`, but sometimes any [`Reader::word`].
    pub(super) fn mostly(&mut self, likely: u32) -> u32 {
        if self.byte().is_multiple_of(16) {
            self.word()
        } else {
            likely
        }
    }

    /// One of a few values.
    pub(super) fn one_of(&mut self, values: &[u32]) -> u32 {
        let index = usize::from(self.byte()) % values.len().max(1);
        let value = values.get(index).copied().unwrap_or(0);
        self.mostly(value)
    }

    /// A number below `end`, mostly.
    pub(super) fn below(&mut self, end: u8) -> u32 {
        let number = u32::from(self.byte() % end.max(1));
        self.mostly(number)
    }

    /// A guest address, mostly inside memory.
    fn address(&mut self) -> u64 {
        let word = u64::from(self.word());
        match self.byte() % 8 {
            0 => word,
            1 => word << 32 | 0xffff_fff0,
            2 => RAM + RAM_SIZE - (word & 0xff),
            3 => RAM + (word & 0x1f_ffff),
            _ => BUFFERS + (word & 0xffff),
        }
    }
}

pub(super) fn play(reader: &mut Reader<'_>, driver: &mut Driver, subject: &mut dyn Subject) {
    driver.start(u64::MAX);
    for _ in 0..STEPS_MAX {
        if reader.data.is_empty() {
            return;
        }
        step(reader, driver, subject);
    }
}

fn step(reader: &mut Reader<'_>, driver: &mut Driver, subject: &mut dyn Subject) {
    // A device that is broken or given up ignores everything: most scripts should not stay there.
    if driver.status() != 0xf && !reader.byte().is_multiple_of(4) {
        driver.start(u64::MAX);
    }
    match reader.byte() % 128 {
        0 => {
            let register = REGISTERS[usize::from(reader.byte()) % REGISTERS.len()];
            driver.write32(register, reader.word());
        }
        1 => {
            let offset = u64::from(reader.byte()) << (reader.byte() % 8);
            let length = usize::from(reader.byte() % 9);
            let bytes = reader.bytes(length);
            driver.transport.write(offset, &bytes);
        }
        2 => {
            let offset = u64::from(reader.byte()) << (reader.byte() % 8);
            let mut data = vec![0; usize::from(reader.byte() % 9)];
            driver.transport.read(offset, &mut data);
        }
        3 => driver.write32(0x70, u32::from(reader.byte())),
        4 => driver.start(u64::MAX),
        5 => {
            let address = BUFFERS + u64::from(reader.byte()) * 16;
            let length = usize::from(reader.byte());
            let bytes = reader.bytes(length);
            let _ = driver.memory.write_slice(&bytes, GuestAddress(address));
        }
        6..=8 => {
            let table = driver.table(usize::from(reader.byte() % 9));
            let table = if reader.byte().is_multiple_of(4) {
                BUFFERS
            } else {
                table
            };
            let descriptor = RawDescriptor {
                address: reader.address(),
                length: reader.word(),
                flags: u16::from(reader.byte() % 8),
                next: u16::from(reader.byte() % 20),
            };
            driver.put_descriptor(table, u16::from(reader.byte() % 16), descriptor);
        }
        9 => {
            // Whatever descriptors happen to lie there.
            let queue = usize::from(reader.byte() % 9);
            driver.try_offer(queue, u16::from(reader.byte() % 20));
            driver.notify(queue);
        }
        10 => {
            let queue = usize::from(reader.byte() % 9);
            let index = [reader.byte(), reader.byte()];
            driver.set_available_index(queue, u16::from_le_bytes(index));
            driver.notify(queue);
        }
        11 => subject.host(reader),
        12 => {
            driver.acknowledge();
        }
        _ => {
            let queue = usize::from(reader.byte()) % (driver.queues() + 1);
            let request = subject.compose(reader);
            let room = u32::from(reader.byte()) * 16;
            let writable: &[u32] = if room == 0 { &[] } else { &[room] };
            driver.try_request(queue, &[&request], writable);
        }
    }
}
