//! The policy as the judge of USB devices.

use std::time::Duration;

use bulkhead_policy::{
    Condition, Decider, Decision, Facts, Kind, Moment, Party, Policy, Request, UsbDevice, UsbExtra,
    UsbHash, UsbUsage, Verdict, Word, ZoneName,
};
use usb_redirect::filter::Grant;
use usb_redirect::identity::{Circumstances, Hash, Identity, Judge, Judgement};

use crate::words::Remark;

/// Digits of a code that is typed on a new keyboard.
const CODE_DIGITS: usize = 6;

/// A policy that judges devices at one time.
pub struct PolicyJudge<'p> {
    decider: &'p Decider,
    moment: Moment,
}

impl<'p> PolicyJudge<'p> {
    /// The policy, now.
    #[must_use]
    pub fn new(decider: &'p Decider) -> Self {
        Self {
            decider,
            moment: crate::clock::moment(crate::clock::timestamp()),
        }
    }

    /// What the policy says of a device for a zone, and why.
    pub(crate) fn decide(
        &self,
        zone: &str,
        device: &Identity,
        circumstances: Circumstances,
    ) -> (Judgement, Remark) {
        let Ok(name) = ZoneName::parse(zone) else {
            return (Judgement::Deny, Remark::NoZone(zone.to_owned()));
        };
        let mut request = request(name, device, circumstances);
        request.facts.moment = Some(self.moment);
        let decision = self.decider.decide(&request);
        let judgement = match decision.verdict {
            Verdict::Deny => Judgement::Deny,
            Verdict::Ask => Judgement::Ask,
            Verdict::Allow => Judgement::Allow(grant(&decision, device)),
        };
        (judgement, reason(self.decider, &decision))
    }
}

impl Judge for PolicyJudge<'_> {
    fn zones(&self) -> Vec<String> {
        let zones = &self.decider.policy().zones;
        zones.iter().map(|zone| zone.name.to_string()).collect()
    }

    fn judge(
        &self,
        zone: &str,
        device: &Identity,
        circumstances: Circumstances,
    ) -> (Judgement, String) {
        let (judgement, why) = self.decide(zone, device, circumstances);
        (judgement, why.to_string())
    }

    fn rules(&self) -> Vec<String> {
        let policy = self.decider.policy();
        let rules = policy.rules.iter();
        rules
            .filter(|rule| rule.kinds.contains(Kind::Usb))
            .map(|rule| {
                let to: Vec<String> = rule.to.iter().map(ToString::to_string).collect();
                let devices = rule
                    .conditions
                    .iter()
                    .find_map(|condition| match condition {
                        Condition::Usb(_) => Some(condition.value()),
                        _ => None,
                    });
                format!(
                    "{}:{}  {}  to {}  {}  ({})",
                    policy.source().name(),
                    rule.line,
                    rule.verdict,
                    to.join(" or "),
                    devices.as_deref().unwrap_or("any device"),
                    rule.name
                )
            })
            .collect()
    }
}

/// What is asked of the policy when a device is to go to a zone.
pub(super) fn request(zone: ZoneName, device: &Identity, around: Circumstances) -> Request {
    let hash = |hash: &Hash| UsbHash(hash.0);
    let (vendor, product, release) = device.numbers;
    let reports = device.reports.values();
    let facts = Facts {
        usb: Some(UsbDevice {
            vendor,
            product,
            release: Some(release),
            interfaces: device
                .interfaces
                .values()
                .map(|class| (class.class, class.subclass, class.protocol))
                .collect(),
            usages: reports
                .clone()
                .flat_map(|report| &report.applications)
                .map(|usage| UsbUsage {
                    page: usage.page(),
                    number: usage.number(),
                })
                .collect(),
            serial: Word::parse(&device.names.serial)
                .ok()
                .filter(|word| !word.as_str().is_empty()),
            port: device.port.clone(),
            descriptors: Some(hash(&device.descriptors)),
            reports: reports.map(|report| hash(&report.hash)).collect(),
            another_keyboard: Some(around.another_keyboard),
            changed: Some(around.changed),
        }),
        ..Facts::default()
    };
    Request::new(Kind::Usb, Party::Host, Party::Zone(zone)).with(facts)
}

/// What a decision lets pass of a device. A code that must be typed is made here, a new one each time.
pub(super) fn grant(decision: &Decision, device: &Identity) -> Grant {
    let duties = &decision.duties;
    let passes = |extra| duties.usb_passes.contains(&extra);
    let mut grant = Grant::default();
    grant.power_keys = passes(UsbExtra::PowerKeys);
    grant.sysrq = passes(UsbExtra::Sysrq);
    grant.vendor_requests = passes(UsbExtra::VendorRequests);
    grant.challenge = (duties.type_code && device.can_type()).then(code);
    grant
}

