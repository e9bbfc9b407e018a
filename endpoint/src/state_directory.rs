//! Where the endpoint keeps what outlives it: the audit log, console logs, and the home volumes of persistent zones.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zone_link::{Volume, Writes};

/// The directory, which only its owner may enter.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
}

/// The directory or a file in it could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used; choose another place with --state-dir", .path.display())]
pub struct StateError {
    /// What failed.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl StateDirectory {
    /// Makes the directory where it does not exist yet.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        private_directory(&path)?;
        Ok(Self { path })
    }

    /// By the XDG base directory specification: `$XDG_STATE_HOME/bulkhead`, by default `~/.local/state/bulkhead`.
    #[must_use]
    pub fn usual_place() -> PathBuf {
        xdg("XDG_STATE_HOME", ".local/state")
    }

    /// By the same specification: `$XDG_DATA_HOME/bulkhead/images`, by default `~/.local/share/bulkhead/images`.
    #[must_use]
    pub fn usual_image_store() -> PathBuf {
        xdg("XDG_DATA_HOME", ".local/share").join("images")
    }

    /// By the same specification: `$XDG_CACHE_HOME/bulkhead`, by default `~/.cache/bulkhead`.
    #[must_use]
    pub fn usual_cache() -> PathBuf {
        xdg("XDG_CACHE_HOME", ".cache")
    }

    /// The audit log's directory.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.path.join("audit")
    }

    /// The key that signs the audit log.
    #[must_use]
    pub fn audit_key(&self) -> PathBuf {
        self.path.join("audit.key")
    }

    /// The file for a zone's console output. Zone names have no character that means anything in a path.
    #[must_use]
    pub fn console_log(&self, zone: &str) -> PathBuf {
        self.path.join(format!("{zone}.console.log"))
    }

    /// The socket of a zone's debugger in the state directory `place`.
    #[must_use]
    pub fn debugger_of(place: &Path, zone: &str) -> PathBuf {
        place.join(format!("{zone}.debugger"))
    }

    /// The socket of a zone's debugger.
    #[must_use]
    pub fn debugger(&self, zone: &str) -> PathBuf {
        Self::debugger_of(&self.path, zone)
    }

    /// The home volume of a persistent zone: an overlay that is kept, over `bytes` of nothing.
    ///
    /// # Errors
    /// Its files cannot be made or opened.
    pub fn home_volume(&self, zone: &str, bytes: u64) -> Result<Volume, StateError> {
        let directory = self.path.join("zones").join(zone);
        private_directory(&directory)?;
        let blank = directory.join("home.blank");
        let overlay = directory.join("home.overlay");
        let told = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError { path, source }
        };
        if !blank.exists() {
            // A hole of that size: it takes no room, and nothing is ever written to it.
            let fresh = directory.join("home.blank.new");
            let file = File::create(&fresh).and_then(|file| file.set_len(bytes));
            file.and_then(|()| fs::rename(&fresh, &blank))
                .map_err(told(&blank))?;
        }
        let image = File::open(&blank).map_err(told(&blank))?;
        let kept = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&overlay);
        let kept = kept.map_err(told(&overlay))?;
        Ok(Volume {
            image: OwnedFd::from(image),
            writes: Writes::Kept(kept.into()),
        })
    }
}

fn private_directory(path: &Path) -> Result<(), StateError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StateError {
        path: path.to_owned(),
        source,
    })
}

fn xdg(variable: &str, otherwise: &str) -> PathBuf {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let base = std::env::var_os(variable)
        .map(PathBuf::from)
        .and_then(absolute);
    let home = || {
        std::env::home_dir()
            .unwrap_or_else(|| PathBuf::from("/"))
            .join(otherwise)
    };
    base.unwrap_or_else(home).join("bulkhead")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn a_home_volume_is_the_same_the_next_time() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(place.path().join("state")).unwrap();
        let Volume {
            image,
            writes: Writes::Kept(overlay),
        } = state.home_volume("corp", 1 << 30).unwrap()
        else {
            panic!("a kept volume expected")
        };
        let image = File::from(image).metadata().unwrap();
        assert_eq!((image.len(), image.blocks()), (1 << 30, 0));
        File::from(overlay).write_all_at(b"kept", 0).unwrap();
        // A smaller size later does not cut what is there.
        let Volume {
            image,
            writes: Writes::Kept(overlay),
        } = state.home_volume("corp", 1 << 20).unwrap()
        else {
            panic!("a kept volume expected")
        };
        assert_eq!(File::from(image).metadata().unwrap().len(), 1 << 30);
        let mut bytes = [0; 4];
        File::from(overlay).read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"kept");
    }
}
