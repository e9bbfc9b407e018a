//! Paints what egui tessellated, on the processor, into XRGB pixels.
//!
//! Corners are put on a grid of 1/256 pixel and edges are decided with integers, so that two triangles which share an edge
//! paint each pixel once, and the same on every machine. Colours are premultiplied, as egui gives them; textures are read at
//! the nearest pixel: glyphs and images have as many pixels as they cover.

// Every cast is of a number that was clamped to far less than its target holds, or saturates where nothing is painted.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

use std::collections::HashMap;

use compositor::{Rect, Size};
use egui::epaint::{ClippedPrimitive, ImageDelta, Primitive, Vertex};
use egui::{Color32, ImageData, Mesh, TextureId, TexturesDelta};

/// Parts of a pixel.
const FINE: f32 = 256.0;
const HALF: i64 = 128;
/// No corner is farther away than this, so that products of two fit 64 bits.
const FAR: f32 = 268_435_456.0;

/// A picture that meshes take their colours from.
struct Texture {
    width: usize,
    height: usize,
    pixels: Vec<Color32>,
}

impl Texture {
    fn at(&self, x: f32, y: f32) -> Color32 {
        // Negative and unordered values become zero.
        let (x, y) = (x as usize, y as usize);
        let place =
            y.min(self.height.saturating_sub(1)) * self.width + x.min(self.width.saturating_sub(1));
        self.pixels
            .get(place)
            .copied()
            .unwrap_or(Color32::TRANSPARENT)
    }
}

/// The textures that egui keeps here.
#[derive(Default)]
pub(crate) struct Painter {
    textures: HashMap<TextureId, Texture>,
}

impl Painter {
    /// Takes new and changed textures. Those that are not needed any more are to be let go after painting.
    pub(crate) fn update(&mut self, delta: &mut TexturesDelta) {
        for (id, changes) in delta.set.drain() {
            for change in changes {
                self.change(id, change);
            }
        }
    }

    pub(crate) fn free(&mut self, delta: &mut TexturesDelta) {
        for id in delta.free.drain() {
            self.textures.remove(&id);
        }
    }

    fn change(&mut self, id: TextureId, change: ImageDelta) {
        let ImageData::Color(image) = change.image;
        let [width, height] = image.size;
        let Some([left, top]) = change.pos else {
            let texture = Texture {
                width,
                height,
                pixels: image.pixels.clone(),
            };
            self.textures.insert(id, texture);
            return;
        };
        let Some(texture) = self.textures.get_mut(&id) else {
            return;
        };
        let rows = texture.pixels.chunks_mut(texture.width.max(1)).skip(top);
        for (into, from) in rows.zip(image.pixels.chunks(width.max(1))) {
            if let Some(into) = into.get_mut(left..left + from.len()) {
                into.copy_from_slice(from);
            }
        }
    }

    /// Paints meshes within `clip`, at `scale` pixels for a point. `pixels` are as many as `size` says.
    pub(crate) fn paint(
        &self,
        pixels: &mut [u32],
        size: Size,
        scale: f32,
        clip: Rect,
        primitives: &[ClippedPrimitive],
    ) {
        let clip = clip.intersection(&Rect::of_size(size));
        for primitive in primitives {
            let bounds = &primitive.clip_rect;
            // To the nearest pixel, as egui's own painters do.
            let edge = |value: f32| (value * scale).round() as i32;
            let clip = clip.intersection(&Rect::from_edges(
                edge(bounds.left()),
                edge(bounds.top()),
                edge(bounds.right()),
                edge(bounds.bottom()),
            ));
            if let (false, Primitive::Mesh(mesh)) = (clip.is_empty(), &primitive.primitive) {
                let mut sheet = Sheet {
                    pixels,
                    stride: size.width as usize,
                    clip,
                };
                sheet.mesh(mesh, scale, self.textures.get(&mesh.texture_id));
            }
        }
    }
}

struct Sheet<'a> {
    pixels: &'a mut [u32],
    stride: usize,
    clip: Rect,
}

