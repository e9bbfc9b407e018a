//! Walks, permissions and fences, and the cached translations against a plain walk.

use super::*;
use crate::testing::ram;
use crate::testing::random::Random;

const BASE: u64 = 0x8000_0000;
const LENGTH: usize = 16 << 20;
const ROOT: u64 = BASE + 0x1000;

const V: u64 = PTE_VALID;
const R: u64 = PTE_READ;
const W: u64 = PTE_WRITE;
const X: u64 = PTE_EXECUTE;
const U: u64 = PTE_USER;
const A: u64 = PTE_ACCESSED;
const D: u64 = PTE_DIRTY;
const ALL: u64 = V | R | W | X | A | D;

/// Page tables in a RAM of their own, from [`ROOT`] upwards.
struct World {
    ram: Ram,
    mmu: Mmu,
    free: u64,
    levels: u32,
}

impl World {
    fn new(mode: u64) -> Self {
        let mut mmu = Mmu::default();
        mmu.set_satp(mode << 60 | ROOT >> 12);
        Self {
            ram: ram(BASE, LENGTH),
            mmu,
            free: ROOT + 0x1000,
            levels: if mode == MODE_SV48 { 4 } else { 3 },
        }
    }

    /// The address of the entry for a virtual address at a level, with the tables above it made.
    fn slot(&mut self, address: u64, level: u32) -> u64 {
        let mut table = ROOT;
        for above in (level + 1..self.levels).rev() {
            let slot = table + (address >> (12 + 9 * above) & 511) * 8;
            let entry: u64 = self.ram.load(slot).unwrap();
            if entry & V == 0 {
                self.ram.store(slot, self.free >> 12 << 10 | V);
                self.free += 0x1000;
            }
            table = self.ram.load::<u64>(slot).unwrap() >> 10 << 12;
        }
        table + (address >> (12 + 9 * level) & 511) * 8
    }

    fn map(&mut self, address: u64, physical: u64, level: u32, flags: u64) -> u64 {
        let slot = self.slot(address, level);
        self.ram.store(slot, physical >> 12 << 10 | flags);
        slot
    }

    fn data(&mut self, address: u64, access: Access, view: View) -> Result<u64, Trap> {
        self.mmu.set_view(view);
        self.mmu
            .translate(&self.ram, address, access)
            .map(|(physical, _)| physical)
    }

    fn fetch(&mut self, address: u64, supervisor: bool) -> Result<u64, Trap> {
        self.mmu
            .translate_fetch(&self.ram, address, supervisor)
            .map(|(physical, _)| physical)
    }
}

fn fault(access: Access, address: u64) -> Trap {
    Trap {
        cause: match access {
            Access::Fetch => 12,
            Access::Load => 13,
            Access::Store => 15,
        },
        value: address,
    }
}

#[test]
fn bare_mode_is_the_identity() {
    let mut world = World::new(0);
    world.mmu.set_satp(0);
    assert_eq!(world.data(BASE + 5, Access::Load, View::User), Ok(BASE + 5));
    assert_eq!(world.fetch(BASE + 6, false), Ok(BASE + 6));
    // Devices have no page; code cannot be there.
    assert_eq!(world.data(0x1000, Access::Store, View::User), Ok(0x1000));
    assert_eq!(
        world.fetch(0x1000, true),
        Err(Trap {
            cause: 1,
            value: 0x1000
        })
    );
    assert_eq!(
        world.fetch(u64::MAX - 1, true),
        Err(Trap {
            cause: 1,
            value: u64::MAX - 1
        })
    );
}

#[test]
fn walks_find_pages_and_superpages_of_both_modes() {
    for (mode, address) in [
        (MODE_SV39, 0xffff_ffc0_1234_5000),
        (MODE_SV39, 0x3f_8765_4000),
        (MODE_SV48, 0xffff_8000_0000_0000),
    ] {
        for level in 0..World::new(mode).levels {
            let mut world = World::new(mode);
            let in_page = (1u64 << (12 + 9 * level)) - 1;
            let physical =
                0x40_0000_0000_0000 & !in_page | if level == 0 { BASE + 0x5000 } else { 0 };
            world.map(address, physical, level, ALL);
            let expected = physical | address & in_page;
            assert_eq!(
                world.data(address + 0xabc, Access::Load, View::Supervisor),
                Ok(expected + 0xabc),
                "{mode} {level}"
            );
            assert_eq!(
                world.data(address + 0xabc, Access::Store, View::Supervisor),
                Ok(expected + 0xabc)
            );
        }
    }
}

