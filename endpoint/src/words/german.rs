//! German. Every remark begins with a capital: what goes on behind a colon is a sentence or a noun.

use bulkhead_policy::{Kind, Reason, Standing, Timestamp, WhenFull};
use compositor::PromptRefused;
use spice_agent::{ClipKind, ContentsError, FileError, OfferError};
use usb_redirect::identity::DeviceKind;

use super::{Goods, ImageMend, Lack, Remark, ZoneSetting, grouped, local};

pub(super) fn say(remark: &Remark) -> String {
    match remark {
        Remark::NothingCopied => "In keiner anderen Zone wurde etwas kopiert".into(),
        Remark::CopiedHere => "Das zuletzt Kopierte ist bereits in dieser Zone".into(),
        Remark::CopyGone => "Das zuletzt Kopierte gibt es nicht mehr".into(),
        Remark::NoAgentHere => "Der Zwischenablage-Dienst dieser Zone läuft nicht".into(),
        Remark::NotBrought(why) => format!("Nicht übertragen: {}", say(why)),
        Remark::NotAsked(refused) => format!("Nicht gefragt: {}", not_asked(*refused)),
        Remark::PasteReady { zone } => format!("Bereit zum Einfügen in {zone}"),
        Remark::FileArrived { file, zone } => {
            format!("{file} liegt jetzt in {zone} bei den Downloads")
        }
        Remark::Crossed { bytes, from, to } => {
            format!("Von {from} nach {to} übertragen: {}", size(*bytes))
        }
        Remark::BringQuestion {
            goods,
            bytes,
            from,
            to,
        } => {
            let size = size(*bytes);
            match goods {
                Goods::Clip(ClipKind::Text) => {
                    format!("Einen Text mit {size}, kopiert in {from}, nach {to} übertragen?")
                }
                Goods::Clip(kind) => format!(
                    "Ein Bild ({}) mit {size}, kopiert in {from}, nach {to} übertragen?",
                    kind.mime()
                ),
                Goods::File => {
                    format!("Eine Datei mit {size}, angeboten in {from}, nach {to} übertragen?")
                }
            }
        }
        Remark::PictureQuestion { zone } => format!("{zone} im Bildschirmfoto zeigen?"),

        Remark::Rule(name) => format!("Regel „{name}“"),
        Remark::Rules(rules) => rules.join(", "),
        Remark::NoVerdict(reason) => no_verdict(reason),
        Remark::NoRuleNames(goods) => match goods {
            Goods::Clip(ClipKind::Text) => "Keine Regel nennt Texte".into(),
            Goods::Clip(kind) => format!("Keine Regel nennt Bilder ({})", kind.mime()),
            Goods::File => "Keine Regel nennt Dateien".into(),
        },
        Remark::Contents(error) => contents(*error),
        Remark::Offer(OfferError::TooLarge(limit)) => {
            format!("Die Datei ist größer als {}", length(*limit))
        }
        Remark::Offer(OfferError::Garbled) => "Die Datei kam fehlerhaft an".into(),
        Remark::NotTaken(error) => not_taken(*error).into(),
        Remark::FileName => "Der Dateiname ist nicht zulässig".into(),
        Remark::CannotScrub => {
            "Was laut Regeln zu entfernen ist, lässt sich nicht entfernen".into()
        }
        Remark::NotRecorded => "Es konnte nicht protokolliert werden".into(),
        Remark::NoAgentThere => "Der Zwischenablage-Dienst der Zielzone läuft nicht".into(),
        Remark::FetchedTooLate => "Die Quellzone hat es nicht rechtzeitig geliefert".into(),
        Remark::NobodyAnswered => "Niemand hat geantwortet".into(),
        Remark::TakenTooLate => "Die Zielzone hat es nicht rechtzeitig angenommen".into(),
        Remark::PastedTooLate => "Es wurde nicht rechtzeitig eingefügt".into(),
        Remark::PolicyChanged => "Die Regeln haben sich geändert; bitte erneut versuchen".into(),
        Remark::AnotherTransfer => "Eine andere Übertragung hat begonnen".into(),
        Remark::DesktopLocked => "Der Bildschirm wurde gesperrt".into(),
        Remark::ZoneEnded => "Eine beteiligte Zone ist beendet".into(),

        Remark::PictureSaved => "Das Bildschirmfoto ist gespeichert".into(),
        Remark::PictureNotSaved => "Das Bildschirmfoto konnte nicht gespeichert werden".into(),
        Remark::NoPassphrase => "Nicht gesperrt: Es ist kein Passwort festgelegt".into(),
        Remark::SettingsNotKept(error) => {
            format!("Die Einstellungen konnten nicht gespeichert werden: {error}")
        }

        Remark::PolicyAtWork(Some(version)) => format!("Regeln in Version {version} sind in Kraft"),
        Remark::PolicyAtWork(None) => "Die geänderten Regeln sind in Kraft".into(),
        Remark::PolicyRefused => "Neue Regeln wurden abgelehnt: siehe Protokoll".into(),
        Remark::Stands(standing) => stands(*standing),
        Remark::LogFailed(WhenFull::DenyFlows) => {
            "Protokoll gestört: Es wird nichts übertragen".into()
        }
        Remark::LogFailed(WhenFull::LockZones) => "Protokoll gestört: gesperrt".into(),
        Remark::LogUnreadable(error) => format!("Das Protokoll ist nicht lesbar: {error}"),
        Remark::LogDamaged(1) => {
            "1 Zeile ist kein Eintrag: Prüfen Sie mit `bulkhead audit verify`".into()
        }
        Remark::LogDamaged(lines) => format!(
            "{} Zeilen sind keine Einträge: Prüfen Sie mit `bulkhead audit verify`",
            grouped(*lines, '.')
        ),
        Remark::LogStands => "Derzeit können keine Einträge geschrieben werden.".into(),
        Remark::LogGoesOn => {
            "Ältere Einträge werden hier nicht durchsucht: `bulkhead audit show` zeigt sie".into()
        }

        Remark::Panicked => "Der Kernel des Gasts ist abgestürzt (Panic)".into(),
        Remark::Reported(words) => format!("Meldung der Zone: {words}"),
        Remark::RestartsTooOften => "Der Gast startet immer wieder neu".into(),
        Remark::BrokeProtocol(error) => {
            format!("Verstoß gegen das Protokoll der Zonenverbindung: {error}")
        }
        Remark::BadSurface(error) => format!("Kein Speicher für ihr Bild: {error}"),
        Remark::JailLacks(layers) | Remark::JailLacksNow(layers) => format!(
            "Ihrer Abschottung fehlt, was die Regeln verlangen: {}",
            lacks(layers)
        ),
        Remark::NotReading => "Die Zone liest ihre Verbindung nicht".into(),
        Remark::NotShutDown => "Die Zone wurde nicht rechtzeitig heruntergefahren".into(),
        Remark::StoppedEarly => "Die Zone wurde beendet, bevor sie herunterfahren konnte".into(),
        Remark::KilledByUser => "Die Zone wurde auf Wunsch sofort beendet".into(),
        Remark::DesktopClosed => "Bulkhead wurde beendet".into(),
        Remark::LingersWithoutLink => "Die Zone schloss ihre Verbindung und lief weiter".into(),
        Remark::LingersAfterFailure => "Die Maschine fiel aus, und ihr Prozess endete nicht".into(),
        Remark::LingersAfterEnd => "Die Maschine endete, ihr Prozess aber nicht".into(),
        Remark::NoThread(error) => format!("Kein Thread verfügbar: {error}"),
        Remark::NoImage { why, mend: what } => {
            format!("Das Abbild ist nicht verwendbar ({why}); {}", mend(*what))
        }
        Remark::NoHome(error) => format!("Der Speicher der Zone ist nicht verfügbar: {error}"),
        Remark::NoHostName => "Ihr Name kann kein Rechnername sein".into(),
        Remark::NotStarted { program, why } => format!("{program} ließ sich nicht starten: {why}"),
        Remark::NotWatched(error) => {
            format!("Der Prozess der Zone lässt sich nicht überwachen: {error}")
        }
        Remark::JailNotClosed(last) => format!(
            "Ihre Abschottung ließ sich nicht schließen: {}",
            last.as_deref().unwrap_or("Ein Grund wurde nicht genannt")
        ),
        Remark::ProcessEnded { how, last } => match last {
            Some(last) => format!("Der Prozess der Zone endete ({how}): {last}"),
            None => format!("Der Prozess der Zone endete ({how})"),
        },
        Remark::NotWaitedFor(error) => {
            format!("Auf den Prozess der Zone lässt sich nicht warten: {error}")
        }

        Remark::Lacks(layers) => lacks(layers),
        Remark::Outdated(settings) => format!("Laut Regeln geändert: {}", changed(settings)),
        Remark::Image { name, keeps_home } => {
            let home = if *keeps_home {
                "persönliche Daten bleiben erhalten"
            } else {
                "nichts bleibt erhalten"
            };
            format!("{name}, {home}")
        }

        Remark::AllDevicesBack => "Alle USB-Geräte wurden zurückgenommen".into(),
        Remark::DevicesIn(zones) => format!("USB in {}", zones.join(", ")),
        Remark::DeviceBusy(device) => {
            format!("{device} wird benutzt; nehmen Sie es zuerst zurück")
        }
        Remark::DeviceGone => "Das Gerät ist nicht mehr da".into(),
        Remark::NotForZones => {
            "Keine Zone darf es haben; `bulkhead usb list` nennt den Grund".into()
        }
        Remark::ZoneOff(zone) => format!("Zone {zone} läuft nicht"),
        Remark::NoZone(zone) => format!("Eine Zone {zone} gibt es nicht"),
        Remark::ZoneHas { zone, device } => format!("Zone {zone} hat jetzt {device}"),
        Remark::PersonAsked => "Am Bildschirm wird nachgefragt".into(),
        Remark::MayNotHave { zone, why } => {
            format!("Zone {zone} darf es nicht haben: {}", say(why))
        }
        Remark::DeviceUnreadable { device, why } => format!("{device} ist nicht lesbar: {why}"),
        Remark::GiveQuestion { zone, kinds } => {
            let kinds: Vec<String> = kinds.iter().map(|kinds| device(kinds)).collect();
            match kinds.as_slice() {
                [_] => format!("Dieses USB-Gerät {zone} zuweisen: {}?", kinds.join("; ")),
                _ => format!("Diese USB-Geräte {zone} zuweisen: {}?", kinds.join("; ")),
            }
        }
        Remark::CodeQuestion { zone, code } => format!(
            "Tippen Sie {code} auf der neuen Tastatur: Erst dann gilt sie in {zone}. Mit Nein nehmen Sie sie zurück."
        ),
        Remark::TypingQuestion { zone } => format!(
            "Eine Tastatur von {zone} tippt schneller als ein Mensch und ist angehalten. Weiter zulassen?"
        ),
        Remark::DeviceEnded { device, zone, why } => {
            format!("{device} hat {zone} verlassen: {}", say(why))
        }
        Remark::PolicyTookBack(why) => {
            format!("Nicht mehr erlaubt: {}", say(why))
        }
        Remark::PolicyPassesOther => "Die Regeln lassen anderes davon zu als bisher".into(),
        Remark::ZoneStopped => "Die Zone läuft nicht mehr".into(),
        Remark::PersonTookBack => "Sie haben es zurückgenommen".into(),
        Remark::ZoneLetGo => "Die Zone hat es freigegeben".into(),
        Remark::PulledOut => "Es wurde abgezogen".into(),
        Remark::SaidLast(words) => format!("Letzte Meldung: {words}"),
        Remark::NoDevices => "Dieser Arbeitsplatz hat keine USB-Geräte weiterzugeben.".into(),
        Remark::DeviceFacts {
            numbers: (vendor, product),
            port,
            classes,
        } => {
            let classes: Vec<String> = classes.iter().map(|class| format!("{class:02x}")).collect();
            let word = match classes.as_slice() {
                [_] => "Schnittstellenklasse",
                _ => "Schnittstellenklassen",
            };
            format!(
                "{vendor:04x}:{product:04x}, Anschluss {port}, {word} {}",
                classes.join(" ")
            )
        }
        Remark::NoDeviceFacts { port } => {
            format!("Anschluss {port}, nichts, was eine Zone haben kann")
        }

        Remark::SignedPolicy { name, store } => format!("{name}: signiert, aus der Ablage {store}"),
        Remark::PlainPolicy { name, file } => {
            format!("{name}: {file}, eine einfache Datei ohne Signatur")
        }
        Remark::Version { id, version } => format!("{id}, Version {version}"),
        Remark::NoVersion => "Regeln ohne Version".into(),
        Remark::RuleLine { rule, line, when } => format!("{rule} (Zeile {line}){when}"),
        Remark::Flow(kind) => flow(*kind).into(),
    }
}

