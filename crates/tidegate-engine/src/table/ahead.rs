//! A burst on the way to its flows, before the first of them is processed: whose flow is probably where, and
//! what that is to read is asked of the memory. What is found is a guess; who asked compares it with the key.
//!
//! It goes in steps: hashes, home lines, records at home, records elsewhere. In each of them the memory is asked for a whole
//! group at once, when all that had to be worked out for that is. To be asked for it an
//! address must be translated, and where tables of pages are as large as a cache, that takes as long as the work of five or ten
//! packets. The processor goes on meanwhile, but for no more than some hundreds of instructions. So one request between the
//! work of two packets would wait for few translations at a time; with some twenty instructions between them enough wait together.
//!
//! One in seven isn't filed at home, one in four of a full index, and nobody can guess which. So all are looked
//! for at home in the same way, and those that are not there once more, for whom two lines behind are asked for, or
//! four where many have passed. Few are in the second, but who waits for that could do five look-ups.

use core::ops::Range;

use super::express::Shelved;
use super::lines::Line;
use super::prefetch;
use super::slab::Slab;
use super::{FlowTable, Spot, key};
use crate::path::{BURST, Glance, NEAR, Spots};
use crate::tuple::Tuple;

/// See the file's head. What comes to lie beyond the burst's last is of no use to anybody.
pub(crate) struct Ahead<'t> {
    /// Of each its hash, written by who knows it; zero of who has none.
    pub(crate) hashes: [u32; BURST],
    /// The index's line that is read first.
    homes: [&'t Line; BURST],
    /// Where its flow probably is, or else that of the one before.
    pub(super) slots: [u32; BURST],
}

/// Who asks for what there is to read of the flows that were found.
pub(super) trait Reader {
    /// Some were looked for at home, and these are their slots; but for those who are missed next, which have others'.
    fn read(&mut self, numbers: Range<usize>, slots: &[u32; BURST]);
    /// One of them was not found at home.
    fn miss(&mut self, number: usize, home: &Line);
    /// One that was missed was found behind.
    fn read_late(&mut self, number: usize, slot: u32);
}

/// Where nobody is filed.
pub(super) static NO_LINE: Line = Line::EMPTY;

/// For how many the memory is asked at once. Those of a group that are not at home are looked for behind when all others
/// were looked for at home: the memory fetches the lines behind meanwhile.
const GROUP: usize = 32;
const GROUPS: usize = BURST.div_ceil(GROUP);

/// Who of a group is not filed at home: the last of the group is the lowest bit.
type Missing = u32;
const _: () = assert!(GROUP <= Missing::BITS as usize);

impl<'t> Ahead<'t> {
    /// Of nobody.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { hashes: [0; BURST], homes: [&NO_LINE; BURST], slots: [0; BURST] }
    }

    /// Asks for the home lines of the first `count`, a group at a time. `tell` writes the hashes of some, or says that it is no
    /// use: then so is this.
    #[inline(always)]
    pub(crate) fn begin(
        &mut self,
        table: &'t FlowTable,
        count: usize,
        mut tell: impl FnMut(Range<usize>, &mut [u32]) -> bool,
    ) -> bool {
        for group in groups(count) {
            let hashes = self.hashes.get_mut(group.clone()).unwrap_or_default();
            if !tell(group.clone(), hashes) {
                return false;
            }
            self.ask(table, group);
        }
        true
    }

    /// Asks for the lines where these are at home, whose hashes are known. Not inlined, nor is [`Ahead::find_at_home`], as
    /// each of these loops needs all registers there are.
    #[inline(never)]
    pub(crate) fn ask(&mut self, table: &'t FlowTable, numbers: Range<usize>) {
        let homes = table.index.homes();
        for number in numbers.start..numbers.end.min(BURST) {
            let home = homes.line(self.hashes[number]);
            self.homes[number] = home;
            prefetch::line(home);
        }
    }

    /// Finds the flows of the first `count`, whose lines were asked for.
    #[inline(always)]
    pub(super) fn find(&mut self, table: &FlowTable, count: usize, reader: &mut impl Reader) {
        let mut missing = [0; GROUPS];
        for (group, missing) in groups(count).zip(&mut missing) {
            let end = group.end;
            *missing = self.find_at_home(group.clone());
            reader.read(group, &self.slots);
            for number in numbers(*missing, end) {
                let home = self.homes[number];
                if home.is_full() {
                    home.ask_behind();
                }
                reader.miss(number, home);
            }
        }
        for (group, missing) in groups(count).zip(missing) {
            for number in numbers(missing, group.end) {
                self.find_behind(table, number, reader);
            }
        }
    }

    /// Looks for some at home; who isn't there has the slot of the one before.
    #[inline(never)]
    fn find_at_home(&mut self, group: Range<usize>) -> Missing {
        let (mut missing, mut slot): (Missing, u32) = (0, 0);
        for number in group.start..group.end.min(BURST) {
            let is_home;
            (is_home, slot) = self.homes[number].first_or(self.hashes[number], slot);
            self.slots[number] = slot;
            (missing, _) = missing.carrying_add(missing, !is_home);
        }
        missing
    }

    /// Looks for one that is not filed at home.
    #[inline(always)]
    fn find_behind(&mut self, table: &FlowTable, number: usize, reader: &mut impl Reader) {
        let hash = self.hashes[number];
        if self.homes[number].goes_on(hash)
            && let Some(slot) = table.guess_behind(hash)
        {
            self.slots[number] = slot;
            reader.read_late(number, slot);
        }
    }

    /// [`Ahead::find`] for packets; where their flows lie is written into
    /// `spots`, of who is nowhere where he will be filed. `tell` hears the number of each, and its slot if one was guessed: of one that
    /// isn't filed at home first a wrong one, then that there is none, and later of the one that was found behind.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        table: &FlowTable,
        count: usize,
        spots: &mut Spots,
        tell: impl FnMut(usize, Option<u32>),
    ) {
        self.find(table, count, &mut Spotter { slab: &table.slab, spots, tell });
    }
}

