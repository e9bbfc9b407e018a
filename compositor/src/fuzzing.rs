//! A scene driven by bytes, with an oracle that looks at every pixel and every action after each step.
//!
//! The bytes become operations of up to three zones (which lie, flood and never answer) and of a person. The oracle
//! holds what the scene may never break, and knows none of the scene's own shortcuts:
//! - every pixel has one owner, found by painting rectangles from the back to the front;
//! - the ring of every visible window is complete in its zone's own colour;
//! - pixels that the endpoint owns do not depend on any zone's pixels, and a zone's pixels are exactly its own;
//! - a buffer brought up to date by its damage equals one painted whole, and nothing outside the damage was touched;
//! - only the focused zone is sent input, no key of a chord and no repeat is sent to anyone, every press is matched by
//!   one release, and only a person's act gives focus.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::*;

mod op;

use op::{Op, extreme_rect};

const SIZE: Size = Size {
    width: 300,
    height: 220,
};

/// Runs the operations that `data` stands for (eight bytes each, at most 256 of them).
///
/// # Panics
/// When the scene breaks a promise.
pub fn fuzz_scene(data: &[u8]) {
    let mut world = World::new();
    for chunk in data.chunks_exact(8).take(256) {
        if let Ok(bytes) = <[u8; 8]>::try_from(chunk) {
            world.apply(Op::decode(bytes));
            world.verify();
        }
    }
}

/// Pixels that a zone and the scene share. `flip` changes all of them at once, without a word to the scene.
struct Shared {
    size: Size,
    pixels: RefCell<Vec<u32>>,
    flip: Rc<Cell<u32>>,
}

struct Handle(Rc<Shared>);

impl ZonePixels for Handle {
    fn size(&self) -> Size {
        self.0.size
    }

    fn copy_row(&self, y: u32, x: u32, into: &mut [u32]) {
        let width = usize::try_from(self.0.size.width).unwrap();
        let start = usize::try_from(y).unwrap() * width + usize::try_from(x).unwrap();
        assert!(
            y < self.0.size.height && usize::try_from(x).unwrap() + into.len() <= width,
            "read outside the surface"
        );
        let pixels = self.0.pixels.borrow();
        for (to, from) in into.iter_mut().zip(&pixels[start..]) {
            *to = from ^ self.0.flip.get();
        }
    }
}

struct Buffer {
    pixels: Vec<u32>,
    painted_at: Option<u64>,
}

/// What the oracle believes of one zone.
#[derive(Default)]
struct Belief {
    surface: Option<(u32, Rc<Shared>)>,
    drawn: bool,
    focused: bool,
    keys: BTreeSet<u16>,
    buttons: BTreeSet<u16>,
}

struct World {
    scene: Scene,
    now: Duration,
    flip: Rc<Cell<u32>>,
    zones: BTreeMap<ZoneId, Belief>,
    /// Two buffers for each output, painted in no fixed order.
    buffers: BTreeMap<OutputId, [Buffer; 2]>,
    frames: u64,
    host: BTreeSet<u16>,
    person: bool,
    masks: RefCell<icons::Masks>,
}

impl World {
    fn new() -> Self {
        Self {
            scene: Scene::new(SIZE, Scale::ONE, Settings::default()),
            now: Duration::ZERO,
            flip: Rc::new(Cell::new(0)),
            zones: BTreeMap::new(),
            buffers: BTreeMap::new(),
            frames: 0,
            host: BTreeSet::new(),
            person: false,
            masks: RefCell::default(),
        }
    }

