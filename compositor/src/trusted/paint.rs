//! How the pages of the trusted UI are laid out and painted.

use std::borrow::Cow;
use std::time::Duration;

use super::work::{self, WorkPage};
use super::{Answer, Control, Grant, Layout, Page, TrustedUi};
use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::geometry::{Point, Rect, Size, signed};
use crate::icons::{Masks, Sign};
use crate::input::ZoneCommand;
use crate::panel::PanelZone;
use crate::text::{self, Style};
use crate::theme::{Metrics, Palette};
use crate::trusted::words::Words;
use crate::zone::{ZoneId, ZoneIdentity, ZoneState};

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
    fn zone(&self, id: ZoneId) -> Option<&PanelZone<'_>> {
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

fn row_height(metrics: &Metrics) -> i32 {
    metrics.title + metrics.px(18)
}

pub(crate) fn button_height(metrics: &Metrics) -> i32 {
    metrics.title + metrics.px(2)
}

/// Puts controls into a row that ends at the right end of `room`, around its middle; the first is the leftmost. Where
/// they find no room with all their words, they share what there is.
pub(crate) fn place_row(
    layout: &mut Layout,
    room: Rect,
    controls: &[Control],
    metrics: &Metrics,
    look: &PageLook<'_>,
) {
    let count = i32::try_from(controls.len()).unwrap_or(1).max(1);
    let gaps = metrics.px(8) * (count - 1);
    let share = (signed(room.width()) - gaps) / count;
    let wanted = row_width(controls, metrics, look);
    let fits = wanted <= signed(room.width());
    let mut left = room.right() - if fits { wanted } else { signed(room.width()) };
    let half = button_height(metrics) / 2;
    let middle = room.centre().y;
    for control in controls {
        let width = if fits {
            look.width(*control, metrics)
        } else {
            share
        };
        layout.controls.push((
            Rect::from_edges(left, middle - half, left + width, middle + half),
            *control,
        ));
        left += width + metrics.px(8);
    }
}

/// How wide a row of controls is with all their words.
pub(crate) fn row_width(controls: &[Control], metrics: &Metrics, look: &PageLook<'_>) -> i32 {
    let gaps = metrics.px(8) * (i32::try_from(controls.len()).unwrap_or(1) - 1);
    controls
        .iter()
        .map(|control| look.width(*control, metrics))
        .sum::<i32>()
        + gaps
}

/// The row at the foot of a page.
fn foot(area: &Rect, metrics: &Metrics) -> Rect {
    let inner = area.inset(margin(metrics));
    Rect::from_edges(
        inner.left(),
        inner.bottom() - button_height(metrics),
        inner.right(),
        inner.bottom(),
    )
}

pub(crate) fn margin(metrics: &Metrics) -> i32 {
    metrics.px(24)
}

fn attention_header(metrics: &Metrics) -> i32 {
    metrics.heading * 2 + metrics.body * 6 + metrics.px(40)
}

/// Where the attention screen leads to.
const ATTENTION_FOOT: [Control; 7] = [
    Control::Open(Page::Work(WorkPage::Zones)),
    Control::Open(Page::Work(WorkPage::Policy)),
    Control::Open(Page::Work(WorkPage::Audit)),
    Control::Open(Page::Work(WorkPage::Usb)),
    Control::Open(Page::Work(WorkPage::Settings)),
    Control::Lock,
    Control::Close,
];

