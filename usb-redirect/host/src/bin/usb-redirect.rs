//! The process that holds one device and polls it: `usb-redirect --device /dev/bus/usb/001/004 --front stream`.
//!
//! Descriptor 0 is the stream to the desktop; on descriptor 1 notices go out, one a line, and, where it is a socket, the words `detach` and
//! `resume` come in. It opens the device's file and libusb's event descriptors, jails itself, and only then reads what the device says
//! of itself: whatever a device can do to a parser, it does in here, and its crash costs that device alone.
//!
//! `usb-redirect --describe /sys/bus/usb/devices/1-4` opens no device: it reads what the kernel shows of one, jails itself, and says what the
//! parsers make of it, for those who must not parse it themselves.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use rustix::stdio::{stdin, stdout};
use usb_redirect::desktop::{self, DesktopError};
use usb_redirect::device::{DescriptionFile, Device, Scripted, Simulated};
use usb_redirect::endpoint::{self, Control, End, Notice};
use usb_redirect::filter::Grant;
use usb_redirect::front::Front;
use usb_redirect::identity::Identity;
use usb_redirect::plugged::{Digest, Shown};
use usb_redirect::report::Usage;
use usb_redirect::stream::StreamFront;
use usb_redirect::usbip::{BusId, Exporter};
use usb_redirect::usbredir::Host;
use usb_redirect_host::{DeviceNode, HidrawDevice, HidrawNode, Libusb, UsbDevice};
use zone_jail::{Allowances, Jail, Layer, Layers};

/// Which wire format the desktop speaks.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wire {
    /// Ours, to an agent.
    Stream,
    /// To the kernel of a zone's guest: the agent is in this process.
    Guest,
    /// To QEMU's usb-redir.
    Usbredir,
    /// To a stock `usbip attach`: a round trip for every report.
    Usbip,
}

/// Holds one USB device and polls it for a desktop. The desktop is on descriptor 0.
#[derive(Parser)]
struct Arguments {
    /// Say what a device is, by the kernel's folder of it or a file of descriptors, and do nothing else.
    #[arg(long, conflicts_with_all = ["device", "hidraw", "simulate"])]
    describe: Option<PathBuf>,
    /// The device's file, such as /dev/bus/usb/001/004.
    #[arg(long, conflicts_with_all = ["hidraw", "simulate"])]
    device: Option<PathBuf>,
    /// A hidraw node: the device stays with the kernel.
    #[arg(long, conflicts_with = "simulate")]
    hidraw: Option<String>,
    /// A file of descriptors: a device that exists in memory.
    #[arg(long)]
    simulate: Option<PathBuf>,
    /// Reports of the simulated device, as "milliseconds endpoint bytes" a line.
    #[arg(long, requires = "simulate")]
    script: Option<PathBuf>,
    /// The wire format.
    #[arg(long, value_enum, default_value = "stream")]
    front: Wire,
    /// Where it is plugged in.
    #[arg(long, default_value = "")]
    port: String,
    /// The fingerprint that the policy looked at; another device is refused.
    #[arg(long)]
    expect: Option<String>,
    /// The hash of the one report descriptor that the policy looked at, where the device stays with the kernel and shows no more of itself.
    #[arg(long, requires = "hidraw")]
    expect_report: Option<String>,
    /// A top-level usage that may pass, as 0001:0006; without any, all pass.
    #[arg(long)]
    application: Vec<String>,
    /// Let power, sleep and wake keys pass.
    #[arg(long)]
    power_keys: bool,
    /// Let Alt with PrintScreen pass.
    #[arg(long)]
    sysrq: bool,
    /// Keys that may go down in a second; 0 does not look.
    #[arg(long, default_value_t = 50)]
    typing_rate: u32,
    /// Let the maker's own requests pass.
    #[arg(long)]
    vendor_requests: bool,
    /// Digits to be typed before a keyboard counts.
    #[arg(long)]
    challenge: Option<String>,
    /// Layers of the jail that must be in force, with commas between them.
    #[arg(long, default_value = "no-new-privileges,no-capabilities,seccomp")]
    require: String,
}

