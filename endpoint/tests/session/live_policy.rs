//! A new policy is taken by the running desktop: what it gives is there, what it withdraws is gone.

use std::time::{Duration, Instant};

use compositor::{Colour, InputEvent, KeyMovement};
use endpoint::audit::Event;

use crate::clips;
use crate::desk::{Desk, LEFT_SUPER, Setting, policy_text};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("live_policy::zones_come_and_go", zones_come_and_go),
    (
        "live_policy::a_changed_zone_looks_so_and_says_what_waits",
        a_changed_zone_looks_so_and_says_what_waits,
    ),
    (
        "live_policy::a_bad_policy_leaves_the_one_at_work",
        a_bad_policy_leaves_the_one_at_work,
    ),
    (
        "live_policy::a_jail_that_is_required_now_is_required_of_running_zones",
        a_jail_that_is_required_now_is_required_of_running_zones,
    ),
    (
        "live_policy::chords_and_focus_are_as_the_policy_says",
        chords_and_focus_are_as_the_policy_says,
    ),
    (
        "live_policy::an_expired_policy_denies_and_a_renewed_one_allows",
        an_expired_policy_denies_and_a_renewed_one_allows,
    ),
    (
        "live_policy::an_unrenewed_policy_locks",
        an_unrenewed_policy_locks,
    ),
    (
        "live_policy::a_picture_shows_whom_the_policy_lets_it",
        a_picture_shows_whom_the_policy_lets_it,
    ),
    (
        "live_policy::only_a_signed_and_newer_policy_comes_from_the_store",
        only_a_signed_and_newer_policy_comes_from_the_store,
    ),
];

const REQUIRED: &str = "\"seccomp\", \"user\"";

fn two_zones() -> String {
    policy_text(REQUIRED, "")
}

/// The policy without its second zone.
fn one_zone() -> String {
    let text = two_zones();
    text[..text.find("[zone.corp]").unwrap()].to_owned()
}

fn third_zone() -> String {
    "[zone.third]\ncolour = \"#1565c0\"\nshape = \"star\"\nimage = \"desk\"\nautostart = true\nmemory = \"256 MiB\"\n".to_owned()
}

fn recorded(desk: &Desk, act: &str) -> bool {
    desk.recorded()
        .iter()
        .any(|event| event.contains(&format!("act: \"{act}\"")))
}

fn zones_come_and_go() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.focus("corp");
    let process = desk.session.zone("corp").unwrap().process_id().unwrap();
    desk.install(&format!("{}{}", one_zone(), third_zone()));
    // At once: no window, no keyboard, no name.
    assert!(desk.session.zone("corp").is_err());
    assert_eq!(desk.session.scene().focus(), None);
    assert_eq!(desk.session.scene().zones().count(), 2);
    assert!(recorded(&desk, "withdrawn"));
    let path = format!("/proc/{process}");
    desk.until("its process to end", |_| {
        !std::path::Path::new(&path).exists()
    });
    desk.until_ready("third");
    desk.assert_goes_on("open");
    // It comes back as what it is by then.
    desk.install(&two_zones());
    desk.until_ready("corp");
    assert!(desk.session.zone("third").is_err());
    desk.assert_goes_on("open");
}

