//! scratch
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use zone_machine::machine::{Builder, Observer};
use zone_machine::sbi::{Console, Ending};
use zone_virtio::block::{Block, FileVolume};
use zone_virtio::gpu::*;

struct Terminal(Instant);
impl Console for Terminal {
    fn write(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }
    fn read(&self, _into: &mut [u8]) -> usize {
        0
    }
}
impl Observer for Terminal {
    fn ended(&self, ending: Ending) {
        eprintln!("the guest ended: {ending:?}");
    }
}
impl DisplaySink for Terminal {
    fn frame(&mut self, _g: u32, damage: &[Rect]) {
        eprintln!("{:.2}s frame {:?}", self.0.elapsed().as_secs_f64(), damage);
    }
    fn cursor(&mut self, cursor: Option<&CursorImage>) {
        eprintln!("{:.2}s cursor {}", self.0.elapsed().as_secs_f64(), cursor.is_some());
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap();
    let secs: u64 = std::env::args().nth(2).unwrap().parse()?;
    let kernel = File::open(format!("{dir}/kernel"))?;
    let initramfs = File::open(format!("{dir}/initramfs"))?;
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let mut b = Builder::new(512, 2)?;
    let root = FileVolume::open(File::open(format!("{dir}/root.squashfs"))?)?;
    b.plug(|slot| (Block::plug(slot, Box::new(root), "root"), ()))?;
    let (w, h) = (1024u32, 768u32);
    let memfd: OwnedFd = rustix::fs::memfd_create("s", rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&memfd, (w * h * 4) as u64)?;
    rustix::fs::fcntl_add_seals(&memfd, rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::GROW)?;
    let copy = memfd.try_clone()?;
    let now = Instant::now();
    let _d = b.plug(|slot| Gpu::plug(slot, SharedSurface::map(memfd, w, h).unwrap(), 1, Box::new(Terminal(now))))?;
    let cmd = "earlycon=sbi keep_bootcon panic=1 bulkhead.zone=corp";
    let machine = b.start(&kernel, Some(&initramfs), cmd, seed, Arc::new(Terminal(now)), Arc::new(Terminal(now)))?;
    std::thread::sleep(std::time::Duration::from_secs(secs));
    let mut px = Vec::new();
    File::from(copy).read_to_end(&mut px)?;
    let mut ppm = format!("P6 {w} {h} 255\n").into_bytes();
    for p in px.chunks(4) {
        ppm.extend([p[2], p[1], p[0]]);
    }
    std::fs::write("/tmp/desk.ppm", ppm)?;
    machine.stop();
    machine.join();
    Ok(())
}
