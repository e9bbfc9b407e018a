//! What a signed policy must pass before it is put to work. Everything is checked before anything is remembered.

use crate::diagnostic::Errors;
use crate::policy::{Header, LIMITS, Policy};
use crate::signature::{SignatureError, SignatureFile, TrustStore};
use crate::values::{Timestamp, hex};

/// A version further ahead than this needs an explicit word: it would leave no versions to go back up to.
pub const VERSION_JUMP: u64 = 100_000;

/// The engine's version, which a policy's `minimum-engine` is held against.
pub const ENGINE: (u64, u64, u64) = engine();

const fn engine() -> (u64, u64, u64) {
    const fn number(text: &str) -> u64 {
        let mut value = 0;
        let mut bytes = text.as_bytes();
        while let [digit, rest @ ..] = bytes {
            value = value * 10 + (*digit - b'0') as u64;
            bytes = rest;
        }
        value
    }
    (
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        number(env!("CARGO_PKG_VERSION_PATCH")),
    )
}

/// What an endpoint remembers of the policies it took, so that it never goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The policy's name.
    pub id: String,
    /// The highest version taken.
    pub version: u64,
    /// The SHA-256 of that version's file.
    pub hash: [u8; 32],
    /// The latest time that was seen; the clock may not be before it.
    pub last_seen: Timestamp,
}

/// A policy and its signatures, as bytes: read once, checked, and used as they are.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The policy file's name, for messages.
    pub name: &'a str,
    /// The policy's bytes.
    pub policy: &'a [u8],
    /// The signature file's bytes.
    pub signatures: &'a [u8],
}

/// Under which circumstances a policy is checked.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The time.
    pub now: Timestamp,
    /// The engine's version.
    pub engine: (u64, u64, u64),
    /// Whether a version may be far ahead of the one before.
    pub accept_version_jump: bool,
}

/// A policy that passed.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The policy.
    pub policy: Policy,
    /// Who signed it.
    pub signers: Vec<String>,
    /// What is to be remembered.
    pub memory: Memory,
    /// Whether it is the very policy that is remembered already.
    pub is_known: bool,
}

/// Why a policy is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The file is too large to be looked at.
    #[error("the policy file has {found} bytes and at most {} are read", LIMITS.bytes)]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// The signatures do not let it in.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is signed, but it is no policy.
    #[error("the policy is signed, but it has mistakes:\n{0}")]
    Policy(Errors),
    /// It has no header.
    #[error(
        "the policy has no `[policy]` table with `id` and `version`, so it cannot be installed; add it and sign again"
    )]
    NoHeader,
    /// Another policy than the one installed.
    #[error(
        "the policy is \"{found}\" and this endpoint has \"{installed}\"; an endpoint takes only new versions of its own policy"
    )]
    OtherPolicy {
        /// Its name.
        found: String,
        /// The name of the installed one.
        installed: String,
    },
    /// It needs a newer Bulkhead.
    #[error(
        "the policy needs Bulkhead {needed} or newer and this is {found}; update Bulkhead first"
    )]
    EngineTooOld {
        /// What it needs.
        needed: String,
        /// What this is.
        found: String,
    },
    /// The clock is behind the last time that was seen.
    #[error(
        "the clock says {now}, but {last_seen} has been seen already: the clock was set back; set it right first"
    )]
    ClockSetBack {
        /// What the clock says.
        now: Timestamp,
        /// The latest time seen.
        last_seen: Timestamp,
    },
    /// It does not hold yet.
    #[error(
        "the policy holds from {from} on and now it is {now}; install it then, or look at the clock"
    )]
    NotYetValid {
        /// From when.
        from: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// It does not hold any more.
    #[error("the policy expired on {expired} and now it is {now}; have a newer version signed")]
    Expired {
        /// When.
        expired: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// An older version.
    #[error(
        "the policy is version {found} and version {highest} was installed already; an older version never comes back"
    )]
    Older {
        /// Its version.
        found: u64,
        /// The highest version taken.
        highest: u64,
    },
    /// The same version with other bytes.
    #[error(
        "version {version} was installed already with other content (sha256:{installed}); raise `version` and sign again"
    )]
    SameVersionOtherContent {
        /// The version.
        version: u64,
        /// The hash of the installed one.
        installed: String,
    },
    /// A version far ahead.
    #[error(
        "the policy is version {found}, more than {VERSION_JUMP} ahead of {highest}: later versions might not fit; give --accept-version-jump if that is meant"
    )]
    VersionJump {
        /// Its version.
        found: u64,
        /// The highest version taken.
        highest: u64,
    },
    /// It follows another policy than the one installed.
    #[error(
        "the policy follows sha256:{wanted} and installed is sha256:{installed}; install the versions between first, in order"
    )]
    PreviousMismatch {
        /// What it says it follows.
        wanted: String,
        /// What is installed.
        installed: String,
    },
}

