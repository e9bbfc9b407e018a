//! The USB page: what is plugged in, who has it, by which rule, and where it may go.

use super::{PageControl, Pages, Sheet, Tone};
use crate::atlas::Weight;
use crate::geometry::{Rect, signed};
use crate::trusted::Control;
use crate::trusted::paint::{button_height, place_row, row_width};
use crate::trusted::views::{UsbCommand, UsbDeviceId};

pub(super) fn fill(sheet: &mut Sheet<'_>) {
    let metrics = sheet.metrics;
    let (look, words) = (sheet.look, sheet.look.words);
    let view = &look.pages.usb;
    if let Some(remark) = &view.remark {
        let line = sheet.top(metrics.body * 2);
        sheet.body(line, remark.as_str(), Tone::Warning);
    } else if view.devices.is_empty() {
        let line = sheet.top(metrics.body * 2);
        sheet.body(line, words.no_devices, Tone::Muted);
    }
    let line = metrics.body * 3 / 2;
    let height = 2 * line + button_height(metrics) + metrics.px(18);
    for device in &view.devices {
        if signed(sheet.rest.height()) < height {
            break;
        }
        let row = sheet.top(height);
        let rule = Rect::from_edges(
            row.left(),
            row.top(),
            row.right(),
            row.top() + metrics.px(1),
        );
        sheet.ground(rule, Tone::Line);
        let strip = |from: i32, height: i32| {
            Rect::from_edges(
                row.left(),
                row.top() + from,
                row.right(),
                row.top() + from + height,
            )
        };
        let name = strip(metrics.px(6), line);
        sheet.words(
            name,
            device.name.as_str(),
            Weight::Bold,
            Tone::Text,
            metrics.body,
        );
        let facts = format!("{}  \u{2022}  {}", device.facts, device.rule);
        sheet.small(strip(metrics.px(6) + line, line), &facts, Tone::Muted);
        let foot = strip(metrics.px(8) + 2 * line, button_height(metrics));
        let mut controls: Vec<Control> = device
            .may_go_to
            .iter()
            .filter(|zone| Some(**zone) != device.held_by)
            .map(|zone| (device.id, UsbCommand::Attach(*zone)))
            .chain(device.held_by.map(|_| (device.id, UsbCommand::Detach)))
            .map(|(id, command)| Control::Page(PageControl::Usb(id, command)))
            .collect();
        // What finds no room with its words is left out from the front; taking a device back always finds room.
        while controls.len() > 1
            && row_width(&controls, metrics, look) > signed(foot.width()) * 2 / 3
        {
            controls.remove(0);
        }
        place_row(&mut sheet.layout, foot, &controls, metrics, look);
        let held = match device.held_by {
            Some(zone) => {
                let side = metrics.px(20).unsigned_abs();
                let top = foot.centre().y - signed(side) / 2;
                sheet.badge(Rect::new(foot.left(), top, side, side), Some(zone));
                format!("{} {}", words.held_by, look.zone_name(zone))
            }
            None => words.held_by_nobody.to_owned(),
        };
        let indent = device.held_by.map_or(0, |_| metrics.px(28));
        let place = foot.inset_edges(indent, 0, signed(foot.width()) * 2 / 3, 0);
        sheet.body(place, &held, Tone::Text);
    }
}

/// What a device calls itself.
pub(super) fn name(pages: &Pages, id: UsbDeviceId) -> &str {
    let found = pages.usb.devices.iter().find(|device| device.id == id);
    found.map_or("", |device| device.name.as_str())
}
