//! `bulkhead zone`: the zones of a running desktop.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use endpoint::state_directory::StateDirectory;
use endpoint::{ZoneLine, ZoneOrder, door};

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The running desktop's state directory [default: the user's].
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// Print the zones as one JSON array instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what the zones are doing.
    List,
    /// Start a zone.
    Start {
        /// The zone's name.
        zone: String,
    },
    /// Shut a zone down, as its power button does.
    Stop {
        /// The zone's name.
        zone: String,
        /// Do not wait for its guest: what that has not written is lost.
        #[arg(long)]
        now: bool,
    },
    /// Shut a zone down and start it again.
    Restart {
        /// The zone's name.
        zone: String,
    },
    /// Connect a debugger to a zone of a desktop that was started with --debug-zones: in GDB, `target remote | bulkhead zone debug NAME`.
    Debug {
        /// The zone's name.
        zone: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = arguments.state_dir.clone();
    let place = place.unwrap_or_else(StateDirectory::usual_place);
    let order = match &arguments.command {
        Command::List => ZoneOrder::List,
        Command::Start { zone } => ZoneOrder::Start(zone.clone()),
        Command::Stop { zone, now: false } => ZoneOrder::Stop(zone.clone()),
        Command::Stop { zone, now: true } => ZoneOrder::Kill(zone.clone()),
        Command::Restart { zone } => ZoneOrder::Restart(zone.clone()),
        Command::Debug { zone } => return debug(&place, zone),
    };
    let zones: Vec<ZoneLine> = door::ask(&StateDirectory::zones_door_in(&place), &order)
        .map_err(|words| Failure::new(Failure::GENERAL, words))?;
    match arguments.json {
        true => println!("{}", serde_json::to_string(&zones).unwrap_or_default()),
        false => zones.iter().for_each(|zone| println!("{}", line(zone))),
    }
    Ok(())
}

fn line(zone: &ZoneLine) -> String {
    let mut line = format!("{:16} {}", zone.name, zone.state);
    if let Some(reason) = &zone.reason {
        line.push_str(&format!(": {reason}"));
    }
    let signs = [
        (zone.ready, "ready"),
        (zone.focused, "has the keyboard"),
        (zone.needs_restart, "restart it for the new policy"),
    ];
    for (_, sign) in signs.iter().filter(|(holds, _)| *holds) {
        line.push_str(&format!(", {sign}"));
    }
    line
}

/// A zone's debugger door on this program's standard input and output, as GDB wants it.
fn debug(place: &Path, zone: &str) -> Result<(), Failure> {
    let path = StateDirectory::debugger_of(place, zone);
    let failed = |what: &str, error: io::Error| {
        Failure::new(
            Failure::GENERAL,
            format!("{what} {}: {error}", path.display()),
        )
    };
    let stream = UnixStream::connect(&path).map_err(|error| {
        failed(
            "no desktop that was started with --debug-zones runs this zone: cannot open",
            error,
        )
    })?;
    let (mut from_zone, mut to_zone) = (
        stream
            .try_clone()
            .map_err(|error| failed("cannot use", error))?,
        stream,
    );
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut to_zone);
        let _ = to_zone.shutdown(Shutdown::Both);
    });
    // Ends when either side has nothing more to say.
    io::copy(&mut from_zone, &mut Unbuffered)
        .map(drop)
        .map_err(|error| failed("lost", error))
}

/// Standard output without waiting for the end of a line: packets have none.
struct Unbuffered;

impl io::Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        let count = out.write(bytes)?;
        out.flush()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