    fn apply(&mut self, op: Op) {
        self.person = matches!(op, Op::Input(_));
        let scene = &mut self.scene;
        match op {
            Op::AddZone { zone, placed } => {
                let (_, colour) = ZONE_PALETTE[usize::try_from(zone.0).unwrap()];
                let identity =
                    ZoneIdentity::new(zone, "zone", "z", colour, Shape::Star, Icon::Key, 0);
                let known = self.zones.contains_key(&zone);
                assert_eq!(scene.add_zone(identity, placed).is_err(), known);
                self.zones.entry(zone).or_default();
            }
            Op::RemoveZone(zone) => {
                scene.remove_zone(zone);
                self.zones.remove(&zone);
            }
            Op::State(zone, state) => {
                let state = match state % 6 {
                    0 => ZoneState::Off,
                    1 => ZoneState::starting("booting \u{202e}"),
                    2 => ZoneState::dark("gone"),
                    3 => ZoneState::Stopping,
                    _ => ZoneState::Running,
                };
                let dead = !state.is_live();
                scene.set_state(zone, state);
                if let Some(belief) = self.zones.get_mut(&zone).filter(|_| dead) {
                    // A machine that is no more holds nothing and shows nothing.
                    *belief = Belief::default();
                }
            }
            Op::Attach {
                zone,
                generation,
                size,
            } => {
                let count = size.width.min(1024) * size.height;
                let shared = Rc::new(Shared {
                    size,
                    pixels: RefCell::new(vec![0xab_cdef; usize::try_from(count).unwrap()]),
                    flip: self.flip.clone(),
                });
                let attached = scene.attach(
                    zone,
                    Generation(generation),
                    Box::new(Handle(shared.clone())),
                );
                if let (Ok(()), Some(belief)) = (attached, self.zones.get_mut(&zone)) {
                    belief.surface = Some((generation, shared));
                    belief.drawn = false;
                }
            }
            Op::Draw { zone, rect, colour } => {
                let Some(belief) = self.zones.get_mut(&zone) else {
                    return;
                };
                let Some((generation, shared)) = &belief.surface else {
                    return;
                };
                let drawn = rect.intersection(&Rect::of_size(shared.size));
                let width = usize::try_from(shared.size.width).unwrap();
                for y in drawn.top()..drawn.bottom() {
                    let start = usize::try_from(y).unwrap() * width;
                    let (from, to) = (
                        usize::try_from(drawn.left()).unwrap(),
                        usize::try_from(drawn.right()).unwrap(),
                    );
                    shared.pixels.borrow_mut()[start + from..start + to].fill(colour);
                }
                belief.drawn = true;
                scene.damage(zone, Generation(*generation), &[rect]);
            }
            Op::Lie {
                zone,
                generation,
                rects,
            } => {
                let belief = self.zones.get_mut(&zone);
                if let Some(belief) = belief
                    && belief
                        .surface
                        .as_ref()
                        .is_some_and(|(held, _)| *held == generation)
                    && !rects.is_empty()
                {
                    belief.drawn = true;
                }
                scene.damage(zone, Generation(generation), &rects);
            }
            Op::Title(zone, title) => scene.set_title(zone, &title),
            Op::Cursor {
                zone,
                width,
                height,
                hot,
                pixel,
            } => {
                let pixels = vec![pixel; usize::try_from(width * height).unwrap()];
                let image = CursorImage::new(width, height, hot.0, hot.1, &pixels);
                assert_eq!(
                    image.is_ok(),
                    (1..=64).contains(&width) && (1..=64).contains(&height)
                );
                let hidden = pixel & 7 == 0;
                scene.set_zone_cursor(
                    zone,
                    if hidden {
                        Some(ZoneCursor::Hidden)
                    } else {
                        image.ok().map(ZoneCursor::Image)
                    },
                );
            }
            Op::Weakened(zone, weakened) => {
                scene.set_weakened(zone, weakened.then_some("no jail \u{200b}"));
            }
            Op::Input(event) => {
                self.note_host_keys(event);
                let actions = self.scene.handle(event, self.now);
                return self.check_actions(actions, Some(event));
            }
            Op::Output {
                second,
                remove,
                scale,
                width,
            } => {
                let id = OutputId(u32::from(second));
                if remove {
                    scene.remove_output(id);
                } else {
                    let left = if second { 300 } else { 0 };
                    let area = Rect::new(left, 0, 120 + width, SIZE.height);
                    scene.set_output(id, area, Scale::from_120ths(scale));
                }
                self.buffers.remove(&id);
            }
            Op::Settings { theme, large_text } => {
                scene.set_settings(Settings {
                    theme,
                    large_text,
                    ..Settings::default()
                });
            }
            Op::ClientRect(zone, rect) => scene.set_client_rect(zone, rect),
            Op::Ask { from, to, detail } => {
                let request = PromptRequest {
                    from,
                    to,
                    question: "May it? \u{202e}",
                    detail: &detail,
                    grants: &[],
                };
                let _ = scene.ask(request, self.now);
            }
            Op::Views(seed) => {
                // Pages are turned and left because of what a person did on them.
                self.person = true;
                scene.set_signs(signs(seed));
                paint_page(scene, seed);
            }
            Op::Withdraw(number) => scene.withdraw(PromptId(number)),
            Op::Lock => scene.lock(LockReason::Person),
            Op::Unlock { right: true } => {
                // The endpoint unlocks because of what a person typed.
                self.person = true;
                scene.unlock(self.now);
                assert!(!scene.is_locked());
            }
            Op::Unlock { right: false } => {
                scene.refuse_unlock(Refusal::Wrong, self.now + Duration::from_secs(1));
            }
            Op::Wait(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                let actions = self.scene.tick(self.now);
                return self.check_actions(actions, None);
            }
            Op::Render(buffer) => self.render(buffer),
        }
        let actions = self.scene.take_actions();
        self.check_actions(actions, None);
    }

