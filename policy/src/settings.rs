//! The settings of a policy as keys and texts, in the order of the handbook, to be shown and compared.

use crate::policy::Policy;
use crate::values::{hex, show_duration};
use crate::zone::Zone;

impl Zone {
    /// All settings, written as in the policy.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let budget = &self.budget;
        vec![
            ("display-name", self.display_name.clone()),
            ("short-name", self.short_name.clone()),
            ("level", self.level.to_string()),
            ("tags", self.tags.join(", ")),
            ("colour", self.colour.to_string()),
            ("shape", self.shape.to_string()),
            ("icon", self.icon.to_string()),
            ("image", self.image.to_string()),
            ("memory", format!("{} MiB", self.memory_mib)),
            ("cpus", self.cpus.to_string()),
            ("persistence", self.persistence.to_string()),
            ("autostart", self.autostart.to_string()),
            ("surface", self.surface.to_string()),
            ("fullscreen", self.fullscreen.to_string()),
            ("screenshots", self.screenshots.to_string()),
            (
                "idle-lock",
                self.idle_lock
                    .map_or_else(|| "never".to_owned(), show_duration),
            ),
            ("sensitive", self.sensitive.to_string()),
            (
                "network",
                self.network.clone().unwrap_or_else(|| "none".to_owned()),
            ),
            ("keyboard-layout", self.keyboard_layout.clone()),
            (
                "focus-chord",
                self.focus_chord
                    .map_or_else(|| "none".to_owned(), |chord| chord.to_string()),
            ),
            ("budget.windows", budget.windows.to_string()),
            ("budget.streams", budget.streams.to_string()),
            ("budget.descriptors", budget.descriptors.to_string()),
            ("budget.messages", budget.messages.show(false)),
            ("budget.bytes", budget.bytes.show(true)),
            ("budget.disk", budget.disk.to_string()),
        ]
    }
}

impl Policy {
    /// All settings of the endpoint itself, written as in the policy.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let header = self.header.as_ref();
        let instant = |of: fn(&crate::policy::Header) -> Option<crate::values::Timestamp>| {
            header
                .and_then(of)
                .map_or_else(|| "none".to_owned(), |instant| instant.to_string())
        };
        let list = |words: Vec<&'static str>| {
            if words.is_empty() {
                "none".to_owned()
            } else {
                words.join(", ")
            }
        };
        let mut settings = vec![
            (
                "policy.id",
                header.map_or_else(|| "none".to_owned(), |header| header.id.clone()),
            ),
            (
                "policy.version",
                header.map_or_else(|| "none".to_owned(), |header| header.version.to_string()),
            ),
            ("policy.not-before", instant(|header| header.not_before)),
            ("policy.expires", instant(|header| header.expires)),
            (
                "policy.previous",
                header.and_then(|header| header.previous).map_or_else(
                    || "none".to_owned(),
                    |hash| format!("sha256:{}", hex(&hash)),
                ),
            ),
            ("input.attention-key", self.input.attention_key.to_string()),
            ("input.focus", self.input.focus.to_string()),
            ("input.arm-delay", show_duration(self.input.arm_delay)),
        ];
        let chords = [
            "input.chords.focus-next",
            "input.chords.focus-previous",
            "input.chords.paste",
            "input.chords.lock",
            "input.chords.screenshot",
            "input.chords.release-pointer",
        ];
        settings.extend(
            chords
                .into_iter()
                .zip(self.input.chords.iter().map(|(_, chord)| chord.to_string())),
        );
        settings.extend([
            (
                "jail.required",
                list(
                    self.jail
                        .required
                        .iter()
                        .map(|layer| layer.as_str())
                        .collect(),
                ),
            ),
            (
                "lockout.after",
                self.lockout.as_ref().map_or_else(
                    || "never".to_owned(),
                    |lockout| show_duration(lockout.after),
                ),
            ),
            (
                "lockout.then",
                self.lockout
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), |lockout| lockout.then.to_string()),
            ),
            (
                "audit.record",
                list(
                    self.audit
                        .record
                        .iter()
                        .map(|verdict| verdict.as_str())
                        .collect(),
                ),
            ),
            ("audit.segment", self.audit.segment.to_string()),
            ("audit.keep", self.audit.keep.to_string()),
            ("audit.when-full", self.audit.when_full.to_string()),
        ]);
        settings
    }
}
