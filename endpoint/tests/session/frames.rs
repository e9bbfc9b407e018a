//! How many frames lie between what happens and what is shown: counted in frames, on a clock of the test's own, never in time.
//!
//! Damage counts from when the session took the zone's message, a chord from when the session was given its last key.

use std::time::{Duration, Instant};

use compositor::{OutputId, Owner, Point, Scale, Size, Target};
use endpoint::DESKTOP;
use endpoint::present::rhythm::Rhythm;

use crate::desk::{Desk, LEFT_SUPER, Setting};
use crate::zone::{INK, SQUARE, colour_of};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "frames::damage_is_in_the_very_next_frame_and_wakes_once",
        damage_is_in_the_very_next_frame_and_wakes_once,
    ),
    (
        "frames::damage_of_several_zones_shares_one_frame",
        damage_of_several_zones_shares_one_frame,
    ),
    (
        "frames::the_part_of_a_window_that_is_seen_is_in_the_next_frame",
        the_part_of_a_window_that_is_seen_is_in_the_next_frame,
    ),
    (
        "frames::a_frame_on_its_way_delays_damage_by_no_further_one",
        a_frame_on_its_way_delays_damage_by_no_further_one,
    ),
    (
        "frames::screens_of_different_pace_each_show_it_next",
        screens_of_different_pace_each_show_it_next,
    ),
    (
        "frames::the_attention_key_shows_the_trusted_screen_in_the_next_frame",
        the_attention_key_shows_the_trusted_screen_in_the_next_frame,
    ),
];

const ATTENTION: [u16; 3] = [29, 56, 1];
const LEFT: u16 = 105;
const UP: u16 = 103;
const KEY_A: u16 = 30;
/// The size of a second screen.
const SECOND: Size = Size {
    width: 640,
    height: 480,
};

/// A screen with two buffers whose card shows a finished frame at its next refresh.
struct Screen {
    output: OutputId,
    size: Size,
    rhythm: Rhythm,
    buffers: [Vec<u32>; 2],
    /// Frames painted so far; the newest is in the buffer of its number's parity.
    painted: usize,
    /// The number of the frame that is seen.
    seen: usize,
}

impl Screen {
    fn new(desk: &mut Desk, output: OutputId, size: Size, refresh_rate: u32) -> Self {
        desk.session.repaint();
        let pixels = usize::try_from(size.width * size.height).unwrap();
        Self {
            output,
            size,
            rhythm: Rhythm::of(refresh_rate),
            buffers: [vec![0; pixels], vec![0; pixels]],
            painted: 0,
            seen: 0,
        }
    }

    /// One for the whole desktop.
    fn of(desk: &mut Desk) -> Self {
        let size = desk.session.size();
        Self::new(desk, DESKTOP, size, 60)
    }

    /// Paints if something changed and the last frame is not on its way; true if it did.
    fn paint(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let changed = desk.session.scene().needs_render(self.output);
        if !changed || !self.rhythm.may_begin(now) {
            return false;
        }
        self.painted += 1;
        let mut target = Target {
            pixels: &mut self.buffers[self.painted % 2],
            size: self.size,
            stride: usize::try_from(self.size.width).unwrap(),
            age: if self.painted > 2 { 2 } else { 0 },
        };
        desk.session.render(self.output, &mut target, now);
        self.rhythm.begin(now);
        self.rhythm.sent();
        true
    }

    /// The screen's refresh: a frame that was on its way is seen now.
    fn refresh(&mut self) {
        if self.rhythm.shown() {
            self.seen = self.painted;
        }
    }

    /// A pixel of the screen as a person sees it.
    fn pixel(&self, x: i32, y: i32) -> u32 {
        let width = usize::try_from(self.size.width).unwrap();
        let at = usize::try_from(y).unwrap() * width + usize::try_from(x).unwrap();
        self.buffers[self.seen % 2][at] & 0x00ff_ffff
    }

