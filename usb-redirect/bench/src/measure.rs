//! One run: a device, a path, a consumer, and what the consumer saw.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result};
use usb_redirect::desktop;
use usb_redirect::device::{Clock, Description, DescriptionFile, Simulated};
use usb_redirect::endpoint::{self, Control};
use usb_redirect::filter::Grant;
use usb_redirect::front::Front;
use usb_redirect::setup::EndpointAddress;
use usb_redirect::stream::StreamFront;
use usb_redirect::usbip::{Answer, BusId, Client, Exporter, Operation};
use usb_redirect::usbredir::{Guest, GuestEvent, Host};

use crate::delay;

pub const INPUT: EndpointAddress = EndpointAddress(0x81);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    UsbIp,
    UsbRedir,
    Ours,
}

impl Path {
    pub const fn name(self) -> &'static str {
        match self {
            Self::UsbIp => "usbip",
            Self::UsbRedir => "usbredir",
            Self::Ours => "ours",
        }
    }
}

pub struct Figures {
    pub path: Path,
    pub rate: u32,
    pub round_trip_ms: u64,
    pub made: u64,
    pub delivered: u64,
    pub in_order: bool,
    pub per_second: f64,
    /// Time from the report's making to its arrival, less half the round trip.
    pub p50_over_ms: f64,
    pub p99_over_ms: f64,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn lost_percent(&self) -> f64 {
        100.0 * (1.0 - self.delivered as f64 / self.made.max(1) as f64)
    }
}

/// A high-speed device with one interface of a maker's own reports, 8 bytes each: nothing may be merged.
fn description() -> Result<Arc<Description>> {
    let text = "speed high\nproduct Bench\nreport 0 06 00 ff 09 01 a1 01 15 00 26 ff 00 75 08 95 08 09 02 81 02 c0\n";
    Ok(Arc::new(DescriptionFile::parse(text)?.describe()?))
}

fn front(path: Path, description: &Arc<Description>) -> Result<(Box<dyn Front>, BusId)> {
    let bus = BusId::new("1-1").context("a bus id")?;
    let description = description.clone();
    let front: Box<dyn Front> = match path {
        Path::UsbIp => Box::new(Exporter::new(description, bus)),
        Path::UsbRedir => Box::new(Host::new(description)),
        Path::Ours => Box::new(StreamFront::new(description)),
    };
    Ok((front, bus))
}

