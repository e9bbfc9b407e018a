//! Painting: every stale pixel once, by its owner, and no other pixel at all.

use super::{OutputId, Scene, Zone};
use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::draw_list::DrawList;
use crate::frame::{self, Frame, FrameLook};
use crate::geometry::{Rect, Region, Size, index};
use crate::icons::Masks;
use crate::panel::{self, PanelLook};
use crate::trusted::Layout;
use crate::zone::ZoneId;

/// The buffer a presenter hands in.
pub struct Target<'a> {
    /// XRGB8888 pixels, `stride` for each row. The unused byte is anything, and where a zone's pixels are shown it is the
    /// zone's: they are shown as opaque by a format without alpha, not by a second pass over every frame (7 % of its time).
    pub pixels: &'a mut [u32],
    /// Pixels that are shown.
    pub size: Size,
    /// Pixels from one row to the next.
    pub stride: usize,
    /// How many frames ago this buffer was painted last; 1 for the buffer of the last frame, 0 if what it holds is
    /// unknown.
    pub age: u8,
}

/// How much work rendering was, since the scene began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderStatistics {
    /// Frames with at least one changed pixel.
    pub frames: u64,
    /// Pixels painted, each counted once for each frame that painted it.
    pub painted: u64,
    /// Pixels read from zones' surfaces.
    pub copied: u64,
}

/// How much of the desktop's light a page takes, out of 255.
pub(crate) const DIMMING: u8 = 150;

