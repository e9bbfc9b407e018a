//! Windows of the audit log for its page: newest records first, those that contain every word that is looked for.
//!
//! A look costs at most [`MOST_BYTES`] of reading, and keeps no more records than the window has. Whether the chain holds is for
//! `bulkhead audit verify` to say; lines that are no records are counted here.

use std::path::Path;

use bulkhead_policy::audit::{Event, FlowRecord, Record};
use bulkhead_policy::{Directory, Disk};
use compositor::{Label, Language, ZoneId};
use trusted_pages::{AUDIT_WINDOW, AuditView, RecordKind, RecordView};

use crate::words::Remark;

/// The most that is read for one window: the newest part of a larger log.
const MOST_BYTES: usize = 64 << 20;

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Words that all of them contain, in any case.
    pub(super) words: String,
    /// The name of the zone that they concern.
    pub(super) zone: Option<String>,
    /// What they are about.
    pub(super) kind: Option<RecordKind>,
    /// In which language to say what is wrong. Records are shown as they were written.
    pub(super) language: Language,
    /// So many newer ones are left out.
    pub(super) skip: u64,
    /// So many are wanted.
    pub(super) count: usize,
    /// The zones that there are, by their names in records.
    pub(super) zones: Vec<(String, ZoneId)>,
}

/// Reads a window. `works`: records can be written.
pub(super) fn read(directory: &Path, window: &Window, works: bool) -> AuditView {
    let mut view = AuditView {
        skipped: window.skip,
        ..AuditView::default()
    };
    let mut damaged = 0u64;
    let trouble = match scan(directory, window, &mut view, &mut damaged) {
        Err(error) => Some(Remark::LogUnreadable(error.to_string())),
        Ok(_) if damaged > 0 => Some(Remark::LogDamaged(damaged)),
        Ok(_) if !works => Some(Remark::LogStands),
        Ok(false) => Some(Remark::LogGoesOn),
        Ok(true) => None,
    };
    let trouble = trouble.map(|remark| remark.say(window.language));
    view.trouble = Label::new(&trouble.unwrap_or_default(), 160);
    view
}

/// Looks through the log from its end; whether all of it was seen.
fn scan(
    directory: &Path,
    window: &Window,
    view: &mut AuditView,
    damaged: &mut u64,
) -> std::io::Result<bool> {
    let disk = Directory::open_to_read(directory)?;
    let mut segments: Vec<String> = disk
        .list()?
        .into_iter()
        .filter(|name| name.starts_with("audit-") && name.ends_with(".log"))
        .collect();
    // Their numbers have leading zeros.
    segments.sort_unstable_by(|a, b| b.cmp(a));
    let words: Vec<String> = window
        .words
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    let mut left = MOST_BYTES;
    for name in segments {
        let Ok(bytes) = disk.read(&name, left) else {
            return Ok(false);
        };
        let bytes = bytes.unwrap_or_default();
        left = left.saturating_sub(bytes.len());
        // What stands behind the last line end is not written to its end yet.
        for line in bytes.rsplit(|byte| *byte == b'\n').skip(1) {
            let Ok(record) = serde_json::from_slice::<Record>(line) else {
                *damaged = damaged.saturating_add(1);
                continue;
            };
            let mut row = row(&record);
            let concerns = |zone: &String| row.zone.as_str() == zone;
            let fits = window.kind.is_none_or(|kind| row.kind == kind)
                && window.zone.as_ref().is_none_or(concerns);
            if !fits || !matches(&row, &words) {
                continue;
            }
            let known = window.zones.iter().find(|(name, _)| concerns(name));
            row.id = known.map(|(_, id)| *id);
            let place = view.matching;
            view.matching = place.saturating_add(1);
            let wanted = window.count.min(AUDIT_WINDOW);
            if place >= window.skip && view.records.len() < wanted {
                view.records.push(row);
            }
        }
    }
    Ok(true)
}

fn matches(row: &RecordView, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let text = format!("{} {} {} {}", row.time, row.zone, row.what, row.text).to_lowercase();
    words.iter().all(|word| text.contains(word))
}

fn row(record: &Record) -> RecordView {
    let alarms = ["killed", "failed", "panicked", "refused", "jail-weakened"];
    let acted = |act: &str| alarms.iter().any(|alarm| act.contains(alarm));
    let kind = match &record.event {
        Event::Flow(_) => RecordKind::Flow,
        Event::Policy { .. } => RecordKind::Policy,
        Event::Zone { .. } => RecordKind::Zone,
        Event::Session { .. } => RecordKind::Session,
        _ => RecordKind::Log,
    };
    let (what, zone, text, alarming) = match &record.event {
        Event::Flow(flow) => (
            "flow",
            flow.from.as_str(),
            flow_words(flow),
            flow.verdict == "deny",
        ),
        Event::Policy {
            act,
            version,
            detail,
            ..
        } => {
            let version = version.map_or(String::new(), |version| format!("version {version} "));
            let words = format!("{act} {version}{detail}");
            ("policy", "", words, acted(act))
        }
        Event::Zone { zone, act, detail } => {
            (act.as_str(), zone.as_str(), detail.clone(), acted(act))
        }
        Event::Session { act, detail } => (act.as_str(), "", detail.clone(), acted(act)),
        Event::Opened {
            clean,
            missing,
            damage,
            ..
        } => {
            let order = if *clean {
                "it was closed in order before"
            } else {
                "it was not closed in order before"
            };
            let damage = damage.as_deref().unwrap_or_default();
            let alarming = *missing > 0 || !damage.is_empty();
            ("opened", "", format!("{order} {damage}"), alarming)
        }
        Event::Closed {} => ("closed", "", String::new(), false),
        Event::Gap { dropped } => {
            let words = format!("{dropped} records could not be written");
            ("gap", "", words, true)
        }
        Event::Checkpoint { segment, .. } => {
            ("checkpoint", "", format!("file {segment} is signed"), false)
        }
        _ => ("other", "", String::new(), false),
    };
    RecordView {
        time: Label::new(record.time.replace('T', " ").trim_end_matches('Z'), 24),
        kind,
        what: Label::new(what, 24),
        zone: Label::new(zone, 40),
        id: None,
        text: Label::new(&text, 480),
        alarming,
    }
}

