//! Entry for fuzzing: must not panic nor keep more than allowed, whatever the bytes.

use crate::{Agent, ClipKind, Event};

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
                Event::Released | Event::Refused(_) => {}
            }
        }
        let output = agent.take_output(100);
        assert!(output.len() <= 100, "more than asked for");
    }
}
