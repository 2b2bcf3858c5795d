//! A burst of keys of one family on the way to their flows, in three steps: keys and home lines, records at home, records
//! elsewhere. What is found is a guess; who asked compares it with the key.
//!
//! In each step the memory is asked for a whole group at once; why, is told at the head of [`super::super::ahead`].

use super::super::FlowTable;
use super::super::ahead::NO_LINE;
use super::super::express::Shelved;
use super::super::key::Key;
use super::super::lines::Line;
use super::super::prefetch;
use super::super::record::Record;
use super::super::slab::Shelf;
use crate::path::BURST;
use crate::tuple::Tuple;

/// See the file's head.
pub(super) struct Search<'t, K: Key> {
    shelf: &'t Shelf<K>,
    pub(super) hashes: [u32; BURST],
    homes: [&'t Line; BURST],
    /// Where the flow probably is, or anybody's.
    pub(super) slots: [u32; BURST],
    pub(super) records: [&'t Record<K>; BURST],
}

/// How many go together: as many as a [`Missing`] has room for.
const GROUP: usize = 64;
const GROUPS: usize = BURST.div_ceil(GROUP);

/// Who of a group is not filed at home: the last of the group is the lowest bit.
type Missing = u64;

impl<'t, K: Shelved> Search<'t, K> {
    #[inline(always)]
    pub(super) fn new(shelf: &'t Shelf<K>) -> Self {
        Self {
            shelf,
            hashes: [0; BURST],
            homes: [&NO_LINE; BURST],
            slots: [0; BURST],
            records: [&shelf.nobody; BURST],
        }
    }

    /// Makes keys of tuples, at most a burst, and asks for their home lines; `false` if one is of another family or has
    /// no ports. Not inlined, nor is what follows, as each of them needs all registers there are.
    #[inline(never)]
    pub(super) fn begin(
        &mut self,
        table: &'t FlowTable,
        tuples: &[Tuple],
        wanted: &mut [(K, u8); BURST],
    ) -> bool {
        let places = self.hashes.chunks_mut(GROUP).zip(self.homes.chunks_mut(GROUP));
        let groups = tuples.chunks(GROUP).zip(wanted.chunks_mut(GROUP)).zip(places);
        for ((tuples, wanted), (hashes, homes)) in groups {
            let places = wanted.iter_mut().zip(hashes).zip(&mut *homes);
            for (tuple, ((wanted, hash), home)) in tuples.iter().zip(places) {
                let Some(key) = K::with_ports(tuple) else { return false };
                *wanted = (key, tuple.proto);
                *hash = key.hash(&table.key, tuple.proto, 0);
                *home = table.index.home_line(*hash);
            }
            each(homes, |home| prefetch::line(*home));
        }
        true
    }

    /// Finds the flows of the first `count`, and asks for their records.
    #[inline(always)]
    pub(super) fn find(&mut self, table: &'t FlowTable, count: usize) {
        let end = |group: usize| ((group + 1) * GROUP).min(count).min(BURST);
        let mut missing = [0; GROUPS];
        for (group, missing) in
            missing.iter_mut().enumerate().take_while(|(group, _)| group * GROUP < count)
        {
            *missing = self.find_at_home(group * GROUP, end(group));
        }
        for (group, missing) in missing.into_iter().enumerate() {
            self.find_behind(table, missing, end(group));
        }
    }

    /// Looks for some at home; who isn't there has the slot of the one before.
    #[inline(never)]
    fn find_at_home(&mut self, begin: usize, end: usize) -> Missing {
        let (mut missing, mut slot): (Missing, u32) = (0, 0);
        let end = end.min(BURST);
        for number in begin..end {
            let is_home;
            (is_home, slot) = self.homes[number].first_or(self.hashes[number], slot);
            self.found(number, slot);
            (missing, _) = missing.carrying_add(missing, !is_home);
        }
        let records = self.records.get(begin..end).unwrap_or_default();
        each(records, |record| prefetch::head(*record, Record::<K>::HEAD));
        self.ask_annex(begin..end);
        for number in numbers(missing, end) {
            if self.homes[number].is_full() {
                prefetch::behind(self.homes[number]);
            }
        }
        missing
    }

    /// Looks for those that are not filed at home.
    #[inline(never)]
    fn find_behind(&mut self, table: &'t FlowTable, missing: Missing, end: usize) {
        for number in numbers(missing, end) {
            let hash = self.hashes[number];
            if self.homes[number].goes_on(hash)
                && let Some(slot) = table.guess_behind(hash)
            {
                self.found(number, slot);
            }
        }
        for number in numbers(missing, end) {
            prefetch::head(self.records[number], Record::<K>::HEAD);
        }
        self.ask_annex(numbers(missing, end));
    }

    #[inline(always)]
    fn found(&mut self, number: usize, slot: u32) {
        self.slots[number] = slot;
        self.records[number] = self.shelf.record(slot.wrapping_sub(K::BIT));
    }

    /// Asks for what these flows may have beside their records; most tables have nothing there.
    #[inline(always)]
    fn ask_annex(&self, numbers: impl Iterator<Item = usize>) {
        let annex = &self.shelf.annex;
        if !annex.is_empty() {
            numbers.for_each(|number| annex.read_ahead(self.slots[number].wrapping_sub(K::BIT)));
        }
    }
}

/// Does the same with each of some; eight at a time, as counting would take as long.
#[inline(always)]
fn each<T>(all: &[T], what: impl Fn(&T)) {
    let (eights, rest) = all.as_chunks::<8>();
    eights.iter().for_each(|eight| eight.iter().for_each(&what));
    rest.iter().for_each(&what);
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
