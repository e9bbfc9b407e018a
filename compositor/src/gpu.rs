//! The painter that lets a graphics card put zones' pixels together, by Vulkan.
//!
//! The endpoint's own pixels (frames, panel, trusted pages) are painted on the processor, as always, and uploaded where they changed.
//! Each zone's surface is kept as a texture, uploaded where the zone drew and nowhere else: a window that moves costs no upload. The
//! card then takes the steps of a [`DrawList`] in their order, with the same integer arithmetic as the painter on the processor, so
//! that both give the same bits.
//!
//! A card that fails, or cannot do what a desktop needs, is an error and never a wrong picture: the caller paints on the processor
//! instead.

mod window;

pub use window::GpuWindow;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu::util::DeviceExt as _;

use crate::draw_list::{Act, DrawList, Step};
use crate::geometry::{Point, Rect, Region, Size, index, signed};
use crate::scene::{OutputId, Scene, Target};
use crate::zone::{Generation, ZoneId, ZonePixels};

/// Why a card cannot paint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is none.
    #[error(
        "no graphics card can be used by Vulkan; install its driver (Debian: mesa-vulkan-drivers)"
    )]
    NoCard(#[source] wgpu::RequestAdapterError),
    /// It refuses to work.
    #[error("the graphics card {card} refuses to work")]
    NoDevice {
        /// Its name.
        card: String,
        /// Why.
        #[source]
        source: wgpu::RequestDeviceError,
    },
    /// It cannot hold an output or a surface.
    #[error(
        "the graphics card holds no image of {width} x {height} pixels; its limit is {limit} a side"
    )]
    TooLarge {
        /// The image's width.
        width: u32,
        /// Its height.
        height: u32,
        /// The card's limit.
        limit: u32,
    },
    /// It failed at work.
    #[error("the graphics card failed: {0}")]
    Failed(String),
    /// Nothing was painted for this output yet.
    #[error("output {} has no frame", .0.0)]
    NoFrame(OutputId),
}

/// How much was uploaded to the card, since the painter began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploads {
    /// Pixels of zones.
    pub zones: u64,
    /// Pixels of the endpoint's own.
    pub own: u64,
}

/// Paints the outputs of one scene.
pub struct GpuPainter {
    device: wgpu::Device,
    queue: wgpu::Queue,
    card: String,
    pipeline: wgpu::ComputePipeline,
    step_layout: wgpu::BindGroupLayout,
    surface_layout: wgpu::BindGroupLayout,
    limit: u32,
    failure: Arc<Mutex<Option<String>>>,
    frames: BTreeMap<OutputId, Frame>,
    zones: BTreeMap<ZoneId, ZoneCopy>,
    list: DrawList,
    uploads: Uploads,
}

/// An output.
struct Frame {
    size: Size,
    /// What the processor paints: the endpoint's own pixels.
    own: Vec<u32>,
    own_texture: Texture,
    /// All pixels.
    pixels: wgpu::Buffer,
    /// Whether they hold a frame.
    painted: bool,
}

struct Texture {
    texture: wgpu::Texture,
    bind_group: wgpu::BindGroup,
}

/// A zone's surface on the card.
struct ZoneCopy {
    generation: Generation,
    size: Size,
    texture: Texture,
    /// Where it is behind the surface.
    stale: Region,
}

/// What the shader knows of a step: its `Step`, in 32-bit words.
const STEP_WORDS: usize = 20;
/// From one step to the next in the buffer of steps: what every card can start a binding at.
const STEP_BYTES: usize = 256;
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::R32Uint;
/// Side of the square of pixels that the shader works on together.
const GROUP: u32 = 8;

impl GpuPainter {
    /// A painter on the first card that there is.
    ///
    /// # Errors
    /// There is none, or it refuses.
    pub fn new() -> Result<Self, GpuError> {
        Self::on(&instance(), None).map(|(painter, _)| painter)
    }

