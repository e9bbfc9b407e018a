//! English. Words that stand alone begin with a capital, words that go on behind a colon do not.

use bulkhead_policy::{Standing, Timestamp, WhenFull};
use compositor::PromptRefused;
use spice_agent::ClipKind;
use usb_redirect::identity::DeviceKind;

use super::{Goods, ImageMend, Lack, Remark, ZoneSetting, grouped, local};

pub(super) fn say(remark: &Remark) -> String {
    match remark {
        Remark::NothingCopied => "Nothing was copied in another zone".into(),
        Remark::CopiedHere => "What was copied last is in this zone already".into(),
        Remark::CopyGone => "What was copied last is gone".into(),
        Remark::NoAgentHere => "This zone's clipboard agent does not run".into(),
        Remark::NotBrought(why) => format!("Not brought: {}", say(why)),
        Remark::NotAsked(refused) => format!("Not asked: {}", not_asked(*refused)),
        Remark::PasteReady { zone } => format!("Ready to be pasted in {zone}"),
        Remark::FileArrived { file, zone } => {
            format!("{file} is in {zone} now, where it keeps downloads")
        }
        Remark::Crossed { bytes, from, to } => {
            format!("{} went from {from} to {to}", size(*bytes))
        }
        Remark::BringQuestion {
            goods: what,
            bytes,
            from,
            to,
        } => {
            let how = match what {
                Goods::Clip(_) => "copied",
                Goods::File => "offered",
            };
            format!(
                "Bring {} of {}, {how} in {from}, to {to}?",
                goods(*what),
                size(*bytes)
            )
        }
        Remark::PictureQuestion { zone } => format!("Show {zone} in a picture of the desktop?"),

        Remark::Rule(name) => format!("rule \"{name}\""),
        Remark::Rules(rules) => rules.join(", "),
        Remark::NoVerdict(reason) => reason.to_string(),
        Remark::NoRuleNames(what) => format!("no rule names {}", goods(*what)),
        Remark::Contents(error) => error.to_string(),
        Remark::Offer(error) => error.to_string(),
        Remark::NotTaken(error) => error.to_string(),
        Remark::FileName => "its file name is not allowed".into(),
        Remark::CannotScrub => "what the policy wants taken out of it cannot be".into(),
        Remark::NotRecorded => "it could not be recorded".into(),
        Remark::NoAgentThere => "the receiver's clipboard agent does not run".into(),
        Remark::FetchedTooLate => "the zone it was copied in did not bring it in time".into(),
        Remark::NobodyAnswered => "nobody answered".into(),
        Remark::TakenTooLate => "the receiver did not take it in time".into(),
        Remark::PastedTooLate => "nobody pasted it in time".into(),
        Remark::PolicyChanged => "the policy has changed; try again".into(),
        Remark::AnotherTransfer => "another transfer began".into(),
        Remark::DesktopLocked => "the desktop was locked".into(),
        Remark::ZoneEnded => "a zone it concerns has ended".into(),

        Remark::PictureSaved => "The picture is saved".into(),
        Remark::PictureNotSaved => "The picture could not be saved".into(),
        Remark::NoPassphrase => "Not locked: no passphrase is set".into(),
        Remark::SettingsNotKept(error) => format!("The settings could not be kept: {error}"),

        Remark::PolicyAtWork(Some(version)) => format!("Policy version {version} is at work"),
        Remark::PolicyAtWork(None) => "The changed policy is at work".into(),
        Remark::PolicyRefused => "A new policy was refused: see the log".into(),
        Remark::Stands(standing) => stands(*standing),
        Remark::LogFailed(WhenFull::DenyFlows) => "The log failed: nothing crosses".into(),
        Remark::LogFailed(WhenFull::LockZones) => "The log failed: locked".into(),
        Remark::LogUnreadable(error) => format!("The log cannot be read: {error}"),
        Remark::LogDamaged(1) => "1 line is no record: run `bulkhead audit verify`".into(),
        Remark::LogDamaged(lines) => format!(
            "{} lines are no records: run `bulkhead audit verify`",
            grouped(*lines, ',')
        ),
        Remark::LogStands => "Records cannot be written at the moment.".into(),
        Remark::LogGoesOn => {
            "Older records are not searched here: run `bulkhead audit show`".into()
        }

        Remark::Panicked => "the guest's kernel panicked".into(),
        Remark::Reported(words) => words.clone(),
        Remark::RestartsTooOften => "the guest restarts again and again".into(),
        Remark::BrokeProtocol(error) => format!("it broke the zone link's protocol: {error}"),
        Remark::BadSurface(error) => format!("its picture has no memory: {error}"),
        Remark::JailLacks(layers) => {
            format!("its jail lacks what the policy requires: {}", lacks(layers))
        }
        Remark::JailLacksNow(layers) => format!(
            "its jail lacks what the policy now requires: {}",
            lacks(layers)
        ),
        Remark::NotReading => "it does not read its link".into(),
        Remark::NotShutDown => "it did not shut down in time".into(),
        Remark::StoppedEarly => "it was stopped while it could not shut down".into(),
        Remark::KilledByUser => "the user killed it".into(),
        Remark::DesktopClosed => "the desktop closed".into(),
        Remark::LingersWithoutLink => "it closed its link and went on running".into(),
        Remark::LingersAfterFailure => "its machine failed and its process did not end".into(),
        Remark::LingersAfterEnd => "its machine ended and its process did not".into(),
        Remark::NoThread(error) => format!("no thread could be had: {error}"),
        Remark::NoImage { why, mend: what } => format!("{why}; {}", mend(*what)),
        Remark::NoHome(error) => error.clone(),
        Remark::NoHostName => "its name cannot be a host name".into(),
        Remark::NotStarted { program, why } => format!("{program} could not be started: {why}"),
        Remark::NotWatched(error) => format!("the zone process cannot be watched: {error}"),
        Remark::JailNotClosed(last) => format!(
            "its jail could not be closed: {}",
            last.as_deref().unwrap_or("it did not say why")
        ),
        Remark::ProcessEnded { how, last } => match last {
            Some(last) => format!("the zone process ended ({how}): {last}"),
            None => format!("the zone process ended ({how})"),
        },
        Remark::NotWaitedFor(error) => format!("the zone process cannot be waited for: {error}"),

        Remark::Lacks(layers) => lacks(layers),
        Remark::Outdated(settings) => format!("the policy changed its {}", changed(settings)),
        Remark::Image { name, keeps_home } => {
            let home = if *keeps_home {
                "its home is kept"
            } else {
                "nothing is kept"
            };
            format!("{name}, {home}")
        }

        Remark::AllDevicesBack => "Every USB device is taken back".into(),
        Remark::DevicesIn(zones) => format!("USB in {}", zones.join(", ")),
        Remark::DeviceBusy(device) => format!("{device} is in use; take it back first"),
        Remark::DeviceGone => "The device is gone".into(),
        Remark::NotForZones => "No zone may have it; `bulkhead usb list` says why".into(),
        Remark::ZoneOff(zone) => format!("Zone {zone} does not run"),
        Remark::NoZone(zone) => format!("There is no zone {zone}"),
        Remark::ZoneHas { zone, device } => format!("Zone {zone} has {device}"),
        Remark::PersonAsked => "The person at the desktop is asked".into(),
        Remark::MayNotHave { zone, why } => format!("Zone {zone} may not have it: {}", say(why)),
        Remark::DeviceUnreadable { device, why } => format!("{device} cannot be read: {why}"),
        Remark::GiveQuestion { zone, kinds } => {
            let kinds: Vec<String> = kinds.iter().map(|kinds| device(kinds)).collect();
            match kinds.as_slice() {
                [_] => format!("Give {zone} this USB device: {}?", kinds.join("; ")),
                _ => format!("Give {zone} these USB devices: {}?", kinds.join("; ")),
            }
        }
        Remark::CodeQuestion { zone, code } => format!(
            "Type {code} on the new keyboard: only then does it count in {zone}. No takes it back."
        ),
        Remark::TypingQuestion { zone } => {
            format!("A keyboard of {zone} types faster than a person and is held. Let it go on?")
        }
        Remark::DeviceEnded { device, zone, why } => {
            format!("{device} has left {zone}: {}", say(why))
        }
        Remark::PolicyTookBack(why) => format!("no longer allowed: {}", say(why)),
        Remark::PolicyPassesOther => "the policy lets other things of it pass".into(),
        Remark::ZoneStopped => "its zone does not run any more".into(),
        Remark::PersonTookBack => "taken back by the person".into(),
        Remark::ZoneLetGo => "the zone let it go".into(),
        Remark::PulledOut => "it was pulled out".into(),
        Remark::SaidLast(words) => words.clone(),
        Remark::NoDevices => "This desktop has no USB devices to hand on.".into(),
        Remark::DeviceFacts {
            numbers: (vendor, product),
            port,
            classes,
        } => {
            let classes: Vec<String> = classes.iter().map(|class| format!("{class:02x}")).collect();
            format!(
                "{vendor:04x}:{product:04x}, port {port}, interfaces of class {}",
                classes.join(" ")
            )
        }
        Remark::NoDeviceFacts { port } => format!("port {port}, nothing that a zone can have"),

        Remark::SignedPolicy { name, store } => format!("{name}: signed, from the store {store}"),
        Remark::PlainPolicy { name, file } => {
            format!("{name}: {file}, a plain file that nobody signed")
        }
        Remark::Version { id, version } => format!("{id}, version {version}"),
        Remark::NoVersion => "a policy without a version".into(),
        Remark::RuleLine { rule, line, when } => format!("{rule} (line {line}){when}"),
        // As the policy has it.
        Remark::Flow(kind) => kind.to_string(),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".into(),
        _ => format!("{} bytes", grouped(bytes, ',')),
    }
}

