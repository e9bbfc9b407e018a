//! The order in which the layers go on. Each step needs what a later one takes away.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::layer::{Layer, Layers};
use crate::limits::{self, Limits};
use crate::report::Report;
use crate::{identity, landlock_layer, namespaces, privileges, root, seccomp, system, warden};

/// A jail to be closed around this process.
#[derive(Clone, Debug)]
pub struct Jail<'a> {
    required: Layers,
    left_out: Layers,
    keep: Option<BorrowedFd<'a>>,
    limits: Limits,
    allowances: Allowances,
}

/// What a kind of zone needs beyond the plain jail.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Allowances {
    /// Memory may be made executable, but none that is writable in the same mapping: a translator maps one memfd twice.
    pub executable_memory: bool,
    /// The requests of usbfs that libusb makes to devices that were opened before the jail, and none of any other device.
    pub usb_devices: bool,
}

/// A jail that could not be closed as required. The process must end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JailError {
    /// Something started a thread before the jail.
    #[error("the jail must be closed before a thread is started, and this process has {threads}")]
    Threads {
        /// Threads found.
        threads: usize,
    },
    /// The process could not enter its pid namespace.
    #[error("the jailed process could not be forked: {source}")]
    Fork {
        /// The kernel's reason.
        source: io::Error,
    },
    /// A required layer is not there.
    #[error("jail layer {layer} is required but missing: {reason}")]
    Missing {
        /// Which.
        layer: Layer,
        /// Why it is missing.
        reason: String,
        /// What became of all layers.
        report: Report,
    },
}

impl<'a> Jail<'a> {
    /// A jail that is refused unless every layer of `required` is in force. All other layers are tried too.
    #[must_use]
    pub fn new(required: Layers) -> Self {
        Self {
            required,
            left_out: Layers::default(),
            keep: None,
            limits: Limits::default(),
            allowances: Allowances::default(),
        }
    }

    /// The one descriptor that stays open beside the standard three.
    #[must_use]
    pub fn keep(mut self, descriptor: BorrowedFd<'a>) -> Self {
        self.keep = Some(descriptor);
        self
    }

    /// Other limits than the usual ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What this kind of zone needs beyond the plain jail.
    #[must_use]
    pub fn allow(mut self, allowances: Allowances) -> Self {
        self.allowances = allowances;
        self
    }

    /// Does not even try these layers. For tests of what the others hold alone.
    #[must_use]
    pub fn leave_out(mut self, layers: Layers) -> Self {
        self.left_out = layers;
        self
    }

    /// Closes the jail. The caller goes on in a child of this process; see the crate's description.
    ///
    /// Must come first in `main`: it closes descriptors that it does not know.
    ///
    /// # Errors
    /// A required layer is missing, or the process had threads or could not fork. It must end then; nothing is undone.
    pub fn apply(self) -> Result<Report, JailError> {
        only_one_thread()?;
        let wanted = |layer| !self.left_out.contains(layer);
        let mut report = Report::default();
        let step = |layer, action: &mut dyn FnMut() -> io::Result<()>, report: &mut Report| {
            if wanted(layer) {
                report.note(layer, action());
            }
        };
        step(
            Layer::ClosedDescriptors,
            &mut || self.close_descriptors(),
            &mut report,
        );
        step(
            Layer::ResourceLimits,
            &mut || limits::apply(self.limits),
            &mut report,
        );
        self.separate(&wanted, &mut report);
        if report.has(Layer::PidNamespace) {
            enter_pid_namespace().map_err(|source| JailError::Fork { source })?;
        }
        step(
            Layer::NoNewPrivileges,
            &mut privileges::no_new_privileges,
            &mut report,
        );
        step(
            Layer::NoCapabilities,
            &mut privileges::drop_capabilities,
            &mut report,
        );
        // Not layers of their own: they add to the others, and every kernel has them.
        let _ = privileges::forbid_tracing();
        let _ = privileges::die_with_parent();
        landlock_layer::apply(wanted, &mut report);
        step(
            Layer::Seccomp,
            &mut || seccomp::confine(self.allowances),
            &mut report,
        );
        match report.lacks(&self.required) {
            Some((layer, reason)) => Err(JailError::Missing {
                layer,
                reason,
                report,
            }),
            None => Ok(report),
        }
    }

