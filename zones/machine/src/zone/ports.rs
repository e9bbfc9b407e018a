//! The console device's ports on the link: output by credit, input as far as the guest takes it.
//!
//! Input waits on a thread of its own, since the device may say that there is room from within a hart's access to it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use zone_link::{FromZone, Port, ReceiveCredit, ZoneState, limits};
use zone_virtio::console::{ConsoleHandle, ConsoleSink};

use crate::sbi;
use crate::zone::outlet::Outlet;
use crate::zone::panic_watch::PanicWatch;

/// What the input thread is told.
#[derive(Debug)]
pub enum Input {
    /// Bytes from the endpoint.
    Bytes(Port, Vec<u8>),
    /// The guest may take more.
    Room(Port),
}

/// The guest's console output, from the SBI's debug console or the console device's first port.
#[derive(Debug)]
pub struct ConsoleOutput {
    outlet: Arc<Outlet>,
    link: zone_link::Sender<FromZone>,
    watch: Mutex<PanicWatch>,
}

impl ConsoleOutput {
    /// Output that goes to the console's port.
    pub fn new(outlet: Arc<Outlet>, link: zone_link::Sender<FromZone>) -> Self {
        Self {
            outlet,
            link,
            watch: Mutex::default(),
        }
    }

    fn send(&self, bytes: &[u8]) -> usize {
        let sent = self.outlet.send(Port::Console, bytes);
        if self
            .watch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sees(bytes)
        {
            let _ = self.link.send(&FromZone::State(ZoneState::Panicked));
        }
        sent
    }
}

impl sbi::Console for ConsoleOutput {
    fn write(&self, bytes: &[u8]) {
        // The kernel's own messages: without credit they are lost, as on a serial line that nobody reads. A guest must not
        // stand still because its log is not read.
        self.send(bytes);
    }

    fn read(&self, _into: &mut [u8]) -> usize {
        // Input goes to the console device, which has flow control.
        0
    }
}

/// The console device's sink.
#[derive(Debug)]
pub struct Ports {
    outlet: Arc<Outlet>,
    console: Arc<ConsoleOutput>,
    input: Sender<Input>,
}

impl Ports {
    /// The sink, and what the input thread receives.
    pub fn new(
        outlet: Arc<Outlet>,
        console: Arc<ConsoleOutput>,
    ) -> (Self, Sender<Input>, Receiver<Input>) {
        let (input, receiver) = channel();
        (
            Self {
                outlet,
                console,
                input: input.clone(),
            },
            input,
            receiver,
        )
    }

    fn room(&self, port: u32) {
        if let Some(port) = Port::from_number(port) {
            // The receiver lives as long as the process.
            let _ = self.input.send(Input::Room(port));
        }
    }
}

impl ConsoleSink for Ports {
    fn output(&mut self, port: u32, bytes: &[u8]) -> usize {
        match Port::from_number(port) {
            Some(Port::Console) => self.console.send(bytes),
            Some(port) => self.outlet.send(port, bytes),
            None => bytes.len(),
        }
    }

    fn opened(&mut self, port: u32, open: bool) {
        if open {
            Self::room(self, port);
        }
    }

    fn room(&mut self, port: u32) {
        Self::room(self, port);
    }
}

/// Feeds the guest's ports until the senders are gone.
pub fn feed(
    receiver: &Receiver<Input>,
    console: &ConsoleHandle,
    link: &zone_link::Sender<FromZone>,
) {
    let mut credit = ReceiveCredit::default();
    let mut waiting: [VecDeque<u8>; Port::ALL.len()] = Default::default();
    while let Ok(input) = receiver.recv() {
        let (port, bytes) = match input {
            Input::Bytes(port, bytes) => (port, bytes),
            Input::Room(port) => (port, Vec::new()),
        };
        let Some(queue) = waiting.get_mut(port as usize) else {
            continue;
        };
        if credit
            .receive(port, u32::try_from(bytes.len()).unwrap_or(u32::MAX))
            .is_err()
        {
            // The endpoint keeps to its credit; if it did not, holding on to more than agreed would be worse.
            continue;
        }
        queue.extend(bytes);
        loop {
            let part = queue.as_slices().0;
            let part = part.get(..limits::PORT_DATA_BYTES).unwrap_or(part);
            if part.is_empty() {
                break;
            }
            let taken = console.push(port.number(), part).min(part.len());
            queue.drain(..taken);
            if let Some(bytes) = credit.consume(port, u32::try_from(taken).unwrap_or(u32::MAX)) {
                let _ = link.send(&FromZone::PortCredit { port, bytes });
            }
            if taken == 0 {
                break;
            }
        }
    }
}
