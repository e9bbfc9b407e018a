//! Policies made at random, as text, and requests to them. The domain is small so that rules meet one another often.
#![allow(dead_code, reason = "each test takes what it needs of this module")]

pub mod disk;

use std::fmt::Write as _;
use std::time::Duration;

use bulkhead_policy::{
    Decider, Facts, Kind, Mime, Moment, Party, Policy, Request, Timestamp, Url, UsbDevice, Word,
};
use proptest::prelude::*;

pub const ZONES: [&str; 5] = ["alpha", "bravo", "delta", "gamma", "kilo"];
const TAGS: [&str; 3] = ["red", "blue", "guest"];
const KINDS: [&str; 7] = [
    "clipboard",
    "file",
    "url",
    "usb",
    "audio-out",
    "screenshot",
    "service",
];
const MIMES: [&str; 4] = ["text/plain", "text/html", "image/png", "application/pdf"];
const HOSTS: [&str; 3] = ["example.org", "a.example.org", "evil.invalid"];

/// One rule, before it is written as text.
#[derive(Clone, Debug)]
pub struct Flow {
    pub kind: &'static str,
    pub from: String,
    pub to: String,
    pub levels: Option<&'static str>,
    pub verdict: &'static str,
    pub when: Vec<String>,
    pub redirect: Option<&'static str>,
}

/// A policy, before it is written as text.
#[derive(Clone, Debug)]
pub struct Plan {
    pub levels: [u8; 5],
    pub tags: [Vec<&'static str>; 5],
    pub sensitive: Option<usize>,
    pub flows: Vec<Flow>,
}

impl Plan {
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (index, name) in ZONES.iter().enumerate() {
            let colour = ["#c62828", "#1565c0", "#2e7d32", "#f9a825", "#000000"][index];
            let tags = self.tags[index]
                .iter()
                .map(|tag| format!("\"{tag}\""))
                .collect::<Vec<_>>()
                .join(", ");
            writeln!(
                text,
                "[zone.{name}]\ncolour = \"{colour}\"\nimage = \"x\"\nlevel = {}\ntags = [{tags}]",
                self.levels[index]
            )
            .unwrap();
            if self.sensitive == Some(index) {
                writeln!(text, "sensitive = true").unwrap();
            }
        }
        for flow in &self.flows {
            writeln!(
                text,
                "[[flow]]\nkind = \"{}\"\nverdict = \"{}\"",
                flow.kind, flow.verdict
            )
            .unwrap();
            if flow.kind != "usb" {
                writeln!(text, "from = \"{}\"", flow.from).unwrap();
            }
            if !matches!(flow.kind, "audio-out" | "service") {
                writeln!(text, "to = \"{}\"", flow.to).unwrap();
            }
            if let Some(levels) = flow
                .levels
                .filter(|_| matches!(flow.kind, "clipboard" | "file" | "url"))
            {
                writeln!(text, "levels = \"{levels}\"").unwrap();
            }
            if !flow.when.is_empty() {
                writeln!(text, "when = {{ {} }}", flow.when.join(", ")).unwrap();
            }
            let redirect = flow.redirect.filter(|_| {
                matches!(flow.kind, "clipboard" | "file" | "url") && flow.verdict != "deny"
            });
            if let Some(redirect) = redirect {
                writeln!(text, "then = {{ redirect = \"{redirect}\" }}").unwrap();
            }
        }
        text
    }

    pub fn decider(&self) -> Decider {
        let text = self.text();
        match Policy::parse("random.toml", text.as_bytes()) {
            Ok(policy) => Decider::new(policy),
            Err(errors) => panic!("{errors}\n{text}"),
        }
    }
}

fn selector(tags: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let tags = tags.to_vec();
    let tag = move || proptest::sample::select(tags.clone()).prop_map(|tag| format!("tag:{tag}"));
    let zone = || proptest::sample::select(&ZONES).prop_map(str::to_owned);
    prop_oneof![
        3 => zone(),
        2 => tag(),
        2 => Just("any".to_owned()),
        1 => zone().prop_map(|zone| format!("!{zone}")),
        1 => (tag(), zone()).prop_map(|(tag, zone)| format!("{tag} & !{zone}")),
        1 => (0u8..4).prop_map(|level| format!("level:>={level}")),
    ]
}

fn conditions(kind: &'static str, verdict: &'static str) -> BoxedStrategy<Vec<String>> {
    let mime = proptest::sample::select(vec!["text/plain", "text/*", "image/*", "*/*"])
        .prop_map(|mime| format!("mime = \"{mime}\""));
    let size = proptest::sample::select(vec!["64 B", "1 KiB", "1 MiB"]);
    let size = size.prop_map(move |size| {
        if verdict == "deny" {
            format!("over-bytes = \"{size}\"")
        } else {
            format!("max-bytes = \"{size}\"")
        }
    });
    let hours = Just("hours = \"08:00-18:00\"".to_owned());
    let host = proptest::sample::select(vec!["example.org", "*.example.org", "*"])
        .prop_map(|host| format!("hosts = [\"{host}\"]"));
    let service = proptest::sample::select(vec!["build", "b*", "*"])
        .prop_map(|service| format!("services = \"{service}\""));
    let usb = proptest::sample::select(vec![
        "class=hid",
        "class=hid:01",
        "id=046d:*",
        "usage=keyboard,media",
        "keyboard=only",
        "changed=no",
    ])
    .prop_map(|usb| format!("usb = \"{usb}\""));
    let mut choices: Vec<BoxedStrategy<String>> = vec![hours.boxed()];
    match kind {
        "clipboard" | "file" => choices.extend([mime.boxed(), size.boxed()]),
        "url" => choices.extend([host.boxed(), size.boxed()]),
        "service" => choices.push(service.boxed()),
        "usb" => choices.push(usb.boxed()),
        _ => {}
    }
    let chosen = choices
        .into_iter()
        .map(|choice| proptest::option::weighted(0.3, choice))
        .collect::<Vec<_>>();
    chosen
        .prop_map(|list| list.into_iter().flatten().collect())
        .boxed()
}