/// Who is who; zones in one column, or two where one is too short.
pub(crate) fn attention_layout(work: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
    let rows = i32::try_from(look.zones.len()).unwrap_or(0);
    let header = attention_header(metrics);
    let footer = button_height(metrics) + 2 * margin(metrics);
    let fits =
        ((signed(work.height()) - header - footer - metrics.px(24)) / row_height(metrics)).max(1);
    let columns = if rows > fits { 2 } else { 1 };
    let in_column = in_column(rows, columns);
    let needed = row_width(&ATTENTION_FOOT, metrics, look) + 2 * margin(metrics);
    let width = (metrics.px(720) * columns)
        .max(needed)
        .min(signed(work.width()) - metrics.px(16))
        .max(1);
    let height = (header + in_column * row_height(metrics) + footer).min(signed(work.height()));
    let area = work.centred(Size {
        width: width.unsigned_abs(),
        height: height.unsigned_abs(),
    });
    let mut layout = Layout {
        area,
        controls: Vec::new(),
        columns,
        ..Layout::default()
    };
    for (number, zone) in (0..rows).zip(look.zones) {
        let place = zone_row(&area, metrics, number, in_column, columns);
        let id = zone.identity.id;
        let live = zone.state.is_live();
        let controls: &[Control] = match zone.state {
            ZoneState::Stopping => &[Control::Show(id)],
            _ if live => &[
                Control::Show(id),
                Control::Command(id, ZoneCommand::Restart),
                Control::Command(id, ZoneCommand::Stop),
            ],
            _ => &[Control::Show(id), Control::Command(id, ZoneCommand::Start)],
        };
        place_row(&mut layout, place, controls, metrics, look);
    }
    place_row(
        &mut layout,
        foot(&area, metrics),
        &ATTENTION_FOOT,
        metrics,
        look,
    );
    layout
}

fn in_column(rows: i32, columns: i32) -> i32 {
    (rows + columns - 1) / columns.max(1)
}

fn zone_row(area: &Rect, metrics: &Metrics, number: i32, in_column: i32, columns: i32) -> Rect {
    let inner = area.inset_edges(
        margin(metrics),
        attention_header(metrics),
        margin(metrics),
        0,
    );
    let (column, line) = (number / in_column.max(1), number % in_column.max(1));
    let width = signed(inner.width()) / columns.max(1);
    let left = inner.left() + column * width;
    let top = inner.top() + line * row_height(metrics);
    let gutter = if column + 1 < columns {
        margin(metrics)
    } else {
        0
    };
    Rect::from_edges(left, top, left + width - gutter, top + row_height(metrics))
}

/// Every zone's window, made small, in a grid. Each tile is a control, framed like the window itself.
pub(crate) fn overview_layout(work: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
    let mut layout = Layout {
        area: work,
        columns: 1,
        ..Layout::default()
    };
    let count = i32::try_from(look.zones.len()).unwrap_or(0);
    let columns = (1..=count.max(1))
        .find(|columns| columns * columns >= count)
        .unwrap_or(1);
    let rows = ((count + columns - 1) / columns).max(1);
    let inner = work.inset(metrics.px(16));
    for (number, zone) in (0..count).zip(look.zones) {
        let (column, row) = (number % columns, number / columns);
        let edge = |from: i32, length: u32, at: i32, of: i32| from + signed(length) * at / of;
        let cell = Rect::from_edges(
            edge(inner.left(), inner.width(), column, columns),
            edge(inner.top(), inner.height(), row, rows),
            edge(inner.left(), inner.width(), column + 1, columns),
            edge(inner.top(), inner.height(), row + 1, rows),
        )
        .inset(metrics.px(10));
        let room = cell.inset_edges(
            metrics.ring,
            metrics.ring + metrics.title,
            metrics.ring,
            metrics.ring,
        );
        let picture = room.centred(reduced(zone.client, room.size()));
        layout.thumbnails.push((picture, zone.identity.id));
        let tile = picture.inset_edges(
            -metrics.ring,
            -metrics.ring - metrics.title,
            -metrics.ring,
            -metrics.ring,
        );
        layout
            .controls
            .push((tile.intersection(&work), Control::Show(zone.identity.id)));
    }
    layout
}

/// The largest size of the same proportions as `whole` that fits `room`, and is no larger than `whole`.
fn reduced(whole: Size, room: Size) -> Size {
    let part = |a: u32, b: u32, c: u32| {
        u32::try_from(u64::from(a) * u64::from(b) / u64::from(c.max(1))).unwrap_or(0)
    };
    let width = room
        .width
        .min(whole.width)
        .min(part(whole.width, room.height, whole.height));
    Size {
        width,
        height: part(whole.height, width, whole.width).min(room.height),
    }
}

