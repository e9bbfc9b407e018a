//! The trusted UI's own words, in each language.
//!
//! Words without parts are in tables, one for each language, with the same fields: a phrase that lacks a language does not
//! compile. The pages a person works with have such a table of their own.

use std::time::Duration;

use super::{LockReason, Refusal};

/// A language of the trusted UI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// German.
    German,
}

/// Every phrase the compositor itself says.
pub(crate) struct Words {
    pub(crate) nobody: &'static str,
    pub(crate) off: &'static str,
    pub(crate) starting: &'static str,
    pub(crate) running: &'static str,
    pub(crate) stopping: &'static str,
    pub(crate) dark: &'static str,
    pub(crate) is_off: &'static str,
    pub(crate) is_starting: &'static str,
    pub(crate) is_silent: &'static str,
    pub(crate) is_stopping: &'static str,
    pub(crate) is_dark: &'static str,
    /// Under what does not run.
    pub(crate) how_to_start: &'static str,
    pub(crate) weakened: &'static str,
    pub(crate) jail_weakened: &'static str,
    pub(crate) outdated: &'static str,
    pub(crate) outdated_short: &'static str,
    pub(crate) phrase_is: &'static str,
    pub(crate) no_phrase: &'static str,
    /// What screen readers are told in its place.
    pub(crate) phrase_unspoken: &'static str,
    pub(crate) phrase_rule: &'static str,
    pub(crate) had_keyboard: &'static str,
    pub(crate) show: &'static str,
    pub(crate) start: &'static str,
    pub(crate) stop: &'static str,
    pub(crate) restart: &'static str,
    pub(crate) lock: &'static str,
    pub(crate) back: &'static str,
    pub(crate) wants: &'static str,
    pub(crate) it_says: &'static str,
    pub(crate) withdrawn: &'static str,
    pub(crate) no: &'static str,
    pub(crate) allow_once: &'static str,
    pub(crate) allow_session: &'static str,
    pub(crate) allow_minutes: &'static str,
    pub(crate) no_more: &'static str,
    pub(crate) wait: &'static str,
    pub(crate) locked: &'static str,
    pub(crate) passphrase: &'static str,
    pub(crate) lock_started: &'static str,
    pub(crate) lock_crashed: &'static str,
    pub(crate) lock_person: &'static str,
    pub(crate) lock_idle: &'static str,
    pub(crate) lock_slept: &'static str,
    pub(crate) lock_screens: &'static str,
    pub(crate) lock_policy: &'static str,
    pub(crate) lock_log: &'static str,
    pub(crate) lock_over: &'static str,
    pub(crate) refused_wrong: &'static str,
    pub(crate) refused_held: &'static str,
    pub(crate) refused_broken: &'static str,
    pub(crate) next_attempt: &'static str,
    pub(crate) unlock: &'static str,
    pub(crate) attention: &'static str,
    pub(crate) zones: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) policy: &'static str,
    pub(crate) audit: &'static str,
    pub(crate) usb: &'static str,
    pub(crate) settings: &'static str,
    pub(crate) question: &'static str,
    pub(crate) panel: &'static str,
    pub(crate) has_keyboard: &'static str,
    pub(crate) hidden: &'static str,
    pub(crate) workspace: &'static str,
    pub(crate) network: &'static str,
    pub(crate) good: &'static str,
    pub(crate) warned: &'static str,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its code by BCP 47.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
        }
    }

    pub(crate) fn words(self) -> &'static Words {
        match self {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
        }
    }
}

impl Words {
    /// Why the screen is locked.
    pub(crate) fn lock_reason(&self, why: LockReason) -> &'static str {
        match why {
            LockReason::Started => self.lock_started,
            LockReason::Crashed => self.lock_crashed,
            LockReason::Person => self.lock_person,
            LockReason::Idle => self.lock_idle,
            LockReason::Slept => self.lock_slept,
            LockReason::Screens => self.lock_screens,
            LockReason::Policy => self.lock_policy,
            LockReason::Log => self.lock_log,
            LockReason::Over => self.lock_over,
        }
    }

    /// What came of the last attempt to unlock it.
    pub(crate) fn refusal(&self, refusal: Refusal) -> &'static str {
        match refusal {
            Refusal::Wrong => self.refused_wrong,
            Refusal::Held => self.refused_held,
            Refusal::Broken => self.refused_broken,
        }
    }

    /// When the next attempt is taken: by the second in the last minute, before that by the minute.
    pub(crate) fn next_attempt(&self, wait: Duration) -> String {
        let seconds = wait.as_millis().div_ceil(1000);
        let time = if seconds <= 60 {
            format!("{seconds} s")
        } else {
            format!("{} min", seconds.div_ceil(60))
        };
        self.next_attempt.replace("{}", &time)
    }
}

