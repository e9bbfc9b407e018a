//! The socket device (virtio 1.2, section 5.10): stream sockets between guest and host.
//!
//! The host side is a descriptor per connection, one end of a stream socket pair that the endpoint made: this process
//! opens nothing. Packets of the guest are handled on its own thread; one worker thread moves bytes from the descriptors
//! to the guest and waits in the kernel while there are none.
//!
//! Everything is bounded: connections, requests that wait for the endpoint, bytes per connection, packets that wait for
//! the guest. A guest that gives no buffers for answers is not listened to until it does. A packet that breaks the
//! rules of a stream (more data than it has credit for, counts that run ahead, data after shutdown, a port in use)
//! resets that connection and nothing else.

mod connection;
mod packet;
mod worker;

pub use connection::BUFFER_SIZE;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use self::connection::{Connection, Read, Stage, Violation};
use self::packet::{
    FromGuest, HEADER_SIZE, HOST_CID, Operation, Ports, SHUTDOWN_BOTH, SHUTDOWN_SEND, ToGuest,
    Window,
};
use self::worker::{Bell, Worker};
use crate::GuestMemory;
use crate::chain::{Broken, Chain};
use crate::device::{Device, Slot, copy_config};
use crate::queues::{Outcome, Queues};
use crate::transport::{Handle, Transport};

const DEVICE_TYPE: u32 = 19;
const FEATURE_STREAM: u64 = 1;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// Connections at a time, with those that wait for an answer.
pub const CONNECTIONS_MAX: usize = 64;
/// Requests of the guest that wait for [`VsockHandle::accept`] or [`VsockHandle::refuse`].
pub const REQUESTS_MAX: usize = 16;
/// Answers that may wait for the guest's buffers before its own packets are left in their queue.
const ANSWERS_MAX: usize = 64;
/// Data bytes of one packet to the guest.
const DATA_MAX: usize = 64 << 10;
/// Packets of one connection before the next gets its turn.
const TURN: usize = 16;
/// Our own ports count up from here; the range below is for services.
const FIRST_PORT: u32 = 0x4000_0000;

/// What the host does with the guest's wishes. Called with the device's lock held: it must not block for long nor call
/// back.
pub trait VsockHost: Send {
    /// The guest wants to connect to a port of the host. Answer with [`VsockHandle::accept`] or [`VsockHandle::refuse`],
    /// even if it has changed its mind since.
    fn request(&mut self, id: u32, port: u32);
}

/// The host side of a socket device. When the last one is gone, so is the worker thread.
#[derive(Clone)]
pub struct VsockHandle {
    handle: Handle<Vsock>,
    /// Stops and joins the worker thread when the last handle is dropped.
    _worker: Arc<Worker>,
}

impl VsockHandle {
    /// Accepts a request: its bytes go to and come from `stream`. If the guest has changed its mind, `stream` is closed.
    pub fn accept(&self, id: u32, stream: OwnedFd) {
        self.handle.with(|vsock, queues| {
            let Some(Some(request)) = vsock.requests.remove(&id) else {
                return Ok(());
            };
            vsock.open(
                request.ports,
                stream,
                Stage::Open,
                request.window,
                Operation::Response,
            );
            vsock.settle(queues)
        });
    }

    /// Refuses a request: the guest's connect fails.
    pub fn refuse(&self, id: u32) {
        self.handle.with(|vsock, queues| {
            if let Some(Some(request)) = vsock.requests.remove(&id) {
                vsock.answers.push_back(ToGuest::reset(request.ports));
            }
            vsock.settle(queues)
        });
    }

    /// Connects `stream` to a port of the guest. `stream` is closed if the guest has no driver, does not listen there, or
    /// if there are too many connections.
    pub fn dial(&self, port: u32, stream: OwnedFd) {
        self.handle.with(|vsock, queues| {
            // Each connection leaves at most a few answers behind; a guest that reads none gets no more connections.
            let deaf = vsock.answers.len() >= 2 * ANSWERS_MAX;
            if !queues.live() || vsock.is_full() || deaf {
                return Ok(());
            }
            let ports = Ports {
                guest: port,
                host: vsock.free_port(port),
            };
            vsock.open(
                ports,
                stream,
                Stage::Dialled,
                Window::default(),
                Operation::Request,
            );
            vsock.settle(queues)
        });
    }
}

