//! What a hart knows of the pages that it has code from: what they were when it read them.
//!
//! Each line of a page that instructions were read from has a fingerprint. At `fence.i` the hart compares those pages with
//! memory whose watch was lifted or that cannot be watched yet (see [`crate::descriptors::watch`]), and forgets the code of those that differ; all
//! other code stays as it is, with all that leads to it.

use crate::hart::Core;
use crate::memory::{HostPage, PAGE_SIZE, Ram};

/// Bytes that are compared together.
const LINE: usize = 64;
const LINES: usize = PAGE_SIZE as usize / LINE;
/// Most pages: far more than programs run at a time.
const MOST: usize = 6144;
/// So many comparisons cost as much as letting all harts drop what they have cached for stores.
const COSTLY: usize = 32;

/// A page's offsets of instructions, as bits.
pub(crate) type Offsets = [u64; PAGE_SIZE as usize / 2 / 64];

/// One page.
pub(crate) struct CodePage {
    /// The page's number in RAM.
    number: u32,
    /// Fingerprints of the lines that were read, 0 for others.
    lines: [u64; LINES],
    is_blank: bool,
    /// It is compared at each fence.
    is_open: bool,
    /// Another one for each time that the page's code turned out to be different.
    pub(crate) version: u32,
    /// Where blocks start that can be found by virtual address.
    pub(crate) entered: Offsets,
}

impl CodePage {
    fn is_unchanged(&self, page: HostPage) -> bool {
        self.lines
            .iter()
            .enumerate()
            .all(|(line, known)| *known == 0 || fingerprint(&read_line(line, page)) == *known)
    }

    /// Remembers that the block at this address can be found.
    pub(crate) fn enter(&mut self, physical: u64) {
        let offset = physical as usize % PAGE_SIZE as usize / 2;
        self.entered[offset / 64] |= 1 << (offset % 64);
    }
}

/// The pages of one hart.
#[derive(Default)]
pub(crate) struct CodePages {
    /// By number, the place in `pages`, and 1; 0 for pages without code.
    places: Vec<u32>,
    pages: Vec<CodePage>,
    /// Those that are compared at each fence.
    open: Vec<u32>,
    /// How far the log of lifted watches was read.
    lifted: u64,
    /// Comparisons since pages were last asked to be watched.
    compared: usize,
    versions: u32,
}

impl CodePages {
    pub(crate) fn get(&mut self, number: u32) -> Option<&mut CodePage> {
        let place = *self.places.get(number as usize)?;
        self.pages.get_mut((place as usize).wrapping_sub(1))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pages.len() >= MOST
    }

    /// Forgets all pages. No code may be left that was read from one.
    pub(crate) fn clear(&mut self) {
        for page in self.pages.drain(..) {
            if let Some(place) = self.places.get_mut(page.number as usize) {
                *place = 0;
            }
        }
        self.open.clear();
    }

    /// The page with this number, which instructions are going to be read from now.
    pub(crate) fn read(&mut self, ram: &Ram, number: u32) -> Option<&mut CodePage> {
        if self.places.is_empty() {
            self.places = vec![0; (ram.length() / PAGE_SIZE) as usize];
        }
        let place = self.places.get_mut(number as usize)?;
        if *place == 0 {
            self.versions = self.versions.wrapping_add(1);
            self.pages.push(CodePage {
                number,
                lines: [0; LINES],
                is_blank: true,
                is_open: false,
                version: self.versions,
                entered: [0; _],
            });
            *place = u32::try_from(self.pages.len()).ok()?;
        }
        let page = self.pages.get_mut((*place as usize).wrapping_sub(1))?;
        if page.is_blank {
            page.is_blank = false;
            if !page.is_open && !ram.descriptors().watch(number) {
                page.is_open = true;
                self.open.push(number);
            }
        }
        Some(page)
    }

    /// Notes what was read from a page. Returns whether it had changed, without a fence, so that all its code must be forgotten,
    /// which the caller does.
    pub(crate) fn note(&mut self, number: u32, snapshot: &Snapshot) -> bool {
        let changed = self.differs(number, snapshot);
        if changed {
            self.renew(number);
        }
        if let Some(page) = self.get(number) {
            page.is_blank = false;
            for (line, words) in &snapshot.lines {
                page.lines[*line] = fingerprint(words);
            }
        }
        changed
    }

