//! virtio-mmio transport and the devices of a zone's machine.
//!
//! Every byte that a guest writes, to a register or to its memory, is hostile here. Three rules keep
//! the process alive and the host's memory its own:
//!
//! - guest memory is only reached through `vm-memory`'s volatile accessors, each address checked where it is used, and each write
//!   announced before it is made ([`GuestMemory`]);
//! - a descriptor chain is walked once into a [`chain::Chain`], bounded in count and bytes, before a device sees it;
//! - a queue that breaks the rules stops its device until the driver resets it ([`Broken`]); a request that
//!   breaks the rules gets the error status that its device's protocol has for it.
//!
//! Devices work synchronously on the thread that notifies them. What comes from the host side (input, console
//! bytes, a new display size) is pushed through a handle from any thread. Neither side polls.
#![forbid(unsafe_code)]

pub mod block;
pub mod chain;
pub mod console;
pub mod device;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a fuzzer's values are small"
)]
pub mod fuzzing;
pub mod gpu;
pub mod input;
pub mod interrupt;
pub mod memory;
pub mod queues;
pub mod rng;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::cast_possible_truncation, reason = "test values are small")]
#[cfg_attr(not(test), allow(dead_code, reason = "fuzzers use a part of it"))]
mod testing;
pub mod transport;
pub mod vsock;
mod wire;

pub use chain::Broken;
pub use device::{Device, Slot};
pub use interrupt::InterruptLine;
pub use memory::{GuestMemory, WriteGate};
pub use transport::{Handle, Transport};
