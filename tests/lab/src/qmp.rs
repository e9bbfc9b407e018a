//! QEMU's monitor (QEMU Machine Protocol): a person's hands and eyes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a machine's monitor.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    picture: PathBuf,
}

/// Something a person does.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// A key goes down (true) or up, by QEMU's name for it (`QKeyCode`).
    Key(&'a str, bool),
    /// An absolute pointer goes there: 0 to 32767 in both directions.
    Point(u32, u32),
    /// A relative pointer goes so far.
    Move(i32, i32),
    /// A button goes down (true) or up: `left`, `right`, `middle`.
    Button(&'a str, bool),
}

/// What a screen shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Red, green and blue of each, row by row.
    pub pixels: Vec<[u8; 3]>,
}

impl Qmp {
    pub(crate) fn connect(path: &Path) -> Self {
        let give_up = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > give_up => panic!("no monitor: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut qmp = Self {
            reader: BufReader::new(stream),
            picture: path.with_extension("ppm"),
        };
        qmp.next();
        qmp.execute("qmp_capabilities", &json!({}));
        qmp
    }

    /// Runs a command to its answer.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.reader.get_mut(), "{request}").expect("the machine's monitor is there");
        loop {
            let mut answer = self.next();
            assert!(answer.get("error").is_none(), "{request}: {answer}");
            // Events come in between.
            if let Some(value) = answer.get_mut("return") {
                return value.take();
            }
        }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.reader
            .read_line(&mut line)
            .expect("the monitor answers");
        serde_json::from_str(&line).expect("the monitor speaks JSON")
    }

    /// Does these at once, as one report of a device would.
    pub fn act(&mut self, acts: &[Act<'_>]) {
        let axis = |kind: &str, axis: &str, value: i64| json!({ "type": kind, "data": { "axis": axis, "value": value } });
        let mut events = Vec::new();
        for act in acts {
            match act {
                Act::Key(name, down) => {
                    let key = json!({ "type": "qcode", "data": name });
                    events.push(json!({ "type": "key", "data": { "key": key, "down": down } }));
                }
                Act::Point(x, y) => {
                    events.push(axis("abs", "x", (*x).into()));
                    events.push(axis("abs", "y", (*y).into()));
                }
                Act::Move(x, y) => {
                    events.push(axis("rel", "x", (*x).into()));
                    events.push(axis("rel", "y", (*y).into()));
                }
                Act::Button(button, down) => {
                    let data = json!({ "button": button, "down": down });
                    events.push(json!({ "type": "btn", "data": data }));
                }
            }
        }
        self.execute("input-send-event", &json!({ "events": events }));
    }

    /// Presses keys one after the other and releases them the other way round.
    pub fn chord(&mut self, keys: &[&str]) {
        for key in keys {
            self.act(&[Act::Key(key, true)]);
        }
        for key in keys.iter().rev() {
            self.act(&[Act::Key(key, false)]);
        }
    }

    /// What the screen shows now.
    pub fn picture(&mut self) -> Picture {
        self.dump(json!({}))
    }

    /// What one of several screens of a card shows now.
    pub fn picture_of(&mut self, card: &str, head: u32) -> Picture {
        self.dump(json!({ "device": card, "head": head }))
    }

    fn dump(&mut self, mut arguments: Value) -> Picture {
        arguments["filename"] = json!(self.picture);
        self.execute("screendump", &arguments);
        Picture::parse(&fs::read(&self.picture).expect("read the picture"))
    }
}

impl Picture {
    /// Reads a picture in the binary PPM form.
    fn parse(bytes: &[u8]) -> Self {
        let mut fields = bytes.splitn(4, |byte| byte.is_ascii_whitespace());
        assert_eq!(fields.next(), Some(&b"P6"[..]), "a binary PPM");
        let mut number = || -> usize {
            let field = fields.next().expect("a header");
            std::str::from_utf8(field).unwrap().parse().unwrap()
        };
        let (width, height) = (number(), number());
        let rest = fields.next().expect("pixels");
        let pixels = rest.strip_prefix(b"255\n").expect("8 bits a channel");
        let (pixels, []) = pixels.as_chunks() else {
            panic!("whole pixels");
        };
        assert_eq!(pixels.len(), width * height);
        Self {
            width,
            height,
            pixels: pixels.to_vec(),
        }
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Picture({} x {})", self.width, self.height)
    }
}
