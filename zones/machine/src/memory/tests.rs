//! Guest RAM on host pages that are larger than the guest's: whatever is noticed of a page is noticed of that page of the
//! guest, and of no other in the same page of the host.
//!
//! Where the host offers huge pages they must be there. Elsewhere the same is run on ordinary pages, and says so.

use std::fs;
use std::ops::Range;
use std::sync::Arc;

use vm_memory::{Bytes, GuestMemory as _, Permissions};
use zone_translate::{Clock, CodeCache, Exit, Hart, PageBytes};

use super::*;
use crate::board::Board;

/// A huge page of the host, and what the guest has instead.
const HUGE: u64 = 2 << 20;
const PAGE: u64 = 4096;
const PAGES: u64 = HUGE / PAGE;

const LD: u32 = 0x0002_b303; // ld x6, 0(x5)
const SD: u32 = 0x0062_b023; // sd x6, 0(x5)
const CALL: u32 = 0x0002_80e7; // jalr x1, 0(x5)
const RETURN: u32 = 0x0000_8067;
const ECALL: u32 = 0x0000_0073;
const FENCE_I: u32 = 0x0000_100f;
const SFENCE_VMA: u32 = 0x1200_0073;
const WRITE_STVEC: u32 = 0x1055_9073; // csrw stvec, x11
const WRITE_SATP: u32 = 0x1805_1073; // csrw satp, x10

/// What the guest does, each time until it calls the machine.
const PROGRAMS: [&[u32]; 6] = [
    &[LD, ECALL],
    &[SD, ECALL],
    &[CALL, ECALL],
    &[FENCE_I, CALL, ECALL],
    &[SFENCE_VMA, ECALL],
    &[WRITE_STVEC, WRITE_SATP, ECALL],
];
/// Bytes from one to the next.
const SLOT: usize = 16;
/// Where the guest's own things are: code, trap handler, page tables.
const CODE: u64 = RAM_BASE;
const HANDLER: u64 = RAM_BASE + PAGE;
const TABLES: [u64; 3] = [
    RAM_BASE + 2 * PAGE,
    RAM_BASE + 3 * PAGE,
    RAM_BASE + 4 * PAGE,
];
/// Where the guest maps the pages of one of the host's.
const MAPPED: u64 = HUGE;

struct World {
    memory: GuestMemory,
    ram: Ram,
    hart: Hart,
    /// One page of the host.
    pages: Range<u64>,
}

/// Bytes of huge pages in the host's mapping where this address is.
fn huge_bytes(address: u64) -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps").expect("the process's mappings");
    let mut is_within = false;
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((start, end)) = words.first().and_then(|word| word.split_once('-')) {
            let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).ok());
            is_within = start.is_some_and(|at| at <= address) && end.is_some_and(|at| address < at);
        } else if is_within && words.first() == Some(&"AnonHugePages:") {
            return words[1].parse::<u64>().expect("a number") << 10;
        }
    }
    panic!("{address:#x} is not mapped");
}

fn host_has_huge_pages() -> bool {
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    setting.is_ok_and(|text| text.contains("[always]") || text.contains("[madvise]"))
}

impl World {
    fn new(translate: bool) -> Self {
        let (memory, ram) = allocate(64).unwrap();
        // All of it is there.
        for at in (0..ram.length()).step_by(1 << 20) {
            let address = GuestAddress(RAM_BASE + at);
            memory.write_slice(&[0; 1 << 20], address).unwrap();
        }
        let at = GuestAddress(RAM_BASE);
        let mut slices = memory.get_slices(at, 1, Permissions::Read).unwrap();
        let host = slices.next().unwrap().unwrap().ptr_guard().as_ptr() as u64;
        drop(slices);
        if host_has_huge_pages() {
            let huge = huge_bytes(host);
            assert!(
                huge >= HUGE,
                "the host offers huge pages but gives {huge} bytes of them"
            );
        } else {
            eprintln!("this host has no huge pages: on ordinary ones");
        }
        // Not the first, where the guest's own things are.
        let start = RAM_BASE + (host.next_multiple_of(HUGE) - host) + HUGE;
        let mut hart = Hart::new(
            ram.clone(),
            Arc::new(Board::default()),
            Arc::default(),
            Clock::Instructions { per_tick: 10 },
        );
        if translate {
            assert!(hart.translate_into(CodeCache::new().unwrap()));
        }
        let world = Self {
            memory,
            ram,
            hart,
            pages: start..start + HUGE,
        };
        for (program, at) in PROGRAMS.iter().zip((CODE..).step_by(SLOT)) {
            world.place(at, program);
        }
        world.place(HANDLER, &[ECALL]);
        world
    }

    fn place(&self, at: u64, code: &[u32]) {
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.memory.write_slice(&bytes, GuestAddress(at)).unwrap();
    }

    /// Runs the program that begins with these instructions. Returns where it is.
    fn run(&mut self, begin: &[u32], x5: u64, x6: u64) -> u64 {
        let slot = PROGRAMS
            .iter()
            .position(|program| program.starts_with(begin));
        let start = CODE + (SLOT * slot.expect("a program")) as u64;
        self.hart.set_pc(start);
        self.hart.set_register(5, x5);
        self.hart.set_register(6, x6);
        assert_eq!(self.hart.run(), Exit::SupervisorCall);
        start
    }

