//! SHA-256 of bytes and files, as a value that prints as 64 lower-case hex digits.

use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::str::FromStr;

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(digest(&SHA256, bytes).as_ref())
    }

    /// Digest and length of everything `reader` gives, which must be no more than `limit` bytes: reading stops one byte past it.
    pub(crate) fn of_reader(reader: impl Read, limit: u64) -> io::Result<(Self, u64)> {
        Self::copying(reader, &mut io::sink(), limit)
    }

    /// Like [`Sha256::of_reader`], and writes what it read to `sink`.
    pub(crate) fn copying(
        reader: impl Read,
        sink: &mut dyn io::Write,
        limit: u64,
    ) -> io::Result<(Self, u64)> {
        let mut reader = reader.take(limit.saturating_add(1));
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0u8; 1 << 18];
        let mut length = 0u64;
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let part = buffer.get(..count).unwrap_or_default();
            context.update(part);
            sink.write_all(part)?;
            length = length.saturating_add(part.len() as u64);
        }
        Ok((Self::from_digest(context.finish().as_ref()), length))
    }

    fn from_digest(bytes: &[u8]) -> Self {
        let mut value = [0; 32];
        for (to, from) in value.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self(value)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The text is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sha256 is 64 lower-case hex digits")]
pub struct NotSha256;

impl FromStr for Sha256 {
    type Err = NotSha256;

    fn from_str(text: &str) -> Result<Self, NotSha256> {
        let digits = text.as_bytes();
        let mut value = [0u8; 32];
        if digits.len() != 64 {
            return Err(NotSha256);
        }
        for (to, pair) in value.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else {
                return Err(NotSha256);
            };
            *to = (nibble(high)? << 4) | nibble(low)?;
        }
        Ok(Self(value))
    }
}

fn nibble(digit: u8) -> Result<u8, NotSha256> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotSha256),
    }
}

/// Joins parts into one digest, each with its length, so that no two lists of parts give the same input.
pub(crate) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Sha256 {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    Sha256::from_digest(context.finish().as_ref())
}

/// Short form for names and lists: the first twelve digits.
pub(crate) fn short(digest: &Sha256) -> String {
    let mut text = String::new();
    for byte in digest.0.iter().take(6) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_the_standard_and_survive_printing() {
        // FIPS 180-4's example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Sha256::of(b"abc");
        assert_eq!(digest.to_string(), expected);
        assert_eq!(expected.parse(), Ok(digest));
        assert_eq!(short(&digest), "ba7816bf8f01");
        assert_eq!(
            Sha256::of_reader(&b"abc"[..], 10).expect("memory reads"),
            (digest, 3)
        );
    }

    #[test]
    fn reading_stops_past_the_limit() {
        let (_, length) = Sha256::of_reader(io::repeat(0), 1000).expect("memory reads");
        assert_eq!(length, 1001);
    }

    #[test]
    fn other_texts_are_refused() {
        let upper = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        for text in ["", "ba", upper, &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(text.parse::<Sha256>(), Err(NotSha256), "{text}");
        }
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(of_parts([&b"ab"[..], b"c"]), of_parts([&b"a"[..], b"bc"]));
    }
}
