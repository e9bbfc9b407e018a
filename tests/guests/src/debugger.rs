//! A small GDB: the remote protocol's client, as scripts of tests need it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// One session.
#[derive(Debug)]
pub struct Gdb {
    stream: UnixStream,
}

impl Gdb {
    /// Speaks over this stream; an answer may take so long.
    ///
    /// # Panics
    /// When the host refuses the time.
    pub fn new(stream: UnixStream, patience: Duration) -> Self {
        stream
            .set_read_timeout(Some(patience))
            .expect("a time to wait");
        Self { stream }
    }

    /// Sends a packet and returns the answer.
    ///
    /// # Panics
    /// When none comes.
    pub fn ask(&mut self, packet: &str) -> String {
        self.say(packet);
        self.answer()
    }

    /// Sends a packet.
    ///
    /// # Panics
    /// When the stream is closed.
    pub fn say(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.put(format!("${packet}#{sum:02x}").as_bytes());
    }

    /// Asks the machine to stop; the next answer says where.
    ///
    /// # Panics
    /// When the stream is closed.
    pub fn interrupt(&mut self) -> String {
        self.put(&[3]);
        self.answer()
    }

    /// The next packet.
    ///
    /// # Panics
    /// When none comes, or a broken one.
    pub fn answer(&mut self) -> String {
        while self.byte() != b'$' {}
        let mut text = Vec::new();
        loop {
            match self.byte() {
                b'#' => break,
                b'}' => {
                    let escaped = self.byte() ^ 0x20;
                    text.push(escaped);
                }
                b'*' => {
                    // The byte before is repeated.
                    let count = self.byte() - 29;
                    let last = *text.last().expect("something to repeat");
                    text.extend(std::iter::repeat_n(last, count.into()));
                }
                byte => text.push(byte),
            }
        }
        let (_, _) = (self.byte(), self.byte());
        self.put(b"+");
        String::from_utf8(text).expect("text")
    }

    /// A register by GDB's number.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn register(&mut self, number: usize) -> u64 {
        let answer = self.ask(&format!("p{number:x}"));
        let bytes = bytes(&answer);
        let bytes = bytes.as_slice().try_into();
        u64::from_le_bytes(bytes.unwrap_or_else(|_| panic!("register {number}: {answer}")))
    }

    /// Memory.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn memory(&mut self, address: u64, length: usize) -> Vec<u8> {
        let answer = self.ask(&format!("m{address:x},{length:x}"));
        let bytes = bytes(&answer);
        assert_eq!(bytes.len(), length, "memory at {address:#x}: {answer}");
        bytes
    }

    fn put(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the stub listens");
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream
            .read_exact(&mut byte)
            .expect("the stub answers in time");
        byte[0]
    }
}

/// Pairs of hexadecimal digits; nothing for an error such as `E01`.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    digits.unwrap_or_default()
}
