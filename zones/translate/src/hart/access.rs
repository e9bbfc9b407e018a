//! How a hart loads and stores: through its cached translations, or slowly where there is none, the address is misaligned or
//! a device is there.

use super::Core;
use crate::memory::{HostPage, PAGE_SIZE, Word};
use crate::mmu::Access;
use crate::trap::Trap;

impl Core {
    #[inline(always)]
    pub(crate) fn load<W: Word>(&mut self, address: u64) -> Result<W, Trap> {
        match self.mmu.load_hit(address, W::SIZE) {
            Some(page) => Ok(page.load(address)),
            None => self.load_slowly(address),
        }
    }

    #[inline(always)]
    pub(crate) fn store<W: Word>(&mut self, address: u64, value: W) -> Result<(), Trap> {
        match self.mmu.store_hit(address, W::SIZE) {
            Some(page) => {
                page.store(address, value);
                Ok(())
            }
            None => self.store_slowly(address, value),
        }
    }

    #[cold]
    #[inline(never)]
    fn load_slowly<W: Word>(&mut self, address: u64) -> Result<W, Trap> {
        if !address.is_multiple_of(W::SIZE) {
            return self.load_misaligned(address);
        }
        let (physical, page) = self.mmu.translate(&self.ram, address, Access::Load)?;
        match page {
            Some(page) => Ok(page.load(address)),
            None => match self.bus.read(physical, W::SIZE as u8) {
                Ok(value) => Ok(W::narrow(value)),
                Err(_) => Err(Trap::access_fault(Access::Load, address)),
            },
        }
    }

    #[cold]
    #[inline(never)]
    fn store_slowly<W: Word>(&mut self, address: u64, value: W) -> Result<(), Trap> {
        if !address.is_multiple_of(W::SIZE) {
            return self.store_misaligned(address, value);
        }
        let (physical, page) = self.mmu.translate(&self.ram, address, Access::Store)?;
        match page {
            Some(page) => {
                page.store(address, value);
                Ok(())
            }
            None => self
                .bus
                .write(physical, W::SIZE as u8, value.widen())
                .map_err(|_| Trap::access_fault(Access::Store, address)),
        }
    }

    /// The page of each byte of a misaligned access: both are translated before anything is done, and the fault names the part that
    /// faulted. Devices take no misaligned accesses.
    fn misaligned_pages(
        &mut self,
        address: u64,
        size: u64,
        access: Access,
    ) -> Result<impl Fn(u64) -> HostPage + use<>, Trap> {
        let last = address.wrapping_add(size - 1);
        let second = last & !(PAGE_SIZE - 1);
        let first_page = self.mmu.translate(&self.ram, address, access)?.1;
        let (second_page, second_address) = if second == address & !(PAGE_SIZE - 1) {
            (first_page, address)
        } else {
            (self.mmu.translate(&self.ram, second, access)?.1, second)
        };
        let first_page = first_page.ok_or(Trap::misaligned(access, address))?;
        let second_page = second_page.ok_or(Trap::misaligned(access, second_address))?;
        Ok(move |at| {
            if at / PAGE_SIZE == address / PAGE_SIZE {
                first_page
            } else {
                second_page
            }
        })
    }

    fn load_misaligned<W: Word>(&mut self, address: u64) -> Result<W, Trap> {
        let page = self.misaligned_pages(address, W::SIZE, Access::Load)?;
        let mut value = 0;
        for index in 0..W::SIZE {
            let at = address.wrapping_add(index);
            value |= u64::from(page(at).load::<u8>(at)) << (8 * index);
        }
        Ok(W::narrow(value))
    }

    fn store_misaligned<W: Word>(&mut self, address: u64, value: W) -> Result<(), Trap> {
        let page = self.misaligned_pages(address, W::SIZE, Access::Store)?;
        for index in 0..W::SIZE {
            let at = address.wrapping_add(index);
            page(at).store(at, u8::narrow(value.widen() >> (8 * index)));
        }
        Ok(())
    }

    /// The RAM page of an atomic access.
    pub(crate) fn atomic_page(
        &mut self,
        address: u64,
        size: u64,
        access: Access,
    ) -> Result<HostPage, Trap> {
        if !address.is_multiple_of(size) {
            return Err(Trap::misaligned(access, address));
        }
        let hit = if access == Access::Store {
            self.mmu.store_hit(address, size)
        } else {
            self.mmu.load_hit(address, size)
        };
        match hit {
            Some(page) => Ok(page),
            None => {
                let page = self.mmu.translate(&self.ram, address, access)?.1;
                page.ok_or(Trap::access_fault(access, address))
            }
        }
    }
}
