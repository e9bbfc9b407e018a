//! The CPU against other implementations, in bulk.

pub(crate) mod qemu;
