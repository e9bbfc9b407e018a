//! The commands as their users meet them: arguments in, text and exit code out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bulkhead_policy::audit::{Event, FlowRecord, Log};
use bulkhead_policy::{
    Audit, ByteSize, Decider, Directory, Facts, Kind, Mime, Party, Policy, PrivateKey, Request,
    Timestamp,
};

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["office.toml", "office.test.toml"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../assets/policies")
                .join(name);
            std::fs::copy(from, desk.path(name)).unwrap();
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_bulkhead-policy"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("BULKHEAD_KEY_PASSPHRASE")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    fn good(&self, arguments: &[&str]) -> String {
        let (code, out, error) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}\n{out}\n{error}");
        out
    }

    fn json(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let (code, out, error) = self.run(arguments);
        (
            code,
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}\n{error}")),
        )
    }

    /// A key of someone, unprotected, and its entry for a trust store.
    fn key(&self, owner: &str) -> String {
        let file = format!("{owner}.key");
        let out = self.good(&["policy", "keygen", owner, "--out", &file, "--no-passphrase"]);
        out[out.find("[[key]]").unwrap()..].to_owned()
    }
}

#[test]
fn check_tells_mistakes_with_their_places_and_mends() {
    let desk = Desk::new();
    desk.good(&["policy", "check", "office.toml"]);
    desk.write(
        "bad.toml",
        &desk
            .read("office.toml")
            .replace("colour = \"#1565c0\"", "color = \"blue\"")
            .replace("to = \"office\"", "to = \"offcie\""),
    );
    let (code, out, _) = desk.run(&["policy", "check", "bad.toml"]);
    assert_eq!(code, 1);
    for expected in [
        "bad.toml:15:1",
        "did you mean `colour`?",
        "did you mean \"office\"?",
        "^^^^^",
    ] {
        assert!(out.contains(expected), "{expected} is not in\n{out}");
    }
    let (code, json) = desk.json(&["policy", "check", "bad.toml", "--json"]);
    assert_eq!((code, json["ok"].as_bool()), (1, Some(false)));
    assert!(
        json["files"][0]["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .any(|mistake| mistake["location"]["line"] == 15)
    );
    let (code, _, error) = desk.run(&["policy", "check", "nowhere.toml"]);
    assert!(code == 3 && error.contains("nowhere.toml"));
    assert_eq!(desk.run(&["policy", "chek"]).0, 2);
}

#[test]
fn strict_checks_count_warnings() {
    let desk = Desk::new();
    desk.write("loud.toml", &format!("{}\n[[flow]]\nname = \"x\"\nkind = \"drag\"\nfrom = \"any\"\nto = \"any\"\nverdict = \"allow\"\n", desk.read("office.toml")));
    assert!(
        desk.good(&["policy", "check", "loud.toml"])
            .contains("warning[over-broad]")
    );
    assert_eq!(desk.run(&["policy", "check", "loud.toml", "--strict"]).0, 1);
}

#[test]
fn fmt_lays_out_and_only_says_so_when_asked() {
    let desk = Desk::new();
    desk.good(&[
        "policy",
        "fmt",
        "--check",
        "office.toml",
        "office.test.toml",
    ]);
    let whole = desk.read("office.toml");
    desk.write("loose.toml", &whole.replace(" = ", "="));
    assert_eq!(desk.run(&["policy", "fmt", "--check", "loose.toml"]).0, 1);
    assert_ne!(desk.read("loose.toml"), whole);
    desk.good(&["policy", "fmt", "loose.toml"]);
    assert_eq!(desk.read("loose.toml"), whole);
}

#[test]
fn explain_names_rules_and_reasons() {
    let desk = Desk::new();
    let out = desk.good(&[
        "policy",
        "explain",
        "office.toml",
        "clipboard",
        "web",
        "office",
        "--mime",
        "text/plain",
        "--bytes",
        "1KiB",
        "--age",
        "5s",
    ]);
    assert!(
        out.contains("verdict: allow") && out.contains("\"quote from the web\" (office.toml:"),
        "{out}"
    );
    let out = desk.good(&[
        "policy",
        "explain",
        "office.toml",
        "clipboard",
        "office",
        "web",
        "--mime",
        "text/html",
        "--bytes",
        "1KiB",
    ]);
    assert!(
        out.contains("verdict: deny")
            && out.contains("`mime` is text/plain, but here it is text/html"),
        "{out}"
    );
    let (code, json) = desk.json(&[
        "policy",
        "explain",
        "office.toml",
        "file",
        "web",
        "office",
        "--file-name",
        "a.pdf",
        "--bytes",
        "10",
        "--json",
    ]);
    assert_eq!((code, json["verdict"].as_str()), (0, Some("ask")));
    let (code, _, error) = desk.run(&[
        "policy",
        "explain",
        "office.toml",
        "clipboard",
        "web",
        "ofice",
    ]);
    assert!(
        code == 1 && error.contains("its zones are office, web"),
        "{error}"
    );
    let (code, _, error) = desk.run(&[
        "policy",
        "explain",
        "office.toml",
        "url",
        "office",
        "web",
        "--url",
        "https://bank@evil.example/",
    ]);
    assert!(code == 1 && error.contains("user name"), "{error}");
}

#[test]
fn tables_pictures_and_ways() {
    let desk = Desk::new();
    let out = desk.good(&["policy", "matrix", "office.toml"]);
    assert!(
        out.contains("ask*") && out.contains("always denied:"),
        "{out}"
    );
    desk.good(&[
        "policy",
        "matrix",
        "office.toml",
        "--svg",
        "m.svg",
        "--html",
        "m.html",
    ]);
    let (svg, html) = (desk.read("m.svg"), desk.read("m.html"));
    assert!(
        svg.starts_with("<svg")
            && svg.contains("clipboard web → office: allow")
            && svg.ends_with("</svg>\n")
    );
    assert!(
        html.contains("quote from the web") && !html.contains("http://")
            || html.matches("http://").count() == 1,
        "nothing is fetched"
    );
    let out = desk.good(&[
        "policy",
        "reach",
        "office.toml",
        "--from",
        "office",
        "--to",
        "web",
    ]);
    assert!(out.contains("office -> web: ask in 1 hop"), "{out}");
    let (_, json) = desk.json(&["policy", "reach", "office.toml", "--json"]);
    assert_eq!(json["paths"].as_array().unwrap().len(), 2);
    let (_, schema) = desk.json(&["policy", "schema"]);
    assert!(
        schema["properties"]["zone"]["additionalProperties"]["properties"]["colour"].is_object()
    );
}

#[test]
fn a_difference_is_told_in_verdicts() {
    let desk = Desk::new();
    desk.write(
        "new.toml",
        &desk
            .read("office.toml")
            .replace("max-bytes = \"4 KiB\"", "max-bytes = \"8 KiB\"")
            .replace("version = 1", "version = 2"),
    );
    let (code, out, _) = desk.run(&[
        "policy",
        "diff",
        "office.toml",
        "new.toml",
        "--refuse-loosening",
    ]);
    assert_eq!(code, 1);
    assert!(
        out.contains("clipboard office -> web") && out.contains("bytes 8192: deny becomes ask"),
        "{out}"
    );
    desk.good(&[
        "policy",
        "diff",
        "office.toml",
        "office.toml",
        "--refuse-loosening",
    ]);
    assert!(
        desk.good(&["policy", "diff", "new.toml", "office.toml"])
            .contains("lets less through")
    );
}

#[test]
fn from_key_to_installed_and_never_back() {
    let desk = Desk::new();
    let trust = format!("threshold = 2\n{}{}", desk.key("alice"), desk.key("bob"));
    desk.write("trust.toml", &trust);
    desk.good(&["policy", "set-up", "trust.toml", "--store", "store"]);
    assert_eq!(
        desk.run(&["policy", "status", "--store", "store"]).0,
        1,
        "nothing is installed yet"
    );
    desk.good(&["policy", "sign", "office.toml", "--key", "alice.key"]);
    let (code, json) = desk.json(&[
        "policy",
        "install",
        "office.toml",
        "--store",
        "store",
        "--json",
    ]);
    assert_eq!(
        (code, json["refused"].as_str()),
        (1, Some("signature-too-few"))
    );
    desk.good(&["policy", "sign", "office.toml", "--key", "bob.key"]);
    desk.good(&["policy", "verify", "office.toml", "--trust", "trust.toml"]);
    desk.good(&[
        "policy",
        "install",
        "office.toml",
        "--store",
        "store",
        "--dry-run",
    ]);
    assert_eq!(
        desk.run(&["policy", "status", "--store", "store"]).0,
        1,
        "a dry run changes nothing"
    );
    desk.good(&["policy", "install", "office.toml", "--store", "store"]);
    assert!(
        desk.good(&["policy", "status", "--store", "store"])
            .contains("office version 1")
    );
    let version = |number: u32, more: &str| {
        desk.read("office.toml")
            .replace("version = 1", &format!("version = {number}\n{more}"))
    };
    for (name, text) in [
        ("two.toml", version(2, "")),
        (
            "other.toml",
            version(2, "comment = \"other\"").replacen(
                "comment = \"Office work beside the open internet\"\n",
                "",
                1,
            ),
        ),
    ] {
        desk.write(name, &text);
        for key in ["alice.key", "bob.key"] {
            desk.good(&["policy", "sign", name, "--key", key]);
        }
    }
    desk.good(&["policy", "install", "two.toml", "--store", "store"]);
    for (name, code) in [
        ("office.toml", "older-version"),
        ("other.toml", "same-version-other-content"),
    ] {
        let (exit, json) = desk.json(&["policy", "install", name, "--store", "store", "--json"]);
        assert_eq!((exit, json["refused"].as_str()), (1, Some(code)));
    }
    desk.write("two.toml", &(desk.read("two.toml") + "\n"));
    let (exit, json) = desk.json(&[
        "policy", "install", "two.toml", "--store", "store", "--json",
    ]);
    assert_eq!((exit, json["refused"].as_str()), (1, Some("signature-bad")));
    assert!(
        desk.good(&["policy", "status", "--store", "store"])
            .contains("office version 2")
    );
}

#[test]
fn keys_are_protected_and_policies_that_fail_their_tests_are_not_signed() {
    let desk = Desk::new();
    let (code, _, error) = desk.run(&["policy", "keygen", "alice", "--out", "a.key"]);
    assert!(
        code == 1 && error.contains("BULKHEAD_KEY_PASSPHRASE"),
        "{error}"
    );
    desk.write("secret", "a long passphrase\n");
    desk.good(&[
        "policy",
        "keygen",
        "alice",
        "--out",
        "a.key",
        "--passphrase-file",
        "secret",
    ]);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        std::fs::metadata(desk.path("a.key"))
            .unwrap()
            .permissions()
            .mode()
            & 0o077,
        0
    );
    assert_eq!(
        desk.run(&[
            "policy",
            "keygen",
            "alice",
            "--out",
            "a.key",
            "--no-passphrase"
        ])
        .0,
        3,
        "a key is never overwritten"
    );
    assert_eq!(
        desk.run(&["policy", "sign", "office.toml", "--key", "a.key"])
            .0,
        1
    );
    desk.good(&[
        "policy",
        "sign",
        "office.toml",
        "--key",
        "a.key",
        "--passphrase-file",
        "secret",
    ]);
    desk.write(
        "office.toml",
        &desk
            .read("office.toml")
            .replace("max-bytes = \"64 KiB\"", "max-bytes = \"64 B\""),
    );
    let (code, _, error) = desk.run(&[
        "policy",
        "sign",
        "office.toml",
        "--key",
        "a.key",
        "--passphrase-file",
        "secret",
    ]);
    assert!(
        code == 1 && error.contains("does not meet its expectations"),
        "{error}"
    );
}

