//! Boot images that run nothing but Bulkhead.
//!
//! An image is two files, a kernel and an initramfs. The kernel is Debian's own, unpacked from its package; the initramfs holds the
//! drivers a desktop needs, our programs with the libraries they are linked to, a policy and guest images, and `kiosk-init` as the
//! only other program. There is no shell, no service manager and no login.
#![forbid(unsafe_code)]

pub mod initramfs;
pub mod kernel;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use initramfs::Initramfs;
use kernel::Kernel;

/// Drivers for what a desktop machine or a virtual one may have: screens, keyboards and pointers, state on a disk.
pub const DRIVERS: &[&str] = &[
    "ahci",
    "amdgpu",
    "ast",
    "atkbd",
    "bochs",
    "button",
    "cirrus-qemu",
    "ehci-pci",
    "evdev",
    "ext4",
    "hid-generic",
    "hid-multitouch",
    "i2c-hid-acpi",
    "i915",
    "mgag200",
    "nvme",
    "ohci-pci",
    "psmouse",
    "qxl",
    "radeon",
    "sd_mod",
    "simpledrm",
    "uhci-hcd",
    "usbhid",
    "virtio-blk",
    "virtio-gpu",
    "virtio-input",
    "virtio-pci",
    "vmwgfx",
    "xhci-pci",
];

/// What an image is made of.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The kernel and where its drivers are.
    pub kernel: &'a Kernel,
    /// Drivers to load, of which those that the kernel has not are left out.
    pub drivers: &'a [&'a str],
    /// `kiosk-init`.
    pub init: &'a Path,
    /// Programs for `/usr/bin`; `bulkhead` among them.
    pub programs: &'a [PathBuf],
    /// Where files and whole directories go in the image, and where they are here.
    pub files: &'a [(&'a str, &'a Path)],
    /// What `bulkhead` is told, word by word.
    pub arguments: &'a [&'a str],
}

impl Recipe<'_> {
    /// The image's initramfs, not compressed.
    ///
    /// # Errors
    /// A file cannot be read, or a program's libraries are not known.
    pub fn initramfs(&self) -> Result<Vec<u8>> {
        let mut initramfs = Initramfs::default();
        // Where init mounts what is not a file of the image.
        for folder in ["dev", "proc", "sys", "run", "tmp", "root", "mnt", "var/lib"] {
            initramfs.folder(folder);
        }
        initramfs.character_device("dev/console", 5, 1);
        initramfs.program("init", self.init)?;
        for program in self.programs {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            initramfs.program(&format!("usr/bin/{name}"), program)?;
        }
        for (place, path) in self.files {
            initramfs.tree(place, path)?;
        }
        let mut arguments = self.arguments.join("\n");
        arguments.push('\n');
        initramfs.file("etc/bulkhead/arguments", arguments.as_bytes());
        initramfs.drivers(self.kernel, self.drivers)?;
        Ok(initramfs.finish())
    }
}

/// Reads a file, naming it where that fails.
fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}
