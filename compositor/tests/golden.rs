//! Pictures of frames, panel and trusted screens, compared with committed ones pixel for pixel.
//!
//! `BLESS=1 cargo test -p compositor --test golden` writes them anew; look at every changed one before committing it.
//! A picture that differs is written to the temporary folder, and the failure says where.

mod pictures;

use std::path::Path;
use std::time::Duration;

use compositor::*;

const OPEN: ZoneId = ZoneId(1);
const CORP: ZoneId = ZoneId(2);
const BANK: ZoneId = ZoneId(3);

struct Desk {
    scene: Scene,
    size: Size,
}

impl Desk {
    fn new(width: u32, height: u32, scale: f64, settings: Settings) -> Self {
        let size = Size::new(width, height);
        Self {
            scene: Scene::new(size, Scale::from_factor(scale), settings),
            size,
        }
    }

    fn zone(&mut self, id: ZoneId, name: &str, colour: &str, shape: Shape, icon: Icon) {
        let identity = ZoneIdentity::new(id, name, name, colour.parse().unwrap(), shape, icon, 1);
        self.scene.add_zone(identity, None).unwrap();
    }

    /// A zone that runs and has drawn a gradient of its own.
    fn running(&mut self, id: ZoneId, name: &str, colour: &str, shape: Shape, icon: Icon) {
        self.zone(id, name, colour, shape, icon);
        self.scene.set_state(id, ZoneState::Running);
        self.draw(id, Generation(1));
    }

    fn draw(&mut self, id: ZoneId, generation: Generation) {
        let size = self.scene.client_size(id).unwrap();
        let pixels = StillPixels::from_fn(size, |x, y| {
            let lines =
                u32::from(y % 18 < 8 && x > 12 && x < 40 + (y / 18 * 97) % 260) * 0x0040_4040;
            0x0026_2a33 + lines + (y * 24 / size.height.max(1)) * 0x0001_0101
        });
        self.scene.attach(id, generation, Box::new(pixels)).unwrap();
        self.scene.damage(id, generation, &[Rect::of_size(size)]);
    }

    fn point(&mut self, x: i32, y: i32) {
        self.scene
            .handle(InputEvent::PointerMoved(Point::new(x, y)), Duration::ZERO);
    }

    fn click(&mut self, x: i32, y: i32) {
        self.point(x, y);
        for pressed in [true, false] {
            self.scene.handle(
                InputEvent::Button {
                    button: keys::BUTTON_LEFT,
                    pressed,
                },
                Duration::ZERO,
            );
        }
    }

    /// The middle of the control of this name, as a screen reader would say it.
    fn place_of(&self, name: &str) -> Point {
        let tree = self.scene.accessible_tree();
        let named = |node: &accesskit::Node| node.label() == Some(name);
        let found = tree
            .nodes
            .iter()
            .find(|(_, node)| named(node) && node.supports_action(accesskit::Action::Focus));
        let Some(bounds) = found.and_then(|(_, node)| node.bounds()) else {
            let names: Vec<_> = tree.nodes.iter().map(|(_, node)| node.label()).collect();
            panic!("there is no {name} among {names:?}");
        };
        let centre = |from: f64, to: f64| format!("{:.0}", (from + to) / 2.0).parse().unwrap();
        Point::new(centre(bounds.x0, bounds.x1), centre(bounds.y0, bounds.y1))
    }

    fn chord(&mut self, code: u16) {
        let mut key = |code, movement| {
            self.scene
                .handle(InputEvent::Key { code, movement }, Duration::ZERO)
        };
        key(keys::LEFT_SUPER, KeyMovement::Pressed);
        key(code, KeyMovement::Pressed);
        key(code, KeyMovement::Released);
        key(keys::LEFT_SUPER, KeyMovement::Released);
    }

    fn focus_number(&mut self, number: u16) {
        self.chord(1 + number);
    }