    /// Paints and refreshes until nothing is left to show.
    fn settle(&mut self, desk: &mut Desk, clock: &mut Instant) {
        while desk.session.scene().needs_render(self.output) {
            *clock += Duration::from_millis(17);
            self.paint(desk, *clock);
            self.refresh();
        }
    }
}

/// Both zones ready, and no message of theirs under way.
fn quiet_desk(setting: &Setting<'_>) -> Desk {
    let mut desk = Desk::with(setting);
    desk.until_ready("open");
    desk.until_ready("corp");
    desk
}

/// How often a zone says that this key went up, which it does after its frame for the key's going down.
fn ups(desk: &Desk, zone: &str) -> usize {
    desk.console(zone).matches("key 30 up").count()
}

/// Waits, without painting, until the session has taken all that `zone` sent in answer to so many keys.
fn take_answers(desk: &mut Desk, zone: &str, count: usize, clock: Instant) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while ups(desk, zone) < count {
        desk.wait(Instant::now() + Duration::from_millis(50));
        desk.session.dispatch(clock);
        assert!(Instant::now() < give_up, "{}", desk.describe());
    }
}

/// Presses a key in the zone that has the keyboard, and takes the damage with which it answers.
fn damage(desk: &mut Desk, zone: &str, clock: Instant) {
    let before = ups(desk, zone);
    desk.keys(&[KEY_A]);
    take_answers(desk, zone, before + 1, clock);
}

/// The corner of the square that a zone paints at its `number`th key, on the desktop.
fn square(desk: &Desk, zone: &str, number: i32) -> Point {
    let id = desk.session.zone(zone).unwrap().id();
    let client = desk.session.scene().client_rect(id).unwrap();
    let side = i32::try_from(SQUARE).unwrap();
    Point::new(client.left() + number * side, client.top())
}

fn damage_is_in_the_very_next_frame_and_wakes_once() {
    let mut desk = quiet_desk(&Setting::default());
    desk.focus("corp");
    desk.until_console("corp", "focus true");
    let mut clock = Instant::now();
    let mut screen = Screen::of(&mut desk);
    // What else the session may wait for, the log's sync, is over.
    while let Some(other) = desk.session.next_step() {
        clock = clock.max(other);
        desk.session.dispatch(clock);
    }
    for number in 0..50 {
        // On a desktop that was still, and on one whose last frame is just over.
        if number % 2 == 0 {
            clock += Duration::from_millis(100);
        }
        screen.settle(&mut desk, &mut clock);
        let (seen, frames) = (screen.seen, desk.session.scene().statistics().frames);
        let at = square(&desk, "corp", number);
        assert_eq!(screen.pixel(at.x, at.y), colour_of("corp"));

        damage(&mut desk, "corp", clock);
        // What the session waits for now is this frame and nothing else: one wake-up, then none.
        let due = desk.session.next_frame().expect("a frame is due");
        assert_eq!(desk.session.next_deadline(), Some(due));
        clock = clock.max(due);
        assert!(desk.session.frame_due(clock));
        assert!(screen.paint(&mut desk, clock));
        screen.refresh();
        assert_eq!(screen.seen, seen + 1);
        assert_eq!(screen.pixel(at.x, at.y), INK, "square {number}");
        assert_eq!(desk.session.scene().statistics().frames, frames + 1);
        assert_eq!(desk.session.next_deadline(), None, "it would wake again");
    }
}

