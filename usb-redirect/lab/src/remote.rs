//! Two machines: on one `bulkhead` gives away all that is plugged into it, on the other `usb-agent` gives it to a stock kernel. Between
//! them is a network.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use usb_redirect::plugged::{self, Plugged};

use crate::evdev::{self, ABSOLUTE, Event, Input, KEY, RELATIVE};
use crate::gadget::wait;
use crate::network;
use crate::scenarios::{LETTERS, PATIENCE, expect};

const BUTTON_LEFT: u16 = 0x110;
const TOUCH: u16 = 0x14a;
/// Where QEMU's network has either machine, and where the agent waits.
const ADDRESS: &str = "10.0.2.15/24";
const AGENT: &str = "0.0.0.0:3241";
/// How often a button changes while a pointer moves, and how many motions lie between.
const CHANGES: i32 = 4;
const MOTIONS: i32 = 25;
/// One motion of the mouse, and of the pointers with places.
const STEP: (i32, i32) = (3, -2);
const PLACE_STEP: i32 = 300;

/// Gives away every HID device there is, each by a `bulkhead usb attach` of its own, until all were pulled out.
pub fn source() -> Result<()> {
    network::up(Some(ADDRESS))?;
    let server = crate::word("server")?;
    let pin = crate::word("pin")?;
    let count: usize = crate::word("devices")?.parse()?;
    let devices = wait(PATIENCE * 2, || {
        let list = plugged::list(Path::new(plugged::DEVICES)).ok()?;
        let known: Vec<Plugged> = list
            .into_iter()
            .filter(|device| device.digest.identity.is_ok())
            .collect();
        (known.len() == count).then_some(known)
    })
    .with_context(|| format!("there are not {count} HID devices"))?;
    std::thread::scope(|scope| {
        let holders: Vec<_> = devices
            .iter()
            .map(|device| scope.spawn(|| give(device, &server, &pin)))
            .collect();
        for holder in holders {
            holder
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })
}

fn give(device: &Plugged, server: &str, pin: &str) -> Result<()> {
    let title = device.digest.title();
    let mut said = String::new();
    // The other machine may still be starting.
    let attached = || {
        let ran = Command::new("/usr/bin/bulkhead")
            .args(["usb", "--policy", "/policy.toml", "--state-dir", "/state"])
            .args([
                "attach",
                &device.place.port,
                "work",
                "--server",
                server,
                "--pin",
                pin,
            ])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        said = [ran.stdout, ran.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        ran.status.success().then_some(())
    };
    let ended = wait(PATIENCE * 3, attached);
    println!("LAB {title}: {}", said.trim().replace('\n', "; "));
    ended.with_context(|| title.clone())?;
    ensure!(said.contains("end Unplugged"), "{title} ended otherwise");
    Ok(())
}

/// Takes whatever comes. A person outside uses the devices as this says.
pub fn server() -> Result<()> {
    network::up(Some(ADDRESS))?;
    let mut agent = Command::new("/usr/bin/usb-agent")
        .args([
            "listen",
            AGENT,
            "--key",
            "/agent.key",
            "--pin",
            &crate::word("pin")?,
        ])
        .spawn()
        .context("start usb-agent")?;
    let find = |name, kind| evdev::find(name, kind, "vhci_hcd", PATIENCE * 4);
    let mut keys = find("QEMU USB Keyboard", KEY)?;
    let mut mouse = find("QEMU USB Mouse", RELATIVE)?;
    let mut tablet = find("QEMU USB Tablet", ABSOLUTE)?;
    let mut pen = find("Penpartner", ABSOLUTE)?;

    say("type");
    for _ in 0..5 {
        for (_, code) in LETTERS {
            expect(&mut keys, &[(code, 1), (code, 0)])?;
        }
    }
    println!("LAB 50 keys of the keyboard went down and up in order");

    say("move");
    moved(&mut mouse)?;
    println!("LAB every motion of the mouse came between its clicks");
    // The kernel unlinks its poll, and polls anew.
    mouse = mouse.reopen()?;
    say("move again");
    moved(&mut mouse)?;
    println!("LAB the mouse was unlinked and opened again");

    say("point");
    pointed(&mut tablet, BUTTON_LEFT, PLACE_STEP)?;
    println!("LAB the tablet's places came in order, each click at its own");
    say("draw");
    // The pen's own resolution.
    pointed(&mut pen, TOUCH, PLACE_STEP * 5040 / 0x7fff)?;
    println!("LAB the pen's places came in order, each touch at its own");

    say("hold");
    expect(&mut keys, &[(42, 1), (30, 1)])?;
    say("pull");
    let mut up = BTreeSet::new();
    for _ in 0..2 {
        let (_, code, value) = keys.next(KEY, PATIENCE)?;
        up.insert((code, value));
    }
    ensure!(
        up == BTreeSet::from([(30, 0), (42, 0)]),
        "held after the end: {up:?}"
    );
    for (name, input) in [
        ("keyboard", &keys),
        ("mouse", &mouse),
        ("tablet", &tablet),
        ("pen", &pen),
    ] {
        wait(PATIENCE, || input.is_gone().then_some(()))
            .with_context(|| format!("the {name} stayed"))?;
    }
    println!("LAB what was held is released, and all are gone");
    agent.kill()?;
    agent.wait()?;
    Ok(())
}

/// The tests of `usb-agent`, where they have a virtual controller to give the device to.
pub fn agent_tests() -> Result<()> {
    network::up(None)?;
    let tests = Command::new("/agent-tests").arg("--nocapture").status();
    let tests = tests.context("start the tests")?;
    ensure!(tests.success(), "the agent's tests failed");
    Ok(())
}

fn say(what: &str) {
    println!("LAB please {what}");
}

/// Motions between clicks add up to what the person did.
fn moved(mouse: &mut Input) -> Result<()> {
    for change in 0..CHANGES {
        let (mut x, mut y) = (0, 0);
        let button = loop {
            match any(mouse)? {
                (RELATIVE, 0, value) => x += value,
                (RELATIVE, 1, value) => y += value,
                (KEY, BUTTON_LEFT, value) => break value,
                _ => {}
            }
        };
        let wanted = (STEP.0 * MOTIONS, STEP.1 * MOTIONS);
        ensure!(
            (x, y) == wanted,
            "before change {change}: {x} {y}, not {wanted:?}"
        );
        ensure!(
            button == (change + 1) % 2,
            "change {change}: button {button}"
        );
    }
    Ok(())
}

/// Places rise, and each click is where the person made it.
fn pointed(pointer: &mut Input, button: u16, step: i32) -> Result<()> {
    let (mut x, mut places) = (0, 0);
    for change in 1..=CHANGES {
        let pressed = loop {
            match any(pointer)? {
                (ABSOLUTE, 0, value) => {
                    ensure!(value >= x, "from {x} back to {value}");
                    (x, places) = (value, places + 1);
                }
                (KEY, code, value) if code == button => break value,
                _ => {}
            }
        };
        let wanted = change * MOTIONS * step;
        ensure!(
            (x - wanted).abs() <= 100,
            "change {change} at {x}, not {wanted}"
        );
        ensure!(pressed == change % 2, "change {change}: button {pressed}");
    }
    // What comes faster than the device is polled merges in the device itself.
    ensure!(places > CHANGES * 2, "only {places} places");
    Ok(())
}

fn any(input: &mut Input) -> Result<Event> {
    input.next_of(
        &[KEY, RELATIVE, ABSOLUTE],
        PATIENCE + Duration::from_secs(30),
    )
}