/// A question, away from where the pointer was when it came up.
pub(crate) fn prompt_layout(work: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
    let room = signed(work.width()) - metrics.px(16);
    let controls = answers(look);
    let needed = row_width(&controls, metrics, look) + 2 * margin(metrics);
    let width = metrics.px(540).max(needed).min(room).max(1).unsigned_abs();
    let height = (metrics.body * 11 + button_height(metrics) + metrics.title + metrics.px(70))
        .min(signed(work.height()));
    let size = Size {
        width,
        height: height.unsigned_abs(),
    };
    let middle = work.centred(size);
    let spread = ((signed(work.height()) - height) / 2 - metrics.px(16)).max(0);
    let aside = ((signed(work.width()) - signed(width)) / 2 - metrics.px(16)).max(0);
    let places = [
        (0, -spread / 3),
        (0, spread),
        (0, -spread),
        (aside, 0),
        (-aside, 0),
    ]
    .map(|(x, y)| middle.moved_by(x, y));
    let near = |place: &Rect| {
        look.ui
            .appeared_at
            .is_some_and(|at| place.inset(-metrics.px(24)).contains(at))
    };
    let area = places
        .iter()
        .find(|place| !near(place))
        .copied()
        .unwrap_or(middle);
    let mut layout = Layout {
        area,
        controls: Vec::new(),
        columns: 1,
        ..Layout::default()
    };
    place_row(&mut layout, foot(&area, metrics), &controls, metrics, look);
    layout
}

/// The answers that the question offers. The default comes first, so that it is what Enter means.
fn answers(look: &PageLook<'_>) -> Vec<Control> {
    let mut controls = vec![Control::Answer(Answer::No)];
    if let Some(prompt) = look.ui.prompt().filter(|prompt| !prompt.withdrawn) {
        controls.extend(
            prompt
                .grants
                .iter()
                .map(|grant| Control::Answer(Answer::Allow(*grant))),
        );
        controls.push(Control::Answer(Answer::NoMoreQuestions));
    }
    controls
}

/// The sheet of a page that a person works with.
pub(crate) fn work_layout(work: Rect, metrics: &Metrics) -> Layout {
    let width = metrics.px(1120).min(signed(work.width()) - metrics.px(16));
    let height = metrics.px(860).min(signed(work.height()) - metrics.px(16));
    let area = work.centred(Size {
        width: width.max(1).unsigned_abs(),
        height: height.max(1).unsigned_abs(),
    });
    Layout {
        area,
        ..Layout::default()
    }
}

/// Where the picture of such a page goes.
pub(crate) fn work_picture(sheet: Rect, metrics: &Metrics) -> Rect {
    work::picture_area(sheet, metrics.px(2), metrics.small * 5 / 2)
}

/// The whole output.
pub(crate) fn lock_layout(output: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
    let field = lock_field(&output, metrics);
    let width = look.width(Control::Unlock, metrics).unsigned_abs();
    let top = field.bottom() + metrics.px(16);
    let left = field.centre().x - signed(width) / 2;
    let button = Rect::new(left, top, width, button_height(metrics).unsigned_abs());
    Layout {
        area: output,
        controls: vec![(button, Control::Unlock)],
        columns: 1,
        ..Layout::default()
    }
}

fn lock_field(output: &Rect, metrics: &Metrics) -> Rect {
    let width = metrics
        .px(320)
        .min(signed(output.width()) - metrics.px(24))
        .max(1);
    output.centred(Size {
        width: width.unsigned_abs(),
        height: (metrics.title + metrics.px(8)).unsigned_abs(),
    })
}

/// Paints the page that is up.
pub(crate) fn paint(
    canvas: &mut Canvas<'_>,
    masks: &mut Masks,
    metrics: &Metrics,
    layout: &Layout,
    look: &PageLook<'_>,
) {
    let mut brush = Brush {
        canvas,
        masks,
        metrics,
        look,
    };
    match look.ui.page() {
        Some(Page::Attention) => brush.attention(layout),
        Some(Page::Overview) => return brush.overview(layout),
        Some(Page::Prompt) => brush.prompt(layout),
        Some(Page::Lock) => brush.lock(layout),
        Some(Page::Work(_)) => return brush.work(layout),
        None => {}
    }
    let active = look.ui.is_armed(look.now);
    for (number, (place, control)) in layout.controls.iter().enumerate() {
        brush.button(number, *place, *control, active);
    }
}

