//! What the pages of the trusted UI show, from the policy, the audit log and the devices; and what a person does on them.
//!
//! The pages ask with a [`Query`] when one comes up and get plain data back. The log is read on a thread of its own, in
//! windows: a person who looks into a large one makes nothing wait.

mod log;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_policy::{
    self as policy, Kind, Party, Persistence, Rule, Standing, Timestamp, Verdict,
};
use compositor::{Health, Label, PanelSigns, Settings, WorkPage, ZoneId};
use trusted_pages::{
    Act, AuditFilter, AuditView, CellView, FlowVerdict, PartyView, PolicyView, Query, RuleView,
    UsbCommand, UsbDeviceId, UsbDeviceView, UsbView, UsbZoneView, ZoneFacts, ZonesView,
};
use usb_redirect::identity::{Circumstances, Judgement};

use super::watch::ring;
use super::{Finished, Session, clock};
use crate::look::Look;
use crate::policy_source::PolicySource;
use crate::usb::{DeviceId, DeviceView, PolicyJudge};
use crate::words::Remark;

/// The longest text of a rule.
const RULE_LENGTH: usize = 240;

/// The window of the log that a thread is reading, and the one that is wanted next.
#[derive(Debug, Default)]
pub(super) struct Reading {
    under_way: bool,
    next: Option<log::Window>,
}

/// What a thread found in the log.
pub(super) struct Found(AuditView);

impl Session {
    /// Brings the page that is up in line with everything else, and does what a person asked for there.
    pub(super) fn turn_page(&mut self, now: Instant) {
        // A page that gets what it asked for may ask for more, but not for ever.
        for _ in 0..4 {
            match self.scene.work_space().map(|space| space.page) {
                Some(WorkPage::Zones) => self.pages.set_zones(self.zones_view()),
                Some(WorkPage::Usb) => self.pages.set_usb(self.usb_view()),
                _ => {}
            }
            let since = self.since(now);
            let acts = self.pages.turn(&mut self.scene, since);
            let actions = self.scene.take_actions();
            if acts.is_empty() && actions.is_empty() {
                return;
            }
            for action in actions {
                self.perform(action, now);
            }
            for act in acts {
                match act {
                    Act::Query(query) => self.query(query),
                    Act::Command(zone, command) => self.command(zone, command, now),
                    Act::Usb(device, command) => self.usb_asked(device, command, now),
                    Act::SettingsChanged(settings) => self.settings_changed(settings, now),
                    Act::Lock => self.lock_by_user(now),
                }
            }
        }
    }

    /// A page needs this.
    fn query(&mut self, query: Query) {
        match query {
            Query::Policy => {
                let view = self.policy_view();
                self.pages.set_policy(view);
            }
            Query::Audit {
                filter,
                skip,
                count,
            } => {
                let window = self.window(filter, skip, count);
                self.read_log(window);
            }
            // These are told all the time while their page is up.
            Query::Zones | Query::Usb => {}
        }
    }

    fn window(&self, filter: AuditFilter, skip: u64, count: usize) -> log::Window {
        let zones: Vec<(String, ZoneId)> =
            self.present().map(|zone| (zone.name(), zone.id)).collect();
        let named = |wanted| {
            let known = zones.iter().find(|(_, id)| *id == wanted);
            known.map_or_else(String::new, |(name, _)| name.clone())
        };
        log::Window {
            words: filter.words,
            zone: filter.zone.map(named),
            kind: filter.kind,
            language: self.options.settings.language,
            skip,
            count,
            zones,
        }
    }

    fn zones_view(&self) -> ZonesView {
        let facts = |zone: &super::Zone| {
            let policy = &zone.policy;
            let image = Remark::Image {
                name: policy.image.to_string(),
                keeps_home: policy.persistence != Persistence::Disposable,
            };
            ZoneFacts {
                memory: Label::new(&format!("{} MiB", policy.memory_mib), 24),
                image: Label::new(&self.say(&image), 80),
                since: zone.since.map(clock_face).unwrap_or_default(),
            }
        };
        ZonesView {
            zones: self.present().map(|zone| (zone.id, facts(zone))).collect(),
        }
    }

    /// A person changed how the trusted UI looks: it is kept.
    pub(super) fn settings_changed(&mut self, settings: Settings, now: Instant) {
        let before = std::mem::replace(&mut self.options.settings, settings);
        if before.language != settings.language {
            self.say_anew();
        }
        if let Err(error) = self.services.state.keep_look(Look::of(&settings)) {
            self.notify(Remark::SettingsNotKept(error.to_string()), now);
        }
    }

