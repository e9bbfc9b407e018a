//! Guest memory as devices see it: each write is announced before it is made.
//!
//! Whoever keeps translations of code, or takes a snapshot, has to hear of a write while the old bytes are still there, and to
//! know when it is over. So devices, and the rings of their queues, have no other way to guest memory than [`GuestMemory`]:
//! reads go straight through, each write passes the machine's [`WriteGate`].

use std::iter::FusedIterator;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use vm_memory::guest_memory::{
    Error, GuestMemoryBackendSliceIterator, GuestMemorySliceIterator, Result,
};
use vm_memory::{
    GuestAddress, GuestMemory as _, GuestMemoryBackend, GuestMemoryMmap, Permissions, VolatileSlice,
};

/// What each write to guest memory passes.
pub trait WriteGate: Send + Sync {
    /// Returns once so many bytes at this guest physical address may be written; called from any thread. The write is over when
    /// the guard is dropped, which is soon. Not all of the range needs to be memory.
    fn about_to_write(&self, address: GuestAddress, length: usize) -> RwLockReadGuard<'_, ()>;
}

/// A gate for memory of which nobody needs to know; whoever holds the lock as its writer keeps devices from writing.
impl WriteGate for RwLock<()> {
    fn about_to_write(&self, _address: GuestAddress, _length: usize) -> RwLockReadGuard<'_, ()> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of a zone's machine. It is read and written by [`vm_memory::Bytes`].
#[derive(Clone)]
pub struct GuestMemory {
    mapped: Arc<GuestMemoryMmap>,
    gate: Arc<dyn WriteGate>,
}

impl std::fmt::Debug for GuestMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.mapped.fmt(f)
    }
}

impl GuestMemory {
    /// This memory, behind this gate.
    pub fn new(mapped: Arc<GuestMemoryMmap>, gate: Arc<dyn WriteGate>) -> Self {
        Self { mapped, gate }
    }

    /// Whether all of this range is memory.
    pub fn has(&self, address: GuestAddress, length: usize) -> bool {
        self.check_range(address, length, Permissions::Read)
    }
}

impl vm_memory::GuestMemory for GuestMemory {
    type PhysicalMemory = GuestMemoryMmap;
    type Bitmap = ();

    fn check_range(&self, address: GuestAddress, length: usize, _access: Permissions) -> bool {
        GuestMemoryBackend::check_range(&*self.mapped, address, length)
    }

    fn get_slices<'a>(
        &'a self,
        address: GuestAddress,
        length: usize,
        access: Permissions,
    ) -> Result<impl GuestMemorySliceIterator<'a, ()>> {
        Ok(Slices {
            _writing: access
                .has_write()
                .then(|| self.gate.about_to_write(address, length)),
            slices: GuestMemoryBackend::get_slices(&*self.mapped, address, length),
        })
    }
}

/// Pieces of guest memory. They are written to while this is there, as all methods of [`vm_memory::Bytes`] do.
struct Slices<'a> {
    slices: GuestMemoryBackendSliceIterator<'a, GuestMemoryMmap>,
    _writing: Option<RwLockReadGuard<'a, ()>>,
}

impl<'a> Iterator for Slices<'a> {
    type Item = std::result::Result<VolatileSlice<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.slices.next()
    }
}

impl FusedIterator for Slices<'_> {}

impl<'a> GuestMemorySliceIterator<'a, ()> for Slices<'a> {}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::Ordering;

    use vm_memory::{Bytes, ReadVolatile, VolatileMemoryError, bitmap::BitmapSlice};

    use super::*;

    const START: GuestAddress = GuestAddress(0x8000);

    #[derive(Default)]
    struct Gate {
        told: Mutex<Vec<(u64, usize)>>,
        open: RwLock<()>,
    }

    impl WriteGate for Gate {
        fn about_to_write(&self, address: GuestAddress, length: usize) -> RwLockReadGuard<'_, ()> {
            self.told.lock().unwrap().push((address.0, length));
            self.open.read().unwrap()
        }
    }

    fn memory() -> (GuestMemory, Arc<GuestMemoryMmap>, Arc<Gate>) {
        let mapped = Arc::new(GuestMemoryMmap::from_ranges(&[(START, 0x4000)]).unwrap());
        let gate = Arc::<Gate>::default();
        let memory = GuestMemory::new(Arc::clone(&mapped), Arc::clone(&gate) as _);
        (memory, mapped, gate)
    }

    #[test]
    fn each_write_is_told_with_its_place_and_no_read_is() {
        let (memory, _, gate) = memory();
        memory.write_slice(&[1; 100], GuestAddress(0x8ff0)).unwrap();
        memory.write_obj(7_u32, GuestAddress(0xa004)).unwrap();
        memory
            .store(1_u16, GuestAddress(0xb000), Ordering::Release)
            .unwrap();
        let mut bytes = [0; 8];
        memory.read_slice(&mut bytes, GuestAddress(0x8ff0)).unwrap();
        assert_eq!(bytes, [1; 8]);
        let value: u16 = memory
            .load(GuestAddress(0xb000), Ordering::Acquire)
            .unwrap();
        assert_eq!(value, 1);
        assert!(memory.has(START, 0x4000) && !memory.has(START, 0x4001));
        assert_eq!(
            *gate.told.lock().unwrap(),
            [(0x8ff0, 100), (0xa004, 4), (0xb000, 2)]
        );
        assert!(memory.write_slice(&[1; 2], GuestAddress(0xbfff)).is_err());
        assert!(memory.physical_memory().is_none(), "no way past the gate");
    }

    /// Gives bytes as a write asks for them, and looks around meanwhile.
    struct Source<'a>(&'a GuestMemoryMmap, &'a Gate);

    impl ReadVolatile for Source<'_> {
        fn read_volatile<B: BitmapSlice>(
            &mut self,
            into: &mut VolatileSlice<'_, B>,
        ) -> std::result::Result<usize, VolatileMemoryError> {
            let old: u64 = self.0.read_obj(START).unwrap();
            assert_eq!(old, 0, "told before anything is written");
            assert!(self.1.open.try_write().is_err(), "in the middle of it");
            into.copy_from(&[5_u8; 8]);
            Ok(8)
        }
    }

    #[test]
    fn a_write_is_told_before_it_is_made_and_until_it_is_over() {
        let (memory, mapped, gate) = memory();
        let source = &mut Source(&mapped, &gate);
        memory.read_exact_volatile_from(START, source, 8).unwrap();
        assert_eq!(*gate.told.lock().unwrap(), [(START.0, 8)]);
        // And each of these until its end: a gate that is closed lets none through.
        let writes: [fn(&GuestMemory); 3] = [
            |memory| memory.write_slice(&[9; 64], START).unwrap(),
            |memory| memory.write_obj(9_u64, START).unwrap(),
            |memory| memory.store(9_u64, START, Ordering::SeqCst).unwrap(),
        ];
        for write in writes {
            mapped.write_obj(0_u64, START).unwrap();
            std::thread::scope(|scope| {
                let closed = gate.open.write().unwrap();
                let writer = scope.spawn(|| write(&memory));
                while gate.told.lock().unwrap().len() < 2 {
                    std::thread::yield_now();
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
                assert_eq!(mapped.read_obj::<u64>(START).unwrap(), 0);
                drop(closed);
                writer.join().unwrap();
            });
            assert_ne!(mapped.read_obj::<u64>(START).unwrap(), 0);
            assert!(gate.open.try_write().is_ok(), "over");
            gate.told.lock().unwrap().truncate(1);
        }
    }
}
