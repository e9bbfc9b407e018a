//! Requests as a driver sends them, and as none should.

#![allow(clippy::cast_possible_truncation, reason = "test values are small")]

use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::testing::Driver;

/// A volume in memory that counts its flushes.
#[derive(Clone)]
struct Memory(Arc<Mutex<(Vec<u8>, u32)>>);

impl Memory {
    fn new(sectors: usize) -> Self {
        let bytes = (0..sectors * 512).map(|i| (i / 512) as u8).collect();
        Self(Arc::new(Mutex::new((bytes, 0))))
    }
}

impl Volume for Memory {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        buffer.copy_from_slice(&self.0.lock().unwrap().0[start..start + buffer.len()]);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.0.lock().unwrap().0[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().1 += 1;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.lock().unwrap().0.len() as u64
    }

    fn read_only(&self) -> bool {
        false
    }
}

fn header(kind: u32, sector: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[8..].copy_from_slice(&sector.to_le_bytes());
    bytes
}

fn disk(sectors: usize) -> (Driver, Memory) {
    let volume = Memory::new(sectors);
    let driver = Driver::started(|slot| Block::plug(slot, Box::new(volume.clone()), "root"));
    (driver, volume)
}

#[test]
fn config_names_the_capacity_and_the_limits() {
    let (driver, _) = disk(100);
    assert_eq!(driver.read32(8), 2);
    assert_eq!(u64::from_le_bytes(driver.config(0)), 100);
    assert_eq!(u32::from_le_bytes(driver.config(8)), SEGMENT_SIZE_MAX);
    assert_eq!(u32::from_le_bytes(driver.config(12)), SEGMENTS_MAX);
    assert_eq!(u32::from_le_bytes(driver.config(20)), 512);
    assert_eq!(driver.config::<8>(0xe00), [0; 8]);
}

#[test]
fn a_read_returns_the_sectors_and_a_status() {
    let (mut driver, _) = disk(100);
    let (length, answer) = driver.request(0, &[&header(0, 7)], &[512, 512, 1]).unwrap();
    assert_eq!(length, 1025);
    assert_eq!(answer[..512], [7; 512]);
    assert_eq!(answer[512..1024], [8; 512]);
    assert_eq!(answer[1024], 0);
    assert!(driver.line.high());
    assert_eq!(driver.acknowledge(), 1);
    assert!(!driver.line.high());
}

#[test]
fn a_write_reaches_the_volume_and_flush_flushes_it() {
    let (mut driver, volume) = disk(100);
    // The header and the data in one buffer, as the spec allows.
    let mut bytes = header(1, 99).to_vec();
    bytes.extend([0x5a; 512]);
    let (length, answer) = driver.request(0, &[&bytes], &[1]).unwrap();
    assert_eq!((length, answer.as_slice()), (1, [0].as_slice()));
    assert_eq!(volume.0.lock().unwrap().0[99 * 512..], [0x5a; 512]);
    assert_eq!(driver.request(0, &[&header(4, 0)], &[1]).unwrap().1, [0]);
    assert_eq!(volume.0.lock().unwrap().1, 1);
}

#[test]
fn get_id_returns_the_identifier() {
    let (mut driver, _) = disk(1);
    let (_, answer) = driver.request(0, &[&header(8, 0)], &[20, 1]).unwrap();
    assert_eq!(&answer[..5], b"root\0");
    assert_eq!(answer[20], 0);
}

#[test]
fn write_zeroes_and_discard_leave_zeroes() {
    let (mut driver, volume) = disk(100);
    for (kind, sector) in [(13, 10_u64), (11, 20)] {
        let mut range = sector.to_le_bytes().to_vec();
        range.extend(3_u32.to_le_bytes());
        range.extend(0_u32.to_le_bytes());
        let (_, answer) = driver
            .request(0, &[&header(kind, 0), &range], &[1])
            .unwrap();
        assert_eq!(answer, [0]);
        let start = sector as usize * 512;
        let bytes = &volume.0.lock().unwrap().0;
        assert_eq!(bytes[start..start + 1536], [0; 1536]);
        assert_ne!(bytes[start + 1536], 0);
    }
}

#[test]
fn bad_requests_get_an_error_status_and_touch_nothing() {
    let (mut driver, volume) = disk(100);
    let before = volume.0.lock().unwrap().0.clone();
    let data = [1_u8; 512];
    let mut range = 99_u64.to_le_bytes().to_vec();
    range.extend(u32::MAX.to_le_bytes());
    range.extend(0_u32.to_le_bytes());
    let mut odd_flags = 1_u64.to_le_bytes().to_vec();
    odd_flags.extend(1_u32.to_le_bytes());
    odd_flags.extend(0x8000_0000_u32.to_le_bytes());
    let cases: [(&[&[u8]], u8); 9] = [
        (&[&header(1, 100), &data], 1),
        (&[&header(1, u64::MAX), &data], 1),
        (&[&header(1, u64::MAX / 512), &data], 1),
        (&[&header(1, 0), &data[..100]], 1),
        (&[&header(11, 0), &range], 1),
        (&[&header(13, 0), &range[..8]], 2),
        (&[&header(13, 0), &odd_flags], 2),
        (&[&header(8, 0)], 1),
        (&[&header(0xffff, 0)], 2),
    ];
    for (readable, status) in cases {
        let (_, answer) = driver.request(0, readable, &[1]).unwrap();
        assert_eq!(answer, [status], "{readable:02x?}");
    }
    let (length, answer) = driver.request(0, &[&header(0, 99)], &[1024, 1]).unwrap();
    assert_eq!(answer[1024], 1);
    assert_eq!(length, 0, "nothing was read, nothing is claimed");
    assert_eq!(volume.0.lock().unwrap().0, before);
    assert!(!driver.needs_reset());
}

