//! A debugger's door into a machine, there only when it was asked for at the start: GDB's remote protocol over a descriptor.
//!
//! All harts stop together and go on together. A hart that stands still serves, on its own thread, what the debugger wants of
//! it ([`Seat`]); the debugger's thread ([`Debugger`]) alone talks to the person's GDB. Devices and the guest's clock go on
//! meanwhile. Breakpoints are the harts', not the guest's memory's: code runs at full speed up to them, and a guest that reads its
//! own code finds nothing.
//!
//! What comes from the descriptor is decoded by `gdbstub`, with a buffer of fixed size; it can do to the guest whatever it
//! likes, and nothing to this process.

mod stub;

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zone_translate::{Breakpoint, Hart, HartPort};

use self::stub::Debugger;

/// How often a hart that stands still looks whether its machine has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Why a hart came to its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All harts were told to stop.
    Asked,
    /// It ran into a breakpoint.
    Breakpoint,
    /// It did its one instruction.
    Stepped,
}

/// What a hart does when it leaves its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// Runs.
    Run,
    /// Does one instruction and comes back.
    Step,
}

enum Command {
    Serve(Box<dyn FnOnce(&mut Hart) + Send>),
    Go(Go),
}

enum Event {
    /// A byte from GDB.
    Byte(u8),
    /// GDB's end of the descriptor is closed.
    Closed,
    /// A hart sits down.
    Stopped { hart: usize, why: Stop },
    /// The guest started a hart.
    Started { hart: usize },
    /// A hart was stopped by the guest itself and cannot be looked at.
    Away { hart: usize },
}

/// Where one hart stands still.
pub(crate) struct Seat {
    hart: usize,
    port: Arc<HartPort>,
    commands: Receiver<Command>,
    events: Sender<Event>,
    /// Where the harts are to stop.
    breakpoints: Arc<Mutex<Vec<Breakpoint>>>,
}

impl Seat {
    /// Serves the debugger until it lets the hart go; `None` if the machine ends first.
    pub(crate) fn sit(&self, hart: &mut Hart, why: Stop, ended: impl Fn() -> bool) -> Option<Go> {
        // Without a debugger there is nobody to stop for.
        let heard = self.events.send(Event::Stopped {
            hart: self.hart,
            why,
        });
        let mut go = heard.is_err().then_some(Go::Run);
        while go.is_none() && !ended() {
            match self.commands.recv_timeout(LOOK) {
                Ok(Command::Serve(serve)) => serve(hart),
                Ok(Command::Go(how)) => go = Some(how),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.port.clear_stop();
                    go = Some(Go::Run);
                }
            }
        }
        self.learn_breakpoints(hart);
        go
    }

    fn learn_breakpoints(&self, hart: &mut Hart) {
        let breakpoints = self.breakpoints.lock();
        hart.set_breakpoints(breakpoints.unwrap_or_else(PoisonError::into_inner).clone());
    }

    /// The guest started this hart.
    pub(crate) fn arrive(&self, hart: &mut Hart) {
        self.learn_breakpoints(hart);
        let _ = self.events.send(Event::Started { hart: self.hart });
    }

    /// The guest stopped this hart.
    pub(crate) fn leave(&self) {
        let _ = self.events.send(Event::Away { hart: self.hart });
    }
}

/// Starts the debugger's threads; the seats are for the harts, in their order.
pub(crate) fn start(stream: File, ports: &[Arc<HartPort>]) -> io::Result<Vec<Seat>> {
    let (events, receiver) = mpsc::channel();
    let breakpoints = Arc::<Mutex<Vec<Breakpoint>>>::default();
    let mut seats = Vec::new();
    let mut commands = Vec::new();
    for (hart, port) in ports.iter().enumerate() {
        let (sender, receiver) = mpsc::channel();
        commands.push(sender);
        seats.push(Seat {
            hart,
            port: Arc::clone(port),
            commands: receiver,
            events: events.clone(),
            breakpoints: Arc::clone(&breakpoints),
        });
    }
    let input = stream.try_clone()?;
    let debugger = Debugger::new(ports.to_vec(), commands, receiver, breakpoints);
    thread("debugger input", move || read(input, &events))?;
    thread("debugger", move || debugger.run(&stream))?;
    Ok(seats)
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(run)?;
    Ok(())
}

fn read(mut input: File, events: &Sender<Event>) {
    let mut buffer = [0; 1024];
    loop {
        let count = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) if count > 0 => count,
            _ => {
                let _ = events.send(Event::Closed);
                return;
            }
        };
        for byte in buffer.iter().take(count) {
            if events.send(Event::Byte(*byte)).is_err() {
                return;
            }
        }
    }
}
