//! `bulkhead usb`: the commands of `usb-redirect-cli`, with the policy as judge and the running desktop as desk.

use std::path::PathBuf;

use bulkhead_policy::Decider;
use endpoint::door;
use endpoint::policy_source::PolicySource;
use endpoint::state_directory::StateDirectory;
use endpoint::usb::{Order, PolicyJudge};
use usb_redirect::identity::{DenyAll, Judge};
use usb_redirect_cli::{Desk, UsbCommand, anyhow};

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The policy whose verdicts are shown and hold, as a plain file [default: the one that is installed].
    #[arg(long, value_name = "FILE", global = true)]
    policy: Option<PathBuf>,
    /// The state directory of the running desktop [default: the user's].
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: UsbCommand,
}

/// What a command needs of the endpoint.
struct Here<'p> {
    judge: Option<PolicyJudge<'p>>,
    door: PathBuf,
    key: PathBuf,
}

impl Here<'_> {
    fn ask(&self, order: &Order) -> anyhow::Result<()> {
        let words: String = door::ask(&self.door, order).map_err(anyhow::Error::msg)?;
        println!("{words}");
        Ok(())
    }
}

impl Desk for Here<'_> {
    fn judge(&self) -> &dyn Judge {
        match &self.judge {
            Some(judge) => judge,
            None => &DenyAll,
        }
    }

    fn attach(&self, device: &str, zone: &str) -> anyhow::Result<()> {
        self.ask(&Order::Attach {
            device: device.to_owned(),
            zone: zone.to_owned(),
        })
    }

    fn key(&self) -> PathBuf {
        self.key.clone()
    }

    fn detach(&self, device: Option<&str>) -> anyhow::Result<()> {
        self.ask(&Order::Detach {
            device: device.map(str::to_owned),
        })
    }

    fn simulate(&self, descriptors: PathBuf, script: Option<PathBuf>) -> anyhow::Result<()> {
        self.ask(&Order::Simulate {
            descriptors,
            script,
        })
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        policy,
        state_dir,
        command,
    } = arguments;
    let decider = match &policy {
        Some(file) => Some(load(PolicySource::File(file.clone()))?),
        None if command.judges() => Some(load(PolicySource::Store(
            bulkhead_policy_cli::STORE.into(),
        ))?),
        None => None,
    };
    let state = state_dir.unwrap_or_else(StateDirectory::usual_place);
    let here = Here {
        judge: decider.as_ref().map(PolicyJudge::new),
        door: StateDirectory::usb_door_in(&state),
        key: state.join("usb.key"),
    };
    let ran = usb_redirect_cli::run(command, &here, &mut std::io::stdout().lock());
    ran.map_err(|error| Failure::new(Failure::GENERAL, format!("{error:#}")))
}

fn load(source: PolicySource) -> Result<Decider, Failure> {
    let loaded = source.load();
    let loaded = loaded.map_err(|error| Failure::from_error(Failure::POLICY, &error))?;
    Ok(Decider::new(loaded.policy))
}