#[test]
fn a_request_without_room_for_its_status_breaks_the_device() {
    let (mut driver, _) = disk(1);
    assert!(driver.request(0, &[&header(4, 0)], &[]).is_none());
    assert!(driver.needs_reset());
    driver.start(u64::MAX);
    assert!(driver.request(0, &[&header(4, 0)[..8]], &[1]).is_none());
    assert!(driver.needs_reset());
    assert_eq!(driver.acknowledge(), 2);
    driver.start(u64::MAX);
    assert!(driver.request(0, &[&header(4, 0)], &[1]).is_some());
}

#[test]
fn a_read_only_volume_says_so_and_refuses() {
    let mut driver =
        Driver::started(|slot| Block::plug(slot, Box::new(Blank::new(512 * 4)), "blank"));
    assert_ne!(driver.offered() & 1 << 5, 0);
    let write = driver.request(0, &[&header(1, 0), &[0; 512]], &[1]);
    assert_eq!(write.unwrap().1, [1]);
    let mut range = 0_u64.to_le_bytes().to_vec();
    range.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    let clear = driver.request(0, &[&header(13, 0), &range], &[1]);
    assert_eq!(clear.unwrap().1, [1]);
}

#[test]
fn an_overlay_keeps_writes_from_its_base() {
    let base = Memory::new(64);
    let before = base.0.lock().unwrap().0.clone();
    let mut overlay = Overlay::temporary(base.clone(), tempfile::tempfile().unwrap()).unwrap();
    let mut model = before.clone();
    let mut write = |overlay: &mut Overlay<Memory>, offset: usize, data: &[u8]| {
        overlay.write_at(offset as u64, data).unwrap();
        model[offset..offset + data.len()].copy_from_slice(data);
    };
    write(&mut overlay, 512, &[0xaa; 512]);
    write(&mut overlay, 4096 - 512, &[0xbb; 1024]);
    write(&mut overlay, 3 * 4096, &[0xcc; 8192]);
    overlay.write_zeroes(3 * 4096 + 512, 4096).unwrap();
    model[3 * 4096 + 512..4 * 4096 + 512].fill(0);
    let mut all = vec![0; model.len()];
    overlay.read_at(0, &mut all).unwrap();
    assert!(all == model);
    for offset in (0..model.len() - 1024).step_by(512) {
        let mut part = [0; 1024];
        overlay.read_at(offset as u64, &mut part).unwrap();
        assert_eq!(part, model[offset..offset + 1024]);
    }
    assert!(base.0.lock().unwrap().0 == before);
    assert!(overlay.write_at(64 * 512, &[0]).is_err());
    assert!(overlay.read_at(u64::MAX, &mut [0]).is_err());
}

const HASH: [u8; 32] = [0xab; 32];

fn overlay_file() -> (tempfile::NamedTempFile, impl Fn() -> std::fs::File) {
    let named = tempfile::NamedTempFile::new().unwrap();
    let path = named.path().to_owned();
    let reopen = move || {
        let options = std::fs::File::options().read(true).write(true).open(&path);
        options.unwrap()
    };
    (named, reopen)
}

fn all_of(volume: &mut dyn Volume) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(volume.len()).unwrap()];
    volume.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_persistent_overlay_comes_back_as_it_was() {
    let (_named, file) = overlay_file();
    let base = Memory::new(200);
    let mut model = base.0.lock().unwrap().0.clone();
    for round in 0..3_u8 {
        let mut overlay = Overlay::open(base.clone(), file(), HASH).unwrap();
        assert!(all_of(&mut overlay) == model, "round {round}");
        let at = 5000 + 20_000 * usize::from(round);
        overlay.write_at(at as u64, &[round + 1; 9000]).unwrap();
        model[at..at + 9000].fill(round + 1);
        overlay.write_zeroes(at as u64 + 100, 5000).unwrap();
        model[at + 100..at + 5100].fill(0);
        overlay.flush().unwrap();
        // One that is dropped without a flush is saved too.
        overlay.write_at(700, &[round; 5]).unwrap();
        model[700..705].fill(round);
    }
    let mut overlay = Overlay::open(base, file(), HASH).unwrap();
    assert!(all_of(&mut overlay) == model);
}

