//! The whole screen without X or Wayland, in a virtual machine with Debian's stock kernel: what it shows is compared pixel for pixel with
//! what the same program paints without a screen, and a person's hands are QEMU's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use compositor::{LockReason, Scale, Scene, Settings, Size, Target};
use endpoint::state_directory::StateDirectory;
use kiosk::Recipe;
use kiosk::kernel::Kernel;
use lab::{Act, Boot, Machine, Picture, Qmp, Viewer};

use crate::command_line::Installed;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "kms::a_virtual_card_shows_what_headless_paints",
        a_virtual_card_shows_what_headless_paints,
    ),
    (
        "kms::a_plain_card_shows_what_headless_paints",
        a_plain_card_shows_what_headless_paints,
    ),
    (
        "kms::a_screen_that_is_plugged_in_locks",
        a_screen_that_is_plugged_in_locks,
    ),
    (
        "kms::two_screens_and_a_pointer_that_are_plugged_in",
        two_screens_and_a_pointer_that_are_plugged_in,
    ),
    (
        "kms::a_machine_that_slept_wakes_up_locked",
        a_machine_that_slept_wakes_up_locked,
    ),
    (
        "kms::a_machine_that_slept_lightly_wakes_up_locked",
        a_machine_that_slept_lightly_wakes_up_locked,
    ),
    (
        "kms::a_small_panel_of_many_pixels_is_scaled",
        a_small_panel_of_many_pixels_is_scaled,
    ),
];

/// A person's deed, in words of the headless script and as what QEMU's devices do; then a picture of what has become of it.
struct Stage {
    name: &'static str,
    script: &'static str,
    hands: fn(&mut Qmp),
}

const STAGES: &[Stage] = &[
    Stage {
        name: "both zones have drawn",
        script: "wait-ready open timeout 25\nwait-ready corp timeout 25\n",
        hands: |_| {},
    },
    Stage {
        name: "a chord gives a zone the keyboard, and a key reaches it",
        script: "key super+2\nkey a\nwait-console corp key 30 up timeout 20\n",
        hands: |qemu| {
            qemu.chord(&["meta_l", "2"]);
            qemu.chord(&["a"]);
        },
    },
    Stage {
        name: "a chord makes its window larger",
        script: "key super+f\n",
        hands: |qemu| qemu.chord(&["meta_l", "f"]),
    },
    Stage {
        name: "others make it small again, and put it over the other one",
        script: "key super+left\nkey super+up\n",
        hands: |qemu| {
            qemu.chord(&["meta_l", "left"]);
            qemu.chord(&["meta_l", "up"]);
        },
    },
    Stage {
        name: "the attention page dims the rest",
        script: "key ctrl+alt+escape\n",
        hands: |qemu| qemu.chord(&["ctrl", "alt", "esc"]),
    },
    Stage {
        name: "and goes again; the pointer shows where it is put",
        script: "key escape\nmove 640 400\n",
        hands: |qemu| {
            qemu.chord(&["esc"]);
            point(qemu, 640, 400);
        },
    },
    Stage {
        name: "a click gives the other zone the keyboard",
        script: "click left 100 600\n",
        hands: |qemu| {
            point(qemu, 100, 600);
            qemu.act(&[Act::Button("left", true)]);
            qemu.act(&[Act::Button("left", false)]);
        },
    },
    // By itself: nothing says which of two devices is heard first.
    Stage {
        name: "and there go the keys",
        script: "key b\nwait-console open key 48 up timeout 20\n",
        hands: |qemu| qemu.chord(&["b"]),
    },
];

/// How long a picture may take to come: the first one waits for the machine to start.
const PATIENCE: Duration = Duration::from_secs(90);
/// The size that QEMU's cards prefer.
const SIZE: (u32, u32) = (1280, 800);

/// Puts QEMU's tablet on a pixel.
fn point(qemu: &mut Qmp, x: u32, y: u32) {
    let place = |at: u32, pixels: u32| (at * 32767 + (pixels - 1) / 2) / (pixels - 1);
    qemu.act(&[Act::Point(place(x, SIZE.0), place(y, SIZE.1))]);
}

