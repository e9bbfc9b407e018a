//! The commands `bulkhead policy …` and `bulkhead audit …`.
//!
//! The endpoint's program mounts [`PolicyCommand`] and [`AuditCommand`] as subcommands and calls their `run`. Everything
//! that decides is in `bulkhead-policy`; here is only what reads files and prints.
//!
//! Exit codes: 0 it is as it should be; 1 the command found something (mistakes, failed tests, a refused policy, a log
//! that was tampered with); 2 the command line is wrong; 3 a file or the storage failed.
#![forbid(unsafe_code)]

mod audit;
mod inspect;
mod output;
mod policy;
mod signing;

pub use audit::AuditCommand;
pub use output::{Failure, Outcome};
pub use policy::PolicyCommand;

/// Where an endpoint keeps its policy, unless it is told otherwise.
pub const STORE: &str = "/var/lib/bulkhead/policy";
/// Where an endpoint keeps its audit log, unless it is told otherwise.
pub const LOG: &str = "/var/lib/bulkhead/audit";
