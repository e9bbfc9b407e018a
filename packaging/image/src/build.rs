//! The build: from apt's package lists to a directory with a manifest.
//!
//! What it makes depends on the packages' versions and the recipe alone. If the image in the output directory was made from the
//! same and is whole, it stays.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive::{Apt, Fetched};
use crate::kernel::{self, KernelFiles};
use crate::manifest::{Architecture, FileEntry, FileName, Manifest};
use crate::process::Program;
use crate::sources::{Archive, find_archive, plausible};
use crate::tools::Tools;
use crate::tree::{self, Selection};
use crate::{Error, Image, Package, Progress, Sha256, Step, recipe};

/// How old package lists may be before they are fetched again.
pub(crate) const LISTS_AGE: Duration = Duration::from_secs(12 * 60 * 60);

/// Builds the desktop image.
#[derive(Debug, Clone)]
pub struct Builder {
    output: PathBuf,
    cache: PathBuf,
    mirror: Option<String>,
    lists_age: Duration,
}

impl Builder {
    /// Builds into the directory `output`; keeps packages and intermediate files in the directory `cache`.
    pub fn new(output: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Self {
        Self {
            output: output.into(),
            cache: cache.into(),
            mirror: None,
            lists_age: LISTS_AGE,
        }
    }

    /// Takes packages from this archive instead of the one in the machine's apt sources.
    #[must_use]
    pub fn mirror(mut self, address: impl Into<String>) -> Self {
        self.mirror = Some(address.into());
        self
    }

    /// Fetches package lists again if they are older than this; 12 hours if not said.
    #[must_use]
    pub const fn lists_age(mut self, age: Duration) -> Self {
        self.lists_age = age;
        self
    }

    /// Builds the image, or finds that the one in the output directory is up to date.
    pub fn build(&self, progress: &mut dyn Progress) -> Result<Image, Error> {
        fs::create_dir_all(&self.cache).map_err(Error::file("create", &self.cache))?;
        let cache = self
            .cache
            .canonicalize()
            .map_err(Error::file("open", &self.cache))?;
        let _lock = lock(&cache)?;
        let archive = self.archive()?;

        progress.update(Step::Lists, 0, 2);
        let guest = Apt::new(
            &cache,
            Architecture::Riscv64.debian_name(),
            recipe::SUITE,
            &archive,
            recipe::LEFT_OUT,
        )?;
        guest.update(self.lists_age, progress)?;
        let plan = guest.plan(recipe::PACKAGES, progress)?;
        progress.update(Step::Lists, 1, 2);
        let packages: Vec<Package> = plan.packages().cloned().collect();
        if let Some(image) = self.up_to_date(&packages) {
            progress.update(Step::Lists, 2, 2);
            return Ok(image);
        }
        let host = Apt::new(
            &cache,
            &host_architecture()?,
            recipe::SUITE,
            &archive,
            recipe::TOOLS_LEFT_OUT,
        )?;
        host.update(self.lists_age, progress)?;
        let tools_plan = host.plan(recipe::TOOL_PACKAGES, progress)?;
        progress.update(Step::Lists, 2, 2);

        let total = plan.bytes().saturating_add(tools_plan.bytes());
        let fetched = guest.fetch(recipe::PACKAGES, &plan, 0, total, progress)?;
        let tools_fetched = host.fetch(
            recipe::TOOL_PACKAGES,
            &tools_plan,
            plan.bytes(),
            total,
            progress,
        )?;
        progress.update(Step::Packages, total, total);

        let work = Work::new(&cache)?;
        let tools = Tools::unpack(&cache, &tools_fetched, progress)?;
        assemble(&work, &fetched, &tools, progress)?;
        let manifest = describe(&work.image(), packages, progress)?;
        let text = manifest.to_toml();
        let path = work.image().join(Image::MANIFEST);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        self.publish(&work.image())?;
        Image::open(&self.output)
    }

    fn archive(&self) -> Result<Archive, Error> {
        match &self.mirror {
            None => find_archive(Path::new("/etc/apt")),
            Some(address) => Ok(Archive {
                main: plausible(address).ok_or_else(|| Error::NoDebianArchive {
                    looked_at: format!("the address `{}`", address.escape_debug()),
                })?,
                security: None,
            }),
        }
    }

    fn up_to_date(&self, packages: &[Package]) -> Option<Image> {
        let image = Image::open(&self.output).ok()?;
        let manifest = image.manifest();
        let same = manifest.recipe == recipe::identity() && manifest.packages() == packages;
        (same && image.verify().is_ok()).then_some(image)
    }

    /// Moves the finished files to the output directory, the manifest last: an interrupted move leaves an image that does not
    /// verify, never one that verifies and is another.
    fn publish(&self, finished: &Path) -> Result<(), Error> {
        fs::create_dir_all(&self.output).map_err(Error::file("create", &self.output))?;
        let old_manifest = self.output.join(Image::MANIFEST);
        if old_manifest.exists() {
            fs::remove_file(&old_manifest).map_err(Error::file("replace", &old_manifest))?;
        }
        let names = FileName::ALL.iter().map(|name| name.as_str());
        for name in names.chain([Image::MANIFEST]) {
            let target = self.output.join(name);
            // Copied under another name first: the cache may be on another file system.
            let partial = self.output.join(format!(".{name}.partial"));
            fs::copy(finished.join(name), &partial)
                .and_then(|_| fs::rename(&partial, &target))
                .map_err(Error::file("write", &target))?;
        }
        Ok(())
    }
}

/// The build's scratch directory, gone when the build is.
struct Work(PathBuf);

impl Work {
    fn new(cache: &Path) -> Result<Self, Error> {
        let work = Self(cache.join("work"));
        tree::start_empty(&work.root())?;
        for directory in [work.kernel(), work.image()] {
            if directory.exists() {
                fs::remove_dir_all(&directory).map_err(Error::file("empty", &directory))?;
            }
            fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        }
        Ok(work)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn kernel(&self) -> PathBuf {
        self.0.join("kernel")
    }

    fn image(&self) -> PathBuf {
        self.0.join("image")
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes kernel, initramfs and root file system in the work directory.
fn assemble(
    work: &Work,
    packages: &[Fetched],
    tools: &Tools,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let (kernel_packages, others): (Vec<_>, Vec<_>) = packages
        .iter()
        .cloned()
        .partition(|fetched| fetched.package.name().starts_with("linux-image-"));
    let root = work.root();
    tree::unpack(
        &root,
        &others,
        Selection::AllBut(recipe::EXCLUDED_FILES),
        progress,
    )?;
    // The package `linux-image-riscv64` only points to the one with the kernel in it.
    let kernel_package: Vec<_> = kernel_packages
        .into_iter()
        .max_by_key(|fetched| fs::metadata(&fetched.path).map_or(0, |metadata| metadata.len()))
        .into_iter()
        .collect();
    let selected: Vec<&str> = ["./boot/vmlinu*"]
        .iter()
        .chain(recipe::DRIVER_FILES)
        .copied()
        .collect();
    tree::unpack(
        &work.kernel(),
        &kernel_package,
        Selection::Only(&selected),
        progress,
    )?;

    tree::add_own_files(&root)?;
    crate::caches::make(&root, tools, progress)?;
    let files = KernelFiles::find(&work.kernel())?;
    let lists = [
        recipe::ROOT_DRIVERS,
        recipe::DEVICE_DRIVERS,
        recipe::HOME_DRIVERS,
        recipe::USB_DRIVERS,
    ];
    let [root_drivers, device_drivers, home_drivers, usb_drivers] =
        files.load_orders(lists, tools, &work.kernel(), progress)?;
    kernel::write_modules(&root.join("usr/lib/bulkhead/home-drivers"), &home_drivers)?;
    kernel::write_modules(&root.join("usr/lib/bulkhead/usb-drivers"), &usb_drivers)?;
    tree::normalise(&root)?;

    let image = work.image();
    files.copy_image(&image.join(FileName::Kernel.as_str()))?;
    kernel::write_initramfs(
        &image.join(FileName::Initramfs.as_str()),
        &root.join("usr/bin/busybox"),
        &[("root", &root_drivers), ("devices", &device_drivers)],
    )?;
    tree::pack(
        tools,
        &root,
        &image.join(FileName::Root.as_str()),
        tree::Compression::Small,
        &["home/user"],
        progress,
    )
}

/// Digests the finished files.
fn describe(
    image: &Path,
    packages: Vec<Package>,
    progress: &mut dyn Progress,
) -> Result<Manifest, Error> {
    let mut total = 0u64;
    for name in FileName::ALL {
        let path = image.join(name.as_str());
        let size = fs::metadata(&path)
            .map_err(Error::file("read", &path))?
            .len();
        total = total.saturating_add(size);
    }
    let mut done = 0u64;
    let mut digest = |name: FileName| {
        let path = image.join(name.as_str());
        let file = File::open(&path).map_err(Error::file("open", &path))?;
        let (sha256, size) =
            Sha256::of_reader(file, name.size_limit()).map_err(Error::file("read", &path))?;
        done = done.saturating_add(size);
        progress.update(Step::Manifest, done, total);
        Ok::<_, Error>(FileEntry { size, sha256 })
    };
    Ok(Manifest {
        architecture: Architecture::Riscv64,
        name: recipe::NAME.to_owned(),
        recipe: recipe::identity(),
        arguments: recipe::KERNEL_ARGUMENTS.to_owned(),
        files: [
            digest(FileName::Kernel)?,
            digest(FileName::Initramfs)?,
            digest(FileName::Root)?,
        ],
        packages,
    })
}

/// One build at a time in a cache: a second waits.
pub(crate) fn lock(cache: &Path) -> Result<File, Error> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    file.lock().map_err(Error::file("lock", &path))?;
    Ok(file)
}

/// Debian's name of the machine that builds.
pub(crate) fn host_architecture() -> Result<String, Error> {
    let output = Program::new("dpkg", "dpkg", "asking for this machine's architecture")
        .arg("--print-architecture")
        .run_silently()?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}
