//! One cache line of the index: up to seven pairs of a hash and an id, side by side.
//!
//! A line that is the home of entries which found it full knows how many of them lie *away*, in
//! later lines, and how far the farthest of them went. That bounds every search for an entry of
//! this home, and nothing about it stands in the lines passed over: an entry that travels writes
//! to its home and to its place only.
//!
//! Slots fill from the lowest free one and are never moved. The line knows nothing of its number.

use core::array;

use super::Entry;

/// See the file's head.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Line {
    /// The hashes, and in the last lane what lies away: so that two vectors hold all there is to
    /// compare.
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
const FULL: u32 = 0xff;
/// The lane that says what lies away: how far in its low half, how many in its high half.
const AWAY: usize = SLOTS;
const FAR: u32 = 0xffff;
const ONE_AWAY: u32 = 0x1_0000;

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

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.used == FULL
    }

    /// Enters a pair; `false` if the line is full.
    #[inline]
    pub(super) fn put(&mut self, hash: u32, id: u32) -> bool {
        let slot = slot_of(!self.used);
        let Some(place) = self.ids.get_mut(slot) else { return false };
        *place = id;
        self.lanes[slot] = hash;
        self.used |= self.used + 1;
        true
    }

    /// Takes a pair out; `false` if it is not here.
    pub(super) fn take(&mut self, hash: u32, id: u32) -> bool {
        let same = self.ids.iter().zip(BITS).map(|(stored, bit)| bit * u32::from(*stored == id));
        let slots = self.matches(hash) & same.fold(0, |all, bit| all | bit);
        self.used &= !(slots & slots.wrapping_neg());
        slots != 0
    }

    /// Takes all pairs out whose hash is not above `last`, and hands them to `sink`.
    #[inline]
    pub(super) fn take_to(&mut self, last: u32, mut sink: impl FnMut(Entry)) {
        let mut slots = self.slots_where(|stored| stored <= last);
        self.used &= !slots;
        while let Some(id) = self.lowest(slots) {
            sink((self.lanes[slot_of(slots)], id));
            slots &= slots - 1;
        }
    }

    /// How many lines on the farthest of the entries went that have this home and lie elsewhere; no
    /// less, but more after it was removed. 0 when there are none.
    #[inline]
    pub(super) fn far(&self) -> usize {
        (self.lanes[AWAY] & FAR) as usize
    }

    /// How many entries with this home lie elsewhere.
    #[inline]
    pub(super) fn away(&self) -> u32 {
        self.lanes[AWAY] / ONE_AWAY
    }

    /// Notes that an entry with this home was put `lines` lines further.
    #[inline]
    pub(super) fn sent_away(&mut self, lines: usize) {
        let far = self.far().max(lines) as u32;
        self.lanes[AWAY] = (self.away() + 1) * ONE_AWAY + far;
    }

    /// Notes that an entry which was away has been removed.
    pub(super) fn forget_one(&mut self) {
        self.lanes[AWAY] -= ONE_AWAY;
        if self.away() == 0 {
            self.lanes[AWAY] = 0;
        }
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