/// How a zone fares, in a word.
pub(crate) fn state(zone: &PanelZone<'_>, words: &'static Words) -> &'static str {
    match zone.state {
        ZoneState::Off => words.off,
        ZoneState::Starting(_) => words.starting,
        ZoneState::Running => words.running,
        ZoneState::Stopping => words.stopping,
        ZoneState::Dark(_) => words.dark,
    }
}

/// What is not as it should be with a zone that runs, each with its reason.
pub(crate) fn marks(
    identity: &ZoneIdentity,
    words: &'static Words,
) -> impl Iterator<Item = String> {
    let weakened = identity.weakened.as_ref();
    let outdated = identity.outdated.as_ref();
    let weakened = weakened.map(|why| format!("{}: {why}", words.jail_weakened));
    let outdated = outdated.map(|why| format!("{}: {why}", words.outdated));
    weakened.into_iter().chain(outdated)
}

struct Brush<'a, 'b> {
    canvas: &'a mut Canvas<'b>,
    masks: &'a mut Masks,
    metrics: &'a Metrics,
    look: &'a PageLook<'a>,
}

impl Brush<'_, '_> {
    fn button(&mut self, number: usize, place: Rect, control: Control, active: bool) {
        let words = &self.look.label(control);
        let palette = &self.look.palette;
        let selected = self.look.ui.selected() == number;
        let (ink, ground) = if self.look.hovered == Some(number) && active {
            (palette.text, palette.raised.mixed(palette.text, 30))
        } else {
            (palette.text, palette.raised)
        };
        let rim = if selected { palette.text } else { palette.line };
        let thick = self.metrics.px(if selected { 2 } else { 1 });
        self.canvas.fill_ring(
            place,
            place.inset(thick),
            if active { rim } else { palette.line },
        );
        self.canvas.fill(place.inset(thick), ground);
        let ink = if active {
            ink
        } else {
            ground.mixed(palette.text, 110)
        };
        let style = Style::bold(self.metrics.body, ink);
        let pad = self.metrics.px(6);
        let left = (place.centre().x - style.width(words) / 2).max(place.left() + pad);
        text::draw_centred_on(
            self.canvas,
            left,
            place.centre().y,
            words,
            style,
            signed(place.width()),
        );
    }

    /// A sheet with the picture that somebody painted of the page, and with the phrase that only the endpoint knows.
    fn work(&mut self, layout: &Layout) {
        let (metrics, palette) = (self.metrics, &self.look.palette);
        self.sheet(layout.area);
        let place = work_picture(layout.area, metrics);
        let work = &self.look.ui.work;
        if work.size == place.size() {
            self.canvas
                .blend_image(place.origin(), work.size, &work.pixels);
        }
        let foot = Rect::from_edges(
            place.left(),
            place.bottom(),
            place.right(),
            layout.area.bottom() - metrics.px(2),
        );
        let line = foot.inset_edges(0, 0, 0, signed(foot.height()) - metrics.px(1));
        let soft = palette.surface.mixed(palette.muted, 60);
        self.canvas.fill(line, soft);
        let style = Style::regular(metrics.small, palette.muted);
        let left = foot.left() + metrics.px(14);
        let room = foot.right() - metrics.px(14) - left;
        let middle = foot.centre().y;
        let phrase = self.look.phrase();
        text::draw_centred_on(self.canvas, left, middle, &phrase, style, room);
    }

    /// The ground of a page: framed in the endpoint's own pattern, which has no zone's colour.
    fn sheet(&mut self, area: Rect) {
        let palette = &self.look.palette;
        self.canvas.fill(area, palette.surface);
        let line = self.metrics.px(2);
        self.canvas.fill_ring(area, area.inset(line), palette.text);
    }

    /// Draws one line and says where the next begins.
    fn line(&mut self, left: i32, top: i32, words: &str, style: Style, room: i32) -> i32 {
        text::draw(self.canvas, Point { x: left, y: top }, words, style, room);
        top + style.size * 3 / 2
    }

