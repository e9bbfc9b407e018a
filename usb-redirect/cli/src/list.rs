//! `list` and `watch`.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use usb_redirect::device::{Names, Report};
use usb_redirect::identity::{Circumstances, Identity, Judge, Judgement};
use usb_redirect_host::ListedDevice;

/// What a policy is told of a device that is only listed. Its hash of descriptors is worked out when it is taken; until then the verdict is
/// about what can be seen without touching it.
pub(crate) fn seen(device: &ListedDevice) -> Option<Identity> {
    let description = usb_redirect::device::Description::new(
        device.speed,
        &device.descriptors.0,
        &device.descriptors.1,
        device
            .interfaces
            .iter()
            .filter_map(|interface| Some((interface.number, interface.report.clone()?))),
    );
    let mut description = description.ok()?;
    description.names = Names {
        manufacturer: String::new(),
        product: device.title.clone(),
        serial: device.serial.clone(),
    };
    description.port.clone_from(&device.port);
    Some(Identity::new(&description))
}

/// Whether any other listed device can type.
pub(crate) fn another_keyboard(devices: &[ListedDevice], this: &ListedDevice) -> bool {
    devices
        .iter()
        .filter(|device| device.port != this.port)
        .filter_map(seen)
        .any(|identity| identity.can_type())
}

pub(crate) fn list(judge: &dyn Judge, devices: &[ListedDevice], out: &mut dyn Write) -> Result<()> {
    if devices.is_empty() {
        writeln!(out, "No USB device is plugged in.")?;
    }
    for device in devices {
        let (vendor, product, _) = device.identity;
        let title = if device.title.is_empty() {
            "unnamed device"
        } else {
            &device.title
        };
        writeln!(out, "{}  {vendor:04x}:{product:04x}  {title}", device.port)?;
        for interface in &device.interfaces {
            let usages: Vec<String> = interface.usages.iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "    interface {} class {} {}",
                interface.number,
                interface.class,
                usages.join(" ")
            )?;
            if let Some(Err(error)) = interface.report.clone().map(Report::new) {
                writeln!(out, "    its report descriptor is refused: {error}")?;
            }
        }
        let Some(identity) = seen(device) else {
            writeln!(
                out,
                "    not a HID device, or not readable: no zone may have it"
            )?;
            continue;
        };
        writeln!(out, "    is: {}", identity.kind())?;
        let circumstances = Circumstances {
            another_keyboard: another_keyboard(devices, device),
            changed: false,
        };
        for zone in judge.zones() {
            let (judgement, rule) = judge.judge(&zone, &identity, circumstances);
            let word = match judgement {
                Judgement::Allow(_) => "allow",
                Judgement::Ask => "ask",
                Judgement::Deny => "deny",
            };
            writeln!(out, "    {zone}: {word}  ({rule})")?;
        }
    }
    Ok(())
}

/// Tells of changes, one a line.
pub(crate) fn watch(every: Duration, times: Option<u64>, out: &mut dyn Write) -> Result<()> {
    let mut before: BTreeMap<String, String> = BTreeMap::new();
    let mut looked = 0u64;
    loop {
        let now: BTreeMap<String, String> = usb_redirect_host::list()?
            .into_iter()
            .map(|device| {
                let (vendor, product, _) = device.identity;
                let text = format!("{vendor:04x}:{product:04x} {}", device.title);
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
    use super::*;
    use usb_redirect::device::DescriptionFile;
    use usb_redirect::filter::Grant;
    use usb_redirect_host::ListedInterface;

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

    fn listed(port: &str) -> ListedDevice {
        let description = DescriptionFile::parse(COMPOSITE)
            .unwrap()
            .describe()
            .unwrap();
        ListedDevice {
            node: "/dev/bus/usb/001/002".into(),
            port: port.to_owned(),
            identity: (0x1209, 1, 0x100),
            title: "Keyboard".to_owned(),
            serial: String::new(),
            speed: description.speed,
            descriptors: (
                description.device.raw,
                description.configuration.raw.clone(),
            ),
            interfaces: description
                .configuration
                .settings
                .iter()
                .map(|setting| ListedInterface {
                    number: setting.number,
                    class: setting.class,
                    usages: description.reports[&setting.number]
                        .parsed
                        .applications()
                        .iter()
                        .map(|application| application.usage)
                        .collect(),
                    report: Some(description.reports[&setting.number].raw.clone()),
                })
                .collect(),
        }
    }

    fn shown(devices: &[ListedDevice]) -> String {
        let mut out = Vec::new();
        list(&MiceForWork, devices, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_list_tells_each_zones_verdict_and_its_rule() {
        let text = shown(&[listed("1-1")]);
        assert!(text.contains("1-1  1209:0001  Keyboard"), "{text}");
        assert!(text.contains("is: keyboard and mouse"), "{text}");
        assert!(text.contains("work: allow  (work.toml:3)"), "{text}");
        assert!(text.contains("secret: deny  (no rule allows it)"), "{text}");
    }

    #[test]
    fn a_second_keyboard_is_a_circumstance() {
        let text = shown(&[listed("1-1"), listed("1-2")]);
        assert_eq!(
            text.matches("work: ask  (work.toml:4)").count(),
            2,
            "{text}"
        );
    }

    #[test]
    fn a_bomb_is_listed_and_goes_nowhere() {
        let mut device = listed("1-1");
        device.interfaces[0].report = Some(vec![
            0xa1, 1, 0x75, 1, 0x97, 0xff, 0xff, 0xff, 0x7f, 0x81, 2, 0xc0,
        ]);
        let text = shown(&[device]);
        assert!(text.contains("its report descriptor is refused"), "{text}");
        assert!(text.contains("no zone may have it"), "{text}");
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