#[test]
fn what_was_not_flushed_before_a_crash_is_the_bases() {
    let (_named, file) = overlay_file();
    let base = Memory::new(64);
    let mut overlay = Overlay::open(base.clone(), file(), HASH).unwrap();
    overlay.write_at(0, &[1; 4096]).unwrap();
    overlay.flush().unwrap();
    overlay.write_at(8192, &[2; 4096]).unwrap();
    std::mem::forget(overlay);
    let mut again = Overlay::open(base.clone(), file(), HASH).unwrap();
    let bytes = all_of(&mut again);
    assert_eq!(bytes[..4096], [1; 4096]);
    assert!(bytes[4096..] == base.0.lock().unwrap().0[4096..]);
}

#[test]
fn a_machine_that_ends_without_a_flush_keeps_its_disk() {
    let (_named, file) = overlay_file();
    let overlay = Overlay::open(Memory::new(64), file(), HASH).unwrap();
    let mut driver = Driver::started(|slot| Block::plug(slot, Box::new(overlay), "home"));
    let write = driver.request(0, &[&header(1, 9), &[0x77; 512]], &[1]);
    assert_eq!(write.unwrap().1, [0]);
    driver.transport.finish();
    // As if the process had exited: nothing is dropped.
    std::mem::forget(driver);
    let mut again = Overlay::open(Memory::new(64), file(), HASH).unwrap();
    assert_eq!(all_of(&mut again)[9 * 512..10 * 512], [0x77; 512]);
}

#[test]
fn a_hostile_overlay_file_is_an_error() {
    type Damage = fn(&std::fs::File);
    let cases: [(&str, Damage, &str); 12] = [
        (
            "one byte",
            |file| file.set_len(1).unwrap(),
            "not an overlay",
        ),
        (
            "cut in the header",
            |file| file.set_len(4095).unwrap(),
            "not an overlay",
        ),
        (
            "cut in the bitmap",
            |file| file.set_len(4097).unwrap(),
            "cut off",
        ),
        (
            "cut in the data",
            |file| file.set_len(12_000).unwrap(),
            "cut off",
        ),
        ("too long", |file| file.set_len(1 << 40).unwrap(), "cut off"),
        ("mark", |file| patch(file, 0, b"QFI\xfb"), "not an overlay"),
        ("version", |file| patch(file, 8, &[2]), "version 2"),
        (
            "cluster size 0",
            |file| patch(file, 12, &[0; 4]),
            "clusters of 0",
        ),
        (
            "base length",
            |file| patch(file, 16, &[0xff; 8]),
            "another base",
        ),
        ("base hash", |file| patch(file, 55, &[0]), "another base"),
        ("reserved", |file| patch(file, 4095, &[1]), "version 1"),
        (
            "bits past the end",
            |file| patch(file, 4096 + 1, &[1]),
            "bitmap",
        ),
    ];
    for (name, damage, expected) in cases {
        let (_named, file) = overlay_file();
        drop(Overlay::open(Memory::new(64), file(), HASH).unwrap());
        damage(&file());
        let error = Overlay::open(Memory::new(64), file(), HASH).err();
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(expected), "{name}: {text}");
    }
    let (_named, file) = overlay_file();
    let huge = Overlay::open(Blank::new(1 << 50), file(), HASH).err();
    assert!(matches!(huge, Some(OverlayError::BaseTooLarge(_))));
}

fn patch(file: &std::fs::File, offset: u64, bytes: &[u8]) {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset).unwrap();
}

#[test]
fn an_overlay_whose_making_was_interrupted_is_finished() {
    let (_named, file) = overlay_file();
    drop(Overlay::open(Memory::new(64), file(), HASH).unwrap());
    file().set_len(4096).unwrap();
    let mut overlay = Overlay::open(Memory::new(64), file(), HASH).unwrap();
    assert!(all_of(&mut overlay) == Memory::new(64).0.lock().unwrap().0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An overlay behaves like a plain copy of its base, however it is written and whenever it is reopened.
    #[test]
    fn an_overlay_is_a_copy_of_its_base(
        ops in proptest::collection::vec((0..5_u8, 0..64 * 512_u64, 0..20_000_u64, any::<u8>()), 1..30)
    ) {
        let (_named, file) = overlay_file();
        let base = Memory::new(64);
        let mut model = base.0.lock().unwrap().0.clone();
        let mut overlay = Overlay::open(base.clone(), file(), HASH).unwrap();
        for (kind, offset, length, value) in ops {
            let length = length.min(model.len() as u64 - offset);
            let range = offset as usize..(offset + length) as usize;
            match kind {
                0 | 1 => {
                    overlay.write_at(offset, &vec![value; length as usize]).unwrap();
                    model[range].fill(value);
                }
                2 => {
                    overlay.write_zeroes(offset, length).unwrap();
                    model[range].fill(0);
                }
                3 => {
                    let mut bytes = vec![0; length as usize];
                    overlay.read_at(offset, &mut bytes).unwrap();
                    prop_assert!(bytes == model[range]);
                }
                _ => {
                    drop(overlay);
                    overlay = Overlay::open(base.clone(), file(), HASH).unwrap();
                }
            }
        }
        prop_assert!(all_of(&mut overlay) == model);
        prop_assert!(base.0.lock().unwrap().0 == Memory::new(64).0.lock().unwrap().0);
    }
}
