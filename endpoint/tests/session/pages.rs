//! The trusted UI's pages with the endpoint behind them: what they show is so, what is done on them happens.

use std::time::Instant;

use std::os::unix::fs::PermissionsExt;

use compositor::accesskit;
use compositor::{InputEvent, Point};
use endpoint::usb::{Places, Usb};
use usb_redirect::device::DescriptionFile;
use usb_redirect::plugged::Digest;

use crate::desk::{Desk, LEFT_SUPER, Setting, policy_text};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "pages::the_policy_page_says_which_rules_decide",
        the_policy_page_says_which_rules_decide,
    ),
    (
        "pages::zones_are_stopped_and_started_on_the_attention_screen",
        zones_are_stopped_and_started_on_the_attention_screen,
    ),
    (
        "pages::a_zone_is_stopped_on_its_page_after_a_second_yes",
        a_zone_is_stopped_on_its_page_after_a_second_yes,
    ),
    (
        "pages::the_log_is_read_and_filtered_beside_the_loop",
        the_log_is_read_and_filtered_beside_the_loop,
    ),
    (
        "pages::a_choice_on_the_settings_page_outlives_the_session",
        a_choice_on_the_settings_page_outlives_the_session,
    ),
    (
        "pages::a_window_is_where_it_was_when_the_desktop_starts_anew",
        a_window_is_where_it_was_when_the_desktop_starts_anew,
    ),
    (
        "pages::a_german_desktop_speaks_german",
        a_german_desktop_speaks_german,
    ),
    (
        "pages::a_device_is_given_and_taken_back_on_the_usb_page",
        a_device_is_given_and_taken_back_on_the_usb_page,
    ),
    (
        "pages::a_key_is_followed_from_the_event_to_the_presented_pixel",
        a_key_is_followed_from_the_event_to_the_presented_pixel,
    ),
];

const SPACE: u16 = 57;

/// Everything that a screen reader could say.
pub(crate) fn said(session: &endpoint::Session) -> String {
    let tree = session.scene().accessible_tree();
    let texts = tree
        .nodes
        .iter()
        .flat_map(|(_, node)| [node.label(), node.value()]);
    texts.flatten().map(|text| format!("{text}\n")).collect()
}

fn press(desk: &mut Desk, name: &str) {
    let tree = desk.session.scene().accessible_tree();
    let found = tree.nodes.iter().find(|(_, node)| {
        node.label() == Some(name) && node.supports_action(accesskit::Action::Focus)
    });
    let bounds = found
        .and_then(|(_, node)| node.bounds())
        .unwrap_or_else(|| panic!("no {name} in {}", said(&desk.session)));
    let middle = |from: f64, to: f64| format!("{:.0}", (from + to) / 2.0).parse().unwrap();
    let at = Point::new(middle(bounds.x0, bounds.x1), middle(bounds.y0, bounds.y1));
    let now = Instant::now();
    desk.session.input(InputEvent::PointerMoved(at), now);
    for pressed in [true, false] {
        let button = compositor::keys::BUTTON_LEFT;
        desk.session
            .input(InputEvent::Button { button, pressed }, now);
    }
}

fn open(desk: &mut Desk, tab: &str) {
    desk.keys(&[LEFT_SUPER, SPACE]);
    press(desk, tab);
}

fn the_policy_page_says_which_rules_decide() {
    let rules = "[[flow]]\nname = \"texts\"\nkind = \"clipboard\"\nfrom = \"open\"\nto = \"corp\"\nverdict = \"ask\"\nwhen = { max-bytes = \"4 KiB\" }\n";
    let text = format!("{}{rules}", policy_text("\"seccomp\"", ""));
    let mut desk = Desk::with_policy(&text, &Setting::default());
    open(&mut desk, "Policy");
    let cell = "clipboard: open \u{2192} corp: you are asked, under conditions";
    press(&mut desk, cell);
    let shown = said(&desk.session);
    assert!(shown.contains("texts (line "), "{shown}");
    assert!(shown.contains("max-bytes 4 KiB"), "{shown}");
    assert!(shown.contains("a plain file that nobody signed"), "{shown}");
    press(&mut desk, "clipboard: corp \u{2192} open: nothing crosses");
    assert!(said(&desk.session).contains("No rule speaks of it"));
}

