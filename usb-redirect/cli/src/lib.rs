//! The commands of `bulkhead usb`, for the endpoint to mount: a clap subcommand ([`UsbCommand`]) and [`run`].
//!
//! Nothing here decides: verdicts come from a [`Judge`], and devices of running zones are attached and detached by a [`Desk`], which is the
//! endpoint. A device that goes to a socket (QEMU, `usbip`, an agent) is held by the jailed program `usb-redirect`, which this starts.

mod attach;
mod describe;
mod list;

pub use attach::grant_arguments;
pub use describe::describe;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

pub use anyhow;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use usb_redirect::identity::Judge;
use usb_redirect_tls::{Key, Pin};

/// What the endpoint does for these commands.
pub trait Desk {
    /// Who decides.
    fn judge(&self) -> &dyn Judge;

    /// Attaches a listed device (by port or by vendor:product) to a running zone.
    ///
    /// # Errors
    /// With the sentence to show.
    fn attach(&self, device: &str, zone: &str) -> Result<()>;

    /// The file of this endpoint's own key for servers.
    fn key(&self) -> PathBuf;

    /// Takes a device, or all of them, back from zones.
    ///
    /// # Errors
    /// With the sentence to show.
    fn detach(&self, device: Option<&str>) -> Result<()>;

    /// Plugs a device that exists in memory into the running desktop.
    ///
    /// # Errors
    /// With the sentence to show.
    fn simulate(&self, descriptors: PathBuf, script: Option<PathBuf>) -> Result<()>;
}

/// USB devices and the zones they may go to.
#[derive(Debug, Subcommand)]
pub enum UsbCommand {
    /// Show what is plugged in, what it is, and which zone may have it by which rule.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Give a device to a zone, or to a program at a socket.
    Attach(Attach),
    /// Take a device back.
    Detach {
        /// Its port or vendor:product.
        #[arg(required_unless_present = "all")]
        device: Option<String>,
        /// Take all back, as the emergency chord does.
        #[arg(long, conflicts_with = "device")]
        all: bool,
    },
    /// Tell what is plugged in and pulled out, until interrupted.
    Watch {
        /// Look this often, in milliseconds.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..=60_000))]
        every: u64,
        /// Stop after looking this many times.
        #[arg(long)]
        times: Option<u64>,
    },
    /// Show the policy's rules about USB.
    Rules,
    /// Print the pin of this endpoint's own key, which servers must know; it is made at the first use.
    Key,
    /// Make a device that exists in memory, from a file of descriptors: plug it into the running desktop, or give it to a program at a
    /// socket.
    Simulate(Simulate),
    /// Measure plain USB/IP, usbredir and ours side by side.
    Bench {
        /// Seconds for each run.
        #[arg(long, default_value_t = 2)]
        seconds: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl UsbCommand {
    /// Whether it asks the [`Judge`].
    #[must_use]
    pub fn judges(&self) -> bool {
        match self {
            Self::List { .. } | Self::Rules => true,
            Self::Attach(attach) => attach.socket.is_named(),
            _ => false,
        }
    }
}

/// `attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// Its port (1-1.4) or vendor:product (046d:c31c).
    pub device: String,
    /// The zone whose rules hold.
    pub zone: String,
    /// Where it goes, when it does not go to a running zone of this endpoint.
    #[command(flatten)]
    pub socket: Socket,
    /// Leave it with this machine, too, which goes on hearing it: for a device with a single interface that goes to a server or a socket.
    #[arg(long)]
    pub keep: bool,
    /// The server's key, as `usb-agent key` prints it.
    #[arg(long, value_name = "HEX", requires = "server")]
    pub pin: Option<Pin>,
}

/// `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The file of descriptors.
    pub descriptors: PathBuf,
    /// Reports to send: "milliseconds endpoint bytes" a line.
    #[arg(long)]
    pub script: Option<PathBuf>,
    /// Where it goes.
    #[command(flatten)]
    pub socket: Socket,
    /// The server's key, as `usb-agent key` prints it.
    #[arg(long, value_name = "HEX", requires = "server")]
    pub pin: Option<Pin>,
}

/// A peer at a Unix socket that it has made, such as QEMU's `-chardev socket,path=PATH,server=on`.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Socket {
    /// QEMU's usb-redir, or any other usbredir guest.
    #[arg(long, value_name = "PATH")]
    pub usbredir: Option<PathBuf>,
    /// A USB/IP client: a round trip for every report.
    #[arg(long, value_name = "PATH")]
    pub usbip: Option<PathBuf>,
    /// A `usb-agent`.
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// A `usb-agent listen` of a desktop on a server, over TLS 1.3.
    #[arg(long, value_name = "HOST:PORT", requires = "pin")]
    pub server: Option<String>,
}

impl Socket {
    fn is_named(&self) -> bool {
        self.usbredir.is_some()
            || self.usbip.is_some()
            || self.agent.is_some()
            || self.server.is_some()
    }
}

/// Runs a command; what it shows goes to `out`.
///
/// # Errors
/// With the sentence to show.
pub fn run(command: UsbCommand, desk: &dyn Desk, out: &mut dyn Write) -> Result<()> {
    match command {
        UsbCommand::List { json: false } => list::list(desk.judge(), &describe::plugged()?, out),
        UsbCommand::List { json: true } => {
            list::list_json(desk.judge(), &describe::plugged()?, out)
        }
        UsbCommand::Attach(attach) => attach::attach(&attach, desk, out),
        UsbCommand::Detach { device, .. } => desk.detach(device.as_deref()),
        UsbCommand::Watch { every, times } => list::watch(Duration::from_millis(every), times, out),
        UsbCommand::Rules => {
            for rule in desk.judge().rules() {
                writeln!(out, "{rule}")?;
            }
            Ok(())
        }
        UsbCommand::Key => {
            writeln!(out, "{}", Key::open(&desk.key())?.pin())?;
            Ok(())
        }
        UsbCommand::Simulate(simulate) => attach::simulate(simulate, desk, out),
        UsbCommand::Bench { seconds, json } => {
            let mut words = vec!["--seconds".to_owned(), seconds.to_string()];
            words.extend(json.then(|| "--json".to_owned()));
            usb_redirect_bench::run(words).context("measure")
        }
    }
}
