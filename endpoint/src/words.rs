//! What the endpoint says to a person: notices, questions, reasons, in each language of the trusted UI.
//!
//! Everything is a [`Remark`] until it is shown, so that it can be said in another language later. Each language is one total
//! function over all of them: a remark that lacks a language does not compile. Records, logs and the command line have the
//! English words (`Display`). What others wrote is said as they wrote it: names and reasons of the policy, words of zones and
//! devices, and what the kernel or a library says of an error, which is what somebody would search for.

mod english;
mod german;
#[cfg(test)]
mod tests;

use std::fmt;

use bulkhead_policy::{Kind, Reason, Standing, WhenFull};
use compositor::{Language, PromptRefused};
use spice_agent::{ClipKind, ContentsError, FileError, OfferError};
use usb_redirect::identity::DeviceKind;

/// Something to say to a person.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the words of a language say what each means")]
pub enum Remark {
    // Transfers.
    NothingCopied,
    CopiedHere,
    CopyGone,
    NoAgentHere,
    NotBrought(Box<Remark>),
    NotAsked(PromptRefused),
    PasteReady {
        zone: String,
    },
    FileArrived {
        file: String,
        zone: String,
    },
    Crossed {
        bytes: u64,
        from: String,
        to: String,
    },
    BringQuestion {
        goods: Goods,
        bytes: u64,
        from: String,
        to: String,
    },
    PictureQuestion {
        zone: String,
    },

    // Why something is not brought.
    Rule(String),
    Rules(Vec<String>),
    NoVerdict(Reason),
    NoRuleNames(Goods),
    Contents(ContentsError),
    Offer(OfferError),
    NotTaken(FileError),
    FileName,
    CannotScrub,
    NotRecorded,
    NoAgentThere,
    FetchedTooLate,
    NobodyAnswered,
    TakenTooLate,
    PastedTooLate,
    PolicyChanged,
    AnotherTransfer,
    DesktopLocked,
    ZoneEnded,

    // The desktop.
    PictureSaved,
    PictureNotSaved,
    NoPassphrase,
    SettingsNotKept(String),

    // The policy and the log.
    PolicyAtWork(Option<u64>),
    PolicyRefused,
    Stands(Standing),
    LogFailed(WhenFull),
    LogUnreadable(String),
    LogDamaged(u64),
    LogStands,
    LogGoesOn,

    // What becomes of zones.
    Panicked,
    Reported(String),
    RestartsTooOften,
    BrokeProtocol(String),
    BadSurface(String),
    JailLacks(Vec<Lack>),
    JailLacksNow(Vec<Lack>),
    NotReading,
    NotShutDown,
    StoppedEarly,
    KilledByUser,
    DesktopClosed,
    LingersWithoutLink,
    LingersAfterFailure,
    LingersAfterEnd,
    NoThread(String),
    NoImage {
        why: String,
        mend: ImageMend,
    },
    NoHome(String),
    NoHostName,
    NotStarted {
        program: String,
        why: String,
    },
    NotWatched(String),
    JailNotClosed(Option<String>),
    ProcessEnded {
        how: String,
        last: Option<String>,
    },
    NotWaitedFor(String),

    // Marks of zones, and facts about them.
    Lacks(Vec<Lack>),
    Outdated(Vec<ZoneSetting>),
    Image {
        name: String,
        keeps_home: bool,
    },

    // USB devices.
    AllDevicesBack,
    DevicesIn(Vec<String>),
    DeviceBusy(String),
    DeviceGone,
    NotForZones,
    ZoneOff(String),
    NoZone(String),
    ZoneHas {
        zone: String,
        device: String,
    },
    PersonAsked,
    MayNotHave {
        zone: String,
        why: Box<Remark>,
    },
    DeviceUnreadable {
        device: String,
        why: String,
    },
    GiveQuestion {
        zone: String,
        kinds: Vec<Vec<DeviceKind>>,
    },
    CodeQuestion {
        zone: String,
        code: String,
    },
    TypingQuestion {
        zone: String,
    },
    DeviceEnded {
        device: String,
        zone: String,
        why: Box<Remark>,
    },
    PolicyTookBack(Box<Remark>),
    PolicyPassesOther,
    ZoneStopped,
    PersonTookBack,
    ZoneLetGo,
    PulledOut,
    SaidLast(String),
    NoDevices,
    DeviceFacts {
        numbers: (u16, u16),
        port: String,
        classes: Vec<u8>,
    },
    NoDeviceFacts {
        port: String,
    },

    // The page of the policy.
    SignedPolicy {
        name: String,
        store: String,
    },
    PlainPolicy {
        name: String,
        file: String,
    },
    Version {
        id: String,
        version: u64,
    },
    NoVersion,
    RuleLine {
        rule: String,
        line: usize,
        when: String,
    },
    Flow(Kind),
}

/// What may be brought from a zone to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Goods {
    /// What was copied.
    Clip(ClipKind),
    /// What was offered.
    File,
}

/// A layer that a zone's jail lacks: its name, and what the zone's process said of it, if anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lack {
    /// The layer's own name.
    pub layer: String,
    /// Why, in the process's words.
    pub reason: Option<String>,
}

/// A setting of a zone that takes effect when its machine is started.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ZoneSetting {
    /// The guest image.
    Image,
    /// How much memory it has.
    Memory,
    /// How many CPUs.
    Cpus,
    /// Whether its home is kept.
    Persistence,
    /// The guest's keyboard layout.
    KeyboardLayout,
}

/// What to do about an image that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ImageMend {
    /// Have it in the store.
    Add,
    /// Name it as it is called.
    Name,
}

impl Remark {
    /// In the words of a language.
    #[must_use]
    pub fn say(&self, language: Language) -> String {
        match language {
            Language::English => english::say(self),
            Language::German => german::say(self),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&english::say(self))
    }
}

impl fmt::Display for ImageMend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(english::mend(*self))
    }
}

/// A number with its thousands apart.
fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

/// A point in time in local time, by the directives of `strftime`.
fn local(at: bulkhead_policy::Timestamp, directives: &str) -> String {
    let instant = jiff::Timestamp::from_second(at.0).unwrap_or(jiff::Timestamp::MAX);
    let zoned = instant.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime(directives).to_string()
}

/// Parts of a sentence: "a", "a and b", "a, b and c".
fn listed(parts: &[&str], and: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}

fn lacks(lacks: &[Lack], unreported: &str) -> String {
    let told = |lack: &Lack| {
        let reason = lack.reason.as_deref().unwrap_or(unreported);
        format!("{} ({reason})", lack.layer)
    };
    lacks.iter().map(told).collect::<Vec<_>>().join(", ")
}
