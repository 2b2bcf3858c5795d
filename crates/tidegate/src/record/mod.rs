//! A table's history on disk: a ring of segments, each a snapshot and what happened until the next one.
//!
//! ```text
//! DIR/20261122T030000.000000000Z.ctsnap   snapshot | events ... | gap | events ...
//! DIR/20261122T031500.000000000Z.ctsnap   snapshot | events ...
//! ```
//!
//! [`recorder`] writes it, [`past`] tells what the table held at any moment of it. A segment takes its name only when
//! its snapshot is whole; events go to the segment before until then. They are written a block a second, so a crash costs
//! the last second, and a file that was cut anywhere is good up to the last whole block before the cut. A gap of no
//! length says that somebody listened and heard nothing.

pub(crate) mod fills;
pub(crate) mod past;
pub(crate) mod recorder;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::render::figures::calendar;

/// The segments of a directory, the oldest first.
///
/// # Errors
/// It can't be read.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// The name of a segment that begins at a time, in nanoseconds since 1970; names sort as times do.
pub(crate) fn segment_name(time: u64) -> String {
    let [year, month, day, hour, minute, second, _] = calendar(time);
    let nanos = time % 1_000_000_000;
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{nanos:09}Z.{EXTENSION}")
}

/// Removes the oldest segments until the rest has at most so many bytes; the newest stays in any case.
///
/// # Errors
/// The directory can't be read, or a file can't be removed.
pub(crate) fn prune(dir: &Path, keep: u64) -> io::Result<()> {
    let mut all = segments(dir)?;
    let newest = all.pop();
    let len = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut left = keep.saturating_sub(newest.as_ref().map_or(0, len));
    let mut is_full = false;
    for path in all.into_iter().rev() {
        let rest = left.checked_sub(len(&path)).filter(|_| !is_full);
        is_full = rest.is_none();
        left = rest.unwrap_or(0);
        if is_full {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes what a recorder that died left unfinished. Other files that end so stay.
///
/// # Errors
/// The directory can't be read, or a file can't be removed.
pub(crate) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let name = path.file_name().map(|name| name.to_string_lossy().chars().map(shape).collect());
        if name.is_some_and(|name: String| name == UNFINISHED) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Where the service keeps its recording.
pub(crate) const DEFAULT_DIR: &str = "/var/lib/tidegate/record";
const EXTENSION: &str = "ctsnap";
/// The name of a segment whose snapshot isn't whole, with zeros for digits.
const UNFINISHED: &str = "00000000T000000.000000000Z.part";