/// A wish of the guest to connect.
struct Request {
    ports: Ports,
    window: Window,
}

/// The socket device.
pub struct Vsock {
    guest_cid: u64,
    host: Box<dyn VsockHost>,
    connections: BTreeMap<Ports, Connection>,
    /// By the id that the host was told; `None` once the guest has changed its mind.
    requests: BTreeMap<u32, Option<Request>>,
    next_request: u32,
    next_port: u32,
    next_serial: u64,
    /// Packets without data that wait for the guest's buffers.
    answers: VecDeque<ToGuest>,
    /// The guest has no buffers for what we would send.
    starved: bool,
    data: Vec<u8>,
    bell: Arc<Bell>,
}

impl Vsock {
    /// Plugs a socket device into `slot`; the guest has the context id `guest_cid`, at least 3.
    pub fn plug(
        slot: Slot,
        guest_cid: u32,
        host: Box<dyn VsockHost>,
    ) -> io::Result<(Transport, VsockHandle)> {
        let bell = Arc::new(Bell::new()?);
        let handle = Handle::plug(
            slot,
            Self {
                guest_cid: u64::from(guest_cid),
                host,
                connections: BTreeMap::new(),
                requests: BTreeMap::new(),
                next_request: 0,
                next_port: FIRST_PORT,
                next_serial: 0,
                answers: VecDeque::new(),
                starved: false,
                data: vec![0; DATA_MAX],
                bell: Arc::clone(&bell),
            },
        );
        let worker = Arc::new(Worker::start(handle.clone(), bell)?);
        let transport = handle.transport();
        let handle = VsockHandle {
            handle,
            _worker: worker,
        };
        Ok((transport, handle))
    }

    fn is_full(&self) -> bool {
        let used = self.connections.len().saturating_add(self.requests.len());
        used >= CONNECTIONS_MAX
    }

    /// A host port that has no connection to the guest's `guest` port. There are more ports than connections.
    fn free_port(&mut self, guest: u32) -> u32 {
        loop {
            let host = self.next_port;
            self.next_port = host.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.connections.contains_key(&Ports { guest, host }) {
                return host;
            }
        }
    }

    /// Adds a connection and tells the guest of it; `first` is its first packet.
    fn open(
        &mut self,
        ports: Ports,
        stream: OwnedFd,
        stage: Stage,
        guest: Window,
        first: Operation,
    ) {
        self.next_serial = self.next_serial.saturating_add(1);
        match Connection::new(stream, self.next_serial, stage, guest) {
            Ok(mut connection) => {
                let packet = ToGuest::plain(ports, first, connection.tell());
                self.answers.push_back(packet);
                self.connections.insert(ports, connection);
            }
            Err(error) => {
                tracing::debug!(%error, "a stream for the guest is not usable");
                self.answers.push_back(ToGuest::reset(ports));
            }
        }
    }

    /// Ends a connection: the guest gets a reset, the host sees the end.
    fn reset_connection(&mut self, ports: Ports) {
        self.answers.push_back(ToGuest::reset(ports));
        self.drop_connection(ports);
    }

    fn drop_connection(&mut self, ports: Ports) {
        if let Some(connection) = self.connections.remove(&ports) {
            connection.end();
        }
    }

    /// Handles one packet of the guest.
    fn packet(&mut self, memory: &GuestMemory, chain: &mut Chain) -> Result<Outcome, Broken> {
        if self.answers.len() >= ANSWERS_MAX {
            return Ok(Outcome::Later);
        }
        let packet = FromGuest::parse(&chain.readable.read_array::<HEADER_SIZE>(memory)?);
        if packet.source_cid != self.guest_cid {
            return Ok(Outcome::Used(0));
        }
        if packet.destination_cid != HOST_CID {
            // There is nobody else; the answer cannot say so, as it comes from the host.
            return Ok(Outcome::Used(0));
        }
        let ports = packet.ports;
        match packet.operation {
            Some(Operation::Reset) => {
                self.drop_connection(ports);
                self.withdraw(ports);
            }
            Some(Operation::Request) => self.request(&packet),
            Some(operation) if self.connections.contains_key(&ports) => {
                if self.step(memory, chain, &packet, operation).is_err() {
                    self.reset_connection(ports);
                }
            }
            _ => {
                self.withdraw(ports);
                self.answers.push_back(ToGuest::reset(ports));
            }
        }
        Ok(Outcome::Used(0))
    }

