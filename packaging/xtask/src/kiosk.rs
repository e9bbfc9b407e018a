//! `cargo xtask kiosk`: a kernel and an initramfs that boot into the desktop and nothing else.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::packages;
use crate::project::{self, IMAGE_STORE, Project, cargo, step};

/// Builds everything and packs it.
pub fn run(project: &Project, words: &[&str]) -> Result<ExitCode> {
    let (policy, words) = match words {
        [] => (None, &[][..]),
        ["--", rest @ ..] => (None, rest),
        [policy] => (Some(*policy), &[][..]),
        [policy, "--", rest @ ..] => (Some(*policy), rest),
        _ => bail!("write `cargo xtask kiosk [POLICY] [-- WORDS]`"),
    };
    // Relative to where the person is, not to the checkout.
    let policy = match policy {
        Some(policy) => PathBuf::from(policy).canonicalize()?,
        None => project.path("assets/demo/policy.toml"),
    };
    packages::install(packages::BUILD)?;
    project.build()?;
    project.image()?;
    step("building the kiosk");
    project::run(cargo(project).args(["build", "--release", "--package=kiosk", "--bins"]))?;
    let out = project.path("out/kiosk");
    project::run(
        Command::new(project.release().join("kiosk"))
            .arg("--programs")
            .arg(project.release())
            .arg("--policy")
            .arg(policy)
            .arg("--image-store")
            .arg(project.path(IMAGE_STORE))
            .arg("--cache")
            .arg(project.path("out/cache"))
            .arg("--out")
            .arg(&out)
            .arg("--")
            .args(words),
    )?;
    println!(
        "boot these two with `rdinit=/init` on the kernel's command line, for example:\n  qemu-system-x86_64 -m 4096 -smp 2 -kernel \
         {out}/kernel -initrd {out}/initramfs -append rdinit=/init -vga virtio -usb -device usb-tablet",
        out = out.display()
    );
    Ok(ExitCode::SUCCESS)
}
