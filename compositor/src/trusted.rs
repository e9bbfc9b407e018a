//! The trusted UI: the attention screen, questions of the policy, the lock screen, and the pages a person works with.
//!
//! Invariants:
//! - while a page is up no zone is sent anything, and only a person's act takes the page away;
//! - the lock screen ends by [`Scene::unlock`](crate::Scene::unlock) alone: no other call, hot-plug or chord does it;
//! - a question is answered only by a press that came after a while (a second, by default) without any other (an in-flight Enter, a
//!   stream of keys or a foretold click answers nothing), and its default is No.
//!
//! All of these are drawn from the glyph atlas like frames and panel: no toolkit, no font parser. The pages a person works
//! with ([`WorkPage`]) are pictures that come from elsewhere, within a sheet that is drawn here.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::geometry::{Point, Rect};
use crate::input::ZoneCommand;
use crate::text::Label;
use crate::zone::ZoneId;

pub(crate) mod accessible;
pub(crate) mod look;
pub(crate) mod paint;
pub(crate) mod places;
mod prompt;
pub(crate) mod views;
pub(crate) mod words;
pub(crate) mod work;

pub use prompt::{Answer, Grant, PromptId, PromptRefused, PromptRequest};
pub use words::Language;

use prompt::{Prompt, Prompts};
use work::{Work, WorkPage};

/// The longest passphrase, in characters.
const PASSPHRASE_LIMIT: usize = 256;

/// What a control of a page does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Answer(Answer),
    Show(ZoneId),
    Command(ZoneId, ZoneCommand),
    Open(Page),
    Lock,
    Close,
    Unlock,
}

/// The page that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The attention screen: who is who, and what may be done with them.
    Attention,
    /// Every zone's window, made small, to choose one.
    Overview,
    /// One that a person works with.
    Work(WorkPage),
    Prompt,
    Lock,
}

/// A page as laid out on an output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// The page's own pixels.
    pub(crate) area: Rect,
    pub(crate) controls: Vec<(Rect, Control)>,
    /// Columns of zones.
    pub(crate) columns: i32,
    /// Where a zone's own pixels are shown, made small.
    pub(crate) thumbnails: Vec<(Rect, ZoneId)>,
}

impl Layout {
    pub(crate) fn moved_by(self, x: i32, y: i32) -> Self {
        Self {
            area: self.area.moved_by(x, y),
            controls: self
                .controls
                .into_iter()
                .map(|(place, control)| (place.moved_by(x, y), control))
                .collect(),
            columns: self.columns,
            thumbnails: self
                .thumbnails
                .into_iter()
                .map(|(place, zone)| (place.moved_by(x, y), zone))
                .collect(),
        }
    }

    fn control_at(&self, at: Point) -> Option<usize> {
        self.controls
            .iter()
            .position(|(place, _)| place.contains(at))
    }

    /// The control nearest to `from` in rows above (`up`) or below.
    fn vertical(&self, from: usize, up: bool) -> Option<usize> {
        let start = self.controls.get(from)?.0.centre();
        let beyond = |place: &Rect| {
            if up {
                place.bottom() <= start.y
            } else {
                place.top() > start.y
            }
        };
        let distance = |place: &Rect| {
            let centre = place.centre();
            ((centre.y - start.y).abs(), (centre.x - start.x).abs())
        };
        let candidates = self
            .controls
            .iter()
            .enumerate()
            .filter(|(_, (place, _))| beyond(place));
        candidates
            .min_by_key(|(_, (place, _))| distance(place))
            .map(|(at, _)| at)
    }
}

/// Why the screen is locked, as it says itself. It tells nothing of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockReason {
    /// The endpoint has started.
    Started,
    /// It has started, and did not end in good order before.
    Crashed,
    /// A person wanted it.
    Person,
    /// There was no input for as long as the policy says.
    Idle,
    /// The machine slept.
    Slept,
    /// A screen came or went.
    Screens,
    /// The policy was not renewed in time; no passphrase opens it.
    Policy,
    /// Records cannot be written; no passphrase opens it.
    Log,
    /// One of the last two was so, and is not any more: a passphrase opens it.
    Over,
}

impl LockReason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Started,
        Self::Crashed,
        Self::Person,
        Self::Idle,
        Self::Slept,
        Self::Screens,
        Self::Policy,
        Self::Log,
        Self::Over,
    ];
}

/// Why an attempt to unlock the screen did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The passphrase was wrong.
    Wrong,
    /// Something else keeps it locked.
    Held,
    /// Passphrases cannot be checked.
    Broken,
}

/// What the lock screen has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockState {
    pub(crate) why: LockReason,
    /// How many characters are typed.
    pub(crate) typed: usize,
    pub(crate) refused: Option<Refusal>,
    /// So long nothing is taken.
    pub(crate) wait: Duration,
    /// An attempt is being verified.
    pub(crate) verifying: bool,
}

