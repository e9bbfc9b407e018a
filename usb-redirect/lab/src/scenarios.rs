//! What the test machines play.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hidapi::HidApi;
use rustix::time::{ClockId, clock_gettime};
use usb_redirect::desktop::{self, DesktopError, Vhci};
use usb_redirect::device::{DescriptionFile, Device, Poller, Simulated};
use usb_redirect::endpoint::End;
use usb_redirect::identity::Identity;
use usb_redirect::plugged;
use usb_redirect::setup::{EndpointAddress, Setup};
use usb_redirect::stream::Outcome;
use usb_redirect_host::{DeviceNode, HidrawDevice, HidrawNode, UsbDevice};

use crate::evdev::{self, Input, KEY, LED, RELATIVE};
use crate::gadget::{Function, Gadget, usb_node, wait};
use crate::redirect::Redirection;
use crate::uhid::hidraw_under;

pub const COMPOSITE: &str = include_str!("../../descriptors/composite.txt");
pub const KEYS: EndpointAddress = EndpointAddress(0x81);
pub const MOUSE: EndpointAddress = EndpointAddress(0x82);
pub const PATIENCE: Duration = Duration::from_secs(30);
/// HID usages a to j, and the key codes Linux gives them.
pub const LETTERS: [(u8, u16); 10] = [
    (0x04, 30),
    (0x05, 48),
    (0x06, 46),
    (0x07, 32),
    (0x08, 18),
    (0x09, 33),
    (0x0a, 34),
    (0x0b, 35),
    (0x0c, 23),
    (0x0d, 36),
];

/// A simulated composite device through our protocol into the stock `vhci_hcd`, `usbhid` and `evdev`.
pub fn simulated() -> Result<()> {
    let description = Arc::new(DescriptionFile::parse(COMPOSITE)?.describe()?);
    let device = Arc::new(Simulated::new(description));
    let redirection = Redirection::begin(device.clone())?;
    let mut keys = evdev::find("Bulkhead", KEY, "vhci_hcd", PATIENCE)?;
    let mut mouse = evdev::find("Bulkhead", RELATIVE, "vhci_hcd", PATIENCE)?;
    println!(
        "LAB keyboard {} mouse {}",
        keys.path.display(),
        mouse.path.display()
    );

    // The first report is repeated until it arrives: the kernel opens its side in its own time.
    wake(&device, &mut keys)?;
    type_letters(&mut keys, 20, |report| {
        ensure_sent(device.send(KEYS, report))
    })?;
    println!("LAB 200 keys went down and up in order");

    let mut moved = 0;
    for step in 0..200u8 {
        device.send(MOUSE, &[0, 1 + step % 5, 0, 0]);
        let (_, code, value) = mouse.next(RELATIVE, PATIENCE)?;
        ensure!(
            (code, value) == (0, i32::from(1 + step % 5)),
            "motion {step}: {code} {value}"
        );
        moved += value;
    }
    println!("LAB 200 motions in order, {moved} in all");

    // Close and open: the kernel unlinks its poll, and polls anew.
    for _ in 0..5 {
        mouse = mouse.reopen()?;
        let poll = || -> Result<bool> {
            device.send(MOUSE, &[0, 0, 7, 0]);
            Ok(true)
        };
        poll()?;
        let mut seen = mouse.next(RELATIVE, Duration::from_millis(300));
        for _ in 0..50 {
            if seen.is_ok() {
                break;
            }
            poll()?;
            seen = mouse.next(RELATIVE, Duration::from_millis(300));
        }
        let (_, code, value) = seen?;
        ensure!(
            (code, value) == (1, 7),
            "after opening again: {code} {value}"
        );
    }
    println!("LAB unlinked and opened again five times");

    keys.write((LED, 1, 1))?;
    keys.write((0, 0, 0))?;
    wait(PATIENCE, || {
        device.report(0, 2, 0).filter(|lights| lights[..] == [2])
    })
    .context("caps lock's light did not reach the device")?;
    println!("LAB the light came on");

    device.send(KEYS, &[2, 0, 4, 0, 0, 0, 0, 0]);
    expect(&mut keys, &[(42, 1), (30, 1)])?;
    // Long enough for several heartbeats: a living link holds a key as long as the person does.
    std::thread::sleep(Duration::from_millis(600));
    redirection.cut();
    let cut = Instant::now();
    let mut up = [keys.next(KEY, PATIENCE)?, keys.next(KEY, PATIENCE)?];
    up.sort_unstable();
    ensure!(up == [(KEY, 30, 0), (KEY, 42, 0)], "after the cut: {up:?}");
    println!(
        "LAB released {} ms after the link was cut",
        cut.elapsed().as_millis()
    );
    ensure!(cut.elapsed() < Duration::from_secs(2), "that took too long");

    // A second device beside the first, pulled out in flight with a button down.
    let description =
        Arc::new(DescriptionFile::parse(&COMPOSITE.replace("Simulated", "Second"))?.describe()?);
    let second = Arc::new(Simulated::new(description));
    let other = Redirection::begin(second.clone())?;
    let mut pointer = evdev::find("Second", RELATIVE, "vhci_hcd", PATIENCE)?;
    wait(PATIENCE, || {
        second.send(MOUSE, &[1, 0, 0, 0]);
        pointer.next(KEY, Duration::from_millis(200)).ok()
    })?;
    second.unplug();
    wait(PATIENCE, || pointer.is_gone().then_some(()))
        .context("the mouse stayed after unplugging")?;
    ensure!(other.end()? == End::Unplugged);
    println!("LAB unplugged in flight");
    Ok(())
}

