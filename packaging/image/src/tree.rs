//! The root file system's tree: packages unpacked beside each other, our own files put over them, everything made the same on
//! every host, then packed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use crate::archive::Fetched;
use crate::process::Program;
use crate::recipe::{self, GuestFile};
use crate::tools::Tools;
use crate::{Error, Progress, Step};

/// Which files of packages are taken: patterns of tar.
#[derive(Clone, Copy)]
pub(crate) enum Selection<'a> {
    AllBut(&'a [&'a str]),
    Only(&'a [&'a str]),
}

/// How a packed tree is kept.
#[derive(Clone, Copy)]
pub(crate) enum Compression {
    /// As small as it gets, but for what is run or mapped.
    Small,
    /// Not at all: made and read quickly.
    None,
}

/// Makes `root` an empty tree with Debian's merged directories.
pub(crate) fn start_empty(root: &Path) -> Result<(), Error> {
    if root.exists() {
        fs::remove_dir_all(root).map_err(Error::file("empty", root))?;
    }
    for directory in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"] {
        create_directory(&root.join(directory), 0o755)?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        let path = root.join(name);
        symlink(format!("usr/{name}"), &path).map_err(Error::file("link", &path))?;
    }
    Ok(())
}

/// Unpacks packages onto `root`, several at a time: Debian's packages own their files alone, so that order does not matter.
pub(crate) fn unpack(
    root: &Path,
    packages: &[Fetched],
    selection: Selection<'_>,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let total = packages.len() as u64;
    let (sender, results) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while !stop.load(Ordering::Relaxed) {
                    let Some(package) = packages.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    if sender.send(unpack_one(root, package, selection)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut done = 0u64;
        let mut first_error = None;
        while let Ok(result) = results.recv() {
            done = done.saturating_add(1);
            progress.update(Step::Unpack, done, total);
            if let Err(error) = result {
                first_error.get_or_insert(error);
            } else if progress.cancelled() {
                first_error.get_or_insert(Error::Cancelled);
            }
            if first_error.is_some() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        first_error.map_or(Ok(()), Err)
    })
}

fn unpack_one(root: &Path, package: &Fetched, selection: Selection<'_>) -> Result<(), Error> {
    let purpose = format!("unpacking {}", package.package.name());
    let mut tar = Program::new("tar", "tar", purpose.clone())
        .args([
            "--extract",
            "--no-same-owner",
            "--no-same-permissions",
            "--delay-directory-restore",
        ])
        .args([
            "--keep-directory-symlink",
            "--warning=no-timestamp",
            "--wildcards",
            "--no-wildcards-match-slash",
            "--directory",
        ])
        .arg(root);
    tar = match selection {
        Selection::AllBut(patterns) => tar.args(
            patterns
                .iter()
                .map(|pattern| format!("--exclude={pattern}")),
        ),
        Selection::Only(patterns) => tar.args(patterns),
    };
    Program::new("dpkg-deb", "dpkg", purpose)
        .arg("--fsys-tarfile")
        .arg(&package.path)
        .pipe_into(tar)
}

/// Puts our own files, directories and links over the packages'.
pub(crate) fn add_own_files(root: &Path) -> Result<(), Error> {
    for (path, mode) in recipe::ROOT_DIRECTORIES {
        create_directory(&root.join(path), *mode)?;
    }
    for (from, to) in recipe::MOVED_FILES {
        let (from, to) = (root.join(from), root.join(to));
        if let Some(parent) = to.parent() {
            create_directory(parent, 0o755)?;
        }
        fs::rename(&from, &to).map_err(Error::file("move", &from))?;
    }
    for file in recipe::ROOT_FILES {
        write_file(root, file)?;
    }
    for (path, target) in recipe::ROOT_LINKS {
        replace_link(&root.join(path), target)?;
    }
    for name in recipe::BUSYBOX_PROGRAMS.split_whitespace() {
        let taken = ["usr/bin", "usr/sbin"]
            .iter()
            .any(|directory| fs::symlink_metadata(root.join(directory).join(name)).is_ok());
        if !taken {
            replace_link(&root.join("usr/bin").join(name), "busybox")?;
        }
    }
    Ok(())
}

/// Permissions that do not depend on who built: no set-id bits, nothing that others may write but what must be.
pub(crate) fn normalise(root: &Path) -> Result<(), Error> {
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).map_err(Error::file("read", &path))?;
        if metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode();
        let normal = if metadata.is_dir() {
            if mode & 0o1000 != 0 { 0o1777 } else { 0o755 }
        } else if mode & 0o111 != 0 {
            0o755
        } else {
            0o644
        };
        if mode & 0o7777 != normal {
            fs::set_permissions(&path, Permissions::from_mode(normal))
                .map_err(Error::file("change", &path))?;
        }
        if metadata.is_dir() {
            for item in fs::read_dir(&path).map_err(Error::file("list", &path))? {
                pending.push(item.map_err(Error::file("list", &path))?.path());
            }
        }
    }
    Ok(())
}

/// Sets the time of a directory and everything in it, for caches that remember it.
pub(crate) fn set_times(path: &Path) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(path).map_err(Error::file("read", path))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    if metadata.is_dir() {
        for item in fs::read_dir(path).map_err(Error::file("list", path))? {
            set_times(&item.map_err(Error::file("list", path))?.path())?;
        }
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(recipe::TIMESTAMP);
    fs::File::open(path)
        .and_then(|file| file.set_modified(time))
        .map_err(Error::file("change", path))
}

/// Packs `root` into the squashfs image `target`: everything belongs to root but the paths in `owned`, which belong to the
/// guest's user.
pub(crate) fn pack(
    tools: &Tools,
    root: &Path,
    target: &Path,
    compression: Compression,
    owned: &[&str],
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let time = recipe::TIMESTAMP.to_string();
    let user = recipe::USER_ID;
    let pseudo: Vec<String> = owned
        .iter()
        .flat_map(|path| ["-p".to_owned(), format!("{path} m 755 {user} {user}")])
        .collect();
    progress.update(Step::Root, 0, 1);
    let _ = fs::remove_file(target);
    tools
        .program("mksquashfs", "packing the root file system")
        .arg(root)
        .arg(target)
        .args([
            "-noappend",
            "-no-progress",
            "-quiet",
            "-reproducible",
            "-no-xattrs",
        ])
        .args([
            "-all-root",
            "-root-mode",
            "755",
            "-all-time",
            &time,
            "-mkfs-time",
            &time,
        ])
        .args(["-comp", "zstd", "-Xcompression-level", "19", "-b", "128K"])
        // Tables are read at each start too.
        .args(["-noI", "-noF", "-noX"])
        .args(match compression {
            Compression::Small => &["-action", recipe::UNCOMPRESSED][..],
            Compression::None => &["-noD"],
        })
        .args(pseudo)
        .run(progress, |_| {})?;
    progress.update(Step::Root, 1, 1);
    Ok(())
}

fn create_directory(path: &Path, mode: u32) -> Result<(), Error> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(Error::file("create", path))
}

fn write_file(root: &Path, file: &GuestFile) -> Result<(), Error> {
    let path = root.join(file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
    }
    if fs::symlink_metadata(&path).is_ok() {
        fs::remove_file(&path).map_err(Error::file("replace", &path))?;
    }
    fs::write(&path, file.contents)
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(file.mode)))
        .map_err(Error::file("write", &path))
}

fn replace_link(path: &Path, target: &str) -> Result<(), Error> {
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path).map_err(Error::file("replace", path))?;
    }
    symlink(target, path).map_err(Error::file("link", path))
}
