//! What pages of the trusted UI are laid out and painted from, and the words in which they say it.

use std::borrow::Cow;
use std::time::Duration;

use super::work::WorkPage;
use super::{Answer, Control, Grant, Page, TrustedUi};
use crate::colour::Colour;
use crate::input::ZoneCommand;
use crate::panel::PanelZone;
use crate::text::Style;
use crate::theme::{Metrics, Palette};
use crate::trusted::words::Words;
use crate::zone::ZoneId;

/// What pages are laid out and painted from.
pub(crate) struct PageLook<'a> {
    pub(crate) ui: &'a TrustedUi,
    pub(crate) zones: &'a [PanelZone<'a>],
    pub(crate) palette: Palette,
    pub(crate) words: &'static Words,
    pub(crate) now: Duration,
    pub(crate) hovered: Option<usize>,
}

/// What a line on the lock screen is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockLine {
    /// Why it is locked.
    Why,
    /// What came of the last attempt.
    Refused,
    /// When the next one is taken.
    Wait,
}

impl PageLook<'_> {
    pub(super) fn zone(&self, id: ZoneId) -> Option<&PanelZone<'_>> {
        self.zones.iter().find(|zone| zone.identity.id == id)
    }

    /// The line with the phrase that no zone knows.
    pub(crate) fn phrase(&self) -> String {
        match &self.ui.phrase {
            Some(phrase) => format!("{}: {phrase}", self.words.phrase_is),
            None => format!("{}: {}", self.words.phrase_is, self.words.no_phrase),
        }
    }

    /// What the lock screen says.
    pub(crate) fn lock_lines(&self) -> impl Iterator<Item = (LockLine, String)> {
        let words = self.words;
        let lock = self.ui.lock_state(self.now);
        let why = lock.map(|lock| (LockLine::Why, words.lock_reason(lock.why).to_owned()));
        let refused = lock
            .and_then(|lock| lock.refused)
            .map(|refusal| (LockLine::Refused, words.refusal(refusal).to_owned()));
        let wait = lock
            .map(|lock| lock.wait)
            .filter(|wait| !wait.is_zero())
            .map(|wait| (LockLine::Wait, words.next_attempt(wait)));
        [why, refused, wait].into_iter().flatten()
    }

    /// A zone's whole name.
    pub(crate) fn full_name(&self, id: ZoneId) -> &str {
        self.zone(id).map_or("", |zone| zone.identity.name.as_str())
    }

    /// What a page is called.
    pub(crate) fn title(&self, page: Page) -> &'static str {
        match page {
            Page::Attention => self.words.attention,
            Page::Overview => self.words.overview,
            Page::Work(WorkPage::Zones) => self.words.zones,
            Page::Work(WorkPage::Policy) => self.words.policy,
            Page::Work(WorkPage::Audit) => self.words.audit,
            Page::Work(WorkPage::Usb) => self.words.usb,
            Page::Work(WorkPage::Settings) => self.words.settings,
            Page::Prompt => self.words.question,
            Page::Lock => self.words.locked,
        }
    }

    pub(crate) fn label(&self, control: Control) -> Cow<'static, str> {
        Cow::Borrowed(match control {
            Control::Open(page) => self.title(page),
            Control::Answer(Answer::No) => self.words.no,
            Control::Answer(Answer::Allow(Grant::Once)) => self.words.allow_once,
            Control::Answer(Answer::Allow(Grant::Session)) => self.words.allow_session,
            Control::Answer(Answer::Allow(Grant::For(time))) => {
                // Rounded up: a person who reads "1 min" is not given ten seconds.
                let minutes = time.as_secs().div_ceil(60);
                return Cow::Owned(self.words.allow_minutes.replace("{}", &minutes.to_string()));
            }
            Control::Answer(Answer::NoMoreQuestions) => self.words.no_more,
            Control::Show(_) => self.words.show,
            Control::Command(_, ZoneCommand::Start) => self.words.start,
            Control::Command(_, ZoneCommand::Stop) => self.words.stop,
            Control::Command(_, ZoneCommand::Restart) => self.words.restart,
            Control::Lock => self.words.lock,
            Control::Close => self.words.back,
            Control::Unlock => self.words.unlock,
        })
    }

    pub(crate) fn width(&self, control: Control, metrics: &Metrics) -> i32 {
        Style::bold(metrics.body, Colour::WHITE).width(&self.label(control)) + metrics.px(26)
    }
}