    /// Whether a page had changed when it was read.
    pub(crate) fn differs(&mut self, number: u32, snapshot: &Snapshot) -> bool {
        self.get(number).is_some_and(|page| {
            let mut lines = snapshot.lines.iter();
            lines.any(|(line, words)| ![0, fingerprint(words)].contains(&page.lines[*line]))
        })
    }

    /// A page's code is not what it was.
    fn renew(&mut self, number: u32) {
        self.versions = self.versions.wrapping_add(1);
        let version = self.versions;
        if let Some(page) = self.get(number) {
            page.lines = [0; LINES];
            page.version = version;
            page.is_blank = true;
        }
    }

    fn open(&mut self, number: u32) {
        if let Some(page) = self.get(number)
            && !page.is_open
        {
            page.is_open = true;
            self.open.push(number);
        }
    }

    /// After a fence for code: finds the pages whose code has changed, which the caller forgets.
    pub(crate) fn review(&mut self, core: &mut Core) -> Vec<u32> {
        #[cfg(test)]
        if crate::translate::mistakes::is_made(crate::translate::mistakes::Mistake::StaleCode) {
            return Vec::new();
        }
        let ram = &core.ram;
        let descriptors = ram.descriptors();
        let mut lifted = self.lifted;
        if !descriptors.lifted_since(&mut lifted, |number| self.open(number)) {
            for place in 0..self.pages.len() {
                self.open(self.pages[place].number);
            }
        }
        self.lifted = lifted;
        if self.open.is_empty() {
            return Vec::new();
        }
        self.compared += self.open.len();
        if self.compared >= COSTLY && descriptors.ask(&core.port, &self.open) {
            self.compared = 0;
            core.mmu.drop_stores();
        }
        descriptors.settle();
        self.compare(ram)
    }

    fn compare(&mut self, ram: &Ram) -> Vec<u32> {
        let mut changed = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        open.retain(|number| {
            // First, so that whatever is written after the comparison is told.
            let watched = ram.descriptors().watch(*number);
            let Some(page) = self.get(*number) else {
                return false;
            };
            let host = ram.page_by_number(*number);
            if !page.is_blank && host.is_none_or(|host| !page.is_unchanged(host)) {
                changed.push(*number);
                self.renew(*number);
            }
            let Some(page) = self.get(*number) else {
                return false;
            };
            page.is_open = !watched && !page.is_blank;
            page.is_open
        });
        self.open = open;
        changed
    }
}

/// What a page is while instructions are read from it: other harts may write to it.
pub(crate) struct Snapshot {
    page: HostPage,
    lines: Vec<(usize, [u64; LINE / 8])>,
}

impl Snapshot {
    pub(crate) fn new(page: HostPage) -> Self {
        Self {
            page,
            lines: Vec::with_capacity(8),
        }
    }

    /// The half-word at an even offset in the page.
    pub(crate) fn half_word(&mut self, offset: usize) -> u16 {
        let wanted = offset / LINE;
        // Most often the last one.
        let known = self.lines.iter().rposition(|(line, _)| *line == wanted);
        let known = known.unwrap_or_else(|| {
            self.lines.push((wanted, read_line(wanted, self.page)));
            self.lines.len() - 1
        });
        let words = &self.lines[known].1;
        (words[offset % LINE / 8] >> (offset % 8 * 8)) as u16
    }
}

fn read_line(line: usize, page: HostPage) -> [u64; LINE / 8] {
    std::array::from_fn(|index| page.load((line * LINE + index * 8) as u64))
}

/// Tells lines apart: a guest that finds two with the same one fools nobody but itself. Never 0.
fn fingerprint(words: &[u64; LINE / 8]) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    // Pairs side by side, each with numbers of its own, so that the processor does them at once.
    let pair = |index: usize, one, other| fold(words[index] ^ one, words[index + 1] ^ other);
    let low = pair(0, 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93)
        ^ pair(2, 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db).rotate_left(23);
    let high = pair(4, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3)
        ^ pair(6, 0x1d8e_4e27_c47d_124f, 0xeb44_acca_b455_d165).rotate_left(23);
    fold(low ^ 0x2d35_8dcc_aa6c_78a5, high ^ 0x8bb8_4b93_962e_acc9) | 1
}
