//! `kiosk`: builds a boot image. `cargo xtask kiosk` calls it.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use kiosk::kernel::Kernel;
use kiosk::{DRIVERS, Recipe};

/// Builds a kiosk's kernel and initramfs from Debian's kernel and this project's programs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where bulkhead, bulkhead-zone and kiosk-init are.
    #[arg(long, value_name = "DIR")]
    programs: PathBuf,
    /// The policy that the kiosk runs.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The store with the policy's guest images.
    #[arg(long, value_name = "DIR")]
    image_store: PathBuf,
    /// Where fetched packages are kept.
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// The directory for the two files.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// More words for `bulkhead run`, such as `--theme=light`.
    #[arg(last = true)]
    words: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let kernel = Kernel::stock(&arguments.cache.join("debian-amd64-kernel"))?;
    let program = |name| arguments.programs.join(name);
    let words: Vec<&str> = [
        "run",
        "--kms",
        "--policy=/etc/bulkhead/policy.toml",
        "--image-store=/usr/share/bulkhead/images",
    ]
    .into_iter()
    .chain(arguments.words.iter().map(String::as_str))
    .collect();
    let recipe = Recipe {
        kernel: &kernel,
        drivers: DRIVERS,
        init: &program("kiosk-init"),
        programs: &[program("bulkhead"), program("bulkhead-zone")],
        files: &[
            ("etc/bulkhead/policy.toml", &arguments.policy),
            ("usr/share/bulkhead/images", &arguments.image_store),
        ],
        arguments: &words,
    };
    let initramfs = recipe.initramfs()?;
    fs::create_dir_all(&arguments.out)?;
    write(&arguments.out.join("initramfs"), &initramfs)?;
    let image = fs::read(&kernel.image).context("read the kernel")?;
    write(&arguments.out.join("kernel"), &image)
}

/// Writes a file and names it. An unfinished one is never found under its name.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    println!("{} ({} MB)", path.display(), bytes.len() / 1_000_000);
    Ok(())
}
