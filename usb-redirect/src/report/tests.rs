//! Tests of the report descriptor parser and of layouts.

use super::*;

/// The boot keyboard of HID 1.11, appendix E.6.
pub(crate) const KEYBOARD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01,
    0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01,
    0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06,
    0x75, 0x08, 0x15, 0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xc0,
];

/// A mouse with 3 buttons, 16-bit axes and a wheel, under report ID 1; consumer keys under report ID 2.
pub(crate) const MOUSE: &[u8] = &[
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01,
    0x29, 0x03, 0x15, 0x00, 0x25, 0x01, 0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05,
    0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x75, 0x10,
    0x95, 0x02, 0x81, 0x06, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06,
    0xc0, 0xc0, 0x05, 0x0c, 0x09, 0x01, 0xa1, 0x01, 0x85, 0x02, 0x15, 0x00, 0x26, 0xff, 0x03, 0x19,
    0x00, 0x2a, 0xff, 0x03, 0x75, 0x10, 0x95, 0x01, 0x81, 0x00, 0xc0,
];

fn layout(bytes: &[u8]) -> Layout {
    Layout::new(&ReportDescriptor::parse(bytes).unwrap())
}

#[test]
fn the_boot_keyboard_is_read() {
    let keyboard = ReportDescriptor::parse(KEYBOARD).unwrap();
    assert_eq!(keyboard.applications()[0].usage, Usage::KEYBOARD);
    assert!(!keyboard.is_numbered());
    assert_eq!(keyboard.report_length(ReportKind::Input, 0), Some(8));
    assert_eq!(keyboard.report_length(ReportKind::Output, 0), Some(1));
    assert_eq!(keyboard.report_length(ReportKind::Feature, 0), None);
    let array = keyboard.fields().last().unwrap();
    let report = [0x02, 0, 0x04, 0, 0, 0, 0, 0];
    assert_eq!(
        array.usage_of_value(array.value(&report, 0).unwrap()),
        Some(Usage::new(7, 4))
    );
}

#[test]
fn numbered_reports_and_signed_values_are_read() {
    let mouse = ReportDescriptor::parse(MOUSE).unwrap();
    assert_eq!(mouse.report_length(ReportKind::Input, 1), Some(7));
    assert_eq!(mouse.report_length(ReportKind::Input, 2), Some(3));
    let axes = &mouse.fields()[1];
    assert_eq!((axes.bit_offset, axes.relative), (8, true));
    let (identifier, body) = mouse.split(&[1, 0, 0xff, 0xff, 2, 0, 0]).unwrap();
    assert_eq!(identifier, 1);
    assert_eq!(axes.value(body, 0), Some(-1));
    assert_eq!(axes.value(body, 1), Some(2));
    assert_eq!(axes.usage(1), Some(Usage::new(1, 0x31)));
}

#[test]
fn a_bomb_of_21_bytes_is_refused_without_memory() {
    let bomb = [
        0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x02, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01,
        0x97, 0xff, 0xff, 0xff, 0x7f, 0x81, 0x02, 0xc0,
    ];
    assert_eq!(
        ReportDescriptor::parse(&bomb),
        Err(ReportError::OutOfRange {
            offset: 20,
            what: "the report count",
            value: 0x7fff_ffff
        })
    );
    // The same with a usage maximum of 2^31 is one range, and harmless.
    let wide = [
        0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x1b, 0, 0, 1, 0, 0x2b, 0xff, 0xff, 0xff, 0x7f, 0x75,
        8, 0x95, 1, 0x81, 0, 0xc0,
    ];
    let parsed = ReportDescriptor::parse(&wide).unwrap();
    assert!(
        parsed.fields()[0].usages.is_empty(),
        "two pages: declares nothing"
    );
}

#[test]
fn counts_that_overflow_are_refused() {
    // Report size 256 and count 2^24 and more: the product wraps 32 bits.
    let product = [
        0x05, 1, 0x09, 6, 0xa1, 1, 0x76, 0x00, 0x01, 0x97, 0, 0, 0, 1, 0x81, 2, 0xc0,
    ];
    assert!(ReportDescriptor::parse(&product).is_err());
    // Many legal fields that together pass the length.
    let mut many = vec![0x05, 1, 0x09, 6, 0xa1, 1, 0x75, 8, 0x96, 0xff, 0x0f];
    many.extend([0x81, 2, 0x81, 2]);
    many.push(0xc0);
    assert!(ReportDescriptor::parse(&many).is_err());
}