fn zones_are_stopped_and_started_on_the_attention_screen() {
    let mut desk = Desk::new();
    desk.until_ready("corp");
    desk.focus("corp");
    desk.keys(&[LEFT_SUPER, SPACE]);
    press(&mut desk, "Stop: corp");
    desk.until_status("corp", "off");
    press(&mut desk, "Start: corp");
    desk.until_ready("corp");
    // The page stays until a person closes it, and nobody types into a zone meanwhile.
    desk.keys(&[30]);
    assert!(desk.session.scene().is_trusted_up());
    assert!(!desk.console("corp").contains("key 30 down"));
}

fn a_zone_is_stopped_on_its_page_after_a_second_yes() {
    let mut desk = Desk::new();
    desk.until_ready("corp");
    open(&mut desk, "Zones");
    let shown = said(&desk.session);
    assert!(
        shown.contains("running since") && shown.contains("Memory: "),
        "{shown}"
    );
    press(&mut desk, "Stop: corp");
    assert!(said(&desk.session).contains("may be lost"));
    press(&mut desk, "Stop!: corp");
    desk.until_status("corp", "off");
    // The page says so without anybody's asking.
    desk.until("the page to say so", |session| {
        said(session).contains("Start: corp")
    });
    press(&mut desk, "Start: corp");
    desk.until_ready("corp");
}

fn the_log_is_read_and_filtered_beside_the_loop() {
    let mut desk = Desk::new();
    // This session's own log is in memory; the page reads the file that another run left.
    let directory = desk.state.path().join("audit");
    let key = desk.state.path().join("audit.key");
    let mut log =
        endpoint::audit::AuditLog::open(&directory, &key, &bulkhead_policy::Audit::default())
            .unwrap();
    for number in 0..100 {
        let detail = format!("record number {number}.");
        let event = endpoint::audit::Event::zone("open", "killed", &detail);
        endpoint::audit::Audit::record(&mut log, event).unwrap();
    }
    open(&mut desk, "Log");
    desk.until("the log", |session| {
        said(session).contains("record number 99.")
    });
    assert!(said(&desk.session).contains(" records"));
    press(&mut desk, "Filter: words that records contain");
    // "17.", typed; without the dot it may be the time of day.
    for code in [2, 8, 52] {
        desk.keys(&[code]);
    }
    desk.until("what is looked for", |session| {
        let said = said(session);
        said.contains("record number 17.") && !said.contains("record number 99.")
    });
}

fn a_choice_on_the_settings_page_outlives_the_session() {
    let mut desk = Desk::new();
    open(&mut desk, "Settings");
    press(&mut desk, "Colours: High contrast");
    press(&mut desk, "Language: Deutsch");
    assert!(said(&desk.session).contains("Einstellungen"));
    let state = endpoint::state_directory::StateDirectory::open(desk.state.path()).unwrap();
    let kept = state.look().unwrap().apply(compositor::Settings::default());
    assert_eq!(kept.theme, compositor::Theme::HighContrast);
    assert_eq!(kept.language, compositor::Language::German);
    std::fs::write(desk.state.path().join("look.json"), "{\"theme\": \"pink\"}").unwrap();
    assert_eq!(state.look(), None, "what makes no sense is not used");
}

