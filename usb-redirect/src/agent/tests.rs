//! Tests of the agent with a kernel and an endpoint that are written down as frames.

use std::time::Duration;

use super::*;
use crate::device::DescriptionFile;
use crate::front::{Front, Request};
use crate::stream::{Generation, PollMessage, Sequence, StreamFront};
use crate::usbip::Expected;

const KEYBOARD: &str = include_str!("../../descriptors/composite.txt");
const KEYS: EndpointAddress = EndpointAddress(0x81);
const MOUSE: EndpointAddress = EndpointAddress(0x82);
const MS: Duration = Duration::from_millis(1);

/// An agent with an endpoint's front, both fed by hand.
struct Bench {
    agent: Agent,
    now: Duration,
    expected: BTreeMap<u32, Expected>,
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Submit(u32, i32, Vec<u8>),
    Unlink(u32, i32),
}

impl Bench {
    fn new() -> Self {
        let description = DescriptionFile::parse(KEYBOARD)
            .unwrap()
            .describe()
            .unwrap();
        let mut front = StreamFront::new(Arc::new(description));
        let mut bytes = Vec::new();
        front.greet(&mut bytes);
        let mut bench = Self {
            agent: Agent::new(),
            now: MS,
            expected: BTreeMap::new(),
        };
        bench.feed(&bytes).unwrap();
        assert!(bench.agent.description().is_some());
        assert_eq!(bench.requests(), []);
        bench
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), AgentError> {
        while let Some(used) = self.agent.from_endpoint(bytes, self.now)? {
            bytes = &bytes[used..];
        }
        assert!(bytes.is_empty());
        Ok(())
    }

    fn endpoint(&mut self, message: FromEndpoint<'_>) -> Result<(), AgentError> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.feed(&bytes)
    }

    fn report(&mut self, endpoint: EndpointAddress, generation: u32, sequence: u32, data: &[u8]) {
        self.endpoint(FromEndpoint::Report {
            endpoint,
            generation: Generation(generation),
            sequence: Sequence(sequence),
            data,
        })
        .unwrap();
    }

