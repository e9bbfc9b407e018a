//! Resource limits, hard and soft alike.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::system;

/// How much of some resources a zone process may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Open descriptors.
    pub descriptors: u64,
    /// Bytes of memory of its own: what it writes that is neither a file's nor shared with another process. All mappings
    /// together, files and mere reservations included, may be [`Limits::MAPPINGS`] more. None for no limit of ours.
    pub memory_bytes: Option<u64>,
    /// Bytes to which it may grow a file, such as a persistent volume's overlay; None for no limit of ours.
    pub file_bytes: Option<u64>,
}

impl Limits {
    /// Room for mappings that are not memory of its own: generated code, surfaces, libraries, and what the allocator reserves
    /// for each thread.
    pub const MAPPINGS: u64 = 1 << 30;
}

impl Default for Limits {
    /// 256 descriptors: volumes, surfaces, timers and a few hundred streams; no limit on memory and files.
    fn default() -> Self {
        Self {
            descriptors: 256,
            memory_bytes: None,
            file_bytes: None,
        }
    }
}

pub(crate) fn apply(limits: Limits) -> io::Result<()> {
    let set = |resource, most: u64| -> io::Result<()> {
        // An ordinary user cannot raise a hard limit, so never ask for more than there is.
        let most = rustix::process::getrlimit(resource)
            .maximum
            .map_or(most, |hard| hard.min(most));
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
        .map_err(io::Error::from)
    };
    set(Resource::Core, 0)?;
    set(Resource::Nofile, limits.descriptors)?;
    set(Resource::Rtprio, 0)?;
    set(Resource::Nice, 0)?;
    set(Resource::Msgqueue, 0)?;
    if let Some(bytes) = limits.memory_bytes {
        set(Resource::Data, bytes)?;
        set(Resource::As, bytes.saturating_add(Limits::MAPPINGS))?;
    }
    if let Some(bytes) = limits.file_bytes {
        set(Resource::Fsize, bytes)?;
    }
    system::ignore_file_size_signal();
    Ok(())
}
