//! `list` and `watch`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use usb_redirect::identity::{Circumstances, Identity, Judge, Judgement};
use usb_redirect::plugged::{self, Plugged};

/// Whether any other device in the list can type.
pub(crate) fn another_keyboard(devices: &[Plugged], this: &Plugged) -> bool {
    devices
        .iter()
        .filter(|device| device.place.port != this.place.port)
        .filter_map(|device| device.digest.identity.as_ref().ok())
        .any(Identity::can_type)
}

/// A device with what each zone would be allowed.
struct Row<'a> {
    device: &'a Plugged,
    verdicts: Vec<(String, &'static str, String)>,
}

fn rows<'a>(judge: &dyn Judge, devices: &'a [Plugged]) -> Vec<Row<'a>> {
    let row = |device: &'a Plugged| {
        let circumstances = Circumstances {
            another_keyboard: another_keyboard(devices, device),
            changed: false,
        };
        let verdicts = device.digest.identity.iter().flat_map(|identity| {
            judge.zones().into_iter().map(move |zone| {
                let (judgement, rule) = judge.judge(&zone, identity, circumstances);
                let word = match judgement {
                    Judgement::Allow(_) => "allow",
                    Judgement::Ask => "ask",
                    Judgement::Deny => "deny",
                };
                (zone, word, rule)
            })
        });
        let verdicts = verdicts.collect();
        Row { device, verdicts }
    };
    devices.iter().map(row).collect()
}

pub(crate) fn list(judge: &dyn Judge, devices: &[Plugged], out: &mut dyn Write) -> Result<()> {
    if devices.is_empty() {
        writeln!(out, "No USB device is plugged in.")?;
    }
    for row in rows(judge, devices) {
        row.show(out)?;
    }
    Ok(())
}

pub(crate) fn list_json(judge: &dyn Judge, devices: &[Plugged], out: &mut dyn Write) -> Result<()> {
    let rows: Vec<Value> = rows(judge, devices).iter().map(Row::json).collect();
    writeln!(out, "{:#}", Value::from(rows))?;
    Ok(())
}

impl Row<'_> {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let Plugged { place, digest } = self.device;
        let (vendor, product, release) = digest.numbers;
        let title = digest.title();
        writeln!(out, "{}  {vendor:04x}:{product:04x}  {title}", place.port)?;
        let identity = match &digest.identity {
            Ok(identity) => identity,
            Err(reason) => {
                writeln!(out, "    no zone may have it; {reason}")?;
                return Ok(());
            }
        };
        writeln!(out, "    is: {}", identity.kind())?;
        let serial = match identity.names.serial.as_str() {
            "" => String::new(),
            serial => format!(" serial={serial}"),
        };
        writeln!(out, "    release={release:04x}{serial}")?;
        for ((number, alternate), class) in &identity.interfaces {
            let usages = identity.reports.get(number).filter(|_| *alternate == 0);
            let usages = usages.map_or_else(String::new, |report| {
                let all: Vec<String> = report
                    .applications
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                format!(" usage={} report={}", all.join(","), report.hash)
            });
            writeln!(
                out,
                "    interface {number}.{alternate} class={class}{usages}"
            )?;
        }
        writeln!(out, "    descriptors={}", identity.descriptors)?;
        for (zone, verdict, rule) in &self.verdicts {
            writeln!(out, "    {zone}: {verdict}  ({rule})")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let Plugged { place, digest } = self.device;
        let (vendor, product, release) = digest.numbers;
        let mut value = json!({
            "port": place.port,
            "vendor": format!("{vendor:04x}"),
            "product": format!("{product:04x}"),
            "release": format!("{release:04x}"),
            "title": digest.title(),
            "serial": digest.names.serial,
            "refused": digest.identity.as_ref().err(),
        });
        let Ok(identity) = &digest.identity else {
            return value;
        };
        let interfaces: Vec<Value> = identity
            .interfaces
            .iter()
            .map(|((number, alternate), class)| {
                let report = identity.reports.get(number).filter(|_| *alternate == 0);
                json!({
                    "number": number,
                    "alternate": alternate,
                    "class": class.to_string(),
                    "usages": report.map(|report| {
                        report.applications.iter().map(ToString::to_string).collect::<Vec<_>>()
                    }),
                    "report": report.map(|report| report.hash.to_string()),
                })
            })
            .collect();
        let zones: Vec<Value> = self
            .verdicts
            .iter()
            .map(|(zone, verdict, rule)| json!({ "zone": zone, "verdict": verdict, "rule": rule }))
            .collect();
        value["kind"] = identity.kind().into();
        value["descriptors"] = identity.descriptors.to_string().into();
        value["fingerprint"] = identity.fingerprint().to_string().into();
        value["interfaces"] = interfaces.into();
        value["zones"] = zones.into();
        value
    }
}

