//! Tests of the threads: a simulated device, our protocol on a socket pair, and an agent whose kernel is a socket read here.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::RecvTimeoutError;

use super::*;
use crate::device::{Clock, DescriptionFile, Simulated};
use crate::stream::{FromAgent, FromEndpoint, Generation, StreamFront};
use crate::usbip::{Answer, Client};

const KEYS: EndpointAddress = EndpointAddress(0x81);
const MOUSE: EndpointAddress = EndpointAddress(0x82);

/// The desktop's kernel, as a test drives it.
type Kernel = Client<UnixStream>;

/// The room of a poll.
const ROOM: u32 = 8;

/// The next answer; `None` at the end.
fn answer(kernel: &mut Kernel) -> Option<(u32, i32, Vec<u8>)> {
    match kernel.answer().unwrap()? {
        Answer::Submit {
            sequence,
            status,
            data,
            ..
        } => Some((sequence, status, data.to_vec())),
        Answer::Unlink { .. } => panic!("no unlink was sent"),
    }
}

/// Runs a whole path: device, threads, agent; hands the kernel's end and the device to `test`.
fn path(
    grant: &Grant,
    test: impl FnOnce(Kernel, &Simulated, &Control),
) -> (Result<End, SessionError>, Vec<Notice>) {
    let text = include_str!("../../descriptors/composite.txt");
    let description = DescriptionFile::parse(text).unwrap().describe().unwrap();
    let device = Simulated::new(Arc::new(description));
    let control = Control::new().unwrap();
    let notices = Mutex::new(Vec::new());
    let notify = |notice| lock(&notices).push(notice);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let end = std::thread::scope(|scope| {
        let front = Box::new(StreamFront::new(device.description().clone()));
        let serving = scope.spawn(|| serve(&device, front, &ours, grant, &control, &notify));
        let (give, take) = channel();
        scope.spawn(move || {
            crate::desktop::run(&theirs, |_| {
                let (ours, kernel) = UnixStream::pair().unwrap();
                give.send(ours).unwrap();
                Ok(kernel.into())
            })
        });
        let socket = take.recv().unwrap();
        // A test that waits for what never comes fails instead of hanging.
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        test(
            Client::new(socket, crate::desktop::DEVICE),
            &device,
            &control,
        );
        // The kernel's end is closed: the agent goes, and the session with it.
        serving.join().unwrap()
    });
    (end, notices.into_inner().unwrap())
}

