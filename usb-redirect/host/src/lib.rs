//! Real USB devices for `usb-redirect`.
//!
//! [`UsbDevice`] takes a device from the kernel through libusb: the kernel's drivers are detached, so that the device stops typing into the
//! endpoint, and come back when it is dropped. Each interface has a file descriptor and a libusb context of its own, so that each polling thread sleeps
//! in the kernel on its own device events. [`HidrawDevice`] leaves a device with the kernel and reads its reports from `/dev/hidraw*`.
//!
//! Unsafe code is in `transfers`, where libusb's asynchronous calls are (`rusb` offers only one transfer at a time), and in `vsock`.
#![deny(unsafe_code)]

mod device;
mod hidraw;
mod transfers;
mod vsock;

use std::path::PathBuf;

pub use device::{DeviceNode, Libusb, UsbDevice};
pub use hidraw::{HidrawDevice, HidrawNode};
use usb_redirect::device::DescriptionError;
use usb_redirect::stream::Outcome;
pub use vsock::connect_vsock;

/// Why a real device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A device file cannot be opened or read.
    #[error("{path} cannot be used: {error}")]
    Node {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// libusb failed.
    #[error("libusb cannot {what}: {error}")]
    Usb {
        /// What was tried.
        what: String,
        /// What libusb said.
        error: rusb::Error,
    },
    /// hidapi failed.
    #[error("hidapi cannot {what}: {error}")]
    Hid {
        /// What was tried.
        what: String,
        /// What hidapi said.
        error: hidapi::HidError,
    },
    /// The device's descriptors are refused.
    #[error("the device's descriptors are refused: {0}")]
    Description(#[from] DescriptionError),
    /// There is no such device.
    #[error("there is no {0}; `bulkhead usb list` shows what is plugged in")]
    NoSuchDevice(String),
}

/// What a libusb error means for a transfer.
fn outcome(error: rusb::Error) -> Outcome {
    match error {
        rusb::Error::Pipe => Outcome::Stall,
        rusb::Error::NoDevice | rusb::Error::NotFound => Outcome::Gone,
        rusb::Error::Timeout => Outcome::TimedOut,
        rusb::Error::Overflow => Outcome::Overflow,
        rusb::Error::Interrupted => Outcome::Cancelled,
        _ => Outcome::Failed,
    }
}
