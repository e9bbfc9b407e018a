//! Devices in a folder as the kernel would list them, a policy, and a program that holds nothing and says what it is told to.

use std::os::unix::fs::PermissionsExt;

use bulkhead_policy::Policy;
use tempfile::TempDir;
use usb_redirect::device::{Description, DescriptionFile};
use usb_redirect::plugged::{Digest, Shown};

use super::*;

const COMPOSITE: &str = include_str!("../../../usb-redirect/descriptors/composite.txt");
const MOUSE: &str = "product Mouse\nreport 0 05 01 09 02 a1 01 05 09 19 01 29 03 15 00 25 01 95 03 75 01 81 02 95 01 75 05 81 03 \
                     05 01 09 30 09 31 15 81 25 7f 75 08 95 02 81 06 c0\n";
/// Holds on until it is told to let go.
const HOLDS: &str = "echo device 00 keyboard\nwhile read -r word <&1; do [ \"$word\" = detach ] && { echo end Detached; exit 0; }; done\n";

/// What a device is, stands beside what is described.
const DESCRIBES: &str = "[ \"$1\" = --describe ] && exec cat \"$2.digest\"\n";

const ZONES: &str = "[zone.work]\ncolour = \"#1565c0\"\nimage = \"x\"\n[zone.open]\ncolour = \"#c62828\"\nimage = \"x\"\n";

fn flow(verdict: &str, usb: &str, more: &str) -> String {
    format!(
        "[[flow]]\nname = \"devices\"\nkind = \"usb\"\nto = \"work\"\nverdict = \"{verdict}\"\nwhen = {{ usb = \"{usb}\" }}\n{more}\n"
    )
}

fn policy(flows: &str) -> Policy {
    Policy::parse("desk.toml", format!("{ZONES}{flows}").as_bytes()).unwrap()
}

struct Desk {
    place: TempDir,
    usb: Usb,
    engine: Engine,
    ready: Vec<&'static str>,
    focus: &'static str,
    now: Instant,
    /// The zones' ends of streams.
    sockets: Vec<OwnedFd>,
}

impl Desk {
    fn new(flows: &str, program: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        for folder in ["devices", "bus/001"] {
            std::fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        let path = place.path().join("usb-redirect");
        std::fs::write(&path, format!("#!/bin/sh\n{DESCRIBES}{program}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let usb = Usb::new(Places {
            program: path,
            devices: place.path().join("devices"),
            bus: place.path().join("bus"),
            door: Some(place.path().join("door")),
        });
        Self {
            usb: usb.unwrap(),
            place,
            engine: Engine::new(policy(flows)),
            ready: vec!["work", "open"],
            focus: "",
            now: Instant::now(),
            sockets: Vec::new(),
        }
    }

    /// Writes what the kernel shows of a device, and makes its file on the bus.
    fn plug(&self, port: &str, text: &str) {
        let description = DescriptionFile::parse(text).unwrap().describe().unwrap();
        self.list(port, &description);
        let number = port.bytes().map(u32::from).sum::<u32>();
        let file = self.place.path().join(format!("bus/001/{number}"));
        // A device that is plugged in again gets a new file.
        let _ = std::fs::remove_file(&file);
        std::fs::write(file, "").unwrap();
    }

    fn list(&self, port: &str, description: &Description) {
        let device = self.place.path().join("devices").join(port);
        for (interface, report) in &description.reports {
            let hid = device.join(format!("{port}:1.{interface}/0003:0:0.{interface}"));
            std::fs::create_dir_all(&hid).unwrap();
            std::fs::write(hid.join("report_descriptor"), &report.raw).unwrap();
        }
        let mut raw = description.device.raw.to_vec();
        raw.extend_from_slice(&description.configuration.raw);
        std::fs::write(device.join("descriptors"), raw).unwrap();
        let digest = Digest::from(description).to_string();
        std::fs::write(device.with_file_name(format!("{port}.digest")), digest).unwrap();
        let number = port.bytes().map(u32::from).sum::<u32>().to_string();
        for (name, value) in [
            ("busnum", "1"),
            ("devnum", number.as_str()),
            ("speed", "12"),
            ("product", &description.names.product),
            ("serial", &description.names.serial),
        ] {
            std::fs::write(device.join(name), value).unwrap();
        }
    }

    fn plug_hub(&self, port: &str) {
        let device = self.place.path().join("devices").join(port);
        std::fs::create_dir_all(&device).unwrap();
        let raw = [
            18, 1, 0, 2, 9, 0, 0, 64, 9, 18, 2, 0, 0, 1, 0, 0, 0, 1, //
            9, 2, 25, 0, 1, 1, 0, 0xe0, 50, 9, 4, 0, 0, 1, 9, 0, 0, 0, 7, 5, 0x81, 3, 1, 0, 12,
        ];
        std::fs::write(device.join("descriptors"), raw).unwrap();
        for (name, value) in [("busnum", "1"), ("devnum", "99"), ("speed", "480")] {
            std::fs::write(device.join(name), value).unwrap();
        }
        let digest = Shown::read(&device).unwrap().digest();
        assert!(digest.is_hub);
        let file = device.with_file_name(format!("{port}.digest"));
        std::fs::write(file, digest.to_string()).unwrap();
    }

    fn pull(&self, port: &str) {
        std::fs::remove_dir_all(self.place.path().join("devices").join(port)).unwrap();
        let number = port.bytes().map(u32::from).sum::<u32>();
        std::fs::remove_file(self.place.path().join(format!("bus/001/{number}"))).unwrap();
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Usb, &mut Around<'_>, Instant) -> T) -> T {
        let zone = |name: &'static str| ZoneNow {
            name: ZoneName::parse(name).unwrap(),
            is_ready: self.ready.contains(&name),
            has_focus: self.focus == name,
        };
        let mut around = Around {
            moment: crate::clock::moment(crate::clock::timestamp()),
            zones: ["work", "open"].map(zone).into(),
            engine: &mut self.engine,
            is_locked: false,
        };
        act(&mut self.usb, &mut around, self.now)
    }