/// How long the policy's word on a device can stay what it is by the time alone; none where it does not depend on the time.
pub(super) fn next_edge(policy: &Policy, moment: Moment) -> Option<Duration> {
    const DAY: i64 = 86_400;
    let today = i64::from(moment.minute_of_day()) * 60 + moment.now.0.rem_euclid(60);
    let until = |minute: u16| match (i64::from(minute) * 60 - today).rem_euclid(DAY) {
        0 => DAY,
        seconds => seconds,
    };
    let rules = policy.rules.iter();
    let conditions = rules
        .filter(|rule| rule.kinds.contains(Kind::Usb))
        .flat_map(|rule| rule.conditions.iter());
    let edges = conditions.flat_map(|condition| match condition {
        Condition::Hours(hours) => vec![until(hours.from), until(hours.until)],
        Condition::Days(_) => vec![until(0)],
        _ => Vec::new(),
    });
    let standing = policy.standing_changes_at(moment.now);
    let standing = standing.map(|at| at.0.saturating_sub(moment.now.0));
    let seconds = edges.chain(standing).min()?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn code() -> String {
    let mut code = String::new();
    while code.len() < CODE_DIGITS {
        let mut byte = [0];
        // The kernel has random bytes from the moment that it runs programs; were there none, no keyboard would ever count.
        if rustix::rand::getrandom(&mut byte, rustix::rand::GetRandomFlags::empty()) != Ok(1) {
            continue;
        }
        let [byte] = byte;
        // Every digit as often as any other.
        if byte < 250 {
            code.push(char::from(b'0' + byte % 10));
        }
    }
    code
}

/// The rule that decided, as `file:line "name"`, or why none did.
pub(super) fn reason(decider: &Decider, decision: &Decision) -> Remark {
    let source = decider.policy().source().name();
    let rules: Vec<String> = decision
        .determining
        .iter()
        .filter_map(|id| decider.rule(*id))
        .map(|rule| format!("{source}:{} \"{}\"", rule.line, rule.name))
        .collect();
    if rules.is_empty() {
        Remark::NoVerdict(decision.reason.clone())
    } else {
        Remark::Rules(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_policy::Timestamp;
    use usb_redirect::device::DescriptionFile;

    const POLICY: &str = r##"
[zone.work]
colour = "#1565c0"
image = "x"

[zone.open]
colour = "#c62828"
image = "x"

[[flow]]
name = "keyboards and mice"
kind = "usb"
to = "work"
verdict = "allow"
when = { usb = "usage=keyboard,mouse keyboard=only" }
then = { type-code = true, usb-passes = ["sysrq"] }

[[flow]]
name = "a second keyboard"
kind = "usb"
to = "work"
verdict = "ask"
when = { usb = "usage=keyboard,mouse keyboard=another changed=no" }
"##;

    fn composite() -> Identity {
        let text = include_str!("../../../usb-redirect/descriptors/composite.txt");
        Identity::new(&DescriptionFile::parse(text).unwrap().describe().unwrap())
    }

    #[test]
    fn the_policy_sees_all_that_the_device_shows_and_names_its_rule() {
        let decider = Decider::new(Policy::parse("desk.toml", POLICY.as_bytes()).unwrap());
        let judge = PolicyJudge::new(&decider);
        assert_eq!(judge.zones(), ["work", "open"]);
        let device = composite();
        let mut around = Circumstances::default();
        let (judgement, rule) = judge.judge("work", &device, around);
        assert_eq!(rule, "desk.toml:10 \"keyboards and mice\"");
        let Judgement::Allow(grant) = judgement else {
            panic!("{judgement:?}");
        };
        assert!(grant.sysrq && !grant.power_keys && !grant.vendor_requests);
        let code = grant.challenge.unwrap();
        assert!(code.len() == CODE_DIGITS && code.bytes().all(|byte| byte.is_ascii_digit()));

        around.another_keyboard = true;
        assert_eq!(judge.judge("work", &device, around).0, Judgement::Ask);
        around.changed = true;
        let (judgement, rule) = judge.judge("work", &device, around);
        assert_eq!(judgement, Judgement::Deny);
        assert!(rule.contains("no rule fits"), "{rule}");
        assert_eq!(judge.judge("open", &device, around).0, Judgement::Deny);
        assert_eq!(judge.judge("../x", &device, around).0, Judgement::Deny);
    }

    #[test]
    fn the_next_edge_is_that_of_the_clock_rule_that_changes_first() {
        // Monday, 2024-01-01, 08:30:10 in UTC; local time is an hour ahead.
        let moment = Moment {
            now: Timestamp(1_704_097_810),
            utc_offset: 60,
        };
        let edge = |when: &str| {
            let text = POLICY.replacen("keyboard=only\"", &format!("keyboard=only\"{when}"), 1);
            let policy = Policy::parse("desk.toml", text.as_bytes()).unwrap();
            next_edge(&policy, moment).map(|edge| edge.as_secs())
        };
        assert_eq!(edge(""), None);
        assert_eq!(edge(", hours = \"08:00-18:00\""), Some(8 * 3600 + 1790));
        assert_eq!(edge(", hours = \"09:31-09:30\""), Some(50));
        assert_eq!(edge(", hours = \"00:00-24:00\""), Some(14 * 3600 + 1790));
        assert_eq!(edge(", days = [\"mon\"]"), Some(14 * 3600 + 1790));
    }

    #[test]
    fn a_rule_can_name_a_device_by_what_the_list_shows() {
        let device = composite();
        let hashes: Vec<String> = device
            .reports
            .values()
            .map(|report| format!("report={}", report.hash))
            .collect();
        let pattern = format!(
            "id=1209:0001 release=0100 interfaces=03:01:01,03:01:02 serial=0001 descriptors={} {}",
            device.descriptors,
            hashes.join(" ")
        );
        let text = POLICY.replace("usage=keyboard,mouse keyboard=only", &pattern);
        let decider = Decider::new(Policy::parse("desk.toml", text.as_bytes()).unwrap());
        let judge = PolicyJudge::new(&decider);
        let (judgement, _) = judge.judge("work", &device, Circumstances::default());
        assert!(matches!(judgement, Judgement::Allow(_)));
        let mut other = device;
        other.numbers.2 = 0x0101;
        let (judgement, _) = judge.judge("work", &other, Circumstances::default());
        assert_eq!(judgement, Judgement::Deny);
        assert_eq!(judge.rules().len(), 2);
        assert!(judge.rules()[0].starts_with("desk.toml:10  allow  to work  id=1209:0001"));
    }
}
