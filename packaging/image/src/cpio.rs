//! The initramfs' container: a "newc" cpio archive (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Written by hand because it is small and because each field must be the same on every host: inode numbers count up, times and
//! owners are zero. It stays uncompressed: an interpreted CPU copies faster than it inflates.

use std::io::{self, Write};

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const TRAILER: &str = "TRAILER!!!";

/// Writes entries in the order they are added; a directory must come before what is in it.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    written: u64,
    inodes: u32,
}

impl<W: Write> Writer<W> {
    /// An empty archive into `sink`.
    pub const fn new(sink: W) -> Self {
        Self {
            sink,
            written: 0,
            inodes: 0,
        }
    }

    /// Adds a directory.
    pub fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY | 0o755, 2, &[])
    }

    /// Adds a file; `mode` is the permission bits.
    pub fn file(&mut self, path: &str, mode: u32, contents: &[u8]) -> io::Result<()> {
        self.entry(path, REGULAR | mode, 1, contents)
    }

    /// Ends the archive and gives the sink back.
    pub fn finish(mut self) -> io::Result<W> {
        self.inodes = u32::MAX;
        self.entry(TRAILER, 0, 1, &[])?;
        Ok(self.sink)
    }

    fn entry(&mut self, path: &str, mode: u32, links: u32, contents: &[u8]) -> io::Result<()> {
        let too_long =
            |_| io::Error::new(io::ErrorKind::InvalidInput, "too long for a cpio archive");
        let size = u32::try_from(contents.len()).map_err(too_long)?;
        let name_size = u32::try_from(path.len().saturating_add(1)).map_err(too_long)?;
        self.inodes = self.inodes.wrapping_add(1);
        let fields = [
            self.inodes,
            mode,
            0, // owner
            0, // group
            links,
            0, // time
            size,
            0, // device, major
            0, // device, minor
            0, // special file, major
            0, // special file, minor
            name_size,
            0, // check sum, unused in newc
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.put(header.as_bytes())?;
        self.put(path.as_bytes())?;
        self.put(&[0])?;
        self.pad()?;
        self.put(contents)?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        self.sink.write_all(bytes)
    }

    /// Fills up to a multiple of four.
    fn pad(&mut self) -> io::Result<()> {
        while !self.written.is_multiple_of(4) {
            self.put(&[0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.directory("bin").expect("memory");
        writer.file("bin/odd", 0o755, b"12345").expect("memory");
        writer.file("init", 0o644, b"").expect("memory");
        writer.finish().expect("memory")
    }

    #[test]
    fn the_format_is_newc() {
        let bytes = example();
        assert!(bytes.starts_with(b"070701"), "magic");
        assert_eq!(bytes.len() % 4, 0);
        // First entry: header of 110 bytes, "bin\0", filled to 116; second entry's magic follows.
        assert_eq!(&bytes[110..114], b"bin\0");
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(&bytes[14..22], b"000041ed", "a directory, 0755");
        assert_eq!(example(), bytes, "the same every time");
    }

    /// Debian's own cpio reads back what was written.
    #[test]
    fn stock_cpio_reads_it() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let archive = directory.path().join("archive");
        std::fs::write(&archive, example()).expect("writes");
        let listing = crate::process::Program::new("cpio", "cpio", "listing")
            .args(["-t", "-v", "--numeric-uid-gid", "--quiet"])
            .stdin(std::fs::File::open(&archive).expect("opens"))
            .run_silently()
            .expect("cpio accepts it");
        let listing = String::from_utf8(listing).expect("text");
        let lines: Vec<Vec<&str>> = listing
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let summary: Vec<_> = lines
            .iter()
            .map(|words| (words[0], words[2], words[4], words[words.len() - 1]))
            .collect();
        assert_eq!(
            summary,
            [
                ("drwxr-xr-x", "0", "0", "bin"),
                ("-rwxr-xr-x", "0", "5", "bin/odd"),
                ("-rw-r--r--", "0", "0", "init"),
            ]
        );
    }
}
