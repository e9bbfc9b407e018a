//! Committed pictures, and how a painted one is compared with them; the tests of this crate and of its pages share it.
//!
//! With `BLESS=1` in the environment they are written anew: look at every changed one before committing it. A picture that
//! differs is written to the temporary folder, and the failure says where.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use compositor::Size;

/// Compares XRGB8888 pixels with the picture `name` in `folder`. A channel may differ by `leeway`.
pub fn check(folder: &Path, name: &str, size: Size, pixels: &[u32], leeway: u8) {
    let bytes: Vec<u8> = pixels
        .iter()
        .flat_map(|pixel| {
            let [blue, green, red, _] = pixel.to_le_bytes();
            [red, green, blue]
        })
        .collect();
    let path = folder.join(format!("{name}.png"));
    if std::env::var_os("BLESS").is_some() {
        return write(&path, size, &bytes);
    }
    let (golden_size, golden) = read(&path);
    let far = |(a, b): &(&[u8], &[u8])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > leeway);
    let differing = golden.chunks(3).zip(bytes.chunks(3)).filter(far).count();
    if golden_size != size || differing > 0 {
        let actual = std::env::temp_dir().join(format!("golden-{name}.png"));
        write(&actual, size, &bytes);
        let (path, actual) = (path.display(), actual.display());
        panic!("{name}: {differing} pixels differ from {path}; see {actual}");
    }
}

fn write(path: &Path, size: Size, bytes: &[u8]) {
    let file = BufWriter::new(File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(bytes).unwrap();
}

fn read(path: &Path) -> (Size, Vec<u8>) {
    let file = File::open(path)
        .unwrap_or_else(|error| panic!("{}: {error}; make it with BLESS=1", path.display()));
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let format = (info.color_type, info.bit_depth);
    assert_eq!(format, (png::ColorType::Rgb, png::BitDepth::Eight));
    (Size::new(info.width, info.height), bytes)
}
