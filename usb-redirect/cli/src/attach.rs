//! `attach` and `simulate` to a socket: the jailed program `usb-redirect` is started with the connection.

use std::io::{ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use usb_redirect::device::{DescriptionFile, Scripted};
use usb_redirect::filter::Grant;
use usb_redirect::identity::{Circumstances, Hash, Identity, Judgement};
use usb_redirect::plugged::{Place, Plugged};
use usb_redirect_tls::{Key, Link, Pin};

use crate::list::another_keyboard;
use crate::{Attach, Desk, Simulate, Socket};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn attach(attach: &Attach, desk: &dyn Desk, out: &mut dyn Write) -> Result<()> {
    let Some(peer) = Peer::named(&attach.socket, attach.pin, desk) else {
        ensure!(
            !attach.keep,
            "a device that goes to a running zone does not stay here; --keep is for servers and sockets"
        );
        return desk.attach(&attach.device, &attach.zone);
    };
    let devices = crate::describe::plugged()?;
    let device = find(&devices, &attach.device)?;
    let identity = match &device.digest.identity {
        Ok(identity) => identity,
        Err(why) => bail!("no zone may have that device; {why}"),
    };
    let circumstances = Circumstances {
        another_keyboard: another_keyboard(&devices, device),
        changed: false,
    };
    let (judgement, rule) = desk.judge().judge(&attach.zone, identity, circumstances);
    let grant = match judgement {
        Judgement::Allow(grant) => grant,
        Judgement::Ask => bail!(
            "zone {} may have this device only after someone is asked ({rule}); the endpoint's USB page asks",
            attach.zone
        ),
        Judgement::Deny => bail!("zone {} may not have this device: {rule}", attach.zone),
    };
    writeln!(out, "zone {} may have it: {rule}", attach.zone)?;
    let mut program = program(peer.front())?;
    program.args(["--port", &device.place.port]);
    // What the policy looked at is what must be found when the device is opened.
    if attach.keep {
        let (node, report) = kept(&device.place, identity)?;
        program.arg("--hidraw").arg(node);
        program.args(["--expect-report", &report.to_string()]);
    } else {
        program.arg("--device").arg(&device.place.node);
        program.args(["--expect", &identity.fingerprint().to_string()]);
    }
    program.args(grant_arguments(&grant));
    peer.connect()?.hold(program)
}

/// The hidraw node of a device that stays with the kernel, and the hash of its report descriptor.
fn kept(place: &Place, identity: &Identity) -> Result<(PathBuf, Hash)> {
    let mut reports = identity.reports.values();
    let (Some(report), None) = (reports.next(), reports.next()) else {
        bail!(
            "{} has {} interfaces for input; only a device with one can stay here",
            place.port,
            identity.reports.len()
        );
    };
    // `1-1/1-1:1.0/0003:046D:C31C.0001/hidraw/hidraw0`.
    let inside = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let interfaces = inside(&place.folder).into_iter();
    let drivers = interfaces.flat_map(|interface| inside(&interface));
    let mut nodes = drivers.flat_map(|driver| inside(&driver.join("hidraw")));
    let node = nodes.next().with_context(|| {
        format!(
            "the kernel has no hidraw node for {}; is its driver loaded?",
            place.port
        )
    })?;
    let name = node.file_name().context("a node without a name")?;
    Ok((Path::new("/dev").join(name), report.hash))
}

pub(crate) fn simulate(simulate: Simulate, desk: &dyn Desk, out: &mut dyn Write) -> Result<()> {
    check(&simulate)?;
    let Some(peer) = Peer::named(&simulate.socket, simulate.pin, desk) else {
        return desk.simulate(simulate.descriptors, simulate.script);
    };
    let mut program = program(peer.front())?;
    program.arg("--simulate").arg(&simulate.descriptors);
    if let Some(script) = &simulate.script {
        program.arg("--script").arg(script);
    }
    let connected = peer.connect()?;
    writeln!(out, "the device is at {peer} until either side ends it")?;
    connected.hold(program)
}

/// Says what is wrong with files before anything is begun with them: a desktop says no more than that it has taken them.
fn check(simulate: &Simulate) -> Result<()> {
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let path = &simulate.descriptors;
    let described = DescriptionFile::parse(&read(path)?).and_then(|file| file.describe());
    described.with_context(|| path.display().to_string())?;
    if let Some(path) = &simulate.script {
        Scripted::read(&read(path)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Where a device goes that goes to no zone of a running desktop.
enum Peer<'a> {
    Unix(&'static str, &'a Path),
    Server {
        address: &'a str,
        pin: Pin,
        key: PathBuf,
    },
}

impl std::fmt::Display for Peer<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(_, path) => path.display().fmt(formatter),
            Self::Server { address, .. } => address.fmt(formatter),
        }
    }
}

impl<'a> Peer<'a> {
    fn named(socket: &'a Socket, pin: Option<Pin>, desk: &dyn Desk) -> Option<Self> {
        let paths = [
            ("usbredir", &socket.usbredir),
            ("usbip", &socket.usbip),
            ("stream", &socket.agent),
        ];
        let path = paths
            .into_iter()
            .find_map(|(front, path)| Some(Self::Unix(front, path.as_deref()?)));
        path.or_else(|| {
            Some(Self::Server {
                address: socket.server.as_deref()?,
                pin: pin?,
                key: desk.key(),
            })
        })
    }

