//! The scene: outputs, zones with their windows, focus, pointer; commands in, damage and actions out.
//!
//! Invariants, whatever zones and people do:
//! - every pixel of an output has exactly one owner ([`Scene::owner_at`]), and only the client area of a live zone's
//!   topmost window shows pixels of that zone;
//! - focus moves only in [`Scene::handle`], that is by a person's act (it is lost, but never given, when a window goes);
//! - a zone without focus is sent nothing but releases of what it holds;
//! - nothing here reads a clock: times are handed in, as durations since any fixed moment.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chords::Chords;
use crate::cursor::ZoneCursor;
use crate::frame::{Frame, Part};
use crate::geometry::{Point, Rect, Region, Scale, Size};
use crate::icons::{Masks, Sign};
use crate::input::{Action, ZoneInput};
use crate::keys::HostKey;
use crate::layout::KeyboardLayout;
use crate::panel::{self, Item, PanelZone, StatusLine};
use crate::text::Label;
use crate::theme::{Metrics, Theme};
use crate::trusted::views::PanelSigns;
use crate::trusted::work::WorkPage;
use crate::trusted::{Language, Page, TrustedUi};
use crate::zone::{Generation, ZoneId, ZoneIdentity, ZonePixels, ZoneState};

mod input;
mod output;
mod render;
mod trusted;
mod window;
mod workspace;

pub use output::OutputId;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use render::DIMMING;
pub use render::{RenderStatistics, Target};
pub use window::{Arrangement, Placement};

use input::InputState;
use output::Output;
use window::Window;

/// So many workspaces there are.
pub const WORKSPACES: usize = 4;

/// More zones than this are refused.
pub const MAXIMUM_ZONES: usize = 64;

/// How the scene looks and behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Colours.
    pub theme: Theme,
    /// Texts and the bars that hold them a quarter larger.
    pub large_text: bool,
    /// The key that makes chords.
    pub host_key: HostKey,
    /// What the trusted UI speaks.
    pub language: Language,
    /// What keys type in the trusted UI's own fields.
    pub keyboard: KeyboardLayout,
    /// What moves focus.
    pub focus_by: FocusBy,
    /// So long nothing may have been pressed before a press answers a question; kept between 0.2 s and 10 s.
    pub arm_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Theme::default(),
            large_text: false,
            host_key: HostKey::default(),
            language: Language::default(),
            keyboard: KeyboardLayout::default(),
            focus_by: FocusBy::default(),
            arm_delay: Duration::from_secs(1),
        }
    }
}

/// What moves focus: always a person's act, but which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FocusBy {
    /// Clicks and chords.
    #[default]
    ClickOrChord,
    /// Clicks on windows and in the panel.
    Click,
    /// Chords, and what is chosen on the attention screen or in the overview. A click into a window without focus does
    /// nothing.
    Chord,
}

/// Who a pixel of an output belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nothing is there: the plain desktop, or no output at all.
    Desktop,
    /// The trusted line.
    Panel,
    /// A zone's frame, painted by the endpoint.
    Frame(ZoneId),
    /// A page of the trusted UI.
    Trusted,
    /// A zone's own pixels, made small, in the overview.
    Thumbnail(ZoneId),
    /// A zone's own pixels (or the endpoint's words in place of them).
    Client(ZoneId),
}

/// Why a zone could not be added or changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SceneError {
    /// Two zones with one number.
    #[error("zone {} is already in the scene", .0.0)]
    Duplicate(ZoneId),
    /// No such zone.
    #[error("zone {} is not in the scene", .0.0)]
    Unknown(ZoneId),
    /// The bound on zones is reached.
    #[error("the scene holds {MAXIMUM_ZONES} zones already; stop one first")]
    Full,
    /// A surface without pixels, or too large a one.
    #[error("zone {}: a surface of {width} x {height} pixels is empty or larger than 16384 on a side", .zone.0)]
    BadSurface {
        /// Whose surface.
        zone: ZoneId,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// A surface that is not newer than the one it should replace.
    #[error("zone {}: surface {} is not newer than the one in use", .0.0, .1.0)]
    StaleSurface(ZoneId, Generation),
}

struct Surface {
    generation: Generation,
    size: Size,
    pixels: Box<dyn ZonePixels>,
    /// Whether the zone has drawn since it was attached.
    drawn: bool,
    /// What it has drawn since [`Scene::take_changes`], once that has been asked for.
    changes: Option<Region>,
}

