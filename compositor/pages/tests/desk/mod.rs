//! A desktop with four zones, and an endpoint that tells the pages what they ask for.

use std::time::Duration;

use compositor::*;
use trusted_pages::*;

pub const OPEN: ZoneId = ZoneId(1);
pub const CORP: ZoneId = ZoneId(2);
pub const BANK: ZoneId = ZoneId(3);
pub const LAB: ZoneId = ZoneId(4);

pub struct Desk {
    pub scene: Scene,
    pub pages: Pages,
    pub size: Size,
    pub now: Duration,
    /// What the pages asked for, but queries.
    pub acts: Vec<Act>,
    pub queries: Vec<Query>,
    /// What the endpoint answers.
    pub zones: ZonesView,
    pub policy: PolicyView,
    pub audit: AuditView,
    /// A log that is answered for by windows.
    pub long_log: Option<fn(u64, usize) -> AuditView>,
    pub usb: UsbView,
}

impl Desk {
    pub fn new(width: u32, height: u32, scale: f64, settings: Settings) -> Self {
        let size = Size::new(width, height);
        let mut scene = Scene::new(size, Scale::from_factor(scale), settings);
        let zones = [
            (OPEN, "open", "green", Shape::Circle, Icon::Globe),
            (CORP, "corp", "blue", Shape::Hexagon, Icon::Briefcase),
            (BANK, "banking", "purple", Shape::Diamond, Icon::Bank),
            (LAB, "lab", "orange", Shape::Triangle, Icon::Flask),
        ];
        for (id, name, colour, shape, icon) in zones {
            let colour = colour.parse().unwrap();
            let identity = ZoneIdentity::new(id, name, name, colour, shape, icon, 1);
            scene.add_zone(identity, None).unwrap();
        }
        for id in [OPEN, CORP] {
            scene.set_state(id, ZoneState::Running);
            let size = scene.client_size(id).unwrap();
            let pixels = StillPixels::from_fn(size, |_, y| 0x0026_2a33 + (y / 40) * 0x0001_0101);
            scene.attach(id, Generation(1), Box::new(pixels)).unwrap();
            scene.damage(id, Generation(1), &[Rect::of_size(size)]);
        }
        // What the endpoint tells of zones, policy and devices is in the desktop's language, too.
        let say = |english: &'static str, german: &'static str| match settings.language {
            Language::English => english,
            Language::German => german,
        };
        let panicked = say("its kernel panicked", "Ihr Kernel ist abgestürzt");
        scene.set_state(BANK, ZoneState::dark(panicked));
        scene.set_weakened(CORP, Some("landlock (EOPNOTSUPP)"));
        scene.set_outdated(CORP, Some(say("memory", "Arbeitsspeicher")));
        scene.set_secret_phrase("Sieben gelbe Drachen über Łódź");
        scene.set_signs(PanelSigns {
            clock: Some(label("09:41")),
            layout: true,
            policy: Health::Good,
            audit: Health::Good,
            usb: Health::Warned,
            network: Health::Good,
        });
        Self {
            scene,
            pages: Pages::default(),
            size,
            now: Duration::ZERO,
            acts: Vec::new(),
            queries: Vec::new(),
            zones: zones_view(say),
            policy: policy_view(say),
            audit: audit_view(),
            long_log: None,
            usb: usb_view(say),
        }
    }

    /// Lets pages and endpoint talk until neither has anything to say.
    pub fn settle(&mut self) {
        for _ in 0..8 {
            let acts = self.pages.turn(&mut self.scene, self.now);
            if acts.is_empty() {
                return;
            }
            for act in acts {
                match act {
                    Act::Query(query) => {
                        match &query {
                            Query::Zones => self.pages.set_zones(self.zones.clone()),
                            Query::Policy => self.pages.set_policy(self.policy.clone()),
                            Query::Audit { skip, count, .. } => {
                                let window = self.long_log.map(|log| log(*skip, *count));
                                let view = window.unwrap_or_else(|| self.audit.clone());
                                self.pages.set_audit(view);
                            }
                            Query::Usb => self.pages.set_usb(self.usb.clone()),
                        }
                        self.queries.push(query);
                    }
                    act => self.acts.push(act),
                }
            }
        }
        panic!("pages and endpoint never come to rest");
    }

    pub fn input(&mut self, event: InputEvent) {
        self.scene.handle(event, self.now);
        self.settle();
    }

    pub fn point(&mut self, x: i32, y: i32) {
        self.input(InputEvent::PointerMoved(Point::new(x, y)));
    }

    pub fn click(&mut self, x: i32, y: i32) {
        self.point(x, y);
        for pressed in [true, false] {
            let button = keys::BUTTON_LEFT;
            self.input(InputEvent::Button { button, pressed });
        }
    }

    pub fn tap(&mut self, code: u16) {
        for movement in [KeyMovement::Pressed, KeyMovement::Released] {
            self.input(InputEvent::Key { code, movement });
        }
    }

