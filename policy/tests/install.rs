//! Signed policies come in, older and foreign ones stay out, and a power cut at any act leaves a whole policy at work.

mod support;

use bulkhead_policy::{
    Candidate, Circumstances, Directory, ENGINE, PrivateKey, SignatureFile, Store, StoreError,
    Timestamp, TrustStore, VERSION_JUMP,
};
use support::disk::{LOSSES, MemoryDisk};

const NOW: Timestamp = Timestamp(1_772_409_600);

struct Office {
    keys: Vec<PrivateKey>,
    trust: String,
}

impl Office {
    fn new() -> Self {
        let keys: Vec<PrivateKey> = ["alice", "bob", "carol"]
            .into_iter()
            .map(|name| PrivateKey::generate(name).unwrap())
            .collect();
        let entries: String = keys
            .iter()
            .map(|key| TrustStore::entry(key.name(), key.public()))
            .collect();
        Self {
            trust: format!("threshold = 2\n{entries}"),
            keys,
        }
    }

    fn sign(&self, policy: &str) -> Vec<u8> {
        let mut file = SignatureFile::default();
        for key in self.keys.iter().take(2) {
            file.sign(policy.as_bytes(), key);
        }
        file.to_text().into_bytes()
    }

    fn store(&self) -> Store<MemoryDisk> {
        let mut store = Store::new(MemoryDisk::default());
        store.set_up(self.trust.as_bytes()).unwrap();
        store
    }
}

fn policy(version: u64, more: &str) -> String {
    format!(
        "[policy]\nid = \"office\"\nversion = {version}\n{more}\n[zone.web]\ncolour = \"#c62828\"\nimage = \"web\"\n"
    )
}

fn at(now: Timestamp) -> Circumstances {
    Circumstances {
        now,
        engine: ENGINE,
        accept_version_jump: false,
    }
}

fn install<D: bulkhead_policy::Disk>(
    store: &mut Store<D>,
    office: &Office,
    text: &str,
    circumstances: Circumstances,
) -> Result<u64, String> {
    let signatures = office.sign(text);
    let candidate = Candidate {
        name: "policy.toml",
        policy: text.as_bytes(),
        signatures: &signatures,
    };
    match store.install(candidate, circumstances) {
        Ok(accepted) => Ok(accepted.memory.version),
        Err(StoreError::Refused(error)) => {
            assert!(
                error.to_string().len() > 20,
                "an error says what to do: {error}"
            );
            Err(error.code().to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn active(store: &mut Store<MemoryDisk>) -> Option<u64> {
    store
        .active()
        .unwrap()
        .map(|active| active.policy.header.unwrap().version)
}

#[test]
fn versions_go_up_and_never_down() {
    let office = Office::new();
    let mut store = office.store();
    assert_eq!(active(&mut store), None);
    assert_eq!(install(&mut store, &office, &policy(5, ""), at(NOW)), Ok(5));
    assert_eq!(
        install(&mut store, &office, &policy(5, ""), at(NOW)),
        Ok(5),
        "the same once more is no harm"
    );
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(5, "comment = \"other\""),
            at(NOW)
        ),
        Err("same-version-other-content".into())
    );
    assert_eq!(
        install(&mut store, &office, &policy(4, ""), at(NOW)),
        Err("older-version".into())
    );
    assert_eq!(
        active(&mut store),
        Some(5),
        "what was refused changed nothing"
    );
    assert_eq!(install(&mut store, &office, &policy(6, ""), at(NOW)), Ok(6));
    assert_eq!(active(&mut store), Some(6));
    let jump = policy(7 + VERSION_JUMP, "");
    assert_eq!(
        install(&mut store, &office, &jump, at(NOW)),
        Err("version-jump".into())
    );
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(u64::try_from(i64::MAX).unwrap(), ""),
            at(NOW)
        ),
        Err("version-jump".into())
    );
    let meant = Circumstances {
        accept_version_jump: true,
        ..at(NOW)
    };
    assert_eq!(
        install(&mut store, &office, &jump, meant),
        Ok(7 + VERSION_JUMP)
    );
    assert_eq!(
        install(
            &mut store,
            &office,
            &jump
                .replace("office", "kiosk")
                .replace("version = 1", "version = 2"),
            meant
        ),
        Err("other-policy".into())
    );
}

#[test]
fn the_clock_cannot_be_set_back() {
    let office = Office::new();
    let mut store = office.store();
    let window = "not-before = 2026-03-01T00:00:00Z\nexpires = 2026-04-01T00:00:00Z";
    let day = |text: &str| at(Timestamp::parse(text).unwrap());
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(1, window),
            day("2026-02-01T00:00:00Z")
        ),
        Err("not-yet-valid".into())
    );
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(1, window),
            day("2026-04-01T00:00:00Z")
        ),
        Err("expired".into())
    );
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(1, window),
            day("2026-03-10T00:00:00Z")
        ),
        Ok(1)
    );
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(2, window),
            day("2026-03-09T00:00:00Z")
        ),
        Err("clock-set-back".into())
    );
    store
        .see(Timestamp::parse("2026-05-01T00:00:00Z").unwrap())
        .unwrap();
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(2, window),
            day("2026-03-11T00:00:00Z")
        ),
        Err("clock-set-back".into())
    );
    assert_eq!(
        store.active().unwrap().unwrap().last_seen,
        Timestamp::parse("2026-05-01T00:00:00Z").unwrap()
    );
}

