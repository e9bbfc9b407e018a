//! The page of the USB devices: what is plugged in, who has it, and what the policy says for each zone.

use egui::{RichText, Sense, Ui, Vec2};

use super::Page;
use crate::views::{FlowVerdict, UsbCommand, UsbDeviceView, UsbZoneView};
use crate::{Act, look, widgets};

impl Page<'_> {
    pub(super) fn usb(&mut self, ui: &mut Ui) {
        let views = self.views;
        if let Some(remark) = &views.usb.remark {
            return self.warn(ui, remark.as_str());
        }
        if views.usb.devices.is_empty() {
            let (words, tones) = (self.words, self.tones);
            return widgets::nothing(ui, &tones, words.no_devices, words.plug_in);
        }
        egui::ScrollArea::vertical()
            .auto_shrink(false)
            .animated(false)
            .show(ui, |ui| {
                widgets::page_keys(ui);
                for device in &views.usb.devices {
                    let tones = self.tones;
                    ui.push_id(device.id.0, |ui| {
                        widgets::card(ui, &tones, |ui| self.device(ui, device));
                    });
                }
            });
    }

    fn device(&mut self, ui: &mut Ui, device: &UsbDeviceView) {
        let (words, tones) = (self.words, self.tones);
        ui.horizontal(|ui| {
            let room = (ui.available_width() - 150.0).max(120.0);
            let down = egui::Layout::top_down(egui::Align::Min);
            ui.allocate_ui_with_layout(Vec2::new(room, 36.0), down, |ui| {
                ui.set_min_width(room);
                ui.spacing_mut().item_spacing.y = 4.0;
                let name = RichText::new(device.name.as_str());
                ui.add(egui::Label::new(name.font(look::bold(look::BODY + 2.0))).truncate());
                widgets::small(ui, &tones, device.facts.as_str());
            });
            widgets::from_right(ui, |ui| {
                if device.held_by.is_some() {
                    let spoken = format!("{}: {}", words.detach, device.name);
                    if widgets::button(ui, words.detach, &spoken).clicked() {
                        self.act(Act::Usb(device.id, UsbCommand::Detach));
                    }
                }
            });
        });
        match device.held_by.and_then(|id| self.zone(id)) {
            Some(zone) => {
                ui.horizontal(|ui| {
                    let name = &zone.identity.name;
                    let (place, _) = ui.allocate_exact_size(Vec2::splat(18.0), Sense::hover());
                    self.images.badge(ui, place, &zone.identity);
                    let said = RichText::new(format!("{} {name}", words.held_by));
                    ui.label(said.font(look::bold(look::BODY)));
                });
            }
            None => widgets::muted(ui, &tones, words.held_by_nobody),
        }
        if device
            .zones
            .iter()
            .all(|zone| zone.verdict == FlowVerdict::Deny)
        {
            widgets::muted(ui, &tones, words.no_zone_may);
        }
        ui.add_space(2.0);
        ui.spacing_mut().item_spacing.y = 4.0;
        for zone in &device.zones {
            self.device_zone(ui, device, zone);
        }
    }

    /// A zone's line: its badge and name, the verdict, why, and the button where there is one.
    fn device_zone(&mut self, ui: &mut Ui, device: &UsbDeviceView, view: &UsbZoneView) {
        let Some(zone) = self.zone(view.zone) else {
            return;
        };
        let (words, tones) = (self.words, self.tones);
        let size = Vec2::new(ui.available_width(), 30.0);
        let across = egui::Layout::left_to_right(egui::Align::Center);
        ui.allocate_ui_with_layout(size, across, |ui| {
            ui.set_min_size(size);
            let (place, _) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::hover());
            self.images.badge(ui, place, &zone.identity);
            let column = |ui: &mut Ui, width: f32, text: RichText| {
                ui.allocate_ui_with_layout(Vec2::new(width, 30.0), across, |ui| {
                    ui.set_min_width(width);
                    ui.add(egui::Label::new(text).truncate());
                });
            };
            let name = RichText::new(zone.identity.name.as_str());
            column(ui, 130.0, name.font(look::bold(look::BODY)));
            let (sign, _) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::hover());
            widgets::verdict_sign(ui, sign, view.verdict);
            let may = view.verdict != FlowVerdict::Deny && device.held_by != Some(view.zone);
            column(ui, 130.0, RichText::new(words.verdict(view.verdict)));
            let button = if may { 90.0 } else { 0.0 };
            let room = (ui.available_width() - button).max(40.0);
            let why = RichText::new(view.why.as_str()).color(tones.muted);
            column(ui, room, why);
            if may {
                widgets::from_right(ui, |ui| {
                    let spoken = format!("{} \u{2192} {}", device.name, zone.identity.short_name);
                    if widgets::button(ui, words.give, &spoken).clicked() {
                        self.act(Act::Usb(device.id, UsbCommand::Attach(view.zone)));
                    }
                });
            }
        });
    }
}
