//! The index: which ids are filed under a hash. A hash-ordered open-addressing table of cache
//! lines, which grows and shrinks a few lines at a time.
//!
//! It knows pairs of a 32-bit hash and a 32-bit id, and neither flows nor tuples. A hash may have
//! many ids; a pair must not be entered twice. Hashes must come from a keyed hash, or be expected
//! to gather in one place.
//!
//! ## Shape
//!
//! A [`Line`] is 64 bytes and holds seven pairs. The home of a hash is a line whose number grows
//! with the hash; an entry lies there or, if that is full, a little behind ([`Array`] tells how).
//! A line counts those that passed it, so that a look-up reads the home and, seldom, a line or two
//! behind it. What would go further than 64 lines is stashed in a list that everybody has to read:
//! nothing that a secret key lets happen, and the owner's sign to re-key ([`Lines::is_stressed`]).
//!
//! ## Growth
//!
//! At 7/8 of all slots a new array with an eighth more homes is begun, at 7/20 one with half of
//! them. From then on every third insertion or removal moves a few lines, or as many as are full in a row, in the order of memory, until
//! the old array is empty; because both are in the order of hashes that reads one stream and writes
//! another, and needs nothing but the stored hashes. An entry is in the old array if its hash is
//! not below the [`Drain`]'s frontier, else in the new one: a look-up reads only one of them.
//! Segments of the old array are used again for the new one, so that there is never more memory
//! than for one and a segment or two: a few percent, but for small ones ([`Array`]).
//!
//! The same calls give the same layout, and therefore the same order of ids. Look-ups allocate
//! nothing; insertions and removals now and then a segment.

mod array;
mod batch;
mod candidates;
mod drain;
mod lanes;
mod line;
mod rekey;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::select_unpredictable;

use self::array::{Array, Places};
use self::candidates::Candidates;
use self::drain::Drain;
pub(crate) use self::line::Line;
use self::line::SLOTS;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Lines {
    young: Array,
    /// The array before `young`, as long as it isn't empty.
    drain: Drain,
    stash: Vec<Entry>,
    /// Entries in all three of them.
    len: usize,
    /// What is filed under another key; see `rekey`.
    retired: Option<Box<Self>>,
}

/// A hash and an id.
pub(crate) type Entry = (u32, u32);

/// Home lines while the index stays as it is: what is the same for all hashes was asked once.
#[derive(Clone, Copy)]
pub(crate) struct Homes<'a> {
    lines: &'a Lines,
    young: Places<'a>,
    /// There is no other array.
    is_settled: bool,
}

impl<'a> Homes<'a> {
    /// See [`Lines::home_line`].
    #[inline(always)]
    pub(crate) fn line(&self, hash: u32) -> &'a Line {
        if self.is_settled { self.young.home_line(hash) } else { self.lines.home_line(hash) }
    }
}

/// Homes of an empty index; there are never fewer.
const MIN_HOMES: u32 = 64;
/// Below this many homes their number doubles; from there on an eighth is added. An old array of n
/// homes is empty after about 3 n / 8 calls ([`batch::STRIDE`], [`Drain::is_due`]), and the next growth due
/// after 0.76 n insertions.
const DOUBLING: u32 = 1024;

impl Lines {
    /// An empty index, which has not allocated any line yet.
    pub(crate) fn new() -> Self {
        let young = Array::new(MIN_HOMES);
        Self { young, drain: Drain::idle(), stash: Vec::new(), len: 0, retired: None }
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len + self.retired.as_ref().map_or(0, |retired| retired.len())
    }

    /// Homes of the newest array.
    pub(crate) fn lines(&self) -> u32 {
        self.young.homes()
    }

    /// Whether entries had to be stashed: hashes are not spread evenly, and look-ups slow.
    pub(crate) fn is_stressed(&self) -> bool {
        !self.stash.is_empty()
    }