fn a_changed_zone_looks_so_and_says_what_waits() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    let process = desk.session.zone("corp").unwrap().process_id();
    let changed = two_zones().replace("#c62828", "#6a1b9a").replace(
        "shape = \"hexagon\"",
        "shape = \"cross\"\ndisplay-name = \"Works\"",
    );
    desk.install(&changed);
    let id = desk.session.zone("corp").unwrap().id();
    let identity = desk.session.scene().zones().find(|zone| zone.id == id);
    let identity = identity.unwrap();
    assert_eq!(identity.name.as_str(), "Works");
    assert_eq!(identity.colour, Colour::rgb(0x6a, 0x1b, 0x9a));
    assert!(identity.weakened.is_none());
    let corp = desk.session.zone("corp").unwrap();
    assert!(!corp.needs_restart() && corp.process_id() == process);
    // Memory cannot change under a running machine.
    desk.install(&changed.replace("256 MiB", "128 MiB"));
    let corp = desk.session.zone("corp").unwrap();
    assert!(corp.needs_restart() && corp.process_id() == process);
    let identity = desk.session.scene().zones().find(|zone| zone.id == id);
    let mark = identity.unwrap().outdated.clone().unwrap();
    assert_eq!(mark.as_str(), "the policy changed its memory");
    assert!(recorded(&desk, "restart-needed"));
    desk.session.power("corp", Instant::now()).unwrap();
    desk.until_status("corp", "off");
    desk.session.start("corp").unwrap();
    desk.until_console("corp", "start corp 128 MiB");
    assert!(!desk.session.zone("corp").unwrap().needs_restart());
}

fn a_bad_policy_leaves_the_one_at_work() {
    let mut desk = clips::copied(&clips::policy("allow", ""), "");
    let hash = desk.session.policy().hash();
    for bad in [
        "",
        "[zone.open]\n",
        "nonsense",
        "\u{feff}",
        &"x".repeat(5 << 20),
    ] {
        let before = desk.recorded().len();
        desk.write_policy(bad);
        let records = std::sync::Arc::clone(&desk.records);
        desk.until("the refusal", |_| {
            let records = records.lock().unwrap();
            records
                .iter()
                .skip(before)
                .any(|event| matches!(event, Event::Session { act, .. } if act == "policy-refused"))
        });
        assert_eq!(desk.session.policy().hash(), hash);
    }
    desk.keys(&clips::CHORD);
    desk.until_console("corp", "clipboard offered");
    desk.assert_goes_on("open");
}

fn a_jail_that_is_required_now_is_required_of_running_zones() {
    let mut desk = Desk::attacked("corp", "weak-jail");
    desk.until_ready("open");
    desk.until_ready("corp");
    desk.install(&policy_text("\"seccomp\", \"user\", \"root\"", ""));
    desk.until_status("corp", "killed");
    assert!(desk.recorded_kill("corp").unwrap().contains("empty-root"));
    desk.assert_goes_on("open");
}

fn chords_and_focus_are_as_the_policy_says() {
    let mut desk = Desk::new();
    desk.until_ready("open");
    desk.until_ready("corp");
    let input = "[input]\nattention-key = \"Pause\"\nfocus = \"click\"\n[input.chords]\nfocus-next = \"Ctrl+Alt+N\"\n";
    desk.install(&format!("{input}{}", two_zones()));
    desk.focus("corp");
    assert_eq!(desk.session.scene().focus(), None, "a click only");
    desk.install(&format!(
        "{}{}",
        input.replace("\"click\"", "\"chord\""),
        two_zones()
    ));
    desk.keys(&[29, 56, 49]);
    assert!(
        desk.session.scene().focus().is_some(),
        "by the policy's chord"
    );
    let before = desk.session.scene().focus();
    desk.keys(&[LEFT_SUPER, 15]);
    assert_eq!(
        desk.session.scene().focus(),
        before,
        "and no more by the usual one"
    );
    desk.keys(&[119]);
    assert!(desk.session.scene().is_trusted_up(), "the attention key");
    // No zone has seen any of it.
    for zone in ["open", "corp"] {
        assert!(
            !desk.console(zone).contains("key "),
            "{}",
            desk.console(zone)
        );
    }
    let key = |code, movement| InputEvent::Key { code, movement };
    let now = Instant::now();
    desk.session.input(key(119, KeyMovement::Pressed), now);
    desk.session.input(key(119, KeyMovement::Released), now);
}

fn header(version: u64, times: &str) -> String {
    format!("[policy]\nid = \"test\"\nversion = {version}\n{times}\n")
}

fn from_now(seconds: i64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let at = i64::try_from(now.as_secs()).unwrap() + seconds;
    bulkhead_policy::Timestamp(at).to_string()
}