    fn page(&self, number: u64) -> u64 {
        self.pages.start + number * PAGE
    }

    fn contents(&self) -> Vec<PageBytes> {
        let pages = (RAM_BASE..RAM_BASE + self.ram.length()).step_by(4096);
        pages.map(|at| self.ram.load_page(at).unwrap()).collect()
    }
}

#[test]
fn rights_change_at_each_page_of_the_guest() {
    const RIGHTS: [u64; 8] = [0x00, 0xc3, 0xc7, 0xc9, 0xcb, 0xcf, 0xd7, 0xdb];
    for translate in [false, true] {
        let mut world = World::new(translate);
        let entry = |table: u64, index: u64, physical: u64, flags: u64| {
            world
                .ram
                .store(table + index * 8, physical >> 12 << 10 | flags);
        };
        entry(TABLES[0], 0, TABLES[1], 1);
        // RAM where it is, for the code.
        entry(TABLES[0], 2, RAM_BASE, 0xcf);
        entry(TABLES[1], MAPPED / HUGE, TABLES[2], 1);
        for page in 0..PAGES {
            world.ram.store(world.page(page), u64::from(RETURN));
        }
        world.hart.start(CODE, 0, 0);
        world.hart.set_register(10, 8 << 60 | TABLES[0] >> 12);
        world.hart.set_register(11, HANDLER);
        world.run(&[WRITE_STVEC], 0, 0);
        for round in 0..4 {
            let rights = |page: u64| RIGHTS[((page + round) * 5 % 8) as usize];
            for page in 0..PAGES {
                let leaf = world.page(page) >> 12 << 10 | rights(page);
                world.ram.store(TABLES[2] + page * 8, leaf);
            }
            world.run(&[SFENCE_VMA], 0, 0);
            for (instruction, right, cause) in [(LD, 2, 13), (SD, 4, 15), (CALL, 8, 12)] {
                for page in 0..PAGES {
                    let address = MAPPED + page * PAGE;
                    let start = world.run(&[instruction], address, RETURN.into());
                    // The kernel has no business in user pages.
                    let may = rights(page) & right != 0 && rights(page) & 0x10 == 0;
                    let place = |number| world.hart.control_register(number);
                    if may {
                        assert_eq!(world.hart.pc(), start + 8, "{round} {page} {cause}");
                    } else {
                        let at = if cause == 12 { address } else { start };
                        let told = [place(0x142), place(0x143), place(0x141)];
                        assert_eq!(world.hart.pc(), HANDLER + 4, "{round} {page} {cause}");
                        assert_eq!(told, [Some(cause), Some(address), Some(at)], "{page}");
                    }
                }
            }
        }
    }
}

#[test]
fn code_is_watched_and_pages_are_protected_by_those_of_the_guest() {
    // `addi x7, x7, 1` to `8`.
    let adds = |number: u64| 0x0003_8393 + (((number % 8) as u32 + 1) << 20);
    for translate in [false, true] {
        let mut world = World::new(translate);
        world.hart.start(CODE, 0, 0);
        // Even pages are code, odd ones data.
        for page in (0..PAGES).step_by(2) {
            world.place(world.page(page), &[adds(page), RETURN]);
        }
        let mut sum = 0;
        for round in 0..4 {
            let (saver, then) = world.ram.snapshot(100_000, || world.contents()).unwrap();
            for page in 0..PAGES {
                let at = world.page(page);
                match page % 8 {
                    // The hart changes code, or a device does.
                    0 => {
                        let code = u64::from(RETURN) << 32 | u64::from(adds(page + round));
                        world.run(&[SD], at, code);
                    }
                    4 => world.place(at, &[adds(page + round)]),
                    1 => _ = world.run(&[SD], at, round + 1),
                    5 => world.ram.store(at, round + 1),
                    _ => {}
                }
            }
            for page in (0..PAGES).step_by(2) {
                let changed = if page % 4 == 0 { page + round } else { page };
                sum += changed % 8 + 1;
                world.run(&[FENCE_I], world.page(page), 0);
                assert_eq!(world.hart.register(7), sum, "page {page}");
            }
            let mut left = then.len();
            let saved = saver.save(|offset, bytes| {
                left -= 1;
                let page = usize::try_from(offset / PAGE).unwrap();
                if then[page] == *bytes {
                    Ok(())
                } else {
                    Err(page)
                }
            });
            assert_eq!((saved, left), (Ok(()), 0));
            for page in (1..PAGES).step_by(4) {
                assert_eq!(world.ram.load(world.page(page)), Some(round + 1));
            }
        }
    }
}

#[test]
fn memory_that_cannot_be_is_refused() {
    for mib in [0, 63, 65_537, u32::MAX] {
        let refused = allocate(mib).err();
        assert!(matches!(refused, Some(MemoryError::Size { mib: said }) if said == mib));
    }
}
