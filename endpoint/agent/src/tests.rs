//! A stock agent's bytes, written down from `vd_agent.h`, and what a hostile one might send.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

fn message(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap();
    let mut bytes = Vec::new();
    for number in [1, kind, 0, 0, size] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(body);
    bytes
}

fn chunk(port: u32, bytes: &[u8]) -> Vec<u8> {
    let mut chunk = port.to_le_bytes().to_vec();
    chunk.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    chunk.extend(bytes);
    chunk
}

/// One message in one chunk, as vdagentd sends it.
fn sent(kind: u32, body: &[u8]) -> Vec<u8> {
    chunk(1, &message(kind, body))
}

fn data(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let body = [&[0, 0, 0, 0], &kind.to_le_bytes()[..], bytes].concat();
    sent(4, &body)
}

fn asked(limit: usize) -> Agent {
    let mut agent = Agent::new(limit);
    agent.request(ClipKind::Text);
    agent.take_output(4096);
    agent
}

fn text(text: &str) -> Contents {
    Contents::new(ClipKind::Text, Zeroizing::new(text.as_bytes().to_vec())).unwrap()
}

#[test]
fn an_agent_announces_and_is_answered_without_being_asked_again() {
    let mut agent = Agent::new(100);
    assert!(!agent.is_able());
    // request = 1, capabilities of spice-vdagent 0.22.
    let caps = [1_u32.to_le_bytes(), 0x2_f0e7_u32.to_le_bytes()].concat();
    assert_eq!(agent.receive(&sent(6, &caps)).unwrap(), []);
    assert!(agent.is_able());
    let answer = [0_u32.to_le_bytes(), 0x60_u32.to_le_bytes()].concat();
    assert_eq!(*agent.take_output(4096), sent(6, &answer));
    assert!(!agent.has_output());
    let caps = [0_u32.to_le_bytes(), 0x8_u32.to_le_bytes()].concat();
    agent.receive(&sent(6, &caps)).unwrap();
    assert!(!agent.is_able() && !agent.has_output());
}

#[test]
fn a_copy_is_asked_for_and_brought() {
    let mut agent = Agent::new(100);
    // Kinds that are not handled (a list of files, nonsense) are left out.
    let grab = [[0, 0, 0, 0], [6, 0, 0, 0], [1, 0, 0, 0], [9, 9, 9, 9]].concat();
    let events = agent.receive(&sent(7, &grab)).unwrap();
    assert_eq!(events, [Event::Copied(vec![ClipKind::Text])]);
    agent.request(ClipKind::Text);
    assert_eq!(*agent.take_output(4096), sent(8, &[0, 0, 0, 0, 1, 0, 0, 0]));
    let events = agent.receive(&data(1, "grüße".as_bytes())).unwrap();
    assert_eq!(events, [Event::Data(text("grüße"))]);
    // A second answer to one question is nobody's business.
    assert_eq!(agent.receive(&data(1, b"more")).unwrap(), []);
    assert_eq!(agent.receive(&sent(9, &[0; 4])).unwrap(), [Event::Released]);
}

#[test]
fn what_the_pointer_marked_stays_in_the_guest() {
    let mut agent = asked(100);
    let grab = [[1, 0, 0, 0], [1, 0, 0, 0]].concat();
    assert_eq!(agent.receive(&sent(7, &grab)).unwrap(), []);
    let primary = [&[1, 0, 0, 0, 1, 0, 0, 0][..], b"marked"].concat();
    assert_eq!(agent.receive(&sent(4, &primary)).unwrap(), []);
}

#[test]
fn an_offer_is_delivered_in_chunks_that_the_guest_takes() {
    let mut agent = Agent::new(100);
    agent.offer(ClipKind::Text);
    assert_eq!(*agent.take_output(4096), sent(7, &[0, 0, 0, 0, 1, 0, 0, 0]));
    let wanted = agent.receive(&sent(8, &[0, 0, 0, 0, 1, 0, 0, 0])).unwrap();
    assert_eq!(wanted, [Event::Wanted(ClipKind::Text)]);
    let long = "x".repeat(5000);
    agent.provide(&text(&long));
    let mut bytes = Vec::new();
    while agent.has_output() {
        let piece = agent.take_output(700);
        assert!(!piece.is_empty() && piece.len() <= 700);
        bytes.extend_from_slice(&piece);
    }
    let whole = message(4, &[&[0, 0, 0, 0, 1, 0, 0, 0], long.as_bytes()].concat());
    let chunks: Vec<u8> = whole.chunks(2048).flat_map(|part| chunk(1, part)).collect();
    assert_eq!(bytes, chunks);
    // What is not offered in that form is answered, so that no program waits.
    assert_eq!(
        agent.receive(&sent(8, &[0, 0, 0, 0, 6, 0, 0, 0])).unwrap(),
        []
    );
    assert_eq!(*agent.take_output(4096), data(0, b""));
    agent.withdraw();
    assert_eq!(*agent.take_output(4096), sent(9, &[0; 4]));
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    let cases: [(u32, &[u8], ContentsError); 6] = [
        (1, b"\xff\xfe", ContentsError::NotWhatItSays(ClipKind::Text)),
        (1, b"a\0b", ContentsError::NotWhatItSays(ClipKind::Text)),
        (
            1,
            b"good then \xf0\x28",
            ContentsError::NotWhatItSays(ClipKind::Text),
        ),
        (2, b"\x89PNG\r\n\x1a\n", ContentsError::OtherKind),
        (1, b"", ContentsError::Nothing),
        (0, b"", ContentsError::Nothing),
    ];
    for (kind, bytes, error) in cases {
        let events = asked(100).receive(&data(kind, bytes)).unwrap();
        assert_eq!(events, [Event::Refused(error)], "{bytes:?}");
    }
    let picture = |bytes: &[u8]| Contents::new(ClipKind::Jpeg, Zeroizing::new(bytes.to_vec()));
    assert!(picture(b"\xff\xd8\xff\xe0...").is_ok());
    assert!(picture(b"<svg onload='...'>").is_err());
}

