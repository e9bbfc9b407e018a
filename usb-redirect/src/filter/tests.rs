//! Tests of the filters.

use std::sync::Arc;

use super::*;
use crate::device::DescriptionFile;
use crate::setup::{EndpointAddress, Setup};

const COMPOSITE: &str = include_str!("../../descriptors/composite.txt");
const MS: Duration = Duration::from_millis(1);

/// A keyboard under report ID 1, power and sleep keys under ID 2, as one interface declares them.
const KEYBOARD_WITH_POWER: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x85, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00,
    0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff,
    0x00, 0x05, 0x07, 0x19, 0x00, 0x29, 0xff, 0x81, 0x00, 0xc0, 0x05, 0x01, 0x09, 0x80, 0xa1, 0x01,
    0x85, 0x02, 0x19, 0x81, 0x29, 0x83, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x03, 0x81, 0x02,
    0x95, 0x05, 0x81, 0x03, 0xc0,
];

fn filter(grant: &Grant) -> ReportFilter {
    let descriptor = ReportDescriptor::parse(KEYBOARD_WITH_POWER).unwrap();
    ReportFilter::new(&descriptor, Some(1), grant)
}

#[test]
fn undeclared_reports_and_bytes_are_dropped() {
    let mut filter = filter(&Grant::default());
    assert_eq!(filter.inspect(&mut [3, 0], MS), Verdict::Undeclared);
    assert_eq!(filter.inspect(&mut [], MS), Verdict::Undeclared);
    let mut long = [1, 0, 4, 0, 0, 0, 0, 0, 0xee, 0xee];
    assert_eq!(filter.inspect(&mut long, MS), Verdict::Pass(8));
}

#[test]
fn power_and_sleep_pass_by_rule_only() {
    let mut report = [2, 0b111];
    assert_eq!(
        filter(&Grant::default()).inspect(&mut report, MS),
        Verdict::Pass(2)
    );
    assert_eq!(report, [2, 0]);
    let mut key = [1, 0, 0x66, 0x04, 0, 0, 0, 0];
    filter(&Grant::default()).inspect(&mut key, MS);
    assert_eq!(
        key,
        [1, 0, 0, 0x04, 0, 0, 0, 0],
        "the keyboard page's power key"
    );
    let allowed = Grant {
        power_keys: true,
        ..Grant::default()
    };
    let mut report = [2, 0b101];
    filter(&allowed).inspect(&mut report, MS);
    assert_eq!(report, [2, 0b101]);
}

#[test]
fn sysrq_passes_by_rule_only_and_print_screen_always() {
    let mut filter = filter(&Grant::default());
    let mut print = [1, 0, 0x46, 0, 0, 0, 0, 0];
    filter.inspect(&mut print, MS);
    assert_eq!(print[2], 0x46);
    let mut magic = [1, 0x04, 0x46, 0x05, 0, 0, 0, 0];
    filter.inspect(&mut magic, MS);
    assert_eq!(magic, [1, 0x04, 0, 0x05, 0, 0, 0, 0]);
}

#[test]
fn a_collection_that_was_not_granted_is_at_rest() {
    let grant = Grant {
        applications: Some(BTreeSet::from([Usage::MOUSE])),
        ..Grant::default()
    };
    let description = DescriptionFile::parse(COMPOSITE)
        .unwrap()
        .describe()
        .unwrap();
    let mut keys = ReportFilter::new(&description.reports[&0].parsed, Some(1), &grant);
    let mut report = [2, 0, 4, 5, 0, 0, 0, 0];
    assert_eq!(keys.inspect(&mut report, MS), Verdict::Pass(8));
    assert_eq!(report, [0; 8]);
    let mut mouse = ReportFilter::new(&description.reports[&1].parsed, Some(2), &grant);
    let mut report = [1, 2, 3, 4];
    mouse.inspect(&mut report, MS);
    assert_eq!(report, [1, 2, 3, 4]);
}

