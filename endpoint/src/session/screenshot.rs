//! A picture of the desktop that a person asks for by the chord: it shows a zone only where the zone's settings and the policy's rules
//! for screenshots let it; every other zone is black in it.

use std::path::PathBuf;
use std::time::Instant;

use bulkhead_policy::{
    Answer, Decision, Kind, Outcome, Party, Permit, Prompt, Request, ScreenshotRule,
};
use compositor::{Answer as Pressed, Owner, Point, PromptId, PromptRequest, ZoneId};

use super::transfer::{chosen, offered};
use super::{Session, Status};
use crate::words::Remark;

/// A picture while it is decided who is in it.
#[derive(Debug, Default)]
pub(super) struct Screenshot {
    /// Who is.
    visible: Vec<ZoneId>,
    /// Of whom the person is asked.
    asked: Vec<(PromptId, ZoneId, Prompt)>,
}

/// A picture to be taken now.
#[derive(Debug)]
pub struct WantedPicture {
    /// The file to make.
    pub path: PathBuf,
    visible: Vec<ZoneId>,
}

impl Session {
    /// The picture that is to be taken, once it is decided who is in it. Whoever takes it tells [`Session::picture_taken`].
    pub fn wanted_picture(&mut self) -> Option<WantedPicture> {
        self.wanted_picture.take()
    }

    /// Whether a pixel of the desktop is to be black in a picture.
    #[must_use]
    pub fn is_black_in(&self, picture: &WantedPicture, at: Point) -> bool {
        match self.scene.owner_at(at) {
            Owner::Client(zone) | Owner::Thumbnail(zone) => !picture.visible.contains(&zone),
            _ => false,
        }
    }

    /// Says what became of a picture.
    pub fn picture_taken(&mut self, outcome: Result<(), String>, now: Instant) {
        match outcome {
            Ok(()) => self.notify(Remark::PictureSaved, now),
            Err(reason) => {
                tracing::warn!("{reason}");
                self.notify(Remark::PictureNotSaved, now);
            }
        }
    }

    /// The chord was pressed.
    pub(super) fn take_screenshot(&mut self, now: Instant) {
        self.cancel_screenshot();
        let mut screenshot = Screenshot::default();
        let zones: Vec<(ZoneId, Party)> = self
            .present()
            .filter(|zone| zone.status != Status::Off)
            .filter(|zone| zone.policy.screenshots == ScreenshotRule::Visible)
            .map(|zone| (zone.id, Party::Zone(zone.policy.name.clone())))
            .collect();
        let moment = self.moment();
        for (id, party) in zones {
            let request = Request::new(Kind::Screenshot, party, Party::Host);
            match self.engine.authorise(request.clone(), moment) {
                Outcome::Allowed(permit) => self.show_in(&mut screenshot, id, &permit, None),
                Outcome::Denied(decision) => self.leave_out(&request, &decision, None),
                Outcome::Ask(prompt) => self.ask_for(&mut screenshot, id, prompt, now),
            }
        }
        self.screenshot = Some(screenshot);
        self.finish_screenshot();
    }

    fn show_in(
        &mut self,
        screenshot: &mut Screenshot,
        id: ZoneId,
        permit: &Permit,
        answer: Option<&str>,
    ) {
        let recorded = self.record_flow(permit.request(), permit.decision(), |record| {
            record.answer = answer.map(str::to_owned);
        });
        // What needs a record and gets none is left out.
        if recorded || !self.engine.needs_record(permit.decision()) {
            screenshot.visible.push(id);
        }
    }

    fn leave_out(&mut self, request: &Request, decision: &Decision, answer: Option<&str>) {
        self.record_flow(request, decision, |record| {
            record.answer = answer.map(str::to_owned);
        });
    }

    fn ask_for(&mut self, screenshot: &mut Screenshot, id: ZoneId, prompt: Prompt, now: Instant) {
        let zone = self.shown_name_of(id);
        let question = self.say(&Remark::PictureQuestion { zone });
        let grants: Vec<_> = prompt.choices().iter().copied().map(offered).collect();
        let asked = PromptRequest {
            from: id,
            to: None,
            question: &question,
            detail: b"",
            grants: &grants,
        };
        let since = self.since(now);
        match self.scene.ask(asked, since) {
            Ok(asked) => screenshot.asked.push((asked, id, prompt)),
            Err(refused) => {
                tracing::info!("a zone is left out of a picture: {refused}");
                let (request, moment) = (prompt.request().clone(), self.moment());
                if let Outcome::Denied(decision) = self.engine.answer(prompt, Answer::No, moment) {
                    self.leave_out(&request, &decision, Some("no"));
                }
            }
        }
    }

    /// The person has answered a question, perhaps about a picture.
    pub(super) fn screenshot_answered(&mut self, id: PromptId, pressed: Pressed) {
        let Some(mut screenshot) = self.screenshot.take() else {
            return;
        };
        let mut asked = screenshot.asked.extract_if(.., |(asked, ..)| *asked == id);
        let found = asked.next();
        drop(asked);
        let Some((_, zone, prompt)) = found else {
            self.screenshot = Some(screenshot);
            return;
        };
        let (answer, words) = match pressed {
            Pressed::Allow(grant) => {
                let grant = chosen(grant);
                (Answer::Yes(grant), grant.to_string())
            }
            Pressed::No | Pressed::NoMoreQuestions => (Answer::No, "no".to_owned()),
        };
        let (request, moment) = (prompt.request().clone(), self.moment());
        match self.engine.answer(prompt, answer, moment) {
            Outcome::Allowed(permit) => {
                self.show_in(&mut screenshot, zone, &permit, Some(&words));
            }
            Outcome::Denied(decision) => self.leave_out(&request, &decision, Some(&words)),
            // The policy has changed while the question stood: who is not clearly in it is not.
            Outcome::Ask(_) => {}
        }
        self.screenshot = Some(screenshot);
        self.finish_screenshot();
    }

    /// Forgets a picture that is not taken yet: the policy has changed, or the desktop was locked.
    pub(super) fn cancel_screenshot(&mut self) {
        self.wanted_picture = None;
        for (id, ..) in self.screenshot.take().unwrap_or_default().asked {
            self.scene.withdraw(id);
        }
    }

    fn finish_screenshot(&mut self) {
        if let Some(Screenshot { visible, .. }) = self
            .screenshot
            .take_if(|screenshot| screenshot.asked.is_empty())
        {
            let time = self.moment().now.to_string().replace(':', "-");
            let path = self.services.state.picture(&format!("desktop-{time}.png"));
            self.wanted_picture = Some(WantedPicture { path, visible });
        }
    }
}
