//! What a guest's session offers beside its clipboard: one file. The lines of Bulkhead's own guest images on the console port
//! `org.bulkhead.outbox`; stock agents can take files and not offer any.
//!
//! | line | from | means |
//! | --- | --- | --- |
//! | `offer SIZE NAME` | guest | this file is to be had, in place of any other |
//! | `withdraw` | guest | it is not any more |
//! | `send` | host | bring it |
//! | `+BASE64` | guest | the next bytes of it |
//! | `end` | guest | that was all |
//! | `taken` | host | it has crossed |
//!
//! Lines end with a line feed, so that after anything broken off the next line is in step again; what is no such line is skipped.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// The longest line: the longest file name and what stands before it.
const LINE_MOST: usize = 320;

/// What a guest's session said.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum Offer {
    /// There is a file with this name, as the guest puts it, or one that cannot be brought. None of it has left the guest.
    File(Result<String, OfferError>),
    /// What was offered is gone.
    Withdrawn,
    /// The answer to [`Outbox::request`].
    Data(Zeroizing<Vec<u8>>),
    /// The answer to [`Outbox::request`] cannot be used.
    Refused(OfferError),
}

/// A file that cannot be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// It is larger than may be brought.
    #[error("the file is larger than {0} bytes, and no more may be brought")]
    TooLarge(usize),
    /// It is not encoded as it should be.
    #[error("the file came garbled")]
    Garbled,
}

/// A guest's outbox, as the host sees it.
#[derive(Debug)]
pub struct Outbox {
    limit: usize,
    line: Zeroizing<Vec<u8>>,
    /// The present line is longer than any can be.
    is_overlong: bool,
    /// What was asked for, as far as it came.
    kept: Option<Zeroizing<Vec<u8>>>,
    /// How long the offered file says it is: room to be kept for it, and nothing else.
    stated: usize,
}

impl Outbox {
    /// What brings the host to fetch the file: the guest shall send it.
    pub const SEND: &[u8] = b"send\n";
    /// It has crossed: whoever offers it may end.
    pub const TAKEN: &[u8] = b"taken\n";

