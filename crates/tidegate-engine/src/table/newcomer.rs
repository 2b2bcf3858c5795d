//! Flows that begin plainly: most do, and enter the table without having been a [`Flow`](crate::flow::Flow).
//!
//! A plain flow has ports, is in the default zone, is not translated, was not announced, and has no
//! mark, labels or helper. All that there is to know of it fits its record and, where flows count,
//! its counters. What becomes of the table is what [`FlowTable::confirm`] would make of it.

use super::bereave::end_life;
use super::buckets::OPPOSITE;
use super::express::Shelved;
use super::record::tick_of;
use super::{CHAIN_SPREAD, FIRST_LOOK, FlowTable, MIN_CHAIN};
use crate::event::{EventMask, EventQueue};
use crate::flow::{Counter, FlowId};
use crate::rand::Rng;
use crate::steer::Post;
use crate::time::Instant;
use crate::track::Cells;

/// A plain flow that is not in the table yet.
pub(crate) struct Newcomer<K> {
    /// Its tuple.
    pub(crate) key: K,
    /// What its tracker remembers.
    pub(crate) cells: Cells,
    pub(crate) deadline: Instant,
    /// All changes or none.
    pub(crate) announced: EventMask,
    pub(crate) counters: Option<[Counter; 2]>,
    /// When it is confirmed, if that is kept.
    pub(crate) birth: Option<Instant>,
}

impl FlowTable {
    /// Whether a flow whose tuple has this hash in the default zone is certainly a new one, expected
    /// by nobody at this worker, and may enter. `false` says nothing.
    #[inline]
    pub(crate) fn is_free(&self, hash: u32) -> bool {
        self.one_way == 0
            && self.notes.is_none()
            && self.expectations.is_empty()
            && self.is_nobodys(hash)
            && (!self.buckets.may_be_long(&self.index) || self.has_short_chains(hash))
    }

    /// Whether such a flow is certainly of no concern to other workers.
    #[inline]
    pub(crate) fn is_own<K: Shelved>(&self, key: K, proto: u8) -> bool {
        self.post.as_ref().is_none_or(|post| post.keeps(&key.tuple(proto)))
    }

    /// Whether neither tuple of a flow would lengthen a chain that is long already.
    #[cold]
    fn has_short_chains(&self, hash: u32) -> bool {
        let is_longer = |hash| self.buckets.is_longer(&self.index, &self.slab, hash, MIN_CHAIN);
        !is_longer(hash) && !is_longer(hash ^ OPPOSITE)
    }

    /// Enters a newcomer. => its hash [`is_free`](FlowTable::is_free), and it [`is_own`](FlowTable::is_own)
    #[inline]
    pub(crate) fn welcome<K: Shelved>(
        &mut self,
        now: Instant,
        newcomer: &Newcomer<K>,
        hash: u32,
        rng: &mut Rng,
    ) -> FlowId {
        // No chain is near its longest; but whoever confirms a flow draws a number.
        rng.below(CHAIN_SPREAD);
        let first_look = tick_of(newcomer.deadline).min(tick_of(now) + FIRST_LOOK);
        let tick = self.wheel.nearest(first_look);
        let id = self.slab.welcome(newcomer, tick as u32);
        self.index.insert(hash, id.slot);
        self.wheel.file(id.slot, tick);
        self.len += 1;
        self.relieve(rng);
        id
    }

    /// The id of the flow in a slot that has one, and the hash of its tuple if it is a plain one, with nothing that would
    /// have to end with it, and nobody who would have to know.
    #[inline(always)]
    pub(super) fn plain_hash(&self, slot: u32) -> (FlowId, Option<u32>) {
        // Both its tuples have the same home, and elsewhere nobody has heard of it.
        let is_home = |post: &Post| post.is_home(&self.slab.tuple_of(slot));
        let (id, hash) = self.slab.plain_hash(slot, &self.key);
        let is_plain = self.retired_key.is_none() && self.post.as_deref().is_none_or(is_home);
        (id, hash.filter(|_| is_plain))
    }

    /// Takes a plain flow, whose tuple has this hash, out of the table and announces it, if it is there still.
    #[inline]
    pub(super) fn bury_plain(
        &mut self,
        id: FlowId,
        hash: u32,
        now: Instant,
        events: &mut EventQueue,
    ) {
        let slab = &self.slab;
        let Some(announces) = slab.announces(id) else { return };
        if announces {
            events.destroyed_as(now, id, || {
                let mut flow = slab.read(id.slot);
                end_life(&mut flow, now);
                flow
            });
        }
        self.index.remove(hash, id.slot);
        self.slab.vacate(id.slot);
        self.len -= 1;
    }
}
