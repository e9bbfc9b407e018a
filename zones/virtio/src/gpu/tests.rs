//! What a stock guest does with the display, what a hostile one does, and a model of both.

#![allow(clippy::cast_possible_truncation, reason = "test values are small")]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rustix::fs::MemfdFlags;
use vm_memory::Bytes;

use super::*;
use crate::testing::{Driver, RAM, RAM_SIZE};

const OK: u32 = 0x1100;
/// Pixels of the resources lie from here on, each resource in its own MiB.
const PIXELS: u64 = RAM + (4 << 20);

#[derive(Default)]
struct Seen {
    frames: Vec<(u32, Vec<Rect>)>,
    cursors: Vec<Option<CursorImage>>,
}

struct Recorder(Arc<Mutex<Seen>>);

impl DisplaySink for Recorder {
    fn frame(&mut self, generation: u32, damage: &[Rect]) {
        let frame = (generation, damage.to_vec());
        self.0.lock().unwrap().frames.push(frame);
    }

    fn cursor(&mut self, cursor: Option<&CursorImage>) {
        self.0.lock().unwrap().cursors.push(cursor.cloned());
    }
}

/// A sealed memfd of the right size, as the endpoint makes it.
fn surface_memory(bytes: u64) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("surface", flags).unwrap();
    rustix::fs::ftruncate(&fd, bytes).unwrap();
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    fd
}

use rustix::fs::SealFlags;

fn new_surface(width: u32, height: u32) -> (SharedSurface, File) {
    let fd = surface_memory(u64::from(width) * 4 * u64::from(height));
    let view = File::from(fd.try_clone().unwrap());
    (SharedSurface::map(fd, width, height).unwrap(), view)
}

struct Screen {
    driver: Driver,
    display: Display,
    seen: Arc<Mutex<Seen>>,
    view: File,
    width: u32,
    height: u32,
}

impl Screen {
    fn new(width: u32, height: u32) -> Self {
        let (surface, view) = new_surface(width, height);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut display = None;
        let driver = Driver::started(|slot| {
            let sink = Box::new(Recorder(Arc::clone(&seen)));
            let (transport, handle) = Gpu::plug(slot, surface, 1, sink);
            display = Some(handle);
            transport
        });
        seen.lock().unwrap().cursors.clear();
        Self {
            driver,
            display: display.unwrap(),
            seen,
            view,
            width,
            height,
        }
    }

    fn resize(&mut self, width: u32, height: u32, generation: u32) {
        let (surface, view) = new_surface(width, height);
        (self.view, self.width, self.height) = (view, width, height);
        self.display.resize(surface, generation);
    }

    fn send(&mut self, queue: usize, command: &[u8], room: u32) -> (u32, Vec<u8>) {
        let (length, answer) = self
            .driver
            .request(queue, &[command], &[room])
            .expect("the device answers");
        (u32_at(&answer, 0), answer[..length as usize].to_vec())
    }

    /// Sends a command without data in its answer; returns the response code.
    fn command(&mut self, code: u32, fields: &[u32]) -> u32 {
        self.send(0, &message(code, fields), 24).0
    }

    fn create(&mut self, id: u32, format: u32, width: u32, height: u32) -> u32 {
        self.command(0x101, &[id, format, width, height])
    }

    /// Creates a resource with its pixels at its own place in memory.
    fn create_backed(&mut self, id: u32, width: u32, height: u32) {
        assert_eq!(self.create(id, 2, width, height), OK);
        let entry = [pixels_of(id) as u32, 0, width * height * 4, 0];
        let fields = [&[id, 1][..], &entry].concat();
        assert_eq!(self.command(0x106, &fields), OK);
    }

    fn set_scanout(&mut self, part: Rect, id: u32) -> u32 {
        self.command(0x103, &[part.x, part.y, part.width, part.height, 0, id])
    }

    fn transfer(&mut self, rect: Rect, offset: u64, id: u32) -> u32 {
        let (low, high) = (offset as u32, (offset >> 32) as u32);
        let fields = [rect.x, rect.y, rect.width, rect.height, low, high, id, 0];
        self.command(0x105, &fields)
    }

    fn flush(&mut self, rect: Rect, id: u32) -> u32 {
        self.command(0x104, &[rect.x, rect.y, rect.width, rect.height, id, 0])
    }

