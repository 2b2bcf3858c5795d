//! One cache line of the index: up to seven pairs of a hash and an id, in the order of hashes.
//!
//! A full line counts the entries that *passed* it: those whose home is here or before, and which
//! lie behind. They have no lower hashes than those that stayed. A line which is not full was not
//! passed. The line does not know its own number.

use core::array;
use core::hint::select_unpredictable;

use super::Entry;
use super::lanes::{self, LANES};
use crate::table::prefetch;

/// See the file's head.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Line {
    /// The hashes, and in the last lane how many entries passed.
    hashes: [u32; LANES],
    /// The ids, and in the last lane a bit for each slot that holds an entry.
    ids: [u32; LANES],
}

/// Entries that a line holds.
pub(super) const SLOTS: usize = 7;
/// When so many have passed a line, the next few are probably full as well.
const MANY: u32 = 3;
/// The bits of all slots.
const FULL: u32 = (1 << SLOTS) - 1;
/// The lane of the hashes that counts.
const PASSED: usize = SLOTS;
/// The lane of the ids that says which slots are in use.
const USED: usize = SLOTS;
const LAST: usize = SLOTS - 1;

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    pub(crate) const EMPTY: Self = Self { hashes: [0; LANES], ids: [0; LANES] };

    /// The first id under a hash, if it lies here.
    #[inline(always)]
    pub(crate) fn first(&self, hash: u32) -> Option<u32> {
        let slots = self.matches(hash);
        let id = self.ids[slot_of(slots) % LANES];
        (slots != 0).then_some(id)
    }

    /// Whether an id lies here under a hash, and the first one; `other` if none does. Without a branch.
    #[inline(always)]
    pub(crate) fn first_or(&self, hash: u32, other: u32) -> (bool, u32) {
        let slots = self.matches(hash);
        // The lane behind the last slot, if there is none: the compiler knows that it is one.
        let id = self.ids[slot_of(slots | 1 << SLOTS)];
        (slots != 0, select_unpredictable(slots != 0, id, other))
    }

    /// The slots that hold an entry with this hash, a bit for each.
    #[inline(always)]
    pub(super) fn matches(&self, hash: u32) -> u32 {
        lanes::equal(&self.hashes, hash) & self.ids[USED]
    }

    /// The id in the lowest of these slots, if there is one.
    #[inline]
    pub(super) fn lowest(&self, slots: u32) -> Option<u32> {
        self.ids.get(slot_of(slots)).copied()
    }

    /// How many entries there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        slot_of(!self.ids[USED])
    }

    /// How many entries passed this line.
    #[inline]
    pub(super) fn passed(&self) -> u32 {
        self.hashes[PASSED]
    }

    /// Whether entries with this hash may lie behind, if their home is here or before.
    #[inline]
    pub(crate) fn goes_on(&self, hash: u32) -> bool {
        self.passed() != 0 && self.hashes[LAST] <= hash
    }

    /// The hash and the id of every entry with a hash from `lo` to `hi`, both included. => `lo <= hi`
    #[inline]
    pub(super) fn entries_within(&self, lo: u32, hi: u32) -> impl Iterator<Item = Entry> {
        let from_lo = self.hashes.map(|hash| hash.wrapping_sub(lo));
        let mut slots = !lanes::above(&from_lo, hi.wrapping_sub(lo)) & self.ids[USED];
        core::iter::from_fn(move || {
            let slot = slot_of(slots);
            slots &= slots.wrapping_sub(1);
            Some((*self.hashes.get(slot)?, self.ids[slot]))
        })
    }

    /// The hashes, and what doesn't matter behind them.
    #[inline]
    pub(super) fn hashes(&self) -> &[u32; LANES] {
        &self.hashes
    }

    /// The ids, and what doesn't matter behind them.
    #[inline]
    pub(super) fn ids(&self) -> &[u32; LANES] {
        &self.ids
    }

    /// Asks for the lines to which whoever passes this one will come.
    #[inline(always)]
    pub(crate) fn ask_behind(&self) {
        prefetch::behind(self);
        if self.passed() >= MANY {
            prefetch::further_behind(self);
        }
    }

    /// Whether none passed this line, so that who comes or goes here needs no other one.
    #[inline(always)]
    pub(crate) fn is_end_of_run(&self) -> bool {
        self.passed() == 0
    }

    /// Whether there is no room for another entry.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.ids[USED] == FULL
    }

    /// Enters a pair; `false` if the line is full.
    #[inline]
    pub(super) fn put(&mut self, entry: Entry) -> bool {
        let has_room = self.len() < SLOTS;
        if has_room {
            self.squeeze_in(entry);
        }
        has_room
    }

    /// Enters a pair as number `slot`, behind all the others; `false` if there is no such slot.
    #[inline]
    pub(super) fn put_last(&mut self, slot: usize, (hash, id): Entry) -> bool {
        let Some(place) = self.ids.get_mut(slot) else { return false };
        *place = id;
        self.hashes[slot] = hash;
        self.ids[USED] = (2 << slot) - 1;
        true
    }

    /// Lets a pair pass this line, which is full, or the line's last if that has a higher hash: the
    /// one that passes.
    #[inline]
    pub(super) fn pass(&mut self, entry: Entry) -> Entry {
        self.hashes[PASSED] += 1;
        let last = (self.hashes[LAST], self.ids[LAST]);
        if last.0 <= entry.0 {
            return entry;
        }
        self.squeeze_in(entry);
        last
    }

    /// Notes that one more has passed.
    #[inline]
    pub(super) fn note_passed(&mut self) {
        self.hashes[PASSED] += 1;
    }

    /// Notes that one which had passed is gone.
    #[inline]
    pub(super) fn unpass(&mut self) {
        self.hashes[PASSED] -= 1;
    }

    /// Takes a pair out; `false` if it is not here.
    #[inline]
    pub(super) fn take(&mut self, hash: u32, id: u32) -> bool {
        let slots = self.matches(hash) & lanes::equal(&self.ids, id);
        if slots != 0 {
            self.close_up(slot_of(slots));
        }
        slots != 0
    }

    /// Takes the first pair out.
    #[inline]
    pub(super) fn take_first(&mut self) -> Option<Entry> {
        let first = (self.len() > 0).then(|| (self.hashes[0], self.ids[0]));
        if first.is_some() {
            self.close_up(0);
        }
        first
    }

    /// Enters a pair in its place; the last of a full line is lost.
    #[inline]
    fn squeeze_in(&mut self, (hash, id): Entry) {
        let place = slot_of(lanes::above(&self.hashes, hash) & FULL | !self.ids[USED]);
        let moved = |[a, b, c, d, e, f, g, _]: [u32; LANES]| [a, a, b, c, d, e, f, g];
        self.hashes = blend(place, &self.hashes, &moved(self.hashes));
        self.ids = blend(place, &self.ids, &moved(self.ids));
        (self.hashes[place % LANES], self.ids[place % LANES]) = (hash, id);
        self.ids[USED] |= (self.ids[USED] + 1) & FULL;
    }

    /// Moves what is behind a slot one place to the front.
    #[inline]
    fn close_up(&mut self, slot: usize) {
        let moved = |[_, b, c, d, e, f, g, h]: [u32; LANES]| [b, c, d, e, f, g, h, h];
        self.hashes = blend(slot, &self.hashes, &moved(self.hashes));
        self.ids = blend(slot, &self.ids, &moved(self.ids));
        self.ids[USED] >>= 1;
    }
}

/// The number of the lowest of these slots; no slot's number if there is none.
#[inline]
fn slot_of(slots: u32) -> usize {
    slots.trailing_zeros() as usize
}

/// `same` in front of the slot `place` and in the last lane, else `moved`.
#[inline(always)]
fn blend(place: usize, same: &[u32; LANES], moved: &[u32; LANES]) -> [u32; LANES] {
    let changes = &CHANGES[place % LANES];
    array::from_fn(|n| same[n] ^ (same[n] ^ moved[n]) & changes[n])
}

/// By place and lane, all bits where the old word goes: a table, so that no branch is needed.
static CHANGES: [[u32; LANES]; LANES] = changes();

const fn changes() -> [[u32; LANES]; LANES] {
    let mut table = [[0; LANES]; LANES];
    let mut n = 0;
    while n < LANES * LANES {
        if n % LANES >= n / LANES && n % LANES != SLOTS {
            table[n / LANES][n % LANES] = u32::MAX;
        }
        n += 1;
    }
    table
}
