//! The flow table: every flow under both of its tuples.
//!
//! Life-cycle of an entry: [`FlowTable::confirm`] inserts a draft under its
//! original and its reply tuple, [`FlowTable::kill`] takes both out, and
//! [`FlowTable::bury`] frees the slot once the packet that saw it die has left.
//! Between the two the flow can still be read by its id, so that the packet is
//! translated to the end.
//!
//! One engine owns one table: no locks, no sharing. The table knows no protocol.
//!
//! Where it differs from Linux: an expired flow leaves the table when the wheel
//! says so, not when somebody stumbles over it, so that the count is exact.

pub(crate) mod hash;
mod index;
#[cfg_attr(not(test), expect(dead_code, reason = "takes the place of `index` in a later commit"))]
mod lines;
mod slab;
mod sources;
pub(crate) mod wheel;

#[cfg(test)]
mod tests;

use self::hash::SipKey;
use self::index::Index;
use self::slab::Slab;
use self::sources::Sources;
use self::wheel::Wheel;
use crate::event::EventQueue;
use crate::flow::{Draft, Flow, FlowId, Status};
use crate::limits::Limits;
use crate::rand::Rng;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone, ZoneScope};

/// Why a draft could not enter the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfirmError {
    /// One of its tuples belongs to this flow, in this direction.
    Taken(FlowId, Direction),
    /// A hash chain is longer than Linux allows.
    ChainTooLong,
}

/// All flows of one engine.
pub(crate) struct FlowTable {
    slab: Slab,
    index: Index,
    sources: Sources,
    wheel: Wheel,
    graveyard: alloc::vec::Vec<FlowId>,
    /// Flows linked in the index: the kernel's count.
    len: usize,
}

/// How many buckets in a row early drop looks through
/// (`NF_CT_EVICTION_RANGE`).
const EVICTION_RANGE: u32 = 8;
/// Linux refuses to lengthen a chain of more than 50 to 79 entries.
const MIN_CHAIN: u32 = 50;
const CHAIN_SPREAD: u32 = 30;

impl FlowTable {
    /// An empty table with `nf_conntrack_buckets` buckets and a key of its own.
    pub(crate) fn new(limits: &Limits, rng: &mut Rng, start: Instant) -> Self {
        let key = SipKey([rng.next_u64(), rng.next_u64()]);
        Self {
            slab: Slab::default(),
            index: Index::new(key, limits.buckets),
            sources: Sources::new(SipKey([rng.next_u64(), rng.next_u64()])),
            wheel: Wheel::new(start),
            graveyard: alloc::vec::Vec::new(),
            len: 0,
        }
    }

    /// The flow that has this tuple in this zone, and in which direction. A zone
    /// of one direction has two numbers, and the tuple may be filed under either.
    /// Expired flows are not found.
    #[must_use]
    pub(crate) fn lookup(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
    ) -> Option<(FlowId, Direction)> {
        numbers_of(zone).iter().find_map(|filed| self.owner(now, tuple, zone, *filed))
    }

    /// [`FlowTable::lookup`], which also puts flows away that it finds expired.
    pub(crate) fn find_or_evict(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        events: &mut EventQueue,
    ) -> Option<(FlowId, Direction)> {
        for filed in numbers_of(zone) {
            loop {
                let newest = self.index.filed(&self.slab, tuple, zone, *filed).next();
                match newest {
                    Some((id, dir)) if self.is_alive(id, now) => return Some((id, dir)),
                    Some((id, _)) => self.kill(id, now, events),
                    None => break,
                }
            }
        }
        None
    }

    /// The flow that has this tuple and is filed under the zone's number for the
    /// direction `filed`.
    fn owner(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        filed: Direction,
    ) -> Option<(FlowId, Direction)> {
        self.index.filed(&self.slab, tuple, zone, filed).find(|(id, _)| self.is_alive(*id, now))
    }

    fn is_alive(&self, id: FlowId, now: Instant) -> bool {
        self.slab.flow(id).is_some_and(|flow| !flow.is_expired(now))
    }

    /// A flow, also one that was killed and is not buried yet.
    #[must_use]
    pub(crate) fn flow(&self, id: FlowId) -> Option<&Flow> {
        self.slab.flow(id)
    }

