//! Ours beside `memcpy` and libpixman in one run: `cargo bench -p compositor`.
//!
//! The peer is whom a row names last. Ours and the peer's runs
//! alternate; the best of many is taken, which is what a busy machine distorts least. Zones' pixels are read from sealed
//! shared memory, as in the product.

use std::error::Error;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench_table::{Bar, Row, Table, failed};
use compositor::*;
use zone_link::{Surface, SurfaceWriter};

const RUNS: usize = 60;

fn main() -> ExitCode {
    let mut table = Table::new("peer");
    match measure(&mut table) {
        Ok(()) => table.finish(),
        Err(error) => failed(&error),
    }
}

fn measure(table: &mut Table) -> Result<(), Box<dyn Error>> {
    let pixman = Pixman::load()?;
    for (name, size) in [
        ("1080p", Size::new(1920, 1080)),
        ("4K", Size::new(3840, 2160)),
    ] {
        opaque(table, name, size, &pixman)?;
        blend(table, name, size, &pixman)?;
        small_damage(table, name, size)?;
        moving_window(table, name, size, &pixman)?;
    }
    idle(table)
}

fn add(table: &mut Table, work: String, ours: Duration, peer: Duration, bar: f64) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    table.add(Row {
        work,
        unit: "us",
        ours: micros(ours),
        peer: Some(micros(peer)),
        bar: Bar::Ratio(bar),
    });
}

/// A zone's pixels as the endpoint has them.
struct SharedPixels(Surface);

impl ZonePixels for SharedPixels {
    fn size(&self) -> Size {
        Size::new(self.0.size().width(), self.0.size().height())
    }

    fn copy_row(&self, y: u32, x: u32, into: &mut [u32]) {
        assert!(self.0.copy_row(y, x, into), "rows lie inside the surface");
    }
}

fn shared_pixels(size: Size) -> Result<SharedPixels, Box<dyn Error>> {
    let size = zone_link::Size::new(size.width, size.height).ok_or("a size that surfaces have")?;
    let surface = Surface::new(size)?;
    let writer = SurfaceWriter::new(surface.as_fd(), size)?;
    let row: Vec<u32> = (0..size.width()).collect();
    assert!((0..size.height()).all(|y| writer.write_row(y, 0, &row)));
    Ok(SharedPixels(surface))
}

/// The best times of two pieces of work that take turns.
fn best(mut ours: impl FnMut(), mut peer: impl FnMut()) -> (Duration, Duration) {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let runs = (0..RUNS).map(|_| (time(&mut ours), time(&mut peer)));
    runs.fold((Duration::MAX, Duration::MAX), |best, run| {
        (best.0.min(run.0), best.1.min(run.1))
    })
}

fn count(size: Size) -> usize {
    size.width as usize * size.height as usize
}

fn zone(scene: &mut Scene, number: u32, client: Rect) -> Result<(), Box<dyn Error>> {
    let id = ZoneId(number);
    let (_, colour) = ZONE_PALETTE[number as usize % ZONE_PALETTE.len()];
    let identity = ZoneIdentity::new(id, "bench", "bench", colour, Shape::Circle, Icon::Globe, 0);
    scene.add_zone(identity, None)?;
    scene.set_state(id, ZoneState::Running);
    scene.set_client_rect(id, client);
    let size = scene.client_size(id).expect("it has a window");
    scene.attach(id, Generation(1), Box::new(shared_pixels(size)?))?;
    scene.damage(id, Generation(1), &[Rect::of_size(size)]);
    Ok(())
}

fn render(scene: &mut Scene, pixels: &mut [u32], size: Size, age: u8) {
    let mut target = Target {
        pixels,
        size,
        stride: size.width as usize,
        age,
    };
    black_box(scene.render(OutputId(0), &mut target));
}