/// A corner on the grid.
#[derive(Clone, Copy)]
struct Corner {
    x: i64,
    y: i64,
    vertex: Vertex,
}

impl Sheet<'_> {
    fn mesh(&mut self, mesh: &Mesh, scale: f32, texture: Option<&Texture>) {
        for [a, b, c] in mesh.triangles() {
            let vertex = |at: u32| mesh.vertices.get(at as usize);
            let (Some(a), Some(b), Some(c)) = (vertex(a), vertex(b), vertex(c)) else {
                continue;
            };
            let pictured = texture.is_some() && (a.uv != b.uv || b.uv != c.uv);
            let fine = |value: f32| {
                let pixels = value * scale;
                // Pictures begin on whole pixels. (A little less than half, so that all corners of one go the same way.)
                let pixels = if pictured {
                    (pixels + 0.499).floor()
                } else {
                    pixels
                };
                (pixels * FINE).round().clamp(-FAR, FAR) as i64
            };
            let corner = |vertex: &Vertex| Corner {
                x: fine(vertex.pos.x),
                y: fine(vertex.pos.y),
                vertex: *vertex,
            };
            self.triangle([a, b, c].map(corner), texture);
        }
    }

    fn triangle(&mut self, [a, mut b, mut c]: [Corner; 3], texture: Option<&Texture>) {
        let mut area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
        if area == 0 {
            return;
        }
        if area < 0 {
            std::mem::swap(&mut b, &mut c);
            area = -area;
        }
        let fill = Fill::new([a, b, c], area, texture);
        let lowest = |f: fn(&Corner) -> i64| [a, b, c].iter().map(f).min().unwrap_or(0);
        let highest = |f: fn(&Corner) -> i64| [a, b, c].iter().map(f).max().unwrap_or(0);
        // Pixels whose centres may be inside.
        let first = |value: i64| (value + HALF - 1).div_euclid(256);
        let top = first(lowest(|corner| corner.y)).max(self.clip.top().into());
        let bottom = first(highest(|corner| corner.y)).min(self.clip.bottom().into());
        let left = first(lowest(|corner| corner.x)).max(self.clip.left().into());
        let right = first(highest(|corner| corner.x)).min(self.clip.right().into());
        let edges = [Edge::new(a, b), Edge::new(b, c), Edge::new(c, a)];
        for y in top..bottom {
            let (mut from, mut to) = (left, right);
            for edge in &edges {
                edge.narrow(y, &mut from, &mut to);
            }
            if from >= to {
                continue;
            }
            let start = y as usize * self.stride;
            let row = self
                .pixels
                .get_mut(start + from as usize..start + to as usize);
            if let Some(row) = row {
                fill.paint(row, from, y);
            }
        }
    }
}

/// One side: what lies on it belongs to the triangle if the side is a top or a left one.
struct Edge {
    /// The side's value at a point is `along_x * x + along_y * y + offset`; inside it is at least zero.
    along_x: i64,
    along_y: i64,
    offset: i64,
}

impl Edge {
    fn new(from: Corner, to: Corner) -> Self {
        let (along_x, along_y) = (from.y - to.y, to.x - from.x);
        let is_top_left = along_x > 0 || (along_x == 0 && along_y > 0);
        Self {
            along_x,
            along_y,
            offset: -(along_x * from.x + along_y * from.y) - i64::from(!is_top_left),
        }
    }

    /// Keeps of the columns `from..to` of row `y` those whose centres lie inside.
    fn narrow(&self, y: i64, from: &mut i64, to: &mut i64) {
        let rest = self.along_y * (y * 256 + HALF) + self.offset;
        // along_x * (256 x + 128) + rest >= 0
        let step = self.along_x * 256;
        let base = self.along_x * HALF + rest;
        if step > 0 {
            // x >= -base / step
            *from =
                (*from).max((-base).div_euclid(step) + i64::from((-base).rem_euclid(step) != 0));
        } else if step < 0 {
            // x <= base / -step
            *to = (*to).min(base.div_euclid(-step) + 1);
        } else if base < 0 {
            *to = *from;
        }
    }
}