    /// Opens a page by its control on the attention screen.
    pub fn open(&mut self, page: &str) {
        let host = keys::LEFT_SUPER;
        for (code, movement) in [
            (host, KeyMovement::Pressed),
            (keys::SPACE, KeyMovement::Pressed),
            (keys::SPACE, KeyMovement::Released),
            (host, KeyMovement::Released),
        ] {
            self.input(InputEvent::Key { code, movement });
        }
        self.press(page);
    }

    /// Clicks the control of this name, as a screen reader would say it.
    pub fn press(&mut self, name: &str) {
        let at = self
            .place_of(name)
            .unwrap_or_else(|| panic!("there is no {name} in {:?}", self.said()));
        self.click(at.x, at.y);
    }

    pub fn place_of(&self, name: &str) -> Option<Point> {
        let tree = self.scene.accessible_tree();
        let found = tree.nodes.iter().find(|(_, node)| {
            node.label() == Some(name) && node.supports_action(accesskit::Action::Focus)
        });
        let bounds = found.and_then(|(_, node)| node.bounds())?;
        let centre = |from: f64, to: f64| format!("{:.0}", (from + to) / 2.0).parse().unwrap();
        Some(Point::new(
            centre(bounds.x0, bounds.x1),
            centre(bounds.y0, bounds.y1),
        ))
    }

    /// Everything that a screen reader could say.
    pub fn said(&self) -> Vec<String> {
        let tree = self.scene.accessible_tree();
        let texts = tree
            .nodes
            .iter()
            .flat_map(|(_, node)| [node.label(), node.value()]);
        texts.flatten().map(str::to_owned).collect()
    }

    /// What the screen shows, painted whole.
    pub fn picture(&mut self) -> Vec<u32> {
        let stride = usize::try_from(self.size.width).unwrap();
        let mut pixels = vec![0x1234_5678; stride * usize::try_from(self.size.height).unwrap()];
        self.scene.damage_all();
        self.scene.render(
            OutputId(0),
            &mut Target {
                pixels: &mut pixels,
                size: self.size,
                stride,
                age: 0,
            },
        );
        pixels
    }
}

pub fn label(text: &str) -> Label {
    Label::new(text, 200)
}

fn zones_view(say: impl Fn(&'static str, &'static str) -> &'static str) -> ZonesView {
    let kept = say("its home is kept", "persönliche Daten bleiben erhalten");
    let thrown = say("nothing is kept", "nichts bleibt erhalten");
    let facts = |memory, image, home, since| ZoneFacts {
        memory: label(memory),
        image: label(&format!("{image}, {home}")),
        since: label(since),
    };
    let zones = [
        (OPEN, facts("1024 MiB", "desktop", thrown, "09:12")),
        (CORP, facts("2048 MiB", "office", kept, "08:55")),
        (BANK, facts("512 MiB", "desktop", kept, "")),
        (LAB, facts("512 MiB", "lab", thrown, "")),
    ];
    ZonesView {
        zones: zones.into_iter().collect(),
    }
}

/// Five parties and a few flows between them, one of each sort.
fn policy_view(say: impl Fn(&'static str, &'static str) -> &'static str) -> PolicyView {
    let zones = [
        ("open", OPEN),
        ("corp", CORP),
        ("banking", BANK),
        ("lab", LAB),
    ];
    let party = |(name, zone)| PartyView {
        name: label(name),
        zone: Some(zone),
    };
    let rules = [
        (
            FlowVerdict::Deny,
            say(
                "bank-is-closed (line 41): nothing leaves, whatever else allows it",
                "bank-is-closed (Zeile 41): nichts darf hinaus, was es sonst auch erlaubt",
            ),
        ),
        (
            FlowVerdict::Ask,
            say(
                "text-to-corp (line 48): max-bytes 64 KiB; hours 08:00-18:00; content text",
                "text-to-corp (Zeile 48): max-bytes 64 KiB; hours 08:00-18:00; content text",
            ),
        ),
        (
            FlowVerdict::Allow,
            say(
                "corp-to-lab (line 55): content images, text",
                "corp-to-lab (Zeile 55): content images, text",
            ),
        ),
        (
            FlowVerdict::Allow,
            say(
                "keys-to-corp (line 70): usb class=hid",
                "keys-to-corp (Zeile 70): usb class=hid",
            ),
        ),
        (
            FlowVerdict::Ask,
            say(
                "sticks-to-open (line 74): usb class=08",
                "sticks-to-open (Zeile 74): usb class=08",
            ),
        ),
    ];
    let mut cells = std::collections::BTreeMap::new();
    for (from, to) in (0..5u16).flat_map(|from| (0..5).map(move |to| (from, to))) {
        if from == to {
            continue;
        }
        let (best, rules): (_, &[u16]) = match (from, to) {
            (0, 1) => (FlowVerdict::Ask, &[0, 1]),
            (1, 3) | (3, 1) => (FlowVerdict::Allow, &[2]),
            (1, 0) => (FlowVerdict::Allow, &[0, 2]),
            (2, _) => (FlowVerdict::Deny, &[0]),
            _ => (FlowVerdict::Deny, &[]),
        };
        let cell = CellView {
            best,
            conditional: (from, to) == (0, 1),
            redirects: (from, to) == (1, 0),
            rules: rules.into(),
        };
        cells.insert((0, from, to), cell);
    }
    let kinds = [
        say("clipboard", "Zwischenablage"),
        say("file", "Datei"),
        say("url", "Webadresse"),
        say("usb", "USB"),
        say("audio", "Ton"),
        say("network", "Netzwerk"),
        say("screenshot", "Bildschirmfoto"),
    ];
    PolicyView {
        facts: vec![
            label(say(
                "office, version 12: signed, from the store /etc/bulkhead/policy",
                "office, Version 12: signiert, aus der Ablage /etc/bulkhead/policy",
            )),
            label("sha256:4fd1c6a10b3e55b0a9c2f1a7d2f3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5"),
        ],
        trouble: Label::default(),
        parties: zones
            .map(party)
            .into_iter()
            .chain([PartyView {
                name: label("host"),
                zone: None,
            }])
            .collect(),
        kinds: kinds.map(label).to_vec(),
        rules: rules
            .map(|(verdict, words)| RuleView {
                verdict,
                words: label(words),
            })
            .to_vec(),
        cells,
    }
}

