//! The 2D display device (virtio 1.2, section 5.7) on one shared surface.
//!
//! A transfer copies from guest memory to the surface directly, comparing as it goes, so that a pixel is written
//! once and only if it changed; what changed is reported at the flush, however much the guest flushed. A resource that is
//! not shown is remembered by what it changed and copied when it is. The host keeps no pixels of its own.
//!
//! Ids, sizes, rectangles, offsets and backing lists come from the guest: each is checked or clipped before use, and
//! all that is kept is bounded by the limits below.

mod edid;
mod format;
mod painter;
mod rect;
mod resource;
mod surface;

pub use rect::{DAMAGE_MAX, Damage, Rect};
pub use surface::{DIMENSION_MAX, SharedSurface, SurfaceError};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::GuestAddress;

use self::format::Format;
use self::painter::Painter;
use self::resource::{Backing, Resource};
use self::surface::PIXEL;
use crate::GuestMemory;
use crate::chain::{Broken, Chain, Segments};
use crate::device::{Device, Slot, copy_config};
use crate::queues::{Outcome, Queues};
use crate::transport::{Handle, Transport};
use crate::wire::{put, u32_at, u64_at};

const DEVICE_TYPE: u32 = 16;
const FEATURE_EDID: u64 = 1 << 1;
const EVENT_DISPLAY: u32 = 1;
const FLAG_FENCE: u32 = 1;
const FLAG_RING_INDEX: u32 = 2;
const SCANOUTS_MAX: usize = 16;

/// Resources at a time.
pub const RESOURCES_MAX: usize = 1024;
/// Bytes of all resources' pixels together, wherever they lie.
pub const RESOURCE_BYTES_MAX: u64 = 2 << 30;
/// Pieces of one resource's backing.
pub const BACKING_ENTRIES_MAX: u32 = 16384;
/// Pieces of all backings together, after neighbours were joined.
const ENTRIES_TOTAL_MAX: usize = 1 << 18;
/// Largest width and height of a cursor.
pub const CURSOR_MAX: u32 = 64;

const HEADER_SIZE: usize = 24;
const DISPLAY_INFO_SIZE: usize = SCANOUTS_MAX * 24;
const EDID_REPLY_SIZE: usize = 8 + 1024;

/// What the display tells the outside. Called with the device's lock held: it must not block for long nor call back.
pub trait DisplaySink: Send {
    /// These parts of the surface of `generation` have new pixels; between 1 and [`DAMAGE_MAX`] rectangles.
    fn frame(&mut self, generation: u32, damage: &[Rect]);

    /// The guest's cursor has this shape, or none.
    fn cursor(&mut self, cursor: Option<&CursorImage>);
}

/// A cursor's shape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CursorImage {
    /// Columns, 1 to [`CURSOR_MAX`].
    pub width: u32,
    /// Rows, 1 to [`CURSOR_MAX`].
    pub height: u32,
    /// The column that points; inside the shape.
    pub hot_x: u32,
    /// The row that points; inside the shape.
    pub hot_y: u32,
    /// Rows from the top, ARGB8888 premultiplied, no colour above its alpha.
    pub pixels: Vec<u32>,
}

/// The host side of a display.
#[derive(Clone)]
pub struct Display {
    handle: Handle<Gpu>,
    shown: Arc<AtomicU64>,
}

impl Display {
    /// The size of what the guest shows, in pixels; `None` while it shows nothing.
    ///
    /// It differs from the surface's until the guest has followed a resize, and for good if the guest does not: an absolute
    /// pointer's range covers this size, not the surface.
    pub fn shown_size(&self) -> Option<(u32, u32)> {
        let [w0, w1, w2, w3, h0, h1, h2, h3] = self.shown.load(Ordering::Relaxed).to_le_bytes();
        let width = u32::from_le_bytes([w0, w1, w2, w3]);
        let height = u32::from_le_bytes([h0, h1, h2, h3]);
        (width != 0).then_some((width, height))
    }

    /// Gives the guest a new surface: it is told of the new size, and what it shows now is painted at once.
    pub fn resize(&self, surface: SharedSurface, generation: u32) {
        self.handle.with(|gpu, queues| {
            gpu.replace_surface(queues.memory(), surface, generation);
            queues.configuration_changed();
            Ok(())
        });
    }
}

