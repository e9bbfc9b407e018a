//! Bugs that others had where redirected devices, and what talks to them, are parsed: for each, what triggered it there, and that it is refused or
//! harmless here. SECURITY.md names these tests.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use usb_redirect::agent::Agent;
use usb_redirect::descriptor::{Configuration, DeviceDescriptor};
use usb_redirect::device::{Description, DescriptionFile, Device, Poller, Simulated};
use usb_redirect::endpoint::{self, Control, Notice};
use usb_redirect::filter::{Grant, ReportFilter, Verdict};
use usb_redirect::front::Front;
use usb_redirect::plugged::Digest;
use usb_redirect::report::{MAX_REPORT_BYTES, ReportDescriptor, ReportKind};
use usb_redirect::setup::{EndpointAddress, Setup};
use usb_redirect::stream::{Generation, Outcome, Sequence, StreamFront};
use usb_redirect::usbip::{
    Answer, BusId, Client, Command, Expected, Exporter, Operation, Submit, UsbIpError, status,
};
use usb_redirect::usbredir::{Guest, Host};

const COMPOSITE: &str = include_str!("../descriptors/composite.txt");

fn describe(text: &str) -> Arc<Description> {
    Arc::new(DescriptionFile::parse(text).unwrap().describe().unwrap())
}

/// USB/IP in Linux: endpoint numbers beyond the table (CVE-2017-16912), lengths and packet counts that lie, in requests (CVE-2017-16913) and in answers
/// (CVE-2016-3955, CVE-2026-31607), data that is announced and never comes (CVE-2017-16914).
#[test]
fn usb_ip_numbers_that_lie() {
    let poll = Submit {
        sequence: 5,
        device: DEVICE,
        endpoint: EndpointAddress(0x81),
        flags: 0,
        length: 8,
        interval: 1,
        setup: Setup::from_bytes([0; 8]),
        data: &[],
    };
    let mut wire = Vec::new();
    Command::Submit(poll).encode(&mut wire);
    let with = |at: usize, value: u32| {
        let mut wire = wire.clone();
        wire[at..at + 4].copy_from_slice(&value.to_be_bytes());
        Command::decode(&wire).map(|decoded| decoded.is_some())
    };
    assert_eq!(with(16, 1), Ok(true));
    assert_eq!(with(16, 16), Err(UsbIpError::NoSuchEndpoint(16)));
    assert_eq!(
        with(16, u32::MAX),
        Err(UsbIpError::NoSuchEndpoint(u32::MAX))
    );
    assert_eq!(with(24, 0x8000_0000), Err(UsbIpError::TooLong(0x8000_0000)));
    assert_eq!(with(32, 1), Err(UsbIpError::Isochronous(1)));
    // To the device, without its data: waited for, and nothing is made of it.
    let mut out = Vec::new();
    let endpoint = EndpointAddress(2);
    Command::Submit(Submit { endpoint, ..poll }).encode(&mut out);
    assert_eq!(Command::decode(&out), Ok(None));

    let mut answer = Vec::new();
    Answer::Submit {
        sequence: 5,
        status: 0,
        actual: 8,
        data: &[0; 8],
    }
    .encode(&mut answer);
    let room = |length| {
        move |sequence| {
            (sequence == 5).then_some(Expected {
                input: true,
                length,
            })
        }
    };
    assert!(matches!(Answer::decode(&answer, room(8)), Ok(Some(_))));
    assert!(matches!(
        Answer::decode(&answer, room(7)),
        Err(UsbIpError::Overrun { .. })
    ));
    answer[32..36].copy_from_slice(&1u32.to_be_bytes());
    assert_eq!(
        Answer::decode(&answer, room(8)),
        Err(UsbIpError::Isochronous(1))
    );
}

/// An endpoint that the device has not is stalled by both servers, the plain one and the agent.
#[test]
fn usb_ip_endpoints_that_are_not_there() {
    let mut kernel = exported(describe(COMPOSITE));
    for address in [0x83, 0x8f, 0x03, 0x0f] {
        let sequence = kernel.poll(EndpointAddress(address), 0).unwrap();
        let answer = kernel.answer().unwrap();
        assert!(
            matches!(answer, Some(Answer::Submit { sequence: of, status: status::STALL, .. }) if of == sequence),
            "{address:#x}: {answer:?}"
        );
    }
}