fn a_virtual_card_shows_what_headless_paints() {
    // The pointer is virtio's, the keyboard the one every PC has.
    let devices = ["-device", "virtio-vga", "-device", "virtio-tablet-pci"];
    compare_with_headless(&["virtio-gpu", "virtio-input", "psmouse"], &devices);
}

fn a_plain_card_shows_what_headless_paints() {
    let devices = [
        "-device",
        "bochs-display",
        "-device",
        "qemu-xhci",
        "-device",
        "usb-tablet",
        "-device",
        "usb-kbd",
    ];
    let drivers = ["bochs", "xhci-pci", "usbhid", "hid-generic"];
    compare_with_headless(&drivers, &devices);
}

fn compare_with_headless(drivers: &[&str], devices: &[&str]) {
    let installed = Installed::new();
    let mut script = String::new();
    for (number, stage) in STAGES.iter().enumerate() {
        script.push_str(stage.script);
        // What the zones draw in answer to a key comes with a later message.
        script.push_str(&format!("sleep 0.3\nscreenshot {number}.png\n"));
    }
    let expected = headless(&installed, SIZE, &script, STAGES.len());
    for (stage, pair) in STAGES.iter().skip(1).zip(expected.windows(2)) {
        assert!(pair[0] != pair[1], "no change: {}", stage.name);
    }
    let mut kiosk = Kiosk::start(&installed, drivers, devices, &[]);
    kiosk.play(&expected);
    kiosk.power_off();
}

/// What unlocks the desktop of the last test: keys of one row, each once.
const PASSPHRASE: &str = "asdfghjk";

fn a_screen_that_is_plugged_in_locks() {
    let (installed, place) = locking_desktop();
    let locked = |size| locked(&installed, size);
    let devices = ["-device", "virtio-vga"];
    let state = ("var/lib/bulkhead", place.as_path());
    let mut kiosk = Kiosk::start(&installed, &["virtio-gpu"], &devices, &[state]);
    kiosk.expect("a desktop with a passphrase starts locked", &locked(SIZE));

    // Another screen shows the lock as well.
    kiosk.machine.plug_screen(1024, 768);
    kiosk.expect("so it is on another screen", &locked((1024, 768)));
    kiosk.unlock();
    kiosk.machine.plug_screen(1152, 864);
    kiosk
        .machine
        .wait_for_words("screens were plugged in or out");
    kiosk.expect(
        "a screen that comes locks it again",
        &locked_for(LockReason::Screens, (1152, 864)),
    );
    kiosk.power_off();
}

/// A desktop that locks, and its place for state.
fn locking_desktop() -> (Installed, PathBuf) {
    let installed = Installed::new();
    let place = installed.path("locked");
    let state = StateDirectory::open(place.clone()).unwrap();
    state.passphrase().set(PASSPHRASE).unwrap();
    (installed, place)
}

/// What the lock shows on a screen of this size when it came up for this reason.
fn locked_for(why: LockReason, (width, height): (u32, u32)) -> Picture {
    let size = Size::new(width, height);
    let [across, down] = [width, height].map(|length| usize::try_from(length).unwrap());
    let mut scene = Scene::new(size, Scale::ONE, Settings::default());
    scene.lock(why);
    let mut pixels = vec![0; across * down];
    let mut target = Target {
        pixels: &mut pixels,
        size,
        stride: across,
        age: 0,
    };
    scene.render(endpoint::DESKTOP, &mut target);
    let colours = pixels.iter().map(|pixel| {
        let [blue, green, red, _] = pixel.to_le_bytes();
        [red, green, blue]
    });
    let mut picture = Picture {
        width: across,
        height: down,
        pixels: colours.collect(),
    };
    stop_clock(&mut picture);
    picture
}

/// What the lock shows on a screen of this size when the desktop has started.
fn locked(installed: &Installed, size: (u32, u32)) -> Picture {
    headless(installed, size, "sleep 1\nscreenshot 0.png\n", 1).remove(0)
}

/// What the desktop shows once it is unlocked and somebody did this.
fn unlocked(installed: &Installed, deed: &str) -> Picture {
    let script = format!(
        "unlock {PASSPHRASE}\nwait-unlocked\nwait-ready open timeout 25\nwait-ready corp timeout 25\n{deed}sleep 0.3\nscreenshot 0.png\n"
    );
    headless(installed, SIZE, &script, 1).remove(0)
}

