//! A consumer at a tenth of the device's speed: how far behind the pointer falls, and whether a click is lost.
//!
//! The mouse moves one count per report at 1000 Hz and clicks every 40 ms. The consumer polls a hundred times a second. How far it is behind
//! is the time since the device made the report that brought its pointer where the consumer's is.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result};
use usb_redirect::desktop;
use usb_redirect::device::{DescriptionFile, Scripted, Simulated};
use usb_redirect::endpoint::{self, Control};
use usb_redirect::filter::Grant;
use usb_redirect::stream::StreamFront;
use usb_redirect::usbip::Client;

use crate::delay::precise_timers;
use crate::measure::{INPUT, poll};

const REPORTS: u32 = 5000;
const PERIOD: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_millis(10);

pub struct Slow {
    pub path: &'static str,
    pub lag_ms: f64,
    pub made: u32,
    pub seen: u32,
}

/// The report made at step `step`: its button, and one count of motion.
fn report(step: u32) -> [u8; 3] {
    [u8::from(step / 20 % 2 == 1), 1, 0]
}

/// Counts clicks and motion as they are seen.
#[derive(Default)]
struct Counted {
    button: u8,
    clicks: u32,
    moved: u32,
    lag: Duration,
}

impl Counted {
    fn see(&mut self, report: [u8; 3], since_begin: Duration) {
        let [button, x, _] = report;
        if button != self.button {
            self.button = button;
            self.clicks += 1;
        }
        self.moved += u32::from(x);
        let made = PERIOD * self.moved.saturating_sub(1);
        if self.moved < REPORTS {
            self.lag = self.lag.max(since_begin.saturating_sub(made));
        }
    }

    fn result(&self, path: &'static str) -> Slow {
        Slow {
            path,
            lag_ms: self.lag.as_secs_f64() * 1000.0,
            made: (REPORTS - 1) / 20,
            seen: self.clicks,
        }
    }
}

/// Through the whole path.
pub fn ours() -> Result<Slow> {
    let text = "speed high\nproduct Bench mouse\nreport 0 05 01 09 02 a1 01 05 09 19 01 29 08 15 00 25 01 95 08 75 01 81 02 05 01 09 30 09 31 15 81 25 7f 75 08 95 02 81 06 c0\n";
    let description = Arc::new(DescriptionFile::parse(text)?.describe()?);
    let device = Simulated::new(description.clone());
    let (ours, theirs) = UnixStream::pair()?;
    let control = Control::new()?;
    let mut counted = Counted::default();
    std::thread::scope(|scope| -> Result<()> {
        let session = scope.spawn(|| {
            precise_timers();
            let front = Box::new(StreamFront::new(description));
            endpoint::serve(&device, front, &ours, &Grant::default(), &control, &|_| {})
        });
        let result = (|| {
            let (give, take) = channel();
            let (consumer, kernel) = UnixStream::pair()?;
            scope.spawn(move || {
                desktop::run(&theirs, |_| {
                    let _ = give.send(());
                    Ok(kernel.into())
                })
            });
            take.recv().context("no device came")?;
            consumer.set_read_timeout(Some(Duration::from_millis(500)))?;
            let mut consumer = Client::new(consumer, desktop::DEVICE);
            let begin = device.now() + Duration::from_millis(50);
            let script = (0..REPORTS).map(|step| (begin + PERIOD * step, report(step).to_vec()));
            device.set_source(INPUT, Scripted::new(script));
            let mut bytes = [0; 8];
            while let Some(length) = poll(&mut consumer, &mut bytes)? {
                if let Some(report) = bytes.get(..length).and_then(|bytes| bytes.first_chunk()) {
                    counted.see(*report, device.now().saturating_sub(begin));
                }
                std::thread::sleep(PAUSE);
            }
            Ok(())
        })();
        control.detach();
        session.join().ok();
        result
    })?;
    Ok(counted.result("ours"))
}

/// The queue of QEMU's usb-redir, as its source has it (hw/usb/redirect.c): target 1000 packets, nothing is dropped up to twice that, and then
/// every other packet until the target is met. Stepped, not timed: its lag is a property of the queue.
pub fn usbredir() -> Result<Slow> {
    let mut counted = Counted::default();
    let mut queue = VecDeque::new();
    let mut dropping = false;
    for step in 0..REPORTS {
        if queue.len() > 2000 {
            dropping = true;
        } else if queue.len() < 1000 {
            dropping = false;
        }
        if !dropping || step % 2 == 0 {
            queue.push_back(report(step));
        }
        if step % 10 == 0
            && let Some(report) = queue.pop_front()
        {
            counted.see(report, PERIOD * step);
        }
    }
    let mut now = PERIOD * REPORTS;
    while let Some(report) = queue.pop_front() {
        counted.see(report, now);
        now += PAUSE;
    }
    Ok(counted.result("a queue of 1000, as in QEMU"))
}