/// One maximised zone, painted whole, beside a plain copy of as many bytes.
fn opaque(
    table: &mut Table,
    name: &str,
    size: Size,
    pixman: &Pixman,
) -> Result<(), Box<dyn Error>> {
    let mut scene = Scene::new(size, Scale::ONE, Settings::default());
    zone(
        &mut scene,
        0,
        Rect::new(4, 66, size.width - 8, size.height - 70),
    )?;
    let mut source = vec![0x0012_3456u32; count(size)];
    let (mut ours, mut theirs) = (vec![1u32; count(size)], vec![1u32; count(size)]);
    let (mine, peer) = best(
        || render(&mut scene, &mut ours, size, 0),
        || black_box(&mut theirs[..]).copy_from_slice(black_box(&source)),
    );
    add(
        table,
        format!("{name}: opaque full frame, memcpy"),
        mine,
        peer,
        1.15,
    );
    let images = (
        pixman.image(X8R8G8B8, size, &mut source)?,
        pixman.image(X8R8G8B8, size, &mut theirs)?,
    );
    let (mine, peer) = best(
        || render(&mut scene, &mut ours, size, 0),
        || images.1.composite(SRC, &images.0, size),
    );
    add(
        table,
        format!("{name}: opaque full frame, pixman SRC"),
        mine,
        peer,
        1.15,
    );
    Ok(())
}

fn blend(table: &mut Table, name: &str, size: Size, pixman: &Pixman) -> Result<(), Box<dyn Error>> {
    let mut source = vec![0x8040_2010u32; count(size)];
    let over = source.clone();
    let (mut ours, mut theirs) = (
        vec![0xff12_3456u32; count(size)],
        vec![0xff12_3456u32; count(size)],
    );
    let images = (
        pixman.image(A8R8G8B8, size, &mut source)?,
        pixman.image(X8R8G8B8, size, &mut theirs)?,
    );
    let (mine, peer) = best(
        || blit::blend_over(black_box(&mut ours), black_box(&over)),
        || images.1.composite(OVER, &images.0, size),
    );
    add(
        table,
        format!("{name}: 50 % alpha, pixman OVER"),
        mine,
        peer,
        0.6,
    );
    Ok(())
}

/// Twenty windows, one hundredth of the screen damaged, beside painting the same scene whole.
fn small_damage(table: &mut Table, name: &str, size: Size) -> Result<(), Box<dyn Error>> {
    let mut scene = Scene::new(size, Scale::ONE, Settings::default());
    let (column, row) = (size.width / 6, size.height / 5);
    for number in 0..20 {
        let (x, y) = (number % 5 * column + number * 8, 80 + number / 5 * row);
        let at = |value: u32| i32::try_from(value).unwrap_or(0);
        zone(
            &mut scene,
            number,
            Rect::new(at(x), at(y), column + 60, row - 40),
        )?;
    }
    let mut pixels = vec![0; count(size)];
    render(&mut scene, &mut pixels, size, 0);
    let side = (size.width * size.height / 100).isqrt();
    // A hundredth of the screen, inside the topmost window.
    let part = Rect::new(0, 0, side * 2, side / 2);
    assert!(Rect::of_size(scene.client_size(ZoneId(19)).expect("it has a window")).covers(&part));
    let mut whole = Duration::MAX;
    let mut damaged = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        render(&mut scene, &mut pixels, size, 0);
        whole = whole.min(start.elapsed());
        scene.damage(ZoneId(19), Generation(1), &[part]);
        let start = Instant::now();
        render(&mut scene, &mut pixels, size, 1);
        damaged = damaged.min(start.elapsed());
    }
    add(
        table,
        format!("{name}: 20 windows, 1 % damage, whole frame"),
        damaged,
        whole,
        0.03,
    );
    Ok(())
}

/// A window of a quarter of the screen moves over a full-screen one, beside pixman copying as much: the window, and what
/// it uncovers.
fn moving_window(
    table: &mut Table,
    name: &str,
    size: Size,
    pixman: &Pixman,
) -> Result<(), Box<dyn Error>> {
    let mut scene = Scene::new(size, Scale::ONE, Settings::default());
    zone(
        &mut scene,
        0,
        Rect::new(4, 66, size.width - 8, size.height - 70),
    )?;
    let part = Size::new(size.width / 2, size.height / 2);
    zone(&mut scene, 1, Rect::new(100, 200, part.width, part.height))?;
    let mut ours = vec![0; count(size)];
    render(&mut scene, &mut ours, size, 0);
    let mut source = vec![0x0012_3456u32; count(size)];
    let mut theirs = vec![1u32; count(size)];
    let images = (
        pixman.image(X8R8G8B8, size, &mut source)?,
        pixman.image(X8R8G8B8, size, &mut theirs)?,
    );
    let mut step = 0;
    let (mine, peer) = best(
        || {
            step = (step + 7) % 300;
            scene.set_client_rect(
                ZoneId(1),
                Rect::new(100 + step, 200 + step / 2, part.width, part.height),
            );
            render(&mut scene, &mut ours, size, 1);
        },
        || {
            images.1.composite(SRC, &images.0, part);
            images
                .1
                .composite(SRC, &images.0, Size::new(part.width, 40));
        },
    );
    add(
        table,
        format!("{name}: moving window, pixman SRC"),
        mine,
        peer,
        1.5,
    );
    Ok(())
}