/// The display device.
pub struct Gpu {
    painter: Painter,
    generation: u32,
    sink: Box<dyn DisplaySink>,
    resources: BTreeMap<u32, Resource>,
    scanout: Option<Scanout>,
    /// The size of the scanout's part, width in the lower half.
    shown: Arc<AtomicU64>,
    events: u32,
}

/// What the surface shows: a part of a resource, its top left at the surface's.
#[derive(Clone, Copy)]
struct Scanout {
    resource: u32,
    part: Rect,
}

/// The responses that refuse a command (section 5.7.6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refusal {
    Unspecified = 0x1200,
    OutOfMemory = 0x1201,
    InvalidScanout = 0x1202,
    InvalidResource = 0x1203,
    InvalidParameter = 0x1205,
}

enum Reply {
    Nothing,
    DisplayInfo(Box<[u8; DISPLAY_INFO_SIZE]>),
    Edid(Box<[u8; EDID_REPLY_SIZE]>),
}

impl Reply {
    fn code(&self) -> u32 {
        match self {
            Self::Nothing => 0x1100,
            Self::DisplayInfo(_) => 0x1101,
            Self::Edid(_) => 0x1104,
        }
    }

    fn body(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::DisplayInfo(body) => body.as_slice(),
            Self::Edid(body) => body.as_slice(),
        }
    }
}

impl Gpu {
    /// Plugs a display that shows on `surface` into `slot`.
    pub fn plug(
        slot: Slot,
        surface: SharedSurface,
        generation: u32,
        sink: Box<dyn DisplaySink>,
    ) -> (Transport, Display) {
        let shown = Arc::default();
        let handle = Handle::plug(
            slot,
            Self {
                painter: Painter::new(surface),
                generation,
                sink,
                resources: BTreeMap::new(),
                scanout: None,
                shown: Arc::clone(&shown),
                events: 0,
            },
        );
        (handle.transport(), Display { handle, shown })
    }

    fn command(&mut self, memory: &GuestMemory, chain: &mut Chain) -> Result<Outcome, Broken> {
        let header: [u8; HEADER_SIZE] = chain.readable.read_array(memory)?;
        let result = self.execute(memory, u32_at(&header, 0), &mut chain.readable);
        let room = chain.writable.remaining();
        if room < HEADER_SIZE as u64 {
            // Cursor commands expect no answer.
            return Ok(Outcome::Used(0));
        }
        let result = result.and_then(|reply| {
            let size = HEADER_SIZE.saturating_add(reply.body().len());
            let fits = room >= size as u64;
            fits.then_some(reply).ok_or(Refusal::InvalidParameter)
        });
        let code = match &result {
            Ok(reply) => reply.code(),
            Err(refusal) => *refusal as u32,
        };
        chain
            .writable
            .write(memory, &answer_header(&header, code))?;
        if let Ok(reply) = result {
            chain.writable.write(memory, reply.body())?;
        }
        Ok(Outcome::Used(chain.writable.passed()))
    }

    fn execute(
        &mut self,
        memory: &GuestMemory,
        command: u32,
        body: &mut Segments,
    ) -> Result<Reply, Refusal> {
        match command {
            0x100 => return Ok(self.display_info()),
            0x101 => self.create(&take::<16>(memory, body)?)?,
            0x102 => self.unreference(memory, &take::<8>(memory, body)?)?,
            0x103 => self.set_scanout(memory, &take::<24>(memory, body)?)?,
            0x104 => self.flush(&take::<24>(memory, body)?)?,
            0x105 => self.transfer(memory, &take::<32>(memory, body)?)?,
            0x106 => {
                let request = take::<8>(memory, body)?;
                self.attach(memory, &request, body)?;
            }
            0x107 => self.detach(&take::<8>(memory, body)?)?,
            0x10a => return self.edid(&take::<8>(memory, body)?),
            0x300 => self.update_cursor(memory, &take::<32>(memory, body)?)?,
            // The endpoint draws the cursor where its own pointer is.
            0x301 => check_scanout(u32_at(&take::<32>(memory, body)?, 0))?,
            _ => return Err(Refusal::Unspecified),
        }
        Ok(Reply::Nothing)
    }