/// Something opaque on the desktop, in front of what comes after it.
enum Layer<'a> {
    Trusted(Layout),
    Panel,
    Client(&'a Zone, Frame),
    Frame(&'a Zone, Frame),
}

impl Scene {
    /// How much work rendering was so far.
    pub fn statistics(&self) -> RenderStatistics {
        self.statistics
    }

    /// Brings a buffer of an output up to date and says which rectangles of the output changed since its last frame.
    ///
    /// What is already right in the buffer (as its age tells) is not touched. When nothing changed, nothing is written
    /// and no rectangle is returned. A buffer too small for its size is not painted where it has no pixels.
    pub fn render(&mut self, id: OutputId, target: &mut Target<'_>) -> &[Rect] {
        self.render_noting(id, target, None)
    }

    /// Like [`Scene::render`], but zones' pixels, and what lies over them, are not painted: `list` says how, for a painter that has
    /// zones' surfaces elsewhere. What the buffer holds in their place is not to be shown.
    pub fn render_list(
        &mut self,
        id: OutputId,
        target: &mut Target<'_>,
        list: &mut DrawList,
    ) -> &[Rect] {
        list.clear();
        self.render_noting(id, target, Some(list))
    }

    fn render_noting(
        &mut self,
        id: OutputId,
        target: &mut Target<'_>,
        mut list: Option<&mut DrawList>,
    ) -> &[Rect] {
        let Some(at) = self.outputs.iter().position(|output| output.id == id) else {
            return &[];
        };
        let Some(output) = self.outputs.get_mut(at) else {
            return &[];
        };
        if output.pending.is_empty() && target.age == 1 {
            output.presented.clear();
            return &[];
        }
        let stale = output.close_frame(target.age);
        self.statistics.frames += 1;
        // The masks are put back below: painting needs the scene to read and the masks to fill.
        let mut masks = std::mem::take(&mut self.masks);
        let painted = self.paint(at, &stale, target, &mut masks, list.as_deref_mut());
        self.masks = masks;
        self.statistics.painted += painted.painted;
        self.statistics.copied += painted.copied;
        if let (Some(list), Some(output)) = (list, self.outputs.get(at)) {
            list.finish(&stale, output.area);
        }
        self.outputs.get(at).map_or(&[], |output| &output.presented)
    }

    /// What the last frame of an output changed, as [`Scene::render`] said.
    pub fn presented(&self, id: OutputId) -> &[Rect] {
        let output = self.outputs.iter().find(|output| output.id == id);
        output.map_or(&[], |output| &output.presented)
    }

    /// Paints an output whole, as if nothing had ever been painted, and changes nothing: the oracle's reference.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn paint_whole(&self, id: OutputId, target: &mut Target<'_>, masks: &mut Masks) {
        if let Some(at) = self.outputs.iter().position(|output| output.id == id) {
            let area = self
                .outputs
                .get(at)
                .map_or(Rect::EMPTY, |output| output.area);
            self.paint(at, &Region::of(area), target, masks, None);
        }
    }

    /// Where the pointer may have painted.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn pointer_area(&self) -> Rect {
        self.input.pointer_area()
    }

    /// The page's own pixels on an output.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn page_pixels(&self, id: OutputId) -> Rect {
        self.page_area(id)
    }

    /// Where zones' pixels are shown small on an output.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn thumbnails(&self, id: OutputId) -> Vec<(Rect, ZoneId)> {
        self.page_layout(id)
            .map(|layout| layout.thumbnails)
            .unwrap_or_default()
    }

    /// The area and the panel of each output.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn output_areas(&self) -> Vec<(OutputId, Rect, Rect)> {
        self.outputs
            .iter()
            .map(|output| (output.id, output.area, output.panel(&self.settings)))
            .collect()
    }

    fn paint(
        &self,
        at: usize,
        stale: &Region,
        target: &mut Target<'_>,
        masks: &mut Masks,
        list: Option<&mut DrawList>,
    ) -> RenderStatistics {
        let mut statistics = RenderStatistics::default();
        let Some(output) = self.outputs.get(at) else {
            return statistics;
        };
        let metrics = output.metrics(&self.settings);
        let palette = self.settings.theme.palette();
        let (x, y) = (output.area.left(), output.area.top());
        let local = |rect: Rect| rect.moved_by(-x, -y);
        let panel = output.panel(&self.settings);
        let size = Size {
            width: target.size.width.min(output.area.width()),
            height: target.size.height.min(output.area.height()),
        };
        let mut canvas = Canvas::new(
            target.pixels,
            size,
            target
                .stride
                .max(index(crate::geometry::signed(size.width))),
        )
        .noting(list);

        let mut remaining = stale.clone();
        for (layer, area) in self.layers(output.id, panel) {
            let mine = remaining.clipped(&area);
            if mine.is_empty() {
                continue;
            }
            statistics.painted += mine.area();
            for rect in mine.rects() {
                canvas.set_clip(local(*rect));
                match &layer {
                    Layer::Trusted(layout) => {
                        self.paint_page(&mut canvas, masks, &metrics, layout, (x, y));
                    }
                    Layer::Panel => {
                        let zones = self.panel_zones(self.input.hovered_chip());
                        let look = PanelLook {
                            zones: &zones,
                            trusted: self.trusted.page().is_some(),
                            words: self.settings.language.words(),
                            workspace: self.workspace,
                            occupied: self.occupied_workspaces(),
                            status: self.status_line(),
                        };
                        panel::paint(&mut canvas, masks, &palette, &metrics, local(panel), &look);
                    }
                    Layer::Frame(zone, frame) => {
                        let metrics = self.metrics_at(&frame.outer);
                        let frame = Frame::new(local(frame.outer), &metrics);
                        frame::paint(
                            &mut canvas,
                            masks,
                            &palette,
                            &metrics,
                            &frame,
                            &self.look_of(zone),
                        );
                    }
                    Layer::Client(zone, frame) => {
                        match zone.surface.as_ref().filter(|_| zone.shows_pixels()) {
                            Some(surface) => {
                                let client = local(frame.client);
                                let shown = Rect::new(
                                    client.left(),
                                    client.top(),
                                    surface.size.width,
                                    surface.size.height,
                                )
                                .intersection(&client);
                                let (origin, id) = (client.origin(), zone.identity.id);
                                canvas.copy_zone(shown, origin, id, surface.pixels.as_ref());
                                statistics.copied += shown.intersection(&canvas.clip()).area();
                                // While the zone catches up with a larger window, the rest is plain.
                                canvas.fill_ring(client, shown, palette.void);
                            }
                            None => {
                                let metrics = self.metrics_at(&frame.outer);
                                let client = local(frame.client);
                                frame::paint_void(
                                    &mut canvas,
                                    masks,
                                    &palette,
                                    &metrics,
                                    client,
                                    &self.look_of(zone),
                                );
                            }
                        }
                    }
                }
            }
            remaining.subtract(&area);
        }
        for rect in remaining.rects() {
            statistics.painted += rect.area();
            canvas.set_clip(local(*rect));
            canvas.fill(local(*rect), palette.desktop);
        }
        if self.is_dimmed() {
            let mut dimmed = stale.clone();
            dimmed.subtract(&panel);
            dimmed.subtract(&self.page_area(output.id));
            for rect in dimmed.rects() {
                canvas.set_clip(local(*rect));
                canvas.tint(local(*rect), Colour::BLACK, DIMMING);
            }
        }
        self.paint_pointer(&mut canvas, masks, stale, &metrics, (x, y));
        statistics
    }

    /// All opaque layers from the front to the back, with the pixels each may own.
    fn layers(&self, output: OutputId, panel: Rect) -> impl Iterator<Item = (Layer<'_>, Rect)> {
        let windows = self.visible().flat_map(|zone| {
            let frame = Frame::new(zone.window.outer, &self.metrics_at(&zone.window.outer));
            [
                (Layer::Client(zone, frame), frame.client),
                (Layer::Frame(zone, frame), frame.outer),
            ]
        });
        // The lock screen's page is the whole output, so nothing behind it is ever reached.
        let page = self
            .page_layout(output)
            .map(|layout| (layout.area, Layer::Trusted(layout)));
        page.into_iter()
            .map(|(area, layer)| (layer, area))
            .chain(std::iter::once((Layer::Panel, panel)))
            .chain(windows)
    }

    pub(super) fn look_of<'a>(&'a self, zone: &'a Zone) -> FrameLook<'a> {
        let id = zone.identity.id;
        FrameLook {
            identity: &zone.identity,
            state: &zone.state,
            title: &zone.title,
            focused: self.focus == Some(id),
            words: self.settings.language.words(),
            maximised: zone.window.arrangement == super::Arrangement::Maximised,
            hovered: self.input.hovered_part(id),
        }
    }

    /// The pixels of a window's client area that nothing covers.
    pub(super) fn visible_client(&self, id: ZoneId) -> Region {
        let mut region = Region::default();
        if let Some(frame) = self.frame_of(id) {
            region.add(frame.client);
            self.subtract_covered(&mut region, id);
        }
        region
    }
}
