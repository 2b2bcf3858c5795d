//! The flow table: every flow, found by either of its tuples.
//!
//! Life-cycle of an entry: [`FlowTable::confirm`] enters a draft, [`FlowTable::load`] gives the flow
//! out as a value, [`FlowTable::save`] takes it back, and [`FlowTable::kill`] removes it. A flow
//! whose reply is the inverse of its original tuple has one entry in the index for both directions;
//! with NAT it has two.
//!
//! One engine owns one table: no locks, no sharing. The table knows no protocol.
//!
//! Where it differs from Linux: an expired flow leaves the table when the wheel says so, not when
//! somebody stumbles over it, so that the count is exact.

pub(crate) mod ahead;
mod annex;
mod bereave;
mod buckets;
mod column;
mod counters;
mod early_drop;
mod excerpt;
mod expiry;
pub(crate) mod express;
pub(crate) mod hash;
pub(crate) mod index_key;
pub(crate) mod key;
mod lines;
mod lookup;
pub(crate) mod mapping;
pub(crate) mod newcomer;
mod prefetch;
mod record;
mod rekey;
mod slab;
mod sources;
mod walk;
mod wheel;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use self::buckets::{Buckets, Near};
pub(crate) use self::excerpt::Inquiry;
use self::excerpt::Notes;
use self::index_key::IndexKey;
use self::lines::Lines;
pub(crate) use self::prefetch::Spot;
use self::record::{TICK_BITS, tick_of};
use self::slab::{Asked, Slab};
use self::sources::Sources;
use self::wheel::{Timer, Timers, Wheel};
use crate::event::EventQueue;
use crate::expect::Expectations;
use crate::flow::{Care, Correction, Draft, Flow, FlowId, Status};
use crate::limits::Limits;
use crate::rand::Rng;
use crate::steer::Post;
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
    key: IndexKey,
    /// The key of the entries that are still to be re-keyed.
    retired_key: Option<IndexKey>,
    /// See [`FlowTable::has_new_key`].
    has_new_key: bool,
    slab: Slab,
    index: Lines,
    buckets: Buckets,
    /// What early drop gathers; kept for its memory.
    near: alloc::vec::Vec<Near>,
    sources: Sources,
    wheel: Wheel,
    /// The kernel's count.
    len: usize,
    /// How many of them are in a zone of one direction. Only with those can a tuple have two
    /// owners, since a flow is not asked for its other number when they come.
    one_way: usize,
    /// What was asked of this table, if it is an excerpt of another one.
    notes: Option<Notes>,
    /// Flows that others have announced.
    pub(crate) expectations: Expectations,
    /// The engine's place among others, if it isn't alone.
    pub(crate) post: Option<Box<Post>>,
}

/// What is known of a tuple before it is looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    /// Its hash in the default zone.
    pub(crate) hash: u32,
    /// Where its flow probably is.
    pub(crate) slot: Option<u32>,
}

impl Hint {
    /// Nothing is known.
    pub(crate) const NOTHING: Self = Self { hash: 0, slot: None };
}

/// Linux refuses to lengthen a chain of more than 50 to 79 entries.
const MIN_CHAIN: u32 = 50;
const CHAIN_SPREAD: u32 = 30;
/// When a new flow is looked at first, at the latest: half a minute, in ticks. While a connection is
/// set up and taken down its deadline comes closer, which would leave a stale timer behind.
const FIRST_LOOK: u64 = 30_000_000_000 >> TICK_BITS;

impl FlowTable {
    /// An empty table with a key of its own, which counts chains in `nf_conntrack_buckets` buckets.
    pub(crate) fn new(limits: &Limits, rng: &mut Rng, start: Instant) -> Self {
        Self {
            key: IndexKey::new([rng.next_u64(), rng.next_u64()]),
            retired_key: None,
            has_new_key: false,
            slab: Slab::default(),
            index: Lines::new(),
            buckets: Buckets { count: limits.buckets.max(1), elsewhere: 0 },
            near: alloc::vec::Vec::new(),
            sources: Sources::new(IndexKey::new([rng.next_u64(), rng.next_u64()])),
            wheel: Wheel::new(tick_of(start)),
            len: 0,
            one_way: 0,
            notes: None,
            expectations: Expectations::default(),
            post: None,
        }
    }

