//! The CPU against other implementations, in bulk.

mod qemu;
