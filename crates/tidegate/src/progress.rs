//! How far a long replay has come: a bar on stderr, if that is a terminal and
//! the capture is large.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or nothing.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    packets: u64,
}

impl Progress {
    /// A bar for a file of `len` bytes.
    pub(crate) fn new(len: u64) -> Self {
        let wanted = len >= LARGE && stderr().is_terminal();
        Self { bar: wanted.then(|| bar(len)), packets: 0 }
    }

    /// Reading has come to byte `offset`. Cheap enough to be told each packet.
    pub(crate) fn at(&mut self, offset: u64) {
        let Some(bar) = &self.bar else { return };
        if self.packets.is_multiple_of(PACKETS_A_STEP) {
            bar.set_position(offset);
        }
        self.packets += 1;
    }

    /// Wipes the bar away.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(len: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style)
}

const TEMPLATE: &str =
    "{bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
/// Smaller files are through before a bar can be read.
const LARGE: u64 = 64 << 20;
const PACKETS_A_STEP: u64 = 16_384;
