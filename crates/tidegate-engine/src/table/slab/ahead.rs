//! Reading ahead: what packets will ask of their flows, asked of the memory before.

use super::{Shelf, Slab, V6};
use crate::table::key::Key;
use crate::table::prefetch::{self, Spot};
use crate::table::record::Record;

impl Slab {
    /// Has the neighbours of a flow read into the cache.
    pub(in crate::table) fn read_links_ahead(&self, slot: u32) {
        on_shelf!(self, slot, |shelf, at| shelf.annex.read_links_ahead(at));
    }

    /// Has a slot's record read into the cache; where it lies.
    #[inline(always)]
    pub(in crate::table) fn ask(&self, slot: u32) -> Spot {
        on_shelf!(self, slot, |shelf, at| prefetch::lines(shelf.record(at)))
    }

    /// Has what else the flows of these slots may have read into the cache.
    #[inline(always)]
    pub(in crate::table) fn ask_for_more(&self, slots: &[u32]) {
        if self.v4.has_more() || self.v6.has_more() {
            self.ask_for_all_more(slots);
        }
    }

    #[inline(never)]
    fn ask_for_all_more(&self, slots: &[u32]) {
        slots.iter().for_each(|slot| on_shelf!(self, *slot, |shelf, at| shelf.ask_for_more(at)));
    }

    /// Has a slot's record read into the cache, and what else its flow may have; where the record lies.
    #[inline(always)]
    pub(in crate::table) fn read_ahead(&self, slot: u32) -> Spot {
        on_shelf!(self, slot, |shelf, at| shelf.read_ahead(at))
    }

    /// [`Slab::read_ahead`] for who only wants to know how the flow is.
    #[inline(always)]
    pub(in crate::table) fn read_head(&self, slot: u32) {
        on_shelf!(self, slot, |shelf, at| {
            shelf.read_head(at);
        });
    }
}

impl<K: Key> Shelf<K> {
    #[inline(always)]
    fn read_ahead(&self, at: u32) -> Spot {
        self.ask_for_more(at);
        self.records.get(at).map_or(Spot::NOWHERE, prefetch::lines)
    }

    /// Whether a flow may have anything beside its record that its packets read.
    #[inline(always)]
    fn has_more(&self) -> bool {
        !self.annex.is_empty() || !self.counters.is_empty()
    }

    /// Has what a flow may have beside its record read into the cache.
    #[inline(always)]
    fn ask_for_more(&self, at: u32) {
        self.annex.read_ahead(at);
        self.counters.read_ahead(at);
    }

    /// [`Shelf::read_ahead`] for who only wants to know how the flow is.
    #[inline(always)]
    fn read_head(&self, at: u32) -> Option<&Record<K>> {
        let record = self.records.get(at);
        if let Some(record) = record {
            prefetch::head(record, Record::<K>::HEAD);
        }
        record
    }
}