fn damage_of_several_zones_shares_one_frame() {
    let mut desk = quiet_desk(&Setting::default());
    let mut clock = Instant::now();
    let mut screen = Screen::of(&mut desk);
    for number in 0..10 {
        let before = ["open", "corp"].map(|zone| ups(&desk, zone));
        for zone in ["open", "corp"] {
            desk.focus(zone);
            desk.keys(&[KEY_A]);
        }
        // The focus has moved on the screen before the answers come.
        screen.settle(&mut desk, &mut clock);
        for (zone, before) in ["open", "corp"].into_iter().zip(before) {
            take_answers(&mut desk, zone, before + 1, clock);
        }
        clock += Duration::from_millis(17);
        assert!(screen.paint(&mut desk, clock));
        screen.refresh();
        for zone in ["open", "corp"] {
            let at = square(&desk, zone, number);
            assert_eq!(screen.pixel(at.x, at.y), INK, "{zone} {number}");
        }
        assert_eq!(desk.session.next_frame(), None);
    }
}

fn the_part_of_a_window_that_is_seen_is_in_the_next_frame() {
    let mut desk = quiet_desk(&Setting::default());
    let mut clock = Instant::now();
    // The one becomes small in a corner of the other, over it.
    desk.focus("corp");
    desk.keys(&[LEFT_SUPER, 33]);
    desk.until("a large surface", |session| {
        session
            .zone("corp")
            .unwrap()
            .console()
            .tail(200_000)
            .matches("surface ")
            .count()
            > 1
    });
    desk.focus("open");
    desk.keys(&[LEFT_SUPER, LEFT]);
    desk.keys(&[LEFT_SUPER, UP]);
    let corp = desk.session.zone("corp").unwrap().id();
    let mut screen = Screen::of(&mut desk);
    screen.settle(&mut desk, &mut clock);

    // Squares along its whole upper edge, asked for while it is in front, answered when it is not.
    let client = desk.session.scene().client_rect(corp).unwrap();
    let count = usize::try_from(client.width() / SQUARE - 1).unwrap();
    let before = ups(&desk, "corp");
    desk.focus("corp");
    for _ in 0..count {
        desk.keys(&[KEY_A]);
    }
    desk.focus("open");
    screen.settle(&mut desk, &mut clock);
    let painted = screen.painted;
    take_answers(&mut desk, "corp", before + count, clock);
    clock += Duration::from_millis(17);
    assert!(screen.paint(&mut desk, clock));
    screen.refresh();
    assert_eq!(screen.seen, painted + 1);
    let (mut shown, mut hidden) = (0, 0);
    for number in 0..i32::try_from(count).unwrap() {
        let at = square(&desk, "corp", number);
        let ink = screen.pixel(at.x, at.y) == INK;
        match desk.session.scene().owner_at(at) == Owner::Client(corp) {
            true => {
                assert!(ink, "square {number} is not shown");
                shown += 1;
            }
            false => hidden += 1,
        }
    }
    assert!(shown > 10 && hidden > 10, "{shown} shown, {hidden} hidden");
    assert_eq!(desk.session.next_frame(), None);
}

fn a_frame_on_its_way_delays_damage_by_no_further_one() {
    let mut desk = quiet_desk(&Setting::default());
    desk.focus("corp");
    desk.until_console("corp", "focus true");
    let mut clock = Instant::now();
    let mut screen = Screen::of(&mut desk);
    screen.settle(&mut desk, &mut clock);
    for pair in 0..20 {
        clock += Duration::from_millis(17);
        damage(&mut desk, "corp", clock);
        assert!(screen.paint(&mut desk, clock));
        let on_its_way = screen.painted;
        // Two more while that one is under way: they do not disturb it, and share the next one.
        damage(&mut desk, "corp", clock);
        damage(&mut desk, "corp", clock);
        clock += Duration::from_millis(17);
        assert!(!screen.paint(&mut desk, clock), "one frame at a time");
        screen.refresh();
        assert_eq!(screen.seen, on_its_way);
        let [first, second, third] = [0, 1, 2].map(|more| square(&desk, "corp", pair * 3 + more));
        assert_eq!(screen.pixel(first.x, first.y), INK);
        assert_ne!(screen.pixel(second.x, second.y), INK);
        assert!(screen.paint(&mut desk, clock), "the card waits for it");
        screen.refresh();
        assert_eq!(screen.seen, on_its_way + 1);
        for at in [first, second, third] {
            assert_eq!(screen.pixel(at.x, at.y), INK);
        }
        assert!(!desk.session.scene().needs_render(DESKTOP));
    }
}

