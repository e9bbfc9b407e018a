//! Debian's stock amd64 kernel: fetched by apt, unpacked into a cache, never installed; its modules put in the order they load in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::read;

/// Drivers and file systems that a desktop may need. Unpacked they are a third of the package.
const PARTS: &[&str] = &[
    "./boot/vmlinuz-*",
    "./lib/modules/*/kernel/arch/x86/crypto",
    "./lib/modules/*/kernel/block",
    "./lib/modules/*/kernel/crypto",
    "./lib/modules/*/kernel/drivers/acpi",
    "./lib/modules/*/kernel/drivers/ata",
    "./lib/modules/*/kernel/drivers/block",
    "./lib/modules/*/kernel/drivers/gpu",
    "./lib/modules/*/kernel/drivers/hid",
    "./lib/modules/*/kernel/drivers/i2c",
    "./lib/modules/*/kernel/drivers/input",
    "./lib/modules/*/kernel/drivers/media/cec",
    "./lib/modules/*/kernel/drivers/media/rc",
    "./lib/modules/*/kernel/drivers/mfd",
    "./lib/modules/*/kernel/drivers/net/ethernet/intel/e1000",
    "./lib/modules/*/kernel/drivers/nvme",
    "./lib/modules/*/kernel/drivers/platform",
    "./lib/modules/*/kernel/drivers/scsi",
    "./lib/modules/*/kernel/drivers/usb",
    "./lib/modules/*/kernel/drivers/video",
    "./lib/modules/*/kernel/drivers/virtio",
    "./lib/modules/*/kernel/fs/configfs",
    "./lib/modules/*/kernel/fs/ext4",
    "./lib/modules/*/kernel/fs/jbd2",
    "./lib/modules/*/kernel/fs/mbcache.ko",
    "./lib/modules/*/kernel/lib",
];

/// A kernel and its modules.
#[derive(Debug)]
pub struct Kernel {
    /// Its file, as a boot loader takes it.
    pub image: PathBuf,
    /// Module files by name, with underscores.
    modules: BTreeMap<String, PathBuf>,
}

impl Kernel {
    /// Debian's kernel of the suite that this machine's apt knows, fetched when it is not in `cache` yet.
    ///
    /// # Errors
    /// It cannot be fetched or unpacked.
    pub fn stock(cache: &Path) -> Result<Self> {
        let root = cache.join("desktop");
        if !is_complete(&root) {
            // Only one of several that come at once fetches; the others find it.
            fs::create_dir_all(cache)
                .with_context(|| format!("{} cannot be made", cache.display()))?;
            let lock = fs::File::create(cache.join("lock"))?;
            lock.lock()?;
            if !is_complete(&root) {
                fetch(cache, &root)?;
            }
        }
        let boot = root.join("boot");
        let image = fs::read_dir(&boot)
            .with_context(|| format!("{} cannot be listed", boot.display()))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains("vmlinuz-"))
            .context("the kernel's package has no kernel")?;
        let mut modules = BTreeMap::new();
        collect(&root.join("lib/modules"), &mut modules);
        Ok(Self { image, modules })
    }

    /// Whether it has a module of this name.
    #[must_use]
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.contains_key(&underscored(name))
    }

    /// The files of these modules and of all they depend on, in the order to load them. One of `names` that the kernel has not as a
    /// module is left out: it is built in, or not for this kernel.
    ///
    /// # Errors
    /// A module cannot be read, or depends on one that was not unpacked.
    pub fn load_order(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut order = Vec::new();
        for name in names {
            if self.has_module(name) {
                self.visit(&underscored(name), &mut order)?;
            }
        }
        Ok(order)
    }

    fn visit(&self, name: &str, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        let path = self.modules.get(name).with_context(|| {
            format!("the kernel's module {name} is not among the unpacked parts")
        })?;
        if order.iter().any(|(loaded, _)| loaded == name) {
            return Ok(());
        }
        let bytes = read(path)?;
        for dependency in depends(&bytes) {
            self.visit(&dependency, order)
                .with_context(|| format!("{name} needs {dependency}"))?;
        }
        order.push((name.to_owned(), bytes));
        Ok(())
    }
}

fn fetch(cache: &Path, root: &Path) -> Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(root)?;
    let depends =
        said(Command::new("apt-cache").args(["depends", "--important", "linux-image-amd64"]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .context("apt knows no linux-image-amd64: run apt-get update, on an amd64 Debian system")?;
    said(
        Command::new("apt-get")
            .args(["-q", "-o", "APT::Sandbox::User=root", "download", package])
            .current_dir(cache),
    )?;
    let archive = fs::read_dir(cache)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt fetched no package")?;
    let mut unpack = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("dpkg-deb cannot be run; it is in the package dpkg")?;
    // Not every kernel has each part: tar says so and takes the others.
    Command::new("tar")
        .args(["--extract", "--wildcards", "--directory"])
        .arg(root)
        .args(PARTS)
        .stdin(unpack.stdout.take().map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::null())
        .status()
        .context("tar cannot be run")?;
    ensure!(unpack.wait()?.success(), "the kernel's package is damaged");
    fs::remove_file(&archive)?;
    fs::write(root.join("complete"), PARTS.join("\n"))?;
    Ok(())
}

/// Whether the very parts that are wanted were unpacked there.
fn is_complete(root: &Path) -> bool {
    fs::read_to_string(root.join("complete")).is_ok_and(|parts| parts == PARTS.join("\n"))
}

/// Runs a program and gives what it said.
fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} cannot be run"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn collect(folder: &Path, modules: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, modules);
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            modules.insert(underscored(&name), path.clone());
        }
    }
}

/// The kernel takes dashes and underscores alike.
fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module's `.modinfo` section says it depends on.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let at = module.windows(key.len()).position(|window| window == key);
    let rest = at
        .and_then(|at| module.get(at + key.len()..))
        .unwrap_or_default();
    let list = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(list)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(underscored)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        let module = b"\x7fELF\0license=GPL\0depends=drm,drm-kms-helper\0name=bochs\0";
        assert_eq!(depends(module), ["drm", "drm_kms_helper"]);
        assert!(depends(b"\0depends=\0").is_empty());
        assert!(depends(b"nothing at all").is_empty());
    }
}
