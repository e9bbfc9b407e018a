//! Puts kernel, initramfs and device tree into guest RAM.
//!
//! The kernel is a RISC-V Linux `Image`. It is a file that came with the zone's image, so its header is not trusted.
//! Source: kernel documentation, "Boot image header in RISC-V Linux".

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use vm_memory::{Bytes, GuestAddress};
use zone_virtio::GuestMemory;

use crate::board::RAM_BASE;

const HEADER_LENGTH: usize = 64;
const MAGIC: &[u8] = b"RSC\x05";
/// Alignment of everything but the kernel.
const ALIGNMENT: u64 = 0x20_0000;
/// Room for the device tree at the end of RAM.
const TREE_ROOM: u64 = 0x20_0000;

/// Why a guest cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// Reading a file failed.
    #[error("the {what} cannot be read")]
    Read {
        /// "kernel" or "initramfs".
        what: &'static str,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Not a RISC-V Linux image.
    #[error("the kernel is not an uncompressed RISC-V Linux Image")]
    NotAKernel,
    /// Everything together needs more RAM than the zone has.
    #[error("kernel and initramfs do not fit into {megabytes} MiB of memory; give the zone more")]
    TooLarge {
        /// The zone's RAM.
        megabytes: u64,
    },
    /// Guest RAM could not be written.
    #[error("guest memory cannot be written")]
    Memory(#[from] vm_memory::GuestMemoryError),
    /// The device tree could not be made.
    #[error("the device tree cannot be made")]
    Tree(#[from] vm_fdt::Error),
}

/// Where things are, once loaded.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// Where the first hart starts.
    pub entry: u64,
    /// Guest physical range of the initramfs.
    pub initramfs: Option<(u64, u64)>,
    /// Where the device tree goes.
    pub tree: u64,
}

/// Loads kernel and initramfs into RAM of `length` bytes at [`RAM_BASE`].
pub fn load(
    memory: &GuestMemory,
    length: u64,
    kernel: &File,
    initramfs: Option<&File>,
) -> Result<Loaded, BootError> {
    let too_large = BootError::TooLarge {
        megabytes: length >> 20,
    };
    let kernel_size = size(kernel, "kernel")?;
    let mut header = [0; HEADER_LENGTH];
    kernel
        .read_exact_at(&mut header, 0)
        .map_err(|_| BootError::NotAKernel)?;
    if &header[56..60] != MAGIC {
        return Err(BootError::NotAKernel);
    }
    let text_offset = u64::from_le_bytes([
        header[8], header[9], header[10], header[11], header[12], header[13], header[14],
        header[15],
    ]);
    let image_size = u64::from_le_bytes([
        header[16], header[17], header[18], header[19], header[20], header[21], header[22],
        header[23],
    ]);
    let entry = RAM_BASE
        .checked_add(text_offset)
        .ok_or(BootError::NotAKernel)?;
    let kernel_end = text_offset
        .checked_add(image_size.max(kernel_size))
        .ok_or(BootError::NotAKernel)?;
    let tree = length.checked_sub(TREE_ROOM).ok_or(too_large)?;
    let initramfs_size = initramfs.map_or(Ok(0), |file| size(file, "initramfs"))?;
    let initramfs_start = tree
        .checked_sub(initramfs_size)
        .ok_or(BootError::TooLarge {
            megabytes: length >> 20,
        })?
        & !(ALIGNMENT - 1);
    if kernel_end > initramfs_start {
        return Err(BootError::TooLarge {
            megabytes: length >> 20,
        });
    }
    copy(memory, kernel, kernel_size, entry, "kernel")?;
    let initramfs = match initramfs {
        Some(file) => {
            let start = RAM_BASE + initramfs_start;
            copy(memory, file, initramfs_size, start, "initramfs")?;
            Some((start, start + initramfs_size))
        }
        None => None,
    };
    Ok(Loaded {
        entry,
        initramfs,
        tree: RAM_BASE + tree,
    })
}

/// Writes the device tree where [`load`] said.
pub fn place_tree(memory: &GuestMemory, at: u64, tree: &[u8]) -> Result<(), BootError> {
    Ok(memory.write_slice(tree, GuestAddress(at))?)
}

fn size(file: &File, what: &'static str) -> Result<u64, BootError> {
    // By a seek: in the jail nothing may be asked about files by path, and that is how the standard library asks.
    let mut file = file;
    file.seek(SeekFrom::End(0))
        .map_err(|source| BootError::Read { what, source })
}

fn copy(
    memory: &GuestMemory,
    file: &File,
    size: u64,
    to: u64,
    what: &'static str,
) -> Result<(), BootError> {
    let mut chunk = vec![0; 1 << 20];
    let mut done = 0;
    while done < size {
        let length = usize::try_from(size - done)
            .unwrap_or(usize::MAX)
            .min(chunk.len());
        let part = &mut chunk[..length];
        file.read_exact_at(part, done)
            .map_err(|source| BootError::Read { what, source })?;
        memory.write_slice(part, GuestAddress(to + done))?;
        done += length as u64;
    }
    Ok(())
}