/// A device of the kernel's own USB stack (two HID functions on `dummy_hcd`), taken by libusb and redirected into `vhci_hcd`.
pub fn gadget() -> Result<()> {
    let description = DescriptionFile::parse(COMPOSITE)?.describe()?;
    let functions = [(0u8, 8, 1), (1, 4, 0)].map(|(interface, length, protocol)| Function {
        descriptor: description
            .reports
            .get(&interface)
            .map_or(&[], |report| &report.raw),
        length,
        protocol,
    });
    let mut gadget = Gadget::plug(&functions)?;
    let node = usb_node("1209", "0002")?;
    let own = evdev::find("Gadget", KEY, "dummy_hcd", PATIENCE)?;
    println!("LAB the kernel has the gadget as {}", own.path.display());

    // The kernel binds its drivers one after the other.
    let listed = || plugged::list(Path::new(plugged::DEVICES)).ok();
    let mine = wait(PATIENCE, || {
        let mut devices = listed()?.into_iter();
        devices.find(|device| device.place.node == node && device.digest.identity.is_ok())
    })
    .context("the list does not describe the gadget")?;
    let title = mine.digest.title();
    let identity = mine
        .digest
        .identity
        .as_ref()
        .map_err(|why| anyhow::anyhow!("the list does not describe the gadget: {why}"))?;
    let usages: Vec<String> = identity
        .reports
        .values()
        .flat_map(|report| &report.applications)
        .map(ToString::to_string)
        .collect();
    ensure!(usages == ["0001:0006", "0001:0002"], "usages {usages:?}");
    ensure!(
        title == "Bulkhead Gadget" && mine.digest.names.serial == "0002",
        "{mine:?}"
    );
    println!("LAB listed {title} at {} with {usages:?}", mine.place.port);
    from_hidraw(&mut gadget)?;

    let device = Arc::new(UsbDevice::open(DeviceNode::open(&node)?, "1-1")?);
    println!("LAB took {} by libusb", device.description().title());
    ensure!(
        Identity::new(device.description()).fingerprint() == identity.fingerprint(),
        "the device is not what the kernel lists"
    );
    wait(PATIENCE, || own.is_gone().then_some(()))
        .context("the kernel's own keyboard stayed: the device would type into the endpoint")?;
    in_flight(&gadget, &device)?;
    let redirection = Redirection::begin(device.clone())?;
    let mut keys = evdev::find("Gadget", KEY, "vhci_hcd", PATIENCE)?;
    let mut mouse = evdev::find("Gadget", RELATIVE, "vhci_hcd", PATIENCE)?;
    // The gadget keeps one report until it is polled, so what follows begins in order.
    type_letters(&mut keys, 10, |report| gadget.send(0, report))?;
    println!("LAB 100 keys went down and up in order");
    let begin = Instant::now();
    let mut file = gadget.file(1)?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        for step in 0..500u16 {
            let [low, _] = (1 + step % 100).to_le_bytes();
            file.write_all(&[0, low, 0, 0])?;
        }
        Ok(())
    });
    expect_motions(&mut mouse, (0..500).map(|step| 1 + step % 100))?;
    ensure!(
        matches!(sender.join(), Ok(Ok(()))),
        "the gadget's sender failed"
    );
    println!(
        "LAB 500 motions in order, {} per second",
        500_000 / begin.elapsed().as_millis().max(1)
    );

    keys.write((LED, 0, 1))?;
    keys.write((0, 0, 0))?;
    let mut lights = [0; 8];
    let mut file = gadget.file(0)?;
    // The kernel also writes the lights' state when it finds a keyboard.
    loop {
        let count = std::io::Read::read(&mut file, &mut lights)?;
        if lights.get(..count) == Some(&[1]) {
            break;
        }
    }
    println!("LAB the light reached the gadget");

    gadget.unplug()?;
    wait(PATIENCE, || keys.is_gone().then_some(()))
        .context("the keyboard stayed after unplugging")?;
    ensure!(redirection.end()? == End::Unplugged);
    println!("LAB unplugged");
    Ok(())
}