/// Where a triangle's pixels get their colours.
enum Fill<'a> {
    Plain(Color32),
    /// Values at the origin, and how they change to the right and downwards.
    Varied {
        colour: [[f32; 3]; 4],
        place: [[f32; 3]; 2],
        texture: Option<&'a Texture>,
        /// All corners have this colour.
        tint: Option<Color32>,
    },
}

impl<'a> Fill<'a> {
    fn new(corners: [Corner; 3], area: i64, texture: Option<&'a Texture>) -> Self {
        let [a, b, c] = corners.map(|corner| corner.vertex);
        let tint = (a.color == b.color && b.color == c.color).then_some(a.color);
        let size = texture.map_or((0.0, 0.0), |texture| {
            (texture.width as f32, texture.height as f32)
        });
        let texel = |vertex: &Vertex| {
            texture.map_or(Color32::WHITE, |texture| {
                texture.at(vertex.uv.x * size.0, vertex.uv.y * size.1)
            })
        };
        // egui paints plain forms with one white pixel of its texture.
        let one_texel = a.uv == b.uv && b.uv == c.uv;
        if let (true, Some(tint)) = (one_texel, tint) {
            return Self::Plain(product(tint, texel(&a)));
        }
        let plane = |value: fn(&Vertex) -> f32| {
            let [origin, right, below] = corners;
            let (v0, v1, v2) = (
                value(&origin.vertex),
                value(&right.vertex),
                value(&below.vertex),
            );
            let (x1, y1) = ((right.x - origin.x) as f32, (right.y - origin.y) as f32);
            let (x2, y2) = ((below.x - origin.x) as f32, (below.y - origin.y) as f32);
            let area = area as f32;
            let across = ((v1 - v0) * y2 - (v2 - v0) * y1) / area;
            let down = ((v2 - v0) * x1 - (v1 - v0) * x2) / area;
            let start = v0 - across * origin.x as f32 - down * origin.y as f32;
            [
                start + (across + down) * HALF as f32,
                across * FINE,
                down * FINE,
            ]
        };
        Self::Varied {
            colour: [
                plane(|vertex| vertex.color.r().into()),
                plane(|vertex| vertex.color.g().into()),
                plane(|vertex| vertex.color.b().into()),
                plane(|vertex| vertex.color.a().into()),
            ],
            place: [
                plane(|vertex| vertex.uv.x).map(|value| value * size.0),
                plane(|vertex| vertex.uv.y).map(|value| value * size.1),
            ],
            texture: texture.filter(|_| !one_texel),
            tint,
        }
    }

    fn paint(&self, row: &mut [u32], left: i64, y: i64) {
        let at = |[start, across, down]: &[f32; 3], x: f32| start + across * x + down * y as f32;
        match self {
            Self::Plain(colour) if colour.a() == u8::MAX => row.fill(opaque(*colour)),
            Self::Plain(colour) if *colour == Color32::TRANSPARENT => {}
            Self::Plain(colour) => row
                .iter_mut()
                .for_each(|pixel| *pixel = over(*pixel, *colour)),
            Self::Varied {
                colour,
                place: [u, v],
                texture,
                tint,
            } => {
                for (pixel, x) in row.iter_mut().zip(left..) {
                    let x = x as f32;
                    let own = tint.unwrap_or_else(|| {
                        let [red, green, blue, alpha] = [0, 1, 2, 3].map(|channel: usize| {
                            (at(&colour[channel], x) + 0.5).clamp(0.0, 255.0) as u8
                        });
                        Color32::from_rgba_premultiplied(red, green, blue, alpha)
                    });
                    let source = match texture {
                        Some(texture) => product(own, texture.at(at(u, x), at(v, x))),
                        None => own,
                    };
                    if source != Color32::TRANSPARENT {
                        *pixel = over(*pixel, source);
                    }
                }
            }
        }
    }
}

