//! The supervisor binary interface, version 2.0: what firmware would give the guest's kernel, given by the machine itself.
//!
//! Extensions: base, time, IPI, RFENCE, HSM, system reset, debug console. Source: RISC-V Supervisor Binary Interface
//! Specification 2.0. A hart's own calls run on its thread; other harts are reached through their ports.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use zone_translate::{Fence, Hart, HartPort, Ram};

const SUCCESS: i64 = 0;
const ERR_NOT_SUPPORTED: i64 = -2;
const ERR_INVALID_PARAM: i64 = -3;
const ERR_INVALID_ADDRESS: i64 = -5;
const ERR_ALREADY_AVAILABLE: i64 = -6;

const BASE: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const IPI: u64 = 0x0073_5049;
const RFENCE: u64 = 0x5246_4e43;
const HSM: u64 = 0x0048_534d;
const SYSTEM_RESET: u64 = 0x5352_5354;
const DEBUG_CONSOLE: u64 = 0x4442_434e;
const OFFERED: [u64; 7] = [BASE, TIME, IPI, RFENCE, HSM, SYSTEM_RESET, DEBUG_CONSOLE];

/// Specification version 2.0.
const VERSION: u64 = 2 << 24;
/// "Implementation ID" of firmware that has none registered, and our version.
const IMPLEMENTATION: u64 = 0xb0;
const IMPLEMENTATION_VERSION: u64 = 1;

/// Most bytes that one debug console call takes; the caller sees how many were taken.
const CONSOLE_CHUNK: u64 = 1024;

/// How often a hart that waits for another's fence looks whether the machine has ended.
const FENCE_POLL: Duration = Duration::from_millis(20);

/// How the guest ended its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The guest shut down.
    Off,
    /// The guest asked for a restart.
    Reset,
}

