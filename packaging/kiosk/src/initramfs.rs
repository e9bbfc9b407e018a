//! Writes an initramfs: a cpio archive in the "newc" form that the kernel reads
//! (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::kernel::Kernel;
use crate::read;

/// An archive that grows. Folders above what is added come by themselves.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    inode: u32,
    places: BTreeSet<String>,
}

const FILE: u32 = 0o100_755;
const PERMISSIONS: u32 = 0o777;
const FOLDER: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Initramfs {
    /// Adds a folder.
    pub fn folder(&mut self, place: &str) {
        self.folders_above(place);
        self.entry(place, FOLDER, (0, 0), &[]);
    }

    /// Adds a file that may be read and run by all.
    pub fn file(&mut self, place: &str, content: &[u8]) {
        self.folders_above(place);
        self.entry(place, FILE, (0, 0), content);
    }

    /// Adds a device node that only root may open.
    pub fn character_device(&mut self, place: &str, major: u32, minor: u32) {
        self.folders_above(place);
        self.entry(place, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// Adds a program and the libraries that it is linked to, each where it is here: its loader looks for them there.
    ///
    /// # Errors
    /// One of them cannot be read or found.
    pub fn program(&mut self, place: &str, path: &Path) -> Result<()> {
        self.file(place, &read(path)?);
        for library in libraries(path)? {
            let place = library.to_string_lossy();
            self.file(place.trim_start_matches('/'), &read(&library)?);
        }
        Ok(())
    }

    /// Adds a file as readable as it is here, or a directory with all that is in it.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn tree(&mut self, place: &str, path: &Path) -> Result<()> {
        if !path.is_dir() {
            let mode = fs::metadata(path)
                .map(|metadata| metadata.permissions().mode())
                .with_context(|| format!("{} cannot be read", path.display()))?;
            let content = read(path)?;
            self.folders_above(place);
            self.entry(
                place,
                FILE & !PERMISSIONS | mode & PERMISSIONS,
                (0, 0),
                &content,
            );
            return Ok(());
        }
        self.folder(place);
        let listed = fs::read_dir(path)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .with_context(|| format!("{} cannot be listed", path.display()))?;
        let mut names: Vec<_> = listed.iter().map(fs::DirEntry::file_name).collect();
        names.sort();
        for name in names {
            self.tree(
                &format!("{place}/{}", name.to_string_lossy()),
                &path.join(name),
            )?;
        }
        Ok(())
    }

    /// Adds drivers with all that they need below `/modules`, and their order in `/modules/order`. Drivers that the kernel does not
    /// have as modules are left out: they are built in, or are not for it.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn drivers(&mut self, kernel: &Kernel, names: &[&str]) -> Result<()> {
        let mut order = String::new();
        for (name, bytes) in kernel.load_order(names)? {
            self.file(&format!("modules/{name}"), &bytes);
            order.push_str(&name);
            order.push('\n');
        }
        self.file("modules/order", order.as_bytes());
        Ok(())
    }

    /// The whole archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn folders_above(&mut self, place: &str) {
        for (at, _) in place.match_indices('/') {
            let above = place.get(..at).unwrap_or_default();
            self.entry(above, FOLDER, (0, 0), &[]);
        }
    }

    /// Adds an entry, unless something is in its place.
    fn entry(&mut self, place: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        if !self.places.insert(place.to_owned()) {
            return;
        }
        self.inode += 1;
        // Nothing that goes into an image is near 4 GiB, nor has a name that long.
        let length = |length| u32::try_from(length).unwrap_or(u32::MAX);
        let fields = [
            self.inode,
            mode,
            0, // owner
            0, // group
            1, // links
            0, // time
            length(content.len()),
            0,
            0,
            device.0,
            device.1,
            length(place.len() + 1),
            0, // check sum, unused in this form
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(place.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// The libraries that a program is linked to, its loader among them, as the loader itself finds them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("ldd cannot be run; it is in the package libc-bin")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if let Some(line) = said.lines().find(|line| line.contains("not found")) {
        bail!("{} needs {}", program.display(), line.trim());
    }
    // `name => /path (address)`, or `/path (address)` for the loader; what has no path is the kernel's. A static program has none.
    let path = |line: &str| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(path))
    };
    Ok(said.lines().filter_map(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_what_is_in_them() {
        let mut initramfs = Initramfs::default();
        initramfs.file("a/b/c", b"12345");
        initramfs.file("a/b/d", b"");
        initramfs.file("a/b/c", b"again");
        let bytes = initramfs.finish();
        assert_eq!(bytes.len() % 4, 0);
        let mut names = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |number: usize| {
                let digits = &bytes[at + 6 + 8 * number..at + 14 + 8 * number];
                usize::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            };
            let (size, name) = (field(6), field(11));
            let begin = at + 110;
            names.push(String::from_utf8_lossy(&bytes[begin..begin + name - 1]).into_owned());
            at = (begin + name).next_multiple_of(4) + size.next_multiple_of(4);
        }
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
    }

    #[test]
    fn a_program_brings_its_loader() {
        let found = libraries(&std::env::current_exe().unwrap()).unwrap();
        let has = |name: &str| {
            found
                .iter()
                .any(|path| path.to_string_lossy().contains(name))
        };
        assert!(has("libc.so") && has("ld-linux"), "{found:?}");
    }
}
