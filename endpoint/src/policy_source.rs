//! Where the policy comes from, and the news that there is another: a signed one in the policy store, or a plain file.
//!
//! A store's policy is verified by the store each time it is read. What is read is what is used: nothing is read twice.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bulkhead_policy::{Directory, Errors, LIMITS, Policy, Store, StoreError, Timestamp};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// The file of a store that is replaced last when a policy is installed.
const ACTIVE: &str = "active";

/// Where a policy comes from.
#[derive(Clone, Debug)]
pub enum PolicySource {
    /// A file that its user answers for. Nobody needs to have signed it.
    File(PathBuf),
    /// A policy store: signed, and never an older one than before.
    Store(PathBuf),
}

/// A policy as it was found.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// The latest time that the store has seen; the time to go by is never before it.
    pub last_seen: Option<Timestamp>,
}

/// A policy that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file or the store cannot be read.
    #[error("the policy {} cannot be read", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such store.
    #[error(
        "there is no policy store at {}; `bulkhead policy set-up` makes one, --policy-store names another, and --policy takes a plain file",
        .0.display()
    )]
    NoStore(PathBuf),
    /// The file has mistakes.
    #[error("{0}")]
    Mistakes(Errors),
    /// The store does not give it.
    #[error("{0}")]
    Store(StoreError),
    /// The store has no policy yet.
    #[error("no policy is installed in {}; `bulkhead policy install` installs one", .0.display())]
    NotInstalled(PathBuf),
}

impl PolicySource {
    /// The file or the store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Store(path) => path,
        }
    }

    /// Reads the policy and, where it is in a store, verifies it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let unread = |source: io::Error| LoadError::Read {
            path: self.path().to_owned(),
            source,
        };
        match self {
            Self::File(path) => {
                let bytes = read_bounded(path).map_err(unread)?;
                let policy = Policy::parse(&path.display().to_string(), &bytes)
                    .map_err(LoadError::Mistakes)?;
                Ok(Loaded {
                    policy,
                    last_seen: None,
                })
            }
            Self::Store(path) => {
                let disk = Directory::open_to_read(path).map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound => LoadError::NoStore(path.clone()),
                    _ => unread(source),
                })?;
                let active = Store::new(disk).peek().map_err(LoadError::Store)?;
                let active = active.ok_or_else(|| LoadError::NotInstalled(path.clone()))?;
                Ok(Loaded {
                    policy: active.policy,
                    last_seen: Some(active.last_seen),
                })
            }
        }
    }

    /// Watches for another policy. Begin this before the policy is loaded, so that none is missed.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn watch(&self) -> io::Result<PolicyWatch> {
        let (directory, name) = match self {
            Self::Store(path) => (path.as_path(), OsStr::new(ACTIVE)),
            Self::File(path) => {
                let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
                let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
                (directory.unwrap_or(Path::new(".")), name)
            }
        };
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // The directory, not the file: a new file takes the old one's place.
        let changes = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, directory, changes)?;
        Ok(PolicyWatch {
            inotify,
            name: name.to_owned(),
        })
    }

    /// Has the store remember that this time was seen, so that the clock cannot be set back behind it.
    pub fn see(&self, now: Timestamp) {
        let Self::Store(path) = self else { return };
        // Someone may be installing a policy just now, or the store may be another user's: it is remembered the next time, or by
        // whoever installs.
        match Directory::open(path) {
            Ok(disk) => {
                if let Err(error) = Store::new(disk).see(now) {
                    tracing::warn!("the time could not be remembered: {error}");
                }
            }
            Err(error) => tracing::debug!("the time could not be remembered: {error}"),
        }
    }
}

/// News of a policy.
#[derive(Debug)]
pub struct PolicyWatch {
    inotify: OwnedFd,
    name: OsString,
}

impl PolicyWatch {
    /// Whether there may be another policy than at the last call. Does not wait.
    pub fn has_changed(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut news = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut changed = false;
        // Ends by `EAGAIN`. An overflow has no name: it may have been anything.
        while let Ok(event) = news.next() {
            let name = event.file_name().map(|name| name.to_bytes());
            changed |= name.is_none_or(|name| name == self.name.as_bytes());
        }
        changed
    }
}

impl AsFd for PolicyWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// One byte more than a policy may have is enough to say that it is too large.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(LIMITS.bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_or_replaced_is_news_and_others_are_not() {
        let place = tempfile::tempdir().unwrap();
        let source = PolicySource::File(place.path().join("policy.toml"));
        let write = |name: &str| std::fs::write(place.path().join(name), "x").unwrap();
        write("policy.toml");
        let mut watch = source.watch().unwrap();
        assert!(!watch.has_changed());
        write("other.toml");
        assert!(!watch.has_changed());
        write("policy.toml");
        assert!(watch.has_changed() && !watch.has_changed());
        std::fs::rename(place.path().join("other.toml"), source.path()).unwrap();
        assert!(watch.has_changed());
    }

    #[test]
    fn what_cannot_be_had_says_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let missing = PolicySource::Store(place.path().join("store"));
        let error = missing.load().unwrap_err().to_string();
        assert!(error.contains("bulkhead policy set-up"), "{error}");
        let file = PolicySource::File(place.path().join("policy.toml"));
        assert!(matches!(file.load(), Err(LoadError::Read { .. })));
        std::fs::write(file.path(), "[zone.a]\n").unwrap();
        assert!(matches!(file.load(), Err(LoadError::Mistakes(_))));
    }
}
