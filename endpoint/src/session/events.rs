//! What zones say, and what the scene asks for.

use std::sync::Arc;
use std::time::Instant;

use compositor::{Action, Chord, ZoneCommand, ZoneCursor, ZoneId};
use zone_link::{Damage, Event, Hello, Port, PortBytes, StreamId, ToZone, ZoneState};

use super::process::Next;
use super::watch::Source;
use super::{Session, Status, jail, screen};
use crate::audit::Event as Record;
use crate::words::Remark;

/// Messages of one zone in one go; then the others have their turn.
const TURN: usize = 64;
/// How long a zone process may live after its machine failed.
const LINGER: std::time::Duration = std::time::Duration::from_secs(5);
/// The longest line on the state port.
const STATE_LINE: usize = 256;

impl Session {
    pub(super) fn read_link(&mut self, index: usize, now: Instant) {
        self.flush(index);
        for _ in 0..TURN {
            let Some(zone) = self.zones.get_mut(index) else {
                return;
            };
            let token = zone.token(Source::Link);
            let Some(process) = &mut zone.process else {
                return;
            };
            let next = process.next(now);
            if let (Some(_), Some(link)) = (process.paused_until, &process.link) {
                self.watch.modify(link, token, false, process.has_outbox());
            }
            let pause = process.paused_until.is_some() && !process.has_ended;
            match next {
                Next::Event(event) => {
                    self.messages = self.messages.saturating_add(1);
                    self.handle(index, event, now);
                }
                Next::Nothing | Next::Paused => return,
                Next::Closed => return self.link_closed(index, now),
                Next::Broken(error) => {
                    return self.kill_for(index, Remark::BrokeProtocol(error.to_string()));
                }
            }
            if pause {
                return;
            }
        }
    }

    pub(super) fn read_output(&mut self, index: usize, now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let (name, token) = (zone.name(), zone.token(Source::Output));
        let Some(process) = &mut zone.process else {
            return;
        };
        process.read_output(&name, now);
        if let (Some(_), Some(output)) = (process.paused_until, &process.output) {
            self.watch.modify(output, token, false, false);
        }
    }

    fn handle(&mut self, index: usize, event: Event, now: Instant) {
        match event {
            Event::Hello(hello) => self.hello(index, hello),
            Event::State(state) => self.state(index, state, now),
            Event::Damage(damage) => self.damage(index, &damage, now),
            Event::Cursor(image) => self.cursor(index, screen::cursor(&image)),
            Event::CursorHidden => self.cursor(index, Some(ZoneCursor::Hidden)),
            Event::PortData(port, bytes) => self.port_data(index, port, &bytes, now),
            Event::StreamRequest(id, port) => self.stream_request(index, id, port, now),
            Event::PortCredit(Port::Agent) => self.pump_agent(index),
            // Other ports' credit is counted; nothing waits for it. Whatever else comes late means nothing here.
            _ => {}
        }
    }

    /// The jail is closed: look at it, then start the machine.
    fn hello(&mut self, index: usize, hello: Hello) {
        let verdict = jail::judge(&hello, &self.required);
        if !verdict.refused.is_empty() {
            return self.kill_for(index, Remark::JailLacks(verdict.refused));
        }
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let name = zone.name();
        zone.weakened.clone_from(&verdict.weakened);
        if let Some(process) = &mut zone.process {
            process.hello = Some(hello);
        }
        self.show_marks(index);
        if !verdict.weakened.is_empty() {
            let lacks = Remark::Lacks(verdict.weakened).to_string();
            self.record(Record::zone(&name, "jail-weakened", &lacks));
        }
        let Some(process) = self
            .zones
            .get_mut(index)
            .and_then(|zone| zone.process.as_mut())
        else {
            return;
        };
        let Some(start) = process.start.take() else {
            return;
        };
        if !process.conversation.start() {
            return;
        }
        let sent = process.send(ToZone::Start(Box::new(start)));
        let offered = process.offer_surface();
        self.after_offer(index, offered.map(|offered| sent && offered));
    }

