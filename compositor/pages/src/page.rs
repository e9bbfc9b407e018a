//! What stands on the pages: a rail that leads to all of them, a heading, and the page that is up.

mod audit;
mod policy;
mod settings;
mod usb;
mod zones;

use compositor::accesskit::Role;
use compositor::{Mark, WorkPage, ZoneCommand, ZoneId};
use egui::{
    Context, CornerRadius, Frame, Margin, Panel, Pos2, Rect, RichText, Sense, Stroke, Ui, Vec2,
    WidgetInfo,
};

use crate::look::{self, Tones};
use crate::views::Views;
use crate::widgets::{self, Images};
use crate::words::Words;
use crate::{Act, Ground, Wish, Zone};

/// What a person chose on the page that is up.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) audit: audit::State,
    policy: policy::State,
    /// What a person is asked about a zone.
    confirm: Option<(ZoneId, ZoneCommand)>,
}

impl State {
    /// Whether Escape undoes something before it leaves the page.
    pub(crate) fn holds_escape(&self, context: &Context) -> bool {
        self.confirm.is_some() || egui::Popup::is_any_open(context)
    }
}

/// A page while it is made.
pub(crate) struct Page<'a> {
    views: &'a Views,
    ground: &'a Ground,
    images: &'a mut Images,
    wishes: &'a mut Vec<Wish>,
    words: &'static Words,
    tones: Tones,
}

impl<'a> Page<'a> {
    pub(crate) fn new(
        views: &'a Views,
        ground: &'a Ground,
        images: &'a mut Images,
        wishes: &'a mut Vec<Wish>,
    ) -> Self {
        Self {
            views,
            ground,
            images,
            wishes,
            words: Words::of(ground.settings.language),
            tones: Tones::of(ground.settings.theme),
        }
    }

    pub(crate) fn fill(&mut self, ui: &mut Ui, state: &mut State) {
        let wide = ui.max_rect().width() >= 640.0;
        let rail = Frame::new()
            .fill(self.tones.surface)
            .inner_margin(Margin::symmetric(if wide { 12 } else { 6 }, 18));
        Panel::left("rail")
            .resizable(false)
            .exact_size(if wide { 172.0 } else { 52.0 })
            .frame(rail)
            .show(ui, |ui| self.rail(ui, wide));
        let body = Frame::new().fill(self.tones.surface).inner_margin(Margin {
            left: 26,
            right: 26,
            top: 20,
            bottom: 14,
        });
        egui::CentralPanel::no_frame().frame(body).show(ui, |ui| {
            let page = self.ground.space.page;
            ui.heading(self.title(page));
            ui.add_space(-4.0);
            widgets::muted(ui, &self.tones, self.about(page));
            ui.add_space(8.0);
            match page {
                WorkPage::Zones => self.zones(ui, &mut state.confirm),
                WorkPage::Policy => self.policy(ui, &mut state.policy),
                WorkPage::Audit => self.audit(ui, &mut state.audit),
                WorkPage::Usb => self.usb(ui),
                WorkPage::Settings => self.settings(ui),
            }
        });
    }

    /// Where the pages are, and the ways out. Where it is narrow it has marks alone.
    fn rail(&mut self, ui: &mut Ui, wide: bool) {
        ui.spacing_mut().item_spacing.y = 4.0;
        let head = Vec2::new(ui.available_width(), 34.0);
        let (place, _) = ui.allocate_exact_size(head, Sense::hover());
        let sign = Rect::from_min_size(place.min + Vec2::new(4.0, 4.0), Vec2::splat(22.0));
        self.images.mark(ui, sign, Mark::Bulwark, self.tones.text);
        if wide {
            let room = Rect::from_min_max(
                Pos2::new(sign.right() + 9.0, sign.top()),
                Pos2::new(place.right(), sign.bottom()),
            );
            let font = look::bold(look::BODY + 2.0);
            widgets::write(ui, room, "Bulkhead", font, self.tones.text);
        }
        ui.add_space(8.0);
        for page in WorkPage::ALL {
            let chosen = page == self.ground.space.page;
            if self.tab(ui, page, chosen, wide) && !chosen {
                self.wishes.push(Wish::Turn(page));
            }
        }
        let ends = egui::Layout::bottom_up(egui::Align::Min);
        ui.with_layout(ends, |ui| {
            let words = self.words;
            let size = Vec2::new(ui.available_width(), 30.0);
            for (said, wish) in [
                (words.back, Wish::Leave),
                (words.lock, Wish::Act(Act::Lock)),
            ] {
                let shown = if wide {
                    said
                } else {
                    said.get(..1).unwrap_or_default()
                };
                let button = egui::Button::new(shown).min_size(size);
                if widgets::named(ui.add(button), said).clicked() {
                    self.wishes.push(wish);
                }
            }
        });
    }

