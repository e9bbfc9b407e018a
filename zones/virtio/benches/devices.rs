//! What the devices cost the host, driven by the guest-side drivers of the `virtio-drivers` crate.
//!
//! `cargo bench -p zone-virtio` prints one row per figure. Nothing here fails by being slow.

#[path = "../tests/common/mod.rs"]
mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench_table::{Bar, Row, Table};
use rustix::fs::{MemfdFlags, SealFlags};
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::device::gpu::VirtIOGpu;
use virtio_drivers::device::rng::VirtIORng;
use zone_virtio::block::{Blank, Block, Overlay};
use zone_virtio::gpu::{CursorImage, DisplaySink, Gpu, Rect, SharedSurface};
use zone_virtio::rng::Rng;

use common::{TestHal, Window, slot};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;

struct Ignore;

impl DisplaySink for Ignore {
    fn frame(&mut self, _: u32, _: &[Rect]) {}

    fn cursor(&mut self, _: Option<&CursorImage>) {}
}

/// The time of one `act`, as the median of many.
fn median(rounds: usize, mut act: impl FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|round| {
            let start = Instant::now();
            act(round);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

fn report(table: &mut Table, work: String, time: Duration) {
    table.add(Row {
        work,
        unit: "us",
        ours: time.as_secs_f64() * 1e6,
        peer: None,
        bar: Bar::Free,
    });
}

fn gpu(table: &mut Table) {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("surface", flags).unwrap();
    rustix::fs::ftruncate(&fd, u64::from(WIDTH * HEIGHT * 4)).unwrap();
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).unwrap();
    let surface = SharedSurface::map(fd, WIDTH, HEIGHT).unwrap();
    let (slot, _) = slot();
    let (transport, _display) = Gpu::plug(slot, surface, 1, Box::new(Ignore));
    let mut gpu = VirtIOGpu::<TestHal, _>::new(Window(transport)).unwrap();
    let pixels = gpu.setup_framebuffer().unwrap();
    let (pointer, length) = (pixels.as_mut_ptr(), pixels.len());
    let paint = |value: u8, rows: usize| {
        // SAFETY: the framebuffer lives as long as `gpu`, and nobody else uses it between flushes.
        let pixels = unsafe { std::slice::from_raw_parts_mut(pointer, length) };
        pixels[..rows * WIDTH as usize * 4].fill(value);
    };
    paint(1, HEIGHT as usize);
    gpu.flush().unwrap();
    let same = median(200, |_| gpu.flush().unwrap());
    report(
        table,
        format!("gpu: {WIDTH}x{HEIGHT} frame flushed, nothing changed"),
        same,
    );
    let mut times = Vec::new();
    for (name, rows) in [
        ("one text line (16 rows)", 16),
        ("every pixel", HEIGHT as usize),
    ] {
        times.clear();
        for round in 0..200_u8 {
            paint(round + 2, rows);
            let start = Instant::now();
            gpu.flush().unwrap();
            times.push(start.elapsed());
        }
        times.sort();
        report(table, format!("gpu: the same, {name} changed"), times[100]);
    }
}

fn block(table: &mut Table) {
    let scratch = rustix::fs::memfd_create("scratch", MemfdFlags::CLOEXEC).unwrap();
    let overlay = Overlay::temporary(Blank::new(64 << 20), scratch.into()).unwrap();
    let (slot, _) = slot();
    let transport = Block::plug(slot, Box::new(overlay), "bench");
    let mut disk = VirtIOBlk::<TestHal, _>::new(Window(transport)).unwrap();
    let mut buffer = vec![7; 128 << 10];
    let write = median(400, |round| {
        disk.write_blocks(round * 256, &buffer).unwrap();
    });
    report(table, "block: write of 128 KiB to an overlay".into(), write);
    let read = median(400, |round| {
        disk.read_blocks(round * 256, &mut buffer).unwrap();
    });
    report(table, "block: read of 128 KiB from it".into(), read);
}

fn rng(table: &mut Table) {
    let (slot, _) = slot();
    let mut rng = VirtIORng::<TestHal, _>::new(Window(Rng::plug(slot))).unwrap();
    let mut bytes = [0; 16];
    let time = median(2000, |_| {
        rng.request_entropy(&mut bytes).unwrap();
    });
    report(
        table,
        "queue: one request and its answer (16 random bytes)".into(),
        time,
    );
}

fn main() -> ExitCode {
    let mut table = Table::new("-");
    rng(&mut table);
    block(&mut table);
    gpu(&mut table);
    table.finish()
}
