//! How far a long replay has come: a line on stderr, if that is a terminal and
//! the capture is large.
//!
//! Libraries that draw bars compute with `pow`, and so load libm for every command: as much memory as a listing has of its
//! own.

use std::io::{IsTerminal, Write, stderr};

/// A line that is written over, or nothing.
pub(crate) struct Progress {
    /// Bytes of the file, if they are to be shown.
    len: Option<u64>,
    packets: u64,
}

impl Progress {
    /// A line for a file of `len` bytes.
    pub(crate) fn new(len: u64) -> Self {
        let wanted = len >= LARGE && stderr().is_terminal();
        Self { len: wanted.then_some(len), packets: 0 }
    }

    /// Reading has come to byte `offset`. Cheap enough to be told each packet.
    pub(crate) fn at(&mut self, offset: u64) {
        let Some(len) = self.len else { return };
        if self.packets.is_multiple_of(PACKETS_A_STEP) {
            show(&line(offset, len));
        }
        self.packets += 1;
    }

    /// Wipes the line away.
    pub(crate) fn finish(&mut self) {
        if self.len.take().is_some() {
            show("");
        }
    }
}

fn line(offset: u64, len: u64) -> String {
    let percent = u128::from(offset) * 100 / u128::from(len.max(1));
    format!("{percent:3} %, {} of {} MiB", offset >> 20, len >> 20)
}

/// To the left end, the line, and nothing behind it.
fn show(line: &str) {
    // Whoever can't see how far it has come still gets the result.
    let _ = write!(stderr(), "\r{line}\x1b[K");
}

/// Smaller files are through before a line can be read.
const LARGE: u64 = 64 << 20;
const PACKETS_A_STEP: u64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_much_was_read_of_how_much() {
        assert_eq!(line(50 << 20, 200 << 20), " 25 %, 50 of 200 MiB");
        assert_eq!(line(u64::MAX, u64::MAX), "100 %, 17592186044415 of 17592186044415 MiB");
        assert_eq!(line(0, 0), "  0 %, 0 of 0 MiB");
    }
}