    fn kernel(&mut self, command: Command<'_>) {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        if let Command::Submit(submit) = command {
            let expected = Expected {
                input: submit.endpoint.is_input(),
                length: submit.length,
            };
            self.expected.insert(submit.sequence, expected);
        }
        let used = self.agent.from_kernel(&bytes, self.now).unwrap();
        assert_eq!(used, Some(bytes.len()));
    }

    fn poll(&mut self, sequence: u32, endpoint: EndpointAddress) {
        self.kernel(Command::Submit(Submit {
            sequence,
            device: 0x10002,
            endpoint,
            flags: 0x200,
            length: 8,
            interval: 8,
            setup: Setup::from_bytes([0; 8]),
            data: &[],
        }));
    }

    fn control(&mut self, sequence: u32, setup: [u8; 8], data: &[u8]) {
        let setup = Setup::from_bytes(setup);
        let endpoint = EndpointAddress(setup.request_type & 0x80);
        self.kernel(Command::Submit(Submit {
            sequence,
            device: 0x10002,
            endpoint,
            flags: 0,
            length: setup.length.into(),
            interval: 0,
            setup,
            data,
        }));
    }

    fn unlink(&mut self, sequence: u32, target: u32) {
        self.kernel(Command::Unlink {
            sequence,
            device: 0x10002,
            target,
        });
    }

    fn control_done(&mut self, sequence: u32, data: &[u8]) {
        self.endpoint(FromEndpoint::ControlDone {
            id: TransferId(sequence),
            outcome: Outcome::Done,
            actual: 0,
            data,
        })
        .unwrap();
    }

    /// What the agent told the kernel; fails when a sequence number is answered that does not wait, as a stock kernel would.
    fn said(&mut self) -> Vec<Said> {
        let bytes = std::mem::take(&mut self.agent.to_kernel);
        let mut rest = bytes.as_slice();
        let mut said = Vec::new();
        while !rest.is_empty() {
            let expected = &self.expected;
            let (answer, used) = Answer::decode(rest, |sequence| expected.get(&sequence).copied())
                .unwrap()
                .unwrap();
            rest = &rest[used..];
            match answer {
                Answer::Submit {
                    sequence,
                    status,
                    data,
                    ..
                } => {
                    self.expected.remove(&sequence);
                    said.push(Said::Submit(sequence, status, data.to_vec()));
                }
                Answer::Unlink { sequence, status } => said.push(Said::Unlink(sequence, status)),
            }
        }
        said
    }

    /// What the agent asked of the endpoint.
    fn requests(&mut self) -> Vec<FromAgentOwned> {
        let bytes = std::mem::take(&mut self.agent.to_endpoint);
        let mut rest = bytes.as_slice();
        let mut asked = Vec::new();
        while let Some((message, used)) = FromAgent::decode(rest).unwrap() {
            rest = &rest[used..];
            match message {
                FromAgent::Hello => {}
                FromAgent::Start {
                    endpoint,
                    generation,
                    message,
                } => asked.push(FromAgentOwned::Start(endpoint, generation.0, message)),
                FromAgent::Stop { endpoint } => asked.push(FromAgentOwned::Stop(endpoint)),
                FromAgent::Control { id, .. } => asked.push(FromAgentOwned::Control(id.0)),
                FromAgent::Out { id, data, .. } => {
                    asked.push(FromAgentOwned::Out(id.0, data.to_vec()));
                }
                FromAgent::Cancel { id } => asked.push(FromAgentOwned::Cancel(id.0)),
            }
        }
        asked
    }

    fn wait(&mut self, milliseconds: u32) {
        self.now += MS * milliseconds;
        self.agent.tick(self.now);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum FromAgentOwned {
    Start(EndpointAddress, u32, PollMessage),
    Stop(EndpointAddress),
    Control(u32),
    Out(u32, Vec<u8>),
    Cancel(u32),
}

const SAVED: PollMessage = PollMessage {
    length: 8,
    interval: 8,
    flags: 0x200,
};

#[test]
fn only_the_first_poll_crosses_the_network() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    assert_eq!(bench.requests(), [FromAgentOwned::Start(KEYS, 1, SAVED)]);
    assert_eq!(bench.said(), []);
    bench.report(KEYS, 1, 0, &[0, 0, 4, 0, 0, 0, 0, 0]);
    bench.report(KEYS, 1, 1, &[0; 8]);
    bench.report(KEYS, 1, 2, &[2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        bench.said(),
        [Said::Submit(1, 0, vec![0, 0, 4, 0, 0, 0, 0, 0])]
    );
    bench.poll(2, KEYS);
    bench.poll(3, KEYS);
    assert_eq!(
        bench.said(),
        [
            Said::Submit(2, 0, vec![0; 8]),
            Said::Submit(3, 0, vec![2, 0, 0, 0, 0, 0, 0, 0])
        ]
    );
    assert_eq!(bench.requests(), [], "later polls stay here");
}

#[test]
fn the_interfaces_of_a_composite_device_have_a_stream_each() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.poll(2, MOUSE);
    assert_eq!(bench.requests().len(), 2);
    bench.report(MOUSE, 1, 0, &[1, 2, 3, 0]);
    assert_eq!(bench.said(), [Said::Submit(2, 0, vec![1, 2, 3, 0])]);
    bench.report(KEYS, 1, 0, &[0; 8]);
    assert_eq!(bench.said(), [Said::Submit(1, 0, vec![0; 8])]);
}

#[test]
fn an_unlinked_poll_is_answered_once_and_polling_stops_after_the_linger() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.requests();
    bench.unlink(2, 1);
    assert_eq!(bench.said(), [Said::Unlink(2, -104)]);
    bench.report(KEYS, 1, 0, &[0; 8]);
    assert_eq!(bench.said(), [], "never an answer after the unlink");
    assert_eq!(bench.agent.deadline(), Some(bench.now + LINGER));
    bench.wait(20);
    assert_eq!(bench.requests(), [FromAgentOwned::Stop(KEYS)]);
    bench.report(KEYS, 1, 1, &[0; 8]);
    bench.poll(3, KEYS);
    assert_eq!(
        bench.said(),
        [],
        "reports of the old generation are forgotten"
    );
    assert_eq!(bench.requests(), [FromAgentOwned::Start(KEYS, 2, SAVED)]);
    bench.unlink(4, 99);
    assert_eq!(
        bench.said(),
        [Said::Unlink(4, 0)],
        "had been answered before"
    );
}

