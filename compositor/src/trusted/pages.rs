//! The pages a person works with: policy, audit log, USB devices, settings.
//!
//! Each is laid out as a list of pieces (words, badges, lines) and controls, from the views that the endpoint set and from
//! what the person chose here. Nothing on them is a promise: they show what the endpoint knows and ask it for acts, and it
//! asks the policy.

use crate::atlas::Weight;
use crate::colour::Colour;
use crate::geometry::{Rect, signed};
use crate::input::Action;
use crate::layout::KeyboardLayout;
use crate::scene::Settings;
use crate::text::Label;
use crate::theme::{Metrics, Theme};
use crate::trusted::paint::{PageLook, button_height, margin, place_row, row_width};
use crate::trusted::views::{
    AUDIT_WINDOW, AuditView, FlowVerdict, PolicyView, Query, USB_DEVICES, UsbCommand, UsbDeviceId,
    UsbView,
};
use crate::trusted::{Control, Language, Layout, Page};
use crate::zone::ZoneId;

mod audit;
mod policy;
mod settings;
mod usb;

/// The longest filter, in characters.
const FILTER_LIMIT: usize = 64;

/// A choice on the settings page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Theme(Theme),
    LargeText(bool),
    Language(Language),
    Keyboard(KeyboardLayout),
}

impl Choice {
    /// Whether it is the one in force.
    pub(crate) fn is_made(self, settings: &Settings) -> bool {
        match self {
            Choice::Theme(theme) => settings.theme == theme,
            Choice::LargeText(large) => settings.large_text == large,
            Choice::Language(language) => settings.language == language,
            Choice::Keyboard(keyboard) => settings.keyboard == keyboard,
        }
    }

    pub(crate) fn make(self, settings: &mut Settings) {
        match self {
            Choice::Theme(theme) => settings.theme = theme,
            Choice::LargeText(large) => settings.large_text = large,
            Choice::Language(language) => settings.language = language,
            Choice::Keyboard(keyboard) => settings.keyboard = keyboard,
        }
    }
}

/// What a control of these pages does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageControl {
    /// Shows the flows of this kind.
    Kind(u16),
    /// Shows what decides between these two.
    Cell(u16, u16),
    /// Shows later senders and receivers, or earlier ones.
    Pan(i16, i16),
    /// Takes what is typed.
    Filter,
    /// Shows newer records or older ones.
    Newer,
    Older,
    Usb(UsbDeviceId, UsbCommand),
    Choose(Choice),
}

/// What the endpoint told these pages, and what the person chose on them.
#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) policy: PolicyView,
    pub(crate) audit: AuditView,
    pub(crate) usb: UsbView,
    kind: u16,
    cell: Option<(u16, u16)>,
    /// The first sender and receiver that are shown.
    first: (u16, u16),
    filter: String,
}

impl Pages {
    pub(crate) fn set_policy(&mut self, view: PolicyView) {
        let count = u16::try_from(view.parties.len()).unwrap_or(u16::MAX);
        if usize::from(self.kind) >= view.kinds.len() {
            self.kind = 0;
        }
        self.cell = self.cell.filter(|(from, to)| *from < count && *to < count);
        self.first = (
            self.first.0.min(count.saturating_sub(1)),
            self.first.1.min(count.saturating_sub(1)),
        );
        self.policy = view;
    }

    pub(crate) fn set_audit(&mut self, mut view: AuditView) {
        view.records.truncate(AUDIT_WINDOW);
        self.audit = view;
    }

    pub(crate) fn set_usb(&mut self, mut view: UsbView) {
        view.devices.truncate(USB_DEVICES);
        self.usb = view;
    }

    /// What a page needs when it comes up.
    pub(crate) fn query(&self, page: Page) -> Option<Query> {
        match page {
            Page::Policy => Some(Query::Policy),
            Page::Audit => Some(self.window(0)),
            Page::Usb => Some(Query::Usb),
            _ => None,
        }
    }

    fn window(&self, skip: u64) -> Query {
        Query::Audit {
            filter: self.filter.clone(),
            skip,
            count: audit::STEP,
        }
    }