/// The gadget's mouse by hidraw, which leaves it with the kernel.
fn from_hidraw(gadget: &mut Gadget) -> Result<()> {
    let device = HidrawDevice::new(HidrawNode::open(c"/dev/hidraw1")?)?;
    let mut poller = device
        .poller(EndpointAddress(0x81))
        .map_err(|outcome| anyhow::anyhow!("no poller: {outcome:?}"))?;
    let mut report = [0; 8];
    for step in 1..20 {
        gadget.send(1, &[0, step, 0, 0])?;
        let got = poller.poll(&mut report, true);
        ensure!(
            got == Ok(4) && report[1] == step,
            "hidraw: {got:?} {report:?}"
        );
    }
    // A report that is not declared: only the device itself can answer, and the kernel's gadget does, with zeros.
    let mut answer = Vec::new();
    let setup = Setup::from_bytes([0xa1, 1, 0, 3, 0, 0, 4, 0]);
    let answered = device.control(setup, &[], &mut answer);
    ensure!(answered == Ok(4), "GET_REPORT: {answered:?} {answer:?}");
    sleeps("hidraw", poller)?;
    println!("LAB 19 reports came by hidraw");
    Ok(())
}

/// How many transfers in flight are enough: the gadget sends as fast as it is polled, and the thread that takes its reports is kept from running for
/// 20 ms after each 20, as on a busy machine. While nothing is in flight, a device keeps one report and loses the next.
fn in_flight(gadget: &Gadget, device: &UsbDevice) -> Result<()> {
    const REPORTS: u32 = 300;
    let mut endpoints = device.description().configuration.report_endpoints();
    let mouse = endpoints.find(|(interface, _)| *interface == 1);
    let mouse = mouse.context("the gadget has no mouse")?.1.address;
    let chosen = device.description().transfers_in_flight(mouse);
    let failed = |outcome| anyhow::anyhow!("the poller failed: {outcome:?}");
    let mut rates = Vec::new();
    for transfers in [1, 2, 4, 16, chosen] {
        let mut poller = device.poller_of(mouse, transfers).map_err(failed)?;
        let mut file = gadget.file(1)?;
        let begin = Instant::now();
        let sender = std::thread::spawn(move || -> std::io::Result<Duration> {
            let mut longest = Duration::ZERO;
            for number in 0..REPORTS {
                let [low, high, ..] = number.to_le_bytes();
                let sent = Instant::now();
                file.write_all(&[0, low, high, 0])?;
                longest = longest.max(sent.elapsed());
            }
            Ok(longest)
        });
        let mut report = [0; 4];
        for taken in 1..=REPORTS {
            // This kernel's gadget sends an empty packet after each report.
            let length = loop {
                match poller.poll(&mut report, true).map_err(failed)? {
                    0 => {}
                    length => break length,
                }
            };
            let [low, high, ..] = (taken - 1).to_le_bytes();
            ensure!(
                length == 4 && report == [0, low, high, 0],
                "{taken} with {transfers} in flight: {length} bytes of {report:?}"
            );
            if taken % 20 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let rate = f64::from(REPORTS) / begin.elapsed().as_secs_f64();
        let longest = match sender.join() {
            Ok(longest) => longest?,
            Err(_) => anyhow::bail!("the gadget's sender panicked"),
        };
        println!(
            "LAB {transfers} in flight: {rate:.0} reports/s, the device kept waiting for {longest:?} at most"
        );
        rates.push(rate);
        poller.stop();
    }
    let (one, chosen) = (rates[0], rates[rates.len() - 1]);
    ensure!(
        chosen > one * 1.1,
        "the chosen number is no better than one"
    );
    sleeps("libusb", device.poller(mouse).map_err(failed)?)
}

/// A thread that waits for a report uses no processor, and can be woken.
fn sleeps(name: &str, mut poller: Box<dyn Poller>) -> Result<()> {
    let interrupter = poller.interrupter();
    let waiting = std::thread::spawn(move || {
        let ended = poller.poll(&mut [0; 64], true);
        poller.stop();
        ended
    });
    std::thread::sleep(Duration::from_millis(200));
    let used = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let before = used()?;
    std::thread::sleep(Duration::from_secs(1));
    let used = used()?.saturating_sub(before);
    interrupter.interrupt();
    let ended = waiting.join().ok();
    ensure!(ended == Some(Err(Outcome::Cancelled)), "{name}: {ended:?}");
    ensure!(used < Duration::from_millis(100), "{name} used {used:?}");
    println!("LAB {name} waited a second and used {used:?}");
    Ok(())
}

/// The gadget again, held by the jailed program `usb-redirect`: taken from the kernel, and then left with it.
pub fn jailed() -> Result<()> {
    let description = DescriptionFile::parse(COMPOSITE)?.describe()?;
    let function = Function {
        descriptor: description
            .reports
            .get(&0)
            .map_or(&[], |report| &report.raw),
        length: 8,
        protocol: 1,
    };
    let mut gadget = Gadget::plug(&[function])?;
    let node = usb_node("1209", "0002")?;
    let node = node.to_str().context("a plain path")?;
    let (mut keys, holder) = Holder::start(&["--device", node])?;
    type_letters(&mut keys, 10, |report| gadget.send(0, report))?;
    println!("LAB 100 keys went through the jailed program");
    gadget.send(0, &[2, 0, 4, 0, 0, 0, 0, 0])?;
    expect(&mut keys, &[(42, 1), (30, 1)])?;
    holder.detach()?;
    let mut own = evdev::find("Gadget", KEY, "dummy_hcd", PATIENCE)
        .context("the kernel did not get its keyboard back")?;
    println!("LAB detached, and the kernel has its keyboard back");

    // The gadget lets go of its keys, and keeps no report.
    gadget.send(0, &[0; 8])?;
    while own.next(KEY, Duration::from_millis(300)).is_ok() {}
    let (mut keys, holder) = Holder::start(&["--hidraw", "/dev/hidraw0"])?;
    // What the gadget sends goes to the kernel whether the desktop listens yet or not.
    wait(PATIENCE, || {
        gadget.send(0, &[0, 0, 0x1e, 0, 0, 0, 0, 0]).ok()?;
        gadget.send(0, &[0; 8]).ok()?;
        keys.next(KEY, Duration::from_millis(300)).ok()
    })?;
    for input in [&mut keys, &mut own] {
        while input.next(KEY, Duration::from_millis(500)).is_ok() {}
    }
    // The kernel keeps no more events for a reader than one round makes.
    for _ in 0..5 {
        type_letters(&mut keys, 1, |report| gadget.send(0, report))?;
        for (_, code) in LETTERS {
            expect(&mut own, &[(code, 1), (code, 0)])?;
        }
    }
    // As a program on the desktop asks: the gadget has no such report, and gives zeros.
    let mut report = [0; 9];
    let program = HidApi::new()?.open_path(&hidraw_under("/vhci_hcd.")?)?;
    let count = program.get_feature_report(&mut report)?;
    ensure!(count == 9, "{count} bytes of a feature report");
    holder.detach()?;
    println!("LAB 50 keys came by hidraw, and stayed with the kernel");
    Ok(())
}

/// The program `usb-redirect` as the endpoint starts it, and an agent that gives what it holds to this kernel.
struct Holder {
    program: Child,
    notices: UnixStream,
    agent: JoinHandle<Result<(), DesktopError>>,
}

impl Holder {
    /// Starts it for a device; answers the keyboard that the kernel then has.
    fn start(device: &[&str]) -> Result<(Input, Self)> {
        let (stream, theirs) = UnixStream::pair()?;
        let (notices, commands) = UnixStream::pair()?;
        let program = Command::new("/usb-redirect")
            .args(["--typing-rate", "0"])
            .args(device)
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(commands))
            .spawn()
            .context("start usb-redirect")?;
        let listening = notices.try_clone()?;
        std::thread::spawn(move || {
            for line in BufReader::new(listening).lines().map_while(Result::ok) {
                println!("LAB usb-redirect says {line}");
            }
        });
        let agent = std::thread::spawn(move || {
            desktop::run(&stream, |description| {
                Ok(Vhci::default().connect(description.speed)?.1)
            })
        });
        let keys = evdev::find("", KEY, "vhci_hcd", PATIENCE)?;
        let holder = Self {
            program,
            notices,
            agent,
        };
        Ok((keys, holder))
    }

    fn detach(mut self) -> Result<()> {
        self.notices.write_all(b"detach\n")?;
        ensure!(self.program.wait()?.success(), "usb-redirect failed");
        ensure!(matches!(self.agent.join(), Ok(Ok(()))), "the agent failed");
        Ok(())
    }
}

