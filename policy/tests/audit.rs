//! The log: what it finds when it was tampered with, and what a crash or a full disk leaves of it.

mod support;

use bulkhead_policy::audit::{
    Event, Fault, FlowRecord, Head, Log, Report, Tail, segment_name, verify,
};
use bulkhead_policy::{
    Audit, ByteSize, Decider, Disk, Kind, Party, Policy, PrivateKey, PublicKey, Request, Timestamp,
};
use support::disk::{LOSSES, MemoryDisk};

const NOW: Timestamp = Timestamp(1_772_409_600);

fn settings() -> Audit {
    Audit {
        segment: ByteSize(64 << 10),
        keep: 3,
        ..Audit::default()
    }
}

fn key() -> PrivateKey {
    PrivateKey::generate("endpoint").unwrap()
}

fn event(number: u64) -> Event {
    Event::zone("web", "started", &format!("number {number}"))
}

fn files(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk
        .list()
        .unwrap()
        .into_iter()
        .filter(|name| name.ends_with(".log"));
    names
        .map(|name| (name.clone(), disk.content(&name).unwrap().to_vec()))
        .collect()
}

fn check(disk: &MemoryDisk, public: Option<&PublicKey>) -> Report {
    let files = files(disk);
    let head = Head::read(disk).unwrap();
    verify(
        files
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.as_slice())),
        head.as_ref(),
        public,
    )
}

/// A log of one file with a few records, closed.
fn log(count: u64) -> (MemoryDisk, PublicKey) {
    let key = key();
    let public = key.public();
    let mut log = Log::open(MemoryDisk::default(), key, &settings(), NOW).unwrap();
    for number in 0..count {
        log.append(event(number), NOW).unwrap();
    }
    (log.close(NOW).unwrap(), public)
}

fn lines(disk: &MemoryDisk) -> Vec<String> {
    String::from_utf8(disk.content(&segment_name(1)).unwrap().to_vec())
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn with_lines(disk: &MemoryDisk, lines: &[String]) -> MemoryDisk {
    let mut disk = disk.clone();
    disk.set(
        &segment_name(1),
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
            .as_bytes(),
    );
    disk
}

#[test]
fn a_log_in_order_has_nothing_to_find() {
    let (disk, public) = log(10);
    let report = check(&disk, Some(&public));
    assert_eq!(
        (
            report.findings.as_slice(),
            report.records,
            report.last,
            report.tail
        ),
        (&[][..], 12, Some(12), Tail::Closed)
    );
    assert_eq!(report.head, Head::read(&disk).unwrap().unwrap().hash);
}

#[test]
fn every_change_is_found_with_its_place() {
    let (disk, public) = log(10);
    let whole = lines(&disk);
    let find = |lines: Vec<String>| {
        let report = check(&with_lines(&disk, &lines), Some(&public));
        assert!(!report.findings.is_empty());
        let first = report.findings[0].clone();
        (first.line, first.fault)
    };
    for index in 0..whole.len() {
        // Edited, by one letter, in every record; the last is held against the head.
        let mut edited = whole.clone();
        edited[index] = edited[index].replacen("2026", "2027", 1);
        assert_eq!(
            find(edited),
            (
                index + 1,
                Fault::Changed {
                    seq: index as u64 + 1
                }
            ),
            "edited {index}"
        );
        let mut removed = whole.clone();
        removed.remove(index);
        let seq = index as u64 + 1;
        let expected = match index {
            0 => (1, Fault::CutOffFront { first: 2, known: 1 }),
            11 => (
                11,
                Fault::CutOff {
                    last: 11,
                    known: 12,
                },
            ),
            _ => (
                index + 1,
                Fault::Missing {
                    first: seq,
                    last: seq,
                },
            ),
        };
        assert_eq!(find(removed), expected, "removed {index}");
        let mut repeated = whole.clone();
        repeated.insert(index, whole[index].clone());
        assert_eq!(
            find(repeated),
            (index + 2, Fault::Repeated { seq }),
            "repeated {index}"
        );
        if index + 2 < whole.len() {
            let mut swapped = whole.clone();
            swapped.swap(index, index + 1);
            let (line, fault) = find(swapped);
            assert!(
                matches!(fault, Fault::Moved { seq: moved } if moved == seq) && line == index + 2
                    || index == 0,
                "swapped {index}: {fault:?}"
            );
        }
        let mut cut = whole.clone();
        cut.truncate(index);
        let (_, fault) = find(cut);
        assert!(
            matches!(fault, Fault::CutOff { .. } | Fault::Empty),
            "cut at {index}"
        );
        let mut garbage = whole.clone();
        garbage[index] = "{\"v\":1}".to_owned();
        assert!(matches!(find(garbage), (line, Fault::NotARecord { .. }) if line == index + 1));
    }
}

#[test]
fn one_flipped_bit_anywhere_is_found() {
    let (disk, public) = log(4);
    let bytes = disk.content(&segment_name(1)).unwrap().to_vec();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let mut disk = disk.clone();
        disk.set(&segment_name(1), &flipped);
        let report = check(&disk, Some(&public));
        assert!(
            !report.findings.is_empty() || report.tail == Tail::Torn,
            "byte {at}"
        );
    }
}

