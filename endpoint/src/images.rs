//! Where a zone's kernel, initramfs and root volume come from.

use std::fs::File;

use bulkhead_policy::Image;
use guest_image::{Sha256, Store};

use crate::words::ImageMend;

/// An image's files, verified and open for reading.
#[derive(Debug)]
pub struct OpenImage {
    /// What identifies the image in the audit log: the SHA-256 of its manifest.
    pub identity: String,
    /// Kernel arguments that the image asks for; those of the zone come after them.
    pub arguments: String,
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
    pub mend: ImageMend,
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

/// Images of an image store.
#[derive(Clone, Debug)]
pub struct StoreImages {
    store: Store,
}

impl StoreImages {
    /// Images of `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    fn look_up(&self, wanted: &Image) -> Result<guest_image::Image, ImageError> {
        let hash: Option<String> = wanted
            .sha256
            .map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect());
        let name = wanted.name.as_deref();
        let key = hash.as_deref().or(name).unwrap_or_default();
        let image = self.store.find(key).map_err(|error| told(&error))?;
        match name {
            Some(name) if image.manifest().name() != name => Err(ImageError {
                message: format!(
                    "image {key} is called `{}`, not `{name}`",
                    image.manifest().name()
                ),
                mend: ImageMend::Name,
            }),
            _ => Ok(image),
        }
    }
}

impl ImageSource for StoreImages {
    fn find(&self, image: &Image) -> Result<(), ImageError> {
        self.look_up(image).map(drop)
    }

    fn open(&self, image: &Image) -> Result<OpenImage, ImageError> {
        let image = self.look_up(image)?;
        let files = image.open_verified().map_err(|error| told(&error))?;
        let identity: Sha256 = image.id();
        Ok(OpenImage {
            identity: identity.to_string(),
            arguments: image.manifest().arguments().to_owned(),
            kernel: files.kernel,
            initramfs: files.initramfs,
            root: files.root,
        })
    }
}

/// The store's errors say in one sentence what is wrong and what to do; their causes follow.
fn told(error: &dyn std::error::Error) -> ImageError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    ImageError {
        message,
        mend: ImageMend::Add,
    }
}