pub(crate) struct Zone {
    identity: ZoneIdentity,
    state: ZoneState,
    title: Label,
    surface: Option<Surface>,
    cursor: Option<ZoneCursor>,
    window: Window,
}

impl Zone {
    /// Whether the client area shows the zone's own pixels.
    fn shows_pixels(&self) -> bool {
        self.state.is_live() && self.surface.as_ref().is_some_and(|surface| surface.drawn)
    }
}

/// Everything on the desktop.
pub struct Scene {
    settings: Settings,
    outputs: Vec<Output>,
    /// In the order of the panel.
    zones: Vec<Zone>,
    /// From the bottom window to the top one.
    stack: Vec<ZoneId>,
    focus: Option<ZoneId>,
    /// The workspace whose windows are shown.
    workspace: usize,
    /// Who had the keyboard on each workspace when it was left.
    remembered: [Option<ZoneId>; WORKSPACES],
    status: Vec<Label>,
    signs: PanelSigns,
    input: InputState,
    actions: Vec<Action>,
    chords: Chords,
    masks: Masks,
    trusted: TrustedUi,
    /// The last time that was handed in.
    now: Duration,
    statistics: RenderStatistics,
}

/// So many characters of the endpoint's words in the panel are seen whole.
pub const STATUS_LENGTH: usize = 96;

impl Scene {
    /// A desktop with one output and no zones.
    pub fn new(size: Size, scale: Scale, settings: Settings) -> Self {
        let trusted = TrustedUi::new(bounded_delay(settings.arm_delay));
        Self {
            settings,
            outputs: vec![Output::new(
                OutputId(0),
                Rect::of_size(Size::new(size.width, size.height)),
                scale,
            )],
            zones: Vec::new(),
            stack: Vec::new(),
            focus: None,
            workspace: 0,
            remembered: [None; WORKSPACES],
            status: Vec::new(),
            signs: PanelSigns::default(),
            input: InputState::default(),
            actions: Vec::new(),
            chords: Chords::default(),
            masks: Masks::default(),
            trusted,
            now: Duration::ZERO,
            statistics: RenderStatistics::default(),
        }
    }

    /// What the endpoint is to do since the last call. [`Scene::handle`] returns the same list for its own event.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Changes colours, text size or host key.
    pub fn set_settings(&mut self, settings: Settings) {
        if self.settings != settings {
            self.settings = settings;
            self.trusted.arm_delay = bounded_delay(settings.arm_delay);
            self.reflow();
        }
    }

    /// What was set last.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Changes which keys are chords. One for secure attention is always kept.
    pub fn set_chords(&mut self, chords: Chords) {
        self.chords = chords.completed();
    }

    /// Words of the endpoint at the right end of the panel, from the right: what is wrong, and what just happened. Words of
    /// [`STATUS_LENGTH`] characters find room on a screen of 1280 points; what is longer is shortened on the screen, at last.
    pub fn set_status<S: AsRef<str>>(&mut self, status: &[S]) {
        let status: Vec<Label> = status
            .iter()
            .take(8)
            .map(|words| Label::new(words.as_ref(), 2 * STATUS_LENGTH))
            .collect();
        if self.status != status {
            self.status = status;
            self.damage_panels();
        }
    }

    /// The signs at the right end of the panel, beside those words.
    pub fn set_signs(&mut self, signs: PanelSigns) {
        if self.signs != signs {
            self.signs = signs;
            self.damage_panels();
            self.refresh_pointer();
        }
    }

