//! What look-ups of one family take along on the way to their flows ([`super::super::ahead`]): keys to be hashed, and
//! from there the records that are compared with them.

use core::ops::Range;

use super::super::FlowTable;
use super::super::ahead::Reader;
use super::super::express::Shelved;
use super::super::key::Key;
use super::super::lines::Line;
use super::super::prefetch;
use super::super::record::Record;
use super::super::slab::Shelf;
use crate::path::BURST;
use crate::tuple::Tuple;

/// Where the flows are that were found.
pub(super) struct Found<'t, K: Key> {
    shelf: &'t Shelf<K>,
    /// That of a slot, or anybody's.
    pub(super) records: [&'t Record<K>; BURST],
}

/// Makes keys of tuples and hashes of those; `false` if one is of another family or has
/// no ports. Not inlined, as it needs all registers there are.
#[inline(never)]
pub(super) fn hash_all<K: Shelved>(
    table: &FlowTable,
    tuples: &[Tuple],
    wanted: &mut [(K, u8)],
    hashes: &mut [u32],
) -> bool {
    for (tuple, (wanted, hash)) in tuples.iter().zip(wanted.iter_mut().zip(hashes)) {
        let Some(key) = K::with_ports(tuple) else { return false };
        *wanted = (key, tuple.proto);
        *hash = table.hash_of(key, tuple.proto);
    }
    true
}

impl<'t, K: Shelved> Found<'t, K> {
    #[inline(always)]
    pub(super) fn new(shelf: &'t Shelf<K>) -> Self {
        Self { shelf, records: [&shelf.nobody; BURST] }
    }

    /// Asks for a record.
    #[inline(always)]
    fn ask(&mut self, number: usize, slot: u32) {
        let record = self.shelf.record(slot.wrapping_sub(K::BIT));
        self.records[number] = record;
        prefetch::head(record, Record::<K>::HEAD);
    }

    /// Asks for what these flows may have beside their records; most tables have nothing there.
    #[inline(always)]
    fn ask_annex(&self, slots: &[u32]) {
        let annex = &self.shelf.annex;
        if !annex.is_empty() {
            slots.iter().for_each(|slot| annex.read_ahead(slot.wrapping_sub(K::BIT)));
        }
    }
}

impl<K: Shelved> Reader for Found<'_, K> {
    #[inline(never)]
    fn read(&mut self, numbers: Range<usize>, slots: &[u32; BURST]) {
        let each = numbers.start..numbers.end.min(BURST);
        each.for_each(|number| self.ask(number, slots[number]));
        self.ask_annex(slots.get(numbers).unwrap_or_default());
    }

    #[inline(always)]
    fn miss(&mut self, _: usize, _: &Line) {}

    #[inline(always)]
    fn read_late(&mut self, number: usize, slot: u32) {
        self.ask(number, slot);
        self.ask_annex(&[slot]);
    }
}