const ENGLISH: Words = Words {
    nobody: "No zone has the keyboard",
    off: "off",
    starting: "starting",
    running: "running",
    stopping: "stopping",
    dark: "stopped by an error",
    is_off: "is off",
    is_starting: "is starting",
    is_silent: "has drawn nothing yet",
    is_stopping: "is shutting down",
    is_dark: "has stopped",
    how_to_start: "The trusted screen starts it: press the secure attention key.",
    weakened: "weakened",
    jail_weakened: "jail weakened",
    outdated: "restart needed",
    outdated_short: "restart",
    phrase_is: "Your secret phrase",
    no_phrase: "no phrase is set yet",
    phrase_unspoken: "is on the screen and is not read out",
    phrase_rule: "A screen that asks for trust without this phrase is an imitation.",
    had_keyboard: "had the keyboard",
    show: "Show",
    start: "Start",
    stop: "Stop",
    restart: "Restart",
    lock: "Lock",
    back: "Back",
    wants: "asks",
    it_says: "The zone says:",
    withdrawn: "The zone no longer asks this.",
    no: "No",
    allow_once: "Allow once",
    allow_session: "Until it ends",
    allow_minutes: "For {} min",
    no_more: "No, stop asking",
    wait: "Read it first: the buttons work after a moment without keys or clicks.",
    locked: "Locked",
    passphrase: "Passphrase",
    lock_started: "Bulkhead has just been started.",
    lock_crashed: "Bulkhead was started again: last time it did not end in good order.",
    lock_person: "You locked the desktop.",
    lock_idle: "There was no input for a while.",
    lock_slept: "The computer was asleep.",
    lock_screens: "A screen was connected or disconnected.",
    lock_policy: "The policy was not renewed in time. It stays locked until a valid one is installed.",
    lock_log: "The log cannot be written. It stays locked until that works again.",
    lock_over: "What kept it locked is over.",
    refused_wrong: "The passphrase was wrong.",
    refused_held: "It stays locked for now.",
    refused_broken: "The passphrase cannot be checked: set it anew with `bulkhead passphrase set`.",
    next_attempt: "Next attempt in {}",
    unlock: "Unlock",
    attention: "Trusted screen",
    zones: "Zones",
    overview: "All zones",
    policy: "Policy",
    audit: "Log",
    usb: "USB",
    settings: "Settings",
    question: "Question",
    panel: "Panel",
    has_keyboard: "has the keyboard",
    hidden: "hidden",
    workspace: "Workspace {}",
    network: "Network",
    good: "in order",
    warned: "needs a look",
};

const GERMAN: Words = Words {
    nobody: "Keine Zone hat die Tastatur",
    off: "aus",
    starting: "startet",
    running: "läuft",
    stopping: "fährt herunter",
    dark: "durch einen Fehler beendet",
    is_off: "ist aus",
    is_starting: "startet",
    is_silent: "hat noch nichts gezeichnet",
    is_stopping: "fährt herunter",
    is_dark: "ist beendet",
    how_to_start: "Der Sicherheitsbildschirm startet sie: drücken Sie die Sicherheitstaste.",
    weakened: "geschwächt",
    jail_weakened: "Schutz geschwächt",
    outdated: "Neustart nötig",
    outdated_short: "Neustart",
    phrase_is: "Ihr geheimer Satz",
    no_phrase: "noch kein Satz festgelegt",
    phrase_unspoken: "steht auf dem Bildschirm und wird nicht vorgelesen",
    phrase_rule: "Ein Bildschirm, der Vertrauen verlangt und diesen Satz nicht zeigt, ist gefälscht.",
    had_keyboard: "hatte die Tastatur",
    show: "Anzeigen",
    start: "Starten",
    stop: "Beenden",
    restart: "Neu starten",
    lock: "Sperren",
    back: "Zurück",
    wants: "fragt",
    it_says: "Angabe der Zone:",
    withdrawn: "Diese Frage hat sich erledigt.",
    no: "Nein",
    allow_once: "Einmal erlauben",
    allow_session: "Bis die Zone endet",
    allow_minutes: "Für {} min",
    no_more: "Nein, nicht mehr fragen",
    wait: "Bitte zuerst lesen: Die Schaltflächen reagieren nach einem Moment ohne Eingabe.",
    locked: "Gesperrt",
    passphrase: "Passwort",
    lock_started: "Bulkhead wurde gerade gestartet.",
    lock_crashed: "Bulkhead wurde neu gestartet, nachdem es nicht ordnungsgemäß beendet wurde.",
    lock_person: "Sie haben den Bildschirm gesperrt.",
    lock_idle: "Seit einiger Zeit gab es keine Eingabe.",
    lock_slept: "Der Rechner war im Ruhezustand.",
    lock_screens: "Ein Bildschirm wurde angeschlossen oder getrennt.",
    lock_policy: "Die Regeln wurden nicht rechtzeitig erneuert. Gesperrt, bis gültige Regeln installiert sind.",
    lock_log: "Das Protokoll kann nicht geschrieben werden. Gesperrt, bis das wieder möglich ist.",
    lock_over: "Der Grund der Sperre besteht nicht mehr.",
    refused_wrong: "Das Passwort war falsch.",
    refused_held: "Der Bildschirm bleibt vorerst gesperrt.",
    refused_broken: "Das Passwort ist nicht prüfbar: Mit `bulkhead passphrase set` neu festlegen.",
    next_attempt: "Nächster Versuch in {}",
    unlock: "Entsperren",
    attention: "Sicherheitsbildschirm",
    zones: "Zonen",
    overview: "Alle Zonen",
    policy: "Regeln",
    audit: "Protokoll",
    usb: "USB",
    settings: "Einstellungen",
    question: "Frage",
    panel: "Leiste",
    has_keyboard: "hat die Tastatur",
    hidden: "ausgeblendet",
    workspace: "Arbeitsfläche {}",
    network: "Netzwerk",
    good: "in Ordnung",
    warned: "bitte prüfen",
};