fn an_expired_policy_denies_and_a_renewed_one_allows() {
    let times = |from: i64, seconds: i64| {
        format!(
            "issued = {}\nexpires = {}",
            from_now(from),
            from_now(seconds)
        )
    };
    let text = |version, seconds| {
        format!(
            "{}{}",
            header(version, &times(-1000, seconds)),
            clips::policy("allow", "")
        )
    };
    let mut desk = clips::copied(&text(1, 30), "");
    desk.keys(&clips::CHORD);
    desk.until_console("corp", "clipboard offered");
    // The desktop finds out by itself when the time comes, and takes back what was offered.
    desk.install(&text(2, 2));
    desk.until_console("corp", "clipboard taken back");
    desk.keys(&clips::CHORD);
    desk.run_for(Duration::from_millis(200));
    assert_eq!(desk.console("corp").matches("clipboard offered").count(), 1);
    assert!(
        desk.flows()
            .iter()
            .any(|flow| flow.verdict == "deny" && flow.reason.is_some())
    );
    desk.install(&text(3, 1000));
    desk.keys(&clips::CHORD);
    desk.until("another offer", |session| {
        let console = session.zone("corp").unwrap().console().tail(200_000);
        console.matches("clipboard offered").count() == 2
    });
}

fn an_unrenewed_policy_locks() {
    let text = |version, issued: i64| {
        let lockout = "[lockout]\nafter = \"1 h\"\nwarn = \"10 min\"\nthen = \"lock-zones\"\n";
        let issued = format!("issued = {}", from_now(issued));
        format!("{}{lockout}{}", header(version, &issued), two_zones())
    };
    let mut desk = Desk::with_policy(&text(1, -3000), &Setting::default());
    desk.until_ready("open");
    desk.until_ready("corp");
    assert!(!desk.session.is_locked());
    desk.install(&text(2, -3598));
    desk.until("the lock", |session| session.is_locked());
    desk.focus("open");
    assert!(
        !desk.shows_its_colour("open"),
        "no pixel of a zone is shown"
    );
    assert!(recorded(&desk, "locked"));
    desk.install(&text(3, -10));
    assert!(!desk.session.is_locked(), "renewed");
    desk.assert_goes_on("open");
}

fn only_a_signed_and_newer_policy_comes_from_the_store() {
    use bulkhead_policy::{Candidate, Circumstances, Directory, ENGINE, PrivateKey};
    use bulkhead_policy::{SignatureFile, Store, Timestamp, TrustStore};
    use endpoint::policy_source::PolicySource;

    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("store");
    let key = PrivateKey::generate("admin").unwrap();
    let trust = format!(
        "threshold = 1\n{}",
        TrustStore::entry("admin", key.public())
    );
    Store::new(Directory::create(&directory).unwrap())
        .set_up(trust.as_bytes())
        .unwrap();
    let install = |version: u64, key: &PrivateKey| {
        let policy = format!("{}{}", header(version, ""), two_zones());
        let mut signatures = SignatureFile::default();
        signatures.sign(policy.as_bytes(), key);
        let signatures = signatures.to_text();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let circumstances = Circumstances {
            now: Timestamp(i64::try_from(now).unwrap()),
            engine: ENGINE,
            accept_version_jump: false,
        };
        let candidate = Candidate {
            name: "policy.toml",
            policy: policy.as_bytes(),
            signatures: signatures.as_bytes(),
        };
        let mut store = Store::new(Directory::open(&directory).unwrap());
        store.install(candidate, circumstances).map(|_| ())
    };
    let source = PolicySource::Store(directory.clone());
    assert!(source.load().is_err(), "nothing is installed yet");
    install(3, &key).unwrap();
    let mut desk = Desk::with_source(source, &Setting::default());
    desk.until_ready("corp");
    let version = |desk: &Desk| desk.session.policy().header.as_ref().unwrap().version;
    assert_eq!(version(&desk), 3);
    install(4, &key).unwrap();
    desk.until("version 4", |session| {
        session.policy().header.as_ref().unwrap().version == 4
    });
    let foreign = PrivateKey::generate("mallory").unwrap();
    assert!(install(5, &foreign).is_err() && install(2, &key).is_err());
    // Nor does one come in that somebody writes over the files.
    let file = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension().is_some_and(|end| end == "toml") && !path.ends_with("trust.toml")
        })
        .unwrap();
    let forged = std::fs::read_to_string(&file)
        .unwrap()
        .replace("256 MiB", "512 MiB");
    std::fs::write(&file, forged).unwrap();
    std::fs::write(directory.join("active.new"), "sha256:0\n").unwrap();
    std::fs::rename(directory.join("active.new"), directory.join("active")).unwrap();
    let records = std::sync::Arc::clone(&desk.records);
    desk.until("the refusal", |_| {
        let records = records.lock().unwrap();
        records
            .iter()
            .any(|event| matches!(event, Event::Session { act, .. } if act == "policy-refused"))
    });
    assert_eq!(version(&desk), 4);
    desk.assert_goes_on("open");
}

