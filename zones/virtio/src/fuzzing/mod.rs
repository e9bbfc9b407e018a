//! Entry points for fuzzers, one per device: any bytes are a hostile driver and an unlucky host.
//!
//! The bytes are a script of register accesses, memory writes, descriptor chains and host-side events (see `script`).
//! Each function plays it, then resets the device and uses it as an honest driver would; it panics where that no longer
//! works. Whatever the script says must end, and must not panic before.

mod script;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use rustix::fs::{MemfdFlags, SealFlags};

use self::script::{Reader, play};
use crate::block::{Blank, Block, Overlay};
use crate::console::{Console, ConsoleHandle, ConsoleSink};
use crate::gpu::{CursorImage, DAMAGE_MAX, Display, DisplaySink, Gpu, Rect, SharedSurface};
use crate::input::{Input, InputEvent, InputHandle};
use crate::rng::Rng;
use crate::testing::Driver;
use crate::vsock::{Vsock, VsockHandle, VsockHost};

/// What a script may do beyond registers and memory, and how an honest driver sees that the device works.
trait Subject {
    /// A request that is likely to mean something to the device.
    fn compose(&self, reader: &mut Reader<'_>) -> Vec<u8>;

    /// Something happens on the host's side.
    fn host(&mut self, reader: &mut Reader<'_>);

    /// Uses the device, freshly started, as it is meant to be used.
    fn check(&mut self, driver: &mut Driver);
}

fn run(data: &[u8], driver: &mut Driver, subject: &mut dyn Subject) {
    play(&mut Reader::new(data), driver, subject);
    driver.start(u64::MAX);
    subject.check(driver);
    assert!(!driver.needs_reset(), "an honest driver broke the device");
}

/// A disk under a temporary overlay.
pub fn fuzz_block(data: &[u8]) {
    let scratch = rustix::fs::memfd_create("scratch", MemfdFlags::CLOEXEC).expect("a memfd");
    let overlay =
        Overlay::temporary(Blank::new(100 * 512 + 7), scratch.into()).expect("an overlay");
    let mut driver = Driver::plug(|slot| Block::plug(slot, Box::new(overlay), "fuzz"));
    run(data, &mut driver, &mut Disk);
}

struct Disk;

impl Subject for Disk {
    fn compose(&self, reader: &mut Reader<'_>) -> Vec<u8> {
        let kind = reader.one_of(&[0, 1, 1, 4, 8, 11, 13, 13]);
        let mut request = kind.to_le_bytes().to_vec();
        request.extend([0; 4]);
        request.extend(u64::from(reader.below(102)).to_le_bytes());
        if kind == 11 || kind == 13 {
            request.extend(u64::from(reader.below(102)).to_le_bytes());
            request.extend(reader.below(20).to_le_bytes());
            request.extend(reader.below(2).to_le_bytes());
        } else if kind == 1 {
            request.extend(vec![reader.byte(); usize::from(reader.byte() % 8) * 512]);
        }
        request
    }

    fn host(&mut self, _: &mut Reader<'_>) {}

    fn check(&mut self, driver: &mut Driver) {
        let mut write = vec![1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        write.extend([0x5a; 512]);
        let (_, answer) = driver.request(0, &[&write], &[1]).expect("an answer");
        assert_eq!(answer, [0], "a write works");
        write.truncate(16);
        write[0] = 0;
        let (length, answer) = driver.request(0, &[&write], &[512, 1]).expect("an answer");
        assert_eq!(length, 513);
        assert_eq!(answer[..512], [0x5a; 512], "it can be read back");
    }
}

/// A display whose frames are checked to lie inside it.
pub fn fuzz_gpu(data: &[u8]) {
    let mut display = None;
    let size = Arc::new(Mutex::new((64, 48)));
    let mut driver = Driver::plug(|slot| {
        let sink = Box::new(FrameCheck(Arc::clone(&size)));
        let (transport, handle) = Gpu::plug(slot, surface(64, 48), 1, sink);
        display = Some(handle);
        transport
    });
    let mut subject = Screen {
        display: display.expect("was plugged"),
        size,
        generation: 1,
    };
    run(data, &mut driver, &mut subject);
}

struct Screen {
    display: Display,
    size: Arc<Mutex<(u32, u32)>>,
    generation: u32,
}

struct FrameCheck(Arc<Mutex<(u32, u32)>>);

impl DisplaySink for FrameCheck {
    fn frame(&mut self, _: u32, damage: &[Rect]) {
        let (width, height) = *self.0.lock().expect("not poisoned");
        assert!((1..=DAMAGE_MAX).contains(&damage.len()));
        assert!(
            damage
                .iter()
                .all(|rect| !rect.is_empty() && rect.fits(width, height))
        );
    }

    fn cursor(&mut self, cursor: Option<&CursorImage>) {
        let Some(image) = cursor else { return };
        assert!((1..=64).contains(&image.width) && (1..=64).contains(&image.height));
        assert!(image.hot_x < image.width && image.hot_y < image.height);
        assert_eq!(image.pixels.len(), (image.width * image.height) as usize);
    }
}

fn surface(width: u32, height: u32) -> SharedSurface {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd: OwnedFd = rustix::fs::memfd_create("surface", flags).expect("a memfd");
    rustix::fs::ftruncate(&fd, u64::from(width * height * 4)).expect("room for it");
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).expect("a seal");
    SharedSurface::map(fd, width, height).expect("a surface")
}

/// One of two resources, mostly.
fn id(reader: &mut Reader<'_>) -> u32 {
    let id = 1 + u32::from(reader.byte() % 2);
    reader.mostly(id)
}

/// A rectangle of a small resource, as four words.
fn rect(reader: &mut Reader<'_>) -> [u32; 4] {
    let (x, y) = (reader.below(8), reader.below(8));
    [x, y, reader.below(64), reader.below(64)]
}

impl Subject for Screen {
    fn compose(&self, reader: &mut Reader<'_>) -> Vec<u8> {
        const COMMANDS: [u32; 16] = [
            0x100, 0x101, 0x101, 0x102, 0x103, 0x103, 0x104, 0x105, 0x105, 0x106, 0x106, 0x107,
            0x10a, 0x300, 0x301, 0x108,
        ];
        let command = COMMANDS[usize::from(reader.byte() % 16)];
        let mut words = vec![command, u32::from(reader.byte() % 4), 0, 0, 0, 0];
        match command {
            0x101 => {
                words.push(id(reader));
                words.push(reader.one_of(&[1, 2, 3, 4, 67, 68, 121, 134]));
                words.extend([reader.below(80), reader.below(80)]);
            }
            0x103 => {
                words.extend(rect(reader));
                words.extend([reader.mostly(0), id(reader)]);
            }
            0x104 => {
                words.extend(rect(reader));
                words.extend([id(reader), 0]);
            }
            0x105 => {
                words.extend(rect(reader));
                let offset = reader.below(64) & !3;
                words.extend([offset, reader.mostly(0), id(reader), 0]);
            }
            0x106 => {
                let count = reader.below(4);
                words.extend([id(reader), count]);
                for _ in 0..count.min(8) {
                    let address = reader.below(64).wrapping_mul(512).wrapping_add(0x8010_0000);
                    words.extend([
                        address,
                        reader.mostly(0),
                        reader.one_of(&[128, 4096, 0x8000, 0x8000]),
                        0,
                    ]);
                }
            }
            0x300 | 0x301 => {
                words.extend([reader.mostly(0), 0, 0, 0]);
                words.extend([id(reader), reader.below(70), reader.below(70), 0]);
            }
            _ => words.extend([reader.below(3), 0]),
        }
        if reader.byte().is_multiple_of(16) {
            words.truncate(5 + usize::from(reader.byte() % 12));
        }
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    fn host(&mut self, reader: &mut Reader<'_>) {
        let size = (u32::from(reader.byte()) + 1, u32::from(reader.byte()) + 1);
        *self.size.lock().expect("not poisoned") = size;
        self.generation += 1;
        self.display
            .resize(surface(size.0, size.1), self.generation);
    }

    fn check(&mut self, driver: &mut Driver) {
        let mut command = [0; 24];
        command[1] = 1;
        let (length, answer) = driver.request(0, &[&command], &[408]).expect("an answer");
        assert_eq!((length, &answer[..2]), (408, [1, 0x11].as_slice()));
        let (width, height) = *self.size.lock().expect("not poisoned");
        let expected = [width.to_le_bytes(), height.to_le_bytes()].concat();
        assert_eq!(answer[32..40], expected);
    }
}

/// A keyboard, a pointer or a power button, as the first byte says.
pub fn fuzz_input(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let mut handle = None;
    let mut driver = Driver::plug(|slot| {
        let (transport, input) = match kind % 3 {
            0 => Input::keyboard(slot),
            1 => Input::pointer(slot),
            _ => Input::power_button(slot),
        };
        handle = Some(input);
        transport
    });
    let mut subject = Device {
        handle: handle.expect("was plugged"),
    };
    run(data, &mut driver, &mut subject);
}

struct Device {
    handle: InputHandle,
}

impl Subject for Device {
    fn compose(&self, reader: &mut Reader<'_>) -> Vec<u8> {
        reader.bytes(8)
    }

    fn host(&mut self, reader: &mut Reader<'_>) {
        let events: Vec<InputEvent> = (0..reader.byte() % 8)
            .map(|_| match reader.byte() % 3 {
                0 => InputEvent::Key {
                    code: u16::from(reader.byte()) + 0x100 * u16::from(reader.byte() % 2),
                    pressed: reader.byte().is_multiple_of(2),
                },
                1 => InputEvent::Position {
                    x: reader.word(),
                    y: reader.word(),
                },
                _ => InputEvent::Wheel {
                    vertical: reader.word().cast_signed(),
                    horizontal: reader.word().cast_signed(),
                },
            })
            .collect();
        self.handle.send(&events);
    }

    fn check(&mut self, driver: &mut Driver) {
        // Whatever was held before: catching up tells of a key that is held now.
        for key in [crate::input::KEY_POWER, crate::input::BTN_LEFT, 30] {
            for pressed in [false, true] {
                self.handle.send(&[InputEvent::Key { code: key, pressed }]);
            }
        }
        let (length, event) = driver.request(0, &[], &[8]).expect("an event");
        assert_eq!(length, 8);
        assert_eq!((event[0], event[4]), (1, 1), "a key is pressed: {event:?}");
    }
}

/// A console whose sink sometimes has no room.
pub fn fuzz_console(data: &[u8]) {
    let room = Arc::new(Mutex::new(usize::MAX));
    let mut handle = None;
    let mut driver = Driver::plug(|slot| {
        let (transport, console) = Console::plug(slot, Box::new(Terminal(Arc::clone(&room))));
        handle = Some(console);
        transport
    });
    let mut subject = Ports {
        handle: handle.expect("was plugged"),
        room,
    };
    run(data, &mut driver, &mut subject);
}

struct Ports {
    handle: ConsoleHandle,
    room: Arc<Mutex<usize>>,
}

struct Terminal(Arc<Mutex<usize>>);

impl ConsoleSink for Terminal {
    fn output(&mut self, port: u32, bytes: &[u8]) -> usize {
        assert!(
            port <= crate::console::OUTBOX
                && !bytes.is_empty()
                && bytes.len() <= crate::console::OUTPUT_MAX
        );
        let mut room = self.0.lock().expect("not poisoned");
        let taken = bytes.len().min(*room);
        *room -= taken;
        taken
    }

    fn opened(&mut self, port: u32, _: bool) {
        assert!(port <= crate::console::OUTBOX);
    }

    fn room(&mut self, port: u32) {
        assert!(port <= crate::console::OUTBOX);
    }
}

impl Subject for Ports {
    fn compose(&self, reader: &mut Reader<'_>) -> Vec<u8> {
        let mut message = u32::from(reader.byte() % 5).to_le_bytes().to_vec();
        message.extend([reader.byte() % 9, 0, reader.byte() % 3, 0]);
        message
    }

    fn host(&mut self, reader: &mut Reader<'_>) {
        let port = u32::from(reader.byte() % 4);
        match reader.byte() % 3 {
            0 => {
                let bytes = vec![7; usize::from(reader.byte()) * 1024];
                assert!(self.handle.push(port, &bytes) <= bytes.len());
            }
            1 => *self.room.lock().expect("not poisoned") = usize::from(reader.byte()) * 16,
            _ => self.handle.resume(port),
        }
    }

    fn check(&mut self, driver: &mut Driver) {
        *self.room.lock().expect("not poisoned") = 1 << 20;
        assert!(
            driver.request(1, &[b"hello"], &[]).is_some(),
            "output is taken"
        );
        self.handle.push(0, b"x");
        let (length, _) = driver.request(0, &[], &[8]).expect("input comes");
        assert_ne!(length, 0);
    }
}

/// The entropy device.
pub fn fuzz_rng(data: &[u8]) {
    let mut driver = Driver::plug(Rng::plug);
    run(data, &mut driver, &mut Entropy);
}

struct Entropy;

impl Subject for Entropy {
    fn compose(&self, reader: &mut Reader<'_>) -> Vec<u8> {
        reader.bytes(4)
    }

    fn host(&mut self, _: &mut Reader<'_>) {}

    fn check(&mut self, driver: &mut Driver) {
        let (length, bytes) = driver.request(0, &[], &[64]).expect("an answer");
        assert_eq!(length, 64);
        assert_ne!(bytes, [0xee; 64]);
    }
}

/// The socket device, with a host that answers, dials, writes and hangs up.
pub fn fuzz_vsock(data: &[u8]) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut handle = None;
    let mut driver = Driver::plug(|slot| {
        let host = Box::new(Asked(Arc::clone(&asked)));
        let (transport, vsock) = Vsock::plug(slot, 3, host).expect("a worker thread");
        handle = Some(vsock);
        transport
    });
    let mut subject = Sockets {
        handle: handle.expect("was plugged"),
        asked,
        streams: Vec::new(),
    };
    run(data, &mut driver, &mut subject);
}

struct Sockets {
    handle: VsockHandle,
    asked: Arc<Mutex<Vec<u32>>>,
    streams: Vec<UnixStream>,
}

struct Asked(Arc<Mutex<Vec<u32>>>);

impl VsockHost for Asked {
    fn request(&mut self, id: u32, _: u32) {
        let mut asked = self.0.lock().expect("not poisoned");
        asked.push(id);
        assert!(asked.len() <= crate::vsock::REQUESTS_MAX);
    }
}

/// A packet's header, and data after it.
fn packet(ports: (u32, u32), operation: u8, flags: u8, window: (u32, u32), data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("short");
    let mut bytes = [3_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat();
    bytes.extend(
        [
            ports.0.to_le_bytes(),
            ports.1.to_le_bytes(),
            length.to_le_bytes(),
        ]
        .concat(),
    );
    bytes.extend([1, 0, operation, 0, flags, 0, 0, 0]);
    bytes.extend([window.0.to_le_bytes(), window.1.to_le_bytes()].concat());
    bytes.extend(data);
    bytes
}

impl Subject for Sockets {
    fn compose(&self, reader: &mut Reader<'_>) -> Vec<u8> {
        let guest = u32::from(reader.byte() % 4);
        let host = match reader.byte() % 4 {
            0 => 0x4000_0000 + u32::from(reader.byte() % 4),
            other => u32::from(other),
        };
        let (operation, flags) = (reader.byte() % 9, reader.byte() % 4);
        let window = (reader.word(), u32::from(reader.byte()));
        let length = usize::from(reader.byte());
        packet((guest, host), operation, flags, window, &vec![1; length])
    }

    fn host(&mut self, reader: &mut Reader<'_>) {
        use std::io::Write as _;

        let pair = || UnixStream::pair().expect("a socket pair");
        match reader.byte() % 5 {
            0 => {
                let (ours, theirs) = pair();
                self.streams.push(ours);
                self.handle
                    .dial(u32::from(reader.byte() % 4), theirs.into());
            }
            1 => {
                let asked = self.asked.lock().expect("not poisoned").pop();
                if let Some(id) = asked {
                    let (ours, theirs) = pair();
                    self.streams.push(ours);
                    self.handle.accept(id, theirs.into());
                }
            }
            2 => {
                let asked = self.asked.lock().expect("not poisoned").pop();
                if let Some(id) = asked {
                    self.handle.refuse(id);
                }
            }
            3 => {
                if let Some(stream) = self.streams.last_mut() {
                    stream.set_nonblocking(true).expect("it can be set");
                    let _ = stream.write(&vec![2; usize::from(reader.byte()) * 64]);
                }
            }
            _ => drop(self.streams.pop()),
        }
    }

    fn check(&mut self, driver: &mut Driver) {
        let stray = packet((1, 1), 5, 0, (0, 0), &[]);
        assert!(
            driver.request(1, &[&stray], &[]).is_some(),
            "packets are taken"
        );
        let (length, answer) = driver.request(0, &[], &[100]).expect("an answer");
        assert_eq!((length, answer[30]), (44, 3), "a stray packet is reset");
    }
}

/// One of the devices, as the first byte says.
pub fn fuzz_transport(data: &[u8]) {
    let Some((device, data)) = data.split_first() else {
        return;
    };
    let fuzz = match device % 6 {
        0 => fuzz_block,
        1 => fuzz_gpu,
        2 => fuzz_input,
        3 => fuzz_console,
        4 => fuzz_rng,
        _ => fuzz_vsock,
    };
    fuzz(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Whatever the bytes say: no panic, an end, and a device that works again after a reset.
        #[test]
        fn no_script_breaks_a_device(device in 0..6_u8, script in proptest::collection::vec(any::<u8>(), 0..2000)) {
            fuzz_transport(&[&[device], script.as_slice()].concat());
        }
    }
}
