//! The painter on the graphics card beside the one on the processor: every frame the same bits, and no upload but of what was drawn.
//!
//! Two scenes live through the same events; one is painted by each. The card is whatever Vulkan finds: in CI Mesa's software driver.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use compositor::gpu::{GpuError, GpuPainter, Uploads};
use compositor::*;
use proptest::prelude::*;

const SIZE: Size = Size {
    width: 640,
    height: 420,
};
const OUTPUT: OutputId = OutputId(0);

/// Key codes of chords, as in `linux/input-event-codes.h`.
mod code {
    pub(super) const DIGIT_ONE: u16 = 2;
    pub(super) const W: u16 = 17;
    pub(super) const M: u16 = 50;
    pub(super) const F: u16 = 33;
}

/// A surface that two scenes see.
#[derive(Clone)]
struct Shared {
    size: Size,
    pixels: Rc<RefCell<Vec<u32>>>,
}

impl ZonePixels for Shared {
    fn size(&self) -> Size {
        self.size
    }

    fn copy_row(&self, y: u32, x: u32, into: &mut [u32]) {
        let width = usize::try_from(self.size.width).unwrap();
        let start = usize::try_from(y).unwrap() * width + usize::try_from(x).unwrap();
        let pixels = self.pixels.borrow();
        into.copy_from_slice(&pixels[start..start + into.len()]);
    }
}

struct Pair {
    ours: Scene,
    theirs: Scene,
    pixels: Vec<u32>,
    has_frame: bool,
    painter: GpuPainter,
    surfaces: [Option<(u32, Shared)>; 3],
    now: Duration,
}

fn painter() -> GpuPainter {
    match GpuPainter::new() {
        Ok(painter) => painter,
        Err(error @ GpuError::NoCard(_)) => panic!("{error} (cargo xtask test does)"),
        Err(error) => panic!("{error}"),
    }
}

fn zone(number: usize) -> ZoneId {
    ZoneId(u32::try_from(number).unwrap() + 1)
}

impl Pair {
    fn new(scale: Scale) -> Self {
        let scene = || {
            let mut scene = Scene::new(SIZE, scale, Settings::default());
            for (number, colour) in ["red", "blue", "green"].into_iter().enumerate() {
                let colour = colour.parse().unwrap();
                let identity =
                    ZoneIdentity::new(zone(number), "zone", "z", colour, Shape::Star, Icon::Key, 1);
                scene.add_zone(identity, None).unwrap();
                scene.set_state(zone(number), ZoneState::Running);
            }
            scene
        };
        let stride = usize::try_from(SIZE.width).unwrap();
        Self {
            ours: scene(),
            theirs: scene(),
            pixels: vec![0; stride * usize::try_from(SIZE.height).unwrap()],
            has_frame: false,
            painter: painter(),
            surfaces: [const { None }; 3],
            now: Duration::ZERO,
        }
    }

    fn both(&mut self, act: impl Fn(&mut Scene, Duration)) {
        self.now += Duration::from_millis(30);
        act(&mut self.ours, self.now);
        act(&mut self.theirs, self.now);
    }

    fn input(&mut self, event: InputEvent) {
        self.both(|scene, now| {
            scene.handle(event, now);
            scene.tick(now);
        });
    }

    fn chord(&mut self, code: u16) {
        for (code, movement) in [
            (keys::LEFT_SUPER, KeyMovement::Pressed),
            (code, KeyMovement::Pressed),
            (code, KeyMovement::Released),
            (keys::LEFT_SUPER, KeyMovement::Released),
        ] {
            self.input(InputEvent::Key { code, movement });
        }
    }

    /// A new surface as large as the window asks, or a little off.
    fn attach(&mut self, number: usize, off: u32) {
        let Some(size) = self.ours.client_size(zone(number)) else {
            return;
        };
        let size = Size::new(
            (size.width + off).max(1),
            (size.height * 2 / (off + 2)).max(1),
        );
        let count = usize::try_from(size.width * size.height).unwrap();
        let shared = Shared {
            size,
            pixels: Rc::new(RefCell::new(vec![0x0012_3456; count])),
        };
        let generation = self.surfaces[number]
            .as_ref()
            .map_or(1, |(generation, _)| generation + 1);
        self.surfaces[number] = Some((generation, shared.clone()));
        self.both(|scene, _| {
            let pixels = Box::new(shared.clone());
            scene
                .attach(zone(number), Generation(generation), pixels)
                .unwrap();
        });
    }

