//! Pictures of the desktop, as PNG files.

use std::fs::{DirBuilder, File};
use std::io::BufWriter;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use compositor::{Point, Size, Target};

use crate::{DESKTOP, Session};

/// A picture that could not be saved.
#[derive(Debug, thiserror::Error)]
#[error("the picture {} could not be saved", .path.display())]
pub struct PictureError {
    /// Its file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Takes pictures of a session.
pub trait Camera {
    /// Saves what the desktop shows now.
    ///
    /// # Errors
    /// The file cannot be written.
    fn take(
        &mut self,
        session: &mut Session,
        path: &Path,
        now: Instant,
    ) -> Result<(), PictureError>;
}

/// Pixels of a whole desktop in ordinary memory.
#[derive(Debug, Default)]
pub struct Canvas {
    size: Size,
    pixels: Vec<u32>,
}

impl Canvas {
    /// Brings the pixels up to date with the session; `is_last_frame` says whether they hold the last frame that was painted anywhere.
    pub fn paint(&mut self, session: &mut Session, is_last_frame: bool, now: Instant) {
        let size = session.size();
        let side = |pixels: u32| usize::try_from(pixels).unwrap_or(0);
        let age = u8::from(is_last_frame && self.size == size);
        if self.size != size {
            self.size = size;
            self.pixels = vec![0; side(size.width).saturating_mul(side(size.height))];
        }
        let mut target = Target {
            pixels: &mut self.pixels,
            size,
            stride: side(size.width),
            age,
        };
        session.render(DESKTOP, &mut target, now);
    }

    /// Makes pixels black.
    fn black_out(&mut self, is_black: impl Fn(Point) -> bool) {
        let places = (0_i32..).take(usize::try_from(self.size.height).unwrap_or(0));
        let row = usize::try_from(self.size.width).unwrap_or(0).max(1);
        for (y, pixels) in places.zip(self.pixels.chunks_exact_mut(row)) {
            for (x, pixel) in (0_i32..).zip(pixels) {
                if is_black(Point::new(x, y)) {
                    *pixel = 0;
                }
            }
        }
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// The pixels, XRGB8888, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// Writes a PNG file. An unfinished file is never found under its name.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PictureError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".part");
        self.encode(Path::new(&unfinished))
            .and_then(|()| Ok(std::fs::rename(&unfinished, path)?))
            .map_err(|source| PictureError {
                path: path.to_owned(),
                source,
            })
    }

    fn encode(&self, path: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut encoder = png::Encoder::new(
            BufWriter::new(File::create(path)?),
            self.size.width,
            self.size.height,
        );
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let bytes: Vec<u8> = self
            .pixels
            .iter()
            .flat_map(|pixel| {
                let [blue, green, red, _] = pixel.to_le_bytes();
                [red, green, blue]
            })
            .collect();
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&bytes)?;
        Ok(writer.finish()?)
    }
}

/// Takes the picture that a person wants, if one is wanted: zones that may not be in it are black.
pub fn take_wanted(session: &mut Session, now: Instant) {
    let Some(wanted) = session.wanted_picture() else {
        return;
    };
    let mut canvas = Canvas::default();
    canvas.paint(session, false, now);
    // The frame went to the picture, so the presenter's buffers have all of it before them.
    session.repaint();
    canvas.black_out(|at| session.is_black_in(&wanted, at));
    let saved = make_directory(&wanted.path).and_then(|()| canvas.save(&wanted.path));
    session.picture_taken(saved.map_err(|error| error.to_string()), now);
}

/// The directory of a file, for its owner alone.
fn make_directory(file: &Path) -> Result<(), PictureError> {
    let directory = file.parent().unwrap_or(file);
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|source| PictureError {
        path: directory.to_owned(),
        source: source.into(),
    })
}

/// For a presenter whose own buffers cannot be read: paints the desktop anew for each picture.
#[derive(Debug, Default)]
pub struct SpareCanvas;

impl Camera for SpareCanvas {
    fn take(
        &mut self,
        session: &mut Session,
        path: &Path,
        now: Instant,
    ) -> Result<(), PictureError> {
        let mut canvas = Canvas::default();
        canvas.paint(session, false, now);
        // The frame went to the picture, so the presenter's buffers have all of it before them.
        session.repaint();
        canvas.save(path)
    }
}
