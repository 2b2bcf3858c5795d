//! What the express paths ask of the table: one record, read and written where it lies.
//!
//! Everybody else gets flows as values. Here a packet's flow is found by a key that was read
//! straight from the packet, in the default zone, and only what the packet changes is written: the tracker's
//! cells, the deadline, the counters, and the status where [`crate::path::fresh`] has the packet.

use core::hint::select_unpredictable;

use super::FlowTable;
use super::annex::Annex;
use super::counters::Counters;
use super::key::{Key, Key4, Key6};
use super::mapping::{Mapping, Translation};
use super::record::Record;
use super::slab::{Shelf, Slab, V6};
use crate::event::EventMask;
use crate::fib::PortId;
use crate::flow::{FlowId, Status};
use crate::path::Glance;
use crate::time::Instant;
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

/// A packet's flow where it lies, and which direction the packet has.
pub(crate) struct Seat<'t, K: Key> {
    pub(crate) record: &'t mut Record<K>,
    annex: &'t Annex<K>,
    /// What NAT does to it.
    mapping: Option<&'t Mapping<K>>,
    counters: &'t mut Counters,
    slot: u32,
    pub(crate) dir: Direction,
    pub(crate) build: Build,
}

/// In which way a flow is not like most.
pub(crate) enum Unlike {
    /// It is not up and running, or in somebody's special care, or nobody is there.
    NotUp,
    /// There is more to it than to most.
    HasMore,
}

/// What is known of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// It is [like most](Record::is_common).
    Common,
    /// It is like most, but that NAT changes one end of its packets, and its mapping says by which bits.
    Translated,
    /// It is [alone](Record::is_alone).
    Alone,
    /// Nothing more.
    Any,
}