    /// The ids that are filed under a hash.
    #[inline]
    pub(crate) fn candidates(&self, hash: u32) -> Candidates<'_> {
        Candidates::new(self, hash)
    }

    /// Whether no id is filed under a hash.
    #[inline]
    pub(crate) fn has_none(&self, hash: u32) -> bool {
        let home = self.home_line(hash);
        let is_settled = !home.goes_on(hash) && self.stash.is_empty();
        home.matches(hash) == 0 && (is_settled || self.has_none_anywhere(hash))
    }

    #[inline(never)]
    fn has_none_anywhere(&self, hash: u32) -> bool {
        self.candidates(hash).next().is_none()
    }

    /// The line that a look-up of this hash reads first.
    #[inline]
    pub(crate) fn home_line(&self, hash: u32) -> &Line {
        let array = self.array(hash);
        array.line(array.home(hash))
    }

    /// [`Lines::home_line`] for many.
    #[inline(always)]
    pub(crate) fn homes(&self) -> Homes<'_> {
        Homes { lines: self, young: self.young.places(), is_settled: self.drain.is_idle() }
    }

    /// The line that a look-up of this hash reads next, if its home does not settle it.
    #[inline]
    pub(crate) fn line_behind(&self, hash: u32) -> &Line {
        let array = self.array(hash);
        array.line(array.home(hash) + 1)
    }

    /// All entries with hashes from `lo` to `hi`, both included. The order follows from the calls
    /// that made the index. Entries not re-keyed yet are left out.
    pub(crate) fn range(&self, lo: u32, hi: u32) -> impl Iterator<Item = Entry> {
        let (moved, waiting) = self.split(lo, hi);
        let young = moved.map(|(lo, hi)| self.young.range(lo, hi));
        let old = waiting.map(|(lo, hi)| self.drain.array.range(lo, hi));
        let stash = self.stash.iter().copied().filter(move |(hash, _)| (lo..=hi).contains(hash));
        young.into_iter().flatten().chain(old.into_iter().flatten()).chain(stash)
    }

    /// All entries, those not re-keyed yet last and with their old hashes.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry> {
        let retired = self.retired.iter().flat_map(|retired| retired.range(0, u32::MAX));
        self.range(0, u32::MAX).chain(retired)
    }

    /// Files an id under a hash. The pair must not be there.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u32, id: u32) {
        self.step();
        let array = if self.drain.holds(hash) { &mut self.drain.array } else { &mut self.young };
        let rest = array.insert((hash, id));
        self.stash.extend(rest);
        self.len += 1;
        if self.len * 8 > self.young.homes() as usize * SLOTS * 7 && self.drain.is_idle() {
            self.grow();
        }
    }

    /// Takes an id from under a hash; `false` if it is not there.
    pub(crate) fn remove(&mut self, hash: u32, id: u32) -> bool {
        let found = self.take(hash, id);
        if found {
            self.step();
            if self.len * 20 < self.young.homes() as usize * SLOTS * 7 && self.drain.is_idle() {
                self.shrink();
            }
        }
        found
    }

    /// [`Lines::remove`] without moving anything.
    fn take(&mut self, hash: u32, id: u32) -> bool {
        let array = if self.drain.holds(hash) { &mut self.drain.array } else { &mut self.young };
        let found = array.remove(hash, id) || self.take_stashed(hash, id);
        self.len -= usize::from(found);
        found
    }

    fn take_stashed(&mut self, hash: u32, id: u32) -> bool {
        let place = self.stash.iter().position(|entry| *entry == (hash, id));
        place.map(|at| self.stash.swap_remove(at)).is_some()
    }

    /// The array in which a hash is, unless it is stashed. While the old one is being emptied, nobody can guess
    /// which that will be.
    #[inline]
    fn array(&self, hash: u32) -> &Array {
        select_unpredictable(self.drain.holds(hash), &self.drain.array, &self.young)
    }

    /// A range of hashes in two: below the frontier, and from there on.
    fn split(&self, lo: u32, hi: u32) -> (Option<Entry>, Option<Entry>) {
        let held = self.drain.holds(hi).then(|| self.drain.frontier() as u32);
        let below = held.map_or(Some(hi), |frontier| frontier.checked_sub(1));
        let moved = below.map(|below| (lo, below.min(hi))).filter(|(lo, hi)| lo <= hi);
        (moved, held.map(|frontier| (lo.max(frontier), hi)).filter(|(lo, hi)| lo <= hi))
    }

    fn grow(&mut self) {
        let homes = self.young.homes();
        let more = if homes < DOUBLING { homes } else { homes / 8 };
        self.begin(homes.saturating_add(more));
    }

    fn shrink(&mut self) {
        if self.young.homes() > MIN_HOMES {
            self.begin((self.young.homes() / 2).max(MIN_HOMES));
        }
    }

    fn begin(&mut self, homes: u32) {
        self.drain = Drain::of(core::mem::replace(&mut self.young, Array::new(homes)));
    }

    #[inline]
    fn step(&mut self) {
        if !self.drain.is_idle() && self.drain.is_due() {
            self.advance();
        }
    }

    /// Moves a few lines of the old array.
    #[inline(never)]
    fn advance(&mut self) {
        let Self { young, drain, stash, .. } = self;
        let left = drain.advance(|batch| young.append(batch, stash));
        left.into_iter().for_each(|segment| young.reuse(segment));
        if drain.is_idle() {
            young.settle();
        }
    }
}