fn a_window_is_where_it_was_when_the_desktop_starts_anew() {
    use compositor::keys::{LEFT_SHIFT, PAGE_DOWN, RIGHT};
    let mut desk = Desk::new();
    let place = |desk: &Desk| {
        let id = desk.session.zone("open").unwrap().id();
        desk.session.scene().placement(id).unwrap()
    };
    let first = place(&desk);
    desk.focus("open");
    desk.keys(&[LEFT_SUPER, LEFT_SHIFT, RIGHT]);
    desk.keys(&[LEFT_SUPER, LEFT_SHIFT, PAGE_DOWN]);
    let moved = place(&desk);
    assert_ne!(moved, first);
    let desk = desk.started_anew();
    assert_eq!(place(&desk), moved);
    // What makes no sense is not used.
    std::fs::write(desk.state.path().join("windows.json"), "{\"open\": 7}").unwrap();
    let kept = endpoint::state_directory::StateDirectory::open(desk.state.path());
    assert_eq!(
        kept.unwrap().windows(),
        endpoint::windows::Windows::default()
    );
}

fn a_german_desktop_speaks_german() {
    let mut desk = crate::clips::copied(&crate::clips::policy("ask", ""), "");
    desk.session.kill("open").unwrap();
    desk.until("its process to end", |session| {
        session.zone("open").unwrap().process_id().is_none()
    });
    // What is said already is said anew.
    let dark = |session: &endpoint::Session| session.zone("open").unwrap().status().clone();
    assert_eq!(
        dark(&desk.session).reason().unwrap().to_string(),
        "the user killed it"
    );
    open(&mut desk, "Settings");
    press(&mut desk, "Language: Deutsch");
    press(&mut desk, "Zonen");
    let shown = said(&desk.session);
    for words in [
        "open",
        "durch einen Fehler beendet: Die Zone wurde auf Wunsch sofort beendet",
        "nichts bleibt erhalten",
        "Starten: open",
    ] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    press(&mut desk, "Regeln");
    let shown = said(&desk.session);
    for words in [
        "Zwischenablage: open \u{2192} corp: Sie werden gefragt",
        "Regeln ohne Version",
        "eine einfache Datei ohne Signatur",
    ] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    press(&mut desk, "USB");
    assert!(said(&desk.session).contains("keine USB-Geräte weiterzugeben"));
    desk.keys(&[compositor::keys::ESCAPE]);
    // A notice, and the same in the other language once that is chosen.
    desk.focus("corp");
    desk.keys(&crate::clips::CHORD);
    let notice = "In keiner anderen Zone wurde etwas kopiert\n";
    assert!(
        said(&desk.session).contains(notice),
        "{}",
        said(&desk.session)
    );
    open(&mut desk, "Einstellungen");
    press(&mut desk, "Sprache: English");
    assert!(said(&desk.session).contains("Nothing was copied in another zone\n"));
    press(&mut desk, "Language: Deutsch");
    desk.keys(&[compositor::keys::ESCAPE]);

    // A question.
    let mut desk = crate::clips::copied(&crate::clips::policy("ask", ""), "");
    open(&mut desk, "Settings");
    press(&mut desk, "Language: Deutsch");
    desk.keys(&[compositor::keys::ESCAPE]);
    desk.focus("corp");
    desk.keys(&crate::clips::CHORD);
    desk.until("the question", |session| {
        session.scene().answerable().is_some()
    });
    let shown = said(&desk.session);
    for words in [
        "Frage",
        "open fragt",
        "Einen Text mit ",
        "nach corp übertragen?",
        "Nein",
        "Einmal erlauben",
    ] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    desk.keys(&[compositor::keys::ESCAPE]);
    desk.until("the answer to be told", |session| {
        said(session).contains("Nicht übertragen: Es wurde nicht zugestimmt")
    });
}

fn a_key_is_followed_from_the_event_to_the_presented_pixel() {
    let mut desk = Desk::new();
    desk.until_ready("corp");
    desk.focus("corp");
    desk.until_console("corp", "focus true");
    let id = desk.session.zone("corp").unwrap().id();
    desk.session.follow_key(id, None);
    let began = Instant::now();
    desk.keys(&[30]);
    assert_eq!(desk.session.take_followed(), None, "nothing is drawn yet");
    let before = desk.session.scene().statistics().copied;
    desk.until("the key's pixels", |session| {
        session.scene().statistics().copied > before
    });
    assert_eq!(desk.session.take_followed(), None, "nobody has seen it yet");
    desk.session.presented();
    let stages = desk.session.take_followed().unwrap();
    assert!(stages.total() <= began.elapsed());
    assert_eq!(desk.session.take_followed(), None);
}