/// A device of which nothing was read yet.
enum Source {
    Usb(Libusb, DeviceNode),
    Hidraw(HidrawNode),
    Simulated(String, String),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("usb-redirect: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    zone_jail::close_inherited().context("close what was inherited")?;
    if let Some(path) = &arguments.describe {
        return describe(path, arguments.require.parse()?);
    }
    // Input goes first, where the system allows it.
    let _ = rustix::process::nice(-10);
    let source = source(&arguments)?;
    // Jailed, it makes no socket any more.
    let inner = UnixStream::pair()?;
    let required: Layers = arguments.require.parse()?;
    // The descriptors beyond the first three are the device's and libusb's own; nothing else is open.
    let jail = Jail::new(required)
        .leave_out(Layers::from_iter([Layer::ClosedDescriptors]))
        .allow(Allowances {
            usb_devices: true,
            ..Allowances::default()
        });
    let report = jail.apply()?;
    for (layer, reason) in report.missing() {
        notice(&format!("jail-layer-missing {layer} {reason}"));
    }
    let device = open(source, &arguments.port)?;
    let identity = Identity::new(device.description());
    let fingerprint = identity.fingerprint().to_string();
    if let Some(expected) = &arguments.expect {
        ensure!(
            *expected == fingerprint,
            "the device is not what the policy looked at: its fingerprint is {fingerprint}"
        );
    }
    if let Some(expected) = &arguments.expect_report {
        let hashes = identity
            .reports
            .values()
            .map(|report| report.hash.to_string());
        ensure!(
            hashes.eq([expected.clone()]),
            "the device's reports are not what the policy looked at"
        );
    }
    notice(&format!("device {fingerprint} {}", identity.kind()));
    serve(&*device, &arguments, inner)
}

/// Says what a device is.
fn describe(path: &Path, required: Layers) -> Result<()> {
    let (shown, file) = if path.is_dir() {
        let shown = Shown::read(path).with_context(|| path.display().to_string())?;
        (Some(shown), String::new())
    } else {
        (None, text(path)?)
    };
    Jail::new(required).apply()?;
    let digest = match shown {
        Some(shown) => shown.digest(),
        None => Digest::from(&DescriptionFile::parse(&file)?.describe()?),
    };
    let mut out = File::from(stdout().try_clone_to_owned()?);
    out.write_all(digest.to_string().as_bytes())?;
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| path.display().to_string())?;
    file.take(1 << 20).read_to_string(&mut text)?;
    Ok(text)
}

fn source(arguments: &Arguments) -> Result<Source> {
    match (&arguments.device, &arguments.hidraw, &arguments.simulate) {
        (Some(path), ..) => {
            let node = DeviceNode::open(path)?;
            Ok(Source::Usb(Libusb::prepare(node.interfaces())?, node))
        }
        (None, Some(path), _) => {
            let path = CString::new(path.as_str())?;
            Ok(Source::Hidraw(HidrawNode::open(&path)?))
        }
        (None, None, Some(path)) => {
            let script = arguments.script.as_deref().map(text).transpose()?;
            Ok(Source::Simulated(text(path)?, script.unwrap_or_default()))
        }
        _ => bail!("name a device: --device, --hidraw or --simulate"),
    }
}

fn open(source: Source, port: &str) -> Result<Box<dyn Device>> {
    match source {
        Source::Usb(libusb, node) => Ok(Box::new(UsbDevice::open_with(libusb, node, port)?)),
        Source::Hidraw(node) => Ok(Box::new(HidrawDevice::new(node)?)),
        Source::Simulated(descriptors, script) => {
            let description = Arc::new(DescriptionFile::parse(&descriptors)?.describe()?);
            let device = Simulated::new(description);
            let start = device.now() + Duration::from_secs(1);
            for (endpoint, reports) in Scripted::read(&script)? {
                let shifted = reports.into_iter().map(|(due, bytes)| (start + due, bytes));
                ensure!(
                    device.set_source(endpoint, Scripted::new(shifted)),
                    "the script names endpoint {:#04x}, which the device has not",
                    endpoint.0
                );
            }
            Ok(Box::new(device))
        }
    }
}

