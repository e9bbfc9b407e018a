//! A window on a real X server (Xvfb), with a person's hands (xdotool) and eyes (the server's frame buffer, which it keeps in a file).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use endpoint::state_directory::StateDirectory;

use crate::command_line::Installed;
use crate::zone::{INK, colour_of};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "window::a_window_shows_zones_and_hears_a_person",
        a_window_shows_zones_and_hears_a_person,
    ),
    (
        "window::a_person_unlocks_moves_a_window_answers_and_locks",
        a_person_unlocks_moves_a_window_answers_and_locks,
    ),
    #[cfg(feature = "gpu")]
    (
        "window::a_window_painted_by_the_card_does_too",
        a_window_painted_by_the_card_does_too,
    ),
];

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Display {
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

    pub(crate) fn person(&self, acts: &[&str]) -> String {
        let output = Command::new("xdotool")
            .args(acts)
            .env("DISPLAY", &self.name)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The colour of a pixel of the screen. The file is an XWD: its header says where the pixels begin.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> u32 {
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

pub(crate) fn wait_for(what: &str, mut met: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program in a window on that display, with both zones up.
pub(crate) struct Shown {
    pub(crate) installed: Installed,
    pub(crate) display: Display,
    pub(crate) running: Child,
}

impl Shown {
    pub(crate) fn start(installed: Installed, more: &[&str]) -> Self {
        Self::start_within(installed, more, &[])
    }

    /// In a desktop session that more variables describe.
    pub(crate) fn start_within(
        installed: Installed,
        more: &[&str],
        session: &[(&str, &str)],
    ) -> Self {
        let display = Display::open();
        std::fs::write(
            installed.path("up.script"),
            "wait-ready corp timeout 25\nwait-ready open timeout 25\nscreenshot up.png\n",
        )
        .unwrap();
        let running = installed
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
            .envs(session.iter().copied())
            .stderr(std::fs::File::create(installed.path("said")).unwrap())
            .spawn()
            .unwrap();
        wait_for("the zones", || installed.path("up.png").exists());
        let window = display.person(&["search", "--name", "^Bulkhead$"]);
        display.person(&["windowfocus", "--sync", window.trim()]);
        Self {
            installed,
            display,
            running,
        }
    }

    pub(crate) fn console(&self, zone: &str) -> String {
        let log = format!("state/bulkhead/{zone}.console.log");
        std::fs::read_to_string(self.installed.path(&log)).unwrap_or_default()
    }

    pub(crate) fn audit(&self) -> String {
        let log = self
            .installed
            .path("state/bulkhead/audit/audit-00000001.log");
        std::fs::read_to_string(log).unwrap()
    }

    /// An interrupt at the terminal shuts the zones down in good order.
    pub(crate) fn interrupt(&mut self) {
        let process = rustix::process::Pid::from_child(&self.running);
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        assert_eq!(self.running.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

/// Where the middle of each zone's window is at first, and the other zone.
const PLACES: [(&str, &str, usize); 2] = [("open", "corp", 300), ("corp", "open", 1000)];

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
    let mut shown = Shown::start(Installed::new(), more);
    let display = &shown.display;
    // Into the left window, then the right one: a click focuses, keys go there, and the pixels change on the screen.
    for (zone, other, x) in PLACES {
        display.person(&["mousemove", &x.to_string(), "400", "click", "1"]);
        wait_for("the click", || {
            shown.console(zone).contains("button 0x110 false")
        });
        display.person(&["key", "a"]);
        wait_for("the key", || shown.console(zone).contains("key 30 up"));
        let others = shown.console(other).matches("key ").count();
        display.person(&["key", "ctrl+b"]);
        wait_for("the chord", || shown.console(zone).contains("key 48 up"));
        assert_eq!(
            shown.console(other).matches("key ").count(),
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
        shown.console("open").contains("key 46 up")
    });
    assert!(
        !shown.console("open").contains("key 125") && !shown.console("corp").contains("key 125")
    );
    shown.interrupt();
    let audit = shown.audit();
    assert!(!audit.contains("\"killed\""), "{audit}");
    // A card that fails is left for the processor, which would show the same.
    let said = std::fs::read_to_string(shown.installed.path("said")).unwrap();
    let by_card = said.contains("painted by") && !said.contains("the processor paints");
    assert_eq!(by_card, more.contains(&"--gpu"), "{said}");
}

fn a_person_unlocks_moves_a_window_answers_and_locks() {
    if !cfg!(feature = "window") {
        return;
    }
    let installed = Installed::new();
    let state = StateDirectory::open(installed.path("state/bulkhead")).unwrap();
    state.passphrase().set("right one").unwrap();
    let asks = crate::clips::policy("ask", "");
    std::fs::write(installed.path("policy.toml"), asks).unwrap();
    let mut shown = Shown::start(installed, &[]);
    let display = &shown.display;
    let shows = |zone: &str, x: usize| display.pixel(x, 500) == colour_of(zone);
    let type_in = |words: &str| {
        display.person(&["type", words]);
        display.person(&["key", "Return"]);
    };

    // Locked at its start: nothing of any zone is on the screen, and what is typed unlocks or goes nowhere.
    assert!(!shows("open", 300) && !shows("corp", 1000));
    type_in("right one");
    wait_for("the desktop", || shows("open", 300) && shows("corp", 1000));
    assert!(!shown.console("open").contains("key ") && !shown.console("corp").contains("key "));

    // A window taken by its title follows the pointer, with its frame.
    assert!(shows("open", 20));
    display.person(&["mousemove", "250", "52", "mousedown", "1"]);
    for x in ["270", "310", "350"] {
        display.person(&["mousemove", x, "92"]);
    }
    display.person(&["mouseup", "1"]);
    wait_for("the moved window", || {
        !shows("open", 20) && shows("open", 300)
    });
    assert!(
        !shown.console("open").contains("button"),
        "the drag was the frame's"
    );

    // A question: keys in flight do not answer it; a person who waits does.
    display.person(&["mousemove", "300", "400", "click", "1", "key", "c"]);
    wait_for("the copy", || shown.console("open").contains("copied"));
    display.person(&["mousemove", "1100", "700", "click", "1"]);
    wait_for("the click", || {
        shown.console("corp").contains("button 0x110 false")
    });
    display.person(&["key", "super+v", "Return", "space", "Return"]);
    wait_for("the question", || !shows("corp", 1100));
    assert!(
        !shown.audit().contains("\"answer\""),
        "it was answered too early"
    );
    std::thread::sleep(Duration::from_millis(1500));
    display.person(&["key", "Tab", "Return"]);
    wait_for("the answer", || {
        shown.audit().contains("\"answer\":\"once\"")
    });
    wait_for("the desktop again", || shows("corp", 1100));
    let corp = shown.console("corp");
    for key in ["key 28 ", "key 57 ", "key 15 ", "key 47 ", "key 125 "] {
        assert!(
            !corp.contains(key),
            "corp saw a key of the trusted screens: {key}"
        );
    }

    // Locked by its chord: covered at once, deaf to what is typed, open to the passphrase alone.
    display.person(&["key", "super+l"]);
    wait_for("the lock", || !shows("corp", 1100) && !shows("open", 300));
    type_in("wrong one");
    wait_for("the refusal", || shown.audit().contains("unlock-refused"));
    assert!(!shows("corp", 1100));
    type_in("right one");
    wait_for("the desktop at last", || shows("corp", 1100));
    assert!(
        !shown.console("corp").contains("key 19 "),
        "an r of the passphrase"
    );
    shown.interrupt();
}