#[test]
fn addresses_that_are_not_canonical_fault() {
    for (mode, bits) in [(MODE_SV39, 39), (MODE_SV48, 48)] {
        let mut world = World::new(mode);
        world.map(0, BASE, world.levels - 1, ALL);
        world.map(0, 0, world.levels - 1, ALL);
        assert!(world.data(0x10, Access::Load, View::Supervisor).is_ok());
        for address in [1 << bits | 0x10, 1 << 63 | 0x10, !0 << bits | 0x10] {
            for access in [Access::Load, Access::Store] {
                assert_eq!(
                    world.data(address, access, View::Supervisor),
                    Err(fault(access, address)),
                    "{address:#x}"
                );
            }
            assert_eq!(
                world.fetch(address, true),
                Err(fault(Access::Fetch, address))
            );
        }
    }
}

#[test]
fn rights_are_those_of_the_entry_and_the_view() {
    let address = 0x4000;
    for flags in (0..256).map(|flags: u64| flags | A | D) {
        for view in [View::User, View::Supervisor, View::SupervisorUser] {
            for readable in [false, true] {
                let mut world = World::new(MODE_SV39);
                world.map(address, BASE + 0x9000, 0, flags);
                world.mmu.set_execute_readable(readable);
                let valid = flags & V != 0 && flags & (R | W) != W && flags & (R | X) != 0;
                let user_page = flags & U != 0;
                let mine = match view {
                    View::User => user_page,
                    View::Supervisor => !user_page,
                    View::SupervisorUser => true,
                };
                let load = valid && mine && (flags & R != 0 || readable && flags & X != 0);
                assert_eq!(
                    world.data(address, Access::Load, view).is_ok(),
                    load,
                    "{flags:#x} {view:?} {readable}"
                );
                let store = valid && mine && flags & W != 0;
                assert_eq!(
                    world.data(address, Access::Store, view).is_ok(),
                    store,
                    "{flags:#x} {view:?}"
                );
                // SUM says nothing about fetches.
                let supervisor = view != View::User;
                let fetch = valid && flags & X != 0 && user_page != supervisor;
                assert_eq!(
                    world.fetch(address, supervisor).is_ok(),
                    fetch,
                    "{flags:#x} {view:?}"
                );
            }
        }
    }
}

#[test]
fn accessed_and_dirty_bits_are_set_when_due_only() {
    let mut world = World::new(MODE_SV39);
    let slot = world.map(0x4000, BASE + 0x9000, 0, V | R | W | X);
    let entry = |world: &World| world.ram.load::<u64>(slot).unwrap() & (A | D);
    assert!(world.data(0x4000, Access::Load, View::User).is_err());
    assert_eq!(entry(&world), 0, "a refused access leaves no trace");
    world.data(0x4000, Access::Load, View::Supervisor).unwrap();
    assert_eq!(entry(&world), A);
    assert!(world.mmu.load_hit(0x4000, 8).is_some());
    assert!(
        world.mmu.store_hit(0x4000, 8).is_none(),
        "the first store must set the dirty bit"
    );
    world.data(0x4000, Access::Store, View::Supervisor).unwrap();
    assert_eq!(entry(&world), A | D);
    let slot = world.map(0x5000, BASE + 0x9000, 0, V | X);
    world.fetch(0x5000, true).unwrap();
    assert_eq!(world.ram.load::<u64>(slot).unwrap() & (A | D), A);
}

