//! One screen: painted in ordinary memory, copied by damage into whichever of two buffers is not shown, then shown whole.
//!
//! The card's own memory is only ever written: reading it back, as blending would, is slow on most cards.

use std::rc::Rc;
use std::time::Instant;

use compositor::{OutputId, Rect, Region, Scale, Size, Target};
use drm::buffer::{Buffer as _, DrmFourcc};
use drm::control::dumbbuffer::{DumbBuffer, DumbMapping};
use drm::control::{Device as _, PageFlipFlags, connector, crtc, framebuffer};

use super::KmsError;
use super::card::{Card, Wanted};
use crate::Session;
use crate::present::rhythm::Rhythm;

pub(super) struct Screen {
    card: Rc<Card>,
    wanted: Wanted,
    size: Size,
    /// The newest frame.
    painted: Vec<u32>,
    /// Whether `painted` holds a frame at all.
    has_frame: bool,
    buffers: [ScanoutBuffer; 2],
    /// Which buffer is shown.
    front: usize,
    /// Whether the mode is set: any buffer is shown.
    lit: bool,
    rhythm: Rhythm,
}

struct ScanoutBuffer {
    framebuffer: framebuffer::Handle,
    memory: DumbBuffer,
    mapping: DumbMapping<'static>,
    /// Where it differs from the newest frame.
    stale: Region,
}

impl Screen {
    pub(super) fn new(card: &Rc<Card>, wanted: &Wanted) -> Result<Self, KmsError> {
        let (width, height) = wanted.mode.size();
        let size = Size::new(width.into(), height.into());
        let first = ScanoutBuffer::new(card, size)?;
        let second = ScanoutBuffer::new(card, size).inspect_err(|_| first.free(card))?;
        Ok(Self {
            card: Rc::clone(card),
            wanted: wanted.clone(),
            size,
            painted: vec![0; usize::from(width) * usize::from(height)],
            has_frame: false,
            buffers: [first, second],
            front: 0,
            lit: false,
            rhythm: Rhythm::of(wanted.mode.vrefresh()),
        })
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn scale(&self) -> Scale {
        self.wanted.scale
    }

    pub(super) fn connector(&self) -> connector::Handle {
        self.wanted.connector
    }

    pub(super) fn crtc(&self) -> crtc::Handle {
        self.wanted.crtc
    }

    /// Whether it is this screen in this mode.
    pub(super) fn shows(&self, wanted: &Wanted) -> bool {
        let Wanted {
            connector,
            crtc,
            mode,
            scale,
            ..
        } = &self.wanted;
        (*connector, *crtc, *mode, *scale)
            == (wanted.connector, wanted.crtc, wanted.mode, wanted.scale)
    }

    /// When its next frame may begin.
    pub(super) fn rhythm(&self) -> &Rhythm {
        &self.rhythm
    }

    /// The card shows the last frame of `crtc`.
    pub(super) fn flipped(&mut self, crtc: crtc::Handle) {
        if crtc == self.wanted.crtc && self.rhythm.shown() {
            self.front ^= 1;
        }
    }

    /// Switches the screen off until its next frame, which may begin at once.
    pub(super) fn darken(&mut self) {
        let (card, crtc) = (&self.card, self.wanted.crtc);
        if let Err(error) = card.set_crtc(crtc, None, (0, 0), &[], None) {
            tracing::debug!("a screen could not be switched off: {error}");
        }
        self.lit = false;
        self.rhythm = Rhythm::of(self.wanted.mode.vrefresh());
    }

    /// Paints what changed, and asks the card to show it.
    pub(super) fn paint(
        &mut self,
        session: &mut Session,
        output: OutputId,
        now: Instant,
    ) -> Result<(), KmsError> {
        let mut target = Target {
            pixels: &mut self.painted,
            size: self.size,
            stride: usize::try_from(self.size.width).unwrap_or(0),
            age: u8::from(std::mem::replace(&mut self.has_frame, true)),
        };
        let changed = session.render(output, &mut target, now);
        for buffer in &mut self.buffers {
            changed.iter().for_each(|rect| buffer.stale.add(*rect));
        }
        // A frame that the card never told of is taken for shown.
        self.flipped(self.wanted.crtc);
        self.rhythm.begin(now);
        let back = if self.lit { self.front ^ 1 } else { self.front };
        let Some(buffer) = self.buffers.get_mut(back) else {
            return Ok(());
        };
        if buffer.stale.is_empty() {
            return Ok(());
        }
        buffer.bring_up_to_date(&self.painted, self.size);
        let framebuffer = buffer.framebuffer;
        if self.lit {
            self.card
                .page_flip(self.wanted.crtc, framebuffer, PageFlipFlags::EVENT, None)
                .map_err(|source| KmsError::Card {
                    act: "show a frame",
                    source,
                })?;
            self.rhythm.sent();
        } else {
            self.card
                .set_crtc(
                    self.wanted.crtc,
                    Some(framebuffer),
                    (0, 0),
                    &[self.wanted.connector],
                    Some(self.wanted.mode),
                )
                .map_err(|source| KmsError::Card {
                    act: "set the screen's mode",
                    source,
                })?;
            self.lit = true;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Dark, then the memory: what a zone drew is not left on a screen that is going. The kernel brings its console back by itself
        // when the card is closed.
        self.darken();
        for buffer in &self.buffers {
            buffer.free(&self.card);
        }
    }
}

impl ScanoutBuffer {
    fn new(card: &Card, size: Size) -> Result<Self, KmsError> {
        let failed = |act| move |source| KmsError::Card { act, source };
        let memory = card
            .create_dumb_buffer((size.width, size.height), DrmFourcc::Xrgb8888, 32)
            .map_err(failed("give memory for a frame"))?;
        let undo = |error| {
            let _ = card.destroy_dumb_buffer(memory);
            error
        };
        // The mapping borrows this description for good: 40 bytes that stay behind each time a screen is plugged in.
        let mapping = card
            .map_dumb_buffer(Box::leak(Box::new(memory)))
            .map_err(failed("map memory for a frame"))
            .map_err(undo)?;
        let framebuffer = card
            .add_framebuffer(&memory, 24, 32)
            .map_err(failed("show 32-bit pixels"))
            .map_err(undo)?;
        Ok(Self {
            framebuffer,
            memory,
            mapping,
            stale: Region::of(Rect::of_size(size)),
        })
    }

    /// Copies what is stale from the newest frame, row by row.
    fn bring_up_to_date(&mut self, painted: &[u32], size: Size) {
        let side = |pixels: u32| usize::try_from(pixels).unwrap_or(0);
        let place = |pixels: i32| usize::try_from(pixels).unwrap_or(0);
        let (width, pitch) = (side(size.width), side(self.memory.pitch()));
        for rect in self.stale.rects() {
            for row in place(rect.top())..place(rect.bottom()) {
                let (left, right) = (place(rect.left()), place(rect.right()));
                let from = painted.get(row * width + left..row * width + right);
                let into = self
                    .mapping
                    .get_mut(row * pitch + left * 4..row * pitch + right * 4);
                // DRM's XRGB8888 is little-endian everywhere, and so are the pixels of a Target on the hosts this runs on.
                if let (Some(from), Some(into)) = (from, into) {
                    into.copy_from_slice(bytemuck::cast_slice(from));
                }
            }
        }
        self.stale.clear();
    }

    /// Gives the card its memory back.
    fn free(&self, card: &Card) {
        let _ = card.destroy_framebuffer(self.framebuffer);
        let _ = card.destroy_dumb_buffer(self.memory);
    }
}