/// Each screen has its own mode, its own panel and its part of the desktop; the pointer goes from one to the other.
fn two_screens_and_a_pointer_that_are_plugged_in() {
    const SECOND: (u32, u32) = (1024, 768);
    let (installed, place) = locking_desktop();
    let socket = installed.path("second-screen");
    let viewer = format!("unix:{},display=card,head=1", socket.display());
    let devices = [
        "-device",
        "virtio-vga,id=card,max_outputs=2",
        "-device",
        "qemu-xhci,id=usb",
        "-vnc",
        &viewer,
    ];
    let drivers = ["virtio-gpu", "xhci-pci", "usbhid", "hid-generic"];
    let state = ("var/lib/bulkhead", place.as_path());
    let mut kiosk = Kiosk::start(&installed, &drivers, &devices, &[state]);
    kiosk.expect("one screen, locked", &locked(&installed, SIZE));
    // It stays: a screen is there for as long as somebody looks at it.
    let mut viewer = Viewer::connect(&socket);
    viewer.set_size(1024, 768);
    let second = locked(&installed, SECOND);
    kiosk.expect_of("so is a second one, in a mode of its own", 1, &second);
    kiosk.expect("the first one stays as it was", &locked(&installed, SIZE));
    kiosk.unlock();
    kiosk.expect("windows are on the first one", &unlocked(&installed, ""));
    let mut bare = kiosk.qemu.picture_of("card", 1);
    stop_clock(&mut bare);
    assert!(bare != second, "the second one still shows the lock");
    assert_eq!((bare.width, bare.height), (1024, 768));

    // A tablet spans both screens: 2304 pixels across, 800 down.
    let tablet = serde_json::json!({ "driver": "usb-tablet", "bus": "usb.0", "id": "tablet" });
    kiosk.qemu.execute("device_add", &tablet);
    kiosk.machine.wait_for_words("QEMU USB Tablet");
    let across = |x: u32| (x * 32767 + 2303 / 2) / 2303;
    let down = |y: u32| (y * 32767 + 799 / 2) / 799;
    kiosk.qemu.act(&[Act::Point(across(640), down(400))]);
    let pointed = unlocked(&installed, "move 640 400\n");
    kiosk.expect("the pointer is on the first screen", &pointed);
    kiosk.qemu.act(&[Act::Point(across(1280 + 300), down(500))]);
    kiosk.expect("and leaves it", &unlocked(&installed, ""));
    kiosk.expect_that("for the second one", 1, |shown| {
        let differ = |x: usize, y: usize| shown.pixels[y * 1024 + x] != bare.pixels[y * 1024 + x];
        (500..516).any(|y| (300..312).any(|x| differ(x, y)))
            && (0..768).all(|y| {
                (0..1024).all(|x| {
                    let at_pointer = (290..330).contains(&x) && (490..530).contains(&y);
                    at_pointer || !differ(x, y)
                })
            })
    });
    // Without its device the keyboard still works.
    let gone = serde_json::json!({ "id": "tablet" });
    kiosk.qemu.execute("device_del", &gone);
    kiosk.qemu.chord(&["meta_l", "2"]);
    let focused = unlocked(&installed, "key super+2\n");
    kiosk.expect("a chord gives the other zone the keyboard", &focused);
    kiosk.power_off();
}

/// What was on the screen before is not what is there for whoever opens the lid.
fn a_machine_that_slept_wakes_up_locked() {
    let (installed, place) = locking_desktop();
    let devices = ["-device", "bochs-display"];
    let state = ("var/lib/bulkhead", place.as_path());
    let mut kiosk = Kiosk::start(&installed, &["bochs"], &devices, &[state]);
    kiosk.expect("locked at first", &locked(&installed, SIZE));
    kiosk.unlock();
    let open = unlocked(&installed, "key super+2\n");
    kiosk.qemu.chord(&["meta_l", "2"]);
    kiosk.expect("unlocked", &open);
    kiosk.qemu.chord(&["f9"]);
    let nothing = serde_json::json!({});
    let give_up = Instant::now() + PATIENCE;
    while kiosk.qemu.execute("query-status", &nothing)["status"] != "suspended" {
        assert!(Instant::now() < give_up, "it does not fall asleep");
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_secs(3));
    kiosk.qemu.execute("system_wakeup", &nothing);
    kiosk.machine.wait_for_words("the machine slept");
    kiosk.expect("locked when it wakes", &locked_for(LockReason::Slept, SIZE));
    kiosk.unlock();
    kiosk.power_off();
}