    /// The zone draws into a rectangle of its surface, and says so.
    fn draw(&mut self, number: usize, rect: Rect, pixel: u32) {
        let Some((generation, shared)) = self.surfaces[number].clone() else {
            return;
        };
        let area = rect.intersection(&Rect::of_size(shared.size));
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                let at = u32::try_from(y).unwrap() * shared.size.width + u32::try_from(x).unwrap();
                let mixed = pixel.wrapping_mul(at | 1) ^ (at << 9);
                shared.pixels.borrow_mut()[usize::try_from(at).unwrap()] = mixed;
            }
        }
        self.both(|scene, _| scene.damage(zone(number), Generation(generation), &[rect]));
    }

    /// Both paint; every bit is the same, the unused byte included.
    fn compare(&mut self) {
        let stride = usize::try_from(SIZE.width).unwrap();
        let mut target = Target {
            pixels: &mut self.pixels,
            size: SIZE,
            stride,
            age: u8::from(std::mem::replace(&mut self.has_frame, true)),
        };
        let ours = self.ours.render(OUTPUT, &mut target).to_vec();
        let theirs = self.painter.render(&mut self.theirs, OUTPUT).unwrap();
        assert_eq!(ours, theirs);
        let painted = self.painter.read(OUTPUT).unwrap();
        let differs = self.pixels.iter().zip(&painted);
        let place = differs.clone().position(|(ours, theirs)| ours != theirs);
        if let Some(at) = place {
            panic!(
                "at {}, {}: {:#010x} on the processor, {:#010x} on the card; {} pixels differ",
                at % stride,
                at / stride,
                self.pixels[at],
                painted[at],
                differs.filter(|(ours, theirs)| ours != theirs).count()
            );
        }
    }

    /// What is uploaded by `act`.
    fn uploads_of(&mut self, act: impl FnOnce(&mut Self)) -> Uploads {
        let before = self.painter.uploads();
        act(self);
        self.compare();
        let after = self.painter.uploads();
        Uploads {
            zones: after.zones - before.zones,
            own: after.own - before.own,
        }
    }
}

#[test]
fn only_what_was_drawn_is_uploaded() {
    let mut pair = Pair::new(Scale::ONE);
    for number in 0..3 {
        pair.attach(number, 0);
        pair.draw(number, Rect::of_size(SIZE), 0x00c0_ffee);
    }
    pair.chord(code::DIGIT_ONE);
    pair.compare();

    let drawn = pair.uploads_of(|pair| pair.draw(0, Rect::new(5, 7, 11, 13), 0x00ff_00ff));
    assert_eq!((drawn.zones, drawn.own), (11 * 13, 0));
    let nothing = pair.uploads_of(|_| {});
    assert_eq!(nothing, Uploads::default());
    // A window that is moved about shows some of the others for the first time; after that it costs pixels of frames and desktop alone.
    let about = |pair: &mut Pair| {
        for code in [keys::RIGHT, keys::LEFT] {
            pair.chord(code);
            pair.compare();
        }
    };
    about(&mut pair);
    let moved = pair.uploads_of(about);
    assert_eq!(moved.zones, 0);
    assert!(moved.own > 0);
    // What is drawn while nobody sees it is uploaded when somebody does, once.
    let hidden = pair.uploads_of(|pair| {
        pair.chord(code::M);
        pair.draw(0, Rect::new(0, 0, 20, 10), 0x0001_0203);
        pair.draw(0, Rect::new(10, 0, 20, 10), 0x0002_0304);
    });
    assert_eq!(hidden.zones, 0);
    let shown = pair.uploads_of(|pair| pair.chord(code::DIGIT_ONE));
    assert_eq!(shown.zones, 30 * 10);
}

