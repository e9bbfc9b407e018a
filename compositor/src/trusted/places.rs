//! Where things are on the pages of the trusted UI.

use super::look::PageLook;
use super::work::{self, WorkPage};
use super::{Answer, Control, Layout, Page};
use crate::geometry::{Rect, Size, signed};
use crate::input::ZoneCommand;
use crate::theme::Metrics;
use crate::zone::ZoneState;

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
pub(crate) fn attention(work: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
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

pub(super) fn in_column(rows: i32, columns: i32) -> i32 {
    (rows + columns - 1) / columns.max(1)
}

pub(super) fn zone_row(
    area: &Rect,
    metrics: &Metrics,
    number: i32,
    in_column: i32,
    columns: i32,
) -> Rect {
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
pub(crate) fn overview(work: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
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
pub(crate) fn prompt(work: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
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
pub(crate) fn work(room: Rect, metrics: &Metrics) -> Layout {
    let width = metrics.px(1120).min(signed(room.width()) - metrics.px(16));
    let height = metrics.px(860).min(signed(room.height()) - metrics.px(16));
    let area = room.centred(Size {
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
pub(crate) fn lock(output: Rect, metrics: &Metrics, look: &PageLook<'_>) -> Layout {
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

pub(super) fn lock_field(output: &Rect, metrics: &Metrics) -> Rect {
    let width = metrics
        .px(320)
        .min(signed(output.width()) - metrics.px(24))
        .max(1);
    output.centred(Size {
        width: width.unsigned_abs(),
        height: (metrics.title + metrics.px(8)).unsigned_abs(),
    })
}
