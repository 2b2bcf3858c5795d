//! The walk over the ids that are filed under one hash.
//!
//! It begins in the hash's home and goes on only if entries passed that line and it holds no higher
//! hash, or if something had to be stashed. Nearly all look-ups end in the home.

use super::Lines;
use super::line::Line;

/// Ids with the same hash: those in the home first, then by line and slot.
pub(crate) struct Candidates<'a> {
    lines: &'a Lines,
    hash: u32,
    /// The slots of `line` that are still to come.
    slots: u32,
    line: &'a Line,
    /// How many lines `line` is behind the home.
    walked: usize,
    /// The next place in the stash.
    stashed: usize,
}

impl<'a> Candidates<'a> {
    #[inline]
    pub(super) fn new(lines: &'a Lines, hash: u32) -> Self {
        let line = lines.home_line(hash);
        let slots = line.matches(hash);
        Self { lines, hash, slots, line, walked: 0, stashed: 0 }
    }

    #[inline]
    fn next_here(&mut self) -> Option<u32> {
        let id = self.line.lowest(self.slots);
        self.slots &= self.slots.wrapping_sub(1);
        id
    }

    #[inline(never)]
    fn next_elsewhere(&mut self) -> Option<u32> {
        let array = self.lines.array(self.hash);
        while self.line.goes_on(self.hash) {
            self.walked += 1;
            self.line = array.line(array.home(self.hash) + self.walked);
            self.slots = self.line.matches(self.hash);
            if let Some(id) = self.next_here() {
                return Some(id);
            }
        }
        self.next_stashed()
    }

    fn next_stashed(&mut self) -> Option<u32> {
        let rest = self.lines.stash.get(self.stashed..)?;
        let at = rest.iter().position(|(hash, _)| *hash == self.hash);
        self.stashed += at.map_or(rest.len(), |at| at + 1);
        at.map(|at| rest[at].1)
    }
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if let Some(id) = self.next_here() {
            return Some(id);
        }
        if !self.line.goes_on(self.hash) && self.lines.stash.is_empty() {
            return None;
        }
        self.next_elsewhere()
    }
}
