//! `list` and `watch`.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use usb_redirect::identity::{Circumstances, Identity, Judge, Judgement};
use usb_redirect::plugged::Plugged;

/// Whether any other device in the list can type.
pub(crate) fn another_keyboard(devices: &[Plugged], this: &Plugged) -> bool {
    devices
        .iter()
        .filter(|device| device.port != this.port)
        .filter_map(Plugged::identity)
        .any(|identity| identity.can_type())
}

/// A device with what each zone would be allowed.
struct Row<'a> {
    device: &'a Plugged,
    identity: Option<Identity>,
    verdicts: Vec<(String, &'static str, String)>,
}

fn rows<'a>(judge: &dyn Judge, devices: &'a [Plugged]) -> Vec<Row<'a>> {
    let row = |device: &'a Plugged| {
        let identity = device.identity();
        let circumstances = Circumstances {
            another_keyboard: another_keyboard(devices, device),
            changed: false,
        };
        let verdicts = identity.iter().flat_map(|identity| {
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
        Row {
            device,
            identity,
            verdicts,
        }
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
        let device = self.device;
        let (vendor, product, release) = device.numbers;
        let title = device.title();
        writeln!(out, "{}  {vendor:04x}:{product:04x}  {title}", device.port)?;
        let Some(identity) = &self.identity else {
            let reason = match &device.description {
                Err(error) => format!("refused: {error}"),
                Ok(_) if device.is_hub() => "a hub: what is plugged into it is listed".to_owned(),
                Ok(_) => "no human interface device".to_owned(),
            };
            writeln!(out, "    no zone may have it; {reason}")?;
            return Ok(());
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
        let device = self.device;
        let (vendor, product, release) = device.numbers;
        let refused = device.description.as_ref().err().map(ToString::to_string);
        let mut value = json!({
            "port": device.port,
            "vendor": format!("{vendor:04x}"),
            "product": format!("{product:04x}"),
            "release": format!("{release:04x}"),
            "title": device.title(),
            "serial": device.names.serial,
            "refused": refused,
        });
        let Some(identity) = &self.identity else {
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
    let mut looked = 0u64;
    loop {
        let now: BTreeMap<String, String> = crate::plugged()?
            .into_iter()
            .map(|device| {
                let (vendor, product, _) = device.numbers;
                let text = format!("{vendor:04x}:{product:04x} {}", device.title());
                (device.port, text)
            })
            .collect();
        changes(&before, &now, out)?;
        before = now;
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
    use std::sync::Arc;

    use super::*;
    use usb_redirect::device::{Description, DescriptionFile};
    use usb_redirect::filter::Grant;

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
        let description = DescriptionFile::parse(COMPOSITE)
            .unwrap()
            .describe()
            .unwrap();
        let settings = description.configuration.interfaces();
        Plugged {
            node: "/dev/bus/usb/001/002".into(),
            port: port.to_owned(),
            numbers: (0x1209, 1, 0x100),
            names: description.names.clone(),
            interfaces: settings
                .map(|setting| (setting.number, setting.class))
                .collect(),
            description: Ok(Arc::new(description)),
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
    fn a_bomb_is_listed_and_goes_nowhere() {
        let bomb = vec![
            0xa1, 1, 0x75, 1, 0x97, 0xff, 0xff, 0xff, 0x7f, 0x81, 2, 0xc0,
        ];
        let mut device = plugged("1-1");
        let honest = device.description.clone().unwrap();
        device.description = Description::new(
            honest.speed,
            &honest.device.raw,
            &honest.configuration.raw,
            [(0, bomb), (1, honest.reports[&1].raw.clone())],
        )
        .map(Arc::new);
        let text = shown(&[device]);
        assert!(text.contains("no zone may have it; refused: "), "{text}");
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
