//! The policy at work: another is taken while the desktop runs, and what a new one withdraws is gone before anything else happens.

use std::time::{Duration, Instant};

use bulkhead_policy as policy;
use bulkhead_policy::{ChordAction, Moment, Policy, Standing, Timestamp};
use compositor::{Chord, Chords, FocusBy, MAXIMUM_ZONES, Modifiers, Settings, ZoneId};

use super::lock::Hold;
use super::watch::Source;
use super::{Session, SessionError, Zone, jail, required_layers, screen};
use crate::audit::Event as Record;
use crate::clock;
use crate::policy_source::Loaded;
use crate::words::{Remark, ZoneSetting};

/// A notice stands so long in the panel.
const NOTICE: Duration = Duration::from_secs(8);
/// How often a store is told the time, while anything happens at all.
const SEEN_EVERY: i64 = 600;

impl Session {
    /// The policy at work.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.engine.policy()
    }

    /// Counts up with every policy that was taken; begins with 1.
    #[must_use]
    pub fn policy_generation(&self) -> u64 {
        self.engine.generation()
    }

    /// The time to decide by: never before a time that was seen already.
    pub(super) fn moment(&mut self) -> Moment {
        clock::moment(self.time())
    }

    fn time(&mut self) -> Timestamp {
        self.clock = self.clock.max(clock::timestamp());
        self.clock
    }

    /// Watches the policy's source from now on.
    pub(super) fn watch_policy(&mut self) {
        let watched = self.services.policy.watch().and_then(|watch| {
            self.watch.add_global(&watch, Source::Policy)?;
            Ok(watch)
        });
        match watched {
            Ok(watch) => self.policy_watch = Some(watch),
            Err(error) => {
                // The desktop works all the same; a new policy then needs a restart.
                tracing::warn!(
                    "{} cannot be watched for another policy: {error}",
                    self.services.policy.path().display()
                );
            }
        }
    }

    /// The policy's source may have news.
    pub(super) fn take_policy(&mut self, now: Instant) {
        if let Some(watch) = &mut self.policy_watch
            && watch.has_changed()
        {
            self.load_policy(now);
        }
    }

    /// Takes the policy that is there now if it is another, or says why not.
    pub(super) fn load_policy(&mut self, now: Instant) {
        let taken = match self.services.policy.load() {
            Ok(Loaded { policy, last_seen }) => {
                self.clock = self.clock.max(last_seen.unwrap_or(self.clock));
                if policy.hash() == self.policy().hash() {
                    Ok(())
                } else {
                    showable(&policy)
                        .map_err(|error| error.to_string())
                        .map(|()| self.replace_policy(policy, now))
                }
            }
            Err(error) => Err(error.to_string()),
        };
        self.policy_trouble = taken.err();
        if let Some(reason) = &self.policy_trouble {
            let reason = format!("the policy at work stays: {reason}");
            self.record(Record::session("policy-refused", &reason));
        }
        self.show_status();
    }

    /// Puts another policy to work. Rights are withdrawn first: when this returns, nothing happens any more by the old one.
    fn replace_policy(&mut self, policy: Policy, now: Instant) {
        let zones = policy.zones.clone();
        self.required = required_layers(&policy.jail.required);
        self.engine.replace(policy);
        for index in 0..self.zones.len() {
            let Some(zone) = self.zones.get(index).filter(|zone| !zone.withdrawn) else {
                continue;
            };
            match zones.iter().find(|new| new.name == zone.policy.name) {
                Some(new) => self.change_zone(index, new.clone()),
                None => self.withdraw_zone(index, now),
            }
        }
        for new in zones {
            let known = |zone: &Zone| !zone.withdrawn && zone.policy.name == new.name;
            if !self.zones.iter().any(known) {
                let starts = new.autostart;
                let index = self.add_zone(new);
                if starts {
                    self.prepare(index);
                }
            }
        }
        self.apply_input();
        let policy = self.engine.policy();
        let record = Record::policy("at-work", policy, "taken by the running desktop");
        self.record(record);
        self.judge_standing(now);
        self.reconsider_transfer(now);
        self.cancel_screenshot();
        self.keep_devices(now);
        // Its page may be up.
        let view = self.policy_view();
        self.pages.set_policy(view);
        let version = self.policy().header.as_ref().map(|header| header.version);
        self.notify(Remark::PolicyAtWork(version), now);
    }

    /// Adds a zone to the desktop; gives its place.
    pub(super) fn add_zone(&mut self, new: policy::Zone) -> usize {
        let back = |zone: &Zone| zone.withdrawn && zone.policy.name == new.name;
        let index = match self.zones.iter().position(back) {
            // It was withdrawn before; its process may not have ended yet.
            Some(index) => index,
            None => {
                let id = ZoneId(u32::try_from(self.zones.len()).unwrap_or(u32::MAX));
                self.zones.push(Zone::new(id, new.clone()));
                self.zones.len() - 1
            }
        };
        if let Some(zone) = self.zones.get_mut(index) {
            zone.withdrawn = false;
            zone.policy = new;
            let shown = screen::identity(zone.id, &zone.policy).map(|identity| {
                let placement = self.windows.placement(zone.policy.name.as_str());
                self.scene.add_zone(identity, placement)
            });
            if !matches!(shown, Some(Ok(()))) {
                tracing::error!("a zone that was checked cannot be shown");
            }
        }
        index
    }

    /// The policy has no such zone any more: its window is gone at once, it gets no input and nothing crosses; the machine is asked to
    /// shut down and killed if it does not.
    fn withdraw_zone(&mut self, index: usize, now: Instant) {
        self.keep_windows();
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        zone.withdrawn = true;
        zone.restart = false;
        let (id, name) = (zone.id, zone.name());
        self.scene.remove_zone(id);
        self.record(Record::zone(
            &name,
            "withdrawn",
            "the policy has no such zone any more",
        ));
        self.stop(index, now);
    }

    /// A zone has new settings: what can change at once does, for the rest the zone must be started again.
    fn change_zone(&mut self, index: usize, new: policy::Zone) {
        let Some(zone) = self.zones.get_mut(index) else {
            return;
        };
        let name = zone.name();
        let old = std::mem::replace(&mut zone.policy, new);
        if let Some(identity) = screen::identity(zone.id, &zone.policy)
            && let Err(error) = self.scene.set_identity(identity)
        {
            tracing::error!("{error}");
        }
        let Some(process) = &mut zone.process else {
            return;
        };
        process.set_budget(&zone.policy.budget, Instant::now());
        let changed = needs_restart(&old, &zone.policy);
        if !changed.is_empty() {
            zone.outdated.extend(changed.iter().copied());
            zone.outdated.sort_unstable();
            zone.outdated.dedup();
        }
        let refused = process
            .hello
            .as_ref()
            .map(|hello| jail::judge(hello, &self.required).refused)
            .unwrap_or_default();
        if !refused.is_empty() {
            return self.kill_for(index, Remark::JailLacksNow(refused));
        }
        if !changed.is_empty() {
            let changed = Remark::Outdated(changed).to_string();
            self.record(Record::zone(&name, "restart-needed", &changed));
        }
        self.show_marks(index);
    }

    /// Shows in a zone's frame what is not as it should be: its jail, or that it runs with settings of an earlier policy.
    pub(super) fn show_marks(&mut self, index: usize) {
        let Some(zone) = self.zones.get(index) else {
            return;
        };
        let said = |is_so: bool, remark: Remark| is_so.then(|| self.say(&remark));
        let weakened = said(
            !zone.weakened.is_empty(),
            Remark::Lacks(zone.weakened.clone()),
        );
        let outdated = said(
            !zone.outdated.is_empty(),
            Remark::Outdated(zone.outdated.clone()),
        );
        let id = zone.id;
        self.scene.set_weakened(id, weakened.as_deref());
        self.scene.set_outdated(id, outdated.as_deref());
    }

    /// Chords, what moves focus, and how long a question waits: as the policy says.
    pub(super) fn apply_input(&mut self) {
        let input = &self.engine.policy().input;
        let zones = self.zones.iter().filter(|zone| !zone.withdrawn);
        self.scene.set_chords(chords(input, zones));
        self.options.settings = Settings {
            focus_by: match input.focus {
                policy::Focus::ClickOrChord => FocusBy::ClickOrChord,
                policy::Focus::Click => FocusBy::Click,
                policy::Focus::Chord => FocusBy::Chord,
            },
            arm_delay: input.arm_delay,
            ..self.options.settings
        };
        self.scene.set_settings(self.options.settings);
    }

    /// Looks how the policy stands in time, and says and does what follows.
    pub(super) fn judge_standing(&mut self, now: Instant) {
        let at = self.time();
        let policy = self.engine.policy();
        let standing = policy.standing(at);
        let changes = policy.standing_changes_at(at);
        self.standing_due = changes.and_then(|change| {
            let seconds = u64::try_from(change.0.saturating_sub(at.0)).unwrap_or(0);
            now.checked_add(Duration::from_secs(seconds))
        });
        let locks = matches!(
            standing,
            Standing::LockedOut {
                lock_zones: true,
                ..
            }
        );
        self.hold(Hold::Lockout, locks);
        if self.standing != standing {
            let [before, now_] =
                [self.standing, standing].map(|standing| standing != Standing::InForce);
            self.standing = standing;
            if before || now_ {
                let words = Remark::Stands(standing).to_string();
                self.record(Record::session("policy-standing", &words));
                self.reconsider_transfer(now);
            }
        }
        self.show_status();
    }

    /// Keeps what depends on the time of day. Cheap; called whenever anything happens.
    pub(super) fn keep_time(&mut self, now: Instant) {
        if self.standing_due.is_some_and(|due| due <= now) {
            self.judge_standing(now);
        }
        if self.notice.take_if(|(_, until)| *until <= now).is_some() {
            self.show_status();
        }
        let at = self.time();
        if at.0 >= self.seen.0.saturating_add(SEEN_EVERY) {
            self.seen = at;
            self.services.policy.see(at);
        }
    }

    /// A remark in the language of the desktop.
    pub(super) fn say(&self, remark: &Remark) -> String {
        remark.say(self.options.settings.language)
    }

    /// Says everything that stands on the screen anew: its language is another.
    pub(super) fn say_anew(&mut self) {
        for index in 0..self.zones.len() {
            self.show_state(index);
            self.show_marks(index);
        }
        self.show_status();
    }

    /// Says something in the panel for a while.
    pub(super) fn notify(&mut self, remark: Remark, now: Instant) {
        tracing::info!("notice: {remark}");
        self.notice = Some((remark, now + NOTICE));
        self.show_status();
    }

    /// The endpoint's own words in the panel, from the right: what is wrong comes first.
    pub(super) fn show_status(&mut self) {
        let standing = Remark::Stands(self.standing);
        let in_force = self.standing == Standing::InForce;
        let trouble = self.policy_trouble.as_ref();
        let when_full = self.engine.policy().audit.when_full;
        let notice = self.notice.as_ref().map(|(remark, _)| remark.clone());
        let status: Vec<String> = (!self.records_work)
            .then_some(Remark::LogFailed(when_full))
            .into_iter()
            .chain(trouble.map(|_| Remark::PolicyRefused))
            .chain((!in_force).then_some(standing))
            .chain(notice)
            .chain(self.device_words())
            .map(|remark| self.say(&remark))
            .collect();
        self.scene.set_status(&status);
        self.show_signs();
    }
}

