//! The command line: what was asked, and with which exit code it ended.

mod bench;
mod image;
mod logging;
mod run;
mod secret;
mod usb;
mod zone;

use std::fmt::Display;
use std::process::ExitCode;

use bulkhead_policy_cli::{AuditCommand, PolicyCommand};
use clap::{ArgAction, Parser, Subcommand};
use endpoint::check_host;

const EXIT_CODES: &str = "Exit codes:
  0  it was done
  1  it failed: a zone ended in a way that nobody asked for, or something on this machine did not work
  2  the command line is wrong
  3  the policy is wrong; every mistake is told with file, line and column
  4  this host lacks a jail layer that the policy requires
  5  an image is missing, damaged or could not be made
  6  a line of the script failed
  7  there is no display to open a window on
The commands `policy` and `audit` have exit codes of their own; their --help lists them.

Zones are virtual machines in jailed processes; a policy file says which there are and what may cross between them.";

/// Several security zones on one desktop.
#[derive(Debug, Parser)]
#[command(name = "bulkhead", version, after_help = EXIT_CODES, max_term_width = 110)]
struct Arguments {
    /// Say what happens (-v: consoles of zones go to files, too; -vv: everything). BULKHEAD_LOG takes a filter instead.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the desktop that a policy describes.
    Run(Box<run::Arguments>),
    /// Take figures of a real desktop.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Show in one table what this machine offers.
    CheckHost {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Set what unlocks the desktop.
    #[command(subcommand)]
    Passphrase(secret::Passphrase),
    /// Set the phrase by which you know the attention screen.
    #[command(subcommand)]
    Phrase(secret::Phrase),
    /// Make, move and check guest images.
    #[command(subcommand)]
    Image(image::Command),
    /// Show, start, stop and debug the zones of a running desktop.
    Zone(zone::Arguments),
    /// Write, check, test, sign and install policies.
    Policy(PolicyCommand),
    /// Show, check and export the audit log.
    Audit(AuditCommand),
    /// Show USB devices, and give them to zones or take them back.
    Usb(Box<usb::Arguments>),
}

/// Why a command failed, and the exit code for it.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something on this machine did not work.
    pub const GENERAL: u8 = 1;
    /// The policy is wrong.
    pub const POLICY: u8 = 3;
    /// A required jail layer is missing.
    pub const JAIL: u8 = 4;
    /// An image is missing, damaged or could not be made.
    pub const IMAGE: u8 = 5;
    /// The script failed.
    pub const SCRIPT: u8 = 6;
    /// No display.
    pub const DISPLAY: u8 = 7;

    /// A failure with this exit code and text.
    pub fn new(code: u8, message: impl Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// A failure from an error with its causes.
    pub fn from_error(code: u8, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(&format!("\n  because: {error}"));
            cause = error.source();
        }
        Self { code, message }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.verbose);
    let outcome = match arguments.command {
        Command::Run(run) => run::run(&run, arguments.verbose),
        Command::Bench(bench) => bench::bench(&bench, arguments.verbose),
        Command::CheckHost { json } => {
            let report = check_host::Report::collect();
            match json {
                true => println!("{}", report.to_json()),
                false => print!("{report}"),
            }
            Ok(())
        }
        Command::Passphrase(command) => secret::passphrase(&command),
        Command::Phrase(command) => secret::phrase(&command),
        Command::Image(command) => image::run(&command),
        Command::Usb(arguments) => usb::run(*arguments),
        Command::Zone(arguments) => zone::run(&arguments),
        Command::Policy(command) => return ExitCode::from(command.run()),
        Command::Audit(command) => return ExitCode::from(command.run()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bulkhead: {}", failure.message.trim_end());
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_argument_is_explained() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} of {} has no help",
                    argument.get_id(),
                    command.get_name()
                );
            }
            for command in command.get_subcommands() {
                assert!(
                    command.get_about().is_some(),
                    "{} has no help",
                    command.get_name()
                );
                check(command);
            }
        }
        check(&Arguments::command());
    }
}
