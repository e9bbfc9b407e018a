//! `bulkhead policy`: what a policy says, without running it.

use std::path::{Path, PathBuf};

use bulkhead_policy::{Decider, Kind, Policy, Severity};
use clap::Subcommand;

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read a policy, tell every mistake with its place and mend, and warn of what is probably not meant.
    Check {
        /// The policy.
        file: PathBuf,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show what may cross from which zone to which.
    Matrix {
        /// The policy.
        file: PathBuf,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check { file, json } => check(file, *json),
        Command::Matrix { file, json } => {
            let matrix = Decider::new(read_policy(file)?).matrix(&Kind::ALL);
            match json {
                true => println!("{:#}", matrix.json()),
                false => print!("{matrix}"),
            }
            Ok(())
        }
    }
}

/// Reads a policy file.
pub(super) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let name = path.display().to_string();
    let bytes = read_bounded(path).map_err(|error| {
        Failure::new(
            Failure::POLICY,
            format!("the policy {name} cannot be read: {error}"),
        )
    })?;
    Policy::parse(&name, &bytes).map_err(|errors| Failure::new(Failure::POLICY, errors))
}

/// One byte more than a policy may have is enough to say that it is too large.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let most = u64::try_from(bulkhead_policy::LIMITS.bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(most)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(path: &Path, json: bool) -> Result<(), Failure> {
    let policy = read_policy(path)?;
    let zones = policy.zones.len();
    let findings = Decider::new(policy).lint(None);
    if json {
        let text = serde_json::to_string_pretty(&findings)
            .map_err(|error| Failure::from_error(Failure::GENERAL, &error))?;
        println!("{text}");
    } else {
        for finding in &findings {
            println!("{finding}");
        }
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    if errors > 0 {
        return Err(Failure::new(
            Failure::POLICY,
            format!("{}: {errors} mistakes", path.display()),
        ));
    }
    if !json {
        println!(
            "{}: in order; {zones} zones, {} findings",
            path.display(),
            findings.len()
        );
    }
    Ok(())
}