#[test]
fn reports_of_two_interfaces_arrive_in_order() {
    let (end, _) = path(&Grant::default(), |mut kernel, device, _| {
        let first = kernel.poll(KEYS, ROOM).unwrap();
        device.send(KEYS, &[0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(
            answer(&mut kernel),
            Some((first, 0, vec![0, 0, 4, 0, 0, 0, 0, 0]))
        );
        let keys = kernel.poll(KEYS, ROOM).unwrap();
        for step in 0..100u8 {
            let mouse = kernel.poll(MOUSE, ROOM).unwrap();
            device.send(MOUSE, &[0, step, 0, 0]);
            assert_eq!(answer(&mut kernel), Some((mouse, 0, vec![0, step, 0, 0])));
        }
        device.send(KEYS, &[0; 8]);
        assert_eq!(answer(&mut kernel), Some((keys, 0, vec![0; 8])));
    });
    assert_eq!(end.unwrap(), End::Released);
}

#[test]
fn empty_packets_are_no_reports() {
    let (end, notices) = path(&Grant::default(), |mut kernel, device, _| {
        kernel.poll(MOUSE, ROOM).unwrap();
        device.send(MOUSE, &[0; 4]);
        assert_eq!(answer(&mut kernel).unwrap().1, 0, "it is polled now");
        for step in 0..10u8 {
            let mouse = kernel.poll(MOUSE, ROOM).unwrap();
            device.send(MOUSE, &[]);
            device.send(MOUSE, &[0, step, 0, 0]);
            device.send(MOUSE, &[]);
            assert_eq!(answer(&mut kernel), Some((mouse, 0, vec![0, step, 0, 0])));
        }
    });
    assert_eq!(end.unwrap(), End::Released);
    assert_eq!(notices, []);
}

#[test]
fn control_transfers_do_not_wait_for_reports() {
    let (end, notices) = path(&Grant::default(), |mut kernel, device, _| {
        kernel.poll(KEYS, ROOM).unwrap();
        let descriptor = kernel.control([0x80, 6, 0, 1, 0, 0, 18, 0], &[]).unwrap();
        let (sequence, status, data) = answer(&mut kernel).unwrap();
        assert_eq!((sequence, status, data.len()), (descriptor, 0, 18));
        let lights = kernel.control([0x21, 9, 0, 2, 0, 0, 1, 0], &[3]).unwrap();
        assert_eq!(answer(&mut kernel), Some((lights, 0, vec![])));
        assert_eq!(device.report(0, 2, 0), Some(vec![3]));
        let refused = kernel.control([0x40, 1, 0, 0, 0, 0, 0, 0], &[]).unwrap();
        assert_eq!(answer(&mut kernel), Some((refused, -32, vec![])));
    });
    assert_eq!(end.unwrap(), End::Released);
    assert!(matches!(notices[..], [Notice::Refused(_)]));
}

/// A keyboard that sends 8000 reports a second to a desktop that takes none: every queue on the way fills, and no control transfer waits for it.
#[test]
fn control_transfers_pass_full_queues_of_reports() {
    let mut grant = Grant::default();
    (grant.typing_rate, grant.request_rate) = (None, 10_000);
    let (end, _) = path(&grant, |mut kernel, device, _| {
        kernel.poll(KEYS, ROOM).unwrap();
        let begin = device.now();
        device.set_source(
            KEYS,
            Clock::new(Duration::from_micros(125), 8, begin, 16_000),
        );
        assert_eq!(answer(&mut kernel).unwrap().1, 0, "one report");
        let mut slowest = Duration::ZERO;
        for round in 0..200u8 {
            let asked = Instant::now();
            // SET_IDLE, SET_REPORT and GET_REPORT of the keyboard's lights.
            let idle = kernel
                .control([0x21, 10, 0, round, 0, 0, 0, 0], &[])
                .unwrap();
            assert_eq!(answer(&mut kernel), Some((idle, 0, vec![])));
            let lights = kernel
                .control([0x21, 9, 0, 2, 0, 0, 1, 0], &[round])
                .unwrap();
            assert_eq!(answer(&mut kernel), Some((lights, 0, vec![])));
            let lit = kernel.control([0xa1, 1, 0, 2, 0, 0, 1, 0], &[]).unwrap();
            assert_eq!(answer(&mut kernel), Some((lit, 0, vec![round])));
            slowest = slowest.max(asked.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
        let (made, lost) = device.counts(KEYS);
        assert!(made > 4000, "only {made} reports were made");
        println!("{made} reports, {lost} lost in the device; slowest three transfers {slowest:?}");
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    });
    assert_eq!(end.unwrap(), End::Released);
}

/// The same where the network is what is full: the request reaches the device, and its answer leaves before all reports that wait.
#[test]
fn control_transfers_pass_a_full_link() {
    let text =
        "report 0 06 00 ff 09 01 a1 01 15 00 26 ff 00 75 08 95 08 09 02 81 02 09 03 b1 02 c0\n";
    let description = DescriptionFile::parse(text).unwrap().describe().unwrap();
    let device = Simulated::new(Arc::new(description));
    let control = Control::new().unwrap();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    std::thread::scope(|scope| {
        let front = Box::new(StreamFront::new(device.description().clone()));
        let serving =
            scope.spawn(|| serve(&device, front, &ours, &Grant::default(), &control, &|_| {}));
        let mut bytes = Vec::new();
        FromAgent::Hello.encode(&mut bytes);
        let message = PollMessage {
            length: 8,
            interval: 1,
            flags: 0,
        };
        FromAgent::Start {
            endpoint: KEYS,
            generation: Generation(1),
            message,
        }
        .encode(&mut bytes);
        peer.write_all(&bytes).unwrap();
        const MADE: u32 = 8000;
        let begin = device.now() + Duration::from_millis(20);
        device.set_source(KEYS, Clock::new(Duration::from_micros(125), 8, begin, MADE));
        let patience = Instant::now();
        while device.counts(KEYS).0 < MADE.into() {
            assert!(
                patience.elapsed() < Duration::from_secs(20),
                "the device is not polled"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        // Nothing was read so far: the link is full, and the rest waits.
        bytes.clear();
        let setup = Setup::from_bytes([0x21, 9, 0, 3, 0, 0, 8, 0]);
        FromAgent::Control {
            id: TransferId(7),
            setup,
            data: &[9; 8],
        }
        .encode(&mut bytes);
        peer.write_all(&bytes).unwrap();
        while device.report(0, 3, 0).is_none() {
            assert!(
                patience.elapsed() < Duration::from_secs(20),
                "the request waits for the link"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(50));
        let (mut before, mut after) = (0, None);
        let mut input = Vec::new();
        let mut newest = 0;
        while newest + 1 < MADE {
            let mut chunk = [0; 4096];
            let count = peer.read(&mut chunk).unwrap();
            input.extend_from_slice(&chunk[..count]);
            let mut taken = 0;
            while let Some((message, used)) = FromEndpoint::decode(&input[taken..]).unwrap() {
                taken += used;
                match message {
                    FromEndpoint::Report { data, .. } => {
                        newest = u32::from_le_bytes(*data.first_chunk().unwrap());
                        *after.as_mut().unwrap_or(&mut before) += 1;
                    }
                    FromEndpoint::ControlDone {
                        id: TransferId(7),
                        outcome,
                        ..
                    } => {
                        assert_eq!(outcome, Outcome::Done);
                        after = Some(0);
                    }
                    _ => {}
                }
            }
            input.drain(..taken);
        }
        let after = after.expect("the answer came before the last report");
        println!("{before} reports were on the link, {after} waited and came after the answer");
        assert!(
            after > 500,
            "{before} reports before the answer, {after} after it"
        );
        drop(peer);
        assert_eq!(serving.join().unwrap().unwrap(), End::Released);
    });
}

#[test]
fn a_flush_restarts_the_stream_and_forgets_what_was_before() {
    let (end, _) = path(&Grant::default(), |mut kernel, device, _| {
        let poll = kernel.poll(MOUSE, ROOM).unwrap();
        let protocol = kernel.control([0x21, 11, 1, 0, 1, 0, 0, 0], &[]).unwrap();
        assert_eq!(answer(&mut kernel), Some((protocol, 0, vec![])));
        device.send(MOUSE, &[1, 2, 3, 4]);
        assert_eq!(answer(&mut kernel), Some((poll, 0, vec![1, 2, 3, 4])));
    });
    assert_eq!(end.unwrap(), End::Released);
}

#[test]
fn a_stall_is_told_and_cleared() {
    let (end, notices) = path(&Grant::default(), |mut kernel, device, _| {
        let poll = kernel.poll(KEYS, ROOM).unwrap();
        device.halt(KEYS);
        assert_eq!(answer(&mut kernel), Some((poll, -32, vec![])));
        let clear = kernel.control([2, 1, 0, 0, 0x81, 0, 0, 0], &[]).unwrap();
        assert_eq!(answer(&mut kernel), Some((clear, 0, vec![])));
        let poll = kernel.poll(KEYS, ROOM).unwrap();
        device.send(KEYS, &[0; 8]);
        assert_eq!(answer(&mut kernel), Some((poll, 0, vec![0; 8])));
    });
    assert_eq!(end.unwrap(), End::Released);
    assert_eq!(notices, [Notice::Stopped(KEYS, Outcome::Stall)]);
}

#[test]
fn unplugging_in_flight_ends_the_session_and_the_device() {
    let (end, _) = path(&Grant::default(), |mut kernel, device, _| {
        kernel.poll(KEYS, ROOM).unwrap();
        let poll = kernel.poll(MOUSE, ROOM).unwrap();
        device.send(MOUSE, &[1, 0, 0, 0]);
        assert_eq!(answer(&mut kernel), Some((poll, 0, vec![1, 0, 0, 0])));
        kernel.poll(MOUSE, ROOM).unwrap();
        device.unplug();
        let mut last = Vec::new();
        while let Some((_, status, data)) = answer(&mut kernel) {
            if status == 0 {
                last = data;
            }
        }
        assert_eq!(
            last,
            [0, 0, 0, 0],
            "the button was let go of before the end"
        );
    });
    assert_eq!(end.unwrap(), End::Unplugged);
}

#[test]
fn detaching_takes_the_device_back() {
    let (end, _) = path(&Grant::default(), |mut kernel, _, control| {
        kernel.poll(KEYS, ROOM).unwrap();
        control.detach();
        while answer(&mut kernel).is_some() {}
    });
    assert_eq!(end.unwrap(), End::Detached);
}

#[test]
fn typing_that_is_held_goes_on_when_someone_said_so() {
    let grant = Grant {
        typing_rate: Some(3),
        ..Grant::default()
    };
    let (end, notices) = path(&grant, |mut kernel, device, control| {
        let poll = kernel.poll(KEYS, ROOM).unwrap();
        device.send(KEYS, &[0, 0, 4, 5, 6, 7, 8, 9]);
        assert_eq!(
            answer(&mut kernel),
            Some((poll, 0, vec![0; 8])),
            "all at once: let go"
        );
        control.resume();
        let poll = kernel.poll(KEYS, ROOM).unwrap();
        // Held reports are gone; once resumed, a report passes again. The thread that resumes runs in its own time.
        std::thread::scope(|scope| {
            let (passed, until) = channel::<()>();
            scope.spawn(move || {
                while until.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout)
                {
                    device.send(KEYS, &[2, 0, 0, 0, 0, 0, 0, 0]);
                }
            });
            let seen = answer(&mut kernel);
            drop(passed);
            assert_eq!(seen, Some((poll, 0, vec![2, 0, 0, 0, 0, 0, 0, 0])));
        });
    });
    assert_eq!(end.unwrap(), End::Released);
    assert_eq!(notices, [Notice::TypingTooFast(KEYS)]);
}
