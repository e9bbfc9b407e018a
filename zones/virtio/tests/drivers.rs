//! Our devices under the guest-side drivers of the `virtio-drivers` crate: an independent reading of the standard.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::device::gpu::VirtIOGpu;
use virtio_drivers::device::input::VirtIOInput;
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::device::socket::{
    VirtIOSocket, VsockAddr, VsockConnectionManager, VsockEvent, VsockEventType,
};
use zone_virtio::block::{Blank, Block, Overlay};
use zone_virtio::console::{CONSOLE, Console, ConsoleSink};
use zone_virtio::gpu::{CursorImage, DisplaySink, Gpu, Rect, SharedSurface};
use zone_virtio::input::{Input, InputEvent};
use zone_virtio::rng::Rng;
use zone_virtio::vsock::{Vsock, VsockHost};

use common::{TestHal, Window, slot};

#[test]
fn block() {
    let (slot, line) = slot();
    let base = Blank::new(1000 * 512);
    let overlay = Overlay::temporary(base, tempfile::tempfile().unwrap()).unwrap();
    let transport = Block::plug(slot, Box::new(overlay), "overlay");
    let mut disk = VirtIOBlk::<TestHal, _>::new(Window(transport)).unwrap();
    assert_eq!(disk.capacity(), 1000);
    assert!(!disk.readonly());
    let mut id = [0; 20];
    assert_eq!(disk.device_id(&mut id).unwrap(), 7);
    assert_eq!(&id[..7], b"overlay");
    let data: Vec<u8> = (0..=255_u8).cycle().take(40 * SECTOR_SIZE).collect();
    disk.write_blocks(17, &data).unwrap();
    disk.flush().unwrap();
    let mut back = vec![0xff; 42 * SECTOR_SIZE];
    disk.read_blocks(16, &mut back).unwrap();
    assert!(back[..SECTOR_SIZE].iter().all(|byte| *byte == 0));
    assert!(back[SECTOR_SIZE..41 * SECTOR_SIZE] == data);
    assert!(back[41 * SECTOR_SIZE..].iter().all(|byte| *byte == 0));
    assert!(disk.read_blocks(999, &mut back[..1024]).is_err());
    assert!(disk.write_blocks(usize::MAX, &data[..512]).is_err());
    assert!(line.high());
    disk.ack_interrupt();
    assert!(!line.high());
}

struct Output(Arc<Mutex<Vec<u8>>>);

impl ConsoleSink for Output {
    fn output(&mut self, port: u32, bytes: &[u8]) -> usize {
        assert_eq!(port, CONSOLE);
        self.0.lock().unwrap().extend(bytes);
        bytes.len()
    }

    fn opened(&mut self, _: u32, _: bool) {}

    fn room(&mut self, _: u32) {}
}

#[test]
fn console() {
    let (slot, _) = slot();
    let output = Arc::new(Mutex::new(Vec::new()));
    let (transport, handle) = Console::plug(slot, Box::new(Output(Arc::clone(&output))));
    // A driver that knows nothing of ports uses the first two queues.
    let mut console = VirtIOConsole::<TestHal, _>::new(Window(transport)).unwrap();
    console.send_bytes(b"login: ").unwrap();
    assert_eq!(*output.lock().unwrap(), b"login: ");
    assert_eq!(handle.push(CONSOLE, b"root\n"), 5);
    let mut typed = Vec::new();
    while let Some(byte) = console.recv(true).unwrap() {
        typed.push(byte);
    }
    assert_eq!(typed, b"root\n");
}

#[derive(Default)]
struct Shown {
    frames: Vec<(u32, Vec<Rect>)>,
    cursors: Vec<Option<CursorImage>>,
}

struct Sink(Arc<Mutex<Shown>>);

impl DisplaySink for Sink {
    fn frame(&mut self, generation: u32, damage: &[Rect]) {
        let frame = (generation, damage.to_vec());
        self.0.lock().unwrap().frames.push(frame);
    }

