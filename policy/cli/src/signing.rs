//! Commands about keys, signatures and the policy store.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bulkhead_policy::{
    Candidate, Circumstances, Decider, Directory, ENGINE, Expectations, InstallError, Policy,
    PrivateKey, SignatureFile, Standing, Store, StoreError, TrustStore,
};
use clap::Args;
use serde_json::json;

use crate::STORE;
use crate::inspect::beside;
use crate::output::{Failure, Outcome, name, now, print, print_json, read, replace};

fn refused(error: impl ToString) -> Failure {
    Failure::Refused(error.to_string())
}

/// Where the passphrase of a key comes from.
#[derive(Clone, Debug, Args)]
struct Passphrase {
    /// File whose first line is the passphrase of the key
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// Passphrase of the key; better given in the environment than on the command line
    #[arg(
        long,
        env = "BULKHEAD_KEY_PASSPHRASE",
        hide_env_values = true,
        conflicts_with = "passphrase_file"
    )]
    passphrase: Option<String>,
}

impl Passphrase {
    fn get(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.passphrase_file else {
            return Ok(self.passphrase.clone());
        };
        let text = String::from_utf8(read(path)?)
            .map_err(|_| Failure::Refused(format!("{} is no text", path.display())))?;
        Ok(Some(text.lines().next().unwrap_or("").to_owned()))
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Keygen {
    /// Whose key it is: a short name
    owner: String,
    /// The file to write the private key to; must not be there yet
    #[arg(long)]
    out: PathBuf,
    /// Leave the private key unprotected
    #[arg(long)]
    no_passphrase: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

impl Keygen {
    pub(crate) fn run(&self, json: bool) -> Result<Outcome, Failure> {
        let passphrase = if self.no_passphrase {
            None
        } else {
            self.passphrase.get()?
        };
        if passphrase.is_none() && !self.no_passphrase {
            let message = "give a passphrase by BULKHEAD_KEY_PASSPHRASE or --passphrase-file, or --no-passphrase to leave the key unprotected";
            return Err(Failure::Refused(message.to_owned()));
        }
        if passphrase
            .as_ref()
            .is_some_and(|passphrase| passphrase.chars().count() < 8)
        {
            return Err(Failure::Refused(
                "the passphrase has fewer than 8 characters; take a longer one".to_owned(),
            ));
        }
        let key = PrivateKey::generate(&self.owner).map_err(refused)?;
        let entry = TrustStore::entry(&self.owner, key.public());
        TrustStore::parse(
            "the new entry",
            format!("threshold = 1\n{entry}").as_bytes(),
        )
        .map_err(Failure::Mistakes)?;
        let text = key.to_text(passphrase.as_deref()).map_err(refused)?;
        let write = || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&self.out)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| Failure::Write {
            path: self.out.clone(),
            source,
        })?;
        if json {
            print_json(
                &json!({ "ok": true, "file": name(&self.out), "id": key.public().id(), "public": key.public().to_string() }),
            );
        } else {
            print(&format!(
                "wrote the private key {} to {}\nkeep it off the endpoints; put this into their trust stores:\n\n{entry}",
                key.public().id(),
                self.out.display()
            ));
        }
        Ok(Outcome::Good)
    }
}

/// The signature file beside a policy: policy.toml.sig.
fn signature_path(file: &Path, given: Option<&Path>) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".sig");
    given.map_or_else(|| beside.into(), Path::to_owned)
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Sign {
    /// The policy file
    file: PathBuf,
    /// The private key
    #[arg(long)]
    key: PathBuf,
    /// The signature file; the default is the policy file's name with .sig
    #[arg(long)]
    signature: Option<PathBuf>,
    /// Sign also where the file of expectations beside the policy is not met
    #[arg(long)]
    skip_tests: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

impl Sign {
    pub(crate) fn run(&self, json: bool) -> Result<Outcome, Failure> {
        let bytes = read(&self.file)?;
        let policy = Policy::parse(&name(&self.file), &bytes).map_err(Failure::Mistakes)?;
        let header = policy
            .header
            .clone()
            .ok_or_else(|| refused(InstallError::NoHeader))?;
        let tests = beside(&self.file);
        if !self.skip_tests && tests.exists() {
            let report = Expectations::parse(&name(&tests), &read(&tests)?)
                .map_err(Failure::Mistakes)?
                .test(&Decider::new(policy.clone()));
            if !report.failed.is_empty() {
                return Err(Failure::Refused(format!(
                    "the policy does not meet its expectations, so it is not signed (--skip-tests signs it all the same)\n{report}"
                )));
            }
        }
        let key_text = String::from_utf8(read(&self.key)?)
            .map_err(|_| Failure::Refused(format!("{} is no key file", self.key.display())))?;
        let key = PrivateKey::parse(&key_text, self.passphrase.get()?.as_deref())
            .map_err(|error| Failure::Refused(format!("{}: {error}", self.key.display())))?;
        let path = signature_path(&self.file, self.signature.as_deref());
        let mut signatures = if path.exists() {
            SignatureFile::parse(&read(&path)?)
                .map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))?
        } else {
            SignatureFile::default()
        };
        let before = signatures.key_ids().count();
        signatures.sign(&bytes, &key);
        replace(&path, signatures.to_text().as_bytes())?;
        let hash: String = policy
            .hash()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let count = signatures.key_ids().count();
        if json {
            print_json(
                &json!({ "ok": true, "signature": name(&path), "id": header.id, "version": header.version, "hash": format!("sha256:{hash}"), "keys": signatures.key_ids().collect::<Vec<_>>() }),
            );
        } else {
            print(&format!(
                "signed {} version {} (sha256:{hash})\nby \"{}\", key {}; {} now has {count} {}\n",
                header.id,
                header.version,
                key.name(),
                key.public().id(),
                path.display(),
                if count == 1 {
                    "signature"
                } else {
                    "signatures"
                }
            ));
            if before > 0 && count == before {
                print(
                    "this key's earlier signature was replaced; other signatures in the file count only if the policy is still the one they signed\n",
                );
            }
        }
        Ok(Outcome::Good)
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Verify {
    /// The policy file
    file: PathBuf,
    /// The trust store
    #[arg(long)]
    trust: PathBuf,
    /// The signature file; the default is the policy file's name with .sig
    #[arg(long)]
    signature: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, json: bool) -> Result<Outcome, Failure> {
        let trust = TrustStore::parse(&name(&self.trust), &read(&self.trust)?)
            .map_err(Failure::Mistakes)?;
        let (policy, signatures) = (
            read(&self.file)?,
            read(&signature_path(&self.file, self.signature.as_deref()))?,
        );
        let candidate = Candidate {
            name: &name(&self.file),
            policy: &policy,
            signatures: &signatures,
        };
        let (_, header, signers) = candidate.verify(&trust).map_err(install_failure)?;
        if json {
            print_json(
                &json!({ "ok": true, "id": header.id, "version": header.version, "signers": signers }),
            );
        } else {
            print(&format!(
                "{} version {}: signed by {} ({} needed)\n",
                header.id,
                header.version,
                signers.join(", "),
                trust.threshold
            ));
        }
        Ok(Outcome::Good)
    }
}

