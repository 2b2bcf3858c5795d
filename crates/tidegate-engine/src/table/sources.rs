//! Flows by their source, for NAT: who already has a mapping keeps it.
//!
//! Only flows whose source translation is decided are listed (Linux: `nf_nat_bysource`). The flows of one source are a
//! list through the slab, newest first, so that thousands of one source are no more trouble than one. The newest of each
//! source hangs in a bucket, by a keyed hash: the bucket knows the first, and each of them leads to the next
//! by the link that its having nobody newer leaves unused. So a source costs its flow's two links and a share
//! of a bucket.
//!
//! Buckets come and go one at a time (*linear hashing*; W. Litwin, "Linear hashing: a new tool for file and table
//! addressing", VLDB 1980): a new one takes over what belongs there from one other. Nothing else moves, so
//! there is no pause. The hash is the index's, with a key of its own: sources that were chosen without the key meet
//! as if by lot. There is no new key, as there is for the index: a client that learned from the time which its first packets take
//! that two of its sources share a bucket could gather more there, and make each other's first packets wait for one record a
//! source. The same calls give the same buckets.

use core::net::IpAddr;

use super::annex::Links;
use super::column::Column;
use super::index_key::IndexKey;
use super::prefetch;
use super::slab::{NIL, Slab};
use crate::flow::{Flow, Status};
use crate::tuple::{Direction, Tuple, Zone, ZoneScope};

pub(super) struct Sources {
    key: IndexKey,
    /// For each bucket the newest flow of one of its sources, or [`NIL`].
    buckets: Column<u32>,
    /// How many sources there are.
    len: u32,
}

/// Sources for each bucket, on average: with more of them another bucket is made, with less than half as many some are
/// given up. Whoever looks for a source reads a record for each other one that hangs before it, and each may be far.
const CROWD: u32 = 1;

/// What the flows of a list have in common. Of a zone that counts for one direction the number is no part of it, as in
/// Linux.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Source {
    addr: IpAddr,
    port: u16,
    proto: u8,
    zone: u16,
}

/// A newest flow, and the one that leads to it, if that is not the bucket itself.
struct Place {
    before: Option<u32>,
    slot: u32,
}

impl Sources {
    pub(super) fn new(key: IndexKey) -> Self {
        Self { key, buckets: Column::default(), len: 0 }
    }

