//! From messages to bytes for the agent.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use crate::clip::{ClipKind, Contents};
use crate::wire::{
    ANNOUNCE_CAPABILITIES, BY_DEMAND, CHUNK_HEADER, CHUNK_MOST, CLIENT_PORT, CLIPBOARD,
    CLIPBOARD_GRAB, CLIPBOARD_RELEASE, CLIPBOARD_REQUEST, FILE_DATA, FILE_START, FILE_STATUS,
    KIND_NONE, MESSAGE_HEADER, PROTOCOL, SELECTION_CLIPBOARD, SELECTIONS, STATUS_CANCELLED,
};

/// Messages that may wait for an agent that does not read. It causes none but by its own messages and by a person's keys.
const WAITING_MOST: usize = 64;

/// Bytes that wait for the guest to take them.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    waiting: VecDeque<Zeroizing<Vec<u8>>>,
    /// Bytes of the first of them that were taken.
    taken: usize,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn capabilities(&mut self) {
        let request = 0_u32.to_le_bytes();
        let able = (BY_DEMAND | SELECTIONS).to_le_bytes();
        self.push(ANNOUNCE_CAPABILITIES, &[&request, &able]);
    }

    pub(crate) fn offer(&mut self, kind: ClipKind) {
        let number = kind.number().to_le_bytes();
        self.push(CLIPBOARD_GRAB, &[&selection(), &number]);
    }

    pub(crate) fn request(&mut self, kind: ClipKind) {
        let number = kind.number().to_le_bytes();
        self.push(CLIPBOARD_REQUEST, &[&selection(), &number]);
    }

    pub(crate) fn release(&mut self) {
        self.push(CLIPBOARD_RELEASE, &[&selection()]);
    }

    pub(crate) fn data(&mut self, contents: &Contents) {
        let number = contents.kind().number().to_le_bytes();
        self.push(CLIPBOARD, &[&selection(), &number, contents.bytes()]);
    }

    pub(crate) fn nothing(&mut self) {
        self.push(CLIPBOARD, &[&selection(), &KIND_NONE.to_le_bytes()]);
    }

    pub(crate) fn file(&mut self, id: u32, name: &str, size: usize) {
        // The format of GLib's key files; a name's backslashes and leading space would be read as something else.
        let name = name.replace('\\', "\\\\").replace(' ', "\\s");
        let about = format!("[vdagent-file-xfer]\nname={name}\nsize={size}\n\0");
        self.push(FILE_START, &[&id.to_le_bytes(), about.as_bytes()]);
    }

    pub(crate) fn file_data(&mut self, id: u32, bytes: &[u8]) {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.push(FILE_DATA, &[&id.to_le_bytes(), &size.to_le_bytes(), bytes]);
    }

    pub(crate) fn file_cancelled(&mut self, id: u32) {
        let status = STATUS_CANCELLED.to_le_bytes();
        self.push(FILE_STATUS, &[&id.to_le_bytes(), &status]);
    }

    fn push(&mut self, kind: u32, parts: &[&[u8]]) {
        if self.waiting.len() >= WAITING_MOST {
            // An agent that asks and asks without reading the answers gets no more of them.
            return;
        }
        let size = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let stated = u32::try_from(size).unwrap_or(u32::MAX);
        let header = [
            &PROTOCOL.to_le_bytes()[..],
            &kind.to_le_bytes(),
            &0_u64.to_le_bytes(),
            &stated.to_le_bytes(),
        ];
        let total = MESSAGE_HEADER.saturating_add(size);
        let chunks = total.div_ceil(CHUNK_MOST);
        // All the room at once: growing would leave copies behind that are not wiped.
        let room = total.saturating_add(chunks.saturating_mul(CHUNK_HEADER));
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let mut left = total;
        let mut chunk_left = 0;
        for part in header.iter().chain(parts) {
            let mut part = *part;
            while !part.is_empty() {
                if chunk_left == 0 {
                    chunk_left = left.min(CHUNK_MOST);
                    left = left.saturating_sub(chunk_left);
                    bytes.extend_from_slice(&CLIENT_PORT.to_le_bytes());
                    let stated = u32::try_from(chunk_left).unwrap_or(0);
                    bytes.extend_from_slice(&stated.to_le_bytes());
                }
                let (now, later) = part.split_at(part.len().min(chunk_left));
                bytes.extend_from_slice(now);
                chunk_left = chunk_left.saturating_sub(now.len());
                part = later;
            }
        }
        self.waiting.push_back(bytes);
    }

    /// The next bytes, at most `most`.
    pub(crate) fn take(&mut self, most: usize) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(most));
        while let Some(first) = self.waiting.front() {
            let rest = first.get(self.taken..).unwrap_or_default();
            let (now, later) = rest.split_at(rest.len().min(most.saturating_sub(bytes.len())));
            bytes.extend_from_slice(now);
            if !later.is_empty() {
                self.taken = self.taken.saturating_add(now.len());
                break;
            }
            self.waiting.pop_front();
            self.taken = 0;
        }
        bytes
    }
}

fn selection() -> [u8; 4] {
    [SELECTION_CLIPBOARD, 0, 0, 0]
}
