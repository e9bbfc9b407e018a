//! Tests of the descriptor parser: a real composite keyboard, and lengths that lie.

use super::*;

/// A composite device: boot keyboard on interface 0, mouse and consumer keys on interface 1 with an OUT endpoint.
const COMPOSITE: [u8; 66] = [
    9, 2, 66, 0, 2, 1, 0, 0xa0, 50, // configuration
    9, 4, 0, 0, 1, 3, 1, 1, 0, // keyboard
    9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0, // HID
    7, 5, 0x81, 3, 8, 0, 8, // IN
    9, 4, 1, 0, 2, 3, 0, 0, 0, // vendor HID
    9, 0x21, 0x11, 1, 0, 1, 0x22, 0x34, 0x01, // HID
    7, 5, 0x82, 3, 64, 0, 1, // IN
    7, 5, 0x02, 3, 64, 0, 1, // OUT
];

#[test]
fn a_composite_device_is_read() {
    let configuration = Configuration::parse(&COMPOSITE).unwrap();
    assert_eq!(configuration.value, 1);
    assert_eq!(configuration.settings.len(), 2);
    assert_eq!(configuration.settings[1].hid.unwrap().report_length, 0x0134);
    let endpoints: Vec<_> = configuration
        .report_endpoints()
        .map(|(interface, endpoint)| (interface, endpoint.address.0, endpoint.max_packet))
        .collect();
    assert_eq!(endpoints, [(0, 0x81, 8), (1, 0x82, 64)]);
    assert_eq!(
        configuration.endpoint(EndpointAddress(2)).unwrap().0.number,
        1
    );
}

#[test]
fn lengths_that_lie_are_refused() {
    // bLength 0 and 1 would loop or overlap; a length past the end would read beyond it.
    for (position, value) in [(9, 0), (9, 1), (9, 200), (0, 0), (2, 65), (2, 67), (3, 1)] {
        let mut bytes = COMPOSITE;
        bytes[position] = value;
        assert!(Configuration::parse(&bytes).is_err(), "{position}={value}");
    }
    for length in 0..COMPOSITE.len() {
        assert!(Configuration::parse(&COMPOSITE[..length]).is_err());
    }
}

#[test]
fn an_endpoint_before_any_interface_is_homeless() {
    let bytes = [9, 2, 16, 0, 1, 1, 0, 0, 0, 7, 5, 0x81, 3, 8, 0, 8];
    assert_eq!(
        Configuration::parse(&bytes),
        Err(DescriptorError::Homeless { kind: 5, offset: 9 })
    );
}

#[test]
fn what_is_described_twice_is_refused() {
    let mut bytes = COMPOSITE;
    bytes[36] = 0;
    assert!(matches!(
        Configuration::parse(&bytes),
        Err(DescriptorError::Twice { .. })
    ));
    let mut bytes = COMPOSITE;
    bytes[61] = 0x82;
    assert!(matches!(
        Configuration::parse(&bytes),
        Err(DescriptorError::Twice { .. })
    ));
}

#[test]
fn poll_intervals_follow_the_speed() {
    assert_eq!(Speed::Full.interval_micros(8), 8000);
    assert_eq!(Speed::Full.interval_micros(0), 1000);
    assert_eq!(Speed::High.interval_micros(1), 125);
    assert_eq!(Speed::High.interval_micros(4), 1000);
    assert_eq!(Speed::High.interval_micros(255), 125 << 15);
}
