//! Where things of this checkout are, and how they are built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};

/// This checkout.
#[derive(Debug)]
pub struct Project {
    root: PathBuf,
}

/// The checkout's own image store.
pub const IMAGE_STORE: &str = "out/images";
/// Where packages are kept between builds.
const CACHE: &str = "out/cache";

impl Project {
    /// The checkout that this program was built from.
    pub fn find() -> Result<Self> {
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = Path::new(&manifest)
            .join("../..")
            .canonicalize()
            .context("the checkout is gone")?;
        Ok(Self { root })
    }

    /// A path below the checkout.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Where cargo puts release builds.
    pub fn release(&self) -> PathBuf {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.path("target"), PathBuf::from);
        self.root.join(target).join("release")
    }

    /// The endpoint's program.
    pub fn bulkhead(&self) -> PathBuf {
        self.release().join("bulkhead")
    }

    /// What tests and benchmarks learn of all this.
    pub fn environment(&self) -> [(&'static str, OsString); 3] {
        [
            ("BULKHEAD_BIN_DIR", self.release().into()),
            ("BULKHEAD_IMAGE_STORE", self.path(IMAGE_STORE).into()),
            ("BULKHEAD_CACHE", self.path(CACHE).into()),
        ]
    }

    /// Builds the product in release.
    pub fn build(&self) -> Result<()> {
        step("building bulkhead and bulkhead-zone");
        run(cargo(self).args([
            "build",
            "--release",
            "--package",
            "bulkhead",
            "--package",
            "zone-machine",
            "--package",
            "usb-redirect-host",
            "--package",
            "accessibility-bus",
            "--bins",
        ]))
    }

    /// Builds the guest image and puts it into the checkout's own store.
    pub fn image(&self) -> Result<()> {
        step("building the guest image from Debian packages");
        // Only the newest: the demo's policy names the image, and two of one name are refused.
        match std::fs::remove_dir_all(self.path(IMAGE_STORE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("the old image store cannot be removed");
            }
            _ => {}
        }
        run(Command::new(self.bulkhead())
            .args(["image", "build", "--import", "--out"])
            .arg(self.path("out/image"))
            .arg("--cache")
            .arg(self.path(CACHE))
            .arg("--image-store")
            .arg(self.path(IMAGE_STORE)))
    }
}

/// Says what begins now.
pub fn step(what: &str) {
    println!("==> {what}");
}

/// The cargo that runs this program, in the checkout.
pub fn cargo(project: &Project) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&project.root);
    cargo
}

/// Runs a program to its end, which must be a good one.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{name} could not be started"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// A program's end as this program's.
pub fn code(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::from(2), ExitCode::from)
}
