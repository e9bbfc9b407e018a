//! Where a zone's kernel, initramfs and root volume come from.

use std::fs::File;

use bulkhead_policy::Image;

/// An image's files, verified and open for reading.
#[derive(Debug)]
pub struct OpenImage {
    /// What identifies the image in the audit log: the SHA-256 of its manifest.
    pub identity: String,
    /// The kernel.
    pub kernel: File,
    /// The initial RAM file system.
    pub initramfs: File,
    /// The root volume.
    pub root: File,
}

/// An image that is not there or not what it should be. The text is a sentence for the user.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

/// Finds images by what a policy says of them.
pub trait ImageSource: Send + Sync {
    /// Finds out quickly whether the image is there; its bytes are not verified.
    ///
    /// # Errors
    /// It is not.
    fn find(&self, image: &Image) -> Result<(), ImageError>;

    /// Verifies the image and opens its files. May take a second; the session calls it on a thread of its own.
    ///
    /// # Errors
    /// It is not there, or a byte of it is wrong.
    fn open(&self, image: &Image) -> Result<OpenImage, ImageError>;
}
