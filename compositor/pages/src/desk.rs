//! egui at work: one page is run, its forms are made triangles, and what differs from the last time is painted.

use std::time::Duration;

use compositor::{PageInput, Rect, Scene, Settings, Size, WorkPage};
use egui::epaint::ClippedShape;
use egui::{Context, FullOutput, Pos2, RawInput, ViewportId};

use crate::page::{Page, State};
use crate::painter::Painter;
use crate::views::{AUDIT_WINDOW, AuditFilter, Query, Views};
use crate::widgets::Images;
use crate::{Ground, Wish, input, look, tree};

/// egui's memory of the page that is up.
pub(crate) struct Desk {
    context: Context,
    painter: Painter,
    images: Images,
    state: State,
    pointer: Option<Pos2>,
    /// What was painted last, and how.
    shapes: Vec<ClippedShape>,
    painted: Option<(Size, Settings)>,
    pub(crate) ground: Ground,
    pub(crate) has_run: bool,
    pub(crate) wake: Option<Duration>,
}

impl Desk {
    /// A page that nobody saw yet. Fonts and images are `kept` from the last one.
    pub(crate) fn new(kept: Option<Self>, ground: &Ground) -> Self {
        let ground = Ground {
            space: ground.space,
            settings: ground.settings,
            zones: Vec::new(),
        };
        let state = State::default();
        if let Some(kept) = kept {
            // Nothing of another page has focus, and its picture is no part of this one's.
            kept.context.memory_mut(|memory| {
                if let Some(focus) = memory.focused() {
                    memory.surrender_focus(focus);
                }
            });
            return Self {
                state,
                shapes: Vec::new(),
                ground,
                has_run: false,
                wake: None,
                ..kept
            };
        }
        let context = Context::default();
        context.set_fonts(look::fonts());
        context.enable_accesskit();
        context.options_mut(|options| {
            // A page is as large as the scene says, whatever is pressed.
            options.zoom_with_keyboard = false;
            options.reduce_texture_memory = true;
            // Small circles as forms: our painter does not scale pictures of them.
            options.tessellation_options.prerasterized_discs = false;
        });
        Self {
            context,
            painter: Painter::default(),
            images: Images::default(),
            state,
            pointer: None,
            shapes: Vec::new(),
            painted: None,
            ground,
            has_run: false,
            wake: None,
        }
    }

    /// What a page asks for when a person comes to it.
    pub(crate) fn needs(page: WorkPage) -> Option<Query> {
        match page {
            WorkPage::Zones => Some(Query::Zones),
            WorkPage::Policy => Some(Query::Policy),
            WorkPage::Audit => Some(Query::Audit {
                filter: AuditFilter::default(),
                skip: 0,
                count: AUDIT_WINDOW,
            }),
            WorkPage::Usb => Some(Query::Usb),
            WorkPage::Settings => None,
        }
    }

    /// The records that were asked for came.
    pub(crate) fn log_came(&mut self) {
        self.state.audit.waits = false;
    }

    /// Runs the page once and paints what changed.
    pub(crate) fn run(
        &mut self,
        views: &Views,
        input: &[PageInput],
        now: Duration,
        scene: &mut Scene,
    ) -> Vec<Wish> {
        let space = self.ground.space;
        let scale = self.scale();
        if self.painted != Some((space.size, self.ground.settings)) {
            // Nothing of a picture of another size or look is kept.
            self.shapes.clear();
            self.painted = Some((space.size, self.ground.settings));
        }
        let points = |pixels: u32| pixels_to_points(pixels, scale);
        let area = egui::Vec2::new(points(space.size.width), points(space.size.height));
        let mut raw = RawInput {
            screen_rect: Some(egui::Rect::from_min_size(Pos2::ZERO, area)),
            time: Some(now.as_secs_f64()),
            events: input::events(input, scale, &mut self.pointer),
            ..RawInput::default()
        };
        let viewport = raw.viewports.entry(ViewportId::ROOT).or_default();
        viewport.native_pixels_per_point = Some(scale);
        self.context
            .set_global_style(look::style(&self.ground.settings));
        let mut wishes = Vec::new();
        let (images, state, ground) = (&mut self.images, &mut self.state, &self.ground);
        let output = self.context.run_ui(raw, |ui| {
            // egui may run it twice to find the right sizes.
            wishes.clear();
            let mut page = Page::new(views, ground, images, &mut wishes);
            page.fill(ui, state);
        });
        #[cfg(test)]
        crate::tests::note_cut_words(&output.shapes);
        let root = output.viewport_output.get(&ViewportId::ROOT);
        let delay = root.map_or(Duration::MAX, |output| output.repaint_delay);
        self.wake = now.checked_add(delay).filter(|_| delay < Duration::MAX / 2);
        self.has_run = true;
        self.paint(output, scale, scene);
        wishes
    }

