//! [`Disk`] on a real directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::disk::Disk;

/// A directory that only its owner may write to, locked against others of us.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held for its lock.
    _lock: Option<File>,
}

impl Directory {
    /// Opens a directory to change it. There can be one at a time.
    ///
    /// # Errors
    /// Where it is none, is a link, may be written by others, or is open elsewhere.
    pub fn open(path: &Path) -> io::Result<Self> {
        let directory = Self::open_to_read(path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))?;
        lock.try_lock().map_err(|_| {
            io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "{} is in use by another program of Bulkhead; wait for it to end",
                    path.display()
                ),
            )
        })?;
        Ok(Self {
            _lock: Some(lock),
            ..directory
        })
    }

    /// Opens a directory to read it, also while another changes it.
    ///
    /// # Errors
    /// Where it is none, is a link, or may be written by others.
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        let refused = |reason: &str| {
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} {reason}", path.display()),
            ))
        };
        if !metadata.is_dir() {
            return refused("is no directory");
        }
        if metadata.mode() & 0o022 != 0 {
            return refused(
                "may be written by others than its owner, who could bring back an old policy; run `chmod go-w` on it",
            );
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: None,
        })
    }

    /// Makes a directory that only its owner may enter, and opens it to change it.
    ///
    /// # Errors
    /// Where it cannot be made or opened.
    pub fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        if !path.exists() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)?;
        }
        Self::open(path)
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        let plain = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            && !name.starts_with('.');
        if plain {
            Ok(self.path.join(name))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a name within the store is no plain file name",
            ))
        }
    }
}

impl Disk for Directory {
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.file(name)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!(
                    "{} is larger than {limit} bytes",
                    self.path.join(name).display()
                ),
            ));
        }
        Ok(Some(bytes))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(self.file(name)?)?
            .write_all(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.file(name)?)?
            .write_all(bytes)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .open(self.file(name)?)?
            .set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .open(self.file(name)?)?
            .sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.file(from)?, self.file(to)?)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.file(name)?)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}
