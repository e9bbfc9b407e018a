//! The endpoint: presenters, supervisor, broker and the parts of the command line that can be tested without a terminal.
//!
//! [`Session`] is the core: it starts zone processes, judges what they say, feeds the compositor and routes input. It owns no
//! window and no loop. A presenter ([`present`]) owns both and asks the session three things: which descriptor to wait for, until
//! when, and what to paint. A [`script`] plays input through the same door as a person.
//!
//! Trust: everything a zone process sends or prints is hostile. The policy, the command line and the script are the user's.
#![forbid(unsafe_code)]

pub mod audit;
pub mod check_host;
mod clock;
pub mod console;
mod debug;
pub mod door;
pub mod images;
pub mod look;
pub mod passphrase;
pub mod policy_source;
pub mod present;
pub mod script;
mod session;
pub mod state_directory;
pub mod usb;
pub mod windows;
pub mod words;

pub use session::{
    DESKTOP, Launcher, Options, STAGES, Services, Session, SessionError, Stages, Status,
    UnknownZone, WantedPicture, ZoneLine, ZoneOrder, ZoneView, installed_zone_program,
    required_layers,
};
