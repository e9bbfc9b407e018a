//! Page tables, devices and accesses that are the fuzzer's, beside a walk and a memory written from the manual alone.
//!
//! The reference knows no caches. The hart keeps its own and is told of a change (a fence) only when the guest wrote to a page
//! that a walk has read, as the manual demands of software.
//!
//! Source: privileged manual, "Virtual Address Translation Process"; unprivileged manual, "Misaligned Address Exceptions".

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::{BASE, Canaries, SPAN};
use crate::csr::status;
use crate::hart::{Core, Privilege};
use crate::memory::PAGE_SIZE;
use crate::mmu::Access;
use crate::trap::Trap;
use crate::{Bus, BusFault, Clock, Hart, HartPort};

/// The first pages of RAM are page tables.
const TABLES: u64 = 5;
/// Most accesses of one input.
const ACCESSES: usize = 4000;

/// The fuzzer's bytes, one after another; zeros when there are no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
}

/// Remembers what reached it, in order.
#[derive(Default)]
struct Device(Mutex<Vec<(u64, u8, u64)>>);

/// Whether a device answers at this physical address, and what.
fn answer(address: u64, size: u8) -> Result<u64, BusFault> {
    if address >> 13 & 1 == 0 {
        Ok(address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - 8 * u32::from(size)))
    } else {
        Err(BusFault)
    }
}

impl Bus for Device {
    fn read(&self, address: u64, size: u8) -> Result<u64, BusFault> {
        answer(address, size)
    }
    fn write(&self, address: u64, size: u8, value: u64) -> Result<(), BusFault> {
        answer(address, size)?;
        if let Ok(mut writes) = self.0.lock() {
            writes.push((address, size, value));
        }
        Ok(())
    }
}

/// In whose name an access is made.
#[derive(Debug, Clone, Copy)]
struct Rights {
    user: bool,
    /// `sstatus.SUM` and `sstatus.MXR`.
    user_pages: bool,
    execute_readable: bool,
}

/// What one access does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Load,
    Store(u64),
    /// An AMO: where it would operate.
    Atomic,
    Fetch,
}

impl Deed {
    fn access(self) -> Access {
        match self {
            Self::Load => Access::Load,
            Self::Store(_) | Self::Atomic => Access::Store,
            Self::Fetch => Access::Fetch,
        }
    }
}

/// Memory and translation as the manual has them.
struct Reference {
    ram: Vec<u8>,
    levels: u32,
    root: u64,
    writes: Vec<(u64, u8, u64)>,
    /// Pages that walks have read.
    walked: HashSet<u64>,
}

impl Reference {
    fn offset(&self, physical: u64) -> Option<usize> {
        let offset = usize::try_from(physical.checked_sub(BASE)?).ok()?;
        (offset < self.ram.len()).then_some(offset)
    }

