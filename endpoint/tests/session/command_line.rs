//! The program itself: exit codes and what it says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use endpoint::ZoneLine;
use guest_image::Sha256;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "command_line::a_whole_run_without_a_display",
        a_whole_run_without_a_display,
    ),
    (
        "command_line::mistakes_have_their_exit_codes",
        mistakes_have_their_exit_codes,
    ),
    (
        "command_line::check_host_tells_a_table",
        check_host_tells_a_table,
    ),
    (
        "command_line::images_are_imported_listed_and_verified",
        images_are_imported_listed_and_verified,
    ),
    (
        "command_line::an_interrupt_shuts_down_in_good_order",
        an_interrupt_shuts_down_in_good_order,
    ),
    (
        "command_line::zones_are_listed_stopped_and_started",
        zones_are_listed_stopped_and_started,
    ),
    (
        "command_line::the_demo_policy_is_in_order",
        the_demo_policy_is_in_order,
    ),
];

/// The program and this one as its zone program, side by side, with a store that has one image.
pub(crate) struct Installed {
    directory: tempfile::TempDir,
}

impl Installed {
    pub(crate) fn new() -> Self {
        let installed = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let copy = |from: &Path, name: &str| std::fs::copy(from, installed.path(name)).unwrap();
        copy(Path::new(env!("CARGO_BIN_EXE_bulkhead")), "bulkhead");
        copy(&std::env::current_exe().unwrap(), "bulkhead-zone");
        write_image(&installed.path("image"), "desk");
        let imported = installed.run(&["image", "import", "image"]);
        assert!(imported.status.success(), "{imported:?}");
        std::fs::write(
            installed.path("policy.toml"),
            crate::desk::policy_text("\"seccomp\"", ""),
        )
        .unwrap();
        installed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bulkhead"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear();
        for (variable, place) in [
            ("XDG_STATE_HOME", "state"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(variable, self.path(place));
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn write_image(directory: &Path, name: &str) {
    std::fs::create_dir_all(directory).unwrap();
    let mut manifest = format!(
        "format = 1\narchitecture = \"riscv64\"\nname = \"{name}\"\nrecipe = \"{}\"\n",
        Sha256::of(b"recipe")
    );
    for file in ["kernel", "initramfs", "root.squashfs"] {
        let bytes = file.repeat(100);
        std::fs::write(directory.join(file), &bytes).unwrap();
        manifest.push_str(&format!(
            "\n[[file]]\nname = \"{file}\"\nsize = {}\nsha256 = \"{}\"\n",
            bytes.len(),
            Sha256::of(bytes.as_bytes())
        ));
    }
    manifest.push_str("\n[[package]]\nname = \"bash\"\nversion = \"5\"\n");
    std::fs::write(directory.join("manifest.toml"), manifest).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn a_whole_run_without_a_display() {
    let installed = Installed::new();
    let script = "wait-ready corp timeout 25\nwait-ready open timeout 25\nfocus corp\nkey a\nwait-console corp key 30 up timeout 20\n";
    std::fs::write(installed.path("demo.script"), script).unwrap();
    let output = installed.run(&[
        "run",
        "--policy",
        "policy.toml",
        "--headless",
        "--size",
        "1000x700",
        "--script",
        "demo.script",
        "--screenshot",
        "end.png",
        "-v",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(installed.path("end.png").is_file());
    let audit =
        std::fs::read_to_string(installed.path("state/bulkhead/audit/audit-00000001.log")).unwrap();
    let events: Vec<serde_json::Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |act: &str| events.iter().filter(|line| line["act"] == act).count();
    assert_eq!(
        (of("at-work"), of("off"), of("ended")),
        (1, 2, 1),
        "{audit}"
    );
    let started = |line: &&serde_json::Value| line["what"] == "zone" && line["act"] == "started";
    assert_eq!(events.iter().filter(started).count(), 2, "{audit}");
    assert_eq!(events.last().unwrap()["what"], "closed", "{audit}");
    // The chain holds.
    let verified = installed.run(&["audit", "verify", "state/bulkhead/audit"]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    let console =
        std::fs::read_to_string(installed.path("state/bulkhead/corp.console.log")).unwrap();
    assert!(console.contains("key 30 down"), "{console}");
}

fn mistakes_have_their_exit_codes() {
    let installed = Installed::new();
    let expect = |arguments: &[&str], code: i32, text: &str| {
        let output = installed.run(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    };
    expect(&["run"], 3, "--policy");
    expect(
        &["run", "--policy", "policy.toml", "--size", "10x10"],
        2,
        "1280x800",
    );
    expect(
        &["run", "--policy", "missing.toml", "--headless"],
        3,
        "missing.toml cannot be read",
    );
    std::fs::write(
        installed.path("bad.toml"),
        "[zone.open]\ncolor = \"#112233\"\nimage = \"desk\"\n",
    )
    .unwrap();
    expect(
        &["run", "--policy", "bad.toml", "--headless"],
        3,
        "bad.toml:2:1",
    );
    expect(&["policy", "check", "bad.toml"], 1, "");
    let other = crate::desk::policy_text("\"seccomp\"", "").replacen("\"desk\"", "\"nothing\"", 1);
    std::fs::write(installed.path("image.toml"), other).unwrap();
    expect(
        &["run", "--policy", "image.toml", "--headless"],
        5,
        "image.toml:6:",
    );
    std::fs::write(installed.path("bad.script"), "# first\nfrobnicate\n").unwrap();
    expect(
        &[
            "run",
            "--policy",
            "policy.toml",
            "--headless",
            "--script",
            "bad.script",
        ],
        6,
        "bad.script:2: there is no command",
    );
    expect(&["image", "verify", "nothing"], 5, "nothing");
    if cfg!(feature = "window") {
        expect(&["run", "--policy", "policy.toml"], 7, "--headless");
    }
    expect(
        &[
            "run",
            "--policy",
            "policy.toml",
            "--headless",
            "--zone-program",
            "nowhere",
        ],
        1,
        "nowhere is not there",
    );
}

fn check_host_tells_a_table() {
    let installed = Installed::new();
    let output = installed.run(&["check-host"]);
    let table = String::from_utf8(output.stdout).unwrap();
    for feature in [
        "KVM",
        "userfaultfd",
        "jail: landlock ",
        "jail: user-namespace ",
        "X11 display",
        "USB",
        "huge pages",
        "memory",
    ] {
        assert!(
            table.lines().any(|line| line.starts_with(feature)),
            "no line for {feature}: {table}"
        );
    }
    let json = installed.run(&["check-host", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        json["findings"].as_array().unwrap().len(),
        table.lines().count()
    );
}

fn images_are_imported_listed_and_verified() {
    let installed = Installed::new();
    let listed = String::from_utf8(installed.run(&["image", "list"]).stdout).unwrap();
    assert!(listed.starts_with("desk  sha256:"), "{listed}");
    assert!(installed.run(&["image", "verify", "desk"]).status.success());
    assert!(installed.run(&["image", "verify"]).status.success());
    let hash = listed.trim().rsplit(':').next().unwrap().to_owned();
    let kernel = installed
        .path("data/bulkhead/images")
        .join(hash)
        .join("kernel");
    let mut bytes = std::fs::read(&kernel).unwrap();
    bytes[7] ^= 1;
    std::fs::remove_file(&kernel).unwrap();
    std::fs::write(&kernel, bytes).unwrap();
    assert_eq!(
        installed.run(&["image", "verify", "desk"]).status.code(),
        Some(5)
    );
}

/// Starts the desktop; gives it when both zones are ready.
fn running(installed: &Installed) -> Child {
    // The script ends only when the zones are up; `--for` keeps the show open after it.
    std::fs::write(
        installed.path("up.script"),
        "wait-ready corp timeout 25\nwait-ready open timeout 25\nscreenshot up.png\n",
    )
    .unwrap();
    let arguments = [
        "run",
        "--policy",
        "policy.toml",
        "--headless",
        "--script",
        "up.script",
        "--for",
        "60",
    ];
    let running = installed.command(&arguments).spawn().unwrap();
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !installed.path("up.png").exists() {
        assert!(
            std::time::Instant::now() < give_up,
            "the zones did not come up"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    running
}

fn interrupt(running: &mut Child) {
    let process = rustix::process::Pid::from_child(running);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
}

fn zones_are_listed_stopped_and_started() {
    let installed = Installed::new();
    let none = installed.run(&["zone", "list"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("start one with `bulkhead run`"));

    let mut desktop = running(&installed);
    let line = |zone: &str| {
        let listed = installed.run(&["zone", "list"]);
        let text = String::from_utf8(listed.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with(zone));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let until = |zone: &str, words: &str| {
        let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !line(zone).contains(words) {
            assert!(std::time::Instant::now() < give_up, "{}", line(zone));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    until("corp", "running, ready");
    let done = |arguments: &[&str]| {
        let output = installed.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(done(&["zone", "stop", "corp"]).contains("stopping"));
    until("corp", "off");
    assert!(done(&["zone", "start", "corp"]).contains("starting"));
    until("corp", "running, ready");
    done(&["zone", "stop", "--now", "corp"]);
    until("corp", "killed: the user killed it");
    let process = || {
        let listed = done(&["zone", "list", "--json"]);
        let zones: Vec<ZoneLine> = serde_json::from_str(&listed).unwrap();
        let open = zones.into_iter().find(|zone| zone.name == "open").unwrap();
        open.process
    };
    let before = process();
    assert!(done(&["zone", "restart", "open"]).contains("stopping"));
    until("open", "running, ready");
    assert_ne!(process(), before);

    let unknown = installed.run(&["zone", "start", "nowhere"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("the policy has"), "{unknown:?}");
    interrupt(&mut desktop);
}

fn an_interrupt_shuts_down_in_good_order() {
    let installed = Installed::new();
    interrupt(&mut running(&installed));
    let audit =
        std::fs::read_to_string(installed.path("state/bulkhead/audit/audit-00000001.log")).unwrap();
    assert!(!audit.contains("\"killed\""), "{audit}");
    assert!(
        audit
            .trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("\"closed\"")
    );
}

fn the_demo_policy_is_in_order() {
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo/policy.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .args(["policy", "check", policy])
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        said(&output)
    );
    // It may be tried at any time, so it never expires; and it takes whatever image the demo has just built.
    let found = text
        .lines()
        .filter(|line| line.starts_with("warning[") || line.starts_with("error["));
    let found: Vec<&str> = found
        .filter(|line| !line.starts_with("warning[no-expiry]"))
        .collect();
    assert!(found.is_empty(), "{text}");
}