#[test]
fn text_of_zones_forges_no_line_and_reaches_no_terminal() {
    let evil = "x\"}\n{\"v\":1,\"seq\":99}\u{1b}[2J\u{9b}31m\u{202e}\r\u{2028}\u{feff}";
    let mut log = Log::open(MemoryDisk::default(), key(), &settings(), NOW).unwrap();
    log.append(Event::zone(evil, "said", &evil.repeat(10_000)), NOW)
        .unwrap();
    // Even a record made by hand, past the constructors.
    log.append(
        Event::Zone {
            zone: evil.into(),
            act: evil.into(),
            detail: evil.into(),
        },
        NOW,
    )
    .unwrap();
    assert!(
        log.append(
            Event::Zone {
                zone: "x".repeat(1 << 20),
                act: String::new(),
                detail: String::new()
            },
            NOW
        )
        .is_err()
    );
    let disk = log.close(NOW).unwrap();
    let text = String::from_utf8(disk.content(&segment_name(1)).unwrap().to_vec()).unwrap();
    assert_eq!(
        text.lines().count(),
        5,
        "a record that was too long is a gap, and no line was forged"
    );
    assert!(
        text.chars().all(|character| character == '\n'
            || !character.is_control() && character != '\u{202e}' && character != '\u{feff}'),
        "{text:?}"
    );
    let mut chain = bulkhead_policy::audit::Chain::default();
    for line in text.lines() {
        let shown = chain.push(line.as_bytes()).unwrap().to_string();
        assert!(
            !shown.chars().any(char::is_control) && !shown.contains('\u{202e}'),
            "{shown:?}"
        );
    }
    assert!(check(&disk, None).findings.is_empty());
}

#[test]
fn full_files_are_closed_with_a_signature_and_old_ones_dropped() {
    let key = key();
    let (public, other) = (key.public(), self::key().public());
    let mut log = Log::open(MemoryDisk::default(), key, &settings(), NOW).unwrap();
    let filling = "x".repeat(250);
    for _ in 0..1_500 {
        log.append(Event::zone("web", "said", &filling), NOW)
            .unwrap();
    }
    let disk = log.close(NOW).unwrap();
    let names: Vec<String> = files(&disk).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 4, "three closed files and the open one");
    let report = check(&disk, Some(&public));
    assert_eq!(
        (report.findings.as_slice(), report.checkpoints),
        (&[][..], 3)
    );
    assert!(report.first.unwrap() > 1);
    let foreign = check(&disk, Some(&other)).findings;
    assert!(
        foreign
            .iter()
            .all(|finding| matches!(finding.fault, Fault::BadCheckpoint { .. }))
            && foreign.len() == 3
    );
    let mut less = disk.clone();
    less.delete(&names[0]);
    assert!(matches!(
        check(&less, Some(&public)).findings[0].fault,
        Fault::CutOffFront { .. }
    ));
    let mut less = disk.clone();
    less.delete(&names[1]);
    assert!(matches!(
        check(&less, Some(&public)).findings[0].fault,
        Fault::Missing { .. }
    ));
}

#[test]
fn a_power_cut_at_any_act_loses_only_what_was_not_synced_and_shows_it() {
    let run = |disk: MemoryDisk| -> (u64, MemoryDisk) {
        // Gives how far records were reported durable, and the storage as it is then.
        let mut log = match Log::open(
            disk.clone(),
            key(),
            &Audit {
                segment: ByteSize(800),
                ..settings()
            },
            NOW,
        ) {
            Ok(log) => log,
            Err(_) => return (0, disk),
        };
        let mut durable = log.last();
        for number in 0..12 {
            if log.append(event(number), NOW).is_err() {
                break;
            }
            if number % 3 == 2 {
                if log.sync().is_err() {
                    break;
                }
                durable = log.last();
            }
        }
        (durable, log.into_disk())
    };
    let whole = run(MemoryDisk::default()).1;
    assert!(files(&whole).len() > 2, "rotation is met too");
    for stop in 0..=whole.acts {
        let (durable, cut) = run(MemoryDisk {
            acts_left: Some(stop),
            ..MemoryDisk::default()
        });
        if cut.acts == 0 {
            continue;
        }
        for loss in LOSSES {
            let left = cut.after_power_cut(loss);
            let before = check(&left, None);
            let kept = before.last.unwrap_or(0);
            assert!(
                kept >= durable,
                "act {stop}, {loss:?}: {durable} were durable and {kept} are there"
            );
            let log = Log::open(left, key(), &settings(), NOW)
                .unwrap_or_else(|error| panic!("act {stop}, {loss:?}: {error}"));
            let disk = log.close(NOW).unwrap();
            let report = check(&disk, None);
            assert!(
                report.findings.is_empty(),
                "act {stop}, {loss:?}: {:?}",
                report.findings
            );
            let text: String = files(&disk)
                .into_iter()
                .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
                .collect();
            let shown = text.contains("\"clean\":false") || kept == 0;
            assert!(shown, "act {stop}, {loss:?}: the loss shows");
        }
    }
}

