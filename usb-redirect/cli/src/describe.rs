//! What devices say of themselves is parsed by a jailed `usb-redirect --describe` for each: neither the endpoint nor its commands do.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use usb_redirect::plugged::{self, Digest, MAX_DIGEST, Plugged};

/// The command that describes a device, by the kernel's folder of it or by a file of descriptors. What it says on its standard output is
/// for [`Digest::parse`].
#[must_use]
pub fn describe(program: &Path, what: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--describe").arg(what);
    command.env_clear().stdin(Stdio::null());
    command
}

/// What is plugged in. Whatever became of one device's process, the others are listed.
pub(crate) fn plugged() -> Result<Vec<Plugged>> {
    let places = plugged::places(Path::new(plugged::DEVICES));
    let places = places.context("look at what is plugged in")?;
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let program = crate::attach::program_path()?;
    let started = places.into_iter().map(|place| {
        let mut command = describe(&program, &place.folder);
        let child = command.stdout(Stdio::piped()).spawn();
        Ok((place, child.context("start usb-redirect")?))
    });
    // All of them work at once.
    let started: Vec<_> = started.collect::<Result<_>>()?;
    let described = started.into_iter().map(|(place, child)| {
        let digest = digest(child, &place.port);
        let digest = digest.unwrap_or_else(|error| Digest::unknown(format!("{error:#}")));
        Plugged { place, digest }
    });
    Ok(described.collect())
}

/// What a process says; it ends with this.
fn digest(mut child: Child, port: &str) -> Result<Digest> {
    let mut text = String::new();
    let most = u64::try_from(MAX_DIGEST).unwrap_or(u64::MAX);
    let output = child.stdout.take().context("usb-redirect has no output")?;
    let read = output.take(most).read_to_string(&mut text);
    let _ = child.kill();
    child.wait().context("wait for usb-redirect")?;
    read.context("read what usb-redirect says")?;
    Ok(Digest::parse(&text, port)?)
}
