//! What is copied: its kind, and bytes that are of that kind.

use std::fmt;

use zeroize::Zeroizing;

/// The forms of copied things that are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClipKind {
    /// Text in UTF-8.
    Text,
    /// A picture as PNG.
    Png,
    /// A picture as BMP.
    Bmp,
    /// A picture as TIFF.
    Tiff,
    /// A picture as JPEG.
    Jpeg,
}

impl ClipKind {
    /// All of them: what is preferred comes first.
    pub const ALL: [Self; 5] = [Self::Text, Self::Png, Self::Jpeg, Self::Tiff, Self::Bmp];

    /// The number in the protocol.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Text => 1,
            Self::Png => 2,
            Self::Bmp => 3,
            Self::Tiff => 4,
            Self::Jpeg => 5,
        }
    }

    /// The kind with a number; none for what is not handled, such as lists of files.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The media type.
    #[must_use]
    pub fn mime(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Png => "image/png",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// How a file of this kind begins; text begins anyhow.
    fn signatures(self) -> &'static [&'static [u8]] {
        match self {
            Self::Text => &[b""],
            Self::Png => &[b"\x89PNG\r\n\x1a\n"],
            Self::Bmp => &[b"BM"],
            Self::Tiff => &[b"II*\0", b"MM\0*"],
            Self::Jpeg => &[b"\xff\xd8\xff"],
        }
    }
}

/// Copied bytes that are what they claim to be: text is UTF-8 without NUL, a picture begins as one of its kind does (it is not
/// decoded, and nothing more is known of it). Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents {
    kind: ClipKind,
    bytes: Zeroizing<Vec<u8>>,
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// More than may be brought.
    #[error("it has {found} bytes, and at most {limit} may be brought")]
    TooLarge {
        /// How many it has.
        found: u32,
        /// How many it may have.
        limit: usize,
    },
    /// The guest has nothing, or nothing of that kind, any more.
    #[error("there is nothing any more")]
    Nothing,
    /// It is of another kind than was asked for.
    #[error("it is of another kind than was asked for")]
    OtherKind,
    /// It is not what it says.
    #[error("it says that it is {} and is not", .0.mime())]
    NotWhatItSays(ClipKind),
}

impl Contents {
    /// Checks bytes.
    ///
    /// # Errors
    /// There are none, or they are not of this kind.
    pub fn new(kind: ClipKind, bytes: Zeroizing<Vec<u8>>) -> Result<Self, ContentsError> {
        let begins = |signature: &&[u8]| bytes.starts_with(signature);
        let fits = match kind {
            _ if bytes.is_empty() => return Err(ContentsError::Nothing),
            ClipKind::Text => std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0),
            _ => kind.signatures().iter().any(begins),
        };
        if fits {
            Ok(Self { kind, bytes })
        } else {
            Err(ContentsError::NotWhatItSays(kind))
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ClipKind {
        self.kind
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Takes out of a text what a terminal or an editor might obey instead of show: all control characters but tab and line feed
    /// (a carriage return with its line feed becomes that), and those that change the direction of text or have no width.
    #[must_use]
    pub fn without_escapes(self) -> Self {
        let Ok(text) = std::str::from_utf8(&self.bytes) else {
            return self;
        };
        // As long as the text at most, so that no copy is left behind by growing.
        let mut kept = Zeroizing::new(Vec::with_capacity(self.bytes.len()));
        for character in text.chars().filter(|character| !obeyed(*character)) {
            let mut buffer = [0; 4];
            kept.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        }
        Self {
            kind: self.kind,
            bytes: kept,
        }
    }
}

/// Characters that do something rather than being seen.
fn obeyed(character: char) -> bool {
    match character {
        '\t' | '\n' => false,
        // Marks and overrides of direction, isolates, joiners of no width, invisible operators, language tags.
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        other => other.is_control(),
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Contents({}, {} bytes)",
            self.kind.mime(),
            self.bytes.len()
        )
    }
}
