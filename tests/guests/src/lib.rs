//! Guests for tests of the machine: programs compiled here for RISC-V, packed into an initramfs, run under Debian's stock
//! kernel in a machine of this very process.
//!
//! What a guest says comes as lines of its kernel's log, which is the one console that is there from the start. Nothing of
//! a guest runs on the host but under `qemu-riscv64`, which shows that the programs themselves are right.
#![forbid(unsafe_code)]

mod machine;
mod programs;

pub use machine::{Guest, Outcome};
pub use programs::{compile, initramfs, names, user_mode};

use guest_image::{Image, Store};

/// Where the image store with the stock kernel is.
pub const IMAGE_STORE: &str = "BULKHEAD_IMAGE_STORE";
/// The guest image's name in the store.
pub const IMAGE: &str = "debian-desktop";

/// The image whose kernel the guests run on.
///
/// # Panics
/// When there is none: a test must not pass by not running.
pub fn image() -> Image {
    let Some(store) = std::env::var_os(IMAGE_STORE) else {
        panic!("{IMAGE_STORE} is not set: run the tests with stock kernels by `cargo xtask test`");
    };
    Store::new(store)
        .find(IMAGE)
        .unwrap_or_else(|error| panic!("{error}"))
}