    /// The flow that has this tuple in this zone, and in which direction. A zone
    /// of one direction has two numbers, and the tuple may be filed under either.
    /// Expired flows are not found.
    #[inline]
    #[must_use]
    pub(crate) fn lookup(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
    ) -> Option<(FlowId, Direction)> {
        let hash = self.hash(tuple, zone, Direction::Original);
        let hint = Hint { hash, slot: self.guess_at_home(hash) };
        self.lookup_simple(now, tuple, zone, hint).or_else(|| self.lookup_any(now, tuple, zone))
    }

    /// [`FlowTable::lookup`], whatever the tuple and the zone.
    #[inline(never)]
    pub(super) fn lookup_any(
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
        (tuple, zone): (&Tuple, Zone),
        hint: Option<Hint>,
        events: &mut EventQueue,
    ) -> Option<(FlowId, Direction)> {
        for filed in numbers_of(zone) {
            self.note(|| Inquiry::Tuple(*tuple, zone.id_in(*filed)));
            let known = hint.filter(|_| zone.id_in(*filed) == 0);
            let asked = || Hint { hash: self.hash(tuple, zone, *filed), slot: None };
            let hint = known.unwrap_or_else(asked);
            let hash = hint.hash;
            while hint.slot.is_some() || !self.is_nobodys(hash) {
                if let Some(found) = self.lookup_simple(now, tuple, zone, hint) {
                    return Some(found);
                }
                let found = self.newest(self.filed(hash, tuple, zone, *filed));
                let Some((id, dir)) = found else { break };
                if !self.slab.is_expired(id.slot, now) {
                    return Some((id, dir));
                }
                self.kill(id, now, events);
            }
        }
        None
    }

    /// The flow that has this tuple and is filed under the zone's number for the
    /// direction `filed`.
    #[inline]
    fn owner(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        filed: Direction,
    ) -> Option<(FlowId, Direction)> {
        let hash = self.hash(tuple, zone, filed);
        let filed = self.filed(hash, tuple, zone, filed);
        self.newest(filed.filter(|(slot, _)| !self.slab.is_expired(*slot, now)))
    }

    /// The newest of some flows, which Linux files in front of the others.
    fn newest(
        &self,
        mut flows: impl Iterator<Item = (u32, Direction)>,
    ) -> Option<(FlowId, Direction)> {
        if self.one_way == 0 {
            return flows.next().map(|(slot, dir)| (self.slab.id_of(slot), dir));
        }
        let ids = flows.map(|(slot, dir)| (self.slab.id_of(slot), dir));
        ids.min_by_key(|(id, _)| self.slab.age(*id))
    }

