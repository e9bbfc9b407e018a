//! The trusted UI on the scene: what brings its pages up and down, where they are, and what their controls do.

use std::time::Duration;

use super::{OutputId, Scene};
use crate::canvas::Canvas;
use crate::chords::Chord;
use crate::frame;
use crate::geometry::{Point, Rect, Size};
use crate::icons::Masks;
use crate::input::{Action, Passphrase};
use crate::keys;
use crate::panel;
use crate::text::Label;
use crate::theme::Metrics;
use crate::trusted::accessible;
use crate::trusted::look::PageLook;
use crate::trusted::work::{PageInput, PageTree, WorkPage, WorkSpace};
use crate::trusted::{
    Answer, Control, Layout, LockReason, Outcome, Page, PromptId, PromptRefused, PromptRequest,
    Refusal,
};
use crate::trusted::{paint, places};
use crate::zone::ZoneId;

impl Scene {
    /// The phrase that the attention screen shows and that no zone can know. The endpoint keeps it where no zone reads.
    pub fn set_secret_phrase(&mut self, phrase: &str) {
        self.trusted.phrase = Some(Label::new(phrase, 64)).filter(|phrase| !phrase.is_empty());
        self.damage_page();
    }

    /// The page that a person works with, if one is up: what is wanted of it.
    pub fn work_space(&self) -> Option<WorkSpace> {
        let Some(Page::Work(page)) = self.trusted.page() else {
            return None;
        };
        let id = self.page_output()?;
        let output = self.outputs.iter().find(|output| output.id == id)?;
        Some(WorkSpace {
            page,
            visit: self.trusted.work.visit,
            size: self.picture_place(id)?.size(),
            scale: output.scale,
        })
    }

    /// What that page is to hear since the last call.
    pub fn take_page_input(&mut self) -> Vec<PageInput> {
        self.trusted.work.take_input()
    }

    /// Lets that page be painted: `paint` gets its pixels (opaque ARGB8888, rows without padding), which are still those of the
    /// last call where `size` is the same, and says which of them it changed. Nothing is painted if no page of that size is wanted.
    pub fn paint_page_picture(&mut self, size: Size, paint: impl FnOnce(&mut [u32]) -> Vec<Rect>) {
        if self.work_space().is_none_or(|space| space.size != size) {
            return;
        }
        let is_new = self.trusted.work.size != size;
        let changed = paint(self.trusted.work.canvas(size));
        if is_new {
            return self.damage_page();
        }
        let place = self.page_output().and_then(|id| self.picture_place(id));
        let Some(place) = place else { return };
        for rect in changed {
            let rect = rect.moved_by(place.left(), place.top());
            self.damage_rect(rect.intersection(&place));
        }
    }

    /// What is on that page, for screen readers, and whether Escape undoes something on it before it leaves the page.
    pub fn set_page_tree(&mut self, tree: PageTree, holds_escape: bool) {
        if self.work_space().is_some() {
            self.trusted.work.tree = tree;
            self.trusted.work.holds_escape = holds_escape;
        }
    }

    /// A person chose another page on the page that is up.
    pub fn turn_to(&mut self, page: WorkPage) {
        if self.work_space().is_some() {
            self.open_page(Page::Work(page));
        }
    }

    /// A person left the page that is up.
    pub fn leave_page(&mut self) {
        if self.work_space().is_some() {
            self.conclude(Outcome::Activated(Control::Close));
        }
    }

    /// A person asked on the page that is up to see a zone's window.
    pub fn leave_page_for(&mut self, zone: ZoneId) {
        if self.work_space().is_some() {
            self.conclude(Outcome::Activated(Control::Show(zone)));
        }
    }

    /// Where the picture of the page that is up lies on an output.
    fn picture_place(&self, id: OutputId) -> Option<Rect> {
        let output = self.outputs.iter().find(|output| output.id == id)?;
        let sheet = self.page_area(id);
        Some(places::work_picture(sheet, &output.metrics(&self.settings)))
    }

    /// Puts a question to the person. [`Action::Answered`] brings the answer.
    ///
    /// # Errors
    /// The zone has a question open, asked too soon after a No, or may not ask any more. Each counts as a No.
    pub fn ask(
        &mut self,
        request: PromptRequest<'_>,
        now: Duration,
    ) -> Result<PromptId, PromptRefused> {
        self.advance(now);
        let before = self.shown_page();
        let asked = self.trusted.ask(request, now).map(|(id, _)| id);
        self.page_changed(before);
        asked
    }

    /// Takes a question back: it became pointless. If it is shown it says so until the person has seen that.
    pub fn withdraw(&mut self, id: PromptId) {
        if self.trusted.withdraw(|prompt| prompt.id == id) {
            self.damage_page();
        }
    }

