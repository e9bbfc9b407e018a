//! The pages a person works with, as far as this crate knows them: where they are, what they hear of keys and pointer, and
//! the picture that somebody else painted of them.
//!
//! Text shaping and fonts stay outside: the sheet, its rim and the line with the person's phrase are painted here, and the
//! picture is only ever shown inside that sheet, of the size it was asked in. It steers nothing. Without a picture the
//! sheet is empty, and Escape leaves it all the same.

use accesskit::{Node, NodeId};

use crate::geometry::{Point, Rect, Scale, Size};

/// More input than this never waits for a page.
const MAXIMUM_INPUT: usize = 256;

/// The numbers of a page's own nodes begin here.
pub const PAGE_NODES: u64 = 1 << 63;

/// A page a person works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkPage {
    /// The zones, and what may be done with them.
    Zones,
    /// What may flow where, and why.
    Policy,
    /// What happened.
    Audit,
    /// Which zone has which device.
    Usb,
    /// How the trusted UI looks and reads keys.
    Settings,
}

impl WorkPage {
    /// All of them, in the order they are offered.
    pub const ALL: [Self; 5] = [
        Self::Zones,
        Self::Policy,
        Self::Audit,
        Self::Usb,
        Self::Settings,
    ];
}

/// The picture that is wanted of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkSpace {
    /// Of which page.
    pub page: WorkPage,
    /// A number that is another each time that a person comes to a page.
    pub visit: u64,
    /// Its size in physical pixels.
    pub size: Size,
    /// Physical pixels for a logical one.
    pub scale: Scale,
}

/// A key that types nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called as on a keyboard")]
pub enum NamedKey {
    Backspace,
    Delete,
    Down,
    End,
    Enter,
    Escape,
    Home,
    Left,
    PageDown,
    PageUp,
    Right,
    Tab,
    Up,
}

/// What a page hears. Places are pixels of its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageInput {
    /// The pointer is there, or elsewhere than on the picture.
    Pointer(Option<Point>),
    /// The left button went down or came up where the pointer is.
    Button {
        /// Down or up.
        pressed: bool,
    },
    /// The wheel turned, in 1/120 of a notch; up and right are positive.
    Wheel {
        /// Away from the person.
        vertical: i32,
        /// To the right.
        horizontal: i32,
    },
    /// A key went down.
    Key {
        /// Which.
        key: NamedKey,
        /// With Shift.
        shift: bool,
    },
    /// A key that types this went down.
    Text(char),
}

/// What is on a page's picture, for screen readers. Bounds are pixels of the picture; all numbers are from [`PAGE_NODES`] on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageTree {
    /// Every node.
    pub nodes: Vec<(NodeId, Node)>,
    /// Those that no other holds.
    pub top: Vec<NodeId>,
    /// The one that keys go to.
    pub focus: Option<NodeId>,
}

/// The picture of the page that is up, and what waits for it.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) visit: u64,
    input: Vec<PageInput>,
    pub(crate) size: Size,
    pub(crate) pixels: Vec<u32>,
    pub(crate) tree: PageTree,
    /// Something on the page is undone by Escape before the page is left.
    pub(crate) holds_escape: bool,
}

impl Work {
    /// Another page, or none, is up: what the last one left is gone.
    pub(crate) fn begin(&mut self) {
        *self = Self {
            visit: self.visit.wrapping_add(1),
            ..Self::default()
        };
    }

    pub(crate) fn hear(&mut self, input: PageInput) {
        if let (PageInput::Pointer(_), Some(PageInput::Pointer(_))) = (input, self.input.last()) {
            // Where the pointer was on its way is nobody's business.
            self.input.pop();
        }
        if self.input.len() < MAXIMUM_INPUT {
            self.input.push(input);
        }
    }

    pub(crate) fn take_input(&mut self) -> Vec<PageInput> {
        std::mem::take(&mut self.input)
    }

    /// The pixels, of this size; those of another size are gone.
    pub(crate) fn canvas(&mut self, size: Size) -> &mut [u32] {
        let count = u64::from(size.width) * u64::from(size.height);
        let count = usize::try_from(count).unwrap_or(0);
        if self.size != size || self.pixels.len() != count {
            self.size = size;
            self.pixels.clear();
            self.pixels.resize(count, 0xff00_0000);
        }
        &mut self.pixels
    }
}

/// The part of a page's sheet that its picture fills: all but the rim and the line with the phrase.
pub(crate) fn picture_area(sheet: Rect, rim: i32, foot: i32) -> Rect {
    sheet.inset(rim).inset_edges(0, 0, 0, foot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_page_is_bounded_and_motion_counts_once() {
        let mut work = Work::default();
        for x in 0..1000 {
            work.hear(PageInput::Pointer(Some(Point::new(x, 0))));
        }
        assert_eq!(
            work.take_input(),
            [PageInput::Pointer(Some(Point::new(999, 0)))]
        );
        for _ in 0..1000 {
            work.hear(PageInput::Text('a'));
        }
        assert_eq!(work.take_input().len(), MAXIMUM_INPUT);
    }
}
