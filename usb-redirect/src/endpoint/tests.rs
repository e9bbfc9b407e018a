//! Tests of the threads: a simulated device, our protocol on a socket pair, and an agent whose kernel is a socket read here.

use std::os::unix::net::UnixStream;

use super::*;
use crate::device::{DescriptionFile, Simulated};
use crate::stream::StreamFront;
use crate::usbip::{Answer, Command, Expected, Submit};

const KEYS: EndpointAddress = EndpointAddress(0x81);
const MOUSE: EndpointAddress = EndpointAddress(0x82);

/// The desktop's kernel, as a test drives it.
struct Kernel {
    socket: UnixStream,
    input: Vec<u8>,
    waiting: BTreeMap<u32, Expected>,
    sequence: u32,
}

impl Kernel {
    fn submit(
        &mut self,
        endpoint: EndpointAddress,
        setup: [u8; 8],
        length: u32,
        data: &[u8],
    ) -> u32 {
        self.sequence += 1;
        let mut bytes = Vec::new();
        Command::Submit(Submit {
            sequence: self.sequence,
            device: 0x10002,
            endpoint,
            flags: 0,
            length,
            interval: 1,
            setup: Setup::from_bytes(setup),
            data,
        })
        .encode(&mut bytes);
        let expected = Expected {
            input: endpoint.is_input(),
            length,
        };
        self.waiting.insert(self.sequence, expected);
        std::io::Write::write_all(&mut self.socket, &bytes).unwrap();
        self.sequence
    }

    fn poll(&mut self, endpoint: EndpointAddress) -> u32 {
        self.submit(endpoint, [0; 8], 8, &[])
    }

    /// The next answer; `None` at the end.
    fn answer(&mut self) -> Option<(u32, i32, Vec<u8>)> {
        loop {
            let waiting = &self.waiting;
            let decoded = Answer::decode(&self.input, |sequence| waiting.get(&sequence).copied());
            if let Some((answer, used)) = decoded.unwrap() {
                let Answer::Submit {
                    sequence,
                    status,
                    data,
                    ..
                } = answer
                else {
                    panic!("no unlink was sent");
                };
                let data = data.to_vec();
                self.input.drain(..used);
                self.waiting.remove(&sequence);
                return Some((sequence, status, data));
            }
            let mut chunk = [0; 4096];
            match std::io::Read::read(&mut self.socket, &mut chunk).unwrap() {
                0 => return None,
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
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
            Kernel {
                socket,
                input: Vec::new(),
                waiting: BTreeMap::new(),
                sequence: 0,
            },
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
        let first = kernel.poll(KEYS);
        device.send(KEYS, &[0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(
            kernel.answer(),
            Some((first, 0, vec![0, 0, 4, 0, 0, 0, 0, 0]))
        );
        let keys = kernel.poll(KEYS);
        for step in 0..100u8 {
            let mouse = kernel.poll(MOUSE);
            device.send(MOUSE, &[0, step, 0, 0]);
            assert_eq!(kernel.answer(), Some((mouse, 0, vec![0, step, 0, 0])));
        }
        device.send(KEYS, &[0; 8]);
        assert_eq!(kernel.answer(), Some((keys, 0, vec![0; 8])));
    });
    assert_eq!(end.unwrap(), End::Released);
}

#[test]
fn control_transfers_do_not_wait_for_reports() {
    let (end, notices) = path(&Grant::default(), |mut kernel, device, _| {
        kernel.poll(KEYS);
        let zero = EndpointAddress(0x80);
        let descriptor = kernel.submit(zero, [0x80, 6, 0, 1, 0, 0, 18, 0], 18, &[]);
        let (sequence, status, data) = kernel.answer().unwrap();
        assert_eq!((sequence, status, data.len()), (descriptor, 0, 18));
        let lights = kernel.submit(EndpointAddress(0), [0x21, 9, 0, 2, 0, 0, 1, 0], 1, &[3]);
        assert_eq!(kernel.answer(), Some((lights, 0, vec![])));
        assert_eq!(device.report(0, 2, 0), Some(vec![3]));
        let refused = kernel.submit(EndpointAddress(0), [0x40, 1, 0, 0, 0, 0, 0, 0], 0, &[]);
        assert_eq!(kernel.answer(), Some((refused, -32, vec![])));
    });
    assert_eq!(end.unwrap(), End::Released);
    assert!(matches!(notices[..], [Notice::Refused(_)]));
}

#[test]
fn a_flush_restarts_the_stream_and_forgets_what_was_before() {
    let (end, _) = path(&Grant::default(), |mut kernel, device, _| {
        let poll = kernel.poll(MOUSE);
        let protocol = kernel.submit(EndpointAddress(0), [0x21, 11, 1, 0, 1, 0, 0, 0], 0, &[]);
        assert_eq!(kernel.answer(), Some((protocol, 0, vec![])));
        device.send(MOUSE, &[1, 2, 3, 4]);
        assert_eq!(kernel.answer(), Some((poll, 0, vec![1, 2, 3, 4])));
    });
    assert_eq!(end.unwrap(), End::Released);
}

#[test]
fn a_stall_is_told_and_cleared() {
    let (end, notices) = path(&Grant::default(), |mut kernel, device, _| {
        let poll = kernel.poll(KEYS);
        device.halt(KEYS);
        assert_eq!(kernel.answer(), Some((poll, -32, vec![])));
        let clear = kernel.submit(EndpointAddress(0), [2, 1, 0, 0, 0x81, 0, 0, 0], 0, &[]);
        assert_eq!(kernel.answer(), Some((clear, 0, vec![])));
        let poll = kernel.poll(KEYS);
        device.send(KEYS, &[0; 8]);
        assert_eq!(kernel.answer(), Some((poll, 0, vec![0; 8])));
    });
    assert_eq!(end.unwrap(), End::Released);
    assert_eq!(notices, [Notice::Stopped(KEYS, Outcome::Stall)]);
}

#[test]
fn unplugging_in_flight_ends_the_session_and_the_device() {
    let (end, _) = path(&Grant::default(), |mut kernel, device, _| {
        kernel.poll(KEYS);
        let poll = kernel.poll(MOUSE);
        device.send(MOUSE, &[1, 0, 0, 0]);
        assert_eq!(kernel.answer(), Some((poll, 0, vec![1, 0, 0, 0])));
        kernel.poll(MOUSE);
        device.unplug();
        let mut last = Vec::new();
        while let Some((_, status, data)) = kernel.answer() {
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
        kernel.poll(KEYS);
        control.detach();
        while kernel.answer().is_some() {}
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
        let poll = kernel.poll(KEYS);
        device.send(KEYS, &[0, 0, 4, 5, 6, 7, 8, 9]);
        assert_eq!(
            kernel.answer(),
            Some((poll, 0, vec![0; 8])),
            "all at once: let go"
        );
        control.resume();
        let poll = kernel.poll(KEYS);
        // Held reports are gone; once resumed, a report passes again. The thread that resumes runs in its own time.
        while kernel.waiting.contains_key(&poll) {
            device.send(KEYS, &[2, 0, 0, 0, 0, 0, 0, 0]);
            kernel.socket.set_nonblocking(true).unwrap();
            let mut chunk = [0; 64];
            if let Ok(count) = std::io::Read::read(&mut kernel.socket, &mut chunk) {
                kernel.input.extend_from_slice(&chunk[..count]);
                kernel.socket.set_nonblocking(false).unwrap();
                kernel.answer();
            }
            std::thread::yield_now();
        }
    });
    assert_eq!(end.unwrap(), End::Released);
    assert_eq!(notices, [Notice::TypingTooFast(KEYS)]);
}