/// What is typed at the lock screen.
struct Lock {
    why: LockReason,
    entry: Zeroizing<String>,
    refused: Option<Refusal>,
    /// Until then nothing is taken.
    retry_at: Duration,
    /// An attempt is being verified.
    verifying: bool,
}

/// The state of all pages.
#[derive(Default)]
pub(crate) struct TrustedUi {
    pub(crate) phrase: Option<Label>,
    pub(crate) work: Work,
    /// The page a person opened: attention screen, overview or one to work with.
    opened: Option<Page>,
    prompts: Prompts,
    lock: Option<Lock>,
    selected: usize,
    /// The control that the held pointer button went down on.
    pressed: Option<usize>,
    armed_at: Duration,
    /// So long nothing may have been pressed before a press answers a question.
    pub(crate) arm_delay: Duration,
    /// Where the pointer was when the page came up: a question is placed away from it.
    pub(crate) appeared_at: Option<Point>,
    /// Who had the keyboard before the first page came up.
    pub(crate) resume: Option<ZoneId>,
}

/// What came of input to a page.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Nothing,
    Activated(Control),
}

impl TrustedUi {
    pub(crate) fn new(arm_delay: Duration) -> Self {
        Self {
            arm_delay,
            ..Self::default()
        }
    }

    pub(crate) fn page(&self) -> Option<Page> {
        if self.lock.is_some() {
            Some(Page::Lock)
        } else {
            self.opened.or_else(|| self.prompt().map(|_| Page::Prompt))
        }
    }

    pub(crate) fn prompt(&self) -> Option<&Prompt> {
        self.prompts.front()
    }

    pub(crate) fn selected(&self) -> usize {
        self.selected
    }

    /// What is to be said at the lock screen.
    pub(crate) fn lock_state(&self, now: Duration) -> Option<LockState> {
        self.lock.as_ref().map(|lock| LockState {
            why: lock.why,
            typed: lock.entry.chars().count(),
            refused: lock.refused,
            wait: lock.retry_at.saturating_sub(now),
            verifying: lock.verifying,
        })
    }

    /// Opens one of the pages that a person may open, with a control selected or none (a number that no control has).
    pub(crate) fn open(&mut self, page: Page, selected: usize) {
        self.opened = Some(page);
        self.work.begin();
        self.selected = selected;
        self.pressed = None;
    }

    pub(crate) fn close(&mut self, now: Duration) {
        self.opened = None;
        self.work.begin();
        self.begin_page(now);
    }

    /// Queues a question and says whether it is the one to be shown now.
    pub(crate) fn ask(
        &mut self,
        request: PromptRequest<'_>,
        now: Duration,
    ) -> Result<(PromptId, bool), PromptRefused> {
        let id = self.prompts.push(request, now)?;
        let first = self.prompts.front().is_some_and(|prompt| prompt.id == id);
        if first && self.page() == Some(Page::Prompt) {
            self.begin_page(now);
        }
        Ok((id, first))
    }

    /// A zone that was started anew may ask again.
    pub(crate) fn forgive(&mut self, zone: ZoneId) {
        self.prompts.forgive(zone);
    }

    pub(crate) fn withdraw(&mut self, matches: impl Fn(&Prompt) -> bool) -> bool {
        self.prompts.withdraw(matches)
    }

    pub(crate) fn answer(&mut self, answer: Answer, now: Duration) -> Option<(PromptId, Answer)> {
        let answered = self.prompts.answer(answer, now);
        self.begin_page(now);
        answered
    }

    /// Locks, or says another reason where it is locked already.
    pub(crate) fn lock(&mut self, why: LockReason) {
        if let Some(lock) = &mut self.lock {
            lock.why = why;
            return;
        }
        self.lock = Some(Lock {
            why,
            entry: Zeroizing::default(),
            refused: None,
            retry_at: Duration::ZERO,
            verifying: false,
        });
        self.opened = None;
        self.work.begin();
        self.pressed = None;
        self.selected = 0;
    }

    pub(crate) fn unlock(&mut self, now: Duration) -> bool {
        let was_locked = self.lock.take().is_some();
        if was_locked {
            self.begin_page(now);
        }
        was_locked
    }

    pub(crate) fn refuse_unlock(&mut self, why: Refusal, retry_at: Duration) {
        if let Some(lock) = &mut self.lock {
            lock.verifying = false;
            lock.refused = Some(why);
            lock.retry_at = retry_at;
        }
    }

    /// Takes the passphrase typed so far, to be verified.
    pub(crate) fn take_attempt(&mut self, now: Duration) -> Option<Zeroizing<String>> {
        let lock = self
            .lock
            .as_mut()
            .filter(|lock| !lock.verifying && lock.retry_at <= now && !lock.entry.is_empty())?;
        lock.verifying = true;
        lock.refused = None;
        Some(std::mem::take(&mut lock.entry))
    }

    fn begin_page(&mut self, now: Duration) {
        self.selected = 0;
        self.pressed = None;
        self.armed_at = now + self.arm_delay;
    }

