//! Boots a kernel with its console on this terminal, for a look at the machine alone:
//! `cargo run --release -p zone-machine --example boot -- KERNEL [INITRAMFS [COMMAND LINE]]`.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use zone_machine::machine::{Builder, Observer};
use zone_machine::sbi::{Console, Ending};

struct Terminal;

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let kernel = File::open(arguments.next().ok_or("which kernel?")?)?;
    let initramfs = arguments.next().map(File::open).transpose()?;
    let command_line = arguments
        .next()
        .unwrap_or_else(|| "earlycon=sbi keep_bootcon panic=1".into());
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let machine = Builder::new(512, 2)?.start(
        &kernel,
        initramfs.as_ref(),
        &command_line,
        seed,
        Arc::new(Terminal),
        Arc::new(Terminal),
    )?;
    machine.join();
    Ok(())
}
