//! What crosses between zones: its form, which is known before anything of it has come, and then its bytes.

use bulkhead_policy::{FileName, Kind, Permit, Scrub};
use ring::digest::{SHA256, digest};
use spice_agent::{ClipKind, Contents};
use zeroize::Zeroizing;

use crate::words::Goods;

/// As what something crosses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Clip(ClipKind),
    /// With its media type, by the ending of its name, where one is known; once the file is here, only if it begins as such a file.
    File(FileName, Option<MediaType>),
}

impl Form {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Clip(_) => Kind::Clipboard,
            Self::File(..) => Kind::File,
        }
    }

    /// As a person is told of it.
    pub(super) fn goods(&self) -> Goods {
        match self {
            Self::Clip(kind) => Goods::Clip(*kind),
            Self::File(..) => Goods::File,
        }
    }
}

/// A type of files that can be told by how they begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MediaType {
    pub(super) name: &'static str,
    ending: &'static str,
    /// Empty for text, which is UTF-8 without NUL.
    beginning: &'static [u8],
}

impl MediaType {
    const KNOWN: [Self; 6] = [
        Self::new("text/plain", "txt", b""),
        Self::new("application/pdf", "pdf", b"%PDF-"),
        Self::new("image/png", "png", b"\x89PNG\r\n\x1a\n"),
        Self::new("image/jpeg", "jpg", b"\xff\xd8\xff"),
        Self::new("image/jpeg", "jpeg", b"\xff\xd8\xff"),
        Self::new("application/zip", "zip", b"PK"),
    ];

    const fn new(name: &'static str, ending: &'static str, beginning: &'static [u8]) -> Self {
        Self {
            name,
            ending,
            beginning,
        }
    }

    pub(super) fn by_name(name: &FileName) -> Option<Self> {
        let (_, ending) = name.as_str().rsplit_once('.')?;
        let known = |known: &Self| ending.eq_ignore_ascii_case(known.ending);
        Self::KNOWN.into_iter().find(known)
    }

    pub(super) fn fits(self, bytes: &[u8]) -> bool {
        if self.beginning.is_empty() {
            std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
        } else {
            bytes.starts_with(self.beginning)
        }
    }
}

/// What crosses.
#[derive(Debug)]
pub(super) enum Payload {
    Clip(Contents),
    File(FileBytes),
}

/// A file's bytes: wiped when dropped, never printed.
pub(super) struct FileBytes(pub(super) Zeroizing<Vec<u8>>);

impl std::fmt::Debug for FileBytes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl Payload {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Clip(contents) => contents.bytes(),
            Self::File(FileBytes(bytes)) => bytes,
        }
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.bytes().len()).unwrap_or(u64::MAX)
    }

    pub(super) fn sha256(&self) -> String {
        let hash = digest(&SHA256, self.bytes());
        hash.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// What crosses, without what the policy wants taken out; none where that cannot be done.
pub(super) fn scrubbed(permit: &Permit, payload: Payload) -> Option<Payload> {
    let scrub = &permit.decision().duties.scrub;
    match payload {
        // A plain text has no formatting, no metadata and no links but those that are seen.
        Payload::Clip(contents) if contents.kind() == ClipKind::Text => {
            Some(Payload::Clip(if scrub.contains(&Scrub::Escapes) {
                contents.without_escapes()
            } else {
                contents
            }))
        }
        _ => scrub.is_empty().then_some(payload),
    }
}