    /// Does what a control is for, as far as that concerns the pages themselves, and says what the endpoint is to do.
    pub(crate) fn activate(&mut self, control: PageControl) -> Option<Action> {
        match control {
            PageControl::Kind(kind) => self.kind = kind,
            PageControl::Cell(from, to) => self.cell = Some((from, to)),
            PageControl::Pan(down, right) => self.pan(down, right),
            PageControl::Newer => return Some(self.turn(-1)),
            PageControl::Older => return Some(self.turn(1)),
            PageControl::Usb(device, command) => return Some(Action::Usb(device, command)),
            PageControl::Filter | PageControl::Choose(_) => {}
        }
        None
    }

    fn pan(&mut self, down: i16, right: i16) {
        let last = self.policy.parties.len().saturating_sub(1);
        let last = u16::try_from(last).unwrap_or(u16::MAX);
        self.first = (
            self.first.0.saturating_add_signed(down).min(last),
            self.first.1.saturating_add_signed(right).min(last),
        );
    }

    fn turn(&self, pages: i64) -> Action {
        let step = i64::try_from(audit::STEP).unwrap_or(1);
        let skip = self.audit.skipped.saturating_add_signed(pages * step);
        let last = self.audit.matching.saturating_sub(1);
        Action::Query(self.window(skip.min(last)))
    }

    /// The wheel turned by so many notches (up is positive), or the keys for whole pages were pressed.
    pub(crate) fn scroll(&mut self, page: Page, down: i32, right: i32) -> Option<Action> {
        let notches = |value: i32| i16::try_from(value.clamp(-64, 64)).unwrap_or(0);
        match page {
            Page::Policy => {
                self.pan(notches(down), notches(right));
                None
            }
            Page::Audit if down != 0 => Some(self.turn(i64::from(down.signum()))),
            _ => None,
        }
    }

    /// A character is typed into the filter, or (none) the last one is taken away.
    pub(crate) fn type_into_filter(&mut self, character: Option<char>) -> Action {
        match character {
            Some(character) if self.filter.chars().count() < FILTER_LIMIT => {
                self.filter.push(character);
            }
            Some(_) => {}
            None => {
                self.filter.pop();
            }
        }
        Action::Query(self.window(0))
    }
}

/// Something on a page that is looked at.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// One line of words around the middle of its place.
    Words {
        place: Rect,
        words: String,
        weight: Weight,
        tone: Tone,
        size: i32,
    },
    /// A zone's shape and icon in its colour; without a zone, the endpoint's own sign.
    Badge { place: Rect, zone: Option<ZoneId> },
    /// A plain area.
    Ground { place: Rect, tone: Tone },
}

impl Piece {
    pub(crate) fn moved_by(mut self, x: i32, y: i32) -> Self {
        let (Piece::Words { place, .. } | Piece::Badge { place, .. } | Piece::Ground { place, .. }) =
            &mut self;
        *place = place.moved_by(x, y);
        self
    }
}

/// What a colour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Text,
    Muted,
    Warning,
    Line,
    Raised,
}

/// A verdict's colours, which people with any common kind of colour blindness can tell apart, and its sign.
pub(crate) fn verdict_look(verdict: FlowVerdict) -> (Colour, &'static str) {
    match verdict {
        FlowVerdict::Deny => (Colour::rgb(0x55, 0x5d, 0x68), "\u{d7}"),
        FlowVerdict::Ask => (Colour::rgb(0xe6, 0x9f, 0x00), "?"),
        FlowVerdict::Allow => (Colour::rgb(0x00, 0x72, 0xb2), "\u{2713}"),
    }
}

