//! Public devices twice on one kernel: once as the kernel's own device (uhid, report descriptor and reports alone), once through our whole path into
//! `vhci_hcd`. Every report must give the same bytes and the same input events on both, and what the kernel writes must reach the device.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hidapi::{HidApi, HidDevice};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use usb_redirect::device::{Description, DescriptionFile, Simulated};
use usb_redirect::endpoint::End;
use usb_redirect::report::{ReportDescriptor, ReportKind};
use usb_redirect::setup::EndpointAddress;

use crate::evdev::{Event, KEY};
use crate::gadget::wait;
use crate::redirect::Redirection;
use crate::scenarios::PATIENCE;

const INPUT: EndpointAddress = EndpointAddress(0x81);
/// `UHID_*` of `linux/uhid.h`.
const OUTPUT: u32 = 6;
const GET_REPORT: u32 = 9;
const GET_REPORT_REPLY: u32 = 10;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
const SET_REPORT: u32 = 13;
const SET_REPORT_REPLY: u32 = 14;
/// The longest event.
const EVENT: usize = 4380;
const USB: u16 = 3;
/// How long the kernel may take from a report's bytes to its last event.
const SETTLE: Duration = Duration::from_millis(50);
const SYNCHRONISATION: u16 = 0;
/// The kernel's own repetition of a held key.
const REPEATED: i32 = 2;

/// Replays what `/devices` says: a line `device NAME HEX` for each, then its reports, a line of hexadecimal digits each.
pub fn uhid() -> Result<()> {
    let text = fs::read_to_string("/devices")?;
    let mut replayed = 0;
    let (mut reports, mut events, mut written) = (0, 0, 0);
    for block in text.split("device ").skip(1) {
        let mut lines = block.lines();
        let (name, descriptor) = lines
            .next()
            .and_then(|line| line.rsplit_once(' '))
            .context("a name")?;
        let sent: Vec<Vec<u8>> = lines.map(bytes).collect::<Result<_>>()?;
        let (made, wrote) = replay(&bytes(descriptor)?, &sent).with_context(|| name.to_owned())?;
        replayed += 1;
        println!("LAB {name}");
        reports += sent.len();
        events += made;
        written += wrote;
    }
    println!(
        "LAB replayed {replayed} devices, {reports} reports, {events} events, {written} written"
    );
    Ok(())
}

/// One device: how many events its reports made, and how many reports the kernel wrote to it.
fn replay(descriptor: &[u8], reports: &[Vec<u8>]) -> Result<(usize, usize)> {
    let text: String = descriptor
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let description =
        DescriptionFile::parse(&format!("speed high\nreport 0 {text}\n"))?.describe()?;
    let description = Arc::new(description);
    let parsed = &description.reports[&0].parsed;
    let device = Arc::new(Simulated::new(description.clone()));
    let mut local = Local::plug(descriptor)?;
    let redirection = Redirection::begin(device.clone())?;
    let mut ours = Side::find("/vhci_hcd.")?;
    let mut theirs = Side::find("/uhid/")?;
    ensure!(
        ours.inputs.len() == theirs.inputs.len(),
        "{} inputs, and the kernel's own device has {}",
        ours.inputs.len(),
        theirs.inputs.len()
    );
    for (number, report) in reports.iter().enumerate() {
        ensure!(device.send(INPUT, report), "no input endpoint");
        local.send(report)?;
        for side in [&mut ours, &mut theirs] {
            let got = side.report().with_context(|| format!("report {number}"))?;
            ensure!(
                got == *report,
                "report {number}: {got:02x?}, not {report:02x?}"
            );
            side.drain()?;
        }
    }
    std::thread::sleep(SETTLE);
    ours.drain()?;
    theirs.drain()?;
    ensure!(
        ours.events == theirs.events,
        "events {:?}, and of the kernel's own device {:?}",
        ours.events,
        theirs.events
    );
    let mut written = write(parsed, [&ours, &theirs], &device, &local)?;
    device.unplug();
    ensure!(redirection.end()? == End::Unplugged);
    let gone = [ours.place, theirs.place];
    let count = ours.events.values().map(Vec::len).sum();
    drop(local);
    wait(PATIENCE, || {
        gone.iter().all(|place| !place.exists()).then_some(())
    })
    .context("a device stayed")?;
    if parsed.report_ids(ReportKind::Output).next().is_some() {
        written += set_outputs(&description)?;
    }
    Ok((count, written))
}

/// Every report of a kind that is declared, behind its number as programs write it: 0 where reports have none, and then it is not sent.
fn declared(parsed: &ReportDescriptor, kind: ReportKind) -> Vec<Vec<u8>> {
    let numbered = usize::from(parsed.is_numbered());
    let reports = parsed.report_ids(kind).filter_map(|identifier| {
        let length = parsed.report_length(kind, identifier)?;
        let body = (1..=length - numbered).map(|byte| byte.to_le_bytes()[0]);
        Some([identifier].into_iter().chain(body).collect())
    });
    reports
        .filter(|report: &Vec<u8>| report.len() > 1)
        .collect()
}