/// "Byte" has no plural behind a number.
fn size(bytes: u64) -> String {
    format!("{} Byte", grouped(bytes, '.'))
}

fn length(bytes: usize) -> String {
    size(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn not_asked(refused: PromptRefused) -> &'static str {
    match refused {
        PromptRefused::OneAtATime(_) => "Eine andere Frage dieser Zone ist noch offen",
        PromptRefused::TooSoon(_) => "Die Zone hat zu bald nach einem Nein wieder gefragt",
        PromptRefused::Silenced(_) => "Die Zone darf nicht mehr fragen",
    }
}

fn no_verdict(reason: &Reason) -> String {
    match reason {
        Reason::Rules => "Regeln haben entschieden".into(),
        Reason::NoRule => "Keine Regel erlaubt es".into(),
        Reason::UnknownZone(name) => format!("Die Regeln kennen keine Zone „{name}“"),
        Reason::SameZone => "Quelle und Ziel sind dieselbe Zone".into(),
        Reason::WrongEnds => "Diese Art der Übertragung gibt es zwischen ihnen nicht".into(),
        Reason::RedirectConflict => "Die Regeln leiten in verschiedene Zonen um".into(),
        Reason::RedirectLoop => "Die Umleitungen führen im Kreis".into(),
        Reason::NotInForce => "Die Regeln gelten zu dieser Zeit nicht".into(),
        Reason::LockedOut => "Die Regeln wurden nicht rechtzeitig erneuert".into(),
        Reason::NoRecord => "Der nötige Protokolleintrag kann nicht geschrieben werden".into(),
        Reason::UserRefused => "Es wurde nicht zugestimmt".into(),
    }
}

fn contents(error: ContentsError) -> String {
    match error {
        ContentsError::TooLarge { found, limit } => format!(
            "Es hat {}, erlaubt sind höchstens {}",
            size(found.into()),
            length(limit)
        ),
        ContentsError::Nothing => "Es ist nichts mehr da".into(),
        ContentsError::OtherKind => "Es ist von anderer Art als angefordert".into(),
        ContentsError::NotWhatItSays(kind) => {
            format!("Es ist nicht, was es zu sein angibt ({})", kind.mime())
        }
    }
}

fn not_taken(error: FileError) -> &'static str {
    match error {
        FileError::CalledOff => "Die Zielzone hat abgebrochen",
        FileError::NoRoom => "Die Zielzone hat keinen Platz dafür",
        FileError::Locked => "Die Sitzung der Zielzone ist gesperrt",
        FileError::NoSession => "In der Zielzone läuft keine Sitzung",
        FileError::NoFiles => "Die Zielzone nimmt keine Dateien an",
        FileError::NotWritten => "Die Zielzone konnte sie nicht schreiben",
    }
}