/// The first `count` of a burst, by groups.
#[inline(always)]
fn groups(count: usize) -> impl Iterator<Item = Range<usize>> {
    let count = count.min(BURST);
    (0..count).step_by(GROUP).map(move |begin| begin..(begin + GROUP).min(count))
}

/// The numbers of those who are missing in a group that ends before `end`, the last one first.
#[inline(always)]
fn numbers(mut missing: Missing, end: usize) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let last = (missing != 0).then(|| missing.trailing_zeros() as usize)?;
        missing &= missing - 1;
        Some(end.wrapping_sub(last + 1) % BURST)
    })
}

/// See [`Ahead::read`].
struct Spotter<'a, F> {
    slab: &'a Slab,
    spots: &'a mut Spots,
    tell: F,
}

impl<F: FnMut(usize, Option<u32>)> Reader for Spotter<'_, F> {
    #[inline(never)]
    fn read(&mut self, numbers: Range<usize>, slots: &[u32; BURST]) {
        (numbers.start..numbers.end.min(BURST)).for_each(|number| {
            let slot = slots[number];
            self.spots[number] = self.slab.ask(slot);
            (self.tell)(number, Some(slot));
        });
        self.slab.ask_for_more(slots.get(numbers).unwrap_or_default());
    }

    #[inline(always)]
    fn miss(&mut self, number: usize, home: &Line) {
        self.spots[number] = prefetch::spot(home);
        (self.tell)(number, None);
    }

    #[inline(never)]
    fn read_late(&mut self, number: usize, slot: u32) {
        self.spots[number] = self.slab.read_ahead(slot);
        (self.tell)(number, Some(slot));
    }
}

impl FlowTable {
    /// The hash of a key of the default zone.
    #[inline(always)]
    pub(crate) fn hash_of<K: Shelved>(&self, key: K, proto: u8) -> u32 {
        key.hash(&self.key, proto, 0)
    }

    /// The slot of the flow that has this hash, probably.
    #[inline(always)]
    pub(crate) fn guess(&self, hash: u32) -> Option<u32> {
        self.guess_at_home(hash).or_else(|| self.guess_further(hash))
    }

    /// [`FlowTable::guess`], if it is filed at home.
    #[inline(always)]
    pub(super) fn guess_at_home(&self, hash: u32) -> Option<u32> {
        self.index.home_line(hash).first(hash)
    }

    #[inline(never)]
    fn guess_further(&self, hash: u32) -> Option<u32> {
        self.index.candidates(hash).next()
    }

    /// Has read into the cache, all at once each time, what NAT will ask about flows of the default zone, at most a burst:
    /// who has the source of each of these tuples, and whose the reply is, where one is foreseen.
    pub(crate) fn read_ahead_for_nat(&self, flows: impl Iterator<Item = (Tuple, Option<Tuple>)>) {
        let mut ahead = Ahead::new();
        let mut buckets = [0; BURST];
        let (mut count, mut replies) = (0, 0);
        for ((tuple, reply), bucket) in flows.zip(&mut buckets) {
            *bucket = self.sources.ask(&tuple);
            if let Some(reply) = reply {
                ahead.hashes[replies % BURST] = key::hash(&self.key, &reply, 0);
                replies += 1;
            }
            count += 1;
        }
        ahead.ask(self, 0..replies);
        ahead.read(self, replies, &mut [Spot::NOWHERE; BURST + NEAR], |_, _| {});
        for bucket in &buckets[..count] {
            self.sources.read_ahead(&self.slab, *bucket);
        }
    }

    /// Whether any flow of the family ever had a mapping, or counters that its packets reach by others.
    #[inline(always)]
    pub(crate) fn has_more_to_bring<K: Shelved>(&self) -> bool {
        let shelf = K::shelf(&self.slab);
        !shelf.annex.is_empty() || shelf.counters.has_places()
    }

    /// Brings near what NAT does to the flow that is expected, and where it counts.
    #[inline(always)]
    pub(crate) fn bring_more<K: Shelved>(&self, glance: &Glance) {
        if let Some(slot) = glance.slot {
            let (shelf, at) = (K::shelf(&self.slab), slot.wrapping_sub(K::BIT));
            shelf.annex.bring(at);
            shelf.counters.bring(at);
        }
    }

    /// The slot of the flow that is expected, probably, if it isn't filed at home.
    #[inline(always)]
    fn guess_behind(&self, hash: u32) -> Option<u32> {
        self.index.line_behind(hash).first(hash).or_else(|| self.guess_further(hash))
    }
}