/// A log in a directory, with flows decided by the office policy.
fn log(desk: &Desk) -> String {
    let now = Timestamp(1_772_409_600);
    let key = PrivateKey::generate("endpoint").unwrap();
    let public = key.public().to_string();
    let settings = Audit {
        segment: ByteSize(64 << 10),
        ..Audit::default()
    };
    let mut log = Log::open(
        Directory::create(&desk.path("log")).unwrap(),
        key,
        &settings,
        now,
    )
    .unwrap();
    let decider =
        Decider::new(Policy::parse("office.toml", desk.read("office.toml").as_bytes()).unwrap());
    for bytes in [100, 5_000, 9_000] {
        let facts = Facts {
            mime: Mime::parse("text/plain").ok(),
            bytes: Some(bytes),
            ..Facts::default()
        };
        let request = Request::new(
            Kind::Clipboard,
            Party::parse("office").unwrap(),
            Party::parse("web").unwrap(),
        )
        .with(facts);
        let mut decision = decider.decide(&request);
        decision.duties.log = bulkhead_policy::LogDetail::Full;
        log.append(
            Event::Flow(Box::new(FlowRecord::new(&decider, &request, &decision))),
            now,
        )
        .unwrap();
    }
    log.close(now).unwrap();
    public
}

#[test]
fn a_log_is_shown_checked_exported_and_replayed() {
    let desk = Desk::new();
    let key = log(&desk);
    let out = desk.good(&["audit", "show", "log", "--verdict", "deny"]);
    assert_eq!(out.lines().count(), 2, "{out}");
    let out = desk.good(&["audit", "verify", "log", "--key", &key]);
    assert!(out.contains("in order"), "{out}");
    let head = out
        .lines()
        .find_map(|line| line.strip_prefix("head "))
        .unwrap()
        .to_owned();
    desk.good(&["audit", "verify", "log", "--includes", &head]);
    assert_eq!(
        desk.run(&["audit", "verify", "log", "--includes", &"0".repeat(63)])
            .0,
        1
    );
    let csv = desk.good(&["audit", "export", "log"]);
    assert_eq!(csv.lines().count(), 4);
    desk.write(
        "wide.toml",
        &desk
            .read("office.toml")
            .replace("max-bytes = \"4 KiB\"", "max-bytes = \"8 KiB\""),
    );
    let out = desk.good(&["policy", "simulate", "wide.toml", "log"]);
    assert!(
        out.contains("was deny, would be ask")
            && out.contains("2 flows stay as they were, 1 change"),
        "{out}"
    );
    let file = desk.path("log/audit-00000001.log");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"bytes\":5000", "\"bytes\":5001", 1)).unwrap();
    let (code, out, _) = desk.run(&["audit", "verify", "log"]);
    assert!(
        code == 1 && out.contains("audit-00000001.log:3: record 3 was changed"),
        "{out}"
    );
    assert_eq!(desk.run(&["audit", "show", "log"]).0, 1);
}
