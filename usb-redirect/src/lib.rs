//! Redirection of USB human interface devices into zones, with local polling.
//!
//! A desktop's USB stack asks an interrupt endpoint for a report and waits. Carried over a network, each report would cost a round trip.
//! Here the first such poll message is saved by the interface's polling thread, which re-submits its copy to the device by itself; every
//! answer is sent at once, in order. An agent on the desktop's side keeps a queue per endpoint and answers each later poll from it,
//! so those polls never cross the network.
//!
//! The rooms: [`descriptor`] and [`report`] parse what a device says of itself; [`usbip`], [`usbredir`] and [`stream`] are wire formats without
//! I/O; [`polling`], [`queue`], [`agent`] and [`filter`] are state machines that are handed their clocks; [`device`] is the trait in
//! front of real and simulated devices, [`plugged`] lists those that are there; [`endpoint`] and [`desktop`] are the threads that join them to sockets.
//!
//! Trust: bytes from a device, a guest and a network peer are all hostile. Policy is decided elsewhere and handed in as a
//! [`filter::Grant`].
#![forbid(unsafe_code)]

pub mod agent;
pub mod descriptor;
pub mod desktop;
pub mod device;
pub mod endpoint;
pub mod filter;
pub mod front;
pub mod fuzzing;
pub mod identity;
pub mod plugged;
pub mod polling;
pub mod queue;
mod reader;
pub mod report;
pub mod setup;
pub mod stream;
pub mod usbip;
pub mod usbredir;
