//! `bulkhead bench`: figures of a real desktop, taken by a script of its own.

use clap::Subcommand;
use endpoint::script::{Player, Script};

use super::{Failure, run};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Measure how long a key takes to the pixels that it changes, through a real guest, and where the time goes.
    Latency(Box<Latency>),
}

#[derive(Debug, clap::Args)]
pub(super) struct Latency {
    /// The zone that is typed into; by default the policy's first one. What is typed must show: a terminal at its prompt does.
    #[arg(long)]
    zone: Option<String>,
    /// How many keys.
    #[arg(long, value_name = "COUNT", default_value = "200", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    keys: u16,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: run::Arguments,
}

pub(super) fn bench(command: &Command, verbose: u8) -> Result<(), Failure> {
    let Command::Latency(latency) = command;
    let (source, policy) = latency.run.policy()?;
    let first = policy.zones.first().map(|zone| zone.name.to_string());
    let zone = latency.zone.clone().or(first);
    let zone = zone.ok_or_else(|| Failure::new(Failure::POLICY, "the policy has no zone"))?;
    // It starts by itself or is started; what it draws while it comes up is over before the first key.
    let starts = policy.zone(&zone).is_some_and(|zone| zone.autostart);
    let start = if starts {
        String::new()
    } else {
        format!("start {zone}\n")
    };
    let lines = format!(
        "{start}wait-ready {zone}\nfocus {zone}\nwait-still {zone} 2\nlatency {zone} {}\nquit\n",
        latency.keys
    );
    let script = Script::parse("bench latency", &lines)
        .map_err(|error| Failure::from_error(Failure::SCRIPT, &error))?;
    let player = Player::new(script).with_json(latency.json);
    latency.run.show(source, policy, Some(player), verbose)
}
