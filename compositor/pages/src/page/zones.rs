//! The page of the zones: how each fares, and what may be done with it.

use compositor::{Mark, ZoneCommand, ZoneId, ZoneState};
use egui::{Button, Key, Pos2, Rect, RichText, Sense, Ui, Vec2};

use super::Page;
use crate::{Act, Wish, Zone, look, widgets};

impl Page<'_> {
    pub(super) fn zones(&mut self, ui: &mut Ui, confirm: &mut Option<(ZoneId, ZoneCommand)>) {
        if ui.input(|input| input.key_pressed(Key::Escape)) {
            *confirm = None;
        }
        // What has become pointless is not asked any more.
        *confirm = confirm.filter(|(id, _)| {
            let zone = self.zone(*id);
            zone.is_some_and(|zone| zone.state.is_live() && zone.state != ZoneState::Stopping)
        });
        let ground = self.ground;
        if ground.zones.is_empty() {
            return widgets::nothing(ui, &self.tones, self.words.no_zones, "");
        }
        egui::ScrollArea::vertical()
            .auto_shrink(false)
            .animated(false)
            .show(ui, |ui| {
                widgets::page_keys(ui);
                for zone in &ground.zones {
                    let tones = self.tones;
                    ui.push_id(zone.identity.id.0, |ui| {
                        widgets::card(ui, &tones, |ui| self.zone_card(ui, zone, confirm));
                    });
                }
            });
    }

    fn zone_card(&mut self, ui: &mut Ui, zone: &Zone, confirm: &mut Option<(ZoneId, ZoneCommand)>) {
        let (words, tones) = (self.words, self.tones);
        let id = zone.identity.id;
        let asked = confirm.filter(|(asked, _)| *asked == id);
        ui.horizontal(|ui| {
            let (place, _) = ui.allocate_exact_size(Vec2::splat(36.0), Sense::hover());
            self.images.badge(ui, place, &zone.identity);
            ui.add_space(6.0);
            let buttons = if asked.is_some() { 0.0 } else { 330.0 };
            let room = (ui.available_width() - buttons).max(120.0);
            let down = egui::Layout::top_down(egui::Align::Min);
            ui.allocate_ui_with_layout(Vec2::new(room, 36.0), down, |ui| {
                ui.set_min_width(room);
                ui.spacing_mut().item_spacing.y = 4.0;
                let name = RichText::new(zone.identity.name.as_str());
                ui.add(egui::Label::new(name.font(look::bold(look::BODY + 2.0))).truncate());
                self.state_line(ui, zone);
            });
            if asked.is_none() {
                widgets::from_right(ui, |ui| self.commands(ui, zone, confirm));
            }
        });
        self.facts(ui, zone);
        if let Some((_, command)) = asked {
            ui.add_space(2.0);
            let question = match command {
                ZoneCommand::Restart => words.really_restart,
                _ => words.really_stop,
            };
            self.warn(ui, question);
            ui.horizontal(|ui| {
                let name = &zone.identity.name;
                let no = widgets::button(ui, words.no, &format!("{}: {name}", words.no));
                if no.clicked() {
                    *confirm = None;
                }
                let word = self.command_word(command);
                let ink = RichText::new(word).color(tones.surface);
                let yes = ui.add(Button::new(ink).fill(tones.warning));
                if widgets::named(yes, &format!("{word}!: {name}")).clicked() {
                    *confirm = None;
                    self.act(Act::Command(id, command));
                }
            });
        }
    }

    /// How it fares: by a form, a word, and what is to be said beside.
    fn state_line(&mut self, ui: &mut Ui, zone: &Zone) {
        let (words, tones) = (self.words, self.tones);
        let facts = self.views.zones.zones.get(&zone.identity.id);
        let mut said = words.state(&zone.state).to_owned();
        let since = facts.map_or("", |facts| facts.since.as_str());
        if zone.state.is_live() && !since.is_empty() {
            said = format!("{said} {} {since}", words.since);
        }
        if let ZoneState::Starting(why) | ZoneState::Dark(why) = &zone.state
            && !why.is_empty()
        {
            said = format!("{said}: {why}");
        }
        let dark = matches!(zone.state, ZoneState::Dark(_));
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            let (place, _) = ui.allocate_exact_size(Vec2::new(10.0, 15.0), Sense::hover());
            let middle = place.center();
            match zone.state {
                ZoneState::Running => {
                    ui.painter().circle_filled(middle, 4.5, tones.text);
                }
                ZoneState::Off => {
                    let stroke = egui::Stroke::new(1.5, tones.muted);
                    ui.painter().circle_stroke(middle, 4.0, stroke);
                }
                ZoneState::Starting(_) | ZoneState::Stopping => {
                    let stroke = egui::Stroke::new(1.5, tones.text);
                    ui.painter().circle_stroke(middle, 4.0, stroke);
                    ui.painter().circle_filled(middle, 2.0, tones.text);
                }
                ZoneState::Dark(_) => {
                    let sign = Rect::from_center_size(middle, Vec2::splat(12.0));
                    self.images.mark(ui, sign, Mark::Warning, tones.warning);
                }
            }
            let ink = if dark { tones.warning } else { tones.muted };
            ui.add(egui::Label::new(RichText::new(said).color(ink)).truncate());
        });
    }

    fn facts(&mut self, ui: &mut Ui, zone: &Zone) {
        let (words, tones) = (self.words, self.tones);
        if let Some(facts) = self.views.zones.zones.get(&zone.identity.id) {
            let known = [(words.memory, &facts.memory), (words.image, &facts.image)];
            let known: Vec<String> = known
                .iter()
                .filter(|(_, fact)| !fact.is_empty())
                .map(|(name, fact)| format!("{name}: {fact}"))
                .collect();
            if !known.is_empty() {
                widgets::small(ui, &tones, &known.join("     "));
            }
        }
        let marks = [
            (&zone.identity.weakened, words.jail_weakened),
            (&zone.identity.outdated, words.outdated),
        ];
        for (why, mark) in marks {
            if let Some(why) = why {
                self.warn(ui, &format!("{mark}: {why}"));
            }
        }
    }

    /// The buttons of a zone, the last one first: they stand at the right end.
    fn commands(&mut self, ui: &mut Ui, zone: &Zone, confirm: &mut Option<(ZoneId, ZoneCommand)>) {
        let id = zone.identity.id;
        let name = &zone.identity.name;
        let commands: &[ZoneCommand] = match zone.state {
            ZoneState::Stopping => &[],
            _ if zone.state.is_live() => &[ZoneCommand::Stop, ZoneCommand::Restart],
            _ => &[ZoneCommand::Start],
        };
        for command in commands {
            let word = self.command_word(*command);
            if widgets::button(ui, word, &format!("{word}: {name}")).clicked() {
                if *command == ZoneCommand::Start {
                    self.act(Act::Command(id, *command));
                } else {
                    *confirm = Some((id, *command));
                }
            }
        }
        let show = self.words.show;
        if widgets::button(ui, show, &format!("{show}: {name}")).clicked() {
            self.wishes.push(Wish::Show(id));
        }
    }

    fn command_word(&self, command: ZoneCommand) -> &'static str {
        match command {
            ZoneCommand::Start => self.words.start,
            ZoneCommand::Stop => self.words.stop,
            ZoneCommand::Restart => self.words.restart,
        }
    }
}

/// The place of a column that begins at `left` and is `width` wide, less a gap.
pub(super) fn column(row: Rect, left: &mut f32, width: f32) -> Rect {
    let from = *left;
    *left += width;
    let right = (from + width - 12.0).min(row.right() - 8.0).max(from);
    Rect::from_min_max(Pos2::new(from, row.top()), Pos2::new(right, row.bottom()))
}