    fn front(&self) -> &'static str {
        match self {
            Self::Unix(front, _) => front,
            Self::Server { .. } => "stream",
        }
    }

    fn connect(&self) -> Result<Connected> {
        Ok(match self {
            Self::Unix(_, path) => {
                let socket = UnixStream::connect(path)
                    .with_context(|| format!("nobody listens at {}", path.display()))?;
                Connected { socket, link: None }
            }
            Self::Server { address, pin, key } => {
                let link = Link::connect(reach(address)?, &Key::open(key)?, *pin)
                    .with_context(|| (*address).to_owned())?;
                let (ours, socket) = UnixStream::pair()?;
                Connected {
                    socket,
                    link: Some((link, ours)),
                }
            }
        })
    }
}

/// Connects to a server.
fn reach(address: &str) -> Result<TcpStream> {
    let places = address.to_socket_addrs();
    let places = places.with_context(|| {
        format!("{address} is not the name or address of a server with a port, as HOST:PORT")
    })?;
    let mut failed = ErrorKind::NotFound.into();
    for place in places {
        match TcpStream::connect_timeout(&place, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed).with_context(|| format!("no `usb-agent listen` can be reached at {address}"))
}

/// A peer that has answered.
struct Connected {
    socket: UnixStream,
    link: Option<(Link, UnixStream)>,
}

impl Connected {
    /// Starts the program with the connection, and waits for its end.
    fn hold(self, mut program: Command) -> Result<()> {
        let mut child = program
            .stdin(Stdio::from(OwnedFd::from(self.socket)))
            .stdout(Stdio::inherit())
            .spawn()
            .context("start usb-redirect")?;
        // The program has its end now, and only it.
        drop(program);
        let carried = self.link.map_or(Ok(()), |(link, ours)| link.carry(ours));
        let status = child.wait().context("wait for usb-redirect")?;
        // It has said why; that the link ends then is no news.
        ensure!(status.success(), "usb-redirect ended with {status}");
        Ok(carried?)
    }
}

fn find<'a>(devices: &'a [Plugged], name: &str) -> Result<&'a Plugged> {
    let mut found = devices.iter().filter(|device| {
        let (vendor, product, _) = device.digest.numbers;
        device.place.port == name || format!("{vendor:04x}:{product:04x}") == name
    });
    let first = found.next().with_context(|| {
        format!("there is no USB device {name}; `bulkhead usb list` shows what there is")
    })?;
    ensure!(
        found.next().is_none(),
        "there is more than one USB device {name}; name its port"
    );
    Ok(first)
}

/// The program beside this one, so that no other of that name on the path is started.
pub(crate) fn program_path() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let path: PathBuf = own.with_file_name("usb-redirect");
    ensure!(
        path.is_file(),
        "{} is missing: it is installed beside this program",
        path.display()
    );
    Ok(path)
}

fn program(front: &str) -> Result<Command> {
    let mut command = Command::new(program_path()?);
    command.args(["--front", front]);
    Ok(command)
}

/// A grant as the arguments of the program `usb-redirect`.
#[must_use]
pub fn grant_arguments(grant: &Grant) -> Vec<String> {
    let mut words = vec![
        "--typing-rate".to_owned(),
        grant.typing_rate.unwrap_or(0).to_string(),
    ];
    for usage in grant.applications.iter().flatten() {
        words.extend(["--application".to_owned(), usage.to_string()]);
    }
    let flags = [
        (grant.power_keys, "--power-keys"),
        (grant.sysrq, "--sysrq"),
        (grant.vendor_requests, "--vendor-requests"),
    ];
    words.extend(
        flags
            .into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, word)| word.to_owned()),
    );
    if let Some(code) = &grant.challenge {
        words.extend(["--challenge".to_owned(), code.clone()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use usb_redirect::report::Usage;

    #[test]
    fn a_device_with_one_interface_can_stay_with_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            port: "1-1".to_owned(),
            node: PathBuf::new(),
            folder: folder.path().to_owned(),
        };
        let identity = |text: &str| {
            let description = DescriptionFile::parse(text).and_then(DescriptionFile::describe);
            Identity::new(&description.unwrap())
        };
        let one = identity("report 0 05 01 09 02 a1 01 09 30 15 81 25 7f 75 08 95 01 81 06 c0\n");
        let missing = kept(&place, &one).unwrap_err().to_string();
        assert!(missing.contains("no hidraw node for 1-1"), "{missing}");
        let node = "1-1:1.0/0003:046D:C31C.0001/hidraw/hidraw3";
        std::fs::create_dir_all(folder.path().join(node)).unwrap();
        let (node, hash) = kept(&place, &one).unwrap();
        assert_eq!(node, Path::new("/dev/hidraw3"));
        assert_eq!(hash, one.reports[&0].hash);
        let two = identity(include_str!("../../descriptors/composite.txt"));
        let refused = kept(&place, &two).unwrap_err().to_string();
        assert!(refused.contains("2 interfaces"), "{refused}");
    }

    #[test]
    fn a_grant_reaches_the_program_whole() {
        let mut grant = Grant::default();
        grant.applications = Some(BTreeSet::from([Usage::MOUSE]));
        grant.sysrq = true;
        grant.typing_rate = None;
        grant.challenge = Some("123".to_owned());
        assert_eq!(
            grant_arguments(&grant),
            [
                "--typing-rate",
                "0",
                "--application",
                "0001:0002",
                "--sysrq",
                "--challenge",
                "123"
            ]
        );
    }
}