    /// Flows with the same source as `tuple`, newest first.
    pub(super) fn iter<'a>(
        &'a self,
        slab: &'a Slab,
        tuple: Tuple,
        zone: Zone,
    ) -> impl Iterator<Item = Flow> + 'a {
        self.slots(slab, &tuple, zone)
            .map(|slot| slab.read(slot))
            .filter(move |flow| same_zone(flow.zone, zone))
    }

    /// The slots of all that share the list with this source, newest first: their zones may have different numbers
    /// where they count for one direction only.
    pub(super) fn slots<'a>(
        &self,
        slab: &'a Slab,
        tuple: &Tuple,
        zone: Zone,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let source = Source::of(tuple, zone);
        let newest = self.newest_of(slab, &source, self.hash(&source)).map(|place| place.slot);
        core::iter::successors(newest, |slot| exists(slab.links(*slot).older))
    }

    /// Asks for the bucket of a source of the default zone; its number.
    pub(super) fn ask(&self, tuple: &Tuple) -> u32 {
        let bucket = self.bucket(self.hash(&Source::of(tuple, Zone::default())));
        if let Some(first) = self.buckets.get(bucket) {
            prefetch::line(first);
        }
        bucket
    }

    /// Asks for the first flow that hangs in a bucket.
    pub(super) fn read_ahead(&self, slab: &Slab, bucket: u32) {
        if let Some(slot) = self.buckets.get(bucket).copied().and_then(exists) {
            slab.read_ahead(slot);
            slab.read_links_ahead(slot);
        }
    }

    /// A list without flows that tells sources apart as this one does.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.key)
    }

    /// Puts a flow in front of the others of its source.
    pub(super) fn link(&mut self, slab: &mut Slab, slot: u32, flow: &Flow) {
        if !flow.is(Status::SRC_NAT_DONE) {
            return;
        }
        let source = Source::of(&flow.orig, flow.zone);
        let hash = self.hash(&source);
        let Some(place) = self.newest_of(slab, &source, hash) else {
            self.add(slab, slot, hash);
            return;
        };
        let next = slab.links(place.slot).newer;
        *slab.links_mut(slot) = Links { newer: next, older: place.slot };
        slab.links_mut(place.slot).newer = slot;
        self.lead(slab, self.bucket(hash), place.before, slot);
    }

    pub(super) fn unlink(&mut self, slab: &mut Slab, slot: u32, flow: &Flow) {
        if !flow.is(Status::SRC_NAT_DONE) {
            return;
        }
        let Links { newer, older } = slab.links(slot);
        if older != NIL {
            slab.links_mut(older).newer = newer;
        }
        let bucket = self.bucket(self.hash(&Source::of(&flow.orig, flow.zone)));
        let Some(place) = self.find(slab, bucket, |other| other == slot) else {
            slab.links_mut(newer).older = older;
            return;
        };
        // Its heir has taken over where it led to.
        self.lead(slab, bucket, place.before, exists(older).unwrap_or(newer));
        if older == NIL {
            self.len -= 1;
            self.shrink(slab);
        }
    }

    /// The newest flow of a source, which has this hash.
    fn newest_of(&self, slab: &Slab, source: &Source, hash: u32) -> Option<Place> {
        self.find(slab, self.bucket(hash), |slot| Source::of_flow(slab, slot) == *source)
    }

    /// The first of a bucket's flows that is the one.
    fn find(&self, slab: &Slab, bucket: u32, is_it: impl Fn(u32) -> bool) -> Option<Place> {
        let mut before = None;
        let mut slot = self.buckets.get(bucket).copied().and_then(exists)?;
        while !is_it(slot) {
            before = Some(slot);
            slot = exists(slab.links(slot).newer)?;
        }
        Some(Place { before, slot })
    }

    /// Has whoever led to a place lead to another flow.
    fn lead(&mut self, slab: &mut Slab, bucket: u32, before: Option<u32>, to: u32) {
        match before {
            None => *self.buckets.at_mut(bucket) = to,
            Some(before) => slab.links_mut(before).newer = to,
        }
    }

    /// Enters the only flow of a source, which has this hash.
    fn add(&mut self, slab: &mut Slab, slot: u32, hash: u32) {
        if self.len >= self.buckets.len().saturating_mul(CROWD) {
            self.grow(slab);
        }
        self.len += 1;
        slab.links_mut(slot).older = NIL;
        self.hang(slab, slot, hash);
    }

    /// Makes the newest flow of a source, which has this hash, the first of its bucket.
    fn hang(&mut self, slab: &mut Slab, slot: u32, hash: u32) {
        let first = self.buckets.at_mut(self.bucket(hash));
        slab.links_mut(slot).newer = core::mem::replace(first, slot);
    }

    /// The bucket of a source of this hash: as many of the hash's lowest bits as the last bucket's number has, or one less where that
    /// bucket is still to come.
    fn bucket(&self, hash: u32) -> u32 {
        let last = self.buckets.len().saturating_sub(1);
        let bits = u32::MAX.checked_shr(last.leading_zeros()).unwrap_or(0);
        let at = hash & bits;
        if at <= last { at } else { at & bits >> 1 }
    }

    /// Makes one bucket more, which takes over what belongs there.
    fn grow(&mut self, slab: &mut Slab) {
        let new = self.buckets.len();
        self.buckets.push(NIL);
        if let Some(old) = parent(new) {
            let first = core::mem::replace(self.buckets.at_mut(old), NIL);
            self.hang_all(slab, first);
        }
    }

    /// Gives the last buckets up as long as there are far too many: two at most for a source that has gone.
    fn shrink(&mut self, slab: &mut Slab) {
        // The first bucket stays: where one flow is translated after the other it would come and go with each.
        while self.buckets.len() > 1
            && self.len < (self.buckets.len() * CROWD).div_ceil(2)
            && let Some(first) = self.buckets.pop()
        {
            self.hang_all(slab, first);
        }
    }

    /// Hangs up anew what one of them leads to.
    fn hang_all(&mut self, slab: &mut Slab, first: u32) {
        let mut next = exists(first);
        while let Some(slot) = next {
            next = exists(slab.links(slot).newer);
            self.hang(slab, slot, self.hash(&Source::of_flow(slab, slot)));
        }
    }

    fn hash(&self, source: &Source) -> u32 {
        let address = match source.addr {
            IpAddr::V4(addr) => u128::from(addr.to_bits()),
            IpAddr::V6(addr) => addr.to_bits(),
        };
        let rest = u64::from(source.port)
            | u64::from(source.zone) << 16
            | u64::from(source.proto) << 32
            | u64::from(source.addr.is_ipv6()) << 40;
        self.key.hash([address as u64, (address >> 64) as u64, rest])
    }
}

impl Source {
    fn of(tuple: &Tuple, zone: Zone) -> Self {
        let listed_zone = if zone.scope == ZoneScope::Both { zone.id } else { 0 };
        Self { addr: tuple.src, port: tuple.sport, proto: tuple.proto, zone: listed_zone }
    }

    fn of_flow(slab: &Slab, slot: u32) -> Self {
        let (tuple, zone) = slab.origin(slot);
        Self::of(&tuple, zone)
    }
}

/// The bucket from which a new one takes over: that of its number without the highest bit.
fn parent(bucket: u32) -> Option<u32> {
    bucket.checked_ilog2().map(|highest| bucket ^ 1 << highest)
}

fn exists(slot: u32) -> Option<u32> {
    (slot != NIL).then_some(slot)
}

fn same_zone(a: Zone, b: Zone) -> bool {
    a.id_in(Direction::Original) == b.id_in(Direction::Original)
}

#[cfg(test)]
mod tests;