/// Connections that break off at any point, as fast as they come (CVE-2018-5814: use after free where usbip-host loses its device).
#[test]
fn usb_ip_connections_that_break_off() {
    let device = Simulated::new(describe(COMPOSITE));
    for round in 0..60 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let control = Control::new().unwrap();
        std::thread::scope(|scope| {
            let front = exporter(device.description().clone());
            let serving = scope.spawn(|| {
                endpoint::serve(&device, front, &ours, &Grant::default(), &control, &|_| {})
            });
            let mut kernel = Client::new(theirs, 0);
            if round % 3 > 0 {
                kernel.operate(Operation::Import(bus())).unwrap();
                let poll = kernel.poll(KEYS, 8).unwrap();
                device.send(KEYS, &[0; 8]);
                if round % 3 > 1 {
                    kernel.unlink(poll).unwrap();
                    kernel.control([0, 9, 1, 0, 0, 0, 0, 0], &[]).unwrap();
                }
            }
            drop(kernel);
            serving.join().unwrap().unwrap();
        });
    }
}

/// usbredir: packets longer than what they are, bulk packets (CVE-2021-3682, CVE-2021-3527), counts beyond tables.
#[test]
fn usbredir_packets_that_lie() {
    let description = describe(COMPOSITE);
    let mut hello = Vec::new();
    Guest::default().greet(&mut hello);
    let refuses = |kind: u32, length: u32, body: &[u8]| {
        let mut host = Host::new(description.clone());
        let (mut requests, mut out) = (Vec::new(), Vec::new());
        assert_eq!(
            host.receive(&hello, &mut requests, &mut out),
            Ok(Some(hello.len()))
        );
        // Both widths of identifiers, whichever was agreed on.
        for identifier in [4, 8] {
            let mut wire = [kind.to_le_bytes(), length.to_le_bytes()].concat();
            wire.resize(wire.len() + identifier, 0);
            wire.extend(body);
            let received = host.receive(&wire, &mut requests, &mut out);
            let answered = matches!(received, Err(_) | Ok(None)) || requests.is_empty();
            assert!(answered, "{kind}: {received:?} {requests:?}");
        }
    };
    refuses(15, u32::MAX, &[]);
    refuses(101, 64 << 20, &[0; 64]);
    refuses(101, 10, &[0x81, 0, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff]);
    refuses(104, 64, &[0xff; 64]);
    refuses(100, 10, &[0, 9, 0x21, 0, 0, 2, 0, 0, 0xff, 0xff]);
    refuses(4, 132, &[0xff; 132]);
}

/// A peer that asks and never reads (CVE-2021-3700: use after free where buffered data grew): what waits for it is bounded, and the session goes on.
#[test]
fn a_peer_that_never_reads() {
    use std::io::{ErrorKind, Read, Write};
    let device = Simulated::new(describe(COMPOSITE));
    let control = Control::new().unwrap();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let front = exporter(device.description().clone());
        let serving = scope
            .spawn(|| endpoint::serve(&device, front, &ours, &Grant::default(), &control, &|_| {}));
        let mut wire = Vec::new();
        Operation::Import(bus()).encode(&mut wire);
        peer.write_all(&wire).unwrap();
        wire.clear();
        let descriptor = Submit {
            sequence: 1,
            device: DEVICE,
            endpoint: EndpointAddress(0x80),
            flags: 0,
            length: 4096,
            interval: 0,
            setup: Setup::from_bytes([0x80, 6, 0, 2, 0, 0, 0, 16]),
            data: &[],
        };
        // Until it takes no more: then what it holds does not grow any more, either.
        peer.set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut asked = 0u32;
        loop {
            wire.clear();
            Command::Submit(Submit {
                sequence: asked + 1,
                ..descriptor
            })
            .encode(&mut wire);
            match peer.write_all(&wire) {
                Ok(()) => asked += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // It was cut off for asking more than may wait.
                Err(_) => break,
            }
            assert!(
                asked < 100_000,
                "{asked} answers wait for a peer that does not read"
            );
            if asked.is_multiple_of(64) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        println!("{asked} requests were taken");
        let mut rest = [0; 4096];
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        peer.read_exact(&mut rest).unwrap();
        drop(peer);
        let _ = serving.join().unwrap();
    });
}

