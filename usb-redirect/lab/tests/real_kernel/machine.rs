//! One virtual machine that plays a scenario and is read through its serial line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::archive::Archive;
use super::kernel::{self, tool};

/// The longest life of a machine.
const LIFE: Duration = Duration::from_secs(240);

pub struct Machine {
    qemu: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    deadline: Instant,
    _folder: tempfile::TempDir,
}

/// The folder of the programs, linked statically: the machine has nothing but them.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let target = "x86_64-unknown-linux-gnu";
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "usb-lab",
                "--bin",
                "usb-lab",
                "--package",
                "usb-redirect-host",
                "--bin",
                "usb-redirect",
                "--target",
                target,
            ])
            .arg("--target-dir")
            .arg(&folder)
            .arg("--config")
            .arg(format!(
                "target.{target}.rustflags=[\"-Ctarget-feature=+crt-static\"]"
            ))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .expect("start cargo");
        assert!(
            status.success(),
            "the static programs do not build (libc6-dev brings the static C library)"
        );
        folder.join(target).join("debug")
    })
}

impl Machine {
    /// Boots a machine with these kernel modules and QEMU arguments.
    pub fn start(scenario: &str, modules: &[&str], arguments: &[&str]) -> Self {
        let kernel = kernel::stock();
        let mut archive = Archive::default();
        for folder in ["dev", "proc", "sys", "modules"] {
            archive.folder(folder);
        }
        archive.character_device("dev/console", 5, 1);
        let program = |name| fs::read(programs().join(name)).expect("read a program");
        archive.file("init", &program("usb-lab"));
        archive.file("usb-redirect", &program("usb-redirect"));
        let mut order = String::new();
        for (name, bytes) in kernel.load_order(modules) {
            archive.file(&format!("modules/{name}"), &bytes);
            order.push_str(&name);
            order.push('\n');
        }
        archive.file("modules/order", order.as_bytes());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let initramfs = folder.path().join("initramfs");
        fs::write(&initramfs, archive.finish()).expect("write the initramfs");

        let mut qemu = tool("qemu-system-x86_64", "qemu-system-x86")
            .args([
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-m",
                "512",
                "-smp",
                "1",
                "-nodefaults",
                "-no-user-config",
            ])
            .args([
                "-no-reboot",
                "-display",
                "none",
                "-serial",
                "stdio",
                "-kernel",
            ])
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(&initramfs)
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 rdinit=/init scenario={scenario}"
            ))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("start QEMU");
        let output = qemu.stdout.take().expect("a pipe");
        let (give, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if give.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            qemu,
            lines,
            seen: Vec::new(),
            deadline: Instant::now() + LIFE,
            _folder: folder,
        }
    }

    /// Waits for a line that begins so.
    pub fn wait_for(&mut self, beginning: &str) {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    println!("  guest: {line}");
                    assert!(!line.starts_with("LAB failed"), "{line}");
                    let found = line.starts_with(beginning);
                    self.seen.push(line);
                    if found {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no line {beginning:?} within {LIFE:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the machine ended without a line {beginning:?}")
                }
            }
        }
    }

    /// Waits for the scenario's end, which must be good.
    pub fn finish(&mut self) {
        self.wait_for("LAB passed");
    }

    /// Fails when no line so far contained these words.
    pub fn expect_seen(&self, words: &str) {
        assert!(
            self.seen.iter().any(|line| line.contains(words)),
            "the guest never said {words:?}"
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