/// Tells of changes, one a line.
pub(crate) fn watch(every: Duration, times: Option<u64>, out: &mut dyn Write) -> Result<()> {
    let mut before: BTreeMap<String, String> = BTreeMap::new();
    let mut places = Vec::new();
    let mut looked = 0u64;
    loop {
        let here = plugged::places(Path::new(plugged::DEVICES))?;
        // Nobody is asked what they are while all is as it was.
        let same = std::mem::replace(&mut places, here) == places;
        if !same {
            let now: BTreeMap<String, String> = crate::describe::plugged()?
                .into_iter()
                .map(|Plugged { place, digest }| {
                    let (vendor, product, _) = digest.numbers;
                    let text = format!("{vendor:04x}:{product:04x} {}", digest.title());
                    (place.port, text)
                })
                .collect();
            changes(&before, &now, out)?;
            before = now;
        }
        looked = looked.saturating_add(1);
        if times.is_some_and(|times| looked >= times) {
            return Ok(());
        }
        std::thread::sleep(every);
    }
}

fn changes(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> Result<()> {
    for (port, text) in before {
        if now.get(port) != Some(text) {
            writeln!(out, "- {port} {text}")?;
        }
    }
    for (port, text) in now {
        if before.get(port) != Some(text) {
            writeln!(out, "+ {port} {text}")?;
        }
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use usb_redirect::device::DescriptionFile;
    use usb_redirect::filter::Grant;
    use usb_redirect::plugged::{Digest, Place};

    const COMPOSITE: &str = include_str!("../../descriptors/composite.txt");

    struct MiceForWork;

    impl Judge for MiceForWork {
        fn zones(&self) -> Vec<String> {
            vec!["work".to_owned(), "secret".to_owned()]
        }

        fn judge(
            &self,
            zone: &str,
            device: &Identity,
            around: Circumstances,
        ) -> (Judgement, String) {
            match (zone, device.can_type(), around.another_keyboard) {
                ("work", true, false) => {
                    (Judgement::Allow(Grant::default()), "work.toml:3".to_owned())
                }
                ("work", true, true) => (Judgement::Ask, "work.toml:4".to_owned()),
                _ => (Judgement::Deny, "no rule allows it".to_owned()),
            }
        }

        fn rules(&self) -> Vec<String> {
            Vec::new()
        }
    }

    fn plugged(port: &str) -> Plugged {
        let file = DescriptionFile::parse(COMPOSITE).unwrap();
        Plugged {
            place: Place {
                port: port.to_owned(),
                node: "/dev/bus/usb/001/002".into(),
                folder: format!("/sys/bus/usb/devices/{port}").into(),
            },
            digest: Digest::from(&file.describe().unwrap()),
        }
    }

    fn shown(devices: &[Plugged]) -> String {
        let mut out = Vec::new();
        list(&MiceForWork, devices, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_list_tells_each_zones_verdict_and_its_rule() {
        let text = shown(&[plugged("1-1")]);
        assert!(
            text.contains("1-1  1209:0001  Bulkhead Simulated keyboard and mouse"),
            "{text}"
        );
        assert!(text.contains("is: keyboard and mouse"), "{text}");
        assert!(text.contains("usage=0001:0006 report="), "{text}");
        assert!(text.contains("work: allow  (work.toml:3)"), "{text}");
        assert!(text.contains("secret: deny  (no rule allows it)"), "{text}");
    }

    #[test]
    fn programs_read_the_same() {
        let mut out = Vec::new();
        list_json(&MiceForWork, &[plugged("1-1")], &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        let device = &value[0];
        assert_eq!(device["port"], "1-1");
        assert_eq!(device["zones"][0]["verdict"], "allow");
        assert_eq!(device["zones"][1]["rule"], "no rule allows it");
        assert_eq!(device["interfaces"][1]["usages"][0], "0001:0002");
        assert_eq!(device["fingerprint"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn a_second_keyboard_is_a_circumstance() {
        let text = shown(&[plugged("1-1"), plugged("1-2")]);
        assert_eq!(
            text.matches("work: ask  (work.toml:4)").count(),
            2,
            "{text}"
        );
    }

    #[test]
    fn what_is_refused_is_listed_and_goes_nowhere() {
        let mut device = plugged("1-1");
        device.digest.identity = Err("refused: a bomb".to_owned());
        let text = shown(&[device]);
        assert!(
            text.contains("no zone may have it; refused: a bomb"),
            "{text}"
        );
        assert!(!text.contains("work:"), "{text}");
    }

    #[test]
    fn changes_are_told_once() {
        let one = BTreeMap::from([("1-1".to_owned(), "a".to_owned())]);
        let two = BTreeMap::from([
            ("1-1".to_owned(), "b".to_owned()),
            ("1-2".to_owned(), "c".to_owned()),
        ]);
        let mut out = Vec::new();
        changes(&one, &two, &mut out).unwrap();
        changes(&two, &two, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "- 1-1 a\n+ 1-1 b\n+ 1-2 c\n"
        );
    }
}