    fn note_host_keys(&mut self, event: InputEvent) {
        match event {
            InputEvent::Key {
                code: code @ (125 | 126),
                movement: KeyMovement::Pressed,
            } => {
                self.host.insert(code);
            }
            InputEvent::Key {
                code,
                movement: KeyMovement::Released,
            } => {
                self.host.remove(&code);
            }
            InputEvent::KeyboardLost => self.host.clear(),
            _ => {}
        }
    }

    fn check_actions(&mut self, actions: Vec<Action>, event: Option<InputEvent>) {
        for action in actions {
            match action {
                Action::FocusChanged(focus) => {
                    assert!(
                        focus.is_none() || self.person,
                        "focus was given without a person's act"
                    );
                    for (id, belief) in &self.zones {
                        assert!(
                            Some(*id) == focus || belief.keys.is_empty(),
                            "keys stay held in a zone without focus"
                        );
                        assert!(
                            Some(*id) == focus || belief.buttons.is_empty(),
                            "buttons stay held without focus"
                        );
                    }
                }
                Action::SendToZone(zone, input) => self.check_input(zone, input, event),
                Action::ResizeZone(zone, size) => {
                    assert!(
                        self.zones.contains_key(&zone)
                            && !size.is_empty()
                            && size.width <= MAXIMUM_SIDE
                    );
                }
                Action::Chord(_)
                | Action::Command(..)
                | Action::Answered(..)
                | Action::UnlockAttempt(_) => {
                    assert!(self.person, "a command without a person's act");
                }
            }
        }
        for (id, belief) in &self.zones {
            assert!(
                !belief.focused || self.scene.focus() == Some(*id),
                "a zone believes it has focus and has not"
            );
        }
    }

    fn check_input(&mut self, zone: ZoneId, input: ZoneInput, event: Option<InputEvent>) {
        let ends = matches!(
            input,
            ZoneInput::Focus(false)
                | ZoneInput::Key { pressed: false, .. }
                | ZoneInput::Button { pressed: false, .. }
        );
        assert!(
            ends || !self.scene.is_trusted_up(),
            "a zone was sent {input:?} while the trusted UI was up"
        );
        let belief = self
            .zones
            .get_mut(&zone)
            .expect("input went to a zone that is gone");
        match input {
            ZoneInput::Focus(focused) => {
                assert_ne!(belief.focused, focused, "told twice of the same focus");
                belief.focused = focused;
                assert!(
                    focused || belief.keys.is_empty(),
                    "focus went before the keys were released"
                );
            }
            ZoneInput::Key { code, pressed } => {
                assert!(
                    (1..256).contains(&code) && code != 125 && code != 126 && code != 116,
                    "key {code} was sent"
                );
                if pressed {
                    assert!(belief.focused, "a key press went to a zone without focus");
                    assert!(belief.keys.insert(code), "pressed twice");
                    if let Some(InputEvent::Key {
                        code: now,
                        movement,
                    }) = event
                    {
                        assert_ne!(movement, KeyMovement::Repeated, "a repeat was sent");
                        assert!(
                            !(keys::is_modifier(now) && movement == KeyMovement::Pressed),
                            "a modifier was sent before anything showed that it is no part of a chord"
                        );
                        assert!(
                            now != code || self.host.is_empty(),
                            "a part of a chord was sent"
                        );
                    }
                } else {
                    assert!(belief.keys.remove(&code), "released without a press");
                }
            }
            ZoneInput::Button {
                button,
                pressed: true,
            } => {
                assert!(belief.focused && belief.buttons.insert(button));
                assert!(matches!(
                    event,
                    Some(InputEvent::Button { pressed: true, .. })
                ));
            }
            ZoneInput::Button {
                button,
                pressed: false,
            } => assert!(belief.buttons.remove(&button)),
            ZoneInput::Motion { x, y } => {
                assert!(belief.focused, "motion went to a zone without focus");
                let at = self.scene.pointer().expect("motion without a pointer");
                let inside = self
                    .scene
                    .client_rect(zone)
                    .is_some_and(|client| client.contains(at));
                let owned = self.scene.owner_at(at) == Owner::Client(zone);
                assert!(
                    !belief.buttons.is_empty() || owned || (inside && event.is_some_and(is_press))
                );
                let size = belief
                    .surface
                    .as_ref()
                    .map_or(Size::new(MAXIMUM_SIDE, MAXIMUM_SIDE), |(_, shared)| {
                        shared.size
                    });
                assert!(
                    x < size.width && y < size.height,
                    "motion outside the surface"
                );
            }
            ZoneInput::Wheel {
                vertical,
                horizontal,
            } => {
                assert!(belief.focused);
                assert!(vertical.abs() <= 120 * 32 && horizontal.abs() <= 120 * 32);
            }
        }
    }