    fn draw(&self, id: u32, width: u32, rect: Rect, value: u32) {
        for y in rect.y..rect.bottom() {
            for x in rect.x..rect.right() {
                let offset = u64::from(y * width + x) * 4;
                let address = GuestAddress(pixels_of(id) + offset);
                self.driver.memory.write_obj(value, address).unwrap();
            }
        }
    }

    fn pixels(&self) -> Vec<u32> {
        let mut bytes = vec![0; (self.width * self.height * 4) as usize];
        self.view.read_exact_at(&mut bytes, 0).unwrap();
        let (pixels, _) = bytes.as_chunks();
        pixels
            .iter()
            .map(|pixel| u32::from_le_bytes(*pixel))
            .collect()
    }

    fn frames(&self) -> Vec<(u32, Vec<Rect>)> {
        std::mem::take(&mut self.seen.lock().unwrap().frames)
    }
}

fn pixels_of(id: u32) -> u64 {
    PIXELS + u64::from(id) * (1 << 20)
}

fn message(code: u32, fields: &[u32]) -> Vec<u8> {
    let header = [code, 0, 0, 0, 0, 0];
    let words = header.iter().chain(fields);
    words.flat_map(|word| word.to_le_bytes()).collect()
}

fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
    Rect {
        x,
        y,
        width,
        height,
    }
}

