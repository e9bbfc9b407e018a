//! Work for zones and pointer while keys are measured: what a person has on the desktop who waits for a long build and moves the mouse.

use std::time::{Duration, Instant};

use compositor::{Point, Rect};

/// What is typed into a stock desktop's terminal to have it scroll, twenty lines a second, until the zone ends.
pub const SCROLLS: &str =
    r#"while :;do echo "$RANDOM $RANDOM one more line of a build that scrolls by";sleep 0.05;done"#;

/// What is typed into the terminal of the zone that is measured. Its first row changes its colour with each key; below, the same
/// lines scroll once [`START`] was pressed.
pub const ANSWERS: &str = r#"printf '\e[?25l\e[2J\e[3r\e[99H';s(){ while :;do echo "$RANDOM $RANDOM one more line of a build that scrolls by";sleep 0.05;done;};n=0;while read -rsn1 k;do n=$((4-n));printf '\e7\e[H\e[4%dm%60s\e[0m\e8' $n;case $k in s)s&;;esac;done"#;

/// The key (S) that starts the scrolling.
pub(super) const START: u16 = 31;
/// The key (X) that is measured.
pub(super) const KEY: u16 = 45;

/// How often the pointer moves: as a mouse's driver tells a desktop of 60 frames a second.
const POINTER: Duration = Duration::from_micros(16_667);
/// The shortest pause between a key's pixels and the next key, and how much longer it may be: a person does not type to the clock of
/// what is on the screen.
const PAUSE: Duration = Duration::from_millis(120);
const SPREAD: u64 = 97;

/// A pointer that goes round, and keys that do not wait for silence.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// The pixel of the zone's surface that its keys change, once that was found out.
    pub(super) mark: Option<Point>,
    pub(super) scrolls: bool,
    moved: Option<Instant>,
    turns: u32,
}

impl Load {
    /// Where the pointer goes now within a zone's pixels, if it is due.
    pub(super) fn pointer(&mut self, within: Rect, now: Instant) -> Option<Point> {
        if now < self.pointer_due(now) {
            return None;
        }
        // Late is late: no two moves follow at once.
        self.moved = Some(now);
        self.turns = self.turns.wrapping_add(1);
        // A lap in two seconds, along a square in the middle.
        let side = within.width().min(within.height()) / 2;
        let lap = self.turns % 120;
        let along = side * (lap % 30) / 30;
        let (x, y) = match lap / 30 {
            0 => (along, 0),
            1 => (side, along),
            2 => (side - along, side),
            _ => (0, side - along),
        };
        let offset = |pixels: u32, length: u32| {
            let at = pixels + (length - side) / 2;
            i32::try_from(at).unwrap_or(0)
        };
        Some(Point::new(
            within.left() + offset(x, within.width()),
            within.top() + offset(y, within.height()),
        ))
    }

    pub(super) fn pointer_due(&self, now: Instant) -> Instant {
        self.moved.map_or(now, |moved| moved + POINTER)
    }

    /// How long after a key's pixels the next key comes, the `number`th.
    pub(super) fn pause(number: usize) -> Duration {
        let number = u64::try_from(number).unwrap_or(0);
        // Steps of 37 meet every remainder of a prime before they come again.
        PAUSE + Duration::from_millis(number.wrapping_mul(37) % SPREAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_moves_sixty_times_a_second_within_the_zone() {
        let within = Rect::new(100, 50, 300, 200);
        let start = Instant::now();
        let mut load = Load::default();
        let mut places = std::collections::BTreeSet::new();
        let mut moves = 0;
        for millisecond in 0..4000 {
            let now = start + Duration::from_millis(millisecond);
            if let Some(at) = load.pointer(within, now) {
                assert!(within.contains(at), "{at:?}");
                places.insert((at.x, at.y));
                moves += 1;
            }
        }
        assert!((200..=240).contains(&moves), "{moves} in four seconds");
        assert!(places.len() > 100, "{} places", places.len());
    }

    #[test]
    fn pauses_differ_and_are_bounded() {
        let pauses: std::collections::BTreeSet<_> = (0..97).map(Load::pause).collect();
        assert_eq!(pauses.len(), 97);
        assert!(
            pauses
                .iter()
                .all(|pause| (120..217).contains(&pause.as_millis()))
        );
    }

    #[test]
    fn a_keyboard_can_type_what_zones_are_told_to_do() {
        for program in [SCROLLS, ANSWERS] {
            let typed = |character| super::super::keyboard::stroke(character).is_some();
            assert!(program.chars().all(typed));
        }
    }
}
