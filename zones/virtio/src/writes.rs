//! Tells the machine where devices wrote to guest memory: a processor that keeps translations of code has to know.

use std::sync::OnceLock;

use vm_memory::bitmap::{Bitmap, NewBitmap, RefSlice, WithBitmapSlice};

type Listener = Box<dyn Fn(u64, u64) + Send + Sync>;

/// Who is told what was written to one region of guest memory; at first, nobody.
#[derive(Default)]
pub struct Writes(OnceLock<Listener>);

impl Writes {
    /// From now on this is called after each write, with the offset in the region and the length in bytes, and before a queue
    /// shows the driver that the write is done. It is called from any thread. What is told second goes unheard.
    pub fn tell(&self, listener: impl Fn(u64, u64) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(listener));
    }
}

impl std::fmt::Debug for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Writes")
            .field(&self.0.get().is_some())
            .finish()
    }
}

impl<'a> WithBitmapSlice<'a> for Writes {
    type S = RefSlice<'a, Self>;
}

impl Bitmap for Writes {
    fn mark_dirty(&self, offset: usize, length: usize) {
        if let Some(listener) = self.0.get() {
            listener(offset as u64, length as u64);
        }
    }

    fn dirty_at(&self, _offset: usize) -> bool {
        false
    }

    fn slice_at(&self, offset: usize) -> RefSlice<'_, Self> {
        RefSlice::new(self, offset)
    }
}

impl NewBitmap for Writes {
    fn with_len(_length: usize) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, MmapRegion};

    use crate::GuestMemory;

    #[test]
    fn each_write_is_told_with_its_place_and_no_read_is() {
        let memory = GuestMemory::from_ranges(&[(GuestAddress(0x8000), 0x4000)]).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        MmapRegion::bitmap(memory.iter().next().unwrap()).tell(move |offset, length| {
            heard.lock().unwrap().push((offset, length));
        });
        memory.write_slice(&[1; 100], GuestAddress(0x8ff0)).unwrap();
        memory.write_obj(7_u32, GuestAddress(0xa004)).unwrap();
        memory
            .store(
                1_u16,
                GuestAddress(0xb000),
                std::sync::atomic::Ordering::Release,
            )
            .unwrap();
        let mut bytes = [0; 8];
        memory.read_slice(&mut bytes, GuestAddress(0x8ff0)).unwrap();
        assert_eq!(
            *told.lock().unwrap(),
            [(0xff0, 100), (0x2004, 4), (0x3000, 2)]
        );
    }
}
