//! One zone's machine: RAM, harts on threads of their own, and the devices on its board.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use vm_memory::{GuestMemoryBackend, MmapRegion};
use zone_translate::{Clock, CodeCache, Compiler, Exit, Hart, HartPort, Ram};
use zone_virtio::{GuestMemory, Slot, Transport};

use crate::board::{
    Board, PLIC_BASE, PLIC_SIZE, RTC_BASE, RTC_SIZE, Registers, VIRTIO_BASE, VIRTIO_SIZE,
};
use crate::boot::{self, BootError};
use crate::debug::{self, Go, Seat, Stop};
use crate::device_tree::{self, Description};
use crate::memory::{self, MemoryError};
use crate::plic::{Plic, RTC_SOURCE};
use crate::rtc::Rtc;
use crate::sbi::{After, Console, Ending, Sbi};

#[cfg(test)]
mod tests;

/// Most harts of a machine.
pub const MAX_HARTS: u32 = 8;

/// Why a machine cannot be made or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Too few or too many harts.
    #[error("a zone has 1 to {MAX_HARTS} harts, not {0}")]
    Harts(u32),
    /// More devices than interrupt sources.
    #[error("a machine has at most {} devices", RTC_SOURCE - 1)]
    Devices,
    /// No RAM.
    #[error("the zone's memory cannot be had")]
    Memory(#[from] MemoryError),
    /// The guest cannot be loaded.
    #[error("the guest cannot be loaded")]
    Boot(#[from] BootError),
    /// The harts cannot use this RAM.
    #[error("the zone's memory cannot be used")]
    Ram(#[from] zone_translate::memory::RamError),
    /// No thread for a hart or for the compiler.
    #[error("a thread of the machine cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What happens to a machine, told on the thread where it happens.
pub trait Observer: Send + Sync {
    /// The guest shut down or asked for a restart; its harts have been told to stop.
    fn ended(&self, ending: Ending);
}

/// A machine that is being put together.
pub struct Builder {
    memory: Arc<GuestMemory>,
    memory_length: u64,
    board: Board,
    plic: Arc<Plic>,
    ports: Vec<Arc<HartPort>>,
    transports: Vec<Transport>,
    code: Vec<CodeCache>,
    is_compiled_aside: bool,
    debugger: Option<File>,
    clock: Clock,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("board", &self.board)
            .finish_non_exhaustive()
    }
}

/// A device's interrupt line into the controller.
struct Line {
    plic: Arc<Plic>,
    source: u32,
}

impl zone_virtio::InterruptLine for Line {
    fn set(&self, high: bool) {
        self.plic.set(self.source, high);
    }
}

impl Registers for Transport {
    fn read(&self, offset: u64, data: &mut [u8]) {
        Transport::read(self, offset, data);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        Transport::write(self, offset, data);
    }
}

impl Builder {
    /// A machine with so much RAM and so many harts, and no devices.
    pub fn new(memory_mib: u32, harts: u32) -> Result<Self, MachineError> {
        if !(1..=MAX_HARTS).contains(&harts) {
            return Err(MachineError::Harts(harts));
        }
        let (memory, memory_length) = memory::allocate(memory_mib)?;
        let ports: Vec<Arc<HartPort>> = (0..harts).map(|_| Arc::default()).collect();
        let plic = Arc::new(Plic::new(ports.clone()));
        let mut board = Board::default();
        board.add(
            PLIC_BASE,
            PLIC_SIZE,
            Arc::clone(&plic) as Arc<dyn Registers>,
        );
        Ok(Self {
            memory,
            memory_length,
            board,
            plic,
            ports,
            transports: Vec::new(),
            code: Vec::new(),
            is_compiled_aside: thread::available_parallelism().is_ok_and(|cores| cores.get() > 1),
            debugger: None,
            clock: Clock::host(),
        })
    }

    /// The slot of the next virtio device; [`Builder::attach`] puts the device's register window on the bus.
    pub fn slot(&self) -> Result<Slot, MachineError> {
        let source = self.attached() + 1;
        if source >= RTC_SOURCE {
            return Err(MachineError::Devices);
        }
        Ok(Slot {
            memory: (*self.memory).clone(),
            line: self.line(source),
        })
    }

    fn line(&self, source: u32) -> Box<dyn zone_virtio::InterruptLine> {
        Box::new(Line {
            plic: Arc::clone(&self.plic),
            source,
        })
    }

    /// Attaches the device that was plugged into the last slot, and passes on what the host keeps of it.
    pub fn attach<T>(&mut self, (transport, host): (Transport, T)) -> T {
        let base = VIRTIO_BASE + u64::from(self.attached()) * VIRTIO_SIZE;
        self.board
            .add(base, VIRTIO_SIZE, Arc::new(transport.clone()));
        self.transports.push(transport);
        host
    }

    fn attached(&self) -> u32 {
        u32::try_from(self.transports.len()).unwrap_or(RTC_SOURCE)
    }

    /// Lets the harts translate hot code, each into one of these; a hart for which there is none interprets.
    pub fn translate(&mut self, code: Vec<CodeCache>) {
        self.code = code;
    }

    /// Whether the better code of what is hot is made on a thread beside the harts, as it is unless the host has a single core.
    /// Where the clock counts instructions it never is: what the machine does must not depend on when a thread gets to its work.
    pub fn compile_aside(&mut self, aside: bool) {
        self.is_compiled_aside = aside;
    }

    /// Lets a debugger on the other end of this stream look at the harts and steer them, by GDB's remote protocol.
    pub fn debug(&mut self, stream: File) {
        self.debugger = Some(stream);
    }

    /// Another clock than the host's. With [`Clock::Instructions`], a machine of one hart whose devices get no events from
    /// outside does the same in every run; so it does not know the time of day.
    pub fn clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Loads the guest and starts the first hart.
    pub fn start(
        mut self,
        kernel: &File,
        initramfs: Option<&File>,
        command_line: &str,
        seed: [u8; 32],
        console: Arc<dyn Console>,
        observer: Arc<dyn Observer>,
    ) -> Result<Machine, MachineError> {
        let loaded = boot::load(&self.memory, self.memory_length, kernel, initramfs)?;
        let has_rtc = matches!(self.clock, Clock::Host(_));
        if has_rtc {
            let rtc = Rtc::new(self.line(RTC_SOURCE));
            self.board.add(RTC_BASE, RTC_SIZE, Arc::new(rtc));
        }
        let description = Description {
            harts: u32::try_from(self.ports.len()).unwrap_or(MAX_HARTS),
            memory: self.memory_length,
            command_line,
            initramfs: loaded.initramfs,
            transports: self.attached(),
            has_rtc,
            seed,
        };
        let tree = device_tree::write(&description).map_err(BootError::from)?;
        boot::place_tree(&self.memory, loaded.tree, &tree)?;

        let ram = Ram::new(Arc::clone(&self.memory))?;
        for region in self.memory.iter() {
            MmapRegion::bitmap(region).tell(ram.listener());
        }
        let board = Arc::new(self.board);
        let shared = Arc::new(Shared {
            sbi: Sbi::new(self.ports.clone(), console),
            transports: self.transports,
        });
        let clock = match self.clock {
            // From the machine's start.
            Clock::Host(_) => Clock::host(),
            other => other,
        };
        let seats = match self.debugger {
            Some(stream) => debug::start(stream, &self.ports).map_err(MachineError::Thread)?,
            None => Vec::new(),
        };
        let mut seats = seats.into_iter();
        let is_free = matches!(clock, Clock::Host(_));
        let compiler = (is_free && self.is_compiled_aside && !self.code.is_empty())
            .then(Compiler::start)
            .transpose()
            .map_err(MachineError::Thread)?;
        let mut code = self.code.into_iter();
        let mut threads = Vec::new();
        for (number, port) in self.ports.iter().enumerate() {
            let mut hart = Hart::new(ram.clone(), board.clone(), Arc::clone(port), clock);
            if let Some(code) = code.next() {
                hart.translate_into(code.shared_by(self.ports.len()));
            }
            if let Some(compiler) = &compiler {
                hart.compile_by(compiler);
            }
            let (shared_here, observer) = (Arc::clone(&shared), Arc::clone(&observer));
            let seat = seats.next();
            let thread = thread::Builder::new()
                .name(format!("hart {number}"))
                .spawn(move || {
                    run_hart(hart, number, seat.as_ref(), &shared_here, &*observer);
                });
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    shared.end();
                    return Err(MachineError::Thread(error));
                }
            }
        }
        shared.sbi.start_hart(0, loaded.entry, loaded.tree);
        Ok(Machine {
            shared,
            threads: Mutex::new(threads),
            compiler: Mutex::new(compiler),
        })
    }
}

