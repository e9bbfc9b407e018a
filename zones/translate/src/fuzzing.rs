//! The entries for fuzzers: a machine whose code, page tables and registers are the fuzzer's ([`fuzz_cpu`]), and accesses under
//! the fuzzer's page tables beside a reference ([`fuzz_pages`]). In both, what lies around guest RAM in the host's memory is
//! watched.

use std::sync::Arc;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::csr::status;
use crate::hart::{Core, Privilege};
use crate::lockstep::{self, Step};
use crate::memory::PAGE_SIZE;
use crate::{Bus, BusFault, Clock, CodeCache, Exit, Hart, HartPort, Ram};

mod pages;

pub use pages::fuzz_pages;

const BASE: u64 = 0x8000_0000;
const PAGES: u64 = 16;
/// Bytes of RAM.
const SPAN: u64 = PAGES * PAGE_SIZE;
/// Bytes on either side of it that are watched.
const MARGIN: u64 = 8 * PAGE_SIZE;
/// Slices of 500 instructions after which a run ends.
const SLICES: u32 = 16;

/// A device that takes every access and answers with its address.
struct Echo {
    port: Arc<HartPort>,
}

impl Bus for Echo {
    fn read(&self, address: u64, size: u8) -> Result<u64, BusFault> {
        self.count(address)?;
        Ok(address.wrapping_mul(u64::from(size)))
    }
    fn write(&self, address: u64, _size: u8, value: u64) -> Result<(), BusFault> {
        self.count(address)?;
        self.port.set_external_interrupt(value & 1 != 0);
        Ok(())
    }
}

impl Echo {
    fn count(&self, address: u64) -> Result<(), BusFault> {
        if address >> 13 & 1 == 0 {
            Ok(())
        } else {
            Err(BusFault)
        }
    }
}

/// RAM of [`SPAN`] bytes at [`BASE`] between bytes that nobody may write, or read: harts that should do the same get other
/// ones, so that a value from there makes them differ.
struct Canaries {
    memory: Arc<GuestMemoryMmap<()>>,
    ram: Ram,
    byte: u8,
}

impl Canaries {
    fn new(byte: u8) -> Option<Self> {
        let length = usize::try_from(SPAN + 2 * MARGIN).ok()?;
        let start = GuestAddress(BASE - MARGIN);
        let memory = Arc::new(GuestMemoryMmap::from_ranges(&[(start, length)]).ok()?);
        for start in Self::STARTS {
            let margin = [byte; MARGIN as usize];
            memory.write_slice(&margin, GuestAddress(start)).ok()?;
        }
        let ram = Ram::framed(Arc::clone(&memory), MARGIN).ok()?;
        Some(Self { memory, ram, byte })
    }

    const STARTS: [u64; 2] = [BASE - MARGIN, BASE + SPAN];

    fn ram(&self) -> &Ram {
        &self.ram
    }

    /// Panics if something was written there.
    fn check(&self) {
        for start in Self::STARTS {
            let mut margin = [0; MARGIN as usize];
            let read = self.memory.read_slice(&mut margin, GuestAddress(start));
            let changed = margin.iter().position(|byte| *byte != self.byte);
            assert!(
                read.is_ok() && changed.is_none(),
                "a write outside RAM, at {start:#x} and {changed:?}"
            );
        }
    }
}

/// Runs a machine made from `data`: its first bytes are registers and the place to start, the rest is RAM, where page tables
/// come to lie as well. It runs twice, translated and interpreted, in step. Nothing may panic, and the runs end by themselves.
///
/// # Panics
///
/// If translated code does something else than the interpreter, or one of them touches memory outside RAM.
pub fn fuzz_cpu(data: &[u8]) {
    let (Some(first), Some(second)) = (Canaries::new(0x5a), Canaries::new(0xc3)) else {
        return;
    };
    let mut leader = machine(data, first.ram());
    let mut follower = machine(data, second.ram());
    let translates = CodeCache::new().is_ok_and(|cache| leader.translate_into(cache));
    if translates {
        leader.translate_everything();
    }
    for _ in 0..SLICES {
        match lockstep::step(&mut leader, &mut follower, 500) {
            // A hart that waits may wait for ever.
            Ok(Step::Waiting | Step::Exit(Exit::Stopped | Exit::Breakpoint)) => break,
            Ok(Step::Slice | Step::Exit(Exit::SupervisorCall)) => {}
            Err(divergence) => panic!("{divergence}"),
        }
    }
    first.check();
    second.check();
    for address in (BASE..BASE + SPAN).step_by(8) {
        assert_eq!(
            leader.ram().load::<u64>(address),
            follower.ram().load::<u64>(address),
            "memory at {address:#x}"
        );
    }
}

fn machine(data: &[u8], ram: &Ram) -> Hart {
    let length = SPAN;
    let (head, body) = data.split_at(data.len().min(80));
    for (address, byte) in (BASE..BASE + length).zip(body.iter().cycle()) {
        ram.store(address, *byte);
    }
    let mut words = head.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    let mut word = || words.next().unwrap_or_default();
    let port = Arc::<HartPort>::default();
    let mut hart = Hart::new(
        ram.clone(),
        Arc::new(Echo {
            port: Arc::clone(&port),
        }),
        Arc::clone(&port),
        Clock::Instructions { per_tick: 1 },
    );
    let choice = word();
    hart.start(BASE + word() % length, word(), word());
    prepare(&mut hart.core, choice, [word(), word(), word()]);
    for register in 1..32 {
        // Pointers into RAM, near its ends, to devices, and the fuzzer's own.
        let value = match (choice >> (register * 2)) & 3 {
            0 => BASE + word() % length,
            1 => BASE + length - (register as u64),
            2 => word(),
            _ => 0x1000 + register as u64,
        };
        hart.set_register(register, value);
    }
    hart
}

/// Privileged state that code would take long to find by chance.
fn prepare(core: &mut Core, choice: u64, words: [u64; 3]) {
    let [page, status, handler] = words;
    let mode = [0, 0, 8, 9][(choice & 3) as usize];
    core.mmu.set_satp(mode << 60 | (BASE / 4096 + page % PAGES));
    core.status = status & status::WRITABLE;
    core.status_changed();
    core.change_context();
    core.stvec = (BASE + handler % SPAN) & !2;
    core.sie = status >> 20 & 0x222;
    core.stimecmp = status >> 40;
    if choice & 4 != 0 {
        core.set_privilege(Privilege::User);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::random::Random;

    #[test]
    fn random_machines_do_not_panic() {
        let mut random = Random::new(3);
        for _ in 0..3000 {
            let length = 80 + random.below(512);
            let mut data: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            if random.below(2) == 0 {
                // Valid entries of page tables are rare by chance: eight bytes that are one, here and there.
                for chunk in data[80..].chunks_exact_mut(8) {
                    if random.below(4) == 0 {
                        let entry = (0x8_0000 + random.below(18)) << 10 | random.below(256) | 0xc1;
                        chunk.copy_from_slice(&entry.to_le_bytes());
                    }
                }
            }
            super::fuzz_cpu(&data);
        }
        super::fuzz_cpu(&[]);
    }
}