#[test]
fn a_full_disk_denies_and_goes_on_and_says_how_much_is_gone() {
    let mut log = Log::open(
        MemoryDisk {
            room: Some(3_000),
            ..MemoryDisk::default()
        },
        key(),
        &settings(),
        NOW,
    )
    .unwrap();
    let mut written = 0;
    for number in 0..40 {
        if log.append(event(number), NOW).is_ok() {
            written += 1;
        }
    }
    let dropped = log.dropped();
    assert!(
        dropped > 0 && written > 0 && written + dropped == 40,
        "{written} and {dropped}"
    );
    log.disk_mut().room = None;
    log.append(event(99), NOW).unwrap();
    let disk = log.close(NOW).unwrap();
    assert!(
        check(&disk, None).findings.is_empty(),
        "{:?}",
        check(&disk, None).findings
    );
    assert!(
        lines(&disk)
            .iter()
            .any(|line| line.contains(&format!("\"what\":\"gap\",\"dropped\":{dropped}")))
    );
}

#[test]
fn a_log_that_was_removed_or_cut_is_missed_at_the_next_opening() {
    let (disk, _) = log(10);
    let mut gone = disk.clone();
    gone.delete(&segment_name(1));
    let reopened = Log::open(gone, key(), &settings(), NOW)
        .unwrap()
        .close(NOW)
        .unwrap();
    let report = check(&reopened, None);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::ReportedLoss),
        "{:?}",
        report.findings
    );
    let cut = with_lines(&disk, &lines(&disk)[..5]);
    let reopened = Log::open(cut, key(), &settings(), NOW)
        .unwrap()
        .close(NOW)
        .unwrap();
    let faults: Vec<Fault> = check(&reopened, None)
        .findings
        .into_iter()
        .map(|finding| finding.fault)
        .collect();
    assert!(
        faults.contains(&Fault::ReportedLoss)
            && faults.contains(&Fault::Missing { first: 6, last: 12 }),
        "{faults:?}"
    );
    let mut edited = lines(&disk);
    edited[3] = edited[3].replace("number", "nomber");
    let reopened = Log::open(with_lines(&disk, &edited), key(), &settings(), NOW)
        .unwrap()
        .close(NOW)
        .unwrap();
    let faults: Vec<Fault> = check(&reopened, None)
        .findings
        .into_iter()
        .map(|finding| finding.fault)
        .collect();
    assert!(
        faults.contains(&Fault::Changed { seq: 4 }),
        "what was tampered with is kept as it is: {faults:?}"
    );
}

#[test]
fn a_flow_is_recorded_in_the_detail_its_rule_asks_for() {
    let text = "[zone.a]\ncolour = \"#000000\"\nimage = \"x\"\n[zone.b]\ncolour = \"#ffffff\"\nimage = \"x\"\n\
        [[flow]]\nname = \"to b\"\nkind = \"url\"\nfrom = \"a\"\nto = \"b\"\nverdict = \"allow\"\nthen = { log = \"full\" }\n";
    let decider = Decider::new(Policy::parse("p.toml", text.as_bytes()).unwrap());
    let mut request = Request::new(
        Kind::Url,
        Party::parse("a").unwrap(),
        Party::parse("b").unwrap(),
    );
    request.facts.url =
        Some(bulkhead_policy::Url::parse("https://example.org/secret?token=1").unwrap());
    request.facts.argument = Some(bulkhead_policy::Word::parse("private").unwrap());
    let full = FlowRecord::new(&decider, &request, &decider.decide(&request));
    let json = serde_json::to_string(&full).unwrap();
    assert!(
        json.contains("https://example.org")
            && !json.contains("secret")
            && !json.contains("token")
            && !json.contains("private"),
        "{json}"
    );
    assert_eq!(full.rules, ["to b (7)"]);
    request.from = Party::parse("b").unwrap();
    request.to = Party::parse("a").unwrap();
    let brief = FlowRecord::new(&decider, &request, &decider.decide(&request));
    assert!(brief.facts.is_none() && brief.verdict == "deny" && brief.reason.is_some());
}
