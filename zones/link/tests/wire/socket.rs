//! The socket itself: whole messages, descriptors that travel or are dropped by the kernel, floods, and a peer that goes away
//! (ATTACKS 1, 2, 8, 9).

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use crate::support;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use zone_link::{
    CursorImage, EndpointLink, FromZone, Generation, Link, LinkError, Port, PortBytes,
    ProtocolError, Received, Rect, Size, Surface, SurfaceWriter, ToZone, ZoneLink, ZoneState,
    limits,
};

fn pair() -> (EndpointLink, ZoneLink) {
    let (endpoint, zone) = EndpointLink::pair().unwrap();
    (endpoint, Link::from_socket(zone).unwrap())
}

fn send_raw(socket: &impl AsFd, bytes: &[u8], fds: &[OwnedFd]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    }
    sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .unwrap();
}

/// Descriptors of this process that are the memfd `name`.
fn held(name: &str) -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets
        .filter(|target| target.to_string_lossy().contains(name))
        .count()
}

fn gifts(name: &str) -> Vec<OwnedFd> {
    let gift = || rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    std::iter::repeat_with(gift).take(30).collect()
}

#[test]
fn a_surface_travels_and_its_pixels_are_shared() {
    let (endpoint, zone) = pair();
    let size = Size::new(32, 8).unwrap();
    let surface = Surface::new(size).unwrap();
    endpoint
        .send(&ToZone::Surface {
            generation: Generation(1),
            size,
            memory: surface.share().unwrap(),
        })
        .unwrap();
    let Some(ToZone::Surface {
        generation,
        size,
        memory,
    }) = zone.recv().unwrap()
    else {
        panic!("Surface expected")
    };
    let writer = SurfaceWriter::new(memory.as_fd(), size).unwrap();
    assert!(writer.write_row(7, 31, &[0x00ab_cdef]));
    zone.send(&FromZone::Frame {
        generation,
        rectangles: vec![Rect {
            x: 31,
            y: 7,
            width: 1,
            height: 1,
        }],
    })
    .unwrap();
    assert!(matches!(
        endpoint.recv().unwrap(),
        Some(FromZone::Frame { .. })
    ));
    let mut pixel = [0];
    assert!(surface.copy_row(7, 31, &mut pixel));
    assert_eq!(pixel, [0x00ab_cdef]);
}

#[test]
fn the_largest_message_fits() {
    let (endpoint, zone) = pair();
    let image = CursorImage::new(64, 64, 63, 63, vec![0x8040_2010; 4096]).unwrap();
    zone.send(&FromZone::Cursor(image.clone())).unwrap();
    assert_eq!(endpoint.recv().unwrap(), Some(FromZone::Cursor(image)));
}

#[test]
fn nothing_to_receive_is_not_the_end_and_the_end_is() {
    let (endpoint, zone) = pair();
    assert!(matches!(endpoint.try_recv().unwrap(), Received::Nothing));
    zone.send(&FromZone::State(ZoneState::Off)).unwrap();
    drop(zone);
    assert!(matches!(
        endpoint.try_recv().unwrap(),
        Received::Message(FromZone::State(ZoneState::Off))
    ));
    assert!(matches!(endpoint.try_recv().unwrap(), Received::Closed));
    assert!(endpoint.recv().unwrap().is_none());
    assert!(matches!(
        endpoint.send(&ToZone::Power),
        Err(LinkError::Closed)
    ));
}

#[test]
fn a_message_beyond_the_limit_is_an_error_and_the_empty_one_ends_the_link() {
    let (endpoint, zone) = pair();
    for bytes in [limits::MESSAGE_BYTES + 1, 100_000] {
        send_raw(&zone, &vec![1; bytes], &[]);
        assert!(matches!(
            endpoint.try_recv(),
            Err(LinkError::Protocol(ProtocolError::TooLong))
        ));
    }
    send_raw(&zone, &[], &[]);
    assert!(matches!(endpoint.try_recv(), Ok(Received::Closed)));
}

#[test]
fn one_byte_at_a_time_is_refused_at_the_first() {
    let (endpoint, zone) = pair();
    let mut bytes = Vec::new();
    FromZone::State(ZoneState::Running)
        .encode(&mut bytes)
        .unwrap();
    send_raw(&zone, &bytes[..1], &[]);
    assert!(matches!(
        endpoint.try_recv(),
        Err(LinkError::Protocol(ProtocolError::NoHeader { bytes: 1 }))
    ));
}

#[test]
fn descriptors_from_a_zone_never_arrive() {
    let (endpoint, zone) = pair();
    let mut bytes = Vec::new();
    FromZone::CursorHidden.encode(&mut bytes).unwrap();
    let gifts = gifts("gift-to-endpoint");
    for count in [1, 30] {
        send_raw(&zone, &bytes, &gifts[..count]);
        assert!(matches!(
            endpoint.try_recv(),
            Err(LinkError::Protocol(ProtocolError::SurplusDescriptors))
        ));
        assert_eq!(held("gift-to-endpoint"), gifts.len());
    }
}

#[test]
fn surplus_descriptors_to_a_zone_are_closed() {
    let (endpoint, zone) = pair();
    let mut bytes = Vec::new();
    ToZone::Power.encode(&mut bytes).unwrap();
    let gifts = gifts("gift-to-zone");
    for count in [1, ToZone::MOST_DESCRIPTORS + 1, 30] {
        send_raw(&endpoint, &bytes, &gifts[..count]);
        let error = zone
            .try_recv()
            .expect_err("surplus descriptors were accepted");
        assert!(matches!(
            error,
            LinkError::Protocol(
                ProtocolError::SurplusDescriptors | ProtocolError::DescriptorCount { .. }
            )
        ));
        assert_eq!(held("gift-to-zone"), gifts.len());
    }
}

#[test]
fn a_flood_fills_the_senders_socket_and_nothing_else() {
    let (endpoint, zone) = pair();
    let data = PortBytes::new(&[b'x'; limits::PORT_DATA_BYTES]).unwrap();
    let message = FromZone::PortData {
        port: Port::Console,
        data,
    };
    let mut sent = 0;
    while zone.try_send(&message).unwrap() {
        sent += 1;
        assert!(sent < 10_000, "the kernel buffers without bound");
    }
    let mut received = 0;
    while let Received::Message(_) = endpoint.try_recv().unwrap() {
        received += 1;
    }
    assert_eq!(received, sent);
    assert!(zone.try_send(&message).unwrap(), "room again");
}

#[test]
fn threads_share_a_sender_and_messages_stay_whole() {
    let (endpoint, zone) = pair();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let sender = zone.sender();
            scope.spawn(move || {
                let data = PortBytes::new(&[thread; 1000]).unwrap();
                for _ in 0..100 {
                    sender
                        .send(&FromZone::PortData {
                            port: Port::Console,
                            data: data.clone(),
                        })
                        .unwrap();
                }
            });
        }
        for _ in 0..400 {
            let Some(FromZone::PortData { data, .. }) = endpoint.recv().unwrap() else {
                panic!("PortData expected")
            };
            assert_eq!(data.as_slice().len(), 1000);
            assert!(data.as_slice().windows(2).all(|two| two[0] == two[1]));
        }
    });
}

#[test]
fn other_sockets_are_not_links() {
    for wrong in [
        support::stream(),
        support::datagram(),
        support::device(),
        support::read_only(),
    ] {
        assert!(matches!(
            ZoneLink::from_socket(wrong),
            Err(LinkError::NotALink)
        ));
    }
}
