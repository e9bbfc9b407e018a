//! Interrupt-IN transfers, several in flight, on libusb's asynchronous interface. The only unsafe code of the crate.
//!
//! Why several: with one, the device is not polled between a report's completion and the next submit; at 1000 Hz on a loaded machine that
//! loses reports. The lifetime rule: a transfer's memory (its buffer and its [`Tag`]) is owned by a [`Slot`], and a slot is only freed when its
//! transfer is not in flight; [`Ring`]'s drop cancels and waits for all of them.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusb::ffi;
use rusb::{Context, DeviceHandle, UsbContext};
use usb_redirect::device::Interrupter;
use usb_redirect::stream::{MAX_REPORT, Outcome};

use crate::outcome;

/// The longest sleep of a polling thread without looking around; wakes are by event, this only bounds a lost one.
const SLEEP_SECONDS: i64 = 3600;

/// An open device: a file descriptor, and libusb's context and handle over it.
pub(crate) struct Handle {
    // Dropped in this order: libusb uses the descriptor until its handle is closed.
    pub(crate) usb: DeviceHandle<Context>,
    pub(crate) context: Context,
    _node: OwnedFd,
}

impl Handle {
    pub(crate) fn new(context: Context, node: OwnedFd) -> Result<Self, rusb::Error> {
        // SAFETY: the descriptor stays open for as long as the handle: both live in this struct, and fields drop in order.
        let usb = unsafe { context.open_device_with_fd(node.as_raw_fd()) }?;
        Ok(Self {
            usb,
            context,
            _node: node,
        })
    }
}

/// Completed slots, in order of completion.
#[derive(Default)]
struct Completed {
    slots: Mutex<VecDeque<usize>>,
}

/// What a transfer's callback is given.
struct Tag {
    completed: Arc<Completed>,
    index: usize,
}

struct Slot {
    transfer: *mut ffi::libusb_transfer,
    buffer: Box<[u8]>,
    /// Boxed, because libusb keeps a pointer to it.
    _tag: Box<Tag>,
    in_flight: bool,
}

/// The transfers of one interrupt-IN endpoint.
pub(crate) struct Ring {
    handle: Arc<Handle>,
    slots: Vec<Slot>,
    completed: Arc<Completed>,
    waker: Arc<Waker>,
}

// SAFETY: the raw pointers are to transfers that the ring owns; libusb's functions may be called from any thread, and the ring
// itself is used by one thread at a time (`&mut self`). Callbacks on another thread touch `Completed` alone, which is locked.
unsafe impl Send for Ring {}

/// Wakes a thread that waits in a ring.
pub(crate) struct Waker {
    handle: Arc<Handle>,
    interrupted: AtomicBool,
}

impl Interrupter for Waker {
    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        // SAFETY: the context lives as long as the handle, which this struct holds. The function may be called from any thread.
        unsafe { ffi::libusb_interrupt_event_handler(self.handle.context.as_raw()) };
    }
}

extern "system" fn done(transfer: *mut ffi::libusb_transfer) {
    // SAFETY: libusb calls this once per submitted transfer, with a transfer whose `user_data` points to a `Tag` that its slot keeps
    // alive while the transfer is in flight.
    let tag = unsafe { &*(*transfer).user_data.cast::<Tag>() };
    let mut slots = tag
        .completed
        .slots
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    slots.push_back(tag.index);
}

impl Ring {
    /// `count` transfers for reports of at most `longest` bytes.
    pub(crate) fn new(
        handle: Arc<Handle>,
        endpoint: u8,
        count: usize,
        longest: usize,
    ) -> Result<Self, Outcome> {
        let longest = longest.min(MAX_REPORT);
        let waker = Arc::new(Waker {
            handle: handle.clone(),
            interrupted: AtomicBool::new(false),
        });
        let mut ring = Self {
            handle,
            slots: Vec::with_capacity(count),
            completed: Arc::default(),
            waker,
        };
        for index in 0..count {
            let mut buffer = vec![0u8; longest].into_boxed_slice();
            let mut tag = Box::new(Tag {
                completed: ring.completed.clone(),
                index,
            });
            // SAFETY: a plain allocation; null is looked for below.
            let transfer = unsafe { ffi::libusb_alloc_transfer(0) };
            if transfer.is_null() {
                return Err(Outcome::Failed);
            }
            // SAFETY: the transfer was just allocated; the handle, the buffer and the tag outlive every flight (see the module's rule). The
            // length is set before each submit, and never above the buffer's.
            unsafe {
                ffi::libusb_fill_interrupt_transfer(
                    transfer,
                    ring.handle.usb.as_raw(),
                    endpoint,
                    buffer.as_mut_ptr(),
                    0,
                    done,
                    std::ptr::from_mut(&mut *tag).cast::<c_void>(),
                    0,
                );
            }
            ring.slots.push(Slot {
                transfer,
                buffer,
                _tag: tag,
                in_flight: false,
            });
        }
        Ok(ring)
    }

