//! What the whole-system tests share: the built programs, the guest image, a desktop without a display that plays a script, and
//! the pictures it took.
//!
//! The tests see the product as a user does, from outside: command line, policy file, script, screenshots, console output. They
//! need what `cargo xtask test` builds and names in the environment.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Rows of the panel, at least.
const PANEL: u32 = 40;
/// At least the width of a frame's border, and the height of its title, at scale 1.
const BORDER: u32 = 6;
const TITLE: u32 = 40;

/// Where `bulkhead` and `bulkhead-zone` are.
pub const BIN_DIR: &str = "BULKHEAD_BIN_DIR";
/// The image store with the guest image.
pub const IMAGE_STORE: &str = "BULKHEAD_IMAGE_STORE";
/// The desktop's state directory, in its own directory.
const STATE: &str = "state";
/// The guest image's name in the store.
const IMAGE: &str = "debian-desktop";

/// A directory that `cargo xtask test` names.
///
/// # Panics
/// When it is not named: a test must not pass by not running.
pub fn directory(variable: &str) -> PathBuf {
    let Some(path) = std::env::var_os(variable) else {
        panic!("{variable} is not set: run the whole-system tests by `cargo xtask test`");
    };
    PathBuf::from(path)
}

/// A desktop without a display, of one policy and one script, in a directory of its own.
#[derive(Debug)]
pub struct Desktop {
    directory: TempDir,
    size: (u32, u32),
    zones: Vec<String>,
    /// What may cross between them: the policy's rules.
    rules: String,
}

impl Desktop {
    /// A desktop of this size with a zone of each name, started in this order.
    ///
    /// # Panics
    /// When the host gives no directory.
    pub fn new(size: (u32, u32), zones: &[&str]) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            size,
            zones: zones.iter().map(ToString::to_string).collect(),
            rules: String::new(),
        }
    }

    /// The same with rules (`[[flow]]` tables) for what may cross.
    pub fn with_rules(self, rules: &str) -> Self {
        Self {
            rules: rules.to_owned(),
            ..self
        }
    }

    /// Replaces the policy of a desktop that runs by one of this version with these rules.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn replace_policy(&self, version: u32, rules: &str) {
        let header = format!("[policy]\nid = \"test\"\nversion = {version}\n");
        let fresh = self.file("policy.toml.new");
        fs::write(&fresh, [&header, &self.zone_tables(), rules].concat())
            .expect("the policy is written");
        fs::rename(fresh, self.file("policy.toml")).expect("the policy is replaced");
    }

    /// Waits until a file of the desktop is there: a script that takes pictures says so how far it is.
    ///
    /// # Panics
    /// When the desktop ends before, with everything it said.
    pub fn wait_for(&self, name: &str, mut desktop: Child) -> Child {
        while !self.file(name).exists() {
            if let Ok(Some(_)) = desktop.try_wait() {
                self.finish(desktop).succeeded();
                panic!("bulkhead ended before there was {name}");
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        desktop
    }

    /// Waits for the end of a script.
    ///
    /// # Panics
    /// When the program cannot be waited for.
    pub fn finish(&self, desktop: Child) -> Played {
        Played {
            directory: self.directory.path().to_owned(),
            output: desktop.wait_with_output().expect("bulkhead is waited for"),
        }
    }

    /// Plays a script to its end; relative names in it are in the desktop's directory.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn play(&self, script: &str) -> Played {
        self.finish(self.start(script))
    }

    /// Starts a desktop that plays a script.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(&self, script: &str) -> Child {
        self.replace_policy(1, &self.rules);
        fs::write(self.file("script.txt"), script).expect("the script is written");
        Command::new(directory(BIN_DIR).join("bulkhead"))
            .args([
                "run",
                "--policy",
                "policy.toml",
                "--headless",
                "--script",
                "script.txt",
                "--state-dir",
                STATE,
            ])
            .arg("--image-store")
            .arg(directory(IMAGE_STORE))
            .args(["--size", &format!("{}x{}", self.size.0, self.size.1)])
            .current_dir(self.directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bulkhead starts")
    }

    /// Runs `bulkhead bench latency` for one of the zones with these words more, on a desktop of its own.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn latency(&self, zone: &str, words: &[&str]) -> Output {
        self.replace_policy(1, &self.rules);
        Command::new(directory(BIN_DIR).join("bulkhead"))
            .args(["bench", "latency", "--json", "--zone", zone])
            .args(words)
            .args([
                "--policy",
                "policy.toml",
                "--headless",
                "--state-dir",
                STATE,
            ])
            .arg("--image-store")
            .arg(directory(IMAGE_STORE))
            .args(["--size", &format!("{}x{}", self.size.0, self.size.1)])
            .current_dir(self.directory.path())
            .output()
            .expect("bulkhead starts")
    }

    /// Runs `bulkhead usb` with these words for the running desktop.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn usb(&self, words: &[&str]) -> Output {
        Command::new(directory(BIN_DIR).join("bulkhead"))
            .args(["usb", "--state-dir", STATE, "--policy", "policy.toml"])
            .args(words)
            .current_dir(self.directory.path())
            .output()
            .expect("bulkhead starts")
    }

    /// A file in the desktop's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn zone_tables(&self) -> String {
        let zone = |(name, look): (&String, &Look)| {
            let Look {
                colour: [red, green, blue],
                shape,
                icon,
            } = look;
            format!(
                "[zone.{name}]\ncolour = \"#{red:02x}{green:02x}{blue:02x}\"\nshape = \"{shape}\"\nicon = \"{icon}\"\nimage = {IMAGE:?}\nautostart = true\n"
            )
        };
        self.zones.iter().zip(&LOOKS).map(zone).collect()
    }
}

