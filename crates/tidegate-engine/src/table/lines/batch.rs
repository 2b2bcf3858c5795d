//! Entries on their way from one array to the next: those of a few lines, in the order of hashes.

use super::Entry;
use super::lanes::LANES;
use super::line::{Line, SLOTS};

/// See the file's head.
pub(super) struct Batch {
    hashes: [u32; ROOM],
    ids: [u32; ROOM],
    len: usize,
}

/// Lines that a batch has room for.
pub(super) const STRIDE: usize = 8;
/// Lines are copied whole: behind the last entry there must be room for what is not in use.
const ROOM: usize = STRIDE * SLOTS + LANES;

impl Batch {
    pub(super) fn new() -> Self {
        Self { hashes: [0; ROOM], ids: [0; ROOM], len: 0 }
    }

    /// Adds the entries of a line, whatever their number without a branch.
    #[inline]
    pub(super) fn add(&mut self, line: &Line) {
        let hashes = self.hashes.get_mut(self.len..).and_then(<[u32]>::first_chunk_mut);
        let ids = self.ids.get_mut(self.len..).and_then(<[u32]>::first_chunk_mut);
        if let (Some(hashes), Some(ids)) = (hashes, ids) {
            (*hashes, *ids) = (*line.hashes(), *line.ids());
            self.len += line.len();
        }
    }

    pub(super) fn hashes(&self) -> &[u32] {
        &self.hashes[..self.len]
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids[..self.len]
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.hashes().iter().copied().zip(self.ids().iter().copied())
    }
}

impl From<Entry> for Batch {
    fn from((hash, id): Entry) -> Self {
        let mut batch = Self::new();
        (batch.hashes[0], batch.ids[0], batch.len) = (hash, id, 1);
        batch
    }
}
