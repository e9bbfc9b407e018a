//! What programs of the user order of zones: `bulkhead zone`.
//!
//! They can do what the zones' page can, and no more: nothing crosses a zone by it, no key goes elsewhere, and a locked desktop
//! starts and stops nothing.

use std::io;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::watch::Source;
use super::{Session, ZoneView};
use crate::audit::Event as Record;
use crate::door::{self, Door};

/// What is ordered. The answer is the zones that it concerns, as they are then: to start and to stop takes its time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneOrder {
    /// Tell of every zone.
    List,
    /// Start a zone.
    Start(String),
    /// Shut a zone down; it is killed when it does not in time.
    Stop(String),
    /// Kill a zone's process.
    Kill(String),
    /// Shut a zone down and start it again.
    Restart(String),
}

/// A zone, as a program is told of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ZoneLine {
    /// Its name.
    pub name: String,
    /// One of [`Status::WORDS`](super::Status::WORDS).
    pub state: String,
    /// Why it failed or was killed.
    pub reason: Option<String>,
    /// Whether its guest's session has said that it is ready.
    pub ready: bool,
    /// Whether it has the keyboard.
    pub focused: bool,
    /// Whether the policy changed something that it has only after a restart.
    pub needs_restart: bool,
    /// The number of its process.
    pub process: Option<u32>,
}

impl Session {
    /// Lets programs of the user order zones by a socket at `path`.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open_door(&mut self, path: &Path) -> io::Result<()> {
        let door = Door::open(path)?;
        self.watch.add_global(&door, Source::Door)?;
        self.door = Some(door);
        Ok(())
    }

    pub(super) fn serve_door(&mut self, now: Instant) {
        // One in each turn: whoever floods the door waits for everything else.
        if let Some((stream, order)) = self.door.as_ref().and_then(Door::next) {
            door::answer(&stream, &self.obey(&order, now));
        }
    }

    fn obey(&mut self, order: &ZoneOrder, now: Instant) -> Result<Vec<ZoneLine>, String> {
        type Act = fn(&mut Session, usize, Instant);
        let (name, word, act): (_, _, Act) = match order {
            ZoneOrder::List => return Ok(self.zones().map(|zone| self.line(zone)).collect()),
            ZoneOrder::Start(name) => (name, "start", |session, index, _| session.prepare(index)),
            ZoneOrder::Stop(name) => (name, "stop", Self::stop),
            ZoneOrder::Kill(name) => (name, "kill", |session, index, _| session.kill_at(index)),
            ZoneOrder::Restart(name) => (name, "restart", Self::restart),
        };
        let index = self.index(name).map_err(|error| error.to_string())?;
        if self.is_locked() {
            return Err("the desktop is locked: unlock it first".to_owned());
        }
        self.record(Record::zone(name, "ordered", word));
        act(self, index, now);
        let zone = self.zone(name).map_err(|error| error.to_string())?;
        Ok(vec![self.line(zone)])
    }

    fn line(&self, zone: ZoneView<'_>) -> ZoneLine {
        ZoneLine {
            name: zone.name().to_owned(),
            state: zone.status().word().to_owned(),
            reason: zone.status().reason().map(ToString::to_string),
            ready: zone.is_ready(),
            focused: self.scene.focus() == Some(zone.id()),
            needs_restart: zone.needs_restart(),
            process: zone.process_id(),
        }
    }
}