    pub(super) fn withdraw_prompts_of(&mut self, id: ZoneId) {
        if self
            .trusted
            .withdraw(|prompt| prompt.from == id || prompt.to == Some(id))
        {
            self.damage_page();
        }
    }

    /// The question that is shown, once it can be answered.
    pub fn answerable(&self) -> Option<PromptId> {
        let is_shown = self.trusted.page() == Some(Page::Prompt) && self.trusted.is_armed(self.now);
        let prompt = self.trusted.prompt().filter(|_| is_shown)?;
        (!prompt.withdrawn).then_some(prompt.id)
    }

    /// Locks the screen: from now on nothing of any zone is shown, on no output, and no zone is sent anything.
    /// Where it is locked already, only what it says of the reason changes.
    pub fn lock(&mut self, why: LockReason) {
        let before = self.shown_page();
        let said = self.trusted.lock_state(self.now).map(|lock| lock.why);
        self.trusted.lock(why);
        if said.is_some_and(|said| said != why) {
            self.damage_page();
        }
        self.page_changed(before);
    }

    /// Unlocks the screen: the endpoint has verified an [`Action::UnlockAttempt`].
    pub fn unlock(&mut self, now: Duration) {
        self.advance(now);
        let before = self.shown_page();
        if self.trusted.unlock(now) {
            self.page_changed(before);
        }
    }

    /// The attempt did not unlock it; the next is taken from `retry_at` on.
    pub fn refuse_unlock(&mut self, why: Refusal, retry_at: Duration) {
        self.trusted.refuse_unlock(why, retry_at);
        self.damage_page();
    }

    /// Whether the screen is locked.
    pub fn is_locked(&self) -> bool {
        self.trusted.page() == Some(Page::Lock)
    }

    /// Whether a page of the trusted UI is up, so that no zone is sent input.
    pub fn is_trusted_up(&self) -> bool {
        self.trusted.page().is_some()
    }

    /// Whether all but page and panel are painted darker.
    pub(crate) fn is_dimmed(&self) -> bool {
        self.trusted.page().is_some_and(|page| page != Page::Lock)
    }

    pub(super) fn advance(&mut self, now: Duration) {
        let (was_armed, due) = (
            self.trusted.is_armed(self.now),
            self.trusted.next_wake(self.now),
        );
        self.now = self.now.max(now);
        if was_armed != self.trusted.is_armed(self.now) || due.is_some_and(|due| due <= self.now) {
            self.damage_page();
        }
    }

    pub(super) fn open_attention(&mut self) {
        self.open_page(Page::Attention);
    }

    /// Opens a page with nothing selected.
    pub(super) fn open_page(&mut self, page: Page) {
        let before = self.shown_page();
        self.trusted.open(page, usize::MAX);
        self.page_changed(before);
    }

    pub(super) fn open_overview(&mut self) {
        let before = self.shown_page();
        let here = self
            .zones
            .iter()
            .position(|zone| Some(zone.identity.id) == self.focus);
        self.trusted.open(Page::Overview, here.unwrap_or(0));
        self.page_changed(before);
    }

    /// Declares a zone's small picture stale.
    pub(super) fn damage_thumbnail(&mut self, id: ZoneId) {
        if self.trusted.page() != Some(Page::Overview) {
            return;
        }
        let layouts = self
            .outputs
            .iter()
            .filter_map(|output| self.page_layout(output.id));
        let places: Vec<Rect> = layouts
            .flat_map(|layout| layout.thumbnails)
            .filter(|(_, zone)| *zone == id)
            .map(|(place, _)| place)
            .collect();
        for place in places {
            self.damage_rect(place);
        }
    }

    /// Whose small picture lies under a point.
    pub(super) fn thumbnail_at(&self, at: Point) -> Option<ZoneId> {
        let output = self
            .outputs
            .iter()
            .find(|output| output.area.contains(at))?;
        let layout = self.page_layout(output.id)?;
        layout
            .thumbnails
            .iter()
            .find(|(place, _)| place.contains(at))
            .map(|(_, zone)| *zone)
    }

    fn shown_page(&self) -> Option<(Page, Option<PromptId>)> {
        let page = self.trusted.page()?;
        let prompt = self
            .trusted
            .prompt()
            .filter(|_| page == Page::Prompt)
            .map(|prompt| prompt.id);
        Some((page, prompt))
    }

    /// Brings focus, pointer and damage in line with a page that came up or went.
    fn page_changed(&mut self, before: Option<(Page, Option<PromptId>)>) {
        let now = self.shown_page();
        if now == before {
            return;
        }
        self.trusted.appeared_at = self.pointer();
        match (before, now) {
            (None, Some(_)) => {
                self.trusted.resume = self.focus;
                self.break_grabs();
                self.set_focus(None);
            }
            (Some(_), None) => {
                let resume = self.trusted.resume.take();
                self.set_focus(
                    resume.filter(|id| self.zone(*id).is_some_and(|zone| self.shows(zone))),
                );
            }
            _ => {}
        }
        self.damage_all();
        self.refresh_pointer();
    }

