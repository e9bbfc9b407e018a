//! `bulkhead policy …`: the commands and their arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::inspect;
use crate::output::{Failure, Outcome, print_json};
use crate::signing;

/// Writes, checks, tests, signs and installs policies.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 as it should be, 1 something was found or refused, 2 wrong command line, 3 a file failed."
)]
pub struct PolicyCommand {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Find mistakes, and what is probably not meant
    Check {
        /// Policy files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Count warnings as mistakes
        #[arg(long)]
        strict: bool,
    },
    /// Lay policy files out in the one layout
    Fmt {
        /// Policy files; - reads standard input and writes standard output
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Change nothing; say which files are laid out otherwise
        #[arg(long)]
        check: bool,
    },
    /// Print the JSON Schema of policy files, for editors
    Schema,
    /// Say what the verdict on one flow is, and why
    Explain {
        /// The policy file
        file: PathBuf,
        #[command(flatten)]
        flow: Box<FlowArguments>,
    },
    /// Show the verdicts between all zones
    Matrix {
        /// The policy file
        file: PathBuf,
        /// Only these kinds of flow
        #[arg(long, value_delimiter = ',')]
        kind: Vec<String>,
        /// Write a picture to this file
        #[arg(long)]
        svg: Option<PathBuf>,
        /// Write a page to this file
        #[arg(long)]
        html: Option<PathBuf>,
    },
    /// Show which zones' data can arrive where, through any number of hops
    Reach {
        /// The policy file
        file: PathBuf,
        /// Only from this zone
        #[arg(long)]
        from: Option<String>,
        /// Only to this zone
        #[arg(long)]
        to: Option<String>,
        /// Count ways through networks and USB devices, too
        #[arg(long)]
        outside: bool,
        /// Only from higher to lower levels
        #[arg(long)]
        down: bool,
    },
    /// Show what changes between two policies, in verdicts
    Diff {
        /// The policy before
        old: PathBuf,
        /// The policy after
        new: PathBuf,
        /// End with code 1 where something is let through that was not
        #[arg(long)]
        refuse_loosening: bool,
    },
    /// Replay an audit log against a policy
    Simulate {
        /// The policy file
        file: PathBuf,
        /// Log files, or the directory of a log
        #[arg(required = true)]
        log: Vec<PathBuf>,
    },
    /// Hold a policy against files of expected verdicts
    Test {
        /// The policy file
        file: PathBuf,
        /// Files of expectations; the default for policy.toml is policy.test.toml
        expectations: Vec<PathBuf>,
    },
    /// Make a key to sign policies with
    Keygen(signing::Keygen),
    /// Sign a policy
    Sign(signing::Sign),
    /// Check a policy's signatures
    Verify(signing::Verify),
    /// Make a policy store and say whom it trusts
    SetUp(signing::SetUp),
    /// Install a signed policy
    Install(signing::Install),
    /// Show what is installed
    Status(signing::StatusOf),
}

/// One flow, and what is known of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct FlowArguments {
    /// What crosses: clipboard, file, url, launch, drag, usb, audio-in, audio-out, camera, notification, print,
    /// screenshot, snapshot, network, service
    pub(crate) kind: String,
    /// From which zone, or host
    pub(crate) from: String,
    /// To which zone, or host
    pub(crate) to: String,
    /// Media type of the data
    #[arg(long)]
    mime: Option<String>,
    /// Name of the file
    #[arg(long)]
    file_name: Option<String>,
    /// Size, such as 64KiB
    #[arg(long)]
    bytes: Option<String>,
    /// How long ago it was copied, such as 10s
    #[arg(long)]
    age: Option<String>,
    /// URL to open
    #[arg(long)]
    url: Option<String>,
    /// Host to connect to
    #[arg(long)]
    host: Option<String>,
    /// Port to connect to
    #[arg(long)]
    port: Option<String>,
    /// Application to launch
    #[arg(long)]
    application: Option<String>,
    /// Service to call
    #[arg(long)]
    service: Option<String>,
    /// Argument of the service or the launch
    #[arg(long)]
    argument: Option<String>,
    /// USB device: "id=046d:c31c class=03:01:01 serial=1 port=1-2"
    #[arg(long)]
    usb: Option<String>,
    /// Network that the endpoint is connected to
    #[arg(long)]
    connected: Vec<String>,
    /// Local time and its offset: 2026-03-02T09:00:00+01:00
    #[arg(long)]
    time: Option<String>,
}

impl FlowArguments {
    pub(crate) fn facts(&self) -> Result<bulkhead_policy::Facts, Failure> {
        let mut facts = bulkhead_policy::Facts::default();
        let texts = [
            ("mime", &self.mime),
            ("file", &self.file_name),
            ("bytes", &self.bytes),
            ("age", &self.age),
            ("url", &self.url),
            ("host", &self.host),
            ("port", &self.port),
            ("application", &self.application),
            ("service", &self.service),
            ("argument", &self.argument),
            ("usb", &self.usb),
            ("time", &self.time),
        ];
        let connected = self.connected.iter().map(|name| ("connected", name));
        for (key, text) in texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, text.as_ref()?)))
            .chain(connected)
        {
            facts
                .set_from_text(key, text)
                .map_err(|reason| Failure::Refused(format!("--{key}: {reason}")))?;
        }
        Ok(facts)
    }
}

impl PolicyCommand {
    /// Runs the command and gives its exit code. Results go to standard output, failures to standard error; with
    /// `--json` both go to standard output.
    pub fn run(&self) -> u8 {
        match self.execute() {
            Ok(outcome) => outcome.code(),
            Err(failure) => {
                report(&failure, self.json);
                failure.code()
            }
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`] where it could not do what was asked.
    pub fn execute(&self) -> Result<Outcome, Failure> {
        let json = self.json;
        match &self.command {
            Command::Check { files, strict } => inspect::check(files, *strict, json),
            Command::Fmt { files, check } => inspect::fmt(files, *check, json),
            Command::Schema => {
                print_json(&bulkhead_policy::schema());
                Ok(Outcome::Good)
            }
            Command::Explain { file, flow } => inspect::explain(file, flow, json),
            Command::Matrix {
                file,
                kind,
                svg,
                html,
            } => inspect::matrix(file, kind, svg.as_deref(), html.as_deref(), json),
            Command::Reach {
                file,
                from,
                to,
                outside,
                down,
            } => inspect::reach(
                file,
                &inspect::ReachFilter {
                    from: from.as_deref(),
                    to: to.as_deref(),
                    outside: *outside,
                    down: *down,
                },
                json,
            ),
            Command::Diff {
                old,
                new,
                refuse_loosening,
            } => inspect::diff(old, new, *refuse_loosening, json),
            Command::Simulate { file, log } => inspect::simulate(file, log, json),
            Command::Test { file, expectations } => inspect::test(file, expectations, json),
            Command::Keygen(keygen) => keygen.run(json),
            Command::Sign(sign) => sign.run(json),
            Command::Verify(verify) => verify.run(json),
            Command::SetUp(set_up) => set_up.run(json),
            Command::Install(install) => install.run(json),
            Command::Status(status) => status.run(json),
        }
    }
}

pub(crate) fn report(failure: &Failure, json: bool) {
    if json {
        print_json(&failure.json());
    } else {
        eprintln!(
            "{}{failure}",
            if matches!(failure, Failure::Mistakes(_)) {
                ""
            } else {
                "error: "
            }
        );
    }
}
