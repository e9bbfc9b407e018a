//! Finds the kernel's panic line in what a guest writes to its console.
//!
//! Debian's kernel has no driver for a panic notifier, so the line is all there is. It is the guest's word about itself: it
//! changes what the zone's state says, nothing else.

const LINE: &[u8] = b"Kernel panic - not syncing";

/// Looks for the line in a stream that comes in pieces.
#[derive(Debug, Default)]
pub struct PanicWatch {
    matched: usize,
}

impl PanicWatch {
    /// Whether the line ends within these bytes.
    pub fn sees(&mut self, bytes: &[u8]) -> bool {
        let mut seen = false;
        for byte in bytes {
            // The line's first letter occurs in it only once, so a mismatch can only start over at that letter.
            self.matched = match LINE.get(self.matched) {
                Some(expected) if expected == byte => self.matched + 1,
                _ => usize::from(LINE.first() == Some(byte)),
            };
            if self.matched == LINE.len() {
                self.matched = 0;
                seen = true;
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_line_however_it_is_cut() {
        let text = b"[    1.673] KKernel Kernel panic - not syncing: VFS: Unable to mount root fs";
        for cut in 0..text.len() {
            let mut watch = PanicWatch::default();
            let (first, second) = text.split_at(cut);
            assert!(watch.sees(first) | watch.sees(second), "cut at {cut}");
        }
    }

    #[test]
    fn finds_nothing_else() {
        let mut watch = PanicWatch::default();
        assert!(!watch.sees(b"Kernel pani"));
        assert!(!watch.sees(b"x - not syncing"));
        assert!(!watch.sees(b"Kernel panic - not synch"));
    }
}