impl FlowTable {
    /// Does something with the flow that has this key in the default zone, expired or not: where
    /// `glance` thinks that it is, or wherever else.
    #[inline(always)]
    pub(crate) fn with_seat<K: Shelved, R>(
        &mut self,
        (key, proto): (K, u8),
        glance: &Glance,
        ride: impl FnOnce(Seat<'_, K>) -> R,
    ) -> Option<R> {
        let mut slot = glance.slot.filter(|_| self.one_way == 0);
        let seat = loop {
            let shelf = K::shelf_mut(&mut self.slab);
            match slot.and_then(|slot| shelf.seat(slot, key, proto)) {
                Some(seat) => break seat,
                None => slot = Some(self.owner_of(key, proto, glance.hash)?),
            }
        };
        Some(ride(seat))
    }

    /// [`FlowTable::with_seat`] for who only wants flows like most, translated or not: of another one, or should `glance` have
    /// thought of one that isn't up, in which way it is unlike them.
    #[inline(always)]
    pub(crate) fn with_usual_seat<K: Shelved, R>(
        &mut self,
        (key, proto): (K, u8),
        glance: &Glance,
        ride: impl FnOnce(Result<Seat<'_, K>, Unlike>) -> R,
    ) -> Option<R> {
        let mut slot = glance.slot.filter(|_| self.one_way == 0);
        let seat = loop {
            let shelf = K::shelf_mut(&mut self.slab);
            match slot.and_then(|slot| shelf.usual_seat(slot, key, proto)) {
                Some(seat) => break seat,
                None => slot = Some(self.owner_of(key, proto, glance.hash)?),
            }
        };
        Some(ride(seat))
    }

    /// [`FlowTable::with_seat`], if it is where `glance` thinks, and [alone](Record::is_alone).
    #[inline(always)]
    pub(crate) fn with_alone<K: Shelved, R>(
        &mut self,
        (key, proto): (K, u8),
        glance: &Glance,
        ride: impl FnOnce(Seat<'_, K>) -> R,
    ) -> Option<R> {
        let slot = glance.slot.filter(|_| self.one_way == 0)?;
        K::shelf_mut(&mut self.slab).alone(slot, key, proto).map(ride)
    }

    /// The slot of the flow that has a key. Where it may have two, it is not for us to say whose it
    /// is.
    #[inline(never)]
    fn owner_of<K: Shelved>(&self, key: K, proto: u8, hash: u32) -> Option<u32> {
        let mut owners = self.owners(key, proto, hash);
        let (slot, _) = owners.next()?;
        (self.one_way == 0 || owners.next().is_none()).then_some(slot)
    }

    /// The slots of the flows that have a key, and which direction of them it is.
    #[inline(always)]
    fn owners<K: Shelved>(
        &self,
        key: K,
        proto: u8,
        hash: u32,
    ) -> impl Iterator<Item = (u32, Direction)> {
        let slots = self.index.candidates(hash);
        slots.filter_map(move |slot| Some((slot, self.dir_at(slot, key, proto)?)))
    }

    /// Which direction of a slot's flow a key is.
    #[inline(always)]
    fn dir_at<K: Shelved>(&self, slot: u32, key: K, proto: u8) -> Option<Direction> {
        let at = slot.wrapping_sub(K::BIT);
        let shelf = K::shelf(&self.slab);
        shelf.dir_of(shelf.records.get(at)?, at, (key, proto))
    }

    /// What the rules of `epoch` said of a flow's usual packets of a direction.
    pub(crate) fn vetted(&self, id: FlowId, epoch: u16, dir: Direction) -> Option<bool> {
        if self.slab.has(id) { self.slab.vetted(id.slot, epoch, dir) } else { None }
    }

    /// Notes what the rules say of them.
    pub(crate) fn set_vetted(&mut self, id: FlowId, epoch: u16, dir: Direction, passes: bool) {
        if self.slab.has(id) {
            self.slab.set_vetted(id.slot, epoch, dir, passes);
        }
    }

    /// Forgets what the rules said of all flows, before an epoch's number comes again.
    pub(crate) fn forget_vetting(&mut self) {
        self.slab.forget_vetting();
    }

    /// Files a flow's timer anew, whose deadline has come closer.
    #[cold]
    pub(crate) fn rearm(&mut self, slot: u32, tick: u64) {
        self.wheel.arm(&mut self.slab, slot, tick);
    }

    /// Whether a timer armed for a tick comes too late for a deadline.
    #[inline(always)]
    pub(crate) fn is_late(&self, (armed, deadline): (u32, u64)) -> bool {
        self.wheel.is_late(armed, deadline)
    }
}

impl<K: Shelved> Shelf<K> {
    /// The flow of a slot, if it has this key.
    #[inline(always)]
    fn seat(&mut self, slot: u32, key: K, proto: u8) -> Option<Seat<'_, K>> {
        let at = slot.wrapping_sub(K::BIT);
        let Self { records, annex, counters, .. } = self;
        let record = records.get_mut(at)?;
        let mapping = annex.mapping(at, record);
        let from_reply = annex.difference(at, record.key, mapping, key);
        let dir = dir_of(record, from_reply, (key, proto))?;
        Some(Seat { record, annex, mapping, counters, slot, dir, build: Build::Any })
    }

    /// The flow of a slot, if it has this key and is like most, translated or not. One that isn't up is not compared.
    #[inline(always)]
    fn usual_seat(&mut self, slot: u32, key: K, proto: u8) -> Option<Result<Seat<'_, K>, Unlike>> {
        let at = slot.wrapping_sub(K::BIT);
        let Self { records, annex, counters, .. } = self;
        let record = records.get_mut(at)?;
        if record.is_common() {
            let dir = record.plain_dir((key, proto))?;
            let (mapping, build) = (None, Build::Common);
            return Some(Ok(Seat { record, annex, mapping, counters, slot, dir, build }));
        }
        if record.is_common_but_mapped()
            && let Some(mapping) = annex.mapping(at, record).filter(|mapping| mapping.is_one_end())
        {
            let dir = record.dir_beside(&mapping.near_reply(record.key), (key, proto))?;
            let (mapping, build) = (Some(mapping), Build::Translated);
            return Some(Ok(Seat { record, annex, mapping, counters, slot, dir, build }));
        }
        if !record.is_usual() {
            return Some(Err(Unlike::NotUp));
        }
        dir_of_any(annex, at, record, (key, proto))?;
        Some(Err(Unlike::HasMore))
    }

    /// [`Shelf::seat`] of one that is [alone](Record::is_alone).
    #[inline(always)]
    fn alone(&mut self, slot: u32, key: K, proto: u8) -> Option<Seat<'_, K>> {
        let Self { records, annex, counters, .. } = self;
        let record = records.get_mut(slot.wrapping_sub(K::BIT))?;
        if !record.is_alone() {
            return None;
        }
        let dir = record.plain_dir((key, proto))?;
        let (mapping, build) = (None, Build::Alone);
        Some(Seat { record, annex, mapping, counters, slot, dir, build })
    }