/// A program that knows what a device says of itself, and holds it until it is told to let go.
const HOLDS: &str = "#!/bin/sh\n[ \"$1\" = --describe ] && exec cat \"$2.digest\"\necho device 00 keyboard\nwhile read -r word <&1; do [ \"$word\" = detach ] && { echo end Detached; exit 0; }; done\n";

fn a_device_is_given_and_taken_back_on_the_usb_page() {
    let composite = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../usb-redirect/descriptors/composite.txt"
    );
    let rules = "[[flow]]\nname = \"keyboards\"\nkind = \"usb\"\nto = \"corp\"\nverdict = \"ask\"\nwhen = { usb = \"class=hid\" }\n";
    let text = format!("{}{rules}", policy_text("\"seccomp\", \"user\"", ""));
    let mut desk = Desk::with_policy(&text, &Setting::default());
    open(&mut desk, "USB");
    assert!(said(&desk.session).contains("no USB devices to hand on"));
    desk.keys(&[compositor::keys::ESCAPE]);
    let place = desk.state.path().join("usb");
    for folder in ["devices", "bus/001"] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
    }
    let program = place.join("usb-redirect");
    std::fs::write(&program, HOLDS).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let usb = Usb::new(Places {
        program,
        devices: place.join("devices"),
        bus: place.join("bus"),
        door: None,
    });
    let mut usb = usb.unwrap();
    let text = std::fs::read_to_string(composite).unwrap();
    let file = place.join("composite.txt");
    std::fs::write(&file, &text).unwrap();
    let description = DescriptionFile::parse(&text).unwrap().describe().unwrap();
    let digest = Digest::from(&description).to_string();
    std::fs::write(place.join("composite.txt.digest"), digest).unwrap();
    usb.simulate(&file, None, Instant::now()).unwrap();
    desk.session.add_devices(usb).unwrap();
    desk.until_ready("corp");
    open(&mut desk, "USB");
    // It is looked at beside the loop; the page says so once that is done.
    desk.until("the device to be known", |session| {
        said(session).contains("keyboards")
    });
    let shown = said(&desk.session);
    assert!(
        shown.contains("keyboards") && shown.contains("Used by no zone"),
        "{shown}"
    );
    let give = shown.lines().find(|line| line.ends_with("\u{2192} CORP"));
    let give = give.unwrap_or_else(|| panic!("{shown}")).to_owned();
    assert!(
        !shown.contains("\u{2192} OPEN"),
        "no rule lets open have it"
    );
    press(&mut desk, &give);
    // The policy asks; what a person opened goes first.
    desk.keys(&[compositor::keys::ESCAPE]);
    desk.until("the question", |session| {
        session.scene().answerable().is_some()
    });
    press(&mut desk, "Allow once");
    let held = |session: &endpoint::Session| {
        let devices = session.devices().unwrap();
        devices.devices().any(|device| device.zone().is_some())
    };
    desk.until("the device to be given", held);
    open(&mut desk, "USB");
    let shown = said(&desk.session);
    assert!(shown.contains("Used by corp"), "{shown}");
    let back = shown.lines().find(|line| line.starts_with("Take back: "));
    press(&mut desk, back.unwrap());
    desk.until("the device to be taken back", |session| !held(session));
    desk.until("the page to say so", |session| {
        said(session).contains("Used by no zone")
    });
    // After a No, the panel's sign is to be looked at: there is a device that nobody gets.
    desk.run_for(std::time::Duration::from_millis(800));
    press(&mut desk, &give);
    desk.keys(&[compositor::keys::ESCAPE]);
    desk.until("another question", |session| {
        session.scene().answerable().is_some()
    });
    press(&mut desk, "No");
    desk.until("the sign", |session| {
        said(session).contains("USB: needs a look")
    });
}
