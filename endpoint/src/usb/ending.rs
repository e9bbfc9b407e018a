//! What a device's process says, and how a zone loses a device: by the policy, the person, the zone's end or its own.

use std::path::Path;
use std::time::Instant;

use bulkhead_policy::ZoneName;
use bulkhead_policy::audit::Event as Record;

use crate::words::Remark;

use super::{
    AGAIN, About, Act, Around, DECLINED, Device, DeviceId, Given, Held, LETTING_GO, NOTICES,
    Question, QuestionId, State, TRIES, Usb, judge,
};

impl Usb {
    /// Another policy is at work: what was asked or refused by the old one is decided anew.
    pub(super) fn forget_verdicts(&mut self) {
        let asked = |question: &Question| matches!(question.about, About::Attach(_));
        let open: Vec<QuestionId> = self
            .questions
            .iter()
            .filter_map(|(id, question)| asked(question).then_some(*id))
            .collect();
        for question in open {
            self.withdraw(question);
        }
        for device in self.devices.values_mut() {
            if matches!(device.state, State::Refused) {
                device.state = State::Waiting;
            }
        }
    }

    /// Decides again on everything that zones have.
    pub(super) fn check_permits(&mut self, around: &mut Around<'_>, now: Instant) {
        let mut over = Vec::new();
        for (id, device) in &mut self.devices {
            let permit = match &mut device.state {
                State::Held(held) => &mut held.permit,
                State::Resting { held, .. } => &mut held.permit,
                _ => continue,
            };
            let before = permit.decision().duties.clone();
            match around.engine.go_on(permit, 0, around.moment) {
                Err(decision) => {
                    let why = judge::reason(around.engine.decider(), &decision);
                    self.acts.push(Act::Decided {
                        request: Box::new(permit.request().clone()),
                        decision,
                        answer: None,
                    });
                    over.push((*id, Remark::PolicyTookBack(Box::new(why))));
                }
                Ok(()) => {
                    let after = &permit.decision().duties;
                    if (&before.usb_passes, before.type_code)
                        != (&after.usb_passes, after.type_code)
                    {
                        over.push((*id, Remark::PolicyPassesOther));
                    }
                }
            }
        }
        for (id, why) in over {
            self.let_go(id, why, now);
        }
    }

    /// A zone that does not run has no devices.
    pub(super) fn follow_zones(&mut self, around: &Around<'_>, now: Instant) {
        let runs = |name: &ZoneName| {
            let zone = around.zones.iter().find(|zone| zone.name == *name);
            zone.is_some_and(|zone| zone.is_ready)
        };
        let orphans: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|(_, device)| match &device.state {
                State::Held(held) => !runs(&held.zone),
                State::Resting { held, .. } => !runs(&held.zone),
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in orphans {
            self.let_go(id, Remark::ZoneStopped, now);
        }
        let idle: Vec<QuestionId> = self
            .questions
            .iter()
            .filter(|(_, question)| !runs(&question.zone))
            .map(|(question, _)| *question)
            .collect();
        for question in idle {
            self.withdraw(question);
        }
    }

    pub(super) fn keep_deadlines(&mut self, around: &Around<'_>, now: Instant) {
        let ids: Vec<DeviceId> = self.devices.keys().copied().collect();
        for id in ids {
            let Some(device) = self.devices.get_mut(&id) else {
                continue;
            };
            match std::mem::replace(&mut device.state, State::Waiting) {
                State::Resting { until, held } if until <= now && !around.is_locked => {
                    if let Err(why) = self.start(id, *held, now) {
                        self.acts.push(Act::Tell(why));
                    }
                }
                State::Leaving { holder, kill_at } if kill_at <= now => {
                    drop(holder);
                    bind_drivers(&self.places.devices, &device.port);
                }
                state => device.state = state,
            }
        }
    }

    /// Takes a device from its zone in good order.
    pub(super) fn let_go(&mut self, id: DeviceId, why: Remark, now: Instant) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let title = device.title.clone();
        match std::mem::replace(&mut device.state, State::Waiting) {
            State::Held(held) => {
                held.holder.ask_to_detach();
                device.state = State::Leaving {
                    holder: held.holder,
                    kill_at: now + LETTING_GO,
                };
                self.tell_end(&held.zone, &title, why);
                self.drop_questions(id);
            }
            State::Resting { held, .. } => self.tell_end(&held.zone, &title, why),
            state => device.state = state,
        }
    }

