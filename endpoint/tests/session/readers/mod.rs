//! A screen reader on the bus of the desktop around the window: what it hears, and that what it asks for is not done.
//!
//! The bus, its launcher and registry and the library that listens are Debian's, as Orca uses them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use endpoint::state_directory::StateDirectory;
use serde_json::Value;

use crate::command_line::Installed;
use crate::window::{Shown, wait_for};
use crate::zone::colour_of;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "readers::a_screen_reader_hears_the_trusted_screens_and_can_do_nothing",
        a_screen_reader_hears_the_trusted_screens_and_can_do_nothing,
    ),
    (
        "readers::nothing_is_told_where_nothing_is_to_be_told",
        nothing_is_told_where_nothing_is_to_be_told,
    ),
];

const PHRASE: &str = "seven yellow dragons";

/// A session's bus.
struct Bus {
    daemon: Child,
    address: String,
    home: tempfile::TempDir,
}

impl Bus {
    fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut daemon = within(&mut Command::new("dbus-daemon"), home.path())
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("install the package dbus-daemon (cargo xtask test does)");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            daemon,
            address: address.trim().to_owned(),
            home,
        }
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [
            ("DBUS_SESSION_BUS_ADDRESS", &self.address),
            ("XDG_RUNTIME_DIR", self.home.path().to_str().unwrap()),
        ]
    }
}

/// A program of the session that knows nothing of the one around the tests.
fn within<'c>(command: &'c mut Command, home: &std::path::Path) -> &'c mut Command {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GSETTINGS_BACKEND", "memory")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A node as the screen reader has it.
#[derive(Clone, Debug, PartialEq)]
struct Node {
    role: String,
    name: String,
    states: Vec<String>,
    interfaces: Vec<String>,
}

impl Node {
    fn read(node: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = |value: &Value| value.as_array().unwrap().iter().map(text).collect();
        Self {
            role: text(&node["role"]),
            name: text(&node["name"]),
            states: list(&node["states"]),
            interfaces: list(&node["interfaces"]),
        }
    }

    fn is(&self, state: &str) -> bool {
        self.states.iter().any(|known| known == state)
    }
}

/// An event: its kind, its words, and the name of the node it is of.
#[derive(Clone, Debug)]
struct Heard {
    kind: String,
    words: String,
    on: bool,
    name: String,
}

struct Listener {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    heard: Vec<Heard>,
}

