//! Programs that others wrote, on both ends: `usbip attach` takes our device, `usbipd` and `usbredirect` give us theirs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use usb_redirect::device::{Description, DescriptionFile, Simulated};
use usb_redirect::endpoint::{self, Control};
use usb_redirect::filter::Grant;
use usb_redirect::identity::Identity;
use usb_redirect::plugged;
use usb_redirect::setup::{EndpointAddress, Setup};
use usb_redirect::stream::{Outcome, TransferId};
use usb_redirect::usbip::{
    Answer, BusId, Client, DeviceRecord, Exporter, Operation, OperationReply, status,
};
use usb_redirect::usbredir::{Guest, GuestEvent};

use crate::evdev::{self, KEY, LED, RELATIVE};
use crate::gadget::wait;
use crate::network;
use crate::scenarios::{COMPOSITE, KEYS, LETTERS, MOUSE, PATIENCE, expect, wake};

/// Where our device is exported; `usbipd` has USB/IP's own port.
const OURS: &str = "3241";
const USBIPD: &str = "127.0.0.1:3240";
const USBREDIRECT: &str = "127.0.0.1:3242";
/// QEMU's keyboard.
const KEYBOARD: (u16, u16) = (0x0627, 0x0001);
const INPUT: EndpointAddress = EndpointAddress(0x81);
/// Room for a report.
const ROOM: u32 = 64;

/// Our device by the stock tool, then the machine's keyboard by the stock servers. Outside, a person types the letters when told so.
pub fn peers() -> Result<()> {
    network::up(None)?;
    usbip_attach()?;
    usbipd()?;
    usbredirect()
}

/// `usbip list`, `attach`, `port` and `detach` with our exporter, twice.
fn usbip_attach() -> Result<()> {
    let description = Arc::new(DescriptionFile::parse(COMPOSITE)?.describe()?);
    let device = Arc::new(Simulated::new(description));
    let listener = TcpListener::bind(format!("127.0.0.1:{OURS}"))?;
    let exported = device.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let ended = stream
                .map_err(Into::into)
                .and_then(|stream| export(&exported, &stream));
            println!("LAB the exporter's session: {ended:?}");
        }
    });
    // It keeps notes about what it has attached.
    std::fs::create_dir_all("/var/run")?;
    let listed = usbip(&["list", "--remote", "127.0.0.1"])?;
    ensure!(
        listed.contains("1209:0001") && listed.contains("1-1"),
        "usbip lists {listed}"
    );
    for round in 0..2 {
        usbip(&["attach", "--remote", "127.0.0.1", "--busid", "1-1"])?;
        let mut keys = evdev::find("Bulkhead", LED, "vhci_hcd", PATIENCE)?;
        let mut mouse = evdev::find("Bulkhead", RELATIVE, "vhci_hcd", PATIENCE)?;
        wake(&device, &mut keys)?;
        // Without a polling thread the device's one report waits for the kernel: the next only when this one came.
        for (usage, code) in LETTERS.repeat(5) {
            for (report, down) in [([0, 0, usage, 0, 0, 0, 0, 0], 1), ([0; 8], 0)] {
                ensure!(device.send(KEYS, &report), "the device has no keyboard");
                expect(&mut keys, &[(code, down)])?;
            }
        }
        for step in 1..=50u8 {
            device.send(MOUSE, &[0, step, 0, 0]);
            let (_, code, value) = mouse.next(RELATIVE, PATIENCE)?;
            ensure!(
                (code, value) == (0, step.into()),
                "motion {step}: {code} {value}"
            );
        }
        keys.write((LED, 1, (round + 1) % 2))?;
        keys.write((0, 0, 0))?;
        let lit = u8::from(round == 0) * 2;
        wait(PATIENCE, || {
            device.report(0, 2, 0).filter(|lights| lights[..] == [lit])
        })
        .context("caps lock's light did not follow")?;
        let ports = usbip(&["port"])?;
        let port = ports
            .lines()
            .find_map(|line| line.strip_prefix("Port ")?.split(':').next())
            .with_context(|| format!("usbip shows no port: {ports}"))?;
        usbip(&["detach", "--port", port])?;
        wait(PATIENCE, || {
            (keys.is_gone() && mouse.is_gone()).then_some(())
        })
        .context("the device stayed after usbip detach")?;
    }
    println!("LAB stock usbip attached, used and detached our device twice");
    Ok(())
}

fn export(device: &Simulated, stream: &TcpStream) -> Result<()> {
    use usb_redirect::device::Device;
    stream.set_nodelay(true)?;
    let bus = BusId::new("1-1").context("a bus id")?;
    let front = Box::new(Exporter::new(device.description().clone(), bus));
    let mut grant = Grant::default();
    // The tests type faster than people do.
    grant.typing_rate = None;
    endpoint::serve(device, front, stream, &grant, &Control::new()?, &|notice| {
        println!("LAB notice {notice:?}");
    })?;
    Ok(())
}