fn stands(standing: Standing) -> String {
    match standing {
        Standing::InForce => String::new(),
        Standing::EndsSoon(end) => format!("Die Regeln gelten bis {}", time(end)),
        Standing::NotYet(from) => format!(
            "Die Regeln gelten ab {}: Es wird nichts übertragen",
            time(from)
        ),
        Standing::Expired(_) => "Die Regeln sind abgelaufen: Es wird nichts übertragen".into(),
        Standing::LockedOut {
            lock_zones: true, ..
        } => "Die Regeln wurden nicht erneuert: gesperrt".into(),
        Standing::LockedOut { .. } => {
            "Die Regeln wurden nicht erneuert: Es wird nichts übertragen".into()
        }
    }
}

fn time(at: Timestamp) -> String {
    local(at, "%d.%m.%Y, %H:%M Uhr")
}

fn lacks(layers: &[Lack]) -> String {
    super::lacks(layers, "von der Zone nicht gemeldet")
}

fn changed(settings: &[ZoneSetting]) -> String {
    let words: Vec<&str> = settings
        .iter()
        .map(|setting| match setting {
            ZoneSetting::Image => "Abbild",
            ZoneSetting::Memory => "Arbeitsspeicher",
            ZoneSetting::Cpus => "Prozessoren",
            ZoneSetting::Persistence => "Datenerhalt",
            ZoneSetting::KeyboardLayout => "Tastaturbelegung",
        })
        .collect();
    words.join(", ")
}

