//! `bulkhead-zone`: the process that holds one zone's machine.
//!
//! It is started by the endpoint with its end of the zone link as an inherited descriptor, jails itself before it reads a byte
//! from there, builds the machine that the link describes, and ends with it. Exit codes: 0 the machine ended or the endpoint is
//! gone, 1 the zone failed (the link says why), 2 wrong arguments, 3 the jail could not be closed.

use std::fs::File;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

use zone_jail::{Jail, Layers, Limits};
use zone_link::{FromZone, Hello, LayerName, MissingLayer, Text, ZoneLink, ZoneState};
use zone_machine::machine::MAX_HARTS;
use zone_machine::zone;
use zone_translate::CodeCache;

const USAGE: &str = "usage: bulkhead-zone --link-fd N --jail LAYERS [--memory-bytes N] [--file-bytes N] [--descriptors N] [--debug]
With --debug, standard input is a socket over which a debugger may look into the machine.
Holds one zone's machine. Started by `bulkhead`, not by hand.";

struct Arguments {
    link: OwnedFd,
    required: Layers,
    limits: Limits,
    debug: bool,
}

fn main() -> ExitCode {
    let Arguments {
        link,
        required,
        limits,
        debug,
    } = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("bulkhead-zone: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // The jail forbids new executable mappings. Without code memory the harts interpret.
    let code = (0..MAX_HARTS)
        .map_while(|_| CodeCache::new().ok())
        .collect();
    // Nothing has been read from anyone yet but the command line.
    let report = match Jail::new(required)
        .limits(limits)
        .keep(link.as_fd())
        .apply()
    {
        Ok(report) => report,
        Err(error) => {
            eprintln!("bulkhead-zone: {error}");
            return ExitCode::from(3);
        }
    };
    let link = match ZoneLink::from_socket(link) {
        Ok(link) => link,
        Err(error) => {
            eprintln!("bulkhead-zone: {error}");
            return ExitCode::from(2);
        }
    };
    let debugger = debug
        .then(|| std::io::stdin().as_fd().try_clone_to_owned())
        .transpose();
    let debugger = match debugger {
        Ok(debugger) => debugger.map(File::from),
        Err(error) => {
            eprintln!("bulkhead-zone: the debugger's socket cannot be used: {error}");
            return ExitCode::from(2);
        }
    };
    let hello = FromZone::Hello(hello(&report));
    match link
        .send(&hello)
        .map_err(zone::ZoneError::from)
        .and_then(|()| zone::run(&link, code, debugger))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = Text::lossy(&zone::sentence(&error));
            eprintln!("bulkhead-zone: {reason}");
            // If the link is what failed, nobody hears this either.
            let _ = link.send(&FromZone::State(ZoneState::Failed(reason)));
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut link = None;
    let mut required = None;
    let mut limits = Limits::default();
    let mut debug = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--link-fd" => {
                let number: RawFd = value()?
                    .parse()
                    .map_err(|_| "--link-fd takes a descriptor's number".to_owned())?;
                link = Some(inherited(number)?);
            }
            "--debug" => debug = true,
            "--jail" => required = Some(value()?.parse().map_err(|error| format!("{error}"))?),
            "--memory-bytes" => limits.memory_bytes = Some(number(&name, &value()?)?),
            "--file-bytes" => limits.file_bytes = Some(number(&name, &value()?)?),
            "--descriptors" => limits.descriptors = number(&name, &value()?)?,
            _ => return Err(format!("there is no argument `{name}`")),
        }
    }
    Ok(Arguments {
        link: link.ok_or("--link-fd is missing")?,
        required: required.ok_or("--jail is missing")?,
        limits,
        debug,
    })
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("{name} takes a whole number"))
}

fn inherited(number: RawFd) -> Result<OwnedFd, String> {
    if number <= 2 {
        return Err("--link-fd cannot be one of the standard descriptors".into());
    }
    // SAFETY: the descriptor was inherited for this process to own, nothing else in it knows the number, and this is called
    // once, before anything else opens descriptors.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn hello(report: &zone_jail::Report) -> Hello {
    let missing = report.missing().iter().filter_map(|(layer, reason)| {
        Some(MissingLayer {
            layer: LayerName::new(layer.name())?,
            reason: Text::lossy(reason),
        })
    });
    Hello {
        in_force: report
            .in_force()
            .iter()
            .filter_map(|layer| LayerName::new(layer.name()))
            .collect(),
        missing: missing.collect(),
    }
}
