//! One cache line of the index: up to seven pairs of a hash and an id, side by side.
//!
//! A full line counts the entries that *passed* it: those whose home is here or before, and which
//! lie behind. They have no lower hashes than those that stayed. A line which is not full was not
//! passed. The line does not know its own number, and slots within it are in no order.

use core::array;

use super::Entry;

/// See the file's head.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Line {
    /// The hashes, and in the last lane how many entries passed: so that two vectors hold all there
    /// is to compare.
    lanes: [u32; LANES],
    /// [`BITS`] of the slots that hold an entry, and [`MARK`].
    used: u32,
    ids: [u32; SLOTS],
}

/// Entries that a line holds.
pub(super) const SLOTS: usize = 7;
const LANES: usize = 8;

/// One per lane. They begin at 2 because with 1 among them the compiler compares lane by lane.
const BITS: [u32; LANES] = [2, 4, 8, 16, 32, 64, 128, 256];
/// The bit below those, always set.
const MARK: u32 = 1;
#[cfg(test)]
const FULL: u32 = 0xff;
/// The lane that counts.
const PASSED: usize = SLOTS;

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    pub(super) const EMPTY: Self = Self { lanes: [0; LANES], used: MARK, ids: [0; SLOTS] };

    /// The slots, as [`BITS`], that hold an entry with this hash.
    #[inline]
    pub(super) fn matches(&self, hash: u32) -> u32 {
        self.slots_where(|stored| stored == hash)
    }

    /// The id in the lowest of these slots, if there is one.
    #[inline]
    pub(super) fn lowest(&self, slots: u32) -> Option<u32> {
        self.ids.get(slot_of(slots)).copied()
    }

    /// The hash and the id of every entry, by slot.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let pairs = self.lanes.iter().zip(&self.ids).zip(BITS);
        pairs.filter(|(_, bit)| self.used & bit != 0).map(|((hash, id), _)| (*hash, *id))
    }

    /// Writes the entries to `entries` from number `n` on, and returns the number after the last.
    /// One is written more than that. Without a branch on what is in use.
    #[inline]
    pub(super) fn copy_to(&self, entries: &mut [Entry], mut n: usize) -> usize {
        for (slot, (hash, id)) in self.lanes.iter().zip(&self.ids).enumerate() {
            if let Some(place) = entries.get_mut(n) {
                *place = (*hash, *id);
            }
            n += usize::from(self.used & BITS[slot] != 0);
        }
        n
    }

    #[cfg(test)]
    pub(super) fn is_full(&self) -> bool {
        self.used == FULL
    }

    /// How many entries passed this line.
    #[inline]
    pub(super) fn passed(&self) -> u32 {
        self.lanes[PASSED]
    }

    /// Whether entries with this hash may lie behind, if their home is here or before.
    #[inline]
    pub(super) fn goes_on(&self, hash: u32) -> bool {
        self.passed() != 0 && self.slots_where(|stored| stored > hash) == 0
    }

    /// Enters a pair; `false` if the line is full.
    #[inline]
    pub(super) fn put(&mut self, (hash, id): Entry) -> bool {
        let slot = slot_of(!self.used);
        let Some(place) = self.ids.get_mut(slot) else { return false };
        *place = id;
        self.lanes[slot] = hash;
        self.used |= self.used + 1;
        true
    }

    /// Lets a pair pass this line, which is full, or one of the line's own that has a higher hash:
    /// the one that passes.
    #[inline]
    pub(super) fn pass(&mut self, entry: Entry) -> Entry {
        self.lanes[PASSED] += 1;
        let highest = (0..SLOTS).max_by_key(|slot| self.lanes[*slot]).unwrap_or(0);
        if self.lanes[highest] <= entry.0 {
            return entry;
        }
        let hash = core::mem::replace(&mut self.lanes[highest], entry.0);
        (hash, core::mem::replace(&mut self.ids[highest], entry.1))
    }

    /// Notes that one which had passed is gone.
    #[inline]
    pub(super) fn unpass(&mut self) {
        self.lanes[PASSED] -= 1;
    }

    /// Takes a pair out; `false` if it is not here.
    #[inline]
    pub(super) fn take(&mut self, hash: u32, id: u32) -> bool {
        let same = self.ids.iter().zip(BITS).map(|(stored, bit)| bit * u32::from(*stored == id));
        let slots = self.matches(hash) & same.fold(0, |all, bit| all | bit);
        self.used &= !(slots & slots.wrapping_neg());
        slots != 0
    }

    /// Takes the pair with the lowest hash out.
    #[inline]
    pub(super) fn take_lowest(&mut self) -> Option<Entry> {
        let used = (0..SLOTS).filter(|slot| self.used & BITS[*slot] != 0);
        let slot = used.min_by_key(|slot| self.lanes[*slot])?;
        self.used &= !BITS[slot];
        Some((self.lanes[slot], self.ids[slot]))
    }

    /// The slots in use whose hash is as wanted.
    #[inline]
    fn slots_where(&self, wanted: impl Fn(u32) -> bool) -> u32 {
        let bits: [u32; LANES] =
            array::from_fn(|n| if wanted(self.lanes[n]) { BITS[n] } else { 0 });
        bits.iter().fold(0, |all, bit| all | bit) & self.used
    }
}

/// The number of the lowest of these slots; no slot's number if there is none.
#[inline]
fn slot_of(slots: u32) -> usize {
    (slots.trailing_zeros() as usize).wrapping_sub(1)
}
