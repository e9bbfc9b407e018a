//! Which base a kept overlay lies over: told by the base's bytes, so that an overlay is never laid over another one, whatever the
//! files are called and wherever they were copied.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use ring::digest::{Context, SHA256};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

const BLOCK: usize = 4096;

/// SHA-256 of the length (64 bits, little-endian) and of each block of 4 KiB that is not all zero, each with its offset (the same)
/// before it; the last block ends with the file. A base of zeros alone, under which an overlay holds all there is, has the
/// identity zero. Holes are not read, and where a file has holes makes no difference.
///
/// # Errors
/// The file cannot be read.
pub fn identity(file: &File) -> io::Result<[u8; 32]> {
    let length = seek(file, SeekFrom::End(0))?;
    let mut digest = Context::new(&SHA256);
    digest.update(&length.to_le_bytes());
    let mut buffer = vec![0; 64 * BLOCK];
    let mut at = 0;
    let mut is_empty = true;
    while at < length {
        at = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data & !(BLOCK as u64 - 1),
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let count = usize::try_from(length - at).unwrap_or(usize::MAX);
        let count = count.min(buffer.len());
        let part = buffer.get_mut(..count).unwrap_or_default();
        file.read_exact_at(part, at)?;
        for block in part.chunks(BLOCK) {
            if block.iter().any(|byte| *byte != 0) {
                is_empty = false;
                digest.update(&at.to_le_bytes());
                digest.update(block);
            }
            at += block.len() as u64;
        }
    }
    let mut identity = [0; 32];
    if !is_empty {
        let digest = digest.finish();
        identity.copy_from_slice(digest.as_ref());
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(length: u64, parts: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    #[test]
    fn bytes_make_a_base_and_holes_do_not() {
        let of = |length, parts: &[(u64, &[u8])]| identity(&file(length, parts)).unwrap();
        let zeros = vec![0; 1 << 20];
        assert_eq!(of(1 << 40, &[]), [0; 32]);
        assert_eq!(of(1 << 20, &[(0, &zeros)]), [0; 32]);
        let one = of(1 << 30, &[(1 << 20, b"word")]);
        assert_ne!(one, [0; 32]);
        let dense: [(u64, &[u8]); 2] = [(0, &zeros), (1 << 20, b"word")];
        assert_eq!(of(1 << 30, &dense), one);
        for other in [
            of(1 << 29, &[(1 << 20, b"word")]),
            of(1 << 30, &[(1 << 21, b"word")]),
            of(1 << 30, &[(1 << 20, b"work")]),
            of((1 << 20) + 5, &[(1 << 20, b"word")]),
        ] {
            assert_ne!(other, one);
        }
    }

    #[test]
    fn an_overlay_is_refused_over_another_base() {
        use zone_virtio::block::{FileVolume, Overlay};
        let kept = file(0, &[]);
        let open = |base: File| {
            let identity = identity(&base).unwrap();
            let volume = FileVolume::open(base).unwrap();
            Overlay::open(volume, kept.try_clone().unwrap(), identity).map(drop)
        };
        let base = || file(1 << 20, &[(4096, b"first release")]);
        open(base()).unwrap();
        open(base()).unwrap();
        let other = open(file(1 << 20, &[(4096, b"other release")])).unwrap_err();
        let text = other.to_string();
        assert!(text.contains("belongs to another base"), "{text}");
        assert!(text.contains("put that base back"), "{text}");
    }
}
