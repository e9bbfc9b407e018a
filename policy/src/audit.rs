//! The audit log: what was decided, in records that each hold the hash of the one before.
//!
//! Records are lines of JSON. Nothing that crossed is in them, only sizes and hashes; text from zones is cut, and escaped
//! so that it can neither forge a line nor reach a terminal. Who changes, removes, repeats or moves a record breaks the
//! chain; who cuts off its end is found by the head, which is kept beside the log and in signed checkpoints.

mod chain;
mod record;
mod writer;

pub use chain::{Chain, Fault, Finding, Report, Tail, verify};
pub use record::{Event, FactsRecord, FlowRecord, Record};
pub use writer::{AuditError, Head, Log, segment_name};

/// The longest line of a log, in bytes.
pub const LINE_LENGTH: usize = 16 << 10;
