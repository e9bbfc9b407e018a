//! What the compositor knows of a zone: who it is (from the policy, never from the zone), how it fares, and where its
//! pixels are.

use crate::colour::Colour;
use crate::geometry::Size;
use crate::icons::{Icon, Shape};
use crate::text::Label;

/// A zone, as the endpoint numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u32);

/// Which of a zone's surfaces in turn; the endpoint counts up with every new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// Who a zone is, in the four channels of its frame and in words. It comes from the signed policy; nothing a zone sends
/// changes a bit of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneIdentity {
    /// The endpoint's number for it.
    pub id: ZoneId,
    /// The full name, as in the policy.
    pub name: Label,
    /// At most eight characters or so, for narrow places.
    pub short_name: Label,
    /// First channel.
    pub colour: Colour,
    /// Third channel (the second is the name).
    pub shape: Shape,
    /// Fourth channel.
    pub icon: Icon,
    /// How much the policy trusts it; higher is more.
    pub level: u8,
    /// Why the jail is weaker than it could be on this host, where it is.
    pub weakened: Option<Label>,
    /// What the policy says of it anew that holds only from its next start on, where there is something.
    pub outdated: Option<Label>,
}

impl ZoneIdentity {
    /// An identity from a policy's words. The texts are bounded and stripped of what cannot be shown.
    pub fn new(
        id: ZoneId,
        name: &str,
        short_name: &str,
        colour: Colour,
        shape: Shape,
        icon: Icon,
        level: u8,
    ) -> Self {
        Self {
            id,
            name: Label::new(name, 64),
            short_name: Label::new(short_name, 12),
            colour,
            shape,
            icon,
            level,
            weakened: None,
            outdated: None,
        }
    }

    /// Whether it runs otherwise than it should.
    pub(crate) fn is_marked(&self) -> bool {
        self.weakened.is_some() || self.outdated.is_some()
    }
}

/// How a zone fares, as the panel and its window show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneState {
    /// Not started.
    Off,
    /// On its way up; a line on what it is doing.
    Starting(Label),
    /// It runs; its pixels are shown once it has drawn some.
    Running,
    /// Asked to shut down, not off yet.
    Stopping,
    /// It crashed, panicked or was killed: no pixel of it is shown any more, only why.
    Dark(Label),
}

impl ZoneState {
    /// On its way up.
    pub fn starting(doing: &str) -> Self {
        ZoneState::Starting(Label::new(doing, 160))
    }

    /// Crashed, panicked or killed.
    pub fn dark(why: &str) -> Self {
        ZoneState::Dark(Label::new(why, 160))
    }

    /// Whether the zone may be sent input and its pixels may be shown.
    pub fn is_live(&self) -> bool {
        matches!(
            self,
            ZoneState::Starting(_) | ZoneState::Running | ZoneState::Stopping
        )
    }
}

/// A zone's surface: pixels the guest may change at any moment, even in the middle of a row.
///
/// An implementation copies from shared memory (never forms a reference to it) and answers any arguments without
/// panicking; pixels may tear, but nothing read here steers control flow.
pub trait ZonePixels {
    /// Width and height; constant for the life of the surface.
    fn size(&self) -> Size;

    /// Copies `into.len()` pixels of row `y` from column `x` on, each once. Pixels are XRGB8888; the unused byte may be
    /// anything. What lies outside the surface is left as it is.
    fn copy_row(&self, y: u32, x: u32, into: &mut [u32]);
}

/// A surface in ordinary memory: for tests, benchmarks and still pictures.
#[derive(Clone, Debug)]
pub struct StillPixels {
    size: Size,
    pixels: Vec<u32>,
}

impl StillPixels {
    /// A surface whose pixels are given by place.
    pub fn from_fn(size: Size, mut pixel: impl FnMut(u32, u32) -> u32) -> Self {
        let pixels = (0..size.height)
            .flat_map(|y| (0..size.width).map(move |x| (x, y)))
            .map(|(x, y)| pixel(x, y));
        Self {
            size,
            pixels: pixels.collect(),
        }
    }
}

impl ZonePixels for StillPixels {
    fn size(&self) -> Size {
        self.size
    }

    fn copy_row(&self, y: u32, x: u32, into: &mut [u32]) {
        if y >= self.size.height || x >= self.size.width {
            return;
        }
        let width = usize::try_from(self.size.width).unwrap_or(0);
        let start = usize::try_from(y).unwrap_or(0) * width + usize::try_from(x).unwrap_or(0);
        let end = (usize::try_from(y).unwrap_or(0) + 1) * width;
        if let Some(row) = self.pixels.get(start..end) {
            let count = into.len().min(row.len());
            if let (Some(into), Some(row)) = (into.get_mut(..count), row.get(..count)) {
                into.copy_from_slice(row);
            }
        }
    }
}
