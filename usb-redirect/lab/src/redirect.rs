//! The whole path inside one machine: device, endpoint threads, a link that can be cut, agent, the kernel's `vhci_hcd`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use usb_redirect::desktop::{self, Vhci};
use usb_redirect::device::Device;
use usb_redirect::endpoint::{self, Control, End, SessionError};
use usb_redirect::filter::Grant;
use usb_redirect::stream::StreamFront;

/// A running redirection.
pub struct Redirection {
    silent: Arc<AtomicBool>,
    session: Option<JoinHandle<Result<End, SessionError>>>,
}

impl Redirection {
    /// Redirects a device into this machine's own `vhci_hcd`.
    pub fn begin(device: Arc<dyn Device>) -> Result<Self> {
        let control = Control::new()?;
        let (ours, link) = UnixStream::pair()?;
        let (other, theirs) = UnixStream::pair()?;
        let silent = Arc::new(AtomicBool::new(false));
        carry(link.try_clone()?, other.try_clone()?, silent.clone());
        carry(other, link, silent.clone());
        let session = std::thread::spawn(move || {
            let front = Box::new(StreamFront::new(device.description().clone()));
            // The tests type faster than people do, and press every key.
            let mut grant = Grant::default();
            grant.typing_rate = None;
            grant.power_keys = true;
            endpoint::serve(&*device, front, &ours, &grant, &control, &|notice| {
                println!("LAB notice {notice:?}");
            })
        });
        std::thread::spawn(move || {
            let result = desktop::run(&theirs, |description| {
                let (port, kernel) = Vhci::default().connect(description.speed)?;
                println!("LAB attached to port {port}");
                Ok(kernel)
            });
            if let Err(error) = result {
                println!("LAB desktop: {error}");
            }
        });
        Ok(Self {
            silent,
            session: Some(session),
        })
    }

    /// From now on nothing arrives any more, and nobody is told: a cable that was cut.
    pub fn cut(&self) {
        self.silent.store(true, Ordering::Release);
    }

    /// Waits for the session's end.
    pub fn end(mut self) -> Result<End> {
        let session = self.session.take();
        match session.map(JoinHandle::join) {
            Some(Ok(end)) => Ok(end?),
            _ => anyhow::bail!("the session's thread panicked"),
        }
    }
}

/// Carries bytes one way until the link is cut; then it stays open and silent.
fn carry(mut from: UnixStream, mut to: UnixStream, silent: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while silent.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_secs(1));
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
