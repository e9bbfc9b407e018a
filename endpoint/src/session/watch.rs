//! One epoll descriptor for everything that can happen to the zones, so that any loop can wait for a session by one descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// What a descriptor belongs to. The incarnation tells a zone's process from the one before it, whose events may still be in the
/// kernel's list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) source: Source,
    pub(super) zone: u16,
    pub(super) incarnation: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Source {
    /// The zone link.
    Link = 0,
    /// The zone process's standard output and error.
    Output = 1,
    /// The zone process itself: readable when it has ended.
    Process = 2,
    /// A thread that opened an image or tried a passphrase.
    Bell = 3,
    /// The policy's source has news.
    Policy = 4,
    /// USB devices have news.
    Devices = 5,
    /// A program has an order about zones.
    Door = 6,
}

impl Token {
    fn to_data(self) -> EventData {
        let bits = u64::from(self.source as u8) << 48
            | u64::from(self.zone) << 32
            | u64::from(self.incarnation);
        EventData::new_u64(bits)
    }

    fn from_data(data: EventData) -> Option<Self> {
        let [_, source, zone_high, zone_low, incarnation @ ..] = data.u64().to_be_bytes();
        let sources = [
            Source::Link,
            Source::Output,
            Source::Process,
            Source::Bell,
            Source::Policy,
            Source::Devices,
            Source::Door,
        ];
        Some(Self {
            source: sources.into_iter().find(|known| *known as u8 == source)?,
            zone: u16::from_be_bytes([zone_high, zone_low]),
            incarnation: u32::from_be_bytes(incarnation),
        })
    }
}

/// The epoll descriptor, and the bell that threads ring.
#[derive(Debug)]
pub(super) struct Watch {
    epoll: OwnedFd,
    bell: std::sync::Arc<OwnedFd>,
}

impl Watch {
    pub(super) fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let watch = Self {
            epoll,
            bell: bell.into(),
        };
        watch.add_global(&*watch.bell, Source::Bell)?;
        Ok(watch)
    }

    /// Waits for something that belongs to no zone.
    pub(super) fn add_global(&self, descriptor: impl AsFd, source: Source) -> Result<(), Errno> {
        self.add(
            descriptor,
            Token {
                source,
                zone: 0,
                incarnation: 0,
            },
        )
    }

    /// What threads ring by [`ring`] when they have something to say.
    pub(super) fn bell(&self) -> std::sync::Arc<OwnedFd> {
        std::sync::Arc::clone(&self.bell)
    }

    pub(super) fn add(&self, descriptor: impl AsFd, token: Token) -> Result<(), Errno> {
        epoll::add(&self.epoll, descriptor, token.to_data(), EventFlags::IN)
    }

    /// Waits for input (or not) and for room to write (or not).
    pub(super) fn modify(&self, descriptor: impl AsFd, token: Token, input: bool, output: bool) {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, input);
        flags.set(EventFlags::OUT, output);
        if let Err(errno) = epoll::modify(&self.epoll, descriptor, token.to_data(), flags) {
            tracing::error!("a descriptor of {token:?} is not watched any more: {errno}");
        }
    }

    pub(super) fn remove(&self, descriptor: impl AsFd) {
        // Closing does the same once every copy is closed; a copy may be on its way to a zone process that starts just now.
        let _ = epoll::delete(&self.epoll, descriptor);
    }

    /// What happened, without waiting.
    pub(super) fn ready(&self) -> Vec<Token> {
        let mut events: Vec<Event> = Vec::with_capacity(64);
        let no_wait = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&no_wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => tracing::error!("waiting for zones failed: {errno}"),
        }
        let tokens: Vec<Token> = events
            .iter()
            .filter_map(|event| Token::from_data(event.data))
            .collect();
        if tokens.iter().any(|token| token.source == Source::Bell) {
            let mut count = [0; 8];
            let _ = rustix::io::read(&*self.bell, &mut count);
        }
        tokens
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Wakes whoever waits for the session.
pub(super) fn ring(bell: &OwnedFd) {
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for source in [
            Source::Link,
            Source::Output,
            Source::Process,
            Source::Bell,
            Source::Policy,
            Source::Devices,
            Source::Door,
        ] {
            for (zone, incarnation) in [(0, 0), (63, 1), (u16::MAX, u32::MAX)] {
                let token = Token {
                    source,
                    zone,
                    incarnation,
                };
                assert_eq!(Token::from_data(token.to_data()), Some(token));
            }
        }
        assert_eq!(Token::from_data(EventData::new_u64(u64::MAX)), None);
    }

    #[test]
    fn a_bell_wakes_once() {
        let watch = Watch::new().unwrap();
        assert!(watch.ready().is_empty());
        ring(&watch.bell());
        ring(&watch.bell());
        assert_eq!(watch.ready().len(), 1);
        assert!(watch.ready().is_empty());
    }
}
