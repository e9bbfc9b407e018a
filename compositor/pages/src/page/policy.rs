//! The policy page: what it is, the flow matrix of one kind with the rules that decide, and the list of all rules.

use compositor::accesskit::Role;
use egui::{
    ComboBox, CornerRadius, EventFilter, Id, Key, Panel, Pos2, Rect, RichText, ScrollArea, Sense,
    Stroke, Ui, Vec2, WidgetInfo,
};

use super::Page;
use crate::views::{CellView, FlowVerdict, RuleView};
use crate::{look, widgets};

/// A rule's row in points.
const ROW: f32 = 32.0;
/// The sides of cells: at most, at least with a word in them, and with the sign alone.
const LARGE: Vec2 = Vec2::new(76.0, 50.0);
const WORD: Vec2 = Vec2::new(50.0, 40.0);
const TIGHT: Vec2 = Vec2::new(30.0, 30.0);
const NAMES: f32 = 132.0;
const HEAD: f32 = 46.0;

/// What a person chose on the policy page.
#[derive(Default)]
pub(super) struct State {
    /// The list of rules is shown, not the matrix.
    lists: bool,
    kind: u16,
    cell: Option<(u16, u16)>,
    /// The cell that keys go to.
    focus: Option<(usize, usize)>,
    rule: Option<usize>,
    filter: String,
}

