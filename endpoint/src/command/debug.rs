//! `bulkhead zone debug`: a zone's debugger door on this program's standard input and output, as GDB wants it:
//! `target remote | bulkhead zone debug NAME`.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use clap::Subcommand;
use endpoint::state_directory::StateDirectory;

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Connect a debugger to a zone of a desktop that was started with --debug-zones: in GDB, `target remote | bulkhead zone debug NAME`.
    Debug {
        /// The zone's name.
        zone: String,
        /// The running desktop's state directory [default: the user's].
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Debug { zone, state_dir } = command;
    let place = state_dir
        .clone()
        .unwrap_or_else(StateDirectory::usual_place);
    let path = StateDirectory::debugger_of(&place, zone);
    let failed = |what: &str, error: io::Error| {
        Failure::new(
            Failure::GENERAL,
            format!("{what} {}: {error}", path.display()),
        )
    };
    let stream = UnixStream::connect(&path).map_err(|error| {
        failed(
            "no desktop that was started with --debug-zones runs this zone: cannot open",
            error,
        )
    })?;
    let (mut from_zone, mut to_zone) = (
        stream
            .try_clone()
            .map_err(|error| failed("cannot use", error))?,
        stream,
    );
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut to_zone);
        let _ = to_zone.shutdown(Shutdown::Both);
    });
    // Ends when either side has nothing more to say.
    io::copy(&mut from_zone, &mut Unbuffered)
        .map(drop)
        .map_err(|error| failed("lost", error))
}

/// Standard output without waiting for the end of a line: packets have none.
struct Unbuffered;

impl io::Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        let count = out.write(bytes)?;
        out.flush()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
