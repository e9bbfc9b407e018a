//! The entry for fuzzers: boot images and all that the device tree tells of. What was loaded is compared with the files, the tree
//! is read again by a reader written from its specification.
//!
//! Source: Devicetree Specification 0.4, chapter "Flattened Devicetree (DTB) Format".

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, RwLock};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use zone_virtio::GuestMemory;

use crate::board::RAM_BASE;
use crate::boot::{self, BootError};
use crate::device_tree::{self, Description};
use crate::machine::MAX_HARTS;
use crate::plic::RTC_SOURCE;

/// Where a kernel's header says that it is one.
const MAGIC: Range<usize> = 56..60;

/// Loads a kernel and an initramfs made from `data` into a machine that it describes, too.
///
/// # Panics
///
/// If something else was loaded than the files say, or anything was written where nothing belongs.
pub fn fuzz_boot(data: &[u8]) {
    boots(data);
}

/// Returns whether the machine would start.
fn boots(data: &[u8]) -> bool {
    let (numbers, rest) = data.split_at(data.len().min(32));
    let mut words = numbers.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    let mut word = || words.next().unwrap_or_default();
    let (choice, sizes, text_offset, image_size) = (word(), word(), word(), word());
    let length = (2 + (choice & 7)) << 20;
    // Sizes around those that fit, and far beyond what any host has.
    let size = |size: u64| match size & 0xf00_0000 {
        0 => size << 24,
        _ => size & 0x1f_ffff,
    };
    let (kernel_size, initramfs_size) = (size(sizes & 0xfff_ffff), size(sizes >> 32 & 0xfff_ffff));

    let mut header = rest.get(..64).unwrap_or(rest).to_vec();
    header.resize(64, 0);
    if choice & 0x10 == 0 {
        header[MAGIC].copy_from_slice(b"RSC\x05");
    }
    if choice & 0x20 == 0 {
        let small = |value: u64| value % (length / 2);
        header[8..16].copy_from_slice(&small(text_offset).to_le_bytes());
        header[16..24].copy_from_slice(&small(image_size).to_le_bytes());
    }
    let (Some(kernel), Some(initramfs)) = (file(&header, kernel_size), file(rest, initramfs_size))
    else {
        return false;
    };
    let initramfs = (choice & 0x40 == 0).then_some(initramfs);
    let Ok(mapped) = GuestMemoryMmap::from_ranges(&[(
        GuestAddress(RAM_BASE),
        usize::try_from(length).unwrap_or_default(),
    )]) else {
        return false;
    };
    let memory = GuestMemory::new(Arc::new(mapped), Arc::<RwLock<()>>::default());
    match boot::load(&memory, length, &kernel, initramfs.as_ref()) {
        Ok(loaded) => {
            let entry = loaded.entry..loaded.entry + kernel_size;
            let initramfs_range = loaded.initramfs.map_or(0..0, |(start, end)| start..end);
            assert!(
                RAM_BASE <= entry.start
                    && (initramfs.is_none() || entry.end <= initramfs_range.start)
                    && initramfs_range.end <= loaded.tree
                    && entry.end <= loaded.tree
                    && loaded.tree < RAM_BASE + length,
                "{loaded:x?}"
            );
            let description = Description {
                harts: 1 + (choice >> 8 & 0xff) as u32 % MAX_HARTS,
                memory: length,
                command_line: &String::from_utf8_lossy(rest),
                initramfs: loaded.initramfs,
                transports: (choice >> 16 & 0xff) as u32 % RTC_SOURCE,
                has_rtc: choice >> 24 & 1 == 1,
                seed: [choice.to_le_bytes()[3]; 32],
            };
            let mut tree = device_tree::write(&description).unwrap_or_default();
            check_tree(&tree, &description);
            if boot::place_tree(&memory, loaded.tree, &tree).is_err() {
                tree.clear();
            }
            let image = memory_of(&memory, length);
            check(&image, &entry, &contents(&kernel, kernel_size));
            if let Some(file) = &initramfs {
                check(&image, &initramfs_range, &contents(file, initramfs_size));
            }
            let tree_range = loaded.tree..loaded.tree + tree.len() as u64;
            check(&image, &tree_range, &tree);
            let used = [entry, initramfs_range, tree_range];
            check_unused(&image, &used);
            true
        }
        Err(BootError::NotAKernel | BootError::TooLarge { .. }) => {
            check_unused(&memory_of(&memory, length), &[]);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// A file that begins with these bytes.
fn file(bytes: &[u8], size: u64) -> Option<File> {
    let file = File::from(memfd_create("fuzzed", MemfdFlags::CLOEXEC).ok()?);
    file.write_all_at(bytes, 0).ok()?;
    ftruncate(&file, size).ok()?;
    Some(file)
}

fn contents(file: &File, size: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    assert!(file.read_exact_at(&mut bytes, 0).is_ok());
    bytes
}

fn memory_of(memory: &GuestMemory, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    assert!(
        memory
            .read_slice(&mut bytes, GuestAddress(RAM_BASE))
            .is_ok()
    );
    bytes
}

fn within(range: &Range<u64>) -> Range<usize> {
    let offset =
        |address: u64| usize::try_from(address.saturating_sub(RAM_BASE)).unwrap_or(usize::MAX);
    offset(range.start)..offset(range.end)
}

fn check(image: &[u8], range: &Range<u64>, expected: &[u8]) {
    assert!(image.get(within(range)) == Some(expected), "{range:x?}");
}

/// Nothing was written elsewhere.
fn check_unused(image: &[u8], used: &[Range<u64>]) {
    let mut used: Vec<_> = used.iter().map(within).collect();
    used.sort_by_key(|range| range.start);
    let mut from = 0;
    for range in used
        .into_iter()
        .chain(std::iter::once(image.len()..image.len()))
    {
        let gap = image.get(from..range.start).unwrap_or_default();
        // Comparing is quicker than looking at each byte.
        assert!(gap == vec![0; gap.len()], "written to after {from:#x}");
        from = from.max(range.end);
    }
}

/// A property's node, name and value.
type Property = (String, String, Vec<u8>);

fn check_tree(tree: &[u8], description: &Description<'_>) {
    if tree.is_empty() {
        // Arguments that no tree can hold are refused.
        assert!(description.command_line.contains('\0'));
        return;
    }
    let Some(properties) = read_tree(tree) else {
        panic!("the device tree cannot be read");
    };
    let value = |node: &str, name: &str| {
        let mut found = properties.iter().filter(|p| p.0 == node && p.1 == name);
        let value = found.next().map(|property| property.2.as_slice());
        assert!(found.next().is_none(), "{node}: two of {name}");
        value
    };
    let numbers = |numbers: &[u64]| -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    };
    let line = [description.command_line.as_bytes(), b"\0"].concat();
    assert_eq!(value("/chosen", "bootargs"), Some(&*line));
    let memory = format!("/memory@{RAM_BASE:x}");
    let reg = numbers(&[RAM_BASE, description.memory]);
    assert_eq!(value(&memory, "reg"), Some(&*reg));
    let (start, end) = description.initramfs.unzip();
    for (name, address) in [("linux,initrd-start", start), ("linux,initrd-end", end)] {
        let address = address.map(|address| numbers(&[address]));
        assert_eq!(value("/chosen", name), address.as_deref(), "{name}");
    }
    let count = |start: &str, name: &str| {
        let matching = properties
            .iter()
            .filter(|property| property.0.starts_with(start) && property.1 == name);
        u32::try_from(matching.count()).ok()
    };
    assert_eq!(count("/cpus/cpu@", "riscv,isa"), Some(description.harts));
    assert_eq!(count("/soc/rtc@", "reg"), Some(description.has_rtc.into()));
    assert_eq!(
        count("/soc/virtio_mmio@", "reg"),
        Some(description.transports)
    );
}

/// All properties of a flattened tree; `None` if it is none.
fn read_tree(tree: &[u8]) -> Option<Vec<Property>> {
    let number = |at: usize| {
        let bytes = tree.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
    };
    let text = |at: usize| {
        let bytes = tree.get(at..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes.get(..end)?.to_vec()).ok()
    };
    if number(0)? != 0xd00d_feed || number(4)? != tree.len() || number(20)? < 17 {
        return None;
    }
    let (mut at, strings) = (number(8)?, number(12)?);
    let mut path: Vec<String> = Vec::new();
    let mut properties = Vec::new();
    loop {
        let token = number(at)?;
        at += 4;
        match token {
            1 => {
                let name = text(at)?;
                at = (at + name.len() + 1).next_multiple_of(4);
                path.push(name);
            }
            2 => _ = path.pop()?,
            3 => {
                let (length, name) = (number(at)?, text(strings + number(at + 4)?)?);
                let value = tree.get(at + 8..at + 8 + length)?.to_vec();
                properties.push((path.join("/"), name, value));
                at = (at + 8 + length).next_multiple_of(4);
            }
            4 => {}
            9 => return path.is_empty().then_some(properties),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_of_every_kind_are_loaded_as_they_are_or_refused() {
        // The upper bits of a linear congruence are random enough.
        let mut state = 0x1234_5678_9abc_def1_u64;
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        };
        let mut loaded = 0;
        for round in 0..200 {
            let data: Vec<u8> = (0..round).map(|_| byte()).collect();
            loaded += u32::from(boots(&data));
        }
        assert!((20..180).contains(&loaded), "{loaded} of 200 were loaded");
    }

    #[test]
    #[should_panic(expected = "written to after 0x2000")]
    fn a_stray_byte_is_found() {
        let mut image = vec![0; 0x4000];
        image[0x1800] = 1;
        image[0x3000] = 1;
        let used = RAM_BASE + 0x1000..RAM_BASE + 0x2000;
        check_unused(&image, &[used, 0..0]);
    }
}
