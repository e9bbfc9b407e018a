//! How a long build tells what it does, and hears that it shall stop.

/// A part of a build, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Package lists are fetched and their signatures checked.
    Lists,
    /// Packages are fetched; units are bytes.
    Packages,
    /// Packages are unpacked; units are packages.
    Unpack,
    /// Font, type and schema caches are made; units are caches.
    Caches,
    /// Kernel and initramfs are written; units are driver modules.
    Kernel,
    /// The root file system is compressed; units are percent.
    Root,
    /// Files are hashed and the manifest written; units are bytes.
    Manifest,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 7] = [
        Self::Lists,
        Self::Packages,
        Self::Unpack,
        Self::Caches,
        Self::Kernel,
        Self::Root,
        Self::Manifest,
    ];

    /// What the step does, for a progress bar.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Lists => "reading package lists",
            Self::Packages => "fetching packages",
            Self::Unpack => "unpacking packages",
            Self::Caches => "making caches",
            Self::Kernel => "packing kernel and drivers",
            Self::Root => "packing the root file system",
            Self::Manifest => "hashing the image",
        }
    }

    /// Whether the step's units are bytes.
    pub const fn counts_bytes(self) -> bool {
        matches!(self, Self::Packages | Self::Manifest)
    }
}

/// Watches a build. Every method is called on the thread that builds.
pub trait Progress {
    /// `done` of `total` units of `step` are done; a `total` of 0 means that nobody knows how many there are.
    fn update(&mut self, step: Step, done: u64, total: u64);

    /// Something that the person who builds should know, though the build goes on.
    fn note(&mut self, _text: &str) {}

    /// Asked several times a second; `true` ends the build with [`crate::Error::Cancelled`].
    fn cancelled(&self) -> bool {
        false
    }
}

/// Shows nothing and never cancels.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn update(&mut self, _step: Step, _done: u64, _total: u64) {}
}