    fn cursor(&mut self, cursor: Option<&CursorImage>) {
        self.0.lock().unwrap().cursors.push(cursor.cloned());
    }
}

fn surface(width: u32, height: u32) -> (SharedSurface, File) {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("surface", flags).unwrap();
    rustix::fs::ftruncate(&fd, u64::from(width * height * 4)).unwrap();
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW).unwrap();
    let view = File::from(fd.try_clone().unwrap());
    (SharedSurface::map(fd, width, height).unwrap(), view)
}

#[test]
fn gpu() {
    let (slot, _) = slot();
    let (first, view) = surface(1000, 700);
    let shown = Arc::new(Mutex::new(Shown::default()));
    let (transport, display) = Gpu::plug(slot, first, 7, Box::new(Sink(Arc::clone(&shown))));
    let mut gpu = VirtIOGpu::<TestHal, _>::new(Window(transport)).unwrap();
    assert_eq!(gpu.resolution().unwrap(), (1000, 700));
    assert_eq!(gpu.edid_preferred_resolution().unwrap(), (1000, 700));
    let pixels = gpu.setup_framebuffer().unwrap();
    for (index, byte) in pixels.iter_mut().enumerate() {
        *byte = u8::try_from(index % 251).unwrap();
    }
    gpu.flush().unwrap();
    let mut bytes = vec![0; 1000 * 700 * 4];
    view.read_exact_at(&mut bytes, 0).unwrap();
    for (index, byte) in bytes.iter().enumerate() {
        let expected = if index % 4 == 3 { 0 } else { index % 251 };
        assert_eq!(usize::from(*byte), expected, "byte {index}");
    }
    let frames = std::mem::take(&mut shown.lock().unwrap().frames);
    assert_eq!(frames, [(7, vec![Rect::of_size(1000, 700)])]);
    let image = [0x10, 0x20, 0x30, 0xff].repeat(64 * 64);
    gpu.setup_cursor(&image, 10, 10, 5, 6).unwrap();
    gpu.move_cursor(100, 100).unwrap();
    {
        let cursors = &shown.lock().unwrap().cursors;
        let cursor = cursors.last().unwrap().as_ref().unwrap();
        assert_eq!((cursor.width, cursor.height), (64, 64));
        assert_eq!((cursor.hot_x, cursor.hot_y), (5, 6));
        assert!(cursor.pixels.iter().all(|pixel| *pixel == 0xff30_2010));
    }
    let (second, _) = surface(800, 600);
    display.resize(second, 8);
    assert!(gpu.ack_interrupt().bits() & 2 != 0);
    assert_eq!(gpu.resolution().unwrap(), (800, 600));
    assert_eq!(gpu.edid_preferred_resolution().unwrap(), (800, 600));
}

#[test]
fn input() {
    let (slot, _) = slot();
    let (transport, handle) = Input::pointer(slot);
    let mut input = VirtIOInput::<TestHal, _>::new(Window(transport)).unwrap();
    assert_eq!(input.name().unwrap(), "Bulkhead Pointer");
    assert_eq!(input.ids().unwrap().bustype, 6);
    assert_eq!(&*input.ev_bits(3).unwrap(), [0b11]);
    let axis = input.abs_info(1).unwrap();
    assert_eq!((axis.min, axis.max), (0, 32767));
    handle.send(&[InputEvent::Position { x: 3, y: 4 }]);
    handle.send(&[InputEvent::Key {
        code: 0x110,
        pressed: true,
    }]);
    let mut events = Vec::new();
    while let Some(event) = input.pop_pending_event() {
        events.push((event.event_type, event.code, event.value));
    }
    let expected = [(3, 0, 3), (3, 1, 4), (0, 0, 0), (1, 0x110, 1), (0, 0, 0)];
    assert_eq!(events, expected);
}

