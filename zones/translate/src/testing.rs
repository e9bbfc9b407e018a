//! What the tests share: a machine without devices, an assembler for a handful of instructions, random instruction streams.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::memory::Ram;
use crate::{Bus, BusFault, Clock, Hart, HartPort};

pub(crate) mod assemble;
pub(crate) mod program;
pub(crate) mod random;
pub(crate) mod stream;

/// RAM of so many bytes at this guest physical address.
pub(crate) fn ram(base: u64, length: usize) -> Ram {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(base), length)]).unwrap();
    Ram::new(Arc::new(memory)).unwrap()
}

/// A board with one device: a register of eight bytes at [`Device::BASE`] that remembers what was written, and a page that
/// refuses everything.
#[derive(Debug, Default)]
pub(crate) struct Device {
    pub(crate) writes: Mutex<Vec<(u64, u8, u64)>>,
}

impl Device {
    pub(crate) const BASE: u64 = 0x1000;
    pub(crate) const VALUE: u64 = 0x1122_3344_5566_77f8;
}

impl Bus for Device {
    fn read(&self, address: u64, size: u8) -> Result<u64, BusFault> {
        match address.wrapping_sub(Self::BASE) {
            0 => Ok(Self::VALUE & (u64::MAX >> (64 - 8 * u32::from(size)))),
            _ => Err(BusFault),
        }
    }
    fn write(&self, address: u64, size: u8, value: u64) -> Result<(), BusFault> {
        if address != Self::BASE {
            return Err(BusFault);
        }
        self.writes.lock().unwrap().push((address, size, value));
        Ok(())
    }
}

/// A hart on this RAM, with a clock that counts instructions.
pub(crate) fn hart(ram: &Ram) -> Hart {
    hart_with(ram, Arc::default(), Arc::default())
}

thread_local! {
    /// Whether the harts that a test's thread makes translate everything at once.
    pub(crate) static TRANSLATE: Cell<bool> = const { Cell::new(false) };
}

/// Makes a second test of each of these, on harts that translate.
macro_rules! translated_too {
    ($($name:ident)*) => {
        mod translated {
            $(
                #[test]
                fn $name() {
                    crate::testing::TRANSLATE.set(true);
                    super::$name();
                }
            )*
        }
    };
}
pub(crate) use translated_too;

pub(crate) fn hart_with(ram: &Ram, device: Arc<Device>, port: Arc<HartPort>) -> Hart {
    let mut hart = plain_hart(ram, device, port);
    if TRANSLATE.get() {
        hart.translate_at_once();
    }
    hart
}

fn plain_hart(ram: &Ram, device: Arc<Device>, port: Arc<HartPort>) -> Hart {
    Hart::new(
        ram.clone(),
        device,
        port,
        Clock::Instructions { per_tick: 10 },
    )
}

/// Writes instructions, in order.
pub(crate) fn place(ram: &Ram, address: u64, code: &[u32]) {
    for (index, word) in code.iter().enumerate() {
        let at = address + 4 * index as u64;
        ram.store(at, *word as u16);
        ram.store(at + 2, (*word >> 16) as u16);
    }
}

/// Writes bytes.
pub(crate) fn fill(ram: &Ram, address: u64, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        ram.store(address + index as u64, *byte);
    }
}

/// Reads bytes.
pub(crate) fn read(ram: &Ram, address: u64, length: u64) -> Vec<u8> {
    (address..address + length)
        .map(|at| ram.load::<u8>(at).unwrap())
        .collect()
}
