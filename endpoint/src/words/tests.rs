//! Every remark in every language: none is missing, none is left in the other language, all have room.

use std::collections::BTreeSet;

use bulkhead_policy::{Timestamp, ZoneName};
use compositor::{Label, STATUS_LENGTH, ZONE_PALETTE, ZoneId};

use super::*;

/// What a zone and a device are called here; words of others are no remark's own.
const ZONE: &str = "finance";
const DEVICE: &str = "Acme Keyboard";

fn name() -> String {
    ZONE.to_owned()
}

fn boxed(remark: Remark) -> Box<Remark> {
    Box::new(remark)
}

fn lack() -> Vec<Lack> {
    let layer = |reason: Option<&str>| Lack {
        layer: "seccomp".to_owned(),
        reason: reason.map(str::to_owned),
    };
    vec![layer(None), layer(Some("EPERM"))]
}

const SETTINGS: [ZoneSetting; 5] = [
    ZoneSetting::Image,
    ZoneSetting::Memory,
    ZoneSetting::Cpus,
    ZoneSetting::Persistence,
    ZoneSetting::KeyboardLayout,
];

const KINDS: [DeviceKind; 10] = [
    DeviceKind::Mouse,
    DeviceKind::Keyboard,
    DeviceKind::GameController,
    DeviceKind::PowerKeys,
    DeviceKind::MediaKeys,
    DeviceKind::Pen,
    DeviceKind::SecurityKey,
    DeviceKind::MakersOwn,
    DeviceKind::OtherControls,
    DeviceKind::OtherThanHid,
];

/// Why something is not brought: these stand behind a colon in a notice.
fn obstacles() -> Vec<Remark> {
    let reasons = [
        Reason::NoRule,
        Reason::UnknownZone(ZoneName::parse(ZONE).unwrap()),
        Reason::SameZone,
        Reason::WrongEnds,
        Reason::RedirectConflict,
        Reason::RedirectLoop,
        Reason::NotInForce,
        Reason::LockedOut,
        Reason::NoRecord,
        Reason::UserRefused,
        Reason::Rules,
    ];
    let contents = [
        ContentsError::TooLarge {
            found: 5_000_000,
            limit: 4 << 20,
        },
        ContentsError::Nothing,
        ContentsError::OtherKind,
        ContentsError::NotWhatItSays(ClipKind::Png),
    ];
    let not_taken = [
        FileError::CalledOff,
        FileError::NoRoom,
        FileError::Locked,
        FileError::NoSession,
        FileError::NoFiles,
        FileError::NotWritten,
    ];
    let goods = [
        Goods::Clip(ClipKind::Text),
        Goods::Clip(ClipKind::Png),
        Goods::File,
    ];
    let offers = [OfferError::TooLarge(32 << 20), OfferError::Garbled];
    let mut all: Vec<Remark> = reasons.into_iter().map(Remark::NoVerdict).collect();
    all.extend(contents.map(Remark::Contents));
    all.extend(not_taken.map(Remark::NotTaken));
    all.extend(goods.map(Remark::NoRuleNames));
    all.extend(offers.map(Remark::Offer));
    all.extend([
        Remark::Rule("text to finance".to_owned()),
        Remark::Rules(vec!["desk.toml:12 \"text\"".to_owned()]),
        Remark::FileName,
        Remark::CannotScrub,
        Remark::NotRecorded,
        Remark::NoAgentThere,
        Remark::FetchedTooLate,
        Remark::NobodyAnswered,
        Remark::TakenTooLate,
        Remark::PastedTooLate,
        Remark::PolicyChanged,
        Remark::AnotherTransfer,
        Remark::DesktopLocked,
        Remark::ZoneEnded,
    ]);
    all
}

