//! A zone process without a machine: it paints its surface in its own colour, writes down on its console what it is sent, and, when
//! told so by `--behave`, attacks.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use zone_jail::Layer;
use zone_link::{
    CursorImage, FromZone, Generation, Hello, LayerName, MissingLayer, Port, PortBytes, Rect, Size,
    StreamId, SurfaceWriter, Text, ToZone, ZoneLink, ZoneState, limits,
};

/// The colour that a zone fills its surface with.
pub(crate) fn colour_of(zone: &str) -> u32 {
    match zone {
        "open" => 0x0022_8833,
        "corp" => 0x0088_2233,
        _ => 0x0044_4444,
    }
}

/// Messages of `vd_agent.h`.
const AGENT_DATA: u32 = 4;
const AGENT_CAPABILITIES: u32 = 6;
const AGENT_GRAB: u32 = 7;
const AGENT_REQUEST: u32 = 8;
const AGENT_RELEASE: u32 = 9;
const AGENT_FILE_START: u32 = 10;
const AGENT_FILE_STATUS: u32 = 11;
const AGENT_FILE_DATA: u32 = 12;

/// The key by which a fake zone's user offers a file.
pub(crate) const KEY_F: u16 = 33;
/// The keys by which it copies and pastes.
pub(crate) const KEY_C: u16 = 46;
pub(crate) const KEY_V: u16 = 47;

/// The key by which a fake zone sends the machine to sleep; only in a virtual machine of a test may it.
const KEY_SLEEP: u16 = 67;

/// Side of the square that a key paints.
pub(crate) const SQUARE: u32 = 8;
/// Its colour.
pub(crate) const INK: u32 = 0x00ff_ffff;

/// What a zone's user copies with the C key.
pub(crate) const COPIED: &str = "hello \u{1b}[2J";

struct Fake {
    link: ZoneLink,
    behave: String,
    zone: String,
    surface: Option<(Generation, SurfaceWriter)>,
    keys: u32,
    /// Messages since it lost the keyboard.
    heard: u32,
    /// What came for the agent and is not a whole chunk yet.
    agent: Vec<u8>,
}

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = value("--link-fd").unwrap().parse().unwrap();
    // SAFETY: the endpoint gave this process the descriptor of that number to own, and nothing else here knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let behave = value("--behave").unwrap_or_default();
    match behave.as_str() {
        "no-jail" => {
            eprintln!("bulkhead-zone: the jail door is stuck");
            return ExitCode::from(3);
        }
        "dies-at-once" => std::process::abort(),
        _ => {}
    }
    let link = ZoneLink::from_socket(socket).unwrap();
    Fake {
        link,
        behave,
        zone: String::new(),
        surface: None,
        keys: 0,
        heard: 0,
        agent: Vec::new(),
    }
    .run();
    ExitCode::SUCCESS
}

impl Fake {
    fn run(mut self) {
        if self.behave == "state-before-hello" {
            self.say(FromZone::State(ZoneState::Running));
        }
        self.say(FromZone::Hello(self.hello()));
        if self.behave == "frame-before-start" {
            self.say(frame(Generation(1), &[(0, 0, 1, 1)]));
        }
        while let Ok(Some(message)) = self.link.recv() {
            self.hear(message);
            if self.behave == "never-reads" && self.surface.is_some() {
                loop {
                    std::thread::park();
                }
            }
        }
    }

    fn hello(&self) -> Hello {
        let missing: &[Layer] = match self.behave.as_str() {
            "weak-jail" => &[Layer::EmptyRoot, Layer::LandlockNetwork],
            "no-seccomp" => &[Layer::Seccomp],
            _ => &[],
        };
        let name = |layer: Layer| LayerName::new(layer.name()).unwrap();
        Hello {
            in_force: Layer::ALL
                .into_iter()
                .filter(|layer| !missing.contains(layer))
                .map(name)
                .collect(),
            missing: missing
                .iter()
                .map(|layer| MissingLayer {
                    layer: name(*layer),
                    reason: Text::lossy("not here"),
                })
                .collect(),
        }
    }