fn screens_of_different_pace_each_show_it_next() {
    let mut desk = quiet_desk(&Setting::default());
    let mut clock = Instant::now();
    let sizes = [desk.session.size(), SECOND];
    desk.session
        .set_screens(&sizes.map(|size| (size, Scale::ONE)), clock);
    let mut screens = [
        Screen::new(&mut desk, DESKTOP, sizes[0], 144),
        Screen::new(&mut desk, OutputId(1), sizes[1], 50),
    ];
    for screen in &mut screens {
        screen.settle(&mut desk, &mut clock);
    }
    // A deed that changes both: each has a panel that names the zone with the keyboard.
    for zone in ["corp", "open", "corp"] {
        clock += Duration::from_millis(25);
        desk.focus(zone);
        let before = screens.each_ref().map(|screen| screen.painted);
        let panels = screens
            .each_ref()
            .map(|screen| screen.buffers[screen.seen % 2].clone());
        // The first screen is refreshed twice while the second's frame is still on its way.
        assert!(screens[0].paint(&mut desk, clock) && screens[1].paint(&mut desk, clock));
        screens[0].refresh();
        damage(&mut desk, zone, clock);
        clock += Duration::from_millis(7);
        assert!(screens[0].paint(&mut desk, clock));
        screens[0].refresh();
        screens[1].refresh();
        assert_eq!(screens[0].seen, before[0] + 2);
        assert_eq!(screens[1].seen, before[1] + 1);
        for (screen, panel) in screens.iter().zip(panels) {
            assert!(screen.buffers[screen.seen % 2] != panel, "{zone}");
        }
    }
}

fn the_attention_key_shows_the_trusted_screen_in_the_next_frame() {
    // One zone floods meanwhile; nothing it sends holds the page up.
    let setting = Setting {
        behaviours: &[("open", "floods")],
        zone_keys: "budget.messages = \"400/s\"",
        ..Setting::default()
    };
    let mut desk = quiet_desk(&setting);
    let mut clock = Instant::now();
    let mut screen = Screen::of(&mut desk);
    let size = desk.session.size();
    let middle = Point::new(
        i32::try_from(size.width / 2).unwrap(),
        i32::try_from(size.height / 2).unwrap(),
    );
    for in_flight in [false, true, false, true] {
        // A zone has the keyboard, and a key of it is held.
        desk.focus("corp");
        screen.settle(&mut desk, &mut clock);
        clock += Duration::from_millis(17);
        if in_flight {
            damage(&mut desk, "corp", clock);
            assert!(screen.paint(&mut desk, clock));
        }
        desk.session.dispatch(clock);
        let without = screen.painted;
        desk.keys(&ATTENTION);
        assert_eq!(desk.session.scene().owner_at(middle), Owner::Trusted);
        if in_flight {
            assert!(!screen.paint(&mut desk, clock));
            screen.refresh();
            clock += Duration::from_millis(17);
        }
        assert!(screen.paint(&mut desk, clock));
        screen.refresh();
        assert_eq!(screen.seen, without + 1, "the page is in the next frame");
        // All of it: what is seen is what a frame painted from nothing shows.
        desk.canvas.paint(&mut desk.session, false, clock);
        let seen = &screen.buffers[screen.seen % 2];
        let differ = |(ours, whole): (&u32, &u32)| ours & 0x00ff_ffff != whole & 0x00ff_ffff;
        assert_eq!(seen.iter().zip(desk.canvas.pixels()).position(differ), None);
        desk.keys(&[1]);
        assert_ne!(desk.session.scene().owner_at(middle), Owner::Trusted);
        screen = Screen::of(&mut desk);
    }
}