    fn state(&mut self, index: usize, state: ZoneState, now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let stopping = zone.status == Status::Stopping;
        if state == ZoneState::Reset {
            zone.restart |= zone.may_restart(now);
        }
        let may_restart = zone.restart;
        let Some(process) = &mut zone.process else {
            return;
        };
        let before = process.reported.replace(state.clone());
        let status = match state {
            ZoneState::Starting if before == Some(ZoneState::Reset) && !may_restart => {
                return self.kill_for(index, Remark::RestartsTooOften);
            }
            ZoneState::Starting => {
                // It restarted by itself; its process stays.
                zone.restart = false;
                process.is_ready = false;
                process.deadline = None;
                Status::Starting
            }
            ZoneState::Running if stopping => Status::Stopping,
            ZoneState::Running => Status::Running,
            ZoneState::Panicked => Status::Panicked,
            ZoneState::Failed(reason) => {
                process.deadline = Some((now + LINGER, Remark::LingersAfterFailure));
                Status::Failed(Remark::Reported(reason.to_string()))
            }
            // The process ends next, or says that it starts again.
            ZoneState::Off | ZoneState::Reset => {
                process.is_ready = false;
                let late = (now + self.options.shutdown_after, Remark::LingersAfterEnd);
                process.deadline.get_or_insert(late);
                return;
            }
            _ => return,
        };
        self.set_status(index, status);
    }

    fn damage(&mut self, index: usize, damage: &Damage, now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        zone.drew = Some(now);
        let (id, generation) = (
            zone.id,
            compositor::Generation(self.surface_number(index, damage)),
        );
        if damage.first {
            let Some(process) = self
                .zones
                .get_mut(index)
                .and_then(|zone| zone.process.as_mut())
            else {
                return;
            };
            let Some(surface) = process.take_offered(damage.generation) else {
                return;
            };
            let size = surface.size();
            if let Err(error) = self.scene.attach(
                id,
                generation,
                Box::new(screen::SharedPixels(Arc::clone(&surface))),
            ) {
                tracing::error!("a zone's surface could not be shown: {error}");
            }
            let Some(process) = self
                .zones
                .get_mut(index)
                .and_then(|zone| zone.process.as_mut())
            else {
                return;
            };
            if process.wants_other_than(size) {
                let offered = process.offer_surface();
                self.after_offer(index, offered);
            }
        }
        let mut rectangles: Vec<_> = damage.rectangles.iter().map(screen::rectangle).collect();
        if damage.first && rectangles.is_empty() {
            // It drew outside; all the same it has drawn.
            rectangles.push(compositor::Rect::new(0, 0, 1, 1));
        }
        self.scene.damage(id, generation, &rectangles);
        self.zone_drew(id, &rectangles);
    }

    /// Surfaces in the order of all of a zone's processes: each process counts its own from 1.
    fn surface_number(&self, index: usize, damage: &Damage) -> u32 {
        let incarnation = self.zones.get(index).map_or(0, |zone| zone.incarnation);
        incarnation.wrapping_shl(20) | (damage.generation.0 & 0xf_ffff)
    }

    fn cursor(&mut self, index: usize, cursor: Option<ZoneCursor>) {
        if let Some(zone) = self.zones.get(index) {
            self.scene.set_zone_cursor(zone.id, cursor);
        }
    }

    fn port_data(&mut self, index: usize, port: Port, bytes: &PortBytes, now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        match port {
            Port::Console => zone.console.push(bytes.as_slice()),
            Port::State => {
                if let Some(process) = &mut zone.process {
                    for byte in bytes.as_slice() {
                        if *byte == b'\n' {
                            process.is_ready |= process.state_line.trim_ascii() == b"ready";
                            process.state_line.clear();
                        } else if process.state_line.len() < STATE_LINE {
                            process.state_line.push(*byte);
                        }
                    }
                }
            }
            Port::Agent => self.agent_data(index, bytes.as_slice(), now),
            Port::Outbox => self.offer_data(index, bytes.as_slice(), now),
        }
        if let Some(process) = self
            .zones
            .get_mut(index)
            .and_then(|zone| zone.process.as_mut())
        {
            let sent = process.consumed(port, bytes.length());
            self.after_send(index, sent);
        }
    }

