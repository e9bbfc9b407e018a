//! The guest programs: right under user-mode emulation, and the same on our machine with one hart and with two.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use guests::{Guest, compile, initramfs, names, user_mode};
use tempfile::TempDir;
use zone_machine::sbi::Ending;

/// How long a program may take under user-mode emulation, which is the slower one for none of them.
const LIMIT: Duration = Duration::from_secs(120);
/// All programs and the boot.
const BOOT_LIMIT: Duration = Duration::from_secs(400);

/// What user-mode emulation cannot do.
const MACHINE_ONLY: [&str; 1] = ["traced"];

static COMPILED: LazyLock<(TempDir, Vec<PathBuf>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let programs = names()
        .iter()
        .map(|name| compile(name, folder.path()))
        .collect();
    (folder, programs)
});

/// What each program prints under the other CPU.
static EXPECTED: LazyLock<Vec<(String, Vec<String>)>> = LazyLock::new(|| {
    let portable = names()
        .into_iter()
        .zip(&COMPILED.1)
        .filter(|(name, _)| !MACHINE_ONLY.contains(&name.as_str()));
    portable
        .map(|(name, program)| {
            let output = user_mode(program, LIMIT);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success(),
                "{name} under user-mode emulation: {}\n{text}",
                output.status
            );
            (name, text.lines().map(str::to_owned).collect())
        })
        .collect()
});

#[test]
fn programs_are_right_on_another_cpu() {
    for (name, lines) in &*EXPECTED {
        assert_eq!(lines.last().map(String::as_str), Some("ok"), "{name}");
    }
}

fn run(harts: u32) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let outcome = Guest {
        harts,
        memory_mib: 512,
        arguments: "",
        initramfs: &initramfs(&COMPILED.1, None, folder.path()),
        volume: None,
        debugger: None,
        meanwhile: None,
        limit: BOOT_LIMIT,
    }
    .run();
    let mut wrong = Vec::new();
    for name in names() {
        let (end, said) = (outcome.end_of(&name), outcome.said(&name));
        if end != Some("exit 0") || said.last() != Some(&"ok") {
            wrong.push(format!("{name}: {end:?}: {}", said.join("\n    ")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{harts} harts:\n{}\n\n{}",
        wrong.join("\n"),
        outcome.tail()
    );
    for (name, lines) in &*EXPECTED {
        assert_eq!(&outcome.said(name), lines, "{name} on {harts} harts");
    }
    assert!(outcome.lines.iter().any(|line| line == "all programs ran"));
    assert_eq!(outcome.ending, Some(Ending::Off), "{}", outcome.tail());
}

#[test]
fn programs_run_on_one_hart() {
    run(1);
}

#[test]
fn programs_run_on_two_harts() {
    run(2);
}