#[test]
fn a_policy_follows_the_one_it_names() {
    let office = Office::new();
    let mut store = office.store();
    let first = policy(1, "");
    assert_eq!(install(&mut store, &office, &first, at(NOW)), Ok(1));
    let hash: String = ring::digest::digest(&ring::digest::SHA256, first.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let wrong = policy(2, &format!("previous = \"sha256:{}\"", "0".repeat(64)));
    assert_eq!(
        install(&mut store, &office, &wrong, at(NOW)),
        Err("previous-mismatch".into())
    );
    assert_eq!(
        install(
            &mut store,
            &office,
            &policy(2, &format!("previous = \"sha256:{hash}\"")),
            at(NOW)
        ),
        Ok(2)
    );
}

#[test]
fn what_is_not_signed_as_it_should_be_is_refused() {
    let office = Office::new();
    let mut store = office.store();
    let text = policy(1, "");
    let good = office.sign(&text);
    let mut refuse = |policy: &[u8], signatures: &[u8]| match store.install(
        Candidate {
            name: "p",
            policy,
            signatures,
        },
        at(NOW),
    ) {
        Err(StoreError::Refused(error)) => error.code(),
        other => panic!("{other:?}"),
    };
    let mut one = SignatureFile::default();
    one.sign(text.as_bytes(), &office.keys[0]);
    assert_eq!(
        refuse(text.as_bytes(), one.to_text().as_bytes()),
        "signature-too-few"
    );
    let mut foreign = SignatureFile::parse(&good).unwrap();
    foreign.sign(text.as_bytes(), &PrivateKey::generate("mallory").unwrap());
    assert_eq!(
        refuse(text.as_bytes(), foreign.to_text().as_bytes()),
        "signature-foreign"
    );
    let line = one.to_text().lines().nth(1).unwrap().to_owned();
    assert_eq!(
        refuse(
            text.as_bytes(),
            format!("{}{line}\n", one.to_text()).as_bytes()
        ),
        "signature-twice"
    );
    assert_eq!(
        refuse(text.replace("web", "wep").as_bytes(), &good),
        "signature-bad"
    );
    assert_eq!(
        refuse(&text.as_bytes()[..text.len() - 1], &good),
        "signature-bad"
    );
    assert_eq!(
        refuse(text.as_bytes(), &good[..good.len() - 1]),
        "signature-malformed"
    );
    assert_eq!(refuse(&vec![b' '; (4 << 20) + 1], &good), "too-large");
    let broken = text.replace("colour", "color");
    assert_eq!(
        refuse(broken.as_bytes(), &office.sign(&broken)),
        "policy-mistakes"
    );
    let mark = format!("\u{feff}{text}");
    assert_eq!(
        refuse(mark.as_bytes(), &office.sign(&mark)),
        "policy-mistakes"
    );
    let headless = text.split_once("\n\n").unwrap().1;
    assert_eq!(
        refuse(headless.as_bytes(), &office.sign(headless)),
        "no-header"
    );
    let engine = policy(1, "minimum-engine = \"999.0.0\"");
    assert_eq!(
        refuse(engine.as_bytes(), &office.sign(&engine)),
        "engine-too-old"
    );
    assert_eq!(
        active(&mut store),
        None,
        "nothing of all this was remembered"
    );
    assert!(store.status().unwrap().memory.is_none());
}

#[test]
fn a_store_that_was_tampered_with_says_so() {
    let office = Office::new();
    let mut store = office.store();
    install(&mut store, &office, &policy(3, ""), at(NOW)).unwrap();
    let disk = store.into_disk();
    let tamper = |change: &dyn Fn(&mut MemoryDisk)| {
        let mut disk = disk.clone();
        change(&mut disk);
        Store::new(disk)
    };
    let mut gone = tamper(&|disk| disk.delete("memory"));
    assert!(matches!(gone.active(), Err(StoreError::MemoryLost(_))));
    assert!(
        install(&mut gone, &office, &policy(1, ""), at(NOW)).is_err(),
        "an old policy does not come back"
    );
    let lower = |disk: &mut MemoryDisk| {
        let text = String::from_utf8(disk.content("memory").unwrap().to_vec()).unwrap();
        disk.set("memory", text.replace("version 3", "version 1").as_bytes());
    };
    assert!(matches!(
        tamper(&lower).active(),
        Err(StoreError::MemoryLost(_))
    ));
    let name = disk_file(&disk, ".toml");
    assert!(matches!(
        tamper(&|disk| disk.set(&name, b"[zone.x]")).active(),
        Err(StoreError::FilesLost(_))
    ));
    assert!(matches!(
        tamper(&|disk| disk.delete(&name)).active(),
        Err(StoreError::FilesLost(_))
    ));
    let signatures = disk_file(&disk, ".sig");
    assert!(matches!(
        tamper(&|disk| disk.set(&signatures, b"")).active(),
        Err(StoreError::Refused(_))
    ));
    assert!(matches!(
        tamper(&|disk| disk.delete("trust.toml")).active(),
        Err(StoreError::NoTrust)
    ));
    assert_eq!(active(&mut tamper(&|_| ())), Some(3));
}

fn disk_file(disk: &MemoryDisk, ending: &str) -> String {
    let names = bulkhead_policy::Disk::list(disk).unwrap();
    names
        .into_iter()
        .find(|name| name.starts_with("policy-") && name.ends_with(ending))
        .unwrap()
}

#[test]
fn a_power_cut_at_any_act_leaves_a_whole_policy_at_work() {
    let office = Office::new();
    let mut store = office.store();
    install(&mut store, &office, &policy(1, ""), at(NOW)).unwrap();
    let before = store.into_disk();
    let mut whole = Store::new(MemoryDisk {
        acts: 0,
        ..before.clone()
    });
    install(&mut whole, &office, &policy(2, ""), at(NOW)).unwrap();
    let acts = whole.into_disk().acts;
    assert!(acts >= 16, "four files are replaced, each in four acts");
    let (mut old, mut new) = (0, 0);
    for stop in 0..=acts {
        for loss in LOSSES {
            let mut cut = Store::new(MemoryDisk {
                acts_left: Some(stop),
                acts: 0,
                ..before.clone()
            });
            let result = install(&mut cut, &office, &policy(2, ""), at(NOW));
            let mut store = Store::new(cut.into_disk().after_power_cut(loss));
            let remembered = store.status().unwrap().memory.unwrap().version;
            let version = active(&mut store).expect("a policy is at work");
            assert_eq!(version, remembered, "stopped at act {stop}, {loss:?}");
            assert!(
                result.is_err() || version == 2,
                "what was reported as installed is at work: act {stop}, {loss:?}"
            );
            assert!(store.status().unwrap().is_active);
            if version == 1 {
                old += 1;
            } else {
                new += 1;
            }
            // Whatever happened, the new one can be installed afterwards, and then the old one cannot.
            assert_eq!(
                install(&mut store, &office, &policy(2, ""), at(NOW)),
                Ok(2),
                "act {stop}, {loss:?}"
            );
            assert_eq!(active(&mut store), Some(2));
            assert_eq!(
                install(&mut store, &office, &policy(1, ""), at(NOW)),
                Err("older-version".into())
            );
        }
    }
    assert!(
        old > 10 && new > 10,
        "both ends of the install were met: {old}, {new}"
    );
}

#[test]
fn a_full_disk_leaves_the_old_policy_at_work() {
    let office = Office::new();
    let mut store = office.store();
    install(&mut store, &office, &policy(1, ""), at(NOW)).unwrap();
    let before = store.into_disk();
    for room in (0..2_000).step_by(50) {
        let mut store = Store::new(MemoryDisk {
            room: Some(room),
            ..before.clone()
        });
        let result = install(&mut store, &office, &policy(2, ""), at(NOW));
        let mut store = Store::new(MemoryDisk {
            room: None,
            ..store.into_disk()
        });
        let version = active(&mut store).unwrap();
        assert!(version == 1 || version == 2);
        assert!(result.is_err() || version == 2);
    }
}

#[test]
fn a_real_directory_is_locked_and_must_be_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let office = Office::new();
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("store");
    let mut store = Store::new(Directory::create(&path).unwrap());
    store.set_up(office.trust.as_bytes()).unwrap();
    assert!(
        store.set_up(office.trust.as_bytes()).is_err(),
        "whom a store trusts is not changed in passing"
    );
    install(&mut store, &office, &policy(1, ""), at(NOW)).unwrap();
    assert!(
        Directory::open(&path)
            .unwrap_err()
            .to_string()
            .contains("in use")
    );
    assert!(
        Store::new(Directory::open_to_read(&path).unwrap())
            .status()
            .unwrap()
            .is_active
    );
    drop(store);
    let mut store = Store::new(Directory::open(&path).unwrap());
    assert_eq!(store.active().unwrap().unwrap().signers, ["alice", "bob"]);
    for entry in std::fs::read_dir(&path).unwrap() {
        assert_eq!(
            entry.unwrap().metadata().unwrap().permissions().mode() & 0o077,
            0,
            "files are their owner's alone"
        );
    }
    drop(store);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(
        Directory::open(&path)
            .unwrap_err()
            .to_string()
            .contains("chmod")
    );
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(Directory::open(&link).is_err());
}
