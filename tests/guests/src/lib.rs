//! Guests for tests of the machine: programs compiled here for RISC-V, packed into an initramfs, run under Debian's stock
//! kernel in a machine of this very process.
//!
//! What a guest says comes as lines of its kernel's log, which is the one console that is there from the start. Nothing of
//! a guest runs on the host but under `qemu-riscv64`, which shows that the programs themselves are right.
#![forbid(unsafe_code)]

mod debugger;
mod machine;
mod programs;
mod single;

pub use debugger::Gdb;
pub use machine::{Guest, Outcome};
pub use programs::{compile, compile_from, initramfs, names, symbol, user_mode};
pub use single::{Pair, Single};

use std::path::{Path, PathBuf};

use guest_image::{Image, Progress, Step, Store};

/// Where the image store with the stock kernel is.
pub const IMAGE_STORE: &str = "BULKHEAD_IMAGE_STORE";
/// The guest image's name in the store.
pub const IMAGE: &str = "debian-desktop";

/// Where packages are kept.
pub const CACHE: &str = "BULKHEAD_CACHE";

/// Packages of programs that people use, for [`root_of`].
pub const DEBIAN_PACKAGES: [&str; 9] = [
    "busybox-static",
    "gcc",
    "libc6-dev",
    "libpython3.13-testsuite",
    "lua5.4",
    "openssl",
    "perl",
    "python3",
    "sqlite3",
];
/// What serves package management alone, or documentation.
pub const DEBIAN_LEFT_OUT: [&str; 10] = [
    "adduser",
    "base-files",
    "base-passwd",
    "debconf",
    "dpkg",
    "media-types",
    "netbase",
    "sensible-utils",
    "tar",
    "tzdata",
];

/// Scripts for those programs, what they read, and what they must print.
pub fn debian_scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("debian")
}

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

/// A squashfs image of Debian packages.
///
/// # Panics
/// When it cannot be made, saying why.
pub fn root_of(packages: &[&str], left_out: &[&str]) -> PathBuf {
    let Some(cache) = std::env::var_os(CACHE) else {
        panic!("{CACHE} is not set: run the tests with Debian's programs by `cargo xtask test`");
    };
    guest_image::root::of_packages(Path::new(&cache), packages, left_out, &mut Lines(None))
        .unwrap_or_else(|error| panic!("{}", sentence(&error)))
}

/// An error and its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", sentence(cause)),
        None => error.to_string(),
    }
}

/// Says each step once.
struct Lines(Option<Step>);

impl Progress for Lines {
    fn update(&mut self, step: Step, _done: u64, _total: u64) {
        if self.0.replace(step) != Some(step) {
            eprintln!("{}", step.label());
        }
    }

    fn note(&mut self, text: &str) {
        eprintln!("note: {text}");
    }
}