/// Polls once, as `usbhid` does, which keeps one poll in flight. Answers the report's length; none when none came in time.
pub fn poll(client: &mut Client<UnixStream>, report: &mut [u8; 8]) -> Result<Option<usize>> {
    client.poll(INPUT, 8)?;
    match client.answer() {
        Ok(Some(Answer::Submit {
            status: 0, data, ..
        })) => {
            for (place, byte) in report.iter_mut().zip(data) {
                *place = *byte;
            }
            Ok(Some(data.len()))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("wait for a report"),
    }
}

/// What was seen: when each report came, and its count and time of making.
type Seen = Vec<(Duration, u32, Duration)>;

pub fn run(path: Path, rate: u32, round_trip_ms: u64, seconds: u32) -> Result<Figures> {
    let description = description()?;
    let device = Simulated::new(description.clone());
    let (front, bus) = front(path, &description)?;
    let one_way = Duration::from_millis(round_trip_ms) / 2;
    let (ours, theirs) = delay::line(one_way)?;
    let control = Control::new()?;
    let period = Duration::from_secs(1) / rate;
    let count = rate.saturating_mul(seconds);
    let patience = Duration::from_millis(400 + 3 * round_trip_ms);
    let mut seen: Seen = Vec::with_capacity(usize::try_from(count)?);

    std::thread::scope(|scope| -> Result<()> {
        let session = scope.spawn(|| {
            delay::precise_timers();
            endpoint::serve(&device, front, &ours, &Grant::default(), &control, &|_| {})
        });
        let result = (|| -> Result<()> {
            let begin = || {
                // The first poll has to arrive before the first report is made.
                let start = device.now() + Duration::from_millis(50 + 2 * round_trip_ms);
                device.set_source(INPUT, Clock::new(period, 8, start, count));
            };
            let note = |report: &[u8], seen: &mut Seen| {
                if let [a, b, c, d, e, f, g, h] = *report {
                    let made = u32::from_le_bytes([e, f, g, h]);
                    let made = Duration::from_micros(made.into());
                    seen.push((device.now(), u32::from_le_bytes([a, b, c, d]), made));
                }
            };
            match path {
                Path::UsbRedir => usbredir(&theirs, count, patience, begin, |report| {
                    note(report, &mut seen);
                }),
                Path::UsbIp | Path::Ours => {
                    let mut consumer = if path == Path::UsbIp {
                        let mut consumer = Client::new(theirs.try_clone()?, desktop::DEVICE);
                        consumer.operate(Operation::Import(bus))?;
                        consumer
                    } else {
                        let (give, take) = channel();
                        let theirs = &theirs;
                        let (consumer, kernel) = UnixStream::pair()?;
                        scope.spawn(move || {
                            desktop::run(theirs, |_| {
                                let _ = give.send(());
                                Ok(kernel.into())
                            })
                        });
                        take.recv().context("no device came")?;
                        Client::new(consumer, desktop::DEVICE)
                    };
                    consumer.stream().set_read_timeout(Some(patience))?;
                    begin();
                    let mut report = [0; 8];
                    while let Some(length) = poll(&mut consumer, &mut report)? {
                        note(report.get(..length).unwrap_or_default(), &mut seen);
                        if seen
                            .last()
                            .is_some_and(|(_, number, _)| *number + 1 == count)
                        {
                            break;
                        }
                    }
                    Ok(())
                }
            }
        })();
        control.detach();
        session.join().ok();
        result
    })?;
    figures(path, rate, round_trip_ms, one_way, count, &seen)
}

/// usbredir's guest: reports come by themselves, and are there for the guest's polls at once.
fn usbredir(
    mut socket: &UnixStream,
    count: u32,
    patience: Duration,
    begin: impl Fn(),
    mut note: impl FnMut(&[u8]),
) -> Result<()> {
    use std::io::{Read, Write};
    let mut guest = Guest::default();
    let mut out = Vec::new();
    let mut input = Vec::new();
    let mut chunk = [0; 16 * 1024];
    let mut got = 0;
    guest.greet(&mut out);
    socket.set_read_timeout(Some(patience))?;
    while got < count {
        socket.write_all(&out)?;
        out.clear();
        let Ok(length @ 1..) = socket.read(&mut chunk) else {
            break;
        };
        input.extend_from_slice(chunk.get(..length).unwrap_or_default());
        let mut taken = 0;
        while let Some((event, used)) =
            guest.receive(input.get(taken..).unwrap_or_default(), &mut out)?
        {
            taken += used;
            match event {
                GuestEvent::Connected(_) => {
                    guest.start(INPUT, &mut out);
                    begin();
                }
                GuestEvent::Report { data, .. } => {
                    note(data);
                    got += 1;
                }
                _ => {}
            }
        }
        input.drain(..taken);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn figures(
    path: Path,
    rate: u32,
    round_trip_ms: u64,
    one_way: Duration,
    count: u32,
    seen: &Seen,
) -> Result<Figures> {
    let mut over: Vec<f64> = seen
        .iter()
        .map(|(came, _, made)| {
            (came.as_secs_f64() - made.as_secs_f64() - one_way.as_secs_f64()) * 1000.0
        })
        .collect();
    over.sort_by(f64::total_cmp);
    let at = |hundredths: usize| {
        let index = over.len().saturating_sub(1) * hundredths / 100;
        over.get(index).copied().unwrap_or(f64::NAN)
    };
    let (first, last) = seen.first().zip(seen.last()).context("no report arrived")?;
    let span = last.0.saturating_sub(first.0).as_secs_f64();
    Ok(Figures {
        path,
        rate,
        round_trip_ms,
        made: count.into(),
        delivered: u64::try_from(seen.len())?,
        in_order: seen.is_sorted_by(|one, next| one.1 < next.1),
        per_second: (seen.len().saturating_sub(1)) as f64 / span.max(1e-9),
        p50_over_ms: at(50),
        p99_over_ms: at(99),
    })
}
