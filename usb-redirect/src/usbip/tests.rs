//! Tests of the USB/IP wire: the protocol document's own examples, and numbers that lie.

use super::*;
use crate::descriptor::{ClassTriple, Speed};

/// The header that the kernel's documentation lists for an interrupt-IN URB of a mouse.
const SUBMIT: &str = "00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 00000000 00000000";
/// And the answer it lists.
const ANSWER: &str = "00000003 00000d05 00000000 00000000 00000000 00000000 00000040 ffffffff 00000000 00000000 00000000 00000000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

fn poll() -> Submit<'static> {
    Submit {
        sequence: 0xd05,
        device: 0x1000f,
        endpoint: EndpointAddress::input(1),
        flags: 0x200,
        length: 0x40,
        interval: 4,
        setup: Setup::from_bytes([0; 8]),
        data: &[],
    }
}

#[test]
fn the_documented_submit_is_read() {
    let mut wire = bytes(SUBMIT);
    // The document's example has number_of_packets 0 and start_frame -1, as older kernels sent them.
    wire[28..32].fill(0);
    let (command, used) = Command::decode(&wire).unwrap().unwrap();
    assert_eq!((command, used), (Command::Submit(poll()), 48));
}

#[test]
fn the_documented_answer_is_read() {
    let mut wire = bytes(ANSWER);
    wire.extend([7; 0x40]);
    let expected = |sequence| {
        (sequence == 0xd05).then_some(Expected {
            input: true,
            length: 0x40,
        })
    };
    let (answer, used) = Answer::decode(&wire, expected).unwrap().unwrap();
    assert_eq!(used, wire.len());
    assert!(
        matches!(answer, Answer::Submit { status: 0, actual: 0x40, data, .. } if data == [7; 0x40])
    );
    assert_eq!(Answer::decode(&wire[..100], expected), Ok(None));
}

#[test]
fn commands_survive_a_round_trip_byte_by_byte() {
    let out = Command::Submit(Submit {
        endpoint: EndpointAddress::output(2),
        length: 3,
        data: &[1, 2, 3],
        ..poll()
    });
    let unlink = Command::Unlink {
        sequence: 9,
        device: 0x1000f,
        target: 8,
    };
    for command in [Command::Submit(poll()), out, unlink] {
        let mut wire = Vec::new();
        command.encode(&mut wire);
        for length in 0..wire.len() {
            assert_eq!(Command::decode(&wire[..length]), Ok(None));
        }
        assert_eq!(Command::decode(&wire), Ok(Some((command, wire.len()))));
    }
}

#[test]
fn numbers_that_lie_are_refused() {
    let mut wire = Vec::new();
    Command::Submit(poll()).encode(&mut wire);
    let with = |at: usize, value: u32| {
        let mut wire = wire.clone();
        wire[at..at + 4].copy_from_slice(&value.to_be_bytes());
        Command::decode(&wire).map(|_| ())
    };
    assert_eq!(with(0, 7), Err(UsbIpError::UnknownCommand(7)));
    assert_eq!(with(12, 2), Err(UsbIpError::WrongDirection(2)));
    assert_eq!(with(16, 16), Err(UsbIpError::NoSuchEndpoint(16)));
    assert_eq!(with(24, u32::MAX), Err(UsbIpError::TooLong(u32::MAX)));
    assert_eq!(with(32, 1), Err(UsbIpError::Isochronous(1)));
    assert_eq!(
        with(32, 0x7fff_ffff),
        Err(UsbIpError::Isochronous(0x7fff_ffff))
    );
}

#[test]
fn answers_are_only_read_against_their_request() {
    let mut wire = Vec::new();
    let answer = Answer::Submit {
        sequence: 5,
        status: 0,
        actual: 8,
        data: &[0; 8],
    };
    answer.encode(&mut wire);
    let small = |_| {
        Some(Expected {
            input: true,
            length: 7,
        })
    };
    assert_eq!(
        Answer::decode(&wire, |_| None),
        Err(UsbIpError::UnknownSequence(5))
    );
    assert!(matches!(
        Answer::decode(&wire, small),
        Err(UsbIpError::Overrun { .. })
    ));
    // The hole of CVE-2026-31607: a packet count chosen by the server.
    let mut counted = wire.clone();
    counted[32..36].copy_from_slice(&64u32.to_be_bytes());
    let roomy = |_| {
        Some(Expected {
            input: true,
            length: 64,
        })
    };
    assert_eq!(
        Answer::decode(&counted, roomy),
        Err(UsbIpError::Isochronous(64))
    );
    // A negative length.
    let mut negative = wire;
    negative[24..28].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(
        Answer::decode(&negative, roomy),
        Err(UsbIpError::Overrun { actual: -1, .. })
    ));
}