    /// Finds out in a child, which then is gone, what [`Jail::apply`] would report here and now.
    ///
    /// # Errors
    /// The process has threads, or the child could not be had.
    pub fn rehearse(&self) -> Result<Report, JailError> {
        only_one_thread()?;
        let failed = |source: io::Error| JailError::Fork { source };
        let (mut heard, told) = io::pipe().map_err(failed)?;
        let Some(child) = system::fork().map_err(failed)? else {
            drop(heard);
            let jail = Jail {
                required: Layers::default(),
                keep: Some(told.as_fd()),
                ..self.clone()
            };
            let report = jail
                .apply()
                .map(|report| report.to_lines())
                .unwrap_or_default();
            let sent = io::Write::write_all(&mut &told, report.as_bytes());
            system::exit_now(i32::from(sent.is_err()));
        };
        drop(told);
        let mut lines = String::new();
        let read = io::Read::read_to_string(&mut heard, &mut lines);
        namespaces::wait_for(child).map_err(failed)?;
        read.map_err(failed)?;
        Report::from_lines(&lines).ok_or_else(|| failed(io::Error::other("the child told nothing")))
    }

    /// User, namespaces and root. Root that may not make user namespaces without being root enters the others before it drops its
    /// rights; everyone else enters a user namespace first and owns the others through it.
    fn separate(&self, wanted: &impl Fn(Layer) -> bool, report: &mut Report) {
        let user = |report: &mut Report| {
            if wanted(Layer::UnprivilegedUser) {
                report.note(Layer::UnprivilegedUser, identity::drop_root());
            }
        };
        let rest = |report: &mut Report| {
            namespaces::enter_the_rest(wanted, report);
            if wanted(Layer::EmptyRoot) {
                let outcome = match report.has(Layer::MountNamespace) {
                    true => root::empty_root(),
                    false => Err(io::Error::other("it needs a mount namespace")),
                };
                report.note(Layer::EmptyRoot, outcome);
            }
        };
        let refused =
            |error: io::Error| format!("the kernel does not let this user make one: {error}");
        if identity::is_root() {
            let possible = match wanted(Layer::UserNamespace) {
                true => namespaces::unprivileged_user_namespaces_work().map_err(refused),
                false => Err("left out".to_owned()),
            };
            if let Err(reason) = possible {
                rest(report);
                user(report);
                if wanted(Layer::UserNamespace) {
                    report.note(Layer::UserNamespace, Err(reason));
                }
                return;
            }
        }
        user(report);
        if wanted(Layer::UserNamespace) {
            report.note(
                Layer::UserNamespace,
                namespaces::enter_user_namespace().map_err(refused),
            );
        }
        rest(report);
    }

    fn close_descriptors(&self) -> io::Result<()> {
        let Some(kept) = self
            .keep
            .and_then(|keep| u32::try_from(keep.as_raw_fd()).ok())
        else {
            return system::close_range(3, u32::MAX);
        };
        if kept > 3 {
            system::close_range(3, kept.saturating_sub(1))?;
        }
        system::close_range(kept.saturating_add(1).max(3), u32::MAX)
    }
}

/// Forks: the child, first of its pid namespace, returns; the parent becomes its warden. The child is killed when the warden dies,
/// also when that happened before it could ask for it.
fn enter_pid_namespace() -> io::Result<()> {
    let (alive, held_by_warden) = pipe_with(PipeFlags::CLOEXEC)?;
    if let Some(child) = system::fork()? {
        warden::watch(child, &held_by_warden);
    }
    drop(held_by_warden);
    privileges::die_with_parent()?;
    let mut watched = [PollFd::new(&alive, PollFlags::IN)];
    let no_wait = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut watched, Some(&no_wait)) {
        Ok(0) => Ok(()),
        _ => system::exit_now(1),
    }
}

fn only_one_thread() -> Result<(), JailError> {
    // Without /proc there is no telling; the callers start the jail first thing in any case.
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(threads) if threads > 1 => Err(JailError::Threads { threads }),
        _ => Ok(()),
    }
}
