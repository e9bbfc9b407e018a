//! Where an endpoint keeps its policy: outside of every zone's reach, and never an older one than before.
//!
//! Installing makes three things durable, one after the other: the files, the memory of the highest version, and which
//! policy is at work. A crash between any two leaves the old policy at work, or the new one; what is remembered is never
//! less than what is at work, and a policy that is remembered but not yet at work is put to work at the next start.

use std::fmt::Write as _;
use std::io;

use ring::digest::{SHA256, digest};

use crate::diagnostic::Errors;
use crate::disk::Disk;
use crate::install::{Accepted, Candidate, Circumstances, InstallError, Memory};
use crate::policy::{LIMITS, Policy};
use crate::signature::TrustStore;
use crate::values::{Timestamp, hex, parse_sha256};

const MEMORY: &str = "memory";
const ACTIVE: &str = "active";
const TRUST: &str = "trust.toml";
const MEMORY_HEAD: &str = "bulkhead-policy-memory 1";
/// The time that was seen is written down once in so many seconds.
const SEEN_EVERY: i64 = 600;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The policy is refused; what is at work stays.
    #[error(transparent)]
    Refused(#[from] InstallError),
    /// The storage failed.
    #[error("the policy store failed: {0}")]
    Disk(#[from] io::Error),
    /// There is no trust store.
    #[error(
        "the policy store has no `trust.toml`; put the keys there whose signatures let a policy in (`bulkhead policy keygen` shows the entry of a key)"
    )]
    NoTrust,
    /// The trust store has mistakes.
    #[error("the trust store has mistakes:\n{0}")]
    Trust(Errors),
    /// The memory is damaged or gone.
    #[error(
        "what the endpoint remembers of its policies is {0}, so nothing keeps an old one out; restore the file `memory` of the policy store from a backup, or set the endpoint up anew"
    )]
    MemoryLost(&'static str),
    /// The files of the policy at work are gone.
    #[error(
        "the files of the policy at work (sha256:{0}) are not in the store or were changed; install that policy again"
    )]
    FilesLost(String),
}

/// What a policy store holds.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it remembers; none where nothing was installed yet.
    pub memory: Option<Memory>,
    /// The keys it trusts.
    pub trust: TrustStore,
    /// Whether the policy it remembers is at work too.
    pub is_active: bool,
}

/// A policy at work.
#[derive(Clone, Debug)]
pub struct Active {
    /// The policy.
    pub policy: Policy,
    /// Who signed it.
    pub signers: Vec<String>,
    /// The latest time seen: the time to go by is never before it.
    pub last_seen: Timestamp,
}

/// A policy store on some storage.
#[derive(Debug)]
pub struct Store<D> {
    disk: D,
}

impl<D: Disk> Store<D> {
    /// A store on a directory.
    pub fn new(disk: D) -> Self {
        Self { disk }
    }

