//! A burst of packets on the way to their flows, before the first of them is processed: whose flow is probably where, and
//! what that is to read is asked of the memory. What is found is a guess; who asked compares it with the key.
//!
//! The memory is asked for a whole group at once, when all that had to be worked out for that is. To be asked for it an
//! address must be translated, and where tables of pages are as large as a cache, that takes as long as the work of five or ten
//! packets. The processor goes on meanwhile, but for no more than some hundreds of instructions. So one request between the
//! work of two packets would wait for few translations at a time. `lookup::search` does the same for keys of one family.

use super::express::Shelved;
use super::lines::Line;
use super::prefetch;
use super::{FlowTable, Spot, key};
use crate::path::{BURST, Glance, NEAR, Spots};
use crate::tuple::Tuple;

/// Where a tuple is looked up.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'t> {
    /// Its hash.
    pub(crate) hash: u32,
    /// The index's line that is read first.
    home: &'t Line,
}

/// Where nobody is filed.
pub(super) static NO_LINE: Line = Line::EMPTY;

const _: () = assert!(BURST <= 1 << u8::BITS);

impl Expected<'_> {
    /// Nowhere.
    pub(crate) const NOWHERE: Self = Self { hash: 0, home: &NO_LINE };

    /// The slot of its flow, probably, if that is filed at home.
    #[inline(always)]
    pub(super) fn guess(&self) -> Option<u32> {
        self.home.first(self.hash)
    }

    /// Whether it may be filed behind.
    #[inline(always)]
    fn goes_on(&self) -> bool {
        self.home.goes_on(self.hash)
    }

    /// Whether it is filed behind, or another one will be when it comes.
    #[inline(always)]
    fn is_crowded(&self) -> bool {
        self.home.is_full()
    }
}

/// Which of a burst are not filed at home.
struct Elsewhere {
    numbers: [u8; BURST],
    count: usize,
}

impl Elsewhere {
    /// Their numbers, but for the first ones.
    #[inline(always)]
    fn numbers(&self, from: usize) -> impl Iterator<Item = usize> {
        self.numbers[from..self.count].iter().map(|number| usize::from(*number))
    }
}

/// For how many the memory is asked at once. Those of a group that are not at home are looked for behind when all others
/// were looked for at home: the memory fetches the lines behind meanwhile.
pub(crate) const GROUP: usize = 32;

/// Asks for the lines where some are looked up.
#[inline(always)]
pub(crate) fn ask(expected: &[Expected<'_>]) {
    expected.iter().for_each(|expected| prefetch::line(expected.home));
}

impl FlowTable {
    /// Where a key of the default zone is looked up.
    #[inline(always)]
    pub(crate) fn expect<K: Shelved>(&self, key: K, proto: u8) -> Expected<'_> {
        self.expect_hash(key.hash(&self.key, proto, 0))
    }

    /// [`FlowTable::expect`], by a hash.
    #[inline(always)]
    pub(super) fn expect_hash(&self, hash: u32) -> Expected<'_> {
        Expected { hash, home: self.index.home_line(hash) }
    }

    /// The slot of the flow that is expected, probably.
    #[inline(always)]
    pub(crate) fn guess(&self, expected: Expected<'_>) -> Option<u32> {
        expected.guess().or_else(|| self.guess_further(expected.hash))
    }

    #[inline(never)]
    fn guess_further(&self, hash: u32) -> Option<u32> {
        self.index.candidates(hash).next()
    }

    /// [`FlowTable::guess`] for some, at most a burst; what is in the slots is asked for, and where that lies is written into
    /// `spots`, of who is nowhere where he will be filed. `tell` hears the number of each, and its slot if one was guessed: of one that
    /// isn't filed at home first that there is none, and later of the one that was found behind.
    ///
    /// One in seven isn't filed at home, one in four of a full index, and nobody can guess which. So all are looked
    /// for at home in the same way, and those that are not there once more, for whom two lines behind are asked for. Few
    /// are in the second, but who waits for that could do five look-ups.
    #[inline(always)]
    pub(crate) fn read_ahead(
        &self,
        expected: &[Expected<'_>],
        spots: &mut Spots,
        mut tell: impl FnMut(usize, Option<u32>),
    ) {
        let mut elsewhere = Elsewhere { numbers: [0; BURST], count: 0 };
        let mut slots = [0; BURST];
        let (mut number, mut near) = (0, 0);
        for group in expected.chunks(GROUP) {
            let (first, begin) = (elsewhere.count, number);
            let mut any = 0;
            for expected in group {
                // Who isn't at home asks for the one before once more.
                let is_home;
                (is_home, near) = expected.home.first_or(expected.hash, near);
                tell(number, is_home.then_some(near));
                spots[number % BURST] = self.slab.spot(near);
                slots[number % BURST] = near;
                any |= near;
                elsewhere.numbers[elsewhere.count % BURST] = number as u8;
                elsewhere.count += usize::from(!is_home);
                number += 1;
            }
            let asked = begin.min(BURST)..number.min(BURST);
            self.slab.ask(&spots[asked.clone()], &slots[asked], any);
            for number in elsewhere.numbers(first) {
                let expected = &expected[number];
                spots[number % BURST] = prefetch::spot(expected.home);
                if expected.is_crowded() {
                    expected.home.ask_behind();
                }
                tell(number, None);
            }
        }
        for number in elsewhere.numbers(0).filter(|number| expected[*number].goes_on()) {
            if let Some(slot) = self.guess_behind(expected[number].hash) {
                spots[number % BURST] = self.read_late(slot);
                tell(number, Some(slot));
            }
        }
    }

    /// Has read into the cache, all at once each time, what NAT will ask about flows of the default zone, at most a burst:
    /// who has the source of each of these tuples, and whose the reply is, where one is foreseen.
    pub(crate) fn read_ahead_for_nat(&self, flows: impl Iterator<Item = (Tuple, Option<Tuple>)>) {
        let mut expected = [Expected::NOWHERE; BURST];
        let mut buckets = [0; BURST];
        let mut count = 0;
        for (((tuple, reply), expected), bucket) in flows.zip(&mut expected).zip(&mut buckets) {
            *bucket = self.sources.ask(&tuple);
            if let Some(reply) = reply {
                *expected = self.expect_hash(key::hash(&self.key, &reply, 0));
            }
            count += 1;
        }
        ask(&expected[..count]);
        self.read_ahead(&expected[..count], &mut [Spot::NOWHERE; BURST + NEAR], |_, _| {});
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

    #[inline(never)]
    fn read_late(&self, slot: u32) -> Spot {
        self.slab.read_ahead(slot)
    }

    /// The slot of the flow that is expected, probably, if it isn't filed at home.
    #[inline(always)]
    pub(super) fn guess_behind(&self, hash: u32) -> Option<u32> {
        self.index.line_behind(hash).first(hash).or_else(|| self.guess_further(hash))
    }
}