fn install_failure(error: InstallError) -> Failure {
    match error {
        InstallError::Policy(errors) => Failure::Mistakes(errors),
        other => refused(other),
    }
}

fn store_failure(path: &Path) -> impl Fn(StoreError) -> Failure + '_ {
    move |error| match error {
        StoreError::Refused(error) => install_failure(error),
        StoreError::Disk(source) => Failure::Write {
            path: path.to_owned(),
            source,
        },
        other => refused(other),
    }
}

/// Why a store could not be opened, with what to do where there is none.
fn no_store(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |source| match source.kind() {
        std::io::ErrorKind::NotFound => Failure::Refused(format!(
            "there is no policy store at {}; `bulkhead policy set-up` makes one, --store names another",
            path.display()
        )),
        _ => Failure::Read {
            path: path.to_owned(),
            source,
        },
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SetUp {
    /// The trust store: `threshold = …` and the keys' entries
    trust: PathBuf,
    /// The policy store to make
    #[arg(long, default_value = STORE)]
    store: PathBuf,
}

impl SetUp {
    pub(crate) fn run(&self, json: bool) -> Result<Outcome, Failure> {
        let bytes = read(&self.trust)?;
        TrustStore::parse(&name(&self.trust), &bytes).map_err(Failure::Mistakes)?;
        let disk = Directory::create(&self.store).map_err(|source| Failure::Write {
            path: self.store.clone(),
            source,
        })?;
        let trust = Store::new(disk)
            .set_up(&bytes)
            .map_err(store_failure(&self.store))?;
        if json {
            print_json(
                &json!({ "ok": true, "store": name(&self.store), "threshold": trust.threshold, "keys": trust.keys.len() }),
            );
        } else {
            print(&format!(
                "made {}: policies need {} of {} keys\n",
                self.store.display(),
                trust.threshold,
                trust.keys.len()
            ));
        }
        Ok(Outcome::Good)
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Install {
    /// The policy file
    file: PathBuf,
    /// The signature file; the default is the policy file's name with .sig
    #[arg(long)]
    signature: Option<PathBuf>,
    /// The policy store
    #[arg(long, default_value = STORE)]
    store: PathBuf,
    /// Take a version that is far ahead of the one before
    #[arg(long)]
    accept_version_jump: bool,
    /// Check everything and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Install {
    pub(crate) fn run(&self, json: bool) -> Result<Outcome, Failure> {
        // Read once: what is checked is what is installed, whatever becomes of the files meanwhile.
        let (policy, signatures) = (
            read(&self.file)?,
            read(&signature_path(&self.file, self.signature.as_deref()))?,
        );
        let candidate = Candidate {
            name: &name(&self.file),
            policy: &policy,
            signatures: &signatures,
        };
        let circumstances = Circumstances {
            now: now(),
            engine: ENGINE,
            accept_version_jump: self.accept_version_jump,
        };
        let opened = if self.dry_run {
            Directory::open_to_read(&self.store)
        } else {
            Directory::open(&self.store)
        };
        let disk = opened.map_err(no_store(&self.store))?;
        let mut store = Store::new(disk);
        let result = if self.dry_run {
            store.check(candidate, circumstances)
        } else {
            store.install(candidate, circumstances)
        };
        if json && let Err(StoreError::Refused(error)) = &result {
            print_json(
                &json!({ "ok": false, "refused": error.code(), "error": error.to_string() }),
            );
            return Ok(Outcome::Found);
        }
        let accepted = result.map_err(store_failure(&self.store))?;
        let done = if self.dry_run {
            "would be installed"
        } else if accepted.is_known {
            "was installed already"
        } else {
            "is installed"
        };
        if json {
            print_json(
                &json!({ "ok": true, "id": accepted.memory.id, "version": accepted.memory.version, "signers": accepted.signers, "was_known": accepted.is_known, "dry_run": self.dry_run }),
            );
        } else {
            print(&format!(
                "{} version {} {done}, signed by {}\n",
                accepted.memory.id,
                accepted.memory.version,
                accepted.signers.join(", ")
            ));
        }
        Ok(Outcome::Good)
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusOf {
    /// The policy store
    #[arg(long, default_value = STORE)]
    store: PathBuf,
}

impl StatusOf {
    pub(crate) fn run(&self, json: bool) -> Result<Outcome, Failure> {
        let disk = Directory::open_to_read(&self.store).map_err(no_store(&self.store))?;
        let store = Store::new(disk);
        let status = store.status().map_err(store_failure(&self.store))?;
        let keys: Vec<_> = status
            .trust
            .keys
            .iter()
            .map(|key| json!({ "name": key.name, "id": key.public.id() }))
            .collect();
        let Some(memory) = &status.memory else {
            if json {
                print_json(
                    &json!({ "ok": false, "installed": null, "threshold": status.trust.threshold, "keys": keys }),
                );
            } else {
                print(&format!(
                    "no policy is installed; policies need {} of {} keys\n",
                    status.trust.threshold,
                    status.trust.keys.len()
                ));
            }
            return Ok(Outcome::Found);
        };
        let active = store.peek().map_err(store_failure(&self.store))?;
        let time = now().max(memory.last_seen);
        let standing = active.as_ref().map(|active| active.policy.standing(time));
        let words = match standing {
            None => "its files are gone".to_owned(),
            Some(Standing::InForce) => "in force".to_owned(),
            Some(Standing::EndsSoon(end)) => format!("in force, must be renewed by {end}"),
            Some(Standing::NotYet(from)) => format!("not in force before {from}"),
            Some(Standing::Expired(end)) => format!("expired on {end}; all flows are denied"),
            Some(Standing::LockedOut { since, lock_zones }) => format!(
                "not renewed by {since}; all flows are denied{}",
                if lock_zones {
                    " and zones are locked"
                } else {
                    ""
                }
            ),
        };
        let in_force = matches!(standing, Some(Standing::InForce | Standing::EndsSoon(_)));
        let clock_is_behind = now() < memory.last_seen;
        let signers = active.map(|active| active.signers).unwrap_or_default();
        let hash: String = memory
            .hash
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if json {
            print_json(&json!({
                "ok": in_force && status.is_active, "id": memory.id, "version": memory.version, "hash": format!("sha256:{hash}"), "signers": signers,
                "at_work": status.is_active, "standing": words, "last_seen": memory.last_seen, "clock_is_behind": clock_is_behind,
                "threshold": status.trust.threshold, "keys": keys,
            }));
        } else {
            let mut text = format!(
                "policy     {} version {}\nhash       sha256:{hash}\nsigned by  {} ({} needed)\nstanding   {words}\nlast seen  {}\n",
                memory.id,
                memory.version,
                signers.join(", "),
                status.trust.threshold,
                memory.last_seen
            );
            if !status.is_active {
                text.push_str("it is remembered but not yet at work; the endpoint puts it to work at its next start\n");
            }
            if clock_is_behind {
                text.push_str("the clock is behind the time last seen; set it right\n");
            }
            for key in &status.trust.keys {
                text.push_str(&format!(
                    "trusts     {} (key {})\n",
                    key.name,
                    key.public.id()
                ));
            }
            print(&text);
        }
        Ok(Outcome::good_if(in_force && status.is_active))
    }
}