impl Listener {
    fn start(bus: &Bus) -> Self {
        let mut process = within(&mut Command::new("/usr/bin/python3"), bus.home.path())
            .args(["-c", include_str!("listener.py")])
            .envs(bus.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("install the packages python3-gi and gir1.2-atspi-2.0 (cargo xtask test does)");
        let mut listener = Self {
            commands: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            heard: Vec::new(),
        };
        assert_eq!(listener.ask("on"), "on");
        listener
    }

    fn ask(&mut self, command: &str) -> Value {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{command} was answered {line:?}"))
    }

    fn tree(&mut self) -> Vec<Node> {
        let tree = self.ask("tree");
        tree.as_array().unwrap().iter().map(Node::read).collect()
    }

    /// Waits until all this is told, and gives the tree then.
    fn until(&mut self, what: &str, told: impl Fn(&[Node]) -> bool) -> Vec<Node> {
        let mut tree = Vec::new();
        let end = std::time::Instant::now() + crate::window::PATIENCE;
        while !told(&tree) {
            assert!(
                std::time::Instant::now() < end,
                "waited in vain for {what}; told is {tree:#?}"
            );
            tree = self.tree();
        }
        tree
    }

    /// Everything heard since the last call of [`Listener::forget`].
    fn heard(&mut self) -> &[Heard] {
        let events = self.ask("heard");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.heard
            .extend(events.as_array().unwrap().iter().map(|event| Heard {
                kind: text(&event[0]),
                words: text(&event[1]),
                on: event[2] == 1,
                name: text(&event[3]),
            }));
        &self.heard
    }

    fn forget(&mut self) {
        self.heard();
        self.heard.clear();
    }

    fn until_heard(&mut self, what: &str, met: impl Fn(&[Heard]) -> bool) {
        let end = std::time::Instant::now() + crate::window::PATIENCE;
        while !met(self.heard()) {
            let late = std::time::Instant::now() > end;
            assert!(!late, "waited in vain for {what}; heard {:#?}", self.heard);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_announced(&mut self, words: &str) {
        let announced = |heard: &Heard| heard.kind == "object:announcement" && heard.words == words;
        self.until_heard(words, |heard| heard.iter().any(announced));
    }

    /// Waits until the focus is there.
    fn until_focused(&mut self, name: &str) {
        let focused = |heard: &&Heard| heard.kind == "object:state-changed:focused" && heard.on;
        self.until_heard(name, |heard| {
            heard
                .iter()
                .rfind(focused)
                .is_some_and(|last| last.name == name)
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn names(tree: &[Node]) -> Vec<&str> {
    tree.iter().map(|node| node.name.as_str()).collect()
}

/// The program with this one as its voice beside it.
fn with_voice() -> Installed {
    let installed = Installed::new();
    let own = std::env::current_exe().unwrap();
    std::fs::copy(own, installed.path("bulkhead-accessibility")).unwrap();
    installed
}

/// The same with a passphrase, a phrase, and a policy that asks.
fn that_asks() -> Installed {
    let installed = with_voice();
    let state = StateDirectory::open(installed.path("state/bulkhead")).unwrap();
    state.passphrase().set("right one").unwrap();
    state.set_secret_phrase(PHRASE).unwrap();
    let asks = crate::clips::policy("ask", "");
    std::fs::write(installed.path("policy.toml"), asks).unwrap();
    installed
}

/// The process that holds the bus for `shown`, where there is one.
fn voice(shown: &Shown) -> Option<u32> {
    let id = shown.running.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let named = |id: &&str| {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm"));
        name.is_ok_and(|name| name.starts_with("bulkhead-access"))
    };
    children
        .split_whitespace()
        .find(named)
        .map(|id| id.parse().unwrap())
}

/// How often a process and its threads gave up the processor of themselves.
fn waits(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads
        .map(|thread| {
            let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches"));
            line.unwrap()
                .split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum()
}

fn type_in(shown: &Shown, words: &str) {
    shown.display.person(&["type", words]);
    shown.display.person(&["key", "Return"]);
}

fn a_screen_reader_hears_the_trusted_screens_and_can_do_nothing() {
    if !cfg!(feature = "window") {
        return;
    }
    let bus = Bus::open();
    let mut shown = Shown::start_within(that_asks(), &[], &bus.variables());
    // Nobody listens: its voice sleeps.
    let voice = voice(&shown).expect("the process that holds the bus runs");
    std::thread::sleep(Duration::from_secs(2));
    let before = waits(voice);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(waits(voice), before, "it wakes though nobody listens");

    // Locked: the lock page and nothing else, and nothing of what is typed.
    let mut listener = Listener::start(&bus);
    let is_locked = |tree: &[Node]| {
        tree.iter()
            .any(|node| node.role == "password text" && node.is("focused"))
    };
    let locked = listener.until("the lock page", is_locked);
    let only = |reason| {
        let application = ["bulkhead-accessibility", "Bulkhead"];
        [
            &application[..],
            &["Locked", reason, "Passphrase", "Unlock"],
        ]
        .concat()
    };
    assert_eq!(names(&locked), only("Bulkhead has just been started."));
    listener.forget();
    shown.display.person(&["type", "right on"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(listener.tree(), locked);
    assert!(listener.heard().is_empty(), "{:?}", listener.heard);
    let field = locked
        .iter()
        .find(|node| node.role == "password text")
        .unwrap();
    assert_eq!(field.interfaces, ["Accessible", "Component"]);
    // What programs ask for is not done: neither is anything typed, nor is it tried.
    attack(&mut listener);
    shown.display.person(&["key", "Return"]);
    listener.until_announced("The passphrase was wrong.");
    assert_eq!(shown.audit().matches("unlock-refused").count(), 1);
    assert!(is_locked(&listener.tree()));
    std::thread::sleep(Duration::from_millis(2100));
    type_in(&shown, "right one");

    // The desktop: the panel, its zones, and who has the keyboard.
    let zone = |tree: &[Node], name: &str| tree.iter().any(|node| node.name == name);
    let desktop = listener.until("the panel", |tree| zone(tree, "corp, running"));
    assert!(zone(&desktop, "open, running") && zone(&desktop, "Panel"));
    listener.forget();
    for (place, name) in [("300", "open"), ("1000", "corp")] {
        shown
            .display
            .person(&["mousemove", place, "400", "click", "1"]);
        listener.until_announced(&format!("{name} has the keyboard"));
        listener.until_focused(&format!("{name}, running, has the keyboard"));
        listener.until("the zone's mark", |tree| {
            zone(tree, &format!("{name}, running, has the keyboard"))
        });
    }
    // Keys for a zone are nobody's business.
    listener.forget();
    shown.display.person(&["key", "a"]);
    wait_for("the key", || shown.console("corp").contains("key 30 up"));
    attack(&mut listener);
    let heard = listener.heard().to_vec();
    assert!(heard.is_empty(), "{heard:?}");
    let told = shown.console("corp").matches("key ").count();
    shown.display.person(&["key", "a"]);
    wait_for("the second key", || {
        shown.console("corp").matches("key ").count() > told
    });

    // A question is an alert, with the No in it; whoever asks for a Yes gets none.
    shown
        .display
        .person(&["mousemove", "300", "400", "click", "1", "key", "c"]);
    wait_for("the copy", || shown.console("open").contains("copied"));
    shown
        .display
        .person(&["mousemove", "1100", "700", "click", "1"]);
    listener.until_announced("corp has the keyboard");
    listener.forget();
    shown.display.person(&["key", "super+v"]);
    let alert = |tree: &[Node]| {
        tree.iter()
            .any(|node| node.role == "alert" && node.name == "Question")
    };
    listener.until("the question", alert);
    listener.until_focused("No");
    std::thread::sleep(Duration::from_millis(1500));
    let question = listener.until("its buttons", |tree| {
        tree.iter()
            .any(|node| node.name == "Allow once" && node.is("sensitive"))
    });
    for words in ["open asks", "\u{2192} corp", "No", "Allow once"] {
        assert!(zone(&question, words), "{words} is not in {question:#?}");
    }
    let asked = question
        .iter()
        .any(|node| node.role == "label" && node.name.contains("copied"));
    assert!(asked, "{question:#?}");
    attack(&mut listener);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(listener.tree(), question, "the question is as it was");
    assert!(!shown.audit().contains("\"answer\"") && !shown.console("corp").contains("pasted"));
    // A person's keys do answer it.
    shown.display.person(&["key", "Tab", "Return"]);
    wait_for("the answer", || {
        shown.audit().contains("\"answer\":\"once\"")
    });
    listener.until_announced("corp has the keyboard");

    // The attention screen is told, its phrase is not.
    shown.display.person(&["key", "super+space"]);
    let attention = listener.until("the attention screen", |tree| zone(tree, "Trusted screen"));
    assert!(
        names(&attention)
            .iter()
            .any(|name| name.ends_with("is not read out"))
    );
    shown.display.person(&["key", "Escape"]);
    // Locked again.
    shown.display.person(&["key", "super+l"]);
    let again = listener.until("the lock", is_locked);
    assert_eq!(names(&again), only("You locked the desktop."));
    let everything = format!("{:?} {attention:?} {again:?} {heard:?}", listener.heard());
    assert!(!everything.contains("dragons"), "the phrase was told");
    // A voice that is gone costs nobody anything.
    let process = rustix::process::Pid::from_raw(voice.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    type_in(&shown, "right one");
    wait_for("the desktop", || {
        shown.display.pixel(1000, 500) == colour_of("corp")
    });
    shown.interrupt();
}

/// Everything that the bus has words for is asked of every node.
fn attack(listener: &mut Listener) {
    let answered = listener.ask("attack");
    // To press, type or set is not even there to be asked for. The focus is, since keys can go there; that it is asked for is
    // then dropped.
    for request in ["DoAction", "SetTextContents", "InsertText", "CurrentValue"] {
        let taken = &answered[request];
        assert!(taken.is_null(), "{request} was taken: {answered}");
    }
    assert!(answered["GrabFocus"].as_u64() > Some(0), "{answered}");
}

fn nothing_is_told_where_nothing_is_to_be_told() {
    if !cfg!(feature = "window") {
        return;
    }
    let bus = Bus::open();
    let mut shown = Shown::start_within(with_voice(), &["--no-accessibility"], &bus.variables());
    assert_eq!(voice(&shown), None);
    let mut listener = Listener::start(&bus);
    shown
        .display
        .person(&["mousemove", "300", "400", "click", "1"]);
    wait_for("the click", || {
        shown.console("open").contains("button 0x110 false")
    });
    assert_eq!(listener.tree(), []);
    shown.interrupt();
}