    /// A painter on the first card that can show this surface.
    fn on(
        instance: &wgpu::Instance,
        surface: Option<&wgpu::Surface<'_>>,
    ) -> Result<(Self, wgpu::Adapter), GpuError> {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::LowPower,
            compatible_surface: surface,
            ..Default::default()
        };
        let adapter =
            pollster::block_on(instance.request_adapter(&options)).map_err(GpuError::NoCard)?;
        let card = adapter.get_info().name;
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("bulkhead"),
            required_limits: wgpu::Limits {
                max_texture_dimension_2d: limits.max_texture_dimension_2d,
                max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
                max_buffer_size: limits.max_buffer_size,
                ..wgpu::Limits::default()
            },
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|source| {
                GpuError::NoDevice {
                    card: card.clone(),
                    source,
                }
            })?;
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.get_or_insert(error.to_string());
        }));
        let shader = device.create_shader_module(wgpu::include_wgsl!("gpu/steps.wgsl"));
        let step_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step"),
            entries: &[
                entry(
                    0,
                    wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Uniform,
                        has_dynamic_offset: true,
                        min_binding_size: None,
                    },
                ),
                entry(1, storage(false)),
                entry(2, storage(true)),
            ],
        });
        let surface_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("surface"),
            entries: &[entry(
                0,
                wgpu::BindingType::Texture {
                    sample_type: wgpu::TextureSampleType::Uint,
                    view_dimension: wgpu::TextureViewDimension::D2,
                    multisampled: false,
                },
            )],
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("steps"),
            bind_group_layouts: &[Some(&step_layout), Some(&surface_layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("steps"),
            layout: Some(&layout),
            module: &shader,
            entry_point: Some("take"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let painter = Self {
            limit: device.limits().max_texture_dimension_2d,
            device,
            queue,
            card,
            pipeline,
            step_layout,
            surface_layout,
            failure,
            frames: BTreeMap::new(),
            zones: BTreeMap::new(),
            list: DrawList::default(),
            uploads: Uploads::default(),
        };
        painter.check()?;
        Ok((painter, adapter))
    }

    /// The card's name.
    pub fn card(&self) -> &str {
        &self.card
    }

    /// How much was uploaded so far.
    pub fn uploads(&self) -> Uploads {
        self.uploads
    }

    /// Brings an output up to date and says which of its rectangles changed since its last frame.
    ///
    /// # Errors
    /// The card failed or is too small: the output is to be painted on the processor. Then call [`Scene::damage_all`], since this frame
    /// is lost.
    pub fn render(&mut self, scene: &mut Scene, output: OutputId) -> Result<Vec<Rect>, GpuError> {
        let Some(area) = scene.output_area(output) else {
            self.frames.remove(&output);
            return Ok(Vec::new());
        };
        let mut frame = match self.frames.remove(&output) {
            Some(frame) if frame.size == area.size() => frame,
            _ => self.new_frame(area.size())?,
        };
        let mut list = std::mem::take(&mut self.list);
        let mut target = Target {
            pixels: &mut frame.own,
            size: frame.size,
            stride: index(signed(frame.size.width)),
            age: u8::from(frame.painted),
        };
        let changed = scene.render_list(output, &mut target, &mut list).to_vec();
        if !list.own.is_empty() || !list.steps.is_empty() {
            self.follow_zones(scene, &list)?;
            self.take_steps(&frame, &list);
            frame.painted = true;
        }
        self.list = list;
        self.frames.insert(output, frame);
        self.check()?;
        Ok(changed)
    }

    /// The pixels of an output's last frame, XRGB8888, row by row.
    ///
    /// # Errors
    /// There is no frame, or the card failed.
    pub fn read(&self, output: OutputId) -> Result<Vec<u32>, GpuError> {
        let frame = self.frames.get(&output).ok_or(GpuError::NoFrame(output))?;
        let size = frame.pixels.size();
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("picture"),
            size,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&frame.pixels, 0, &buffer, 0, size);
        self.queue.submit([encoder.finish()]);
        let (mapped, outcome) = std::sync::mpsc::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver waits below.
            let _ = mapped.send(result);
        });
        let failed = |error: &dyn std::fmt::Display| GpuError::Failed(error.to_string());
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|error| failed(&error))?;
        match outcome.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(failed(&error)),
            Err(error) => return Err(failed(&error)),
        }
        let bytes = buffer
            .get_mapped_range(..)
            .map_err(|error| failed(&error))?;
        self.check()?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    fn new_frame(&self, size: Size) -> Result<Frame, GpuError> {
        let own_texture = self.new_texture("own", size)?;
        let pixels = index(signed(size.width)) * index(signed(size.height));
        let bytes = u64::from(size.width) * u64::from(size.height) * 4;
        Ok(Frame {
            size,
            own: vec![0; pixels],
            own_texture,
            pixels: self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("output"),
                size: bytes.max(4),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            painted: false,
        })
    }

    fn new_texture(&self, label: &str, size: Size) -> Result<Texture, GpuError> {
        let Size { width, height } = size;
        if width.max(height) > self.limit {
            let limit = self.limit;
            return Err(GpuError::TooLarge {
                width,
                height,
                limit,
            });
        }
        let texture = self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size: extent(Size {
                width: width.max(1),
                height: height.max(1),
            }),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &self.surface_layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(&view),
            }],
        });
        Ok(Texture {
            texture,
            bind_group,
        })
    }

    /// Brings the copies of zones' surfaces up to date where the list needs them.
    fn follow_zones(&mut self, scene: &mut Scene, list: &DrawList) -> Result<(), GpuError> {
        self.zones.retain(|id, copy| {
            let surface = scene.surface(*id);
            surface.is_some_and(|(generation, _)| generation == copy.generation)
        });
        for step in &list.steps {
            let (zone, needed) = match step.act {
                Act::Zone { zone, origin } => {
                    (zone, Some(step.area.moved_by(-origin.x, -origin.y)))
                }
                Act::ZoneSmall { zone, .. } => (zone, None),
                _ => continue,
            };
            let changes = scene.take_changes(zone);
            let Some((generation, surface)) = scene.surface(zone) else {
                continue;
            };
            let mut copy = match self.zones.remove(&zone) {
                Some(copy) => copy,
                None => {
                    let size = surface.size();
                    ZoneCopy {
                        generation,
                        size,
                        texture: self.new_texture("zone", size)?,
                        stale: Region::of(Rect::of_size(size)),
                    }
                }
            };
            copy.stale.add_region(&changes);
            let needed = needed.unwrap_or(Rect::of_size(copy.size));
            for rect in copy.stale.clipped(&needed).rects() {
                self.upload_zone(&copy, surface, *rect);
            }
            copy.stale.subtract(&needed);
            self.zones.insert(zone, copy);
        }
        Ok(())
    }

    /// Uploads a rectangle of a surface: each pixel is read once, row by row, from memory that the zone may change meanwhile.
    fn upload_zone(&mut self, copy: &ZoneCopy, surface: &dyn ZonePixels, rect: Rect) {
        let width = index(signed(rect.width()));
        let mut pixels = vec![0u32; width * index(signed(rect.height()))];
        let (left, top) = (rect.left().unsigned_abs(), rect.top().unsigned_abs());
        for (row, y) in pixels.chunks_exact_mut(width.max(1)).zip(top..) {
            surface.copy_row(y, left, row);
        }
        self.upload(&copy.texture, &pixels, rect.width(), Point::default(), rect);
        self.uploads.zones += rect.area();
    }

    /// Uploads a rectangle from rows of `stride` pixels, the first of which lies at `origin` of the texture.
    fn upload(&self, texture: &Texture, pixels: &[u32], stride: u32, from: Point, to: Rect) {
        let offset =
            u64::from(from.y.unsigned_abs()) * u64::from(stride) + u64::from(from.x.unsigned_abs());
        self.queue.write_texture(
            wgpu::TexelCopyTextureInfo {
                texture: &texture.texture,
                mip_level: 0,
                origin: wgpu::Origin3d {
                    x: to.left().unsigned_abs(),
                    y: to.top().unsigned_abs(),
                    z: 0,
                },
                aspect: wgpu::TextureAspect::All,
            },
            bytemuck::cast_slice(pixels),
            wgpu::TexelCopyBufferLayout {
                offset: offset * 4,
                bytes_per_row: Some(stride * 4),
                rows_per_image: None,
            },
            extent(to.size()),
        );
    }

    fn take_steps(&mut self, frame: &Frame, list: &DrawList) {
        let mut steps = Vec::new();
        for rect in &list.own {
            let rect = rect.intersection(&Rect::of_size(frame.size));
            if rect.is_empty() {
                continue;
            }
            let (own, width) = (&frame.own_texture, frame.size.width);
            self.upload(own, &frame.own, width, rect.origin(), rect);
            self.uploads.own += rect.area();
            steps.push((rect, copy_words(Point::default()), &own.bind_group));
        }
        for Step { area, act } in &list.steps {
            let zone = match act {
                Act::Zone { zone, .. } | Act::ZoneSmall { zone, .. } => Some(zone),
                _ => None,
            };
            let copy = zone.and_then(|zone| self.zones.get(zone));
            let surface = match (zone, copy) {
                (None, _) => &frame.own_texture.bind_group,
                (Some(_), Some(copy)) => &copy.texture.bind_group,
                (Some(_), None) => continue,
            };
            let size = copy.map(|copy| copy.size).unwrap_or_default();
            steps.push((*area, words(act, size), surface));
        }
        let mut bytes = vec![0u8; STEP_BYTES * steps.len().max(1)];
        for (room, (area, rest, _)) in bytes.chunks_exact_mut(STEP_BYTES).zip(&steps) {
            let mut all = [0u32; STEP_WORDS];
            let area = [area.left(), area.top(), area.right(), area.bottom()];
            let known = area
                .into_iter()
                .map(i32::cast_unsigned)
                .chain(*rest)
                .chain([frame.size.width]);
            for (word, known) in all.iter_mut().zip(known) {
                *word = known;
            }
            for (byte, known) in room.iter_mut().zip(bytemuck::bytes_of(&all)) {
                *byte = *known;
            }
        }
        let buffer = |label, contents: &[u8], usage| {
            let descriptor = wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents,
                usage,
            };
            self.device.create_buffer_init(&descriptor)
        };
        let step_buffer = buffer("steps", &bytes, wgpu::BufferUsages::UNIFORM);
        // A binding is never empty.
        let data: &[u32] = if list.data.is_empty() {
            &[0]
        } else {
            &list.data
        };
        let data = buffer(
            "data",
            bytemuck::cast_slice(data),
            wgpu::BufferUsages::STORAGE,
        );
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: &self.step_layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &step_buffer,
                        offset: 0,
                        size: NonZeroU64::new(STEP_BYTES as u64),
                    }),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: frame.pixels.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 2,
                    resource: data.as_entire_binding(),
                },
            ],
        });
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            // Each step sees what the one before it wrote: a dispatch is a usage scope of its own (WebGPU, 3.4.3).
            for ((area, _, surface), offset) in steps.iter().zip((0..).step_by(STEP_BYTES)) {
                pass.set_bind_group(0, &bind_group, &[offset]);
                pass.set_bind_group(1, *surface, &[]);
                pass.dispatch_workgroups(
                    area.width().div_ceil(GROUP),
                    area.height().div_ceil(GROUP),
                    1,
                );
            }
        }
        self.queue.submit([encoder.finish()]);
    }

    fn check(&self) -> Result<(), GpuError> {
        let told = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
            .map_or(Ok(()), |text| Err(GpuError::Failed(text)))
    }
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