#[test]
fn display_info_and_edid_name_the_surfaces_size() {
    let mut screen = Screen::new(1280, 800);
    let (code, info) = screen.send(0, &message(0x100, &[]), 408);
    assert_eq!((code, info.len()), (0x1101, 408));
    assert_eq!((u32_at(&info, 32), u32_at(&info, 36)), (1280, 800));
    assert_eq!(u32_at(&info, 40), 1);
    assert_eq!(info[48..], [0; 360]);
    let (code, answer) = screen.send(0, &message(0x10a, &[0, 0]), 1056);
    assert_eq!((code, answer.len()), (0x1104, 1056));
    assert_eq!(u32_at(&answer, 24), 128);
    assert_eq!(answer[32..160], edid::edid(1280, 800));
    assert_eq!(screen.driver.config(8), [1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_frame_goes_from_scattered_backing_to_the_surface_once() {
    let mut screen = Screen::new(64, 32);
    assert_eq!(screen.create(1, 2, 64, 32), OK);
    // Three pieces, cut in the middle of rows and out of order.
    let base = pixels_of(1) as u32;
    let pieces = [
        base + 0x8000,
        0,
        1000,
        0,
        base,
        0,
        5000,
        0,
        base + 0x4000,
        0,
        2192,
        0,
    ];
    let fields = [&[1, 3][..], &pieces].concat();
    assert_eq!(screen.command(0x106, &fields), OK);
    let image: Vec<u8> = (0..64 * 32_u32)
        .flat_map(|i| (i | 0xff00_0000).to_le_bytes())
        .collect();
    let mut from = 0;
    for piece in pieces.chunks(4) {
        let to = from + piece[2] as usize;
        let address = GuestAddress(u64::from(piece[0]));
        screen
            .driver
            .memory
            .write_slice(&image[from..to], address)
            .unwrap();
        from = to;
    }
    let all = Rect::of_size(64, 32);
    assert_eq!(screen.set_scanout(all, 1), OK);
    assert_eq!(screen.transfer(all, 0, 1), OK);
    assert_eq!(screen.flush(all, 1), OK);
    assert_eq!(screen.pixels(), (0..64 * 32).collect::<Vec<u32>>());
    // Pixel 0 was black before and is still.
    let frames = screen.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0], (1, vec![all]));
    assert_eq!(screen.flush(all, 1), OK);
    assert!(
        screen.frames().is_empty(),
        "nothing changed, nothing is reported"
    );
}

#[test]
fn damage_is_what_changed_even_if_the_guest_flushes_everything() {
    let mut screen = Screen::new(640, 480);
    screen.create_backed(1, 640, 480);
    let all = Rect::of_size(640, 480);
    screen.set_scanout(all, 1);
    screen.draw(1, 640, rect(100, 50, 8, 16), 0xff_ffff);
    screen.draw(1, 640, rect(500, 400, 30, 20), 0x12_3456);
    screen.transfer(all, 0, 1);
    screen.flush(all, 1);
    let expected = vec![rect(100, 50, 8, 16), rect(500, 400, 30, 20)];
    assert_eq!(screen.frames(), [(1, expected)]);
}

#[test]
fn a_page_flip_copies_only_what_differs() {
    let mut screen = Screen::new(320, 200);
    let all = Rect::of_size(320, 200);
    screen.create_backed(1, 320, 200);
    screen.create_backed(2, 320, 200);
    for id in [1, 2] {
        screen.draw(id, 320, all, 0x80_8080);
        screen.transfer(all, 0, id);
        screen.set_scanout(all, id);
        screen.flush(all, id);
    }
    assert_eq!(
        screen.frames(),
        [(1, vec![all])],
        "the second image is the same"
    );
    // What is drawn without a transfer is not shown, what is transferred is, at the flip.
    screen.draw(1, 320, rect(200, 100, 5, 5), 0xff);
    screen.draw(1, 320, rect(10, 20, 30, 40), 0xff00);
    screen.transfer(rect(10, 20, 30, 40), (20 * 320 + 10) * 4, 1);
    assert!(screen.pixels().iter().all(|pixel| *pixel == 0x80_8080));
    screen.set_scanout(all, 1);
    screen.flush(all, 1);
    assert_eq!(screen.frames(), [(1, vec![rect(10, 20, 30, 40)])]);
    // And back: the same rectangle goes back to grey.
    screen.set_scanout(all, 2);
    screen.flush(all, 2);
    assert_eq!(screen.frames(), [(1, vec![rect(10, 20, 30, 40)])]);
    assert!(screen.pixels().iter().all(|pixel| *pixel == 0x80_8080));
}

#[test]
fn all_eight_formats_become_xrgb() {
    // The bytes of red 0x11, green 0x22, blue 0x33, alpha 0xff in memory order.
    let cases: [(u32, [u8; 4]); 8] = [
        (1, [0x33, 0x22, 0x11, 0xff]),
        (2, [0x33, 0x22, 0x11, 0xff]),
        (3, [0xff, 0x11, 0x22, 0x33]),
        (4, [0xff, 0x11, 0x22, 0x33]),
        (67, [0x11, 0x22, 0x33, 0xff]),
        (68, [0xff, 0x33, 0x22, 0x11]),
        (121, [0xff, 0x33, 0x22, 0x11]),
        (134, [0x11, 0x22, 0x33, 0xff]),
    ];
    for (format, bytes) in cases {
        let mut screen = Screen::new(2, 2);
        assert_eq!(screen.create(1, format, 2, 2), OK);
        let fields = [1, 1, pixels_of(1) as u32, 0, 16, 0];
        assert_eq!(screen.command(0x106, &fields), OK);
        let address = GuestAddress(pixels_of(1));
        screen
            .driver
            .memory
            .write_slice(&bytes.repeat(4), address)
            .unwrap();
        let all = Rect::of_size(2, 2);
        screen.set_scanout(all, 1);
        screen.transfer(all, 0, 1);
        assert_eq!(screen.pixels(), [0x0011_2233; 4], "format {format}");
        // The same pixels as a cursor.
        assert_eq!(screen.command(0x300, &[0, 5, 6, 0, 1, 1, 99, 0]), OK);
        let cursors = &screen.seen.lock().unwrap().cursors;
        let cursor = cursors.last().unwrap().as_ref().unwrap();
        assert_eq!(cursor.pixels, [0xff11_2233; 4], "format {format}");
        assert_eq!((cursor.hot_x, cursor.hot_y), (1, 1));
    }
}

#[test]
fn a_cursor_is_premultiplied_hidden_and_answers_on_its_queue() {
    // Linux makes its cursors of buffers whose format has no opacity, and fills it in.
    for format in [1, 2] {
        let mut screen = Screen::new(64, 64);
        assert_eq!(screen.create(7, format, 64, 64), OK);
        let fields = [7, 1, pixels_of(7) as u32, 0, 64 * 64 * 4, 0];
        assert_eq!(screen.command(0x106, &fields), OK);
        screen.draw(7, 64, rect(0, 0, 64, 64), 0x40ff_2010);
        assert_eq!(screen.transfer(Rect::of_size(64, 64), 0, 7), OK);
        let update = message(0x300, &[0, 0, 0, 0, 7, 3, 4, 0]);
        // The cursor queue takes commands without room for an answer.
        assert_eq!(screen.driver.request(1, &[&update], &[]).unwrap().0, 0);
        let hide = message(0x300, &[0; 8]);
        assert_eq!(screen.send(1, &hide, 24).0, OK);
        assert_eq!(screen.send(1, &message(0x301, &[0; 8]), 24).0, OK);
        let cursors = &screen.seen.lock().unwrap().cursors;
        let image = cursors[0].as_ref().unwrap();
        assert_eq!((image.width, image.height), (64, 64));
        assert_eq!((image.hot_x, image.hot_y), (3, 4));
        assert!(image.pixels.iter().all(|pixel| *pixel == 0x4040_2010));
        assert_eq!(cursors[1..], [None]);
    }
}

#[test]
fn fences_come_back_with_their_answers() {
    let mut screen = Screen::new(8, 8);
    let mut command = message(0x100, &[]);
    command[4..8].copy_from_slice(&3_u32.to_le_bytes());
    command[8..24].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0, 0, 0]);
    let (_, answer) = screen.send(0, &command, 408);
    assert_eq!(answer[4..24], command[4..24]);
    command[4] = 0;
    let (_, answer) = screen.send(0, &command, 408);
    assert_eq!(answer[4..24], [0; 20]);
}