#[test]
fn a_field_of_no_bits_is_no_field() {
    // CVE-2025-38556: a report size of 0 made Linux shift by minus one bit.
    let bytes = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x30, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x00, 0x95,
        0x08, 0x81, 0x06, 0x91, 0x02, 0xb1, 0x02, 0xc0,
    ];
    let descriptor = ReportDescriptor::parse(&bytes).unwrap();
    assert!(descriptor.fields().is_empty());
    let layout = Layout::new(&descriptor);
    assert!(!layout.holds(&[]) && !layout.holds(&[0xff; 8]));
    assert!(!layout.merge(&[1, 2], &mut [3, 4]));
}

#[test]
fn nesting_and_stacks_are_bounded_and_balanced() {
    let parse = ReportDescriptor::parse;
    assert!(matches!(
        parse(&[0xa1, 1].repeat(40)),
        Err(ReportError::TooMany { .. })
    ));
    assert!(matches!(
        parse(&[0xa4].repeat(40)),
        Err(ReportError::TooMany { .. })
    ));
    assert!(matches!(
        parse(&[0xb4]),
        Err(ReportError::Unbalanced { .. })
    ));
    assert!(matches!(
        parse(&[0xc0]),
        Err(ReportError::Unbalanced { .. })
    ));
    assert!(matches!(
        parse(&[0xa1, 1]),
        Err(ReportError::Unbalanced { .. })
    ));
    assert!(matches!(
        parse(&[0x75, 8, 0x95, 1, 0x81, 2]),
        Err(ReportError::Unbalanced { .. })
    ));
    assert_eq!(parse(&[0; 5000]), Err(ReportError::TooLong(5000)));
    assert_eq!(
        parse(&[0x27, 1, 2]),
        Err(ReportError::Truncated { offset: 0 })
    );
    assert_eq!(
        parse(&[0xfe, 9, 0]),
        Err(ReportError::Truncated { offset: 0 })
    );
    assert!(
        parse(&[0xfe, 1, 0, 0]).is_ok(),
        "long items are stepped over"
    );
}

#[test]
fn motion_adds_up_and_states_do_not() {
    let layout = layout(MOUSE);
    let mut later = [1, 0, 2, 0, 3, 0, 1];
    assert!(layout.merge(&[1, 0, 5, 0, 0xff, 0xff, 1], &mut later));
    assert_eq!(later, [1, 0, 7, 0, 2, 0, 2]);
    let mut pressed = [1, 1, 2, 0, 3, 0, 0];
    assert!(!layout.merge(&[1, 0, 5, 0, 0, 0, 0], &mut pressed));
    assert_eq!(pressed, [1, 1, 2, 0, 3, 0, 0]);
    let mut other = [2, 0xe9, 0];
    assert!(!layout.merge(&[1, 0, 5, 0, 0, 0, 0], &mut other));
    // A sum beyond the range is no report the device could send.
    let mut far = [1, 0, 0xff, 0x7f, 0, 0, 0];
    assert!(!layout.merge(&[1, 0, 1, 0, 0, 0, 0], &mut far));
}

#[test]
fn release_lets_go_of_everything_held() {
    let keyboard = layout(KEYBOARD);
    let mut report = [0x22, 0, 4, 5, 0, 0, 0, 0];
    assert!(keyboard.holds(&report));
    assert!(keyboard.release(&mut report));
    assert_eq!(report, [0; 8]);
    assert!(!keyboard.holds(&report));
    assert!(!keyboard.release(&mut report));
    let mouse = layout(MOUSE);
    let mut report = [1, 5, 9, 0, 9, 0, 1];
    assert!(mouse.release(&mut report));
    assert_eq!(report, [1, 0, 0, 0, 0, 0, 0]);
    let mut moving = [1, 0, 9, 0, 9, 0, 1];
    assert!(!mouse.holds(&moving));
    assert!(!mouse.release(&mut moving), "moving is not holding");
    assert_eq!(moving, [1, 0, 0, 0, 0, 0, 0]);
    let mut consumer = [2, 0xe9, 0];
    assert!(mouse.release(&mut consumer));
    assert_eq!(consumer, [2, 0, 0]);
}

#[test]
fn bits_are_written_where_they_are_read() {
    for offset in 0..17 {
        for size in 1..=32 {
            let mut body = [0xa5u8; 8];
            let before = body;
            let value = 0x9e37_79b9 & (u32::MAX >> (32 - size));
            write_bits(&mut body, offset, size, value);
            assert_eq!(read_bits(&body, offset, size), Some(value));
            write_bits(
                &mut body,
                offset,
                size,
                read_bits(&before, offset, size).unwrap(),
            );
            assert_eq!(body, before, "only those bits change");
        }
    }
    assert_eq!(read_bits(&[0; 2], 9, 8), None);
}