fn flow_words(flow: &FlowRecord) -> String {
    let mut words = format!("{} to {}: {}", flow.kind, flow.to, flow.verdict);
    let mut add = |more: String| {
        words.push_str(", ");
        words.push_str(&more);
    };
    if let Some(target) = &flow.target {
        add(format!("to {target} instead"));
    }
    if let Some(reason) = &flow.reason {
        add(reason.clone());
    }
    if !flow.rules.is_empty() {
        add(format!("by {}", flow.rules.join(" and ")));
    }
    if let Some(answer) = &flow.answer {
        add(format!("the user said {answer}"));
    }
    if let Some(bytes) = flow.crossed {
        add(format!("{bytes} bytes crossed"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Audit, AuditLog};
    use bulkhead_policy::Audit as Settings;

    fn write(place: &Path, events: impl IntoIterator<Item = Event>) {
        let (directory, key) = (place.join("audit"), place.join("audit.key"));
        let mut log = AuditLog::open(&directory, &key, &Settings::default()).unwrap();
        for event in events {
            log.record(event).unwrap();
        }
    }

    fn look(place: &Path, filter: &str, skip: u64, count: usize) -> AuditView {
        let window = Window {
            words: filter.to_owned(),
            skip,
            count,
            ..Window::default()
        };
        read(&place.join("audit"), &window, true)
    }

    #[test]
    fn windows_hold_the_newest_records_that_contain_every_word() {
        let place = tempfile::tempdir().unwrap();
        let event = |number: u32| {
            let zone = if number.is_multiple_of(2) {
                "corp"
            } else {
                "open"
            };
            Event::zone(zone, "off", &format!("number {number}."))
        };
        write(place.path(), (0..1000).map(event));
        let all = look(place.path(), "", 0, 40);
        // Beside ours: one that the log was opened, one that it was closed.
        assert_eq!((all.matching, all.records.len()), (1002, 40));
        assert_eq!(all.records[0].what.as_str(), "closed");
        assert_eq!(all.records[1].text.as_str(), "number 999.");
        let open = look(place.path(), "NUMBER open", 100, 3);
        assert_eq!((open.matching, open.skipped), (500, 100));
        let texts: Vec<&str> = open.records.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(texts, ["number 799.", "number 797.", "number 795."]);
        assert_eq!(look(place.path(), "", 5000, 40).records, []);
        assert_eq!(
            look(place.path(), "", 0, usize::MAX).records.len(),
            AUDIT_WINDOW
        );
        assert_eq!(look(place.path(), "nobody", 0, 40).matching, 0);
        let window = Window {
            zone: Some("corp".to_owned()),
            kind: Some(RecordKind::Zone),
            count: 4,
            zones: vec![("corp".to_owned(), ZoneId(7))],
            ..Window::default()
        };
        let corp = read(&place.path().join("audit"), &window, true);
        assert_eq!(corp.matching, 500);
        assert!(corp.records.iter().all(|row| row.id == Some(ZoneId(7))));
        let kind = Some(RecordKind::Log);
        let log = read(
            &place.path().join("audit"),
            &Window { kind, ..window },
            true,
        );
        assert_eq!(log.matching, 0, "records of the log itself concern no zone");
    }

    #[test]
    fn what_zones_wrote_and_what_broke_the_log_is_shown_for_what_it_is() {
        let place = tempfile::tempdir().unwrap();
        let hostile = "\u{1b}[2J\u{202e}invoice\nkilled";
        write(place.path(), [Event::zone("open", "killed", hostile)]);
        let segment = place.path().join("audit/audit-00000001.log");
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes.extend(b"no record\n");
        std::fs::write(&segment, bytes).unwrap();
        let view = look(place.path(), "invoice", 0, 40);
        let row = &view.records[0];
        assert!(row.alarming && !row.text.as_str().contains(['\u{1b}', '\u{202e}', '\n']));
        assert!(view.trouble.as_str().starts_with("1 line is no record"));
        let nowhere = read(Path::new("/nonexistent"), &Window::default(), true);
        assert!(
            nowhere
                .trouble
                .as_str()
                .starts_with("The log cannot be read")
        );
    }
}