    /// Brings one of the buffers of each output up to date, and compares it with a picture painted whole.
    fn render(&mut self, which: usize) {
        self.frames += 1;
        for (id, area, _) in self.scene.output_areas() {
            let stride = usize::try_from(area.width()).unwrap() + 3;
            let count = stride * usize::try_from(area.height()).unwrap();
            let buffers = self.buffers.entry(id).or_insert_with(|| {
                [(); 2].map(|()| Buffer {
                    pixels: vec![0x55_5555; count],
                    painted_at: None,
                })
            });
            let buffer = &mut buffers[which];
            let age = buffer
                .painted_at
                .map_or(0, |then| u8::try_from(self.frames - then).unwrap_or(0));
            let before = buffer.pixels.clone();
            let painted = self.scene.statistics().painted;
            let mut target = Target {
                pixels: &mut buffer.pixels,
                size: area.size(),
                stride,
                age,
            };
            let damage = self.scene.render(id, &mut target).to_vec();
            buffer.painted_at = Some(self.frames);
            assert!(!self.scene.needs_render(id));
            assert!(
                self.scene.statistics().painted - painted <= area.area(),
                "some pixel was painted twice"
            );
            assert!(
                damage
                    .iter()
                    .all(|rect| Rect::of_size(area.size()).covers(rect))
            );
            let mut whole = before.clone();
            self.scene.paint_whole(
                id,
                &mut Target {
                    pixels: &mut whole,
                    size: area.size(),
                    stride,
                    age: 0,
                },
                &mut self.masks.borrow_mut(),
            );
            for (at, (now, reference)) in buffer.pixels.iter().zip(&whole).enumerate() {
                let place = Point::new(
                    i32::try_from(at % stride).unwrap(),
                    i32::try_from(at / stride).unwrap(),
                );
                assert_eq!(
                    now, reference,
                    "pixel {place:?} of {id:?} is out of date, age {age}"
                );
                if age == 1 && *now != before[at] {
                    assert!(
                        damage.iter().any(|rect| rect.contains(place)),
                        "{place:?} changed outside the damage"
                    );
                }
            }
        }
    }

    /// What screen readers are told hangs together, and whatever keys can select has a name.
    fn verify_accessible(&self) {
        let tree = self.scene.accessible_tree();
        let known: BTreeSet<_> = tree.nodes.iter().map(|(id, _)| *id).collect();
        assert!(known.len() == tree.nodes.len() && known.contains(&tree.focus));
        let children = tree.nodes.iter().flat_map(|(_, node)| node.children());
        let mut unclaimed = known.clone();
        assert!(
            children.into_iter().all(|child| unclaimed.remove(child)),
            "a node is missing or has two parents"
        );
        assert_eq!(unclaimed.len(), 1, "one node is the root");
        for (_, node) in &tree.nodes {
            assert!(node.bounds().is_some());
            if node.supports_action(accesskit::Action::Focus) {
                let name = node.label().unwrap_or_default();
                let plain = name
                    .chars()
                    .all(|character| atlas::is_allowed(character) || character == '\u{fffd}');
                assert!(
                    plain && !name.is_empty(),
                    "{:?} is called {name:?}",
                    node.role()
                );
            }
        }
    }