impl Page<'_> {
    pub(super) fn policy(&mut self, ui: &mut Ui, state: &mut State) {
        let (words, tones) = (self.words, self.tones);
        let policy = &self.views.policy;
        if policy.parties.is_empty() {
            return widgets::nothing(ui, &tones, words.no_policy, "");
        }
        if usize::from(state.kind) >= policy.kinds.len() {
            state.kind = 0;
        }
        ui.spacing_mut().item_spacing.y = 4.0;
        for (number, fact) in policy.facts.iter().take(4).enumerate() {
            let text = RichText::new(fact.as_str());
            let text = if number == 0 {
                text.font(look::bold(look::BODY))
            } else {
                text.small().color(tones.muted)
            };
            ui.add(egui::Label::new(text).truncate());
        }
        if !policy.trouble.is_empty() {
            self.warn(ui, policy.trouble.as_str());
        }
        ui.add_space(6.0);
        ui.spacing_mut().item_spacing.y = 8.0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            for (lists, word) in [(false, words.matrix), (true, words.rules)] {
                if widgets::choice(ui, &tones, state.lists == lists, word, word) {
                    state.lists = lists;
                }
            }
            ui.add_space(10.0);
            if state.lists {
                let width = ui.available_width();
                if widgets::filter(ui, &mut state.filter, words.filter_rules, width) {
                    state.rule = None;
                }
            } else {
                self.kinds(ui, state);
            }
        });
        ui.add_space(4.0);
        let wide = ui.available_width() >= 620.0;
        let frame = egui::Frame::new();
        let detail = if wide {
            Panel::right("decides")
                .exact_size((ui.available_width() * 0.4).min(340.0))
                .frame(frame.inner_margin(egui::Margin {
                    left: 18,
                    ..egui::Margin::ZERO
                }))
        } else {
            Panel::bottom("decides")
                .exact_size((ui.available_height() * 0.34).max(90.0))
                .frame(frame.inner_margin(egui::Margin {
                    top: 10,
                    ..egui::Margin::ZERO
                }))
        };
        detail.resizable(false).show(ui, |ui| {
            ScrollArea::vertical()
                .id_salt("why")
                .auto_shrink(false)
                .animated(false)
                .show(ui, |ui| {
                    if state.lists {
                        self.whole_rule(ui, state.rule);
                    } else {
                        self.explanation(ui, state);
                    }
                });
        });
        egui::CentralPanel::no_frame().show(ui, |ui| {
            if state.lists {
                self.rules(ui, state);
            } else {
                self.matrix(ui, state);
            }
        });
    }

    fn kinds(&mut self, ui: &mut Ui, state: &mut State) {
        let policy = &self.views.policy;
        let chosen = policy.kinds.get(usize::from(state.kind));
        let before = state.kind;
        ui.label(RichText::new(self.words.kind).color(self.tones.muted));
        let shown = chosen.map_or("", |kind| kind.as_str());
        let combo = ComboBox::from_id_salt("kind")
            .selected_text(shown)
            .width(150.0);
        let inner = combo.show_ui(ui, |ui| {
            for (number, kind) in (0..).zip(&policy.kinds) {
                ui.selectable_value(&mut state.kind, number, kind.as_str());
            }
        });
        let spoken = format!("{}: {shown}", self.words.kind);
        inner
            .response
            .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &spoken));
        if state.kind != before {
            state.cell = None;
        }
    }

    /// Senders down, receivers across. Names stay where they are; only cells that are seen are made.
    fn matrix(&mut self, ui: &mut Ui, state: &mut State) {
        let (words, tones) = (self.words, self.tones);
        let parties = &self.views.policy.parties;
        ui.horizontal_wrapped(|ui| self.legend(ui));
        ui.add_space(2.0);
        #[allow(
            clippy::cast_precision_loss,
            reason = "a policy has at most 2^16 zones"
        )]
        let count = parties.len() as f32;
        let room = ui.available_size() - Vec2::new(NAMES + 12.0, HEAD + 12.0);
        let share = (room / count).min(LARGE);
        let roomy = share.x >= WORD.x && share.y >= WORD.y;
        let side = if roomy { share.floor() } else { TIGHT };
        ScrollArea::both()
            .id_salt(("matrix", state.kind))
            .auto_shrink(false)
            .animated(false)
            .show_viewport(ui, |ui, viewport| {
                let whole = Vec2::new(NAMES, HEAD) + side * count;
                let origin = ui.min_rect().min;
                ui.allocate_rect(Rect::from_min_size(origin, whole), Sense::hover());
                let cells = origin + Vec2::new(NAMES, HEAD);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "places in the matrix; a negative one becomes zero"
                )]
                let at = |points: f32, side: f32| (points / side) as usize;
                // Two beyond each end, for the keyboard: one of them may be empty.
                let rows = at(viewport.top(), side.y).saturating_sub(2)
                    ..(at(viewport.bottom() - HEAD, side.y) + 3).min(parties.len());
                let columns = at(viewport.left(), side.x).saturating_sub(2)
                    ..(at(viewport.right() - NAMES, side.x) + 3).min(parties.len());
                #[allow(clippy::cast_precision_loss, reason = "fewer than 2^16")]
                let corner = |row: usize, column: usize| {
                    cells + Vec2::new(side.x * column as f32, side.y * row as f32)
                };
                self.step(ui, state);
                widgets::page_keys(ui);
                let seen = ui.clip_rect();
                let (left, top) = (seen.left().max(origin.x), seen.top().max(origin.y));
                let mut inner = seen;
                inner.min = Pos2::new(left + NAMES, top + HEAD);
                for (row, column) in rows
                    .clone()
                    .flat_map(|row| columns.clone().map(move |column| (row, column)))
                {
                    let place = Rect::from_min_size(corner(row, column), side).shrink(1.5);
                    self.cell(ui, (row, column), place, inner, roomy, state);
                }
                // The names' own ground covers what is scrolled beneath them.
                let painter = ui.painter();
                let strip = Rect::from_min_max(
                    Pos2::new(left, top),
                    Pos2::new(left + NAMES, seen.bottom()),
                );
                painter.rect_filled(strip, CornerRadius::ZERO, tones.surface);
                for row in rows {
                    let y = corner(row, 0).y;
                    let place =
                        Rect::from_min_size(Pos2::new(left, y), Vec2::new(NAMES - 8.0, side.y));
                    self.head(ui, row, place, true);
                }
                let strip =
                    Rect::from_min_max(Pos2::new(left, top), Pos2::new(seen.right(), top + HEAD));
                ui.painter()
                    .rect_filled(strip, CornerRadius::ZERO, tones.surface);
                for column in columns {
                    let x = corner(0, column).x;
                    if x + side.x < left + NAMES {
                        continue;
                    }
                    let place = Rect::from_min_size(Pos2::new(x, top), Vec2::new(side.x, HEAD));
                    self.head(ui, column, place, roomy);
                }
                let strip = Rect::from_min_size(strip.min, Vec2::new(NAMES, HEAD));
                ui.painter()
                    .rect_filled(strip, CornerRadius::ZERO, tones.surface);
                let said = format!("{} \u{2193}   {} \u{2192}", words.from, words.to);
                let font = look::regular(look::SMALL);
                widgets::write(ui, strip, &said, font, tones.muted);
            });
    }

    /// A party's badge, and its name where there is room for it.
    fn head(&mut self, ui: &mut Ui, party: usize, place: Rect, named: bool) {
        let Some(party) = self.views.policy.parties.get(party) else {
            return;
        };
        let zone = party.zone.and_then(|id| self.zone(id));
        let across = place.height() <= 50.0 && place.width() > 100.0;
        let badge = Vec2::splat(20.0);
        if across {
            let at = Pos2::new(place.left() + 2.0, place.center().y - 10.0);
            self.party_mark(ui, Rect::from_min_size(at, badge), zone);
            let mut room = place;
            room.set_left(place.left() + 30.0);
            let font = look::bold(look::BODY);
            widgets::write(ui, room, party.name.as_str(), font, self.tones.text);
            return;
        }
        let at = Pos2::new(
            place.center().x - 10.0,
            place.top() + if named { 4.0 } else { 16.0 },
        );
        let badge = Rect::from_min_size(at, badge);
        self.party_mark(ui, badge, zone);
        if named {
            let mut room = place.shrink2(Vec2::new(2.0, 0.0));
            room.set_top(badge.bottom() + 2.0);
            room.set_bottom(room.top() + 15.0);
            let font = look::bold(look::SMALL);
            widgets::write_centred(ui, room, party.name.as_str(), font, self.tones.text);
        }
    }

    fn cell(
        &mut self,
        ui: &mut Ui,
        (row, column): (usize, usize),
        place: Rect,
        inner: Rect,
        roomy: bool,
        state: &mut State,
    ) {
        let key = |party: usize| u16::try_from(party).unwrap_or(u16::MAX);
        let (from, to) = (key(row), key(column));
        let Some(view) = self.views.policy.cells.get(&(state.kind, from, to)) else {
            ui.painter()
                .rect_filled(place.shrink(2.0), CornerRadius::same(4), self.tones.faint);
            return;
        };
        // What lies beneath the names is not to be clicked.
        let seen = place.intersect(inner);
        let id = cell_id(ui, state.kind, (row, column));
        let response = ui.interact(
            if seen.is_positive() { seen } else { place },
            id,
            Sense::click(),
        );
        let spoken = self.spoken(state.kind, from, to);
        let chosen = state.cell == Some((from, to));
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, &spoken));
        if response.clicked() {
            state.cell = Some((from, to));
            response.request_focus();
        }
        if response.has_focus() && state.focus != Some((row, column)) {
            state.focus = Some((row, column));
            let margin = Vec2::new(NAMES, HEAD);
            ui.scroll_to_rect(Rect::from_min_max(place.min - margin, place.max), None);
        }
        if response.has_focus() {
            // Arrows move within the matrix, also to what is not seen yet; Tab leaves it.
            let filter = EventFilter {
                horizontal_arrows: true,
                vertical_arrows: true,
                ..EventFilter::default()
            };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        }
        let (ground, sign) = look::verdict(view.best);
        let ground = if response.hovered() {
            ground.mixed(ground.ink(), 50)
        } else {
            ground
        };
        let ink = look::colour(ground.ink());
        let radius = CornerRadius::same(4);
        ui.painter()
            .rect_filled(place, radius, look::colour(ground));
        let marks = marks(view);
        if roomy {
            let upper =
                Rect::from_min_max(place.min, Pos2::new(place.right(), place.center().y + 3.0));
            let lower = Rect::from_min_max(Pos2::new(place.left(), place.center().y), place.max);
            let font = look::bold(look::BODY + 2.0);
            widgets::write_centred(ui, upper, &format!("{sign}{marks}"), font, ink);
            let word = self.words.verdict_short(view.best);
            widgets::write_centred(ui, lower, word, look::regular(look::SMALL), ink);
        } else {
            let font = look::bold(look::BODY);
            widgets::write_centred(ui, place, &format!("{sign}{marks}"), font, ink);
        }
        if chosen || response.has_focus() {
            let width = if chosen { 3.0 } else { 2.0 };
            let stroke = Stroke::new(width, self.tones.text);
            let outside = egui::StrokeKind::Outside;
            ui.painter()
                .rect_stroke(place.shrink(1.0), radius, stroke, outside);
        }
    }

    /// Moves from the cell that keys go to, to the next one in the direction of an arrow.
    fn step(&mut self, ui: &Ui, state: &State) {
        let Some((row, column)) = state.focus else {
            return;
        };
        let is_known = |(row, column): (usize, usize)| {
            let key = |party: usize| u16::try_from(party).unwrap_or(u16::MAX);
            let cell = (state.kind, key(row), key(column));
            self.views.policy.cells.contains_key(&cell)
        };
        let here = cell_id(ui, state.kind, (row, column));
        if !ui.memory(|memory| memory.has_focus(here)) {
            return;
        }
        let last = self.views.policy.parties.len();
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        let next = if pressed(Key::ArrowDown) {
            (row + 1..last)
                .map(|row| (row, column))
                .find(|cell| is_known(*cell))
        } else if pressed(Key::ArrowUp) {
            (0..row)
                .rev()
                .map(|row| (row, column))
                .find(|cell| is_known(*cell))
        } else if pressed(Key::ArrowRight) {
            (column + 1..last)
                .map(|column| (row, column))
                .find(|cell| is_known(*cell))
        } else if pressed(Key::ArrowLeft) {
            (0..column)
                .rev()
                .map(|column| (row, column))
                .find(|cell| is_known(*cell))
        } else {
            None
        };
        if let Some(next) = next {
            let next = cell_id(ui, state.kind, next);
            ui.memory_mut(|memory| memory.request_focus(next));
        }
    }

    /// What the signs mean.
    fn legend(&mut self, ui: &mut Ui) {
        let words = self.words;
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.spacing_mut().interact_size.y = 18.0;
        for verdict in [FlowVerdict::Allow, FlowVerdict::Ask, FlowVerdict::Deny] {
            let (place, _) = ui.allocate_exact_size(Vec2::splat(18.0), Sense::hover());
            widgets::verdict_sign(ui, place, verdict);
            let meaning = words.verdict(verdict);
            ui.add(egui::Label::new(RichText::new(meaning).small()).extend());
            ui.add_space(8.0);
        }
        let conditions = RichText::new(words.conditions_mark).small();
        ui.add(egui::Label::new(conditions).extend());
    }

    /// A cell in words: "clipboard: corp -> open: you are asked, under conditions".
    fn spoken(&self, kind: u16, from: u16, to: u16) -> String {
        let (policy, words) = (&self.views.policy, self.words);
        let party = |number: u16| {
            let party = policy.parties.get(usize::from(number));
            party.map_or("", |party| party.name.as_str())
        };
        let cell = policy.cells.get(&(kind, from, to));
        let verdict = words.verdict(cell.map_or(FlowVerdict::Deny, |cell| cell.best));
        let conditional = cell.is_some_and(|cell| cell.conditional);
        let under = if conditional { words.conditional } else { "" };
        let kind = policy.kinds.get(usize::from(kind));
        let kind = kind.map_or("", |kind| kind.as_str());
        format!(
            "{kind}: {} \u{2192} {}: {verdict}{under}",
            party(from),
            party(to)
        )
    }

    /// Which rules decide the chosen cell.
    fn explanation(&mut self, ui: &mut Ui, state: &State) {
        let (words, tones) = (self.words, self.tones);
        let policy = &self.views.policy;
        let Some((from, to)) = state.cell else {
            return widgets::muted(ui, &tones, words.choose_cell);
        };
        for (number, arrow) in [(from, false), (to, true)] {
            if let Some(party) = policy.parties.get(usize::from(number)) {
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = 6.0;
                    let word = if arrow { words.to } else { words.from };
                    let size = Vec2::new(34.0, 20.0);
                    let (place, _) = ui.allocate_exact_size(size, Sense::hover());
                    let font = look::regular(look::BODY);
                    widgets::write(ui, place, word, font, tones.muted);
                    self.party(ui, party.zone, party.name.as_str());
                });
            }
        }
        ui.add_space(2.0);
        let Some(cell) = policy.cells.get(&(state.kind, from, to)) else {
            return;
        };
        ui.horizontal(|ui| {
            let (place, _) = ui.allocate_exact_size(Vec2::splat(24.0), Sense::hover());
            widgets::verdict_sign(ui, place, cell.best);
            let under = if cell.conditional {
                words.conditional
            } else {
                ""
            };
            let said = format!("{}{under}", words.verdict(cell.best));
            let said = RichText::new(said).font(look::bold(look::BODY));
            ui.add(egui::Label::new(said).wrap());
        });
        if cell.redirects {
            widgets::muted(ui, &tones, words.redirects);
        }
        ui.add_space(4.0);
        if cell.rules.is_empty() {
            ui.label(words.no_rule);
            return;
        }
        widgets::small(ui, &tones, words.deciding);
        // More than these nobody reads; the strictest stand first.
        for rule in cell.rules.iter().take(64) {
            if let Some(rule) = policy.rules.get(usize::from(*rule)) {
                rule_lines(ui, rule);
            }
        }
    }

    /// Every rule, one to a row.
    fn rules(&mut self, ui: &mut Ui, state: &mut State) {
        let tones = self.tones;
        let rules = &self.views.policy.rules;
        let sought: Vec<String> = state
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let matches = |rule: &RuleView| {
            let text = rule.words.as_str().to_lowercase();
            sought.iter().all(|word| text.contains(word))
        };
        let found: Vec<usize> = (0..rules.len())
            .filter(|number| rules.get(*number).is_some_and(matches))
            .collect();
        ui.spacing_mut().item_spacing.y = 0.0;
        let rule = |row: usize| found.get(row).and_then(|number| rules.get(*number));
        let words = self.words;
        let spoken = |row: usize| {
            rule(row).map_or_else(String::new, |rule| {
                format!("{}: {}", words.verdict(rule.verdict), rule.words)
            })
        };
        let mut chosen = state.rule;
        widgets::rows(
            ui,
            ("rules", &spoken),
            ROW,
            found.len(),
            |ui, row, place, response| {
                let Some(rule) = rule(row) else { return };
                let number = found.get(row).copied();
                widgets::row_ground(ui, &tones, place, response, chosen == number);
                let sign = Rect::from_center_size(
                    Pos2::new(place.left() + 22.0, place.center().y),
                    Vec2::splat(20.0),
                );
                widgets::verdict_sign(ui, sign, rule.verdict);
                let mut room = place;
                room.set_left(sign.right() + 10.0);
                room.set_right(place.right() - 8.0);
                let font = look::regular(look::BODY);
                widgets::write(ui, room, rule.words.as_str(), font, tones.text);
                if response.clicked() {
                    chosen = number;
                }
            },
        );
        state.rule = chosen;
    }

    fn whole_rule(&mut self, ui: &mut Ui, rule: Option<usize>) {
        let rule = rule.and_then(|rule| self.views.policy.rules.get(rule));
        let Some(rule) = rule else {
            return widgets::muted(ui, &self.tones, self.words.choose_rule);
        };
        let said = self.words.verdict(rule.verdict);
        ui.label(RichText::new(said).font(look::bold(look::BODY)));
        rule_lines(ui, rule);
    }
}

fn cell_id(ui: &Ui, kind: u16, cell: (usize, usize)) -> Id {
    ui.scope_id().with((kind, cell))
}

/// A rule's sign, and all of its words.
fn rule_lines(ui: &mut Ui, rule: &RuleView) {
    ui.horizontal_top(|ui| {
        let (place, _) = ui.allocate_exact_size(Vec2::splat(18.0), Sense::hover());
        widgets::verdict_sign(ui, place, rule.verdict);
        ui.add(egui::Label::new(rule.words.as_str()).wrap());
    });
}

/// What is to be said of a cell beside its verdict.
fn marks(cell: &CellView) -> &'static str {
    match (cell.conditional, cell.redirects) {
        (false, false) => "",
        (true, false) => "*",
        (false, true) => "\u{2192}",
        (true, true) => "*\u{2192}",
    }
}
