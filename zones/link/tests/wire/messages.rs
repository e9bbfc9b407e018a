//! Bytes: every message survives a round trip, and every malformed framing of ATTACKS 1, 3, 4, 8 and 10 is refused.

use std::os::fd::OwnedFd;

use crate::support;
use proptest::prelude::*;
use zone_link::{
    CursorImage, FromZone, Generation, Hello, LayerName, MissingLayer, Port, PortBytes,
    ProtocolError, Rect, Size, StartConfig, StreamId, Text, ToZone, Volume, Writes, ZoneName,
    ZoneState, limits,
};

fn encoded(message: &FromZone) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}

fn encoded_to_zone(message: &ToZone) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}

/// A message with a header of our own making around `body`.
fn framed(version: u16, kind: u16, length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(version.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
    bytes
}

fn refused(bytes: &[u8]) -> ProtocolError {
    FromZone::decode(bytes, Vec::new()).expect_err("a malformed message was accepted")
}

const STATE: u16 = 0x102;
const FRAME: u16 = 0x103;
const CURSOR: u16 = 0x104;
const PORT_DATA: u16 = 0x106;

fn any_port() -> impl Strategy<Value = Port> {
    prop::sample::select(Port::ALL.to_vec())
}

fn any_layer() -> impl Strategy<Value = LayerName> {
    "[a-z0-9-]{1,24}".prop_map(|name| LayerName::new(&name).unwrap())
}

fn any_missing() -> impl Strategy<Value = MissingLayer> {
    (any_layer(), any::<String>()).prop_map(|(layer, reason)| MissingLayer {
        layer,
        reason: Text::lossy(&reason),
    })
}

fn any_rect() -> impl Strategy<Value = Rect> {
    any::<[u32; 4]>().prop_map(|[x, y, width, height]| Rect {
        x,
        y,
        width,
        height,
    })
}

fn any_cursor() -> impl Strategy<Value = CursorImage> {
    (
        1..=64_u16,
        1..=64_u16,
        any::<u16>(),
        any::<u16>(),
        any::<u32>(),
    )
        .prop_map(|(width, height, x, y, seed)| {
            let pixels = (0..u32::from(width) * u32::from(height))
                .map(|index| index.wrapping_mul(seed))
                .collect();
            CursorImage::new(width, height, x % width, y % height, pixels).unwrap()
        })
}

fn any_from_zone() -> impl Strategy<Value = FromZone> {
    prop_oneof![
        (
            prop::collection::vec(any_layer(), 0..=24),
            prop::collection::vec(any_missing(), 0..=24)
        )
            .prop_map(|(in_force, missing)| FromZone::Hello(Hello { in_force, missing })),
        prop_oneof![
            Just(ZoneState::Starting),
            Just(ZoneState::Running),
            Just(ZoneState::Panicked),
            Just(ZoneState::Reset),
            Just(ZoneState::Off),
            any::<String>().prop_map(|reason| ZoneState::Failed(Text::lossy(&reason))),
        ]
        .prop_map(FromZone::State),
        (any::<u32>(), prop::collection::vec(any_rect(), 1..=16)).prop_map(
            |(generation, rectangles)| FromZone::Frame {
                generation: Generation(generation),
                rectangles
            }
        ),
        any_cursor().prop_map(FromZone::Cursor),
        Just(FromZone::CursorHidden),
        (any_port(), prop::collection::vec(any::<u8>(), 1..=4096)).prop_map(|(port, bytes)| {
            FromZone::PortData {
                port,
                data: PortBytes::new(&bytes).unwrap(),
            }
        }),
        (any_port(), 1..=limits::PORT_CREDIT)
            .prop_map(|(port, bytes)| FromZone::PortCredit { port, bytes }),
        any::<(u32, u32)>().prop_map(|(id, port)| FromZone::StreamRequest {
            id: StreamId(id),
            port
        }),
    ]
}

fn any_plain_to_zone() -> impl Strategy<Value = ToZone> {
    prop_oneof![
        (0..=limits::KEY_CODE, any::<bool>())
            .prop_map(|(code, pressed)| ToZone::Key { code, pressed }),
        (0..limits::SURFACE_SIDE, 0..limits::SURFACE_SIDE)
            .prop_map(|(x, y)| ToZone::PointerMotion { x, y }),
        (0..=limits::KEY_CODE, any::<bool>())
            .prop_map(|(code, pressed)| ToZone::PointerButton { code, pressed }),
        any::<(i32, i32)>().prop_map(|(vertical, horizontal)| ToZone::Wheel {
            vertical,
            horizontal
        }),
        any::<bool>().prop_map(ToZone::Focus),
        (any_port(), prop::collection::vec(any::<u8>(), 1..=4096)).prop_map(|(port, bytes)| {
            ToZone::PortData {
                port,
                data: PortBytes::new(&bytes).unwrap(),
            }
        }),
        (any_port(), 1..=limits::PORT_CREDIT)
            .prop_map(|(port, bytes)| ToZone::PortCredit { port, bytes }),
        any::<u32>().prop_map(|id| ToZone::StreamRefuse { id: StreamId(id) }),
        Just(()).prop_map(|()| ToZone::Power),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_from_a_zone_survive(message in any_from_zone()) {
        let bytes = encoded(&message);
        prop_assert!(bytes.len() <= limits::MESSAGE_BYTES);
        prop_assert_eq!(FromZone::decode(&bytes, Vec::new()).unwrap(), message);
    }

    #[test]
    fn messages_to_a_zone_survive(message in any_plain_to_zone()) {
        let bytes = encoded_to_zone(&message);
        let decoded = ToZone::decode(&bytes, Vec::new()).unwrap();
        prop_assert_eq!(format!("{decoded:?}"), format!("{message:?}"));
    }

    #[test]
    fn a_cut_or_grown_message_is_refused(message in any_from_zone(), cut in any::<prop::sample::Index>(), extra in 1..64_usize) {
        let bytes = encoded(&message);
        prop_assert!(FromZone::decode(&bytes[..cut.index(bytes.len())], Vec::new()).is_err());
        let mut grown = bytes;
        grown.resize(grown.len() + extra, 0);
        prop_assert!(FromZone::decode(&grown, Vec::new()).is_err());
    }

    #[test]
    fn any_bytes_leave_the_decoders_standing(data in prop::collection::vec(any::<u8>(), 0..600)) {
        zone_link::fuzzing::fuzz_decode(&data);
    }

    #[test]
    fn bytes_with_a_good_header_leave_the_decoders_standing(
        selector in any::<u8>(), kind in prop_oneof![0..16_u16, 0x100..0x10a_u16], body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut data = vec![selector];
        data.extend(framed(1, kind, u32::try_from(body.len()).unwrap(), &body));
        zone_link::fuzzing::fuzz_decode(&data);
    }

    #[test]
    fn a_flipped_byte_leaves_the_decoders_standing(message in any_from_zone(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut data = vec![0];
        data.extend(encoded(&message));
        let index = at.index(data.len());
        data[index] ^= flip;
        zone_link::fuzzing::fuzz_decode(&data);
    }

    #[test]
    fn clipping_keeps_only_what_is_inside(rect in any_rect(), width in 1..=8192_u32, height in 1..=8192_u32) {
        let size = Size::new(width, height).unwrap();
        if let Some(part) = rect.clip(size) {
            prop_assert!(part.width > 0 && part.height > 0);
            prop_assert!(part.x + part.width <= width && part.y + part.height <= height);
            prop_assert_eq!((part.x, part.y), (rect.x, rect.y));
        } else {
            prop_assert!(rect.width == 0 || rect.height == 0 || rect.x >= width || rect.y >= height);
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    assert_eq!(refused(&[]), ProtocolError::NoHeader { bytes: 0 });
    assert_eq!(refused(&[1]), ProtocolError::NoHeader { bytes: 1 });
    assert_eq!(
        refused(&framed(1, STATE, 0, &[])[..7]),
        ProtocolError::NoHeader { bytes: 7 }
    );
    for promised in [0, 2, 1 << 31, u32::MAX] {
        assert_eq!(
            refused(&framed(1, STATE, promised, &[1])),
            ProtocolError::Length { promised, found: 1 }
        );
    }
    let most = limits::MESSAGE_BYTES - 8;
    let full = framed(1, PORT_DATA, u32::try_from(most).unwrap(), &vec![0; most]);
    assert_eq!(
        refused(&full),
        ProtocolError::Field {
            message: "PortData",
            field: "data"
        }
    );
    let beyond = framed(
        1,
        PORT_DATA,
        u32::try_from(most + 1).unwrap(),
        &vec![0; most + 1],
    );
    assert_eq!(refused(&beyond), ProtocolError::TooLong);
}

#[test]
fn other_versions_and_kinds_are_refused() {
    for version in [0, 2, 0x0100, u16::MAX] {
        assert_eq!(
            refused(&framed(version, STATE, 1, &[1])),
            ProtocolError::Version { found: version }
        );
    }
    // Kinds of the other direction are unknown here: a zone cannot send input.
    for kind in [0, 1, 3, 4, 13, 0x100, 0x109, u16::MAX] {
        assert_eq!(
            refused(&framed(1, kind, 0, &[])),
            ProtocolError::UnknownKind { kind }
        );
        let to_zone = ToZone::decode(&framed(1, kind | 0x100, 0, &[]), Vec::new());
        assert!(matches!(to_zone, Err(ProtocolError::UnknownKind { .. })));
    }
}

#[test]
fn fields_out_of_range_are_refused() {
    let bad =
        |kind, body: &[u8]| refused(&framed(1, kind, u32::try_from(body.len()).unwrap(), body));
    assert!(matches!(
        bad(STATE, &[6]),
        ProtocolError::Field { field: "state", .. }
    ));
    // A reason that promises more bytes than follow, and one with an escape sequence.
    assert!(matches!(
        bad(STATE, &[5, 0xff, 0xff, b'x']),
        ProtocolError::BodyTooShort { .. }
    ));
    assert!(matches!(
        bad(STATE, &[5, 3, 0, 0x1b, b'[', b'm']),
        ProtocolError::Field {
            field: "reason",
            ..
        }
    ));
    assert!(matches!(
        bad(FRAME, &[1, 0, 0, 0]),
        ProtocolError::Field {
            field: "rectangles",
            ..
        }
    ));
    assert!(matches!(
        bad(FRAME, &[0; 4 + 16 * 17]),
        ProtocolError::Field {
            field: "rectangles",
            ..
        }
    ));
    assert!(matches!(
        bad(FRAME, &[0; 4 + 15]),
        ProtocolError::Field {
            field: "rectangles",
            ..
        }
    ));
    let cursor = |width: u16, height: u16, x: u16, y: u16, bytes: usize| {
        let mut body = Vec::new();
        for value in [width, height, x, y] {
            body.extend(value.to_le_bytes());
        }
        body.resize(8 + bytes, 0xaa);
        bad(CURSOR, &body)
    };
    for (width, height, x, y, bytes) in [
        (0, 1, 0, 0, 0),
        (65, 1, 0, 0, 260),
        (1, 1, 1, 0, 4),
        (1, 1, 0, 9, 4),
        (64, 64, 0, 0, 64),
        (65535, 65535, 0, 0, 4),
        (2, 2, 0, 0, 15),
    ] {
        assert!(matches!(
            cursor(width, height, x, y, bytes),
            ProtocolError::Field {
                message: "Cursor",
                ..
            }
        ));
    }
}

#[test]
fn a_hello_with_too_many_layers_is_refused() {
    let layer = LayerName::new("x").unwrap();
    let hello = FromZone::Hello(Hello {
        in_force: vec![layer; 25],
        missing: Vec::new(),
    });
    assert!(hello.encode(&mut Vec::new()).is_err());
    // The count alone, with nothing behind it.
    assert!(matches!(
        refused(&framed(1, 0x101, 1, &[255])),
        ProtocolError::Field {
            field: "layers",
            ..
        }
    ));
    assert!(matches!(
        refused(&framed(1, 0x101, 1, &[24])),
        ProtocolError::BodyTooShort { .. }
    ));
}

fn start(volumes: Vec<Volume>) -> ToZone {
    ToZone::Start(Box::new(StartConfig {
        zone: ZoneName::new("corp").unwrap(),
        memory_mib: 512,
        harts: 2,
        command_line: "console=hvc0 bulkhead.zone=corp".to_owned(),
        kernel: support::read_only(),
        initramfs: support::read_only(),
        volumes,
    }))
}

fn volume(writes: Writes) -> Volume {
    Volume {
        image: support::read_only(),
        writes,
    }
}

fn clones(message: &ToZone) -> Vec<OwnedFd> {
    message
        .descriptors()
        .iter()
        .map(|fd| fd.try_clone_to_owned().unwrap())
        .collect()
}

#[test]
fn start_survives_with_all_its_descriptors() {
    let message = start(vec![
        volume(Writes::Discarded(support::writable())),
        volume(Writes::Kept(support::writable())),
        volume(Writes::Refused),
    ]);
    let fds = clones(&message);
    assert_eq!(fds.len(), 7);
    let Ok(ToZone::Start(config)) = ToZone::decode(&encoded_to_zone(&message), fds) else {
        panic!("Start expected")
    };
    assert_eq!(
        (config.zone.as_str(), config.memory_mib, config.harts),
        ("corp", 512, 2)
    );
    assert_eq!(config.command_line, "console=hvc0 bulkhead.zone=corp");
    let kept: Vec<_> = config
        .volumes
        .iter()
        .map(|volume| matches!(volume.writes, Writes::Kept(_)))
        .collect();
    assert_eq!(kept, [false, true, false]);
}

#[test]
fn start_out_of_range_is_refused_by_both_sides() {
    let spoil = |change: &dyn Fn(&mut StartConfig)| {
        let ToZone::Start(mut config) = start(Vec::new()) else {
            unreachable!()
        };
        change(&mut config);
        ToZone::Start(config).encode(&mut Vec::new())
    };
    assert!(spoil(&|_| ()).is_ok());
    assert!(spoil(&|config| config.memory_mib = 15).is_err());
    assert!(spoil(&|config| config.memory_mib = u32::MAX).is_err());
    assert!(spoil(&|config| config.harts = 0).is_err());
    assert!(spoil(&|config| config.harts = 65).is_err());
    assert!(spoil(&|config| config.command_line = "a\nb".to_owned()).is_err());
    assert!(spoil(&|config| config.command_line = "x".repeat(2048)).is_err());
    assert!(
        spoil(&|config| config
            .volumes
            .extend((0..9).map(|_| volume(Writes::Refused))))
        .is_err()
    );

    let good = start(vec![volume(Writes::Refused)]);
    let bytes = encoded_to_zone(&good);
    let mut bad_mode = bytes.clone();
    *bad_mode.last_mut().unwrap() = 3;
    assert!(ToZone::decode(&bad_mode, clones(&good)).is_err());
    let mut bad_name = bytes.clone();
    bad_name[10] = b'/';
    assert!(ToZone::decode(&bad_name, clones(&good)).is_err());
    assert!(ToZone::decode(&bytes, clones(&good)).is_ok());
}

#[test]
fn wrong_descriptors_are_refused() {
    let message = start(vec![volume(Writes::Kept(support::writable()))]);
    let bytes = encoded_to_zone(&message);
    for wrong in [
        support::stream,
        support::directory,
        support::device,
        support::pipe,
    ] {
        for place in 0..4 {
            let mut fds = clones(&message);
            fds[place] = wrong();
            let error = ToZone::decode(&bytes, fds).expect_err("a wrong descriptor was taken");
            assert!(
                matches!(
                    error,
                    ProtocolError::DescriptorKind {
                        message: "Start",
                        ..
                    }
                ),
                "{error}"
            );
        }
    }
    let mut swapped = clones(&message);
    swapped.swap(2, 3);
    assert!(
        ToZone::decode(&bytes, swapped).is_err(),
        "a writable base image, a read-only overlay"
    );
    for count in [0, 1, 3, 5] {
        let fds = (0..count).map(|_| support::read_only()).collect();
        let error =
            ToZone::decode(&bytes, fds).expect_err("a wrong number of descriptors was taken");
        assert_eq!(
            error,
            ProtocolError::DescriptorCount {
                message: "Start",
                expected: 4,
                found: count
            }
        );
    }
    let size = Size::new(8, 8).unwrap();
    let surface = ToZone::Surface {
        generation: Generation(1),
        size,
        memory: support::surface(size),
    };
    let bytes = encoded_to_zone(&surface);
    assert!(ToZone::decode(&bytes, clones(&surface)).is_ok());
    let other_size = support::surface(Size::new(8, 9).unwrap());
    for wrong in [
        other_size,
        support::writable(),
        support::read_only(),
        support::stream(),
    ] {
        assert!(matches!(
            ToZone::decode(&bytes, vec![wrong]),
            Err(ProtocolError::DescriptorKind { .. })
        ));
    }
    let dial = encoded_to_zone(&ToZone::StreamDial {
        id: StreamId(1),
        port: 1,
        socket: support::stream(),
    });
    assert!(ToZone::decode(&dial, vec![support::stream()]).is_ok());
    assert!(ToZone::decode(&dial, vec![support::datagram()]).is_err());
    assert!(ToZone::decode(&encoded_to_zone(&ToZone::Power), vec![support::stream()]).is_err());
    assert_eq!(
        FromZone::decode(&encoded(&FromZone::CursorHidden), vec![support::stream()]),
        Err(ProtocolError::SurplusDescriptors)
    );
}

#[test]
fn sizes_out_of_range_cannot_be_made() {
    for (width, height) in [
        (0, 1),
        (1, 0),
        (8193, 1),
        (1, 8193),
        (u32::MAX, u32::MAX),
        (1 << 31, 2),
    ] {
        assert!(Size::new(width, height).is_none());
    }
    assert_eq!(Size::new(8192, 8192).unwrap().bytes(), 256 << 20);
}

#[test]
fn names_and_texts_hold_only_what_they_may() {
    for bad in [
        "",
        "Corp",
        "1zone",
        "-a",
        "a-",
        "a_b",
        "a b",
        "a\u{202e}b",
        &"a".repeat(49),
    ] {
        assert!(ZoneName::new(bad).is_none(), "{bad:?} was taken");
    }
    assert!(ZoneName::new("open-2").is_some());
    assert_eq!(Text::lossy("a\u{1b}[31m\nb\u{202e}").as_str(), "a?[31m?b?");
    assert_eq!(
        Text::lossy(&"x".repeat(1 << 20)).as_str().len(),
        limits::TEXT_BYTES
    );
}