fn idle(table: &mut Table) -> Result<(), Box<dyn Error>> {
    let size = Size::new(1920, 1080);
    let mut scene = Scene::new(size, Scale::ONE, Settings::default());
    zone(&mut scene, 0, Rect::new(4, 66, 900, 700))?;
    let mut pixels = vec![0; count(size)];
    render(&mut scene, &mut pixels, size, 0);
    let frames = scene.statistics().frames;
    for second in 0..3600 {
        scene.tick(Duration::from_secs(second));
        if scene.needs_render(OutputId(0)) {
            render(&mut scene, &mut pixels, size, 1);
        }
    }
    let wakes = u64::from(scene.next_wake().is_some()) + scene.statistics().frames - frames;
    table.add(Row {
        work: "idle hour: wake-ups and frames".to_owned(),
        unit: "",
        ours: f64::from(u32::try_from(wakes)?),
        peer: None,
        bar: Bar::AtMost(0.0),
    });
    Ok(())
}

const X8R8G8B8: c_int = format_code(2, 0);
const A8R8G8B8: c_int = format_code(2, 8);
const SRC: c_int = 1;
const OVER: c_int = 3;

/// As libpixman's `PIXMAN_FORMAT` macro: 32 bits per pixel, 8 bits for each colour.
const fn format_code(kind: c_int, alpha: c_int) -> c_int {
    32 << 24 | kind << 16 | alpha << 12 | 8 << 8 | 8 << 4 | 8
}

type CreateBits = unsafe extern "C" fn(c_int, c_int, c_int, *mut u32, c_int) -> *mut c_void;
type Composite = unsafe extern "C" fn(
    c_int,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    i16,
    i16,
    i16,
    i16,
    i16,
    i16,
    u16,
    u16,
);
type Unref = unsafe extern "C" fn(*mut c_void) -> c_int;

struct Pixman {
    library: libloading::Library,
}

struct Image<'a> {
    pixman: &'a Pixman,
    handle: *mut c_void,
}

impl Pixman {
    fn load() -> Result<Self, Box<dyn Error>> {
        // SAFETY: libpixman's initialisers have no requirements.
        let library = unsafe { libloading::Library::new("libpixman-1.so.0") }
            .map_err(|error| format!("{error}; install libpixman-1-0 for the comparison"))?;
        Ok(Self { library })
    }

    /// An image over pixels that outlive it in every caller; those composited to are touched by nothing else meanwhile.
    fn image(
        &self,
        format: c_int,
        size: Size,
        pixels: &mut [u32],
    ) -> Result<Image<'_>, Box<dyn Error>> {
        let (width, height) = (c_int::try_from(size.width)?, c_int::try_from(size.height)?);
        assert_eq!(pixels.len(), count(size));
        // SAFETY: the signature is that of pixman.h; the pixels are as many as width, height and stride say.
        let handle = unsafe {
            let create = self
                .library
                .get::<CreateBits>(b"pixman_image_create_bits\0")?;
            create(format, width, height, pixels.as_mut_ptr(), width * 4)
        };
        if handle.is_null() {
            return Err("libpixman refused an image".into());
        }
        Ok(Image {
            pixman: self,
            handle,
        })
    }
}

impl Image<'_> {
    fn composite(&self, operator: c_int, source: &Image<'_>, size: Size) {
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        let (width, height) = (side(size.width), side(size.height));
        // SAFETY: both handles are images of at least this size; the signature is that of pixman.h.
        unsafe {
            if let Ok(composite) = self
                .pixman
                .library
                .get::<Composite>(b"pixman_image_composite\0")
            {
                composite(
                    operator,
                    source.handle,
                    std::ptr::null_mut(),
                    self.handle,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    width,
                    height,
                );
            }
        }
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle came from libpixman and is released once.
        unsafe {
            if let Ok(unref) = self.pixman.library.get::<Unref>(b"pixman_image_unref\0") {
                unref(self.handle);
            }
        }
    }
}
