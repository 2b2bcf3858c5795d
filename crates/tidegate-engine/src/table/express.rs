//! What the express path asks of the table: one record, read and written where it lies.
//!
//! Everybody else gets flows as values. Here a packet's flow is found by a key that was read
//! straight from the packet, in the default zone, and only what an established packet changes is
//! written: the tracker's cells, the deadline, the counters.

use super::FlowTable;
use super::key::{Key, Key4, Key6};
use super::record::Record;
use super::slab::{Shelf, Slab, V6};
use crate::fib::PortId;
use crate::flow::FlowId;
use crate::path::Glance;
use crate::time::Instant;
use crate::track::Cells;
use crate::tuple::{Direction, Zone};

/// A family's key, and where its flows are.
pub(crate) trait Shelved: Key {
    /// The bit that tells the family's slots.
    const BIT: u32;
    /// The family's shelf.
    fn shelf(slab: &Slab) -> &Shelf<Self>;
    /// See [`Shelved::shelf`].
    fn shelf_mut(slab: &mut Slab) -> &mut Shelf<Self>;
}

impl Shelved for Key4 {
    const BIT: u32 = 0;

    #[inline(always)]
    fn shelf(slab: &Slab) -> &Shelf<Self> {
        &slab.v4
    }

    #[inline(always)]
    fn shelf_mut(slab: &mut Slab) -> &mut Shelf<Self> {
        &mut slab.v4
    }
}

impl Shelved for Key6 {
    const BIT: u32 = V6;

    #[inline(always)]
    fn shelf(slab: &Slab) -> &Shelf<Self> {
        &slab.v6
    }

    #[inline(always)]
    fn shelf_mut(slab: &mut Slab) -> &mut Shelf<Self> {
        &mut slab.v6
    }
}

/// A packet's flow: where it is on its shelf, and which direction the packet has.
pub(crate) struct Place<K> {
    at: u32,
    pub(crate) dir: Direction,
    family: core::marker::PhantomData<K>,
}

impl FlowTable {
    /// The hash of a key in the default zone; the index's line for it is asked for.
    #[inline(always)]
    pub(crate) fn expect<K: Shelved>(&self, key: K, proto: u8) -> u32 {
        let hash = key.hash(&self.key, proto, 0);
        super::prefetch::line(self.index.home_line(hash));
        hash
    }

    /// Where the flow of a hash probably is, which is asked for. A hint, to be checked.
    #[inline(always)]
    pub(crate) fn read_ahead(&self, hash: u32) -> Option<u32> {
        let slot = self.index.candidate_in_home(hash)?;
        self.slab.read_ahead(slot);
        Some(slot)
    }

    /// The flow that has this key in the default zone, expired or not: where `glance` thinks that it
    /// is, or wherever else.
    #[inline(always)]
    pub(crate) fn place_of<K: Shelved>(
        &self,
        key: K,
        proto: u8,
        glance: &Glance,
    ) -> Option<Place<K>> {
        if self.one_way > 0 {
            return self.only_place_of(key, proto, glance.hash);
        }
        let at_hint = glance.slot.and_then(|slot| self.place_at(slot, key, proto));
        at_hint.or_else(|| {
            self.index.candidates(glance.hash).find_map(|slot| self.place_at(slot, key, proto))
        })
    }

    /// [`FlowTable::place_of`], where a tuple may have two owners: then it is not for us to say whose
    /// it is.
    #[inline(never)]
    fn only_place_of<K: Shelved>(&self, key: K, proto: u8, hash: u32) -> Option<Place<K>> {
        let candidates = self.index.candidates(hash);
        let mut places = candidates.filter_map(|slot| self.place_at(slot, key, proto));
        places.next().filter(|_| places.next().is_none())
    }

    #[inline(always)]
    fn place_at<K: Shelved>(&self, slot: u32, key: K, proto: u8) -> Option<Place<K>> {
        let at = slot.wrapping_sub(K::BIT);
        let shelf = K::shelf(&self.slab);
        let record = shelf.records.get(at)?;
        if record.proto != proto || record.is_vacant() {
            return None;
        }
        let reply = if record.is_mapped() { shelf.extras.get(at).reply } else { record.key.swapped() };
        let dir = if key == reply {
            Direction::Reply
        } else if key == record.key {
            Direction::Original
        } else {
            return None;
        };
        Some(Place { at, dir, family: core::marker::PhantomData })
    }

    /// The record of a flow.
    #[inline(always)]
    pub(crate) fn record<K: Shelved>(&self, place: &Place<K>) -> &Record<K> {
        K::shelf(&self.slab).records.at(place.at)
    }

    /// Whether the flow is in the default zone and has nothing left to announce.
    #[inline(always)]
    pub(crate) fn is_plain<K: Shelved>(&self, place: &Place<K>) -> bool {
        let shelf = K::shelf(&self.slab);
        if !shelf.records.at(place.at).has_extra() {
            return true;
        }
        let extra = shelf.extras.peek(place.at);
        extra.is_some_and(|extra| extra.is_settled() && extra.zone() == Zone::default())
    }

    /// The interface that a masqueraded flow left by.
    #[inline(always)]
    pub(crate) fn masquerade_port<K: Shelved>(&self, place: &Place<K>) -> Option<PortId> {
        let shelf = K::shelf(&self.slab);
        if !shelf.records.at(place.at).has_extra() {
            return None;
        }
        shelf.extras.peek(place.at)?.masquerade_port()
    }

    /// The key of one direction of a flow.
    #[inline(always)]
    pub(crate) fn key_of<K: Shelved>(&self, place: &Place<K>, dir: Direction) -> K {
        let shelf = K::shelf(&self.slab);
        let record = shelf.records.at(place.at);
        match dir {
            Direction::Original => record.key,
            Direction::Reply if record.is_mapped() => shelf.extras.get(place.at).reply,
            Direction::Reply => record.key.swapped(),
        }
    }

    /// The id of a flow.
    #[inline(always)]
    pub(crate) fn id_at<K: Shelved>(&self, place: &Place<K>) -> FlowId {
        FlowId { slot: place.at | K::BIT, generation: self.record(place).generation }
    }

    /// Writes what a packet of `bytes` L3 bytes changes.
    #[inline(always)]
    pub(crate) fn renew<K: Shelved>(
        &mut self,
        place: &Place<K>,
        cells: Option<&Cells>,
        deadline: Instant,
        bytes: usize,
    ) {
        let shelf = K::shelf_mut(&mut self.slab);
        let record = shelf.records.at_mut(place.at);
        if let Some(cells) = cells {
            record.set_cells(cells);
        }
        record.set_deadline(deadline);
        let (armed, tick) = (record.armed, record.deadline_tick());
        if record.has_counters() {
            let counter = &mut shelf.counters.place(place.at)[place.dir.index()];
            counter.packets += 1;
            counter.bytes += bytes as u64;
        }
        if self.wheel.is_late(armed, tick) {
            self.wheel.arm(&mut self.slab, place.at | K::BIT, tick);
        }
    }
}
