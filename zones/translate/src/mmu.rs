//! Address translation: Bare, Sv39 and Sv48, with a cache of translations per kind of access and privilege.
//!
//! A cached translation exists only while the page table entry it came from allows that access with its A (and for stores
//! D) bit set, and only for pages of RAM; device pages and misaligned accesses go the slow way. There are no ASIDs (`satp`
//! has no ASID bits), so a change of `satp` drops everything.
//!
//! Source: privileged manual, "Virtual Address Translation Process".

use std::collections::HashSet;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::memory::{HostPage, PAGE_SIZE, Ram};
use crate::trap::Trap;

#[cfg(test)]
mod tests;

/// What an access wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Instruction fetch.
    Fetch,
    /// Data read.
    Load,
    /// Data write, or both (AMO).
    Store,
}

/// In whose name an access is made; picks the table of cached translations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum View {
    /// U-mode.
    User = 0,
    /// S-mode with `sstatus.SUM` clear.
    Supervisor = 1,
    /// S-mode that may touch user pages (`sstatus.SUM` set).
    SupervisorUser = 2,
}

pub(crate) const WAYS: usize = 512;
const FETCH_WAYS: usize = 128;
/// Kinds of [`View`], and one more so that a masked index is in bounds.
const VIEWS: usize = 4;
/// Tag of an empty entry: no access compares equal to it, since bits 11..3 of a compared address are clear.
const EMPTY: u64 = u64::MAX;

/// A cached translation, as generated code reads it, too.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    /// The page's address.
    tag: u64,
    /// What to add to an address in the page to have its host address.
    host: HostPage,
}

const EMPTY_ENTRY: Entry = Entry {
    tag: EMPTY,
    host: HostPage::NONE,
};

/// The cached translations of one view.
#[repr(C)]
pub(crate) struct Tables {
    load: [Entry; WAYS],
    store: [Entry; WAYS],
}

/// log2 of an entry's size, and where things are for generated code.
pub(crate) const ENTRY_SHIFT: u8 = 4;
pub(crate) const ENTRY_HOST: i32 = std::mem::offset_of!(Entry, host) as i32;
pub(crate) const LOAD_ENTRIES: usize = std::mem::offset_of!(Tables, load);
pub(crate) const STORE_ENTRIES: usize = std::mem::offset_of!(Tables, store);
const _: () =
    assert!(size_of::<Entry>() == 1 << ENTRY_SHIFT && std::mem::offset_of!(Entry, tag) == 0);

#[derive(Clone, Copy)]
struct FetchEntry {
    tag: u64,
    physical: u64,
    page: HostPage,
}

const EMPTY_FETCH: FetchEntry = FetchEntry {
    tag: EMPTY,
    physical: 0,
    page: HostPage::NONE,
};

/// One hart's translation state.
pub struct Mmu {
    tables: Box<[Tables]>,
    /// The tables of the present view, for generated code.
    pub(crate) current: AtomicPtr<Tables>,
    fetch: Box<[[FetchEntry; FETCH_WAYS]; 2]>,
    view: usize,
    satp: u64,
    execute_readable: bool,
    /// Superpages of which a part is cached, as their address and level: a fence for one address in one drops all.
    superpages: HashSet<u64>,
    /// Pages (hashed) that code was fetched from since the last full flush.
    fetched: Box<[u64; 64]>,
}

/// A successful walk.
struct Leaf {
    physical: u64,
    /// 0 for a page, more for superpages.
    level: u32,
}

const PTE_VALID: u64 = 1 << 0;
const PTE_READ: u64 = 1 << 1;
const PTE_WRITE: u64 = 1 << 2;
const PTE_EXECUTE: u64 = 1 << 3;
const PTE_USER: u64 = 1 << 4;
const PTE_ACCESSED: u64 = 1 << 6;
const PTE_DIRTY: u64 = 1 << 7;
/// Svnapot, Svpbmt and reserved bits: not offered, so a page fault.
const PTE_RESERVED: u64 = !0 << 54;
const PTE_PPN: u64 = (1 << 44) - 1;

/// `satp.MODE` values that are offered.
const MODE_SV39: u64 = 8;
const MODE_SV48: u64 = 9;

fn table<E: Copy, const N: usize, const M: usize>(empty: E) -> Box<[[E; N]; M]> {
    // Through a vector, so that no large array passes over the stack.
    let rows = vec![[empty; N]; M].into_boxed_slice();
    rows.try_into()
        .unwrap_or_else(|_| unreachable!("the vector has M rows"))
}

/// A superpage's address, with its level in the low bits.
fn superpage(address: u64, level: u32) -> u64 {
    address >> (12 + 9 * level) << (12 + 9 * level) | u64::from(level)
}

fn bit(bits: &[u64], hash: u64) -> (usize, u64) {
    let index = hash as usize % (bits.len() * 64);
    (index / 64, 1 << (index % 64))
}