/// What of such a report reaches a device.
fn sent<'a>(parsed: &ReportDescriptor, report: &'a [u8]) -> &'a [u8] {
    &report[usize::from(!parsed.is_numbered())..]
}

/// Writes every output and feature report that is declared to both. The device gets what was written, and so does the kernel's own. Answers how many
/// arrived.
fn write(
    parsed: &ReportDescriptor,
    [ours, theirs]: [&Side; 2],
    device: &Simulated,
    local: &Local,
) -> Result<usize> {
    let (ours, theirs) = (ours.program()?, theirs.program()?);
    // What the kernel itself has set so far.
    while device.take_output().is_some() {}
    while local.written.try_recv().is_ok() {}
    let local_got = |event: u32, report: &Vec<u8>| -> Result<()> {
        let got = local.written.recv_timeout(PATIENCE)?;
        ensure!(
            got == (event, report.clone()),
            "the kernel's own device got {got:02x?}, not {report:02x?}"
        );
        Ok(())
    };
    let outputs = declared(parsed, ReportKind::Output);
    for report in &outputs {
        ours.write(report)?;
        let (_, got) = wait(PATIENCE, || device.take_output()).context("an output report")?;
        ensure!(
            got == sent(parsed, report),
            "the device got {got:02x?}, not {report:02x?}"
        );
        theirs.write(report)?;
        local_got(OUTPUT, report)?;
    }
    let features = declared(parsed, ReportKind::Feature);
    for report in &features {
        ours.send_feature_report(report)?;
        let got = device.report(0, 3, report[0]);
        ensure!(
            got.as_deref() == Some(sent(parsed, report)),
            "the device got {got:02x?}, not {report:02x?}"
        );
        let mut back = vec![0; report.len()];
        back[0] = report[0];
        let count = ours.get_feature_report(&mut back)?;
        ensure!(
            back.get(..count) == Some(report),
            "{report:02x?} came back as {back:02x?}"
        );
        theirs.send_feature_report(report)?;
        local_got(SET_REPORT, report)?;
    }
    Ok(outputs.len() + features.len())
}