#[test]
fn a_small_scanout_leaves_black_and_a_large_one_is_cropped() {
    let mut screen = Screen::new(100, 100);
    screen.create_backed(1, 200, 200);
    screen.draw(1, 200, Rect::of_size(200, 200), 7);
    screen.draw(1, 200, rect(150, 150, 50, 50), 9);
    screen.transfer(Rect::of_size(200, 200), 0, 1);
    screen.set_scanout(Rect::of_size(200, 200), 1);
    screen.flush(Rect::of_size(200, 200), 1);
    assert!(screen.pixels().iter().all(|pixel| *pixel == 7));
    screen.frames();
    screen.set_scanout(rect(150, 150, 50, 40), 1);
    screen.flush(Rect::of_size(200, 200), 1);
    for (i, pixel) in screen.pixels().iter().enumerate() {
        let inside = i % 100 < 50 && i / 100 < 40;
        assert_eq!(*pixel, if inside { 9 } else { 0 }, "pixel {i}");
    }
    assert_eq!(screen.frames(), [(1, vec![Rect::of_size(100, 100)])]);
    assert_eq!(screen.display.shown_size(), Some((50, 40)));
    // Nothing shown: black, said at once because no flush can come.
    screen.set_scanout(Rect::default(), 0);
    assert_eq!(screen.display.shown_size(), None);
    assert_eq!(screen.frames(), [(1, vec![rect(0, 0, 50, 40)])]);
    assert!(screen.pixels().iter().all(|pixel| *pixel == 0));
}

#[test]
fn a_resize_tells_the_guest_and_repaints_the_new_surface() {
    let mut screen = Screen::new(100, 100);
    screen.create_backed(1, 120, 120);
    screen.draw(1, 120, Rect::of_size(120, 120), 5);
    screen.transfer(Rect::of_size(120, 120), 0, 1);
    screen.set_scanout(Rect::of_size(120, 120), 1);
    screen.flush(Rect::of_size(120, 120), 1);
    screen.frames();
    screen.driver.acknowledge();
    let generation = screen.driver.read32(0xfc);
    screen.resize(130, 110, 2);
    assert_eq!(screen.display.shown_size(), Some((120, 120)));
    assert_eq!(screen.frames(), [(2, vec![Rect::of_size(130, 110)])]);
    for (i, pixel) in screen.pixels().iter().enumerate() {
        assert_eq!(*pixel, if i % 130 < 120 { 5 } else { 0 });
    }
    assert_eq!(screen.driver.acknowledge(), 2);
    assert_ne!(screen.driver.read32(0xfc), generation);
    assert_eq!(screen.driver.config(0), [1, 0, 0, 0]);
    screen.driver.write32(0x104, 1);
    assert_eq!(screen.driver.config(0), [0, 0, 0, 0]);
    let (_, info) = screen.send(0, &message(0x100, &[]), 408);
    assert_eq!((u32_at(&info, 32), u32_at(&info, 36)), (130, 110));
}

#[test]
fn a_reset_blackens_the_surface_and_forgets_the_resources() {
    let mut screen = Screen::new(10, 10);
    screen.create_backed(1, 10, 10);
    screen.draw(1, 10, Rect::of_size(10, 10), 5);
    screen.set_scanout(Rect::of_size(10, 10), 1);
    screen.driver.start(u64::MAX);
    assert!(screen.pixels().iter().all(|pixel| *pixel == 0));
    assert_eq!(screen.flush(Rect::of_size(10, 10), 1), 0x1203);
    assert_eq!(screen.seen.lock().unwrap().cursors, [None]);
}