    /// See [`FlowTable::flow`].
    pub(crate) fn flow_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.slab.flow_mut(id)
    }

    /// How many flows are in the table.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All flows in the table, in the order of their slots: a walk for dumps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FlowId, &Flow)> {
        self.slab.iter().filter(|(_, flow)| !flow.is(Status::DYING))
    }

    /// Enters a draft under both tuples.
    ///
    /// # Errors
    /// A tuple is taken, or a chain too long.
    pub(crate) fn confirm(
        &mut self,
        now: Instant,
        mut draft: Draft,
        rng: &mut Rng,
    ) -> Result<FlowId, ConfirmError> {
        let hashes = self.admit(now, &draft.0, MIN_CHAIN + rng.below(CHAIN_SPREAD))?;
        let flow = &mut draft.0;
        flow.status |= Status::CONFIRMED;
        if let Some(lifetime) = &mut flow.lifetime {
            lifetime.start = Some(now);
        }
        let deadline = flow.deadline;
        flow.armed = deadline;
        let id = self.slab.insert(*draft.0);
        self.index.link(id, hashes);
        self.sources.link(&mut self.slab, id);
        self.wheel.arm(id.slot, deadline);
        self.len += 1;
        Ok(id)
    }

    /// The hashes of both tuples, if nothing speaks against entering them.
    fn admit(&self, now: Instant, flow: &Flow, max_chain: u32) -> Result<[u32; 2], ConfirmError> {
        let mut hashes = [0; 2];
        for dir in [Direction::Original, Direction::Reply] {
            let place = self.index.place(&self.slab, flow, dir, |id| self.is_alive(id, now));
            if let Some((id, dir)) = place.taken {
                return Err(ConfirmError::Taken(id, dir));
            }
            if place.chain_len > max_chain {
                return Err(ConfirmError::ChainTooLong);
            }
            hashes[dir.index()] = place.hash;
        }
        Ok(hashes)
    }

    /// Notes that a flow's deadline has moved closer than the wheel knows. A
    /// deadline that moves away costs nothing: the wheel finds out by itself.
    pub(crate) fn rearm(&mut self, id: FlowId) {
        let Some(flow) = self.slab.flow_mut(id) else { return };
        if flow.deadline < flow.armed {
            flow.armed = flow.deadline;
            self.wheel.arm(id.slot, flow.deadline);
        }
    }

    /// Takes a flow out of the table and announces it.
    pub(crate) fn kill(&mut self, id: FlowId, now: Instant, events: &mut EventQueue) {
        let Some(flow) = self.slab.flow_mut(id) else { return };
        if flow.is(Status::DYING) {
            return;
        }
        if let Some(lifetime) = &mut flow.lifetime {
            lifetime.stop = Some(flow.deadline.min(now));
        }
        events.destroyed(now, id, flow);
        flow.status |= Status::DYING;
        self.index.unlink(id);
        self.sources.unlink(&mut self.slab, id);
        self.wheel.disarm(id.slot);
        self.graveyard.push(id);
        self.len -= 1;
    }

    /// Frees the slots of the flows that were killed.
    pub(crate) fn bury(&mut self) {
        for id in self.graveyard.drain(..) {
            self.slab.remove(id);
        }
    }

    /// The next flow whose deadline has passed.
    pub(crate) fn next_expired(&mut self, now: Instant) -> Option<FlowId> {
        while let Some(slot) = self.wheel.pop_due(now) {
            let Some((id, _)) = self.slab.at(slot) else { continue };
            let Some(flow) = self.slab.flow_mut(id) else { continue };
            if flow.is_expired(now) {
                return Some(id);
            }
            flow.armed = flow.deadline;
            self.wheel.arm(slot, flow.deadline);
        }
        None
    }

    /// A time not later than the first deadline.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_due()
    }

    /// Has the flows of these tuples read into the processor's cache. A hint: it
    /// decides nothing and may be left out.
    pub(crate) fn warm(&self, tuples: &[Tuple]) {
        for batch in tuples.chunks(index::MAX_BATCH) {
            core::hint::black_box(self.index.warm(&self.slab, batch));
        }
    }

    /// Whether NAT may give `reply` to the draft `own`: no other flow has it.
    ///
    /// A flow with the same original tuple does not count, because the two are
    /// the same conversation, and confirmation sorts that out. Linux:
    /// `nf_conntrack_tuple_taken`.
    #[must_use]
    pub(crate) fn is_taken(&self, now: Instant, reply: &Tuple, own: &Flow) -> bool {
        let original = Direction::Original;
        let owner = self.owner(now, reply, own.zone, Direction::Reply);
        owner.and_then(|(id, _)| self.slab.flow(id)).is_some_and(|other| {
            other.orig != own.orig || other.zone.id_in(original) != own.zone.id_in(original)
        })
    }

    /// Flows of the same source (protocol, address, port and zone) whose source
    /// translation is decided, newest first.
    pub(crate) fn of_source(&self, tuple: &Tuple, zone: Zone) -> impl Iterator<Item = &Flow> {
        self.sources.iter(&self.slab, *tuple, zone)
    }

    /// Makes room the way Linux does: every flow that is not assured in the
    /// first of eight buckets that holds one, from the new flow's bucket on.
    /// Flows on the way that have expired are put away, but are no victims. How
    /// many victims there were.
    pub(crate) fn early_drop(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        events: &mut EventQueue,
    ) -> usize {
        let zone_id = zone.id_in(Direction::Original);
        for step in 0..EVICTION_RANGE {
            let mut victims = 0;
            for id in self.index.flows_near(&self.slab, tuple, zone_id, step) {
                let alive = self.is_alive(id, now);
                let assured = self.slab.flow(id).is_some_and(|flow| flow.is(Status::ASSURED));
                if !(alive && assured) {
                    self.kill(id, now, events);
                    victims += usize::from(alive);
                }
            }
            if victims > 0 {
                return victims;
            }
        }
        0
    }

    /// Changes the number of buckets; every entry is filed anew.
    pub(crate) fn resize(&mut self, buckets: u32) {
        self.index.resize(buckets);
    }
}

/// The directions whose numbers of the zone differ.
fn numbers_of(zone: Zone) -> &'static [Direction] {
    match zone.scope {
        ZoneScope::Both => &[Direction::Original],
        ZoneScope::Original | ZoneScope::Reply => &[Direction::Original, Direction::Reply],
    }
}
