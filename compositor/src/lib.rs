//! Scene, frames, damage, painters, input routing and trusted UI.
//!
//! The core that decides what every pixel shows and who gets every key. It is pure: no window system, no socket, no
//! file, no clock, no unsafe code. The endpoint feeds it what zones and people do and presents what it paints:
//!
//! ```
//! use compositor::{Colour, Icon, InputEvent, OutputId, Point, Scale, Scene, Settings, Shape, Size, Target};
//! use compositor::{ZoneId, ZoneIdentity, ZoneState};
//! use std::time::Duration;
//!
//! let size = Size::new(800, 600);
//! let mut scene = Scene::new(size, Scale::ONE, Settings::default());
//! let blue: Colour = "blue".parse().unwrap();
//! scene.add_zone(ZoneIdentity::new(ZoneId(1), "corp", "corp", blue, Shape::Hexagon, Icon::Briefcase, 2), None).unwrap();
//! scene.set_state(ZoneId(1), ZoneState::starting("booting"));
//! let actions = scene.handle(InputEvent::PointerMoved(Point::new(100, 100)), Duration::ZERO);
//! assert!(actions.iter().all(|action| !matches!(action, compositor::Action::FocusChanged(_))));
//!
//! let mut pixels = vec![0; 800 * 600];
//! let changed = scene.render(OutputId(0), &mut Target { pixels: &mut pixels, size, stride: 800, age: 0 });
//! assert_eq!(changed.len(), 1);
//! ```
//!
//! Trust: identities and settings come from the signed policy and the person; everything that reaches [`Scene::damage`],
//! [`Scene::set_title`], [`Scene::set_zone_cursor`] and the pixels themselves comes from a zone and is hostile. Titles
//! become [`Label`]s, rectangles are clipped, pixels are copied row by row and never steer anything.
#![forbid(unsafe_code)]
// What zones and people do can reach nearly all of this: nothing here may panic. (The fuzzing oracle is there to panic.)
#![cfg_attr(
    not(any(test, feature = "fuzzing")),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod atlas;
pub mod blit;
mod canvas;
mod chords;
mod colour;
mod cursor;
pub mod draw_list;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod geometry;
#[cfg(feature = "gpu")]
pub mod gpu;
mod icons;
mod input;
pub mod keys;
mod layout;
mod panel;
mod scene;
mod text;
mod theme;
mod trusted;
mod zone;

pub use accesskit;

pub use chords::{Chord, Chords, Direction, Modifiers, WorkspaceStep};
pub use colour::{Colour, UnknownColour, ZONE_PALETTE};
pub use cursor::{BadCursor, CursorImage, MAXIMUM_CURSOR_SIDE, ZoneCursor};
pub use frame::{Edges, Part};
pub use geometry::{LIMIT, MAXIMUM_SIDE, Point, Rect, Region, Scale, Size};
pub use icons::{Icon, Mark, Shape, UnknownName, badge_image, mark_image};
pub use input::{Action, InputEvent, KeyMovement, Passphrase, ZoneCommand, ZoneInput};
pub use keys::HostKey;
pub use layout::KeyboardLayout;
pub use scene::{
    Arrangement, FocusBy, MAXIMUM_ZONES, OutputId, Owner, Placement, RenderStatistics,
    STATUS_LENGTH, Scene, SceneError, Settings, Target, WORKSPACES,
};
pub use text::Label;
pub use theme::{Palette, Theme};
pub use trusted::views::{Health, PanelSigns};
pub use trusted::work::{NamedKey, PAGE_NODES, PageInput, PageTree, WorkPage, WorkSpace};
pub use trusted::{
    Answer, Grant, Language, LockReason, PromptId, PromptRefused, PromptRequest, Refusal,
};
pub use zone::{Generation, StillPixels, ZoneId, ZoneIdentity, ZonePixels, ZoneState};
