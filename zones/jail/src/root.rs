//! An empty, read-only root directory: an inode-less tmpfs, with the host's tree unmounted from this process's view.

use std::io;

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{chdir, pivot_root};

/// Directories that may serve as the mount point for a moment; every Linux system has one of them.
const PLACES: [&str; 5] = ["/proc", "/tmp", "/sys", "/dev", "/usr"];

/// Needs a mount namespace of our own and the capability to mount in it.
pub(crate) fn empty_root() -> io::Result<()> {
    let told = |call: &'static str| {
        move |errno: Errno| io::Error::new(errno.kind(), format!("{call} failed: {errno}"))
    };
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(told("making mounts private"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let empty = |place: &str| {
        mount(
            "bulkhead",
            place,
            "tmpfs",
            flags,
            c"size=4k,nr_inodes=1,mode=555",
        )
        .is_ok()
    };
    let place = PLACES
        .into_iter()
        .find(|place| empty(place))
        .ok_or_else(|| io::Error::other("mounting an empty file system failed"))?;
    chdir(place).map_err(told("chdir"))?;
    // The old root is stacked on the new one, then unmounted with all that hangs on it.
    pivot_root(".", ".").map_err(told("pivot_root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(told("unmounting the old root"))?;
    chdir("/").map_err(told("chdir"))
}