#[test]
fn operations_survive_a_round_trip() {
    let bus = BusId::new("1-1.4").unwrap();
    let class = ClassTriple {
        class: 3,
        subclass: 1,
        protocol: 1,
    };
    let record = DeviceRecord {
        bus,
        number: (1, 2),
        speed: Speed::Full,
        identity: (0x046d, 0xc31c, 0x6402),
        class: ClassTriple {
            class: 0,
            subclass: 0,
            protocol: 0,
        },
        configuration: 1,
        configurations: 1,
        interfaces: vec![InterfaceRecord { class }],
    };
    let imported = DeviceRecord {
        interfaces: Vec::new(),
        ..record.clone()
    };
    let cases = [
        (Operation::List, OperationReply::List(vec![record])),
        (Operation::Import(bus), OperationReply::Imported(imported)),
        (Operation::Import(bus), OperationReply::Refused(4)),
    ];
    for (operation, reply) in cases {
        let mut wire = Vec::new();
        operation.encode(&mut wire);
        assert_eq!(Operation::decode(&wire), Ok(Some((operation, wire.len()))));
        let mut wire = Vec::new();
        reply.encode(&mut wire);
        for length in 0..wire.len() {
            assert_eq!(OperationReply::decode(operation, &wire[..length]), Ok(None));
        }
        assert_eq!(
            OperationReply::decode(operation, &wire),
            Ok(Some((reply, wire.len())))
        );
    }
    assert_eq!(BusId::new("../etc"), None);
    let mut many = Vec::new();
    open_list(&mut many, u32::MAX);
    assert_eq!(
        OperationReply::decode(Operation::List, &many),
        Err(UsbIpError::TooManyDevices(u32::MAX))
    );
}

fn open_list(out: &mut Vec<u8>, count: u32) {
    out.extend([1, 0x11, 0, 5, 0, 0, 0, 0]);
    out.extend(count.to_be_bytes());
}

#[test]
fn a_stock_client_lists_imports_and_uses_the_exported_device() {
    use crate::front::{Front, Request, Response};
    use crate::stream::Outcome;
    let text = include_str!("../../descriptors/composite.txt");
    let file = crate::device::DescriptionFile::parse(text).unwrap();
    let bus = BusId::new("1-1").unwrap();
    let mut exporter = Exporter::new(std::sync::Arc::new(file.describe().unwrap()), bus);
    let (mut requests, mut out) = (Vec::new(), Vec::new());
    let mut feed = |exporter: &mut Exporter, encode: &dyn Fn(&mut Vec<u8>), out: &mut Vec<u8>| {
        let mut wire = Vec::new();
        encode(&mut wire);
        exporter.receive(&wire, &mut requests, out).map(|used| {
            assert_eq!(used, Some(wire.len()));
            std::mem::take(&mut requests)
        })
    };
    let early = Command::Submit(poll());
    assert!(feed(&mut exporter, &|wire| early.encode(wire), &mut out).is_err());
    let import = Operation::Import(bus);
    feed(&mut exporter, &|wire| import.encode(wire), &mut out).unwrap();
    let reply = OperationReply::decode(import, &out).unwrap().unwrap().0;
    let OperationReply::Imported(record) = reply else {
        panic!("{reply:?}");
    };
    out.clear();
    let mine = Submit {
        device: record.device(),
        ..poll()
    };
    let asked = feed(
        &mut exporter,
        &|wire| Command::Submit(mine).encode(wire),
        &mut out,
    )
    .unwrap();
    let [Request::PollOnce { id, .. }] = asked[..] else {
        panic!("{asked:?}");
    };
    let polled = Response::Polled {
        id,
        outcome: Outcome::Done,
        data: &[5; 8],
    };
    exporter.respond(polled, &mut out);
    exporter.respond(polled, &mut out);
    assert_eq!(out.len(), 48 + 8, "answered once");
    let foreign = Command::Submit(poll());
    assert_eq!(
        feed(&mut exporter, &|wire| foreign.encode(wire), &mut out),
        Err(UsbIpError::UnknownDevice(0x1000f).into())
    );
}