    /// Lets time pass and everything happen that waits for it; what is to be done, in words.
    fn settle(&mut self, after: Duration) -> Vec<String> {
        let mut said = Vec::new();
        let turn = |desk: &mut Self, said: &mut Vec<String>| {
            let acts = desk.with(|usb, around, now| usb.dispatch(around, now));
            said.extend(acts.into_iter().filter_map(|act| desk.word(act)));
        };
        turn(self, &mut said);
        self.now += after;
        // Processes are real and take a moment of real time.
        let mut turns = 0;
        let reads = |desk: &Self| {
            desk.usb
                .devices
                .values()
                .any(|device| device.reading.is_some())
        };
        while turns < 20 || reads(self) && turns < 1000 {
            turns += 1;
            std::thread::sleep(Duration::from_millis(10));
            turn(self, &mut said);
        }
        said
    }

    fn word(&mut self, act: Act) -> Option<String> {
        Some(match act {
            Act::Dial { zone, socket } => {
                self.sockets.push(socket);
                format!("dial {zone}")
            }
            Act::Ask {
                question,
                zone,
                text,
                detail,
            } => format!("ask {} {zone}: {text} [{detail}]", question.0),
            Act::Withdraw(question) => format!("withdraw {}", question.0),
            Act::Decided {
                decision, answer, ..
            } => format!("{} {}", decision.verdict, answer.unwrap_or("by rule")),
            Act::Record(_) | Act::Changed => return None,
            Act::Tell(remark) => remark.to_string(),
        })
    }

    fn answer(&mut self, question: u32, yes: bool) -> Vec<String> {
        let question = QuestionId(question);
        let acts = self.with(|usb, around, now| usb.answer(question, yes, around, now));
        acts.into_iter().filter_map(|act| self.word(act)).collect()
    }

    fn held(&self) -> Vec<(String, String)> {
        let devices = self.usb.devices();
        devices
            .filter_map(|device| Some((device.port().to_owned(), device.zone()?.to_string())))
            .collect()
    }
}

