//! Entry points for fuzzers: any bytes. Each panics where an invariant breaks.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;
use crate::descriptor::{Configuration, DeviceDescriptor, MAX_ENDPOINTS, MAX_INTERFACE_SETTINGS};
use crate::device::{Description, DescriptionFile};
use crate::filter::{Grant, ReportFilter, RequestFilter, Verdict};
use crate::front::{Front, Response};
use crate::plugged::Digest;
use crate::queue::{CAPACITY, ReportQueue};
use crate::report::{Layout, MAX_FIELDS, MAX_REPORT_BYTES, ReportDescriptor, ReportKind};
use crate::setup::{EndpointAddress, Setup};
use crate::stream::{Generation, Outcome, Sequence, StreamFront};
use crate::usbip::{Answer, BusId, Command, Expected, Exporter, Operation, OperationReply};
use crate::usbredir::{Guest, Host};

fn device() -> Arc<Description> {
    let text = include_str!("../descriptors/composite.txt");
    let description = DescriptionFile::parse(text).and_then(DescriptionFile::describe);
    Arc::new(description.expect("the crate's own device is well-formed"))
}

/// USB descriptors: what parses keeps to the limits.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_descriptors(data: &[u8]) {
    let _ = DeviceDescriptor::parse(data);
    if let Ok(configuration) = Configuration::parse(data) {
        assert!(configuration.settings.len() <= MAX_INTERFACE_SETTINGS);
        for setting in &configuration.settings {
            assert!(setting.endpoints.len() <= MAX_ENDPOINTS);
            for endpoint in &setting.endpoints {
                assert!(usize::from(endpoint.max_packet) <= 3 * 2047);
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = DescriptionFile::parse(text).map(DescriptionFile::describe);
    }
}

/// The text of a digest: what is taken says the same when it is said again.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_digest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.trim_end_matches(|character: char| character != '\n');
    if let Ok(digest) = Digest::parse(text, "1-1") {
        assert_eq!(Digest::parse(&digest.to_string(), "1-1"), Ok(digest));
    }
}

/// A report descriptor and then reports: the first two bytes give the descriptor's length, the rest is cut into reports.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_report_descriptor(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (descriptor, reports) = rest.split_at(length);
    let Ok(descriptor) = ReportDescriptor::parse(descriptor) else {
        return;
    };
    assert!(descriptor.fields().len() <= MAX_FIELDS);
    for kind in [ReportKind::Input, ReportKind::Output, ReportKind::Feature] {
        for identifier in descriptor.report_ids(kind) {
            let length = descriptor.report_length(kind, identifier);
            assert!(length.is_some_and(|length| length <= MAX_REPORT_BYTES + 1));
        }
    }
    let layout = Arc::new(Layout::new(&descriptor));
    let mut filter = ReportFilter::new(&descriptor, Some(1), &Grant::default());
    let mut queue = ReportQueue::new(Some(layout.clone()), layout.longest().max(1));
    let mut now = Duration::ZERO;
    let mut out = vec![0; layout.longest().max(1)];
    for chunk in reports.chunks(layout.longest().max(1)) {
        let mut report = chunk.to_vec();
        now += Duration::from_millis(7);
        if let Verdict::Pass(length) = filter.inspect(&mut report, now) {
            assert!(length <= report.len(), "nothing is added");
            report.truncate(length);
            let mut again = report.clone();
            if let Verdict::Pass(_) = filter.inspect(&mut again, now) {
                assert_eq!(again, report, "what is clean stays as it is");
            }
            queue.push(&report, now);
            layout.release(&mut report);
            assert!(!layout.release(&mut report.clone()), "released is released");
        }
        assert!(queue.len() <= CAPACITY);
    }
    while let Some(popped) = queue.pop(&mut out, now) {
        assert!(popped.length <= out.len());
    }
}

/// USB/IP, every direction; what is accepted encodes to what was read.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_usbip(data: &[u8]) {
    if let Ok(Some((command, used))) = Command::decode(data) {
        let mut again = Vec::new();
        command.encode(&mut again);
        assert_eq!(again.len(), used);
        assert_eq!(Command::decode(&again), Ok(Some((command, used))));
    }
    let expected = |sequence| {
        Some(Expected {
            input: sequence % 2 == 0,
            length: 64,
        })
    };
    if let Ok(Some((Answer::Submit { actual, data, .. }, _))) = Answer::decode(data, expected) {
        assert!(actual <= 64 && data.len() <= 64);
    }
    let bus = BusId::new("1-1").expect("a good bus id");
    let _ = Operation::decode(data);
    let _ = OperationReply::decode(Operation::List, data);
    let _ = OperationReply::decode(Operation::Import(bus), data);
    let mut import = Vec::new();
    Operation::Import(bus).encode(&mut import);
    import.extend_from_slice(data);
    drive(&mut Exporter::new(device(), bus), &import);
}

/// usbredir, both sides, each after a good greeting.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_usbredir(data: &[u8]) {
    let mut greeting = Vec::new();
    let mut guest = Guest::default();
    guest.greet(&mut greeting);
    greeting.extend_from_slice(data);
    let mut host = Host::new(device());
    drive(&mut host, &greeting);
    let mut from_host = Vec::new();
    let mut good = Host::new(device());
    good.greet(&mut from_host);
    from_host.extend_from_slice(data);
    let mut rest = from_host.as_slice();
    let mut out = Vec::new();
    while let Ok(Some((_, used))) = guest.receive(rest, &mut out) {
        assert!(used > 0 && used <= rest.len());
        rest = rest.get(used..).unwrap_or_default();
    }
}