#[test]
fn malformed_entries_fault() {
    let leaf_cases = [
        V | W | A | D,
        ALL | 1 << 54,
        ALL | 1 << 61,
        ALL | 1 << 63,
        R | W | X | A | D,
    ];
    for flags in leaf_cases {
        let mut world = World::new(MODE_SV39);
        world.map(0x4000, BASE + 0x9000, 0, flags);
        assert_eq!(
            world.data(0x4000, Access::Load, View::Supervisor),
            Err(fault(Access::Load, 0x4000)),
            "{flags:#x}"
        );
    }
    // A superpage whose lower bits of the page number are not zero; a pointer with A, D or U; a pointer at the last level.
    for (level, flags, physical) in [
        (1, ALL, BASE + 0x1000),
        (2, ALL, BASE + 0x20_0000),
        (1, V | A, BASE),
        (1, V | D, BASE),
        (1, V | U, BASE),
        (0, V, BASE),
    ] {
        let mut world = World::new(MODE_SV39);
        world.map(0x4000, physical, level, flags);
        assert_eq!(
            world.data(0x4000, Access::Store, View::Supervisor),
            Err(fault(Access::Store, 0x4000)),
            "{level} {flags:#x}"
        );
    }
}

#[test]
fn tables_outside_ram_are_access_faults() {
    for (physical, access, cause) in [
        (0x1000, Access::Load, 5),
        (0x1000, Access::Store, 7),
        (BASE + LENGTH as u64, Access::Load, 5),
        (!0 >> 8 & !0xfff, Access::Load, 5),
    ] {
        let mut world = World::new(MODE_SV39);
        world.map(0x4000, physical, 1, V);
        assert_eq!(
            world.data(0x4000, access, View::Supervisor),
            Err(Trap {
                cause,
                value: 0x4000
            }),
            "{physical:#x}"
        );
        assert_eq!(
            world.fetch(0x4000, true),
            Err(Trap {
                cause: 1,
                value: 0x4000
            })
        );
    }
}

#[test]
fn satp_takes_supported_modes_only() {
    let mut mmu = Mmu::default();
    mmu.set_satp(MODE_SV39 << 60 | 0x8_1234);
    for mode in (1..16).filter(|mode| ![MODE_SV39, MODE_SV48].contains(mode)) {
        mmu.set_satp(mode << 60 | 0x99);
        assert_eq!(mmu.satp(), MODE_SV39 << 60 | 0x8_1234, "mode {mode}");
    }
    mmu.set_satp(MODE_SV48 << 60 | PTE_PPN);
    assert_eq!(mmu.satp(), MODE_SV48 << 60 | PTE_PPN);
    mmu.set_satp(MODE_SV48 << 60 | SATP_ASID | 5);
    assert_eq!(asid(mmu.satp()), 0xffff, "all bits are there");
    mmu.set_satp(0xfff);
    assert_eq!(mmu.satp(), 0);
}

#[test]
fn address_spaces_keep_their_translations_until_a_fence_names_them() {
    let mut world = World::new(MODE_SV39);
    let root = world.mmu.satp();
    let space = |number: u64| root | number << 44;
    let slot = world.map(0x20_0000, BASE + 0x1_0000, 0, ALL);
    let cached = |world: &World| world.mmu.load_hit(0x20_0000, 8).is_some();
    for number in 1..=3 {
        world.mmu.set_satp(space(number));
        assert!(!cached(&world));
        world
            .data(0x20_0000, Access::Load, View::Supervisor)
            .unwrap();
    }
    world.ram.store(slot, 0u64);
    for number in 1..=3 {
        world.mmu.set_satp(space(number));
        assert!(cached(&world), "{number} was not fenced");
    }
    world.mmu.flush_space(2);
    world.mmu.flush_page(0x20_0000, Some(3));
    for (number, expected) in [(1, true), (2, false), (3, false)] {
        world.mmu.set_satp(space(number));
        assert_eq!(cached(&world), expected, "{number}");
    }
    world.mmu.flush_page(0x20_0000, None);
    world.mmu.set_satp(space(1));
    assert!(!cached(&world));
    // More spaces than are kept: the oldest is forgotten, and what comes anew is empty.
    world.ram.store(slot, (BASE + 0x1_0000) >> 12 << 10 | ALL);
    world
        .data(0x20_0000, Access::Load, View::Supervisor)
        .unwrap();
    for number in 10..10 + SPACES as u64 {
        world.mmu.set_satp(space(number));
        assert!(!cached(&world));
    }
    world.mmu.set_satp(space(1));
    assert!(!cached(&world));
    assert!(world.mmu.others.len() < SPACES);
}