    pub(super) fn damage_page(&mut self) {
        let pages: Vec<Rect> = self
            .outputs
            .iter()
            .map(|output| self.page_area(output.id))
            .collect();
        for area in pages {
            self.damage_rect(area);
        }
    }

    /// The output a page is on: the pointer's, or the first. The lock screen is on all.
    fn page_output(&self) -> Option<OutputId> {
        let at = self.trusted.appeared_at;
        let pointed = at.and_then(|at| self.outputs.iter().find(|output| output.area.contains(at)));
        pointed.or(self.outputs.first()).map(|output| output.id)
    }

    /// A page as it is laid out on an output, in desktop pixels; `None` where it is not shown.
    pub(super) fn page_layout(&self, id: OutputId) -> Option<Layout> {
        let page = self.trusted.page()?;
        let output = self.outputs.iter().find(|output| output.id == id)?;
        if page != Page::Lock && self.page_output() != Some(id) {
            return None;
        }
        let metrics = output.metrics(&self.settings);
        let zones = self.panel_zones(None);
        let look = self.page_look(&zones);
        Some(match page {
            Page::Lock => places::lock(output.area, &metrics, &look),
            Page::Attention => places::attention(output.work(&self.settings), &metrics, &look),
            Page::Overview => places::overview(output.work(&self.settings), &metrics, &look),
            Page::Prompt => places::prompt(output.work(&self.settings), &metrics, &look),
            Page::Work(_) => places::work(output.work(&self.settings), &metrics),
        })
    }