/// What stands in the panel for a while, whole.
fn notices() -> Vec<Remark> {
    let at = Timestamp(1_795_000_000);
    let refused = [
        PromptRefused::OneAtATime(ZoneId(1)),
        PromptRefused::TooSoon(ZoneId(1)),
        PromptRefused::Silenced(ZoneId(1)),
    ];
    let standings = [
        Standing::EndsSoon(at),
        Standing::NotYet(at),
        Standing::Expired(at),
        Standing::LockedOut {
            since: at,
            lock_zones: true,
        },
        Standing::LockedOut {
            since: at,
            lock_zones: false,
        },
    ];
    let endings = [
        Remark::PolicyTookBack(boxed(Remark::NoVerdict(Reason::NotInForce))),
        Remark::PolicyPassesOther,
        Remark::ZoneStopped,
        Remark::PersonTookBack,
        Remark::ZoneLetGo,
        Remark::PulledOut,
        Remark::SaidLast("end Lost".to_owned()),
    ];
    let mut all: Vec<Remark> = obstacles()
        .into_iter()
        .map(|why| Remark::NotBrought(boxed(why)))
        .collect();
    all.extend(refused.map(Remark::NotAsked));
    all.extend(standings.map(Remark::Stands));
    all.extend(endings.map(|why| Remark::DeviceEnded {
        device: DEVICE.to_owned(),
        zone: name(),
        why: boxed(why),
    }));
    all.extend([
        Remark::NothingCopied,
        Remark::CopiedHere,
        Remark::CopyGone,
        Remark::NoAgentHere,
        Remark::PasteReady { zone: name() },
        Remark::FileArrived {
            file: "invoice.pdf".to_owned(),
            zone: name(),
        },
        Remark::Crossed {
            bytes: 1_234_567,
            from: name(),
            to: name(),
        },
        Remark::PictureSaved,
        Remark::PictureNotSaved,
        Remark::NoPassphrase,
        Remark::SettingsNotKept("EROFS".to_owned()),
        Remark::PolicyAtWork(Some(1234)),
        Remark::PolicyAtWork(None),
        Remark::PolicyRefused,
        Remark::LogFailed(WhenFull::DenyFlows),
        Remark::LogFailed(WhenFull::LockZones),
        Remark::AllDevicesBack,
        Remark::DevicesIn(vec![name()]),
        Remark::DeviceBusy(DEVICE.to_owned()),
        Remark::DeviceGone,
        Remark::NotForZones,
        Remark::ZoneOff(name()),
        Remark::NoZone(name()),
        Remark::ZoneHas {
            zone: name(),
            device: DEVICE.to_owned(),
        },
        Remark::PersonAsked,
        Remark::MayNotHave {
            zone: name(),
            why: boxed(Remark::NoVerdict(Reason::NoRule)),
        },
        Remark::DeviceUnreadable {
            device: DEVICE.to_owned(),
            why: "EIO".to_owned(),
        },
    ]);
    all
}

fn questions() -> Vec<Remark> {
    let bring = |goods| Remark::BringQuestion {
        goods,
        bytes: 1_234_567,
        from: name(),
        to: name(),
    };
    let zone = name();
    let give = |kinds: &[&[DeviceKind]]| Remark::GiveQuestion {
        zone: name(),
        kinds: kinds.iter().map(|kinds| kinds.to_vec()).collect(),
    };
    vec![
        bring(Goods::Clip(ClipKind::Text)),
        bring(Goods::Clip(ClipKind::Png)),
        bring(Goods::File),
        Remark::PictureQuestion { zone: name() },
        give(&[&KINDS[..2]]),
        give(&[&KINDS[2..5], &KINDS[5..7]]),
        give(&[&KINDS[7..10]]),
        give(&[&[]]),
        Remark::CodeQuestion {
            zone: name(),
            code: "123456".to_owned(),
        },
        Remark::TypingQuestion { zone },
    ]
}