    fn request(&mut self, packet: &FromGuest) {
        let ports = packet.ports;
        if let Some(connection) = self.connections.get(&ports) {
            let closing = connection.stage == Stage::Closing;
            self.drop_connection(ports);
            if !closing {
                self.answers.push_back(ToGuest::reset(ports));
                return;
            }
        }
        let twice = self.withdraw(ports);
        let honest = packet.window.forwarded == 0;
        if twice || !honest || self.is_full() || self.requests.len() >= REQUESTS_MAX {
            self.answers.push_back(ToGuest::reset(ports));
            return;
        }
        let id = self.next_request;
        self.next_request = id.wrapping_add(1);
        let request = Request {
            ports,
            window: packet.window,
        };
        self.requests.insert(id, Some(request));
        self.host.request(id, ports.host);
    }

    /// Forgets a request of the guest but for its id, which the host will still answer.
    fn withdraw(&mut self, ports: Ports) -> bool {
        let waiting = self
            .requests
            .values_mut()
            .find(|request| request.as_ref().is_some_and(|it| it.ports == ports));
        waiting.is_some_and(|request| request.take().is_some())
    }

    /// A packet for a connection that exists.
    fn step(
        &mut self,
        memory: &GuestMemory,
        chain: &mut Chain,
        packet: &FromGuest,
        operation: Operation,
    ) -> Result<(), Violation> {
        let connection = self.connections.get_mut(&packet.ports).ok_or(Violation)?;
        connection.hear(packet.window)?;
        match operation {
            Operation::Response if connection.stage == Stage::Dialled => {
                connection.stage = Stage::Open;
            }
            Operation::Shutdown => connection.shut_down(packet.flags),
            Operation::Data => {
                // Checked before anything is copied.
                if packet.length > connection.room() {
                    return Err(Violation);
                }
                let mut data = vec![0; packet.length as usize];
                chain
                    .readable
                    .read(memory, &mut data)
                    .map_err(|_| Violation)?;
                connection.accept(&data)?;
            }
            Operation::CreditUpdate => {}
            Operation::CreditRequest => connection.asked = true,
            Operation::Request | Operation::Response | Operation::Reset => return Err(Violation),
        }
        if connection.is_over() {
            self.reset_connection(packet.ports);
        }
        Ok(())
    }

    /// Sends the guest what waits for it, apart from data; rings for the worker where there is more to wait for.
    fn settle(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        self.send_answers(queues)?;
        let more = self.connections.values().any(|connection| {
            let wanted = connection.wanted(!self.starved);
            match (wanted, connection.polled) {
                (Some(wanted), Some(polled)) => !polled.contains(wanted),
                (wanted, _) => wanted.is_some(),
            }
        });
        if more {
            self.bell.ring();
        }
        Ok(())
    }

    fn send_answers(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        let Self {
            guest_cid,
            connections,
            answers,
            starved,
            ..
        } = self;
        let mut spare = false;
        queues.serve(RECEIVE, |memory, chain| {
            let packet = answers.front().copied().or_else(|| {
                let mut owing = connections.iter_mut().filter(|(_, it)| it.owes_update());
                owing
                    .next()
                    .map(|(ports, it)| ToGuest::plain(*ports, Operation::CreditUpdate, it.tell()))
            });
            let Some(packet) = packet else {
                spare = true;
                return Ok(Outcome::Later);
            };
            chain.writable.write(memory, &packet.to_bytes(*guest_cid))?;
            answers.pop_front();
            Ok(Outcome::Used(chain.writable.passed()))
        })?;
        if spare {
            *starved = false;
        } else if !answers.is_empty() {
            *starved = true;
        }
        Ok(())
    }