/// The same by s2idle, as laptops without S3 do it. QEMU's processor has no deep idle states, so the clocks go on.
fn a_machine_that_slept_lightly_wakes_up_locked() {
    let (installed, place) = locking_desktop();
    let devices = ["-device", "bochs-display"];
    let state = [("var/lib/bulkhead", place.as_path())];
    let words = "mem_sleep_default=s2idle ignore_loglevel";
    let mut kiosk = Kiosk::start_with(&installed, &["bochs"], &devices, &state, words);
    kiosk.expect("locked at first", &locked(&installed, SIZE));
    kiosk.unlock();
    kiosk.qemu.chord(&["meta_l", "2"]);
    let open = unlocked(&installed, "key super+2\n");
    kiosk.expect("unlocked", &open);
    kiosk.qemu.chord(&["f9"]);
    kiosk.machine.wait_for_words("PM: suspend entry (s2idle)");
    std::thread::sleep(Duration::from_secs(3));
    kiosk
        .qemu
        .execute("system_powerdown", &serde_json::json!({}));
    kiosk.machine.wait_for_words("the machine slept");
    kiosk.expect("locked when it wakes", &locked_for(LockReason::Slept, SIZE));
    kiosk.unlock();
    kiosk.power_off();
}

/// A panel of 3840 x 2160 pixels and 34 cm: 287 dots per inch, three times what is usual less a quarter.
fn a_small_panel_of_many_pixels_is_scaled() {
    const PIXELS: (u16, u16) = (3840, 2160);
    let (installed, place) = locking_desktop();
    let panel = installed.path("panel.bin");
    std::fs::write(&panel, edid(PIXELS, (340, 190))).unwrap();
    let files = [
        ("var/lib/bulkhead", place.as_path()),
        ("lib/firmware/edid/panel.bin", panel.as_path()),
    ];
    let devices = ["-device", "virtio-vga,xres=3840,yres=2160"];
    let words = "drm.edid_firmware=edid/panel.bin";
    let mut kiosk = Kiosk::start_with(&installed, &["virtio-gpu"], &devices, &files, words);
    let size = (PIXELS.0.into(), PIXELS.1.into());
    let script = format!(
        "sleep 1\nscreenshot 0.png\nunlock {PASSPHRASE}\nwait-unlocked\nwait-ready open timeout 25\nwait-ready corp timeout 25\nsleep 0.3\nscreenshot 1.png\n"
    );
    let expected = scaled(&installed, size, "2.75", &script, 2);
    kiosk.expect("locked, in the panel's own scale", &expected[0]);
    kiosk.unlock();
    kiosk.expect("and so is the desktop", &expected[1]);
    let plain = locked(&installed, size);
    assert!(plain != expected[0], "a scale is to be seen");
    kiosk.power_off();
}

