//! The interrupt of one device: the InterruptStatus register and the line that follows it.
//!
//! Invariant: the line is high exactly while the register is not zero. Both change under one lock, so two harts that
//! raise and acknowledge at the same time cannot leave them apart. Trusts nothing; the guest may acknowledge any bits.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A level-triggered input of the machine's interrupt controller.
///
/// `set` is called from hart threads and from host threads, with the device's lock held: it must neither block for
/// long nor call back into the device.
pub trait InterruptLine: Send + Sync {
    /// Drives the line high or low.
    fn set(&self, high: bool);
}

/// A queue has used buffers.
const USED_BUFFER: u32 = 1;
/// The configuration space changed, or the device needs a reset.
const CONFIGURATION: u32 = 2;

pub(crate) struct Interrupt {
    status: Mutex<u32>,
    line: Box<dyn InterruptLine>,
}

impl Interrupt {
    pub(crate) fn new(line: Box<dyn InterruptLine>) -> Self {
        Self {
            status: Mutex::new(0),
            line,
        }
    }

    pub(crate) fn status(&self) -> u32 {
        *self.lock()
    }

    pub(crate) fn raise_used_buffer(&self) {
        self.update(|status| status | USED_BUFFER);
    }

    pub(crate) fn raise_configuration(&self) {
        self.update(|status| status | CONFIGURATION);
    }

    pub(crate) fn acknowledge(&self, bits: u32) {
        self.update(|status| status & !bits);
    }

    pub(crate) fn clear(&self) {
        self.update(|_| 0);
    }

    fn update(&self, change: impl FnOnce(u32) -> u32) {
        let mut status = self.lock();
        let new = change(*status);
        if (new != 0) != (*status != 0) {
            self.line.set(new != 0);
        }
        *status = new;
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