#[test]
fn a_card_that_is_too_small_is_an_error() {
    let mut painter = painter();
    let wide = Size::new(MAXIMUM_SIDE, 1);
    let mut scene = Scene::new(wide, Scale::ONE, Settings::default());
    match painter.render(&mut scene, OUTPUT) {
        Ok(changed) => assert_eq!(changed.len(), 1, "a card that can hold it paints it"),
        Err(GpuError::TooLarge { limit, .. }) => assert!(limit < MAXIMUM_SIDE),
        Err(error) => panic!("{error}"),
    }
    assert!(matches!(
        painter.read(OutputId(7)),
        Err(GpuError::NoFrame(OutputId(7)))
    ));
}

#[derive(Clone, Debug)]
enum Op {
    Attach(usize, u32),
    Draw(usize, Rect, u32),
    Chord(u16),
    Point(i32, i32),
    Button(bool),
    Cursor(usize, u32, Vec<u32>),
    Dark(usize),
    Live(usize),
    Lock,
    Unlock,
    Frame,
}

fn op() -> impl Strategy<Value = Op> {
    let zone = || 0..3usize;
    let rect = (-20..600i32, -20..400i32, 0..300u32, 0..200u32)
        .prop_map(|(x, y, width, height)| Rect::new(x, y, width, height));
    let chords = prop::sample::select(vec![
        keys::TAB,
        code::DIGIT_ONE,
        keys::ESCAPE,
        code::W,
        code::M,
        code::F,
        keys::UP,
        keys::DOWN,
        keys::LEFT,
        keys::RIGHT,
        keys::PAGE_DOWN,
    ]);
    let cursor = (1..=40u32).prop_flat_map(|side| {
        let count = usize::try_from(side * side).unwrap();
        (Just(side), prop::collection::vec(any::<u32>(), count))
    });
    prop_oneof![
        2 => (zone(), 0..3u32).prop_map(|(zone, off)| Op::Attach(zone, off)),
        6 => (zone(), rect, any::<u32>()).prop_map(|(zone, rect, pixel)| Op::Draw(zone, rect, pixel)),
        3 => chords.prop_map(Op::Chord),
        6 => (0..640i32, 0..420i32).prop_map(|(x, y)| Op::Point(x, y)),
        2 => any::<bool>().prop_map(Op::Button),
        2 => (zone(), cursor).prop_map(|(zone, (side, pixels))| Op::Cursor(zone, side, pixels)),
        1 => zone().prop_map(Op::Dark),
        1 => zone().prop_map(Op::Live),
        1 => Just(Op::Lock),
        1 => Just(Op::Unlock),
        6 => Just(Op::Frame),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_both_painters_agree(scale in 120..=300u32, ops in prop::collection::vec(op(), 1..60)) {
        let mut pair = Pair::new(Scale::from_120ths(scale));
        for number in 0..3 {
            pair.attach(number, 0);
            pair.draw(number, Rect::of_size(SIZE), 0x00a5_5a3c);
        }
        pair.compare();
        for op in ops {
            match op {
                Op::Attach(number, off) => pair.attach(number, off),
                Op::Draw(number, rect, pixel) => pair.draw(number, rect, pixel),
                Op::Chord(code) => pair.chord(code),
                Op::Point(x, y) => pair.input(InputEvent::PointerMoved(Point::new(x, y))),
                Op::Button(pressed) => {
                    pair.input(InputEvent::Button { button: keys::BUTTON_LEFT, pressed });
                }
                Op::Cursor(number, side, pixels) => {
                    let image = CursorImage::new(side, side, side / 2, 0, &pixels).unwrap();
                    pair.both(|scene, _| {
                        scene.set_zone_cursor(zone(number), Some(ZoneCursor::Image(image.clone())));
                    });
                }
                Op::Dark(number) => pair.both(|scene, _| scene.set_state(zone(number), ZoneState::dark("gone"))),
                Op::Live(number) => pair.both(|scene, _| scene.set_state(zone(number), ZoneState::Running)),
                Op::Lock => pair.both(|scene, _| scene.lock(LockReason::Person)),
                Op::Unlock => pair.both(Scene::unlock),
                Op::Frame => pair.compare(),
            }
        }
        pair.compare();
    }
}