    pub(crate) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Puts idle transfers in flight, at most `count` in all.
    fn submit(&mut self, length: usize, count: usize) -> Result<(), Outcome> {
        let flying = self.slots.iter().filter(|slot| slot.in_flight).count();
        for slot in self
            .slots
            .iter_mut()
            .filter(|slot| !slot.in_flight)
            .take(count.saturating_sub(flying))
        {
            let length =
                i32::try_from(length.min(slot.buffer.len())).map_err(|_| Outcome::Failed)?;
            // SAFETY: the transfer is valid and not in flight, so libusb does not touch it while it is changed; the length is at most the
            // buffer's.
            let result = unsafe {
                (*slot.transfer).length = length;
                ffi::libusb_submit_transfer(slot.transfer)
            };
            match result {
                0 => slot.in_flight = true,
                // NO_DEVICE.
                -4 => return Err(Outcome::Gone),
                _ => return Err(Outcome::Failed),
            }
        }
        Ok(())
    }

    /// Sleeps until libusb has handled an event.
    fn handle_events(&self) -> Result<(), Outcome> {
        let patience = libc_timeval(SLEEP_SECONDS);
        // SAFETY: the context is alive; a null `completed` is allowed.
        let result = unsafe {
            ffi::libusb_handle_events_timeout_completed(
                self.handle.context.as_raw(),
                &raw const patience,
                std::ptr::null_mut(),
            )
        };
        match result {
            0 | -10 => Ok(()),
            -4 => Err(outcome(rusb::Error::NoDevice)),
            _ => Err(Outcome::Failed),
        }
    }

    fn next_completed(&self) -> Option<usize> {
        self.completed
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// Waits for the next report. With `continuous` the device is polled on while the report is on its way.
    pub(crate) fn poll(&mut self, buffer: &mut [u8], continuous: bool) -> Result<usize, Outcome> {
        let count = if continuous { self.slots.len() } else { 1 };
        loop {
            if self.waker.interrupted.swap(false, Ordering::AcqRel) {
                return Err(Outcome::Cancelled);
            }
            if let Some(index) = self.next_completed() {
                let result = self.take(index, buffer)?;
                if continuous && result.is_ok() {
                    self.submit(buffer.len(), count)?;
                }
                return result;
            }
            self.submit(buffer.len(), count)?;
            self.handle_events()?;
        }
    }

    /// Copies out what a completed transfer brought.
    fn take(&mut self, index: usize, buffer: &mut [u8]) -> Result<Result<usize, Outcome>, Outcome> {
        let slot = self.slots.get_mut(index).ok_or(Outcome::Failed)?;
        slot.in_flight = false;
        // SAFETY: the transfer is valid and no longer in flight.
        let (status, actual) = unsafe { ((*slot.transfer).status, (*slot.transfer).actual_length) };
        Ok(match status {
            0 => {
                let length = usize::try_from(actual).unwrap_or(0).min(buffer.len());
                if let Some((place, bytes)) =
                    buffer.get_mut(..length).zip(slot.buffer.get(..length))
                {
                    place.copy_from_slice(bytes);
                }
                Ok(length)
            }
            2 => Err(Outcome::TimedOut),
            3 => Err(Outcome::Cancelled),
            4 => Err(Outcome::Stall),
            5 => Err(Outcome::Gone),
            6 => Err(Outcome::Overflow),
            _ => Err(Outcome::Failed),
        })
    }

    /// Takes everything in flight back and forgets what came.
    pub(crate) fn stop(&mut self) {
        for slot in self.slots.iter().filter(|slot| slot.in_flight) {
            // SAFETY: the transfer is valid. Cancelling one that has completed meanwhile is an error that changes nothing.
            unsafe { ffi::libusb_cancel_transfer(slot.transfer) };
        }
        loop {
            while let Some(index) = self.next_completed() {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.in_flight = false;
                }
            }
            if self.slots.iter().all(|slot| !slot.in_flight) {
                break;
            }
            // An unplugged device completes its transfers too; should events fail, the memory must stay.
            if self.handle_events().is_err() {
                std::thread::yield_now();
            }
        }
        self.waker.interrupted.store(false, Ordering::Release);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.stop();
        for slot in &self.slots {
            // SAFETY: nothing is in flight after `stop`, and each transfer is freed once.
            unsafe { ffi::libusb_free_transfer(slot.transfer) };
        }
    }
}

fn libc_timeval(seconds: i64) -> libc::timeval {
    libc::timeval {
        tv_sec: seconds,
        tv_usec: 0,
    }
}
