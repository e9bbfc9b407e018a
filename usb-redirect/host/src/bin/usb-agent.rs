//! The agent on a Linux desktop: takes a device from an endpoint and attaches it to the kernel's `vhci_hcd`.
//!
//! `usb-agent unix PATH | tcp ADDRESS | vsock PORT` connects and serves one device until it ends. It runs as root: the kernel takes devices
//! from nobody else. Plain TCP has no protection and is refused for any address but the machine's own, where a tunnel ends.
//!
//! `usb-agent listen ADDRESS --pin HEX` is for desktops on servers: it takes devices over TLS 1.3 from the one endpoint with that key, any number
//! of them, each on a thread of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use usb_redirect::desktop::{self, Vhci};
use usb_redirect_tls::{Key, Link, Pin};

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
    /// Wait for an endpoint that connects over TLS 1.3.
    Listen {
        /// For example 0.0.0.0:3241.
        address: SocketAddr,
        /// The endpoint's key, as `bulkhead usb key` prints it.
        #[arg(long, value_name = "HEX")]
        pin: Pin,
        /// The file of this side's own key; it is made at the first use.
        #[arg(long, value_name = "FILE", default_value = KEY)]
        key: PathBuf,
    },
    /// Print the pin of this side's own key.
    Key {
        /// The file of this side's own key; it is made at the first use.
        #[arg(long, value_name = "FILE", default_value = KEY)]
        key: PathBuf,
    },
}

const KEY: &str = "/etc/bulkhead/usb-agent.key";
/// The most endpoints that are served or shake hands at once.
const MOST: usize = 32;

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
        To::Listen { address, pin, key } => return listen(address, pin, &Key::open(&key)?),
        To::Key { key } => {
            println!("{}", Key::open(&key)?.pin());
            return Ok(());
        }
    };
    serve(&socket)
}

/// Serves whoever connects and is the one endpoint. A connection costs its thread alone.
fn listen(address: SocketAddr, pin: Pin, key: &Key) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| address.to_string())?;
    println!("listening at {}", listener.local_addr()?);
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) if served.load(Ordering::Acquire) < MOST => stream,
                // Whoever comes beside so many others is hung up on; so is a connection that broke off at once.
                Ok(_) | Err(_) => continue,
            };
            served.fetch_add(1, Ordering::AcqRel);
            let served = &served;
            scope.spawn(move || {
                if let Err(error) = take(stream, pin, key) {
                    eprintln!("usb-agent: {error:#}");
                }
                served.fetch_sub(1, Ordering::AcqRel);
            });
        }
    });
    Ok(())
}

fn take(stream: TcpStream, pin: Pin, key: &Key) -> Result<()> {
    let link = Link::accept(stream, key, pin)?;
    let (ours, plain) = UnixStream::pair()?;
    let carrier = std::thread::spawn(move || link.carry(plain));
    let served = serve(&ours);
    drop(ours);
    match carrier.join() {
        Ok(carried) => carried?,
        Err(_) => bail!("the carrying thread panicked"),
    }
    served
}

fn serve(socket: &impl AsFd) -> Result<()> {
    desktop::run(socket, |description| {
        let (port, kernel) = Vhci::default().connect(description.speed)?;
        println!("{} is attached to port {port}", description.title());
        Ok(kernel)
    })?;
    Ok(())
}