    /// No service is offered yet, so every guest's connection to the host is denied.
    fn stream_request(&mut self, index: usize, id: StreamId, port: u32, now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let Some(process) = &mut zone.process else {
            return;
        };
        let sent =
            !process.conversation.answer_stream(id) || process.send(ToZone::StreamRefuse { id });
        self.after_send(index, sent);
        self.record_refusal(index, &format!("vsock connection to host port {port}"), now);
    }

    /// Records what a zone was refused; only so often, for a zone must not fill the log.
    fn record_refusal(&mut self, index: usize, what: &str, now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        if zone.refusals.take(1, now).is_err() {
            zone.unrecorded = zone.unrecorded.saturating_add(1);
            return;
        }
        let more = match std::mem::take(&mut zone.unrecorded) {
            0 => String::new(),
            more => format!(" ({more} more since the last record)"),
        };
        let name = zone.name();
        self.record(Record::zone(&name, "refused", &format!("{what}{more}")));
    }

    pub(super) fn perform(&mut self, action: Action, now: Instant) {
        match action {
            Action::SendToZone(id, input) => {
                let Some(index) = self.zones.iter().position(|zone| zone.id == id) else {
                    return;
                };
                let Some(process) = self
                    .zones
                    .get_mut(index)
                    .and_then(|zone| zone.process.as_mut())
                else {
                    return;
                };
                if process.conversation.is_started() {
                    let sent = process.send(screen::input(input));
                    self.after_send(index, sent);
                    self.key_sent(id, input);
                }
            }
            Action::ResizeZone(id, size) => {
                let Some(index) = self.zones.iter().position(|zone| zone.id == id) else {
                    return;
                };
                let Some(process) = self
                    .zones
                    .get_mut(index)
                    .and_then(|zone| zone.process.as_mut())
                else {
                    return;
                };
                let offered = process.want_size(screen::surface_size(size));
                self.after_offer(index, offered);
            }
            Action::Command(id, command) => self.command(id, command, now),
            Action::FocusChanged(id) => self.focus_changed(id, now),
            Action::Chord(chord) => match chord {
                Chord::Transfer => self.transfer(now),
                Chord::Lock => self.lock_by_user(now),
                Chord::Screenshot => self.take_screenshot(now),
                Chord::DetachDevices => self.detach_devices(now),
                // The scene has opened the page already, or does all of it itself.
                _ => {}
            },
            Action::Answered(prompt, answer) => {
                if !self.device_answered(prompt, answer, now) {
                    self.answered(prompt, answer, now);
                }
            }
            Action::UnlockAttempt(passphrase) => self.try_unlock(passphrase, now),
        }
    }

    /// A person asked this of a zone.
    pub(super) fn command(&mut self, id: ZoneId, command: ZoneCommand, now: Instant) {
        let Some(index) = self.zones.iter().position(|zone| zone.id == id) else {
            return;
        };
        match command {
            ZoneCommand::Start => self.prepare(index),
            ZoneCommand::Stop => self.stop(index, now),
            ZoneCommand::Restart => self.restart(index, now),
        }
    }

    fn after_offer(&mut self, index: usize, offered: Result<bool, zone_link::SurfaceError>) {
        match offered {
            Ok(sent) => self.after_send(index, sent),
            Err(error) => self.kill_for(index, Remark::BadSurface(error.to_string())),
        }
    }

    /// Watches for room where something waits, and gives up on a zone for which too much does.
    pub(super) fn after_send(&mut self, index: usize, sent: bool) {
        if !sent {
            return self.kill_for(index, Remark::NotReading);
        }
        self.watch_link(index);
    }

    fn flush(&mut self, index: usize) {
        if let Some(process) = self
            .zones
            .get_mut(index)
            .and_then(|zone| zone.process.as_mut())
            && process.has_outbox()
        {
            process.flush();
            self.watch_link(index);
        }
    }

    fn watch_link(&mut self, index: usize) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let token = zone.token(Source::Link);
        let Some(process) = &mut zone.process else {
            return;
        };
        let output = process.has_outbox();
        if std::mem::replace(&mut process.watches_output, output) != output
            && let Some(link) = &process.link
        {
            self.watch
                .modify(link, token, process.paused_until.is_none(), output);
        }
    }
}
