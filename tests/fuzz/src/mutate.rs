//! Inputs: the seeds, then mutations of a pool that begins with them.

/// A small generator of random numbers (xorshift64*): what matters here is speed and that a run can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`; 0 if there is none.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the remainder is below a usize"
    )]
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit.max(1) as u64)) as usize
    }
}

/// Numbers at the ends of ranges.
const INTERESTING: [u64; 14] = [
    0,
    1,
    7,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    u64::MAX,
];
/// Inputs kept to be mutated further.
const POOL: usize = 256;

/// Makes inputs without end.
pub struct Mutator {
    random: Random,
    longest: usize,
    seeds: std::vec::IntoIter<Vec<u8>>,
    pool: Vec<Vec<u8>>,
}

impl Mutator {
    /// The same seed and seeds give the same inputs.
    pub fn new(seed: u64, longest: usize, seeds: Vec<Vec<u8>>) -> Self {
        let mut pool = seeds.clone();
        pool.push(Vec::new());
        // An odd multiple keeps small seeds apart and never makes the state zero.
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self {
            random,
            longest,
            seeds: seeds.into_iter(),
            pool,
        }
    }

    /// The next input. There is always one.
    pub fn next_input(&mut self) -> Option<Vec<u8>> {
        if let Some(seed) = self.seeds.next() {
            return Some(seed);
        }
        let random = &mut self.random;
        let mut input = if random.below(8) == 0 {
            let length = random.below(self.longest.min(512));
            (0..length)
                .map(|_| random.next().to_le_bytes()[0])
                .collect()
        } else {
            self.pool
                .get(random.below(self.pool.len()))
                .cloned()
                .unwrap_or_default()
        };
        for _ in 0..=random.below(6) {
            mutate(&mut input, random, &self.pool);
        }
        input.truncate(self.longest);
        // Without coverage nothing says which inputs are worth keeping; keeping some at random lets mutations add up.
        if random.below(64) == 0 {
            if self.pool.len() < POOL {
                self.pool.push(input.clone());
            } else {
                let place = random.below(POOL);
                if let Some(old) = self.pool.get_mut(place) {
                    old.clone_from(&input);
                }
            }
        }
        Some(input)
    }
}

fn mutate(input: &mut Vec<u8>, random: &mut Random, pool: &[Vec<u8>]) {
    let at = random.below(input.len());
    match random.below(8) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.next().to_le_bytes()[0];
            }
        }
        2 => {
            let number = INTERESTING[random.below(INTERESTING.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)];
            for (byte, new) in input.iter_mut().skip(at).zip(&number[..width]) {
                *byte = *new;
            }
        }
        3 => {
            let length = random.below(16) + 1;
            let end = (at + length).min(input.len());
            input.drain(at..end);
        }
        4 => {
            let length = random.below(32) + 1;
            let bytes: Vec<u8> = (0..length)
                .map(|_| random.next().to_le_bytes()[0])
                .collect();
            input.splice(at..at, bytes);
        }
        5 => {
            let end = (at + random.below(64)).min(input.len());
            let part = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, part);
        }
        6 => {
            if let Some(other) = pool.get(random.below(pool.len())) {
                let from = random.below(other.len());
                input.truncate(at);
                input.extend_from_slice(other.get(from..).unwrap_or_default());
            }
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = byte.wrapping_add([1, 255, 16, 240][random.below(4)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_can_be_repeated_and_begins_with_the_seeds() {
        let seeds = vec![b"one".to_vec(), b"two".to_vec()];
        let run = || {
            let mut mutator = Mutator::new(7, 100, seeds.clone());
            (0..5000)
                .map(|_| mutator.next_input().unwrap())
                .collect::<Vec<_>>()
        };
        let inputs = run();
        assert_eq!(inputs[..2], seeds[..]);
        assert_eq!(inputs, run());
        assert!(inputs.iter().all(|input| input.len() <= 100));
        let distinct: std::collections::HashSet<_> = inputs.iter().collect();
        assert!(
            distinct.len() > 4000,
            "only {} inputs differ",
            distinct.len()
        );
    }
}