    /// Which direction of a slot's flow, of which this is the record, a key is.
    #[inline(always)]
    pub(super) fn dir_of(&self, record: &Record<K>, at: u32, wanted: (K, u8)) -> Option<Direction> {
        let mapping = self.annex.mapping(at, record);
        let from_reply = self.annex.difference(at, record.key, mapping, wanted.0);
        dir_of(record, from_reply, wanted)
    }
}

/// What packets of a direction look like, of a flow of this tuple and mapping, and what once both ends are translated: as
/// the inverse of the other direction's.
#[cold]
#[inline(never)]
fn own_and_target<K: Key>(
    annex: &Annex<K>,
    at: u32,
    (original, mapping): (&K, Option<&Mapping<K>>),
    dir: Direction,
) -> (K, K) {
    let reply = annex.reply(at, *original, mapping);
    match dir {
        Direction::Original => (*original, reply.swapped()),
        Direction::Reply => (reply, original.swapped()),
    }
}

/// Which direction of a slot's flow a key is, whatever there is to the flow.
#[inline(never)]
fn dir_of_any<K: Key>(
    annex: &Annex<K>,
    at: u32,
    record: &Record<K>,
    wanted: (K, u8),
) -> Option<Direction> {
    let from_reply = annex.difference(at, record.key, annex.mapping(at, record), wanted.0);
    dir_of(record, from_reply, wanted)
}

/// Which direction of a flow a key is that differs by so much from its reply tuple. One that is both is the reply, as
/// Linux files that in front.
#[inline(always)]
fn dir_of<K: Key>(record: &Record<K>, from_reply: u64, wanted: (K, u8)) -> Option<Direction> {
    let (difference, dir) = difference(record, from_reply, wanted);
    (difference | record.vacancy() == 0).then_some(dir)
}

/// Zero if a key is one of the two of whoever is in the slot; which direction that is. Nobody can guess it, so both
/// are asked, without a branch.
#[inline(always)]
fn difference<K: Key>(
    record: &Record<K>,
    from_reply: u64,
    (key, proto): (K, u8),
) -> (u64, Direction) {
    let from_original = key.difference(&record.key);
    let is_reply = from_reply == 0;
    let dir = if is_reply { Direction::Reply } else { Direction::Original };
    let from_both = select_unpredictable(is_reply, 0, from_original);
    (from_both | u64::from(record.cells.proto ^ proto), dir)
}

impl<K: Key> Record<K> {
    /// Which direction of a [plain](Record::is_plain) flow a key is.
    #[inline(always)]
    pub(super) fn plain_dir(&self, wanted: (K, u8)) -> Option<Direction> {
        self.dir_beside(&self.key.swapped(), wanted)
    }

    /// Which direction a key is of a flow that is here, and has this reply tuple.
    #[inline(always)]
    fn dir_beside(&self, reply: &K, wanted: (K, u8)) -> Option<Direction> {
        let (difference, dir) = difference(self, wanted.0.difference(reply), wanted);
        (difference == 0).then_some(dir)
    }
}

