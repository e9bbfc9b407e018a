//! The real-time clock: what time of day it is, in UTC, and one alarm.
//!
//! A guest may set it; then it is off by so much for this machine alone, and only until the machine ends.
//!
//! Source: the register map of the kernel's `rtc-goldfish` driver (compatible `google,goldfish-rtc`), which stock kernels have built in.
//! Times are nanoseconds since 1970, in two registers: reading the lower half keeps the upper one for the next read, writing the lower
//! half takes the upper one that was written before.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zone_virtio::InterruptLine;

use crate::board::Registers;

const TIME_LOW: u64 = 0x00;
const TIME_HIGH: u64 = 0x04;
const ALARM_LOW: u64 = 0x08;
const ALARM_HIGH: u64 = 0x0c;
const IRQ_ENABLED: u64 = 0x10;
const CLEAR_ALARM: u64 = 0x14;
const ALARM_STATUS: u64 = 0x18;
const CLEAR_INTERRUPT: u64 = 0x1c;

/// Somebody may set the host's clock while an alarm is awaited.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The clock. It ends its alarm's thread when it is dropped.
pub(crate) struct Rtc(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    line: Box<dyn InterruptLine>,
}

#[derive(Default)]
struct State {
    /// What the guest's time is ahead of the host's, modulo 2^64.
    offset: u64,
    /// The upper half of the time, as kept by the last read of the lower one or as written.
    time_high: u32,
    alarm_high: u32,
    alarm: u64,
    is_armed: bool,
    is_pending: bool,
    is_enabled: bool,
    /// A thread waits for the alarm.
    is_watched: bool,
    has_ended: bool,
}

impl State {
    fn now(&self) -> u64 {
        host_time().wrapping_add(self.offset)
    }
}

/// Nanoseconds since 1970; until 2554 they fit.
fn host_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drive(&self, state: &State) {
        self.line.set(state.is_pending && state.is_enabled);
    }

    fn load(&self, offset: u64) -> u32 {
        let mut state = self.state();
        match offset {
            TIME_LOW => {
                let (high, low) = halves(state.now());
                state.time_high = high;
                low
            }
            TIME_HIGH => state.time_high,
            ALARM_LOW => halves(state.alarm).1,
            ALARM_HIGH => halves(state.alarm).0,
            IRQ_ENABLED => state.is_enabled.into(),
            ALARM_STATUS => state.is_armed.into(),
            _ => 0,
        }
    }

    fn store(self: &Arc<Self>, offset: u64, value: u32) {
        let mut state = self.state();
        match offset {
            TIME_LOW => {
                let time = join(state.time_high, value);
                state.offset = time.wrapping_sub(host_time());
            }
            TIME_HIGH => state.time_high = value,
            ALARM_LOW => {
                state.alarm = join(state.alarm_high, value);
                state.is_armed = true;
                if !state.is_watched {
                    state.is_watched = self.watch();
                }
            }
            ALARM_HIGH => state.alarm_high = value,
            IRQ_ENABLED => state.is_enabled = value & 1 != 0,
            CLEAR_ALARM => state.is_armed = false,
            CLEAR_INTERRUPT => state.is_pending = false,
            _ => return,
        }
        self.drive(&state);
        drop(state);
        self.changed.notify_all();
    }

    /// Starts the thread that waits for alarms: most machines set none.
    fn watch(self: &Arc<Self>) -> bool {
        let here = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("alarm".into())
            .spawn(move || wait(&here));
        if let Err(error) = &thread {
            eprintln!("bulkhead-zone: no thread for the clock's alarm: {error}");
        }
        thread.is_ok()
    }
}

fn wait(clock: &Shared) {
    let mut state = clock.state();
    while !state.has_ended {
        let left = state
            .is_armed
            .then(|| state.alarm.saturating_sub(state.now()));
        if left == Some(0) {
            state.is_armed = false;
            state.is_pending = true;
            clock.drive(&state);
        }
        let pause = match left {
            Some(0) => continue,
            Some(left) => LOOK_AGAIN.min(Duration::from_nanos(left)),
            None => Duration::MAX,
        };
        let woken = clock.changed.wait_timeout(state, pause);
        state = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Rtc {
    pub(crate) fn new(line: Box<dyn InterruptLine>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            line,
        }))
    }
}