    fn hear(&mut self, message: ToZone) {
        self.heard += 1;
        match message {
            ToZone::Start(config) => {
                self.zone = config.zone.to_string();
                let volumes = config.volumes.len();
                self.say(FromZone::State(ZoneState::Starting));
                self.write(&format!(
                    "start {} {} MiB {} harts {volumes} volumes\n",
                    config.zone, config.memory_mib, config.harts
                ));
                self.write(&format!("command line: {}\n", config.command_line));
            }
            ToZone::Surface {
                generation,
                size,
                memory,
            } => self.take_surface(generation, size, &memory),
            ToZone::Key { code, pressed } => {
                self.write(&format!(
                    "key {code} {}\n",
                    if pressed { "down" } else { "up" }
                ));
                if pressed {
                    self.paint_square();
                    match code {
                        KEY_SLEEP => send_machine_to_sleep(),
                        KEY_C => self.copy(),
                        KEY_F => self.offer_file(),
                        KEY_V => self.tell(AGENT_REQUEST, &[0, 0, 0, 0, 1, 0, 0, 0]),
                        _ => {}
                    }
                }
            }
            ToZone::PortData {
                port: Port::Outbox,
                data,
            } => match data.as_slice() {
                b"send\n" => {
                    self.write("file fetched\n");
                    self.outbox(match self.behave.as_str() {
                        "brings-a-larger-file" => "+aGVsbG8gaGVsbG8=\nend\n",
                        "brings-no-text" => "+aGVsAG8=\nend\n",
                        "brings-half-a-file" => "+aGVs\nwithdraw\n",
                        _ => "+aGVs\n+bG8=\nend\n",
                    });
                }
                other => self.write(&format!("outbox: {}", String::from_utf8_lossy(other))),
            },
            ToZone::PortData {
                port: Port::Agent,
                data,
            } => {
                self.agent.extend_from_slice(data.as_slice());
                self.say(FromZone::PortCredit {
                    port: Port::Agent,
                    bytes: data.length(),
                });
                self.hear_agent();
            }
            ToZone::PointerMotion { x, y } => self.write(&format!("pointer {x} {y}\n")),
            ToZone::PointerButton { code, pressed } => {
                self.write(&format!("button {code:#x} {pressed}\n"));
            }
            ToZone::Wheel {
                vertical,
                horizontal,
            } => self.write(&format!("wheel {vertical} {horizontal}\n")),
            // Whatever it says is credited by a message: it says nothing until it has the keyboard again.
            ToZone::Focus(false) if self.behave == "listens" => self.heard = 0,
            ToZone::Focus(true) if self.behave == "listens" => {
                self.write(&format!("heard {} more\n", self.heard - 1));
            }
            ToZone::Focus(focused) => self.write(&format!("focus {focused}\n")),
            ToZone::StreamRefuse { id } => {
                self.write(&format!("refused {}\n", id.0));
                if self.behave == "connects-often" && id.0 < 300 {
                    self.say(FromZone::StreamRequest {
                        id: StreamId(id.0 + 1),
                        port: 443,
                    });
                }
            }
            ToZone::Power if self.behave == "ignores-power" => self.write("power, no thanks\n"),
            ToZone::Power => {
                self.say(FromZone::State(ZoneState::Off));
                std::process::exit(0);
            }
            _ => {}
        }
    }

    fn take_surface(&mut self, generation: Generation, size: Size, memory: &OwnedFd) {
        if let (Some((old, _)), "keeps-its-size") = (&self.surface, self.behave.as_str()) {
            self.say(frame(*old, &[(0, 0, 1, 1)]));
            return self.write("no other size\n");
        }
        if self.behave == "never-draws" {
            self.say(FromZone::State(ZoneState::Running));
            return self.write("drew nothing\n");
        }
        let writer = SurfaceWriter::new(memory.as_fd(), size).unwrap();
        let row = vec![colour_of(&self.zone); usize::try_from(size.width()).unwrap()];
        for y in 0..size.height() {
            assert!(writer.write_row(y, 0, &row));
        }
        let first = self.surface.is_none();
        self.surface = Some((generation, writer));
        if first {
            self.say(FromZone::State(ZoneState::Running));
        }
        self.write(&format!("surface {} x {}\n", size.width(), size.height()));
        self.say(frame(generation, &[(0, 0, size.width(), size.height())]));
        if first {
            let cursor = CursorImage::new(4, 4, 1, 1, vec![0xffff_ffff; 16]).unwrap();
            self.say(FromZone::Cursor(cursor));
            // In two pieces, as a serial line would bring it.
            self.say(FromZone::PortData {
                port: Port::State,
                data: PortBytes::new(b"rea").unwrap(),
            });
            self.say(FromZone::PortData {
                port: Port::State,
                data: PortBytes::new(b"dy\n").unwrap(),
            });
            // Asks for the host's capabilities; can do "by demand" and "selections", as the stock agent.
            self.tell(AGENT_CAPABILITIES, &[1, 0, 0, 0, 0x60, 0, 0, 0]);
            self.misbehave(generation, memory);
        }
    }

