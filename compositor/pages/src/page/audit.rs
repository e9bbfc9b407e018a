//! The page of the audit log: filters, the records that match, newest first, and all of the one that is chosen.
//!
//! Of a long log only the rows that are seen are made, and only a window of records is asked for at a time.

use compositor::accesskit::Role;
use egui::{ComboBox, Panel, Rect, RichText, Ui, Vec2, WidgetInfo};

use super::Page;
use super::zones::column;
use crate::views::{AUDIT_WINDOW, AuditFilter, Query, RecordKind, RecordView};
use crate::{Act, look, widgets};

/// A row's height in points.
const ROW: f32 = 30.0;
/// Columns for time, zone and what happened; the rest is for details.
const COLUMNS: [f32; 3] = [162.0, 128.0, 118.0];

/// How wide a box to choose from is.
const BOX: f32 = 152.0;

/// What a person looks for in the log.
#[derive(Default)]
pub(crate) struct State {
    filter: AuditFilter,
    /// A window was asked for and has not come.
    pub(crate) waits: bool,
    /// The one that was asked for last. It is not asked for twice, whatever came.
    asked: u64,
    chosen: Option<RecordView>,
}

impl Page<'_> {
    pub(super) fn audit(&mut self, ui: &mut Ui, state: &mut State) {
        let before = state.filter.clone();
        self.filters(ui, &mut state.filter);
        if state.filter != before {
            state.chosen = None;
            self.ask_for(state, 0);
        }
        self.log_state(ui);
        let detail = egui::Frame::new().inner_margin(egui::Margin {
            top: 10,
            ..egui::Margin::ZERO
        });
        Panel::bottom("record")
            .resizable(false)
            .exact_size(104.0)
            .frame(detail)
            .show(ui, |ui| self.record(ui, state.chosen.as_ref()));
        egui::CentralPanel::no_frame().show(ui, |ui| self.records(ui, state));
    }

    fn filters(&mut self, ui: &mut Ui, filter: &mut AuditFilter) {
        let words = self.words;
        ui.horizontal(|ui| {
            let boxes = 2.0 * (BOX + ui.spacing().item_spacing.x);
            let width = (ui.available_width() - boxes).max(120.0);
            widgets::filter(ui, &mut filter.words, words.filter, width);
            let of = |zone| self.zone(zone).map(|zone| zone.identity.name.as_str());
            let chosen = filter.zone.and_then(of).unwrap_or(words.all_zones);
            let zones = ComboBox::from_id_salt("zone")
                .selected_text(chosen)
                .width(BOX)
                .truncate()
                .show_ui(ui, |ui| {
                    ui.selectable_value(&mut filter.zone, None, words.all_zones);
                    for zone in &self.ground.zones {
                        let name = zone.identity.name.as_str();
                        ui.selectable_value(&mut filter.zone, Some(zone.identity.id), name);
                    }
                });
            combo_info(&zones.response, words.zone, chosen);
            let chosen = filter
                .kind
                .map_or(words.all_kinds, |kind| words.record_kind(kind));
            let kinds = ComboBox::from_id_salt("kind")
                .selected_text(chosen)
                .width(BOX)
                .truncate()
                .show_ui(ui, |ui| {
                    ui.selectable_value(&mut filter.kind, None, words.all_kinds);
                    for kind in RecordKind::ALL {
                        let word = words.record_kind(kind);
                        ui.selectable_value(&mut filter.kind, Some(kind), word);
                    }
                });
            combo_info(&kinds.response, words.what, chosen);
        });
    }

    /// How many records match, and how the log fares.
    fn log_state(&mut self, ui: &mut Ui) {
        let (words, tones) = (self.words, self.tones);
        let view = &self.views.audit;
        let count = words.record_count(view.matching);
        if view.trouble.is_empty() {
            let said = format!("{count}.  {}{}", words.log_works, words.as_written);
            widgets::small(ui, &tones, &said);
        } else {
            widgets::small(ui, &tones, &count);
            self.warn(ui, view.trouble.as_str());
        }
    }

    fn records(&mut self, ui: &mut Ui, state: &mut State) {
        let (words, tones) = (self.words, self.tones);
        let view = &self.views.audit;
        let count = usize::try_from(view.matching.min(1 << 22)).unwrap_or(0);
        if count == 0 {
            let said = if state.waits {
                words.reading
            } else {
                words.no_records
            };
            return widgets::nothing(ui, &tones, said, "");
        }
        let heads = [words.when, words.zone, words.what, words.details];
        let (head, _) =
            ui.allocate_exact_size(Vec2::new(ui.available_width(), 22.0), egui::Sense::hover());
        let mut left = head.left() + 10.0;
        for (word, width) in heads.iter().zip(COLUMNS.into_iter().chain([head.width()])) {
            let place = column(head, &mut left, width);
            widgets::write(ui, place, word, look::bold(look::SMALL), tones.muted);
        }
        ui.spacing_mut().item_spacing.y = 0.0;
        let loaded = |row: usize| {
            let row = u64::try_from(row).ok()?.checked_sub(view.skipped)?;
            view.records.get(usize::try_from(row).ok()?)
        };
        let spoken = |row: usize| {
            loaded(row).map_or_else(
                || words.reading.to_owned(),
                |record| {
                    let RecordView {
                        time,
                        zone,
                        what,
                        text,
                        ..
                    } = record;
                    format!("{time} {zone} {what} {text}")
                },
            )
        };
        let mut chosen = None;
        let seen = widgets::rows(
            ui,
            ("log", &spoken),
            ROW,
            count,
            |ui, row, place, response| {
                let record = loaded(row);
                let is_chosen = record.is_some() && state.chosen.as_ref() == record;
                widgets::row_ground(ui, &tones, place, response, is_chosen);
                match record {
                    Some(record) => self.row(ui, place, record),
                    None => {
                        let mut left = place.left() + 10.0;
                        let place = column(place, &mut left, 200.0);
                        let font = look::regular(look::BODY);
                        widgets::write(ui, place, words.reading, font, tones.muted);
                    }
                }
                if response.clicked() {
                    chosen = record.cloned();
                }
            },
        );
        state.chosen = chosen.or(state.chosen.take());
        let is_here = |row: usize| loaded(row).is_some();
        if !seen.clone().all(is_here) && !state.waits {
            let middle = u64::try_from(seen.start).unwrap_or(0);
            let before = u64::try_from(AUDIT_WINDOW / 3).unwrap_or(0);
            let skip = middle.saturating_sub(before);
            if skip != state.asked {
                self.ask_for(state, skip);
            }
        }
    }

    fn ask_for(&mut self, state: &mut State, skip: u64) {
        state.waits = true;
        state.asked = skip;
        self.act(Act::Query(Query::Audit {
            filter: state.filter.clone(),
            skip,
            count: AUDIT_WINDOW,
        }));
    }

    fn row(&mut self, ui: &mut Ui, place: Rect, record: &RecordView) {
        let tones = self.tones;
        let ink = if record.alarming {
            tones.warning
        } else {
            tones.text
        };
        let mut left = place.left() + 10.0;
        let [time, zone, what] = COLUMNS.map(|width| column(place, &mut left, width));
        let text = column(place, &mut left, place.width());
        let plain = look::regular(look::BODY);
        widgets::write(ui, time, record.time.as_str(), plain.clone(), tones.muted);
        if let Some(known) = record.id.and_then(|id| self.zone(id)) {
            let badge = Rect::from_min_size(
                egui::Pos2::new(zone.left(), zone.center().y - 8.0),
                Vec2::splat(16.0),
            );
            self.images.badge(ui, badge, &known.identity);
        }
        let mut name = zone;
        name.set_left(zone.left() + 23.0);
        let strong = look::bold(look::BODY);
        widgets::write(ui, name, record.zone.as_str(), strong.clone(), tones.text);
        let word = if record.alarming {
            strong
        } else {
            plain.clone()
        };
        widgets::write(ui, what, record.what.as_str(), word, ink);
        widgets::write(ui, text, record.text.as_str(), plain, tones.text);
    }

    /// All of the record that is chosen.
    fn record(&mut self, ui: &mut Ui, record: Option<&RecordView>) {
        let (words, tones) = (self.words, self.tones);
        let Some(record) = record else {
            return widgets::muted(ui, &tones, words.choose_record);
        };
        ui.horizontal(|ui| {
            ui.label(RichText::new(record.time.as_str()).color(tones.muted));
            if !record.zone.is_empty() {
                self.party(ui, record.id, record.zone.as_str());
            }
            let what = RichText::new(record.what.as_str()).font(look::bold(look::BODY));
            ui.label(what.color(if record.alarming {
                tones.warning
            } else {
                tones.text
            }));
        });
        egui::ScrollArea::vertical()
            .id_salt("all of it")
            .auto_shrink(false)
            .animated(false)
            .show(ui, |ui| {
                ui.label(record.text.as_str());
            });
    }
}

fn combo_info(response: &egui::Response, name: &str, chosen: &str) {
    let spoken = format!("{name}: {chosen}");
    response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &spoken));
}
