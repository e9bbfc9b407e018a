//! News of the USB bus: the kernel makes and removes a file for each device under `/dev/bus/usb`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Watches a folder with one folder for each bus.
#[derive(Debug)]
pub(super) struct Bus {
    inotify: OwnedFd,
    folder: PathBuf,
}

impl Bus {
    /// A watch that has news only once the folder is there.
    pub(super) fn watch(folder: PathBuf) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let bus = Self { inotify, folder };
        bus.watch_folders();
        Ok(bus)
    }

    /// Watches buses that have come; a folder that is watched already stays so.
    pub(super) fn watch_folders(&self) {
        let changes = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        let buses = std::fs::read_dir(&self.folder).into_iter().flatten();
        let buses = buses.flatten().map(|entry| entry.path());
        for folder in buses.chain([self.folder.clone()]) {
            // A kernel without USB has no such folder, and a bus may be gone again.
            if let Err(error) = inotify::add_watch(&self.inotify, &folder, changes) {
                tracing::debug!("{} is not watched: {error}", folder.display());
            }
        }
    }

    /// Whether anything happened since the last call.
    pub(super) fn has_changed(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut news = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut changed = false;
        while news.next().is_ok() {
            changed = true;
        }
        changed
    }
}

impl AsFd for Bus {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
