//! Clips and files across zones: nothing crosses until a person presses the transfer chord in the zone that is to receive it.
//!
//! A copy in a zone, or a file that its session offers, is news and nothing more. At the chord the policy is asked whether anything of
//! that kind could cross at all; then it is fetched from the one guest, bounded and checked; then the policy decides on it as it is,
//! perhaps by asking the person; then it is recorded, a clip offered to the other guest's agent or a file written by it, delivered
//! once, and wiped. One transfer is under way at a time, and every pixel of trust in it comes from here: guests are hostile.

mod goods;

use std::time::{Duration, Instant};

use bulkhead_policy::audit::FlowRecord;
use bulkhead_policy::{
    Answer, Condition, Decision, Facts, FileName, Grant, Kind, Mime, Outcome, Party, Permit,
    Prompt, Reason, Request, Verdict,
};
use compositor::{Answer as Pressed, Grant as Offered, PromptId, PromptRequest, ZoneId};
use spice_agent::{Agent, ClipKind, Contents, Event, Offer, Outbox};

use goods::{FileBytes, Form, MediaType, Payload, scrubbed};

use super::process::Process;
use super::{Session, Zone};
use crate::audit::Event as Record;
use crate::words::Remark;

/// So long a guest may take to bring what was copied.
const FETCH: Duration = Duration::from_secs(10);
/// So long it may take to bring a file, and to take one.
const FILE: Duration = Duration::from_secs(120);
/// So long a question may stand; then the clip is wiped, and the answer is no.
const ASK: Duration = Duration::from_secs(120);
/// So long a delivered offer waits for a program to paste it; then it is wiped.
const OFFER: Duration = Duration::from_secs(120);
/// A copy is a person's act when its zone has the keyboard, or had it so shortly before: agents are slow.
const COPY_DELAY: Duration = Duration::from_secs(2);

/// What a person copied or offered last, and where. Only that it is there is known, not what it is.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    zone: ZoneId,
    incarnation: u32,
    /// The forms in which it is to be had: what is preferred comes first. Or why it cannot be had at all, to be told to a person who
    /// asks for it, and not before: a zone could go on and on.
    forms: Result<Vec<Form>, Remark>,
    at: Instant,
}

/// A clip or a file on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    from: ZoneId,
    to: ZoneId,
    form: Form,
    /// When it was copied.
    copied: Instant,
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The one guest was asked for it.
    Fetching,
    /// The person is asked.
    Asking {
        id: PromptId,
        prompt: Prompt,
        payload: Payload,
    },
    /// The other guest's agent was told that a clip is there.
    Offered { permit: Permit, contents: Contents },
    /// The other guest's agent writes a file of this size and hash.
    Writing {
        permit: Permit,
        size: u64,
        sha256: String,
    },
}

impl Transfer {
    /// When it has waited long enough.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Session {
    /// Takes note of who has the keyboard.
    pub(super) fn focus_changed(&mut self, focus: Option<ZoneId>, now: Instant) {
        match focus {
            Some(zone) => self.keyboard = Some((zone, None)),
            None => {
                if let Some((_, until)) = &mut self.keyboard {
                    until.get_or_insert(now + COPY_DELAY);
                }
            }
        }
    }

    /// What a guest's agent said.
    pub(super) fn agent_data(&mut self, index: usize, bytes: &[u8], now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let (id, name, incarnation) = (zone.id, zone.name(), zone.incarnation);
        let Some(process) = &mut zone.process else {
            return;
        };
        let Some(agent) = &mut process.agent else {
            return;
        };
        let events = match agent.receive(bytes) {
            Ok(events) => events,
            Err(error) => {
                process.agent = None;
                self.record(Record::zone(
                    &name,
                    "agent-refused",
                    &format!("{error}; no clips until the zone is started again"),
                ));
                return self.forget_clips_of(id);
            }
        };
        for event in events {
            match event {
                Event::Copied(kinds) if self.has_keyboard(id, now) => {
                    self.clip = Some(Clip {
                        zone: id,
                        incarnation,
                        forms: Ok(kinds.into_iter().map(Form::Clip).collect()),
                        at: now,
                    });
                }
                Event::Released => self.gone(id, Kind::Clipboard),
                Event::Data(contents) => self.fetched(id, Payload::Clip(contents), now),
                Event::Refused(error) => {
                    self.not_fetched(id, Kind::Clipboard, Remark::Contents(error), now);
                }
                Event::Wanted(kind) => self.wanted(index, kind, now),
                Event::File(Ok(())) => self.written(id, now),
                Event::File(Err(error)) => self.not_written(id, Remark::NotTaken(error), now),
                _ => {}
            }
        }
        self.pump_agent(index);
    }

