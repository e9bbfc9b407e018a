//! Guest images: built from Debian packages, kept in a store, verified before use.
//!
//! An image is a directory: `manifest.toml`, `kernel`, `initramfs`, `root.squashfs`. The sha256 of the manifest is its identity, and
//! the manifest holds the sha256 of everything else. [`Builder`] makes one, [`Store`] keeps many, [`Image`] is one that was opened.
//!
//! Trust: packages are trusted as far as apt's signature check goes, and only inside the guest: no maintainer script and no guest
//! program runs on the host. Images and manifests read from files are hostile until parsed ([`Manifest`]) and verified
//! ([`Image::open_verified`]).
#![forbid(unsafe_code)]

mod archive;
mod build;
mod caches;
pub mod cpio;
mod digest;
mod error;
mod image;
mod kernel;
mod keymap;
mod manifest;
mod process;
mod progress;
mod recipe;
pub mod root;
mod sources;
mod store;
mod tools;
mod tree;

pub use build::Builder;
pub use digest::Sha256;
pub use error::Error;
pub use image::{Image, VerifiedFiles};
pub use manifest::{Architecture, FileEntry, FileName, Manifest, ManifestProblem, Package};
pub use progress::{Progress, Silent, Step};
pub use store::{Entry, Store};
