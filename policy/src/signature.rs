//! Keys, signatures and the trust store.
//!
//! A policy is signed with Ed25519 over its exact bytes, behind a prefix that no other kind of document has. The
//! signatures stand in a file beside it. An endpoint has a trust store: some public keys, and how many of them must have
//! signed. Everything in a signature file must be good; what an endpoint does not know it does not overlook.

use std::fmt::Write as _;

use ring::aead::{self, LessSafeKey, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::diagnostic::{Errors, Span, shown};
use crate::keys;
use crate::syntax::{decode, parse};
use crate::tree::{Reporter, Table};
use crate::values::{Mistake, from_hex, hex};

/// What is signed starts with this.
const PREFIX: &[u8] = b"bulkhead policy signature v1\0";
const FILE_HEAD: &str = "bulkhead-policy-signature 1";
const KEY_HEAD: &str = "bulkhead-policy-private-key 1";
/// The most signatures and bytes of a signature file.
const SIGNATURES: usize = 64;
const FILE_BYTES: usize = 64 << 10;
/// Rounds that make guessing a passphrase slow.
const ROUNDS: u32 = 600_000;
const ROUNDS_MOST: u32 = 10_000_000;

/// An Ed25519 public key, written `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a key; none where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(
            from_hex(text.strip_prefix("ed25519:")?)?.try_into().ok()?,
        ))
    }

    /// A short name for the key: the first 16 digits of its SHA-256.
    pub fn id(&self) -> String {
        hex(digest(&SHA256, &self.0).as_ref().get(..8).unwrap_or(&[]))
    }

    /// Whether a signature over a message is by this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ed25519:{}", hex(&self.0))
    }
}

/// Why a key file could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is none.
    #[error("this is no private key of Bulkhead: {0}; `bulkhead policy keygen` makes one")]
    Malformed(&'static str),
    /// It is protected and no passphrase was given.
    #[error("the private key is protected by a passphrase, and none was given")]
    PassphraseNeeded,
    /// The passphrase is wrong, or the file was changed.
    #[error(
        "the passphrase does not open the private key: it is the wrong one, or the file was changed"
    )]
    WrongPassphrase,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes, so no key was made")]
    NoRandom,
}

/// A key that signs.
pub struct PrivateKey {
    name: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PrivateKey")
            .field("name", &self.name)
            .field("public", &self.public().to_string())
            .finish_non_exhaustive()
    }
}

