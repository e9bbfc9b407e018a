//! Two sides over a real connection of this machine, and peers that are none.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;

use super::*;

fn wires() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

fn keys() -> (Key, Key) {
    (Key::generate().unwrap(), Key::generate().unwrap())
}

/// Both sides do their handshakes, each expecting what it is told.
fn meet(endpoint_expects: Option<Pin>, agent_expects: Option<Pin>) -> [Result<Link, TlsError>; 2] {
    let (endpoint, agent) = keys();
    let (here, there) = wires();
    let (expects, expected) = (
        endpoint_expects.unwrap_or(agent.pin()),
        agent_expects.unwrap_or(endpoint.pin()),
    );
    std::thread::scope(|scope| {
        let accepted = scope.spawn(|| Link::accept(there, &agent, expected));
        let connected = Link::connect(here, &endpoint, expects);
        [connected, accepted.join().unwrap()]
    })
}

#[test]
fn bytes_go_both_ways_between_those_who_know_each_other() {
    let [endpoint, agent] = meet(None, None).map(Result::unwrap);
    let (mut here, one) = UnixStream::pair().unwrap();
    let (mut there, other) = UnixStream::pair().unwrap();
    let long: Vec<u8> = (0..4_000_000u32).map(|at| at.to_le_bytes()[1]).collect();
    std::thread::scope(|scope| {
        let carriers = [
            scope.spawn(|| endpoint.carry(one)),
            scope.spawn(|| agent.carry(other)),
        ];
        for round in 0..50u32 {
            let report = [u8::try_from(round).unwrap(); 20];
            let mut got = [0; 20];
            here.write_all(&report).unwrap();
            there.read_exact(&mut got).unwrap();
            assert_eq!(got, report);
            there.write_all(&report[..7]).unwrap();
            here.read_exact(&mut got[..7]).unwrap();
        }
        // More than any buffer holds, while nobody reads: it waits and arrives whole.
        let writer = {
            let (mut here, long) = (here.try_clone().unwrap(), &long);
            scope.spawn(move || here.write_all(long).unwrap())
        };
        std::thread::sleep(Duration::from_millis(200));
        let mut got = vec![0; long.len()];
        there.read_exact(&mut got).unwrap();
        writer.join().unwrap();
        assert!(got == long);
        // An idle link stays.
        std::thread::sleep(Duration::from_millis(500));
        here.write_all(b"x").unwrap();
        there.read_exact(&mut got[..1]).unwrap();
        // An end is an end on the other side, too.
        drop(here);
        assert_eq!(there.read(&mut got).unwrap(), 0);
        for carrier in carriers {
            carrier.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_wrong_key_is_refused_on_either_side_and_named() {
    let stranger = Key::generate().unwrap().pin();
    let [endpoint, _] = meet(Some(stranger), None);
    let error = endpoint.unwrap_err();
    assert!(
        matches!(error, TlsError::WrongPin(pin) if pin != stranger),
        "{error}"
    );
    let [_, agent] = meet(None, Some(stranger));
    let error = agent.unwrap_err();
    assert!(matches!(error, TlsError::WrongPin(_)), "{error}");
}

#[test]
fn a_client_that_the_agent_refuses_gets_nothing_through() {
    let stranger = Key::generate().unwrap().pin();
    let [endpoint, agent] = meet(None, Some(stranger));
    agent.unwrap_err();
    // In TLS 1.3 the client learns of it with the first bytes that it reads.
    let error = match endpoint {
        Ok(link) => {
            let (_here, plain) = UnixStream::pair().unwrap();
            link.carry(plain).unwrap_err()
        }
        Err(error) => error,
    };
    // It is told what to do about it: to have its own pin known there.
    assert!(
        matches!(error, TlsError::Unknown(pin) if pin != stranger),
        "{error:?}"
    );
}

/// A `ClientHello` as TLS 1.2 has it: no `supported_versions`, one old cipher suite.
fn old_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    // Supported groups and signature algorithms, as every client of that time sends them.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    hello
}

#[test]
fn nothing_older_than_tls_13_is_spoken() {
    let (endpoint, agent) = keys();
    let (mut here, there) = wires();
    std::thread::scope(|scope| {
        let accepted = scope.spawn(|| Link::accept(there, &agent, endpoint.pin()));
        here.write_all(&old_hello()).unwrap();
        let error = accepted.join().unwrap().unwrap_err();
        assert!(matches!(error, TlsError::Refused(_)), "{error}");
    });
    let mut alert = [0; 7];
    here.read_exact(&mut alert).unwrap();
    // Fatal, protocol_version.
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70));

    // A server that answers with TLS 1.2.
    let (here, mut there) = wires();
    std::thread::scope(|scope| {
        let connected = scope.spawn(|| Link::connect(here, &endpoint, agent.pin()));
        let mut hello = [0; 5];
        there.read_exact(&mut hello).unwrap();
        let mut answer = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
        answer.extend([9; 32]);
        answer.extend([0, 0xc0, 0x2f, 0]);
        there.write_all(&answer).unwrap();
        let error = connected.join().unwrap().unwrap_err();
        assert!(matches!(error, TlsError::Refused(_)), "{error}");
    });
}

#[test]
fn a_handshake_that_breaks_off_ends() {
    let (endpoint, agent) = keys();
    for length in [0, 1, 20] {
        let (mut here, there) = wires();
        std::thread::scope(|scope| {
            let accepted = scope.spawn(|| Link::accept(there, &agent, endpoint.pin()));
            here.write_all(&old_hello()[..length]).unwrap();
            drop(here);
            let error = accepted.join().unwrap().unwrap_err();
            assert!(matches!(error, TlsError::CutOff), "{error}");
        });
    }
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let (endpoint, agent) = keys();
    let (_silent, there) = wires();
    let begin = Instant::now();
    let error = Link::accept(there, &agent, endpoint.pin()).unwrap_err();
    assert!(matches!(error, TlsError::Late), "{error}");
    assert!(begin.elapsed() < HANDSHAKE * 2);
}

#[test]
fn an_end_is_in_good_order_while_the_peer_still_sends() {
    for sent in [1, 100, 4_000_000] {
        let [endpoint, agent] = meet(None, None).map(Result::unwrap);
        let (mut here, one) = UnixStream::pair().unwrap();
        let (mut there, other) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            let carriers = [
                scope.spawn(|| endpoint.carry(one)),
                scope.spawn(|| agent.carry(other)),
            ];
            // What this side never reads; the last of it cannot be sent at all.
            let mut sender = there.try_clone().unwrap();
            scope.spawn(move || sender.write_all(&vec![7; sent]));
            std::thread::sleep(Duration::from_millis(100));
            here.write_all(b"unplugged").unwrap();
            drop(here);
            let mut said = Vec::new();
            there.read_to_end(&mut said).unwrap();
            assert_eq!(said, b"unplugged");
            drop(there);
            for carrier in carriers {
                carrier.join().unwrap().unwrap();
            }
        });
    }
}

#[test]
fn a_connection_that_is_cut_is_no_end_in_good_order() {
    let (endpoint, agent) = keys();
    let (here, there) = wires();
    let cut = here.try_clone().unwrap();
    let [endpoint, agent] = std::thread::scope(|scope| {
        let accepted = scope.spawn(|| Link::accept(there, &agent, endpoint.pin()).unwrap());
        let connected = Link::connect(here, &endpoint, agent.pin()).unwrap();
        [connected, accepted.join().unwrap()]
    });
    let (_held, plain) = UnixStream::pair().unwrap();
    cut.shutdown(std::net::Shutdown::Both).unwrap();
    drop(endpoint);
    let error = agent.carry(plain).unwrap_err();
    assert!(
        matches!(error, TlsError::CutOff | TlsError::Socket(_)),
        "{error}"
    );
}

#[test]
fn a_key_is_made_once_and_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("new/state/usb.key");
    let made = Key::open(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(Key::open(&path).unwrap().pin(), made.pin());
    assert_eq!(made.pin().to_string().parse::<Pin>().unwrap(), made.pin());
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(Key::open(&path), Err(KeyError::Damaged(_))));
    assert!("12".parse::<Pin>().is_err() && "z".repeat(64).parse::<Pin>().is_err());
}
