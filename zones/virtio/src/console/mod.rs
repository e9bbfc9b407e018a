//! The console device with several ports (virtio 1.2, section 5.3).
//!
//! Port 0 is the guest's console (hvc0), the others are named byte streams. Both directions have flow control: what the
//! sink does not take stays in the guest's queue until [`ConsoleHandle::resume`], what the guest does not take stays in
//! a bounded buffer until [`ConsoleSink::room`]. No size is told: Linux kernels disagree with each other on the order
//! of its two fields, and nothing of ours needs it.
//!
//! Port numbers and events of the control queue come from the guest: unknown ones are ignored.

mod port;

use std::collections::VecDeque;

use self::port::Port;
use crate::GuestMemory;
use crate::chain::{Broken, Chain};
use crate::device::{Device, Slot, copy_config};
use crate::queues::{Outcome, Queues};
use crate::transport::{Handle, Transport};
use crate::wire::{put, u32_at};

const DEVICE_TYPE: u32 = 3;
const FEATURE_MULTIPORT: u64 = 1 << 1;
const CONTROL_RECEIVE: usize = 2;
const CONTROL_TRANSMIT: usize = 3;
/// Receive and transmit of port 0, control both ways, receive and transmit of the named ports.
const QUEUE_SIZES: [u16; 2 + 2 * NAMES.len()] = [64, 64, 32, 32, 64, 64, 64, 64, 64, 64];
/// Control messages that may wait for the guest's buffers. An honest driver causes four for each port.
const MESSAGES_MAX: usize = 64;

/// Bytes handed to the sink at a time.
pub const OUTPUT_MAX: usize = 4096;
/// Bytes that may wait for the guest on one port.
pub const INPUT_MAX: usize = 64 << 10;

/// The guest's console, hvc0.
pub const CONSOLE: u32 = 0;
/// The port on which the guest's session reports its state, `org.bulkhead.state`.
pub const STATE: u32 = 1;
/// The stock agent's port, `com.redhat.spice.0`.
pub const AGENT: u32 = 2;
/// The port on which the guest's session offers files, `org.bulkhead.outbox`.
pub const OUTBOX: u32 = 3;

const NAMES: [Option<&str>; 4] = [
    None,
    Some("org.bulkhead.state"),
    Some("com.redhat.spice.0"),
    Some("org.bulkhead.outbox"),
];

/// Where the guest's output goes. Called with the device's lock held: it must not block for long nor call back.
pub trait ConsoleSink: Send {
    /// Takes bytes of a port, at most [`OUTPUT_MAX`], and says how many: if not all, the port's output stops until
    /// [`ConsoleHandle::resume`].
    fn output(&mut self, port: u32, bytes: &[u8]) -> usize;

    /// The guest opened or closed a port.
    fn opened(&mut self, port: u32, open: bool);

    /// After [`ConsoleHandle::push`] took less than all: there is room again.
    fn room(&mut self, port: u32);
}

/// The host side of a console.
#[derive(Clone)]
pub struct ConsoleHandle(Handle<Console>);

impl ConsoleHandle {
    /// Sends bytes to a port and says how many were taken; [`ConsoleSink::room`] follows if not all were.
    ///
    /// Bytes for a named port that the guest has not opened are not taken: they would reach another reader.
    pub fn push(&self, port: u32, bytes: &[u8]) -> usize {
        self.0.with(|console, queues| {
            let Some((index, state)) = console.port(port) else {
                return Ok(0);
            };
            let taken = state.push(bytes);
            console.receive(index, queues)?;
            Ok(taken)
        })
    }

    /// Goes on with a port's output after [`ConsoleSink::output`] took less than all.
    pub fn resume(&self, port: u32) {
        self.0.with(|console, queues| {
            let Some((index, _)) = console.port(port) else {
                return Ok(());
            };
            console.transmit(index, queues)
        });
    }
}

/// The console device.
pub struct Console {
    ports: Vec<Port>,
    /// Control messages for the guest.
    messages: VecDeque<Vec<u8>>,
    sink: Box<dyn ConsoleSink>,
}

impl Console {
    /// Plugs a console into `slot`.
    pub fn plug(slot: Slot, sink: Box<dyn ConsoleSink>) -> (Transport, ConsoleHandle) {
        let handle = Handle::plug(
            slot,
            Self {
                ports: NAMES.iter().map(|name| Port::new(name.is_none())).collect(),
                messages: VecDeque::new(),
                sink,
            },
        );
        (handle.transport(), ConsoleHandle(handle))
    }

    fn port(&mut self, id: u32) -> Option<(usize, &mut Port)> {
        let index = usize::try_from(id).ok()?;
        self.ports.get_mut(index).map(|port| (index, port))
    }

    /// Moves what waits on a port to the guest.
    fn receive(&mut self, index: usize, queues: &mut Queues) -> Result<(), Broken> {
        let Some(port) = self.ports.get_mut(index) else {
            return Ok(());
        };
        let result = queues.serve(receive_queue(index), |memory, chain| {
            port.fill(memory, chain)
        });
        if port.wants_to_tell_room() {
            self.sink.room(port_id(index));
        }
        result
    }