impl<K: Shelved> Seat<'_, K> {
    /// The same flow, [like most](Build::Common). Who is handed it so need not ask what it has elsewhere, and the compiler
    /// knows.
    #[inline(always)]
    pub(crate) fn common(&mut self) -> Seat<'_, K> {
        let Self { ref mut record, annex, ref mut counters, slot, dir, .. } = *self;
        let (mapping, build) = (None, Build::Common);
        Seat { record, annex, mapping, counters, slot, dir, build }
    }

    /// The same of a flow that is [translated](Build::Translated).
    #[inline(always)]
    pub(crate) fn translated(&mut self) -> Seat<'_, K> {
        let Self { ref mut record, annex, mapping, ref mut counters, slot, dir, .. } = *self;
        Seat { record, annex, mapping, counters, slot, dir, build: Build::Translated }
    }

    /// Whether it is known to be [alone](Record::is_alone).
    #[inline(always)]
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.build, Build::Common | Build::Alone)
    }

    /// Whether the flow is in the default zone, has nothing left to announce, no helper, and
    /// everybody's timeouts.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        if self.build != Build::Any {
            return true;
        }
        let extra = self.annex.extra(self.at(), self.record);
        extra.is_none_or(|extra| extra.is_settled() && extra.zone() == Zone::default())
    }

    /// The interface that a masqueraded flow left by.
    #[inline(always)]
    pub(crate) fn masquerade_port(&self) -> Option<PortId> {
        self.mapping?.masquerade_port()
    }

    /// What becomes of packets of this flow, which has this status, and this direction.
    #[inline(always)]
    pub(crate) fn translation(&self, status: Status) -> Option<Translation<K>> {
        if let Some(mapping) = self.mapping
            && (self.build == Build::Translated || mapping.is_one_end())
        {
            return Some(mapping.translation(self.dir));
        }
        // Of the seat no more than this is made to lie in memory.
        let ends =
            own_and_target(self.annex, self.at(), (&self.record.key, self.mapping), self.dir);
        Translation::told(ends, status, self.dir)
    }

    /// What packets of this direction look like once both ends are translated: the inverse of the other direction's
    /// tuple.
    #[cfg(test)]
    pub(super) fn target(&self) -> K {
        own_and_target(self.annex, self.at(), (&self.record.key, self.mapping), self.dir).1
    }

    /// Which changes are announced.
    #[inline(always)]
    pub(crate) fn announced(&self) -> EventMask {
        if self.record.is_silent() {
            return EventMask::empty();
        }
        let extra = if self.is_alone() { None } else { self.annex.extra(self.at(), self.record) };
        match extra {
            Some(extra) => extra.announced(),
            None => EventMask::all(),
        }
    }

    /// The slot's number on its shelf.
    #[inline(always)]
    fn at(&self) -> u32 {
        self.slot.wrapping_sub(K::BIT)
    }

    /// The id of the flow.
    #[inline(always)]
    pub(crate) fn id(&self) -> FlowId {
        FlowId { slot: self.slot, generation: self.record.generation() }
    }

    /// Renews the deadline; for which tick the timer is armed, and for which it should be.
    #[inline(always)]
    pub(crate) fn renew(&mut self, deadline: Instant) -> (u32, u64) {
        self.record.set_deadline(deadline);
        (self.record.armed, self.record.deadline_tick())
    }

    /// For which tick the timer is armed, and for which it should be.
    #[inline(always)]
    pub(crate) fn timer(&self) -> (u32, u64) {
        (self.record.armed, self.record.deadline_tick())
    }

    /// Counts a packet of `bytes` L3 bytes, where the flow is counted.
    #[inline(always)]
    pub(crate) fn count(&mut self, bytes: usize) {
        if self.record.has_counters() {
            self.counters.count(self.at(), self.dir, bytes);
        }
    }
}