impl PrivateKey {
    /// Makes a key for someone.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| KeyError::NoRandom)?;
        Self::from_seed(name, seed).ok_or(KeyError::NoRandom)
    }

    fn from_seed(name: &str, seed: [u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        Some(Self {
            name: name.to_owned(),
            seed,
            pair,
        })
    }

    /// Whose key it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that others check with.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(crate) fn sign_message(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    /// The text of a key file, protected where a passphrase is given.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn to_text(&self, passphrase: Option<&str>) -> Result<String, KeyError> {
        let mut text = format!("{KEY_HEAD}\nname {}\npublic {}\n", self.name, self.public());
        match passphrase {
            None => writeln!(text, "seed {}", hex(&self.seed)).unwrap_or_default(),
            Some(passphrase) => {
                let (mut salt, mut nonce) = ([0; 16], [0; 12]);
                let random = SystemRandom::new();
                random
                    .fill(&mut salt)
                    .and_then(|()| random.fill(&mut nonce))
                    .map_err(|_| KeyError::NoRandom)?;
                let key = stretched(passphrase, &salt, ROUNDS).ok_or(KeyError::NoRandom)?;
                let mut sealed = self.seed.to_vec();
                let aad = aead::Aad::from(self.public().0);
                key.seal_in_place_append_tag(
                    aead::Nonce::assume_unique_for_key(nonce),
                    aad,
                    &mut sealed,
                )
                .map_err(|_| KeyError::NoRandom)?;
                writeln!(
                    text,
                    "protected pbkdf2-hmac-sha256 {ROUNDS} {} chacha20-poly1305 {} {}",
                    hex(&salt),
                    hex(&nonce),
                    hex(&sealed)
                )
                .unwrap_or_default();
            }
        }
        Ok(text)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError`] where it is none, or the passphrase does not open it.
    pub fn parse(text: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let wrong = KeyError::Malformed;
        let mut lines = text.lines();
        if lines.next() != Some(KEY_HEAD) {
            return Err(wrong("its first line is another"));
        }
        let name = lines
            .next()
            .and_then(|line| line.strip_prefix("name "))
            .ok_or(wrong("it has no name"))?;
        let public = lines
            .next()
            .and_then(|line| PublicKey::parse(line.strip_prefix("public ")?))
            .ok_or(wrong("it has no public key"))?;
        let secret: Vec<&str> = lines.next().unwrap_or("").split(' ').collect();
        let seed: [u8; 32] = match secret.as_slice() {
            ["seed", seed] => from_hex(seed)
                .and_then(|seed| seed.try_into().ok())
                .ok_or(wrong("its seed is damaged"))?,
            [
                "protected",
                "pbkdf2-hmac-sha256",
                rounds,
                salt,
                "chacha20-poly1305",
                nonce,
                sealed,
            ] => {
                let damaged = wrong("its protected part is damaged");
                let rounds: u32 = rounds
                    .parse()
                    .ok()
                    .filter(|rounds| (1..=ROUNDS_MOST).contains(rounds))
                    .ok_or(damaged.clone())?;
                let (salt, nonce, sealed) = (
                    from_hex(salt),
                    from_hex(nonce).and_then(|nonce| nonce.try_into().ok()),
                    from_hex(sealed),
                );
                let (Some(salt), Some(nonce), Some(mut sealed)) = (salt, nonce, sealed) else {
                    return Err(damaged);
                };
                let key = stretched(passphrase.ok_or(KeyError::PassphraseNeeded)?, &salt, rounds)
                    .ok_or(damaged)?;
                let nonce = aead::Nonce::assume_unique_for_key(nonce);
                let opened = key
                    .open_in_place(nonce, aead::Aad::from(public.0), &mut sealed)
                    .map_err(|_| KeyError::WrongPassphrase)?;
                (&*opened)
                    .try_into()
                    .map_err(|_| KeyError::WrongPassphrase)?
            }
            _ => return Err(wrong("it has no seed")),
        };
        let key = Self::from_seed(name, seed).filter(|key| key.public() == public);
        key.ok_or(wrong("its seed and its public key do not belong together"))
    }
}

fn stretched(passphrase: &str, salt: &[u8], rounds: u32) -> Option<LessSafeKey> {
    let mut key = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds.try_into().ok()?,
        salt,
        passphrase.as_bytes(),
        &mut key,
    );
    UnboundKey::new(&aead::CHACHA20_POLY1305, &key)
        .ok()
        .map(LessSafeKey::new)
}

/// Why signatures do not let a policy in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature file is none.
    #[error(
        "the signature file is damaged at line {line}: {reason}; sign the policy again with `bulkhead policy sign`"
    )]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: &'static str,
    },
    /// A key that is not in the trust store.
    #[error(
        "the policy is signed by key {id}, which is not in the trust store; add the key there, or have the policy signed by those who are"
    )]
    Foreign {
        /// The key.
        id: String,
    },
    /// The signature does not fit the policy.
    #[error(
        "the signature by \"{name}\" (key {id}) does not fit the policy: the policy or the signature was changed after signing"
    )]
    Bad {
        /// Whose key.
        name: String,
        /// The key.
        id: String,
    },
    /// One key cannot count twice.
    #[error("key {id} has signed twice, and counts once; have another key sign")]
    Twice {
        /// The key.
        id: String,
    },
    /// Not enough keys.
    #[error(
        "the policy is signed by {found} of the trusted keys and {wanted} are needed; have others sign with `bulkhead policy sign`"
    )]
    TooFew {
        /// How many signed.
        found: usize,
        /// How many must.
        wanted: usize,
    },
}

/// The signatures beside a policy, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureFile {
    entries: Vec<(String, [u8; 64])>,
}

impl SignatureFile {
    /// Reads a signature file.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let wrong = |line, reason| Err(SignatureError::Malformed { line, reason });
        if bytes.len() > FILE_BYTES {
            return wrong(1, "it is larger than 64 KiB");
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return wrong(1, "it is no text");
        };
        let Some(body) = text
            .strip_prefix(FILE_HEAD)
            .and_then(|rest| rest.strip_prefix('\n'))
        else {
            return wrong(1, "its first line is not \"bulkhead-policy-signature 1\"");
        };
        if !body.is_empty() && !body.ends_with('\n') {
            return wrong(
                text.lines().count(),
                "its last line has no end, so it may be cut off",
            );
        }
        let mut entries: Vec<(String, [u8; 64])> = Vec::new();
        for (index, line) in body.lines().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let ["key", id, "signature", signature] = words.as_slice() else {
                return wrong(index + 2, "a line is not \"key … signature …\"");
            };
            let (Some(8), Some(signature)) = (
                from_hex(id).map(|id| id.len()),
                from_hex(signature).and_then(|signature| signature.try_into().ok()),
            ) else {
                return wrong(
                    index + 2,
                    "the key or the signature has not the right digits",
                );
            };
            if entries.len() >= SIGNATURES {
                return wrong(index + 2, "it has more than 64 signatures");
            }
            entries.push(((*id).to_owned(), signature));
        }
        Ok(Self { entries })
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FILE_HEAD}\n");
        for (id, signature) in &self.entries {
            writeln!(text, "key {id} signature {}", hex(signature)).unwrap_or_default();
        }
        text
    }

    /// Signs a policy's exact bytes, and replaces what the same key signed before.
    pub fn sign(&mut self, policy: &[u8], key: &PrivateKey) {
        let id = key.public().id();
        self.entries.retain(|(other, _)| *other != id);
        self.entries
            .push((id, key.sign_message(&[PREFIX, policy].concat())));
    }

    /// The keys that signed.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(id, _)| id.as_str())
    }

    /// Checks the signatures on a policy's exact bytes; gives the names of those who signed.
    ///
    /// # Errors
    /// [`SignatureError`], the first there is.
    pub fn verify(&self, policy: &[u8], trust: &TrustStore) -> Result<Vec<String>, SignatureError> {
        let message = [PREFIX, policy].concat();
        let mut names: Vec<(&str, &str)> = Vec::new();
        for (id, signature) in &self.entries {
            if names.iter().any(|(other, _)| other == id) {
                return Err(SignatureError::Twice { id: id.clone() });
            }
            let key = trust
                .keys
                .iter()
                .find(|key| key.public.id() == *id)
                .ok_or_else(|| SignatureError::Foreign { id: id.clone() })?;
            if !key.public.verifies(&message, signature) {
                return Err(SignatureError::Bad {
                    name: key.name.clone(),
                    id: id.clone(),
                });
            }
            names.push((id, &key.name));
        }
        if names.len() < trust.threshold {
            return Err(SignatureError::TooFew {
                found: names.len(),
                wanted: trust.threshold,
            });
        }
        Ok(names.into_iter().map(|(_, name)| name.to_owned()).collect())
    }
}

/// A key that an endpoint trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// Whose it is.
    pub name: String,
    /// The key.
    pub public: PublicKey,
}

/// The keys that an endpoint trusts, and how many of them must have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustStore {
    /// How many keys must have signed; at least 1.
    pub threshold: usize,
    /// The keys; no key twice.
    pub keys: Vec<TrustedKey>,
}

impl TrustStore {
    /// Reads a trust store.
    ///
    /// # Errors
    /// Every mistake of the file, with its place and the mend.
    pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Self, Errors> {
        let source = decode(file_name, bytes)?;
        let reporter = Reporter::new(&source);
        let root = parse(&source, &reporter);
        let file = Table::open(
            &reporter,
            &keys::TRUST,
            root.get_ref(),
            Span::default(),
            "the trust store",
        );
        let threshold = file.integer("threshold");
        let mut list: Vec<TrustedKey> = Vec::new();
        for (span, table) in file.tables("key").into_iter().take(SIGNATURES) {
            let table = Table::open(&reporter, &keys::TRUSTED_KEY, table, span, "this key");
            let name = table.parsed("name", |text| {
                crate::names::check_shown_text(text, 60)
                    .map_err(|reason| Mistake::new(reason, "write a short name"))?;
                Ok(text.to_owned())
            });
            let public = table.parsed("public", |text| {
                PublicKey::parse(text).ok_or_else(|| {
                    Mistake::new(
                        format!("{:?} is no public key", shown(text)),
                        "write \"ed25519:\" and 64 digits, as `bulkhead policy keygen` shows them",
                    )
                })
            });
            let (Some(name), Some(public)) = (name, public) else {
                continue;
            };
            if list
                .iter()
                .any(|key| key.public == public.value || key.name == name.value)
            {
                reporter.error(
                    public.span,
                    "duplicate",
                    "this key or this name is there already",
                    "each key and each name may stand here once: one key cannot count twice",
                );
            }
            list.push(TrustedKey {
                name: name.value,
                public: public.value,
            });
        }
        if let Some(threshold) = threshold.as_ref().filter(|threshold| {
            usize::try_from(threshold.value).is_ok_and(|wanted| wanted > list.len())
        }) {
            let message = format!(
                "{} keys must sign and {} are there",
                threshold.value,
                list.len()
            );
            reporter.error(
                threshold.span,
                "out-of-bounds",
                message,
                "add keys, or lower `threshold`",
            );
        }
        reporter.finish()?;
        let threshold = threshold
            .and_then(|at| usize::try_from(at.value).ok())
            .unwrap_or(1);
        Ok(Self {
            threshold,
            keys: list,
        })
    }

    /// The entry of a key, to be put into a trust store.
    pub fn entry(name: &str, public: PublicKey) -> String {
        format!("[[key]]\nname = \"{name}\"\npublic = \"{public}\"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(keys: &[&PrivateKey], threshold: usize) -> TrustStore {
        let entries: String = keys
            .iter()
            .map(|key| TrustStore::entry(key.name(), key.public()))
            .collect();
        TrustStore::parse(
            "trust.toml",
            format!("threshold = {threshold}\n{entries}").as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn enough_trusted_keys_let_a_policy_in() {
        let (alice, bob) = (
            PrivateKey::generate("alice").unwrap(),
            PrivateKey::generate("bob").unwrap(),
        );
        let mut file = SignatureFile::default();
        file.sign(b"policy", &alice);
        let trust = trust(&[&alice, &bob], 2);
        assert_eq!(
            file.verify(b"policy", &trust),
            Err(SignatureError::TooFew {
                found: 1,
                wanted: 2
            })
        );
        file.sign(b"policy", &bob);
        file.sign(b"policy", &alice);
        let read = SignatureFile::parse(file.to_text().as_bytes()).unwrap();
        assert_eq!(read.verify(b"policy", &trust).unwrap(), ["bob", "alice"]);
        assert!(matches!(
            read.verify(b"policy ", &trust),
            Err(SignatureError::Bad { .. })
        ));
    }

    #[test]
    fn foreign_keys_and_one_key_twice_are_refused() {
        let (alice, mallory) = (
            PrivateKey::generate("alice").unwrap(),
            PrivateKey::generate("mallory").unwrap(),
        );
        let trust = trust(&[&alice], 1);
        let mut file = SignatureFile::default();
        file.sign(b"policy", &alice);
        let twice = file.to_text() + file.to_text().lines().nth(1).unwrap() + "\n";
        assert!(matches!(
            SignatureFile::parse(twice.as_bytes())
                .unwrap()
                .verify(b"policy", &trust),
            Err(SignatureError::Twice { .. })
        ));
        file.sign(b"policy", &mallory);
        assert!(matches!(
            file.verify(b"policy", &trust),
            Err(SignatureError::Foreign { .. })
        ));
        let mut empty = SignatureFile::default();
        assert!(matches!(
            empty.verify(b"policy", &trust),
            Err(SignatureError::TooFew { .. })
        ));
        empty.sign(b"policy", &mallory);
        // Another's signature under the name of a trusted key.
        let forged = empty
            .to_text()
            .replace(&mallory.public().id(), &alice.public().id());
        assert!(matches!(
            SignatureFile::parse(forged.as_bytes())
                .unwrap()
                .verify(b"policy", &trust),
            Err(SignatureError::Bad { .. })
        ));
    }

    #[test]
    fn damaged_signature_files_are_refused() {
        let key = PrivateKey::generate("alice").unwrap();
        let mut file = SignatureFile::default();
        file.sign(b"policy", &key);
        let text = file.to_text();
        for at in 0..text.len() {
            assert!(
                SignatureFile::parse(&text.as_bytes()[..at])
                    .map_or(true, |file| file.entries.is_empty()),
                "cut at {at}"
            );
        }
        for bad in [
            text.replace("key", "kez"),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{text}"),
            text.to_uppercase(),
            text.repeat(2),
            format!("{text}\n"),
        ] {
            assert!(SignatureFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_opened_by_its_passphrase_alone() {
        let key = PrivateKey::generate("alice").unwrap();
        let plain = PrivateKey::parse(&key.to_text(None).unwrap(), None).unwrap();
        assert_eq!(plain.public(), key.public());
        let text = key.to_text(Some("correct horse")).unwrap();
        assert!(!text.contains(&hex(&key.seed)));
        assert_eq!(
            PrivateKey::parse(&text, Some("correct horse"))
                .unwrap()
                .public(),
            key.public()
        );
        assert_eq!(
            PrivateKey::parse(&text, Some("wrong")).unwrap_err(),
            KeyError::WrongPassphrase
        );
        assert_eq!(
            PrivateKey::parse(&text, None).unwrap_err(),
            KeyError::PassphraseNeeded
        );
        assert!(matches!(
            PrivateKey::parse("", None),
            Err(KeyError::Malformed(_))
        ));
        assert!(
            !format!("{key:?}").contains(&hex(&key.seed)),
            "a key's secret is not for logs"
        );
    }

    #[test]
    fn a_trust_store_without_sense_is_refused() {
        let key = PrivateKey::generate("alice").unwrap();
        let entry = TrustStore::entry("alice", key.public());
        for (text, code) in [
            (format!("threshold = 2\n{entry}"), "out-of-bounds"),
            (format!("threshold = 0\n{entry}"), "out-of-bounds"),
            (
                format!("threshold = 1\n{entry}{}", entry.replace("alice", "bob")),
                "duplicate",
            ),
            (entry.clone(), "missing-key"),
            ("threshold = 1".to_owned(), "missing-key"),
            (
                format!("threshold = 1\n{}", entry.replace("ed25519:", "rsa:")),
                "bad-value",
            ),
        ] {
            let errors = TrustStore::parse("trust.toml", text.as_bytes()).unwrap_err();
            assert!(errors.iter().any(|error| error.code == code), "{errors}");
        }
    }
}