    /// The storage.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Puts keys to trust into a store that has none yet.
    ///
    /// # Errors
    /// [`StoreError`] where the keys have mistakes, there are some already, or the storage fails.
    pub fn set_up(&mut self, trust: &[u8]) -> Result<TrustStore, StoreError> {
        if self.disk.read(TRUST, LIMITS.bytes)?.is_some() {
            let error = io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it has a trust store already; to change whom it trusts, edit `trust.toml` there as its owner",
            );
            return Err(error.into());
        }
        let parsed = TrustStore::parse(TRUST, trust).map_err(StoreError::Trust)?;
        self.disk.replace(TRUST, trust)?;
        Ok(parsed)
    }

    fn trust(&self) -> Result<TrustStore, StoreError> {
        let bytes = self
            .disk
            .read(TRUST, LIMITS.bytes)?
            .ok_or(StoreError::NoTrust)?;
        TrustStore::parse(TRUST, &bytes).map_err(StoreError::Trust)
    }

    fn memory(&self) -> Result<Option<Memory>, StoreError> {
        if let Some(bytes) = self.disk.read(MEMORY, 4096)? {
            return Memory::parse(&bytes)
                .map(Some)
                .ok_or(StoreError::MemoryLost("damaged"));
        }
        // Policies without memory mean that someone removed it.
        let installed = self.disk.list()?.iter().any(|name| name == ACTIVE);
        if installed {
            Err(StoreError::MemoryLost("gone"))
        } else {
            Ok(None)
        }
    }

    /// What the store holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn status(&self) -> Result<Status, StoreError> {
        let (trust, memory) = (self.trust()?, self.memory()?);
        let is_active = memory.as_ref().is_some_and(|memory| {
            self.active_hash()
                .is_ok_and(|active| active == Some(memory.hash))
        });
        Ok(Status {
            memory,
            trust,
            is_active,
        })
    }

    /// Checks a policy as installing would, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(
        &self,
        candidate: Candidate<'_>,
        circumstances: Circumstances,
    ) -> Result<Accepted, StoreError> {
        Ok(candidate.check(&self.trust()?, self.memory()?.as_ref(), circumstances)?)
    }

    /// Installs a policy: checks everything, then remembers it, then puts it to work.
    ///
    /// # Errors
    /// [`StoreError`]. Where the policy is refused nothing has changed.
    pub fn install(
        &mut self,
        candidate: Candidate<'_>,
        circumstances: Circumstances,
    ) -> Result<Accepted, StoreError> {
        let accepted = self.check(candidate, circumstances)?;
        let hash = hex(&accepted.memory.hash);
        self.disk
            .replace(&format!("policy-{hash}.toml"), candidate.policy)?;
        self.disk
            .replace(&format!("policy-{hash}.sig"), candidate.signatures)?;
        self.disk
            .replace(MEMORY, accepted.memory.to_text().as_bytes())?;
        self.activate(&accepted.memory)?;
        Ok(accepted)
    }

    fn activate(&mut self, memory: &Memory) -> Result<(), StoreError> {
        let hash = hex(&memory.hash);
        self.disk
            .replace(ACTIVE, format!("sha256:{hash}\n").as_bytes())?;
        // The files of older policies are of no use any more. That they are gone need not be durable.
        for name in self.disk.list()? {
            if name.starts_with("policy-") && !name.contains(&hash) {
                let _ = self.disk.remove(&name);
            }
        }
        Ok(())
    }

    fn active_hash(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let bytes = self.disk.read(ACTIVE, 4096)?;
        Ok(bytes
            .and_then(|bytes| parse_sha256(std::str::from_utf8(&bytes).ok()?.strip_suffix('\n')?)))
    }

    /// The policy that is remembered, checked again as if it were new, but for its time. None where none was installed yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn peek(&self) -> Result<Option<Active>, StoreError> {
        let trust = self.trust()?;
        let Some(memory) = self.memory()? else {
            return Ok(None);
        };
        let hash = hex(&memory.hash);
        let file = format!("policy-{hash}.toml");
        let read = |name: &str| self.disk.read(name, LIMITS.bytes);
        let (Some(policy), Some(signatures)) = (read(&file)?, read(&format!("policy-{hash}.sig"))?)
        else {
            return Err(StoreError::FilesLost(hash));
        };
        if digest(&SHA256, &policy).as_ref() != memory.hash {
            return Err(StoreError::FilesLost(hash));
        }
        let candidate = Candidate {
            name: &file,
            policy: &policy,
            signatures: &signatures,
        };
        let (policy, _, signers) = candidate.verify(&trust)?;
        Ok(Some(Active {
            policy,
            signers,
            last_seen: memory.last_seen,
        }))
    }

    /// The same, for the endpoint that goes by it: a policy that is remembered and not yet at work, because of a crash, is
    /// put to work.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn active(&mut self) -> Result<Option<Active>, StoreError> {
        let active = self.peek()?;
        if let (Some(active), Some(memory)) = (&active, self.memory()?)
            && self.active_hash()? != Some(active.policy.hash())
        {
            self.activate(&memory)?;
        }
        Ok(active)
    }

    /// Remembers that a time was seen, so that the clock cannot be set back behind it. Writes once in ten minutes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn see(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let Some(memory) = self.memory()? else {
            return Ok(());
        };
        if now.0 >= memory.last_seen.0.saturating_add(SEEN_EVERY) {
            self.disk.replace(
                MEMORY,
                Memory {
                    last_seen: now,
                    ..memory
                }
                .to_text()
                .as_bytes(),
            )?;
        }
        Ok(())
    }
}

impl Memory {
    fn to_text(&self) -> String {
        let Self {
            id,
            version,
            hash,
            last_seen,
        } = self;
        let mut text = format!(
            "{MEMORY_HEAD}\nid {id}\nversion {version}\nhash sha256:{}\nseen {last_seen}\n",
            hex(hash)
        );
        let check = digest(&SHA256, text.as_bytes());
        writeln!(text, "check {}", hex(check.as_ref())).unwrap_or_default();
        text
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let body = text.get(..text.find("check ")?)?;
        let mut lines = text.lines();
        if lines.next()? != MEMORY_HEAD {
            return None;
        }
        let mut field = |key: &str| lines.next()?.strip_prefix(key);
        let memory = Self {
            id: field("id ")?.to_owned(),
            version: field("version ")?.parse().ok()?,
            hash: parse_sha256(field("hash ")?)?,
            last_seen: Timestamp::parse(field("seen ")?)?,
        };
        (field("check ")? == hex(digest(&SHA256, body.as_bytes()).as_ref())).then_some(memory)
    }
}