pub fn flow(verdicts: &'static [&'static str]) -> impl Strategy<Value = Flow> {
    (
        proptest::sample::select(&KINDS),
        proptest::sample::select(verdicts),
    )
        .prop_flat_map(|(kind, verdict)| {
            let levels = proptest::option::weighted(
                0.2,
                proptest::sample::select(vec!["up", "down", "same", "not-down", "not-up"]),
            );
            let redirect = proptest::option::weighted(0.15, proptest::sample::select(&ZONES));
            (
                selector(&TAGS),
                selector(&TAGS),
                levels,
                conditions(kind, verdict),
                redirect,
            )
                .prop_map(move |(from, to, levels, when, redirect)| Flow {
                    kind,
                    from,
                    to,
                    levels,
                    verdict,
                    when,
                    redirect,
                })
        })
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let tags = || {
        let extra =
            proptest::collection::vec(proptest::sample::subsequence(TAGS.to_vec(), 0..=2), 4);
        // The first zone has every tag, so that each is known to the policy.
        extra.prop_map(|rest| {
            let mut all = [TAGS.to_vec(), vec![], vec![], vec![], vec![]];
            for (slot, tags) in all.iter_mut().skip(1).zip(rest) {
                *slot = tags;
            }
            all
        })
    };
    let flows = proptest::collection::vec(flow(&["allow", "ask", "deny"]), 0..14);
    (
        proptest::array::uniform5(0u8..4),
        tags(),
        proptest::option::weighted(0.3, 0usize..5),
        flows,
    )
        .prop_map(|(levels, tags, sensitive, flows)| Plan {
            levels,
            tags,
            sensitive,
            flows,
        })
}

pub fn party(index: usize) -> Party {
    Party::parse(ZONES[index % ZONES.len()]).unwrap()
}

pub fn all_parties() -> Vec<Party> {
    (0..ZONES.len()).map(party).chain([Party::Host]).collect()
}

pub fn facts() -> impl Strategy<Value = Facts> {
    let option = |choices: Vec<&'static str>| {
        proptest::option::weighted(0.8, proptest::sample::select(choices))
    };
    (
        option(MIMES.to_vec()),
        proptest::option::weighted(
            0.8,
            proptest::sample::select(vec![0u64, 64, 65, 1024, 1025, 1 << 20, (1 << 20) + 1]),
        ),
        option(HOSTS.to_vec()),
        option(vec!["build", "burn", "other"]),
        proptest::option::weighted(
            0.9,
            proptest::sample::select(vec![0i64, 9 * 3600, 20 * 3600]),
        ),
        proptest::option::weighted(
            0.7,
            proptest::collection::vec(
                proptest::sample::select(vec![(3u8, 1u8, 1u8), (3, 0, 0), (8, 6, 80)]),
                0..3,
            ),
        ),
    )
        .prop_map(|(mime, bytes, host, service, second, interfaces)| Facts {
            mime: mime.map(|mime| Mime::parse(mime).unwrap()),
            bytes,
            url: host.map(|host| Url::parse(&format!("https://{host}/")).unwrap()),
            service: service.map(|service| Word::parse(service).unwrap()),
            moment: second.map(|second| Moment {
                now: Timestamp(1_772_409_600 + second),
                utc_offset: 0,
            }),
            usb: interfaces.map(|interfaces| UsbDevice {
                vendor: 0x046d,
                usages: UsbDevice::parse(match interfaces.len() {
                    0 => "",
                    1 => "usage=keyboard",
                    _ => "usage=keyboard usage=mouse",
                })
                .unwrap()
                .usages,
                another_keyboard: interfaces.first().map(|class| class.1 == 1),
                interfaces,
                ..Default::default()
            }),
            age: Some(Duration::from_secs(1)),
            ..Facts::default()
        })
}

pub fn request() -> impl Strategy<Value = Request> {
    let kinds = KINDS.map(|kind| Kind::parse(kind).unwrap());
    (
        proptest::sample::select(kinds.to_vec()),
        0usize..5,
        0usize..6,
        facts(),
    )
        .prop_map(|(kind, first, second, facts)| {
            let (zone, other) = (
                party(first),
                if second == 5 {
                    Party::Host
                } else {
                    party(second)
                },
            );
            let (from, to) = match kind {
                Kind::Usb => (Party::Host, zone),
                Kind::AudioOut | Kind::Service => (zone, Party::Host),
                _ => (zone, other),
            };
            Request {
                kind,
                from,
                to,
                facts,
            }
        })
}