    /// A person asked this of a device.
    pub(super) fn usb_asked(&mut self, device: UsbDeviceId, command: UsbCommand, now: Instant) {
        let id = DeviceId(device.0);
        match command {
            UsbCommand::Detach => self.detach_device(id, now),
            UsbCommand::Attach(zone) => {
                let zone = self.zones().find(|known| known.id() == zone);
                if let Some(zone) = zone.map(|zone| zone.name().to_owned()) {
                    self.attach_device(id, &zone, now);
                }
            }
        }
    }

    fn usb_view(&self) -> UsbView {
        let Some(usb) = self.devices() else {
            return UsbView {
                remark: Some(Label::new(&self.say(&Remark::NoDevices), 120)),
                devices: Vec::new(),
            };
        };
        let judge = PolicyJudge::new(self.engine.decider());
        UsbView {
            remark: None,
            devices: usb
                .devices()
                .map(|device| self.device_view(device, &judge))
                .collect(),
        }
    }

    fn device_view(&self, device: DeviceView<'_>, judge: &PolicyJudge<'_>) -> UsbDeviceView {
        let judged = device.identity().map(|identity| {
            self.present()
                .map(|zone| {
                    let name = zone.policy.name.as_str();
                    let (judgement, why) = judge.decide(name, identity, Circumstances::default());
                    UsbZoneView {
                        zone: zone.id,
                        verdict: match judgement {
                            Judgement::Allow(_) => FlowVerdict::Allow,
                            Judgement::Ask => FlowVerdict::Ask,
                            Judgement::Deny => FlowVerdict::Deny,
                        },
                        why: Label::new(&self.say(&why), 120),
                    }
                })
                .collect()
        });
        let facts = match device.identity() {
            Some(identity) => {
                let (vendor, product, _) = identity.numbers;
                let classes = identity.interfaces.values().map(|class| class.class);
                Remark::DeviceFacts {
                    numbers: (vendor, product),
                    port: device.port().to_owned(),
                    classes: classes.collect::<BTreeSet<u8>>().into_iter().collect(),
                }
            }
            None => Remark::NoDeviceFacts {
                port: device.port().to_owned(),
            },
        };
        let held_by = device.zone().and_then(|name| {
            let zone = self.zones().find(|zone| *name == *zone.name());
            zone.map(|zone| zone.id())
        });
        UsbDeviceView {
            id: UsbDeviceId(device.id().0),
            name: Label::new(device.title(), 80),
            facts: Label::new(&self.say(&facts), 120),
            held_by,
            zones: judged.unwrap_or_default(),
        }
    }

    /// Reads a window of the log; one that is asked for meanwhile is read after it, and only the latest such.
    fn read_log(&mut self, window: log::Window) {
        if self.reading.under_way {
            self.reading.next = Some(window);
            return;
        }
        let (directory, bell) = (self.services.state.audit_log(), self.watch.bell());
        let finisher = self.finisher.clone();
        let works = self.records_work;
        let read = move || {
            let view = log::read(&directory, &window, works);
            // The session may be gone; then nobody needs it.
            let _ = finisher.send(Finished::Log(Found(view)));
            ring(&bell);
        };
        let thread = std::thread::Builder::new()
            .name("read-log".into())
            .spawn(read);
        match thread {
            Ok(_) => self.reading.under_way = true,
            Err(error) => self.pages.set_audit(AuditView {
                trouble: Label::new(&self.say(&Remark::LogUnreadable(error.to_string())), 160),
                ..AuditView::default()
            }),
        }
    }

    pub(super) fn log_read(&mut self, Found(view): Found) {
        self.reading.under_way = false;
        match self.reading.next.take() {
            Some(next) => self.read_log(next),
            None => self.pages.set_audit(view),
        }
    }

    /// The signs in the panel: how policy and log fare, the layout, and the time where it is to be shown.
    pub(super) fn show_signs(&mut self) {
        let warned = |is_good: bool| {
            if is_good {
                Health::Good
            } else {
                Health::Warned
            }
        };
        let in_force = self.standing == Standing::InForce && self.policy_trouble.is_none();
        let signs = PanelSigns {
            clock: self.options.clock.then(|| clock_face(clock::timestamp())),
            layout: true,
            policy: warned(in_force),
            audit: warned(self.records_work),
            usb: match self.devices() {
                Some(usb) if usb.devices().any(DeviceView::is_refused) => Health::Warned,
                Some(usb) if usb.devices().any(|device| device.zone().is_some()) => Health::Good,
                _ => Health::Absent,
            },
            // No machine has a network device yet. Who was promised one by the policy is told that it is not there.
            network: match self.present().any(|zone| zone.policy.network.is_some()) {
                true => Health::Warned,
                false => Health::Absent,
            },
        };
        self.scene.set_signs(signs);
    }