/// What harts, devices and the machine's owner end together.
struct Shared {
    sbi: Sbi,
    transports: Vec<Transport>,
}

impl Shared {
    /// Stops the harts and the devices' queues, in this order: a hart that serves a queue which another hart keeps feeding is
    /// released, and disks are flushed.
    fn end(&self) {
        self.sbi.end();
        self.transports.iter().for_each(Transport::finish);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("sbi", &self.sbi)
            .finish_non_exhaustive()
    }
}

fn run_hart(
    mut hart: Hart,
    number: usize,
    seat: Option<&Seat>,
    shared: &Shared,
    observer: &dyn Observer,
) {
    let sbi = &shared.sbi;
    while let Some((pc, opaque)) = sbi.wait_for_start(number) {
        hart.start(pc, number as u64, opaque);
        if let Some(seat) = seat {
            seat.arrive(&mut hart);
        }
        let mut go = Go::Run;
        loop {
            let exit = match go {
                Go::Run => Some(hart.run()),
                Go::Step => hart.step(),
            };
            if exit == Some(Exit::SupervisorCall) {
                match sbi.call(&mut hart, number) {
                    After::Resume => {}
                    After::Stop => break,
                    After::End(ending) => {
                        shared.end();
                        observer.ended(ending);
                        return;
                    }
                }
            }
            let stop = match (exit, go) {
                (Some(Exit::Stopped), _) if seat.is_none() || sbi.has_ended() => return,
                (Some(Exit::Stopped), _) => Stop::Asked,
                (Some(Exit::Breakpoint), _) => Stop::Breakpoint,
                (_, Go::Step) => Stop::Stepped,
                (_, Go::Run) => continue,
            };
            match seat.map(|seat| seat.sit(&mut hart, stop, || sbi.has_ended())) {
                Some(Some(next)) => go = next,
                _ => return,
            }
        }
        if let Some(seat) = seat {
            seat.leave();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine that runs.
#[derive(Debug)]
pub struct Machine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    compiler: Mutex<Option<Compiler>>,
}

impl Machine {
    /// Stops all harts, wherever they are, and makes what the guest wrote to kept volumes outlive the machine.
    pub fn stop(&self) {
        self.shared.end();
    }

    /// Waits until all harts have returned, and ends their compiler. A hart that panicked (a bug of ours) counts as returned.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            if thread.join().is_err() {
                eprintln!("bulkhead-zone: a hart's thread panicked");
            }
        }
        drop(lock(&self.compiler).take());
    }
}