    /// The slots of the flows that have this tuple and are filed under the number that `zone` has
    /// for the direction `filed`, which gives `hash`. Their own zone is the same in the direction
    /// that they are found in: a zone of one direction is no zone for the other one (Linux:
    /// `nf_ct_key_equal`).
    fn filed<'a>(
        &'a self,
        hash: u32,
        tuple: &'a Tuple,
        zone: Zone,
        filed: Direction,
    ) -> impl Iterator<Item = (u32, Direction)> + 'a {
        let asked = Asked { tuple, zone, number: zone.id_in(filed) };
        self.candidates(hash, tuple, asked.number)
            .filter_map(move |slot| Some((slot, self.slab.direction_of(slot, &asked)?)))
    }

    /// The hash of a flow's tuple of direction `filed`.
    #[inline(always)]
    pub(crate) fn hash(&self, tuple: &Tuple, zone: Zone, filed: Direction) -> u32 {
        key::hash(&self.key, tuple, zone.id_in(filed))
    }

    /// A flow, as a value.
    #[must_use]
    pub(crate) fn load(&self, id: FlowId) -> Option<Flow> {
        self.slab.load(id)
    }

    /// Whether a flow has something left to announce.
    pub(crate) fn has_notes(&self, id: FlowId) -> bool {
        self.slab.has(id) && self.slab.has_notes(id.slot)
    }

    /// The flow of an id that is there.
    #[inline]
    pub(crate) fn read(&self, id: FlowId) -> Flow {
        self.slab.read(id.slot)
    }

    /// What few flows have, of this one or of the one that is not in the table yet.
    #[must_use]
    pub(crate) fn care(&self, id: FlowId) -> Care {
        if id == FlowId::UNBORN || self.slab.has(id) {
            self.slab.care(id.slot)
        } else {
            Care::default()
        }
    }

    /// Forgets what the flow would have had that is not in the table yet, and will not be.
    pub(crate) fn forget_unborn(&mut self) {
        self.slab.forget_care(FlowId::UNBORN.slot);
    }

    /// Whether there is any such flow.
    pub(crate) fn has_cares(&self) -> bool {
        self.slab.has_cares()
    }

    /// How the sequence numbers of a flow of the table are corrected, if they ever were.
    pub(crate) fn corrections(&self, id: FlowId) -> Option<&[Correction; 2]> {
        self.slab.corrections(id.slot)
    }

    /// Keeps what few flows have. => the flow's status says so, or will when it is in the table
    pub(crate) fn set_care(&mut self, id: FlowId, care: Care) {
        if id == FlowId::UNBORN || self.slab.has(id) {
            self.slab.set_care(id.slot, care);
        }
    }

    /// Whether there still is a flow of that id.
    #[must_use]
    pub(crate) fn has(&self, id: FlowId) -> bool {
        self.slab.has(id)
    }

    /// Writes a flow back whose tuples and zone are those that it has in the table, if it is there
    /// still.
    pub(crate) fn save(&mut self, id: FlowId, flow: &Flow) {
        if !self.slab.has(id) {
            return;
        }
        self.slab.update(id.slot, flow);
        if let Some(Timer { deadline, armed }) = self.slab.timer(id.slot)
            && self.wheel.is_late(*armed, deadline)
        {
            self.wheel.arm(&mut self.slab, id.slot, deadline);
        }
    }

    /// How many flows are in the table.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Enters a draft under both tuples. Who knows its original tuple's hash in the default zone says
    /// it.
    ///
    /// # Errors
    /// A tuple is taken, or a chain too long.
    pub(crate) fn confirm(
        &mut self,
        now: Instant,
        draft: &mut Draft,
        rng: &mut Rng,
        hash: Option<u32>,
    ) -> Result<FlowId, ConfirmError> {
        let hashes = self.hashes(&draft.0, hash);
        for dir in [Direction::Original, Direction::Reply] {
            self.note(|| Inquiry::Tuple(*draft.0.tuple(dir), draft.0.zone.id_in(dir)));
        }
        self.admit(now, &draft.0, hashes, MIN_CHAIN + rng.below(CHAIN_SPREAD))?;
        let flow = &mut draft.0;
        flow.status |= Status::CONFIRMED;
        if let Some(lifetime) = &mut flow.lifetime {
            lifetime.start = Some(now);
        }
        let id = self.enter(now, flow, hashes);
        self.relieve(rng);
        Ok(id)
    }

    #[inline]
    fn enter(&mut self, now: Instant, flow: &Flow, hashes: [Option<u32>; 2]) -> FlowId {
        let id = self.slab.insert(flow);
        for hash in hashes.into_iter().flatten() {
            self.index.insert(hash, id.slot);
        }
        self.sources.link(&mut self.slab, id.slot, flow);
        let first_look = tick_of(flow.deadline).min(tick_of(now) + FIRST_LOOK);
        self.wheel.arm(&mut self.slab, id.slot, first_look);
        self.len += 1;
        self.one_way += usize::from(flow.zone.scope != ZoneScope::Both);
        if let Some(post) = &mut self.post {
            post.begun(flow);
        }
        id
    }

    /// Whether a flow may be entered under these hashes.
    fn admit(
        &self,
        now: Instant,
        flow: &Flow,
        hashes: [Option<u32>; 2],
        max_chain: u32,
    ) -> Result<(), ConfirmError> {
        for dir in [Direction::Original, Direction::Reply] {
            let owner = match hashes[dir.index()] {
                // One hash: the tuples are looked for at once.
                None => continue,
                Some(hash) => self.rival(now, flow, dir, hash),
            };
            if let Some((id, dir)) = owner {
                return Err(ConfirmError::Taken(id, dir));
            }
        }
        let opposite = hashes[0].filter(|_| hashes[1].is_none()).map(|hash| hash ^ (1 << 31));
        for hash in hashes.into_iter().chain([opposite]).flatten() {
            if self.buckets.is_longer(&self.index, &self.slab, hash, max_chain) {
                return Err(ConfirmError::ChainTooLong);
            }
        }
        Ok(())
    }

    /// The living flow that has the tuple of direction `dir` of a new flow, which gives `hash`; with
    /// one hash for both, that has either.
    fn rival(
        &self,
        now: Instant,
        flow: &Flow,
        dir: Direction,
        hash: u32,
    ) -> Option<(FlowId, Direction)> {
        if self.is_nobodys(hash) {
            return None;
        }
        let of = |dir: Direction| {
            let filed = self.filed(hash, flow.tuple(dir), flow.zone, dir);
            self.newest(filed.filter(|(slot, _)| !self.slab.is_expired(*slot, now)))
        };
        if record::is_mapped(flow) {
            return of(dir);
        }
        // Whoever has one of them has its inverse too.
        of(Direction::Original).or_else(|| of(Direction::Reply))
    }

    /// One hash for a flow whose directions are each other's inverse, else one for each.
    fn hashes(&self, flow: &Flow, known: Option<u32>) -> [Option<u32>; 2] {
        let hash = |dir| self.hash(flow.tuple(dir), flow.zone, dir);
        let known = known.filter(|_| flow.zone.id_in(Direction::Original) == 0);
        let original = Some(known.unwrap_or_else(|| hash(Direction::Original)));
        [original, record::is_mapped(flow).then(|| hash(Direction::Reply))]
    }

    /// A time not later than when the first flow expires.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let tick = self.wheel.next_due().filter(|_| self.len > 0)?;
        Some(record::first_of(tick))
    }

    /// Whether NAT may give `reply` to the draft `own`: no other flow has it.
    ///
    /// A flow with the same original tuple does not count, because the two are
    /// the same conversation, and confirmation sorts that out. Linux:
    /// `nf_conntrack_tuple_taken`.
    #[must_use]
    pub(crate) fn is_taken(&self, now: Instant, reply: &Tuple, own: &Flow) -> bool {
        let original = Direction::Original;
        self.note(|| Inquiry::Reply(*reply, own.zone.id_in(Direction::Reply)));
        let owner = self.owner(now, reply, own.zone, Direction::Reply);
        owner.map(|(id, _)| self.slab.origin(id.slot)).is_some_and(|(tuple, zone)| {
            tuple != own.orig || zone.id_in(original) != own.zone.id_in(original)
        })
    }

    /// Flows of the same source (protocol, address, port and zone) whose source
    /// translation is decided, newest first.
    pub(crate) fn of_source(&self, tuple: &Tuple, zone: Zone) -> impl Iterator<Item = Flow> {
        self.note(|| Inquiry::Source(*tuple, zone));
        self.sources.iter(&self.slab, *tuple, zone)
    }

    /// Changes the number of buckets that chains are counted in.
    pub(crate) fn resize(&mut self, buckets: u32) {
        self.buckets.count = buckets.max(1);
    }
}

/// The directions whose numbers of the zone differ.
fn numbers_of(zone: Zone) -> &'static [Direction] {
    match zone.scope {
        ZoneScope::Both => &[Direction::Original],
        ZoneScope::Original | ZoneScope::Reply => &[Direction::Original, Direction::Reply],
    }
}