pub(super) fn mend(mend: ImageMend) -> &'static str {
    match mend {
        ImageMend::Add => {
            "fügen Sie es mit `bulkhead image build` oder `bulkhead image import` hinzu, oder wählen Sie mit --image-store eine andere Ablage"
        }
        ImageMend::Name => "nennen Sie es in den Regeln, wie es heißt, oder nur mit seinem Hash",
    }
}

fn device(kinds: &[DeviceKind]) -> String {
    let words: Vec<&str> = kinds
        .iter()
        .map(|kind| match kind {
            DeviceKind::Mouse => "Maus",
            DeviceKind::Keyboard => "Tastatur",
            DeviceKind::GameController => "Spielsteuerung",
            DeviceKind::PowerKeys => "Ein/Aus-Tasten",
            DeviceKind::MediaKeys => "Medientasten",
            DeviceKind::Pen => "Stift oder Berührung",
            DeviceKind::SecurityKey => "Sicherheitsschlüssel",
            DeviceKind::MakersOwn => "Herstellereigenes",
            DeviceKind::OtherControls => "andere Bedienelemente",
            DeviceKind::OtherThanHid => "kein reines Eingabegerät",
        })
        .collect();
    match words.as_slice() {
        [] => "nichts Bekanntes".into(),
        words => super::listed(words, "und"),
    }
}

fn flow(kind: Kind) -> &'static str {
    match kind {
        Kind::Clipboard => "Zwischenablage",
        Kind::File => "Datei",
        Kind::Url => "Webadresse",
        Kind::Launch => "Programmstart",
        Kind::Drag => "Ziehen und Ablegen",
        Kind::Usb => "USB",
        Kind::AudioIn => "Mikrofon",
        Kind::AudioOut => "Tonausgabe",
        Kind::Camera => "Kamera",
        Kind::Notification => "Benachrichtigung",
        Kind::Print => "Drucken",
        Kind::Snapshot => "Sicherungspunkt",
        Kind::Network => "Netzwerk",
        Kind::Service => "Dienst",
        Kind::Screenshot => "Bildschirmfoto",
    }
}
