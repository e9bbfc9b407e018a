//! What the whole-system tests share: the built programs, the guest image, a desktop without a display that plays a script, and
//! the pictures it took.
//!
//! The tests see the product as a user does, from outside: command line, policy file, script, screenshots, console output. They
//! need what `cargo xtask test` builds and names in the environment.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use guest_image::{FileName, Sha256, Store, cpio};
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
/// What an image's files are, in its directory.
const MANIFEST: &str = "manifest.toml";
/// The debugger that knows the guest's architecture.
const GDB: &str = "gdb-multiarch";

/// Puts an image into a store: the stock one with another first program, a script, and nothing in its root volume.
///
/// # Panics
/// When the stock image is not there, or the host cannot write.
pub fn image_with_init(name: &str, init: &str, store: &Path) {
    let stock = Store::new(directory(IMAGE_STORE))
        .find(IMAGE)
        .unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().expect("a temporary directory");
    // The kernel takes archives that follow each other, and what comes later replaces what was there.
    let initramfs = fs::read(stock.path(FileName::Initramfs)).expect("the stock initramfs");
    let mut archive = cpio::Writer::new(initramfs);
    archive
        .file("init", 0o755, init.as_bytes())
        .expect("written");
    let initramfs = archive.finish().expect("written");
    let root = vec![0; 4096];
    fs::copy(stock.path(FileName::Kernel), folder.path().join("kernel")).expect("the kernel");
    fs::write(folder.path().join("initramfs"), &initramfs).expect("an initramfs");
    fs::write(folder.path().join("root.squashfs"), &root).expect("a root volume");

    let manifest = fs::read_to_string(stock.directory().join(MANIFEST)).expect("the manifest");
    let mut file = None;
    let mut lines = Vec::new();
    for line in manifest.lines() {
        let value = |bytes: &[u8]| match line.split_once(" = ") {
            Some(("size", _)) => Some(format!("size = {}", bytes.len())),
            Some(("sha256", _)) => Some(format!("sha256 = \"{}\"", Sha256::of(bytes))),
            _ => None,
        };
        match line {
            "name = \"initramfs\"" => file = Some(&initramfs),
            "name = \"root.squashfs\"" => file = Some(&root),
            "" => file = None,
            _ => {}
        }
        let line = match file.and_then(|bytes| value(bytes)) {
            Some(changed) => changed,
            None => line.replace(&format!("name = {IMAGE:?}"), &format!("name = {name:?}")),
        };
        lines.push(line);
    }
    fs::write(folder.path().join(MANIFEST), lines.join("\n") + "\n").expect("a manifest");
    Store::new(store)
        .import(folder.path())
        .unwrap_or_else(|error| panic!("{error}"));
}

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
    /// The image store, and each zone's image.
    images: Option<(PathBuf, Vec<String>)>,
    /// Whether what is in the zones' homes is kept.
    persistent: bool,
    /// Whether debuggers may look into them.
    debugged: bool,
    /// Whether what they write to their consoles is kept in files.
    logged: bool,
    /// Their keyboards' layout, as XKB names it.
    layout: &'static str,
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
            images: None,
            persistent: false,
            debugged: false,
            logged: false,
            layout: "us",
        }
    }

    /// The same with other images than the stock one, a zone each.
    pub fn with_images(self, store: &Path, images: &[&str]) -> Self {
        let images = images.iter().map(ToString::to_string).collect();
        Self {
            images: Some((store.to_owned(), images)),
            ..self
        }
    }

    /// The same with zones whose homes are kept.
    pub fn persistent(self) -> Self {
        Self {
            persistent: true,
            ..self
        }
    }

    /// The same with zones that debuggers may look into.
    pub fn debugged(self) -> Self {
        Self {
            debugged: true,
            ..self
        }
    }

    /// The same with rules (`[[flow]]` tables) for what may cross.
    pub fn with_rules(self, rules: &str) -> Self {
        Self {
            rules: rules.to_owned(),
            ..self
        }
    }

    /// The same with what the guests write to their consoles in files, for [`Desktop::console_of`].
    pub fn logged(self) -> Self {
        Self {
            logged: true,
            ..self
        }
    }

    /// The same with another keyboard layout in all zones.
    pub fn with_layout(self, layout: &'static str) -> Self {
        Self { layout, ..self }
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
            .arg(match &self.images {
                Some((store, _)) => store.clone(),
                None => directory(IMAGE_STORE),
            })
            .args(["--size", &format!("{}x{}", self.size.0, self.size.1)])
            .args(self.debugged.then_some("--debug-zones"))
            .args(self.logged.then_some("--verbose"))
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

    /// Runs GDB's commands on a zone of the running desktop, by `bulkhead zone debug`; what GDB said.
    ///
    /// # Panics
    /// When GDB cannot be started.
    pub fn gdb(&self, zone: &str, commands: &[&str]) -> String {
        let bulkhead = directory(BIN_DIR).join("bulkhead");
        let connect = format!(
            "target remote | {} zone debug {zone} --state-dir {STATE}",
            bulkhead.display()
        );
        let mut gdb = Command::new(GDB);
        gdb.args(["-nx", "-batch", "-ex", "set architecture riscv:rv64"])
            .args(["-ex", "set remotetimeout 60", "-ex", &connect]);
        for command in commands {
            gdb.args(["-ex", command]);
        }
        let output = gdb
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| {
                panic!("{GDB} cannot be started ({error}); Debian's package has the same name")
            });
        [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat()
    }

    /// What a zone's guest wrote to its console so far.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn console_of(&self, zone: &str) -> String {
        let log = self.file(STATE).join(format!("{zone}.console.log"));
        let bytes = fs::read(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The same where the zone may not have been started yet.
    pub fn console_so_far(&self, zone: &str) -> String {
        let log = self.file(STATE).join(format!("{zone}.console.log"));
        String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
    }

    /// A file in the desktop's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn zone_tables(&self) -> String {
        let persistence = if self.persistent {
            "persistent"
        } else {
            "disposable"
        };
        let zone = |(index, (name, look)): (usize, (&String, &Look))| {
            let Look {
                colour: [red, green, blue],
                shape,
                icon,
            } = look;
            let image = match &self.images {
                Some((_, images)) => &images[index],
                None => IMAGE,
            };
            format!(
                "[zone.{name}]\ncolour = \"#{red:02x}{green:02x}{blue:02x}\"\nshape = \"{shape}\"\nicon = \"{icon}\"\nimage = {image:?}\n\
                 persistence = \"{persistence}\"\nkeyboard-layout = {layout:?}\nautostart = true\n",
                layout = self.layout,
            )
        };
        self.zones
            .iter()
            .zip(&LOOKS)
            .enumerate()
            .map(zone)
            .collect()
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