#[test]
fn a_poll_within_the_linger_loses_nothing() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.unlink(2, 1);
    bench.report(KEYS, 1, 0, &[2, 0, 0, 0, 0, 0, 0, 0]);
    bench.requests();
    bench.said();
    bench.poll(3, KEYS);
    assert_eq!(
        bench.said(),
        [Said::Submit(3, 0, vec![2, 0, 0, 0, 0, 0, 0, 0])]
    );
    bench.wait(50);
    assert_eq!(bench.requests(), []);
}

#[test]
fn set_protocol_flushes_one_interface_and_restarts_it_when_it_is_done() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.poll(2, MOUSE);
    bench.requests();
    bench.control(3, [0x21, 11, 0, 0, 0, 0, 0, 0], &[]);
    assert_eq!(
        bench.requests(),
        [FromAgentOwned::Stop(KEYS), FromAgentOwned::Control(3)]
    );
    bench.report(KEYS, 1, 0, &[1, 0, 0, 0, 0, 0, 0, 0]);
    bench.report(MOUSE, 1, 0, &[0, 1, 1, 0]);
    assert_eq!(bench.said(), [Said::Submit(2, 0, vec![0, 1, 1, 0])]);
    bench.control_done(3, &[]);
    assert_eq!(bench.said(), [Said::Submit(3, 0, vec![])]);
    assert_eq!(
        bench.requests(),
        [FromAgentOwned::Start(KEYS, 2, SAVED)],
        "the poll that still waits"
    );
    bench.report(KEYS, 2, 0, &[0; 8]);
    assert_eq!(bench.said(), [Said::Submit(1, 0, vec![0; 8])]);
}

#[test]
fn a_flush_with_a_key_down_lets_go_of_it() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.report(KEYS, 1, 0, &[0, 0, 4, 0, 0, 0, 0, 0]);
    bench.said();
    bench.poll(2, KEYS);
    bench.unlink(3, 2);
    bench.wait(20);
    bench.said();
    bench.poll(4, KEYS);
    assert_eq!(bench.said(), [Said::Submit(4, 0, vec![0; 8])]);
}

#[test]
fn lights_and_other_requests_pass_beside_the_reports() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.requests();
    bench.control(2, [0x21, 9, 0, 2, 0, 0, 1, 0], &[1]);
    bench.control(3, [0x80, 6, 0, 1, 0, 0, 18, 0], &[]);
    assert_eq!(
        bench.requests(),
        [FromAgentOwned::Control(2), FromAgentOwned::Control(3)],
        "no stop"
    );
    bench.control_done(3, &[9; 18]);
    assert_eq!(bench.said(), [Said::Submit(3, 0, vec![9; 18])]);
    bench.report(KEYS, 1, 0, &[0; 8]);
    assert_eq!(bench.said(), [Said::Submit(1, 0, vec![0; 8])]);
    bench.unlink(4, 2);
    assert_eq!(bench.said(), [Said::Unlink(4, -104)]);
    assert_eq!(bench.requests(), [FromAgentOwned::Cancel(2)]);
    bench.control_done(2, &[]);
    assert_eq!(bench.said(), [], "its answer comes too late and is dropped");
}

#[test]
fn out_transfers_are_carried() {
    let mut bench = Bench::new();
    bench.kernel(Command::Submit(Submit {
        sequence: 5,
        device: 0x10002,
        endpoint: EndpointAddress(2),
        flags: 0,
        length: 2,
        interval: 1,
        setup: Setup::from_bytes([0; 8]),
        data: &[7, 8],
    }));
    assert_eq!(bench.requests(), [FromAgentOwned::Out(5, vec![7, 8])]);
    bench
        .endpoint(FromEndpoint::OutDone {
            id: TransferId(5),
            outcome: Outcome::Done,
            actual: 2,
        })
        .unwrap();
    assert_eq!(bench.said(), [Said::Submit(5, 0, vec![])]);
}

#[test]
fn a_stall_lasts_until_it_is_cleared() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.requests();
    bench
        .endpoint(FromEndpoint::Stopped {
            endpoint: KEYS,
            generation: Generation(1),
            outcome: Outcome::Stall,
        })
        .unwrap();
    bench.poll(2, KEYS);
    assert_eq!(
        bench.said(),
        [Said::Submit(1, -32, vec![]), Said::Submit(2, -32, vec![])]
    );
    assert_eq!(bench.requests(), []);
    bench.control(3, [2, 1, 0, 0, 0x81, 0, 0, 0], &[]);
    bench.control_done(3, &[]);
    bench.requests();
    bench.poll(4, KEYS);
    assert_eq!(bench.requests(), [FromAgentOwned::Start(KEYS, 2, SAVED)]);
}

