//! Starting a zone process: its end of the link, its output, and what its machine is made of.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use bulkhead_policy as policy;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use zone_jail::Layers;
use zone_jail::Limits;
use zone_link::{EndpointLink, StartConfig, Volume, Writes, ZoneName};

use crate::debug;
use crate::images::OpenImage;
use crate::state_directory::{StateDirectory, StateError};

/// Gives the command for a zone's process, without the arguments that every zone process gets.
pub type Launcher = Box<dyn Fn(&str) -> Command>;

/// The zone program as it is installed: beside this program.
///
/// # Errors
/// This program's own place cannot be found out.
pub fn installed_zone_program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("bulkhead-zone"))
}

/// A zone process that was just started.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) ended: OwnedFd,
    pub(super) link: EndpointLink,
    pub(super) output: OwnedFd,
}

/// One start at a time: the child's descriptors are inheritable for a moment.
static STARTING: Mutex<()> = Mutex::new(());

/// Starts a zone process in a process group of its own, so that an interrupt at the terminal reaches the endpoint alone.
/// With a path in `debugger`, the process talks to a debugger that comes in there.
pub(super) fn start(
    mut command: Command,
    required: &Layers,
    limits: Limits,
    debugger: Option<&Path>,
) -> io::Result<Started> {
    let input = match debugger {
        Some(path) => {
            command.arg("--debug");
            debug::open(path)?
        }
        None => Stdio::null(),
    };
    let (link, zones_end) = EndpointLink::pair().map_err(io::Error::other)?;
    let (output, zones_output) = io::pipe()?;
    let output = OwnedFd::from(output);
    rustix::io::ioctl_fionbio(&output, true)?;
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    // Inherited by number. The zone process closes every other descriptor before it reads a byte.
    fcntl_setfd(zones_end.as_fd(), FdFlags::empty())?;
    command.args([
        "--link-fd",
        &zones_end.as_raw_fd().to_string(),
        "--jail",
        &required.to_string(),
        "--descriptors",
        &limits.descriptors.to_string(),
    ]);
    for (name, limit) in [
        ("--memory-bytes", limits.memory_bytes),
        ("--file-bytes", limits.file_bytes),
    ] {
        if let Some(limit) = limit {
            command.args([name, &limit.to_string()]);
        }
    }
    command
        .env_clear()
        .stdin(input)
        .stdout(zones_output.try_clone()?)
        .stderr(zones_output)
        .process_group(0);
    let child = command.spawn()?;
    let ended = Pid::from_child(&child);
    let ended = pidfd_open(ended, PidfdFlags::empty())?;
    Ok(Started {
        child,
        ended,
        link,
        output,
    })
}

/// What the kernel holds a zone's process to: its guest's memory and what the machine itself needs, and volumes that grow no
/// further than the policy says.
pub(super) fn limits(zone: &policy::Zone) -> Limits {
    let guest = u64::from(zone.memory_mib) << 20;
    Limits {
        descriptors: zone.budget.descriptors.into(),
        memory_bytes: Some(guest.saturating_add(MACHINE_BYTES)),
        // The overlay's own tables are a small part of its blocks.
        file_bytes: Some(
            zone.budget
                .disk
                .bytes()
                .saturating_add(zone.budget.disk.bytes() / 1024)
                .saturating_add(1 << 20),
        ),
    }
}

/// What a wrong length in the machine or a hostile zone process can take beyond the guest's memory. It needs about a third.
const MACHINE_BYTES: u64 = 256 << 20;

/// What a zone's machine is made of, or why its home cannot be had.
pub(super) fn machine(
    zone: &policy::Zone,
    image: OpenImage,
    state: &StateDirectory,
) -> Result<Option<StartConfig>, StateError> {
    let Some(name) = ZoneName::new(zone.name.as_str()) else {
        return Ok(None);
    };
    let mut volumes = vec![Volume {
        image: image.root.into(),
        writes: Writes::Discarded(state.scratch()?),
    }];
    if zone.persistence == policy::Persistence::Persistent {
        volumes.push(state.home_volume(zone.name.as_str(), zone.budget.disk.bytes())?);
    }
    Ok(Some(StartConfig {
        zone: name,
        memory_mib: zone.memory_mib,
        harts: zone.cpus.into(),
        command_line: command_line(&image.arguments, zone),
        kernel: image.kernel.into(),
        initramfs: image.initramfs.into(),
        volumes,
    }))
}

/// What the image asks for, then what the zone is: the kernel takes the last of two that disagree.
fn command_line(image: &str, zone: &policy::Zone) -> String {
    let zone = [
        format!("bulkhead.zone={}", zone.name),
        format!("bulkhead.layout={}", zone.keyboard_layout),
    ];
    let words = ["console=hvc0", image]
        .into_iter()
        .chain(zone.iter().map(String::as_str));
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
