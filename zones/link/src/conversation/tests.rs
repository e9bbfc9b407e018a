//! Order, credit, geometry: every rule with the message that breaks it (ATTACKS 6, 7, 20).

use super::*;
use crate::types::{LayerName, Text};

fn size() -> Size {
    Size::new(100, 50).unwrap()
}

fn frame(generation: Generation, rectangles: &[(u32, u32, u32, u32)]) -> FromZone {
    let rectangles = rectangles
        .iter()
        .map(|&(x, y, width, height)| Rect {
            x,
            y,
            width,
            height,
        })
        .collect();
    FromZone::Frame {
        generation,
        rectangles,
    }
}

fn started() -> (Conversation, Generation) {
    let mut conversation = Conversation::default();
    let hello = Hello {
        in_force: vec![LayerName::new("seccomp").unwrap()],
        missing: Vec::new(),
    };
    assert_eq!(
        conversation.accept(FromZone::Hello(hello.clone())),
        Ok(Event::Hello(hello))
    );
    assert!(conversation.start());
    let generation = conversation.offer_surface(size());
    (conversation, generation)
}

fn port_data(port: Port, length: usize) -> FromZone {
    FromZone::PortData {
        port,
        data: PortBytes::new(&vec![b'x'; length]).unwrap(),
    }
}

#[test]
fn hello_comes_first_and_once() {
    let mut conversation = Conversation::default();
    assert!(!conversation.start(), "Start waits for Hello");
    for early in [
        FromZone::CursorHidden,
        FromZone::State(ZoneState::Running),
        port_data(Port::Console, 1),
    ] {
        let name = early.name();
        assert_eq!(
            conversation.accept(early),
            Err(ProtocolError::Order {
                message: name,
                when: "before Hello"
            })
        );
    }
    let (mut conversation, _) = started();
    assert!(!conversation.start(), "Start goes out once");
    let again = conversation.accept(FromZone::Hello(Hello::default()));
    assert_eq!(
        again,
        Err(ProtocolError::Order {
            message: "Hello",
            when: "a second time"
        })
    );
}

#[test]
fn nothing_but_a_failure_comes_before_start() {
    let mut conversation = Conversation::default();
    conversation
        .accept(FromZone::Hello(Hello::default()))
        .unwrap();
    assert!(conversation.accept(FromZone::CursorHidden).is_err());
    assert!(
        conversation
            .accept(FromZone::State(ZoneState::Running))
            .is_err()
    );
    let failed = FromZone::State(ZoneState::Failed(Text::lossy("no memory")));
    assert!(conversation.accept(failed).is_ok());
    assert!(conversation.has_ended());
}

#[test]
fn no_state_follows_the_last() {
    let (mut conversation, generation) = started();
    for state in [
        ZoneState::Starting,
        ZoneState::Running,
        ZoneState::Panicked,
        ZoneState::Reset,
        ZoneState::Starting,
        ZoneState::Running,
        ZoneState::Off,
    ] {
        assert_eq!(
            conversation.accept(FromZone::State(state.clone())),
            Ok(Event::State(state))
        );
    }
    assert_eq!(
        conversation.accept(frame(generation, &[(0, 0, 1, 1)])),
        Ok(Event::Nothing),
        "late frames are dropped"
    );
    assert!(
        conversation
            .accept(FromZone::State(ZoneState::Running))
            .is_err()
    );
}

#[test]
fn states_do_not_flap() {
    let (mut conversation, _) = started();
    let mut say = |state| conversation.accept(FromZone::State(state));
    assert!(say(ZoneState::Starting).is_ok());
    assert_eq!(say(ZoneState::Starting), Ok(Event::Nothing), "said already");
    assert!(say(ZoneState::Running).is_ok());
    assert!(say(ZoneState::Starting).is_err(), "only a reset leads back");
    assert!(say(ZoneState::Panicked).is_ok());
    assert_eq!(
        say(ZoneState::Running),
        Ok(Event::Nothing),
        "late, and it changes nothing"
    );
    assert!(say(ZoneState::Starting).is_err());
    assert!(say(ZoneState::Reset).is_ok() && say(ZoneState::Starting).is_ok());
}