#[test]
fn what_is_there_at_the_start_stays_and_what_comes_goes_where_it_may() {
    let mut desk = Desk::new(&flow("allow", "class=hid", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    desk.usb.scan(false, desk.now);
    assert!(desk.settle(SETTLE * 2).is_empty());
    desk.plug("1-2", COMPOSITE);
    assert_eq!(desk.settle(SETTLE * 2), ["allow by rule", "dial work"]);
    assert_eq!(desk.held(), [("1-2".to_owned(), "work".to_owned())]);
    // By a person's word the other goes, too.
    let mouse = desk.usb.devices().next().unwrap().id();
    let reply = desk.with(|usb, around, now| usb.attach(mouse, "open", around, now));
    assert!(reply.unwrap_err().to_string().contains("no rule fits"));
    let reply = desk.with(|usb, around, now| usb.attach(mouse, "work", around, now));
    assert_eq!(reply.unwrap().to_string(), "Zone work has Mouse");
    assert_eq!(desk.held().len(), 2);
    desk.pull("1-2");
    let said = desk.settle(SETTLE * 2);
    assert!(
        said.iter().any(|said| said.contains("pulled out")),
        "{said:?}"
    );
    assert_eq!(desk.held(), [("1-1".to_owned(), "work".to_owned())]);
}

#[test]
fn a_person_is_asked_once_for_a_dock() {
    let mut desk = Desk::new(&flow("ask", "class=hid", ""), HOLDS);
    desk.plug_hub("1-3");
    desk.plug("1-3.1", COMPOSITE);
    desk.plug("1-3.2", MOUSE);
    let said = desk.settle(SETTLE * 2);
    assert_eq!(
        said,
        [
            "ask 1 work: Give work these USB devices: keyboard and mouse; mouse? [Bulkhead Simulated keyboard and mouse; Mouse]"
        ]
    );
    assert!(desk.held().is_empty());
    assert_eq!(
        desk.answer(1, true),
        ["ask yes", "dial work", "ask yes", "dial work"]
    );
    assert_eq!(desk.held().len(), 2);
    // Pulled out and in again it is asked about again: it may be another one.
    desk.pull("1-3.2");
    desk.settle(SETTLE * 2);
    desk.plug("1-3.2", MOUSE);
    let said = desk.settle(SETTLE * 2);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(desk.answer(2, false), ["deny no"]);
    assert!(desk.settle(ASK_AGAIN * 2).is_empty(), "a No is a No");
    assert_eq!(desk.held().len(), 1);
}

#[test]
fn a_question_that_cannot_be_asked_comes_again_and_then_no_more() {
    let mut desk = Desk::new(&flow("ask", "class=hid", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    let said = desk.settle(SETTLE * 2);
    assert!(said[0].starts_with("ask 1 "), "{said:?}");
    let mut question = 1;
    for _ in 1..ASKED {
        let now = desk.now;
        desk.usb.not_asked(QuestionId(question), now);
        question += 1;
        let said = desk.settle(ASK_AGAIN);
        assert!(said[0].starts_with(&format!("ask {question} ")), "{said:?}");
    }
    let now = desk.now;
    desk.usb.not_asked(QuestionId(question), now);
    assert!(desk.settle(ASK_AGAIN * 2).is_empty());
}

#[test]
fn another_policy_takes_back_what_it_does_not_allow() {
    let mut desk = Desk::new(&flow("allow", "class=hid", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    assert_eq!(desk.settle(SETTLE * 2), ["allow by rule", "dial work"]);
    desk.engine
        .replace(policy(&flow("allow", "usage=mouse", "")));
    assert!(desk.settle(Duration::ZERO).is_empty());
    assert_eq!(desk.held().len(), 1, "what still may stays");
    desk.engine
        .replace(policy(&flow("allow", "usage=keyboard", "")));
    let said = desk.settle(Duration::ZERO);
    assert_eq!(said[0], "deny by rule");
    assert!(said[1].contains("no longer allowed"), "{said:?}");
    assert!(desk.held().is_empty());
    // A policy that allows it again brings it back.
    desk.engine.replace(policy(&flow("allow", "class=hid", "")));
    assert_eq!(desk.settle(Duration::ZERO), ["allow by rule", "dial work"]);
}

#[test]
fn the_emergency_takes_everything_back_for_good() {
    let mut desk = Desk::new(&flow("allow", "class=hid", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    desk.plug("1-2", COMPOSITE);
    desk.settle(SETTLE * 2);
    assert_eq!(desk.held().len(), 2);
    let now = desk.now;
    desk.usb.detach_all(now);
    assert!(desk.held().is_empty());
    let said = desk.settle(LETTING_GO * 2);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(desk.settle(Duration::from_secs(60)).is_empty());
    assert!(desk.held().is_empty());
}

#[test]
fn a_zone_that_stops_loses_its_devices_and_gets_them_back() {
    let both = flow("allow", "class=hid", "").replace("to = \"work\"", "to = \"any\"");
    let mut desk = Desk::new(&both, HOLDS);
    desk.focus = "open";
    desk.plug("1-1", MOUSE);
    assert_eq!(desk.settle(SETTLE * 2), ["allow by rule", "dial open"]);
    desk.focus = "work";
    desk.ready = vec!["work"];
    let said = desk.settle(LETTING_GO * 2);
    assert!(said[0].contains("its zone does not run"), "{said:?}");
    assert!(
        desk.held().is_empty(),
        "it does not wander into another zone"
    );
    desk.ready = vec!["work", "open"];
    assert_eq!(desk.settle(Duration::ZERO), ["allow by rule", "dial open"]);
}

#[test]
fn a_code_is_shown_until_it_was_typed() {
    let rule = flow("allow", "class=hid", "then = { type-code = true }");
    let program = "echo code-typed 0x81 >&1\ncat <&1\n";
    let mut desk = Desk::new(&rule, program);
    desk.plug("1-1", COMPOSITE);
    let said = desk.settle(SETTLE * 2);
    let [decided, dialled, asked, withdrawn] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(
        (decided.as_str(), dialled.as_str()),
        ("allow by rule", "dial work")
    );
    let code = asked.split(' ').nth(4).unwrap();
    assert!(
        code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{asked}"
    );
    assert_eq!(withdrawn, "withdraw 1");
    assert_eq!(desk.held().len(), 1);
}

#[test]
fn who_types_too_fast_is_asked_about() {
    let program = "echo typing-too-fast 0x81\nread -r word <&1\necho \"heard $word\"\ncat <&1\n";
    let mut desk = Desk::new(&flow("allow", "class=hid", ""), program);
    desk.plug("1-1", COMPOSITE);
    let said = desk.settle(SETTLE * 2);
    assert!(said[2].contains("types faster than a person"), "{said:?}");
    assert!(desk.answer(1, true).is_empty());
    desk.settle(Duration::ZERO);
    let Some(State::Held(held)) = desk.usb.devices.values().next().map(|device| &device.state)
    else {
        panic!("the device is gone");
    };
    assert_eq!(held.last_words, "heard resume");
}

#[test]
fn a_guest_that_does_not_listen_yet_is_tried_again() {
    let mut desk = Desk::new(
        &flow("allow", "class=hid", ""),
        "[ -e ${0}.again ] && cat <&1\n: >${0}.again\necho end Released\n",
    );
    desk.plug("1-1", MOUSE);
    assert_eq!(desk.settle(SETTLE * 2), ["allow by rule", "dial work"]);
    assert!(desk.held().is_empty());
    assert_eq!(desk.settle(AGAIN), ["dial work"]);
    assert_eq!(desk.held().len(), 1);
}

#[test]
fn a_crash_costs_that_device_alone_and_is_not_repeated() {
    let mut desk = Desk::new(
        &flow("allow", "class=hid", ""),
        "case \"$*\" in *1-1*) echo boom; kill -SEGV $$;; *) cat <&1;; esac\n",
    );
    desk.plug("1-1", MOUSE);
    desk.plug("1-2", COMPOSITE);
    let said = desk.settle(SETTLE * 2);
    assert!(said.iter().any(|said| said.contains("boom")), "{said:?}");
    assert_eq!(desk.held(), [("1-2".to_owned(), "work".to_owned())]);
    assert!(desk.settle(AGAIN * 2).is_empty());
}

#[test]
fn a_device_that_is_another_one_at_the_same_port_has_changed() {
    let mut desk = Desk::new(&flow("allow", "class=hid changed=no", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    assert_eq!(desk.settle(SETTLE * 2), ["allow by rule", "dial work"]);
    desk.pull("1-1");
    desk.settle(SETTLE * 2);
    desk.plug("1-1", COMPOSITE);
    // No zone may have it, so nothing is tried and nobody is bothered.
    assert!(desk.settle(SETTLE * 2).is_empty());
    let reply = {
        let id = desk.usb.devices().next().unwrap().id();
        desk.with(|usb, around, now| usb.attach(id, "work", around, now))
    };
    assert!(
        reply
            .unwrap_err()
            .to_string()
            .contains("Zone work may not have it")
    );
}

#[test]
fn a_locked_desktop_gives_nothing_away() {
    let mut desk = Desk::new(&flow("allow", "class=hid", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    desk.settle(Duration::ZERO);
    desk.now += SETTLE * 2;
    let acts = desk.with(|usb, around, now| {
        around.is_locked = true;
        usb.dispatch(around, now)
    });
    assert!(acts.iter().all(|act| matches!(act, Act::Changed)));
    assert_eq!(desk.settle(Duration::ZERO), ["allow by rule", "dial work"]);
}

#[test]
fn the_door_takes_orders_and_the_policy_decides() {
    let mut desk = Desk::new(&flow("allow", "usage=keyboard,mouse", ""), HOLDS);
    let file = desk.place.path().join("device.txt");
    std::fs::write(&file, COMPOSITE).unwrap();
    let description = DescriptionFile::parse(COMPOSITE)
        .unwrap()
        .describe()
        .unwrap();
    let digest = Digest::from(&description).to_string();
    std::fs::write(file.with_extension("txt.digest"), digest).unwrap();
    let place = desk.place.path().join("door");
    let order = |desk: &mut Desk, order: Order| {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| door::ask::<String>(&place, &order));
            let said = desk.settle(Duration::ZERO);
            (asked.join().unwrap(), said)
        })
    };
    let simulate = Order::Simulate {
        descriptors: file,
        script: None,
    };
    let (reply, said) = order(&mut desk, simulate);
    assert!(reply.unwrap().eq("it is plugged in at 0-1"));
    assert_eq!(said, ["allow by rule", "dial work"]);
    let detach = Order::Detach {
        device: Some("1209:0001".to_owned()),
    };
    let (reply, _) = order(&mut desk, detach);
    assert_eq!(reply.unwrap(), "it is taken back");
    desk.settle(LETTING_GO * 2);
    let attach = |zone: &str| Order::Attach {
        device: "0-1".to_owned(),
        zone: zone.to_owned(),
    };
    let (reply, _) = order(&mut desk, attach("open"));
    assert!(reply.unwrap_err().contains("no rule fits"));
    let (reply, said) = order(&mut desk, attach("work"));
    assert!(reply.is_ok());
    assert_eq!(said, ["allow by rule", "dial work"]);
}

#[test]
fn nothing_comes_of_a_device_whose_reading_breaks() {
    let mut desk = Desk::new(&flow("allow", "class=hid", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    desk.plug("1-2", COMPOSITE);
    // Its process dies of it in the middle of a line.
    let digest = desk.place.path().join("devices/1-1.digest");
    let text = std::fs::read_to_string(&digest).unwrap();
    std::fs::write(&digest, &text[..text.len() / 2]).unwrap();
    assert_eq!(desk.settle(SETTLE * 2), ["allow by rule", "dial work"]);
    assert_eq!(desk.held(), [("1-2".to_owned(), "work".to_owned())]);
    let broken = desk.usb.devices().next().unwrap();
    assert_eq!((broken.title(), broken.identity()), ("USB 1-1", None));
    // When its drivers come, it is read again.
    std::fs::write(&digest, &text).unwrap();
    let file = desk.place.path().join("bus/001/news");
    std::fs::write(file, "").unwrap();
    assert_eq!(desk.settle(SETTLE * 2), ["allow by rule", "dial work"]);
    assert_eq!(desk.held().len(), 2);
}

#[test]
fn plugging_in_and_pulling_out_is_told_at_once() {
    let mut desk = Desk::new("", HOLDS);
    let changed = |desk: &mut Desk| {
        let mut changed = 0;
        desk.settle(Duration::ZERO);
        desk.now += SETTLE * 2;
        for _ in 0..50 {
            let acts = desk.with(|usb, around, now| usb.dispatch(around, now));
            changed += acts
                .iter()
                .filter(|act| matches!(act, Act::Changed))
                .count();
            std::thread::sleep(Duration::from_millis(10));
        }
        changed
    };
    desk.plug("1-1", MOUSE);
    assert_eq!(changed(&mut desk), 1);
    assert_eq!(changed(&mut desk), 0);
    desk.pull("1-1");
    assert_eq!(changed(&mut desk), 1);
}

#[test]
fn rules_by_the_clock_are_looked_at_when_they_change_and_others_never() {
    let mut desk = Desk::new(&flow("allow", "class=hid", ""), HOLDS);
    desk.plug("1-1", MOUSE);
    desk.settle(SETTLE * 2);
    assert_eq!(desk.held().len(), 1);
    assert_eq!(desk.usb.next_deadline(), None, "nothing wakes it");
    let always = "when = { usb = \"class=hid\", hours = \"00:00-24:00\" }";
    let rules = flow("allow", "class=hid", "").replace("when = { usb = \"class=hid\" }", always);
    desk.engine.replace(policy(&rules));
    desk.settle(Duration::ZERO);
    let due = desk.usb.next_deadline().expect("an edge");
    assert!(due <= desk.now + RECHECK);
    assert_eq!(desk.held().len(), 1);
}
