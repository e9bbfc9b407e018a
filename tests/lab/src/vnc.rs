//! As much of a VNC viewer (RFC 6143, with the extension "ExtendedDesktopSize") as it takes to give a virtual screen another size: to the
//! machine that is one screen unplugged and another plugged in.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

const VERSION: &[u8; 12] = b"RFB 003.008\n";
const NO_SECURITY: u8 = 1;
const SET_ENCODINGS: u8 = 2;
const SET_DESKTOP_SIZE: u8 = 251;
const EXTENDED_DESKTOP_SIZE: i32 = -308;

/// A viewer that never asks for pixels.
#[derive(Debug)]
pub struct Viewer(UnixStream);

impl Viewer {
    /// A viewer of the screen that QEMU serves at `path` (`-vnc unix:PATH,display=ID,head=N`).
    ///
    /// # Panics
    /// When QEMU does not.
    #[must_use]
    pub fn connect(path: &Path) -> Self {
        let mut viewer = Self(UnixStream::connect(path).expect("QEMU serves VNC"));
        assert_eq!(&viewer.read::<12>(), VERSION);
        viewer.write(VERSION);
        let [count] = viewer.read();
        for _ in 0..count {
            viewer.read::<1>();
        }
        viewer.write(&[NO_SECURITY]);
        assert_eq!(viewer.read(), [0; 4], "no password is asked for");
        // Other viewers may stay.
        viewer.write(&[1]);
        let [.., a, b, c, d] = viewer.read::<24>();
        for _ in 0..u32::from_be_bytes([a, b, c, d]) {
            viewer.read::<1>();
        }
        let [a, b, c, d] = EXTENDED_DESKTOP_SIZE.to_be_bytes();
        viewer.write(&[SET_ENCODINGS, 0, 0, 1, a, b, c, d]);
        viewer
    }

    /// Asks for one screen of this size.
    pub fn set_size(&mut self, width: u16, height: u16) {
        let [[w, x], [h, i]] = [width.to_be_bytes(), height.to_be_bytes()];
        let request = [SET_DESKTOP_SIZE, 0, w, x, h, i, 1, 0];
        let screen = [0, 0, 0, 0, 0, 0, 0, 0, w, x, h, i, 0, 0, 0, 0];
        self.write(&[&request[..], &screen].concat());
    }

    fn read<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        self.0.read_exact(&mut bytes).expect("the viewer's link");
        bytes
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the viewer's link");
    }
}