#[test]
fn contexts_of_supervisor_code_are_shared_in_global_pages_only() {
    let mut world = World::new(MODE_SV39);
    let root = world.mmu.satp();
    world.map(0x20_0000, BASE + 0x1_0000, 0, ALL | PTE_GLOBAL);
    world.map(0x40_0000, BASE + 0x1_0000, 0, ALL);
    let (one, other) = (root | 1 << 44, root | 2 << 44);
    for satp in [one, other] {
        world.mmu.set_satp(satp);
        world.fetch(0x20_0000, true).unwrap();
    }
    let shared = world.mmu.context(true);
    let own = world.mmu.context(false);
    world.mmu.set_satp(one);
    assert_eq!(world.mmu.context(true), shared);
    assert_ne!(world.mmu.context(false), own);
    world.fetch(0x40_0000, true).unwrap();
    assert_ne!(world.mmu.context(true), shared, "not everyone's code");
    world.mmu.set_satp(other);
    assert_eq!(world.mmu.context(true), shared);
    world.mmu.set_satp(0);
    assert_ne!(world.mmu.context(true), shared, "physical addresses");
    world.mmu.set_satp(one);
    world.mmu.flush_page(0x20_0000, None);
    world.mmu.set_satp(other);
    assert_ne!(world.mmu.context(true), shared, "fenced");
}

#[test]
fn a_fence_for_one_address_drops_all_of_a_superpage() {
    let mut world = World::new(MODE_SV39);
    let slot = world.map(0x20_0000, BASE + 0x40_0000, 1, ALL);
    for page in 0..4 {
        world
            .data(0x20_0000 + page * 0x1000, Access::Load, View::Supervisor)
            .unwrap();
    }
    world.ram.store(slot, 0u64);
    assert!(
        world.mmu.load_hit(0x20_3000, 8).is_some(),
        "without a fence the old translation may stay"
    );
    world.mmu.flush_page(0x3f_f000, None);
    for page in 0..4 {
        assert!(world.mmu.load_hit(0x20_0000 + page * 0x1000, 8).is_none());
    }
}

#[test]
fn a_fence_for_another_part_of_a_gigapage_drops_all_of_it() {
    let mut world = World::new(MODE_SV39);
    let slot = world.map(0x4000_0000, 0, 2, ALL);
    world.ram.store(slot, 0x8000_0000 >> 12 << 10 | ALL);
    world
        .data(0x4000_3000, Access::Load, View::Supervisor)
        .unwrap();
    world.fetch(0x4000_4000, true).unwrap();
    world.ram.store(slot, 0u64);
    let contexts = [true, false].map(|supervisor| world.mmu.context(supervisor));
    world.mmu.flush_page(0x7fff_f000, None);
    for (supervisor, old) in [true, false].into_iter().zip(contexts) {
        assert_ne!(world.mmu.context(supervisor), old, "code was fetched there");
    }
    assert!(world.mmu.load_hit(0x4000_3000, 8).is_none());
    assert!(world.fetch(0x4000_4000, true).is_err());
}

#[test]
fn a_fence_where_no_code_was_fetched_leaves_all_code_found() {
    let mut world = World::new(MODE_SV39);
    world.map(0x20_0000, BASE + 0x40_0000, 0, ALL);
    world.fetch(0x20_0000, true).unwrap();
    let contexts = [true, false].map(|supervisor| world.mmu.context(supervisor));
    // Pages that are neighbours in every table of few entries.
    for distance in [12, 18, 24, 28, 30] {
        world.mmu.flush_page(0x20_0000 + (1 << distance), None);
    }
    assert_eq!(
        contexts,
        [true, false].map(|supervisor| world.mmu.context(supervisor))
    );
    world.mmu.flush_page(0x20_0000, None);
    assert_ne!(contexts[0], world.mmu.context(true));
}