fn serve(
    device: &dyn Device,
    arguments: &Arguments,
    inner: (UnixStream, UnixStream),
) -> Result<()> {
    let mut grant = Grant::default();
    if !arguments.application.is_empty() {
        let usages = arguments.application.iter().map(|text| usage(text));
        grant.applications = Some(usages.collect::<Result<_>>()?);
    }
    grant.power_keys = arguments.power_keys;
    grant.sysrq = arguments.sysrq;
    grant.typing_rate = (arguments.typing_rate > 0).then_some(arguments.typing_rate);
    grant.vendor_requests = arguments.vendor_requests;
    grant.challenge.clone_from(&arguments.challenge);
    let description = device.description().clone();
    let front: Box<dyn Front> = match arguments.front {
        Wire::Stream | Wire::Guest => Box::new(StreamFront::new(description)),
        Wire::Usbredir => Box::new(Host::new(description)),
        Wire::Usbip => {
            let bus = BusId::new(&arguments.port)
                .or_else(|| BusId::new("1-1"))
                .context("a bus id")?;
            Box::new(Exporter::new(description, bus))
        }
    };
    let control = Control::new()?;
    let steering = control.clone();
    let commands = stdout().try_clone_to_owned()?;
    // The thread ends with the process: it may wait for a word for ever.
    std::thread::spawn(move || listen(commands, &steering));
    let socket: OwnedFd = stdin().try_clone_to_owned()?;
    let notify = |what| notice(&words(what));
    let end = match arguments.front {
        Wire::Guest => serve_guest(device, front, socket, inner, &grant, &control, &notify),
        _ => endpoint::serve(device, front, &socket.as_fd(), &grant, &control, &notify)
            .map_err(Into::into),
    }?;
    notice(&format!("end {end:?}"));
    Ok(())
}

/// The agent's queues are on this side of the guest's stream: what its kernel asks is answered from here, and the guest needs nothing but
/// its own `vhci_hcd`.
fn serve_guest(
    device: &dyn Device,
    front: Box<dyn Front>,
    guest: OwnedFd,
    (ours, agents): (UnixStream, UnixStream),
    grant: &Grant,
    control: &Control,
    notify: &(dyn Fn(Notice) + Sync),
) -> Result<End> {
    std::thread::scope(|scope| {
        let agent = scope.spawn(move || {
            desktop::run(&agents, |description| {
                desktop::introduce(&guest, description)?;
                Ok(guest)
            })
        });
        let end = endpoint::serve(device, front, &ours, grant, control, notify);
        // The agent waits for a detached device's last words, or for a session that has failed.
        drop(ours);
        match agent.join() {
            Ok(Ok(())) => Ok(end?),
            // It will be offered again.
            Ok(Err(DesktopError::Declined)) => Ok(End::Released),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => bail!("the agent's thread panicked"),
        }
    })
}

/// Takes commands. A pipe or a file cannot be read here, and then there are none.
fn listen(from: OwnedFd, control: &Control) {
    for line in BufReader::new(File::from(from))
        .lines()
        .map_while(Result::ok)
    {
        match line.trim() {
            "detach" => control.detach(),
            "resume" => control.resume(),
            _ => {}
        }
    }
}

fn usage(text: &str) -> Result<Usage> {
    let (page, number) = text.split_once(':').context("a usage is page:number")?;
    let part = |text| u16::from_str_radix(text, 16).with_context(|| format!("usage {text:?}"));
    Ok(Usage::new(part(page)?, part(number)?))
}

fn words(notice: Notice) -> String {
    match notice {
        Notice::TypingTooFast(endpoint) => format!("typing-too-fast {:#04x}", endpoint.0),
        Notice::CodeTyped(endpoint) => format!("code-typed {:#04x}", endpoint.0),
        Notice::Undeclared(endpoint) => format!("undeclared-report {:#04x}", endpoint.0),
        Notice::Refused(setup) => format!("request-refused {:02x?}", setup.to_bytes()),
        Notice::Stopped(endpoint, outcome) => format!("stopped {:#04x} {outcome:?}", endpoint.0),
    }
}

/// Tells whoever started this process. If nobody listens any more, that is no reason to stop.
fn notice(line: &str) {
    let _ = writeln!(
        File::from(match stdout().try_clone_to_owned() {
            Ok(out) => out,
            Err(_) => return,
        }),
        "{line}"
    );
}
