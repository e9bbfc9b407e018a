//! The image store: a directory with one image a subdirectory, named by its identity.
//!
//! Invariant: a directory appears under its name only when all of it was verified, by one rename. Everything in the store is
//! checked again before use, because a disk and other programs come between.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digest::short;
use crate::image::check;
use crate::{Error, FileName, Image, Sha256};

/// Images by name and hash.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// One directory of a store.
#[derive(Debug)]
#[non_exhaustive]
pub enum Entry {
    /// An image; its files' bytes are not verified yet.
    Image(Image),
    /// A directory that is named like an image and is none.
    Broken {
        /// Where.
        path: PathBuf,
        /// Why.
        problem: Error,
    },
}

impl Store {
    /// The store in `directory`, which is made at the first import.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Everything in the store, by name, then hash. A store that does not exist yet is empty.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        let listing = match fs::read_dir(&self.directory) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::file("list", &self.directory)(error)),
        };
        let mut entries = Vec::new();
        for item in listing {
            let item = item.map_err(Error::file("list", &self.directory))?;
            let id = item.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(id) = id {
                entries.push(self.open_as(id, item.path()));
            }
        }
        entries.sort_by_cached_key(Entry::sort_key);
        Ok(entries)
    }

    /// The image that `wanted` names: a whole hash, a hash's first 8 or more digits, or a name that only one image has.
    pub fn find(&self, wanted: &str) -> Result<Image, Error> {
        if let Ok(id) = wanted.parse::<Sha256>() {
            let path = self.directory.join(wanted);
            return match fs::symlink_metadata(&path) {
                Ok(_) => match self.open_as(id, path) {
                    Entry::Image(image) => Ok(image),
                    Entry::Broken { problem, .. } => Err(problem),
                },
                Err(_) => Err(self.not_found(wanted)),
            };
        }
        let by_hash = wanted.len() >= 8 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut fitting = Vec::new();
        for entry in self.list()? {
            if let Entry::Image(image) = entry
                && (image.manifest().name() == wanted
                    || by_hash && image.id().to_string().starts_with(wanted))
            {
                fitting.push(image);
            }
        }
        match fitting.len() {
            0 | 1 => fitting.pop().ok_or_else(|| self.not_found(wanted)),
            _ => Err(Error::Ambiguous {
                wanted: wanted.to_owned(),
                candidates: fitting.iter().map(|image| image.id().to_string()).collect(),
            }),
        }
    }

    /// Copies the image in `from` into the store, verifying every byte on the way. An image that is there already is verified
    /// and, if damaged, replaced.
    pub fn import(&self, from: &Path) -> Result<Image, Error> {
        let source = Image::open(from)?;
        let target = self.directory.join(source.id().to_string());
        if let Ok(present) = Image::open(&target)
            && present.id() == source.id()
            && present.verify().is_ok()
        {
            return Ok(present);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.directory)
            .map_err(Error::file("create", &self.directory))?;
        let partial = Partial::new(&self.directory, source.id())?;
        for name in FileName::ALL {
            copy_verified(&source, name, &partial.path.join(name.as_str()))?;
        }
        write_new(&partial.path.join(Image::MANIFEST), source.manifest_bytes())?;
        partial.finish(&target)?;
        Image::open(target)
    }

    fn open_as(&self, id: Sha256, path: PathBuf) -> Entry {
        let opened = Image::open(&path).and_then(|image| {
            if image.id() == id {
                Ok(image)
            } else {
                Err(Error::WrongIdentity {
                    path: path.clone(),
                    expected: id,
                    found: image.id(),
                })
            }
        });
        match opened {
            Ok(image) => Entry::Image(image),
            Err(problem) => Entry::Broken { path, problem },
        }
    }

    fn not_found(&self, wanted: &str) -> Error {
        Error::NotFound {
            wanted: wanted.escape_debug().take(80).collect(),
            store: self.directory.clone(),
        }
    }
}

impl Entry {
    fn sort_key(&self) -> (String, PathBuf) {
        match self {
            Self::Image(image) => (
                image.manifest().name().to_owned(),
                image.directory().to_path_buf(),
            ),
            Self::Broken { path, .. } => (String::new(), path.clone()),
        }
    }
}

/// A directory under construction; removed again unless finished.
struct Partial {
    path: PathBuf,
    finished: bool,
}

impl Partial {
    fn new(store: &Path, id: Sha256) -> Result<Self, Error> {
        // The process id keeps two imports of one image apart.
        let path = store.join(format!(".partial-{}-{}", short(&id), std::process::id()));
        // Left by an earlier process with this id; a fresh directory must be ours alone.
        let _ = fs::remove_dir_all(&path);
        DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .map_err(Error::file("create", &path))?;
        Ok(Self {
            path,
            finished: false,
        })
    }

    fn finish(mut self, target: &Path) -> Result<(), Error> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::file("write", &self.path))?;
        if fs::symlink_metadata(target).is_ok() {
            // What is there did not verify.
            remove(target).map_err(Error::file("replace", target))?;
        }
        fs::rename(&self.path, target).map_err(Error::file("create", target))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn create_new(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(Error::file("create", path))
}

fn copy_verified(source: &Image, name: FileName, to: &Path) -> Result<(), Error> {
    let entry = source.manifest().file(name);
    let from_path = source.path(name);
    let from = source.open_file(name)?;
    let mut target = create_new(to)?;
    let (sha256, length) =
        Sha256::copying(from, &mut target, entry.size).map_err(Error::file("copy", &from_path))?;
    check(&from_path, entry.size, entry.sha256, length, sha256)?;
    seal(&target, to)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = create_new(path)?;
    file.write_all(bytes).map_err(Error::file("write", path))?;
    seal(&file, path)
}

fn seal(file: &File, path: &Path) -> Result<(), Error> {
    file.set_permissions(Permissions::from_mode(0o444))
        .and_then(|()| file.sync_all())
        .map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests;
