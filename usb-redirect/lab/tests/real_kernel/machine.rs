//! Virtual machines that play scenarios and are read through their serial lines.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use kiosk::initramfs::Initramfs;
use kiosk::kernel::Kernel;
use lab::Boot;
use serde_json::Value;

pub struct Machine(lab::Machine);

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where cargo puts what is linked statically: the machine has nothing else.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("static")
}

/// Cargo, to build for the machine with these words.
fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(words)
        .args(["--quiet", "--target", TARGET, "--target-dir"])
        .arg(folder())
        .arg("--config")
        .arg(format!(
            "target.{TARGET}.rustflags=[\"-Ctarget-feature=+crt-static\"]"
        ))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

const NO_STATIC: &str = "the static programs do not build (libc6-dev brings the static C library)";

/// The folder of the programs.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let words = "build --package usb-lab --bin usb-lab --package usb-redirect-host --bin usb-redirect --bin usb-agent";
        let words: Vec<&str> = words.split(' ').collect();
        let status = cargo(&words).status().expect("start cargo");
        assert!(status.success(), "{NO_STATIC}");
        folder().join(TARGET).join("debug")
    })
}

/// An integration test of a package, as a program.
fn test_program(package: &str, test: &str) -> PathBuf {
    let words = ["test", "--no-run", "--message-format", "json"];
    let output = cargo(&words)
        .args(["--package", package, "--test", test])
        .output()
        .expect("start cargo");
    assert!(output.status.success(), "{NO_STATIC}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let programs = messages.filter(|message| message["target"]["name"] == test);
    let mut paths =
        programs.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next().expect("cargo names the test's program")
}

/// Where the product's programs are.
const PROGRAMS: &str = "BULKHEAD_BIN_DIR";

/// What a machine is made of.
pub struct Parts {
    initramfs: Initramfs,
    kernel: Kernel,
    command_line: String,
}

impl Parts {
    /// A machine with these kernel modules that plays a scenario.
    pub fn new(scenario: &str, modules: &[&str]) -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-amd64-kernel");
        let kernel = Kernel::stock(&cache).expect("Debian's kernel");
        let mut initramfs = Initramfs::default();
        for folder in ["dev", "proc", "sys", "tmp"] {
            initramfs.folder(folder);
        }
        initramfs.character_device("dev/console", 5, 1);
        for (place, name) in [("init", "usb-lab"), ("usb-redirect", "usb-redirect")] {
            initramfs.tree(place, &programs().join(name)).unwrap();
        }
        for module in modules {
            assert!(kernel.has_module(module), "the kernel has no {module}");
        }
        initramfs.drivers(&kernel, modules).unwrap();
        Self {
            initramfs,
            kernel,
            command_line: format!("scenario={scenario}"),
        }
    }

    /// With a program of Debian's, where it is here.
    pub fn with_program(mut self, path: &str) -> Self {
        let added = self
            .initramfs
            .program(path.trim_start_matches('/'), Path::new(path));
        added.expect("the program is installed (cargo xtask test does)");
        self
    }

    /// With a program of the product, in `/usr/bin`.
    pub fn with_product(mut self, name: &str) -> Self {
        let folder = std::env::var_os(PROGRAMS)
            .unwrap_or_else(|| panic!("{PROGRAMS} must name the folder with the product's programs, as cargo xtask test sets it"));
        let added = self.initramfs.program(
            &format!("usr/bin/{name}"),
            &PathBuf::from(folder).join(name),
        );
        added.expect("the product is built");
        self
    }

    /// With the tests of a package as a program at `place`, and the package's own program where they look for it.
    pub fn with_tests(mut self, place: &str, package: &str, test: &str, program: &str) -> Self {
        self.initramfs
            .tree(place, &test_program(package, test))
            .unwrap();
        let path = programs().join(program);
        let own = path.to_str().expect("a plain path").trim_start_matches('/');
        self.initramfs.tree(own, &path).unwrap();
        self
    }

    pub fn with_file(mut self, place: &str, content: &[u8]) -> Self {
        self.initramfs.file(place, content);
        self
    }

    /// With a word for the scenario.
    pub fn with_word(mut self, name: &str, word: &str) -> Self {
        self.command_line.push_str(&format!(" {name}={word}"));
        self
    }

    /// Boots it with these QEMU arguments.
    pub fn start(self, arguments: &[&str]) -> Machine {
        Machine(lab::Machine::start(&Boot {
            kernel: &self.kernel.image,
            initramfs: &self.initramfs.finish(),
            command_line: &self.command_line,
            arguments,
            failure: "LAB failed",
        }))
    }
}

impl Machine {
    /// Boots a machine with these kernel modules and QEMU arguments.
    pub fn start(scenario: &str, modules: &[&str], arguments: &[&str]) -> Self {
        Parts::new(scenario, modules).start(arguments)
    }

    /// Waits for the scenario's end, which must be good.
    pub fn finish(&mut self) {
        self.0.wait_for("LAB passed");
    }
}

impl Deref for Machine {
    type Target = lab::Machine;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
