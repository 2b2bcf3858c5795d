//! Showing something again and again.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use super::Failure;

/// Shows it once, or every `interval` until it fails. A terminal is wiped between, so that it looks like one picture
/// that changes; elsewhere an empty line lies between.
pub(super) fn repeat(
    interval: Option<Duration>,
    mut show: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(interval) = interval else { return show() };
    let is_terminal = io::stdout().is_terminal();
    let mut is_first = true;
    loop {
        let mut out = io::stdout();
        if is_terminal {
            out.write_all(WIPE)?;
        } else if !is_first {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        match show() {
            Ok(()) | Err(Failure::Nothing) => {}
            Err(other) => return Err(other),
        }
        is_first = false;
        thread::sleep(interval);
    }
}

/// Cursor to the corner, and nothing behind it.
const WIPE: &[u8] = b"\x1b[H\x1b[J";
