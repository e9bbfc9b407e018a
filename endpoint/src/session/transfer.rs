//! The clipboard across zones: nothing crosses until a person presses the transfer chord in the zone that is to receive it.
//!
//! A copy in a zone is news and nothing more. At the chord the policy is asked whether anything of that kind could cross at all; then
//! the clip is fetched from the one agent, bounded and checked; then the policy decides on it as it is, perhaps by asking the person;
//! then it is recorded, offered to the other agent, delivered once, and wiped. One transfer is under way at a time, and every pixel of
//! trust in it comes from here: agents are hostile.

use std::time::{Duration, Instant};

use bulkhead_policy::audit::FlowRecord;
use bulkhead_policy::{
    Answer, Condition, Decision, Facts, Grant, Kind, Mime, Outcome, Party, Permit, Prompt, Request,
    Scrub, Verdict,
};
use compositor::{Answer as Pressed, Grant as Offered, PromptId, PromptRequest, ZoneId};
use ring::digest::{SHA256, digest};
use spice_agent::{Agent, ClipKind, Contents, Event};

use super::{Session, Zone};
use crate::audit::Event as Record;

/// So long an agent may take to bring what was copied.
const FETCH: Duration = Duration::from_secs(10);
/// So long a question may stand; then the clip is wiped, and the answer is no.
const ASK: Duration = Duration::from_secs(120);
/// So long a delivered offer waits for a program to paste it; then it is wiped.
const OFFER: Duration = Duration::from_secs(120);
/// A copy is a person's act when its zone has the keyboard, or had it so shortly before: agents are slow.
const COPY_DELAY: Duration = Duration::from_secs(2);

/// What a person copied last, and where. Only that it is there is known, not what it is.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    zone: ZoneId,
    incarnation: u32,
    kinds: Vec<ClipKind>,
    at: Instant,
}