    /// Looks at every pixel.
    fn verify(&mut self) {
        self.verify_accessible();
        for (id, area, panel) in self.scene.output_areas() {
            let owners = self.owners(id, area, panel);
            let mine = self.picture(id, area);
            self.flip.set(0x00ff_ffff);
            let flipped = self.picture(id, area);
            self.flip.set(0);
            let pointer = self.scene.pointer_area();
            let width = usize::try_from(area.width()).unwrap();
            for (at, (owner, (now, other))) in
                owners.iter().zip(mine.iter().zip(&flipped)).enumerate()
            {
                let x = i32::try_from(at % width).unwrap() + area.left();
                let y = i32::try_from(at / width).unwrap() + area.top();
                let place = Point::new(x, y);
                assert!(
                    now >> 24 == 0xff || matches!(owner, Owner::Client(_)),
                    "a pixel of the endpoint's own is not opaque"
                );
                if (at * 7919) % 101 == 0 {
                    assert_eq!(
                        self.scene.owner_at(place),
                        *owner,
                        "two opinions on who owns {place:?}"
                    );
                }
                if pointer.contains(place) {
                    continue;
                }
                match owner {
                    Owner::Client(zone) => match self.expected(*zone, place) {
                        Some(pixel) => assert_eq!(
                            now & 0x00ff_ffff,
                            self.dimmed(pixel) & 0x00ff_ffff,
                            "{place:?} is not {zone:?}'s own pixel"
                        ),
                        None => {
                            assert_eq!(now, other, "{place:?} shows a zone that must not be shown");
                        }
                    },
                    // Live or not, another zone's pixels cannot be there: each picture is read from one surface.
                    Owner::Thumbnail(_) => {}
                    _ => assert_eq!(
                        now, other,
                        "{place:?}, {owner:?}, depends on a zone's pixels"
                    ),
                }
                if let Owner::Frame(zone) = owner {
                    self.verify_ring(*zone, place, *now);
                }
            }
        }
    }

    /// A pixel as it looks behind a page of the trusted UI.
    fn dimmed(&self, pixel: u32) -> u32 {
        if !self.scene.is_dimmed() {
            return pixel;
        }
        Colour::from_pixel(pixel)
            .mixed(Colour::BLACK, scene::DIMMING)
            .pixel()
    }

    fn verify_ring(&self, zone: ZoneId, place: Point, pixel: u32) {
        let outer = self.scene.window_rect(zone).unwrap();
        let client = self.scene.client_rect(zone).unwrap();
        let ring = client.left() - outer.left();
        let line = (ring + 2) / 4;
        if outer.inset(line).contains(place) && !outer.inset(ring).contains(place) {
            let colour = self
                .scene
                .zones()
                .find(|identity| identity.id == zone)
                .unwrap()
                .colour;
            assert_eq!(
                pixel,
                self.dimmed(colour.pixel()),
                "the ring of {zone:?} is broken at {place:?}"
            );
        }
    }

    /// The pixel a live zone drew there, if it did.
    fn expected(&self, zone: ZoneId, place: Point) -> Option<u32> {
        let belief = self.zones.get(&zone)?;
        let live = self.scene.zone_state(zone).is_some_and(ZoneState::is_live);
        let (_, shared) = belief.surface.as_ref().filter(|_| belief.drawn && live)?;
        let client = self.scene.client_rect(zone)?;
        let (x, y) = (place.x - client.left(), place.y - client.top());
        let inside = Rect::of_size(shared.size).contains(Point::new(x, y));
        let at = usize::try_from(y).ok()? * usize::try_from(shared.size.width).ok()?
            + usize::try_from(x).ok()?;
        inside.then(|| shared.pixels.borrow()[at])
    }

    fn picture(&self, id: OutputId, area: Rect) -> Vec<u32> {
        let stride = usize::try_from(area.width()).unwrap();
        let mut pixels = vec![0; usize::try_from(area.area()).unwrap()];
        self.scene.paint_whole(
            id,
            &mut Target {
                pixels: &mut pixels,
                size: area.size(),
                stride,
                age: 0,
            },
            &mut self.masks.borrow_mut(),
        );
        pixels
    }

