//! Our machine as a process of its own, so that its processor time and memory can be told.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use zone_machine::machine::{Builder, Observer};
use zone_machine::sbi::{self, Ending};
use zone_translate::CodeCache;
use zone_virtio::block::{Block, FileVolume, Overlay};
use zone_virtio::console::{Console, ConsoleSink};
use zone_virtio::gpu::{CursorImage, DisplaySink, Gpu, Rect, SharedSurface};
use zone_virtio::input::Input;
use zone_virtio::rng::Rng;

use crate::{Failure, HEIGHT, MEMORY_MIB, WIDTH};

/// The port on which a session says that it is ready.
const STATE_PORT: u32 = 1;

struct Terminal;

impl Terminal {
    fn print(bytes: &[u8]) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }
}

impl sbi::Console for Terminal {
    fn write(&self, bytes: &[u8]) {
        Self::print(bytes);
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

impl ConsoleSink for Terminal {
    fn output(&mut self, port: u32, bytes: &[u8]) -> usize {
        if port == STATE_PORT {
            Self::print(bytes);
        }
        bytes.len()
    }
    fn opened(&mut self, _port: u32, _open: bool) {}
    fn room(&mut self, _port: u32) {}
}

impl DisplaySink for Terminal {
    fn frame(&mut self, _generation: u32, _damage: &[Rect]) {}
    fn cursor(&mut self, _cursor: Option<&CursorImage>) {}
}

/// Boots a guest, with the SBI's console on this terminal. With a volume, it has a disk, on which what it writes is thrown away;
/// with a desktop, all that a zone has, and what it says on its state port comes here, too. `alone` translates without a thread
/// beside the harts. Saved, one snapshot is taken after another, and each says how long harts stood still.
pub(crate) fn boot(arguments: &[String], saved: bool) -> Result<(), Failure> {
    let (kernel, initramfs, harts, engine, line, volume, desktop) = match arguments {
        [kernel, initramfs, harts, engine, line] => {
            (kernel, initramfs, harts, engine, line, None, false)
        }
        [kernel, initramfs, harts, engine, line, volume] => {
            (kernel, initramfs, harts, engine, line, Some(volume), false)
        }
        [kernel, initramfs, harts, engine, line, volume, desktop] if desktop == "desktop" => {
            (kernel, initramfs, harts, engine, line, Some(volume), true)
        }
        _ => {
            return Err(
                "--boot KERNEL INITRAMFS HARTS translate|alone|interpret COMMAND-LINE [VOLUME [desktop]]"
                    .into(),
            );
        }
    };
    let mut builder = Builder::new(MEMORY_MIB, harts.parse()?)?;
    if engine != "interpret" {
        if engine == "alone" {
            builder.compile_aside(false);
        }
        let count = harts.parse::<usize>()?;
        builder.translate(
            (0..count)
                .map(|_| CodeCache::new())
                .collect::<Result<_, _>>()?,
        );
    }
    if let Some(volume) = volume {
        let base = FileVolume::open(File::open(volume)?)?;
        let scratch = File::from(memfd_create("overlay", MemfdFlags::CLOEXEC)?);
        let overlay = Overlay::temporary(base, scratch)?;
        let slot = builder.slot()?;
        builder.attach((Block::plug(slot, Box::new(overlay), "bench"), ()));
    }
    if desktop {
        let memory = memfd_create("surface", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, u64::from(WIDTH * HEIGHT * 4))?;
        fcntl_add_seals(
            &memory,
            SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
        )?;
        let surface = SharedSurface::map(memory, WIDTH, HEIGHT)?;
        let display = Gpu::plug(builder.slot()?, surface, 1, Box::new(Terminal));
        builder.attach(display);
        let keyboard = Input::keyboard(builder.slot()?);
        builder.attach(keyboard);
        let pointer = Input::pointer(builder.slot()?);
        builder.attach(pointer);
        let console = Console::plug(builder.slot()?, Box::new(Terminal));
        builder.attach(console);
        let rng = Rng::plug(builder.slot()?);
        builder.attach((rng, ()));
    }
    let (kernel, initramfs) = (File::open(kernel)?, File::open(initramfs)?);
    let machine = builder.start(
        &kernel,
        Some(&initramfs),
        line,
        [7; 32],
        Arc::new(Terminal),
        Arc::new(Terminal),
    )?;
    if saved {
        loop {
            let begun = Instant::now();
            let (saver, ()) = machine.snapshot(|_| ())?;
            let held = begun.elapsed();
            println!("instant {}", held.as_secs_f64());
            let mut sum = 0_u64;
            let done = saver.save(|_, bytes| {
                // As quick as a sink can be that looks at everything.
                let (words, _) = bytes.as_chunks::<8>();
                let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
                sum = words.iter().map(word).fold(sum, u64::wrapping_add);
                Ok::<(), Infallible>(())
            });
            if done.is_err() {
                break;
            }
            std::hint::black_box(sum);
        }
    }
    machine.join();
    Ok(())
}
