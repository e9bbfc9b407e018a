//! An image in a directory: opened, verified, and handed out as descriptors of exactly the bytes that were verified.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::manifest::MANIFEST_LIMIT;
use crate::{Error, FileName, Manifest, Sha256};

/// An image whose manifest was read. Its files are hostile until [`Image::verify`] or [`Image::open_verified`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    directory: PathBuf,
    manifest: Manifest,
    bytes: Vec<u8>,
    id: Sha256,
}

/// Descriptors of an image's files, opened read-only, each digested through this very descriptor.
#[derive(Debug)]
pub struct VerifiedFiles {
    /// The kernel.
    pub kernel: File,
    /// The initramfs.
    pub initramfs: File,
    /// The root file system.
    pub root: File,
}

impl Image {
    /// Name of the manifest in an image's directory.
    pub const MANIFEST: &str = "manifest.toml";

    /// Reads the manifest of the image in `directory`, and checks that its files are plain files of the right size.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        let path = directory.join(Self::MANIFEST);
        let mut bytes = Vec::new();
        open_plain(&path)?
            .take(MANIFEST_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::file("read", &path))?;
        let manifest =
            Manifest::parse(&bytes).map_err(|source| Error::Manifest { path, source })?;
        let image = Self {
            directory,
            manifest,
            id: Sha256::of(&bytes),
            bytes,
        };
        for name in FileName::ALL {
            image.open_file(name)?;
        }
        Ok(image)
    }

    /// Digests every file and compares with the manifest.
    pub fn verify(&self) -> Result<(), Error> {
        self.open_verified().map(drop)
    }

    /// Opens the files, digests them through the descriptors it returns, and compares with the manifest.
    pub fn open_verified(&self) -> Result<VerifiedFiles, Error> {
        Ok(VerifiedFiles {
            kernel: self.open_verified_file(FileName::Kernel)?,
            initramfs: self.open_verified_file(FileName::Initramfs)?,
            root: self.open_verified_file(FileName::Root)?,
        })
    }

    /// Identity: the sha256 of the manifest's bytes.
    pub const fn id(&self) -> Sha256 {
        self.id
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's bytes, of which the identity is the digest.
    pub(crate) fn manifest_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the image is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Path of one of its files.
    pub fn path(&self, name: FileName) -> PathBuf {
        self.directory.join(name.as_str())
    }

    /// Opens a file as it is, checked for kind and size only.
    pub(crate) fn open_file(&self, name: FileName) -> Result<File, Error> {
        let path = self.path(name);
        let file = open_plain(&path)?;
        let found = file.metadata().map_err(Error::file("read", &path))?.len();
        let expected = self.manifest.file(name).size;
        if found == expected {
            Ok(file)
        } else {
            Err(Error::WrongSize {
                path,
                expected,
                found,
            })
        }
    }

    fn open_verified_file(&self, name: FileName) -> Result<File, Error> {
        let mut file = self.open_file(name)?;
        let path = self.path(name);
        let entry = self.manifest.file(name);
        let (sha256, length) =
            Sha256::of_reader(&file, entry.size).map_err(Error::file("read", &path))?;
        check(&path, entry.size, entry.sha256, length, sha256)?;
        file.seek(SeekFrom::Start(0))
            .map_err(Error::file("read", &path))?;
        Ok(file)
    }
}

/// Compares what a file is with what its manifest says.
pub(crate) fn check(
    path: &Path,
    expected_size: u64,
    expected: Sha256,
    found_size: u64,
    found: Sha256,
) -> Result<(), Error> {
    if found_size != expected_size {
        return Err(Error::WrongSize {
            path: path.to_path_buf(),
            expected: expected_size,
            found: found_size,
        });
    }
    if found != expected {
        return Err(Error::WrongDigest {
            path: path.to_path_buf(),
            expected,
            found,
        });
    }
    Ok(())
}

/// Opens a plain file for reading. Links are refused, and nothing that blocks is waited for.
pub(crate) fn open_plain(path: &Path) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::LOOP) => {
            return Err(Error::NotAPlainFile {
                path: path.to_path_buf(),
            });
        }
        Err(error) => return Err(Error::file("open", path)(error.into())),
    };
    let metadata = file.metadata().map_err(Error::file("read", path))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(Error::NotAPlainFile {
            path: path.to_path_buf(),
        })
    }
}
