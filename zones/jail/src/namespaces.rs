//! Namespaces: a user namespace first, because it is what lets an ordinary user have the others.

use std::io;

use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::UnshareFlags;

use crate::layer::Layer;
use crate::report::Report;
use crate::{identity, system};

const REST: [(Layer, UnshareFlags); 6] = [
    (Layer::MountNamespace, UnshareFlags::NEWNS),
    (Layer::PidNamespace, UnshareFlags::NEWPID),
    (Layer::NetworkNamespace, UnshareFlags::NEWNET),
    (Layer::IpcNamespace, UnshareFlags::NEWIPC),
    (Layer::UtsNamespace, UnshareFlags::NEWUTS),
    (Layer::CgroupNamespace, UnshareFlags::NEWCGROUP),
];

/// A user namespace with no id mapped: every capability inside, none outside, and no file or process that could be owned.
pub(crate) fn enter_user_namespace() -> io::Result<()> {
    system::unshare(UnshareFlags::NEWUSER)
}

/// Tries in a child, which then is gone, whether a process that dropped root could still enter a user namespace.
pub(crate) fn unprivileged_user_namespaces_work() -> io::Result<()> {
    let Some(child) = system::fork()? else {
        let outcome = identity::drop_root().and_then(|()| enter_user_namespace());
        system::exit_now(
            outcome
                .err()
                .and_then(|error| error.raw_os_error())
                .unwrap_or(0),
        );
    };
    match wait_for(child)? {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::other("the attempt ended by a signal")),
    }
}

/// Waits for a child of ours; gives its exit code, or None when a signal ended it.
pub(crate) fn wait_for(child: Pid) -> io::Result<Option<i32>> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(status) => return Ok(status.and_then(|(_, status)| status.exit_status())),
        }
    }
}

/// Enters every other namespace. The pid namespace takes effect with the next fork.
pub(crate) fn enter_the_rest(wanted: impl Fn(Layer) -> bool, report: &mut Report) {
    for (layer, flag) in REST {
        if wanted(layer) {
            report.note(
                layer,
                system::unshare(flag).map_err(|error| format!("unshare failed: {error}")),
            );
        }
    }
}
