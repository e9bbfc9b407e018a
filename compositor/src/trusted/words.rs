//! The trusted UI's own words, in each language.

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
    pub(crate) weakened: &'static str,
    pub(crate) jail_weakened: &'static str,
    pub(crate) phrase_is: &'static str,
    pub(crate) no_phrase: &'static str,
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
    pub(crate) no_more: &'static str,
    pub(crate) wait: &'static str,
    pub(crate) locked: &'static str,
    pub(crate) passphrase: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) unlock: &'static str,
}

impl Language {
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
        }
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
    weakened: "weakened",
    jail_weakened: "jail weakened",
    phrase_is: "Your secret phrase",
    no_phrase: "no phrase is set yet",
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
    no_more: "Stop asking",
    wait: "Read it first: the buttons work after a moment without keys or clicks.",
    locked: "Locked",
    passphrase: "Passphrase",
    refused: "That was not it. Try again in a moment.",
    unlock: "Unlock",
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
    weakened: "geschwächt",
    jail_weakened: "Schutz geschwächt",
    phrase_is: "Ihr geheimer Satz",
    no_phrase: "noch kein Satz festgelegt",
    phrase_rule: "Was Vertrauen will und diesen Satz nicht zeigt, ist nachgeahmt.",
    had_keyboard: "hatte die Tastatur",
    show: "Zeigen",
    start: "Starten",
    stop: "Beenden",
    restart: "Neu starten",
    lock: "Sperren",
    back: "Zurück",
    wants: "fragt",
    it_says: "Die Zone sagt:",
    withdrawn: "Die Zone fragt das nicht mehr.",
    no: "Nein",
    allow_once: "Einmal erlauben",
    no_more: "Nicht mehr fragen",
    wait: "Erst lesen: Die Knöpfe gelten nach einem Moment ohne Tasten und Klicks.",
    locked: "Gesperrt",
    passphrase: "Passwort",
    refused: "Das war es nicht. Gleich noch einmal versuchen.",
    unlock: "Entsperren",
};
