//! An array that is being emptied, from its first line on.
//!
//! The *frontier* is a hash: everything below it has left, everything else is still here. It always
//! stands at the lowest hash of a home, so that whoever looks for a hash knows from it alone whether
//! to look here, and nowhere else.
//!
//! Lines are left in the order of memory. A segment that is left goes back to the caller. A step
//! goes on to the end of a run of full lines, within limits; entries that have passed the last line
//! even so are taken from behind it one by one. As they are the lowest there, they come first.

use super::array::{Array, Segment};
use super::batch::{Batch, STRIDE};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) array: Array,
    /// The first home that is still in use.
    next: usize,
    frontier: u64,
    /// Calls since the last step.
    waited: u32,
}

/// A step is taken at every third call. At each it would triple what first packets take while a table grows; at every
/// fourth the end of the old array would be so full, with all that comes meanwhile, that moving it took as long again.
const PACE: u32 = 3;
/// How many lines are left in one step beyond [`STRIDE`], at most. Hardly any run is as long; in one that is cut, every
/// entry that had passed the cut is taken out by itself, and all behind it move up.
const MORE: usize = 160;
/// One more than the highest hash.
const HASHES: u64 = 1 << 32;

impl Drain {
    /// Nothing to empty.
    pub(super) fn idle() -> Self {
        Self { array: Array::new(0), next: 0, frontier: HASHES, waited: 0 }
    }

    pub(super) fn of(array: Array) -> Self {
        Self { array, next: 0, frontier: 0, waited: 0 }
    }

    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.frontier == HASHES
    }

    /// Whether this call is one for a step. => not idle
    #[inline]
    pub(super) fn is_due(&mut self) -> bool {
        self.waited = (self.waited + 1) % PACE;
        self.waited == 0
    }

    /// Whether an entry with this hash is, or belongs, here.
    #[inline]
    pub(super) fn holds(&self, hash: u32) -> bool {
        u64::from(hash) >= self.frontier
    }

    pub(super) fn frontier(&self) -> u64 {
        self.frontier
    }

    /// The number of the first home that has not been left.
    #[cfg(test)]
    pub(super) fn next(&self) -> usize {
        self.next
    }

    /// Hands the entries of some further homes to `sink`, in the order of hashes, and a segment back
    /// that is no longer of use. Idle after the last one.
    #[inline]
    pub(super) fn advance(&mut self, mut sink: impl FnMut(&Batch)) -> Option<Segment> {
        let from = self.next;
        self.next = self.end_of_step();
        self.frontier = self.array.lowest_hash(self.next);
        for lines in self.array.lines(from, self.next).chunks(STRIDE) {
            let mut batch = Batch::new();
            lines.iter().for_each(|line| batch.add(line));
            sink(&batch);
        }
        for _ in 0..self.array.line(self.next - 1).passed() {
            self.array.take_first(self.next).into_iter().for_each(|entry| sink(&entry.into()));
        }
        let left = self.array.release(self.next);
        if self.is_idle() {
            *self = Self::idle();
        }
        left
    }

    /// The first home that the next step doesn't reach. All before it are in one segment.
    #[inline]
    fn end_of_step(&self) -> usize {
        let limit = self.array.segment_end(self.next).min(self.array.homes() as usize);
        let mut end = limit.min(self.next + STRIDE);
        let limit = limit.min(end + MORE);
        while end < limit && self.array.line(end - 1).passed() > 0 {
            end += 1;
        }
        end
    }
}