    /// What a guest's session said about the file that it offers.
    pub(super) fn offer_data(&mut self, index: usize, bytes: &[u8], now: Instant) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let (id, incarnation) = (zone.id, zone.incarnation);
        let Some(process) = &mut zone.process else {
            return;
        };
        for offer in process.offers.receive(bytes) {
            match offer {
                Offer::File(name) if self.has_keyboard(id, now) => {
                    let name = match name {
                        Ok(name) => FileName::parse(&name).map_err(|_| Remark::FileName),
                        Err(error) => Err(Remark::Offer(error)),
                    };
                    self.clip = Some(Clip {
                        zone: id,
                        incarnation,
                        forms: name.map(|name| {
                            let media_type = MediaType::by_name(&name);
                            vec![Form::File(name, media_type)]
                        }),
                        at: now,
                    });
                }
                Offer::Withdrawn => self.gone(id, Kind::File),
                Offer::Data(bytes) => self.fetched(id, Payload::File(FileBytes(bytes)), now),
                Offer::Refused(error) => {
                    self.not_fetched(id, Kind::File, Remark::Offer(error), now);
                }
                _ => {}
            }
        }
    }

    /// What was copied or offered is not there any more.
    fn gone(&mut self, zone: ZoneId, kind: Kind) {
        let is_it = |clip: &Clip| match &clip.forms {
            Ok(forms) => forms.iter().all(|form| form.kind() == kind),
            Err(_) => kind == Kind::File,
        };
        self.clip.take_if(|clip| clip.zone == zone && is_it(clip));
    }

    /// Sends what waits for a zone's agent.
    pub(super) fn pump_agent(&mut self, index: usize) {
        if let Some(process) = self
            .zones
            .get_mut(index)
            .and_then(|zone| zone.process.as_mut())
        {
            let sent = process.pump_agent();
            self.after_send(index, sent);
        }
    }

    fn has_keyboard(&self, zone: ZoneId, now: Instant) -> bool {
        self.keyboard
            .is_some_and(|(id, until)| id == zone && until.is_none_or(|until| now <= until))
    }

    /// The transfer chord was pressed: brings what was copied last to the zone that has the keyboard.
    pub(super) fn transfer(&mut self, now: Instant) {
        let Some(to) = self.scene.focus() else {
            return;
        };
        self.cancel_transfer(&Remark::AnotherTransfer);
        let Some(clip) = self.clip.clone() else {
            return self.notify(Remark::NothingCopied, now);
        };
        if clip.zone == to {
            return self.notify(Remark::CopiedHere, now);
        }
        let lives = |zone: &&Zone| zone.id == clip.zone && zone.incarnation == clip.incarnation;
        let forms = match clip.forms {
            Ok(forms) => forms,
            Err(why) => return self.not_brought(clip.zone, why, now),
        };
        let needs_agent = |form: &Form| matches!(form, Form::Clip(_));
        if !self.present().any(|zone| lives(&zone))
            || forms.iter().any(needs_agent) && self.agent(clip.zone).is_none()
        {
            return self.notify(Remark::CopyGone, now);
        }
        if self.agent(to).is_none() {
            return self.notify(Remark::NoAgentHere, now);
        }
        // Before the agent is asked for anything: whether the policy could let it cross, however little it were.
        let could_cross = |form: &&Form| {
            let request = self.request(clip.zone, to, form, clip.at, Some(0), now);
            request.is_some_and(|request| {
                let decision = self.engine.decider().decide(&request);
                decision.verdict != Verdict::Deny && self.fits_form(&decision, form)
            })
        };
        let Some(form) = forms.iter().find(could_cross).cloned() else {
            let text = Form::Clip(ClipKind::Text);
            let form = forms.first().unwrap_or(&text);
            return self.refuse(clip.zone, to, form, clip.at, now);
        };
        let patience = match form {
            Form::Clip(_) => FETCH,
            Form::File(..) => FILE,
        };
        self.fetch(clip.zone, &form);
        self.transfer = Some(Transfer {
            from: clip.zone,
            to,
            form,
            copied: clip.at,
            stage: Stage::Fetching,
            deadline: now + patience,
        });
    }

    /// Asks a guest for what was copied or offered there.
    fn fetch(&mut self, from: ZoneId, form: &Form) {
        match form {
            Form::Clip(kind) => {
                if let Some(agent) = self.agent(from) {
                    agent.request(*kind);
                }
                self.pump_agent_of(from);
            }
            Form::File(..) => {
                if let Some(process) = self.process_of(from) {
                    process.offers.request();
                }
                self.answer_offer(from, Outbox::SEND);
            }
        }
    }

    fn answer_offer(&mut self, zone: ZoneId, words: &[u8]) {
        if let Some(index) = self.zones.iter().position(|there| there.id == zone)
            && let Some(process) = self.process_of(zone)
        {
            let sent = process.answer_offer(words);
            self.after_send(index, sent);
        }
    }

    /// Records and says that nothing of a clip may cross. It was not looked at.
    fn refuse(&mut self, from: ZoneId, to: ZoneId, form: &Form, copied: Instant, now: Instant) {
        let Some(request) = self.request(from, to, form, copied, None, now) else {
            return;
        };
        let moment = self.moment();
        match self.engine.authorise(request.clone(), moment) {
            Outcome::Denied(decision) => self.denied(&request, &decision, None, now),
            // The rules that would let it cross do not speak of its kind.
            Outcome::Allowed(_) | Outcome::Ask(_) => {
                self.notify(not_brought(Remark::NoRuleNames(form.goods())), now);
            }
        }
    }

    /// The one guest has brought what it was asked for.
    fn fetched(&mut self, from: ZoneId, payload: Payload, now: Instant) {
        let kind = match payload {
            Payload::Clip(_) => Kind::Clipboard,
            Payload::File(_) => Kind::File,
        };
        let Some(mut transfer) = self.take_fetching(from, kind) else {
            return;
        };
        if let Form::File(_, media_type) = &mut transfer.form {
            media_type.take_if(|known| !known.fits(payload.bytes()));
        }
        let (to, copied) = (transfer.to, transfer.copied);
        let size = Some(payload.size());
        let Some(request) = self.request(from, to, &transfer.form, copied, size, now) else {
            return;
        };
        let moment = self.moment();
        let outcome = self.engine.authorise(request, moment);
        self.decided(transfer, outcome, payload, None, now);
    }

    fn not_fetched(&mut self, from: ZoneId, kind: Kind, why: Remark, now: Instant) {
        if self.take_fetching(from, kind).is_some() {
            self.not_brought(from, why, now);
        }
    }

    /// The transfer that waits for this zone to bring something of this kind.
    fn take_fetching(&mut self, from: ZoneId, kind: Kind) -> Option<Transfer> {
        self.transfer.take_if(|transfer| {
            transfer.from == from
                && transfer.form.kind() == kind
                && matches!(transfer.stage, Stage::Fetching)
        })
    }

    fn not_brought(&mut self, from: ZoneId, why: Remark, now: Instant) {
        let name = self.name_of(from);
        self.record(Record::zone(&name, "clip-refused", &why.to_string()));
        self.notify(not_brought(why), now);
    }

    /// Does what the policy has decided.
    fn decided(
        &mut self,
        transfer: Transfer,
        outcome: Outcome,
        payload: Payload,
        answer: Option<&str>,
        now: Instant,
    ) {
        match outcome {
            Outcome::Allowed(permit) => self.deliver(transfer, permit, payload, answer, now),
            Outcome::Ask(prompt) => self.ask(transfer, prompt, payload, now),
            Outcome::Denied(decision) => {
                if let Some(request) = self.request(
                    transfer.from,
                    transfer.to,
                    &transfer.form,
                    transfer.copied,
                    Some(payload.size()),
                    now,
                ) {
                    self.denied(&request, &decision, answer, now);
                }
            }
        }
    }

    fn denied(
        &mut self,
        request: &Request,
        decision: &Decision,
        answer: Option<&str>,
        now: Instant,
    ) {
        self.record_flow(request, decision, |record| {
            record.answer = answer.map(str::to_owned);
        });
        let rule = decision
            .determining
            .first()
            .and_then(|id| self.engine.decider().rule(*id));
        let why = match rule.filter(|_| decision.reason == Reason::Rules) {
            Some(rule) => Remark::Rule(rule.name.to_string()),
            None => Remark::NoVerdict(decision.reason.clone()),
        };
        self.notify(not_brought(why), now);
    }

    fn ask(&mut self, transfer: Transfer, prompt: Prompt, payload: Payload, now: Instant) {
        let name = match &transfer.form {
            Form::Clip(_) => "",
            Form::File(name, _) => name.as_str(),
        };
        let question = self.say(&Remark::BringQuestion {
            goods: transfer.form.goods(),
            bytes: payload.size(),
            from: self.shown_name_of(transfer.from),
            to: self.shown_name_of(transfer.to),
        });
        let grants: Vec<Offered> = prompt
            .choices()
            .iter()
            .map(|grant| offered(*grant))
            .collect();
        let asked = self.scene.ask(
            PromptRequest {
                from: transfer.from,
                to: Some(transfer.to),
                question: &question,
                detail: name.as_bytes(),
                grants: &grants,
            },
            self.since(now),
        );
        match asked {
            Ok(id) => {
                self.transfer = Some(Transfer {
                    stage: Stage::Asking {
                        id,
                        prompt,
                        payload,
                    },
                    deadline: now + ASK,
                    ..transfer
                });
            }
            Err(refused) => {
                let moment = self.moment();
                let outcome = self.engine.answer(prompt, Answer::No, moment);
                self.decided(transfer, outcome, payload, Some("no"), now);
                self.notify(Remark::NotAsked(refused), now);
            }
        }
    }

    /// The person has answered.
    pub(super) fn answered(&mut self, id: PromptId, pressed: Pressed, now: Instant) {
        let is_it = |transfer: &mut Transfer| matches!(&transfer.stage, Stage::Asking { id: asked, .. } if *asked == id);
        let Some(transfer) = self.transfer.take_if(is_it) else {
            self.screenshot_answered(id, pressed);
            return;
        };
        let Stage::Asking {
            prompt, payload, ..
        } = transfer.stage
        else {
            return;
        };
        let transfer = Transfer {
            stage: Stage::Fetching,
            ..transfer
        };
        let answer = match pressed {
            Pressed::Allow(grant) => Answer::Yes(chosen(grant)),
            Pressed::No | Pressed::NoMoreQuestions => Answer::No,
        };
        let words = match answer {
            Answer::Yes(grant) => grant.to_string(),
            Answer::No => "no".to_owned(),
        };
        let moment = self.moment();
        let outcome = self.engine.answer(prompt, answer, moment);
        self.decided(transfer, outcome, payload, Some(&words), now);
    }

    /// It may cross: what must be taken out is, and the receiver's agent is told that it is there, or to write it.
    fn deliver(
        &mut self,
        transfer: Transfer,
        permit: Permit,
        payload: Payload,
        answer: Option<&str>,
        now: Instant,
    ) {
        let Some(payload) = scrubbed(&permit, payload) else {
            return self.not_brought(transfer.from, Remark::CannotScrub, now);
        };
        if !self.fits_form(permit.decision(), &transfer.form) {
            let why = Remark::NoRuleNames(transfer.form.goods());
            return self.not_brought(transfer.from, why, now);
        }
        let Some(to) = self.zone_of(permit.target()) else {
            return;
        };
        // Written down before it crosses; what needs a record and gets none stays.
        let recorded = self.record_flow(permit.request(), permit.decision(), |record| {
            record.answer = answer.map(str::to_owned);
        });
        if !recorded && self.engine.needs_record(permit.decision()) {
            return self.notify(not_brought(Remark::NotRecorded), now);
        }
        let Some(agent) = self.agent(to) else {
            return self.notify(not_brought(Remark::NoAgentThere), now);
        };
        let (stage, patience) = match payload {
            Payload::Clip(contents) => {
                agent.offer(contents.kind());
                let zone = self.shown_name_of(to);
                self.notify(Remark::PasteReady { zone }, now);
                (Stage::Offered { permit, contents }, OFFER)
            }
            Payload::File(_) => {
                let (size, sha256) = (payload.size(), payload.sha256());
                if let (Form::File(name, _), Payload::File(FileBytes(bytes))) =
                    (&transfer.form, payload)
                {
                    agent.send_file(name.as_str(), bytes);
                }
                let stage = Stage::Writing {
                    permit,
                    size,
                    sha256,
                };
                (stage, FILE)
            }
        };
        self.transfer = Some(Transfer {
            to,
            stage,
            deadline: now + patience,
            ..transfer
        });
        self.pump_agent_of(to);
    }

    /// A guest has written the file that it was sent.
    fn written(&mut self, to: ZoneId, now: Instant) {
        let Some(Transfer {
            from,
            form: Form::File(name, _),
            stage:
                Stage::Writing {
                    permit,
                    size,
                    sha256,
                },
            ..
        }) = self.take_writing(to)
        else {
            return;
        };
        self.crossed(&permit, size, sha256);
        // Once: whoever offered it may end.
        self.gone(from, Kind::File);
        self.answer_offer(from, Outbox::TAKEN);
        let (file, zone) = (name.as_str().to_owned(), self.shown_name_of(to));
        self.notify(Remark::FileArrived { file, zone }, now);
    }

    fn not_written(&mut self, to: ZoneId, why: Remark, now: Instant) {
        if let Some(transfer) = self.take_writing(to) {
            self.not_brought(transfer.from, why, now);
        }
    }

    fn take_writing(&mut self, to: ZoneId) -> Option<Transfer> {
        self.transfer.take_if(|transfer| {
            transfer.to == to && matches!(transfer.stage, Stage::Writing { .. })
        })
    }

    /// Records that it has crossed.
    fn crossed(&mut self, permit: &Permit, size: u64, sha256: String) {
        self.record_flow(permit.request(), permit.decision(), |record| {
            record.crossed = Some(size);
            record.sha256 = Some(sha256);
        });
    }

    /// A program in a zone wants to paste.
    fn wanted(&mut self, index: usize, kind: ClipKind, now: Instant) {
        let Some(id) = self.zones.get(index).map(|zone| zone.id) else {
            return;
        };
        let is_it = |transfer: &mut Transfer| {
            transfer.to == id
                && transfer.form == Form::Clip(kind)
                && matches!(transfer.stage, Stage::Offered { .. })
        };
        let delivered = self.transfer.take_if(is_it);
        let Some(agent) = self.agent(id) else { return };
        let Some(Transfer {
            from,
            stage: Stage::Offered { permit, contents },
            ..
        }) = delivered
        else {
            return agent.provide_nothing();
        };
        agent.provide(&contents);
        // Delivered once: the receiver's clipboard is its own again.
        agent.withdraw();
        let payload = Payload::Clip(contents);
        let (size, sha256) = (payload.size(), payload.sha256());
        drop(payload);
        self.crossed(&permit, size, sha256);
        if permit.decision().duties.notify {
            let (from, to) = (self.shown_name_of(from), self.shown_name_of(id));
            self.notify(
                Remark::Crossed {
                    bytes: size,
                    from,
                    to,
                },
                now,
            );
        }
    }

    /// Ends what has waited long enough.
    pub(super) fn keep_transfer(&mut self, now: Instant) {
        let due = self.transfer.as_ref().map(Transfer::deadline);
        if due.is_none_or(|due| due > now) {
            return;
        }
        let why = match self.transfer.as_ref().map(|transfer| &transfer.stage) {
            Some(Stage::Fetching) => Remark::FetchedTooLate,
            Some(Stage::Asking { .. }) => Remark::NobodyAnswered,
            Some(Stage::Writing { .. }) => Remark::TakenTooLate,
            _ => Remark::PastedTooLate,
        };
        self.cancel_transfer(&why);
        self.notify(not_brought(why), now);
    }

    /// Wipes what is under way, if anything is, and takes back what was said of it.
    pub(super) fn cancel_transfer(&mut self, why: &Remark) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        match transfer.stage {
            Stage::Fetching => {
                if let Some(agent) = self.agent(transfer.from) {
                    agent.forget_request();
                }
                if let Some(process) = self.process_of(transfer.from) {
                    process.offers.forget_request();
                }
            }
            Stage::Asking { id, .. } => self.scene.withdraw(id),
            Stage::Offered { .. } => {
                if let Some(agent) = self.agent(transfer.to) {
                    agent.withdraw();
                }
                self.pump_agent_of(transfer.to);
            }
            Stage::Writing { .. } => {
                if let Some(agent) = self.agent(transfer.to) {
                    agent.cancel_file();
                }
                self.pump_agent_of(transfer.to);
            }
        }
        let name = self.name_of(transfer.from);
        self.record(Record::zone(&name, "clip-wiped", &why.to_string()));
    }

    /// The policy, or its standing, is another: what is under way is decided on again.
    pub(super) fn reconsider_transfer(&mut self, now: Instant) {
        let moment = self.moment();
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        let request = match &transfer.stage {
            // It is decided on when it comes, by whatever policy there is then.
            Stage::Fetching => {
                self.transfer = Some(transfer);
                return;
            }
            Stage::Asking { prompt, .. } => prompt.request().clone(),
            Stage::Offered { permit, .. } | Stage::Writing { permit, .. } => {
                permit.request().clone()
            }
        };
        let again = self.engine.authorise(request.clone(), moment);
        let stays = match (&mut transfer.stage, again) {
            // The same question stands; what may be answered was shown, so it must be the same, too.
            (Stage::Asking { prompt, .. }, Outcome::Ask(new))
                if new.choices() == prompt.choices()
                    && new.decision().target == prompt.decision().target =>
            {
                *prompt = new;
                true
            }
            (
                Stage::Offered { permit, .. } | Stage::Writing { permit, .. },
                Outcome::Allowed(new),
            ) if new.target() == permit.target()
                && new.decision().duties.scrub == permit.decision().duties.scrub =>
            {
                *permit = new;
                true
            }
            (_, Outcome::Denied(decision)) => {
                self.denied(&request, &decision, None, now);
                false
            }
            _ => {
                self.notify(not_brought(Remark::PolicyChanged), now);
                false
            }
        };
        self.transfer = Some(transfer);
        if !stays {
            self.cancel_transfer(&Remark::PolicyChanged);
        }
    }

    /// A zone's process has ended: nothing of it is left to be brought, and what was for it is wiped.
    pub(super) fn zone_ended(&mut self, index: usize, _: Instant) {
        if let Some(id) = self.zones.get(index).map(|zone| zone.id) {
            self.forget_clips_of(id);
        }
    }

    pub(super) fn forget_clips_of(&mut self, id: ZoneId) {
        self.clip.take_if(|clip| clip.zone == id);
        let concerns = |transfer: &Transfer| transfer.from == id || transfer.to == id;
        if self.transfer.as_ref().is_some_and(concerns) {
            self.cancel_transfer(&Remark::ZoneEnded);
        }
    }

    /// What would cross, as the policy is asked about it. None where a zone is not there any more.
    fn request(
        &self,
        from: ZoneId,
        to: ZoneId,
        form: &Form,
        copied: Instant,
        size: Option<u64>,
        now: Instant,
    ) -> Option<Request> {
        let party = |id| {
            let zone = self.present().find(|zone| zone.id == id)?;
            Some(Party::Zone(zone.policy.name.clone()))
        };
        let mut facts = Facts {
            bytes: size,
            age: Some(now.saturating_duration_since(copied)),
            ..Facts::default()
        };
        match form {
            Form::Clip(kind) => facts.mime = Mime::parse(kind.mime()).ok(),
            Form::File(name, media_type) => {
                facts.file_name = Some(name.clone());
                facts.mime = media_type.and_then(|known| Mime::parse(known.name).ok());
            }
        }
        Some(Request::new(form.kind(), party(from)?, party(to)?).with(facts))
    }

    /// Text may cross by any rule for clipboards, a file by any for files; a picture, which nobody here can look into, only by rules
    /// that name its type.
    fn fits_form(&self, decision: &Decision, form: &Form) -> bool {
        let names_types = |id| {
            let rule = self.engine.decider().rule(id);
            rule.is_some_and(|rule| {
                rule.conditions
                    .iter()
                    .any(|condition| matches!(condition, Condition::Mime(_)))
            })
        };
        let needs_type = matches!(form, Form::Clip(kind) if *kind != ClipKind::Text);
        !needs_type || decision.determining.iter().all(|id| names_types(*id))
    }

    /// Records a decision; false when that failed.
    pub(super) fn record_flow(
        &mut self,
        request: &Request,
        decision: &Decision,
        add: impl FnOnce(&mut FlowRecord),
    ) -> bool {
        if !self.engine.needs_record(decision) {
            return true;
        }
        let mut record = FlowRecord::new(self.engine.decider(), request, decision);
        add(&mut record);
        self.record(Record::Flow(Box::new(record)))
    }

    /// The agent of a zone that runs, if it can be asked and offered anything.
    fn agent(&mut self, id: ZoneId) -> Option<&mut Agent> {
        let zone = self
            .zones
            .iter_mut()
            .find(|zone| zone.id == id && !zone.withdrawn)?;
        let agent = zone.process.as_mut()?.agent.as_mut()?;
        agent.is_able().then_some(agent)
    }

    fn process_of(&mut self, id: ZoneId) -> Option<&mut Process> {
        let zone = self.zones.iter_mut().find(|zone| zone.id == id)?;
        zone.process.as_mut()
    }

    fn pump_agent_of(&mut self, id: ZoneId) {
        if let Some(index) = self.zones.iter().position(|zone| zone.id == id) {
            self.pump_agent(index);
        }
    }

    fn zone_of(&self, party: &Party) -> Option<ZoneId> {
        let is_it = |zone: &&Zone| zone.policy.name == party.as_str();
        self.present().find(is_it).map(|zone| zone.id)
    }

    fn name_of(&self, id: ZoneId) -> String {
        let zone = self.zones.iter().find(|zone| zone.id == id);
        zone.map_or_else(String::new, Zone::name)
    }

    pub(super) fn shown_name_of(&self, id: ZoneId) -> String {
        let zone = self.zones.iter().find(|zone| zone.id == id);
        zone.map_or_else(String::new, |zone| zone.policy.display_name.clone())
    }
}

fn not_brought(why: Remark) -> Remark {
    Remark::NotBrought(Box::new(why))
}

/// A choice of the policy as the compositor offers it, and back.
pub(super) fn offered(grant: Grant) -> Offered {
    match grant {
        Grant::Once => Offered::Once,
        Grant::For(duration) => Offered::For(duration),
        Grant::Session => Offered::Session,
    }
}

pub(super) fn chosen(grant: Offered) -> Grant {
    match grant {
        Offered::Once => Grant::Once,
        Offered::For(duration) => Grant::For(duration),
        Offered::Session => Grant::Session,
    }
}