#[test]
fn lengths_that_lie_allocate_nothing_and_end_nothing() {
    // Says 4 GiB, asked for: skipped as it comes.
    let mut agent = asked(100);
    let mut lie = message(4, &[0, 0, 0, 0, 1, 0, 0, 0]);
    lie[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(agent.receive(&chunk(1, &lie)).unwrap(), []);
    assert_eq!(agent.receive(&chunk(1, &[b'x'; 4000])).unwrap(), []);
    // One more than allowed is told, and the stream goes on.
    let mut agent = asked(4);
    let events = agent.receive(&data(1, b"12345")).unwrap();
    let error = ContentsError::TooLarge { found: 5, limit: 4 };
    assert_eq!(events, [Event::Refused(error)]);
    agent.request(ClipKind::Text);
    let events = agent.receive(&data(1, b"1234")).unwrap();
    assert_eq!(events, [Event::Data(text("1234"))]);
    // A long grab is skipped.
    assert_eq!(agent.receive(&sent(7, &[0; 100_000])).unwrap(), []);
}

#[test]
fn who_breaks_the_protocol_is_found() {
    let agent = || Agent::new(100);
    assert_eq!(agent().receive(&chunk(3, b"x")), Err(AgentError::Port(3)));
    let mut other = sent(6, &[0; 8]);
    other[8] = 2;
    assert_eq!(agent().receive(&other), Err(AgentError::Protocol(2)));
    for (kind, size) in [(4, 7), (6, 3), (7, 0), (7, 6), (8, 4), (9, 0)] {
        let body = vec![0; usize::try_from(size).unwrap()];
        let error = AgentError::Size { kind, size };
        assert_eq!(asked(100).receive(&sent(kind, &body)), Err(error));
    }
    // What is not known is not wrong.
    assert_eq!(agent().receive(&sent(999, &[0; 3])), Ok(vec![]));
    assert_eq!(agent().receive(&chunk(2, &message(3, &[0; 8]))), Ok(vec![]));
}

#[test]
fn an_agent_that_asks_without_reading_costs_no_more_than_a_little() {
    let mut agent = Agent::new(100);
    for _ in 0..10_000 {
        agent.receive(&sent(6, &[1, 0, 0, 0])).unwrap();
    }
    assert!(agent.take_output(1 << 20).len() < 4096);
}

#[test]
fn escapes_are_taken_out_of_text() {
    let nasty = "a\u{1b}[2Jb\r\nc\td\u{202e}e\u{200b}f\u{9b}g\u{7f}";
    assert_eq!(text(nasty).without_escapes().bytes(), b"a[2Jb\nc\tdefg");
    assert_eq!(
        format!("{:?}", text("secret")),
        "Contents(text/plain, 6 bytes)"
    );
}

proptest! {
    /// How a stream is cut into pieces makes no difference.
    #[test]
    fn pieces_make_no_difference(cuts in prop::collection::vec(1_usize..40, 1..80), chunks in 1_usize..64) {
        let whole = [
            message(6, &[0, 0, 0, 0, 0x60, 0, 0, 0]),
            message(7, &[0, 0, 0, 0, 1, 0, 0, 0]),
            message(4, &[&[0, 0, 0, 0, 1, 0, 0, 0][..], b"what was copied"].concat()),
            message(77, &[5; 50]),
            message(9, &[0; 4]),
        ].concat();
        let stream: Vec<u8> = whole.chunks(chunks).flat_map(|part| chunk(1, part)).collect();
        let mut at_once = asked(100);
        let expected = at_once.receive(&stream).unwrap();
        prop_assert_eq!(expected.len(), 3);
        let mut agent = asked(100);
        let mut events = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(cut.min(rest.len()));
            events.extend(agent.receive(piece).unwrap());
            rest = later;
        }
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::fuzz_stream(&bytes);
    }
}