/// What these tests would say of a device that writes behind the machine's back.
#[test]
#[should_panic(expected = "bytes were written unannounced")]
fn a_device_that_writes_unannounced() {
    common::write_unannounced();
}

#[test]
fn rng() {
    let (slot, _) = slot();
    let mut rng = VirtIORng::<TestHal, _>::new(Window(Rng::plug(slot))).unwrap();
    let mut bytes = [[0; 1000]; 2];
    for bytes in &mut bytes {
        assert_eq!(rng.request_entropy(bytes).unwrap(), 1000);
    }
    assert_ne!(bytes[0], bytes[1]);
}

struct Requests(mpsc::Sender<(u32, u32)>);

impl VsockHost for Requests {
    fn request(&mut self, id: u32, port: u32) {
        self.0.send((id, port)).unwrap();
    }
}

type Sockets = VsockConnectionManager<TestHal, Window>;

fn next_event(sockets: &mut Sockets) -> VsockEvent {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(event) = sockets.poll().unwrap() {
            return event;
        }
        assert!(Instant::now() < deadline, "no event came");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Sends `data` to the host and gets it back, a piece at a time.
fn echo(sockets: &mut Sockets, peer: VsockAddr, port: u32, stream: &mut UnixStream) {
    let data: Vec<u8> = (0..=255_u8).cycle().take(50_000).collect();
    for piece in data.chunks(700) {
        sockets.send(peer, port, piece).unwrap();
        let mut bytes = vec![0; piece.len()];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, piece);
        stream.write_all(&bytes).unwrap();
        let mut back: Vec<u8> = Vec::new();
        while back.len() < piece.len() {
            let event = next_event(sockets);
            if matches!(event.event_type, VsockEventType::Received { .. }) {
                let mut buffer = [0; 1000];
                let count = sockets.recv(peer, port, &mut buffer).unwrap();
                back.extend(&buffer[..count]);
                sockets.update_credit(peer, port).unwrap();
            }
        }
        assert_eq!(back, piece);
    }
}

#[test]
fn vsock() {
    let (slot, _) = slot();
    let (sender, requests) = mpsc::channel();
    let (transport, handle) = Vsock::plug(slot, 33, Box::new(Requests(sender))).unwrap();
    let driver = VirtIOSocket::<TestHal, _>::new(Window(transport)).unwrap();
    let mut sockets = VsockConnectionManager::new(driver);
    assert_eq!(sockets.guest_cid(), 33);

    // The guest connects.
    let host = VsockAddr { cid: 2, port: 700 };
    sockets.connect(host, 1234).unwrap();
    let (id, port) = requests.recv().unwrap();
    assert_eq!(port, 700);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    handle.accept(id, theirs.into());
    let event = next_event(&mut sockets);
    assert!(matches!(event.event_type, VsockEventType::Connected));
    echo(&mut sockets, host, 1234, &mut ours);
    sockets.force_close(host, 1234).unwrap();
    assert_eq!(ours.read(&mut [0; 10]).unwrap(), 0);

    // The host connects, and hangs up.
    sockets.listen(22);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    handle.dial(22, theirs.into());
    let event = next_event(&mut sockets);
    assert!(matches!(
        event.event_type,
        VsockEventType::ConnectionRequest
    ));
    echo(&mut sockets, event.source, 22, &mut ours);
    drop(ours);
    let event = next_event(&mut sockets);
    assert!(matches!(
        event.event_type,
        VsockEventType::Disconnected { .. }
    ));

    // A port where nobody listens; a refused request.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    handle.dial(23, theirs.into());
    assert!(sockets.poll().unwrap().is_none());
    assert_eq!(ours.read(&mut [0; 10]).unwrap(), 0);
    sockets.connect(host, 1235).unwrap();
    let (id, _) = requests.recv().unwrap();
    handle.refuse(id);
    let event = next_event(&mut sockets);
    assert!(matches!(
        event.event_type,
        VsockEventType::Disconnected { .. }
    ));
}