fn goods(goods: Goods) -> String {
    match goods {
        Goods::Clip(ClipKind::Text) => "a text".into(),
        Goods::Clip(kind) => format!("a picture ({})", kind.mime()),
        Goods::File => "a file".into(),
    }
}

fn not_asked(refused: PromptRefused) -> &'static str {
    match refused {
        PromptRefused::OneAtATime(_) => "another question of this zone is open",
        PromptRefused::TooSoon(_) => "the zone asked again too soon after a No",
        PromptRefused::Silenced(_) => "the zone may not ask any more",
    }
}

fn stands(standing: Standing) -> String {
    match standing {
        Standing::InForce => String::new(),
        Standing::EndsSoon(end) => format!("The policy ends {}", time(end)),
        Standing::NotYet(from) => format!("The policy begins {}: nothing crosses", time(from)),
        Standing::Expired(_) => "The policy has expired: nothing crosses".into(),
        Standing::LockedOut {
            lock_zones: true, ..
        } => "The policy was not renewed: locked".into(),
        Standing::LockedOut { .. } => "The policy was not renewed: nothing crosses".into(),
    }
}

fn time(at: Timestamp) -> String {
    local(at, "%Y-%m-%d %H:%M (UTC%:z)")
}

fn lacks(layers: &[Lack]) -> String {
    super::lacks(layers, "the zone process did not report it")
}

fn changed(settings: &[ZoneSetting]) -> String {
    let words: Vec<&str> = settings
        .iter()
        .map(|setting| match setting {
            ZoneSetting::Image => "image",
            ZoneSetting::Memory => "memory",
            ZoneSetting::Cpus => "CPUs",
            ZoneSetting::Persistence => "persistence",
            ZoneSetting::KeyboardLayout => "keyboard layout",
        })
        .collect();
    words.join(", ")
}

pub(super) fn mend(mend: ImageMend) -> &'static str {
    match mend {
        ImageMend::Add => {
            "add it with `bulkhead image build` or `bulkhead image import`, or choose a store with --image-store"
        }
        ImageMend::Name => "name it in the policy as it is called, or by its hash alone",
    }
}

fn device(kinds: &[DeviceKind]) -> String {
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    match words.as_slice() {
        [] => "nothing known".into(),
        words => super::listed(words, "and"),
    }
}