    fn check(mut self, name: &str) {
        let Size { width, height } = self.size;
        let stride = usize::try_from(width).unwrap();
        let mut pixels = vec![0x1234_5678; stride * usize::try_from(height).unwrap()];
        self.scene.render(
            OutputId(0),
            &mut Target {
                pixels: &mut pixels,
                size: self.size,
                stride,
                age: 0,
            },
        );
        #[cfg(feature = "gpu")]
        {
            let mut painter = gpu::GpuPainter::new().unwrap();
            self.scene.damage_all();
            painter.render(&mut self.scene, OutputId(0)).unwrap();
            let painted = painter.read(OutputId(0)).unwrap();
            assert!(painted == pixels, "{name} looks otherwise on the card");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        pictures::check(&folder, name, self.size, &pixels, 0);
    }
}

/// Two zones side by side, the second with the keyboard: what the demo shows.
fn two_zones(width: u32, height: u32, scale: f64, settings: Settings) -> Desk {
    let mut desk = Desk::new(width, height, scale, settings);
    desk.running(OPEN, "open", "green", Shape::Circle, Icon::Globe);
    desk.running(CORP, "corp", "blue", Shape::Hexagon, Icon::Briefcase);
    desk.scene.set_title(OPEN, b"Browser");
    desk.scene
        .set_title(CORP, "Rechnung für März – Editor".as_bytes());
    desk.scene.set_status(&["14:05", "audit ok"]);
    desk.focus_number(2);
    desk.point(
        i32::try_from(width).unwrap() * 3 / 4,
        i32::try_from(height).unwrap() / 2,
    );
    desk
}

#[test]
fn two_zones_dark() {
    two_zones(960, 600, 1.0, Settings::default()).check("two-zones-dark");
}

#[test]
fn two_zones_light() {
    two_zones(
        960,
        600,
        1.0,
        Settings {
            theme: Theme::Light,
            ..Settings::default()
        },
    )
    .check("two-zones-light");
}

#[test]
fn two_zones_high_contrast_large_text() {
    let settings = Settings {
        theme: Theme::HighContrast,
        large_text: true,
        ..Settings::default()
    };
    two_zones(960, 600, 1.0, settings).check("two-zones-contrast-large");
}

#[test]
fn two_zones_at_125_percent() {
    two_zones(1200, 700, 1.25, Settings::default()).check("two-zones-125");
}

#[test]
fn two_zones_at_150_percent() {
    two_zones(1300, 800, 1.5, Settings::default()).check("two-zones-150");
}

#[test]
fn two_zones_at_200_percent() {
    two_zones(1600, 900, 2.0, Settings::default()).check("two-zones-200");
}

#[test]
fn overlapping_windows_partly_off_screen() {
    let mut desk = Desk::new(900, 560, 1.0, Settings::default());
    desk.running(OPEN, "open", "green", Shape::Circle, Icon::Globe);
    desk.running(CORP, "corp", "blue", Shape::Hexagon, Icon::Briefcase);
    desk.running(BANK, "banking", "yellow", Shape::Shield, Icon::Bank);
    desk.scene
        .set_client_rect(OPEN, Rect::new(-300, 120, 600, 300));
    desk.scene
        .set_client_rect(CORP, Rect::new(200, 200, 420, 260));
    desk.scene
        .set_client_rect(BANK, Rect::new(560, 420, 600, 400));
    desk.focus_number(2);
    desk.point(199, 470);
    desk.check("overlapping");
}

/// Every shape and icon with every colour of the palette, half of them unfocused small windows.
#[test]
fn shapes_and_icons() {
    let mut desk = Desk::new(1160, 810, 1.0, Settings::default());
    for (number, (icon_name, icon)) in Icon::ALL.into_iter().enumerate() {
        let id = ZoneId(u32::try_from(number).unwrap());
        let (_, shape) = Shape::ALL[number % Shape::ALL.len()];
        let (colour, _) = ZONE_PALETTE[number % ZONE_PALETTE.len()];
        desk.zone(id, icon_name, colour, shape, icon);
        let (column, row) = (
            i32::try_from(number % 4).unwrap(),
            i32::try_from(number / 4).unwrap(),
        );
        desk.scene
            .set_client_rect(id, Rect::new(20 + column * 285, 80 + row * 150, 260, 100));
    }
    desk.focus_number(6);
    desk.check("shapes-and-icons");
}

#[test]
fn dead_starting_weak_and_silent_zones() {
    let mut desk = Desk::new(960, 640, 1.0, Settings::default());
    desk.zone(OPEN, "open", "green", Shape::Circle, Icon::Globe);
    desk.running(CORP, "corp", "blue", Shape::Hexagon, Icon::Briefcase);
    desk.zone(BANK, "banking", "purple", Shape::Diamond, Icon::Bank);
    desk.zone(ZoneId(4), "lab", "orange", Shape::Triangle, Icon::Flask);
    desk.scene
        .set_client_rect(OPEN, Rect::new(10, 80, 460, 230));
    desk.scene
        .set_client_rect(CORP, Rect::new(490, 80, 460, 230));
    desk.scene
        .set_client_rect(BANK, Rect::new(10, 380, 460, 230));
    desk.scene
        .set_client_rect(ZoneId(4), Rect::new(490, 380, 460, 230));
    desk.scene
        .set_state(OPEN, ZoneState::starting("booting the kernel"));
    desk.scene.set_state(
        CORP,
        ZoneState::dark("it sent a frame for a surface it does not have, and was stopped"),
    );
    desk.scene.set_state(BANK, ZoneState::Running);
    desk.scene
        .set_weakened(BANK, Some("no user namespaces on this host"));
    desk.focus_number(3);
    desk.check("states");
}

#[test]
fn small_windows_keep_their_frames() {
    let mut desk = Desk::new(640, 400, 1.0, Settings::default());
    desk.running(
        OPEN,
        "a zone with a rather long name",
        "sky",
        Shape::Star,
        Icon::Cloud,
    );
    desk.running(CORP, "corp", "red", Shape::Pentagon, Icon::Key);
    desk.scene
        .set_title(CORP, b"a long title that does not fit");
    desk.scene.set_weakened(CORP, Some("no Landlock"));
    desk.scene.set_client_rect(OPEN, Rect::new(20, 100, 1, 1));
    desk.scene
        .set_client_rect(CORP, Rect::new(240, 100, 240, 90));
    desk.click(100, 130);
    desk.check("small");
}

#[test]
fn maximised_keeps_panel_and_frame() {
    let mut desk = two_zones(960, 600, 1.0, Settings::default());
    desk.chord(keys::UP);
    desk.chord(keys::UP);
    desk.draw(CORP, Generation(2));
    desk.point(935, 52);
    desk.check("maximised");
}

#[test]
fn hostile_titles() {
    let mut desk = two_zones(960, 400, 1.0, Settings::default());
    desk.scene.set_title(
        OPEN,
        "corp \u{202e}detsurt\u{202c} [trusted] \u{1b}[2J Сorp".as_bytes(),
    );
    desk.scene.set_title(CORP, &[b'x'; 1 << 20]);
    desk.check("hostile-titles");
}

/// Four zones in different states behind a page.
fn four_zones(width: u32, height: u32, scale: f64, settings: Settings) -> Desk {
    let mut desk = two_zones(width, height, scale, settings);
    desk.zone(BANK, "banking", "purple", Shape::Diamond, Icon::Bank);
    desk.zone(ZoneId(4), "lab", "orange", Shape::Triangle, Icon::Flask);
    desk.scene
        .set_state(BANK, ZoneState::dark("its kernel panicked"));
    desk.scene.set_weakened(CORP, Some("no user namespaces"));
    desk.scene.set_secret_phrase("Drei Möwen auf dem Dach");
    desk
}

fn german() -> Settings {
    Settings {
        theme: Theme::Light,
        language: Language::German,
        ..Settings::default()
    }
}

fn high_contrast() -> Settings {
    Settings {
        theme: Theme::HighContrast,
        large_text: true,
        ..Settings::default()
    }
}

fn attention(mut desk: Desk, name: &str) {
    desk.chord(keys::ESCAPE);
    for code in [keys::TAB, keys::TAB] {
        desk.scene.handle(
            InputEvent::Key {
                code,
                movement: KeyMovement::Pressed,
            },
            Duration::ZERO,
        );
        desk.scene.handle(
            InputEvent::Key {
                code,
                movement: KeyMovement::Released,
            },
            Duration::ZERO,
        );
    }
    desk.check(name);
}

#[test]
fn attention_screen() {
    attention(
        four_zones(960, 640, 1.0, Settings::default()),
        "attention-dark",
    );
    attention(
        four_zones(960, 640, 1.0, german()),
        "attention-light-german",
    );
    attention(
        four_zones(960, 640, 1.0, high_contrast()),
        "attention-contrast-large",
    );
    attention(
        four_zones(1600, 1100, 2.0, Settings::default()),
        "attention-200",
    );
}

fn prompt(mut desk: Desk, name: &str, question: &str, armed: bool) {
    let request = PromptRequest {
        from: CORP,
        to: Some(OPEN),
        question,
        detail: "Rechnung \u{202e}gpj.exe".as_bytes(),
        grants: &[Grant::Once, Grant::For(Duration::from_secs(600))],
    };
    desk.scene.ask(request, Duration::ZERO).unwrap();
    if armed {
        desk.scene.tick(Duration::from_secs(2));
    }
    desk.check(name);
}

#[test]
fn prompt_pages() {
    let english = "Bring what you copied in corp (a file of 12 kB) into open?";
    prompt(
        four_zones(960, 640, 1.0, Settings::default()),
        "prompt-dark",
        english,
        true,
    );
    prompt(
        four_zones(960, 640, 1.0, Settings::default()),
        "prompt-unarmed",
        english,
        false,
    );
    let satz = "Eine Datei mit 12.345 Byte, angeboten in corp, nach open übertragen?";
    prompt(
        four_zones(960, 640, 1.0, german()),
        "prompt-light-german",
        satz,
        true,
    );
    prompt(
        four_zones(960, 640, 1.0, high_contrast()),
        "prompt-contrast-large",
        english,
        true,
    );
    prompt(
        four_zones(1600, 1100, 2.0, Settings::default()),
        "prompt-200",
        english,
        true,
    );
}

fn lock(mut desk: Desk, name: &str, why: LockReason, refused: Option<(Refusal, u64)>) {
    desk.scene.lock(why);
    if let Some((refusal, seconds)) = refused {
        for code in 30..36 {
            desk.scene.handle(
                InputEvent::Key {
                    code,
                    movement: KeyMovement::Pressed,
                },
                Duration::ZERO,
            );
        }
        desk.scene
            .refuse_unlock(refusal, Duration::from_secs(seconds));
    }
    desk.check(name);
}

fn overview(mut desk: Desk, name: &str) {
    desk.chord(17);
    desk.scene.handle(
        InputEvent::Key {
            code: keys::TAB,
            movement: KeyMovement::Pressed,
        },
        Duration::ZERO,
    );
    desk.check(name);
}

#[test]
fn overview_of_all_zones() {
    overview(
        four_zones(960, 640, 1.0, Settings::default()),
        "overview-dark",
    );
    overview(four_zones(960, 640, 1.0, german()), "overview-light-german");
    overview(
        four_zones(960, 640, 1.0, high_contrast()),
        "overview-contrast-large",
    );
    overview(
        four_zones(1600, 1100, 2.0, Settings::default()),
        "overview-200",
    );
    overview(
        four_zones(1600, 1100, 2.0, high_contrast()),
        "overview-contrast-200",
    );
}

#[test]
fn lock_screen() {
    let small = |settings| four_zones(960, 640, 1.0, settings);
    let dark = Settings::default();
    lock(small(dark), "lock-dark", LockReason::Person, None);
    let wrong = Some((Refusal::Wrong, 4));
    lock(small(dark), "lock-refused", LockReason::Slept, wrong);
    let often = Some((Refusal::Wrong, 256));
    lock(
        small(german()),
        "lock-light-german",
        LockReason::Screens,
        often,
    );
    let held = Some((Refusal::Held, 0));
    let policy = LockReason::Policy;
    lock(small(high_contrast()), "lock-contrast-large", policy, held);
    let double = four_zones(1600, 1100, 2.0, dark);
    lock(double, "lock-200", LockReason::Idle, wrong);
}

/// What happened, and what is wrong, said in the panel: on two lines where it is long.
#[test]
fn notices() {
    let german_large = Settings {
        large_text: true,
        ..german()
    };
    for (settings, name) in [
        (german(), "notice-light-german"),
        (german_large, "notice-large-german"),
    ] {
        let mut desk = two_zones(1280, 480, 1.0, settings);
        desk.scene.set_signs(PanelSigns {
            clock: Some(Label::new("14:05", 8)),
            layout: true,
            policy: Health::Warned,
            audit: Health::Good,
            usb: Health::Good,
            network: Health::Absent,
        });
        desk.scene.set_outdated(OPEN, Some("Arbeitsspeicher"));
        let notice = "Nicht übertragen: Keine Regel erlaubt es, und was keine Regel erlaubt, bleibt in der Zone.";
        desk.scene.set_status(&[notice]);
        desk.check(name);
    }
}

/// The sheet of a page that a person works with, and a picture that somebody painted of it.
#[test]
fn sheet_of_a_page() {
    let mut desk = four_zones(1280, 800, 1.25, Settings::default());
    desk.chord(keys::SPACE);
    let at = desk.place_of("Settings");
    desk.click(at.x, at.y);
    let space = desk.scene.work_space().unwrap();
    assert_eq!(space.page, WorkPage::Settings);
    let Size { width, height } = space.size;
    desk.scene.paint_page_picture(space.size, |pixels| {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        for (pixel, (x, y)) in pixels.iter_mut().zip(places) {
            *pixel = 0xff00_0000 | (x / 16 * 3 % 256) << 16 | (y / 16 * 5 % 256) << 8;
        }
        vec![Rect::of_size(space.size)]
    });
    desk.check("sheet");
}