    /// Moves a port's output to the sink as far as it takes it.
    fn transmit(&mut self, index: usize, queues: &mut Queues) -> Result<(), Broken> {
        let Some(port) = self.ports.get_mut(index) else {
            return Ok(());
        };
        let sink = &mut self.sink;
        queues.serve(transmit_queue(index), |memory, chain| {
            port.drain(memory, chain, |bytes| sink.output(port_id(index), bytes))
        })
    }

    /// Moves control messages to the guest.
    fn inform(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        let messages = &mut self.messages;
        queues.serve(CONTROL_RECEIVE, |memory, chain| {
            let Some(message) = messages.front() else {
                return Ok(Outcome::Later);
            };
            chain.writable.write(memory, message)?;
            messages.pop_front();
            Ok(Outcome::Used(chain.writable.passed()))
        })
    }

    fn say(&mut self, port: usize, event: Event, value: u16, name: &str) {
        if self.messages.len() >= MESSAGES_MAX {
            // Only a driver that asks over and over without reading the answers gets here.
            tracing::debug!("console control messages overflow");
            return;
        }
        let mut message = vec![0; 8];
        put(&mut message, 0, &port_id(port).to_le_bytes());
        put(&mut message, 4, &(event as u16).to_le_bytes());
        put(&mut message, 6, &value.to_le_bytes());
        message.extend(name.as_bytes());
        self.messages.push_back(message);
    }

    fn control(&mut self, memory: &GuestMemory, chain: &mut Chain) -> Result<Outcome, Broken> {
        let message: [u8; 8] = chain.readable.read_array(memory)?;
        let id = u32_at(&message, 0);
        let [_, _, _, _, e0, e1, v0, v1] = message;
        let value = u16::from_le_bytes([v0, v1]);
        match u16::from_le_bytes([e0, e1]) {
            event if event == Event::DeviceReady as u16 && value == 1 => {
                for port in 0..self.ports.len() {
                    self.say(port, Event::PortAdd, 1, "");
                }
            }
            event if event == Event::PortReady as u16 && value == 1 => self.introduce(id),
            event if event == Event::PortOpen as u16 => self.open(id, value == 1),
            _ => {}
        }
        Ok(Outcome::Used(0))
    }

    /// Tells the driver what a port is for, and that its host side is open.
    fn introduce(&mut self, id: u32) {
        let Some((index, _)) = self.port(id) else {
            return;
        };
        match NAMES.get(index).copied().flatten() {
            Some(name) => self.say(index, Event::PortName, 1, name),
            None => self.say(index, Event::ConsolePort, 1, ""),
        }
        self.say(index, Event::PortOpen, 1, "");
    }

    fn open(&mut self, id: u32, open: bool) {
        if let Some((_, port)) = self.port(id)
            && port.set_open(open)
        {
            self.sink.opened(id, open);
        }
    }
}

impl Device for Console {
    fn device_type(&self) -> u32 {
        DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        FEATURE_MULTIPORT
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // Columns, rows, number of ports, emergency write.
        let mut space = [0; 12];
        put(&mut space, 4, &port_id(self.ports.len()).to_le_bytes());
        copy_config(&space, offset, data);
    }

    fn activate(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        self.receive(0, queues)
    }

    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken> {
        match queue {
            CONTROL_RECEIVE => self.inform(queues),
            CONTROL_TRANSMIT => {
                queues.serve(queue, |memory, chain| self.control(memory, chain))?;
                self.inform(queues)?;
                // A port that was just opened may have bytes waiting.
                (0..self.ports.len()).try_for_each(|port| self.receive(port, queues))
            }
            _ if queue.is_multiple_of(2) => self.receive(port_of(queue), queues),
            _ => self.transmit(port_of(queue), queues),
        }
    }

    fn reset(&mut self) {
        self.messages.clear();
        for (id, port) in (0_u32..).zip(&mut self.ports) {
            if port.reset() {
                self.sink.opened(id, false);
            }
            if port.wants_to_tell_room() {
                self.sink.room(id);
            }
        }
    }
}

/// The events of the control queue that are used (section 5.3.6.2).
#[derive(Clone, Copy)]
enum Event {
    DeviceReady = 0,
    PortAdd = 1,
    PortReady = 3,
    ConsolePort = 4,
    PortOpen = 6,
    PortName = 7,
}

fn port_id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Queues 0 and 1 are port 0, 2 and 3 control, then a pair for each port.
fn receive_queue(port: usize) -> usize {
    match port {
        0 => 0,
        _ => port.saturating_mul(2).saturating_add(2),
    }
}

fn transmit_queue(port: usize) -> usize {
    receive_queue(port).saturating_add(1)
}

fn port_of(queue: usize) -> usize {
    (queue / 2).saturating_sub(1)
}

#[cfg(test)]
mod tests;
