//! Kernel, drivers and the initramfs.
//!
//! Drivers are unpacked at build time and stripped of symbols, type information and signatures: a guest that loads them would spend
//! a second of an interpreted CPU on reading those and on checking what came from the same verified image.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::recipe::{self, Driver};
use crate::tools::Tools;
use crate::{Error, Progress, Step, cpio};

/// A driver, unpacked.
pub(crate) struct Module {
    file_name: String,
    options: &'static str,
    contents: Vec<u8>,
}

/// The kernel package's unpacked files.
pub(crate) struct KernelFiles {
    image: PathBuf,
    modules: BTreeMap<String, PathBuf>,
}

impl KernelFiles {
    /// Looks through an unpacked kernel package.
    pub(crate) fn find(unpacked: &Path) -> Result<Self, Error> {
        let boot = unpacked.join("boot");
        let image = fs::read_dir(&boot)
            .map_err(Error::file("list", &boot))?
            .flatten()
            .map(|item| item.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("vmlinu"))
            })
            .ok_or_else(|| Error::Recipe {
                what: "the kernel package has no kernel".to_owned(),
            })?;
        let mut modules = BTreeMap::new();
        let mut pending = vec![unpacked.join("usr/lib/modules")];
        while let Some(directory) = pending.pop() {
            for item in fs::read_dir(&directory)
                .map_err(Error::file("list", &directory))?
                .flatten()
            {
                let path = item.path();
                if item.file_type().is_ok_and(|kind| kind.is_dir()) {
                    pending.push(path);
                } else if let Some(name) = item.file_name().to_string_lossy().strip_suffix(".ko.xz")
                {
                    modules.insert(canonical(name), path);
                }
            }
        }
        Ok(Self { image, modules })
    }

    /// Copies the kernel to `target`.
    pub(crate) fn copy_image(&self, target: &Path) -> Result<(), Error> {
        fs::copy(&self.image, target)
            .map(drop)
            .map_err(Error::file("write", target))
    }

    /// Unpacks the lists of `drivers` and what they depend on, each list in an order in which it loads; what an earlier list has is
    /// not in a later one. `scratch` is a directory for intermediate files.
    pub(crate) fn load_orders<const N: usize>(
        &self,
        drivers: [&'static [Driver]; N],
        tools: &Tools,
        scratch: &Path,
        progress: &mut dyn Progress,
    ) -> Result<[Vec<Module>; N], Error> {
        let mut order = Order {
            files: self,
            tools,
            scratch,
            options: drivers.iter().flat_map(|list| list.iter()).collect(),
            loaded: Vec::new(),
        };
        let total = order.options.len() as u64;
        let mut done = 0;
        let mut ends = [0; N];
        for (list, end) in drivers.iter().zip(&mut ends) {
            for driver in *list {
                progress.update(Step::Kernel, done, total);
                order.add(driver.name, 0, progress)?;
                done += 1;
            }
            *end = order.loaded.len();
        }
        progress.update(Step::Kernel, total, total);
        let mut modules = order.loaded.into_iter();
        let mut start = 0;
        Ok(ends.map(|end| {
            let list = modules.by_ref().take(end - start).collect();
            start = end;
            list
        }))
    }
}

/// Modules in load order, under construction.
struct Order<'a> {
    files: &'a KernelFiles,
    tools: &'a Tools,
    scratch: &'a Path,
    options: Vec<&'static Driver>,
    loaded: Vec<Module>,
}