    fn paint(&mut self, mut output: FullOutput, scale: f32, scene: &mut Scene) {
        let size = self.ground.space.size;
        self.painter.update(&mut output.textures_delta);
        if let Some(update) = output.platform_output.accesskit_update.take() {
            let [width, height] = [size.width, size.height].map(f64::from);
            let tree = tree::page_tree(update, scale.into(), width, height);
            let undoes = self.state.holds_escape(&self.context);
            scene.set_page_tree(tree, undoes);
        }
        let changed = changed(&self.shapes, &output.shapes, scale, size);
        if !changed.is_empty() {
            let shapes = output.shapes.clone();
            let triangles = self.context.tessellate(output.shapes, scale);
            let ground = look::Tones::of(self.ground.settings.theme).surface;
            let painter = &self.painter;
            scene.paint_page_picture(size, |pixels| {
                fill(pixels, size, changed, ground);
                painter.paint(pixels, size, scale, changed, &triangles);
                vec![changed]
            });
            self.shapes = shapes;
        }
        self.painter.free(&mut output.textures_delta);
    }

    /// Pixels for a point. Large text makes all of a page a quarter larger.
    fn scale(&self) -> f32 {
        let fine = self.ground.space.scale.in_120ths();
        let fine = if self.ground.settings.large_text {
            fine * 5 / 4
        } else {
            fine
        };
        #[allow(
            clippy::cast_precision_loss,
            reason = "a scale is at most a few thousand"
        )]
        let fine = fine as f32;
        fine / 120.0
    }
}

fn pixels_to_points(pixels: u32, scale: f32) -> f32 {
    #[allow(
        clippy::cast_precision_loss,
        reason = "a screen has at most 2^15 pixels a side"
    )]
    let pixels = pixels as f32;
    pixels / scale
}

/// The pixels that forms which are not in both pictures may have touched.
fn changed(before: &[ClippedShape], after: &[ClippedShape], scale: f32, size: Size) -> Rect {
    if before.is_empty() {
        return Rect::of_size(size);
    }
    let same = |(a, b): &(&ClippedShape, &ClippedShape)| a == b;
    let front = before.iter().zip(after).take_while(same).count();
    let rest = before.len().min(after.len()) - front;
    let back = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take(rest)
        .take_while(same)
        .count();
    let middle = |shapes: &[ClippedShape]| {
        let shapes = shapes.get(front..shapes.len() - back).unwrap_or_default();
        shapes.iter().fold(egui::Rect::NOTHING, |area, shape| {
            let own = shape.shape.visual_bounding_rect();
            area.union(own.intersect(shape.clip_rect))
        })
    };
    let area = middle(before).union(middle(after));
    if !area.is_positive() {
        return Rect::EMPTY;
    }
    // Soft edges reach a pixel further.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "it saturates, and is clipped"
    )]
    let edge = |value: f32| value as i32;
    Rect::from_edges(
        edge((area.left() * scale).floor() - 2.0),
        edge((area.top() * scale).floor() - 2.0),
        edge((area.right() * scale).ceil() + 2.0),
        edge((area.bottom() * scale).ceil() + 2.0),
    )
    .intersection(&Rect::of_size(size))
}

fn fill(pixels: &mut [u32], size: Size, area: Rect, colour: egui::Color32) {
    let [red, green, blue, _] = colour.to_array();
    let pixel = u32::from_le_bytes([blue, green, red, 0xff]);
    let index = |value: i32| usize::try_from(value).unwrap_or(0);
    let stride = usize::try_from(size.width).unwrap_or(0);
    for row in index(area.top())..index(area.bottom()) {
        let start = row * stride;
        let row = pixels.get_mut(start + index(area.left())..start + index(area.right()));
        row.unwrap_or_default().fill(pixel);
    }
}
