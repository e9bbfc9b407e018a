//! Address translation: Bare, Sv39 and Sv48, with a cache of translations per kind of access and privilege.
//!
//! A cached translation exists only while the page table entry it came from allows that access with its A (and for stores
//! D) bit set, and only for pages of RAM; device pages and misaligned accesses go the slow way. One for stores exists only once
//! the page's descriptor has nothing against it (see [`crate::descriptors`]).
//!
//! Each value of `satp` has cached translations of its own ([`Space`]), of which the last few are kept: a switch between
//! address spaces picks others and drops nothing. What code was found by virtual address is named by a context: each space
//! has one for U-mode, and all share one for S-mode as long as S-mode's code lies in global pages only.
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
/// Address spaces that are kept.
const SPACES: usize = 8;
/// Pages that are remembered as code's: far more than a program runs between two flushes.
const MOST_FETCHED: usize = 8192;
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

/// The cached translations of one value of `satp`.
struct Space {
    satp: u64,
    tables: Box<[Tables]>,
    fetch: Box<[[FetchEntry; FETCH_WAYS]; 2]>,
    /// Superpages of which a part is cached, as their address and level: a fence for one address in one drops all.
    superpages: HashSet<u64>,
    /// Numbers of the pages that code was fetched from since the last full flush; with [`MOST_FETCHED`] of them, any may be.
    fetched: HashSet<u64>,
    /// Names what code was found by virtual address in U-mode, and in S-mode if that is not shared.
    context: u64,
    /// S-mode fetched from a page that is not global, as all are without translation.
    private: bool,
    /// When it was last picked.
    used: u64,
}

/// One hart's translation state.
pub struct Mmu {
    /// The space in force, and others that were.
    space: Space,
    others: Vec<Space>,
    /// The tables of the present view, for generated code.
    pub(crate) current: AtomicPtr<Tables>,
    view: usize,
    execute_readable: bool,
    /// Names what code S-mode found in global pages.
    shared_context: u64,
    /// The last context that was given out.
    contexts: u64,
    switches: u64,
}

/// A successful walk.
struct Leaf {
    physical: u64,
    /// 0 for a page, more for superpages.
    level: u32,
    global: bool,
}

const PTE_VALID: u64 = 1 << 0;
const PTE_READ: u64 = 1 << 1;
const PTE_WRITE: u64 = 1 << 2;
const PTE_EXECUTE: u64 = 1 << 3;
const PTE_USER: u64 = 1 << 4;
const PTE_GLOBAL: u64 = 1 << 5;
const PTE_ACCESSED: u64 = 1 << 6;
const PTE_DIRTY: u64 = 1 << 7;
/// Svnapot, Svpbmt and reserved bits: not offered, so a page fault.
const PTE_RESERVED: u64 = !0 << 54;
const PTE_PPN: u64 = (1 << 44) - 1;
const SATP_ASID: u64 = 0xffff << 44;

/// The address space identifier in a value of `satp`.
pub(crate) fn asid(satp: u64) -> u16 {
    (satp >> 44) as u16
}

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

impl Space {
    fn new(satp: u64, context: u64) -> Self {
        Self {
            satp,
            tables: (0..VIEWS)
                .map(|_| Tables {
                    load: [EMPTY_ENTRY; WAYS],
                    store: [EMPTY_ENTRY; WAYS],
                })
                .collect(),
            fetch: table(EMPTY_FETCH),
            superpages: HashSet::new(),
            fetched: HashSet::new(),
            context,
            private: satp == 0,
            used: 0,
        }
    }

    /// Drops every cached translation; what code was found is found anew under another context.
    fn flush(&mut self, context: u64) {
        for tables in self.tables.iter_mut() {
            tables.load.fill(EMPTY_ENTRY);
            tables.store.fill(EMPTY_ENTRY);
        }
        for row in self.fetch.iter_mut() {
            row.fill(EMPTY_FETCH);
        }
        self.superpages.clear();
        self.fetched.clear();
        self.context = context;
        self.private = self.satp == 0;
    }

    fn has_superpage(&self, address: u64) -> bool {
        !self.superpages.is_empty()
            && (1..4).any(|level| self.superpages.contains(&superpage(address, level)))
    }

    /// Drops the cached translations of the page at this address, which lies in no superpage. Returns whether code may have
    /// been fetched there.
    fn flush_page(&mut self, address: u64) -> bool {
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
        self.fetched.len() >= MOST_FETCHED || self.fetched.contains(&(address / PAGE_SIZE))
    }

