//! One zone's virtual machine: memory, bus, interrupt controller, SBI, boot, and the `bulkhead-zone` process.
//!
//! Everything that a guest, an image file or the zone link says is hostile until parsed: none of it can panic this process
//! or make it touch memory outside guest RAM. Unsafe code is one `madvise` in [`memory`].

pub mod board;
pub mod boot;
pub(crate) mod debug;
pub mod device_tree;
pub mod fuzzing;
pub mod machine;
pub mod memory;
pub mod plic;
mod rtc;
pub mod sbi;
pub mod zone;
