//! The whole screen without X or Wayland, in a virtual machine with Debian's stock kernel: what it shows is compared pixel for pixel with
//! what the same program paints without a screen, and a person's hands are QEMU's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kiosk::Recipe;
use kiosk::kernel::Kernel;
use lab::{Act, Boot, Machine, Picture, Qmp};

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
        script: "key super+up\nwait-console corp surface timeout 20\n",
        hands: |qemu| qemu.chord(&["meta_l", "up"]),
    },
    Stage {
        name: "others make it small again and move it",
        script: "key super+down\nwait-console corp surface timeout 20\nkey super+shift+right\n",
        hands: |qemu| {
            qemu.chord(&["meta_l", "down"]);
            qemu.chord(&["meta_l", "shift", "right"]);
        },
    },
    Stage {
        name: "the attention page dims the rest",
        script: "key super+escape\n",
        hands: |qemu| qemu.chord(&["meta_l", "esc"]),
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
        script: "click left 100 500\nkey b\nwait-console open key 48 up timeout 20\n",
        hands: |qemu| {
            point(qemu, 100, 500);
            qemu.act(&[Act::Button("left", true)]);
            qemu.act(&[Act::Button("left", false)]);
            qemu.chord(&["b"]);
        },
    },
];

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
    let mut kiosk = Kiosk::start(&["virtio-gpu", "virtio-input", "psmouse"], &devices);
    kiosk.play();
    kiosk.power_off();
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
    let mut kiosk = Kiosk::start(&drivers, &devices);
    kiosk.play();
    kiosk.power_off();
}

struct Kiosk {
    machine: Machine,
    qemu: Qmp,
    expected: Vec<Picture>,
}

impl Kiosk {
    fn start(drivers: &[&str], devices: &[&str]) -> Self {
        let installed = Installed::new();
        let expected = headless(&installed);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let kernel = Kernel::stock(&target.join("debian-amd64-kernel")).expect("Debian's kernel");
        let drivers = [&["atkbd", "button", "evdev", "virtio-pci"], drivers].concat();
        let recipe = Recipe {
            kernel: &kernel,
            drivers: &drivers,
            init: &init_program(),
            programs: &[installed.path("bulkhead"), installed.path("bulkhead-zone")],
            files: &[
                ("etc/bulkhead/policy.toml", &installed.path("policy.toml")),
                (
                    "usr/share/bulkhead/images",
                    &installed.path("data/bulkhead/images"),
                ),
            ],
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
            command_line: "",
            arguments: devices,
            failure: "kiosk: the desktop ended",
        });
        let qemu = machine.qmp();
        machine.check();
        Self {
            machine,
            qemu,
            expected,
        }
    }

    /// Does what a person does, and expects of each deed the picture that headless has of it.
    fn play(&mut self) {
        for (stage, expected) in STAGES.iter().zip(&self.expected) {
            println!("  {}", stage.name);
            (stage.hands)(&mut self.qemu);
            loop {
                let shown = self.qemu.picture();
                if shown == *expected {
                    break;
                }
                let given_up = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    self.machine.check();
                }));
                if given_up.is_err() {
                    panic!("{}: {}", stage.name, difference(&shown, expected));
                }
                std::thread::sleep(Duration::from_millis(200));
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

/// Plays the stages without a screen.
fn headless(installed: &Installed) -> Vec<Picture> {
    let mut script = String::new();
    for (number, stage) in STAGES.iter().enumerate() {
        script.push_str(stage.script);
        // What the zones draw in answer to a key comes with a later message.
        script.push_str("sleep 0.3\n");
        script.push_str(&format!("screenshot {number}.png\n"));
    }
    std::fs::write(installed.path("stages.script"), script).unwrap();
    let (width, height) = SIZE;
    let size = format!("{width}x{height}");
    let output = installed
        .command(&["run", "--policy", "policy.toml", "--headless"])
        .args(["--size", &size, "--script", "stages.script"])
        .output()
        .unwrap();
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
        Picture {
            width: usize::try_from(width).unwrap(),
            height: usize::try_from(height).unwrap(),
            pixels: pixels.to_vec(),
        }
    };
    let pictures: Vec<Picture> = (0..STAGES.len()).map(picture).collect();
    let same = pictures.windows(2).any(|pair| pair[0] == pair[1]);
    assert!(!same, "each deed changes the picture");
    pictures
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
