//! A side's own Ed25519 key in a file, and the pins by which others know it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// What stands before the 32 bytes of an Ed25519 public key in a `SubjectPublicKeyInfo` (RFC 8410).
const PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// A key's file is far shorter.
const MOST: u64 = 4096;

/// The SHA-256 of a `SubjectPublicKeyInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    pub(crate) fn of(public: &[u8]) -> Self {
        let mut pin = [0; 32];
        for (place, byte) in pin.iter_mut().zip(digest(&SHA256, public).as_ref()) {
            *place = *byte;
        }
        Self(pin)
    }
}

impl std::fmt::Display for Pin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A text that is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pin is 64 hexadecimal digits, as `bulkhead usb key` and `usb-agent key` print it")]
pub struct NoPin;

impl FromStr for Pin {
    type Err = NoPin;

    fn from_str(text: &str) -> Result<Self, NoPin> {
        let digits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits {
            return Err(NoPin);
        }
        let mut pin = [0; 32];
        for (index, place) in pin.iter_mut().enumerate() {
            let start = index.saturating_mul(2);
            let pair = text.get(start..start.saturating_add(2)).ok_or(NoPin)?;
            *place = u8::from_str_radix(pair, 16).map_err(|_| NoPin)?;
        }
        Ok(Self(pin))
    }
}

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Its file.
    #[error("the key {} cannot be used: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in it.
    #[error("{} holds no Ed25519 key; move it away, and a new one is made", .0.display())]
    Damaged(PathBuf),
    /// The system has no random bytes.
    #[error("no key can be made: the system gives no random bytes")]
    NoRandom,
}

/// A side's own key.
pub struct Key {
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Key({})", self.pin())
    }
}

impl Key {
    /// Makes a new one.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let made = made.map_err(|_| KeyError::NoRandom)?;
        Self::parse(made.as_ref().to_vec()).ok_or(KeyError::NoRandom)
    }

    /// Reads the key in a file; at the first use it is made, for its owner alone, as is its folder.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something else.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let told = |error| KeyError::File {
            path: path.to_owned(),
            error,
        };
        match File::open(path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(MOST).read_to_end(&mut bytes).map_err(told)?;
                Self::parse(bytes).ok_or_else(|| KeyError::Damaged(path.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                let folder = path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                if let Some(folder) = folder {
                    let mut made = DirBuilder::new();
                    made.recursive(true).mode(0o700);
                    made.create(folder).map_err(told)?;
                }
                let mut fresh = path.as_os_str().to_owned();
                fresh.push(".new");
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&fresh)
                    .map_err(told)?;
                file.write_all(&key.pkcs8)
                    .and_then(|()| file.sync_all())
                    .and_then(|()| std::fs::rename(&fresh, path))
                    .map_err(told)?;
                Ok(key)
            }
            Err(error) => Err(told(error)),
        }
    }

    fn parse(pkcs8: Vec<u8>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?;
        let mut public = PREFIX.to_vec();
        public.extend_from_slice(pair.public_key().as_ref());
        Some(Self { pkcs8, public })
    }

    /// What the other side pins.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of(&self.public)
    }

    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(crate) fn pkcs8(&self) -> PrivatePkcs8KeyDer<'_> {
        PrivatePkcs8KeyDer::from(self.pkcs8.as_slice())
    }
}