#[test]
fn bad_commands_are_refused_with_the_right_error() {
    const SCANOUT: u32 = 0x1202;
    const RESOURCE: u32 = 0x1203;
    const PARAMETER: u32 = 0x1205;
    let mut screen = Screen::new(64, 64);
    screen.create_backed(1, 64, 64);
    assert_eq!(screen.create(2, 1, 128, 128), OK);
    let outside = (RAM + RAM_SIZE - 4) as u32;
    let cases: &[(&str, u32, &[u32], u32)] = &[
        ("unknown command", 0x999, &[0; 8], 0x1200),
        ("3D command", 0x200, &[0; 8], 0x1200),
        ("blob", 0x10c, &[0; 12], 0x1200),
        ("capset", 0x108, &[0; 2], 0x1200),
        ("command cut short", 0x105, &[0; 2], PARAMETER),
        ("resource 0", 0x101, &[0, 1, 8, 8], RESOURCE),
        ("id in use", 0x101, &[1, 1, 8, 8], RESOURCE),
        ("unknown format", 0x101, &[9, 5, 8, 8], PARAMETER),
        ("no width", 0x101, &[9, 1, 0, 8], PARAMETER),
        ("no height", 0x101, &[9, 1, 8, 0], PARAMETER),
        ("2^32 pixels", 0x101, &[9, 1, 0x1_0000, 0x1_0000], PARAMETER),
        (
            "width * 4 overflows",
            0x101,
            &[9, 1, 0x4000_0001, 1],
            PARAMETER,
        ),
        ("all ones", 0x101, &[9, 1, u32::MAX, u32::MAX], PARAMETER),
        ("unref of nothing", 0x102, &[77, 0], RESOURCE),
        ("scanout 1", 0x103, &[0, 0, 64, 64, 1, 1], SCANOUT),
        (
            "scanout 2^32-1",
            0x103,
            &[0, 0, 64, 64, u32::MAX, 1],
            SCANOUT,
        ),
        (
            "scanout of nothing",
            0x103,
            &[0, 0, 64, 64, 0, 77],
            RESOURCE,
        ),
        (
            "scanout past the edge",
            0x103,
            &[1, 0, 64, 64, 0, 1],
            PARAMETER,
        ),
        (
            "scanout wraps",
            0x103,
            &[u32::MAX, 0, 2, 64, 0, 1],
            PARAMETER,
        ),
        ("empty scanout", 0x103, &[0, 0, 0, 64, 0, 1], PARAMETER),
        ("flush of nothing", 0x104, &[0, 0, 64, 64, 77, 0], RESOURCE),
        (
            "flush past the edge",
            0x104,
            &[0, 0, 64, 65, 1, 0],
            PARAMETER,
        ),
        (
            "transfer of nothing",
            0x105,
            &[0, 0, 1, 1, 0, 0, 77, 0],
            RESOURCE,
        ),
        (
            "transfer without backing",
            0x105,
            &[0, 0, 1, 1, 0, 0, 2, 0],
            0x1200,
        ),
        (
            "transfer past the edge",
            0x105,
            &[63, 0, 2, 1, 0, 0, 1, 0],
            PARAMETER,
        ),
        (
            "transfer wraps",
            0x105,
            &[u32::MAX, 0, 2, 1, 0, 0, 1, 0],
            PARAMETER,
        ),
        (
            "transfer past the backing",
            0x105,
            &[0, 0, 64, 64, 4, 0, 1, 0],
            PARAMETER,
        ),
        (
            "offset wraps",
            0x105,
            &[0, 0, 64, 64, u32::MAX, u32::MAX, 1, 0],
            PARAMETER,
        ),
        (
            "second backing",
            0x106,
            &[1, 1, RAM as u32, 0, 64, 0],
            0x1200,
        ),
        (
            "backing of nothing",
            0x106,
            &[77, 1, RAM as u32, 0, 64, 0],
            RESOURCE,
        ),
        ("no entries", 0x106, &[2, 0], PARAMETER),
        ("a million entries", 0x106, &[2, 1_000_000], PARAMETER),
        ("2^32-1 entries", 0x106, &[2, u32::MAX], PARAMETER),
        (
            "entries missing",
            0x106,
            &[2, 2, RAM as u32, 0, 64, 0],
            PARAMETER,
        ),
        (
            "backing outside memory",
            0x106,
            &[2, 1, outside, 0, 64, 0],
            PARAMETER,
        ),
        (
            "backing wraps",
            0x106,
            &[2, 1, u32::MAX, u32::MAX, 64, 0],
            PARAMETER,
        ),
        ("backing at 0", 0x106, &[2, 1, 0, 0, 64, 0], PARAMETER),
        (
            "empty backing entry",
            0x106,
            &[2, 1, RAM as u32, 0, 0, 0],
            PARAMETER,
        ),
        ("detach of nothing", 0x107, &[77, 0], RESOURCE),
        ("detach without backing", 0x107, &[2, 0], 0x1200),
        ("edid of scanout 1", 0x10a, &[1, 0], SCANOUT),
        ("edid without room", 0x10a, &[0, 0], PARAMETER),
        (
            "cursor of nothing",
            0x300,
            &[0, 0, 0, 0, 77, 0, 0, 0],
            RESOURCE,
        ),
        (
            "cursor without backing",
            0x300,
            &[0, 0, 0, 0, 2, 0, 0, 0],
            PARAMETER,
        ),
        (
            "cursor on scanout 3",
            0x300,
            &[3, 0, 0, 0, 1, 0, 0, 0],
            SCANOUT,
        ),
        (
            "cursor move on scanout 3",
            0x301,
            &[3, 0, 0, 0, 1, 0, 0, 0],
            SCANOUT,
        ),
    ];
    for (name, code, fields, expected) in cases {
        assert_eq!(screen.command(*code, fields), *expected, "{name}");
    }
    assert!(!screen.driver.needs_reset());
    assert!(screen.frames().is_empty());
    assert!(screen.seen.lock().unwrap().cursors.is_empty());
    // A cursor from a resource that is too large.
    screen.create_backed(3, 65, 64);
    assert_eq!(screen.command(0x300, &[0, 0, 0, 0, 3, 0, 0, 0]), PARAMETER);
    // Scanout of a destroyed resource; destroying the one that is shown.
    assert_eq!(screen.set_scanout(Rect::of_size(64, 64), 1), OK);
    assert_eq!(screen.command(0x102, &[1, 0]), OK);
    assert_eq!(screen.set_scanout(Rect::of_size(64, 64), 1), RESOURCE);
    assert_eq!(screen.flush(Rect::of_size(64, 64), 1), RESOURCE);
    // A command without a whole header breaks the queue.
    assert!(screen.driver.request(0, &[&[0; 23]], &[24]).is_none());
    assert!(screen.driver.needs_reset());
}

