//! Every phrase of the pages has room on every page, in every language and size of text.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../tests/desk/mod.rs"]
mod desk;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use compositor::{Language, Settings};
use egui::Shape;
use egui::epaint::ClippedShape;

use desk::Desk;

std::thread_local! {
    /// Our own phrases that were shortened or reach beyond their place, since the last look.
    static CUT: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    /// How many of our own phrases there were.
    static SEEN: Cell<usize> = const { Cell::new(0) };
}

/// Notes such phrases among what is to be painted. What zones, devices and policies are called may be shortened.
pub(crate) fn note_cut_words(shapes: &[ClippedShape]) {
    for ClippedShape {
        clip_rect, shape, ..
    } in shapes
    {
        let Shape::Text(text) = shape else { continue };
        let words = text.galley.text();
        let is_ours = include_str!("words.rs").contains(&format!("\"{words}\""));
        SEEN.set(SEEN.get() + usize::from(is_ours));
        let place = text.visual_bounding_rect();
        let sticks_out =
            place.right() > clip_rect.right() + 1.0 || place.left() < clip_rect.left() - 1.0;
        if is_ours && (text.galley.elided || sticks_out) {
            CUT.with_borrow_mut(|cut| cut.insert(words.to_owned()));
        }
    }
}

#[test]
fn no_phrase_is_cut_off_in_any_language_or_size() {
    let sizes = [(1280, 800, 1.0), (2560, 1600, 2.0), (1600, 1000, 1.25)];
    for language in Language::ALL {
        for large_text in [false, true] {
            for (width, height, scale) in sizes {
                let settings = Settings {
                    language,
                    large_text,
                    ..Settings::default()
                };
                let pages = match language {
                    Language::English => ["Zones", "Policy", "Log", "USB", "Settings"],
                    Language::German => ["Zonen", "Regeln", "Protokoll", "USB", "Einstellungen"],
                };
                let press = match language {
                    Language::English => ["Stop: corp", "Rules"],
                    Language::German => ["Beenden: corp", "Alle Regeln"],
                };
                for page in pages {
                    let mut desk = Desk::new(width, height, scale, settings);
                    desk.open(page);
                    for control in press {
                        if let Some(at) = desk.place_of(control) {
                            desk.click(at.x, at.y);
                        }
                    }
                    assert!(SEEN.take() > 20, "the phrases are not looked at");
                    let cut = CUT.take();
                    assert!(cut.is_empty(), "{page}, {settings:?}, {scale}: {cut:?}");
                }
            }
        }
    }
}