    /// Whether a press at `now` counts. On a question it counts only after a quiet second, and a press that comes too
    /// early makes the second begin again.
    fn may_act(&mut self, now: Duration) -> bool {
        if self.page() != Some(Page::Prompt) || now >= self.armed_at {
            return true;
        }
        self.armed_at = now + self.arm_delay;
        false
    }

    /// Whether the question's answers can be given now.
    pub(crate) fn is_armed(&self, now: Duration) -> bool {
        self.page() != Some(Page::Prompt) || now >= self.armed_at
    }

    /// When something on a page changes by itself.
    pub(crate) fn next_wake(&self, now: Duration) -> Option<Duration> {
        let arming = (!self.is_armed(now)).then_some(self.armed_at);
        // The wait is told by the second in its last minute, and by the minute before that.
        let retry = self.lock.as_ref().and_then(|lock| {
            let wait = lock
                .retry_at
                .checked_sub(now)
                .filter(|wait| !wait.is_zero())?;
            let step = if wait <= Duration::from_secs(60) {
                1000
            } else {
                60_000
            };
            let later = wait.as_millis().div_ceil(step).saturating_sub(1) * step;
            let later = Duration::from_millis(u64::try_from(later).unwrap_or(0));
            Some(lock.retry_at.saturating_sub(later))
        });
        [arming, retry].into_iter().flatten().min()
    }

    pub(crate) fn move_selection(&mut self, layout: &Layout, step: Step) {
        let count = layout.controls.len();
        let here = self.selected.min(count.saturating_sub(1));
        let next = match step {
            Step::Next if self.selected >= count => Some(0),
            Step::Next => (here + 1).checked_rem(count),
            Step::Previous => (here + count.saturating_sub(1)).checked_rem(count),
            Step::Up => layout.vertical(here, true),
            Step::Down if self.selected >= count => Some(0),
            Step::Down => layout.vertical(here, false),
        };
        self.selected = next.unwrap_or(here);
    }

    pub(crate) fn activate_selected(&mut self, layout: &Layout) -> Outcome {
        layout
            .controls
            .get(self.selected)
            .map_or(Outcome::Nothing, |(_, control)| {
                Outcome::Activated(*control)
            })
    }

    /// A key went down on the page; `character` is what it types.
    pub(crate) fn key(&mut self, layout: &Layout, key: PageKey, now: Duration) -> Outcome {
        if !self.may_act(now) {
            return Outcome::Nothing;
        }
        match (self.page(), key) {
            (Some(Page::Lock), PageKey::Enter) => Outcome::Activated(Control::Unlock),
            (Some(Page::Lock), key) => {
                self.type_at_lock(key);
                Outcome::Nothing
            }
            (Some(Page::Prompt), PageKey::Escape) => {
                Outcome::Activated(Control::Answer(Answer::No))
            }
            (Some(_), PageKey::Escape) => Outcome::Activated(Control::Close),
            (_, PageKey::Enter | PageKey::Character(' ')) => self.activate_selected(layout),
            (_, PageKey::Step(step)) => {
                self.move_selection(layout, step);
                Outcome::Nothing
            }
            _ => Outcome::Nothing,
        }
    }

    fn type_at_lock(&mut self, key: PageKey) {
        let Some(lock) = self.lock.as_mut().filter(|lock| !lock.verifying) else {
            return;
        };
        match key {
            PageKey::Character(character) if lock.entry.chars().count() < PASSPHRASE_LIMIT => {
                // Growing a string would leave a copy of it behind in memory that is not wiped.
                if lock.entry.capacity() == 0 {
                    lock.entry.reserve_exact(PASSPHRASE_LIMIT * 4);
                }
                lock.entry.push(character);
                lock.refused = None;
            }
            PageKey::Backspace => {
                lock.entry.pop();
            }
            PageKey::Escape => lock.entry = Zeroizing::default(),
            _ => {}
        }
    }

    /// The left button went down on the page.
    pub(crate) fn press(&mut self, layout: &Layout, at: Point, now: Duration) {
        self.pressed = if self.may_act(now) {
            layout.control_at(at)
        } else {
            None
        };
        if let Some(pressed) = self.pressed {
            self.selected = pressed;
        }
    }

    /// The left button came up on the page.
    pub(crate) fn release(&mut self, layout: &Layout, at: Point) -> Outcome {
        let pressed = self.pressed.take();
        match pressed.filter(|pressed| layout.control_at(at) == Some(*pressed)) {
            Some(pressed) => layout
                .controls
                .get(pressed)
                .map_or(Outcome::Nothing, |(_, control)| {
                    Outcome::Activated(*control)
                }),
            None => Outcome::Nothing,
        }
    }
}

/// A move of the selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Next,
    Previous,
    Up,
    Down,
}

/// A key as pages understand it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageKey {
    Enter,
    Escape,
    Backspace,
    Step(Step),
    Character(char),
}