#[test]
fn resources_are_limited_in_count_and_bytes() {
    let mut screen = Screen::new(8, 8);
    for id in 1..=RESOURCES_MAX as u32 {
        assert_eq!(screen.create(id, 1, 1, 1), OK);
    }
    assert_eq!(screen.create(5000, 1, 1, 1), 0x1201);
    assert_eq!(screen.command(0x102, &[1, 0]), OK);
    assert_eq!(screen.create(5000, 1, 16384, 16384), OK);
    assert_eq!(screen.command(0x102, &[2, 0]), OK);
    assert_eq!(screen.create(5001, 1, 16384, 16384), 0x1201);
    assert_eq!(screen.create(5001, 1, 16384, 16380), OK);
}

#[test]
fn a_detached_backing_is_not_read_any_more() {
    let mut screen = Screen::new(8, 8);
    screen.create_backed(1, 8, 8);
    screen.draw(1, 8, Rect::of_size(8, 8), 3);
    screen.set_scanout(Rect::of_size(8, 8), 1);
    assert_eq!(screen.command(0x107, &[1, 0]), OK);
    assert_eq!(screen.transfer(Rect::of_size(8, 8), 0, 1), 0x1200);
    screen.resize(9, 9, 2);
    assert!(screen.pixels().iter().all(|pixel| *pixel == 0));
}