    fn status_line(&self) -> StatusLine<'_> {
        StatusLine {
            words: &self.status,
            signs: &self.signs,
            keyboard: self.settings.keyboard,
        }
    }

    /// The inside of the panel at a point, and how long things are on its output.
    fn panel_at(&self, at: Point) -> Option<(Rect, Metrics)> {
        let output = self
            .outputs
            .iter()
            .find(|output| output.panel(&self.settings).contains(at))?;
        let metrics = output.metrics(&self.settings);
        let inner = output
            .panel(&self.settings)
            .inset_edges(0, 0, 0, metrics.px(1));
        Some((inner, metrics))
    }

    /// The page that the panel's sign at a point leads to.
    fn sign_at(&self, at: Point) -> Option<Page> {
        let (inner, metrics) = self.panel_at(at)?;
        let places = self.status_line().places(inner, &metrics);
        let item = places.into_iter().find(|(_, place)| place.contains(at));
        match item?.0 {
            Item::Sign(Sign::Policy, _) => Some(Page::Work(WorkPage::Policy)),
            Item::Sign(Sign::Audit, _) => Some(Page::Work(WorkPage::Audit)),
            Item::Sign(Sign::Usb, _) => Some(Page::Work(WorkPage::Usb)),
            _ => None,
        }
    }

    /// The zone that has the keyboard.
    pub fn focus(&self) -> Option<ZoneId> {
        self.focus
    }

    /// The zones in the order of the panel.
    pub fn zones(&self) -> impl Iterator<Item = &ZoneIdentity> {
        self.zones.iter().map(|zone| &zone.identity)
    }

    /// The windows from the bottom one to the top one, hidden ones included.
    pub fn stacking(&self) -> &[ZoneId] {
        &self.stack
    }

    /// How a zone fares.
    pub fn zone_state(&self, id: ZoneId) -> Option<&ZoneState> {
        self.zone(id).map(|zone| &zone.state)
    }

    /// Adds a zone and places its window. It gets no focus by that.
    ///
    /// # Errors
    /// The number is taken, or there are too many zones.
    pub fn add_zone(
        &mut self,
        identity: ZoneIdentity,
        placement: Option<Placement>,
    ) -> Result<(), SceneError> {
        let id = identity.id;
        if self.zone(id).is_some() {
            return Err(SceneError::Duplicate(id));
        }
        if self.zones.len() >= MAXIMUM_ZONES {
            return Err(SceneError::Full);
        }
        let window = self.placed(placement);
        self.zones.push(Zone {
            identity,
            state: ZoneState::Off,
            title: Label::default(),
            surface: None,
            cursor: None,
            window,
        });
        self.stack.push(id);
        self.damage_window(id);
        self.damage_panels();
        self.request_size(id);
        Ok(())
    }

    /// Gives a zone another look: a new policy says so. What is said of its jail stays.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn set_identity(&mut self, identity: ZoneIdentity) -> Result<(), SceneError> {
        let id = identity.id;
        let zone = self.zone_mut(id).ok_or(SceneError::Unknown(id))?;
        let (weakened, outdated) = (zone.identity.weakened.take(), zone.identity.outdated.take());
        zone.identity = ZoneIdentity {
            weakened,
            outdated,
            ..identity
        };
        self.damage_window(id);
        self.damage_panels();
        self.damage_page();
        Ok(())
    }

    /// Takes a zone and its window away.
    pub fn remove_zone(&mut self, id: ZoneId) {
        self.damage_window(id);
        self.forget_grabs_of(id);
        if self.focus == Some(id) {
            self.forget_held();
            self.focus = None;
            self.actions.push(Action::FocusChanged(None));
        }
        self.withdraw_prompts_of(id);
        self.zones.retain(|zone| zone.identity.id != id);
        self.stack.retain(|held| *held != id);
        self.damage_panels();
        self.refresh_pointer();
    }

    /// Says that a zone's jail lacks something, or no longer does.
    pub fn set_weakened(&mut self, id: ZoneId, why: Option<&str>) {
        let why = why.map(|why| Label::new(why, 160));
        if let Some(zone) = self.zone_mut(id)
            && zone.identity.weakened != why
        {
            zone.identity.weakened = why;
            self.marks_changed(id);
        }
    }

    /// Says that a zone runs otherwise than the policy says now, or no longer does.
    pub fn set_outdated(&mut self, id: ZoneId, what: Option<&str>) {
        let what = what.map(|what| Label::new(what, 160));
        if let Some(zone) = self.zone_mut(id)
            && zone.identity.outdated != what
        {
            zone.identity.outdated = what;
            self.marks_changed(id);
        }
    }

    fn marks_changed(&mut self, id: ZoneId) {
        self.damage_frame(id);
        self.damage_panels();
        if !self.is_locked() {
            self.damage_page();
        }
    }

    /// Says how a zone fares now.
    pub fn set_state(&mut self, id: ZoneId, state: ZoneState) {
        let Some(zone) = self.zone_mut(id) else {
            return;
        };
        if zone.state == state {
            return;
        }
        let was_live = zone.state.is_live();
        zone.state = state;
        let is_live = zone.state.is_live();
        if was_live && !is_live {
            // What the machine drew belongs to a machine that is no more; what it held, it holds no longer.
            zone.surface = None;
            zone.cursor = None;
            zone.title = Label::default();
            if self.focus == Some(id) {
                self.forget_held();
            }
            self.forget_grabs_of(id);
            self.withdraw_prompts_of(id);
        }
        if is_live && !was_live {
            self.trusted.forgive(id);
            if let Some(zone) = self.zone_mut(id) {
                zone.window.asked = None;
            }
            self.request_size(id);
            if self.focus == Some(id) {
                self.greet_focused();
            }
        }
        self.damage_window(id);
        self.damage_panels();
        self.refresh_pointer();
    }

    /// The zone's own title for its desktop; shown apart from its label.
    pub fn set_title(&mut self, id: ZoneId, title: &[u8]) {
        let title = Label::from_bytes(title, 96);
        if let Some(zone) = self.zone_mut(id)
            && zone.title != title
        {
            zone.title = title;
            self.damage_frame(id);
        }
    }

    /// Gives a zone a surface, in place of the one it had.
    ///
    /// # Errors
    /// There is no such zone, the surface is empty or too large, or it is not newer than the one in use.
    pub fn attach(
        &mut self,
        id: ZoneId,
        generation: Generation,
        pixels: Box<dyn ZonePixels>,
    ) -> Result<(), SceneError> {
        let size = pixels.size();
        let bad = size.is_empty() || Size::new(size.width, size.height) != size;
        let Some(zone) = self.zone_mut(id) else {
            return Err(SceneError::Unknown(id));
        };
        if bad {
            return Err(SceneError::BadSurface {
                zone: id,
                width: size.width,
                height: size.height,
            });
        }
        if zone
            .surface
            .as_ref()
            .is_some_and(|surface| surface.generation >= generation)
        {
            return Err(SceneError::StaleSurface(id, generation));
        }
        // Until the zone has drawn into the new one nothing of it is shown: neither stale nor undefined pixels.
        zone.surface = Some(Surface {
            generation,
            size,
            pixels,
            drawn: false,
            changes: None,
        });
        self.damage_client(id);
        self.damage_thumbnail(id);
        Ok(())
    }

    /// The zone drew into these rectangles of its surface (in the surface's pixels). Damage to a surface that is no
    /// longer in use is ignored; what lies outside is cut off.
    pub fn damage(&mut self, id: ZoneId, generation: Generation, rects: &[Rect]) {
        let Some(frame) = self.frame_of(id) else {
            return;
        };
        let Some(surface) = self.zone_mut(id).and_then(|zone| zone.surface.as_mut()) else {
            return;
        };
        if surface.generation != generation || rects.is_empty() {
            return;
        }
        let first = !std::mem::replace(&mut surface.drawn, true);
        let area = Rect::of_size(surface.size);
        if let Some(changes) = &mut surface.changes {
            rects
                .iter()
                .for_each(|rect| changes.add(rect.intersection(&area)));
        }
        let unseen = self
            .zone(id)
            .is_none_or(|zone| !self.shows(zone) || !zone.state.is_live());
        if first {
            self.damage_client(id);
            self.damage_thumbnail(id);
            self.refresh_pointer();
            return;
        }
        self.damage_thumbnail(id);
        if unseen || self.is_locked() {
            return;
        }
        let mut region = Region::default();
        for rect in rects {
            let (x, y) = (frame.client.left(), frame.client.top());
            region.add(
                rect.intersection(&area)
                    .moved_by(x, y)
                    .intersection(&frame.client),
            );
        }
        self.subtract_covered(&mut region, id);
        for rect in region.rects().to_vec() {
            self.damage_rect(rect);
        }
    }

    /// A zone's surface: which one, and its pixels. For a painter that keeps a copy.
    pub fn surface(&self, id: ZoneId) -> Option<(Generation, &dyn ZonePixels)> {
        let surface = self.zone(id)?.surface.as_ref()?;
        Some((surface.generation, surface.pixels.as_ref()))
    }

    /// Where a zone has drawn since this was last asked, in its surface's pixels, hidden or not: everywhere, the first time.
    pub fn take_changes(&mut self, id: ZoneId) -> Region {
        let Some(surface) = self.zone_mut(id).and_then(|zone| zone.surface.as_mut()) else {
            return Region::default();
        };
        let everything = Region::of(Rect::of_size(surface.size));
        surface
            .changes
            .replace(Region::default())
            .unwrap_or(everything)
    }

    /// The image a zone wants for the pointer over its client area; `None` for the host's arrow.
    pub fn set_zone_cursor(&mut self, id: ZoneId, cursor: Option<ZoneCursor>) {
        let focused = self.focus == Some(id);
        if let Some(zone) = self.zone_mut(id)
            && zone.cursor != cursor
        {
            zone.cursor = cursor;
            if focused {
                self.refresh_pointer();
            }
        }
    }

    /// The size a zone's desktop should have: that of its client area.
    pub fn client_size(&self, id: ZoneId) -> Option<Size> {
        self.frame_of(id).map(|frame| frame.client.size())
    }

    /// Where a zone's client area is on the desktop; for automation and tests.
    pub fn client_rect(&self, id: ZoneId) -> Option<Rect> {
        self.frame_of(id).map(|frame| frame.client)
    }

    /// Where a zone's window is on the desktop, frame included.
    pub fn window_rect(&self, id: ZoneId) -> Option<Rect> {
        self.zone(id).map(|zone| zone.window.outer)
    }

    /// Whose the pixel at `at` is.
    pub fn owner_at(&self, at: Point) -> Owner {
        if let Some(id) = self.thumbnail_at(at) {
            return Owner::Thumbnail(id);
        }
        if self.page_owns(at) {
            return Owner::Trusted;
        }
        if self
            .outputs
            .iter()
            .any(|output| output.panel(&self.settings).contains(at))
        {
            return Owner::Panel;
        }
        if !self.outputs.iter().any(|output| output.area.contains(at)) {
            return Owner::Desktop;
        }
        match self.part_at(at) {
            Some((id, Part::Client)) => Owner::Client(id),
            Some((id, _)) => Owner::Frame(id),
            None => Owner::Desktop,
        }
    }

    /// When [`Scene::tick`] should be called next, if nothing else happens.
    pub fn next_wake(&self) -> Option<Duration> {
        [self.input.resize_due(), self.trusted.next_wake(self.now)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what was put off until now.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        self.advance(now);
        self.settle_resize(now);
        self.take_actions()
    }

    /// Whether a zone's window is on the workspace that is shown, and not hidden.
    fn shows(&self, zone: &Zone) -> bool {
        !zone.window.minimised && zone.window.workspace == self.workspace
    }

    fn zone(&self, id: ZoneId) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.identity.id == id)
    }

    fn zone_mut(&mut self, id: ZoneId) -> Option<&mut Zone> {
        self.zones.iter_mut().find(|zone| zone.identity.id == id)
    }

    /// Visible windows from the top one down.
    fn visible(&self) -> impl Iterator<Item = &Zone> {
        self.stack
            .iter()
            .rev()
            .filter_map(|id| self.zone(*id))
            .filter(|zone| self.shows(zone))
    }

    fn frame_of(&self, id: ZoneId) -> Option<Frame> {
        self.zone(id)
            .map(|zone| Frame::new(zone.window.outer, &self.metrics_at(&zone.window.outer)))
    }

    fn part_at(&self, at: Point) -> Option<(ZoneId, Part)> {
        self.visible().find_map(|zone| {
            let frame = Frame::new(zone.window.outer, &self.metrics_at(&zone.window.outer));
            frame.part_at(at).map(|part| (zone.identity.id, part))
        })
    }

    /// The zones as the panel shows them, `hovered` under the pointer.
    fn panel_zones(&self, hovered: Option<ZoneId>) -> Vec<PanelZone<'_>> {
        let look = |zone| {
            let Zone {
                identity,
                state,
                window,
                ..
            }: &Zone = zone;
            PanelZone {
                identity,
                state,
                focused: self.focus == Some(identity.id),
                hidden: window.minimised || window.workspace != self.workspace,
                hovered: hovered == Some(identity.id),
                client: Frame::new(window.outer, &self.metrics_at(&window.outer))
                    .client
                    .size(),
            }
        };
        self.zones.iter().map(look).collect()
    }

    /// The zone whose chip in a panel lies under a point.
    fn chip_at(&self, at: Point) -> Option<ZoneId> {
        let (inner, metrics) = self.panel_at(at)?;
        let chips = panel::chips(inner, &metrics, &self.panel_zones(None), self.status_line());
        chips
            .into_iter()
            .find(|(_, place)| place.contains(at))
            .map(|(id, _)| id)
    }

    /// Sends input to the focused zone if it is live.
    fn send(&mut self, id: ZoneId, input: ZoneInput) {
        if self.zone(id).is_some_and(|zone| zone.state.is_live()) {
            self.actions.push(Action::SendToZone(id, input));
        }
    }

    /// Codes of the keys that the focused zone believes held.
    pub fn held_keys(&self) -> &BTreeSet<u16> {
        self.input.held_keys()
    }
}

fn bounded_delay(delay: Duration) -> Duration {
    delay.clamp(Duration::from_millis(200), Duration::from_secs(10))
}

#[cfg(test)]
mod tests;