    /// Who owns each pixel of an output: rectangles painted from the back to the front.
    fn owners(&self, id: OutputId, area: Rect, panel: Rect) -> Vec<Owner> {
        let width = usize::try_from(area.width()).unwrap();
        let mut owners = vec![Owner::Desktop; usize::try_from(area.area()).unwrap()];
        let mut own = |rect: Rect, owner: Owner| {
            let rect = rect.intersection(&area).moved_by(-area.left(), -area.top());
            for y in rect.top()..rect.bottom() {
                let start = usize::try_from(y).unwrap() * width;
                owners[start + usize::try_from(rect.left()).unwrap()
                    ..start + usize::try_from(rect.right()).unwrap()]
                    .fill(owner);
            }
        };
        for id in self.scene.stacking() {
            if self.scene.placement(*id).is_some_and(|placement| {
                !placement.minimised && placement.workspace == self.scene.workspace()
            }) {
                own(self.scene.window_rect(*id).unwrap(), Owner::Frame(*id));
                own(self.scene.client_rect(*id).unwrap(), Owner::Client(*id));
            }
        }
        own(panel, Owner::Panel);
        own(self.scene.page_pixels(id), Owner::Trusted);
        for (picture, zone) in self.scene.thumbnails(id) {
            own(picture, Owner::Thumbnail(zone));
        }
        owners
    }
}

/// What the panel says, in words as hostile as their writers can make them.
fn signs([a, b, c, d]: [u8; 4]) -> PanelSigns {
    let health = |seed: u8| [Health::Absent, Health::Good, Health::Warned][usize::from(seed % 3)];
    PanelSigns {
        clock: (a & 1 == 0).then(|| Label::new("\u{202e}9:41\u{1b} \u{301}", usize::from(b % 9))),
        layout: b & 1 == 0,
        policy: health(a),
        audit: health(b),
        usb: health(c),
        network: health(d),
    }
}

/// Whoever paints pages gives a picture of this size or that, changes what it likes, and says anything about it.
fn paint_page(scene: &mut Scene, [a, b, c, d]: [u8; 4]) {
    let input = scene.take_page_input();
    assert!(input.len() <= 256);
    let Some(space) = scene.work_space() else {
        assert_eq!(input, [], "a page that is not up hears something");
        return;
    };
    for input in input {
        if let PageInput::Pointer(Some(at)) = input {
            assert!(Rect::of_size(space.size).contains(at));
        }
    }
    let size = if a % 4 == 0 {
        Size::new(u32::from(b), u32::from(c))
    } else {
        space.size
    };
    scene.paint_page_picture(size, |pixels| {
        pixels.fill(u32::from_le_bytes([a, b, c, 0xff]));
        vec![Rect::of_size(size), extreme_rect([a, b, c, d])]
    });
    let mut node = accesskit::Node::new(accesskit::Role::Button);
    node.add_action(accesskit::Action::Focus);
    node.set_label("a control of the page");
    let id = accesskit::NodeId(PAGE_NODES | u64::from(d));
    let tree = PageTree {
        nodes: vec![(id, node)],
        top: vec![id],
        focus: (a & 1 == 0).then_some(id),
    };
    scene.set_page_tree(tree, b & 1 == 0);
    match c % 16 {
        0 => scene.turn_to(WorkPage::ALL[usize::from(d % 5)]),
        1 => scene.leave_page(),
        2 => scene.leave_page_for(ZoneId(u32::from(d % 5))),
        _ => {}
    }
}

fn is_press(event: InputEvent) -> bool {
    matches!(event, InputEvent::Button { pressed: true, .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `PROPTEST_CASES` in the environment asks for more.
    fn cases() -> u32 {
        std::env::var("PROPTEST_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(96)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_that_zones_or_people_do_breaks_a_promise(ops in proptest::collection::vec(any::<[u8; 8]>(), 1..48)) {
            // Three running zones to begin with: most sequences of random bytes would take long to get there.
            let start = (0..3u8).flat_map(|zone| {
                [[0, zone, 0, 0, 0, 0, 0, 0], [3, zone, 4, 0, 0, 0, 0, 0], [4, zone, 0, 60, 60, 0, 0, 0],
                 [6, zone, 0, 0, 255, 255, zone, 9]]
            });
            let bytes: Vec<u8> = start.chain(ops).flatten().collect();
            fuzz_scene(&bytes);
        }
    }
}