    fn display_info(&self) -> Reply {
        let mut body = Box::new([0; DISPLAY_INFO_SIZE]);
        let bounds = self.painter.bounds();
        put(body.as_mut_slice(), 8, &bounds.width.to_le_bytes());
        put(body.as_mut_slice(), 12, &bounds.height.to_le_bytes());
        put(body.as_mut_slice(), 16, &1_u32.to_le_bytes());
        Reply::DisplayInfo(body)
    }

    fn edid(&self, request: &[u8]) -> Result<Reply, Refusal> {
        check_scanout(u32_at(request, 0))?;
        let bounds = self.painter.bounds();
        let block = edid::edid(bounds.width, bounds.height);
        let mut body = Box::new([0; EDID_REPLY_SIZE]);
        let size = u32::try_from(block.len()).unwrap_or(0);
        put(body.as_mut_slice(), 0, &size.to_le_bytes());
        put(body.as_mut_slice(), 8, &block);
        Ok(Reply::Edid(body))
    }

    fn create(&mut self, request: &[u8]) -> Result<(), Refusal> {
        let id = u32_at(request, 0);
        if id == 0 || self.resources.contains_key(&id) {
            return Err(Refusal::InvalidResource);
        }
        let format = Format::from_code(u32_at(request, 4)).ok_or(Refusal::InvalidParameter)?;
        let (width, height) = (u32_at(request, 8), u32_at(request, 12));
        let sides = 1..=DIMENSION_MAX;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(Refusal::InvalidParameter);
        }
        let resource = Resource::new(width, height, format);
        let bytes = self.resources.values().map(Resource::bytes);
        let total = bytes.fold(resource.bytes(), u64::saturating_add);
        if self.resources.len() >= RESOURCES_MAX || total > RESOURCE_BYTES_MAX {
            return Err(Refusal::OutOfMemory);
        }
        self.resources.insert(id, resource);
        Ok(())
    }

    fn unreference(&mut self, memory: &GuestMemory, request: &[u8]) -> Result<(), Refusal> {
        let id = u32_at(request, 0);
        if !self.resources.contains_key(&id) {
            return Err(Refusal::InvalidResource);
        }
        if self.is_shown(id) {
            self.show(memory, None);
        }
        self.resources.remove(&id);
        Ok(())
    }

    fn is_shown(&self, id: u32) -> bool {
        self.scanout.is_some_and(|scanout| scanout.resource == id)
    }

    fn set_scanout(&mut self, memory: &GuestMemory, request: &[u8]) -> Result<(), Refusal> {
        let part = rect_at(request);
        check_scanout(u32_at(request, 16))?;
        let id = u32_at(request, 20);
        if id == 0 {
            self.show(memory, None);
            return Ok(());
        }
        let resource = self.resources.get(&id).ok_or(Refusal::InvalidResource)?;
        if part.is_empty() || !part.fits(resource.width, resource.height) {
            return Err(Refusal::InvalidParameter);
        }
        self.show(memory, Some(Scanout { resource: id, part }));
        Ok(())
    }

    /// Puts a resource on the surface, or nothing.
    fn show(&mut self, memory: &GuestMemory, next: Option<Scanout>) {
        // What was painted while the last resource was shown is what the others do not show.
        let changed = self.painter.take_unseen();
        for resource in self.resources.values_mut() {
            if let Some(part) = resource.shown {
                for rect in changed.rects() {
                    resource.stale.add(rect.moved((0, 0), (part.x, part.y)));
                }
            }
        }
        if let Some(last) = self.scanout.take()
            && let Some(resource) = self.resources.get_mut(&last.resource)
        {
            resource.shown = Some(last.part);
            resource.stale.clear();
        }
        self.set_shown(next);
        let Some(Scanout { resource: id, part }) = next else {
            self.painter.blacken(Rect::default());
            self.report();
            return;
        };
        let Some(resource) = self.resources.get_mut(&id) else {
            return;
        };
        self.painter.blacken(Rect::of_size(part.width, part.height));
        if resource.shown == Some(part) {
            let stale = std::mem::take(&mut resource.stale);
            for rect in stale.rects() {
                self.painter.paint(memory, resource, part, *rect);
            }
        } else {
            self.painter.paint(memory, resource, part, part);
        }
    }

    fn set_shown(&mut self, scanout: Option<Scanout>) {
        self.scanout = scanout;
        let part = scanout.map_or(Rect::default(), |scanout| scanout.part);
        let size = u64::from(part.width) | u64::from(part.height) << 32;
        self.shown.store(size, Ordering::Relaxed);
    }

    fn flush(&mut self, request: &[u8]) -> Result<(), Refusal> {
        let rect = rect_at(request);
        let id = u32_at(request, 16);
        let resource = self.resources.get(&id).ok_or(Refusal::InvalidResource)?;
        if !rect.fits(resource.width, resource.height) {
            return Err(Refusal::InvalidParameter);
        }
        if self.is_shown(id) {
            self.report();
        }
        Ok(())
    }

    fn report(&mut self) {
        let damage = self.painter.take_damage();
        if !damage.is_empty() {
            self.sink.frame(self.generation, damage.rects());
        }
    }

    fn transfer(&mut self, memory: &GuestMemory, request: &[u8]) -> Result<(), Refusal> {
        let rect = rect_at(request);
        let offset = u64_at(request, 16);
        let id = u32_at(request, 24);
        let shown = self.scanout.filter(|scanout| scanout.resource == id);
        let resource = self
            .resources
            .get_mut(&id)
            .ok_or(Refusal::InvalidResource)?;
        let backing = resource.backing.as_ref().ok_or(Refusal::Unspecified)?;
        if !rect.fits(resource.width, resource.height) {
            return Err(Refusal::InvalidParameter);
        }
        if rect.is_empty() {
            return Ok(());
        }
        let origin = locate(resource, rect, offset, backing.length());
        resource.origin = origin.ok_or(Refusal::InvalidParameter)?;
        match shown {
            Some(scanout) => self.painter.paint(memory, resource, scanout.part, rect),
            None if resource.shown.is_some() => resource.stale.add(rect),
            None => {}
        }
        Ok(())
    }

    fn attach(
        &mut self,
        memory: &GuestMemory,
        request: &[u8],
        body: &mut Segments,
    ) -> Result<(), Refusal> {
        let count = u32_at(request, 4);
        let id = u32_at(request, 0);
        let kept: usize = self
            .resources
            .values()
            .filter_map(|resource| resource.backing.as_ref())
            .map(Backing::entries)
            .fold(0, usize::saturating_add);
        let resource = self
            .resources
            .get_mut(&id)
            .ok_or(Refusal::InvalidResource)?;
        if resource.backing.is_some() {
            return Err(Refusal::Unspecified);
        }
        if count == 0 || count > BACKING_ENTRIES_MAX {
            return Err(Refusal::InvalidParameter);
        }
        let mut backing = Backing::default();
        for _ in 0..count {
            let entry = take::<16>(memory, body)?;
            let (address, length) = (u64_at(&entry, 0), u32_at(&entry, 8));
            if length == 0 || !memory.has(GuestAddress(address), length as usize) {
                return Err(Refusal::InvalidParameter);
            }
            backing
                .push(address, length)
                .ok_or(Refusal::InvalidParameter)?;
        }
        if kept.saturating_add(backing.entries()) > ENTRIES_TOTAL_MAX {
            return Err(Refusal::OutOfMemory);
        }
        resource.backing = Some(backing);
        resource.origin = 0;
        resource.forget_surface();
        Ok(())
    }

    fn detach(&mut self, request: &[u8]) -> Result<(), Refusal> {
        let resource = self
            .resources
            .get_mut(&u32_at(request, 0))
            .ok_or(Refusal::InvalidResource)?;
        if resource.backing.take().is_none() {
            return Err(Refusal::Unspecified);
        }
        resource.forget_surface();
        Ok(())
    }

    fn update_cursor(&mut self, memory: &GuestMemory, request: &[u8]) -> Result<(), Refusal> {
        check_scanout(u32_at(request, 0))?;
        let id = u32_at(request, 16);
        if id == 0 {
            self.sink.cursor(None);
            return Ok(());
        }
        let resource = self.resources.get(&id).ok_or(Refusal::InvalidResource)?;
        let (width, height) = (resource.width, resource.height);
        if width > CURSOR_MAX || height > CURSOR_MAX {
            return Err(Refusal::InvalidParameter);
        }
        let mut pixels = Vec::new();
        let mut row = [[0; PIXEL]; CURSOR_MAX as usize];
        let row = row.as_flattened_mut();
        let (row, _) = row.split_at_mut(row.len().min(width as usize * PIXEL));
        for y in 0..height {
            if !resource.read_row(memory, 0, y, row) {
                return Err(Refusal::InvalidParameter);
            }
            let (chunks, _) = row.as_chunks::<PIXEL>();
            pixels.extend(chunks.iter().map(|p| resource.format.cursor_pixel(*p)));
        }
        self.sink.cursor(Some(&CursorImage {
            width,
            height,
            hot_x: u32_at(request, 20).min(width.saturating_sub(1)),
            hot_y: u32_at(request, 24).min(height.saturating_sub(1)),
            pixels,
        }));
        Ok(())
    }

    fn replace_surface(&mut self, memory: &GuestMemory, surface: SharedSurface, generation: u32) {
        self.painter = Painter::new(surface);
        self.generation = generation;
        self.events |= EVENT_DISPLAY;
        for resource in self.resources.values_mut() {
            resource.forget_surface();
        }
        if let Some(Scanout { resource: id, part }) = self.scanout
            && let Some(resource) = self.resources.get(&id)
        {
            self.painter.paint(memory, resource, part, part);
        }
        // The receiver of frames has seen nothing of this surface yet.
        self.painter.damage_all();
        self.report();
    }
}

