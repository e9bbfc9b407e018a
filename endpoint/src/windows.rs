//! Where the windows of zones are: kept in the state directory by their zones' names, for the next time.

use std::collections::BTreeMap;

use compositor::{Arrangement, Placement, Rect};
use serde::{Deserialize, Serialize};

/// Where each zone's window was last.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Windows(BTreeMap<String, Kept>);

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    left: i32,
    top: i32,
    width: u32,
    height: u32,
    #[serde(with = "Word")]
    arrangement: Arrangement,
    minimised: bool,
    workspace: usize,
}

/// An arrangement as a word.
#[derive(Deserialize, Serialize)]
#[serde(remote = "Arrangement", rename_all = "kebab-case")]
enum Word {
    Floating,
    Maximised,
    Left,
    Right,
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

impl Windows {
    /// Notes where a zone's window is.
    pub fn note(&mut self, zone: &str, placement: Placement) {
        let Placement {
            floating,
            arrangement,
            minimised,
            workspace,
        } = placement;
        let kept = Kept {
            left: floating.left(),
            top: floating.top(),
            width: floating.width(),
            height: floating.height(),
            arrangement,
            minimised,
            workspace,
        };
        self.0.insert(zone.to_owned(), kept);
    }

    /// Where a zone's window was. The compositor sees to it that it can be reached.
    #[must_use]
    pub fn placement(&self, zone: &str) -> Option<Placement> {
        self.0.get(zone).map(|kept| Placement {
            floating: Rect::new(kept.left, kept.top, kept.width, kept.height),
            arrangement: kept.arrangement,
            minimised: kept.minimised,
            workspace: kept.workspace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_is_read_back_as_it_was_and_nonsense_does_no_harm() {
        let mut windows = Windows::default();
        let placement = Placement {
            floating: Rect::new(-40, 60, 500, 300),
            arrangement: Arrangement::BottomRight,
            minimised: true,
            workspace: 2,
        };
        windows.note("corp", placement);
        let text = serde_json::to_string(&windows).unwrap();
        let read: Windows = serde_json::from_str(&text).unwrap();
        assert_eq!(read.placement("corp"), Some(placement));
        assert_eq!(read.placement("open"), None);
        for extreme in [i32::MIN, i32::MAX] {
            let text = format!(
                "{{\"corp\":{{\"left\":{extreme},\"top\":{extreme},\"width\":4294967295,\"height\":0,\"arrangement\":\"floating\",\"minimised\":false,\"workspace\":99}}}}"
            );
            let read: Windows = serde_json::from_str(&text).unwrap();
            let size = compositor::Size::new(800, 600);
            let mut scene = compositor::Scene::new(
                size,
                compositor::Scale::ONE,
                compositor::Settings::default(),
            );
            let identity = compositor::ZoneIdentity::new(
                compositor::ZoneId(0),
                "corp",
                "corp",
                compositor::Colour::BLACK,
                compositor::Shape::Star,
                compositor::Icon::Key,
                0,
            );
            scene.add_zone(identity, read.placement("corp")).unwrap();
            let window = scene.window_rect(compositor::ZoneId(0)).unwrap();
            let screen = Rect::of_size(size);
            assert!(!window.intersection(&screen).is_empty(), "{window:?}");
        }
    }
}