#[test]
fn damage_is_clipped_to_the_surface() {
    let (mut conversation, generation) = started();
    let hostile = [
        (90, 40, 20, 20),
        (0, 0, u32::MAX, u32::MAX),
        (100, 0, 1, 1),
        (u32::MAX, u32::MAX, u32::MAX, u32::MAX),
        (5, 5, 0, 9),
        (0, 49, 1, 1),
    ];
    let Ok(Event::Damage(damage)) = conversation.accept(frame(generation, &hostile)) else {
        panic!("damage expected")
    };
    let clipped: Vec<_> = damage
        .rectangles
        .iter()
        .map(|rect| (rect.x, rect.y, rect.width, rect.height))
        .collect();
    assert_eq!(clipped, [(90, 40, 10, 10), (0, 0, 100, 50), (0, 49, 1, 1)]);
    assert_eq!(
        conversation.accept(frame(generation, &[(100, 50, 1, 1)])),
        Ok(Event::Nothing)
    );
}

#[test]
fn frames_of_unknown_surfaces_break_the_protocol_and_late_ones_are_dropped() {
    let mut early = Conversation::default();
    early.accept(FromZone::Hello(Hello::default())).unwrap();
    assert!(early.start());
    assert!(
        early.accept(frame(Generation(1), &[(0, 0, 1, 1)])).is_err(),
        "damage before a surface exists"
    );

    let (mut conversation, first) = started();
    for unknown in [0, first.0 + 1, u32::MAX] {
        let broken = conversation.accept(frame(Generation(unknown), &[(0, 0, 1, 1)]));
        assert!(
            matches!(
                broken,
                Err(ProtocolError::Order {
                    message: "Frame",
                    ..
                })
            ),
            "generation {unknown}"
        );
    }
    let is_first = |event| matches!(event, Ok(Event::Damage(Damage { first: true, .. })));
    assert!(is_first(conversation.accept(frame(first, &[(0, 0, 1, 1)]))));
    let second = conversation.offer_surface(size());
    let third = conversation.offer_surface(Size::new(10, 10).unwrap());
    assert_eq!(conversation.live_generations(), (Some(first), Some(third)));
    assert!(
        matches!(
            conversation.accept(frame(first, &[(0, 0, 1, 1)])),
            Ok(Event::Damage(_))
        ),
        "the old one is still shown"
    );
    assert_eq!(
        conversation.accept(frame(second, &[(0, 0, 1, 1)])),
        Ok(Event::Nothing),
        "replaced before it was drawn on"
    );
    assert!(
        is_first(conversation.accept(frame(third, &[(50, 50, 1, 1)]))),
        "even a first frame outside counts"
    );
    assert_eq!(
        conversation.accept(frame(first, &[(0, 0, 1, 1)])),
        Ok(Event::Nothing),
        "replaced"
    );
    assert_eq!(conversation.live_generations(), (Some(third), None));
}

#[test]
fn credit_binds_both_sides() {
    let (mut conversation, _) = started();
    let full = limits::PORT_DATA_BYTES;
    for _ in 0..limits::PORT_CREDIT as usize / full {
        assert!(conversation.accept(port_data(Port::Console, full)).is_ok());
    }
    assert_eq!(
        conversation.accept(port_data(Port::Console, 1)),
        Err(ProtocolError::Credit { port: 0 })
    );
    assert_eq!(
        conversation.consumed(Port::Console, limits::PORT_CREDIT),
        Some(limits::PORT_CREDIT)
    );
    assert!(conversation.accept(port_data(Port::Console, 1)).is_ok());

    assert!(conversation.port_sent(Port::Agent, limits::PORT_CREDIT));
    assert!(!conversation.port_sent(Port::Agent, 1));
    let grant = |bytes| FromZone::PortCredit {
        port: Port::Agent,
        bytes,
    };
    assert_eq!(
        conversation.accept(grant(100)),
        Ok(Event::PortCredit(Port::Agent))
    );
    assert_eq!(conversation.port_room(Port::Agent), 100);
    assert!(conversation.accept(grant(limits::PORT_CREDIT)).is_err());
}

#[test]
fn stream_numbers_are_answered_once() {
    let (mut conversation, _) = started();
    let request = |id| FromZone::StreamRequest {
        id: StreamId(id),
        port: 80,
    };
    assert!(
        !conversation.answer_stream(StreamId(0)),
        "an answer to a request never made"
    );
    assert_eq!(
        conversation.accept(request(0)),
        Ok(Event::StreamRequest(StreamId(0), 80))
    );
    assert!(conversation.accept(request(0)).is_err());
    assert!(conversation.answer_stream(StreamId(0)));
    assert!(!conversation.answer_stream(StreamId(0)), "a second answer");
    for id in 0..limits::PENDING_STREAMS {
        assert!(
            conversation
                .accept(request(u32::try_from(id).unwrap()))
                .is_ok()
        );
    }
    assert!(conversation.accept(request(u32::MAX)).is_err());
}