    /// Moves bytes of one connection from the host to the guest. `hung_up`: the host's end is gone.
    fn pump(&mut self, ports: Ports, hung_up: bool, queues: &mut Queues) -> Result<(), Broken> {
        let Self {
            guest_cid,
            connections,
            data,
            starved,
            answers,
            ..
        } = self;
        let Some(connection) = connections.get_mut(&ports) else {
            return Ok(());
        };
        let mut turns = 0;
        let mut ended = false;
        let mut had_buffer = false;
        if connection.readable_wanted() && answers.is_empty() {
            queues.serve(RECEIVE, |memory, chain| {
                had_buffer = true;
                let room = chain
                    .writable
                    .remaining()
                    .saturating_sub(HEADER_SIZE as u64);
                if room == 0 {
                    return Err(Broken::RequestTooShort);
                }
                let most = room
                    .min(u64::from(connection.credit()))
                    .min(DATA_MAX as u64);
                let most = usize::try_from(most).unwrap_or(DATA_MAX);
                if most == 0 || turns == TURN {
                    return Ok(Outcome::Later);
                }
                turns += 1;
                let (buffer, _) = data.split_at_mut(most);
                match connection.read(buffer) {
                    Read::Nothing => Ok(Outcome::Later),
                    Read::End => {
                        ended = true;
                        Ok(Outcome::Later)
                    }
                    Read::Data(count) => {
                        let length = u32::try_from(count).unwrap_or(0);
                        let packet = ToGuest {
                            ports,
                            operation: Operation::Data,
                            length,
                            flags: 0,
                            window: connection.tell(),
                        };
                        connection.count_sent(length);
                        had_buffer = false;
                        chain.writable.write(memory, &packet.to_bytes(*guest_cid))?;
                        let bytes = buffer.get(..count).unwrap_or_default();
                        chain.writable.write(memory, bytes)?;
                        Ok(Outcome::Used(chain.writable.passed()))
                    }
                }
            })?;
            *starved |= !had_buffer;
        }
        if ended {
            connection.reading_done = true;
        }
        if hung_up && !connection.readable_wanted() {
            self.finish(ports);
        } else if ended {
            let packet = ToGuest {
                ports,
                operation: Operation::Shutdown,
                length: 0,
                flags: SHUTDOWN_SEND,
                window: connection.tell(),
            };
            self.answers.push_back(packet);
        }
        Ok(())
    }

    /// The host's end is gone for good: tells the guest so and forgets the connection.
    fn finish(&mut self, ports: Ports) {
        let Some(connection) = self.connections.get_mut(&ports) else {
            return;
        };
        if connection.stage == Stage::Open {
            let packet = ToGuest {
                ports,
                operation: Operation::Shutdown,
                length: 0,
                flags: SHUTDOWN_BOTH,
                window: connection.tell(),
            };
            self.answers.push_back(packet);
            self.drop_connection(ports);
        } else {
            self.reset_connection(ports);
        }
    }
}

impl Device for Vsock {
    fn device_type(&self) -> u32 {
        DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        FEATURE_STREAM
    }

    fn queue_sizes(&self) -> &[u16] {
        // Receive, transmit, events.
        &[128, 128, 8]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        copy_config(&self.guest_cid.to_le_bytes(), offset, data);
    }

    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken> {
        match queue {
            RECEIVE => {
                self.starved = false;
                self.send_answers(queues)?;
            }
            TRANSMIT => {}
            // Events tell of a migration, which does not happen.
            _ => return Ok(()),
        }
        // Answers that went out make room for packets that were left.
        queues.serve(TRANSMIT, |memory, chain| self.packet(memory, chain))?;
        self.settle(queues)
    }

    fn reset(&mut self) {
        for connection in self.connections.values() {
            connection.end();
        }
        self.connections.clear();
        for request in self.requests.values_mut() {
            *request = None;
        }
        self.answers.clear();
        self.starved = false;
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests;
