//! Where a device goes, by whose word, and how it gets there.

use std::collections::BTreeMap;
use std::time::Instant;

use bulkhead_policy::{
    Answer, Decision, Grant, Moment, Outcome, Permit, Prompt, Request, Verdict, ZoneName,
};
use rustix::event::epoll::{self, EventData, EventFlags};
use usb_redirect::identity::{Circumstances, Identity};

use crate::words::Remark;

use super::holder::Holder;
use super::{
    About, Act, Around, DeviceId, FIRST_DEVICE, Given, Held, Question, QuestionId, State, Usb,
    ZoneNow, judge,
};

impl Usb {
    /// Tries what is new, or waits, in the zones that are ready.
    pub(super) fn consider(&mut self, around: &mut Around<'_>, now: Instant) {
        let waiting: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|(_, device)| {
                matches!(device.state, State::Waiting)
                    && device.automatic
                    && device.identity.is_some()
                    && device.not_before.is_none_or(|due| due <= now)
            })
            .map(|(id, _)| *id)
            .collect();
        let mut asks = Vec::new();
        for id in waiting {
            let Some(zone) = self.place(id, around) else {
                continue;
            };
            if let Ok(Some(prompt)) = self.attempt(id, &zone, around, now) {
                asks.push((id, zone, prompt));
            }
        }
        self.ask(asks);
    }

    /// Where a device goes by itself: to the zone that it was in, to the focused one, or to the only one that may have it.
    fn place(&self, id: DeviceId, around: &Around<'_>) -> Option<ZoneName> {
        let device = self.devices.get(&id)?;
        let may = |zone: &&ZoneNow| {
            let request = self.request(id, &zone.name, around.moment);
            request.is_some_and(|request| {
                around.engine.decider().decide(&request).verdict != Verdict::Deny
            })
        };
        let ready = around.zones.iter().filter(|zone| zone.is_ready);
        let homely =
            ready.filter(|zone| device.home.as_ref().is_none_or(|home| *home == zone.name));
        let candidates: Vec<&ZoneNow> = homely.filter(may).collect();
        let focused = candidates.iter().find(|zone| zone.has_focus);
        match (focused, candidates.as_slice()) {
            (Some(zone), _) | (None, [zone]) => Some(zone.name.clone()),
            _ => None,
        }
    }

    fn request(&self, id: DeviceId, zone: &ZoneName, moment: Moment) -> Option<Request> {
        let device = self.devices.get(&id)?;
        let circumstances = Circumstances {
            another_keyboard: self.devices.iter().any(|(other, device)| {
                *other != id && device.identity.as_ref().is_some_and(Identity::can_type)
            }),
            changed: device.changed,
        };
        let identity = device.identity.as_ref()?;
        let mut request = judge::request(zone.clone(), identity, circumstances);
        request.facts.moment = Some(moment);
        Some(request)
    }

    /// Asks the policy, and gives the device to the zone where it says so. A prompt, where the person is to be asked first.
    pub(super) fn attempt(
        &mut self,
        id: DeviceId,
        zone: &ZoneName,
        around: &mut Around<'_>,
        now: Instant,
    ) -> Result<Option<Prompt>, Remark> {
        let request = self.request(id, zone, around.moment);
        let request = request.ok_or(Remark::NotForZones)?;
        match around.engine.authorise(request.clone(), around.moment) {
            Outcome::Allowed(permit) => self
                .give(id, zone.clone(), permit, None, now)
                .map(|()| None),
            Outcome::Ask(prompt) => Ok(Some(prompt)),
            Outcome::Denied(decision) => {
                let why = judge::reason(around.engine.decider(), &decision);
                self.denied(id, request, decision, None);
                Err(Remark::MayNotHave {
                    zone: zone.to_string(),
                    why: Box::new(why),
                })
            }
        }
    }

    fn denied(
        &mut self,
        id: DeviceId,
        request: Request,
        decision: Decision,
        answer: Option<&'static str>,
    ) {
        if let Some(device) = self.devices.get_mut(&id) {
            device.state = State::Refused;
        }
        self.acts.push(Act::Decided {
            request: Box::new(request),
            decision: Box::new(decision),
            answer,
        });
    }

    pub(super) fn answered(
        &mut self,
        id: DeviceId,
        zone: ZoneName,
        prompt: Prompt,
        yes: bool,
        around: &mut Around<'_>,
        now: Instant,
    ) {
        let request = prompt.request().clone();
        // A yes holds for this device alone, for as long as it is there: the engine's longer grants name no device.
        let (answer, word) = if yes {
            (Answer::Yes(Grant::Once), "yes")
        } else {
            (Answer::No, "no")
        };
        match around.engine.answer(prompt, answer, around.moment) {
            Outcome::Allowed(permit) => {
                if let Err(why) = self.give(id, zone, permit, Some(word), now) {
                    self.acts.push(Act::Tell(why));
                }
            }
            // The policy has changed meanwhile.
            Outcome::Ask(prompt) => self.ask(vec![(id, zone, prompt)]),
            Outcome::Denied(decision) => self.denied(id, request, decision, Some(word)),
        }
    }

    /// Starts the process that holds a device for a zone.
    fn give(
        &mut self,
        id: DeviceId,
        zone: ZoneName,
        permit: Permit,
        answer: Option<&'static str>,
        now: Instant,
    ) -> Result<(), Remark> {
        self.acts.push(Act::Decided {
            request: Box::new(permit.request().clone()),
            decision: Box::new(permit.decision().clone()),
            answer,
        });
        let given = Given {
            permit,
            zone,
            tries: 0,
        };
        self.start(id, given, now)
    }

    pub(super) fn start(&mut self, id: DeviceId, given: Given, now: Instant) -> Result<(), Remark> {
        let Given {
            permit,
            zone,
            tries,
        } = given;
        let device = self.devices.get_mut(&id).ok_or(Remark::DeviceGone)?;
        let identity = device.identity.as_ref().ok_or(Remark::DeviceGone)?;
        let grant = judge::grant(permit.decision(), identity);
        let started = Holder::start(
            &self.places.program,
            &device.source,
            identity.fingerprint(),
            &grant,
        );
        let watched = started.and_then(|(holder, socket)| {
            let token = EventData::new_u64(FIRST_DEVICE.saturating_add(id.0.into()));
            epoll::add(&self.epoll, &holder, token, EventFlags::IN)?;
            Ok((holder, socket))
        });
        let (holder, socket) = match watched {
            Ok(started) => started,
            Err(error) => {
                device.state = State::Refused;
                return Err(Remark::NotStarted {
                    program: self.places.program.display().to_string(),
                    why: error.to_string(),
                });
            }
        };
        device.home = Some(zone.clone());
        device.state = State::Held(Box::new(Held {
            holder,
            permit,
            zone: zone.clone(),
            tries,
            since: now,
            notices: 0,
            last_words: String::new(),
        }));
        let title = device.title.clone();
        self.acts.push(Act::Dial {
            zone: zone.clone(),
            socket,
        });
        if let Some(code) = &grant.challenge {
            let text = Remark::CodeQuestion {
                zone: zone.to_string(),
                code: code.clone(),
            };
            self.question(zone, About::Code(id), text, title);
        }
        Ok(())
    }

    /// Asks the person, once for each zone and dock.
    pub(super) fn ask(&mut self, asks: Vec<(DeviceId, ZoneName, Prompt)>) {
        let mut groups: BTreeMap<(String, ZoneName), Vec<(DeviceId, Prompt)>> = BTreeMap::new();
        for (id, zone, prompt) in asks {
            let root = self.dock(id);
            groups.entry((root, zone)).or_default().push((id, prompt));
        }
        for ((_, zone), members) in groups {
            let mut kinds = Vec::new();
            let mut titles = Vec::new();
            for (id, _) in &members {
                if let Some(device) = self.devices.get_mut(id) {
                    device.state = State::Asked;
                    kinds.extend(device.identity.as_ref().map(Identity::kinds));
                    titles.push(device.title.clone());
                }
            }
            let text = Remark::GiveQuestion {
                zone: zone.to_string(),
                kinds,
            };
            self.question(zone, About::Attach(members), text, titles.join("; "));
        }
    }

    /// The dock that a device is in: the first hub on its way that came while the desktop ran, or else the device itself.
    fn dock(&self, id: DeviceId) -> String {
        let port = self.devices.get(&id).map_or("", |device| &device.port);
        let hubs = self.devices.values().filter(|device| {
            let below = port.strip_prefix(device.port.as_str());
            device.is_hub && device.automatic && below.is_some_and(|rest| rest.starts_with('.'))
        });
        let shallowest = hubs.min_by_key(|hub| hub.port.len());
        shallowest.map_or(port, |hub| &hub.port).to_owned()
    }

    pub(super) fn question(&mut self, zone: ZoneName, about: About, text: Remark, detail: String) {
        self.last_question = self.last_question.wrapping_add(1);
        let question = QuestionId(self.last_question);
        self.acts.push(Act::Ask {
            question,
            zone: zone.clone(),
            text,
            detail,
        });
        self.questions.insert(question, Question { zone, about });
    }

    /// Questions about a device have become pointless; others of the same question are asked about anew.
    pub(super) fn drop_questions(&mut self, id: DeviceId) {
        let concerned: Vec<QuestionId> = self
            .questions
            .iter()
            .filter(|(_, question)| question.about.concerns(id))
            .map(|(question, _)| *question)
            .collect();
        for question in concerned {
            self.withdraw(question);
        }
    }

    pub(super) fn withdraw(&mut self, question: QuestionId) {
        let Some(Question { about, .. }) = self.questions.remove(&question) else {
            return;
        };
        self.acts.push(Act::Withdraw(question));
        if let About::Attach(devices) = about {
            for (id, _) in devices {
                if let Some(device) = self.devices.get_mut(&id)
                    && matches!(device.state, State::Asked)
                {
                    device.state = State::Waiting;
                }
            }
        }
    }
}
