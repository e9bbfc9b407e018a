//! Questions of the policy: one for each zone at a time, in the order they came, with growing pauses for zones whose
//! questions are refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::text::Label;
use crate::zone::ZoneId;

/// A question's number, as the endpoint gets it back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromptId(pub u64);

/// How long a Yes holds. The policy says which of them a question may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// For this one flow.
    Once,
    /// Until the zone ends.
    Session,
    /// For so long.
    For(Duration),
}

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not this time.
    No,
    /// Yes, for so long.
    Allow(Grant),
    /// Not this time, and the zone may not ask again until it is started anew.
    NoMoreQuestions,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct PromptRequest<'a> {
    /// The zone that wants something.
    pub from: ZoneId,
    /// The other zone it concerns.
    pub to: Option<ZoneId>,
    /// The endpoint's own words: what would happen.
    pub question: &'a str,
    /// Words that come from a zone (a file name, an address); shown apart, bounded and stripped.
    pub detail: &'a [u8],
    /// What a Yes may mean, at most three; none means once.
    pub grants: &'a [Grant],
}

/// Why a question was not asked; it counts as a No.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptRefused {
    /// The zone's last question is still open.
    #[error("zone {} has a question open already", .0.0)]
    OneAtATime(ZoneId),
    /// The person said No a short while ago.
    #[error("zone {} asked again too soon after a No", .0.0)]
    TooSoon(ZoneId),
    /// The person wants no more questions of this zone.
    #[error("zone {} may not ask any more", .0.0)]
    Silenced(ZoneId),
}

/// A question that waits for its answer.
pub(crate) struct Prompt {
    pub(crate) id: PromptId,
    pub(crate) from: ZoneId,
    pub(crate) to: Option<ZoneId>,
    pub(crate) question: Label,
    pub(crate) detail: Label,
    pub(crate) grants: Vec<Grant>,
    /// It has become pointless (the zone is gone); it stays until a person has seen that, so that a key meant for it
    /// does not land in a zone.
    pub(crate) withdrawn: bool,
}

/// The first pause after a No; it doubles with each further one, up to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Default)]
struct Patience {
    pause: Duration,
    until: Duration,
    silenced: bool,
}

#[derive(Default)]
pub(crate) struct Prompts {
    queue: VecDeque<Prompt>,
    patience: BTreeMap<ZoneId, Patience>,
    last_id: u64,
}

impl Prompts {
    pub(crate) fn front(&self) -> Option<&Prompt> {
        self.queue.front()
    }

    pub(crate) fn push(
        &mut self,
        request: PromptRequest<'_>,
        now: Duration,
    ) -> Result<PromptId, PromptRefused> {
        let from = request.from;
        let patience = self.patience.get(&from).copied().unwrap_or_default();
        if patience.silenced {
            return Err(PromptRefused::Silenced(from));
        }
        if self.queue.iter().any(|prompt| prompt.from == from) {
            return Err(PromptRefused::OneAtATime(from));
        }
        if now < patience.until {
            return Err(PromptRefused::TooSoon(from));
        }
        self.last_id += 1;
        let id = PromptId(self.last_id);
        self.queue.push_back(Prompt {
            id,
            from,
            to: request.to,
            question: Label::new(request.question, 160),
            detail: Label::from_bytes(request.detail, 120),
            grants: if request.grants.is_empty() {
                vec![Grant::Once]
            } else {
                request.grants.iter().copied().take(3).collect()
            },
            withdrawn: false,
        });
        Ok(id)
    }

    /// Answers the first question. A withdrawn one has no answer any more.
    pub(crate) fn answer(&mut self, answer: Answer, now: Duration) -> Option<(PromptId, Answer)> {
        let prompt = self.queue.pop_front()?;
        let patience = self.patience.entry(prompt.from).or_default();
        match answer {
            Answer::Allow(_) => *patience = Patience::default(),
            Answer::No | Answer::NoMoreQuestions => {
                patience.pause = (patience.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                patience.until = now + patience.pause;
                patience.silenced |= answer == Answer::NoMoreQuestions;
            }
        }
        (!prompt.withdrawn).then_some((prompt.id, answer))
    }

    /// Takes questions back. Those that are not shown go at once; the first one says that it is pointless now.
    pub(crate) fn withdraw(&mut self, matches: impl Fn(&Prompt) -> bool) -> bool {
        let mut changed = false;
        let shown = self.queue.front().map(|prompt| prompt.id);
        self.queue
            .retain(|prompt| Some(prompt.id) == shown || !matches(prompt));
        if let Some(prompt) = self.queue.front_mut().filter(|prompt| matches(prompt)) {
            changed = !std::mem::replace(&mut prompt.withdrawn, true);
        }
        changed
    }

    /// A zone that was started anew may ask again.
    pub(crate) fn forgive(&mut self, zone: ZoneId) {
        self.patience.remove(&zone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(from: u32) -> PromptRequest<'static> {
        PromptRequest {
            from: ZoneId(from),
            to: None,
            question: "Open?",
            detail: b"",
            grants: &[],
        }
    }

    #[test]
    fn a_flood_of_questions_is_answered_by_growing_pauses() {
        let mut prompts = Prompts::default();
        let mut shown = 0;
        // Two zones ask a thousand times a second for five minutes; the person always says No at once.
        for milliseconds in 0..300_000u64 {
            let now = Duration::from_millis(milliseconds);
            for zone in [1, 2] {
                if prompts.push(request(zone), now).is_ok() {
                    shown += 1;
                    assert_eq!(
                        prompts.push(request(zone), now),
                        Err(PromptRefused::OneAtATime(ZoneId(zone)))
                    );
                    assert!(prompts.answer(Answer::No, now).is_some());
                }
            }
        }
        // At 0, 2, 6, 14, 30, 62, 122, 182 and 242 seconds: the pause doubles up to a minute.
        assert_eq!(shown, 2 * 9);
        let now = Duration::from_secs(1000);
        prompts.push(request(1), now).unwrap();
        prompts.answer(Answer::NoMoreQuestions, now);
        let later = Duration::from_secs(1_000_000);
        assert_eq!(
            prompts.push(request(1), later),
            Err(PromptRefused::Silenced(ZoneId(1)))
        );
        prompts.forgive(ZoneId(1));
        assert!(prompts.push(request(1), later).is_ok());
    }

    #[test]
    fn a_withdrawn_question_stays_until_it_was_seen_and_answers_nothing() {
        let mut prompts = Prompts::default();
        prompts.push(request(1), Duration::ZERO).unwrap();
        prompts.push(request(2), Duration::ZERO).unwrap();
        assert!(prompts.withdraw(|prompt| prompt.from == ZoneId(1)));
        assert!(
            !prompts.withdraw(|prompt| prompt.from == ZoneId(2)),
            "it was not shown"
        );
        assert!(prompts.front().unwrap().withdrawn);
        assert_eq!(
            prompts.answer(Answer::Allow(Grant::Once), Duration::ZERO),
            None
        );
        assert!(prompts.front().is_none());
    }
}