/// QEMU's `setup_len` (CVE-2020-14364), FreeRDP's buffer sizes (CVE-2020-11039, CVE-2022-39319): a request's length, its data's and its room need not
/// agree, and nothing but the agreed part moves.
#[test]
fn control_lengths_that_disagree() {
    let mut kernel = exported(describe(COMPOSITE));
    let submit = |kernel: &mut Client<UnixStream>, setup: [u8; 8], length, data: &[u8]| {
        let setup = Setup::from_bytes(setup);
        let endpoint = EndpointAddress(setup.request_type & 0x80);
        kernel.submit(endpoint, setup, length, data).unwrap();
        match kernel.answer().unwrap() {
            Some(Answer::Submit { status, data, .. }) => (status, data.len()),
            other => panic!("{other:?}"),
        }
    };
    // More asked for than there is room.
    let (_, length) = submit(&mut kernel, [0x80, 6, 0, 1, 0, 0, 18, 0], 4, &[]);
    assert!(length <= 4, "{length}");
    // More room than asked for, and more asked for than there is.
    assert_eq!(
        submit(&mut kernel, [0x80, 6, 0, 1, 0, 0, 8, 0], 64, &[]),
        (status::OK, 8)
    );
    assert_eq!(
        submit(&mut kernel, [0x80, 6, 0, 1, 0, 0, 0xff, 0xff], 4096, &[]),
        (status::OK, 18)
    );
    // A report longer, and shorter, than its request says.
    for (announced, data) in [(1, &[1, 2, 3, 4][..]), (200, &[1][..])] {
        let (status, _) = submit(
            &mut kernel,
            [0x21, 9, 0, 2, 0, 0, announced, 0],
            u32::try_from(data.len()).unwrap(),
            data,
        );
        assert_eq!(status, status::STALL, "{announced}");
    }
}

/// A poll interval of nothing (CVE-2022-39318: division by zero in FreeRDP's USB channel).
#[test]
fn intervals_of_nothing() {
    for speed in ["low", "full", "high", "super"] {
        let text = COMPOSITE.replace("speed full", &format!("speed {speed}"));
        for interval in ["00", "ff"] {
            let text = text.replace(
                "07 05 81 03 08 00 08",
                &format!("07 05 81 03 08 00 {interval}"),
            );
            let transfers = describe(&text).transfers_in_flight(KEYS);
            assert!(
                (4..=128).contains(&transfers),
                "{speed} {interval}: {transfers}"
            );
        }
    }
}

/// Linux' USB core: more interfaces announced than there are (CVE-2017-17558), associations that lie (CVE-2017-16531), HID descriptors that announce
/// more entries than they have (CVE-2017-16533), lengths past the end (CVE-2018-20169).
#[test]
fn usb_descriptors_that_lie() {
    let description = describe(COMPOSITE);
    let good = description.configuration.raw.clone();
    let settings = description.configuration.settings.len();
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Configuration::parse(&bytes)
    };
    // bNumInterfaces.
    for count in [0, 1, 0xff] {
        assert!(
            with(4, count).is_ok_and(|parsed| parsed.settings.len() == settings)
                || with(4, count).is_err()
        );
    }
    // bNumDescriptors of the first HID descriptor, which has room for one.
    for count in [0, 2, 0xff] {
        let hid = with(9 + 9 + 5, count).map(|parsed| parsed.settings[0].hid);
        let lengths = hid.ok().flatten().map(|hid| hid.report_length);
        assert!(matches!(lengths, None | Some(63)), "{count}: {lengths:?}");
    }
    // An association that names interfaces that are not there, and one that ends early.
    for association in [&[8, 11, 250, 255, 3, 1, 1, 0][..], &[2, 11][..]] {
        let mut bytes = good.clone();
        bytes.splice(9..9, association.iter().copied());
        let length = u16::try_from(bytes.len()).unwrap().to_le_bytes();
        bytes[2..4].copy_from_slice(&length);
        let parsed = Configuration::parse(&bytes).unwrap();
        assert_eq!(parsed.settings, description.configuration.settings);
    }
    let mut long = good.clone();
    long[9] = 0xff;
    assert!(Configuration::parse(&long).is_err());
    assert!(DeviceDescriptor::parse(&[18, 1]).is_err());
}

