//! An array that is being emptied, from its first line on.
//!
//! The *frontier* is a hash: everything below it has left, everything else is still here. It always
//! stands at the lowest hash of a line; entries of earlier homes that lie behind it are fetched
//! before it is moved there. So whoever looks for a hash knows from the frontier alone whether to
//! look here, and nowhere else.
//!
//! Lines are left in the order of memory. A segment that is left goes back to the caller. The cost
//! of a step is bounded: the lines asked for, and at most [`PAD`](super::array::PAD) lines behind
//! them.

use super::Entry;
use super::array::{Array, Segment};
use super::line::SLOTS;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) array: Array,
    /// The first home that is still in use.
    next: usize,
    /// The last line that holds entries of homes before `next`, or less.
    reach: usize,
    frontier: u64,
}

/// The most lines that are left in one step.
pub(super) const STRIDE: usize = 8;
/// Room for what else is to be moved: more than nearly every step needs.
const SPARE: usize = 24;
/// One more than the highest hash.
const HASHES: u64 = 1 << 32;

impl Drain {
    /// Nothing to empty.
    pub(super) fn idle() -> Self {
        Self { array: Array::new(0), next: 0, reach: 0, frontier: HASHES }
    }

    pub(super) fn of(array: Array) -> Self {
        Self { array, next: 0, reach: 0, frontier: 0 }
    }

    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.frontier == HASHES
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

    /// Hands the entries of up to `count` further homes, but of at most [`STRIDE`], to `sink`, and a
    /// segment back that is no longer of use. Idle after the last one.
    #[inline]
    pub(super) fn advance(
        &mut self,
        count: usize,
        mut sink: impl FnMut(u32, &[Entry]),
    ) -> Option<Segment> {
        let from = self.next;
        let end = self.array.segment_end(from).min(self.array.homes() as usize);
        self.next = end.min(from + count.min(STRIDE));
        self.frontier = self.array.lowest_hash(self.next);
        let mut entries = [(0, 0); STRIDE * SLOTS + SPARE];
        let mut n = 0;
        for (at, line) in (from..).zip(self.array.lines(from, self.next)) {
            self.reach = self.reach.max(at + line.far());
            n = line.copy_to(&mut entries, n);
        }
        n = self.fetch_displaced(&mut entries, n, &mut sink);
        sink((self.frontier - 1) as u32, &entries[..n]);
        let left = self.array.release(self.next);
        if self.is_idle() {
            *self = Self::idle();
        }
        left
    }

    /// Adds what lies behind the frontier and belongs before it. What finds no room goes to `sink`.
    #[inline]
    fn fetch_displaced(
        &mut self,
        entries: &mut [Entry],
        mut n: usize,
        mut sink: impl FnMut(u32, &[Entry]),
    ) -> usize {
        let last = (self.frontier - 1) as u32;
        for at in self.next..=self.reach {
            let Some(line) = self.array.made_line(at) else { break };
            line.take_to(last, |entry| {
                match entries.get_mut(n) {
                    Some(place) => (*place, n) = (entry, n + 1),
                    None => sink(last, &[entry]),
                }
            });
        }
        n
    }
}