#[test]
fn a_surface_must_be_sealed_and_large_enough() {
    let size = |width, height| SharedSurface::map(surface_memory(4096), width, height).err();
    assert!(matches!(size(0, 8), Some(SurfaceError::Size(0, 8))));
    assert!(matches!(size(8, 16385), Some(SurfaceError::Size(8, 16385))));
    assert!(matches!(
        size(33, 32),
        Some(SurfaceError::TooSmall {
            needed: 4224,
            actual: 4096
        })
    ));
    assert!(size(32, 32).is_none());
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let open = rustix::fs::memfd_create("open", flags).unwrap();
    rustix::fs::ftruncate(&open, 4096).unwrap();
    let error = SharedSurface::map(open, 32, 32).err();
    assert!(matches!(error, Some(SurfaceError::NotSealed)));
}

#[derive(Clone, Debug)]
enum Op {
    Draw { id: u32, rect: Rect, value: u32 },
    Show { id: u32, part: Rect },
    Flush,
    Resize { width: u32, height: u32 },
}

/// Both resources of the model are this large; they are drawn in XRGB.
const SIDE: u32 = 150;

fn any_rect() -> impl Strategy<Value = Rect> {
    (0..SIDE, 0..SIDE).prop_flat_map(|(x, y)| {
        (1..=SIDE - x, 1..=SIDE - y).prop_map(move |(width, height)| rect(x, y, width, height))
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..3_u32, any_rect(), 0..4_u32).prop_map(|(id, rect, value)| Op::Draw { id, rect, value }),
        2 => (0..3_u32, any_rect()).prop_map(|(id, part)| Op::Show { id, part }),
        2 => (1..3_u32).prop_map(|id| Op::Show { id, part: Rect::of_size(SIDE, SIDE) }),
        3 => Just(Op::Flush),
        1 => (1..200_u32, 1..200_u32).prop_map(|(width, height)| Op::Resize { width, height }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is drawn, shown and resized: the surface shows exactly the shown part of the shown resource and black
    /// around it, and every pixel that changed lies in the damage that was reported.
    #[test]
    fn the_surface_is_always_the_shown_resource(ops in proptest::collection::vec(any_op(), 1..40)) {
        let mut screen = Screen::new(160, 140);
        let mut images = vec![vec![0_u32; (SIDE * SIDE) as usize]; 3];
        let mut shown: Option<(usize, Rect)> = None;
        let mut last = screen.pixels();
        let mut generation = 1;
        for id in 1..3 {
            screen.create_backed(id, SIDE, SIDE);
        }
        for op in ops.into_iter().chain([Op::Flush]) {
            match op {
                Op::Draw { id, rect, value } => {
                    screen.draw(id, SIDE, rect, value);
                    for y in rect.y..rect.bottom() {
                        for x in rect.x..rect.right() {
                            images[id as usize][(y * SIDE + x) as usize] = value;
                        }
                    }
                    let offset = u64::from(rect.y * SIDE + rect.x) * 4;
                    prop_assert_eq!(screen.transfer(rect, offset, id), OK);
                }
                Op::Show { id, part } => {
                    prop_assert_eq!(screen.set_scanout(part, id), OK);
                    shown = (id != 0).then_some((id as usize, part));
                }
                Op::Flush => {
                    for id in 1..3 {
                        prop_assert_eq!(screen.flush(Rect::of_size(SIDE, SIDE), id), OK);
                    }
                }
                Op::Resize { width, height } => {
                    generation += 1;
                    screen.resize(width, height, generation);
                    last = vec![u32::MAX; (width * height) as usize];
                }
            }
            let now = screen.pixels();
            let frames = screen.frames();
            for (frame_generation, damage) in &frames {
                prop_assert_eq!(*frame_generation, generation);
                prop_assert!((1..=DAMAGE_MAX).contains(&damage.len()));
                for rect in damage {
                    prop_assert!(rect.fits(screen.width, screen.height));
                    for y in rect.y..rect.bottom() {
                        for x in rect.x..rect.right() {
                            let index = (y * screen.width + x) as usize;
                            last[index] = now[index];
                        }
                    }
                }
            }
            if !matches!(op, Op::Flush) {
                continue;
            }
            prop_assert!(last == now, "a change was not reported");
            for (index, pixel) in now.iter().enumerate() {
                let (x, y) = (index as u32 % screen.width, index as u32 / screen.width);
                let expected = shown.filter(|(_, part)| x < part.width && y < part.height);
                let expected = expected.map_or(0, |(id, part)| {
                    images[id][((y + part.y) * SIDE + x + part.x) as usize]
                });
                prop_assert_eq!(*pixel, expected, "pixel {} {}", x, y);
            }
        }
    }
}