impl Registers for Rtc {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(data) = data.first_chunk_mut() {
            *data = self.0.load(offset).to_le_bytes();
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some(data) = data.first_chunk() {
            self.0.store(offset, u32::from_le_bytes(*data));
        }
    }
}

impl Drop for Rtc {
    fn drop(&mut self) {
        self.0.state().has_ended = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Line(mpsc::Sender<bool>);

    impl InterruptLine for Line {
        fn set(&self, high: bool) {
            let _ = self.0.send(high);
        }
    }

    fn clock() -> (Rtc, mpsc::Receiver<bool>) {
        let (sender, line) = mpsc::channel();
        (Rtc::new(Box::new(Line(sender))), line)
    }

    fn read(clock: &Rtc, offset: u64) -> u32 {
        let mut data = [0xff; 4];
        clock.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    fn write(clock: &Rtc, offset: u64, value: u32) {
        clock.write(offset, &value.to_le_bytes());
    }

    fn time(clock: &Rtc) -> u64 {
        let low = read(clock, TIME_LOW);
        join(read(clock, TIME_HIGH), low)
    }

    fn set(clock: &Rtc, (high_register, low_register): (u64, u64), value: u64) {
        let (high, low) = halves(value);
        write(clock, high_register, high);
        write(clock, low_register, low);
    }

    #[test]
    fn it_tells_the_hosts_time_and_what_it_is_set_to() {
        let (clock, _line) = clock();
        let before = host_time();
        let told = time(&clock);
        assert!((before..=host_time()).contains(&told), "{told}");
        for year_2000 in [946_684_800_000_000_000, 5] {
            let before = host_time();
            set(&clock, (TIME_HIGH, TIME_LOW), year_2000);
            let told = time(&clock);
            let passed = host_time() - before;
            assert!((year_2000..=year_2000 + passed).contains(&told), "{told}");
        }
    }

    #[test]
    fn an_alarm_rings_once_when_it_may_and_until_it_is_heard() {
        let (clock, line) = clock();
        let heard = |high| while line.recv_timeout(Duration::from_secs(20)).unwrap() != high {};
        let alarm = (ALARM_HIGH, ALARM_LOW);
        write(&clock, IRQ_ENABLED, 1);
        set(&clock, alarm, time(&clock) + 20_000_000);
        heard(true);
        assert_eq!(read(&clock, ALARM_STATUS), 0);
        write(&clock, CLEAR_INTERRUPT, 1);
        heard(false);
        // One that is far away, called off, then one that is past; neither alarm nor line can be stuck.
        set(&clock, alarm, u64::MAX);
        assert_eq!(read(&clock, ALARM_STATUS), 1);
        write(&clock, CLEAR_ALARM, 1);
        assert_eq!(read(&clock, ALARM_STATUS), 0);
        set(&clock, alarm, 1);
        heard(true);
        // Not enabled, it is not heard, but not forgotten either.
        write(&clock, IRQ_ENABLED, 0);
        heard(false);
        write(&clock, IRQ_ENABLED, 1);
        heard(true);
    }

    #[test]
    fn its_thread_ends_with_it() {
        let (clock, line) = clock();
        write(&clock, ALARM_LOW, u32::MAX);
        write(&clock, ALARM_HIGH, u32::MAX);
        write(&clock, ALARM_LOW, 0);
        drop(clock);
        let mut heard = std::iter::repeat_with(|| line.recv_timeout(Duration::from_secs(20)));
        let last = heard.find(Result::is_err);
        assert_eq!(last, Some(Err(mpsc::RecvTimeoutError::Disconnected)));
    }

    #[test]
    fn other_registers_and_sizes_do_no_harm() {
        let (clock, _line) = clock();
        for offset in (0..0x1000).chain([u64::MAX]) {
            for size in [1, 2, 4, 8] {
                let mut data = [0xff; 8];
                clock.read(offset, &mut data[..size]);
                if offset != ALARM_LOW {
                    clock.write(offset, &data[..size]);
                }
            }
        }
        assert_eq!(read(&clock, CLEAR_INTERRUPT), 0);
    }
}
