//! What a running redirection costs: no allocation for a report, and nothing at all while there is none. The whole path runs in this process: device,
//! polling threads, endpoint, agent, and a client in the kernel's place.
//!
//! Both are counted for the whole process, so there is one test, and nothing runs beside it.

use std::alloc::System;
use std::fs;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};
use usb_redirect::desktop::{self, DEVICE};
use usb_redirect::device::{Clock, DescriptionFile, Device, Simulated};
use usb_redirect::endpoint::{self, Control};
use usb_redirect::filter::Grant;
use usb_redirect::setup::EndpointAddress;
use usb_redirect::stream::StreamFront;
use usb_redirect::usbip::{Answer, Client, status};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const INPUT: EndpointAddress = EndpointAddress(0x81);
/// Four bytes of its maker's, and two relative axes: 8 bytes a report, through filter, layout and queues, and nothing that is held.
const DEVICE_FILE: &str = "speed high\nreport 0 06 00 ff 09 01 a1 01 15 00 26 ff 00 75 08 95 04 09 02 81 02 \
                           05 01 09 30 09 31 16 00 80 26 ff 7f 75 10 95 02 81 06 c0\n";
const PERIOD: Duration = Duration::from_millis(1);
/// Buffers grow to their size, and threads begin.
const WARM_UP: u32 = 500;
const COUNTED: u32 = 2000;

#[test]
fn reports_cost_no_allocation_and_silence_costs_nothing() {
    let description = DescriptionFile::parse(DEVICE_FILE)
        .unwrap()
        .describe()
        .unwrap();
    let device = Simulated::new(Arc::new(description));
    let control = Control::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let front = Box::new(StreamFront::new(device.description().clone()));
        let serving = scope
            .spawn(|| endpoint::serve(&device, front, &ours, &Grant::default(), &control, &|_| {}));
        let (give, take) = channel();
        scope.spawn(move || {
            desktop::run(&theirs, |_| {
                let (ours, kernel) = UnixStream::pair().unwrap();
                give.send(ours).unwrap();
                Ok(kernel.into())
            })
        });
        let socket = take.recv().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut kernel = Client::new(socket, DEVICE);

        kernel.poll(INPUT, 8).unwrap();
        let begin = device.now() + Duration::from_millis(50);
        // More than are counted: on a busy machine the device may lose some.
        assert!(device.set_source(INPUT, Clock::new(PERIOD, 8, begin, u32::MAX)));
        let mut next = || {
            let Some(Answer::Submit { status, data, .. }) = kernel.answer().unwrap() else {
                panic!("the stream ended");
            };
            assert_eq!((status, data.len()), (status::OK, 8));
            kernel.poll(INPUT, 8).unwrap();
        };
        (0..WARM_UP).for_each(|_| next());
        let (allocated, used) = (ALLOCATOR.total_allocated(), processor_time());
        (0..COUNTED).for_each(|_| next());
        let allocated = ALLOCATOR.total_allocated() - allocated;
        let used = processor_time() - used;
        assert_eq!(allocated, 0, "bytes allocated for {COUNTED} reports");
        // A thread that spins uses all of the time.
        assert!(used < PERIOD * COUNTED / 2, "{used:?} of {COUNTED} ms");

        // The device falls silent, and what was on its way arrives: then a poll waits at every stage.
        assert!(device.set_source(INPUT, Clock::new(PERIOD, 8, Duration::ZERO, 0)));
        let quiet = Some(Duration::from_millis(500));
        kernel.stream().set_read_timeout(quiet).unwrap();
        while let Ok(Some(_)) = kernel.answer() {
            kernel.poll(INPUT, 8).unwrap();
        }
        let (woken, used) = (wake_ups(), processor_time());
        std::thread::sleep(Duration::from_secs(1));
        // This thread's own sleep is one.
        let (woken, used) = (wake_ups() - woken, processor_time() - used);
        assert!(woken <= 2, "{woken} wake-ups in a second of silence");
        assert!(
            used < Duration::from_millis(20),
            "{used:?} for a second of silence"
        );
        println!("no allocation for {COUNTED} reports; {woken} wake-ups in silence");

        drop(kernel);
        serving.join().unwrap().unwrap();
    });
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap()
}

/// How often threads of this process went to sleep by themselves.
fn wake_ups() -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let counted = threads.map(|thread| {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    });
    counted.sum()
}