impl Device for Gpu {
    fn device_type(&self) -> u32 {
        DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        FEATURE_EDID
    }

    fn queue_sizes(&self) -> &[u16] {
        // Control, cursor.
        &[256, 16]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // Events to read, events to clear, number of scanouts, number of capability sets.
        let mut space = [0; 16];
        put(&mut space, 0, &self.events.to_le_bytes());
        put(&mut space, 8, &1_u32.to_le_bytes());
        copy_config(&space, offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        if offset == 4 && data.len() == 4 {
            self.events &= !u32_at(data, 0);
        }
    }

    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken> {
        queues.serve(queue, |memory, chain| self.command(memory, chain))
    }

    fn reset(&mut self) {
        self.resources.clear();
        self.set_shown(None);
        self.events = 0;
        self.painter.take_unseen();
        self.painter.blacken(Rect::default());
        self.report();
        self.sink.cursor(None);
    }
}

/// The answer's header: the request's fence, if it has one.
fn answer_header(request: &[u8; HEADER_SIZE], code: u32) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    put(&mut header, 0, &code.to_le_bytes());
    let flags = u32_at(request, 4);
    if flags & FLAG_FENCE != 0 {
        let kept = flags & (FLAG_FENCE | FLAG_RING_INDEX);
        put(&mut header, 4, &kept.to_le_bytes());
        let (_, identity) = request.split_at(8);
        put(&mut header, 8, identity);
    }
    header
}