#[test]
fn inhuman_typing_is_held_with_nothing_stuck() {
    let mut filter = filter(&Grant::default());
    let mut now = MS;
    let mut held = None;
    for round in 0..200u8 {
        let mut down = [1, 2, 4 + round % 20, 0, 0, 0, 0, 0];
        match filter.inspect(&mut down, now) {
            Verdict::Pass(8) => {}
            Verdict::TooFast(8) => {
                assert_eq!(down, [1, 0, 0, 0, 0, 0, 0, 0]);
                held = Some(round);
                break;
            }
            other => panic!("{other:?}"),
        }
        now += MS;
        filter.inspect(&mut [1, 0, 0, 0, 0, 0, 0, 0], now);
        now += MS;
    }
    // Shift and a letter, every 2 ms: 50 at once and 50 a second are allowed.
    assert!(
        held.is_some_and(|round| (25..30).contains(&round)),
        "{held:?}"
    );
    let mut more = [1, 0, 9, 0, 0, 0, 0, 0];
    assert_eq!(filter.inspect(&mut more, now), Verdict::Held);
    filter.resume(now);
    assert_eq!(
        filter.inspect(&mut [1, 0, 0, 0, 0, 0, 0, 0], now),
        Verdict::Pass(8)
    );
    assert_eq!(filter.inspect(&mut more, now), Verdict::Pass(8));
}

#[test]
fn a_fast_person_is_not_held() {
    let mut filter = filter(&Grant::default());
    // 20 keys a second for a minute, more than the fastest typists.
    for stroke in 0..1200u32 {
        let now = MS * (stroke * 50);
        let key = 4 + u8::try_from(stroke % 20).unwrap();
        assert_eq!(
            filter.inspect(&mut [1, 0, key, 0, 0, 0, 0, 0], now),
            Verdict::Pass(8)
        );
        filter.inspect(&mut [1, 0, 0, 0, 0, 0, 0, 0], now + MS * 20);
    }
}

#[test]
fn a_new_keyboard_counts_once_the_code_is_typed() {
    let grant = Grant {
        challenge: Some("4071".to_owned()),
        ..Grant::default()
    };
    let mut filter = filter(&grant);
    let mut press = |key: u8| {
        let verdict = filter.inspect(&mut [1, 0, key, 0, 0, 0, 0, 0], MS);
        filter.inspect(&mut [1, 0, 0, 0, 0, 0, 0, 0], MS);
        verdict
    };
    // 4, 0, 9 (wrong), then 4, 0, 7, 1.
    for key in [0x21, 0x27, 0x26, 0x21, 0x27, 0x24] {
        assert_eq!(press(key), Verdict::Held);
    }
    assert_eq!(press(0x1e), Verdict::CodeTyped);
    assert_eq!(press(0x04), Verdict::Pass(8));
}

#[test]
fn requests_are_held_to_what_was_declared() {
    let description = Arc::new(
        DescriptionFile::parse(COMPOSITE)
            .unwrap()
            .describe()
            .unwrap(),
    );
    let mut filter = RequestFilter::new(description.clone(), &Grant::default());
    let mut ask = |bytes: [u8; 8], data: &[u8]| filter.control(Setup::from_bytes(bytes), data, MS);
    assert!(ask([0x21, 9, 0, 2, 0, 0, 1, 0], &[1]), "lights");
    assert!(
        !ask([0x21, 9, 0, 2, 0, 0, 2, 0], &[1, 2]),
        "longer than declared"
    );
    assert!(
        !ask([0x21, 9, 0, 3, 0, 0, 1, 0], &[1]),
        "no feature report is declared"
    );
    assert!(
        !ask([0x21, 9, 0, 2, 0, 0, 9, 0], &[1]),
        "a length that lies"
    );
    assert!(!ask([0x40, 1, 0, 0, 0, 0, 0, 0], &[]), "vendor");
    assert!(!ask([0x21, 1, 0, 0, 5, 0, 0, 0], &[]), "DFU download");
    assert!(!ask([0x00, 7, 0, 0, 0, 0, 0, 0], &[]), "SET_DESCRIPTOR");
    assert!(
        !ask([0x00, 9, 2, 0, 0, 0, 0, 0], &[]),
        "another configuration"
    );
    assert!(ask([0x80, 6, 0, 1, 0, 0, 18, 0], &[]));
    let mut filter = RequestFilter::new(description, &Grant::default());
    let lights = Setup::from_bytes([0x21, 9, 0, 2, 0, 0, 1, 0]);
    let passed = (0..1000)
        .filter(|_| filter.control(lights, &[1], MS))
        .count();
    assert_eq!(passed, 200, "a flood");
    assert!(
        filter.control(lights, &[1], MS * 1000),
        "and a second later again"
    );
    assert!(
        !filter.output(EndpointAddress(2), &[1], MS * 2000),
        "no output report"
    );
    assert!(
        !filter.output(EndpointAddress(5), &[1], MS * 2000),
        "no such endpoint"
    );
}
