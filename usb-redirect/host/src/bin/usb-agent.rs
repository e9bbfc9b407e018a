//! The agent on a Linux desktop: takes a device from an endpoint and attaches it to the kernel's `vhci_hcd`.
//!
//! `usb-agent unix PATH | tcp ADDRESS | vsock PORT` connects and serves one device until it ends. It runs as root: the kernel takes devices
//! from nobody else. Over a zone's vsock the zone link has authenticated the endpoint; plain TCP has no protection and is refused for any address
//! but the machine's own, where a tunnel ends.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use usb_redirect::desktop::{self, Vhci};

/// Attaches a device that an endpoint offers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    to: To,
}

/// Where the endpoint is.
#[derive(Subcommand)]
enum To {
    /// A Unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
    },
    /// A TCP address of this machine.
    Tcp {
        /// For example 127.0.0.1:3241.
        address: SocketAddr,
    },
    /// A vsock port of the host.
    Vsock {
        /// The port.
        port: u32,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("usb-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let _ = rustix::process::nice(-10);
    let socket: OwnedFd = match arguments.to {
        To::Unix { path } => UnixStream::connect(&path)
            .with_context(|| path.display().to_string())?
            .into(),
        To::Tcp { address } => {
            ensure!(
                address.ip().is_loopback(),
                "{address} is another machine: keys would cross the network unprotected"
            );
            let stream = TcpStream::connect(address).with_context(|| address.to_string())?;
            stream.set_nodelay(true)?;
            stream.into()
        }
        To::Vsock { port } => usb_redirect_host::connect_vsock(port)
            .with_context(|| format!("vsock port {port} of the host"))?,
    };
    desktop::run(&socket, |description| {
        let (port, kernel) = Vhci::default().connect(description.speed)?;
        println!("{} is attached to port {port}", description.title());
        Ok(kernel)
    })?;
    Ok(())
}
