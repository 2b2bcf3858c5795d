//! Flows by their source, for NAT: who already has a mapping keeps it.
//!
//! Only flows whose source translation is decided are listed (Linux: `nf_nat_bysource`). The flows
//! of one source are a list through the slab, newest first; an index of its own finds the newest.

use super::annex::Links;
use super::hash::SipKey;
use super::lines::Lines;
use super::slab::{NIL, Slab};
use crate::flow::{Flow, Status};
use crate::tuple::{Direction, Tuple, Zone, ZoneScope};

pub(super) struct Sources {
    key: SipKey,
    newest: Lines,
}

impl Sources {
    pub(super) fn new(key: SipKey) -> Self {
        Self { key, newest: Lines::new() }
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

    /// The slots of all that share the list with this source, newest first.
    pub(super) fn slots<'a>(
        &self,
        slab: &'a Slab,
        tuple: &Tuple,
        zone: Zone,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let exists = |slot: u32| (slot != NIL).then_some(slot);
        let newest = self.newest_of(slab, self.hash(tuple, zone), tuple, zone);
        core::iter::successors(newest, move |slot| exists(slab.links(*slot).older))
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
        let hash = self.hash(&flow.orig, flow.zone);
        let next = self.newest_of(slab, hash, &flow.orig, flow.zone);
        if let Some(next) = next {
            self.newest.remove(hash, next);
            slab.links_mut(next).newer = slot;
        }
        self.newest.insert(hash, slot);
        *slab.links_mut(slot) = Links { newer: NIL, older: next.unwrap_or(NIL) };
    }

    pub(super) fn unlink(&mut self, slab: &mut Slab, slot: u32, flow: &Flow) {
        if !flow.is(Status::SRC_NAT_DONE) {
            return;
        }
        let Links { newer, older } = slab.links(slot);
        if older != NIL {
            slab.links_mut(older).newer = newer;
        }
        if newer != NIL {
            slab.links_mut(newer).older = older;
            return;
        }
        let hash = self.hash(&flow.orig, flow.zone);
        self.newest.remove(hash, slot);
        if older != NIL {
            self.newest.insert(hash, older);
        }
    }

    /// The newest flow that shares the list with this source: its zones may have different numbers
    /// where they count for one direction only.
    fn newest_of(&self, slab: &Slab, hash: u32, tuple: &Tuple, zone: Zone) -> Option<u32> {
        self.newest.candidates(hash).find(|slot| {
            let flow = slab.read(*slot);
            same_source(&flow.orig, tuple) && listed_zone(flow.zone) == listed_zone(zone)
        })
    }

    fn hash(&self, tuple: &Tuple, zone: Zone) -> u32 {
        let address = match tuple.src {
            core::net::IpAddr::V4(src) => u128::from(src.to_bits()),
            core::net::IpAddr::V6(src) => src.to_bits(),
        };
        let rest = u64::from(tuple.sport)
            | u64::from(listed_zone(zone)) << 16
            | u64::from(tuple.proto) << 32
            | u64::from(tuple.src.is_ipv6()) << 40;
        (self.key.hash_words([address as u64, (address >> 64) as u64, rest]) >> 32) as u32
    }
}

/// The zone's number, as sources are told apart by it: that of one direction is no part of the key,
/// as in Linux.
fn listed_zone(zone: Zone) -> u16 {
    if zone.scope == ZoneScope::Both { zone.id } else { 0 }
}

fn same_source(a: &Tuple, b: &Tuple) -> bool {
    (a.src, a.sport, a.proto) == (b.src, b.sport, b.proto)
}

fn same_zone(a: Zone, b: Zone) -> bool {
    a.id_in(Direction::Original) == b.id_in(Direction::Original)
}