    pub(super) fn tell_end(&mut self, zone: &ZoneName, title: &str, why: Remark) {
        let detail = format!("{title}: {why}");
        self.acts.push(Act::Record(Record::zone(
            zone.as_str(),
            "usb-ended",
            &detail,
        )));
        self.acts.push(Act::Tell(Remark::DeviceEnded {
            device: title.to_owned(),
            zone: zone.to_string(),
            why: Box::new(why),
        }));
    }

    /// Reads what a device's process says.
    pub(super) fn read_notices(&mut self, id: DeviceId, now: Instant) {
        loop {
            let Some(device) = self.devices.get_mut(&id) else {
                return;
            };
            let holder = match &mut device.state {
                State::Held(held) => &mut held.holder,
                State::Leaving { holder, .. } => holder,
                _ => return,
            };
            match holder.line() {
                Ok(Some(line)) => self.notice(id, &line),
                Ok(None) => return,
                Err(_) => return self.process_ended(id, now),
            }
        }
    }

    fn notice(&mut self, id: DeviceId, line: &str) {
        let Some(Device {
            state: State::Held(held),
            title,
            ..
        }) = self.devices.get_mut(&id)
        else {
            return;
        };
        let (zone, title) = (held.zone.clone(), title.clone());
        tracing::debug!("usb-redirect for {title}: {line}");
        match line.split(' ').next().unwrap_or_default() {
            "typing-too-fast" => {
                let text = Remark::TypingQuestion {
                    zone: zone.to_string(),
                };
                let asked = |question: &Question| matches!(question.about, About::Typing(about) if about == id);
                if !self.questions.values().any(asked) {
                    self.question(zone, About::Typing(id), text, title);
                }
            }
            "code-typed" => self.drop_questions(id),
            "undeclared-report" | "request-refused" | "jail-layer-missing" => {
                if held.notices < NOTICES {
                    held.notices = held.notices.saturating_add(1);
                    let detail = format!("{title}: {line}");
                    let record = Record::zone(zone.as_str(), "usb-notice", &detail);
                    self.acts.push(Act::Record(record));
                }
            }
            "device" | "stopped" => {}
            _ => line.clone_into(&mut held.last_words),
        }
    }

    fn process_ended(&mut self, id: DeviceId, now: Instant) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let held = match std::mem::replace(&mut device.state, State::Waiting) {
            State::Held(held) => *held,
            // It was asked to go, and went.
            State::Leaving { .. } => return,
            state => {
                device.state = state;
                return;
            }
        };
        let Held {
            holder,
            permit,
            zone,
            tries,
            since,
            last_words,
            ..
        } = held;
        let status = holder.finish();
        let title = device.title.clone();
        let in_order = last_words.starts_with("end ");
        let declined = last_words == "end Released" && now < since + DECLINED;
        if declined && tries < TRIES {
            device.state = State::Resting {
                until: now + AGAIN,
                held: Box::new(Given {
                    permit,
                    zone,
                    tries: tries.saturating_add(1),
                }),
            };
        } else {
            // What failed once is not tried again and again.
            device.state = State::Refused;
            if !in_order {
                bind_drivers(&self.places.devices, &device.port);
            }
            let why = match last_words.as_str() {
                "" => Remark::ProcessEnded {
                    how: status.to_string(),
                    last: None,
                },
                "end Released" => Remark::ZoneLetGo,
                "end Unplugged" => Remark::PulledOut,
                words => Remark::SaidLast(words.to_owned()),
            };
            self.tell_end(&zone, &title, why);
        }
        self.drop_questions(id);
    }
}

/// A process that was killed cannot give a device back: the kernel is asked to find drivers for its interfaces.
fn bind_drivers(devices: &Path, port: &str) {
    let Some(probe) = devices.parent().map(|bus| bus.join("drivers_probe")) else {
        return;
    };
    let entries = std::fs::read_dir(devices.join(port)).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    let interfaces = names.filter_map(|name| name.into_string().ok());
    for interface in interfaces.filter(|name| name.starts_with(&format!("{port}:"))) {
        if let Err(error) = std::fs::write(&probe, interface.as_bytes()) {
            tracing::debug!("no driver was looked for, for {interface}: {error}");
        }
    }
}