impl Default for Mmu {
    fn default() -> Self {
        let mut tables: Box<[Tables]> = (0..VIEWS)
            .map(|_| Tables {
                load: [EMPTY_ENTRY; WAYS],
                store: [EMPTY_ENTRY; WAYS],
            })
            .collect();
        let current = AtomicPtr::new(&raw mut tables[View::Supervisor as usize]);
        Self {
            tables,
            current,
            fetch: table(EMPTY_FETCH),
            view: View::Supervisor as usize,
            satp: 0,
            execute_readable: false,
            superpages: HashSet::new(),
            fetched: Box::new([0; 64]),
        }
    }
}

impl std::fmt::Debug for Mmu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mmu")
            .field("satp", &format_args!("{:#x}", self.satp))
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

impl Mmu {
    /// The page of a load at this address, if its translation is cached and the address is aligned to `size`.
    #[inline(always)]
    pub(crate) fn load_hit(&self, address: u64, size: u64) -> Option<HostPage> {
        let entry = &self.tables[self.view & 3].load[(address / PAGE_SIZE) as usize % WAYS];
        (entry.tag == address & (!(PAGE_SIZE - 1) | (size - 1)))
            .then(|| entry.host.for_page(address))
    }

    /// The same for a store.
    #[inline(always)]
    pub(crate) fn store_hit(&self, address: u64, size: u64) -> Option<HostPage> {
        let entry = &self.tables[self.view & 3].store[(address / PAGE_SIZE) as usize % WAYS];
        (entry.tag == address & (!(PAGE_SIZE - 1) | (size - 1)))
            .then(|| entry.host.for_page(address))
    }

    /// In whose name the next loads and stores are made.
    pub(crate) fn set_view(&mut self, view: View) {
        self.view = view as usize;
        *self.current.get_mut() = &raw mut self.tables[self.view & 3];
    }

    /// `sstatus.MXR`: loads may read pages that are only executable. Cached translations depend on it.
    pub(crate) fn set_execute_readable(&mut self, on: bool) {
        if self.execute_readable != on {
            self.execute_readable = on;
            self.flush();
        }
    }

    /// The value of `satp`.
    pub fn satp(&self) -> u64 {
        self.satp
    }

    /// Writes `satp`: an unsupported mode leaves it as it was, the ASID is always 0.
    pub(crate) fn set_satp(&mut self, value: u64) {
        let mode = value >> 60;
        if mode == 0 || mode == MODE_SV39 || mode == MODE_SV48 {
            self.satp = if mode == 0 {
                0
            } else {
                mode << 60 | value & PTE_PPN
            };
            self.flush();
        }
    }

    /// Drops every cached translation.
    pub(crate) fn flush(&mut self) {
        for tables in self.tables.iter_mut() {
            tables.load.fill(EMPTY_ENTRY);
            tables.store.fill(EMPTY_ENTRY);
        }
        for row in self.fetch.iter_mut() {
            row.fill(EMPTY_FETCH);
        }
        self.superpages.clear();
        self.fetched.fill(0);
    }

    /// Drops the cached translations of the page at this address. Returns whether code may have been fetched there, so
    /// that blocks found by virtual address must be looked up again.
    pub(crate) fn flush_page(&mut self, address: u64) -> bool {
        if !self.superpages.is_empty()
            && (1..4).any(|level| self.superpages.contains(&superpage(address, level)))
        {
            self.flush();
            return true;
        }
        let page = address & !(PAGE_SIZE - 1);
        let way = (address / PAGE_SIZE) as usize;
        for tables in self.tables.iter_mut() {
            for row in [&mut tables.load, &mut tables.store] {
                if row[way % WAYS].tag == page {
                    row[way % WAYS] = EMPTY_ENTRY;
                }
            }
        }
        for row in self.fetch.iter_mut() {
            if row[way % FETCH_WAYS].tag == page {
                row[way % FETCH_WAYS] = EMPTY_FETCH;
            }
        }
        let (word, mask) = bit(&self.fetched[..], address / PAGE_SIZE);
        self.fetched[word] & mask != 0
    }

    /// Translates for a data access and caches the translation if the page is RAM. Returns the physical address and its
    /// RAM page.
    #[cold]
    #[inline(never)]
    pub(crate) fn translate(
        &mut self,
        ram: &Ram,
        address: u64,
        access: Access,
    ) -> Result<(u64, Option<HostPage>), Trap> {
        let supervisor = self.view != View::User as usize;
        let user_pages = self.view != View::Supervisor as usize;
        let leaf = self.walk(ram, address, access, supervisor, user_pages)?;
        let page = ram.page(leaf.physical);
        if let Some(page) = page {
            let tables = &mut self.tables[self.view & 3];
            let row = if access == Access::Store {
                &mut tables.store
            } else {
                &mut tables.load
            };
            let tag = address & !(PAGE_SIZE - 1);
            row[(address / PAGE_SIZE) as usize % WAYS] = Entry {
                tag,
                host: page.biased_by(tag),
            };
            self.remember_superpage(&leaf, address);
        }
        Ok((leaf.physical, page))
    }

