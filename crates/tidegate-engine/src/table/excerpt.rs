//! A part of a table, copied: as much of it as a rehearsed packet has to do with.
//!
//! An excerpt decides as the whole table does, as long as it is asked of nothing that was not copied. Therefore it
//! takes notes of what it is asked ([`Inquiry`]), and whoever uses it asks the whole table what there is of that
//! ([`FlowTable::met_by`]); if that is more than was copied, a larger excerpt is needed.
//!
//! An excerpt has the table's keys, so that the same flows share buckets, and its count, but ids of its own. What its
//! flows and expectations say of masters is translated, and a master that was not copied is [`GONE`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cell::RefCell;

use super::buckets::{Buckets, OPPOSITE};
use super::lines::Lines;
use super::slab::Slab;
use super::wheel::Wheel;
use super::{FlowTable, key, numbers_of, tick_of};
use crate::expect::Expectations;
use crate::flow::{Care, FlowId};
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone};

/// What a table was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inquiry {
    /// Whose this tuple is, in the zone of this number; and how many share its bucket.
    Tuple(Tuple, u16),
    /// Whether this tuple is free to be a reply, in the zone of this number. If it isn't, one with a port near by
    /// will be asked for next.
    Reply(Tuple, u16),
    /// Which flows come from this one's source.
    Source(Tuple, Zone),
    /// What is in so many buckets from that of a hash on.
    Near(u32, u32),
}

/// All that was asked, without repetition.
pub(super) type Notes = RefCell<Vec<Inquiry>>;

/// The id of a master that was not copied. No flow has it.
const GONE: FlowId = FlowId { slot: u32::MAX - 1, generation: u32::MAX };

/// A copied part of a table.
pub(crate) struct Excerpt {
    pub(crate) table: FlowTable,
    /// The flows' ids in the whole table, by those that they have here.
    pub(crate) originals: BTreeMap<FlowId, FlowId>,
}

impl FlowTable {
    /// Takes a note of what is asked, if this is an excerpt.
    #[inline]
    pub(super) fn note(&self, inquiry: impl FnOnce() -> Inquiry) {
        if let Some(notes) = &self.notes {
            let inquiry = inquiry();
            let mut notes = notes.borrow_mut();
            if !notes.contains(&inquiry) {
                notes.push(inquiry);
            }
        }
    }

    /// [`FlowTable::lookup`] on a packet's way.
    pub(crate) fn lookup_noted(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
    ) -> Option<(FlowId, Direction)> {
        for filed in numbers_of(zone) {
            self.note(|| Inquiry::Tuple(*tuple, zone.id_in(*filed)));
        }
        self.lookup(now, tuple, zone)
    }

    /// What was asked since the excerpt was made; nothing if this is none.
    pub(crate) fn inquiries(&self) -> Vec<Inquiry> {
        self.notes.as_ref().map(|notes| notes.borrow().clone()).unwrap_or_default()
    }

    /// Adds all flows that an answer to `inquiry` depends on, and their masters.
    pub(crate) fn met_by(&self, now: Instant, inquiry: &Inquiry, met: &mut BTreeSet<FlowId>) {
        match inquiry {
            Inquiry::Reply(tuple, number) => {
                if self.filed_as(tuple, *number).next().is_some() {
                    met.extend(self.filed_as(tuple, *number));
                    for tuple in neighbours(tuple) {
                        met.extend(self.filed_as(&tuple, *number));
                    }
                }
            }
            Inquiry::Tuple(tuple, number) => {
                let hash = key::hash(&self.key, tuple, *number);
                met.extend(self.filed_as(tuple, *number));
                self.crowd(hash, 1, met);
                let announced = self.expectations.announced(now, tuple);
                met.extend(announced.map(|one| one.master.id).filter(|id| self.slab.has(*id)));
            }
            Inquiry::Source(tuple, zone) => {
                let slots = self.sources.slots(&self.slab, tuple, *zone);
                met.extend(slots.map(|slot| self.slab.id_of(slot)));
            }
            Inquiry::Near(hash, count) => self.crowd(*hash, *count, met),
        }
        self.add_masters(met);
    }

    /// What may be filed under a tuple in the zone of a number.
    fn filed_as(&self, tuple: &Tuple, number: u16) -> impl Iterator<Item = FlowId> {
        let hash = key::hash(&self.key, tuple, number);
        self.candidates(hash, tuple, number).map(|slot| self.slab.id_of(slot))
    }

    /// Adds what is in the buckets from that of a hash on, and on the other side of the hash space.
    fn crowd(&self, hash: u32, count: u32, met: &mut BTreeSet<FlowId>) {
        let mut near = Vec::new();
        for hash in [hash, hash ^ OPPOSITE] {
            self.buckets.near(&self.index, hash, 0..count, &mut near);
            met.extend(near.iter().map(|entry| self.slab.id_of(entry.slot)));
        }
    }

    fn add_masters(&self, met: &mut BTreeSet<FlowId>) {
        let masters = |ids: &BTreeSet<FlowId>| -> BTreeSet<FlowId> {
            let master = |id: &FlowId| self.care(*id).master.map(|master| master.id);
            ids.iter().filter_map(master).filter(|id| self.slab.has(*id)).collect()
        };
        let mut more = masters(met);
        while !more.is_subset(met) {
            met.extend(&more);
            more = masters(&more);
        }
    }

    /// A table of these flows only, which takes notes.
    pub(crate) fn excerpt(&self, now: Instant, flows: &BTreeSet<FlowId>) -> Excerpt {
        let mut table = Self {
            key: self.key,
            retired_key: None,
            has_new_key: false,
            slab: Slab::default(),
            index: Lines::new(),
            buckets: Buckets { count: self.buckets.count, elsewhere: self.index.lines() },
            near: Vec::new(),
            sources: self.sources.emptied(),
            wheel: Wheel::new(tick_of(now)),
            len: 0,
            one_way: 0,
            notes: Some(RefCell::default()),
            expectations: Expectations::default(),
            post: self.post.as_ref().map(|post| Box::new(post.rehearsing())),
        };
        let mut oldest_first: Vec<FlowId> = flows.iter().copied().collect();
        oldest_first.sort_by_key(|id| core::cmp::Reverse(self.slab.age(*id)));
        let mut copies = BTreeMap::new();
        for id in oldest_first {
            let flow = self.slab.read(id.slot);
            let hashes = table.hashes(&flow, None);
            copies.insert(id, table.enter(now, &flow, hashes));
        }
        table.len = self.len;
        let copy_of = |id: FlowId| copies.get(&id).copied().unwrap_or(GONE);
        for (id, copy) in &copies {
            if let Some(care) = self.slab.care_if_any(id.slot) {
                let master = care.master.map(|of| crate::flow::Master { id: copy_of(of.id), ..of });
                table.slab.set_care(copy.slot, Care { master, ..care });
            }
        }
        table.expectations = self.expectations.with_masters(copy_of);
        Excerpt { table, originals: copies.iter().map(|(id, copy)| (*copy, *id)).collect() }
    }
}

/// The tuples that a search for a free port comes to next (`nat::port`).
fn neighbours(tuple: &Tuple) -> impl Iterator<Item = Tuple> {
    let Tuple { sport, dport, .. } = *tuple;
    (1..=AHEAD).flat_map(move |by| {
        let source = Tuple { sport: sport.wrapping_add(by), ..*tuple };
        [source, Tuple { dport: dport.wrapping_add(by), ..*tuple }]
    })
}

/// As far as such a search goes from one starting point.
const AHEAD: u16 = 128;