/// Nothing of ours: a stock guest that tells which keys its devices press. The device comes from outside, by usbredir.
pub fn stock() -> Result<()> {
    let mut keys = evdev::find("Bulkhead", KEY, "", PATIENCE * 2)?;
    let mut mouse = evdev::find("Bulkhead", RELATIVE, "", PATIENCE)?;
    println!("LAB ready");
    type_letters(&mut keys, 10, |_| Ok(()))?;
    println!("LAB 100 keys went down and up in order");
    expect_motions(&mut mouse, (0..100).map(|step| 1 + step % 5))?;
    println!("LAB 100 motions in order");
    keys.write((LED, 1, 1))?;
    keys.write((0, 0, 0))?;
    println!("LAB light");
    wait(PATIENCE, || keys.is_gone().then_some(()))
        .context("the keyboard stayed after unplugging")?;
    Ok(())
}

fn ensure_sent(sent: bool) -> Result<()> {
    ensure!(sent, "the device has no such endpoint");
    Ok(())
}

/// Sends a key until the kernel, which opens its side in its own time, shows it; leaves nothing behind.
pub fn wake(device: &Simulated, keys: &mut Input) -> Result<()> {
    wait(PATIENCE, || {
        device.send(KEYS, &[0, 0, 0x1e, 0, 0, 0, 0, 0]);
        device.send(KEYS, &[0; 8]);
        keys.next(KEY, Duration::from_millis(300)).ok()
    })?;
    while keys.next(KEY, Duration::from_millis(500)).is_ok() {}
    Ok(())
}