    /// As the stock agent does when something was copied. Each behaviour has its own kind of clip.
    fn copy(&mut self) {
        let kind = match self.behave.as_str() {
            "copies-a-picture" => 2,
            _ => 1,
        };
        self.tell(AGENT_GRAB, &[0, 0, 0, 0, kind, 0, 0, 0]);
        self.write("copied\n");
    }

    /// As the session's own tool does. Each behaviour has its own kind of file.
    fn offer_file(&mut self) {
        self.outbox(match self.behave.as_str() {
            "offers-a-path" => "offer 5 ../../.bashrc\n",
            "offers-too-much" => "offer 99999999999 note.txt\n",
            _ => "\noffer 5 note.txt\n",
        });
        self.write("offered\n");
    }

    fn outbox(&self, lines: &str) {
        self.say(FromZone::PortData {
            port: Port::Outbox,
            data: PortBytes::new(lines.as_bytes()).unwrap(),
        });
    }

    /// As the stock agent does with a file.
    fn take_file(&mut self, kind: u32, body: &[u8]) {
        let id = body[..4].to_vec();
        let status = |status: u32| [id.clone(), status.to_le_bytes().to_vec()].concat();
        if kind == AGENT_FILE_START {
            let about = String::from_utf8_lossy(&body[4..]).replace('\n', " ");
            self.write(&format!("file: {}\n", about.trim_end_matches('\0')));
            match self.behave.as_str() {
                "has-no-room" => self.tell(AGENT_FILE_STATUS, &status(4)),
                "takes-nothing" => {}
                "takes-too-soon" => self.tell(AGENT_FILE_STATUS, &status(3)),
                _ => self.tell(AGENT_FILE_STATUS, &status(0)),
            }
        } else {
            let text = String::from_utf8_lossy(&body[12..]).into_owned();
            self.write(&format!("file bytes: {text:?}\n"));
            self.tell(AGENT_FILE_STATUS, &status(3));
        }
    }

    fn hear_agent(&mut self) {
        // A message is one chunk, as long as it is short.
        while let Some((head, rest)) = self.agent.split_at_checked(8) {
            let size = u32::from_le_bytes(head[4..].try_into().unwrap());
            let size = usize::try_from(size).unwrap();
            let Some((message, rest)) = rest.split_at_checked(size) else {
                return;
            };
            let (message, rest) = (message.to_vec(), rest.to_vec());
            self.agent = rest;
            let kind = u32::from_le_bytes(message[4..8].try_into().unwrap());
            let body = message.get(20..).unwrap_or_default();
            match kind {
                AGENT_CAPABILITIES => self.write("agent answered\n"),
                AGENT_GRAB => self.write("clipboard offered\n"),
                AGENT_RELEASE => self.write("clipboard taken back\n"),
                AGENT_REQUEST => self.bring(),
                AGENT_DATA if body[4..8] == [0; 4] => self.write("pasted nothing\n"),
                AGENT_DATA => {
                    let text = String::from_utf8_lossy(&body[8..]).into_owned();
                    self.write(&format!("pasted {} bytes: {text:?}\n", body.len() - 8));
                }
                AGENT_FILE_START | AGENT_FILE_DATA => {
                    let body = body.to_vec();
                    self.take_file(kind, &body);
                }
                AGENT_FILE_STATUS => self.write("file called off\n"),
                other => panic!("the host sent a message of kind {other}"),
            }
        }
    }