    /// Translates for an instruction fetch, which must be from RAM. Returns the physical address and its page.
    pub(crate) fn translate_fetch(
        &mut self,
        ram: &Ram,
        address: u64,
        supervisor: bool,
    ) -> Result<(u64, HostPage), Trap> {
        let way = (address / PAGE_SIZE) as usize % FETCH_WAYS;
        let tag = address & !(PAGE_SIZE - 1);
        let entry = self.fetch[usize::from(supervisor)][way];
        if entry.tag == tag {
            return Ok((entry.physical | address & (PAGE_SIZE - 1), entry.page));
        }
        let leaf = self.walk(ram, address, Access::Fetch, supervisor, !supervisor)?;
        let page = ram
            .page(leaf.physical)
            .ok_or(Trap::access_fault(Access::Fetch, address))?;
        self.fetch[usize::from(supervisor)][way] = FetchEntry {
            tag,
            physical: leaf.physical & !(PAGE_SIZE - 1),
            page,
        };
        self.remember_superpage(&leaf, address);
        let (word, mask) = bit(&self.fetched[..], address / PAGE_SIZE);
        self.fetched[word] |= mask;
        Ok((leaf.physical, page))
    }

    /// The physical address behind a virtual one, for a look from outside: with the rights of both modes, and cached nowhere.
    pub(crate) fn peek(&self, ram: &Ram, address: u64) -> Option<u64> {
        let walk = |access| self.walk(ram, address, access, true, true);
        let leaf = walk(Access::Load).or_else(|_| walk(Access::Fetch)).ok()?;
        Some(leaf.physical)
    }

    fn remember_superpage(&mut self, leaf: &Leaf, address: u64) {
        if leaf.level > 0 {
            self.superpages.insert(superpage(address, leaf.level));
        }
    }

    fn walk(
        &self,
        ram: &Ram,
        address: u64,
        access: Access,
        supervisor: bool,
        user_pages: bool,
    ) -> Result<Leaf, Trap> {
        let levels: u32 = match self.satp >> 60 {
            MODE_SV39 => 3,
            MODE_SV48 => 4,
            // Bare: there is nothing to fence.
            _ => {
                return Ok(Leaf {
                    physical: address,
                    level: 0,
                });
            }
        };
        let fault = Trap::page_fault(access, address);
        let unused = 64 - (12 + 9 * levels);
        if (address << unused).cast_signed() >> unused != address.cast_signed() {
            return Err(fault);
        }
        let mut table = (self.satp & PTE_PPN) << 12;
        let mut level = levels;
        while level > 0 {
            level -= 1;
            let shift = 12 + 9 * level;
            let slot = table + (address >> shift & 0x1ff) * 8;
            let entry_page = ram.page(slot).ok_or(Trap::access_fault(access, address))?;
            let entry: u64 = entry_page.load(slot);
            if entry & PTE_VALID == 0
                || entry & (PTE_READ | PTE_WRITE) == PTE_WRITE
                || entry & PTE_RESERVED != 0
            {
                return Err(fault);
            }
            let base = (entry >> 10 & PTE_PPN) << 12;
            if entry & (PTE_READ | PTE_EXECUTE) == 0 {
                if entry & (PTE_USER | PTE_ACCESSED | PTE_DIRTY) != 0 {
                    return Err(fault);
                }
                table = base;
                continue;
            }
            let in_page = (1u64 << shift) - 1;
            if !self.permits(entry, access, supervisor, user_pages) || base & in_page != 0 {
                return Err(fault);
            }
            let wanted = entry
                | PTE_ACCESSED
                | if access == Access::Store {
                    PTE_DIRTY
                } else {
                    0
                };
            if wanted != entry
                && entry_page
                    .atomic64(slot)
                    .compare_exchange(
                        entry.to_le(),
                        wanted.to_le(),
                        Ordering::SeqCst,
                        Ordering::SeqCst,
                    )
                    .is_err()
            {
                // Another hart changed the entry between our read and our update: start over.
                return self.walk(ram, address, access, supervisor, user_pages);
            }
            return Ok(Leaf {
                physical: base | address & in_page,
                level,
            });
        }
        Err(fault)
    }

    fn permits(&self, entry: u64, access: Access, supervisor: bool, user_pages: bool) -> bool {
        let owner = if entry & PTE_USER != 0 {
            user_pages
        } else {
            supervisor
        };
        let right = match access {
            Access::Fetch => PTE_EXECUTE,
            Access::Store => PTE_WRITE,
            Access::Load if self.execute_readable => PTE_READ | PTE_EXECUTE,
            Access::Load => PTE_READ,
        };
        owner && entry & right != 0
    }
}
