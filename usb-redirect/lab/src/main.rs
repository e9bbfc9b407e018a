//! Init of the virtual machines in which `usb-redirect` meets a stock kernel: loads modules, plays one scenario, says how it went, turns
//! the machine off. It runs nowhere else.
//!
//! Every line of the outcome begins with `LAB`. The last is `LAB passed` or `LAB failed: why`.

mod evdev;
mod gadget;
mod modules;
mod network;
mod peers;
mod redirect;
mod remote;
mod scenarios;
mod uhid;

use std::fs;

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};

fn main() {
    if std::process::id() != 1 {
        eprintln!("usb-lab is the init of a test machine and does nothing anywhere else");
        std::process::exit(2);
    }
    match play() {
        Ok(()) => println!("LAB passed"),
        Err(error) => println!("LAB failed: {error:#}"),
    }
    rustix::fs::sync();
    // Nothing follows: the machine is off, or the kernel panics because init ended, which turns it off too.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
}

fn play() -> Result<()> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(place)?;
        mount(kind, place, kind, MountFlags::empty(), None)
            .with_context(|| format!("mount {place}"))?;
    }
    modules::load_all()?;
    match word("scenario")?.as_str() {
        "simulated" => scenarios::simulated(),
        "gadget" => scenarios::gadget(),
        "jailed" => scenarios::jailed(),
        "stock" => scenarios::stock(),
        "peers" => peers::peers(),
        "source" => remote::source(),
        "server" => remote::server(),
        "agent-tests" => remote::agent_tests(),
        "uhid" => uhid::uhid(),
        other => bail!("there is no scenario {other:?}"),
    }
}

/// A word of the kernel's command line, `name=word`.
fn word(name: &str) -> Result<String> {
    let line = fs::read_to_string("/proc/cmdline")?;
    line.split_whitespace()
        .find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
        .with_context(|| format!("the kernel's command line has no {name}"))
}