fn a_picture_shows_whom_the_policy_lets_it() {
    let text = |verdict: &str| {
        let zones =
            two_zones().replace("[zone.corp]\n", "[zone.corp]\nscreenshots = \"visible\"\n");
        format!(
            "{zones}\n[[flow]]\nname = \"pictures\"\nkind = \"screenshot\"\nfrom = \"any\"\nto = \"host\"\nverdict = \"{verdict}\"\n"
        )
    };
    let mut desk = Desk::with_policy(&text("allow"), &Setting::default());
    desk.until_ready("open");
    desk.until_ready("corp");
    let pictures = desk.state.path().join("pictures");
    let take = |desk: &mut Desk| {
        endpoint::present::picture::take_wanted(&mut desk.session, Instant::now());
        let files = std::fs::read_dir(&pictures).map(|files| files.count());
        let shown = read_picture(&pictures);
        let _ = std::fs::remove_dir_all(&pictures);
        (files.unwrap_or(0), shown)
    };
    let corp = crate::zone::colour_of("corp");
    let open = crate::zone::colour_of("open");
    desk.keys(&[LEFT_SUPER, 99]);
    let (files, shown) = take(&mut desk);
    assert_eq!(files, 1);
    assert!(
        shown.contains(&corp) && !shown.contains(&open),
        "whose zone says so, alone"
    );
    desk.install(&text("deny"));
    desk.keys(&[LEFT_SUPER, 99]);
    let (files, shown) = take(&mut desk);
    assert!(files == 1 && !shown.contains(&corp));
    desk.install(&text("ask"));
    desk.keys(&[LEFT_SUPER, 99]);
    assert_eq!(take(&mut desk).0, 0, "not before the answer");
    desk.until("a question", |session| {
        session.scene().answerable().is_some()
    });
    desk.keys(&[compositor::keys::TAB]);
    desk.keys(&[compositor::keys::ENTER]);
    let (files, shown) = take(&mut desk);
    assert!(files == 1 && shown.contains(&corp) && !shown.contains(&open));
    let flows = desk.flows();
    let verdicts: Vec<&str> = flows.iter().map(|flow| flow.verdict.as_str()).collect();
    assert_eq!(verdicts, ["allow", "deny", "ask"]);
}

/// The colours of the one picture in a directory.
fn read_picture(directory: &std::path::Path) -> std::collections::HashSet<u32> {
    let Ok(mut files) = std::fs::read_dir(directory) else {
        return std::collections::HashSet::new();
    };
    let file = std::fs::File::open(files.next().unwrap().unwrap().path()).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(file));
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut bytes).unwrap();
    bytes
        .chunks_exact(3)
        .map(|rgb| u32::from_be_bytes([0, rgb[0], rgb[1], rgb[2]]))
        .collect()
}
