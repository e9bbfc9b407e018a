//! Where the endpoint keeps what outlives it: the audit log, console logs, and the home volumes of persistent zones.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zone_link::{Volume, Writes};

use crate::look::Look;
use crate::passphrase::PassphraseFile;
use crate::windows::Windows;

/// A phrase of 64 characters, and some room.
const SECRET_PHRASE_MOST: u64 = 1024;
/// A few words, or the places of all windows that there may be.
const CHOICES_MOST: u64 = 64 << 10;

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

    /// The passphrase of the lock screen.
    #[must_use]
    pub fn passphrase(&self) -> PassphraseFile {
        PassphraseFile::new(self.path.join("passphrase"))
    }

    /// The phrase that the attention screen shows and no zone can know. None: none is set.
    ///
    /// # Errors
    /// It cannot be read, or is not text.
    pub fn secret_phrase(&self) -> Result<Option<String>, StateError> {
        let path = self.path.join("phrase");
        let mut text = String::new();
        let read = File::open(&path)
            .and_then(|file| file.take(SECRET_PHRASE_MOST).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError { path, source }),
        }
    }

    /// How a person chose that the trusted UI looks. None: nothing was chosen, or what was cannot be read.
    #[must_use]
    pub fn look(&self) -> Option<Look> {
        self.choices("look.json")
    }

    /// Keeps it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_look(&self, look: Look) -> Result<(), StateError> {
        self.keep_choices("look.json", &look)
    }

    /// Where windows were; nothing where that is not known, or makes no sense.
    #[must_use]
    pub fn windows(&self) -> Windows {
        self.choices("windows.json").unwrap_or_default()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_windows(&self, windows: &Windows) -> Result<(), StateError> {
        self.keep_choices("windows.json", windows)
    }

    /// Reads a small file that the desktop wrote for itself. It does without one that is damaged.
    fn choices<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.path.join(name);
        let mut text = String::new();
        let file = File::open(&path).ok()?;
        let read = file.take(CHOICES_MOST).read_to_string(&mut text);
        let choices = read
            .map_err(|error| error.to_string())
            .and_then(|_| serde_json::from_str(&text).map_err(|error| error.to_string()));
        choices
            .inspect_err(|error| tracing::warn!("{} is not used: {error}", path.display()))
            .ok()
    }

    fn keep_choices(&self, name: &str, choices: &impl Serialize) -> Result<(), StateError> {
        let path = self.path.join(name);
        let text = serde_json::to_string(choices).unwrap_or_default();
        write_private(&path, &text).map_err(|source| StateError { path, source })
    }

    /// Sets that phrase.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_secret_phrase(&self, phrase: &str) -> Result<(), StateError> {
        let path = self.path.join("phrase");
        write_private(&path, &format!("{phrase}\n")).map_err(|source| StateError { path, source })
    }

    /// The file for a picture that a person took.
    #[must_use]
    pub fn picture(&self, name: &str) -> PathBuf {
        self.path.join("pictures").join(name)
    }

    /// The socket on which the running desktop takes orders about USB devices.
    #[must_use]
    pub fn usb_door(&self) -> PathBuf {
        Self::usb_door_in(&self.path)
    }

    /// The same of a state directory that a running desktop may have made at `path`.
    #[must_use]
    pub fn usb_door_in(path: &Path) -> PathBuf {
        path.join("usb")
    }

    /// The socket on which the desktop whose state directory is at `path` takes orders about zones.
    #[must_use]
    pub fn zones_door_in(path: &Path) -> PathBuf {
        // `zones` has their homes.
        path.join("zone-orders")
    }

    /// The same of this one.
    #[must_use]
    pub fn zones_door(&self) -> PathBuf {
        Self::zones_door_in(&self.path)
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

    /// An empty file without a name, whose room is given back when the last process that holds it ends.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self) -> Result<OwnedFd, StateError> {
        let told = |source| StateError {
            path: self.path.clone(),
            source,
        };
        Ok(tempfile::tempfile_in(&self.path).map_err(told)?.into())
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

/// Writes a file that only its owner reads; it is the old one or the new one, whole, whatever happens meanwhile.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, path)
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
