//! Runs the fuzzing entry points on the examples, cut and changed by a fixed pseudo-random hand. Fuzzers go further; this
//! runs everywhere and always the same.

use bulkhead_policy::fuzzing::{audit_lines, policy_text, signature_file};
use bulkhead_policy::{Audit, PrivateKey, SignatureFile, Timestamp};

mod support;

/// A generator of numbers that needs no other crate (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

fn changed(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut data = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(data.len() + 1);
        match numbers.below(6) {
            0 => data.truncate(at),
            1 if at < data.len() => data[at] ^= 1 << numbers.below(8),
            2 => data.insert(
                at,
                [b'"', b'\n', b'[', b'{', 0x1b, 0xff, b'=', b'#', 0xe2][numbers.below(9)],
            ),
            3 if at < data.len() => {
                let end = (at + numbers.below(40)).min(data.len());
                data.drain(at..end);
            }
            4 => {
                let end = (at + numbers.below(200)).min(data.len());
                let part = data[at..end].to_vec();
                let to = numbers.below(data.len() + 1);
                data.splice(to..to, part);
            }
            _ => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len() + 1);
                data.extend_from_slice(&other[from..(from + 100).min(other.len())]);
            }
        }
    }
    data
}

fn run(seeds: &[Vec<u8>], times: usize, target: fn(&[u8])) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for seed in seeds {
        target(seed);
    }
    for _ in 0..times {
        target(&changed(seeds, &mut numbers));
    }
}

#[test]
fn policies() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/policies");
    let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    seeds.sort();
    run(&seeds, 1_500, policy_text);
}

#[test]
fn signatures() {
    let mut file = SignatureFile::default();
    for name in ["alice", "bob"] {
        file.sign(b"policy", &PrivateKey::generate(name).unwrap());
    }
    run(
        &[
            file.to_text().into_bytes(),
            b"threshold = 1\n[[key]]\nname = \"a\"\npublic = \"ed25519:00\"\n".to_vec(),
        ],
        5_000,
        signature_file,
    );
}

#[test]
fn logs() {
    let key = PrivateKey::generate("endpoint").unwrap();
    let settings = Audit {
        segment: bulkhead_policy::ByteSize(2_000),
        ..Audit::default()
    };
    let now = Timestamp(1_772_409_600);
    let mut log = bulkhead_policy::audit::Log::open(
        support::disk::MemoryDisk::default(),
        key,
        &settings,
        now,
    )
    .unwrap();
    for number in 0..20 {
        log.append(
            bulkhead_policy::audit::Event::zone("web", "started", &format!("{number}\u{1b}")),
            now,
        )
        .unwrap();
    }
    let disk = log.close(now).unwrap();
    let seeds: Vec<Vec<u8>> = disk
        .names
        .keys()
        .filter(|name| name.ends_with(".log"))
        .map(|name| disk.content(name).unwrap().to_vec())
        .collect();
    run(&seeds, 3_000, audit_lines);
}