/// Lays out the page that is up: heading, tabs, its own part, and the row at the foot.
pub(crate) fn layout(work: Rect, page: Page, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
    let width = metrics.px(1120).min(signed(work.width()) - metrics.px(16));
    let height = metrics.px(860).min(signed(work.height()) - metrics.px(16));
    let area = work.centred(crate::geometry::Size {
        width: width.max(1).unsigned_abs(),
        height: height.max(1).unsigned_abs(),
    });
    let mut sheet = Sheet {
        layout: Layout {
            area,
            columns: 1,
            ..Layout::default()
        },
        metrics,
        look,
        rest: area.inset(margin(metrics)),
    };
    let foot = sheet.bottom(button_height(metrics));
    sheet.bottom(metrics.px(10));
    let head = sheet.top(metrics.heading * 3 / 2);
    sheet.words(
        head,
        look.title(page),
        Weight::Bold,
        Tone::Text,
        metrics.heading,
    );
    sheet.top(metrics.px(8));
    let tabs = sheet.top(button_height(metrics));
    sheet.controls_from_left(tabs, &TABS.map(Control::Open));
    sheet.top(metrics.px(12));
    match page {
        Page::Policy => policy::fill(&mut sheet),
        Page::Audit => audit::fill(&mut sheet),
        Page::Usb => usb::fill(&mut sheet),
        Page::Settings => settings::fill(&mut sheet),
        _ => {}
    }
    let ends = [Control::Lock, Control::Close];
    let taken = row_width(&ends, metrics, look);
    place_row(&mut sheet.layout, foot, &ends, metrics, look);
    let phrase = look.ui.phrase.as_ref().map_or_else(
        || look.words.no_phrase.to_owned(),
        |phrase| format!("{}: {phrase}", look.words.phrase_is),
    );
    let room = foot.inset_edges(0, 0, taken + metrics.px(16), 0);
    sheet.words(room, &phrase, Weight::Regular, Tone::Muted, metrics.small);
    sheet.finish()
}

/// The pages that the tabs lead to.
pub(crate) const TABS: [Page; 5] = [
    Page::Attention,
    Page::Policy,
    Page::Audit,
    Page::Usb,
    Page::Settings,
];

/// A page while it is laid out, from the edges of `rest` inwards.
struct Sheet<'a> {
    layout: Layout,
    metrics: &'a Metrics,
    look: &'a PageLook<'a>,
    rest: Rect,
}

impl Sheet<'_> {
    /// Takes a strip off the top of what is left.
    fn top(&mut self, height: i32) -> Rect {
        let middle = (self.rest.top() + height).min(self.rest.bottom());
        let strip = Rect::from_edges(self.rest.left(), self.rest.top(), self.rest.right(), middle);
        self.rest = Rect::from_edges(
            self.rest.left(),
            middle,
            self.rest.right(),
            self.rest.bottom(),
        );
        strip
    }

    fn bottom(&mut self, height: i32) -> Rect {
        let middle = (self.rest.bottom() - height).max(self.rest.top());
        let strip = Rect::from_edges(
            self.rest.left(),
            middle,
            self.rest.right(),
            self.rest.bottom(),
        );
        self.rest = Rect::from_edges(self.rest.left(), self.rest.top(), self.rest.right(), middle);
        strip
    }

    /// One line of text; nothing is said where there is no room for it.
    fn words(&mut self, place: Rect, words: &str, weight: Weight, tone: Tone, size: i32) {
        if !words.is_empty() && signed(place.height()) >= size {
            self.layout.pieces.push(Piece::Words {
                place,
                words: words.to_owned(),
                weight,
                tone,
                size,
            });
        }
    }

    fn body(&mut self, place: Rect, words: &str, tone: Tone) {
        self.words(place, words, Weight::Regular, tone, self.metrics.body);
    }

    fn small(&mut self, place: Rect, words: &str, tone: Tone) {
        self.words(place, words, Weight::Regular, tone, self.metrics.small);
    }

    fn ground(&mut self, place: Rect, tone: Tone) {
        self.layout.pieces.push(Piece::Ground { place, tone });
    }

    fn badge(&mut self, place: Rect, zone: Option<ZoneId>) {
        self.layout.pieces.push(Piece::Badge { place, zone });
    }

    fn control(&mut self, place: Rect, control: Control) {
        self.layout.controls.push((place, control));
    }

    /// Controls side by side from the left end of `room`; says where the last one ends.
    fn controls_from_left(&mut self, room: Rect, controls: &[Control]) -> i32 {
        let width = row_width(controls, self.metrics, self.look).min(signed(room.width()));
        let row = Rect::from_edges(room.left(), room.top(), room.left() + width, room.bottom());
        place_row(&mut self.layout, row, controls, self.metrics, self.look);
        row.right()
    }

    /// The layout, without what does not fit onto the page.
    fn finish(mut self) -> Layout {
        let area = self.layout.area;
        self.layout
            .controls
            .retain(|(place, _)| area.covers(place) && !place.is_empty());
        self.layout
    }
}

