//! The passphrase of the lock screen: kept as an Argon2id hash that costs 64 MiB and a good part of a second to try (RFC 9106's second
//! choice of parameters), in a file of the state directory that only its owner reads. Beside it is how often a wrong one was given in
//! a row, so that starting the desktop anew wins no attempts.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use argon2::password_hash::{Error as HashError, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use crate::state_directory::write_private;

/// Fewer characters than this are guessed by hand.
pub const SHORTEST: usize = 4;
/// KiB of memory, passes over it, and lanes.
const COST: (u32, u32, u32) = (64 << 10, 3, 1);
/// A hash with its parameters has about 100 bytes, a count at most 10.
const FILE_MOST: u64 = 4096;

/// Where the hash is kept.
#[derive(Clone, Debug)]
pub struct PassphraseFile {
    path: PathBuf,
}

/// What came of trying a passphrase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tried {
    /// It is the right one.
    Right,
    /// It is not.
    Wrong {
        /// The wrong ones since the last right one, this one among them.
        in_a_row: u32,
    },
}

/// A passphrase that could not be set or tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// It is too short.
    #[error("a passphrase or PIN has at least {SHORTEST} characters")]
    TooShort,
    /// It has characters that cannot be typed at the lock screen.
    #[error("a passphrase has characters that keys type, and no control characters")]
    Untypable,
    /// The file cannot be read or written.
    #[error("{} cannot be used", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is damaged. Nothing unlocks then.
    #[error("{} is damaged; set the passphrase anew by `bulkhead passphrase set`", .0.display())]
    Damaged(PathBuf),
    /// The hash could not be computed.
    #[error("the passphrase could not be hashed: {0}")]
    Hash(HashError),
}