/// How a zone's frame looks.
struct Look {
    colour: [u8; 3],
    shape: &'static str,
    icon: &'static str,
}

/// The zones' looks, in their order.
const LOOKS: [Look; 2] = [
    Look {
        colour: [0x00, 0x9e, 0x73],
        shape: "circle",
        icon: "globe",
    },
    Look {
        colour: [0x00, 0x72, 0xb2],
        shape: "hexagon",
        icon: "briefcase",
    },
];

/// What a script left behind.
#[derive(Debug)]
pub struct Played {
    directory: PathBuf,
    output: Output,
}

impl Played {
    /// Fails the test with everything the program said unless the script ran to its end.
    ///
    /// # Panics
    /// As said.
    pub fn succeeded(self) -> Self {
        assert!(
            self.output.status.success(),
            "bulkhead ended with {}:\n{}",
            self.output.status,
            self.said()
        );
        self
    }

    /// Everything the program printed.
    pub fn said(&self) -> String {
        [&self.output.stdout, &self.output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .concat()
    }

    /// A screenshot that the script took.
    ///
    /// # Panics
    /// When there is none.
    pub fn picture(&self, name: &str) -> Picture {
        Picture::open(&self.directory.join(name))
    }
}

/// A screenshot's pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    fn open(path: &Path) -> Self {
        let file = File::open(path)
            .unwrap_or_else(|error| panic!("there is no {}: {error}", path.display()));
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().expect("a PNG file");
        let mut bytes = vec![
            0;
            reader
                .output_buffer_size()
                .expect("a picture of sensible size")
        ];
        let info = reader.next_frame(&mut bytes).expect("a whole PNG file");
        let samples = info.color_type.samples();
        assert!(samples >= 3, "screenshots are in colour");
        let rgb = bytes[..info.buffer_size()]
            .chunks_exact(samples)
            .map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
        Self {
            width: info.width,
            height: info.height,
            rgb,
        }
    }

    /// One pixel.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        self.rgb[(y * self.width + x) as usize]
    }

    /// The client area of the zone at this place in the desktop's list: what its frame, all of it in the zone's colour, surrounds.
    ///
    /// # Panics
    /// When no such frame is to be seen.
    pub fn client_area(&self, zone: usize) -> Area {
        let colour = LOOKS[zone].colour;
        // The panel shows zones' colours too.
        let framed = |(x, y): &(u32, u32)| *y > PANEL && self.pixel(*x, *y) == colour;
        let all = Area {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        };
        let ends = all
            .pixels()
            .filter(framed)
            .fold(None, |ends: Option<[u32; 4]>, (x, y)| {
                Some(ends.map_or([x, y, x, y], |[left, top, right, bottom]| {
                    [left.min(x), top.min(y), right.max(x), bottom.max(y)]
                }))
            });
        let Some([left, top, right, bottom]) = ends else {
            panic!("there is no frame of zone {zone} to be seen")
        };
        Area {
            x: left + BORDER,
            y: top + TITLE,
            width: right - left - 2 * BORDER,
            height: bottom - top - TITLE - BORDER,
        }
    }

    /// The pixels that differ between two pictures of the same size within a rectangle.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn differences(&self, other: &Self, area: Area) -> usize {
        assert_eq!((self.width, self.height), (other.width, other.height));
        area.pixels()
            .filter(|(x, y)| self.pixel(*x, *y) != other.pixel(*x, *y))
            .count()
    }
}

/// A rectangle of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Area {
    /// Every pixel's coordinates.
    pub fn pixels(self) -> impl Iterator<Item = (u32, u32)> {
        (self.y..self.y + self.height)
            .flat_map(move |y| (self.x..self.x + self.width).map(move |x| (x, y)))
    }
}