/// What stands on a control of these pages.
pub(crate) fn label(control: PageControl, look: &PageLook<'_>) -> String {
    let words = look.words;
    let pages = look.pages;
    match control {
        PageControl::Kind(kind) => pages
            .policy
            .kinds
            .get(usize::from(kind))
            .map_or_else(String::new, Label::to_string),
        PageControl::Cell(from, to) => policy::mark(pages, from, to),
        PageControl::Pan(down, right) => match (down.signum(), right.signum()) {
            (-1, _) => "\u{2191}",
            (1, _) => "\u{2193}",
            (_, -1) => "\u{2190}",
            _ => "\u{2192}",
        }
        .to_owned(),
        PageControl::Filter => pages.filter.clone(),
        PageControl::Newer => words.newer.to_owned(),
        PageControl::Older => words.older.to_owned(),
        PageControl::Usb(_, UsbCommand::Detach) => words.detach.to_owned(),
        PageControl::Usb(_, UsbCommand::Attach(zone)) => {
            format!("\u{2192} {}", look.zone_name(zone))
        }
        PageControl::Choose(choice) => match choice {
            Choice::Theme(Theme::Dark) => words.theme_dark,
            Choice::Theme(Theme::Light) => words.theme_light,
            Choice::Theme(Theme::HighContrast) => words.theme_contrast,
            Choice::LargeText(false) => words.text_normal,
            Choice::LargeText(true) => words.text_large,
            // Each language and layout by its own name: a person who set the wrong one finds back.
            Choice::Language(Language::English) | Choice::Keyboard(KeyboardLayout::English) => {
                "English"
            }
            Choice::Language(Language::German) | Choice::Keyboard(KeyboardLayout::German) => {
                "Deutsch"
            }
        }
        .to_owned(),
    }
}

/// What a control is to somebody who does not see where it stands.
pub(crate) fn spoken(control: PageControl, look: &PageLook<'_>) -> String {
    let words = look.words;
    match control {
        PageControl::Cell(from, to) => policy::spoken(look, from, to),
        PageControl::Pan(down, right) => match (down.signum(), right.signum()) {
            (-1, _) => words.pan_up,
            (1, _) => words.pan_down,
            (_, -1) => words.pan_left,
            _ => words.pan_right,
        }
        .to_owned(),
        PageControl::Filter => words.filter.to_owned(),
        PageControl::Usb(device, command) => {
            let name = usb::name(look.pages, device);
            match command {
                UsbCommand::Detach => format!("{}: {name}", words.detach),
                UsbCommand::Attach(zone) => format!("{name} \u{2192} {}", look.zone_name(zone)),
            }
        }
        PageControl::Choose(choice) => {
            let of = match choice {
                Choice::Theme(_) => words.theme,
                Choice::LargeText(_) => words.text_size,
                Choice::Language(_) => words.language,
                Choice::Keyboard(_) => words.keyboard,
            };
            format!("{of}: {}", label(control, look))
        }
        PageControl::Kind(_) | PageControl::Newer | PageControl::Older => label(control, look),
    }
}

/// Whether a control stands for what is shown or in force.
pub(crate) fn is_chosen(control: PageControl, look: &PageLook<'_>) -> bool {
    match control {
        PageControl::Kind(kind) => look.pages.kind == kind,
        PageControl::Cell(from, to) => look.pages.cell == Some((from, to)),
        PageControl::Choose(choice) => choice.is_made(look.settings),
        _ => false,
    }
}

/// The verdict that a control is painted in.
pub(crate) fn verdict(control: PageControl, look: &PageLook<'_>) -> Option<FlowVerdict> {
    let PageControl::Cell(from, to) = control else {
        return None;
    };
    let cell = look.pages.policy.cells.get(&(look.pages.kind, from, to))?;
    Some(cell.best)
}