    fn heading(&mut self, area: &Rect, words: &str) -> i32 {
        let metrics = self.metrics;
        let side = metrics.heading * 3 / 2;
        let left = area.left() + margin(metrics);
        let top = area.top() + metrics.px(20);
        let place = Rect::new(left, top, side.unsigned_abs(), side.unsigned_abs());
        self.masks
            .draw(self.canvas, place, Sign::Bulwark, self.look.palette.text);
        let style = Style::bold(metrics.heading, self.look.palette.text);
        let x = place.right() + metrics.px(12);
        text::draw_centred_on(
            self.canvas,
            x,
            place.centre().y,
            words,
            style,
            area.right() - margin(metrics) - x,
        );
        place.bottom() + metrics.px(14)
    }

    fn overview(&mut self, layout: &Layout) {
        let (metrics, palette) = (self.metrics, &self.look.palette);
        self.canvas.fill(layout.area, palette.desktop);
        for (number, ((tile, _), zone)) in layout.controls.iter().zip(self.look.zones).enumerate() {
            let selected = self.look.ui.selected() == number;
            if selected || self.look.hovered == Some(number) {
                let halo = tile.inset(-metrics.px(5));
                self.canvas.fill_ring(
                    halo,
                    tile.inset(-metrics.px(2)),
                    if selected {
                        palette.text
                    } else {
                        palette.muted
                    },
                );
            }
            let identity = zone.identity;
            let ink = identity.colour.ink();
            self.canvas.fill(*tile, identity.colour);
            let bar = Rect::from_edges(
                tile.left(),
                tile.top(),
                tile.right(),
                tile.top() + metrics.ring + metrics.title,
            );
            let side = (metrics.title - metrics.px(6)).max(1).unsigned_abs();
            let badge = Rect::new(
                bar.left() + metrics.px(9),
                bar.centre().y - signed(side) / 2,
                side,
                side,
            );
            self.masks.draw_badge(
                self.canvas,
                badge,
                (identity.shape, identity.icon),
                ink,
                identity.colour,
            );
            let left = badge.right() + metrics.px(8);
            let room = bar.right() - metrics.px(8) - left;
            let style = Style::bold(metrics.body, ink);
            text::draw_centred_on(
                self.canvas,
                left,
                bar.centre().y,
                identity.name.as_str(),
                style,
                room,
            );
        }
    }

    fn attention(&mut self, layout: &Layout) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        let area = layout.area;
        self.sheet(area);
        let top = self.heading(&area, "Bulkhead");
        let left = area.left() + margin(metrics);
        let room = signed(area.width()) - 2 * margin(metrics);
        // The phrase stands on a plate of its own: it is what the person is to look for.
        let plate = Rect::new(
            left,
            top,
            room.max(0).unsigned_abs(),
            (metrics.body * 5).unsigned_abs(),
        );
        self.canvas.fill(plate, palette.raised);
        let inner = left + metrics.px(12);
        let small = Style::regular(metrics.small, palette.muted);
        let next = self.line(
            inner,
            top + metrics.body / 2,
            words.phrase_is,
            small,
            room - metrics.px(24),
        );
        let phrase = self
            .look
            .ui
            .phrase
            .as_ref()
            .map_or(words.no_phrase, |phrase| phrase.as_str());
        let next = self.line(
            inner,
            next,
            phrase,
            Style::bold(metrics.body, palette.text),
            room - metrics.px(24),
        );
        self.line(inner, next, words.phrase_rule, small, room - metrics.px(24));

