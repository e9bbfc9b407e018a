//! USB devices in the session: what [`crate::usb`] wants done is done here, and what it needs to know is told.

use std::io;
use std::time::Instant;

use compositor::{Answer, PromptId, PromptRequest};
use zone_link::{StreamId, ToZone};

use super::watch::Source;
use super::{Session, Status, Zone};
use crate::usb::{Act, Around, DeviceId, GUEST_PORT, QuestionId, Usb, ZoneNow};
use crate::words::Remark;

/// The devices of a desktop that has any.
pub(super) struct Devices {
    pub(super) usb: Usb,
    /// Questions that stand at the desktop.
    asked: Vec<(PromptId, QuestionId)>,
    /// Counts the streams that were dialled.
    dialled: u32,
}

impl Session {
    /// Lets the desktop have USB devices from now on.
    ///
    /// # Errors
    /// The kernel refuses to watch them.
    pub fn add_devices(&mut self, usb: Usb) -> io::Result<()> {
        self.watch.add_global(&usb, Source::Devices)?;
        self.devices = Some(Devices {
            usb,
            asked: Vec::new(),
            dialled: 0,
        });
        Ok(())
    }

    /// The devices, to be looked at.
    #[must_use]
    pub fn devices(&self) -> Option<&Usb> {
        self.devices.as_ref().map(|devices| &devices.usb)
    }

    pub(super) fn devices_due(&self) -> Option<Instant> {
        self.devices()?.next_deadline()
    }

    /// Does everything that devices want done now.
    pub(super) fn keep_devices(&mut self, now: Instant) {
        self.with_devices(now, |devices, around| devices.usb.dispatch(around, now));
    }

    /// Takes all devices back: the emergency chord.
    pub(super) fn detach_devices(&mut self, now: Instant) {
        if let Some(devices) = &mut self.devices {
            devices.usb.detach_all(now);
        }
        self.keep_devices(now);
        self.notify(Remark::AllDevicesBack, now);
    }

    /// A person wants a zone to have a device: the policy decides, and may want an answer first.
    pub(super) fn attach_device(&mut self, id: DeviceId, zone: &str, now: Instant) {
        let mut reply = Ok(Remark::PersonAsked);
        self.with_devices(now, |devices, around| {
            reply = devices.usb.attach(id, zone, around, now);
            devices.usb.dispatch(around, now)
        });
        let (Ok(remark) | Err(remark)) = reply;
        self.notify(remark, now);
    }

    /// A person wants a device back.
    pub(super) fn detach_device(&mut self, id: DeviceId, now: Instant) {
        if let Some(devices) = &mut self.devices {
            devices.usb.detach(id, now);
        }
        self.keep_devices(now);
    }

    /// The person has answered; false when it was no question about a device.
    pub(super) fn device_answered(&mut self, id: PromptId, answer: Answer, now: Instant) -> bool {
        let asked = self.devices.as_mut().and_then(|devices| {
            let place = devices.asked.iter().position(|(prompt, _)| *prompt == id)?;
            Some(devices.asked.swap_remove(place).1)
        });
        let Some(question) = asked else {
            return false;
        };
        let yes = matches!(answer, Answer::Allow(_));
        self.with_devices(now, |devices, around| {
            devices.usb.answer(question, yes, around, now)
        });
        true
    }

    fn with_devices(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut Devices, &mut Around<'_>) -> Vec<Act>,
    ) {
        let Some(mut devices) = self.devices.take() else {
            return;
        };
        let zones = self
            .present()
            .map(|zone| ZoneNow {
                name: zone.policy.name.clone(),
                is_ready: is_ready(zone),
                has_focus: self.scene.focus() == Some(zone.id),
            })
            .collect();
        let moment = self.moment();
        let mut around = Around {
            moment,
            zones,
            is_locked: self.scene.is_locked(),
            engine: &mut self.engine,
        };
        let acts = act(&mut devices, &mut around);
        let changed = !acts.is_empty();
        self.devices = Some(devices);
        for act in acts {
            self.device_act(act, now);
        }
        if changed {
            self.show_status();
        }
    }

    fn device_act(&mut self, act: Act, now: Instant) {
        match act {
            Act::Dial { zone, socket } => self.dial(zone.as_str(), socket),
            Act::Ask {
                question,
                zone,
                text,
                detail,
            } => {
                let text = self.say(&text);
                self.ask_about_device(question, zone.as_str(), &text, &detail, now);
            }
            Act::Withdraw(question) => {
                let Some(devices) = &mut self.devices else {
                    return;
                };
                let place = devices
                    .asked
                    .iter()
                    .position(|(_, asked)| *asked == question);
                if let Some(place) = place {
                    let (prompt, _) = devices.asked.swap_remove(place);
                    self.scene.withdraw(prompt);
                }
            }
            Act::Decided {
                request,
                decision,
                answer,
            } => {
                self.record_flow(&request, &decision, |record| {
                    record.answer = answer.map(str::to_owned);
                });
            }
            Act::Record(record) => {
                self.record(record);
            }
            Act::Tell(remark) => self.notify(remark, now),
            // The page is brought up to date after every act.
            Act::Changed => {}
        }
    }

    /// Connects a guest to a stream. If it cannot be, the stream's other end is told by its end.
    fn dial(&mut self, zone: &str, socket: std::os::fd::OwnedFd) {
        let Ok(index) = self.index(zone) else {
            return;
        };
        let Some(devices) = &mut self.devices else {
            return;
        };
        devices.dialled = devices.dialled.wrapping_add(1);
        let id = StreamId(devices.dialled);
        let process = self
            .zones
            .get_mut(index)
            .and_then(|zone| zone.process.as_mut());
        let Some(process) = process.filter(|process| process.conversation.is_started()) else {
            return;
        };
        let sent = process.send(ToZone::StreamDial {
            id,
            port: GUEST_PORT,
            socket,
        });
        self.after_send(index, sent);
    }

    fn ask_about_device(
        &mut self,
        question: QuestionId,
        zone: &str,
        text: &str,
        detail: &str,
        now: Instant,
    ) {
        let zone = self.zone(zone).ok().map(|zone| zone.id());
        let asked = zone.map(|from| {
            let request = PromptRequest {
                from,
                to: None,
                question: text,
                detail: detail.as_bytes(),
                grants: &[],
            };
            self.scene.ask(request, self.since(now))
        });
        let Some(devices) = &mut self.devices else {
            return;
        };
        match asked {
            Some(Ok(prompt)) => devices.asked.push((prompt, question)),
            Some(Err(_)) | None => devices.usb.not_asked(question, now),
        }
    }

    /// The panel's sign: which zones have devices.
    pub(super) fn device_words(&self) -> Option<Remark> {
        let mut zones: Vec<String> = self
            .devices()?
            .devices()
            .filter_map(|device| device.zone().map(ToString::to_string))
            .collect();
        zones.sort_unstable();
        zones.dedup();
        (!zones.is_empty()).then_some(Remark::DevicesIn(zones))
    }
}

fn is_ready(zone: &Zone) -> bool {
    let process = zone.process.as_ref();
    zone.status == Status::Running && process.is_some_and(|process| process.is_ready)
}
