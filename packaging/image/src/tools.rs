//! Host programs from the guest's own Debian suite, unpacked into the build's cache and run from there by their own loader.
//!
//! The same versions on every host give the same bytes on every host. They are signed by Debian as the host's programs are, and
//! no maintainer script is run for them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::archive::Fetched;
use crate::digest::of_parts;
use crate::process::Program;
use crate::{Error, Progress, tree};

/// The unpacked tools.
pub(crate) struct Tools {
    root: PathBuf,
    loader: PathBuf,
    libraries: OsString,
}

impl Tools {
    /// Unpacks `packages` below `cache`, unless they are there already.
    pub(crate) fn unpack(
        cache: &Path,
        packages: &[Fetched],
        progress: &mut dyn Progress,
    ) -> Result<Self, Error> {
        let names: Vec<String> = packages
            .iter()
            .map(|fetched| format!("{}={}", fetched.package.name(), fetched.package.version()))
            .collect();
        let identity = of_parts(names.iter().map(String::as_bytes));
        let root = cache.join(format!("tools-{identity}"));
        if !root.exists() {
            remove_older(cache);
            let partial = cache.join("tools-partial");
            tree::start_empty(&partial)?;
            tree::unpack(&partial, packages, tree::Selection::AllBut(&[]), progress)?;
            fs::rename(&partial, &root).map_err(Error::file("create", &root))?;
        }
        Self::open(root)
    }

    fn open(root: PathBuf) -> Result<Self, Error> {
        let usr = root.join("usr");
        let loader =
            find_file(&[usr.join("lib64"), usr.join("lib")], "ld-linux").ok_or_else(|| {
                Error::Recipe {
                    what: "the build tools' packages have no program loader".to_owned(),
                }
            })?;
        let library = usr.join("lib");
        let mut libraries = OsString::new();
        for item in fs::read_dir(&library)
            .map_err(Error::file("list", &library))?
            .flatten()
        {
            if item.file_name().to_string_lossy().contains("-linux-gnu") {
                libraries.push(item.path());
                libraries.push(":");
            }
        }
        libraries.push(&library);
        Ok(Self {
            root,
            loader,
            libraries,
        })
    }

    /// A file of the tools' packages.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A tool, ready for its arguments.
    pub(crate) fn program(&self, name: &str, purpose: &str) -> Program {
        Program::new(&self.loader, "libc6", format!("{purpose} ({name})"))
            .arg("--library-path")
            .arg(&self.libraries)
            .arg(self.root.join("usr/bin").join(name))
    }
}

fn find_file(directories: &[PathBuf], prefix: &str) -> Option<PathBuf> {
    directories
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flat_map(|listing| listing.flatten())
        .find(|item| item.file_name().to_string_lossy().starts_with(prefix))
        .map(|item| item.path())
}

/// Tools of earlier package versions only take up room.
fn remove_older(cache: &Path) {
    for item in fs::read_dir(cache).into_iter().flatten().flatten() {
        if item.file_name().to_string_lossy().starts_with("tools-") {
            let _ = fs::remove_dir_all(item.path());
        }
    }
}