    fn remember_superpage(&mut self, leaf: &Leaf, address: u64) {
        if leaf.level > 0 {
            self.superpages.insert(superpage(address, leaf.level));
        }
    }
}

impl Default for Mmu {
    fn default() -> Self {
        let mut space = Space::new(0, 2);
        let current = AtomicPtr::new(&raw mut space.tables[View::Supervisor as usize]);
        Self {
            space,
            others: Vec::new(),
            current,
            view: View::Supervisor as usize,
            execute_readable: false,
            shared_context: 4,
            contexts: 4,
            switches: 0,
        }
    }
}

impl std::fmt::Debug for Mmu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mmu")
            .field("satp", &format_args!("{:#x}", self.space.satp))
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

impl Mmu {
    /// The page of a load at this address, if its translation is cached and the address is aligned to `size`.
    #[inline(always)]
    pub(crate) fn load_hit(&self, address: u64, size: u64) -> Option<HostPage> {
        let entry = &self.space.tables[self.view & 3].load[(address / PAGE_SIZE) as usize % WAYS];
        (entry.tag == address & (!(PAGE_SIZE - 1) | (size - 1)))
            .then(|| entry.host.for_page(address))
    }

    /// The same for a store.
    #[inline(always)]
    pub(crate) fn store_hit(&self, address: u64, size: u64) -> Option<HostPage> {
        let entry = &self.space.tables[self.view & 3].store[(address / PAGE_SIZE) as usize % WAYS];
        (entry.tag == address & (!(PAGE_SIZE - 1) | (size - 1)))
            .then(|| entry.host.for_page(address))
    }

    /// In whose name the next loads and stores are made.
    pub(crate) fn set_view(&mut self, view: View) {
        self.view = view as usize;
        *self.current.get_mut() = &raw mut self.space.tables[self.view & 3];
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
        self.space.satp
    }

    /// Names what code is found by virtual address in the present space; even.
    pub(crate) fn context(&self, supervisor: bool) -> u64 {
        if supervisor && !self.space.private {
            self.shared_context
        } else {
            self.space.context
        }
    }

    fn new_context(&mut self) -> u64 {
        self.contexts = self.contexts.wrapping_add(2);
        self.contexts
    }

    /// From now on, all code is looked up anew.
    pub(crate) fn change_contexts(&mut self) {
        self.shared_context = self.new_context();
        self.space.context = self.new_context();
        for other in &mut self.others {
            self.contexts = self.contexts.wrapping_add(2);
            other.context = self.contexts;
        }
    }

    /// Writes `satp`: an unsupported mode leaves it as it was.
    pub(crate) fn set_satp(&mut self, value: u64) {
        let mode = value >> 60;
        let satp = match mode {
            0 => 0,
            MODE_SV39 | MODE_SV48 => mode << 60 | value & (SATP_ASID | PTE_PPN),
            _ => return,
        };
        if satp == self.space.satp {
            return;
        }
        self.switches += 1;
        self.space.used = self.switches;
        match self.others.iter().position(|other| other.satp == satp) {
            Some(index) => std::mem::swap(&mut self.space, &mut self.others[index]),
            None => {
                let context = self.new_context();
                let oldest = (0..self.others.len()).min_by_key(|index| self.others[*index].used);
                match oldest.filter(|_| self.others.len() + 1 >= SPACES) {
                    Some(index) => {
                        let other = &mut self.others[index];
                        other.satp = satp;
                        other.flush(context);
                        std::mem::swap(&mut self.space, other);
                    }
                    None => {
                        let left = std::mem::replace(&mut self.space, Space::new(satp, context));
                        self.others.push(left);
                    }
                }
            }
        }
        *self.current.get_mut() = &raw mut self.space.tables[self.view & 3];
    }

    /// Drops every cached translation.
    pub(crate) fn flush(&mut self) {
        // The other spaces are as good as new ones, which are made when they are needed.
        self.others.clear();
        let context = self.new_context();
        self.space.flush(context);
        self.shared_context = self.new_context();
    }

    /// Drops the cached translations of one address space identifier, but for global pages.
    pub(crate) fn flush_space(&mut self, identifier: u16) {
        self.others.retain(|other| asid(other.satp) != identifier);
        if asid(self.space.satp) == identifier {
            let context = self.new_context();
            self.space.flush(context);
        }
    }

