//! A window that shows one output straight from the card's memory.

use super::{GpuError, GpuPainter, entry_for, storage};
use crate::geometry::{Rect, Size};
use crate::scene::{OutputId, Scene};

/// A painter and the window that it paints into.
pub struct GpuWindow {
    painter: GpuPainter,
    surface: wgpu::Surface<'static>,
    format: wgpu::TextureFormat,
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::RenderPipeline,
    size: Size,
}

impl GpuWindow {
    /// Takes a window on the first card that can show one.
    ///
    /// # Errors
    /// There is no such card, or it refuses.
    pub fn open(window: impl Into<wgpu::SurfaceTarget<'static>>) -> Result<Self, GpuError> {
        let instance = super::instance();
        let surface = instance
            .create_surface(window)
            .map_err(|error| GpuError::Failed(error.to_string()))?;
        let (painter, adapter) = GpuPainter::on(&instance, Some(&surface))?;
        // Plain bytes: a format that takes them for linear light would change every colour.
        let format = surface
            .get_capabilities(&adapter)
            .formats
            .into_iter()
            .find(|format| {
                use wgpu::TextureFormat::{Bgra8Unorm, Rgba8Unorm};
                matches!(format, Bgra8Unorm | Rgba8Unorm)
            })
            .ok_or_else(|| {
                GpuError::Failed("its windows have no plain format of 32 bits".to_owned())
            })?;
        let device = &painter.device;
        let uniform = wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let stage = wgpu::ShaderStages::FRAGMENT;
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("show"),
            entries: &[
                entry_for(stage, 0, uniform),
                entry_for(stage, 1, storage(true)),
            ],
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("show"),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let shader = device.create_shader_module(wgpu::include_wgsl!("show.wgsl"));
        let compilation_options = wgpu::PipelineCompilationOptions::default;
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("show"),
            layout: Some(&pipeline_layout),
            vertex: wgpu::VertexState {
                module: &shader,
                entry_point: Some("corner"),
                compilation_options: compilation_options(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &shader,
                entry_point: Some("show"),
                compilation_options: compilation_options(),
                targets: &[Some(format.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        painter.check()?;
        Ok(Self {
            painter,
            surface,
            format,
            layout,
            pipeline,
            size: Size::default(),
        })
    }

    /// The painter.
    pub fn painter(&self) -> &GpuPainter {
        &self.painter
    }

    /// Brings an output up to date and shows it in the window, which must be of its size; says what changed.
    ///
    /// # Errors
    /// The card failed or is too small, as with [`GpuPainter::render`].
    pub fn render(&mut self, scene: &mut Scene, output: OutputId) -> Result<Vec<Rect>, GpuError> {
        let changed = self.painter.render(scene, output)?;
        let size = scene.output_area(output).unwrap_or_default().size();
        if size.is_empty() {
            return Ok(changed);
        }
        if self.size != size {
            self.configure(size);
        }
        use wgpu::CurrentSurfaceTexture::{Lost, Outdated, Suboptimal, Success, Validation};
        match self.surface.get_current_texture() {
            Success(texture) | Suboptimal(texture) => self.show(output, size, texture),
            // The window changed meanwhile: its next event brings the next frame.
            Outdated | Lost => self.size = Size::default(),
            Validation => self.painter.check()?,
            // Nobody sees it.
            _ => {}
        }
        self.painter.check()?;
        Ok(changed)
    }

    fn configure(&mut self, size: Size) {
        let configuration = wgpu::SurfaceConfiguration {
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            format: self.format,
            color_space: wgpu::SurfaceColorSpace::default(),
            width: size.width,
            height: size.height,
            present_mode: wgpu::PresentMode::AutoVsync,
            desired_maximum_frame_latency: 1,
            alpha_mode: wgpu::CompositeAlphaMode::Auto,
            view_formats: Vec::new(),
        };
        self.surface.configure(&self.painter.device, &configuration);
        self.size = size;
    }

    fn show(&self, output: OutputId, size: Size, texture: wgpu::SurfaceTexture) {
        let Some(frame) = self.painter.frames.get(&output) else {
            return;
        };
        let device = &self.painter.device;
        let stride = wgpu::util::DeviceExt::create_buffer_init(
            device,
            &wgpu::util::BufferInitDescriptor {
                label: Some("place"),
                contents: bytemuck::bytes_of(&[size.width, 0, 0, 0]),
                usage: wgpu::BufferUsages::UNIFORM,
            },
        );
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("show"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: stride.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: frame.pixels.as_entire_binding(),
                },
            ],
        });
        let view = texture
            .texture
            .create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let attachment = wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                    store: wgpu::StoreOp::Store,
                },
            };
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("show"),
                color_attachments: &[Some(attachment)],
                ..Default::default()
            });
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.draw(0..3, 0..1);
        }
        self.painter.queue.submit([encoder.finish()]);
        self.painter.queue.present(texture);
    }
}
