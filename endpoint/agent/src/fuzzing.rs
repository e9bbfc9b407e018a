//! Entry for fuzzing: must not panic nor keep more than allowed, whatever the bytes.

use crate::{Agent, ClipKind, Event, Offer, Outbox};

/// What an agent may bring while fuzzing.
const LIMIT: usize = 512;

/// The bytes as a hostile agent's stream, in pieces whose sizes they state themselves. Half of the time something was asked for.
pub fn fuzz_stream(bytes: &[u8]) {
    let Some((first, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut agent = Agent::new(LIMIT);
    if first & 1 != 0 {
        agent.request(ClipKind::Text);
    }
    if first & 2 != 0 {
        agent.send_file("a", zeroize::Zeroizing::new(vec![b'x'; LIMIT]));
    }
    while let Some((size, after)) = rest.split_first() {
        let (piece, later) = after.split_at(usize::from(*size).min(after.len()));
        rest = later;
        let Ok(events) = agent.receive(piece) else {
            return;
        };
        for event in events {
            match event {
                Event::Data(contents) => {
                    assert!(contents.bytes().len() <= LIMIT, "more than the limit");
                    let clean = contents.without_escapes();
                    assert!(
                        std::str::from_utf8(clean.bytes()).is_ok()
                            || clean.kind() != ClipKind::Text
                    );
                }
                Event::Wanted(_) => agent.provide_nothing(),
                Event::Copied(kinds) => kinds
                    .first()
                    .into_iter()
                    .for_each(|kind| agent.request(*kind)),
                Event::Released | Event::Refused(_) | Event::File(_) => {}
            }
        }
        let output = agent.take_output(100);
        assert!(output.len() <= 100, "more than asked for");
    }
}

/// The bytes as a hostile guest's outbox. What is offered is asked for.
pub fn fuzz_outbox(bytes: &[u8]) {
    let mut outbox = Outbox::new(LIMIT);
    for piece in bytes.chunks(7) {
        for offer in outbox.receive(piece) {
            match offer {
                Offer::File(_) => outbox.request(),
                Offer::Data(data) => assert!(data.len() <= LIMIT, "more than the limit"),
                Offer::Withdrawn | Offer::Refused(_) => {}
            }
        }
    }
}
