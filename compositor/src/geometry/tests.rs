//! Geometry at the ends of its integers, and regions against a plain bitmap.

use super::*;
use proptest::prelude::*;

#[test]
fn extreme_rectangles_are_clamped_and_never_inverted() {
    for x in [i32::MIN, -1, 0, 1, i32::MAX] {
        for side in [0, 1, u32::MAX] {
            let rect = Rect::new(x, x, side, side);
            assert!(rect.left() <= rect.right() && rect.top() <= rect.bottom());
            assert!(rect.left() >= -LIMIT && rect.right() <= LIMIT);
            assert!(rect.inset(i32::MAX).is_empty());
            assert!(rect.moved_by(i32::MIN, i32::MAX).left() >= -LIMIT);
        }
    }
    assert!(Rect::from_edges(5, 5, 1, 1).is_empty());
}

#[test]
fn odd_scales_become_usable_ones() {
    for (factor, steps) in [
        (0.0, 120),
        (-3.0, 120),
        (f64::NAN, 120),
        (1e9, 480),
        (f64::INFINITY, 480),
        (1.0, 120),
        (1.25, 150),
        (1.5, 180),
        (2.0, 240),
    ] {
        assert_eq!(
            Scale::from_factor(factor).in_120ths(),
            steps,
            "factor {factor}"
        );
    }
    assert_eq!(Scale::from_120ths(150).pixels(30), 38);
    assert_eq!(Scale::from_120ths(120).pixels(0), 0);
}

fn rects() -> impl Strategy<Value = Vec<Rect>> {
    proptest::collection::vec((-4..36i32, -4..36i32, 0..20u32, 0..20u32), 0..90).prop_map(|list| {
        list.into_iter()
            .map(|(x, y, w, h)| Rect::new(x, y, w, h))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_region_covers_what_was_added_and_never_overlaps(rects in rects()) {
        let mut region = Region::default();
        for rect in &rects {
            region.add(*rect);
            prop_assert!(region.rects().len() <= Region::MAXIMUM_RECTS);
        }
        let bounds = rects.iter().fold(Rect::EMPTY, |sum, rect| sum.bounding(rect));
        for y in -5..60 {
            for x in -5..60 {
                let at = Point::new(x, y);
                let owners = region.rects().iter().filter(|rect| rect.contains(at)).count();
                prop_assert!(owners <= 1);
                if rects.iter().any(|rect| rect.contains(at)) {
                    prop_assert_eq!(owners, 1);
                }
                prop_assert!(owners == 0 || bounds.contains(at));
            }
        }
    }

    #[test]
    fn subtraction_is_exact(rects in rects(), cut in (-4..36i32, -4..36i32, 0..20u32, 0..20u32)) {
        let cut = Rect::new(cut.0, cut.1, cut.2, cut.3);
        let mut region = Region::default();
        for rect in &rects { region.add(*rect); }
        let before = region.clone();
        region.subtract(&cut);
        for y in -5..60 {
            for x in -5..60 {
                let at = Point::new(x, y);
                prop_assert_eq!(region.contains(at), before.contains(at) && !cut.contains(at));
            }
        }
    }
}