/// The same device without its OUT endpoint: then the kernel sends its output reports by SET_REPORT.
fn set_outputs(description: &Description) -> Result<usize> {
    let mut configuration = description.configuration.raw.clone();
    let [at, other] = [0x01, 0x81].map(|address| {
        configuration
            .windows(3)
            .position(|bytes| bytes == [7, 5, address])
    });
    let (Some(at), Some(_)) = (at, other) else {
        return Ok(0);
    };
    configuration.drain(at..at + 7);
    configuration[2] -= 7;
    // bNumEndpoints of the first interface.
    configuration[9 + 4] = 1;
    let report = &description.reports[&0];
    let device = &description.device.raw;
    let reports = [(0, report.raw.clone())];
    let description = Description::new(description.speed, device, &configuration, reports)?;
    let device = Arc::new(Simulated::new(Arc::new(description)));
    let redirection = Redirection::begin(device.clone())?;
    let side = Side::find("/vhci_hcd.")?;
    let program = side.program()?;
    let outputs = declared(&report.parsed, ReportKind::Output);
    for output in &outputs {
        program.write(output)?;
        let got = wait(PATIENCE, || device.report(0, 2, output[0])).context("no SET_REPORT")?;
        ensure!(
            got == sent(&report.parsed, output),
            "SET_REPORT brought {got:02x?}, not {output:02x?}"
        );
    }
    device.unplug();
    ensure!(redirection.end()? == End::Unplugged);
    wait(PATIENCE, || (!side.place.exists()).then_some(())).context("the device stayed")?;
    Ok(outputs.len())
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

/// A device that is the kernel's own.
struct Local {
    file: File,
    /// What is written to it: `OUTPUT` or `SET_REPORT`, and the report behind its number.
    written: Receiver<(u32, Vec<u8>)>,
}

impl Local {
    fn plug(descriptor: &[u8]) -> Result<Self> {
        let mut file = File::options().read(true).write(true).open("/dev/uhid")?;
        let mut event = CREATE2.to_ne_bytes().to_vec();
        let mut name = b"local".to_vec();
        // Name, place and serial number.
        name.resize(128 + 64 + 64, 0);
        event.extend(name);
        event.extend(u16::try_from(descriptor.len())?.to_ne_bytes());
        event.extend(USB.to_ne_bytes());
        // Vendor, product, version, country: those of the simulated device.
        for number in [0x1209u32, 1, 0x100, 0] {
            event.extend(number.to_ne_bytes());
        }
        event.extend(descriptor);
        event.resize(EVENT, 0);
        file.write_all(&event).context("make a device")?;
        let mut reader = file.try_clone()?;
        let (give, written) = channel();
        // What the kernel asks is answered at once; otherwise it waits for seconds.
        std::thread::spawn(move || {
            let mut event = [0; EVENT];
            while let Ok(8..) = reader.read(&mut event) {
                let kind = u32::from_ne_bytes([event[0], event[1], event[2], event[3]]);
                let size = |at: usize| usize::from(u16::from_ne_bytes([event[at], event[at + 1]]));
                let (reply, error) = match kind {
                    // EIO, and no data.
                    GET_REPORT => (GET_REPORT_REPLY, 5),
                    SET_REPORT => {
                        let _ = give.send((kind, event[12..][..size(10)].to_vec()));
                        (SET_REPORT_REPLY, 0)
                    }
                    OUTPUT => {
                        let _ = give.send((kind, event[4..][..size(4100)].to_vec()));
                        continue;
                    }
                    _ => continue,
                };
                let mut answer = reply.to_ne_bytes().to_vec();
                answer.extend(&event[4..8]);
                answer.extend([error, 0, 0, 0]);
                if reader.write_all(&answer).is_err() {
                    break;
                }
            }
        });
        Ok(Self { file, written })
    }

    fn send(&mut self, report: &[u8]) -> Result<()> {
        let mut event = INPUT2.to_ne_bytes().to_vec();
        event.extend(u16::try_from(report.len())?.to_ne_bytes());
        event.extend(report);
        Ok(self.file.write_all(&event)?)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // `UHID_DESTROY`: the reader's handle keeps the file open.
        let _ = self.file.write_all(&1u32.to_ne_bytes());
    }
}

/// The kernel's folder of the one hidraw node below such a place.
fn hidraw_place(under: &str) -> Result<PathBuf> {
    wait(PATIENCE, || {
        fs::read_dir("/sys/class/hidraw")
            .ok()?
            .flatten()
            .find_map(|entry| {
                let place = fs::canonicalize(entry.path()).ok()?;
                place.to_str()?.contains(under).then_some(place)
            })
    })
    .with_context(|| format!("no device came below {under}"))
}

/// That node.
pub fn hidraw_under(under: &str) -> Result<CString> {
    let place = hidraw_place(under)?;
    let node = Path::new("/dev").join(place.file_name().context("a name")?);
    Ok(CString::new(node.as_os_str().as_bytes())?)
}

/// One of the two, as the kernel shows it.
struct Side {
    place: PathBuf,
    node: CString,
    hidraw: File,
    inputs: Vec<File>,
    /// By input device, in the order in which the kernel made them.
    events: BTreeMap<usize, Vec<Event>>,
}

impl Side {
    /// Waits for the one device below such a place, and for all of its input devices.
    fn find(under: &str) -> Result<Self> {
        let place = hidraw_place(under)?;
        let name = place.file_name().context("a name")?.to_owned();
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        let node = Path::new("/dev").join(name);
        let hidraw = wait(PATIENCE, || open(&node).ok())?;
        // The kernel makes the input devices before hidraw's node, one after the other.
        let device = place.ancestors().nth(2).context("a device")?;
        let mut inputs = BTreeMap::new();
        for input in fs::read_dir(device.join("input"))
            .into_iter()
            .flatten()
            .flatten()
        {
            for event in fs::read_dir(input.path())?.flatten() {
                let name = event.file_name().to_string_lossy().into_owned();
                if let Some(number) = name.strip_prefix("event") {
                    let node = Path::new("/dev/input").join(&name);
                    inputs.insert(number.parse::<u32>()?, wait(PATIENCE, || open(&node).ok())?);
                }
            }
        }
        Ok(Self {
            place: device.to_owned(),
            node: CString::new(node.as_os_str().as_bytes())?,
            hidraw,
            inputs: inputs.into_values().collect(),
            events: BTreeMap::new(),
        })
    }

    /// The device as a program opens it that writes to it.
    fn program(&self) -> Result<HidDevice> {
        Ok(HidApi::new()?.open_path(&self.node)?)
    }

    /// The next report, as bytes.
    fn report(&mut self) -> Result<Vec<u8>> {
        ensure!(ready(&self.hidraw, PATIENCE)?, "it did not come");
        let mut report = vec![0; 4096];
        let count = self.hidraw.read(&mut report)?;
        report.truncate(count);
        Ok(report)
    }

    /// Takes the events that are there.
    fn drain(&mut self) -> Result<()> {
        for (number, input) in self.inputs.iter_mut().enumerate() {
            while ready(input, Duration::ZERO)? {
                let mut record = [0; 24];
                input.read_exact(&mut record)?;
                let [.., t0, t1, c0, c1, v0, v1, v2, v3] = record;
                let event = (
                    u16::from_le_bytes([t0, t1]),
                    u16::from_le_bytes([c0, c1]),
                    i32::from_le_bytes([v0, v1, v2, v3]),
                );
                let repeated = event.0 == KEY && event.2 == REPEATED;
                if event.0 != SYNCHRONISATION && !repeated {
                    self.events.entry(number).or_default().push(event);
                }
            }
        }
        Ok(())
    }
}

fn ready(file: &File, patience: Duration) -> Result<bool> {
    let mut descriptors = [PollFd::new(file, PollFlags::IN)];
    Ok(poll(&mut descriptors, Some(&Timespec::try_from(patience)?))? > 0)
}