/// Linux' HID core: report numbers above 255 (CVE-2013-2888), fields wider than 32 bits (CVE-2026-31624), fields of no bits (CVE-2025-38556), sums
/// that overflow.
#[test]
fn report_descriptors_that_lie() {
    let head = [
        0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x02, 0x15, 0x00, 0x25, 0x01,
    ];
    let parse =
        |items: &[u8]| ReportDescriptor::parse(&[&head, items, &[0x81, 0x02, 0xc0]].concat());
    assert!(parse(&[0x75, 8, 0x95, 1, 0x85, 255]).is_ok());
    assert!(
        parse(&[0x75, 8, 0x95, 1, 0x86, 0x00, 0x01]).is_err(),
        "report 256"
    );
    assert!(parse(&[0x75, 8, 0x95, 1, 0x87, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(
        parse(&[0x76, 0x00, 0x01, 0x95, 0x01]).is_ok(),
        "256 bits are raw bytes"
    );
    assert!(parse(&[0x76, 0x01, 0x01, 0x95, 0x01]).is_err(), "257 bits");
    assert!(parse(&[0x75, 0xff, 0x97, 0xff, 0xff, 0xff, 0xff]).is_err());

    // Every width is read and written where it is, and nowhere else.
    for bits in [1u8, 7, 31, 32, 33, 64, 255] {
        let descriptor = parse(&[0x75, bits, 0x95, 2]).unwrap();
        let length = descriptor.report_length(ReportKind::Input, 0).unwrap();
        assert!(length <= MAX_REPORT_BYTES);
        let mut filter = ReportFilter::new(&descriptor, None, &Grant::default());
        for fill in [0, 0x55, 0xff] {
            let mut report = vec![fill; length];
            assert_eq!(
                filter.inspect(&mut report, Duration::ZERO),
                Verdict::Pass(length)
            );
        }
        // Shorter than declared, and empty.
        for length in 0..length {
            let _ = filter.inspect(&mut vec![0xff; length], Duration::ZERO);
        }
    }
}

/// A device that answers for another report than the one asked for (CVE-2026-43047: out-of-bounds write in Linux' multitouch driver), and one that
/// describes itself to the desktop otherwise than to the policy.
#[test]
fn devices_that_change_their_story() {
    /// What the device says by now, after it was let in.
    struct Turned(Simulated);

    impl Device for Turned {
        fn description(&self) -> &Arc<Description> {
            self.0.description()
        }

        fn control(&self, setup: Setup, data: &[u8], answer: &mut Vec<u8>) -> Result<u16, Outcome> {
            if !setup.is_input() {
                return self.0.control(setup, data, answer);
            }
            answer.clear();
            answer.resize(setup.length.into(), 0xee);
            Ok(setup.length)
        }

        fn output(&self, endpoint: EndpointAddress, data: &[u8]) -> Result<u16, Outcome> {
            self.0.output(endpoint, data)
        }

        fn poller(&self, endpoint: EndpointAddress) -> Result<Box<dyn Poller>, Outcome> {
            self.0.poller(endpoint)
        }
    }

    let text = "report 0 06 00 ff 09 01 a1 01 15 00 26 ff 00 75 08 95 04 85 05 09 02 81 02 85 06 09 03 b1 02 c0\n";
    let description = describe(text);
    let device = Turned(Simulated::new(description.clone()));
    let control = Control::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let refused = |notice| assert!(matches!(notice, Notice::Refused(_)), "{notice:?}");
    std::thread::scope(|scope| {
        let front = exporter(description.clone());
        let serving = scope.spawn(|| {
            endpoint::serve(&device, front, &ours, &Grant::default(), &control, &refused)
        });
        let mut kernel = Client::new(theirs, 0);
        kernel.operate(Operation::Import(bus())).unwrap();
        let mut ask = |setup: [u8; 8]| {
            kernel.control(setup, &[]).unwrap();
            match kernel.answer().unwrap() {
                Some(Answer::Submit { status, data, .. }) => (status, data.to_vec()),
                other => panic!("{other:?}"),
            }
        };
        let raw = |bytes: &[u8]| (status::OK, bytes.to_vec());
        assert_eq!(
            ask([0x80, 6, 0, 1, 0, 0, 64, 0]),
            raw(&description.device.raw)
        );
        assert_eq!(
            ask([0x80, 6, 0, 2, 0, 0, 0, 1]),
            raw(&description.configuration.raw)
        );
        assert_eq!(
            ask([0x81, 6, 0, 0x22, 0, 0, 0, 1]),
            raw(&description.reports[&0].raw)
        );
        // Feature report 6, for which it answers with another number.
        assert_eq!(ask([0xa1, 1, 6, 3, 0, 0, 5, 0]), (status::PROTOCOL, vec![]));
        drop(kernel);
        serving.join().unwrap().unwrap();
    });
}

/// Devices that are something else as well (BadUSB): a hub with a keyboard goes nowhere as a keyboard, and a stick that types is known to type.
#[test]
fn devices_that_are_something_else_as_well() {
    let with = |class: &str| {
        let text = COMPOSITE
            .replace("09 02 42 00 02", "09 02 52 00 03")
            .replace(
                "07 05 02 03 08 00 01",
                &format!("07 05 02 03 08 00 01  09 04 02 00 01 {class} 00  07 05 83 03 08 00 0c"),
            );
        assert_ne!(text, COMPOSITE);
        Digest::from(&*describe(&text))
    };
    let hub = with("09 00 00");
    assert!(hub.is_hub);
    assert!(hub.identity.unwrap_err().starts_with("a hub"));
    let stick = with("08 06 50").identity.unwrap();
    assert!(stick.can_type());
    let classes: Vec<String> = stick.interfaces.values().map(ToString::to_string).collect();
    assert_eq!(classes, ["03:01:01", "03:01:02", "08:06:50"]);
    assert_eq!(stick.kind(), "keyboard, mouse and other than HID");
}

/// Reports of a later start, of none, and out of order: the agent gives up, and its kernel sees the device go.
#[test]
fn an_endpoint_that_lies_to_the_agent() {
    use usb_redirect::stream::FromEndpoint;
    let description = describe(COMPOSITE);
    for (generation, sequence) in [(1, 0), (u32::MAX, 0), (0, 1)] {
        let mut agent = Agent::new();
        let mut wire = Vec::new();
        StreamFront::new(description.clone()).greet(&mut wire);
        FromEndpoint::Report {
            endpoint: KEYS,
            generation: Generation(generation),
            sequence: Sequence(sequence),
            data: &[0xff; 8],
        }
        .encode(&mut wire);
        let mut taken = 0;
        let end = loop {
            match agent.from_endpoint(&wire[taken..], Duration::ZERO) {
                Ok(Some(used)) => taken += used,
                other => break other,
            }
        };
        assert!(
            end.is_err() || agent.to_kernel.is_empty(),
            "{generation} {sequence}"
        );
    }
}

const DEVICE: u32 = 0x0001_0002;
const KEYS: EndpointAddress = EndpointAddress(0x81);

fn bus() -> BusId {
    BusId::new("1-1").unwrap()
}

fn exporter(description: Arc<Description>) -> Box<Exporter> {
    Box::new(Exporter::new(description, bus()))
}

/// A client of a simulated device that is served by plain USB/IP until the client goes.
fn exported(description: Arc<Description>) -> Client<UnixStream> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let device = Simulated::new(description.clone());
        let control = Control::new().unwrap();
        let front = exporter(description);
        endpoint::serve(&device, front, &ours, &Grant::default(), &control, &|_| {}).unwrap();
    });
    let timeout = Some(Duration::from_secs(20));
    theirs.set_read_timeout(timeout).unwrap();
    let mut kernel = Client::new(theirs, 0);
    kernel.operate(Operation::Import(bus())).unwrap();
    kernel
}