/// Whether a policy's zones can be shown.
///
/// # Errors
/// Too many of them, or one with a look that this build cannot draw.
pub(super) fn showable(policy: &Policy) -> Result<(), SessionError> {
    for (number, zone) in policy.zones.iter().enumerate() {
        let refused = |reason: String| SessionError::Zone {
            zone: zone.name.to_string(),
            reason,
        };
        if number >= MAXIMUM_ZONES {
            return Err(refused(format!(
                "a desktop has at most {MAXIMUM_ZONES} zones"
            )));
        }
        if screen::identity(ZoneId(0), zone).is_none() {
            return Err(refused(format!(
                "this build cannot draw its shape ({}) or its icon ({})",
                zone.shape, zone.icon
            )));
        }
    }
    Ok(())
}

/// What differs between two versions of a zone and cannot be changed while its machine runs.
fn needs_restart(old: &policy::Zone, new: &policy::Zone) -> Vec<ZoneSetting> {
    let image = |zone: &policy::Zone| (zone.image.name.clone(), zone.image.sha256);
    [
        (ZoneSetting::Image, image(old) != image(new)),
        (ZoneSetting::Memory, old.memory_mib != new.memory_mib),
        (ZoneSetting::Cpus, old.cpus != new.cpus),
        (ZoneSetting::Persistence, old.persistence != new.persistence),
        (
            ZoneSetting::KeyboardLayout,
            old.keyboard_layout != new.keyboard_layout,
        ),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}

/// The compositor's chords, with those that the policy speaks of as it says.
fn chords<'z>(input: &policy::Input, zones: impl Iterator<Item = &'z Zone>) -> Chords {
    let mut chords = Chords::default();
    let mut set = |keys: policy::Chord, chord| chords.rebind(modifiers(keys), keys.key, chord);
    // First, as rebinding takes away what it had before, and last, as nothing may take its keys from it.
    set(input.attention_key, Chord::SecureAttention);
    for (action, keys) in &input.chords {
        let chord = match action {
            ChordAction::FocusNext => Chord::FocusNext,
            ChordAction::FocusPrevious => Chord::FocusPrevious,
            ChordAction::Paste => Chord::Transfer,
            ChordAction::Lock => Chord::Lock,
            ChordAction::Screenshot => Chord::Screenshot,
            ChordAction::ReleasePointer => Chord::ReleasePointer,
        };
        set(*keys, chord);
    }
    for zone in zones {
        if let Some(keys) = zone.policy.focus_chord {
            set(keys, Chord::FocusZone(zone.id));
        }
    }
    set(input.attention_key, Chord::SecureAttention);
    chords
}

fn modifiers(keys: policy::Chord) -> Modifiers {
    let policy::Modifiers {
        control,
        alt,
        shift,
        meta,
    } = keys.modifiers;
    Modifiers {
        control,
        alt,
        shift,
        host: meta,
    }
}