    fn page_look<'a>(&'a self, zones: &'a [panel::PanelZone<'a>]) -> PageLook<'a> {
        PageLook {
            ui: &self.trusted,
            zones,
            palette: self.settings.theme.palette(),
            words: self.settings.language.words(),
            now: self.now,
            hovered: self.input.hovered_control,
        }
    }

    pub(super) fn page_area(&self, id: OutputId) -> Rect {
        self.page_layout(id)
            .map_or(Rect::EMPTY, |layout| layout.area)
    }

    pub(super) fn page_owns(&self, at: Point) -> bool {
        let output = self.outputs.iter().find(|output| output.area.contains(at));
        output.is_some_and(|output| self.page_area(output.id).contains(at))
    }

    /// The layout that the pointer or the keys act on.
    fn active_layout(&self, at: Option<Point>) -> Layout {
        let pointed = at.and_then(|at| self.outputs.iter().find(|output| output.area.contains(at)));
        let id = if self.is_locked() {
            pointed.map(|output| output.id)
        } else {
            None
        };
        id.or_else(|| self.page_output())
            .and_then(|id| self.page_layout(id))
            .unwrap_or_default()
    }

    pub(super) fn hovered_control(&self, at: Point) -> Option<usize> {
        self.trusted.page()?;
        self.active_layout(Some(at))
            .controls
            .iter()
            .position(|(place, _)| place.contains(at))
    }

    pub(super) fn paint_page(
        &self,
        canvas: &mut Canvas<'_>,
        masks: &mut Masks,
        metrics: &Metrics,
        layout: &Layout,
        (x, y): (i32, i32),
    ) {
        let zones = self.panel_zones(None);
        let look = self.page_look(&zones);
        let local = layout.clone().moved_by(-x, -y);
        paint::paint(canvas, masks, metrics, &local, &look);
        for (place, id) in &local.thumbnails {
            let Some(zone) = self.zone(*id) else { continue };
            match zone.surface.as_ref().filter(|_| zone.shows_pixels()) {
                Some(surface) => {
                    canvas.copy_zone_small(*place, *id, surface.size, surface.pixels.as_ref());
                }
                None => {
                    let palette = self.settings.theme.palette();
                    frame::paint_void(
                        canvas,
                        masks,
                        &palette,
                        metrics,
                        *place,
                        &self.look_of(zone),
                    );
                }
            }
        }
    }

    /// The panel and the page that is up as a tree for screen readers; coordinates are desktop pixels. See the crate
    /// `accesskit` for what its nodes mean. Nothing of what zones draw is in it, and neither are the secret phrase and what
    /// is typed at the lock screen.
    pub fn accessible_tree(&self) -> accesskit::TreeUpdate {
        let mut tree = accessible::Growing::new();
        let zones = self.panel_zones(None);
        let look = self.page_look(&zones);
        let page = self.trusted.page();
        let shown = match page {
            Some(Page::Lock) => self.outputs.first().map(|output| output.id),
            Some(_) => self.page_output(),
            None => None,
        };
        let first = self.outputs.first();
        if let Some(output) = first.filter(|_| page != Some(Page::Lock)) {
            let area = output.panel(&self.settings);
            if let Some((inner, metrics)) = self.panel_at(area.origin()) {
                let status = self.status_line();
                let marks = panel::workspace_marks(inner, &metrics, status);
                let shown = (0..).map(|number| number == self.workspace);
                tree.panel(
                    area,
                    &look,
                    &panel::chips(inner, &metrics, &zones, status),
                    &marks.into_iter().zip(shown).collect::<Vec<_>>(),
                    &status.places(inner, &metrics),
                );
            }
        }
        let shown = shown.and_then(|id| self.outputs.iter().find(|output| output.id == id));
        let layout = shown.and_then(|output| self.page_layout(output.id));
        if let Some(((page, layout), output)) = page.zip(layout).zip(shown) {
            tree.page(page, &layout, &output.metrics(&self.settings), &look);
        }
        let area = first.map_or(Rect::EMPTY, |output| output.area);
        tree.finish(area, self.settings.language)
    }

    pub(super) fn page_key(&mut self, code: u16, shift: bool) {
        let work = &mut self.trusted.work;
        let undoes = work.holds_escape && code == keys::ESCAPE;
        if matches!(self.trusted.page(), Some(Page::Work(_))) && (undoes || code != keys::ESCAPE) {
            let input = keys::page_input(code, shift, self.settings.keyboard);
            return input
                .into_iter()
                .for_each(|input| self.trusted.work.hear(input));
        }
        let Some(key) = keys::page_key(code, shift, self.settings.keyboard) else {
            return;
        };
        let layout = self.active_layout(self.pointer());
        let outcome = self.trusted.key(&layout, key, self.now);
        self.conclude(outcome);
    }

    pub(super) fn page_press(&mut self, button: u16, at: Point) {
        if button != keys::BUTTON_LEFT {
            return;
        }
        if self.work_space().is_some() {
            self.page_pointer();
            return self.trusted.work.hear(PageInput::Button { pressed: true });
        }
        let layout = self.active_layout(Some(at));
        self.trusted.press(&layout, at, self.now);
        self.damage_page();
    }

    pub(super) fn page_release(&mut self, button: u16) {
        let Some(at) = self.pointer().filter(|_| button == keys::BUTTON_LEFT) else {
            return;
        };
        if self.work_space().is_some() {
            return self.trusted.work.hear(PageInput::Button { pressed: false });
        }
        let layout = self.active_layout(Some(at));
        let outcome = self.trusted.release(&layout, at);
        self.conclude(outcome);
    }

    /// Tells a page that a person works with where the pointer is.
    pub(super) fn page_pointer(&mut self) {
        if self.work_space().is_none() {
            return;
        }
        let at = self.pointer();
        let place = self.page_output().and_then(|id| self.picture_place(id));
        let within = at.zip(place).filter(|(at, place)| place.contains(*at));
        let local = within.map(|(at, place)| Point {
            x: at.x - place.left(),
            y: at.y - place.top(),
        });
        self.trusted.work.hear(PageInput::Pointer(local));
    }

    /// The wheel turns what is on a page.
    pub(super) fn page_wheel(&mut self, vertical: i32, horizontal: i32) {
        let bound = |turn: i32| turn.clamp(-960, 960);
        if self.work_space().is_some() {
            self.trusted.work.hear(PageInput::Wheel {
                vertical: bound(vertical),
                horizontal: bound(horizontal),
            });
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        let before = self.shown_page();
        match outcome {
            Outcome::Nothing => {}
            Outcome::Activated(Control::Open(page)) => self.open_page(page),
            Outcome::Activated(Control::Answer(answer)) => self.answer(answer),
            Outcome::Activated(Control::Close) => self.trusted.close(self.now),
            Outcome::Activated(Control::Command(zone, command)) => {
                self.actions.push(Action::Command(zone, command));
            }
            Outcome::Activated(Control::Lock) => self.actions.push(Action::Chord(Chord::Lock)),
            Outcome::Activated(Control::Show(zone)) => {
                self.raise(zone);
                self.trusted.resume = Some(zone);
                self.trusted.close(self.now);
            }
            Outcome::Activated(Control::Unlock) => {
                if let Some(attempt) = self.trusted.take_attempt(self.now) {
                    self.actions
                        .push(Action::UnlockAttempt(Passphrase(attempt)));
                }
            }
        }
        self.damage_page();
        self.page_changed(before);
    }

    fn answer(&mut self, answer: Answer) {
        if let Some((id, answer)) = self.trusted.answer(answer, self.now) {
            self.actions.push(Action::Answered(id, answer));
        }
    }
}
