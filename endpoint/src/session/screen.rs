//! Between the compositor's types and the link's: pixels, sizes, input, identities.

use std::sync::Arc;

use bulkhead_policy as policy;
use compositor::{Colour, Icon, Shape, ZoneCursor, ZoneId, ZoneIdentity, ZoneInput, ZonePixels};
use zone_link::{CursorImage, Surface, ToZone};

/// A zone's surface as the compositor reads it: row by row, never as a slice.
pub(super) struct SharedPixels(pub(super) Arc<Surface>);

impl ZonePixels for SharedPixels {
    fn size(&self) -> compositor::Size {
        let size = self.0.size();
        compositor::Size {
            width: size.width(),
            height: size.height(),
        }
    }

    fn copy_row(&self, y: u32, x: u32, into: &mut [u32]) {
        // The compositor may ask beyond the edge; what lies outside is left as it is.
        let room = self.0.size().width().saturating_sub(x);
        let inside = into.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if let Some(row) = into.get_mut(..inside) {
            let _ = self.0.copy_row(y, x, row);
        }
    }
}

/// The size for a zone's surface, as near to what the compositor wants as the link allows.
pub(super) fn surface_size(size: compositor::Size) -> zone_link::Size {
    let side = |pixels: u32| pixels.clamp(1, zone_link::limits::SURFACE_SIDE);
    zone_link::Size::new(side(size.width), side(size.height)).unwrap_or(zone_link::Size::SMALLEST)
}

pub(super) fn rectangle(rect: &zone_link::Rect) -> compositor::Rect {
    let near = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    compositor::Rect::new(near(rect.x), near(rect.y), rect.width, rect.height)
}

pub(super) fn cursor(image: &CursorImage) -> Option<ZoneCursor> {
    let (hot_x, hot_y) = image.hot_spot();
    let (width, height) = (image.width().into(), image.height().into());
    compositor::CursorImage::new(width, height, hot_x.into(), hot_y.into(), image.pixels())
        .ok()
        .map(ZoneCursor::Image)
}

/// What the focused zone gets to hear.
pub(super) fn input(input: ZoneInput) -> ToZone {
    match input {
        ZoneInput::Focus(focused) => ToZone::Focus(focused),
        ZoneInput::Key { code, pressed } => ToZone::Key { code, pressed },
        ZoneInput::Motion { x, y } => ToZone::PointerMotion { x, y },
        ZoneInput::Button { button, pressed } => ToZone::PointerButton {
            code: button,
            pressed,
        },
        ZoneInput::Wheel {
            vertical,
            horizontal,
        } => ToZone::Wheel {
            vertical,
            horizontal,
        },
    }
}

/// A zone's marking. None where the policy's word for a shape or an icon is not one that this build can draw.
pub(super) fn identity(id: ZoneId, zone: &policy::Zone) -> Option<ZoneIdentity> {
    let colour = Colour::rgb(zone.colour.red, zone.colour.green, zone.colour.blue);
    let shape: Shape = zone.shape.as_str().parse().ok()?;
    let icon: Icon = zone.icon.as_str().parse().ok()?;
    Some(ZoneIdentity::new(
        id,
        &zone.display_name,
        &zone.short_name,
        colour,
        shape,
        icon,
        zone.level,
    ))
}
