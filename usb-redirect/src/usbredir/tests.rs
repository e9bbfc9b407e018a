//! Tests of usbredir: our guest and our host against each other, and packets that lie.

use std::sync::Arc;

use super::*;
use crate::device::DescriptionFile;
use crate::front::{Front, Request, Response};
use crate::setup::EndpointAddress;
use crate::stream::{Generation, Sequence, TransferId};

fn pair() -> (Host, Guest, Vec<u8>) {
    let text = include_str!("../../descriptors/composite.txt");
    let description = DescriptionFile::parse(text).unwrap().describe().unwrap();
    let mut host = Host::new(Arc::new(description));
    let mut guest = Guest::default();
    let (mut to_guest, mut to_host) = (Vec::new(), Vec::new());
    host.greet(&mut to_guest);
    guest.greet(&mut to_host);
    let mut requests = Vec::new();
    assert!(
        host.receive(&to_host, &mut requests, &mut to_guest)
            .unwrap()
            .is_some()
    );
    let mut connected = None;
    for event in events(&mut guest, &to_guest) {
        if let GuestEvent::Connected(device) = event {
            connected = Some(device);
        }
    }
    let device = connected.unwrap();
    assert_eq!(device.identity, (0x1209, 1, 0x100));
    assert_eq!(device.interfaces.len(), 2);
    assert_eq!(device.interfaces[1].1.protocol, 2);
    (host, guest, Vec::new())
}

fn events<'a>(guest: &mut Guest, mut bytes: &'a [u8]) -> Vec<GuestEvent<'a>> {
    let mut events = Vec::new();
    while let Some((event, used)) = guest.receive(bytes, &mut Vec::new()).unwrap() {
        events.push(event);
        bytes = &bytes[used..];
    }
    assert!(bytes.is_empty());
    events
}

fn requests(host: &mut Host, mut bytes: &[u8], out: &mut Vec<u8>) -> Vec<Request> {
    let mut requests = Vec::new();
    while let Some(used) = host.receive(bytes, &mut requests, out).unwrap() {
        bytes = &bytes[used..];
    }
    requests
}

#[test]
fn start_interrupt_receiving_is_the_first_poll() {
    let (mut host, mut guest, mut wire) = pair();
    let keys = EndpointAddress::input(1);
    guest.start(keys, &mut wire);
    let mut back = Vec::new();
    let asked = requests(&mut host, &wire, &mut back);
    assert!(
        matches!(asked[..], [Request::Start { endpoint, message, .. }] if endpoint == keys && message.length == 8)
    );
    host.respond(
        Response::Report {
            endpoint: keys,
            generation: Generation(1),
            sequence: Sequence(0),
            data: &[0, 0, 4, 0, 0, 0, 0, 0],
        },
        &mut back,
    );
    // 16 bytes of header with a long id, 4 of packet, 8 of report.
    assert_eq!(back.len(), 16 + 2 + 28);
    let report = GuestEvent::Report {
        endpoint: keys,
        data: &[0, 0, 4, 0, 0, 0, 0, 0],
    };
    assert_eq!(events(&mut guest, &back)[1], report);
}

#[test]
fn control_transfers_are_matched_by_id() {
    let (mut host, mut guest, mut wire) = pair();
    let descriptor = Setup::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
    guest.control(TransferId(70), descriptor, &[], &mut wire);
    guest.set_configuration(1, &mut wire);
    let mut back = Vec::new();
    let asked = requests(&mut host, &wire, &mut back);
    let [
        Request::Control { id: first, .. },
        Request::Control {
            id: second, setup, ..
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!(setup.to_bytes(), [0, 9, 1, 0, 0, 0, 0, 0]);
    for (id, data) in [(second, &[][..]), (first, &[7; 18][..])] {
        host.respond(
            Response::ControlDone {
                id: *id,
                outcome: Outcome::Done,
                actual: u16::try_from(data.len()).unwrap(),
                data,
            },
            &mut back,
        );
    }
    let events = events(&mut guest, &back);
    assert!(events.contains(&GuestEvent::SettingDone {
        outcome: Outcome::Done
    }));
    assert!(events.contains(&GuestEvent::ControlDone {
        id: TransferId(70),
        outcome: Outcome::Done,
        data: &[7; 18],
        actual: 18
    }));
}

#[test]
fn what_this_device_cannot_do_is_refused_and_not_ignored() {
    let (mut host, mut guest, mut wire) = pair();
    let mut back = Vec::new();
    guest.start(EndpointAddress::input(9), &mut wire);
    guest.output(TransferId(3), EndpointAddress::output(9), &[1], &mut wire);
    assert_eq!(requests(&mut host, &wire, &mut back), []);
    let polling = GuestEvent::Polling {
        endpoint: EndpointAddress::input(9),
        outcome: Outcome::Failed,
    };
    let output = GuestEvent::OutDone {
        id: TransferId(3),
        outcome: Outcome::Failed,
    };
    assert_eq!(events(&mut guest, &back), [polling, output]);
}

#[test]
fn packets_that_lie_are_refused() {
    let agreed = Agreed {
        capabilities: capability::OURS,
    };
    let packet = |kind: u32, length: u32| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(vec![0; usize::try_from(length.min(300)).unwrap()]);
        Packet::decode(&bytes, agreed).map(|_| ())
    };
    assert_eq!(packet(15, u32::MAX), Err(UsbRedirError::TooLong(u32::MAX)));
    assert_eq!(packet(15, 0), Err(UsbRedirError::Malformed(15)));
    assert_eq!(packet(15, 2), Err(UsbRedirError::Malformed(15)));
    assert_eq!(packet(4, 131), Err(UsbRedirError::Malformed(4)));
    assert_eq!(packet(99, 0), Err(UsbRedirError::OutOfPlace(99)));
    // A count of interfaces beyond the table.
    assert_eq!(
        guest::read_interfaces(33, &[0; 128]),
        Err(UsbRedirError::Malformed(4))
    );
    // Control data that is not as long as the setup packet says.
    let (mut host, guest, mut wire) = pair();
    let lights = Setup::from_bytes([0x21, 9, 0, 2, 0, 0, 9, 0]);
    guest.control(TransferId(1), lights, &[1], &mut wire);
    assert!(
        host.receive(&wire, &mut Vec::new(), &mut Vec::new())
            .is_err()
    );
}
