//! The thread that waits for the host's descriptors.
//!
//! It sleeps in poll without a deadline. It is woken by a descriptor that is ready for what its connection wants, or by
//! the bell, which the device rings when a connection wants more than the thread waits for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags};

use super::Vsock;
use super::packet::Ports;
use crate::chain::Broken;
use crate::queues::Queues;
use crate::transport::Handle;

/// Wakes the worker.
pub(super) struct Bell {
    event: OwnedFd,
    stop: AtomicBool,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            event: rustix::event::eventfd(0, flags)?,
            stop: AtomicBool::new(false),
        })
    }

    pub(super) fn ring(&self) {
        // Fails only if it has rung 2^64 times unheard.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    fn hear(&self) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }
}

/// The running thread; dropping it ends the thread.
pub(super) struct Worker {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(handle: Handle<Vsock>, bell: Arc<Bell>) -> io::Result<Self> {
        let heard = Arc::clone(&bell);
        let thread = std::thread::Builder::new()
            .name("vsock".into())
            .spawn(move || run(&handle, &heard))?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.bell.stop.store(true, Ordering::SeqCst);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A descriptor to wait for, kept open while the thread sleeps.
struct Watched {
    ports: Ports,
    serial: u64,
    stream: Arc<OwnedFd>,
    wanted: PollFlags,
}

fn run(handle: &Handle<Vsock>, bell: &Bell) {
    while !bell.stop.load(Ordering::SeqCst) {
        let watched = handle.with(|vsock, _| Ok(vsock.watch()));
        let mut fds = vec![PollFd::new(&bell.event, PollFlags::IN)];
        let streams = watched
            .iter()
            .map(|it| PollFd::from_borrowed_fd(it.stream.as_fd(), it.wanted));
        fds.extend(streams);
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::warn!(%error, "the guest's sockets stop: waiting for them failed");
                handle.with(|vsock, queues| vsock.reset_all(queues));
                return;
            }
        }
        bell.hear();
        let events: Vec<PollFlags> = fds.iter().skip(1).map(PollFd::revents).collect();
        drop(fds);
        handle.with(|vsock, queues| {
            for (it, events) in watched.iter().zip(&events) {
                vsock.ready(it, *events, queues)?;
            }
            vsock.settle(queues)
        });
    }
}

impl Vsock {
    /// What to wait for from now on.
    fn watch(&mut self) -> Vec<Watched> {
        let guest_has_buffers = !self.starved;
        let mut watched = Vec::new();
        for (ports, connection) in &mut self.connections {
            connection.polled = connection.wanted(guest_has_buffers);
            if let Some(wanted) = connection.polled {
                watched.push(Watched {
                    ports: *ports,
                    serial: connection.serial,
                    stream: Arc::clone(&connection.stream),
                    wanted,
                });
            }
        }
        watched
    }

    fn ready(
        &mut self,
        watched: &Watched,
        events: PollFlags,
        queues: &mut Queues,
    ) -> Result<(), Broken> {
        let ports = watched.ports;
        let Some(connection) = self.connections.get_mut(&ports) else {
            return Ok(());
        };
        // The ports may have been used anew while the thread slept.
        if connection.serial != watched.serial || events.is_empty() {
            return Ok(());
        }
        connection.write();
        if connection.is_over() {
            self.reset_connection(ports);
            return Ok(());
        }
        let hung_up = events.intersects(PollFlags::HUP | PollFlags::ERR);
        self.pump(ports, hung_up, queues)
    }

    fn reset_all(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        let all: Vec<Ports> = self.connections.keys().copied().collect();
        for ports in all {
            self.reset_connection(ports);
        }
        self.settle(queues)
    }
}