/// The machine's keyboard from the kernel's `usbip-host` by stock `usbipd`, used through our wire formats.
fn usbipd() -> Result<()> {
    let port = keyboard_port()?;
    usbip(&["bind", "--busid", &port])?;
    let mut daemon = Program::new("/usr/sbin/usbipd").arg("-4").spawn()?;
    let mut list = connect()?;
    let OperationReply::List(devices) = list.operate(Operation::List)? else {
        bail!("usbipd does not list");
    };
    let bus = BusId::new(&port).context("a bus id")?;
    let shown = devices.iter().find(|device| device.bus == bus);
    let shown = shown.with_context(|| format!("usbipd lists {devices:?}"))?;
    ensure!(
        (shown.identity.0, shown.identity.1) == KEYBOARD,
        "{shown:?}"
    );

    let mut client = connect()?;
    let OperationReply::Imported(record) = client.operate(Operation::Import(bus))? else {
        bail!("usbipd does not give the keyboard");
    };
    let kind = describe(&mut client, &record)?;
    ensure!(kind == "keyboard", "the keyboard is {kind}");
    // As a kernel does before it polls: SET_CONFIGURATION, and SET_IDLE without end.
    control(
        &mut client,
        [0, 9, record.configuration.max(1), 0, 0, 0, 0, 0],
    )?;
    control(&mut client, [0x21, 0x0a, 0, 0, 0, 0, 0, 0])?;
    println!("LAB type for usbipd");
    for report in letters() {
        let sequence = client.poll(INPUT, ROOM)?;
        let (status, data) = answer(&mut client, sequence)?;
        ensure!(
            status == status::OK && data == report,
            "{status} {data:?}, not {report:?}"
        );
    }
    let poll = client.poll(INPUT, ROOM)?;
    let unlink = client.unlink(poll)?;
    let taken_back = client.answer()?;
    ensure!(
        taken_back
            == Some(Answer::Unlink {
                sequence: unlink,
                status: status::UNLINKED
            }),
        "the poll was not taken back: {taken_back:?}"
    );
    drop(client);
    daemon.kill()?;
    daemon.wait()?;
    // The kernel sees the connection's end in its own time.
    wait(PATIENCE, || usbip(&["unbind", "--busid", &port]).ok())?;
    println!("LAB stock usbipd gave us the keyboard, and every key came");
    Ok(())
}

/// The machine's keyboard by stock `usbredirect`, used through our usbredir guest.
fn usbredirect() -> Result<()> {
    evdev::find("QEMU", KEY, "", PATIENCE).context("the kernel did not get its keyboard back")?;
    let listener = TcpListener::bind(USBREDIRECT)?;
    let (vendor, product) = KEYBOARD;
    let mut program = Program::new("/usr/bin/usbredirect")
        .args(["--device", &format!("{vendor:04x}:{product:04x}")])
        .args(["--to", USBREDIRECT])
        .spawn()
        .context("start usbredirect")?;
    let mut peer = Redirected::accept(&listener)?;
    let connected = peer.wait_for(|event| match event {
        GuestEvent::Connected(device) => Some(device.clone()),
        _ => None,
    })?;
    ensure!(
        (connected.identity.0, connected.identity.1) == KEYBOARD,
        "{connected:?}"
    );
    ensure!(
        connected
            .interfaces
            .iter()
            .any(|(number, class)| *number == 0 && class.is_hid()),
        "{connected:?}"
    );
    let length = 63u16;
    let [low, high] = length.to_le_bytes();
    let setup = Setup::from_bytes([0x81, 6, 0, 0x22, 0, 0, low, high]);
    peer.send(|guest, out| guest.control(TransferId(7), setup, &[], out))?;
    let descriptor = peer.wait_for(|event| match event {
        GuestEvent::ControlDone {
            id: TransferId(7),
            outcome: Outcome::Done,
            data,
            ..
        } => Some(data.to_vec()),
        _ => None,
    })?;
    let text: String = descriptor
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let described = DescriptionFile::parse(&format!("report 0 {text}\n"))?.describe()?;
    ensure!(Identity::new(&described).kind() == "keyboard", "{text}");

    peer.send(|guest, out| guest.start(INPUT, out))?;
    peer.wait_for(|event| {
        (*event
            == GuestEvent::Polling {
                endpoint: INPUT,
                outcome: Outcome::Done,
            })
        .then_some(())
    })?;
    println!("LAB type for usbredirect");
    for report in letters() {
        let got = peer.wait_for(|event| match event {
            GuestEvent::Report {
                endpoint: INPUT,
                data,
            } => Some(data.to_vec()),
            _ => None,
        })?;
        ensure!(got == report, "{got:?}, not {report:?}");
    }
    peer.send(|guest, out| guest.stop(INPUT, out))?;
    peer.wait_for(|event| {
        matches!(
            event,
            GuestEvent::Polling {
                endpoint: INPUT,
                ..
            }
        )
        .then_some(())
    })?;
    drop(peer);
    wait(PATIENCE, || program.try_wait().ok().flatten()).context("usbredirect stayed")?;
    println!("LAB stock usbredirect gave us the keyboard, and every key came");
    Ok(())
}