impl PassphraseFile {
    /// The file at a path.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether a passphrase is set. A file that cannot be looked at counts as one: what is in doubt stays locked.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.path.try_exists().unwrap_or(true)
    }

    /// Sets a passphrase in place of any other.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn set(&self, passphrase: &str) -> Result<(), PassphraseError> {
        if passphrase.chars().count() < SHORTEST {
            return Err(PassphraseError::TooShort);
        }
        if passphrase.chars().any(char::is_control) {
            return Err(PassphraseError::Untypable);
        }
        let mut salt = [0; 16];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| self.failed(errno.into()))?;
        let salt = SaltString::encode_b64(&salt).map_err(PassphraseError::Hash)?;
        let hash = hasher()?
            .hash_password(passphrase.as_bytes(), &salt)
            .map_err(PassphraseError::Hash)?;
        write_private(&self.path, &format!("{hash}\n")).map_err(|source| self.failed(source))?;
        self.forget_wrong()
    }

    /// Tries a passphrase. Takes a good part of a second.
    ///
    /// # Errors
    /// None is set, or a file cannot be used.
    pub fn attempt(&self, passphrase: &str) -> Result<Tried, PassphraseError> {
        let text = read_short(&self.path).map_err(|source| self.failed(source))?;
        let damaged = |_| PassphraseError::Damaged(self.path.clone());
        let hash = PasswordHash::new(text.trim_end()).map_err(damaged)?;
        // Counted before it is tried: cutting the power meanwhile wins nothing. On a full disk the right one still counts, and a wrong
        // one costs most.
        let mut in_a_row = self.wrong_in_a_row().saturating_add(1);
        if write_private(&self.count(), &format!("{in_a_row}\n")).is_err() {
            in_a_row = u32::MAX;
        }
        match hasher()?.verify_password(passphrase.as_bytes(), &hash) {
            Ok(()) => {
                // A count that cannot be removed costs time after the next start, and no more.
                let _ = self.forget_wrong();
                Ok(Tried::Right)
            }
            Err(HashError::Password) => Ok(Tried::Wrong { in_a_row }),
            Err(error) => Err(damaged(error)),
        }
    }

    /// The wrong ones since the last right one. A count that cannot be read is the highest: what is in doubt costs most.
    #[must_use]
    pub fn wrong_in_a_row(&self) -> u32 {
        match read_short(&self.count()) {
            Ok(text) => text.trim_end().parse().unwrap_or(u32::MAX),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(_) => u32::MAX,
        }
    }

    /// Takes the passphrase away; true when there was one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self) -> Result<bool, PassphraseError> {
        match fs::remove_file(&self.path) {
            Ok(()) => self.forget_wrong().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn count(&self) -> PathBuf {
        self.path.with_extension("wrong")
    }

    fn forget_wrong(&self) -> Result<(), PassphraseError> {
        match fs::remove_file(self.count()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, source: io::Error) -> PassphraseError {
        PassphraseError::File {
            path: self.path.clone(),
            source,
        }
    }
}

fn hasher() -> Result<Argon2<'static>, PassphraseError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)
        .map_err(|error| PassphraseError::Hash(error.into()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn read_short(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(FILE_MOST)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_passphrase_that_was_set_is_right() {
        let place = tempfile::tempdir().unwrap();
        let file = PassphraseFile::new(place.path().join("passphrase"));
        assert!(!file.is_set());
        assert!(matches!(
            file.attempt("any"),
            Err(PassphraseError::File { .. })
        ));
        assert!(matches!(file.set("123"), Err(PassphraseError::TooShort)));
        assert!(matches!(
            file.set("12\u{1b}34"),
            Err(PassphraseError::Untypable)
        ));
        file.set("grün 1234").unwrap();
        let metadata = fs::metadata(place.path().join("passphrase")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(file.attempt("grün 1234").unwrap(), Tried::Right);
        for (in_a_row, wrong) in (1..).zip(["grün 1235", "", "grün 1234 "]) {
            let tried = file.attempt(wrong).unwrap();
            assert_eq!(tried, Tried::Wrong { in_a_row }, "{wrong:?}");
        }
        let before = fs::read_to_string(place.path().join("passphrase")).unwrap();
        assert!(
            before.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"),
            "{before}"
        );
        file.set("grün 1234").unwrap();
        let after = fs::read_to_string(place.path().join("passphrase")).unwrap();
        assert_ne!(before, after, "each has a salt of its own");
    }

    #[test]
    fn wrong_ones_are_counted_until_a_right_one() {
        let place = tempfile::tempdir().unwrap();
        let file = PassphraseFile::new(place.path().join("passphrase"));
        file.set("right one").unwrap();
        assert_eq!(file.wrong_in_a_row(), 0);
        for in_a_row in 1..=2 {
            // Each by another start of the desktop.
            let file = PassphraseFile::new(place.path().join("passphrase"));
            assert_eq!(
                file.attempt("wrong one").unwrap(),
                Tried::Wrong { in_a_row }
            );
            assert_eq!(file.wrong_in_a_row(), in_a_row);
        }
        assert_eq!(file.attempt("right one").unwrap(), Tried::Right);
        assert_eq!(file.wrong_in_a_row(), 0);

        fs::write(place.path().join("passphrase.wrong"), "many").unwrap();
        assert_eq!(file.wrong_in_a_row(), u32::MAX);
        file.set("another one").unwrap();
        assert_eq!(file.wrong_in_a_row(), 0);
    }

    #[test]
    fn a_damaged_file_unlocks_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("passphrase");
        let file = PassphraseFile::new(path.clone());
        for damage in ["", "hunter2", "$argon2id$v=19$m=8,t=1,p=1$", "$5$abc$def"] {
            fs::write(&path, damage).unwrap();
            assert!(file.is_set());
            let error = file.attempt(damage).unwrap_err();
            assert!(
                matches!(error, PassphraseError::Damaged(_)),
                "{damage:?}: {error}"
            );
        }
        assert!(file.remove().unwrap() && !file.remove().unwrap());
    }
}
