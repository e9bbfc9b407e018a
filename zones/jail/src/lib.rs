//! The jail that a zone process locks itself into before it reads a byte that anyone else chose.
//!
//! [`Jail::apply`] is the first thing `bulkhead-zone` does. It tries every [`Layer`], reports which are in force and why the others
//! are not, and refuses when a required one is missing. What the process needs afterwards (images, memory, sockets) comes over the one
//! descriptor that it keeps. The layers overlap on purpose: any one of them may fail and the others still hold.
//!
//! After `apply` the calling code runs as a child of the process that was started (a pid namespace begins with a fork). The parent
//! stays as a *warden*: it holds nothing, may do nothing but wait, ends exactly as its child ends (same exit code, same signal), and
//! when it is killed the kernel kills the child and everything in its pid namespace. So whoever started the process needs to know
//! one pid only.
//!
//! What jailed code must know:
//! - Files cannot be opened: `open`, `stat`, `access` and `readlink` fail with `EACCES`. Ask for a received descriptor's size by
//!   `fstat` or a seek; `std::fs::File::metadata` asks by path and fails.
//! - Threads can be made, processes cannot. No socket can be made; received ones work.
//! - Memory is never executable. A zone that translates code asks for [`Allowances::executable_memory`], which still forbids memory
//!   that is writable and executable at once; it maps one memfd twice instead.
//! - Anything else ends the process by `SIGSYS`.
//!
//! Trust: this code runs before anything hostile can. It trusts its caller and the kernel.
//!
//! Unsafe code is confined to `system`, which holds the few system calls that have no safe form.

#![deny(unsafe_code)]

mod identity;
mod jail;
mod landlock_layer;
mod layer;
mod limits;
mod namespaces;
mod privileges;
mod report;
mod root;
mod seccomp;
#[allow(unsafe_code)]
mod system;
mod warden;

use std::io;

/// Closes every descriptor that this process inherited beyond the standard three, for a program that opens something before it jails
/// itself. It is the first thing that such a program does: nothing may own a descriptor yet.
///
/// # Errors
/// The kernel refuses.
pub fn close_inherited() -> io::Result<()> {
    system::close_range(3, u32::MAX)
}

pub use jail::{Allowances, Jail, JailError};
pub use layer::{Layer, Layers, UnknownLayer};
pub use limits::Limits;
pub use report::Report;