/// A clip on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    from: ZoneId,
    to: ZoneId,
    kind: ClipKind,
    /// When it was copied.
    copied: Instant,
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The one agent was asked for it.
    Fetching,
    /// The person is asked.
    Asking {
        id: PromptId,
        prompt: Prompt,
        contents: Contents,
    },
    /// The other agent was told that it is there.
    Offered { permit: Permit, contents: Contents },
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
                        kinds,
                        at: now,
                    });
                }
                Event::Released => {
                    self.clip.take_if(|clip| clip.zone == id);
                }
                Event::Data(contents) => self.fetched(id, contents, now),
                Event::Refused(error) => self.not_fetched(id, &error.to_string(), now),
                Event::Wanted(kind) => self.wanted(index, kind, now),
                _ => {}
            }
        }
        self.pump_agent(index);
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
        self.cancel_transfer("another transfer began");
        let Some(clip) = self.clip.clone() else {
            return self.notify("nothing was copied in another zone", now);
        };
        if clip.zone == to {
            return self.notify("what was copied last is in this zone already", now);
        }
        let lives = |zone: &&Zone| zone.id == clip.zone && zone.incarnation == clip.incarnation;
        if !self.present().any(|zone| lives(&zone)) || self.agent(clip.zone).is_none() {
            return self.notify("what was copied last is gone", now);
        }
        if self.agent(to).is_none() {
            return self.notify("this zone's clipboard agent does not run", now);
        }
        // Before the agent is asked for anything: whether the policy could let it cross, however little it were.
        let could_cross = |kind: &ClipKind| {
            let request = self.request(clip.zone, to, *kind, clip.at, Some(0), now)?;
            let decision = self.engine.decider().decide(&request);
            (decision.verdict != Verdict::Deny && self.fits_kind(&decision, *kind)).then_some(*kind)
        };
        let Some(kind) = clip.kinds.iter().find_map(could_cross) else {
            let kind = clip.kinds.first().copied().unwrap_or(ClipKind::Text);
            return self.refuse(clip.zone, to, kind, clip.at, now);
        };
        if let Some(agent) = self.agent(clip.zone) {
            agent.request(kind);
        }
        self.transfer = Some(Transfer {
            from: clip.zone,
            to,
            kind,
            copied: clip.at,
            stage: Stage::Fetching,
            deadline: now + FETCH,
        });
        self.pump_agent_of(clip.zone);
    }

    /// Records and says that nothing of a clip may cross. It was not looked at.
    fn refuse(&mut self, from: ZoneId, to: ZoneId, kind: ClipKind, copied: Instant, now: Instant) {
        let Some(request) = self.request(from, to, kind, copied, None, now) else {
            return;
        };
        let moment = self.moment();
        match self.engine.authorise(request.clone(), moment) {
            Outcome::Denied(decision) => self.denied(&request, &decision, None, now),
            // The rules that would let it cross do not speak of its kind.
            Outcome::Allowed(_) | Outcome::Ask(_) => {
                self.notify(format!("no rule names {}: not brought", kind.mime()), now);
            }
        }
    }

    /// The one agent has brought what it was asked for.
    fn fetched(&mut self, from: ZoneId, contents: Contents, now: Instant) {
        let expected = |transfer: &Transfer| {
            transfer.from == from && matches!(transfer.stage, Stage::Fetching)
        };
        let Some(transfer) = self.transfer.take_if(|transfer| expected(transfer)) else {
            return;
        };
        let Transfer {
            to, kind, copied, ..
        } = transfer;
        let Some(request) = self.request(from, to, kind, copied, Some(contents.size()), now) else {
            return;
        };
        let moment = self.moment();
        let outcome = self.engine.authorise(request, moment);
        self.decided(transfer, outcome, contents, None, now);
    }

    fn not_fetched(&mut self, from: ZoneId, why: &str, now: Instant) {
        let fetching = |transfer: &Transfer| {
            transfer.from == from && matches!(transfer.stage, Stage::Fetching)
        };
        if self
            .transfer
            .take_if(|transfer| fetching(transfer))
            .is_some()
        {
            self.not_brought(from, why, now);
        }
    }

    fn not_brought(&mut self, from: ZoneId, why: &str, now: Instant) {
        let name = self.name_of(from);
        self.record(Record::zone(&name, "clip-refused", why));
        self.notify(format!("not brought: {why}"), now);
    }

    /// Does what the policy has decided.
    fn decided(
        &mut self,
        transfer: Transfer,
        outcome: Outcome,
        contents: Contents,
        answer: Option<&str>,
        now: Instant,
    ) {
        match outcome {
            Outcome::Allowed(permit) => self.offer(transfer, permit, contents, answer, now),
            Outcome::Ask(prompt) => self.ask(transfer, prompt, contents, now),
            Outcome::Denied(decision) => {
                if let Some(request) = self.request(
                    transfer.from,
                    transfer.to,
                    transfer.kind,
                    transfer.copied,
                    Some(contents.size()),
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
        let why = match rule {
            Some(rule) => format!("rule \"{}\"", rule.name),
            None => decision.reason.to_string(),
        };
        self.notify(format!("not brought: {why}"), now);
    }

    fn ask(&mut self, transfer: Transfer, prompt: Prompt, contents: Contents, now: Instant) {
        let what = match transfer.kind {
            ClipKind::Text => "a text".to_owned(),
            kind => format!("a picture ({})", kind.mime()),
        };
        let question = format!(
            "Bring {what} of {} bytes, copied in {}, to {}?",
            contents.size(),
            self.shown_name_of(transfer.from),
            self.shown_name_of(transfer.to),
        );
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
                detail: b"",
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
                        contents,
                    },
                    deadline: now + ASK,
                    ..transfer
                });
            }
            Err(refused) => {
                let moment = self.moment();
                let outcome = self.engine.answer(prompt, Answer::No, moment);
                self.decided(transfer, outcome, contents, Some("no"), now);
                self.notify(format!("not asked: {refused}"), now);
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
            prompt, contents, ..
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
        self.decided(transfer, outcome, contents, Some(&words), now);
    }

    /// It may cross: what must be taken out is, and the receiver's agent is told that it is there.
    fn offer(
        &mut self,
        transfer: Transfer,
        permit: Permit,
        contents: Contents,
        answer: Option<&str>,
        now: Instant,
    ) {
        let Some(contents) = self.scrubbed(&permit, contents) else {
            let why = "what the policy wants taken out of it cannot be";
            return self.not_brought(transfer.from, why, now);
        };
        if !self.fits_kind(permit.decision(), transfer.kind) {
            let why = format!("no rule names {}", transfer.kind.mime());
            return self.not_brought(transfer.from, &why, now);
        }
        let Some(to) = self.zone_of(permit.target()) else {
            return;
        };
        // Written down before it crosses; what needs a record and gets none stays.
        let recorded = self.record_flow(permit.request(), permit.decision(), |record| {
            record.answer = answer.map(str::to_owned);
        });
        if !recorded && self.engine.needs_record(permit.decision()) {
            return self.notify("not brought: it could not be recorded", now);
        }
        let Some(agent) = self.agent(to) else {
            return self.notify(
                "not brought: the receiver's clipboard agent does not run",
                now,
            );
        };
        agent.offer(transfer.kind);
        let name = self.shown_name_of(to);
        self.notify(format!("ready to be pasted in {name}"), now);
        self.transfer = Some(Transfer {
            to,
            stage: Stage::Offered { permit, contents },
            deadline: now + OFFER,
            ..transfer
        });
        self.pump_agent_of(to);
    }

    /// A program in a zone wants to paste.
    fn wanted(&mut self, index: usize, kind: ClipKind, now: Instant) {
        let Some(id) = self.zones.get(index).map(|zone| zone.id) else {
            return;
        };
        let is_it = |transfer: &mut Transfer| {
            transfer.to == id
                && transfer.kind == kind
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
        let (size, hash) = (contents.size(), digest(&SHA256, contents.bytes()));
        drop(contents);
        let hash: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.record_flow(permit.request(), permit.decision(), |record| {
            record.crossed = Some(size);
            record.sha256 = Some(hash);
        });
        if permit.decision().duties.notify {
            let (from, to) = (self.shown_name_of(from), self.shown_name_of(id));
            self.notify(format!("{size} bytes went from {from} to {to}"), now);
        }
    }

    /// Ends what has waited long enough.
    pub(super) fn keep_transfer(&mut self, now: Instant) {
        let due = self.transfer.as_ref().map(Transfer::deadline);
        if due.is_none_or(|due| due > now) {
            return;
        }
        let why = match self.transfer.as_ref().map(|transfer| &transfer.stage) {
            Some(Stage::Fetching) => "the zone it was copied in did not bring it in time",
            Some(Stage::Asking { .. }) => "nobody answered",
            _ => "nobody pasted it in time",
        };
        self.cancel_transfer(why);
        self.notify(format!("not brought: {why}"), now);
    }

    /// Wipes what is under way, if anything is, and takes back what was said of it.
    pub(super) fn cancel_transfer(&mut self, why: &str) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        match transfer.stage {
            Stage::Fetching => {
                if let Some(agent) = self.agent(transfer.from) {
                    agent.forget_request();
                }
            }
            Stage::Asking { id, .. } => self.scene.withdraw(id),
            Stage::Offered { .. } => {
                if let Some(agent) = self.agent(transfer.to) {
                    agent.withdraw();
                }
                self.pump_agent_of(transfer.to);
            }
        }
        let name = self.name_of(transfer.from);
        self.record(Record::zone(&name, "clip-wiped", why));
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
            Stage::Offered { permit, .. } => permit.request().clone(),
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
            (Stage::Offered { permit, .. }, Outcome::Allowed(new))
                if new.target() == permit.target()
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
                self.notify("not brought: the policy has changed; try again", now);
                false
            }
        };
        self.transfer = Some(transfer);
        if !stays {
            self.cancel_transfer("the policy has changed");
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
            self.cancel_transfer("a zone it concerns has ended");
        }
    }

    /// What would cross, as the policy is asked about it. None where a zone is not there any more.
    fn request(
        &self,
        from: ZoneId,
        to: ZoneId,
        kind: ClipKind,
        copied: Instant,
        size: Option<u64>,
        now: Instant,
    ) -> Option<Request> {
        let party = |id| {
            let zone = self.present().find(|zone| zone.id == id)?;
            Some(Party::Zone(zone.policy.name.clone()))
        };
        Some(
            Request::new(Kind::Clipboard, party(from)?, party(to)?).with(Facts {
                mime: Mime::parse(kind.mime()).ok(),
                bytes: size,
                age: Some(now.saturating_duration_since(copied)),
                ..Facts::default()
            }),
        )
    }

    /// Text may cross by any rule for clipboards; anything else, which nobody here can look into, only by rules that name its type.
    fn fits_kind(&self, decision: &Decision, kind: ClipKind) -> bool {
        let names_types = |id| {
            let rule = self.engine.decider().rule(id);
            rule.is_some_and(|rule| {
                rule.conditions
                    .iter()
                    .any(|condition| matches!(condition, Condition::Mime(_)))
            })
        };
        kind == ClipKind::Text || decision.determining.iter().all(|id| names_types(*id))
    }

    /// A clip without what the policy wants taken out; none where that cannot be done.
    fn scrubbed(&self, permit: &Permit, contents: Contents) -> Option<Contents> {
        let scrub = &permit.decision().duties.scrub;
        match contents.kind() {
            // A plain text has no formatting, no metadata and no links but those that are seen.
            ClipKind::Text if scrub.contains(&Scrub::Escapes) => Some(contents.without_escapes()),
            ClipKind::Text => Some(contents),
            _ => scrub.is_empty().then_some(contents),
        }
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