#[test]
fn a_silent_link_lets_go_of_all_keys_within_200_milliseconds() {
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    bench.report(KEYS, 1, 0, &[2, 0, 4, 5, 0, 0, 0, 0]);
    bench.said();
    bench.poll(2, KEYS);
    bench.wait(100);
    assert_eq!(bench.said(), []);
    bench.endpoint(FromEndpoint::Heartbeat).unwrap();
    bench.wait(149);
    assert_eq!(bench.said(), [], "the heartbeat counts");
    assert_eq!(bench.agent.deadline(), Some(bench.now + MS));
    bench.wait(1);
    assert_eq!(bench.said(), [Said::Submit(2, 0, vec![0; 8])]);
    assert_eq!(bench.agent.deadline(), None);
    bench.poll(3, KEYS);
    bench.report(KEYS, 1, 1, &[2, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(
        bench.said(),
        [Said::Submit(3, 0, vec![2, 0, 4, 0, 0, 0, 0, 0])],
        "and the next report is a report again"
    );
}

#[test]
fn a_lost_link_lets_go_and_ends() {
    let mut bench = Bench::new();
    bench.poll(1, MOUSE);
    bench.report(MOUSE, 1, 0, &[1, 9, 9, 0]);
    bench.poll(2, MOUSE);
    bench.said();
    bench.agent.link_lost(bench.now);
    assert!(bench.agent.is_over());
    assert_eq!(bench.said(), [Said::Submit(2, 0, vec![0, 0, 0, 0])]);
    bench.poll(3, MOUSE);
    assert_eq!(bench.said(), [Said::Submit(3, -19, vec![])]);
}

#[test]
fn a_report_lost_doubled_or_out_of_order_ends_the_link() {
    for wrong in [1, 5] {
        let mut bench = Bench::new();
        bench.poll(1, KEYS);
        let message = FromEndpoint::Report {
            endpoint: KEYS,
            generation: Generation(1),
            sequence: Sequence(wrong),
            data: &[0; 8],
        };
        assert!(matches!(
            bench.endpoint(message),
            Err(AgentError::Endpoint(StreamError::WrongSequence { .. }))
        ));
    }
    let mut bench = Bench::new();
    bench.poll(1, KEYS);
    let message = FromEndpoint::Report {
        endpoint: KEYS,
        generation: Generation(2),
        sequence: Sequence(0),
        data: &[0; 8],
    };
    assert!(bench.endpoint(message).is_err(), "of a generation to come");
    let answer = FromEndpoint::ControlDone {
        id: TransferId(77),
        outcome: Outcome::Done,
        actual: 0,
        data: &[],
    };
    let mut bench = Bench::new();
    assert!(bench.endpoint(answer).is_err(), "an answer to no request");
}

#[test]
fn poll_storms_are_bounded() {
    let mut bench = Bench::new();
    for sequence in 0..1000 {
        bench.poll(sequence, KEYS);
    }
    let said = bench.said();
    assert_eq!(said.len(), 1000 - 64);
    assert!(
        said.iter()
            .all(|said| matches!(said, Said::Submit(_, -12, _)))
    );
    assert_eq!(bench.requests().len(), 1);
    for sequence in 1000..1200 {
        bench.control(sequence, [0x80, 6, 0, 1, 0, 0, 18, 0], &[]);
    }
    assert_eq!(bench.requests().len(), 128);
}

#[test]
fn the_front_refuses_to_begin_without_a_greeting() {
    let description = DescriptionFile::parse(KEYBOARD)
        .unwrap()
        .describe()
        .unwrap();
    let mut front = StreamFront::new(Arc::new(description));
    let mut bytes = Vec::new();
    FromAgent::Stop { endpoint: KEYS }.encode(&mut bytes);
    let mut requests = Vec::<Request>::new();
    assert!(
        front
            .receive(&bytes, &mut requests, &mut Vec::new())
            .is_err()
    );
}
