//! Zones start, stop and end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use compositor::ZoneState as Shown;
use zone_link::{ToZone, ZoneState};

use super::process::Process;
use super::screen;
use super::watch::{Source, ring};
use super::{Finished, Prepared, Session, Status, UnknownZone, launch};
use crate::audit::Event as Record;
use crate::clock;
use crate::words::Remark;

/// How long a zone process may live after it closed its link.
const LINGER: Duration = Duration::from_secs(5);
/// The zone process's exit code when its jail could not be closed.
const NO_JAIL: i32 = 3;

impl Session {
    /// Starts a zone that is not running.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn start(&mut self, name: &str) -> Result<(), UnknownZone> {
        let index = self.index(name)?;
        self.prepare(index);
        Ok(())
    }

    /// Presses a zone's power button: it shuts down, or is killed after its deadline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn power(&mut self, name: &str, now: Instant) -> Result<(), UnknownZone> {
        let index = self.index(name)?;
        self.stop(index, now);
        Ok(())
    }

    /// Kills a zone's process at once, as the user wishes.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn kill(&mut self, name: &str) -> Result<(), UnknownZone> {
        let index = self.index(name)?;
        self.kill_at(index);
        Ok(())
    }

    pub(super) fn kill_at(&mut self, index: usize) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        zone.killed_by_user = true;
        if zone.process.is_some() {
            self.kill_for(index, Remark::KilledByUser);
        } else if zone.is_preparing {
            self.set_status(index, Status::Off);
        }
    }

    /// Shuts every zone down; the session has ended once all are gone. A second call does not wait for them.
    pub fn shut_down(&mut self, now: Instant) {
        let again = std::mem::replace(&mut self.shutting_down, true);
        for index in 0..self.zones.len() {
            if let Some(zone) = self.zones.get_mut(index) {
                zone.restart = false;
            }
            match again {
                true => self.kill_for(index, Remark::DesktopClosed),
                false => self.stop(index, now),
            }
        }
        self.finish_shutdown();
    }

    pub(super) fn finish_shutdown(&mut self) {
        let busy = |zone: &super::Zone| zone.process.is_some() || zone.is_preparing;
        if self.shutting_down && !self.zones.iter().any(busy) {
            self.ended = true;
        }
    }

    /// Opens the zone's image on a thread of its own: hashing it takes a moment, and nobody else shall wait.
    pub(super) fn prepare(&mut self, index: usize) {
        let bell = self.watch.bell();
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        if zone.process.is_some() || zone.withdrawn || self.shutting_down {
            return;
        }
        if zone.is_preparing {
            // It was stopped and started again while its image is still being opened.
            self.set_status(index, Status::Starting);
            return;
        }
        zone.incarnation = zone.incarnation.wrapping_add(1);
        zone.is_preparing = true;
        zone.killed_by_user = false;
        zone.restart = false;
        let (incarnation, image) = (zone.incarnation, zone.policy.image.clone());
        let (images, finisher) = (Arc::clone(&self.services.images), self.finisher.clone());
        let name = zone.name();
        let thread = std::thread::Builder::new()
            .name(format!("open-{name}"))
            .spawn(move || {
                let image = images.open(&image);
                // The session may be gone; then nobody needs it.
                let _ = finisher.send(Finished::Image(Prepared {
                    zone: index,
                    incarnation,
                    image,
                }));
                ring(&bell);
            });
        match thread {
            Ok(_) => self.set_status(index, Status::Starting),
            Err(error) => {
                if let Some(zone) = self.zones.get_mut(index) {
                    zone.is_preparing = false;
                }
                self.set_status(index, Status::Failed(Remark::NoThread(error.to_string())));
            }
        }
    }

    pub(super) fn take_finished(&mut self, now: Instant) {
        while let Ok(news) = self.finished.try_recv() {
            let Prepared {
                zone: index,
                incarnation,
                image,
            } = match news {
                Finished::Image(prepared) => prepared,
                Finished::Log(found) => {
                    self.log_read(found);
                    continue;
                }
                Finished::Unlock(attempt) => {
                    self.unlock_tried(attempt, now);
                    continue;
                }
            };
            let Some(zone) = self.zones.get_mut(index) else {
                continue;
            };
            zone.is_preparing = false;
            if zone.incarnation != incarnation
                || zone.withdrawn
                || self.shutting_down
                || zone.status != Status::Starting
            {
                self.set_status(index, Status::Off);
                continue;
            }
            let started = image.map_err(|error| Remark::NoImage {
                why: error.message,
                mend: error.mend,
            });
            if let Err(reason) = started.and_then(|image| self.launch(index, image, now)) {
                self.set_status(index, Status::Failed(reason));
            }
        }
    }

    fn launch(
        &mut self,
        index: usize,
        image: crate::images::OpenImage,
        now: Instant,
    ) -> Result<(), Remark> {
        let Some(zone) = self.zones.get_mut(index) else {
            return Ok(());
        };
        let identity = image.identity.clone();
        let told = |error: &dyn std::error::Error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let machine = launch::machine(&zone.policy, image, &self.services.state)
            .map_err(|error| Remark::NoHome(told(&error)))?;
        let machine = machine.ok_or(Remark::NoHostName)?;
        let command = (self.services.launcher)(zone.policy.name.as_str());
        let program = command.get_program().to_string_lossy().into_owned();
        let debugger = self.options.debug_zones.then(|| {
            let name = zone.policy.name.as_str();
            tracing::warn!(zone = name, "a debugger can be connected to this zone");
            self.services.state.debugger(name)
        });
        let started = launch::start(
            command,
            &self.required,
            launch::limits(&zone.policy),
            debugger.as_deref(),
        )
        .map_err(|error| Remark::NotStarted {
            program,
            why: error.to_string(),
        })?;
        let process = started.child.id();
        let watched = self.watch.add(&started.link, zone.token(Source::Link));
        let watched =
            watched.and_then(|()| self.watch.add(&started.output, zone.token(Source::Output)));
        let watched =
            watched.and_then(|()| self.watch.add(&started.ended, zone.token(Source::Process)));
        let size = self
            .scene
            .client_size(zone.id)
            .map_or(zone_link::Size::SMALLEST, screen::surface_size);
        zone.outdated.clear();
        zone.process = Some(Process::new(
            started,
            machine,
            &zone.policy.budget,
            size,
            now,
        ));
        if let Err(errno) = watched {
            zone.process = None;
            return Err(Remark::NotWatched(errno.to_string()));
        }
        if self.options.log_consoles {
            let path = self.services.state.console_log(zone.policy.name.as_str());
            if let Err(error) = zone.console.log_to(&path) {
                tracing::warn!("{} cannot be written: {error}", path.display());
            }
        }
        let name = zone.name();
        self.record(Record::zone(
            &name,
            "started",
            &format!("image sha256:{identity}, process {process}"),
        ));
        Ok(())
    }

    /// Asks a zone to shut down.
    pub(super) fn stop(&mut self, index: usize, now: Instant) {
        let after = self.options.shutdown_after;
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        if zone.is_preparing {
            // The image arrives for nobody.
            self.set_status(index, Status::Off);
            return;
        }
        let Some(process) = &mut zone.process else {
            return;
        };
        match zone.status {
            Status::Running => {
                process.deadline = Some((now + after, Remark::NotShutDown));
                let sent = process.send(ToZone::Power);
                self.after_send(index, sent);
                self.set_status(index, Status::Stopping);
            }
            Status::Stopping => {}
            _ => self.kill_for(index, Remark::StoppedEarly),
        }
    }

    /// Stops a zone and starts it again.
    pub(super) fn restart(&mut self, index: usize, now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        if zone.process.is_some() {
            zone.restart = true;
            self.stop(index, now);
        } else {
            self.prepare(index);
        }
    }

    /// Kills a zone's process: from here on not a byte of it is read and not a pixel shown. Its end is collected later.
    pub(super) fn kill_for(&mut self, index: usize, reason: Remark) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let name = zone.name();
        let Some(process) = &mut zone.process else {
            return;
        };
        if let Some(link) = process.link.take() {
            self.watch.remove(&link);
        }
        if let Err(error) = process.child.kill() {
            tracing::error!(
                "zone {name}: its process {} could not be killed: {error}",
                process.child.id()
            );
        }
        process.paused_until = None;
        process.deadline = None;
        process.agent = None;
        if matches!(zone.status, Status::Killed(_)) {
            return;
        }
        // The new status is the record of it.
        self.set_status(index, Status::Killed(reason));
    }

    /// The zone closed its link. Its process is about to end; how, tells why.
    pub(super) fn link_closed(&mut self, index: usize, now: Instant) {
        let Some(process) = self
            .zones
            .get_mut(index)
            .and_then(|zone| zone.process.as_mut())
        else {
            return;
        };
        if let Some(link) = process.link.take() {
            self.watch.remove(&link);
        }
        process.paused_until = None;
        process.deadline = Some((now + LINGER, Remark::LingersWithoutLink));
    }

    /// The zone's process has ended: what it had still to say is read, then the zone is off, failed, or starts again.
    pub(super) fn process_ended(&mut self, index: usize, now: Instant) {
        // It may have said why just before; what is in the socket is all there will ever be, so no budget holds it back.
        if let Some(process) = self
            .zones
            .get_mut(index)
            .and_then(|zone| zone.process.as_mut())
        {
            process.has_ended = true;
        }
        while self
            .zones
            .get(index)
            .and_then(|zone| zone.process.as_ref())
            .is_some_and(|process| process.link.is_some())
        {
            let before = self.messages;
            self.read_link(index, now);
            if self.messages == before {
                break;
            }
        }
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let name = zone.name();
        let Some(mut process) = zone.process.take() else {
            return;
        };
        // A pipe holds 64 KiB; should someone else still hold its other end, that is all that is read.
        let _ = (0..64).all(|_| process.drain_output(&name));
        self.watch.remove(&process.ended);
        let exit = process.child.wait();
        let status = match (&zone.status, &process.reported) {
            (Status::Killed(reason), _) => Status::Killed(reason.clone()),
            (_, Some(ZoneState::Off)) => Status::Off,
            (Status::Panicked, _) => Status::Panicked,
            (_, Some(ZoneState::Failed(reason))) => {
                Status::Failed(Remark::Reported(reason.to_string()))
            }
            (_, Some(ZoneState::Reset)) if zone.restart => Status::Off,
            (_, Some(ZoneState::Reset)) => Status::Failed(Remark::RestartsTooOften),
            _ => Status::Failed(how_it_ended(exit, &process)),
        };
        let restart = zone.restart && !zone.withdrawn && !self.shutting_down;
        zone.outdated.clear();
        self.set_status(index, status);
        self.show_marks(index);
        self.zone_ended(index, now);
        if restart {
            self.prepare(index);
        }
        self.finish_shutdown();
    }

    /// Kills what is late, and reads again from zones that have waited long enough.
    pub(super) fn keep_deadlines(&mut self, now: Instant) {
        for index in 0..self.zones.len() {
            let Some(zone) = self.zones.get_mut(index) else {
                return;
            };
            let (link_token, output_token) = (zone.token(Source::Link), zone.token(Source::Output));
            let Some(process) = &mut zone.process else {
                continue;
            };
            if process.paused_until.is_some_and(|until| until <= now) {
                process.paused_until = None;
                if let Some(link) = &process.link {
                    let waiting = process.has_outbox();
                    self.watch.modify(link, link_token, true, waiting);
                }
                if let Some(output) = &process.output {
                    self.watch.modify(output, output_token, true, false);
                }
            }
            if let Some((_, reason)) = process.deadline.take_if(|(at, _)| *at <= now) {
                self.kill_for(index, reason);
            }
        }
    }

    pub(super) fn set_status(&mut self, index: usize, status: Status) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        if zone.status == status {
            return;
        }
        let (word, detail) = (
            status.word(),
            status.reason().map(Remark::to_string).unwrap_or_default(),
        );
        zone.since = match status {
            Status::Running => Some(clock::timestamp()),
            Status::Stopping => zone.since,
            _ => None,
        };
        zone.status = status;
        let name = zone.name();
        self.show_state(index);
        self.record(Record::zone(&name, word, &detail));
    }

    /// Shows how a zone fares, in the language of the desktop.
    pub(super) fn show_state(&mut self, index: usize) {
        let Some(zone) = self.zones.get(index) else {
            return;
        };
        let dark = |why: &Remark| Shown::dark(&self.say(why));
        let shown = match &zone.status {
            Status::Off => Shown::Off,
            Status::Starting => Shown::starting(""),
            Status::Running => Shown::Running,
            Status::Stopping => Shown::Stopping,
            Status::Panicked => dark(&Remark::Panicked),
            Status::Failed(reason) | Status::Killed(reason) => dark(reason),
        };
        self.scene.set_state(zone.id, shown);
    }
}

fn how_it_ended(exit: std::io::Result<std::process::ExitStatus>, process: &Process) -> Remark {
    let last = process.last_words();
    match exit {
        Ok(exit) if exit.code() == Some(NO_JAIL) => Remark::JailNotClosed(last),
        Ok(exit) => Remark::ProcessEnded {
            how: exit.to_string(),
            last,
        },
        Err(error) => Remark::NotWaitedFor(error.to_string()),
    }
}