/// Everything else.
fn others() -> Vec<Remark> {
    let words = || "EIO".to_owned();
    let lines = [1, 2, 12_345].map(Remark::LogDamaged);
    let mends =
        [ImageMend::Add, ImageMend::Name].map(|mend| Remark::NoImage { why: words(), mend });
    let last = [None, Some(words())];
    let ends = last
        .clone()
        .map(|last| Remark::ProcessEnded { how: words(), last });
    let jails = last.map(Remark::JailNotClosed);
    let homes = [true, false].map(|keeps_home| Remark::Image {
        name: "desk".to_owned(),
        keeps_home,
    });
    let facts = [vec![3], vec![3, 8]].map(|classes| Remark::DeviceFacts {
        numbers: (0x1050, 0x407),
        port: "1-2".to_owned(),
        classes,
    });
    let mut all: Vec<Remark> = Kind::ALL.map(Remark::Flow).to_vec();
    all.extend(lines);
    all.extend(mends);
    all.extend(ends);
    all.extend(jails);
    all.extend(homes);
    all.extend(facts);
    all.extend([
        Remark::LogUnreadable(words()),
        Remark::LogStands,
        Remark::LogGoesOn,
        Remark::Panicked,
        Remark::Reported(words()),
        Remark::RestartsTooOften,
        Remark::BrokeProtocol(words()),
        Remark::BadSurface(words()),
        Remark::JailLacks(lack()),
        Remark::JailLacksNow(lack()),
        Remark::NotReading,
        Remark::NotShutDown,
        Remark::StoppedEarly,
        Remark::KilledByUser,
        Remark::DesktopClosed,
        Remark::LingersWithoutLink,
        Remark::LingersAfterFailure,
        Remark::LingersAfterEnd,
        Remark::NoThread(words()),
        Remark::NoHome(words()),
        Remark::NoHostName,
        Remark::NotStarted {
            program: "bulkhead-zone".to_owned(),
            why: words(),
        },
        Remark::NotWatched(words()),
        Remark::NotWaitedFor(words()),
        Remark::Lacks(lack()),
        Remark::Outdated(SETTINGS.to_vec()),
        Remark::NoDevices,
        Remark::NoDeviceFacts {
            port: "1-2".to_owned(),
        },
        Remark::SignedPolicy {
            name: "office".to_owned(),
            store: "/etc".to_owned(),
        },
        Remark::PlainPolicy {
            name: "office".to_owned(),
            file: "/etc".to_owned(),
        },
        Remark::Version {
            id: "office".to_owned(),
            version: 12,
        },
        Remark::NoVersion,
        Remark::RuleLine {
            rule: "text".to_owned(),
            line: 12,
            when: String::new(),
        },
    ]);
    all
}

fn all() -> Vec<Remark> {
    let parts = [obstacles(), notices(), questions(), others()];
    let mut all = parts.concat();
    // What is only ever part of another is looked at for itself, too.
    let inner: Vec<Remark> = all
        .iter()
        .filter_map(|remark| match remark {
            Remark::DeviceEnded { why, .. } => Some(*why.clone()),
            _ => None,
        })
        .collect();
    all.extend(inner);
    all
}

/// The words for its variant in the source.
fn variant(remark: &Remark) -> String {
    let debug = format!("{remark:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric());
    debug[..end.unwrap_or(debug.len())].to_owned()
}

#[test]
fn these_are_all_remarks_that_there_are() {
    let source = include_str!("../words.rs");
    let (_, rest) = source.split_once("pub enum Remark {").unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let variants = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        let is_one = name.starts_with(|c: char| c.is_ascii_uppercase());
        let end = name.find(|c: char| !c.is_alphanumeric());
        is_one.then(|| name[..end.unwrap_or(name.len())].to_owned())
    });
    let variants: BTreeSet<String> = variants.collect();
    assert!(variants.len() > 90, "{variants:?}");
    let known: BTreeSet<String> = all().iter().map(variant).collect();
    assert_eq!(known, variants);
}