fn audit_view() -> AuditView {
    use RecordKind::*;
    let records = [
        (
            "09:41:12",
            Flow,
            "flow",
            CORP,
            "corp",
            "clipboard to lab: allow, by corp-to-lab, 240 bytes crossed",
            false,
        ),
        (
            "09:40:03",
            Zone,
            "killed",
            OPEN,
            "open",
            "it broke the zone link's protocol: a frame of 2^32 rectangles",
            true,
        ),
        // As hostile as a zone can make it.
        (
            "09:39:58",
            Flow,
            "flow",
            OPEN,
            "open",
            "url to corp: \u{202e}\u{1b}[31mhttps://ex\u{200b}ample\u{7}, deny",
            true,
        ),
        (
            "09:31:40",
            Zone,
            "running",
            LAB,
            "lab",
            "machine of 512 MiB, 1 hart",
            false,
        ),
        (
            "09:31:38",
            Zone,
            "starting",
            LAB,
            "lab",
            "image lab, opened in 0.2 s",
            false,
        ),
        ("09:20:11", Session, "unlocked", ZoneId(0), "", "", false),
        (
            "09:12:00",
            Policy,
            "policy",
            ZoneId(0),
            "",
            "at-work version 12 taken by the running desktop",
            false,
        ),
        (
            "09:11:58",
            Log,
            "opened",
            ZoneId(0),
            "",
            "it was closed in order before",
            false,
        ),
    ];
    let record =
        |(time, kind, what, id, zone, text, alarming): (&str, _, _, _, _, _, _)| RecordView {
            time: label(&format!("2026-11-22 {time}")),
            kind,
            what: label(what),
            zone: label(zone),
            id: Some(id).filter(|id: &ZoneId| id.0 > 0),
            text: label(text),
            alarming,
        };
    AuditView {
        trouble: Label::default(),
        matching: 8,
        skipped: 0,
        records: records.map(record).to_vec(),
    }
}

fn usb_view(say: impl Fn(&'static str, &'static str) -> &'static str) -> UsbView {
    let zone = |(zone, verdict, why): (ZoneId, FlowVerdict, &str)| UsbZoneView {
        zone,
        verdict,
        why: label(why),
    };
    let device =
        |id, name, facts, held_by, zones: [(ZoneId, FlowVerdict, &str); 4]| UsbDeviceView {
            id: UsbDeviceId(id),
            name: label(name),
            facts: label(facts),
            held_by,
            zones: zones.map(zone).to_vec(),
        };
    let (deny, ask, allow) = (FlowVerdict::Deny, FlowVerdict::Ask, FlowVerdict::Allow);
    let no = say(
        "no rule fits, and what no rule lets cross stays",
        "Keine Regel erlaubt es",
    );
    UsbView {
        remark: None,
        devices: vec![
            device(
                1,
                "Security Key",
                say(
                    "1050:0407, port 1-2, interfaces of class 03",
                    "1050:0407, Anschluss 1-2, Schnittstellenklasse 03",
                ),
                Some(CORP),
                [
                    (OPEN, deny, no),
                    (CORP, allow, "keys-to-corp"),
                    (BANK, ask, "keys-to-bank"),
                    (LAB, deny, no),
                ],
            ),
            device(
                2,
                "Mass Stor\u{202e}age",
                say(
                    "0781:5567, port 1-3, interfaces of class 08",
                    "0781:5567, Anschluss 1-3, Schnittstellenklasse 08",
                ),
                None,
                [
                    (OPEN, ask, "sticks-to-open"),
                    (CORP, deny, "no-sticks-in-corp"),
                    (BANK, deny, no),
                    (LAB, deny, no),
                ],
            ),
        ],
    }
}
