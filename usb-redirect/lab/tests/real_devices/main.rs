//! Replays real devices: the report descriptors that Debian's kernel sources carry for tablets, keyboards, mice, wheels and remotes. Each is parsed,
//! becomes a simulated device, and sends reports with every field at its ends and between, through the whole path; the desktop's kernel must
//! get the same bytes in the same order, and after the link's end nothing may be held.

#[path = "../real_kernel/machine.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod machine;
mod sources;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use usb_redirect::desktop::DEVICE;
use usb_redirect::device::{Description, DescriptionFile, Device, Simulated};
use usb_redirect::endpoint::{self, Control, End};
use usb_redirect::filter::Grant;
use usb_redirect::report::{Field, ReportDescriptor, ReportKind};
use usb_redirect::setup::EndpointAddress;
use usb_redirect::stream::StreamFront;
use usb_redirect::usbip::{Answer, Client};

const INPUT: EndpointAddress = EndpointAddress(0x81);
const ROOM: u32 = 1024;

#[test]
fn at_least_fifty_real_devices_are_replayed_unchanged() {
    let descriptors = sources::report_descriptors();
    let mut replayed = BTreeSet::new();
    for (name, bytes) in &descriptors {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("speed high\nproduct {name}\nreport 0 {hex}\n");
        let file = DescriptionFile::parse(&text).expect("a good file");
        let description = file
            .describe()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let reports = reports(&description.reports[&0].parsed);
        if !reports.is_empty() {
            replay(name, description, &reports);
            replayed.insert(bytes.clone());
        }
    }
    println!("{} devices replayed", replayed.len());
    assert!(
        replayed.len() >= 50,
        "only {} of {}",
        replayed.len(),
        descriptors.len()
    );
}

/// Devices that are replayed on a real kernel, how many on each machine, and the most reports of each: machines are slow, and live only so long.
const ON_A_KERNEL: usize = 54;
const ON_EACH: usize = 18;
const REPORTS: usize = 16;

#[test]
fn at_least_fifty_real_devices_make_the_same_events_as_the_kernels_own() {
    let mut devices = Vec::new();
    for (name, bytes) in sources::report_descriptors() {
        let descriptor = ReportDescriptor::parse(&bytes).expect("it was replayed before");
        let reports = reports(&descriptor);
        let longest = reports.iter().map(Vec::len).max().unwrap_or(0);
        // What is longer than one packet at full speed is left to the other test.
        if longest == 0 || longest > 64 {
            continue;
        }
        let mut text = format!("device {name} {}\n", hex(&bytes));
        let every = reports.len().div_ceil(REPORTS);
        for report in reports.iter().step_by(every) {
            writeln!(text, "{}", hex(report)).expect("a text grows");
        }
        devices.push(text);
    }
    devices.truncate(ON_A_KERNEL);
    assert_eq!(devices.len(), ON_A_KERNEL);
    for some in devices.chunks(ON_EACH) {
        let modules = ["evdev", "usbhid", "hid-generic", "vhci-hcd", "uhid"];
        let mut machine = machine::Parts::new("uhid", &modules)
            .with_file("devices", some.concat().as_bytes())
            .start(&[]);
        machine.wait_for(&format!("LAB replayed {} devices", some.len()));
        machine.finish();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text grows");
        text
    })
}

/// For each input report: all at rest, then each field at its largest, smallest and middle value in turn, then at rest again.
fn reports(descriptor: &ReportDescriptor) -> Vec<Vec<u8>> {
    let mut reports = Vec::new();
    for identifier in descriptor.report_ids(ReportKind::Input) {
        let length = descriptor
            .report_length(ReportKind::Input, identifier)
            .expect("a declared report");
        let mut rest = vec![0; length];
        if descriptor.is_numbered() {
            rest[0] = identifier;
        }
        if length == 0 {
            continue;
        }
        let body = usize::from(descriptor.is_numbered());
        reports.push(rest.clone());
        let fields = descriptor
            .fields()
            .iter()
            .filter(|field| field.kind == ReportKind::Input && field.report_id == identifier);
        for field in fields {
            for value in values(field) {
                let mut report = rest.clone();
                field.set_value(&mut report[body..], field.count - 1, value);
                reports.push(report);
            }
        }
        reports.push(rest);
    }
    reports
}

/// Values that the field declares and that fit in it.
fn values(field: &Field) -> Vec<i32> {
    let (low, high) = (field.logical_minimum, field.logical_maximum);
    let middle = i32::midpoint(low, high);
    [high, low, middle]
        .into_iter()
        .filter(|value| {
            let unsigned = field.bit_size >= 31 || *value < 1 << field.bit_size;
            let named = field.variable || field.usage_of_value(*value).is_some();
            low <= *value && *value <= high && unsigned && named
        })
        .collect()
}

fn replay(name: &str, description: Description, reports: &[Vec<u8>]) {
    let device = Simulated::new(Arc::new(description));
    let mut grant = Grant::default();
    grant.power_keys = true;
    grant.typing_rate = None;
    let control = Control::new().expect("a control");
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    std::thread::scope(|scope| {
        let front = Box::new(StreamFront::new(device.description().clone()));
        let session = scope.spawn(|| {
            endpoint::serve(&device, front, &ours, &grant, &control, &|notice| {
                panic!("{name}: {notice:?}");
            })
        });
        let (give, take) = channel();
        scope.spawn(move || {
            usb_redirect::desktop::run(&theirs, |_| {
                let (ours, kernel) = UnixStream::pair().expect("a socket pair");
                give.send(ours).expect("the test waits");
                Ok(kernel.into())
            })
        });
        let stream = take.recv().expect("the device is offered");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        let mut kernel = Client::new(stream, DEVICE);
        for report in reports {
            kernel.poll(INPUT, ROOM).expect("poll");
            assert!(device.send(INPUT, report));
            let answer = kernel.answer().expect("an answer in time");
            assert!(
                matches!(answer, Some(Answer::Submit { status: 0, data, .. }) if data == report),
                "{name}: {answer:?}, not {report:?}"
            );
        }
        drop(kernel);
        let end = session.join().expect("the session's thread");
        assert_eq!(end.expect("a good end"), End::Released);
    });
}