    /// The host wants what was copied.
    fn bring(&mut self) {
        let head = |kind: u8| vec![0, 0, 0, 0, kind, 0, 0, 0];
        let bytes = match self.behave.as_str() {
            "brings-nothing" => return self.write("fetched\n"),
            "brings-garbage" => [head(1), b"good, then \xf0\x28".to_vec()].concat(),
            "brings-much" => [head(1), vec![b'x'; 3000]].concat(),
            "brings-another-kind" => [head(2), b"\x89PNG\r\n\x1a\n".to_vec()].concat(),
            "copies-a-picture" => [head(2), b"\x89PNG\r\n\x1a\n...".to_vec()].concat(),
            "brings-lies" => {
                self.write("fetched\n");
                return self.say(FromZone::PortData {
                    port: Port::Agent,
                    data: PortBytes::new(&[9; 100]).unwrap(),
                });
            }
            _ => [head(1), COPIED.as_bytes().to_vec()].concat(),
        };
        self.tell(AGENT_DATA, &bytes);
        self.write("fetched\n");
    }

    /// A message of the agent, in one chunk, as the stock agent sends it.
    fn tell(&self, kind: u32, body: &[u8]) {
        let size = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
        let bytes = [
            &1_u32.to_le_bytes()[..],
            &size(body.len() + 20),
            &1_u32.to_le_bytes(),
            &kind.to_le_bytes(),
            &[0; 8],
            &size(body.len()),
            body,
        ]
        .concat();
        for piece in bytes.chunks(limits::PORT_DATA_BYTES) {
            self.say(FromZone::PortData {
                port: Port::Agent,
                data: PortBytes::new(piece).unwrap(),
            });
        }
    }

    fn paint_square(&mut self) {
        let Some((generation, writer)) = &self.surface else {
            return;
        };
        let x = self.keys * SQUARE % (writer.size().width() - SQUARE);
        for y in 0..SQUARE {
            assert!(writer.write_row(y, x, &[INK; SQUARE as usize]));
        }
        let generation = *generation;
        self.keys += 1;
        self.say(frame(generation, &[(x, 0, SQUARE, SQUARE)]));
    }