        let rows = i32::try_from(self.look.zones.len()).unwrap_or(0);
        let in_column = in_column(rows, layout.columns);
        for (number, zone) in (0..rows).zip(self.look.zones) {
            let place = zone_row(&area, metrics, number, in_column, layout.columns);
            let end = layout
                .controls
                .iter()
                .find(|(_, control)| *control == Control::Show(zone.identity.id));
            let right = end.map_or(place.right(), |(button, _)| button.left()) - metrics.px(10);
            self.zone(place, right, zone);
        }
    }

    fn zone(&mut self, place: Rect, right: i32, zone: &PanelZone<'_>) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        let line = Rect::from_edges(
            place.left(),
            place.top(),
            place.right(),
            place.top() + metrics.px(1),
        );
        self.canvas
            .fill(line, palette.surface.mixed(palette.muted, 60));
        let identity = zone.identity;
        let side = (metrics.title + metrics.px(2)).unsigned_abs();
        let middle = place.centre().y;
        let badge = Rect::new(place.left(), middle - signed(side) / 2, side, side);
        let fill = identity.colour;
        self.masks.draw_badge(
            self.canvas,
            badge,
            (identity.shape, identity.icon),
            fill,
            fill.ink(),
        );
        let left = badge.right() + metrics.px(12);
        let state = state(zone, words);
        let had_keyboard = self.look.ui.resume == Some(identity.id);
        let mut remark = state.to_owned();
        if had_keyboard {
            remark = format!("{remark}, {}", words.had_keyboard);
        }
        for mark in marks(identity, words) {
            remark = format!("{remark}, {mark}");
        }
        let name = Style::bold(metrics.body, palette.text);
        let half = metrics.body * 3 / 4;
        text::draw_centred_on(
            self.canvas,
            left,
            middle - half,
            identity.name.as_str(),
            name,
            right - left,
        );
        let warned = identity.is_marked() || matches!(zone.state, ZoneState::Dark(_));
        let ink = if warned {
            palette.warning
        } else {
            palette.muted
        };
        let style = Style::regular(metrics.small, ink);
        text::draw_centred_on(
            self.canvas,
            left,
            middle + half,
            &remark,
            style,
            right - left,
        );
    }

    fn prompt(&mut self, layout: &Layout) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        let area = layout.area;
        self.sheet(area);
        let Some(prompt) = self.look.ui.prompt() else {
            return;
        };
        // Who asks is said by the endpoint, in all four channels, in a bar like the zone's own title bar.
        let bar = Rect::from_edges(
            area.left(),
            area.top(),
            area.right(),
            area.top() + metrics.title + metrics.px(10),
        );
        let bar = bar.inset_edges(metrics.px(2), metrics.px(2), metrics.px(2), 0);
        if let Some(zone) = self.look.zone(prompt.from) {
            self.bar(bar, prompt.to.and_then(|to| self.look.zone(to)), zone);
        }
        let left = area.left() + margin(metrics);
        let room = signed(area.width()) - 2 * margin(metrics);
        let mut top = bar.bottom() + metrics.px(16);
        if prompt.withdrawn {
            self.line(
                left,
                top,
                words.withdrawn,
                Style::bold(metrics.body, palette.text),
                room,
            );
            return;
        }
        let style = Style::bold(metrics.body, palette.text);
        for line in text::wrapped(prompt.question.as_str(), style, room, 3) {
            top = self.line(left, top, line, style, room);
        }
        if !prompt.detail.is_empty() {
            top += metrics.px(6);
            top = self.line(
                left,
                top,
                words.it_says,
                Style::regular(metrics.small, palette.muted),
                room,
            );
            let style = Style::regular(metrics.body, palette.text);
            for line in text::wrapped(prompt.detail.as_str(), style, room - metrics.px(12), 2) {
                let mark =
                    Rect::from_edges(left, top, left + metrics.px(3), top + metrics.body * 3 / 2);
                self.canvas.fill(mark, palette.muted);
                top = self.line(
                    left + metrics.px(12),
                    top,
                    line,
                    style,
                    room - metrics.px(12),
                );
            }
        }
        if !self.look.ui.is_armed(self.look.now) {
            let buttons = layout
                .controls
                .first()
                .map_or(area.bottom(), |(place, _)| place.top());
            let style = Style::regular(metrics.small, palette.muted);
            self.line(left, buttons - metrics.small * 2, words.wait, style, room);
        }
    }

    /// The bar of a question: who asks, and whom it concerns.
    fn bar(&mut self, bar: Rect, to: Option<&PanelZone<'_>>, from: &PanelZone<'_>) {
        let metrics = self.metrics;
        let mut left = bar.left();
        let parts = [Some(from), to];
        let count = signed(u32::try_from(parts.iter().flatten().count()).unwrap_or(1)).max(1);
        for zone in parts.into_iter().flatten() {
            let identity = zone.identity;
            let right = if zone.identity.id == from.identity.id {
                bar.left() + signed(bar.width()) / count
            } else {
                bar.right()
            };
            let part = Rect::from_edges(left, bar.top(), right, bar.bottom());
            let ink = identity.colour.ink();
            self.canvas.fill(part, identity.colour);
            let side = (metrics.title - metrics.px(2)).unsigned_abs();
            let badge = Rect::new(
                left + metrics.px(12),
                part.centre().y - signed(side) / 2,
                side,
                side,
            );
            self.masks.draw_badge(
                self.canvas,
                badge,
                (identity.shape, identity.icon),
                ink,
                identity.colour,
            );
            let style = Style::bold(metrics.body, ink);
            let x = badge.right() + metrics.px(8);
            let words = if zone.identity.id == from.identity.id {
                format!("{} {}", identity.name, self.look.words.wants)
            } else {
                format!("\u{2192} {}", identity.name)
            };
            text::draw_centred_on(
                self.canvas,
                x,
                part.centre().y,
                &words,
                style,
                right - x - metrics.px(8),
            );
            left = right;
        }
    }

    fn lock(&mut self, layout: &Layout) {
        let (metrics, palette, words) = (self.metrics, &self.look.palette, self.look.words);
        self.canvas.fill(layout.area, palette.desktop);
        let field = lock_field(&layout.area, metrics);
        let side = metrics.px(64).unsigned_abs();
        let centre = field.centre().x;
        let sign = Rect::new(
            centre - signed(side) / 2,
            field.top() - metrics.px(130),
            side,
            side,
        );
        self.masks
            .draw(self.canvas, sign, Sign::Bulwark, palette.text);
        let mut centred = |middle: i32, words: &str, style: Style| {
            let room = signed(layout.area.width());
            let width = style.width(words).min(room);
            text::draw_centred_on(self.canvas, centre - width / 2, middle, words, style, room);
        };
        centred(
            field.top() - metrics.px(32),
            words.locked,
            Style::bold(metrics.heading, palette.text),
        );
        let bottom = layout
            .controls
            .first()
            .map_or(field.bottom(), |(place, _)| place.bottom());
        let mut middle = bottom + metrics.px(28);
        for (line, words) in self.look.lock_lines() {
            let ink = match line {
                LockLine::Why => palette.text,
                LockLine::Refused | LockLine::Wait => palette.warning,
            };
            let style = Style::regular(metrics.body, ink);
            let room = signed(layout.area.width()) - 2 * margin(metrics);
            for line in text::wrapped(&words, style, room, 2) {
                centred(middle, line, style);
                middle += metrics.body * 3 / 2;
            }
            middle += metrics.px(4);
        }
        let Some(lock) = self.look.ui.lock_state(self.look.now) else {
            return;
        };
        self.canvas.fill(field, palette.muted);
        self.canvas
            .fill(field.inset(metrics.px(1)), palette.surface);
        let inner = field.inset(metrics.px(10));
        if lock.typed == 0 {
            let style = Style::regular(metrics.body, palette.muted);
            text::draw_centred_on(
                self.canvas,
                inner.left(),
                field.centre().y,
                words.passphrase,
                style,
                signed(inner.width()),
            );
            return;
        }
        // Dots say that keys arrive; how many there are beyond the field's width is nobody's business.
        let blocked = lock.verifying || !lock.wait.is_zero();
        let ink = if blocked { palette.muted } else { palette.text };
        let style = Style::regular(metrics.body, ink);
        let dots = "\u{25cf}".repeat(lock.typed.min(64));
        let room = signed(inner.width());
        let step = style.width("\u{25cf}").max(1);
        let shown: String = dots
            .chars()
            .take(usize::try_from(room / step).unwrap_or(0))
            .collect();
        text::draw_centred_on(
            self.canvas,
            inner.left(),
            field.centre().y,
            &shown,
            style,
            room,
        );
    }
}
