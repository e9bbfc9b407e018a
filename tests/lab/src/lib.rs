//! Virtual machines for tests: one QEMU each, with emulation alone, read by its serial line, driven and looked at by QMP.
//!
//! Everything here panics when it goes wrong, as tests do. No machine outlives its time or its test.
#![forbid(unsafe_code)]

mod qmp;
mod vnc;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub use qmp::{Act, Picture, Qmp};
pub use vnc::Viewer;

/// The longest life of a machine.
const LIFE: Duration = Duration::from_secs(240);

/// A machine to be started.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The kernel's file.
    pub kernel: &'a Path,
    /// Its initramfs.
    pub initramfs: &'a [u8],
    /// More words for the kernel.
    pub command_line: &'a str,
    /// More words for QEMU.
    pub arguments: &'a [&'a str],
    /// A line that begins so means that the test has failed.
    pub failure: &'a str,
}

/// A machine that runs.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    failure: String,
    deadline: Instant,
    viewer: Option<Viewer>,
    folder: tempfile::TempDir,
}

impl Machine {
    /// Starts a machine.
    #[must_use]
    pub fn start(boot: &Boot<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let initramfs = folder.path().join("initramfs");
        fs::write(&initramfs, boot.initramfs).expect("write the initramfs");
        let qmp = folder.path().join("qmp");
        let mut qemu = Command::new("qemu-system-x86_64")
            // Half of the memory is what the initramfs may unpack to: programs with their line tables.
            .args(["-accel", "tcg", "-cpu", "max", "-m", "1536", "-smp", "1"])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", qmp.display()))
            .arg("-vnc")
            .arg(format!("unix:{}", folder.path().join("vnc").display()))
            .arg("-kernel")
            .arg(boot.kernel)
            .arg("-initrd")
            .arg(&initramfs)
            .arg("-append")
            // On a busy machine the emulated timer fails the kernel's check, which would end it.
            .arg(format!(
                "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init {}",
                boot.command_line
            ))
            .args(boot.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect(
                "QEMU cannot be started: apt-get install qemu-system-x86 (cargo xtask test does)",
            );
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
            failure: boot.failure.to_owned(),
            deadline: Instant::now() + LIFE,
            viewer: None,
            folder,
        }
    }

    /// Waits for a line that begins so.
    pub fn wait_for(&mut self, beginning: &str) {
        self.wait_until(beginning, |line| line.starts_with(beginning));
    }

    /// Waits for a line with these words in it.
    pub fn wait_for_words(&mut self, words: &str) {
        self.wait_until(words, |line| line.contains(words));
    }

    fn wait_until(&mut self, what: &str, is_it: impl Fn(&str) -> bool) {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if is_it(self.hear(line)) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no line {what:?} within {LIFE:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the machine ended without a line {what:?}")
                }
            }
        }
    }

    /// Waits for the machine to turn itself off.
    pub fn wait_for_end(&mut self) {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => drop(self.hear(line)),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("the machine still ran after {LIFE:?}"),
            }
        }
    }

    /// Reads what it has said meanwhile, and fails if that was a failure, or if its time is over.
    pub fn check(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.hear(line);
        }
        assert!(Instant::now() < self.deadline, "{LIFE:?} are over");
    }

    /// Fails when no line so far contained these words.
    pub fn expect_seen(&self, words: &str) {
        assert!(
            self.seen.iter().any(|line| line.contains(words)),
            "the guest never said {words:?}"
        );
    }

    /// Unplugs the screen and plugs in one of another size.
    pub fn plug_screen(&mut self, width: u16, height: u16) {
        let place = self.folder.path().join("vnc");
        self.viewer
            .get_or_insert_with(|| Viewer::connect(&place))
            .set_size(width, height);
    }

    /// The machine's monitor.
    #[must_use]
    pub fn qmp(&self) -> Qmp {
        Qmp::connect(&self.folder.path().join("qmp"))
    }

    fn hear(&mut self, line: String) -> &str {
        println!("  guest: {line}");
        assert!(!line.starts_with(&self.failure), "{line}");
        self.seen.push(line);
        self.seen.last().map_or("", String::as_str)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
