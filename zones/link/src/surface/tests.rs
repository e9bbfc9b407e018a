//! Surfaces: what is written is read, nothing outside is touched, and the memory cannot be shrunk (ATTACKS 18, 19).

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{fcntl_get_seals, fstat};

use super::*;

fn size(width: u32, height: u32) -> Size {
    Size::new(width, height).unwrap()
}

#[test]
fn what_the_zone_writes_the_endpoint_reads() {
    let surface = Surface::new(size(7, 3)).unwrap();
    let writer = SurfaceWriter::new(surface.as_fd(), size(7, 3)).unwrap();
    assert!(writer.write_row(1, 2, &[1, 2, 3]));
    let mut row = [9; 7];
    assert!(surface.copy_row(1, 0, &mut row));
    assert_eq!(row, [0, 0, 1, 2, 3, 0, 0]);
    let mut out = Vec::new();
    assert_eq!(
        surface.copy_rectangle(
            Rect {
                x: 3,
                y: 1,
                width: u32::MAX,
                height: 1
            },
            &mut out
        ),
        Some(Rect {
            x: 3,
            y: 1,
            width: 4,
            height: 1
        })
    );
    assert_eq!(out, [2, 3, 0, 0]);
    assert!(
        surface
            .copy_rectangle(
                Rect {
                    x: 7,
                    y: 0,
                    width: 1,
                    height: 1
                },
                &mut out
            )
            .is_none()
    );
}

#[test]
fn rows_outside_are_refused_whole() {
    let surface = Surface::new(size(4, 2)).unwrap();
    let writer = SurfaceWriter::new(surface.as_fd(), size(4, 2)).unwrap();
    for (y, x, count) in [
        (0, 0, 5),
        (0, 4, 1),
        (0, u32::MAX, 1),
        (2, 0, 1),
        (u32::MAX, 0, 1),
        (1, 3, 2),
    ] {
        assert!(
            !writer.write_row(y, x, &vec![0xffff_ffff; count]),
            "wrote {count} at {x}, {y}"
        );
        assert!(
            !surface.copy_row(y, x, &mut vec![0; count]),
            "read {count} at {x}, {y}"
        );
    }
    for y in 0..2 {
        let mut row = [1; 4];
        assert!(surface.copy_row(y, 0, &mut row));
        assert_eq!(row, [0; 4]);
    }
}

#[test]
fn a_zone_cannot_shrink_grow_or_unseal_the_memory() {
    let surface = Surface::new(size(64, 64)).unwrap();
    let shared = surface.share().unwrap();
    assert!(ftruncate(&shared, 0).is_err());
    assert!(ftruncate(&shared, 1 << 20).is_err());
    assert!(fcntl_add_seals(&shared, SealFlags::WRITE).is_err());
    assert_eq!(fstat(&shared).unwrap().st_size, 64 * 64 * 4);
    assert!(
        fcntl_get_seals(&shared)
            .unwrap()
            .contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
    );
    // A hole punched by the zone reads as black; it does not fault.
    fallocate(
        &shared,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        0,
        64 * 64 * 4,
    )
    .unwrap();
    assert!(surface.copy_row(63, 0, &mut [0; 64]));
}

#[test]
fn other_memory_is_not_a_surface() {
    let wanted = size(16, 16);
    let unsealed = memfd_create("unsealed", MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&unsealed, wanted.bytes()).unwrap();
    assert!(matches!(
        SurfaceWriter::new(unsealed.as_fd(), wanted),
        Err(SurfaceError::NotASurface { .. })
    ));
    let other = Surface::new(size(16, 15)).unwrap();
    assert!(matches!(
        SurfaceWriter::new(other.as_fd(), wanted),
        Err(SurfaceError::NotASurface { .. })
    ));
}

#[test]
fn reading_while_the_zone_writes_gives_only_pixels_that_were_written() {
    let surface = Surface::new(size(256, 4)).unwrap();
    let writer = SurfaceWriter::new(surface.as_fd(), surface.size()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(writer.write_row(2, 0, &[0x1111_1111; 256]));
                assert!(writer.write_row(2, 0, &[0x2222_2222; 256]));
            }
        });
        for _ in 0..2000 {
            let mut row = [0; 256];
            assert!(surface.copy_row(2, 0, &mut row));
            assert!(
                row.iter()
                    .all(|pixel| [0, 0x1111_1111, 0x2222_2222].contains(pixel))
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
}
