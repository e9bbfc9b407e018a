//! Entry point for fuzzers: any bytes, either direction, with any small set of descriptors. It panics where an invariant breaks.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::{Conversation, Event, FromZone, Size, Surface, ToZone};

/// Decodes `data` as either direction's message and checks that what was accepted encodes to the same bytes; then plays `data` as
/// a row of messages to a [`Conversation`] and checks that what passes is inside its bounds.
///
/// The first byte says how many descriptors come with the message and of which kind.
///
/// # Panics
/// When an invariant of the crate is broken.
pub fn fuzz_decode(data: &[u8]) {
    let Some((selector, message)) = data.split_first() else {
        return;
    };
    if let Ok(decoded) = FromZone::decode(message, Vec::new()) {
        let mut again = Vec::new();
        decoded
            .encode(&mut again)
            .expect("what was decoded can be encoded");
        assert_eq!(again, message, "one message has one encoding");
    }
    if let Ok(decoded) = ToZone::decode(message, descriptors(*selector)) {
        let mut again = Vec::new();
        decoded
            .encode(&mut again)
            .expect("what was decoded can be encoded");
        assert_eq!(again, message, "one message has one encoding");
    }
    converse(message);
}

/// True when `data`, read as [`fuzz_decode`] reads it, is a message to a zone: so a fuzzer's seeds can be held against the decoder.
#[must_use]
pub fn decodes(data: &[u8]) -> bool {
    let Some((selector, message)) = data.split_first() else {
        return false;
    };
    ToZone::decode(message, descriptors(*selector)).is_ok()
}

/// Plays messages, each with its 16-bit length before it.
fn converse(mut data: &[u8]) {
    let size = Size::new(640, 480).expect("a good size");
    let mut conversation = Conversation::default();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        data = rest;
        let Ok(message) = FromZone::decode(message, Vec::new()) else {
            return;
        };
        let Ok(event) = conversation.accept(message) else {
            return;
        };
        match event {
            Event::Hello(_) => {
                assert!(conversation.start());
                conversation.offer_surface(size);
            }
            Event::Damage(damage) => {
                for rectangle in damage.rectangles {
                    assert_eq!(rectangle.clip(size), Some(rectangle), "damage is clipped");
                }
            }
            Event::PortData(port, bytes) => {
                let _ = conversation.consumed(port, bytes.length());
            }
            _ => {}
        }
    }
}

fn descriptors(selector: u8) -> Vec<OwnedFd> {
    let count = usize::from(selector & 3);
    let one = || -> Option<OwnedFd> {
        match selector >> 2 & 3 {
            0 => File::open("/dev/null").ok().map(OwnedFd::from),
            1 => UnixStream::pair().ok().map(|(end, _)| OwnedFd::from(end)),
            2 => Surface::new(Size::new(4, 4)?).ok()?.share().ok(),
            _ => File::open("/proc/self/exe").ok().map(OwnedFd::from),
        }
    };
    std::iter::repeat_with(one).take(count).flatten().collect()
}
