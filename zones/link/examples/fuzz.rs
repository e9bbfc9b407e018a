//! Fuzzes the decoder for a while: `cargo run -p zone-link --example fuzz -- --seconds 60 [--seed N]`.
//!
//! Stable Rust, no instrumentation: every case is a seed from the corpus (one of each message, and rows of messages), mutated by a
//! seeded generator. A case that breaks an invariant panics after its bytes and the seed were printed, and the exit code says so.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use zone_link::fuzzing::fuzz_decode;
use zone_link::{
    CursorImage, FromZone, Generation, Hello, LayerName, MissingLayer, Port, PortBytes, Rect,
    StreamId, Text, ToZone, ZoneState, limits,
};

fn main() -> ExitCode {
    let Some((seconds, seed)) = arguments() else {
        eprintln!("usage: fuzz [--seconds N] [--seed N]");
        return ExitCode::from(2);
    };
    let mut random = Random(seed);
    let corpus = corpus();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut cases = 0_u64;
    while Instant::now() < end {
        for _ in 0..1000 {
            let case = random.mutate(&corpus);
            if std::panic::catch_unwind(|| fuzz_decode(&case)).is_err() {
                let hex = case.iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                });
                eprintln!("case {cases} of seed {seed} broke an invariant: {hex}");
                return ExitCode::FAILURE;
            }
            cases += 1;
        }
    }
    println!("{cases} cases in {seconds} s, seed {seed}: no invariant broke");
    ExitCode::SUCCESS
}

fn arguments() -> Option<(u64, u64)> {
    let (mut seconds, mut seed) = (60, 0x5eed_b01d);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?.parse().ok()?;
        match name.as_str() {
            "--seconds" => seconds = value,
            "--seed" => seed = value,
            _ => return None,
        }
    }
    Some((seconds, seed))
}

/// xorshift64*: small, seeded, good enough to choose bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// A seed with up to eight changes: bytes set to anything or to an edge, pieces cut out, doubled, or taken from another seed.
    fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut case = corpus[self.below(corpus.len())].clone();
        for _ in 0..self.below(9) {
            if case.is_empty() {
                break;
            }
            let at = self.below(case.len());
            match self.below(6) {
                0 => case[at] = self.next().to_le_bytes()[0],
                1 => case[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => {
                    let end = (at + self.below(16)).min(case.len());
                    case.drain(at..end);
                }
                3 => {
                    let piece = case[at..(at + self.below(16)).min(case.len())].to_vec();
                    case.splice(at..at, piece);
                }
                4 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len());
                    let piece = other[from..(from + self.below(64)).min(other.len())].to_vec();
                    case.splice(at..at, piece);
                }
                _ => self.mend_length(&mut case),
            }
        }
        case
    }

    /// Makes the header's length right again, so that mutations get past it.
    fn mend_length(&mut self, case: &mut [u8]) {
        let body = u32::try_from(case.len().saturating_sub(9)).unwrap_or(0);
        if let Some(length) = case.get_mut(5..9) {
            length.copy_from_slice(&body.to_le_bytes());
        }
    }
}

/// One byte that chooses descriptors, then a message; or a row of messages, each with its length before it.
fn corpus() -> Vec<Vec<u8>> {
    let from_zone = from_zone();
    let mut corpus = Vec::new();
    let mut row = vec![0];
    for message in &from_zone {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).expect("a good message");
        row.extend(u16::try_from(bytes.len()).expect("bounded").to_le_bytes());
        row.extend(&bytes);
        bytes.insert(0, 0);
        corpus.push(bytes);
    }
    corpus.push(row);
    for message in to_zone() {
        let mut bytes = vec![0];
        message.encode(&mut bytes).expect("a good message");
        corpus.push(bytes);
    }
    corpus.extend(with_descriptors());
    corpus
}

fn from_zone() -> Vec<FromZone> {
    let layer = |name| LayerName::new(name).expect("a good name");
    let missing = MissingLayer {
        layer: layer("landlock"),
        reason: Text::lossy("not in this kernel"),
    };
    let rectangle = Rect {
        x: 1,
        y: 2,
        width: 3,
        height: 4,
    };
    let data = PortBytes::new(b"ready\n").expect("some bytes");
    vec![
        FromZone::Hello(Hello {
            in_force: vec![layer("seccomp"), layer("empty-root")],
            missing: vec![missing],
        }),
        FromZone::State(ZoneState::Starting),
        FromZone::State(ZoneState::Running),
        FromZone::Frame {
            generation: Generation(1),
            rectangles: vec![rectangle; limits::FRAME_RECTANGLES],
        },
        FromZone::Cursor(
            CursorImage::new(2, 3, 1, 2, vec![0x8000_0000; 6]).expect("a good cursor"),
        ),
        FromZone::CursorHidden,
        FromZone::PortData {
            port: Port::State,
            data,
        },
        FromZone::PortCredit {
            port: Port::Console,
            bytes: 100,
        },
        FromZone::StreamRequest {
            id: StreamId(1),
            port: 443,
        },
        FromZone::State(ZoneState::Failed(Text::lossy("out of memory"))),
    ]
}

fn to_zone() -> Vec<ToZone> {
    vec![
        ToZone::Key {
            code: 30,
            pressed: true,
        },
        ToZone::PointerMotion { x: 100, y: 200 },
        ToZone::PointerButton {
            code: 0x110,
            pressed: false,
        },
        ToZone::Wheel {
            vertical: -120,
            horizontal: 0,
        },
        ToZone::Focus(true),
        ToZone::PortData {
            port: Port::Agent,
            data: PortBytes::new(&[0; 100]).expect("some bytes"),
        },
        ToZone::PortCredit {
            port: Port::Console,
            bytes: 4096,
        },
        ToZone::StreamRefuse { id: StreamId(7) },
        ToZone::Power,
    ]
}

/// Messages with descriptors, by hand: the first byte has `fuzz_decode` make the right ones.
fn with_descriptors() -> Vec<Vec<u8>> {
    let framed = |selector: u8, kind: u16, body: &[u8]| {
        let mut bytes = vec![selector, 1, 0];
        bytes.extend(kind.to_le_bytes());
        bytes.extend(u32::try_from(body.len()).expect("bounded").to_le_bytes());
        bytes.extend(body);
        bytes
    };
    let mut start = vec![4, 0];
    start.extend(b"corp");
    start.extend(512_u32.to_le_bytes());
    start.extend(2_u16.to_le_bytes());
    start.extend(12_u16.to_le_bytes());
    start.extend(b"console=hvc0");
    start.extend([1, 1]);
    // Three read-only files; a 4 x 4 surface; a stream socket.
    vec![
        framed(3 | 3 << 2, 1, &start),
        framed(1 | 2 << 2, 2, &[1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0]),
        framed(1 | 1 << 2, 10, &[7, 0, 0, 0]),
        framed(1 | 1 << 2, 12, &[7, 0, 0, 0, 80, 0, 0, 0]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_decodes() {
        let corpus = corpus();
        assert_eq!(corpus.len(), 24);
        corpus.iter().for_each(|seed| fuzz_decode(seed));
        let decoded = with_descriptors()
            .iter()
            .all(|seed| zone_link::fuzzing::decodes(seed));
        assert!(decoded, "a seed with descriptors is not what it should be");
    }
}