/// Our stream and the agent: the first byte says how the bytes are shared between a kernel and an endpoint that are both hostile.
///
/// # Panics
/// When an invariant is broken: above all, when the kernel is answered a sequence number that does not wait.
pub fn fuzz_stream(data: &[u8]) {
    let mut front = StreamFront::new(device());
    let mut greeting = Vec::new();
    front.greet(&mut greeting);
    drive(&mut front, data);

    let mut agent = Agent::new();
    let mut rest = greeting.as_slice();
    while let Ok(Some(used)) = agent.from_endpoint(rest, Duration::ZERO) {
        rest = rest.get(used..).unwrap_or_default();
    }
    assert!(
        agent.description().is_some(),
        "our own greeting is understood"
    );
    let mut waiting = std::collections::BTreeMap::new();
    let mut now = Duration::ZERO;
    let (mut kernel, mut endpoint) = (Vec::new(), Vec::new());
    for chunk in data.chunks(49) {
        let Some((selector, bytes)) = chunk.split_first() else {
            return;
        };
        now += Duration::from_millis(u64::from(selector >> 2));
        if selector & 1 == 0 {
            kernel.extend_from_slice(bytes);
        } else {
            endpoint.extend_from_slice(bytes);
        }
        loop {
            if let Ok(Some((Command::Submit(submit), _))) = Command::decode(&kernel) {
                if waiting.contains_key(&submit.sequence) {
                    // A kernel never uses a number twice while it waits.
                    return;
                }
                let expected = Expected {
                    input: submit.endpoint.is_input(),
                    length: submit.length,
                };
                waiting.insert(submit.sequence, expected);
            }
            match agent.from_kernel(&kernel, now) {
                Ok(Some(used)) => drop(kernel.drain(..used)),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        loop {
            match agent.from_endpoint(&endpoint, now) {
                Ok(Some(used)) => drop(endpoint.drain(..used)),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        agent.tick(now);
        let said = std::mem::take(&mut agent.to_kernel);
        let mut rest = said.as_slice();
        while !rest.is_empty() {
            let decoded = Answer::decode(rest, |sequence| waiting.get(&sequence).copied());
            let Ok(Some((answer, used))) = decoded else {
                panic!("the kernel would cut the connection: {decoded:?}");
            };
            if let Answer::Submit { sequence, .. } = answer {
                waiting.remove(&sequence);
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        agent.to_endpoint.clear();
    }
}

/// Feeds a front, answers what it asks for, and looks that the filter never panics on it.
fn drive(front: &mut dyn Front, mut bytes: &[u8]) {
    let mut filter = RequestFilter::new(device(), &Grant::default());
    let (mut requests, mut out) = (Vec::new(), Vec::new());
    while let Ok(Some(used)) = front.receive(bytes, &mut requests, &mut out) {
        assert!(used > 0 && used <= bytes.len());
        bytes = bytes.get(used..).unwrap_or_default();
        for request in requests.drain(..) {
            use crate::front::Request;
            match request {
                Request::Control { id, setup, data } => {
                    let _ =
                        filter.control(Setup::from_bytes(setup.to_bytes()), &data, Duration::ZERO);
                    front.respond(
                        Response::ControlDone {
                            id,
                            outcome: Outcome::Done,
                            actual: 0,
                            data: &[],
                        },
                        &mut out,
                    );
                }
                Request::Out { endpoint, id, data } => {
                    let _ = filter.output(endpoint, &data, Duration::ZERO);
                    let outcome = Outcome::Stall;
                    front.respond(
                        Response::OutDone {
                            id,
                            outcome,
                            actual: 0,
                        },
                        &mut out,
                    );
                }
                Request::PollOnce { id, .. } => front.respond(
                    Response::Polled {
                        id,
                        outcome: Outcome::Done,
                        data: &[0; 8],
                    },
                    &mut out,
                ),
                Request::Start {
                    endpoint,
                    generation,
                    ..
                } => front.respond(
                    Response::Report {
                        endpoint,
                        generation,
                        sequence: Sequence(0),
                        data: &[0; 8],
                    },
                    &mut out,
                ),
                Request::Stop { endpoint } => front.respond(
                    Response::Stopped {
                        endpoint: EndpointAddress(endpoint.0),
                        generation: Generation(0),
                        outcome: Outcome::Gone,
                    },
                    &mut out,
                ),
                Request::Cancel { .. } | Request::Release => {}
            }
        }
        assert!(out.len() < 1 << 20, "answers are bounded by what was asked");
        out.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
            fuzz_descriptors(&data);
            fuzz_report_descriptor(&data);
            fuzz_usbip(&data);
            fuzz_usbredir(&data);
            fuzz_stream(&data);
        }

        /// Well-formed items in any order, followed by reports.
        #[test]
        fn any_items(
            items in prop::collection::vec((prop::sample::select(vec![
                0x05u8, 0x09, 0x0a, 0x0b, 0x15, 0x16, 0x19, 0x25, 0x26, 0x27, 0x29, 0x2a, 0x75, 0x81, 0x85, 0x91, 0x95,
                0x96, 0x97, 0xa1, 0xa4, 0xb1, 0xb4, 0xc0,
            ]), any::<[u8; 4]>()), 1..60),
            reports in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut descriptor = vec![0x05, 0x01, 0x09, 0x06, 0xa1, 0x01];
            for (prefix, data) in items {
                descriptor.push(prefix);
                let length = [0, 1, 2, 4][usize::from(prefix & 3)];
                // Small numbers lead further than large ones.
                descriptor.extend(data[..length].iter().enumerate().map(|(at, byte)| if at == 0 { byte & 0x3f } else { byte & 1 }));
            }
            descriptor.push(0xc0);
            let mut data = u16::try_from(descriptor.len()).unwrap().to_le_bytes().to_vec();
            data.extend(descriptor);
            data.extend(reports);
            fuzz_report_descriptor(&data);
        }
    }
}