impl InstallError {
    /// A stable word for this kind of refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Signature(SignatureError::Malformed { .. }) => "signature-malformed",
            Self::Signature(SignatureError::Foreign { .. }) => "signature-foreign",
            Self::Signature(SignatureError::Bad { .. }) => "signature-bad",
            Self::Signature(SignatureError::Twice { .. }) => "signature-twice",
            Self::Signature(SignatureError::TooFew { .. }) => "signature-too-few",
            Self::Policy(_) => "policy-mistakes",
            Self::NoHeader => "no-header",
            Self::OtherPolicy { .. } => "other-policy",
            Self::EngineTooOld { .. } => "engine-too-old",
            Self::ClockSetBack { .. } => "clock-set-back",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
            Self::Older { .. } => "older-version",
            Self::SameVersionOtherContent { .. } => "same-version-other-content",
            Self::VersionJump { .. } => "version-jump",
            Self::PreviousMismatch { .. } => "previous-mismatch",
        }
    }
}

impl Candidate<'_> {
    /// Checks everything that does not depend on what an endpoint remembers: size, signatures, content.
    ///
    /// # Errors
    /// [`InstallError`].
    pub fn verify(
        &self,
        trust: &TrustStore,
    ) -> Result<(Policy, Header, Vec<String>), InstallError> {
        if self.policy.len() > LIMITS.bytes {
            return Err(InstallError::TooLarge {
                found: self.policy.len(),
            });
        }
        // What is not signed is not even read as a policy.
        let signers = SignatureFile::parse(self.signatures)?.verify(self.policy, trust)?;
        let policy = Policy::parse(self.name, self.policy).map_err(InstallError::Policy)?;
        let header = policy.header.clone().ok_or(InstallError::NoHeader)?;
        Ok((policy, header, signers))
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`InstallError`], the first there is.
    pub fn check(
        &self,
        trust: &TrustStore,
        memory: Option<&Memory>,
        circumstances: Circumstances,
    ) -> Result<Accepted, InstallError> {
        let (policy, header, signers) = self.verify(trust)?;
        let Circumstances {
            now,
            engine,
            accept_version_jump,
        } = circumstances;
        if let Some(needed) = header.minimum_engine.filter(|needed| *needed > engine) {
            let show = |(major, minor, patch): (u64, u64, u64)| format!("{major}.{minor}.{patch}");
            return Err(InstallError::EngineTooOld {
                needed: show(needed),
                found: show(engine),
            });
        }
        if let Some(memory) = memory.filter(|memory| now < memory.last_seen) {
            return Err(InstallError::ClockSetBack {
                now,
                last_seen: memory.last_seen,
            });
        }
        if let Some(from) = header.not_before.filter(|from| now < *from) {
            return Err(InstallError::NotYetValid { from, now });
        }
        if let Some(expired) = header.expires.filter(|expires| now >= *expires) {
            return Err(InstallError::Expired { expired, now });
        }
        let hash = policy.hash();
        let mut is_known = false;
        if let Some(memory) = memory {
            if header.id != memory.id {
                return Err(InstallError::OtherPolicy {
                    found: header.id,
                    installed: memory.id.clone(),
                });
            }
            if header.version < memory.version {
                return Err(InstallError::Older {
                    found: header.version,
                    highest: memory.version,
                });
            }
            if header.version == memory.version && hash != memory.hash {
                return Err(InstallError::SameVersionOtherContent {
                    version: header.version,
                    installed: hex(&memory.hash),
                });
            }
            is_known = hash == memory.hash;
            if let Some(wanted) = header
                .previous
                .filter(|previous| !is_known && *previous != memory.hash)
            {
                return Err(InstallError::PreviousMismatch {
                    wanted: hex(&wanted),
                    installed: hex(&memory.hash),
                });
            }
        }
        // A first version may be a date, such as 20260301, but must leave room above.
        let highest = memory.map_or(0, |memory| memory.version);
        let jump = if memory.is_some() {
            VERSION_JUMP
        } else {
            1_000_000 * VERSION_JUMP
        };
        if header.version - highest > jump && !accept_version_jump {
            return Err(InstallError::VersionJump {
                found: header.version,
                highest,
            });
        }
        let last_seen = memory.map_or(now, |memory| memory.last_seen.max(now));
        let memory = Memory {
            id: header.id,
            version: header.version,
            hash,
            last_seen,
        };
        Ok(Accepted {
            policy,
            signers,
            memory,
            is_known,
        })
    }
}