    fn misbehave(&mut self, generation: Generation, memory: &OwnedFd) {
        let good = encoded(&frame(generation, &[(0, 0, 1, 1)]));
        match self.behave.as_str() {
            "hello-twice" => self.say(FromZone::Hello(self.hello())),
            "frame-of-nothing" => self.say(frame(Generation(generation.0 + 1), &[(0, 0, 1, 1)])),
            "other-version" => self.send_raw(&[&[9, 0], &good[2..]].concat(), &[]),
            "unknown-kind" => self.send_raw(&[&good[..2], &[0xff, 0xff], &good[4..]].concat(), &[]),
            "one-byte" => self.send_raw(&good[..1], &[]),
            "short-body" => self.send_raw(&good[..good.len() - 1], &[]),
            "long-body" => self.send_raw(&[&good[..], &[0]].concat(), &[]),
            "length-of-4-gib" => self.send_raw(&[&good[..4], &[0xff; 4], &good[8..]].concat(), &[]),
            "too-long" => self.send_raw(&vec![1; limits::MESSAGE_BYTES + 1], &[]),
            "million-rectangles" => {
                let mut bytes = encoded(&frame(generation, &[(0, 0, 1, 1); 16]));
                bytes.extend_from_slice(&[0; 16]);
                let length = u32::try_from(bytes.len() - 8).unwrap();
                bytes[4..8].copy_from_slice(&length.to_le_bytes());
                self.send_raw(&bytes, &[]);
            }
            "injects-input" => {
                let mut bytes = Vec::new();
                ToZone::Key {
                    code: 28,
                    pressed: true,
                }
                .encode(&mut bytes)
                .unwrap();
                self.send_raw(&bytes, &[]);
            }
            "sends-a-device" => {
                self.send_raw(&good, &[std::fs::File::open("/dev/null").unwrap().into()]);
            }
            "sends-its-surface" => self.send_raw(&good, &[memory.try_clone().unwrap()]),
            "sends-many-descriptors" => {
                let gifts: Vec<OwnedFd> = (0..60)
                    .map(|_| std::fs::File::open("/").unwrap().into())
                    .collect();
                self.send_raw(&good, &gifts);
            }
            "escapes-in-its-reason" => {
                // State(Failed), then a reason with a line feed.
                let body = [&[5_u8][..], &[4, 0], b"a\nb!"].concat();
                let mut bytes = vec![1, 0, 2, 1];
                bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
                bytes.extend(body);
                self.send_raw(&bytes, &[]);
            }
            "beyond-its-credit" => {
                let data = PortBytes::new(&[b'x'; limits::PORT_DATA_BYTES]).unwrap();
                // The agent's port is granted as it is read, so outrun it: all at once, without waiting for a grant.
                for _ in 0..=2 * limits::PORT_CREDIT / 4096 {
                    self.say(FromZone::PortData {
                        port: Port::Agent,
                        data: data.clone(),
                    });
                }
            }
            "grants-too-much" => self.say(FromZone::PortCredit {
                port: Port::Console,
                bytes: 1,
            }),
            "speaks-after-its-end" => {
                self.say(FromZone::State(ZoneState::Off));
                self.say(FromZone::State(ZoneState::Running));
            }
            "wild-damage" => {
                let most = u32::MAX;
                self.say(frame(
                    generation,
                    &[(most, most, most, most), (0, 0, most, most), (5, 5, 0, 0)],
                ));
                self.write("still here\n");
            }
            "floods" => loop {
                self.say(FromZone::CursorHidden);
            },
            "shrinks-its-surface" => {
                let shrunk = rustix::fs::ftruncate(memory, 0).is_ok();
                let punched =
                    rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
                let punched = rustix::fs::fallocate(memory, punched, 0, 1 << 20).is_ok();
                self.write(&format!("shrunk {shrunk}, punched {punched}\n"));
                self.say(frame(generation, &[(0, 0, 10_000, 10_000)]));
            }
            "flaps" => self.say(FromZone::State(ZoneState::Starting)),
            "copies-at-once" => self.copy(),
            "connects" | "connects-often" => self.say(FromZone::StreamRequest {
                id: StreamId(7),
                port: 443,
            }),
            "panics" => self.say(FromZone::State(ZoneState::Panicked)),
            "restarts" => {
                self.say(FromZone::State(ZoneState::Reset));
                std::process::exit(0);
            }
            "fails" => {
                self.say(FromZone::State(ZoneState::Failed(Text::lossy(
                    "the disk is on fire",
                ))));
                std::process::exit(1);
            }
            "crashes" => {
                eprintln!("thread 'hart-0' panicked: \u{1b}[31mred\u{1b}[0m");
                std::process::abort();
            }
            "hangs-up" => {
                // The endpoint sees the end of the link while the process goes on.
                rustix::net::shutdown(&self.link, rustix::net::Shutdown::Both).unwrap();
                loop {
                    std::thread::park();
                }
            }
            "babbles" => {
                for _ in 0..2000 {
                    eprintln!("\u{1b}[2J\u{1b}]0;owned\u{7}{}", "x".repeat(200));
                }
                self.write("babbled\n");
            }
            _ => {}
        }
    }

    /// The endpoint may have killed the link; a zone that is gone has nothing to complain about.
    fn say(&self, message: FromZone) {
        if self.link.send(&message).is_err() {
            std::process::exit(0);
        }
    }

    fn write(&self, text: &str) {
        self.say(FromZone::PortData {
            port: Port::Console,
            data: PortBytes::new(text.as_bytes()).unwrap(),
        });
    }

    fn send_raw(&self, bytes: &[u8], fds: &[OwnedFd]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        if let Err(errno) = sendmsg(
            &self.link,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            eprintln!(
                "sending on {} failed: {errno}",
                self.link.as_fd().as_raw_fd()
            );
        }
        // Whatever comes of it comes to this process; stay for it.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has the machine sleep, as closing a lid does.
fn send_machine_to_sleep() {
    let slept = std::fs::write("/sys/power/state", "mem");
    eprintln!("sleep: {slept:?}");
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

fn encoded(message: &FromZone) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}
