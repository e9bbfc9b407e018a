//! One virtual machine that plays a scenario and is read through its serial line.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use kiosk::initramfs::Initramfs;
use kiosk::kernel::Kernel;
use lab::Boot;

pub struct Machine(lab::Machine);

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
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-amd64-kernel");
        let kernel = Kernel::stock(&cache).expect("Debian's kernel");
        let mut initramfs = Initramfs::default();
        for folder in ["dev", "proc", "sys"] {
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
        Self(lab::Machine::start(&Boot {
            kernel: &kernel.image,
            initramfs: &initramfs.finish(),
            command_line: &format!("scenario={scenario}"),
            arguments,
            failure: "LAB failed",
        }))
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