    /// Moves the panel's clock on. It wakes the endpoint once a minute, and only where it is shown.
    pub(super) fn keep_clock(&mut self, now: Instant) {
        if !self.options.clock || self.clock_due.is_some_and(|due| due > now) {
            return;
        }
        let second = clock::timestamp().0.rem_euclid(60);
        let left = Duration::from_secs(u64::try_from(60 - second).unwrap_or(60));
        self.clock_due = now.checked_add(left);
        self.show_signs();
    }

    /// The policy at work, for its page. Called when the page comes up or the policy changes, not for every frame.
    pub(super) fn policy_view(&self) -> PolicyView {
        let decider = self.engine.decider();
        let policy = decider.policy();
        let parties: Vec<Party> = policy
            .zones
            .iter()
            .map(|zone| Party::Zone(zone.name.clone()))
            .chain([Party::Host])
            .collect();
        let places: HashMap<&Party, u16> = parties.iter().zip(0..).collect();
        let mut cells = BTreeMap::new();
        for cell in decider.matrix(&Kind::ALL).cells {
            let kind = Kind::ALL.iter().position(|kind| *kind == cell.kind);
            let kind = kind.and_then(|kind| u16::try_from(kind).ok());
            let ends = (places.get(&cell.from), places.get(&cell.to));
            let (Some(kind), (Some(from), Some(to))) = (kind, ends) else {
                continue;
            };
            let rules: Arc<[u16]> = cell
                .rules
                .iter()
                .filter_map(|rule| u16::try_from(rule.index()).ok())
                .collect();
            let view = CellView {
                best: verdict(cell.best),
                conditional: cell.best != cell.worst,
                redirects: cell.redirects,
                rules,
            };
            cells.insert((kind, *from, *to), view);
        }
        PolicyView {
            facts: self.policy_facts(),
            trouble: Label::new(&self.policy_trouble_words(), 240),
            parties: parties
                .iter()
                .map(|party| PartyView {
                    name: Label::new(party.as_str(), 40),
                    zone: self
                        .zones()
                        .find(|zone| party.as_str() == zone.name())
                        .map(|zone| zone.id()),
                })
                .collect(),
            kinds: Kind::ALL
                .iter()
                .map(|kind| Label::new(&self.say(&Remark::Flow(*kind)), 24))
                .collect(),
            rules: policy
                .rules
                .iter()
                .map(|rule| self.rule_view(rule))
                .collect(),
            cells,
        }
    }

    fn policy_facts(&self) -> Vec<Label> {
        let policy = self.engine.policy();
        let version = policy
            .header
            .as_ref()
            .map_or(Remark::NoVersion, |header| Remark::Version {
                id: header.id.to_string(),
                version: header.version,
            });
        let name = self.say(&version);
        let source = self.say(&match &self.services.policy {
            PolicySource::Store(path) => Remark::SignedPolicy {
                name,
                store: path.display().to_string(),
            },
            PolicySource::File(path) => Remark::PlainPolicy {
                name,
                file: path.display().to_string(),
            },
        });
        let hash: String = policy
            .hash()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let facts = [source, format!("sha256:{hash}")];
        facts.iter().map(|fact| Label::new(fact, 160)).collect()
    }

    fn rule_view(&self, rule: &Rule) -> RuleView {
        let conditions: Vec<String> = rule
            .conditions
            .iter()
            .map(|condition: &policy::Condition| {
                format!("{} {}", condition.key(), condition.value())
            })
            .collect();
        let when = if conditions.is_empty() {
            String::new()
        } else {
            format!(": {}", conditions.join("; "))
        };
        let words = self.say(&Remark::RuleLine {
            rule: rule.name.to_string(),
            line: rule.line,
            when,
        });
        RuleView {
            verdict: verdict(rule.verdict),
            words: Label::new(&words, RULE_LENGTH),
        }
    }

    /// What is wrong with the policy: that it is not in force, and why the last one was not taken.
    fn policy_trouble_words(&self) -> String {
        let standing = self.say(&Remark::Stands(self.standing));
        let trouble = self.policy_trouble.iter().cloned();
        let wrong: Vec<String> = [standing]
            .into_iter()
            .filter(|words| !words.is_empty())
            .chain(trouble)
            .collect();
        wrong.join("; ")
    }
}

/// The time of day, as the panel says it.
fn clock_face(at: Timestamp) -> Label {
    let local = at.0 + i64::from(clock::moment(at).utc_offset) * 60;
    let minutes = local.div_euclid(60).rem_euclid(24 * 60);
    Label::new(&format!("{:02}:{:02}", minutes / 60, minutes % 60), 8)
}

fn verdict(verdict: Verdict) -> FlowVerdict {
    match verdict {
        Verdict::Deny => FlowVerdict::Deny,
        Verdict::Ask => FlowVerdict::Ask,
        Verdict::Allow => FlowVerdict::Allow,
    }
}