/// A step's words after its area: source, small, paint.
type Words = [u32; 12];

fn copy_words(origin: Point) -> Words {
    source_words(origin, 0, 0)
}

fn source_words(origin: Point, columns: u32, kind: u32) -> Words {
    let (x, y) = (origin.x.cast_unsigned(), origin.y.cast_unsigned());
    [x, y, columns, kind, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn words(act: &Act, surface: Size) -> Words {
    match *act {
        Act::Zone { origin, .. } => copy_words(origin),
        Act::ZoneSmall { place, .. } => {
            let [x, y, columns, kind, ..] = source_words(place.origin(), 0, 1);
            let (width, height) = (place.width(), place.height());
            let Size {
                width: of_width,
                height: of_height,
            } = surface;
            [
                x, y, columns, kind, width, height, of_width, of_height, 0, 0, 0, 0,
            ]
        }
        Act::Tint { colour, amount } => {
            let [x, y, columns, kind, ..] = source_words(Point::default(), 0, 2);
            let amount = amount.into();
            [
                x,
                y,
                columns,
                kind,
                0,
                0,
                0,
                0,
                colour.pixel(),
                amount,
                0,
                0,
            ]
        }
        Act::Mask {
            origin,
            columns,
            zoom,
            colour,
            data,
        } => {
            let [x, y, columns, kind, ..] = source_words(origin, columns, 3);
            let (colour, zoom) = (colour.pixel(), zoom.max(1));
            [x, y, columns, kind, 0, 0, 0, 0, colour, 0, zoom, data]
        }
        Act::Image {
            origin,
            columns,
            data,
        } => {
            let [x, y, columns, kind, ..] = source_words(origin, columns, 4);
            [x, y, columns, kind, 0, 0, 0, 0, 0, 0, 0, data]
        }
    }
}

const fn extent(size: Size) -> wgpu::Extent3d {
    wgpu::Extent3d {
        width: size.width,
        height: size.height,
        depth_or_array_layers: 1,
    }
}

const fn storage(read_only: bool) -> wgpu::BindingType {
    wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Storage { read_only },
        has_dynamic_offset: false,
        min_binding_size: None,
    }
}

const fn entry(binding: u32, ty: wgpu::BindingType) -> wgpu::BindGroupLayoutEntry {
    entry_for(wgpu::ShaderStages::COMPUTE, binding, ty)
}

const fn entry_for(
    visibility: wgpu::ShaderStages,
    binding: u32,
    ty: wgpu::BindingType,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility,
        ty,
        count: None,
    }
}
