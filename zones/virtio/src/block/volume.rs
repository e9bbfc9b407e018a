//! What a block device stands on: bytes at offsets.
//!
//! Callers stay inside `len()` rounded up to a sector; a volume answers what lies between its end and that with zeroes.

use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::FileExt;

/// A disk's bytes.
pub trait Volume: Send {
    /// Fills `buffer` from `offset`. Bytes past the end read as zero.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes everything written so far outlive the process, if the volume is one that does.
    fn flush(&mut self) -> io::Result<()>;

    /// Length in bytes; does not change.
    fn len(&self) -> u64;

    /// Whether the volume has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether writes are refused.
    fn read_only(&self) -> bool;

    /// Makes `length` bytes from `offset` read as zero.
    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        const ZEROES: [u8; 4096] = [0; 4096];
        let mut offset = offset;
        let mut left = length;
        while left > 0 {
            let step = left.min(ZEROES.len() as u64);
            let zeroes = usize::try_from(step)
                .ok()
                .and_then(|step| ZEROES.get(..step));
            self.write_at(offset, zeroes.unwrap_or(&ZEROES))?;
            offset = offset.saturating_add(step);
            left = left.saturating_sub(step);
        }
        Ok(())
    }
}

impl<V: Volume + ?Sized> Volume for Box<V> {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_only(&self) -> bool {
        (**self).read_only()
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        (**self).write_zeroes(offset, length)
    }
}

/// A file's length, by a seek: in the jail nothing may be asked about files by path, and that is how the standard library asks.
pub(crate) fn length(mut file: &File) -> io::Result<u64> {
    file.seek(io::SeekFrom::End(0))
}

/// A file that is only read: a guest image.
pub struct FileVolume {
    file: File,
    length: u64,
}

impl FileVolume {
    /// Takes the file's length as it is now. If the file shrinks later, what is gone reads as zero.
    pub fn open(file: File) -> io::Result<Self> {
        let length = length(&file)?;
        Ok(Self { file, length })
    }
}

impl Volume for FileVolume {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        read_or_zero(&self.file, offset, buffer)
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read_only(&self) -> bool {
        true
    }
}

/// Nothing but zeroes: the base of a volume that starts out empty.
pub struct Blank {
    length: u64,
}

impl Blank {
    /// A blank volume of `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { length }
    }
}

impl Volume for Blank {
    fn read_at(&mut self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        Ok(())
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read_only(&self) -> bool {
        true
    }
}

/// Fills `buffer` from `offset`, with zeroes where the file has ended.
pub(super) fn read_or_zero(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut offset = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        match file.read_at(rest, offset) {
            Ok(0) => {
                rest.fill(0);
                return Ok(());
            }
            Ok(count) => {
                offset = offset.saturating_add(count as u64);
                rest = rest
                    .split_at_mut_checked(count)
                    .map_or(&mut [], |(_, later)| later);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