    /// Drops the cached translations of the page at this address, in all spaces or those of one identifier.
    pub(crate) fn flush_page(&mut self, address: u64, identifier: Option<u16>) {
        #[cfg(test)]
        {
            use crate::translate::mistakes::{Mistake, is_made};
            if is_made(Mistake::StaleTranslation) {
                return;
            }
        }
        let concerned = |space: &Space| identifier.is_none_or(|wanted| asid(space.satp) == wanted);
        let mut fetched = false;
        self.others.retain_mut(|other| {
            if !concerned(other) {
                return true;
            }
            if other.has_superpage(address) {
                fetched = true;
                return false;
            }
            if other.flush_page(address) {
                fetched = true;
                self.contexts = self.contexts.wrapping_add(2);
                other.context = self.contexts;
            }
            true
        });
        if concerned(&self.space) {
            let superpage = self.space.has_superpage(address);
            if superpage || self.space.flush_page(address) {
                fetched = true;
                let context = self.new_context();
                if superpage {
                    self.space.flush(context);
                } else {
                    self.space.context = context;
                }
            }
        }
        if fetched {
            self.shared_context = self.new_context();
        }
    }

    /// Drops what is cached for stores.
    pub(crate) fn drop_stores(&mut self) {
        #[cfg(test)]
        {
            use crate::translate::mistakes::{Mistake, is_made};
            if is_made(Mistake::StoresKept) {
                return;
            }
        }
        for space in std::iter::once(&mut self.space).chain(&mut self.others) {
            for tables in space.tables.iter_mut() {
                tables.store.fill(EMPTY_ENTRY);
            }
        }
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
            if access == Access::Store {
                ram.about_to_store(page);
            }
            let tables = &mut self.space.tables[self.view & 3];
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
            self.space.remember_superpage(&leaf, address);
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
        let entry = self.space.fetch[usize::from(supervisor)][way];
        if entry.tag == tag {
            return Ok((entry.physical | address & (PAGE_SIZE - 1), entry.page));
        }
        let leaf = self.walk(ram, address, Access::Fetch, supervisor, !supervisor)?;
        let page = ram
            .page(leaf.physical)
            .ok_or(Trap::access_fault(Access::Fetch, address))?;
        self.space.private |= supervisor && !leaf.global;
        self.space.fetch[usize::from(supervisor)][way] = FetchEntry {
            tag,
            physical: leaf.physical & !(PAGE_SIZE - 1),
            page,
        };
        self.space.remember_superpage(&leaf, address);
        if self.space.fetched.len() < MOST_FETCHED {
            self.space.fetched.insert(address / PAGE_SIZE);
        }
        Ok((leaf.physical, page))
    }

    /// The physical address behind a virtual one, for a look from outside: with the rights of both modes, and cached nowhere.
    pub(crate) fn peek(&self, ram: &Ram, address: u64) -> Option<u64> {
        let walk = |access| self.walk(ram, address, access, true, true);
        let leaf = walk(Access::Load).or_else(|_| walk(Access::Fetch)).ok()?;
        Some(leaf.physical)
    }

    fn walk(
        &self,
        ram: &Ram,
        address: u64,
        access: Access,
        supervisor: bool,
        user_pages: bool,
    ) -> Result<Leaf, Trap> {
        let levels: u32 = match self.space.satp >> 60 {
            MODE_SV39 => 3,
            MODE_SV48 => 4,
            // Bare: there is nothing to fence.
            _ => {
                return Ok(Leaf {
                    physical: address,
                    level: 0,
                    global: false,
                });
            }
        };
        let fault = Trap::page_fault(access, address);
        let unused = 64 - (12 + 9 * levels);
        if (address << unused).cast_signed() >> unused != address.cast_signed() {
            return Err(fault);
        }
        let mut table = (self.space.satp & PTE_PPN) << 12;
        let mut global = false;
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
            global |= entry & PTE_GLOBAL != 0;
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
            if wanted != entry {
                let writing = ram.about_to_write(slot, 8);
                let (order, old, new) = (Ordering::SeqCst, entry.to_le(), wanted.to_le());
                let exchanged = entry_page
                    .atomic64(slot)
                    .compare_exchange(old, new, order, order);
                drop(writing);
                if exchanged.is_err() {
                    // Another hart changed the entry between our read and our update: start over.
                    return self.walk(ram, address, access, supervisor, user_pages);
                }
            }
            return Ok(Leaf {
                physical: base | address & in_page,
                level,
                global,
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