/// The walk as the manual writes it, without any cache.
fn plain_walk(world: &World, address: u64, access: Access, view: View) -> Result<u64, ()> {
    let unused = 64 - (12 + 9 * world.levels);
    if ((address << unused) as i64 >> unused) as u64 != address {
        return Err(());
    }
    let (mut a, mut i) = (ROOT, world.levels - 1);
    let pte = loop {
        let pte = world
            .ram
            .load::<u64>(a + (address >> (12 + 9 * i) & 511) * 8)
            .ok_or(())?;
        if pte & V == 0 || pte & R == 0 && pte & W != 0 || pte >> 54 != 0 {
            return Err(());
        }
        if pte & (R | X) != 0 {
            break pte;
        }
        if pte & (A | D | U) != 0 || i == 0 {
            return Err(());
        }
        (a, i) = (pte >> 10 << 12, i - 1);
    };
    let right = match access {
        Access::Fetch => pte & X != 0,
        Access::Load => pte & R != 0,
        Access::Store => pte & W != 0,
    };
    let owner = if pte & U != 0 {
        view == View::User || view == View::SupervisorUser && access != Access::Fetch
    } else {
        view != View::User
    };
    let offset = (1 << (12 + 9 * i)) - 1;
    if !right || !owner || (pte >> 10 << 12) & offset != 0 {
        return Err(());
    }
    Ok(pte >> 10 << 12 | address & offset)
}

#[test]
fn cached_translations_equal_a_plain_walk_after_fences() {
    let mut random = Random::new(2);
    for round in 0..40 {
        let mut world = World::new(if round % 2 == 0 { MODE_SV39 } else { MODE_SV48 });
        // A few pages that share table slots and cache ways, in three 2 MiB regions.
        let pages: Vec<u64> = (0..24)
            .map(|_| {
                random.below(3) * 0x20_0000 + random.below(4) * 0x1000 + random.below(2) * 0x1f_c000
            })
            .collect();
        for _ in 0..400 {
            let page = random.pick(&pages);
            match random.below(8) {
                0..4 => {
                    let level = u32::from(random.below(8) == 0);
                    let flags = random.pick(&[
                        0,
                        ALL,
                        ALL | U,
                        V | R,
                        V | R | U | A,
                        V | R | W,
                        V | X | A,
                        V | R | X | U | A | D,
                        V | W,
                    ]);
                    let physical = BASE + 0x40_0000 + random.below(0x100) * 0x1000;
                    let physical = if level == 1 && random.below(4) != 0 {
                        physical & !0x1f_ffff
                    } else {
                        physical
                    };
                    // An entry that was a leaf may not serve as a table, nor the other way round.
                    let upper = world.slot(page, 1);
                    let upper_entry: u64 = world.ram.load(upper).unwrap();
                    if level == 1 {
                        if upper_entry & V == 0 || upper_entry & (R | X) != 0 {
                            world.ram.store(upper, physical >> 12 << 10 | flags);
                        } else {
                            world.ram.store(upper, 0u64);
                            // A table went away: a fence for one address of it is not enough.
                            world.mmu.flush();
                        }
                    } else if upper_entry & (R | X) == 0 {
                        world.map(page, physical, 0, flags);
                    } else {
                        world.ram.store(upper, 0u64);
                    }
                    if random.below(6) == 0 {
                        world.mmu.flush();
                    } else {
                        world.mmu.flush_page(page + random.below(4096), None);
                    }
                }
                _ => {
                    let view = random.pick(&[View::User, View::Supervisor, View::SupervisorUser]);
                    let access = random.pick(&[Access::Fetch, Access::Load, Access::Store]);
                    let address = page + (random.below(4096) & !7);
                    let expected = plain_walk(&world, address, access, view);
                    world.mmu.set_view(view);
                    let hit = match access {
                        Access::Load => world.mmu.load_hit(address, 8),
                        Access::Store => world.mmu.store_hit(address, 8),
                        Access::Fetch => None,
                    };
                    if let Some(page) = hit {
                        assert_eq!(
                            Some(page),
                            expected.ok().and_then(|physical| world.ram.page(physical)),
                            "{address:#x} {access:?}"
                        );
                    }
                    let found = if access == Access::Fetch {
                        world.fetch(address, view != View::User)
                    } else {
                        world.data(address, access, view)
                    };
                    assert_eq!(
                        found.ok(),
                        expected.ok(),
                        "{address:#x} {access:?} {view:?}"
                    );
                }
            }
        }
    }
}
