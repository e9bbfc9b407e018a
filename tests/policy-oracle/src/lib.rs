//! Cedar as an oracle for verdicts, and its time beside ours.
//!
//! Cedar (cedar-policy) decides by the same rule for what it has: default deny, and forbid overrides permit. So for rules
//! that allow and deny, with conditions on known facts, both must agree on every request. This crate makes such policies
//! at random in a form of its own, writes each in both languages, and asks both. Our `ask` has no counterpart there.

mod bench;
mod plan;

pub use bench::measure;
pub use plan::{Numbers, Plan, Question};