/// What a hart does after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Goes on.
    Resume,
    /// Stops until another hart starts it.
    Stop,
    /// The whole machine ends.
    End(Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HartState {
    Stopped,
    StartPending { pc: u64, opaque: u64 },
    Started,
}

/// One hart's state of hart state management, and the place where a stopped hart waits.
#[derive(Debug)]
struct Slot {
    state: Mutex<HartState>,
    changed: Condvar,
}

/// Where the debug console's bytes go to and come from.
pub trait Console: Send + Sync {
    /// Bytes that the guest wrote.
    fn write(&self, bytes: &[u8]);
    /// Bytes for the guest, without waiting; how many were put into the buffer.
    fn read(&self, into: &mut [u8]) -> usize;
}

/// The machine's SBI; shared by all harts.
pub struct Sbi {
    ports: Vec<Arc<HartPort>>,
    slots: Vec<Slot>,
    console: Arc<dyn Console>,
    ended: Mutex<bool>,
}

impl std::fmt::Debug for Sbi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sbi")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

type Answer = Result<u64, i64>;

impl Sbi {
    /// All harts stopped.
    pub fn new(ports: Vec<Arc<HartPort>>, console: Arc<dyn Console>) -> Self {
        let slots = ports
            .iter()
            .map(|_| Slot {
                state: Mutex::new(HartState::Stopped),
                changed: Condvar::new(),
            })
            .collect();
        Self {
            ports,
            slots,
            console,
            ended: Mutex::new(false),
        }
    }

    /// Starts a stopped hart at `pc` with its number in `a0` and `opaque` in `a1`.
    pub fn start_hart(&self, hart: usize, pc: u64, opaque: u64) -> bool {
        let Some(slot) = self.slots.get(hart) else {
            return false;
        };
        let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != HartState::Stopped {
            return false;
        }
        *state = HartState::StartPending { pc, opaque };
        slot.changed.notify_all();
        true
    }

    /// Waits, on a hart's own thread, until it is started; `None` when the machine ends.
    pub fn wait_for_start(&self, hart: usize) -> Option<(u64, u64)> {
        let slot = self.slots.get(hart)?;
        let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.has_ended() {
                return None;
            }
            if let HartState::StartPending { pc, opaque } = *state {
                *state = HartState::Started;
                return Some((pc, opaque));
            }
            state = slot
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Marks a hart as stopped.
    pub fn hart_stopped(&self, hart: usize) {
        if let Some(slot) = self.slots.get(hart) {
            *slot.state.lock().unwrap_or_else(PoisonError::into_inner) = HartState::Stopped;
        }
    }

    /// Ends the machine: every hart returns from what it does.
    pub fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        for (slot, port) in self.slots.iter().zip(&self.ports) {
            port.stop();
            let _state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
            slot.changed.notify_all();
        }
    }

    /// Whether [`Sbi::end`] was called.
    pub fn has_ended(&self) -> bool {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the call that `hart` made.
    pub fn call(&self, hart: &mut Hart, number: usize) -> After {
        let argument = |index: usize| hart.register(10 + index);
        let (extension, function) = (argument(7), argument(6));
        let (first, second, third) = (argument(0), argument(1), argument(2));
        let answer = match (extension, function) {
            (BASE, 0) => Ok(VERSION),
            (BASE, 1) => Ok(IMPLEMENTATION),
            (BASE, 2) => Ok(IMPLEMENTATION_VERSION),
            (BASE, 3) => Ok(u64::from(OFFERED.contains(&first))),
            // mvendorid, marchid, mimpid: not a commercial implementation.
            (BASE, 4..=6) => Ok(0),
            (TIME, 0) => {
                hart.set_timer(first);
                Ok(0)
            }
            (IPI, 0) => self.targets(first, second).map(|targets| {
                for target in targets {
                    if let Some(port) = self.ports.get(target) {
                        port.raise_software_interrupt();
                    }
                }
                0
            }),
            // fence.i, sfence.vma and sfence.vma by ASID.
            (RFENCE, 0..=2) => self.targets(first, second).map(|targets| {
                let fence = match function {
                    0 => Fence::Code,
                    1 => Fence::range(third, argument(3), None),
                    // An identifier that cannot be: all spaces.
                    _ => Fence::range(third, argument(3), u16::try_from(argument(4)).ok()),
                };
                self.fence(&targets, fence);
                0
            }),
            (HSM, 0) => self.hart_start(first, second, third),
            (HSM, 1) => {
                self.hart_stopped(number);
                return After::Stop;
            }
            (HSM, 2) => self.hart_status(first),
            (SYSTEM_RESET, 0) => match first {
                0 => return After::End(Ending::Off),
                1 | 2 => return After::End(Ending::Reset),
                _ => Err(ERR_INVALID_PARAM),
            },
            (DEBUG_CONSOLE, 0) => self.console_write(hart.ram(), first, second, third),
            (DEBUG_CONSOLE, 1) => self.console_read(hart.ram(), first, second, third),
            (DEBUG_CONSOLE, 2) => {
                self.console.write(&[first.to_le_bytes()[0]]);
                Ok(0)
            }
            _ => Err(ERR_NOT_SUPPORTED),
        };
        let (error, value) = match answer {
            Ok(value) => (SUCCESS, value),
            Err(error) => (error, 0),
        };
        hart.set_register(10, error.cast_unsigned());
        hart.set_register(11, value);
        After::Resume
    }

    /// The harts of a mask: bit `n` is hart `base + n`, and a base of -1 means all.
    fn targets(&self, mask: u64, base: u64) -> Result<Vec<usize>, i64> {
        if base == u64::MAX {
            return Ok((0..self.slots.len()).collect());
        }
        let base = usize::try_from(base).map_err(|_| ERR_INVALID_PARAM)?;
        let mut targets = Vec::new();
        for bit in (0..64).filter(|bit| mask >> bit & 1 != 0) {
            let hart = base
                .checked_add(bit)
                .filter(|hart| *hart < self.slots.len())
                .ok_or(ERR_INVALID_PARAM)?;
            targets.push(hart);
        }
        Ok(targets)
    }

    /// Returns when no target still runs with what the fence is about. The calling hart runs no guest code meanwhile, so harts that
    /// fence each other both go on, and one that is not started does not run either.
    fn fence(&self, targets: &[usize], fence: Fence) {
        let tickets: Vec<_> = targets
            .iter()
            .filter_map(|target| self.ports.get(*target))
            .filter_map(|port| Some((port, port.ask_fence(fence)?)))
            .collect();
        for (port, ticket) in tickets {
            while !port.wait_for_fence(ticket, FENCE_POLL) && !self.has_ended() {}
        }
    }

    fn state(&self, hart: usize) -> Option<HartState> {
        Some(
            *self
                .slots
                .get(hart)?
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn hart_start(&self, hart: u64, pc: u64, opaque: u64) -> Answer {
        let hart = usize::try_from(hart).map_err(|_| ERR_INVALID_PARAM)?;
        if hart >= self.slots.len() {
            return Err(ERR_INVALID_PARAM);
        }
        if self.start_hart(hart, pc, opaque) {
            Ok(0)
        } else {
            Err(ERR_ALREADY_AVAILABLE)
        }
    }

    fn hart_status(&self, hart: u64) -> Answer {
        let state = usize::try_from(hart)
            .ok()
            .and_then(|hart| self.state(hart))
            .ok_or(ERR_INVALID_PARAM)?;
        Ok(match state {
            HartState::Started => 0,
            HartState::Stopped => 1,
            HartState::StartPending { .. } => 2,
        })
    }

    fn console_write(&self, ram: &Ram, length: u64, low: u64, high: u64) -> Answer {
        let range = console_range(ram, length, low, high)?;
        let bytes: Vec<u8> = range
            .filter_map(|address| ram.load::<u8>(address))
            .collect();
        self.console.write(&bytes);
        Ok(bytes.len() as u64)
    }

    fn console_read(&self, ram: &Ram, length: u64, low: u64, high: u64) -> Answer {
        let range = console_range(ram, length, low, high)?;
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        let count = self.console.read(&mut bytes);
        for (address, byte) in range.zip(bytes.iter().take(count)) {
            ram.store(address, *byte);
        }
        Ok(count as u64)
    }
}

/// The physical range of a console buffer, cut to what one call takes; all of it must be RAM.
fn console_range(ram: &Ram, length: u64, low: u64, high: u64) -> Result<std::ops::Range<u64>, i64> {
    let end = low
        .checked_add(length)
        .filter(|_| high == 0)
        .ok_or(ERR_INVALID_PARAM)?;
    if low < ram.base() || end > ram.base() + ram.length() {
        return Err(ERR_INVALID_ADDRESS);
    }
    Ok(low..low + length.min(CONSOLE_CHUNK))
}
