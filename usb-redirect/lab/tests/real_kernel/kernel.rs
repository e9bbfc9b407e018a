//! Debian's stock amd64 kernel: fetched by apt, unpacked into the cache, its modules put in the order they load in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the kernel and its modules are.
pub struct Kernel {
    pub image: PathBuf,
    /// Module files by name, dashes and underscores alike.
    modules: BTreeMap<String, PathBuf>,
}

/// A program that must be there, and the Debian package that brings it.
pub fn tool(name: &str, package: &str) -> Command {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    assert!(found, "{name} is not installed: apt-get install {package}");
    Command::new(name)
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The kernel, fetched when it is not in the cache yet.
pub fn stock() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-amd64-kernel");
        let root = cache.join("root");
        if !cache.join("complete").exists() {
            fetch(&cache, &root);
        }
        let image = fs::read_dir(root.join("boot"))
            .expect("the kernel's folder")
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains("vmlinuz-"))
            .expect("a kernel in the package");
        let mut modules = BTreeMap::new();
        collect(&root.join("lib/modules"), &mut modules);
        Kernel { image, modules }
    })
}

fn fetch(cache: &Path, root: &Path) {
    fs::create_dir_all(root).expect("make the cache");
    let depends =
        run(tool("apt-cache", "apt").args(["depends", "--important", "linux-image-amd64"]));
    let package = String::from_utf8_lossy(&depends)
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: ").map(str::to_owned))
        .expect("apt knows no linux-image-amd64: run apt-get update");
    run(tool("apt-get", "apt")
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", &package])
        .current_dir(cache));
    let archive = fs::read_dir(cache)
        .expect("read the cache")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .expect("the package that apt fetched");
    let mut unpack = tool("dpkg-deb", "dpkg")
        .arg("--fsys-tarfile")
        .arg(&archive)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start dpkg-deb");
    let status = tool("tar", "tar")
        .args(["--extract", "--wildcards", "--directory"])
        .arg(root)
        .args([
            "./boot/vmlinuz-*",
            "./lib/modules/*/kernel/drivers/usb",
            "./lib/modules/*/kernel/drivers/hid",
            "./lib/modules/*/kernel/drivers/input",
            "./lib/modules/*/kernel/fs/configfs",
        ])
        .stdin(unpack.stdout.take().expect("a pipe"))
        .status()
        .expect("start tar");
    assert!(
        unpack.wait().expect("wait for dpkg-deb").success() && status.success(),
        "unpacking the kernel failed"
    );
    fs::remove_file(&archive).expect("remove the package");
    fs::write(cache.join("complete"), "").expect("mark the cache");
}

fn collect(folder: &Path, modules: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, modules);
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let name = path
                .file_stem()
                .expect("a stem")
                .to_string_lossy()
                .replace('-', "_");
            modules.insert(name, path);
        }
    }
}

impl Kernel {
    /// The files of these modules and all they depend on, in the order to load them. A module that is not in the package's folders is
    /// built into the kernel.
    pub fn load_order(&self, names: &[&str]) -> Vec<(String, Vec<u8>)> {
        let mut order = Vec::new();
        for name in names {
            assert!(
                self.modules.contains_key(&name.replace('-', "_")),
                "the kernel has no module {name}"
            );
            self.visit(&name.replace('-', "_"), &mut order);
        }
        order
    }

    fn visit(&self, name: &str, order: &mut Vec<(String, Vec<u8>)>) {
        let Some(path) = self.modules.get(name) else {
            return;
        };
        if order.iter().any(|(loaded, _)| loaded == name) {
            return;
        }
        let bytes = fs::read(path).expect("read a module");
        for dependency in depends(&bytes) {
            self.visit(&dependency, order);
        }
        order.push((name.to_owned(), bytes));
    }
}

/// What a module's `.modinfo` section says it depends on.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let at = module.windows(key.len()).position(|window| window == key);
    let rest = at.map_or(&[][..], |at| &module[at + key.len()..]);
    let list = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(list)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}
