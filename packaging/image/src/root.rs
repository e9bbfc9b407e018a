//! A root file system of any Debian packages, with no kernel and nothing of our own in it: for tests that run stock programs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::archive::Apt;
use crate::build::{LISTS_AGE, host_architecture, lock};
use crate::digest::of_parts;
use crate::manifest::Architecture;
use crate::sources::find_archive;
use crate::tools::Tools;
use crate::tree::{self, Compression, Selection};
use crate::{Error, Progress, recipe};

/// Makes a squashfs image of `packages` and all they depend on, for RISC-V, below the directory `cache`, and returns where it
/// is. One that was made of the same packages is found again. `left_out` are packages that others ask for and nobody needs.
/// Nothing of it is run on the host.
pub fn of_packages(
    cache: &Path,
    packages: &[&str],
    left_out: &[&str],
    progress: &mut dyn Progress,
) -> Result<PathBuf, Error> {
    fs::create_dir_all(cache).map_err(Error::file("create", cache))?;
    let cache = cache.canonicalize().map_err(Error::file("open", cache))?;
    let _lock = lock(&cache)?;
    let archive = find_archive(Path::new("/etc/apt"))?;
    // Its own apt: it leaves out other packages than the desktop's.
    let home = cache.join("root");
    let architecture = Architecture::Riscv64.debian_name();
    let guest = Apt::new(&home, architecture, recipe::SUITE, &archive, left_out)?;
    guest.update(LISTS_AGE, progress)?;
    let plan = guest.plan(packages, progress)?;
    let names: Vec<String> = plan
        .packages()
        .map(|package| format!("{}={}", package.name(), package.version()))
        .collect();
    let identity = of_parts(names.iter().map(String::as_bytes));
    let image = home.join(format!("{identity}.squashfs"));
    if image.exists() {
        return Ok(image);
    }
    let host = Apt::new(
        &cache,
        &host_architecture()?,
        recipe::SUITE,
        &archive,
        recipe::TOOLS_LEFT_OUT,
    )?;
    host.update(LISTS_AGE, progress)?;
    let tools_plan = host.plan(recipe::TOOL_PACKAGES, progress)?;
    let total = plan.bytes().saturating_add(tools_plan.bytes());
    let fetched = guest.fetch(packages, &plan, 0, total, progress)?;
    let tools_fetched = host.fetch(
        recipe::TOOL_PACKAGES,
        &tools_plan,
        plan.bytes(),
        total,
        progress,
    )?;
    let tools = Tools::unpack(&cache, &tools_fetched, progress)?;
    let tree = home.join("tree");
    tree::start_empty(&tree)?;
    tree::unpack(&tree, &fetched, Selection::AllBut(&[]), progress)?;
    tree::normalise(&tree)?;
    let partial = home.join("partial");
    tree::pack(&tools, &tree, &partial, Compression::None, &[], progress)?;
    fs::remove_dir_all(&tree).map_err(Error::file("remove", &tree))?;
    fs::rename(&partial, &image).map_err(Error::file("create", &image))?;
    Ok(image)
}