/// Presses and releases the letters `rounds` times and sees each arrive.
fn type_letters(
    keys: &mut Input,
    rounds: usize,
    mut send: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    for round in 0..rounds {
        for (usage, code) in LETTERS {
            send(&[0, 0, usage, 0, 0, 0, 0, 0])?;
            send(&[0; 8])?;
            expect(keys, &[(code, 1), (code, 0)]).with_context(|| format!("round {round}"))?;
        }
    }
    Ok(())
}

/// All of these motions come, in order. Where the machine was late, neighbours come as their sum.
fn expect_motions(mouse: &mut Input, motions: impl IntoIterator<Item = i32>) -> Result<()> {
    let mut motions = motions.into_iter().enumerate();
    while let Some((step, mut sum)) = motions.next() {
        let (_, code, value) = mouse.next(RELATIVE, PATIENCE)?;
        while sum < value {
            let Some((_, motion)) = motions.next() else {
                break;
            };
            sum += motion;
        }
        ensure!((code, value) == (0, sum), "motion {step}: {code} {value}");
    }
    Ok(())
}

pub fn expect(keys: &mut Input, events: &[(u16, i32)]) -> Result<()> {
    for (code, value) in events {
        let got = keys.next(KEY, PATIENCE)?;
        ensure!(
            got == (KEY, *code, *value),
            "expected key {code} {value}, got {got:?}"
        );
    }
    Ok(())
}
