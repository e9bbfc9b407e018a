//! A window on a real X server (Xvfb), with a person's hands (xdotool) and eyes (the server's frame buffer, which it keeps in a file).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command_line::Installed;
use crate::zone::{INK, colour_of};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "window::a_window_shows_zones_and_hears_a_person",
        a_window_shows_zones_and_hears_a_person,
    ),
    #[cfg(feature = "gpu")]
    (
        "window::a_window_painted_by_the_card_does_too",
        a_window_painted_by_the_card_does_too,
    ),
];

const PATIENCE: Duration = Duration::from_secs(30);

struct Display {
    server: Child,
    name: String,
    frame_buffer: tempfile::TempDir,
}

impl Display {
    fn open() -> Self {
        let frame_buffer = tempfile::tempdir().unwrap();
        let mut server = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1400x900x24",
                "-nolisten",
                "tcp",
                "-fbdir",
            ])
            .arg(frame_buffer.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("install the packages xvfb and xdotool (cargo xtask test does)");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        Self {
            server,
            name: format!(":{}", number.trim()),
            frame_buffer,
        }
    }

    fn person(&self, acts: &[&str]) -> String {
        let output = Command::new("xdotool")
            .args(acts)
            .env("DISPLAY", &self.name)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The colour of a pixel of the screen. The file is an XWD: its header says where the pixels begin.
    fn pixel(&self, x: usize, y: usize) -> u32 {
        let image = std::fs::read(self.frame_buffer.path().join("Xvfb_screen0")).unwrap();
        let word = |index: usize| {
            let bytes: [u8; 4] = image[index * 4..index * 4 + 4].try_into().unwrap();
            usize::try_from(u32::from_be_bytes(bytes)).unwrap()
        };
        let (header, line, colours) = (word(0), word(12), word(19));
        let at = header + colours * 12 + y * line + x * 4;
        u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) & 0x00ff_ffff
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn wait_for(what: &str, mut met: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn a_window_shows_zones_and_hears_a_person() {
    if cfg!(feature = "window") {
        try_window(&[]);
    }
}

#[cfg(feature = "gpu")]
fn a_window_painted_by_the_card_does_too() {
    try_window(&["--gpu"]);
}

fn try_window(more: &[&str]) {
    let installed = Installed::new();
    let display = Display::open();
    std::fs::write(
        installed.path("up.script"),
        "wait-ready corp timeout 25\nwait-ready open timeout 25\nscreenshot up.png\n",
    )
    .unwrap();
    let mut running = installed
        .command(&[
            "run",
            "--policy",
            "policy.toml",
            "--script",
            "up.script",
            "-v",
        ])
        .args(more)
        .env("DISPLAY", &display.name)
        .stderr(std::fs::File::create(installed.path("said")).unwrap())
        .spawn()
        .unwrap();
    wait_for("the zones", || installed.path("up.png").exists());
    let console = |zone: &str| {
        let log = installed.path(&format!("state/bulkhead/{zone}.console.log"));
        std::fs::read_to_string(log).unwrap_or_default()
    };
    let window = display.person(&["search", "--name", "^Bulkhead$"]);
    display.person(&["windowfocus", "--sync", window.trim()]);
    // Into the left window, then the right one: a click focuses, keys go there, and the pixels change on the screen.
    for (zone, other, x) in [("open", "corp", 300), ("corp", "open", 1000)] {
        display.person(&["mousemove", &x.to_string(), "400", "click", "1"]);
        wait_for("the click", || console(zone).contains("button 0x110 false"));
        display.person(&["key", "a"]);
        wait_for("the key", || console(zone).contains("key 30 up"));
        let others = console(other).matches("key ").count();
        display.person(&["key", "ctrl+b"]);
        wait_for("the chord", || console(zone).contains("key 48 up"));
        assert_eq!(
            console(other).matches("key ").count(),
            others,
            "{other} heard keys that were not for it"
        );
        wait_for("the zone's colour", || {
            display.pixel(x, 500) == colour_of(zone)
        });
    }
    // The first key painted a square in the corner of each zone's pixels, under the frame's title.
    for x in [6, 646] {
        wait_for("the square that a key paints", || {
            (50..90).any(|y| display.pixel(x, y) == INK)
        });
    }
    // The host's chord reaches no zone.
    display.person(&["key", "super+1"]);
    display.person(&["key", "c"]);
    wait_for("the key after the chord", || {
        console("open").contains("key 46 up")
    });
    assert!(!console("open").contains("key 125") && !console("corp").contains("key 125"));
    // An interrupt at the terminal shuts the zones down in good order.
    let process = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
    let audit =
        std::fs::read_to_string(installed.path("state/bulkhead/audit/audit-00000001.log")).unwrap();
    assert!(!audit.contains("\"killed\""), "{audit}");
    // A card that fails is left for the processor, which would show the same.
    let said = std::fs::read_to_string(installed.path("said")).unwrap();
    let by_card = said.contains("painted by") && !said.contains("the processor paints");
    assert_eq!(by_card, more.contains(&"--gpu"), "{said}");
}