    fn tab(&mut self, ui: &mut Ui, page: WorkPage, chosen: bool, wide: bool) -> bool {
        let size = Vec2::new(ui.available_width(), 36.0);
        let (place, response) = ui.allocate_exact_size(size, Sense::click());
        let words = self.title(page);
        response.widget_info(|| WidgetInfo::selected(Role::Tab, true, chosen, words));
        let (ground, ink) = match (chosen, response.hovered()) {
            (true, _) => (self.tones.text, self.tones.surface),
            (false, true) => (self.tones.lit, self.tones.text),
            (false, false) => (self.tones.surface, self.tones.text),
        };
        ui.painter()
            .rect_filled(place, CornerRadius::same(5), ground);
        let sign = Rect::from_center_size(
            Pos2::new(place.left() + 20.0, place.center().y),
            Vec2::splat(16.0),
        );
        self.images.mark(ui, sign, Mark::Page(page), ink);
        if wide {
            let mut room = place;
            room.set_left(sign.right() + 12.0);
            widgets::write(ui, room, words, look::bold(look::BODY), ink);
        }
        if response.has_focus() {
            let rim = Stroke::new(
                2.0,
                if chosen {
                    self.tones.muted
                } else {
                    self.tones.text
                },
            );
            let inside = egui::StrokeKind::Inside;
            ui.painter()
                .rect_stroke(place, CornerRadius::same(5), rim, inside);
        }
        response.clicked()
    }

    fn title(&self, page: WorkPage) -> &'static str {
        match page {
            WorkPage::Zones => self.words.zones,
            WorkPage::Policy => self.words.policy,
            WorkPage::Audit => self.words.audit,
            WorkPage::Usb => self.words.usb,
            WorkPage::Settings => self.words.settings,
        }
    }

    fn about(&self, page: WorkPage) -> &'static str {
        match page {
            WorkPage::Zones => self.words.about_zones,
            WorkPage::Policy => self.words.about_policy,
            WorkPage::Audit => self.words.about_audit,
            WorkPage::Usb => self.words.about_usb,
            WorkPage::Settings => self.words.about_settings,
        }
    }

    fn zone(&self, id: ZoneId) -> Option<&'a Zone> {
        let zones: &'a [Zone] = &self.ground.zones;
        zones.iter().find(|zone| zone.identity.id == id)
    }

    fn act(&mut self, act: Act) {
        self.wishes.push(Wish::Act(act));
    }

    /// A zone's badge, and its name beside it; without a zone, the endpoint's own mark and `name`.
    fn party(&mut self, ui: &mut Ui, zone: Option<ZoneId>, name: &str) {
        let zone = zone.and_then(|id| self.zone(id));
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 7.0;
            let (place, response) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
            self.party_mark(ui, place, zone);
            ui.label(RichText::new(name).font(look::bold(look::BODY)));
        });
    }

    fn party_mark(&mut self, ui: &Ui, place: Rect, zone: Option<&Zone>) {
        match zone {
            Some(zone) => self.images.badge(ui, place, &zone.identity),
            None => self
                .images
                .mark(ui, place.shrink(2.0), Mark::Bulwark, self.tones.text),
        }
    }

    /// A warning, with its sign.
    fn warn(&mut self, ui: &mut Ui, words: &str) {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 7.0;
            ui.spacing_mut().interact_size.y = 16.0;
            let (place, _) = ui.allocate_exact_size(Vec2::splat(15.0), Sense::hover());
            self.images
                .mark(ui, place, Mark::Warning, self.tones.warning);
            let text = RichText::new(words).color(self.tones.warning);
            ui.label(text.font(look::bold(look::BODY)));
        });
    }
}
