//! `bulkhead bench`: figures of a real desktop, taken by a script of its own.

use bulkhead_policy::Zone;
use clap::Subcommand;
use endpoint::script::{Player, Script, load};

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
    /// While every zone's terminal scrolls and the pointer moves 60 times a second.
    #[arg(long)]
    busy: bool,
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
    // A zone starts by itself or is started; what it draws while it comes up is over before the first key.
    let begin = |zone: &Zone| {
        let name = &zone.name;
        let start = match zone.autostart {
            true => String::new(),
            false => format!("start {name}\n"),
        };
        format!("{start}wait-ready {name}\nfocus {name}\nwait-still {name} 2\n")
    };
    let found = |wanted: &&Zone| wanted.name == *zone;
    let measured =
        policy.zones.iter().find(found).ok_or_else(|| {
            Failure::new(Failure::POLICY, format!("the policy has no zone `{zone}`"))
        })?;
    let mut lines = String::new();
    let mut last = format!("latency {zone} {}", latency.keys);
    if latency.busy {
        // All are up before the first one scrolls: the others' start is not to be waited for by one that works.
        for other in policy.zones.iter().filter(|other| !found(other)) {
            lines.push_str(&begin(other));
        }
        lines.push_str(&begin(measured));
        for other in policy.zones.iter().filter(|other| !found(other)) {
            let name = &other.name;
            lines.push_str(&format!(
                "focus {name}\ntype {}\nkey enter\n",
                load::SCROLLS
            ));
        }
        lines.push_str(&format!(
            "focus {zone}\ntype {}\nkey enter\nwait-still {zone} 2\n",
            load::ANSWERS
        ));
        last.push_str(" busy");
    } else {
        lines.push_str(&begin(measured));
    }
    lines.push_str(&format!("{last}\nquit\n"));
    let script = Script::parse("bench latency", &lines)
        .map_err(|error| Failure::from_error(Failure::SCRIPT, &error))?;
    let player = Player::new(script).with_json(latency.json);
    latency.run.show(source, policy, Some(player), verbose)
}