#[test]
fn german_is_no_english_and_both_can_be_shown() {
    // Said as others wrote it, whatever the language.
    let same = ["Rules", "DevicesIn"];
    for remark in all() {
        let [english, german] = Language::ALL.map(|language| remark.say(language));
        assert_eq!(english, remark.to_string());
        let variant = variant(&remark);
        let is_same = same.contains(&variant.as_str());
        assert_eq!(english == german, is_same, "{variant}: {english}");
        if !is_same {
            // Words that German does not have.
            let own = german.replace("`bulkhead", "").to_lowercase();
            for word in [" the ", " is ", " not ", " of ", " it ", " could ", " no "] {
                assert!(!format!(" {own} ").contains(word), "{german}");
            }
        }
        for words in [&english, &german] {
            assert!(!words.is_empty() && !words.contains("  ") && !words.contains("{}"));
            let shown = Label::new(words, 1000);
            assert_eq!(
                shown.as_str(),
                words,
                "it has characters that cannot be shown"
            );
        }
        let first = german.chars().next().unwrap();
        let starts_with_a_name = [
            ZONE, DEVICE, "invoice", "desk", "text", "seccomp", "bulkhead", "office", "1050",
            "offi",
        ];
        assert!(
            first.is_uppercase()
                || first.is_ascii_digit()
                || starts_with_a_name
                    .iter()
                    .any(|name| german.starts_with(name)),
            "{german}"
        );
    }
}

#[test]
fn notices_and_questions_have_room() {
    for language in Language::ALL {
        for notice in notices() {
            let words = notice.say(language);
            let length = words.chars().count();
            assert!(length <= STATUS_LENGTH, "{length}: {words}");
        }
        for question in questions() {
            // As much as a question's page has room for.
            let words = question.say(language);
            let length = words.chars().count();
            assert!(length <= 160, "{length}: {words}");
        }
    }
}

#[test]
fn numbers_and_days_are_written_as_people_of_the_language_do() {
    let crossed = |bytes| Remark::Crossed {
        bytes,
        from: "open".to_owned(),
        to: "corp".to_owned(),
    };
    let said = |bytes| Language::ALL.map(|language| crossed(bytes).say(language));
    assert_eq!(
        said(1),
        [
            "1 byte went from open to corp",
            "Von open nach corp übertragen: 1 Byte"
        ]
    );
    let [english, german] = said(1_234_567);
    assert!(english.starts_with("1,234,567 bytes"));
    assert!(german.ends_with("1.234.567 Byte"));
    assert_eq!(grouped(0, ','), "0");
    assert_eq!(grouped(999, ','), "999");
    assert_eq!(grouped(1000, ','), "1,000");
    // The day of the year 2026 on which it is noon in UTC is the same day everywhere but at the date line.
    let noon = Timestamp(1_780_315_200);
    let ends = Remark::Stands(Standing::EndsSoon(noon));
    assert!(ends.to_string().starts_with("The policy ends 2026-06-0"));
    let german = ends.say(Language::German);
    assert!(
        german.contains(".06.2026, ") && german.ends_with(" Uhr"),
        "{german}"
    );
    for (lines, words) in [
        (1, "1 Zeile ist"),
        (2, "2 Zeilen sind"),
        (1000, "1.000 Zeilen sind"),
    ] {
        let said = Remark::LogDamaged(lines).say(Language::German);
        assert!(said.starts_with(words), "{said}");
    }
}

/// The palette's colours stay apart for those who lack one kind of cones (CIEDE2000, as the policy's lint
/// measures it, and by more than it asks of them).
#[test]
fn colours_of_the_palette_are_told_apart_with_any_sight() {
    use bulkhead_policy::{Colour, Sight};
    let colours: Vec<(&str, Colour)> = ZONE_PALETTE
        .iter()
        .map(|(name, colour)| {
            let [blue, green, red, _] = colour.pixel().to_le_bytes();
            (*name, Colour { red, green, blue })
        })
        .collect();
    for sight in Sight::ALL {
        for (place, (name, colour)) in colours.iter().enumerate() {
            for (other_name, other) in &colours[place + 1..] {
                let difference = colour.difference(*other, sight);
                let wanted = match sight {
                    Sight::Full => 15.0,
                    _ => 10.0,
                };
                assert!(
                    difference >= wanted,
                    "{name} and {other_name} differ by {difference:.1} with {sight}"
                );
            }
        }
    }
}