/// What the keyboard sends for the letters, each pressed and released.
fn letters() -> impl Iterator<Item = Vec<u8>> {
    let reports = |usage| [vec![0, 0, usage, 0, 0, 0, 0, 0], vec![0; 8]];
    LETTERS
        .into_iter()
        .flat_map(move |(usage, _)| reports(usage))
}

fn keyboard_port() -> Result<String> {
    wait(PATIENCE, || {
        let listed = plugged::list(Path::new(plugged::DEVICES)).ok()?;
        let mut ports = listed.into_iter().filter(|device| {
            let digest = &device.digest;
            (digest.numbers.0, digest.numbers.1) == KEYBOARD && digest.identity.is_ok()
        });
        Some(ports.next()?.place.port)
    })
    .context("the machine has no keyboard")
}

fn usbip(words: &[&str]) -> Result<String> {
    let remote = words.contains(&"--remote");
    let port: &[&str] = if remote { &["--tcp-port", OURS] } else { &[] };
    let ran = Program::new("/usr/sbin/usbip")
        .args(port)
        .args(words)
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(
        ran.status.success(),
        "usbip {words:?}: {said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    Ok(said)
}

fn connect() -> Result<Client<TcpStream>> {
    let stream = wait(PATIENCE, || TcpStream::connect(USBIPD).ok()).context("usbipd")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(Client::new(stream, 0))
}

/// The answer to a transfer, which is the next to come.
fn answer(client: &mut Client<TcpStream>, wanted: u32) -> Result<(i32, Vec<u8>)> {
    match client.answer()? {
        Some(Answer::Submit {
            sequence,
            status,
            data,
            ..
        }) if sequence == wanted => Ok((status, data.to_vec())),
        other => bail!("{wanted} is answered by {other:?}"),
    }
}

/// A control transfer without data to the device, which must succeed.
fn control(client: &mut Client<TcpStream>, setup: [u8; 8]) -> Result<Vec<u8>> {
    let sequence = client.control(setup, &[])?;
    let (status, data) = answer(client, sequence)?;
    ensure!(status == status::OK, "{setup:?} failed with {status}");
    Ok(data)
}

/// Reads the device's descriptors as a kernel would; what the device is.
fn describe(client: &mut Client<TcpStream>, record: &DeviceRecord) -> Result<String> {
    let device = control(client, [0x80, 6, 0, 1, 0, 0, 18, 0])?;
    let [.., low, high] = *control(client, [0x80, 6, 0, 2, 0, 0, 4, 0])?.as_slice() else {
        bail!("no configuration");
    };
    let configuration = control(client, [0x80, 6, 0, 2, 0, 0, low, high])?;
    let report = control(client, [0x81, 6, 0, 0x22, 0, 0, 0xff, 0])?;
    let description = Description::new(record.speed, &device, &configuration, [(0, report)])?;
    let numbers = (
        description.device.vendor,
        description.device.product,
        description.device.release,
    );
    ensure!(numbers == record.identity, "{numbers:?} {record:?}");
    Ok(Identity::new(&description).kind())
}

/// A usbredir host, and our state machine for it.
struct Redirected {
    stream: TcpStream,
    guest: Guest,
    input: Vec<u8>,
}

impl Redirected {
    fn accept(listener: &TcpListener) -> Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut redirected = Self {
            stream,
            guest: Guest::default(),
            input: Vec::new(),
        };
        redirected.send(Guest::greet)?;
        Ok(redirected)
    }

    fn send(&mut self, say: impl FnOnce(&Guest, &mut Vec<u8>)) -> Result<()> {
        let mut bytes = Vec::new();
        say(&self.guest, &mut bytes);
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Takes events until one is what is waited for.
    fn wait_for<T>(&mut self, mut wanted: impl FnMut(&GuestEvent<'_>) -> Option<T>) -> Result<T> {
        loop {
            let mut out = Vec::new();
            let mut found = None;
            let mut taken = 0;
            if let Some((event, used)) = self.guest.receive(&self.input, &mut out)? {
                found = wanted(&event);
                taken = used;
            }
            self.stream.write_all(&out)?;
            self.input.drain(..taken);
            if let Some(found) = found {
                return Ok(found);
            }
            if taken == 0 {
                let mut chunk = [0; 4096];
                let count = self
                    .stream
                    .read(&mut chunk)
                    .context("read from usbredirect")?;
                ensure!(count > 0, "usbredirect hung up");
                self.input.extend_from_slice(&chunk[..count]);
            }
        }
    }
}
