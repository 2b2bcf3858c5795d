//! Plain flows in the slab: those of which nothing is elsewhere but what comes with a switch.

use tidegate_wire::proto;

use super::{Shelf, Slab, Tags, V6};
use crate::flow::{FlowId, Status};
use crate::table::IndexKey;
use crate::table::express::Shelved;
use crate::table::key::Key;
use crate::table::newcomer::Newcomer;
use crate::table::record::{GENERATION, Record};
use crate::tuple::Tuple;

impl Slab {
    /// Gives a plain flow the lowest free slot; `armed` is the tick for which its timer is to be filed.
    #[inline]
    pub(in crate::table) fn welcome<K: Shelved>(
        &mut self,
        newcomer: &Newcomer<K>,
        armed: u32,
    ) -> FlowId {
        self.generation = self.generation.wrapping_add(1) & GENERATION;
        let generation = self.generation;
        let slot = K::shelf_mut(self).welcome(newcomer, (generation, armed)) | K::BIT;
        FlowId { slot, generation }
    }

    /// [`Slab::remove`], of a flow that has nothing but its record.
    #[inline]
    pub(in crate::table) fn vacate(&mut self, slot: u32) {
        on_shelf!(mut self, slot, |shelf, at| shelf.remove(at));
    }

    /// The id of a flow, and the hash of its tuple if there is nothing of it that its record does not hold, but counters,
    /// labels and the like, nor is it listed with others of its source; and it has ports.
    #[inline(always)]
    pub(in crate::table) fn plain_hash(&self, slot: u32, key: &IndexKey) -> (FlowId, Option<u32>) {
        on_shelf!(self, slot, |shelf, at| {
            let record = shelf.records.at(at);
            let id = FlowId { slot, generation: record.generation() };
            (id, record.has_all().then(|| record.key.hash(key, record.cells.proto, 0)))
        })
    }

    /// Whether a flow of whose changes all or none are announced announces them; `None` if it isn't there.
    #[inline]
    pub(in crate::table) fn announces(&self, id: FlowId) -> Option<bool> {
        on_shelf!(self, id.slot, |shelf, at| {
            let record = shelf.records.get(at).filter(|record| record.is_of(id.generation))?;
            Some(!record.is_silent())
        })
    }

    /// A flow's original tuple.
    #[inline(never)]
    pub(in crate::table) fn tuple_of(&self, slot: u32) -> Tuple {
        on_shelf!(self, slot, |shelf, at| {
            let record = shelf.records.at(at);
            record.key.tuple(record.cells.proto)
        })
    }
}

impl<K: Key> Shelf<K> {
    fn welcome(&mut self, newcomer: &Newcomer<K>, (generation, armed): (u32, u32)) -> u32 {
        let at = self.let_lowest();
        self.records.at_mut(at).write_newcomer(newcomer, generation, armed);
        if let Some(counters) = newcomer.counters {
            self.counters.begin(at, counters);
        }
        if self.tags.peek(at).is_some() {
            *self.tags.place(at) = Tags::default();
        }
        self.set_birth(at, newcomer.birth);
        at
    }
}

impl<K: Key> Record<K> {
    /// See [`Slab::plain_hash`].
    #[inline(always)]
    fn has_all(&self) -> bool {
        const CARED_FOR: Status = Status::SEQ_ADJUST.union(Status::EXPECTED).union(Status::HELPER);
        const ELSEWHERE: Status = CARED_FOR.union(Status::SRC_NAT_DONE);
        !self.has_mapping()
            && !self.status().intersects(ELSEWHERE)
            && matches!(self.cells.proto, proto::TCP | proto::UDP)
    }
}