/// `a b / 255`, rounded to nearest.
fn scaled(a: u8, b: u8) -> u32 {
    let product = u32::from(a) * u32::from(b) + 128;
    (product + (product >> 8)) >> 8
}

fn product(a: Color32, b: Color32) -> Color32 {
    if b == Color32::WHITE {
        return a;
    }
    let channel = |a: u8, b: u8| scaled(a, b) as u8;
    Color32::from_rgba_premultiplied(
        channel(a.r(), b.r()),
        channel(a.g(), b.g()),
        channel(a.b(), b.b()),
        channel(a.a(), b.a()),
    )
}

fn opaque(colour: Color32) -> u32 {
    u32::from_le_bytes([colour.b(), colour.g(), colour.r(), 0xff])
}

/// A premultiplied colour over an opaque pixel.
fn over(under: u32, colour: Color32) -> u32 {
    let [blue, green, red, _] = under.to_le_bytes();
    let keep = 255 - colour.a();
    let channel = |under: u8, over: u8| (scaled(under, keep) + u32::from(over)).min(255) as u8;
    u32::from_le_bytes([
        channel(blue, colour.b()),
        channel(green, colour.g()),
        channel(red, colour.r()),
        0xff,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;

    const SIZE: Size = Size {
        width: 64,
        height: 48,
    };

    fn painted(mesh: Mesh, clip: Rect) -> Vec<u32> {
        let mut pixels = vec![0xff00_0000; 64 * 48];
        let primitive = ClippedPrimitive {
            clip_rect: egui::Rect::EVERYTHING,
            primitive: Primitive::Mesh(mesh),
        };
        Painter::default().paint(&mut pixels, SIZE, 1.0, clip, &[primitive]);
        pixels
    }

    #[test]
    fn triangles_around_a_point_paint_each_pixel_once() {
        // Half transparent: a pixel that is painted twice is brighter, one that is left out darker.
        let half = Color32::from_rgba_premultiplied(128, 128, 128, 128);
        for number in 0..40 {
            let middle = pos2(20.0 + 0.37 * number as f32, 17.0 + 0.29 * number as f32);
            let mut mesh = Mesh::default();
            let around = [
                pos2(-3.0, -2.0),
                pos2(30.3, -7.0),
                pos2(70.0, -1.0),
                pos2(66.0, 23.7),
                pos2(68.0, 50.0),
                pos2(31.9, 55.0),
                pos2(-5.0, 49.0),
                pos2(-9.0, 20.2),
            ];
            mesh.colored_vertex(middle, half);
            for corner in around {
                mesh.colored_vertex(corner, half);
            }
            for side in 1..=8 {
                mesh.add_triangle(0, side, side % 8 + 1);
            }
            let pixels = painted(mesh, Rect::of_size(SIZE));
            assert!(
                pixels.iter().all(|pixel| *pixel == 0xff80_8080),
                "around {middle}"
            );
        }
    }

    #[test]
    fn nothing_is_painted_outside_the_clip_and_nonsense_paints_nothing() {
        let mut mesh = Mesh::default();
        mesh.add_colored_rect(
            egui::Rect::from_min_max(pos2(-1e7, -1e7), pos2(1e7, 1e7)),
            Color32::WHITE,
        );
        let clip = Rect::new(10, 10, 5, 7);
        let pixels = painted(mesh, clip);
        let white = pixels.iter().filter(|pixel| **pixel == u32::MAX).count();
        assert_eq!(white, 35);
        let mut mesh = Mesh::default();
        mesh.colored_vertex(pos2(f32::NAN, 3.0), Color32::WHITE);
        mesh.colored_vertex(pos2(f32::INFINITY, 3.0), Color32::WHITE);
        mesh.colored_vertex(pos2(5.0, f32::NEG_INFINITY), Color32::WHITE);
        mesh.add_triangle(0, 1, 2);
        mesh.add_triangle(0, 1, 7);
        painted(mesh, Rect::of_size(SIZE));
    }
}