    /// An outbox of which nothing was heard yet. It is let bring at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Zeroizing::new(Vec::with_capacity(LINE_MOST)),
            is_overlong: false,
            kept: None,
            stated: 0,
        }
    }

    /// Keeps what comes from now on; [`Outbox::SEND`] is to be sent to the guest. [`Offer::Data`] or [`Offer::Refused`] answers, or
    /// nothing ever does.
    pub fn request(&mut self) {
        // All the room at once: growing would leave copies behind that are not wiped.
        let room = self.stated.min(self.limit);
        self.kept = Some(Zeroizing::new(Vec::with_capacity(room)));
    }

    /// Forgets that something was asked for: a late answer is skipped.
    pub fn forget_request(&mut self) {
        self.kept = None;
    }

    /// Takes bytes that came on the port, in pieces of any size.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<Offer> {
        let mut offers = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                if !std::mem::take(&mut self.is_overlong) {
                    offers.extend(self.understand());
                }
                self.line.clear();
            } else if self.line.len() < LINE_MOST {
                self.line.push(*byte);
            } else {
                self.is_overlong = true;
            }
        }
        offers
    }

    fn understand(&mut self) -> Option<Offer> {
        if let Some(encoded) = self.line.strip_prefix(b"+") {
            let kept = self.kept.as_mut()?;
            let mut buffer = Zeroizing::new([0; LINE_MOST]);
            let Ok(bytes) = Base64::decode(encoded, buffer.as_mut()) else {
                self.kept = None;
                return Some(Offer::Refused(OfferError::Garbled));
            };
            // More than was stated, and so than is allowed, would outgrow its room.
            if kept.len().saturating_add(bytes.len()) > self.stated.min(self.limit) {
                self.kept = None;
                return Some(Offer::Refused(OfferError::Garbled));
            }
            kept.extend_from_slice(bytes);
            return None;
        }
        let line = std::str::from_utf8(&self.line).ok()?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "offer" => {
                let (size, name) = rest.split_once(' ')?;
                self.stated = size.parse().ok()?;
                self.kept = None;
                Some(Offer::File(if self.stated <= self.limit {
                    Ok(name.to_owned())
                } else {
                    Err(OfferError::TooLarge(self.limit))
                }))
            }
            "withdraw" => {
                self.kept = None;
                Some(Offer::Withdrawn)
            }
            "end" => {
                let kept = self.kept.take()?;
                Some(if kept.len() == self.stated {
                    Offer::Data(kept)
                } else {
                    Offer::Refused(OfferError::Garbled)
                })
            }
            _ => None,
        }
    }
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(name) => write!(formatter, "File({name:?})"),
            Self::Withdrawn => formatter.write_str("Withdrawn"),
            Self::Data(bytes) => write!(formatter, "Data({} bytes)", bytes.len()),
            Self::Refused(error) => write!(formatter, "Refused({error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(offer: &str, limit: usize) -> Outbox {
        let mut outbox = Outbox::new(limit);
        outbox.receive(offer.as_bytes());
        outbox.request();
        outbox
    }

    #[test]
    fn a_file_comes_in_lines_of_any_pieces() {
        for size in 1..7 {
            let mut outbox = Outbox::new(100);
            let mut offers = Vec::new();
            for piece in b"\noffer 9 a b.txt\n".chunks(size) {
                offers.extend(outbox.receive(piece));
            }
            assert_eq!(offers, [Offer::File(Ok("a b.txt".into()))]);
            outbox.request();
            let mut offers = Vec::new();
            for piece in b"+aGVsbG8g\n+eW91\nend\n+AAAA\nend\n".chunks(size) {
                offers.extend(outbox.receive(piece));
            }
            let data = Zeroizing::new(b"hello you".to_vec());
            assert_eq!(
                offers,
                [Offer::Data(data)],
                "once, and only what was asked for"
            );
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_kept() {
        let mut outbox = Outbox::new(100);
        let lines = b"offer 3 a\n+AAAA\nend\nwithdraw\n";
        assert_eq!(
            outbox.receive(lines),
            [Offer::File(Ok("a".into())), Offer::Withdrawn]
        );
        outbox.request();
        outbox.forget_request();
        assert_eq!(outbox.receive(b"+AAAA\nend\n"), []);
    }

    #[test]
    fn a_file_is_as_long_as_it_says_and_as_allowed() {
        for (stated, lines) in [
            ("3", "+AAAAAAAA\nend\n"),
            ("4", "+AAAA\nend\n"),
            ("3", "+A*AA\nend\n"),
        ] {
            let mut outbox = asked(&format!("offer {stated} a\n"), 100);
            let garbled = [Offer::Refused(OfferError::Garbled)];
            assert_eq!(outbox.receive(lines.as_bytes()), garbled, "{lines:?}");
        }
        for stated in ["6", "99999999999"] {
            let mut outbox = Outbox::new(5);
            let offers = outbox.receive(format!("offer {stated} a\n").as_bytes());
            assert_eq!(offers, [Offer::File(Err(OfferError::TooLarge(5)))]);
            // Asked for all the same, it is not kept.
            outbox.request();
            let offers = outbox.receive(b"+AAAAAAAA\nend\n");
            assert_eq!(offers, [Offer::Refused(OfferError::Garbled)]);
        }
        let mut outbox = asked("offer 0 empty\n", 5);
        assert_eq!(
            outbox.receive(b"end\n"),
            [Offer::Data(Zeroizing::default())]
        );
    }

    #[test]
    fn what_is_no_line_of_these_is_skipped() {
        let mut outbox = asked("offer 3 a\n", 100);
        let long = format!("offer 1 {}\n", "x".repeat(LINE_MOST));
        assert_eq!(outbox.receive(long.as_bytes()), []);
        for line in [
            "",
            "offer",
            "offer x a",
            "offer -1 a",
            "hello",
            "\u{0}\u{ff}",
            "offer 1",
        ] {
            assert_eq!(
                outbox.receive(format!("{line}\n").as_bytes()),
                [],
                "{line:?}"
            );
        }
        assert_eq!(outbox.receive(b"offer \xff\xfe 1\n"), []);
        // It still is in step.
        let data = Zeroizing::new(vec![0; 3]);
        assert_eq!(outbox.receive(b"+AAAA\nend\n"), [Offer::Data(data)]);
    }

    #[test]
    fn a_new_offer_breaks_off_the_old_one() {
        let mut outbox = asked("offer 6 a\n", 100);
        outbox.receive(b"+AAAA\n");
        assert_eq!(outbox.receive(b"+AA\noffer 1 b\n").len(), 2);
        assert_eq!(
            outbox.receive(b"+AAAA\nend\n"),
            [],
            "nobody asked for the new one"
        );
    }
}