/// What a panel says of itself (VESA E-EDID, release A2): one mode at 30 Hz, and its size in millimetres.
fn edid((width, height): (u16, u16), (across, down): (u16, u16)) -> [u8; 128] {
    let (blank, blank_lines) = (160, 62);
    let low = |value: u16| value.to_le_bytes()[0];
    // The upper four bits of two twelve-bit numbers share a byte.
    let upper = |first: u16, second: u16| low((first >> 8) << 4 | second >> 8);
    let pixels = u32::from(width + blank) * u32::from(height + blank_lines) * 30;
    let clock = u16::try_from(pixels / 10_000).unwrap().to_le_bytes();
    let timing = [
        [
            clock[0],
            clock[1],
            low(width),
            low(blank),
            upper(width, blank),
        ],
        [
            low(height),
            low(blank_lines),
            upper(height, blank_lines),
            48,
            32,
        ],
        // The pulses: 48 pixels on, 32 long; 3 lines on, 5 long.
        [0x35, 0, low(across), low(down), upper(across, down)],
    ];
    let mut edid = [0; 128];
    edid[1..7].fill(0xff);
    // Made by "BLK" in 2026, version 1.4; digital, 8 bits, DisplayPort; its first mode is its own.
    edid[8..10].copy_from_slice(&[0x09, 0x8b]);
    edid[17..21].copy_from_slice(&[36, 1, 4, 0xa5]);
    edid[21..25].copy_from_slice(&[low(across / 10), low(down / 10), 0x78, 0x02]);
    edid[38..54].fill(1);
    edid[54..69].copy_from_slice(timing.as_flattened());
    edid[71] = 0x1a;
    for dummy in [72, 90, 108] {
        edid[dummy + 3] = 0x10;
    }
    let sum = edid.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    edid[127] = sum.wrapping_neg();
    edid
}

struct Kiosk {
    machine: Machine,
    qemu: Qmp,
}

impl Kiosk {
    fn start(
        installed: &Installed,
        drivers: &[&str],
        devices: &[&str],
        files: &[(&str, &Path)],
    ) -> Self {
        Self::start_with(installed, drivers, devices, files, "")
    }