fn take<const N: usize>(memory: &GuestMemory, body: &mut Segments) -> Result<[u8; N], Refusal> {
    body.read_array(memory)
        .map_err(|_| Refusal::InvalidParameter)
}

fn check_scanout(id: u32) -> Result<(), Refusal> {
    if id == 0 {
        Ok(())
    } else {
        Err(Refusal::InvalidScanout)
    }
}

fn rect_at(request: &[u8]) -> Rect {
    Rect {
        x: u32_at(request, 0),
        y: u32_at(request, 4),
        width: u32_at(request, 8),
        height: u32_at(request, 12),
    }
}

/// Where the resource's first pixel lies in its backing if `rect` starts at `offset`; `None` unless all of the
/// rectangle's rows are in the backing.
fn locate(resource: &Resource, rect: Rect, offset: u64, length: u64) -> Option<i64> {
    let rows = u64::from(rect.height).checked_sub(1)?;
    let last_row = offset.checked_add(rows.checked_mul(resource.stride())?)?;
    let end = last_row.checked_add(u64::from(rect.width).checked_mul(PIXEL as u64)?)?;
    if end > length {
        return None;
    }
    let start = i64::try_from(resource.offset_of(rect.x, rect.y)?).ok()?;
    i64::try_from(offset).ok()?.checked_sub(start)
}

#[cfg(test)]
mod tests;
