//! Started as root, a zone process first becomes a user that nobody else is: then not even a zone process that lost every other
//! layer may signal or trace another one.

use std::io;

use rustix::process::{geteuid, getpid};

use crate::system;

/// A range that Linux distributions leave unused (systemd's UIDS-GIDS lists it so). With the process id added, it cannot meet a
/// live sibling's id.
const UNUSED_RANGE: u32 = 1_879_048_192;

/// User ids to try in this order. A container may map only the lower 65,536, where `nobody` has to do.
const NOBODY: u32 = 65_534;

/// True when the process still has root's user id.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Drops root's ids and groups; nothing to do for anyone else.
pub(crate) fn drop_root() -> io::Result<()> {
    if !is_root() {
        return Ok(());
    }
    let groups = rustix::thread::set_thread_groups(&[]);
    let own = UNUSED_RANGE.saturating_add(getpid().as_raw_nonzero().get().unsigned_abs());
    system::become_user(own, own).or_else(|_| system::become_user(NOBODY, NOBODY))?;
    groups.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("supplementary groups could not be dropped: {error}"),
        )
    })
}