    /// With more words for the kernel.
    fn start_with(
        installed: &Installed,
        drivers: &[&str],
        devices: &[&str],
        files: &[(&str, &Path)],
        command_line: &str,
    ) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let kernel = Kernel::stock(&target.join("debian-amd64-kernel")).expect("Debian's kernel");
        let drivers = [&["atkbd", "button", "evdev", "virtio-pci"], drivers].concat();
        let (policy, images) = (
            installed.path("policy.toml"),
            installed.path("data/bulkhead/images"),
        );
        let always = [
            ("etc/bulkhead/policy.toml", policy.as_path()),
            ("usr/share/bulkhead/images", &images),
        ];
        let recipe = Recipe {
            kernel: &kernel,
            drivers: &drivers,
            init: &init_program(),
            programs: &[installed.path("bulkhead"), installed.path("bulkhead-zone")],
            files: &[&always, files].concat(),
            arguments: &[
                "-v",
                "run",
                "--kms",
                "--policy=/etc/bulkhead/policy.toml",
                "--image-store=/usr/share/bulkhead/images",
            ],
        };
        let mut machine = Machine::start(&Boot {
            kernel: &kernel.image,
            initramfs: &recipe.initramfs().expect("an initramfs"),
            command_line,
            arguments: devices,
            failure: "kiosk: the desktop ended",
        });
        let qemu = machine.qmp();
        machine.check();
        Self { machine, qemu }
    }

    /// Does what a person does, and expects of each deed the picture that headless has of it.
    fn play(&mut self, expected: &[Picture]) {
        for (stage, expected) in STAGES.iter().zip(expected) {
            (stage.hands)(&mut self.qemu);
            self.expect(stage.name, expected);
        }
    }

    /// Types the passphrase.
    fn unlock(&mut self) {
        for key in PASSPHRASE.chars() {
            self.qemu.chord(&[key.to_string().as_str()]);
        }
        self.qemu.chord(&["ret"]);
        self.machine.wait_for_words("\"unlocked\"");
    }

    /// Waits for a picture on the screen.
    fn expect(&mut self, what: &str, expected: &Picture) {
        self.wait_for(what, Qmp::picture, |shown| {
            (shown != expected).then(|| difference(shown, expected))
        });
    }

    /// Waits for a picture on one of the card's screens.
    fn expect_of(&mut self, what: &str, head: u32, expected: &Picture) {
        self.wait_for(
            what,
            |qemu| qemu.picture_of("card", head),
            |shown| (shown != expected).then(|| difference(shown, expected)),
        );
    }

    /// Waits until one of the card's screens is so.
    fn expect_that(&mut self, what: &str, head: u32, is_so: impl Fn(&Picture) -> bool) {
        self.wait_for(
            what,
            |qemu| qemu.picture_of("card", head),
            |shown| (!is_so(shown)).then(|| format!("{shown:?} is not it")),
        );
    }

    fn wait_for(
        &mut self,
        what: &str,
        picture: impl Fn(&mut Qmp) -> Picture,
        wrong: impl Fn(&Picture) -> Option<String>,
    ) {
        println!("  {what}");
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.machine.check();
            let mut shown = picture(&mut self.qemu);
            stop_clock(&mut shown);
            let late = Instant::now() > give_up;
            match wrong(&shown) {
                None => return,
                Some(wrong) if late => panic!("{what}: {wrong}"),
                Some(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// The power button ends the show in good order, and the machine with it.
    fn power_off(&mut self) {
        self.qemu
            .execute("system_powerdown", &serde_json::json!({}));
        self.machine.wait_for_end();
    }
}

/// Plays a script without a screen; gives the pictures that it takes, which are named by their numbers.
fn headless(installed: &Installed, size: (u32, u32), script: &str, count: usize) -> Vec<Picture> {
    scaled(installed, size, "1", script, count)
}

fn scaled(
    installed: &Installed,
    (width, height): (u32, u32),
    scale: &str,
    script: &str,
    count: usize,
) -> Vec<Picture> {
    std::fs::write(installed.path("stages.script"), script).unwrap();
    let size = format!("{width}x{height}");
    let mut bulkhead = installed.command(&["run", "--policy", "policy.toml", "--headless"]);
    bulkhead.args([
        "--size",
        &size,
        "--scale",
        scale,
        "--script",
        "stages.script",
    ]);
    if installed.path("locked").exists() {
        bulkhead.args(["--state-dir", "locked"]);
    }
    let output = bulkhead.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let picture = |number: usize| {
        let file = std::fs::File::open(installed.path(&format!("{number}.png"))).unwrap();
        let mut reader = png::Decoder::new(std::io::BufReader::new(file))
            .read_info()
            .unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        let (pixels, []) = bytes.as_chunks() else {
            panic!("whole pixels");
        };
        let mut picture = Picture {
            width: usize::try_from(width).unwrap(),
            height: usize::try_from(height).unwrap(),
            pixels: pixels.to_vec(),
        };
        stop_clock(&mut picture);
        picture
    };
    (0..count).map(picture).collect()
}

/// Blackens the right end of the panel, where a clock goes on while pictures are taken. Large screens are scaled.
fn stop_clock(picture: &mut Picture) {
    let scale = if picture.width > 2000 { 3 } else { 1 };
    let clock = picture.width.saturating_sub(300 * scale)..picture.width;
    for row in picture.pixels.chunks_mut(picture.width).take(31 * scale) {
        row[clock.clone()].fill([0; 3]);
    }
}

/// `kiosk-init`, which belongs to another package, built as this program was.
fn init_program() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_bulkhead")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "kiosk",
        "--bin",
        "kiosk-init",
    ]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo
        .arg("--target-dir")
        .arg(folder.parent().unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "kiosk-init does not build");
    folder.join("kiosk-init")
}

/// What differs, in a sentence; both pictures are left for a person to look at.
fn difference(shown: &Picture, expected: &Picture) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, picture) in [("shown", shown), ("expected", expected)] {
        let header = format!("P6\n{} {}\n255\n", picture.width, picture.height);
        let bytes = [header.as_bytes(), picture.pixels.as_flattened()].concat();
        std::fs::write(folder.join(format!("kms-{name}.ppm")), bytes).unwrap();
    }
    if (shown.width, shown.height) != (expected.width, expected.height) {
        return format!("{shown:?} is shown, {expected:?} was expected");
    }
    let differ = |(shown, expected): (&[u8; 3], &[u8; 3])| shown != expected;
    let count = shown
        .pixels
        .iter()
        .zip(&expected.pixels)
        .filter(|pair| differ(*pair))
        .count();
    let first = shown
        .pixels
        .iter()
        .zip(&expected.pixels)
        .position(differ)
        .unwrap_or(0);
    format!(
        "{count} pixels differ, the first at {}, {}; see {}/kms-*.ppm",
        first % shown.width,
        first / shown.width,
        folder.display()
    )
}
