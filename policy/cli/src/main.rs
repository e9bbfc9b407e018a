//! The commands `policy` and `audit` alone, without the endpoint: for machines on which policies are written and signed.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use bulkhead_policy_cli::{AuditCommand, PolicyCommand};
use clap::Parser;

/// Bulkhead's policy and audit commands.
#[derive(Parser)]
#[command(name = "bulkhead", version)]
enum Program {
    /// Write, check, test, sign and install policies
    Policy(PolicyCommand),
    /// Show, check and export the audit log
    Audit(AuditCommand),
}

fn main() -> ExitCode {
    ExitCode::from(match Program::parse() {
        Program::Policy(command) => command.run(),
        Program::Audit(command) => command.run(),
    })
}