impl Order<'_> {
    fn add(&mut self, name: &str, depth: usize, progress: &mut dyn Progress) -> Result<(), Error> {
        let wanted = canonical(name);
        let file_name = format!("{wanted}.ko");
        if self
            .loaded
            .iter()
            .any(|module| module.file_name == file_name)
        {
            return Ok(());
        }
        let path = self
            .files
            .modules
            .get(&wanted)
            .filter(|_| depth < 16)
            .ok_or_else(|| Error::Recipe {
                what: format!("the kernel package has no driver {name} where it is looked for"),
            })?;
        let contents = self.unpack(path, progress)?;
        for needed in dependencies(&contents) {
            self.add(&needed, depth + 1, progress)?;
        }
        let options = self
            .options
            .iter()
            .find(|driver| canonical(driver.name) == wanted)
            .map_or("", |driver| driver.options);
        self.loaded.push(Module {
            file_name,
            options,
            contents,
        });
        Ok(())
    }

    fn unpack(&self, path: &Path, progress: &mut dyn Progress) -> Result<Vec<u8>, Error> {
        let packed = File::open(path).map_err(Error::file("open", path))?;
        let unpacked = self
            .tools
            .program("xz", "unpacking a driver")
            .args(["--decompress", "--stdout"])
            .stdin(packed)
            .run(progress, |_| {})?;
        let module = self.scratch.join("module.ko");
        fs::write(&module, unpacked).map_err(Error::file("write", &module))?;
        self.tools
            .program("riscv64-linux-gnu-strip", "stripping a driver")
            .args(["--strip-unneeded", "--remove-section", ".BTF"])
            .arg(&module)
            .run(progress, |_| {})?;
        fs::read(&module).map_err(Error::file("read", &module))
    }
}

/// Writes the initramfs: busybox, our init, the drivers, and for each list of them a file with the order in which they load.
pub(crate) fn write_initramfs(
    target: &Path,
    busybox: &Path,
    lists: &[(&str, &[Module])],
) -> Result<(), Error> {
    let busybox = fs::read(busybox).map_err(Error::file("read", busybox))?;
    let file = File::create(target).map_err(Error::file("create", target))?;
    let write = || -> std::io::Result<()> {
        let mut archive = cpio::Writer::new(BufWriter::new(file));
        for directory in [
            "base", "bin", "dev", "modules", "proc", "root", "scratch", "sys",
        ] {
            archive.directory(directory)?;
        }
        archive.file("bin/busybox", 0o755, &busybox)?;
        for file in recipe::INITRAMFS_FILES {
            archive.file(file.path, file.mode, file.contents.as_bytes())?;
        }
        for (list, modules) in lists {
            archive.file(
                &format!("modules/{list}"),
                0o644,
                order_file(modules).as_bytes(),
            )?;
            for module in *modules {
                archive.file(
                    &format!("modules/{}", module.file_name),
                    0o644,
                    &module.contents,
                )?;
            }
        }
        archive.finish()?.flush()
    };
    write().map_err(Error::file("write", target))
}

/// Puts drivers for later use into a directory of the root file system.
pub(crate) fn write_modules(directory: &Path, modules: &[Module]) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    let write = |name: &str, contents: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, contents).map_err(Error::file("write", &path))
    };
    write("order", order_file(modules).as_bytes())?;
    modules
        .iter()
        .try_for_each(|module| write(&module.file_name, &module.contents))
}

/// One line a module: its file, then its options.
fn order_file(modules: &[Module]) -> String {
    modules
        .iter()
        .map(|module| {
            format!("{} {}", module.file_name, module.options)
                .trim_end()
                .to_owned()
                + "\n"
        })
        .collect()
}

/// The kernel treats `-` and `_` in module names alike; files and dependencies mix them.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Names in the module's `depends=` entry.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let start = module
        .windows(KEY.len())
        .position(|window| window == KEY)
        .map(|position| position.saturating_add(KEY.len()));
    let value = start
        .and_then(|start| module.get(start..))
        .and_then(|rest| rest.split(|byte| *byte == 0).next())
        .unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module() {
        let module = b"ELF\0license=GPL\0depends=drm,drm_kms_helper\0name=virtio_gpu\0";
        assert_eq!(dependencies(module), ["drm", "drm_kms_helper"]);
        assert!(dependencies(b"x\0depends=\0name=y\0").is_empty());
        assert!(dependencies(b"nothing").is_empty());
        assert_eq!(dependencies(b"\0depends=cut"), ["cut"]);
    }

    #[test]
    fn the_order_file_names_options() {
        let module = |file_name: &str, options| Module {
            file_name: file_name.to_owned(),
            options,
            contents: Vec::new(),
        };
        let order = order_file(&[module("a.ko", ""), module("b.ko", "x=1")]);
        assert_eq!(order, "a.ko\nb.ko x=1\n");
    }
}