    fn entry(&self, at: u64) -> Option<u64> {
        let offset = self.offset(at)?;
        let bytes = self.ram.get(offset..offset + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The physical address, or whether the fault is a page fault.
    fn walk(&mut self, address: u64, access: Access, rights: Rights) -> Result<u64, bool> {
        if self.levels == 0 {
            return Ok(address);
        }
        // Step 0: the bits above the highest that is translated equal it.
        let width = 12 + 9 * self.levels;
        let above = address.cast_signed() >> (width - 1);
        if above != 0 && above != -1 {
            return Err(true);
        }
        let mut table = self.root;
        let mut level = self.levels - 1;
        // Steps 2 to 4.
        let (at, entry) = loop {
            let at = table + (address >> (12 + 9 * level)) % 512 * 8;
            let entry = self.entry(at).ok_or(false)?;
            self.walked.insert(at / PAGE_SIZE);
            let [valid, read, write, execute] = [0, 1, 2, 3].map(|bit| entry >> bit & 1 == 1);
            // Bits 54 to 63 belong to extensions that are not offered.
            if !valid || write && !read || entry >> 54 != 0 {
                return Err(true);
            }
            if read || execute {
                break (at, entry);
            }
            // Of a pointer, U, A and D are reserved.
            if level == 0 || entry & 0b1101_0000 != 0 {
                return Err(true);
            }
            table = entry >> 10 << 12;
            level -= 1;
        };
        // Steps 5 to 7.
        let bit = |number: u32| entry >> number & 1 == 1;
        let allowed = match access {
            Access::Fetch => bit(3),
            Access::Load => bit(1) || rights.execute_readable && bit(3),
            Access::Store => bit(2),
        };
        let owner = match (bit(4), rights.user) {
            (true, true) | (false, false) => true,
            (true, false) => rights.user_pages && access != Access::Fetch,
            (false, true) => false,
        };
        let page = entry >> 10 << 12;
        let covered = PAGE_SIZE << (9 * level);
        if !allowed || !owner || !page.is_multiple_of(covered) {
            return Err(true);
        }
        // Steps 8 and 9: A, and D for a store, are set by the walk.
        let marked = entry | 1 << 6 | u64::from(access == Access::Store) << 7;
        if let Some(offset) = self.offset(at) {
            self.ram[offset..offset + 8].copy_from_slice(&marked.to_le_bytes());
        }
        Ok(page + address % covered)
    }

    /// Does it; what a load reads, where an atomic or a fetch arrives.
    fn run(&mut self, deed: Deed, address: u64, size: u8, rights: Rights) -> Result<u64, Trap> {
        let (access, length) = (deed.access(), u64::from(size));
        let aligned = address.is_multiple_of(length);
        if !aligned && matches!(deed, Deed::Atomic) {
            return Err(Trap::misaligned(access, address));
        }
        let mut place = |at: u64| {
            self.walk(at, access, rights).map_err(|page| {
                if page {
                    Trap::page_fault(access, at)
                } else {
                    Trap::access_fault(access, at)
                }
            })
        };
        let first = place(address)?;
        // What crosses into another page is checked there, too, before anything is done.
        let border = (address | (PAGE_SIZE - 1)).wrapping_add(1);
        let crosses = (address % PAGE_SIZE) + length > PAGE_SIZE;
        let second = if crosses && !matches!(deed, Deed::Fetch) {
            Some(place(border)?)
        } else {
            None
        };
        let refused = Trap::access_fault(access, address);
        if self.offset(first).is_none() {
            // Devices take aligned accesses only, atomics and fetches not at all.
            return match deed {
                Deed::Atomic | Deed::Fetch => Err(refused),
                _ if !aligned => Err(Trap::misaligned(access, address)),
                Deed::Load => answer(first, size).map_err(|_| refused),
                Deed::Store(value) => {
                    answer(first, size).map_err(|_| refused)?;
                    let mask = u64::MAX >> (64 - 8 * u32::from(size));
                    self.writes.push((first, size, value & mask));
                    Ok(0)
                }
            };
        }
        if second.is_some_and(|second| self.offset(second).is_none()) {
            return Err(Trap::misaligned(access, border));
        }
        let mut value = 0;
        for index in 0..length {
            let at = match second {
                Some(second) if address % PAGE_SIZE + index >= PAGE_SIZE => {
                    second + (address % PAGE_SIZE + index - PAGE_SIZE)
                }
                _ => first + index,
            };
            match deed {
                Deed::Atomic | Deed::Fetch => return Ok(first),
                Deed::Load => {
                    let byte = self.offset(at).and_then(|at| self.ram.get(at));
                    value |= u64::from(byte.copied().unwrap_or_default()) << (8 * index);
                }
                Deed::Store(new) => {
                    if let Some(byte) = self.offset(at).and_then(|at| self.ram.get_mut(at)) {
                        *byte = (new >> (8 * index)) as u8;
                    }
                    value |= u64::from(self.walked.contains(&(at / PAGE_SIZE)));
                }
            }
        }
        Ok(value)
    }
}

/// The same on a hart.
fn run(core: &mut Core, deed: Deed, address: u64, size: u8) -> Result<u64, Trap> {
    match deed {
        Deed::Load => Ok(match size {
            1 => core.load::<u8>(address)?.into(),
            2 => core.load::<u16>(address)?.into(),
            4 => core.load::<u32>(address)?.into(),
            _ => core.load::<u64>(address)?,
        }),
        Deed::Store(value) => {
            match size {
                1 => core.store(address, value as u8)?,
                2 => core.store(address, value as u16)?,
                4 => core.store(address, value as u32)?,
                _ => core.store(address, value)?,
            }
            Ok(0)
        }
        Deed::Atomic => {
            let page = core.atomic_page(address, size.into(), Access::Store)?;
            Ok(page.place(address))
        }
        Deed::Fetch => {
            let supervisor = core.privilege == Privilege::Supervisor;
            let found = core.mmu.translate_fetch(&core.ram, address, supervisor)?;
            Ok(found.1.place(address))
        }
    }
}

/// An entry of a page table: a pointer to a table, a page of RAM, a large page, a device, or anything.
fn entry(input: &mut Input<'_>) -> u64 {
    let (kind, flags) = (input.byte(), u64::from(input.byte()));
    let number = u64::from(input.byte());
    let page = match kind & 7 {
        0..=2 => return (BASE / PAGE_SIZE + number % (TABLES + 1)) << 10 | 1 | flags & 0x20,
        3 | 4 => BASE / PAGE_SIZE + number % (SPAN / PAGE_SIZE + 2),
        // Aligned for a large page of some level; most of it lies outside RAM.
        5 => BASE >> 12 >> (9 * (number % 3)) << (9 * (number % 3)),
        6 => number,
        _ => return input.word(),
    };
    // Mostly valid and readable; A and D as they come.
    page << 10 | flags | if kind & 0x18 == 0 { 0 } else { 3 }
}

/// Runs accesses on a hart and on the reference.
///
/// # Panics
///
/// If they differ, or if anything outside RAM was written to.
pub fn fuzz_pages(data: &[u8]) {
    let mut input = Input(data);
    let Some(canaries) = Canaries::new(0x5a) else {
        return;
    };
    let ram = canaries.ram();
    let choice = input.byte();
    let mut reference = Reference {
        ram: vec![0; SPAN as usize],
        levels: [3, 4, 3, 0][usize::from(choice & 3)],
        root: BASE + u64::from(choice >> 2) % (TABLES + 1) * PAGE_SIZE,
        writes: Vec::new(),
        walked: HashSet::new(),
    };
    for table in 0..TABLES {
        let entries: [u64; 8] = std::array::from_fn(|_| entry(&mut input));
        let page = (table * PAGE_SIZE) as usize;
        for (at, entry) in (page..page + PAGE_SIZE as usize)
            .step_by(8)
            .zip(entries.into_iter().cycle())
        {
            reference.ram[at..at + 8].copy_from_slice(&entry.to_le_bytes());
        }
    }
    let data_from = (TABLES * PAGE_SIZE) as usize;
    for (index, byte) in reference.ram.iter_mut().enumerate().skip(data_from) {
        *byte = (index as u8).wrapping_mul(31) ^ (index >> 8) as u8;
    }
    for (address, byte) in (BASE..).zip(&reference.ram) {
        ram.store(address, *byte);
    }

    let device = Arc::<Device>::default();
    let clock = Clock::Instructions { per_tick: 1 };
    let mut hart = Hart::new(
        ram.clone(),
        device.clone(),
        Arc::<HartPort>::default(),
        clock,
    );
    let core = &mut hart.core;
    let mode = [0, 8, 9][[0, 0, 0, 1, 2][reference.levels as usize]];
    core.set_satp(mode << 60 | reference.root >> 12);
    for _ in 0..ACCESSES {
        if input.0.is_empty() {
            break;
        }
        access(core, &mut reference, &mut input);
    }
    let writes = device.0.lock().map(|writes| writes.clone());
    assert_eq!(writes.ok().as_ref(), Some(&reference.writes), "devices");
    for (address, byte) in (BASE..).zip(&reference.ram) {
        assert_eq!(
            ram.load::<u8>(address),
            Some(*byte),
            "memory at {address:#x}"
        );
    }
    canaries.check();
}

fn access(core: &mut Core, reference: &mut Reference, input: &mut Input<'_>) {
    let (how, what) = (input.byte(), input.byte());
    let rights = Rights {
        user: how & 1 != 0,
        user_pages: how & 2 != 0,
        execute_readable: how & 4 != 0,
    };
    let size = 1 << (how >> 3 & 3);
    core.status = if rights.user_pages { status::SUM } else { 0 };
    if rights.execute_readable {
        core.status |= status::MXR;
    }
    core.set_privilege(if rights.user {
        Privilege::User
    } else {
        Privilege::Supervisor
    });
    // Few indices at each level, since a table's entries repeat; near the ends of pages now and then.
    let (upper, lower) = (u64::from(input.byte()), u64::from(input.byte()));
    let place = match what >> 4 & 3 {
        0 => u64::from(input.byte()) * 8,
        1 => PAGE_SIZE - u64::from(input.byte() & 15),
        _ => u64::from(input.byte()) << 4 | u64::from(what & 15),
    };
    let address = match (reference.levels, what >> 6) {
        (0, 0..=2) => BASE + (lower % (SPAN / PAGE_SIZE + 1)) * PAGE_SIZE + place,
        (_, 3) if what & 8 != 0 => input.word(),
        (_, kind) => {
            let index = [upper & 7, upper >> 4 & 7, lower & 7, lower >> 4 & 7];
            let address = index.iter().fold(0, |sum, index| sum << 9 | index) << 12;
            // The upper half of the addresses, too.
            let upper_half = if kind == 2 { u64::MAX << 47 } else { 0 };
            let address = address.wrapping_add(place) | upper_half;
            let unused = 64 - (12 + 9 * reference.levels.max(3));
            (address << unused).cast_signed().wrapping_shr(unused) as u64
        }
    };
    let deed = match what & 7 {
        0..=2 => Deed::Load,
        3..=5 => Deed::Store(input.word()),
        6 => Deed::Atomic,
        _ => Deed::Fetch,
    };
    let (address, size) = match deed {
        // Instructions are fetched by half-words; atomics are words.
        Deed::Fetch => (address & !1, 2),
        Deed::Atomic => (address, size.max(4)),
        _ => (address, size),
    };
    let expected = reference.run(deed, address, size, rights);
    let found = run(core, deed, address, size);
    let place = |physical| core.ram.page(physical).map(|page| page.place(physical));
    let same = match (deed, expected, found) {
        (_, Err(one), Err(other)) => one == other,
        (Deed::Load, Ok(one), Ok(other)) => one == other,
        (Deed::Store(_), Ok(_), Ok(_)) => true,
        (Deed::Atomic | Deed::Fetch, Ok(physical), Ok(found)) => place(physical) == Some(found),
        _ => false,
    };
    assert!(
        same,
        "{deed:?} of {size} at {address:#x}, {rights:?}: {found:x?}, by the manual {expected:x?}"
    );
    if matches!((deed, expected), (Deed::Store(_), Ok(1))) {
        core.mmu.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random::Random;

    #[test]
    fn accesses_are_as_the_manual_has_them() {
        let mut random = Random::new(11);
        for _ in 0..1500 {
            let length = 1 + random.below(3000);
            let data: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            fuzz_pages(&data);
        }
        fuzz_pages(&[]);
    }

    /// The inputs must reach what they are for.
    #[test]
    fn random_inputs_reach_every_outcome() {
        let mut random = Random::new(12);
        let mut seen = HashSet::new();
        let rights = Rights {
            user: false,
            user_pages: true,
            execute_readable: false,
        };
        for _ in 0..300 {
            let data: Vec<u8> = (0..200).map(|_| random.next() as u8).collect();
            let mut input = Input(&data);
            let mut reference = Reference {
                ram: vec![0; SPAN as usize],
                levels: 3,
                root: BASE,
                writes: Vec::new(),
                walked: HashSet::new(),
            };
            for at in (0..(TABLES * PAGE_SIZE) as usize).step_by(8) {
                let entry = if at % 4096 < 64 { entry(&mut input) } else { 0 };
                reference.ram[at..at + 8].copy_from_slice(&entry.to_le_bytes());
            }
            for page in 0..512 {
                let address = (page & 7) << 12 | (page >> 3 & 7) << 21 | (page >> 6) << 30;
                seen.insert(match reference.run(Deed::Load, address, 8, rights) {
                    Ok(_) if reference.walked.len() >= 3 => "three tables",
                    Ok(_) => "a large page",
                    Err(trap) if trap.cause == 5 => "access fault",
                    Err(_) => "page fault",
                });
            }
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }
}
